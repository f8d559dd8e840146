"""Tasks for embedders: figures of scipy, scikit-learn and sentence-transformers, and errors for what has no figure."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from inlay.embed.embedder import EncodeReport
from inlay.errors import InputError
from inlay.evaluate.beir import Beir
from inlay.evaluate.clustering import clusters, v_measure
from inlay.evaluate.encoding import Encoder
from inlay.evaluate.finding import dense_retrieval, reranking
from inlay.evaluate.intervals import pearson, resampled
from inlay.evaluate.judged import Candidates, Halves, JudgedPairs, Labelled, ScoredPairs
from inlay.evaluate.measured import html
from inlay.evaluate.probe import probe
from inlay.evaluate.sentences import Judged, evaluate, texts_of
from inlay.evaluate.similarity import best_threshold, pair_classification, sts
from inlay.text.document import Document


class Given:
    """An embedder whose vectors are given by text; it counts what it is asked to encode."""

    def __init__(self, vectors: dict[str, np.ndarray], dropped: int = 0) -> None:
        self.known, self.asked, self.dropped = vectors, list[str](), dropped
        self.dim = len(next(iter(vectors.values())))

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, report: bool = False) -> tuple:
        self.asked += texts
        rows = np.stack([self.known[text] for text in texts]).astype(np.float32)
        return rows, EncodeReport(texts=len(texts), tokens=9, dropped=self.dropped, unknown=0, empty=0)


def given(names: Sequence[str], seed: int = 0, dim: int = 8) -> Given:
    rng = np.random.default_rng(seed)
    return Given({name: rng.normal(size=dim) for name in names})


def pairs(n: int = 200, seed: int = 0) -> tuple[Given, list[str], list[str], np.ndarray]:
    """Pairs of random texts, whose second one is the closer to the first the higher a hidden score is."""
    rng = np.random.default_rng(seed)
    hidden = rng.random(n)
    first, second = [f"a{i}" for i in range(n)], [f"b{i}" for i in range(n)]
    left, noise = rng.normal(size=(n, 8)), rng.normal(size=(n, 8))
    right = hidden[:, None] * left + (1 - hidden[:, None]) * noise
    return Given(dict(zip(first + second, np.concatenate([left, right]), strict=True))), first, second, hidden


def cosine(embedder: Given, first: list[str], second: list[str]) -> np.ndarray:
    a, b = (np.stack([embedder.known[t].astype(np.float32) for t in side]).astype(float) for side in (first, second))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


# Similarity


def test_correlations_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    embedder, first, second, hidden = pairs()
    scores = np.round(hidden * 5)  # with ties
    found = sts(embedder, ScoredPairs(first=first, second=second, scores=scores))
    by_hand = cosine(embedder, first, second)
    assert found.figures["spearman"].value == pytest.approx(stats.spearmanr(by_hand, scores)[0], abs=1e-6)
    assert found.figures["pearson"].value == pytest.approx(stats.pearsonr(by_hand, scores)[0], abs=1e-6)
    for figure in found.figures.values():
        assert figure.low < figure.value < figure.high
    assert found.measure == "spearman"


def test_correlations_are_those_of_sentence_transformers() -> None:
    evaluators = pytest.importorskip("sentence_transformers.evaluation")
    embedder, first, second, hidden = pairs()
    known = {name: vector.astype(np.float32) for name, vector in embedder.known.items()}

    class Model:
        """As much of a SentenceTransformer as the evaluator asks for."""

        similarity_fn_name = "cosine"

        def encode(self, texts: Sequence[str], **named: object) -> np.ndarray:
            return np.stack([known[text] for text in texts])

    evaluator = evaluators.EmbeddingSimilarityEvaluator(first, second, hidden.tolist(), main_similarity="cosine")
    evaluator.store_metrics_in_model_card_data = lambda *given, **named: None
    theirs = evaluator(Model())
    ours = sts(embedder, ScoredPairs(first=first, second=second, scores=hidden)).figures
    for name in ("spearman", "pearson"):
        (value,) = [value for key, value in theirs.items() if key.endswith(name + "_cosine")]
        assert ours[name].value == pytest.approx(value, abs=1e-6)


def test_no_correlation_is_defined_where_all_cosines_or_all_scores_are_one() -> None:
    same = Given({name: np.ones(3) for name in "abcdef"})
    found = sts(same, ScoredPairs(first=list("abc"), second=list("def"), scores=np.arange(3.0)))
    assert math.isnan(found.main.value)
    assert str(found.main) == "undefined"
    assert found.tree()["figures"]["spearman"] == {"value": None, "low": None, "high": None}
    assert "all cosines are 1.000: no correlation is defined" in found.notes
    with pytest.raises(InputError, match="all 3 pairs have the score 2: no correlation is defined"):
        ScoredPairs(first=list("abc"), second=list("def"), scores=np.full(3, 2.0))


def test_texts_without_a_known_token_are_counted_and_have_the_cosine_zero() -> None:
    embedder, first, second, hidden = pairs(20)
    embedder.known["a3"] = np.zeros(8)
    found = sts(embedder, ScoredPairs(first=first, second=second, scores=hidden))
    assert found.notes == ["1 of 40 texts have no known token, and the vector zero; their cosines count as 0"]


def test_the_interval_of_a_correlation_holds_it_95_times_in_100() -> None:
    rng, truth = np.random.default_rng(0), 0.6
    held = 0
    for seed in range(100):
        x = rng.normal(size=80)
        y = truth * x + math.sqrt(1 - truth**2) * rng.normal(size=80)
        _, low, high = pearson(x, y, seed=seed, n=300)
        held += low <= truth <= high
    assert 88 <= held <= 99


def test_resamples_draw_as_many_things_as_there_are() -> None:
    sums = []
    resampled(lambda counts: sums.extend(counts.sum(axis=1)) or np.zeros(len(counts)), 7, 0, 50)
    assert sums == [7.0] * 50


# Pairs


def test_average_precision_and_f1_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    embedder, first, second, hidden = pairs()
    for name in second[:40]:
        embedder.known[name] = embedder.known["b0"]  # equal cosines, in which order plays no part
        embedder.known["a" + name[1:]] = embedder.known["a0"]
    alike = hidden + np.random.default_rng(1).normal(0, 0.2, len(hidden)) > 0.5
    dev = JudgedPairs(first=first[:100], second=second[:100], alike=alike[:100])
    found = pair_classification(embedder, JudgedPairs(first=first, second=second, alike=alike, dev=dev))
    by_hand = cosine(embedder, first, second)
    by_hand[:40] = by_hand[0]
    assert found.main.value == pytest.approx(metrics.average_precision_score(alike, by_hand), abs=1e-6)
    for name, score in (("accuracy", metrics.accuracy_score), ("f1", metrics.f1_score)):
        (threshold,) = found.facts["thresholds"][name]
        assert found.figures[name].value == pytest.approx(score(alike, by_hand >= threshold))
    for figure in found.figures.values():
        assert figure.low < figure.value < figure.high


@pytest.mark.parametrize("measure", ["accuracy", "f1"])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_is_better_on_the_pairs_it_is_chosen_on(measure: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(40), 1)  # with ties
    alike = scores + rng.normal(0, 0.4, 40) > 0.6

    def value(threshold: float) -> float:
        called = scores >= threshold
        both = (called & alike).sum()
        return (called == alike).mean() if measure == "accuracy" else 2 * both / max(called.sum() + alike.sum(), 1)

    best = value(best_threshold(scores, alike, measure))
    assert best == max(value(threshold) for threshold in [*scores, -1.0, 2.0])


def test_without_other_pairs_each_half_is_judged_by_the_threshold_of_the_other() -> None:
    embedder, first, second, hidden = pairs()
    found = pair_classification(embedder, JudgedPairs(first=first, second=second, alike=hidden > 0.5))
    assert len(found.facts["thresholds"]["f1"]) == 2
    assert found.notes == ["no dev pairs: each half is judged by the other half's threshold"]
    # Vectors of noise tell nothing: a threshold of their own would flatter them, one of other pairs does not.
    honest, flattered = [], []
    for seed in range(10):
        noise, data = given(first + second, seed), JudgedPairs(first=first, second=second, alike=hidden > 0.5)
        own = JudgedPairs(first=first, second=second, alike=data.alike, dev=data)
        honest.append(pair_classification(noise, data).figures["accuracy"].value)
        flattered.append(pair_classification(noise, own).figures["accuracy"].value)
    assert np.mean(honest) < np.mean(flattered) - 0.02


# Clusters and probe


def grouped(n: int = 120, apart: float = 4.0) -> tuple[Given, Labelled]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 8)) * apart
    embedder = Given({f"t{i}": centres[i % 4] + rng.normal(size=8) for i in range(n)})
    return embedder, Labelled(texts=[f"t{i}" for i in range(n)], labels=[f"c{i % 4}" for i in range(n)])


def test_v_measure_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for classes, found in ((5, 3), (2, 9), (1, 4), (4, 1)):
        a, b = rng.integers(0, classes, 60), rng.integers(0, found, 60)
        a[:classes], b[:found] = range(classes), range(found)
        assert v_measure(a, b) == pytest.approx(metrics.v_measure_score(a, b), abs=1e-9)
        twice = metrics.v_measure_score(np.repeat(a, 3), np.repeat(b, 3))
        assert v_measure(a, b, np.full(60, 3.0)) == pytest.approx(twice, abs=1e-9)


def test_clusters_that_lie_apart_are_found_and_noise_is_not() -> None:
    pytest.importorskip("sklearn")
    embedder, data = grouped()
    found = clusters(embedder, data)
    assert found.main.value > 0.8
    assert found.main.low <= found.main.value <= found.main.high
    assert found.main.value == pytest.approx(np.mean(list(found.facts["seeds"].values())))
    assert clusters(given(data.texts), data).main.value < 0.2
    assert clusters(embedder, data).tree() == found.tree()


def test_more_labels_than_different_vectors_are_noted() -> None:
    pytest.importorskip("sklearn")
    same = Given({name: np.ones(3) for name in "abcdef"})
    found = clusters(same, Labelled(texts=list("abcdef"), labels=list("xxyyzz")))
    assert found.main.value == 0.0
    assert found.notes == ["only 1 of the vectors differ, fewer than the 3 labels"]


def test_a_probe_finds_what_a_straight_border_tells_apart_whatever_the_vectors_length() -> None:
    pytest.importorskip("sklearn")
    embedder, data = grouped(apart=1.0)
    split = Halves(
        train=Labelled(texts=data.texts[:80], labels=data.labels[:80]),
        test=Labelled(texts=data.texts[80:], labels=[*data.labels[80:-1], "new"]),
    )
    found = probe(embedder, split)
    assert found.main.value > 0.8
    assert found.figures["macro f1"].low < found.figures["macro f1"].value <= found.figures["macro f1"].high
    assert found.notes == ["1 test texts have a label that training lacks ('new'); they count as wrong"]
    longer = Given({text: 64 * vector for text, vector in embedder.known.items()})
    assert probe(longer, split).tree()["figures"] == found.tree()["figures"]


def test_macro_f1_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    from inlay.evaluate.probe import _macro_f1

    rng = np.random.default_rng(0)
    called, truth = (rng.choice(["a", "b", "c"], 50, p=[0.6, 0.3, 0.1]) for _ in range(2))
    ours = _macro_f1(called, truth, 0)
    assert ours.value == pytest.approx(metrics.f1_score(truth, called, average="macro"), abs=1e-9)


# Finding


def test_a_ranking_of_candidates_has_the_map_and_mrr_of_its_cosines() -> None:
    embedder = Given({"q": np.array([1.0, 0]), "near": np.array([1.0, 0.1]), "mid": np.array([1.0, 1.0])} | {
        "far": np.array([-1.0, 0.2]), "r": np.array([0.0, 1.0])})  # fmt: skip
    texts = [["far", "mid", "near"], ["near", "mid", "far"]]
    data = Candidates(queries=["q", "r"], texts=texts, relevant=[[True, True, False], [False, True, False]])
    found = reranking(embedder, data)
    # q: near, mid, far -> relevant at 2 and 3; r: mid, far, near -> relevant at 1
    assert found.figures["map"].value == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    assert found.figures["mrr@10"].value == pytest.approx((1 / 2 + 1) / 2)


def test_equal_cosines_do_not_favour_the_order_of_the_file() -> None:
    same = Given({"q": np.ones(2), **{f"t{i}": np.ones(2) for i in range(10)}})
    texts = [f"t{i}" for i in range(10)]
    data = Candidates(queries=["q"] * 400, texts=[texts] * 400, relevant=[[True] + [False] * 9] * 400)
    chance = np.mean(1 / np.arange(1, 11))
    assert reranking(same, data).main.value == pytest.approx(chance, abs=0.05)


def test_retrieval_by_vectors_finds_nothing_for_a_query_without_known_words() -> None:
    embedder = given(["one", "two", "three"])
    embedder.known |= {"like one": embedder.known["one"] * 2, "unknown": np.zeros(8)}
    test = Beir(
        corpus=[Document(id=name, text=name) for name in ("one", "two", "three")],
        queries={"a": "like one", "b": "unknown"},
        qrels={"a": {"one": 1}, "b": {"one": 1}},
    )
    found = dense_retrieval(embedder, test)
    assert found.figures["mrr@10"].value == 0.5
    assert found.notes == ["1 of 2 texts have no known token, and the vector zero; as queries they find nothing"]


# All of them


def every_kind() -> tuple[Given, list[Judged]]:
    embedder, first, second, hidden = pairs(40)
    labels = [f"c{int(score * 3)}" for score in hidden]
    known = Labelled(texts=first, labels=labels)
    return embedder, [
        ScoredPairs(first=first, second=second, scores=hidden),
        JudgedPairs(first=first, second=second, alike=hidden > 0.5),
        known,
        Halves(train=known, test=Labelled(texts=second, labels=labels)),
        Candidates(
            queries=first[:5], texts=[second] * 5, relevant=[[row == at for row in range(40)] for at in range(5)]
        ),
        Beir(corpus=[Document(id=t, text=t) for t in second], queries={"q": first[0]}, qrels={"q": {"b0": 1}}),
    ]


def test_every_kind_has_figures_a_tree_and_a_table() -> None:
    pytest.importorskip("sklearn")
    embedder, tasks = every_kind()
    results = [evaluate(embedder, task, on=f"<{at}>", lang="en") for at, task in enumerate(tasks)]
    assert [one.kind for one in results] == ["sts", "pairs", "clusters", "probe", "rerank", "retrieval"]
    for one in results:
        assert 0 <= one.main.low <= one.main.value <= one.main.high <= 1 or one.kind == "sts"
        json.dumps(one.tree(), allow_nan=False)
    table = html(results)
    assert table.count("<tr>") == 1 + sum(len(one.figures) for one in results)
    assert "&lt;0&gt;" in table
    assert "<0>" not in table


def test_a_text_is_encoded_once_however_many_tasks_ask_for_it() -> None:
    pytest.importorskip("sklearn")
    embedder, tasks = every_kind()
    counted: list[int] = []
    encoder = Encoder(embedder, counted.append)
    for task in tasks[:4]:
        evaluate(encoder, task)
    assert len(embedder.asked) == len(set(embedder.asked)) == 80 == sum(counted)
    assert [texts_of(task) for task in tasks] == [80, 80, 40, 80, 45, 41]


def test_dropped_tokens_and_damaged_vectors_are_told() -> None:
    embedder, first, second, hidden = pairs(10)
    embedder.dropped = 3
    data = ScoredPairs(first=first, second=second, scores=hidden)
    assert evaluate(embedder, data).notes == ["3 of 12 tokens were dropped: texts longer than the model takes"]
    embedder.known["a1"] = np.full(8, np.nan)
    with pytest.raises(InputError, match="the vector of 'a1' is not finite"):
        evaluate(embedder, data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScoredPairs(first=[], second=[], scores=np.zeros(0)), "there are 0 pairs, too few .*; give 3 or more"),
        (lambda: ScoredPairs(first=["a"], second=[], scores=np.zeros(1)), "1 and 0 and 1 pairs do not fit together"),
        (lambda: JudgedPairs(first=list("abcd"), second=list("abcd"), alike=np.ones(4, bool)), "all 4 pairs are alike"),
        (lambda: Labelled(texts=[], labels=[]), "there are 0 texts, too few"),
        (
            lambda: clusters(given("ab"), Labelled(texts=["a", "b"], labels=["x", "x"])),
            "all 2 texts have the label 'x'",
        ),
        (lambda: clusters(given("ab"), Labelled(texts=["a", "b"], labels=["x", "y"])), "2 texts with 2 labels: no two"),
        (
            lambda: Halves(train=Labelled(texts=["a"], labels=["x"]), test=Labelled(texts=["a"], labels=["x"])),
            "all 1 texts have the label 'x'; give texts of two or more",
        ),
        (
            lambda: Candidates(queries=["q"], texts=[["a"]], relevant=[[True]]),
            "query 'q': 1 of its 1 texts are relevant",
        ),
        (lambda: Candidates(queries=[], texts=[], relevant=[]), "there are 0 queries"),
    ],
)
def test_what_nothing_can_be_measured_on_is_refused(make: object, message: str) -> None:
    if "label 'x'" in message or "no two" in message:
        pytest.importorskip("sklearn")
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]
