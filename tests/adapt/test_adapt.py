"""Adaptation from end to end on a corpus that can be learnt: what passes, what is refused, breaks and repeats."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_base import OPEN, QUICK, base, documents, held

import inlay
from inlay.adapt import tuning
from inlay.adapt.adapt import AdaptReport, adapt
from inlay.adapt.config import MLM, TSDAE, AdaptConfig, Contrast, Gate, Hard
from inlay.adapt.gate import Examiner
from inlay.convert import load_model
from inlay.errors import InputError
from inlay.evaluate.heldout import HeldOut, hold_out
from inlay.files import sha256
from inlay.text.labelled import Alike, Answered
from inlay.tokenize.extend import Extend
from inlay.train.trainer import Trainer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base(tmp_path_factory.mktemp("base"))


def adapted(place: Path, folder: Path, config: AdaptConfig = QUICK, seed: int = 0, **more: Any) -> AdaptReport:
    return adapt(place, documents(), held(), "en", config, folder / "work", seed=seed, **more)


def briefly(place: Path, folder: Path, config: AdaptConfig, seed: int = 0) -> AdaptReport:
    """On so few documents that nothing is shown but how the work is done."""
    few = documents()[:60]
    return adapt(place, few, hold_out(few, seed=0), "en", config, folder / "work", seed=seed)


def short(steps: int = 4, **of: Any) -> AdaptConfig:
    assert QUICK.tuning is not None
    return replace(QUICK, tuning=replace(QUICK.tuning, steps=steps, batch=8, **of), shares=(1.0,))


def sums(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def learnt(place: Path, tmp_path_factory: pytest.TempPathFactory) -> AdaptReport:
    return adapted(place, tmp_path_factory.mktemp("learnt"))


def test_tuning_on_pairs_that_can_be_learnt_raises_every_kind_of_question(learnt: AdaptReport) -> None:
    before, *_, after = learnt.rows
    assert learnt.kept
    for kind in ("title", "sentence"):
        assert after["scores"][kind]["ndcg@10"] > before["scores"][kind]["ndcg@10"] + 0.3
    assert learnt.share in QUICK.shares
    assert learnt.why[0].startswith(f"the tuned model is kept at {learnt.share:g} of the way")


def test_the_model_that_is_kept_opens_and_gives_what_was_measured(learnt: AdaptReport) -> None:
    found = Examiner(held(), "en", OPEN).look("again", inlay.load(learnt.model))
    told = next(row for row in learnt.rows if row["name"] == f"tuned {learnt.share:g}")
    for kind, scores in found.dense.items():
        assert scores["ndcg@10"] == pytest.approx(told["scores"][kind]["ndcg@10"], abs=1e-6)


def test_the_report_is_a_plain_tree(learnt: AdaptReport) -> None:
    tree = json.loads(json.dumps(learnt.tree(), allow_nan=False))
    assert tree["kept"] is True
    assert tree["learnt"] == {"pairs": 480, "negatives": 0}


@pytest.mark.parametrize("lr", [3.0, 1e30])
def test_a_harmful_tuning_is_refused_and_the_base_kept_bit_for_bit(lr: float, place: Path, tmp_path: Path) -> None:
    before = sums(place)
    report = briefly(place, tmp_path, short(lr=lr))
    assert not report.kept
    assert report.share is None
    assert report.model == place
    assert sums(place) == before
    assert report.why[0].startswith("the base is kept: ")
    assert not list((tmp_path / "work").rglob("chosen/model"))


def judged_anew(place: Path, learnt: AdaptReport, gate: Gate, judged: list[Alike]) -> tuple[str, ...]:
    """What the gate has against the model that was learnt, asked again."""
    examiner = Examiner(held(), "en", gate, judged=judged)
    before, after = (examiner.look(str(one), inlay.load(one)) for one in (place, learnt.model))
    found = examiner.judge(before, after, 1.0, tries=1)
    assert found.gain > 0.3
    return found.faults


def test_what_forgets_general_text_is_refused_however_much_it_gains(place: Path, learnt: AdaptReport) -> None:
    (fault,) = judged_anew(place, learnt, replace(OPEN, agreement=0.95), [])
    assert re.fullmatch(r"agreement with the base 0\.\d+ is below 0\.95", fault)


def test_judgements_of_likeness_may_not_fall(place: Path, learnt: AdaptReport) -> None:
    vectors = inlay.load(place).encode(texts := [f"thing{i} word{i % 9}" for i in range(40)])
    judged = [
        Alike(left=texts[i], right=texts[j], score=float(vectors[i] @ vectors[j]))
        for i, j in np.random.default_rng(0).integers(0, 40, (60, 2)).tolist()
    ]
    (fault,) = judged_anew(place, learnt, OPEN, judged)
    assert re.fullmatch(r"similarity falls from 1\.000 to 0\.\d+, by more than 0\.01", fault)


def test_the_same_seed_gives_the_same_bits_and_another_one_others(place: Path, tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = short(negatives=Hard(), anchor=0.5, chunk=64, dims=(8,))
        briefly(place, tmp_path / name, replace(config, text=MLM(steps=2, batch=4)), seed)
        found.append(sha256(tmp_path / name / "work" / "tuned" / "model" / "model.safetensors"))
    assert found[0] == found[1] != found[2]


def test_work_that_broke_off_goes_on_and_ends_as_if_it_had_not(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_CHECKPOINT", 2)
    whole = briefly(place, tmp_path / "whole", short(6))
    update: Callable[..., Any] = Trainer._update

    def broken(self: Trainer, *given: Any) -> Any:
        if self.step == 3:
            raise KeyboardInterrupt
        return update(self, *given)

    monkeypatch.setattr(Trainer, "_update", broken)
    with pytest.raises(KeyboardInterrupt):
        briefly(place, tmp_path / "broken", short(6))
    work = tmp_path / "broken" / "work"
    assert not (work / "tuned").exists()
    assert [path.name for path in (work / "tuned.run" / "checkpoints").glob("step-*")] == ["step-2"]
    monkeypatch.setattr(Trainer, "_update", update)
    again = briefly(place, tmp_path / "broken", short(6))
    one, other = (
        sha256(tmp_path / name / "work" / "tuned" / "model" / "model.safetensors") for name in ("whole", "broken")
    )
    assert one == other
    assert again.figures == whole.figures
    assert not (work / "tuned.run").exists()


@pytest.mark.parametrize("text", [MLM(steps=3, batch=4), TSDAE(steps=3, batch=4)], ids=["MLM", "TSDAE"])
def test_text_alone_can_be_learnt_from_and_leaves_no_head_behind(text: Any, place: Path, tmp_path: Path) -> None:
    report = briefly(place, tmp_path, replace(QUICK, text=text, tuning=None, shares=(0.5,)))
    assert [row["name"] for row in report.rows] == ["base", "tuned 0.5"]
    before, after = load_model(place), load_model(tmp_path / "work" / "text" / "model")
    assert before.config == after.config
    assert not torch.equal(before.input.token.weight, after.input.token.weight)


def test_words_of_the_text_become_tokens(place: Path, tmp_path: Path) -> None:
    config = replace(short(), vocabulary=Extend(words=5, min_count=5, numbers=True, heldout=0))
    added = [replace(one, text=f"{one.text} cardiogram." * 2) for one in documents()]
    report = adapt(place, added, held(), "en", config, tmp_path / "work", seed=0)
    assert report.learnt["words"] >= 1
    tokenizer = inlay.Tokenizer.load(tmp_path / "work" / "tuned" / "model")
    assert tokenizer.tokens("cardiogram") == ["cardiogram"]
    assert report.rows[1]["name"] == "tuned 1"


def test_labelled_pairs_take_the_place_of_mined_ones_and_are_asked_for(place: Path, tmp_path: Path) -> None:
    given = [Answered(query=one.title, positive=one.text) for one in documents()]
    report = adapted(place, tmp_path, replace(short(), gate=replace(OPEN, questions=30)), given=given)
    learnt = [query for query, *_ in json.loads((tmp_path / "work" / "pairs" / "pairs.json").read_text())]
    assert report.learnt["pairs"] == len(learnt) > 100
    assert not set(learnt) & set(held().secret)  # though they were among those that were given
    assert set(report.figures[0]["by_kind"]) == {"title", "sentence", "labelled"}
    assert not [
        fault for fault in report.figures[0]["faults"] if fault.startswith(("title", "sentence")) and "rise" in fault
    ]


def test_scores_are_learnt_from_and_their_order_must_rise(place: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = []
    for _ in range(400):
        things = rng.choice(12, 3, replace=False)
        kept = int(rng.integers(0, 4))
        other = [*things[:kept], *rng.choice(np.setdiff1d(np.arange(12), things), 3 - kept, replace=False)]
        left = " ".join(f"name{i} word{rng.integers(30)}" for i in things)
        right = " ".join(f"thing{i} word{rng.integers(30)}" for i in rng.permutation(other))
        given.append(Alike(left=left, right=right, score=float(kept)))
    config = replace(QUICK, tuning=Contrast(steps=50, batch=32, lr=5e-3), shares=(1.0,))
    report = adapted(place, tmp_path, config, given=given)
    assert report.figures[0]["measure"] == "Spearman on held-out pairs"
    assert report.figures[0]["gain"] > 0.2, report.why
    assert report.learnt["pairs"] == 320


def test_too_few_questions_keep_the_base_and_nothing_is_trained(place: Path, tmp_path: Path) -> None:
    report = adapted(place, tmp_path, replace(QUICK, gate=Gate(questions=1000)))
    assert not report.kept
    assert report.why == ("the base is kept: 80 held-out questions are fewer than 1000, too few to show a gain",)
    assert report.stages == ()


def test_a_folder_of_other_work_is_refused(place: Path, tmp_path: Path) -> None:
    adapted(place, tmp_path, replace(QUICK, gate=Gate(questions=1000)))
    with pytest.raises(InputError, match="cannot resume .*: seed was 0 and is 1 now"):
        adapted(place, tmp_path, replace(QUICK, gate=Gate(questions=1000)), seed=1)


def test_a_base_whose_vectors_cannot_be_tuned_is_refused(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "max")
    parts = [
        {"idx": i, "name": str(i), "path": at, "type": f"sentence_transformers.models.{kind}"}
        for i, (at, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])
    ]
    (tmp_path / "max" / "1_Pooling").mkdir()
    (tmp_path / "max" / "modules.json").write_text(json.dumps(parts))
    pooling = {"word_embedding_dimension": 32, "pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}
    (tmp_path / "max" / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(InputError, match="pools by Max, and what is tuned is Mean, CLS or Last"):
        adapted(tmp_path / "max", tmp_path)
    assert not (tmp_path / "work").exists()


def test_documents_that_give_no_pairs_are_refused(place: Path, tmp_path: Path) -> None:
    nothing = HeldOut(positions=(), reduced=(), texts=("a",), queries={}, answers={})
    short_ones = [inlay.Document(id=str(i), text=f"word{i}") for i in range(9)]
    with pytest.raises(InputError, match="gives 0 training pairs of 0 documents"):
        adapt(place, short_ones, nothing, "en", QUICK, tmp_path / "work", seed=0)
    assert not (tmp_path / "work").exists()
