"""Many processes: the same bytes as one leaves, also after a break; faults told as by one; nothing left behind."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from test_shards import corpus_of, sums, written

from inlay.errors import InputError
from inlay.text import workers
from inlay.text.corpus import Corpus
from inlay.text.shards import ShardsConfig, write_shards
from inlay.tokenize.tokenizer import Tokenizer

Kinds = Callable[[str], Tokenizer]
CONFIG = ShardsConfig(words=True, sentences=True, lang="en", shard_tokens=500, held_out=0.1)


@pytest.fixture
def source(tmp_path: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of eight files, of which about three make a job."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(8):
        written(folder, texts[number * 10 : number * 10 + 10], f"{number}.txt")
    monkeypatch.setattr(workers, "_BYTES", 6000)
    return folder


def test_any_number_of_processes_leaves_the_same_bytes_and_goes_on_after_a_break(
    source: Path, tmp_path: Path, tokenizers: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizers("bytebpe")
    one = write_shards(corpus_of(source), tokenizer, tmp_path / "one", CONFIG)
    assert len(one.facts.shards) > 6
    kept, broken = workers._taken, tmp_path / "broken"
    jobs: list[int] = []

    def breaking(job: workers._Job, count: object) -> Iterator[object]:
        jobs.append(len(job.parts))
        if len(jobs) == 2:
            raise KeyboardInterrupt
        yield from kept(job, count)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(workers, "_taken", breaking)
        with pytest.raises(KeyboardInterrupt):
            write_shards(corpus_of(source), tokenizer, broken, CONFIG, workers=2)
    assert jobs[0] > 1
    assert 0 < len(list((broken / "shards").iterdir())) < len(one.facts.shards)
    assert not list(broken.glob(f"{workers.KEPT}*"))
    (broken / f"{workers.KEPT}killed").mkdir()
    write_shards(corpus_of(source), tokenizer, broken, CONFIG, workers=3)
    assert sums(broken) == sums(tmp_path / "one")
    assert not list(broken.glob(f"{workers.KEPT}*"))
    assert not multiprocessing.active_children()


def test_a_fault_in_a_file_is_told_as_by_one_process(source: Path, tmp_path: Path, tokenizers: Kinds) -> None:
    (source / "5.txt").write_bytes("half of a charact\xe9r".encode("latin-1"))
    told = []
    for number in (1, 2):
        with pytest.raises(InputError) as caught:
            write_shards(corpus_of(source), tokenizers("words"), tmp_path / str(number), CONFIG, workers=number)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "5.txt" in told[0]


def test_a_process_that_dies_is_one_line(
    source: Path, tmp_path: Path, tokenizers: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_cut", _dies)
    with pytest.raises(InputError, match="one of 2 processes died.*fewer --workers"):
        write_shards(corpus_of(source), tokenizers("words"), tmp_path / "s", CONFIG, workers=2)
    assert not (tmp_path / "s").exists()


def _dies(cutting: object, job: object) -> int:
    os._exit(9)


def test_a_process_ends_when_nobody_holds_it() -> None:
    context = multiprocessing.get_context("spawn")
    held, holding = context.Pipe(duplex=False)
    process = context.Process(target=_waits, args=(held,))
    process.start()
    holding.close()
    process.join(60)
    assert process.exitcode == 1


def _waits(held: Connection) -> None:
    workers._begin(1, held)
    time.sleep(120)


def test_what_one_process_alone_can_read_is_refused_before_anything_is_written(
    tmp_path: Path, tokenizers: Kinds, texts: list[str]
) -> None:
    for number, message in ((2, "texts 1 is no file.*--workers 1"), (0, "workers=0 must be at least 1")):
        with pytest.raises(InputError, match=message):
            write_shards(Corpus(texts), tokenizers("words"), tmp_path / "s", workers=number)
    assert not (tmp_path / "s").exists()
