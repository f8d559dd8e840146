"""Models by name, from a server that speaks as the hub does: what is asked for, kept, checked and said."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants, file_download
from safetensors.torch import save

from inlay.convert import weights
from inlay.convert.hub import Fetched, fetch, locate
from inlay.convert.settings import read_settings
from inlay.errors import InputError
from inlay.live import Live

FIRST, SECOND = "a" * 40, "b" * 40
NAME = "someone/tiny-bert"
WANTED = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": save({"x": torch.arange(5000.0)}),
    "vocab.txt": b"[PAD]\nword\n",
    "spiece.model": b"pieces",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
}
LEFT = {"pytorch_model.bin": b"pickle", "modeling.py": b"boom", "onnx/config.json": b"{}", "tf_model.h5": b"h5"}


def digest(name: str, content: bytes) -> str:
    if name.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class Hub(ThreadingHTTPServer):
    """One model, at two commits; `asked` remembers the requests, and the rest says what goes wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = WANTED | LEFT
        self.asked: list[str] = []
        self.status: tuple[int, str] | None = None
        self.spoiled: dict[str, bytes] = {}
        self.cut = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        hub = self.server
        hub.asked.append(f"{self.command} {self.path}")
        if hub.status:
            self.send(b"{}", hub.status[0], X_Error_Code=hub.status[1], X_Error_Message="said by the hub")
        elif self.path.startswith(f"/api/models/{NAME}"):
            self.tell(*self.path.partition("?")[0].removeprefix(f"/api/models/{NAME}").strip("/").split("/"))
        elif self.path.startswith(f"/{NAME}/resolve/"):
            commit, _, file = self.path.removeprefix(f"/{NAME}/resolve/").partition("/")
            self.give(commit, file)
        else:
            self.send(b"{}", 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def tell(self, what: str = "revision", revision: str = "main") -> None:
        commit = {"main": FIRST, "v2": SECOND}.get(revision, revision)
        if commit not in (FIRST, SECOND):
            self.send(b"{}", 404, X_Error_Code="RevisionNotFound")
            return
        files = self.server.files
        if what == "tree":
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": digest("", content)}
                | (
                    {"lfs": {"oid": digest(name, content), "size": len(content), "pointerSize": 1}}
                    if "safet" in name
                    else {}
                )
                for name, content in files.items()
            ]
            self.send(json.dumps(tree).encode(), Content_Type="application/json")
        else:
            about = {"_id": "1", "id": NAME, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
            self.send(json.dumps(about).encode(), Content_Type="application/json")

    def give(self, commit: str, file: str) -> None:
        content = self.server.files[file]
        told = digest(file, content)
        content = self.server.spoiled.get(file, content)
        if self.server.cut and self.command == "GET" and file.endswith(".safetensors"):
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : self.server.cut])
            self.close_connection = True
            return
        self.send(content, ETag=f'"{told}"', X_Repo_Commit=commit, Accept_Ranges="bytes")


