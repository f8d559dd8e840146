"""What a fitted model is for: `inlay search`, `embed` and `info`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.language import model_of
from inlay.commands.options import Force, Json, K, Model, Resume, as_utf8, reads_corpus, resumable
from inlay.commands.stdin import lines
from inlay.errors import InputError
from inlay.text.document import CorpusConfig, Document

if TYPE_CHECKING:
    from inlay.search.searcher import Hit

Mode = Literal["hybrid", "dense", "lexical"]


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
    for one in lines("queries") if query == "-" else [as_utf8(query)]:
        hits = searcher.search(one, k, mode)
        if json:
            show.tree({"query": one, "hits": [asdict(hit) for hit in hits]}, compact=True)
        else:
            if query == "-":
                show.line(f"? {one}")
            _show_hits(hits)
        sys.stdout.flush()


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
        "with_ngrams": vectors.subwords is not None,
    }


def _folder_info(path: Path) -> dict[str, Any]:
    from inlay.embed.static import StaticEmbedder
    from inlay.files import read_json

    if not path.exists():
        raise InputError(f"{path}: no such model folder or vector file; `inlay fit SOURCE --out {path}` makes one")
    path = Path(model_of(str(path)))
    if (path / "config.json").is_file() and not (path / "modules.json").is_file():
        return _transformer_info(path)
    model = StaticEmbedder.load(path)
    known: dict[str, Any] = {"path": str(path), "kind": "static model", "dim": model.dim, "tokens": len(model.table)}
    known |= _files_info(path)
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


def _transformer_info(path: Path) -> dict[str, Any]:
    """No weight is read: the settings and the sums tell."""
    from inlay.convert import read_config
    from inlay.model.budget import count

    config = read_config(path)
    stacks = [stack for stack in (config.encoder, config.decoder) if stack is not None]
    return {
        "path": str(path),
        "kind": "Transformer",
        "family": config.family,
        "parameters": count(config),
        "layers": " + ".join(str(stack.n_layers) for stack in stacks),
        "dim": config.d_model,
        "tokens": config.vocab_size,
        "heads": ", ".join(head.name for head in config.heads) or "none",
    } | _files_info(path)


def _files_info(path: Path) -> dict[str, Any]:
    from inlay.files import CHECKSUMS, verify_checksums

    checked = sum(verify_checksums(file.parent) for file in sorted(path.rglob(CHECKSUMS)))
    return {
        "megabytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6,
        "checksums": f"{checked} files as written" if checked else "none to compare with",
    }
