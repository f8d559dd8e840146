"""Analogies and similarities: as gensim and scipy judge, and the coverage is told."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from inlay.errors import InputError
from inlay.evaluate.words import analogies, similarities
from inlay.vectors.analogy import ThreeCosMul
from inlay.vectors.subwords import Subwords
from inlay.vectors.unseen import NGrams, Unk, Zero
from inlay.vectors.wordvectors import WordVectors

SQUARE = WordVectors(
    ["man", "woman", "king", "queen", "apple"],
    np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [-1, 0.1, -1]], np.float32),
)


def test_answers_are_counted_by_section_with_their_coverage(tmp_path):
    file = tmp_path / "questions.txt"
    file.write_text(
        ": people\nMan Woman King Queen\nman king woman queen\nman king woman apple\n"
        ": gram1\nman woman prince princess\n"
    )
    result = analogies(SQUARE, file)
    people = result.sections["people"]
    assert (people.questions, people.known, people.right) == (3, 3, 2)
    assert people.accuracy == pytest.approx(2 / 3)
    grammar = result.part(lambda name: name.startswith("gram"))
    assert (grammar.questions, grammar.known, grammar.coverage) == (1, 0, 0)
    assert math.isnan(grammar.accuracy)
    assert (result.total.questions, result.total.known, result.total.right) == (4, 3, 2)
    assert analogies(SQUARE, file, restrict=3).total.known == 0
    with pytest.raises(InputError, match="restrict=0 must be at least 1"):
        analogies(SQUARE, file, restrict=0)


def test_the_accuracy_is_that_of_gensim(data, tmp_path):
    gensim = pytest.importorskip("gensim.models")
    file = tmp_path / "questions.txt"
    lines = (data / "google-analogies" / "questions-words.txt").read_text().splitlines()
    file.write_text("\n".join(line for n, line in enumerate(lines) if line.startswith(":") or n % 20 == 0))
    words = sorted({word.lower() for line in file.read_text().splitlines() if line[0] != ":" for word in line.split()})
    rng = np.random.default_rng(0)
    vectors = WordVectors(words, rng.standard_normal((len(words), 20), dtype=np.float32))
    for line in file.read_text().lower().splitlines():
        if not line.startswith(":"):  # a direction for all pairs, so that some questions can be answered
            first, second = (vectors.index[word] for word in line.split()[2:])
            vectors.matrix[second] = vectors.matrix[first] + rng.normal(1, 0.5, 20)
    keyed = gensim.KeyedVectors(20)
    keyed.add_vectors(words, vectors.matrix)
    accuracy, sections = keyed.evaluate_word_analogies(str(file))
    ours = analogies(vectors, file)
    assert ours.total.known == ours.total.questions
    assert ours.total.accuracy == pytest.approx(accuracy)
    assert ours.total.right == len(sections[-1]["correct"]) > 0
    for section in sections[:-1]:
        assert ours.sections[section["section"]].right == len(section["correct"])


@pytest.mark.parametrize("name", ["EN-WS-353-ALL.txt", "EN-SIMLEX-999.txt"])
def test_the_rank_correlation_is_that_of_gensim(name, data):
    gensim = pytest.importorskip("gensim.models")
    file = data / "wordsim-en" / name
    words = sorted({word for line in file.read_text().splitlines() for word in line.lower().split("\t")[:2]})
    words = words[: len(words) * 9 // 10]
    matrix = np.random.default_rng(0).standard_normal((len(words), 5), dtype=np.float32)
    keyed = gensim.KeyedVectors(5)
    keyed.add_vectors(words, matrix)
    _, theirs, unknown = keyed.evaluate_word_pairs(str(file))
    ours = similarities(WordVectors(words, matrix), file)
    assert ours.spearman == pytest.approx(theirs.statistic, abs=1e-6)
    assert 1 - ours.coverage == pytest.approx(unknown / 100, abs=1e-6)
    assert 0 < ours.known < ours.pairs


@pytest.mark.parametrize(
    ("folder", "judge"),
    [
        ("google-analogies", analogies),
        ("chinese-analogies-ca8", analogies),
        ("wordsim-en", similarities),
        ("wordsim-zh", similarities),
    ],
)
def test_every_file_of_the_public_sets_is_read_whole(folder, judge, data):
    files = sorted(file for file in (data / folder).rglob("*.txt"))
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith(":")]
        words = sorted({word for line in lines for word in line[: 4 if judge is analogies else 2]})
        vectors = WordVectors(words, np.random.default_rng(0).standard_normal((len(words), 2), dtype=np.float32))
        result = judge(vectors, file)
        counted = result.total if judge is analogies else result
        assert (counted.questions if judge is analogies else counted.pairs) == len(lines)
        assert counted.coverage == 1


@pytest.mark.parametrize(
    ("judge", "text", "message"),
    [
        (analogies, "a b c\n", "line 1: 'a b c' is no analogy of four words"),
        (analogies, ": empty\n", "no analogies in it"),
        (similarities, "man woman 3\nman woman\n", "line 2: 'man woman' is not `word word score`"),
        (similarities, "man woman 3\nman king nan\n", "line 2: 'man king nan' is not `word word score`"),
        (similarities, "word word score\n", "no pairs in it"),
    ],
)
def test_a_line_of_another_kind_is_named(judge, text, message, tmp_path):
    (tmp_path / "file.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        judge(SQUARE, tmp_path / "file.txt")
    with pytest.raises(InputError, match="no such file"):
        judge(SQUARE, tmp_path / "none.txt")


def test_a_heading_over_the_similarities_is_passed_over(tmp_path):
    (tmp_path / "file.txt").write_text("word1\tword2\tscore\nman\twoman\t3\nman\tking\t2\nking\tqueen\t1\n")
    assert similarities(SQUARE, tmp_path / "file.txt").pairs == 3


def test_too_few_known_pairs_are_no_correlation(tmp_path):
    (tmp_path / "file.txt").write_text("man woman 3\nman prince 1\nprince princess 2\n")
    judged = similarities(SQUARE, tmp_path / "file.txt")
    assert math.isnan(judged.spearman)
    assert (judged.known, judged.pairs) == (1, 3)


def test_a_policy_answers_for_unseen_words_and_is_counted(tmp_path):
    (tmp_path / "pairs.txt").write_text("man woman 3\nman king 2\nking prince 1\nqueen man 1.5\n")
    (tmp_path / "questions.txt").write_text("man woman king queen\nman woman Prince queen\nman woman king princess\n")
    without = similarities(SQUARE, tmp_path / "pairs.txt")
    assert (without.known, without.guessed, without.coverage) == (3, 0, 0.75)
    zeros = similarities(SQUARE, tmp_path / "pairs.txt", unseen=Zero())
    assert (zeros.known, zeros.guessed, zeros.coverage) == (4, 1, 1)
    asked = analogies(SQUARE, tmp_path / "questions.txt", unseen=Unk("king")).total
    assert (asked.questions, asked.known, asked.guessed, asked.right) == (3, 2, 1, 2)
    with pytest.raises(InputError, match="no n-grams"):
        similarities(SQUARE, tmp_path / "pairs.txt", unseen=NGrams())


def test_n_grams_of_unseen_words_are_in_lower_case_where_the_words_are(tmp_path):
    rng = np.random.default_rng(0)
    subwords = Subwords(min_n=3, max_n=4, buckets=64, inputs=rng.standard_normal((66, 5), dtype=np.float32))
    vectors = WordVectors(["one", "two"], subwords.compose(["one", "two"]), subwords=subwords)
    (tmp_path / "pairs.txt").write_text("one two 1\nOne Three 2\ntwo three 2\none four 0\n")
    judged = similarities(vectors, tmp_path / "pairs.txt", unseen=NGrams())
    pairs = [("one", "two"), ("one", "three"), ("two", "three"), ("one", "four")]
    cosines = [vectors.similarity(a, b, NGrams()) for a, b in pairs]
    assert judged.spearman == pytest.approx(spearmanr(cosines, [1, 2, 2, 0]).statistic)
    assert (judged.known, judged.guessed) == (4, 3)


def test_three_cos_mul_is_asked_as_gensim_asks_it(tmp_path):
    gensim = pytest.importorskip("gensim.models")
    words = [f"w{n}" for n in range(60)]
    matrix = np.random.default_rng(0).standard_normal((60, 8), dtype=np.float32)
    keyed = gensim.KeyedVectors(8)
    keyed.add_vectors(words, matrix)
    lines = []
    for number, (a, b, c) in enumerate(np.random.default_rng(1).integers(0, 60, (50, 3))):
        best = keyed.most_similar_cosmul([words[b], words[c]], [words[a]], topn=2)
        lines.append(f"{words[a]} {words[b]} {words[c]} {best[number % 2][0]}\n")
    (tmp_path / "questions.txt").write_text("".join(lines))
    answered = analogies(WordVectors(words, matrix), tmp_path / "questions.txt", method=ThreeCosMul(1e-6))
    assert (answered.total.right, answered.total.known) == (25, 50)
