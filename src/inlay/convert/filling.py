"""Filling a model from a file: every parameter gets a tensor, and every tensor has a place or is named."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from reprlib import repr as short

import torch
from torch import Tensor, nn

from inlay.convert.names import Names
from inlay.convert.weights import Weights, check_finite
from inlay.errors import InputError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}
"""What a model's numbers can be."""

_MOST = 12
ELSE = "take config.json and weights from one folder"


@dataclass(frozen=True)
class Found:
    """The weights of a folder, under the names that a table knows."""

    weights: Weights
    canonical: Mapping[str, str]
    """The name in the file for each name of the table."""
    place: str
    """What messages call the folder."""

    def __contains__(self, name: str) -> bool:
        return name in self.canonical

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, unread."""
        return self.weights.shape(self.canonical[name])

    def tensor(self, name: str) -> Tensor:
        """A tensor, read."""
        return self.weights[self.canonical[name]]

    def shown(self, name: str) -> str:
        """What the file calls a tensor, fit for a line."""
        name = self.canonical[name]
        return name if name.isprintable() and len(name) < 200 else short(name)

    def listed(self, names: Iterable[str]) -> str:
        """Tensors as the file calls them, with their shapes; long lists end with a count."""
        names = list(names)
        shown = [f"{self.shown(name)} {_shape(self.shape(name))}" for name in names[:_MOST]]
        return ", ".join(shown) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def fill(
    model: nn.Module,
    names: Names,
    found: Found,
    *,
    known: Collection[str] = (),
    exact: bool = False,
    hint: str = "",
) -> list[str]:
    """Make a model that has only shapes (on the meta device) one with the file's numbers, in the dtype that it has.

    Returns the names in the file that were left out: those of `known`, names of the table that may be there and are
    not wanted. `exact` lets float64 be rounded to what the model has. InputError, before a number is read, where a
    parameter has no tensor, a tensor has no place, shapes differ, or a dtype is none of weights: all of them are named.
    Then where what should be a copy is none, and for the first number that is not finite. `hint` is added where names
    do not fit.
    """
    needed = names.theirs(model.state_dict())
    sources = {name: _source(name, names, found) for name in needed}
    rest = [name for name in found.canonical if name not in sources.values()]
    unwanted = [name for name in rest if name in known]
    rest = [name for name in rest if name not in known]
    copies = {
        name: original
        for name in rest
        if (original := sources.get(names.copies.get(name, ""), names.copies.get(name, ""))) in found
    }
    leftover = [name for name in rest if name not in copies and not names.is_buffer(name)]
    _check_names(needed, sources, leftover, found, hint)
    _check_shapes(needed, sources, found)
    for name, tensor in needed.items():
        _check_dtype(sources[name], tensor.dtype, found, exact)
    for name, original in copies.items():
        _check_copy(name, original, found)
    for name in rest:
        if names.is_buffer(name) and name.endswith("position_ids"):
            _check_positions(name, found)
        elif name.endswith("logits_bias"):
            _check_zero(name, found)
    model.to_empty(device="cpu")  # only now, when it is known that the file is about as large
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            line, theirs = names.find([name])[name]
            parts = {found.canonical[sources[one]]: found.tensor(sources[one]) for one in theirs}
            check_finite(parts, found.place)
            parameter.copy_(line.form.join(list(parts.values())))
            _check_range(name, parameter, found)
    return sorted(found.canonical[name] for name in unwanted)


def _source(name: str, names: Names, found: Found) -> str:
    """Where a tensor is read from: itself, or a copy of it where that alone is there; itself too where neither is."""
    if name in found:
        return name
    return next((copy for copy, original in names.copies.items() if original == name and copy in found), name)


def _check_names(
    needed: Mapping[str, Tensor], sources: Mapping[str, str], leftover: list[str], found: Found, hint: str
) -> None:
    missing = [name for name, source in sources.items() if source not in found]
    faults = []
    if missing:
        shown = ", ".join(f"{name} {_shape(needed[name].shape)}" for name in missing[:_MOST])
        more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
        faults.append(f"lacks {len(missing)} tensor{'s' * (len(missing) > 1)} of this model: {shown}{more}")
    if leftover:
        n = len(leftover)
        faults.append(f"holds {n} tensor{'s' * (n > 1)} without a place in it: {found.listed(leftover)}")
    if faults:
        way_out = ELSE if missing else f"leave out what you do not need with ignore=({_pattern(leftover, found)!r},)"
        raise InputError(f"{found.place}: {' and '.join(faults)}{hint}; {way_out}")


def _pattern(leftover: list[str], found: Found) -> str:
    """A pattern for the first of the tensors and its kin."""
    first, dot, _ = found.shown(leftover[0]).partition(".")
    return first + ".*" * bool(dot)


def _check_shapes(needed: Mapping[str, Tensor], sources: Mapping[str, str], found: Found) -> None:
    wrong = [name for name, tensor in needed.items() if found.shape(sources[name]) != tuple(tensor.shape)]
    if wrong:
        shown = ", ".join(
            f"{found.shown(sources[name])} is {_shape(found.shape(sources[name]))} where config.json makes it "
            f"{_shape(needed[name].shape)}"
            for name in wrong[:3]
        )
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(f"{found.place}: {shown}{more}; {ELSE}")


def _check_dtype(name: str, ours: torch.dtype, found: Found, exact: bool) -> None:
    dtype = found.weights.dtype(found.canonical[name])
    shown = f"{found.place}: {found.shown(name)} is {str(dtype).removeprefix('torch.')}"
    if not ours.is_floating_point:  # a table of whole numbers that belongs to the model
        if dtype is not ours:
            raise InputError(f"{shown} where the model has {str(ours).removeprefix('torch.')}; get the model again")
        return
    if dtype is torch.float64 and not exact:
        raise InputError(f"{shown}; say dtype='float32' to round it, or dtype='float64' to keep it")
    if dtype not in DTYPES.values():
        raise InputError(
            f"{shown}, which is no dtype of weights ({', '.join(DTYPES)}); a model with quantized weights "
            "cannot be read: get it as it was before that"
        )


def _check_copy(name: str, original: str, found: Found) -> None:
    if not torch.equal(found.tensor(name), found.tensor(original)):
        raise InputError(
            f"{found.place}: {found.shown(name)} must equal {found.shown(original)}, which config.json ties it "
            "to, and does not; set tie_word_embeddings to false there if the model was trained so, else get it again"
        )


def _check_positions(name: str, found: Found) -> None:
    """Positions are counted, so stored ones must be what counting gives."""
    numbers = found.tensor(name).flatten().long()
    if not torch.equal(numbers, torch.arange(len(numbers))):
        raise InputError(f"{found.place}: {found.shown(name)} is not 0, 1, 2 …, as positions are counted here")


def _check_zero(name: str, found: Found) -> None:
    """A bias that no training of its family moves, and no model here has."""
    if found.tensor(name).any():
        raise InputError(f"{found.place}: {found.shown(name)} is not zero, which is not built in; set it to zeros")


def _check_range(name: str, parameter: Tensor, found: Found) -> None:
    """What was finite may be too large for a smaller dtype."""
    if parameter.dtype is torch.float16 and not torch.isfinite(parameter).all():
        raise InputError(f"{found.place}: {name} has numbers beyond the range of float16; take bfloat16 or float32")


def _shape(shape: Iterable[int]) -> str:
    return f"({', '.join(map(str, shape))})"
