"""The command line: help that teaches, results on stdout, one line for every error, an exit code for every end."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from inlay import cli
from inlay.cli import VERBS, run
from inlay.errors import InputError
from inlay.text import data as sets


def paths(verbs: Any) -> list[list[str]]:
    """The words that lead to each group and verb."""
    below = [[name, *path] for name, verb in verbs.items() if isinstance(verb, dict) for path in paths(verb)]
    return [[name] for name in verbs] + below


def is_group(path: list[str]) -> bool:
    return any(len(other) > len(path) and other[: len(path)] == path for other in PATHS)


PATHS = paths(VERBS)
EVERY = pytest.mark.parametrize("path", [[], *PATHS], ids=lambda path: " ".join(path) or "inlay")
LEAVES = [path for path in PATHS if not is_group(path)]

Capture = pytest.CaptureFixture[str]


# Help


@EVERY
def test_every_help_has_a_claim_and_two_examples(path: list[str], capsys: Capture) -> None:
    assert run([*path, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    claim = out.splitlines()[2].strip()
    assert claim.endswith(".")
    assert len(examples(out)) == 2


@EVERY
def test_every_example_is_a_command_that_parses(path: list[str], capsys: Capture) -> None:
    run([*path, "--help"])
    for example in examples(capsys.readouterr().out):
        words = shlex.split(re.split(" [<>] ", example)[0])
        words = words[words.index("inlay") + 1 :]
        command: Any = typer.main.get_command(cli.app)
        while hasattr(command, "commands"):
            words = cli.evaluating(words, list(command.commands)) if command.name == "evaluate" else words
            command = command.commands[words.pop(0)]
        command.make_context(command.name, words)  # raises a usage error for an unknown or a missing option


@pytest.mark.parametrize("path", [[], *filter(is_group, PATHS)], ids=lambda path: " ".join(path) or "inlay")
def test_no_claim_is_cut_in_the_list_of_commands(path: list[str], capsys: Capture) -> None:
    run([*path, "--help"])
    commands = capsys.readouterr().out.partition("Commands:")[2].partition("Examples:")[0]
    assert commands.count(".\n") >= 2
    assert "..." not in commands


def examples(help: str) -> list[str]:
    return [line.strip() for line in help.partition("Examples:\n")[2].splitlines() if line.strip()]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_verb_can_speak_json(path: list[str], capsys: Capture) -> None:
    run([*path, "--help"])
    assert "--json" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    body = (
        "import sys; from inlay.cli import run; run(['--help']);"
        "heavy = {'numpy', 'rich', 'yaml', 'tokenizers', 'scipy', 'numba', 'pyarrow', 'torch'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", set(VERBS)),
        ("search model question --mode ", {"hybrid", "dense", "lexical"}),
        ("fit docs --unit p", {"paragraph"}),
        ("tokenizer train docs --kind b", {"bpe", "bytebpe", "bytes"}),
        ("data pull cran", {"cranfield"}),
    ],
)
def test_the_shell_completes_verbs_choices_and_names(
    words: str, expected: set[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = f"inlay {words}"
    monkeypatch.setenv("_INLAY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    assert run([]) == 0
    assert set(capsys.readouterr().out.split()) == expected


def test_the_completion_script_of_the_shell_is_shown() -> None:
    command = f"{shlex.quote(sys.executable)} -m inlay --show-completion; exit $?"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "_INLAY_COMPLETE" in done.stdout


def test_version_and_bare_groups(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(r"inlay \d+\.\d+\.\d+\n", capsys.readouterr().out)
    for path in ([], ["data"]):
        assert run(path) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "Commands:" in err


# Ends


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fti"], "error: no such command 'fti'. Did you mean 'fit'?; see inlay --help"),
        (["fit"], "error: missing argument 'SOURCE'; see inlay fit --help"),
        (["fit", "x"], "error: missing option '--out'; see inlay fit --help"),
        (["search", "m", "q", "--kk", "3"], "error: no such option: --kk; see inlay search --help"),
        (["search", "m", "q", "-k", "no"], "'-k': 'no' should be a valid integer; see inlay search --help"),
        (["search", "m", "q", "-k", "0"], "'-k': '0' should be greater than or equal to 1; see"),
        (["search", "m", "q", "--mode", "fuzzy"], "'hybrid', 'dense', 'lexical'"),
        (["data", "lst"], "see inlay data --help"),
    ],
)
def test_wrong_usage_is_one_line_and_2(
    arguments: list[str], message: str, capsys: Capture, spoken: Callable[[str], str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in spoken(err)
    assert len(err.splitlines()) == 1


ENDS: list[tuple[BaseException, int, str]] = [
    (InputError("x=3 must be even"), 1, "error: x=3 must be even"),
    (InputError("two\nlines"), 1, "error: two lines"),
    (FileNotFoundError(2, "No such file or directory", "a/b"), 1, "error: a/b: no such file or directory"),
    (PermissionError(13, "Permission denied", "a/b"), 1, "error: a/b: permission denied"),
    (IsADirectoryError(21, "Is a directory", "a"), 1, "error: a: is a directory"),
    (OSError(28, "No space left on device", "a"), 1, "error: a: the disk is full; free some space"),
    (OSError(27, "File too large"), 1, "error: a file grows larger than this account may write; see ulimit -f"),
    (MemoryError(), 1, "error: out of memory; give less text at a time, or free some memory"),
    (
        KeyError("x"),
        3,
        "error: this is a fault of inlay: KeyError: 'x'; run again with INLAY_DEBUG=1 for the traceback",
    ),
    (OSError("odd"), 3, "error: this is a fault of inlay: OSError: odd; run again"),
    (AssertionError(), 3, "error: this is a fault of inlay: AssertionError; run again"),
    (BaseException("panic\nat the disco"), 3, "error: this is a fault of inlay: BaseException: panic; run again"),
    (KeyboardInterrupt(), 130, "error: interrupted"),
]


@pytest.mark.parametrize(("error", "code", "line"), ENDS, ids=[repr(error)[:30] for error, _, _ in ENDS])
def test_every_end_has_its_code_and_its_line(
    error: BaseException,
    code: int,
    line: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    spoken: Callable[[str], str],
) -> None:
    def broken(name: str) -> None:
        raise error

    monkeypatch.delenv("INLAY_DEBUG", raising=False)
    monkeypatch.setattr(sets, "path", broken)
    assert run(["data", "path", "cranfield"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert spoken(err).startswith(line)
    monkeypatch.setenv("INLAY_DEBUG", "1")
    assert run(["data", "path", "cranfield"]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code != 130)


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "inlay", *arguments], **(pipes | options))


def test_ctrl_c_ends_a_real_process_with_130_and_the_way_on(
    vectors: Path, tmp_path: Path, spoken: Callable[[str], str]
) -> None:
    process = start("embed", str(vectors), "-", "--out", str(tmp_path / "x.npy"))
    assert process.stdin is not None
    process.stdin.write(b"king queen\n" * 20_000)  # returns when the command is reading: a pipe holds less
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert spoken(err.decode()) == "error: interrupted; give the same command with --resume to go on"
    assert not list(tmp_path.iterdir())


def test_a_reader_that_leaves_is_no_error(model: Path) -> None:
    process = start("search", str(model), "-")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"baker\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"? baker\n"
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(b"sailor\n" * 100, timeout=60)
    assert (process.returncode, err) == (1, b"")


@pytest.mark.parametrize(
    ("closed", "err"),
    [(">&-", "error: stdout is closed; send it to a file, or to /dev/null\n"), ("2>&-", ""), (">&- 2>&-", "")],
)
def test_a_closed_output_ends_the_command_before_it_begins(closed: str, err: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m inlay data list {closed}; exit $?"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", err)


def test_a_closed_stdin_is_said_where_queries_are_read(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, spoken: Callable[[str], str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run(["search", str(model), "-"]) == 1
    assert spoken(capsys.readouterr().err) == "error: stdin is closed; pipe queries into it, or give one"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        process = start("data", "list", stdout=full)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"error: stdout: the disk is full; free some space\n")


def test_output_is_readable_whatever_the_terminal_can_write(vectors: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    for options in ([], ["--json"]):
        process = start("vectors", "neighbours", str(vectors), "king", *options, env=environment)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert "猫" in {row["word"] for row in json.loads(out)}
