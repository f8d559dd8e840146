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
