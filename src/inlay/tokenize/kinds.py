"""The kinds of tokenizer: each is a frozen dataclass; `TokenizerConfig` is their union, told by `kind`."""

from dataclasses import dataclass
from typing import Literal

from inlay.errors import InputError

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, kw_only=True)
class _Kind:
    specials: tuple[str, ...] = SPECIALS
    """Tokens that stand for no text; they have the first ids, in this order."""

    def __post_init__(self) -> None:
        if len(set(self.specials)) < len(self.specials) or "" in self.specials:
            raise InputError(
                f"specials={list(self.specials)} must be different and not empty; leave the extra ones out"
            )


@dataclass(frozen=True, kw_only=True)
class _Learned(_Kind):
    size: int = 16000
    """Tokens at most, specials included."""
    min_count: int = 2
    """What occurs less often makes no token of its own."""
    lowercase: bool = False
    """Lower-case the text first."""
    strip_accents: bool = False
    """Drop accents: café becomes cafe."""
    form: Literal["NFC", "NFKC"] | None = "NFC"
    """Unicode normal form of the text; NFKC also makes full-width letters half-width; null leaves the text as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        least = len(self.specials) + 1
        if self.size < least:
            raise InputError(
                f"size={self.size} leaves no room beside {len(self.specials)} specials; try {max(least, 1000)}"
            )
        if self.min_count < 1:
            raise InputError(f"min_count={self.min_count} must be at least 1; try 2")


@dataclass(frozen=True, kw_only=True)
class _WithUnknown(_Learned):
    def __post_init__(self) -> None:
        super().__post_init__()
        if "[UNK]" not in self.specials:
            raise InputError(f"specials={list(self.specials)} must hold '[UNK]', the token of what is unknown")


@dataclass(frozen=True, kw_only=True)
class WordPiece(_WithUnknown):
    """BERT's pieces: words split at spaces and punctuation, Chinese by character, longest known piece first.

    A word of over 100 characters, or with an unknown one, is a single [UNK]. Devlin et al. 2019, arXiv:1810.04805.
    """

    lowercase: bool = True


@dataclass(frozen=True, kw_only=True)
class BPE(_WithUnknown):
    """Frequent pairs of characters merged, spaces kept as ▁. Sennrich et al. 2016, arXiv:1508.07909."""


@dataclass(frozen=True, kw_only=True)
class Unigram(_WithUnknown):
    """The likeliest split under a unigram model, spaces kept as ▁; `min_count` is idle. Kudo 2018, arXiv:1804.10959."""


@dataclass(frozen=True, kw_only=True)
class ByteBPE(_Learned):
    """BPE over the bytes of UTF-8: nothing is unknown, and decoding gives back every text. Radford et al. 2019."""

    specials: tuple[str, ...] = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
    form: Literal["NFC", "NFKC"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 256 + len(self.specials):
            raise InputError(f"size={self.size} must hold 256 bytes and {len(self.specials)} specials; try 1000")


@dataclass(frozen=True, kw_only=True)
class Bytes(_Kind):
    """The 256 bytes of UTF-8 and the specials: nothing to learn, nothing unknown. Xue et al. 2022, arXiv:2105.13626."""

    specials: tuple[str, ...] = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, kw_only=True)
class Characters(_WithUnknown):
    """Each code point is a token, spaces too."""


@dataclass(frozen=True, kw_only=True)
class Words(_WithUnknown):
    """Words between spaces and punctuation. A tokenizer.json cannot segment Chinese: give it words joined by spaces."""

    lowercase: bool = True


TokenizerConfig = WordPiece | BPE | Unigram | ByteBPE | Bytes | Characters | Words

KINDS: dict[str, type] = {kind.__name__: kind for kind in (WordPiece, BPE, Unigram, ByteBPE, Bytes, Characters, Words)}
