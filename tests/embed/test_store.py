"""Embedding into a file: a row per document in order, in every format, the same bytes after any break, or nothing."""

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.embed import store
from inlay.embed.embedder import EncodeReport
from inlay.embed.store import embed_file
from inlay.errors import InputError
from inlay.text.corpus import Corpus, CorpusConfig, Document

FORMATS = pytest.mark.parametrize("suffix", store.SUFFIXES)
ROWS = 1100  # four full shards of 256 rows and a short one


class Hashing:
    """An embedder whose vectors follow from the bytes of a text, and of its own `seed`."""

    dim = 6

    def __init__(self, seed: bytes = b"", after: int = -1, error: BaseException | None = None) -> None:
        self.seed, self.after, self.error, self.encoded = seed, after, error, 0

    def encode(self, texts: Sequence[str], *, dim: int | None = None, batch_size: int = 9, report: bool = False) -> Any:
        rows = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            self.encoded += 1
            if self.error and self.encoded > self.after:
                raise self.error
            if text:
                digest = hashlib.blake2b(self.seed + text.encode(), digest_size=4 * self.dim).digest()
                row[:] = np.frombuffer(digest, np.uint32) / np.float32(2**32) - 0.5
        words = sum(len(text.split()) for text in texts)
        empty = sum(not text for text in texts)
        told = EncodeReport(texts=len(texts), tokens=words, dropped=0, unknown=words, empty=empty)
        return (rows, told) if report else rows


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_SHARD_FLOATS", 1)


def documents(n: int = ROWS) -> list[Document]:
    return [Document(id=f"d{i} é", text="" if i % 97 == 5 else f"text {i}", title="") for i in range(n)]


def rows(out: Path) -> tuple[list[str], np.ndarray]:
    """The ids and vectors in a file, read by other means than those that wrote it."""
    if out.suffix == ".npy":
        ids = [json.loads(line) for line in out.with_suffix(".ids.jsonl").read_text("utf-8").splitlines()]
        return ids, np.load(out, allow_pickle=False)
    if out.suffix == ".jsonl":
        lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        return [line["id"] for line in lines], np.array([line["vector"] for line in lines], np.float32)
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(out)
    assert [str(field.type) for field in table.schema] == ["string", "fixed_size_list<element: float>[6]"]
    return table["id"].to_pylist(), np.array(table["vector"].to_pylist(), np.float32)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@FORMATS
@pytest.mark.parametrize("batch_size", [1, 7, 1024])
def test_each_document_has_its_row_in_order_whatever_the_batch_size(
    suffix: str, batch_size: int, tmp_path: Path
) -> None:
    out = tmp_path / f"x{suffix}"
    given = documents()
    report = embed_file(Hashing(), given, out, batch_size=batch_size)
    ids, vectors = rows(out)
    assert ids == [document.id for document in given]
    assert vectors.tobytes() == Hashing().encode([document.full for document in given]).tobytes()
    assert report.texts == ROWS
    assert report.empty == sum(not document.text for document in given)
    assert not vectors[5].any()
    assert not [name for name in everything(tmp_path) if ".parts" in name]


