"""Trim: a vocabulary cut down to what a corpus needs, so that most rows of a table go; it is read as before."""

# V tokens before, K tokens kept

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.live import Live
from inlay.tokenize.parts import Parts
from inlay.tokenize.tokenizer import Tokenizer

if TYPE_CHECKING:
    from inlay.model.model import Model

_BLOCK = 4096
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_ROUNDS = 3
_LONGEST = 100
"""Characters of the longest token that is looked for in a word of unknown ones; WordPiece reads no longer words."""


@dataclass(frozen=True, eq=False)
class Trimmed:
    """A smaller tokenizer, and what became of the ids."""

    tokenizer: Tokenizer
    ids: NDArray[np.int64]
    """(K,) the old id of each new one; the order is kept."""
    before: int
    """V"""


def trim(tokenizer: Tokenizer, texts: Sequence[str], *, keep: Iterable[str] = (), characters: bool = True) -> Trimmed:
    """The tokenizer with the tokens that the texts use, those in `keep`, and the special ones; ids move up.

    With `characters`, single characters and bytes stay too, so that other texts fall into pieces and are not lost.
    The texts are encoded as before, which is checked. Raises InputError for no text, and for a `keep` that is no token.
    """
    if isinstance(texts, str) or not any(text.strip() for text in texts):
        raise InputError("there is no text to trim the vocabulary to; give a list of texts")
    tree = tokenizer.tree()
    known = _model_ids(tree["model"])
    kept = {known[token] for token in _always(tree, known, characters=characters)}
    kept |= {tokenizer.id(token) for token in keep} & set(known.values())
    with Live("vocabulary", 2 * len(texts), "texts") as live:
        for block in _blocks(texts):
            kept |= set(np.unique(tokenizer.encode(block).ids).tolist()) & set(known.values())
            live.advance(len(block))
        for _ in range(_ROUNDS):
            smaller, ids = _rebuilt(tokenizer, tree, _closed(tree["model"], known, kept))
            changed = [text for block in _blocks(texts) for text in _changed(tokenizer, smaller, ids, block)]
            if not changed:
                live.advance(len(texts))
                return Trimmed(smaller, ids, len(tokenizer.vocabulary))
            # A word that was unknown is found by other pieces, once those are gone that led into a dead end.
            kept |= _within(tree, known, changed)
    raise InputError(f"this tokenizer reads {changed[0]!r:.60} otherwise with fewer tokens; it cannot be trimmed")


def trim_static(embedder: StaticEmbedder, texts: Sequence[str], **options: Any) -> StaticEmbedder:
    """A static model with the rows that the texts need; their vectors stay as they are, bit for bit."""
    found = trim(embedder.tokenizer, texts, **options)
    table = embedder.table[found.ids]
    return StaticEmbedder(found.tokenizer, table, normalize=embedder.normalize, skip_unknown=embedder.skip_unknown)


def trim_model(model: "Model", found: Trimmed) -> "Model":
    """A new model whose token table, and what is tied to it, has the kept rows; the rows of texts stay as they are."""
    import torch

    from inlay.model.input import Table

    config = model.config
    if not isinstance(config.input.token, Table):
        raise InputError(f"a {type(config.input.token).__name__} reads tokens from characters; it has no rows to trim")
    padding = config.input.token.padding
    places = {old: new for new, old in enumerate(found.ids.tolist())}
    token = Table(padding=None if padding is None else places.get(padding))
    smaller = replace(config, input=replace(config.input, vocab_size=len(found.ids), token=token))
    rows = torch.from_numpy(found.ids)
    weights = {
        name: weight.index_select(0, rows) if name in _BY_TOKEN and len(weight) == config.vocab_size else weight
        for name, weight in model.state_dict().items()
    }
    built = smaller.build(device=model.device).to(next(model.parameters()).dtype)
    built.load_state_dict(weights)
    built.source = model.source
    return built.eval()


_BY_TOKEN = {"input.token.weight", "heads.language.bias", "heads.language.own.weight"}


def _model_ids(model: dict[str, Any]) -> dict[str, int]:
    vocabulary = model["vocab"]
    listed = isinstance(vocabulary, list)
    return {token: at for at, (token, _) in enumerate(vocabulary)} if listed else dict(vocabulary)


