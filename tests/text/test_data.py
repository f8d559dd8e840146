"""Named data sets: found, downloaded through every kind of trouble, checked, and read; no test leaves this machine."""

import errno
import hashlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from inlay.errors import InputError
from inlay.files import lock
from inlay.text import data, download
from inlay.text.corpora import READERS

BODY = bytes(range(256)) * 2000  # 512 kB: more than one block and more than one packet
SMALL = b"a second file, with a space and a + in its name"


class Server:
    """A web server on this machine whose answers to the next requests are given as a script."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.script: list[str] = []
        self.requests: list[tuple[str, str | None]] = []  # path, Range
        self.ranges = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("Range")))
                outer.answer(self, outer.script.pop(0) if outer.script else "")

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, act: str) -> None:
        act, _, value = act.partition(" ")
        body = self.files.get(handler.path)
        if act == "status" or body is None:
            handler.send_error(int(value or 404))
            return
        if act == "redirect":
            handler.send_response(302)
            handler.send_header("Location", value)
            handler.end_headers()
            return
        start = 0
        asked = handler.headers.get("Range")
        if asked and self.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if act != "unsized":
            handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        handler.wfile.write(body[start : start + int(value)] if act == "cut" else body[start:])


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INLAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INLAY_DATA", raising=False)
    monkeypatch.setattr(download, "PAUSE_S", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def toy(server, cache, monkeypatch):
    """A public set of two files, served; everything is addressed through INLAY_DATA_URL."""
    files = []
    for path, body in (("text.txt", BODY), ("more/a b+c.txt", SMALL)):
        source = f"owner/repository/0123abc/dir/{path}"
        files.append(data.DataFile(path=path, bytes=len(body), sha256=hashlib.sha256(body).hexdigest(), source=source))
        server.files["/" + source.replace(" ", "%20").replace("+", "%2B")] = body
    toy = data.DataSet(name="toy", what="Two files.", rows="2", licence="none", files=tuple(files))
    monkeypatch.setitem(data._SETS, "toy", toy)
    monkeypatch.setenv("INLAY_DATA_URL", server.url)
    return toy


def is_whole(folder: Path) -> bool:
    return (folder / "text.txt").read_bytes() == BODY and (folder / "more/a b+c.txt").read_bytes() == SMALL


def test_a_set_is_downloaded_once_and_then_found(toy, cache, server):
    with pytest.raises(InputError, match="inlay data pull toy"):
        data.path("toy")
    assert data.pull("toy") == cache / "toy" == data.path("toy")
    assert is_whole(cache / "toy")
    assert data.verify("toy") == []
    asked = len(server.requests)
    assert data.pull("toy") == cache / "toy"
    assert len(server.requests) == asked == 2
    assert sorted(f.name for f in cache.iterdir()) == [".locks", "toy"]


def test_the_address_may_be_an_argument(toy, cache, server, monkeypatch):
    monkeypatch.setenv("INLAY_DATA_URL", "http://127.0.0.1:1")
    assert is_whole(data.pull("toy", url=server.url + "/"))


def test_the_folder_of_the_user_comes_before_the_cache(toy, cache, server, tmp_path, monkeypatch):
    data.pull("toy")
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("INLAY_DATA", str(own))
    assert data.path("toy") == cache / "toy"
    os.rename(cache / "toy", own / "toy")
    assert data.path("toy") == own / "toy" == data.pull("toy")
    (own / "toy/text.txt").write_bytes(BODY[::-1])
    with pytest.raises(InputError, match="sha256 .*mend the folder that INLAY_DATA names"):
        data.pull("toy")


def test_a_cut_connection_is_resumed_where_it_broke(toy, cache, server):
    server.script = ["cut 200000", "cut 100000"]
    assert is_whole(data.pull("toy"))
    assert [asked for _, asked in server.requests] == [None, "bytes=200000-", "bytes=300000-", None]


@pytest.mark.parametrize("unsized", [False, True])
def test_a_server_that_ignores_the_range_is_read_from_the_start(toy, cache, server, unsized):
    server.ranges = False
    server.script = ["cut 200000", "unsized" if unsized else ""]
    assert is_whole(data.pull("toy"))


def test_a_network_that_stays_broken_leaves_what_came_for_the_next_call(toy, cache, server):
    server.script = ["cut 1000"] * download.TRIES
    with pytest.raises(InputError, match=f"cut, {download.TRIES} times; 5000 of 512000 bytes are kept"):
        data.pull("toy")
    assert not (cache / "toy").exists()
    server.requests.clear()
    assert is_whole(data.pull("toy"))
    assert server.requests[0][1] == "bytes=5000-"


def test_files_that_came_whole_are_not_asked_for_again(toy, cache, server):
    server.script = ["", "status 404"]
    with pytest.raises(InputError, match="404"):
        data.pull("toy")
    server.requests.clear()
    assert is_whole(data.pull("toy"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(toy, cache, server, status):
    server.script = [f"status {status}", f"status {status}"]
    assert is_whole(data.pull("toy"))


@pytest.mark.parametrize(("status", "said"), [(404, "not found"), (403, "refuses: 403"), (410, "refuses: 410")])
def test_a_refusal_is_final(toy, cache, server, status, said):
    server.script = [f"status {status}"]
    with pytest.raises(InputError, match=said):
        data.pull("toy")
    assert len(server.requests) == 1
    assert not (cache / "toy").exists()


def test_wrong_bytes_are_refused_naming_both_sums_and_removed(toy, cache, server):
    path = next(iter(server.files))
    wrong = BODY[:-1] + b"!"
    server.files[path] = wrong
    with pytest.raises(InputError) as caught:
        data.pull("toy")
    for content in (BODY, wrong):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(cache.rglob("text.txt*"))


@pytest.mark.parametrize("wrong", [b"short", BODY + b"more"])
@pytest.mark.parametrize("act", ["", "unsized"])
def test_a_file_of_another_size_is_refused(toy, cache, server, wrong, act):
    server.files[next(iter(server.files))] = wrong
    server.script = [act] * 9
    with pytest.raises(InputError, match="wrong content|bytes are kept"):
        data.pull("toy")
    assert not list(cache.rglob("text.txt"))


@pytest.mark.parametrize("stale", [b"?" * 7000, b"?" * len(BODY), b"?" * (len(BODY) + 9)])
def test_a_stale_part_does_no_harm(toy, cache, server, stale):
    part = cache / ".toy.part/text.txt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(stale)
    assert is_whole(data.pull("toy"))


def test_a_redirect_is_followed_with_its_range(toy, cache, server):
    path = next(iter(server.files))
    server.files["/elsewhere"] = BODY
    server.script = [f"redirect {server.url}/elsewhere", "cut 1000", "redirect /elsewhere"]
    assert is_whole(data.pull("toy"))
    assert server.requests[:4] == [
        *((path, None), ("/elsewhere", None)),
        *((path, "bytes=1000-"), ("/elsewhere", "bytes=1000-")),
    ]


def test_redirects_in_a_circle_are_refused(toy, cache, server):
    path = next(iter(server.files))
    server.script = [f"redirect {path}"] * 50
    with pytest.raises(InputError, match="circle"):
        data.pull("toy")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_refused(toy, cache, server, target):
    server.script = [f"redirect {target}"]
    with pytest.raises(InputError, match="refused to follow a redirect from http to"):
        data.pull("toy")


def test_a_redirect_from_https_down_to_http_is_refused():
    class Request:
        type, full_url = "https", "https://example.org/a"

    class Body:
        def close(self) -> None:
            pass

    with pytest.raises(InputError, match="from https to http"):
        download._Redirects().http_error_302(Request(), Body(), 302, "", {"location": "http://example.org/a"})


def test_without_a_network_the_error_says_so(toy, cache, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("INLAY_DATA_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(InputError, match="cannot be reached .*check the network"):
            data.pull("toy")
    assert not (cache / "toy").exists()


def test_a_host_that_has_no_address_fails_at_once(toy, cache, monkeypatch):
    tries = []

    def resolve(*args: object, **options: object) -> None:
        tries.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(InputError, match="cannot find the host data.example; is there a network"):
        data.pull("toy", url="https://data.example")
    assert len(tries) == 1


@pytest.mark.parametrize("url", ["file:///tmp", "ftp://127.0.0.1"])
def test_an_address_that_is_not_of_the_web_is_refused(toy, cache, url):
    with pytest.raises(InputError, match="must be an http or https address"):
        data.pull("toy", url=url)


def test_a_full_disk_is_told_from_a_broken_network(toy, cache, server, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full"):
        data.pull("toy")
    assert not (cache / "toy").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_on_the_way_is_named(toy, cache, server):
    part = cache / ".toy.part/text.txt.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(InputError, match="text.txt.part: the disk is full"):
        data.pull("toy")
    assert len(server.requests) == 1


def test_a_cache_that_is_no_folder_is_an_input_error(toy, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INLAY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="INLAY_CACHE"):
        data.pull("toy")


def test_two_pulls_of_one_set_do_not_meet(toy, cache):
    with lock(cache / ".locks" / "toy"), pytest.raises(InputError, match="another process"):
        data.pull("toy")


@pytest.mark.parametrize("content", [None, b"short", BODY[::-1]])
def test_verify_names_the_fault_and_pull_mends_the_cache(toy, cache, server, content):
    file = data.pull("toy") / "text.txt"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    faults = data.verify("toy")
    assert len(faults) == 1
    assert str(file) in faults[0]
    server.requests.clear()
    assert is_whole(data.pull("toy"))
    assert len(server.requests) == 1
    assert data.verify("toy") == []


def test_every_entry_of_the_registry_is_complete():
    assert data.NAMES[0] == "python-docs"
    for name in data.NAMES[1:]:
        found = data.describe(name)
        assert all((found.what, found.rows, found.licence, found.files))
        for file in found.files:
            assert len(file.sha256) == 64
            assert file.bytes > 0
            assert not Path(file.path).is_absolute()
            assert ".." not in Path(file.path).parts
            assert (file.source is None) == bool(file.made_from)
            if file.source:
                assert len(file.source.split("/")[2]) == 40


def test_an_unknown_name_gets_the_closest():
    with pytest.raises(InputError, match="did you mean 'cranfield'"):
        data.describe("cranfeild")


@pytest.mark.parametrize("ask", [data.path, data.pull, data.verify, data.beir, data.documents])
def test_a_set_that_is_not_public_says_why_and_where_to_put_it(cache, ask):
    assert not data.describe("cranfield").is_public
    with pytest.raises(InputError, match="cannot be downloaded, since .* is not public .*INLAY_DATA"):
        ask("cranfield")


def test_python_docs_has_documents_and_no_files():
    assert next(data.documents("python-docs")).title
    for ask in (data.path, data.pull, data.verify):
        with pytest.raises(InputError, match="always at hand"):
            ask("python-docs")


def test_what_is_no_corpus_says_what_it_is():
    with pytest.raises(InputError, match="no text corpus .*analogies"):
        data.documents("google-analogies")
    with pytest.raises(InputError, match="retrieval sets are cranfield"):
        data.beir("tinyshakespeare")


def test_a_corpus_that_is_not_here_is_pulled_when_it_is_read(toy, cache, server, monkeypatch, capsys):
    monkeypatch.setitem(READERS, "toy", lambda folder: iter([folder]))
    assert list(data.documents("toy")) == [cache / "toy"]
    assert "512k bytes to download" in capsys.readouterr().err


@pytest.mark.parametrize("name", READERS)
def test_every_corpus_gives_documents_with_ids_of_their_own(data_here, name):
    documents = [document for document, _ in zip(data.documents(name), range(500), strict=False)]
    assert len(documents) == 500
    assert len({document.id for document in documents}) == 500
    assert sum(not document.text for document in documents) <= 1  # Cranfield has an empty one


@pytest.mark.parametrize("name", [name for name in data.NAMES if data.describe(name).is_retrieval])
def test_every_retrieval_set_has_its_beir_folder(data_here, name):
    assert {file.name.split(".")[0] for file in data.beir(name).iterdir()} == {"corpus", "queries", "qrels_test"}


@pytest.mark.parametrize("name", data.NAMES[1:])
def test_the_registry_agrees_with_the_files(data_here, name):
    if (data_here / name).is_dir():
        assert data.verify(name) == []


@pytest.fixture
def data_here(request, monkeypatch):
    folder = request.getfixturevalue("data")
    monkeypatch.setenv("INLAY_DATA", str(folder))
    return folder
