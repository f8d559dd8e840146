"""`inlay evaluate`: the verb that needs no name, and the figures of word vectors."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.cli import run
from inlay.vectors.wordvectors import WordVectors

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "questions.txt"
    path.write_text(": family\nking queen man woman\nman woman king queen\nking queen man girl\n: pets\n猫 狗 狗 猫\n")
    return path


def test_a_model_needs_no_verb_before_it(model: Path, beir: Path, capsys: Capture) -> None:
    spoken = []
    for words in (
        ["evaluate", str(model), "--on", str(beir), "--json"],
        ["evaluate", "--on", str(beir), str(model), "--json"],
        ["evaluate", "retrieval", str(model), "--on", str(beir), "--json"],
    ):
        assert run(words) == 0
        spoken.append(json.loads(capsys.readouterr().out))
    assert spoken[0] == spoken[1] == spoken[2]


def test_a_model_in_a_folder_named_like_a_verb_is_given_as_a_path(
    model: Path, beir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vectors").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    assert run(["-q", "evaluate", "./vectors", "--on", str(beir)]) == 0


def test_word_vectors_get_the_figures_of_the_library(vectors: Path, asked: Path, capsys: Capture) -> None:
    from inlay.evaluate.word_sets import evaluate, tree

    expected = tree(evaluate(WordVectors.load(vectors), [asked]))
    assert run(["evaluate", "vectors", str(vectors), "--on", str(asked), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert [row["section"] for row in expected] == [None, "family", "pets"]


@pytest.mark.parametrize(("flags", "rows"), [([], 1), (["--sections"], 3), (["--method", "mul", "--top", "4"], 1)])
def test_a_table_shows_how_many_questions_could_be_asked(
    flags: list[str], rows: int, vectors: Path, asked: Path, capsys: Capture
) -> None:
    assert run(["evaluate", "vectors", str(vectors), "--on", str(asked), *flags]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + rows
    assert printed[2].startswith("questions.txt")
    assert printed[2].endswith("of 4 (50%)" if "--top" in flags else "3 of 4 (75%)")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--on", "wordsim-e"], "wordsim-e: no such file, and no set of questions; did you mean 'wordsim-en'"),
        (["--on", "QUESTIONS", "--top", "0"], "--top 0 must be at least 1"),
        (["--on", "QUESTIONS", "--ngrams"], "no n-grams in it, as --ngrams needs"),
        (["--on", "ENGLISH"], "know the words of no question"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: list[str], expected: str, vectors: Path, asked: Path, refused: Callable[[list[str], str], None]
) -> None:
    strange = asked.with_name("strange.txt")
    strange.write_text("one two three four\n")
    names = {"QUESTIONS": str(asked), "ENGLISH": str(strange)}
    refused(["evaluate", "vectors", str(vectors), *(names.get(word, word) for word in arguments)], expected)


def test_no_vectors_are_said_before_the_sets_are_read(refused: Callable[[list[str], str], None]) -> None:
    refused(["evaluate", "vectors", "absent.bin", "--on", "wordsim-en"], "absent.bin: no such file of word vectors")
