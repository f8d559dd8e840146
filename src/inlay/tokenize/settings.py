"""What the JSON files of a folder say of its tokenizer: an allow-list of settings, each of its type.

Nothing that a file names is imported. Where a folder has `added_tokens_decoder` in its tokenizer_config.json, the older
special_tokens_map.json and added_tokens.json are left out, as transformers 5 does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inlay.errors import InputError
from inlay.tokenize.vocabulary import table_of

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
"""What a special token can be for; tokens that a vocabulary lacks get their ids in this order."""

_OPTIONS: dict[str, tuple[type, ...]] = {
    "do_lower_case": (bool,),
    "strip_accents": (bool, type(None)),
    "tokenize_chinese_chars": (bool,),
    "add_prefix_space": (bool,),
    "keep_accents": (bool,),
    "add_bos_token": (bool,),
    "add_eos_token": (bool,),
    "extra_ids": (int,),
}
_NO_LIMIT = 1e9
"""From here on a `model_max_length` says that there is none; transformers writes 1e30."""
_MOST_EXTRA_IDS = 10_000
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


@dataclass(frozen=True, kw_only=True)
class Special:
    """A token that is taken from text as it stands, before the text is cut into pieces."""

    content: str
    lstrip: bool = False
    """Whether it takes in the spaces before it, as `<mask>` may."""
    rstrip: bool = False
    """Whether it takes in the spaces after it."""
    single_word: bool = False
    """Whether it counts only where no letter is beside it."""
    normalized: bool | None = None
    """Whether it is looked for in the text as rewritten (lower-cased, …); None: unless it is special."""
    special: bool = True
    """Whether it stands for no text."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the files of a folder say; what they leave out, the family of the tokenizer fills in."""

    kind: str | None = None
    """The class that the folder names, without a `Fast` at its end."""
    model_type: str | None = None
    """The kind of model that lies beside the tokenizer."""
    roles: Mapping[str, Special | None] = field(default_factory=dict)
    """The tokens that the folder names for a role; None: there is none for it."""
    extra: tuple[Special, ...] | None = None
    """Special tokens without a role; None: the folder does not say."""
    old_extra: tuple[Special, ...] | None = None
    """Those of special_tokens_map.json."""
    added: Mapping[int, Special] = field(default_factory=dict)
    """Tokens beside the vocabulary, by their ids."""
    decides: bool = False
    """Whether `added` goes before what a tokenizer.json says of the same tokens."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How text is rewritten, by the names of tokenizer_config.json."""
    max_length: int | None = None
    """Tokens that the model takes at most."""
    inputs: tuple[str, ...] | None = None
    """What the model takes: `token_type_ids` among them where it has segments."""
    padding_side: str | None = None


def read(folder: Path) -> Settings:
    """The settings of a folder; where it has no such files, all is left to the family."""
    place = folder / "tokenizer_config.json"
    config = _table(place)
    names_code = config.get("auto_map")
    if isinstance(names_code, list) or (isinstance(names_code, dict) and "AutoTokenizer" in names_code):
        raise InputError(
            f"{place}: auto_map asks for code of the folder's own, and none is run; "
            "take that key out to read the tokenizer's files as they are"
        )
    roles, extra = _roles(config, place), _extra(config, place)
    old_extra = None
    decides = "added_tokens_decoder" in config
    if decides:
        added = _decoder(config["added_tokens_decoder"], place)
    else:
        older = folder / "special_tokens_map.json"
        map_ = _table(older)
        roles |= _roles(map_, older)
        old_extra = _extra(map_, older)
        known = [token for token in roles.values() if token] + [*(extra or ()), *(old_extra or ())]
        added = _added(folder / "added_tokens.json", {token.content for token in known})
    model = {} if isinstance(config.get("tokenizer_class"), str) else _table(folder / "config.json")
    kind = _text(config, "tokenizer_class", place) or _text(model, "tokenizer_class", folder / "config.json")
    return Settings(
        kind=kind.removesuffix("Fast") if kind else None,
        model_type=_text(model, "model_type", folder / "config.json"),
        roles=roles,
        extra=extra,
        old_extra=old_extra,
        added=added,
        decides=decides,
        options={name: _option(config[name], name, place) for name in _OPTIONS if name in config},
        max_length=_length(config, place),
        inputs=_inputs(config, place),
        padding_side=_side(config, place),
    )


def _table(path: Path) -> dict[str, Any]:
    return table_of(path) if path.is_file() else {}


