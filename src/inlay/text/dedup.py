"""Documents that were seen before: exactly, by a 64-bit fingerprint, or nearly, by MinHash and banded hashing.

A near duplicate shares most of its shingles: runs of 8 bytes of the UTF-8 text, with punctuation and case gone. Bytes
and not characters, because 8 bytes hold about as much in every script: a word and a bit of English, or most of three
Chinese characters. No segmentation, no table of scripts, and time linear in the bytes whatever they are.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.text.document import Document

# n texts, K slots of a signature, R rows of a band

_SHINGLE = 8  # bytes: one uint64, so that a shingle needs no hash to be a number
_SLOTS = 128
_PIECE = 1 << 20  # bytes of text hashed at once: bounds the working memory to about 50 MB
_EMPTY = np.uint64(2**64 - 1)
_PER_BUCKET = 32  # candidates looked at in a bucket: keeps the time linear when a corpus is all boilerplate
_SYMBOLS = re.compile(r"[\W_]+")
_SLICE = 1024  # documents that `dedup` looks at together


def fingerprint(text: str) -> int:
    """The same 64 bits for texts that differ in case and white space only (blake2b).

    Among n different texts two share a fingerprint with a chance of n²/2⁶⁵: one in 300,000 for ten million texts.
    """
    folded = " ".join(text.casefold().split())
    return int.from_bytes(hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Exact:
    """Remembers every text it was given in 8 bytes each (24 while two runs are merged)."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []  # each sorted, each at least twice as long as the next

    def __len__(self) -> int:
        """How many different texts have been seen."""
        return sum(len(run) for run in self._runs)

    def add(self, texts: list[str]) -> list[bool]:
        """True for each text that is seen for the first time, here or in any earlier call."""
        prints = np.array([fingerprint(text) for text in texts], np.uint64)
        run, first = np.unique(prints, return_index=True)
        new = np.ones(len(run), bool)
        for older in self._runs:
            new &= ~_contains(older, run)
        if new.any():
            self._runs.append(run[new])
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]), kind="stable")  # linear: it merges runs
        fresh = np.zeros(len(texts), bool)
        fresh[first[new]] = True
        return fresh.tolist()


