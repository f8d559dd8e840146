"""Where the labels of a map go: beside their points, not over each other."""

import unicodedata

import numpy as np
from numpy.typing import NDArray

# N points, P places tried for a label; boxes are (left, top, right, bottom), y growing downwards

_BESIDE = np.array([(0, -0.5), (-1, -0.5), (-0.5, -1), (-0.5, 0), (0, -1), (0, 0), (-1, -1), (-1, 0)])
"""(P, 2) the label's left top corner from its point, in widths and heights: right, left, above, below, the corners."""
_GAP = np.array([(1, 0), (-1, 0), (0, -1), (0, 1), (0.7, -0.7), (0.7, 0.7), (-0.7, -0.7), (-0.7, 0.7)])
"""(P, 2) the direction in which it keeps its distance from the point."""


def fit(points: NDArray[np.float64], width: float, height: float, margin: float) -> NDArray[np.float64]:
    """(N, 2) the points moved and scaled, both directions alike, to fill a frame of this size but for its margin.

    y grows downwards.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([width - 2 * margin, height - 2 * margin])
    scale = (room / np.maximum(high - low, 1e-12)).min()
    placed = (points - (low + high) / 2) * scale
    placed[:, 1] *= -1
    return placed + np.array([width / 2, height / 2])


def place(
    points: NDArray[np.float64],
    sizes: NDArray[np.float64],
    frame: tuple[float, float],
    *,
    gap: float,
    all_of_them: bool,
) -> NDArray[np.float64]:
    """(N, 2) the left top corners of labels of these `sizes` (N, 2), NaN for one that finds no free place.

    The first points choose first. A label covers no other label and no point, and stays in the frame; with
    `all_of_them` one that finds no such place takes the one where it covers least.
    """
    corners = np.full((len(points), 2), np.nan)
    dots = np.hstack([points - gap / 2, points + gap / 2])
    taken = np.empty((0, 4))
    for at, (point, size) in enumerate(zip(points, sizes, strict=True)):
        tried = point + _BESIDE * size + _GAP * gap  # (P, 2)
        tried = np.clip(tried, 0, np.maximum(np.array(frame) - size, 0)) if all_of_them else tried
        boxes = np.hstack([tried, tried + size])
        inside = (tried >= 0).all(axis=1) & (boxes[:, 2:] <= frame).all(axis=1)
        covered = _overlap(boxes, taken) + _overlap(boxes, dots)
        best = int(np.argmin(np.where(inside, covered, np.inf)))
        if all_of_them or (inside[best] and covered[best] == 0):
            corners[at] = tried[best]
            taken = np.vstack([taken, boxes[best]])
    return corners


def width(text: str) -> float:
    """About how wide a text is in a proportional font, in heights of that font."""
    return sum(1.0 if _is_wide(character) else 0.6 for character in text)


def _is_wide(character: str) -> bool:
    return character in "mwMW@%" or unicodedata.east_asian_width(character) in "WF"


def _overlap(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,) the area that each box shares with the others (·, 4) together."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0).prod(axis=2).sum(axis=1)
