"""Pairs of texts: what is between them, which segment each token is in, and what a length limit takes from which."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.tokenize.kinds import ByteBPE, Bytes, WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = ["the cat sat on the mat", "walking", "", "数字 3.14 and more of the cats were sitting"]
SECOND = ["机器学习", "the other cats were sitting on other mats", "talk", ""]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([*TEXTS, *SECOND] * 3, WordPiece(size=200))


def test_a_pair_is_framed_by_hand(tokenizer: Tokenizer) -> None:
    batch = tokenizer.encode(["cat"], ["mat"], specials=True)
    ids = [tokenizer.id(token) for token in ("[CLS]", "cat", "[SEP]", "mat", "[SEP]")]
    assert batch.ids.tolist() == ids
    assert batch.segments is not None
    assert batch.segments.dtype == np.int32
    assert batch.segments.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("name", "files", "single", "pair"),
    [
        ("wordpiece", {}, None, [0, 0, 0, 1, 1]),
        ("roberta", {}, None, [0, 0, 0, 0, 0, 0]),
        ("gpt2", {}, None, [0, 1]),
        ("t5", {"config.json": {"model_type": "t5"}}, None, [0, 0, 0, 0]),
        ("albert", {"config.json": {"model_type": "albert"}}, None, [0, 0, 0, 1, 1]),
        ("xlnet", {"config.json": {"model_type": "xlnet"}}, [0, 0, 2], [0, 0, 1, 1, 2]),
    ],
)
def test_segments_of_each_family_by_hand(
    folder_of: Callable[..., Path], name: str, files: dict[str, object], single: list[int] | None, pair: list[int]
) -> None:
    tokenizer = Tokenizer.load(folder_of(name, files))
    word = next(t for t in ("mat", "cat", "s", "a", ".") if len(tokenizer.tokens(t)) == 1)
    alone, both = tokenizer.encode([word], specials=True), tokenizer.encode([word], [word], specials=True)
    assert (None if alone.segments is None else alone.segments.tolist()) == single
    assert both.segments is not None
    assert both.segments.tolist() == pair
    assert tokenizer.encode([word]).segments is None


@pytest.mark.parametrize("name", ["wordpiece", "roberta", "gpt2", "xlnet"])
def test_a_limit_takes_what_transformers_takes_from_the_longer_text(folder_of: Callable[..., Path], name: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = folder_of(name, {"config.json": {"model_type": "xlnet"}} if name == "xlnet" else {})
    names = {"wordpiece": "Bert", "roberta": "Roberta", "gpt2": "GPT2", "xlnet": "XLNet"}
    theirs = getattr(transformers, f"{names[name]}Tokenizer").from_pretrained(folder)
    ours = Tokenizer.load(folder)
    rng = random.Random(0)
    words = ["cat", "sat", "on", "机器", "[SEP]", "mats,", "学习"]
    texts, second = ([" ".join(rng.choices(words, k=rng.randrange(9))) for _ in range(40)] for _ in range(2))
    for limit in (5, 6, 7, 10, 15):
        for specials in (False, True):
            for pairs in (None, second):
                whole = ours.encode(texts, pairs, specials=specials)
                batch = ours.encode(texts, pairs, specials=specials, max_length=limit)
                expected = theirs(
                    texts,
                    pairs,
                    add_special_tokens=specials,
                    truncation="longest_first",
                    max_length=limit,
                    return_token_type_ids=True,
                )
                assert [batch.ids[batch.rows == b].tolist() for b in range(len(texts))] == expected["input_ids"]
                assert np.array_equal(batch.cut, whole.lengths - batch.lengths)
                if batch.segments is not None:
                    flat = [number for row in expected["token_type_ids"] for number in row]
                    assert batch.segments.tolist() == flat


def test_a_batch_of_pairs_is_its_pairs_one_by_one(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tokenizer.encode(TEXTS, SECOND, specials=True, max_length=8)
    monkeypatch.setattr("inlay.tokenize.tokenizer._BLOCK_TEXTS", 3)
    blocks = tokenizer.encode(TEXTS, SECOND, specials=True, max_length=8)
    singles = [tokenizer.encode([a], [b], specials=True, max_length=8) for a, b in zip(TEXTS, SECOND, strict=True)]
    assert whole.segments is not None
    assert blocks.segments is not None
    assert whole.ids.tolist() == blocks.ids.tolist() == [i for one in singles for i in one.ids]
    assert whole.segments.tolist() == blocks.segments.tolist()
    assert whole.cut.tolist() == [int(one.cut[0]) for one in singles]
    nothing = tokenizer.encode([], [], specials=True)
    assert nothing.segments is not None
    assert len(nothing) == len(nothing.segments) == 0


def test_pairs_that_do_not_fit_the_texts_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="2 texts and 1 second texts; each text needs one"):
        tokenizer.encode(["a", "b"], ["c"])
    with pytest.raises(InputError, match="put it in a list"):
        tokenizer.encode(["a"], "b")
    with pytest.raises(InputError, match="max_length=3 leaves no room for text; try 4"):
        tokenizer.encode(["a"], ["b"], specials=True, max_length=3)


def test_a_tokenizer_without_a_frame_still_tells_the_two_apart() -> None:
    tokenizer = Tokenizer.train(["x y z"] * 3, ByteBPE(size=300, specials=("[PAD]",)))
    batch = tokenizer.encode(["ab"], ["c"], specials=True)
    assert batch.segments is not None
    assert batch.segments.tolist() == [0, 0, 1]


def test_surrogates_of_both_texts_are_read_as_the_replacement_sign(tokenizer: Tokenizer) -> None:
    broken, sound = tokenizer.encode(["\ud800"], ["a \udfff"]), tokenizer.encode(["\ufffd"], ["a \ufffd"])
    assert broken.ids.tolist() == sound.ids.tolist()


@pytest.mark.parametrize("wrong", [None, 3, b"a", ["a"]])
def test_what_is_no_text_is_told_with_its_number(wrong: object) -> None:
    tokenizer = Tokenizer.train(["a b"], Bytes())
    for texts, pairs in ((["a", wrong], None), (["a", "b"], ["a", wrong])):
        with pytest.raises(InputError, match="text 1 is .* of type .*, and must be text"):
            tokenizer.encode(texts, pairs)  # type: ignore[arg-type]
