"""What every objective keeps to, with every tiny architecture that it fits."""

import copy
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from made_texts import CLS, SEP, V, pairs, texts, tokenizer, without_dropout

from inlay.batch import Batch
from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.model.model import Model
from inlay.model.presets import PRESETS, preset
from inlay.objective import replaced
from inlay.objective.causal import CausalLM
from inlay.objective.masked import MaskedLM
from inlay.objective.masks import Spans, Static, WholeWord
from inlay.objective.objective import Example, Objective
from inlay.objective.permuted import PermutedLM
from inlay.objective.replaced import Own, ReplacedToken
from inlay.objective.sentence_pairs import NextSentence, SentenceOrder

Config = MaskedLM | NextSentence | SentenceOrder | CausalLM | PermutedLM | ReplacedToken
CONFIGS: dict[str, Config] = {
    "masked": MaskedLM(),
    "static": MaskedLM(masks=Static()),
    "words": MaskedLM(masks=WholeWord()),
    "spans": MaskedLM(masks=Spans()),
    "next": NextSentence(),
    "order": SentenceOrder(),
    "causal": CausalLM(),
    "permuted": PermutedLM(),
    "replaced": ReplacedToken(),
    "replaced-own": ReplacedToken(embeddings=Own()),
}
ENCODERS = ["bert", "roberta", "distilbert", "albert", "xlnet", "modernbert", "modern"]
FITS = {
    MaskedLM: [f"{name}-tiny" for name in ENCODERS] + ["electra-tiny-generator"],
    NextSentence: ["bert-tiny", "albert-tiny"],
    SentenceOrder: ["bert-tiny", "albert-tiny"],
    CausalLM: ["gpt2-tiny"],
    PermutedLM: ["xlnet-tiny"],
    ReplacedToken: ["electra-tiny"],
}
TINY = [name for name in PRESETS if "tiny" in name]
CASES = [(name, model) for name, config in CONFIGS.items() for model in FITS[type(config)]]
EVERY = pytest.mark.parametrize(("name", "model"), CASES, ids=[f"{a}-{b}" for a, b in CASES])
ONE_EACH = pytest.mark.parametrize(("name", "model"), [(name, FITS[type(c)][0]) for name, c in CONFIGS.items()])
HEADS = {
    MaskedLM: {"language"},
    NextSentence: {"language", "pooler", "pair"},
    SentenceOrder: {"language", "pooler", "pair"},
    CausalLM: {"language"},
    PermutedLM: {"language"},
    ReplacedToken: {"replaced"},
}


@cache
def _built(name: str, model: str) -> tuple[Model, Objective]:
    config = without_dropout(preset(model))
    config = replace(config, input=replace(config.input, vocab_size=V))
    return config.build(), CONFIGS[name].build(config, tokenizer())


def made(name: str, model: str) -> tuple[Model, Objective]:
    """A model without dropout, and the objective for it."""
    built = copy.deepcopy(_built(name, model))
    return built[0].train(), built[1].train()


def batches(model: Model, seed: int = 0) -> Batch:
    """Texts of two segments where the architecture reads any, whose arrays nobody can write to."""
    two = model.config.input.n_segments > 1 or model.config.family == "xlnet"
    batch = pairs([30, 12, 9, 41], seed=seed) if two else texts([30, 12, 1, 0, 9, 41], seed=seed)
    for array in (batch.ids, batch.lengths, batch.segments):
        if array is not None:
            array.flags.writeable = False
    return batch


def joined(one: Any, other: Any) -> Any:
    """Two batches as one, two examples as that of their batches together."""
    if isinstance(one, np.ndarray):
        return np.concatenate([one, other])
    if not is_dataclass(one):
        assert one == other
        return one
    parts = {f.name: joined(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)}
    if "at" in parts:
        parts["at"] = np.concatenate([one.at, other.at + len(one.batch.ids)])  # type: ignore[attr-defined]
    return type(one)(**parts)


def same(one: Any, other: Any) -> bool:
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else one == other


