"""An index on disk: saved whole, mapped, checked byte by byte, held against hostile files, kills and other writers."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from made_index import random_index, random_vectors, same

from inlay.errors import InputError
from inlay.files import lock, verify_checksums, write_checksums
from inlay.search.index import Index

# Q queries, N documents, D dimensions


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("n", [0, 1, 50])
def test_a_saved_index_comes_back_bit_for_bit(tmp_path: Path, n: int, mmap: bool) -> None:
    index = random_index(n)
    index.add(["日本\n", "", "\udcff", "\x00\u2028"], random_vectors(4, seed=3))
    index.delete(index.ids[: max(n - 2, 0)])
    index.save(tmp_path / "a" / "index")
    loaded = Index.load(tmp_path / "a" / "index", mmap=mmap)
    assert same(index, loaded)
    assert loaded.approximate_above == index.approximate_above
    loaded.add(["more"], random_vectors(1))
    loaded.add(["more"], random_vectors(1, seed=4), replace=True)
    loaded.delete(["日本\n"])
    assert len(loaded) == len(index)


def test_a_mapped_index_may_be_saved_over_its_own_folder(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index = random_index(500)
    index.save(folder)
    mapped = Index.load(folder)
    reader = Index.load(folder)
    mapped.save(folder)
    random_index(20, seed=9).save(folder)
    assert same(mapped, index)
    assert same(reader, index)
    assert same(Index.load(folder), random_index(20, seed=9))
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_mapped_vectors_stay_on_disk(tmp_path: Path) -> None:
    random_index(40_000, 256).save(tmp_path / "index")
    code = """
        import resource, sys
        from inlay.search.index import Index
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        before = peak()
        index = Index.load(sys.argv[1], verify=False)
        index.vectors(["d7", "d39999"])
        assert peak() - before < 25, (peak(), before)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), tmp_path / "index"], check=True)


@pytest.mark.parametrize("graph", [False, True])
def test_a_changed_byte_in_any_file_is_found_at_load(tmp_path: Path, graph: bool) -> None:
    if graph:
        pytest.importorskip("usearch")
    folder = tmp_path / "index"
    index = random_index(60, approximate_above=10 if graph else 1000)
    index.save(folder)
    files = sorted(folder.iterdir())
    assert len(files) == (6 if graph else 4)
    rng = np.random.default_rng(0)
    for file in files:
        good = file.read_bytes()
        bad = [good[:-1], good[: len(good) // 2], b"", good + b" "]
        for at in {0, len(good) - 1, *rng.integers(0, len(good), 60).tolist()}:
            bad.append(good[:at] + bytes([good[at] ^ int(rng.integers(1, 256))]) + good[at + 1 :])
        for at, content in enumerate(bad):
            file.write_bytes(content)
            try:
                loaded = Index.load(folder, mmap=bool(at % 2))
            except InputError:
                continue
            # Only blanks of the checksums' own JSON may change unseen, and then nothing else has.
            assert file.name == "checksums.json"
            assert json.loads(content) == json.loads(good)
            assert same(loaded, index)
        file.unlink()
        with pytest.raises(InputError):
            Index.load(folder)
        file.write_bytes(good)
    assert same(Index.load(folder), index)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 10**12}, r"vectors.npy: holds float32 \(60, 16\)"),
        ({"count": 10**30}, "count="),
        ({"count": -1}, "count=-1"),
        ({"count": True}, "count=True"),
        ({"count": 59}, "vectors.npy"),
        ({"dim": -16}, "dim=-16"),
        ({"dim": 0}, "dim=0"),
        ({"dim": 10**9}, "dim=1000000000"),
        ({"dim": 16.0}, "dim=16.0"),
        ({"graph": "../../outside"}, "graph='../../outside'"),
        ({"graph": True}, "missing"),
        ({"metric": "l2"}, "format"),
        ({"format": "inlay-index-2"}, "another version"),
        ({"vectors": "/etc/passwd"}, "not the header"),
        (None, "not the header"),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_a_hostile_header_is_refused(tmp_path: Path, change: dict | None, message: str, verify: bool) -> None:
    folder = tmp_path / "index"
    random_index(60).save(folder)
    header = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps([] if change is None else header | change))
    write_checksums(folder)
    with pytest.raises(InputError, match=message):
        Index.load(folder, verify=verify)


