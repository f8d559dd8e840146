"""Each file format to Documents: plain text, Markdown, HTML, JSON lines, CSV, TSV, Parquet."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from inlay.text import markup, records
from inlay.text.decode import COMPRESSIONS, File, lines, too_long, utf8_size, whole
from inlay.text.document import CorpusConfig, Document


def read(file: File, config: CorpusConfig) -> Iterator[Document]:
    """The documents of one file, streaming, not yet cleaned.

    Text files (.txt, .md, .html) follow `config.unit`; each record of the others is one document, whatever the unit.
    Ids come from the id field, else are `name`, or `name:n` with the line, section or row number.
    """
    return _READERS[file.kind](file, config)


def suffixes_of(name: str) -> tuple[str, str] | None:
    """(format, compression) by a file name, such as (".txt", ".gz"); None for a name that no reader knows."""
    path = Path(name.lower())
    compression = path.suffix if path.suffix in COMPRESSIONS else ""
    kind = Path(path.stem).suffix if compression else path.suffix
    if kind not in _READERS or (kind == ".parquet" and compression):
        return None
    return kind, compression


def _plain(file: File, config: CorpusConfig) -> Iterator[Document]:
    if config.unit == "file":
        text = whole(file, config)
        if text.strip():
            yield Document(id=file.name, text=text)
    else:
        yield from _split(lines(file, config), file, config)


def _split(numbered: Iterable[str], file: File, config: CorpusConfig, title: str = "") -> Iterator[Document]:
    """The lines that are not blank, or, for any unit but `line`, the paragraphs that blank lines part."""
    paragraph: list[str] = []
    start, size = 1, 0
    for number, line in enumerate(numbered, 1):
        if config.unit == "line":
            if line.strip():
                yield Document(id=f"{file.name}:{number}", text=line, title=title)
        elif line.strip():
            if not paragraph:
                start, size = number, 0
            paragraph.append(line)
            size += utf8_size(line) + 1
            if size > config.max_bytes:
                raise too_long(f"{file.where} line {start}: this paragraph is", config, way_out="--unit line, or ")
        elif paragraph:
            yield Document(id=f"{file.name}:{start}", text="\n".join(paragraph), title=title)
            paragraph = []
    if paragraph:
        yield Document(id=f"{file.name}:{start}", text="\n".join(paragraph), title=title)


def _markup(parse: Callable[[str], markup.Page]) -> Callable[[File, CorpusConfig], Iterator[Document]]:
    def pages(file: File, config: CorpusConfig) -> Iterator[Document]:
        page = parse(whole(file, config))
        if config.unit == "file":
            if text := page.text:
                yield Document(id=file.name, text=text, title=page.title)
        elif config.unit == "section":
            for number, section in enumerate(page.sections, 1):
                if section.text:
                    headings = dict.fromkeys(heading for heading in (page.title, section.heading) if heading)
                    yield Document(id=f"{file.name}:{number}", text=section.text, title=" › ".join(headings))
        else:
            yield from _split(page.text.split("\n"), file, config, page.title)

    return pages


_READERS: dict[str, Callable[[File, CorpusConfig], Iterator[Document]]] = {
    ".txt": _plain,
    ".text": _plain,
    ".md": _markup(markup.markdown),
    ".markdown": _markup(markup.markdown),
    ".html": _markup(markup.html),
    ".htm": _markup(markup.html),
    ".jsonl": records.jsonl,
    ".ndjson": records.jsonl,
    ".csv": records.separated,
    ".tsv": records.separated,
    ".parquet": records.parquet,
}

SUFFIXES = tuple(_READERS)
