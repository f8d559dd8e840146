"""Distillation into a table: one vector for each token, whose mean over a text is to be the teacher's vector of it.

N tokens, B texts, V vocabulary, D model.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inlay.batch import Batch
from inlay.model.heads import pick
from inlay.model.input import Input
from inlay.model.model import ModelConfig
from inlay.model.packed import Packed
from inlay.objective.distill_vectors import Measure, Pool, vectors_apart
from inlay.objective.objective import Objective
from inlay.objective.teacher import Teacher, one_stack
from inlay.text.frame import frame_of
from inlay.tokenize.tokenizer import Tokenizer

_AT_ONCE = 2048


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """How far the mean of a text's token vectors is from the teacher's vector of the text, a mean over the texts.

    The table starts from what the teacher makes of each token alone, as Model2Vec does; from there it learns which
    tokens to make long, as they decide what a text is about, and which short.
    """

    texts: ClassVar[Literal["sentences"]] = "sentences"
    lr: ClassVar[float] = 1e-2
    """A step size of Adam that suits it, and that `inlay distill` takes: a row moves only where its token comes."""

    teacher: str = ""
    """The teacher's folder, or its name on the hub."""
    pool: Pool = "mean"
    """The teacher's vector of a text: its first row, its last one, or the mean of all."""
    measure: Measure = "cosine"
    """1 - cos, which leaves lengths free, or the mean square of the difference."""

    def build(self, teacher: Teacher) -> "TableObjective":
        """The module; it trains what `table` makes."""
        one_stack(teacher.model.config, "the teacher")
        return TableObjective(self, teacher)

    def table(self, teacher: Teacher) -> "Table":
        """The table to start from: (V, D), zero for tokens that stand for no text."""
        found = Table(teacher.tokenizer.size, teacher.model.config)
        ids = np.setdiff1d(np.fromiter(teacher.tokenizer.vocabulary.values(), np.int64), around(teacher.tokenizer))
        before, after = frame_of(teacher.tokenizer, 1).ids
        with torch.no_grad():
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                batch = Batch.of([[*before, int(one), *after] for one in some])
                found.input.table()[some] = _vectors(teacher, batch, self.pool).float().cpu()
        return found.to(teacher.model.device)


class Table(nn.Module):
    """(V, D) and nothing else: what a trainer takes for a model, with an input layer and no stack."""

    def __init__(self, size: int, teacher: ModelConfig) -> None:
        super().__init__()
        self.encoder = self.decoder = None
        self.config = teacher
        """The teacher's architecture: reading with it is nearly all that a step costs."""
        self.input = Input(vocab_size=size, dropout=0.0).build(teacher.d_model)
        nn.init.zeros_(self.input.table())

    @property
    def device(self) -> torch.device:
        """Where the table is."""
        return self.input.table().device

    def forward(self, batch: Batch) -> Tensor:
        """(B, D) the mean of each text's rows; a text without tokens is an InputError."""
        self.input.check(batch.ids, None)
        packed = Packed.of(batch, self.device)
        return pick(self.input(packed), packed.layout, "mean")

    def rows(self) -> NDArray[np.float32]:
        """The table (V, D), for an embedder."""
        return self.input.table().detach().float().cpu().numpy()


@dataclass(frozen=True, eq=False)
class TableExample:
    """The same texts twice: as the teacher reads them, and without the tokens that stand for no text."""

    read: Batch
    counted: Batch

    @property
    def counts(self) -> dict[str, int]:
        return {"vectors": len(self.counted)}


class TableObjective(Objective):
    """Texts without a token of their own are left out."""

    def __init__(self, config: TokenTable, teacher: Teacher) -> None:
        super().__init__()
        self.config, self.teacher = config, teacher
        self._around = around(teacher.tokenizer)

    @property
    def identity(self) -> dict[str, Any]:
        """The teacher that a resumed run must have, too; plain JSON."""
        return {"teacher": self.teacher.identity}

    def draw(self, batch: Batch, rng: np.random.Generator) -> TableExample:
        own = ~np.isin(batch.ids, self._around)
        texts = np.bincount(batch.rows[own], minlength=len(batch)) > 0
        here = texts[batch.rows]
        return TableExample(_part(batch, here, texts), _part(batch, own, texts))

    def terms(self, model: Table, example: TableExample) -> dict[str, Tensor]:  # type: ignore[override]
        if not len(example.counted):
            return {"vectors": model.input.table().sum() * 0}
        wanted = _vectors(self.teacher, example.read, self.config.pool, model.device)
        return {"vectors": vectors_apart(model(example.counted), wanted, self.config.measure)}


def around(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """The ids that stand for no text: all special tokens but the unknown one, which stands for some."""
    return np.array([tokenizer.id(token) for role, token in tokenizer.roles.items() if role != "unk"], np.int64)


def _vectors(teacher: Teacher, batch: Batch, pool: Pool, device: torch.device | None = None) -> Tensor:
    """(B, D) the teacher's vectors of the texts."""
    packed = Packed.of(batch, device or teacher.model.device)
    with torch.no_grad():
        return pick(teacher.read(batch, packed, states=False).rows, packed.layout, pool)


def _part(batch: Batch, tokens: NDArray[np.bool_], texts: NDArray[np.bool_]) -> Batch:
    """These tokens of these texts."""
    lengths = np.bincount(batch.rows[tokens], minlength=len(batch))[texts].astype(np.int64)
    segments = None if batch.segments is None else batch.segments[tokens]
    return replace(
        batch, ids=batch.ids[tokens], lengths=lengths, cut=batch.cut[texts], segments=segments, labels=None, words=None
    )
