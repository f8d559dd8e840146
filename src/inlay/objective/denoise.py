"""Denoising: the encoder reads a spoilt text, the decoder writes it as it was. Lewis et al. 2019 (BART).

N tokens, B texts.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import ModelConfig
from inlay.objective.corruptions import Corruption, Infilling, Marks, SentencePermutation
from inlay.objective.rewriting import Ends, Rewriting, RewritingObjective, need_writer
from inlay.objective.tokens import check_ids

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Denoise:
    """The mean error of writing the whole text, with what stands around it, from what corruptions have left of it.

    Lewis et al. 2019, arXiv:1910.13461; without more said, the two corruptions that it found best together.
    """

    texts: ClassVar[Literal["rows", "pairs", "sentences"]] = "rows"
    corruptions: tuple[Corruption, ...] = (SentencePermutation(), Infilling())
    """What is done to a text, in this order."""

    def __post_init__(self) -> None:
        if not self.corruptions:
            raise InputError("corruptions=() leaves nothing to undo; BART takes (SentencePermutation(), Infilling())")

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "DenoiseObjective":
        """The module; InputError for a model that does not write, or a tokenizer that lacks what a corruption needs."""
        need_writer(model, "Denoise")
        ends = Ends.of(model, tokenizer, "Denoise")
        return DenoiseObjective(self, Marks.of(tokenizer, ends.around, self.corruptions), ends)


class DenoiseObjective(RewritingObjective):
    """The target is the text itself, ended where it is open."""

    def __init__(self, config: Denoise, marks: Marks, ends: Ends) -> None:
        super().__init__()
        self.config, self.marks, self.ends = config, marks, ends

    def draw(self, batch: Batch, rng: np.random.Generator) -> Rewriting:
        check_ids(batch, len(self.marks.fixed))
        source = Batch(ids=batch.ids, lengths=batch.lengths, cut=batch.cut)
        for corruption in self.config.corruptions:
            source = corruption.apply(source, self.marks, rng)
        after = np.cumsum(batch.lengths)
        is_open = batch.lengths > 0
        is_open[is_open] = batch.ids[after[is_open] - 1] != self.ends.stop
        labels = np.insert(batch.ids, after[is_open], self.ends.stop)
        return Rewriting.of(source, labels, batch.lengths + is_open, self.ends.start)
