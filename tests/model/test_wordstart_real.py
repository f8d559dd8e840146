"""Word vectors of real texts as the start of a token table: English and Chinese, and every kind of tokenizer."""

import json
import lzma
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from inlay.model.wordstart import FromWords, token_table
from inlay.text.words import segmenter
from inlay.tokenize.kinds import ByteBPE, Characters, TokenizerConfig, Unigram, WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors import word2vec
from inlay.vectors.wordvectors import WordVectors

SIZE = 6000
KINDS: dict[str, list[TokenizerConfig]] = {
    "en": [WordPiece(size=SIZE), ByteBPE(size=SIZE), Unigram(size=SIZE)],
    "zh": [WordPiece(size=SIZE), Characters(size=SIZE), ByteBPE(size=SIZE), Unigram(size=SIZE)],
}


@pytest.fixture(scope="module")
def texts(data: Path) -> Callable[[str], list[str]]:
    def read(lang: str) -> list[str]:
        if lang == "en":
            with lzma.open(data / "enwiki-2014-sample/enwiki_sample.txt.xz", "rt", encoding="utf-8") as file:
                return file.read(600_000).split("\n")
        with lzma.open(data / "fudan-zh-test/fudan_test.jsonl.xz", "rt", encoding="utf-8") as file:
            return [json.loads(line)["text"][:1500] for line in islice(file, 80)]

    return read


@pytest.fixture(scope="module")
def trained(texts: Callable[[str], list[str]]) -> dict[str, tuple[list[str], WordVectors]]:
    made = {}
    for lang in KINDS:
        if lang == "zh":
            pytest.importorskip("rjieba")
        segment, read = segmenter(lang), texts(lang)
        config = word2vec.Word2Vec(dim=32, epochs=1, min_count=2)
        made[lang] = read, word2vec.train([segment(text) for text in read], config)
    return made


@pytest.mark.parametrize(
    ("lang", "config"),
    [(lang, c) for lang in KINDS for c in KINDS[lang]],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_nearly_all_of_a_real_text_starts_from_its_words(
    trained: dict[str, tuple[list[str], WordVectors]], lang: str, config: TokenizerConfig
) -> None:
    read, vectors = trained[lang]
    tokenizer = Tokenizer.train(read, config)
    table, coverage = token_table(vectors, tokenizer, FromWords(), np.random.default_rng(0), scale=0.02)
    assert coverage.covered > 0.99, coverage
    # Of a text a third at least is in tokens that are words; the vocabulary is small, the words' are 10,000 and more.
    own = coverage.share["copied"] + coverage.share["lowered"] + coverage.share["folded"]
    assert own > 1 / 3, coverage

    known = {}  # word -> row, for the tokens that are words of the vectors
    for token, row in tokenizer.vocabulary.items():
        written = tokenizer.writing.read(token)
        if written.whole and written.text in vectors:
            known.setdefault(written.text, row)
    assert len(known) > 300
    words = list(known)
    before = WordVectors(words, vectors.rows(words))
    after = WordVectors(words, table[list(known.values())])
    for word in words[:200]:  # near ties may change places, so their cosines are compared
        near, again = before.most_similar(word, k=5), after.most_similar(word, k=5)
        assert {other for other, _ in again} & {other for other, _ in near}
        np.testing.assert_allclose([s for _, s in again], [s for _, s in near], atol=1e-5)
