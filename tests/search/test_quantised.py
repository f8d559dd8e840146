"""An index of codes keeps the contract of an index of floats, and finds nearly the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.files import write_checksums
from inlay.search.codes import Binary, Int8, Product, Storage
from inlay.search.index import Index
from inlay.search.quantised import QuantisedIndex, open_index

DIM = 48
STORAGES = [Int8(), Binary(), Binary(rescore=None), Product(), Product(part=5, rescore=Int8())]
each_storage = pytest.mark.parametrize("storage", STORAGES, ids=lambda storage: str(storage)[:30])


def clustered(n: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """Vectors as texts have them: around a few hundred subjects, in a few directions more than in others."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(99).standard_normal((60, dim))
    rows = middles[rng.integers(0, 60, n)] + 0.6 * rng.standard_normal((n, dim))
    return rows.astype(np.float32)


def indexed(storage: Storage, n: int = 1500) -> tuple[Index, QuantisedIndex]:
    index = Index(DIM)
    index.add([f"d{i}" for i in range(n)], clustered(n))
    return index, QuantisedIndex.of(index, storage)


def recall(index: Index, codes: QuantisedIndex, queries: np.ndarray) -> float:
    exact, found = index.search(queries, 10)[0], codes.search(queries, 10)[0]
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]))


@pytest.mark.parametrize(
    ("storage", "least", "most_bytes"),
    [
        (Int8(), 0.95, DIM + 4),
        (Binary(candidates=20), 0.85, DIM + 4 + 8 + 1),
        (Binary(rescore=None), 0.4, 8 + 1),
        (Product(part=2), 0.8, DIM / 2 + 1),
        (Product(part=4, rescore=Int8()), 0.9, DIM + 4 + DIM / 4 + 1),
    ],
)
def test_codes_find_most_of_what_exact_search_finds_in_far_fewer_bytes(
    storage: Storage, least: float, most_bytes: float
) -> None:
    index, codes = indexed(storage)
    assert recall(index, codes, clustered(60, seed=7)) >= least
    assert codes.nbytes <= most_bytes * len(codes) < 4 * DIM * len(codes) / 2


def test_int8_scores_are_cosines_to_a_hundredth() -> None:
    index, codes = indexed(Int8())
    queries = clustered(5, seed=3)
    assert np.abs(index.scores(queries) - codes.scores(queries)).max() < 0.01
    assert np.abs(codes.vectors() - index.vectors()).max() <= np.abs(index.vectors()).max() / 127


def test_bits_and_hamming_distance_are_those_computed_by_hand() -> None:
    codes = QuantisedIndex(3, Binary(rescore=None))
    codes.add(["a", "b", "zero"], [[1.0, -1.0, 2.0], [-1.0, -1.0, -1.0], [0.0, 0.0, 0.0]])
    assert codes._codes["bits"].tolist() == [[0b101], [0], [0]]
    # By the query's own numbers on the signs: (1·0.6 + 1·0 + 1·0.8) / √3 and its negative.
    ids, scores = codes.search([[0.6, 0.0, 0.8]], 3)
    assert ids == [["a", "zero", "b"]]
    assert np.allclose(scores, [[1.4 / 3**0.5, 0, -1.4 / 3**0.5]], atol=1e-6)


def test_product_scores_are_those_of_the_centroids() -> None:
    _, codes = indexed(Product(part=5))
    queries = clustered(4, seed=5)
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    assert np.allclose(codes.scores(queries), unit @ codes.vectors().T, atol=1e-5)


@each_storage
def test_an_answer_does_not_depend_on_the_queries_beside_it_and_equals_stand_in_order(storage: Storage) -> None:
    vectors = clustered(300)
    vectors[200] = vectors[100]
    codes = QuantisedIndex(DIM, storage)
    codes.learn(vectors)
    codes.add([f"d{i}" for i in range(300)], vectors)
    queries = vectors[[100, 5, 7]]
    together, scores = codes.search(queries, 12)
    for at, query in enumerate(queries):
        alone, score = codes.search(query[None], 12)
        assert alone[0] == together[at]
        assert np.array_equal(score[0], scores[at])
        assert (np.diff(score[0]) <= 0).all()
    # Equal vectors have equal codes, and stand in the order in which they came.
    assert together[0].index("d200") == together[0].index("d100") + 1


@each_storage
def test_adding_replacing_and_deleting_equal_an_index_made_at_once(storage: Storage) -> None:
    vectors, new = clustered(120), clustered(120, seed=4)
    at_once, grown = QuantisedIndex(DIM, storage), QuantisedIndex(DIM, storage)
    for one in (at_once, grown):
        one.learn(vectors)
    for at in range(0, 120, 7):
        grown.add([f"d{i}" for i in range(at, min(at + 7, 120))], vectors[at : at + 7])
    grown.add(["d3", "new", "d5"], new[:3], replace=True)
    grown.delete(["d10", "d119"])
    kept = [f"d{i}" for i in range(120) if i not in (10, 119)] + ["new"]
    rows = vectors.copy()
    rows[3], rows[5] = new[0], new[2]
    at_once.add(kept, np.concatenate([rows[[i for i in range(120) if i not in (10, 119)]], new[1:2]]))
    assert grown.ids == at_once.ids == kept
    assert "d10" not in grown
    assert np.array_equal(grown.vectors(), at_once.vectors())
    assert np.array_equal(grown.vectors(["new", "d3"]), at_once.vectors(["new", "d3"]))
    assert grown.search(new, 5)[0] == at_once.search(new, 5)[0]


