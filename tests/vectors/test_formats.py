"""Files of vectors: both ways, with gensim on the other side, and every damaged file refused with its place."""

import json
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.vectors import byte_kernels
from inlay.vectors.formats import load, save
from inlay.vectors.subwords import Subwords
from inlay.vectors.unseen import NGrams
from inlay.vectors.wordvectors import WordVectors

SUFFIXES = [".txt", ".vec", ".bin", ".safetensors"]


def some(n=50, dim=7, seed=0):
    rng = np.random.default_rng(seed)
    matrix = (rng.standard_normal((n, dim)) * 10.0 ** rng.integers(-30, 30, (n, dim))).astype(np.float32)
    matrix[0, 0], matrix[1, 1] = 0, np.float32(1e-42)  # zero, and a number below the usual range of floats
    words = [f"wört{number}" for number in range(n - 2)] + ["嵌入", "naïve"]
    return WordVectors(words, matrix, np.arange(n)[::-1].copy(), matrix[::-1].copy())


def test_the_number_reader_rounds_as_it_is_written():
    for kernel in (byte_kernels.read_rows, byte_kernels._number):
        assert not kernel.targetoptions["fastmath"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_saved_is_loaded_bit_for_bit(suffix, tmp_path):
    vectors, file = some(), tmp_path / f"vectors{suffix}"
    vectors.save(file)
    loaded = WordVectors.load(file)
    assert loaded.words == vectors.words
    np.testing.assert_array_equal(loaded.matrix, vectors.matrix)
    if suffix == ".safetensors":
        np.testing.assert_array_equal(loaded.counts, vectors.counts)
        np.testing.assert_array_equal(loaded.context, vectors.context)
        assert not loaded.matrix.flags.owndata
        assert not loaded.matrix.flags.writeable


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("suffix", [".bin", ".txt", ".w2v", ""])
def test_gensim_and_inlay_read_each_other(binary, suffix, tmp_path):
    gensim = pytest.importorskip("gensim.models")
    if binary and suffix == ".txt":
        pytest.skip("the suffix says text")
    vectors = some()
    theirs = gensim.KeyedVectors(vectors.dim)
    theirs.add_vectors(vectors.words, vectors.matrix)
    theirs.save_word2vec_format(str(tmp_path / f"theirs{suffix}"), binary=binary)
    ours = load(tmp_path / f"theirs{suffix}")
    assert ours.words == vectors.words
    np.testing.assert_array_equal(ours.matrix, vectors.matrix)
    save(vectors, tmp_path / f"ours.{'bin' if binary else 'txt'}")
    read = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / f"ours.{'bin' if binary else 'txt'}"), binary=binary)
    assert read.index_to_key == vectors.words
    np.testing.assert_array_equal(read.vectors, vectors.matrix)


NUMBERS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e30, 1e30).map(lambda x: f"{x:.25f}"),
    st.from_regex(r"[+-]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-3]?[0-9])?", fullmatch=True),
)


