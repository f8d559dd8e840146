"""The state of a GloVe training: its tables, and the checkpoint in a folder from which it goes on."""

import contextlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from inlay.config import to_tree
from inlay.errors import InputError
from inlay.files import atomic_path, lock
from inlay.vectors.tensors import write_tensors
from inlay.vectors.training import aligned
from inlay.vectors.vocabulary import Encoded

if TYPE_CHECKING:
    from inlay.vectors.glove import Glove

# V words, D dimensions, W >= D + 2 floats of a row that hold its vector (a multiple of LANES)

_FILE = "glove.safetensors"
_FORMAT = "inlay glove 1"
_FREE = ("epochs", "memory_mb", "checkpoint_every", "threads")
"""Values that may change between two calls."""


@dataclass(kw_only=True, eq=False, frozen=True)
class State:
    """The tables, trained in place, and how many epochs are behind them."""

    table: NDArray[np.float32]
    """(2V, 2W): row 2i is word i as centre, 2i + 1 as context; a row is (w, b, 1, 0 …) or (w̃, 1, b̃, 0 …), and then as
    many sums of squared steps, infinite for what never moves."""
    done: list[int]
    """[epochs]"""

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return self.done[0]

    @property
    def width(self) -> int:
        """W"""
        return self.table.shape[1] // 2

    def rows(self, part: int) -> NDArray[np.float32]:
        """(V, W) the vectors as centres (part 0) or contexts (1)."""
        return self.table[part::2, : self.width]

    def squares(self, part: int) -> NDArray[np.float32]:
        """(V, W) their sums of squares."""
        return self.table[part::2, self.width :]

    @classmethod
    def new(cls, n_words: int, dim: int, rng: np.random.Generator) -> "State":
        """Vectors and biases of random numbers within ± 1 / 2D; sums of squares of 1."""
        from inlay.vectors.simd import LANES

        width = -(-(dim + 2) // LANES) * LANES
        state = cls(table=aligned(2 * n_words, 2 * width), done=[0])
        for first in range(0, 2 * n_words, 4096):
            block = state.table[first : first + 4096]
            block[:, : dim + 1] = (rng.random((len(block), dim + 1), np.float32) - 0.5) / dim
            block[:, width:] = 1
        state.rows(1)[:, dim + 1] = state.rows(1)[:, dim]
        for part, column in ((0, dim + 1), (1, dim)):  # what the other row's bias is multiplied with
            state.rows(part)[:, column] = 1
            state.squares(part)[:, column] = np.inf
        return state


@dataclass(kw_only=True, frozen=True)
class Checkpoint:
    """The file of a state in a folder, and what it must belong to."""

    path: Path
    belongs: dict[str, Any]

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: str | Path, corpus: Encoded, config: "Glove", state: State) -> Iterator[Self]:
        """Hold the folder, and bring `state`, which is new, to where the checkpoint in it stands, if there is one.

        Raises InputError for a checkpoint of another training, a damaged one, one that has more epochs than are asked
        for, and if another process holds the folder.
        """
        tree = {name: value for name, value in to_tree(config).items() if name not in _FREE}
        words = json.dumps(corpus.vocabulary.words, ensure_ascii=False).encode()
        text = zlib.crc32(corpus.tokens.data, zlib.crc32(words))
        belongs = {"config": tree, "text": text, "first tables": zlib.crc32(state.table.data)}
        with lock(folder):
            for torn in Path(folder).glob(f".{_FILE}.*.part"):  # a kill while it was written
                torn.unlink()
            checkpoint = cls(path=Path(folder) / _FILE, belongs=belongs)
            if checkpoint.path.exists():
                checkpoint._load(state)
            if state.epochs > config.epochs:
                raise InputError(
                    f"{checkpoint.path}: has {state.epochs} epochs behind it, more than epochs={config.epochs}; "
                    f"ask for {state.epochs} or more, or name another folder"
                )
            yield checkpoint

    def save(self, state: State) -> None:
        """Write the state atomically over the one before, without a copy of it in memory.

        Raises InputError for a full disk.
        """
        about = {"format": _FORMAT, "epochs": state.epochs, "crc32": zlib.crc32(state.table.data), **self.belongs}
        with atomic_path(self.path) as temporary:
            write_tensors(temporary, {"table": state.table}, {"inlay": json.dumps(about)})

    def _load(self, state: State) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "numpy") as file:  # checks that the parts fill the file
                about = json.loads((file.metadata() or {}).get("inlay", "{}"))
                if not isinstance(about, dict) or about.get("format") != _FORMAT:
                    raise InputError(f"{self.path}: no checkpoint of glove; name another folder")
                self._compare(about)
                found = file.get_slice("table")
                if found.get_dtype() != "F32" or found.get_shape() != list(state.table.shape):
                    raise InputError(
                        f"{self.path}: its table is {found.get_dtype()} {found.get_shape()}, not F32 "
                        f"{list(state.table.shape)}; it comes from another kind of processor, or is damaged"
                    )
                for first in range(0, len(state.table), 4096):
                    last = min(first + 4096, len(state.table))
                    state.table[first:last] = found[first:last]
        except (SafetensorError, ValueError, RecursionError, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path}: damaged ({error}); delete it to begin anew") from None
        epochs = about.get("epochs")
        if type(epochs) is not int or epochs < 1 or about.get("crc32") != zlib.crc32(state.table.data):
            raise InputError(f"{self.path}: damaged (its bytes changed since it was written); delete it to begin anew")
        state.done[0] = epochs

    def _compare(self, about: dict[str, Any]) -> None:
        """Raise an InputError that names the first thing in which another training differs."""
        theirs = about.get("config")
        theirs = theirs if isinstance(theirs, dict) else {}
        for name, value in self.belongs["config"].items():
            if theirs.get(name) != value:
                was = json.dumps(theirs.get(name))
                raise InputError(
                    f"{self.path}: was trained with {name}={was}, not {json.dumps(value)}; take that or another folder"
                )
        for name in ("text", "first tables"):
            if about.get(name) != self.belongs[name]:
                what = "another text" if name == "text" else "other vectors to start from"
                raise InputError(
                    f"{self.path}: was trained with {what}; name another folder, or delete it to begin anew"
                )
