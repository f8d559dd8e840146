"""What a folder of sentence-transformers says of its modules: read as data, and strictly; nothing is imported.

Two layouts: the classic one (`sentence_transformers.models.Pooling`, booleans `pooling_mode_*`), and that of version 6
(`sentence_transformers.sentence_transformer.modules.pooling.Pooling`, one `pooling_mode`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.config import from_tree
from inlay.convert.folder import MOST_BYTES, member, weight_file
from inlay.embed.dense import Activation, Dense
from inlay.embed.layers import At, Layer
from inlay.embed.long import Long, Truncate
from inlay.embed.pool import CLS, Last, Max, Mean, MeanSqrt, Pool, Weighted
from inlay.errors import InputError
from inlay.files import contained, read_json
from inlay.tensorfile import read_header

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
LENGTHS = "sentence_bert_config.json"
CONFIG = "config.json"
READ = ("Transformer", "StaticEmbedding", "Pooling", "Dense", "Normalize", "Dropout")
"""The modules that are read; Dropout does nothing when a model is used."""
OWN_POOLING = "inlay.Pooling"
"""A Pooling over other layers than the last: only inlay reads it, and everyone else refuses it rather than guess."""

# In the order in which sentence-transformers puts them side by side.
POOLS: dict[str, Pool] = {
    "cls": CLS(),
    "max": Max(),
    "mean": Mean(),
    "mean_sqrt_len_tokens": MeanSqrt(),
    "weightedmean": Weighted(),
    "lasttoken": Last(),
}
CLASSIC = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS_OF: dict[str, Activation] = {"Identity": "identity", "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu"}
_NAMES = f"{', '.join(ACTIVATIONS_OF)} of torch.nn"
_FLOATS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F64": np.dtype("<f8"),
}
# Names of the time when the file was called after the kind of the model.
_LENGTHS = (LENGTHS, *(f"sentence_{kind}_config.json" for kind in ("roberta", "distilbert", "camembert", "albert")))
_LENGTHS += ("sentence_xlm-roberta_config.json", "sentence_xlnet_config.json")
_FORWARD = {"method": "forward", "method_output_name": "last_hidden_state"}
_HARMLESS = {"unpad_inputs"}
_ARGUMENTS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")
# How fast and with what memory, but not what comes out; weights are read as float32 whatever their type.
_HARMLESS_ARGUMENTS = {"add_pooling_layer", "attn_implementation", "torch_dtype", "dtype", "trust_remote_code"}


@dataclass(frozen=True, slots=True)
class Module:
    """A line of modules.json: the bare name of its kind, and its folder."""

    kind: str
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooling:
    """What becomes of the rows of a text."""

    dim: int
    """Numbers of a row that it expects."""
    pools: tuple[Pool, ...]
    include_prompt: bool = True
    layer: Layer = At(layer=-1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How the text goes into the Transformer."""

    max_length: int | None = None
    lowercase: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompts:
    """What goes before a text, by name, and which of them where none is named."""

    texts: Mapping[str, str]
    default: str | None = None
    dim: int | None = None
    """The first so many dimensions are kept; None: all."""
    long: Long = Truncate()
    """inlay's own: what becomes of a text that does not fit."""


def read_modules(folder: Path) -> list[Module]:
    """The modules of a folder in their order; a folder without a modules.json has none.

    Raises InputError for a kind that is not read, with its name, and for a path that leads out of the folder.
    """
    if not (folder / MODULES).exists():
        return []
    place = member(folder, MODULES)
    tree = read_json(place, most=MOST_BYTES)
    if not isinstance(tree, list) or not tree or not all(isinstance(one, dict) for one in tree):
        raise InputError(f"{place}: must be a list of modules, a table each; the folder is damaged or of another kind")
    return [_module(folder, place, one) for one in tree]


def _module(folder: Path, place: Path, tree: dict[str, Any]) -> Module:
    kind, path = tree.get("type"), tree.get("path", "")
    if not isinstance(kind, str) or not isinstance(path, str):
        raise InputError(f"{place}: a module must have a type and a path, in text; it has {short(tree)}")
    home, _, name = kind.rpartition(".")
    # A class of the same name that came with the model may do anything.
    if kind != OWN_POOLING and (home.partition(".")[0] != "sentence_transformers" or name not in READ):
        raise InputError(
            f"{place}: names the module {kind[:120]!r}, which is not read; those are {', '.join(READ)} "
            "of sentence_transformers"
        )
    if kind.startswith(("sentence_transformers.sparse", "sentence_transformers.cross", "sentence_transformers.multi")):
        raise InputError(f"{place}: names the module {kind!r}, which makes no vector of a text; name another model")
    return Module(name, contained(folder, path) if path not in ("", ".") else folder)


