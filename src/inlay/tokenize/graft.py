"""Words grafted on a vocabulary: each becomes one token of the model itself, and no old token changes its id.

Tokens that are "added" beside a model are searched for in every text before it is cut, which takes time, and they match
inside words. A token of the model is reached as all others are.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inlay.errors import InputError
from inlay.tokenize.parts import Parts

_MARGIN = 1e-3
"""By how much a word scores above its pieces: enough to be told apart, too little to draw in other words."""
_UNKNOWN_COSTS = 10.0
"""What the engine takes off the lowest score for a letter that no piece has."""

Merge = tuple[str, str]
Piece = tuple[str, tuple[int, ...]]
"""A token, and the old ids that it stands for."""


@dataclass(frozen=True, eq=False)
class Grafted:
    """A tokenizer.json with more tokens, and what they were before."""

    tree: dict[str, Any]
    pieces: dict[int, tuple[int, ...]]
    """The ids into which each new token was cut, by its id: the words' first, then tokens on the way to a word."""


def graft(tree: dict[str, Any], words: Sequence[str]) -> Grafted:
    """The tree with the words, written as the model has them (`Ġthe`), as tokens; ids go on after the highest.

    BPE reaches a word by merges at the end of the list, which need the tokens on the way: left to right, so that they
    occur in words that begin alike and hardly anywhere else. A unigram model gives a word a score just above that of
    its pieces. Raises InputError for a word that is a token already, or that cannot be one.
    """
    parts = Parts(tree)
    model = dict(tree["model"])
    grafts: dict[str, Callable[[dict[str, Any], Parts, Sequence[str], int], dict[int, tuple[int, ...]]]] = {
        "WordPiece": _entries,
        "WordLevel": _entries,
        "BPE": _merges,
        "Unigram": _scores,
    }
    known = _vocabulary(tree)
    for word, times in Counter(words).items():
        if word + parts.end in known or times > 1:
            raise InputError(f"{word!r} is a token already; leave it out")
    first = _pin(tree, model, known)
    pieces = grafts[model["type"]](model, parts, words, first)
    grafted = Grafted({**tree, "model": model}, pieces)
    _check(grafted, known, words)
    return grafted


def _vocabulary(tree: dict[str, Any]) -> dict[str, int]:
    """Every token and its id, those beside the model too."""
    vocabulary = tree["model"]["vocab"]
    listed = {token: i for i, (token, _) in enumerate(vocabulary)} if isinstance(vocabulary, list) else vocabulary
    return {**listed, **{token["content"]: token["id"] for token in tree.get("added_tokens", ())}}


def _pin(tree: dict[str, Any], model: dict[str, Any], known: dict[str, int]) -> int:
    """Give `model` a vocabulary of its own that holds the tokens beside it too; returns the first free id.

    The engine numbers those that are not in the model by its size, so they would move when it grows.
    """
    first = max(known.values()) + 1
    if not isinstance(model["vocab"], list):
        model["vocab"] = {**model["vocab"], **known}
        return first
    ids = {number: token for token, number in known.items()}
    lowest = min((score for _, score in model["vocab"]), default=0.0)
    model["vocab"] = [*model["vocab"]]
    for number in range(len(model["vocab"]), first):
        if number not in ids:
            raise InputError(f"the tokenizer has no token of id {number}, though of {first - 1}; number them anew")
        model["vocab"].append([ids[number], lowest])
    return first


def _entries(model: dict[str, Any], parts: Parts, words: Sequence[str], first: int) -> dict[int, tuple[int, ...]]:
    model["vocab"].update({word: first + i for i, word in enumerate(words)})
    return {first + i: tuple(token.id for token in parts.tokens(word)) for i, word in enumerate(words)}


def _scores(model: dict[str, Any], parts: Parts, words: Sequence[str], first: int) -> dict[int, tuple[int, ...]]:
    scores: dict[str, float] = {token: score for token, score in model["vocab"]}
    unknown = min(scores.values()) - _UNKNOWN_COSTS
    pieces = {}
    for i, word in enumerate(words):
        tokens = parts.tokens(word)
        best = sum(scores.get(token.value, unknown * len(token.value)) for token in tokens)
        # Words within a word have raised its pieces by this much too, but twice a part's length less one, summed over
        # parts, stays below the same of the whole.
        model["vocab"].append([word, best + _MARGIN * (2 * len(word) - 1)])
        pieces[first + i] = tuple(token.id for token in tokens)
    return pieces


def _merges(model: dict[str, Any], parts: Parts, words: Sequence[str], first: int) -> dict[int, tuple[int, ...]]:
    merges: list[Merge] = [(left, right) for left, right in model["merges"]]
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    vocabulary, prefix, suffix = model["vocab"], model.get("continuing_subword_prefix") or "", parts.end
    cut = {word: parts.tokens(word) for word in words}
    written = {word: word + suffix for word in words}
    found: dict[str, tuple[int, ...]] = {}
    for word in words:
        spelt = "".join(t.value if not i else t.value.removeprefix(prefix) for i, t in enumerate(cut[word]))
        if spelt != written[word]:
            raise InputError(f"{word!r} has letters that are no tokens ({spelt!r} is left); BPE cannot make it one")
        found[written[word]] = tuple(token.id for token in cut[word])
    on_the_way: dict[str, tuple[int, ...]] = {}
    if not model.get("ignore_merges"):  # there a whole word is looked up before anything is merged
        for word in words:
            run = _settled([(token.value, (token.id,)) for token in cut[word]], ranks, prefix)
            while len(run) > 1:
                merge = (run[0][0], run[1][0])
                ranks[merge] = len(merges)
                merges.append(merge)
                token, ids = _joined(run[0], run[1], prefix)
                if token not in vocabulary and token not in found:
                    on_the_way[token] = ids
                run = _settled(run, ranks, prefix)
    model["merges"] = [list(merge) for merge in merges]
    new = found | on_the_way
    vocabulary.update({token: first + i for i, token in enumerate(new)})
    return {first + i: ids for i, ids in enumerate(new.values())}


def _settled(run: list[Piece], ranks: dict[Merge, int], prefix: str) -> list[Piece]:
    """What is left when no merge can be done any more; the first of the list that can be is done first."""
    while True:
        found = [(ranks[pair], i) for i, pair in enumerate(_pairs(run)) if pair in ranks]
        if not found:
            return run
        _, at = min(found)
        run = [*run[:at], _joined(run[at], run[at + 1], prefix), *run[at + 2 :]]


def _pairs(run: list[Piece]) -> list[Merge]:
    return [(left, right) for (left, _), (right, _) in zip(run, run[1:], strict=False)]


def _joined(left: Piece, right: Piece, prefix: str) -> Piece:
    return left[0] + right[0].removeprefix(prefix), left[1] + right[1]


def _check(grafted: Grafted, known: dict[str, int], words: Sequence[str]) -> None:
    now = _vocabulary(grafted.tree)
    assert all(now[token] == number for token, number in known.items())
    parts = Parts(grafted.tree)
    for word in words:
        if len(tokens := parts.tokens(word)) != 1:
            pieces = " ".join(token.value for token in tokens)
            raise InputError(f"{word!r} stays {len(tokens)} tokens ({pieces}); leave it out")
