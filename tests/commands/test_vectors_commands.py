"""The verbs of `inlay vectors`: they say what the library says, and pipes hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.cli import run
from inlay.vectors.wordvectors import WordVectors

Capture = pytest.CaptureFixture[str]
Ask = Callable[..., Any]

SENTENCES = [
    "the new york cat sat on the mat",
    "the dog of new york sat on the log",
    "a cat saw the dog in new york",
    "ice cream is cold in new york",
]
CHINESE = "我们在北京大学学习语言学。北京大学在北京。语言学是一门科学。我们喜欢语言学。"


@pytest.fixture
def ask(capsys: Capture) -> Ask:
    """Runs a verb of `inlay vectors` with --json, and returns what it prints."""

    def one(*arguments: object) -> Any:
        capsys.readouterr()
        assert run(["-q", "vectors", *map(str, arguments), "--json"]) == 0, capsys.readouterr().err
        lines = capsys.readouterr().out
        try:
            return json.loads(lines)
        except json.JSONDecodeError:
            return [json.loads(line) for line in lines.splitlines()]

    return one


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(SENTENCES * 20))
    return path


# Training

SMALL = ["--dim", "8", "--epochs", "2", "--min-count", "1", "--seed", "3"]


@pytest.mark.parametrize("kind", ["word2vec", "glove", "fasttext"])
def test_training_gives_the_vectors_of_the_library(kind: str, lines: Path, tmp_path: Path, ask: Ask) -> None:
    module = pytest.importorskip(f"inlay.vectors.{kind}")
    config = {"word2vec": "Word2Vec", "glove": "Glove", "fasttext": "FastText"}[kind]
    more = {"buckets": 100} if kind == "fasttext" else {}
    flags = [word for key, value in more.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "x.safetensors"
    told = ask("train", lines, "--lines", "--kind", kind, *SMALL, *flags, "--out", out)
    expected = module.train(
        [sentence.split() for sentence in SENTENCES * 20],
        getattr(module, config)(dim=8, epochs=2, min_count=1, seed=3, **more),
    )
    found = WordVectors.load(out)
    assert list(found.words) == list(expected.words)
    assert (found.matrix == expected.matrix).all()
    assert (found.subwords is None) == (kind != "fasttext")
    assert told == {"out": str(out), "kind": kind, "words": len(expected), "dim": 8, "tokens": 20 * 32}


def test_text_is_cut_into_words_in_lower_case_and_chinese_by_its_words(tmp_path: Path, ask: Ask) -> None:
    for name, text in (("en.txt", "The Cat, the cat! snake_case. "), ("zh.txt", CHINESE)):
        (tmp_path / name).write_text(text * 5)
        ask("train", tmp_path / name, *SMALL, "--negative", 2, "--out", tmp_path / f"{name}.safetensors")
    assert set(WordVectors.load(tmp_path / "en.txt.safetensors").words) == {"the", "cat", "snake", "case"}
    assert {"北京大学", "语言学", "我们"} <= set(WordVectors.load(tmp_path / "zh.txt.safetensors").words)


def test_stdin_gives_the_same_bytes_as_the_file(
    lines: Path, tmp_path: Path, ask: Ask, piped: Callable[[bytes], None]
) -> None:
    ask("train", lines, "--lines", *SMALL, "--out", tmp_path / "a.safetensors")
    piped(lines.read_bytes())
    ask("train", "-", "--lines", *SMALL, "--out", tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_flags_count_more_than_set_and_set_more_than_the_file(lines: Path, tmp_path: Path, ask: Ask) -> None:
    (tmp_path / "c.yaml").write_text("kind: Word2Vec\ndim: 4\nmin_count: 30\nmodel: {kind: Cbow}\n")
    out, known = tmp_path / "x.safetensors", ["--config", tmp_path / "c.yaml"]
    assert ask("train", lines, "--lines", *known, "--negative", 1, "--out", out)["dim"] == 4
    few = ask("train", lines, "--lines", *known, "--set", "dim=5", "--negative", 1, "--out", out, "--force")
    assert few["dim"] == 5
    told = ask(
        "train", lines, "--lines", *known, "--set", "dim=5", "--dim", 6, "--min-count", 1, "--out", out, "--force"
    )
    assert told["dim"] == 6
    assert told["words"] > few["words"]


@pytest.mark.parametrize(
    "settings", [["--model", "cbow"], ["--set", "output.kind=Hierarchical"], ["--set", "alpha=0.01"]], ids=str
)
def test_every_setting_changes_the_vectors(settings: list[str], lines: Path, tmp_path: Path, ask: Ask) -> None:
    for name, more in (("a", []), ("b", settings)):
        ask("train", lines, "--lines", *SMALL, *more, "--out", tmp_path / f"{name}.txt")
    assert (tmp_path / "a.txt").read_bytes() != (tmp_path / "b.txt").read_bytes()


@pytest.mark.parametrize(
    "settings",
    [["--phrases", "1"], ["--set", "phrases.passes=1"], ["--config", "p.yaml"]],
    ids=["flag", "set", "file"],
)
def test_phrases_become_words(
    settings: list[str], lines: Path, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text("phrases: {min_count: 5}\n")
    more = ["--set", "phrases.score.threshold=5"]
    ask("train", lines, "--lines", *SMALL, *settings, *more, "--out", tmp_path / "x.txt")
    assert {"new_york", "ice_cream"} <= set(WordVectors.load(tmp_path / "x.txt").words)
    assert "new" not in WordVectors.load(tmp_path / "x.txt")


def test_training_goes_on_and_new_words_join(lines: Path, tmp_path: Path, ask: Ask) -> None:
    old, new, more = tmp_path / "old.safetensors", tmp_path / "new.safetensors", tmp_path / "more.txt"
    ask("train", lines, "--lines", *SMALL, "--out", old)
    more.write_text("a zebra saw the cat\n" * 9 + "once only\n")
    ask("train", more, "--lines", "--epochs", 1, "--continue", old, "--out", new)
    before, after = WordVectors.load(old), WordVectors.load(new)
    assert set(after.words) == {*before.words, "zebra"}
    assert after.counts is not None
    assert before.counts is not None
    assert after.counts[after.index["cat"]] == before.counts[before.index["cat"]] + 9


def test_a_training_that_goes_on_takes_over_the_sizes_of_the_ngrams(lines: Path, tmp_path: Path, ask: Ask) -> None:
    old, new = tmp_path / "old.bin", tmp_path / "new.bin"
    sizes = ["--set", "min_n=2", "--set", "max_n=4", "--set", "buckets=50"]
    ask("train", lines, "--lines", "--kind", "fasttext", *SMALL, *sizes, "--out", old)
    ask("train", lines, "--lines", "--kind", "fasttext", "--epochs", 1, "--continue", old, "--out", new)
    ngrams = WordVectors.load(new).subwords
    assert ngrams is not None
    assert (ngrams.min_n, ngrams.max_n, ngrams.buckets) == (2, 4, 50)


def test_given_vectors_stay_where_they_are_frozen(lines: Path, tmp_path: Path, ask: Ask) -> None:
    matrix = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    WordVectors(["cat", "dog", "unused"], matrix).save(tmp_path / "given.txt")
    start = ["--init", tmp_path / "given.txt"]
    ask("train", lines, "--lines", *SMALL, *start, "--frozen", "--out", tmp_path / "f.safetensors")
    frozen = WordVectors.load(tmp_path / "f.safetensors")
    assert (frozen.rows(["cat", "dog"]) == matrix[:2]).all()
    assert "unused" not in frozen
    ask("train", lines, "--lines", *SMALL, *start, "--out", tmp_path / "m.safetensors")
    assert (WordVectors.load(tmp_path / "m.safetensors").rows(["cat"]) != matrix[0]).any()


def test_a_glove_training_that_was_kept_goes_on(lines: Path, tmp_path: Path, ask: Ask) -> None:
    glove = ["train", lines, "--lines", "--kind", "glove", "--dim", 8, "--min-count", 1]
    kept = ["--checkpoint", tmp_path / "kept"]
    for epochs, name, more in ((2, "a", kept), (5, "b", kept), (5, "c", [])):
        ask(*glove, "--epochs", epochs, *more, "--out", tmp_path / f"{name}.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()
    assert (tmp_path / "a.safetensors").read_bytes() != (tmp_path / "c.safetensors").read_bytes()


# Asking


def test_neighbours_of_words_sums_and_lines(vectors: Path, ask: Ask, piped: Callable[[bytes], None]) -> None:
    known = WordVectors.load(vectors)

    def listed(found: list[tuple[str, float]]) -> list[dict[str, object]]:
        return [{"word": word, "score": pytest.approx(score)} for word, score in found]

    king, total = listed(known.most_similar("king", k=3)), listed(known.analogy("man", "king", "woman", 3))
    assert ask("neighbours", vectors, "king", "-k", 3) == king
    assert ask("neighbours", vectors, "king - man + woman", "-k", 3) == total
    both = [{"word": "king", "neighbours": king}, {"word": "king - man + woman", "neighbours": total}]
    assert ask("neighbours", vectors, "king", "king - man + woman", "-k", 3) == both
    piped(b"king\n\nking - man + woman\n")
    assert ask("neighbours", vectors, "-", "-k", 3) == both


def test_several_words_stand_under_their_names(vectors: Path, capsys: Capture) -> None:
    assert run(["vectors", "neighbours", str(vectors), "king", "猫", "-k", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("? ")] == ["? king", "? 猫"]


def test_a_word_with_signs_in_it_is_a_word(tmp_path: Path, ask: Ask) -> None:
    matrix = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    WordVectors(["a - b", "t-shirt", "c"], matrix).save(tmp_path / "x.safetensors")
    for word in ("a - b", "t-shirt"):
        assert len(ask("neighbours", tmp_path / "x.safetensors", word)) == 2


def test_fasttext_vectors_answer_for_unseen_words_and_say_so(
    lines: Path, tmp_path: Path, ask: Ask, capsys: Capture
) -> None:
    pytest.importorskip("inlay.vectors.fasttext")
    out = tmp_path / "x.bin"
    ask("train", lines, "--lines", "--kind", "fasttext", *SMALL, "--set", "buckets=1000", "--out", out)
    assert len(ask("neighbours", out, "creamm", "-k", 2)) == 2
    assert -1 <= ask("similarity", out, "creamm", "cream")["similarity"] <= 1
    assert len(ask("analogy", out, "creamm", "cream", "dogg")) > 2
    assert ask("odd", out, "cat", "dog", "creamm")["odd"] in ("cat", "dog", "creamm")
    for question in (["neighbours", "creamm"], ["neighbours", "cat - creamm"], ["odd", "cat", "dog", "creamm"]):
        assert run(["vectors", question[0], str(out), *question[1:]]) == 0
        assert "note: 'creamm' is not among the 17 words; its n-grams answer for it" in capsys.readouterr().err
    assert run(["vectors", "neighbours", str(out), "龘"]) == 1
    assert "'龘' is not among the 17 words, and the training met none of its n-grams" in capsys.readouterr().err


def test_words_are_found_in_a_locale_that_cannot_read_them(vectors: Path, tmp_path: Path, ask: Ask) -> None:
    cat, dog = (word.encode().decode("ascii", "surrogateescape") for word in ("猫", "狗"))
    known = WordVectors.load(vectors)
    assert ask("similarity", vectors, cat, dog)["similarity"] == pytest.approx(known.similarity("猫", "狗"))
    assert ask("neighbours", vectors, cat, "-k", 1)[0]["word"] == known.most_similar("猫", k=1)[0][0]
    assert len(ask("analogy", vectors, cat, dog, "king", "-k", 2)) == 2
    assert ask("odd", vectors, cat, dog, "king")["odd"] == known.doesnt_match(["猫", "狗", "king"])
    assert ask("map", vectors, "--words", f"{cat},{dog},king", "--out", tmp_path / "x.html")["words"] == 3


@pytest.mark.parametrize("method", ["add", "mul"])
def test_an_analogy_is_answered_as_by_the_library(method: str, vectors: Path, ask: Ask) -> None:
    from inlay.vectors.analogy import ThreeCosAdd, ThreeCosMul

    known = WordVectors.load(vectors)
    expected = known.analogy("man", "king", "woman", 2, ThreeCosAdd() if method == "add" else ThreeCosMul())
    found = ask("analogy", vectors, "man", "king", "woman", "-k", 2, "--method", method)
    assert [(row["word"], pytest.approx(row["score"])) for row in found] == expected


def test_the_odd_word_is_found(vectors: Path, ask: Ask) -> None:
    words = ["king", "queen", "猫"]
    assert ask("odd", vectors, *words) == {"words": words, "odd": WordVectors.load(vectors).doesnt_match(words)}


# Files


def test_a_conversion_keeps_the_numbers_and_the_first_words(vectors: Path, tmp_path: Path, ask: Ask) -> None:
    known = WordVectors.load(vectors)
    for name, flags in (("a.bin", []), ("b.vec", ["--format", "fasttext"]), ("c.txt", ["--format", "glove"])):
        told = ask("convert", vectors, tmp_path / name, *flags, "--top", 4)
        found = WordVectors.load(tmp_path / name)
        assert list(found.words) == list(known.words)[:4]
        assert (found.matrix == known.matrix[:4]).all()
        assert told["words"] == 4


@pytest.mark.parametrize(("flag", "error"), [("--half", 2e-3), ("--int8", 2e-2)])
def test_a_smaller_file_holds_nearly_the_same(flag: str, error: float, vectors: Path, tmp_path: Path, ask: Ask) -> None:
    ask("convert", vectors, tmp_path / "x.safetensors", flag)
    found, known = WordVectors.load(tmp_path / "x.safetensors"), WordVectors.load(vectors)
    assert 0 < np.abs(found.matrix - known.matrix).max() < error


def test_the_first_words_of_fasttext_vectors_keep_their_ngrams(lines: Path, tmp_path: Path, ask: Ask) -> None:
    pytest.importorskip("inlay.vectors.fasttext")
    ask("train", lines, "--lines", "--kind", "fasttext", *SMALL, "--set", "buckets=50", "--out", tmp_path / "a.bin")
    ask("convert", tmp_path / "a.bin", tmp_path / "b.bin", "--top", 5)
    whole, part = WordVectors.load(tmp_path / "a.bin"), WordVectors.load(tmp_path / "b.bin")
    assert whole.subwords is not None
    assert part.subwords is not None
    assert np.allclose(part.matrix, whole.matrix[:5], atol=1e-6)
    assert (part.subwords.vector("unseen") == whole.subwords.vector("unseen")).all()


def test_vectors_go_through_pipes(vectors: Path, piped: Callable[[bytes], None], capfdbinary: Any) -> None:
    assert run(["vectors", "convert", str(vectors), "-"]) == 0
    text = capfdbinary.readouterr().out
    assert text.startswith(b"6 8\nking ")
    piped(text)
    assert run(["vectors", "convert", "-", "-", "--format", "glove", "--top", "2"]) == 0
    assert capfdbinary.readouterr().out == b"".join(text.splitlines(keepends=True)[1:3])


@pytest.fixture
def spaces(tmp_path: Path) -> tuple[Path, Path]:
    """Two spaces, the second the first but turned, where the word w7 has moved."""
    rng = np.random.default_rng(0)
    words, matrix = [f"w{n}" for n in range(60)], rng.normal(size=(60, 5)).astype(np.float32)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0].astype(np.float32)
    moved = matrix @ rotation
    moved[7] *= -1
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path, table in zip(paths, (matrix, moved), strict=True):
        WordVectors(words, table).save(path)
    return paths


def test_two_spaces_are_laid_over_each_other_and_the_moved_word_is_found(
    spaces: tuple[Path, Path], tmp_path: Path, ask: Ask, capsys: Capture
) -> None:
    told = ask("align", *spaces, "-k", 2, "--out", tmp_path / "turned.safetensors")
    assert told["pairs"] == 60
    assert told["before"] < 0.6 < 0.9 < told["after"]
    assert [len(told["changed"]), told["changed"][0]["word"]] == [2, "w7"]
    turned, second = WordVectors.load(tmp_path / "turned.safetensors"), WordVectors.load(spaces[1])
    assert np.abs(np.delete(turned.matrix - second.matrix, 7, axis=0)).max() < 0.5
    assert run(["vectors", "align", *map(str, spaces)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("60 shared words; mean cosine ")
    assert printed[2].startswith("w7 ")
    assert len(printed) == 12
