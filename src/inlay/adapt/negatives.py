"""Hard negatives: documents that BM25 or the model itself takes for the answer to a query, and that are not it."""

# P pairs, N documents, D dimensions, Q queries of a block

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from inlay.adapt.config import Hard
from inlay.adapt.pairs import Pairs
from inlay.embed.embedder import Embedder
from inlay.embed.static import unit
from inlay.live import Live
from inlay.search.hybrid import top
from inlay.search.index import Index
from inlay.search.lexical import Lexical
from inlay.text.document import Document
from inlay.text.pairs import body_of

_BLOCK = 256
_NEAR = 1e-6
"""What rounding may make of equal cosines."""


def with_hard(
    pairs: Pairs,
    documents: Sequence[Document],
    positions: Sequence[int],
    embedder: Embedder | None,
    lang: str,
    config: Hard,
    *,
    labelled: bool,
    seed: int,
) -> Pairs:
    """The pairs, each with as many negatives as `config.per_pair` says, those that it has already first.

    Hard ones are the bodies of the documents at `positions`: among the first `ranks` of BM25 or of the embedder for the
    query, of another document than the pair's (`groups`; for labelled pairs, of none whose text holds or repeats an
    answer of the group), and below the answer's own cosine times `below`. Where too few are left, others are drawn by
    chance, which are easier. Without an embedder BM25 ranks alone, and no cosine is asked for.
    """
    texts = [body_of(documents[at]) for at in positions]
    lexical, index = Lexical.build(texts, lang), None if embedder is None else _index(embedder, texts)
    is_own = _of_answer(pairs, texts) if labelled else _of_document(pairs, positions)
    rng = np.random.default_rng([seed, 9])
    found: list[tuple[str, ...]] = []
    with Live("hard negatives", len(pairs), "pairs") as live:
        for start in range(0, len(pairs), _BLOCK):
            block = list(range(start, min(start + _BLOCK, len(pairs))))
            queries = [pairs.queries[at] for at in block]
            rankings = [top(lexical.scores(lexical.queries(queries)), config.ranks)]
            below = np.ones((len(block), len(texts)), bool)  # (Q, N)
            if embedder is not None and index is not None:
                asked = embedder.encode(queries, prompt="query")
                cosines = index.scores(asked)  # (Q, N)
                answers = unit(embedder.encode([pairs.positives[at] for at in block], prompt="document"))
                below = cosines < (config.below * np.einsum("qd,qd->q", unit(asked), answers) - _NEAR)[:, None]
                rankings.append(top(cosines, config.ranks))
            ranked = np.concatenate(rankings, axis=1)
            for row, at in enumerate(block):
                own = partial(is_own, at)
                found.append(pairs.negatives[at][: config.per_pair])
                wanted = config.per_pair - len(found[-1])
                free = [n for n in dict.fromkeys(ranked[row].tolist()) if below[row, n] and not own(n)]
                hard = rng.permutation(np.array(free, np.int64))[:wanted].tolist()
                hard += _others(len(texts), lambda n: n in hard or own(n), wanted - len(hard), rng)  # noqa: B023
                found[-1] += tuple(texts[number] for number in hard)
            live.advance(len(block))
    return replace(pairs, negatives=found)


def _others(size: int, is_own: Callable[[int], bool], wanted: int, rng: np.random.Generator) -> list[int]:
    """So many documents by chance, none of them its own; fewer where there are no more."""
    if wanted <= 0:
        return []
    found = (number for number in rng.permutation(size).tolist() if not is_own(number))
    return list(islice(found, wanted))


def _of_document(pairs: Pairs, positions: Sequence[int]) -> Callable[[int, int], bool]:
    """Whether a document of those that are searched is that of a pair."""
    return lambda at, number: positions[number] == pairs.groups[at]


def _of_answer(pairs: Pairs, texts: Sequence[str]) -> Callable[[int, int], bool]:
    """Whether a document repeats, holds, or is held by, an answer of the pair's group."""
    folded = [_folded(text) for text in texts]
    answers: dict[int, list[str]] = {}
    for positive, group in zip(pairs.positives, pairs.groups.tolist(), strict=True):
        answers.setdefault(group, []).append(_folded(positive))

    def is_own(at: int, number: int) -> bool:
        text = folded[number]
        return any(answer in text or text in answer for answer in answers[int(pairs.groups[at])])

    return is_own


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _index(embedder: Embedder, texts: Sequence[str]) -> Index:
    """The texts by number, read a block at a time."""
    index = Index(embedder.dim)
    for at in range(0, len(texts), _BLOCK):
        block = texts[at : at + _BLOCK]
        index.add([str(at + number) for number in range(len(block))], embedder.encode(block, prompt="document"))
    return index
