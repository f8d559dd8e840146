"""Models that have grown, in transformers: it reads what is saved, and its numbers are ours, for every family."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inlay.convert import load_pair, save_model
from inlay.convert.families import FAMILIES
from inlay.model.grow import grow
from inlay.model.model import Model
from inlay.model.presets import PRESETS, preset
from inlay.tokenize.extend import Extend, extend
from inlay.tokenize.fertility import Extension
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

GENERAL = [
    "The cat sat on the mat; other cats were sitting on other mats, day after day. abcdefghijklmnopqrstuvwxyz"
] * 4
MEDICAL = ["lymphocytes and the myocardium; lymphocytes in the myocardium after infarction of the myocardium"] * 4
NAMES = [name for name in PRESETS if name.endswith("tiny") and PRESETS[name].family in FAMILIES]


@pytest.fixture(scope="module")
def extension() -> Extension:
    old = Tokenizer.train(GENERAL, WordPiece(size=110))
    extension = extend(old, MEDICAL, Extend(words=3, min_count=2, heldout=0))
    assert extension.text.unknown_before == 0  # RoBERTa gives what has id 1 no place, and here that is [UNK]
    return extension


@torch.no_grad()
def told(model: Model, tokenizer: Tokenizer, text: str) -> torch.Tensor:
    """(T, V) logits, or (T, D) rows where the model has no language head."""
    batch = tokenizer.encode([text], specials=True)
    rows = model(batch, batch) if model.config.encoder and model.config.decoder else model(batch)
    return model.read("language", rows, model.pack(batch).layout) if "language" in model.heads else rows


@torch.no_grad()
def told_by_transformers(folder: Path, text: str) -> torch.Tensor:
    config = transformers.AutoConfig.from_pretrained(folder)
    cls = getattr(transformers, config.architectures[0])
    model, info = cls.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ids = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    more = {"decoder_input_ids": ids} if config.is_encoder_decoder else {}
    answer = model.eval()(input_ids=ids, **more)
    found = [answer[name] for name in ("logits", "prediction_logits", "last_hidden_state") if name in answer]
    assert model.get_input_embeddings().weight.shape[0] == config.vocab_size
    return found[0][0]


@pytest.mark.parametrize("name", NAMES)
def test_a_grown_model_gives_the_same_in_transformers(name: str, extension: Extension, tmp_path: Path) -> None:
    config = preset(name)
    heads = tuple(head for head in config.heads if head.name == "language")
    config = replace(config, input=replace(config.input, vocab_size=extension.old.size), heads=heads)
    grown, _ = grow(config.build(seed=1).eval(), extension)
    save_model(grown, tmp_path / "new", tokenizer=extension.tokenizer)
    again, tokenizer = load_pair(tmp_path / "new")
    assert again.config.vocab_size == tokenizer.size == extension.tokenizer.size
    ours = told(again, tokenizer, MEDICAL[0])
    torch.testing.assert_close(ours, told(grown, extension.tokenizer, MEDICAL[0]), rtol=0, atol=0)
    theirs = told_by_transformers(tmp_path / "new", MEDICAL[0])
    torch.testing.assert_close(theirs.float(), ours, rtol=1e-4, atol=1e-4)
