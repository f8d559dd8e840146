"""Many processes that cut one text: its files are shared among them, and the blocks come in the order of the source.

A process keeps the blocks of its files on disk until it is their turn, so that nobody waits and memory stays flat; what
comes out does not tell how many processes there were.
"""

import os
import shutil
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from inlay.errors import InputError
from inlay.live import Live
from inlay.text.blocks import Block, Read, blocks, of_part
from inlay.text.corpus import Corpus
from inlay.text.document import CorpusConfig
from inlay.text.marks import Marker, marker

KEPT = ".blocks."
"""What the name of the folder begins with in which blocks wait for their turn."""
_BYTES = 1 << 24
"""Of the files of one job, which ends with the file that makes it so large."""
_AHEAD = 2
"""Jobs of each process that are running, or wait for their turn."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """What all processes do alike."""

    tokenizer: Path
    """Its folder."""
    lang: str | None
    """The language whose words are marked; None where nobody asked."""
    sentences: bool
    below: int
    """The key below which a document is held out."""
    seed: int
    corpus: CorpusConfig


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Files that one process cuts, one after another."""

    parts: tuple[tuple[int, str], ...]
    """The position in the corpus, and the name, of each."""
    after: int
    """Documents of the first one that are not to be cut again."""
    place: Path
    """Where the blocks wait."""


def shareable(corpus: Corpus) -> None:
    """InputError where a part of the corpus can be read by this process alone."""
    from inlay.text import data

    for part in corpus.parts():
        if part.size is None and part.name not in data.NAMES:
            raise InputError(f"{part.name} is no file, and is read by one process alone; take --workers 1 (workers=1)")


def shared(
    corpus: Corpus, cutting: Cutting, workers: int, folder: Path, part: int = 0, number: int = 0
) -> Generator[Block, None, None]:
    """The blocks of what comes after document `number` of part `part`, cut by so many processes."""
    context = get_context("spawn")  # a fork would take over the tokenizer's threads, but not what they do
    held, holding = context.Pipe(duplex=False)  # ends with this process too, however that ends
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(workers, held))
    kept = Path(tempfile.mkdtemp(prefix=KEPT, dir=folder))
    running: deque[tuple[_Job, Future[int]]] = deque()
    try:
        for job in _jobs(corpus, kept, part, number):
            running.append((job, pool.submit(_cut, cutting, job)))
            if len(running) > _AHEAD * workers:
                yield from _taken(*running.popleft())
        while running:
            yield from _taken(*running.popleft())
    except BrokenProcessPool:
        raise InputError(
            f"one of {workers} processes died, perhaps for want of memory; take fewer --workers, and give the same "
            "command again to go on"
        ) from None
    finally:
        holding.close()
        pool.shutdown(cancel_futures=True)
        held.close()
        shutil.rmtree(kept, ignore_errors=True)


def _jobs(corpus: Corpus, kept: Path, part: int, number: int) -> Iterator[_Job]:
    """The files from that one on, the small ones together."""
    taken: list[tuple[int, str]] = []
    size = 0
    parts = list(enumerate(corpus.parts()))[part:]
    for position, source in parts:
        taken.append((position, source.name))
        size += _BYTES if source.size is None else source.size
        if size >= _BYTES or position == parts[-1][0]:
            after = number if taken[0][0] == part else 0
            yield _Job(parts=tuple(taken), after=after, place=kept / str(position))
            taken, size = [], 0


def _taken(job: _Job, count: Future[int]) -> Iterator[Block]:
    """The blocks that a process left, once it is done."""
    left = count.result()
    with job.place.open("rb") as file:
        for _ in range(left):
            yield Block(**{field.name: np.load(file, allow_pickle=False) for field in fields(Block)})
    job.place.unlink()


def _begin(workers: int, held: Connection) -> None:
    """Make this process a worker: it shares the cores with the others, and ends at once when nobody holds it."""

    def until_released() -> None:
        with suppress(EOFError, OSError):
            held.recv_bytes()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that began it
    os.environ["RAYON_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    Live.enabled = False
    threading.Thread(target=until_released, daemon=True).start()


def _cut(cutting: Cutting, job: _Job) -> int:
    """Leave the blocks of these files at their place; how many they are."""
    mark, spaced = _marker(cutting.tokenizer, cutting.lang)
    stream = blocks(_documents(cutting, job), mark, cutting.below, sentences=cutting.sentences, spaced=spaced)
    count = 0
    with closing(stream), job.place.open("wb") as file:
        for block in stream:
            for field in fields(Block):
                np.save(file, getattr(block, field.name), allow_pickle=False)
            count += 1
    return count


def _documents(cutting: Cutting, job: _Job) -> Iterator[Read]:
    for number, (position, name) in enumerate(job.parts):
        for part in Corpus(name, config=cutting.corpus).parts():
            yield from of_part(part, position, cutting.seed, 0 if number else job.after)


@lru_cache(maxsize=1)
def _marker(folder: Path, lang: str | None) -> tuple[Marker, bool]:
    from inlay.tokenize.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder)
    return marker(tokenizer, lang), tokenizer.writing.bytes
