"""BEIR folders: a corpus, queries, and judgements of which documents answer them, plain or compressed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from inlay.errors import InputError
from inlay.text.clean import clean_line
from inlay.text.corpus import Corpus
from inlay.text.decode import COMPRESSIONS, File, lines
from inlay.text.document import CorpusConfig, Document

_CORPUS, _QUERIES = "corpus.jsonl", "queries.jsonl"
_QRELS_SUFFIXES = (".tsv", ".txt", ".trec", ".qrels")
_HEADS = {"query-id", "query_id", "queryid", "query", "qid", "topic", "topic_id"}
"""How the first column of a header is called; any other first line is a judgement."""


@dataclass(frozen=True, kw_only=True)
class Beir:
    """A retrieval test: every query has judgements, and `notes` says what was left out or is odd."""

    corpus: list[Document]
    queries: dict[str, str]
    """Query id -> text, in the order of the file."""
    qrels: dict[str, dict[str, int]]
    """Query id -> document id -> grade (above 0 is relevant); the same queries in the same order."""
    notes: list[str] = field(default_factory=list)


def read(folder: str | Path, *, split: str = "test") -> Beir:
    """Read `corpus.jsonl`, `queries.jsonl` and the split's judgements from a folder or from its child `beir`.

    Each may end in .gz, .xz, .zst or .bz2. Judgements are `qrels/SPLIT.tsv` or `qrels_SPLIT.tsv`: query, document and
    grade, with a header or without, or TREC's four columns. Queries without judgements are left out. Raises InputError
    naming file and line for what is missing or malformed, and for ids that two documents share.
    """
    root = _root(Path(folder))
    corpus_path, queries_path = _file(root, [_CORPUS]), _file(root, [_QUERIES])
    qrels_path = _qrels_file(root, split)
    corpus = _documents(corpus_path)
    texts = {query.id: query.text for query in _documents(queries_path)}
    judged, repeated = _judgements(qrels_path)
    queries = {id: text for id, text in texts.items() if id in judged}
    if not queries:
        raise InputError(f"{qrels_path}: judges none of the {len(texts)} queries of {queries_path}; compare their ids")
    qrels = {id: judged[id] for id in queries}
    known = {document.id for document in corpus}
    counts = {
        "queries without judgements, left out": len(texts) - len(queries),
        "judged queries without text, left out": len(judged) - len(queries),
        "judgements of documents that are not in the corpus: they count as not found": sum(
            document not in known for grades in qrels.values() for document in grades
        ),
        "queries without a relevant document: they score 0": sum(
            max(grades.values()) <= 0 for grades in qrels.values()
        ),
        "repeated judgements: the last one counts": repeated,
    }
    return Beir(corpus=corpus, queries=queries, qrels=qrels, notes=[f"{n} {what}" for what, n in counts.items() if n])


def _root(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with {_CORPUS}, {_QUERIES} and qrels/test.tsv")
    child = folder / "beir"
    return child if child.is_dir() and not _existing(folder, [_CORPUS]) else folder


def _existing(root: Path, names: Iterable[str]) -> Path | None:
    """The first of the names, plain or compressed, that is a file in the root."""
    paths = (root / f"{name}{suffix}" for name in names for suffix in ("", *COMPRESSIONS))
    return next((path for path in paths if path.is_file()), None)


def _file(root: Path, names: list[str]) -> Path:
    path = _existing(root, names)
    if path is None:
        raise InputError(
            f"{root / names[0]}: no such file, nor with {' '.join(COMPRESSIONS)} behind it; "
            f"a test is a folder with {_CORPUS}, {_QUERIES} and qrels/test.tsv"
        )
    return path


def _qrels_file(root: Path, split: str) -> Path:
    if not split or Path(split).name != split:
        raise InputError(f"split={split!r} must be a name such as test, dev or train")
    stems = [f"qrels/{split}", f"qrels_{split}", f"qrels-{split}", f"qrels.{split}"]
    stems += ["qrels"] if split == "test" else []  # a lone file that names no split is the test
    path = _existing(root, [stem + suffix for stem in stems for suffix in _QRELS_SUFFIXES])
    if path is None:
        there = sorted(file.relative_to(root).as_posix() for file in root.glob("qrels*/*")) or sorted(
            file.name for file in root.glob("qrels*")
        )
        raise InputError(
            f"{root}: no judgements for split {split!r} (qrels/{split}.tsv or qrels_{split}.tsv); "
            f"there are {', '.join(there) or 'none'}"
        )
    return path


def _documents(path: Path) -> list[Document]:
    documents = list(Corpus(path, config=CorpusConfig(text_field="text", id_field="_id")))
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            raise InputError(f"{path}: id {document.id!r} stands there twice; give each line an id of its own")
        seen.add(document.id)
    return documents


def _judgements(path: Path) -> tuple[dict[str, dict[str, int]], int]:
    """Query -> document -> grade, and how many judgements were given again."""
    judged: dict[str, dict[str, int]] = {}
    total = 0
    for query, document, grade in _rows(path):
        judged.setdefault(query, {})[document] = grade
        total += 1
    if not judged:
        raise InputError(f"{path}: holds no judgements")
    return judged, total - sum(map(len, judged.values()))


def _rows(path: Path) -> Iterator[tuple[str, str, int]]:
    compression = path.suffix if path.suffix in COMPRESSIONS else ""
    file = File(path=path, name=path.name, where=str(path), kind=".tsv", compression=compression)
    for number, line in enumerate(lines(file, CorpusConfig()), 1):
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()
        if not any(cells) or (number == 1 and cells[0].lower() in _HEADS):
            continue
        if len(cells) not in (3, 4) or not all(cells):
            raise InputError(
                f"{path} line {number}: {line!r:.80} must be query, document and grade parted by tabs, "
                "or TREC's query, iteration, document and grade"
            )
        yield clean_line(cells[0]), clean_line(cells[-2]), _grade(cells[-1], path, number)


def _grade(text: str, path: Path, number: int) -> int:
    try:
        grade = float(text)
        if grade != int(grade):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(f"{path} line {number}: grade {text!r:.40} must be a whole number") from None
    return int(grade)