def read_pooling(folder: Path) -> Pooling:
    """The settings of a Pooling module, classic or of version 6; every key is understood, or refused."""
    place, tree = _settings(folder)
    dim = tree.pop("word_embedding_dimension", None) or tree.pop("embedding_dimension", None)
    if type(dim) is not int or dim < 1:
        raise InputError(f"{place}: word_embedding_dimension is {short(dim)}, and must be the length of a row")
    booleans = {key: tree.pop(key) for key in CLASSIC if key in tree}
    modes = tree.pop("pooling_mode", None)
    if wrong := next((key for key, value in booleans.items() if type(value) is not bool), None):
        raise InputError(f"{place}: {wrong} is {short(booleans[wrong])}, and must be true or false")
    if modes is None:
        modes = [mode for key, mode in CLASSIC.items() if booleans.get(key)]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or not all(isinstance(one, str) and one in POOLS for one in modes):
        raise InputError(f"{place}: pooling_mode is {short(modes)}, and must be of {', '.join(POOLS)}")
    include = tree.pop("include_prompt", True)
    if type(include) is not bool:
        raise InputError(f"{place}: include_prompt is {short(include)}, and must be true or false")
    own = _own({"layer": tree.pop("layer")} if "layer" in tree else {}, place)
    _refuse(place, tree)
    pools = tuple(POOLS[mode] for mode in modes)
    return Pooling(dim=dim, pools=pools, include_prompt=include, layer=own.layer)


def read_normalize(folder: Path) -> None:
    """InputError where a Normalize module has settings that say more than that vectors are brought to length 1."""
    if (folder / CONFIG).exists():
        place, tree = _settings(folder)
        for key in ("module_input_name", "module_output_name"):
            if tree.pop(key, "sentence_embedding") != "sentence_embedding":
                raise InputError(f"{place}: {key} must be sentence_embedding; nothing else is read")
        _refuse(place, tree)


def read_reading(folder: Path) -> Reading:
    """How long a text may be and whether it is put into lower case, from the Transformer's folder."""
    name = next((name for name in _LENGTHS if (folder / name).exists()), None)
    if name is None:
        return Reading()
    place = member(folder, name)
    tree = _table(place)
    length, lower = tree.pop("max_seq_length", None), tree.pop("do_lower_case", False)
    if length is not None and (type(length) is not int or length < 1):
        raise InputError(f"{place}: max_seq_length is {short(length)}, and must be a whole number of tokens, or null")
    if type(lower) is not bool:
        raise InputError(f"{place}: do_lower_case is {short(lower)}, and must be true or false")
    if tree.pop("transformer_task", "feature-extraction") != "feature-extraction":
        raise InputError(f"{place}: transformer_task must be feature-extraction; another makes no rows of tokens")
    modes = tree.pop("modality_config", {"text": _FORWARD})
    if not isinstance(modes, dict) or modes.get("text") != _FORWARD:
        raise InputError(f"{place}: modality_config must read text by {_FORWARD}; it is {short(modes)}")
    if tree.pop("module_output_name", "token_embeddings") != "token_embeddings":
        raise InputError(f"{place}: module_output_name must be token_embeddings, which a Pooling reads")
    for key in _ARGUMENTS:
        arguments = tree.pop(key, None) or {}
        if not isinstance(arguments, dict) or (unread := sorted(arguments.keys() - _HARMLESS_ARGUMENTS)):
            raise InputError(
                f"{place}: {key} has {unread[0] if isinstance(arguments, dict) else arguments!r}, which "
                "is not read; save the model with that setting in its config.json"
            )
    _refuse(place, {key: value for key, value in tree.items() if key not in _HARMLESS and value not in (None, {})})
    return Reading(max_length=length, lowercase=lower)


