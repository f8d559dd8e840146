"""Embedders into folders: the classic layout of sentence-transformers, whole or not at all, with sums and a card."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay import __version__
from inlay.config import to_tree
from inlay.convert.folder import INDEX, MOST_BYTES, member, weight_file
from inlay.embed.folder_modules import (
    ACTIVATIONS_OF,
    CLASSIC,
    CONFIG,
    LENGTHS,
    MODULES,
    OWN_POOLING,
    POOLS,
    PROMPTS,
    Own,
)
from inlay.embed.layers import At, width
from inlay.embed.long import Truncate
from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.files import CHECKSUMS, atomic_folder, claim_output, read_json, write_checksums, write_json, write_text
from inlay.vectors.tensors import write_tensors

if TYPE_CHECKING:
    from inlay.embed.context import ContextEmbedder
    from inlay.embed.dense import Dense

ABOUT = "inlay.json"
_KINDS = "sentence_transformers.models"


def save_embedder(
    embedder: "ContextEmbedder | StaticEmbedder", folder: str | Path, *, force: bool = False, card: str | None = None
) -> None:
    """Write a folder that inlay, sentence-transformers and transformers open, with equal vectors.

    It has the classic layout: modules.json, 1_Pooling, 2_Normalize and their like around the family's own weights and
    tokenizer, `card` as README.md (else a plain one), inlay.json and checksums. Two things no other library has: long
    texts in windows (there they are cut), and rows of other layers than the last, whose folder sentence-transformers
    refuses rather than reading it otherwise. The folder is new or empty, or a model's that `force` lets be replaced;
    the old one stays whole until the new one is. Raises InputError for a folder that holds something else.
    """
    folder = Path(folder).expanduser()
    claim_output(folder, force=force, whole=True)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_model(folder)):
        raise InputError(f"{folder} is no model (it has no {MODULES} or {CONFIG}), and only a model is replaced")
    with atomic_folder(folder) as part:
        if isinstance(embedder, StaticEmbedder):
            embedder.save(part)
        else:
            _write_weights(embedder, part)
            _write_modules(embedder, part)
        # People edit cards, and a model is none the worse for it.
        (part / CHECKSUMS).unlink(missing_ok=True)
        (part / "README.md").unlink(missing_ok=True)
        write_checksums(part)
        write_text(part / "README.md", card if card is not None else _card(embedder))


def _is_model(folder: Path) -> bool:
    return (folder / MODULES).is_file() or (folder / CONFIG).is_file()


def _write_weights(embedder: "ContextEmbedder", part: Path) -> None:
    """The encoder and its tokenizer: as torch holds it, which may have been trained, or else the files it came from."""
    from inlay.embed.torch_backend import TorchBackend

    about: dict[str, Any] = {"inlay": __version__}
    if isinstance(embedder.backend, TorchBackend):
        from inlay.convert.convert import save_model

        save_model(embedder.backend.model, part, tokenizer=embedder.tokenizer)
        about = read_json(part / ABOUT)
    else:
        source = embedder.source
        if source is None:
            raise InputError(
                "this embedder was not opened from a folder, whose weights could be copied; "
                'open it with inlay.load, or with backend="torch"'
            )
        for file in _weight_files(source):
            shutil.copyfile(file, part / file.name)
        shutil.copyfile(member(source, CONFIG), part / CONFIG)
        embedder.tokenizer.save(part)
        if (source / ABOUT).is_file():
            told = read_json(member(source, ABOUT), most=MOST_BYTES)
            about |= {key: told[key] for key in ("config", "source") if isinstance(told, dict) and key in told}
    config = to_tree(embedder.config)
    write_json(part / ABOUT, about | {"embed": config, "dim": embedder.dim, "max_length": embedder.max_length})


def _weight_files(source: Path) -> list[Path]:
    """The file of the weights, or the index and all the shards that it names."""
    first = weight_file(source)
    if first.name != INDEX:
        return [first]
    shards = sorted(set(read_json(first)["weight_map"].values()))
    return [first, *(member(source, name) for name in shards)]


def _write_modules(embedder: "ContextEmbedder", part: Path) -> None:
    config = embedder.config
    modules = [("", f"{_KINDS}.Transformer"), ("1_Pooling", f"{_KINDS}.Pooling")]
    pooling = _pooling(embedder)
    if "layer" in pooling:
        modules[1] = ("1_Pooling", OWN_POOLING)
    (part / "1_Pooling").mkdir()
    write_json(part / "1_Pooling" / CONFIG, pooling)
    for number, layer in enumerate(embedder.dense, 2):
        modules.append((f"{number}_Dense", f"{_KINDS}.Dense"))
        _write_dense(layer, part / f"{number}_Dense")
    if config.normalize:
        modules.append((f"{len(modules)}_Normalize", f"{_KINDS}.Normalize"))
        (part / modules[-1][0]).mkdir()
        write_json(part / modules[-1][0] / CONFIG, {})
    listed = [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(modules)]
    write_json(part / MODULES, listed)
    # What the tokenizer does is in its own file, lower case too.
    write_json(part / LENGTHS, {"max_seq_length": embedder.max_length, "do_lower_case": False})
    prompts: dict[str, Any] = {"model_type": "SentenceTransformer", "prompts": dict(config.prompts)}
    prompts |= {"default_prompt_name": config.default_prompt, "similarity_fn_name": "cosine"}
    prompts |= {} if config.dim is None else {"truncate_dim": config.dim}
    prompts |= {} if config.long == Truncate() else {"inlay": {"long": to_tree(Own(long=config.long))["long"]}}
    write_json(part / PROMPTS, prompts)


def _pooling(embedder: "ContextEmbedder") -> dict[str, Any]:
    """The settings of the Pooling: booleans where they can say it, for they have one order; else a list of names."""
    config, n_layers = embedder.config, embedder.backend.n_layers
    names = {pool: name for name, pool in POOLS.items()}
    modes = [names[pool] for pool in config.pools]
    found: dict[str, Any] = {"word_embedding_dimension": width(config.layer, embedder.backend.dim)}
    if modes == [name for name in POOLS if name in modes]:
        found |= {key: mode in modes for key, mode in CLASSIC.items()}
    else:
        found |= {"pooling_mode": modes}
    found["include_prompt"] = config.pool_prompt
    if config.layer not in (At(layer=-1), At(layer=n_layers)):
        found["layer"] = to_tree(Own(layer=config.layer))["layer"]
    return found


def _write_dense(layer: "Dense", folder: Path) -> None:
    folder.mkdir()
    called = {ours: theirs for theirs, ours in ACTIVATIONS_OF.items()}[layer.activation]
    home = "linear" if called == "Identity" else "activation"
    settings = {"in_features": layer.size[0], "out_features": layer.size[1], "bias": layer.bias is not None}
    write_json(folder / CONFIG, settings | {"activation_function": f"torch.nn.modules.{home}.{called}"})
    arrays = {"linear.weight": layer.weight} | ({} if layer.bias is None else {"linear.bias": layer.bias})
    write_tensors(folder / "model.safetensors", arrays, {"format": "pt"})


def _card(embedder: "ContextEmbedder | StaticEmbedder") -> str:
    """A README.md that says what the model is and how it is used."""
    kind = "Text embeddings by a static table" if isinstance(embedder, StaticEmbedder) else "Text embeddings"
    lines = [f"{embedder.dim} dimensions"]
    if not isinstance(embedder, StaticEmbedder):
        config, backend = embedder.config, embedder.backend
        pools = ", ".join(type(pool).__name__ for pool in config.pools)
        lines += [f"{backend.n_layers} layers, pooling {pools}", f"texts of up to {embedder.max_length} tokens"]
        lines += [f"prompts: {', '.join(config.prompts)}"] if config.prompts else []
        if config.long != Truncate():
            lines.append(f"longer texts: {type(config.long).__name__} in inlay; sentence-transformers cuts them")
    tags = ["sentence-transformers", "sentence-similarity", "feature-extraction", "inlay"]
    front = ["---", "library_name: sentence-transformers", "pipeline_tag: sentence-similarity", "tags:"]
    front += [*(f"- {tag}" for tag in tags), "---"]
    return "\n".join([*front, "", f"# {kind}, saved by inlay", "", *(f"- {line}" for line in lines), "", _USE])


_USE = """```python
import inlay

vectors = inlay.load("path/to/this/folder").encode(["a text", "another text"])
```

```python
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("path/to/this/folder").encode(["a text", "another text"])
```
"""
