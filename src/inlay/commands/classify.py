"""`inlay vectors classify train`, `predict`, `test` and `quantize`: text classifiers in fastText's files."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.labelled import LabelField, Labels, TextField, labelled, texts_of
from inlay.commands.options import Force, Json, K, Seed
from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.vectors.autotune import Found
    from inlay.vectors.classifier import Classifier
    from inlay.vectors.start import Start
    from inlay.vectors.supervised import Supervised

_OUTPUTS = {"softmax": "Softmax", "hierarchical": "Hierarchical", "noise": "Noise", "one-vs-all": "OneVsAll"}
_BATCH = 1024
"""Texts that are predicted at a time; one, where a person types them."""

Classifiers = Annotated[
    Path, typer.Argument(metavar="FILE", show_default=False, help="A classifier: .bin or .ftz, of inlay or fastText.")
]
Out = Annotated[Path, typer.Option(metavar="FILE", show_default=False, help="X.bin, or X.ftz for a quantised one.")]
Threshold = Annotated[float, typer.Option(metavar="P", min=0, max=1, help="Leave out labels that are less likely.")]
Threads = Annotated[int, typer.Option(metavar="N", help="With more than one, runs do not repeat exactly.")]
SizeMb = Annotated[
    float | None, typer.Option(metavar="MB", show_default=False, help="Quantise, so that the file is no larger.")
]


def train(
    source: Labels,
    *,
    out: Out,
    epochs: Annotated[int, typer.Option(metavar="N", help="Times through the text.")] = 5,
    alpha: Annotated[float, typer.Option(metavar="X", help="Learning rate at the start; 0.1 to 1 are usual.")] = 0.1,
    dim: Annotated[int | None, typer.Option(metavar="N", show_default="100", help="Length of a word's vector.")] = None,
    word_ngrams: Annotated[int, typer.Option(metavar="N", help="Most words of a word n-gram; 2 heeds order.")] = 1,
    min_n: Annotated[int, typer.Option(metavar="N", help="Fewest characters of a character n-gram.")] = 0,
    max_n: Annotated[int, typer.Option(metavar="N", help="Most characters; 0: no character n-grams.")] = 0,
    buckets: Annotated[int, typer.Option(metavar="N", help="Places that n-grams are hashed to.")] = 2_000_000,
    min_count: Annotated[int, typer.Option(metavar="N", help="Rarer words are left out.")] = 1,
    loss: Annotated[
        Literal["softmax", "hierarchical", "noise", "one-vs-all"],
        typer.Option(help="How labels are told apart; one-vs-all for texts with several labels or none."),
    ] = "softmax",
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Word vectors that known words begin with.")
    ] = None,
    autotune: Annotated[
        float | None, typer.Option(metavar="SECONDS", show_default=False, help="Search for the best settings so long.")
    ] = None,
    validation: Annotated[
        str | None, typer.Option(metavar="SOURCE", show_default=False, help="Labelled texts that --autotune tries on.")
    ] = None,
    size_mb: SizeMb = None,
    lang: Annotated[
        str | None,
        typer.Option(
            metavar="LANG",
            show_default=False,
            help="Cut texts into words, in lower case: auto, en, zh, chars, ... or none; records are cut by default.",
        ),
    ] = None,
    text_field: TextField = None,
    label_field: LabelField = "label",
    threads: Threads = 1,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Learn to tell the labels of texts.

    SOURCE is a text file with a text a line, in which words that begin with __label__ are its labels; or records
    (.csv .tsv .jsonl .parquet) with a text and a label. Lines are words between spaces, taken as they are; records are
    cut into words in lower case, by their language. The classifier remembers how, and does the same when asked.

    Examples:
    inlay vectors classify train reviews.csv --label-field stars --epochs 25 --alpha 0.5 --out reviews.bin
    inlay vectors classify train train.txt --autotune 300 --validation dev.txt --size-mb 2 --out small.ftz
    """
    from inlay.files import claim_output
    from inlay.vectors import supervised
    from inlay.vectors.quantize import quantize_into

    _check_suffix(out, ".bin" if size_mb is None else ".ftz")
    claim_output(out, force=force)
    if (autotune is None) != (validation is None):
        raise InputError("--autotune SECONDS and --validation SOURCE need each other; give both, or neither")
    start = _start(init)
    examples, segmenter = labelled(source, text_field, label_field, lang)
    config = supervised.Supervised(
        dim=dim or (start.vectors.dim if start else 100),
        output=getattr(supervised, _OUTPUTS[loss])(),
        word_ngrams=word_ngrams,
        min_n=min_n,
        max_n=max_n,
        buckets=buckets,
        min_count=min_count,
        epochs=epochs,
        alpha=alpha,
        segmenter=segmenter,
        threads=threads,
        seed=seed,
    )
    found: Found | None = None
    if autotune is not None and validation is not None:
        from inlay.vectors.autotune import Autotune
        from inlay.vectors.autotune import autotune as search

        held, _ = labelled(validation, text_field, label_field, segmenter or "none")
        found = search(examples, held, config, Autotune(seconds=autotune, size_mb=size_mb, seed=seed), start=start)
        classifier = found.classifier
    else:
        classifier = supervised.train(examples, config, start=start)
        if size_mb is not None:
            classifier = quantize_into(classifier, size_mb * 1e6)
    classifier.save(out, force=force)
    _told(classifier, out, json, found)


