"""What new tokens change: how many tokens a text takes, before and after, and which other words are cut differently."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inlay.tokenize.tokenizer import Tokenizer

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Added:
    """A word that is now one token."""

    word: str
    token: str
    """As the vocabulary has it."""
    id: int
    count: int
    """How often it occurs, apart from what was held out."""
    pieces: tuple[str, ...]
    """What it was before."""


@dataclass(frozen=True, kw_only=True)
class Fertility:
    """How many tokens a text takes with the old vocabulary and with the new one."""

    words: int
    """Words between spaces."""
    characters: int
    """Characters that are no spaces."""
    before: int
    """Tokens."""
    after: int
    unknown_before: int
    """Tokens that stand for what the vocabulary does not know."""
    unknown_after: int

    @property
    def saved(self) -> float:
        """Share of the tokens that are no longer needed."""
        return 1 - self.after / max(self.before, 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, as JSON has them; those of a word and of a character too."""
        each = {"words": max(self.words, 1), "characters": max(self.characters, 1)}
        shares = {
            f"{when}_per_{name[:-1]}": tokens / n
            for name, n in each.items()
            for when, tokens in (("before", self.before), ("after", self.after))
        }
        return asdict(self) | {"saved": self.saved} | shares

    def __str__(self) -> str:
        words, characters = max(self.words, 1), max(self.characters, 1)
        return (
            f"{self.before:,} -> {self.after:,} tokens, {self.saved:.1%} saved; "
            f"{self.before / words:.3f} -> {self.after / words:.3f} a word, "
            f"{self.before / characters:.3f} -> {self.after / characters:.3f} a character"
            + f"; {self.unknown_before:,} -> {self.unknown_after:,} unknown"
            * bool(self.unknown_before)
        )


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What happened to words that were not added: those that hold a new one, or a token on the way to it."""

    words: int
    """Different words that were not added."""
    changed: int
    """Those of them that are cut differently."""
    occurrences: float
    """Share of the text's words that these are, each as often as it occurs."""
    longer: int
    """Those that take more tokens than before."""
    lost: int
    """Those that have an unknown piece now and had none."""
    examples: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]
    """The most frequent of them: the word as the vocabulary would have it, its tokens before and after."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Extension:
    """A tokenizer with more words, and what a model needs to know of them; `str` says it in a few lines."""

    old: Tokenizer
    tokenizer: Tokenizer
    """With the new tokens."""
    pieces: dict[int, tuple[int, ...]]
    """The old ids that each new token was cut into, by its id."""
    words: tuple[Added, ...]
    """The words that are tokens now, in the order of their worth."""
    unfit: int
    """Frequent words in many pieces that can be no token, for letters that the vocabulary lacks."""
    text: Fertility
    """Of the text whose words were looked at."""
    heldout: Fertility | None
    """Of documents that were not; None where there were too few."""
    changes: Changes
    out_of_reach: float
    """Share of the text's characters that are Chinese or Japanese, where no word of these can be a token."""

    @property
    def on_the_way(self) -> int:
        """Tokens that had to be added to reach the words: merges of BPE go in steps."""
        return len(self.pieces) - len(self.words)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, as JSON has them; without the tokenizers."""
        return {
            "size": {"before": self.old.size, "after": self.tokenizer.size},
            "added": [asdict(word) | {"pieces": list(word.pieces)} for word in self.words],
            "on_the_way": self.on_the_way,
            "unfit": self.unfit,
            "text": self.text.to_dict(),
            "heldout": self.heldout and self.heldout.to_dict(),
            "changes": asdict(self.changes)
            | {"examples": [[word, list(before), list(after)] for word, before, after in self.changes.examples]},
            "out_of_reach": self.out_of_reach,
        }

    def __str__(self) -> str:
        changes = self.changes
        steps = f" and {self.on_the_way:,} tokens on the way to them" if self.on_the_way else ""
        lines = [f"{len(self.words):,} words{steps} added: {self.old.size:,} -> {self.tokenizer.size:,} tokens"]
        lines += [
            f"  {one.word:<24} {one.count:>9,} times, was {self._read(one.pieces)}" for one in self.words[:_SHOWN]
        ]
        lines += [f"  … and {len(self.words) - _SHOWN:,} more"] * (len(self.words) > _SHOWN)
        lines += [f"this text   {self.text}"]
        lines += [f"held out    {self.heldout}" if self.heldout else "held out    nothing: too few documents"]
        lines.append(
            f"other words {changes.changed:,} of {changes.words:,} are cut differently ({changes.occurrences:.2%} of "
            f"the text), {changes.longer:,} of them longer, {changes.lost:,} with an unknown piece"
        )
        lines += [
            f"  {self._read([word]):<24} was {self._read(before)}, is {self._read(after)}"
            for word, before, after in changes.examples[:3]
        ]
        if self.unfit:
            lines.append(f"{self.unfit:,} frequent words have letters that the vocabulary lacks, and were left out")
        if self.out_of_reach >= 0.01:
            lines.append(
                f"{self.out_of_reach:.0%} of the text is Chinese or Japanese, whose words cannot be tokens of such a "
                "tokenizer; a unigram or a byte-level BPE one can have them"
            )
        return "\n".join(lines)

    def _read(self, tokens: Sequence[str]) -> str:
        """The tokens as one reads them: bytes as the letters that they are, where those are whole."""
        texts = [self.old.writing.read(token).text if self.old.writing.bytes else None for token in tokens]
        return " ".join(text if text and not text.isascii() else t for t, text in zip(tokens, texts, strict=True))
