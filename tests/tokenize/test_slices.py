"""Slices: whatever a text is made of, its tokens are those of its slices, one after another."""

from typing import Any

import numpy as np
import pytest

from inlay.tokenize.kinds import BPE, ByteBPE, TokenizerConfig, Unigram, WordPiece
from inlay.tokenize.slices import slices
from inlay.tokenize.tokenizer import Tokenizer

_SENTENCE = "the a of water stone river fire air cold warm is was in on hot rain falls 水 石 火 模型"
WORDS = _SENTENCE.split()
MARKS = ["\n", " ", ", ", "。", "", "  ", "\u0301 ", " \ud800 ", "👩‍👩‍👧 ", "\u202e"]


def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(WORDS)


def text_of(size: int, marks: list[str], seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    return "".join(rng.choice([*WORDS, "unknown", "火水石"]) + marks[rng.integers(len(marks))] for _ in range(size))


@pytest.mark.parametrize("size", [40, 100])
def test_slices_give_the_tokens_of_the_whole_text(size: int) -> None:
    text = text_of(500, MARKS, size)
    found = slices(tokenizer(), text, size)
    assert "".join(found) == text
    assert len(found) > 10
    assert np.array_equal(tokenizer().encode(found).ids, tokenizer().encode([text]).ids)


def test_a_text_that_offers_no_place_for_a_cut_stays_whole() -> None:
    assert slices(tokenizer(), "a" * 1000, 40) == ["a" * 1000]
    assert slices(tokenizer(), "", 40) == [""]
    # A tokenizer whose pieces go over spaces gives other tokens wherever it is cut there.
    tree: dict[str, Any] = tokenizer().tree()
    tree["pre_tokenizer"] = None
    across = Tokenizer(tokenizer()._engine).rebuilt(tree)
    text = "the river is cold " * 100
    assert "".join(slices(across, text, 40)) == text
    assert np.array_equal(across.encode(slices(across, text, 40)).ids, across.encode([text]).ids)


@pytest.mark.parametrize("kind", [WordPiece(size=200), BPE(size=200), ByteBPE(size=400), Unigram(size=200)], ids=str)
def test_every_kind_of_tokenizer_is_cut_where_no_token_is(kind: TokenizerConfig) -> None:
    made = Tokenizer.train([text_of(300, [" ", ", ", "\n"], seed) for seed in range(3)], kind)
    for marks in ([" ", ", ", "\n"], MARKS, [""]):
        text = text_of(400, marks, 9)
        found = slices(made, text, 150)
        assert "".join(found) == text
        assert np.array_equal(made.encode(found).ids, made.encode([text]).ids)
        assert len(found) > 3 or marks == [""]
