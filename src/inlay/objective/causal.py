"""Causal language modelling: each token is told from those before it.

N packed tokens, M of them told.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.objective.language import need_head, on, token_nll
from inlay.objective.objective import Objective

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class CausalLM:
    """P(w₁…wₙ) = Π P(wᵢ | w₁…wᵢ₋₁): the mean error of every token but the first of its text.

    Radford et al. 2019 (GPT-2). Special tokens are told as others are. Nothing is drawn: a batch is asked the same
    each time.
    """

    texts: ClassVar[Literal["rows"]] = "rows"

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "CausalObjective":
        """The module; InputError for a model that sees what it must tell."""
        if model.encoder is not None or model.decoder is None or not model.decoder.causal:
            raise InputError(
                f"CausalLM predicts the next token, which {model.family or 'this model'} sees; "
                "take MaskedLM for an encoder, SpanCorruption or Denoise for an encoder with a decoder"
            )
        need_head(model, "language", "CausalLM")
        return CausalObjective()


@dataclass(frozen=True, eq=False)
class CausalExample:
    """Texts whose next tokens are asked for."""

    batch: Batch
    at: NDArray[np.int64]
    """(M,) the rows that have a next token."""
    labels: NDArray[np.int32]
    """(M,) that token."""

    @property
    def counts(self) -> dict[str, int]:
        return {"nll": len(self.at)}


class CausalObjective(Objective):
    """Every row tells the token after it."""

    def draw(self, batch: Batch, rng: np.random.Generator) -> CausalExample:
        follows = np.ones(len(batch.ids), bool)
        follows[batch.starts[batch.lengths > 0]] = False  # the first token of a text follows nothing
        labelled = np.flatnonzero(follows)
        return CausalExample(batch, labelled - 1, batch.ids[labelled])

    def terms(self, model: Model, example: CausalExample) -> dict[str, Tensor]:  # type: ignore[override]
        rows = model(example.batch)
        return {"nll": token_nll(model, rows[on(model, example.at)], on(model, example.labels))}
