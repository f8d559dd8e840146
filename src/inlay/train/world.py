"""The processes that train together, as torchrun starts them, and how a learner is spread over them.

Each has its own micro-batches of a step; what one process would have computed from all of them, they compute together.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from inlay.errors import InputError
from inlay.train.learner import Learner

Spread = Literal["ddp", "fsdp"]
"""ddp: every process holds the whole model (Li et al. 2020, arXiv:2006.15704). fsdp: each holds a share of every
weight, gradient and moment, and weights come together block by block (Zhao et al. 2023, arXiv:2304.11277)."""


@dataclass(frozen=True)
class World:
    """This process is number `rank` of `size`."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Number by number the sum over all processes, which all must ask for."""
        if self.size == 1:
            return list(values)
        kind = torch.float64 if self.device.type == "cpu" else torch.float32
        together = torch.tensor(values, dtype=kind, device=self.device)
        dist.all_reduce(together)
        return together.tolist()

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.size > 1:
            dist.barrier()

    def tell(self, text: str) -> str:
        """What the first process says, to all."""
        if self.size == 1:
            return text
        mine = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(self.device)
        length = int(self.sum([len(mine) if self.first else 0])[0])
        said = mine if self.first else torch.empty(length, dtype=torch.uint8, device=self.device)
        dist.broadcast(said, src=0)
        return bytes(said.tolist()).decode()


@contextmanager
def join(device: torch.device | str = "cpu", *, timeout_s: float = 600) -> Iterator[World]:
    """The world that torchrun's variables tell of; alone without them. A process that is gone is an error for the
    others after `timeout_s`, at the latest."""
    size, device = int(os.environ.get("WORLD_SIZE", "1")), torch.device(device)
    if size == 1:
        yield World(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
    try:
        yield World(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()


def spread(learner: Learner, world: World, how: Spread) -> nn.Module:
    """What to call in the learner's place, so that all processes' gradients come together; the learner itself alone.

    A gradient is then the mean over processes.
    """
    if world.size == 1:
        return learner
    if how == "ddp":
        ids = [world.device.index] if world.device.type == "cuda" else None
        # Heads that an objective does not read have no gradient, and a frozen table has none for some steps.
        return DistributedDataParallel(learner, device_ids=ids, find_unused_parameters=True)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    for stack in (learner.model.encoder, learner.model.decoder):
        for block in stack.blocks if stack is not None else ():
            fully_shard(block, mesh=mesh)
    fully_shard(learner, mesh=mesh)
    return learner


@contextmanager
def together(spread: nn.Module, *, last: bool) -> Iterator[None]:
    """Gradients are brought together in the last micro-batch of a step alone; before it they only add up."""
    if isinstance(spread, DistributedDataParallel) and not last:
        with spread.no_sync():
            yield
        return
    if hasattr(spread, "set_requires_gradient_sync"):
        spread.set_requires_gradient_sync(last)
    yield


def check(world: World, accumulate: int) -> None:
    """InputError where the micro-batches of a step cannot be shared out evenly."""
    if accumulate % world.size:
        nearest = -(-accumulate // world.size) * world.size
        raise InputError(
            f"train.accumulate={accumulate} micro-batches cannot be shared by {world.size} processes; "
            f"set train.accumulate={nearest}"
        )
