"""Settings of a model's folder, as in config.json: read strictly, each key used, known to be harmless, or refused."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any

from inlay.convert.folder import MOST_BYTES, member
from inlay.convert.unread import ANY, Unread
from inlay.errors import InputError, did_you_mean
from inlay.files import read_json

CONFIG = "config.json"

_CODE = ("auto_map", "trust_remote_code", "custom_pipelines")
_REQUIRED: Any = object()
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def read_settings(folder: str | Path, name: str = CONFIG) -> dict[str, Any]:
    """The table in config.json, or in another JSON file of the folder; numbers are finite, and no key stands twice.

    InputError where the file is missing or leads out of the folder, is too large or too deep, or no JSON in UTF-8.
    """
    path = member(folder, name)
    tree = read_json(path, most=MOST_BYTES)
    if not isinstance(tree, dict):
        raise InputError(f"{path}: must be a table of settings, not {_shown(tree)}")
    return tree


class Settings:
    """A table of settings whose every key is asked for by type and remembered, so that `finish` can name the rest.

    Each getter raises InputError where the value is of another type or out of range, or the key is missing and there is
    no default. null counts as missing only for `has`. A file that asks to run code is refused at once.
    """

    def __init__(self, tree: Mapping[str, Any], place: str | Path) -> None:
        self._tree, self._place = tree, place
        self._read: set[str] = set()
        for key in _CODE:
            if tree.get(key):
                raise InputError(
                    f"{place}: {key}={_shown(tree[key])} asks to run Python that came with the model, which is "
                    "never done; take a model of a family that is built in"
                )

    @classmethod
    def of(cls, folder: str | Path, name: str = CONFIG) -> "Settings":
        """The settings in a file of the folder."""
        return cls(read_settings(folder, name), Path(folder) / name)

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def has(self, key: str) -> bool:
        """Whether the key has a value that is not null; counts as reading it."""
        self._read.add(key)
        return self._tree.get(key) is not None

    def integer(self, key: str, default: int = _REQUIRED, *, least: int = 1, most: int = 1 << 31) -> int:
        """A whole number from `least` to `most`."""
        value = self._get(key, default)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, default: float = _REQUIRED, *, least: float = 0.0, most: float = math.inf) -> float:
        """A number from `least` to `most`, which may be written without a point."""
        value = self._get(key, default)
        if type(value) not in (int, float) or not least <= value <= most:
            raise self.wrong(key, f"a number from {least:g}" + (f" to {most:g}" if most < math.inf else ""))
        return float(value)

    def flag(self, key: str, default: bool = _REQUIRED) -> bool:
        """true or false, and not 1 or 0."""
        value = self._get(key, default)
        if type(value) is not bool:
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str, choices: Iterable[str] = (), default: str = _REQUIRED) -> str:
        """A text, one of the choices where there are any."""
        value, choices = self._get(key, default), list(choices)
        if not isinstance(value, str):
            raise self.wrong(key, "one of " + ", ".join(choices) if choices else "text")
        if choices and value not in choices:
            raise InputError(f"{self._place}: {key}={_shown(value)} is not known{did_you_mean(value, choices)}")
        return value

    def listing(self, key: str, kind: type, default: list[Any] = _REQUIRED) -> list[Any]:
        """A list whose parts are all of one type: int, float, bool, str or dict."""
        value = self._get(key, default)
        if not isinstance(value, list) or not all(type(part) is kind for part in value):
            raise self.wrong(key, f"a list, each part of type {kind.__name__}")
        return value

    def table(self, key: str, default: Mapping[str, Any] = _REQUIRED) -> "Settings":
        """The settings in a table below this one; call its `finish` too."""
        value = self._get(key, default)
        if not isinstance(value, Mapping):
            raise self.wrong(key, "a table")
        return Settings(value, f"{self._place}: {key}")

    def plain(self) -> dict[str, Any]:
        """The table as it stands, for a reader that checks all of it itself."""
        self._read |= self._tree.keys()
        return dict(self._tree)

    def keys(self) -> list[str]:
        """The keys in the order of the file; all of them count as read, as in a table from names to anything."""
        self._read |= self._tree.keys()
        return list(self._tree)

    def finish(
        self, unread: Unread = ANY, *, ignored: Iterable[str] = (), neutral: Mapping[str, Iterable[Any]] | None = None
    ) -> None:
        """InputError unless every key was read, is known to change nothing, or has a value that changes nothing.

        `unread` knows the keys of a family; `ignored` and `neutral` (a key, and its values that change nothing) add to
        it. All keys at fault are named, with their values.
        """
        harmless = unread.ignored | set(ignored)
        values = {**unread.neutral, **(neutral or {})}
        active, unknown = [], []
        for key, value in self._tree.items():
            if key in self._read or key in harmless or key in _CODE:
                continue
            shown = f"{_short_key(key)}={_shown(value)}"
            if key not in values:
                unknown.append(shown)
            elif value not in tuple(values[key]):
                known = " or ".join(_shown(one) for one in values[key])
                active.append(f"{shown} (built in: {known})")
        if active:
            raise InputError(
                f"{self._place}: {_some(active)} changes what the model computes, and is not built in; "
                "without it the numbers would be wrong, so the model is not read"
            )
        if unknown:
            raise InputError(
                f"{self._place}: {_some(unknown)} is not known, and may change what the model computes; "
                "remove it from the file only if you know that it does not"
            )

    def wrong(self, key: str, rule: str) -> InputError:
        """The error for a value that breaks a rule, to be raised by a reader that finds it."""
        found = f"not {_shown(self._tree[key])}" if key in self._tree else "and is missing"
        return InputError(f"{self._place}: {_short_key(key)} must be {rule}, {found}")

    def _get(self, key: str, default: Any) -> Any:
        self._read.add(key)
        if key not in self._tree and default is _REQUIRED:
            near = did_you_mean(key, [name for name in self._tree if name not in self._read])
            raise InputError(f"{self._place}: lacks {key!r}" + (near if near.startswith("; did") else ""))
        return self._tree.get(key, default)


def _shown(value: Any) -> str:
    """A value as the file writes it, but short."""
    return json.dumps(value) if value is None or isinstance(value, bool) else _SHORT.repr(value)


def _short_key(key: str) -> str:
    return key if key.isidentifier() and len(key) < 60 else _shown(key)


def _some(parts: list[str]) -> str:
    return ", ".join(parts[:20]) + (f" and {len(parts) - 20} more" if len(parts) > 20 else "")
