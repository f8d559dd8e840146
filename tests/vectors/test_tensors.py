"""Our own file: the same bytes for the same vectors, read when asked for, old or new but never a mix of both."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inlay.errors import InputError
from inlay.vectors.subwords import Subwords
from inlay.vectors.unseen import NGrams
from inlay.vectors.words import Words
from inlay.vectors.wordvectors import WordVectors


def some(n=40, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    matrix, inputs = (rng.standard_normal((rows, dim), dtype=np.float32) for rows in (n, n + 32))
    words = [f"wört{number}" for number in range(n - 2)] + ["new york", "嵌入"]
    subwords = Subwords(min_n=3, max_n=5, buckets=32, inputs=inputs)
    return WordVectors(words, matrix, np.arange(n)[::-1].copy(), matrix[::-1].copy(), subwords)


@pytest.mark.parametrize("precision", ["float32", "half", "int8"])
def test_the_same_vectors_are_the_same_bytes_that_other_readers_know(precision, tmp_path):
    files = [tmp_path / f"{n}.safetensors" for n in range(3)]
    vectors = some() if precision == "float32" else some().packed(precision)
    for file in files[:2]:
        vectors.save(file)
    WordVectors.load(files[0]).save(files[2])
    assert len({file.read_bytes() for file in files}) == 1
    tensors = load_file(files[0])
    np.testing.assert_array_equal(tensors["matrix"], vectors.table.values)
    assert tensors["words"].tobytes().decode().startswith("wört0wört1")


@pytest.mark.parametrize("verify", [True, False])
def test_everything_comes_back_mapped(verify, tmp_path):
    vectors = some()
    vectors.save(tmp_path / "x.safetensors")
    loaded = WordVectors.load(tmp_path / "x.safetensors", verify=verify)
    assert isinstance(loaded.words, Words)
    assert loaded.words == vectors.words
    for name in ("matrix", "counts", "context", "norms"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(vectors, name))
        assert not getattr(loaded, name).flags.owndata
        assert not getattr(loaded, name).flags.writeable
    np.testing.assert_array_equal(loaded.subwords.inputs, vectors.subwords.inputs)
    assert (loaded.subwords.min_n, loaded.subwords.max_n, loaded.subwords.buckets) == (3, 5, 32)
    assert loaded.most_similar("wört3") == vectors.most_similar("wört3")
    assert loaded.most_similar("wörtx", unseen=NGrams()) == vectors.most_similar("wörtx", unseen=NGrams())


def test_unverified_opening_reads_no_row_and_takes_little_memory(tmp_path):
    """A sparse file of 1 M x 300: were a hundredth of it read, it would show."""
    n, dim = 1_000_000, 300
    file = tmp_path / "x.safetensors"
    some(4, dim).packed("half").save(tmp_path / "small.safetensors")
    words = Words.pack(f"w{number}" for number in range(n))
    head = {
        "matrix": {"dtype": "F32", "shape": [n, dim], "data_offsets": [0, 4 * n * dim]},
        "words": {"dtype": "U8", "shape": [len(words.text)], "data_offsets": [0, 0]},
        "offsets": {"dtype": "I64", "shape": [n + 1], "data_offsets": [0, 0]},
    }
    at = 4 * n * dim
    for name, size in (("offsets", 8 * (n + 1)), ("words", len(words.text))):
        head[name]["data_offsets"], at = [at, at + size], at + size

    line = json.dumps(head).encode()
    with open(file, "wb") as out:
        out.write(len(line).to_bytes(8, "little") + line)
        out.seek(4 * n * dim, os.SEEK_CUR)
        out.write(words.offsets.tobytes() + words.text.tobytes())
    code = """
