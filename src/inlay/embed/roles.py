"""Roles of a text in a search: models that were trained with prompts read questions and documents differently."""

# N texts, D dimensions

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder

Role = Literal["query", "document"]


def encode_as(role: Role, embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors (N, D) of texts that are asked or searched, after the model's own prompt of that role if it has one.

    What models call the prompts of a role stands in `embedder.ASKED`.
    """
    return embedder.encode(texts, prompt=role)
