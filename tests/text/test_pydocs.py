"""The documentation of the running Python: complete, clean, in one order, and read without running anything."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from inlay.text import pydocs

WORDS = "that says at least so much as eight words."


@pytest.fixture(scope="module")
def library():
    counts = Counter()
    return list(pydocs.documents(packages=False, counts=counts)), counts


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Write a file of an installed package; the standard library is an empty folder."""
    installed = tmp_path / "installed"
    installed.mkdir()
    monkeypatch.setattr(pydocs.sysconfig, "get_path", lambda name: str(tmp_path / "library"))
    monkeypatch.setattr(pydocs, "_site_folders", lambda: [installed])

    def write(name: str, source: str | bytes) -> None:
        file = installed / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.encode() if isinstance(source, str) else source)

    return write


def ids(**options) -> list[str]:
    return [document.id for document in pydocs.documents(**options)]


def test_the_standard_library_is_a_corpus_of_thousands_of_documents(library):
    documents, counts = library
    assert len(documents) == counts["documents"] > 3000
    assert sum(len(document.text.split()) for document in documents) == counts["words"] > 200_000


@pytest.mark.parametrize("name", ["json.dumps", "argparse", "pathlib.Path.read_text", "collections.abc.Mapping"])
def test_public_names_of_the_library_are_there_under_their_qualified_name(library, name):
    found = {document.id: document for document in library[0]}
    assert found[name].title == name


def test_topics_have_their_heading_as_title_and_not_in_the_text(library):
    found = {document.id: document for document in library[0]}
    topic = found["topic:assert"]
    assert topic.title == 'The "assert" statement'
    assert "****" not in topic.text[:200]
    assert "debug" in topic.text


def test_ids_are_unique_texts_are_long_enough_and_private_names_are_missing(library):
    documents, _ = library
    assert len({document.id for document in documents}) == len(documents)
    assert len({document.text for document in documents}) == len(documents)
    assert all(len(document.text.split()) >= 8 for document in documents)
    assert not any(part.startswith("_") for document in documents for part in document.id.split("."))


def test_limit_takes_the_first_of_the_same_order(library):
    assert ids(limit=300) == [document.id for document in library[0][:300]]
    assert ids(limit=0) == []


def test_methods_and_conditional_definitions_are_found_and_private_ones_are_not(place):
    place(
        "shop/__init__.py",
        f'''"""A shop {WORDS}"""
if True:
    def sell():
        """Sells a thing {WORDS}"""
        def inner():
            """Inside a function {WORDS}"""
try:
    pass
except ImportError:
    async def buy():
        """Buys a thing
        {WORDS}
        """
def _hidden():
    """Hidden {WORDS}"""
def brief():
    """Too brief."""
class Till:
    """A till {WORDS}"""
    def open(self):
        """Opens it {WORDS}"""
    class _Coin:
        def toss(self):
            """Tosses {WORDS}"""
''',
    )
    assert ids() == ["shop", "shop.Till", "shop.Till.open", "shop.buy", "shop.sell"]
    texts = {document.id: document.text for document in pydocs.documents()}
    assert texts["shop.buy"] == f"Buys a thing\n{WORDS}"


def test_what_a_private_module_lists_is_named_after_its_parent(place):
    body = f'''def listed():\n    """Listed {WORDS}"""\ndef other():\n    """Other {WORDS}"""\n'''
    place("shop/__init__.py", "")
    place("shop/_core.py", f'"""Core {WORDS}"""\n__all__ = ["listed"]\n' + body)
    place("shop/_more/prices.py", body.replace("Listed", "More").replace("Other", "Another").replace("listed", "more"))
    assert ids() == ["shop.listed", "shop.more", "shop.other"]


def test_repeated_names_and_texts_are_taken_once(place):
    counts = Counter()
    place("a.py", f'def f():\n    """The same text {WORDS}"""\ndef f():\n    """A second f {WORDS}"""\n')
    place("b.py", f'def g():\n    """The SAME  text {WORDS}"""\n')
    assert ids(counts=counts) == ["a.f"]
    assert counts["repeated"] == 2


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('def broken(:\n    """x"""', "unparsable"),
        (b'"""\xff\xfe"""', "unparsable"),
        (b'"""\0"""', "unparsable"),
        ("# coding: no-such-codec\n'''x'''", "unparsable"),
        ("x = " + "(" * 5000 + ")" * 5000 + " '''y'''", "unparsable"),
        ("'''x'''" + " " * (2 << 20), "too_large"),
    ],
)
def test_files_that_cannot_be_read_are_skipped_and_counted(place, source, fault):
    counts = Counter()
    place("broken.py", source)
    place("sound.py", f'"""Sound {WORDS}"""')
    assert ids(counts=counts) == ["sound"]
    assert counts[fault] == 1


def test_nothing_is_imported_and_nothing_runs(place):
    place("bomb.py", f'"""A bomb {WORDS}"""\nraise SystemExit("it ran")\n')
    before = set(sys.modules)
    assert ids() == ["bomb"]
    assert "bomb" not in set(sys.modules) - before


def test_test_folders_and_bundled_copies_are_left_out(place):
    for name in ("shop/tests/a.py", "shop/_vendor/b.py", "shop/test_c.py", "_private/d.py", "tests/e.py"):
        place(name, f'"""In {name} {WORDS}"""')
    place("shop/f.py", f'"""Kept {WORDS}"""')
    assert ids() == ["shop.f"]


def test_no_package_gives_more_than_its_share(place):
    for package in ("big", "small"):
        for module in range(30 if package == "big" else 2):
            place(f"{package}/part{module % 3}/m{module}.py", f'"""Module {package} {module} {WORDS}"""')
    found = ids(per_package=9)
    assert Counter(name.split(".")[0] for name in found) == {"big": 9, "small": 2}
    assert len({name.split(".")[1] for name in found if name.startswith("big")}) == 3
    assert found == ids(per_package=9) == sorted(found)


def test_installed_packages_are_found_where_this_python_keeps_them():
    import numpy as np

    assert Path(np.__file__).parents[1] in pydocs._site_folders()
