"""More words for a tokenizer: those of the user's text that are frequent, and that it cuts into many pieces."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inlay.errors import InputError
from inlay.live import Live
from inlay.text.words import is_unspaced
from inlay.tokenize import engine as border
from inlay.tokenize.fertility import Added, Changes, Extension, Fertility
from inlay.tokenize.graft import graft
from inlay.tokenize.parts import Parts
from inlay.tokenize.tokenizer import Tokenizer

_ROUNDS = 4
"""How often the gain is counted anew: once there is `thrombocyte`, `thrombocytes` has little left to gain."""
_UNSPACED_LENGTH = 2
_ADDRESS = ("://", "www.", "@")
_EXAMPLES = 8

Seen = tuple[Counter[str], Counter[str]]
"""What stands between spaces, counted, in the documents that are looked at and in those held out."""


@dataclass(frozen=True, kw_only=True)
class Extend:
    """Which words are worth a token: the more tokens they save over the whole text, the sooner."""

    words: int = 1000
    """Words to add at most."""
    min_count: int = 5
    """Words that occur less often are left out."""
    min_length: int = 3
    """Characters of a word at least; Chinese and Japanese words may have two."""
    numbers: bool = False
    """Take numbers too: words without a letter."""
    addresses: bool = False
    """Take what stands in URLs and mail addresses too."""
    heldout: int = 10
    """Every so manieth document is held out, to tell what the new tokens save in text not looked at; 0 for none."""

    def __post_init__(self) -> None:
        for name, least in (("words", 1), ("min_count", 1), ("min_length", 1), ("heldout", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)} must be at least {least}")
        if self.heldout == 1:
            raise InputError("heldout=1 would hold out every document; 10 is usual, 0 holds out none")


_DEFAULT = Extend()


def extend(tokenizer: Tokenizer, texts: Iterable[str], config: Extend = _DEFAULT) -> Extension:
    """The tokenizer with words of the texts as tokens of its own, and what that changes; one pass over the texts.

    Old ids stay, new ones come after them. Memory holds all that differs between spaces: in Chinese, clauses. Raises
    InputError where the texts have no such words, and where a word can be no token of such a tokenizer.
    """
    with border.guarded("the text", "take another tokenizer"):
        return _extended(tokenizer, texts, config)


def _extended(tokenizer: Tokenizer, texts: Iterable[str], config: Extend) -> Extension:
    tree = tokenizer.tree()
    parts = Parts(tree)
    _check(parts, tree)
    seen, heldout = _count(texts, config)
    counts, out_of_reach = parts.count(seen), _out_of_reach(parts, seen)
    wanted = _wanted(parts, seen, tokenizer, config)
    grown, words, pieces, unfit = tree, list[str](), dict[int, tuple[int, ...]](), 0
    with Live("new words", unit="words") as live:
        for number in range(1, _ROUNDS + 1):
            if (room := -(-config.words * number // _ROUNDS) - len(words)) == 0:
                continue
            left = {word: times for word, (_, times) in wanted.items() if word not in words}
            best, unfit = _best(Parts(grown), left, room)
            if not best:
                break
            grafted = graft(grown, best)
            grown, words = grafted.tree, words + best
            pieces |= {
                new: tuple(i for id in ids for i in pieces.get(id, (id,))) for new, ids in grafted.pieces.items()
            }
            live.advance(len(best))
    if not words:
        raise InputError(_nothing(out_of_reach, unfit, config))
    new = tokenizer.rebuilt(grown)
    return Extension(
        old=tokenizer,
        tokenizer=new,
        pieces=pieces,
        words=_added(parts, new, words, wanted, pieces),
        unfit=unfit,
        text=_fertility(parts, Parts(grown), seen, counts),
        heldout=_fertility(parts, Parts(grown), heldout, parts.count(heldout)) if heldout else None,
        changes=_changes(parts, Parts(grown), counts, set(words)),
        out_of_reach=out_of_reach,
    )


def _check(parts: Parts, tree: Mapping[str, Any]) -> None:
    """InputError for tokenizers of which no word can be a token."""
    model = tree["model"]
    if parts.isolates_letters:
        raise InputError("this tokenizer takes every letter by itself, so no word can be its token; train a WordPiece")
    if model["type"] == "BPE" and not model["merges"]:
        raise InputError(
            "this tokenizer has no merges: its tokens are bytes, and a word's would join within all words; "
            "train a ByteBPE"
        )
    if model.get("dropout"):
        raise InputError(f"this tokenizer cuts by chance (dropout={model['dropout']}); set that to null")


def _count(texts: Iterable[str], config: Extend) -> Seen:
    if isinstance(texts, str):
        raise InputError(f"one text ({texts[:40]!r}) where a list of texts is wanted; put it in a list")
    seen: Seen = (Counter(), Counter())
    with Live("words", unit="texts") as live:
        for number, text in enumerate(live.over(texts), 1):
            seen[bool(config.heldout) and number % config.heldout == 0].update(text.split())
    if not seen[0]:
        raise InputError("there is no text to find words in; check the source")
    return seen


def _wanted(parts: Parts, seen: Counter[str], tokenizer: Tokenizer, config: Extend) -> dict[str, tuple[str, int]]:
    """Words that may be added, as the model would have them: how they read, and how often they occur."""
    counts: Counter[str] = Counter()
    read: dict[str, str] = {}
    for chunk, times in seen.items():
        if not config.addresses and any(mark in chunk for mark in _ADDRESS):
            continue
        for written, word in (found for part in parts.of(chunk) for found in parts.words(part)):
            counts[written] += times
            read[written] = word
    known, end = tokenizer.vocabulary, parts.end
    return {
        written: (word, counts[written])
        for written, word in read.items()
        if counts[written] >= config.min_count and written + end not in known and _is_fit(word, config)
    }


def _is_fit(word: str, config: Extend) -> bool:
    least = min(config.min_length, _UNSPACED_LENGTH) if is_unspaced(word) else config.min_length
    return len(word) >= least and (config.numbers or any(map(str.isalpha, word)))


def _best(parts: Parts, counts: Mapping[str, int], n: int) -> tuple[list[str], int]:
    """The n words that would save the most tokens, the most first; and how many can be no token."""
    gains: list[tuple[int, str]] = []
    unfit = 0
    for word, times in counts.items():
        tokens = parts.tokens(word)
        unknown = parts.unknown(tokens)
        if unknown and parts.merges:
            unfit += 1
        elif gain := times * max(len(tokens) - 1, bool(unknown)):  # a word that was unknown is worth a token
            gains.append((-gain, word))
    return [word for _, word in sorted(gains)[:n]], unfit


def _added(
    parts: Parts,
    new: Tokenizer,
    words: Sequence[str],
    wanted: Mapping[str, tuple[str, int]],
    pieces: dict[int, tuple[int, ...]],
) -> tuple[Added, ...]:
    """The words as they came; `pieces` gets the old tokens of each, whatever lay between."""
    found = []
    for word in words:
        tokens, (text, count) = parts.tokens(word), wanted[word]
        number = new.id(word + parts.end)
        pieces[number] = tuple(token.id for token in tokens)
        found.append(Added(word=text, token=word, id=number, count=count, pieces=tuple(t.value for t in tokens)))
    return tuple(found)


def _fertility(old: Parts, new: Parts, chunks: Counter[str], counts: Counter[str]) -> Fertility:
    tokens, unknown = Counter[str](), Counter[str]()
    for name, parts in (("before", old), ("after", new)):
        for part, times in counts.items():
            found = parts.tokens(part)
            tokens[name] += len(found) * times
            unknown[name] += parts.unknown(found) * times
    return Fertility(
        words=chunks.total(),
        characters=_characters(chunks),
        before=tokens["before"],
        after=tokens["after"],
        unknown_before=unknown["before"],
        unknown_after=unknown["after"],
    )


def _characters(chunks: Counter[str]) -> int:
    return sum(len(chunk) * times for chunk, times in chunks.items())


def _changes(old: Parts, new: Parts, counts: Counter[str], added: set[str]) -> Changes:
    """What became of the parts of the text in which no added word stands."""
    words = changed = occurrences = longer = lost = 0
    examples: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    for part, times in counts.most_common():
        if any(word in added for word, _ in old.words(part)):
            continue
        words += 1
        before, after = old.tokens(part), new.tokens(part)
        if [token.id for token in before] == [token.id for token in after]:
            continue
        changed += 1
        occurrences += times
        longer += len(after) > len(before)
        lost += not old.unknown(before) and bool(new.unknown(after))
        if len(examples) < _EXAMPLES:
            examples.append((part, tuple(token.value for token in before), tuple(token.value for token in after)))
    return Changes(
        words=words,
        changed=changed,
        occurrences=occurrences / max(counts.total(), 1),
        longer=longer,
        lost=lost,
        examples=tuple(examples),
    )


def _out_of_reach(parts: Parts, seen: Counter[str]) -> float:
    """The share of characters whose words cannot be tokens."""
    if parts.joins_chinese:
        return 0.0
    unspaced = sum(sum(map(is_unspaced, chunk)) * times for chunk, times in seen.items() if not chunk.isascii())
    return unspaced / max(_characters(seen), 1)


def _nothing(out_of_reach: float, unfit: int, config: Extend) -> str:
    """Why there is no word to add, and what to do."""
    if out_of_reach > 0.3:
        return (
            f"{out_of_reach:.0%} of this text is Chinese or Japanese, whose words cannot be tokens of a tokenizer that "
            "takes characters one by one, or clauses whole; train a unigram tokenizer on the text instead"
        )
    rest = f"; {unfit:,} others have letters that the vocabulary lacks" if unfit else ""
    return (
        f"no word of {config.min_length} characters or more is in pieces and occurs {config.min_count} times{rest}; "
        "lower min_count, or keep the tokenizer as it is"
    )
