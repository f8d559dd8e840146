"""`inlay vectors train`, `neighbours`, `analogy` and `similarity`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, K, Lang, Seed, Sources, Vectors, language_of, reads_corpus
from inlay.text.document import CorpusConfig


@reads_corpus
def train(
    sources: Sources,
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", show_default=False, help="X.safetensors, .txt, .vec or .bin; the suffix is the format."
        ),
    ],
    kind: Annotated[Literal["word2vec"], typer.Option(help="How the vectors are learned.")] = "word2vec",
    dim: Annotated[int, typer.Option(metavar="N", help="Length of a word's vector.")] = 100,
    window: Annotated[int, typer.Option(metavar="N", help="Farthest neighbour that counts.")] = 5,
    negative: Annotated[int, typer.Option(metavar="N", help="Noise words against each true pair.")] = 5,
    min_count: Annotated[int, typer.Option(metavar="N", help="Rarer words are left out.")] = 5,
    epochs: Annotated[int, typer.Option(metavar="N", help="Times through the text.")] = 5,
    threads: Annotated[int, typer.Option(metavar="N", help="With more than one, runs do not repeat exactly.")] = 1,
    seed: Seed = 0,
    lang: Lang = "auto",
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Learn word vectors from text.

    Skip-gram with negative sampling over the words of each sentence, in lower case; Chinese is cut into words first.

    Examples:
    inlay vectors train docs/ --out vectors.safetensors
    inlay vectors train enwiki-2014-sample --dim 300 --epochs 3 --threads 2 --out vectors.bin
    """
    from inlay.text.corpus import Corpus
    from inlay.text.pairs import sentences
    from inlay.text.words import segmenter
    from inlay.vectors import formats, word2vec

    formats.claim(out, force=force)
    documents = Corpus(*sources, config=corpus)
    segment = segmenter(language_of(lang, documents.texts))

    def words() -> Iterator[list[str]]:
        for text in documents.texts():
            for sentence in sentences(text):
                yield segment(sentence)

    config = word2vec.Word2Vec(
        dim=dim,
        window=window,
        output=word2vec.Negative(words=negative),
        min_count=min_count,
        epochs=epochs,
        threads=threads,
        seed=seed,
    )
    vectors = word2vec.train(words(), config)
    vectors.save(out, force=force)
    if json:
        show.tree({"out": str(out), "kind": kind, "words": len(vectors), "dim": vectors.dim})
    else:
        show.line(f"{len(vectors):,} words of {vectors.dim} dimensions in {out}")


def neighbours(
    file: Vectors,
    word: Annotated[str, typer.Argument(metavar="WORD", show_default=False, help="The word to start from.")],
    k: K = 10,
    json: Json = False,
) -> None:
    """Show the words nearest to a word.

    Examples:
    inlay vectors neighbours vectors.safetensors king
    inlay vectors neighbours vectors.txt 北京 -k 5 --json
    """
    from inlay.vectors.wordvectors import WordVectors

    _show(WordVectors.load(file).most_similar(word, k=k), json)


def analogy(
    file: Vectors,
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help="As in: A is to B")],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="What A is to.")],
    c: Annotated[str, typer.Argument(metavar="C", show_default=False, help="As C is to what is looked for.")],
    k: K = 10,
    json: Json = False,
) -> None:
    """Show what is to C as B is to A.

    Examples:
    inlay vectors analogy vectors.safetensors man king woman
    inlay vectors analogy vectors.bin france paris japan -k 3 --json
    """
    from inlay.vectors.wordvectors import WordVectors

    _show(WordVectors.load(file).analogy(a, b, c, k), json)


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
    from inlay.vectors.wordvectors import WordVectors

    cosine = WordVectors.load(file).similarity(a, b)
    if json:
        show.tree({"a": a, "b": b, "similarity": cosine})
    else:
        show.line(f"{cosine:.4f}")


def _show(found: list[tuple[str, float]], json: bool) -> None:
    if json:
        show.tree([{"word": word, "score": score} for word, score in found])
    else:
        show.table(["word", "cosine"], found)
