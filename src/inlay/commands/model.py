"""What a fitted model is for: `inlay search`."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Json, K, Model, as_utf8
from inlay.commands.stdin import lines
from inlay.errors import InputError
from inlay.text.document import Document

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
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="A reranker's folder, or its name on the hub; it orders the best hits.",
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="50", help="How many hits the reranker reads."),
    ] = None,
    json: Json = False,
) -> None:
    """Search the documents of a model.

    The best come first; by default they are ranked as fit found best for this text.

    With --rerank a cross-encoder (`inlay reranker train`, or one from elsewhere) reads the query with each of the best
    candidates, and its score orders them.

    With --json each query is one line of JSON: its hits with id, score, title and text, and what the reranker says.

    Examples:
    inlay search model "how do I read a file line by line"
    inlay search model - -k 3 --json --rerank reranker < questions.txt
    """
    from inlay.search.searcher import CANDIDATES, Searcher

    if not query.strip():
        raise InputError("the query is empty; write what you look for, or - to read queries from stdin")
    if candidates is not None and rerank is None:
        raise InputError(f"--candidates {candidates} is for a reranker to read; name one with --rerank DIR")
    candidates = CANDIDATES if candidates is None else candidates
    if rerank is not None and candidates < k:
        raise InputError(f"--candidates {candidates} are fewer than the {k} hits that are wanted; give {k} or more")
    reranker = None
    if rerank is not None:
        from inlay.embed.reranker import Reranker

        reranker = Reranker.load(rerank)
    searcher = Searcher.load(folder)
    for one in lines("queries") if query == "-" else [as_utf8(query)]:
        hits = searcher.search(one, k, mode, reranker=reranker, candidates=candidates)
        if json:
            told = [{name: value for name, value in asdict(hit).items() if value is not None} for hit in hits]
            show.tree({"query": one, "hits": told}, compact=True)
        else:
            if query == "-":
                show.line(f"? {one}")
            _show_hits(hits)
        sys.stdout.flush()


def _show_hits(hits: "list[Hit]") -> None:
    from inlay.text.pairs import body_of

    for place, hit in enumerate(hits, 1):
        named = f"{show.shorten(hit.title, 70)}  ({hit.id})" if hit.title not in ("", hit.id) else hit.id
        score = hit.score if hit.reranked is None else hit.reranked
        show.line(f"{place:>2}. {score:6.3f}  {named}")
        body = body_of(Document(id=hit.id, title=hit.title, text=hit.text))
        show.line(f"            {show.shorten(body, 100)}")
    if not hits:
        show.line("no hits: no document shares a word with the query")
