"""PermutedLM: the drawn order, and the error of telling its last tokens by two streams, against transformers."""

import numpy as np
import pytest
import torch
from made_texts import CLS, SEP, V, pairs, texts, tokenizer
from reference import both, padded, same_gradients, spread

from inlay.batch import Batch
from inlay.config import override
from inlay.errors import InputError
from inlay.model.presets import preset
from inlay.objective.masks import Dynamic, WholeWord
from inlay.objective.permuted import PermutedExample, PermutedLM, PermutedObjective

XLNET = preset("xlnet-tiny")


def objective(**settings: object) -> PermutedObjective:
    return PermutedLM(**settings).build(XLNET, tokenizer())  # type: ignore[arg-type]


@pytest.mark.parametrize("masks", [PermutedLM().masks, Dynamic(), WholeWord()], ids=str)
def test_told_tokens_have_the_ranks_from_one_on_and_all_others_are_given(masks) -> None:
    batch = texts([50, 1, 0, 20, 3])
    for seed in range(30):
        example = objective(masks=masks).draw(batch, np.random.default_rng(seed))
        assert not np.isin(example.labels, [CLS, SEP]).any()
        assert np.array_equal(example.labels, batch.ids[example.at])
        assert np.array_equal(np.flatnonzero(example.rank), example.at)
        for text, start, n in zip(range(5), batch.starts, batch.lengths, strict=True):
            told = example.rank[start : start + n]
            assert sorted(told[told > 0]) == list(range(1, 1 + (batch.rows[example.at] == text).sum()))


def test_a_sixth_is_told_in_every_order_alike() -> None:
    batch = texts([20] * 50)
    counts, orders = 0, np.zeros(6)
    made = objective(masks=Dynamic())
    for seed in range(100):
        example = made.draw(batch, np.random.default_rng(seed))
        counts += len(example.at)
        for text in range(50):
            ranks = example.rank[text * 20 : text * 20 + 20]
            if (ranks > 0).sum() == 3:
                first, second, third = ranks[ranks > 0]
                orders[2 * (first - 1) + (second > third)] += 1
    assert counts / (100 * 50 * 18) == pytest.approx(1 / 6)
    assert (np.abs(orders / 5000 - 1 / 6) < 5 * (5 / 36 / 5000) ** 0.5).all()


@pytest.mark.parametrize("batch", [texts([30, 7, 17, 30]), pairs([24, 11, 40])], ids=["texts", "pairs"])
def test_loss_and_gradients_are_those_of_the_reference_library(batch: Batch) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": V, "d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 48, "dropout": 0.0}
    theirs, ours = both(transformers.XLNetLMHeadModel, **sizes)
    made = PermutedLM(share=0.3, masks=Dynamic()).build(ours.config, tokenizer())
    example = made.draw(batch, np.random.default_rng(2))
    rank = spread(batch, example.rank, 10**6)  # (B, T)
    hidden = (rank[:, None, :] >= rank[:, :, None]) & (rank[:, None, :] > 0)  # of theirs, True may not be seen
    told = np.bincount(batch.rows[example.at], minlength=len(batch))
    assert told.min() > 0
    mapping = torch.zeros(len(batch), told.max(), rank.size(1))
    asked = torch.full(mapping.shape[:2], -100)
    for text in range(len(batch)):
        here = example.at[batch.rows[example.at] == text] - batch.starts[text]
        mapping[text, torch.arange(len(here)), torch.tensor(here)] = 1
        asked[text, : len(here)] = torch.tensor(batch.ids[batch.starts[text] + here])
    inputs = padded(batch)
    wanted = theirs(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"].float(),
        token_type_ids=inputs.get("token_type_ids"),
        perm_mask=hidden.float(),
        target_mapping=mapping,
        labels=asked,
    ).loss
    found = made(ours, example)["loss"]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    wanted.backward()
    found.backward()
    same_gradients(theirs, ours)


def test_a_token_is_told_from_what_is_given_and_from_those_before_it_in_the_order_alone() -> None:
    model = XLNET.build().eval()
    ids, rank = np.arange(5, 15, dtype=np.int32), np.array([0, 3, 0, 0, 1, 0, 2, 0, 0, 0])

    def error(label: int, seen: np.ndarray) -> float:
        """Of the second in the order, which stands at place 6."""
        at = np.array([6])
        example = PermutedExample(Batch.of([seen.tolist()]), at, np.array([label], np.int32), rank)
        return objective()(model, example)["loss"].item()

    base = error(11, ids)
    for place in range(10):
        other = ids.copy()
        other[place] = 500
        changed = error(11, other) != base
        assert changed == (rank[place] < 2), place  # neither itself nor what is told later


def test_texts_without_a_word_have_nothing_to_tell() -> None:
    model = XLNET.build()
    found = objective()(model, Batch.of([[CLS, SEP], [CLS]]), np.random.default_rng(0))
    assert found["loss"].item() == 0
    found["loss"].backward()


def test_a_text_of_one_word_is_told_from_nothing() -> None:
    model = XLNET.build().eval()
    found = objective()(model, Batch.of([[7]]), np.random.default_rng(0))
    assert found["loss"].item() == pytest.approx(np.log(V), abs=0.5)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bert-tiny", {}, "PermutedLM needs a second stream, and bert has no row for it to start from; take an xlnet"),
        ("bert-tiny", {"input.query": True}, "which bert knows of no second stream; set encoder.relative"),
        ("gpt2-tiny", {}, "PermutedLM reads a text both ways, and gpt2 looks back only; take CausalLM"),
        ("t5-tiny", {}, "take SpanCorruption or Denoise"),
        ("xlnet-tiny", {"heads": []}, "PermutedLM reads the language head"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(name: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PermutedLM().build(override(preset(name), change), tokenizer())


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="must be above 0 and at most 1; 1/6 is usual"):
        PermutedLM(share=share)
