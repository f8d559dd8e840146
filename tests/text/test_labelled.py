"""Labelled pairs: both kinds are read, and what is wrong is told with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from inlay.errors import InputError
from inlay.text.labelled import Alike, Answered, read_pairs


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_queries_come_with_their_answers_and_what_does_not_answer(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"query": "a b", "positive": "c", "negatives": ["d", "e"]},
        {"anchor": "f", "pos": ["g", "h"]},
        {"question": "i", "answer": "j", "negative": "k"},
    )
    assert read_pairs(path) == [
        Answered(query="a b", positive="c", negatives=("d", "e")),
        Answered(query="f", positive="g"),
        Answered(query="f", positive="h"),
        Answered(query="i", positive="j", negatives=("k",)),
    ]


def test_texts_come_with_how_alike_they_are(tmp_path: Path) -> None:
    path = written(
        tmp_path, {"text1": "a", "text2": "b", "score": 3}, {"sentence1": "c", "sentence2": "d", "label": "0.5"}
    )
    assert read_pairs(path) == [Alike(left="a", right="b", score=3.0), Alike(left="c", right="d", score=0.5)]
    table = tmp_path / "pairs.tsv"
    table.write_text("text1\ttext2\tscore\na\tb\t3\nc\td\t0.5\n")
    assert read_pairs(table) == read_pairs(path)


GOOD = {"query": "a", "positive": "b"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD, {"query": "c"}], r"pairs.jsonl line 2: no field 'positive'"),
        ([GOOD, {"positive": "c"}], r"line 2: no field 'query'"),
        ([GOOD, {"query": " ", "positive": "c"}], r"line 2: field 'query' is empty"),
        ([GOOD, {"query": "c", "positive": 7}], r"line 2: field 'positive' must be a list of texts, not 7"),
        ([GOOD, {"query": "c", "positive": []}], r"line 2: field 'positives' is an empty list"),
        ([GOOD, {"query": "c", "positive": "d", "negatives": ["d"]}], r"line 2: 'd' is a positive and a negative"),
        ([GOOD, "{"], r"line 2: not JSON"),
        ([GOOD], r"pairs.jsonl: holds one pair"),
        ([], r"pairs.jsonl: holds no pair"),
        (
            [GOOD, {"text1": "a", "text2": "b", "score": 1}],
            r"line 2: texts with a score, but .* line 1 is of the other",
        ),
        ([{"text1": "a", "text2": "b", "score": 1}, GOOD], r"line 2: a query with its answer, but .*line 1"),
        ([{"text1": "a", "text2": "b"}] * 2, r"line 1: no field 'score'"),
        ([{"text1": "a", "score": 1}] * 2, r"line 1: no field 'text2'"),
        ([{"text1": "a", "text2": "b", "score": "high"}] * 2, r"line 1: field 'score' must be a number, not 'high'"),
        (['{"text1": "a", "text2": "b", "score": NaN}'] * 2, r"line 1: .*number"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as told:
        read_pairs(written(tmp_path, *rows))
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_pairs(tmp_path / "none.jsonl")
