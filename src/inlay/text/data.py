"""Public data sets by name: where each comes from, its sha256 and licence, where it lies here, and how to get it.

A set is looked for in the folder INLAY_DATA, then in the cache (INLAY_CACHE, else ~/.cache/inlay); it is downloaded
from its public repository, at a fixed commit, into the cache. `python-docs` needs none of this: it is always at hand.
"""

import json
import os
import shutil
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

from inlay.errors import InputError, did_you_mean
from inlay.files import fsync_folder, lock, sha256
from inlay.live import Live, human, say
from inlay.text.document import Document

PYTHON_DOCS = "python-docs"
ADDRESS = "https://raw.githubusercontent.com"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """A file of a data set: its path in the set's folder, its bytes, and where they are public."""

    path: str
    bytes: int
    sha256: str
    source: str | None
    """`OWNER/REPOSITORY/COMMIT/PATH`, or None where the file is not public as it is."""
    made_from: str = ""
    """What a file that is not public was made from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A named data set: what it holds, how much, under what licence, in which files."""

    name: str
    what: str
    rows: str
    licence: str
    files: tuple[DataFile, ...] = ()

    @property
    def bytes(self) -> int:
        """The size of all files, as they are stored."""
        return sum(file.bytes for file in self.files)

    @property
    def is_public(self) -> bool:
        """Whether every file can be downloaded."""
        return all(file.source for file in self.files)

    @property
    def is_corpus(self) -> bool:
        """Whether `documents` can read it."""
        from inlay.text.corpora import READERS

        return self.name == PYTHON_DOCS or self.name in READERS

    @property
    def is_retrieval(self) -> bool:
        """Whether it holds a BEIR folder: a corpus with queries and judgements."""
        return any(file.path.startswith("beir/") for file in self.files)


def _registry() -> dict[str, DataSet]:
    sets = {
        PYTHON_DOCS: DataSet(
            name=PYTHON_DOCS,
            what="Docstrings and topics of the Python that runs this and of its packages; made when read.",
            rows="as installed: 4,600 documents in the standard library alone",
            licence="that of Python and of each package",
        )
    }
    tree = json.loads(resources.files("inlay.text").joinpath("manifest.json").read_text("utf-8"))
    for name, entry in tree.items():
        files = []
        for file in entry.pop("files"):
            public = file.pop("source")
            source = f"{public['repo']}/{public['commit']}/{public['path']}" if public else None
            files.append(DataFile(source=source, **file))
        sets[name] = DataSet(name=name, files=tuple(files), **entry)
    return sets


_SETS = _registry()
NAMES = tuple(_SETS)


def describe(name: str) -> DataSet:
    """The named set; InputError with the closest name where there is none."""
    if name not in _SETS:
        raise InputError(f"no data set is called {name!r}{did_you_mean(name, NAMES)}")
    return _SETS[name]


def path(name: str) -> Path:
    """The folder that holds the whole set; InputError with the way to get it where it is not here."""
    found = _stored(name)
    folder = _complete(found)
    if folder is None:
        way_out = f"get it by: inlay data pull {name}" if found.is_public else _why_not_public(found)
        raise InputError(f"{name} is not in {_places()}; {way_out}")
    return folder


def beir(name: str) -> Path:
    """The BEIR folder of a retrieval set; InputError where the set is none, or is not here."""
    if not describe(name).is_retrieval:
        sets = ", ".join(one.name for one in _SETS.values() if one.is_retrieval)
        raise InputError(f"{name} has no queries and judgements; retrieval sets are {sets}")
    return path(name) / "beir"


def pull(name: str, *, url: str | None = None) -> Path:
    """The folder of the set, downloaded into the cache if it is not whole and sound here.

    Every file is checked by size and sha256, also those that were here before; the folder appears when all are in
    place. `url` replaces ADDRESS, as does INLAY_DATA_URL. InputError where a set is not public, a folder of the user's
    own is faulty, or the download fails; what was received is kept for the next call.
    """
    found = _stored(name)
    folder = _complete(found)
    faults = _faults(found, folder) if folder else []
    if folder and not faults:
        return folder
    if folder and folder.parent != _cache():
        raise InputError(f"{faults[0]}; mend the folder that INLAY_DATA names, or unset it")
    if not found.is_public:
        raise InputError(f"{name} is not in {_places()}; {_why_not_public(found)}")
    return _download(found, (url or os.environ.get("INLAY_DATA_URL") or ADDRESS).rstrip("/"))


