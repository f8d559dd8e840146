"""What a word without a vector gets: an error, zero, the average, its n-grams, or the word for unknown ones."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Refuse:
    """An unseen word is an InputError that names it."""


@dataclass(frozen=True)
class Zero:
    """An unseen word has the vector zero."""


@dataclass(frozen=True)
class Mean:
    """An unseen word has the mean of all vectors: the unknown word as the average word."""


@dataclass(frozen=True)
class NGrams:
    """An unseen word has the mean of its character n-grams' vectors; only vectors with subwords can do that."""


@dataclass(frozen=True)
class Unk:
    """An unseen word has the vector of the word that stands for unknown ones in the vocabulary."""

    word: str = "<unk>"


Unseen = Refuse | Zero | Mean | NGrams | Unk
