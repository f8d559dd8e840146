"""JSON lines, CSV, TSV and Parquet to Documents: one for each record, from its text, title and id fields."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from inlay.errors import InputError, did_you_mean
from inlay.text.clean import clean_line
from inlay.text.decode import File, lines, oversize, refuse_bomb, too_long, utf8_size
from inlay.text.document import CorpusConfig, Document

TEXT_FIELDS = (
    "text",
    "content",
    "contents",
    "body",
    "abstract",
    "document",
    "passage",
    "paragraph",
    "article",
    "sentence",
)
TITLE_FIELDS = ("title", "heading", "headline", "subject", "name")
ID_FIELDS = ("_id", "id", "doc_id", "docid", "document_id", "pid", "uid")

Row = tuple[str, Mapping[str, Any]]
"""Where a record stands, such as `line 12`, and its fields."""

_SHOWN_FIELDS = 12
_BATCH_BYTES = 16_000_000


class _Fields(NamedTuple):
    """The names of the fields that hold a record's parts; None for a part that it has not."""

    text: str
    title: str | None
    id: str | None


def _fields(names: Sequence[str], config: CorpusConfig, place: str, first: _Fields | None = None) -> _Fields:
    """Which of the names hold text, title and id: those that the config names, else the first default, in any case.

    Every record keeps to the text field of the `first`. InputError where a text or a named field is missing.
    """
    text = _field(names, config.text_field or (first and first.text), TEXT_FIELDS)
    if text is None:
        wanted = config.text_field or (first and first.text)
        shown = ", ".join(repr(name) for name in names[:_SHOWN_FIELDS]) + (
            ", ..." if len(names) > _SHOWN_FIELDS else ""
        )
        what = f"no field {wanted!r}" if wanted else f"no field of the default names ({', '.join(TEXT_FIELDS)})"
        raise InputError(f"{place}: {what}; there are {shown or 'none'}: name the one with the text by --text-field")
    found = {}
    for part, wanted, defaults in (("title", config.title_field, TITLE_FIELDS), ("id", config.id_field, ID_FIELDS)):
        found[part] = _field(names, wanted, defaults)
        # A later record may lack its title; no field at all of that name is a slip of the pen.
        if wanted and found[part] is None and (part == "id" or first is None):
            raise InputError(
                f"{place}: no field {wanted!r} for --{part}-field{did_you_mean(wanted, names[:_SHOWN_FIELDS])}"
            )
    return _Fields(text, found["title"], found["id"])


def _field(names: Sequence[str], wanted: str | None, defaults: Sequence[str]) -> str | None:
    if wanted is not None:
        return wanted if wanted in names else None
    lowered = {name.lower(): name for name in reversed(names)}
    return next((lowered[name] for name in defaults if name in lowered), None)


def _documents(
    records: Iterable[tuple[str, Mapping[str, Any]]], file: File, config: CorpusConfig
) -> Iterator[Document]:
    """The documents of records that come with their place, such as `line 12`; a null is an empty text, title or id."""
    first: _Fields | None = None
    names: tuple[str, ...] | None = None
    for place, record in records:
        where = f"{file.where} {place}"
        if names is None or tuple(record) != names:
            names = tuple(record)
            fields = _fields(names, config, where, first)
            first = first or fields
        text = record[fields.text]
        if text is None:
            text = ""
        elif not isinstance(text, str):
            shown = f"{text!r:.40}"
            raise InputError(f"{where}: field {fields.text!r} must be a string, not {type(text).__name__} {shown}")
        if oversize(text, config):
            raise too_long(where, config)
        title = _scalar(record, fields.title, where)
        id = clean_line(_scalar(record, fields.id, where))
        yield Document(id=id or f"{file.name}:{place.split()[-1]}", text=text, title=title)