def read_prompts(folder: Path) -> Prompts:
    """The prompts of a model, from its top folder."""
    if not (folder / PROMPTS).exists():
        return Prompts(texts={})
    place = member(folder, PROMPTS)
    tree = _table(place)
    kind = tree.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise InputError(f"{place}: model_type is {short(kind)}, which makes no vector of a text; name another model")
    texts, default = tree.get("prompts") or {}, tree.get("default_prompt_name")
    if not isinstance(texts, dict) or not all(isinstance(one, str) for one in texts.values() if one is not None):
        raise InputError(f"{place}: prompts must be a table of texts, and are {short(texts)}")
    texts = {name: text or "" for name, text in texts.items()}
    if default is not None and default not in texts:
        raise InputError(
            f"{place}: default_prompt_name is {short(default)}, and no prompt has that name; they are "
            f"{', '.join(texts) or 'none'}"
        )
    dim = tree.get("truncate_dim")
    if dim is not None and (type(dim) is not int or dim < 1):
        raise InputError(f"{place}: truncate_dim is {short(dim)}, and must be a whole number of dimensions, or null")
    return Prompts(texts=texts, default=default, dim=dim, long=_own(tree.get("inlay") or {}, place).long)


def read_dense(folder: Path) -> Dense:
    """A Dense layer and its weights; InputError for an activation or a setting that is not known, by its name."""
    place, tree = _settings(folder)
    sizes = [tree.pop(key, None) for key in ("in_features", "out_features")]
    name = str(tree.pop("activation_function", "torch.nn.modules.activation.Tanh"))
    home, _, kind = name.rpartition(".")
    activation = ACTIVATIONS_OF.get(kind) if home.startswith("torch.nn.") else None
    if activation is None:
        raise InputError(f"{place}: activation_function is {short(name)}; those that are read are {_NAMES}")
    for key in ("module_input_name", "module_output_name"):
        if tree.pop(key, None) not in (None, "sentence_embedding"):
            raise InputError(f"{place}: {key} must be sentence_embedding; a layer on tokens is not read")
    if tree.pop("use_residual", False):
        raise InputError(f"{place}: use_residual is not read; the model cannot be opened")
    biased = tree.pop("bias", True)
    _refuse(place, tree)
    arrays = read_arrays(weight_file(folder))
    left = sorted(arrays.keys() - {"linear.weight", "linear.bias"})
    if left or "linear.weight" not in arrays or biased is not ("linear.bias" in arrays):
        held = ", ".join(arrays) or "nothing"
        raise InputError(f"{folder}: the weights hold {held:.200}, which is no Dense layer; copy the folder again")
    try:
        dense = Dense(weight=arrays["linear.weight"], bias=arrays.get("linear.bias"), activation=activation)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    if sizes != list(dense.size):
        raise InputError(f"{place}: names the sizes {short(sizes)}, but the weights are of {list(dense.size)}")
    return dense


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a safetensors file as float32; InputError where it is unsound, or holds other than numbers."""
    found = {}
    for name, entry in read_header(path)[0].items():
        if entry.code not in _FLOATS:
            raise InputError(f"{path}: {name!r} is of {entry.code}; weights must be of {', '.join(_FLOATS)}")
        raw = np.fromfile(path, _FLOATS[entry.code], math.prod(entry.shape), offset=entry.begin)
        if entry.code == "BF16":  # the upper half of a float32
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        found[name] = np.ascontiguousarray(raw, np.float32).reshape(entry.shape)
    return found


@dataclass(frozen=True, kw_only=True)
class Own:
    """What inlay says in the files of others."""

    layer: Layer = At(layer=-1)
    long: Long = Truncate()


def _own(tree: Any, place: Path) -> Own:
    try:
        return from_tree(Own, tree)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    place = member(folder, CONFIG)
    return place, _table(place)


def _table(place: Path) -> dict[str, Any]:
    tree = read_json(place, most=MOST_BYTES)
    if not isinstance(tree, dict):
        raise InputError(f"{place}: must be a table of settings; the folder is damaged or of another kind")
    return dict(tree)


def _refuse(place: Path, left: Iterable[str]) -> None:
    """InputError for settings that nobody has read: they may change what comes out."""
    if left := sorted(left):
        raise InputError(f"{place}: has the setting {short(left[0])}, which is not known; the model cannot be read")
