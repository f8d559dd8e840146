"""`inlay pretrain`: raw text in, a trained model out."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, ResumeFrom, is_first, one_voice, resumable
from inlay.live import duration

if TYPE_CHECKING:
    from inlay.train.recipe import Pretrain

_MB = 1 << 20


@one_voice
def pretrain(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", show_default=False, help="The recipe, such as those of examples/.")
    ],
    assign: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", show_default=False, help="Settings that count more than the recipe's."
        ),
    ] = None,
    resume: ResumeFrom = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Write nothing; say what would be trained, what it needs and how long it takes."
        ),
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a language model from raw text.

    The tokenizer is trained on the way, unless the recipe names one; the text becomes token shards, and the model
    learns from them what its paper trained it with, or what the recipe says. The folder `out` then holds the model, the
    tokenizer, the log, the checkpoints and what was measured on held-out text. A run that was killed goes on with
    --resume auto, and ends as if it had not been; how long it is, where it runs and what is kept may then be others.

    Examples:
    inlay pretrain examples/configs/bert.yaml data.source=docs/ out=bert train.minutes=10
    inlay pretrain examples/configs/gpt2.yaml data.source=docs/ out=gpt2 --dry-run
    """
    recipe = _recipe(config, assign or [])
    if dry_run:
        if not is_first():
            return None  # what is rehearsed is one process
        from inlay.train.rehearse import rehearse

        return _told(rehearse(recipe), json)
    from inlay.train.pretrain import pretrain as run

    again = "give the same command with --resume auto to go on"
    with resumable(again):
        metrics = run(recipe, resume=resume, force=force)
    if json:
        return show.tree(metrics)
    out = recipe.out
    show.facts(_facts(metrics))
    show.line()
    show.line("next:")
    show.line(f"  inlay show {shlex.quote(str(out))}/model")
    return show.line(f"  inlay runs {shlex.quote(str(out))}")


def _recipe(path: Path, assign: list[str]) -> "Pretrain":
    """The recipe of the file, changed by what is said on the command line."""
    from inlay.config import load_yaml, override, parse_assignments
    from inlay.train.recipe import Pretrain

    return override(load_yaml(Pretrain, path), parse_assignments(assign))


def _facts(metrics: dict[str, Any]) -> dict[str, str]:
    """What a reader wants to know first."""
    found = {"steps": f"{metrics['steps']:,}", "tokens": f"{metrics['tokens']:,}"}
    found["seconds"] = f"{metrics['seconds']:,.1f}"
    if metrics["heldout_loss"] is not None:
        looked = {key.removeprefix("heldout_"): value for key, value in metrics.items() if key.startswith("heldout_")}
        found |= {f"held-out {name}": f"{x:.4f}" for name, x in looked.items() if name == "loss" or x != looked["loss"]}
    if metrics.get("unigram_entropy") is not None:
        found["unigram entropy"] = f"{metrics['unigram_entropy']:.4f}"
    return found


def _told(plan: dict[str, Any], json: bool) -> None:
    if json:
        return show.tree(plan)
    import yaml

    show.line(yaml.safe_dump(plan["config"], sort_keys=False, allow_unicode=True, width=120).rstrip())
    show.line()
    memory = {name: f"{size / _MB:,.0f} MB" for name, size in plan["memory"].items()}
    own = plan["objective_parameters"]
    show.facts(
        {
            "parameters": f"{plan['parameters']:,}" + (f", and {own:,} of the objective's own" if own else ""),
            "memory": f"about {memory['training']} to train with, {memory['weights']} of weights",
            "steps": f"{plan['steps']:,}",
            "tokens": f"{plan['tokens']:,}",
            "speed": f"{plan['tokens_per_s']:,.0f} tokens/s in {plan['measured_steps']} steps on this machine",
            "time": f"about {duration(plan['seconds'])} of training",
        }
    )
    return None