@each_storage
@pytest.mark.parametrize("mmap", [True, False])
def test_what_is_saved_is_loaded_and_can_go_on_growing(storage: Storage, mmap: bool, tmp_path: Path) -> None:
    _, codes = indexed(storage, 300)
    codes.save(tmp_path / "index")
    again = QuantisedIndex.load(tmp_path / "index", mmap=mmap)
    queries = clustered(3, seed=8)
    assert again.storage == storage
    assert again.search(queries, 7)[0] == codes.search(queries, 7)[0]
    again.add(["more"], queries[:1])
    assert "more" in again.search(queries[:1], 3)[0][0]
    again.save(tmp_path / "index")
    assert len(QuantisedIndex.load(tmp_path / "index")) == 301


@each_storage
def test_one_changed_byte_is_found(storage: Storage, tmp_path: Path) -> None:
    _, codes = indexed(storage, 20)
    codes.save(tmp_path)
    for name in ("codes.safetensors", "ids.jsonl", "index.json"):
        data = bytearray((tmp_path / name).read_bytes())
        data[-3] ^= 1
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError):
            QuantisedIndex.load(tmp_path)
        data[-3] ^= 1
        (tmp_path / name).write_bytes(data)
    QuantisedIndex.load(tmp_path)


@each_storage
def test_damage_that_the_checksums_vouch_for_is_refused_too(storage: Storage, tmp_path: Path) -> None:
    _, codes = indexed(storage, 20)
    codes.save(tmp_path)
    header = json.loads((tmp_path / "index.json").read_text())
    for change in ({"count": 21}, {"dim": 70}, {"dim": -1}, {"count": "x"}, {"storage": {"kind": "Half"}}, {"more": 1}):
        (tmp_path / "index.json").write_text(json.dumps({**header, **change}))
        write_checksums(tmp_path)
        with pytest.raises(InputError):
            QuantisedIndex.load(tmp_path)


def test_codes_that_hold_no_document_are_refused_where_there_are_documents(tmp_path: Path) -> None:
    indexed(Product(), 20)[1].save(tmp_path)
    QuantisedIndex(DIM, Product()).save(tmp_path / "none")
    (tmp_path / "none" / "codes.safetensors").rename(tmp_path / "codes.safetensors")
    write_checksums(tmp_path)
    with pytest.raises(InputError, match="must hold '[a-z]+' as "):
        QuantisedIndex.load(tmp_path)


@each_storage
def test_an_empty_index_can_be_saved_and_searched(storage: Storage, tmp_path: Path) -> None:
    codes = QuantisedIndex(DIM, storage)
    codes.save(tmp_path)
    again = QuantisedIndex.load(tmp_path)
    assert again.search(clustered(2), 3)[0] == [[], []]
    assert again.scores(clustered(2)).shape == (2, 0)


@each_storage
def test_a_zero_vector_scores_zero_and_a_zero_query_takes_the_first(storage: Storage) -> None:
    vectors = clustered(30)
    vectors[4] = 0
    codes = QuantisedIndex(DIM, storage)
    codes.learn(vectors)
    codes.add([f"d{i}" for i in range(30)], vectors)
    assert not codes.scores(clustered(3, seed=2))[:, 4].any()
    ids, scores = codes.search(np.zeros((1, DIM)), 3)
    assert ids == [["d0", "d1", "d2"]]
    assert not scores.any()


def test_either_kind_of_index_is_opened_by_what_its_header_says(tmp_path: Path) -> None:
    index, codes = indexed(Int8(), 20)
    index.save(tmp_path / "floats")
    codes.save(tmp_path / "codes")
    assert isinstance(open_index(tmp_path / "floats"), Index)
    assert isinstance(open_index(tmp_path / "codes"), QuantisedIndex)
    codes.save(tmp_path / "floats")  # one takes the other's place
    assert isinstance(open_index(tmp_path / "floats"), QuantisedIndex)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Binary(candidates=0), "candidates=0"),
        (lambda: Product(part=0), "part=0"),
        (lambda: QuantisedIndex(4, Product(part=5)), "part=5 must be at most 4"),
        (lambda: QuantisedIndex(0), "dim=0"),
        (lambda: QuantisedIndex(4, Product(part=2)).add(["a"], np.ones((1, 4))), "learn"),
        (lambda: QuantisedIndex(4, Product(part=2)).learn(np.ones((0, 4))), "no vector"),
        (lambda: QuantisedIndex(4).add(["a", "a"], np.ones((2, 4))), "twice"),
        (lambda: QuantisedIndex(4).add(["a"], np.ones((2, 4))), "one vector for each"),
        (lambda: QuantisedIndex(4).add(["a"], [[1, 2, 3, np.nan]]), "NaN"),
        (lambda: QuantisedIndex(4).delete(["a"]), "'a' is not among"),
        (lambda: QuantisedIndex(4).search(np.ones((1, 3)), 1), "(n, 4)"),
        (lambda: QuantisedIndex(4).search(np.ones((1, 4)), 0), "k=0"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(wrong: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        wrong()  # type: ignore[operator]
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_centroids_are_not_changed_under_documents_that_have_them() -> None:
    _, codes = indexed(Product(), 20)
    with pytest.raises(InputError, match="learn before adding"):
        codes.learn(clustered(10))
