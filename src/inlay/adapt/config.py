"""AdaptConfig: what is done to a base encoder, step by step, and what the gate asks of the result."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from inlay.errors import InputError, did_you_mean
from inlay.text.pairs import KINDS, Kind
from inlay.tokenize.extend import Extend

_FLOPS = 4e10
"""Floating-point operations a second, as the cost model has it; machines differ, results must not."""
_MEAN_LENGTH = 0.5
"""Of the longest text that is read, as the cost model has it."""


@dataclass(frozen=True, kw_only=True)
class Mined:
    """Pairs that nobody wrote: what belongs together in a document."""

    limit: int = 20_000
    """Pairs at most."""
    kinds: tuple[Kind, ...] = KINDS
    """Which pairs: a title, a heading or a first sentence and what follows; a left-out sentence; two halves."""

    def __post_init__(self) -> None:
        _check([("limit", self.limit, self.limit >= 2, "must be at least 2; 20000 is usual")])
        for kind in self.kinds:
            if kind not in KINDS:
                raise InputError(f"kinds has {kind!r}, which is no kind of pair{did_you_mean(str(kind), KINDS)}")
        if not self.kinds:
            raise InputError(f"kinds is empty; name one at least of {', '.join(KINDS)}")


@dataclass(frozen=True, kw_only=True)
class Hard:
    """Hard negatives: what BM25 and the model itself rank high for a query, and is no part of the document asked for.

    What scores nearly as high as the answer may be one too, and is left out (Moreira et al. 2024, arXiv:2407.15831).
    """

    per_pair: int = 1
    """Negatives of each pair."""
    ranks: int = 30
    """How far down each of the two rankings they are drawn from."""
    below: float = 0.95
    """Share of the answer's cosine that a negative's must stay below, by the base model."""

    def __post_init__(self) -> None:
        rules = [
            ("per_pair", self.per_pair, self.per_pair >= 1, "must be at least 1"),
            ("ranks", self.ranks, self.ranks >= 1, "must be at least 1; 30 is usual"),
            ("below", self.below, 0 < self.below <= 1, "must be above 0 and at most 1; 0.95 is usual"),
        ]
        _check(rules)


@dataclass(frozen=True, kw_only=True)
class MLM:
    """More masked language modelling on the user's text, with the same weights (Gururangan et al. 2020)."""

    steps: int = 200
    """Updates."""
    batch: int = 32
    """Texts a step."""
    lr: float = 5e-5
    """The largest step size."""
    p: float = 0.15
    """Share of the tokens to predict."""

    def __post_init__(self) -> None:
        _check_steps(self.steps, self.batch, self.lr, least=1)


