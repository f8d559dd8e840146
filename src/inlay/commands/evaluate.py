"""`inlay evaluate DIR`, which measures a model on judged queries, and `inlay evaluate vectors`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Json, Lang, Vectors, language_of
from inlay.errors import InputError, did_you_mean
from inlay.live import Live, say

if TYPE_CHECKING:
    from inlay.search.hybrid import Fusion

_METRICS = ("ndcg@10", "recall@10", "recall@100", "mrr@10")
_MODES: tuple[Literal["lexical", "dense", "hybrid"], ...] = ("lexical", "dense", "hybrid")


def retrieval(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="A model folder, or a file of word vectors.")
    ],
    *,
    on: Annotated[
        str,
        typer.Option(
            metavar="FOLDER|NAME",
            show_default=False,
            help="A BEIR folder, or a data set such as cranfield, with judgements.",
        ),
    ],
    split: Annotated[str, typer.Option(metavar="SPLIT", help="Which judgements: qrels/SPLIT.tsv.")] = "test",
    lang: Lang = "auto",
    json: Json = False,
) -> None:
    """Measure a model on judged queries.

    Prints nDCG@10, recall@10, recall@100 and MRR@10 of lexical, dense and hybrid search, with 95 % intervals
    bootstrapped over the queries. The test's own corpus is indexed with the model, and fused as fit chose.

    Examples:
    inlay evaluate model --on cranfield
    inlay evaluate model --on beir/scifact --split dev --json
    """
    from inlay.embed.embedder import load
    from inlay.evaluate.beir import read
    from inlay.evaluate.retrieval import measure
    from inlay.search.searcher import Searcher

    test = read(_test_folder(on), split=split)
    for note in test.notes:
        say(f"note: {note}")
    lang = language_of(lang, lambda: (document.full for document in test.corpus))
    embedder, fusion = load(folder), _fusion(folder)
    with Live("evaluate", len(_MODES), "rankings") as live:
        searcher = Searcher.build(test.corpus, embedder, lang=lang, fusion=fusion)
        scores = {}
        for mode in live.over(_MODES):
            ranked = searcher.rank(list(test.queries.values()), 100, mode)
            scores[mode] = measure(dict(zip(test.queries, ranked, strict=True)), test.qrels)
    if json:
        measured = {mode: scores[mode].tree() for mode in _MODES}
        show.tree(
            {"on": on, "lang": lang, "documents": len(test.corpus), "queries": len(test.queries), "scores": measured}
        )
        return
    rows = []
    for mode in _MODES:
        cells = [(scores[mode][metric], *scores[mode].interval(metric)) for metric in _METRICS]
        rows.append([mode, *(f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in cells)])
    show.line(f"{on}: {len(test.corpus):,} documents, {len(test.queries):,} queries, language {lang}; 95 % intervals")
    show.table(["", "nDCG@10", "recall@10", "recall@100", "MRR@10"], rows)


def vectors(
    file: Vectors,
    *,
    on: Annotated[
        list[str],
        typer.Option(
            metavar="NAME|FILE",
            show_default=False,
            help="google-analogies, wordsim-en, chinese-analogies-ca8, wordsim-zh, or a file of such. Repeatable.",
        ),
    ],
    method: Annotated[
        Literal["add", "mul"], typer.Option(help="How analogies are answered: 3CosAdd or 3CosMul.")
    ] = "add",
    ngrams: Annotated[
        bool, typer.Option("--ngrams", help="Unseen words count, by their n-grams; fastText vectors alone.")
    ] = False,
    top: Annotated[
        int | None, typer.Option(metavar="N", show_default="all", help="Look for answers among the first words only.")
    ] = None,
    sections: Annotated[bool, typer.Option("--sections", help="Show each section of the analogies too.")] = False,
    json: Json = False,
) -> None:
    """Measure word vectors on analogies and similarities.

    Analogies: the share answered exactly. Similarities: Spearman's correlation with people's judgements. Each with its
    95 % interval, and with how many of the questions have known words: the others are left out.

    Examples:
    inlay evaluate vectors vectors.safetensors --on google-analogies --on wordsim-en
    inlay evaluate vectors vectors.bin --on wordsim-zh --ngrams --json
    """
    from inlay.evaluate.word_sets import evaluate, tree
    from inlay.vectors.analogy import ThreeCosAdd, ThreeCosMul
    from inlay.vectors.unseen import NGrams
    from inlay.vectors.wordvectors import WordVectors

    if top is not None and top < 1:
        raise InputError(f"--top {top} must be at least 1")
    known = WordVectors.load(file)
    if ngrams and known.subwords is None:
        raise InputError(f"{file}: no n-grams in it, as --ngrams needs; vectors trained by fasttext have them")
    results = evaluate(
        known,
        on,
        method=ThreeCosAdd() if method == "add" else ThreeCosMul(),
        unseen=NGrams() if ngrams else None,
        restrict=top,
    )
    if json:
        show.tree(tree(results))
        return
    rows = []
    for result in results:
        if sections or result.section in ("", "semantic", "syntactic"):
            score = "-" if not result.known else f"{result.score:.3f} [{result.low:.3f}, {result.high:.3f}]"
            asked = f"{result.known:,} of {result.total:,} ({result.coverage:.0%})"
            rows.append([result.name, result.section, result.measure, score, asked])
    show.line("95 % intervals; asked are the questions whose words have vectors")
    show.table(["on", "section", "measure", "score", "asked"], rows)


def _test_folder(on: str) -> Path:
    """A folder as it is, or that of the named data set."""
    from inlay.text import data

    if Path(on).exists() or len(Path(on).parts) > 1:
        return Path(on)
    if on not in data.NAMES:
        tests = [name for name in data.NAMES if data.describe(name).is_retrieval]
        raise InputError(f"{on}: no such folder or data set{did_you_mean(on, tests)}")
    return data.beir(on)


def _fusion(folder: Path) -> "Fusion":
    """How the folder fuses rankings; the default where it is a bare model or a file of vectors."""
    from inlay.search.hybrid import Fusion
    from inlay.search.searcher import Searcher

    return Searcher.load(folder).ranker.fusion if (folder / "search").is_dir() else Fusion()
