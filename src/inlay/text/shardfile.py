"""Token shards on disk: what a folder of them holds, read through the memory map, checked before a token is trusted.

    shards.json         what it is, and how much of it there is
    checksums.json      the sha256 of every file
    tokenizer/          the tokenizer that cut the text
    counts.bin          (V,) uint64: how often each id comes in the training text
    shards/00000/       train.tokens (T,) uint16 or uint32, train.ends (D,) uint64, train.flags (T,) uint8, and the same
                        for heldout; all little-endian. A document's tokens lie between the end before it and its own.

T tokens and D documents of one split in one shard, V rows of an embedding table.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from inlay.config import from_tree
from inlay.errors import InputError, did_you_mean
from inlay.files import CHECKSUMS, contained, read_json, verify_checksums

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

FORMAT = 1
SPLITS = ("train", "heldout")
Split = Literal["train", "heldout"]
SHARDS, COUNTS, TOKENIZER, PARTS, RUN = "shards.json", "counts.bin", "tokenizer", "shards", "run.json"
WORD, SENTENCE = 1, 2
"""The bits of a flag: the token begins a word, a sentence."""

_MOST_BYTES = 256 << 20  # of shards.json, with a million shards
_BLOCK = 1 << 22
_OPEN = 100
"""Shards of a split that are mapped at a time; each holds up to three file handles, of about a thousand there are."""
_ANEW = "copy the folder again, or make it anew with --force"


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much text: of one split, in one shard or in all."""

    documents: int = 0
    tokens: int = 0
    characters: int = 0
    """Unicode characters of the cleaned text, titles included."""
    bytes: int = 0
    """The same in UTF-8."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise InputError(f"{field.name}={getattr(self, field.name)} must be at least 0")

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One shard, by the name of its folder."""

    name: str
    train: Amount
    heldout: Amount


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The content of shards.json."""

    format: int
    dtype: Literal["uint16", "uint32"]
    vocabulary: str
    """`vocabulary_hash` of the tokenizer."""
    size: int
    """Rows that an embedding table needs."""
    words: bool
    """Whether a flag tells where words begin."""
    sentences: bool
    """Whether a flag tells where sentences begin."""
    lang: str
    """The language whose words are marked; empty where none are."""
    held_out: float
    """The share of documents that was asked for."""
    seed: int
    train: Amount
    heldout: Amount
    without_tokens: int
    """Documents that the tokenizer gave no token, and that are therefore in no shard."""
    entropy: float
    """Of the unigram distribution of the training tokens, in nats: the loss of a model that knows frequencies alone."""
    shards: tuple[Stored, ...]

    @property
    def flagged(self) -> bool:
        """Whether there are flags at all."""
        return self.words or self.sentences


@dataclass(frozen=True, eq=False)
class Part:
    """The documents of one split in one shard, mapped from disk."""

    tokens: NDArray[np.unsignedinteger]
    """(T,)"""
    ends: NDArray[np.uint64]
    """(D,) rising; the last is T."""
    flags: NDArray[np.uint8] | None
    """(T,)"""


class Documents:
    """The documents of one split over all shards, in the order of the source; nothing is read until it is asked for."""

    def __init__(self, folder: Path, facts: Facts, split: Split) -> None:
        kept = [(stored.name, amount) for stored in facts.shards if (amount := getattr(stored, split)).documents]
        self.split, self.facts, self.amount = split, facts, getattr(facts, split)
        self._names = [name for name, _ in kept]
        self.tokens = np.array([amount.tokens for _, amount in kept], np.int64)
        """(S,) tokens of each shard that has any."""
        self.documents = np.array([amount.documents for _, amount in kept], np.int64)
        """(S,) documents of each of them."""
        self._folder = folder
        self.part = lru_cache(maxsize=_OPEN)(self._part)
        """The part in shard s."""

    def __len__(self) -> int:
        """How many shards have documents of this split."""
        return len(self._names)

    def __iter__(self) -> Iterator[Part]:
        return (self._part(number) for number in range(len(self)))

    def document(self, number: int) -> NDArray[np.unsignedinteger]:
        """The token ids of a document, counted over all shards."""
        assert 0 <= number < self.amount.documents, "documents are counted from 0"
        before = np.cumsum(self.documents) - self.documents
        shard = int(np.searchsorted(before, number, "right")) - 1
        part, local = self.part(shard), number - int(before[shard])
        return part.tokens[int(part.ends[local - 1]) if local else 0 : int(part.ends[local])]

    def counts(self) -> NDArray[np.int64]:
        """(V,) how often each id comes in this split."""
        found = np.zeros(self.facts.size, np.int64)
        for part in self:
            for start in range(0, len(part.tokens), _BLOCK):
                found += np.bincount(part.tokens[start : start + _BLOCK], minlength=len(found))
        return found

    def _part(self, number: int) -> Part:
        return _open_part(contained(self._folder / PARTS, self._names[number]), self.facts, self.split)


@dataclass(frozen=True, eq=False)
class Shards:
    """A folder of token shards, checked; made by `write_shards`, opened by `Shards.open`."""

    folder: Path
    facts: Facts
    tokenizer: "Tokenizer"

    @classmethod
    def open(cls, folder: str | Path, tokenizer: "Tokenizer | None" = None, *, verify: bool = True) -> Self:
        """The shards in the folder, whose vocabulary must be that of `tokenizer` where one is given.

        The size of every file is checked always; `verify` reads them all, for their sha256, ids and document ends: a
        gigabyte in a second or two. Raises InputError for all that does not fit.
        """
        from inlay.tokenize.tokenizer import Tokenizer

        folder = Path(folder)
        facts = _facts(folder)
        for stored in facts.shards:
            _check_sizes(folder, stored, facts)
        _check_size(folder / COUNTS, 8 * facts.size)
        own = Tokenizer.load(folder / TOKENIZER)
        if (vocabulary_hash(own), own.size) != (facts.vocabulary, facts.size):
            raise InputError(f"{folder / TOKENIZER}: is not the tokenizer that these shards were made with; {_ANEW}")
        if tokenizer is not None and vocabulary_hash(tokenizer) != facts.vocabulary:
            raise InputError(
                f"{folder}: its vocabulary of {facts.size:,} tokens is another than this tokenizer's of "
                f"{tokenizer.size:,}; take {folder / TOKENIZER}, or make new shards: inlay shards SOURCE --tokenizer T"
            )
        if verify:
            _verify(folder, facts)
        return cls(folder, facts, own)

    def documents(self, split: Split) -> Documents:
        """The documents of a split; InputError for another name than train and heldout."""
        if split not in SPLITS:
            raise InputError(f"split={split!r} is unknown{did_you_mean(str(split), SPLITS)}")
        return Documents(self.folder, self.facts, split)

    def counts(self) -> NDArray[np.int64]:
        """(V,) how often each id comes in the training text."""
        return np.fromfile(self.folder / COUNTS, "<u8").astype(np.int64)


def begun(folder: Path) -> bool:
    """Whether shards were begun in the folder: other long work keeps a run.json of its own, which is none of ours."""
    file = folder / RUN
    before = read_json(file, most=_MOST_BYTES) if file.is_file() else None
    return isinstance(before, dict) and {"format", "tokenizer", "source"} <= before.keys()


def vocabulary_hash(tokenizer: "Tokenizer") -> str:
    """The sha256 of the tokens and their ids: equal where every id means the same token."""
    tokens = sorted(tokenizer.vocabulary.items())
    return hashlib.sha256(json.dumps(tokens, ensure_ascii=True).encode()).hexdigest()


def entropy(counts: NDArray[np.int64]) -> float:
    """-Σ p log p of the counts, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def files_of(facts_flagged: bool, amount: Amount, split: str, itemsize: int) -> dict[str, int]:
    """The files of one split in one shard, and how many bytes each must have."""
    sizes = {"tokens": amount.tokens * itemsize, "ends": amount.documents * 8}
    if facts_flagged:
        sizes["flags"] = amount.tokens
    return {f"{split}.{name}": size for name, size in sizes.items()}


