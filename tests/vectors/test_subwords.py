"""N-grams and their buckets: those of fastText, bit for bit; and the vectors that are composed of them."""

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors import subword_kernels
from inlay.vectors.subwords import Subwords, ngram_rows

WORDS = {
    "english": "where",
    "one letter": "a",
    "empty": "",
    "chinese": "自然语言处理",
    "one chinese character": "猫",
    "emoji": "👍🏽👨‍👩‍👧",
    "combining": "e\u0301a\u0308क्षि",
    "mixed": "naïve猫x😀",
    "brackets": "<a><",
    "repeats": "lalalalala",
    "long": "Donaudampfschifffahrtsgesellschaft" * 3,
    "sentence end": "</s>",
    "odd signs": "a\tb\x7f\u200b\u00a0",
}
SIZES = [(3, 6), (1, 3), (1, 1), (2, 20), (5, 5), (0, 2), (6, 3), (0, 0)]


def twin_hash(text: bytes) -> int:
    """FNV-1a with bytes that carry their sign, in arithmetic without a limit."""
    h = 2166136261
    for byte in text:
        h = ((h ^ (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF) * 16777619 & 0xFFFFFFFF
    return h


def twin_ngrams(word: str, min_n: int, max_n: int) -> list[str]:
    """The n-grams on the characters themselves."""
    text = f"<{word}>"
    if word == "</s>":
        return []
    return [
        text[first : first + n]
        for first in range(len(text))
        for n in range(max(min_n, 1), max_n + 1)
        if first + n <= len(text) and not (n == 1 and first in (0, len(text) - 1))
    ]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """A function that trains fastText on next to nothing, once for each pair of sizes."""
    fasttext = pytest.importorskip("fasttext")
    text = tmp_path_factory.mktemp("fasttext") / "text.txt"
    text.write_text("where is the 猫\n" * 5, encoding="utf-8")
    options = {"dim": 2, "minCount": 1, "epoch": 1, "thread": 1, "verbose": 0, "bucket": 99_991}
    made = {}

    def one(min_n, max_n):
        if (min_n, max_n) not in made:
            made[min_n, max_n] = fasttext.train_unsupervised(str(text), minn=min_n, maxn=max_n, **options)
        return made[min_n, max_n]

    return one


def subwords(min_n=3, max_n=6, buckets=50, n_words=4, dim=5):
    inputs = np.random.default_rng(0).normal(size=(n_words + buckets, dim)).astype(np.float32)
    return Subwords(min_n=min_n, max_n=max_n, buckets=buckets, inputs=inputs)


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_the_hash_is_that_of_the_definition(word):
    text = word.encode()
    assert subword_kernels.hash_bytes(np.frombuffer(text, np.uint8)) == twin_hash(text)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_ngrams_of_all_words_are_those_of_the_definition(sizes):
    words = list(WORDS.values())
    starts, rows = ngram_rows(words, *sizes, buckets=1009)
    for v, word in enumerate(words):
        expected = [twin_hash(ngram.encode()) % 1009 for ngram in twin_ngrams(word, *sizes)]
        assert rows[starts[v] : starts[v + 1]].tolist() == expected


@pytest.mark.parametrize("sizes", [(3, 6), (1, 3), (1, 1), (2, 20), (0, 0)], ids=str)
def test_the_ngrams_are_those_of_fasttext(oracle, sizes):
    model = oracle(*sizes)
    own = len(model.words)
    for word in [*WORDS.values(), "is"]:
        if not word:
            continue  # fastText's Python side has "" for no word at all
        spelt, theirs = model.get_subwords(word)
        known = model.get_word_id(word) >= 0
        starts, rows = ngram_rows([word], *sizes, buckets=99_991)
        assert (rows + own).tolist() == theirs[known:].tolist(), word
        assert twin_ngrams(word, *sizes) == spelt[known:], word
        for ngram in twin_ngrams(word, *sizes):
            assert twin_hash(ngram.encode()) % 99_991 + own == model.get_subword_id(ngram)


def test_a_word_read_from_bytes_that_are_no_utf8_keeps_its_bytes():
    word = b"caf\xe9 \x80x".decode("utf-8", "surrogateescape")
    _, rows = ngram_rows([word], 4, 4, buckets=1 << 30)
    spelt = [b"<caf", b"caf\xe9", b"af\xe9 \x80", b"f\xe9 \x80x", b"\xe9 \x80x>"]  # \x80 goes with what is before it
    assert rows.tolist() == [twin_hash(ngram) % (1 << 30) for ngram in spelt]


def test_a_word_is_the_mean_of_its_own_row_and_its_ngrams():
    words = ["where", "there", "a", "</s>"]
    table = subwords()
    matrix = table.compose(words)
    for row, word in enumerate(words):
        parts = np.array([row, *table.rows(word)])
        np.testing.assert_allclose(matrix[row], table.inputs[parts].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(matrix[3], table.inputs[3])
    with pytest.raises(InputError, match="2 words, but the table has rows for 4"):
        table.compose(words[:2])


def test_blocks_of_words_compose_as_one(monkeypatch):
    words = [f"word{n}" for n in range(30)]
    table = subwords(n_words=30)
    expected = table.compose(words)
    monkeypatch.setattr("inlay.vectors.subwords._BLOCK", 7)
    np.testing.assert_array_equal(table.compose(words), expected)


def test_an_unseen_word_is_the_mean_of_its_ngrams():
    table = subwords()
    rows = table.rows("unseen")
    assert len(rows) == 6 + 5 + 4 + 3
    assert rows.min() >= table.n_words == 4
    np.testing.assert_allclose(table.vector("unseen"), table.inputs[rows].mean(axis=0), atol=1e-6)


def test_rows_are_numbered_as_they_are_met_and_lead_back_to_their_buckets():
    words = ["the", "there", "</s>", "then"]
    starts, ngrams = ngram_rows(words, 3, 6, 31)
    bounds, rows, places = subword_kernels.number_rows(starts, ngrams, 31)
    assert len(set(places)) == len(places) == rows.max() + 1
    first = list(dict.fromkeys(rows.tolist()))
    assert first == sorted(first)
    for v in range(len(words)):
        expected = [v, *(ngrams[starts[v] : starts[v + 1]] + len(words))]
        assert places[rows[bounds[v] : bounds[v + 1]]].tolist() == expected


def test_a_word_without_ngrams_is_refused_and_without_sizes_only_own_rows_count():
    with pytest.raises(InputError, match="'ab' has no n-gram of 5 to 6 characters"):
        subwords(min_n=5).vector("ab")
    table = subwords(max_n=0, buckets=0)
    np.testing.assert_array_equal(table.compose(list("abcd")), table.inputs)
    assert table.rows("word").tolist() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_n": -1}, "min_n=-1 must lie between 0 and"),
        ({"min_n": 10**30}, "min_n=10+ must lie between 0 and"),
        ({"max_n": -1}, "max_n=-1 must lie between 0 .no n-grams. and 100"),
        ({"max_n": 2**31 - 1}, "max_n=2147483647 must lie between"),
        ({"buckets": 0}, "buckets=0 must lie between 1 and"),
        ({"buckets": -5}, "buckets=-5 must lie between 1 and"),
        ({"buckets": 60}, "60 buckets must have as many rows of float32, not .54, 5. float32"),
        ({"inputs": np.zeros((54, 5))}, "not .54, 5. float64"),
        ({"inputs": np.zeros(54, np.float32)}, "not .54,. float32"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_table_that_cannot_be_is_refused(change, message):
    sound = {"min_n": 3, "max_n": 6, "buckets": 50, "inputs": np.zeros((54, 5), np.float32)}
    with pytest.raises(InputError, match=message):
        Subwords(**{**sound, **change})


@pytest.mark.parametrize("met", [[], [7], [0, 3, 11, 12, 40, 49]], ids=str)
def test_buckets_that_were_never_met_count_as_zeros(met):
    words = ["where", "there", "a", "</s>"]
    full = subwords().inputs
    full[4 + np.setdiff1d(np.arange(50), met)] = 0
    dense = Subwords(min_n=3, max_n=6, buckets=50, inputs=full)
    met = np.array(met, np.int64)
    sparse = Subwords(min_n=3, max_n=6, buckets=50, inputs=full[[0, 1, 2, 3, *(4 + met)]], met=met)
    assert sparse.n_words == 4
    assert len(sparse.inputs) == 4 + len(met)
    np.testing.assert_array_equal(sparse.dense().inputs, full)
    np.testing.assert_allclose(sparse.compose(words), dense.compose(words), atol=1e-6)
    for word in ("where", "unseen", "自然语言"):
        np.testing.assert_array_equal(sparse.rows(word), dense.rows(word))
        np.testing.assert_allclose(sparse.vector(word), dense.vector(word), atol=1e-6)


@pytest.mark.parametrize(
    "met",
    [np.array([0, 50]), np.array([-1, 3]), np.array([3, 3]), np.array([4, 2]), np.array([1.5]), np.array([[1]])],
    ids=str,
)
def test_buckets_out_of_range_or_order_are_refused(met):
    with pytest.raises(InputError, match="must be int64, rising, and below 50"):
        Subwords(min_n=3, max_n=6, buckets=50, inputs=np.zeros((9, 5), np.float32), met=met)


def test_half_a_character_is_refused():
    with pytest.raises(InputError, match="half a character"):
        subwords().rows("x\ud83d")
