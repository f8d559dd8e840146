"""The baseline in C that GloVe is measured against does the same work: the same pairs, and as low a loss."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from inlay.vectors.cooccurrence import count
from inlay.vectors.glove import Glove, train
from inlay.vectors.vocabulary import LineFiles, read
from inlay.vectors.wordvectors import WordVectors

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "glove_baseline.c"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """run(memory_mb) -> the folder with the text, its files, the vectors and what was said."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("baseline")
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 401)
    lines = [" ".join(f"w{n}" for n in rng.choice(400, 20, p=shares / shares.sum())) for _ in range(1500)]
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    subprocess.run(["gcc", "-O2", "-o", folder / "program", SOURCE, "-lm"], check=True)

    def one(memory_mb):
        numbers = map(str, (5, 10, 20, 5, 10, 0.05, memory_mb, 0))
        command = [folder / "program", folder / "text.txt", folder / "vectors.txt", folder, *numbers]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return folder, json.loads(done.stdout)

    return one


@pytest.mark.parametrize("memory_mb", [100, 0.2], ids=["dense", "sorted runs"])
def test_its_pairs_are_ours(run, memory_mb):
    folder, said = run(memory_mb)
    theirs = np.fromfile(folder / "pairs0.bin", [("i", "<i4"), ("j", "<i4"), ("x", "<f8")])
    ours = count(read(LineFiles(folder / "text.txt"), min_count=5), window=10).records
    half = theirs[theirs["j"] <= theirs["i"]]
    np.testing.assert_array_equal(half["i"], ours["i"])
    np.testing.assert_array_equal(half["j"], ours["j"])
    np.testing.assert_allclose(half["x"], ours["x"], rtol=1e-6)
    assert said["pairs"] == len(theirs) == 2 * len(ours) - np.count_nonzero(ours["i"] == ours["j"])


def test_its_loss_and_its_vocabulary_are_ours(run):
    folder, said = run(100)
    seen = []
    config = Glove(dim=20, window=10, x_max=10, epochs=5)
    ours = train(LineFiles(folder / "text.txt"), config, on_progress=seen.append)
    assert WordVectors.load(folder / "vectors.txt").words == ours.words
    assert said["loss"] == pytest.approx(seen[-1].loss, rel=0.05)
