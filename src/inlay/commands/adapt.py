"""`inlay adapt`: an encoder and raw text in; the encoder tuned to that text out, if it can show that it is better."""

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
    reads_corpus,
    resumable,
)
from inlay.text.document import CorpusConfig

if TYPE_CHECKING:
    from inlay.adapt.config import AdaptConfig


@reads_corpus
def adapt(
    base: Base,
    sources: Sources,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="Folder of the model, made new.")],
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Labelled pairs: query, positive, negatives; or text1, text2, score (.jsonl, .csv, .tsv).",
        ),
    ] = None,
    sts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="General pairs with judgements: text1, text2, score; must not fall.",
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", show_default=False, help="About how long to train at most.")
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
    """Tune an encoder to your text; keep the result if it is better.

    Pairs are mined from the text (or given by --pairs), hard negatives from BM25 and from the model itself; then points
    between the old weights and the tuned ones are measured. One is kept if every kind of question held out from the
    text is answered better beyond doubt, alone and beside BM25, and general text is read as before. Otherwise DIR is a
    copy of the base, and the lines below the table say why.

    Examples:
    inlay adapt minilm docs/ --out tuned
    inlay adapt minilm docs/ --out tuned --pairs questions.jsonl --set tuning.anchor=1
    """
    from inlay.adapt.output import adapted
    from inlay.text.corpus import Corpus

    config = _config(recipe, assign, base, minutes, quick)
    with resumable("give the same command with --resume to go on"):
        done = adapted(
            base,
            Corpus(*sources, config=corpus),
            out,
            config,
            lang=lang,
            seed=seed,
            pairs=pairs,
            sts=sts,
            resume=resume,
            force=force,
        )
    if json:
        return show.tree(done.tree)
    if done.tree["rows"]:
        _table(done.tree)
        show.line()
    head, *rest = done.tree["why"]
    show.line(head)
    for reason in rest:
        show.line(f"  {reason}")
    show.line()
    show.line("next:")
    folder = shlex.quote(str(out))
    return show.line(f"  inlay fit SOURCE --base {folder} --out model")


def _config(recipe: Path | None, assign: list[str], base: str, minutes: float | None, quick: bool) -> "AdaptConfig":
    """The defaults, changed by the recipe, then by --set, then made shorter."""
    from inlay.adapt.config import AdaptConfig
    from inlay.config import load_yaml, override, parse_assignments

    config = override(load_yaml(AdaptConfig, recipe) if recipe else AdaptConfig(), parse_assignments(assign))
    if quick:
        config = config.quick()
    if minutes is None:
        return config
    from inlay.embed.folder import read_folder

    weights = sum(file.stat().st_size for file in read_folder(base).inner.glob("*.safetensors"))
    return config.within(minutes, weights // 4)


def _table(tree: dict[str, Any]) -> None:
    """What each point reached, by kind of question."""
    kinds = list(tree["rows"][0]["scores"])
    kept = f"tuned {tree['share']:g}" if tree["share"] is not None else "base"
    rows = [
        [
            "*" if row["name"] == kept else "",
            row["name"],
            *(row["scores"][kind]["ndcg@10"] for kind in kinds),
            row["mean"],
        ]
        for row in tree["rows"]
    ]
    show.line("nDCG@10 on held-out questions, by vectors alone; * is what is kept")
    show.table(["", "weights", *(f"by {kind}" for kind in kinds), "mean"], rows)
