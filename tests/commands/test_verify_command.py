"""inlay verify: what changed, what is missing, what nobody wrote; in folders, below them, and in single files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from inlay.cli import run
from inlay.files import write_checksums
from inlay.vectors.wordvectors import WordVectors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a list, a part of it with a list of its own, and a file that only the part's list knows."""
    whole = tmp_path / "whole"
    for name in ("a.txt", "part/b.txt", "part/deep/c.txt"):
        (whole / name).parent.mkdir(parents=True, exist_ok=True)
        (whole / name).write_text(name)
    write_checksums(whole)
    (whole / "part" / "d.txt").write_text("d")
    write_checksums(whole / "part")
    return whole


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict, str]:
    code = run(["verify", *map(str, arguments), "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else {}, printed.err


def test_a_folder_as_it_was_written_is_sound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, _ = asked(capsys, folder)
    assert (code, found["sound"], found["checked"], found["listed"]) == (0, True, 4, 4)
    assert run(["verify", str(folder)]) == 0
    assert "4 of 4 files are as they were written" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.txt", "part/b.txt", "part/d.txt", "part/deep/c.txt"])
def test_each_change_is_named_and_ends_with_code_one(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / name
    file.write_text("other")
    code, found, said = asked(capsys, folder)
    assert (code, found["changed"], found["missing"], found["extra"]) == (1, [str(file)], [], [])
    assert not found["sound"]
    assert "is not as it was written (1 changed)" in said
    file.unlink()
    code, found, _ = asked(capsys, folder)
    assert (code, found["changed"], found["missing"], found["extra"]) == (1, [], [str(file)], [])
    assert run(["verify", str(folder)]) == 1
    assert f"missing  {file}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["new.txt", "part/new.txt", "fresh/new.txt"])
def test_what_nobody_wrote_is_named(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    (folder / ".hidden").write_text("x")
    code, found, _ = asked(capsys, folder)
    assert (code, found["extra"]) == (1, [str(folder / name)])


def test_a_card_may_be_edited_and_added(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "README.md").write_text("x")
    assert asked(capsys, folder)[0] == 0


def test_a_folder_around_sound_ones_is_sound_whatever_else_it_holds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.parent / "log.jsonl").write_text("x")
    code, found, _ = asked(capsys, folder.parent)
    assert (code, found["checked"]) == (0, 4)


@pytest.mark.parametrize("name", ["a.txt", "part/deep/c.txt", "part/d.txt", "part/deep", "part"])
def test_a_part_is_held_to_the_lists_above_it(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for path in (folder / name, Path(name)):
        assert asked(capsys, path)[0] == 0
    file = next(path for path in (folder / name, *(folder / name).rglob("*.txt")) if path.is_file())
    file.write_text("other")
    for path in (folder / name, Path(name)):
        code, found, _ = asked(capsys, path)
        assert code == 1
        assert [Path(one).resolve() for one in found["changed"]] == [file]


def test_a_file_of_word_vectors_carries_its_own_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "vectors.safetensors"
    WordVectors(["a", "b"], np.eye(2, dtype=np.float32)).save(file)
    assert asked(capsys, file)[:1] == (0,)
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    code, _, said = asked(capsys, file)
    assert code == 1
    assert "changed since they were written" in said


def test_where_there_is_nothing_to_compare_with_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.txt").write_text("x")
    for path in (tmp_path, tmp_path / "x.txt"):
        assert asked(capsys, path) == (
            1,
            {},
            f"error: {path}: no checksums.json lists it, so that there is nothing to compare with\n",
        )
    assert "no such folder or file" in asked(capsys, tmp_path / "absent")[2]


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '{"../x": "0"}', "{", '{"/etc/passwd": "0"}'])
def test_a_list_that_cannot_be_is_one_line(content: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "checksums.json").write_text(content)
    code, found, said = asked(capsys, folder)
    assert (code, found, said.count("\n")) == (1, {}, 1)


def test_a_fitted_model_is_sound_and_so_is_a_copy(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, _ = asked(capsys, model)
    assert (code, found["extra"]) == (0, [])
    shutil.copytree(model, tmp_path / "copy")
    file = next(path for path in (tmp_path / "copy" / "search" / "index").iterdir() if path.name != "checksums.json")
    file.unlink()
    code, found, _ = asked(capsys, tmp_path / "copy")
    assert (code, found["missing"]) == (1, [str(file)])
