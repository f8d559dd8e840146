"""Beam search: several texts side by side for each prompt, the likeliest of those that ended.

A prompts that are still written, K beams, V vocabulary, C candidates of a step, t new tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from inlay.errors import InputError
from inlay.generate.config import Beam
from inlay.generate.pieces import Ended, Growing
from inlay.generate.prompt import Job
from inlay.generate.scores import Penalties
from inlay.generate.steps import Steps


@dataclass(frozen=True, eq=False, slots=True)
class _Finished:
    score: float
    ids: list[int]
    ended: Ended
    sum: float
    """Of log-probabilities before penalties."""


@torch.inference_mode()
def search(job: Job, texts: Sequence[Growing], beam: Beam) -> None:
    """Write each text to its end."""
    k, v = beam.n_beams, job.model.config.vocab_size
    # Of so many candidates k at least go on, however many of them end with one of the end tokens.
    c = max(2, 1 + len(job.eos)) * k
    if c > v:
        raise InputError(f"n_beams={k} needs {c} candidates a step, but the vocabulary has {v}; try {v * k // c}")
    steps = Steps(job.model, len(texts))
    prompts = [job.prompts[text.number] for text in texts]
    penalties = Penalties(job.config, job.eos, prompts, steps)
    logits = steps.begin(prompts, job.sources and [job.sources[text.number] for text in texts])
    alive = [_Search(text, beam) for text in texts]
    sums = logits.new_zeros(len(alive), 1, 2)  # (A, K, 2) of log-probabilities: after penalties, and before
    ids = torch.empty(len(alive), 1, 0, dtype=torch.int64, device=logits.device)  # (A, K, t)
    while True:
        a, n = sums.shape[:2]  # at first each prompt has one beam
        own = logits.log_softmax(1)
        scores = (penalties(own).view(a, n, v) + sums[..., :1]).flatten(1)
        best, place = scores.topk(c)  # (A, C)
        parent, token = place // v, place % v
        before = own.view(a, -1).gather(1, place) + sums[..., 1].gather(1, parent)
        ids = torch.cat([ids.gather(1, parent[..., None].expand(-1, -1, ids.size(2))), token[..., None]], 2)
        candidates = zip(alive, best.tolist(), before.tolist(), token.tolist(), ids, strict=True)
        going = torch.tensor([one.advance(*candidate) for one, *candidate in candidates], device=ids.device)
        stay = [number for number, one in enumerate(alive) if not one.done]
        if not stay:
            return
        alive = [alive[number] for number in stay]
        kept = torch.tensor(stay, device=ids.device)[:, None]
        going = going[kept[:, 0]]  # (A, K) numbers of candidates
        sums = torch.stack([best[kept, going].masked_fill(going < 0, -torch.inf), before[kept, going]], 2)
        parents, ids = (kept * n + parent[kept, going]).flatten(), ids[kept, going]
        tokens = ids[..., -1].flatten()
        penalties.select(parents)
        penalties.add(tokens)
        steps.cache.select(parents.tolist(), source=len(stay) < a or n < k)
        logits = steps.step(tokens)


class _Search:
    """The beams of one prompt: which candidates have ended, which go on, and when to stop."""

    def __init__(self, text: Growing, beam: Beam) -> None:
        self.text, self.beam = text, beam
        self.finished: list[_Finished] = []
        self.done = False

    def advance(self, scores: list[float], sums: list[float], tokens: list[int], ids: Tensor) -> list[int]:
        """Take the C candidates of a step, best first, ids (C, t); returns the K that go on, -1 where there is none."""
        k, t = self.beam.n_beams, ids.size(1)
        going: list[int] = []
        for number, score in enumerate(scores):
            if score == -inf:  # forbidden, or after a beam that is none
                continue
            ended = self.text.ends(tokens[number], t, ids[number])
            if ended is None:
                going.append(number)
            elif number < k:
                self.finished.append(_Finished(self._score(score, t), ids[number].tolist(), ended, sums[number]))
        self.finished = sorted(self.finished, key=lambda one: -one.score)[:k]
        self.done = self._is_done(scores[going[0]] if going else None, t)
        if self.done:
            best = self.finished[0]
            self.text.finish(best.ids, best.sum, best.ended)
        return (going + [-1] * k)[:k]

    def _is_done(self, best_going: float | None, t: int) -> bool:
        if best_going is None:
            return True
        if len(self.finished) < self.beam.n_beams:
            return False
        return self.beam.early_stopping or self._score(best_going, t) <= self.finished[-1].score

    def _score(self, sum: float, t: int) -> float:
        return sum / t**self.beam.length_penalty
