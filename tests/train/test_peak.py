"""What a step needs, against what torch counts while it computes it; and what the machine reaches."""

import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from inlay.batch import Batch
from inlay.model.heads import LanguageHead
from inlay.model.model import ModelConfig
from inlay.model.presets import PRESETS, preset
from inlay.model.stack import Local
from inlay.train import peak
from inlay.train.peak import forward_flops, measured_peak, training_flops

TINY = sorted(name for name in PRESETS if name.endswith("-tiny") and name != "xlnet-tiny")


def batch_of(lengths: Sequence[int]) -> Batch:
    return Batch.of([[5] * length for length in lengths])


def counted(config: ModelConfig, source: Batch, target: Batch | None, chosen: int) -> tuple[int, int]:
    """What torch counts of the forward pass, and of forward and backward; every pair that may not be seen too."""
    model = config.build().eval()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        rows = model(source, target)
        packed = model.pack(source if target is None else target)
        if "language" in model.heads:
            rows = model.read("language", rows[:chosen], packed.layout)
        forward = counter.get_total_flops()
        rows.sum().backward()
    return forward, counter.get_total_flops()


def hidden_pairs(config: ModelConfig, lengths: Sequence[int], target: Sequence[int] | None) -> float:
    """What attention computes for nothing where it takes every pair: half of a causal stack's, the far ones of a
    local layer's."""
    total = 0.0
    for stack, texts in ((config.encoder, lengths), (config.decoder, lengths if config.encoder is None else target)):
        for layer in range(stack.n_layers if stack else 0):
            for t in texts or ():
                i = np.arange(t)
                sees = np.ones((t, t), bool)
                if stack.causal:
                    sees &= i[:, None] >= i
                if stack.local and layer % stack.local.every:
                    sees &= abs(i[:, None] - i) <= stack.local.reach
                total += 4 * stack.n_heads * stack.d_key * (~sees).sum()
    return total


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("lengths", [[24, 24, 24], [130]])
def test_forward_needs_what_torch_counts(name: str, lengths: list[int]) -> None:
    config = preset(name)
    target = [9] * len(lengths) if config.encoder and config.decoder else None
    heads = {"language": 7} if any(isinstance(head, LanguageHead) for head in config.heads) else {}
    theirs, _ = counted(config, batch_of(lengths), None if target is None else batch_of(target), 7)
    ours = forward_flops(config, lengths, target=target, heads=heads)
    assert ours + hidden_pairs(config, lengths, target) == theirs


@pytest.mark.parametrize("name", ["bert-tiny", "gpt2-tiny", "t5-tiny", "electra-tiny", "modern-tiny"])
def test_backward_needs_twice_as_much(name: str) -> None:
    config = preset(name)
    target = [20] * 3 if config.encoder and config.decoder else None
    forward, both = counted(config, batch_of([24] * 3), None if target is None else batch_of(target), 7)
    assert both == pytest.approx(3 * forward, rel=0.01)
    assert training_flops(config, [24] * 3, target=target) == 3 * forward_flops(config, [24] * 3, target=target)


def test_bert_base_needs_six_for_each_weight_and_token_and_twelve_for_each_layer_width_and_pair() -> None:
    config = preset("bert-base")
    blocks = 12 * (4 * 768**2 + 2 * 768 * 3072)
    tokens, chosen = 8 * 128, 150
    expected = 6 * blocks * tokens + 12 * 12 * 768 * 128 * tokens + 6 * chosen * (768 * 768 + 768 * 30_522)
    assert training_flops(config, [128] * 8, heads={"language": chosen}) == expected


def test_xlnet_counts_both_streams() -> None:
    config = preset("xlnet-tiny")
    stack = config.encoder
    assert stack is not None
    lengths, d, t = [32, 32], 64, 32
    content = 64 * 2 * (4 * d * d + 2 * d * stack.d_ffn) + 2 * t * t * 6 * d + 4 * t * d * d
    assert forward_flops(config, lengths) == stack.n_layers * content
    second = 10 * 2 * (2 * d * d + 2 * d * stack.d_ffn) + 10 * t / 2 * 6 * d
    idle = 64 * 2 * (2 * d * d + 2 * d * stack.d_ffn) + 2 * t * t * 6 * d  # the last layer's, but its keys and values
    assert forward_flops(config, lengths, queries=[4, 6]) == stack.n_layers * (content + second) - idle


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("reach", [None, 1, 3, 7, 8, 100])
@pytest.mark.parametrize("t", [0, 1, 2, 8, 9])
def test_visible_pairs_are_those_of_the_mask(t: int, reach: int | None, causal: bool) -> None:
    i = np.arange(t)
    sees = (abs(i[:, None] - i) <= (t if reach is None else Local(reach=reach).reach)) & (
        (i[:, None] >= i) | (not causal)
    )
    assert peak._visible(t, causal, reach) == sees.sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peak_is_above_a_product_that_is_timed_beside_it(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak, "_SECONDS", 0.05)
    monkeypatch.setitem(peak._SIZES, "cpu", (256, 512))
    peak._measure.cache_clear()
    found = measured_peak("cpu", dtype)
    a = torch.ones(512, 512, dtype=dtype)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    assert 0.2 < found * min(times) / (2 * 512**3) < 20
    start = time.perf_counter()
    assert measured_peak("cpu", dtype) == found  # measured once
    assert time.perf_counter() - start < 0.01
    peak._measure.cache_clear()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_faster_in_half_the_bits() -> None:
    assert measured_peak("cuda", torch.bfloat16) > 1.5 * measured_peak("cuda", torch.float32)
