"""A corpus whose titles say otherwise what the texts say, and a small encoder that does not know it yet."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from inlay.adapt.config import AdaptConfig, Contrast, Gate, Mined
from inlay.convert import save_model
from inlay.evaluate.heldout import HeldOut, hold_out
from inlay.model.presets import preset, resize
from inlay.text.document import Document
from inlay.tokenize.tokenizer import Tokenizer

CONCEPTS, FILLERS = 40, 30
OPEN = Gate(questions=20, agreement=-1.0)
"""Lets everything through that rises: a base that has learnt nothing has nothing to forget."""
QUICK = AdaptConfig(
    pairs=Mined(kinds=("title", "sentence")),
    tuning=Contrast(steps=40, batch=48, lr=5e-3, negatives=None),
    gate=OPEN,
    shares=(0.5, 1.0),
    max_length=48,
    threads=1,
)


@cache
def documents(n: int = 200) -> list[Document]:
    """Three things each; the title has other words for them than the text."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(n):
        things = rng.choice(CONCEPTS, 3, replace=False).tolist()
        title = " ".join(f"name{thing}" for thing in things)
        said = [
            " ".join(
                [f"thing{thing}" for thing in rng.permutation(things)]
                + [f"word{w}" for w in rng.integers(0, FILLERS, 4)]
            )
            for _ in range(4)
        ]
        found.append(Document(id=str(number), title=title, text="".join(f"{one}. " for one in said).strip()))
    return found


@cache
def held() -> HeldOut:
    return hold_out(documents(), seed=0)


def base(folder: Path, **of_model: Any) -> Path:
    """BERT of two layers of 32, weights at random."""
    words = [f"{kind}{i}" for kind in ("name", "thing") for i in range(CONCEPTS)] + [f"word{i}" for i in range(FILLERS)]
    general = ["a", "the", "is", "in", "on", "man", "woman", "he", "she", "of", "to", "was", "for", "by", "and"]
    letters = [chr(97 + i) for i in range(26)]
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer = Tokenizer.from_vocabulary(
        [*words, *general, *letters[1:], ".", ","], [f"##{letter}" for letter in letters], specials=specials
    )
    config = resize(preset("bert-tiny"), 2, 32, 2, 64, vocab_size=tokenizer.size)
    place = folder / "base"
    save_model(replace(config, **of_model).build(seed=3), place, tokenizer=tokenizer)
    return place
