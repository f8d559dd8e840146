"""Asking word vectors: `inlay vectors neighbours`, `analogy`, `similarity` and `odd`."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Json, K, Vectors, as_utf8
from inlay.commands.stdin import lines
from inlay.errors import InputError
from inlay.live import say

if TYPE_CHECKING:
    from inlay.vectors.unseen import Unseen
    from inlay.vectors.wordvectors import WordVectors

_PROBABLY_A_SUM = (" + ", " - ")


def neighbours(
    file: Vectors,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORD...", show_default=False, help="Words, or sums such as 'king - man + woman'; '-' reads stdin."
        ),
    ],
    k: K = 10,
    json: Json = False,
) -> None:
    """Show the words nearest to words.

    A sum, with its signs between spaces, is answered without its own words. fastText vectors answer for unseen and
    misspelt words too.

    Several words are answered one after the other; with --json each is a line of JSON.

    Examples:
    inlay vectors neighbours vectors.safetensors king "king - man + woman"
    inlay vectors neighbours vectors.bin - -k 5 --json < words.txt
    """
    from inlay.vectors.arithmetic import parse_sum

    vectors, policy = _loaded(file)
    alone = len(words) == 1 and words != ["-"]
    for word in lines("words") if words == ["-"] else map(as_utf8, words):
        if not word:
            if words == ["-"]:
                continue  # an empty line between two words
            raise InputError("the word is empty; give one")
        is_sum = word not in vectors and any(sign in f" {word}" for sign in _PROBABLY_A_SUM)
        weights = parse_sum(word) if is_sum else {word: 1.0}
        note_unseen(vectors, weights)
        found = vectors.solve(weights, k, policy)
        if json and alone:
            show.tree(_answers(found))
        elif json:
            show.tree({"word": word, "neighbours": _answers(found)}, compact=True)
        else:
            if not alone:
                show.line(f"? {word}")
            show.table(["word", "cosine"], found)
        sys.stdout.flush()


def analogy(
    file: Vectors,
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help="As in: A is to B")],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="What A is to.")],
    c: Annotated[str, typer.Argument(metavar="C", show_default=False, help="As C is to what is looked for.")],
    method: Annotated[
        Literal["add", "mul"], typer.Option(help="By b - a + c (3CosAdd), or by products of cosines (3CosMul).")
    ] = "add",
    k: K = 10,
    json: Json = False,
) -> None:
    """Show what is to C as B is to A.

    Examples:
    inlay vectors analogy vectors.safetensors man king woman
    inlay vectors analogy vectors.bin france paris japan -k 3 --method mul --json
    """
    from inlay.vectors.analogy import ThreeCosAdd, ThreeCosMul

    vectors, policy = _loaded(file)
    a, b, c = map(as_utf8, (a, b, c))
    note_unseen(vectors, [a, b, c])
    found = vectors.analogy(a, b, c, k, method=ThreeCosMul() if method == "mul" else ThreeCosAdd(), unseen=policy)
    if json:
        show.tree(_answers(found))
    else:
        show.table(["word", "cosine" if method == "add" else "score"], found)


def similarity(
    file: Vectors,
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help="A word.")],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="Another word.")],
    json: Json = False,
) -> None:
    """Show how alike two words are.

    The cosine of their vectors, from -1 to 1.

    Examples:
    inlay vectors similarity vectors.safetensors cat dog
    inlay vectors similarity vectors.txt 猫 狗 --json
    """
    vectors, policy = _loaded(file)
    a, b = map(as_utf8, (a, b))
    note_unseen(vectors, [a, b])
    cosine = vectors.similarity(a, b, unseen=policy)
    if json:
        show.tree({"a": a, "b": b, "similarity": cosine})
    else:
        show.line(f"{cosine:.4f}")


def odd(
    file: Vectors,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", show_default=False, help="Three or more words.")],
    json: Json = False,
) -> None:
    """Show the word that does not go with the others.

    It is the one farthest by cosine from the mean of them all.

    Examples:
    inlay vectors odd vectors.safetensors bread butter cheese monday
    inlay vectors odd vectors.txt 猫 狗 汽车 --json
    """
    vectors, policy = _loaded(file)
    words = list(map(as_utf8, words))
    note_unseen(vectors, words)
    found = vectors.doesnt_match(words, policy)
    if json:
        show.tree({"words": words, "odd": found})
    else:
        show.line(found)


def _loaded(file: Any) -> "tuple[WordVectors, Unseen]":
    """The vectors, and that their n-grams answer for unseen words where they have any."""
    from inlay.vectors.unseen import NGrams, Refuse
    from inlay.vectors.wordvectors import WordVectors

    vectors = WordVectors.load(file)
    return vectors, Refuse() if vectors.subwords is None else NGrams()


def note_unseen(vectors: "WordVectors", words: Iterable[str]) -> None:
    """Say for which words their n-grams answer; InputError for one whose n-grams know nothing."""
    if vectors.subwords is None:
        return
    for word in dict.fromkeys(words):
        if word in vectors:
            continue
        if not vectors.subwords.vector(word).any():
            raise InputError(
                f"{word!r} is not among the {len(vectors):,} words, and the training met none of its n-grams; "
                "give another word"
            )
        say(f"note: {word!r} is not among the {len(vectors):,} words; its n-grams answer for it")


def _answers(found: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"word": word, "score": score} for word, score in found]
