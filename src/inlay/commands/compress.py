"""`inlay compress DIR`: a smaller model, and what each way of making it smaller costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Seed, reads_corpus
from inlay.errors import InputError
from inlay.live import Live, say
from inlay.text.document import CorpusConfig, Document

if TYPE_CHECKING:
    from inlay.embed.compress import Way
    from inlay.evaluate.compression import Questions, Row, Skipped
    from inlay.search.codes import Storage


@reads_corpus
def compress(
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="A model folder.")],
    *,
    report: Annotated[
        bool, typer.Option("--report", help="Measure each way by itself, or those that are given, in one table.")
    ] = False,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            show_default="the documents of DIR",
            help="The text that the model is for; a BEIR folder or data set with judgements is asked its queries.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", show_default=False, help="Write the smaller model there.")
    ] = None,
    weights: Annotated[
        Literal["float16", "int8"] | None,
        typer.Option(show_default="float32", help="Bits of the weights on disk; int8 is read by inlay alone."),
    ] = None,
    vocabulary: Annotated[bool, typer.Option("--vocabulary", help="Keep the tokens that the text uses.")] = False,
    zero: Annotated[
        float | None, typer.Option(metavar="SHARE", show_default=False, help="Put the smallest weights to 0: 0.3.")
    ] = None,
    heads: Annotated[
        float | None,
        typer.Option(metavar="SHARE", show_default=False, help="Cut the heads that matter least for the text: 0.25."),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Keep so many layers, spread evenly.")
    ] = None,
    dim: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Keep the first so many dimensions.")
    ] = None,
    vectors: Annotated[
        Literal["int8", "binary", "product"] | None,
        typer.Option(show_default="float32", help="In what the search of DIR keeps its vectors in --out."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="FILE.json", show_default=False, help="Write the table there too, as JSON.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Make a model smaller, and see what that costs.

    --report shows for each way the size, the speed and nDCG@10 before and after, with the 95 % interval of the change:
    on judged queries, or on questions mined from the text, whose answers were held out. The ways for weights, heads and
    layers change the model; those for vectors change the index alone. --out writes the model by the ways that are
    given (vocabulary, layers, heads, zeros, dimensions, then weights), with the documents of DIR for search if it has
    any.

    Examples:
    inlay compress model --on cranfield --report --figures compression.json
    inlay compress model --on notes/ --vocabulary --weights int8 --vectors binary --out small
    """
    from inlay.files import claim_output, write_json

    if not report and out is None:
        raise InputError("nothing to do: give --report to measure, or --out to write a smaller model")
    if vectors is not None and out is None:
        raise InputError(f"--vectors {vectors} is for a model that is written; give --out too (--report has them all)")
    ways = _ways(weights, vocabulary, zero, heads, layers, dim)
    if figures is not None:
        if not report or figures.suffix != ".json":
            raise InputError(f"--figures {figures} needs --report, and a name that ends in .json")
        claim_output(figures, force=force)
    if out is not None:
        claim_output(out, force=force, whole=True)
        if not ways and vectors is None:
            raise InputError("--out needs a way to make the model smaller, such as --weights float16 or --vectors int8")
        if vectors is not None and not (folder / "search").is_dir():
            raise InputError(
                f"{folder} has no documents to search, whose --vectors could be kept; `inlay fit` makes both"
            )
    told: dict[str, Any] = {}
    if report:
        rows, skipped, questions = _measured(folder, on, ways, seed, corpus)
        told = {
            "model": str(folder),
            "on": questions.name,
            "texts": len(questions.texts),
            "queries": len(questions.queries),
            "rows": [row.tree() for row in rows],
            "skipped": {one.name: one.why for one in skipped},
        }
        if figures is not None:
            write_json(figures, told)
        if not json:
            _show(told, rows)
    if out is not None:
        told["out"] = _written(folder, on, out, ways, vectors, corpus, force=force)
        if not json:
            show.line(", ".join(f"{name} {value}" for name, value in told["out"].items()))
    if json:
        show.tree(told)


