"""fastText's vectors: they learn from the parts of words, repeat, go on from given vectors, and say what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors.fasttext import FastText, train
from inlay.vectors.start import Grow, Init
from inlay.vectors.unseen import NGrams
from inlay.vectors.vocabulary import LineFiles, read
from inlay.vectors.word2vec import Cbow, Hierarchical, Negative, PerCentre, PerPair, SkipGram
from inlay.vectors.wordvectors import WordVectors

SMALL = FastText(dim=20, window=3, epochs=4, min_count=1, sample=1e-3, buckets=5000)
STEMS = {
    "bak": ["er", "ery", "ing", "ed", "ers"],
    "sail": ["or", "ing", "ed", "ors", "boat"],
    "teach": ["er", "ing", "es", "ers", "able"],
}
CHINESE = {
    "医": ["医生", "医院", "医学", "中医", "西医", "牙医"],
    "车": ["汽车", "火车", "车站", "电车", "车票", "马车"],
    "鱼": ["鱼肉", "金鱼", "鱼汤", "钓鱼", "鲸鱼", "鱼塘"],
}


def text(n=1500, seed=0, topics=STEMS):
    """Sentences of six words, all of one topic, whose words are alike."""
    rng = np.random.default_rng(seed)
    words = [[stem + end for end in ends] if topics is STEMS else ends for stem, ends in topics.items()]
    return [list(rng.choice(words[topic], 6)) for topic in rng.integers(0, len(words), n)]


def topic(word):
    return next(stem for stem in STEMS if word.startswith(stem))


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def belonging(vectors):
    """Share of words whose nearest word is of their topic."""
    return np.mean([topic(word) == topic(vectors.most_similar(word, k=1)[0][0]) for word in vectors.words])


@pytest.fixture(scope="module")
def trained():
    return train(text(), SMALL)


CHANGES = {
    "skip-gram": {},
    "cbow": {"model": Cbow()},
    "tree": {"output": Hierarchical()},
    "cbow and tree": {"model": Cbow(), "output": Hierarchical()},
    "noise of the pair": {"output": Negative(sampling=PerPair())},
    "weighted noise": {"output": Negative(words=10, sampling=PerCentre(drawn=5))},
    "two threads": {"threads": 2},
    "no n-grams": {"max_n": 0},
    "few buckets": {"buckets": 50},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_words_of_one_topic_become_neighbours(change):
    vectors = train(text(), replace(SMALL, **change))
    assert vectors.matrix.shape == (15, 20)
    assert belonging(vectors) == 1.0
    np.testing.assert_allclose(vectors.subwords.compose(vectors.words), vectors.matrix, atol=1e-5)
    assert (vectors.context is None) == ("output" in change and change["output"] == Hierarchical())


@pytest.mark.parametrize("change", [{}, {"model": Cbow()}, {"output": Hierarchical()}], ids=["skip", "cbow", "tree"])
def test_one_thread_repeats_itself_bit_for_bit_and_the_seed_matters(change):
    config = replace(SMALL, **change)
    first, again, other = (train(text(200), replace(config, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.matrix, again.matrix)
    np.testing.assert_array_equal(first.subwords.inputs, again.subwords.inputs)
    assert (first.matrix != other.matrix).any()


def test_threads_learn_the_same_statistics(trained):
    two = train(text(), replace(SMALL, threads=2))
    assert two.words == trained.words
    lengths = np.linalg.norm(two.matrix, axis=1) / np.linalg.norm(trained.matrix, axis=1)
    assert 0.7 < lengths.min() <= lengths.max() < 1.4


def test_sentences_files_and_an_encoded_corpus_train_the_same_vectors(tmp_path):
    sentences, file = text(200), tmp_path / "text.txt"
    file.write_text("\n".join(" ".join(sentence) for sentence in sentences))
    expected = train(sentences, SMALL)
    for source in (LineFiles(file), read(sentences, min_count=1)):
        np.testing.assert_array_equal(train(source, SMALL).matrix, expected.matrix)


@pytest.mark.parametrize(
    ("unseen", "near", "far"),
    [("bakerys", "bakery", "sailor"), ("sailling", "sailing", "baking"), ("taecher", "teacher", "baker")],
)
def test_an_unseen_or_misspelt_word_is_near_its_right_spelling(trained, unseen, near, far):
    vector = trained.rows([unseen], NGrams())[0]
    assert cosine(vector, trained[near]) > max(0.3, cosine(vector, trained[far]) + 0.2)


def test_an_unseen_chinese_word_is_near_words_of_its_characters():
    vectors = train(text(topics=CHINESE), replace(SMALL, min_n=1, max_n=3))
    for unseen, stem in (("医师", "医"), ("卡车", "车"), ("鱼片", "鱼")):
        vector = vectors.subwords.vector(unseen)
        nearest = vectors.words[vectors.nearest(vector[None], 1)[0][0, 0]]
        assert nearest in CHINESE[stem], unseen


def test_only_buckets_that_words_meet_have_rows(trained):
    subwords = trained.subwords
    assert len(subwords.inputs) == 15 + len(subwords.met) < 400
    assert not subwords.vector("zzz").any()


def test_growing_keeps_old_words_near_where_they_were_and_adds_new_ones(trained):
    still = replace(SMALL, alpha=1e-9, min_alpha=0, epochs=1)
    new = [["rower", "rowing", "baker", "rowed"] * 2] * 20
    grown = train(new, still, start=Grow(trained))
    assert set(grown.words) == {*trained.words, "rower", "rowing", "rowed"}
    assert int(grown.counts.sum()) == int(trained.counts.sum()) + 160
    for word in trained.words:
        np.testing.assert_allclose(grown[word], trained[word], atol=1e-4)
        here, there = grown.index[word], trained.index[word]
        np.testing.assert_allclose(grown.context[here], trained.context[there], atol=1e-5)
    np.testing.assert_allclose(grown.subwords.vector("bakers!"), trained.subwords.vector("bakers!"), atol=2e-2)
    learnt = train(new * 10, SMALL, start=Grow(trained))
    assert learnt.similarity("rower", "rowing") > 0.5


def test_growing_needs_ngrams_of_the_same_sizes(trained):
    plain = WordVectors(trained.words, trained.matrix)
    with pytest.raises(InputError, match="have no n-grams; Init"):
        train(text(9), SMALL, start=Grow(plain))
    with pytest.raises(InputError, match="buckets=99, but the vectors to grow have 5000; set buckets=5000"):
        train(text(9), replace(SMALL, buckets=99), start=Grow(trained))
    with pytest.raises(InputError, match="dim=7, but the vectors to start from have 20"):
        train(text(9), replace(SMALL, dim=7), start=Grow(trained))


@pytest.mark.parametrize("ngrams", [True, False], ids=["with n-grams", "foreign"])
def test_known_words_begin_with_given_vectors(trained, ngrams):
    given = trained if ngrams else WordVectors(trained.words[:-3], trained.matrix[:-3])
    vectors = train(text(50), replace(SMALL, alpha=1e-9, min_alpha=0, epochs=1), start=Init(given))
    for word in given.words:
        np.testing.assert_allclose(vectors[word], given[word], atol=1e-4)


@pytest.mark.parametrize("model", [SkipGram(), Cbow()], ids=["skip-gram", "cbow"])
def test_frozen_words_stay_to_the_bit_while_others_learn(model):
    rng = np.random.default_rng(0)
    given = WordVectors(["baker", "baking", "sailor"], rng.normal(size=(3, 20)).astype(np.float32))
    vectors = train(text(), replace(SMALL, model=model), start=Init(given, frozen=True))
    for word in given.words:
        np.testing.assert_array_equal(vectors[word], given[word])
    np.testing.assert_allclose(vectors.subwords.compose(vectors.words), vectors.matrix, atol=1e-5)
    assert cosine(vectors["bakery"], given["baker"]) > cosine(vectors["bakery"], given["sailor"])


def test_quality_is_that_of_fasttext(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    sentences, file = text(), tmp_path / "text.txt"
    file.write_text("\n".join(" ".join(sentence) for sentence in sentences))
    options = {"dim": 20, "ws": 3, "epoch": 4, "minCount": 1, "t": 1.0, "bucket": 5000, "verbose": 0}
    theirs = fasttext.train_unsupervised(str(file), thread=10, **options)  # with fewer, its table is not all written
    words = [word for word in theirs.words if word != "</s>"]
    theirs = WordVectors(words, np.array([theirs.get_word_vector(word) for word in words]))
    ours = train(sentences, replace(SMALL, output=Negative(exponent=0.5, sampling=PerPair()), sample=1))
    assert belonging(ours) == belonging(theirs) == 1.0
    lengths = [np.linalg.norm(vectors.matrix, axis=1).mean() for vectors in (ours, theirs)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim=0 must lie between 1"),
        ({"window": 0}, "window=0 must lie between 1"),
        ({"alpha": 0}, "alpha=0 must lie between 0 and 1"),
        ({"min_n": 0}, "min_n=0 must be at least 1"),
        ({"min_n": 4, "max_n": 3}, "max_n=3 is less than min_n=4"),
        ({"max_n": 101}, "max_n=101 must lie between"),
        ({"buckets": 0}, "buckets=0 must lie between 1"),
        ({"buckets": 2**31 - 1}, "buckets=2147483647 must be at most 100 million"),
        ({"output": Negative(words=15)}, "15 noise words need a vocabulary of more, but this one has 15"),
        ({"min_count": 10**6}, "none of the 15 words occurs min_count=1000000 times"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_value_out_of_range_is_named_with_the_rule(change, message):
    with pytest.raises(InputError, match=message):
        train(text(50), replace(SMALL, **change))


@pytest.mark.parametrize("model", [SkipGram(), Cbow()], ids=["skip-gram", "cbow"])
def test_the_only_word_has_nothing_to_learn_from_a_tree(model):
    config = replace(SMALL, model=model, output=Hierarchical(), sample=0)
    once, often = train([["猫"]], config), train([["猫"] * 50] * 40, config)
    np.testing.assert_allclose(once.matrix, often.matrix, atol=1e-6)


def test_a_training_that_diverges_is_an_error():
    with pytest.raises(InputError, match="training diverged"):
        train(
            text(),
            replace(SMALL, alpha=1.0, epochs=2),
            start=Init(WordVectors(["baker"], np.full((1, 20), 1e37, "f4"))),
        )


def test_fasttext_reads_what_was_trained_and_training_goes_on_from_what_it_writes(tmp_path, trained):
    fasttext = pytest.importorskip("fasttext")
    trained.save(tmp_path / "ours.bin")
    theirs = fasttext.load_model(str(tmp_path / "ours.bin"))
    for word in (*trained.words, "bakerys", "taecher", "zzz"):
        ours = trained.rows([word], NGrams())[0]
        np.testing.assert_allclose(theirs.get_word_vector(word), ours, atol=1e-5)
    theirs.save_model(str(tmp_path / "theirs.bin"))
    again = WordVectors.load(tmp_path / "theirs.bin")
    grown = train([["rower", "baker"]] * 9, replace(SMALL, alpha=1e-9, min_alpha=0), start=Grow(again))
    np.testing.assert_allclose(grown["teacher"], trained["teacher"], atol=1e-4)


def test_our_own_file_keeps_the_ngrams_bit_for_bit(tmp_path, trained):
    trained.save(tmp_path / "vectors.safetensors")
    again = WordVectors.load(tmp_path / "vectors.safetensors")
    np.testing.assert_array_equal(again.subwords.met, trained.subwords.met)
    np.testing.assert_array_equal(
        again.rows(["baker", "bakerys"], NGrams()), trained.rows(["baker", "bakerys"], NGrams())
    )