import sys, time
from inlay.vectors.formats import load
def megabytes():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1000
small, file = sys.argv[1:]
load(small, verify=False)  # imports what it needs
before, start = megabytes(), time.process_time()
vectors = load(file, verify=False)
print(len(vectors), vectors.words[77], time.process_time() - start, megabytes() - before)
"""
    arguments = [sys.executable, "-c", code, str(tmp_path / "small.safetensors"), str(file)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    n_words, word, seconds, grown = done.stdout.split()
    assert (int(n_words), word) == (n, "w77")
    assert float(seconds) < 0.05
    assert float(grown) < 50


def test_a_file_that_was_not_verified_ends_in_no_crash(tmp_path):
    """Every byte of the tensors wrong in turn: an answer or an InputError."""
    file = tmp_path / "x.safetensors"
    some(8, 3).save(file)
    sound = file.read_bytes()
    begin = 8 + int.from_bytes(sound[:8], "little")
    refused = 0
    for place in range(begin, len(sound), 5):
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 0xFF]) + sound[place + 1 :])
        with pytest.raises(InputError, match="changed since they were written"):
            WordVectors.load(file)
        try:
            vectors = WordVectors.load(file, verify=False)
            vectors.most_similar("wört1", k=9)
        except InputError:
            refused += 1
    assert refused


TENSORS = {
    "matrix": np.ones((2, 3), np.float32),
    "words": np.frombuffer(b"ab", np.uint8),
    "offsets": np.array([0, 1, 2], np.int64),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": np.array([0, 1, 3], np.int64)}, "must go from 0 to 2"),
        ({"offsets": np.array([0, 2], np.int64)}, "'matrix' has 2 rows for 1 words"),
        ({"offsets": np.array([0, 0, 2], np.int32)}, "'offsets' must be int64 with 1 dimensions, not I32 .3,."),
        ({"offsets": np.array([0, -1, 2], np.int64)}, "is not in the text"),
        ({"words": np.frombuffer(b"aa", np.uint8)}, "the word 'a' stands twice"),
        ({"words": np.frombuffer(b"a\xb0", np.uint8)}, "word 2: .*not UTF-8"),
        ({"matrix": np.ones((2, 3), np.int8)}, "'matrix' of int8 needs 'scales'"),
        ({"matrix": np.ones((2, 3), np.int8), "scales": np.ones(1, np.float32)}, "'scales' has 1 rows for 2 words"),
        ({"matrix": np.ones((2, 3), np.int8), "scales": np.full(2, np.inf, np.float32)}, "matrix of 'a': NaN or inf"),
        ({"matrix": np.full((2, 3), np.nan, np.float16)}, "matrix of 'a': NaN or infinity"),
        ({"norms": np.ones(3, np.float32)}, "'norms' has 3 rows for 2 words"),
        ({"subwords": np.ones((4, 3), np.float32)}, "lacks min_n, max_n or buckets"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_tensors_that_do_not_fit_are_refused(change, message, tmp_path):
    save_file(TENSORS | change, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=message):
        WordVectors.load(tmp_path / "x.safetensors")


def test_n_grams_that_do_not_fit_are_refused(tmp_path):
    tensors = TENSORS | {"subwords": np.ones((9, 3), np.float32)}
    for change, message in (
        ({"buckets": "8"}, "n-grams of 1 words by 3 fit no"),
        ({"buckets": "x"}, "lacks"),
        ({"buckets": "99"}, "99 buckets must have"),
        ({"min_n": "1" + "0" * 30}, "min_n=10+ must lie between"),
    ):
        metadata = {"min_n": "3", "max_n": "5", "buckets": "7"} | change
        save_file(tensors, tmp_path / "x.safetensors", metadata=metadata)
        with pytest.raises(InputError, match=message):
            WordVectors.load(tmp_path / "x.safetensors")


def test_n_grams_of_which_training_met_none_come_back(tmp_path):
    subwords = Subwords(min_n=9, max_n=9, buckets=32, inputs=np.ones((2, 3), np.float32), met=np.zeros(0, np.int64))
    WordVectors(["a", "b"], np.ones((2, 3), np.float32), subwords=subwords).save(tmp_path / "x.safetensors")
    loaded = WordVectors.load(tmp_path / "x.safetensors").subwords
    assert loaded.met.tolist() == []
    assert loaded.vector("something long").tolist() == [0, 0, 0]


def test_a_mapped_file_can_be_written_over(tmp_path):
    file = tmp_path / "x.safetensors"
    some().save(file)
    mapped = WordVectors.load(file)
    some(seed=1).save(file, force=True)
    np.testing.assert_array_equal(mapped.matrix, some().matrix)
    mapped.save(file, force=True)
    np.testing.assert_array_equal(WordVectors.load(file).matrix, some().matrix)


SAVE = """
import sys
import numpy as np
from inlay.vectors.wordvectors import WordVectors
vectors = WordVectors([f"w{n}" for n in range(200_000)], np.ones((200_000, 100), np.float32))
_ = vectors.norms
print("ready", flush=True)
vectors.save(sys.argv[1], force=True)
"""


def save_and_kill(file):
    """Save many vectors to the file in a process of its own, kill it while it writes, and return how it ended."""
    with subprocess.Popen([sys.executable, "-c", SAVE, str(file)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        while writer.poll() is None:
            if any(part.stat().st_size for part in file.parent.glob(".*.part")):
                writer.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
    return writer.returncode


@pytest.mark.parametrize("suffix", [".safetensors", ".txt", ".bin"])
def test_a_save_that_is_killed_leaves_the_old_file_whole(suffix, tmp_path):
    file = tmp_path / f"x{suffix}"
    for _ in range(5):
        WordVectors(["a", "b"], np.eye(2, dtype=np.float32)).save(file, force=True)
        before = file.read_bytes()
        if killed := save_and_kill(file) == -signal.SIGKILL and any(tmp_path.glob(".*.part")):
            break
        assert len(WordVectors.load(file)) == 200_000  # it was faster than the kill: then the new file is whole
    assert killed
    assert file.read_bytes() == before
    WordVectors(["c"], np.ones((1, 2), np.float32)).save(file, force=True)  # what was left behind is in nobody's way
    assert WordVectors.load(file).words == ["c"]
