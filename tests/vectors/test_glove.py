"""GloVe: it learns, it repeats itself, it goes on from given vectors, it leaves no file, and says what is wrong."""

import tempfile
import threading
from dataclasses import replace

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors import glove_run
from inlay.vectors.cooccurrence import Flat, count
from inlay.vectors.glove import Glove, Main, Sum, train
from inlay.vectors.start import Grow, Init
from inlay.vectors.vocabulary import LineFiles, read
from inlay.vectors.wordvectors import WordVectors

SMALL = Glove(dim=20, window=5, x_max=100, epochs=15, min_count=1)


def topics(n=1500, seed=0):
    """Sentences of eight words, all of one of four topics of ten words."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 10, (n, 8))
    return [[f"topic{topic}_{word}" for word in row] for topic, row in zip(rng.integers(0, 4, n), words, strict=True)]


def belonging(vectors):
    """Share of words whose nearest word is of their topic."""
    return np.mean([word[:6] == vectors.most_similar(word, k=1)[0][0][:6] for word in vectors.words])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"threads": 2},
        {"symmetric": False},
        {"weight": Flat()},
        {"result": Main()},
        {"dim": 100},
        {"memory_mb": 0.02},
    ],
    ids=str,
)
def test_words_of_one_topic_become_neighbours(change):
    vectors = train(topics(), replace(SMALL, **change))
    assert vectors.matrix.shape == vectors.context.shape == (40, change.get("dim", 20))
    assert vectors.counts.sum() == 1500 * 8
    assert belonging(vectors) == 1.0


def test_products_become_the_logarithms_of_the_counts():
    """With room enough for an exact solution, w · w̃ + b + b̃ = log x: the loss falls to nothing."""
    seen = []
    train(topics(50), replace(SMALL, dim=60, x_max=0.01, epochs=400), on_progress=seen.append)
    assert seen[-1].loss < 0.01 * seen[0].loss


def test_the_loss_falls_as_that_of_the_plain_algorithm_does():
    """Against one pair after the other, in float64, each step by the sum of squares before it."""
    seen = []
    train(topics(), replace(SMALL, x_max=10), on_progress=seen.append)
    ours = [step.loss for step in seen if step.whole]
    records = count(read(topics(), min_count=1), window=5).records
    i, j, x = records["i"].copy(), records["j"].copy(), records["x"].copy()
    apart = i != j
    i, j, x = np.concatenate([i, j[apart]]), np.concatenate([j, i[apart]]), np.concatenate([x, x[apart]])
    rng = np.random.default_rng(5)
    w = (rng.random((2, 40, 21)) - 0.5) / 20
    squares, weight = np.ones_like(w), np.minimum(1, (x / 10) ** 0.75)
    theirs = []
    for _ in range(15):
        loss = 0.0
        for k in rng.permutation(len(x)):
            a, c = w[0, i[k]], w[1, j[k]]
            error = a[:20] @ c[:20] + a[20] + c[20] - np.log(x[k])
            loss += weight[k] * error**2 / 2 / len(x)
            step = 0.05 * weight[k] * error
            da, dc = step * np.append(c[:20], 1), step * np.append(a[:20], 1)
            w[0, i[k]] -= da / np.sqrt(squares[0, i[k]])
            w[1, j[k]] -= dc / np.sqrt(squares[1, j[k]])
            squares[0, i[k]] += da**2
            squares[1, j[k]] += dc**2
        theirs.append(loss)
    assert ours[0] == pytest.approx(theirs[0], rel=0.15)  # a step counts in its own sum of squares here
    assert ours[-1] == pytest.approx(theirs[-1], rel=0.2)


def test_one_thread_repeats_itself_bit_for_bit_and_the_seed_matters():
    first, again, other = (train(topics(300), replace(SMALL, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.matrix, again.matrix)
    np.testing.assert_array_equal(first.context, again.context)
    assert (first.matrix != other.matrix).any()


def test_sentences_files_and_an_encoded_corpus_train_the_same_vectors_in_any_memory(tmp_path):
    sentences = topics(1000)
    file = tmp_path / "text.txt"
    file.write_text("\n".join(" ".join(sentence) for sentence in sentences))
    expected = train(sentences, SMALL)
    for source in (LineFiles(file), read(sentences, min_count=1)):
        vectors = train(source, replace(SMALL, memory_mb=0.02))
        assert vectors.words == expected.words
        np.testing.assert_array_equal(vectors.matrix, expected.matrix)


@pytest.mark.parametrize("result", [Sum(), Main()], ids=str)
@pytest.mark.parametrize("with_context", [True, False])
def test_training_starts_from_given_vectors_where_they_know_the_word(result, with_context):
    learnt = train(topics(), replace(SMALL, result=result))
    known = list(learnt.words[:-5])
    given = WordVectors(known, learnt.matrix[:-5], context=learnt.context[:-5] if with_context else None)
    still = replace(SMALL, epochs=1, alpha=1e-9, result=result)
    vectors = train(topics(50), still, start=Init(given))
    for word in known:
        np.testing.assert_allclose(vectors[word], given[word], atol=1e-5)
    with pytest.raises(InputError, match="dim=7, but the vectors to start from have 20"):
        train(topics(50), replace(still, dim=7), start=Init(given))


@pytest.mark.parametrize("result", [Sum(), Main()], ids=str)
def test_frozen_vectors_stay_bit_for_bit_and_the_others_learn_beside_them(result):
    learnt = train(topics(), replace(SMALL, result=result))
    given = WordVectors(learnt.words[:-5], learnt.matrix[:-5])
    vectors = train(topics(), replace(SMALL, result=result), start=Init(given, frozen=True))
    np.testing.assert_array_equal(vectors.rows(given.words), given.matrix)
    new = [word for word in vectors.words if word not in given]
    assert np.linalg.norm(vectors.rows(new), axis=1).min() > 0.15
    assert belonging(vectors) > 0.8


def test_a_vocabulary_grows_and_the_old_words_stay():
    old = train([["a", "b", "c"]] * 30, SMALL)
    vectors = train(topics(), SMALL, start=Grow(old))
    assert set(vectors.words) == set(old.words) | {f"topic{t}_{w}" for t in range(4) for w in range(10)}
    np.testing.assert_allclose(vectors["a"], old["a"], atol=1e-6)


def test_progress_rises_and_an_interrupt_from_it_ends_the_training_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []
    train(topics(200), SMALL, on_progress=seen.append)
    assert [step.pairs for step in seen] == sorted(step.pairs for step in seen)
    assert seen[-1].pairs == seen[-1].total
    assert [step.epoch for step in seen if step.whole] == list(range(1, 16))

    def interrupt(progress):
        assert not list(tmp_path.iterdir())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(topics(200), replace(SMALL, epochs=100_000, threads=2), on_progress=interrupt)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]
    assert not list(tmp_path.iterdir())


def test_more_threads_than_visits_train_too():
    assert belonging(train(topics(), replace(SMALL, threads=16))) == 1.0


def test_a_training_that_diverges_says_so():
    huge = WordVectors(["topic0_0", "topic0_1"], np.full((2, 20), 1e30, np.float32))
    with pytest.raises(InputError, match=r"training diverged in epoch 1 .* take an alpha smaller than 0.05"):
        train(topics(50), SMALL, start=Init(huge))


def test_the_loss_that_is_shown_is_the_mean_over_pairs(monkeypatch):
    from inlay.vectors import glove_kernels

    monkeypatch.setattr(glove_kernels, "visit", lambda table, pairs, *_: (3.0 * len(pairs), 2 * len(pairs)))
    visits_seen = []
    monkeypatch.setattr(glove_run, "Progress", lambda **values: visits_seen.append(values) or None)
    with pytest.raises(AttributeError):
        train(topics(50), SMALL)
    assert visits_seen[0]["loss"] == pytest.approx(3.0 / 2 / 2)


def test_a_word_with_itself_is_one_pair_of_the_mean():
    seen = []
    train([["a", "a", "a"]], replace(SMALL, x_max=1), on_progress=seen.append)
    assert seen[0].loss == pytest.approx(np.log(2 * (1 + 1 + 1 / 2)) ** 2 / 2, rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim=0 must lie between 1 and 10000"),
        ({"dim": 10**9}, "dim=1000000000 must lie between"),
        ({"window": 0}, "window=0 must lie between 1 and 10000; 15 is usual"),
        ({"window": 10_001}, "window=10001 must lie between"),
        ({"x_max": 0}, "x_max=0 must be above 0; 100 is usual, 10 for small texts"),
        ({"x_max": float("nan")}, "x_max=nan must be above 0"),
        ({"exponent": -1}, "exponent=-1 must lie between 0 and 10"),
        ({"alpha": 0}, "alpha=0 must lie between 0 and 1"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"memory_mb": 0}, "memory_mb=0 must be above 0"),
        ({"memory_mb": 0.001}, "memory_mb=0.001 is too little to count 40 words; give at least"),
        ({"checkpoint_every": 0}, "checkpoint_every=0 must be at least 1"),
        ({"threads": 0}, "threads=0 must lie between 1 and 256"),
        ({"seed": -1}, "seed=-1 must not be negative"),
        ({"min_count": 10**6}, "none of the 40 words occurs min_count=1000000 times"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_value_out_of_range_is_named_with_the_rule(change, message):
    with pytest.raises(InputError, match=message):
        train(topics(100), replace(SMALL, **change))


@pytest.mark.parametrize("sentences", [[["alone"]], [["a"], ["b"], ["a"]]])
def test_a_text_without_neighbours_is_refused(sentences):
    with pytest.raises(InputError, match="no word of the text has a neighbour"):
        train(sentences, SMALL)


def test_a_text_of_one_word_trains_that_word():
    assert train([["a", "a", "a"]], SMALL).words == ["a"]
