"""What can be done to a text that is to be written again: tokens masked, left out, put under one mask; order changed.

Each is a frozen dataclass with `apply`: a batch and a generator to another batch, whose texts are those, spoilt. What
stands around texts and between documents stays where it is.

N tokens of B texts, M of them that may be touched, S spans.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.objective.tokens import role_id

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
STOPS = frozenset(".!?。！？…")
_CLOSERS = frozenset("\"'”’»)）」』】》]")


@dataclass(frozen=True, eq=False)
class Marks:
    """What corruptions must know of a vocabulary; V ids."""

    fixed: Flags
    """(V,) True for what stands around texts and between documents."""
    stops: Flags
    """(V,) True for what ends a sentence."""
    mask: int | None
    """The id of the mask; None where no corruption needs one."""

    @classmethod
    def of(cls, tokenizer: "Tokenizer", around: frozenset[int], corruptions: "tuple[Corruption, ...]") -> Self:
        """The marks of this vocabulary; InputError where a corruption needs one that it lacks."""
        fixed, stops = np.zeros(tokenizer.size, bool), np.zeros(tokenizer.size, bool)
        fixed[list(around)] = True
        for token, number in tokenizer.vocabulary.items():
            text = (tokenizer.writing.read(token).text or "").strip()
            stops[number] = bool(STOPS & set(text)) and set(text) <= STOPS | _CLOSERS
        mask = None
        for one in corruptions:
            if "mask" in one.needs:
                mask = role_id(tokenizer, "mask", type(one).__name__)
            if "stops" in one.needs and not stops.any():
                raise InputError(
                    f"{type(one).__name__} finds sentences by {' '.join(sorted(STOPS))}, and no token of this "
                    "vocabulary is one; leave it out"
                )
        return cls(fixed, stops, mask)

    def documents(self, batch: Batch) -> Counts:
        """(N,) the number of the document of each token, rising; what stands between them has numbers of its own."""
        fixed = self.fixed[batch.ids]
        begins = fixed.copy()
        begins[1:] |= fixed[:-1]
        begins[batch.starts[batch.lengths > 0]] = True
        return np.cumsum(begins) - 1


@dataclass(frozen=True, kw_only=True)
class Masking:
    """Tokens give way to the mask, one by one, as in BERT."""

    needs: ClassVar[tuple[str, ...]] = ("mask",)
    share: float = 0.15
    """Of the tokens, how many."""

    def __post_init__(self) -> None:
        _check_share(self.share)

    def apply(self, batch: Batch, marks: Marks, rng: np.random.Generator) -> Batch:
        """round(share·n) of n tokens are the mask."""
        own = np.flatnonzero(~marks.fixed[batch.ids])
        rows = batch.rows[own]
        n = np.bincount(rows, minlength=len(batch))
        assert marks.mask is not None
        ids = batch.ids.copy()
        ids[own[_rank(rows, n, rng) < np.rint(n * self.share)[rows]]] = marks.mask
        return replace(batch, ids=ids)


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """Tokens are left out, and nothing says where."""

    needs: ClassVar[tuple[str, ...]] = ()
    share: float = 0.15
    """Of the tokens, how many."""

    def __post_init__(self) -> None:
        _check_share(self.share)

    def apply(self, batch: Batch, marks: Marks, rng: np.random.Generator) -> Batch:
        """What is `kept`, in its order."""
        keep = self.kept(batch, marks, rng)
        return _of(batch, batch.ids[keep], batch.rows[keep])

    def kept(self, batch: Batch, marks: Marks, rng: np.random.Generator) -> Flags:
        """(N,) False for round(share·n) of n tokens, but never for the last one that is left."""
        own = np.flatnonzero(~marks.fixed[batch.ids])
        rows = batch.rows[own]
        n = np.bincount(rows, minlength=len(batch))
        keep = np.ones(len(batch.ids), bool)
        keep[own] = _rank(rows, n, rng) >= np.minimum(np.rint(n * self.share), n - 1)[rows]
        return keep


@dataclass(frozen=True, kw_only=True)
class Infilling:
    """Spans give way to one mask each, so that how long they were must be told too; a span of none is a mask more.

    Lengths are drawn from Poisson(mean) until round(share·n) of n tokens are in spans, the last cut to fit; places are
    drawn such that no spans overlap. Lewis et al. 2019, section 2.2.
    """

    needs: ClassVar[tuple[str, ...]] = ("mask",)
    share: float = 0.3
    """Of the tokens, how many are in spans."""
    mean: float = 3.0
    """λ, tokens of a span."""

    def __post_init__(self) -> None:
        _check_share(self.share)
        if not 0.1 <= self.mean < 1e6:
            raise InputError(f"mean={self.mean} must be at least 0.1 and below a million; BART takes 3")

    def apply(self, batch: Batch, marks: Marks, rng: np.random.Generator) -> Batch:
        """A span ends with its document, though it was to go on beyond."""
        fixed = marks.fixed[batch.ids]
        own = np.flatnonzero(~fixed)  # (M,)
        n = np.bincount(batch.rows[own], minlength=len(batch))
        hides = np.rint(n * self.share).astype(np.int64)
        lengths, spans = _poisson(hides, self.mean, rng)
        # Kept tokens and spans stand in a row of slots, any order of the two alike likely.
        slots = n - hides + spans
        text = np.repeat(np.arange(len(batch)), slots)
        rank = _rank(text, slots, rng)
        is_span = rank < spans[text]
        sizes = np.ones(len(text), np.int64)
        sizes[is_span] = lengths[((np.cumsum(spans) - spans)[text] + rank)[is_span]]
        first = np.cumsum(sizes) - sizes  # of each slot, its first place among the M

        hidden = np.zeros(len(batch.ids), bool)
        hidden[own] = np.repeat(is_span, sizes)
        ended = np.cumsum(fixed)
        hidden[own] &= ended[own] == ended[own[np.repeat(first, sizes)]]

        # A mask stands before its span's first token; after all of them where nothing follows a span of none.
        place, after = first[is_span], np.cumsum(n)[text[is_span]] == first[is_span]
        at = own[place - after] + after
        assert marks.mask is not None
        ids = np.insert(batch.ids, at, marks.mask)
        rows = np.insert(batch.rows, at, text[is_span])
        keep = ~np.insert(hidden, at, False)
        return _of(batch, ids[keep], rows[keep])


@dataclass(frozen=True, kw_only=True)
class SentencePermutation:
    """The sentences of a document stand in a random order; one ends with . ! ? 。 ！ ？ … and what closes after it."""

    needs: ClassVar[tuple[str, ...]] = ("stops",)

    def apply(self, batch: Batch, marks: Marks, rng: np.random.Generator) -> Batch:
        """All orders are alike likely."""
        document, stop = marks.documents(batch), marks.stops[batch.ids]
        begins = np.ones(len(batch.ids), bool)
        begins[1:] = (document[1:] != document[:-1]) | (stop[:-1] & ~stop[1:])
        sentence = np.cumsum(begins) - 1
        chance = rng.random(int(begins.sum()))
        return replace(batch, ids=batch.ids[np.lexsort((sentence, chance[sentence], document))])


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """A document begins with a token in its midst, and what stood before that follows its end."""

    needs: ClassVar[tuple[str, ...]] = ()

    def apply(self, batch: Batch, marks: Marks, rng: np.random.Generator) -> Batch:
        """Each token is alike likely to be the first."""
        document = marks.documents(batch)
        length = np.bincount(document)
        start = (np.cumsum(length) - length)[document]
        turn = (rng.random(len(length)) * length).astype(np.int64)[document]
        order = start + (np.arange(len(document)) - start + turn) % length[document]
        return replace(batch, ids=batch.ids[order])


Corruption = Masking | Deletion | Infilling | SentencePermutation | Rotation


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"share={share} must lie between 0 and 1")


def _of(batch: Batch, ids: NDArray[np.int32], rows: Counts) -> Batch:
    """The batch with other tokens, of these texts; a limit has cut of each what it had."""
    return Batch(ids=ids, lengths=np.bincount(rows, minlength=len(batch)), cut=batch.cut)


def _rank(rows: Counts, n: Counts, rng: np.random.Generator) -> Counts:
    """A random order of each text's items: `rows` (M,) rises, text b has n[b] of them, ranked from 0."""
    rank = np.empty(len(rows), np.int64)
    rank[np.lexsort((rng.random(len(rows)), rows))] = np.arange(len(rows)) - (np.cumsum(n) - n)[rows]
    return rank


def _poisson(hides: Counts, mean: float, rng: np.random.Generator) -> tuple[Counts, Counts]:
    """(B,) tokens to hide -> (S,) lengths of spans that sum to them, text after text, and (B,) spans of each text."""
    width = int(hides.max(initial=0) / mean) + 8
    drawn = rng.poisson(mean, (len(hides), width))
    while (drawn.sum(1) < hides).any():
        drawn = np.concatenate([drawn, rng.poisson(mean, (len(hides), width))], 1)
    before = np.cumsum(drawn, 1) - drawn
    used = before < hides[:, None]
    return np.minimum(drawn, hides[:, None] - before)[used], used.sum(1)
