"""StaticEmbedder: a text's vector is the mean of its tokens' vectors, brought to length 1."""

# N texts, V tokens, D dimensions

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed.embedder import EncodeReport, kept, prompt_of
from inlay.embed.reading import blocks, counted
from inlay.embed.wordcache import WordCache
from inlay.errors import InputError
from inlay.files import atomic_path, contained, read_json, verify_checksums, write_json
from inlay.tensorfile import SCALE
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.wordvectors import WordVectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_STATIC = "sentence_transformers.models.StaticEmbedding"
_NORMALIZE = "sentence_transformers.models.Normalize"
_WEIGHTS = "model.safetensors"
_TENSOR, _OTHER_TENSOR = "embedding.weight", "embeddings"
_OTHER = "model2vec"
"""Whose folders call the table `embeddings`, and whose means leave unknown tokens out."""
_PICKLES = ("pytorch_model.bin", "model.pt", "model.pkl", "model.bin")


class StaticEmbedder:
    """A tokenizer and a table (V, D) float32. Weights of tokens are in the table: a stop word's row is zero or short.

    A text without a known token has the vector zero. No text is too long. What `encode` remembers of words changes no
    result: the same text has the same vector, bit for bit, in every batch.
    """

    def __init__(
        self, tokenizer: Tokenizer, table: NDArray[np.float32], *, normalize: bool = True, skip_unknown: bool = False
    ) -> None:
        """`skip_unknown` leaves the tokenizer's unknown token out of the mean, as model2vec does; its row is zero."""
        if table.ndim != 2 or table.dtype != np.float32 or len(table) < tokenizer.size:
            raise InputError(
                f"the tokenizer has {tokenizer.size} tokens, and needs a float32 table of as many rows, "
                f"not {table.dtype} {table.shape}"
            )
        if not np.isfinite(table).all():
            row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
            raise InputError(f"row {row} of the token table is not finite (NaN or infinity); train the model again")
        self._unknown = _unknown(tokenizer) if skip_unknown else None
        if self._unknown is not None and table[self._unknown].any():
            table = table.copy()
            table[self._unknown] = 0
        self.tokenizer, self.table, self.normalize, self.skip_unknown = tokenizer, table, normalize, skip_unknown
        self._known = np.asarray(table.any(axis=1), bool)  # (V,)

    @property
    def dim(self) -> int:
        """D"""
        return int(self.table.shape[1])

    def __repr__(self) -> str:
        return f"StaticEmbedder({len(self.table)} tokens, {self.dim} dimensions)"

    def _repr_html_(self) -> str:
        from inlay.embed.notebook import facts

        known = {"dimensions": self.dim, "tokens": len(self.table), "known tokens": int(self._known.sum())}
        return facts("StaticEmbedder", known | {"length 1": self.normalize, "MB": self.table.nbytes / 1e6})

    @overload
    def encode(
        self, texts: Sequence[str], *, dim: int | None = None, batch_size: int = 1024, prompt: str | None = None
    ) -> NDArray[np.float32]: ...

    @overload
    def encode(
        self,
        texts: Sequence[str],
        *,
        dim: int | None = None,
        batch_size: int = 1024,
        prompt: str | None = None,
        report: Literal[True],
    ) -> tuple[NDArray[np.float32], EncodeReport]: ...

    def encode(
        self,
        texts: Sequence[str],
        *,
        dim: int | None = None,
        batch_size: int = 1024,
        prompt: str | None = None,
        report: bool = False,
    ) -> Any:
        """The vectors (N, D) of the texts, in their order; with `report`, also what became of their tokens.

        `dim` keeps the first so many dimensions (and brings them to length 1 again); `batch_size` bounds memory only.
        `prompt` may be `query` or `document`, which a static model reads alike.
        Raises InputError for a single string, for what is no text, and for a `dim` or `batch_size` out of range.
        """
        prompt_of({}, prompt)
        width = kept(dim, self.dim)
        vectors = np.empty((counted(texts), width), np.float32)
        tokens = dropped = unknown = empty = 0
        for start, block in blocks(texts, batch_size):
            batch = (self._cache or self.tokenizer).encode(block)
            vectors[start : start + len(block)] = self._pool(batch, width)
            if not report:
                continue
            known = self._known[batch.ids]
            tokens, dropped = tokens + len(batch.ids), dropped + int(batch.cut.sum())
            unknown += len(known) - int(known.sum())
            empty += int((np.bincount(batch.rows[known], minlength=len(batch)) == 0).sum())
        if not report:
            return vectors
        return vectors, EncodeReport(texts=len(texts), tokens=tokens, dropped=dropped, unknown=unknown, empty=empty)

    def _pool(self, batch: Batch, width: int) -> NDArray[np.float32]:
        """(B, width) the mean of each text's rows, of length 1 where the model normalises."""
        sums = count_matrix(batch, len(self.table)) @ self.table[:, :width]
        lengths = batch.lengths
        if self._unknown is not None:
            lengths = lengths - np.bincount(batch.rows[batch.ids == self._unknown], minlength=len(lengths))
        means = np.asarray(sums / np.maximum(lengths, 1)[:, None], np.float32)
        return unit(means) if self.normalize else means

    @cached_property
    def _cache(self) -> WordCache | None:
        return WordCache.of(self.tokenizer)

    @classmethod
    def from_vectors(cls, vectors: WordVectors) -> Self:
        """Word vectors as an embedder: the mean over the words of a text; longer unknown words fall into known ones.

        Words are looked up in lower case where all the vectors' words are in it.
        """
        words = [
            word for word in vectors.words if not any(c.isspace() for c in word) and word not in ("[PAD]", "[UNK]")
        ]
        tokenizer = Tokenizer.from_vocabulary(words, lowercase=all(word == word.lower() for word in words))
        table = np.zeros((tokenizer.size, vectors.dim), np.float32)
        for token, row in tokenizer.vocabulary.items():
            if (word := token.removeprefix("##")) in vectors:
                table[row] = vectors[word]
        return cls(tokenizer, table)

    def save(self, folder: str | Path) -> None:
        """Write the model into `folder` as sentence-transformers reads it: a StaticEmbedding, then Normalize.

        A model that skips unknown tokens is written so that model2vec reads it too.
        """
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(folder)
        name = _OTHER_TENSOR if self.skip_unknown else _TENSOR
        with atomic_path(folder / _WEIGHTS) as part:
            save_file({name: np.ascontiguousarray(self.table)}, part)
        modules = [{"idx": 0, "name": "0", "path": "", "type": _STATIC}]
        if self.normalize:
            modules.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": _NORMALIZE})
            (folder / "1_Normalize").mkdir(exist_ok=True)
            write_json(folder / "1_Normalize" / "config.json", {})
        write_json(folder / "modules.json", modules)
        about: dict[str, Any] = {"model_type": "static", "hidden_size": self.dim, "vocab_size": len(self.table)}
        if self.skip_unknown:
            # model2vec cuts texts at 512 tokens where its config does not say that there is no limit.
            about |= {"model_type": _OTHER, "architectures": ["StaticModel"], "hidden_dim": self.dim}
            about |= {"normalize": self.normalize, "max_length": None, "embedding_dtype": "float32"}
        write_json(folder / "config.json", about)
        settings = {
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        }
        write_json(folder / "config_sentence_transformers.json", {"model_type": "SentenceTransformer", **settings})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open a folder that `save`, sentence-transformers or model2vec wrote; checksums are checked if it has some.

        Texts are read to their end, whatever limit a model2vec folder sets. Raises InputError for a folder of another
        kind, a damaged or hostile one, prompts that are not empty, and for pickled weights.
        """
        from inlay.embed.folder_modules import PROMPTS, read_prompts

        folder = Path(folder)
        if not (folder / "modules.json").is_file() and not _is_other(folder):
            pickled = next((name for name in _PICKLES if (folder / name).exists()), None)
            if pickled:
                raise InputError(
                    f"{folder / pickled}: a pickle can run code and is never opened; save it as safetensors"
                )
            raise InputError(f"{folder} is no model folder (it has no modules.json); `inlay fit` makes one")
        verify_checksums(folder)
        if (folder / "modules.json").is_file():
            modules = _modules(folder)
            first, normalize = contained(folder, modules[0][1]), len(modules) == 2
        else:
            first, normalize = folder, read_json(folder / "config.json").get("normalize") is True
        tokenizer = Tokenizer.load(first)
        table, other = _weights(first)
        said = read_prompts(folder)
        if prompt := next((name for name, text in said.texts.items() if text), None):
            raise InputError(
                f"{folder}: has the prompt {prompt!r}, which a static model does not read; empty it in {PROMPTS}"
            )
        return cls(tokenizer, table[:, : said.dim], normalize=normalize, skip_unknown=other)


def is_static(folder: Path) -> bool:
    """Whether the folder is a static model's, and not an encoder's; a folder of neither is taken for a static one."""
    file = folder / "modules.json"
    if not file.is_file():
        return not (folder / "config.json").is_file() or _is_other(folder)
    listed = read_json(file)
    first = listed[0] if isinstance(listed, list) and listed else None
    kind = str(first.get("type")) if isinstance(first, dict) else ""
    return not kind.endswith(".Transformer")


def _is_other(folder: Path) -> bool:
    """Whether the folder is one of model2vec, by its config.json."""
    file = folder / "config.json"
    about = read_json(file) if file.is_file() else None
    return isinstance(about, dict) and (
        about.get("model_type") == _OTHER or about.get("architectures") == ["StaticModel"]
    )


def _unknown(tokenizer: Tokenizer) -> int | None:
    """The id that the tokenizer's model gives to what it does not know."""
    model = tokenizer.tree()["model"]
    if (number := model.get("unk_id")) is not None:
        return int(number)
    return tokenizer.vocabulary.get(model.get("unk_token") or "")


