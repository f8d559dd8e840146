"""Models by name, from the hub: the files that are read and no others, checked, at a revision that can be pinned."""

import contextlib
import hashlib
import logging
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inlay.errors import InputError
from inlay.files import disk_errors
from inlay.live import Live

WANTED = ["*.safetensors", "*.json", "*.txt", "*.model"]
UNWANTED = [f"{folder}/*" for folder in ("onnx", "openvino", "coreml", "original", "runs", "checkpoint-*")]

_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)
_REVISION = re.compile(r"\w[\w./-]{0,254}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_AT_ONCE = 4
_TROUBLE = "check the network, or name a folder that holds the model"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model's folder on this machine, and where it is from."""

    folder: Path
    name: str | None = None
    """The model's name on the hub; None for a folder of the user's own."""
    revision: str | None = None
    """The commit that the hub resolved the revision to, 40 hexadecimal digits: it names the same files for ever."""


def locate(name_or_folder: str | Path) -> Fetched:
    """The folder that was named, or the model of that name from the hub, downloaded if need be.

    A folder that exists goes first. What looks like a path (it begins with `.`, `/` or `~`, or has more than one `/`)
    and is not there is an InputError, and nothing is asked of the hub.
    """
    text = os.fspath(name_or_folder)
    folder = Path(os.path.expanduser(text))  # which leaves ~nobody as it is
    if folder.is_dir():
        return Fetched(folder)
    if folder.exists():
        raise InputError(f"{text} is a file; name the model's folder")
    is_path = isinstance(name_or_folder, Path) or text.startswith((".", "/", "~")) or "\\" in text
    if is_path or text.partition("@")[0].count("/") > 1 or text.endswith("/"):
        raise InputError(f"{text}: no such folder")
    return fetch(text)


def fetch(name: str, revision: str | None = None, cache: str | Path | None = None) -> Fetched:
    """The model `owner/model`, `model` or either with `@revision`, its files in the cache that other tools share.

    Files that are here are not asked for again; with HF_HUB_OFFLINE set, or where there is no network, they must be
    here. What was downloaded has the digest that the hub tells, or is removed. HF_ENDPOINT, HF_TOKEN, HF_HOME and
    HF_HUB_CACHE are honoured; `cache` replaces the last. InputError says what failed.
    """
    name, revision = _parse(name, revision)
    import huggingface_hub
    from huggingface_hub import constants

    from inlay import __version__

    home = Path(cache or constants.HF_HUB_CACHE).expanduser()
    blobs = home / f"models--{name.replace('/', '--')}" / "blobs"
    with _checked(name, blobs), _spoken(name, revision, home), _shown(name) as bar:
        folder = Path(
            huggingface_hub.snapshot_download(
                name,
                revision=revision,
                cache_dir=home,
                allow_patterns=WANTED,
                ignore_patterns=UNWANTED,
                library_name="inlay",
                library_version=__version__,
                max_workers=_AT_ONCE,
                tqdm_class=bar,
            )
        )
    if not folder.is_dir():
        raise InputError(f"{name}: holds no file that is read ({', '.join(WANTED)}); name a model in safetensors")
    return Fetched(folder, name, folder.name)


def _parse(name: str, revision: str | None) -> tuple[str, str | None]:
    name, at, after = name.partition("@")
    if at and revision is not None and after != revision:
        raise InputError(f"{name}: the revision is {after!r} in the name and {revision!r} beside it; give one")
    if not _NAME.fullmatch(name) or "--" in name or ".." in name or name.endswith((".git", ".", "-")):
        raise InputError(
            f"{name!r} is no folder here and no name of a model; write owner/model or model, "
            "in letters, digits and - _ ., and perhaps @revision"
        )
    revision = after if at else revision
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        raise InputError(f"{name}: {revision!r} is no revision; give a branch, a tag or a commit")
    return name, revision


@contextlib.contextmanager
def _spoken(name: str, revision: str | None, home: Path) -> Iterator[None]:
    """Errors of the library in our words, and its own messages held back meanwhile."""
    import httpx
    from huggingface_hub import constants, errors

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    place = f"{name} on {constants.ENDPOINT}"
    try:
        with disk_errors(home):
            yield
    except errors.GatedRepoError:
        raise InputError(
            f"{place}: is open only to those who accepted its terms; accept them on its page there, and set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{place}: has no revision {revision!r}; give a branch, a tag or a commit, or none") from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"{place}: no such model, and no such folder here; check the spelling, or set HF_TOKEN if it is private"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if constants.HF_HUB_OFFLINE:
            wanted = f"{name}@{revision}" if revision else name
            raise InputError(
                f"{wanted}: not whole in {home}, and HF_HUB_OFFLINE is set; unset it to download the model"
            ) from None
        raise InputError(f"{place}: {_reason(error.__cause__ or error)}; {_TROUBLE}") from None
    except (errors.HfHubHTTPError, httpx.HTTPError) as error:
        raise InputError(f"{place}: {_reason(error)}; {_TROUBLE}") from None
    except PermissionError as error:
        raise InputError(f"{error.filename or home}: cannot be written; name another folder in HF_HUB_CACHE") from None
    except OSError as error:
        if not str(error).startswith("Consistency check failed"):
            raise
        raise InputError(
            f"{place}: a file was cut off on its way; nothing of it was kept, give the command again"
        ) from None
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        if "Invalid filename" in str(error):
            raise InputError(f"{place}: the hub names a file that would lie outside the cache; do not use it") from None
        raise InputError(f"{place}: this is not how a hub answers ({_first_line(error)}); check HF_ENDPOINT") from error
    finally:
        logger.setLevel(level)


def _reason(error: BaseException) -> str:
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return f"the hub answers {error.response.status_code} ({error.response.reason_phrase})"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return f"the connection broke off ({_first_line(error)})"
    return f"cannot be reached ({_first_line(error)})"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


@contextlib.contextmanager
def _shown(name: str) -> Iterator[type]:
    """A class in the place of the library's progress bars, whose bytes go to one live line; none if none come."""
    from tqdm.std import tqdm  # type: ignore[import-untyped]

    lock = threading.Lock()
    with contextlib.ExitStack() as stack:
        lines: list[Live] = []

        class Bar(tqdm):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                options.pop("name", None)
                self.counts_bytes = options.get("unit") == "B"
                super().__init__(*arguments, **{**options, "disable": True})

            def update(self, n: float | None = 1) -> None:
                self.n += n or 0
                if not (self.counts_bytes and self.n):
                    return
                with lock:
                    if not lines:
                        lines.append(stack.enter_context(Live(f"fetching {name}", unit="bytes")))
                    lines[0].total = max(lines[0].total or 0, self.total or 0)
                    lines[0].at(self.n)

        yield Bar


@contextlib.contextmanager
def _checked(name: str, blobs: Path) -> Iterator[None]:
    """Remove what came within the block, whole or not, and is not what its name says: the digest of its content."""
    before = _names(blobs)
    wrong: list[str] = []
    try:
        yield
    finally:
        for digest in sorted(_names(blobs) - before):
            if not _has_digest(blobs / digest, digest):
                (blobs / digest).unlink()
                wrong.append(digest)
    for link in sorted(path for path in (blobs.parent / "snapshots").rglob("*") if path.is_symlink()):
        if Path(os.readlink(link)).name in wrong:
            raise InputError(
                f"{name}: {link.name} came with other bytes than the hub promised, and was removed; "
                "give the command again"
            )


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _has_digest(path: Path, digest: str) -> bool:
    """Whether the file's sha256 is this, or, for 40 digits, what git calls a file of that content."""
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest):
        return True  # of a server that does not name its files so
    found = hashlib.sha256() if len(digest) == 64 else hashlib.sha1(usedforsecurity=False)
    if len(digest) == 40:
        found.update(b"blob %d\0" % path.stat().st_size)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest() == digest
