"""The words of a text: a tokenizer that keeps them whole, and skip-gram vectors of them."""

# N tokens, V tokens of the vocabulary

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from inlay.live import Live, say
from inlay.pipeline.config import FitConfig
from inlay.text.corpus import Corpus
from inlay.text.document import Document
from inlay.text.words import is_unspaced, segmenter
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.vocabulary import Encoded, Vocabulary
from inlay.vectors.word2vec import Negative, train

VECTORS = "vectors.safetensors"
_WORDS_A_SECOND = 400_000
"""Of skip-gram training, as the cost model has it; machines differ, results must not."""
_FEWEST_WORDS = 5_000
"""Words of text below which word vectors are noise."""


def tokenizer(
    documents: Sequence[Document], lang: str, config: FitConfig, background: Corpus | None, part: Path
) -> None:
    """Words of the text are whole tokens, the most frequent ones first; then those of the background."""
    segment = segmenter(lang)
    own: Counter[str] = Counter()
    with Live("count words", len(documents), "documents") as live:
        for document in live.over(documents):
            own.update(segment(document.full))
    words = [word for word, _ in sorted(own.items(), key=lambda item: (-item[1], item[0]))][: config.words]
    if background is not None:
        general: Counter[str] = Counter()
        with Live("count background", unit="documents") as live:
            for text in live.over(background.texts()):
                general.update(segment(text))
        most = sorted(general.items(), key=lambda item: (-item[1], item[0]))
        words += [word for word, count in most if count > 4 and word not in own][: config.words - len(words)]
    Tokenizer.from_vocabulary(words).save(part)


def word_vectors(
    texts: Sequence[str], tokenizer: Tokenizer, config: FitConfig, background: Corpus | None, part: Path
) -> None:
    """Skip-gram vectors of the texts' words and the background's; nothing where there are too few."""
    encoded = _encoded(texts, tokenizer, config.vectors.min_count, background)
    n_words = int(encoded.vocabulary.counts.sum())
    skipgram = config.vectors
    noise = skipgram.output.words if isinstance(skipgram.output, Negative) else 1
    if n_words < _FEWEST_WORDS or len(encoded.vocabulary) <= 2 * noise:
        say(f"word vectors are left out: {n_words:,} words are too few")
        return
    affordable = int(config.seconds(0.25) * _WORDS_A_SECOND / n_words)
    skipgram = replace(skipgram, epochs=max(1, min(skipgram.epochs, affordable)), seed=config.seed)
    train(encoded, skipgram).save(part / VECTORS)


def _encoded(texts: Sequence[str], tokenizer: Tokenizer, min_count: int, background: Corpus | None) -> Encoded:
    """The texts as numbers of words, a document a sentence; words rarer than `min_count` are left out."""
    tokens = [
        token.removeprefix("##") if is_unspaced(token.removeprefix("##")) else token for token in tokenizer.vocabulary
    ]
    # A Chinese word inside a run has a number of its own; here it is the word again.
    number = {token: at for at, token in reversed(list(enumerate(tokens)))}
    same = np.array([number[token] for token in tokens], np.int32)
    words = np.array([token.isalnum() for token in tokens])
    parts = []
    for block in _blocks(texts, background):
        batch = tokenizer.encode(block)
        ids = np.where(words[batch.ids], same[batch.ids], -2)
        parts.append(np.insert(ids, np.cumsum(batch.lengths), -1))
    ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    counts = np.bincount(ids[ids >= 0], minlength=len(tokens))
    kept = np.flatnonzero(counts >= min_count)
    kept = kept[np.argsort(-counts[kept], kind="stable")]
    renumber = np.full(len(tokens) + 2, -2, np.int32)
    renumber[kept] = np.arange(len(kept))
    renumber[-1] = -1
    ids = renumber[ids]
    vocabulary = Vocabulary(words=[tokens[at] for at in kept], counts=counts[kept])
    return Encoded(vocabulary=vocabulary, tokens=ids[ids > -2])


def _blocks(texts: Sequence[str], background: Corpus | None, size: int = 2048) -> Iterator[list[str]]:
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])
    block: list[str] = []
    for text in background.texts() if background is not None else ():
        block.append(text)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
