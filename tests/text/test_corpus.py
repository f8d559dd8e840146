import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inlay.text
from inlay.errors import InputError
from inlay.text.corpus import Corpus, CorpusConfig, Document


def ids(*sources, **config) -> list[str]:
    return [document.id for document in Corpus(*sources, config=CorpusConfig(**config))]


@pytest.fixture
def folder(tmp_path):
    for name, text in {
        "b.txt": "B.",
        "a/z.md": "# Z",
        "a/y.jsonl": '{"text": "Y"}\n{"text": "Y2"}',
        "a/.hidden.txt": "no",
        ".git/x.txt": "no",
        "a/image.png": "no",
        "a/README": "no",
    }.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "docs"


# Documents


def test_full_is_title_and_text_unless_the_text_begins_with_it():
    assert Document(id="1", text="b", title="a").full == "a\nb"
    assert Document(id="1", text="a b", title="a").full == "a b"
    assert Document(id="1", text="b").full == "b"
    assert Document(id="1", text="Article", title="Art").full == "Art\nArticle"


@given(st.lists(st.builds(Document, id=st.text(), text=st.text(), title=st.text()), min_size=1, max_size=5))
def test_documents_from_an_iterator_are_those_of_a_list(documents):
    assert list(Corpus(iter(documents))) == list(Corpus(documents))


@pytest.mark.parametrize(
    "config",
    [{"unit": "page"}, {"encoding": "base64"}]
    + [{"max_document_mb": limit} for limit in (0, float("nan"), float("inf"), 1e300)],
)
def test_a_wrong_config_is_refused(config):
    with pytest.raises(InputError, match=next(iter(config))):
        CorpusConfig(**config)


# Sources


def test_a_folder_is_read_in_order_without_what_is_hidden_or_unknown(folder):
    assert ids(folder) == ["a/y.jsonl:1", "a/y.jsonl:2", "a/z.md", "b.txt"]


def test_with_several_sources_ids_begin_with_the_path_as_given(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert ids("b.txt", "a", ["x"]) == ["b.txt", "a/y.jsonl:1", "a/y.jsonl:2", "a/z.md", "3:1"]
    assert ids("b.txt") == ["b.txt"]
    assert ids(folder / "b.txt") == ["b.txt"]


@pytest.mark.parametrize("pattern", ["**/*", "[ab]*", "a"])
def test_a_glob_gives_known_files_once(folder, monkeypatch, pattern):
    monkeypatch.chdir(folder)
    found = ids(pattern, "b.txt")
    assert found.count("a/z.md") == 1
    assert all(name.startswith(("a/y", "a/z", "b.txt")) for name in found)


def test_a_beir_folder_gives_its_corpus_alone(tmp_path):
    line = '{"_id": "d1", "title": "T", "text": "x", "metadata": {}}\n'
    for place in (tmp_path, tmp_path / "deep" / "set"):
        (place / "qrels").mkdir(parents=True)
        (place / "corpus.jsonl.gz").write_bytes(gzip.compress(line.encode()))
        (place / "queries.jsonl").write_text('{"_id": "q1", "text": "secret"}\n')
        (place / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    assert [(d.id, d.title, d.text) for d in Corpus(tmp_path)] == [("d1", "T", "x")]
    assert ids(tmp_path / "deep") == ["d1"]


def test_stdin_is_kept_for_a_second_reading(monkeypatch):
    for given_bytes, expected in ((b"one\n\ntwo\n", ["one", "two"]), (b' {"text": "j"}\n', ["j"])):
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(given_bytes)))
        corpus = Corpus("-", config=CorpusConfig(unit="line"))
        assert [d.text for d in corpus] == expected
        assert [d.text for d in corpus] == expected
        assert next(iter(corpus)).id == "stdin:1"
        assert corpus.bytes_total() is None


def test_a_generator_is_kept_for_a_second_reading():
    corpus = Corpus(f"text {n}" for n in range(3))
    assert [d.text for d in corpus] == [d.text for d in corpus] == ["text 0", "text 1", "text 2"]
    assert [d.id for d in corpus] == ["1", "2", "3"]


def test_an_error_of_the_iterator_is_not_one_of_the_temporary_file():
    def broken():
        yield "text"
        raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(ConnectionResetError):
        list(Corpus(broken()))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_full_disk_under_the_temporary_file_is_said(monkeypatch, size):
    with open("/dev/full", "wb", buffering=1 << 16) as full:
        monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda **_: full)
        with pytest.raises(InputError, match=r"iterator 1: cannot be kept in .* \(No space left on device\)"):
            list(Corpus(iter(["x" * size])))
        full.raw.close()


def test_a_stdin_that_cannot_be_read_is_said(monkeypatch):
    class Terminal(io.RawIOBase):
        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=Terminal()))
    with pytest.raises(InputError, match=r"stdin: cannot be read \(Input/output error\)"):
        list(Corpus("-"))


def test_a_named_data_set_comes_from_the_data_module(monkeypatch):
    data = types.ModuleType("inlay.text.data")
    data.NAMES = ("python-docs", "cranfield")
    data.documents = lambda name: iter([Document(id="1", text=f"from  {name}")])
    monkeypatch.setitem(sys.modules, "inlay.text.data", data)
    monkeypatch.setattr(inlay.text, "data", data, raising=False)
    assert [d.text for d in Corpus("cranfield")] == ["from cranfield"]
    with pytest.raises(InputError, match="did you mean 'cranfield'"):
        Corpus("crnfield")
    with pytest.raises(InputError, match="choose from python-docs, cranfield"):
        Corpus("zzz")


