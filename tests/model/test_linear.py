"""Products by either library agree, and the faster one is taken only where it may be."""

import pytest
import torch
import torch.nn.functional as F

from inlay.model import linear
from inlay.model.linear import Linear, product

needs_onednn = pytest.mark.skipif(linear._onednn is None, reason="this processor is as fast by MKL")


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 500])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strided", [True, False])
def test_rows_times_a_matrix_are_the_same_by_either_library(rows: int, bias: bool, strided: bool) -> None:
    layer = Linear(48, 36, bias=bias)
    x = torch.randn(rows, 96)[:, ::2] if strided else torch.randn(rows, 48)
    with torch.inference_mode():
        assert torch.allclose(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-5)
        assert torch.allclose(product(x, layer.weight[:12], None), F.linear(x, layer.weight[:12]), atol=1e-5)


@needs_onednn
def test_the_faster_library_is_taken_for_inference_in_single_precision_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(linear, "_onednn", lambda x, w, b, *rest: calls.append(len(x)) or F.linear(x, w, b))
    layer, x = Linear(8, 8), torch.randn(100, 8)
    layer(x).sum().backward()
    with torch.no_grad():
        layer(x[:10])
        layer.double()(x.double())
        layer.float()
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
        assert calls == []
        layer(x)
    assert calls == [100]
