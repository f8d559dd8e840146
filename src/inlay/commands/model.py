"""What a fitted model is for: `inlay search`, `embed`, `evaluate` and `info`."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, K, Lang, Model, Resume, language_of, reads_corpus, resumable
from inlay.errors import InputError, did_you_mean
from inlay.live import Live, say
from inlay.text.document import CorpusConfig, Document

if TYPE_CHECKING:
    from inlay.search.hybrid import Fusion
    from inlay.search.searcher import Hit

Mode = Literal["hybrid", "dense", "lexical"]
_METRICS = ("ndcg@10", "recall@10", "recall@100", "mrr@10")


def search(
    folder: Model,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", show_default=False, help="The question; '-' reads one a line from stdin.")
    ],
    k: K = 10,
    mode: Annotated[Mode | None, typer.Option(show_default="what fit chose", help="How to rank.")] = None,
    json: Json = False,
) -> None:
    """Search the documents of a model.

    The best come first; by default they are ranked as fit found best for this text.

    With --json each query is one line of JSON: its hits with id, score, title and text.

    Examples:
    inlay search model "how do I read a file line by line"
    inlay search model - -k 3 --json < questions.txt
    """
    from inlay.search.searcher import Searcher

    if not query.strip():
        raise InputError("the query is empty; write what you look for, or - to read queries from stdin")
    searcher = Searcher.load(folder)
    for one in _queries() if query == "-" else [query]:
        hits = searcher.search(one, k, mode)
        if json:
            show.tree({"query": one, "hits": [asdict(hit) for hit in hits]}, compact=True)
        else:
            if query == "-":
                show.line(f"? {one}")
            _show_hits(hits)
        sys.stdout.flush()


def _queries() -> Iterator[str]:
    if sys.stdin is None:
        raise InputError("stdin is closed; pipe queries into it, or give one")
    for number, data in enumerate(sys.stdin.buffer, 1):
        try:
            yield data.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            byte, column = data[error.start], error.start + 1
            raise InputError(
                f"stdin line {number}: not UTF-8 (byte 0x{byte:02X} at byte {column}); convert it"
            ) from None


def _show_hits(hits: "list[Hit]") -> None:
    from inlay.text.pairs import body_of

    for place, hit in enumerate(hits, 1):
        named = f"{show.shorten(hit.title, 70)}  ({hit.id})" if hit.title not in ("", hit.id) else hit.id
        show.line(f"{place:>2}. {hit.score:6.3f}  {named}")
        body = body_of(Document(id=hit.id, title=hit.title, text=hit.text))
        show.line(f"            {show.shorten(body, 100)}")
    if not hits:
        show.line("no hits: no document shares a word with the query")


@reads_corpus
def embed(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="A model folder, or a file of word vectors.")
    ],
    sources: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", show_default=False, help="Files, folders, globs, '-' or data sets."),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", show_default=False, help="X.npy, X.parquet or X.jsonl; the suffix is the format."),
    ],
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="Texts at a time; it has no influence on the vectors.")
    ] = 1024,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Write a vector for each document.

    The output has exactly one row for each document, in their order.
    .parquet and .jsonl hold id and vector; .npy holds the vectors, and the ids stand in X.ids.jsonl beside it. A text
    without a known word has the vector zero. Memory stays flat however long the input is; a run that broke off goes on
    with --resume to the same bytes.

    Examples:
    inlay embed model articles.jsonl --out articles.parquet
    inlay embed vectors.txt notes/ --unit paragraph --out notes.npy --resume
    """
    from inlay.embed.embedder import load
    from inlay.embed.store import embed_file
    from inlay.text.corpus import Corpus

    documents = Corpus(*sources, config=corpus)
    with resumable("give the same command with --resume to go on"):
        report = embed_file(load(folder), documents, out, batch_size=batch_size, resume=resume, force=force)
    if json:
        show.tree({"out": str(out), **asdict(report)})
    else:
        show.line(report.line())


