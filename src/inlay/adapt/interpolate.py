"""Between two sets of weights: a point on the straight line from the base's to the tuned ones.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903 (WiSE-FT).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def between(
    base: "Mapping[str, torch.Tensor]", tuned: "Mapping[str, torch.Tensor]", share: float
) -> "dict[str, torch.Tensor]":
    """base + share · (tuned - base) for every tensor of floats; at 0 the base's bits, and at 1 the tuned ones.

    Other tensors are the base's. Names, shapes and types must be the same.
    """
    import torch

    assert base.keys() == tuned.keys()
    assert 0 <= share <= 1
    found = {}
    for name, old in base.items():
        new = tuned[name]
        assert old.shape == new.shape
        if not old.is_floating_point() or share == 0:
            found[name] = old.clone()
        else:
            found[name] = new.clone() if share == 1 else torch.lerp(old, new, share)
    return found
