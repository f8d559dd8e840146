"""Words over the bytes of a file: the same as a list of them, and nothing is decoded before it is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.vectors import words as words_module
from inlay.vectors.words import Words


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=40))
def test_packed_words_are_the_words(some):
    packed = Words.pack(some)
    assert list(packed) == some
    assert packed == some
    assert len(packed) == len(some)
    assert packed[1:-1] == some[1:-1]
    assert [packed[place] for place in range(-len(some), len(some))] == some + some
    assert Words.pack(packed) is packed


def test_blocks_change_nothing(monkeypatch):
    monkeypatch.setattr(words_module, "_STEP", 3)
    assert list(Words.pack(f"嵌{n}" for n in range(10))) == [f"嵌{n}" for n in range(10)]


def test_words_differ_from_other_words_and_show_the_first():
    assert Words.pack(["a", "b"]) != ["a", "c"]
    assert Words.pack(["a"]) != ["a", "b"]
    assert Words.pack(["a"]) != 7
    assert repr(Words.pack(list("abcd"))) == "Words(4: a, b, c, ...)"
    with pytest.raises(IndexError):
        Words.pack(["a"])[1]


@pytest.mark.parametrize(
    ("text", "offsets", "message"),
    [
        (b"ab", [0, 3], "must go from 0 to 2"),
        (b"ab", [1, 2], "must go from 0 to 2"),
        (b"", [], "must go from 0 to 0"),
        (b"abc", [0, 2, 1, 3], "is not in the text"),
        (b"abc", [0, 9, 9, 3], "is not in the text"),
        (b"abc", [0, -4, 2, 3], "is not in the text"),
        (b"\xb0\xa1", [0, 2], "word 1: .* is not UTF-8"),
    ],
)
def test_places_that_cannot_be_are_an_error_when_they_are_used(text, offsets, message):
    with pytest.raises(InputError, match=message):
        list(Words(np.frombuffer(text, np.uint8), np.array(offsets, np.int64)))


def test_a_word_that_no_file_can_keep_is_named():
    with pytest.raises(InputError, match="lone surrogate"):
        Words.pack(["a", "\ud800"])