@given(st.lists(NUMBERS, min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_every_number_is_read_as_python_reads_it(tmp_path_factory, numbers):
    file = tmp_path_factory.mktemp("numbers") / "vectors.txt"
    file.write_text(f"1 {len(numbers)}\nword {' '.join(numbers)}\n")
    with np.errstate(over="ignore"):
        expected = np.array([float(number) for number in numbers]).astype(np.float32)
        if np.isfinite(expected).all():
            np.testing.assert_array_equal(load(file).matrix[0], expected)
        else:
            with pytest.raises(InputError, match="NaN or infinity"):
                load(file)


def test_lines_may_end_in_spaces_carriage_returns_or_the_end_of_the_file(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_bytes(b"2 2\r\none 1 2 \r\ntwo\t3  4")
    assert load(file).matrix.tolist() == [[1, 2], [3, 4]]


FLOATS = struct.pack("<2f", 1, 2)
DAMAGED = {
    "a promise of more words than bytes": ("x.txt", b"3000000000 300\na 1\n", "line 1: promises 3000000000 words"),
    "the same in binary": ("x.bin", b"3000000000 300\na " + FLOATS, "line 1: promises 3000000000 words"),
    "negative counts": ("x.txt", b"-5 -300\na 1\n", "line 1: -5 words of -300 dimensions"),
    "two signs": ("x.txt", b"--5 3\na 1 2 3\n", "line 2: more than 1 numbers"),
    "another white space": ("x.txt", b"1 2\na 1 \x0b 3\n", r"line 2: b'\\x0b' is not a number"),
    "no dimensions": ("x.txt", b"5 0\na\n", "line 1: 5 words of 0 dimensions"),
    "a number too long for any file": ("x.txt", b"9" * 30 + b" 9\n", "line 1: promises 9999"),
    "no header": ("x.txt", b"word letters\n", "line 1: .* is not `words dimensions`, nor a word and its numbers"),
    "an empty file": ("x.txt", b"", "line 1: b'' is not"),
    "a cut text": ("x.txt", b"2 2\naaaaaaaaaa 1 2\nb 3", "line 3: the file ends here.*promises 2 words"),
    "a cut binary": ("x.bin", b"2 2\nword " + FLOATS + b"\nlonger " + FLOATS[:5], "entry 2: the file ends here"),
    "a short row": ("x.txt", b"2 2\naaaa 1\nb 3 4\n", "line 2: 1 numbers where 2 must stand"),
    "a long row": ("x.txt", b"2 2\na 1 2 3\nb 3 4\n", "line 2: more than 2 numbers"),
    "NaN in text": ("x.txt", b"2 2\na 1 2\nb nan 4\n", "line 3: NaN or infinity"),
    "infinity in text": ("x.txt", b"2 2\na 1 2\nb 1 -inf\n", "line 3: NaN or infinity"),
    "NaN in binary": ("x.bin", b"1 2\nab " + struct.pack("<2f", 1, float("nan")), "entry 1: NaN or infinity"),
    "a field that is no number": ("x.txt", b"2 2\na 1 2\nb 1 2..5\n", r"line 3: b'2\.\.5' is not a number"),
    "a word twice": ("x.txt", b"3 1\na 1\nb 2\na 3\n", "line 4: the word 'a' stands already in line 2"),
    "a word twice in binary": ("x.bin", b"2 2\na " + FLOATS + b"\na " + FLOATS, "entry 2: the word 'a' stands already"),
    "bad UTF-8": ("x.txt", b"2 1\na 1\n\xb0\xa1 2\n", "line 3: .*not UTF-8"),
    "bad UTF-8 in binary": ("x.bin", b"1 2\n\xb0\xa1 " + FLOATS, "entry 1: .*not UTF-8"),
    "an empty word": ("x.txt", b"2 1\n 1\nb 2\n", "line 2: no word before the numbers"),
    "more lines than promised": ("x.txt", b"1 1\na 1\nb 2\n", "line 3: more lines than the 1"),
    "more bytes than promised": ("x.bin", b"1 2\na " + FLOATS + b"xyz", "3 bytes after the 1 entries"),
    "a pickle": ("x.txt", pickle.dumps({"a": [1.0]}), "refused; write the vectors with gensim's save_word2vec_format"),
    "a file of torch": ("x.bin", b"PK\x03\x04data.pkl", "can run code when read, so it is refused"),
    "an empty archive": ("x.bin", b"PK\x05\x06" + bytes(18), "can run code when read, so it is refused"),
    "a compressed file that is cut": ("x.txt", b"\x1f\x8b\x08\x00", "truncated, its compressed data ends early"),
    "a header of 2**40 bytes": ("x.safetensors", struct.pack("<Q", 1 << 40) + b"{}", "not a sound safetensors"),
    "a header that is no JSON": ("x.safetensors", struct.pack("<Q", 4) + b"abcd", "not a sound safetensors"),
    "a tensor beyond the end": (
        "x.safetensors",
        (lambda head: struct.pack("<Q", len(head)) + head)(
            json.dumps({"matrix": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 324]}}).encode()
        ),
        "not a sound safetensors",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_with_its_place(name, tmp_path):
    file, content, message = DAMAGED[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path / file)
    assert str(tmp_path / file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".kv", ".model", ".pt", ".pth", ".pkl", ".npy", ".npz"])
def test_formats_that_may_hold_pickles_are_refused_by_name_too(suffix, tmp_path):
    file = tmp_path / f"vectors{suffix}"
    file.write_bytes(b"anything")
    with pytest.raises(InputError, match="refused; write the vectors with gensim's save_word2vec_format"):
        load(file)


def test_a_word_that_begins_as_an_archive_does_is_a_word(tmp_path):
    (tmp_path / "x.txt").write_text("PKK 1 2\nb 3 4\n")
    assert load(tmp_path / "x.txt").words == ["PKK", "b"]


def test_a_hostile_pickle_runs_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    for name in ("x.bin", "x.txt", "x.safetensors", "x.kv"):
        (tmp_path / name).write_bytes(pickle.dumps(Hostile()))
        with pytest.raises(InputError):
            load(tmp_path / name)
    assert not (tmp_path / "owned").exists()


TENSORS = {
    "matrix": np.ones((2, 3), np.float32),
    "words": np.frombuffer(b'["a", "b"]', np.uint8),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix": None}, "no tensor 'matrix'; it holds words"),
        ({"words": None}, "no tensor 'words'"),
        ({"words": np.frombuffer(b'["a", 7]', np.uint8)}, "'words' must be a JSON list of strings"),
        ({"words": np.frombuffer(b'["a", "\xb0"]', np.uint8)}, "'words' must be a JSON list of strings"),
        ({"words": np.frombuffer(b'["a"]', np.uint8)}, "'matrix' has 2 rows for 1 words"),
        ({"words": np.frombuffer(b'["a", "a"]', np.uint8)}, "the word 'a' stands twice"),
        ({"matrix": np.ones((2, 3))}, "'matrix' must be float32 .* with 2 dimensions, not F64 .2, 3."),
        (
            {"matrix": np.ones(2, np.float32)},
            "'matrix' must be float32 or float16 or int8 with 2 dimensions, not float32 .2,.",
        ),
        ({"matrix": np.array([[1, 2, 3], [4, np.nan, 6]], np.float32)}, "matrix of 'b': NaN or infinity"),
        ({"matrix": np.ones((2, 0), np.float32)}, "'matrix' has the shape \\(2, 0\\)"),
        ({"matrix": np.ones((0, 3), np.float32), "words": np.frombuffer(b"[]", np.uint8)}, "has the shape \\(0, 3\\)"),
        ({"counts": np.ones(3, np.int64)}, "'counts' has 3 rows for 2 words"),
        ({"context": np.ones((2, 4), np.float32)}, "context must be float32 of shape"),
    ],
    ids=str,
)
def test_safetensors_of_another_kind_are_refused(change, message, tmp_path):
    from safetensors.numpy import save_file

    tensors = {name: tensor for name, tensor in (TENSORS | change).items() if tensor is not None}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "x.safetensors")


