"""Index: exact and approximate search, and changes, against full sorts and dicts."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_index import random_index, random_vectors, same

from inlay.errors import InputError
from inlay.search.index import Index

# Q queries, N documents, D dimensions


def _clustered(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n // 100, dim))
    return (centres[rng.integers(0, len(centres), n)] + 0.5 * rng.standard_normal((n, dim))).astype(np.float32)


# --- searching


@pytest.mark.parametrize(("n", "dim", "k"), [(1, 1, 1), (7, 3, 7), (300, 16, 10), (2000, 64, 100)])
def test_search_finds_what_a_full_sort_finds(n: int, dim: int, k: int) -> None:
    vectors, queries = random_vectors(n, dim), random_vectors(20, dim, seed=1)
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
    few = random_vectors(5, 33, seed)
    index = Index(33)
    index.add([str(i) for i in range(len(which))], few[which])
    (ids,), (scores,) = index.search(random_vectors(1, 33, seed=99), k)
    assert sorted(range(len(ids)), key=lambda i: (-scores[i], int(ids[i]))) == list(range(len(ids)))
    by_document: dict[int, set[float]] = {}
    for id, score in zip(ids, scores, strict=True):
        by_document.setdefault(which[int(id)], set()).add(float(score))
    assert all(len(scores) == 1 for scores in by_document.values())


def test_a_query_is_answered_the_same_alone_and_in_company() -> None:
    index, queries = random_index(3000, 48), random_vectors(65, 48, seed=2)
    together = index.search(queries, 20)
    for at, query in enumerate(queries):
        ids, scores = index.search(query[None], 20)
        assert ids[0] == together[0][at]
        assert np.array_equal(scores[0], together[1][at])


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    index, queries = random_index(200), random_vectors(50, seed=3)
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
    ids, scores = random_index(3).search(random_vectors(2), 10)
    assert [len(row) for row in ids] == [3, 3]
    assert scores.shape == (2, 3)
    assert random_index(3).search(np.empty((0, 16)), 2)[0] == []


def test_an_empty_index_answers_nothing() -> None:
    ids, scores = Index(4).search(random_vectors(2, 4), 5)
    assert ids == [[], []]
    assert scores.shape == (2, 0)
    assert Index(4).scores(random_vectors(2, 4)).shape == (2, 0)


def test_inputs_are_left_as_they_were() -> None:
    vectors, queries = random_vectors(10), random_vectors(2, seed=1)
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
    index, queries = random_index(5000, 512), random_vectors(50, 512, seed=1)
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
    rows = random_vectors(41, 3)
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
    index = random_index(4, 3)
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
    queries = vectors[:300] + 0.1 * random_vectors(300, 64, seed=5)

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
        assert same(index, loaded)
        assert loaded._graph is not None
        assert recall(loaded) >= 0.95
        loaded.delete(["new"])
        loaded.add(["newer"], queries[:1])
        assert loaded.search(queries[:1], 1)[0] == [["newer"]]


def test_many_deletions_never_leave_a_query_short() -> None:
    pytest.importorskip("usearch")
    index = random_index(2000, approximate_above=0)
    index.search(random_vectors(1), 5)
    index.delete([f"d{i}" for i in range(1990)])
    ids, scores = index.search(random_vectors(3, seed=8), 10)
    assert [sorted(row) for row in ids] == [[f"d{i}" for i in range(1990, 2000)]] * 3
    assert (np.diff(scores) <= 0).all()


def test_without_usearch_the_way_out_is_named_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("usearch")
    with_graph = random_index(30, approximate_above=10)
    with_graph.save(tmp_path / "with")
    expected = with_graph.search(random_vectors(1), 3, exact=True)[0]
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    for module in ("approximate", "index", "disk"):
        monkeypatch.setattr(f"inlay.search.{module}.available", lambda: False)
    index = random_index(30, approximate_above=10)
    index.save(tmp_path / "without")
    for each in (index, Index.load(tmp_path / "with"), Index.load(tmp_path / "without")):
        with pytest.raises(InputError, match=r"exact=True.*pip install 'inlay\[search\]'"):
            each.search(random_vectors(1), 3)
        assert each.search(random_vectors(1), 3, exact=True)[0] == expected
