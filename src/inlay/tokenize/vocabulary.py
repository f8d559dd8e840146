"""Vocabularies in plain files: `vocab.txt` of WordPiece, `vocab.json` with `merges.txt` of byte-level BPE."""

from pathlib import Path
from typing import Any

from inlay.errors import InputError
from inlay.files import parse_json
from inlay.tokenize.engine import text_of


def table_of(path: Path) -> dict[str, Any]:
    """The JSON table in a file, by the rules of `parse_json`: each key once, and finite numbers."""
    tree = parse_json(text_of(path).encode(), path)
    if not isinstance(tree, dict):
        raise InputError(f"{path}: must be a table, and is a {type(tree).__name__}; the file is of another kind")
    return tree


def wordpieces(path: Path) -> dict[str, int]:
    """The tokens of a `vocab.txt`, one a line: the id is the line's number, from 0. Blank lines keep their number."""
    vocabulary: dict[str, int] = {}
    lines = text_of(path).removesuffix("\n").split("\n")
    for number, line in enumerate(lines):
        token = line.rstrip()
        if token and token in vocabulary:
            first = vocabulary[token] + 1
            raise InputError(
                f"{path} line {number + 1}: {token[:40]!r} is on line {first} too; one token cannot have two ids"
            )
        vocabulary[token] = number
    if len(vocabulary) < 2:
        raise InputError(f"{path}: has no tokens; one a line is wanted")
    return vocabulary


def byte_pairs(vocabulary: Path, merges: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The tokens and ids of a `vocab.json`, and the merges of a `merges.txt`, first merge first."""
    tokens = _numbered(vocabulary)
    pairs: list[tuple[str, str]] = []
    lines = text_of(merges).rstrip().split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith("#version") or lines == [""]:
            continue
        left, _, right = line.rstrip("\r").partition(" ")
        if not left or not right or " " in right:
            raise InputError(f"{merges} line {number}: {line[:40]!r} must be two tokens and a space between them")
        for token in (left, right, left + right):
            if token not in tokens:
                raise InputError(
                    f"{merges} line {number}: {token[:40]!r} is no token of {vocabulary.name}; copy both again"
                )
        pairs.append((left, right))
    return tokens, pairs


def _numbered(path: Path) -> dict[str, int]:
    tokens = table_of(path)
    for token, number in tokens.items():
        if type(number) is not int or not 0 <= number < len(tokens):
            raise InputError(
                f"{path}: {token[:40]!r} has id {str(number)[:40]}, "
                f"but {len(tokens)} tokens have the whole numbers from 0 to {len(tokens) - 1}"
            )
    if len(set(tokens.values())) < len(tokens) or not tokens:
        raise InputError(f"{path}: two tokens have one id, or there are none; the file is damaged")
    return tokens
