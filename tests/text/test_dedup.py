"""Exact and near duplicates: what is found, what is left alone, and at what cost."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.text.dedup import Exact, NearDuplicates, dedup, estimate, fingerprint, signatures
from inlay.text.document import Document

ENGLISH = [
    f"{a}{b}{c}"
    for a in ["ka", "tro", "mil", "ser", "du", "pla", "ing"]
    for b in ["ve", "no", "rast", "li", "om"]
    for c in ["l", "ring", "ta", "esk", "or", "s"]
]
CHINESE = [chr(0x4E00 + i) for i in range(0, 3000, 3)]


def passage(language: str, units: int, rng: random.Random) -> list[str]:
    return rng.choices(ENGLISH if language == "en" else CHINESE, k=units)


def joined(language: str, units: list[str]) -> str:
    return (" " if language == "en" else "").join(units)


def edited(units: list[str], share: float, rng: random.Random) -> list[str]:
    """The units with one run, `share` of them all, written anew."""
    n = round(share * len(units))
    at = rng.randrange(len(units) - n)
    return [*units[:at], *rng.choices(units, k=n), *units[at + n :]]


def shingles(text: str) -> set[bytes]:
    data = text.encode()
    return {data[i : i + 8] for i in range(len(data) - 7)}


def test_fingerprint_sees_neither_case_nor_white_space():
    assert fingerprint("  Vector\n\tSPACE ") == fingerprint("vector space") != fingerprint("vectorspace")
    assert 0 <= fingerprint("\ud800") < 2**64


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=12))
def test_exact_agrees_with_a_set(calls):
    exact, seen = Exact(), set()
    for texts in calls:
        expected = []
        for text in texts:
            expected.append(text not in seen)
            seen.add(text)
        assert exact.add(texts) == expected
    assert len(exact) == len(seen)


def test_exact_keeps_8_bytes_a_text_in_few_sorted_runs():
    exact = Exact()
    for start in range(0, 20_000, 100):
        exact.add([str(i) for i in range(start, start + 100)])
    assert len(exact) == 20_000
    assert sum(run.nbytes for run in exact._runs) == 8 * 20_000
    assert len(exact._runs) <= 9
    assert not any(exact.add([str(i) for i in range(20_000)]))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_estimate_agrees_with_the_exact_jaccard(language):
    rng = random.Random(1)
    errors = []
    for share in np.linspace(0, 0.9, 60):
        units = passage(language, 300, rng)
        a, b = joined(language, units), joined(language, edited(units, float(share), rng))
        truth = len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))
        slots = signatures([a, b])
        errors.append(estimate(slots[0], slots[1]) - truth)
    assert np.abs(errors).max() < 4 * np.sqrt(0.25 / 128)  # four standard deviations at their widest
    assert abs(np.mean(errors)) < 0.02


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=60)
def test_a_signature_does_not_depend_on_the_company(a, b):
    together = signatures([a, b])
    assert np.array_equal(together[0], signatures([a])[0])
    assert np.array_equal(together[1], signatures([b])[0])


def test_a_text_longer_than_a_piece_has_the_signature_of_its_shingles(monkeypatch):
    text = " ".join(passage("en", 400, random.Random(2)))
    whole = signatures([text])
    monkeypatch.setattr("inlay.text.dedup._PIECE", 37)
    assert np.array_equal(signatures([text]), whole)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_light_edits_are_found_and_strangers_are_not(language):
    rng = random.Random(3)
    passages = [passage(language, 250, rng) for _ in range(300)]
    originals = [joined(language, units) for units in passages]
    light = [joined(language, edited(units, 0.04, rng)) for units in passages]
    heavy = [joined(language, edited(units, 0.5, rng)) for units in passages]
    near = NearDuplicates(0.8)
    assert near.add(originals) == [-1] * 300
    found = near.add(light)
    recall = np.mean([twin == i for i, twin in enumerate(found)])
    assert recall >= 0.99
    assert all(twin in (i, -1) for i, twin in enumerate(found))
    assert np.mean([twin >= 0 for twin in near.add(heavy)]) <= 0.01


def test_case_and_punctuation_make_no_difference():
    near = NearDuplicates(1.0)
    assert near.add(["One index, two readers.", "one INDEX -- two readers!", "对，词向量。", "对词向量"]) == [
        -1,
        0,
        -1,
        -1,
    ]


def test_the_answer_is_the_index_over_all_calls_of_a_kept_text():
    near = NearDuplicates(0.8)
    text = " ".join(passage("en", 100, random.Random(4)))
    assert near.add(["something else altogether", text]) == [-1, -1]
    assert near.add([text, "a third thing that stands alone", text]) == [1, -1, 1]
    assert near.add([text + " "]) == [1]


@pytest.mark.parametrize("text", ["", " \n", "a", "!!!", "\ud800", "\0" * 50, "𝔘𝔫𝔦", "词"])
def test_strange_texts_equal_themselves(text):
    near = NearDuplicates(0.9)
    assert near.add([text, "another text, which is quite different"]) == [-1, -1]
    assert near.add([text]) == [0]


def test_different_signs_are_different_texts():
    assert NearDuplicates().add(["!!!", "???"]) == [-1, -1]


@pytest.mark.parametrize("text", ["a" * 100_000, "( " * 50_000, "ab" * 50_000, "词" * 33_000, " " * 100_000])
def test_monotonous_texts_take_linear_time(text):
    near = NearDuplicates()
    start = time.process_time()
    assert near.add([text] * 20) == [-1] + [0] * 19
    assert time.process_time() - start < 4


def test_boilerplate_does_not_make_it_quadratic():
    rng = random.Random(5)
    notice = " ".join(passage("en", 120, rng))
    texts = [notice + joined("zh", passage("zh", 60, rng)) for _ in range(1500)]
    near = NearDuplicates(0.95)
    start = time.process_time()
    near.add(texts)
    assert time.process_time() - start < 8


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        NearDuplicates(threshold)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_a_pair_at_the_threshold_becomes_a_candidate(threshold):
    near = NearDuplicates(threshold)
    assert 1 - (1 - threshold**near.rows) ** near.bands >= 0.98
    assert near.bands * near.rows <= 128


def documents() -> list[Document]:
    text = " ".join(passage("en", 100, random.Random(6)))
    return [
        Document(id="1", text=text),
        Document(id="2", text=text.upper()),
        Document(id="3", text="an unrelated sentence about the weather in spring"),
        Document(id="4", text=text + " mil"),
        Document(id="5", text=text, title="A title of its own, long enough to make another document of the same words"),
    ]


def test_dedup_keeps_the_first_and_the_order():
    assert [d.id for d in dedup(documents())] == ["1", "3"]
    assert [d.id for d in dedup(documents(), near=None)] == ["1", "3", "4", "5"]
    assert list(dedup([])) == []


def test_dedup_streams():
    endless = (Document(id=str(i), text=f"document number {i}") for i in iter(int, 1))
    assert next(dedup(endless, near=None)).id == "0"
