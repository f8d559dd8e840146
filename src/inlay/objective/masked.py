"""Masked language modelling: hidden tokens are told from both sides of them. Devlin et al. 2019 (BERT).

N packed tokens, M chosen ones.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.objective.language import need_head, on, token_nll
from inlay.objective.masks import Dynamic, Masks, choose
from inlay.objective.objective import Objective
from inlay.objective.tokens import Tokens, role_id

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class MaskedLM:
    """-mean log P(wᵢ | the text with holes) over the chosen tokens i alone: arXiv:1810.04805.

    Special tokens are never chosen, and no random token is one. Each text gives the share p of the others, rounded up
    or down at random so that it is p in the mean; a batch gives one at least.
    """

    texts: ClassVar[Literal["rows"]] = "rows"

    p: float = 0.15
    """Share of the tokens to predict; more often suits small models."""
    masks: Masks = field(default_factory=Dynamic)
    """Which they are."""
    mask: float = 0.8
    """Share of those that become the mask token."""
    random: float = 0.1
    """Share of those that become a random token; what is left over stays as it is."""

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise InputError(f"p={self.p} must be above 0 and at most 1; 0.15 is usual")
        if not (self.mask >= 0 and self.random >= 0 and self.mask + self.random <= 1 + 1e-9):
            raise InputError(f"mask={self.mask} and random={self.random} must be shares of one whole; try 0.8 and 0.1")

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "MaskedObjective":
        """The module; InputError for a model that does not look both ways, or a tokenizer without a mask token."""
        need_both_ways(model, "MaskedLM")
        need_head(model, "language", "MaskedLM")
        return MaskedObjective(
            self, Tokens.of(tokenizer, model.vocab_size), role_id(tokenizer, "mask", "MaskedLM"), seed
        )


@dataclass(frozen=True, eq=False)
class MaskedExample:
    """Texts with holes, and what was there."""

    batch: Batch
    """The texts that the model sees."""
    at: NDArray[np.int64]
    """(M,) the chosen places."""
    labels: NDArray[np.int32]
    """(M,) the tokens that stood there."""

    @property
    def counts(self) -> dict[str, int]:
        return {"mlm": len(self.at)}


class MaskedObjective(Objective):
    """The chosen tokens, told from the text with holes."""

    def __init__(self, config: MaskedLM, tokens: Tokens, mask: int, seed: int) -> None:
        super().__init__()
        self.config, self.tokens, self.mask, self.seed = config, tokens, mask, seed

    def draw(self, batch: Batch, rng: np.random.Generator) -> MaskedExample:
        config, tokens = self.config, self.tokens
        chosen = choose(config.masks, batch, tokens, config.p, rng, seed=self.seed)
        ids, at = batch.ids.copy(), chosen.at
        ids[at[chosen.fate < config.mask]] = self.mask
        swapped = (chosen.fate >= config.mask) & (chosen.fate < config.mask + config.random)
        ids[at[swapped]] = tokens.drawn[(chosen.token[swapped] * len(tokens.drawn)).astype(np.int64)]
        return MaskedExample(replace(batch, ids=ids), at, batch.ids[at])

    def terms(self, model: Model, example: MaskedExample) -> dict[str, Tensor]:  # type: ignore[override]
        rows = model(example.batch)
        return {"mlm": token_nll(model, rows[on(model, example.at)], on(model, example.labels))}


def need_both_ways(config: ModelConfig, objective: str) -> None:
    """InputError where the architecture is no encoder alone, whose tokens see what is on both sides."""
    name = config.family or "this model"
    if config.encoder is None:
        raise InputError(f"{objective} reads a text both ways, and {name} looks back only; take CausalLM")
    if config.decoder is not None:
        raise InputError(
            f"{objective} is for an encoder alone, and {name} has a decoder; take SpanCorruption or Denoise"
        )
    if config.encoder.causal:
        raise InputError(
            f"{objective} reads a text both ways, and this encoder looks back only; set encoder.causal=false"
        )
