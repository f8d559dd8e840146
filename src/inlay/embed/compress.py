"""Compress: a model folder made smaller, by one way or several after another, into a folder that opens as it did."""

# L layers, H heads, V tokens, D dimensions

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inlay import __version__
from inlay.config import to_tree
from inlay.embed.context import ContextEmbedder
from inlay.embed.embedder import kept
from inlay.embed.folder import Parts, read_folder, tokenizer_of, verify
from inlay.embed.folder_save import ABOUT, save_embedder
from inlay.embed.quantise import quantise_file
from inlay.embed.static import StaticEmbedder
from inlay.embed.trim import trim, trim_model, trim_static
from inlay.errors import InputError
from inlay.files import CHECKSUMS, atomic_folder, claim_output, read_json, write_checksums, write_json, write_text

if TYPE_CHECKING:
    from inlay.model.model import Model
    from inlay.tokenize.tokenizer import Tokenizer


Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Half:
    """Weights as float16: half the size, and nothing to be seen of it in a ranking; other libraries read it."""


@dataclass(frozen=True, kw_only=True)
class Int8Weights:
    """Weights as int8 with a scale for each row: a quarter of the size on disk. Only inlay reads it."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Tokens that a corpus does not use are left out, and their rows with them: what it says is read as before."""

    characters: bool = True
    """Single characters and bytes stay, so that new words fall into pieces instead of being unknown."""


@dataclass(frozen=True, kw_only=True)
class Magnitude:
    """The smallest weights of each matrix become 0: the file packs better, nothing gets faster. Han et al. 2015."""

    share: float = 0.3
    """Of the weights of a matrix."""

    def __post_init__(self) -> None:
        _check_share(self.share)


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The attention heads without which the vectors of a corpus change least are cut out. Michel et al. 2019.

    inlay's own layout holds such a model; other libraries do not read it.
    """

    share: float = 0.25
    """Of all heads; every layer keeps one at least."""
    texts: int = 64
    """Texts of the corpus that are looked at."""

    def __post_init__(self) -> None:
        _check_share(self.share)
        if self.texts < 1:
            raise InputError(f"texts={self.texts} must be at least 1; 64 is usual")


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Only so many layers are kept, spread evenly from the first to the last; without distillation it costs much."""

    layers: int
    """Layers that are left."""


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """Vectors keep their first so many dimensions: for models that were trained so (Matryoshka), and static ones whose
    dimensions stand in the order of their weight. Kusupati et al. 2022."""

    dim: int
    """Dimensions that are left."""


Way = Half | Int8Weights | Vocabulary | Magnitude | Heads | Depth | Dimensions
_NEW, _CARD = ".new", "README.md"
_LOOKED_AT = 128
"""Tokens of a text at most by which heads are judged."""


def compress(
    folder: str | Path, out: str | Path, ways: Sequence[Way], *, texts: Sequence[str] = (), force: bool = False
) -> None:
    """Write the embedder in `folder` into `out`, smaller by these ways, one after the other; `inlay.load` opens it.

    `texts` are the corpus, for Vocabulary and Heads. Documents for search do not go with it. Raises InputError for a
    way that the model does not know, shares and sizes out of range, and an `out` that is there, without `force`.
    """
    parts = read_folder(folder)
    verify(parts)
    claim_output(out, force=force, whole=True)
    last = [way for way in ways if isinstance(way, Half | Int8Weights)]
    if len(last) > 1 or (last and ways[-1] is not last[0]):
        raise InputError("a precision (Half or Int8Weights) comes last, and once; put it at the end")
    smaller = _static(parts, ways, texts) if parts.kind == "static" else _encoder(parts, ways, texts)
    with atomic_folder(out) as part:
        save_embedder(smaller, part / _NEW)
        for path in sorted((part / _NEW).iterdir()):
            path.rename(part / path.name)
        (part / _NEW).rmdir()
        if last:
            quantise_file(part, "float16" if isinstance(last[0], Half) else "int8")
        about = read_json(part / ABOUT) if (part / ABOUT).is_file() else {"inlay": __version__}
        write_json(part / ABOUT, about | {"compressed": _told(parts, ways)})
        card = (part / _CARD).read_text("utf-8")
        for name in (CHECKSUMS, _CARD):  # people edit cards
            (part / name).unlink(missing_ok=True)
        write_checksums(part)
        write_text(part / _CARD, card)


def _static(parts: Parts, ways: Sequence[Way], texts: Sequence[str]) -> StaticEmbedder:
    embedder = StaticEmbedder.load(parts.place)
    for way in ways:
        match way:
            case Vocabulary():
                embedder = trim_static(embedder, texts, characters=way.characters)
            case Magnitude():
                embedder = _with_table(embedder, _without_smallest(embedder.table, way.share))
            case Dimensions():
                kept(way.dim, embedder.dim)
                embedder = _with_table(embedder, np.ascontiguousarray(embedder.table[:, : way.dim]))
            case Heads() | Depth():
                raise InputError(f"{parts.place} is a static model: it has no {type(way).__name__.lower()} to cut")
    return embedder


