"""Going on from given vectors: what is carried over, what stays, and that no corpus makes it crash."""

from dataclasses import replace

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors.start import Grow, Init
from inlay.vectors.vocabulary import read
from inlay.vectors.word2vec import Cbow, Hierarchical, Negative, PerPair, SkipGram, Word2Vec, train
from inlay.vectors.wordvectors import WordVectors

CONFIG = Word2Vec(dim=12, window=3, epochs=1, min_count=1, sample=0, output=Negative(words=2))
STILL = replace(CONFIG, alpha=1e-9, min_alpha=0)
WAYS = [
    (model, output)
    for model in (SkipGram(), Cbow())
    for output in (Negative(words=2), Negative(words=2, sampling=PerPair()), Hierarchical())
]
EVERY_WAY = pytest.mark.parametrize(("model", "output"), WAYS, ids=str)


def text(words, sentences=40, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.choice(words, 6).tolist() for _ in range(sentences)]


OLD, NEW = [f"old{n}" for n in range(8)], [f"new{n}" for n in range(6)]


@pytest.fixture(scope="module")
def trained():
    return train(text(OLD), replace(CONFIG, epochs=3))


@pytest.fixture(params=["everything", "mapped", "no context", "no counts", "words alone"])
def given(request, trained, tmp_path):
    """Vectors as they may come: trained here, read-only from a file, or without what foreign files leave out."""
    if request.param == "mapped":
        trained.save(tmp_path / "old.safetensors")
        loaded = WordVectors.load(tmp_path / "old.safetensors")
        assert not loaded.matrix.flags.writeable
        return loaded
    counts = trained.counts if request.param in ("everything", "no context") else None
    context = trained.context if request.param in ("everything", "no counts") else None
    return WordVectors(trained.words, trained.matrix, counts, context)


SOURCES = {
    "both": text(OLD[:3] + NEW),
    "no old word": text(NEW),
    "no new word": text(OLD),
    "one sentence": [["old1", "new1", "old2"]],
    "one word": [["new1"]],
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize(
    "begin", [Grow, Init, lambda vectors: Init(vectors, frozen=True)], ids=["grow", "init", "frozen"]
)
def test_no_corpus_makes_going_on_crash(given, source, begin):
    words = {word for sentence in source for word in sentence}
    start = begin(given)
    output = Hierarchical() if len(words) < 3 else CONFIG.output
    for config in (replace(CONFIG, output=output), replace(CONFIG, output=output, model=Cbow(), threads=2)):
        vectors = train(source, config, start=start)
        expected = words | set(given.words) if isinstance(start, Grow) else words
        assert set(vectors.words) == expected
        assert np.isfinite(vectors.matrix).all()


@EVERY_WAY
def test_growing_keeps_all_old_words_adds_the_counts_and_carries_both_tables_over(trained, model, output):
    source = text(OLD[:3] + NEW, seed=1)
    vectors = train(source, replace(STILL, model=model, output=output), start=Grow(trained))
    counts = dict(zip(vectors.words, vectors.counts.tolist(), strict=True))
    for word in OLD + NEW:
        before = trained.counts[trained.index[word]] if word in trained else 0
        assert counts[word] == before + sum(sentence.count(word) for sentence in source)
    assert vectors.words == sorted(counts, key=lambda word: (-counts[word], word))
    for word in OLD:
        np.testing.assert_allclose(vectors[word], trained[word], atol=1e-5)
        if vectors.context is not None:
            here, there = vectors.index[word], trained.index[word]
            np.testing.assert_allclose(vectors.context[here], trained.context[there], atol=1e-5)


def test_growing_leaves_the_vectors_and_the_corpus_that_it_was_given_as_they_were(trained):
    corpus = read(text(OLD[:3] + NEW), min_count=1)
    before = trained.matrix.tobytes(), trained.context.tobytes(), trained.counts.tobytes(), corpus.tokens.tobytes()
    train(corpus, CONFIG, start=Grow(trained))
    after = trained.matrix.tobytes(), trained.context.tobytes(), trained.counts.tobytes(), corpus.tokens.tobytes()
    assert before == after


def test_growing_by_lists_of_words_makes_no_second_copy_of_the_corpus(trained, monkeypatch):
    monkeypatch.setattr("inlay.vectors.start.copied", None)
    assert "new1" in train(text(OLD[:3] + NEW), CONFIG, start=Grow(trained))


def test_growing_by_lists_and_by_an_encoded_corpus_is_the_same(trained):
    source = text(OLD[:3] + NEW)
    one, other = (train(given, CONFIG, start=Grow(trained)) for given in (source, read(source, min_count=1)))
    assert one.words == other.words
    np.testing.assert_array_equal(one.matrix, other.matrix)


def test_old_words_count_however_rare_they_are_in_the_new_text_and_rare_new_words_do_not(trained):
    vectors = train([*text(OLD[:3]), ["new1", "old7"]], replace(CONFIG, min_count=10**6), start=Grow(trained))
    assert sorted(vectors.words) == sorted(OLD)
    assert vectors.counts.sum() == trained.counts.sum() + 40 * 6 + 1
    with pytest.raises(InputError, match="none of the 6 words occurs min_count=1000000 times"):
        train(text(NEW), replace(CONFIG, min_count=10**6), start=Grow(trained))


def test_max_vocab_limits_the_new_words_alone(trained):
    vectors = train([*text(OLD), *text(NEW)], replace(CONFIG, max_vocab=2), start=Grow(trained))
    assert len(vectors) == len(OLD) + 2


@EVERY_WAY
@pytest.mark.parametrize("threads", [1, 2])
def test_frozen_vectors_stay_bit_for_bit_while_the_others_learn(trained, model, output, threads):
    start = Init(WordVectors(trained.words[:5], trained.matrix[:5]), frozen=True)
    config = replace(CONFIG, model=model, output=output, threads=threads)
    vectors = train(text(OLD + NEW), config, start=start)
    still = train(text(OLD + NEW), replace(config, alpha=1e-9, min_alpha=0), start=start)
    for word in vectors.words:
        if word in start.vectors:
            assert vectors[word].tobytes() == start.vectors[word].tobytes()
        else:
            assert (vectors[word] != still[word]).any()


def test_init_begins_with_the_given_vectors_and_the_vocabulary_of_the_source(trained):
    vectors = train(text(OLD[:3] + NEW), STILL, start=Init(trained))
    assert set(vectors.words) == {*OLD[:3], *NEW}
    for word in OLD[:3]:
        np.testing.assert_allclose(vectors[word], trained[word], atol=1e-5)


@pytest.mark.parametrize("begin", [Grow, Init])
def test_vectors_of_another_length_are_refused_before_the_text_is_read(trained, begin):
    def never():
        raise AssertionError("was read")
        yield

    with pytest.raises(InputError, match="dim=7, but the vectors to start from have 12; set dim=12"):
        train(never(), replace(CONFIG, dim=7), start=begin(trained))


@pytest.mark.parametrize("begin", [Grow, Init])
def test_a_given_vector_that_is_not_finite_is_named(trained, begin):
    matrix = trained.matrix.copy()
    matrix[3, 5] = np.nan
    with pytest.raises(InputError, match=f"the vector of '{trained.words[3]}' to start from is not finite"):
        train(text(OLD), CONFIG, start=begin(WordVectors(trained.words, matrix)))


@pytest.mark.parametrize("begin", [Grow, Init])
def test_a_text_without_words_is_refused(trained, begin):
    for source in ([], [[]], [[], []]):
        with pytest.raises(InputError, match=r"none of the 0 words|no word to train on"):
            train(source, CONFIG, start=begin(trained))
