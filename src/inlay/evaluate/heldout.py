"""Held-out questions from unlabelled text: a title asks for its body, a left-out sentence for its document."""

# Q queries, N documents searched

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.evaluate.retrieval import Scores, measure
from inlay.search.hybrid import top
from inlay.text.document import Document
from inlay.text.pairs import body_of, mine, sentences

KINDS = ("title", "sentence")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Documents kept out of training, the questions made of them, and the texts that are searched for the answers."""

    positions: tuple[int, ...]
    """Places in the corpus of the documents that were held out."""
    reduced: tuple[str, ...]
    """The held-out documents without their titles and without the sentence that asks for them. As unlabelled text
    they belong to what LSA sees, as the documents of a real search do; no training pair is made of them."""
    texts: tuple[str, ...]
    """(N,) what is searched: bodies without titles; the held-out ones without the sentence that asks for them."""
    queries: dict[str, list[str]]
    answers: dict[str, list[int]]
    """For each query the place of its document in `texts`."""

    @property
    def secret(self) -> list[str]:
        """Texts that no training pair may repeat."""
        return [query for queries in self.queries.values() for query in queries]


def hold_out(documents: Sequence[Document], *, seed: int, most: int = 400, searched: int = 10_000) -> HeldOut:
    """Ask for a fifth of the documents (at least twenty where there are forty, but at most `most`).

    A document takes part with a title query, a sentence query, or both; one that has neither a title of its own (one
    that several share asks for none of them) nor three sentences is not held out. At most `searched` documents are
    searched, the held-out ones always among them.
    """
    rng = np.random.default_rng([seed, 3])
    order = rng.permutation(len(documents))
    wanted = min(most, max(len(documents) // 5, min(len(documents) // 2, 20)))
    positions: list[int] = []
    texts: list[str] = []
    queries: dict[str, list[str]] = {kind: [] for kind in KINDS}
    answers: dict[str, list[int]] = {kind: [] for kind in KINDS}
    rest: list[str] = []
    shared = Counter(document.title.casefold() for document in documents)
    for position in order.tolist():
        document = documents[position]
        body = body_of(document)
        if len(positions) < wanted:
            pair = next(mine(document, position, rng, kinds=("sentence",), per_document=1), None)
            asks = bool(document.title and shared[document.title.casefold()] == 1 and sentences(body))
            if pair or asks:
                for kind, query in (
                    ("title", document.title if asks else ""),
                    ("sentence", pair.query if pair else ""),
                ):
                    if query:
                        queries[kind].append(query)
                        answers[kind].append(len(texts))
                positions.append(position)
                texts.append(pair.positive if pair else body)
                continue
        if len(rest) < searched:
            rest.append(body)
    reduced = tuple(texts)
    texts += rest[: max(searched - len(texts), 0)]
    # Ties fall to the document that stands first: the held-out ones must not all stand in front.
    mixed = rng.permutation(len(texts)).tolist()
    place = {before: now for now, before in enumerate(mixed)}
    return HeldOut(
        positions=tuple(positions),
        reduced=reduced,
        texts=tuple(texts[before] for before in mixed),
        queries=queries,
        answers={kind: [place[before] for before in befores] for kind, befores in answers.items()},
    )


def score(scores: NDArray[np.float32], answers: Sequence[int]) -> Scores:
    """The metrics of a method from its scores (Q, N) of all documents searched."""
    best = top(scores, 100)
    run = {str(query): [str(row) for row in rows] for query, rows in enumerate(best.tolist())}
    return measure(run, {str(query): {str(answer): 1} for query, answer in enumerate(answers)})
