"""Parts of a text as a tokenizer's model gets them: rewritten, cut at spaces and punctuation, and the words in them."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any
from unicodedata import category

from inlay.text.words import Segmenter, is_unspaced, segmenter
from inlay.tokenize import engine as border
from inlay.tokenize.writing import Writing, byte_letters

if TYPE_CHECKING:
    from tokenizers import Token
    from tokenizers import Tokenizer as Engine

_BEFORE = "a"
"""A word that stands before each other one, since most words of a text have one before them: `Ġthe`, not `the`."""


class Parts:
    """What the tokenizer of a tree makes of text before its model, and what the model makes of that."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self._engine: Engine = border.parse(tree, "the tokenizer")
        self._model = self._engine.model
        self.writing = Writing.of(self._engine)
        self._letters = byte_letters()
        self._segment: Segmenter | None = None
        self._before = self._cut(_BEFORE)
        model = tree["model"]
        self.merges = model["type"] == "BPE"
        """Whether tokens are made of tokens, so that a letter without one is in no word."""
        self.end: str = model.get("end_of_word_suffix") or ""
        """What the model puts after a part before it looks for tokens: `</w>`."""
        unknown = model.get("unk_id")
        name = model.get("unk_token")
        self._unknown = unknown if name is None else self._engine.token_to_id(name)
        self.isolates_letters = len(self.of("xy")) > 1
        """Whether every letter is a part of its own, so that no word can be one token."""
        self.joins_chinese = model["type"] in ("BPE", "Unigram") and len(self.of("机器")) == 1
        """Whether a Chinese word can be one token within a clause.

        Not where characters are set apart one by one (BERT), and not where a clause is cut from its beginning on.
        """

    def of(self, chunk: str) -> list[str]:
        """The parts of what stands between two spaces inside a text, as they are written for the model."""
        parts = self._cut(f"{_BEFORE} {chunk}")
        n = len(self._before)
        return parts[n:] if parts[:n] == self._before else self._cut(chunk)

    def words(self, part: str) -> Iterator[tuple[str, str]]:
        """The words in a part, each as the model would have to know it and as one reads it.

        That is the run of letters and digits at its start; in Chinese and Japanese it is what the segmenter finds,
        where tokens end as well: a word that a token lies across would not become one here.
        """
        read = self.writing.read(part)
        if not read.text:
            return
        if any(map(is_unspaced, read.text)):
            if self.joins_chinese:
                yield from self._segmented(read.text, part)
            return
        end = next((at for at, c in enumerate(read.text) if category(c)[0] not in "LMN"), len(read.text))
        if end:
            yield self._written(read.text[:end], marked=read.marked), read.text[:end]

    def tokens(self, part: str) -> "list[Token]":
        """What the model cuts the part into."""
        return self._model.tokenize(part)

    def unknown(self, tokens: "list[Token]") -> int:
        """How many of the tokens stand for what the model does not know."""
        return sum(token.id == self._unknown for token in tokens)

    def count(self, chunks: Counter[str]) -> Counter[str]:
        """How often each part occurs, where each chunk occurs so often."""
        counts: Counter[str] = Counter()
        for chunk, times in chunks.items():
            for part in self.of(chunk):
                counts[part] += times
        return counts

    def _cut(self, text: str) -> list[str]:
        engine, mark = self._engine, self.writing.start
        text = border.readable(text)
        text = engine.normalizer.normalize_str(text) if engine.normalizer else text
        parts = [part for part, _ in engine.pre_tokenizer.pre_tokenize_str(text)] if engine.pre_tokenizer else [text]
        return [one for part in parts for one in (_before_each(part, mark) if mark in part[1:] else [part])]

    def _written(self, word: str, *, marked: bool) -> str:
        letters = "".join(self._letters[byte] for byte in word.encode()) if self.writing.bytes else word
        return self.writing.start + letters if marked else letters

    def _segmented(self, text: str, part: str) -> Iterator[tuple[str, str]]:
        if self._segment is None:
            self._segment = segmenter("zh")
        ends = {0, *(token.offsets[1] for token in self.tokens(part))}  # in bytes
        at = 0
        for unspaced, run in groupby(text, is_unspaced):
            for word in self._segment("".join(run)) if unspaced else ():
                written = self._written(word, marked=False)
                first = part.index(written, at)
                at = first + len(written)
                if {len(part[:first].encode()), len(part[:at].encode())} <= ends:
                    yield written, word


def _before_each(part: str, mark: str) -> list[str]:
    """`▁the▁cat` as `▁the` and `▁cat`: a tokenizer without such a step cuts no further, but its pieces do."""
    if not mark:
        return [part]
    first, *rest = part.split(mark)
    return [*([first] if first else []), *(mark + one for one in rest)]