@dataclass(frozen=True, kw_only=True)
class TSDAE:
    """Sentences written again from the one vector of what deletion has left of them (Wang et al. 2021)."""

    steps: int = 200
    """Updates."""
    batch: int = 16
    """Sentences a step."""
    lr: float = 3e-5
    """The largest step size."""
    share: float = 0.6
    """Of the tokens, how many are left out."""

    def __post_init__(self) -> None:
        _check_steps(self.steps, self.batch, self.lr, least=1)


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Pairs of texts brought near: each query must find its own text among those of the batch."""

    steps: int = 100
    """Updates; more overfit a small corpus."""
    batch: int = 64
    """Pairs a step."""
    lr: float = 2e-5
    """The largest step size."""
    temperature: float = 0.05
    """What cosines are divided by before the softmax."""
    negatives: Hard | None = field(default_factory=Hard)
    """Texts that look like the answer and are none; null: only those of the other pairs of a batch."""
    anchor: float = 0.0
    """How much holding every vector near to the base model's counts beside it; 0: not at all."""
    dims: tuple[int, ...] = ()
    """Shorter lengths at which the vectors must work as well, by cutting off the end (Matryoshka)."""
    scores: Literal["cosent", "squares"] = "cosent"
    """For labelled pairs with scores: their order (CoSENT), or the squares of cosine minus score."""
    chunk: int | None = None
    """Tokens that are read at a time, for batches that do not fit in memory (GradCache); null: all at once."""

    def __post_init__(self) -> None:
        _check_steps(self.steps, self.batch, self.lr, least=2)
        rules = [
            ("temperature", self.temperature, 0 < self.temperature <= 10, "must lie between 0 and 10; 0.05 is usual"),
            ("anchor", self.anchor, 0 <= self.anchor < float("inf"), "must not be negative; 1 is usual"),
            ("scores", self.scores, self.scores in ("cosent", "squares"), "must be cosent or squares"),
            ("chunk", self.chunk, self.chunk is None or self.chunk >= 1, "must be at least 1; 4096 is usual"),
        ]
        _check(rules)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a tuned model must show before it takes the base's place."""

    questions: int = 40
    """Held-out questions below which nothing can be shown, so that the base is kept."""
    gain: float = 0.01
    """What nDCG@10 must rise by at least, as a mean over the kinds of questions."""
    p: float = 0.05
    """Two-sided p that the rise must stay below, shared among all shares of the weights that are tried."""
    agreement: float = 0.95
    """Spearman correlation at least between the cosines of base and tuned model over pairs of general sentences."""
    sts: float = 0.01
    """What the Spearman correlation with judgements of similarity may fall by at most, where there are such."""

    def __post_init__(self) -> None:
        rules = [
            ("questions", self.questions, self.questions >= 1, "must be at least 1; 40 is usual"),
            ("gain", self.gain, 0 <= self.gain < 1, "must be at least 0 and below 1; 0.01 is usual"),
            ("p", self.p, 0 < self.p <= 1, "must be above 0 and at most 1; 0.05 is usual"),
            ("agreement", self.agreement, -1 <= self.agreement <= 1, "must lie between -1 and 1; 0.95 is usual"),
            ("sts", self.sts, 0 <= self.sts <= 2, "must lie between 0 and 2; 0.01 is usual"),
        ]
        _check(rules)


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """The steps from a base encoder to a tuned one; each may be left out."""

    pairs: Mined = field(default_factory=Mined)
    """Where pairs come from, unless labelled ones are given."""
    vocabulary: Extend | None = None
    """Words of the text that become tokens of their own; null: none."""
    text: MLM | TSDAE | None = None
    """What is learnt from the text as it stands, before the pairs; null: nothing."""
    tuning: Contrast | None = field(default_factory=Contrast)
    """What is learnt from pairs; null: nothing."""
    shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """Of the way from the base's weights to the tuned ones, the points that are measured."""
    gate: Gate = field(default_factory=Gate)
    """What the result must show."""
    max_length: int = 128
    """Tokens of a text that are learnt from at most."""
    threads: int | None = None
    """Threads of torch; null: as many as it takes by itself. The same number gives the same bits."""

    def __post_init__(self) -> None:
        shares = self.shares
        rules = [
            ("shares", shares, len(shares) > 0 and all(0 < s <= 1 for s in shares), "must lie above 0 and up to 1"),
            ("shares", shares, len(set(shares)) == len(shares), "must all be different"),
            ("max_length", self.max_length, self.max_length >= 8, "must be at least 8; 128 is usual"),
            ("threads", self.threads, self.threads is None or self.threads >= 1, "must be at least 1"),
        ]
        _check(rules)
        if self.vocabulary is None and self.text is None and self.tuning is None:
            raise InputError("vocabulary, text and tuning are all null, so that nothing is done; name one of them")

    def within(self, minutes: float, parameters: int) -> "AdaptConfig":
        """The same with no more steps than a fixed cost model allows for so many minutes; one at least.

        A text costs six operations a parameter and token, and a pair is two texts and its negatives.
        """
        if not 0 < minutes < float("inf"):
            raise InputError(f"minutes={minutes} must be above 0; 10 is usual")
        a_text = 6 * parameters * self.max_length * _MEAN_LENGTH
        parts = (part for part in (self.text, self.tuning) if part is not None)
        seconds = sum(part.steps * part.batch * _texts(part) for part in parts) * a_text / _FLOPS
        return self._shorter(min(1.0, 60 * minutes / max(seconds, 1e-9)))

    def quick(self) -> "AdaptConfig":
        """The same with a tenth of the steps and of the pairs, and half as many points: a try."""
        pairs = replace(self.pairs, limit=max(2, self.pairs.limit // 10))
        return replace(self._shorter(0.1), pairs=pairs, shares=self.shares[1::2] or self.shares)

    def _shorter(self, share: float) -> "AdaptConfig":
        """The same with a share of the steps."""
        text = self.text and replace(self.text, steps=max(1, int(self.text.steps * share)))
        tuning = self.tuning and replace(self.tuning, steps=max(1, int(self.tuning.steps * share)))
        return replace(self, text=text, tuning=tuning)


def _texts(part: MLM | TSDAE | Contrast) -> float:
    """Texts that are read for each one of a batch."""
    if not isinstance(part, Contrast):
        return 2 if isinstance(part, TSDAE) else 1
    return (2 + (part.negatives.per_pair if part.negatives else 0)) * (4 / 3 if part.anchor else 1)


def _check_steps(steps: int, batch: int, lr: float, *, least: int) -> None:
    rules = [
        ("steps", steps, steps >= 1, "must be at least 1; 100 is usual"),
        ("batch", batch, batch >= least, f"must be at least {least}"),
        ("lr", lr, 0 < lr < float("inf"), "must be above 0; 2e-5 is usual"),
    ]
    _check(rules)


def _check(rules: Sequence[tuple[str, object, bool, str]]) -> None:
    for name, value, holds, rule in rules:
        if not holds:
            raise InputError(f"{name}={value!r} {rule}")
