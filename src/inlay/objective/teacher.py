"""Teacher: the model that a student learns from, and what each of the two makes of one batch.

N tokens, D model, L layers.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.init import draw
from inlay.model.model import Model, ModelConfig
from inlay.model.packed import Packed
from inlay.model.stack import Stack, Transformer

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model that is asked and never changed; no module, so that nobody trains, saves or counts it."""

    model: Model
    tokenizer: "Tokenizer"
    name: str = ""
    """What it is called where a run is written down."""

    @classmethod
    def load(cls, place: str | Path) -> Self:
        """The model in a folder or on the hub, with the tokenizer beside it."""
        from inlay.convert.convert import load_pair

        return cls(*load_pair(place), name=str(place))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Its name and the sum of its weights: what must be equal for a run to be resumed. Plain JSON."""
        found = hashlib.sha256()
        for name, weight in self.model.state_dict().items():
            found.update(name.encode())
            found.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return {"name": self.name, "weights": found.hexdigest()}

    def check(self, student: ModelConfig, tokenizer: "Tokenizer") -> None:
        """InputError where a student of this architecture and vocabulary cannot be compared with the teacher."""
        one_stack(student, "the student")
        one_stack(self.model.config, "the teacher")
        ours, theirs = tokenizer.vocabulary, self.tokenizer.vocabulary
        if ours != theirs:
            token = next(token for token in (*ours, *theirs) if ours.get(token) != theirs.get(token))
            raise InputError(
                f"teacher and student must share a vocabulary, but {token!r} has id {theirs.get(token)} in the "
                f"teacher's and {ours.get(token)} in the student's; take the teacher's tokenizer"
            )
        if student.vocab_size != self.model.config.vocab_size:
            raise InputError(
                f"the teacher's token table has {self.model.config.vocab_size} rows, the student's "
                f"{student.vocab_size}; set input.vocab_size={self.model.config.vocab_size}"
            )

    @torch.no_grad()
    def read(self, batch: Batch, packed: Packed, *, states: bool) -> "Reading":
        """What the teacher makes of the batch: nothing left out at random, no gradient, on the student's device."""
        model, device = self.model, packed.layout.device
        if model.device != device:
            model.to(device)
        if model.training:
            model.eval()
        model.input.check(batch.ids, batch.segments)
        return Reading.of(model, packed, states=states)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model of one stack makes of a batch."""

    model: Model
    packed: Packed
    rows: Tensor
    """(N, D) the last rows."""
    states: list[Tensor]
    """(N, D) before the first layer and after each, L + 1; empty where nobody asked."""

    @classmethod
    def of(cls, model: Model, packed: Packed, *, states: bool) -> Self:
        """The model's reading, with its gradient where there is one."""
        found: list[Tensor] = []
        rows = model(packed, states=found if states else None)
        return cls(model, packed, rows, found)

    @property
    def stack(self) -> Transformer:
        """The one stack."""
        found = self.model.encoder or self.model.decoder
        assert found is not None
        return found


def one_stack(config: ModelConfig, whose: str) -> Stack:
    """The stack of a model that has one; InputError for one that reads and writes."""
    if config.encoder is not None and config.decoder is not None:
        raise InputError(f"{whose} has an encoder and a decoder; distillation compares models of one stack")
    found = config.encoder or config.decoder
    assert found is not None
    return found


def projection(student: int, teacher: int, rng: torch.Generator) -> nn.Module:
    """(…, student) -> (…, teacher): nothing where the widths are equal, else a learned matrix drawn from `rng`."""
    if student == teacher:
        return nn.Identity()
    found = nn.Linear(student, teacher, bias=False)
    with torch.no_grad():
        draw(found.weight, student**-0.5, rng)
    return found
