"""How word vectors look in a notebook: a small table of the first words."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inlay.vectors.wordvectors import WordVectors

_WORDS, _NUMBERS = 8, 6


def html(vectors: "WordVectors") -> str:
    """An HTML table of the first words: count, length and first numbers of each; every word is escaped."""
    counted = vectors.counts is not None
    n_numbers = min(_NUMBERS, vectors.dim)
    more = " …" if vectors.dim > n_numbers else ""
    head = ["word", *(["count"] if counted else []), "length", f"vector ({vectors.dim} numbers)"]
    lines = ["<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"]
    for row in range(min(_WORDS, len(vectors))):
        vector = vectors.table.take(row)
        numbers = " ".join(f"{number:.3f}" for number in vector[:n_numbers].tolist()) + more
        cells = [escape(vectors.words[row])]
        if vectors.counts is not None:
            cells.append(f"{int(vectors.counts[row]):,}")
        cells += [f"{float((vector @ vector) ** 0.5):.3f}", numbers]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    left = len(vectors) - _WORDS
    note = f"<p>… and {left:,} more words</p>" if left > 0 else ""
    return f"<p>WordVectors: {len(vectors):,} words</p><table>{''.join(lines)}</table>{note}"
