"""`inlay runs`: trainings side by side, as a table and as curves."""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json
from inlay.errors import InputError
from inlay.live import say

_MORE = ("lr", "norm", "tokens_per_s", "share_of_peak")
"""Columns that a page shows beside the one that is asked for."""


def runs(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", show_default=False, help="Run folders, or folders that have runs in them."),
    ],
    *,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", show_default=False, help="Draw the curves; needs inlay[viz].")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", show_default=False, help="Write table and curves as a page.")
    ] = None,
    x: Annotated[Literal["steps", "tokens", "seconds"], typer.Option(help="What the curves run along.")] = "steps",
    y: Annotated[str, typer.Option(metavar="NAME", help="The column of the logs that is drawn.")] = "loss",
    smooth: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, show_default="a fiftieth of the run", help="Steps of the running mean; 1 takes none."
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show trainings side by side.

    A line for each run, also for those that are still going: how far it is, its last loss, its best held-out loss and
    when, tokens a second, time. Curves show the loss of each step, pale, its running mean, and held-out text as points.

    Examples:
    inlay runs runs/bert runs/electra --plot curves.png
    inlay runs runs --html runs.html --x tokens --smooth 50
    """
    from inlay.explore.runs import HEAD, cells, curves, read_runs
    from inlay.files import atomic_path, claim_output, write_text

    for path, suffix in ((plot, ".png"), (html, ".html")):
        if path is not None:
            if path.suffix != suffix:
                raise InputError(f"{path}: must end in {suffix}; name it so")
            claim_output(path, force=force)
    found = read_runs(folders)
    if plot is not None:
        from inlay.explore.runs_picture import draw_png

        drawn = curves(found, y, x, smooth)
        with atomic_path(plot) as temporary:
            draw_png(drawn, temporary, y=y, across=x)
        say(f"curves in {plot}")
    table = [cells(run, now=time.time()) for run in found]
    if html is not None:
        from inlay.explore.runs_page import page

        columns = [y, *(name for name in _MORE if name != y and any(name in row for run in found for row in run.rows))]
        write_text(html, page({name: curves(found, name, x, smooth) for name in columns}, table, across=x))
        say(f"page in {html}")
    if json:
        return show.tree([run.summary() for run in found])
    return show.table(HEAD, table)
