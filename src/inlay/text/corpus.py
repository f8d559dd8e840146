"""A Corpus: documents from files, globs, folders, stdin, named data sets or memory, streamed and cleaned."""

import contextlib
import glob
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from inlay.errors import InputError, did_you_mean
from inlay.text.clean import clean, clean_line
from inlay.text.decode import COMPRESSIONS, File, oversize, too_long
from inlay.text.document import MOST_MB, CorpusConfig, Document
from inlay.text.readers import SUFFIXES, read, suffixes_of

__all__ = ["Corpus", "CorpusConfig", "Document", "Part"]

STDIN = "-"

# What `inlay fit docs/ --out docs/model` leaves there, done or half done, is no text of the user's.
_OURS = {"inlay.json", "run.json"}

# A folder in the layout of BEIR: its corpus alone is the text; queries and judgements must never be trained on.
_BEIR = tuple(f"corpus.jsonl{suffix}" for suffix in ("", *COMPRESSIONS))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file, a data set or an iterable of the corpus: its name, bytes on disk (None if no file) and documents."""

    name: str
    size: int | None
    read: Callable[[], Iterator[Document]]


class Corpus:
    """Documents that can be iterated again and again; nothing but the document at hand is held in memory.

    A source is a file, a glob, a folder, `-` (stdin), the name of a data set, a Document or an iterable of str and
    Document. Folders are read recursively in sorted order: known suffixes only, hidden names skipped, folders behind
    links and folders of fitted models not entered; a folder that holds `corpus.jsonl` (plain or compressed: the BEIR
    layout) gives that file alone. stdin and one-shot iterators are spooled to a temporary file when first read; stdin
    is JSON lines if it begins with `{`, else plain text.

    Ids come from the data, else are the path below the folder given (with several sources: the path as given), with
    the line or number after a colon; texts from memory are counted from 1. An id that a data set holds twice, or two
    sources share, is kept as it is: `inlay check-data` counts them. Texts, titles and ids come out clean.

    InputError for a source that is not there or that no reader knows, at once; for what is wrong inside, when it is
    read; and at the end of an iteration that found no document.
    """

    def __init__(
        self, *sources: str | Path | Document | Iterable[str | Document], config: CorpusConfig | None = None
    ) -> None:
        if not sources:
            raise InputError(f"no source given; give a file, a folder, a glob, '{STDIN}' or the name of a data set")
        self.config = config or CorpusConfig()
        self._parts = [
            part
            for number, source in enumerate(sources, 1)
            for part in self._resolve(source, alone=len(sources) == 1, number=number)
        ]

    def __iter__(self) -> Iterator[Document]:
        empty = True
        for part in self._parts:
            for document in part.read():
                empty = False
                yield document
        if empty:
            names = ", ".join(part.name for part in self._parts[:3]) + (", ..." if len(self._parts) > 3 else "")
            raise InputError(f"no documents in {names}; give a source that holds text")

    def parts(self) -> Iterator[Part]:
        """The corpus file by file, for who must go on where one of them is faulty."""
        return iter(self._parts)

    def texts(self) -> Iterator[str]:
        """The full text (title and text) of each document."""
        return (document.full for document in self)

    def bytes_total(self) -> int | None:
        """The size of the source files on disk, compressed as they are; None where a source is no file."""
        sizes = [part.size for part in self._parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _resolve(self, source: Any, *, alone: bool, number: int) -> list[Part]:
        if isinstance(source, Document):
            source = [source]
        if isinstance(source, str | Path):
            return self._named(str(source), alone)
        if isinstance(source, bytes | Mapping) or not isinstance(source, Iterable):
            raise InputError(
                f"source {number} is a {type(source).__name__}; give a path, a Document or an iterable of str"
            )
        prefix = "" if alone else f"{number}:"
        if iter(source) is source:
            return [self._spooled(f"iterator {number}", prefix, ".jsonl", lambda: map(_record, _items(source, prefix)))]
        return [self._part(f"texts {number}", None, lambda: _items(source, prefix))]

    def _named(self, name: str, alone: bool) -> list[Part]:
        if not name:  # as a path it would be the folder that we are in
            raise InputError("the name of a source is empty; give a file, a folder, a glob or the name of a data set")
        path = Path(name)
        if name == STDIN:
            if sys.stdin is None:
                raise InputError("stdin is closed; pipe a text into it, or name a file")
            return [self._spooled("stdin", "stdin", None, _stdin)]
        if path.is_dir():
            found = [(file, file.relative_to(path) if alone else file) for file in _walk(path)]
            return self._files(name, found)
        if path.exists():
            if suffixes_of(path.name) is None:
                raise InputError(
                    f"{name}: unknown kind of file; known are {_known()}; rename it or pipe it in: inlay ... -"
                )
            return self._files(name, [(path, Path(path.name) if alone else path)])
        if glob.has_magic(name):
            matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
            files = dict.fromkeys(file for match in matches for file in (_walk(match) if match.is_dir() else [match]))
            return self._files(name, [(file, file) for file in files])
        from inlay.text import data

        if name in data.NAMES:
            return [self._part(name, None, lambda: iter(data.documents(name)))]
        raise InputError(f"{name}: no such file, folder or named data set{_hint(path, data.NAMES)}")

    def _files(self, source: str, found: list[tuple[Path, Path]]) -> list[Part]:
        """The parts of the files that a reader knows, each given with what its ids begin with."""
        parts = []
        for path, shown in found:
            if suffixes := suffixes_of(path.name):
                if not path.is_file():
                    raise InputError(
                        f"{path}: a link to nothing, or no plain file; remove it, or pipe it in: inlay ... -"
                    )
                file = File(
                    path=path, name=shown.as_posix(), where=str(path), kind=suffixes[0], compression=suffixes[1]
                )
                parts.append(self._part(str(path), path.stat().st_size, partial(read, file, self.config)))
        if not parts:
            raise InputError(f"{source}: no file to read; known are {_known()}")
        return parts

    def _spooled(self, where: str, name: str, kind: str | None, pieces: Callable[[], Iterable[bytes]]) -> Part:
        """A part that is written to a temporary file when first read, and read from there ever after."""
        kept: list[IO[bytes]] = []

        def documents() -> Iterator[Document]:
            if not kept:
                kept.append(_spool(pieces(), where))
            path = Path(kept[0].name)
            config = self.config
            if kind is not None:  # JSON lines of our own, where a character may take six times its bytes
                config = CorpusConfig(max_document_mb=min(config.max_document_mb * 6 + 1, MOST_MB))
            return read(File(path=path, name=name, where=where, kind=kind or _sniff(path)), config)

        return self._part(where, None, documents)

    def _part(self, name: str, size: int | None, documents: Callable[[], Iterator[Document]]) -> Part:
        return Part(name=name, size=size, read=lambda: self._cleaned(name, documents()))

    def _cleaned(self, name: str, documents: Iterator[Document]) -> Iterator[Document]:
        wide = self.config.half_width
        for document in documents:
            if oversize(document.text, self.config):
                raise too_long(f"{name}: document {document.id!r}", self.config)
            text = clean(document.text, half_width=wide)
            title = clean_line(document.title, half_width=wide) if document.title else ""
            yield replace(document, id=clean_line(document.id), text=text, title=title)


def _walk(folder: Path) -> list[Path]:
    """The files below the folder, sorted; of a BEIR folder, its corpus alone; of a fitted model, none."""
    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=_cannot_list):
        if not _OURS.isdisjoint(names) and Path(root) != folder:
            folders.clear()
            continue
        corpus = next((name for name in _BEIR if name in names), None)
        folders[:] = [] if corpus else [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in ([corpus] if corpus else names) if not name.startswith(".")]
    return sorted(found)


def _cannot_list(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions") from None


def _items(source: Iterable[Any], prefix: str) -> Iterator[Document]:
    for number, item in enumerate(source, 1):
        if isinstance(item, str):
            item = Document(id=f"{prefix}{number}", text=item)
        elif not isinstance(item, Document):
            raise InputError(f"item {number} is a {type(item).__name__}; give str or Document")
        elif not clean_line(item.id):
            item = replace(item, id=f"{prefix}{number}")
        yield item


def _record(document: Document) -> bytes:
    """A line of JSON."""
    record = {"_id": document.id, "title": document.title, "text": document.text}
    return json.dumps(record).encode("ascii") + b"\n"


def _stdin() -> Iterator[bytes]:
    try:
        while block := sys.stdin.buffer.read(1 << 18):
            yield block
    except OSError as error:  # such as that of a terminal, in the background
        raise InputError(f"stdin: cannot be read ({error.strerror}); pipe a text into it, or name a file") from None


def _spool(pieces: Iterable[bytes], where: str) -> IO[bytes]:
    """A temporary file of the pieces; it lives as long as the result. What their source raises passes untouched."""
    with _keeping(where):
        spool = tempfile.NamedTemporaryFile(prefix="inlay-")  # noqa: SIM115
    for piece in pieces:
        with _keeping(where):
            spool.write(piece)
    with _keeping(where):
        spool.flush()
    return spool


@contextlib.contextmanager
def _keeping(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{where}: cannot be kept in {tempfile.gettempdir()} ({error.strerror})") from None


def _sniff(path: Path) -> str:
    with open(path, "rb") as file:
        return ".jsonl" if file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" else ".txt"


def _known() -> str:
    return f"{' '.join(SUFFIXES)}, each plain or {' '.join(COMPRESSIONS)} (.parquet plain)"


def _hint(path: Path, names: Iterable[str]) -> str:
    """The data set or the file beside it that was meant; all data sets where what was given is no path."""
    names = list(names)
    if len(path.parts) == 1 and not path.suffix:
        return did_you_mean(path.name, names)
    beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, beside)
    return hint if hint.startswith("; did you mean") else ""
