"""The error of telling tokens: rows of a stack against the token table, on the chosen rows only.

M chosen rows, D model, E embedding, V vocabulary.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inlay.errors import InputError
from inlay.model.heads import LanguageModule
from inlay.model.model import Model, ModelConfig
from inlay.objective.crossentropy import cross_entropy


def token_nll(model: Model, rows: Tensor, tokens: Tensor) -> Tensor:
    """The sum of -log P(token) in nats over M rows (M, D), the tokens given by id (M,)."""
    head = model.heads["language"]
    assert isinstance(head, LanguageModule)
    return cross_entropy(*head.compared(rows, model.input.table()), tokens)


def on(model: Model, array: NDArray[np.integer]) -> Tensor:
    """The array as int64 on the model's device."""
    return torch.from_numpy(np.ascontiguousarray(array, np.int64)).to(model.device, non_blocking=True)


def need_head(config: ModelConfig, name: str, objective: str) -> None:
    """InputError where the architecture lacks the head that an objective reads."""
    names = [head.name for head in config.heads]
    if name not in names:
        has = f"it has {', '.join(names)}" if names else "it has none"
        raise InputError(f"{objective} reads the {name} head, which this architecture lacks ({has}); add it to heads")
