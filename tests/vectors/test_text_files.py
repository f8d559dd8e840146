"""Text without a first line, words with spaces, compressed files: read whole, or refused at their place."""

import bz2
import gzip
import lzma
import subprocess
import sys

import numpy as np
import pyarrow
import pytest

from inlay.errors import InputError
from inlay.vectors import pieces, storage, text_file
from inlay.vectors.formats import load
from inlay.vectors.wordvectors import WordVectors


def zstd(data):
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstd}


def some(n=200, dim=9):
    words = [f"wört{number}" for number in range(n - 1)] + ["嵌入"]
    return WordVectors(words, np.random.default_rng(0).standard_normal((n, dim), dtype=np.float32))


def test_glove_text_goes_both_ways_and_gensim_reads_it(tmp_path):
    gensim = pytest.importorskip("gensim.models")
    vectors, file = some(), tmp_path / "glove.txt"
    vectors.save(file, format="glove")
    assert len(file.read_text(encoding="utf-8").splitlines()) == len(vectors)
    loaded = load(file)
    assert loaded.words == vectors.words
    np.testing.assert_array_equal(loaded.matrix, vectors.matrix)
    theirs = gensim.KeyedVectors.load_word2vec_format(str(file), no_header=True)
    np.testing.assert_array_equal(theirs.vectors, vectors.matrix)


@pytest.mark.parametrize("header", [b"", b"5 3\n"], ids=["glove", "word2vec"])
def test_a_word_may_hold_spaces_where_the_numbers_still_tell(header, tmp_path):
    lines = b"the 1 2 3\n. . . -4 5e0 6\nat name@domain.com 7 8 9\n5 1 2 3\n\xe2\x80\xa2 b\xc2\xa0c 0 0 1\n"
    (tmp_path / "x.txt").write_bytes(header + lines)
    vectors = load(tmp_path / "x.txt")
    assert vectors.words == ["the", ". . .", "at name@domain.com", "5", "• b\u00a0c"]
    assert vectors.matrix.tolist() == [[1, 2, 3], [-4, 5, 6], [7, 8, 9], [1, 2, 3], [0, 0, 1]]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n \n"])
def test_the_last_line_may_end_in_any_white_space(end, tmp_path):
    (tmp_path / "x.txt").write_bytes(b"a 1 2\nb 3 4" + end)
    assert load(tmp_path / "x.txt").matrix.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("piece", [100, 1 << 23])
@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("kind", ["glove.txt", "word2vec.txt", "word2vec.vec", "word2vec.bin"])
def test_compressed_files_are_read_piece_by_piece_as_the_plain_ones(kind, suffix, piece, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "_PIECE", piece)
    vectors, file = some(), tmp_path / kind
    vectors.save(file, format=kind.split(".")[0])
    packed = tmp_path / f"{kind}{suffix}"
    packed.write_bytes(PACKERS[suffix](file.read_bytes()))
    loaded = load(packed)
    assert loaded.words == vectors.words
    np.testing.assert_array_equal(loaded.matrix, vectors.matrix)
    assert load(packed.rename(tmp_path / "named-otherwise")).words == vectors.words


DAMAGED = {
    "a short row": (b"a 1 2\nb 3\nc 5 6\n", "line 2: 1 numbers where 2 must stand"),
    "a short row far below": (b"a 1 2\n" * 60 + b"b 3\nc 4 5\n", "line 61: 1 numbers where 2 must stand"),
    "a long row far below": (b"a 1 2\n" * 60 + b"b 3 4 5\n", "line 61: more than 2 numbers"),
    "a cut end": (b"a 1 2\n" * 60 + b"b 3", "line 61: the file ends here"),
    "a blank line": (b"a 1 2\n\nb 3 4\n", "line 2: 0 numbers where 2"),
    "NaN": (b"a 1 2\nb nan 4\n", "line 2: NaN or infinity"),
    "a word twice": (b"a 1 2\nb 3 4\na 5 6\n", "line 3: the word 'a' stands already in line 1"),
    "bad UTF-8": (b"a 1 2\n\xb0\xa1 3 4\n", "line 2: .*not UTF-8"),
    "a damaged number": (b"a 1 2\nb 3 4..5\n", r"line 2: b'4..5' is not a number"),
    "one long line": (b"a " + b"1 " * 60_000 + b"\n" + b"\n" * 60_000 + b"b 1\n", "line 2: 0 numbers where 60000"),
    "a number with a line in it": (b"a 1 2\nb 1_0 3\nc 4 5\n", "line 2: 1 numbers where 2 must stand"),
    "a cut after digits without end": (b"a 1 2\nb 0." + b"0" * 398 + b"12\n", "line 2: the file ends here"),
    "a word without end": (b"a 1 2\nb " + b"x" * 400 + b"7 8\n", "line 2: the file ends here"),
    "words alone": (b"one\ntwo\n", "line 1: b'one' is not `words dimensions`, nor a word and its numbers"),
    "nothing": (b"", "line 1: b'' is not"),
    "blank lines alone": (b"\n\n\n", "line 1: b'' is not"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "compressed"])
