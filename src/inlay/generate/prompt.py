"""What a model starts to write from: prompts as ids, checked against what the model can hold before it computes."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.generate.config import GenerationConfig
from inlay.generate.steps import check_writes, room
from inlay.model.model import Model

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

_CONTEXT = 8
"""Tokens of the prompt that a continuation is decoded with, so that its first word is spaced as it is in the text."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """B texts to be written, all that is left open decided."""

    model: Model
    config: GenerationConfig
    prompts: list[list[int]]
    """What the decoder begins with."""
    sources: list[list[int]] | None
    """What the encoder reads; None without one."""
    eos: tuple[int, ...]
    tokenizer: "Tokenizer | None" = None

    def context(self, text: int) -> list[int]:
        """The end of what stands before the written text."""
        return [] if self.sources is not None else self.prompts[text][-_CONTEXT:]


def from_texts(model: Model, tokenizer: "Tokenizer", prompts: Sequence[str], config: GenerationConfig) -> Job:
    """The job of continuing these texts, or of answering them where the model reads a source.

    The tokenizer's special tokens stand around a source; of a prompt only those before it, since it goes on.
    """
    check_writes(model)
    ids = _lists(tokenizer.encode(prompts, specials=True))
    if model.encoder is None:
        ids = [_open(one, bare) for one, bare in zip(ids, _lists(tokenizer.encode(prompts)), strict=True)]
    return from_ids(model, ids, config, tokenizer)


def from_ids(
    model: Model, prompts: Sequence[Sequence[int]], config: GenerationConfig, tokenizer: "Tokenizer | None" = None
) -> Job:
    """The same of token ids. Raises InputError for what the model cannot write, or cannot hold."""
    check_writes(model)
    if not len(prompts):
        raise InputError("there is no prompt; give one at least")
    if config.stop and tokenizer is None:
        raise InputError(f"stop={list(config.stop)} needs a tokenizer, which knows the text of the tokens; give one")
    eos = _roles(tokenizer, "eos", "sep")[:1] if config.eos is None else tuple(dict.fromkeys(config.eos))
    for name, ids in (("eos", eos), ("start", () if config.start is None else (config.start,))):
        if any(one >= model.config.vocab_size for one in ids):
            raise InputError(f"{name}={list(ids)} must be below the model's vocabulary of {model.config.vocab_size}")
    if config.min_new_tokens and len(eos) == model.config.vocab_size:
        raise InputError(
            f"min_new_tokens={config.min_new_tokens} forbids every token, since each is in eos; set it to 0"
        )
    lists = [_ids(one, number) for number, one in enumerate(prompts)]
    sources = None
    if model.encoder is None:
        lists = [one or [_start(config, tokenizer, number)] for number, one in enumerate(lists)]
    else:
        if [] in lists:
            raise InputError(f"source {lists.index([])} has no tokens to read; leave it out")
        sources, lists = lists, [[_source_start(config, tokenizer)]] * len(lists)
    _check_room(room(model), lists, sources, config.max_new_tokens)
    return Job(model=model, config=config, prompts=lists, sources=sources, eos=eos, tokenizer=tokenizer)


def _lists(batch: Batch) -> list[list[int]]:
    ids = batch.ids.tolist()
    return [ids[start : start + length] for start, length in zip(batch.starts, batch.lengths, strict=True)]


def _ids(prompt: Sequence[int], number: int) -> list[int]:
    try:
        return [index(one) for one in prompt]
    except TypeError:
        shown = f"{str(prompt)[:40]!r}" if isinstance(prompt, str) else str(prompt)[:40]
        raise InputError(f"prompt {number} is {shown}, and must be a list of ids; `generate` takes texts") from None


def _open(ids: list[int], bare: list[int]) -> list[int]:
    """The ids without what the tokenizer puts after the text."""
    if not bare:
        return []
    found = (end for end in range(len(bare), len(ids) + 1) if ids[end - len(bare) : end] == bare)
    return ids[: next(found, len(ids))]


def _roles(tokenizer: "Tokenizer | None", *roles: str) -> tuple[int, ...]:
    if tokenizer is None:
        return ()
    return tuple(tokenizer.id(tokenizer.roles[role]) for role in roles if role in tokenizer.roles)


def _start(config: GenerationConfig, tokenizer: "Tokenizer | None", number: int) -> int:
    found = _roles(tokenizer, "bos", "cls", "eos") if config.start is None else (config.start,)
    if not found:
        raise InputError(
            f"prompt {number} is empty, and no token is known that begins a text; write a word, or set start"
        )
    return found[0]


def _source_start(config: GenerationConfig, tokenizer: "Tokenizer | None") -> int:
    found = _roles(tokenizer, "pad", "bos", "cls") if config.start is None else (config.start,)
    if not found:
        raise InputError("no token is known that the decoder begins with; set start to its id (0 for T5)")
    return found[0]


def _check_room(most: int | None, prompts: list[list[int]], sources: list[list[int]] | None, new: int) -> None:
    """The last token is not read any more, so it needs no place."""
    if most is None:
        return
    for kind, lists, more in (("source", sources or [], 0), ("prompt", prompts, new - 1)):
        lengths = [len(one) for one in lists]
        longest = max(lengths, default=0)
        place = f"{kind} {lengths.index(longest)} of {longest:,} tokens" if longest else ""
        if longest > most:
            way = f"cut it to {most - more:,} tokens" if more < most else f"cut it, and max_new_tokens={new:,} too"
            raise InputError(f"{place} is longer than the model's {most:,} positions; {way}")
        if longest + more > most:
            raise InputError(
                f"{place} and max_new_tokens={new:,} do not fit into the model's {most:,} positions; "
                f"set max_new_tokens={most - longest + 1:,} at most, or cut the prompt"
            )
