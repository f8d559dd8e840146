"""Records of .jsonl, .ndjson, .csv and .tsv, plain or compressed, with fields of any name; every fault has its line."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inlay.errors import InputError, did_you_mean
from inlay.text.decode import File
from inlay.text.document import CorpusConfig
from inlay.text.readers import suffixes_of
from inlay.text.records import jsonl_rows, separated_rows

_KINDS = (".jsonl", ".ndjson", ".csv", ".tsv")


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One record of a file, and where it stands; a field is asked for by the names that it may have, in any case."""

    where: str
    """File and line, as errors name them."""
    fields: Mapping[str, Any]

    def text(self, *names: str, empty: bool = False) -> str:
        """The first of these fields as a text; InputError where there is none, or it is no text, or is blank."""
        name, value = self._found(names)
        if not isinstance(value, str):
            raise InputError(f"{self.where}: field {name!r} must be a text, not {value!r:.40}")
        if not empty and not value.strip():
            raise InputError(f"{self.where}: field {name!r} is empty; fill it in, or drop the record")
        return value

    def number(self, *names: str) -> float:
        """The first of these fields as a finite number, which may be written out as a text."""
        name, value = self._found(names)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"{self.where}: field {name!r} must be a number, not {value!r:.40}")
        return number

    def label(self, *names: str) -> str:
        """The first of these fields as a label: a text, or a whole number or truth value as it is written."""
        name, value = self._found(names)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, str | int) or not str(value).strip():
            raise InputError(f"{self.where}: field {name!r} must be a label, not {value!r:.40}")
        return str(value).strip()

    def texts(self, *names: str) -> list[str]:
        """The first of these fields as a list of texts; one text counts as a list of one."""
        name, value = self._found(names)
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) and one.strip() for one in listed):
            raise InputError(f"{self.where}: field {name!r} must be a list of texts, not {value!r:.40}")
        return listed

    def has(self, *names: str) -> bool:
        """Whether one of these fields is there, and is not null."""
        return self._name(names) is not None

    def _name(self, names: Sequence[str]) -> str | None:
        lowered = {name.lower(): name for name in reversed(list(self.fields))}
        there = (lowered[name] for name in names if name in lowered)
        return next((name for name in there if self.fields[name] is not None), None)

    def _found(self, names: Sequence[str]) -> tuple[str, Any]:
        name = self._name(names)
        if name is None:
            wanted = repr(names[0]) + (f" (or {', '.join(names[1:])})" if names[1:] else "")
            raise InputError(
                f"{self.where}: no field {wanted}; there are {', '.join(map(repr, self.fields)) or 'none'}"
            )
        return name, self.fields[name]


def records(path: str | Path) -> Iterator[Record]:
    """The records of a file, in their order; InputError for a name without a known suffix, and for damaged lines."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give one of records ({', '.join(_KINDS)})")
    kind, compression = suffixes_of(path.name) or ("", "")
    if kind not in _KINDS:
        raise InputError(f"{path}: records are read from {', '.join(_KINDS)}{did_you_mean(path.suffix, _KINDS)}")
    file = File(path=path, name=path.name, where=str(path), kind=kind, compression=compression)
    read = jsonl_rows if kind in (".jsonl", ".ndjson") else separated_rows
    for place, fields in read(file, CorpusConfig()):
        yield Record(where=f"{path} {place}", fields=fields)