@pytest.mark.parametrize("name", DAMAGED)
def test_text_without_a_first_line_is_refused_at_its_place(name, pack, tmp_path):
    content, message = DAMAGED[name]
    (tmp_path / "x.txt").write_bytes(pack(content))
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path / "x.txt")
    assert "\n" not in str(error.value)


FLOATS = np.array([1, 2], np.float32).tobytes()
PACKED = {
    "a header that lies": (b"3000000000 300\na 1\n", "entry 1: the file ends here, but its header promises 3000000000"),
    "a header that lies about entries": (b"3000000000 2\na " + FLOATS, "entry 2: the file ends here"),
    "a header that lies about dimensions": (b"1 99999999999999999999\na 1\n", "line 1: 9+ dimensions; no line"),
    "one that lies somewhat less": (b"1 9000000\na 1\n", "entry 1: the file ends here"),
    "a cut text": (b"3 2\na 1 2\nb 3 4\n", "line 4: the file ends here, but its header promises 3"),
    "more lines": (b"1 2\na 1 2\nb 3 4\n", "line 3: more lines than the 1"),
    "more entries": (b"1 2\na " + FLOATS + b"b " + FLOATS, "10 bytes after the 1 entries"),
    "a fastText model": (b"\xba\x16\x4f\x2f" + bytes(20), "a compressed fastText model; unpack it first"),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_compressed_file_is_refused_at_its_place(name, tmp_path):
    content, message = PACKED[name]
    (tmp_path / "x").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=message):
        load(tmp_path / "x")


def test_a_cut_compressed_file_and_a_bomb_are_refused(tmp_path):
    packed = gzip.compress(b"".join(b"w%d 1 2\n" % number for number in range(1000)))
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="truncated, its compressed data ends early"):
        load(tmp_path / "cut.gz")
    (tmp_path / "bomb.xz").write_bytes(lzma.compress((b"w" * 10_000 + b" 1\n") * 7_000, preset=0))
    with pytest.raises(InputError, match="like a decompression bomb"):
        load(tmp_path / "bomb.xz")


def test_promises_of_compressed_and_of_headless_files_take_no_memory(tmp_path):
    """Under a limit of 4 GB of address space, the refusal is still the usual line."""
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"3000000000 300\nword " + bytes(1000)))
    (tmp_path / "x.txt").write_bytes(b"a" + b" 1" * 100_000 + b"\n" * 100_000 + b"b 1\n")  # 40 GB, were all rows full
    code = """
import resource, sys
from inlay.errors import InputError
from inlay.vectors.formats import load
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for file in sys.argv[1:]:
    try:
        print(load(file))
    except InputError as error:
        print(error)
"""
    files = [str(tmp_path / name) for name in ("x.gz", "x.txt")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    assert "entry 1: the file ends here" in done.stdout, done.stderr
    assert "line 2: 0 numbers where 100000" in done.stdout, done.stderr


def test_the_line_ends_of_a_file_of_any_size_are_found(monkeypatch):
    monkeypatch.setattr(text_file, "_LOOK", 7)
    data = np.frombuffer(b"a 1\nbb 2\nccc 3" + b" \n" * 40, np.uint8)
    assert text_file._end(data, last=True) == 14
    assert text_file._end(data, last=False) == 9
    assert text_file._lines(data, 0, 14) == 3
    assert text_file._lines(data, 4, 9) == 1


def test_a_packed_table_is_written_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_BLOCK", 7)
    vectors = some(20).packed("half")
    for name in ("x.txt", "x.bin"):
        vectors.save(tmp_path / name)
        np.testing.assert_array_equal(load(tmp_path / name).matrix, vectors.matrix)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "compressed"])
@pytest.mark.parametrize("name", ["word2vec.txt", "glove.txt", "word2vec.bin"])
def test_any_damage_ends_in_vectors_or_in_one_line(name, pack, tmp_path):
    file = tmp_path / name
    some(8, 3).save(file, format=name.split(".")[0])
    sound, refusals, rng = file.read_bytes(), [], np.random.default_rng(0)
    for place in range(0, len(sound), 4):
        cut, byte = int(rng.integers(0, 9)), bytes([int(rng.integers(0, 256))])
        for damaged in (sound[:place] + byte + sound[place + 1 :], sound[:place] + byte * cut + sound[place + cut :]):
            file.write_bytes(pack(damaged))
            try:
                assert np.isfinite(load(file).matrix).all()
            except InputError as error:
                refusals.append(str(error))
    assert len(refusals) > len(sound) / 16
    assert all(str(file) in line and "\n" not in line for line in refusals)
