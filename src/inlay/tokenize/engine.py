"""The border to the `tokenizers` engine: what it refuses, and what makes it panic, is an InputError.

A panic of the engine is a BaseException that `except Exception` lets through, and it writes to stderr by itself.
"""

import base64
import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

MAX_FILE_MB = 100
"""The largest file that is read; in a tokenizer.json, the largest vocabularies in use (256,000 tokens) take 35 MB."""

_SAMPLES = (
    "",
    "a",
    "The cat sat on the mat, 3.14!",
    "机器学习 ﬁn ①",
    "emoji 👩‍👩‍👧 \u0301\u200d\ufffd",
    "a" * 40 + "!",
)
_CHARSMAP = re.compile(r'"precompiled_charsmap"\s*:\s*"([^"]*)"')
_SURROGATES = re.compile("[\ud800-\udfff]")
_stderr = threading.Lock()


@contextlib.contextmanager
def guarded(place: str | Path, way_out: str = "leave it out") -> Iterator[None]:
    """Turn the engine's own errors and panics into an InputError; interrupts and other people's errors pass."""
    try:
        yield
    except BaseException as error:
        if type(error) is Exception or type(error).__name__ == "PanicException":
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{place}: the tokenizer engine refuses it ({reason}); {way_out}") from None
        raise


def read(path: str | Path) -> "Engine":
    """The engine in a tokenizer.json, tried on a few texts; truncation and padding that the file asks for are off.

    Raises InputError for a file that is missing, too large, no tokenizer, or made to break the engine.
    """
    from tokenizers import Tokenizer as Engine

    path = Path(path)
    text = text_of(path)
    for table in _CHARSMAP.findall(text):
        try:
            raw = base64.b64decode(table)
        except ValueError:  # the engine says what is wrong with it
            continue
        check_charsmap(raw, path)
    with quiet(path):
        engine = Engine.from_str(text)
    check(engine, path)
    return engine


def parse(tree: dict[str, Any], place: str | Path) -> "Engine":
    """The engine that the tree of a tokenizer.json makes, tried on a few texts; InputError where it breaks."""
    from tokenizers import Tokenizer as Engine

    with quiet(place):
        engine = Engine.from_str(json.dumps(tree, ensure_ascii=False))
    check(engine, place)
    return engine


def check_charsmap(table: bytes, place: str | Path) -> None:
    """Refuse a table of characters that declares more bytes than it has: the engine would ask for that much memory."""
    declared = int.from_bytes(table[:4], "little")
    if declared > len(table):
        raise InputError(
            f"{place}: its table of characters declares {declared} bytes and has {len(table)}; copy it again"
        )


@contextlib.contextmanager
def quiet(place: str | Path) -> Iterator[None]:
    """Guard what makes an engine of a file, and keep what the engine would write to stderr from the user."""
    with _without_stderr(), guarded(place, "train or copy it again"):
        yield


def check(engine: "Engine", place: str | Path) -> None:
    """Try the engine on a few texts, and take its truncation and padding off; InputError where it breaks."""
    with quiet(place):
        engine.no_truncation()
        engine.no_padding()
        ids = engine.get_vocab(with_added_tokens=True).values()
        if not ids:
            raise InputError(f"{place}: has no tokens; train it again")
        # Holes are normal, but an embedding table with a row for each id must not be made huge by one crafted id.
        if max(ids) > 2 * len(ids) + 1000:
            raise InputError(
                f"{place}: its highest id is {max(ids)}, but it has only {len(ids)} tokens; train it again"
            )
        for token in engine.get_added_tokens_decoder().values():
            rewritten = token.content
            if token.normalized and engine.normalizer:
                rewritten = engine.normalizer.normalize_str(rewritten)
            if not rewritten:
                # The engine would find it at every place of a text, without end, until the memory is full.
                raise InputError(f"{place}: nothing is left of the added token {token.content[:40]!r}; leave it out")
        for sample in _SAMPLES:
            found = engine.encode(sample).ids + engine.encode(sample, add_special_tokens=False).ids
            engine.decode(found)
            if found and max(found) > max(ids):
                raise InputError(f"{place}: gives id {max(found)}, which is no token of it; train it again")


def text_of(path: Path) -> str:
    """The UTF-8 text of a file of a tokenizer; InputError where it is missing, huge or of another encoding."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a tokenizer is a folder with a {path.name}, copied whole")
    if path.stat().st_size > MAX_FILE_MB << 20:
        raise InputError(f"{path}: {path.stat().st_size >> 20} MB, but a {path.name} has {MAX_FILE_MB} MB at most")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start}); the file is damaged or of another kind") from None


def readable(text: str) -> str:
    """The text with each lone surrogate, which no encoding can hold, replaced by U+FFFD; the length stays."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    # Panics are printed from Rust, past sys.stderr. The lock keeps two loads from saving each other's redirection.
    with _stderr:
        try:
            sys.stderr.flush()
            saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except (OSError, ValueError, AttributeError):  # there is no stderr to keep clean
            yield
            return
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)
