"""The table of compression: each way beside the model as it is, on the same questions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inlay.convert.convert import save_model
from inlay.embed.compress import Depth, Half, Heads
from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.evaluate.beir import Beir
from inlay.evaluate.compression import Questions, Row, Skipped, report, usual
from inlay.model.presets import preset, resize
from inlay.text.document import Document
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

NOUNS = ["bread", "soup", "cake", "sauce", "salad", "stew", "pie", "roast", "jam", "noodles", "dumplings", "rice"]
VERBS = ["knead", "simmer", "whisk", "chop", "bake", "fry", "steam", "season", "boil", "glaze"]
DOCUMENTS = [
    Document(
        id=f"{noun}-{verb}",
        title=f"How to {verb} {noun}",
        text=f"First {verb} the {noun} slowly in a pan. Then let the {noun} rest over night. To {verb} is an art.",
    )
    for noun in NOUNS
    for verb in VERBS[:5]
]


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("static")
    tokenizer = Tokenizer.train([document.full for document in DOCUMENTS], WordPiece(size=160))
    table = np.random.default_rng(0).standard_normal((tokenizer.size, 64)).astype(np.float32)
    StaticEmbedder(tokenizer, table).save(place)
    return place


def rows(found: list[Row | Skipped]) -> dict[str, Row]:
    return {one.name: one for one in found if isinstance(one, Row)}


def test_mined_questions_ask_for_documents_by_title_and_sentence() -> None:
    questions = Questions.mined(DOCUMENTS, most=20, searched=40)
    assert len(questions.texts) == 40
    assert len(questions.queries) == len(questions.qrels) > 10
    for at, answers in questions.qrels.items():
        assert questions.queries[int(at)] not in questions.texts[int(next(iter(answers)))]
    with pytest.raises(InputError, match="ask no question"):
        Questions.mined([Document(id=str(i), title="", text="one line") for i in range(50)])


def test_judged_questions_keep_grades_and_documents_that_are_missing() -> None:
    test = Beir(corpus=DOCUMENTS[:5], queries={"q": "bread"}, qrels={"q": {DOCUMENTS[2].id: 2, "elsewhere": 1}})
    questions = Questions.judged(test, "x")
    assert questions.qrels == {"0": {"2": 2, "missing elsewhere": 1}}


def test_every_way_stands_beside_the_model_as_it_is(static: Path) -> None:
    questions = Questions.mined(DOCUMENTS, most=20, searched=40)
    found = rows(list(report(static, questions)))
    base = found["as it is"]
    assert (base.change, base.low, base.high) == (0, 0, 0)
    assert set(usual(static)) < set(found)
    for row in found.values():
        assert np.isclose(row.change, row.ndcg - base.ndcg)
        assert row.low <= row.change <= row.high
        assert row.texts_per_second > 0 < row.queries_per_second
    assert found["float16"].model_mb < base.model_mb
    assert found["int8"].model_mb < found["float16"].model_mb
    assert found["vocabulary"].model_mb < base.model_mb
    assert abs(found["vectors int8"].change) < 0.05
    assert base.vectors_mb == pytest.approx(40 * 64 * 4 / 1e6)
    assert found["vectors 32"].vectors_mb == base.vectors_mb / 2
    assert found["vectors binary only"].vectors_mb < base.vectors_mb / 20


def test_an_encoder_has_more_ways_and_one_that_it_cannot_have_is_named(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train([document.full for document in DOCUMENTS], WordPiece(size=160))
    config = resize(preset("bert-tiny"), 2, 16, 2, 32, vocab_size=tokenizer.size)
    save_model(replace(config, heads=()).build(seed=3), tmp_path / "bert", tokenizer=tokenizer)
    assert {"heads - 25 %", "1 of 2 layers"} < set(usual(tmp_path / "bert"))
    questions = Questions.mined(DOCUMENTS, most=20, searched=30)
    ways = {"one": (Depth(layers=1),), "three": (Depth(layers=3),), "both": (Heads(share=0.3), Half())}
    found = list(report(tmp_path / "bert", questions, ways))
    assert [one.name for one in found[:4]] == ["as it is", "one", "three", "both"]
    assert isinstance(found[2], Skipped)
    assert "n_layers=3" in found[2].why
    assert isinstance(found[3], Row)
    assert found[3].what == "attention heads cut out, then weights of 16 bits"
