"""The first weights of a model: drawn, or a token table of word vectors, or those of a model that is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inlay.convert import load_model
from inlay.errors import InputError
from inlay.live import say
from inlay.model.heads import LanguageHead
from inlay.model.input import Table
from inlay.model.model import Model, ModelConfig
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.architecture import check_savable
from inlay.train.recipe import FromVectors
from inlay.vectors.wordvectors import WordVectors


def for_vectors(config: ModelConfig, dim: int, freeze: int, place: str) -> ModelConfig:
    """The architecture with a token table as wide as the vectors, frozen for so many steps; InputError where that is
    none that its family has."""
    layer = replace(config.input, d_embed=0 if dim == config.d_model else dim, frozen=freeze or "never")
    if not isinstance(layer.token, Table):
        raise InputError("init.token fills a table, and model.input.token is read from characters; leave one out")
    wide = replace(config, input=layer)
    if dim != config.d_embed:
        try:
            check_savable(wide)
        except InputError:
            raise InputError(
                f"{place} has vectors of {dim} numbers, and the token table of {config.family} is as wide as its rows, "
                f"{config.d_model}; set model.d_model={dim}, or model.family='' (inlay's own layout, which projects)"
            ) from None
    return wide


def need_bias(config: ModelConfig) -> None:
    """InputError for an architecture whose language head has no bias, or that has none."""
    if not any(isinstance(head, LanguageHead) and head.bias for head in config.heads):
        raise InputError(
            f"init.frequencies fills the bias of the language head, which {config.family or 'this model'} has none of; "
            "leave it out"
        )


def from_vectors(model: Model, vectors: WordVectors, tokenizer: Tokenizer, init: FromVectors, seed: int) -> None:
    """Fill the token table, and say how much of the text starts from a vector."""
    coverage = model.input.start(vectors, tokenizer, init.pieces, scale=init.scale, center=init.center, seed=seed)
    say(str(coverage).splitlines()[0])


@torch.no_grad()
def from_frequencies(model: Model, counts: NDArray[np.int64]) -> None:
    """Set the language head's bias to the log of each token's share, one more of each counted; `counts` (V,)."""
    bias = model.state_dict()["heads.language.bias"]
    padded = np.ones(len(bias))
    padded[: len(counts)] += counts
    bias.copy_(torch.from_numpy(np.log(padded / padded.sum())))


@torch.no_grad()
def from_model(model: Model, folder: Path) -> None:
    """Copy the weights of a model folder; InputError for one whose body is another. Heads that it lacks stay drawn."""
    given, own = load_model(folder).state_dict(), model.state_dict()
    for name, value in own.items():
        if name in given:
            if given[name].shape != value.shape:
                raise InputError(
                    f"init.model={folder}: {name!r} has the shape {tuple(given[name].shape)}, the model of this run "
                    f"{tuple(value.shape)}; leave model.preset out, and the folder's own architecture is taken"
                )
            value.copy_(given[name])
        elif not name.startswith("heads."):
            raise InputError(
                f"init.model={folder} lacks {name!r}, which the model of this run has; leave model.preset out"
            )
    if odd := [name for name in given if name not in own and not name.startswith("heads.")]:
        raise InputError(
            f"init.model={folder} has {odd[0]!r}, which the model of this run has not; leave model.preset out"
        )
    if drawn := sorted({name.split(".")[1] for name in own.keys() - given.keys()}):
        say(f"note: {folder} has no weights of {', '.join(drawn)}; they begin as drawn")