def _text(table: dict[str, Any], key: str, place: Path) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{place}: {key} is {str(value)[:40]!r}, and must be a name")
    return value


def _option(value: Any, name: str, place: Path) -> Any:
    kinds = _OPTIONS[name]
    if type(value) not in kinds:
        wanted = "a whole number" if int in kinds else "true or false"
        raise InputError(f"{place}: {name} is {str(value)[:40]!r}, and must be {wanted}")
    if name == "extra_ids" and not 0 <= value <= _MOST_EXTRA_IDS:
        raise InputError(
            f"{place}: extra_ids is {str(value)[:40]}, and must be from 0 to {_MOST_EXTRA_IDS}; T5 has 100"
        )
    return value


def _length(config: dict[str, Any], place: Path) -> int | None:
    length = config.get("model_max_length", config.get("max_len"))
    if length is None or (type(length) in (int, float) and length >= _NO_LIMIT):
        return None
    if type(length) not in (int, float) or not length >= 1 or length != int(length):
        raise InputError(f"{place}: model_max_length is {str(length)[:40]!r}, and must be a whole number from 1 on")
    return int(length)


def _side(config: dict[str, Any], place: Path) -> str | None:
    side = _text(config, "padding_side", place)
    if side not in (None, "left", "right"):
        raise InputError(f"{place}: padding_side is {side!r}, and must be 'left' or 'right'")
    return side


def _inputs(config: dict[str, Any], place: Path) -> tuple[str, ...] | None:
    names = config.get("model_input_names")
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise InputError(f"{place}: model_input_names is {str(names)[:40]!r}, and must be a list of names")
    return tuple(names)


def _roles(table: dict[str, Any], place: Path) -> dict[str, Special | None]:
    keys = {role: f"{role}_token" for role in ROLES}
    return {
        role: None if table[key] is None else _special(table[key], f"{place}: {key}", special=True)
        for role, key in keys.items()
        if key in table
    }


def _extra(table: dict[str, Any], place: Path) -> tuple[Special, ...] | None:
    """Tokens without a role: in a list, in a table by names of their own, or under a key that ends in `_token`."""
    listed = table.get("extra_special_tokens") or table.get("additional_special_tokens") or []
    values = list(listed.values()) if isinstance(listed, dict) else listed
    if not isinstance(values, list):
        raise InputError(f"{place}: extra_special_tokens is {str(values)[:40]!r}, and must be a list of tokens")
    own = [key for key in table if key.endswith("_token") and key.removesuffix("_token") not in ROLES]
    named = [table[key] for key in own if isinstance(table[key], str | dict)]
    found = tuple(_special(value, f"{place}: extra_special_tokens") for value in [*named, *values])
    said = "extra_special_tokens" in table or "additional_special_tokens" in table
    return found if said or found else None


def _special(value: Any, place: str, *, special: bool | None = None) -> Special:
    told = value if isinstance(value, dict) else {"content": value}
    content = told.get("content")
    if not isinstance(content, str) or not content:
        raise InputError(f"{place} is {str(value)[:60]!r}, and must be a token that is not empty")
    wrong = next((name for name in _FLAGS if not isinstance(told.get(name, False), bool)), None)
    if wrong:
        raise InputError(
            f"{place}: {wrong} of {content[:40]!r} is {str(told[wrong])[:40]!r}, and must be true or false"
        )
    known = {name: told[name] for name in _FLAGS if name in told}
    return Special(content=content, **(known if special is None else known | {"special": special}))


def _decoder(tree: Any, place: Path) -> dict[int, Special]:
    if not isinstance(tree, dict):
        raise InputError(f"{place}: added_tokens_decoder must be a table of ids and tokens")
    found = {}
    for key, value in tree.items():
        if not key.isascii() or not key.isdigit() or len(key) > 9 or not isinstance(value, dict):
            raise InputError(f"{place}: added_tokens_decoder has {key[:40]!r}, and must have ids and tokens")
        found[int(key)] = _special({"special": False} | value, f"{place}: added_tokens_decoder {key}")
    return found


def _added(path: Path, known: set[str]) -> dict[int, Special]:
    found: dict[int, Special] = {}
    for content, number in _table(path).items():
        if type(number) is not int or number < 0 or number in found:
            rule = "and must be a whole number of its own from 0 on"
            raise InputError(f"{path}: {content[:40]!r} has id {str(number)[:40]}, {rule}")
        found[number] = _special(content, f"{path}: a token", special=content in known)
    return found
