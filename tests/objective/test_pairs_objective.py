"""NextSentence and SentenceOrder: masked tokens and the pair in one pass, against transformers and by hand."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from made_texts import V, pairs, texts, tokenizer
from reference import SIZES, both, labels, padded, same_gradients

from inlay.config import override
from inlay.errors import InputError
from inlay.model.presets import preset
from inlay.objective.masks import Harmonic, Spans
from inlay.objective.sentence_pairs import NextSentence, SentenceOrder

BOTH = pytest.mark.parametrize("config", [NextSentence(), SentenceOrder()], ids=lambda config: type(config).__name__)


@pytest.mark.parametrize(
    ("config", "family", "name", "asked", "more"),
    [
        (NextSentence(), "Bert", "nsp", "next_sentence_label", {}),
        (
            SentenceOrder(),
            "Albert",
            "sop",
            "sentence_order_label",
            {"embedding_size": 16, "classifier_dropout_prob": 0.0},
        ),
    ],
    ids=["nsp", "sop"],
)
def test_loss_and_gradients_are_those_of_the_reference_library(config, family, name, asked, more) -> None:
    transformers = pytest.importorskip("transformers")
    theirs, ours = both(getattr(transformers, f"{family}ForPreTraining"), **SIZES, **more)
    batch = pairs([30, 9, 17, 40, 12])
    assert set(batch.labels) == {0, 1}
    objective = config.build(ours.config, tokenizer())
    example = objective.draw(batch, np.random.default_rng(1))
    masked = example.masked
    wanted = theirs(
        **padded(masked.batch),
        labels=labels(masked.batch, masked.at, masked.labels),
        **{asked: torch.tensor(batch.labels)},
    )
    found = objective(ours, example)
    torch.testing.assert_close(found["loss"], wanted.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["loss"], found["mlm"] + found[name])
    pair = wanted.seq_relationship_logits if family == "Bert" else wanted.sop_logits
    hits = (pair.argmax(-1).numpy() == batch.labels).mean()
    assert found[f"{name}_accuracy"].item() == pytest.approx(hits)
    assert not found[f"{name}_accuracy"].requires_grad
    wanted.loss.backward()
    found["loss"].backward()
    same_gradients(theirs, ours)


@BOTH
def test_a_pair_is_told_by_the_formula(config: NextSentence | SentenceOrder) -> None:
    model = override(preset("bert-tiny"), {"input.vocab_size": V}).build().eval()
    with torch.no_grad():
        model.heads["pair"].out.weight.zero_()
        model.heads["pair"].out.bias.copy_(torch.tensor([log(0.7), log(0.3)]))  # 0: B follows
    batch = replace(pairs([12, 12, 12]), labels=np.array([0, 1, 1]))
    found = config.build(model.config, tokenizer())(model, batch, np.random.default_rng(0))
    name = "nsp" if isinstance(config, NextSentence) else "sop"
    assert found[name].item() == pytest.approx(-(log(0.7) + 2 * log(0.3)) / 3)
    assert found[f"{name}_accuracy"].item() == pytest.approx(1 / 3)


@BOTH
def test_each_term_has_its_own_count(config: NextSentence | SentenceOrder) -> None:
    objective = config.build(preset("albert-tiny"), tokenizer())
    example = objective.draw(pairs([30, 12, 9, 21]), np.random.default_rng(0))
    counts = dict(example.counts)
    assert counts.pop("mlm") == len(example.masked.at)
    assert list(counts.values()) == [4, 4]


def test_order_is_learnt_beside_spans_of_up_to_three_words() -> None:
    assert SentenceOrder().masked.masks == Spans(lengths=Harmonic(longest=3))


@BOTH
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("roberta-tiny", {}, "reads the pair head, which this architecture lacks"),
        ("bert-tiny", {"input.n_segments": 1}, "input.n_segments=1 cannot tell them apart; set it to 2"),
        ("gpt2-tiny", {}, "take CausalLM"),
        ("t5-tiny", {}, "take SpanCorruption or Denoise"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(config, name: str, change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config.build(override(preset(name), change), tokenizer())


@BOTH
def test_a_batch_without_pairs_is_refused(config: NextSentence | SentenceOrder) -> None:
    objective = config.build(preset("albert-tiny"), tokenizer())
    whole = pairs([12, 12])
    for batch in (texts([9, 9]), replace(whole, labels=None), replace(whole, segments=None)):
        with pytest.raises(InputError, match="asks about pairs, and this batch has none; pack the texts as Sentence"):
            objective.draw(batch, np.random.default_rng(0))
    with pytest.raises(InputError, match="labels of pairs are 0 or 1, and one is 2"):
        objective.draw(replace(whole, labels=np.array([0, 2])), np.random.default_rng(0))