def _with_table(embedder: StaticEmbedder, table: Array) -> StaticEmbedder:
    return StaticEmbedder(embedder.tokenizer, table, normalize=embedder.normalize, skip_unknown=embedder.skip_unknown)


def _encoder(parts: Parts, ways: Sequence[Way], texts: Sequence[str]) -> ContextEmbedder:
    from inlay.convert.convert import load_model
    from inlay.embed.torch_backend import TorchBackend

    model, tokenizer, config = load_model(parts.inner, heads=[]), tokenizer_of(parts), parts.config
    for way in ways:
        match way:
            case Vocabulary():
                found = trim(tokenizer, texts, characters=way.characters)
                model, tokenizer = trim_model(model, found), found.tokenizer
            case Magnitude():
                model = _pruned(model, way.share)
            case Heads():
                most = ContextEmbedder(tokenizer, TorchBackend(model), config, parts.dense).max_length
                model = _without_heads(model, tokenizer, way, texts, min(most, _LOOKED_AT))
            case Depth():
                model = _shallower(model, way.layers)
            case Dimensions():
                kept(way.dim, ContextEmbedder(tokenizer, TorchBackend(model), config, parts.dense).dim)
                config = replace(config, dim=way.dim)
    return ContextEmbedder(tokenizer, TorchBackend(model), config, parts.dense)


def _told(parts: Parts, ways: Sequence[Way]) -> dict[str, Any]:
    return {"from": parts.place.name, "ways": [to_tree(way, Way) for way in ways]}


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"share={share} must lie between 0 and 1, both not included")


def _without_smallest(matrix: Array, share: float) -> Array:
    """The matrix with that share of its numbers, the smallest, put to 0; ties go together."""
    sizes = np.abs(matrix)
    wanted = int(share * sizes.size)
    if not wanted:
        return matrix
    limit = np.partition(sizes, wanted - 1, axis=None)[wanted - 1]
    return np.where(sizes <= limit, np.float32(0), matrix).astype(np.float32, copy=False)


def _pruned(model: "Model", share: float) -> "Model":
    """The model with the smallest weights of each matrix of its stack put to 0; tables and norms stay."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and not name.startswith(("input.", "heads.")):
                weight.copy_(torch.from_numpy(_without_smallest(weight.float().numpy(), share)))
    return model


def _without_heads(
    model: "Model", tokenizer: "Tokenizer", way: Heads, texts: Sequence[str], max_length: int
) -> "Model":
    """The model without the heads that move the mean rows of the texts least, each masked by itself."""
    import torch

    from inlay.model.prune import prune

    stack = model.config.encoder or model.config.decoder
    assert stack is not None
    if model.config.encoder is not None and model.config.decoder is not None:
        raise InputError("heads are cut from models of one stack; this has an encoder and a decoder")
    if stack.n_blocks != stack.n_layers:
        raise InputError(f"{stack.n_layers} layers share {stack.n_blocks} blocks, so a head cannot go from one alone")
    chosen = [text for text in texts if text.strip()][: way.texts]
    if not chosen:
        raise InputError("Heads looks at texts to tell which heads matter; give the corpus")
    batch = tokenizer.encode(chosen, specials=True, max_length=max_length)
    starts = torch.from_numpy(batch.rows)

    def means(mask: torch.Tensor | None) -> torch.Tensor:
        rows = model(batch, head_mask=mask)
        found = torch.zeros(len(batch), rows.shape[1]).index_add_(0, starts, rows)
        return torch.nn.functional.normalize(found, dim=1)

    gone = [set(cut) for cut in stack.pruned] or [set[int]() for _ in range(stack.n_layers)]
    with torch.inference_mode():
        before = means(None)
        losses = []
        for layer in range(stack.n_layers):
            for head in set(range(stack.n_heads)) - gone[layer]:
                mask = torch.ones(stack.n_layers, stack.n_heads)
                mask[layer, head] = 0
                losses.append((float(1 - (before * means(mask)).sum(1).mean()), layer, head))
    cut: dict[int, list[int]] = {}
    left = [stack.n_heads - len(one) for one in gone]
    wanted = int(way.share * len(losses))
    for _, layer, head in sorted(losses):
        if wanted and left[layer] > 1:
            cut.setdefault(layer, []).append(head)
            left[layer] -= 1
            wanted -= 1
    return prune(model, cut) if cut else model


def _shallower(model: "Model", n_layers: int) -> "Model":
    from inlay.model.student import First, Spread, make_student

    stack = model.config.encoder or model.config.decoder
    assert stack is not None
    # Where layers differ by their place, only the first ones can be kept.
    return make_student(model, First(n_layers=n_layers) if stack.local else Spread(n_layers=n_layers), heads=()).eval()
