"""The adapter for mteb: asked as both of its versions ask, and by mteb itself where it is installed."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import pytest

from inlay.embed.embedder import Embedder
from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.evaluate.mteb import MtebEncoder
from inlay.vectors.wordvectors import WordVectors

TEXTS = ["king queen", "man", "woman king man", "unheard", ""]


class PromptType(StrEnum):
    query = "query"
    document = "document"


class Noted:
    """An embedder that notes what it is asked."""

    dim = 4

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, int | None]] = []

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, batch_size: int | None = None) -> np.ndarray:
        self.asked.append((prompt, batch_size))
        return np.full((len(texts), 4), 1.0, np.float32)


@pytest.fixture
def embedder() -> Embedder:
    matrix = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    return StaticEmbedder.from_vectors(WordVectors(["king", "queen", "man", "woman"], matrix))


def batches(texts: Sequence[str], size: int = 2) -> list[dict[str, list[str]]]:
    return [{"text": list(texts[at : at + size]), "title": ["x"]} for at in range(0, len(texts), size)]


def test_batches_and_lists_give_the_vectors_of_the_embedder(embedder: Embedder) -> None:
    expected = embedder.encode(TEXTS)
    driven = MtebEncoder(embedder)
    loader = driven.encode(
        batches(TEXTS), task_metadata=object(), hf_split="test", hf_subset="default", show_progress_bar=False
    )
    listed = driven.encode(TEXTS, task_name="STS", prompt_type=None, batch_size=2)
    assert (loader == expected).all()
    assert (listed == expected).all()


def test_the_type_of_a_prompt_reaches_the_model() -> None:
    noted = Noted()
    driven = MtebEncoder(noted)  # type: ignore[arg-type]
    for kind in (None, PromptType.query, PromptType.document, "passage"):
        driven.encode(["a"], prompt_type=kind, batch_size=8)
    assert noted.asked == [(None, 8), ("query", 8), ("document", 8), ("document", 8)]


def test_similarities_are_cosines_and_zero_for_what_has_no_vector(embedder: Embedder) -> None:
    pytest.importorskip("torch")
    driven, rows = MtebEncoder(embedder), embedder.encode(TEXTS) * 3
    square, pairs = driven.similarity(rows, rows).numpy(), driven.similarity_pairwise(rows, rows[::-1].copy()).numpy()
    assert square.shape == (5, 5)
    np.testing.assert_allclose(np.diag(square), [1, 1, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(pairs, square[range(5), range(4, -1, -1)], atol=1e-6)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda e: MtebEncoder(e, "model"), "name='model' must be organisation/model, .*; try 'inlay/model'"),
        (lambda e: MtebEncoder(e).encode("a text"), "one text .* put it in a list"),
        (lambda e: MtebEncoder(e).encode([{"image": [1]}]), "a batch without texts .*'image'.*; choose tasks on text"),
    ],
)
def test_what_it_cannot_read_is_refused(ask: object, message: str, embedder: Embedder) -> None:
    with pytest.raises(InputError, match=message):
        ask(embedder)  # type: ignore[operator]


def test_mteb_drives_it_through_tasks_of_its_own(embedder: Embedder) -> None:
    mteb = pytest.importorskip("mteb")
    mocks = pytest.importorskip("mteb.mocks")
    driven = MtebEncoder(embedder, "inlay/test", "1")
    assert isinstance(driven, mteb.models.EncoderProtocol)
    assert driven.mteb_model_meta.embed_dim == 6
    tasks = [mocks.MockSTSTask(), mocks.MockClassificationTask(), mocks.MockRetrievalTask(), mocks.MockRerankingTask()]
    found = mteb.evaluate(driven, tasks, cache=None)
    assert len(found.task_results) == len(tasks)
