"""A run of distillation on real text: what it does for a student that training alone does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inlay.batch import Batch
from inlay.model.model import Model
from inlay.model.presets import preset, resize
from inlay.model.student import Narrow, make_student
from inlay.objective.causal import CausalLM
from inlay.objective.distill import Distill, Whole
from inlay.objective.distill_layers import Attention, Hidden
from inlay.objective.objective import Objective
from inlay.objective.teacher import Teacher
from inlay.text import pydocs
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train import heldout
from inlay.train.learner import Learner
from inlay.train.optim import AdamW
from inlay.train.trainer import TrainConfig, Trainer


class Cut:
    """Rows of 32 tokens, eight at a time, in an order of each epoch's own."""

    def __init__(self, ids: np.ndarray) -> None:
        self.rows = ids[: len(ids) // 32 * 32].reshape(-1, 32)
        self.per_epoch, self.identity = len(self.rows) // 8, {"rows": len(self.rows)}

    def batch(self, number: int) -> Batch:
        epoch, place = divmod(number, self.per_epoch)
        order = np.random.default_rng(epoch).permutation(len(self.rows))
        return Batch.of(self.rows[order[place * 8 : place * 8 + 8]].tolist())


@pytest.fixture(scope="module")
def taught() -> tuple[Teacher, Cut, Cut]:
    """A teacher that was trained on real text, and the text: what it learns from, and what is held out."""
    texts = [document.text for document in pydocs.documents(limit=60, packages=False)]
    tokenizer = Tokenizer.train(texts, WordPiece(size=400))
    ids = tokenizer.encode(texts).ids
    seen, held = Cut(ids[:-8000]), Cut(ids[-8000:])
    config = resize(preset("gpt2-tiny"), 4, 32, 2, 64, vocab_size=tokenizer.size)
    config = replace(config, heads=tuple(head for head in config.heads if head.name == "language"))
    model = config.build(seed=0)
    train(model, CausalLM().build(config, tokenizer), seen, 120, 1e-2)
    return Teacher(model.eval(), tokenizer, "taught"), seen, held


def train(model: Model, objective: Objective, batches: Cut, steps: int, lr: float) -> None:
    for _ in Trainer(model, objective, batches, TrainConfig(steps=steps, optimizer=AdamW(lr=lr))):
        pass


def test_a_distilled_student_comes_closer_to_its_teacher_than_one_trained_alone(
    taught: tuple[Teacher, Cut, Cut],
) -> None:
    teacher, seen, held = taught
    found = {}
    for name in ("alone", "distilled"):
        student = make_student(teacher.model, Narrow(n_layers=2, d_model=32, n_heads=2, d_ffn=64), seed=1)
        tokenizer, config = teacher.tokenizer, student.config
        measured = Distill().build(config, tokenizer, teacher=teacher)
        objective = measured if name == "distilled" else CausalLM().build(config, tokenizer)
        train(student, objective, seen, 60, 5e-3)
        found[name] = heldout.evaluate(Learner(student, measured), held, most=8)
    assert found["distilled"]["logits"] < 0.5 * found["alone"]["logits"]
    assert found["distilled"]["cosine"] < 0.5 * found["alone"]["cosine"]
    assert found["distilled"]["nll"] < found["alone"]["nll"]


def test_the_projections_of_a_narrower_student_are_trained_with_it(taught: tuple[Teacher, Cut, Cut]) -> None:
    teacher, seen, _ = taught
    student = make_student(teacher.model, Narrow(n_layers=2, d_model=16, n_heads=2, d_ffn=32), seed=1)
    config = Distill(task=Whole(), parts=(Hidden(), Attention()))
    objective = config.build(student.config, teacher.tokenizer, teacher=teacher)
    before = {name: weight.detach().clone() for name, weight in objective.named_parameters()}
    trainer = Trainer(student, objective, seen, TrainConfig(steps=30, optimizer=AdamW(lr=3e-3)))
    figures = [step.figures for step in trainer]
    assert figures[-1]["hidden"] < 0.8 * figures[0]["hidden"]
    assert before.keys() == {"parts.hidden.project.weight", "parts.hidden.project_input.weight"}
    assert all(not torch.equal(weight, before[name]) for name, weight in objective.named_parameters())
