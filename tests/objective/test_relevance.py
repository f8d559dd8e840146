"""Relevance by hand, against sentence-transformers, and as the trainer asks: sums, counts, company and order."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inlay.batch import Batch, Candidates
from inlay.errors import InputError
from inlay.model.heads import Pooler, TextHead
from inlay.model.presets import preset, resize
from inlay.objective.relevance import Listwise, Pointwise, Relevance, RelevanceObjective
from inlay.tokenize.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_vocabulary(["a", "b"], specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
BERT = resize(preset("bert-tiny"), 2, 16, 2, 32, vocab_size=40)
CONFIG = replace(BERT, heads=(Pooler(), TextHead(labels=("relevance",))))
LISTS = np.array([0, 0, 0, 1, 1])
RIGHT = np.array([1.0, 0, 0, 0, 1])
SCORES = [2.0, 0.5, -1.0, 0.25, 0.75]


def candidates(lists: np.ndarray = LISTS, relevance: np.ndarray = RIGHT) -> Candidates:
    rng = np.random.default_rng(4)
    rows = [rng.integers(5, 40, size).tolist() for size in (5, 8, 6, 8, 7)[: len(lists)]]
    segments = [[0, 0, 0, *[1] * (len(row) - 3)] for row in rows]
    return Candidates(Batch.of(rows, segments), lists.astype(np.int64), relevance)


def objective(loss: Pointwise | Listwise) -> RelevanceObjective:
    return Relevance(loss=loss).build(CONFIG, TOKENIZER)


def means(
    loss: Pointwise | Listwise, scores: list[float] = SCORES, given: Candidates | None = None
) -> dict[str, float]:
    made = objective(loss)
    example = made.draw(given or candidates(), np.random.default_rng(0))
    found = made.of_scores(torch.tensor(scores), example)
    return {name: float(value) / example.counts[name] for name, value in found.items()}


def test_listwise_is_the_softmax_over_the_candidates_of_each_query() -> None:
    first = 2.0 - math.log(math.exp(2.0) + math.exp(0.5) + math.exp(-1.0))
    second = 0.75 - math.log(math.exp(0.25) + math.exp(0.75))
    assert means(Listwise()) == {"nll": pytest.approx(-(first + second) / 2), "first": 1.0}


def test_listwise_shares_what_it_expects_among_several_relevant_texts() -> None:
    given = candidates(relevance=np.array([1.0, 3.0, 0, 1, 0]))
    log = [math.log(math.exp(2.0) + math.exp(0.5) + math.exp(-1.0)), math.log(math.exp(0.25) + math.exp(0.75))]
    expected = -(0.25 * (2.0 - log[0]) + 0.75 * (0.5 - log[0]) + 0.25 - log[1])
    assert means(Listwise(), given=given) == {"nll": pytest.approx(expected / 2), "first": 0.0}


def test_pointwise_is_the_cross_entropy_of_each_pair_alone() -> None:
    each = [math.log1p(math.exp(-score if right else score)) for score, right in zip(SCORES, RIGHT, strict=True)]
    assert means(Pointwise())["bce"] == pytest.approx(sum(each) / 5)
    heavy = sum(3 * one if right else one for one, right in zip(each, RIGHT, strict=True))
    assert means(Pointwise(positive=3))["bce"] == pytest.approx(heavy / 5)


def test_equal_scores_are_no_right_answer() -> None:
    assert means(Listwise(), [1.0] * 5)["first"] == 0
    assert means(Listwise(), [1e4, -1e4, 0.0, 3e4, 3e4])["first"] == 0.5
    assert math.isfinite(means(Listwise(), [1e4, -1e4, 0.0, 3e4, 3e4])["nll"])


def test_both_losses_are_those_of_sentence_transformers() -> None:
    theirs = pytest.importorskip("sentence_transformers.cross_encoder")
    from sentence_transformers.cross_encoder import losses

    given = torch.tensor(SCORES)

    class Stub(theirs.CrossEncoder):  # type: ignore[name-defined, misc]
        """A model that has its scores already."""

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        num_labels, device = 1, torch.device("cpu")
        activation_fn = torch.nn.Identity()
        at = 0

        def preprocess(self, pairs: list[Any], **_: Any) -> dict[str, Any]:
            self.at, start = self.at + len(pairs), self.at
            return {"scores": given[start : self.at, None]}

        def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
            return features

    pointwise = losses.BinaryCrossEntropyLoss(Stub())
    pairs = [["q"] * 5, ["d"] * 5]
    assert float(pointwise(pairs, torch.tensor(RIGHT).float())) == pytest.approx(means(Pointwise())["bce"])
    listwise = losses.ListNetLoss(Stub())
    docs = [["d", "e", "f"], ["g", "h"]]
    labels = [torch.tensor([0.0, -1e4, -1e4]), torch.tensor([-1e4, 0.0])]  # their softmax is 1 and 0
    assert float(listwise([["q", "r"], docs], labels)) == pytest.approx(means(Listwise())["nll"])


@pytest.mark.parametrize("loss", [Listwise(), Pointwise(positive=2)])
def test_the_parts_of_a_batch_add_up_to_the_whole(loss: Pointwise | Listwise) -> None:
    made, model, rng = objective(loss), CONFIG.build(seed=1).eval(), np.random.default_rng(0)
    whole = candidates()
    example = made.draw(whole, rng)
    expected = made(model, example)
    parts = []
    for number in (0, 1):
        rows = np.flatnonzero(number == LISTS)
        texts = [whole.pairs.ids[whole.pairs.rows == row].tolist() for row in rows]
        kinds = [whole.pairs.segments[whole.pairs.rows == row].tolist() for row in rows]  # type: ignore[index]
        part = Candidates(Batch.of(texts, kinds), LISTS[rows], RIGHT[rows])
        parts.append(made(model, made.draw(part, rng), over=example.counts)["loss"])
    assert sum(part.item() for part in parts) == pytest.approx(expected["loss"].item(), abs=1e-6)


def test_the_order_of_the_pairs_changes_nothing() -> None:
    mixed = np.array([3, 0, 4, 2, 1])
    given = candidates(LISTS[mixed] * 7 + 2, RIGHT[mixed])
    assert means(Listwise(), [SCORES[at] for at in mixed], given) == pytest.approx(means(Listwise()))


@pytest.mark.parametrize("loss", [Listwise(), Pointwise()])
def test_a_model_learns_which_pairs_are_relevant(loss: Pointwise | Listwise) -> None:
    made, model = objective(loss), CONFIG.build(seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    for _ in range(25):
        optimizer.zero_grad()
        made(model, candidates(), rng)["loss"].backward()
        optimizer.step()
    found = made(model.eval(), candidates(), rng)
    assert float(found["first"]) == 1
    assert found["loss"].item() < 0.2


@pytest.mark.parametrize(
    ("lists", "relevance", "loss", "expected"),
    [
        ([0, 0, 0, 1, 1], [1, 0, 0, 0, 0], Listwise(), "list 1 has nothing relevant in it"),
        ([0, 0, 0, 0, 1], [1, 0, 0, 0, 1], Listwise(), "list 1 has one candidate alone"),
        ([0, 0, 0, 1, 1], [1, 0, -1, 0, 1], Listwise(), "a relevance of -1 is below 0"),
        ([0, 0, 0, 1, 1], [1, 0, 2, 0, 1], Pointwise(), "a relevance of 2 is no probability"),
    ],
)
def test_lists_that_ask_nothing_are_refused(
    lists: list[int], relevance: list[float], loss: Pointwise | Listwise, expected: str
) -> None:
    given = candidates(np.array(lists), np.array(relevance, np.float64))
    with pytest.raises(InputError, match=expected):
        objective(loss).draw(given, np.random.default_rng(0))


def test_what_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(InputError, match="Relevance reads the text head, which this architecture lacks"):
        Relevance().build(replace(BERT, heads=()), TOKENIZER)
    with pytest.raises(InputError, match="the head has 2 labels"):
        Relevance().build(replace(BERT, heads=(Pooler(), TextHead(labels=("a", "b")))), TOKENIZER)
    with pytest.raises(InputError, match="Relevance needs lists of candidates"):
        objective(Listwise()).draw(Batch.of([[5, 6]]), np.random.default_rng(0))
    empty = Candidates(Batch.of([[5], []]), np.array([0, 0]), np.array([1.0, 0]))
    with pytest.raises(InputError, match="pair 1 has no tokens"):
        objective(Listwise()).draw(empty, np.random.default_rng(0))
    with pytest.raises(InputError, match="positive=0 must be above 0"):
        Pointwise(positive=0)
    with pytest.raises(InputError, match=r"lists of shape \(1,\) for 2 pairs"):
        Candidates(Batch.of([[5], [6]]), np.array([0]), np.array([1.0, 0]))
    with pytest.raises(InputError, match="no finite number"):
        Candidates(Batch.of([[5], [6]]), np.array([0, 0]), np.array([1.0, np.nan]))
