"""Lexical: BM25 as bm25s and a plain loop have it, on disk and off, in English and Chinese."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix

from inlay.errors import InputError
from inlay.files import write_checksums
from inlay.search.lexical import Lexical
from inlay.text.words import analyzer

# Q queries, N documents, V terms

TEXTS = {
    "en": [
        "The quick brown fox jumps over the lazy dog.",
        "A dog barks at foxes, and the dogs of the neighbours bark too.",
        "Numerical methods for partial differential equations.",
        "",
        "Dog.",
        "the of and",
    ],
    "zh": ["敏捷的狐狸跳過懶狗。", "鄰居的狗也叫了，狗總是叫。", "偏微分方程的數值方法", "", "狗", "的了是"],
}
QUERIES = {
    "en": ["dog", "barking foxes dog", "zebra", "", "the", "dog dog"],
    "zh": ["狗", "狗叫", "斑馬", "", "的", "狗 狗"],
}


def by_hand(texts: list[list[str]], query: list[str], k1: float = 1.5, b: float = 0.75) -> list[float]:
    """BM25 in the variant of Lucene, a document and a term at a time (Kamphuis et al. 2020)."""
    mean = sum(map(len, texts)) / len(texts)
    scores = []
    for text in texts:
        counts, score = Counter(text), 0.0
        for term in query:
            having = sum(term in other for other in texts)
            if counts[term]:
                idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
                score += idf * counts[term] / (counts[term] + k1 * (1 - b + b * len(text) / mean))
        scores.append(score)
    return scores


def scores(lexical: Lexical, queries: list[str]) -> np.ndarray:
    return lexical.scores(lexical.queries(queries))


@pytest.fixture(params=["en", "zh"])
def lang(request: pytest.FixtureRequest) -> str:
    return request.param


def test_scores_are_those_of_a_plain_loop(lang: str) -> None:
    analyze = analyzer(lang)
    terms = [analyze(text) for text in TEXTS[lang]]
    expected = [by_hand(terms, analyze(query)) for query in QUERIES[lang]]
    np.testing.assert_allclose(scores(Lexical.build(TEXTS[lang], lang), QUERIES[lang]), expected, atol=1e-5)


@given(
    st.lists(st.lists(st.sampled_from(["ab", "cd", "ef", "gh", "ij"]), max_size=8), min_size=1, max_size=9),
    st.lists(st.sampled_from(["ab", "cd", "ef", "gh", "xx"]), max_size=5),
    st.floats(0.1, 3),
    st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_any_corpus_scores_as_the_plain_loop_does(
    texts: list[list[str]], query: list[str], k1: float, b: float
) -> None:
    lexical = Lexical.build([" ".join(text) for text in texts], "en", k1=k1, b=b)
    if any(texts):
        expected = by_hand(texts, query, k1, b)
        np.testing.assert_allclose(scores(lexical, [" ".join(query)])[0], expected, atol=1e-4)
    else:
        assert not scores(lexical, [" ".join(query)]).any()


def test_scores_are_those_of_bm25s_on_the_same_terms(lang: str) -> None:
    from bm25s import BM25

    analyze = analyzer(lang)
    theirs = BM25(k1=1.5, b=0.75, method="lucene")
    theirs.index([analyze(text) for text in TEXTS[lang]], show_progress=False)
    ours = Lexical.build(TEXTS[lang], lang)
    for query in QUERIES[lang]:
        known = [term for term in analyze(query) if term in theirs.vocab_dict]
        expected = theirs.get_scores(known) if known else np.zeros(len(TEXTS[lang]))
        np.testing.assert_allclose(scores(ours, [query])[0], expected, atol=1e-6)


def test_a_query_of_no_known_term_scores_nothing(lang: str) -> None:
    lexical = Lexical.build(TEXTS[lang], lang)
    assert not scores(lexical, ["zebra ☃", "", "斑馬"]).any()
    assert lexical.queries([]).shape == (0, len(lexical.terms))


def test_a_query_is_weighed_by_its_terms(lang: str) -> None:
    lexical = Lexical.build(TEXTS[lang], lang)
    query = lexical.queries([QUERIES[lang][1]])
    np.testing.assert_allclose(lexical.scores(query * 2.5), 2.5 * lexical.scores(query), rtol=1e-6)
    np.testing.assert_allclose(lexical.scores(query), (query @ lexical.weights.T).toarray(), rtol=1e-5, atol=1e-7)
    assert (lexical.documents != lexical.weights).nnz == 0


@pytest.mark.parametrize("texts", [[], [""], ["the of", ""]])
def test_texts_without_a_term_are_an_index_that_finds_nothing(texts: list[str], tmp_path: Path) -> None:
    lexical = Lexical.build(texts, "en")
    assert len(lexical) == len(texts)
    assert scores(lexical, ["dog", ""]).shape == (2, len(texts))
    assert not scores(lexical, ["dog"]).any()
    lexical.save(tmp_path / "lexical")
    again = Lexical.load(tmp_path / "lexical")
    assert scores(again, ["dog"]).shape == (1, len(texts))


def test_what_is_saved_is_what_is_loaded(lang: str, tmp_path: Path) -> None:
    lexical = Lexical.build(TEXTS[lang], lang)
    lexical.save(tmp_path / "lexical")
    again = Lexical.load(tmp_path / "lexical")
    assert (again.terms, again.lang, len(again)) == (lexical.terms, lang, len(TEXTS[lang]))
    assert np.array_equal(scores(again, QUERIES[lang]), scores(lexical, QUERIES[lang]))
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "lexical").iterdir()} == {0o644}


def test_one_flipped_bit_or_a_missing_file_is_found(tmp_path: Path) -> None:
    Lexical.build(TEXTS["en"], "en").save(tmp_path)
    rng = np.random.default_rng(0)
    for file in sorted(tmp_path.iterdir()):
        whole = file.read_bytes()
        for _ in range(10):
            changed = bytearray(whole)
            changed[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
            file.write_bytes(changed)
            with pytest.raises(InputError, match=r"json|safetensors"):
                Lexical.load(tmp_path)
        file.unlink()
        with pytest.raises(InputError, match="missing"):
            Lexical.load(tmp_path)
        file.write_bytes(whole)
    Lexical.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lexical.json", {"format": "other"}),
        ("lexical.json", []),
        ("lexical.json", {"format": "inlay-lexical-1", "lang": "en", "documents": 3, "terms": 2}),
        ("lexical.json", {"format": "inlay-lexical-1", "lang": "en", "documents": -1, "terms": 9}),
        ("lexical.json", {"format": "inlay-lexical-1", "lang": "xx", "documents": 6, "terms": 15}),
        ("terms.json", {"dog": 1}),
        ("terms.json", ["dog"]),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused_even_with_their_checksums(
    name: str, content: object, tmp_path: Path
) -> None:
    Lexical.build(TEXTS["en"], "en").save(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    write_checksums(tmp_path)
    with pytest.raises(InputError):
        Lexical.load(tmp_path)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    lexical = Lexical.build(TEXTS["en"], "en")
    data = lexical.weights.data.copy()
    data[3] = np.nan
    shape = lexical.weights.shape
    Lexical(csc_matrix((data, lexical.weights.indices, lexical.weights.indptr), shape=shape), lexical.terms, "en").save(
        tmp_path / "broken"
    )
    with pytest.raises(InputError, match="do not fit"):
        Lexical.load(tmp_path / "broken")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    with pytest.raises(InputError, match=r"pip install 'inlay\[search\]'"):
        Lexical.build(["dog"], "en")