def turn_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does when the library is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    turn_to(server.url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    monkeypatch.setattr(Live, "enabled", False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_the_files_that_are_read_come_and_can_be_read(hub: Hub) -> None:
    found = fetch(NAME)
    assert found == Fetched(found.folder, NAME, FIRST)
    assert content(found.folder) == WANTED
    assert not [line for line in hub.asked for name in LEFT if line.endswith(name)]
    assert weights.read(found.folder)["x"].sum() == 5000 * 4999 / 2
    assert read_settings(found.folder) == {"model_type": "bert"}


def test_what_is_here_is_not_asked_for_again_and_needs_no_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fetch(NAME)
    hub.asked.clear()
    assert fetch(NAME) == first
    assert [line for line in hub.asked if "/resolve/" in line] == []
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(NAME) == fetch(NAME, FIRST) == fetch(f"{NAME}@{FIRST}") == first
    assert hub.asked == []
    with pytest.raises(InputError, match=f"{NAME}@v2: not whole in .*, and HF_HUB_OFFLINE is set"):
        fetch(NAME, "v2")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    turn_to("http://127.0.0.1:9", monkeypatch)  # the port that discards: nobody is there
    assert fetch(NAME) == first


def test_a_revision_is_resolved_and_can_be_pinned(hub: Hub) -> None:
    found = fetch(f"{NAME}@v2")
    assert found.revision == SECOND
    assert fetch(NAME, SECOND) == found
    hub.files = {name: body + b" " for name, body in WANTED.items() if name != "model.safetensors"}
    assert fetch(NAME).revision == FIRST
    assert content(fetch(NAME, found.revision).folder) == WANTED


@pytest.mark.parametrize(
    "names", [["model.safetensors"], ["1_Pooling/config.json", "vocab.txt"], ["vocab.txt"]], ids=str
)
@pytest.mark.parametrize("cut", [0, 5000], ids=["all came", "one was cut"])
def test_a_file_of_other_bytes_is_removed_and_the_next_call_gets_the_right_ones(
    names: list[str], cut: int, hub: Hub
) -> None:
    hub.spoiled = {name: bytes([WANTED[name][0] ^ 1]) + WANTED[name][1:] for name in names}
    hub.cut = cut
    with pytest.raises(InputError, match="the connection broke off" if cut else "with other bytes .* was removed"):
        fetch(NAME)
    hub.spoiled, hub.cut = {}, 0
    assert content(fetch(NAME).folder) == WANTED


def test_a_download_that_is_cut_is_refused_and_the_next_call_gets_it_whole(hub: Hub) -> None:
    hub.cut = 5000
    with pytest.raises(InputError, match="the connection broke off .*; check the network") as error:
        fetch(NAME)
    assert "\n" not in str(error.value)
    hub.cut = 0
    assert content(fetch(NAME).folder) == WANTED


def test_a_file_shorter_than_promised_is_refused(hub: Hub) -> None:
    class Short(Answer):
        def give(self, commit: str, file: str) -> None:
            if self.command == "GET" and file == "vocab.txt":
                self.send(b"[PAD]", ETag='"x"', X_Repo_Commit=commit)
            else:
                super().give(commit, file)

    hub.RequestHandlerClass = Short
    with pytest.raises(InputError, match="a file was cut off on its way; nothing of it was kept"):
        fetch(NAME)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ((404, "RepoNotFound"), "no such model, and no such folder here; check the spelling"),
        ((401, "RepoNotFound"), "no such model"),
        ((403, "GatedRepo"), "accepted its terms; accept them on its page there, and set HF_TOKEN"),
        ((404, "RevisionNotFound"), "has no revision 'v9'; give a branch"),
        ((500, ""), "the hub answers 500 .*; check the network"),
        ((418, ""), "the hub answers 418"),
    ],
    ids=lambda value: f"{value[0]} {value[1]}" if isinstance(value, tuple) else "",
)
def test_what_the_hub_refuses_is_said_in_a_line(hub: Hub, status: tuple[int, str], message: str) -> None:
    hub.status = status
    with pytest.raises(InputError, match=message) as error:
        fetch(NAME, "v9")
    assert str(error.value).startswith(f"{NAME} on {hub.url}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("revision", [None, FIRST], ids=["main", "pinned"])
def test_no_network_and_nothing_here_is_said(hub: Hub, revision: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    turn_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(InputError, match=f"{NAME} on http://127.0.0.1:9: cannot be reached"):
        fetch(NAME, revision)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="not whole in .*cache, and HF_HUB_OFFLINE is set; unset it"):
        fetch(NAME, revision)
    assert hub.asked == []


@pytest.mark.parametrize("evil", ["../../../../../evil.json", "/tmp/evil-of-a-hub.json", "a/../../evil.json"])
def test_a_hub_that_names_files_elsewhere_writes_none_of_them(evil: str, hub: Hub, tmp_path: Path) -> None:
    hub.files = WANTED | {evil: b"{}"}
    with pytest.raises(InputError, match="the hub names a file"):
        fetch(NAME)
    assert not Path("/tmp/evil-of-a-hub.json").exists()
    inside = tmp_path / "cache" / "models--someone--tiny-bert" / "snapshots" / FIRST
    assert [path for path in tmp_path.rglob("*evil*") if not path.is_relative_to(inside)] == []


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"id": 3}'], ids=str)
def test_a_server_that_is_no_hub_is_said(body: bytes, hub: Hub) -> None:
    class Other(Answer):
        def do_GET(self) -> None:
            self.send(body)

        do_HEAD = do_GET

    hub.RequestHandlerClass = Other
    with pytest.raises(InputError, match="this is not how a hub answers .*; check HF_ENDPOINT") as error:
        fetch(NAME)
    assert "\n" not in str(error.value)


def test_a_model_of_pickles_only_is_refused(hub: Hub) -> None:
    hub.files = LEFT
    with pytest.raises(InputError, match=f"{NAME}: holds no file that is read"):
        fetch(NAME)


def test_a_full_disk_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_download, "http_get", full)
    with pytest.raises(InputError, match="cache: the disk is full"):
        fetch(NAME)


@pytest.mark.parametrize(
    "name",
    ["", "a/b/c", "../a", "a/..", "a b", "a--b/c", "-a", "a/b.git", "a\n", "嵌入/model", "a/b@", "a@../x", "a@b c"],
)
def test_what_is_no_name_is_refused_before_anything_is_asked(hub: Hub, name: str) -> None:
    with pytest.raises(InputError, match="is no folder here and no name of a model|is no revision") as error:
        fetch(name)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="give one"):
        fetch("a/b@main", "v2")
    assert hub.asked == []


def test_a_folder_goes_first_and_a_path_is_never_asked_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir(parents=True)
    assert locate(NAME) == Fetched(Path(NAME))
    assert locate(tmp_path / NAME) == Fetched(tmp_path / NAME)
    for path in ("./none", "../none", "/none", "~/none", "a/b/c", "none/", Path("none")):
        with pytest.raises(InputError, match="no such folder"):
            locate(path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file; name the model's folder"):
        locate("file")
    assert hub.asked == []
    (tmp_path / NAME).rmdir()
    assert locate(f"{NAME}@v2").revision == SECOND


def test_one_live_line_of_bytes_and_nothing_else_is_shown(
    hub: Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "enabled", True)
    fetch(NAME)
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    total = sum(map(len, WANTED.values())) / 1000
    assert err.startswith(f"fetching {NAME}")
    assert f"{total:.1f}k bytes" in err
    fetch(NAME)
    assert capfd.readouterr().err == ""


RUN = """
import sys
from inlay.convert.hub import fetch
assert "huggingface_hub" not in sys.modules
found = fetch(sys.argv[1])
print(found.revision, found.folder)
"""


def test_the_variables_of_the_environment_are_honoured(hub: Hub, tmp_path: Path) -> None:
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    for offline in ("0", "1"):
        environment = {**os.environ, **variables, "HF_HUB_OFFLINE": offline}
        done = subprocess.run(
            [sys.executable, "-c", RUN, NAME], capture_output=True, text=True, env=environment, check=True
        )
        revision, folder = done.stdout.split()
        assert revision == FIRST
        assert folder.startswith(str(tmp_path / "home"))
        assert len(done.stderr.splitlines()) == (offline == "0")
