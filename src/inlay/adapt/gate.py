"""The gate: what a tuned model must show on held-out questions and on general text before it takes the base's place.

Questions mined from text tell kinds of models apart, and do not tell small variants of one apart: a little more on them
may be a little less on real ones. So every kind of question must rise, beyond doubt and by a stated amount, alone and
beside BM25, and what the base knew of general text must still be there. Whoever fails one of these is refused.
"""

# S general sentences, P labelled pairs, D dimensions, R resamples

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inlay.adapt.config import Gate
from inlay.adapt.general import agreement, correlations, cosines, general_sentences, similarity
from inlay.adapt.pairs import LABELLED
from inlay.embed.embedder import Embedder
from inlay.evaluate.choice import NONE, Bench, Member, Result, difference, drops, encoder_fusion, row
from inlay.evaluate.heldout import HeldOut
from inlay.evaluate.retrieval import Difference
from inlay.text.labelled import Alike

Array = NDArray[np.float32]
_METRIC = "ndcg@10"
_RESAMPLES, _AT_ONCE = 1000, 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What one set of weights showed."""

    dense: Result
    """Held-out questions, by vectors alone."""
    fused: Result
    """The same beside BM25."""
    general: Array
    """(S, D) the general sentences."""
    sts: float | None
    """Spearman with judgements of similarity, where there are such."""
    alike: NDArray[np.float64]
    """(P,) cosines of the labelled pairs that were held out."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether one set of weights passes, and the figures that say so."""

    share: float
    """How far it lies on the way from the base to the tuned weights."""
    gain: float
    """What the measure that decides has risen by."""
    p: float
    agreement: float
    figures: dict[str, Any]
    faults: tuple[str, ...]
    """What it failed; empty where it passes."""

    @property
    def passes(self) -> bool:
        return not self.faults

    @classmethod
    def refused(cls, share: float, fault: str) -> Self:
        """Of weights that could not even be asked."""
        return cls(share=share, gain=0.0, p=1.0, agreement=0.0, figures={"measure": "nothing"}, faults=(fault,))

    def line(self) -> str:
        """The verdict as a sentence for people."""
        what = "passes" if self.passes else f"is refused: {'; '.join(self.faults)}"
        return (
            f"{self.share:g} of the way: {self.figures['measure']} {self.gain:+.3f} (p {self.p:.2g}), agreement with "
            f"the base on general text {self.agreement:.3f}; {what}"
        )


