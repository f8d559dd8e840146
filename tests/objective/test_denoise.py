"""Denoising: what each corruption keeps, its shares and chances, and BART's own loss on the same texts."""

from collections import Counter
from dataclasses import replace
from functools import cache
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import learnt_by_heart, same_rewriting

from inlay.batch import Batch
from inlay.config import from_tree, to_tree
from inlay.convert import save_model
from inlay.errors import InputError
from inlay.model.presets import preset, resize
from inlay.objective.corruptions import (
    Corruption,
    Deletion,
    Infilling,
    Marks,
    Masking,
    Rotation,
    SentencePermutation,
)
from inlay.objective.denoise import Denoise, DenoiseObjective
from inlay.tokenize.kinds import ByteBPE, Words
from inlay.tokenize.tokenizer import Tokenizer

WORDS = [chr(letter) for letter in range(0x4E00, 0x4E00 + 40)]
TOKENIZER = Tokenizer.train([" ".join([*WORDS, *"ABCDE", ".", "!", "。"])], Words(min_count=1, lowercase=False))
PAD, CLS, SEP, MASK = (TOKENIZER.id(f"[{name}]") for name in ("PAD", "CLS", "SEP", "MASK"))
FIXED = {PAD, CLS, SEP}
FULL_STOPS = {TOKENIZER.id(stop) for stop in ".!。"}
FREE = np.array([number for token, number in TOKENIZER.vocabulary.items() if token in WORDS])
MODEL = preset("bart-tiny")
MODEL = replace(
    MODEL, input=replace(MODEL.input, vocab_size=TOKENIZER.size, token=replace(MODEL.input.token, padding=0))
)
FIGURE = TOKENIZER.encode(["A B C . D E ."])
ALL = [Masking(), Deletion(), Infilling(), SentencePermutation(), Rotation()]


def objective(*corruptions: Corruption) -> DenoiseObjective:
    return Denoise(corruptions=corruptions).build(MODEL, TOKENIZER)


@cache
def marks(one: Corruption) -> Marks:
    return objective(one).marks


def rows(lengths: list[int], seed: int = 0, documents: bool = True) -> Batch:
    """Texts of different tokens with stops among them; with `documents` in [CLS], with [SEP] within and at the end."""
    rng = np.random.default_rng(seed)
    texts = []
    for n in lengths:
        text = rng.choice(FREE, n)
        text[rng.random(n) < 0.2] = rng.choice(sorted(FULL_STOPS))
        text[rng.random(n) < 0.1 * documents] = SEP
        texts.append([CLS, *text.tolist(), SEP] if documents else text.tolist())
    return Batch.of(texts)


def split(batch: Batch, ids: np.ndarray | None = None) -> list[list[int]]:
    return [part.tolist() for part in np.split(batch.ids if ids is None else ids, np.cumsum(batch.lengths)[:-1])]


def shown(batch: Batch) -> str:
    names = list(TOKENIZER.vocabulary)
    return " ".join(names[token] for token in batch.ids).replace("[MASK]", "_")


def documents(text: list[int]) -> list[list[int]]:
    """Runs of tokens between those that are fixed."""
    parts: list[list[int]] = [[]]
    for token in text:
        if token in FIXED:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def fixed(text: list[int]) -> list[int]:
    return [token for token in text if token in FIXED]


batches = st.builds(rows, st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(0, 9999), st.booleans())
seeds = st.integers(0, 9999).map(np.random.default_rng)
shares = st.floats(0.02, 0.98)
fast = settings(max_examples=60, deadline=None)


@fast
@given(batch=batches, share=shares, rng=seeds)
def test_masking_hides_its_share_and_moves_nothing(batch: Batch, share: float, rng: np.random.Generator) -> None:
    one = Masking(share=share)
    for text, found in zip(split(batch), split(one.apply(batch, marks(one), rng)), strict=True):
        assert len(text) == len(found)
        changed = [new for old, new in zip(text, found, strict=True) if old != new]
        assert set(changed) <= {MASK}
        assert len(changed) == np.rint(share * (len(text) - len(fixed(text))))
        assert fixed(text) == fixed(found)


@fast
@given(batch=batches, share=shares, rng=seeds)
def test_deletion_keeps_the_order_and_never_deletes_all(batch: Batch, share: float, rng: np.random.Generator) -> None:
    one = Deletion(share=share)
    for text, found in zip(split(batch), split(one.apply(batch, marks(one), rng)), strict=True):
        rest = iter(text)
        assert all(token in rest for token in found)
        n = len(text) - len(fixed(text))
        assert len(text) - len(found) == min(np.rint(share * n), max(n - 1, 0))
        assert fixed(text) == fixed(found)


