"""What tests share: the real data (the folder named by INLAY_DATA, or they are skipped), and one small fitted model."""

import io
import json
import os
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inlay.cli import run
from inlay.vectors.wordvectors import WordVectors


@pytest.fixture(scope="session")
def data() -> Path:
    folder = os.environ.get("INLAY_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data: set INLAY_DATA to its folder")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 90 short articles with titles, each about one of nine subjects."""
    rng = random.Random(7)
    subjects = [
        "baker bread oven flour",
        "sailor harbour anchor storm",
        "doctor fever nurse ward",
        "lawyer court judge oath",
    ]
    subjects += [
        "farmer wheat plough barn",
        "painter canvas brush colour",
        "miner coal shaft lamp",
        "pilot wing runway cloud",
    ]
    subjects += ["singer opera chorus voice"]
    lines = []
    for number in range(90):
        words = subjects[number % 9].split()
        text = " ".join(
            f"The {rng.choice(words)} saw {rng.choice(words)} number {rng.randint(1, 900)} by the {rng.choice(words)}."
            for _ in range(8)
        )
        title = f"{words[0]} {words[number % 3 + 1]} {number}"
        lines.append(json.dumps({"_id": f"d{number}", "title": title, "text": text}) + "\n")
    path = tmp_path_factory.mktemp("corpus") / "articles.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `inlay fit` makes of the corpus; for reading only."""
    from inlay.fit import FitConfig, fit

    folder = tmp_path_factory.mktemp("fitted") / "model"
    fit(corpus, out=folder, config=FitConfig(minutes=0.05))
    return folder


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "words.txt"
    matrix = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    WordVectors(["king", "queen", "man", "woman", "猫", "狗"], matrix).save(path)
    return path


@pytest.fixture(scope="session")
def beir(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beir")
    (folder / "corpus.jsonl").write_text(corpus.read_text())
    queries = [{"_id": f"q{n}", "text": f"{word} storm"} for n, word in enumerate(["sailor", "anchor", "baker"])]
    (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td1\t1\nq1\td10\t1\nq2\td0\t1\n")
    return folder


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """A function that puts these bytes on stdin."""

    def put(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))

    return put


@pytest.fixture
def spoken() -> Callable[[str], str]:
    """A function from what was written to stderr to its one error line."""

    def one(err: str) -> str:
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, err
        assert "Traceback" not in err
        return lines[0]

    return one


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below the folder, with the bytes of the files that are not huge."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and path.stat().st_size < 1e6 else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[list[str], str], None]:
    """Runs a command, which must end with 1 and the one expected line, and leave `tmp_path` as it was."""

    def one(arguments: list[str], expected: str) -> None:
        before = everything(tmp_path)
        capsys.readouterr()
        code = run(["-q", *arguments])
        out, err = capsys.readouterr()
        assert code == 1, err
        assert re.fullmatch(f"error: .*{expected}.*\n", err), err
        assert out == "" or arguments[0] == "check-data"
        assert everything(tmp_path) == before

    return one