def _facts(folder: Path) -> Facts:
    """What shards.json says, once it is consistent in itself."""
    file = folder / SHARDS
    if not begun(folder) and not file.is_file():
        raise InputError(f"{folder}: no folder of shards (it has no {SHARDS}); make one: inlay shards SOURCE …")
    if not (folder / CHECKSUMS).is_file():
        raise InputError(f"{folder}: these shards are not finished; give the same inlay shards command again")
    if not file.is_file():
        raise InputError(f"{file}: missing; {_ANEW}")
    tree: Any = read_json(file, most=_MOST_BYTES)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        found = tree.get("format") if isinstance(tree, dict) else None
        raise InputError(f"{file}: format {found!r}, where this version reads {FORMAT}; make the shards anew")
    facts = from_tree(Facts, tree, str(file))
    for split in SPLITS:
        total = sum((getattr(stored, split) for stored in facts.shards), Amount())
        if total != getattr(facts, split):
            raise InputError(f"{file}: its shards do not add up to what it says of {split}; {_ANEW}")
    if facts.dtype == "uint16" and facts.size > 1 << 16:
        raise InputError(f"{file}: {facts.size:,} ids do not fit into {facts.dtype}; {_ANEW}")
    return facts


def _check_sizes(folder: Path, stored: Stored, facts: Facts) -> None:
    place = contained(folder / PARTS, stored.name)
    for split in SPLITS:
        amount: Amount = getattr(stored, split)
        for name, size in files_of(facts.flagged, amount, split, np.dtype(facts.dtype).itemsize).items():
            _check_size(place / name, size)


