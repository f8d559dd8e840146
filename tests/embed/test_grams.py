"""Grams: what tokens are made of, counted."""

import numpy as np
import pytest
from Stemmer import Stemmer

from inlay.embed import grams

TOKENS = ["[PAD]", "[UNK]", "the", "running", "runs", "##ing", "cat", "嵌入", "##嵌入", "向量機", "的", "!", "c3"]


def test_stems_are_whole_words_only() -> None:
    assert grams.stems("run", "running") == ["run"]
    assert grams.stems("ing", "##ing") == []
    assert grams.stems("嵌入", "##嵌入") == ["嵌入"]


def test_fourgrams_are_marked_where_a_word_begins_and_ends() -> None:
    assert grams.fourgrams("vector", "vector") == ["<vec", "vect", "ecto", "ctor", "tor>"]
    assert grams.fourgrams("ing", "##ing") == ["ing>"]
    assert grams.fourgrams("a", "a") == ["<a>"]
    assert grams.fourgrams("cat", "cat") == ["<cat", "cat>"]


def test_a_chinese_word_is_its_characters_their_pairs_and_itself() -> None:
    assert grams.fourgrams("向量機", "向量機") == [*"向量機", "向量", "量機", "向量機"]
    assert grams.fourgrams("嵌入", "##嵌入") == [*"嵌入", "嵌入"]
    assert grams.fourgrams("嵌", "嵌") == ["嵌"]


@pytest.mark.parametrize("features", [grams.stems, grams.fourgrams])
def test_the_matrix_counts_what_each_token_is_made_of(features: grams.Features) -> None:
    found = grams.matrix(TOKENS, "en", features)
    assert found.dtype == np.float32
    assert found.shape[0] == len(TOKENS)
    stem = Stemmer("english")
    for row, token in enumerate(TOKENS):
        bare = token.removeprefix("##")
        skipped = token in ("[PAD]", "[UNK]", "the", "!")
        expected = [] if skipped else features(stem.stemWord(bare), token)
        assert found[row].sum() == len(expected)
    same = found[TOKENS.index("running")] != found[TOKENS.index("runs")]
    assert same.nnz == 0
    # One column for each feature, none without a token.
    assert (np.asarray((found > 0).sum(axis=0)) > 0).all()


def test_stop_words_have_no_features_in_their_language() -> None:
    assert grams.matrix(["的", "the"], "zh", grams.stems).toarray().tolist() == [[0], [1]]
    assert grams.matrix(["的", "the"], "en", grams.stems).toarray().tolist() == [[1], [0]]


def test_no_tokens_give_a_matrix_without_counts() -> None:
    assert grams.matrix([], "en", grams.stems).shape == (0, 1)
    assert grams.matrix(["[PAD]"], "en", grams.fourgrams).nnz == 0
