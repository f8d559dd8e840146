"""Checkpoints of GloVe: killed and resumed, it ends with the same bytes; what is foreign or damaged is refused."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inlay.errors import InputError
from inlay.files import lock
from inlay.vectors import tensors
from inlay.vectors.cooccurrence import Flat
from inlay.vectors.glove import Glove, train
from inlay.vectors.start import Init
from inlay.vectors.wordvectors import WordVectors

SMALL = Glove(dim=20, window=5, epochs=6, min_count=1, checkpoint_every=2)


def sentences(seed=0):
    return [[f"w{n}" for n in row] for row in np.random.default_rng(seed).integers(0, 50, (400, 8))]


class Stop(Exception):
    pass


def stop_in(epoch):
    def on_progress(progress):
        if progress.epoch == epoch:
            raise Stop

    return on_progress


@pytest.fixture(scope="module")
def expected():
    return train(sentences(), SMALL)


def same(vectors, expected):
    np.testing.assert_array_equal(vectors.matrix, expected.matrix)
    np.testing.assert_array_equal(vectors.context, expected.context)


@pytest.mark.parametrize("epoch", [1, 2, 3, 4, 5])
def test_stopped_in_any_epoch_it_goes_on_to_the_same_bytes(epoch, tmp_path, expected):
    with pytest.raises(Stop):
        train(sentences(), SMALL, checkpoint=tmp_path, on_progress=stop_in(epoch))
    seen = []
    vectors = train(sentences(), SMALL, checkpoint=tmp_path, on_progress=seen.append)
    assert seen[0].epoch == 1 + epoch // 2 * 2
    same(vectors, expected)


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes_and_leaves_nothing_else(tmp_path, expected):
    text, folder = tmp_path / "text.txt", tmp_path / "folder"
    text.write_text("\n".join(" ".join(sentence) for sentence in sentences()))
    script = (
        "import sys, time\n"
        "from inlay.vectors.glove import Glove, train\n"
        "from inlay.vectors.vocabulary import LineFiles\n"
        "def hang(progress):\n"
        "    if progress.epoch == 5:\n"
        "        print('there', flush=True)\n"
        "        time.sleep(100)\n"
        "config = Glove(dim=20, window=5, epochs=6, min_count=1, checkpoint_every=2)\n"
        "train(LineFiles(sys.argv[1]), config, checkpoint=sys.argv[2], on_progress=hang)\n"
    )
    command = [sys.executable, "-c", script, str(text), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGKILL)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "glove.safetensors"]
    seen = []
    same(train(sentences(), SMALL, checkpoint=folder, on_progress=seen.append), expected)
    assert seen[0].epoch == 5


def test_what_a_kill_while_saving_has_left_is_removed_and_the_checkpoint_before_it_counts(tmp_path, expected):
    with pytest.raises(Stop):
        train(sentences(), SMALL, checkpoint=tmp_path, on_progress=stop_in(5))
    torn = tmp_path / ".glove.safetensors.x1y2.part"
    torn.write_bytes((tmp_path / "glove.safetensors").read_bytes()[:1000])
    same(train(sentences(), SMALL, checkpoint=tmp_path), expected)
    assert not torn.exists()


def test_a_finished_training_is_not_done_again_and_goes_on_to_more_epochs(tmp_path, expected):
    same(
        train(sentences(), replace(SMALL, epochs=3), checkpoint=tmp_path), train(sentences(), replace(SMALL, epochs=3))
    )
    same(train(sentences(), replace(SMALL, threads=1, memory_mb=3), checkpoint=tmp_path), expected)
    seen = []
    same(train(sentences(), SMALL, checkpoint=tmp_path, on_progress=seen.append), expected)
    assert not seen
    with pytest.raises(InputError, match="has 6 epochs behind it, more than epochs=3; ask for 6 or more"):
        train(sentences(), replace(SMALL, epochs=3), checkpoint=tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glove")
    train(sentences(), SMALL, checkpoint=folder)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.1}, r"was trained with alpha=0.05, not 0.1; take that or another folder"),
        ({"weight": Flat()}, r'was trained with weight=\{"kind": "Harmonic"\}, not \{"kind": "Flat"\}'),
        ({"seed": 1}, "was trained with seed=0, not 1"),
    ],
    ids=str,
)
def test_a_checkpoint_of_other_values_is_refused(change, message, folder):
    with pytest.raises(InputError, match=message):
        train(sentences(), replace(SMALL, **change), checkpoint=folder)


def test_a_checkpoint_of_another_text_or_another_start_is_refused(folder):
    with pytest.raises(InputError, match="was trained with another text; name another folder"):
        train(sentences(seed=1), SMALL, checkpoint=folder)
    start = Init(WordVectors(["w1"], np.ones((1, 20), np.float32)))
    with pytest.raises(InputError, match="was trained with other vectors to start from"):
        train(sentences(), SMALL, checkpoint=folder, start=start)


def test_a_full_disk_is_an_input_error_and_the_checkpoint_before_is_kept(folder, tmp_path, monkeypatch):
    path = tmp_path / "glove.safetensors"
    path.write_bytes(content := (folder / "glove.safetensors").read_bytes())
    full = partial(open, "/dev/full", "wb")
    monkeypatch.setattr(tensors, "open", lambda *_: full(), raising=False)
    with pytest.raises(InputError, match=f"{path}: the disk is full"):
        train(sentences(), replace(SMALL, epochs=8), checkpoint=tmp_path)
    assert path.read_bytes() == content


def test_a_folder_that_another_process_writes_is_refused(tmp_path):
    with lock(tmp_path), pytest.raises(InputError, match="is being written by another process"):
        train(sentences(), SMALL, checkpoint=tmp_path)


def rewritten(content, **changes):
    """The bytes of a checkpoint whose header says something else."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    about = json.loads(header["__metadata__"]["inlay"]) | changes
    header["__metadata__"]["inlay"] = json.dumps(about)
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed + content[8 + size :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-100], "damaged"),
        (lambda content: content[:4], "damaged"),
        (lambda content: b"", "damaged"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "its bytes changed"),
        (lambda content: b"\xff" * 8 + content[8:], "damaged"),
        (lambda content: rewritten(content, epochs=-3), "damaged"),
        (lambda content: rewritten(content, epochs="many"), "damaged"),
        (lambda content: rewritten(content, config=[]), "was trained with dim=null, not 20"),
        (lambda content: rewritten(content, format="other"), "no checkpoint of glove"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_kept(damage, message, folder, tmp_path):
    path = tmp_path / "glove.safetensors"
    path.write_bytes(content := damage((folder / "glove.safetensors").read_bytes()))
    with pytest.raises(InputError, match=message):
        train(sentences(), SMALL, checkpoint=tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("table", [np.zeros((100, 3), np.float32), np.zeros((100, 64), np.float64)])
def test_a_checkpoint_of_another_shape_is_refused(table, folder, tmp_path):
    content = (folder / "glove.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + size])["__metadata__"]
    save_file({"table": table}, tmp_path / "glove.safetensors", metadata=about)
    assert load_file(tmp_path / "glove.safetensors")["table"].shape == table.shape
    with pytest.raises(InputError, match="it comes from another kind of processor, or is damaged"):
        train(sentences(), SMALL, checkpoint=tmp_path)
