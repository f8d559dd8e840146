"""Architectures as text: the literal that builds one, and what tells two apart."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

_WIDTH = 100


def literal(part: Any, indent: int = 0) -> str:
    """The Python expression that builds this config; what is as by default is left out."""
    if isinstance(part, tuple) and any(map(is_dataclass, part)):
        pad = " " * (indent + 4)
        return "(\n" + "".join(f"{pad}{literal(one, indent + 4)},\n" for one in part) + " " * indent + ")"
    if not is_dataclass(part):
        return repr(part)
    given = [(field.name, getattr(part, field.name)) for field in fields(part) if not _is_default(part, field)]
    name = type(part).__name__
    flat = f"{name}({', '.join(f'{key}={literal(value)}' for key, value in given)})"
    if indent + len(flat) <= _WIDTH and "\n" not in flat:
        return flat
    pad = " " * (indent + 4)
    return f"{name}(\n" + "".join(f"{pad}{k}={literal(v, indent + 4)},\n" for k, v in given) + " " * indent + ")"


def differences(one: Any, other: Any) -> list[tuple[str, str, str]]:
    """Where two configs differ: the dotted place, and what stands there in each; "-" where nothing does."""
    mine, theirs = dict(_leaves(one)), dict(_leaves(other))
    places = [*mine, *(place for place in theirs if place not in mine)]
    return [
        (place, mine.get(place, "-"), theirs.get(place, "-"))
        for place in places
        if mine.get(place, "-") != theirs.get(place, "-")
    ]


def _leaves(part: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(part, tuple) and any(map(is_dataclass, part)):
        for one in part:
            yield from _leaves(one, f"{place}.{getattr(one, 'name', type(one).__name__)}")
    elif is_dataclass(part):
        if place:
            yield place, type(part).__name__
        for field in fields(part):
            yield from _leaves(getattr(part, field.name), f"{place}.{field.name}".lstrip("."))
    else:
        yield place, "none" if part is None else str(part)


def _is_default(part: Any, field: Any) -> bool:
    value = getattr(part, field.name)
    if field.default_factory is not MISSING:
        return bool(value == field.default_factory())
    return field.default is not MISSING and bool(value == field.default)
