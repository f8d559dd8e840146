"""The named data sets that are text, and how the files of each become documents."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from inlay.text.corpus import Corpus
from inlay.text.document import CorpusConfig, Document


def _beir(folder: Path) -> Iterator[Document]:
    """The corpus of a BEIR folder; queries and judgements are no part of it."""
    return iter(Corpus(next((folder / "beir").glob("corpus.jsonl*"))))


def _read(folder: Path, *, config: CorpusConfig) -> Iterator[Document]:
    """Every file of the folder that a reader knows."""
    return iter(Corpus(folder, config=config))


def _titled(documents: Iterable[Document]) -> Iterator[Document]:
    """Takes the first line for the title, where a text follows."""
    for document in documents:
        first, _, rest = document.text.partition("\n")
        yield replace(document, title=first.lstrip("# "), text=rest.lstrip()) if rest.strip() else document


def _articles(folder: Path) -> Iterator[Document]:
    return _titled(_read(folder, config=CorpusConfig(unit="paragraph")))


def _laws(folder: Path) -> Iterator[Document]:
    return _titled(_read(folder, config=CorpusConfig(text_field="text", id_field="path")))


def _abstracts(folder: Path) -> Iterator[Document]:
    """Scientific abstracts with their titles; the other tasks of the set repeat them."""
    for split in ("dev", "test"):
        with open(folder / "ts" / f"{split}.tsv", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                _, abstract, title = line.rstrip("\n").split("\t")
                yield Document(id=f"{split}:{number}", text=abstract, title=title)


def _paragraphs(folder: Path) -> Iterator[Document]:
    """The paragraphs that the questions are about, without the questions."""
    for split in ("dev", "test"):
        tree = json.loads((folder / f"DRCD_{split}.json").read_text("utf-8-sig"))
        for article in tree["data"]:
            for paragraph in article["paragraphs"]:
                yield Document(id=paragraph["id"], text=paragraph["context"], title=article["title"])


READERS: dict[str, Callable[[Path], Iterator[Document]]] = {
    "cranfield": _beir,
    "medline": _beir,
    "pubmedqa": _beir,
    "zh-retrieval-derived-drcd-test": _beir,
    "enwiki-2014-sample": _articles,
    "fudan-zh-test": partial(_read, config=CorpusConfig(text_field="text", id_field="file")),
    "prc-laws-zh": _laws,
    "tinyshakespeare": partial(_read, config=CorpusConfig(unit="paragraph")),
    "drcd-dev-test": _paragraphs,
    "csl": _abstracts,
    "aeslc": partial(_read, config=CorpusConfig(text_field="body", title_field="subject", id_field="id")),
}
