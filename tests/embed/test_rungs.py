"""Rungs: every way to a token table gives finite rows, repeats, and does what its name says."""

from typing import Any

import numpy as np
import pytest

from inlay.embed import rungs
from inlay.embed.rungs import DEFAULT, RUNGS, UNTUNED, Material, Rung, rung
from inlay.embed.static import StaticEmbedder, unit
from inlay.embed.tune import Tune
from inlay.errors import InputError
from inlay.text.pairs import Pair
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.wordvectors import WordVectors

# N documents, V tokens, P pairs, D dimensions

TOPICS = {
    "en": [
        ["cat", "cats", "kitten", "purring", "milk", "whiskers"],
        ["engine", "engines", "motor", "piston", "diesel", "gearbox"],
        ["violin", "violins", "orchestra", "sonata", "melody", "concert"],
    ],
    "zh": [
        ["貓", "小貓", "牛奶", "鬍鬚", "寵物", "爪子"],
        ["引擎", "發動機", "活塞", "柴油", "變速箱", "汽車"],
        ["小提琴", "樂團", "奏鳴曲", "旋律", "音樂會", "鋼琴"],
    ],
}


def material(lang: str = "en", *, vectors: bool = True, seed: int = 0, steps: int = 20) -> Material:
    rng = np.random.default_rng(0)
    glue = " " if lang == "en" else ""
    common = "the" if lang == "en" else "的"
    topics = TOPICS[lang]
    drawn = [
        (of, [common, *rng.permutation(words)[:4].tolist(), common])
        for _ in range(8)
        for of, words in enumerate(topics)
    ]
    texts = [glue.join(words) for _, words in drawn]
    pairs = [
        Pair(kind="sentence", query=glue.join(words[:3]), positive=glue.join([common, *words[3:]]), document=at)
        for at, (_, words) in enumerate(drawn)
    ]
    words = [common, *(word for topic in topics for word in topic)]
    known = WordVectors(words[:-1], rng.standard_normal((len(words) - 1, 10)).astype(np.float32))
    return Material(
        Tokenizer.from_vocabulary(words),
        lang,
        texts,
        pairs,
        known if vectors else None,
        dim=6,
        tune=Tune(steps=steps, batch=8, rate=0.01),
        seed=seed,
    )


@pytest.fixture(scope="module", params=["en", "zh"])
def made(request: Any) -> Material:
    return material(request.param)


@pytest.mark.parametrize("step", RUNGS, ids=lambda step: step.name)
def test_every_rung_makes_a_row_for_every_token_and_repeats(step: Rung, made: Material) -> None:
    table, losses = step.build(made)
    assert table.shape == (made.tokenizer.size, 10 if "vectors" in step.name else 6)
    assert table.dtype == np.float32
    assert np.isfinite(table).all()
    assert table.any()
    assert len(losses) == (20 if step.name.startswith("tuned") else 0)
    again, same = step.build(material(made.lang))
    assert again.tobytes() == table.tobytes()
    assert same == losses
    StaticEmbedder(made.tokenizer, np.ascontiguousarray(table)).encode(["cat 貓", ""])


@pytest.mark.parametrize(
    ("lang", "name"), [("en", "lsa"), ("en", "tuned-lsa"), ("en", "tuned-random"), ("zh", "lsa"), ("zh", "lsa-grams")]
)
def test_words_of_one_subject_come_together(lang: str, name: str) -> None:
    made = material(lang, steps=150)
    table, _ = rung(name).build(made)
    embedder = StaticEmbedder(made.tokenizer, np.ascontiguousarray(table))
    start = "" if lang == "en" else "的"  # a word at the start of a run is a token of its own
    vectors = embedder.encode([start + word for topic in TOPICS[lang] for word in topic]).reshape(3, 6, -1)
    centres = unit(vectors.mean(axis=1))
    nearest = np.einsum("twd,sd->tws", vectors, centres).argmax(axis=2)
    assert (nearest == np.arange(3)[:, None]).mean() > 0.9


def test_word_vectors_stand_at_their_tokens_and_nothing_elsewhere(made: Material) -> None:
    assert made.vectors is not None
    for number, token in enumerate(made.tokens):
        assert made.tokenizer.id(token) == number
        expected = made.vectors[token] if token in made.vectors else np.zeros(10)
        if not token.startswith("##"):
            assert np.array_equal(made.word_table[number], expected)
    if made.lang == "zh":  # a word inside a run is the word
        assert np.array_equal(made.word_table[made.tokenizer.id("##引擎")], made.vectors["引擎"])
    else:
        assert not made.word_table[made.tokenizer.id("##c")].any()


def test_counts_are_those_of_the_tokens(made: Material) -> None:
    assert made.counts.shape == (24, made.tokenizer.size)
    assert made.frequency.sum() == made.counts.sum()
    assert made.queries.shape == made.positives.shape == (24, made.tokenizer.size)
    assert made.documents.tolist() == list(range(24))


def test_idf_weighs_each_word_by_the_documents_that_have_it(made: Material) -> None:
    dense = made.counts.toarray()
    idf = np.log((1 + len(dense)) / (1 + (dense > 0).sum(axis=0)))
    np.testing.assert_allclose(rungs.idf_vectors(made), made.word_table * idf[:, None], rtol=1e-5)
    stop = made.tokenizer.id("the" if made.lang == "en" else "的")
    assert not rungs.idf_vectors(made)[stop].any()  # it stands in every document


def test_sif_takes_the_common_component_out_of_every_text(made: Material) -> None:
    share = made.frequency / made.frequency.sum()
    weighted = made.word_table * (1e-3 / (1e-3 + share))[:, None]
    vectors = unit((made.counts @ weighted).astype(np.float32)).astype(np.float64)
    common = np.linalg.svd(vectors)[2][0]
    np.testing.assert_allclose(rungs.sif_vectors(made), weighted - np.outer(weighted @ common, common), atol=1e-4)
    assert np.abs(made.counts @ rungs.sif_vectors(made) @ common).max() < 1e-3


def test_another_seed_draws_other_numbers() -> None:
    assert not np.array_equal(rungs.random_table(material()), rungs.random_table(material(seed=1)))


@pytest.mark.parametrize("step", [step for step in RUNGS if step.needs_vectors], ids=lambda step: step.name)
def test_a_rung_that_needs_word_vectors_says_so(step: Rung) -> None:
    with pytest.raises(InputError, match="needs word vectors"):
        step.build(material(vectors=False))


def test_rungs_are_told_apart_by_name_and_the_shipped_ones_are_among_them() -> None:
    names = [step.name for step in RUNGS]
    assert len(set(names)) == len(names)
    assert {DEFAULT, UNTUNED} <= set(names)
    assert not rung(UNTUNED).needs_vectors
    for name in names:
        assert rung(name).name == name
        assert ("vectors" in name) == rung(name).needs_vectors
