"""`inlay vectors train`: word vectors of your text, by word2vec, GloVe or fastText."""

import contextlib
import sys
from collections.abc import Container, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Sources, language_of, reads_corpus, resumable
from inlay.errors import InputError
from inlay.live import Live
from inlay.text.document import CorpusConfig

if TYPE_CHECKING:
    from inlay.vectors.phrases import Phrases
    from inlay.vectors.start import Start
    from inlay.vectors.vocabulary import Encoded, LineFiles
    from inlay.vectors.wordvectors import WordVectors

Kind = Literal["word2vec", "glove", "fasttext"]
_CONFIGS = {"word2vec": "Word2Vec", "glove": "Glove", "fasttext": "FastText"}
_MODELS = {"skipgram": "SkipGram", "cbow": "Cbow"}


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
    kind: Annotated[Kind, typer.Option(help="How the vectors are learned.")] = "word2vec",
    model: Annotated[
        Literal["skipgram", "cbow"] | None,
        typer.Option(show_default="skipgram", help="What predicts what; not for glove."),
    ] = None,
    dim: Annotated[int | None, typer.Option(metavar="N", show_default="100", help="Length of a word's vector.")] = None,
    window: Annotated[
        int | None, typer.Option(metavar="N", show_default="5, glove 15", help="Farthest neighbour that counts.")
    ] = None,
    negative: Annotated[
        int | None,
        typer.Option(
            metavar="N", show_default="5", help="Noise words against each true pair; not for glove or Hierarchical."
        ),
    ] = None,
    min_count: Annotated[
        int | None, typer.Option(metavar="N", show_default="5", help="Rarer words are left out.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", show_default="5, glove 25", help="Times through the text.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", show_default="1", help="With more than one, runs do not repeat exactly.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", show_default="0", help="Of everything that is drawn by chance.")
    ] = None,
    phrases: Annotated[
        int | None, typer.Option(metavar="PASSES", show_default="none", help="Join phrases first, such as new_york.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Vectors that known words begin with.")
    ] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="The vectors of --init stay as they are.")] = False,
    go_on: Annotated[
        Path | None,
        typer.Option(
            "--continue", metavar="FILE", show_default=False, help="Vectors to train further; new words join them."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default=False, help="Where glove keeps its state, to go on after a stop."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="YAML with settings of the kind.")
    ] = None,
    assign: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the kind, such as sample=1e-4. Repeatable."),
    ] = [],  # noqa: B006 - typer reads it, nobody writes
    lines: Annotated[
        bool, typer.Option("--lines", help="Each SOURCE is a file of words, a sentence a line: the fastest way.")
    ] = False,
    lang: Annotated[
        str,
        typer.Option(
            metavar="LANG",
            help="Language: en, de, fr, es, it, pt, nl, sv, ru, zh, or chars, each a word; auto looks at the text.",
        ),
    ] = "auto",
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Learn word vectors from text.

    The words of each sentence, in lower case; Chinese is cut into words first. With --lines the words are those
    between the spaces of each line, as they are. --phrases 1 joins two words, 2 up to four.

    Flags count more than --set, and --set more than --config; their keys are the fields of Word2Vec, Glove or
    FastText, and those of Phrases after "phrases.". fastText vectors in a .bin are a file of fastText's, with a row for
    every bucket, 800 MB for the usual two million; .safetensors keeps those in use.

    Examples:
    inlay vectors train docs/ --kind fasttext --out vectors.safetensors
    inlay vectors train enwiki-2014-sample --dim 300 --set output.kind=Hierarchical --out vectors.safetensors
    """
    from inlay.vectors import formats

    formats.claim(out, force=force)
    if checkpoint and kind != "glove":
        raise InputError(f"{kind} keeps no checkpoints; leave out --checkpoint, or take --kind glove")
    if checkpoint and checkpoint.is_file():
        raise InputError(f"{checkpoint}: is a file; --checkpoint takes a folder, new or of this training")
    start = _start(init, frozen, go_on)
    flags: dict[str, Any] = {
        "dim": dim,
        "window": window,
        "min_count": min_count,
        "epochs": epochs,
        "threads": threads,
        "seed": seed,
    }
    flags |= {"model.kind": _MODELS[model] if model else None, "output.words": negative, "phrases.passes": phrases}
    given = {key: value for key, value in flags.items() if value is not None}
    trainer, joined = _settings(kind, _taken_over(kind, start), config, assign, given)
    source = _files(sources, corpus, lang) if lines else _sentences(sources, corpus, lang)
    known = start.vectors.index if go_on and start else ()
    encoded = _read(source, trainer, joined, known)
    more = {"checkpoint": checkpoint} if checkpoint else {}
    with resumable("give the same command to go on") if checkpoint else contextlib.nullcontext():
        vectors: WordVectors = import_module(f"inlay.vectors.{kind}").train(encoded, trainer, start=start, **more)
    vectors.save(out, force=force)
    if json:
        show.tree({"out": str(out), "kind": kind, "words": len(vectors), "dim": vectors.dim, "tokens": encoded.n_words})
    else:
        show.line(f"{len(vectors):,} words of {vectors.dim} dimensions in {out}")


def _start(init: Path | None, frozen: bool, go_on: Path | None) -> "Start | None":
    from inlay.vectors.start import Grow, Init
    from inlay.vectors.wordvectors import WordVectors

    if init and go_on:
        raise InputError("--init and --continue are two ways to start; give one of them")
    if frozen and not init:
        raise InputError("--frozen needs --init FILE, whose vectors stay as they are")
    if go_on:
        return Grow(WordVectors.load(go_on))
    return Init(WordVectors.load(init), frozen=frozen) if init else None


def _taken_over(kind: Kind, start: "Start | None") -> dict[str, Any]:
    """The settings that the vectors to start from decide: without them, the usual ones would be refused."""
    from inlay.vectors.start import Grow

    taken: dict[str, Any] = {"dim": start.vectors.dim} if start else {}
    if kind == "fasttext" and isinstance(start, Grow) and (ngrams := start.vectors.subwords):
        taken |= {"min_n": ngrams.min_n, "max_n": ngrams.max_n, "buckets": ngrams.buckets}
    return taken


def _settings(
    kind: Kind, usual: dict[str, Any], file: Path | None, assignments: list[str], flags: dict[str, Any]
) -> tuple[Any, "Phrases | None"]:
    """The config of the kind, and that of the phrases where one is given: what is usual, changed by the file, then by
    --set, then by flags."""
    from inlay.config import from_tree, load_yaml, override, parse_assignments
    from inlay.vectors.phrases import Phrases

    cls = getattr(import_module(f"inlay.vectors.{kind}"), _CONFIGS[kind])
    for key, name in (("model.kind", "model"), ("output.words", "negative")):
        if kind == "glove" and key in flags:
            raise InputError(f"glove has no {name}; leave out --{name}, or take --kind word2vec or fasttext")
    found, joined = from_tree(cls, usual), from_tree(dict[str, Phrases], {})
    if file:
        own, apart = _parted(load_yaml(dict[str, Any], file))
        if own.get("kind") != cls.__name__ and own.get("kind") in _CONFIGS.values():
            raise InputError(f"{file}: the settings are of {own['kind']}, not of --kind {kind}; give the same in both")
        try:
            found, joined = from_tree(cls, usual | own), from_tree(dict[str, Phrases], apart)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
    own, apart = _parted(parse_assignments(assignments))
    found = override(found, own)
    own, more = _parted(flags)
    if "output.words" in own and not hasattr(found.output, "words"):
        raise InputError("--negative counts noise words, and output.kind=Hierarchical has none; leave out one of them")
    changes = apart | more
    usual_phrases = {"phrases": Phrases()} if changes else {}
    return override(found, own), override(usual_phrases | joined, changes, dict[str, Phrases]).get("phrases")


def _parted(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the training, and those of the phrases."""
    own = {key: value for key, value in settings.items() if key.split(".")[0] != "phrases"}
    return own, {key: value for key, value in settings.items() if key not in own}


