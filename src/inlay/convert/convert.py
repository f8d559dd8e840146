"""Models from folders and into them: what other libraries wrote is read, and they can read what is written here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay import __version__
from inlay.config import from_tree, to_tree
from inlay.convert import weights as files
from inlay.convert.families import FAMILIES
from inlay.convert.family import Family
from inlay.convert.filling import DTYPES, Found, fill
from inlay.convert.folder import member
from inlay.convert.hub import Fetched, locate
from inlay.convert.names import Line, Names
from inlay.convert.settings import CONFIG, Settings, read_settings
from inlay.errors import InputError, did_you_mean
from inlay.files import (
    CHECKSUMS,
    atomic_folder,
    claim_output,
    contained,
    parse_json,
    verify_checksums,
    write_checksums,
    write_json,
)
from inlay.model.model import Model, ModelConfig

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

OWN = "inlay"
"""The `model_type` of inlay's own layout, which holds every architecture; other libraries do not read it."""
ABOUT = "inlay.json"
MODULES = "modules.json"


def load_model(
    place: str | Path,
    *,
    heads: Sequence[str] | None = None,
    dtype: str | None = None,
    ignore: Sequence[str] = (),
) -> Model:
    """The model in a folder, with all the heads that are in it, or with those named in `heads`; in eval mode.

    `place` may also be the name of a model on the hub. The folder is of transformers, of sentence-transformers, or one
    that `save_model` wrote. Every tensor is used, known as a head that was not asked for, or matches one of `ignore`
    (patterns such as `classifier.*`): what was left out so is in `model.source["left_out"]`. float16 and bfloat16
    become float32, unless `dtype` names another. Raises InputError where settings or tensors are not all understood,
    and where anything is missing, damaged or not finite.
    """
    fetched = locate(place)
    folder = transformer_folder(fetched.folder)
    if not (folder / CHECKSUMS).is_symlink():  # what the hub's cache links to was checked when it came
        verify_checksums(folder)
    tree = read_settings(folder)
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype={dtype!r} is none of a model's{did_you_mean(dtype, DTYPES)}")
    settings = Settings(tree, folder / CONFIG)
    weights = files.read(folder)
    family = family_of(settings)
    canonical = family.canonical(weights) if family else {name: name for name in weights}
    whole = family.read(settings, frozenset(canonical)) if family else _read_own(settings)
    config = _with_heads(whole, heads, folder)
    model = config.build(device="meta").to(DTYPES[dtype or "float32"]).to_empty(device="cpu")
    left_out = fill(
        model,
        family.names(config) if family else _same(model),
        Found(weights, canonical, str(folder)),
        known=_their_names(family, whole),
        ignore=ignore,
        exact=dtype is not None,
        hint=_written_by(tree, config),
    )
    model.source = _source(fetched, folder, family, left_out)
    return model.eval()


def save_model(
    model: Model,
    place: str | Path,
    *,
    tokenizer: "Tokenizer | None" = None,
    force: bool = False,
) -> None:
    """Write a folder that `load_model` reads, and transformers too where `config.family` names a family.

    Weights keep their dtype. The folder is new or empty, or a model's that `force` lets be replaced: the old one is
    whole until the new one is. Raises InputError where the family cannot hold the model, or the tokenizer has more ids
    than the model has rows.
    """
    config, place = model.config, Path(place)
    family = _family(config.family) if config.family else None
    if tokenizer is not None:
        check_pair(model, tokenizer, "the model")
    ours = model.state_dict()
    tree = family.settings(config, ours) if family else {"model_type": OWN, "model": to_tree(config)}
    tree |= {"dtype": str(model.input.table().dtype).removeprefix("torch.")}
    claim_output(place, force=force)
    if place.exists() and (place.is_file() or (any(place.iterdir()) and not (place / CONFIG).is_file())):
        raise InputError(f"{place} is no model (it has no {CONFIG}), and only a model is replaced; give another folder")
    with atomic_folder(place) as part:
        write_json(part / CONFIG, tree)
        files.write(family.tensors(config, ours) if family else ours, part)
        if tokenizer is not None:
            tokenizer.save(part)
        about = {"inlay": __version__, "config": to_tree(config), "source": model.source}
        write_json(part / ABOUT, about)
        write_checksums(part)


def check_pair(model: Model, tokenizer: "Tokenizer", place: str | Path) -> None:
    """InputError where the tokenizer has ids for which the model has no row."""
    if tokenizer.size > model.config.vocab_size:
        raise InputError(
            f"{place}: the tokenizer has {tokenizer.size} ids, the token table {model.config.vocab_size} rows; take "
            "the tokenizer that belongs to the model"
        )


def transformer_folder(folder: Path) -> Path:
    """The folder with the weights: itself, or the part that a folder of sentence-transformers names as Transformer."""
    if not (folder / MODULES).is_file():
        return folder
    parts = parse_json(member(folder, MODULES).read_bytes(), folder / MODULES)
    found = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    paths = [part.get("path") for part in found if str(part.get("type")).rpartition(".")[2] == "Transformer"]
    if len(paths) != 1 or not isinstance(paths[0], str):
        kinds = ", ".join(str(part.get("type")).rpartition(".")[2][:40] for part in found[:8])
        raise InputError(f"{folder / MODULES}: must name one Transformer, not {kinds or 'nothing'}")
    return contained(folder, paths[0]) if paths[0] else folder


def family_of(settings: Settings) -> Family | None:
    """The family of these settings; None for inlay's own layout."""
    name = settings.text("model_type")
    return None if name == OWN else _family(name)


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise InputError(f"model_type {name!r} is of no family that is built in{did_you_mean(name, [*FAMILIES, OWN])}")
    return FAMILIES[name]


def _read_own(settings: Settings) -> ModelConfig:
    found = settings.table("model").plain()
    settings.finish()
    return from_tree(ModelConfig, found, "model")


def _with_heads(config: ModelConfig, heads: Sequence[str] | None, place: Path) -> ModelConfig:
    if heads is None:
        return config
    there = [head.name for head in config.heads]
    for name in heads:
        if name not in there:
            what = did_you_mean(name, there) if there else "; there is none: leave heads out"
            raise InputError(f"{place}: has no head {name!r}{what}")
    return replace(config, heads=tuple(head for head in config.heads if head.name in heads))


def _their_names(family: Family | None, config: ModelConfig) -> set[str]:
    state = config.build(device="meta").state_dict()
    return set(family.names(config).theirs(state) if family else state)


def _same(model: Model) -> Names:
    return Names(lines=tuple(Line(name, name) for name in model.state_dict()))


def _written_by(tree: dict[str, Any], config: ModelConfig) -> str:
    names = tree.get("architectures")
    heads = " + ".join(head.name for head in config.heads) or "none"
    return f" (architectures: {', '.join(map(str, names[:3]))}; heads read: {heads})" if isinstance(names, list) else ""


def _source(fetched: Fetched, folder: Path, family: Family | None, left_out: list[str]) -> dict[str, Any]:
    """Where the weights came from: what the folder itself says of that, else the folder."""
    about = parse_json(member(folder, ABOUT).read_bytes(), folder / ABOUT) if (folder / ABOUT).is_file() else {}
    told = about.get("source") if isinstance(about, dict) else None
    here = {"name": fetched.name or str(fetched.folder), "revision": fetched.revision}
    found = told if isinstance(told, dict) else {**here, "family": family.name if family else OWN}
    return {**found, "left_out": left_out} if left_out else found