def _check_size(file: Path, size: int) -> None:
    if not file.is_file():
        raise InputError(f"{file}: missing; {_ANEW}")
    if (found := file.stat().st_size) != size:
        change = "was cut short" if found < size else "has grown"
        raise InputError(f"{file}: {change}: {found:,} bytes, and {SHARDS} says {size:,}; {_ANEW}")


def _verify(folder: Path, facts: Facts) -> None:
    """InputError for the first file whose bytes, ids or document ends cannot be."""
    verify_checksums(folder)
    for split in SPLITS:
        documents = Documents(folder, facts, split)  # type: ignore[arg-type]
        for number, part in enumerate(documents):
            place = folder / PARTS / documents._names[number]
            for start in range(0, len(part.tokens), _BLOCK):
                if (highest := int(part.tokens[start : start + _BLOCK].max())) >= facts.size:
                    raise InputError(
                        f"{place / f'{split}.tokens'}: has id {highest}, but the vocabulary ends at "
                        f"{facts.size - 1}; {_ANEW}"
                    )
            if part.ends[0] == 0 or (part.ends[1:] <= part.ends[:-1]).any():
                raise InputError(f"{place / f'{split}.ends'}: its documents overlap; {_ANEW}")
            if facts.sentences and part.flags is not None:
                first = np.append(np.uint64(0), part.ends[:-1])
                if not (part.flags[first] & SENTENCE).all():
                    raise InputError(f"{place / f'{split}.flags'}: a document begins without a sentence; {_ANEW}")


def _open_part(place: Path, facts: Facts, split: Split) -> Part:
    """The part mapped from disk, its last end checked."""

    def mapped(name: str, dtype: Any) -> NDArray[Any]:
        # As a plain array: a memmap takes several times as long for each slice.
        return np.memmap(place / f"{split}.{name}", dtype, "r").view(np.ndarray)

    tokens, ends = mapped("tokens", np.dtype(facts.dtype).newbyteorder("<")), mapped("ends", "<u8")
    if int(ends[-1]) != len(tokens):
        raise InputError(f"{place / f'{split}.ends'}: ends at {ends[-1]}, but there are {len(tokens)} tokens; {_ANEW}")
    return Part(tokens, ends, mapped("flags", np.uint8) if facts.flagged else None)
