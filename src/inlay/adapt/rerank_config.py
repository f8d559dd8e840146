"""RerankConfig: what a reranker learns from, how, and what it must show before it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from inlay.adapt.config import Hard, Mined
from inlay.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a reranker must show on held-out questions, beside BM25 alone."""

    questions: int = 40
    """Questions below which nothing can be shown, so that none is kept."""
    gain: float = 0.01
    """What nDCG@10 must rise by at least, as a mean over the kinds of questions."""
    p: float = 0.05
    """Two-sided p that the rise must stay below."""

    def __post_init__(self) -> None:
        rules = [
            ("questions", self.questions, self.questions >= 1, "must be at least 1; 40 is usual"),
            ("gain", self.gain, 0 <= self.gain < 1, "must be at least 0 and below 1; 0.01 is usual"),
            ("p", self.p, 0 < self.p <= 1, "must be above 0 and at most 1; 0.05 is usual"),
        ]
        _check(rules)


@dataclass(frozen=True, kw_only=True)
class RerankConfig:
    """From an encoder and pairs to a cross-encoder that orders what BM25 finds."""

    pairs: Mined = field(default_factory=lambda: Mined(kinds=("title", "heading", "first", "sentence")))
    """Where pairs come from, unless labelled ones are given."""
    negatives: Hard = field(default_factory=lambda: Hard(per_pair=4))
    """Texts that look like the answer and are none: what is to be told from it."""
    loss: Literal["listwise", "pointwise"] = "listwise"
    """The softmax over the candidates of a query, or yes and no for each of them alone."""
    steps: int = 200
    """Updates."""
    batch: int = 8
    """Queries a step, each with its answer and its negatives."""
    lr: float = 3e-5
    """The largest step size."""
    max_length: int = 192
    """Tokens of a pair at most, in training and afterwards; a longer one loses the end of its longer side."""
    candidates: int = 50
    """How many of BM25's best documents are ordered anew where the result is measured."""
    bar: Bar = field(default_factory=Bar)
    """What the result must show."""
    threads: int | None = None
    """Threads of torch; null: as many as it takes by itself. The same number gives the same bits."""

    def __post_init__(self) -> None:
        rules = [
            ("loss", self.loss, self.loss in ("listwise", "pointwise"), "must be listwise or pointwise"),
            ("steps", self.steps, self.steps >= 1, "must be at least 1; 200 is usual"),
            ("batch", self.batch, self.batch >= 1, "must be at least 1; 8 is usual"),
            ("lr", self.lr, 0 < self.lr < float("inf"), "must be above 0; 3e-5 is usual"),
            ("max_length", self.max_length, self.max_length >= 8, "must be at least 8; 192 is usual"),
            ("candidates", self.candidates, self.candidates >= 2, "must be at least 2; 50 is usual"),
            ("threads", self.threads, self.threads is None or self.threads >= 1, "must be at least 1"),
        ]
        _check(rules)

    def quick(self) -> "RerankConfig":
        """The same with a tenth of the steps, the pairs and half of the candidates: a try."""
        pairs = replace(self.pairs, limit=max(2, self.pairs.limit // 10))
        return replace(self, pairs=pairs, steps=max(1, self.steps // 10), candidates=max(2, self.candidates // 2))


def _check(rules: Sequence[tuple[str, object, bool, str]]) -> None:
    for name, value, holds, rule in rules:
        if not holds:
            raise InputError(f"{name}={value!r} {rule}")
