"""What a token stands for: every kind of vocabulary says by itself how it marks words and pieces."""

import json
from pathlib import Path

import pytest

from inlay.tokenize.kinds import BPE, KINDS, ByteBPE, Bytes, Characters, Unigram, WordPiece, Words
from inlay.tokenize.tokenizer import Tokenizer
from inlay.tokenize.writing import Writing

TEXTS = ["the walking man was walking , talking ; a café 😀", "机器学习是机器的事。"] * 5
KIND = {
    "WordPiece": WordPiece(size=120),
    "BPE": BPE(size=120),
    "Unigram": Unigram(size=120),
    "ByteBPE": ByteBPE(size=600),
    "Bytes": Bytes(),
    "Characters": Characters(),
    "Words": Words(),
}
MARKS = {"WordPiece": ("##", "", ""), "BPE": ("", "▁", ""), "Unigram": ("", "▁", ""), "ByteBPE": ("", "Ġ", "")}
MARKS |= {"Bytes": ("", "Ġ", ""), "Characters": ("", "", ""), "Words": ("", "", "")}


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    return {kind: Tokenizer.train(TEXTS, config) for kind, config in KIND.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_its_mark_and_its_specials(trained: dict[str, Tokenizer], kind: str) -> None:
    writing = trained[kind].writing
    assert (writing.inside, writing.start, writing.end) == MARKS[kind]
    assert writing.specials == set(KIND[kind].specials)
    for token in writing.specials:
        assert writing.read(token).special
        assert writing.read(token).text is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_tokens_of_a_text_stand_for_is_the_text(trained: dict[str, Tokenizer], kind: str) -> None:
    text = "the walking man , talking 机器学习 。"
    tokens = [trained[kind].writing.read(token) for token in trained[kind].tokens(text)]
    if kind in ("Bytes", "Words"):  # one byte of 机 has no text, and a word in one piece is unknown
        tokens = tokens[: len(trained[kind].tokens("the walking man , talking "))]
        text = "the walking man , talking "
    assert "".join((token.text or "").strip() for token in tokens) == text.replace(" ", "")


@pytest.mark.parametrize(
    ("writing", "token", "text", "whole", "marked"),
    [
        (Writing(inside="##"), "walk", "walk", True, False),
        (Writing(inside="##"), "##ing", "ing", False, True),
        (Writing(inside="##"), "##", "##", True, False),
        (Writing(inside="##"), "##机器", "机器", True, True),
        (Writing(start="▁"), "▁walk", "walk", True, True),
        (Writing(start="▁"), "ing", "ing", False, False),
        (Writing(start="▁"), "▁", "", False, True),
        (Writing(start="▁"), "▁▁", " ", False, True),
        (Writing(start="▁"), ",", ",", True, False),
        (Writing(start="▁"), "机器", "机器", True, False),
        (Writing(start="▁"), "机a", "机a", False, False),
        (Writing(start="▁"), "<0xE6>", None, False, False),
        (Writing(start="Ġ", bytes=True), "ĠcafÃ©", "café", True, True),
        (Writing(start="Ġ", bytes=True), "æľºåĻ¨", "机器", True, False),
        (Writing(start="Ġ", bytes=True), "Ã", None, False, False),
        (Writing(start="Ġ", bytes=True), "ing", "ing", False, False),
        (Writing(end="</w>"), "walk</w>", "walk", True, True),
        (Writing(end="</w>"), "wal", "wal", False, False),
        (Writing(), "walk", "walk", True, False),
        (Writing(), " ", " ", False, False),
    ],
)
def test_a_token_is_read_as_its_mark_says(writing: Writing, token: str, text: str, whole: bool, marked: bool) -> None:
    read = writing.read(token)
    assert (read.token, read.text, read.whole, read.marked, read.special) == (token, text, whole, marked, False)


def test_a_mark_put_by_replacing_spaces_is_found(tmp_path: Path) -> None:
    Tokenizer.train(TEXTS, BPE(size=120)).save(tmp_path)
    tree = json.loads((tmp_path / "tokenizer.json").read_text())
    tree["pre_tokenizer"] = None
    tree["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }
    steps = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}]
    tree["decoder"] = {"type": "Sequence", "decoders": steps}
    for normalizer in (tree["normalizer"], None):
        (tmp_path / "tokenizer.json").write_text(json.dumps(tree | {"normalizer": normalizer}))
        assert Tokenizer.load(tmp_path).writing.start == "▁"
