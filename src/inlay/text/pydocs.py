"""The documentation that every Python carries: a real corpus that needs no download.

Docstrings of the standard library and of the installed packages, and the language reference's topics. Sources are read
and parsed with `ast`; nothing is imported and nothing runs.
"""

import ast
import hashlib
import inspect
import os
import site
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from inlay.text.clean import clean, clean_line
from inlay.text.dedup import fingerprint
from inlay.text.document import Document

_SKIPPED_FOLDERS = {
    *("test", "tests", "testing", "idlelib", "lib2to3", "turtledemo", "ensurepip", "lib-dynload", "__pycache__"),
    *("site-packages", "dist-packages", "node_modules", "vendor", "_vendor", "_vendored", "externals", "_internal"),
}
# Pure Python twins of modules that are written in C: their docstrings are those of the public names.
_TWINS = {"_pyio": "io", "_pydecimal": "decimal", "_pydatetime": "datetime", "_collections_abc": "collections.abc"}
_MOST_BYTES = 2 << 20
_FEWEST_WORDS = 8
_QUOTES = (b'"""', b"'''")
_UNDERLINES = ("*", "=", "-", "~", "^")


def documents(
    limit: int | None = None,
    *,
    packages: bool = True,
    per_package: int = 1000,
    counts: Counter[str] | None = None,
) -> Iterator[Document]:
    """Yield the docstrings and topics of the Python that runs this, each once, always in the same order.

    First the topics of the language reference, then the standard library, then, with `packages`, every installed
    package in order of its name: at most `per_package` docstrings of each, taken from files all over it, so that none
    floods the corpus. `limit` stops after so many documents in all.

    The id and the title are the qualified name (`json.dumps`); a topic is `topic:NAME` and its title is its heading. A
    module with a leading underscore is where a package keeps what its parent offers, so
    `scipy.optimize._minimize.minimize` is named `scipy.optimize.minimize`, and only what the module lists in `__all__`,
    if it has one, is taken. Other private names, docstrings under 8 words and texts that came before are left out;
    files above 2 MB or that do not parse are skipped. `counts`, where given, is told how many: `documents`, `words`,
    `files`, `short`, `repeated`, `too_large`, `unparsable`.
    """
    counts = Counter() if counts is None else counts
    names: set[str] = set()
    texts: set[int] = set()
    for name, title, text in _candidates(packages, per_package, counts):
        if limit is not None and counts["documents"] >= limit:
            return
        text = clean(text)
        words, mark = len(text.split()), fingerprint(text)
        if words < _FEWEST_WORDS:
            counts["short"] += 1
        elif name in names or mark in texts:
            counts["repeated"] += 1
        else:
            names.add(name)
            texts.add(mark)
            counts["documents"] += 1
            counts["words"] += words
            yield Document(id=name, title=title, text=text)


