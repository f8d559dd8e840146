"""Mistakes with the verbs of `inlay vectors`: each is one line that names the value, the place and the way out."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[[list[str], str], None]

WORDS = "king queen man\nqueen man king\n" * 9
MISTAKES: dict[str, tuple[list[str], str]] = {
    "window 0": (["train", "W", "--lines", "--window", "0", "--out", "O"], "window=0 must"),
    "dim 0": (["train", "W", "--lines", "--dim", "0", "--out", "O"], "dim=0 must"),
    "too many negatives": (
        ["train", "W", "--lines", "--negative", "3", "--out", "O"],
        "3 noise words need a vocabulary of more",
    ),
    "nothing left": (["train", "W", "--lines", "--min-count", "99", "--out", "O"], "words occurs min_count=99 times"),
    "output exists": (["train", "W", "--lines", "--out", "V"], "exists; give another --out, or --force"),
    "no format": (["train", "W", "--lines", "--out", "x.doc"], "x.doc: the suffix must be one of"),
    "no source": (["train", "absent", "--lines", "--out", "O"], "absent: no such text file"),
    "language and lines": (["train", "W", "--lines", "--lang", "zh", "--out", "O"], "--lang zh cuts text into words"),
    "stdin twice": (["train", "-", "-", "--lines", "--out", "O"], "'-' stands twice"),
    "wrong key": (["train", "W", "--set", "windw=3", "--out", "O"], "unknown key 'windw' .*did you mean 'window'"),
    "wrong phrase key": (
        ["train", "W", "--set", "phrases.pass=3", "--out", "O"],
        "'phrases.pass' .*mean 'passes'",
    ),
    "phrases 0": (["train", "W", "--phrases", "0", "--out", "O"], "phrases: passes=0 must lie between 1 and 10"),
    "phrases 3": (["train", "W", "--set", "phrases=3", "--out", "O"], "phrases=3 must be a table for Phrases"),
    "noise for a tree": (
        ["train", "W", "--set", "output.kind=Hierarchical", "--negative", "3", "--out", "O"],
        "--negative counts noise words, and output.kind=Hierarchical has none; leave out one",
    ),
    "noise set for a tree": (
        ["train", "W", "--set", "output.kind=Hierarchical", "--set", "output.words=3", "--out", "O"],
        "unknown key 'output.words' for Hierarchical, which has no settings; leave it out",
    ),
    "documents and lines": (
        ["train", "W", "--lines", "--text-field", "x", "--out", "O"],
        "--text-field is about documents, and with --lines there are only words; give one of them",
    ),
    "no kind in a file": (
        ["train", "W", "--config", "E", "--out", "O"],
        "e.yaml: 'kind' is .'Glove'.; choose from Word",
    ),
    "wrong key in a file": (["train", "W", "--config", "D", "--out", "O"], "d.yaml: unknown key 'dims' .*mean 'dim'"),
    "glove has no model": (["train", "W", "--kind", "glove", "--model", "cbow", "--out", "O"], "glove has no model"),
    "glove, no noise": (["train", "W", "--kind", "glove", "--negative", "2", "--out", "O"], "glove has no negative"),
    "no checkpoints": (["train", "W", "--checkpoint", "x", "--out", "O"], "word2vec keeps no checkpoints"),
    "file as checkpoint": (
        ["train", "W", "--kind", "glove", "--checkpoint", "W", "--out", "O"],
        "words.txt: is a file; --checkpoint takes a folder",
    ),
    "no n-grams to grow": (
        ["train", "W", "--kind", "fasttext", "--continue", "V", "--min-count", "1", "--out", "O"],
        "the vectors to grow have no n-grams; .*--init",
    ),
    "wrong kind of file": (
        ["train", "W", "--kind", "fasttext", "--config", "C", "--out", "O"],
        "c.yaml: .* of Word2Vec, not of --kind fast",
    ),
    "two starts": (["train", "W", "--init", "V", "--continue", "V", "--out", "O"], "two ways to start"),
    "frozen nothing": (["train", "W", "--frozen", "--out", "O"], "--frozen needs --init"),
    "other length": (["train", "W", "--init", "V", "--dim", "3", "--out", "O"], "dim=3, but .*have 8"),
    "other length set": (["train", "W", "--continue", "V", "--set", "dim=3", "--out", "O"], "dim=3, but .*have 8"),
    "start of nothing": (["train", "W", "--continue", "absent.txt", "--out", "O"], "absent.txt: no such file"),
    "unknown word": (["neighbours", "V", "kings"], "'kings' is not among the 6 words; did you mean 'king'"),
    "no sum": (["neighbours", "V", "king - man woman"], "no sign between 'man' and 'woman'"),
    "empty word": (["neighbours", "V", ""], "the word is empty"),
    "unknown in a sum": (["neighbours", "V", "king - boy"], "'boy' is not among"),
    "unknown analogy": (["analogy", "V", "man", "king", "girl"], "'girl' is not among"),
    "unknown pair": (["similarity", "V", "man", "girl"], "'girl' is not among"),
    "two are not odd": (["odd", "V", "man", "king"], "2 words are too few"),
    "no vectors": (["odd", "W", "man", "king", "queen"], "line 1"),
    "conversion exists": (["convert", "V", "V"], "exists; give another"),
    "two sizes": (["convert", "V", "O", "--half", "--int8"], "--half and --int8 are two sizes"),
    "half a text": (["convert", "V", "x.txt", "--half"], "x.txt: only .safetensors keeps --half numbers"),
    "two results": (["convert", "V", "-", "--json"], "both write to stdout"),
    "binary stdout": (["convert", "V", "-", "--format", "fasttext"], "stdout takes text alone"),
    "no words": (["convert", "V", "O", "--top", "0"], "--top 0 must be at least 1"),
    "format and suffix": (["convert", "V", "O", "--format", "glove"], "'glove' does not fit"),
    "too few to align": (["align", "V", "V"], "6 shared words are too few for a rotation in 8 dimensions"),
    "aligned exists": (["align", "V", "V", "--out", "V"], "exists; give another --out"),
    "map exists": (["map", "V", "--out", "M"], "exists; give another --out"),
    "map of no kind": (["map", "V", "--out", "x.gif"], "x.gif: a map is written as .png or .html"),
    "map of two": (["map", "V", "--out", "x.html", "--words", "king,man"], "from 3 to 5000 words, not 2"),
    "map of nobody": (
        ["map", "V", "--out", "x.html", "--words", "king,man,boy"],
        "'boy' is not among the 6 words(?!;)",
    ),
    "two choices": (["map", "V", "--out", "x.html", "--words", "a,b,c", "--top", "3"], "two ways to choose"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_the_disk_as_it_was(
    name: str, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    arguments, expected = MISTAKES[name]
    if "glove" in arguments or "fasttext" in arguments[2:4]:
        pytest.importorskip(f"inlay.vectors.{'glove' if 'glove' in arguments else 'fasttext'}")
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text(WORDS)
    Path("c.yaml").write_text("kind: Word2Vec\n")
    Path("d.yaml").write_text("dims: 3\n")
    Path("e.yaml").write_text("kind: [Glove]\n")
    Path("old.html").write_text("old")
    names = {
        "W": "words.txt",
        "V": str(vectors),
        "O": "out.safetensors",
        "C": "c.yaml",
        "D": "d.yaml",
        "E": "e.yaml",
        "M": "old.html",
    }
    refused(["vectors", *(names.get(word, word) for word in arguments)], expected)


@pytest.mark.parametrize(
    ("package", "flags", "expected"),
    [
        ("matplotlib.figure", ["x.png"], r"a .png needs matplotlib: pip install 'inlay\[viz\]'"),
        ("sklearn.manifold", ["x.html", "--method", "tsne"], r"t-SNE needs scikit-learn: pip install 'inlay\[viz\]'"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    package: str,
    flags: list[str],
    expected: str,
    vectors: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Refused,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    refused(["vectors", "map", str(vectors), "--out", *flags], expected)


def test_a_closed_or_empty_stdin_is_said(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piped: Callable[[bytes], None], refused: Refused
) -> None:
    piped(b"")
    refused(["vectors", "convert", "-", str(tmp_path / "x.txt")], "stdin is empty; pipe vectors into it")
    monkeypatch.setattr(sys, "stdin", None)
    refused(["vectors", "convert", "-", str(tmp_path / "x.txt")], "stdin is closed; pipe vectors into it")
    refused(["vectors", "neighbours", str(vectors), "-"], "stdin is closed; pipe words into it, or give one")
    refused(["vectors", "train", "-", "--lines", "--out", str(tmp_path / "x.txt")], "stdin is closed; pipe words")
