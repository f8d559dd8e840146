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
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="YAML with settings of FitConfig.")
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

    Flags count more than --set, and --set more than --config. A run that broke off goes on with --resume.

    Examples:
    inlay fit docs/ --out model
    inlay fit articles.jsonl --text-field body --title-field headline --out model --minutes 10
    """
    from inlay.fit import fit as run

    flags = {"minutes": minutes, "lang": lang, "seed": seed, "vectors.threads": threads}
    settings = _settings(config, assign, {key: value for key, value in flags.items() if value is not None})
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


def _settings(file: Path | None, assignments: list[str], flags: dict[str, Any]) -> Any:
    """The defaults, changed by the YAML file, then by --set, then by flags."""
    from inlay.config import load_yaml, override, parse_assignments
    from inlay.fit import FitConfig

    settings = load_yaml(FitConfig, file) if file else FitConfig()
    return override(override(settings, parse_assignments(assignments)), flags)


def _question(tree: dict[str, Any]) -> str:
    """An example query that means something for this text."""
    examples = tree.get("examples") or [{"query": "your question"}]
    return show.shorten(str(examples[0]["query"]), 60)
