"""Permuted language modelling: some tokens are told one after another in a drawn order. Yang et al. 2019 (XLNet).

N packed tokens, B texts, M told ones.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.mask import Permutation
from inlay.model.model import Model, ModelConfig, Queries
from inlay.objective.language import need_head, on, token_nll
from inlay.objective.masked import need_both_ways
from inlay.objective.masks import Dynamic, Harmonic, Spans, WholeWord, choose
from inlay.objective.objective import Objective
from inlay.objective.tokens import Tokens

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class PermutedLM:
    """-mean log P(wᵢ | the tokens before i in a drawn order): the last tokens of the order are told. arXiv:1906.08237.

    What is not told comes first and is the context of all, specials too; those that are told follow in an order drawn
    for each text. Two streams: one of rows that know their token, one of rows that know only where they stand.
    """

    texts: ClassVar[Literal["rows"]] = "rows"

    share: float = 1 / 6
    """Share of the tokens to tell, specials left aside: the paper's 1/K."""
    masks: Dynamic | WholeWord | Spans = field(default_factory=lambda: Spans(lengths=Harmonic(longest=5)))
    """Which they are; XLNet tells spans of up to five words."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"share={self.share} must be above 0 and at most 1; 1/6 is usual")

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "PermutedObjective":
        """The module; InputError for a model without a second stream, or whose stream would not know where it is."""
        need_both_ways(model, "PermutedLM")
        need_head(model, "language", "PermutedLM")
        assert model.encoder is not None
        name = model.family or "this model"
        if not model.input.query:
            raise InputError(
                f"PermutedLM needs a second stream, and {name} has no row for it to start from; take an xlnet preset, "
                "or MaskedLM"
            )
        if model.encoder.relative is None or (model.encoder.local and model.encoder.local.relative is None):
            raise InputError(
                f"PermutedLM asks for tokens by where they stand, which {name} knows of no second stream; "
                "set encoder.relative, for example to {kind: XLRelative}"
            )
        return PermutedObjective(self, Tokens.of(tokenizer, model.vocab_size))


@dataclass(frozen=True, eq=False)
class PermutedExample:
    """Texts, and the order in which some of their tokens are told."""

    batch: Batch
    at: NDArray[np.int64]
    """(M,) the places that are told, in the order in which they lie."""
    labels: NDArray[np.int32]
    """(M,) their tokens."""
    rank: NDArray[np.int64]
    """(N,) 1, 2, … in the order in which the tokens of a text are told; 0 for what is given."""

    @property
    def counts(self) -> dict[str, int]:
        return {"nll": len(self.at)}


class PermutedObjective(Objective):
    """The told tokens, from rows that see only what comes before them in the order."""

    def __init__(self, config: PermutedLM, tokens: Tokens) -> None:
        super().__init__()
        self.config, self.tokens = config, tokens

    def draw(self, batch: Batch, rng: np.random.Generator) -> PermutedExample:
        at = choose(self.config.masks, batch, self.tokens, self.config.share, rng).at
        texts = batch.rows[at]
        rank = np.zeros(len(batch.ids), np.int64)
        drawn = np.argsort(texts + rng.random(len(at)))  # text after text, each in a random order
        rank[at[drawn]] = 1 + np.arange(len(at)) - np.searchsorted(texts, texts)
        return PermutedExample(batch, at, batch.ids[at], rank)

    def terms(self, model: Model, example: PermutedExample) -> dict[str, Tensor]:  # type: ignore[override]
        batch, at = example.batch, example.at
        labels, texts = on(model, example.labels), batch.rows[at]
        if not len(at):  # a batch of specials alone: attention takes no stream without a query
            return {"nll": token_nll(model, model(batch)[:0], labels)}
        rank = on(model, example.rank)
        queries = Queries(
            model.input.queries(len(at)),
            np.bincount(texts, minlength=len(batch)).tolist(),
            (at - batch.starts[texts]).tolist(),
            rule=Permutation(rank, own=False),
        )
        rows = model(batch, rule=Permutation(rank, own=True), queries=queries)  # (M, D)
        return {"nll": token_nll(model, rows, labels)}