def test_a_missing_file_names_the_one_beside_it(folder):
    with pytest.raises(InputError, match="no such file.*did you mean 'z.md'"):
        Corpus(folder / "a" / "zz.md")


@pytest.mark.parametrize("name", ["a/README", "a/image.png", ".git/*.png"])
def test_an_unknown_kind_of_file_lists_the_known_ones(folder, name):
    with pytest.raises(InputError, match=r"\.txt .*\.parquet.*\.gz"):
        Corpus(str(folder / name))


def test_a_folder_without_a_readable_file_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"no file to read; known are \.txt"):
        Corpus(tmp_path)


@pytest.mark.parametrize("sources", [(), (b"bytes",), (3,), ("",), ({"id": "text"},)])
def test_what_is_no_source_is_refused(sources):
    with pytest.raises(InputError):
        Corpus(*sources)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")])
@pytest.mark.parametrize("way", ["b.txt", "", "*"])
def test_what_is_no_plain_file_is_named_and_not_waited_for(folder, make, way):
    make(folder / "b2.txt")
    with pytest.raises(InputError, match=r"b2\.txt"):
        Corpus(str(folder / way).replace("b.txt", "b2.txt"))


def test_a_closed_stdin_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="stdin is closed"):
        Corpus("-")


def test_what_is_no_text_in_an_iterable_is_named():
    with pytest.raises(InputError, match="item 2 is a int"):
        list(Corpus(["x", 3]))


@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
def test_a_corpus_without_a_document_is_refused(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="no documents in .*a.txt"):
        list(Corpus(path, config=CorpusConfig(unit="line")))
    with pytest.raises(InputError, match="no documents"):
        list(Corpus([]))


# Reading


def test_texts_are_clean_and_full(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"id": "a  b\n", "title": " T \n u", "text": "x\u00a0 y\r\n\r\n\r\nＺ"}))
    assert list(Corpus(path)) == [Document(id="a b", title="T u", text="x y\n\nＺ")]
    assert list(Corpus(path, config=CorpusConfig(half_width=True)).texts()) == ["T u\nx y\n\nZ"]


def test_an_id_that_cannot_be_seen_is_none(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "\u200b \u2060", "text": "x"}))
    assert ids(tmp_path / "a.jsonl") == ["a.jsonl:1"]
    unseen = [Document(id="\u00ad", text="x")]
    assert ids(unseen) == ids(iter(unseen)) == ["1"]


def test_bytes_are_those_on_disk(folder):
    assert Corpus(folder).bytes_total() == len("B.") + len("# Z") + len('{"text": "Y"}\n{"text": "Y2"}')
    assert Corpus(folder, ["x"]).bytes_total() is None


def test_equal_ids_of_two_files_are_kept(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"id": "1", "text": "x"}')
    assert ids(tmp_path) == ["1", "1"]


def test_a_text_in_memory_has_the_limit_too():
    with pytest.raises(InputError, match="longer than 0.001 MB"):
        list(Corpus(["x" * 2000], config=CorpusConfig(max_document_mb=0.001)))


def test_the_highest_limit_is_taken_by_every_kind_of_source(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n1,x\n")
    assert len(list(Corpus(tmp_path, iter("x"), config=CorpusConfig(max_document_mb=1e6)))) == 2


PEAK = textwrap.dedent("""
    import resource, sys
    from inlay.text.corpus import Corpus, CorpusConfig
    from inlay.errors import InputError
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    before = peak()
    count = 0
    try:
        for document in Corpus(sys.argv[1], config=CorpusConfig(unit=sys.argv[2])):
            count += 1
    except InputError as error:
        print(error, file=sys.stderr)
    print(count, peak() - before)
""")


def growth(path, unit) -> tuple[int, float, str]:
    """Documents read, MB by which the peak of memory grew, and the error line if there was one."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(path), unit], capture_output=True, text=True, check=True)
    count, mb = done.stdout.split()
    return int(count), float(mb), done.stderr


def test_300_mb_are_read_in_bounded_memory(tmp_path):
    line = json.dumps({"_id": "x", "text": "".join(f"word{n * n} " for n in range(2000))}) + "\n"
    member = gzip.compress((line * (3_000_000 // len(line))).encode())
    (tmp_path / "a.jsonl.gz").write_bytes(member * 100)
    count, mb, error = growth(tmp_path / "a.jsonl.gz", "line")
    assert not error
    assert count * len(line) > 290_000_000
    assert mb < 150


@pytest.mark.parametrize(
    ("name", "unit"), [("a.txt", "line"), ("a.txt", "file"), ("a.jsonl", "file"), ("a.csv", "file")]
)
def test_a_line_of_a_gigabyte_is_refused_in_bounded_memory(tmp_path, name, unit):
    with open(tmp_path / name, "wb") as file:
        file.write(b"text,id\n" + b"x" * (1 << 21))
        for _ in range(12):
            file.write(b"x" * (1 << 21))
        file.truncate(1 << 30)
    count, mb, error = growth(tmp_path / name, unit)
    assert count == 0 or unit == "line"
    assert "longer than 16 MB" in error or "not JSON" in error
    assert mb < 150


def test_real_corpora_are_read_whole(data):
    assert len(list(Corpus(data / "cranfield"))) == 1400
    assert len({d.id for d in Corpus(data / "zh-retrieval-derived-drcd-test")}) == 1000


def test_a_model_fitted_into_its_own_source_is_not_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    for name, mark in (("model", "inlay.json"), ("model.part", "run.json")):
        (tmp_path / name / "search").mkdir(parents=True)
        (tmp_path / name / mark).write_text("{}")
        (tmp_path / name / "search" / "documents.jsonl").write_text('["1", "", "x"]\n')
    assert [document.text for document in Corpus(tmp_path)] == ["one"]