def _files(sources: list[str], corpus: CorpusConfig, lang: str) -> "LineFiles":
    from inlay.vectors.vocabulary import LineFiles

    if said := [field.name for field in fields(corpus) if getattr(corpus, field.name) != field.default]:
        flag = f"--{said[0].replace('_', '-')}"
        raise InputError(f"{flag} is about documents, and with --lines there are only words; give one of them")
    if lang != "auto":
        raise InputError(f"--lang {lang} cuts text into words, and with --lines the text is cut already; give one")
    if sources.count("-") > 1:
        raise InputError("'-' stands twice, and stdin can be read once; leave one")
    if "-" in sources and sys.stdin is None:
        raise InputError("stdin is closed; pipe words into it, or name files")
    return LineFiles(*sources)


def _sentences(sources: list[str], corpus: CorpusConfig, lang: str) -> Iterator[list[str]]:
    from inlay.text.corpus import Corpus
    from inlay.text.pairs import sentences
    from inlay.text.words import segmenter

    documents = Corpus(*sources, config=corpus)
    segment = segmenter(language_of(lang, documents.texts))
    return (segment(sentence) for text in documents.texts() for sentence in sentences(text))


def _read(
    source: "Iterator[list[str]] | LineFiles", trainer: Any, phrases: "Phrases | None", known: Container[str]
) -> "Encoded":
    """The text in numbers, its phrases joined; the live line says how fast the words came in."""
    from inlay.vectors.phrases import join
    from inlay.vectors.vocabulary import read

    limits: dict[str, Any] = {"min_count": trainer.min_count, "max_vocab": trainer.max_vocab, "known": known}
    with Live("read", unit="words") as live:
        encoded = read(source, **({"min_count": 1} if phrases else limits), on_words=live.at)
        live.at(encoded.n_words)
    return join(encoded, phrases, **limits) if phrases else encoded
