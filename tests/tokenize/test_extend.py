"""Words as tokens of their own: what every kind of tokenizer keeps, what it gains, and what it refuses."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.tokenize.extend import Extend, extend
from inlay.tokenize.fertility import Added, Extension
from inlay.tokenize.kinds import BPE, KINDS, ByteBPE, Bytes, Characters, TokenizerConfig, Unigram, WordPiece, Words
from inlay.tokenize.tokenizer import Tokenizer

GENERAL = [
    "The cat sat on the mat, and the other cats were sitting on other mats.",
    "Sitting still is what cats do; walking is what dogs do all day long! M I P T 1 2 3 4 5 abcdefghijklmnopqrstuvwxyz",
    "A tokenizer cuts words into pieces, and pieces into bytes: nothing is lost (usually); see http://a.example/b-c.",
    "我喜欢机器学习，因为机器学习很有意思。深度学习是机器学习的一种方法，用很多层的网络。血下高药降尿物压糖心，病肌人梗服死用。",
] * 4
MEDICAL = [
    "Thrombocytes and lymphocytes: the thrombocyte count fell (thrombocytopenia) after myocardial infarction.",
    "Myocardial infarction (MI) with 12345 thrombocytes; see http://thrombosis.example/thrombosis for more.",
    "Patients with infarction were given heparin, heparin and again heparin-like drugs; thrombocytes rose.",
    "心肌梗死病人服用阿司匹林，心肌梗死之后服用阿司匹林。",
] * 5
HELD_OUT_TOO = Extend(words=12, min_count=3)

SMALL: dict[str, TokenizerConfig] = {
    "WordPiece": WordPiece(size=300),
    "BPE": BPE(size=300),
    "Unigram": Unigram(size=300),
    "ByteBPE": ByteBPE(size=330),
    "Words": Words(size=300),
    "Bytes": Bytes(),
    "Characters": Characters(size=300),
}
REFUSED = {"Bytes": "ByteBPE", "Characters": "every letter by itself"}
GROWS = [kind for kind in SMALL if kind not in REFUSED]
every_kind = pytest.mark.parametrize("kind", GROWS)
PIECES = [kind for kind in GROWS if kind != "Words"]


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    return {kind: Tokenizer.train(iter(GENERAL), config) for kind, config in SMALL.items()}


@pytest.fixture(scope="module")
def extended(trained: dict[str, Tokenizer]) -> dict[str, Extension]:
    return {kind: extend(trained[kind], MEDICAL, HELD_OUT_TOO) for kind in GROWS}


def inside(one: Added, tokenizer: Tokenizer) -> str:
    """A text in which the word stands as its token has it: after a space, or after a mark where that makes a token."""
    start = tokenizer.writing.start
    if not one.word.isascii():
        return one.word
    return f"(the {one.word} is" if one.token.startswith(start) else f"the ({one.word} is"


def test_every_kind_is_tried_here() -> None:
    assert list(SMALL) == sorted(KINDS, key=list(SMALL).index)


@every_kind
def test_every_word_is_one_token_inside_a_text(extended: dict[str, Extension], kind: str) -> None:
    extension = extended[kind]
    assert len(extension.words) == 12
    for one in extension.words:
        tokens = extension.tokenizer.tokens(inside(one, extension.old))
        assert one.token in tokens, (one, tokens)
        assert len(one.pieces) > 1 or kind == "Words"


@every_kind
def test_old_ids_stay_and_new_ones_follow(extended: dict[str, Extension], kind: str) -> None:
    old, new = extended[kind].old, extended[kind].tokenizer
    assert {token: new.vocabulary[token] for token in old.vocabulary} == old.vocabulary
    fresh = sorted(set(new.vocabulary.values()) - set(old.vocabulary.values()))
    assert fresh == list(range(old.size, new.size)) == sorted(extended[kind].pieces)
    assert new.roles == old.roles
    assert new.encode(["a"], specials=True).ids[0] == old.encode(["a"], specials=True).ids[0]


@every_kind
def test_no_token_is_searched_for_before_the_text_is_cut(extended: dict[str, Extension], kind: str) -> None:
    before, after = (one.tree()["added_tokens"] for one in (extended[kind].old, extended[kind].tokenizer))
    assert before == after


@every_kind
def test_a_word_without_new_tokens_is_cut_as_before(extended: dict[str, Extension], kind: str) -> None:
    old, new = extended[kind].old, extended[kind].tokenizer
    same = 0
    for word in {word for text in GENERAL + MEDICAL for word in text.split()}:
        before, after = (one.encode([f"a {word}"]).ids.tolist() for one in (old, new))
        same += before == after
        assert before == after or max(after) >= old.size
    assert same > 20


@every_kind
def test_a_saved_tokenizer_is_the_same_when_loaded_and_in_transformers(
    extended: dict[str, Extension], kind: str, tmp_path: Path
) -> None:
    new = extended[kind].tokenizer
    new.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    wanted = [new.encode([text], specials=True).ids.tolist() for text in MEDICAL]
    assert [again.encode([text], specials=True).ids.tolist() for text in MEDICAL] == wanted
    assert again.vocabulary == new.vocabulary
    assert again.roles == new.roles
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert [theirs(text)["input_ids"] for text in MEDICAL] == wanted


@every_kind
def test_extending_twice_keeps_what_the_first_time_added(extended: dict[str, Extension], kind: str) -> None:
    first = extended[kind]
    second = extend(first.tokenizer, MEDICAL, replace(HELD_OUT_TOO, words=5))
    assert not {one.token for one in first.words} & {one.token for one in second.words}
    vocabulary = second.tokenizer.vocabulary
    assert {token: vocabulary[token] for token in first.tokenizer.vocabulary} == first.tokenizer.vocabulary
    for one in [*first.words, *second.words]:
        assert one.token in second.tokenizer.tokens(inside(one, first.old))


@pytest.mark.parametrize("kind", PIECES)
def test_the_report_counts_what_the_engine_gives(extended: dict[str, Extension], kind: str) -> None:
    extension = extended[kind]
    looked_at = [text for number, text in enumerate(MEDICAL, 1) if number % 10]
    rest = [text for number, text in enumerate(MEDICAL, 1) if number % 10 == 0]
    for texts, fertility in ((looked_at, extension.text), (rest, extension.heldout)):
        assert fertility is not None
        spaced = [" " + text for text in texts]  # each word is counted as one inside a text
        if extension.old.writing.start == "":
            spaced = texts
        for tokenizer, told in ((extension.old, fertility.before), (extension.tokenizer, fertility.after)):
            assert tokenizer.encode(spaced).lengths.sum() == told
        assert fertility.words == sum(len(text.split()) for text in texts)
        assert 0 < fertility.saved < 1
    heparin = next(one for one in extension.words if one.word == "heparin")
    assert heparin.count == sum(text.count("heparin") for text in looked_at)


@every_kind
def test_pieces_are_what_the_old_tokenizer_made_of_the_word(extended: dict[str, Extension], kind: str) -> None:
    extension = extended[kind]
    names = {number: token for token, number in extension.old.vocabulary.items()}
    for one in extension.words:
        known = [names[number] for number in extension.pieces[one.id]]
        if kind != "Words" and "[UNK]" not in known:
            assert known == list(one.pieces)
            assert "\n".join(known) in "\n".join(extension.old.tokens(inside(one, extension.old)))
    assert all(number < extension.old.size for ids in extension.pieces.values() for number in ids)
    assert extension.on_the_way == 0 or kind in ("BPE", "ByteBPE")


@every_kind
def test_the_report_is_json_and_lines(extended: dict[str, Extension], kind: str) -> None:
    told = json.loads(json.dumps(extended[kind].to_dict()))
    assert told["size"] == {"before": extended[kind].old.size, "after": extended[kind].tokenizer.size}
    assert [one["word"] for one in told["added"]] == [one.word for one in extended[kind].words]
    said = str(extended[kind])
    assert extended[kind].words[0].word in said
    assert "held out" in said


@pytest.mark.parametrize("kind", ["BPE", "ByteBPE", "Unigram"])
def test_decoding_gives_the_text_back(extended: dict[str, Extension], kind: str) -> None:
    tokenizer = extended[kind].tokenizer
    for text in MEDICAL if kind == "ByteBPE" else MEDICAL[2:3]:
        assert tokenizer.decode(tokenizer.encode([text]).ids) == text


def test_numbers_and_addresses_are_words_when_asked_for(trained: dict[str, Tokenizer]) -> None:
    base = replace(HELD_OUT_TOO, words=100)

    def words(config: Extend) -> set[str]:
        return {one.word for one in extend(trained["WordPiece"], MEDICAL, config).words}

    usual = words(base)
    assert "12345" not in usual
    assert "thrombosis" not in usual
    assert "12345" in words(replace(base, numbers=True))
    assert "thrombosis" in words(replace(base, addresses=True))


def test_chinese_words_are_tokens_where_they_can_be(
    trained: dict[str, Tokenizer], extended: dict[str, Extension]
) -> None:
    for kind in ("BPE", "Unigram", "ByteBPE"):
        extension = extend(
            trained[kind], ["高血压病人服用药物，血压下降；糖尿病病人服用药物。"] * 20, Extend(heldout=0)
        )
        assert {"血压", "药物"} & {one.word for one in extension.words}, kind
        assert extension.out_of_reach == 0
        assert extension.text.saved > 0.1
    for kind in ("WordPiece", "Words"):
        assert all(one.word.isascii() for one in extended[kind].words)
        assert extended[kind].out_of_reach > 0.05
        assert "Chinese or Japanese" in str(extended[kind])


@pytest.mark.parametrize(
    ("kind", "texts", "said"),
    [
        *((kind, MEDICAL, said) for kind, said in REFUSED.items()),
        ("WordPiece", MEDICAL[3:4] * 20, "train a unigram tokenizer"),
        ("WordPiece", [], "there is no text"),
        ("WordPiece", ["  ", "\n"], "there is no text"),
        ("WordPiece", ["the cat"] * 9, "lower min_count"),
        ("WordPiece", "heparin", "put it in a list"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(trained: dict[str, Tokenizer], kind: str, texts: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        extend(trained[kind], texts, HELD_OUT_TOO)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("settings", [{"words": 0}, {"min_count": 0}, {"heldout": 1}, {"heldout": -1}])
def test_settings_that_cannot_be_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        Extend(**settings)


def test_the_same_texts_give_the_same_tokenizer_in_any_order(trained: dict[str, Tokenizer]) -> None:
    config = replace(HELD_OUT_TOO, heldout=0)
    shuffled = random.Random(0).sample(MEDICAL, len(MEDICAL))
    for kind in PIECES:
        one, other = (extend(trained[kind], texts, config).tokenizer for texts in (MEDICAL, shuffled))
        assert one.tree() == other.tree()


@pytest.mark.parametrize("kind", PIECES)
@settings(max_examples=15, deadline=None)
@given(
    words=st.lists(
        st.text("abcdehimnorstuy", min_size=3, max_size=9) | st.text("éöü日本ñaeo", min_size=3, max_size=6),
        min_size=3,
        max_size=25,
        unique=True,
    ),
    seed=st.integers(0, 99),
)
def test_any_corpus_gives_words_of_one_token_and_old_ids(
    trained: dict[str, Tokenizer], kind: str, words: list[str], seed: int
) -> None:
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(words, k=30)) for _ in range(4)]
    old = trained[kind]
    try:
        extension = extend(old, texts, Extend(words=10, min_count=1))
    except InputError as error:  # all the words are tokens already, or none can be
        assert "lower min_count" in str(error) or "Chinese" in str(error)  # noqa: PT017
        return
    new = extension.tokenizer
    assert {token: new.vocabulary[token] for token in old.vocabulary} == old.vocabulary
    for one in extension.words:
        ids = new.encode([f"a {one.word} b"]).ids.tolist()
        assert one.id in ids or any(not c.isascii() for c in one.word)
    if kind == "ByteBPE":
        for text in texts:
            assert new.decode(new.encode([text]).ids) == text
