"""The processes that train together, as torchrun starts them, and how a learner is spread over them.

Each has its own micro-batches of a step; what one process would have computed from all of them, they compute together.
Numbers and texts are all that they send each other beside tensors: nothing is pickled.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from inlay.errors import InputError
from inlay.model.stack import Transformer
from inlay.train.learner import Learner
from inlay.train.voice import attempt, speaks

Found = TypeVar("Found")

Spread = Literal["ddp", "fsdp"]
"""ddp: every process holds the whole model (Li et al. 2020, arXiv:2006.15704). fsdp: each holds a share of every
weight, gradient and moment, and weights come together block by block (Zhao et al. 2023, arXiv:2304.11277)."""

_PATIENCE = timedelta(days=365)
"""How long a process waits for work that only one can do; that one having ended is noticed at once all the same."""


class Lost(InputError):
    """Another process of the run is gone."""


@dataclass(frozen=True)
class World:
    """This process is number `rank` of `size`."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")
    line: "dist.ProcessGroup | None" = None
    """What numbers go over: the CPU, where they are exact, also while tensors go over another net."""
    patient: "dist.ProcessGroup | None" = None
    """The same without a limit of time."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Number by number the sum over all processes, which all must ask for."""
        if self.size == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(found, group=self.line)
        return found.tolist()

    def lead(self, work: Callable[[], Found]) -> Found | None:
        """What the first process makes of it, which the others wait for as long as it takes; None for those.

        Where it fails, or the process is gone, they end too.
        """
        found = work() if self.first else None
        if self.size > 1:
            dist.broadcast(torch.zeros(1), src=0, group=self.patient)
        return found

    def tell(self, text: str) -> str:
        """What the first process says, which the others wait for as long as it takes."""
        if self.size == 1:
            return text
        said = torch.tensor(list(text.encode()), dtype=torch.uint8)
        length = torch.tensor([len(said)])
        dist.broadcast(length, src=0, group=self.patient)
        if not self.first:
            said = torch.empty(int(length), dtype=torch.uint8)
        if len(said):
            dist.broadcast(said, src=0, group=self.patient)
        return bytes(said.tolist()).decode()


@contextmanager
def join(device: torch.device | str = "cpu", *, timeout_s: float = 600) -> Iterator[World]:
    """The world that torchrun's variables tell of; alone without them. A process that ends is an error for the others
    at once, one that is silent after `timeout_s`."""
    told, device = os.environ.get("WORLD_SIZE", "1"), torch.device(device)
    if told == "1":
        yield World(device=device)
        return
    if device.type == "cuda":
        device = _card()
    wait = timedelta(seconds=timeout_s)
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=wait))
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            timeout=wait,
            store=dist.PrefixStore(attempt(), store),
            rank=rank,
            world_size=size,
        )
    except (ValueError, dist.DistError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"WORLD_SIZE={told}, but the processes do not meet ({reason}); start them by torchrun, or unset WORLD_SIZE"
        ) from error
    line = dist.new_group(backend="gloo", timeout=wait)
    patient = dist.new_group(backend="gloo", timeout=_PATIENCE)
    try:
        yield World(rank, size, device, line, patient)
    except BaseException as error:
        speaks()  # while the others still hear this process: what they are to see of it is that it ends
        if device.type == "cpu":  # with NCCL it would wait for those who are gone
            dist.destroy_process_group()
        if _is_lost(error):
            raise Lost(
                "another process of this run has ended, or cannot be reached; the last checkpoint is whole, and "
                "--resume auto goes on from it"
            ) from error
        raise
    dist.destroy_process_group()


def _card() -> torch.device:
    number, cards = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= cards:
        raise InputError(f"there are {cards} GPUs for the processes of this machine; give --nproc-per-node {cards}")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _is_lost(error: BaseException) -> bool:
    """Whether an error is that of the line to another process; gloo's are told by the place in it that they name."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "/gloo/" in str(error))


def spread(learner: Learner, world: World, how: Spread) -> nn.Module:
    """What to call in the learner's place, so that gradients are sums over all processes; the learner itself alone."""
    if world.size == 1:
        return learner
    if how == "ddp":
        # DDP listens to the weights that learn when it is made; a table that is frozen at first learns later.
        learner.model.input.at_step(1 << 62)
        # Heads that an objective does not read have no gradient, and a frozen table has none for some steps.
        found = DistributedDataParallel(learner, find_unused_parameters=True, gradient_as_bucket_view=True)
        found.register_comm_hook(None, _summed)
        learner.model.input.at_step(0)
        return found
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    stacks = [module for module in learner.modules() if isinstance(module, Transformer)]  # the objective's too
    for block in (block for stack in stacks for block in stack.blocks):
        fully_shard(block, mesh=mesh)
    fully_shard(learner, mesh=mesh)
    for module in learner.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return learner


def _summed(_: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """The sum, where DDP would take the mean: what one process adds up, and in fp16 as large as there."""
    return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(lambda done: done.value()[0])


@contextmanager
def together(spread: nn.Module, *, last: bool) -> Iterator[None]:
    """Gradients of whole weights are brought together in the last micro-batch of a step alone; before it they add up.

    By fsdp each micro-batch's are: to add them up first, a process would have to hold whole ones.
    """
    if isinstance(spread, DistributedDataParallel) and not last:
        with spread.no_sync():
            yield
        return
    yield


def check(world: World, accumulate: int) -> None:
    """InputError where the micro-batches of a step cannot be shared out evenly."""
    if accumulate % world.size:
        nearest = -(-accumulate // world.size) * world.size
        raise InputError(
            f"train.accumulate={accumulate} micro-batches cannot be shared by {world.size} processes; "
            f"set train.accumulate={nearest}"
        )
