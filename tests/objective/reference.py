"""Tiny models of the reference library with every weight drawn, the same as ours, and rectangles of what both read."""

import tempfile
from typing import Any

import numpy as np
import torch
from made_texts import V

from inlay.batch import Batch
from inlay.convert import load_model
from inlay.convert.families import FAMILIES
from inlay.model.model import Model

SIZES = {
    "vocab_size": V,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def both(cls: Any, **settings: Any) -> tuple[Any, Model]:
    """Their model in training mode, dropout aside, and ours by way of the folder that they write."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = cls(cls.config_class(**settings))
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter += torch.randn(parameter.shape) * 0.1
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return theirs, load_model(folder).train()


def padded(batch: Batch) -> dict[str, torch.Tensor]:
    """What their models are called with: padding at the end."""
    keep = np.arange(batch.lengths.max()) < batch.lengths[:, None]
    found = {"input_ids": spread(batch, batch.ids, 0), "attention_mask": torch.tensor(keep).long()}
    return found | ({} if batch.segments is None else {"token_type_ids": spread(batch, batch.segments, 0)})


def spread(batch: Batch, numbers: np.ndarray, empty: int) -> torch.Tensor:
    """(N,) -> (B, T), `empty` where there is no token."""
    keep = np.arange(batch.lengths.max()) < batch.lengths[:, None]
    rectangle = np.full(keep.shape, empty, np.int64)
    rectangle[keep] = numbers
    return torch.tensor(rectangle)


def labels(batch: Batch, at: np.ndarray, tokens: np.ndarray) -> torch.Tensor:
    """(B, T): the tokens at those places, -100 elsewhere."""
    asked = np.full(len(batch.ids), -100, np.int64)
    asked[at] = tokens
    return spread(batch, asked, -100)


def same_gradients(theirs: Any, ours: Model) -> None:
    """Every gradient of theirs is ours too; what nothing reached has none, or zeros."""
    grads = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in ours.named_parameters()}
    found = FAMILIES[ours.config.family].names(ours.config).theirs(grads)
    for name, parameter in theirs.named_parameters():
        wanted = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(
            found[name], wanted, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def same_rewriting(asked: Any, ours: Model, theirs: Any, made: Any) -> None:
    """The mean error of what is written, and every gradient, as the reference library has them."""

    def padded_ids(batch: Batch, ids: np.ndarray, fill: int) -> torch.Tensor:
        texts = [torch.tensor(text.tolist()) for text in np.split(ids, batch.starts[1:])]
        return torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=fill)

    source, wanted_ids = padded_ids(made.source, made.source.ids, -1), padded_ids(made.target, made.labels, -100)
    wanted = theirs(input_ids=source.clamp(0), attention_mask=(source >= 0).long(), labels=wanted_ids).loss
    wanted.backward()
    found = asked(ours.eval(), made)["loss"]
    found.backward()
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    names = FAMILIES[ours.config.family].names(ours.config)
    gradients = names.theirs({name: weight.grad for name, weight in ours.named_parameters()})
    for name, weight in theirs.named_parameters():
        torch.testing.assert_close(gradients.pop(name), weight.grad, rtol=1e-4, atol=1e-6)
    assert not gradients


def learnt_by_heart(asked: Any, model: Model, made: Any, *, steps: int = 60, lr: float = 1e-2) -> None:
    """From no idea to hardly an error on one example, by plain Adam."""
    optimizer = torch.optim.Adam([*model.parameters(), *asked.parameters()], lr=lr)
    losses = []
    for _ in range(steps):
        loss = asked(model, made)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < 3 < losses[0]
