"""Sentence pairs: beside what is masked, whether the two segments of a text stand as they stood in their document.

B texts of two segments each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.model.relative import XLRelative
from inlay.objective.language import need_head, on, token_nll
from inlay.objective.masked import MaskedExample, MaskedLM, MaskedObjective, need_both_ways
from inlay.objective.masks import Harmonic, Spans
from inlay.objective.objective import Objective

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class NextSentence:
    """MLM + NSP: -mean log P(does B follow A), half of the pairs having a B of another document. arXiv:1810.04805.

    Labels are BERT's: 0 where B follows, 1 where it does not.
    """

    texts: ClassVar[Literal["pairs"]] = "pairs"
    other: ClassVar[Literal["document"]] = "document"
    """What the second segment is where it is not the next one."""

    masked: MaskedLM = field(default_factory=MaskedLM)
    """What is masked beside it."""

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "PairObjective":
        """The module; InputError for a model without the heads, or one that takes two segments for one."""
        return _build(self, "nsp", model, tokenizer, seed)


@dataclass(frozen=True, kw_only=True)
class SentenceOrder:
    """MLM + SOP: -mean log P(are A and B in their order), half of the pairs swapped. Lan et al. 2020, arXiv:1909.11942.

    Labels: 0 where they are in order, 1 where they are swapped.
    """

    texts: ClassVar[Literal["pairs"]] = "pairs"
    other: ClassVar[Literal["swapped"]] = "swapped"
    """What the pair is where it is not in order."""

    masked: MaskedLM = field(default_factory=lambda: MaskedLM(masks=Spans(lengths=Harmonic(longest=3))))
    """What is masked beside it; ALBERT takes spans of up to three words."""

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "PairObjective":
        """The module; InputError for a model without the heads, or one that takes two segments for one."""
        return _build(self, "sop", model, tokenizer, seed)


@dataclass(frozen=True, eq=False)
class PairExample:
    """Pairs with holes in them, and how each pair is."""

    name: str
    masked: MaskedExample
    labels: NDArray[np.int64]
    """(B,) 0 or 1."""

    @property
    def counts(self) -> dict[str, int]:
        pairs = len(self.labels)
        return {**self.masked.counts, self.name: pairs, f"{self.name}_accuracy": pairs}


class PairObjective(Objective):
    """The masked tokens, and the pair from the pooler's row of the same pass."""

    def __init__(self, name: str, masked: MaskedObjective) -> None:
        super().__init__()
        self.name, self.masked = name, masked
        self.weights: Mapping[str, float] = {f"{name}_accuracy": 0.0}

    def draw(self, batch: Batch, rng: np.random.Generator) -> PairExample:
        if batch.labels is None or len(batch.labels) != len(batch) or batch.segments is None:
            raise InputError(f"{self.name} asks about pairs, and this batch has none; pack the texts as SentencePairs")
        if not np.isin(batch.labels, (0, 1)).all():
            raise InputError(f"labels of pairs are 0 or 1, and one is {batch.labels.max()}; pack as SentencePairs")
        return PairExample(self.name, self.masked.draw(batch, rng), batch.labels)

    def terms(self, model: Model, example: PairExample) -> dict[str, Tensor]:  # type: ignore[override]
        masked, labels = example.masked, on(model, example.labels)
        packed = model.pack(masked.batch)
        rows = model(packed)
        answers = model.read("pair", rows, packed.layout).float()  # (B, 2)
        return {
            "mlm": token_nll(model, rows[on(model, masked.at)], on(model, masked.labels)),
            self.name: F.cross_entropy(answers, labels, reduction="sum"),
            f"{self.name}_accuracy": (answers.detach().argmax(-1) == labels).sum().float(),
        }


def _build(
    config: NextSentence | SentenceOrder, name: str, model: ModelConfig, tokenizer: "Tokenizer", seed: int
) -> PairObjective:
    objective = type(config).__name__
    need_both_ways(model, objective)
    need_head(model, "pair", objective)
    relative = model.encoder and model.encoder.relative  # compares segments, instead of adding them
    if model.input.n_segments < 2 and not isinstance(relative, XLRelative):
        raise InputError(
            f"{objective} has texts of two segments, and input.n_segments={model.input.n_segments} cannot tell them "
            "apart; set it to 2"
        )
    return PairObjective(name, config.masked.build(model, tokenizer, seed=seed))
