"""The pipeline on corpora of every kind: untitled, Chinese, odd, tiny; and what it keeps from whom."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.embed.embedder import load
from inlay.embed.tune import Tune
from inlay.fit import FitConfig, fit
from inlay.pipeline.ground import Ground
from inlay.search.searcher import Searcher
from inlay.text import pydocs
from inlay.text.document import Document
from inlay.vectors.word2vec import Word2Vec

SMALL = FitConfig(
    dim=32,
    vectors=Word2Vec(dim=16, min_count=2, epochs=1),
    tune=Tune(steps=5, batch=32),
)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [replace(document, text=document.text[:1500]) for document in pydocs.documents(limit=200, packages=False)]


def test_plain_texts_without_titles_are_fitted(documents: list[Document], tmp_path: Path) -> None:
    made = fit([document.text for document in documents[:60]], out=tmp_path / "model", config=SMALL)
    assert set(made.tree["held_out"]["queries"]) >= {"sentence"}
    assert not made.tree["held_out"]["queries"].get("title")
    assert Searcher.load(made.folder).search(documents[5].text[:200], 1)[0].text == documents[5].text


def test_lines_of_one_sentence_are_fitted_though_nothing_can_be_asked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"word{at}" for at in range(300)]
    lines = [" ".join(rng.choice(words, 12)) for _ in range(80)]
    made = fit(lines, out=tmp_path / "model", config=SMALL)
    assert made.tree["held_out"]["documents"] == 0
    assert made.tree["choice"]["dense"] == "lsa-grams"
    assert not made.tree["losses"]
    assert Searcher.load(made.folder).search(lines[7], 1)[0].text == lines[7]
    assert (made.folder / "report.html").stat().st_size > 1000


def test_background_text_feeds_the_words_and_is_not_searched(documents: list[Document], tmp_path: Path) -> None:
    own, general = documents[:60], documents[60:]
    made = fit(own, out=tmp_path / "model", background=[general], config=SMALL)
    searcher = Searcher.load(made.folder)
    assert {document.id for document in searcher.documents} == {document.id for document in own}
    alone = fit(own, out=tmp_path / "alone", config=SMALL)
    assert made.tree["model"]["tokens"] > alone.tree["model"]["tokens"]
    assert made.tree["data"] == alone.tree["data"]


def test_duplicates_are_trained_on_once_and_all_found(documents: list[Document], tmp_path: Path) -> None:
    twice = [*documents[:60], *(replace(document, id=f"{document.id}-copy") for document in documents[:20])]
    made = fit(twice, out=tmp_path / "model", config=SMALL)
    assert made.tree["data"]["kept"] <= 60
    ids = Searcher.load(made.folder).rank([documents[3].full], 5)[0]
    assert {documents[3].id, f"{documents[3].id}-copy"} <= set(ids)


def drawn(words: str, n: int, length: int, glue: str = " ") -> list[str]:
    """Texts of words drawn by chance, a full stop after every eighth."""
    rng = np.random.default_rng(0)
    return [
        glue.join(word + "." * (at % 8 == 7) for at, word in enumerate(rng.choice(words.split(), length)))
        for _ in range(n)
    ]


ODD = {
    "stop words only": drawn("the of and to in is that for", 40, 40),
    "one dimension": drawn("的 了 在 是 和 與", 40, 60, glue=""),
    "letters": drawn("a b c d e f g h", 40, 40),
    "kana": drawn("カメラ 東京 学校 ひらがな テスト 電車 先生 猫", 40, 40, glue=""),
    "two documents": drawn(" ".join(f"word{at}" for at in range(99)), 2, 600),
    "lone surrogates": [f"{text} \ud800" for text in drawn(" ".join(f"w{at}" for at in range(99)), 40, 40)],
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_corpus_is_fitted_all_the_same(name: str, tmp_path: Path) -> None:
    made = fit(ODD[name], out=tmp_path / "model", config=SMALL)
    vectors = load(made.folder).encode(ODD[name])
    assert np.isfinite(vectors).all()
    assert vectors.shape == (len(ODD[name]), made.tree["model"]["dim"])
    assert len(Searcher.load(made.folder).documents) == len(ODD[name])


def test_no_pair_that_is_trained_on_comes_from_a_held_out_document(
    documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    materials: list[tuple[Ground, Any, dict[str, Any]]] = []
    made = Ground.material

    def watched(ground: Ground, positions: Any, **options: Any) -> Any:
        material = made(ground, positions, **options)
        materials.append((ground, material, options))
        return material

    monkeypatch.setattr(Ground, "material", watched)
    fit(documents[:60], out=tmp_path / "model", config=SMALL)
    (ground, measured, options), (_, shipped, _) = materials
    secret = set(ground.held.positions)
    assert len(secret) == 20
    assert not secret & set(measured.documents.tolist())
    assert secret & set(shipped.documents.tolist())  # the model that is shipped learns from all
    assert set(options["avoid"]) == set(ground.held.secret)


def test_a_chinese_corpus_is_fitted(data: Path, tmp_path: Path) -> None:
    from inlay.evaluate import beir

    found = beir.read(data / "zh-retrieval-derived-drcd-test" / "beir")
    made = fit(found.corpus[:200], out=tmp_path / "model", config=SMALL)
    assert made.tree["lang"] == "zh"
    assert made.tree["choice"]["feedback"] == 0
    searcher = Searcher.load(made.folder)
    asked = found.corpus[:40]
    middles = [document.text[40:70] for document in asked]
    ranked = searcher.rank(middles, 3)
    assert np.mean([document.id in ids for document, ids in zip(asked, ranked, strict=True)]) > 0.9
    np.testing.assert_array_equal(load(made.folder).encode(middles), searcher.embedder.encode(middles))
