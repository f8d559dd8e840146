"""encoded: every text once, whatever the budget, the threads and the neighbours."""

from collections.abc import Iterable

import numpy as np
import pytest

from inlay.batch import Batch
from inlay.convert import save_model
from inlay.embed.backend import Array, Backend
from inlay.embed.batches import Found, encoded
from inlay.embed.blas import blas_threads, one_thread
from inlay.embed.lean import Lean
from inlay.embed.torch_backend import TorchBackend
from inlay.errors import InputError
from inlay.model.presets import PRESETS


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backend]:
    folder, model = tmp_path_factory.mktemp("encoded") / "model", PRESETS["bert-tiny"].build()
    save_model(model, folder)
    return {"lean": Lean.load(folder), "torch": TorchBackend(model)}


def _batch(n: int = 60, *, segments: bool = False) -> Batch:
    rng = np.random.default_rng(0)
    lengths = [0, 1, 1, 200, 0, *rng.integers(1, 40, n)]
    ids = [rng.integers(0, 30_000, n).tolist() for n in lengths]
    return Batch.of(ids, [rng.integers(0, 2, n).tolist() for n in lengths] if segments else None)


def _rows(parts: Iterable[Found], batch: Batch, which: int = 0) -> list[Array]:
    """The rows of each text, in the order of the batch; each text must come once."""
    found: dict[int, Array] = {}
    for numbers, lengths, states in parts:
        assert lengths.tolist() == batch.lengths[numbers].tolist()
        assert int(lengths.sum()) == len(states[which])
        for number, rows in zip(numbers.tolist(), np.split(states[which], np.cumsum(lengths)[:-1]), strict=True):
            assert number not in found
            found[number] = rows
    return [found[number] for number in range(len(batch))]


@pytest.mark.parametrize("name", ["lean", "torch"])
@pytest.mark.parametrize("segments", [False, True])
def test_every_text_comes_once_with_the_rows_that_it_has_alone(
    backends: dict[str, Backend], name: str, segments: bool
) -> None:
    backend, batch = backends[name], _batch(segments=segments)
    alone = _rows(encoded(backend, batch, [1, 2], exact=True, threads=1), batch, 1)
    for budget, threads in ((1, 1), (100, 1), (300, 2), (1 << 20, 3)):
        found = _rows(encoded(backend, batch, [1, 2], budget=budget, threads=threads), batch, 1)
        for ours, expected in zip(found, alone, strict=True):
            assert ours.shape == expected.shape
            assert np.abs(ours - expected).max(initial=0) < 5e-6  # of rows of length 11


def test_exact_is_bit_for_bit_independent_of_neighbours_budget_and_threads(backends: dict[str, Backend]) -> None:
    for backend in backends.values():
        batch = _batch()
        expected = _rows(encoded(backend, batch, [2], exact=True, threads=1), batch)
        for budget, threads in ((50, 2), (1 << 20, 3)):
            found = _rows(encoded(backend, batch, [2], exact=True, budget=budget, threads=threads), batch)
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
        few = [3, 10, 1, 40]
        starts = batch.starts
        part = Batch.of([batch.ids[starts[i] : starts[i] + batch.lengths[i]].tolist() for i in few])
        found = _rows(encoded(backend, part, [2], exact=True), part)
        assert all(np.array_equal(rows, expected[i]) for rows, i in zip(found, few, strict=True))


def test_parts_keep_to_the_budget_but_for_a_text_that_is_longer(backends: dict[str, Backend]) -> None:
    for _, lengths, (rows,) in encoded(backends["lean"], _batch(), [2], budget=100, threads=1):
        assert len(rows) <= 100 or len(lengths) == 1


def test_no_text_has_no_part_and_empty_texts_have_no_rows(backends: dict[str, Backend]) -> None:
    assert list(encoded(backends["lean"], Batch.of([]), [2])) == []
    ((numbers, lengths, (rows,)),) = encoded(backends["lean"], Batch.of([[], []]), [2])
    assert (numbers.tolist(), lengths.tolist(), rows.shape) == ([0, 1], [0, 0], (0, 128))


def test_an_error_in_a_thread_is_raised_where_the_rows_are_asked_for(backends: dict[str, Backend]) -> None:
    ids = [[1, 2, 3]] * 400 + [[99_999] * 3]
    with pytest.raises(InputError, match="token id 99999"):
        list(encoded(backends["lean"], Batch.of(ids), [2], budget=512, threads=2))


def test_who_stops_early_leaves_the_threads_of_products_as_they_were(backends: dict[str, Backend]) -> None:
    before = blas_threads()
    parts = encoded(backends["lean"], Batch.of([[1, 2, 3]] * 600), [2], threads=2)
    next(parts)
    parts.close()
    assert blas_threads() == before


def test_one_thread_holds_while_any_block_does() -> None:
    before = blas_threads()
    with one_thread() as known:
        assert known == (before is not None)
        if not known:
            pytest.skip("NumPy multiplies by a library that cannot be asked")
        with one_thread():
            assert blas_threads() == 1
        assert blas_threads() == 1
    assert blas_threads() == before


def test_budget_and_threads_below_one_are_errors(backends: dict[str, Backend]) -> None:
    for wrong in ({"budget": 0}, {"threads": 0}):
        with pytest.raises(InputError, match="at least 1"):
            next(encoded(backends["lean"], _batch(), [2], **wrong))  # type: ignore[arg-type]
