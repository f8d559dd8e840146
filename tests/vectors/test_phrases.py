"""Phrases against a slow twin in plain Python, and their scores against gensim's."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.vectors.phrases import Lift, Npmi, Phrases, join
from inlay.vectors.vocabulary import Encoded, read

CONFIGS = [
    Phrases(score=Lift(threshold=3, discount=1), min_count=2),
    Phrases(score=Lift(threshold=0.5, discount=0), min_count=1, passes=3),
    Phrases(score=Npmi(threshold=0.2), min_count=2, passes=2),
    Phrases(score=Npmi(threshold=-0.1), min_count=1),
]


def twin(sentences: list[list[str]], config: Phrases, joiner: str) -> list[list[str]]:
    """The same by dictionaries of words."""
    for _ in range(config.passes):
        counts = Counter(word for sentence in sentences for word in sentence)
        pairs = Counter(pair for sentence in sentences for pair in zip(sentence, sentence[1:], strict=False))
        n, chosen = sum(counts.values()), set()
        for (a, b), times in pairs.items():
            if times < config.min_count:
                continue
            if isinstance(config.score, Lift):
                score = (times - config.score.discount) * n / (counts[a] * counts[b])
            else:
                score = math.log(times / n / (counts[a] / n * counts[b] / n)) / -math.log(times / n)
            if score > config.score.threshold + 1e-12:
                chosen.add((a, b))
        joined = []
        for sentence in sentences:
            out, at = [], 0
            while at < len(sentence):
                if tuple(sentence[at : at + 2]) in chosen:
                    out.append(joiner.join(sentence[at : at + 2]))
                    at += 1
                else:
                    out.append(sentence[at])
                at += 1
            joined.append(out)
        sentences = joined
    return [sentence for sentence in sentences if sentence]


def text(encoded: Encoded) -> list[list[str]]:
    sentences: list[list[str]] = [[]]
    for token in encoded.tokens:
        if token < 0:
            sentences.append([])
        else:
            sentences[-1].append(encoded.vocabulary.words[token])
    return sentences[:-1]


def spoken(seed: int, n: int = 200) -> list[list[str]]:
    """Sentences of a few words, some of which like each other."""
    rng = random.Random(seed)
    phrases = ["new york", "ice cream", "new york times", "old", "the", "of", "cream", "times", "york old"]
    return [" ".join(rng.choices(phrases, k=rng.randint(0, 9))).split() for _ in range(n)]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_phrases_are_those_of_the_slow_twin(config: Phrases, seed: int) -> None:
    sentences = spoken(seed)
    joined = join(read(sentences, min_count=1), config, "_")
    assert text(joined) == twin(sentences, config, "_")
    assert any("_" in word for word in joined.vocabulary.words)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=8), max_size=30).filter(any))
@settings(max_examples=60, deadline=None)
def test_any_text_is_joined_as_by_the_twin_even_where_spellings_meet(sentences: list[list[str]]) -> None:
    config = Phrases(score=Lift(threshold=1, discount=0.5), min_count=1, passes=2)
    assert text(join(read(sentences, min_count=1), config, "")) == twin(sentences, config, "")


def test_a_table_that_grows_loses_no_pair() -> None:
    rng = np.random.default_rng(0)
    sentences = [[f"w{n}" for n in rng.integers(0, 900, 300)] for _ in range(800)]  # 200,000 kinds of pairs
    config = Phrases(score=Lift(threshold=25, discount=1), min_count=2)
    assert text(join(read(sentences, min_count=1), config, "_")) == twin(sentences, config, "_")


@pytest.mark.parametrize(("first", "second", "pair"), [(10, 12, 9), (5000, 12, 12), (700, 900, 6)])
def test_scores_are_those_of_gensim(first: int, second: int, pair: int) -> None:
    phrases = pytest.importorskip("gensim.models.phrases")
    n = 20_000
    counts = [np.array([count]) for count in (first, second, pair)]
    expected = phrases.original_scorer(first, second, pair, n, 5, n)
    assert Lift(discount=5).score(*counts, n)[0] == pytest.approx(expected)
    assert Npmi().score(*counts, n)[0] == pytest.approx(phrases.npmi_scorer(first, second, pair, n, 1, n))


@pytest.mark.parametrize("scoring", ["default", "npmi"])
def test_a_pass_joins_what_gensim_joins(scoring: str) -> None:
    phrases = pytest.importorskip("gensim.models.phrases")
    sentences = spoken(5)
    n = sum(map(len, sentences))
    if scoring == "npmi":
        ours = Phrases(score=Npmi(threshold=0.1), min_count=2)
        theirs = phrases.Phrases(sentences, min_count=2, threshold=0.1, scoring="npmi")
    else:
        # gensim multiplies with the number of words and pairs that it knows, not with the length of the text
        theirs = phrases.Phrases(sentences, min_count=2, threshold=1.1)
        ours = Phrases(score=Lift(threshold=1.1 * n / len(theirs.vocab), discount=2), min_count=1)
    joined = text(join(read(sentences, min_count=1), ours, "_"))
    assert joined == [theirs[sentence] for sentence in sentences if sentence]


def test_words_are_numbered_by_frequency_and_counted_anew() -> None:
    joined = join(read(spoken(1), min_count=1), CONFIGS[0])
    counts = Counter(word for sentence in text(joined) for word in sentence)
    vocabulary = joined.vocabulary
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)) == counts
    assert vocabulary.words == sorted(counts, key=lambda word: (-counts[word], word))


def test_chinese_is_joined_with_nothing_and_a_phrase_that_is_a_word_is_that_word() -> None:
    sentences = [["北京", "大学", "在", "ice", "cream"], ["北京大学", "在", "这里"]] * 9
    sentences += [[word] for word in ("大学", "在", "ice", "北京")]
    joined = join(read(sentences, min_count=1), Phrases(score=Lift(threshold=4, discount=1)))
    assert {"北京大学", "ice_cream"} <= set(joined.vocabulary.words)
    assert joined.vocabulary.counts[joined.vocabulary.index["北京大学"]] == 18


def test_the_corpus_given_stays_as_it_is() -> None:
    encoded = read(spoken(2), min_count=1)
    before, words = encoded.tokens.copy(), list(encoded.vocabulary.words)
    join(encoded, CONFIGS[1])
    join(encoded, CONFIGS[0], min_count=40)
    assert (encoded.tokens == before).all()
    assert encoded.vocabulary.words == words


def test_rare_words_go_after_the_joining() -> None:
    sentences = [["new", "york", "rare"]] + [["new", "york"], ["new"], ["old"]] * 20
    joined = join(read(sentences, min_count=1), Phrases(score=Npmi(threshold=0.1)), min_count=2, max_vocab=2)
    assert joined.vocabulary.words == ["new_york", "new"]
    with pytest.raises(InputError, match="none of the 4 words occurs min_count=99 times"):
        join(read(sentences, min_count=1), Phrases(score=Npmi(threshold=0.1)), min_count=99)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lift(threshold=0), "threshold=0 must be above 0"),
        (lambda: Lift(threshold=float("nan")), "threshold=nan must be above 0"),
        (lambda: Lift(discount=-1), "discount=-1 must not be negative"),
        (lambda: Npmi(threshold=2), "threshold=2 must lie between -1 and 1"),
        (lambda: Phrases(passes=0), "passes=0 must lie between 1 and 10"),
        (lambda: Phrases(min_count=0), "min_count=0 must be at least 1"),
    ],
)
def test_a_value_out_of_range_is_named(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_a_phrase_that_reaches_over_the_end_of_a_piece_is_joined(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inlay.vectors.phrases._PIECE", piece)
    sentences = spoken(4, 40)
    assert text(join(read(sentences, min_count=1), CONFIGS[1], "_")) == twin(sentences, CONFIGS[1], "_")
