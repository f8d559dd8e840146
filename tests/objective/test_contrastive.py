"""Contrastive learning: losses against sentence-transformers and by hand; pairs, groups, dropout, pools, mistakes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_texts import V, texts, tokenizer

from inlay.batch import Batch, Columns
from inlay.config import from_tree, override, to_tree
from inlay.errors import InputError
from inlay.model.model import Model
from inlay.model.presets import preset
from inlay.objective.contrastive import Contrastive, ContrastiveObjective, Dropout
from inlay.objective.gradcache import GradCache
from inlay.objective.similar import InfoNCE, Triplet, kept_apart
from inlay.objective.temperature import Fixed, Learned

RNG = np.random.default_rng(0)
P, D = 6, 16


def model(name: str = "bert-tiny") -> Model:
    return override(preset(name), {"input.vocab_size": V}).build(seed=1).eval()


def made(config: Contrastive, of: Model) -> ContrastiveObjective:
    return config.build(of.config, tokenizer())


def columns(negatives: int = 0, groups: Any = None) -> Columns:
    of = [texts(np.random.default_rng(i).integers(1, 12, P).tolist(), seed=i) for i in range(2 + negatives)]
    return Columns(of[0], of[1], tuple(of[2:]), None if groups is None else np.array(groups))


def chosen(batch: Batch, order: list[int]) -> Batch:
    parts = np.split(batch.ids, batch.starts[1:])
    return Batch.of([parts[i].tolist() for i in order])


def vectors(n: int, seed: int = 0) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(P, D, generator=rng, dtype=torch.float64).requires_grad_() for _ in range(n)]


def same(ours: torch.Tensor, theirs: torch.Tensor, leaves: list[torch.Tensor]) -> None:
    """The same value and the same gradients."""
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("negatives", [0, 1, 3])
@pytest.mark.parametrize("asks", ["anchor", "both"])
def test_info_nce_and_its_gradients_are_those_of_sentence_transformers(negatives: int, asks: Any) -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    more: dict[str, Any] = {}
    if asks == "both":
        more = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    leaves = vectors(2 + negatives)
    theirs = losses.MultipleNegativesRankingLoss(None, scale=8.0, **more).compute_loss_from_embeddings(leaves, None)
    ours = InfoNCE(temperature=Fixed(value=1 / 8), asks=asks).build()(leaves, None)["nll"] / P
    same(ours, theirs, leaves)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_triplet_loss_and_its_gradients_are_those_of_sentence_transformers(distance: str) -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    metric = getattr(losses.TripletDistanceMetric, distance.upper())
    leaves, margin = vectors(3), {"euclidean": 0.7, "cosine": 0.1}[distance]
    theirs = losses.TripletLoss(None, metric, margin).compute_loss_from_embeddings(leaves, None)
    ours = Triplet(margin=margin, distance=distance).build()(leaves, None)["margin"] / P  # type: ignore[arg-type]
    assert 0 < theirs.item() < 3
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)  # theirs adds 1e-6 to a difference
    same(ours, F.relu(_distance(leaves, 1, distance) - _distance(leaves, 2, distance) + margin).mean(), leaves)


def _distance(leaves: list[torch.Tensor], other: int, kind: str) -> torch.Tensor:
    if kind == "euclidean":
        return (leaves[0] - leaves[other]).square().sum(-1).sqrt()
    return 1 - (F.normalize(leaves[0], dim=-1) * F.normalize(leaves[other], dim=-1)).sum(-1)


def test_info_nce_by_hand() -> None:
    # a₁ = p₁, a₂ at a right angle to its own p₂ and equal to p₁: cosines 1, 0 and 1, 0 at temperature ½
    anchors, positives = torch.tensor([[3.0, 0], [2, 0]]), torch.tensor([[5.0, 0], [0, 1]])
    found = InfoNCE(temperature=Fixed(value=0.5)).build()([anchors, positives], None)
    wanted = np.log(1 + np.exp(-2)) + np.log(1 + np.exp(2))
    assert found["nll"].item() == pytest.approx(wanted, rel=1e-6)
    assert found["accuracy"].item() == 1


def test_each_negative_is_a_triplet_and_equal_vectors_have_a_gradient() -> None:
    loss = Triplet(margin=1.0).build()
    a = torch.zeros(2, 3, requires_grad=True)
    found = loss([a, torch.zeros(2, 3), torch.ones(2, 3), torch.zeros(2, 3)], None)
    assert found["margin"].item() == pytest.approx(2)  # √3 away is far enough, 0 away lacks the whole margin
    assert found["accuracy"].item() == 2
    assert loss.counts(2, 2) == {"margin": 4, "accuracy": 4}
    assert torch.autograd.grad(found["margin"], a)[0].isfinite().all()


def test_texts_of_one_group_are_not_each_others_negatives() -> None:
    groups = np.array([0, 1, 0, 2, 1, 3])
    for negatives in (0, 2):
        apart = kept_apart(groups, P, negatives)
        assert apart is not None
        where = {(i, j) for i, j in np.argwhere(apart)}
        assert where == {(0, 2), (2, 0), (1, 4), (4, 1)}  # of negatives nothing is known
    each = np.stack([groups, np.array([9, 9, 9, 0, 9, 9])], 1)  # the fourth pair's negative is of the first's document
    apart = kept_apart(each, P, 1)
    assert apart is not None
    assert {(i, j) for i, j in np.argwhere(apart)} == {(0, 2), (2, 0), (1, 4), (4, 1), (0, P + 3), (2, P + 3)}
    assert kept_apart(np.arange(P), P, 0) is None
    assert kept_apart(None, P, 0) is None


@pytest.mark.parametrize("asks", ["anchor", "both"])
def test_what_is_kept_apart_is_as_if_it_were_not_there(asks: Any) -> None:
    leaves = vectors(2)
    apart = torch.from_numpy(kept_apart(np.array([0, 0, 1, 2, 3, 4]), P, 0))
    loss = InfoNCE(asks=asks).build()
    found = loss(leaves, apart)["nll"]
    a, p = (F.normalize(one, dim=-1) for one in leaves)
    wanted = torch.zeros((), dtype=torch.float64)
    ways = [(a, p), (p, a)] if asks == "both" else [(a, p)]
    for ask, answer in ways:
        for i in range(P):
            others = [j for j in range(P) if {i, j} != {0, 1}]
            scores = torch.stack([ask[i] @ answer[j] / 0.05 for j in others])
            wanted = wanted + (scores.logsumexp(0) - scores[others.index(i)]) / len(ways)
    same(found, wanted, leaves)


def test_the_whole_objective_is_the_loss_of_pooled_vectors() -> None:
    of = model()
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    given = columns(1)
    with torch.no_grad():
        one = [torch.cat([of(chosen(c, [i])).mean(0, keepdim=True) for i in range(P)]) for c in given.batches]
        wanted = losses.MultipleNegativesRankingLoss(None, scale=20.0).compute_loss_from_embeddings(one, None)
        torch.testing.assert_close(made(Contrastive(), of)(of, given, RNG)["loss"], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 4, 1, 5, 3]])
def test_the_order_of_pairs_does_not_change_the_loss(order: list[int]) -> None:
    of, given = model(), columns(1, groups=[0, 1, 0, 2, 3, 1])
    moved = Columns(*(chosen(c, order) for c in given.batches[:2]), (chosen(given.negatives[0], order),))  # type: ignore[arg-type]
    moved = replace(moved, groups=given.groups[order])  # type: ignore[index]
    objective = made(Contrastive(loss=InfoNCE(asks="both")), of)
    torch.testing.assert_close(objective(of, given, RNG)["loss"], objective(of, moved, RNG)["loss"])


def test_a_pair_given_to_itself_is_told_without_fail_and_strangers_by_chance() -> None:
    of = model()
    same_twice = Columns(columns().anchor, columns().anchor)
    found = made(Contrastive(), of)(of, same_twice, RNG)
    assert found["accuracy"].item() == 1
    assert found["loss"].item() < np.log(P)


@pytest.mark.parametrize("pool", ["first", "last", "mean", "pooled"])
def test_a_text_has_the_vector_that_it_has_alone(pool: Any) -> None:
    of, batch = model(), columns().anchor
    objective = made(Contrastive(pool=pool), of)
    with torch.no_grad():
        together = objective.vectors(of, batch)
        for i in range(P):
            torch.testing.assert_close(together[[i]], objective.vectors(of, chosen(batch, [i])), rtol=1e-5, atol=1e-5)
            rows = of(chosen(batch, [i]))
            alone = {"first": rows[0], "last": rows[-1], "mean": rows.mean(0)}
            if pool in alone:
                torch.testing.assert_close(together[i], alone[pool], rtol=1e-5, atol=1e-5)
    assert together.shape == (P, of.config.d_model)


@pytest.mark.parametrize("name", ["xlnet-tiny", "t5-tiny", "bart-tiny", "gpt2-tiny", "modern-tiny", "electra-tiny"])
def test_every_family_gives_vectors_that_learn(name: str) -> None:
    of = model(name).train()
    made(Contrastive(pool="last"), of)(of, columns(), RNG)["loss"].backward()
    stack = of.encoder or of.decoder
    assert stack is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in stack.blocks.parameters() if p.ndim == 2)


def test_segments_are_read_where_one_column_has_them() -> None:
    of = model()
    ids = [[5, 6, 7], [8, 9]]
    two = Batch.of(ids, [[0, 1, 1], [0, 1]])
    example = made(Contrastive(), of).draw(Columns(Batch.of(ids), two), RNG)
    assert example.batch.segments is not None
    assert example.batch.segments.tolist() == [0] * 5 + [0, 1, 1, 0, 1]


def test_a_text_read_twice_differs_by_dropout_alone_and_must_find_itself() -> None:
    of, batch = model(), columns().anchor
    objective = made(Contrastive(positives=Dropout()), of)
    example = objective.draw(batch, RNG)
    with torch.no_grad():
        still = objective.vectors(of, example.batch)
        torch.testing.assert_close(still[:P], still[P:])
        moving = objective.vectors(of.train(), example.batch)
        assert ((moving[:P] - moving[P:]).abs().amax(-1) > 1e-3).all()
        scores = F.normalize(moving[:P], dim=-1) @ F.normalize(moving[P:], dim=-1).T / 0.05
        torch.manual_seed(5)
        loss = objective(of, example)["loss"]
        torch.manual_seed(5)
        moving = objective.vectors(of, example.batch)
    scores = F.normalize(moving[:P], dim=-1) @ F.normalize(moving[P:], dim=-1).T / 0.05
    torch.testing.assert_close(loss, -scores.log_softmax(-1).diagonal().mean())


def test_equal_texts_are_not_each_others_negatives_under_dropout() -> None:
    of = model()
    example = made(Contrastive(positives=Dropout()), of).draw(Batch.of([[5, 6], [7], [5, 6], [5]]), RNG)
    assert example.apart is not None
    assert np.argwhere(example.apart).tolist() == [[0, 2], [2, 0]]


@pytest.mark.parametrize("texts", [[[5, 6]], [[5, 6], [5, 6]]], ids=["one", "equal"])
@pytest.mark.parametrize("temperature", [Fixed(), Learned()], ids=["fixed", "learned"])
def test_a_last_batch_with_nothing_to_tell_apart_is_no_prediction(
    texts: list[list[int]], temperature: Fixed | Learned
) -> None:
    of = model().train()
    config = Contrastive(positives=Dropout(), dims=(8,), loss=InfoNCE(temperature=temperature))
    objective = made(config, of)
    example = objective.draw(Batch.of(texts), RNG)
    assert set(example.counts.values()) == {0}
    found = objective(of, example)
    assert set(found) == {"loss", *example.counts}
    assert not any(float(value.detach()) for value in found.values())
    found["loss"].backward()
    for weight in (*of.parameters(), *objective.parameters()):
        assert weight.grad is None or not weight.grad.any()


def test_shorter_lengths_are_asked_too_and_the_loss_is_the_mean() -> None:
    of, given = model(), columns(1)
    found = made(Contrastive(dims=(8, 32)), of)(of, given, RNG)
    plain = made(Contrastive(), of)
    with torch.no_grad():
        split = plain.vectors(of, plain.draw(given, RNG).batch).split(P)
        wanted = [plain.loss([one[:, :n] for one in split], None)["nll"] / P for n in (8, 32, of.config.d_model)]
    torch.testing.assert_close(found["loss"], torch.stack(wanted).mean())
    assert found["accuracy"] == plain(of, given, RNG)["accuracy"]


def test_a_learned_temperature_starts_where_it_is_told_moves_and_stays_above_its_least() -> None:
    of, given = model(), columns()
    fixed = made(Contrastive(loss=InfoNCE(temperature=Fixed(value=0.1))), of)(of, given, RNG)["loss"]
    objective = made(Contrastive(loss=InfoNCE(temperature=Learned(start=0.1, least=0.05))), of)
    found = objective(of, given, RNG)
    torch.testing.assert_close(found["loss"], fixed)
    assert found["temperature"].item() == pytest.approx(0.1)
    assert [name for name, _ in objective.named_parameters()] == ["loss.above"]
    leaves = vectors(1)
    for rate, rule in ((-1, lambda t: t > 0.2), (1, lambda t: 0.05 <= t < 0.06)):
        # Vectors that answer wrongly ask for a high temperature, those that answer rightly for a low one.
        loss = InfoNCE(temperature=Learned(start=0.1, least=0.05)).build()
        optimizer = torch.optim.Adam(loss.parameters(), 0.3)
        for _ in range(40):
            optimizer.zero_grad()
            loss([leaves[0].detach(), rate * leaves[0].detach()], None)["nll"].backward()
            optimizer.step()
        assert rule(loss.temperature.item())  # type: ignore[union-attr]


def test_parts_of_a_batch_add_up_over_the_pairs_of_all_but_ask_among_themselves() -> None:
    of = model()
    objective = made(Contrastive(loss=InfoNCE(temperature=Learned())), of)
    parts = [objective.draw(Columns(*(chosen(c, o) for c in columns().batches)), RNG) for o in ([0, 1, 2, 3], [4, 5])]
    over = {name: sum(part.counts[name] for part in parts) for name in parts[0].counts}
    assert over == {"nll": P, "accuracy": P, "temperature": P}
    summed = sum(objective(of, part, over=over)["loss"] for part in parts)
    alone = [objective(of, part)["loss"] for part in parts]
    torch.testing.assert_close(summed, (4 * alone[0] + 2 * alone[1]) / 6)
    assert sum(objective(of, part, over=over)["temperature"].item() for part in parts) == pytest.approx(0.1)
    assert summed < objective(of, columns(), RNG)["loss"]  # fewer negatives are an easier question


@pytest.mark.parametrize("config", [Contrastive(), Contrastive(loss=Triplet(), encoding=GradCache(tokens=60))])
def test_a_tiny_model_learns_who_belongs_to_whom(config: Contrastive) -> None:
    of, given = model().train(), columns(1)
    objective = made(config, of)
    optimizer = torch.optim.AdamW(of.parameters(), 2e-3, fused=True)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        found = objective(of, given, RNG)
        found["loss"].backward()
        optimizer.step()
        losses.append(found["loss"].item())
    assert losses[-1] < 0.3 * losses[0]
    assert objective(of.eval(), given, RNG)["accuracy"].item() == 1


def test_under_autocast_cosines_stay_exact() -> None:
    of, given = model(), columns()
    objective = made(Contrastive(), of)
    with torch.no_grad():
        plain = objective(of, given, RNG)["loss"]
        with torch.autocast("cpu", torch.bfloat16):
            low = objective(of, given, RNG)["loss"]
    assert low.dtype is torch.float32
    assert low.item() == pytest.approx(plain.item(), abs=0.05)


def test_the_config_is_a_plain_tree() -> None:
    configs: list[dict[str, Any]] = [{}]
    configs += [{"positives": {"kind": "Dropout"}, "pool": "first", "encoding": {"kind": "GradCache", "tokens": 99}}]
    configs += [{"loss": {"kind": "InfoNCE", "temperature": {"kind": "Learned", "start": 0.2}}, "dims": [16, 8]}]
    for tree in configs:
        config = from_tree(Contrastive, tree)
        assert from_tree(Contrastive, to_tree(config)) == config
    assert config.dims == (16, 8)


def one(ids: list[int]) -> Batch:
    return Batch.of([ids])


MISTAKES = {
    "one pair": (Contrastive(), Columns(one([5]), one([6])), "one pair has nothing to be told from"),
    "one group": (Contrastive(), columns(groups=[3] * P), "all 6 pairs are of one group"),
    "no negatives": (Contrastive(loss=Triplet()), columns(), "Triplet needs negatives, and these pairs have none"),
    "no pairs": (Contrastive(), columns().anchor, "Contrastive needs pairs: give Columns"),
    "pairs": (Contrastive(positives=Dropout()), columns(), r"positives=Dropout\(\) makes pairs of single texts"),
    "empty": (Contrastive(), Columns(Batch.of([[5], [6]]), Batch.of([[5], []])), "positive 1 has no tokens"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_batches_that_ask_nothing_are_refused_in_one_line(name: str) -> None:
    config, batch, message = MISTAKES[name]
    of = model()
    with pytest.raises(InputError, match=message) as raised:
        made(config, of).draw(batch, RNG)
    assert "\n" not in str(raised.value)


def test_one_pair_with_a_negative_has_something_to_tell() -> None:
    of = model()
    found = made(Contrastive(), of)(of, Columns(one([5]), one([6]), (one([7]),)), RNG)
    assert found["loss"].item() > 0


def test_settings_and_models_that_do_not_fit_are_refused() -> None:
    still = preset("bert-tiny")
    stack = still.encoder
    assert stack is not None
    none = replace(stack.dropout, hidden=0.0, attention=0.0)
    still = replace(still, input=replace(still.input, dropout=0.0), encoder=replace(stack, dropout=none))
    builds: list[tuple[Contrastive, Any, str]] = [
        (Contrastive(positives=Dropout()), still, "this model has no dropout"),
        (Contrastive(pool="pooled"), preset("gpt2-tiny"), "reads the pooler head"),
        (Contrastive(pool="first"), preset("gpt2-tiny"), "take pool=last or pool=mean"),
        (Contrastive(dims=(128,)), preset("bert-tiny"), r"dims=\[128\] must lie between 1 and 127"),
    ]
    for config, shape, message in builds:
        with pytest.raises(InputError, match=message):
            config.build(shape, tokenizer())
    settings: list[tuple[Any, str]] = [
        (lambda: Contrastive(positives=Dropout(), loss=Triplet()), "Triplet needs negatives"),
        (lambda: Contrastive(pool="frist"), "did you mean 'first'"),  # type: ignore[arg-type]
        (lambda: InfoNCE(temperature=Fixed(value=0)), "temperature=0 must lie"),
        (lambda: InfoNCE(temperature=Learned(start=0.01)), "starts at 0.01 and ends at 0.01"),
        (lambda: InfoNCE(asks="nobody"), "must be anchor or both"),  # type: ignore[arg-type]
        (lambda: Triplet(margin=0), "margin=0 must be above 0"),
        (lambda: GradCache(tokens=0), "tokens=0 of a chunk"),
        (lambda: Columns(one([5]), Batch.of([[5], [6]])), "positive has 2 texts for 1 anchors"),
        (lambda: Columns(one([5]), one([6]), (Batch.of([]),)), r"negatives\[0\] has 0 texts"),
        (lambda: Columns(one([5]), one([6]), groups=np.zeros(2, np.int64)), "groups of shape"),
    ]
    for build, message in settings:
        with pytest.raises(InputError, match=message):
            build()
