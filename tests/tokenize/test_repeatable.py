"""A tokenizer of more characters than it may keep is the same in every run, though many of them are equally rare."""

import pytest

from inlay.tokenize.kinds import BPE, TokenizerConfig, WordPiece
from inlay.tokenize.tokenizer import Tokenizer

COMMON = "猫在屋里睡觉狗在门口看家"
RARE = [chr(0x5000 + number) for number in range(400)]


@pytest.mark.parametrize("config", [WordPiece(size=300), BPE(size=200)], ids=["wordpiece", "bpe"])
def test_of_equally_rare_characters_none_stays_by_chance(config: TokenizerConfig) -> None:
    texts = [COMMON * 3 + c + c for c in RARE]
    made = [Tokenizer.train(iter(texts), config) for _ in range(4)]
    assert all(one.tree() == made[0].tree() for one in made)
    assert set(COMMON) <= set(made[0].vocabulary)
    assert set(RARE).isdisjoint("".join(made[0].vocabulary))


@pytest.mark.parametrize("config", [WordPiece(size=3000), BPE(size=3000)], ids=["wordpiece", "bpe"])
def test_where_there_is_room_every_character_stays(config: TokenizerConfig) -> None:
    vocabulary = Tokenizer.train((COMMON * 3 + c + c for c in RARE), config).vocabulary
    assert {*COMMON, *RARE} <= set(vocabulary)
