"""Distill: what each part is by hand and by torch, what identical models give, and where gradients go."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from inlay.batch import Batch
from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.model.inspect import attention
from inlay.model.model import Model, ModelConfig
from inlay.model.presets import preset, resize
from inlay.model.student import First, Narrow, Spread, make_student
from inlay.objective.causal import CausalLM
from inlay.objective.distill import Distill, DistillObjective, Whole
from inlay.objective.distill_layers import Attention, Cosine, Hidden, Last, Pairs, Uniform, _apart
from inlay.objective.distill_logits import Logits
from inlay.objective.distill_part import Asked
from inlay.objective.distill_vectors import SentenceVectors
from inlay.objective.masked import MaskedLM
from inlay.objective.teacher import Reading, Teacher
from inlay.tokenize.kinds import Words
from inlay.tokenize.tokenizer import Tokenizer

WORDS = [f"word{number}" for number in range(40)]
TOKENIZER = Tokenizer.train([" ".join(WORDS)] * 2, Words(size=60))
ALL = (Logits(), Hidden(), Attention(), Cosine(), SentenceVectors())
LENGTHS = (7, 3, 12, 7)


def literal(family: str = "bert", layers: int = 4) -> ModelConfig:
    config = preset({"bert": "bert-tiny", "gpt2": "gpt2-tiny", "modernbert": "modernbert-tiny"}[family])
    return resize(config, layers, 16, 2, 32, vocab_size=TOKENIZER.size)


def wide(config: ModelConfig, seed: int = 0) -> Model:
    """A model in eval mode whose weights are large enough that everything in it can be seen."""
    model = config.build(seed=seed).eval()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=rng)
    return model.double()


def teacher(family: str = "bert", layers: int = 4) -> Teacher:
    return Teacher(wide(literal(family, layers)), TOKENIZER, "the teacher")


def batch(seed: int = 0, lengths: tuple[int, ...] = LENGTHS) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch.of([rng.integers(5, TOKENIZER.size, n).tolist() for n in lengths])


def built(config: Distill, student: Model, of: Teacher) -> DistillObjective:
    return config.build(student.config, TOKENIZER, teacher=of).double()


def asked(student: Model, of: Teacher, at: list[int] | None = None) -> Asked:
    given = batch()
    packed = student.pack(given)
    rows = torch.tensor(list(range(len(given.ids))) if at is None else at, dtype=torch.int64)
    ours = Reading.of(student, packed, states=True)
    return Asked(ours, of.read(given, packed, states=True), rows)


def task(family: str) -> MaskedLM | CausalLM:
    return CausalLM() if family == "gpt2" else MaskedLM(p=0.4)


def test_the_task_that_is_not_said_is_the_teachers() -> None:
    assert Distill().task_for(literal("gpt2")) == CausalLM()
    assert Distill().task_for(literal("bert")) == MaskedLM()
    assert Distill(parts=(Cosine(),), task=Whole()).task_for(literal("bert")) == Whole()


@pytest.mark.parametrize("family", ["bert", "gpt2", "modernbert"])
def test_a_student_that_is_its_teacher_is_nowhere_off(family: str) -> None:
    of = teacher(family)
    twin = make_student(of.model, First(n_layers=4)).eval()
    answer = built(Distill(parts=ALL, task=task(family), weight=0), twin, of)(twin, batch(), np.random.default_rng(0))
    for part in ALL:
        assert abs(answer[part.name].item()) < 1e-6, part.name
    assert answer["nll" if family == "gpt2" else "mlm"].item() > 1


@pytest.mark.parametrize("part", ALL, ids=lambda part: part.name)
@pytest.mark.parametrize("family", ["bert", "gpt2", "modernbert"])
def test_every_part_moves_the_student_and_its_own_weights_and_never_the_teacher(part: object, family: str) -> None:
    of = teacher(family)
    heads = 2 if isinstance(part, Attention) else 4
    student = make_student(of.model, Narrow(n_layers=2, d_model=8, n_heads=heads, d_ffn=16), seed=3).double().eval()
    objective = built(Distill(parts=(part,), task=task(family), weight=0), student, of)  # type: ignore[arg-type]
    before = {name: weight.clone() for name, weight in of.model.state_dict().items()}
    objective(student, batch(), np.random.default_rng(0))["loss"].backward()
    assert all(weight.grad is None for weight in of.model.parameters())
    assert student.input.token.weight.grad.abs().max() > 1e-9  # type: ignore[union-attr, operator]
    assert all(weight.grad is not None and weight.grad.abs().max() > 1e-9 for weight in objective.parameters())
    n_own = {"hidden": 2, "cosine": 1, "vectors": 1}.get(part.name, 0)  # type: ignore[attr-defined]
    assert len(list(objective.parameters())) == n_own
    assert all(torch.equal(weight, before[name]) for name, weight in of.model.state_dict().items())


def test_the_teacher_is_no_part_of_the_objective_and_stays_in_eval_mode() -> None:
    of = teacher()
    student = make_student(of.model, Spread(n_layers=2))
    objective = built(Distill(parts=ALL), student, of)
    assert not objective.state_dict()
    assert all(module is not of.model for module in objective.modules())
    of.model.train()
    objective.train()
    objective(student.train(), batch(), np.random.default_rng(0))
    assert student.training
    assert not of.model.training


def test_in_bfloat16_the_parts_are_the_same_but_for_rounding() -> None:
    of = teacher()
    student = make_student(of.model, Spread(n_layers=2)).eval()
    of.model.float()
    objective = Distill(parts=ALL).build(student.config, TOKENIZER, teacher=of)
    example = objective.draw(batch(), np.random.default_rng(0))
    exact = objective(student.float(), example)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = objective(student, example)
    rounded["loss"].backward()
    for name, value in exact.items():
        assert rounded[name].dtype == torch.float32
        torch.testing.assert_close(rounded[name], value, rtol=0.1, atol=0.02)


def test_the_teacher_reads_each_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    of, read = teacher(), []
    student = make_student(of.model, Spread(n_layers=2))
    forward = of.model.forward
    monkeypatch.setattr(of.model, "forward", lambda *a, **b: (read.append(1), forward(*a, **b))[1])
    built(Distill(parts=ALL), student, of)(student, batch(), np.random.default_rng(0))
    assert read == [1]


def test_what_the_parts_sum_over_halves_adds_up_to_the_whole() -> None:
    of = teacher()
    student = make_student(of.model, Spread(n_layers=2)).eval()
    objective = built(Distill(parts=ALL, task=MaskedLM(p=0.4)), student, of)
    whole = objective.draw(batch(), np.random.default_rng(0))
    cut = int(sum(LENGTHS[:2]))
    halves = []
    for first, rows in ((True, LENGTHS[:2]), (False, LENGTHS[2:])):
        ids = whole.batch.ids[:cut] if first else whole.batch.ids[cut:]
        mine = (whole.at < cut) == first
        lengths = np.array(rows)
        part = replace(whole.batch, ids=ids, lengths=lengths, cut=lengths * 0)
        sizes = {"tokens": len(ids), "chosen": int(mine.sum()), "texts": 2}
        counts = {
            name: sizes[what]
            for name, what in zip(
                ("mlm", "logits", "hidden", "attention", "cosine", "vectors"),
                ("chosen", "chosen", "tokens", "tokens", "tokens", "texts"),
                strict=True,
            )
        }
        halves.append(replace(whole, batch=part, at=whole.at[mine] - cut * (not first), labels=whole.labels[mine]))
        halves[-1] = replace(halves[-1], counts=counts)
    assert {name: sum(half.counts[name] for half in halves) for name in whole.counts} == whole.counts
    together = [objective(student, half, over=whole.counts) for half in halves]
    for name, value in objective(student, whole).items():
        torch.testing.assert_close(sum(one[name] for one in together), value)


def test_logits_are_the_divergence_at_the_temperature_times_its_square() -> None:
    # By hand: T = 2, teacher logits (2 ln 3, 0), student (0, 0): p = (3/4, 1/4) against (1/2, 1/2).
    # KL = 3/4 ln(3/2) + 1/4 ln(1/2) = 0.130812; times 4 is 0.523248.
    of = teacher()
    student = make_student(of.model, Spread(n_layers=2))
    said = {student: torch.zeros(1, 2), of.model: torch.tensor([[2 * np.log(3), 0.0]])}
    part = Logits(temperature=2).build(student.config, of.model.config, torch.Generator())
    for model, logits in said.items():
        model.read = lambda *_, logits=logits: logits  # type: ignore[method-assign]
    assert float(part.error(asked(student, of, at=[0]))) == pytest.approx(0.523248, abs=1e-6)


def test_logits_are_of_the_chosen_tokens_alone_and_in_blocks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    of = teacher()
    student = make_student(of.model, Spread(n_layers=2)).eval()
    part = Logits(temperature=3).build(student.config, of.model.config, torch.Generator())
    given = asked(student, of, at=[1, 4, 5, 20])
    p, q = (
        torch.softmax(one.model.read("language", one.rows, given.layout)[given.at] / 3, -1)
        for one in (given.teacher, given.student)
    )
    torch.testing.assert_close(part.error(given).double(), (p * (p.log() - q.log())).sum() * 9, rtol=1e-5, atol=1e-6)
    student.zero_grad()
    part.error(given).backward(retain_graph=True)
    whole = student.input.token.weight.grad.clone()  # type: ignore[union-attr, operator]
    student.zero_grad()
    monkeypatch.setattr("inlay.objective.distill_logits._LOGITS", 3 * TOKENIZER.size)
    part.error(given).backward()
    torch.testing.assert_close(student.input.token.weight.grad, whole, rtol=1e-5, atol=1e-6)
    assert part.error(asked(student, of, at=[])).item() == 0


@pytest.mark.parametrize(
    ("student", "of", "pairs"), [(4, 12, [3, 6, 9, 12]), (6, 12, [2, 4, 6, 8, 10, 12]), (1, 5, [5])]
)
def test_layers_learn_from_those_that_the_paper_maps_them_to(student: int, of: int, pairs: list[int]) -> None:
    assert Uniform().pairs(student, of) == list(enumerate(pairs, 1))
    assert Last().pairs(student, of) == [(student, of)]
    assert Pairs(at=((1, 5),)).pairs(student, of) == [(1, 5)]


def test_hidden_is_the_mean_square_of_mapped_layers_summed() -> None:
    of = teacher()
    student = make_student(of.model, Narrow(n_layers=2, d_model=8, n_heads=2, d_ffn=16)).double().eval()
    part = Hidden().build(student.config, of.model.config, torch.Generator().manual_seed(0)).double()
    given = asked(student, of)
    ours, theirs = given.student.states, given.teacher.states
    wanted = sum(F.mse_loss(ours[m] @ part.project.weight.T, theirs[2 * m]) for m in (1, 2))
    wanted = wanted + F.mse_loss(ours[0] @ part.project_input.weight.T, theirs[0])
    torch.testing.assert_close(part.error(given).double() / sum(LENGTHS), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "gpt2", "modernbert"])
def test_attention_weights_are_compared_as_inspection_shows_them(family: str) -> None:
    of = teacher(family)
    student = make_student(of.model, Narrow(n_layers=2, d_model=8, n_heads=2, d_ffn=16)).double().eval()
    given = asked(student, of)
    part = Attention(measure="weights", map=Pairs(at=((1, 4),))).build(
        student.config, of.model.config, torch.Generator()
    )
    wanted = torch.zeros(())
    for ours, theirs in zip(attention(student, batch()), attention(of.model, batch()), strict=True):
        q, p = ours[0], theirs[3]  # (H, t, t)
        wanted = wanted + (p * ((p + 1e-300).log() - (q + 1e-300).log())).sum(-1).mean(0).sum()
    torch.testing.assert_close(part.error(given).double(), wanted.double(), rtol=1e-4, atol=1e-5)


def test_attention_scores_are_the_products_of_queries_and_keys() -> None:
    of = teacher()
    student = make_student(of.model, Spread(n_layers=1)).eval()
    given = asked(student, of)
    part = Attention(map=Last()).build(student.config, of.model.config, torch.Generator())

    def scores(model: Model, x: torch.Tensor, layer: int) -> torch.Tensor:
        q, k, _ = model.encoder.block(layer).attention.qkv(x).view(-1, 3, 2, 8).unbind(1)  # type: ignore[union-attr]
        return torch.einsum("thk,shk->hts", q, k) / 8**0.5

    wanted, start = torch.zeros(()), 0
    for n in LENGTHS:
        rows = slice(start, start + n)
        ours = scores(student, given.student.states[0][rows], 0)
        theirs = scores(of.model, given.teacher.states[3][rows], 3)
        wanted, start = wanted + (ours - theirs).square().mean((0, 2)).sum(), start + n
    torch.testing.assert_close(part.error(given).double(), wanted.double(), rtol=1e-5, atol=1e-6)


def test_attention_scores_are_a_mean_over_the_keys_that_are_seen() -> None:
    said, seen = torch.zeros(1, 2, 3, 3), torch.ones(3, 3).tril().bool().expand(1, 1, 3, 3)
    assert _apart(said, said + 2, seen).tolist() == [[4, 4, 4]]


def test_cosine_and_the_whole_loss_are_those_of_distilbert() -> None:
    of = teacher()
    student = make_student(of.model, Spread(n_layers=2)).eval()
    answer = built(Distill(), student, of)
    example = answer.draw(batch(), np.random.default_rng(0))
    found = answer(student, example)
    with torch.no_grad():
        ours, theirs = student(example.batch), of.model(example.batch)
        s, t = (
            m.read("language", rows[example.at], m.pack(example.batch).layout)
            for m, rows in ((student, ours), (of.model, theirs))
        )
        # As DistilBERT's own training computes them, on the chosen tokens.
        ce = torch.nn.KLDivLoss(reduction="batchmean")(F.log_softmax(s / 2, -1), F.softmax(t / 2, -1)) * 2**2
        mlm = torch.nn.CrossEntropyLoss()(s, torch.from_numpy(example.labels).long())
        cos = torch.nn.CosineEmbeddingLoss(reduction="mean")(ours, theirs, torch.ones(len(ours)))
    for name, value in {"logits": ce, "mlm": mlm, "cosine": cos, "loss": 5 * ce + 2 * mlm + cos}.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", ["first", "last", "mean"])
@pytest.mark.parametrize("measure", ["mse", "cosine"])
def test_vectors_of_whole_texts_are_compared_without_a_task(pool: str, measure: str) -> None:
    of = teacher()
    student = make_student(of.model, Spread(n_layers=2)).eval()
    part = SentenceVectors(pool=pool, measure=measure)  # type: ignore[arg-type]
    found = built(Distill(parts=(part,), task=Whole()), student, of)(student, batch(), np.random.default_rng(0))
    pick = {"first": lambda x: x[0], "last": lambda x: x[-1], "mean": lambda x: x.mean(0)}[pool]
    ours, theirs = (torch.stack([pick(x) for x in m(batch()).split(LENGTHS)]) for m in (student, of.model))
    wanted = F.mse_loss(ours, theirs) if measure == "mse" else (1 - F.cosine_similarity(ours, theirs)).mean()
    torch.testing.assert_close(found["vectors"].double(), wanted, rtol=1e-5, atol=1e-6)
    assert set(found) == {"loss", "vectors"}


def test_a_config_comes_back_from_its_tree() -> None:
    for config in (
        Distill(),
        Distill(parts=ALL, task=CausalLM()),
        Distill(parts=(Hidden(map=Pairs(at=((1, 3),))),), task=Whole()),
    ):
        assert from_tree(Distill, to_tree(config)) == config


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Distill(parts=()), "no part"),
        (lambda: Distill(parts=(Cosine(weight=0),)), "weight above 0"),
        (lambda: Distill(parts=(Cosine(), Cosine())), "cosine twice"),
        (lambda: Distill(parts=(Logits(),), task=Whole()), "set task"),
        (lambda: Logits(temperature=0), "temperature=0"),
        (lambda: Cosine(weight=-1), "weight=-1"),
        (lambda: Pairs(at=()), "without a pair"),
        (lambda: Pairs(at=((1, 13),)).pairs(4, 12), "layer 13 of the teacher"),
        (lambda: Uniform().pairs(13, 12), "has 13 layers"),
        (lambda: Distill().build(literal(), TOKENIZER), "objective.teacher=DIR"),
        (lambda: Distill(task=CausalLM()).build(literal(), TOKENIZER, teacher=teacher()), "MaskedLM"),
        (lambda: Distill().build(literal("gpt2"), TOKENIZER, teacher=teacher("bert")), "CausalLM"),
        (lambda: Distill(task=MaskedLM()).build(literal("gpt2"), TOKENIZER, teacher=teacher("gpt2")), "CausalLM"),
        (lambda: Distill().build(literal(), TOKENIZER, teacher=teacher("gpt2")), "MaskedLM"),
        (lambda: Distill().build(resize(preset("t5-tiny"), 2, 16, 2, 32), TOKENIZER, teacher=teacher()), "one stack"),
        (lambda: Distill().build(replace(literal(), heads=()), TOKENIZER, teacher=teacher()), "language"),
        (
            lambda: Distill().build(
                replace(literal(), input=replace(literal().input, vocab_size=99)), TOKENIZER, teacher=teacher()
            ),
            "input.vocab_size=",
        ),
        (
            lambda: Distill(parts=(Attention(),)).build(resize(literal(), 2, 16, 4, 32), TOKENIZER, teacher=teacher()),
            "4 heads and the teacher 2",
        ),
        (
            lambda: Distill().build(literal(), Tokenizer.train(["a b c"] * 2, Words()), teacher=teacher()),
            "share a vocabulary",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(make: object, says: str) -> None:
    with pytest.raises(InputError) as error:
        make()  # type: ignore[operator]
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_teacher_is_known_by_its_weights() -> None:
    one, same, other = teacher(), teacher(), teacher(layers=3)
    assert one.identity == same.identity != other.identity
    assert one.identity["name"] == "the teacher"
    student = make_student(one.model, Spread(n_layers=2))
    assert built(Distill(), student, one).identity == {"teacher": one.identity}