@EVERY
def test_the_same_generator_asks_the_same_and_leaves_the_batch_alone(name: str, model: str) -> None:
    built, objective = made(name, model)
    batch = batches(built)
    before = copy.deepcopy(batch)
    drawn = [objective.draw(batch, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert same(drawn[0], drawn[1])
    assert same(drawn[0], drawn[2]) == (name == "causal")
    losses = [objective(built, example)["loss"].item() for example in drawn[:2]]
    assert losses[0] == losses[1] == objective(built, batch, np.random.default_rng(3))["loss"].item()
    assert same(batch, before)


@EVERY
def test_the_loss_is_the_weighted_sum_of_the_means_of_what_is_counted(name: str, model: str) -> None:
    built, objective = made(name, model)
    example = objective.draw(batches(built), np.random.default_rng(0))
    found, sums = objective(built, example), objective.terms(built, example)
    assert set(sums) == set(example.counts) == set(found) - {"loss"}
    assert all(total.ndim == 0 and total.isfinite() for total in sums.values())
    for term, total in sums.items():
        assert found[term].item() == pytest.approx(total.item() / example.counts[term])
    parts = [objective.weights.get(term, 1.0) * found[term].item() for term in sums]
    assert found["loss"].item() == pytest.approx(sum(parts))


@EVERY
def test_the_parts_of_a_batch_have_the_loss_and_the_gradients_of_the_whole(
    name: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        replaced, "sample", lambda model, rows, layout, _: model.read("language", rows, layout).argmax(-1)
    )
    built, objective = made(name, model)
    parts = [
        replace(
            objective.draw(batches(built, seed), np.random.default_rng(seed)),
            **({"seed": 0} if "replaced" in name else {}),
        )
        for seed in (0, 1)
    ]
    whole = joined(*parts)
    counts = {term: sum(part.counts[term] for part in parts) for term in whole.counts}
    assert counts == dict(whole.counts)
    weights = [*built.named_parameters(), *objective.named_parameters()]

    def gradients(examples: list[Example]) -> tuple[float, list[torch.Tensor]]:
        loss = 0.0
        for example in examples:
            found = objective(built, example, over=counts)["loss"]
            found.backward()
            loss += found.item()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for _, p in weights]
        for _, parameter in weights:
            parameter.grad = None
        return loss, grads

    (loss, grads), (wanted, expected) = gradients(parts), gradients([whole])
    assert loss == pytest.approx(wanted, rel=1e-5)
    for (weight, _), one, other in zip(weights, grads, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=lambda text, weight=weight: f"{weight} {text}")


@EVERY
def test_every_weight_that_is_read_learns(name: str, model: str) -> None:
    built, objective = made(name, model)
    objective(built, batches(built), np.random.default_rng(0))["loss"].backward()
    unread = {f"heads.{head}." for head in built.heads if head not in HEADS[type(CONFIGS[name])]}
    if name != "permuted":
        unread.add("input.query")
    for weight, parameter in [*built.named_parameters(), *objective.named_parameters()]:
        learns = parameter.grad is not None and bool(parameter.grad.any())
        assert learns != weight.startswith(tuple(unread)), weight


@ONE_EACH
def test_a_tiny_batch_is_learnt_by_heart(name: str, model: str) -> None:
    built, objective = made(name, model)
    example = objective.draw(batches(built), np.random.default_rng(0))
    weights = [*built.parameters(), *objective.parameters()]
    assert len({id(weight) for weight in weights}) == len(weights)
    optimiser = torch.optim.AdamW(weights, lr=3e-3)
    first = objective(built, example)
    for _ in range(60):
        optimiser.zero_grad()
        found = objective(built, example)
        found["loss"].backward()
        optimiser.step()
    for term, weight in {**dict.fromkeys(found, 1.0), **objective.weights}.items():
        if weight:
            assert found[term].item() < 0.15 * first[term].item(), f"{term}: {first[term]} became {found[term]}"


@ONE_EACH
@pytest.mark.parametrize("token", [-3, V, 2**31 - 1])
def test_ids_that_no_tokenizer_gave_are_refused_in_one_line(name: str, model: str, token: int) -> None:
    built, objective = made(name, model)
    batch = Batch.of([[CLS, 7, SEP, 8, token, 9, SEP]], [[0, 0, 0, 1, 1, 1, 1]])
    with pytest.raises(InputError, match=rf"^token id {token} \(place 4 of the batch\) .* from 0 to {V - 1}; [^\n]*$"):
        objective(built, replace(batch, labels=np.array([0])), np.random.default_rng(0))


@ONE_EACH
def test_a_batch_without_a_word_has_no_loss_of_telling_tokens(name: str, model: str) -> None:
    built, objective = made(name, model)
    empty = Batch.of([[CLS, SEP, SEP]] * 2, [[0, 0, 1]] * 2)
    found = objective(built, replace(empty, labels=np.array([0, 1])), np.random.default_rng(0))
    assert found["loss"].isfinite()
    assert name == "causal" or found.get("mlm", found.get("nll")).item() == 0  # type: ignore[union-attr]
    found["loss"].backward()


@pytest.mark.parametrize("name", CONFIGS)
def test_architectures_that_do_not_fit_are_refused_in_one_line_with_a_way_out(name: str) -> None:
    config = CONFIGS[name]
    for model in set(TINY) - set(FITS[type(config)]):
        with pytest.raises(InputError) as told:
            config.build(replace(preset(model), input=replace(preset(model).input, vocab_size=V)), tokenizer())
        message = str(told.value)
        assert type(config).__name__ in message
        assert "\n" not in message
        assert any(word in message for word in ("; take ", "; add ", "; set ")), message


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_survives_a_plain_tree_and_says_what_texts_it_takes(name: str) -> None:
    config = CONFIGS[name]
    assert from_tree(type(config), to_tree(config)) == config
    assert "texts" not in to_tree(config)
    assert config.texts == ("pairs" if name in ("next", "order") else "rows")


def test_a_batch_needs_to_be_told_by_what_generator_it_is_drawn() -> None:
    built, objective = made("masked", "bert-tiny")
    with pytest.raises(InputError, match="a batch needs rng"):
        objective(built, batches(built))
