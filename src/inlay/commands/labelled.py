"""Labelled texts on the command line: lines in fastText's form, or records with a text and a label."""

import sys
from collections.abc import Iterable, Iterator
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inlay.errors import InputError, did_you_mean
from inlay.live import say
from inlay.text.document import CorpusConfig, Document

if TYPE_CHECKING:
    from inlay.text.corpus import Corpus
    from inlay.vectors.features import Labelled

_RECORDS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")

Labels = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", show_default=False, help="Lines such as '__label__good fine food', or records; '-' is stdin."
    ),
]
TextField = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Field or column with the text; by default text, content, body, ..."),
]
LabelField = Annotated[str, typer.Option(metavar="NAME", help="Field or column of records with the label.")]


def labelled(source: str, text_field: str | None, label_field: str, lang: str | None) -> "tuple[Labelled, str]":
    """The labelled texts of a source, and the language by which they are cut into words, empty for as they are.

    `lang` None: records by their language, lines as they are.
    """
    if not _is_records(source):
        if lang == "auto":
            raise InputError("--lang auto looks at records; for lines name the language, such as --lang en")
        return _path(source), _known(lang or "none")
    corpus = _corpus(source, text_field, label_field)
    if lang is None or lang == "auto":
        from inlay.text.words import language

        lang = language(document.text for document in _documents(corpus))
    left, right = tee(_pairs(corpus, source, label_field))
    return ((text for text, _ in left), (label for _, label in right)), _known(lang)


def texts_of(source: str, text_field: str | None) -> Iterable[str]:
    """The texts of a source, labelled or not."""
    if _is_records(source):
        return (document.text for document in _corpus(source, text_field, None))
    if source == "-":
        from inlay.commands.stdin import lines

        return lines("texts")
    from inlay.vectors.features import utf8_lines

    return utf8_lines(Path(source))


def _pairs(corpus: "Corpus", source: str, label_field: str) -> Iterator[tuple[str, str]]:
    """Text and label of each record; white space in labels becomes `_`, which is said once."""
    spaced = False
    for document in _documents(corpus):
        label = "_".join(document.title.split())
        if not label:
            raise InputError(
                f"{source}, {document.id}: no label in field {label_field!r}; fill it in or drop the record"
            )
        if label != document.title and not spaced:
            spaced = True
            say(f"labels cannot hold spaces: {document.title!r} becomes {label!r}")
        yield document.text, label


def _documents(corpus: "Corpus") -> Iterator[Document]:
    """The records, of which the title is the label: that is how errors name it."""
    try:
        yield from corpus
    except InputError as error:
        raise InputError(str(error).replace("--title-field", "--label-field")) from None


def _corpus(source: str, text_field: str | None, label_field: str | None) -> "Corpus":
    from inlay.text.corpus import Corpus

    return Corpus(source, config=CorpusConfig(text_field=text_field, title_field=label_field))


def _is_records(source: str) -> bool:
    from inlay.text.readers import suffixes_of

    kinds = suffixes_of(Path(source).name)
    return kinds is not None and kinds[0] in _RECORDS


def _path(source: str) -> Path:
    if source != "-":
        return Path(source)
    if sys.stdin is None:
        raise InputError("stdin is closed; pipe labelled lines into it, or name a file")
    return Path("/dev/stdin")


def _known(lang: str) -> str:
    """The name of a segmenter, or nothing for none."""
    from inlay.text.words import LANGUAGES

    options = (*LANGUAGES, "chars", "none")
    if lang not in options:
        raise InputError(f"language {lang!r} is not known{did_you_mean(lang, options)}")
    return "" if lang == "none" else lang