@fast
@given(batch=batches, share=shares, mean=st.floats(0.2, 8), rng=seeds)
def test_infilling_keeps_the_rest_in_order(batch: Batch, share: float, mean: float, rng: np.random.Generator) -> None:
    one = Infilling(share=share, mean=mean)
    for text, found in zip(split(batch), split(one.apply(batch, marks(one), rng)), strict=True):
        rest = iter(text)
        kept = [token for token in found if token != MASK]
        assert all(token in rest for token in kept)
        assert fixed(kept) == fixed(text)
        hidden, most = len(text) - len(kept), np.rint(share * (len(text) - len(fixed(text))))
        assert hidden == most if len(fixed(text)) <= 2 else hidden <= most  # less where a document ended a span
        assert MASK in found or not most
        for old, new in zip(documents(text), documents(found), strict=True):
            assert MASK in new or old == new  # what is hidden has a mask in its own document


@fast
@given(batch=batches, rng=seeds)
def test_permutation_keeps_sentences_whole(batch: Batch, rng: np.random.Generator) -> None:
    def sentences(document: list[int]) -> list[list[int]]:
        found: list[list[int]] = [[]]
        for i, token in enumerate(document):
            found[-1].append(token)
            if token in FULL_STOPS and (i + 1 == len(document) or document[i + 1] not in FULL_STOPS):
                found.append([])
        return [one for one in found if one]

    def is_made_of(document: list[int], parts: list[list[int]]) -> bool:
        """Whether it is all the parts in some order."""
        firsts = [i for i, part in enumerate(parts) if document[: len(part)] == part]
        return not parts or any(is_made_of(document[len(parts[i]) :], parts[:i] + parts[i + 1 :]) for i in firsts)

    one = SentencePermutation()
    for text, found in zip(split(batch), split(one.apply(batch, marks(one), rng)), strict=True):
        assert [token if token in FIXED else -1 for token in text] == [t if t in FIXED else -1 for t in found]
        for old, new in zip(documents(text), documents(found), strict=True):
            assert len(old) == len(new)
            assert is_made_of(new, sentences(old))


@fast
@given(batch=batches, rng=seeds)
def test_rotation_turns_each_document(batch: Batch, rng: np.random.Generator) -> None:
    one = Rotation()
    for text, found in zip(split(batch), split(one.apply(batch, marks(one), rng)), strict=True):
        assert fixed(text) == fixed(found)
        for old, new in zip(documents(text), documents(found), strict=True):
            assert new in [old[turn:] + old[:turn] for turn in range(max(len(old), 1))]


