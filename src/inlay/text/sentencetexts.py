"""Sentences and pairs of sentences as texts: by number, cut out of the shards where flags say that sentences begin.

T tokens of a shard, D its documents, C texts that it gives.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError, did_you_mean
from inlay.text.frame import Piece, frame_of, framed
from inlay.text.shardfile import SENTENCE, Part, Shards, Split


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """Each text is one sentence; what is longer than `length` loses its end, which `Batch.cut` counts."""

    length: int = 64
    """Tokens at most, special tokens included."""
    specials: bool = True
    """Put around each sentence what the tokenizer puts around texts."""


@dataclass(frozen=True, kw_only=True)
class SentencePairs:
    """Pairs A, B of one document, both of whole sentences, filled up to `length`; in a share of them B is not what
    follows A, and `Batch.labels` is 1. Devlin et al. 2019 (`document`), Lan et al. 2020 (`swapped`)."""

    length: int = 128
    """Tokens at most, special tokens included."""
    other: Literal["document", "swapped"] = "document"
    """What stands in for B: sentences of another document, or A, which B then goes before."""
    share: float = 0.5
    """How many pairs are such."""
    short: float = 0.1
    """How many pairs are cut to a length drawn by chance, so that short texts are seen too."""

    def __post_init__(self) -> None:
        for name in ("share", "short"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name):g} must be a share from 0 to 1")
        if self.other not in (known := ("document", "swapped")):
            raise InputError(f"other={self.other!r} is unknown{did_you_mean(str(self.other), known)}")


class SentenceTexts:
    """The sentences of a split, by number."""

    def __init__(self, shards: Shards, config: Sentences, split: Split) -> None:
        _need_sentences(shards, "Sentences")
        self._documents, self._words = shards.documents(split), shards.facts.words
        self._frame = frame_of(shards.tokenizer, 1, specials=config.specials)
        self._room = config.length - self._frame.size
        if self._room < 1:
            raise InputError(f"length={config.length} leaves no room for text; try {self._frame.size + 32}")
        self._texts = _Texts(np.append(_sentences(part), len(part.tokens)) for part in self._documents)

    def __len__(self) -> int:
        return len(self._texts)

    def batch(self, numbers: NDArray[np.int64], epoch: int) -> Batch:
        """These sentences; they are alike in every epoch."""
        texts, cut = [], []
        for number in numbers.tolist():
            shard, start, stop = self._texts.at(number)
            texts.append([_piece(self._documents.part(shard), start, min(stop, start + self._room))])
            cut.append(max(0, stop - start - self._room))
        return framed(self._frame, texts, words=self._words, cut=cut)


class PairTexts:
    """The pairs of a split, by number; what is drawn by chance depends on seed, epoch and number alone."""

    def __init__(self, shards: Shards, config: SentencePairs, split: Split, seed: int) -> None:
        _need_sentences(shards, "SentencePairs")
        self._documents, self._words = shards.documents(split), shards.facts.words
        self._config, self._seed = config, seed
        self._frame = frame_of(shards.tokenizer, 2)
        if not len(self._frame.ids[1]):
            raise InputError("this tokenizer puts nothing between two texts; train one with [CLS] and [SEP]")
        self._room = config.length - self._frame.size
        if self._room < 2:
            raise InputError(f"length={config.length} leaves no room for a pair; try {self._frame.size + 64}")
        if config.other == "document" and config.share and 0 < self._documents.amount.documents < 2:
            raise InputError(
                f"SentencePairs takes sentences of another document, and {split} has one alone; "
                "hold out a larger share, or take other='swapped'"
            )
        self._texts = _Texts((chunks(part, self._room) for part in self._documents), least=2)
        self._before = np.cumsum(self._documents.documents) - self._documents.documents

    def __len__(self) -> int:
        return len(self._texts)

    def batch(self, numbers: NDArray[np.int64], epoch: int) -> Batch:
        """These pairs, as this epoch draws them."""
        pairs, labels = [], []
        for number in numbers.tolist():
            pair, label = self._pair(number, np.random.default_rng((self._seed, epoch, number)))
            pairs.append(pair)
            labels.append(label)
        return framed(self._frame, pairs, words=self._words, labels=np.array(labels, np.int64))

    def _pair(self, number: int, rng: np.random.Generator) -> tuple[list[Piece], int]:
        shard, start, stop = self._texts.at(number)
        part = self._documents.part(shard)
        room = int(rng.integers(2, self._room + 1)) if rng.random() < self._config.short else self._room
        borders = _sentences(part, start + 1, stop)  # inside the text
        if stop - start > room:
            fit = borders[(borders >= start + 2) & (borders <= start + room)]
            stop = int(fit[-1]) if len(fit) else start + room
            borders = borders[borders < stop]
        # One sentence alone is cut inside: else it could only be the first of an unlike pair, and would give it away.
        inside = not len(borders)
        middle = int(rng.integers(start + 1, stop) if inside else rng.choice(borders))
        first, second = _piece(part, start, middle), _piece(part, middle, stop)
        if rng.random() >= self._config.share:
            return [first, second], 0
        if self._config.other == "swapped":
            return [second, first], 1
        own = int(self._before[shard]) + int(np.searchsorted(part.ends, np.uint64(start), "right"))
        return [first, self._elsewhere(own, room - (middle - start), inside, rng)], 1

    def _elsewhere(self, own: int, room: int, inside: bool, rng: np.random.Generator) -> Piece:
        """At most `room` tokens of another document than `own`: whole sentences if they fit, from any one on."""
        number = int(rng.integers(self._documents.amount.documents - 1))
        number += number >= own
        shard = int(np.searchsorted(self._before, number, "right")) - 1
        part, local = self._documents.part(shard), number - int(self._before[shard])
        begin, end = int(part.ends[local - 1]) if local else 0, int(part.ends[local])
        borders = _sentences(part, begin, end)
        start = int(rng.integers(begin, end) if inside else rng.choice(borders))
        stop = min(end, start + room)
        if stop < end:
            fit = borders[(borders > start) & (borders <= stop)]
            stop = int(fit[-1]) if len(fit) else stop
        return _piece(part, start, stop)


class _Texts:
    """Texts by number over all shards: where each begins and ends. Eight bytes a text are in memory."""

    def __init__(self, borders: Iterable[NDArray[np.int64]], least: int = 1) -> None:
        """`borders`: of each shard, where its texts begin, and at last where they end; shorter texts are left out."""
        self._starts, self._sizes = [], []
        for edges in borders:
            sizes = np.diff(edges)
            self._starts.append(edges[:-1][sizes >= least].astype(np.uint32))
            self._sizes.append(sizes[sizes >= least].astype(np.uint32))
        counts = np.array([len(starts) for starts in self._starts], np.int64)
        self._before = np.cumsum(counts) - counts
        self._count = int(counts.sum())

    def __len__(self) -> int:
        return self._count

    def at(self, number: int) -> tuple[int, int, int]:
        """The shard of a text, and its tokens from … to there."""
        shard = int(np.searchsorted(self._before, number, "right")) - 1
        local = number - int(self._before[shard])
        start = int(self._starts[shard][local])
        return shard, start, start + int(self._sizes[shard][local])


def chunks(part: Part, room: int) -> NDArray[np.int64]:
    """(C + 1,) where the chunks of a shard begin, and its end: whole sentences of one document, at most `room` tokens,
    as many as fit; only what is longer by itself is cut inside."""
    ends = np.asarray(part.ends, np.int64)  # (D,)
    edges = np.append(_sentences(part), ends[-1])
    at, stop = np.concatenate([[0], ends[:-1]]), ends
    found = [ends[-1:]]
    while len(at):  # all documents at once, a chunk further every time
        found.append(at)
        reach = at + room
        border = edges[np.searchsorted(edges, reach, "right") - 1]
        after = np.minimum(np.where(border > at, border, reach), stop)
        going = after < stop
        at, stop = after[going], stop[going]
    return np.sort(np.concatenate(found))


def _sentences(part: Part, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
    """Where sentences begin, among the tokens from start to stop."""
    assert part.flags is not None, "sentences are in the flags"
    return np.flatnonzero(part.flags[start:stop] & SENTENCE) + start


def _piece(part: Part, start: int, stop: int) -> Piece:
    return Piece(part.tokens[start:stop], None if part.flags is None else part.flags[start:stop])


def _need_sentences(shards: Shards, packing: str) -> None:
    if not shards.facts.sentences:
        raise InputError(
            f"{packing} needs to know where sentences begin, which {shards.folder} does not tell; "
            "make the shards with --sentences (sentences=True)"
        )
