"""The gate: each of its rules refuses by itself, and what keeps to all of them passes."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inlay.adapt.config import Gate
from inlay.adapt.gate import Examiner, Shown, Verdict, best
from inlay.adapt.pairs import LABELLED
from inlay.evaluate.heldout import HeldOut
from inlay.evaluate.retrieval import Scores
from inlay.text.labelled import Alike

Q = 50
RNG = np.random.default_rng(0)
GENERAL = RNG.standard_normal((20, 8)).astype(np.float32)


def scores(mean: float) -> Scores:
    values = np.clip(np.random.default_rng(1).uniform(-0.05, 0.05, Q) + mean, 0, 1)
    return Scores(queries=[str(at) for at in range(Q)], values={"ndcg@10": values})


def examiner(gate: Gate | None = None, kinds: tuple[str, ...] = ("title", "sentence"), **more: Any) -> Examiner:
    texts = tuple(f"text {at}" for at in range(Q))
    held = HeldOut(
        positions=(),
        reduced=(),
        texts=texts,
        queries={kind: [f"{kind} {at}" for at in range(Q)] for kind in kinds},
        answers={kind: list(range(Q)) for kind in kinds},
    )
    return Examiner(held, "en", gate or Gate(), **more)


def shown(title: float = 0.5, sentence: float = 0.5, fused: float = 0.6, **more: Any) -> Shown:
    given: dict[str, Any] = {"general": GENERAL, "sts": None, "alike": np.zeros(0)}
    return Shown(
        dense={"title": scores(title), "sentence": scores(sentence)},
        fused={"title": scores(fused), "sentence": scores(fused)},
        **{**given, **more},
    )


NOISE = np.random.default_rng(2).standard_normal(GENERAL.shape).astype(np.float32)


def test_what_rises_everywhere_and_forgets_nothing_passes() -> None:
    verdict = examiner().judge(shown(), shown(0.55, 0.53, 0.61), 0.5, tries=4)
    assert verdict.passes
    assert verdict.gain == pytest.approx(0.04)
    assert verdict.line().startswith("0.5 of the way: nDCG@10 on held-out questions +0.040 (p 0.0002), agreement")
    assert verdict.line().endswith("1.000; passes")


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (shown(0.7, 0.499), "sentence questions -0.001 do not rise"),
        (shown(0.499, 0.7), "title questions -0.001 do not rise"),
        (shown(0.508, 0.508), r"a gain of \+0.008 is below 0.01"),
        (shown(0.55, 0.53, 0.599), "beside BM25 it falls by 0.001"),
        (shown(0.55, 0.53, 0.61, general=GENERAL + NOISE), "agreement with the base 0.* is below 0.95"),
        (shown(0.55, 0.53, 0.61, sts=0.8), "similarity falls from 0.820 to 0.800, by more than 0.01"),
    ],
)
def test_each_rule_refuses_by_itself(other: Shown, fault: str) -> None:
    verdict = examiner().judge(shown(sts=0.82), other, 1.0, tries=4)
    assert len(verdict.faults) == 1
    assert re.search(fault, verdict.faults[0])
    assert "is refused: " in verdict.line()


def test_a_small_fall_of_similarity_is_allowed() -> None:
    assert examiner().judge(shown(sts=0.82), shown(0.55, 0.53, 0.61, sts=0.812), 1.0, tries=4).passes


def test_a_gain_that_may_be_chance_is_refused_and_the_more_so_the_more_is_tried() -> None:
    noise = np.random.default_rng(3).normal(0.025, 0.12, Q)
    values = np.clip(scores(0.5).values["ndcg@10"] + noise, 0, 1)
    lucky = Scores(queries=[str(at) for at in range(Q)], values={"ndcg@10": values})
    other = replace(shown(fused=0.61), dense={"title": lucky, "sentence": lucky})
    p = examiner().judge(shown(), other, 1.0, tries=1).p
    assert 0.0005 < p < 0.5
    sure, strict = (examiner(Gate(p=min(1.0, 2 * p))).judge(shown(), other, 1.0, tries=n) for n in (1, 2))
    assert sure.passes
    assert strict.faults == (f"p {p:.2g} is not below {p:.2g}",)


def test_labelled_questions_must_rise_where_there_are_enough_and_mined_ones_must_not_fall() -> None:
    asked = examiner(kinds=("title", "sentence", LABELLED))

    def with_labelled(of: Shown, mean: float) -> Shown:
        return replace(of, dense={**of.dense, LABELLED: scores(mean)}, fused={**of.fused, LABELLED: scores(0.6)})

    base = with_labelled(shown(), 0.5)
    assert asked.judge(base, with_labelled(shown(), 0.6), 1.0, tries=1).passes
    fallen = asked.judge(base, with_labelled(shown(title=0.4), 0.6), 1.0, tries=1)
    assert fallen.faults == ("title questions fall by 0.100",)
    idle = asked.judge(base, with_labelled(shown(0.6, 0.6), 0.5), 1.0, tries=1)
    assert "labelled questions +0.000 do not rise" in idle.faults
    few = examiner(Gate(questions=60), kinds=("title", "sentence", LABELLED))
    assert few.judge(base, with_labelled(shown(0.6, 0.6), 0.6), 1.0, tries=1).passes


def test_the_order_of_scored_pairs_must_rise() -> None:
    rng = np.random.default_rng(0)
    pairs = [Alike(left="a", right="b", score=float(s)) for s in rng.uniform(0, 5, 80)]
    right = np.array([one.score for one in pairs])
    asked = examiner(alike=pairs)
    base = shown(alike=rng.uniform(0, 5, 80))
    good = asked.judge(base, shown(alike=right + rng.normal(0, 1, 80)), 1.0, tries=4)
    assert good.passes
    assert good.gain > 0.5
    same = asked.judge(base, base, 1.0, tries=4)
    assert same.gain == 0
    assert not same.passes


def test_the_best_that_passes_is_taken_and_of_equals_the_nearest() -> None:
    def verdict(share: float, gain: float, *faults: str) -> Verdict:
        return Verdict(share=share, gain=gain, p=0.01, agreement=1.0, figures={"measure": "x"}, faults=faults)

    assert best([verdict(0.25, 0.02), verdict(0.5, 0.03), verdict(1, 0.09, "no")]).share == 0.5  # type: ignore[union-attr]
    assert best([verdict(1, 0.02), verdict(0.5, 0.02)]).share == 0.5  # type: ignore[union-attr]
    assert best([verdict(0.5, 0.3, "no"), Verdict.refused(1, "not finite")]) is None


def test_too_few_questions_are_told() -> None:
    assert examiner(Gate(questions=2 * Q)).enough == ""
    assert (
        examiner(Gate(questions=2 * Q + 1)).enough
        == "100 held-out questions are fewer than 101, too few to show a gain"
    )
    assert examiner(alike=[Alike(left="a", right="b", score=1)]).enough.startswith(
        "1 held-out pairs with scores are fewer"
    )