@pytest.mark.parametrize(
    ("corruption", "example", "ways"),
    [
        (Masking(share=0.3), "A _ C . _ E .", 21),
        (Deletion(share=0.3), "A . D E .", 21),
        (Infilling(share=0.3, mean=2.0), "A _ . D _ E .", None),
        (SentencePermutation(), "D E . A B C .", 2),
        (Rotation(), "C . D E . A B", 7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_way_of_the_paper_s_figure_is_drawn(corruption: Corruption, example: str, ways: int | None) -> None:
    found = Counter(
        shown(corruption.apply(FIGURE, marks(corruption), np.random.default_rng(seed))) for seed in range(1500)
    )
    assert example in found
    assert ways is None or len(found) == ways
    assert ways is None or min(found.values()) > 0.5 * 1500 / ways


def test_spans_to_fill_in_are_as_long_as_poisson_says() -> None:
    one, batch = Infilling(), rows([6000], documents=False)
    lengths = []
    for seed in range(6):
        made = one.apply(batch, marks(one), np.random.default_rng(seed)).ids
        assert len(batch.ids) - (made != MASK).sum() == 1800
        lengths.append((made == MASK).sum())
    # Spans that end first when they sum to 1800: 600 of them, one in 20 of no token.
    assert np.mean(lengths) == pytest.approx(600, rel=0.04)
    short = Infilling(share=0.5, mean=0.5)
    masks = (short.apply(batch, marks(short), np.random.default_rng(1)).ids == MASK).sum()
    assert masks == pytest.approx(6000, rel=0.05)
    assert exp(-0.5) > 0.6  # most of those spans are of no token, and are there all the same


def test_a_span_of_none_stands_at_either_end_alike_often() -> None:
    one, ends = Infilling(share=0.3, mean=0.3), Counter[str]()
    for seed in range(600):
        made = shown(one.apply(FIGURE, marks(one), np.random.default_rng(seed)))
        ends["before"] += made.startswith("_ A B")
        ends["after"] += made.endswith("E . _")
    assert 20 < min(ends.values()) < max(ends.values()) < 80


def test_sentences_end_with_what_closes_them_and_in_every_script() -> None:
    text = 'He said "no." She said: (yes!) 她说：“好。”他走了？ 3.14'
    tokenizer = Tokenizer.train([text] * 3, Words(min_count=1))
    found = Marks.of(tokenizer, frozenset(), ())
    assert {token for token, number in tokenizer.vocabulary.items() if found.stops[number]} == {".", "!", "。", "？"}
    pieces = Tokenizer.train([text] * 9, ByteBPE(size=400))
    made = Marks.of(pieces, frozenset(), ())
    assert {pieces.decode([number]) for number in np.flatnonzero(made.stops)} >= {".", "!", "?", '."', "!)"}
    assert not made.stops[[pieces.id(token) for token in (",", ")", '"')]].any()


@fast
@given(batch=batches, rng=seeds)
def test_the_whole_text_is_written_and_the_batch_stays(batch: Batch, rng: np.random.Generator) -> None:
    before = batch.ids.copy()
    made = objective(*ALL).draw(batch, rng)
    assert np.array_equal(batch.ids, before)
    for text, labels, reads in zip(split(batch), split(made.target, made.labels), split(made.target), strict=True):
        whole = text if not text or text[-1] == SEP else [*text, SEP]
        assert labels == whole
        assert reads == ([SEP, *whole[:-1]] if text else [])
    assert made.counts == {"nll": len(made.labels)}
    assert ((made.source.lengths > 0) == (batch.lengths > 0)).all()


def test_corruptions_are_done_in_their_order() -> None:
    batch, asked = rows([40]), objective(Rotation(), Deletion())
    rng = np.random.default_rng(3)
    turned = Rotation().apply(batch, asked.marks, rng)
    expected = Deletion().apply(turned, asked.marks, rng)
    assert np.array_equal(asked.draw(batch, np.random.default_rng(3)).source.ids, expected.ids)
    other = asked.draw(batch, np.random.default_rng(4)).source.ids
    assert not np.array_equal(other, expected.ids)


def test_a_config_goes_through_a_plain_tree() -> None:
    config = Denoise(corruptions=tuple(ALL))
    assert from_tree(Denoise, to_tree(config)) == config
    assert [one["kind"] for one in to_tree(Denoise())["corruptions"]] == ["SentencePermutation", "Infilling"]


def test_loss_and_gradients_are_bart_s_own(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model, asked = MODEL.build(seed=3), Denoise().build(MODEL, TOKENIZER)
    save_model(model, tmp_path / "bart", tokenizer=TOKENIZER)
    theirs = transformers.BartForConditionalGeneration.from_pretrained(tmp_path / "bart").eval()
    made = asked.draw(rows([12, 30, 5]), np.random.default_rng(4))
    same_rewriting(asked, model, theirs, made)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    model, asked = MODEL.build(seed=1).double().eval(), objective(*ALL)
    drawn = [asked.draw(rows(lengths), np.random.default_rng(3)) for lengths in ([20, 8], [30])]
    total = {"nll": sum(one.counts["nll"] for one in drawn)}
    parts = sum(asked(model, one, over=total)["loss"] for one in drawn)
    torch.testing.assert_close(parts, sum(asked.terms(model, one)["nll"] for one in drawn) / total["nll"])


def test_a_tiny_model_learns_a_text_by_heart() -> None:
    model, asked = resize(MODEL, 1, 32, 2, 64).build(seed=0).eval(), objective(*ALL)
    made = asked.draw(rows([20, 12]), np.random.default_rng(0))
    learnt_by_heart(asked, model, made)


def _words(text: str, *specials: str) -> Tokenizer:
    return Tokenizer.train([text], Words(specials=("[UNK]", *specials), min_count=1))


@pytest.mark.parametrize("token", [-1, TOKENIZER.size])
def test_ids_that_no_tokenizer_gave_are_refused(token: int) -> None:
    with pytest.raises(InputError, match=rf"token id {token} \(place 1 of the batch\) .* take the tokenizer that"):
        objective(*ALL).draw(Batch.of([[CLS, token, SEP]]), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "tokenizer", "message"),
    [
        ("bert-tiny", TOKENIZER, "bert has one stack: take MaskedLM"),
        ("gpt2-tiny", TOKENIZER, "gpt2 has one stack: take CausalLM"),
        ("bart-tiny", _words("a .", "[SEP]"), "Infilling needs a mask token"),
        ("bart-tiny", _words("a b", "[SEP]", "[MASK]"), "SentencePermutation finds sentences by .* leave it out"),
        ("bart-tiny", _words("a .", "[MASK]"), "this tokenizer has no eos or sep token"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(name: str, tokenizer: Tokenizer, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Denoise().build(preset(name), tokenizer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [Masking, Deletion, Infilling])
@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_of_nothing_or_all_is_refused(make: type, share: float) -> None:
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        make(share=share)


def test_a_mean_of_nothing_and_no_corruption_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="mean=0.0 must be at least 0.1"):
        Infilling(mean=0.0)
    with pytest.raises(InputError, match="leaves nothing to undo"):
        Denoise(corruptions=())
