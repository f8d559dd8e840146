"""The choice: rungs, BM25 and their fusions measured on held-out questions, and which of them is shipped, and why."""

# Q queries, N documents searched, D dimensions

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.embed.rungs import DEFAULT, UNTUNED
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


def encoder_fusion(lang: str) -> Fusion:
    """The fusion that is tried first with a general encoder, or with what was fitted to one: it knows more than the
    corpus tells, and weighs more; in Chinese as little as any other."""
    if lang == "zh":
        return Fusion(rule=ZSum(weight=0.25), feedback=NONE)
    return Fusion(rule=ZSum(weight=2), feedback=Feedback(strength=1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """A dense ranking of the documents that are searched, and how it stands beside BM25."""

    name: str
    """The rung."""
    label: str
    """What it is called in the lines of fusions."""
    index: Index
    ask: Callable[[Sequence[str]], NDArray[np.float32]]
    """The vectors (Q, D) of questions."""
    fusion: Fusion
    """What is tried first; weaker ones follow."""

    @classmethod
    def of_vectors(
        cls, name: str, documents: NDArray[np.float32], answers: dict[str, NDArray[np.float32]], fusion: Fusion
    ) -> Self:
        """The ranking by vectors (N, D) of the documents and one (D,) of each question, all made before."""

        def ask(texts: Sequence[str]) -> NDArray[np.float32]:
            return np.stack([answers[text] for text in texts])

        return cls(name=name, label=name, index=_index(documents), ask=ask, fusion=fusion)


class Bench:
    """Held-out questions and the indexes that answer them; one lexical index serves every method."""

    def __init__(self, held: HeldOut, lang: str) -> None:
        self.held, self.lang = held, lang
        self.lexical = Lexical.build(held.texts, lang)

    def lexical_only(self) -> Result:
        """BM25 alone."""
        return self._measure(lambda texts: self.lexical.scores(self.lexical.queries(texts)))

    def member(self, name: str, embedder: Embedder, *, fusion: Fusion | None = None, label: str = "dense") -> Member:
        """An embedder as a ranking of the documents that are searched."""
        index = _index(embedder.encode(self.held.texts, prompt="document"))
        fusion = fusion or default_fusion(self.lang)
        return Member(name=name, label=label, index=index, ask=partial(_ask, embedder), fusion=fusion)

    def dense(self, member: Member) -> Result:
        """A ranking alone."""
        return self._measure(lambda texts: member.index.scores(member.ask(texts)))

    def fused(self, member: Member, fusions: Sequence[Fusion]) -> list[Result]:
        """A ranking beside BM25, by each of the fusions."""
        rankers = [Ranker(self.lexical, member.index, fusion) for fusion in fusions]
        return [self._measure(partial(_fused, member, ranker)) for ranker in rankers]

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
    bench: Bench, members: Sequence[Member], reasons: Sequence[str], *, ship: str | None = None
) -> tuple[list[dict[str, Any]], Choice]:
    """BM25 alone and beside each member, measured: the lines of the ladder, BM25's first, and the choice.

    The first member is the default. `ship` names the one that is taken whatever is measured.
    """
    lexical = bench.lexical_only()
    beside = {member.name: bench.fused(member, [replace(member.fusion, feedback=NONE)])[0] for member in members}
    name, why = choose_member(beside, members[0].name, ship)
    taken = next(member for member in members if member.name == name)
    tried = weaker(taken.fusion)
    *lighter, ranks = bench.fused(taken, [*(replace(fusion, feedback=NONE) for fusion in tried[1:]), RRF])
    plain = [beside[name], *lighter]
    mode, chosen, reason = choose_search(lexical, plain, tried, taken.label)
    hybrid, fed = mode == "hybrid", bool(chosen.feedback.strength)
    rows = [row("bm25", "lexical", "BM25 over analyzed terms", lexical, shipped=not hybrid)]
    for member in members:
        if member is not taken:
            title = f"bm25 + {_share(member.fusion)} {member.label}"
            rows.append(row(title, "hybrid", f"z-sum with {member.name}", beside[member.name]))
    rows.append(row(f"bm25 rrf {taken.label}", "hybrid", f"BM25 and {name} by reciprocal ranks", ranks))
    for fusion, result in zip(tried, plain, strict=True):
        shipped = hybrid and not fed and fusion == chosen
        title = f"bm25 + {_share(fusion)} {taken.label}"
        rows.append(row(title, "hybrid", f"z-sum with {name}", result, shipped=shipped))
    told = [*reasons, *why, reason]
    if hybrid and fed:
        title = f"bm25 + {_share(chosen)} {taken.label} + feedback"
        fed_result = bench.fused(taken, [chosen])[0]
        rows.append(row(title, "hybrid", f"z-sum with {name}, one pass of feedback", fed_result, shipped=True))
        told.append(
            "feedback is on by default in this language: it finds further documents on a subject, "
            "which questions about one known document cannot show"
        )
    return rows, Choice(dense=name, mode=mode, fusion=chosen, why=tuple(told))


def choose_member(fused: dict[str, Result], default: str, ship: str | None = None) -> tuple[str, list[str]]:
    """The member to search with, from their fusions with BM25, and why: the default, unless another is better beyond
    doubt; the one in `ship` where that was asked for."""
    if ship is not None:
        return ship, [f"{ship} is shipped because that was asked for; beside BM25 it reaches {mean(fused[ship]):.3f}"]
    if len(fused) == 1:
        return default, []
    if questions(fused[default]) < _FEWEST:
        return default, [f"{questions(fused[default])} questions are too few to compare; {default} is the default"]
    best = max(fused, key=lambda name: mean(fused[name]))
    others = ", ".join(f"{name} {mean(found):.3f}" for name, found in fused.items() if name != default)
    if best != default:
        gain = difference(fused[best], fused[default])
        if gain.mean > 0 and gain.p < _CERTAIN / (len(fused) - 1):
            return best, [f"BM25 + {best} beats BM25 + {default} by {gain.mean:.3f} [{gain.low:.3f}, {gain.high:.3f}]"]
    return default, [
        f"BM25 + {default} ({mean(fused[default]):.3f}) did best on other corpora, and beside BM25 no other is "
        f"certainly better ({others})"
    ]


def weaker(fusion: Fusion) -> list[Fusion]:
    """The fusion with its dense weight as it is, halved and quartered: what is tried until nothing drops."""
    assert isinstance(fusion.rule, ZSum)
    return [replace(fusion, rule=ZSum(weight=fusion.rule.weight / part)) for part in (1, 2, 4)]


def choose_search(
    lexical: Result, fused: Sequence[Result], fusions: Sequence[Fusion], label: str = "dense"
) -> tuple[Mode, Fusion, str]:
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
                f"BM25 + {_share(fusion)} × {label} drops on no kind of question against BM25 ({gains})",
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


def _fused(member: Member, ranker: Ranker, texts: Sequence[str]) -> NDArray[np.float32]:
    return ranker.scores(texts, member.ask(texts))


def _ask(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    return embedder.encode(texts, prompt="query")


def _index(vectors: NDArray[np.float32]) -> Index:
    index = Index(vectors.shape[1])
    index.add([str(row) for row in range(len(vectors))], vectors)
    return index
