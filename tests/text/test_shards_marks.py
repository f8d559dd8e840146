"""Where words begin: by the vocabulary's marks in spaced scripts, by the segmenter in Chinese."""

from collections.abc import Callable

import numpy as np
import pytest

from inlay.text.marks import cut, marker, word_starts
from inlay.text.words import segmenter
from inlay.tokenize.kinds import BPE, ByteBPE, Bytes, Characters, TokenizerConfig, Unigram, WordPiece
from inlay.tokenize.tokenizer import Tokenizer

ENGLISH = "The quick fox can't jump, over lazy dogs.\nWhile seven wizards boxed"
CHINESE = ["我喜欢机器学习，因为机器学习很有意思。", "研究生命的起源：用PyTorch和İstanbul", "他来到了网易杭研大厦"]


def grouped(tokenizer: Tokenizer, text: str, lang: str) -> list[str]:
    """The words as the marks part the tokens, each written as the piece of the text that its tokens cover."""
    batch, begins = marker(tokenizer, lang)([text])
    assert begins is not None
    _, places = tokenizer.places([text])
    starts = np.flatnonzero(begins)
    assert begins[0]
    stops = np.append(starts[1:], len(places))
    return [text[places[a:b, 0].min() : places[a:b, 1].max()].strip() for a, b in zip(starts, stops, strict=True)]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram", "bytebpe", "bytes", "characters", "words"])
def test_english_words_are_whole_and_begin_at_spaces_and_punctuation(
    kind: str, tokenizers: Callable[[str], Tokenizer]
) -> None:
    text = "the quick fox, jumps over. while seven wizards boxed"
    found = [word for word in grouped(tokenizers(kind), text, "en") if word]
    assert found == ["the", "quick", "fox", ",", "jumps", "over", ".", "while", "seven", "wizards", "boxed"]


def test_what_follows_a_line_break_begins_a_word(tokenizers: Callable[[str], Tokenizer]) -> None:
    found = [word for word in grouped(tokenizers("bytebpe"), "seven\nwizards (boxed)", "en") if word]
    assert found == ["seven", "wizards", "(", "boxed", ")"]


@pytest.mark.parametrize(
    "config", [WordPiece(size=60), BPE(size=60), Unigram(size=90), ByteBPE(size=320), Bytes(), Characters()], ids=str
)
@pytest.mark.parametrize("text", CHINESE)
def test_a_token_begins_a_word_where_the_segmenter_begins_one(config: TokenizerConfig, text: str) -> None:
    pytest.importorskip("rjieba")
    tokenizer = Tokenizer.train(CHINESE * 3, config)
    batch, begins = marker(tokenizer, "zh")([text, "", text])
    _, places = tokenizer.places([text])
    assert begins is not None
    assert np.array_equal(begins[: len(begins) // 2], begins[len(begins) // 2 :])
    assert np.array_equal(batch.ids, tokenizer.encode([text, "", text]).ids)
    # The slow twin: a character is inside a word if it is not the first of the word that covers it.
    inside, at, low = set(), 0, text.replace("İ", "I").lower()
    for word in segmenter("zh")(text):
        word = word.replace("i̇", "i")
        at = low.index(word, at) + len(word)
        inside |= set(range(at - len(word) + 1, at))
    seen = 0
    for (start, stop), first in zip(places.tolist(), begins[: len(places)].tolist(), strict=True):
        expected = start not in inside and (start >= seen or not seen)
        assert first == expected, text[start:stop]
        seen = max(seen, stop)


def test_chinese_words_of_two_characters_are_joined() -> None:
    pytest.importorskip("rjieba")
    text = "我喜欢机器学习，因为"
    places = np.array([(n, n + 1) for n in range(len(text))])
    starts = word_starts(text, places, segmenter("zh"))
    words = ["".join(part) for part in np.split(np.array(list(text)), np.flatnonzero(starts)[1:])]
    assert "喜欢" in words
    assert "，" in words
    assert "".join(words) == text


def test_nobody_marks_words_that_nobody_asked_for(tokenizers: Callable[[str], Tokenizer]) -> None:
    batch, words = marker(tokenizers("words"), None)(["the fox"])
    assert len(batch.ids) == 2
    assert words is None


def test_a_sentence_keeps_its_space_only_where_there_was_one() -> None:
    assert cut("One two. Three?\nFour. 五。六！Seven", spaced=True) == [
        "One two.",
        " Three?",
        " Four.",
        " 五。",
        "六！",
        "Seven",
    ]
    assert cut("One two. Three?", spaced=False) == ["One two.", "Three?"]


def test_places_are_where_the_tokens_lie(tokenizers: Callable[[str], Tokenizer]) -> None:
    texts = ["the quick fox", "", "seven wizards"]
    for kind in ("wordpiece", "bytebpe", "unigram"):
        tokenizer = tokenizers(kind)
        batch, places = tokenizer.places(texts)
        assert np.array_equal(batch.ids, tokenizer.encode(texts).ids)
        assert np.array_equal(batch.lengths, tokenizer.encode(texts).lengths)
        expected = [place for text in texts for place in tokenizer.offsets(text)]
        assert places.tolist() == [list(place) for place in expected]
    assert tokenizer.places([])[1].shape == (0, 2)