@pytest.mark.parametrize("verify", [True, False])
def test_files_that_lie_are_refused(tmp_path: Path, verify: bool) -> None:
    folder = tmp_path / "index"
    index = random_index(60)
    index.save(folder)
    outside = tmp_path / "outside.npy"
    np.save(outside, index.vectors())
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 16), }"
    huge = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117) + b"\n"
    lies = {
        "ids.jsonl": [b'"a"\n' * 60, b"1\n" * 60, b"[" * 100_000, b'"d0"\n', b"\xff\n"],
        "vectors.npy": [huge, huge + bytes(100), b"\x80\x04pickle", index.vectors().tobytes()],
    }
    for name, contents in lies.items():
        good = (folder / name).read_bytes()
        for content in contents:
            (folder / name).write_bytes(content)
            write_checksums(folder)
            with pytest.raises(InputError, match=name):
                Index.load(folder, verify=verify)
        (folder / name).write_bytes(good)
    (folder / "vectors.npy").unlink()
    (folder / "vectors.npy").symlink_to(outside)
    write_checksums(folder)
    with pytest.raises(InputError, match="leads out of"):
        Index.load(folder, verify=verify)


def test_a_folder_that_is_no_index_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Index.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no such file"):
        Index.load(tmp_path)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"holds 'thesis.txt'"):
        random_index(3).save(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        random_index(3).save(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_full_disk_is_named_and_the_old_index_stays(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    folder = tmp_path / "index"
    random_index(5).save(folder)
    code = """
        import errno, resource, signal, sys
        import numpy as np
        from inlay import files
        from inlay.errors import InputError
        from inlay.search.index import Index
        files.errno.ENOSPC = errno.EFBIG  # the limit below stands in for a disk that is full
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in (10, 10_000, 40_000, 100_000):
            index = Index(16, approximate_above=1000 if limit < 50_000 else 0)
            index.add([str(i) for i in range(1000)], np.eye(1000, 16) + np.arange(1000)[:, None])
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                index.save(sys.argv[1])
            except InputError as error:
                assert "disk is full" in str(error), error
            else:
                raise AssertionError(limit)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), folder], check=True)
    assert same(Index.load(folder), random_index(5))
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_second_writer_is_refused_and_the_index_stays(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    random_index(5).save(folder)
    with lock(folder), pytest.raises(InputError, match="being written by another process"):
        random_index(9).save(folder)
    assert len(Index.load(folder)) == 5
    random_index(9).save(folder)
    assert len(Index.load(folder)) == 9


SAVE_AND_DIE = """
    import os, signal, sys
    import numpy as np
    from inlay import files
    from inlay.search.index import Index
    folder, last = sys.argv[1], int(sys.argv[2])
    index = Index(4)
    index.add([f"new{i}" for i in range(50)], np.random.default_rng(1).standard_normal((50, 4)))
    calls = 0
    def dying(step):
        def call(*arguments, **options):
            global calls
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            return step(*arguments, **options)
        return call
    os.fsync, os.replace, os.chmod = dying(os.fsync), dying(os.replace), dying(os.chmod)
    files._exchange, np.save = dying(files._exchange), dying(np.save)
    files.shutil.rmtree = dying(files.shutil.rmtree)
    index.save(folder)
"""


def test_kill_9_at_any_step_of_saving_leaves_the_old_index_or_the_new(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    old = random_index(30, 4)
    seen = set()
    for last in range(100):
        old.save(folder)
        ended = subprocess.run([sys.executable, "-c", textwrap.dedent(SAVE_AND_DIE), folder, str(last)], check=False)
        loaded = Index.load(folder)
        assert same(loaded, old) or loaded.ids == [f"new{i}" for i in range(50)]
        seen.add(loaded.ids[0])
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
    assert last > 8
    assert seen == {"d0", "new0"}


def test_a_reader_beside_a_writer_always_gets_one_whole_index(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    random_index(10).save(folder)
    code = """
        import sys
        import numpy as np
        from inlay.search.index import Index
        n = 0
        while True:
            n = n % 40 + 1
            index = Index(16)
            index.add([f"{n}-{i}" for i in range(n)], np.full((n, 16), 1.0))
            index.save(sys.argv[1])
            print(n, flush=True)
    """
    writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), folder], stdout=subprocess.PIPE)
    try:
        assert writer.stdout
        writer.stdout.readline()
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            index = Index.load(folder)
            n = len(index)
            assert index.ids == [f"{n}-{i}" for i in range(n)]
            assert index.vectors().shape == (n, 16)
    finally:
        writer.kill()
        writer.communicate()
    assert verify_checksums(folder) == 3
