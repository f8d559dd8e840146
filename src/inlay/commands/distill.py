"""`inlay distill`: a trained model and raw text in, a smaller model out."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, ResumeFrom, one_voice, resumable

if TYPE_CHECKING:
    from inlay.train.distill import Distillation

_STEP_SIZE = {"train", "train.optimizer", "train.optimizer.kind", "train.optimizer.lr"}
"""Who sets one of these chooses how far a step goes."""


@one_voice
def distill(
    teacher: Annotated[
        str,
        typer.Argument(
            metavar="TEACHER", show_default=False, help="A model's folder, or a name on the hub: owner/model."
        ),
    ],
    assign: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", show_default=False, help="Settings, such as train.minutes=10 or data.batch=32."
        ),
    ] = None,
    *,
    on: Annotated[
        list[str],
        typer.Option(metavar="SOURCE", show_default=False, help="The text that the student learns on. Repeatable."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="Folder of the run, made new.")],
    layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="every second",
            help="Copy N layers of the teacher, spread evenly from the first to the last.",
        ),
    ] = None,
    resume: ResumeFrom = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a smaller model to do what a trained one does.

    The student is made of layers of its teacher, and learns on your text what the teacher says of hidden tokens (or of
    the next ones), the direction of its rows, and its own task: DistilBERT's recipe. Other parts, such as TinyBERT's
    hidden rows and attention maps, are settings of objective.parts; a narrower student is student.kind=Narrow; and
    objective.kind=TokenTable makes a static model, one vector for each token, in larger steps. In the folder are then
    the model, the log, the checkpoints, and in metrics.json teacher and student on text held out.

    Examples:
    inlay distill bert --on docs/ --out small --layers 6 train.minutes=10
    inlay distill bert --on docs/ --out table objective.kind=TokenTable
    """
    recipe = _recipe(teacher, on, out, layers, assign or [])
    from inlay.train.distill import distill as run

    with resumable("give the same command with --resume auto to go on"):
        metrics = run(recipe, resume=resume, force=force)
    if json:
        return show.tree(metrics)
    show.facts(_facts(metrics))
    show.line()
    show.line("next:")
    model = shlex.quote(str(out / "model"))
    if (out / "model" / "modules.json").is_file():
        return show.line(f"  inlay info {model}")
    return show.line(f"  inlay show {model}")


def _recipe(teacher: str, on: list[str], out: Path, layers: int | None, assign: list[str]) -> "Distillation":
    """The defaults, changed by what is said on the command line; the settings count most."""
    from inlay.config import override, parse_assignments
    from inlay.objective.distill_table import TokenTable
    from inlay.train.distill import Distillation

    settings = parse_assignments(assign)
    said: dict[str, Any] = {"objective.teacher": teacher, "data.source": on, "out": out}
    if layers is not None:
        said["student"] = {"kind": "Spread", "n_layers": layers}
    recipe = override(Distillation(), said | settings)
    if isinstance(recipe.objective, TokenTable) and not _STEP_SIZE & settings.keys():
        return override(recipe, {"train.optimizer.lr": TokenTable.lr})
    return recipe


def _facts(metrics: dict[str, Any]) -> dict[str, str]:
    """What a reader wants to know first: teacher and student beside each other, where the same was asked of both."""
    found = {name: f"{metrics[name]:,}" for name in ("steps", "tokens", "parameters")}
    found["seconds"] = f"{metrics['seconds']:,.1f}"
    before = metrics["before"] or {}
    for name, value in metrics["teacher"].items():
        if name.startswith("heldout_"):
            found[f"teacher's held-out {name.removeprefix('heldout_')}"] = f"{value:.4f}"
    for name, value in before.items():
        if name in metrics:
            found[f"held-out {name.removeprefix('heldout_')}"] = f"{metrics[name]:.4f} (at first {value:.4f})"
    return found
