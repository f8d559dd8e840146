"""The ladder: every rung made and measured on the held-out questions, a stage each; what is shipped, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inlay.config import from_tree, to_tree
from inlay.embed.rungs import RUNGS, Rung
from inlay.embed.static import StaticEmbedder
from inlay.evaluate import choice as choosing
from inlay.files import read_json, write_json
from inlay.pipeline import base, encoder
from inlay.pipeline.ground import Ground
from inlay.pipeline.measured import RESULT, TABLE, Measured, note, rung_table
from inlay.stages import Run


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """What was measured, and what is shipped of it."""

    rows: list[dict[str, Any]]
    choice: choosing.Choice
    losses: dict[str, list[float]]
    """Of the rungs that were tuned."""
    encoder: Path | None
    """Folder of the encoder that is shipped, or that the shipped table is fitted to."""


def climb(run: Run, ground: Ground) -> Ladder:
    """Every rung, a stage each, and the choice."""
    bench = choosing.Bench(ground.held, ground.lang)
    found = Measured()
    dense, why = _static(run, ground, bench, found)
    members = [bench.member(dense, StaticEmbedder(ground.tokenizer, rung_table(run, dense)))]
    reasons = [why]
    if (trained := encoder.measure(run, ground, bench, found, dense)) is not None:
        members.append(trained)
    tuned = base.Tuned(folder=Path())
    if ground.config.base is not None:
        tuned = base.tuned(run, ground)
        members = [*base.measure(run, ground, bench, found, tuned), *members]
        reasons = [*tuned.why, f"of what learns from the text alone, {why}"]
    ship = base.shipped(ground.config)

    def fuse(part: Path) -> None:
        rows, choice = choosing.decide(bench, members, reasons, ship=ship)
        write_json(part / RESULT, {"rows": rows, "choice": to_tree(choice)})

    fusion = read_json(run.stage("fusion", fuse) / RESULT)
    choice = from_tree(choosing.Choice, fusion["choice"])
    bm25, *fused = fusion["rows"]
    place = {base.BASE: tuned.folder, base.FITTED: tuned.folder, encoder.ENCODER: encoder.folder(run)}
    rows = [bm25, *found.rows, *tuned.rows, *fused]
    return Ladder(rows=rows, choice=choice, losses=found.losses, encoder=place.get(choice.dense))


def _static(run: Run, ground: Ground, bench: choosing.Bench, found: Measured) -> tuple[str, str]:
    """The token tables, and of them the best one's name and why it is taken."""
    material = ground.measured()
    for step in RUNGS:
        if step.needs_vectors and ground.vectors is None:
            continue
        if step.needs_pairs and len(material.documents) < 2:
            continue

        def make(part: Path, step: Rung = step) -> None:
            table, losses = step.build(material)
            np.save(part / TABLE, table, allow_pickle=False)
            note(bench, bench.member(step.name, StaticEmbedder(ground.tokenizer, table)), losses, part)

        found.add(step.name, step.what, run.stage(f"rung {step.name}", make), run)
    return choosing.choose_dense(found.results)