def predict(
    file: Classifiers,
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Texts, one a line, or records; '-' reads lines from stdin."),
    ] = "-",
    k: K = 1,
    threshold: Threshold = 0.0,
    text_field: TextField = None,
    json: Json = False,
) -> None:
    """Tell the labels of texts.

    For each text a line with its likeliest labels, each followed by its probability, with tabs between; the line is
    empty where no label is likely enough.

    Examples:
    echo "the soup was cold" | inlay vectors classify predict reviews.bin -k 2
    inlay vectors classify predict reviews.bin new.csv --text-field review --json
    """
    from inlay.vectors.classifier import Classifier

    classifier = Classifier.load(file)
    texts = iter(texts_of(source, text_field))
    batch = 1 if source == "-" and sys.stdin is not None and sys.stdin.isatty() else _BATCH
    while some := list(islice(texts, batch)):
        for found in classifier.predict(some, k, threshold):
            if json:
                show.tree([{"label": label, "probability": p} for label, p in found], compact=True)
            else:
                show.line("\t".join(f"{label}\t{p:.6f}" for label, p in found))
        sys.stdout.flush()


def measure(
    file: Classifiers,
    source: Labels,
    k: K = 1,
    threshold: Threshold = 0.0,
    text_field: TextField = None,
    label_field: LabelField = "label",
    json: Json = False,
) -> None:
    """Measure a classifier on labelled texts.

    Precision is the share of the told labels that are true, recall the share of the true ones that are told.

    Examples:
    inlay vectors classify test reviews.bin held-out.csv --label-field stars
    inlay vectors classify test small.ftz test.txt -k 2 --threshold 0.5 --json
    """
    from inlay.vectors.classifier import Classifier

    classifier = Classifier.load(file)
    examples, _ = labelled(source, text_field, label_field, classifier.model.segmenter or "none")
    report = classifier.test(examples, k, threshold)
    rows = [("all", report.total), *report.labels.items()]
    if json:
        scores = [
            {"label": label, "precision": s.precision, "recall": s.recall, "f1": s.f1, "examples": s.examples}
            for label, s in rows
        ]
        show.tree({**{key: value for key, value in scores[0].items() if key != "label"}, "labels": scores[1:]})
    else:
        cells = [[label, s.precision, s.recall, s.f1, s.examples] for label, s in rows]
        show.table(["label", f"precision@{k}", f"recall@{k}", "F1", "examples"], cells)


def quantize(
    file: Classifiers,
    *,
    out: Out,
    part: Annotated[int, typer.Option(metavar="N", help="Dimensions that share a byte.")] = 4,
    cutoff: Annotated[
        int | None,
        typer.Option(metavar="N", show_default=False, help="Keep so many words and n-grams, with the longest vectors."),
    ] = None,
    size_mb: SizeMb = None,
    retrain: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", show_default=False, help="Labelled texts from which what is left learns again."),
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", help="Times through the text of --retrain.")] = 5,
    alpha: Annotated[float, typer.Option(metavar="X", help="Learning rate with --retrain.")] = 0.1,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Quantise the labels' vectors too: for thousands of labels.")
    ] = False,
    text_field: TextField = None,
    label_field: LabelField = "label",
    threads: Threads = 1,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a classifier ten times smaller or more.

    Its vectors become a byte for every few numbers, and n-grams that never occurred are left out.

    Examples:
    inlay vectors classify quantize reviews.bin --out reviews.ftz
    inlay vectors classify quantize large.bin --cutoff 50000 --retrain train.txt --out small.ftz
    """
    from inlay.files import claim_output
    from inlay.vectors import quantize as small
    from inlay.vectors.classifier import Classifier

    _check_suffix(out, ".ftz")
    claim_output(out, force=force)
    classifier = Classifier.load(file)
    config = small.Quantization(
        part=part, cutoff=cutoff, outputs=outputs, epochs=epochs, alpha=alpha, threads=threads, seed=seed
    )
    if size_mb is not None:
        if cutoff is not None or retrain is not None:
            raise InputError("--size-mb finds the cutoff by itself, without learning again; leave out the others")
        found = small.quantize_into(classifier, size_mb * 1e6, config)
    elif retrain is None:
        found = small.quantize(classifier, config)
    else:
        examples, _ = labelled(retrain, text_field, label_field, classifier.model.segmenter or "none")
        found = small.quantize(classifier, config, retrain=examples)
    found.save(out, force=force)
    _told(found, out, json)


def _told(classifier: "Classifier", out: Path, json: bool, found: "Found | None" = None) -> None:
    """Say what was written."""
    labels, words, size = len(classifier.labels), len(classifier.model.words), out.stat().st_size
    if json:
        facts: dict[str, object] = {
            "out": str(out),
            "labels": labels,
            "words": words,
            "dim": classifier.model.args.dim,
            "bytes": size,
            "segmenter": classifier.model.segmenter or None,
        }
        if found:
            facts |= {"f1": found.best.f1, "trials": len(found.trials), "settings": dict(_chosen(found.best.config))}
        show.tree(facts)
        return
    show.line(f"{labels} labels, {words:,} words of {classifier.model.args.dim} dimensions, {size:,} bytes in {out}")
    if found:
        settings = ", ".join(f"{name} {value}" for name, value in _chosen(found.best.config))
        show.line(f"best of {len(found.trials)} trials: F1 {found.best.f1:.4f} with {settings}")


def _chosen(config: "Supervised") -> Iterator[tuple[str, float]]:
    """What a search varies."""
    for name in ("epochs", "alpha", "dim", "word_ngrams", "min_n", "max_n", "buckets"):
        value = getattr(config, name)
        yield name, float(f"{value:.4g}") if isinstance(value, float) else value


def _start(init: Path | None) -> "Start | None":
    from inlay.vectors.start import Grow
    from inlay.vectors.wordvectors import WordVectors

    return Grow(WordVectors.load(init)) if init else None


def _check_suffix(out: Path, suffix: str) -> None:
    if out.suffix != suffix:
        raise InputError(f"{out}: the suffix must be {suffix} here: .ftz is a quantised classifier, .bin any other")
