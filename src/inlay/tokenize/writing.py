"""How a vocabulary writes text: which tokens are words, which are pieces of words, and what each stands for."""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inlay.text.words import is_unspaced

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Written:
    """What one token of a vocabulary stands for."""

    token: str
    """As the vocabulary has it: `##ing`, `▁the`, `Ġthe`."""
    text: str | None
    """What it stands for, without its mark; None: nothing that can be read (a special, a part of a character)."""
    whole: bool
    """Whether the text may stand in a running text as a word of its own."""
    marked: bool
    """Whether it has the mark that tells the start of a word from its inside: `##` or `▁` or `Ġ` or `</w>`."""
    special: bool = False
    """Whether it stands for no text."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """The marks of a vocabulary; at most one of the three is not empty, none where every token is a word."""

    inside: str = ""
    """Before a token that goes on a word: `##`."""
    start: str = ""
    """Before a token that starts a word, in place of the space: `▁` or `Ġ`."""
    end: str = ""
    """After a token that ends a word: `</w>`."""
    bytes: bool = False
    """Whether tokens are bytes, each written as the letter that GPT-2 gave it."""
    specials: frozenset[str] = frozenset()
    """The tokens that stand for no text."""

    @classmethod
    def of(cls, engine: "Engine") -> "Writing":
        """The writing of an engine, from what its model and its steps say of themselves."""
        tree: dict[str, Any] = json.loads(engine.to_str())
        model = tree["model"]
        steps = [step for name in ("decoder", "pre_tokenizer", "normalizer") for step in _steps(tree.get(name))]
        names = {step["type"] for step in steps}
        specials = frozenset(t.content for t in engine.get_added_tokens_decoder().values() if t.special)
        if "ByteLevel" in names:
            return cls(start=_LETTERS[32], bytes=True, specials=specials)
        if prefix := model.get("continuing_subword_prefix"):
            return cls(inside=prefix, specials=specials)
        if suffix := model.get("end_of_word_suffix"):
            return cls(end=suffix, specials=specials)
        for step in steps:
            mark = step.get("replacement") if step["type"] == "Metaspace" else _put_for_space(step)
            if mark:
                return cls(start=mark, specials=specials)
        return cls(specials=specials)

    def read(self, token: str) -> Written:
        """What the token stands for.

        Chinese and Japanese words, and punctuation, have no mark of their own, as no space stands before them: a token
        of nothing else counts as whole wherever it may stand.
        """
        if token in self.specials:
            return Written(token, None, whole=False, marked=False, special=True)
        marked, text = self._unmarked(token)
        if self.bytes:
            text = _characters(text)
        elif _BYTE.fullmatch(token):
            text = None
        if text is None:
            return Written(token, None, whole=False, marked=marked)
        text = text.replace(self.start, " ") if self.start else text
        whole = marked if self.start or self.end else not marked
        alone = all(map(is_unspaced, text)) or not any(map(str.isalnum, text))
        return Written(token, text, whole=bool(text.strip()) and (whole or alone), marked=marked)

    def _unmarked(self, token: str) -> tuple[bool, str | None]:
        if self.inside:
            return token.startswith(self.inside) and token != self.inside, token.removeprefix(self.inside) or token
        if self.end:
            return token.endswith(self.end), token.removesuffix(self.end)
        marked = bool(self.start) and token.startswith(self.start)
        return marked, token.removeprefix(self.start) if marked else token


def _steps(tree: Any) -> list[dict[str, Any]]:
    """The steps of a part of a tokenizer.json, those in a sequence one by one."""
    if not isinstance(tree, dict):
        return []
    inner = [tree[name] for name in ("decoders", "pretokenizers", "normalizers") if name in tree]
    return [part for steps in inner for step in steps for part in _steps(step)] if inner else [tree]


def _put_for_space(step: dict[str, Any]) -> str | None:
    """The letter that a `Replace` puts for a space, or takes for one when decoding."""
    if step["type"] != "Replace":
        return None
    pattern, content = step["pattern"].get("String"), step["content"]
    if pattern == " ":
        return content
    return pattern if content == " " and pattern == "▁" else None


def byte_letters() -> dict[int, str]:
    """The letter that stands for each byte: itself where it is seen, else the next free one from U+0100 on."""
    kept = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    letters = {b: chr(b) for b in kept}
    return letters | {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in letters)}


_LETTERS = byte_letters()
_BYTES = {letter: byte for byte, letter in _LETTERS.items()}


def _characters(letters: str | None) -> str | None:
    """The text whose bytes the letters are; None where they are no whole characters, or no such letters."""
    try:
        return bytes(_BYTES[letter] for letter in letters or "").decode()
    except (KeyError, UnicodeDecodeError):
        return None
