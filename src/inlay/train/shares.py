"""Tensors of which each process holds a share: put together, and shared out again. Whole ones pass as they are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn


def is_share(tensor: Tensor) -> bool:
    """Whether this process holds a part of it alone: a DTensor, whose module takes seconds to import."""
    return hasattr(tensor, "full_tensor")


def of_share(tensor: Tensor) -> Tensor:
    """The part that this process holds; nobody else is asked."""
    return tensor.to_local() if is_share(tensor) else tensor  # type: ignore[attr-defined]


def whole(tensors: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """The tensors with all processes' shares of them; all processes must ask, and who does not `keep` gets none.

    They come together one after another; those that were in shares are on the CPU then.
    """
    found = {}
    for name, one in tensors.items():
        together = one.detach().full_tensor() if is_share(one) else one  # type: ignore[attr-defined]
        if keep:
            found[name] = together.cpu() if is_share(one) else together
    return found


def shared(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on `like`'s device, or this process's share of it where `like` is one."""
    if not is_share(like) or is_share(value):
        return value.to(like.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # Every process has the whole one at hand, most often in a file of which it reads its share alone.
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@contextmanager
def put_together(module: nn.Module, *, keep: bool) -> Iterator[None]:
    """Within it the module has whole weights where `keep` is True, to be read and not to be called; all must ask."""
    apart(module)
    known: dict[Tensor, Tensor | None] = {}
    places = []
    for inner in module.modules():
        for name, weight in inner.named_parameters(recurse=False):
            if is_share(weight):
                if weight not in known:  # one that stands in several places comes together once, for all who ask
                    known[weight] = whole({name: weight}, keep=keep).get(name)
                places.append((inner, name, weight))
    try:
        for inner, name, weight in places if keep else ():
            together = known[weight]
            assert together is not None
            inner.register_parameter(name, nn.Parameter(together, requires_grad=False))
        yield
    finally:
        for inner, name, weight in places:
            inner.register_parameter(name, weight)


def apart(module: nn.Module) -> None:
    """Let go of what a forward pass brought together, where no backward pass followed that would."""
    for inner in module.modules():
        if hasattr(inner, "reshard"):
            inner.reshard()  # type: ignore[operator]
