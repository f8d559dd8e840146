"""Can this text be trained on? One pass over a corpus counts, looks for faults and duplicates, and gives a verdict."""

import contextlib
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.live import Live
from inlay.text.corpus import Corpus, Document

MIN_DOCUMENTS = 2
MIN_WORDS = 500
NEAR_LIMIT = 200_000

_BATCH_DOCUMENTS, _BATCH_CHARACTERS = 1024, 4_000_000
_EXAMPLES = 5
_SENTENCE = re.compile(r"[^\n]{1,160}?(?:[.!?](?=\s|$)|[。！？]|(?=\n)|$)|[^\n]{1,160}")
_WIDTHS = {"FULLWIDTH", "HALFWIDTH"}


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Words per document; `bins` holds (low, high, documents), both ends inside, each twice as wide as the last."""

    min: int
    median: float
    mean: float
    p95: float
    max: int
    bins: list[tuple[int, int, int]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is in a corpus, what is wrong with it, and whether it can be trained on."""

    documents: int
    words: int
    characters: int
    bytes: int
    """In UTF-8, after cleaning, titles included."""
    language: str
    scripts: dict[str, float]
    """Share of each script among the letters, the commonest first."""
    empty: int
    """Documents without text."""
    duplicates: int
    """Documents equal to an earlier one but for case and white space; empty ones not counted."""
    near_duplicates: int
    """Documents nearly equal to an earlier one, exact duplicates not counted."""
    near_checked: int
    """How many documents, from the first, were compared for near duplicates."""
    duplicate_ids: int
    """Documents whose id an earlier one has."""
    lengths: Lengths
    examples: list[str]
    """The first sentences of the first documents."""
    faults: list[str]
    """One message for each file that could not be read to its end; what came before the fault is counted."""
    problems: list[str]
    """What should be mended, the reasons for `trainable=False` first."""
    trainable: bool

    def to_tree(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, for JSON."""
        return asdict(self)


def check(corpus: Corpus, *, lang: str | None = None, report: bool = False) -> Check:
    """Read the corpus once, streaming, and say what is in it.

    A file that fails to decode or to parse is listed in `faults`, and the check goes on with the next file. Near
    duplicates are looked for among the first 200,000 documents. `lang` is told from the first documents if not given;
    `report` shows a live line. The corpus is trainable when, without duplicates, at least 2 documents are left, and
    there are at least 500 words.
    """
    from inlay.text.dedup import Exact, NearDuplicates
    from inlay.text.words import language, segmenter

    exact, ids, near = Exact(), Exact(), NearDuplicates()
    faults: list[str] = []
    blank: list[str] = []
    lengths: list[NDArray[np.int64]] = []
    letters = np.zeros(0x110000, np.int64)  # how often each code point stands in the corpus
    examples: list[str] = []
    seen = size = empty = duplicates = near_duplicates = near_checked = duplicate_ids = 0
    segment = None

    with Live("check", unit="documents") if report else contextlib.nullcontext() as live:
        for batch in _batches(_documents(corpus, faults, blank)):
            texts = [document.full for document in batch]
            if segment is None:
                lang = lang or language(texts)
                segment = segmenter(lang)
            lengths.append(np.array([len(segment(text)) for text in texts], np.int64))
            joined = "".join(texts)
            found = np.bincount(np.frombuffer(joined.encode("utf-32-le"), np.uint32))
            letters[: len(found)] += found
            size += len(joined.encode("utf-8"))
            examples += [_first_sentence(text) for text in texts if text][: _EXAMPLES - len(examples)]

            filled = [text for document, text in zip(batch, texts, strict=True) if document.text]
            fresh = [text for text, new in zip(filled, exact.add(filled), strict=True) if new]
            empty += len(batch) - len(filled)
            duplicates += len(filled) - len(fresh)
            if seen < NEAR_LIMIT:
                near_checked = seen + len(batch)
                near_duplicates += sum(twin >= 0 for twin in near.add(fresh))
            # Exact folds case, which ids must not; their digests have none.
            digests = [hashlib.blake2b(document.id.encode(), digest_size=16).hexdigest() for document in batch]
            duplicate_ids += len(batch) - sum(ids.add(digests))
            seen += len(batch)
            if live is not None:
                live.advance(len(batch))

    words = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)
    kept = seen - empty - duplicates - near_duplicates
    fatal = _fatal(kept, int(words.sum()), seen)
    counts = {"empty": empty, "duplicates": duplicates, "near duplicates": near_duplicates}
    return Check(
        documents=seen,
        words=int(words.sum()),
        characters=int(letters.sum()),
        bytes=size,
        language=lang or "",
        scripts=_scripts(letters),
        empty=empty,
        duplicates=duplicates,
        near_duplicates=near_duplicates,
        near_checked=near_checked,
        duplicate_ids=duplicate_ids,
        lengths=_lengths(words),
        examples=examples,
        faults=faults,
        problems=fatal + _lesser(seen, counts, duplicate_ids, len(faults), blank),
        trainable=not fatal,
    )


def _documents(corpus: Corpus, faults: list[str], blank: list[str]) -> Iterator[Document]:
    """The documents of every part; a faulty part ends early and its message joins `faults`, an empty one `blank`."""
    for part in corpus.parts():
        any_found = False
        try:
            for document in part.read():
                any_found = True
                yield document
        except InputError as error:
            faults.append(str(error))
        else:
            if not any_found:
                blank.append(part.name)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if len(batch) == _BATCH_DOCUMENTS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _first_sentence(text: str) -> str:
    sentence = _SENTENCE.match(text)
    assert sentence is not None  # cleaned text begins with something to see
    whole = sentence[0].strip()
    return whole if len(whole) < 160 else f"{whole[:159]}…"


def _scripts(letters: NDArray[np.int64]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for code in np.flatnonzero(letters):
        if unicodedata.category(chr(code)).startswith("L"):
            counts[_script(chr(code))] += int(letters[code])
    total = max(counts.total(), 1)
    return {script: count / total for script, count in counts.most_common()}


def _script(letter: str) -> str:
    """The script by the letter's Unicode name, which begins with it: LATIN SMALL LETTER A, HANGUL SYLLABLE GA."""
    first, *rest = unicodedata.name(letter, "OTHER").split()
    if first in _WIDTHS and rest:
        first, *rest = rest
    if first == "CJK":
        return "Han"
    if first == "MODIFIER" or not {"LETTER", "SYLLABLE", "LIGATURE"} & set(rest):
        return "Other"
    return first.capitalize()


def _lengths(words: NDArray[np.int64]) -> Lengths:
    if not len(words):
        return Lengths(min=0, median=0.0, mean=0.0, p95=0.0, max=0, bins=[])
    # Bin 0 is the empty documents, bin b > 0 those of 2^(b-1) to 2^b - 1 words: the bit length of the count.
    bits = np.bincount(np.frexp(words)[1])
    bins = [(1 << b >> 1, (1 << b) - 1, int(count)) for b, count in enumerate(bits)]
    return Lengths(
        min=int(words.min()),
        median=float(np.median(words)),
        mean=float(words.mean()),
        p95=float(np.percentile(words, 95)),
        max=int(words.max()),
        bins=bins[int(np.flatnonzero(bits)[0]) :],
    )


def _fatal(kept: int, words: int, documents: int) -> list[str]:
    problems = []
    if kept < MIN_DOCUMENTS:
        problems.append(
            f"{_count(kept, 'document')} left of {documents:,} without empty ones and duplicates; training needs "
            f"at least {MIN_DOCUMENTS}: give more text, or cut long files with --unit paragraph"
        )
    if words < MIN_WORDS:
        problems.append(f"{_count(words, 'word')} in all; training needs at least {MIN_WORDS:,}: give more text")
    return problems


def _lesser(documents: int, counts: dict[str, int], duplicate_ids: int, faults: int, blank: list[str]) -> list[str]:
    problems = []
    if faults:
        problems.append(f"{_count(faults, 'file')} could not be read to the end; see the faults")
    if blank:
        problems.append(f"{_count(len(blank), 'source')} without text, such as {blank[0]}")
    if duplicate_ids:
        problems.append(
            f"{_count(duplicate_ids, 'document')} with an id that an earlier one has; a search would mix them up"
        )
    problems += [f"{count / documents:.0%} {what}" for what, count in counts.items() if count * 10 > documents]
    return problems


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
