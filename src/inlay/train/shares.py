"""Tensors of which each process holds a share: put together, and shared out again. Whole ones pass as they are."""

from collections.abc import Mapping

from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with all processes' shares of them; all processes must ask."""
    return {name: one.full_tensor() if isinstance(one, DTensor) else one for name, one in tensors.items()}


def shared(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on `like`'s device, or this process's share of it where `like` is one."""
    if isinstance(like, DTensor):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value.to(like.device)