def _scalar(record: Mapping[str, Any], field: str | None, where: str) -> str:
    """The field as a string: numbers are written out, null and no field are empty."""
    value = record.get(field) if field is not None else None
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"{where}: field {field!r} must be a string or a number, not {type(value).__name__}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of the pairs; KeyError with a key that it has twice, of which Python would keep the last."""
    record = dict(pairs)
    if len(record) < len(pairs):
        raise KeyError(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return record


_decode = json.JSONDecoder(object_pairs_hook=_unique).decode


def jsonl(file: File, config: CorpusConfig) -> Iterator[Document]:
    return _documents(jsonl_rows(file, config), file, config)


def jsonl_rows(file: File, config: CorpusConfig) -> Iterator[Row]:
    """Each object of the file, whatever its fields; InputError naming the line for what is no object."""
    for number, line in enumerate(lines(file, config), 1):
        if not line or line.isspace():
            continue
        try:
            record = _decode(line)
        except KeyError as error:
            raise InputError(
                f"{file.where} line {number}: the key {error.args[0]!r} stands there twice; remove one"
            ) from None
        except RecursionError:
            raise InputError(f"{file.where} line {number}: JSON nested too deeply; flatten it") from None
        except json.JSONDecodeError as error:
            raise InputError(
                f"{file.where} line {number}: not JSON ({error.msg} at column {error.colno}); "
                f"{file.kind} holds one object per line"
            ) from None
        except ValueError as error:  # a number of thousands of digits
            raise InputError(f"{file.where} line {number}: not JSON that can be read ({error})") from None
        if not isinstance(record, dict):
            raise InputError(
                f"{file.where} line {number}: a JSON {type(record).__name__}, but each line must be an object "
                'such as {"id": "1", "text": "..."}'
            )
        yield f"line {number}", record


def separated(file: File, config: CorpusConfig) -> Iterator[Document]:
    """RFC 4180 with a header. The separator is the sign among comma, semicolon and tab that the header has most of."""

    def check(header: Sequence[str], place: str) -> None:
        _fields(header, config, place)

    return _documents(separated_rows(file, config, check), file, config)


def separated_rows(
    file: File, config: CorpusConfig, check: Callable[[Sequence[str], str], None] | None = None
) -> Iterator[Row]:
    """Each record of such a file, its fields by the header's names; `check` is shown the header and where it stands."""
    # The limit of the csv module is one for the whole process; its default of 131,072 is less than a long article.
    csv.field_size_limit(max(csv.field_size_limit(), config.max_bytes))
    size, start = 0, 1

    def feed() -> Iterator[str]:
        nonlocal size
        for line in lines(file, config):
            size += utf8_size(line) + 1
            if size > config.max_bytes:  # a quote that is never closed takes in the rest of the file
                raise too_long(f"{file.where} line {start}", config, way_out="close its quotes, or ")
            yield line + "\n"

    source = feed()
    head = next(source, "")
    # Tab-separated values know no quotes (IANA text/tab-separated-values): there a quote is a letter like any other.
    quoting: Any = csv.QUOTE_NONE if file.kind == ".tsv" else csv.QUOTE_MINIMAL
    delimiter = "\t" if file.kind == ".tsv" else max(",;\t", key=head.count)
    header: list[str] | None = None
    rows = csv.reader(chain([head], source), delimiter=delimiter, strict=True, quoting=quoting)
    while True:
        start, size = rows.line_num + 1, 0
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{file.where} line {start}: not CSV ({error}); close or double its quotes") from None
        if not row:
            continue
        if header is None:
            header = row
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise InputError(f"{file.where} line {start}: column {twice!r} stands there twice; rename one")
            if check:
                check(header, f"{file.where} line {start}")
            continue
        if len(row) != len(header):
            raise InputError(
                f"{file.where} line {start}: {len(row)} fields, but the header has {len(header)}; "
                "put a field that holds the separator in double quotes"
            )
        yield f"line {start}", dict(zip(header, row, strict=True))


def parquet(file: File, config: CorpusConfig) -> Iterator[Document]:
    """Rows, read in small batches and refused where a dictionary unfolds a small file into an endless one."""
    import pyarrow
    import pyarrow.parquet

    def records(table: Any, fields: _Fields) -> Iterator[tuple[str, dict[str, Any]]]:
        number = size = 0
        packed = file.path.stat().st_size
        columns = list(dict.fromkeys(name for name in fields if name is not None))
        for batch in table.iter_batches(batch_size=_batch_rows(table.metadata), columns=columns):
            for record in batch.to_pylist():
                number += 1
                size += len(text) if isinstance(text := record[fields.text], str) else 0
                refuse_bomb(file.where, size, packed)
                yield f"row {number}", record

    try:
        with pyarrow.parquet.ParquetFile(file.path, buffer_size=1 << 20, pre_buffer=False) as table:
            fields = _fields(table.schema_arrow.names, config, file.where)
            yield from _documents(records(table, fields), file, config)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(
            f"{file.where}: not a Parquet file that can be read ({reason}); write or copy it again"
        ) from None


def _batch_rows(metadata: Any) -> int:
    """Rows that hold about 16 MB together; few at most, since values in a dictionary count once however often used."""
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return min(64, max(1, _BATCH_BYTES * metadata.num_rows // max(size, 1)))
