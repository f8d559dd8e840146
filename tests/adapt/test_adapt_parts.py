"""What adaptation is made of: points between weights, pairs and their groups, batches, settings, general sentences."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from made_base import documents, held

from inlay.adapt.batches import PairBatches, ScoreBatches, TextBatches, all_sentences, chosen, passages
from inlay.adapt.config import MLM, TSDAE, AdaptConfig, Contrast, Gate, Hard, Mined
from inlay.adapt.general import agreement, general_sentences, similarity
from inlay.adapt.interpolate import between
from inlay.adapt.pairs import LABELLED, Pairs, answered, apart_from, mined, split_alike, split_answered, with_labelled
from inlay.batch import Batch
from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.text.labelled import Alike, Answered
from inlay.tokenize.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_vocabulary([f"w{i}" for i in range(99)], specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]"))


def pairs(groups: list[int], negatives: int = 0) -> Pairs:
    n = len(groups)
    return Pairs(
        [f"w{i}" for i in range(n)],
        [f"w{i} w{i + 1}" for i in range(n)],
        [tuple(f"w{50 + i + k}" for k in range(negatives)) for i in range(n)],
        np.array(groups),
    )


# -- between weights ---------------------------------------------------------------------------------------------------


def test_between_weights_the_ends_are_the_ends_bit_for_bit_and_the_middle_is_the_mean() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = ({"a": torch.randn(3, 4, generator=rng), "n": torch.tensor([i])} for i in (1, 2))
    assert torch.equal(between(one, other, 0)["a"], one["a"])
    assert torch.equal(between(one, other, 1)["a"], other["a"])
    torch.testing.assert_close(between(one, other, 0.5)["a"], (one["a"] + other["a"]) / 2)
    torch.testing.assert_close(between(one, other, 0.25)["a"], 0.75 * one["a"] + 0.25 * other["a"])
    assert all(int(between(one, other, share)["n"]) == 1 for share in (0, 0.5, 1))
    assert between(one, other, 0)["a"].data_ptr() != one["a"].data_ptr()


# -- pairs -------------------------------------------------------------------------------------------------------------


def test_mined_pairs_are_of_no_document_that_is_held_out_and_repeat_no_question() -> None:
    found = mined(documents(), held(), Mined(), seed=0)
    assert len(found) > 300
    assert not set(found.groups.tolist()) & set(held().positions)
    assert not {*found.queries, *found.positives} & set(held().secret)


def test_labelled_pairs_that_share_a_text_by_way_of_others_are_one_group() -> None:
    rows = [("a", "x"), ("b", "x"), ("b", "y"), ("c", "z"), ("d", "Z "), ("e", "v")]
    groups = answered([Answered(query=q, positive=p) for q, p in rows]).groups.tolist()
    assert groups == [0, 0, 0, 1, 1, 2]


def test_a_fifth_of_the_groups_is_held_out_whole() -> None:
    whole = answered([Answered(query=f"q{i // 2}", positive=f"p{i}") for i in range(60)])
    learnt, out = split_answered(whole, seed=0)
    assert len(out) == 12
    assert len(learnt) == 48
    assert not set(learnt.queries) & set(out.queries)
    few = answered([Answered(query=f"q{i}", positive=f"p{i}") for i in range(2)])
    assert [len(part) for part in split_answered(few, seed=0)] == [2, 0]


def test_scored_pairs_that_are_held_out_share_no_text_with_those_learnt_from() -> None:
    given = [Alike(left=f"a{i // 2}", right=f"b{i}", score=i) for i in range(40)]
    learnt, out = split_alike(given, seed=0)
    assert len(out) == 8
    assert not {one.left for one in learnt} & {one.left for one in out}
    alike = [Alike(left="a", right=f"b{i}", score=i) for i in range(9)]
    assert split_alike(alike, seed=0) == (alike, [])


def test_nothing_is_learnt_of_a_text_that_is_asked_on_whichever_side_it_stands() -> None:
    given = [("Asked  once", "p0"), ("q1", "p1"), ("q2", "asked once"), ("q3", "p3")]
    left = apart_from(answered([Answered(query=q, positive=p) for q, p in given]), ["asked once"])
    assert left.queries == ["q1", "q3"]
    scored = [Alike(left=q, right=p, score=at) for at, (q, p) in enumerate(given)]
    assert [one.left for one in split_alike(scored, ["asked once"], seed=0)[0]] == ["q1", "q3"]
    with pytest.raises(InputError, match="no pair is left to learn from"):
        split_alike(scored[:2], ["asked once", "q1"], seed=0)


def test_labelled_questions_are_asked_among_the_same_texts_and_each_once() -> None:
    there = held().texts[7]
    asked = answered([Answered(query=q, positive=p) for q, p in [("a", there.upper()), ("b", "new"), ("a", "other")]])
    found = with_labelled(held(), asked)
    assert found.texts[: len(held().texts)] == held().texts
    assert found.queries[LABELLED] == ["a", "b"]
    assert [found.texts[at] for at in found.answers[LABELLED]] == [there, "new"]
    assert with_labelled(held(), asked.select([])) == held()


# -- batches -----------------------------------------------------------------------------------------------------------


def made(given: Pairs, per_batch: int = 4, seed: int = 0, prompts: tuple[str, str] = ("", "")) -> PairBatches:
    return PairBatches(given, TOKENIZER, per_batch=per_batch, max_length=8, seed=seed, prompts=prompts)


@pytest.mark.parametrize("seed", range(5))
def test_no_batch_is_of_one_group_alone(seed: int) -> None:
    batches = made(pairs([0] * 14 + [1, 2]), seed=seed)
    for number in range(3 * batches.per_epoch):
        groups = batches.batch(number).groups
        assert groups is not None
        assert len(set(groups.tolist())) > 1


def test_an_epoch_has_every_pair_once_and_a_number_the_same_batch_forever() -> None:
    batches = made(pairs(list(range(12)), negatives=2))
    epochs = [[batches.batch(e * batches.per_epoch + n) for n in range(3)] for e in range(2)]
    for epoch in epochs:
        assert sorted(g for batch in epoch for g in batch.groups.tolist()) == list(range(12))  # type: ignore[union-attr]
        assert all(len(batch.negatives) == 2 for batch in epoch)
    assert [b.groups.tolist() for b in epochs[0]] != [b.groups.tolist() for b in epochs[1]]  # type: ignore[union-attr]
    assert (batches.batch(1).positive.ids == made(pairs(list(range(12)), 2)).batch(1).positive.ids).all()


def test_pairs_without_a_token_are_left_out_and_uneven_negatives_cut_and_both_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = Tokenizer.from_vocabulary([f"w{i}" for i in range(99)])
    given = pairs([0, 1, 2, 3], negatives=1)
    given.queries[1] = "\u200b"
    given.negatives[2] += ("w9",)
    batch = PairBatches(given, bare, per_batch=4, max_length=8, seed=0, prompts=("", "")).batch(0)
    assert sorted(batch.groups.tolist()) == [0, 2, 3]  # type: ignore[union-attr]
    assert len(batch.negatives) == 1
    scored = [Alike(left=text, right="w1", score=at) for at, text in enumerate(("w2", "\u200b", "w3"))]
    assert len(ScoreBatches(scored, bare, per_batch=4, max_length=8, seed=0).batch(0)) == 2
    told = capsys.readouterr().err
    assert "1 pairs have more negatives than others; 1 of each are learnt from" in told
    assert told.count("1 pairs are left out, of which a text has no token") == 2


def test_prompts_go_before_queries_and_answers() -> None:
    batch = made(pairs([0, 1]), prompts=("w90 ", "w91 ")).batch(0)
    for column, word in ((batch.anchor, "w90"), (batch.positive, "w91")):
        assert (column.ids[column.starts + 1] == TOKENIZER.id(word)).all()


def test_what_is_told_of_batches_changes_with_what_is_in_them() -> None:
    made_of = [
        made(pairs([0, 1, 2, 3])),
        made(pairs([0, 1, 2, 2])),
        made(pairs([0, 1, 2, 3], 1)),
        made(pairs([0, 1, 2, 3]), seed=1),
    ]
    assert len({str(one.identity) for one in made_of}) == 4


def test_pairs_that_nothing_can_be_learnt_from_are_refused() -> None:
    with pytest.raises(InputError, match="all 3 pairs that are learnt from share a text"):
        made(pairs([4, 4, 4]))
    same = [Alike(left="w1", right="w2", score=2), Alike(left="w3", right="w4", score=2)]
    with pytest.raises(InputError, match="all 2 pairs have the score 2, which orders nothing"):
        ScoreBatches(same, TOKENIZER, per_batch=2, max_length=8, seed=0)


def test_scores_stay_with_their_pairs() -> None:
    given = [Alike(left=f"w{i}", right=f"w{i + 1}", score=i) for i in range(6)]
    batch = ScoreBatches(given, TOKENIZER, per_batch=6, max_length=8, seed=0).batch(0)
    assert batch.scores is not None
    assert [TOKENIZER.id(f"w{int(score)}") for score in batch.scores] == batch.anchor.ids[
        batch.anchor.starts + 1
    ].tolist()


def test_chosen_texts_are_themselves_in_the_order_asked_for() -> None:
    batch = Batch.of([[1], [2, 3], [], [4, 5, 6]], [[0], [0, 1], [], [1, 1, 0]])
    found = chosen(batch, np.array([3, 2, 1, 3]))
    expected = Batch.of([[4, 5, 6], [], [2, 3], [4, 5, 6]], [[1, 1, 0], [], [0, 1], [1, 1, 0]])
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert found.segments is not None
    assert found.segments.tolist() == expected.segments.tolist()  # type: ignore[union-attr]


def test_passages_hold_all_of_the_text_and_sentences_come_once() -> None:
    found = passages(documents()[:5], ["One more. And more."], 8)
    said = " ".join(found)
    assert all(word in said for one in documents()[:5] for word in one.full.split())
    assert max(map(len, found)) < 80
    assert len(all_sentences(documents()[:5] * 2, [])) == len(set(all_sentences(documents()[:5], [])))
    batch = TextBatches(found, TOKENIZER, per_batch=100, max_length=8, seed=0).batch(0)
    assert len(batch) == len(found)


# -- general text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "least"), [("en", 120), ("zh", 60), ("sv", 120)])
def test_general_sentences_are_many_and_all_different(lang: str, least: int) -> None:
    found = general_sentences(lang)
    assert len(found) == len(set(found)) == least
    assert (found == general_sentences("en")) == (lang != "zh")


def test_agreement_is_whole_under_rotation_and_falls_with_noise() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 16)).astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((16, 16)))[0].astype(np.float32)
    noise = rng.standard_normal((60, 16)).astype(np.float32)
    assert agreement(vectors, 3 * vectors @ turn) > 0.9999
    little, much, nothing = (agreement(vectors, vectors + size * noise) for size in (0.1, 1, 100))
    assert 1 > little > 0.97 > much > nothing
    assert agreement(vectors, np.ones_like(vectors)) == pytest.approx(0, abs=0.1)
    assert similarity(vectors, vectors[::-1], (vectors * vectors[::-1]).sum(1) * 0) == 0  # all judged alike


# -- settings ----------------------------------------------------------------------------------------------------------


def test_settings_are_a_plain_tree_and_back() -> None:
    config = AdaptConfig(text=TSDAE(steps=3), tuning=Contrast(negatives=None, dims=(8,)), gate=Gate(p=0.01))
    assert from_tree(AdaptConfig, to_tree(config)) == config


def test_less_time_is_fewer_steps_and_never_more() -> None:
    config = AdaptConfig(text=MLM())
    times = [0.001, 20, 60, 1e6]
    steps = [config.within(minutes, 22_000_000).tuning.steps for minutes in times]  # type: ignore[union-attr]
    assert steps == sorted(steps)
    assert steps[0] == 1 < steps[1] < steps[-1] == Contrast().steps
    assert config.within(1e6, 22_000_000) == config
    assert config.quick().text == MLM(steps=20)
    assert AdaptConfig(shares=(1.0,)).quick().shares == (1.0,)
    with pytest.raises(InputError, match="minutes=0 must be above 0"):
        config.within(0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptConfig(tuning=None), "all null, so that nothing is done"),
        (lambda: AdaptConfig(shares=()), "must lie above 0"),
        (lambda: AdaptConfig(shares=(0.0, 1.0)), "must lie above 0"),
        (lambda: AdaptConfig(shares=(1.0, 1.0)), "must all be different"),
        (lambda: AdaptConfig(max_length=4), "max_length=4 must be at least 8"),
        (lambda: Mined(kinds=("titel",)), "did you mean 'title'"),  # type: ignore[arg-type]
        (lambda: Mined(kinds=()), "kinds is empty"),
        (lambda: Hard(below=1.5), "below=1.5 must be above 0"),
        (lambda: Contrast(batch=1), "batch=1 must be at least 2"),
        (lambda: Contrast(lr=0), "lr=0 must be above 0"),
        (lambda: Contrast(temperature=0), "temperature=0 must lie"),
        (lambda: replace(Contrast(), scores="cosine"), "scores='cosine' must be cosent or squares"),
        (lambda: Gate(p=0), "p=0 must be above 0"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
