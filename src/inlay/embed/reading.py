"""Reading: texts to their tokens, and those to the pieces that an encoder reads, with prompt and special tokens."""

# B texts, N tokens of the texts, P pieces, H tokens of all prompts

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed.long import Ints, Pieces, Truncate, kept
from inlay.errors import InputError
from inlay.tokenize.slices import SIZE, slices
from inlay.tokenize.tokenizer import Tokenizer

_PROBES = ("a", "1", ".", "的")
_BLOCK_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """The tokens of B texts without what stands around them; `offsets` only where they were asked for."""

    ids: NDArray[np.int32]
    """(N,) text after text, without the prompt's."""
    lengths: Ints
    """(B,)"""
    heads: NDArray[np.int32]
    """(H,) the prompt's tokens before each text, text after text."""
    head_lengths: Ints
    """(B,) the same number for all, but for a text that the prompt's end melts into."""
    dropped: Ints
    """(B,) tokens that are not read."""
    offsets: Ints
    """(N, 2) which characters of its text a token stands for: `text[start:stop]`; (0, 2) where nobody asked."""

    @property
    def starts(self) -> Ints:
        """(B,) where each text begins in `ids`."""
        return np.cumsum(self.lengths) - self.lengths


class Reader:
    """A tokenizer and a length: texts of any size become pieces that an encoder takes."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, prompt: str = "") -> None:
        self.tokenizer, self.prompt = tokenizer, prompt
        self.before, self.behind = _around(tokenizer)
        self.prompt_ids = tokenizer.encode([prompt]).ids if prompt else np.zeros(0, np.int32)
        self.room = max_length - self.before.n_tokens - self.behind.n_tokens - len(self.prompt_ids)
        if self.room < 1:
            raise InputError(
                f"max_length={max_length} leaves no room for text beside the special tokens"
                f"{' and the prompt' if prompt else ''}; try {max_length + 1 - self.room} or more"
            )

    def read(self, texts: Sequence[str], *, places: bool = False) -> Content:
        """The tokens of the texts; very long ones are tokenised in slices. `places` asks for their offsets too."""
        asked = [self.prompt + text for text in texts] if self.prompt else list(texts)
        parts, counts, shifts = [], [], []
        for text in asked:
            cut = [text] if len(text) <= 2 * SIZE else slices(self.tokenizer, text)
            parts += cut
            counts.append(len(cut))
            if places:
                shifts += [0, *np.cumsum([len(part) for part in cut[:-1]], dtype=np.int64).tolist()]
        offsets = np.zeros((0, 2), np.int64)
        if places:
            batch, offsets = self.tokenizer.places(parts)
            offsets = offsets + np.repeat(np.array(shifts, np.int64), batch.lengths)[:, None] - len(self.prompt)
        else:
            batch = self.tokenizer.encode(parts)
        ends = np.concatenate([[0], np.cumsum(batch.lengths)])[np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])]
        lengths = np.diff(ends)
        if not len(self.prompt_ids):
            none = np.zeros_like(lengths)
            return Content(batch.ids, lengths, batch.ids[:0], none, none, offsets)
        heads = np.minimum(lengths, len(self.prompt_ids))
        place = np.arange(len(batch.ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        inside = place >= np.repeat(heads, lengths)
        return Content(
            ids=batch.ids[inside],
            lengths=lengths - heads,
            heads=batch.ids[~inside],
            head_lengths=heads,
            dropped=np.zeros_like(lengths),
            offsets=np.maximum(offsets[inside], 0) if places else offsets,
        )

    def truncated(self, content: Content, long: Truncate) -> Content:
        """The content without the tokens that do not fit; `dropped` counts them."""
        over = np.maximum(content.lengths - self.room, 0)
        if not over.any():
            return content
        stays = kept(content.lengths, self.room, long.keep)
        return Content(
            ids=content.ids[stays],
            lengths=content.lengths - over,
            heads=content.heads,
            head_lengths=content.head_lengths,
            dropped=over,
            offsets=content.offsets[stays] if len(content.offsets) else content.offsets,
        )

    def sizes(self, content: Content, pieces: Pieces) -> Ints:
        """(P,) tokens of each piece, all that stand around it included."""
        around = self.before.n_tokens + self.behind.n_tokens
        return around + content.head_lengths[pieces.texts] + pieces.stops - pieces.starts

    def batch(self, content: Content, pieces: Pieces) -> Batch:
        """The pieces as an encoder reads them: special tokens, the prompt, tokens of the text, special tokens."""
        n_before = self.before.n_tokens
        heads, starts = content.head_lengths[pieces.texts], pieces.starts
        inner, lengths = heads + pieces.stops - starts, self.sizes(content, pieces)
        place = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths + n_before, lengths)
        ahead, behind = place < 0, place - np.repeat(inner, lengths)
        head = ~ahead & (place < np.repeat(heads, lengths))
        text = ~ahead & ~head & (behind < 0)
        ids, segments = np.zeros(len(place), np.int32), np.zeros(len(place), np.int32)
        head_starts = (np.cumsum(content.head_lengths) - content.head_lengths)[pieces.texts]
        ids[head] = content.heads[(np.repeat(head_starts, lengths) + place)[head]]
        ids[text] = content.ids[(np.repeat(content.starts[pieces.texts] + starts - heads, lengths) + place)[text]]
        ids[ahead] = np.tile(self.before.ids, len(pieces))
        ids[behind >= 0] = np.tile(self.behind.ids, len(pieces))
        told = self.before.segments is not None and self.behind.segments is not None
        if told:
            segments[ahead] = np.tile(self.before.segments, len(pieces))  # type: ignore[arg-type]
            segments[behind >= 0] = np.tile(self.behind.segments, len(pieces))  # type: ignore[arg-type]
        return Batch(ids=ids, lengths=lengths, cut=np.zeros_like(lengths), segments=segments if told else None)

    def bare(self, content: Content) -> NDArray[np.bool_]:
        """(B,) True for texts without a token of their own: all of them are read as the same row of tokens."""
        bare = content.lengths == 0
        if len(self.prompt_ids) and bare.any():
            starts = np.cumsum(content.head_lengths) - content.head_lengths
            for text in np.flatnonzero(bare):
                own = content.heads[starts[text] : starts[text] + content.head_lengths[text]]
                bare[text] = np.array_equal(own, self.prompt_ids)
        return bare


def counted(texts: Sequence[str]) -> int:
    """How many texts there are; InputError for a single text, and for what can be gone through only once."""
    if isinstance(texts, str):
        raise InputError(f"one text ({texts[:40]!r}) where a list of texts is wanted; put it in a list")
    if not hasattr(texts, "__len__"):
        raise InputError(f"a {type(texts).__name__} where a list of texts is wanted; make a list of it")
    return len(texts)


def blocks(texts: Sequence[str], size: int) -> Iterator[tuple[int, list[str]]]:
    """The texts in lists of at most `size`, ended early where they are long, each with the number of its first text.

    Raises InputError for a size below 1, for what is no text, and for what `counted` refuses.
    """
    counted(texts)
    if size < 1:
        raise InputError(f"batch_size={size} must be at least 1; 1024 is usual")
    start, held = 0, 0
    block: list[str] = []
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {number} is {text!r:.40}; every text must be a str")
        if block and (len(block) == size or held + len(text) > _BLOCK_CHARACTERS):
            yield start, block
            start, block, held = number, [], 0
        block.append(text)
        held += len(text)
    if block:
        yield start, block


def ranges(starts: Ints, sizes: Ints) -> Ints:
    """The numbers from `starts[i]` on, `sizes[i]` of them, for each i one after another."""
    return np.arange(int(sizes.sum())) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)


def _around(tokenizer: Tokenizer) -> tuple[Batch, Batch]:
    """What the tokenizer puts before a text, and what behind it, each as a batch of one text."""
    for probe in _PROBES:
        inner, whole = tokenizer.encode([probe]).ids, tokenizer.encode([probe], specials=True)
        if not len(inner):
            continue
        for at in range(whole.n_tokens - len(inner) + 1):
            if np.array_equal(whole.ids[at : at + len(inner)], inner):
                return _part(whole, 0, at), _part(whole, at + len(inner), whole.n_tokens)
        raise InputError(f"this tokenizer's special tokens stand inside of {probe!r}, not around it; save it anew")
    whole = tokenizer.encode([""], specials=True)
    return _part(whole, 0, whole.n_tokens), _part(whole, whole.n_tokens, whole.n_tokens)


def _part(batch: Batch, start: int, stop: int) -> Batch:
    segments = None if batch.segments is None else batch.segments[start:stop]
    lengths = np.array([stop - start], np.int64)
    return Batch(ids=batch.ids[start:stop], lengths=lengths, cut=np.zeros(1, np.int64), segments=segments)
