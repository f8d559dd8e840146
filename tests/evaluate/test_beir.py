"""BEIR folders in every layout that occurs, and faults named by file and line."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.errors import InputError
from inlay.evaluate.beir import read

DOCUMENTS = [
    {"_id": "d1", "title": "One", "text": "First text.", "metadata": {"a": [1]}},
    {"_id": "d2", "text": "没有标题"},
    {"_id": 3, "title": "", "text": ""},
]
QUERIES = [
    {"_id": "q2", "text": "which?", "metadata": {}},
    {"_id": "q1", "text": "what?"},
    {"_id": "q9", "text": "?"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\t3\t0\nq2\td2\t1\n"


def _zst(content: bytes) -> bytes:
    import pyarrow

    return pyarrow.compress(content, codec="zstd", asbytes=True)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": _zst,
}


def _write(root: Path, qrels: str = QRELS, *, name: str = "qrels/test.tsv", suffix: str = "") -> Path:
    files = {
        "corpus.jsonl": "\n".join(json.dumps(record, ensure_ascii=False) for record in DOCUMENTS) + "\n\n",
        "queries.jsonl": "\n".join(map(json.dumps, QUERIES)),
        name: qrels,
    }
    for file, content in files.items():
        path = root / f"{file}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PACK[suffix](content.encode()))
    return root


def _check(folder: Path, **options: str) -> None:
    test = read(folder, **options)
    assert [(d.id, d.title, d.text) for d in test.corpus] == [
        ("d1", "One", "First text."),
        ("d2", "", "没有标题"),
        ("3", "", ""),
    ]
    assert list(test.queries.items()) == [("q2", "which?"), ("q1", "what?")]
    assert test.qrels == {"q2": {"d2": 1}, "q1": {"d1": 2, "3": 0}}
    assert list(test.qrels) == list(test.queries)
    assert test.notes == ["1 queries without judgements, left out"]


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("name", ["qrels/test.tsv", "qrels_test.tsv", "qrels.tsv", "qrels/test.qrels"])
def test_every_layout_and_compression_reads_the_same(tmp_path: Path, name: str, suffix: str) -> None:
    _check(_write(tmp_path, name=name, suffix=suffix))


@pytest.mark.parametrize(
    "qrels",
    [
        QRELS,
        QRELS.split("\n", 1)[1],
        QRELS.replace("\n", "\r\n"),
        "\ufeff" + QRELS,
        QRELS.replace("query-id\tcorpus-id\tscore", "qid\tdocid\trel"),
        QRELS.replace("\t2\n", "\t2.0\n") + "\n\n",
        "q1 0 d1 2\nq1 0 3 0\nq2 Q0 d2 1\n",
        "q1\t0\td1\t2\nq1\t0\t3\t0\nq2\t0\td2\t1",
    ],
)
def test_every_form_of_judgements_reads_the_same(tmp_path: Path, qrels: str) -> None:
    _check(_write(tmp_path, qrels))


@pytest.mark.parametrize("name", ["qrels/dev.tsv", "qrels_dev.tsv"])
def test_the_split_is_chosen_and_those_there_are_named(tmp_path: Path, name: str) -> None:
    _check(_write(tmp_path, name=name), split="dev")
    with pytest.raises(InputError, match=rf"no judgements for split 'test'.*there are {name}"):
        read(tmp_path)
    with pytest.raises(InputError, match="must be a name"):
        read(tmp_path, split="../dev")


def test_a_child_named_beir_is_found(tmp_path: Path) -> None:
    _write(tmp_path / "beir")
    _check(tmp_path)


def test_what_does_not_fit_together_is_counted(tmp_path: Path) -> None:
    extra = "q1\tgone\t1\nq0\td1\t1\nq1\td1\t2\nq9\td1\t-1\n"
    test = read(_write(tmp_path, QRELS + extra))
    assert test.qrels["q1"] == {"d1": 2, "3": 0, "gone": 1}
    assert set(test.queries) == {"q1", "q2", "q9"}
    assert test.notes == [
        "1 judged queries without text, left out",
        "1 judgements of documents that are not in the corpus: they count as not found",
        "1 queries without a relevant document: they score 0",
        "1 repeated judgements: the last one counts",
    ]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "b"', r"corpus.jsonl line 2: not JSON"),
        ("corpus.jsonl", '{"_id": "a", "body": "x"}', r"corpus.jsonl line 1: no field 'text'"),
        ("corpus.jsonl", '{"id": "a", "text": "x"}', r"corpus.jsonl line 1: no field '_id'"),
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n' * 2, r"corpus.jsonl: id 'a' stands there twice"),
        ("queries.jsonl", '["a"]', r"queries.jsonl line 1"),
        ("queries.jsonl", '{"_id": "q7", "text": "x"}', r"judges none of the 1 queries"),
        ("queries.jsonl", "", r"no documents in .*queries.jsonl"),
        ("qrels/test.tsv", "q1\td1\t1\nq1\td1", r"test.tsv line 2: 'q1\\td1' must be query, document and grade"),
        ("qrels/test.tsv", "q1\td1\tone", r"test.tsv line 1: grade 'one' must be a whole number"),
        ("qrels/test.tsv", "q1\td1\t0.5", r"test.tsv line 1: grade '0.5'"),
        ("qrels/test.tsv", "q1\td1\tinf", r"grade 'inf'"),
        ("qrels/test.tsv", "q1\t\t1", r"test.tsv line 1"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", r"test.tsv: holds no judgements"),
    ],
)
def test_faults_name_the_file_and_the_line(tmp_path: Path, file: str, content: str, message: str) -> None:
    _write(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_or_truncated_file_is_named(tmp_path: Path, file: str) -> None:
    _write(tmp_path)
    (tmp_path / file).rename(tmp_path / "aside")
    with pytest.raises(InputError, match=file.replace(".", r"\.")):
        read(tmp_path)
    (tmp_path / f"{file}.gz").write_bytes(gzip.compress((tmp_path / "aside").read_bytes())[:-9])
    with pytest.raises(InputError, match=rf"{file}\.gz: truncated"):
        read(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "documents", "queries", "judgements"),
    [
        ("cranfield", 1400, 225, 1837),
        ("medline", 1033, 30, 696),
        ("pubmedqa", 1000, 1000, 1000),
        ("zh-retrieval-derived-drcd-test", 1000, 3493, 3493),
    ],
)
def test_real_sets_are_read_whole(data: Path, name: str, documents: int, queries: int, judgements: int) -> None:
    test = read(data / name)
    known = {document.id for document in test.corpus}
    assert (len(known), len(test.queries)) == (documents, queries)
    assert sum(map(len, test.qrels.values())) == judgements
    assert all(known >= set(grades) for grades in test.qrels.values())
    assert all(test.queries.values())
    assert test.notes == []
