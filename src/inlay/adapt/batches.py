"""Batches by number out of texts in memory: pairs, pairs with scores, and texts alone, in an order drawn by seed."""

# P pairs, B texts of a batch, N tokens

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.adapt.pairs import Pairs, need_two_groups, need_two_scores
from inlay.batch import Batch, Columns
from inlay.live import say
from inlay.text.document import Document
from inlay.text.labelled import Alike
from inlay.text.pairs import sentences
from inlay.text.shuffle import shuffled
from inlay.tokenize.tokenizer import Tokenizer

_CHARACTERS_A_TOKEN = 3


class _Shuffled:
    """Whole batches of an order that every epoch draws anew; what is left over of an epoch is not read in it."""

    def __init__(self, size: int, per_batch: int, seed: int, what: dict[str, Any]) -> None:
        self._size, self._per_batch, self._seed = size, min(per_batch, size), seed
        self._what = what

    @property
    def per_epoch(self) -> int:
        return self._size // self._per_batch

    @property
    def identity(self) -> dict[str, Any]:
        return {**self._what, "size": self._size, "per_batch": self._per_batch, "seed": self._seed}

    def _places(self, number: int) -> NDArray[np.int64]:
        """(B,) what is in the batch of that number."""
        epoch, at = divmod(number, self.per_epoch)
        places = np.arange(at * self._per_batch, (at + 1) * self._per_batch)
        return shuffled(places, self._size, (self._seed, epoch))

    def _after(self, number: int) -> Iterator[int]:
        """What comes after that batch, and before it, in the order of its epoch."""
        epoch, at = divmod(number, self.per_epoch)
        rest = (np.arange(self._size - self._per_batch) + (at + 1) * self._per_batch) % self._size
        yield from shuffled(rest, self._size, (self._seed, epoch)).tolist()


class PairBatches(_Shuffled):
    """Columns of queries, answers and negatives; no batch is of one group alone."""

    def __init__(
        self,
        pairs: Pairs,
        tokenizer: Tokenizer,
        *,
        per_batch: int,
        max_length: int,
        seed: int,
        prompts: tuple[str, str],
    ) -> None:
        size = min((len(one) for one in pairs.negatives), default=0)
        if more := sum(len(one) > size for one in pairs.negatives):
            say(f"note: {more:,} pairs have more negatives than others; {size} of each are learnt from")
        queries, answers = (
            [prompt + text for text in texts]
            for prompt, texts in zip(prompts, (pairs.queries, pairs.positives), strict=True)
        )
        negatives = [[prompts[1] + one[k] for one in pairs.negatives] for k in range(size)]
        self._columns, told = _columns(tokenizer, (queries, answers, *negatives), max_length)
        self._groups = pairs.groups[told]
        need_two_groups(self._groups)
        super().__init__(len(told), per_batch, seed, {"pairs": _digest(self._columns, self._groups)})

    def batch(self, number: int) -> Columns:
        places = self._places(number)
        groups = self._groups[places]
        if (groups == groups[0]).all():  # nothing to be told apart: another pair stands in for the last
            places[-1] = next(place for place in self._after(number) if self._groups[place] != groups[0])
        anchor, positive, *negatives = [chosen(column, places) for column in self._columns]
        return Columns(anchor, positive, tuple(negatives), self._groups[places])


class ScoreBatches(_Shuffled):
    """Columns of two texts, and how alike they are."""

    def __init__(
        self, given: Sequence[Alike], tokenizer: Tokenizer, *, per_batch: int, max_length: int, seed: int
    ) -> None:
        sides = [one.left for one in given], [one.right for one in given]
        self._columns, told = _columns(tokenizer, sides, max_length)
        self._scores = np.array([one.score for one in given], np.float64)[told]
        need_two_scores(self._scores.tolist())
        super().__init__(len(told), per_batch, seed, {"pairs": _digest(self._columns, self._scores)})

    def batch(self, number: int) -> Columns:
        places = self._places(number)
        left, right = (chosen(column, places) for column in self._columns)
        return Columns(left, right, scores=self._scores[places])


class TextBatches(_Shuffled):
    """Texts alone."""

    def __init__(
        self, texts: Sequence[str], tokenizer: Tokenizer, *, per_batch: int, max_length: int, seed: int
    ) -> None:
        batch = _encoded(tokenizer, texts, max_length)
        self._texts = batch
        super().__init__(len(batch), per_batch, seed, {"texts": _digest([batch], batch.lengths)})

    def batch(self, number: int) -> Batch:
        return chosen(self._texts, self._places(number))


def passages(documents: Sequence[Document], beside: Sequence[str], max_length: int) -> list[str]:
    """The documents and texts cut at borders of sentences into pieces of about `max_length` tokens."""
    room = max_length * _CHARACTERS_A_TOKEN
    found: list[str] = []
    for text in (*(document.full for document in documents), *beside):
        piece = ""
        for sentence in sentences(text):
            if piece and len(piece) + len(sentence) > room:
                found.append(piece)
                piece = ""
            piece = f"{piece} {sentence}" if piece else sentence
        found += [piece] if piece else []
    return found


def all_sentences(documents: Sequence[Document], beside: Sequence[str]) -> list[str]:
    """Each sentence of the documents and texts, once."""
    texts = (*(document.full for document in documents), *beside)
    return list(dict.fromkeys(sentence for text in texts for sentence in sentences(text)))


def chosen(batch: Batch, places: NDArray[np.int64]) -> Batch:
    """The texts at these places, in that order."""
    lengths, starts = batch.lengths[places], batch.starts[places]
    begins = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    rows = np.arange(lengths.sum()) + begins
    segments = None if batch.segments is None else batch.segments[rows]
    return Batch(ids=batch.ids[rows], lengths=lengths, cut=batch.cut[places], segments=segments)


def _columns(
    tokenizer: Tokenizer, columns: Sequence[Sequence[str]], max_length: int
) -> tuple[list[Batch], NDArray[np.int64]]:
    """The columns without the rows of which a text has no token, such as signs that it does not know; the rows left."""
    found = [_encoded(tokenizer, texts, max_length) for texts in columns]
    told = np.flatnonzero(np.all([column.lengths > 0 for column in found], axis=0))
    if silent := len(columns[0]) - len(told):
        say(f"note: {silent:,} pairs are left out, of which a text has no token")
    return [chosen(column, told) for column in found], told


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> Batch:
    return tokenizer.encode(list(texts), max_length=max_length, specials=True)


def _digest(columns: Sequence[Batch], numbers: NDArray[Any]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(numbers).tobytes())
    for column in columns:
        digest.update(column.ids.tobytes())
        digest.update(column.lengths.tobytes())
    return digest.hexdigest()
