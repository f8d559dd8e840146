"""Pairs: what belongs together in crafted documents, and what must never be together."""

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inlay.text.dedup import fingerprint
from inlay.text.document import Document
from inlay.text.pairs import KINDS, Pair, body_of, mine, mine_all, sentences, without

ENGLISH = Document(
    id="en",
    title="Word vectors",
    text=(
        "Word vectors. They place every word in a space.\n\nHow they are trained\n\n"
        "A window slides over the text of the corpus. Words that meet often move together! Is that all there is? "
        'He said "it is really that simple." Nothing else is needed here.\n\n'
        "# Uses\nThey find words that are alike, and they start larger models that need them."
    ),
)
CHINESE = Document(
    id="zh",
    title="詞向量",
    text=(
        "詞向量把每個詞放進一個空間。\n\n訓練的方法\n\n一個窗口在語料的文字上滑動。常常相遇的詞會互相靠近！只有這樣嗎？"
        "他說：「就是這麼簡單。」其他的都不需要了。\n\n# 用途\n它們找出意思相近的詞，也能作為較大模型的起點。"
    ),
)
TEXT = st.text(
    st.one_of(st.sampled_from(" .!?。！？；」』”\"')\n#ab詞"), st.characters(exclude_categories=("Cs",))), max_size=80
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def of(document: Document, seed: int = 0, **options: object) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {}
    for pair in mine(document, 7, rng(seed), **options):  # type: ignore[arg-type]
        found.setdefault(pair.kind, []).append(pair)
    return found


@pytest.mark.parametrize("document", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_every_kind_of_pair_is_found(document: Document) -> None:
    found = of(document)
    assert set(found) == set(KINDS)
    assert all(pair.document == 7 for pairs in found.values() for pair in pairs)
    body = body_of(document)
    (title,) = found["title"]
    assert (title.query, title.positive) == (document.title, body)
    pieces = sentences(body)
    (first,) = found["first"]
    assert first.query == pieces[0]
    assert first.positive == " ".join(pieces[1:])
    (halves,) = found["neighbours"]
    assert f"{halves.query} {halves.positive}" == " ".join(pieces)
    assert len(found["sentence"]) == 2


@pytest.mark.parametrize(
    ("document", "headings", "word"),
    [(ENGLISH, ["How they are trained", "Uses"], "window"), (CHINESE, ["訓練的方法", "用途"], "窗口")],
)
def test_a_heading_asks_for_its_own_section_only(document: Document, headings: list[str], word: str) -> None:
    pairs = of(document)["heading"]
    assert [pair.query for pair in pairs] == headings
    assert [word in pair.positive for pair in pairs] == [True, False]
    assert not any(heading in pair.positive for pair in pairs for heading in headings)


def test_a_quotation_mark_stays_with_the_sentence_it_closes() -> None:
    assert 'He said "it is really that simple."' in sentences(ENGLISH.text)
    assert "他說：「就是這麼簡單。」" in sentences(CHINESE.text)
    assert sentences("真的嗎？！好。") == ["真的嗎？！", "好。"]
    assert sentences("Pi is 3.14 exactly? No.") == ["Pi is 3.14 exactly?", "No."]


@given(TEXT)
@example("a.' b")
@example("好。」好")
@settings(max_examples=300, deadline=None)
def test_sentences_lose_no_character_but_spaces(text: str) -> None:
    pieces = sentences(text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece and piece == piece.strip() for piece in pieces)


@given(
    st.lists(
        st.sampled_from(
            ["The cat sat down here.", "A dog ran off fast.", "Yes.", "貓坐在這裡。", "Look: the cat sat down here."]
        ),
        max_size=9,
    ),
    st.integers(0, 9),
)
@settings(max_examples=200, deadline=None)
def test_a_sentence_never_remains_in_its_positive(chosen: list[str], seed: int) -> None:
    document = Document(id="a", title="Cats", text=" ".join(chosen))
    for pair in mine(document, 0, rng(seed), per_document=9):
        if pair.kind in ("sentence", "first"):
            assert pair.query not in pair.positive


def test_a_repeated_sentence_is_left_out_everywhere() -> None:
    assert without(["a", "b", "a", "c"], 2) == "b c"


def test_a_title_repeated_at_the_beginning_is_no_part_of_the_body() -> None:
    assert body_of(ENGLISH).startswith("They place")
    assert body_of(Document(id="a", title="Other", text="Text.")) == "Text."
    assert body_of(Document(id="a", text="Text.")) == "Text."
    assert body_of(Document(id="a", title="Art", text="Article one.")) == "Article one."
    assert body_of(Document(id="a", title="猫", text="猫咪。")) == "咪。"


@pytest.mark.parametrize("text", ["", "   ", "One.", "One two three.", "。。。", "\n\n\n", "#", "# # #"])
def test_a_text_that_is_too_short_gives_nothing(text: str) -> None:
    assert list(mine(Document(id="a", title="Title", text=text), 0, rng())) == []


def test_only_the_kinds_asked_for_are_mined() -> None:
    for kind in KINDS:
        assert set(of(ENGLISH, kinds=(kind,))) == {kind}
    assert not of(ENGLISH, kinds=())


@pytest.mark.parametrize("document", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_nothing_that_is_avoided_is_in_any_pair(document: Document) -> None:
    everything = mine_all([document], [0], rng(), limit=100)
    for one in everything:
        avoid = [one.query.upper(), one.positive.replace(" ", "  ")]
        prints = {fingerprint(text) for text in avoid}
        left = mine_all([document], [0], rng(), limit=100, avoid=avoid)
        assert len(left) < len(everything)
        assert not any({fingerprint(pair.query), fingerprint(pair.positive)} & prints for pair in left)


def corpus(n: int = 40) -> list[Document]:
    return [
        Document(
            id=str(i),
            title=f"Number {i}",
            text=" ".join(f"Sentence {j} of the document {i} is here." for j in range(6)),
        )
        for i in range(n)
    ]


def test_the_same_chance_gives_the_same_pairs_and_another_gives_others() -> None:
    documents = corpus()
    first = mine_all(documents, range(40), rng(1), limit=50)
    assert first == mine_all(documents, range(40), rng(1), limit=50)
    assert first != mine_all(documents, range(40), rng(2), limit=50)


@pytest.mark.parametrize("limit", [0, 1, 7, 50, 10_000])
def test_the_limit_holds_and_the_pairs_come_from_the_given_documents_only(limit: int) -> None:
    documents, positions = corpus(), [3, 5, 8, 13, 21]
    pairs = mine_all(documents, positions, rng(), limit=limit)
    assert len(pairs) == min(limit, 5 * len(list(mine(documents[0], 0, rng()))))
    assert {pair.document for pair in pairs} <= set(positions)
    queries = [fingerprint(pair.query) for pair in pairs]
    assert len(set(queries)) == len(queries)


@pytest.mark.parametrize("piece", ["a", " ", "\n", ".", "。", '"', "# ", "\n#\n", "\n \n", "a.\n\n", "好。」"])
def test_a_megabyte_of_one_thing_is_mined_in_linear_time(piece: str) -> None:
    document = Document(id="a", title="Title", text=piece * (1_000_000 // len(piece)))
    begin = time.process_time()
    list(mine(document, 0, rng()))
    assert time.process_time() - begin < 8
