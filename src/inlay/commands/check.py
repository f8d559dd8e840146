"""`inlay check-data`: what is in a corpus, and whether it can be trained on."""

from typing import TYPE_CHECKING

from inlay.commands import show
from inlay.commands.options import Json, Lang, Sources, reads_corpus
from inlay.errors import InputError
from inlay.text.document import CorpusConfig

if TYPE_CHECKING:
    from inlay.text.check import Check

_BAR = 40


@reads_corpus
def check_data(
    sources: Sources,
    *,
    lang: Lang = "auto",
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Say what is in a corpus and what is wrong.

    Counts documents, words, scripts and lengths, names files that cannot be read, and finds empty, double and nearly
    double documents. The exit code is 1 if the corpus cannot be trained on.

    Examples:
    inlay check-data docs/
    inlay check-data articles.csv --text-field body --json
    """
    from inlay.text.check import check
    from inlay.text.corpus import Corpus

    found = check(Corpus(*sources, config=corpus), lang=None if lang == "auto" else lang, report=True)
    if json:
        show.tree(found.to_tree())
    else:
        _show(found)
    if not found.trainable:
        raise InputError(f"cannot be trained on: {(found.faults or found.problems)[0]}")


def _show(found: "Check") -> None:
    scripts = ", ".join(f"{name} {share:.0%}" for name, share in found.scripts.items() if share >= 0.005)
    near = "" if found.near_checked >= found.documents else f" (among the first {found.near_checked:,})"
    show.facts(
        {
            "documents": found.documents,
            "words": found.words,
            "characters": found.characters,
            "bytes": found.bytes,
            "language": found.language or "-",
            "scripts": scripts or "-",
            "empty": found.empty,
            "duplicates": found.duplicates,
            "near duplicates": f"{found.near_duplicates:,}{near}",
            "ids used twice": found.duplicate_ids,
        }
    )
    if found.lengths.bins:
        lengths = found.lengths
        show.line()
        show.line(
            f"words per document: least {lengths.min:,}, median {lengths.median:,.0f}, mean {lengths.mean:,.1f}, "
            f"95 % up to {lengths.p95:,.0f}, most {lengths.max:,}"
        )
        most = max(count for _, _, count in lengths.bins)
        bars = ["█" * -(-_BAR * count // most) for _, _, count in lengths.bins]
        ranges = [f"{low:,}" if low == high else f"{low:,}-{high:,}" for low, high, _ in lengths.bins]
        rows = zip(ranges, (count for _, _, count in lengths.bins), bars, strict=True)
        show.table(["words", "documents", ""], rows)
    for head, lines in (("begins with", found.examples), ("faults", found.faults), ("problems", found.problems)):
        if lines:
            show.line()
            show.line(f"{head}:")
            for text in lines:
                show.line(f"  {show.shorten(text, 110) if head == 'begins with' else text}")
    show.line()
    show.line("can be trained on" if found.trainable else "cannot be trained on")
