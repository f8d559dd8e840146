"""The border to the `tokenizers` engine: what it refuses, and what makes it panic, is an InputError.

A panic of the engine is a BaseException that `except Exception` lets through, and it writes to stderr by itself.
"""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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
    with quiet(path):
        engine = Engine.from_str(text)
    check(engine, path)
    return engine


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
