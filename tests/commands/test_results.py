"""What the verbs print: the same as the library says, as text for people and as JSON."""

import csv
import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inlay.cli import run
from inlay.text import data as sets
from inlay.vectors.wordvectors import WordVectors

Capture = pytest.CaptureFixture[str]
Spoken = Callable[[str], str]


def test_quiet_says_nothing_but_errors(
    vectors: Path, corpus: Path, tmp_path: Path, capsys: Capture, spoken: Spoken
) -> None:
    command = ["embed", str(vectors), str(corpus), "--out", str(tmp_path / "x.jsonl")]
    assert run(["-q", *command]) == 0
    assert capsys.readouterr().err == ""
    assert run(["-q", *command]) == 1
    assert spoken(capsys.readouterr().err).endswith("exists; give another --out, or --force to replace it")
    assert run([*command, "--force"]) == 0
    assert "embed" in capsys.readouterr().err


def listing(model: Path, vectors: Path, corpus: Path, beir: Path, tmp_path: Path) -> dict[str, list[str]]:
    return {
        "search": ["search", str(model), "baker bread"],
        "embed": ["embed", str(model), str(corpus), "--out", str(tmp_path / "x.npy")],
        "evaluate": ["evaluate", str(model), "--on", str(beir)],
        "info": ["info", str(model)],
        "info file": ["info", str(vectors)],
        "check-data": ["check-data", str(corpus)],
        "tokenizer train": ["tokenizer", "train", str(corpus), "--out", str(tmp_path / "t"), "--size", "300"],
        "tokenizer encode": ["tokenizer", "encode", str(model), "the baker", "--max-length", "1"],
        "vectors train": ["vectors", "train", str(corpus), "--out", str(tmp_path / "v.txt"), "--epochs", "1"],
        "vectors neighbours": ["vectors", "neighbours", str(vectors), "king"],
        "vectors analogy": ["vectors", "analogy", str(vectors), "man", "king", "woman"],
        "vectors similarity": ["vectors", "similarity", str(vectors), "猫", "狗"],
        "vectors odd": ["vectors", "odd", str(vectors), "king", "queen", "猫"],
        "vectors convert": ["vectors", "convert", str(vectors), str(tmp_path / "c.bin")],
        "vectors map": ["vectors", "map", str(vectors), "--out", str(tmp_path / "m.html")],
        "data list": ["data", "list"],
        "data path": ["data", "path", "cranfield"],
        "data pull": ["data", "pull", "cranfield"],
        "data verify": ["data", "verify", "cranfield"],
    }


