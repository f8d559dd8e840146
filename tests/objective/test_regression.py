"""Regression on known likeness: losses against sentence-transformers and by hand, and what is refused."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_texts import V, texts, tokenizer, without_dropout

from inlay.batch import Batch, Columns
from inlay.config import from_tree, override, to_tree
from inlay.errors import InputError
from inlay.model.model import Model
from inlay.model.presets import preset
from inlay.objective.anchored import Anchored
from inlay.objective.contrastive import Contrastive
from inlay.objective.gradcache import GradCache
from inlay.objective.regression import CoSENT, Regression, RegressionObjective, Squares

P = 5
RNG = np.random.default_rng(0)


def model(seed: int = 1) -> Model:
    return without_dropout(override(preset("bert-tiny"), {"input.vocab_size": V})).build(seed=seed).eval()


def columns(scores: Any = (0.1, 0.9, 0.4, 0.4, 0.7)) -> Columns:
    left, right = (texts(np.random.default_rng(i).integers(3, 12, P).tolist(), seed=i) for i in range(2))
    return Columns(left, right, scores=None if scores is None else np.array(scores, float))


def made(config: Regression, of: Model) -> RegressionObjective:
    return config.build(of.config, tokenizer())


def test_cosent_and_squares_equal_a_hand_computation() -> None:
    cosines, scores = torch.tensor([0.5, 0.2, 0.1]), torch.tensor([1.0, 3.0, 2.0])
    # Pairs by likeness: 2nd > 3rd > 1st. (cos 1 - cos 2), (cos 1 - cos 3), (cos 3 - cos 2), each times 10.
    expected = math.log(1 + math.exp(3) + math.exp(4) + math.exp(-1))
    assert float(CoSENT(scale=10).terms(cosines, scores)["order"]) == pytest.approx(expected)
    squares = Squares().terms(cosines, scores)["squares"]
    assert float(squares) == pytest.approx(0.5**2 + 2.8**2 + 1.9**2)


def test_pairs_that_are_all_as_alike_ask_nothing() -> None:
    assert float(CoSENT().terms(torch.tensor([0.5, 0.2]), torch.tensor([1.0, 1.0]))["order"]) == 0


@pytest.mark.parametrize("name", ["CoSENTLoss", "CosineSimilarityLoss"])
def test_losses_and_gradients_are_those_of_sentence_transformers(name: str) -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    rng = torch.Generator().manual_seed(0)
    leaves = [torch.randn(P, 16, generator=rng, dtype=torch.float64).requires_grad_() for _ in range(2)]
    scores = torch.tensor([0.1, 0.9, 0.4, 0.4, 0.7], dtype=torch.float64)
    theirs = getattr(losses, name)(None).compute_loss_from_embeddings(leaves, scores)
    of, count = (CoSENT(), 1) if name == "CoSENTLoss" else (Squares(), P)
    ours = sum(of.terms(F.cosine_similarity(*leaves), scores).values()) / count
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("loss", [CoSENT(), Squares()])
def test_the_loss_is_that_of_the_texts_own_vectors_at_every_length(loss: Any) -> None:
    of, given = model(), columns()
    objective = made(Regression(loss=loss, dims=(32,)), of)
    found = objective(of, given, RNG)
    vectors = [torch.stack([of(Batch.of([ids.tolist()])).mean(0) for ids in _texts(one)]) for one in given.batches]
    scores = torch.from_numpy(given.scores).float()
    each = [
        sum(loss.terms(F.cosine_similarity(vectors[0][:, :n], vectors[1][:, :n]), scores).values())
        for n in (32, of.config.d_model)
    ]
    expected = sum(each) / 2 / loss.counts(P)[next(iter(loss.counts(P)))]
    torch.testing.assert_close(found["loss"], expected, rtol=1e-4, atol=1e-5)


def test_chunks_change_neither_loss_nor_gradient() -> None:
    answers = []
    for encoding in (Regression().encoding, GradCache(tokens=10)):
        of = model()
        loss = made(Regression(encoding=encoding), of)(of, columns(), RNG)["loss"]
        loss.backward()
        answers.append((loss, of.input.token.weight.grad))
    torch.testing.assert_close(answers[0], answers[1])


@pytest.mark.parametrize(
    ("config", "given", "message"),
    [
        (Regression(), columns(None), "needs pairs with scores"),
        (Regression(), texts([3, 4]), "needs pairs with scores"),
        (Regression(loss=Squares()), columns((0, 0.5, 4.2, 1, 1)), "a score of 4.2 is no cosine"),
    ],
)
def test_pairs_that_cannot_be_learnt_from_are_refused(config: Regression, given: Any, message: str) -> None:
    of = model()
    with pytest.raises(InputError, match=message):
        made(config, of).draw(given, RNG)


def test_an_empty_text_and_impossible_settings_are_refused() -> None:
    of, given = model(), columns()
    with pytest.raises(InputError, match="left 0 has no tokens"):
        made(Regression(), of).draw(replace(given, anchor=Batch.of([[]] + [[5]] * (P - 1))), RNG)
    with pytest.raises(InputError, match=r"scores of shape \(2,\) for 5 pairs"):
        columns((1, 2))
    for wrong in ({"pool": "middle"}, {"loss": {"kind": "CoSENT", "scale": 0}}):
        with pytest.raises(InputError):
            from_tree(Regression, wrong)
    with pytest.raises(InputError, match="must lie between 1 and"):
        made(Regression(dims=(128,)), of)
    assert from_tree(Regression, to_tree(Regression(loss=Squares()))) == Regression(loss=Squares())


@pytest.mark.parametrize("task", [Contrastive(), Regression()])
def test_an_anchor_adds_how_far_vectors_have_moved_and_nothing_where_they_have_not(task: Any) -> None:
    here, there, given = model(1), model(2), columns()
    plain = task.build(here.config, tokenizer())(here, given, RNG)
    still = Anchored(task=task, weight=3).build(here.config, tokenizer(), anchor=model(1))(here, given, RNG)
    assert float(still["anchor"].detach()) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(still["loss"], plain["loss"], atol=1e-5, rtol=1e-5)
    objective = Anchored(task=task, weight=3).build(here.config, tokenizer(), anchor=there)
    moved = objective(here, given, RNG)
    apart = [
        1 - F.cosine_similarity(*(of(Batch.of([ids.tolist()])).mean(0) for of in (here, there)), dim=0)
        for one in (given.anchor, given.positive)
        for ids in _texts(one)
    ]
    torch.testing.assert_close(moved["anchor"], torch.stack(apart).mean(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(moved["loss"], plain["loss"] + 3 * moved["anchor"], atol=1e-5, rtol=1e-5)
    moved["loss"].backward()
    assert not list(objective.parameters())
    assert all(weight.grad is None for weight in there.parameters())


def test_an_anchor_needs_a_weight() -> None:
    with pytest.raises(InputError, match="weight=0 of the anchor"):
        Anchored(task=Contrastive(), weight=0)


def _texts(batch: Batch) -> list[Any]:
    return np.split(batch.ids, batch.starts[1:])