class NearDuplicates:
    """Finds earlier texts whose shingles overlap by `threshold` or more (Jaccard), in about 0.5 kB a kept text.

    MinHash with one permutation (Li, Owen, Zhang 2012) and optimal densification (Shrivastava 2017, arXiv:1703.04664):
    128 slots, 16 bits kept of each, so an estimate is off by 0.035 (one standard deviation) at 0.8. Candidates share
    one band of slots; the bands are chosen so that a pair at the threshold is a candidate with a chance of 99%.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        if not 0 < threshold <= 1:
            raise InputError(f"near-duplicate threshold {threshold} must be above 0 and at most 1; 0.8 is usual")
        self.threshold = threshold
        self.bands, self.rows = _bands(threshold)
        self._seen = 0
        self._kept: list[int] = []
        self._blocks: list[NDArray[np.uint16]] = []  # (_SLICE, K) each: the signatures of kept texts, in order
        self._runs: list[tuple[NDArray[np.uint64], NDArray[np.int32]]] = []  # sorted band keys, and who has them

    def add(self, texts: list[str]) -> list[int]:
        """For each text the index (over all texts ever added) of an earlier near duplicate of it, or -1.

        Only texts that came out as -1 are remembered, so the answer is never itself a duplicate. Of several near
        duplicates the closest is named. Two texts without letters or digits are compared by their signs; two empty
        texts are duplicates.
        """
        found: list[int] = []
        for start in range(0, len(texts), _SLICE):
            found += self._add(signatures(texts[start : start + _SLICE]))
        return found

    def _add(self, full: NDArray[np.uint64]) -> list[int]:
        keys = _band_keys(full, self.bands, self.rows)  # (n, bands)
        short = full.astype(np.uint16)  # (n, K)
        candidates = self._candidates(keys)
        recent: dict[int, list[int]] = {}  # band key -> texts of this call
        found: list[int] = []
        for i, row in enumerate(keys.tolist()):
            near = candidates.get(i, [])
            near += [kept for key in row if key in recent for kept in recent[key]]
            twin = self._closest(short[i], near)
            found.append(-1 if twin is None else self._kept[twin])
            if twin is None:
                self._remember(short[i], self._seen + i)
                for key in row:
                    bucket = recent.setdefault(key, [])
                    if len(bucket) < _PER_BUCKET:
                        bucket.append(len(self._kept) - 1)
        self._seen += len(keys)
        if recent:
            pairs = [(key, kept) for key, bucket in recent.items() for kept in bucket]
            self._append(np.array([k for k, _ in pairs], np.uint64), np.array([r for _, r in pairs], np.int32))
        return found

    def _candidates(self, keys: NDArray[np.uint64]) -> dict[int, list[int]]:
        """For each row of keys (n, bands) the kept texts, of earlier calls, that share one of them."""
        near: dict[int, list[int]] = {}
        flat = keys.ravel()
        for run, owners in self._runs:
            left = np.searchsorted(run, flat)
            hits = np.flatnonzero(run[np.minimum(left, len(run) - 1)] == flat)
            for hit in hits.tolist():
                end = int(left[hit]) + _PER_BUCKET
                same = run[left[hit] : end] == flat[hit]
                near.setdefault(hit // self.bands, []).extend(owners[left[hit] : end][same].tolist())
        return near

    def _closest(self, signature: NDArray[np.uint16], near: list[int]) -> int | None:
        """Which of the kept texts agrees in most slots, if that reaches the threshold; the earliest of equals."""
        best, twin = self.threshold, None
        for kept in sorted(set(near)):
            block, row = divmod(kept, _SLICE)
            alike = np.count_nonzero(self._blocks[block][row] == signature) / _SLOTS
            if alike > best or (twin is None and alike == best):
                best, twin = alike, kept
        return twin

    def _remember(self, signature: NDArray[np.uint16], index: int) -> None:
        block, row = divmod(len(self._kept), _SLICE)
        if block == len(self._blocks):
            self._blocks.append(np.empty((_SLICE, _SLOTS), np.uint16))
        self._blocks[block][row] = signature
        self._kept.append(index)

    def _append(self, keys: NDArray[np.uint64], owners: NDArray[np.int32]) -> None:
        order = np.argsort(keys, kind="stable")
        keys, owners = keys[order], owners[order]
        while self._runs and len(self._runs[-1][0]) < 2 * len(keys):
            older, theirs = self._runs.pop()
            keys, owners = np.concatenate([older, keys]), np.concatenate([theirs, owners])
            order = np.argsort(keys, kind="stable")
            keys, owners = keys[order], owners[order]
        self._runs.append((keys, owners))


def dedup(documents: "Iterable[Document]", *, near: float | None = 0.8) -> "Iterator[Document]":
    """Yield each document once, keeping the first, in order; `near=None` drops exact duplicates only.

    Title and text are compared together. Streams: a thousand documents are held at a time.
    """
    exact = Exact()
    nearly = None if near is None else NearDuplicates(near)
    for batch in _slices(documents):
        fresh = exact.add([document.full for document in batch])
        batch = [document for document, new in zip(batch, fresh, strict=True) if new]
        twins = [-1] * len(batch) if nearly is None else nearly.add([document.full for document in batch])
        yield from (document for document, twin in zip(batch, twins, strict=True) if twin < 0)


def signatures(texts: list[str]) -> NDArray[np.uint64]:
    """(n, K) MinHash slots: the share of slots in which two texts agree estimates the Jaccard of their shingles."""
    slots = np.full(len(texts) * _SLOTS, _EMPTY)
    batch: list[tuple[int, bytes]] = []
    size = 0
    for i, text in enumerate(texts):
        for piece in _pieces(_folded(text)):
            batch.append((i, piece))
            size += len(piece)
            if size >= _PIECE:
                _lower(slots, batch)
                batch, size = [], 0
    _lower(slots, batch)
    return _densify(slots.reshape(-1, _SLOTS))


def estimate(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """The Jaccard similarity of two texts, from their signatures."""
    return float(np.mean(a == b))


def _folded(text: str) -> bytes:
    folded = text.casefold()
    words = _SYMBOLS.sub(" ", folded).strip() or " ".join(folded.split())
    return words.encode("utf-8", "surrogatepass").ljust(_SHINGLE, b"\0")


def _pieces(data: bytes) -> Iterator[bytes]:
    """Parts of at most _PIECE shingles that together have the shingles of the whole, each once."""
    for start in range(0, len(data) - _SHINGLE + 1, _PIECE):
        yield data[start : start + _PIECE + _SHINGLE - 1]


def _lower(slots: NDArray[np.uint64], batch: list[tuple[int, bytes]]) -> None:
    """Bring each slot of a text down to the least hash among the text's shingles that fall into it."""
    if not batch:
        return
    lengths = np.array([len(piece) for _, piece in batch])
    counts = lengths - _SHINGLE + 1
    text = np.repeat([i for i, _ in batch], counts)
    joined = b"".join(piece for _, piece in batch)
    # Every byte offset read as a uint64 where it stands; those that straddle two pieces are left out.
    every = np.ndarray((len(joined) - _SHINGLE + 1,), "<u8", joined, strides=(1,))
    skipped = np.arange(len(batch)) * (_SHINGLE - 1)
    hashed = _mix(every[np.arange(counts.sum()) + np.repeat(skipped, counts)])
    np.minimum.at(slots, text * _SLOTS + (hashed >> np.uint64(57)).astype(np.int64), hashed)


