"""Distill: a student reads what its teacher reads, and is to make of it what its teacher makes. Sanh et al. 2019.

N tokens, M chosen tokens, B texts.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.objective.causal import CausalExample, CausalLM, CausalObjective
from inlay.objective.distill_layers import Attention, Cosine, Hidden
from inlay.objective.distill_logits import Logits
from inlay.objective.distill_part import Asked, PartModule, Sizes, check_weight
from inlay.objective.distill_vectors import SentenceVectors
from inlay.objective.language import on, token_nll
from inlay.objective.masked import MaskedExample, MaskedLM, MaskedObjective
from inlay.objective.objective import Objective
from inlay.objective.teacher import Reading, Teacher

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

Part = Logits | Hidden | Attention | Cosine | SentenceVectors


@dataclass(frozen=True, kw_only=True)
class Whole:
    """Nothing is asked of the student itself, and texts are read as they are."""


@dataclass(frozen=True, kw_only=True)
class Distill:
    """The student's own task and the parts of what its teacher makes of the same texts, added by weight.

    The defaults are DistilBERT's: 5 of logits, 2 of its own masked tokens, 1 of the cosine (Sanh et al. 2019,
    arXiv:1910.01108). TinyBERT's first stage is `task: {kind: Whole}, parts: [{kind: Hidden}, {kind: Attention}]`.
    """

    texts: ClassVar[Literal["rows", "pairs", "sentences"]] = "rows"
    teacher: str = ""
    """The teacher's folder, or its name on the hub."""
    parts: tuple[Part, ...] = (Logits(), Cosine())
    """What is compared; each kind once."""
    task: MaskedLM | CausalLM | Whole | None = None
    """What the student is asked itself, and how texts are changed for that; null: MaskedLM, or CausalLM for a teacher
    that looks back only."""
    weight: float = 2.0
    """What the student's own error is multiplied by in the loss."""

    def __post_init__(self) -> None:
        check_weight(self.weight)
        names = [part.name for part in self.parts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"parts name {twice[0]} twice; give its layers in one map")
        if isinstance(self.task, Whole) and "logits" in names:
            raise InputError("Logits compares the tokens that a task chooses; set task: {kind: MaskedLM} or CausalLM")
        if not any(part.weight for part in self.parts):
            raise InputError("no part of the teacher is learned from; give one a weight above 0")

    def build(
        self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0, teacher: Teacher | None = None
    ) -> "DistillObjective":
        """The module; InputError where student, teacher, task and parts do not fit each other.

        `teacher` is one that is in memory already; otherwise it is loaded from where the config says.
        """
        if teacher is None:
            if not self.teacher:
                raise InputError("Distill needs a teacher: name its folder, objective.teacher=DIR")
            teacher = Teacher.load(self.teacher)
        teacher.check(model, tokenizer)
        asked, task = self.task_for(teacher.model.config), None
        if not isinstance(asked, Whole):
            task = asked.build(model, tokenizer, seed=seed)
            asked.build(teacher.model.config, tokenizer, seed=seed)  # says where the teacher has no such task
        rng = torch.Generator().manual_seed(seed)
        parts: dict[str, PartModule] = {part.name: part.build(model, teacher.model.config, rng) for part in self.parts}
        return DistillObjective(self, teacher, task, parts)

    def task_for(self, teacher: ModelConfig) -> MaskedLM | CausalLM | Whole:
        """The student's own task: the one that is said, or that which fits the teacher."""
        return self.task or (MaskedLM() if teacher.decoder is None else CausalLM())


@dataclass(frozen=True, eq=False)
class DistillExample:
    """Texts as student and teacher read them, and the tokens that the student's own task asks for."""

    batch: Batch
    at: np.ndarray
    """(M,) the rows of the chosen tokens."""
    labels: np.ndarray
    """(M,) what those tokens are."""
    counts: dict[str, int]
    """What the mean of each term goes over."""


class DistillObjective(Objective):
    """The teacher is asked once for each batch, without a gradient; it is no part of this module's weights."""

    def __init__(
        self,
        config: Distill,
        teacher: Teacher,
        task: MaskedObjective | CausalObjective | None,
        parts: dict[str, PartModule],
    ) -> None:
        super().__init__()
        self.teacher, self.task = teacher, task
        self.parts = nn.ModuleDict(parts)
        self.own = {MaskedObjective: "mlm", CausalObjective: "nll"}.get(type(task), "")
        """The student's own term, named as its task names it."""
        self.weights = {self.own: config.weight} if self.own else {}
        self.weights |= {part.name: part.weight for part in config.parts}
        self._layers = any(part.layers for part in parts.values())

    @property
    def identity(self) -> dict[str, Any]:
        """The teacher that a resumed run must have, too; plain JSON."""
        return {"teacher": self.teacher.identity}

    def draw(self, batch: Batch, rng: np.random.Generator) -> DistillExample:
        at: NDArray[np.integer] = np.zeros(0, np.int64)
        labels = at
        if self.task is not None:
            example: MaskedExample | CausalExample = self.task.draw(batch, rng)
            batch, at, labels = example.batch, example.at, example.labels
        sizes = Sizes(tokens=len(batch.ids), chosen=len(at), texts=len(batch))
        counts = {self.own: sizes.chosen} if self.own else {}
        counts |= {name: part.count(sizes) for name, part in self._parts()}
        return DistillExample(batch, at, labels, counts)

    def terms(self, model: Model, example: DistillExample) -> dict[str, Tensor]:  # type: ignore[override]
        packed, at = model.pack(example.batch), on(model, example.at)
        student = Reading.of(model, packed, states=self._layers)
        teacher = self.teacher.read(example.batch, packed, states=self._layers)
        asked = Asked(student, teacher, at)
        found = {name: part.error(asked) for name, part in self._parts()}
        if self.own:
            found[self.own] = token_nll(model, student.rows[at], on(model, example.labels))
        return found

    def _parts(self) -> list[tuple[str, PartModule]]:
        return list(self.parts.items())  # type: ignore[arg-type]