def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="A model folder, or a file of word vectors.")
    ],
    *,
    on: Annotated[
        str,
        typer.Option(
            metavar="FOLDER|NAME",
            show_default=False,
            help="A BEIR folder, or a data set such as cranfield, with judgements.",
        ),
    ],
    split: Annotated[str, typer.Option(metavar="SPLIT", help="Which judgements: qrels/SPLIT.tsv.")] = "test",
    lang: Lang = "auto",
    json: Json = False,
) -> None:
    """Measure a model on judged queries.

    Prints nDCG@10, recall@10, recall@100 and MRR@10 of lexical, dense and hybrid search, with 95 % intervals
    bootstrapped over the queries. The test's own corpus is indexed with the model, and fused as fit chose.

    Examples:
    inlay evaluate model --on cranfield
    inlay evaluate model --on beir/scifact --split dev --json
    """
    from inlay.embed.embedder import load
    from inlay.evaluate.beir import read
    from inlay.evaluate.retrieval import measure
    from inlay.search.searcher import Searcher

    test = read(_test_folder(on), split=split)
    for note in test.notes:
        say(f"note: {note}")
    lang = language_of(lang, lambda: (document.full for document in test.corpus))
    embedder, fusion = load(folder), _fusion(folder)
    modes: list[Mode] = ["lexical", "dense", "hybrid"]
    with Live("evaluate", len(modes), "rankings") as live:
        searcher = Searcher.build(test.corpus, embedder, lang=lang, fusion=fusion)
        scores = {}
        for mode in live.over(modes):
            ranked = searcher.rank(list(test.queries.values()), 100, mode)
            scores[mode] = measure(dict(zip(test.queries, ranked, strict=True)), test.qrels)
    if json:
        measured = {mode: scores[mode].tree() for mode in modes}
        show.tree(
            {"on": on, "lang": lang, "documents": len(test.corpus), "queries": len(test.queries), "scores": measured}
        )
        return
    rows = []
    for mode in modes:
        cells = [(scores[mode][metric], *scores[mode].interval(metric)) for metric in _METRICS]
        rows.append([mode, *(f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in cells)])
    show.line(f"{on}: {len(test.corpus):,} documents, {len(test.queries):,} queries, language {lang}; 95 % intervals")
    show.table(["", "nDCG@10", "recall@10", "recall@100", "MRR@10"], rows)


def _test_folder(on: str) -> Path:
    """A folder as it is, or that of the named data set."""
    from inlay.text import data

    if Path(on).exists() or len(Path(on).parts) > 1:
        return Path(on)
    if on not in data.NAMES:
        tests = [name for name in data.NAMES if data.describe(name).is_retrieval]
        raise InputError(f"{on}: no such folder or data set{did_you_mean(on, tests)}")
    return data.beir(on)


def _fusion(folder: Path) -> "Fusion":
    """How the folder fuses rankings; the default where it is a bare model or a file of vectors."""
    from inlay.search.hybrid import Fusion
    from inlay.search.searcher import Searcher

    return Searcher.load(folder).ranker.fusion if (folder / "search").is_dir() else Fusion()


def info(
    path: Annotated[
        Path, typer.Argument(metavar="DIR|FILE", show_default=False, help="A model folder, or a file of word vectors.")
    ],
    json: Json = False,
) -> None:
    """Show what a model holds and how good it is.

    Every file that the model and its search work with is compared with its checksum.

    Examples:
    inlay info model
    inlay info vectors.safetensors --json
    """
    known = _file_info(path) if path.is_file() else _folder_info(path)
    fitted = known.pop("fitted", None)
    if json:
        show.tree(known | ({"ladder": fitted["ladder"], "choice": fitted["choice"]} if fitted else {}))
        return
    show.facts({name.replace("_", " "): value for name, value in known.items()})
    if fitted:
        show.line()
        show.ladder(fitted)
        show.line()
        show.choice(fitted)


def _file_info(path: Path) -> dict[str, Any]:
    from inlay.vectors.wordvectors import WordVectors

    vectors = WordVectors.load(path)
    return {
        "path": str(path),
        "kind": "word vectors",
        "words": len(vectors),
        "dim": vectors.dim,
        "megabytes": path.stat().st_size / 1e6,
        "with_counts": vectors.counts is not None,
        "with_context": vectors.context is not None,
    }


def _folder_info(path: Path) -> dict[str, Any]:
    from inlay.embed.static import StaticEmbedder
    from inlay.files import CHECKSUMS, read_json, verify_checksums

    if not path.exists():
        raise InputError(f"{path}: no such model folder or vector file; `inlay fit SOURCE --out {path}` makes one")
    model = StaticEmbedder.load(path)
    checked = sum(verify_checksums(file.parent) for file in sorted(path.rglob(CHECKSUMS)))
    known: dict[str, Any] = {
        "path": str(path),
        "kind": "static model",
        "dim": model.dim,
        "tokens": len(model.table),
        "megabytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6,
        "checksums": f"{checked} files as written" if checked else "none to compare with",
    }
    if (path / "inlay.json").is_file():
        fitted = read_json(path / "inlay.json")
        keys = ("lang", "data", "held_out", "ladder", "choice")
        if not isinstance(fitted, dict) or not all(fitted.get(key) for key in keys):
            raise InputError(
                f"{path / 'inlay.json'}: lacks one of {', '.join(keys)}; copy it again or fit the model anew"
            )
        data = fitted["data"]
        known |= {"language": fitted["lang"], "sources": ", ".join(data["sources"]), "documents": data["documents"]}
        known["fitted"] = fitted
    return known
