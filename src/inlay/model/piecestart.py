"""Vectors for pieces of words, from the word vectors: the words that a piece stands in, or within, and its n-grams."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inlay.text.words import is_unspaced
from inlay.tokenize.tokenizer import Tokenizer
from inlay.tokenize.writing import Written
from inlay.vectors.wordvectors import WordVectors

# V tokens of the tokenizer, W words of the vectors, D dimensions, R tokens of all the words together, L characters

_BLOCK = 1 << 14
"""Words whose vectors are summed at a time."""
_LONGEST = 12
"""Characters of the longest Chinese or Japanese word that is looked for inside a token."""


def encode(words: Sequence[str], tokenizer: Tokenizer) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """((W + 1,) starts, (R,) ids): the tokens of word w as it stands inside a text, ids[starts[w] : starts[w + 1]]."""
    space = " " if tokenizer.writing.start else ""  # `▁the` is the word, `the` the end of `breathe`
    batch = tokenizer.encode([word if is_unspaced(word) else space + word for word in words])
    return np.concatenate([[0], np.cumsum(batch.lengths)]), batch.ids


def means(
    vectors: WordVectors,
    starts: NDArray[np.int64],
    ids: NDArray[np.int32],
    weights: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of the tokens in `rows` those that occur in words of weight above 0, and the weighted means of these words."""
    from scipy.sparse import csr_matrix

    place = np.full(int(max(ids.max(initial=0), rows.max(initial=0))) + 1, -1)
    place[rows] = np.arange(len(rows))
    word = np.repeat(np.arange(len(vectors)), np.diff(starts))  # (R,)
    used = (place[ids] >= 0) & (weights[word] > 0)
    at, word = place[ids[used]], word[used]
    total = np.bincount(at, weights[word], minlength=len(rows))
    sums = np.zeros((len(rows), vectors.dim))
    for first in range(0, len(vectors), _BLOCK):
        part = slice(*np.searchsorted(word, [first, first + _BLOCK]))
        shape = (len(rows), min(_BLOCK, len(vectors) - first))
        block = vectors.table.take(slice(first, first + _BLOCK))
        sums += csr_matrix((weights[word[part]], (at[part], word[part] - first)), shape) @ block
    met = total > 0
    return rows[met], (sums[met] / total[met, None]).astype(np.float32)


def ngrams(
    vectors: WordVectors, written: Sequence[Written | None], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of the tokens in `rows` those with an n-gram that training met, and the means of their n-grams."""
    from inlay.vectors.subwords import ngram_rows

    grams = vectors.subwords
    assert grams is not None
    readable = [(row, token.text) for row in rows if (token := written[row]) and token.text]
    starts, buckets = ngram_rows([text for _, text in readable], grams.min_n, grams.max_n, grams.buckets)
    values = np.zeros((len(readable), vectors.dim), np.float32)
    for place, (first, last) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        found = grams.find(buckets[first:last])
        if (found >= 0).any():
            values[place] = grams.inputs[found[found >= 0]].sum(axis=0) / np.float32(last - first)
    met = values.any(axis=1)
    return np.array([row for row, _ in readable], np.int64)[met], values[met]


def within(
    vectors: WordVectors, written: Sequence[Written | None], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of the tokens in `rows` those that run over several words, and the means of these words, longest first.

    That is so in Chinese and Japanese, where no space keeps a piece from going on past the end of a word. A token with
    a part that is no word is left out.
    """
    found, values = [], []
    for row in rows.tolist():
        token = written[row]
        if token and token.text and all(map(is_unspaced, token.text)) and (words := _cut(token.text, vectors.index)):
            found.append(row)
            values.append(vectors.table.take(words).mean(axis=0))
    return np.array(found, np.int64), np.array(values, np.float32).reshape(-1, vectors.dim)


def _cut(text: str, index: dict[str, int]) -> list[int]:
    """The longest known words from left to right; none at all where one is unknown."""
    words: list[int] = []
    at = 0
    while at < len(text):
        stop = next((s for s in range(min(len(text), at + _LONGEST), at, -1) if text[at:s] in index), at)
        if stop == at:
            return []
        words.append(index[text[at:stop]])
        at = stop
    return words
