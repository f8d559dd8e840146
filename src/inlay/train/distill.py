"""Distillation: a teacher and raw text in, a smaller model out, in a run folder like that of a pretraining.

shards → student → the steps → model/ and metrics.json, where teacher and student stand side by side.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inlay.config import to_tree
from inlay.convert import save_model
from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.model.student import EverySecond, StudentConfig, make_student
from inlay.objective.distill import Distill, DistillObjective, Whole
from inlay.objective.distill_table import Table, TableObjective, TokenTable
from inlay.objective.masked import MaskedLM
from inlay.objective.objective import Objective
from inlay.objective.teacher import Teacher
from inlay.text.corpus import Corpus
from inlay.text.pack import Batches, Rows, Sentences
from inlay.text.shardfile import SHARDS as FACTS
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train import heldout
from inlay.train.architecture import check_savable
from inlay.train.folder import SHARDS, opened
from inlay.train.learner import Learner
from inlay.train.pretrain import Work
from inlay.train.recipe import Data, Pretrain
from inlay.train.run import FREE, Run, RunConfig
from inlay.train.trainer import Trainer
from inlay.train.world import check, join


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """A distillation from raw text. The tokenizer is the teacher's."""

    data: Data = field(default_factory=Data)
    """The text."""
    student: StudentConfig | None = None
    """What of the teacher the student is; null: every second layer, copied. A TokenTable takes none."""
    objective: Distill | TokenTable = field(default_factory=Distill)
    """The teacher, and what is learned from it."""
    train: RunConfig = field(default_factory=RunConfig)
    """How long and how hard the student learns."""
    out: Path | None = None
    """The run folder."""
    seed: int = 0
    """Of everything that is drawn by chance."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed={self.seed} must be at least 0 and below 2^63")
        if isinstance(self.objective, TokenTable) and self.student is not None:
            raise InputError("a TokenTable has no layers to take over; leave student out")

    def resolved(self) -> "Distillation":
        """The same with all that is left open decided; InputError where something is missing."""
        if not self.data.sources and self.data.shards is None:
            raise InputError("data.source is missing; name a file, a folder or a data set, or shards: data.shards=DIR")
        if not self.objective.teacher:
            raise InputError("objective.teacher is missing; name the teacher's folder, or its name on the hub")
        table = isinstance(self.objective, TokenTable)
        packing = self.data.packing or (Sentences() if table else Rows())
        student = self.student or (None if table else EverySecond())
        return replace(self, student=student, data=replace(self.data, packing=packing))

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be gone on with: all but how long, where, and what is kept."""
        tree = to_tree(self)
        tree["train"] = {key: value for key, value in tree["train"].items() if key not in FREE}
        del tree["out"]
        return tree


def distill(config: Distillation, *, resume: str | Path | None = None, force: bool = False) -> dict[str, Any]:
    """Train the student and give what is in its metrics.json; the folder is `config.out`.

    The metrics hold the error on held-out text of the teacher and of the student, before and after. `resume` and
    `force` are those of `pretrain`. Raises InputError before anything is written for all that does not go together.
    """
    with join(config.train.place()) as world:
        config = config.resolved()
        check(world, config.train.accumulate)
        place = config.objective.teacher  # on the hub, perhaps: the first process gets it for all of a machine
        teacher = world.lead(lambda: Teacher.load(place)) or Teacher.load(place)
        model, objective = _begun(config, teacher)
        work = _work(config, teacher, resume, read=world.first)
        identity = {"config": config.identity(), "teacher": teacher.identity}
        with opened(config, world, resume=resume, force=force, check=lambda: identity) as folder:
            tokenizer = Tokenizer.load(folder.stage("tokenizer", teacher.tokenizer.save))
            shards = folder.shards(work.shards, tokenizer, config.data.shards)
            held = work.packed(shards, "heldout") if shards.facts.heldout.documents else None
            trainer = Trainer(
                model.to(world.device),
                objective,
                work.packed(shards, "train"),
                config.train,
                seed=config.seed,
                world=world,
            )
            beside = _before(config, trainer, teacher, held)
            run = Run(folder.path, trainer, config.train, held, begin=folder.begin, label="distill")
            for _ in run:
                pass
            save = _save_table if isinstance(objective, TableObjective) else save_model
            return run.finish(teacher.tokenizer, save=save, **beside)


def _begun(config: Distillation, teacher: Teacher) -> tuple[Any, Objective]:
    """The student as it begins, and its objective; InputError where they do not fit, or could not be saved."""
    assert config.data.packing is not None
    if teacher.model.input.position is not None:
        teacher.model.input.position.check(config.data.packing.length)
    if isinstance(config.objective, TokenTable):
        return config.objective.table(teacher), config.objective.build(teacher)
    assert config.student is not None
    student = make_student(teacher.model, config.student, heads=["language"], seed=config.seed)
    check_savable(student.config)
    objective = config.objective.build(student.config, teacher.tokenizer, seed=config.seed, teacher=teacher)
    return student, objective


def _work(config: Distillation, teacher: Teacher, resume: str | Path | None, *, read: bool) -> Work:
    """The part of the run that is a pretraining's: text to shards to batches; `read` makes them of the text."""
    task = config.objective.task_for(teacher.model.config) if isinstance(config.objective, Distill) else None
    objective = MaskedLM() if task is None or isinstance(task, Whole) else task
    recipe = Pretrain(data=config.data, objective=objective, train=config.train, seed=config.seed)
    shards = config.data.shards or (config.out or Path()) / SHARDS
    read = read and bool(config.data.sources) and not (resume is not None and (shards / FACTS).is_file())
    return Work(recipe, Corpus(*config.data.sources, config=config.data.corpus) if read else None)


def _before(config: Distillation, trainer: Trainer, teacher: Teacher, held: Batches | None) -> dict[str, Any]:
    """The errors on held-out text of the teacher, asked what the student is asked, and of the student as it begins."""
    found: dict[str, Any] = {"teacher": dict(teacher.identity), "before": None}
    if held is None:
        return found
    objective = trainer.objective

    def errors(learner: Learner) -> dict[str, float]:
        most = config.train.evaluate_batches
        found = heldout.evaluate(learner, held, seed=config.seed, most=most, world=trainer.world)
        return {f"heldout_{name}": value for name, value in found.items()}

    if isinstance(objective, DistillObjective) and objective.task is not None:
        told = errors(Learner(teacher.model.to(trainer.model.device), objective.task))
        del told["heldout_loss"]  # it has another meaning than the student's, which is of all parts
        found["teacher"] |= told
    return found | {"before": errors(trainer.learner)}


def _save_table(table: Table, place: Path, *, tokenizer: Tokenizer, force: bool) -> None:
    """Write the table as a static model, which every embedder opens."""
    StaticEmbedder(tokenizer, table.rows()).save(place)
