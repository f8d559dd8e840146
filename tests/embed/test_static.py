"""StaticEmbedder: sentence-transformers' vectors both ways, a text's vector its own, and folders that cannot lie."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from inlay.embed.embedder import load
from inlay.embed.static import StaticEmbedder, unit
from inlay.errors import InputError
from inlay.files import write_checksums
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors import formats
from inlay.vectors.wordvectors import WordVectors

# N texts, V tokens, D dimensions

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "dog",
    "ran",
    "fast",
    "café",
    "3d",
    "嵌入",
    "模型",
    "詞",
    "向量",
    "学习",
]
TEXTS = [
    "The cat sat on a mat.",
    "",
    "zzz qqq ☃",
    "嵌入模型學習詞向量。",
    "我们学习 the 模型, fast!",
    "the " * 3000 + "dog",
    "Café   CAT\n\ncat",
    " \t\n",
    "catmat dogs",
    "\u202ethe\u0000cat",
]


def embedder(dim: int = 16, seed: int = 0, *, normalize: bool = True) -> StaticEmbedder:
    tokenizer = Tokenizer.from_vocabulary(WORDS)
    table = np.random.default_rng(seed).standard_normal((tokenizer.size, dim), np.float32)
    table[: tokenizer.id("the") + 1] = 0  # specials and one stop word
    return StaticEmbedder(tokenizer, table, normalize=normalize)


@pytest.fixture(scope="module")
def model() -> StaticEmbedder:
    return embedder()


@pytest.fixture
def folder(tmp_path: Path, model: StaticEmbedder) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def oracle() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sentence_transformers")


# --- sentence-transformers


@pytest.mark.parametrize("normalize", [True, False])
def test_sentence_transformers_reads_our_folder_and_gives_equal_vectors(
    normalize: bool, tmp_path: Path, oracle: Any
) -> None:
    ours = embedder(normalize=normalize)
    ours.save(tmp_path)
    theirs = oracle.SentenceTransformer(str(tmp_path), device="cpu")
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-6)
    assert theirs.similarity_fn_name == "cosine"


@pytest.mark.parametrize("normalize", [True, False])
def test_we_read_what_sentence_transformers_writes_and_give_equal_vectors(
    normalize: bool, tmp_path: Path, oracle: Any
) -> None:
    from sentence_transformers.models import Normalize, StaticEmbedding

    source = embedder(seed=1)
    static = StaticEmbedding(source.tokenizer._engine, embedding_weights=source.table)
    theirs = oracle.SentenceTransformer(modules=[static, Normalize()] if normalize else [static], device="cpu")
    theirs.save_pretrained(str(tmp_path))
    ours = load(tmp_path)
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-6)


def test_the_layout_with_a_folder_for_the_embedding_is_read_too(folder: Path, model: StaticEmbedder) -> None:
    (folder / "0_StaticEmbedding").mkdir()
    for name in ("tokenizer.json", "model.safetensors"):
        shutil.move(folder / name, folder / "0_StaticEmbedding" / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_StaticEmbedding"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert np.array_equal(StaticEmbedder.load(folder).encode(TEXTS), model.encode(TEXTS))


# --- encoding


def test_a_vector_is_the_unit_mean_of_the_rows_of_its_tokens(model: StaticEmbedder) -> None:
    for text, vector in zip(TEXTS, model.encode(TEXTS), strict=True):
        ids = model.tokenizer.encode([text]).ids
        mean = model.table[ids].astype(np.float64).sum(axis=0) / max(len(ids), 1)
        length = np.linalg.norm(mean)
        np.testing.assert_allclose(vector, mean / length if length else mean, atol=1e-6)


@given(
    st.lists(st.lists(st.sampled_from([*WORDS, "?", "zzz"]), max_size=12).map(" ".join), max_size=12),
    st.integers(1, 13),
    st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_batch_and_neighbours_change_no_bit_and_the_order_is_kept(texts: list[str], size: int, random: Any) -> None:
    model = embedder(33)
    given_texts = list(texts)
    alone = [model.encode([text])[0] for text in texts]
    together = model.encode(texts, batch_size=size)
    assert texts == given_texts
    assert together.shape == (len(texts), 33)
    assert together.dtype == np.float32
    order = list(range(len(texts)))
    random.shuffle(order)
    mixed = model.encode([texts[at] for at in order])
    for at, place in enumerate(order):
        assert mixed[at].tobytes() == alone[place].tobytes() == together[place].tobytes()


def test_a_text_without_a_known_word_has_the_vector_zero(model: StaticEmbedder) -> None:
    vectors = model.encode(["", "zzz", "the the", "cat"])
    assert not vectors[:3].any()
    assert np.linalg.norm(vectors[3]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 1024])
def test_the_report_counts_every_token(model: StaticEmbedder, batch_size: int) -> None:
    texts = ["the cat", "zzz dog", "", "the", "a mat"]
    vectors, report = model.encode(texts, batch_size=batch_size, report=True)
    assert np.array_equal(vectors, model.encode(texts))
    assert (report.texts, report.tokens, report.dropped, report.unknown, report.empty) == (5, 7, 0, 3, 2)
    assert report.line().startswith("5 texts, 7 tokens, 0 dropped, 3 unknown, 2 texts without")


@pytest.mark.parametrize("dim", [1, 5, 15, 16])
def test_fewer_dimensions_are_the_first_ones_brought_to_length_one(model: StaticEmbedder, dim: int) -> None:
    short = model.encode(TEXTS, dim=dim)
    np.testing.assert_allclose(short, unit(model.encode(TEXTS)[:, :dim]), atol=2e-6)
    plain = embedder(normalize=False)
    np.testing.assert_allclose(plain.encode(TEXTS, dim=dim), plain.encode(TEXTS)[:, :dim], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("one text",), "where a list of texts is wanted"),
        ((["a"], {"dim": 17}), "dim=17 must lie between 1 and 16"),
        ((["a"], {"dim": 0}), "dim=0 must lie between"),
        ((["a"], {"batch_size": 0}), "batch_size=0 must be at least 1"),
        ((["a", "b", 3],), "text 2 is 3; every text must be a str"),
        (([b"a"],), "text 0 is b'a'"),
        (([None],), "text 0 is None"),
    ],
)
def test_what_cannot_be_encoded_is_an_input_error(model: StaticEmbedder, arguments: Any, message: str) -> None:
    texts, *options = arguments
    with pytest.raises(InputError, match=message):
        model.encode(texts, **(options[0] if options else {}))


def test_no_texts_give_no_vectors(model: StaticEmbedder) -> None:
    assert model.encode([]).shape == (0, 16)
    assert model.encode([], report=True)[1].texts == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_table_that_is_not_finite_is_refused(value: float, folder: Path, model: StaticEmbedder) -> None:
    table = model.table.copy()
    table[5, 3] = value
    with pytest.raises(InputError, match="row 5 of the token table is not finite"):
        StaticEmbedder(model.tokenizer, table)
    save_file({"embedding.weight": table}, folder / "model.safetensors")
    with pytest.raises(InputError, match="row 5"):
        load(folder)


def test_a_table_that_does_not_fit_the_tokenizer_is_refused(model: StaticEmbedder) -> None:
    for table in (model.table[:-1], model.table.astype(np.float64), model.table.ravel()):
        with pytest.raises(InputError, match="needs a float32 table of as many rows"):
            StaticEmbedder(model.tokenizer, table)


# --- folders


def test_a_saved_model_is_the_same_model_and_readable_by_all(folder: Path, model: StaticEmbedder) -> None:
    again = load(folder)
    assert np.array_equal(again.encode(TEXTS), model.encode(TEXTS))
    assert {file.stat().st_mode & 0o777 for file in folder.rglob("*") if file.is_file()} == {0o644}


def test_half_precision_weights_are_read(folder: Path, model: StaticEmbedder) -> None:
    save_file({"embedding.weight": model.table.astype(np.float16)}, folder / "model.safetensors")
    np.testing.assert_allclose(load(folder).encode(TEXTS), model.encode(TEXTS), atol=2e-3)


def test_one_flipped_bit_in_any_file_is_found(folder: Path) -> None:
    write_checksums(folder)
    load(folder)
    rng = np.random.default_rng(0)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    assert len(files) == 9
    for file in files:
        whole = file.read_bytes()
        for _ in range(8):
            at, bit = int(rng.integers(len(whole))), int(rng.integers(8))
            changed = bytearray(whole)
            changed[at] ^= 1 << bit
            file.write_bytes(changed)
            with pytest.raises(InputError, match=folder.name):
                load(folder)
        file.unlink()
        if file.name != "checksums.json":
            with pytest.raises(InputError, match=r"missing|modules\.json"):
                load(folder)
        file.write_bytes(whole)
    load(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_never_opened(name: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/opened'\ntR.")
    with pytest.raises(InputError, match="a pickle can run code and is never opened"):
        load(folder)
    (folder / "modules.json").unlink()
    with pytest.raises(InputError, match="a pickle can run code and is never opened"):
        load(folder)


STATIC = "sentence_transformers.models.StaticEmbedding"


@pytest.mark.parametrize(
    "modules",
    [
        [{"type": "os.system", "path": ""}],
        [{"type": "evil.StaticEmbedding", "path": ""}],
        [{"type": "sentence_transformers.models.Transformer", "path": ""}],
        [{"type": STATIC, "path": ""}, {"type": "os.Normalize", "path": ""}],
        [{"type": STATIC, "path": ""}, {"type": STATIC, "path": ""}],
        [{"type": STATIC, "path": "../.."}],
        [{"type": STATIC, "path": "/etc"}],
        [{"type": STATIC, "path": "x\u0000y"}],
        [{"type": STATIC, "path": "y" * 5000}],
        [{"type": ["os"], "path": {}}],
        [{}],
        ["os.system"],
        {"type": STATIC},
        [],
        None,
    ],
    ids=lambda modules: json.dumps(modules)[:60],
)
def test_hostile_modules_are_refused_and_nothing_is_imported(
    modules: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "modules.json").write_text(json.dumps(modules))
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    with pytest.raises(InputError):
        StaticEmbedder.load(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\x08\x00\x00\x00\x00\x00\x00\x00{}", b"\xff" * 64])
def test_damaged_weights_are_an_input_error(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="safetensors"):
        load(folder)


def test_weights_of_another_kind_are_refused(folder: Path, model: StaticEmbedder) -> None:
    save_file({"bert.embeddings": model.table}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"holds no 'embedding\.weight'"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: missing"):
        load(folder)


def test_prompts_that_would_not_be_read_are_refused_and_fewer_dimensions_kept(
    folder: Path, model: StaticEmbedder
) -> None:
    file = folder / "config_sentence_transformers.json"
    tree = json.loads(file.read_text())
    file.write_text(json.dumps({**tree, "truncate_dim": 5}))
    assert np.array_equal(load(folder).encode(TEXTS), model.encode(TEXTS, dim=5))
    file.write_text(json.dumps({**tree, "prompts": {"query": "search: ", "document": ""}}))
    with pytest.raises(InputError, match="has the prompt 'query', which a static model does not read"):
        load(folder)


def test_weights_with_too_few_rows_are_refused(folder: Path) -> None:
    table = load_file(folder / "model.safetensors")["embedding.weight"]
    save_file({"embedding.weight": np.ascontiguousarray(table[:-1])}, folder / "model.safetensors")
    with pytest.raises(InputError, match="float32 table of as many rows"):
        load(folder)


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder or vector file"):
        load(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no model folder \(it has no modules\.json\)"):
        load(tmp_path)


# --- word vectors


@pytest.mark.parametrize("suffix", ["txt", "bin", "safetensors"])
def test_a_file_of_word_vectors_is_an_embedder(suffix: str, tmp_path: Path) -> None:
    words = ["cat", "dog", "嵌入", "模型", "ran", "c3"]
    matrix = np.random.default_rng(0).standard_normal((len(words), 7)).astype(np.float32)
    formats.save(WordVectors(words, matrix), tmp_path / f"vectors.{suffix}")
    opened = load(tmp_path / f"vectors.{suffix}")
    found = opened.encode(["Cat dog?", "嵌入模型", "unknown-of", "ran"])
    expected = unit(np.stack([matrix[0] + matrix[1], matrix[2] + matrix[3], 0 * matrix[0], matrix[4]]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_case_of_word_vectors_is_kept_where_they_have_one() -> None:
    vectors = WordVectors(["Apple", "apple"], np.eye(2, dtype=np.float32))
    np.testing.assert_array_equal(StaticEmbedder.from_vectors(vectors).encode(["Apple", "apple"]), np.eye(2))
