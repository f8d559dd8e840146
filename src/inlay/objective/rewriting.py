"""Reading a text with the encoder and writing another with the decoder: what SpanCorruption and Denoise share.

N tokens read, M tokens written, B texts.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch
from inlay.convert.convert import written_start
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.objective.language import need_head, on, token_nll
from inlay.objective.objective import Objective

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

Ids = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The ids that a written text begins and ends with, and those that only stand around and between texts."""

    start: int
    """What the decoder reads before it has written anything."""
    stop: int
    """What it writes last."""
    around: frozenset[int]
    """What no corruption touches: tokens that begin, end and part texts."""

    @classmethod
    def of(cls, model: ModelConfig, tokenizer: "Tokenizer", objective: str) -> Self:
        """The ends in this vocabulary; InputError for one that has no token for them.

        BART writes from the token that ends a text, T5 and all others from the padding.
        """
        stop = first_of(tokenizer, ("eos", "sep"))
        if stop is None:
            raise InputError(f"{objective} ends what is written, and this tokenizer has no eos or sep token; train one")
        start = written_start(model, tokenizer)
        if start is None:
            raise InputError(
                f"{objective} needs a token that the decoder begins with, and this tokenizer has no pad, bos or cls "
                "token; train one with specials=('[PAD]', …)"
            )
        found = (first_of(tokenizer, (role,)) for role in ("pad", "bos", "cls", "eos", "sep"))
        return cls(start=start, stop=stop, around=frozenset(one for one in found if one is not None))

    def fixed(self, ids: Ids) -> NDArray[np.bool_]:
        """(N,) True for what only stands around texts."""
        return np.isin(ids, list(self.around))


@dataclass(frozen=True, eq=False)
class Rewriting:
    """Texts to read, and what is to be written of each."""

    source: Batch
    """What the encoder reads."""
    target: Batch
    """What the decoder reads: the start, then all that it has to write but the last."""
    labels: Ids
    """(M,) what is to be written where the decoder reads each of these."""

    @classmethod
    def of(cls, source: Batch, labels: Ids, lengths: NDArray[np.int64], start: int) -> Self:
        """The example of writing `labels`, so many for each text, after `start`."""
        begins = np.cumsum(lengths) - lengths
        ids = np.empty_like(labels)
        ids[1:] = labels[:-1]
        ids[begins[lengths > 0]] = start
        return cls(source, Batch(ids=ids, lengths=lengths, cut=np.zeros_like(lengths)), labels)

    @property
    def counts(self) -> dict[str, int]:
        return {"nll": len(self.labels)}


class RewritingObjective(Objective):
    """Every token that is written is told from the source and from those written before it."""

    def terms(self, model: Model, example: Rewriting) -> dict[str, Tensor]:  # type: ignore[override]
        rows = model(example.source, example.target)
        return {"nll": token_nll(model, rows, on(model, example.labels))}


def need_writer(model: ModelConfig, objective: str) -> None:
    """InputError for a model that does not read one text and write another."""
    if model.encoder is None or model.decoder is None or not model.decoder.causal:
        raise InputError(
            f"{objective} reads one text and writes another, which takes an encoder and a causal decoder; "
            f"{model.family or 'this model'} has one stack: take "
            + ("MaskedLM" if model.decoder is None or not model.decoder.causal else "CausalLM")
        )
    need_head(model, "language", objective)


def first_of(tokenizer: "Tokenizer", roles: tuple[str, ...]) -> int | None:
    """The id of the first of these roles that the tokenizer has a token for."""
    return next((tokenizer.id(tokenizer.roles[role]) for role in roles if role in tokenizer.roles), None)
