"""The choice: rungs, BM25 and their fusions measured on held-out questions, and which of them is shipped, and why."""

# Q queries, N documents searched, D dimensions

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.embed.rungs import DEFAULT, UNTUNED
from inlay.embed.static import StaticEmbedder
from inlay.evaluate.heldout import HeldOut, score
from inlay.evaluate.retrieval import Difference, Scores, paired
from inlay.search.hybrid import Feedback, Fusion, Mode, Ranker, ReciprocalRank, ZSum
from inlay.search.index import Index
from inlay.search.lexical import Lexical

METRICS = ("ndcg@10", "mrr@10", "recall@10")
NONE = Feedback(strength=0)
RRF = Fusion(rule=ReciprocalRank(), feedback=NONE)
_METRIC = "ndcg@10"
_BLOCK = 200
_FEWEST = 20
"""Questions below which a comparison says nothing."""
_CERTAIN = 0.05
"""Two-sided p below which another rung is believed to be better, shared among all that might be."""
_DOUBT = 0.2
"""Two-sided p below which a fall is believed: nine to one that it is one."""

Result = dict[str, Scores]
"""The scores of one method for each kind of question."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is shipped: the dense rung, how it is fused with BM25, and why."""

    dense: str
    mode: Mode
    fusion: Fusion
    why: tuple[str, ...]

    def tree(self) -> dict[str, Any]:
        """A plain tree for inlay.json."""
        weight = self.fusion.rule.weight if isinstance(self.fusion.rule, ZSum) else None
        strength = self.fusion.feedback.strength
        return {"dense": self.dense, "mode": self.mode, "weight": weight, "feedback": strength, "why": list(self.why)}


def default_fusion(lang: str) -> Fusion:
    """The fusion that is tried first: a default of the language, never chosen on the corpus at hand.

    In Chinese BM25 over characters and words is nearly always right: a little of the dense ranking helps, feedback
    only adds noise.
    """
    if lang == "zh":
        return Fusion(rule=ZSum(weight=0.2), feedback=NONE)
    return Fusion(rule=ZSum(weight=0.75), feedback=Feedback(strength=1))


class Bench:
    """Held-out questions and the indexes that answer them; one lexical index serves every method."""

    def __init__(self, held: HeldOut, lang: str) -> None:
        self.held = held
        self.lexical = Lexical.build(held.texts, lang)

    def lexical_only(self) -> Result:
        """BM25 alone."""
        return self._measure(lambda texts: self.lexical.scores(self.lexical.queries(texts)))

    def dense(self, embedder: StaticEmbedder) -> Result:
        """An embedder alone."""
        index = self._index(embedder)
        return self._measure(lambda texts: index.scores(embedder.encode(texts)))

    def fused(self, embedder: StaticEmbedder, fusions: Sequence[Fusion]) -> list[Result]:
        """An embedder beside BM25, by each of the fusions."""
        index = self._index(embedder)
        rankers = [Ranker(self.lexical, index, fusion) for fusion in fusions]
        return [self._measure(partial(_fused, embedder, ranker)) for ranker in rankers]

    def _index(self, embedder: StaticEmbedder) -> Index:
        index = Index(embedder.dim)
        index.add([str(row) for row in range(len(self.held.texts))], embedder.encode(self.held.texts))
        return index

    def _measure(self, scores: Callable[[Sequence[str]], NDArray[np.float32]]) -> Result:
        result: Result = {}
        for kind, queries in self.held.queries.items():
            if queries:
                blocks = [scores(queries[at : at + _BLOCK]) for at in range(0, len(queries), _BLOCK)]
                result[kind] = score(np.concatenate(blocks), self.held.answers[kind])
        return result


def choose_dense(results: dict[str, Result]) -> tuple[str, str]:
    """The dense rung to ship and a sentence that says why: the default, unless another is better beyond doubt."""
    if DEFAULT not in results:
        return UNTUNED, f"the text gives too few pairs to tune on, so {UNTUNED} is taken"
    default = results[DEFAULT]
    if questions(default) < _FEWEST:
        return DEFAULT, f"{questions(default)} held-out questions are too few to compare rungs, so {DEFAULT} is taken"
    best = max(results, key=lambda name: mean(results[name]))
    if best == DEFAULT:
        return DEFAULT, f"{DEFAULT} is the best dense rung: nDCG@10 {mean(default):.3f} on held-out questions"
    gain = difference(results[best], default)
    # The best of several rivals looks better by chance more often than one does (Bonferroni).
    if gain.mean > 0 and gain.p < _CERTAIN / (len(results) - 1):
        return best, f"{best} beats {DEFAULT} by {gain.mean:.3f} [{gain.low:.3f}, {gain.high:.3f}] nDCG@10"
    return DEFAULT, (
        f"{best} ({mean(results[best]):.3f}) is not certainly better than {DEFAULT} ({mean(default):.3f}), "
        "which did best on other corpora"
    )


