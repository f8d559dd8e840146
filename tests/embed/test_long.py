"""Long text: each token is read exactly once, in the window that shows most around it; what is cut is what was said."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_embedders import WORDS, Mixing, mixing

from inlay.config import from_tree, to_tree
from inlay.embed.context import EmbedConfig
from inlay.embed.long import LateChunks, Long, Truncate, Windows, kept, pieces
from inlay.embed.pool import CLS, Last, Max, Mean, MeanSqrt, Weighted
from inlay.errors import InputError

ROOM = 10
"""Tokens of a text that the stand-in encoder takes beside [CLS] and [SEP]."""
LONG = " ".join(WORDS[at % 21] for at in range(37))
FITS = "the river is cold"

sizes = st.lists(st.integers(0, 60), max_size=8).map(lambda listed: np.array(listed, np.int64))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# --- the plan


@pytest.mark.parametrize(
    ("keep", "places"),
    [("head", [0, 1, 2, 3, 4]), ("tail", [4, 5, 6, 7, 8]), ("both", [0, 1, 2, 7, 8])],
)
def test_of_nine_tokens_five_are_kept_where_it_was_said(keep: Any, places: list[int]) -> None:
    stays = kept(np.array([3, 9, 0, 5]), 5, keep)
    assert np.flatnonzero(stays[3:12]).tolist() == places
    assert stays[:3].all()
    assert stays[12:].all()
    assert len(stays) == 17


def test_windows_over_eleven_tokens_are_those_planned_by_hand() -> None:
    found = pieces(np.array([2, 11, 0]), 5, 3)
    assert found.texts.tolist() == [0, 1, 1, 1, 2]
    assert found.starts.tolist() == [0, 0, 3, 6, 0]
    assert found.stops.tolist() == [2, 5, 8, 11, 0]
    assert found.first.tolist() == [0, 0, 4, 7, 0]
    assert found.last.tolist() == [2, 4, 7, 11, 0]


@given(sizes, st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_every_token_is_read_once_where_it_has_most_context(lengths: np.ndarray, room: int, stride: int) -> None:
    stride = min(stride, room)
    found = pieces(lengths, room, stride)
    assert (found.stops - found.starts == np.minimum(lengths, room)[found.texts]).all()
    for text, size in enumerate(lengths):
        mine = np.flatnonzero(found.texts == text)
        own = [list(range(found.first[p], found.last[p])) for p in mine]
        assert sum(own, []) == list(range(size))
        for p, tokens in zip(mine, own, strict=True):
            for token in tokens:
                # The nearest edge of a window that is not an edge of the text itself.
                margins = {
                    q: min(
                        token - found.starts[q] if found.starts[q] else size,
                        found.stops[q] - 1 - token if found.stops[q] < size else size,
                    )
                    for q in mine
                    if found.starts[q] <= token < found.stops[q]
                }
                assert margins[p] >= max(margins.values()) - 1


@pytest.mark.parametrize("stride", [0, 11])
def test_a_stride_that_leaves_tokens_out_is_an_input_error(stride: int) -> None:
    with pytest.raises(InputError, match=f"stride={stride} must lie between 1 and 10"):
        pieces(np.array([20]), 10, stride)
    for make in (Windows, LateChunks):
        with pytest.raises(InputError, match="stride=0 must be at least 1"):
            make(stride=0)
    with pytest.raises(InputError, match="stride=11 must lie between 1 and 10"):
        mixing(EmbedConfig(long=Windows(stride=11))).encode([LONG])


# --- the vectors


@pytest.mark.parametrize("keep", ["head", "tail", "both"])
def test_a_truncated_text_has_the_vector_of_the_words_that_are_left(keep: Any) -> None:
    words = LONG.split()
    left = {"head": words[:ROOM], "tail": words[-ROOM:], "both": words[:5] + words[-5:]}[keep]
    found, report = mixing(EmbedConfig(long=Truncate(keep=keep))).encode([FITS, LONG], report=True)
    assert np.array_equal(found, mixing().encode([FITS, " ".join(left)]))
    assert (report.tokens, report.dropped, report.shortened) == (4 + ROOM, 27, 1)
    assert "27 dropped (1 texts too long)" in report.line()


@pytest.mark.parametrize("pool", [Mean(), Max()])
@pytest.mark.parametrize("stride", [None, 4])
def test_windows_are_texts_of_their_own_and_the_last_one_is_full(pool: Any, stride: int | None) -> None:
    words = LONG.split()
    starts = [*range(0, len(words) - ROOM, stride or ROOM), len(words) - ROOM]
    alone = mixing().encode([" ".join(words[at : at + ROOM]) for at in starts])
    wanted = unit(alone.mean(0) if pool == Mean() else alone.max(0))
    model = mixing(EmbedConfig(long=Windows(stride=stride, pool=pool)))
    found, report = model.encode([FITS, LONG, ""], report=True)
    np.testing.assert_allclose(found[1], wanted, atol=1e-6)
    np.testing.assert_allclose(found[[0, 2]], mixing().encode([FITS, ""]), atol=1e-6)
    assert (report.tokens, report.dropped) == (4 + 37, 0)


@pytest.mark.parametrize("pool", [CLS(), Mean(), Max(), MeanSqrt(), Weighted(), Last()], ids=str)
def test_late_chunks_give_what_an_encoder_without_a_limit_gives(pool: Any) -> None:
    # The stand-in looks three times two places far, so that tokens seven from an edge do not notice it.
    texts = [LONG * 3, FITS, "", LONG]
    config = EmbedConfig(long=LateChunks(stride=4), pools=(pool,))
    found, report = mixing(config, most_tokens=24).encode(texts, report=True)
    whole = mixing(EmbedConfig(pools=(pool,)), most_tokens=None)
    np.testing.assert_allclose(found, whole.encode(texts), atol=1e-6)
    assert report.dropped == 0


@pytest.mark.parametrize("long", [Truncate(), Windows(), Windows(stride=3), LateChunks()], ids=str)
def test_a_text_that_fits_has_the_same_vector_whatever_is_done_with_longer_ones(long: Long) -> None:
    texts = [FITS, "", "water", " ".join(WORDS[:ROOM])]
    np.testing.assert_allclose(mixing(EmbedConfig(long=long)).encode(texts), mixing().encode(texts), atol=1e-7)


def test_dropping_can_be_an_error_that_names_the_text() -> None:
    with pytest.raises(InputError, match=r"text 3 has 37 tokens, 27 more than the 10 that fit"):
        mixing().encode([FITS, "", FITS, LONG], on_drop="error", batch_size=2)
    assert mixing().encode([FITS], on_drop="error").shape == (1, 6)
    assert mixing(EmbedConfig(long=Windows())).encode([LONG], on_drop="error").shape == (1, 6)
    with pytest.raises(InputError, match="on_drop='eror' is no choice; did you mean 'error'"):
        mixing().encode([FITS], on_drop="eror")  # type: ignore[call-overload]


@pytest.mark.parametrize("long", [Truncate(keep="both"), Windows(stride=9, pool=Max()), LateChunks(stride=2)], ids=str)
def test_a_tree_keeps_the_choice(long: Long) -> None:
    config = EmbedConfig(long=long, prompts={"query": "q: "}, default_prompt="query")
    assert from_tree(EmbedConfig, to_tree(config)) == config


def test_a_long_text_is_read_a_few_windows_at_a_time() -> None:
    backend = Mixing(12)
    model = mixing(EmbedConfig(long=LateChunks()))
    model.backend = backend
    model.encode([LONG * 1000])
    assert sum(backend.asked) > 37_000
    assert max(backend.asked) < 5000
