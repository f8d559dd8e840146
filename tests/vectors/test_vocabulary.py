"""Counting and numbering words: both ways in give the same numbers, and what is wrong is said."""

import bz2
import codecs
import errno
import gzip
import io
import lzma
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.vectors import tokens, vocabulary
from inlay.vectors.vocabulary import Encoded, LineFiles, Vocabulary, read
from inlay.vectors.word2vec import Word2Vec, train

SMALL = Word2Vec(dim=8, epochs=1, min_count=1)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=6)
SENTENCES = st.lists(st.lists(WORDS, max_size=8), max_size=12)


def sentences_of(corpus):
    """The corpus as lists of words again."""
    sentences, sentence = [], []
    for token in corpus.tokens.tolist():
        if token < 0:
            sentences.append(sentence)
            sentence = []
        else:
            sentence.append(corpus.vocabulary.words[token])
    return sentences + [sentence] * bool(sentence)


@given(SENTENCES, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_lists_and_files_give_the_same_corpus_and_it_is_the_text_without_its_rare_words(sentences, min_count):
    counts = Counter(word for sentence in sentences for word in sentence)
    kept = {word: count for word, count in counts.items() if count >= min_count}
    text = "\n".join("  ".join(sentence) for sentence in sentences).encode()
    if not kept:
        for source in (sentences, LineFiles(io.BytesIO(text))):
            with pytest.raises(InputError, match="min_count"):
                read(source, min_count=min_count)
        return
    for source in (sentences, LineFiles(io.BytesIO(text))):
        corpus = read(source, min_count=min_count)
        assert corpus.vocabulary.words == sorted(kept, key=lambda word: (-kept[word], word))
        assert dict(zip(corpus.vocabulary.words, corpus.vocabulary.counts.tolist(), strict=True)) == kept
        expected = [[word for word in sentence if word in kept] for sentence in sentences]
        assert sentences_of(corpus) == [sentence for sentence in expected if sentence]


def test_blocks_and_growing_tables_change_nothing(tmp_path, monkeypatch):
    """A text of many words, read a few bytes at a time, is the text read at once."""
    rng = np.random.default_rng(0)
    lines = [" ".join(f"word{n}" for n in rng.integers(0, 300_000, 300)) for _ in range(1000)]
    file = tmp_path / "text.txt"
    file.write_text("\n".join(lines))
    whole = read([line.split() for line in lines], min_count=1)
    for size in (1 << 22, 1000):
        monkeypatch.setattr(vocabulary, "_BLOCK", size)
        with open(file, "rb") as opened:
            corpus = read(LineFiles(opened), min_count=1)
        assert corpus.vocabulary.words == whole.vocabulary.words
        np.testing.assert_array_equal(corpus.tokens, whole.tokens)


@pytest.mark.parametrize("limit", [0, 5000, 1 << 22])
@pytest.mark.parametrize("kind", ["lists", "files"])
def test_a_corpus_on_disk_is_the_corpus_in_memory(kind, limit, tmp_path, monkeypatch):
    lines = [" ".join(f"w{n}" for n in row) for row in np.random.default_rng(0).zipf(1.4, (4000, 9))]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    expected = read([line.split() for line in lines], min_count=2)
    monkeypatch.setattr(tokens, "IN_MEMORY", limit)
    monkeypatch.setattr(tokens, "_PIECE", 1000)
    source = LineFiles(tmp_path / "text.txt") if kind == "files" else [line.split() for line in lines]
    corpus = read(source, min_count=2)
    assert corpus.vocabulary.words == expected.vocabulary.words
    np.testing.assert_array_equal(corpus.tokens, expected.tokens)
    assert corpus.n_words == expected.vocabulary.counts.sum()
    assert is_mapped(corpus.tokens) == is_mapped(tokens.copied(corpus.tokens)) == (limit < 1 << 22)
    tokens.give_back(corpus.tokens[1000:3000])
    np.testing.assert_array_equal(tokens.copied(corpus.tokens), expected.tokens)
    np.testing.assert_array_equal(train(corpus, SMALL).matrix, train(expected, SMALL).matrix)


def is_mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return array is not None


def test_a_corpus_larger_than_its_share_of_memory_is_not_in_memory():
    """38 million tokens read and looked through twice: 150 megabytes that are never there together."""
    code = """
import io, re
import numpy as np
from inlay.vectors import tokens
from inlay.vectors.vocabulary import LineFiles, read
def high():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
read(LineFiles(io.BytesIO(b"a b a")), min_count=1)
tokens.IN_MEMORY = 1 << 17
before = high()
class Text:
    left = 64
    def read(self, size):
        self.left -= 1
        return b"a b c d e f g h\\n" * (1 << 16) if self.left >= 0 else b""
corpus = read(LineFiles(Text()), min_count=1)
assert corpus.n_words == 64 * 8 << 16
print(high() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 40  # of 150


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
def test_compressed_files_are_read_as_what_is_in_them(suffix, tmp_path):
    import pyarrow

    text = "\n".join("a b c 猫" for _ in range(1000)).encode()
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
    packed = pack[suffix](text) if suffix in pack else pyarrow.compress(text, codec="zstd", asbytes=True)
    file = tmp_path / f"text.txt{suffix}"
    file.write_bytes(packed)
    assert read(LineFiles(file), min_count=1).vocabulary.counts.tolist() == [1000] * 4
    file.write_bytes(packed[:-20])
    with pytest.raises(InputError, match=f"text.txt{suffix}: (truncated|damaged)"):
        read(LineFiles(file), min_count=1)


def test_a_dash_is_what_is_piped_in(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a b\nb\n")))
    assert read(LineFiles("-"), min_count=1).vocabulary.words == ["b", "a"]


def test_a_full_disk_is_said_with_the_way_out(monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tokens, "IN_MEMORY", 0)
    monkeypatch.setattr(tokens.tempfile, "TemporaryFile", full)
    with pytest.raises(InputError, match="no place for a corpus of .* MB .no space left on device.; .* TMPDIR"):
        read(LineFiles(io.BytesIO(b"a b")), min_count=1)


@pytest.mark.parametrize("part", ["write", "map"])
def test_a_folder_for_temporary_files_that_cannot_be_used_is_said_in_one_line(part, monkeypatch):
    """As with every disk full: then Python knows of no folder at all, and its own look for one fails again."""

    def none(*arguments):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tokens, "IN_MEMORY", 0)
    if part == "write":
        monkeypatch.setattr(tokens.tempfile, "tempdir", None)
        monkeypatch.setattr(tokens.tempfile, "_get_default_tempdir", none)
    else:
        monkeypatch.setattr(tokens, "_Mapped", none)
    with pytest.raises(InputError, match="no place for a corpus of .*no usable temporary directory.* TMPDIR"):
        read(LineFiles(io.BytesIO(b"a b")), min_count=1)


def test_the_end_of_a_file_ends_its_sentence():
    corpus = read(LineFiles(io.BytesIO(b"a b"), io.BytesIO(b"a c\n")), min_count=1)
    assert sentences_of(corpus) == [["a", "b"], ["a", "c"]]


def test_max_vocab_keeps_the_most_frequent_and_equals_by_alphabet():
    corpus = read([["b", "c", "a", "a", "d"]], min_count=1, max_vocab=2)
    assert corpus.vocabulary.words == ["a", "b"]
    assert corpus.vocabulary.counts.tolist() == [2, 1]


def test_whoever_waits_hears_how_far_the_reading_is(tmp_path, monkeypatch):
    monkeypatch.setattr(vocabulary, "_BLOCK", 30)
    lines = ["a b c d"] * 20
    for source in ([line.split() for line in lines], LineFiles(io.BytesIO("\n".join(lines).encode()))):
        heard: list[int] = []
        read(source, min_count=1, on_words=heard.append)
        assert heard == sorted(heard)
        assert len(heard) > 3
        assert heard[-1] in (99, 100)


def test_a_generator_is_read_once():
    corpus = read((line.split() for line in ("a b", "b")), min_count=1)
    assert corpus.vocabulary.words == ["b", "a"]


def test_counts_are_those_of_gensim(tmp_path):
    gensim = pytest.importorskip("gensim.models")
    rng = np.random.default_rng(1)
    sentences = [[f"w{n}" for n in rng.zipf(1.5, 20) if n < 500] for _ in range(300)]
    model = gensim.Word2Vec(min_count=3)
    model.build_vocab(sentences)
    ours = read(sentences, min_count=3).vocabulary
    assert {word: model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key} == dict(
        zip(ours.words, ours.counts.tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        (["a whole line"], {}, r"sentence 1 is one string \('a whole line'\).*split"),
        ([["a", 7]], {}, "holds 7, which is no string"),
        ("words.txt", {}, "'words.txt' is no list of sentences; LineFiles"),
        (Path("words.txt"), {}, "'words.txt' is no list of sentences; LineFiles"),
        ([["a"], [["b", "c"]]], {}, "sentence 2 is no list of words .*unhashable.*give lists of strings"),
        ([None], {}, "sentence 1 is no list of words"),
        ([], {}, "none of the 0 words occurs min_count=5"),
        ([["a"]], {}, "none of the 1 words occurs min_count=5 times.*smaller min_count"),
        ([["a"]], {"min_count": 0}, "min_count=0 must be at least 1"),
        ([["a"]], {"max_vocab": 0}, "max_vocab=0 must be at least 1"),
        (LineFiles("/no/such/file.txt"), {}, "/no/such/file.txt: no such text file"),
        (LineFiles("/"), {}, "/: no such text file"),
        (LineFiles("the text itself " * 1000), {}, "the text itself .*: no such text file"),
        (LineFiles(io.StringIO("a b")), {}, "text 1: opened as text; open it as bytes, with mode 'rb'"),
        (LineFiles(io.BytesIO(b"a\nb c\n"), io.BytesIO(b"a\nb\0d\n")), {}, r"text 2 line 2: b'b\\x00d' holds a NUL"),
        (LineFiles(io.BytesIO("no mark".encode("utf-16-le"))), {}, "holds a NUL, which is no text; convert"),
        (LineFiles(io.BytesIO(b"good \xe5\n\x98\x89")), {"min_count": 1}, r"text 1 line 1: .*xe5.*not UTF-8"),
        (LineFiles(io.BytesIO(b"good\nbad \xb0\xa1 line\n")), {"min_count": 1}, r"text 1 line 2: .*xb0.*not UTF-8"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_way_out(source, arguments, message):
    with pytest.raises(InputError, match=message):
        read(source, **arguments)


def test_a_word_that_is_not_utf_8_is_named_with_its_file(tmp_path):
    for name, text in {"a.txt": b"good\n\nlines", "b.txt": b"good\nbad \xff\n", "c.txt": b"\xfe"}.items():
        (tmp_path / name).write_bytes(text)
    with pytest.raises(InputError, match=r"b\.txt line 2: .*xff.* not UTF-8"):
        read(LineFiles(*(tmp_path / name for name in ("a.txt", "b.txt", "c.txt"))), min_count=1)
    with open(tmp_path / "c.txt", "rb") as opened, pytest.raises(InputError, match=r"c\.txt line 1"):
        read(LineFiles(io.BytesIO(b"good\n"), opened), min_count=1)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros(4, np.int32)[::2], "one contiguous row of int32, not .* strides"),
        (np.array([0, 2], np.int32), "between -1 and 1"),
        (np.array([-2], np.int32), "between -1 and 1"),
        (np.array([0, 1]), "one contiguous row of int32, not int64"),
        (np.zeros((2, 2), np.int32), "one contiguous row of int32"),
    ],
)
def test_numbers_that_are_no_words_never_reach_the_kernels(tokens, message):
    vocabulary = Vocabulary(words=["a", "b"], counts=np.array([2, 1]))
    with pytest.raises(InputError, match=message):
        Encoded(vocabulary=vocabulary, tokens=tokens)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.array([2, 1, 1]), r"2 words need as many counts of int64, not int64 of shape \(3,\)"),
        (np.array([2]), "2 words need as many counts"),
        (np.array([2.0, 1.0]), "not float64"),
        (np.array([2, 0]), "the count of 'b' is 0, but must be at least 1"),
    ],
    ids=["more", "fewer", "floats", "zero"],
)
def test_counts_that_are_not_those_of_the_words_never_reach_the_kernels(counts, message):
    with pytest.raises(InputError, match=message):
        Vocabulary(words=["a", "b"], counts=counts)


def test_a_word_that_is_not_utf_8_is_found_wherever_it_stands_and_shown_in_part(monkeypatch):
    monkeypatch.setattr(vocabulary, "_WORDS", 3)
    monkeypatch.setattr(tokens, "_PIECE", 2)
    for place in range(9):
        words = [b"w%d" % n for n in range(9)]
        words[place] = b"\xff" * 10_000
        text = b"w0 w1\n" + b"\n".join(words)
        with pytest.raises(InputError) as error:
            read(LineFiles(io.BytesIO(b"a b\n"), io.BytesIO(text)), min_count=1)
        assert str(error.value).startswith(f"text 2 line {place + 2}: b'\\xff")
        assert len(str(error.value)) < 300


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_its_first_word():
    files = [io.BytesIO(codecs.BOM_UTF8 + b"a b\n"), io.BytesIO(codecs.BOM_UTF8 + b"b"), io.BytesIO(codecs.BOM_UTF8)]
    assert read(LineFiles(*files), min_count=1).vocabulary.words == ["b", "a"]


def test_a_closed_stdin_is_said(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputError, match="stdin is closed"):
        read(LineFiles("-"), min_count=1)


def test_a_file_without_white_space_is_refused_before_it_fills_memory(monkeypatch):
    monkeypatch.setattr(vocabulary, "_BLOCK", 1 << 16)
    with pytest.raises(InputError, match="text 1: .* MB without a space"):
        read(LineFiles(io.BytesIO(b"x" * (1 << 22))))
