"""A token table from word vectors: which row comes from where, with numbers by hand, and what is refused."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.model.coverage import Coverage
from inlay.model.wordstart import AtRandom, FromNGrams, FromWords, Pieces, token_table
from inlay.tokenize.kinds import BPE, ByteBPE, Bytes, TokenizerConfig, Unigram, WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.subwords import Subwords
from inlay.vectors.wordvectors import WordVectors

WORDS = ["play", "playing", "jump", "jumping", "Paris", "PARIS", "机器", "机", "器具", "學習"]
FROM_WORDS = FromWords()
COUNTS = np.array([10, 6, 5, 2, 3, 1, 4, 2, 1, 1])


@pytest.fixture(scope="module")
def vectors() -> WordVectors:
    matrix = np.random.default_rng(0).normal(1, 0.5, size=(len(WORDS), 4)).astype(np.float32)
    return WordVectors(WORDS, matrix, COUNTS)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    words = ["play", "jump", "paris", "机", "器", "qqq", "the"]
    return Tokenizer.from_vocabulary(words, ["##ing", "##zz"], specials=("[PAD]", "[UNK]", "[CLS]"))


def started(
    vectors: WordVectors, tokenizer: Tokenizer, policy: Pieces = FROM_WORDS, seed: int = 0, **options: float | None
) -> tuple[np.ndarray, Coverage]:
    return token_table(vectors, tokenizer, policy, np.random.default_rng(seed), **options)


def kept(words: list[str], counts: list[int] | None = None, subwords: Subwords | None = None) -> WordVectors:
    matrix = np.random.default_rng(1).normal(size=(len(words), 4)).astype(np.float32)
    return WordVectors(words, matrix, None if counts is None else np.array(counts), subwords=subwords)


@pytest.mark.parametrize("policy", [FromWords(), AtRandom()])
def test_a_token_that_is_a_word_has_that_words_vector(
    vectors: WordVectors, tokenizer: Tokenizer, policy: Pieces
) -> None:
    table, coverage = started(vectors, tokenizer, policy)
    assert table.shape == (tokenizer.size, 4)
    assert table.dtype == np.float32
    for word in ("play", "jump", "机"):
        np.testing.assert_array_equal(table[tokenizer.id(word)], vectors[word])
    assert coverage.rows["copied"] == 4  # 机 and its twin inside a run of Chinese
    np.testing.assert_array_equal(table[tokenizer.id("##机")], vectors["机"])


def test_a_piece_is_the_mean_of_the_words_that_it_stands_in_by_their_counts(
    vectors: WordVectors, tokenizer: Tokenizer
) -> None:
    table, _ = started(vectors, tokenizer)
    expected = (6 * vectors["playing"] + 2 * vectors["jumping"]) / 8
    np.testing.assert_allclose(table[tokenizer.id("##ing")], expected, rtol=1e-6)
    # 机器 is 机 ##器, 器具 begins with a character that is a token of its own
    np.testing.assert_allclose(table[tokenizer.id("##器")], vectors["机器"], rtol=1e-6)
    np.testing.assert_allclose(
        started(kept(WORDS), tokenizer)[0][tokenizer.id("##ing")],
        (kept(WORDS)["playing"] + kept(WORDS)["jumping"]) / 2,
        rtol=1e-6,
    )


@pytest.mark.parametrize("config", [WordPiece(size=60), ByteBPE(size=300), Unigram(size=50), BPE(size=60)])
def test_pieces_are_those_of_a_plain_loop_over_words_as_they_stand_in_text(config: TokenizerConfig) -> None:
    stems, ends = ["walk", "talk", "bake", "play", "jump"], ["", "ing", "s", "er"]
    words = [*(stem + end for stem in stems for end in ends), ","]
    tokenizer = Tokenizer.train(["the, bring sir " + " ".join(stems)] * 3, config)
    vectors = kept(words, list(range(1, len(words) + 1)))
    table, coverage = started(vectors, tokenizer)
    sums: dict[str, list[tuple[int, np.ndarray]]] = {}
    for count, word in enumerate(words, 1):
        for token in tokenizer.tokens("the " + word)[len(tokenizer.tokens("the")) :]:
            sums.setdefault(token, []).append((count, vectors[word]))
    pieces = [token for token in sums if not tokenizer.writing.read(token).whole]
    assert len(pieces) > 2
    for token in pieces:
        if (tokenizer.writing.read(token).text or "").strip():
            expected = np.average([row for _, row in sums[token]], axis=0, weights=[count for count, _ in sums[token]])
            np.testing.assert_allclose(table[tokenizer.id(token)], expected, rtol=1e-4, atol=1e-6, err_msg=token)
    assert coverage.covered == pytest.approx(1)


def test_a_word_that_the_tokenizer_writes_otherwise_is_found(vectors: WordVectors, tokenizer: Tokenizer) -> None:
    table, coverage = started(vectors, tokenizer, AtRandom())
    expected = (3 * vectors["Paris"] + vectors["PARIS"]) / 4
    np.testing.assert_allclose(table[tokenizer.id("paris")], expected, rtol=1e-6)
    assert coverage.examples["folded"] == ("paris",)
    cased = Tokenizer.train(["Play Playing play PLAY"] * 3, ByteBPE(size=300))
    table, coverage = started(vectors, cased, AtRandom())
    np.testing.assert_array_equal(table[cased.id("ĠPlay")], vectors["play"])
    np.testing.assert_array_equal(table[cased.id("Ġplay")], vectors["play"])
    assert "Play" in coverage.examples["lowered"]


def test_a_chinese_token_of_several_words_is_their_mean() -> None:
    texts = ["我们学习机器。", "我们学习机器人！", "我们学习，机器"] * 9
    tokenizer = Tokenizer.train(texts, ByteBPE(size=400))
    run = next(token for token in tokenizer.vocabulary if tokenizer.writing.read(token).text == "我们学习")
    vectors = kept(["我们", "学习", "我", "学", "机器"], [1] * 5)
    table, coverage = started(vectors, tokenizer)
    np.testing.assert_allclose(table[tokenizer.id(run)], (vectors["我们"] + vectors["学习"]) / 2, rtol=1e-6)
    assert coverage.rows["words"] >= 1


def test_the_rest_is_noise_like_the_rows_copied() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(400)]
    spread, middle = np.array([0.1, 1, 3], np.float32), np.array([2, 0, -5], np.float32)
    vectors = WordVectors(words, (middle + spread * rng.standard_normal((400, 3))).astype(np.float32))
    specials = ("[PAD]", "[UNK]", *(f"<{n}>" for n in range(500)))
    tokenizer = Tokenizer.from_vocabulary([*words, *(f"x{n}" for n in range(600))], specials=specials)
    table, coverage = started(vectors, tokenizer, AtRandom())
    noise = table[[tokenizer.id(f"x{n}") for n in range(600)]]
    np.testing.assert_allclose(noise.mean(axis=0), middle, atol=5 * spread.max() / 600**0.5)
    np.testing.assert_allclose(noise.std(axis=0), spread, rtol=0.15)
    special = table[2:502]
    assert (np.abs(special.mean(axis=0)) < 5 * spread / 500**0.5).all()
    np.testing.assert_allclose(special.std(axis=0), spread, rtol=0.15)
    assert not table[tokenizer.id("[PAD]")].any()
    assert coverage.rows["special"] == 502
    again, _ = started(vectors, tokenizer, AtRandom())
    np.testing.assert_array_equal(again, table)
    assert (started(vectors, tokenizer, AtRandom(), seed=1)[0][tokenizer.id("x1")] != table[tokenizer.id("x1")]).all()


@pytest.mark.parametrize("center", [False, True])
def test_one_factor_brings_all_rows_to_scale_and_keeps_their_angles(
    vectors: WordVectors, tokenizer: Tokenizer, center: bool
) -> None:
    plain, _ = started(vectors, tokenizer, center=center)
    table, coverage = started(vectors, tokenizer, scale=0.02, center=center)
    rest = np.delete(table, tokenizer.id("[PAD]"), axis=0)
    assert np.sqrt((rest.astype(np.float64) ** 2).mean()) == pytest.approx(0.02)
    np.testing.assert_allclose(table, plain * coverage.factor, rtol=1e-5)
    assert coverage.norms["copied"] == pytest.approx(
        np.mean([np.linalg.norm(table[tokenizer.id(token)]) for token in ("play", "jump", "机", "##机")])
    )


def test_centring_takes_the_copied_rows_mean_away(vectors: WordVectors, tokenizer: Tokenizer) -> None:
    table, _ = started(vectors, tokenizer, center=True)
    plain, _ = started(vectors, tokenizer)
    copied = [tokenizer.id(token) for token in ("play", "jump", "机", "##机", "paris")]
    np.testing.assert_allclose(table[copied].mean(axis=0), 0, atol=1e-6)
    made = [*copied, tokenizer.id("##ing")]
    np.testing.assert_allclose(table[made] + plain[copied].mean(axis=0), plain[made], atol=1e-6)
    noise = [tokenizer.id("qqq"), tokenizer.id("the"), tokenizer.id("##zz")]  # moved as far, whatever was drawn
    np.testing.assert_allclose(table[noise] + plain[copied].mean(axis=0), plain[noise], atol=1e-6)


@pytest.mark.parametrize("policy", [FromWords(), FromNGrams()])
def test_a_token_of_white_space_is_no_part_of_a_word(policy: Pieces) -> None:
    tokenizer = Tokenizer.train(["我们学习机器。", "我们学习机器人！"] * 9, Unigram(size=40))
    inputs = np.random.default_rng(3).normal(size=(2 + 50, 4)).astype(np.float32)
    grams = Subwords(min_n=1, max_n=3, buckets=50, inputs=inputs)
    vectors = kept(["学", "机器"], [3, 2], grams)
    assert "▁" in tokenizer.tokens("机器")
    table, coverage = started(vectors, tokenizer, policy)
    other, _ = started(vectors, tokenizer, policy, seed=1)
    drawn = (table != other).any(axis=1)
    assert drawn[tokenizer.id("▁")]
    assert not drawn[[tokenizer.id(token) for token in tokenizer.tokens("机器学")[1:]]].any()
    assert coverage.covered == pytest.approx(1)  # of what the words are made of


def test_a_piece_starts_from_its_ngrams_as_an_unseen_word_does(tokenizer: Tokenizer) -> None:
    buckets, words = 50, ["play", "jump"]
    inputs = np.random.default_rng(3).normal(size=(len(words) + buckets, 4)).astype(np.float32)
    grams = Subwords(min_n=3, max_n=4, buckets=buckets, inputs=inputs)
    table, coverage = started(kept(words, [3, 2], grams), tokenizer, FromNGrams())
    for token in ("##ing", "paris", "##zz"):
        np.testing.assert_allclose(table[tokenizer.id(token)], grams.vector(token.removeprefix("##")), rtol=1e-6)
    assert coverage.examples["ngrams"][:2] == ("paris", "机")
    met = Subwords(min_n=3, max_n=4, buckets=buckets, inputs=inputs[:20], met=np.arange(0, 36, 2))  # 18 of the 50
    table, _ = started(kept(words, [3, 2], met), tokenizer, FromNGrams())
    np.testing.assert_allclose(table[tokenizer.id("paris")], met.vector("paris"), rtol=1e-6)
    assert met.vector("paris").any()
    with pytest.raises(InputError, match=r"no n-grams in these vectors for FromNGrams\(\); .* take FromWords\(\)"):
        started(kept(words), tokenizer, FromNGrams())


def test_coverage_counts_the_texts_tokens_by_where_their_rows_come_from(
    vectors: WordVectors, tokenizer: Tokenizer
) -> None:
    _, coverage = started(vectors, tokenizer)
    # 36 words: those of two known tokens are playing 6, jumping 2, 机器 4, 器具 1 (its 具 is unknown)
    tokens = 10 + 2 * 6 + 5 + 2 * 2 + 3 + 1 + 2 * 4 + 2 + 2 * 1 + 1
    assert coverage.share["copied"] == pytest.approx((10 + 6 + 5 + 2 + 4 + 2) / tokens)
    assert coverage.share["folded"] == pytest.approx(4 / tokens)
    assert coverage.share["words"] == pytest.approx((6 + 2 + 4 + 1) / tokens)
    assert coverage.share["special"] == pytest.approx(2 / tokens)
    assert sum(coverage.share.values()) == pytest.approx(1)
    assert coverage.covered == pytest.approx(1 - 2 / tokens)
    assert sum(coverage.rows.values()) == tokenizer.size
    assert coverage.weighted
    text = str(coverage)
    assert text.startswith("95.8% of the text's tokens start from vectors; all rows times 1")
    assert "copied from the word" in text
    tree = json.loads(json.dumps(coverage.to_dict()))
    assert tree["covered"] == coverage.covered
    assert tree["rows"] == coverage.rows
    assert "of the words' tokens" in str(started(kept(WORDS), tokenizer)[1])


def test_ids_without_a_token_are_noise(tmp_path: Path, vectors: WordVectors, tokenizer: Tokenizer) -> None:
    tokenizer.save(tmp_path)
    tree = json.loads((tmp_path / "tokenizer.json").read_text())
    tree["model"]["vocab"]["play"] = 90
    (tmp_path / "tokenizer.json").write_text(json.dumps(tree))
    holed = Tokenizer.load(tmp_path)
    table, coverage = started(vectors, holed)
    assert table.shape == (91, 4)
    np.testing.assert_array_equal(table[90], vectors["play"])
    assert coverage.rows["random"] >= 91 - len(holed.vocabulary)
    assert table[80].all()


def test_the_given_vectors_stay_as_they_are(vectors: WordVectors, tokenizer: Tokenizer) -> None:
    before = vectors.matrix.copy()
    started(vectors, tokenizer, scale=0.5, center=True)
    np.testing.assert_array_equal(vectors.matrix, before)


@pytest.mark.parametrize("precision", ["half", "int8"])
def test_smaller_tables_start_as_they_decode(vectors: WordVectors, tokenizer: Tokenizer, precision: str) -> None:
    small = vectors.packed(precision)
    np.testing.assert_array_equal(started(small, tokenizer)[0][tokenizer.id("play")], small["play"])


def test_what_cannot_be_a_start_is_refused(vectors: WordVectors, tokenizer: Tokenizer) -> None:
    broken = vectors.matrix.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match="the vector of 'jumping' is not finite"):
        started(WordVectors(WORDS, broken), tokenizer)
    with pytest.raises(InputError, match=r"WordVectors\(0 words, 4 dimensions\): nothing to start from"):
        started(WordVectors([], np.zeros((0, 4), np.float32)), tokenizer)
    with pytest.raises(InputError, match="all vectors of .* are zero; train them first"):
        started(WordVectors(["play"], np.zeros((1, 4), np.float32)), tokenizer)
    with pytest.raises(
        InputError, match=r"none of the \d+ tokens \('play', .*\) is one of the 2 words \('猫', '狗' …\)"
    ):
        started(kept(["猫", "狗"]), tokenizer)
    with pytest.raises(InputError, match="none of the 256 tokens .* train both on the same texts"):
        started(vectors, Tokenizer.train(["play"], Bytes()))
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="scale=.* must be above zero; 0.02 is usual"):
            started(vectors, tokenizer, scale=scale)
    with pytest.raises(InputError, match=r"policy='words' must be FromNGrams\(\), FromWords\(\) or AtRandom\(\)"):
        started(vectors, tokenizer, "words")


def test_a_single_word_in_common_is_enough(tokenizer: Tokenizer) -> None:
    table, _ = started(kept(["jump", "zebra"]), tokenizer, AtRandom(), scale=0.02)
    assert np.isfinite(table).all()
    assert len(np.unique(table, axis=0)) == len(table)


@pytest.mark.parametrize(
    "config", [WordPiece(size=2000), ByteBPE(size=2000), Unigram(size=2000)], ids=lambda c: type(c).__name__
)
def test_a_hundred_thousand_words_take_seconds_at_most(config: WordPiece | ByteBPE | Unigram) -> None:
    words = [f"{stem}{n}" for n in range(20_000) for stem in ("walk", "play", "bake", "机器", "wonder")]
    tokenizer = Tokenizer.train([" ".join(words[:5000])], config)
    matrix = np.random.default_rng(0).standard_normal((len(words) + 1, 100), dtype=np.float32)
    vectors = WordVectors([*words, "walk"], matrix, np.ones(len(words) + 1, np.int64))
    start = time.process_time()
    started(vectors, tokenizer)
    assert time.process_time() - start < 5  # 1 s on a quiet machine