@FORMATS
@pytest.mark.parametrize("after", [0, 255, 256, 700, 1099])
def test_a_run_that_broke_off_is_resumed_to_the_same_bytes(suffix: str, after: int, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = embed_file(Hashing(), documents(), whole / f"x{suffix}")
    with pytest.raises(KeyboardInterrupt):
        embed_file(Hashing(after=after, error=KeyboardInterrupt()), documents(), broken / f"x{suffix}", batch_size=10)
    assert not (broken / f"x{suffix}").exists()
    assert bool(everything(broken)) == (after >= 256), "work that can be resumed is kept, and nothing else"
    again = Hashing()
    assert embed_file(again, documents(), broken / f"x{suffix}", batch_size=10, resume=True) == expected
    assert again.encoded <= ROWS - after // 256 * (256 - store._PROBES)
    assert everything(broken) == everything(whole)


def broken_off(out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed_file(Hashing(after=600, error=KeyboardInterrupt()), documents(), out)


def change(number: int) -> list[Document]:
    changed = documents()
    changed[number] = Document(id=changed[number].id, text="another")
    return changed


@pytest.mark.parametrize(
    ("embedder", "corpus", "message"),
    [
        (Hashing(seed=b"x"), documents(), "cannot resume: the model gives other vectors"),
        (Hashing(), change(3), "cannot resume: the input changed within its first 256 documents"),
        (Hashing(), change(400), "cannot resume: the input changed within its first 512 documents"),
        (Hashing(), documents(300), "cannot resume: the input has fewer documents"),
    ],
    ids=["model", "input", "input later", "shorter"],
)
def test_another_model_or_input_is_refused_and_the_work_kept(
    embedder: Hashing, corpus: list[Document], message: str, tmp_path: Path
) -> None:
    out = tmp_path / "x.npy"
    broken_off(out)
    before = everything(tmp_path)
    with pytest.raises(InputError, match=message):
        embed_file(embedder, corpus, out, resume=True)
    assert everything(tmp_path) == before
    embed_file(Hashing(), documents(), out, resume=True)


def test_an_input_that_grew_after_its_end_was_embedded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.npy"
    with monkeypatch.context() as faults:
        faults.setattr(store, "_assemble", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            embed_file(Hashing(), documents(), out)
    with pytest.raises(InputError, match="more documents"):
        embed_file(Hashing(), documents(ROWS + 1), out, resume=True)
    embed_file(Hashing(), documents(), out, resume=True)
    assert len(rows(out)[0]) == ROWS


def test_an_unfinished_run_asks_for_resume_or_force(tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    broken_off(out)
    with pytest.raises(InputError, match="broke off after 512 rows .*--resume.*--force"):
        embed_file(Hashing(), documents(), out)
    embed_file(Hashing(seed=b"new"), documents(5), out, force=True)
    assert len(rows(out)[0]) == 5


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    broken_off(out)
    shard = next(tmp_path.rglob("000001.f32"))
    shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    with pytest.raises(InputError, match="000001.f32: missing or changed"):
        embed_file(Hashing(), documents(), out, resume=True)


@FORMATS
def test_nothing_is_replaced_without_force(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"x{suffix}"
    embed_file(Hashing(), documents(3), out)
    before = everything(tmp_path)
    with pytest.raises(InputError, match="exists; .*--force"):
        embed_file(Hashing(), documents(4), out)
    assert everything(tmp_path) == before
    embed_file(Hashing(), documents(4), out, force=True)
    assert len(rows(out)[0]) == 4


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    out = tmp_path / "x.npy"

    def reading() -> Iterator[Document]:
        yield from documents(300)
        with pytest.raises(InputError, match="another process"):
            embed_file(Hashing(), documents(3), out, force=True)

    embed_file(Hashing(), reading(), out)
    assert len(rows(out)[0]) == 300


@pytest.mark.parametrize("name", ["x.txt", "x", "x.npz"])
def test_the_suffix_names_the_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must be one of \.npy, \.parquet, \.jsonl"):
        embed_file(Hashing(), documents(3), tmp_path / name)
    assert not everything(tmp_path)


def test_a_vector_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    class Broken(Hashing):
        def encode(self, texts: Sequence[str], **options: Any) -> Any:
            vectors, report = super().encode(texts, **options)
            vectors[2, 3] = np.nan
            return vectors, report

    with pytest.raises(InputError, match="document 'd2 é': its vector is not finite"):
        embed_file(Broken(), documents(9), tmp_path / "x.npy")
    assert not everything(tmp_path)


@FORMATS
@pytest.mark.parametrize("fatal", range(0, 24, 3))
def test_a_full_disk_is_one_error_and_the_work_goes_on_from_there(
    suffix: str, fatal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, old = tmp_path / f"x{suffix}", tmp_path / "whole"
    embed_file(Hashing(), documents(), old / f"x{suffix}")
    fsync, done = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal done
        done += 1
        if done > fatal:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as faults:
        faults.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="the disk is full"):
            embed_file(Hashing(), documents(), out)
    assert not out.exists()
    embed_file(Hashing(), documents(), out, resume=True)
    assert out.read_bytes() == (old / f"x{suffix}").read_bytes()


def test_a_tiny_disk_fills_up_cleanly(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with pytest.raises(InputError, match="the disk is full"):
            embed_file(Hashing(), documents(5000), disk / "x.npy")
        assert not (disk / "x.npy").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
from test_store import Hashing, documents, store, embed_file
store._SHARD_FLOATS = 1
class Slow(Hashing):
    def encode(self, texts, **options):
        time.sleep(0.004)
        return super().encode(texts, **options)
embed_file(Slow(), documents(3000), sys.argv[1], batch_size=16, resume=True)
"""


@FORMATS
def test_two_kills_at_random_moments_leave_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole" / f"x{suffix}", tmp_path / "killed" / f"x{suffix}"
    embed_file(Hashing(), documents(3000), whole)
    script = SLOW.format(tests=str(Path(__file__).parent))
    rng = random.Random()
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", script, str(out)], stderr=subprocess.DEVNULL) as process:
            seen = shards(out)
            while process.poll() is None and shards(out) <= seen:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
        assert shards(out) > seen
    embed_file(Hashing(), documents(3000), out, resume=True)
    assert everything(out.parent) == everything(whole.parent)


def shards(out: Path) -> int:
    try:
        ledger = json.loads((out.parent / f".{out.name}.parts" / "ledger.json").read_text())
    except FileNotFoundError:
        return 0
    return len(ledger["shards"])


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    import tracemalloc

    def peak(n: int) -> int:
        given = (Document(id=str(i), text=f"text {i}") for i in range(n))
        tracemalloc.start()
        embed_file(Hashing(), given, tmp_path / f"{n}.jsonl")
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    peak(300)  # what is imported once
    assert peak(20_000) < peak(2_000) + 300_000


def test_every_line_of_a_file_has_its_row(tmp_path: Path) -> None:
    source = tmp_path / "x.jsonl"
    texts = ["one", "", "three", "  ", "five"]
    source.write_text("".join(json.dumps({"_id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    report = embed_file(Hashing(), Corpus(source, config=CorpusConfig()), tmp_path / "out.npy")
    ids, vectors = rows(tmp_path / "out.npy")
    assert ids == ["0", "1", "2", "3", "4"]
    assert [bool(row.any()) for row in vectors] == [True, False, True, False, True]
    assert report.empty == 2
