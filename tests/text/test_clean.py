import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.text.clean import clean, clean_line

TEXTS = st.text(
    st.one_of(
        st.characters(), st.sampled_from(" \t\n\r\x0b\x0c\x85\u2028\u3000\u00a0\u200d\u200c\u0301ａé क\u0915\ufe0f")
    )
)


@given(TEXTS, st.booleans())
def test_cleaning_twice_is_cleaning_once(text, half_width):
    once = clean(text, half_width=half_width)
    assert clean(once, half_width=half_width) == once


@given(TEXTS)
def test_what_is_clean_is_nfc_single_spaced_and_visible(text):
    result = clean(text)
    assert unicodedata.is_normalized("NFC", result)
    assert "  " not in result
    assert "\n\n\n" not in result
    assert not any(line.endswith((" ", "\t", "\u3000")) for line in result.split("\n"))
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in result if c not in "\t\n")
    assert result == result.strip()


@given(st.text(st.characters(categories=["L", "Nd"]), max_size=50))
def test_letters_and_digits_survive(text):
    assert clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x0cb\u2028c\u2029d\x85e", "a\nb\nc\nd\ne"),
        ("nul\x00 bell\x07 delete\x7f", "nul bell delete"),
        ("\ufeffsoft\u00adhyphen zero\u200bwidth word\u2060joiner", "softhyphen zerowidth wordjoiner"),
        ("two  spaces and\u00a0\u2009thin", "two spaces and thin"),
        ("a \t\nb", "a\nb"),
        ("tab\tkept", "tab\tkept"),
        ("a\n \n\t\n\nb", "a\n\nb"),
        ("cafe\u0301", "café"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("\u200f\u202bשלום\u202c", "שלום"),
        ("👩\u200d👩\u200d👧 ❤\ufe0f\u200d🔥", "👩\u200d👩\u200d👧 ❤\ufe0f\u200d🔥"),
        ("क्\u200dष می\u200cخواهم", "क्\u200dष می\u200cخواهم"),
        ("latin\u200d joiner\u200c", "latin joiner"),
        ("繁體 简体 ＡＢＣ\u3000１２", "繁體 简体 ＡＢＣ\u3000１２"),
        ("  \u3000\u3000段落  ", "段落"),
        ("", ""),
    ],
)
def test_each_rule(dirty, expected):
    assert clean(dirty) == expected


def test_full_width_becomes_ascii_on_request_only():
    assert clean("ＡＢＣ，１２\u3000～", half_width=True) == "ABC,12 ~"
    assert clean("Ａ\u0301", half_width=True) == "Á"


def test_a_title_is_one_line():
    assert clean_line(" a\r\n b\tc ") == "a b c"


@pytest.mark.parametrize("unit", ["\t", " ", "\u3000", "\n", "\u200d", "\t ", "\u00a0", "a\u0301", "\x00", "\n "])
def test_long_runs_take_linear_time(unit):
    start = time.process_time()
    clean("x" + unit * 300_000 + "x")
    assert time.process_time() - start < 1