def test_any_flipped_bit_in_the_tensors_is_noticed(tmp_path):
    file = tmp_path / "x.safetensors"
    some(8, 3).save(file)
    sound = file.read_bytes()
    begin = 8 + int.from_bytes(sound[:8], "little")
    for place in range(begin, len(sound), 7):
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        with pytest.raises(InputError, match="changed since they were written"):
            load(file)


def test_a_huge_promise_takes_no_memory(tmp_path):
    """Under a limit of 2 GB of address space above what is loaded, the refusal is still the usual line."""
    for name in ("x.txt", "x.bin"):
        (tmp_path / name).write_bytes(b"3000000000 300\nword " + bytes(1000))
    code = """
import resource, sys
from inlay.errors import InputError
from inlay.vectors.formats import load
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for file in sys.argv[1:]:
    try:
        load(file)
    except InputError as error:
        print(error)
"""
    files = [str(tmp_path / name) for name in ("x.txt", "x.bin")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    assert done.stdout.count("promises 3000000000 words of 300 dimensions") == 2, done.stderr


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_overwritten_unasked_and_nothing_bad_is_written(suffix, tmp_path):
    file = tmp_path / f"vectors{suffix}"
    some().save(file)
    before = file.read_bytes()
    with pytest.raises(InputError, match="exists"):
        some(seed=1).save(file)
    bad = some()
    bad.matrix[3, 2] = np.inf
    with pytest.raises(InputError, match="matrix of 'wört3': NaN or infinity"):
        bad.save(file, force=True)
    assert file.read_bytes() == before
    some(seed=1).save(file, force=True)
    assert file.read_bytes() != before
    assert os.listdir(tmp_path) == [file.name]


@pytest.mark.parametrize("word", ["new york", "", "tab\tbed", "a\u3000b"])
def test_a_word_that_word2vec_files_cannot_hold_goes_to_safetensors_alone(word, tmp_path):
    vectors = WordVectors([word], np.ones((1, 2), np.float32))
    for suffix in (".txt", ".bin"):
        with pytest.raises(InputError, match="only .safetensors can keep it"):
            vectors.save(tmp_path / f"x{suffix}")
    vectors.save(tmp_path / "x.safetensors")
    assert WordVectors.load(tmp_path / "x.safetensors").words == [word]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(0, 3), (1, 0)], ids=str)
