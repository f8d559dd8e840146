"""Retrieval metrics: equal to trec_eval's, with intervals that mean what they say."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.evaluate import beir
from inlay.evaluate.retrieval import Scores, measure, paired


def _random(seed: int, n_queries: int = 40, n_documents: int = 300) -> tuple[dict, dict]:
    """A run of rankings of many lengths, and graded judgements with zeros and negatives among them."""
    rng = np.random.default_rng(seed)
    names = [f"d{i}" for i in range(n_documents)]
    run, qrels = {}, {}
    for q in range(n_queries):
        run[f"q{q}"] = rng.permutation(names)[: rng.integers(1, n_documents)].tolist()
        judged = rng.permutation([*names, "elsewhere"])[: rng.integers(1, 60)]
        qrels[f"q{q}"] = {name: int(rng.integers(-1, 4)) for name in judged}
    return run, qrels


def _by_trec_eval(run: dict, qrels: dict) -> dict[str, dict[str, float]]:
    ir_measures = pytest.importorskip("ir_measures")
    names = {"ndcg@10": "nDCG@10", "recall@10": "R@10", "recall@100": "R@100", "mrr@10": "RR@10", "map": "AP"}
    measures = [ir_measures.parse_measure(name) for name in names.values()]
    scored = {q: {d: float(-rank) for rank, d in enumerate(ids)} for q, ids in run.items()}
    values: dict[str, dict[str, float]] = {name: {} for name in names}
    ours = {str(measure): name for measure, name in zip(measures, names, strict=True)}
    for value in ir_measures.iter_calc(measures, qrels, scored):
        values[ours[str(value.measure)]][value.query_id] = value.value
    return values


def _assert_equal(scores: Scores, expected: dict[str, dict[str, float]]) -> None:
    assert set(scores.values) == set(expected)
    for metric, values in expected.items():
        np.testing.assert_allclose(
            scores.values[metric], [values[q] for q in scores.queries], atol=1e-6, err_msg=metric
        )


@pytest.mark.parametrize("seed", range(5))
def test_every_metric_of_every_query_equals_trec_eval(seed: int) -> None:
    run, qrels = _random(seed)
    qrels["no relevant"] = {"d1": 0, "d2": -1}
    run["no relevant"] = ["d1", "d3"]
    qrels["not in the run"] = {"d1": 1}
    run["not judged"] = ["d1"]
    _assert_equal(measure(run, qrels), _by_trec_eval(run, qrels))


@pytest.mark.parametrize("name", ["cranfield", "medline"])
def test_metrics_on_real_judgements_equal_trec_eval(data: Path, name: str) -> None:
    test = beir.read(data / name)
    rng = np.random.default_rng(0)
    ids = [document.id for document in test.corpus]
    run = {query: rng.permutation(ids)[:200].tolist() for query in test.queries}
    for query, grades in test.qrels.items():  # some right answers, so that the figures are not all near 0
        run[query] = list(dict.fromkeys([*run[query][:2], *list(grades)[::2], *run[query]]))
    _assert_equal(measure(run, test.qrels), _by_trec_eval(run, test.qrels))


def test_the_figures_of_a_small_example_are_those_computed_by_hand() -> None:
    qrels = {"a": {"x": 3, "y": 1, "z": 0}, "b": {"x": 1}}
    scores = measure({"a": ["z", "y", "x"], "b": ["w"]}, qrels, ks=(1, 2, 10))
    ndcg = (1 / math.log2(3) + 3 / math.log2(4)) / (3 / math.log2(2) + 1 / math.log2(3))
    assert scores.queries == ["a", "b"]
    assert scores["ndcg@10"] == pytest.approx(ndcg / 2)
    assert scores["mrr@10"] == pytest.approx(0.25)
    assert scores["map"] == pytest.approx((1 / 2 + 2 / 3) / 2 / 2)
    assert [scores[f"recall@{k}"] for k in (1, 2, 10)] == [0, 0.25, 0.5]


@given(st.integers(0, 1000), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_a_perfect_ranking_scores_one_and_nothing_scores_outside_zero_and_one(seed: int, n_queries: int) -> None:
    run, qrels = _random(seed, n_queries, n_documents=50)
    for values in measure(run, qrels).values.values():
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    ideal = {q: sorted(grades, key=lambda d: -grades[d]) for q, grades in qrels.items()}
    answerable = [max(grades.values()) > 0 for grades in qrels.values()]
    for metric in ("ndcg@10", "mrr@10", "map", "recall@100"):
        np.testing.assert_allclose(measure(ideal, qrels).values[metric], answerable)


def test_wrong_input_is_refused() -> None:
    qrels = {"q": {"d": 1}}
    with pytest.raises(InputError, match="'d' stands twice"):
        measure({"q": ["e", "d", "d"]}, qrels)
    with pytest.raises(InputError, match="is one text"):
        measure({"q": "d"}, qrels)
    with pytest.raises(InputError, match="none of the 1 judged queries"):
        measure({"p": ["d"]}, qrels)
    with pytest.raises(InputError, match="none of the 0 judged"):
        measure({"p": ["d"]}, {})
    with pytest.raises(InputError, match="ks="):
        measure({"q": ["d"]}, qrels, ks=(0,))
    scores = measure({"q": ["d"]}, qrels)
    with pytest.raises(InputError, match=r"'ndgc@10' was not measured; did you mean 'ndcg@10'"):
        scores["ndgc@10"]
    with pytest.raises(InputError, match="different queries"):
        paired(scores, measure({"p": ["d"]}, {"p": {"d": 1}}), "map")
    with pytest.raises(InputError, match="n=0"):
        scores.interval("map", n=0)


def _scores(values: np.ndarray) -> Scores:
    return Scores(queries=[str(i) for i in range(len(values))], values={"map": values})


def test_the_interval_holds_the_true_mean_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(400):
        low, high = _scores(rng.beta(0.5, 1.5, 100)).interval("map", seed=trial)
        inside += low <= 0.25 <= high
    assert 0.91 <= inside / 400 <= 0.98


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = np.random.default_rng(0).random(500)
    low, high = _scores(values).interval("map", n=5000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 500**0.5, rel=0.05)
    assert low < values.mean() < high


def test_intervals_are_repeatable_and_take_a_seed_or_a_generator() -> None:
    scores = _scores(np.random.default_rng(0).random(50))
    assert scores.interval("map", seed=3) == scores.interval("map", seed=np.random.default_rng(3))
    assert scores.interval("map", seed=3) != scores.interval("map", seed=4)


def test_a_paired_difference_is_told_from_chance() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(300)
    better = paired(_scores(a + 0.02 + 0.05 * rng.standard_normal(300)), _scores(a), "map")
    assert 0 < better.low < better.mean < better.high
    assert better.p < 0.01
    worse = paired(_scores(a), _scores(a + 0.02 + 0.05 * rng.standard_normal(300)), "map")
    assert worse.high < 0
    assert worse.p < 0.01
    same = paired(_scores(a), _scores(a), "map")
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_equal_methods_are_called_different_one_time_in_twenty() -> None:
    rng = np.random.default_rng(1)
    p = [paired(_scores(rng.random(60)), _scores(rng.random(60)), "map", n=500).p for _ in range(400)]
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09


def test_ten_thousand_resamples_of_four_thousand_queries_take_half_a_second() -> None:
    rng = np.random.default_rng(0)
    a, b = _scores(rng.random(4000)), _scores(rng.random(4000))
    start = time.process_time()
    paired(a, b, "map")
    assert time.process_time() - start < 0.5


def test_the_tree_is_plain_json() -> None:
    tree = measure(*_random(0)).tree()
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert list(tree) == ["queries", "ndcg@10", "mrr@10", "map", "recall@10", "recall@100"]
    assert tree["queries"] == 40
    assert tree["map"]["low"] <= tree["map"]["mean"] <= tree["map"]["high"]
