"""Files of every format, well formed and broken, as their reader gives them to a Corpus."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from inlay.errors import InputError
from inlay.text.corpus import Corpus, CorpusConfig, Document
from inlay.text.decode import File, blocks

ROWS = [("a1", "Ships", "A ship, at “sea”.\nIt sails."), ("b2", "", "猫坐在垫子上。"), ("7", "Birds", "")]

COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pyarrow.Codec("zstd").compress(data).to_pybytes(),
}


def jsonl(rows) -> bytes:
    return "".join(
        json.dumps({"_id": i, "title": t, "text": x}, ensure_ascii=False) + "\n" for i, t, x in rows
    ).encode()


def csv(rows) -> bytes:
    quoted = [
        ",".join('"' + field.replace('"', '""') + '"' for field in row) for row in [("id", "title", "text"), *rows]
    ]
    return "\r\n".join(quoted).encode()


def tsv(rows) -> bytes:
    return "".join("\t".join(row).replace("\n", " ") + "\n" for row in [("ID", "Title", "Text"), *rows]).encode()


def read(path: Path, **config) -> list[Document]:
    return list(Corpus(path, config=CorpusConfig(**config)))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, **config) -> str:
    with pytest.raises(InputError) as caught:
        read(path, **config)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize(("kind", "encode"), [("jsonl", jsonl), ("csv", csv), ("tsv", tsv)])
def test_records_come_back_from_every_format_and_compression(tmp_path, kind, encode, suffix):
    path = write(tmp_path / f"a.{kind}{suffix}", COMPRESS[suffix](encode(ROWS)))
    expected = [(i, t, x.replace("\n", " ") if kind == "tsv" else x) for i, t, x in ROWS]
    assert [(d.id, d.title, d.text) for d in read(path)] == expected


def test_parquet_reads_strings_numbers_and_nulls(tmp_path):
    table = pyarrow.table({"n": [1, 2, 3], "id": [10, 11, 12], "title": ["x", None, "z"], "body": ["one", "two", None]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    assert [(d.id, d.title, d.text) for d in read(tmp_path / "a.parquet")] == [
        ("10", "x", "one"),
        ("11", "", "two"),
        ("12", "z", ""),
    ]


def test_parquet_faults_are_named(tmp_path):
    assert "not a Parquet file" in refused(write(tmp_path / "a.parquet", b"PAR1 no more"))
    pyarrow.parquet.write_table(pyarrow.table({"words": ["x"], "n": [1]}), tmp_path / "b.parquet")
    assert "--text-field" in refused(tmp_path / "b.parquet")
    assert "row 1" in refused(tmp_path / "b.parquet", text_field="n")


# Text and its units


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("file", [("a.txt", "One.\nTwo.\n\nThree.")]),
        ("paragraph", [("a.txt:1", "One.\nTwo."), ("a.txt:5", "Three.")]),
        ("section", [("a.txt:1", "One.\nTwo."), ("a.txt:5", "Three.")]),
        ("line", [("a.txt:1", "One."), ("a.txt:2", "Two."), ("a.txt:5", "Three.")]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_text_file_is_cut_by_the_unit(tmp_path, unit, expected, end):
    path = write(tmp_path / "a.txt", "One.\nTwo.\n \n\nThree.\n".replace("\n", end))
    assert [(d.id, d.text) for d in read(path, unit=unit)] == expected


def test_unicode_line_separators_end_no_line(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"id": 1, "text": "a\u2028b\x85c"}\n')
    assert [(d.id, d.text) for d in read(path)] == [("1", "a\nb\nc")]


PAGE_MD = """---
title: meta
---
Intro with a [link](https://x.y/z_(1)) and ![alt *text*](i.png).

# The *Page*

First `code_x_*` and snake_case, **bold**.
[ref]: http://nowhere

```python
# no heading
x = a * b
```

Second part
-----------
> quoted\\*

| a | b |
|---|---|

## Empty
"""


def test_markdown_becomes_its_words_in_sections(tmp_path):
    path = write(tmp_path / "a.md", PAGE_MD)
    (page,) = read(path)
    assert page.title == "The Page"
    assert page.text.startswith("Intro with a link and alt text.\n\nThe Page\n\nFirst code_x_* and snake_case, bold.")
    sections = read(path, unit="section")
    assert [(d.id, d.title) for d in sections] == [
        ("a.md:1", "The Page"),
        ("a.md:2", "The Page"),
        ("a.md:3", "The Page › Second part"),
    ]
    assert "# no heading\nx = a * b" in sections[1].text
    assert sections[2].text.startswith("quoted*\n")
    assert "nowhere" not in page.text


PAGE_HTML = """<!DOCTYPE html><html><head><title>The &amp; Page</title><style>p {x: y}</style></head><body>
<script>var x = "<p>no</p>";</script><p>Hello <b>wor</b>ld &eacute;</p><!-- never -->
<h2>Part <i>one</i></h2><ul><li>first<li>second</ul><pre>a
  b</pre><table><tr><td>1</td><td>2</td></tr></table></body></html>"""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a < b &amp;&lt; c > d", "a < b &< c > d"),
        ('<p title="x > y" data="<b>no</b>">yes</p>', "yes"),
        ("<a href=it's>yes</a> &#x732B;&#99999999999;", "yes 猫\ufffd"),
        ("<script>'<!--'</script>yes<!-- no <script> -->, yes<style>no", "yes, yes"),
        ("<h1>One<p>body", "One\n\nbody"),
        ("x<!DOCTYPE y><?php no ?><br/>z", "x\nz"),
        ("x<svg class='icon'/>y<svg>no</svg><math/>z", "xyz"),
    ],
)
def test_html_is_read_as_browsers_do(tmp_path, source, text):
    assert read(write(tmp_path / "a.html", source))[0].text == text


def test_html_becomes_what_is_visible_in_sections(tmp_path):
    path = write(tmp_path / "a.html", PAGE_HTML)
    (page,) = read(path)
    assert page.title == "The & Page"
    assert page.text == "Hello world é\n\nPart one\n\nfirst\nsecond\n\na\n b\n\n1 2"
    assert [(d.title, d.text[:5]) for d in read(path, unit="section")] == [
        ("The & Page", "Hello"),
        ("The & Page › Part one", "first"),
    ]


# Encodings


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_encodings_are_told_by_their_mark(tmp_path, codec):
    path = write(tmp_path / "a.txt", "Zürich 蘇黎世\nsecond\n".encode(codec))
    assert [d.text for d in read(path, unit="line")] == ["Zürich 蘇黎世", "second"]


@pytest.mark.parametrize("codec", ["gb18030", "big5", "utf-16-le", "utf-16-be", "shift_jis"])
def test_other_encodings_are_read_on_request(tmp_path, codec):
    text = "日本文明\n二三一\n" * 60_000  # characters cut by the border of a block
    path = write(tmp_path / "a.txt", text.encode(codec))
    assert "".join(d.text + "\n" for d in read(path, unit="line", encoding=codec)) == text


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_mark_is_no_text_where_the_encoding_is_named(tmp_path, codec):
    path = write(tmp_path / "a.jsonl", '\ufeff{"text": "x"}\n'.encode(codec))
    assert [d.text for d in read(path, encoding=codec)] == ["x"]


CHINESE = "我们在这里讨论的问题是中国的经济发展，以及它对世界的影响。"


@pytest.mark.parametrize(
    ("codec", "text", "hint"),
    [
        ("gb18030", CHINESE, "it may be GB18030: try --encoding gb18030"),
        ("big5", "我們在這裡討論的問題是中國的經濟發展，以及它對世界的影響。", "it may be Big5: try --encoding big5"),
        ("cp1252", "Le café où l’été s’achève déjà, à côté", "it may be Windows-1252: try --encoding cp1252"),
    ],
)
def test_a_wrong_encoding_is_placed_and_guessed(tmp_path, codec, text, hint):
    prefix = "plain ascii line\n" * 1840 + '{"text": "'
    data = (prefix + text).encode(codec) + b"\n"
    first = next(byte for byte in text.encode(codec) if byte > 127)
    column = 11 + next(i for i, character in enumerate(text) if ord(character) > 127)
    message = refused(write(tmp_path / "part-03.txt", data))
    assert message == f"{tmp_path}/part-03.txt line 1841: not UTF-8 (byte 0x{first:02X} at column {column}); {hint}"


@pytest.mark.parametrize("before", [0, (1 << 18) - 1, (1 << 18) + 7])
def test_a_bad_byte_is_placed_across_blocks(tmp_path, before):
    path = write(tmp_path / "a.txt", b"x\n" + b"y" * before + b"\xe4\xb8" + b"z\n")
    assert f"line 2: not UTF-8 (byte 0xE4 at column {before + 1})" in refused(path)


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
        b"\x80\x04\x95" + b"\x00" * 40,
        gzip.compress(b"x" * 99, mtime=0),
    ],
    ids=["picture", "pickle", "gzip"],
)
def test_binary_files_are_refused(tmp_path, data):
    assert "looks binary" in refused(write(tmp_path / "a.txt", data))


def test_utf_16_without_a_mark_is_told_from_binary(tmp_path):
    data = (CHINESE + " and so on, in ASCII\n").encode("utf-16-le")
    assert "try --encoding utf-16-le" in refused(write(tmp_path / "a.txt", data))


def test_a_few_nul_characters_are_dropped(tmp_path):
    assert read(write(tmp_path / "a.txt", "a\x00b"))[0].text == "ab"


def test_an_unknown_encoding_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'gb18030'"):
        CorpusConfig(encoding="gb18330")


# Faults in records


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": 1, "words": "x"}', ["line 2", "--text-field", "'id', 'words'"]),
        ('{"id": 1, "text": ["x"]}', ["line 2", "must be a string, not list"]),
        ('{"id": 1, "text": 5}', ["line 2", "must be a string, not int 5"]),
        ('{"id": {}, "text": "x"}', ["line 2", "'id' must be a string or a number"]),
        ('{"id": 1, "text": "x"', ["line 2", "not JSON", "column"]),
        ('["x"]', ["line 2", "must be an object"]),
        ('{"id": 1, "text": "x", "title": "a", "text": "y"}', ["line 2", "the key 'text' stands there twice"]),
        ('{"text": ' + "[" * 200_000, ["line 2", "nested too deeply"]),
        ('{"text": "x", "n": ' + "9" * 10_000 + "}", ["line 2", "not JSON"]),
    ],
)
def test_a_bad_json_line_is_named(tmp_path, line, words):
    message = refused(write(tmp_path / "a.jsonl", '{"id": 0, "text": "fine"}\n' + line + "\n"))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('id,text\n1,"never closed\n2,x\n', ["line 2", "quotes"]),
        ("id,text\n1,two,three\n", ["line 2", "3 fields, but the header has 2"]),
        ("a,b\n1,2\n", ["line 1", "--text-field"]),
        ("text,text\n1,2\n", ["line 1", "twice"]),
    ],
)
def test_a_bad_csv_line_is_named(tmp_path, content, words):
    message = refused(write(tmp_path / "a.csv", content))
    assert all(word in message for word in words), message


def test_csv_takes_long_fields_and_finds_its_separator(tmp_path):
    path = write(tmp_path / "a.csv", 'Title;Text\nx;"' + "long; " * 50_000 + '"\n')
    (document,) = read(path)
    assert (document.title, len(document.text), document.id) == ("x", 299_999, "a.csv:2")


def test_fields_are_found_by_name_or_by_default_in_any_case(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"Headline": "h", "Content": "c", "key": 3.5, "other": "o"}\n')
    assert [(d.id, d.title, d.text) for d in read(path)] == [("a.jsonl:1", "h", "c")]
    (named,) = read(path, text_field="other", title_field="Content", id_field="key")
    assert (named.id, named.title, named.text) == ("3.5", "c", "o")
    for part in ("text", "title", "id"):
        assert f"--{part}-field" in refused(path, **{f"{part}_field": "nowhere"})


def test_lone_surrogates_become_replacement_characters(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"id": "\\ud800", "text": "x \\udc00 y", "title": "\\ud83d\\ude00"}\n')
    assert [(d.id, d.text, d.title) for d in read(path)] == [("\ufffd", "x \ufffd y", "😀")]


# Limits


@pytest.mark.parametrize("suffix", [s for s in COMPRESS if s])
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_truncated_file_is_told(tmp_path, suffix, share):
    data = COMPRESS[suffix](b"".join(b"%d: some line\n" % (n * n) for n in range(20_000)))
    assert "truncated" in refused(write(tmp_path / f"a.txt{suffix}", data[: int(len(data) * share)]))


@pytest.mark.parametrize("suffix", [s for s in COMPRESS if s])
def test_what_is_not_compressed_is_told(tmp_path, suffix):
    assert "damaged, or not" in refused(write(tmp_path / f"a.txt{suffix}", b"plain text, only named otherwise"))


@pytest.mark.parametrize("suffix", [s for s in COMPRESS if s])
def test_a_decompression_bomb_is_refused(tmp_path, suffix):
    path = write(tmp_path / f"a.txt{suffix}", COMPRESS[suffix](b"x" * 20_000_000) * 5)
    with pytest.raises(InputError, match="bomb"):
        sum(map(len, blocks(File(path=path, name="a", where="a", kind=".txt", compression=suffix))))
    assert "longer than 16 MB" in refused(path)


def test_each_stream_of_an_xz_file_is_read_and_has_the_limit_of_memory(tmp_path):
    def stream(text, size):
        return lzma.compress(text, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": size}])

    small = [
        stream(b"a" * 300_000, 1 << 20),
        b"\0" * 8,
        stream(b"", 1 << 20),
        stream(b"\nb", 64 << 20),
        b"\0" * 400_000,
    ]
    assert read(write(tmp_path / "a.txt.xz", b"".join(small)))[0].text == "a" * 300_000 + "\nb"
    for streams in ([stream(b"c", 1 << 30)], [*small, stream(b"c", 1 << 30)]):
        assert "more than 256 MB" in refused(write(tmp_path / "a.txt.xz", b"".join(streams)))
    assert "not .xz data" in refused(write(tmp_path / "a.txt.xz", b"".join(small) + b"waste"))


def test_a_parquet_bomb_is_refused(tmp_path):
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 5000, pyarrow.int32()), ["word " * 50_000])
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "a.parquet", store_schema=False)
    assert "bomb" in refused(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "x" * 3000, ["--unit line", "--max-document-mb"]),
        ("a.txt", "line\n" * 600, ["--unit line", "longer than 0.002 MB"]),
        ("a.md", "line\n" * 600, ["--unit line"]),
        ("a.jsonl", '{"text": "a"}\n{"text": "' + "猫" * 700 + '"}', ["line 2", "--max-document-mb"]),
        ("a.csv", "text,id\n" + '"' + "line\n" * 600, ["line 2", "quotes"]),
    ],
)
def test_what_is_too_long_is_refused_and_never_cut(tmp_path, name, content, words):
    path = write(tmp_path / name, content)
    message = refused(path, max_document_mb=0.002)
    assert all(word in message for word in words), message


def test_a_long_line_is_refused_by_its_number(tmp_path):
    path = write(tmp_path / "a.txt", "short\n" + "é" * 1500)
    assert "line 2: longer than 0.002 MB" in refused(path, unit="line", max_document_mb=0.002)
    assert len(read(path, unit="line", max_document_mb=0.003)) == 2


def test_a_file_without_permission_is_told(tmp_path):
    path = tmp_path / "a.txt"
    path.symlink_to("/proc/self/mem")  # opens, and fails when read
    assert "cannot be read" in refused(path)
