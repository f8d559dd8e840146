"""Span corruption: runs of tokens give way to sentinels, and are written after them. Raffel et al. 2020 (T5).

N tokens, B texts, S spans of all texts, K sentinels.
"""

from dataclasses import dataclass
from itertools import count, takewhile
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import ModelConfig
from inlay.objective.rewriting import Ends, Rewriting, RewritingObjective, need_writer

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

Counts = NDArray[np.int64]
Marks = NDArray[np.bool_]


def sentinels(n: int = 100) -> tuple[str, ...]:
    """T5's names for n sentinels, to be put into a tokenizer's `specials`."""
    return tuple(f"<extra_id_{number}>" for number in range(n))


@dataclass(frozen=True, kw_only=True)
class SpanCorruption:
    """The mean error of writing the spans that are hidden, each after its sentinel, and the end.

    Of n tokens round(share·n) are hidden, in round(of those / mean) spans: hidden and kept tokens are each cut into so
    many parts at random, which take turns, a kept one first. Raffel et al. 2020, arXiv:1910.10683, section 3.1.4.
    """

    texts: ClassVar[Literal["rows", "pairs", "sentences"]] = "rows"
    share: float = 0.15
    """Of the tokens, how many are hidden."""
    mean: float = 3.0
    """Tokens of a span, on average."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"share={self.share} must lie between 0 and 1; T5 takes 0.15")
        if not self.mean >= 1:
            raise InputError(f"mean={self.mean} must be at least 1; T5 takes 3")

    def plan(self, tokens: Counts) -> tuple[Counts, Counts]:
        """(B,) tokens of texts -> (B,) those to hide, (B,) in how many spans; a text of one token hides nothing."""
        hidden = np.clip(np.rint(tokens * self.share).astype(np.int64), 1, np.maximum(tokens - 1, 1))
        hidden = np.where(tokens < 2, 0, hidden)
        # There must be a kept token before every span.
        spans = np.clip(np.rint(hidden / self.mean).astype(np.int64), 1, np.minimum(hidden, tokens - hidden))
        return hidden, np.where(tokens < 2, 0, spans)

    def specials(self, length: int) -> tuple[str, ...]:
        """The sentinels that rows of that many tokens need at most, beside a tokenizer's usual specials."""
        return sentinels(int(self.plan(np.arange(1, length + 1))[1].max(initial=0)) + 1)

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "SpanObjective":
        """The module; InputError for a model that does not write, or a tokenizer without sentinels."""
        need_writer(model, "SpanCorruption")
        known = tokenizer.vocabulary
        names = (f"<extra_id_{number}>" for number in count())
        found = np.array([known[name] for name in takewhile(known.__contains__, names)], np.int32)
        if len(found) < 2:
            raise InputError(
                f"SpanCorruption puts sentinels (<extra_id_0>, …) for what it hides, and this tokenizer has "
                f"{len(found)}; train one with specials=(*SPECIALS, *sentinels(100))"
            )
        return SpanObjective(self, found, Ends.of(model, tokenizer, "SpanCorruption"))


class SpanObjective(RewritingObjective):
    """Spans are drawn among a text's own tokens; what stands around and between texts is never hidden."""

    def __init__(self, config: SpanCorruption, sentinel_ids: NDArray[np.int32], ends: Ends) -> None:
        super().__init__()
        self.config, self.sentinels, self.ends = config, sentinel_ids, ends

    def draw(self, batch: Batch, rng: np.random.Generator) -> Rewriting:
        fixed = self.ends.fixed(batch.ids)
        rows, n = batch.rows, len(batch)
        hidden_of, spans_of = self.config.plan(np.bincount(rows[~fixed], minlength=n))
        # Among the tokens that may be hidden, parts take turns; a text of one such token has no part.
        own = np.flatnonzero(~fixed & (spans_of > 0)[rows])
        kept_of = np.bincount(rows[own], minlength=n) - hidden_of
        parts = np.stack([_parts(kept_of, spans_of, rng), _parts(hidden_of, spans_of, rng)], 1).ravel()  # (2S,)
        hidden = np.zeros(len(batch.ids), bool)
        hidden[own] = np.repeat(np.arange(len(parts)) % 2 == 1, parts)
        # A span ends where its document does, though it was to go on beyond.
        ended = np.cumsum(fixed)
        begin = own[np.repeat(np.cumsum(parts) - parts, parts)]  # of each own token's part, its first token
        hidden[own] &= ended[own] == ended[begin]
        return self.corrupt(batch, hidden)

    def corrupt(self, batch: Batch, hidden: Marks) -> Rewriting:
        """The example in which the tokens marked in `hidden` (N,) are hidden, neighbours by one sentinel.

        Where a text goes on after its last span, one more sentinel ends what is written, as in the paper.
        """
        ids, rows, n = batch.ids, batch.rows, len(batch)
        before = np.zeros_like(hidden)
        before[1:] = hidden[:-1] & (rows[1:] == rows[:-1])
        begins = np.flatnonzero(hidden & ~before)  # (S,)
        spans = np.bincount(rows[begins], minlength=n)
        place = np.arange(len(ids))
        goes_on = _last(place, rows, n, ~hidden & ~self.ends.fixed(ids)) > _last(place, rows, n, hidden)
        goes_on &= spans > 0
        self._check(spans + goes_on, batch)

        number = np.arange(len(begins)) - np.repeat(np.cumsum(spans) - spans, spans)
        marked = ids.copy()
        marked[begins] = self.sentinels[number]
        reads = ~hidden
        reads[begins] = True
        source = Batch(ids=marked[reads], lengths=np.bincount(rows[reads], minlength=n), cut=batch.cut)

        labels = np.insert(ids[hidden], np.flatnonzero(~before[hidden]), self.sentinels[number])
        lengths = np.bincount(rows[hidden], minlength=n) + spans
        labels = np.insert(labels, np.cumsum(lengths)[goes_on], self.sentinels[spans[goes_on]])
        lengths += goes_on
        filled = batch.lengths > 0
        labels = np.insert(labels, np.cumsum(lengths)[filled], self.ends.stop)
        return Rewriting.of(source, labels, lengths + filled, self.ends.start)

    def _check(self, wanted: Counts, batch: Batch) -> None:
        most = int(wanted.max(initial=0))
        if most > len(self.sentinels):
            length = int(batch.lengths[wanted.argmax()])
            raise InputError(
                f"a text of {length:,} tokens needs {most} sentinels, and the tokenizer has {len(self.sentinels)}; "
                f"take shorter rows, raise mean={self.config.mean:g}, or train a tokenizer with sentinels({most})"
            )


def _parts(items: Counts, parts: Counts, rng: np.random.Generator) -> Counts:
    """(B,) items of each text, cut into (B,) parts, all ways alike likely -> (S,) items of each part, 1 at least."""
    items = np.where(parts > 0, items, 0)
    text = np.repeat(np.arange(len(items)), items)
    starts = np.cumsum(items) - items
    chance = rng.random(len(text))
    chance[starts[items > 0]] = -1.0  # a text's first item begins a part
    order = np.lexsort((chance, text))
    rank = np.arange(len(text)) - starts[text]
    begins = np.sort(order[rank < parts[text]])
    return np.diff(begins, append=len(text))


def _last(place: Counts, rows: Counts, n: int, where: Marks) -> Counts:
    """(B,) the last marked place of each text; -1 without any."""
    found = np.full(n, -1)
    found[rows[where]] = place[where]  # of several, numpy keeps the last
    return found
