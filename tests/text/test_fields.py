"""Records with fields of any name: typed values, and errors that name file, line, field and value."""

import gzip
from pathlib import Path

import pytest

from inlay.errors import InputError
from inlay.text.fields import Record, records


def made(**fields: object) -> Record:
    return Record(where="f line 2", fields=fields)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"Query": "猫", "n": 3}\n\n{"query": "x y", "n": "4.5"}\n'),
        ("a.csv", "query,n\n猫,3\nx y,4.5\n"),
        ("a.tsv", "query\tn\n猫\t3\nx y\t4.5\n"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_same_values(name: str, text: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / (name + ".gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found = list(records(path))
    assert [record.text("query", "q") for record in found] == ["猫", "x y"]
    assert [record.number("n") for record in found] == [3.0, 4.5]
    assert found[0].where == f"{path} line {1 if 'jsonl' in name else 2}"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.text("query", "q"), r"f line 2: no field 'query' \(or q\); there are 'a', 'b', 'c', 'd', 'e'"),
        (lambda r: r.text("a"), "f line 2: field 'a' must be a text, not 3"),
        (lambda r: r.text("b"), "f line 2: field 'b' is empty; fill it in, or drop the record"),
        (lambda r: r.text("c"), "f line 2: no field 'c'"),
        (lambda r: r.number("b"), "f line 2: field 'b' must be a number, not ' '"),
        (lambda r: r.number("d"), "f line 2: field 'd' must be a number, not True"),
        (lambda r: r.label("b"), "f line 2: field 'b' must be a label"),
        (lambda r: r.texts("a"), "f line 2: field 'a' must be a list of texts, not 3"),
        (lambda r: r.texts("e"), "f line 2: field 'e' must be a list of texts"),
    ],
)
def test_what_is_wrong_is_named_by_place_and_value(ask: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(made(a=3, b=" ", c=None, d=True, e=["x", " "]))  # type: ignore[operator]


def test_labels_are_texts_and_lists_may_be_one_text() -> None:
    record = made(a=1.0, b=" good ", c="one", d=["one", "two"])
    assert [record.label("a"), record.label("b"), record.texts("c"), record.texts("d")] == [
        "1",
        "good",
        ["one"],
        ["one", "two"],
    ]
    assert record.has("x", "a")
    assert not record.has("x")


def test_a_column_without_a_name_hides_no_other_and_no_number_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",query\n0,x\n")
    (record,) = records(tmp_path / "a.csv")
    assert record.text("query") == "x"
    assert not record.has("text1")
    with pytest.raises(InputError, match="f line 2: field 'a' must be a label, not nan"):
        made(a=float("nan")).label("a")


@pytest.mark.parametrize(("name", "message"), [("no.jsonl", "no such file"), ("a.txt", "records are read from .jsonl")])
def test_a_file_that_is_none_is_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=message):
        list(records(tmp_path / name))