def verify(name: str) -> list[str]:
    """What is wrong with the set's files, a line each, after reading them all; empty where they are as published."""
    found = _stored(name)
    here = [root / name for root in _roots() if (root / name).is_dir()]
    return _faults(found, _complete(found) or (here[0] if here else path(name)))


def documents(name: str) -> Iterator[Document]:
    """The documents of a set that is a text corpus, downloaded first if need be; InputError where it is none."""
    found = describe(name)
    if name == PYTHON_DOCS:
        from inlay.text import pydocs

        return pydocs.documents()
    from inlay.text.corpora import READERS

    if name not in READERS:
        corpora = ", ".join([PYTHON_DOCS, *READERS])
        raise InputError(f"{name} is no text corpus ({found.what.rstrip('.')}); corpora are {corpora}")
    folder = _complete(found)
    if folder is None and found.is_public:
        say(f"{name} is not here yet: {human(found.bytes)} bytes to download (licence: {found.licence})")
        folder = pull(name)
    return READERS[name](folder or path(name))


def _stored(name: str) -> DataSet:
    found = describe(name)
    if not found.files:
        raise InputError(f"{name} has no files: it is made from this Python when it is read, and always at hand")
    return found


def _cache() -> Path:
    return Path(os.environ.get("INLAY_CACHE") or "~/.cache/inlay").expanduser()


def _roots() -> list[Path]:
    given = os.environ.get("INLAY_DATA")
    return [*([Path(given).expanduser()] if given else []), _cache()]


def _places() -> str:
    unset = "" if os.environ.get("INLAY_DATA") else " (and INLAY_DATA is not set)"
    return " or ".join(str(root) for root in _roots()) + unset


def _complete(found: DataSet) -> Path | None:
    """The first folder that has every file of the set at its size."""
    for root in _roots():
        folder = root / found.name
        if all(_size(folder / file.path) == file.bytes for file in found.files):
            return folder
    return None


def _faults(found: DataSet, folder: Path) -> list[str]:
    return [fault for file in found.files if (fault := _fault(folder / file.path, file))]


def _fault(place: Path, file: DataFile) -> str | None:
    size = _size(place)
    if size is None:
        return f"{place}: missing"
    if size != file.bytes:
        return f"{place}: has {size} bytes, must have {file.bytes}"
    if (digest := sha256(place)) != file.sha256:
        return f"{place}: has sha256 {digest}, must have {file.sha256}"
    return None


def _size(place: Path) -> int | None:
    return place.stat().st_size if place.is_file() else None


def _why_not_public(found: DataSet) -> str:
    file = next(file for file in found.files if not file.source)
    return (
        f"it cannot be downloaded, since {file.path} is not public as it is ({file.made_from}): "
        "name the folder that holds it in INLAY_DATA"
    )


def _download(found: DataSet, address: str) -> Path:
    """Gather the files in a hidden folder beside the place of the set, then give it its name."""
    from inlay.text.download import fetch

    cache = _cache()
    target, staging = cache / found.name, cache / f".{found.name}.part"
    try:
        with lock(cache / ".locks" / found.name), Live(f"pull {found.name}", total=found.bytes, unit="B") as live:
            if target.exists():  # not whole or not sound: its good files serve again
                shutil.rmtree(staging, ignore_errors=True)
                os.replace(target, staging)
            done = 0
            for file in found.files:
                if _fault(staging / file.path, file):
                    source = f"{address}/{urllib.parse.quote(file.source or '')}"
                    progress = partial(_tell, live, done)
                    fetch(source, staging / file.path, size=file.bytes, digest=file.sha256, progress=progress)
                done += file.bytes
                live.at(done)
            os.replace(staging, target)
            fsync_folder(cache)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise InputError(f"{error.filename}: {why}; name another folder in INLAY_CACHE") from None
    return target


def _tell(live: Live, before: int, here: int) -> None:
    live.at(before + here)
