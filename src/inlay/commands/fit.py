"""`inlay fit`: raw text in, a measured, searchable model out."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Resume, Sources, reads_corpus, resumable
from inlay.text.document import CorpusConfig


@reads_corpus
def fit(
    sources: Sources,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="Folder of the model, made new.")],
    background: Annotated[
        list[str],
        typer.Option(
            metavar="SOURCE", help="General text that the word vectors learn from too; not searched. Repeatable."
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes
    minutes: Annotated[
        float | None, typer.Option(metavar="N", show_default="3", help="About how long to take on two cores.")
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option(
            metavar="LANG",
            show_default="auto",
            help="en, de, fr, es, it, pt, nl, sv, ru or zh; auto looks at the text.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", show_default="0", help="Of everything that is drawn by chance.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="1",
            help="For the word vectors; with more than one, runs do not repeat exactly.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="An encoder to begin with, such as a MiniLM's folder, or its name on the hub.",
        ),
    ] = None,
    ship: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            show_default="auto",
            help="With --base: base (the encoder), table (fitted to it, no Transformer at search), or auto.",
        ),
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="With --base: tune the encoder first; a gate keeps it where that fails.")
    ] = False,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", show_default=False, help="With --tune: labelled pairs, as inlay adapt reads them."
        ),
    ] = None,
    encoder: Annotated[
        bool, typer.Option("--encoder", help="Train a small Transformer from scratch too, however few the minutes.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="A first look: half a minute of training at most, fewer questions, epochs and steps."
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--recipe", "--config", metavar="FILE", show_default=False, help="YAML with settings of FitConfig."
        ),
    ] = None,
    assign: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as tune.steps=200. Repeatable.")
    ] = [],  # noqa: B006
    force: Force = False,
    resume: Resume = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Make a searchable model of your text.

    Several kinds of model are fitted and measured on questions held out from the text; the best is chosen, fitted again
    on everything, and its documents are indexed for inlay search. What was measured and why what was chosen is printed
    and kept in DIR/report.html. DIR also opens in sentence-transformers.

    With --base the encoder joins in, beside BM25 by default, and so does a token table fitted to it.

    Flags count more than --set, --set more than --recipe, and that more than --quick. A run that broke off goes on with
    --resume.

    Examples:
    inlay fit articles.jsonl --text-field body --title-field headline --out model --minutes 10
    inlay fit docs/ --base all-MiniLM-L6-v2/ --out model
    """
    from inlay.fit import fit as run

    flags: dict[str, Any] = {"minutes": minutes, "lang": lang, "seed": seed, "vectors.threads": threads}
    flags |= {"base.folder": base, "base.ship": ship, "base.pairs": pairs}
    flags |= {"base.tune": {} if tune else None, "encoder.least": 0 if encoder else None}
    given = {key: value for key, value in flags.items() if value is not None}
    settings = _settings(config, assign, given, quick=quick)
    with resumable("give the same command with --resume to go on; the running stage alone is lost"):
        fitted = run(
            *sources, out=out, background=background, config=settings, corpus=corpus, force=force, resume=resume
        )
    if json:
        show.tree(fitted.tree)
        return
    show.ladder(fitted.tree)
    show.line()
    show.choice(fitted.tree)
    show.line()
    folder = shlex.quote(str(fitted.folder))
    show.line("next:")
    show.line(f"  inlay search {folder} {shlex.quote(_question(fitted.tree))}")
    show.line(f"  open {shlex.quote(str(fitted.folder / 'report.html'))}")


_QUICK = {"minutes": 0.5, "held_out": 100, "vectors.epochs": 3, "tune.steps": 30, "encoder": None}


def _settings(file: Path | None, assignments: list[str], flags: dict[str, Any], *, quick: bool) -> Any:
    """The defaults, changed by --quick, then by the YAML file, then by --set, then by flags."""
    from inlay.config import from_tree, load_tree, override, parse_assignments
    from inlay.errors import InputError
    from inlay.fit import FitConfig

    base = {"base.folder": flags["base.folder"]} if "base.folder" in flags else {}
    settings = override(FitConfig(), _QUICK | base if quick else base)
    if file:
        tree = load_tree(file)
        named = isinstance(tree, dict) and all(isinstance(key, str) for key in tree)
        settings = override(settings, tree) if named else from_tree(FitConfig, tree)
    settings = override(settings, parse_assignments(assignments))
    lone = next((key for key in flags if key.startswith("base.")), None)
    if lone is not None and settings.base is None:
        raise InputError(f"--{lone.removeprefix('base.')} is about a base encoder, and none is given; add --base DIR")
    return override(settings, flags)


def _question(tree: dict[str, Any]) -> str:
    """An example query that means something for this text."""
    examples = tree.get("examples") or [{"query": "your question"}]
    return show.shorten(str(examples[0]["query"]), 60)
