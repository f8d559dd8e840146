"""fastText's model files against fastText itself and gensim, and files that lie."""

import contextlib
import random
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors.fasttext_file import from_vectors, is_fasttext, read, to_vectors, write
from inlay.vectors.product import Quantized
from inlay.vectors.wordvectors import WordVectors

NAMES = ["skipgram.bin", "cbow.bin", "plain.bin", "grams.bin", "hierarchical.bin", "ova.bin", "small.ftz", "pruned.ftz"]
ANY_FILE = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that fastText wrote: each kind of model once."""
    fasttext = pytest.importorskip("fasttext")
    folder = tmp_path_factory.mktemp("fasttext")
    rng = random.Random(0)
    words = [f"w{number}" for number in range(400)] + ["猫", "狗咬"]
    lines = [
        (label, rng.choices(words[label * 100 : label * 100 + 130], k=8)) for label in rng.choices(range(4), k=600)
    ]
    labelled, plain = str(folder / "labelled.txt"), str(folder / "plain.txt")
    Path(labelled).write_text("".join(f"__label__c{label} {' '.join(words)}\n" for label, words in lines))
    Path(plain).write_text("".join(" ".join(words) + "\n" for _, words in lines))
    # With one thread fastText leaves nine tenths of its first table as it finds the memory.
    common = {"dim": 10, "bucket": 1000, "thread": 10, "verbose": 0}
    grams = {**common, "wordNgrams": 2, "minn": 2, "maxn": 3, "epoch": 10}
    fasttext.train_unsupervised(plain, minCount=1, **common).save_model(str(folder / "skipgram.bin"))
    cbow = fasttext.train_unsupervised(plain, model="cbow", loss="hs", minCount=1, **common)
    cbow.save_model(str(folder / "cbow.bin"))
    fasttext.train_supervised(labelled, **common).save_model(str(folder / "plain.bin"))
    fasttext.train_supervised(labelled, **grams).save_model(str(folder / "grams.bin"))
    fasttext.train_supervised(labelled, loss="hs", **grams).save_model(str(folder / "hierarchical.bin"))
    model = fasttext.train_supervised(labelled, loss="ova", **grams)
    model.save_model(str(folder / "ova.bin"))
    model.quantize(qnorm=True, dsub=3)
    model.save_model(str(folder / "small.ftz"))
    model = fasttext.train_supervised(labelled, **grams)
    model.quantize(labelled, cutoff=700, retrain=True, thread=10)
    model.save_model(str(folder / "pruned.ftz"))
    return folder


@pytest.fixture(scope="module")
def grams() -> WordVectors:
    """Vectors of three words and ten buckets."""
    from inlay.vectors.subwords import Subwords

    inputs = np.random.default_rng(0).normal(size=(13, 4)).astype(np.float32)
    words = ["king", "猫", "</s>"]
    subwords = Subwords(min_n=1, max_n=3, buckets=10, inputs=inputs)
    return WordVectors(words, subwords.compose(words), counts=np.array([5, 3, 2]), subwords=subwords)


@ANY_FILE
def test_what_is_read_is_written_with_the_same_bytes(models: Path, name: str, tmp_path: Path) -> None:
    assert is_fasttext((models / name).read_bytes()[:64])
    write(read(models / name), tmp_path / name)
    assert (tmp_path / name).read_bytes() == (models / name).read_bytes()


@ANY_FILE
def test_word_vectors_are_those_of_fasttext(models: Path, name: str) -> None:
    import fasttext

    theirs = fasttext.load_model(str(models / name))
    ours = to_vectors(read(models / name))
    assert ours.words == theirs.words
    for word in ours.words:
        np.testing.assert_allclose(ours[word], theirs.get_word_vector(word), atol=1e-6)
    if ours.subwords is not None:
        for word in ("unseen", "猫狗", "w"):
            np.testing.assert_allclose(ours.subwords.vector(word), theirs.get_word_vector(word), atol=1e-6)


@pytest.mark.parametrize("name", ["grams.bin", "small.ftz", "pruned.ftz"])
def test_tables_are_those_of_fasttext(models: Path, name: str) -> None:
    import fasttext

    theirs, ours = fasttext.load_model(str(models / name)), read(models / name)
    inputs = ours.inputs.rows() if isinstance(ours.inputs, Quantized) else ours.inputs
    rows = np.array([theirs.get_input_vector(row) for row in range(len(inputs))])
    np.testing.assert_allclose(inputs, rows, atol=1e-6)


def test_gensim_and_fasttext_load_what_is_written_from_vectors(grams: WordVectors, tmp_path: Path) -> None:
    import fasttext
    from gensim.models.fasttext import load_facebook_model, load_facebook_vectors

    write(from_vectors(grams), path := tmp_path / "vectors.bin")
    theirs, classic = fasttext.load_model(str(path)), load_facebook_vectors(str(path))
    assert theirs.words == classic.index_to_key == grams.words
    assert grams.subwords is not None
    for word in grams.words:
        np.testing.assert_allclose(theirs.get_word_vector(word), grams[word], atol=1e-6)
        if word != "</s>":  # to gensim it is a word with n-grams, to fastText it is not
            np.testing.assert_allclose(classic[word], grams[word], atol=1e-6)
    for word in ("queen", "猫猫"):
        np.testing.assert_allclose(theirs.get_word_vector(word), grams.subwords.vector(word), atol=1e-6)
        np.testing.assert_allclose(classic[word], grams.subwords.vector(word), atol=1e-6)
    assert load_facebook_model(str(path)).wv.index_to_key == grams.words


def test_vectors_survive_a_file(grams: WordVectors, tmp_path: Path) -> None:
    write(from_vectors(grams), path := tmp_path / "vectors.bin")
    back = to_vectors(read(path))
    assert back.words == grams.words
    assert back.counts is not None
    assert back.counts.tolist() == [5, 3, 2]
    np.testing.assert_array_equal(back.matrix, grams.matrix)


def test_a_word_that_is_no_utf8_survives(tmp_path: Path) -> None:
    words = [b"caf\xe9".decode("utf-8", "surrogateescape"), "b"]
    write(from_vectors(WordVectors(words, np.eye(2, dtype=np.float32))), path := tmp_path / "vectors.bin")
    assert b"caf\xe9\0" in path.read_bytes()
    assert read(path).words == words


def test_zeros_take_no_room(tmp_path: Path) -> None:
    matrix = np.zeros((1 << 18, 10), np.float32)
    matrix[0] = 1
    vectors = WordVectors([str(number) for number in range(len(matrix))], matrix)
    write(from_vectors(vectors), path := tmp_path / "vectors.bin")
    assert path.stat().st_size > 20e6
    assert path.stat().st_blocks * 512 < 8e6
    assert to_vectors(read(path)).matrix[:2].tolist() == [[1] * 10, [0] * 10]


def test_nothing_is_overwritten_unasked(grams: WordVectors, tmp_path: Path) -> None:
    (path := tmp_path / "vectors.bin").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        write(from_vectors(grams), path)
    write(from_vectors(grams), path, force=True)


@pytest.mark.parametrize(
    ("words", "value", "rule"),
    [
        (["a\0b", "c"], 1, "NUL"),
        (["", "c"], 1, "empty"),
        (["\ud800", "c"], 1, "half"),
        (["a", "c"], np.nan, "row 1: NaN"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(words: list[str], value: float, rule: str, tmp_path: Path) -> None:
    matrix = np.full((2, 3), 1, np.float32)
    matrix[1, 1] = value
    with pytest.raises(InputError, match=rule):
        write(from_vectors(WordVectors(words, matrix)), tmp_path / "vectors.bin")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("counts", [[3, -1], [2**62, 2**62]])
def test_counts_that_cannot_be_read_again_are_refused(counts: list[int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a count or the sum of all is negative, or above 9223372036854775807"):
        write(from_vectors(WordVectors(["a", "b"], np.eye(2, dtype=np.float32), np.array(counts))), tmp_path / "x.bin")
    assert not list(tmp_path.iterdir())


def _changed(data: bytes, at: int, form: str, *values: float) -> bytes:
    return data[:at] + struct.pack(form, *values) + data[at + struct.calcsize(form) :]


SIZES, WORDS = 64, 92
"""Where the sizes of the dictionary stand in a file, and where its first word does."""


@pytest.mark.parametrize(
    ("at", "form", "values", "rule"),
    [
        (0, "<i", [7], "mark"),
        (4, "<i", [13], "version 13"),
        (8, "<i", [0], "dim=0"),
        (32, "<i", [9], "9 is not a valid Loss"),
        (36, "<i", [0], "0 is not a valid Model"),
        (40, "<i", [-1], "buckets=-1"),
        (48, "<i", [2_000_000_000], "max_n=2000000000"),
        (56, "<d", [float("nan")], "sample=nan"),
        (SIZES, "<3i", [2_000_000_000, 2_000_000_000, 0], "cannot stand in"),
        (SIZES, "<3i", [-3, -3, 0], "-3 words"),
        (SIZES, "<3i", [3, 2, 0], "3 entries, 2 words"),
        (SIZES + 12, "<q", [-1], "-1 tokens"),
        (SIZES + 20, "<q", [1 << 40], "cannot stand in"),
        (WORDS, "<5s", [b"</s>\0"], "stands there already"),
        (WORDS, "<b", [0], "entry 1 .* is empty"),
        (WORDS + 5, "<q", [-4], "'king': a negative count"),
        (WORDS + 13, "<b", [1], "'king': not the kind"),
        (WORDS + 42, "<q", [-1], r"the input matrix cannot have the shape \(-1, 4\)"),
        (WORDS + 42, "<q", [1 << 60], "the input matrix: 18446744073709551616 bytes, but"),
    ],
)
def test_a_lie_is_named(grams: WordVectors, tmp_path: Path, at: int, form: str, values: list[float], rule: str) -> None:
    write(from_vectors(grams), path := tmp_path / "vectors.bin")
    path.write_bytes(_changed(path.read_bytes(), at, form, *values))
    with pytest.raises(InputError, match=rule) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["skipgram.bin", "small.ftz", "pruned.ftz"])
def test_a_file_that_is_cut_anywhere_is_refused(models: Path, name: str, tmp_path: Path) -> None:
    data = (models / name).read_bytes()
    for size in [*range(0, 120), *np.random.default_rng(0).integers(120, len(data), 60).tolist(), len(data) - 1]:
        (tmp_path / name).write_bytes(data[:size])
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    (tmp_path / name).write_bytes(data + b"more")
    with pytest.raises(InputError, match="4 bytes after the output matrix"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["grams.bin", "small.ftz", "pruned.ftz"])
def test_no_changed_byte_does_more_than_an_error(models: Path, name: str, tmp_path: Path) -> None:
    data, rng = (models / name).read_bytes(), np.random.default_rng(1)
    for at in [*range(0, 100), *rng.integers(100, len(data), 300).tolist()]:
        changed = bytearray(data)
        changed[at] ^= int(rng.integers(1, 256))
        (tmp_path / name).write_bytes(changed)
        with contextlib.suppress(InputError):
            to_vectors(read(tmp_path / name))


def test_version_11_had_no_ngrams_of_characters_in_classifiers(models: Path, tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(_changed((models / "grams.bin").read_bytes(), 4, "<i", 11))
    assert read(models / "grams.bin").args.max_n == 3
    assert read(tmp_path / "old.bin").args.max_n == 0


def test_the_segmenter_is_kept_where_fasttext_does_not_look(models: Path, tmp_path: Path) -> None:
    import fasttext

    model = read(models / "plain.bin")
    noted = replace(model, segmenter="zh")
    write(noted, path := tmp_path / "noted.bin")
    assert read(path).segmenter == "zh"
    assert fasttext.load_model(str(path)).words == model.words
    assert path.read_bytes().startswith((models / "plain.bin").read_bytes())