@pytest.mark.parametrize("name", listing(*[Path()] * 5))
def test_results_come_as_text_and_as_json(
    name: str, model: Path, vectors: Path, corpus: Path, beir: Path, tmp_path: Path, request: Any, capsys: Capture
) -> None:
    if "cranfield" in listing(*[Path()] * 5)[name]:
        request.getfixturevalue("data")
    capsys.readouterr()
    command = listing(model, vectors, corpus, beir, tmp_path)[name]
    assert run(command) == 0
    text = capsys.readouterr().out
    assert text.strip()
    for line in text.splitlines():
        assert line == line.rstrip()
    again = [*command, "--force"] if {"--out", "convert"} & set(command) else command
    assert run([*again, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_search_gives_the_hits_of_the_library(model: Path, capsys: Capture) -> None:
    from inlay.search.searcher import Searcher

    searcher = Searcher.load(model)
    for mode in ("hybrid", "dense", "lexical"):
        assert run(["search", str(model), "the doctor in the ward", "-k", "4", "--mode", mode, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        expected = searcher.search("the doctor in the ward", 4, mode)
        assert [hit["id"] for hit in found["hits"]] == [hit.id for hit in expected]
        assert len(expected) == 4
    assert run(["search", str(model), "qqqqxyz"]) == 0
    assert "no hits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("title", "text", "shown"),
    [("Go", "Google it.", "Google it."), ("Go", "Go: a game.", "a game."), ("", "No title.", "No title.")],
)
def test_a_hit_shows_its_title_once_and_its_words_whole(title: str, text: str, shown: str, capsys: Capture) -> None:
    from inlay.commands.model import _show_hits
    from inlay.search.searcher import Hit

    _show_hits([Hit(id="a", score=1.0, title=title, text=text)])
    assert capsys.readouterr().out.splitlines()[1].strip() == shown


def test_search_reads_a_query_a_line_and_answers_each(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = "\ufeffbaker\n\n  sailor storm \nCafé 猫".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="ascii"))
    assert run(["search", str(model), "-", "-k", "2", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["query"] for answer in answers] == ["baker", "", "sailor storm", "Café 猫"]
    assert [len(answer["hits"]) for answer in answers] == [2, 0, 2, 0]


def test_a_query_is_read_in_a_locale_that_cannot(model: Path, capsys: Capture) -> None:
    query = "Café 猫 baker".encode().decode("ascii", "surrogateescape")
    assert run(["search", str(model), query, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["query"] == "Café 猫 baker"


def test_evaluate_agrees_with_the_library(model: Path, beir: Path, capsys: Capture) -> None:
    from inlay.evaluate.beir import read
    from inlay.evaluate.retrieval import measure
    from inlay.search.searcher import Searcher

    assert run(["evaluate", str(model), "--on", str(beir), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    test = read(beir)
    searcher = Searcher.load(model)  # the corpus is the one that the model was fitted to
    for mode in ("hybrid", "dense", "lexical"):
        ranked = searcher.rank(list(test.queries.values()), 100, mode)
        expected = measure(dict(zip(test.queries, ranked, strict=True)), test.qrels)["ndcg@10"]
        assert found["scores"][mode]["ndcg@10"]["mean"] == pytest.approx(expected, abs=1e-6)
        low, high = found["scores"][mode]["ndcg@10"]["low"], found["scores"][mode]["ndcg@10"]["high"]
        assert low <= expected <= high


def test_embed_takes_the_flags_of_a_corpus(vectors: Path, tmp_path: Path, capsys: Capture) -> None:
    source = tmp_path / "x.csv"
    with open(source, "w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows([["key", "words"], ["a", "king 猫"], ["b", ""]])
    options = ["--encoding", "gb18030", "--text-field", "words", "--id-field", "key"]
    assert run(["embed", str(vectors), str(source), "--out", str(tmp_path / "x.jsonl"), *options]) == 0
    assert capsys.readouterr().out.startswith("2 texts, ")
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "b"]
    assert [any(row["vector"]) for row in rows] == [True, False]


KINDS = ["wordpiece", "bpe", "unigram", "bytebpe", "bytes", "characters", "words"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tokenizer_is_trained_and_says_what_it_cut(
    kind: str, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    size = [] if kind == "bytes" else ["--size", "300"]
    assert run(["tokenizer", "train", str(corpus), "--kind", kind, *size, "--out", str(tmp_path / "t")]) == 0
    capsys.readouterr()
    shown = []
    for limit in ([], ["--max-length", "2"]):
        assert run(["tokenizer", "encode", str(tmp_path / "t"), "the baker saw", *limit, "--json"]) == 0
        shown.append(json.loads(capsys.readouterr().out))
    whole, short = shown
    assert len(whole["tokens"]) == len(whole["ids"])
    assert whole["cut"] == 0
    assert short == {"tokens": whole["tokens"][:2], "ids": whole["ids"][:2], "cut": len(whole["ids"]) - 2}


def test_a_setting_of_the_tokenizer_can_be_given(corpus: Path, tmp_path: Path, capsys: Capture, spoken: Spoken) -> None:
    for number, setting in enumerate(["lowercase=true", "lowercase=false"]):
        out = tmp_path / str(number)
        assert run(["tokenizer", "train", str(corpus), "--kind", "words", "--set", setting, "--out", str(out)]) == 0
        capsys.readouterr()
        assert run(["tokenizer", "encode", str(out), "The", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["tokens"] == [["the"], ["The"]][number]
    assert run(["tokenizer", "train", str(corpus), "--kind", "bytes", "--size", "9", "--out", str(tmp_path / "b")]) == 1
    assert "unknown key 'size' for Bytes" in spoken(capsys.readouterr().err)


@pytest.mark.parametrize("suffix", [".txt", ".bin", ".safetensors"])
def test_vectors_are_trained_repeatably_in_every_format(
    suffix: str, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    outs = [tmp_path / f"{n}{suffix}" for n in range(2)]
    for out in outs:
        options = shlex.split("--dim 12 --window 3 --negative 2 --min-count 2 --epochs 1 --seed 4")
        assert run(["vectors", "train", str(corpus), "--out", str(out), *options]) == 0
    trained, again = map(WordVectors.load, outs)
    assert trained.words == again.words
    assert trained.matrix.tobytes() == again.matrix.tobytes()
    assert trained.dim == 12
    assert "baker" in trained
    assert "The" not in trained


def test_check_data_draws_its_lengths(corpus: Path, capsys: Capture) -> None:
    assert run(["check-data", str(corpus)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^documents +90$", out, re.MULTILINE)
    assert "█" in out
    assert out.rstrip().endswith("can be trained on")


def test_verify_names_what_is_not_as_published(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, spoken: Spoken
) -> None:
    monkeypatch.setattr(sets, "verify", lambda name: ["a: missing"])
    monkeypatch.setattr(sets, "path", lambda name: tmp_path)
    assert run(["data", "verify", "cranfield"]) == 1
    out, err = capsys.readouterr()
    assert out == "cranfield: a: missing\n"
    assert "cranfield: not as published" in spoken(err)
