"""Masks: how many tokens are chosen, which, and with what chances; bounds are five standard deviations wide."""

from dataclasses import replace

import numpy as np
import pytest
from made_texts import CLS, MASK, SEP, UNK, WORDS, V, texts, tokenizer

from inlay.batch import Batch
from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.objective.masks import Chosen, Dynamic, Geometric, Harmonic, Masks, Spans, Static, WholeWord, choose
from inlay.objective.tokens import Tokens
from inlay.tokenize.kinds import BPE, ByteBPE, Characters
from inlay.tokenize.tokenizer import Tokenizer

TOKENS = Tokens.of(tokenizer(), V)
ALL: list[Masks] = [
    Dynamic(),
    WholeWord(),
    Spans(),
    Spans(lengths=Harmonic()),
    Static(),
    Static(copies=3, of=WholeWord()),
    Static(copies=1, of=Spans()),
]
EVERY = pytest.mark.parametrize("masks", ALL, ids=str)
MIXED = [30, 3, 1, 0, 90, 12, 2, 57]


def chosen(masks: Masks, batch: Batch, seed: int, p: float = 0.15) -> Chosen:
    return choose(masks, batch, TOKENS, p, np.random.default_rng(seed))


def flags(batch: Batch, at: np.ndarray) -> np.ndarray:
    found = np.zeros(len(batch.ids), bool)
    found[at] = True
    return found


@EVERY
def test_no_special_is_chosen_and_places_are_in_order(masks: Masks) -> None:
    batch = texts(MIXED)
    batch.ids[10] = UNK
    for seed in range(50):
        at = chosen(masks, batch, seed).at
        assert (np.diff(at) > 0).all()
        assert not np.isin(batch.ids[at], [CLS, SEP, UNK]).any()


@EVERY
def test_the_share_is_exact_in_the_mean_and_within_a_unit_for_each_text(masks: Masks) -> None:
    batch = texts([40, 5, 9, 130, 4, 20])
    n, seeds = batch.lengths - 2, 800
    counts = np.array(
        [np.bincount(batch.rows[chosen(masks, batch, seed).at], minlength=6) for seed in range(seeds)]
    )  # (seeds, B)
    single = masks == Dynamic() or masks == Static()
    widest = 1 if single else 30
    assert (np.abs(counts - 0.15 * n) < widest).all()
    if isinstance(masks, Static) and masks.copies < 10:
        return  # few masks have no mean to speak of
    if not isinstance(masks, Static):
        deviation = counts.std(0) / seeds**0.5 + 1e-9
        assert (np.abs(counts.mean(0) - 0.15 * n) < 5 * deviation).all(), counts.mean(0) / n
    if single:
        assert set(np.unique(counts[:, 3])) <= {19, 20}  # 128 tokens: 19.2


@pytest.mark.parametrize("masks", [Dynamic(), WholeWord(), Spans(), Spans(lengths=Harmonic())], ids=str)
def test_every_token_is_as_likely_in_short_texts_at_their_ends_and_in_long_words(masks: Masks) -> None:
    word, piece, copies, seeds = 5, WORDS, 100, 200
    long = [CLS, *texts([42], around=False).ids.tolist(), SEP]
    short = [CLS, word, word, piece, piece, piece, piece, word, word, word, piece, word, SEP]
    for text in (long, short):
        hits, batch = np.zeros(len(text)), Batch.of([text] * copies)
        for seed in range(seeds):
            hits += np.bincount(chosen(masks, batch, seed, p=0.2).at % len(text), minlength=len(text))
        share, n = hits[1:-1] / (copies * seeds), copies * seeds
        assert (np.abs(share - 0.2) < 5 * (0.2 * 0.8 / n) ** 0.5).all(), share.round(3)


@EVERY
def test_a_batch_gives_one_token_at_least(masks: Masks) -> None:
    batch = Batch.of([[CLS, 5, SEP], [CLS, 6, SEP]])
    counts = [len(chosen(masks, batch, seed, p=0.01).at) for seed in range(40)]
    assert counts == [1] * 40


@EVERY
def test_texts_without_a_word_give_nothing(masks: Masks) -> None:
    batch = Batch.of([[CLS, SEP], [], [MASK]])
    assert len(chosen(masks, batch, 0).at) == 0


