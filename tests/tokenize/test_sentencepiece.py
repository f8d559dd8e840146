"""A `spiece.model` is read as its own library reads it; damaged and crafted ones are refused and cost nothing."""

import contextlib
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.errors import InputError
from inlay.tokenize import sentencepiece
from inlay.tokenize.tokenizer import Tokenizer


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def piece(name: str | bytes, score: float = -1.0, kind: int = 1) -> bytes:
    raw = name.encode() if isinstance(name, str) else name
    return field(1, field(1, raw) + varint(2 << 3 | 5) + struct.pack("<f", score) + field(3, kind))


def model(*pieces: bytes, unknown: int = 2, kind: int = 1, charsmap: bytes | None = None) -> bytes:
    rewriting = field(3, field(2, charsmap)) if charsmap is not None else b""
    return b"".join(pieces) + field(2, field(3, kind) + field(40, unknown)) + rewriting


SPECIALS = (piece("<pad>", 0, 3), piece("</s>", 0, 3), piece("<unk>", 0, 2))
LETTERS = (piece("▁", -2), piece("a", -3), piece("▁a", -1.5), piece("机", -4))
SOUND = model(*SPECIALS, *LETTERS)


def load(folder: Path, data: bytes) -> Tokenizer:
    (folder / "spiece.model").write_bytes(data)
    (folder / "config.json").write_text('{"model_type": "t5"}')
    return Tokenizer.load(folder)


def test_a_file_made_by_hand_is_read(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, SOUND)
    assert list(tokenizer.vocabulary)[:7] == ["<pad>", "</s>", "<unk>", "▁", "a", "▁a", "机"]
    assert tokenizer.vocabulary["<extra_id_0>"] == 7 + 99
    assert tokenizer.tokens("a aa 机b") == ["▁a", "▁a", "a", "▁", "机", "<unk>"]
    assert tokenizer.decode(tokenizer.encode(["a 机a"]).ids) == "a 机a"


@pytest.mark.parametrize("name", ["t5", "albert", "xlnet"])
def test_pieces_are_those_of_the_library(
    vocabularies: dict[str, Callable[[], dict[str, bytes]]], name: str, tmp_path: Path
) -> None:
    library = pytest.importorskip("sentencepiece")
    (tmp_path / "spiece.model").write_bytes(vocabularies[name]()["spiece.model"])
    theirs = library.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    ours = sentencepiece.read(tmp_path / "spiece.model")
    ids = range(theirs.get_piece_size())
    assert ours.scores == tuple((theirs.id_to_piece(i), theirs.get_score(i)) for i in ids)
    assert ours.unknown == theirs.unk_id()
    assert dict(ours.controls).items() >= {theirs.id_to_piece(i): True for i in ids if theirs.is_control(i)}.items()
    assert len(ours.charsmap) > 1000


DAMAGED = {
    "empty": (b"", "has no pieces"),
    "text": (b"hello world, this is no model", "no SentencePiece model"),
    "random": (random.Random(1).randbytes(4000), "no SentencePiece model"),
    "cut in a piece": (SOUND[:10], "no SentencePiece model"),
    "a huge length": (varint(1 << 3 | 2) + varint(1 << 62), "declares 4611686018427387904 bytes, and 0 are left"),
    "a number without end": (b"\xff" * 30, "a number has over ten bytes"),
    "a number that is cut": (b"\x08\xff", "ends in the middle"),
    "a piece that is a number": (field(1, 7), "another type"),
    "a score that is no number": (model(*SPECIALS, piece("a", float("nan"))), "the score of 'a'"),
    "a score that is endless": (model(*SPECIALS, piece("a", float("-inf"))), "the score of 'a'"),
    "a piece of no encoding": (model(*SPECIALS, piece(b"\xff\xfe")), "a piece is not UTF-8"),
    "a piece twice": (model(*SPECIALS, piece("a"), piece("a")), "empty or there twice"),
    "an empty piece": (model(*SPECIALS, piece("")), "empty or there twice"),
    "no unknown piece": (model(piece("a"), piece("b")), "has 102 pieces|unknown"),
    "BPE": (model(*SPECIALS, *LETTERS, kind=2), "of kind BPE, and only Unigram"),
    "an unknown kind": (model(*SPECIALS, kind=9), "of kind 9"),
    "a table too short": (model(*SPECIALS, *LETTERS, charsmap=b"abc"), "declares 6513249 bytes and has 3"),
    "a table of 4 GB": (model(*SPECIALS, *LETTERS, charsmap=b"\xff" * 8), "declares 4294967295 bytes and has 8"),
    "a table that points outside": (model(*SPECIALS, *LETTERS, charsmap=b"\4\0\0\0\xff\xff\xff\xff"), "refuses it"),
    "a table of nothing": (model(*SPECIALS, *LETTERS, charsmap=b"\0\0\0\0"), "refuses it"),
}


@pytest.mark.parametrize("name", [name for name in DAMAGED if name != "no unknown piece"])
def test_a_damaged_file_is_refused_in_one_quiet_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, message = DAMAGED[name]
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, data)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_an_unknown_piece_beyond_the_pieces_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XLNetTokenizer"}')
    (tmp_path / "spiece.model").write_bytes(model(piece("a"), unknown=5))
    with pytest.raises(InputError, match="has 1 pieces, and the unknown one is 5"):
        Tokenizer.load(tmp_path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "spiece.model", "wb") as file:
        file.truncate((sentencepiece.MAX_FILE_MB + 1) << 20)
    with pytest.raises(InputError, match="51 MB, but"):
        sentencepiece.read(tmp_path / "spiece.model")
    with pytest.raises(InputError, match="no such file"):
        sentencepiece.read(tmp_path / "absent.model")


def test_every_cut_and_many_flips_never_do_more_than_an_error(tmp_path: Path) -> None:
    rng = random.Random(0)
    for end in range(len(SOUND)):
        with contextlib.suppress(InputError):
            load(tmp_path, SOUND[:end]).encode(["a 机 b"])
    for _ in range(200):
        broken = bytearray(SOUND)
        for _ in range(rng.randint(1, 3)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with contextlib.suppress(InputError):
            load(tmp_path, bytes(broken)).encode(["a 机 b"])


def test_a_large_model_is_read_fast(tmp_path: Path) -> None:
    many = [piece(f"▁word{number}", -float(number)) for number in range(30_000)]
    (tmp_path / "spiece.model").write_bytes(model(*SPECIALS, *many))
    start = time.process_time()
    assert len(sentencepiece.read(tmp_path / "spiece.model").scores) == 30_003
    assert time.process_time() - start < 2
