"""WordCache: the engine's ids for any text and for every tokenizer that it takes on, and a bounded memory."""

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.embed import wordcache
from inlay.embed.borders import borders
from inlay.embed.wordcache import WordCache
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

WORDS = ["the", "cat", "sat", "mat", "un", "known", "able", "covid19", "naïve", "c", "3", "_", "嵌入", "模型", "É", "&"]
PIECES = [*"abcdefghijklmnopqrstuvwxyz0123456789", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")]
BERT = {
    "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True
}  # fmt: skip

SPLIT = {"type": "Split", "behavior": "Removed", "invert": True}


def wordpiece(normalizer: Any, cutter: Any, added: tuple[str, ...] = ("[PAD]", "[UNK]", "[MASK]")) -> Tokenizer:
    tokens = dict.fromkeys([*added, *(w for w in WORDS), *PIECES, *"!?.,'-[](){}\"", "中", "é", "##é", "“"])
    model = {
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 20,
        "vocab": {token: at for at, token in enumerate(tokens)},
    }  # fmt: skip
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tree = {
        "version": "1.0", "truncation": None, "padding": None, "model": model, "normalizer": normalizer,
        "pre_tokenizer": cutter, "post_processor": None, "decoder": None,
        "added_tokens": [{"id": at, "content": content, **plain} for at, content in enumerate(added)],
    }  # fmt: skip
    return Tokenizer.from_vocabulary(["a"]).rebuilt(tree)


def sequence(name: str, *steps: str) -> dict[str, Any]:
    return {"type": "Sequence", name: [{"type": step} | _OPTIONS.get(step, {}) for step in steps]}


_OPTIONS: dict[str, dict[str, Any]] = {
    "Punctuation": {"behavior": "MergedWithPrevious"}, "Digits": {"individual_digits": True}, "BertNormalizer": BERT
}  # fmt: skip

TOKENIZERS = {
    "bert": wordpiece(BERT, {"type": "BertPreTokenizer"}),
    "bert cased": wordpiece(BERT | {"lowercase": False, "strip_accents": False}, {"type": "BertPreTokenizer"}),
    "bert raw": wordpiece(BERT | {"clean_text": False, "handle_chinese_chars": False}, {"type": "BertPreTokenizer"}),
    "no normalizer": wordpiece(None, {"type": "BertPreTokenizer"}),
    "an added word": wordpiece(BERT, {"type": "BertPreTokenizer"}, ("[PAD]", "[UNK]", "the", "!?")),
    "whitespace": wordpiece({"type": "Lowercase"}, {"type": "Whitespace"}),
    "split at blanks": wordpiece(sequence("normalizers", "NFKC", "Lowercase"), {"type": "WhitespaceSplit"}),
    "several steps": wordpiece(
        sequence("normalizers", "NFD", "StripAccents", "Lowercase"),
        sequence("pretokenizers", "WhitespaceSplit", "Punctuation", "Digits"),
    ),
    "digits after bert": wordpiece(BERT, sequence("pretokenizers", "BertPreTokenizer", "Digits")),
    "of words": Tokenizer.from_vocabulary(["the", "cat", "3d", "c++", "naïve", "嵌入", "模型", "x_y", "don't"]),
    "of words, cased": Tokenizer.from_vocabulary(["The", "cat", "é"], lowercase=False, strip_accents=True),
    "trained": Tokenizer.train(["the cat sat on the mat, unable to know"] * 9, WordPiece(size=80)),
}
CACHES = {name: WordCache.of(tokenizer) for name, tokenizer in TOKENIZERS.items()}

ALPHABET = st.one_of(
    st.sampled_from("abthectsmunABTG019 \t\n\r.,!?'-_[]&\"“”’—"),
    st.sampled_from(
        "éÉİßΣςﬁ中嵌入模型，。\u0301\u0338\u200d\u200b\u00a0\u3000\x00\x0b\x1c\x85\x7f\u2028=<>①가ᄀ\U0001f469\ud800"
    ),
    st.characters(),
)
WORDY = st.sampled_from(
    [
        *WORDS,
        "[MASK]",
        "[mask]",
        "[UNK]",
        "the",
        "The",
        "xthex",
        "_the",
        "中ABT国",
        "The模型CAT3",
        "!?",
        "\x00",
        "a" * 25,
        "e\u0301",
    ]
)
TEXT = st.one_of(
    st.text(ALPHABET, max_size=30),
    st.lists(st.one_of(WORDY, st.sampled_from([" ", " ", ",", ""])), max_size=12).map("".join),
)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(texts=st.lists(TEXT, max_size=6))
@settings(max_examples=40, deadline=None)
def test_ids_are_the_engines_for_any_text(name: str, texts: list[str]) -> None:
    cache = CACHES[name]
    assert cache is not None, "this tokenizer is one that can be vouched for"
    ours, theirs = cache.encode(texts), TOKENIZERS[name].encode(texts)
    assert ours.ids.dtype == theirs.ids.dtype
    assert ours.lengths.tolist() == theirs.lengths.tolist()
    assert ours.ids.tolist() == theirs.ids.tolist()


@pytest.mark.parametrize(
    ("normalizer", "cutter", "added"),
    [
        ({"type": "Replace", "pattern": {"String": " a"}, "content": "b"}, {"type": "BertPreTokenizer"}, ()),
        ({"type": "Prepend", "prepend": "_"}, {"type": "BertPreTokenizer"}, ()),
        (BERT, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}, ()),
        (BERT, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}, ()),
        (BERT, {"type": "Punctuation", "behavior": "Isolated"}, ()),
        (BERT, SPLIT | {"pattern": {"Regex": r"\s\w+"}}, ()),
        (BERT, SPLIT | {"pattern": {"Regex": r"[\x{20}-\x{7a}]{1,9}|[^\W_]+"}}, ()),
        (BERT, SPLIT | {"pattern": {"Regex": r"[\x{61}-\x{7e}]{1,9}|[^\W_]+"}}, ()),
        (BERT, {"type": "BertPreTokenizer"}, ("two words",)),
        (BERT, {"type": "BertPreTokenizer"}, ("中",)),
        (BERT, None, ()),
    ],
)  # fmt: skip
def test_a_tokenizer_that_sees_beyond_a_blank_is_left_to_its_engine(normalizer: Any, cutter: Any, added: Any) -> None:
    tree = TOKENIZERS["bert"].tree() | {"normalizer": normalizer, "pre_tokenizer": cutter}
    tree["added_tokens"] += [{"id": 900, "content": content} for content in added]
    assert borders(tree) is None


