"""fit: the whole way from text to a folder that is measured, searchable, repeatable, and safe against every break."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.embed.embedder import load
from inlay.embed.rungs import RUNGS
from inlay.embed.tune import Tune
from inlay.errors import InputError
from inlay.files import read_json, verify_checksums
from inlay.fit import FitConfig, Fitted, fit
from inlay.pipeline import ship
from inlay.search.searcher import Searcher
from inlay.stages import Run
from inlay.text import pydocs
from inlay.text.document import Document
from inlay.vectors.word2vec import Word2Vec

SMALL = FitConfig(
    dim=32,
    vectors=Word2Vec(dim=16, min_count=2, epochs=1),
    tune=Tune(steps=5, batch=32),
)
STAGES = [
    "read",
    "tokenizer",
    "word vectors",
    *(f"rung {step.name}" for step in RUNGS),
    "fusion",
    "model",
    "index",
]


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [replace(document, text=document.text[:1500]) for document in pydocs.documents(limit=200, packages=False)]


@pytest.fixture(scope="module")
def fitted(documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit(documents, out=tmp_path_factory.mktemp("fit") / "model", config=SMALL)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file that must be the same in every run; inlay.json and what is drawn from it hold times."""
    timed = {"inlay.json", "report.html", "README.md", "checksums.json"}
    files = [
        file for file in folder.rglob("*") if file.is_file() and not (file.parent == folder and file.name in timed)
    ]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def timeless(tree: Any) -> Any:
    """The tree without what differs from run to run."""
    if isinstance(tree, dict):
        return {key: timeless(value) for key, value in tree.items() if key not in ("seconds", "cpu_s", "peak_mb")}
    return [timeless(value) for value in tree] if isinstance(tree, list) else tree


def same(folder: Path, fitted: Fitted) -> bool:
    now, then = read_json(folder / "inlay.json"), read_json(fitted.folder / "inlay.json")
    for tree in (now, then):
        del tree["data"]["sources"]
    return contents(folder) == contents(fitted.folder) and timeless(now) == timeless(then)


# --- what is there at the end


def test_the_folder_has_everything_and_nothing_is_left_beside_it(fitted: Fitted) -> None:
    names = {entry.name for entry in fitted.folder.iterdir()}
    assert names == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
        *("modules.json", "1_Normalize", "config_sentence_transformers.json", "README.md", "inlay.json"),
        *("checksums.json", "report.html", "search"),
    }
    assert [entry.name for entry in fitted.folder.parent.iterdir()] == ["model"]
    assert verify_checksums(fitted.folder) == 9
    report = (fitted.folder / "report.html").read_text(encoding="utf-8")
    assert report.startswith("<!DOCTYPE html>")
    assert "tuned-lsa" in report
    assert "tuned-lsa" in (fitted.folder / "README.md").read_text(encoding="utf-8")
    readable = {file.stat().st_mode & 0o777 for file in fitted.folder.rglob("*") if file.is_file()}
    assert readable == {0o666 & ~os.umask(os.umask(0o022))}


def test_the_checksums_cover_every_file_of_the_model(fitted: Fitted) -> None:
    listed = read_json(fitted.folder / "checksums.json")
    outside = {"README.md", "report.html"}  # for people; the search folder has checksums of its own
    files = {file.relative_to(fitted.folder).as_posix() for file in fitted.folder.rglob("*") if file.is_file()}
    assert set(listed) == {name for name in files if not name.startswith("search/")} - outside - {"checksums.json"}


def test_the_tree_tells_what_was_measured(fitted: Fitted, documents: list[Document]) -> None:
    tree = fitted.tree
    assert tree == read_json(fitted.folder / "inlay.json")
    assert tree["lang"] == "en"
    assert tree["config"]["dim"] == 32
    assert tree["data"]["documents"] == 200
    assert 190 <= tree["data"]["kept"] <= 200
    assert tree["held_out"]["index"] == tree["data"]["kept"]
    assert tree["held_out"]["queries"]["title"] == tree["held_out"]["documents"] > 20
    assert [stage["name"] for stage in tree["stages"]] == STAGES
    rows = {row["name"]: row for row in tree["ladder"]}
    assert [row["name"] for row in tree["ladder"][:9]] == ["bm25", *(step.name for step in RUNGS)]
    assert sum(row["shipped"] for row in rows.values()) == 1
    for row in rows.values():
        for scores in row["scores"].values():
            assert 0 <= scores["low"] <= scores["ndcg@10"] <= scores["high"] <= 1
    assert rows["bm25"]["mean"] > 0.3
    assert rows["lsa"]["mean"] > 0.2
    assert set(tree["losses"]) == {"tuned-random", "tuned-vectors", "tuned-lsa"}
    assert all(len(losses) == 5 for losses in tree["losses"].values())
    assert tree["choice"]["dense"] in rows
    assert tree["choice"]["why"]
    assert len(tree["map"]["x"]) == len(tree["map"]["y"]) == len(tree["map"]["titles"]) == 200
    assert tree["examples"]
    assert tree["model"]["dim"] == 32


