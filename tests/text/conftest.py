"""What the tests of shards and packings share: one small corpus, and a tokenizer of every kind that cuts it."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from inlay.text.corpus import Corpus
from inlay.text.shardfile import Shards
from inlay.text.shards import ShardsConfig, write_shards
from inlay.tokenize.kinds import BPE, ByteBPE, Bytes, Characters, TokenizerConfig, Unigram, WordPiece, Words
from inlay.tokenize.tokenizer import Tokenizer

_WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "wizards", "boxed")
KINDS: dict[str, TokenizerConfig] = {
    "wordpiece": WordPiece(size=90),
    "bpe": BPE(size=90),
    "unigram": Unigram(size=90),
    "bytebpe": ByteBPE(size=300),
    "bytes": Bytes(),
    "characters": Characters(),
    "words": Words(),
}


def articles(number: int, seed: int = 0) -> list[str]:
    """Documents of 1 to 12 sentences, some of one word."""
    rng = random.Random(seed)
    return [
        " ".join(
            " ".join(rng.choices(_WORDS, k=rng.randint(1, 14))).capitalize() + rng.choice([".", "?", "!"])
            for _ in range(rng.randint(1, 12))
        )
        for _ in range(number)
    ]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return articles(80)


@pytest.fixture(scope="session")
def tokenizers(texts: list[str]) -> Callable[[str], Tokenizer]:
    """A function from the name of a kind to its tokenizer, trained once."""
    made: dict[str, Tokenizer] = {}

    def of(kind: str) -> Tokenizer:
        if kind not in made:
            made[kind] = Tokenizer.train(texts, KINDS[kind])
        return made[kind]

    return of


@pytest.fixture(scope="session")
def sharded(
    texts: list[str], tokenizers: Callable[[str], Tokenizer], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Shards]:
    """A function from the name of a kind, and settings, to shards of the texts; made once, for reading only."""
    made: dict[Any, Shards] = {}

    def of(kind: str = "wordpiece", **settings: Any) -> Shards:
        asked = {"words": True, "sentences": True, "held_out": 0.2, "shard_tokens": 1500, **settings}
        key = (kind, *sorted(asked.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("shards") / kind
            made[key] = write_shards(Corpus(texts), tokenizers(kind), folder, ShardsConfig(**asked))
        return made[key]

    return of
