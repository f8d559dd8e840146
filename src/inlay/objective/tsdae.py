"""TSDAE: a text is written from one vector of what deletion has left of it, so that the vector must hold the text.

Wang et al. 2021, arXiv:2104.06979. N tokens read, M tokens written, B texts, D model.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError, did_you_mean
from inlay.model.heads import Inner, LanguageHead, LanguageModule, pick
from inlay.model.init import Undrawn, initialise
from inlay.model.model import Memory, Model, ModelConfig
from inlay.model.packed import Layout
from inlay.model.stack import Stack, Transformer
from inlay.objective.corruptions import Deletion, Marks
from inlay.objective.crossentropy import cross_entropy
from inlay.objective.language import on
from inlay.objective.objective import Objective
from inlay.objective.rewriting import Ends, Rewriting, first_of
from inlay.objective.tokens import check_ids, role_id

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TSDAE:
    """The mean error of writing a text from the one vector that an encoder makes of it with most tokens left out.

    The decoder that writes is the objective's own and is forgotten after training: the encoder's stack again, causal,
    that reads and writes by the encoder's input layer, and sees nothing of the text but its vector. Its layers have
    weights of their own, drawn anew; the paper also shares those with the encoder.
    """

    texts: ClassVar[Literal["rows", "pairs", "sentences"]] = "sentences"
    share: float = 0.6
    """Of the tokens, how many are left out."""
    pool: Literal["cls", "mean"] = "cls"
    """A text's vector: the row of its cls token, wherever the tokenizer puts it, or the mean of all rows."""
    n_layers: int = 0
    """Layers of the decoder; 0 for as many as the encoder has."""

    def __post_init__(self) -> None:
        Deletion(share=self.share)
        if self.pool not in ("cls", "mean"):
            raise InputError(f"pool={self.pool!r} is unknown{did_you_mean(self.pool, ('cls', 'mean'))}")
        if self.n_layers < 0:
            raise InputError(f"n_layers={self.n_layers} must be at least 1; 0 means as many as the encoder has")

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "TSDAEObjective":
        """The module, its decoder drawn from `seed`; InputError for a model that is no encoder alone."""
        if model.encoder is None or model.decoder is not None:
            found = f"{model.family or 'this model'} is " + ("none" if model.encoder is None else "more")
            other = "CausalLM" if model.encoder is None else "Denoise or SpanCorruption"
            raise InputError(f"TSDAE teaches an encoder alone, and {found}: take {other}")
        ends = Ends.of(model, tokenizer, "TSDAE")
        start = first_of(tokenizer, ("cls", "bos", "pad"))
        assert start is not None, "Ends has found one of them"
        cls = role_id(tokenizer, "cls", "TSDAE with pool='cls'") if self.pool == "cls" else None
        with Undrawn():
            decoder = self._stack(model.encoder).build()
            head = LanguageHead(inner=None if model.d_embed == model.d_model else Inner()).build(model)
        assert isinstance(head, LanguageModule)
        marks = Marks.of(tokenizer, ends.around, ())
        objective = TSDAEObjective(self, decoder, head, marks, replace(ends, start=start), cls)
        initialise(objective, model.init, torch.Generator().manual_seed(seed))
        return objective

    def _stack(self, encoder: Stack) -> Stack:
        layers = self.n_layers or encoder.n_layers
        unique = min(encoder.n_unique, layers)
        return replace(encoder, n_layers=layers, n_unique=unique, causal=True, cross=True, pruned=())


class TSDAEObjective(Objective):
    """Parameters: decoder, and head, which has a number for each token beside the model's own table."""

    def __init__(
        self, config: TSDAE, decoder: Transformer, head: LanguageModule, marks: Marks, ends: Ends, cls: int | None
    ) -> None:
        super().__init__()
        self.config, self.decoder, self.head = config, decoder, head
        self.marks, self.ends, self.cls = marks, ends, cls

    def draw(self, batch: Batch, rng: np.random.Generator) -> Rewriting:
        """Empty texts have no vector, and are left out."""
        check_ids(batch, len(self.marks.fixed))
        fixed, filled = self.marks.fixed[batch.ids], batch.lengths > 0
        keep = Deletion(share=self.config.share).kept(batch, self.marks, rng)
        source = Batch(
            ids=batch.ids[keep],
            lengths=np.bincount(batch.rows[keep], minlength=len(batch))[filled],
            cut=batch.cut[filled],
            segments=None if batch.segments is None else batch.segments[keep],
        )
        told = np.bincount(batch.rows[~fixed], minlength=len(batch))[filled]
        labels = np.insert(batch.ids[~fixed], np.cumsum(told), self.ends.stop)
        return Rewriting.of(source, labels, told + 1, self.ends.start)

    def terms(self, model: Model, example: Rewriting) -> dict[str, Tensor]:  # type: ignore[override]
        source, target = model.pack(example.source), model.pack(example.target)
        vectors = pick(model(source), source.layout, self.place(example.source))  # (B, D)
        memory = Memory(vectors, Layout([1] * len(vectors), model.device))
        rows = model.run(self.decoder, target, memory=memory)  # (M, D)
        return {"nll": cross_entropy(*self.head.compared(rows, model.input.table()), on(model, example.labels))}

    def place(self, batch: Batch) -> Literal["first", "last", "mean"]:
        """Which rows make the vectors; InputError where the texts do not have their cls token in one place."""
        if self.cls is None:
            return "mean"
        last = np.cumsum(batch.lengths) - 1
        if (batch.ids[batch.starts] == self.cls).all():
            return "first"
        if (batch.ids[last] == self.cls).all():
            return "last"
        raise InputError(
            "TSDAE reads the row of a text's cls token, and there are texts that neither begin nor end with it; "
            "pack them with specials=True, or take pool='mean'"
        )
