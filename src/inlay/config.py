"""Config: frozen dataclasses in, plain trees out, and back. The type annotation is the registry.

A choice is a union of dataclasses, and its case is named by `kind`. Code, YAML and the command line end in `from_tree`:

    encoder: Stack
    relative: Rotary | T5Buckets | None = None          # relative: {kind: T5Buckets, n_buckets: 64}
"""

import dataclasses
import math
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from inlay.errors import InputError, did_you_mean

Config = TypeVar("Config")

_RULES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text (in YAML, put it in quotes)",
    Path: "a path",
    tuple: "a list",
    dict: "a table of keys",
    type(None): "null",
}
_YAML_1_1_MISSES = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")  # it reads 5e-4 as text: it wants 5.0e-4
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def from_tree(cls: type[Config], tree: Any, path: str = "") -> Config:
    """Build `cls` (a dataclass or a union of them) from a plain tree; raises InputError for all that does not fit.

    `path` names the place of the tree in messages. A value may also be a finished part instead of its tree.
    """
    return typing.cast(Config, _load(cls, tree, path))


def to_tree(cfg: Any, cls: Any = None) -> Any:
    """The plain tree of a config, for JSON and YAML: `from_tree(cls, to_tree(cfg, cls)) == cfg`.

    `cls` is the declared type, needed where the whole config is one case of a union, so that `kind` is written.
    """
    return _dump(cls or type(cfg), cfg)


def override(cfg: Config, assignments: Mapping[str, Any], cls: Any = None) -> Config:
    """A copy of `cfg` with dotted keys set, e.g. `{"encoder.n_layers": 6}`; the order of the keys does not matter.

    A table is merged key by key; a part that is given another `kind` starts from the defaults of that kind.
    """
    patch: dict[str, Any] = {}
    for dotted in sorted(assignments, key=lambda key: key.count(".")):
        *parents, leaf = dotted.split(".")
        node = patch
        for parent in parents:
            below = node.setdefault(parent, {})
            if not isinstance(below, dict):
                raise InputError(f"cannot set {dotted!r}: {parent!r} is also set as a whole; give one of the two")
            node[parent] = node = dict(below)
        node[leaf] = _merge(node.get(leaf), assignments[dotted])
    return typing.cast(Config, from_tree(cls or type(cfg), _merge(to_tree(cfg, cls), patch)))


def load_yaml(cls: type[Config], path: str | Path) -> Config:
    """The config in a YAML file; a key written twice is an InputError too, with its line."""
    return from_tree(cls, load_tree(path))


def load_tree(path: str | Path) -> Any:
    """The plain tree in a YAML file; an empty one is an empty table, which asks for the defaults."""
    try:
        tree = _yaml(Path(path).read_text(encoding="utf-8-sig"), str(path))
        return {} if tree is None else tree
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name the YAML file in it") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`["a.b=3", "c=[x, y]"]` as `{"a.b": 3, "c": ["x", "y"]}`: values are read as YAML, `a=` is null, `a=-` a dash."""
    values: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise InputError(f"{text!r} is no assignment; write key=value, for example encoder.n_layers=6")
        if key.strip() in values:
            raise InputError(f"{key.strip()!r} is set twice; leave one")
        values[key.strip()] = value if value == "-" else _yaml(value, text)  # YAML: a list of nothing
    return values


def _load(hint: Any, value: Any, path: str) -> Any:
    cases = _cases(hint)
    parts = [case for case in cases if is_dataclass(case)]
    if value is None and type(None) in cases or any(type(value) is part for part in parts):
        return value
    if parts and isinstance(value, Mapping):
        return _build(_choose(parts, value, path), value, path)
    # An exact type goes first: `float | str` keeps the text "5e-4" as text.
    scalars = sorted((case for case in cases if case not in parts), key=lambda case: type(value) is not case)
    if parts or len(scalars) != 1:
        for case in scalars:
            try:
                return _read(case, value, path)
            except InputError:
                continue
        raise _wrong(value, path, " or ".join(dict.fromkeys(_rule(case) for case in cases)))
    return _read(scalars[0], value, path)


def _choose(parts: list[Any], tree: Mapping[Any, Any], path: str) -> Any:
    kinds = {part.__name__: part for part in parts}
    if "kind" not in tree and len(parts) == 1:
        return parts[0]
    kind = tree.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        given = f"is {_SHORT.repr(kind)}" if "kind" in tree else "is missing"
        raise InputError(f"{_join(path, 'kind')!r} {given}{did_you_mean(_word(kind), kinds)}")
    return kinds[kind]


