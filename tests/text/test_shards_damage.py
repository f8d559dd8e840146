"""Damaged shards: whatever was cut, flipped, exchanged or crafted is one line that names the file and the way out."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.text.pack import Rows, pack
from inlay.text.shardfile import Shards
from inlay.tokenize.tokenizer import Tokenizer

FILES = ("train.tokens", "train.ends", "train.flags", "heldout.tokens", "heldout.ends", "heldout.flags")


@pytest.fixture
def copied(sharded: Callable[..., Shards], tmp_path: Path) -> Path:
    """A copy of finished shards, to be damaged."""
    return Path(shutil.copytree(sharded().folder, tmp_path / "copy"))


def refused(folder: Path, message: str, *, verify: bool = True, tokenizer: Tokenizer | None = None) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Shards.open(folder, tokenizer, verify=verify)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def signed(folder: Path) -> None:
    """Make the sums agree with the damage, as whoever crafts a folder would."""
    sums = json.loads((folder / "checksums.json").read_text())
    for name in sums:
        sums[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(sums))


@pytest.mark.parametrize("name", [*(f"shards/00000/{file}" for file in FILES), "counts.bin"])
@pytest.mark.parametrize("change", ["cut", "grown", "gone"])
def test_a_size_that_changed_is_found_without_reading(name: str, change: str, copied: Path) -> None:
    file = copied / name
    raw = file.read_bytes()
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes(raw[:-1] if change == "cut" else raw + b"\0")
    words = {"cut": "was cut short", "grown": "has grown", "gone": "missing"}
    refused(copied, f"{file.name}: {words[change]}.*--force", verify=False)


def test_a_flipped_bit_anywhere_is_found(copied: Path) -> None:
    files = [file for file in sorted(copied.rglob("*")) if file.is_file() and file.stat().st_size]
    assert len(files) > 20
    rng = np.random.default_rng(0)
    for file in files:
        raw = bytearray(file.read_bytes())
        at, bit = int(rng.integers(len(raw))), 1 << int(rng.integers(8))
        raw[at] ^= bit
        file.write_bytes(raw)
        with pytest.raises(InputError):
            Shards.open(copied)
        raw[at] ^= bit
        file.write_bytes(raw)
    Shards.open(copied)


def test_an_id_beyond_the_vocabulary_is_found_and_never_packed(copied: Path) -> None:
    file = copied / "shards" / "00000" / "train.tokens"
    tokens = np.fromfile(file, "<u2")
    tokens[:] = 60_000
    tokens.tofile(file)
    signed(copied)
    refused(copied, r"train\.tokens: has id 60000, but the vocabulary ends at \d+")
    batches = pack(Shards.open(copied, verify=False), Rows(length=32), per_batch=4)
    with pytest.raises(InputError, match=r"batch \d+ has id 60000"):
        [batches.batch(number) for number in range(batches.per_epoch)]


def test_documents_that_overlap_are_found(copied: Path) -> None:
    file = copied / "shards" / "00000" / "train.ends"
    ends = np.fromfile(file, "<u8")
    ends[0] = ends[1]
    ends.tofile(file)
    signed(copied)
    refused(copied, r"train\.ends: its documents overlap")
    ends[-1] += 1
    ends.tofile(file)
    with pytest.raises(InputError, match=r"train\.ends: ends at \d+, but there are \d+ tokens"):
        next(iter(Shards.open(copied, verify=False).documents("train")))


def test_a_document_that_begins_without_a_sentence_is_found(copied: Path) -> None:
    file = copied / "shards" / "00000" / "heldout.flags"
    file.write_bytes(bytes(file.stat().st_size))
    signed(copied)
    refused(copied, r"heldout\.flags: a document begins without a sentence")


def test_another_tokenizer_is_refused(copied: Path, tokenizers: Callable[[str], Tokenizer]) -> None:
    refused(copied, "its vocabulary of .* is another than this tokenizer's", tokenizer=tokenizers("bytes"))
    Shards.open(copied, tokenizers("wordpiece"))
    tokenizers("words").save(copied / "tokenizer")
    refused(copied, "is not the tokenizer that these shards were made with", verify=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, where this version reads 1"),
        ({"vocabulary": "0" * 64}, "is not the tokenizer"),
        ({"dtype": "uint8"}, "dtype='uint8' is not a choice"),
        ({"train": {"documents": 1, "tokens": 5}}, "do not add up to what it says of train"),
        ({"heldout": {"documents": -1}}, "must be at least 0"),
        ({"size": 10**9}, "do not fit into uint16"),
        ({"shards": "all"}, "must be a list"),
        ({"colour": "red"}, "unknown key"),
    ],
)
def test_a_table_that_cannot_be_is_refused(change: dict[str, Any], message: str, copied: Path) -> None:
    file = copied / "shards.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    refused(copied, message)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | st.just(b'{"format": 1}'))
def test_any_bytes_for_a_table_are_refused(copied: Path, raw: bytes) -> None:
    (copied / "shards.json").write_bytes(raw)
    refused(copied, "shards.json|Facts")


def test_a_shard_outside_the_folder_is_not_read(copied: Path) -> None:
    file = copied / "shards.json"
    tree = json.loads(file.read_text())
    tree["shards"][0]["name"] = "../../elsewhere"
    file.write_text(json.dumps(tree))
    refused(copied, "leads out of")


def test_no_folder_of_shards_says_how_to_make_one(tmp_path: Path) -> None:
    refused(tmp_path, "inlay shards SOURCE")
    refused(tmp_path / "nowhere", "inlay shards SOURCE")
    (tmp_path / "run.json").write_text('{"config": {}}')  # of another kind of run
    refused(tmp_path, "no folder of shards.*inlay shards SOURCE")


@pytest.mark.parametrize(
    ("name", "message"), [("shards.json", "shards.json: missing.*--force"), ("checksums.json", "not finished")]
)
def test_a_table_that_is_gone_says_the_way_out(name: str, message: str, copied: Path) -> None:
    (copied / name).unlink()
    refused(copied, message)