class Examiner:
    """Asks every set of weights the same."""

    def __init__(
        self, held: HeldOut, lang: str, gate: Gate, *, judged: Sequence[Alike] = (), alike: Sequence[Alike] = ()
    ) -> None:
        self.held, self.gate = held, gate
        self.judged, self.alike = judged, alike
        self.bench = Bench(held, lang)
        self.fusion = replace(encoder_fusion(lang), feedback=NONE)
        self.sentences = general_sentences(lang)

    @property
    def enough(self) -> str:
        """Why nothing can be shown; empty where there are questions enough."""
        if self.alike:
            found, what = len(self.alike), "held-out pairs with scores"
        else:
            found, what = sum(len(self.held.queries[kind]) for kind in self._aims()), "held-out questions"
        if found >= self.gate.questions:
            return ""
        return f"{found} {what} are fewer than {self.gate.questions}, too few to show a gain"

    def look(self, name: str, embedder: Embedder) -> Shown:
        """What an embedder shows."""
        held = self.held
        answers = {
            query: vector
            for queries in held.queries.values()
            if queries
            for query, vector in zip(queries, embedder.encode(queries, prompt="query"), strict=True)
        }
        documents = embedder.encode(held.texts, prompt="document")
        member = Member.of_vectors(name, documents, answers, self.fusion)
        return Shown(
            dense=self.bench.dense(member),
            fused=self.bench.fused(member, [self.fusion])[0],
            general=embedder.encode(self.sentences),
            sts=similarity(*_sides(embedder, self.judged), [one.score for one in self.judged]) if self.judged else None,
            alike=cosines(*_sides(embedder, self.alike)) if self.alike else np.zeros(0),
        )

    def judge(self, base: Shown, other: Shown, share: float, *, tries: int) -> Verdict:
        """Whether `other` may take the base's place, one of `tries` that might have."""
        gate = self.gate
        faults: list[str] = []
        aims = self._aims()
        by_kind = {kind: round(other.dense[kind][_METRIC] - found[_METRIC], 6) for kind, found in base.dense.items()}
        if self.alike:
            rise, measure = self._correlation(base, other), "Spearman on held-out pairs"
        else:
            rise = difference({k: other.dense[k] for k in aims}, {k: base.dense[k] for k in aims})
            measure = "nDCG@10 on held-out questions"
            faults += [f"{kind} questions {by_kind[kind]:+.3f} do not rise" for kind in aims if by_kind[kind] <= 0]
        faults += [
            f"{kind} questions fall by {-by_kind[kind]:.3f}"
            for kind in base.dense
            if (self.alike or kind not in aims) and drops(other.dense[kind], base.dense[kind])
        ]
        if rise.mean < gate.gain:
            faults.append(f"a gain of {rise.mean:+.3f} is below {gate.gain:g}")
        if rise.p >= gate.p / tries:
            faults.append(f"p {rise.p:.2g} is not below {gate.p / tries:.2g}")
        beside = 0.0
        if not self.alike:
            beside = difference({k: other.fused[k] for k in aims}, {k: base.fused[k] for k in aims}).mean
            if beside < 0:
                faults.append(f"beside BM25 it falls by {-beside:.3f}")
        same = agreement(base.general, other.general)
        if same < gate.agreement:
            faults.append(f"agreement with the base {same:.3f} is below {gate.agreement:g}")
        if base.sts is not None and other.sts is not None and other.sts < base.sts - gate.sts:
            faults.append(f"similarity falls from {base.sts:.3f} to {other.sts:.3f}, by more than {gate.sts:g}")
        figures = {
            "measure": measure,
            "gain": round(rise.mean, 6),
            "low": round(rise.low, 6),
            "high": round(rise.high, 6),
            "p": round(rise.p, 6),
            "by_kind": by_kind,
            "beside_bm25": round(beside, 6),
            "agreement": round(same, 6),
            "sts": other.sts,
        }
        return Verdict(share=share, gain=rise.mean, p=rise.p, agreement=same, figures=figures, faults=tuple(faults))

    def row(self, name: str, what: str, shown: Shown, *, shipped: bool = False) -> dict[str, Any]:
        """One line of a ladder, as those of `evaluate.choice`."""
        return row(name, "dense", what, shown.dense, shipped=shipped)

    def _aims(self) -> list[str]:
        """The kinds of questions that must rise: labelled ones where they are enough, else all that were mined."""
        if len(self.held.queries.get(LABELLED, ())) >= self.gate.questions:
            return [LABELLED]
        return [kind for kind, queries in self.held.queries.items() if queries]

    def _correlation(self, base: Shown, other: Shown) -> Difference:
        """How much better cosines order the labelled pairs, with interval and p from resampled pairs."""
        scores = np.array([one.score for one in self.alike], np.float64)
        rng = np.random.default_rng(0)

        def gap(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            """(R, P) which pairs were drawn -> (R,)"""
            return correlations(other.alike[rows], scores[rows]) - correlations(base.alike[rows], scores[rows])

        (mean,) = gap(np.arange(len(scores))[None])
        draws = (rng.integers(0, len(scores), (_AT_ONCE, len(scores))) for _ in range(_RESAMPLES // _AT_ONCE))
        gaps = np.concatenate([gap(rows) for rows in draws])
        low, high = np.percentile(gaps, (2.5, 97.5))
        tail = min((gaps <= 0).sum(), (gaps >= 0).sum()) + 1
        p = min(1.0, float(2 * tail / (_RESAMPLES + 1)))
        return Difference(mean=float(mean), low=float(low), high=float(high), p=p)


def best(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The one that passes and gains most; of equals, the nearest to the base. None: all are refused."""
    passing = [verdict for verdict in verdicts if verdict.passes]
    return min(passing, key=lambda verdict: (-verdict.gain, verdict.share)) if passing else None


def _sides(embedder: Embedder, pairs: Sequence[Alike]) -> tuple[Array, Array]:
    return embedder.encode([one.left for one in pairs]), embedder.encode([one.right for one in pairs])
