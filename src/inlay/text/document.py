"""What a corpus is made of: the Document, and the CorpusConfig that says how files become documents."""

import re
from dataclasses import dataclass
from typing import Literal

from inlay.errors import InputError, did_you_mean

MOST_MB = 1_000_000
"""The largest `max_document_mb`; what it holds must fit into memory anyway."""

Unit = Literal["file", "section", "paragraph", "line"]

_UNITS = ("file", "section", "paragraph", "line")
_ENCODINGS = (
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "gb18030",
    "big5",
    "latin-1",
    "cp1252",
    "shift_jis",
    "euc-kr",
)

# Two letters or digits of a script that puts spaces between words.
_INSIDE_WORD = re.compile(r"(?:(?![\u3040-\u30ff\u3400-\u9fff])[^\W_]){2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One text with an id and perhaps a title."""

    id: str
    text: str
    title: str = ""

    @property
    def full(self) -> str:
        """Title, line break, text; the text alone where the title is empty or the text begins with it."""
        return f"{self.title}\n{self.text}" if self.title and not self.repeats_title else self.text

    @property
    def repeats_title(self) -> bool:
        """Whether the text begins with the title; `Article` does not begin with `Art`, but 猫咪 does with 猫."""
        if not self.title or not self.text.startswith(self.title):
            return False
        return not _INSIDE_WORD.match(self.text, len(self.title) - 1)


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """How files become documents; InputError for a unit, an encoding or a limit that cannot be."""

    unit: Unit = "file"
    """What is one document in .txt, .md and .html: the file, a section under a heading, a paragraph or a line."""
    encoding: str | None = None
    """Any codec that Python knows, such as gb18030; by default UTF-8, or UTF-16 where a byte-order mark says so."""
    text_field: str | None = None
    """The field or column of .jsonl, .csv, .tsv, .parquet with the text; by default text, content, body, ..."""
    title_field: str | None = None
    """The field or column with the title; by default title, heading, headline, ..., where there is one."""
    id_field: str | None = None
    """The field or column with the id; by default _id, id, doc_id, ..., else the file name and the line."""
    half_width: bool = False
    """Turn full-width letters, digits, signs and the ideographic space into ASCII."""
    max_document_mb: float = 16
    """The longest line or document that is taken, in MB of UTF-8; a longer one is an error, never cut."""

    def __post_init__(self) -> None:
        if self.unit not in _UNITS:
            raise InputError(f"unit={self.unit!r} is unknown{did_you_mean(str(self.unit), _UNITS)}")
        if not 0 < self.max_document_mb <= MOST_MB:
            raise InputError(
                f"max_document_mb={self.max_document_mb:g} must be above 0 and at most {MOST_MB:,}; the default is 16"
            )
        if self.encoding is not None:
            try:
                "a".encode(self.encoding)
            except (LookupError, ValueError):
                known = did_you_mean(self.encoding.lower(), _ENCODINGS)
                raise InputError(f"encoding={self.encoding!r} is no text encoding of Python{known}") from None

    @property
    def max_bytes(self) -> int:
        """`max_document_mb` in bytes."""
        return int(self.max_document_mb * 1e6)