def _ways(
    weights: str | None, vocabulary: bool, zero: float | None, heads: float | None, layers: int | None, dim: int | None
) -> "list[Way]":
    """What the flags say, in the order in which it is done; the precision comes last."""
    from inlay.embed.compress import Depth, Dimensions, Half, Heads, Int8Weights, Magnitude, Vocabulary

    ways: list[Way] = [Vocabulary()] if vocabulary else []
    ways += [Depth(layers=layers)] if layers is not None else []
    ways += [Heads(share=heads)] if heads is not None else []
    ways += [Magnitude(share=zero)] if zero is not None else []
    ways += [Dimensions(dim=dim)] if dim is not None else []
    return ways + ([] if weights is None else [Half() if weights == "float16" else Int8Weights()])


def _measured(
    folder: Path, on: str | None, ways: "Sequence[Way]", seed: int, corpus: CorpusConfig
) -> "tuple[list[Row], list[Skipped], Questions]":
    from inlay.evaluate.compression import Questions, Row, Skipped, report

    judged = _judged(on)
    questions = judged if judged is not None else Questions.mined(_documents(folder, on, corpus), seed=seed)
    rows, skipped = [], []
    with Live("compress", unit="variants") as live:
        for one in live.over(report(folder, questions, {"as asked": ways} if ways else None)):
            if isinstance(one, Row):
                rows.append(one)
            else:
                assert isinstance(one, Skipped)
                skipped.append(one)
                say(f"note: {one.name} is left out: {one.why}")
    return rows, skipped, questions


def _judged(on: str | None) -> "Questions | None":
    """The queries of a BEIR folder or a data set with judgements; None where `on` is plain text."""
    from inlay.evaluate.beir import read
    from inlay.evaluate.compression import Questions
    from inlay.text import data

    if on is None:
        return None
    named = not Path(on).exists() and on in data.NAMES and data.describe(on).is_retrieval
    place = data.beir(on) if named else Path(on)
    tests = [place, place / "beir"] if place.is_dir() else []
    if not any(list(test.glob("corpus.jsonl*")) and list(test.glob("queries.jsonl*")) for test in tests):
        return None
    return Questions.judged(read(place), on)


def _documents(folder: Path, on: str | None, corpus: CorpusConfig) -> list[Document]:
    from inlay.search.searcher import Searcher
    from inlay.text.corpus import Corpus

    if on is not None:
        return list(Corpus(on, config=corpus))
    if not (folder / "search").is_dir():
        raise InputError(f"{folder} has no documents of its own; give the text that the model is for: --on SOURCE")
    return list(Searcher.load(folder).documents)


def _written(
    folder: Path,
    on: str | None,
    out: Path,
    ways: "Sequence[Way]",
    vectors: str | None,
    corpus: CorpusConfig,
    *,
    force: bool,
) -> dict[str, Any]:
    """Write the smaller model, and its search where there is one; what was written."""
    from inlay.embed import compress as shrink
    from inlay.search.carry import carry

    needs = any(isinstance(way, shrink.Vocabulary | shrink.Heads) for way in ways)
    texts = [document.full for document in _documents(folder, on, corpus)] if needs else []
    shrink.compress(folder, out, ways, texts=texts, force=force)
    documents = carry(folder, out, _storage(vectors)) if (folder / "search").is_dir() else 0
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return {"written": str(out), "MB": round(size / 1e6, 3), "documents": documents}


def _storage(vectors: str | None) -> "Storage | None":
    from inlay.search.codes import Binary, Int8, Product

    storages: dict[str, Storage] = {"int8": Int8(), "binary": Binary(), "product": Product(rescore=Int8())}
    return None if vectors is None else storages[vectors]


def _show(told: dict[str, Any], rows: "list[Row]") -> None:
    show.line(
        f"{told['model']} on {told['on']}: {told['texts']:,} texts, {told['queries']:,} queries, search by vectors; "
        "changes with 95 % intervals"
    )
    cells = [
        [
            row.name,
            f"{row.model_mb:.2f}",
            f"{row.vectors_mb:.2f}",
            f"{row.texts_per_second:,.0f}",
            f"{row.queries_per_second:,.0f}",
            row.ndcg,
            "" if row is rows[0] else f"{row.change:+.3f} [{row.low:+.3f}, {row.high:+.3f}]",
            row.what,
        ]
        for row in rows
    ]
    show.table(["", "model MB", "vectors MB", "texts/s", "queries/s", "nDCG@10", "change", "what"], cells)
