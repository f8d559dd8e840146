"""How models run: step by step with a cache, with masked heads, recomputed, compiled, in half precision, fused."""

from dataclasses import replace

import pytest
import torch
from families import CAUSAL, TINY, answers, build, texts
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from inlay.batch import Batch
from inlay.config import override
from inlay.errors import InputError
from inlay.model.cache import Cache
from inlay.model.model import Model
from inlay.model.presets import preset

# N packed tokens, B texts, D model


@torch.no_grad()
@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("steps", [[1] * 8, [3, 1, 4], [8]], ids=str)
def test_decoding_in_steps_gives_the_rows_of_one_pass(name: str, steps: list[int]) -> None:
    model = build(name)
    assert model.decoder is not None
    config = model.config
    source = texts(config, lengths=[4, 11, 2]).batch()[0] if config.encoder else None
    memory = None if source is None else model.encode(source)
    ids = texts(replace(config, encoder=None) if source is None else config, seed=2, lengths=[8, 8, 8]).ids
    whole = model.decode(Batch.of(ids), memory).unflatten(0, (3, 8))
    cache, done, found = Cache(config.decoder.n_layers, 3), 0, []
    for step in steps:
        rows = model.decode(Batch.of([text[done : done + step] for text in ids]), memory, cache)
        found.append(rows.unflatten(0, (3, step)))
        done, memory = done + step, None  # from now on the cache has what the decoder reads
    torch.testing.assert_close(torch.cat(found, 1), whole, atol=1e-9, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", CAUSAL)
def test_texts_of_unequal_length_are_continued_each_from_its_own_end(name: str) -> None:
    model = build(name)
    config, lengths = model.config, [6, 2, 4]
    source = texts(config, lengths=[4, 11, 2]).batch()[0] if config.encoder else None
    memory = None if source is None else model.encode(source)
    ids = texts(config, seed=3, lengths=[n + 3 for n in lengths]).ids
    whole = model.decode(Batch.of(ids), memory).split([len(text) for text in ids])
    cache = Cache(config.decoder.n_layers, 3)
    model.decode(Batch.of([text[:n] for text, n in zip(ids, lengths, strict=True)]), memory, cache)
    for step in range(3):
        rows = model.decode(Batch.of([[text[n + step]] for text, n in zip(ids, lengths, strict=True)]), None, cache)
        expected = torch.stack([one[n + step] for one, n in zip(whole, lengths, strict=True)])
        torch.testing.assert_close(rows, expected, atol=1e-9, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", CAUSAL)
def test_a_cache_keeps_the_texts_that_are_chosen_in_their_order(name: str) -> None:
    model = build(name)
    config, chosen = model.config, [2, 0, 0]
    source = texts(config, lengths=[4, 7, 2]).batch()[0] if config.encoder else None
    memory = None if source is None else model.encode(source)
    ids = texts(config, seed=3, lengths=[5, 3, 4]).ids
    cache = Cache(config.decoder.n_layers, 3)
    model.decode(Batch.of(ids), memory, cache)
    cache.select(chosen)
    rows = model.decode(Batch.of([[7], [8], [9]]), None, cache)
    for i, text in enumerate(chosen):
        expected = model.decode(Batch.of([ids[text] + [7 + i]]), memory and memory.select([text]))[-1]
        torch.testing.assert_close(rows[i], expected, atol=1e-9, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", CAUSAL)
def test_a_cache_takes_packed_texts_masks_heads_and_collects_states_as_one_pass_does(name: str) -> None:
    model = build(name)
    shape, some = model.config.decoder, texts(model.config, seed=4, lengths=[6, 6]).ids
    memory = model.encode(Batch.of([[3, 4], [5]])) if model.config.encoder else None
    mask = torch.rand(shape.n_layers, shape.n_heads, dtype=torch.float64)
    states, late = list[Tensor](), list[Tensor]()
    whole = model.decode(Batch.of(some), memory, head_mask=mask, states=states).unflatten(0, (2, 6))
    cache = Cache(shape.n_layers, 2)
    model.decode(model.pack(Batch.of([text[:4] for text in some])), memory, cache, head_mask=mask)
    rows = model.decode(model.pack(Batch.of([text[4:] for text in some])), None, cache, head_mask=mask, states=late)
    torch.testing.assert_close(rows.unflatten(0, (2, 2)), whole[:, 4:], atol=1e-9, rtol=0)
    for one, other in zip(late, states, strict=True):
        torch.testing.assert_close(one.unflatten(0, (2, 2)), other.unflatten(0, (2, 6))[:, 4:], atol=1e-9, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("steps", [[1] * 40, [5, 30, 1, 4]], ids=["by one", "by many"])
@pytest.mark.parametrize("relative", [None, {"kind": "T5Buckets"}, {"kind": "Shaw"}], ids=str)
def test_near_layers_see_near_tokens_from_a_cache_too_however_often_it_grows(relative, steps: list[int]) -> None:
    local = {"kind": "Local", "reach": 3, "every": 2, "relative": relative}
    model = override(preset("gpt2-tiny"), {"decoder.local": local, "decoder.n_layers": 3}).build(seed=2)
    model, (ids,), done = model.double().eval(), texts(model.config, lengths=[40]).ids, 0
    cache, rows = Cache(3, 1), list[Tensor]()
    for step in steps:
        rows.append(model.decode(Batch.of([ids[done : done + step]]), None, cache))
        done += step
    torch.testing.assert_close(torch.cat(rows), model(Batch.of([ids])), atol=1e-9, rtol=0)


@torch.no_grad()
def test_an_error_leaves_the_cache_as_it_was() -> None:
    model = build("gpt2-tiny")
    long, cache = model.config.input.position.max_len, Cache(model.config.decoder.n_layers, 1)
    model.decode(Batch.of([[1, 2, 3]]), None, cache)
    for bad, message in (
        (Batch.of([[1] * (long - 2)]), f"{long + 1:,} tokens"),
        (Batch.of([[1], [1]]), "holds 1 texts"),
    ):
        with pytest.raises(InputError, match=message):
            model.decode(bad, None, cache)
    assert cache.lengths == [3]
    rest = [i % 1000 for i in range(long - 3)]
    whole = model(Batch.of([[1, 2, 3, *rest]]))  # which just fits
    torch.testing.assert_close(model.decode(Batch.of([rest]), None, cache), whole[3:], atol=1e-9, rtol=0)


def test_a_cache_by_which_steps_would_differ_from_one_pass_is_refused() -> None:
    def refuse(message: str, change: dict, batch: Batch, cache: Cache, source: Batch | None = None) -> None:
        model = override(preset("t5-tiny" if source else "gpt2-tiny"), change).build()
        with pytest.raises(InputError, match=message):
            model.decode(batch, model.encode(source) if source else None, cache)

    one, parts, both = Batch.of([[1]]), Batch.of([[1, 2]], [[0, 1]]), Batch.of([[1], [2]])
    n = preset("gpt2-tiny").decoder.n_layers
    with pytest.raises(InputError, match=r"give memory=model\.encode"):
        preset("t5-tiny").build().decode(one, None, Cache(preset("t5-tiny").decoder.n_layers, 1))
    refuse("for a causal decoder", {"decoder.causal": False}, one, Cache(n, 1))
    refuse("keeps no segments", {"decoder.relative": {"kind": "XLRelative"}}, parts, Cache(n, 1))
    refuse("the cache has 1 layers", {}, one, Cache(1, 1))
    refuse("the cache holds 2 texts", {}, one, Cache(n, 2))
    refuse("source 1 has no tokens", {}, both, Cache(preset("t5-tiny").decoder.n_layers, 2), Batch.of([[1], []]))


@torch.no_grad()
@pytest.mark.parametrize("name", TINY)
def test_a_head_masked_out_is_a_head_whose_way_out_is_zero(name: str) -> None:
    model = build(name)
    stack = model.decoder or model.encoder
    assert stack is not None
    batch, target = texts(model.config, lengths=[5, 8]).batch()
    shape = stack.stack
    whole = model(batch, target)
    mask = torch.ones(shape.n_layers, shape.n_heads, dtype=torch.float64)
    torch.testing.assert_close(model(batch, target, head_mask=mask), whole, atol=0, rtol=0)
    mask[:, 1] = 0  # in all layers, since they may share their block
    masked = model(batch, target, head_mask=mask)
    for block in stack.blocks:
        block.attention.out.weight[:, shape.d_key : 2 * shape.d_key] = 0
    torch.testing.assert_close(masked, model(batch, target), atol=1e-12, rtol=0)
    assert not torch.allclose(masked, whole, atol=1e-3)


@pytest.mark.parametrize("name", TINY)
def test_recomputing_blocks_changes_no_gradient_and_keeps_less(name: str) -> None:
    model = build(name, dtype=torch.float32).train()
    batch, target = texts(model.config, lengths=[9, 12]).batch()
    (plain, kept), (again, fewer) = (_gradients(model, batch, target, checkpointing=on) for on in (False, True))
    assert plain.keys() == again.keys()
    for weight, gradient in plain.items():
        assert torch.equal(again[weight], gradient), weight
    assert fewer < kept / 2


def _gradients(
    model: Model, batch: Batch, target: Batch | None, *, checkpointing: bool
) -> tuple[dict[str, Tensor], int]:
    """Gradients of all weights, with dropout, and the bytes that the forward pass keeps for them."""
    sizes = dict[int, int]()

    def keep(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    for stack in (model.encoder, model.decoder):
        if stack is not None:
            stack.checkpointing = checkpointing
    model.zero_grad()
    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        torch.manual_seed(0)
        rows = model(batch, target)
        size = sum(bytes_ for place, bytes_ in sizes.items() if place not in weights)
        rows.square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, size


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite_forward_and_back_and_near_single(name: str, dtype: torch.dtype) -> None:
    model = preset(name).build(seed=1).eval()
    batch, target = texts(model.config).batch()
    with torch.autocast("cpu", dtype=dtype):
        found = answers(model, batch, target)
    sum(one.float().square().mean() for text in found for one in text.values()).backward()
    assert all(one.isfinite().all() for text in found for one in text.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    with torch.no_grad():
        exact = answers(model, batch, target)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one["rows"].float(), other["rows"], atol=0.15, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["modernbert-tiny", "modern-tiny"])
@pytest.mark.parametrize(("length", "at"), [(24, 9), (7, 0)], ids=["long", "one token beyond"])
def test_local_layers_hide_far_tokens_and_global_ones_do_not(name: str, length: int, at: int) -> None:
    model = override(preset(name), {"encoder.local.reach": 5}).build(seed=1).eval()
    states: list[Tensor] = []
    with torch.enable_grad():
        model(texts(model.config, lengths=[length]).batch()[0], states=states)
    for layer in range(4):
        with torch.enable_grad():
            (flow,) = torch.autograd.grad(states[layer + 1][at].square().sum(), states[layer], retain_graph=True)
        seen = set(flow.abs().sum(-1).nonzero().flatten().tolist())
        near = range(max(0, at - 5), min(length, at + 6))
        assert seen == set(range(length) if layer in (0, 3) else near)


@torch.no_grad()
def test_a_compiled_stack_gives_equal_rows() -> None:
    model = build("bert-tiny", dtype=torch.float32)
    batch = texts(model.config, lengths=[7, 7, 7]).batch()[0]
    eager = model(batch)
    model.encoder.compile(backend="aot_eager")
    torch.testing.assert_close(model(batch), eager, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("lengths", [[12, 12, 12], [3, 12, 7]], ids=["even", "mixed"])
@pytest.mark.parametrize("name", TINY)
def test_attention_runs_in_the_fused_kernel(name: str, lengths: list[int]) -> None:
    model = preset(name).build(seed=1).eval()
    batch, target = texts(model.config, lengths=lengths).batch()
    with profile(activities=[ProfilerActivity.CPU]) as record:
        model(batch, target)
    names = {event.key for event in record.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in names
    assert "aten::_scaled_dot_product_attention_math" not in names
