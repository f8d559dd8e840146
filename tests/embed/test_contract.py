"""What `encode` promises, of every embedder: order, independence of company, no text refused, flat memory, one line."""

import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_embedders import WORDS, bert_folder, mixing, tokenizer

from inlay.embed.context import ContextEmbedder, EmbedConfig
from inlay.embed.dense import Dense
from inlay.embed.layers import Mix
from inlay.embed.long import LateChunks, Long, Truncate, Windows
from inlay.embed.pool import CLS, Last, Max, Mean, MeanSqrt, Weighted
from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError

LONGS: list[Long] = [Truncate(), Truncate(keep="both"), Windows(stride=5), LateChunks()]
POOLS = (CLS(), Mean(), Max(), MeanSqrt(), Weighted(), Last())
LONG = " ".join(WORDS[at % 21] for at in range(70))
TEXTS = [
    "The river is cold",
    "",
    LONG,
    " \t\n",
    "模型 water 火",
    "\ud800 lone \udfff",
    "\u202eright to left עברית",
    "👩‍👩‍👧‍👦 and e\u0301\u0301\u0301",
    "nul \x00 in it",
    "ﬁ ① Ǆ İ ß",
    LONG[::-1],
]

_FOLDER: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    _FOLDER[:] = [bert_folder(tmp_path_factory.mktemp("contract") / "bert")]


def static() -> Any:
    table = np.random.default_rng(0).standard_normal((tokenizer().size, 6)).astype(np.float32)
    return StaticEmbedder(tokenizer(), table)


@cache
def bert(backend: Any, long: Long) -> ContextEmbedder:
    made = ContextEmbedder.load(_FOLDER[0], backend=backend)
    return ContextEmbedder(made.tokenizer, made.backend, EmbedConfig(long=long))


def full() -> ContextEmbedder:
    """All that may stand behind an encoder at once."""
    weight = np.random.default_rng(1).standard_normal((5, 36)).astype(np.float32)
    config = EmbedConfig(pools=POOLS, layer=Mix(), long=LateChunks(), prompts={"query": "query :"}, pool_prompt=False)
    return mixing(config, dense=[Dense(weight=weight, activation="gelu")])


