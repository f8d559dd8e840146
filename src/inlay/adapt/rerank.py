"""Rerank: a base encoder and documents in; a cross-encoder that orders what BM25 finds out, if it orders it better.

pairs with hard negatives → learn → what BM25 finds for held-out questions, ordered anew and measured.
"""

# Q queries, N documents, K candidates

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.adapt.negatives import with_hard
from inlay.adapt.pairs import LABELLED, Pairs, answered, apart_from, mined, split_answered, with_labelled
from inlay.adapt.rerank_config import Bar, RerankConfig
from inlay.adapt.rerank_model import learn, untrained
from inlay.config import to_tree
from inlay.embed.embedder import Embedder
from inlay.embed.folder import Parts, read_folder, verify
from inlay.embed.reranker import Reranker
from inlay.errors import InputError
from inlay.evaluate.choice import Bench, Result, difference, drops, row
from inlay.evaluate.heldout import HeldOut, score
from inlay.files import lock, read_json, sha256, write_json, write_text
from inlay.live import Live, say
from inlay.search.hybrid import top
from inlay.stages import Run, fingerprint
from inlay.text.document import Document
from inlay.text.labelled import Alike, Answered

MODEL, _BROKEN, _REPORT = "model", "broken.json", "report.json"
_METRIC = "ndcg@10"
_PROBES = 8
"""Documents by whose vectors an embedder is known again."""


@dataclass(frozen=True, kw_only=True)
class RerankReport:
    """Whether there is a reranker worth keeping, and what was measured."""

    kept: bool
    why: tuple[str, ...]
    """The reasons, with their figures."""
    rows: tuple[dict[str, Any], ...]
    """Lines of a ladder: BM25, and BM25 ordered anew."""
    figures: dict[str, Any]
    """What was asked of the difference."""
    model: Path | None
    """The folder of the reranker; None: it was no better, and none is to be used."""
    learnt: dict[str, int]
    """How much was learnt from: pairs, negatives."""
    stages: tuple[dict[str, Any], ...]
    """What each stage cost."""

    def tree(self) -> dict[str, Any]:
        """A plain tree for JSON."""
        return {**vars(self), "why": list(self.why), "model": None if self.model is None else str(self.model)}


def train_reranker(
    base: str | Path,
    documents: Sequence[Document],
    held: HeldOut,
    lang: str,
    config: RerankConfig,
    folder: Path,
    *,
    seed: int,
    given: Sequence[Answered] | Sequence[Alike] = (),
    embedder: Embedder | None = None,
) -> RerankReport:
    """Train a cross-encoder from `base` on the documents, and keep it only where it orders held-out questions better.

    `held` says which documents are kept out of every pair, and asks the questions. `given` are labelled pairs, which
    take the place of mined ones: a fifth of them is held out. Hard negatives are what BM25, and `embedder` if there is
    one, take for an answer. The work stands in `folder`, where the same call goes on after a break; same seed and
    threads, same result. Raises InputError for a base that is no encoder, for pairs that nothing can be learnt from,
    and for a folder of other work.
    """
    parts = read_folder(base)
    if parts.kind == "static":
        raise InputError(f"{base}: is a static model, and a reranker is made of an encoder; take one as the base")
    verify(parts)
    if any(isinstance(one, Alike) for one in given):
        raise InputError("pairs with scores name no query and no answer; give a reranker query, positive, negatives")
    own = [one for one in given if isinstance(one, Answered)]
    pairs, held = _pairs(documents, held, config, own, seed=seed)
    task = _Task(parts, documents, held, lang, config, seed, pairs, bool(own), embedder)
    questions = sum(map(len, held.queries.values()))
    if questions < config.bar.questions:
        few = f"{questions} held-out questions are fewer than {config.bar.questions}, too few to show a gain"
        why = f"none is kept: {few}"
        return RerankReport(
            kept=False, why=(why,), rows=(), figures={}, model=None, learnt={"pairs": len(pairs)}, stages=()
        )
    untrained(parts, config, seed=seed)  # a base that cannot be one is told before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        work = Run(folder, task.identity(), resume=True)
        mined_pairs = work.stage("pairs", task.find_negatives)
        tuned = work.stage("tuned", lambda part: task.learn(mined_pairs, folder, part))
        judged = work.stage("judged", lambda part: task.judge(tuned, part))
    told = read_json(judged / _REPORT)
    return RerankReport(
        kept=told["kept"],
        why=tuple(told["why"]),
        rows=tuple(told["rows"]),
        figures=told["figures"],
        model=tuned / MODEL if told["kept"] else None,
        learnt=read_json(mined_pairs / "learnt.json"),
        stages=tuple(work.costs),
    )


