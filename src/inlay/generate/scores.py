"""What is done to logits before a token is taken: penalties, bans, and the filters of sampling. All pure functions.

B texts, V vocabulary, L tokens so far: `history` (B, L) int64 holds them at its right end, before them V.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from inlay.errors import InputError
from inlay.generate.config import GenerationConfig, Sample
from inlay.generate.steps import Steps

_NUCLEUS = 256
"""Likeliest tokens that `top_p` looks at before it sorts all: mostly they suffice, and sorting 50,000 takes longer than
a small model's step."""


def penalised(logits: Tensor, history: Tensor, penalty: float) -> Tensor:
    """(B, V), (B, L) -> (B, V): logits of tokens in the history divided by the penalty, multiplied if negative."""
    wide = torch.nn.functional.pad(logits, (0, 1))  # a column that takes what stands for "no token"
    score = wide.gather(1, history)
    score = torch.where(score < 0, score * penalty, score / penalty)
    return wide.scatter(1, history, score)[:, :-1]


def without_repeats(logits: Tensor, history: Tensor, n: int) -> Tensor:
    """(B, V), (B, L) -> (B, V): -inf for each token that would make a run of n tokens come a second time."""
    v, length = logits.size(1), history.size(1)
    if length < n:
        return logits
    runs = history.unfold(1, n, 1)  # (B, L - n + 1, n)
    begun = history[:, length - n + 1 :]  # (B, n - 1), which a next token would make a run of n
    same = (runs[..., :-1] == begun[:, None]).all(-1)
    banned = torch.zeros(len(logits), v + 1, dtype=torch.bool, device=logits.device)
    banned.scatter_(1, torch.where(same, runs[..., -1], v), True)
    return logits.masked_fill(banned[:, :v], -torch.inf)


def without(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """(B, V) -> (B, V): -inf for these tokens."""
    return logits.index_fill(1, torch.tensor(ids, dtype=torch.int64, device=logits.device), -torch.inf)


def top_k(logits: Tensor, k: int) -> Tensor:
    """(B, V) -> (B, V): -inf for all that are below the k-th largest."""
    least = logits.topk(min(k, logits.size(1))).values[:, -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def top_p(logits: Tensor, p: float) -> Tensor:
    """(B, V) -> (B, V): -inf for all but the fewest likeliest tokens whose probabilities sum to p."""
    probability = logits.softmax(1)
    likeliest, ids = probability.topk(min(_NUCLEUS, logits.size(1)))
    if bool((likeliest.sum(1) < p).any()):
        likeliest, ids = probability.sort(descending=True)
    # A token stays while those before it sum to less than p.
    keep = likeliest.cumsum(1) - likeliest < p
    keep[:, 0] = True
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, ids, keep)
    return logits.masked_fill(~kept, -torch.inf)


def min_p(logits: Tensor, p: float) -> Tensor:
    """(B, V) -> (B, V): -inf for all that are less than p times as likely as the likeliest."""
    return logits.masked_fill(logits < logits.amax(1, keepdim=True) + math.log(p), -torch.inf)


def filtered(logits: Tensor, sample: Sample) -> Tensor:
    """(B, V) -> (B, V): temperature, top_k, top_p and min_p, one after the other."""
    if sample.temperature != 1:
        logits = logits / sample.temperature
    if sample.top_k:
        logits = top_k(logits, sample.top_k)
    if sample.top_p < 1:
        logits = top_p(logits, sample.top_p)
    if sample.min_p:
        logits = min_p(logits, sample.min_p)
    return logits


def drawn(logits: Tensor, rng: torch.Generator) -> Tensor:
    """(B, V) -> (B,): an id by its probability, from one number of `rng` a row; the same on every device."""
    reached = logits.softmax(1, dtype=torch.float64).cumsum(1)
    shot = torch.rand(len(logits), 1, generator=rng, device=rng.device, dtype=torch.float64).to(logits.device)
    return torch.searchsorted(reached, shot * reached[:, -1:], right=True)[:, 0].clamp(max=logits.size(1) - 1)


class Penalties:
    """What the config asks for before a token is taken, with the tokens so far, as far as it looks at them."""

    def __init__(
        self, config: GenerationConfig, eos: Sequence[int], prompts: Sequence[Sequence[int]], to: Steps
    ) -> None:
        self.config, self.eos, self.n_new = config, list(eos), 0
        self.history: Tensor | None = None
        """(B, L)"""
        if config.repetition_penalty != 1 or config.no_repeat_ngram:
            longest, v = max(map(len, prompts)), to.model.config.vocab_size
            rows = [[v] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
            self.history = torch.tensor(rows, device=to.device)

    def __call__(self, logits: Tensor) -> Tensor:
        """(B, V) -> (B, V); InputError where no token is left."""
        config = self.config
        if self.history is not None and config.repetition_penalty != 1:
            logits = penalised(logits, self.history, config.repetition_penalty)
        if self.history is not None and config.no_repeat_ngram:
            logits = without_repeats(logits, self.history, config.no_repeat_ngram)
        if self.n_new < config.min_new_tokens and self.eos:
            logits = without(logits, self.eos)
        if config.no_repeat_ngram and bool((logits.amax(1) == -torch.inf).any()):
            raise InputError(
                f"no_repeat_ngram={config.no_repeat_ngram} forbids every token after {self.n_new} new ones; raise it, "
                "or lower max_new_tokens"
            )
        return logits

    def add(self, tokens: Tensor) -> None:
        """(B,) more."""
        self.n_new += 1
        if self.history is not None:
            self.history = torch.cat([self.history, tokens[:, None]], 1)

    def select(self, texts: Tensor) -> None:
        """Keep these texts, in this order; one may come several times."""
        if self.history is not None:
            self.history = self.history[texts]
