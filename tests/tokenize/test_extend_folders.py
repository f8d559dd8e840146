"""Words added to the tokenizers of checkpoints: every family's folder, and engines with marks that ours do not make."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inlay.errors import InputError
from inlay.tokenize.extend import Extend, extend
from inlay.tokenize.graft import graft
from inlay.tokenize.parts import Parts
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = ["walkthrough of a statwalk: walkthrough, statwalks and othermatsters sat on a walkthrough (statwalk)"] * 9
FAMILIES = ["wordpiece", "roberta", "gpt2", "t5", "albert", "xlnet"]
CONFIG = Extend(words=3, min_count=3)


def loaded(name: str, folder_of: Callable[..., Path]) -> Tokenizer:
    kinds = {"wordpiece": "BertTokenizer", "gpt2": "GPT2Tokenizer", "t5": "T5Tokenizer", "xlnet": "XLNetTokenizer"}
    kinds |= {"roberta": "RobertaTokenizer", "albert": "AlbertTokenizer"}
    return Tokenizer.load(folder_of(name, {"tokenizer_config.json": {"tokenizer_class": kinds[name]}}))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_familys_tokenizer_can_grow_and_be_saved(
    name: str, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    old = loaded(name, folder_of)
    extension = extend(old, TEXTS, CONFIG)
    assert "walkthrough" in {one.word for one in extension.words}
    assert len(extension.words) == 3
    extension.tokenizer.save(tmp_path / "new")
    new = Tokenizer.load(tmp_path / "new")
    assert {token: new.vocabulary[token] for token in old.vocabulary} == old.vocabulary
    for one in extension.words:
        assert one.id >= old.size
        ids = new.encode([f"a {one.word} of"], specials=True).ids
        assert one.id in ids
        assert len(ids) < old.encode([f"a {one.word} of"], specials=True).lengths[0]
        assert one.word in new.decode(ids)
    assert new.roles == old.roles
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "new")
    assert theirs(TEXTS[0])["input_ids"] == new.encode(TEXTS[:1], specials=True).ids.tolist()


def small(model: dict[str, Any], **parts: Any) -> Tokenizer:
    tree: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
    }
    from tokenizers import Tokenizer as Engine

    return Tokenizer(Engine.from_str(json.dumps({**tree, "decoder": None, "model": model, **parts})))


LETTERS = list("abcdehlnorst")
BASE = {"type": "BPE", "dropout": None, "unk_token": None, "fuse_unk": False, "byte_fallback": False}
SPACES = {"type": "Whitespace"}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


@pytest.mark.parametrize("steps", [SPACES, {"type": "Sequence", "pretokenizers": [SPACES, BYTES]}])
def test_words_with_a_mark_at_their_end_grow_too(steps: dict[str, Any]) -> None:
    tokens = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "th", "the</w>"]
    old = small(
        {
            **BASE,
            "end_of_word_suffix": "</w>",
            "continuing_subword_prefix": None,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [["t", "h"], ["th", "e</w>"]],
        },
        pre_tokenizer=steps,
    )
    extension = extend(old, ["the tother shone the tother"] * 5, Extend(words=2, min_count=2, heldout=0))
    (tother, shone) = extension.words
    assert (tother.word, tother.pieces) == ("tother", ("t", "o", "th", "e", "r</w>"))
    assert extension.tokenizer.tokens("the tother shone") == ["the</w>", "tother</w>", "shone</w>"]
    assert extension.tokenizer.vocabulary["shone</w>"] == shone.id
    assert extension.on_the_way == 3 + 3  # to, toth, tothe; sh, sho, shon


def test_pieces_with_a_mark_inside_words_grow_too() -> None:
    tokens = [*LETTERS, *(f"##{c}" for c in LETTERS)]
    old = small(
        {
            **BASE,
            "end_of_word_suffix": None,
            "continuing_subword_prefix": "##",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [],
        }
        | {"merges": [["t", "##h"]], "vocab": {token: i for i, token in enumerate([*tokens, "th"])}},
        pre_tokenizer=SPACES,
    )
    extension = extend(old, ["the ether"] * 5, Extend(words=5, min_count=2, heldout=0))
    assert {one.word for one in extension.words} == {"the", "ether"}
    assert extension.tokenizer.tokens("the ether thee") == ["the", "ether", "the", "##e"]


def test_an_engine_that_looks_words_up_first_needs_no_tokens_on_the_way() -> None:
    vocabulary = {token: i for i, token in enumerate([*LETTERS, "th"])}
    model = {**BASE, "vocab": vocabulary, "merges": [["t", "h"]], "ignore_merges": True}
    extension = extend(small(model, pre_tokenizer=SPACES), ["the ether"] * 5, Extend(words=5, min_count=2, heldout=0))
    assert extension.on_the_way == 0
    assert extension.tokenizer.tokens("the ether thee") == ["the", "ether", "th", "e", "e"]


def test_tokens_beside_the_model_keep_their_ids_when_it_grows() -> None:
    vocabulary = {token: i for i, token in enumerate(["[UNK]", *LETTERS, *(f"##{c}" for c in LETTERS)])}
    n = len(vocabulary)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": n + i, "content": name, **flags} for i, name in enumerate(("<a>", "<b>"))]
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocabulary}
    old = small({**model, "max_input_chars_per_word": 100}, added_tokens=added, pre_tokenizer=SPACES)
    scores = [[token, -1.0] for token in vocabulary]
    unigram = small({"type": "Unigram", "unk_id": 0, "vocab": scores}, added_tokens=added, pre_tokenizer=SPACES)
    for one in (old, unigram):
        new = extend(one, ["the ether"] * 5, Extend(words=5, min_count=2, heldout=0)).tokenizer
        assert [new.id("<a>"), new.id("<b>")] == [n, n + 1]
        assert {new.id("the"), new.id("ether")} == {n + 2, n + 3}
        assert new.tokens("the<b>ether") == ["the", "<b>", "ether"]


def test_a_score_lies_just_above_that_of_the_pieces() -> None:
    scores = {"<unk>": 0.0, "th": -2.0, "e": -1.5, "t": -4.0, "h": -4.0, "r": -3.0}
    model = {"type": "Unigram", "unk_id": 0, "vocab": [[token, score] for token, score in scores.items()]}
    tree = small(model, pre_tokenizer=SPACES).tree()
    grafted = graft(tree, ["the", "ether", "theether"])
    found = {token: score for token, score in grafted.tree["model"]["vocab"]}
    best = {"the": -3.5, "ether": -8.0, "theether": -11.5}
    for word, score in best.items():
        assert score < found[word] < score + 0.03
    assert found["the"] + found["ether"] < found["theether"]
    parts = Parts(grafted.tree)
    assert [[token.value for token in parts.tokens(word)] for word in best] == [[word] for word in best]
    assert grafted.pieces == {6: (1, 2), 7: (2, 1, 2, 5), 8: (1, 2, 2, 1, 2, 5)}


def test_a_word_that_is_there_or_that_letters_are_missing_for_is_refused() -> None:
    vocabulary = {token: i for i, token in enumerate([*LETTERS, "th", "<u>"])}
    model = {**BASE, "unk_token": "<u>", "vocab": vocabulary, "merges": [["t", "h"]]}
    tree = small(model, pre_tokenizer=SPACES).tree()
    for words, said in ((["th"], "is a token already"), (["the", "the"], "token already"), (["théo"], "no tokens")):
        with pytest.raises(InputError, match=said):
            graft(tree, words)


@pytest.mark.parametrize(
    ("last", "after", "longer", "lost"),
    [("##et", ("the", "##et"), 0, 0), ("##t", ("the", "##e", "##t"), 1, 0), ("##x", ("[UNK]",), 0, 1)],
)
def test_words_that_are_cut_differently_are_told(last: str, after: tuple[str, ...], longer: int, lost: int) -> None:
    names = ["[UNK]", "th", "##e", "##eet", last, "cat"]
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    vocabulary = {token: i for i, token in enumerate(names)}
    old = small({**model, "vocab": vocabulary, "max_input_chars_per_word": 100}, pre_tokenizer=SPACES)
    extension = extend(old, ["the the the theet cat"] * 3, Extend(words=1, min_count=4, heldout=0))
    assert [(one.word, one.count) for one in extension.words] == [("the", 9)]
    changes = extension.changes
    assert (changes.words, changes.changed, changes.longer, changes.lost) == (2, 1, longer, lost)
    assert changes.examples == (("theet", ("th", "##eet"), after),)
    assert changes.occurrences == 3 / 15


def test_words_grow_where_a_text_is_not_cut_before_the_model() -> None:
    tokens = ["<unk>", "▁", *LETTERS, "th", "▁th"]
    steps = [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]
    model = {
        **BASE,
        "unk_token": "<unk>",
        "byte_fallback": True,
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [["t", "h"], ["▁", "th"]],
    }
    old = small(model, normalizer={"type": "Sequence", "normalizers": steps})
    extension = extend(old, ["the ether other", "ether; the other"] * 5, Extend(words=3, min_count=2, heldout=0))
    assert {one.token for one in extension.words} == {"▁the", "▁ether", "▁other"}
    assert extension.tokenizer.tokens("ether the other") == ["▁ether", "▁the", "▁other"]
