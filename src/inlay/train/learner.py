"""Learner: all that is trained, the model and what its objective has of its own, as one module."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from inlay.model.model import Model
from inlay.objective.objective import Example, Objective
from inlay.train.shares import shared


class Learner(nn.Module):
    """`learner(example, over)` is the objective's answer; its parameters are `model.…` and `objective.…`, each once."""

    def __init__(self, model: Model, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, example: Example, over: Mapping[str, float]) -> dict[str, Tensor]:
        return self.objective(self.model, example, over=over)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What a checkpoint holds: parameters and lasting buffers, shared ones under their first name."""
        lasting = self.state_dict().keys()
        yield from self.named_parameters()
        yield from ((name, buffer) for name, buffer in self.named_buffers() if name in lasting)

    @torch.no_grad()
    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy values into the tensors of these names; names and shapes must be the same."""
        for name, own in self.tensors():
            own.copy_(shared(tensors[name], own))

    @torch.no_grad()
    def exchange(self, tensors: Mapping[str, Tensor]) -> None:
        """Let these tensors and its own of the same names change values, in the memory of one of them."""
        for name, own in self.tensors():
            kept = own.detach().clone()
            own.copy_(tensors[name])
            tensors[name].copy_(kept)