def _always(tree: dict[str, Any], known: dict[str, int], *, characters: bool) -> Iterator[str]:
    """The tokens of the model that stay whatever the texts are."""
    model = tree["model"]
    yield from (token["content"] for token in tree.get("added_tokens", ()) if token["content"] in known)
    unknown = model.get("unk_token")
    if unknown in known:
        yield unknown
    if isinstance(model["vocab"], list):
        if model.get("unk_id") is not None:
            yield model["vocab"][model["unk_id"]][0]
        # The lowest score sets what an unknown letter costs.
        yield min(model["vocab"], key=lambda entry: entry[1])[0]
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    if characters:
        for token in known:
            if len(token.removeprefix(prefix).removesuffix(suffix)) == 1 or len(token) == 1 or _BYTE.fullmatch(token):
                yield token


def _closed(model: dict[str, Any], known: dict[str, int], kept: set[int]) -> set[int]:
    """What is kept, and for BPE the tokens on the way to it, by whatever merges lead there."""
    if model["type"] != "BPE":
        return kept
    prefix = model.get("continuing_subword_prefix") or ""
    ways: dict[int, list[tuple[int, int]]] = {}
    for left, right in model["merges"]:
        if (joined := left + right.removeprefix(prefix)) in known:
            ways.setdefault(known[joined], []).append((known[left], known[right]))
    found, left_over = set(kept), list(kept)
    while left_over:
        for pair in ways.get(left_over.pop(), ()):
            new = [one for one in pair if one not in found]
            found.update(new)
            left_over += new
    return found


def _rebuilt(tokenizer: Tokenizer, tree: dict[str, Any], kept: set[int]) -> tuple[Tokenizer, NDArray[np.int64]]:
    """The tokenizer of these tokens, and the old id of each new one: the model's come first, as the engine has it."""
    model = dict(tree["model"])
    known = _model_ids(model)
    beside = sorted(token["id"] for token in tree.get("added_tokens", ()) if token["content"] not in known)
    order = [*sorted(kept), *beside]
    new = {old: at for at, old in enumerate(order)}
    if isinstance(model["vocab"], list):
        model["vocab"] = [entry for at, entry in enumerate(model["vocab"]) if at in kept]
        if model.get("unk_id") is not None:
            model["unk_id"] = new[model["unk_id"]]
    else:
        model["vocab"] = {token: new[old] for token, old in known.items() if old in kept}
    if model["type"] == "BPE":
        prefix, left = model.get("continuing_subword_prefix") or "", model["vocab"]
        model["merges"] = [
            [a, b] for a, b in model["merges"] if a in left and b in left and a + b.removeprefix(prefix) in left
        ]
    changed = {
        **tree,
        "model": model,
        "added_tokens": [{**token, "id": new[token["id"]]} for token in tree.get("added_tokens", ())],
        "post_processor": _renumbered(tree.get("post_processor"), new),
    }
    return tokenizer.rebuilt(changed), np.array(order, np.int64)


def _renumbered(processor: Any, new: dict[int, int]) -> Any:
    """What puts special tokens around a text, with their new ids."""
    if not isinstance(processor, dict):
        return processor
    found = dict(processor)
    for name in ("cls", "sep"):
        if isinstance(found.get(name), list):
            token, number = found[name]
            found[name] = [token, new[number]]
    if isinstance(found.get("special_tokens"), dict):
        found["special_tokens"] = {
            name: {**one, "ids": [new[number] for number in one["ids"]]}
            for name, one in found["special_tokens"].items()
        }
    if isinstance(found.get("processors"), list):
        found["processors"] = [_renumbered(one, new) for one in found["processors"]]
    return found


def _blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[at : at + _BLOCK] for at in range(0, len(texts), _BLOCK))


def _changed(old: Tokenizer, new: Tokenizer, ids: NDArray[np.int64], texts: Sequence[str]) -> list[str]:
    """The texts that are encoded otherwise."""
    before, after = old.encode(texts), new.encode(texts)
    if np.array_equal(before.lengths, after.lengths) and np.array_equal(before.ids, ids[after.ids]):
        return []
    found = []
    for text, a, n, b, m in zip(texts, before.starts, before.lengths, after.starts, after.lengths, strict=True):
        if n != m or not np.array_equal(before.ids[a : a + n], ids[after.ids[b : b + m]]):
            found.append(text)
    return found


def _within(tree: dict[str, Any], known: dict[str, int], texts: Sequence[str]) -> set[int]:
    """Every token that stands somewhere in a word of the texts that has unknown parts."""
    parts, prefix = Parts(tree), tree["model"].get("continuing_subword_prefix") or ""
    words = {part for text in texts for chunk in text.split() for part in parts.of(chunk)}
    unknown = [word for word in words if parts.unknown(parts.tokens(word))]
    pieces = {
        word[at:end]
        for word in unknown
        for at in range(len(word))
        for end in range(at + 1, min(len(word), at + _LONGEST) + 1)
    }
    return {known[token] for piece in pieces for token in (piece, prefix + piece) if token in known}
