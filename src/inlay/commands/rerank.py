"""`inlay reranker`: a model that orders what a search finds, made of an encoder and raw text, and asked by itself."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inlay.commands import show
from inlay.commands.options import (
    Assign,
    Base,
    Force,
    Json,
    Lang,
    Quick,
    Recipe,
    Resume,
    Seed,
    Sources,
    as_utf8,
    reads_corpus,
    resumable,
)
from inlay.commands.stdin import lines
from inlay.errors import InputError
from inlay.live import say
from inlay.text.document import CorpusConfig

if TYPE_CHECKING:
    from inlay.adapt.rerank_config import RerankConfig


@reads_corpus
def train(
    base: Base,
    sources: Sources,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="Folder of the reranker, made new.")],
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Labelled pairs: query, positive, negatives (.jsonl, .csv, .tsv)."
        ),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", show_default=False, help="A model whose neighbours are hard negatives, beside those of BM25."
        ),
    ] = None,
    quick: Quick = False,
    recipe: Recipe = None,
    assign: Assign = [],  # noqa: B006 - typer reads it, nobody writes
    lang: Lang = "auto",
    seed: Seed = 0,
    force: Force = False,
    resume: Resume = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Train a reranker, and keep it only if it orders better.

    A cross-encoder reads a query and a text together. It learns to tell the answer from hard negatives: what BM25 (and
    the model of --embedder) takes for one. Then it orders the best hits of BM25 for questions held out from the text,
    or from --pairs. If that is no better beyond doubt, nothing is written to DIR, and the command ends with 1.

    Examples:
    inlay reranker train minilm docs/ --out reranker
    inlay reranker train minilm docs/ --out reranker --pairs questions.jsonl --set candidates=20
    """
    from inlay.adapt.rerank_output import reranked
    from inlay.text.corpus import Corpus

    config = _config(recipe, assign, quick)
    with resumable("give the same command with --resume to go on"):
        done = reranked(
            base,
            Corpus(*sources, config=corpus),
            out,
            config,
            lang=lang,
            seed=seed,
            pairs=pairs,
            embedder=embedder,
            resume=resume,
            force=force,
        )
    if json:
        show.tree(done.tree)
    elif done.tree["rows"]:
        _table(done.tree)
        show.line()
    head, *rest = done.tree["why"]
    if done.folder is None:
        raise InputError("; ".join([head, *rest]))
    if not json:
        show.line(head)
        show.line()
        show.line("next:")
        show.line(f'  inlay search MODEL "a question" --rerank {shlex.quote(str(out))}')


def score(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", show_default=False, help="A reranker's folder, or its name on the hub.")
    ],
    query: Annotated[str, typer.Argument(metavar="QUERY", show_default=False, help="The question.")],
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT", show_default=False, help="What may answer it; '-' reads one a line from stdin."),
    ],
    *,
    json: Json = False,
) -> None:
    """Say how well each text answers a question.

    The best come first. A pair that is too long loses the end of its longer side; a line on stderr says of how many.

    Examples:
    inlay reranker score reranker "how long do eggs boil" "Six minutes will do." "Wash the eggs."
    inlay reranker score reranker "how long do eggs boil" - --json < texts.txt
    """
    from inlay.embed.reranker import Reranker

    if not query.strip():
        raise InputError("the query is empty; write what the texts are to answer")
    reranker = Reranker.load(folder)
    listed = list(lines("texts")) if texts == ["-"] else [as_utf8(text) for text in texts]
    if not listed:
        raise InputError("there is no text to score; give some, or - and a text a line on stdin")
    query = as_utf8(query)
    scores, report = reranker.scores(query, listed, report=True)
    if report.shortened:
        say(f"{report.shortened:,} of {report.texts:,} pairs were too long and lost {report.dropped:,} tokens")
    order = sorted(range(len(listed)), key=lambda at: -scores[at])
    if json:
        rows = [{"score": float(scores[at]), "text": listed[at]} for at in order]
        show.tree({"query": query, "texts": rows, "shortened": report.shortened})
        return
    for place, at in enumerate(order, 1):
        show.line(f"{place:>2}. {scores[at]:6.3f}  {show.shorten(listed[at], 100)}")


def _config(recipe: Path | None, assign: list[str], quick: bool) -> "RerankConfig":
    """The defaults, changed by the recipe, then by --set, then made shorter."""
    from inlay.adapt.rerank_config import RerankConfig
    from inlay.config import load_yaml, override, parse_assignments

    config = override(load_yaml(RerankConfig, recipe) if recipe else RerankConfig(), parse_assignments(assign))
    return config.quick() if quick else config


def _table(tree: dict[str, Any]) -> None:
    """What both orders reached, by kind of question."""
    kinds = list(tree["rows"][0]["scores"])
    rows = [[row["name"], *(row["scores"][kind]["ndcg@10"] for kind in kinds), row["mean"]] for row in tree["rows"]]
    show.line("nDCG@10 on held-out questions")
    show.table(["order", *(f"by {kind}" for kind in kinds), "mean"], rows)
