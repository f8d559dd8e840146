"""Pictures of what a model knows of places: each scheme of positions, and each mask, drawn from what it computes."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import missing_extra
from inlay.explore.picture import ACCENT, INK, MUTED, PAPER

_DPI = 110
_WARM, _FAINT = "#c2410c", "#e7e9e6"
_D = 64
"""Numbers of a position, or of a head."""


def draw_positions(path: Path) -> None:
    """Write a PNG with a panel for each way to say where a token stands. Needs matplotlib."""
    _save(positions(), path)


def draw_masks(path: Path) -> None:
    """Write a PNG with a panel for each mask of eight tokens. Needs matplotlib."""
    _save(masks(), path)


def positions() -> Any:
    """The figure of six panels: sines, rotary angles and what they do to a score, T5, ALiBi, XLNet."""
    figure, panels = _figure(
        2, 3, (13.2, 8.4), "Where a token stands", "absolute positions, and distances from query i to key j"
    )
    for panel, draw in zip(panels, (_sinusoidal, _rotary, _rotary_score, _t5, _alibi, _xl), strict=True):
        draw(panel)
    return figure


def masks() -> Any:
    """The figure of eight panels, rows for queries and columns for keys; filled where the query may see the key."""
    import torch

    from inlay.model import mask

    place = torch.arange(8)
    number = torch.tensor([1, 1, 1, 2, 2, 2, 2, 3])
    rank = torch.tensor([3, 6, 1, 8, 2, 5, 7, 4])
    keep = torch.arange(8) < 6
    count, padded = [str(i) for i in range(1, 9)], [*"123456", "–", "–"]
    examples = [
        ("causal", "what came before, and itself", mask.causal(8), count),
        ("padding", "tokens, not what fills up the row", mask.padding(keep[None]).expand(1, 8, 8)[0], padded),
        ("prefix", "the first three, then causal", mask.prefix(torch.tensor([3]), 8)[0], [*"ppp", *count[3:]]),
        ("window", "at most two tokens away", mask.window(place, place, 2), count),
        ("document", "its own document: A, B or C", mask.document(number), list("AAABBBBC")),
        ("permutation, content", "by rank: lower ones, and itself", mask.permutation(rank, own=True), _ranks(rank)),
        ("permutation, query", "by rank: lower ones alone", mask.permutation(rank, own=False), _ranks(rank)),
        (
            "causal & window & padding",
            "what all of them allow",
            (mask.causal(8) & mask.window(place, place, 2) & mask.padding(keep[None]))[0],
            padded,
        ),
    ]
    figure, panels = _figure(2, 4, (13.2, 8.0), "Who may see whom", "a row for each query, a column for each key")
    for panel, (title, note, sees, labels) in zip(panels, examples, strict=True):
        _grid(panel, title, note, sees.numpy(), labels)
    return figure


def _ranks(rank: Any) -> list[str]:
    return [str(number) for number in rank.tolist()]


def _sinusoidal(axes: Any) -> None:
    import torch

    from inlay.model.position import Sinusoidal

    rows = Sinusoidal().build(_D)(torch.arange(_D)).numpy()
    _heat(axes, rows, "Sinusoidal", "added to the token: sine and cosine side by side", "column", "position", limit=1)


def _rotary(axes: Any) -> None:
    import torch

    from inlay.model.rotary import Rotary

    still = torch.cat([torch.ones(_D // 2), torch.zeros(_D // 2)]).expand(_D, 1, _D)
    cosines = Rotary().build(_stack()).rotate(still, torch.arange(_D))[:, 0, : _D // 2].numpy()
    _heat(axes, cosines, "Rotary", "each pair turns at its own speed: cosine of the angle", "pair", "position", limit=1)


def _rotary_score(axes: Any) -> None:
    import torch

    from inlay.model.rotary import Rotary

    far = torch.arange(0, 513)
    ones = torch.full((len(far), 1, _D), _D**-0.5)
    for theta, color in ((10_000.0, ACCENT), (160_000.0, _WARM)):
        turned = Rotary(theta=theta).build(_stack()).rotate(ones, far)[:, 0]
        axes.plot(far.numpy(), (turned @ turned[0]).numpy(), color=color, linewidth=1.2, label=f"theta = {theta:,.0f}")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    axes.set_xlim(0, 512)
    axes.set_ylim(-0.1, 1.02)
    axes.grid(color=_FAINT, linewidth=0.8)
    _name(axes, "Rotary: the score fades", "q·k of two equal vectors, by how far apart they stand", "distance", "q·k")


def _t5(axes: Any) -> None:
    import torch

    from inlay.model.relative import At, T5Buckets

    place = torch.arange(160)
    bucket = T5Buckets().build(_stack()).bucket(At(place, place).distance()).numpy()
    signed = np.where(bucket >= 16, bucket - 16, -bucket)  # the past to one side of the scale, the future to the other
    note = "32 buckets of distance, each a learned number per head"
    image = _heat(axes, signed, "T5 buckets", note, "key j", "query i", limit=15)
    image.colorbar.set_ticks([-15, -8, 0, 8, 15], labels=["15", "8", "0", "24", "31"])


def _alibi(axes: Any) -> None:
    import torch

    from inlay.model.relative import Alibi, At

    place = torch.arange(96)
    bias = Alibi().build(_stack(n_heads=8)).bias(None, None, At(place, place))
    note = "added to the score: −|i − j| / 8 in the third of 8 heads"
    _heat(axes, bias[0, 2].numpy(), "ALiBi", note, "key j", "query i")


def _xl(axes: Any) -> None:
    import torch

    from inlay.model.position import sinusoid

    far = torch.arange(-32, 33, dtype=torch.float32)
    note = "sines, then cosines, of the distance, projected"
    _heat(axes, sinusoid(far, _D, "halves").numpy(), "Transformer-XL, XLNet", note, "column", "i − j", limit=1, top=-32)


def _stack(n_heads: int = 1) -> Any:
    return SimpleNamespace(d_model=_D * n_heads, n_heads=n_heads, d_key=_D, causal=False, scale_scores=True)


def _figure(rows: int, columns: int, inches: tuple[float, float], title: str, note: str) -> tuple[Any, Sequence[Any]]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise missing_extra("a picture", "matplotlib", "viz") from None
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, hspace=0.07, wspace=0.03, rect=(0, 0, 1, 0.92))
    figure = Figure(figsize=inches, dpi=_DPI, facecolor=PAPER, layout=layout)
    FigureCanvasAgg(figure)
    figure.text(0.012, 0.975, title, fontsize=17, fontweight="bold", color=INK, va="top")
    figure.text(0.988, 0.968, note, fontsize=11, color=MUTED, va="top", ha="right")
    return figure, figure.subplots(rows, columns).flatten().tolist()


def _heat(
    axes: Any,
    values: NDArray[np.float64],
    title: str,
    note: str,
    x: str,
    y: str,
    limit: float | None = None,
    top: int = 0,
) -> Any:
    """A heat map, signed up to `limit` or else from the lowest value to nought; rows are counted from `top`."""
    from matplotlib.colors import LinearSegmentedColormap

    cold = LinearSegmentedColormap.from_list("cold", [ACCENT, PAPER], N=64)
    both = LinearSegmentedColormap.from_list("both", [ACCENT, PAPER, _WARM], N=65)
    n, m = values.shape
    image = axes.imshow(
        values,
        cmap=cold if limit is None else both,
        vmin=None if limit is None else -limit,
        vmax=0 if limit is None else limit,
        extent=(-0.5, m - 0.5, top + n - 0.5, top - 0.5),
        aspect="auto",
        interpolation="nearest",
    )
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=30, ticks=None if limit is None else (-limit, 0, limit))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8.5, colors=MUTED, length=0)
    _name(axes, title, note, x, y)
    return image


def _grid(axes: Any, title: str, note: str, sees: NDArray[np.bool_], labels: Sequence[str]) -> None:
    """Squares, filled where row may see column."""
    from matplotlib.colors import ListedColormap

    n = len(sees)
    axes.imshow(sees, cmap=ListedColormap([_FAINT, ACCENT]), vmin=0, vmax=1)
    for edge in np.arange(0.5, n - 1):
        axes.axhline(edge, color=PAPER, linewidth=2.5)
        axes.axvline(edge, color=PAPER, linewidth=2.5)
    axes.set_xticks(range(n), labels)
    axes.set_yticks(range(n), labels)
    axes.xaxis.tick_top()
    _name(axes, title, note, "", "", above=22)


def _name(axes: Any, title: str, note: str, x: str, y: str, above: int = 7) -> None:
    """Title, a line under it that stands `above` points over the panel, and the names of both axes."""
    axes.set_title(title, fontsize=12.5, fontweight="bold", color=INK, loc="left", pad=above + 17)
    said = axes.annotate(
        note, (0, 1), (0, above), xycoords="axes fraction", textcoords="offset points", fontsize=9.5, color=MUTED
    )
    said.set_in_layout(False)  # or a long line would make its panel narrow
    axes.set_xlabel(x, fontsize=9.5, color=MUTED)
    axes.set_ylabel(y, fontsize=9.5, color=MUTED)
    axes.tick_params(labelsize=8.5, colors=MUTED, length=0)
    axes.set_facecolor(PAPER)
    for side in axes.spines.values():
        side.set_visible(False)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": "inlay"}, pil_kwargs={"optimize": True})