def _candidates(packages: bool, per_package: int, counts: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (id, title, text) in the order of the corpus."""
    library = Path(sysconfig.get_path("stdlib"))
    yield from _topics(library / "pydoc_data" / "topics.py", counts)
    for top in _tops(library):
        for file in _files(top):
            yield from _named(_docstrings(file, library, counts))
    if not packages:
        return
    for root in _site_folders():
        for top in _tops(root):
            taken: list[tuple[str, str]] = []
            for file in sorted(_files(top), key=partial(_spread, root=root)):
                taken += _docstrings(file, root, counts)
                if len(taken) >= per_package:
                    break
            yield from _named(iter(sorted(taken[:per_package], key=lambda pair: pair[0])))


def _named(pairs: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    return ((name, name, text) for name, text in pairs)


def _site_folders() -> list[Path]:
    """Where this Python keeps installed packages, each folder once."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    return [Path(folder) for folder in dict.fromkeys(folders) if os.path.isdir(folder)]


def _tops(root: Path) -> list[Path]:
    """The modules and packages in a folder that Python searches, by name; twins count, other private ones do not."""
    tops = [
        entry
        for entry in (root.iterdir() if root.is_dir() else ())
        if (entry.suffix == ".py" or (entry.is_dir() and entry.name.isidentifier()))
        and entry.name not in _SKIPPED_FOLDERS
        and (not entry.name.startswith("_") or entry.stem in _TWINS)
    ]
    return sorted(tops, key=lambda entry: entry.name)


def _files(top: Path) -> list[Path]:
    """The Python files of a module or package, by name."""
    if top.is_file():
        return [top]
    found = []
    for folder, subfolders, files in os.walk(top):
        subfolders[:] = [name for name in subfolders if name not in _SKIPPED_FOLDERS]
        found += [Path(folder, name) for name in files if name.endswith(".py") and not name.startswith("test_")]
    return sorted(found)


def _spread(file: Path, root: Path) -> tuple[int, str]:
    """Sorts shallow files first, and files of one depth in an order that favours no subpackage, the same everywhere."""
    inside = file.relative_to(root)
    return len(inside.parts), hashlib.blake2b(inside.as_posix().encode(), digest_size=8).hexdigest()


def _docstrings(file: Path, root: Path, counts: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield (qualified name, docstring) of the module, and of its public classes, functions and methods."""
    tree = _parsed(file, counts)
    if tree is None:
        return
    parts = list(file.relative_to(root).with_suffix("").parts)
    parts[0] = _TWINS.get(parts[0], parts[0])
    if parts[-1] == "__init__":
        parts.pop()
    private = next((i for i, part in enumerate(parts) if part.startswith("_")), None)
    module = ".".join(parts[:private])
    offered = None if private is None else _listed(tree)
    if private is None:
        yield from _docstring(tree, module)
    pending = [(module, tree.body, True)]
    while pending:
        prefix, body, at_top = pending.pop()
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                hidden = at_top and offered is not None and node.name not in offered
                if node.name.startswith("_") or hidden:
                    continue
                yield from _docstring(node, f"{prefix}.{node.name}")
                if isinstance(node, ast.ClassDef):
                    pending.append((f"{prefix}.{node.name}", node.body, False))
            elif isinstance(node, ast.If | ast.Try | ast.TryStar | ast.With):
                # A definition under a condition is public all the same.
                pending += [(prefix, block, at_top) for block in _blocks(node)]


def _blocks(node: ast.If | ast.Try | ast.TryStar | ast.With) -> list[list[ast.stmt]]:
    if isinstance(node, ast.With):
        return [node.body]
    handlers = [handler.body for handler in node.handlers] if isinstance(node, ast.Try | ast.TryStar) else []
    return [node.body, *handlers, node.orelse]


def _docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str
) -> Iterator[tuple[str, str]]:
    text = ast.get_docstring(node, clean=False)
    if text:
        yield name, inspect.cleandoc(text)


def _listed(tree: ast.Module) -> set[str] | None:
    """What the module lists in `__all__`, or None where it has none that can be read."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            try:
                return set(ast.literal_eval(node.value))
            except (ValueError, TypeError):
                return None
    return None


def _topics(file: Path, counts: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (id, heading, text) of what `help("assert")` and its like would show."""
    tree = _parsed(file, counts, (b"topics",)) if file.is_file() else None
    for node in tree.body if tree else ():
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)):
            continue
        for key, text in sorted(ast.literal_eval(node.value).items()):
            heading, _, body = text.lstrip().partition("\n")
            line, _, rest = body.partition("\n")
            if line and not line.strip(line[0]) and line[0] in _UNDERLINES:
                yield f"topic:{key}", clean_line(heading), rest
            else:
                yield f"topic:{key}", key, text


def _parsed(file: Path, counts: Counter[str], marks: tuple[bytes, ...] = _QUOTES) -> ast.Module | None:
    """The file's syntax tree; None where it has none of the marks (no docstring) or, noted in `counts`, is refused."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            counts["too_large"] += 1
            return None
        source = file.read_bytes()
        if not any(mark in source for mark in marks):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # another project's invalid escapes are not the user's concern
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        counts["unparsable"] += 1
        return None
    counts["files"] += 1
    return tree
