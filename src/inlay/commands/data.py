"""`inlay data list`, `pull`, `path` and `verify`."""

from typing import Annotated

import typer

from inlay.commands import show
from inlay.commands.options import Json
from inlay.errors import InputError
from inlay.live import say


def _names() -> list[str]:
    from inlay.text.data import NAMES

    return list(NAMES)


Name = Annotated[
    str,
    typer.Argument(metavar="NAME", show_default=False, autocompletion=_names, help="A data set of inlay data list."),
]


def list_sets(json: Json = False) -> None:
    """List the public data sets.

    Commands take them by name. A set is looked for in the folder INLAY_DATA, then in the cache (INLAY_CACHE, else
    ~/.cache/inlay).

    Examples:
    inlay data list
    INLAY_DATA=~/data inlay data list --json
    """
    from inlay.text import data

    sets = [data.describe(name) for name in data.NAMES]
    if json:
        show.tree(
            [
                {
                    "name": one.name,
                    "what": one.what,
                    "rows": one.rows,
                    "licence": one.licence,
                    "bytes": one.bytes,
                    "files": len(one.files),
                    "public": one.is_public,
                    "corpus": one.is_corpus,
                    "retrieval": one.is_retrieval,
                    "here": _is_here(one.name),
                }
                for one in sets
            ]
        )
        return
    rows = [
        (
            one.name,
            f"{one.bytes / 1e6:.1f}",
            _is_here(one.name),
            "search test" if one.is_retrieval else "text" if one.is_corpus else "",
            show.shorten(one.what, 80),
        )
        for one in sets
    ]
    show.table(["name", "MB", "here", "use as", "what"], rows)


def pull(name: Name, json: Json = False) -> None:
    """Download a data set.

    The files come into the cache, checked by sha256, and the folder is printed; a download that broke off goes on where
    it was. Nothing is downloaded where the set is here already.

    Examples:
    inlay data pull cranfield
    INLAY_CACHE=/big/disk inlay data pull enwiki-2014-sample
    """
    from inlay.commands.options import resumable
    from inlay.text import data

    with resumable("give the same command again to go on"):
        _show_path(name, str(data.pull(name)), json)


def path(name: Name, json: Json = False) -> None:
    """Print the folder of a data set that is here.

    Examples:
    inlay data path cranfield
    inlay evaluate model --on "$(inlay data path cranfield)"
    """
    from inlay.text import data

    _show_path(name, str(data.path(name)), json)


def verify(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            show_default="all that are here",
            autocompletion=_names,
            help="A data set of inlay data list.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check the files of data sets.

    Compares them with their published sha256; the exit code is 1 if one differs.

    Examples:
    inlay data verify cranfield
    inlay data verify --json
    """
    from inlay.text import data

    names = [name] if name else [one for one in data.NAMES if one != data.PYTHON_DOCS and _is_here(one)]
    faults = {}
    for one in names:
        faults[one] = data.verify(one)
        if not json:
            show.line(f"{one}: {'; '.join(faults[one]) or 'as published'}")
    if json:
        show.tree([{"name": one, "sound": not found, "faults": found} for one, found in faults.items()])
    if not names:
        say("no data set is here; inlay data pull NAME gets one")
    if wrong := [one for one in names if faults[one]]:
        raise InputError(f"{', '.join(wrong)}: not as published; remove the folder and pull it again")


def _is_here(name: str) -> bool:
    from inlay.text import data

    if name == data.PYTHON_DOCS:
        return True
    try:
        data.path(name)
    except InputError:
        return False
    return True


def _show_path(name: str, folder: str, json: bool) -> None:
    if json:
        show.tree({"name": name, "path": folder})
    else:
        show.line(folder)