def test_nothing_is_written_that_cannot_be_read(suffix, shape, tmp_path):
    with pytest.raises(InputError, match=r"x\..*dimensions\); a file holds a word and a number at least"):
        WordVectors(["a"][: shape[0]], np.ones(shape, np.float32)).save(tmp_path / f"x{suffix}")
    with pytest.raises(InputError, match="'a.udc80' holds .*, which UTF-8 cannot write; leave it out"):
        WordVectors(["a\udc80"], np.ones((1, 2), np.float32)).save(tmp_path / f"x{suffix}")
    sound = with_n_grams()
    inputs = sound.subwords.inputs.copy()
    inputs[7, 1] = np.nan
    subwords = replace(sound.subwords, inputs=inputs)
    with pytest.raises(InputError, match="row 7 of the n-grams: NaN or infinity"):
        WordVectors(sound.words, sound.matrix, subwords=subwords).save(tmp_path / f"x{suffix}")
    assert not os.listdir(tmp_path)


def test_an_unknown_suffix_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match="suffix must be one of .txt, .vec, .bin, .safetensors"):
        some().save(tmp_path / "x.npy")
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "x.txt")


def with_n_grams():
    rng = np.random.default_rng(0)
    words = ["eins", "zwei", "嵌入"]
    subwords = Subwords(min_n=2, max_n=4, buckets=50, inputs=rng.standard_normal((53, 8), dtype=np.float32))
    return WordVectors(words, subwords.compose(words), np.array([9, 5, 2]), np.zeros((3, 8), np.float32), subwords)


def test_bin_is_fasttexts_format_for_vectors_with_n_grams_and_word2vecs_when_asked(tmp_path):
    vectors = with_n_grams()
    vectors.save(tmp_path / "x.bin")
    loaded = load(tmp_path / "x.bin")
    assert loaded.words == vectors.words
    np.testing.assert_allclose(loaded.matrix, vectors.matrix, atol=1e-6)
    np.testing.assert_array_equal(loaded.subwords.inputs, vectors.subwords.inputs)
    np.testing.assert_array_equal(loaded.rows(["zweite"], NGrams()), vectors.rows(["zweite"], NGrams()))
    vectors.save(tmp_path / "y.bin", format="word2vec")
    plain = load(tmp_path / "y.bin")
    np.testing.assert_array_equal(plain.matrix, vectors.matrix)
    assert plain.subwords is None


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("x.bin", "glove", "format='glove' does not fit; its suffix is .txt"),
        ("x.txt", "safetensors", "its suffix is .safetensors"),
        ("x.txt", "pickle", "the formats are word2vec, glove, fasttext, safetensors"),
    ],
)
def test_a_format_that_the_suffix_cannot_have_is_refused(name, format, message, tmp_path):
    with pytest.raises(InputError, match=message):
        some().save(tmp_path / name, format=format)


def test_a_folder_of_gensims_and_an_archive_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(InputError, match="is a folder; name the file of vectors in it .gensim's own files are pickles"):
        load(tmp_path)
    (tmp_path / "glove.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="an archive; unpack it"):
        load(tmp_path / "glove.zip")


def test_gensim_finds_the_same_neighbours_in_what_is_written(tmp_path):
    gensim = pytest.importorskip("gensim.models")
    matrix = np.random.default_rng(0).standard_normal((300, 12), dtype=np.float32)
    vectors = WordVectors([f"wört{n}" for n in range(300)], matrix)
    for name in ("x.txt", "x.bin"):
        vectors.save(tmp_path / name)
        theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=name == "x.bin")
        for word in ("wört0", "wört77"):
            assert [w for w, _ in theirs.most_similar(word)] == [w for w, _ in vectors.most_similar(word)]
