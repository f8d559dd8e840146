"""ReplacedToken: two models side by side, their shared tables and their losses, against transformers and by hand."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_texts import texts, tokenizer
from reference import SIZES, both, labels, padded, same_gradients, spread

from inlay.config import override
from inlay.convert import load_model, save_model
from inlay.convert.families import FAMILIES
from inlay.errors import InputError
from inlay.model.presets import preset
from inlay.objective import replaced
from inlay.objective.masked import MaskedLM
from inlay.objective.replaced import GeneratorSize, Own, ReplacedObjective, ReplacedToken, Shared, sample

TINY = preset("electra-tiny")
BATCH = texts([30, 4, 17, 3])


def build(**settings: Any) -> ReplacedObjective:
    return ReplacedToken(**settings).build(TINY, tokenizer())


def fixed(monkeypatch: pytest.MonkeyPatch, tokens: np.ndarray) -> None:
    """Have the generator fill the holes with these."""
    monkeypatch.setattr(replaced, "sample", lambda *_: torch.tensor(tokens.astype(np.int64)))


def test_losses_and_gradients_are_those_of_the_reference_library(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    theirs, ours = both(transformers.ElectraForPreTraining, **SIZES, embedding_size=24)
    sizes = SIZES | {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 20}
    their_generator, generator = both(transformers.ElectraForMaskedLM, **sizes, embedding_size=24)
    config = ReplacedToken(generator=generator.config, masked=MaskedLM(p=0.3, mask=1.0, random=0.0))
    objective = config.build(ours.config, tokenizer())
    names = objective.generator.state_dict()
    objective.generator.load_state_dict({name: generator.state_dict()[name] for name in names})
    their_generator.electra.embeddings = theirs.electra.embeddings
    their_generator.generator_lm_head.weight = theirs.electra.embeddings.word_embeddings.weight
    example = objective.draw(BATCH, np.random.default_rng(1))
    at, was = example.masked.at, example.masked.labels
    filled = np.where(np.arange(len(at)) % 3, 7 + np.arange(len(at)), was)  # every third is guessed right
    fixed(monkeypatch, filled)

    holes = padded(example.masked.batch)
    mlm = their_generator(**holes, labels=labels(BATCH, at, was)).loss
    told, changed = BATCH.ids.copy(), np.zeros(len(BATCH.ids), np.int64)
    told[at], changed[at] = filled, filled != was
    inputs = holes | {"input_ids": spread(BATCH, told, 0)}
    answer = theirs(**inputs, labels=spread(BATCH, changed, 0))
    found = objective(ours, example)
    torch.testing.assert_close(found["mlm"], mlm, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["rtd"], answer.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["loss"], mlm + 50 * answer.loss, rtol=1e-5, atol=1e-5)
    right = ((answer.logits > 0) == (inputs["input_ids"] != padded(BATCH)["input_ids"]))[holes["attention_mask"] > 0]
    assert found["rtd_accuracy"].item() == pytest.approx(right.float().mean().item())

    (mlm + 50 * answer.loss).backward()
    found["loss"].backward()
    same_gradients(theirs, ours)
    grads = {name: p.grad for name, p in [*ours.named_parameters(), *objective.generator.named_parameters()]}
    grads = {name: torch.zeros(()) if grad is None else grad for name, grad in grads.items()}
    own = FAMILIES["electra"].names(generator.config).theirs({name: grads[name] for name in generator.state_dict()})
    for name, parameter in their_generator.named_parameters():
        torch.testing.assert_close(own[name], parameter.grad, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: n + text)


def test_a_token_that_is_guessed_right_counts_as_the_texts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model, objective = TINY.build().eval(), build()
    example = objective.draw(BATCH, np.random.default_rng(0))
    fixed(monkeypatch, example.masked.labels)
    found = objective.eval()(model, example)
    logits = model.read("replaced", model(BATCH), model.pack(BATCH).layout)
    assert found["rtd"].item() == pytest.approx(torch.nn.functional.softplus(logits).mean().item(), rel=1e-5)
    assert found["rtd_accuracy"].item() == pytest.approx((logits <= 0).float().mean().item())


def test_every_token_is_asked_about_and_the_chosen_alone_are_guessed() -> None:
    example = build().draw(BATCH, np.random.default_rng(0))
    tokens = len(BATCH.ids)
    assert example.counts == {"mlm": len(example.masked.at), "rtd": tokens, "rtd_accuracy": tokens}
    assert 0 < len(example.masked.at) < tokens / 4
    assert (example.masked.batch.ids[example.masked.at] == tokenizer().id("[MASK]")).all()


def test_tokens_are_drawn_as_often_as_the_generator_says() -> None:
    model = override(preset("bert-tiny"), {"input.vocab_size": 8}).build().eval()
    with torch.no_grad():
        model.heads["language"].bias.copy_(torch.linspace(-2, 2, 8))
    rows, layout = torch.zeros(20_000, 128), model.pack(BATCH.of([[1, 2]])).layout
    chances = model.read("language", rows[:1], layout)[0].softmax(-1).detach()
    drawn = sample(model, rows, layout, 3)
    counts = drawn.bincount(minlength=8) / len(drawn)
    assert ((counts - chances).abs() < 5 * (chances * (1 - chances) / len(drawn)).sqrt()).all()
    assert torch.equal(drawn, sample(model, rows, layout, 3))
    assert not torch.equal(drawn, sample(model, rows, layout, 4))


@pytest.mark.parametrize("low", [torch.float32, torch.bfloat16])
def test_weights_that_are_no_numbers_make_a_loss_that_is_none(low: torch.dtype) -> None:
    model, objective = TINY.build().to(low), build().to(low)
    assert objective(model, BATCH, np.random.default_rng(0))["loss"].isfinite()
    with torch.no_grad():
        objective.generator.input.project.weight[0, 0] = float("nan")
    assert objective(model, BATCH, np.random.default_rng(0))["loss"].isnan()


@pytest.mark.parametrize("embeddings", [Shared(), Own()], ids=str)
@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_the_generator_is_kept_whole_and_alone(embeddings: Shared | Own, fraction: float, tmp_path: Path) -> None:
    config = override(TINY, {"encoder.norm": {"kind": "RMSNorm"}, "family": ""}) if fraction == 1 else TINY
    model = config.build(seed=1)
    objective = ReplacedToken(generator=GeneratorSize(fraction=fraction), embeddings=embeddings).build(
        config, tokenizer()
    )
    before = objective.state_dict()
    kept = objective.models(model)
    assert list(kept) == ["generator"]
    save_model(kept["generator"], tmp_path / "generator", tokenizer=tokenizer())
    loaded = load_model(tmp_path / "generator")
    objective.eval()(model.eval(), BATCH, np.random.default_rng(0))  # reads by the model's tables
    wanted = objective.generator(BATCH)
    torch.testing.assert_close(loaded(BATCH), wanted)
    layout = model.pack(BATCH).layout
    torch.testing.assert_close(
        loaded.read("language", wanted, layout), objective.generator.read("language", wanted, layout)
    )
    with torch.no_grad():
        for parameter in kept["generator"].parameters():
            parameter.zero_()
    assert torch.equal(objective.generator(BATCH), wanted)
    assert objective.state_dict().keys() == before.keys()


def test_a_generator_that_its_family_cannot_hold_is_kept_in_a_layout_of_its_own() -> None:
    config = override(TINY, {"encoder.activation": "relu"})
    kept = ReplacedToken().build(config, tokenizer()).models(config.build())["generator"]
    assert kept.config.family == ""
    assert build().models(TINY.build())["generator"].config.family == "electra"


def test_the_error_of_telling_teaches_the_generator_nothing_and_the_tables_are_taught_by_both() -> None:
    model, objective = TINY.build(), build()
    parts = {}
    for term in ("mlm", "rtd"):
        found = objective.eval()(model.eval(), objective.draw(BATCH, np.random.default_rng(0)))
        found[term].backward()
        own = any(p.grad is not None and p.grad.any() for p in objective.parameters())
        rest = any(p.grad is not None and p.grad.any() for name, p in model.named_parameters() if "input" not in name)
        parts[term] = (own, rest, bool(model.input.token.weight.grad.any()))
        model.zero_grad()
        objective.zero_grad()
    assert parts == {"mlm": (True, False, True), "rtd": (False, True, True)}


def test_shared_tables_are_the_models_alone_and_own_ones_are_apart() -> None:
    model, shared, own = TINY.build(), build(), build(embeddings=Own())
    tables = {f"generator.input.{name}" for name in ("token.weight", "position.table.weight", "segment.weight")}
    for objective, expected in ((shared, set[str]()), (own, tables)):
        for _ in range(2):  # before a model was seen, and after
            assert {name for name in objective.state_dict() if name in tables} == expected
            assert not {id(p) for p in objective.parameters()} & {id(p) for p in model.parameters()}
            objective(model, BATCH, np.random.default_rng(0))
    twin = own.generator.input.token.weight
    assert twin.shape == model.input.token.weight.shape
    assert not torch.equal(twin, model.input.token.weight)


def test_the_generator_reads_by_the_tables_of_the_model_it_is_called_with() -> None:
    one, two = TINY.build(seed=1).eval(), TINY.build(seed=2).eval()
    objective = build().eval()
    example = objective.draw(BATCH, np.random.default_rng(0))
    first = objective(one, example)["mlm"].item()
    assert objective(two, example)["mlm"].item() != first
    assert objective(one, example)["mlm"].item() == first
    assert copy.deepcopy(objective)(one, example)["mlm"].item() == first


@pytest.mark.parametrize("name", ["electra-base", "electra-large"])
def test_a_fraction_makes_the_published_generators(name: str) -> None:
    config, published = preset(name), preset(f"{name}-generator")
    made = GeneratorSize(fraction={"electra-base": 1 / 3, "electra-large": 1 / 4}[name]).of(config)
    assert made.encoder == published.encoder
    assert made.d_embed == published.d_embed == config.d_embed


def test_a_quarter_of_a_model_has_a_quarter_of_its_heads_and_all_its_layers() -> None:
    made = GeneratorSize().of(TINY)
    assert made.encoder is not None
    assert (made.encoder.n_layers, made.encoder.n_heads, made.d_model, made.encoder.d_ffn) == (2, 1, 16, 32)
    assert made.d_embed == 32


def test_a_published_generator_may_be_named() -> None:
    objective = build(generator=preset("electra-tiny-generator"))
    assert objective.generator.config.d_model == 64


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("bert-tiny", {}, "ReplacedToken reads the replaced head, which this architecture lacks"),
        ("gpt2-tiny", {}, "ReplacedToken reads a text both ways, and gpt2 looks back only"),
        ("electra-tiny", {"generator": preset("gpt2-tiny")}, "the generator of ReplacedToken reads a text both ways"),
        ("electra-tiny", {"generator": TINY}, "the generator of ReplacedToken reads the language head"),
        ("electra-tiny", {"generator": preset("bert-tiny")}, "the generator has 30522 tokens, the model 1000; set"),
        (
            "electra-tiny",
            {"generator": preset("roberta-tiny")},
            "cannot share its tables; make them alike, or take emb",
        ),
    ],
)
def test_what_does_not_fit_is_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReplacedToken(**settings).build(preset(name), tokenizer())


def test_another_architecture_may_have_tables_of_its_own() -> None:
    objective = build(generator=preset("roberta-tiny"), embeddings=Own())
    assert objective(TINY.build(), BATCH, np.random.default_rng(0))["loss"].isfinite()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeneratorSize(fraction=0.0), "fraction=0.0 must be above 0"),
        (lambda: GeneratorSize(fraction=2.0), "fraction=2.0 must be above 0 and at most 1"),
        (lambda: ReplacedToken(weight=0.0), "weight=0.0 must be above 0 and finite; 50 is usual"),
        (lambda: ReplacedToken(weight=float("inf")), "weight=inf must be above 0 and finite"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_sharing_is_what_is_said_of_nothing() -> None:
    assert ReplacedToken().embeddings == Shared()
