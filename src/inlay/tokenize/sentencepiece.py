"""The pieces in a `spiece.model`: a reader of the few fields that matter, which trusts no length that a file declares.

The file is a protocol buffer; its fields are numbered in sentencepiece_model.proto. Kudo & Richardson 2018,
arXiv:1808.06226.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inlay.errors import InputError
from inlay.tokenize.engine import check_charsmap

MAX_FILE_MB = 50
"""The largest file that is read; 250,000 pieces take 5 MB."""

_UNIGRAM = 1
_KINDS = {1: "Unigram", 2: "BPE", 3: "Word", 4: "Char"}
_CONTROL, _USER_DEFINED = 3, 4


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """The vocabulary of a unigram model and how it rewrites text first."""

    scores: tuple[tuple[str, float], ...]
    """Each piece, in the order of the ids, and its log-probability."""
    unknown: int
    """The id of the piece that stands for what is unknown."""
    controls: tuple[tuple[str, bool], ...]
    """The pieces that are taken from text as they stand, and whether each stands for no text (`<s>`)."""
    charsmap: bytes
    """The compiled table of what is rewritten (full-width to half-width, …); empty: nothing is."""


def read(path: Path) -> Pieces:
    """The unigram model in the file; InputError where it is missing, damaged, or a model of another kind."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; copy the tokenizer's folder again")
    if path.stat().st_size > MAX_FILE_MB << 20:
        raise InputError(f"{path}: {path.stat().st_size >> 20} MB, but a SentencePiece model has {MAX_FILE_MB} at most")
    try:
        pieces, kind = _model(memoryview(path.read_bytes()))
    except (_Damaged, UnicodeDecodeError) as error:
        reason = "a piece is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InputError(f"{path}: no SentencePiece model ({reason}); the file is damaged, copy it again") from None
    if kind != _UNIGRAM:
        raise InputError(
            f"{path}: a model of kind {_KINDS.get(kind, kind)}, and only Unigram can be read; "
            "save the tokenizer as a tokenizer.json elsewhere"
        )
    check_charsmap(pieces.charsmap, path)
    names = [name for name, _ in pieces.scores]
    if not names or not all(names) or len(set(names)) < len(names):
        wrong = "has no pieces" if not names else "has a piece that is empty or there twice"
        raise InputError(f"{path}: {wrong}; the file is damaged, copy it again")
    return pieces


class _Damaged(Exception):
    """What the bytes say cannot be."""


def _model(data: memoryview) -> tuple[Pieces, int]:
    scores: list[tuple[str, float]] = []
    controls: list[tuple[str, bool]] = []
    kind, unknown, charsmap = _UNIGRAM, 0, b""
    for number, value in _fields(data):
        match number:
            case 1:
                name, score, sort = _piece(_bytes(value))
                scores.append((name, score))
                if sort in (_CONTROL, _USER_DEFINED):
                    controls.append((name, sort == _CONTROL))
            case 2:
                for inner, setting in _fields(_bytes(value)):
                    kind = _integer(setting) if inner == 3 else kind
                    unknown = _integer(setting) if inner == 40 else unknown
            case 3:
                for inner, setting in _fields(_bytes(value)):
                    charsmap = bytes(_bytes(setting)) if inner == 2 else charsmap
    found = Pieces(scores=tuple(scores), unknown=unknown, controls=tuple(controls), charsmap=charsmap)
    return found, kind


def _piece(data: memoryview) -> tuple[str, float, int]:
    name, score, sort = "", 0.0, 1
    for number, value in _fields(data):
        match number:
            case 1:
                name = str(_bytes(value), "utf-8")
            case 2:
                score = struct.unpack("<f", _bytes(value))[0] if len(_bytes(value)) == 4 else math.nan
            case 3:
                sort = _integer(value)
    if not math.isfinite(score):
        raise _Damaged(f"the score of {name[:40]!r} is no number")
    return name, score, sort


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number and its value: an integer, or the bytes of anything else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, at = _varint(data, at)
        elif key & 7 in (1, 5):
            size = 8 if key & 7 == 1 else 4
        else:
            raise _Damaged(f"byte {at} starts no field")
        if size > len(data) - at:
            raise _Damaged(f"a field declares {size} bytes, and {len(data) - at} are left")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _Damaged("it ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _Damaged("a number has over ten bytes")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _Damaged("a field has another type than it must have")
    return value


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise _Damaged("a field has another type than it must have")
    return value