MODELS: dict[str, Callable[[], Any]] = {
    "static": static,
    "everything": full,
    **{f"stand-in {long}": lambda long=long: mixing(EmbedConfig(long=long)) for long in LONGS},  # type: ignore[misc]
    **{f"stand-in {how}": lambda how=how: mixing(EmbedConfig(pools=(how,))) for how in POOLS},  # type: ignore[misc]
    "torch": lambda: bert("torch", Truncate()),
    "lean": lambda: bert("lean", Truncate()),
    "torch windows": lambda: bert("torch", Windows()),
    "lean late": lambda: bert("lean", LateChunks()),
}
EVERY = pytest.mark.parametrize("name", MODELS)
# One of each way to read a text; what pools and backends do to rows changes nothing here.
READINGS = [
    name for name in MODELS if name in ("static", "everything", "lean late") or "keep" in name or "stride" in name
]
EACH = pytest.mark.parametrize("name", READINGS)
ENCODERS = pytest.mark.parametrize("name", [name for name in MODELS if name != "static"])
texts = st.lists(st.one_of(st.text(max_size=30), st.sampled_from(TEXTS)), max_size=9)


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Within 1e-6 of each other, measured by the longest vector where they are not of length 1."""
    return bool(np.abs(found - wanted).max(initial=0) <= 1e-6 * max(1, np.abs(wanted).max(initial=0)))


@EVERY
def test_the_order_is_kept_and_company_and_batches_move_nothing(name: str) -> None:
    model = MODELS[name]()
    given_texts = list(TEXTS)
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    assert given_texts == TEXTS
    assert alone.dtype == np.float32
    assert np.isfinite(alone).all()
    order = np.random.default_rng(0).permutation(len(TEXTS))
    for size in (1, 3, 1024):
        found = model.encode([TEXTS[at] for at in order], batch_size=size)
        assert found.shape == (len(TEXTS), model.dim)
        assert close(found, alone[order])


@ENCODERS
@pytest.mark.parametrize("threads", [1, 2])
def test_exact_vectors_are_the_same_bit_for_bit(name: str, threads: int) -> None:
    model = MODELS[name]()
    alone = np.concatenate([model.encode([text], exact=True) for text in TEXTS])
    found = model.encode(TEXTS[::-1], exact=True, threads=threads, batch_size=4)[::-1]
    assert found.tobytes() == alone.tobytes()
    assert close(model.encode(TEXTS, threads=threads), alone)


@EACH
@given(given_texts=texts, size=st.integers(1, 4))
@settings(max_examples=8, deadline=None)
def test_any_text_has_a_vector_of_its_own(name: str, given_texts: list[str], size: int) -> None:
    model = MODELS[name]()
    found, report = model.encode(given_texts, batch_size=size, report=True)
    assert found.shape == (len(given_texts), model.dim)
    assert np.isfinite(found).all()
    assert report.texts == len(given_texts)
    lengths = np.linalg.norm(found, axis=1)
    assert ((np.abs(lengths - 1) < 1e-5) | (lengths == 0)).all()
    assert report.empty == (lengths == 0).sum()
    for text, vector in zip(given_texts, found, strict=True):
        assert close(model.encode([text])[0], vector)


@pytest.mark.parametrize("name", [name for name in READINGS if name != "static"])
@given(given_texts=texts)
@settings(max_examples=4, deadline=None)
def test_units_lie_in_their_texts(name: str, given_texts: list[str]) -> None:
    model = MODELS[name]()
    for made in (model.tokens(given_texts), model.words(given_texts)):
        assert len(made.lengths) == len(given_texts)
        assert len(made.vectors) == len(made.offsets) == len(made.parts) == made.lengths.sum()
        assert np.isfinite(made.vectors).all()
        for number, text in enumerate(given_texts):
            spans = made.of(number).offsets
            assert ((spans >= 0) & (spans <= len(text))).all()
            assert (np.diff(spans[:, 0]) >= 0).all()


@ENCODERS
def test_the_report_counts_every_token_once(name: str) -> None:
    model = MODELS[name]()
    every = tokenizer().encode(TEXTS)
    for size in (1, 4, 1024):
        _, report = model.encode(TEXTS, report=True, batch_size=size)
        assert report.tokens + report.dropped == every.n_tokens
        if isinstance(model.config.long, Truncate):
            assert report.dropped == np.maximum(every.lengths - (model.max_length - 2), 0).sum() > 0
            assert report.shortened == (every.lengths > model.max_length - 2).sum()
        else:
            assert report.dropped == report.shortened == 0
            assert report.unknown == (every.ids == tokenizer().id("[UNK]")).sum()


@EVERY
def test_no_texts_give_no_vectors(name: str) -> None:
    model = MODELS[name]()
    found, report = model.encode([], report=True)
    assert found.shape == (0, model.dim)
    assert report.texts == report.tokens == 0
    assert model.encode((), dim=2).shape == (0, 2)


@pytest.mark.parametrize("name", ["static", "everything"])
@pytest.mark.parametrize(
    ("given_texts", "options", "message"),
    [
        ("one text", {}, "where a list of texts is wanted"),
        (["a"], {"dim": 99}, "dim=99 must lie between 1 and "),
        (["a"], {"dim": 0}, "dim=0 must lie between 1 and "),
        (["a"], {"dim": 1.5}, "dim=1.5 must lie between 1 and .* and be whole"),
        (["a"], {"batch_size": 0}, "batch_size=0 must be at least 1"),
        ([], {"batch_size": 0}, "batch_size=0 must be at least 1"),
        (["a"], {"prompt": "qeury"}, "prompt='qeury' is unknown; did you mean 'query'"),
        (["a", "b", 3], {"batch_size": 1}, "text 2 is 3; every text must be a str"),
        ([None], {}, "text 0 is None; every text"),
        ((text for text in "ab"), {}, "a generator where a list of texts is wanted"),
        ([b"a"], {}, "text 0 is b'a'; every text"),
    ],
)
def test_what_cannot_be_encoded_is_one_line(name: str, given_texts: Any, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        MODELS[name]().encode(given_texts, **options)
    assert "\n" not in str(caught.value)


def test_threads_below_one_are_an_input_error() -> None:
    with pytest.raises(InputError, match="threads=0 must be at least 1"):
        full().encode(["a"], threads=0)


def peak(run: Callable[[], Any]) -> int:
    tracemalloc.start()
    run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("name", ["static", "lean"])
def test_empty_texts_cost_next_to_nothing_however_many(name: str) -> None:
    model = MODELS[name]()
    many = [""] * 20_000
    start = time.process_time()
    assert (model.encode(many, dim=1) == model.encode([""], dim=1)).all()
    assert time.process_time() - start < 10
    few = peak(lambda: model.encode(many[:5000], dim=1))
    assert peak(lambda: model.encode(many, dim=1)) < few + 15_000 * 4 + (1 << 20)


@pytest.mark.parametrize("name", ["static", "lean late"])
def test_memory_does_not_grow_with_the_texts(name: str) -> None:
    model = MODELS[name]()
    some: Sequence[str] = [f"{LONG} {number}" for number in range(100)]
    few = peak(lambda: model.encode(some, batch_size=64))
    assert peak(lambda: model.encode([*some] * 4, batch_size=64)) < 1.2 * few + 400 * 40 * 4


@EACH
def test_a_very_long_text_is_read_and_counted(name: str) -> None:
    model = MODELS[name]()
    text = f"{LONG} " * 480
    assert len(text) > 1 << 17 or not isinstance(model, ContextEmbedder)
    (found, other), report = model.encode([text, LONG], report=True)
    assert np.isfinite(found).all()
    assert close(other, model.encode([LONG])[0])
    assert report.tokens + report.dropped == len(tokenizer().encode([text, LONG]).ids)
