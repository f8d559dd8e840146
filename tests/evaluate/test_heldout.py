"""Held out: questions whose answers are hidden well, and documents that no training sees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.evaluate.heldout import KINDS, HeldOut, hold_out, score
from inlay.text.document import Document
from inlay.text.pairs import body_of, sentences


def corpus(n: int = 200, *, titles: bool = True, n_sentences: int = 5) -> list[Document]:
    return [
        Document(
            id=f"d{at}",
            title=f"Title of {at}" if titles else "",
            text=" ".join(f"Sentence {j} of the document {at} stands here." for j in range(n_sentences)),
        )
        for at in range(n)
    ]


def answered(held: HeldOut) -> list[tuple[str, str, str]]:
    """(kind, query, the text that answers it)"""
    return [
        (kind, query, held.texts[place])
        for kind in KINDS
        for query, place in zip(held.queries[kind], held.answers[kind], strict=True)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_every_answer_is_the_text_of_the_document_that_asks(seed: int) -> None:
    documents = corpus()
    held = hold_out(documents, seed=seed)
    by_text = {body_of(document): document for document in documents}
    assert len(held.positions) == 40
    assert len(held.queries["title"]) == len(held.queries["sentence"]) == 40
    for kind, query, text in answered(held):
        number = query.split()[2] if kind == "title" else query.split()[5]
        assert f"of the document {number} stands" in text
        assert text not in by_text  # a sentence is missing
        assert len(sentences(text)) == 4


@pytest.mark.parametrize("seed", range(5))
def test_no_left_out_sentence_is_in_the_searched_text_of_its_document(seed: int) -> None:
    repeated = [
        Document(id=str(at), title=f"T {at}", text=f"{d.text} Sentence 2 of the document {at} stands here.")
        for at, d in enumerate(corpus(60))
    ]
    held = hold_out(repeated, seed=seed)
    assert held.queries["sentence"]
    for kind, query, text in answered(held):
        assert kind == "title" or query not in text


def test_no_title_is_before_its_body() -> None:
    documents = [Document(id=d.id, title=d.title, text=f"{d.title}. {d.text}") for d in corpus()]
    held = hold_out(documents, seed=0)
    assert not any(text.startswith("Title") for text in held.texts)


def test_every_document_is_searched_once_and_the_held_out_ones_are_reduced() -> None:
    documents = corpus()
    held = hold_out(documents, seed=0)
    assert len(held.texts) == len(documents)
    rest = {body_of(d) for at, d in enumerate(documents) if at not in set(held.positions)}
    assert rest < set(held.texts)
    assert set(held.reduced) == set(held.texts) - rest
    assert len(set(held.positions)) == len(held.positions) == len(held.reduced)
    assert sorted(held.secret) == sorted(query for kind in KINDS for query in held.queries[kind])


def test_the_answers_do_not_stand_in_front() -> None:
    # Documents that tie are ranked in their order; a method that knows nothing must not look good.
    held = hold_out(corpus(400), seed=0)
    blind = score(np.zeros((80, 400), np.float32), held.answers["title"])
    assert blind["ndcg@10"] < 0.1
    assert 100 < np.mean(held.answers["title"]) < 300


@pytest.mark.parametrize(
    ("n", "most", "expected"),
    [(1, 400, 0), (2, 400, 1), (10, 400, 5), (39, 400, 19), (40, 400, 20), (90, 400, 20), (500, 400, 100)]
    + [(500, 7, 7), (10, 1, 1), (5000, 400, 400)],
)
def test_a_fifth_is_held_out_within_its_bounds(n: int, most: int, expected: int) -> None:
    assert len(hold_out(corpus(n), seed=0, most=most).positions) == expected


@pytest.mark.parametrize("searched", [40, 100])
def test_few_are_searched_where_asked_and_the_held_out_ones_always(searched: int) -> None:
    held = hold_out(corpus(), seed=0, searched=searched)
    assert len(held.texts) == searched
    assert set(held.reduced) <= set(held.texts)
    assert all(0 <= place < searched for places in held.answers.values() for place in places)


def test_without_titles_only_sentences_ask_and_without_sentences_only_titles() -> None:
    untitled = hold_out(corpus(titles=False), seed=0)
    assert (len(untitled.queries["title"]), len(untitled.queries["sentence"])) == (0, 40)
    short = hold_out(corpus(n_sentences=1), seed=0)
    assert (len(short.queries["title"]), len(short.queries["sentence"])) == (40, 0)


@pytest.mark.parametrize("documents", [[], corpus(50, titles=False, n_sentences=1), corpus(50, n_sentences=0)])
def test_a_corpus_that_cannot_ask_holds_nothing_out(documents: list[Document]) -> None:
    held = hold_out(documents, seed=0)
    assert held.positions == held.reduced == ()
    assert held.queries == {kind: [] for kind in KINDS}
    assert len(held.texts) == len(documents)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_same_seed_holds_out_the_same(seed: int) -> None:
    documents = corpus(60)
    assert hold_out(documents, seed=seed) == hold_out(documents, seed=seed)
    assert hold_out(documents, seed=seed) != hold_out(documents, seed=seed + 1)


def test_scores_are_measured_by_the_rank_of_the_answer() -> None:
    found = score(np.array([[3, 2, 1], [1, 2, 3], [0, 0, 0]], np.float32), [0, 0, 1])
    np.testing.assert_allclose(found.values["mrr@10"], [1, 1 / 3, 1 / 2])
    np.testing.assert_allclose(found.values["ndcg@10"], [1, 1 / 2, 1 / np.log2(3)])
    np.testing.assert_allclose(found.values["recall@10"], 1)
