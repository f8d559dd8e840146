"""What each objective needs for a batch, against what torch counts while it learns from it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from inlay.batch import Batch
from inlay.model.presets import preset
from inlay.objective.causal import CausalLM
from inlay.objective.corruptions import Infilling
from inlay.objective.denoise import Denoise
from inlay.objective.distill import Distill
from inlay.objective.masked import MaskedLM
from inlay.objective.permuted import PermutedLM
from inlay.objective.replaced import ReplacedToken
from inlay.objective.rewriting import Rewriting
from inlay.objective.sentence_pairs import NextSentence
from inlay.objective.spans import SpanCorruption, sentinels
from inlay.objective.teacher import Teacher
from inlay.objective.tsdae import TSDAE
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.peak import forward_flops, training_flops
from inlay.train.work import example_flops, question_flops

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sentinels(20))
TOKENIZER = Tokenizer.from_vocabulary([f"w{i}" for i in range(100)], specials=SPECIALS)
FIRST = len(SPECIALS)

CASES: dict[str, tuple[Any, str]] = {
    "masked": (MaskedLM(), "bert-tiny"),
    "next": (NextSentence(), "bert-tiny"),
    "causal": (CausalLM(), "gpt2-tiny"),
    "permuted": (PermutedLM(), "xlnet-tiny"),
    "spans": (SpanCorruption(), "t5-tiny"),
    "denoise": (Denoise(corruptions=(Infilling(),)), "transformer-tiny"),
    "replaced": (ReplacedToken(), "electra-tiny"),
    "tsdae": (TSDAE(), "bert-tiny"),
}


def batch_of(*, n: int = 4, length: int = 48) -> Batch:
    """Texts in two segments, [CLS] A [SEP] B [SEP], with a label each."""
    rng = np.random.default_rng(0)
    middle = rng.integers(FIRST, FIRST + 100, (n, length))
    cls, sep = TOKENIZER.id("[CLS]"), TOKENIZER.id("[SEP]")
    middle[:, 0], middle[:, 20], middle[:, -1] = cls, sep, sep
    segments = np.repeat([[0] * 21 + [1] * (length - 21)], n, 0)
    return replace(Batch.of(middle.tolist(), segments.tolist()), labels=np.arange(n) % 2)


def counted(objective: Any, model: Any, example: Any) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective(model, example)["loss"].backward()
    return counter.get_total_flops()


def plain(rows: Tensor, table: Tensor, bias: Tensor | None, tokens: Tensor) -> Tensor:
    """The cross-entropy in operations that torch counts; those with `out=` it does not."""
    return F.cross_entropy(F.linear(rows, table, bias), tokens, reduction="sum")


@pytest.mark.parametrize("name", CASES)
def test_an_objective_needs_a_little_less_than_it_computes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("language", "tsdae"):
        monkeypatch.setattr(f"inlay.objective.{place}.cross_entropy", plain)
    asked, preset_name = CASES[name]
    config = preset(preset_name)
    model, objective = config.build().train(), asked.build(config, TOKENIZER)
    example = objective.draw(batch_of(), np.random.default_rng(0))
    ours = question_flops(objective, example, config)
    theirs = counted(objective, model, example)
    # What nobody may see is computed too, and what is written is of two lengths: attention pads it.
    assert 0.78 * theirs < ours <= 1.02 * theirs, ours / theirs


def test_a_student_needs_its_teachers_reading_too() -> None:
    config = preset("bert-tiny")
    teacher = Teacher(preset("bert-mini").build().eval(), TOKENIZER)
    objective = Distill().build(config, TOKENIZER, teacher=teacher)
    batch = batch_of()
    example = objective.draw(batch, np.random.default_rng(0))
    read = forward_flops(teacher.model.config, [48] * 4, heads={"language": len(example.labels)})
    assert question_flops(objective, example, config) == example_flops(example, config) + read
    assert read > example_flops(example, config) / 3


def test_telling_replaced_tokens_needs_the_generator_too() -> None:
    config = preset("electra-tiny")
    objective = ReplacedToken().build(config, TOKENIZER)
    example = objective.draw(batch_of(), np.random.default_rng(0))
    alone = training_flops(config, [48] * 4, heads={"replaced": 4 * 48})
    generator = example_flops(example.masked, objective.generator.config)
    assert question_flops(objective, example, config) == alone + generator
    assert generator > 0


def test_examples_ask_for_what_their_texts_and_labels_do() -> None:
    batch = Batch.of([[FIRST] * 10, [FIRST] * 6])
    config = preset("bert-tiny")
    objective = MaskedLM().build(config, TOKENIZER)
    masked = objective.draw(batch, np.random.default_rng(0))
    labels = {"language": len(masked.labels)}
    assert question_flops(objective, masked, config) == training_flops(config, [10, 6], heads=labels)
    config = preset("t5-tiny")
    written = Rewriting.of(batch, np.full(7, 5, np.int32), np.array([3, 4]), 0)
    expected = training_flops(config, [10, 6], target=[3, 4], heads={"language": 7})
    assert example_flops(written, config) == expected


def test_an_example_of_an_unknown_kind_counts_its_texts() -> None:
    @dataclass(frozen=True)
    class Two:
        first: Batch
        second: Batch
        counts: Any = None

    two = Two(Batch.of([[5] * 10]), Batch.of([[5] * 6]))
    assert example_flops(two, preset("bert-tiny")) == training_flops(preset("bert-tiny"), [10, 6])
    config = preset("t5-tiny")
    assert 0 < example_flops(two, config) == training_flops(replace(config, decoder=None), [10, 6])


def test_counting_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    config = preset("bert-base")
    objective = MaskedLM().build(config, TOKENIZER)
    example = objective.draw(batch_of(), np.random.default_rng(0))
    monkeypatch.setattr(torch.nn.Module, "to_empty", None)  # the architecture stays on the meta device
    assert question_flops(objective, example, config) > 6 * 85e6 * 192
