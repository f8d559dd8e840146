"""Tokenizer: texts to packed token ids and back; trained on a stream, kept as a tokenizer.json that all tools read."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.files import write_json, write_text
from inlay.live import Live
from inlay.tokenize import engine as border
from inlay.tokenize import given, training
from inlay.tokenize.kinds import TokenizerConfig, WordPiece
from inlay.tokenize.writing import Writing

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

_BLOCK_CHARACTERS, _BLOCK_TEXTS = 1 << 20, 4096
_ROLES = {
    "pad": "pad",
    "unk": "unk",
    "cls": "cls",
    "sep": "sep",
    "mask": "mask",
    "s": "bos",
    "/s": "eos",
    "|endoftext|": "eos",
}
_DEFAULT = WordPiece()


class Tokenizer:
    """Text to token ids and back; made by `train`, `from_vocabulary` or `load`, and never changed afterwards."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig = _DEFAULT) -> Self:
        """Learn the vocabulary from one pass over the texts, which are never all in memory; same texts, same tokenizer.

        Raises InputError when there is no text, or when `size` cannot hold what the kind needs.
        """
        _no_single_text(texts)

        def stream() -> Iterator[str]:
            empty = True
            for text in live.over(texts):
                empty = empty and not text.strip()
                yield border.readable(text)
            if empty:
                raise InputError("there is no text to train a tokenizer on; check the source")

        with Live("tokenizer", unit="texts") as live, border.guarded("these texts", "try another kind"):
            return cls(training.learn(stream(), config))

    @classmethod
    def from_vocabulary(cls, words: Sequence[str], pieces: Iterable[str] = (), **options: Any) -> Self:
        """A WordPiece tokenizer around a list of words; the words are whole tokens, all else falls into known pieces.

        `given.build` says how, and names the options (lowercase, strip_accents, specials).
        """
        return cls(given.build(words, pieces, **options))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The tokenizer in a folder or a tokenizer.json; the file's own truncation and padding are left out.

        Raises InputError for everything that is no sound tokenizer, crafted files included.
        """
        path = Path(path)
        return cls(border.read(path / "tokenizer.json" if path.is_dir() else path))

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, each whole or not at all."""
        folder = Path(folder)
        roles = {f"{role}_token": token for role, token in self.roles.items()}
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **roles}
        write_json(folder / "tokenizer_config.json", settings)
        write_json(folder / "special_tokens_map.json", roles)
        write_text(folder / "tokenizer.json", self._engine.to_str(pretty=True))

    def encode(self, texts: Sequence[str], *, max_length: int | None = None, specials: bool = False) -> Batch:
        """The texts as one packed batch; `batch.cut` says how many tokens each text lost to `max_length`, 0 for most.

        `specials` adds what the tokenizer puts around a text ([CLS] … [SEP]); they count for `max_length` and stay.
        """
        _no_single_text(texts)
        around = self._engine.num_special_tokens_to_add(False) if specials else 0
        if max_length is not None and max_length <= around:
            raise InputError(f"max_length={max_length} leaves no room for text; try {around + 1} or more")
        ids: list[np.ndarray] = []
        lengths, cut = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        done = 0
        for block in _blocks(texts):
            with border.guarded("a text"):
                encodings = self._engine.encode_batch_fast(block, add_special_tokens=specials)
                for row, encoding in enumerate(encodings, done):
                    lengths[row] = len(encoding)
                    if max_length is not None and len(encoding) > max_length:
                        encodings[row - done] = self._cut(block[row - done], max_length - around, specials)
                        cut[row] = lengths[row] - max_length
                        lengths[row] = max_length
                ids.append(np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int32))
            done += len(block)
        return Batch(ids=np.concatenate(ids) if ids else np.zeros(0, np.int32), lengths=lengths, cut=cut)

    def decode(self, ids: Iterable[int], *, specials: bool = False) -> str:
        """The text of the ids; special tokens are left out unless asked for."""
        numbers = [int(number) for number in ids]
        for number in numbers:
            if not 0 <= number < self.size:
                raise InputError(f"id {number} is none of this tokenizer's: they run from 0 to {self.size - 1}")
        with border.guarded("these ids"):
            return self._engine.decode(numbers, skip_special_tokens=not specials)

    def tokens(self, text: str) -> list[str]:
        """The text's tokens as they are written in the vocabulary."""
        with border.guarded("the text"):
            ids = self._engine.encode(border.readable(text), add_special_tokens=False).ids
            return [self._engine.id_to_token(number) or "" for number in ids]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each of `tokens(text)` lies: `text[start:stop]`, in characters."""
        with border.guarded("the text"):
            return self._engine.encode(border.readable(text), add_special_tokens=False).offsets

    @property
    def size(self) -> int:
        """Rows an embedding table needs: the highest id and one."""
        return max(self.vocabulary.values()) + 1

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Every token and its id, in the order of the ids."""
        return dict(sorted(self._engine.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1]))

    @cached_property
    def roles(self) -> dict[str, str]:
        """What the special tokens are for, by their names: `{"pad": "[PAD]", "unk": "[UNK]", …}`, those that it has."""
        added = self._engine.get_added_tokens_decoder()
        names = [added[number].content for number in sorted(added) if added[number].special]
        bare = {re.sub(r"^[\[<]|[\]>]$", "", name).lower(): name for name in reversed(names)}
        return {role: bare[name] for name, role in _ROLES.items() if name in bare}

    @cached_property
    def writing(self) -> Writing:
        """How the vocabulary marks words and pieces; `writing.read(token)` says what a token stands for."""
        return Writing.of(self._engine)

    def id(self, token: str) -> int:
        """The token's id; a token that is not in the vocabulary is an InputError."""
        found = self._engine.token_to_id(token)
        if found is None:
            raise InputError(
                f"{token!r} is none of this tokenizer's {len(self.vocabulary)} tokens; `tokens(text)` gives its pieces"
            )
        return found

    def __len__(self) -> int:
        return self.size

    def _cut(self, text: str, room: int, specials: bool) -> Any:
        encoding = self._engine.encode(text, add_special_tokens=False)
        encoding.truncate(room)
        return self._engine.post_process(encoding, add_special_tokens=True) if specials else encoding


def _blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    block: list[str] = []
    held = 0
    for text in texts:
        block.append(border.readable(text))
        held += len(text)
        if held >= _BLOCK_CHARACTERS or len(block) >= _BLOCK_TEXTS:
            yield block
            block, held = [], 0
    if block:
        yield block


def _no_single_text(texts: object) -> None:
    if isinstance(texts, str):
        raise InputError(f"one text ({texts[:40]!r}) where a list of texts is wanted; put it in a list")
