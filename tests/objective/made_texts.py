"""A tokenizer of a thousand ids and random texts in it, which every tiny architecture reads."""

from functools import cache
from typing import Any

import numpy as np

from inlay.batch import Batch
from inlay.model.model import ModelConfig
from inlay.tokenize.tokenizer import Tokenizer

PAD, UNK, CLS, SEP, MASK = range(5)
WORDS, V = 755, 1000
"""Ids 5 … 754 begin a word, 755 … 999 go on one."""


@cache
def tokenizer(specials: tuple[str, ...] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")) -> Tokenizer:
    """Words w0, w1 … and their pieces ##0, ##1 …, as many as make a thousand with the characters."""
    words = [f"w{i}" for i in range(WORDS - len(specials))]
    pieces = [f"##x{i}" for i in range(V - WORDS - 24)]  # 12 characters stand alone and inside
    made = Tokenizer.from_vocabulary(words, pieces, specials=specials)
    assert made.size == V
    return made


def texts(lengths: list[int], *, seed: int = 0, around: bool = True) -> Batch:
    """Texts of so many tokens, [CLS] first and [SEP] last; a quarter of the others go on a word."""
    rng = np.random.default_rng(seed)
    ids = [rng.integers(5, V, n).tolist() for n in lengths]
    return Batch.of([[CLS, *text[2:], SEP] if around and len(text) > 2 else text for text in ids])


def pairs(lengths: list[int], *, seed: int = 0) -> Batch:
    """Texts of two segments, [CLS] A [SEP] B [SEP], and for each a label 0 or 1."""
    rng = np.random.default_rng(seed)
    made, segments = [], []
    for n in lengths:
        first, second = (rng.integers(5, V, k).tolist() for k in (n // 2 - 2, n - n // 2 - 1))
        made.append([CLS, *first, SEP, *second, SEP])
        segments.append([0] * (n // 2) + [1] * (n - n // 2))
    whole = Batch.of(made, segments)
    labels = rng.integers(0, 2, len(lengths))
    return Batch(ids=whole.ids, lengths=whole.lengths, cut=whole.cut, segments=whole.segments, labels=labels)


def without_dropout(config: ModelConfig) -> ModelConfig:
    """The same architecture, of which training leaves out nothing."""
    from inlay.config import override, to_tree

    def places(tree: Any, path: str) -> list[str]:
        if isinstance(tree, list):
            return []
        found = []
        for key, value in tree.items():
            at = f"{path}.{key}" if path else key
            if key == "dropout" and not isinstance(value, dict) or path.endswith("dropout"):
                found.append(at)
            elif isinstance(value, dict):
                found += places(value, at)
        return found

    return override(config, dict.fromkeys(places(to_tree(config), ""), 0.0))