@pytest.mark.parametrize("model", [{"type": "BPE", "dropout": 0.1}, {"type": "Other"}, {}])
def test_a_model_of_chance_or_of_an_unknown_kind_is_left_to_its_engine(model: Any) -> None:
    assert borders(TOKENIZERS["bert"].tree() | {"model": model}) is None


def test_the_memory_is_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordcache, "_MOST_KEYS", 50)
    monkeypatch.setattr(wordcache, "_BLOCK_CHARACTERS", 200)
    tokenizer = TOKENIZERS["bert"]
    cache = WordCache.of(tokenizer)
    assert cache is not None
    texts = [f"cat{i} the é{i}, mat{i % 7}" for i in range(500)]
    ours, theirs = cache.encode(texts), tokenizer.encode(texts)
    assert np.array_equal(ours.ids, theirs.ids)
    assert np.array_equal(ours.lengths, theirs.lengths)
    assert len(cache._words._numbers) < 200
    assert len(cache._chunks._numbers) < 200


def test_each_word_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = WordCache.of(TOKENIZERS["bert"])
    assert cache is not None
    cache.encode(["the cat sat, naïve"])
    monkeypatch.setattr(Tokenizer, "encode", None)
    monkeypatch.setattr(Tokenizer, "pieces", None)
    assert len(cache.encode(["The cat, cat the", "sat\tnaïve"]).ids) > 6


def test_what_fails_leaves_no_number_without_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = WordCache.of(TOKENIZERS["of words"])
    assert cache is not None
    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "encode", None)
        with pytest.raises(TypeError):
            cache.encode(["the cat naïve"])
    texts = ["cat the", "naïve cat"]
    assert cache.encode(texts).ids.tolist() == TOKENIZERS["of words"].encode(texts).ids.tolist()


def test_a_copy_begins_anew_and_says_the_same() -> None:
    cache = CACHES["bert"]
    twin = copy.deepcopy(cache)
    assert cache is not None
    assert twin is not None
    assert len(twin._words._numbers) == 1
    assert twin.encode(["the cat"]).ids.tolist() == cache.encode(["the cat"]).ids.tolist()
