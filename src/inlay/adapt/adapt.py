"""Adapt: a base encoder and documents in; a tuned encoder out if it shows that it is better, else the base."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inlay.adapt.config import AdaptConfig
from inlay.adapt.steps import Steps, Task
from inlay.adapt.tuning import place_of
from inlay.config import to_tree
from inlay.embed.folder import Parts, read_folder, verify
from inlay.errors import InputError
from inlay.evaluate.heldout import HeldOut
from inlay.files import lock, sha256
from inlay.stages import Run, fingerprint, nothing_left
from inlay.text.document import Document
from inlay.text.labelled import Alike, Answered


@dataclass(frozen=True, kw_only=True)
class AdaptReport:
    """Which model is to be used, and what was measured on the way."""

    kept: bool
    """The tuned model passed the gate and is kept; otherwise the base is."""
    why: tuple[str, ...]
    """The reasons, with their figures."""
    rows: tuple[dict[str, Any], ...]
    """Lines of a ladder: the base, and each point that was measured."""
    model: Path
    """The folder to use: that of the tuned model, or of the base."""
    share: float | None
    """How far the model that is kept lies on the way from the base to the tuned weights; None: it is the base."""
    figures: tuple[dict[str, Any], ...]
    """What the gate looked at, for each point."""
    learnt: dict[str, int]
    """How much was learnt from: pairs, negatives, words that became tokens."""
    stages: tuple[dict[str, Any], ...]
    """What each stage cost."""

    def tree(self) -> dict[str, Any]:
        """A plain tree for JSON."""
        return {**vars(self), "why": list(self.why), "model": str(self.model)}


def adapt(
    base: str | Path,
    documents: Sequence[Document],
    held: HeldOut,
    lang: str,
    config: AdaptConfig,
    folder: Path,
    *,
    seed: int,
    given: Sequence[Answered] | Sequence[Alike] = (),
    judged: Sequence[Alike] = (),
) -> AdaptReport:
    """Tune `base` to the documents, and keep the result only where the gate lets it pass.

    `held` says which documents are kept out of every pair, and asks the questions. `given` are labelled pairs, which
    take the place of mined ones: a fifth of them is held out, and is what must rise. `judged` are pairs with judgements
    of likeness on general text. The work stands in `folder`, where the same call goes on after a break; `base` is never
    written to. Same seed and threads, same result. Raises InputError for a base that is no encoder or whose vectors
    are made in a way that cannot be tuned, for pairs that nothing can be learnt from, and for a folder of other work.
    """
    parts = tunable(base)
    verify(parts)
    task = Task(
        parts=parts,
        documents=documents,
        held=held,
        lang=lang,
        config=config,
        seed=seed,
        given=given,
        judged=judged,
    )
    steps = Steps(task)  # what cannot be learnt from is told before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder), nothing_left(folder):
        run = Run(folder, _identity(task), resume=True)
        done = steps.make(run)
        return AdaptReport(
            kept=done.share is not None,
            why=done.why,
            rows=done.rows,
            model=done.model or parts.place,
            share=done.share,
            figures=done.figures,
            learnt=done.learnt,
            stages=tuple(run.costs),
        )


def tunable(base: str | Path) -> Parts:
    """What the base's folder holds; InputError for what is no encoder, is of an unknown family, or cannot be tuned."""
    from inlay.convert.convert import read_config

    parts = read_folder(base)
    if parts.kind == "static":
        raise InputError(f"{base}: is a static model, and an encoder is what is tuned; inlay fit makes static models")
    place_of(parts)
    read_config(parts.inner)
    return parts


def _identity(task: Task) -> dict[str, Any]:
    """What must be equal for the work to be gone on with."""
    from inlay import __version__

    held = task.held
    return {
        "inlay": __version__,
        "base": {path.name: sha256(path) for path in sorted(task.parts.inner.glob("*.safetensors"))},
        "documents": fingerprint([document.full for document in task.documents]),
        "held_out": fingerprint([list(held.positions), held.queries, list(held.texts)]),
        "lang": task.lang,
        "config": to_tree(task.config),
        "seed": task.seed,
        "given": fingerprint([to_tree(one) for one in task.given]),
        "judged": fingerprint([to_tree(one) for one in task.judged]),
    }
