"""Export: an embedder as one ONNX file, our own graph, held against our own vectors before the file is there."""

# B texts, T tokens of the longest, D dimensions

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed import onnx_encoder, onnx_pool
from inlay.embed.context import ContextEmbedder
from inlay.embed.embedder import load
from inlay.embed.layers import combined, needed, width
from inlay.embed.onnx_graph import OPSET, Graph
from inlay.embed.pool import pool
from inlay.errors import InputError
from inlay.files import atomic_path, claim_output

TOKENS, VECTORS = "token_embeddings", "sentence_embedding"
TOLERANCE = 1e-5
"""What the two may differ by, as a share of the largest number, or of 1 where all are smaller."""
_LENGTHS = (1, 2, 3, 5, 9, 17, 33, 65)
_MINUTES = 10


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and how far it is from what it was made of."""

    file: Path
    opset: int
    inputs: tuple[str, ...]
    """Each (batch, length) int64; `attention_mask` is 1 where there is a token, on whichever side the padding is."""
    outputs: tuple[str, ...]
    dim: int
    max_length: int
    """Tokens that the model takes at most, special ones included."""
    megabytes: float
    difference: float | None
    """The largest difference to our own vectors, as onnxruntime computed it; None where it is not installed."""


def export_onnx(folder: str | Path, file: str | Path, *, force: bool = False) -> Exported:
    """Write the encoder of a folder as ONNX: `token_embeddings` (B, T, D) and `sentence_embedding` (B, D) of token ids
    and attention mask, of any number and length; padding changes no vector.

    The file is there only when the checker of onnx has passed it and, where onnxruntime is installed, its numbers are
    ours to 1e-5 on texts of mixed lengths, padded on either side. Prompts and the way long texts are cut are the
    caller's. Raises InputError for static models, for architectures that cannot be written, and without the extra.
    """
    from inlay.embed.torch_backend import TorchBackend

    file = Path(file)
    if file.suffix != ".onnx":
        raise InputError(f"{file}: the suffix must be .onnx")
    claim_output(file, force=force)
    found = load(folder)
    if not isinstance(found, ContextEmbedder):
        raise InputError(f"{folder} is a static model, which has no graph to export: its table is all there is to it")
    if not found.config.pool_prompt and found.config.default_prompt is not None:
        raise InputError(f"{folder} leaves its prompt out of the pool, which the graph cannot know; set pool_prompt")
    backend = TorchBackend.load(folder)
    embedder = ContextEmbedder(found.tokenizer, backend, found.config, found.dense)
    graph, config = Graph(), found.config
    states, tokens = onnx_encoder.encoder(graph, backend.model)
    rows = onnx_pool.rows(graph, states, config.layer, tokens)
    vectors = onnx_pool.pooled(graph, rows, tokens, config.pools, found.dense, config.dim, normalize=config.normalize)
    inputs = onnx_encoder.inputs_of(backend.model.config)
    outputs: dict[str, tuple[str, list[str | int]]] = {
        TOKENS: (rows, ["batch", "length", width(config.layer, backend.dim)]),
        VECTORS: (vectors, ["batch", found.dim]),
    }
    about = {"dim": found.dim, "max_length": found.max_length, "normalize": config.normalize}
    model = graph.model(inputs, outputs, about)
    with atomic_path(file) as part:
        part.write_bytes(model.SerializeToString())
        difference = _difference(embedder, part, inputs, file) if find_spec("onnxruntime") else None
    return Exported(
        file=file,
        opset=OPSET,
        inputs=tuple(inputs),
        outputs=(TOKENS, VECTORS),
        dim=found.dim,
        max_length=found.max_length,
        megabytes=file.stat().st_size / 1e6,
        difference=difference,
    )


def run_onnx(file: str | Path, feeds: Sequence[dict[str, NDArray[np.int64]]]) -> list[dict[str, NDArray[np.float32]]]:
    """What onnxruntime makes of each of the inputs, in a process of its own.

    Of its own, since onnxruntime crashes where usearch was loaded before it. Raises InputError where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="inlay-onnx-") as place:
        given, got = Path(place) / "given.npz", Path(place) / "got.npz"
        arrays: dict[str, Any] = {
            f"{at} {name}": array for at, feed in enumerate(feeds) for name, array in feed.items()
        }
        np.savez(given, **arrays)
        command = [sys.executable, "-m", "inlay.embed.onnx_run", os.fspath(file), os.fspath(given), os.fspath(got)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60 * _MINUTES, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"{file}: onnxruntime took more than {_MINUTES} minutes over a handful of texts") from None
        if done.returncode or not got.is_file():
            last = " ".join(done.stderr.strip().splitlines()[-1:]) or f"exit code {done.returncode}"
            raise InputError(f"{file}: onnxruntime cannot run it ({last:.300})")
        with np.load(got, allow_pickle=False) as read:
            return [{name: read[f"{at} {name}"] for name in (TOKENS, VECTORS)} for at in range(len(feeds))]


def padded(batch: Batch, inputs: Sequence[str], *, left: bool = False) -> dict[str, NDArray[np.int64]]:
    """The texts as what the graph takes: (B, T) each, padded on the right or on the left."""
    longest = int(batch.lengths.max(initial=1))
    found = {name: np.zeros((len(batch), longest), np.int64) for name in inputs}
    for row, (start, length) in enumerate(zip(batch.starts, batch.lengths, strict=True)):
        at = slice(longest - int(length), longest) if left else slice(0, int(length))
        found["input_ids"][row, at] = batch.ids[start : start + length]
        found["attention_mask"][row, at] = 1
    return found


def ours(embedder: ContextEmbedder, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows (N, D) of the tokens, and vectors (B, D) of the texts, as the embedder itself computes them."""
    config = embedder.config
    states = embedder.backend.states(batch, needed(config.layer, embedder.backend.n_layers))
    rows = combined(states, config.layer)
    vectors = embedder.finished(np.concatenate([pool(rows, batch.lengths, how) for how in config.pools], axis=1))
    return rows, embedder.cut(vectors, embedder.dim)


def _difference(embedder: ContextEmbedder, part: Path, inputs: Sequence[str], file: Path) -> float:
    """The largest difference, as a share of the largest number; InputError where it is above TOLERANCE."""
    rng = np.random.default_rng(0)
    lengths = [min(n, embedder.max_length) for n in _LENGTHS]
    batch = Batch.of([rng.integers(0, embedder.tokenizer.size, n).tolist() for n in lengths])
    rows, vectors = ours(embedder, batch)
    worst = 0.0
    feeds = [padded(batch, inputs), padded(batch, inputs, left=True)]
    for feed, got in zip(feeds, run_onnx(part, feeds), strict=True):
        kept = got[TOKENS][feed["attention_mask"] != 0]
        for mine, theirs in ((rows, kept), (vectors, got[VECTORS])):
            if mine.shape != theirs.shape or not np.isfinite(theirs).all():
                raise InputError(f"{file}: onnxruntime gives {theirs.shape} or what is not finite; it was not written")
            worst = max(worst, float(np.abs(mine - theirs).max()) / max(1.0, float(np.abs(mine).max())))
    if worst > TOLERANCE:
        raise InputError(f"{file}: onnxruntime's numbers differ by {worst:.1e} from ours; it was not written")
    return worst
