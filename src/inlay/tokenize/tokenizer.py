"""Tokenizer: texts to packed token ids and back; trained on a stream, kept as a tokenizer.json that all tools read."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.files import write_json, write_text
from inlay.live import Live
from inlay.tokenize import engine as border
from inlay.tokenize import folders, given, training
from inlay.tokenize.families import INPUTS, WITHOUT_SEGMENTS
from inlay.tokenize.folders import Facts
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
_NOTHING_SAID = Facts()


class Tokenizer:
    """Text to token ids and back; made by `train`, `from_vocabulary` or `load`, and never changed afterwards."""

    def __init__(self, engine: "Engine", facts: Facts = _NOTHING_SAID) -> None:
        self._engine = engine
        self._facts = facts

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

        A folder without a tokenizer.json may have the plain files of its family: `folders.read` names them. Raises
        InputError for everything that is no sound tokenizer, crafted files included; no code of the folder is run.
        """
        path = Path(path)
        return cls(border.read(path)) if path.is_file() else cls(*folders.read(path))

    def save(self, folder: str | Path, *, segments: bool | None = None) -> None:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, each whole or not at all.

        `segments` says whether the model beside it takes them (as `token_type_ids`); None: as where it came from.
        """
        folder, facts = Path(folder), self._facts
        roles = {f"{role}_token": token for role, token in self.roles.items()}
        inputs = facts.inputs if segments is None else INPUTS if segments else WITHOUT_SEGMENTS
        said = {
            "model_max_length": facts.max_length,
            "model_input_names": None if inputs is None else list(inputs),
            "padding_side": facts.padding_side,
        }
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **roles}
        settings |= {name: value for name, value in said.items() if value is not None}
        write_json(folder / "tokenizer_config.json", settings)
        write_json(folder / "special_tokens_map.json", roles)
        write_text(folder / "tokenizer.json", self._engine.to_str(pretty=True))

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        specials: bool = False,
    ) -> Batch:
        """The texts as one packed batch; `batch.cut` says how many tokens each text lost to `max_length`, 0 for most.

        `pairs` gives each text a second one; a pair that is too long loses tokens at the end of its longer text.
        `specials` adds what the tokenizer puts around a text ([CLS] … [SEP]); they count for `max_length` and stay.
        `batch.segments` is there for pairs, and where a special token has a segment of its own (XLNet's `<cls>`).
        """
        _no_single_text(texts)
        _check_pairs(texts, pairs)
        around = self._engine.num_special_tokens_to_add(pairs is not None) if specials else 0
        if max_length is not None and max_length <= around:
            raise InputError(f"max_length={max_length} leaves no room for text; try {around + 1} or more")
        told = pairs is not None or (specials and self._has_segments)
        # Without a processor the fast way of the engine says segment 0 for both texts of a pair.
        slow = pairs is not None and self._engine.post_processor is None
        run = self._engine.encode_batch if slow else self._engine.encode_batch_fast
        ids, segments = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        lengths, cut = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        done = 0
        for block in _blocks(texts, pairs):
            with border.guarded("a text"):
                encodings = run(block, add_special_tokens=specials)
                rows = [encoding.ids for encoding in encodings]
                parts = [encoding.type_ids for encoding in encodings] if told else []
                for row, encoding in enumerate(encodings):
                    if max_length is not None and len(encoding) > max_length:
                        kept = _kept(encoding.sequence_ids, max_length - around)
                        cut[done + row] = len(encoding) - max_length
                        rows[row] = list(compress(rows[row], kept))
                        if told:
                            parts[row] = list(compress(parts[row], kept))
                lengths[done : done + len(rows)] = [len(row) for row in rows]
                ids.append(np.fromiter(chain.from_iterable(rows), np.int32))
                segments.append(np.fromiter(chain.from_iterable(parts), np.int32))
            done += len(block)
        return Batch(
            ids=np.concatenate(ids),
            lengths=lengths,
            cut=cut,
            segments=np.concatenate(segments) if told else None,
        )

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

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """The ids that the model alone gives to each word as it stands: nothing is normalised or cut before."""
        model = self._engine.model
        with border.guarded("a word"):
            return [[token.id for token in model.tokenize(word)] for word in words]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each of `tokens(text)` lies: `text[start:stop]`, in characters."""
        with border.guarded("the text"):
            return self._engine.encode(border.readable(text), add_special_tokens=False).offsets

    def places(self, texts: Sequence[str]) -> tuple[Batch, np.ndarray]:
        """The texts as `encode` packs them, and where each token lies in its text: (N, 2) int64, in characters."""
        _no_single_text(texts)
        ids, lengths, found = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], [np.zeros((0, 2), np.int64)]
        for block in _blocks(texts, None):
            with border.guarded("a text"):
                encodings = self._engine.encode_batch(block, add_special_tokens=False)
            ids.append(np.fromiter(chain.from_iterable(one.ids for one in encodings), np.int32))
            lengths.append(np.array([len(one) for one in encodings], np.int64))
            spans = chain.from_iterable(chain.from_iterable(one.offsets for one in encodings))
            found.append(np.fromiter(spans, np.int64).reshape(-1, 2))
        sizes = np.concatenate(lengths)
        return Batch(ids=np.concatenate(ids), lengths=sizes, cut=np.zeros_like(sizes)), np.concatenate(found)

    @property
    def max_length(self) -> int | None:
        """Tokens that the model takes at most, where the folder says it; `encode` cuts only when it is told to."""
        return self._facts.max_length

    @cached_property
    def size(self) -> int:
        """Rows an embedding table needs: the highest id and one."""
        return max(self.vocabulary.values()) + 1

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Every token and its id, in the order of the ids."""
        return dict(sorted(self._engine.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1]))

    @cached_property
    def roles(self) -> dict[str, str]:
        """What the special tokens are for: `{"pad": "[PAD]", "unk": "[UNK]", …}`, those that it has.

        A folder may say it, or the family of its tokenizer; else their names tell.
        """
        if self._facts.roles:
            return dict(self._facts.roles)
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

    def tree(self) -> dict[str, Any]:
        """What its tokenizer.json says, a copy: who changes it gives it to `rebuilt`."""
        return json.loads(self._engine.to_str())

    def rebuilt(self, tree: dict[str, Any]) -> Self:
        """The tokenizer that such a tokenizer.json makes, with what else is known of this one."""
        return type(self)(border.parse(tree, "the changed tokenizer"), self._facts)

    def __len__(self) -> int:
        return self.size

    @cached_property
    def _has_segments(self) -> bool:
        """Whether one text alone has more than one segment."""
        with border.guarded("the text"):
            return any(self._engine.encode("a").type_ids)


def _blocks(texts: Sequence[str], pairs: Sequence[str] | None) -> Iterator[list[str] | list[tuple[str, str]]]:
    block: list[Any] = []
    held = 0
    for row, text in enumerate(texts):
        if pairs is None:
            block.append(_readable(text, row))
        else:
            block.append((_readable(text, row), _readable(pairs[row], row)))
            held += len(pairs[row])
        held += len(text)
        if held >= _BLOCK_CHARACTERS or len(block) >= _BLOCK_TEXTS:
            yield block
            block, held = [], 0
    if block:
        yield block


def _readable(text: str, row: int) -> str:
    if not isinstance(text, str):
        raise InputError(f"text {row} is {str(text)[:40]} of type {type(text).__name__}, and must be text")
    return border.readable(text)


def _kept(sides: Sequence[int | None], room: int) -> list[bool]:
    """Which tokens stay where `room` is left for text: the specials, and the first ones of each of the two sides."""
    first, second = sides.count(0), sides.count(1)
    short, long = sorted((first, second))
    if short + long > room:
        long = max(short, room - short)
        if short + long > room:
            short, long = room // 2, room - room // 2
    left = {0: short, 1: long} if first <= second else {0: long, 1: short}
    kept = []
    for side in sides:
        kept.append(side is None or left[side] > 0)
        if side is not None:
            left[side] -= 1
    return kept


def _check_pairs(texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    if pairs is None:
        return
    _no_single_text(pairs)
    if len(pairs) != len(texts):
        raise InputError(f"{len(texts)} texts and {len(pairs)} second texts; each text needs one")


def _no_single_text(texts: object) -> None:
    if isinstance(texts, str):
        raise InputError(f"one text ({texts[:40]!r}) where a list of texts is wanted; put it in a list")
