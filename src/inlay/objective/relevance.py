"""Relevance: a query and a text read together, and one number that says whether the text answers; learnt from lists.

B pairs, N tokens, L lists: the candidates of one query.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch, Candidates
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.objective.language import need_head
from inlay.objective.objective import Objective

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Pointwise:
    """-y log σ(s) - (1 - y) log(1 - σ(s)) of each pair alone. Nogueira & Cho 2019, arXiv:1901.04085."""

    positive: float = 1.0
    """What a relevant pair weighs beside an irrelevant one; the number of negatives makes both sides equal."""

    def __post_init__(self) -> None:
        if not 0 < self.positive <= 1000:
            raise InputError(f"positive={self.positive} must be above 0 and at most 1000; 1 is usual")

    def counts(self, pairs: int, lists: int) -> dict[str, int]:
        """Every pair is a prediction."""
        return {"bce": pairs}

    def check(self, example: "RelevanceExample") -> None:
        """InputError for a relevance that is no probability."""
        if len(beyond := example.relevance[(example.relevance < 0) | (example.relevance > 1)]):
            raise InputError(f"a relevance of {beyond[0]:g} is no probability; give numbers from 0 to 1, or Listwise()")

    def terms(self, scores: Tensor, relevance: Tensor, lists: Tensor, n_lists: int) -> dict[str, Tensor]:
        """(B,) scores -> the sum over pairs."""
        weight = scores.new_tensor(self.positive)
        return {"bce": F.binary_cross_entropy_with_logits(scores, relevance, pos_weight=weight, reduction="sum")}


@dataclass(frozen=True, kw_only=True)
class Listwise:
    """-Σ p log softmax(s) over the candidates of a query, p their relevance divided by its sum.

    Cao et al. 2007 (ListNet, ICML); with one relevant text among hard negatives it is the localised contrastive loss of
    Gao, Dai & Callan 2021, arXiv:2101.08751.
    """

    def counts(self, pairs: int, lists: int) -> dict[str, int]:
        """Every list is a prediction."""
        return {"nll": lists}

    def check(self, example: "RelevanceExample") -> None:
        """InputError for a list that asks nothing."""
        low = example.relevance.min(initial=0)
        if low < 0:
            raise InputError(f"a relevance of {low:g} is below 0; give 0 for what does not answer")
        sums, sizes = np.bincount(example.lists, example.relevance), np.bincount(example.lists)
        if (wrong := np.flatnonzero((sums == 0) | (sizes < 2))).size:
            what = "has nothing relevant in it" if sizes[wrong[0]] > 1 else "has one candidate alone"
            raise InputError(f"list {wrong[0]} {what}, so that nothing can be told apart; leave the query out")

    def terms(self, scores: Tensor, relevance: Tensor, lists: Tensor, n_lists: int) -> dict[str, Tensor]:
        """(B,) scores -> the sum over lists."""
        log_total = _by_list(scores, lists, n_lists)[lists]
        sums = scores.new_zeros(n_lists).index_add(0, lists, relevance)[lists]
        return {"nll": -(relevance / sums * (scores - log_total)).sum()}


@dataclass(frozen=True, kw_only=True)
class Relevance:
    """Pairs come as `Candidates`, a head `text` with one label gives each its number."""

    texts: ClassVar[str] = "sentences"
    loss: Pointwise | Listwise = Listwise()
    """What is asked of the numbers."""

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "RelevanceObjective":
        """The module; InputError where the model has no head that gives one number for a text."""
        need_head(model, "text", "Relevance")
        labels = next(len(head.labels) for head in model.heads if head.name == "text")  # type: ignore[union-attr]
        if labels != 1:
            raise InputError(f"Relevance learns one number for a pair, and the head has {labels} labels; give it one")
        return RelevanceObjective(self)


@dataclass(frozen=True, eq=False)
class RelevanceExample:
    """The pairs of several lists, how relevant each is, and what counts."""

    batch: Batch
    """B pairs."""
    lists: NDArray[np.int64]
    """(B,) from 0 to L - 1."""
    relevance: NDArray[np.float64]
    """(B,)"""
    counts: dict[str, int]


class RelevanceObjective(Objective):
    """Reads all pairs in one go; beside the loss `first`, the lists whose highest number is that of the most relevant.

    A list in which all are equally relevant is never told right or wrong by it.
    """

    weights = {"first": 0.0}

    def __init__(self, config: Relevance) -> None:
        super().__init__()
        self.config = config

    def draw(self, batch: Batch | Candidates, rng: np.random.Generator) -> RelevanceExample:
        """Nothing is left to chance. InputError for pairs without tokens, and for lists that ask nothing."""
        if not isinstance(batch, Candidates):
            raise InputError("Relevance needs lists of candidates: give Candidates(pairs, lists=..., relevance=...)")
        if not batch.pairs.lengths.all():
            raise InputError(f"pair {int(np.argmin(batch.pairs.lengths))} has no tokens; leave it out")
        names, lists = np.unique(batch.lists, return_inverse=True)
        most = np.full(len(names), -np.inf)
        least = np.full(len(names), np.inf)
        np.maximum.at(most, lists, batch.relevance)
        np.minimum.at(least, lists, batch.relevance)
        counts = self.config.loss.counts(len(batch), len(names)) | {"first": int((most > least).sum())}
        example = RelevanceExample(batch.pairs, lists, batch.relevance, counts)
        self.config.loss.check(example)
        return example

    def terms(self, model: Model, example: RelevanceExample) -> dict[str, Tensor]:  # type: ignore[override]
        packed = model.pack(example.batch)
        return self.of_scores(model.read("text", model(packed), packed.layout)[:, 0], example)

    def of_scores(self, scores: Tensor, example: RelevanceExample) -> dict[str, Tensor]:
        """The terms, for whoever has the numbers (B,) of the example's pairs already."""
        with torch.autocast(scores.device.type, enabled=False):
            scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
            relevance = torch.from_numpy(example.relevance).to(scores)
            lists = torch.from_numpy(example.lists).to(scores.device)
            n_lists = int(example.lists.max(initial=-1)) + 1
            found = self.config.loss.terms(scores, relevance, lists, n_lists)
            return found | {"first": _first(scores.detach(), relevance, lists, n_lists)}


def _by_list(scores: Tensor, lists: Tensor, n_lists: int) -> Tensor:
    """(B,) -> (L,): log Σ exp of each list."""
    most = scores.new_full((n_lists,), -torch.inf).scatter_reduce(0, lists, scores.detach(), "amax")
    return scores.new_zeros(n_lists).index_add(0, lists, (scores - most[lists]).exp()).log() + most


def _first(scores: Tensor, relevance: Tensor, lists: Tensor, n_lists: int) -> Tensor:
    """The lists that differ in relevance, and where what scores highest, of equals the worst, is most relevant."""
    empty = scores.new_full((n_lists,), -torch.inf)
    most = empty.scatter_reduce(0, lists, scores, "amax")
    best = empty.scatter_reduce(0, lists, relevance, "amax")
    wrong = scores.new_zeros(n_lists).index_add(
        0, lists, ((scores == most[lists]) & (relevance < best[lists])).to(scores)
    )
    differ = scores.new_zeros(n_lists).index_add(0, lists, (relevance < best[lists]).to(scores)) > 0
    return (differ & (wrong == 0)).sum().float()
