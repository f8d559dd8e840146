"""Training: it learns, it repeats, it goes on from given vectors, it can be stopped, and it says what is wrong."""

import threading
from dataclasses import replace

import numba
import numpy as np
import pytest
from numba.core import caching

from inlay.errors import InputError
from inlay.vectors import training
from inlay.vectors.compiled import compiled
from inlay.vectors.training import keep_probabilities
from inlay.vectors.vocabulary import LineFiles, read
from inlay.vectors.word2vec import Cbow, Hierarchical, Negative, PerCentre, PerPair, SkipGram, Word2Vec, train
from inlay.vectors.wordvectors import WordVectors

SMALL = Word2Vec(dim=20, window=3, epochs=3, min_count=1, alpha=0.05)
WAYS = [
    (model, output)
    for model in (SkipGram(), Cbow())
    for output in (Negative(), Negative(sampling=PerPair()), Negative(sampling=PerCentre(drawn=3)), Hierarchical())
]
EVERY_WAY = pytest.mark.parametrize(("model", "output"), WAYS, ids=str)


def topics(n=3000, seed=0):
    """Sentences of eight words, all of one of four topics of ten words."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 10, (n, 8))
    return [[f"topic{topic}_{word}" for word in row] for topic, row in zip(rng.integers(0, 4, n), words, strict=True)]


def belonging(vectors):
    """Share of words whose nearest word is of their topic."""
    return np.mean([word[:6] == vectors.most_similar(word, k=1)[0][0][:6] for word in vectors.words])


@pytest.mark.parametrize(
    "change",
    [{}, {"output": Negative(words=12)}, {"dim": 100}],
    ids=["small", "more than a tile", "dim 100"],
)
def test_words_of_one_topic_become_neighbours(change):
    config = replace(SMALL, **change)
    vectors = train(topics(), config)
    assert vectors.matrix.shape == vectors.context.shape == (40, config.dim)
    assert belonging(vectors) == 1.0


@EVERY_WAY
def test_each_way_learns_with_one_thread_and_with_two(model, output):
    for threads in (1, 2):
        vectors = train(topics(), replace(SMALL, model=model, output=output, threads=threads, epochs=4))
        assert belonging(vectors) == 1.0
        assert vectors.counts.sum() == 3000 * 8
        assert (vectors.context is None) == (output == Hierarchical())


@EVERY_WAY
def test_what_two_threads_learn_agrees_with_one_in_its_statistics(model, output):
    """Lengths, and how much nearer the words of one topic are to each other than to all: within a tenth."""
    statistics = []
    for threads in (1, 2):
        vectors = train(topics(), replace(SMALL, model=model, output=output, threads=threads, epochs=6))
        units = vectors.matrix / np.linalg.norm(vectors.matrix, axis=1, keepdims=True)
        same = np.array([[a[:6] == b[:6] for a in vectors.words] for b in vectors.words])
        cosines = units @ units.T
        statistics.append([np.linalg.norm(vectors.matrix, axis=1).mean(), cosines[same].mean() - cosines[~same].mean()])
    np.testing.assert_allclose(*statistics, rtol=0.1)


@EVERY_WAY
def test_one_thread_repeats_itself_bit_for_bit_and_the_seed_matters(model, output):
    config = replace(SMALL, model=model, output=output, epochs=1)
    first, again, other = (train(topics(300), replace(config, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.matrix, again.matrix)
    if first.context is not None:
        np.testing.assert_array_equal(first.context, again.context)
    assert (first.matrix != other.matrix).any()


def test_sentences_files_and_an_encoded_corpus_train_the_same_vectors(tmp_path):
    sentences = topics(300)
    file = tmp_path / "text.txt"
    file.write_text("\n".join(" ".join(sentence) for sentence in sentences))
    expected = train(sentences, SMALL)
    for source in (LineFiles(file), read(sentences, min_count=1)):
        vectors = train(source, SMALL)
        assert vectors.words == expected.words
        np.testing.assert_array_equal(vectors.matrix, expected.matrix)


def test_the_size_of_a_chunk_does_not_decide_what_is_learnt(monkeypatch):
    monkeypatch.setattr(training, "_CHUNK", 500)
    assert belonging(train(topics(), SMALL)) == 1.0


def test_subsampling_keeps_words_by_the_formula():
    shares = np.array([0.5, 0.01, 0.001, 0.0001])
    ratio = 0.001 / shares
    np.testing.assert_allclose(keep_probabilities(shares, 0.001), np.minimum(1, np.sqrt(ratio) + ratio))
    assert keep_probabilities(shares, 0).tolist() == [1, 1, 1, 1]


def test_progress_rises_to_the_whole_and_an_interrupt_from_it_ends_the_training(monkeypatch):
    monkeypatch.setattr(training, "_CHUNK", 1000)
    seen = []
    train(topics(), SMALL, on_progress=seen.append)
    assert [step.words for step in seen] == sorted(step.words for step in seen)
    assert seen[-1].words == seen[-1].total == 3000 * 8 * 3

    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(topics(), replace(SMALL, epochs=100_000, threads=2), on_progress=interrupt)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_quality_is_that_of_gensim():
    gensim = pytest.importorskip("gensim.models")
    assert gensim.word2vec.FAST_VERSION > -1
    sentences = topics(2000)
    shared = {"window": 3, "epochs": 3, "min_count": 1, "alpha": 0.05, "seed": 1}
    theirs = gensim.Word2Vec(sentences, vector_size=20, sg=1, workers=1, **shared).wv
    ours = train(sentences, Word2Vec(dim=20, **shared))
    assert belonging(ours) == belonging(WordVectors(theirs.index_to_key, theirs.vectors)) == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim=0 must lie between 1 and 10000"),
        ({"window": 0}, "window=0 must lie between 1 and 1000; 5 is usual"),
        ({"output": Negative(words=40)}, "40 noise words need a vocabulary of more, but this one has 40"),
        ({"sample": -1}, "sample=-1 must lie between 0"),
        ({"alpha": 0}, "alpha=0 must lie between 0 and 1"),
        ({"min_alpha": 0.9}, "min_alpha=0.9 must lie between 0 and alpha=0.05"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"min_count": 10**6}, "none of the 40 words occurs min_count=1000000 times"),
        ({"threads": 0}, "threads=0 must lie between 1 and 256"),
        ({"seed": -1}, "seed=-1 must not be negative"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_value_out_of_range_is_named_with_the_rule(change, message):
    with pytest.raises(InputError, match=message):
        train(topics(100), replace(SMALL, **change))


@pytest.mark.parametrize(
    ("part", "arguments", "message"),
    [
        (Negative, {"words": 0}, "words=0 must lie between 1 and 1000 noise words"),
        (Negative, {"words": 1001}, "words=1001 must lie between"),
        (Word2Vec, {"min_count": 0}, "min_count=0 must be at least 1"),
        (Word2Vec, {"max_vocab": 0}, "max_vocab=0 must be at least 1"),
        (Word2Vec, {"window": 5.0}, "window=5.0 must be a whole number"),
        (Word2Vec, {"epochs": 1e6}, "epochs=1000000.0 must be a whole number"),
        (Word2Vec, {"max_vocab": 2.5}, "max_vocab=2.5 must be a whole number"),
        (Negative, {"words": 1.5}, "words=1.5 must be a whole number"),
        (PerCentre, {"drawn": 1.5}, "drawn=1.5 must be a whole number"),
        (Negative, {"exponent": float("nan")}, "exponent=nan must lie between"),
        (PerCentre, {"drawn": 0}, "drawn=0 must lie between 1 and 1000"),
    ],
)
def test_a_part_refuses_a_value_out_of_range(part, arguments, message):
    with pytest.raises(InputError, match=message):
        part(**arguments)


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    """A read-only container: no folder for the cache costs time, not the work."""
    monkeypatch.setattr(caching.CompileResultCacheImpl.__mro__[1], "_locator_classes", [])

    def double(x):
        return 2 * x

    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(double)
    assert compiled(double)(21) == 42
