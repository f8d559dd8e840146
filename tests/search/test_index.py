"""Index: exact and approximate search, changes, and a folder that survives damage, kills and other writers."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.files import lock, verify_checksums, write_checksums
from inlay.search.index import Index

# Q queries, N documents, D dimensions


def _vectors(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def _clustered(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n // 100, dim))
    return (centres[rng.integers(0, len(centres), n)] + 0.5 * rng.standard_normal((n, dim))).astype(np.float32)


def _index(n: int, dim: int = 16, seed: int = 0, **options: int) -> Index:
    index = Index(dim, **options)
    index.add([f"d{i}" for i in range(n)], _vectors(n, dim, seed))
    return index


def _same(a: Index, b: Index) -> bool:
    return a.ids == b.ids and np.array_equal(a.vectors(), b.vectors())


# --- searching


@pytest.mark.parametrize(("n", "dim", "k"), [(1, 1, 1), (7, 3, 7), (300, 16, 10), (2000, 64, 100)])
def test_search_finds_what_a_full_sort_finds(n: int, dim: int, k: int) -> None:
    vectors, queries = _vectors(n, dim), _vectors(20, dim, seed=1)
    index = Index(dim)
    index.add([str(i) for i in range(n)], vectors)
    ids, scores = index.search(queries, k)
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    cosines = (queries / np.linalg.norm(queries.astype(float), axis=1, keepdims=True)) @ unit.T
    order = np.argsort(-cosines.astype(np.float32), axis=1, kind="stable")[:, :k]
    assert [[int(i) for i in row] for row in ids] == order.tolist()
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, np.take_along_axis(cosines, order, axis=1), atol=1e-6)
    np.testing.assert_allclose(index.scores(queries), cosines, atol=1e-5)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_equal_scores_stand_in_the_order_of_insertion(which: list[int], k: int, seed: int) -> None:
    few = _vectors(5, 33, seed)
    index = Index(33)
    index.add([str(i) for i in range(len(which))], few[which])
    (ids,), (scores,) = index.search(_vectors(1, 33, seed=99), k)
    assert sorted(range(len(ids)), key=lambda i: (-scores[i], int(ids[i]))) == list(range(len(ids)))
    by_document: dict[int, set[float]] = {}
    for id, score in zip(ids, scores, strict=True):
        by_document.setdefault(which[int(id)], set()).add(float(score))
    assert all(len(scores) == 1 for scores in by_document.values())


def test_a_query_is_answered_the_same_alone_and_in_company() -> None:
    index, queries = _index(3000, 48), _vectors(65, 48, seed=2)
    together = index.search(queries, 20)
    for at, query in enumerate(queries):
        ids, scores = index.search(query[None], 20)
        assert ids[0] == together[0][at]
        assert np.array_equal(scores[0], together[1][at])


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    index, queries = _index(200), _vectors(50, seed=3)
    whole = index.search(queries, 5)
    monkeypatch.setattr("inlay.search.index._BLOCK", 600)
    blocked = index.search(queries, 5)
    assert whole[0] == blocked[0]
    assert np.array_equal(whole[1], blocked[1])


def test_scale_means_nothing_and_zero_vectors_score_zero() -> None:
    index = Index(2)
    index.add(["tiny", "huge", "none"], [[1e-200, 0.0], [1e300, 1e300], [0.0, 0.0]])
    ids, scores = index.search([[3.0, 0.0], [0.0, 0.0]], 3)
    assert ids == [["tiny", "huge", "none"], ["tiny", "huge", "none"]]
    np.testing.assert_allclose(scores, [[1, 0.5**0.5, 0], [0, 0, 0]], atol=1e-7)


def test_results_are_as_many_as_there_are_documents() -> None:
    ids, scores = _index(3).search(_vectors(2), 10)
    assert [len(row) for row in ids] == [3, 3]
    assert scores.shape == (2, 3)
    assert _index(3).search(np.empty((0, 16)), 2)[0] == []


def test_an_empty_index_answers_nothing() -> None:
    ids, scores = Index(4).search(_vectors(2, 4), 5)
    assert ids == [[], []]
    assert scores.shape == (2, 0)
    assert Index(4).scores(_vectors(2, 4)).shape == (2, 0)


def test_inputs_are_left_as_they_were() -> None:
    vectors, queries = _vectors(10), _vectors(2, seed=1)
    kept = vectors.copy(), queries.copy()
    index = Index(16)
    index.add([str(i) for i in range(10)], vectors)
    index.search(queries, 3)
    index.vectors()[:] = 0
    index.vectors(["3"])[:] = 0
    assert np.array_equal(vectors, kept[0])
    assert np.array_equal(queries, kept[1])
    np.testing.assert_allclose(np.linalg.norm(index.vectors(), axis=1), 1, atol=1e-6)


def test_five_thousand_documents_are_searched_in_two_milliseconds() -> None:
    index, queries = _index(5000, 512), _vectors(50, 512, seed=1)
    index.search(queries[:1], 10)
    times = []
    for query in queries:
        start = time.process_time()
        index.search(query[None], 10)
        times.append(time.process_time() - start)
    assert min(times) < 0.002 * (os.cpu_count() or 1)  # process time counts every core that helps


# --- changing


@given(st.lists(st.tuples(st.sampled_from(["add", "replace", "delete"]), st.integers(0, 12)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_changes_leave_what_a_dict_would_hold(changes: list[tuple[str, int]]) -> None:
    rows = _vectors(41, 3)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index, model = Index(3), {}
    for step, (change, number) in enumerate(changes):
        id = f"d{number}"
        if change == "delete" and id in model:
            index.delete([id])
            del model[id]
        elif change == "replace" or (change == "add" and id not in model):
            index.add([id], rows[step : step + 1], replace=change == "replace")
            model[id] = rows[step]
        assert index.ids == list(model)
        assert all(id in index for id in model)
    np.testing.assert_allclose(index.vectors(), np.array(list(model.values())).reshape(-1, 3), atol=1e-6)


def test_wrong_input_is_refused_and_changes_nothing() -> None:
    index = _index(4, 3)
    before = index.ids, index.vectors()
    ok = np.ones((1, 3))
    wrong = [
        (lambda: Index(0), "dim=0"),
        (lambda: Index(3, approximate_above=-1), "approximate_above=-1"),
        (lambda: index.add(["d1"], ok), "'d1' is in the index already"),
        (lambda: index.add(["x", "x"], np.ones((2, 3))), "'x' is given twice"),
        (lambda: index.add("x", ok), "is one text"),
        (lambda: index.add([1], ok), "id 1 is a int"),  # type: ignore[list-item]
        (lambda: index.add(["x"], np.ones((1, 4))), r"shape \(1, 4\).*\(n, 3\)"),
        (lambda: index.add(["x"], np.ones(3)), r"shape \(3,\)"),
        (lambda: index.add(["x"], np.ones((2, 3))), "1 ids but 2 vectors"),
        (lambda: index.add(["x"], np.array([["a", "b", "c"]])), "type <U1"),
        (lambda: index.add(["x", "y"], [[1, 2, 3], [1, float("nan"), 3]]), "row 1 holds NaN"),
        (lambda: index.add(["d1", "y"], [[1, 2, 3], [1, float("inf"), 3]], replace=True), "row 1 holds NaN"),
        (lambda: index.delete(["d0", "nobody"]), "'nobody' is not among the 4"),
        (lambda: index.vectors(["nobody"]), "'nobody' is not among"),
        (lambda: index.search(ok, 0), "k=0"),
        (lambda: index.search(np.ones(3), 1), r"shape \(3,\)"),
        (lambda: index.search([[float("nan")] * 3], 1), "queries: row 0"),
        (lambda: index.scores(np.ones((1, 2))), r"\(n, 3\)"),
    ]
    for act, message in wrong:
        with pytest.raises(InputError, match=message):
            act()
    assert index.ids == before[0]
    assert np.array_equal(index.vectors(), before[1])


# --- approximate


def test_the_graph_finds_nearly_all_that_exact_search_finds_through_changes_and_files(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    vectors = _clustered(20_000, 64)
    index = Index(64, approximate_above=1000)
    index.add([str(i) for i in range(len(vectors))], vectors)
    queries = vectors[:300] + 0.1 * _vectors(300, 64, seed=5)

    def recall(index: Index) -> float:
        exact, exact_scores = index.search(queries, 10, exact=True)
        near, near_scores = index.search(queries, 10)
        for a, b, c, d in zip(exact, exact_scores, near, near_scores, strict=True):
            known = dict(zip(a, b, strict=True))
            assert all(known[id] == score for id, score in zip(c, d, strict=True) if id in known)
        return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, near, strict=True)]))

    assert recall(index) >= 0.95
    index.delete([str(i) for i in range(0, 20_000, 7)])
    index.add(["1", "2"], vectors[[2, 1]], replace=True)
    index.add(["new"], queries[:1])
    assert recall(index) >= 0.95
    assert index.search(queries[:1], 1)[0] == [["new"]]
    index.save(tmp_path / "index")
    for mmap in (True, False):
        loaded = Index.load(tmp_path / "index", mmap=mmap)
        assert _same(index, loaded)
        assert loaded._graph is not None
        assert recall(loaded) >= 0.95
        loaded.delete(["new"])
        loaded.add(["newer"], queries[:1])
        assert loaded.search(queries[:1], 1)[0] == [["newer"]]


def test_many_deletions_never_leave_a_query_short() -> None:
    pytest.importorskip("usearch")
    index = _index(2000, approximate_above=0)
    index.search(_vectors(1), 5)
    index.delete([f"d{i}" for i in range(1990)])
    ids, scores = index.search(_vectors(3, seed=8), 10)
    assert [sorted(row) for row in ids] == [[f"d{i}" for i in range(1990, 2000)]] * 3
    assert (np.diff(scores) <= 0).all()


def test_without_usearch_the_way_out_is_named_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("usearch")
    with_graph = _index(30, approximate_above=10)
    with_graph.save(tmp_path / "with")
    expected = with_graph.search(_vectors(1), 3, exact=True)[0]
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    for module in ("approximate", "index", "disk"):
        monkeypatch.setattr(f"inlay.search.{module}.available", lambda: False)
    index = _index(30, approximate_above=10)
    index.save(tmp_path / "without")
    for each in (index, Index.load(tmp_path / "with"), Index.load(tmp_path / "without")):
        with pytest.raises(InputError, match=r"exact=True.*pip install 'inlay\[search\]'"):
            each.search(_vectors(1), 3)
        assert each.search(_vectors(1), 3, exact=True)[0] == expected


# --- on disk


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("n", [0, 1, 50])
def test_a_saved_index_comes_back_bit_for_bit(tmp_path: Path, n: int, mmap: bool) -> None:
    index = _index(n)
    index.add(["日本\n", "", "\udcff", "\x00\u2028"], _vectors(4, seed=3))
    index.delete(index.ids[: max(n - 2, 0)])
    index.save(tmp_path / "a" / "index")
    loaded = Index.load(tmp_path / "a" / "index", mmap=mmap)
    assert _same(index, loaded)
    assert loaded.approximate_above == index.approximate_above
    loaded.add(["more"], _vectors(1))
    loaded.add(["more"], _vectors(1, seed=4), replace=True)
    loaded.delete(["日本\n"])
    assert len(loaded) == len(index)


def test_a_mapped_index_may_be_saved_over_its_own_folder(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index = _index(500)
    index.save(folder)
    mapped = Index.load(folder)
    reader = Index.load(folder)
    mapped.save(folder)
    _index(20, seed=9).save(folder)
    assert _same(mapped, index)
    assert _same(reader, index)
    assert _same(Index.load(folder), _index(20, seed=9))
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_mapped_vectors_stay_on_disk(tmp_path: Path) -> None:
    _index(40_000, 256).save(tmp_path / "index")
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
    index = _index(60, approximate_above=10 if graph else 1000)
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
            assert _same(loaded, index)
        file.unlink()
        with pytest.raises(InputError):
            Index.load(folder)
        file.write_bytes(good)
    assert _same(Index.load(folder), index)


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
    _index(60).save(folder)
    header = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps([] if change is None else header | change))
    write_checksums(folder)
    with pytest.raises(InputError, match=message):
        Index.load(folder, verify=verify)


@pytest.mark.parametrize("verify", [True, False])
def test_files_that_lie_are_refused(tmp_path: Path, verify: bool) -> None:
    folder = tmp_path / "index"
    index = _index(60)
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
        _index(3).save(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        _index(3).save(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_full_disk_is_named_and_the_old_index_stays(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    folder = tmp_path / "index"
    _index(5).save(folder)
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
    assert _same(Index.load(folder), _index(5))
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_second_writer_is_refused_and_the_index_stays(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    _index(5).save(folder)
    with lock(folder), pytest.raises(InputError, match="being written by another process"):
        _index(9).save(folder)
    assert len(Index.load(folder)) == 5
    _index(9).save(folder)
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
    old = _index(30, 4)
    seen = set()
    for last in range(100):
        old.save(folder)
        ended = subprocess.run([sys.executable, "-c", textwrap.dedent(SAVE_AND_DIE), folder, str(last)], check=False)
        loaded = Index.load(folder)
        assert _same(loaded, old) or loaded.ids == [f"new{i}" for i in range(50)]
        seen.add(loaded.ids[0])
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
    assert last > 8
    assert seen == {"d0", "new0"}


def test_a_reader_beside_a_writer_always_gets_one_whole_index(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    _index(10).save(folder)
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