def count_matrix(batch: Batch, size: int) -> "csr_matrix":
    """(B, V) float32: how often each of the `size` tokens stands in each text, in the order in which they stand."""
    from scipy.sparse import csr_matrix

    bounds = np.concatenate([[0], np.cumsum(batch.lengths)])
    return csr_matrix((np.ones(len(batch.ids), np.float32), batch.ids, bounds), shape=(len(batch), size))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows brought to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _modules(folder: Path) -> list[tuple[str, str]]:
    """(type, path) of the folder's modules, once it is certain that they are a static model's; nothing is imported."""
    file = folder / "modules.json"
    listed = read_json(file)
    if not isinstance(listed, list) or not all(isinstance(module, dict) for module in listed):
        raise InputError(f"{file}: must be a list of modules; the folder is damaged or of another kind")
    modules = [(str(module.get("type")), str(module.get("path"))) for module in listed]
    kinds = [kind.rsplit(".", 1)[-1] for kind, _ in modules]
    known = all(kind.startswith("sentence_transformers.") for kind, _ in modules)
    if not known or kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        names = ", ".join(kind for kind, _ in modules) or "nothing"
        raise InputError(f"{file} lists {names}; only StaticEmbedding, with or without Normalize, can be opened")
    return modules


def _weights(folder: Path) -> tuple[NDArray[np.float32], bool]:
    """(V, D) the table, model2vec's shared rows and weights of tokens worked in; and whether it is one of model2vec."""
    from safetensors import SafetensorError, safe_open

    file = folder / _WEIGHTS
    if not file.is_file():
        pickled = next((name for name in _PICKLES if (folder / name).exists()), None)
        if pickled:
            raise InputError(f"{folder / pickled}: a pickle can run code and is never opened; save it as safetensors")
        raise InputError(f"{file}: missing; copy the model folder again or fit it anew")
    try:
        with safe_open(file, framework="numpy") as tensors:
            names = set(tensors.keys())
            name = next((name for name in (_TENSOR, _OTHER_TENSOR) if name in names), None)
            if name is None:
                raise InputError(f"{file} holds no {_TENSOR!r}; it is no static model")
            table = tensors.get_tensor(name)
            if table.dtype == np.int8 and name + SCALE in names:
                table = table * tensors.get_tensor(name + SCALE)[:, None]
            table = np.asarray(table, np.float32)
            if name == _TENSOR:
                return table, False
            rows = tensors.get_tensor("mapping") if "mapping" in names else None
            weights = tensors.get_tensor("weights") if "weights" in names else None
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: no sound safetensors file ({error}); copy it again") from None
    if rows is not None:
        whole = rows.ndim == 1 and rows.dtype.kind in "iu"
        if not whole or rows.min(initial=0) < 0 or rows.max(initial=0) >= len(table):
            raise InputError(f"{file}: its 'mapping' must hold rows from 0 to {len(table) - 1}; copy it again")
        table = table[rows]
    if weights is not None:
        if weights.shape != (len(table),):
            raise InputError(f"{file}: its 'weights' {weights.shape} must be one for each of {len(table)} tokens")
        table = table * np.asarray(weights, np.float32)[:, None]
    return table, True
