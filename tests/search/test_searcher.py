"""Searcher: the same hits before and after the disk, every file held, and honest answers to odd questions."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.files import sha256
from inlay.search.hybrid import MODES, Feedback, Fusion, Mode, ReciprocalRank, ZSum
from inlay.search.searcher import Searcher
from inlay.text.document import Document
from inlay.tokenize.tokenizer import Tokenizer

SUBJECTS = {
    "cats": "cats purr and drink milk beside warm stoves",
    "engines": "diesel engines burn fuel inside iron cylinders",
    "violins": "violins sing sonatas under wooden bows",
    "rivers": "rivers carry silt toward flat deltas",
    "stars": "stars fuse hydrogen far above clouds",
}
DOCUMENTS = [Document(id=f"d-{title}", title=title, text=text) for title, text in SUBJECTS.items()]
QUERIES = ["purring cats", "diesel fuel", "wooden violins", "river silt", "hydrogen stars"]


def embedder(dim: int = 64) -> StaticEmbedder:
    words = sorted({word for document in DOCUMENTS for word in document.full.split()} | {"purring", "river"})
    tokenizer = Tokenizer.from_vocabulary(words)
    table = np.random.default_rng(0).standard_normal((tokenizer.size, dim), np.float32)
    table[:2] = 0
    return StaticEmbedder(tokenizer, table)


def build(documents: list[Document] = DOCUMENTS, **options: object) -> Searcher:
    return Searcher.build(documents, embedder(), lang="en", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    return build()


@pytest.fixture
def folder(tmp_path: Path, searcher: Searcher) -> Path:
    searcher.embedder.save(tmp_path / "model")  # type: ignore[attr-defined]
    searcher.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("mode", MODES)
def test_many_documents_make_blocks_of_few_queries(
    searcher: Searcher, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    encode = searcher.embedder.encode
    whole = searcher.rank(QUERIES, 3, mode)
    monkeypatch.setattr("inlay.search.searcher._SCORES", 2 * len(DOCUMENTS))
    monkeypatch.setattr(
        searcher.embedder, "encode", lambda texts, **asks: asked.append(len(texts)) or encode(texts, **asks)
    )
    assert searcher.rank(QUERIES, 3, mode) == whole
    assert asked == ([] if mode == "lexical" else [2, 2, 1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("query", SUBJECTS)
def test_the_title_of_a_document_finds_it(searcher: Searcher, query: str, mode: Mode) -> None:
    hits = searcher.search(query, 3, mode)
    assert hits[0].id == f"d-{query}"
    assert (hits[0].title, hits[0].text) == (query, SUBJECTS[query])
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("mode", MODES)
def test_a_saved_searcher_gives_equal_hits(searcher: Searcher, folder: Path, mode: Mode) -> None:
    again = Searcher.load(folder)
    assert again.search_all(QUERIES, 4, mode) == searcher.search_all(QUERIES, 4, mode)
    assert list(again.documents) == DOCUMENTS
    assert len(again.documents) == len(DOCUMENTS)


@pytest.mark.parametrize(
    "fusion",
    [
        Fusion(rule=ZSum(weight=0.2), feedback=Feedback(strength=0)),
        Fusion(rule=ReciprocalRank()),
        Fusion(smoothing=0.3),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", MODES)
def test_fusion_and_mode_are_kept(fusion: Fusion, mode: Mode, tmp_path: Path) -> None:
    made = build(fusion=fusion, mode=mode)
    made.embedder.save(tmp_path)  # type: ignore[attr-defined]
    made.save(tmp_path)
    again = Searcher.load(tmp_path)
    assert again.mode == mode
    assert again.ranker.fusion == fusion
    assert again.search("cats") == made.search("cats") == made.search("cats", mode=mode)


def test_rank_gives_the_ids_of_the_hits(searcher: Searcher) -> None:
    assert searcher.rank(QUERIES, 4) == [[hit.id for hit in hits] for hits in searcher.search_all(QUERIES, 4)]


@pytest.mark.parametrize("mode", MODES)
def test_a_query_is_answered_the_same_alone_and_among_many(searcher: Searcher, mode: Mode) -> None:
    together = searcher.rank(QUERIES * 60, 3, mode)  # more than a block
    assert len(together) == len(QUERIES) * 60
    assert together == [searcher.rank([query], 3, mode)[0] for query in QUERIES] * 60


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("query", ["", "  ", "zzz qqq", "☃"])
def test_a_query_of_which_nothing_is_known_has_no_hits(searcher: Searcher, query: str, mode: Mode) -> None:
    assert searcher.search(query, mode=mode) == []
    assert searcher.rank([query, "cats"], 1, mode) == [[], ["d-cats"]]


def test_by_words_alone_a_document_without_one_is_no_hit(searcher: Searcher) -> None:
    assert {hit.id for hit in searcher.search("diesel milk", mode="lexical")} == {"d-engines", "d-cats"}


@pytest.mark.parametrize("mode", MODES)
def test_more_hits_than_documents_cannot_be(searcher: Searcher, mode: Mode) -> None:
    hits = searcher.search("cats", 1000, mode)
    assert 1 <= len(hits) <= len(DOCUMENTS)
    assert len({hit.id for hit in hits}) == len(hits)


@pytest.mark.parametrize("mode", MODES)
def test_one_document_is_found_by_its_words_and_not_by_others(mode: Mode) -> None:
    one = build(DOCUMENTS[:1])
    assert [hit.id for hit in one.search("cats", mode=mode)] == ["d-cats"]
    assert one.search("zzz", mode=mode) == []


@pytest.mark.parametrize("mode", MODES)
def test_no_documents_have_no_hits(mode: Mode) -> None:
    assert build([]).search_all(["cats", ""], mode=mode) == [[], []]


@pytest.mark.parametrize("mode", MODES)
def test_equal_documents_are_hits_in_their_order(mode: Mode) -> None:
    same = [Document(id=str(at), text="cats purr") for at in range(9)]
    assert build(same).rank(["cats"], 5, mode) == [["0", "1", "2", "3", "4"]]


def test_an_id_that_was_there_before_gets_a_number(tmp_path: Path) -> None:
    ids = ["a", "b", "a", "a (2)", "a", "b"]
    twice = [Document(id=id, text=f"cats number{at}") for at, id in enumerate(ids)]
    made = build(twice)
    found = [document.id for document in made.documents]
    assert found == ["a", "b", "a (2)", "a (2) (2)", "a (3)", "b (2)"]
    assert sorted(made.rank(["cats"], 10, "lexical")[0]) == sorted(found)
    assert [document.id for document in twice] == ids
    many = build([Document(id="same", text="cats")] * 3000)
    assert many.documents[-1].id == "same (3000)"


def test_titles_and_texts_of_any_characters_come_back(tmp_path: Path) -> None:
    odd = [
        Document(id='q"uo\\te', title="tab\tand\nbreak", text="\u2028 cats \u0085 \r\n 貓 🐈 \x00"),
        Document(id="\n", title="", text="cats"),
    ]
    made = build(odd)
    made.embedder.save(tmp_path)  # type: ignore[attr-defined]
    made.save(tmp_path)
    assert list(Searcher.load(tmp_path).documents) == odd


# --- damage


def test_one_flipped_bit_or_a_missing_file_is_refused_by_name(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for file in sorted(file for file in (folder / "search").rglob("*") if file.is_file() and file.name != ".lock"):
        whole = file.read_bytes()
        for _ in range(3):
            changed = bytearray(whole)
            changed[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
            file.write_bytes(changed)
            with pytest.raises(InputError, match=r"json|npy|safetensors"):
                Searcher.load(folder)
        file.unlink()
        with pytest.raises(InputError, match=rf"{file.name}|checksums|no documents to search"):
            Searcher.load(folder)
        file.write_bytes(whole)
    Searcher.load(folder)


@pytest.mark.parametrize("settings", [{}, [], {"mode": "fast", "fusion": {}}, {"mode": "hybrid", "fusion": {"rul": 1}}])
def test_settings_that_make_no_sense_are_refused_even_with_their_checksum(settings: object, folder: Path) -> None:
    search = folder / "search"
    (search / "search.json").write_text(json.dumps(settings))
    sums = json.loads((search / "checksums.json").read_text())
    sums["search.json"] = sha256(search / "search.json")
    (search / "checksums.json").write_text(json.dumps(sums))
    with pytest.raises(InputError):
        Searcher.load(folder)


def test_parts_of_different_searchers_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    build(DOCUMENTS[:4]).save(other)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    for part in ("lexical", "index"):
        shutil.rmtree(folder / "search" / part)
        shutil.copytree(other / "search" / part, folder / "search" / part)
        with pytest.raises(InputError, match="documents"):
            Searcher.load(folder)
        shutil.rmtree(folder / "search" / part)
        shutil.copytree(whole / "search" / part, folder / "search" / part)
    embedder(dim=5).save(folder)
    with pytest.raises(InputError, match="the index has 64 dimensions, the model 5"):
        Searcher.load(folder)


def test_a_model_without_documents_says_so(tmp_path: Path) -> None:
    embedder().save(tmp_path)
    with pytest.raises(InputError, match="holds a model but no documents to search"):
        Searcher.load(tmp_path)


def test_what_cannot_be_asked_is_told(searcher: Searcher) -> None:
    with pytest.raises(InputError, match="mode='hybird' is unknown; did you mean 'hybrid'"):
        searcher.search("cats", mode="hybird")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="k=0 must be at least 1"):
        searcher.search("cats", 0)
    assert searcher.search_all([]) == []


def test_a_hit_cannot_be_changed(searcher: Searcher) -> None:
    hit = searcher.search("cats")[0]
    with pytest.raises(AttributeError):
        hit.score = 2.0  # type: ignore[misc]
    assert replace(hit, score=2.0).score == 2.0
