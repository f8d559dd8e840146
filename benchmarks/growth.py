"""How the cost of word2vec grows: with the text, the vocabulary, the dimensions and the threads; a table and a plot.

    INLAY_DATA=... python benchmarks/growth.py [--quick] [--only tokens words dims threads]

One epoch of skip-gram, of CBOW and of skip-gram with hierarchical softmax, each training in a process of its own. Time
is that of training alone, without reading; where the vocabulary grows, the text is drawn by chance from a Zipf
distribution, since the sample has no million words. Threads are judged by wall time, all else by CPU time.
The plot lies beside the results, as .png.
"""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side import Comparison, Job, Row, clock, english, main, peak_mb

KINDS = ("skip-gram", "cbow", "hierarchical")
PARTS = {
    "tokens": "1 and 4 million words of text, and all of it, D=100",
    "words": "10,000 to 1,000,000 words known, four million words of text, D=100",
    "dims": "D of 50 to 600, one million words of text",
    "threads": "1 and 2 threads, four million words of text, D=100",
}
AXES = {"tokens": "millions", "words": "vocabulary", "dims": "dim", "threads": "threads"}
"""What of a job lies on the plot's horizontal axis."""
LABELS = {"tokens": "words of text, millions", "words": "words in the vocabulary", "dims": "D", "threads": "threads"}


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """The jobs of every part."""
    size = 0.2 if quick else 1
    for _ in range(1 if quick else 3):
        for kind in KINDS:
            base: Job = {"what": "train", "kind": kind, "dim": 100, "threads": 1, "vocabulary": 0}
            for millions in (1, 4, 16):  # 16 is more than there is
                yield "tokens", {**base, "text": "english", "millions": millions * size}
            for vocabulary in (10_000, 100_000, 1_000_000):
                yield "words", {**base, "millions": 4 * size, "vocabulary": vocabulary}
            for dim in (50, 100, 200, 300, 400, 600):
                yield "dims", {**base, "text": "english", "millions": size, "dim": dim}
            for threads in (1, 2):
                yield "threads", {**base, "text": "english", "millions": 4 * size, "threads": threads}


def train(
    tool: str, kind: str, millions: float, dim: int, threads: int, vocabulary: int, text: str = ""
) -> dict[str, Any]:
    """CPU and wall seconds of one epoch, and peak memory; of `text`, or of words drawn by chance."""
    from dataclasses import replace

    from inlay.vectors.vocabulary import Encoded, LineFiles, Vocabulary, read
    from inlay.vectors.word2vec import Cbow, Hierarchical, Negative, SkipGram, Word2Vec
    from inlay.vectors.word2vec import train as learn

    config = Word2Vec(
        model=Cbow() if kind == "cbow" else SkipGram(),
        output=Hierarchical() if kind == "hierarchical" else Negative(),
        dim=dim,
        threads=threads,
        epochs=1,
    )
    learn([["load", "the", "compiled", "code", "of", "this"]], replace(config, dim=8, min_count=1, threads=1))
    size = round(millions * 1e6)
    if vocabulary:
        shares = 1 / np.arange(1, vocabulary + 1)
        tokens = np.random.default_rng(0).choice(vocabulary, size, p=shares / shares.sum()).astype(np.int32)
        tokens[20::21] = -1
        words = Vocabulary(
            words=[f"w{n}" for n in range(vocabulary)],
            counts=np.maximum(shares / shares.sum() * size, 1).astype(np.int64),
        )
        corpus = Encoded(vocabulary=words, tokens=tokens)
    else:
        whole = read(LineFiles(text), min_count=5)
        corpus = Encoded(vocabulary=whole.vocabulary, tokens=whole.tokens[:size].copy())
    with clock() as took:
        learn(corpus, config)
    return {
        "trained": corpus.n_words,
        "known": len(corpus.vocabulary),
        "train_cpu_s": took["cpu_s"],
        "train_wall_s": took["wall_s"],
        "peak_mb": peak_mb(),
    }


def rows() -> list[Row]:
    """A line for each point of the plot."""
    found = []
    for part, job in plan(quick=False):
        axis = AXES[part]
        name = f"{part}: {job['kind']}, {axis} {job[axis]:,}"
        where = {"kind": job["kind"], axis: job[axis]}
        unit = "wall s" if part == "threads" else "CPU s"
        found.append(Row(name=f"{name}, {unit}", part=part, key=_time(part), where=where, cost=False))
    return list({row.name: row for row in found}.values())


def draw(results: Path) -> Path:
    """A panel for each part: seconds for a million words, or seconds in all where the text grows."""
    from matplotlib.figure import Figure

    runs = json.loads(results.read_text())["runs"]
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    for panel, part in zip(panels, PARTS, strict=True):
        for kind in KINDS:
            times: dict[float, list[float]] = {}
            for run in runs:
                if run["part"] == part and run["kind"] == kind:
                    each = run["trained"] / 1e6 if part != "tokens" else 1
                    times.setdefault(_place(run), []).append(run[_time(part)] / each)
            at = sorted(times)
            panel.plot(at, [statistics.median(times[x]) for x in at], marker="o", label=kind)
        panel.set_xticks(sorted({_place(run) for run in runs if run["part"] == part}))
        if part == "words":
            panel.set_xscale("log")
        panel.set_ylim(bottom=0)
        panel.set_xlabel(LABELS[part])
        unit = "wall seconds" if part == "threads" else "CPU seconds"
        panel.set_ylabel(unit if part == "tokens" else f"{unit} a million words")
        panel.set_title(PARTS[part], fontsize=9)
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.savefig(path := results.with_suffix(".png"), dpi=120)
    return path


def _time(part: str) -> str:
    """What is measured: CPU time where a busy machine would blur the other, wall time where threads shall save it."""
    return "train_wall_s" if part == "threads" else "train_cpu_s"


def _place(run: Job) -> float:
    """Where a run lies on the horizontal axis: the words that there were, where the text grows."""
    return round(run["trained"] / 1e6, 1) if run["part"] == "tokens" else run[AXES[run["part"]]]


COMPARISON = Comparison(
    script=__file__,
    tools=("inlay",),
    parts=PARTS,
    jobs={"train": train},
    plan=plan,
    rows=rows(),
    texts={"english": lambda path, quick: english(path, 80_000 if quick else None)},
    warm_up=[
        {"what": "train", "tool": "inlay", "kind": kind, "millions": 0.01, "dim": 50, "threads": 1, "vocabulary": 100}
        for kind in KINDS
    ],
    packages=("numpy", "numba", "llvmlite", "matplotlib"),
)

if __name__ == "__main__":
    done = main(COMPARISON, __doc__)
    if done:
        print(draw(done))