def _pairs(
    documents: Sequence[Document], held: HeldOut, config: RerankConfig, given: Sequence[Answered], *, seed: int
) -> tuple[Pairs, HeldOut]:
    """What is learnt from, and what is asked: with a part of the labelled pairs, where there are some."""
    if not given:
        return mined(documents, held, config.pairs, seed=seed), held
    learnt, asked = split_answered(answered(given), seed=seed)
    held = with_labelled(held, asked)
    return apart_from(learnt, held.secret), held


@dataclass(frozen=True, eq=False)
class _Task:
    """What is to be done, each step a stage that reads what the ones before left on disk."""

    parts: Parts
    documents: Sequence[Document]
    held: HeldOut
    lang: str
    config: RerankConfig
    seed: int
    pairs: Pairs
    labelled: bool
    embedder: Embedder | None

    def identity(self) -> dict[str, Any]:
        """What must be equal for the work to be gone on with."""
        from inlay import __version__

        held, pairs = self.held, self.pairs
        return {
            "inlay": __version__,
            "base": {path.name: sha256(path) for path in sorted(self.parts.inner.glob("*.safetensors"))},
            "documents": fingerprint([document.full for document in self.documents]),
            "held_out": fingerprint([list(held.positions), held.queries, list(held.texts)]),
            "pairs": fingerprint([pairs.queries, pairs.positives, pairs.negatives]),
            "lang": self.lang,
            "config": to_tree(self.config),
            "embedder": self._embedder(),
            "seed": self.seed,
        }

    def _embedder(self) -> str | None:
        """What it makes of some documents, each alone, so that its bits are the same again."""
        if self.embedder is None:
            return None
        texts = [document.full for document in self.documents[:_PROBES]]
        return fingerprint([self.embedder.encode([text]).tobytes().hex() for text in texts])

    def find_negatives(self, part: Path) -> None:
        secret = set(self.held.positions)
        rest = [at for at in range(len(self.documents)) if at not in secret]
        found = with_hard(
            self.pairs,
            self.documents,
            rest,
            self.embedder,
            self.lang,
            self.config.negatives,
            labelled=self.labelled,
            seed=self.seed,
        )
        told = found.select([at for at in range(len(found)) if found.negatives[at] and found.queries[at].strip()])
        if not len(told):
            raise InputError("no pair has a text that is a wrong answer to its query; give more documents")
        rows = zip(told.queries, told.positives, told.negatives, told.groups.tolist(), strict=True)
        write_text(part / "pairs.json", json.dumps(list(rows)))
        write_json(part / "learnt.json", {"pairs": len(told), "negatives": sum(map(len, told.negatives))})

    def learn(self, pairs: Path, folder: Path, part: Path) -> None:
        from inlay.train.trainer import NotFinite

        found = read_json(pairs / "pairs.json")
        queries, positives, negatives, groups = (list(column) for column in zip(*found, strict=True))
        told = Pairs(queries, positives, [tuple(one) for one in negatives], np.array(groups, np.int64))
        reranker = untrained(self.parts, self.config, seed=self.seed)
        try:
            learn(reranker, told, self.config, folder / "tuned.run", seed=self.seed)
        except NotFinite as error:
            write_json(part / _BROKEN, str(error))
            return
        reranker.save(part / MODEL)

    def judge(self, tuned: Path, part: Path) -> None:
        """Measure BM25, and BM25 ordered anew; what was found, and whether that is enough, is written down."""
        if (tuned / _BROKEN).is_file():
            why = [f"none is kept: the training broke off ({read_json(tuned / _BROKEN)})"]
            write_json(part / _REPORT, {"kept": False, "why": why, "rows": [], "figures": {}})
            return
        before, after = ordered_anew(self.held, self.lang, Reranker.load(tuned / MODEL), self.config.candidates)
        faults, figures = compared(before, after, self.config.bar)
        what = f"nDCG@10 {figures['gain']:+.3f} [{figures['low']:+.3f}, {figures['high']:+.3f}] (p {figures['p']:.2g})"
        head = f"the reranker is kept: {what} against BM25 alone"
        why = [head] if not faults else [f"none is kept: {what} against BM25 alone", *faults]
        say(why[0])
        rows = [
            row("bm25", "lexical", "BM25 over analyzed terms", before, shipped=False),
            row("bm25 + reranker", "reranked", f"its best {self.config.candidates} read anew", after),
        ]
        write_json(part / _REPORT, {"kept": not faults, "why": why, "rows": rows, "figures": figures})


