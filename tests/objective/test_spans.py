"""Span corruption: nothing is lost, spans are as the paper draws them, and the loss is T5's own."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import learnt_by_heart, same_rewriting

from inlay.batch import Batch
from inlay.convert import save_model
from inlay.errors import InputError
from inlay.model.presets import preset, resize
from inlay.objective.spans import SpanCorruption, SpanObjective, sentinels
from inlay.tokenize.kinds import SPECIALS, Words
from inlay.tokenize.tokenizer import Tokenizer

LETTERS = [chr(letter) for letter in range(0x4E00, 0x4E00 + 60)]
PAPER = "Thank you for inviting me to your party last week ."


def words(n_sentinels: int, text: str = " ".join(LETTERS), specials: tuple[str, ...] = SPECIALS) -> Tokenizer:
    config = Words(specials=(*specials, *sentinels(n_sentinels)), min_count=1, lowercase=False)
    return Tokenizer.train([text], config)


TOKENIZER = words(40)
CLS, SEP = TOKENIZER.id("[CLS]"), TOKENIZER.id("[SEP]")
SENTINELS = [TOKENIZER.id(name) for name in sentinels(40)]
FIRST = max(SENTINELS) + 1
MODEL = replace(preset("t5-tiny"), input=replace(preset("t5-tiny").input, vocab_size=TOKENIZER.size))


def objective(**fields: float) -> SpanObjective:
    return SpanCorruption(**fields).build(MODEL, TOKENIZER)


def split(batch: Batch, ids: np.ndarray | None = None) -> list[list[int]]:
    """The ids of each text."""
    return [part.tolist() for part in np.split(batch.ids if ids is None else ids, np.cumsum(batch.lengths)[:-1])]


def whole(source: list[int], labels: list[int]) -> list[int]:
    """The text again: each sentinel of the source is what the target says after it."""
    said: dict[int, list[int]] = {}
    assert not labels or labels[-1] == SEP
    for token in labels[:-1]:
        if token in SENTINELS:
            said[token] = []
        else:
            said[list(said)[-1]].append(token)
    return [one for token in source for one in (said[token] if token in SENTINELS else [token])]


def rows(lengths: list[int], seed: int = 0, around: bool = True) -> Batch:
    rng = np.random.default_rng(seed)
    texts = [rng.integers(FIRST, TOKENIZER.size, n).tolist() for n in lengths]
    return Batch.of([[CLS, *text, SEP] if around else text for text in texts])


def test_the_paper_s_example_is_cut_as_the_paper_cuts_it() -> None:
    tokenizer = words(3, PAPER, ("[PAD]", "[UNK]", "[SEP]"))
    batch = tokenizer.encode([PAPER])
    hidden = np.isin(batch.ids, [tokenizer.id(word) for word in ("for", "inviting", "last")])
    model = replace(MODEL, input=replace(MODEL.input, vocab_size=tokenizer.size))
    made = SpanCorruption().build(model, tokenizer).corrupt(batch, hidden)

    def shown(ids: np.ndarray) -> str:
        names = list(tokenizer.vocabulary)
        return " ".join(names[token] for token in ids)

    x, y, z = sentinels(3)
    assert shown(made.source.ids) == f"Thank you {x} me to your party {y} week ."
    assert shown(made.labels) == f"{x} for inviting {y} last {z} [SEP]"
    assert shown(made.target.ids) == f"[PAD] {x} for inviting {y} last {z}"
    assert made.counts == {"nll": 7}


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    share=st.floats(0.02, 0.98),
    mean=st.floats(1, 9),
    around=st.booleans(),
    seed=st.integers(0, 9999),
)
def test_source_and_target_hold_every_token_once(
    lengths: list[int], share: float, mean: float, around: bool, seed: int
) -> None:
    batch, asked = rows(lengths, seed, around), objective(share=share, mean=mean)
    before = batch.ids.copy()
    made = asked.draw(batch, np.random.default_rng(seed))
    assert np.array_equal(batch.ids, before)
    hides, spans = asked.config.plan(np.array(lengths))
    texts = zip(split(batch), split(made.source), split(made.target, made.labels), split(made.target), strict=True)
    for text, source, labels, reads in texts:
        assert whole(source, labels) == text
        marks = [token for token in source if token in SENTINELS]
        assert marks == SENTINELS[: len(marks)] == [token for token in labels if token in SENTINELS]
        assert reads == ([TOKENIZER.id("[PAD]"), *labels[:-1]] if text else [])
    found = [sum(token not in [*SENTINELS, SEP] for token in labels) for labels in split(made.target, made.labels)]
    assert found == hides.tolist()
    assert [sum(token in SENTINELS for token in source) for source in split(made.source)] == spans.tolist()


def test_all_ways_to_cut_are_alike_likely() -> None:
    """Six tokens, three hidden in two spans: 1 + 2 or 2 + 1 kept, 1 + 2 or 2 + 1 hidden."""
    batch = rows([6] * 4000, around=False)
    made = objective(share=0.5, mean=1.5).draw(batch, np.random.default_rng(1))
    ways = Counter(
        "".join("-" if token in SENTINELS else "." for token in source)
        + "|"
        + "".join("-" if token in SENTINELS else "." for token in labels[:-1])
        for source, labels in zip(split(made.source), split(made.target, made.labels), strict=True)
    )
    assert set(ways) == {f"{source}|{told}" for source in (".-..-", "..-.-") for told in ("-.-..", "-..-.")}
    assert max(abs(n - 1000) for n in ways.values()) < 120  # over four standard deviations


def test_fifteen_of_a_hundred_are_hidden_in_five_spans() -> None:
    assert [one.tolist() for one in SpanCorruption().plan(np.array([0, 1, 2, 100, 512]))] == [
        [0, 0, 1, 15, 77],
        [0, 0, 1, 5, 26],
    ]
    assert SpanCorruption().specials(512) == sentinels(27)


def test_a_span_ends_with_its_document() -> None:
    rng = np.random.default_rng(0)
    texts = [[CLS, *(t for _ in range(9) for t in (*rng.integers(FIRST, TOKENIZER.size, 3), SEP))] for _ in range(40)]
    batch, asked = Batch.of(texts), objective(share=0.4, mean=4.0)
    made = asked.draw(batch, rng)
    for text, source, labels in zip(texts, split(made.source), split(made.target, made.labels), strict=True):
        assert whole(source, labels) == text
        assert labels.count(SEP) == 1  # those between documents are never hidden
        assert source.count(SEP) == 9
        assert len([token for token in source if token in SENTINELS]) == asked.config.plan(np.array([27]))[1][0]


def test_the_same_generator_asks_the_same() -> None:
    batch, asked = rows([50, 3, 20]), objective()
    one, same, other = (asked.draw(batch, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.source.ids, same.source.ids)
    assert np.array_equal(one.labels, same.labels)
    assert not np.array_equal(one.labels, other.labels)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    model, asked = MODEL.build(seed=1).double().eval(), objective()
    batches = [rows([30, 8], 1), rows([50], 2), Batch.of([[]])]
    drawn = [asked.draw(batch, np.random.default_rng(3)) for batch in batches]
    total = {"nll": sum(one.counts["nll"] for one in drawn)}
    parts = sum(asked(model, one, over=total)["loss"] for one in drawn[:2])
    sums = sum(asked.terms(model, one)["nll"] for one in drawn[:2])
    torch.testing.assert_close(parts, sums / total["nll"])
    assert drawn[2].counts == {"nll": 0}


def test_loss_and_gradients_are_t5_s_own(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model, asked = MODEL.build(seed=3), objective(share=0.3)
    save_model(model, tmp_path / "t5")
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "t5").eval()
    made = asked.draw(rows([12, 30, 5]), np.random.default_rng(4))
    same_rewriting(asked, model, theirs, made)


@pytest.mark.parametrize("name", ["t5-tiny", "t5-v1.1-tiny", "bart-tiny", "transformer-tiny"])
def test_a_new_model_knows_nothing_and_is_not_sure_of_it(name: str) -> None:
    config = resize(preset(name), 2, 128, 4, 256)
    loss = SpanCorruption().build(config, TOKENIZER)(
        config.build(seed=0).eval(), rows([60, 40]), np.random.default_rng(0)
    )
    assert np.log(1000) - 0.2 < loss["loss"].item() < np.log(1000) + 1


def test_a_tiny_model_learns_a_text_by_heart() -> None:
    model, asked = resize(MODEL, 1, 32, 2, 64).build(seed=0).eval(), objective()
    batch = rows([40, 25])
    made = asked.draw(batch, np.random.default_rng(0))
    learnt_by_heart(asked, model, made, steps=120, lr=3e-3)


@pytest.mark.parametrize(
    ("name", "tokenizer", "message"),
    [
        ("bert-tiny", TOKENIZER, "bert has one stack: take MaskedLM"),
        ("gpt2-tiny", TOKENIZER, "gpt2 has one stack: take CausalLM"),
        ("t5-tiny", words(0), r"has 0; train one with specials=\(\*SPECIALS, \*sentinels\(100\)\)"),
        ("t5-tiny", words(9, specials=("[PAD]", "[UNK]")), "this tokenizer has no eos or sep token"),
        ("t5-tiny", words(9, specials=("[SEP]", "[UNK]")), "this tokenizer has no pad, bos or cls"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(name: str, tokenizer: Tokenizer, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        SpanCorruption().build(preset(name), tokenizer)
    assert "\n" not in str(caught.value)


def test_a_model_without_the_head_is_refused() -> None:
    with pytest.raises(InputError, match="SpanCorruption reads the language head"):
        SpanCorruption().build(replace(MODEL, heads=()), TOKENIZER)


@pytest.mark.parametrize("fields", [{"share": 0.0}, {"share": 1.0}, {"mean": 0.5}, {"share": float("nan")}])
def test_numbers_that_hide_nothing_or_all_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must"):
        SpanCorruption(**fields)


def test_a_row_that_needs_more_sentinels_than_there_are_says_how_many() -> None:
    asked = SpanCorruption().build(MODEL, words(5))
    with pytest.raises(InputError, match=r"a text of 402 tokens needs 20 sentinels, and the tokenizer has 5;"):
        asked.draw(rows([400]), np.random.default_rng(0))
