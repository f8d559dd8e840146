"""What the stages of the ladder found: scores written and read back as plain trees, lines of the ladder, losses."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.evaluate.choice import Bench, Member, Result, row
from inlay.evaluate.retrieval import Scores
from inlay.files import read_json, write_json
from inlay.stages import Run

TABLE, RESULT = "table.npy", "result.json"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All rungs by name, in the order in which they were made."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """Lines of the ladder."""
    results: dict[str, Result] = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, what: str, made: Path, run: Run, *, stages: int = 1) -> None:
        """What the stage that has just ended found; so many of the last stages are what it took."""
        found = read_json(made / RESULT)
        self.results[name] = restore(found["scores"])
        if found["losses"]:
            self.losses[name] = found["losses"]
        seconds = sum(cost["seconds"] for cost in run.costs[-stages:])
        self.rows.append(row(name, "dense", what, self.results[name], seconds=seconds))


def note(bench: Bench, member: Member, losses: list[float], part: Path) -> None:
    """Measure a member alone, and leave what `Measured.add` reads."""
    write_json(part / RESULT, {"losses": losses, "scores": dump(bench.dense(member))})


def rung_table(run: Run, name: str) -> NDArray[np.float32]:
    """(V, D) the table of a rung that was measured."""
    table: NDArray[np.float32] = np.load(run.folder / f"rung {name}" / TABLE, allow_pickle=False)
    return table


def dump(result: Result) -> dict[str, Any]:
    """A plain tree of a method's scores."""
    return {kind: {name: values.tolist() for name, values in scores.values.items()} for kind, scores in result.items()}


def restore(tree: dict[str, Any]) -> Result:
    """What `dump` wrote."""
    return {
        kind: Scores(
            queries=[str(at) for at in range(len(values["ndcg@10"]))],
            values={k: np.array(v) for k, v in values.items()},
        )
        for kind, values in tree.items()
    }