def test_sentence_transformers_loads_it_with_equal_vectors(fitted: Fitted, documents: list[Document]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pytest.importorskip("sentence_transformers").SentenceTransformer(str(fitted.folder), device="cpu")
    texts = [document.full for document in documents[:50]] + ["", "嵌入 zzz", "a" * 5000]
    np.testing.assert_allclose(load(fitted.folder).encode(texts), theirs.encode(texts), atol=1e-6)


@pytest.mark.parametrize(("mode", "least"), [("hybrid", 0.8), ("lexical", 0.8), ("dense", 0.6)])
def test_a_title_finds_its_document(mode: Any, least: float, fitted: Fitted, documents: list[Document]) -> None:
    searcher = Searcher.load(fitted.folder)
    assert searcher.mode == fitted.tree["choice"]["mode"]
    asked = documents[::4]
    found = searcher.rank([document.title for document in asked], 3, mode)
    share = np.mean([document.id in ids for document, ids in zip(asked, found, strict=True)])
    assert share >= least


# --- the same again


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(
    fitted: Fitted, documents: list[Document], tmp_path: Path
) -> None:
    again = fit(documents, out=tmp_path / "again", config=SMALL)
    assert same(again.folder, fitted)
    other = fit(documents, out=tmp_path / "other", config=replace(SMALL, seed=1))
    assert contents(other.folder)["model.safetensors"] != contents(fitted.folder)["model.safetensors"]


def broken(name: str) -> Callable[..., Path]:
    """`Run.stage` that is interrupted at the end of the named stage's work, before it is kept."""
    whole = Run.stage

    def stage(run: Run, at: str, make: Callable[[Path], None]) -> Path:
        def work(part: Path) -> None:
            make(part)
            if at == name:
                raise KeyboardInterrupt

        return whole(run, at, work)

    return stage


def test_a_run_broken_within_every_stage_ends_as_the_unbroken_one(
    fitted: Fitted, documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    for at, name in enumerate(STAGES):
        monkeypatch.setattr(Run, "stage", broken(name))
        with pytest.raises(KeyboardInterrupt):
            fit(documents, out=out, config=SMALL, resume=True)
        monkeypatch.undo()
        done = {entry.name for entry in tmp_path.glob("model.part/*") if entry.is_dir()}
        assert done == set(STAGES[:at])
        assert not out.exists()
    assemble = ship.assemble

    def half(*arguments: Any) -> None:
        assemble(*arguments)
        raise KeyboardInterrupt  # the folder stands, the stages are not yet cleared

    monkeypatch.setattr(ship, "assemble", half)
    with pytest.raises(KeyboardInterrupt):
        fit(documents, out=out, config=SMALL, resume=True)
    monkeypatch.undo()
    resumed = fit(documents, out=out, config=SMALL, resume=True)
    assert same(resumed.folder, fitted)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


CHILD = """
    import json, sys, time
    from pathlib import Path
    from inlay.config import from_tree
    from inlay.fit import FitConfig, fit
    from inlay.stages import Run

    source, out, config, stop = sys.argv[1:]
    whole = Run.stage

    def stage(run, name, make):
        def work(part):
            make(part)
            if name == stop:
                print("within", flush=True)
                time.sleep(60)
        return whole(run, name, work)

    Run.stage = stage
    fit(source, out=out, config=from_tree(FitConfig, json.loads(config)))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_loses_its_running_stage_only(
    how: signal.Signals, fitted: Fitted, documents: list[Document], tmp_path: Path
) -> None:
    source = tmp_path / "docs.jsonl"
    lines = [json.dumps({"id": d.id, "title": d.title, "text": d.text}) for d in documents]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "out" / "model"
    stop = "rung lsa" if how == signal.SIGKILL else "word vectors"
    tree = json.dumps(
        {"dim": 32, "vectors": {"dim": 16, "min_count": 2, "epochs": 1}, "tune": {"steps": 5, "batch": 32}}
    )
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(source), str(out), tree, stop],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "within\n"
    os.kill(process.pid, how)
    assert process.wait(10) != 0
    assert not out.exists()
    done = [name for name in STAGES if (out.with_name("model.part") / name).is_dir()]
    assert done == STAGES[: STAGES.index(stop)]
    with pytest.raises(InputError, match=r"unfinished run; --resume goes on with it, --force begins anew"):
        fit(source, out=out, config=SMALL)
    with pytest.raises(InputError, match=r"cannot resume .* config\.seed was 0 and is 3"):
        fit(source, out=out, config=replace(SMALL, seed=3), resume=True)
    resumed = fit(source, out=out, config=SMALL, resume=True)
    assert same(resumed.folder, fitted)
    assert [entry.name for entry in out.parent.iterdir()] == ["model"]


def test_a_damaged_stage_is_not_gone_on_with(
    documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    monkeypatch.setattr(Run, "stage", broken("word vectors"))
    with pytest.raises(KeyboardInterrupt):
        fit(documents, out=out, config=SMALL)
    monkeypatch.undo()
    file = tmp_path / "model.part" / "tokenizer" / "tokenizer.json"
    file.write_bytes(file.read_bytes().replace(b'"the"', b'"thy"', 1))
    with pytest.raises(InputError, match=r"tokenizer\.json: its bytes changed"):
        fit(documents, out=out, config=SMALL, resume=True)
    assert not out.exists()


# --- what is refused, and what is kept


def test_a_taken_folder_is_kept_without_force_and_replaced_with_it(documents: list[Document], tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "precious.txt").write_text("precious")
    with pytest.raises(InputError, match=r"is a folder that is not empty; give another --out, or --force"):
        fit(documents, out=out, config=SMALL)
    with pytest.raises(InputError, match="is a folder that is not empty"):
        fit(documents, out=out, config=SMALL, resume=True)
    with pytest.raises(InputError, match="is no model .* only a model is replaced"):
        fit(documents, out=out, config=SMALL, force=True)
    assert [(entry.name, entry.read_text()) for entry in out.iterdir()] == [("precious.txt", "precious")]


def test_a_model_stands_until_the_one_that_replaces_it_is_whole(documents: list[Document], tmp_path: Path) -> None:
    out = tmp_path / "model"
    before = contents(fit(documents[:60], out=out, config=SMALL).folder)
    with pytest.raises(InputError):
        fit(documents[:1], out=out, config=SMALL, force=True)
    with pytest.raises(InputError, match="not empty"):
        fit(documents[:70], out=out, config=SMALL)
    assert contents(out) == before
    fit(documents[:70], out=out, config=SMALL, force=True)
    assert len(Searcher.load(out).documents) == 70
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([[]], "no documents in texts 1; give a source that holds text"),
        ([["", " ", "\n"]], "cannot be trained on: 0 documents left"),
        ([["One lonely text. It has some sentences. Not more than these three."]], "1 document left"),
        ([["the same text again"] * 50], "1 document left"),
        ([["word"] * 9 + ["other"] * 9], "cannot be trained on"),
        (["absent-file.txt"], "absent-file.txt"),
        ([], "no source given"),
    ],
)
def test_text_that_cannot_be_fitted_is_told_and_leaves_nothing(
    sources: list[Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        fit(*sources, out=tmp_path / "model", config=SMALL)
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lang": "english"}, "lang='english' must be auto or one of zh, en"),
        ({"minutes": 0}, "minutes=0 must be above 0"),
        ({"minutes": float("nan")}, "minutes=nan"),
        ({"seed": -1}, "seed=-1 must not be negative"),
        ({"dim": 1}, "dim=1 must lie between 2 and 4096"),
        ({"words": 5}, "words=5 must be at least 100"),
        ({"held_out": 0}, "held_out=0 must be at least 1"),
    ],
)
def test_a_setting_out_of_range_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FitConfig(**options)


def test_two_fits_into_one_folder_do_not_meet(documents: list[Document], tmp_path: Path) -> None:
    from inlay.files import lock

    with lock(tmp_path / "model.part"), pytest.raises(InputError, match="is being written by another process"):
        fit(documents, out=tmp_path / "model", config=SMALL)


@pytest.mark.parametrize(
    "first", ["import inlay", "import inlay.fit", "from inlay import fit", "import inlay, inlay.cli"]
)
def test_inlay_fit_is_callable_whatever_was_imported_before(first: str) -> None:
    body = f"""
        {first}
        import inlay
        from inlay.errors import InputError
        for _ in range(2):
            assert callable(inlay.fit)
            try:
                inlay.fit(out="nowhere/model")
            except InputError:
                pass
            else:
                raise SystemExit("no error")
            import inlay.fit
            from inlay.fit import FitConfig, Fitted
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(body)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
