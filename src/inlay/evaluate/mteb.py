"""An embedder as mteb drives one: `mteb.evaluate(MtebEncoder(inlay.load("model")), tasks)`.

It answers both ways of asking: batches of a data loader with the task's metadata (mteb 2), and lists of texts with the
task's name (mteb 1). Nothing of mteb is needed to make it or to encode; only what mteb asks about the model is.
"""

# N texts, D dimensions

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.errors import InputError
from inlay.evaluate.encoding import Role

_ROLES: Mapping[str, Role] = {"query": "query", "document": "document", "passage": "document"}


class MtebEncoder:
    """What mteb calls an encoder: `encode`, `similarity`, `similarity_pairwise` and the model's metadata."""

    def __init__(self, embedder: Embedder, name: str = "inlay/model", revision: str | None = None) -> None:
        """`name` is what mteb files the results under, as organisation/model."""
        if name.count("/") != 1 or not all(name.split("/")):
            raise InputError(f"name={name!r} must be organisation/model, as mteb files results; try 'inlay/{name}'")
        self.embedder, self.name, self.revision = embedder, name, revision

    def encode(
        self,
        inputs: Iterable[Any],
        *,
        prompt_type: Any = None,
        batch_size: int | None = None,
        **asked: Any,
    ) -> NDArray[np.float32]:
        """The vectors (N, D) of the texts, in their order, whatever else mteb says of task, split and progress.

        `inputs` are texts, or batches of them: mappings with a list of texts under `text`. A `prompt_type` of query,
        document or passage puts the model's words for it before each text. Raises InputError for batches without texts.
        """
        texts = list(_texts(inputs))
        role = _ROLES.get(str(getattr(prompt_type, "value", prompt_type)))
        named: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}
        return self.embedder.encode(texts, prompt=role, **named)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """(N, M) the cosine of every two, as a torch tensor, which is what mteb works on."""
        import torch

        return torch.from_numpy(_units(embeddings1) @ _units(embeddings2).T)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """(N,) the cosine of each two that stand in the same place, as a torch tensor."""
        import torch

        return torch.from_numpy(np.einsum("nd,nd->n", _units(embeddings1), _units(embeddings2)))

    @property
    def mteb_model_meta(self) -> Any:
        """What mteb writes beside the results; needs mteb."""
        try:
            from mteb.models.model_meta import ModelMeta
        except ImportError:
            raise InputError("the model's metadata need mteb: pip install mteb") from None
        about = {
            "name": self.name,
            "revision": self.revision,
            "embed_dim": self.embedder.dim,
            "max_tokens": getattr(self.embedder, "max_length", None),
            "similarity_fn_name": _cosine(),
        }
        return ModelMeta.create_empty(overwrites={key: value for key, value in about.items() if value is not None})


def _texts(inputs: Iterable[Any]) -> Iterable[str]:
    if isinstance(inputs, str):
        raise InputError(f"one text ({inputs[:40]!r}) where texts or batches of them are wanted; put it in a list")
    for batch in inputs:
        if isinstance(batch, str):
            yield batch
        elif isinstance(batch, Mapping) and isinstance(found := batch.get("text"), Sequence):
            yield from [found] if isinstance(found, str) else found
        else:
            held = f"fields {', '.join(map(repr, batch))}" if isinstance(batch, Mapping) else type(batch).__name__
            raise InputError(f"a batch without texts ({held}): this model reads text alone; choose tasks on text")


def _units(rows: Any) -> NDArray[np.float32]:
    found = np.atleast_2d(np.asarray(rows, np.float32))
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(lengths > 0, lengths, 1), np.float32)


def _cosine() -> Any:
    from mteb.models.model_meta import ScoringFunction

    return ScoringFunction.COSINE
