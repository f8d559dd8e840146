"""What a model's folder tells of writing: the ids that begin and end a text, and nothing else of it."""

from dataclasses import replace
from pathlib import Path

from inlay.convert.folder import transformer_folder
from inlay.convert.settings import CONFIG, Settings
from inlay.generate.config import GenerationConfig
from inlay.model.model import ModelConfig

FILE = "generation_config.json"


def from_folder(config: GenerationConfig, folder: str | Path, model: ModelConfig) -> GenerationConfig:
    """The config with `eos` and `start` of the folder where it leaves them open.

    Each is taken from generation_config.json, or else from config.json. Nothing but ids is: what the files say of
    drawing, beams or penalties is for the caller to ask for. An id beyond the vocabulary, as transformers leaves
    GPT-2's in a smaller model, is none of the model's and says nothing. Raises InputError for what is no id.
    """
    eos, start = config.eos, config.start
    folder = transformer_folder(Path(folder))
    # transformers begins an answer with decoder_start_token_id or else bos_token_id, and a text with the latter.
    keys = ("decoder_start_token_id", "bos_token_id") if model.encoder else ("bos_token_id",)
    for name in (FILE, CONFIG):
        if not (folder / name).is_file():
            continue
        settings = Settings.of(folder, name)
        if eos is None:
            eos = _ids(settings, "eos_token_id", model.vocab_size) or None
        for key in keys:
            if start is None:
                start = next(iter(_ids(settings, key, model.vocab_size)), None)
    return replace(config, eos=eos, start=start)


def _ids(settings: Settings, key: str, vocab_size: int) -> tuple[int, ...]:
    """The ids of a key, one or a list of them, those that the model has; none where the key is missing or null."""
    if not settings.has(key):
        return ()
    told = settings.plain()[key]
    ids = told if isinstance(told, list) and key == "eos_token_id" else [told]
    if not all(type(one) is int and one >= 0 for one in ids):
        raise settings.wrong(key, "an id from 0 on" + (", or a list of ids" if key == "eos_token_id" else ""))
    return tuple(one for one in ids if one < vocab_size)
