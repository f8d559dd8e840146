"""Training pairs from text that nobody labelled: what belongs together in a document, as (query, positive)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inlay.text.dedup import fingerprint
from inlay.text.document import Document

Kind = Literal["title", "heading", "first", "sentence", "neighbours"]
KINDS: tuple[Kind, ...] = ("title", "heading", "first", "sentence", "neighbours")

# A sentence ends after . ! ? where a space follows, after the Chinese marks at once, and at a line break.
_BORDER = re.compile(
    r"(?<=[.!?])\s+|(?<=[.!?][\"'”’)\]])\s+|(?<=[。！？；])(?![。！？；”’」』）])|(?<=[。！？；][”’」』）])|\n+"
)
_END = tuple(".!?。！？；;:：,，")
_WORDS = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")

_SHORTEST = 4
"""Words (or Han characters) below which a piece of text asks for nothing in particular."""
_LONGEST_HEADING = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A query and a text that answers it, both from one document; `document` is its position in the corpus."""

    kind: Kind
    query: str
    positive: str
    document: int


def sentences(text: str) -> list[str]:
    """The text's sentences, in order, without the spaces around them; every character but those is in one of them."""
    return [piece for part in _BORDER.split(text) if (piece := part.strip())]


def mine(
    document: Document, position: int, rng: np.random.Generator, *, kinds: Sequence[Kind] = KINDS, per_document: int = 2
) -> Iterator[Pair]:
    """Yield the document's pairs: title and body, heading and section, first sentence and rest, a sentence and the
    document without it (`per_document` of them, drawn by `rng`), and its two halves.

    A pair whose query (a title or heading apart) or positive is shorter than four words is left out, and so is a
    sentence that what remains of the document repeats. Linear in the length of the text.
    """
    body = body_of(document)
    pieces = sentences(body)

    def pair(kind: Kind, query: str, positive: str) -> Iterator[Pair]:
        if kind not in kinds or (kind in ("first", "sentence") and query in positive):
            return
        if _length(positive) >= _SHORTEST and _length(query) >= (1 if kind == "title" else _SHORTEST):
            yield Pair(kind=kind, query=query, positive=positive, document=position)

    if document.title:
        yield from pair("title", document.title, body)
    if "heading" in kinds:
        for heading, section in _sections(body):
            yield Pair(kind="heading", query=heading, positive=section, document=position)
    if len(pieces) < 2:
        return
    yield from pair("first", pieces[0], " ".join(pieces[1:]))
    if len(pieces) < 3:
        return
    for at in sorted(rng.permutation(len(pieces))[:per_document].tolist()):
        yield from pair("sentence", pieces[at], without(pieces, at))
    middle = len(pieces) // 2
    yield from pair("neighbours", " ".join(pieces[:middle]), " ".join(pieces[middle:]))


def mine_all(
    documents: Sequence[Document],
    positions: Iterable[int],
    rng: np.random.Generator,
    *,
    limit: int,
    avoid: Iterable[str] = (),
    kinds: Sequence[Kind] = KINDS,
) -> list[Pair]:
    """At most `limit` pairs of the documents at `positions`, drawn evenly over the documents.

    No pair whose query or positive equals (after folding case and spaces) a text in `avoid` is kept, nor a query that
    was there before: what is held out for measuring must not be trained on.
    """
    taken = {fingerprint(text) for text in avoid}
    order = np.fromiter(positions, np.int64)
    pairs: list[Pair] = []
    for position in rng.permutation(order).tolist():
        for pair in mine(documents[position], position, rng, kinds=kinds):
            query = fingerprint(pair.query)
            if query not in taken and fingerprint(pair.positive) not in taken:
                taken.add(query)
                pairs.append(pair)
        if len(pairs) >= limit:
            break
    return pairs[:limit]


def body_of(document: Document) -> str:
    """The document's text without the title that some collections repeat at its beginning."""
    if document.repeats_title:
        return document.text[len(document.title) :].lstrip(" .:\n")
    return document.text


def without(pieces: Sequence[str], at: int) -> str:
    """The pieces as one text, the one at `at` left out wherever it stands."""
    return " ".join(piece for piece in pieces if piece != pieces[at])


def _sections(body: str) -> Iterator[tuple[str, str]]:
    """Headings that stand alone (`# …`, or a short paragraph without a full stop) and what follows up to the next."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n|(?<=\n)(?=#)", body) if block.strip()]
    heading = ""
    section: list[str] = []
    for block in [*blocks, "#"]:
        title = block.lstrip("#").strip()
        alone = "\n" not in title and 1 < _length(title) <= _LONGEST_HEADING and not title.endswith(_END)
        if block.startswith("#") or alone:
            text = " ".join(section)
            if heading and _length(text) >= 2 * _SHORTEST:
                yield heading, text
            heading, section = title.split("\n", 1)[0], title.split("\n", 1)[1:]
        else:
            section.append(block)


def _length(text: str) -> int:
    return len(_WORDS.findall(text[:2000]))