def _build(cls: Any, tree: Mapping[Any, Any], path: str) -> Any:
    hints, known = typing.get_type_hints(cls), {field.name: field for field in dataclasses.fields(cls) if field.init}
    assert "kind" not in known, f"{cls.__name__}: a field cannot be called kind"
    for key in tree:
        if key not in known and key != "kind":
            way_out = did_you_mean(str(key), known) if known else ", which has no settings; leave it out"
            if isinstance(key, str) and ":" in key and tree[key] is None:  # YAML takes {a:b} for one word
                way_out = f"; write a space after the colon: {key.replace(':', ': ', 1)}"
            raise InputError(f"unknown key {_join(path, key)!r} for {cls.__name__}{way_out}")
    needed = [name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    if absent := [_join(path, name) for name in needed if name not in tree]:
        raise InputError(f"{cls.__name__} needs {', '.join(map(repr, absent))}, which has no default")
    values = {key: _load(hints[key], value, _join(path, key)) for key, value in tree.items() if key != "kind"}
    try:
        return cls(**values)
    except ValueError as error:  # the class's own check of its values
        raise InputError(f"{path}: {error}" if path else str(error)) from error


def _read(hint: Any, value: Any, path: str) -> Any:
    origin, items = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Any:
        return value
    if origin is Literal:
        if any(value == option and type(value) is type(option) for option in items):
            return value
        raise InputError(f"{path}={_SHORT.repr(value)} is not a choice{did_you_mean(_word(value), map(str, items))}")
    if origin is tuple and isinstance(value, list | tuple):
        if items[-1] is not ... and len(items) != len(value):
            raise _wrong(value, path, f"a list of {len(items)}")
        return tuple(_load(h, v, f"{path}[{i}]") for i, (h, v) in enumerate(_each(items, value)))
    if origin is dict and isinstance(value, Mapping):
        return {_read(items[0], k, f"a key of {path}"): _load(items[1], v, _join(path, k)) for k, v in value.items()}
    if origin is float:
        return _number(value, path)
    if origin is Path and isinstance(value, str | Path):
        return Path(value)
    if type(value) is origin and origin in (bool, int, str):
        return value
    assert origin in _RULES, f"{path}: a config cannot hold {hint}"
    raise _wrong(value, path, _rule(hint))


def _number(value: Any, path: str) -> float:
    written = isinstance(value, str) and _YAML_1_1_MISSES.fullmatch(value)
    if not written and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _wrong(value, path, _RULES[float])
    try:
        number = float(value)
    except OverflowError:
        raise _wrong(value, path, "a number below 1.8e308") from None
    if math.isnan(number):
        raise _wrong(value, path, "a number, and NaN is none")
    return number


def _dump(hint: Any, value: Any) -> Any:
    cases = _cases(hint)
    if is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        head = {"kind": type(value).__name__} if sum(map(is_dataclass, cases)) > 1 else {}
        return head | {
            f.name: _dump(hints[f.name], getattr(value, f.name)) for f in dataclasses.fields(value) if f.init
        }
    items = next((typing.get_args(case) for case in cases if typing.get_origin(case) is type(value)), ())
    if isinstance(value, tuple):
        return [_dump(h, v) for h, v in _each(items, value)]
    if isinstance(value, dict):
        return {k: _dump(items[1] if items else Any, v) for k, v in value.items()}
    return str(value) if isinstance(value, Path) else value


def _merge(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, Mapping):
        return dict(new) if isinstance(new, Mapping) else new
    if "kind" in new and "kind" in old and new["kind"] != old["kind"]:
        return dict(new)
    return old | {key: _merge(old.get(key), value) for key, value in new.items()}


def _cases(hint: Any) -> tuple[Any, ...]:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _each(items: tuple[Any, ...], values: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    hints = tuple(items[:1]) * len(list(values)) if not items or items[-1] is ... else items
    return zip(hints, values, strict=bool(items))


def _rule(hint: Any) -> str:
    origin = typing.get_origin(hint) or hint
    if origin is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    return f"a table for {hint.__name__}" if is_dataclass(hint) else _RULES.get(origin, str(hint))  # type: ignore[union-attr]


def _wrong(value: Any, path: str, rule: str) -> InputError:
    return InputError(f"{path or 'the config'}={_SHORT.repr(value)} must be {rule}")


def _word(value: Any) -> str:
    """The value as a word to compare with others; a list cut short, since YAML can nest it into gigabytes."""
    return value if isinstance(value, str) else _SHORT.repr(value)


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _yaml(text: str, place: str) -> Any:
    import yaml

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for twice in {name for name in names if names.count(name) > 1}:
                line = node.start_mark.line + 1
                raise InputError(f"{place} line {line}: the key {twice!r} is written twice in one table; leave one")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader=Strict)  # Strict is a SafeLoader: plain values only
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise InputError(f"{place}: not YAML ({' '.join(str(error).split())})") from None
