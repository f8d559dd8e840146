"""Models from folders and into them: what other libraries wrote is read, and they can read what is written here."""

import fnmatch
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inlay import __version__
from inlay.config import from_tree, to_tree
from inlay.convert import weights as files
from inlay.convert.families import FAMILIES, UNSHARED
from inlay.convert.family import STARTS, Family
from inlay.convert.filling import DTYPES, ELSE, Found, fill
from inlay.convert.folder import MOST_BYTES, member, parts_of, transformer_folder
from inlay.convert.hub import Fetched, locate
from inlay.convert.names import Line, Names
from inlay.convert.settings import CONFIG, Settings, read_settings
from inlay.errors import InputError, did_you_mean
from inlay.files import (
    CHECKSUMS,
    atomic_folder,
    claim_output,
    read_json,
    verify_checksums,
    write_checksums,
    write_json,
)
from inlay.model.model import Model, ModelConfig
from inlay.model.xlrelative import XLRelative

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

OWN = "inlay"
"""The `model_type` of inlay's own layout, which holds every architecture; other libraries do not read it."""
ABOUT = "inlay.json"
_GENERATION = "generation_config.json"
_TOKENS = {"bos": ("bos", "cls"), "eos": ("eos", "sep"), "pad": ("pad",)}  # the roles that generate takes for each
_MOST = 1 << 25
_MOST_NAMES = 200
SAME = "same"
"""The dtype of the weights as they lie in the file; of several, one that holds them all."""


def read_config(place: str | Path | Fetched) -> ModelConfig:
    """The architecture of the model in a folder or on the hub, with all its heads; no weight is read, nor its sum."""
    return _open(_located(place)).config


def load_model(
    place: str | Path | Fetched,
    *,
    heads: Sequence[str] | None = None,
    dtype: str | None = None,
    ignore: Sequence[str] = (),
) -> Model:
    """The model in a folder, with all the heads that are in it, or with those named in `heads`; in eval mode.

    `place` may also be the name of a model on the hub. The folder is of transformers, of sentence-transformers, or one
    that `save_model` wrote. Every tensor is used, known as a head that was not asked for, or matches one of `ignore`
    (patterns such as `classifier.*`): what was left out so is in `model.source["left_out"]`. float16 and bfloat16
    become float32, unless `dtype` names another (`same`: as in the file). Raises InputError where settings or tensors
    are not all understood, and where anything is missing, damaged or not finite.
    """
    return _load(_open(_sound(_located(place)), ignore), heads, dtype)


def load_pair(
    place: str | Path | Fetched,
    *,
    heads: Sequence[str] | None = None,
    dtype: str | None = None,
    ignore: Sequence[str] = (),
) -> "tuple[Model, Tokenizer]":
    """The model, as `load_model` has it, and the tokenizer beside it; they must belong together."""
    from inlay.tokenize.tokenizer import Tokenizer

    opened = _open(_sound(_located(place)), ignore)
    tokenizer = Tokenizer.load(opened.folder)
    check_pair(opened.config, tokenizer, str(opened.folder))
    return _load(opened, heads, dtype), tokenizer


def save_model(
    model: Model,
    place: str | Path,
    *,
    tokenizer: "Tokenizer | None" = None,
    force: bool = False,
) -> None:
    """Write a folder that `load_model` reads, and transformers too where `config.family` names a family of its.

    Weights keep their dtype. The folder is new or empty, or a model's that `force` lets be replaced: the old one is
    whole until the new one is. Raises InputError where the family cannot hold the model, or the tokenizer has more ids
    than the model has rows.
    """
    config, place, ours = model.config, Path(os.path.expanduser(place)), model.state_dict()
    family = FAMILIES.get(config.family)
    if family is None and config.family not in UNSHARED:
        raise InputError(f"family={config.family!r} is not built in{did_you_mean(config.family, [*FAMILIES, OWN])}")
    tree = family.settings(config, ours) if family else {"model_type": OWN, "model": to_tree(config)}
    if tokenizer is not None:
        check_pair(config, tokenizer, "the model")
        tree = {**_tokens(tokenizer), **tree, **_start(config, tokenizer)} if family and config.decoder else tree
    claim_output(place, force=force, whole=True)
    if place.exists() and (place.is_file() or (any(place.iterdir()) and not (place / CONFIG).is_file())):
        raise InputError(f"{place} is no model (it has no {CONFIG}), and only a model is replaced; give another folder")
    with atomic_folder(place) as part:
        write_json(part / CONFIG, tree | {"dtype": str(next(model.parameters()).dtype).removeprefix("torch.")})
        files.write(family.tensors(config, ours) if family else ours, part)
        if tokenizer is not None:
            tokenizer.save(part, segments=_has_segments(config))
        write_json(part / ABOUT, {"inlay": __version__, "config": to_tree(config), "source": model.source})
        write_checksums(part)


