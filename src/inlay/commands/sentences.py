"""`inlay evaluate DIR --suite small` and `inlay evaluate sentences`: an embedder on texts that people judged."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Seed
from inlay.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from inlay.evaluate.suite import SuiteReport

Kind = Literal["sts", "pairs", "clusters", "probe", "rerank"]


def sentences(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="A model folder, or a file of word vectors.")
    ],
    *,
    suite: Annotated[
        Literal["small", "small-en", "small-zh"] | None,
        typer.Option(
            show_default="small", help="Which tasks: a minute or two with a small encoder, or those in one language."
        ),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            show_default="the suite",
            help="Data sets of the suite by name, or a file of your own with --task. Repeatable.",
        ),
    ] = None,
    task: Annotated[
        Kind | None, typer.Option(metavar="TASK", show_default=False, help="What a file is for: see above.")
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False, help="What probe learns from, or pairs takes its threshold of."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False, help="Where data sets lie; INLAY_DATA and the cache come next."
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", show_default=False, help="Write the figures there too, as JSON.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure an embedder on texts that people judged.

    Prints one table, each figure with its 95 % interval: Spearman's correlation (sts), average precision (pairs),
    V-measure of k-means (clusters), accuracy of a linear probe, MAP of reranking, nDCG@10 of retrieval by vectors.
    A task whose data set is not here is named as skipped, with the way to get it.

    A file of your own holds records (.jsonl .csv .tsv): text1, text2, score for --task sts; text1, text2, label (0 or
    1) for pairs; text, label for clusters and probe; query, positive, negative (texts or lists) for rerank.

    Examples:
    inlay evaluate model --suite small --out figures.json
    inlay evaluate sentences model --on pairs.csv --task sts
    """
    from inlay.embed.embedder import load
    from inlay.evaluate.suite import run
    from inlay.files import claim_output, write_json

    if out is not None:
        if out.suffix != ".json":
            raise InputError(f"{out}: figures are written as JSON; name the file .json")
        claim_output(out, force=force)
    if suite and on:
        raise InputError(f"--suite {suite} and --on {on[0]} are two ways to choose; give one of them")
    if task is None:
        if train is not None:
            raise InputError(f"--train {train} goes with a file of your own, --on FILE --task probe")
        suite = suite or "small"
        names = _names(on) if on else suite
        report = run(load(folder), names, folder=data, seed=seed)
    else:
        if suite or data is not None:
            raise InputError(f"--task {task} is of a file of your own, --on FILE, and takes no --suite or --data")
        report = _own_files(folder, on or [], task, train, seed)
    tree = {"model": str(folder), "suite": None if on else suite, **report.tree()}
    if out is not None:
        write_json(out, tree)
    if json:
        show.tree(tree)
    else:
        _table(report)


def _names(on: list[str]) -> list[str]:
    """Names of data sets, once it is sure that they are such."""
    from inlay.evaluate.named import NAMES

    for one in on:
        if one not in NAMES:
            if Path(one).is_file():
                raise InputError(f"--on {one}: a file needs --task, one of sts, pairs, clusters, probe, rerank")
            raise InputError(f"--on {one}: no such file or data set{did_you_mean(one, NAMES)}")
    return on


def _own_files(folder: Path, on: list[str], task: Kind, train: Path | None, seed: int) -> "SuiteReport":
    from inlay.embed.embedder import load
    from inlay.evaluate.encoding import Encoder
    from inlay.evaluate.given import read
    from inlay.evaluate.sentences import evaluate, texts_of
    from inlay.evaluate.suite import SuiteReport
    from inlay.live import Live

    if not on:
        raise InputError(f"--task {task} needs a file: --on FILE")
    judged = [(one, read(one, task, train=train, seed=seed)) for one in on]
    with Live("evaluate", sum(texts_of(data) for _, data in judged), "texts") as live:
        encoder = Encoder(load(folder), live.advance)
        results = [evaluate(encoder, data, on=Path(one).name, seed=seed) for one, data in judged]
    return SuiteReport(results=results)


def _table(report: "SuiteReport") -> None:
    rows = []
    for one in report.results:
        for place, (name, figure) in enumerate(one.figures.items()):
            if place and name not in ("pearson", "accuracy", "f1", "macro f1", "mrr@10", "recall@100"):
                continue
            first = [one.on, one.kind, one.lang] if not place else ["", "", ""]
            rows.append([*first, name, str(figure), f"{one.n:,} {one.unit}" if not place else ""])
    show.line("95 % intervals; the first figure of each task is its own")
    show.table(["on", "task", "lang", "measure", "score", "judged"], rows)
    for lang, (mean, n) in report.means().items():
        if n > 1:
            show.line(f"mean of the {n} tasks{f' in {lang}' if lang else ''}: {mean:.3f}")
    for one in report.results:
        for note in one.notes:
            show.line(f"note: {one.on} {one.kind}: {note}")
    for skipped in report.skipped:
        show.line(f"skipped: {skipped.on} {skipped.kind}: {skipped.why}")
