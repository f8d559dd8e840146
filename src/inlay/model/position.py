"""Absolute positions, added to (or put beside) the token vectors: computed from sines, or learned.

N packed tokens, P rows of a table, d width.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from inlay.errors import InputError, did_you_mean

Layout = Literal["interleaved", "halves"]


class Positions(nn.Module):
    """(N,) whole numbers -> (N, d)."""

    def check(self, longest: int) -> None:
        """Called before `forward` with the length of the longest text, which is known without asking the device."""

    def forward(self, position: Tensor) -> Tensor:
        raise AssertionError("a scheme says where its rows come from")


@dataclass(frozen=True, kw_only=True)
class Sinusoidal:
    """sin(i / base^(2j/d)) and the cosine beside it, j the number of the pair: no parameters, no longest text.

    Vaswani et al. 2017, arXiv:1706.03762.
    """

    layout: Layout = "interleaved"
    """interleaved: sine and cosine of a pair side by side, as in the paper. halves: all sines, then all cosines, as in
    Marian and its kin. For an odd d the last pair has no cosine."""
    base: float = 10_000.0
    """The longest wave is 2π · base."""

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise InputError(f"layout={self.layout!r} is unknown{did_you_mean(str(self.layout), get_args(Layout))}")
        if not self.base > 1:
            raise InputError(f"base={self.base} must be above 1, so that waves get longer; 10000 is usual")

    def build(self, d: int) -> "SinusoidalPositions":
        return SinusoidalPositions(self, d)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """One learned vector per position: BERT's way, not the sine table that is often said of it.

    Devlin et al. 2019, arXiv:1810.04805.
    """

    max_len: int = 512
    """Rows of the table."""
    offset: int = 0
    """The row of position 0; RoBERTa starts at 2, so that its 514 rows hold 512 tokens."""

    def __post_init__(self) -> None:
        if self.max_len < 1:
            raise InputError(f"max_len={self.max_len} must be at least 1; 512 is usual")
        if not 0 <= self.offset < self.max_len:
            raise InputError(
                f"offset={self.offset} must lie in 0..{self.max_len - 1}, so that a table of max_len={self.max_len} "
                "rows has one for position 0; raise max_len, or lower offset"
            )

    def build(self, d: int) -> "LearnedPositions":
        return LearnedPositions(self, d)


Position = Sinusoidal | Learned


class SinusoidalPositions(Positions):
    """float32 whatever the model's dtype; the table is kept between calls, and in no state dict."""

    def __init__(self, cfg: Sinusoidal, d: int) -> None:
        super().__init__()
        self.cfg, self.d = cfg, d
        self.longest = 0
        self.table: Tensor | None = None  # no buffer: a cast would round it, and an empty model would leave it unset

    def check(self, longest: int) -> None:
        """Any length is fine; on an accelerator the table grows only here."""
        self.longest = max(self.longest, longest)

    def forward(self, position: Tensor) -> Tensor:
        if position.device.type == "cpu" and position.numel() and not torch.compiler.is_compiling():
            self.check(int(position.max()) + 1)  # free here; an accelerator would have to be waited for
        return self._rows(position.device)[position]

    def _rows(self, device: torch.device) -> Tensor:
        """(P, d) on the device, P at least `longest`."""
        if self.table is None or self.table.device != device or len(self.table) < self.longest:
            n = max(512, 1 << (self.longest - 1).bit_length())
            position = torch.arange(n, device="cpu", dtype=torch.float64)  # which not every accelerator has
            self.table = sinusoid(position, self.d, self.cfg.layout, self.cfg.base).float().to(device)
        return self.table


class LearnedPositions(Positions):
    """A table of `max_len` rows."""

    def __init__(self, cfg: Learned, d: int) -> None:
        super().__init__()
        self.cfg = cfg
        self.table = nn.Embedding(cfg.max_len, d)

    def check(self, longest: int) -> None:
        """Raises InputError for a text that has more tokens than the table has positions."""
        room = self.cfg.max_len - self.cfg.offset
        if longest > room:
            raise InputError(
                f"a text has {longest:,} tokens, but the learned positions end at {room:,}; "
                f"cut texts to {room:,} tokens, or train with input.position.max_len={longest + self.cfg.offset}"
            )

    def forward(self, position: Tensor) -> Tensor:
        return self.table(position + self.cfg.offset)


def sinusoid(position: Tensor, d: int, layout: Layout, base: float = 10_000.0) -> Tensor:
    """(P,) of floats, negative ones too -> (P, d) of the same dtype: sines and cosines of ever longer waves."""
    pair = torch.arange(0, d, 2, device=position.device, dtype=position.dtype)  # 2j
    angle = position[:, None] * base ** (-pair / d)  # (P, ceil(d / 2))
    sine, cosine = angle.sin(), angle.cos()[:, : d // 2]
    if layout == "halves":
        return torch.cat([sine, cosine], 1)
    table = torch.empty(len(position), d, device=position.device, dtype=position.dtype)
    table[:, 0::2], table[:, 1::2] = sine, cosine
    return table