@EVERY
def test_all_are_chosen_where_the_share_is_one(masks: Masks) -> None:
    batch = texts(MIXED)
    assert np.array_equal(chosen(masks, batch, 0, p=1.0).at, np.flatnonzero(TOKENS.ordinary[batch.ids]))


@EVERY
def test_the_same_generator_chooses_the_same_and_the_batch_stays(masks: Masks) -> None:
    batch = texts(MIXED)
    before = batch.ids.copy()
    one, two = chosen(masks, batch, 5), chosen(masks, batch, 5)
    for name in ("at", "fate", "token"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert np.array_equal(batch.ids, before)


@pytest.mark.parametrize("masks", [Dynamic(), WholeWord(), Spans()], ids=str)
def test_dynamic_masks_are_new_each_time(masks: Masks) -> None:
    batch = texts([130])
    assert len({tuple(chosen(masks, batch, seed).at) for seed in range(30)}) == 30


@pytest.mark.parametrize("of", [Dynamic(), WholeWord(), Spans()], ids=str)
@pytest.mark.parametrize("copies", [1, 4])
def test_a_static_text_has_so_many_masks_wherever_it_stands(of: Dynamic | WholeWord | Spans, copies: int) -> None:
    alone, among = texts([130]), texts([20, 130, 7], seed=9)
    among.ids[20:150] = alone.ids
    masks, found = Static(copies=copies, of=of), set()
    for seed in range(60):
        for batch, start in ((alone, 0), (among, 20)):
            one = chosen(masks, batch, seed)
            inside = (one.at >= start) & (one.at < start + 130)
            found.add((*(one.at[inside] - start), *one.fate[inside], *one.token[inside]))
    assert len(found) == copies


def test_static_masks_differ_between_texts_that_differ_in_one_token_and_between_seeds() -> None:
    batch = texts([130])
    other = replace(batch, ids=batch.ids.copy())
    other.ids[60] += 1
    rng = np.random.default_rng
    found = [
        tuple(choose(Static(copies=1), one, TOKENS, 0.15, rng(0), seed=seed).at)
        for one in (batch, other)
        for seed in (0, 1)
    ]
    assert len(set(found)) == 4


def test_static_numbers_are_spread_as_drawn_ones() -> None:
    batch = texts([4000], around=False)
    one = chosen(Static(copies=1), batch, 0, p=1.0)
    for numbers in (one.fate, one.token):
        assert (numbers >= 0).all()
        assert (numbers < 1).all()
        counts = np.bincount((numbers * 20).astype(int), minlength=20)
        expected = len(numbers) / 20
        assert ((counts - expected) ** 2 / expected).sum() < 50  # chi-square of 19 degrees: 1 in 10,000 lies above
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.08


@pytest.mark.parametrize("masks", [WholeWord(), Spans(), Static(of=WholeWord()), Static(of=Spans())], ids=str)
def test_words_are_chosen_whole(masks: Masks) -> None:
    batch = texts([60, 44, 9])
    begins = TOKENS.words(batch)
    assert not begins.all()
    for seed in range(50):
        found = flags(batch, chosen(masks, batch, seed).at)
        assert (found[1:] == found[:-1])[~begins[1:]].all()


def test_chinese_words_are_chosen_whole_where_the_batch_says_where_they_begin() -> None:
    text = "我们喜欢机器学习和深度学习的方法"
    tokenizer = Tokenizer.from_vocabulary(sorted(set(text)), specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    tokens = Tokens.of(tokenizer, tokenizer.size)
    ids = [tokenizer.id(c) for c in text]
    words = np.array([c in "我喜机学和深的方" for c in text])
    batch = replace(Batch.of([ids]), words=words)
    assert words.sum() == 9  # 我们 喜欢 机器 学习 和 深度 学习 的 方法
    for seed in range(50):
        found = flags(batch, choose(WholeWord(), batch, tokens, 0.3, np.random.default_rng(seed)).at)
        assert found.any()
        assert (found[1:] == found[:-1])[~words[1:]].all()


def test_lengths_of_spans_are_those_that_were_asked_for() -> None:
    batch = texts([3000], around=False)
    batch.ids[batch.ids >= WORDS] -= 300  # every token a word
    for lengths, mean in ((Geometric(), 3.797), (Harmonic(longest=3), 1.636), (Harmonic(), 2.190)):
        weights = lengths.weights() / lengths.weights().sum()
        n = np.arange(1, len(weights) + 1)
        assert weights @ n == pytest.approx(mean, abs=1e-3)
        spans: list[int] = []
        for seed in range(60):
            one = chosen(Spans(lengths=lengths), batch, seed)
            # A span has one fate, and no two have the same.
            _, sizes = np.unique(one.fate, return_counts=True)
            neighbours = np.diff(one.fate) == 0
            assert neighbours.sum() == len(one.at) - len(sizes), "a span lies in pieces"
            assert (np.diff(one.at)[neighbours] == 1).all()
            spans += sizes.tolist()
        found = np.bincount(spans, minlength=len(n) + 1)[1:]
        assert len(found) == len(n)
        deviation = (weights * (1 - weights) / len(spans)) ** 0.5
        assert (np.abs(found / len(spans) - weights) < 5 * deviation + 0.003).all()


def test_a_span_has_one_fate_and_pieces_of_a_word_each_their_own() -> None:
    batch = texts([130] * 4)
    begins = TOKENS.words(batch)
    spans, words = chosen(Spans(), batch, 0), chosen(WholeWord(), batch, 0)
    inside = ~begins[spans.at]
    assert inside.any()
    assert (spans.fate[inside] == spans.fate[np.flatnonzero(inside) - 1]).all()
    assert len(set(spans.token)) == len(spans.token)
    assert len(set(words.fate)) == len(words.fate)


def test_spans_end_where_a_special_stands_and_where_a_text_ends() -> None:
    batch = Batch.of([[CLS, 5, SEP, 6, SEP], [7], [8, 9]])
    for seed in range(30):
        one = chosen(Spans(), batch, seed, p=1.0)
        fates = dict(zip(batch.ids[one.at].tolist(), one.fate.tolist(), strict=True))
        assert len({fates[5], fates[6], fates[7], fates[8]}) == 4


@pytest.mark.parametrize(
    ("config", "text", "begins"),
    [
        (BPE(size=300, min_count=1), "the cat sat, on the mat", "the cat sat , on the mat"),
        (ByteBPE(size=400, min_count=1), "the cat sat, on the mat", "the cat sat , on the mat"),
        (Characters(), "ab c", "a b   c"),
    ],
    ids=["▁", "Ġ", "none"],
)
def test_words_begin_where_the_marks_of_the_vocabulary_say(config, text: str, begins: str) -> None:
    tokenizer = Tokenizer.train([text, "the mat on cat sat in ab c sa th"], config)
    batch = tokenizer.encode([text])
    tokens = Tokens.of(tokenizer, tokenizer.size)
    cuts = np.flatnonzero(tokens.words(batch))
    words = [tokenizer.decode(part) for part in np.split(batch.ids, cuts[1:])]
    assert [word.strip() for word in words if word.strip()] == begins.split()


def test_a_mark_at_the_end_of_a_word_makes_the_next_token_begin_one() -> None:
    from tokenizers import Tokenizer as Engine
    from tokenizers import models

    vocabulary = {"lo": 0, "w</w>": 1, "er</w>": 2, "new</w>": 3}
    tokenizer = Tokenizer(Engine(models.BPE(vocab=vocabulary, merges=[], end_of_word_suffix="</w>")))
    found = Tokens.of(tokenizer, 4).words(Batch.of([[0, 1, 3, 0, 2, 0], [1, 3]]))
    assert found.tolist() == [True, False, True, True, False, True, True, True]


def test_ids_that_the_vocabulary_lacks_are_neither_chosen_nor_drawn() -> None:
    tokens = Tokens.of(tokenizer(), V + 24)
    assert len(tokens.ordinary) == V + 24
    assert tokens.drawn.tolist() == list(range(5, V))


@EVERY
def test_masks_survive_a_plain_tree(masks: Masks) -> None:
    assert from_tree(Masks, to_tree(masks, Masks)) == masks  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Static(copies=0), "copies=0 must be at least 1"),
        (lambda: Geometric(stop=1.0), "stop=1.0 must lie between 0 and 1"),
        (lambda: Geometric(longest=0), "longest=0 must be at least 1"),
        (lambda: Harmonic(longest=0), "longest=0 must be at least 1"),
    ],
)
def test_numbers_that_make_no_mask_are_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
