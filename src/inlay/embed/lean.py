"""Lean: an encoder in NumPy alone, over packed rows and mapped weights; a process that encodes never imports torch.

N tokens of a batch, B texts, D model, H heads, K head size, F ffn.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.convert.folder import transformer_folder
from inlay.convert.hub import locate
from inlay.convert.settings import CONFIG, Settings, read_settings
from inlay.convert.unread import HEADS, UNREAD
from inlay.embed import lean_kernels as kernels
from inlay.embed import lean_own
from inlay.embed.lean_attention import Group, Room, attend, groups
from inlay.embed.lean_families import IGNORED
from inlay.embed.lean_names import FAMILIES
from inlay.embed.lean_plan import Norm, Plan, Sines, UnknownPart
from inlay.embed.lean_relative import Ints, schemes
from inlay.embed.lean_weights import Files, Tensors, foreign, own
from inlay.errors import InputError
from inlay.files import CHECKSUMS, verify_checksums

Array = NDArray[np.float32]

_ROWS = 1024
"""Rows that go through the feed-forward layer at once: its inside then stays in the third-level cache."""


class Lean:
    """An encoder's rows by NumPy; several threads may ask at once, and no answer depends on another."""

    name = "lean"

    def __init__(self, plan: Plan, tensors: Tensors) -> None:
        self.plan, self.tensors = plan, tensors
        self.dim, self.n_layers, self.most_tokens = plan.d_model, plan.n_layers, plan.most_tokens
        self._far = schemes(plan.relative, tensors, "relatives.", plan)
        local = plan.local
        self._near = schemes(local.relative, tensors, "local_relatives.", plan) if local else self._far
        self._rooms = threading.local()

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The encoder in a folder of transformers, of sentence-transformers or of inlay, or on the hub.

        The weights are mapped: they are in memory where they are used, and once for all processes. UnknownPart where
        the model has a part that only torch computes; InputError where settings or tensors are not sound.
        """
        fetched = locate(folder)
        place = transformer_folder(fetched.folder)
        if not (place / CHECKSUMS).is_symlink():  # what the hub's cache links to was checked when it came
            verify_checksums(place)
        settings = Settings(read_settings(place), place / CONFIG)
        if "model_type" not in settings:
            raise UnknownPart(place / CONFIG, "a model that does not say its model_type")
        name = settings.text("model_type")
        if name == lean_own.NAME:
            plan, stack = lean_own.read(settings)
            files = Files.open(place)
            plan.check(place, len(files.names))
            return cls(plan, own(files, plan, stack))
        if name not in FAMILIES:
            raise UnknownPart(place / CONFIG, f"model_type={name[:60]!r}")
        family = FAMILIES[name]
        plan = family.read(settings)
        settings.finish(UNREAD[name if name in UNREAD else "roberta"], ignored=HEADS | IGNORED)
        files = Files.open(place)
        plan.check(place, len(files.names))
        return cls(plan, foreign(files, plan, family))

    def states(self, batch: Batch, layers: Sequence[int]) -> list[Array]:
        """The rows (N, D) float32 of each of these layers; 0 is the input layer, the last one the stack's result."""
        if not all(0 <= layer <= self.n_layers for layer in layers):
            raise InputError(f"layers={list(layers)} must lie between 0 and {self.n_layers}")
        if not batch.n_tokens:
            return [np.zeros((0, self.dim), np.float32) for _ in layers]
        self._check(batch)
        order = np.argsort(batch.lengths, kind="stable")
        lengths = batch.lengths[order]
        rows: Ints | None = None
        if not np.array_equal(lengths, batch.lengths):
            ends = np.cumsum(lengths)
            rows = np.arange(batch.n_tokens) + np.repeat(batch.starts[order] - (ends - lengths), lengths)
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            found = self._run(batch, lengths, rows, set(layers))
        if not np.isfinite(found[max(layers)]).all() if layers else False:
            raise InputError(
                "the rows of this text are not all finite numbers: there is a NaN or an infinity in the weights, or a "
                "number too large for float32; get the model again"
            )
        if rows is None:
            return [found[layer] for layer in layers]
        back = np.empty_like(rows)
        back[rows] = np.arange(len(rows))
        return [found[layer][back] for layer in layers]

    def _check(self, batch: Batch) -> None:
        low, high, size = int(batch.ids.min()), int(batch.ids.max()), self.plan.input.vocab_size
        if low < 0 or high >= size:
            bad = low if low < 0 else high
            raise InputError(
                f"token id {bad} (place {int(np.flatnonzero(batch.ids == bad)[0])} of the batch) has no row: they run "
                f"from 0 to {size - 1}; the tokenizer is another model's; take its own"
            )
        kinds, given = self.plan.input.n_segments, batch.segments
        if given is not None and kinds and not 0 <= int(given.min()) <= int(given.max()) < kinds:
            bad = int(given.max()) if int(given.max()) >= kinds else int(given.min())
            raise InputError(f"segment {bad} has no row: they run from 0 to {kinds - 1}; number segments from 0")
        longest = int(batch.lengths.max())
        if self.most_tokens is not None and longest > self.most_tokens:
            raise InputError(
                f"a text has {longest:,} tokens, but the learned positions end at {self.most_tokens:,}; cut texts to "
                f"{self.most_tokens:,} tokens"
            )

    def _run(self, batch: Batch, lengths: Ints, rows: Ints | None, layers: set[int]) -> dict[int, Array]:
        """The wanted layers' rows, texts in the order of their lengths."""
        plan, room = self.plan, self._room()
        ids = batch.ids if rows is None else batch.ids[rows]
        segments = batch.segments if rows is None or batch.segments is None else batch.segments[rows]
        places = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        texts, x = groups(lengths), self._input(ids, segments, places)
        found: dict[int, Array] = {}
        for layer in range(max(layers, default=0)):
            if layer in layers:
                found[layer] = x.copy()
            self._layer(layer, x, texts, places, segments, room)
        last = max(layers, default=0)
        if plan.norm_first and last == plan.n_layers:
            self._norm(x, "final_norm", plan.norm)
        found[last] = x
        return found

    def _input(self, ids: NDArray[np.int32], segments: NDArray[np.int32] | None, places: Ints) -> Array:
        """(N,) ids -> (N, D)."""
        layer, tensors = self.plan.input, self.tensors
        x = tensors["input.token.weight"][ids]
        if layer.scale != 1:
            x *= np.float32(layer.scale)
        beside = [x]
        d_position, d_segment = layer.widths or (0, 0)
        if isinstance(layer.position, Sines):
            table = kernels.sinusoid(
                np.arange(places.max() + 1), d_position or x.shape[1], layer.position.base, layer.position.halves
            )
            beside.append(table[places])
        elif layer.position is not None:
            beside.append(tensors["input.position.table.weight"][places + layer.position.offset])
        if layer.n_segments:
            kinds = tensors["input.segment.weight"]
            beside.append(
                np.broadcast_to(kinds[0], (len(ids), kinds.shape[1])) if segments is None else kinds[segments]
            )
        if layer.widths is None:
            for part in beside[1:]:
                x += part
        else:
            x = np.concatenate(beside, axis=1)
        if layer.norm is not None:
            self._norm(x, "input.norm", layer.norm)
        if "input.project.weight" in tensors:
            x = x @ tensors["input.project.weight"].T
            x += tensors["input.project.bias"]
        return x

    def _layer(
        self,
        layer: int,
        x: Array,
        texts: list[Group],
        places: Ints,
        segments: NDArray[np.int32] | None,
        room: Room,
    ) -> None:
        """(N, D) -> x after one more layer."""
        plan, number = self.plan, layer * self.plan.n_blocks // self.plan.n_layers
        name, n = f"blocks.{number}.", len(x)
        near = plan.is_local(layer)
        scheme = (self._near if near else self._far)[number]
        inner = len(plan.kept(number)) * plan.d_key
        h = x
        if plan.norm_first and name + "attention_norm.weight" in self.tensors:
            h = self._norm(x, name + "attention_norm", plan.norm, room.take("h", n, plan.d_model))
        qkv = self._product(h, name + "attention.qkv", room.take("wide", n, 3 * inner))
        scale = plan.d_key**-0.5 if plan.scale_scores else 1.0
        kernels.add_scaled(qkv, self.tensors.get(name + "attention.qkv.bias"), inner, scale)
        parts = qkv.reshape(n, 3, -1, plan.d_key)
        scheme.turn(parts[:, 0], parts[:, 1], places)
        seen = room.take("seen", n, inner)
        attend(
            qkv,
            seen,
            texts,
            scheme,
            room,
            d_key=plan.d_key,
            causal=plan.causal,
            reach=plan.local.reach if near and plan.local else None,
            segments=segments,
        )
        y = self._product(seen, name + "attention.out", room.take("y", n, plan.d_model))
        self._add(x, y, name, "attention.out", "attention_norm")
        for start in range(0, n, _ROWS):
            self._feed(x[start : start + _ROWS], name, room)

    def _feed(self, x: Array, name: str, room: Room) -> None:
        """(n, D) -> x after the feed-forward layer."""
        plan, n = self.plan, len(x)
        h = x
        if plan.norm_first:
            h = self._norm(x, name + "ffn_norm", plan.norm, room.take("h", n, plan.d_model))
        up = self._product(h, name + "ffn.up", room.take("wide", n, plan.d_ffn * (1 + plan.gated)))
        up = kernels.activate(up, self.tensors.get(name + "ffn.up.bias"), plan.activation, plan.gated)
        y = self._product(up, name + "ffn.down", room.take("y", n, plan.d_model))
        self._add(x, y, name, "ffn.down", "ffn_norm")

    def _add(self, x: Array, y: Array, name: str, branch: str, norm: str) -> None:
        """x becomes what the branch leaves."""
        bias = self.tensors.get(f"{name}{branch}.bias")
        if self.plan.norm_first:
            kernels.add_rows(x, y, bias)
            return
        gain, shift = self.tensors[f"{name}{norm}.weight"], self.tensors.get(f"{name}{norm}.bias")
        kernels.add_norm(x, y, bias, gain, shift, self.plan.norm.eps, self.plan.norm.rms)

    def _norm(self, x: Array, name: str, norm: Norm, out: Array | None = None) -> Array:
        kernels.norm(x, self.tensors[name + ".weight"], self.tensors.get(name + ".bias"), norm.eps, norm.rms, out)
        return x if out is None else out

    def _product(self, x: Array, name: str, out: Array) -> Array:
        return np.matmul(x, self.tensors[name + ".weight"].T, out=out)

    def _room(self) -> Room:
        if not hasattr(self._rooms, "room"):
            self._rooms.room = Room()
        room: Room = self._rooms.room
        return room
