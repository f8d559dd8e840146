"""inlay compress and inlay export: tables, smaller models that are searched as before, one line for each mistake."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

import inlay
from inlay.cli import run
from inlay.convert.convert import save_model
from inlay.model.presets import preset
from inlay.search.quantised import QuantisedIndex
from inlay.search.searcher import Searcher
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([*map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bert") / "model"
    tokenizer = Tokenizer.train(["the baker saw the oven", "a sailor by the harbour"] * 3, WordPiece(size=90))
    config = preset("bert-tiny")
    config = replace(config, input=replace(config.input, vocab_size=tokenizer.size), heads=())
    save_model(config.build(seed=1), place, tokenizer=tokenizer)
    return place


def test_the_report_is_one_table_and_the_same_figures_as_json(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    code, out, _ = asked(capsys, "compress", model, "--report", "--figures", figures)
    assert code == 0
    told = json.loads(figures.read_text())
    names = [row["name"] for row in told["rows"]]
    assert names[:3] == ["as it is", "float16", "int8"]
    assert {"vectors int8", "vectors binary", "vectors product"} < set(names)
    for row in told["rows"]:
        assert row["name"] in out
    assert told["queries"] > 10


def test_given_ways_alone_are_measured_and_written(
    model: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    code, printed, err = asked(
        capsys, "compress", model, "--on", corpus, "--report", "--vocabulary", "--weights", "int8", "--vectors", "int8",
        "--out", out, "--json",
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(printed)
    assert [row["name"] for row in told["rows"][:3]] == ["as it is", "as asked", told["rows"][2]["name"]]
    assert told["out"]["documents"] == 90
    small, whole = Searcher.load(out), Searcher.load(model)
    assert isinstance(small.ranker.index, QuantisedIndex)
    question = "the sailor in the storm"
    for mode in ("hybrid", "dense", "lexical"):
        found, before = (one.search(question, 3, mode) for one in (small, whole))  # type: ignore[arg-type]
        assert found[0].id == before[0].id
    assert asked(capsys, "search", out, question)[0] == 0
    assert asked(capsys, "verify", out)[0] == 0
    code, _, err = asked(capsys, "compress", model, "--weights", "int8", "--out", out)
    assert (code, "--force" in err) == (1, True)
    assert asked(capsys, "compress", model, "--weights", "float16", "--out", out, "--force")[0] == 0
    assert not isinstance(Searcher.load(out).ranker.index, QuantisedIndex)


def test_judged_queries_are_asked_where_the_source_has_them(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "qrels").mkdir()
    texts = {"a": "the baker saw the oven", "b": "a sailor by the harbour"}
    corpus = "".join(json.dumps({"_id": id, "text": text}) + "\n" for id, text in texts.items())
    (tmp_path / "corpus.jsonl").write_text(corpus)
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "the baker saw the oven"}) + "\n")
    (tmp_path / "qrels" / "test.tsv").write_text("q\ta\t1\n")
    code, out, err = asked(capsys, "compress", bert, "--on", tmp_path, "--report", "--layers", 1, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["queries"], told["texts"], told["rows"][0]["ndcg"]) == (1, 2, 1.0)


def test_export_writes_a_file_and_says_what_it_takes(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("onnx") is None:
        pytest.skip("needs onnx")
    code, out, err = asked(capsys, "export", bert, "--onnx", tmp_path / "m.onnx", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["inputs"] == ["input_ids", "attention_mask", "token_type_ids"]
    assert told["dim"] == inlay.load(bert).dim
    assert (tmp_path / "m.onnx").is_file()


@pytest.mark.parametrize("arguments", [["static", "--out", "OUT"], ["export", "--onnx", "OUT.onnx"]])
def test_a_name_on_the_hub_is_looked_up_there(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, _, err = asked(capsys, arguments[0], "someone/small", arguments[1], tmp_path / arguments[2])
    assert code == 1
    assert "someone/small: not whole in" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compress", "MODEL"], "give --report"),
        (["compress", "MODEL", "--out", "OUT"], "needs a way"),
        (["compress", "MODEL", "--report", "--vectors", "int8"], "give --out too"),
        (["compress", "BERT", "--report"], "--on SOURCE"),
        (["compress", "BERT", "--out", "OUT", "--vectors", "int8"], "no documents to search"),
        (["compress", "BERT", "--out", "OUT", "--dim", "1000"], "dim=1000"),
        (["compress", "MODEL", "--out", "OUT", "--heads", "0.5"], "static model"),
        (["compress", "MODEL", "--out", "OUT", "--zero", "2"], "share=2"),
        (["compress", "MODEL", "--report", "--figures", "x.txt"], ".json"),
        (["compress", "nowhere", "--report"], "nowhere"),
        (["export", "MODEL", "--onnx", "OUT.onnx"], "static model"),
        (["export", "BERT", "--onnx", "OUT"], "suffix"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    arguments: list[str], message: str, model: Path, bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"MODEL": str(model), "BERT": str(bert), "OUT": str(tmp_path / "o"), "OUT.onnx": str(tmp_path / "o.onnx")}
    code, _, err = asked(capsys, *(places.get(one, one) for one in arguments))
    assert code == 1
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
