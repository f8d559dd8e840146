"""`inlay vectors classify`: from labelled texts to answers, in a shell."""

import csv
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.cli import run
from inlay.vectors.classifier import Classifier

Refused = Callable[[list[str], str], None]
GOOD, BAD = "Delicious, warm fresh tasty", "Cold; late stale greasy"
GUT, SCHLECHT = "很好吃，味道足，推荐", "太难吃了，冷了，差评"


def reviews(good: str, bad: str, n: int = 60) -> list[tuple[str, str]]:
    rng = random.Random(0)
    pairs = []
    for number in range(n):
        label, words = ("good", good) if number % 2 else ("bad", bad)
        pairs.append((f"{words} food {rng.randrange(9)}!", label))
    return pairs


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "train.txt"
    path.write_text("".join(f"__label__{label} {text}\n" for text, label in reviews(GOOD, BAD)))
    return path


def records(path: Path, pairs: list[tuple[str, str]], head: tuple[str, str] = ("review", "label")) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([head, *pairs])
    return path


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def feed(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))

    return feed


def out(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    code = run(["-q", "vectors", "classify", *arguments])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def test_from_lines_to_answers_and_a_small_file(
    lines: Path, tmp_path: Path, stdin: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    model, small = str(tmp_path / "model.bin"), str(tmp_path / "model.ftz")
    said = out("train", str(lines), "--out", model, "--epochs", "20", "--dim", "8", capsys=capsys)
    assert said.startswith("2 labels, ")
    stdin("tasty and warm\nstale and Cold;\n")
    answers = [line.split("\t") for line in out("predict", model, capsys=capsys).splitlines()]
    assert [label for label, _ in answers] == ["good", "bad"]
    assert all(0.5 < float(p) <= 1 for _, p in answers)
    (tmp_path / "new.txt").write_text("tasty\n\nstale\n")
    answers = [
        line.split("\t")
        for line in out("predict", model, str(tmp_path / "new.txt"), "-k", "2", capsys=capsys).splitlines()
    ]
    assert [len(answer) for answer in answers] == [4, 4, 4]
    none = out("predict", model, str(tmp_path / "new.txt"), "--threshold", "1", capsys=capsys)
    assert none == "\n\n\n"
    table = out("test", model, str(lines), capsys=capsys).splitlines()
    assert table[0].split() == ["label", "precision@1", "recall@1", "F1", "examples"]
    assert table[1].split() == ["all", "1.000", "1.000", "1.000", "60"]
    facts = json.loads(out("quantize", model, "--out", small, "--json", capsys=capsys))
    assert facts["bytes"] == Path(small).stat().st_size
    report = json.loads(out("test", small, str(lines), "--json", capsys=capsys))
    assert report["f1"] == 1
    assert {score["label"]: score["examples"] for score in report["labels"]} == {"good": 30, "bad": 30}


@pytest.mark.parametrize(("good", "bad", "lang"), [(GOOD, BAD, "en"), (GUT, SCHLECHT, "zh")])
def test_records_are_cut_into_words_and_so_is_what_is_asked(
    good: str, bad: str, lang: str, tmp_path: Path, stdin: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    if lang == "zh":
        pytest.importorskip("rjieba")
    source, model = str(records(tmp_path / "reviews.csv", reviews(good, bad))), str(tmp_path / "model.bin")
    common = ["--text-field", "review"]
    facts = json.loads(out("train", source, "--out", model, "--epochs", "20", "--json", *common, capsys=capsys))
    assert facts["segmenter"] == lang
    words = Classifier.load(model).model.words
    assert "food" in words
    assert not any("," in word or "，" in word for word in words)
    stdin(f"{good.upper()}\n{bad}?\n")
    answers = [json.loads(line) for line in out("predict", model, "--json", capsys=capsys).splitlines()]
    assert [answer[0]["label"] for answer in answers] == ["good", "bad"]
    assert len(out("predict", model, source, *common, capsys=capsys).splitlines()) == 60
    assert "1.000" in out("test", model, source, *common, capsys=capsys)


def test_records_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(records(tmp_path / "reviews.csv", reviews(GOOD, BAD), ("text", "label")))
    out("train", source, "--lang", "none", "--out", str(tmp_path / "model.bin"), capsys=capsys)
    assert "Delicious," in Classifier.load(tmp_path / "model.bin").model.words


def test_a_search_says_what_it_found(lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tmp_path / "model.ftz")
    search = ["--autotune", "0.3", "--validation", str(lines), "--size-mb", "0.5", "--dim", "8", "--buckets", "1000"]
    said = out("train", str(lines), "--out", model, *search, capsys=capsys)
    assert "trials: F1 1.0" in said or "trials: F1 0." in said
    assert Path(model).stat().st_size <= 500_000
    facts = json.loads(out("train", str(lines), "--out", model, "--force", "--json", *search, capsys=capsys))
    assert facts["trials"] >= 1
    assert facts["settings"]["dim"] >= 8


def test_a_cutoff_learns_again(lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, small = str(tmp_path / "model.bin"), str(tmp_path / "small.ftz")
    out("train", str(lines), "--out", model, "--word-ngrams", "2", "--dim", "8", "--buckets", "2000", capsys=capsys)
    out("quantize", model, "--out", small, "--cutoff", "20", "--retrain", str(lines), capsys=capsys)
    assert len(Classifier.load(small).model.inputs) == 20
    out("quantize", model, "--out", small, "--force", "--size-mb", "0.01", capsys=capsys)
    assert Path(small).stat().st_size <= 10_000


def test_labels_with_spaces_get_underscores_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("a b", "Home and garden"), ("c d", "Toys")] * 3
    source = str(records(tmp_path / "shop.csv", pairs, ("text", "category")))
    assert (
        run(["vectors", "classify", "train", source, "--label-field", "category", "--out", str(tmp_path / "m.bin")])
        == 0
    )
    assert capsys.readouterr().err.count("'Home and garden' becomes 'Home_and_garden'") == 1
    assert Classifier.load(tmp_path / "m.bin").labels == ["Home_and_garden", "Toys"]


def test_what_is_wrong_is_one_line(lines: Path, tmp_path: Path, refused: Refused) -> None:
    classify = ["vectors", "classify"]
    records(tmp_path / "shop.csv", [("a b", "x"), ("c d", "")], ("text", "label"))
    (tmp_path / "bad.txt").write_bytes(b"__label__a b\n__label__b \xff\n")
    model = str(tmp_path / "model.bin")
    assert run(["-q", *classify, "train", str(lines), "--out", model]) == 0
    for arguments, rule in [
        (["train", str(tmp_path / "none.txt"), "--out", "m.bin"], "no such text file"),
        (["train", str(lines), "--out", "m.vec"], "suffix must be .bin"),
        (["train", str(lines), "--out", model], "exists"),
        (["train", str(lines), "--out", "m.bin", "--dim", "-1"], "dim=-1"),
        (["train", str(lines), "--out", "m.bin", "--lang", "klingon"], "'klingon' is not known"),
        (["train", str(lines), "--out", "m.bin", "--lang", "auto"], "name the language"),
        (["train", str(lines), "--out", "m.bin", "--autotune", "3"], "need each other"),
        (["train", str(tmp_path / "bad.txt"), "--out", "m.bin"], "line 2"),
        (["train", str(tmp_path / "bad.txt"), "--lang", "en", "--out", "m.bin"], "line 2"),
        (["train", str(tmp_path / "shop.csv"), "--out", "m.bin"], "shop.csv:3: no label in field 'label'"),
        (["train", str(tmp_path / "shop.csv"), "--label-field", "kind", "--out", "m.bin"], "'kind' for --label-field"),
        (["predict", model, str(tmp_path / "none.txt")], "no such text file"),
        (["predict", str(lines)], "does not begin with the mark"),
        (["predict", str(tmp_path / "none.bin")], "no such fastText model"),
        (["quantize", model, "--out", "m.bin"], "suffix must be .ftz"),
        (["quantize", model, "--out", "m.ftz", "--size-mb", "1", "--cutoff", "3"], "leave out the others"),
        (["quantize", model, "--out", "m.ftz", "--retrain", str(lines)], "give a cutoff"),
        (["quantize", model, "--out", "m.ftz", "--part", "0"], "part=0"),
        (["quantize", model, "--out", "m.ftz", "--size-mb", "nan"], "nan bytes cannot be"),
    ]:
        refused([*classify, *arguments], rule)
