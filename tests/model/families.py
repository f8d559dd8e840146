"""The tiny member of every family, its weights made large enough that everything in it can be seen to work."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from inlay.batch import Batch
from inlay.model.model import Model, ModelConfig, Queries
from inlay.model.presets import PRESETS, preset

TINY = [name for name in PRESETS if "tiny" in name]
CAUSAL = [name for name in TINY if PRESETS[name].decoder is not None]
LENGTHS = [5, 1, 9, 30, 9, 3]


@dataclass(frozen=True)
class Texts:
    """Texts of a family: what it reads, and what it writes where it has an encoder and a decoder."""

    ids: list[list[int]]
    segments: list[list[int]] | None
    targets: list[list[int]] | None

    def batch(self, order: list[int] | None = None) -> tuple[Batch, Batch | None]:
        order = list(range(len(self.ids))) if order is None else order
        segments = self.segments and [self.segments[i] for i in order]
        targets = self.targets and Batch.of([self.targets[i] for i in order])
        return Batch.of([self.ids[i] for i in order], segments), targets or None


def build(name: str, *, seed: int = 1, dtype: torch.dtype = torch.float64) -> Model:
    """The preset in evaluation mode; every weight is drawn wide, biases and gains too, so that none hides."""
    config = preset(name)
    if config.encoder and config.encoder.local:  # near enough that short texts have far tokens
        near = replace(config.encoder.local, reach=4)
        config = replace(config, encoder=replace(config.encoder, local=near))
    model = config.build(seed=seed).eval()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            width = 0.3 if parameter.dim() < 2 else 1.5 * parameter.size(-1) ** -0.5
            centre = 1.0 if parameter.dim() < 2 and bool((parameter == 1).all()) else 0.0
            parameter.copy_(centre + width * torch.randn(parameter.shape, generator=rng))
    return model.to(dtype)


def texts(config: ModelConfig, *, seed: int = 0, lengths: list[int] | None = None) -> Texts:
    """Random texts, of two segments where the family reads any, with targets where it writes beside reading."""
    rng = np.random.default_rng(seed)
    lengths = lengths or LENGTHS

    def draw(n: int) -> list[int]:
        return rng.integers(0, config.vocab_size, n).tolist()

    ids = [draw(n) for n in lengths]
    two = config.input.n_segments > 1 or config.family == "xlnet"
    segments = [[int(i > n // 2) for i in range(n)] for n in lengths] if two else None
    return Texts(ids, segments, [draw(1 + n % 7) for n in lengths] if config.encoder and config.decoder else None)


def answers(model: Model, batch: Batch, target: Batch | None) -> list[dict[str, Tensor]]:
    """For each text its rows, and what every head says of it."""
    rows, read = model(batch, target), batch if target is None else target
    layout = model.pack(read).layout
    found = {"rows": rows} | {name: model.read(name, rows, layout) for name in model.heads}
    split = {name: one if name in ("pooler", "pair") else one.split(layout.lengths) for name, one in found.items()}
    return [{name: one[text] for name, one in split.items()} for text in range(len(read))]


def second_stream(model: Model, batch: Batch) -> Tensor:
    """XLNet's rows for the last token of every text, told from all the others."""
    lengths = batch.lengths.tolist()
    queries = Queries(model.input.queries(len(lengths)), [1] * len(lengths), [n - 1 for n in lengths])
    return model(batch, queries=queries)
