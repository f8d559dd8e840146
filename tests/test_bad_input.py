"""Bad input: each kind ends with its one line and exit code 1, runs no code, and leaves the disk as it was."""

import errno
import gzip
import json
import os
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.cli import run

Make = Callable[[Path], None]
Refused = Callable[[list[str], str], None]

SENTENCES = "".join(f"The {a} met the {b} by the {c}.\n" for a in "abcdef" for b in "ghijkl" for c in "mnopqrstuv")


# Sources


def put(name: str, content: str | bytes) -> Make:
    def make(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def nothing(folder: Path) -> None:
    (folder / "in").mkdir()


def sparse(folder: Path) -> None:
    with open(folder / "x.txt", "wb") as file:
        file.truncate(100_000_000)


def long_line(folder: Path) -> None:
    with open(folder / "x.txt", "wb") as file:
        for _ in range(30):
            file.write(b"a" * 1_000_000)


def gigabyte(folder: Path) -> None:
    """One line of 1 GB in a 5 MB file: the same compressed block of 1 MB again and again, as members of one gzip."""
    block = gzip.compress(b"ab" * 25_000 + os.urandom(3_000).hex().encode() + b"c" * 950_000, 1)
    (folder / "x.txt.gz").write_bytes(block * 1000)


def bomb(folder: Path) -> None:
    """150 MB of equal lines in a file of 0.2 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    lines = (b"a" * 9_999 + b"\n") * 100
    with open(folder / "x.txt.gz", "wb") as file:
        for _ in range(150):
            file.write(packer.compress(lines))
        file.write(packer.flush())


LINES = ["--unit", "line"]
SOURCES: dict[str, tuple[Make, str, str, list[str]]] = {
    "no files": (nothing, "in", "in: no file to read; known are .txt", []),
    "nothing there": (nothing, "absent.txt", r"absent\.txt: no such file, folder or named data set", []),
    "empty file": (put("x.txt", ""), "x.txt", r"(no documents|0 documents|cannot be trained on)", []),
    "only spaces": (put("x.txt", " \n\t\n"), "x.txt", "(no documents|0 documents|cannot be trained on)", []),
    "one document": (put("x.txt", SENTENCES), "x.txt", "1 document left .* at least 2: give more text", []),
    "few words": (
        put("x.txt", "One two.\n\nThree four.\n"),
        "x.txt",
        "4 words in all; .* at least [0-9,]+: give more text",
        LINES,
    ),
    "all the same": (
        put("x.txt", "The same line again.\n" * 900),
        "x.txt",
        "1 document left of 900",
        LINES,
    ),
    "binary": (put("x.txt", bytes(range(256)) * 40), "x.txt", r"x\.txt: looks binary", []),
    "other encoding": (
        put("x.txt", b"first line\nabc " + "我们的国家是一个大国，这里的人都来了。".encode("gb18030")),
        "x.txt",
        r"x\.txt line 2: not UTF-8 \(byte 0xCE at column 5\); it may be GB18030: try --encoding gb18030",
        [],
    ),
    "missing field": (put("x.jsonl", '{"_id": "1", "words": "a"}\n'), "x.jsonl", r"x\.jsonl line 1: .*text", []),
    "missing named field": (put("x.csv", "id,body\n1,a\n"), "x.csv", r"x\.csv.*'?word'?", ["--text-field", "word"]),
    "broken json": (put("x.jsonl", '{"text": "a"}\n{"text": \n'), "x.jsonl", r"x\.jsonl line 2: ", []),
    "broken parquet": (put("x.parquet", b"PAR1 no"), "x.parquet", r"x\.parquet: ", []),
    "unknown suffix": (put("x.docx", "text"), "x.docx", r"x\.docx: unknown kind of file", []),
    "unknown encoding": (
        put("x.txt", "a"),
        "x.txt",
        "encoding='utf9' is no text encoding.*did you mean 'utf-",
        ["--encoding", "utf9"],
    ),
    "long line": (long_line, "x.txt", r"x\.txt.*longer than 16 MB; .*--max-document-mb", LINES),
    "long file": (long_line, "x.txt", r"x\.txt.*longer than 16 MB; .*--max-document-mb", []),
    "sparse file": (sparse, "x.txt", r"x\.txt: looks binary", []),
    "1 GB line": (gigabyte, "x.txt.gz", r"x\.txt\.gz line 1: longer than 16 MB", LINES),
    "truncated gz": (
        put("x.txt.gz", gzip.compress(SENTENCES.encode())[:-20]),
        "x.txt.gz",
        r"x\.txt\.gz: truncated",
        [],
    ),
    "damaged gz": (
        put("x.txt.gz", gzip.compress(os.urandom(9_000).hex().encode())[:5000] + b"?" * 999),
        "x.txt.gz",
        r"x\.txt\.gz: (damaged|truncated)",
        [],
    ),
    "gz bomb": (
        bomb,
        "x.txt.gz",
        "unpacks to more than 500 times its size, like a decompression bomb",
        LINES,
    ),
}


@pytest.mark.parametrize("verb", ["fit", "check-data"])
@pytest.mark.parametrize("name", SOURCES)
def test_a_bad_source_is_named_with_the_way_out(name: str, verb: str, tmp_path: Path, refused: Refused) -> None:
    make, source, expected, options = SOURCES[name]
    make(tmp_path)
    out = ["--out", str(tmp_path / "out")] if verb == "fit" else []
    refused([verb, str(tmp_path / source), *out, *options], expected)


@pytest.mark.parametrize("name", ["1 GB line", "gz bomb", "long file", "sparse file"])
def test_what_is_too_large_is_refused_in_little_memory(name: str, tmp_path: Path) -> None:
    make, source, expected, options = SOURCES[name]
    make(tmp_path)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (700_000_000, 700_000_000))

    command = [sys.executable, "-m", "inlay", "-q", "check-data", str(tmp_path / source), *options]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1


# Outputs


OUTPUTS: dict[str, list[str]] = {
    "fit": ["fit", "CORPUS", "--out", "OUT"],
    "tokenizer": ["tokenizer", "train", "CORPUS", "--out", "OUT"],
    "vectors": ["vectors", "train", "CORPUS", "--out", "OUT.txt"],
    "embed": ["embed", "MODEL", "CORPUS", "--out", "OUT.npy"],
}


def filled(command: list[str], folder: Path, corpus: Path, model: Path) -> list[str]:
    names = {"CORPUS": str(corpus), "MODEL": str(model)}
    return [names.get(word, word.replace("OUT", str(folder / "out"))) for word in command]


@pytest.mark.parametrize("name", OUTPUTS)
def test_nothing_is_overwritten_unasked(name: str, corpus: Path, model: Path, tmp_path: Path, refused: Refused) -> None:
    arguments = filled(OUTPUTS[name], tmp_path, corpus, model)
    out = Path(arguments[-1])
    if out.suffix:
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine").write_text("mine")
    refused(arguments, "(exists|is a folder that is not empty); give another --out, or --force")


@pytest.mark.parametrize("name", ["fit", "tokenizer", "vectors"])
def test_an_output_that_cannot_be_written_is_told_before_the_text_is_read(
    name: str, model: Path, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    arguments = filled(OUTPUTS[name], tmp_path / "file" / "deep", tmp_path / "bad.txt", model)
    refused(arguments, r"file/deep/out\S* cannot be written \(.*/file: not a directory\); give another --out")


@pytest.mark.parametrize("out", [".", "/", ".."])
def test_a_fit_takes_no_place_that_has_no_name(out: str, corpus: Path, refused: Refused) -> None:
    refused(["fit", str(corpus), "--force", "--out", out], "is no name for a folder")


@pytest.mark.parametrize("source", ["CORPUS", "absent.txt"])
def test_a_fit_keeps_files_that_stand_where_its_stages_would(
    source: str, corpus: Path, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "thesis.txt").write_text("mine")
    source = str(corpus) if source == "CORPUS" else source
    refused(["fit", source, "--force", "--out", str(tmp_path / "out")], "out.part holds 'thesis.txt'")


def test_a_fit_needs_no_hard_links(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert run(["-q", "fit", str(corpus), "--minutes", "0.05", "--out", str(tmp_path / "out")]) == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk_keeps_what_was_there(
    name: str,
    corpus: Path,
    model: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused(filled(OUTPUTS[name], tmp_path, corpus, model), "the disk is full")


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_small_disk_fills_up_with_one_line(name: str, corpus: Path, model: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        command = [sys.executable, "-m", "inlay", "-q", *filled(OUTPUTS[name], disk, corpus, model)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert "the disk is full" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (disk / "out").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_that_cannot_be_is_one_line(
    name: str, corpus: Path, model: Path, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "out").write_text("a file, where a folder must be")
    arguments = filled(OUTPUTS[name], tmp_path / "out", corpus, model)
    refused(arguments, "(not a directory|file exists|is a file)")


# Words and settings


WRONG: dict[str, tuple[list[str], str]] = {
    "empty query": (["search", "MODEL", "  "], "the query is empty"),
    "unknown word": (
        ["vectors", "neighbours", "VECTORS", "kin"],
        "'kin' is not among the 6 words; did you mean 'king'",
    ),
    "unknown set": (["data", "path", "cranfeld"], "no data set is called 'cranfeld'; did you mean 'cranfield'"),
    "unknown test": (["evaluate", "MODEL", "--on", "cranfeld"], "no such folder or data set; did you mean 'cranfield'"),
    "no test": (["evaluate", "MODEL", "--on", "CORPUS"], "no such folder"),
    "unknown key": (["fit", "CORPUS", "--out", "OUT", "--set", "tune.stesp=3"], "'tune.stesp' .*did you mean 'steps'"),
    "no assignment": (["fit", "CORPUS", "--out", "OUT", "--set", "steps"], "'steps' is no assignment; write key=value"),
    "wrong type": (["fit", "CORPUS", "--out", "OUT", "--set", "dim=many"], "dim='many' must be a whole number"),
    "no time": (["fit", "CORPUS", "--out", "OUT", "--minutes", "0"], "minutes=0.* must be above 0"),
    "hardly any time": (["fit", "CORPUS", "--out", "OUT", "--minutes", "1e-5"], "minutes=1e-05 must .* 0.01 at least"),
    "no steps": (["fit", "CORPUS", "--out", "OUT", "--set", "tune.steps=0"], "tune.steps=0 must be at least 1"),
    "no config": (["fit", "CORPUS", "--out", "OUT", "--config", "OUT.yaml"], "no such file"),
    "unknown language": (["fit", "CORPUS", "--out", "OUT", "--lang", "xx"], "lang='xx' must be auto or one of"),
    "language of vectors": (["vectors", "train", "CORPUS", "--out", "OUT.txt", "--lang", "xx"], "'xx' is not known"),
    "vector suffix": (["vectors", "train", "CORPUS", "--out", "OUT.pkl"], "the suffix must be one of .txt"),
    "embed suffix": (["embed", "MODEL", "CORPUS", "--out", "OUT.csv"], "the suffix must be one of .npy"),
    "no dimensions": (["vectors", "train", "CORPUS", "--out", "OUT.txt", "--dim", "0"], "dim=0 must lie"),
    "tiny tokenizer": (["tokenizer", "train", "CORPUS", "--out", "OUT", "--size", "3"], "size=3 leaves no room"),
    "no tokenizer": (["tokenizer", "encode", "OUT", "text"], "no such|missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_named_with_the_rule(
    name: str, corpus: Path, model: Path, vectors: Path, tmp_path: Path, refused: Refused
) -> None:
    command, expected = WRONG[name]
    names = {"CORPUS": str(corpus), "MODEL": str(model), "VECTORS": str(vectors)}
    arguments = [names.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in command]
    refused(arguments, f"({expected})")


def test_queries_that_are_not_utf_8_are_placed(model: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "inlay", "search", str(model), "-", "--json"],
        input="baker\n面包".encode("gb18030"),
        capture_output=True,
        check=False,
    )
    assert process.returncode == 1
    assert b"stdin line 2: not UTF-8 (byte 0xC3 at byte 1)" in process.stderr
    assert json.loads(process.stdout)["query"] == "baker", "what came before is answered"