def check_pair(config: ModelConfig, tokenizer: "Tokenizer", place: str) -> None:
    """InputError where the tokenizer has ids for which the model has no row."""
    highest = max(tokenizer.vocabulary.values(), default=-1)
    if highest >= config.vocab_size:
        raise InputError(
            f"{place}: the tokenizer has ids up to {highest}, the token table {config.vocab_size} rows; take the "
            "tokenizer that belongs to the model"
        )


def _tokens(tokenizer: "Tokenizer") -> dict[str, int]:
    """What a text that is written begins with, ends with and is filled up with: other libraries ask config.json."""
    kept = tokenizer.roles
    found = {key: [kept[role] for role in roles if role in kept] for key, roles in _TOKENS.items()}
    return {f"{key}_token_id": tokenizer.id(tokens[0]) for key, tokens in found.items() if tokens}


def _start(config: ModelConfig, tokenizer: "Tokenizer") -> dict[str, int]:
    """What a decoder beside an encoder begins with."""
    token = written_start(config, tokenizer)
    return {} if config.encoder is None or token is None else {"decoder_start_token_id": token}


def written_start(config: ModelConfig, tokenizer: "Tokenizer") -> int | None:
    """The id that a decoder beside an encoder begins with; None where the vocabulary has none for it."""
    family, roles = FAMILIES.get(config.family), tokenizer.roles
    names = family.starts if family else STARTS
    return next((tokenizer.id(roles[role]) for role in names if role in roles), None)


@dataclass(frozen=True)
class _Opened:
    """A folder whose settings and headers were read."""

    fetched: Fetched
    folder: Path
    """The folder with the weights."""
    tree: dict[str, Any]
    family: Family | None
    """None: inlay's own layout."""
    config: ModelConfig
    found: Found
    ignored: list[str]
    """Names in the file that were not to be seen."""


def _located(place: str | Path | Fetched) -> Fetched:
    return place if isinstance(place, Fetched) else locate(place)


def _sound(fetched: Fetched) -> Fetched:
    """The same, where the files are those that were written; all of them are read for it."""
    folder = transformer_folder(fetched.folder)
    if not (folder / CHECKSUMS).is_symlink():  # what the hub's cache links to was checked when it came
        verify_checksums(folder)
    return fetched


def _open(fetched: Fetched, ignore: Sequence[str] = ()) -> _Opened:
    folder = transformer_folder(fetched.folder)
    tree = _typed(read_settings(folder), folder / CONFIG)
    settings = Settings(tree, folder / CONFIG)
    name = settings.text("model_type", [*FAMILIES, OWN])
    family = None if name == OWN else FAMILIES[name]
    weights = files.read(folder)
    ignored = _matching(weights, ignore, folder)
    seen = [name for name in weights if name not in ignored]
    canonical = family.canonical(seen) if family else {name: name for name in seen}
    with _placed(folder / CONFIG):
        config = family.read(settings, frozenset(canonical)) if family else _read_own(settings)
    _check_size(config, weights, folder)
    return _Opened(fetched, folder, tree, family, config, Found(weights, canonical, str(folder)), ignored)


def _typed(tree: dict[str, Any], place: Path) -> dict[str, Any]:
    """The settings with a model_type: the oldest files leave it to the class that wrote them."""
    if "model_type" in tree:
        return tree
    listed = tree.get("architectures")
    for family in FAMILIES.values():
        if isinstance(listed, list) and any(name in listed for name in family.classes):
            return {**tree, "model_type": family.name}
    raise InputError(f"{place}: lacks 'model_type', the model's family; write it there: one of {', '.join(FAMILIES)}")


@contextmanager
def _placed(place: Path) -> Iterator[None]:
    """Errors of a config that cannot be, which knows no file, with the file's name before them."""
    try:
        yield
    except InputError as error:
        if str(error).startswith(str(place)):
            raise
        raise InputError(f"{place}: {error}") from None


def _matching(weights: files.Weights, patterns: Sequence[str], folder: Path) -> list[str]:
    """The names in the file that a pattern fits; a pattern that fits none is a slip of the pen."""
    found: set[str] = set()
    begins = sorted({".".join([*name.split(".")[:-1][:2], "*"]) for name in weights if name.isprintable()})
    _check_list("ignore", patterns)
    for pattern in patterns:
        names = fnmatch.filter(weights, pattern)
        if not names:
            near = did_you_mean(pattern, [*begins, *weights][:_MOST_NAMES])
            known = near if near.startswith("; did") else f"; they are {', '.join(begins[:8])}"
            raise InputError(f"{folder}: ignore={pattern!r} fits no tensor{known}")
        found |= set(names)
    return sorted(found)


