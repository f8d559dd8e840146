"""The README and the handbook, in both languages: every console and python block is run, and says what it says.

A `console` block holds commands after `$ ` and what they print to stdout and stderr: every line must come out as it
stands but for its figures, which differ between machines; `…` stands for the rest of a line, `...` for lines left out.
What is found in python-docs depends on the packages installed: there, only lines without figures are compared. All
documents run in one folder, in order, and a command that two documents share runs once. A plain `inlay …` runs in this
process, since most commands take less time than Python takes to start; what needs a shell runs in one.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inlay.cli import run

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")],
    key=lambda path: (not path.name.startswith("README"), path),
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
_SHELL = re.compile(r"^(?!inlay )|[|<>;]")
_PAIRS = [path for path in DOCUMENTS if not path.name.endswith(".zh-CN.md")]


@pytest.fixture(scope="session")
def ran() -> dict[str, str]:
    return {}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("newcomer")
    for example in (ROOT / "examples").iterdir():
        shutil.copytree(example, place / example.name) if example.is_dir() else shutil.copy(example, place)
    return place


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_block_runs_and_prints_what_it_says(
    document: Path, folder: Path, ran: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")
    names: dict[str, object] = {}
    for kind, block in _BLOCK.findall(document.read_text(encoding="utf-8")):
        if kind == "console":
            for command, expected in _commands(block):
                if command not in ran:
                    ran[command] = _run(command)
                _compare(expected, ran[command], command)
        elif kind == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block, str(document), "exec"), names)  # noqa: S102 - our own documents
            for line, said in zip(
                re.findall(r"^print\(.*\)  # (.*)$", block, re.M), printed.getvalue().splitlines(), strict=False
            ):
                assert said == line, f"{document.name}: a comment promises {line!r}"


@pytest.mark.parametrize("document", _PAIRS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_both_languages_show_the_same_blocks(document: Path) -> None:
    chinese = document.with_name(document.name.replace(".md", ".zh-CN.md"))
    ours, theirs = (
        [block for kind, block in _BLOCK.findall(path.read_text(encoding="utf-8")) if kind in ("console", "python")]
        for path in (document, chinese)
    )
    assert ours == theirs


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} points to {target}"


def _commands(block: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line.strip())
    return found


def _run(command: str) -> str:
    code, printed = _run_shell(command) if _SHELL.search(command) else _run_here(command)
    assert code == 0, f"$ {command}\n{printed}"
    return printed


def _run_here(command: str) -> tuple[int, str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = run(shlex.split(command)[1:])
    return code, printed.getvalue()


def _run_shell(command: str) -> tuple[int, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=600, env=os.environ | {"PATH": path}
    )
    return done.returncode, done.stdout + done.stderr


def _compare(expected: list[str], printed: str, command: str) -> None:
    """Every expected line is printed, but for figures, and for what depends on the packages that are installed."""
    lines = [_masked(line) for line in printed.splitlines()]
    varies = " demo" in command
    for line in expected:
        if line.strip() == "..." or (varies and re.search(r"\d|…", line)):
            continue
        start, cut, _ = _masked(line).partition("…")
        found = any(one.startswith(start) if cut else one == start for one in lines)
        assert found, f"$ {command}\ndoes not print {line!r}, but:\n{printed}"


def _masked(line: str) -> str:
    return re.sub(r"[\d.,]*\d", "#", " ".join(line.split()))
