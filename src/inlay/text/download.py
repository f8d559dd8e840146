"""One file from the web: resumed after a break, and put in place whole and checked, or not at all."""

import contextlib
import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from inlay.errors import InputError
from inlay.files import disk_errors, fsync_folder, sha256

TRIES = 5
PAUSE_S = 0.5  # doubled after every try that failed

_TIMEOUT_S = 30
_BLOCK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that another try may cure


def fetch(url: str, path: Path, *, size: int, digest: str, progress: Callable[[int], None] = lambda done: None) -> None:
    """Download `url` to `path`, which appears only once it has `size` bytes and the sha256 `digest`.

    The bytes are gathered in `path` + `.part`. A cut connection, a time-out or a server error is tried again, TRIES
    times in all, from where it broke if the server can; what was gathered stays for the next call. `progress` is told
    how many bytes are here. InputError where the bytes are wrong (they are removed), the address is, a redirect goes in
    a circle or to another scheme, the network fails to the end, or the disk is full.
    """
    part = path.with_name(path.name + ".part")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        resumed = _here(part) > 0
        _gather(url, part, size, progress)
        found = sha256(part)
        if (_here(part), found) == (size, digest):
            break
        actual = _here(part)
        part.unlink()
        if not resumed:  # else the old part may be to blame: once more from the start
            raise InputError(
                f"{url}: wrong content: expected {size} bytes with sha256 {digest}, got {actual} with {found}; "
                "nothing was kept; try later or get the file elsewhere"
            )
    with _writing(path):
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        fsync_folder(path.parent)


def _gather(url: str, part: Path, size: int, progress: Callable[[int], None]) -> None:
    """Bring the part to `size` bytes, or past it by one where the server sends too many."""
    for number in range(1, TRIES + 1):
        try:
            _receive(url, part, size, progress)
            if _here(part) >= size:
                return
            trouble = "the connection was cut"
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            trouble = _judge(url, error)
        if number < TRIES:
            time.sleep(PAUSE_S * 2 ** (number - 1))
    raise InputError(
        f"{url}: {trouble}, {TRIES} times; {_here(part)} of {size} bytes are kept; "
        "check the network and give the command again to go on from there"
    )


def _receive(url: str, part: Path, size: int, progress: Callable[[int], None]) -> None:
    """One request for what is still missing; appends to the part, or writes it anew where the server sends it all."""
    start = _here(part)
    if start >= size:
        return
    headers = {"User-Agent": "inlay", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        answer = _open(urllib.request.Request(url, headers=headers))
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        part.unlink()  # the server has no such range, so the part is no beginning of its file
        raise http.client.HTTPException("the server has fewer bytes than were here") from None
    with answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if answer.status == 206 and not goes_on:
            part.unlink()
            raise http.client.HTTPException("the server sent another range than was asked for")
        offered = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length")
        if offered and offered.isdigit() and int(offered) != size:
            part.unlink(missing_ok=True)
            raise InputError(f"{url}: wrong content: expected {size} bytes, the server has {offered}; nothing was kept")
        done = start if goes_on else 0
        with _writing(part):
            file = open(part, "ab" if goes_on else "wb", buffering=0)  # noqa: SIM115
        with file:
            while done <= size and (block := answer.read(min(_BLOCK, size + 1 - done))):
                done += len(block)
                with _writing(part):
                    while block:
                        block = block[file.write(block) :]
                progress(done)


def _judge(url: str, error: Exception) -> str:
    """What went wrong, for a trouble that may pass; InputError for one that will not."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code in _PASSING:
            return f"the server answers {error.code} ({error.reason})"
        if error.code == 404:
            raise InputError(f"{url}: not found (404); the address is wrong or the file was withdrawn")
        if error.code in (301, 302, 303, 307, 308):
            raise InputError(f"{url}: redirects go in a circle or too far ({error.code}); check the address")
        raise InputError(f"{url}: the server refuses: {error.code} ({error.reason})")
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise InputError(f"{url}: its certificate cannot be trusted ({reason.verify_message}); check the address")
    if isinstance(reason, socket.gaierror):
        host = urllib.parse.urlsplit(url).hostname
        raise InputError(f"{url}: cannot find the host {host}; is there a network?")
    if isinstance(reason, TimeoutError):
        return f"no answer in {_TIMEOUT_S} s"
    return f"cannot be reached ({reason})"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect within http or https, or up from http to https, and no other."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> IO[bytes] | None:
        target = urllib.parse.urljoin(req.full_url, headers.get("location", ""))
        old, new = req.type, urllib.parse.urlsplit(target).scheme
        if new != old and (old, new) != ("http", "https"):
            fp.close()
            raise InputError(f"{req.full_url}: refused to follow a redirect from {old} to {new} ({target})")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    if request.type not in ("http", "https"):
        raise InputError(f"{request.full_url}: must be an http or https address")
    answer: http.client.HTTPResponse = urllib.request.build_opener(_Redirects).open(request, timeout=_TIMEOUT_S)
    return answer


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tells a fault of the disk from one of the network: both are an OSError."""
    try:
        with disk_errors(path):
            yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another folder in INLAY_CACHE") from None


def _here(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
