"""`inlay verify`: whether a folder or a file still is what was written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from inlay.commands import show
from inlay.commands.options import Json
from inlay.errors import InputError

_WRONG = ("changed", "missing", "extra")
_FOR_PEOPLE = (".md", ".html")


def verify(
    path: Annotated[
        Path,
        typer.Argument(metavar="DIR|FILE", show_default=False, help="A model's folder, a run's folder, or a file."),
    ],
    json: Json = False,
) -> None:
    """Compare files with the checksums that were written with them.

    Every file that a checksums.json lists, in the folder, below it or above it, is read, and its sha256 compared.
    Named are those that changed, those that are missing, and those that came later; what only people read (.md and
    .html) may be edited and added, and so may names that begin with a dot. A file of word vectors carries its own sums.
    The exit code is 1 where anything is wrong, and where there is nothing to compare with.

    Examples:
    inlay verify model
    inlay verify vectors.safetensors --json
    """
    if not path.exists():
        raise InputError(f"{path}: no such folder or file")
    found: dict[str, Any] | None = _compared(path) or (_carried(path) if path.is_file() else None)
    if found is None:
        raise InputError(f"{path}: no checksums.json lists it, so that there is nothing to compare with")
    wrong = {kind: len(found[kind]) for kind in _WRONG if found[kind]}
    if json:
        show.tree({"path": str(path), "sound": not wrong, **found})
    else:
        for kind in wrong:
            for name in found[kind]:
                show.facts({f"{kind:<7}": name})
        show.line(f"{found['checked']:,} of {found['listed']:,} files are as they were written")
    if wrong:
        counts = ", ".join(f"{count} {kind}" for kind, count in wrong.items())
        raise InputError(f"{path}: is not as it was written ({counts}); copy it again, or make it anew")


def _compared(path: Path) -> dict[str, Any] | None:
    """What the lists of checksums say of a folder or a file; None where there is none that says anything of it."""
    from inlay.files import sha256
    from inlay.live import Live

    listed: dict[Path, set[str]] = {}
    homes = []
    for home, sums in _lists(path):
        homes += [home] if sums else []
        for file, digest in sums.items():
            listed.setdefault(file, set()).add(digest)
    if not listed:
        return None
    missing = [file for file in listed if not file.is_file()]
    changed = []
    with Live("verify", unit="files", total=len(listed)) as live:
        for file in listed:
            if file.is_file() and listed[file] != {sha256(file)}:
                changed.append(file)
            live.advance(1)
    there = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else []
    extra = [file for file in there if file not in listed and not _left_out(file, path) and _inside(file, homes)]
    found = {"changed": changed, "missing": missing, "extra": extra}
    sound = len(listed) - len(changed) - len(missing)
    return {"listed": len(listed), "checked": sound} | {kind: sorted(map(str, found[kind])) for kind in _WRONG}


def _lists(path: Path) -> Iterator[tuple[Path, dict[Path, str]]]:
    """The folders that have a list of checksums, and what it says of the files at `path` or below it."""
    from inlay.files import CHECKSUMS, contained, read_json

    below = [file.parent for file in sorted(path.rglob(CHECKSUMS))] if path.is_dir() else []
    above = [home for home in path.absolute().parents if (home / CHECKSUMS).is_file()]
    for home in [*below, *above]:
        tree = read_json(home / CHECKSUMS)
        if not isinstance(tree, dict) or not all(isinstance(digest, str) for digest in tree.values()):
            raise InputError(
                f"{home / CHECKSUMS}: must be a table of file names and sha256 sums; the folder is damaged"
            )
        files = {contained(home, name): digest for name, digest in tree.items()}
        if home not in below:
            files = {path / file.relative_to(path.absolute()): files[file] for file in files if _under(file, path)}
        yield home, files


def _under(file: Path, path: Path) -> bool:
    return file == path.absolute() or path.absolute() in file.parents


def _inside(file: Path, homes: list[Path]) -> bool:
    """Whether a list of checksums should know of the file."""
    return any(home in file.parents or home in file.absolute().parents for home in homes)


def _left_out(file: Path, path: Path) -> bool:
    """Lists do not list themselves; model cards are edited; and what begins with a dot belongs to other programs."""
    from inlay.files import CHECKSUMS

    return (
        file.name == CHECKSUMS
        or file.suffix in _FOR_PEOPLE
        or any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def _carried(path: Path) -> dict[str, Any] | None:
    """A file that carries its own sums: word vectors as inlay writes them. InputError where they do not hold."""
    from inlay.tensorfile import read_header
    from inlay.vectors.wordvectors import WordVectors

    if path.suffix != ".safetensors" or not any(key.startswith("crc32.") for key in read_header(path)[1]):
        return None
    WordVectors.load(path)
    return {"listed": 1, "checked": 1, "changed": [], "missing": [], "extra": []}