def _check_size(config: ModelConfig, weights: files.Weights, folder: Path) -> None:
    """InputError where the weights cannot be of a model of such sizes, before so much as a plan of it is made."""
    stacks = [stack for stack in (config.encoder, config.decoder) if stack is not None]
    if (blocks := sum(stack.n_blocks for stack in stacks)) > len(weights):
        raise InputError(f"{folder}: {CONFIG} has {blocks} layers, but there are {len(weights)} tensors in all; {ELSE}")
    rows = (config.vocab_size, config.d_embed, config.input.n_segments)
    widest = max(*rows, *(max(s.d_model, s.d_ffn, s.n_heads * s.d_key) for s in stacks))
    if widest > _MOST:
        raise InputError(f"{folder}: {CONFIG} has a size of {widest}, beyond all models; {ELSE}")


def _load(opened: _Opened, heads: Sequence[str] | None, dtype: str | None) -> Model:
    config, family, found = _with_heads(opened.config, heads, opened.folder), opened.family, opened.found
    into = _dtype(dtype, found)
    with _placed(opened.folder / CONFIG):
        whole = opened.config.build(device="meta").state_dict()
        model = config.build(device="meta").to(into)
    left_out = fill(
        model,
        family.names(config) if family else _same(whole),
        found,
        known=set(family.names(opened.config).theirs(whole) if family else whole),
        exact=dtype is not None,
        hint=_written_by(opened),
    )
    model.source = _source(opened, sorted([*opened.ignored, *left_out]))
    return model.eval()


def _dtype(name: str | None, found: Found) -> torch.dtype:
    if name == SAME:
        there = {found.weights.dtype(one) for one in found.weights} & set(DTYPES.values())
        widest = torch.float16 if there == {torch.float16} else torch.bfloat16 if there == {torch.bfloat16} else None
        return widest or (torch.float64 if torch.float64 in there else torch.float32)
    if name is not None and name not in DTYPES:
        near = did_you_mean(str(name).removeprefix("torch."), [*DTYPES, SAME])
        raise InputError(f"dtype={name!r} is none of a model's{near}")
    return DTYPES[name or "float32"]


def _read_own(settings: Settings) -> ModelConfig:
    found = settings.table("model").plain()
    settings.finish()
    return from_tree(ModelConfig, found, "model")


def _with_heads(config: ModelConfig, heads: Sequence[str] | None, place: Path) -> ModelConfig:
    if heads is None:
        return config
    there = [head.name for head in config.heads]
    _check_list("heads", heads)
    for name in heads:
        if name not in there:
            what = did_you_mean(name, there) if there else "; it has none"
            raise InputError(f"{place}: has no head {name!r}{what}")
    return replace(config, heads=tuple(head for head in config.heads if head.name in heads))


def _check_list(what: str, names: Sequence[str]) -> None:
    if isinstance(names, str):
        raise InputError(f"{what}={names!r} must be a list; write {what}=[{names!r}]")


def _same(names: Sequence[str] | dict[str, Any]) -> Names:
    return Names(lines=tuple(Line(name, name) for name in names))


def _has_segments(config: ModelConfig) -> bool:
    stack = config.encoder or config.decoder
    return config.input.n_segments > 1 or isinstance(stack and stack.relative, XLRelative)


def _written_by(opened: _Opened) -> str:
    """What may explain names that do not fit: the class that wrote them."""
    listed = opened.tree.get("architectures")
    names = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    by = f"written by {names[0][:60]!r}" if names else "config.json names no class in architectures"
    return f" ({by}; heads read: {' + '.join(head.name for head in opened.config.heads) or 'none'})"


def _source(opened: _Opened, left_out: list[str]) -> dict[str, Any]:
    """Where the weights came from, and what was left on the way: as the folder itself tells, and what is new."""
    folder, fetched = opened.folder, opened.fetched
    about = read_json(member(folder, ABOUT), most=MOST_BYTES) if (folder / ABOUT).is_file() else {}
    told = about.get("source") if isinstance(about, dict) else None
    told = told if isinstance(told, dict) else {}
    here = {
        "name": fetched.name or str(fetched.folder),
        "revision": fetched.revision,
        "family": opened.family.name if opened.family else OWN,
    }
    found: dict[str, Any] = dict(here)
    if isinstance(told.get("name"), str):
        found = {key: told.get(key) if isinstance(told.get(key), str) else None for key in here}
    new = {
        "left_out": left_out,
        # The other parts of a folder of sentence-transformers, and how text was to be written.
        "beside": [kind for kind, _ in parts_of(fetched.folder) if kind != "Transformer"]
        + [name for name in (_GENERATION,) if (folder / name).is_file()],
    }
    for key, names in new.items():
        old = told.get(key)
        kept = [one for one in old if isinstance(one, str)] if isinstance(old, list) else []
        if both := list(dict.fromkeys([*kept, *names])):
            found[key] = both
    return found
