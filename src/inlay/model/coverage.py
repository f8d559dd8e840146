"""Coverage: where the rows of a token table come from, and how much of the text they cover."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Origin = Literal["copied", "lowered", "folded", "ngrams", "words", "random", "special"]
"""Where a row comes from.

`copied`: the token's own word; `lowered`: the word in lower case; `folded`: words that the tokenizer reads as this
token alone (case, accents, width); `ngrams`: the piece's n-grams; `words`: the words that the piece stands
in, or those in it; `random`: noise like the rows copied; `special`: a token that stands for no text, noise around zero.
"""
ORIGINS: tuple[Origin, ...] = get_args(Origin)

_MEANING = {
    "copied": "copied from the word",
    "lowered": "from its lower-case word",
    "folded": "from words read as it",
    "ngrams": "from n-grams",
    "words": "from words around or in it",
    "random": "at random",
    "special": "special, at random",
}


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Where the rows of a token table come from; `str` says it in a few lines."""

    rows: Mapping[Origin, int]
    """Rows of the table by origin."""
    share: Mapping[Origin, float]
    """Share of the text's tokens by the origin of their rows: the vectors' words, each as often as it occurred."""
    norms: Mapping[Origin, float]
    """Mean length of the rows, as they are in the table; origins without rows are left out."""
    examples: Mapping[Origin, tuple[str, ...]]
    """The first tokens of each origin, without the marks of pieces."""
    factor: float
    """What every row was multiplied by."""
    weighted: bool
    """Whether the vectors had counts; without them `share` is one of the list of words, not of a text."""

    @property
    def covered(self) -> float:
        """Share of the text's tokens whose rows come from vectors."""
        return sum(share for origin, share in self.share.items() if origin not in ("random", "special"))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, as JSON has them."""
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in asdict(self).items()}
        return plain | {"examples": {k: list(v) for k, v in self.examples.items()}, "covered": self.covered}

    def __str__(self) -> str:
        text = "the text's tokens" if self.weighted else "the words' tokens"
        lines = [f"{self.covered:.1%} of {text} start from vectors; all rows times {self.factor:.4g}"]
        for origin in ORIGINS:
            if self.rows[origin]:
                counted = (
                    f"{self.rows[origin]:>9,} rows  {self.share[origin]:>6.1%}  mean norm {self.norms[origin]:.4g}"
                )
                lines.append(f"{_MEANING[origin]:<27}{counted}  {' '.join(map(_visible, self.examples[origin]))}")
        return "\n".join(lines)


def _visible(token: str) -> str:
    return token if token.isprintable() and token.strip() else repr(token)
