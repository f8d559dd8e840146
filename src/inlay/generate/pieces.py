"""A text while its tokens come: what of it is whole, whether a stop string has come up, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from inlay.generate.prompt import Job

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

Ended = Literal["eos", "stop", "length"]


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A written text."""

    ids: tuple[int, ...]
    """Its tokens, without the prompt's; the end token and those of a stop string are among them."""
    text: str | None
    """Their text up to the end token or a stop string; None without a tokenizer."""
    ended: Ended
    """Why it ended: with an end token, with a stop string, or at max_new_tokens."""
    log_probability: float
    """The mean of its tokens' log-probabilities, as the model has them before penalties and filters."""


class Text:
    """The text of some tokens, decoded behind the end of what stands before them."""

    def __init__(self, tokenizer: "Tokenizer", context: Sequence[int]) -> None:
        self.tokenizer = tokenizer
        self.context = [one for one in context if one < tokenizer.size]
        self.known = len(tokenizer.decode(self.context)) if self.context else 0

    def of(self, ids: Sequence[int]) -> str:
        """Decoded whole, since neighbours decide where spaces go; an id without a token has no text."""
        known = [one for one in ids if one < self.tokenizer.size]
        return self.tokenizer.decode([*self.context, *known])[self.known :]


def stop_at(text: str, stops: Sequence[str]) -> int:
    """Where the first of the stop strings begins; -1: nowhere."""
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=-1)


class Growing:
    """One text of a job, that tokens are added to until it ends."""

    def __init__(self, job: Job, number: int) -> None:
        self.config, self.eos, self.number = job.config, job.eos, number
        self.text = None if job.tokenizer is None else Text(job.tokenizer, job.context(number))
        self.ids: list[int] = []
        self.ended: Ended | None = None
        self.sum = 0.0
        self._shown = 0

    def add(self, token: int, log_probability: float) -> bool:
        """Take one token more; True: the text has ended."""
        self.ids.append(token)
        self.sum += log_probability
        self.ended = self.ends(token, len(self.ids), self.ids)
        return self.ended is not None

    def ends(self, token: int, length: int, ids: list[int] | Tensor) -> Ended | None:
        """How a text of so many tokens, with this last one, has ended; `ids` are read for stop strings only."""
        if token in self.eos:
            return "eos"
        if self.config.stop and stop_at(self._whole(ids), self.config.stop) >= 0:
            return "stop"
        return "length" if length >= self.config.max_new_tokens else None

    def finish(self, ids: list[int], sum: float, ended: Ended) -> None:
        """Take a whole text that has ended."""
        self.ids, self.sum, self.ended = ids, sum, ended

    def take(self) -> str:
        """What can be shown since the last call: no half character, and nothing that may begin a stop string."""
        if self.ended is None:
            found = self._whole(self.ids)
            end = len(found) - _held(found, self.config.stop)
        else:
            found = self.result().text or ""
            end = len(found)
        piece = found[self._shown : end]
        self._shown += len(piece)
        return piece

    def result(self) -> Generated:
        """The ended text."""
        assert self.ended is not None
        text = None
        if self.text is not None:
            text = self.text.of(self.ids[:-1] if self.ended == "eos" else self.ids)
            cut = stop_at(text, self.config.stop)
            text = text if cut < 0 else text[:cut]
        return Generated(ids=tuple(self.ids), text=text, ended=self.ended, log_probability=self.sum / len(self.ids))

    def _whole(self, ids: list[int] | Tensor) -> str:
        """The text without half a character at its end, which a next token may complete."""
        assert self.text is not None
        return self.text.of(ids if isinstance(ids, list) else ids.tolist()).rstrip("\ufffd")


def _held(text: str, stops: Sequence[str]) -> int:
    """Characters at the end of the text that a stop string may begin with."""
    longest = max((len(stop) - 1 for stop in stops), default=0)
    for n in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-n:]) for stop in stops):
            return n
    return 0
