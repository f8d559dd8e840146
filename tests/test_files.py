"""Files are old or new, never a mix: under injected faults, real kills and full disks; names stay in their folder."""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inlay import files
from inlay.errors import InputError

OLD, NEW = "old " * 1000, "new " * 1000


def write_file(path: Path, text: str) -> None:
    files.write_text(path, text)


def write_folder(path: Path, text: str) -> None:
    with files.atomic_folder(path) as temporary:
        (temporary / "a").write_text(text)
        (temporary / "below").mkdir()
        (temporary / "below" / "b").write_text(text)


def read_all(path: Path) -> str | None:
    if path.is_dir():
        return (path / "a").read_text() + (path / "below" / "b").read_text()
    return path.read_text() if path.exists() else None


WRITERS = pytest.mark.parametrize("write", [write_file, write_folder])


def count(text: str | None, write: Callable[[Path, str], None]) -> str | None:
    return None if text is None else text * (2 if write is write_folder else 1)


@WRITERS
@pytest.mark.parametrize("swaps", [True, False], ids=["in one step", "in three steps"])
@pytest.mark.parametrize("before", [None, OLD], ids=["nothing", "old"])
def test_a_fault_at_any_step_leaves_old_or_new(
    write: Callable[[Path, str], None], swaps: bool, before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "target"
    if not swaps:
        monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    steps = ["fsync", "replace", "chmod"]
    genuine = {name: getattr(os, name) for name in steps}
    for fatal in range(30):
        if before is not None:
            write(path, before)
        done = 0

        def step(name: str, fatal: int = fatal) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal done
                done += 1
                if done == fatal + 1:
                    raise OSError(errno.EIO, "injected")
                return genuine[name](*arguments, **options)

            return call

        with monkeypatch.context() as faults:
            for name in steps:
                faults.setattr(os, name, step(name))
            with contextlib.suppress(OSError):
                write(path, NEW)
        assert read_all(path) in (count(before, write), count(NEW, write))
        assert [f.name for f in tmp_path.iterdir() if f.name != "target"] == []
        if done <= fatal:  # nothing failed any more
            assert read_all(path) == count(NEW, write)
            return
        if before is None and path.exists():
            path.unlink() if path.is_file() else files.shutil.rmtree(path)
    raise AssertionError("the writer takes more steps than were tried")


@WRITERS
def test_an_error_in_the_block_keeps_the_old(write: Callable[[Path, str], None], tmp_path: Path) -> None:
    path = tmp_path / "target"
    write(path, OLD)
    atomic = files.atomic_folder if write is write_folder else files.atomic_path

    def interrupted() -> None:
        with atomic(path) as temporary:
            (temporary / "a" if write is write_folder else temporary).write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert read_all(path) == count(OLD, write)
    assert len(list(tmp_path.iterdir())) == 1


CHILD = """
import os, signal, sys
from pathlib import Path
from inlay import files
kind, path, fatal = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
if fatal == "replace": os.replace = files._exchange = die
if fatal == "fsync": os.fsync = die
if fatal == "after": files.fsync_folder = die
turn = 0
while True:
    text = ("old " if turn % 2 else "new ") * 1000
    if kind == "file":
        files.write_text(path, text)
    else:
        with files.atomic_folder(path) as temporary:
            (temporary / "below").mkdir()
            (temporary / "a").write_text(text)
            (temporary / "below" / "b").write_text(text)
    print("written", flush=True)
    turn += 1
"""


@pytest.mark.parametrize("fatal", ["fsync", "replace", "after"])
@WRITERS
def test_a_killed_writer_leaves_old_or_new(write: Callable[[Path, str], None], fatal: str, tmp_path: Path) -> None:
    path = tmp_path / "target"
    write(path, OLD)
    kind = "folder" if write is write_folder else "file"
    done = subprocess.run([sys.executable, "-c", CHILD, kind, str(path), fatal], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_all(path) in (count(OLD, write), count(NEW, write))
    if fatal != "after":
        assert read_all(path) == count(OLD, write)
    write(path, NEW)
    assert read_all(path) == count(NEW, write)


@WRITERS
def test_a_writer_killed_at_a_random_moment_leaves_old_or_new(
    write: Callable[[Path, str], None], tmp_path: Path
) -> None:
    path, rng = tmp_path / "target", random.Random(0)
    kind = "folder" if write is write_folder else "file"
    for _ in range(6):
        child = subprocess.Popen([sys.executable, "-c", CHILD, kind, str(path), ""], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(rng.random() * 0.02)
        child.kill()
        child.wait()
        child.stdout.close()
        assert read_all(path) in (count(OLD, write), count(NEW, write))


def test_content_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def say_fsync(handle: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    def say_replace(*paths: Any) -> None:
        steps.append("rename")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", say_fsync)
    monkeypatch.setattr(os, "replace", say_replace)
    files.write_text(tmp_path / "x", "text")
    assert steps == ["file", "rename", "folder"]
    steps.clear()
    with files.atomic_folder(tmp_path / "y") as part:
        (part / "below").mkdir()
        (part / "below" / "z").write_text("text")
    assert steps == ["folder", "file", "folder", "rename", "folder"]


@WRITERS
def test_a_full_disk_is_said_and_the_old_is_kept(
    write: Callable[[Path, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "target"
    write(path, OLD)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as faults:
        faults.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="target: the disk is full"):
            write(path, NEW)
    assert read_all(path) == count(OLD, write)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_said_too(tmp_path: Path) -> None:
    def fill() -> None:
        with files.atomic_path(tmp_path / "x"), open("/dev/full", "w") as file:
            file.write("x")

    with pytest.raises(InputError, match="disk is full"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_disk_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), files.atomic_path(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")


@WRITERS
def test_what_is_written_can_be_read_by_others(
    write: Callable[[Path, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_UMASK", 0o027)
    monkeypatch.setattr(os, "umask", None)  # it would change the mask of all threads
    write(tmp_path / "deep" / "target", NEW)
    assert (tmp_path / "deep" / "target").stat().st_mode & 0o777 == (0o750 if write is write_folder else 0o640)


def test_the_mask_is_that_of_the_process() -> None:
    mask = os.umask(0o022)
    os.umask(mask)
    assert mask == files._UMASK


def test_a_folder_replaces_a_file_or_a_link_and_leaves_the_linked_alone(tmp_path: Path) -> None:
    write_file(tmp_path / "target", OLD)
    write_folder(tmp_path / "target", NEW)
    write_folder(tmp_path / "linked", OLD)
    for link, to in {"link": "linked", "dead": "none"}.items():
        (tmp_path / link).symlink_to(tmp_path / to)
        write_folder(tmp_path / link, NEW)
        assert read_all(tmp_path / link) == count(NEW, write_folder)
    assert read_all(tmp_path / "linked") == count(OLD, write_folder)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["dead", "link", "linked", "target"]


def test_a_folder_that_nothing_can_replace_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="the folder that you are in"):
        write_folder(Path("."), NEW)
    with pytest.raises(InputError, match="where a disk is mounted"):
        files.claim_output("/proc", force=True, whole=True)


def test_json_comes_back_and_nan_is_refused(tmp_path: Path) -> None:
    tree = {"a": [1, 2.5, None, "嵌入\n"], "b": {}}
    files.write_json(tmp_path / "x.json", tree)
    assert files.read_json(tmp_path / "x.json") == tree
    with pytest.raises(ValueError, match="[Oo]ut of range"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert files.read_json(tmp_path / "x.json") == tree


HOSTILE_JSON = [b"", b"{", b"\xff", b"[" * 100_000, b"{'a': 1}", b"9" * 10_000]
HOSTILE_JSON += [
    b'{"a": 1, "a": 1}',
    b"[NaN]",
    b"[1e999]",
    b"[" * 80 + b"]" * 80,
    b'["\\ud800"]',
    "[]".encode("utf-16"),
]


@pytest.mark.parametrize("content", HOSTILE_JSON, ids=range(12))
def test_what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match="x.json: not JSON"):
        files.read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match="no such file"):
        files.read_json(tmp_path / "none.json")


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "0123456789")
    files.write_checksums(tmp_path / "model")
    assert files.verify_checksums(tmp_path / "model") == 2
    target = tmp_path / "model" / "below" / "b"
    whole = target.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            target.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
            with pytest.raises(InputError, match="b: its bytes changed"):
                files.verify_checksums(tmp_path / "model")
    for wrong in (whole[:-1], whole + b"x", b""):
        target.write_bytes(wrong)
        with pytest.raises(InputError, match="its bytes changed"):
            files.verify_checksums(tmp_path / "model")
    target.unlink()
    with pytest.raises(InputError, match="b: missing, but listed"):
        files.verify_checksums(tmp_path / "model")


@pytest.mark.parametrize(
    "table", ["[]", '{"../outside": "0"}', '{"/etc/passwd": "0"}', '{"a": 3}', '{"a\\u0000": "0"}', "{", "3"]
)
def test_a_crafted_list_of_checksums_is_refused(table: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "x")
    (tmp_path / "outside").write_text("x")
    (tmp_path / "model" / files.CHECKSUMS).write_text(table)
    with pytest.raises(InputError):
        files.verify_checksums(tmp_path / "model")


def test_a_folder_without_checksums_says_so(tmp_path: Path) -> None:
    assert files.verify_checksums(tmp_path) == 0


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/../../x", "/etc/passwd", "out/x", "out", "a\0b", "x" * 5000, "round", "../folder2/x"]
)
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    root = tmp_path / "folder"
    root.mkdir()
    (tmp_path / "folder2").mkdir()
    (root / "out").symlink_to(tmp_path)
    (root / "round").symlink_to(root / "round")
    with pytest.raises(InputError):
        files.contained(root, name)


def test_names_that_stay_are_taken(tmp_path: Path) -> None:
    (tmp_path / "in").symlink_to(tmp_path / "a")
    for name in ("a", "a/b", "a/../b", "./a", "in", "..a", "语"):
        assert files.contained(tmp_path, name) == tmp_path / name
    (tmp_path / "root").symlink_to(tmp_path)
    assert files.contained(tmp_path / "root", "a") == tmp_path / "root" / "a"


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    for free in ("none", "empty"):
        assert files.claim_output(tmp_path / free, force=False) == tmp_path / free
    for taken, rule in (("file", "exists"), ("full", "not empty")):
        with pytest.raises(InputError, match=f"{rule}; give another --out, or --force"):
            files.claim_output(tmp_path / taken, force=False)
        assert files.claim_output(str(tmp_path / taken), force=True) == tmp_path / taken


HOLDER = """
import sys, time
from inlay.files import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_second_writer_is_turned_away_until_the_first_dies(end: signal.Signals, tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        with pytest.raises(InputError, match="being written by another process"), files.lock(tmp_path):
            pass
    finally:
        holder.send_signal(end)
        holder.wait()
        holder.stdout.close()
    with files.lock(tmp_path):
        pass


def test_a_folder_that_knows_no_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlockable(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unlockable)
    with pytest.raises(OSError, match=f"No locks available: '{tmp_path}'"), files.lock(tmp_path):
        pass


def test_a_lock_is_free_after_an_error_and_held_within_one_process(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.lock(tmp_path):
        raise ZeroDivisionError
    with files.lock(tmp_path), pytest.raises(InputError), files.lock(tmp_path):
        pass


def test_checksums_are_those_of_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    files.write_checksums(tmp_path)
    assert list(json.loads((tmp_path / files.CHECKSUMS).read_text())) == ["x"]