def decide(
    bench: Bench, embedder: StaticEmbedder, dense: str, why: str, lang: str
) -> tuple[list[dict[str, Any]], Choice]:
    """BM25 alone and beside the dense rung, measured: the lines of the ladder, BM25's first, and the choice."""
    lexical = bench.lexical_only()
    tried = weaker(default_fusion(lang))
    *plain, ranks = bench.fused(embedder, [*(replace(fusion, feedback=NONE) for fusion in tried), RRF])
    mode, chosen, reason = choose_search(lexical, plain, tried)
    hybrid, fed = mode == "hybrid", bool(chosen.feedback.strength)
    rows = [
        row("bm25", "lexical", "BM25 over analyzed terms", lexical, shipped=not hybrid),
        row("bm25 rrf dense", "hybrid", f"BM25 and {dense} by reciprocal ranks", ranks),
    ]
    for fusion, result in zip(tried, plain, strict=True):
        shipped = hybrid and not fed and fusion == chosen
        rows.append(row(f"bm25 + {_share(fusion)} dense", "hybrid", f"z-sum with {dense}", result, shipped=shipped))
    reasons = [why, reason]
    if hybrid and fed:
        name, what = f"bm25 + {_share(chosen)} dense + feedback", f"z-sum with {dense}, one pass of feedback"
        rows.append(row(name, "hybrid", what, bench.fused(embedder, [chosen])[0], shipped=True))
        reasons.append(
            "feedback is on by default in this language: it finds further documents on a subject, "
            "which questions about one known document cannot show"
        )
    return rows, Choice(dense=dense, mode=mode, fusion=chosen, why=tuple(reasons))


def weaker(fusion: Fusion) -> list[Fusion]:
    """The fusion with its dense weight as it is, halved and quartered: what is tried until nothing drops."""
    assert isinstance(fusion.rule, ZSum)
    return [replace(fusion, rule=ZSum(weight=fusion.rule.weight / part)) for part in (1, 2, 4)]


def choose_search(lexical: Result, fused: Sequence[Result], fusions: Sequence[Fusion]) -> tuple[Mode, Fusion, str]:
    """The strongest fusion under which neither kind of question drops below BM25; BM25 alone where each would.

    `fused` are measured without feedback: a question about a known document undervalues it, so that it is a fixed
    default of the language and not chosen here.
    """
    if questions(lexical) < _FEWEST:
        return "hybrid", fusions[0], "too few questions to compare with BM25, so the default fusion is taken"
    for result, fusion in zip(fused, fusions, strict=True):
        if not any(drops(result[kind], lexical[kind]) for kind in lexical):
            gains = ", ".join(f"{kind} {result[kind][_METRIC] - lexical[kind][_METRIC]:+.3f}" for kind in lexical)
            return (
                "hybrid",
                fusion,
                f"BM25 + {_share(fusion)} × dense drops on no kind of question against BM25 ({gains})",
            )
    return "lexical", fusions[0], "every fusion drops against BM25 on some kind of question, so BM25 alone answers"


def drops(result: Scores, before: Scores) -> bool:
    """Whether the mean falls, with odds of nine to one that this is not chance."""
    change = paired(result, before, _METRIC)
    return change.mean < 0 and change.p < _DOUBT


def mean(result: Result) -> float:
    """Mean nDCG@10 over the kinds of questions."""
    return float(np.mean([scores[_METRIC] for scores in result.values()])) if result else 0.0


def questions(result: Result) -> int:
    """Questions in all."""
    return sum(len(scores.queries) for scores in result.values())


def difference(a: Result, b: Result) -> Difference:
    """`a` minus `b` over all questions, each kind weighing the same."""
    return paired(_pooled(a), _pooled(b), _METRIC)


def row(
    name: str, kind: str, what: str, result: Result, *, seconds: float = 0.0, shipped: bool = False
) -> dict[str, Any]:
    """One line of the ladder as a plain tree."""
    scores: dict[str, Any] = {}
    for question, found in result.items():
        low, high = found.interval(_METRIC)
        scores[question] = {metric: found[metric] for metric in METRICS} | {"low": low, "high": high}
    head = {"name": name, "kind": kind, "what": what, "scores": scores}
    return head | {"mean": mean(result), "seconds": round(seconds, 3), "shipped": shipped}


def _share(fusion: Fusion) -> str:
    return f"{fusion.rule.weight:g}" if isinstance(fusion.rule, ZSum) else "1"


def _pooled(result: Result) -> Scores:
    # Weighed so that the mean over all questions is the mean over kinds.
    total = questions(result)
    parts = [scores.values[_METRIC] * total / (len(result) * len(scores.queries)) for scores in result.values()]
    values: NDArray[np.float64] = np.concatenate(parts)
    return Scores(queries=[str(at) for at in range(len(values))], values={_METRIC: values})


def _fused(embedder: StaticEmbedder, ranker: Ranker, texts: Sequence[str]) -> NDArray[np.float32]:
    return ranker.scores(texts, embedder.encode(texts))