def _densify(slots: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Fill each empty slot from the first full one in a fixed random order that is the slot's own."""
    full = slots != _EMPTY  # (n, K)
    filled = slots.copy()
    text, slot = np.nonzero(~full)
    for step in range(1, _SLOTS):
        if not len(text):
            break
        source = _PROBES[slot, step]
        found = full[text, source]
        filled[text[found], slot[found]] = slots[text[found], source[found]]
        text, slot = text[~found], slot[~found]
    return filled


def _probes() -> NDArray[np.int64]:
    """(K, K): in row k the other slots in an order of k's own, k itself first."""
    order = np.argsort(_mix(np.arange(_SLOTS * _SLOTS, dtype=np.uint64)).reshape(_SLOTS, _SLOTS), axis=1)
    rest = order[order != np.arange(_SLOTS)[:, None]].reshape(_SLOTS, _SLOTS - 1)
    return np.concatenate([np.arange(_SLOTS)[:, None], rest], axis=1)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64 bits that leaves no pattern (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _band_keys(full: NDArray[np.uint64], bands: int, rows: int) -> NDArray[np.uint64]:
    """(n, bands): equal in two texts where all slots of the band are."""
    keys = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64), (len(full), bands))
    for row in range(rows):
        keys = _mix(keys + full[:, row : bands * rows : rows])
    return keys


def _bands(threshold: float) -> tuple[int, int]:
    """Bands and rows a band: the most rows with which a pair at the threshold still meets with a chance of 99%."""
    for rows in range(_SLOTS, 1, -1):
        bands = _SLOTS // rows
        if 1 - (1 - threshold**rows) ** bands >= 0.99:
            return bands, rows
    return _SLOTS, 1


def _contains(run: NDArray[np.uint64], values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(run, values), len(run) - 1)
    return run[at] == values


def _slices(documents: "Iterable[Document]") -> "Iterator[list[Document]]":
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if len(batch) == _SLICE or size > 4 * _PIECE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_PROBES = _probes()