def ordered_anew(held: HeldOut, lang: str, reranker: Reranker, candidates: int) -> tuple[Result, Result]:
    """The scores of BM25 on held-out questions, and of the same with its best `candidates` ordered by the reranker."""
    bench = Bench(held, lang)
    before, after = bench.lexical_only(), Result()
    total = sum(map(len, held.queries.values()))
    with Live("rerank", total, "questions") as live:
        for kind, queries in held.queries.items():
            if not queries:
                continue
            found = bench.lexical.scores(bench.lexical.queries(queries))  # (Q, N)
            for query, scores, best in zip(queries, found, top(found, candidates), strict=True):
                _lift(scores, best, reranker.order(query, [held.texts[at] for at in best]))
                live.advance(1)
            after[kind] = score(found, held.answers[kind])
    return before, after


def compared(before: Result, after: Result, bar: Bar) -> tuple[list[str], dict[str, Any]]:
    """What the second failed of the bar, none where it passes, and the figures.

    Labelled questions, where they are enough, are what must rise; mined ones must only not fall then.
    """
    labelled = before.get(LABELLED)
    aims = [LABELLED] if labelled is not None and len(labelled.queries) >= bar.questions else list(before)
    rise = difference({kind: after[kind] for kind in aims}, {kind: before[kind] for kind in aims})
    by_kind = {kind: round(after[kind][_METRIC] - found[_METRIC], 6) for kind, found in before.items()}
    faults = [f"{kind} questions fall by {-by_kind[kind]:.3f}" for kind in before if drops(after[kind], before[kind])]
    if rise.mean < bar.gain:
        faults.append(f"a gain of {rise.mean:+.3f} is below {bar.gain:g}")
    if rise.p >= bar.p:
        faults.append(f"p {rise.p:.2g} is not below {bar.p:g}")
    figures = {"gain": rise.mean, "low": rise.low, "high": rise.high, "p": rise.p}
    return faults, {name: round(value, 6) for name, value in figures.items()} | {"by_kind": by_kind}


def forget(folder: Path) -> None:
    """Remove the work, once what came of it stands elsewhere or is not to be used."""
    shutil.rmtree(folder, ignore_errors=True)


def _lift(scores: NDArray[np.float32], best: NDArray[np.int64], order: Sequence[tuple[int, float]]) -> None:
    """Give the candidates the highest scores of all, in this order."""
    ahead = float(scores.max(initial=0)) + 1
    for place, (at, _) in enumerate(order):
        scores[best[at]] = ahead + len(order) - place
