"""GloVe side by side with the classic algorithm in C: counting, training, quality in two languages, memory, threads.

    INLAY_DATA=... python benchmarks/glove_vs_c.py [--quick] [--only english chinese ...]

The authors' C program is not at hand here. `glove_baseline.c`, beside this file, states its algorithm anew, for one
thread: a dense table and sorted runs to count, the records shuffled, AdaGrad in double precision record by record. It
is compiled by gcc in three ways: `C` with -O3; `C fast` with -Ofast, which lets the compiler use vector registers for
the sums; `C float` so too, in single precision; all with -march=native -funroll-loops. All tools read the same text
and have the same settings. Times are CPU seconds of one thread and hold all the work on disk; writing the vectors is
left out for all. Training holds the shuffle of the records.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from side_by_side import DATA, Comparison, Job, Row, chinese, clock, english, main, peak_mb, program

SETTINGS: dict[str, Any] = {"window": 10, "x_max": 10, "alpha": 0.05, "min_count": 5, "memory_mb": 1024}
FLAGS = {"C fast": ["-Ofast"], "C": ["-O3"], "C float": ["-Ofast", "-DREAL=float"]}
TOOLS = ("inlay", *FLAGS)
PARTS = {
    "english": "count and train D=100, 10 epochs, 1 thread, three seeds",
    "chinese": "the same in Chinese",
    "flags": "count and train D=100, 2 epochs, 1 thread, the baseline compiled in three ways",
    "wide": "count and train D=300, 2 epochs, 1 thread",
    "threads": "count and train D=100, 10 epochs, 1 and 2 threads",
}
QUALITIES = {
    "english": ("google-analogies", "EN-WS-353-ALL", "EN-SIMLEX-999"),
    "chinese": ("morphological", "semantic", "wordsim-240"),
}


def run(tool: str, text: str, dim: int, epochs: int, seed: int, threads: int = 1, judge: str | None = None) -> Job:
    """Count and train with one tool: CPU seconds of the stages, peak memory, and, if asked for, quality."""
    if tool == "inlay":
        found, vectors = _ours(text, dim, epochs, seed, threads)
    else:
        found, vectors = _baseline(tool, Path(text), dim, epochs, seed)
    return {**found, "vocabulary": len(vectors), **(quality(vectors, judge) if judge else {})}


def _ours(text: str, dim: int, epochs: int, seed: int, threads: int) -> tuple[Job, Any]:
    from inlay.vectors.cooccurrence import count
    from inlay.vectors.glove import Glove, train
    from inlay.vectors.vocabulary import LineFiles, read

    config = Glove(dim=dim, epochs=epochs, seed=seed, threads=threads, **SETTINGS)
    losses: list[float] = []
    train([["load", "the", "compiled", "code"]], Glove(dim=8, epochs=1, min_count=1))
    with clock() as reading:
        corpus = read(LineFiles(text), min_count=config.min_count)
    with clock() as counting:
        count(corpus, window=config.window, memory_mb=config.memory_mb)
    with clock() as training:
        vectors = train(corpus, config, on_progress=lambda progress: losses.append(progress.loss))
    return {
        "vocabulary_cpu_s": reading["cpu_s"],
        "count_cpu_s": counting["cpu_s"],
        "train_cpu_s": training["cpu_s"] - counting["cpu_s"],  # it counts too
        "total_cpu_s": reading["cpu_s"] + training["cpu_s"],
        "train_wall_s": training["wall_s"] - counting["wall_s"],
        "peak_mb": peak_mb(),
        "loss": losses[-1],
    }, vectors


def _baseline(tool: str, text: Path, dim: int, epochs: int, seed: int) -> tuple[Job, Any]:
    from inlay.vectors.wordvectors import WordVectors

    binary, folder = text.parent / tool, text.parent / "glove-files"
    if not binary.exists():
        source = Path(__file__).with_name("glove_baseline.c")
        command = ["gcc", *FLAGS[tool], "-march=native", "-funroll-loops", "-o", str(binary), str(source), "-lm"]
        subprocess.run(command, check=True)
    folder.mkdir(exist_ok=True)
    out, said = folder / "vectors.txt", folder / "said.json"
    numbers = [SETTINGS["min_count"], SETTINGS["window"], dim, epochs, SETTINGS["x_max"], SETTINGS["alpha"]]
    words = [str(part) for part in (binary, text, out, folder, *numbers, SETTINGS["memory_mb"], seed)]
    used = program("sh", "-c", 'said=$1; shift; exec "$@" > "$said"', "sh", said, *words)
    stages = json.loads(said.read_text())
    return {
        "vocabulary_cpu_s": stages["vocabulary_s"],
        "count_cpu_s": stages["count_s"],
        "train_cpu_s": stages["shuffle_s"] + stages["train_s"],
        "total_cpu_s": sum(stages[f"{stage}_s"] for stage in ("vocabulary", "count", "shuffle", "train")),
        "peak_mb": used["peak_mb"],
        "loss": stages["loss"],
        "records": stages["pairs"],
    }, WordVectors.load(out)


def quality(vectors: Any, language: str) -> Job:
    """Analogies answered and rank correlations with people, in per cent, and what share of them could be asked."""
    from inlay.evaluate.words import analogies, similarities

    google = DATA / "google-analogies" / "questions-words.txt"
    files = {
        "google-analogies": google,
        **{name: DATA / "wordsim-en" / f"{name}.txt" for name in QUALITIES["english"][1:]},
        **{name: DATA / "chinese-analogies-ca8" / "CA8" / f"{name}.txt" for name in ("morphological", "semantic")},
        "wordsim-240": DATA / "wordsim-zh" / "wordsim-240.txt",
    }
    found: Job = {}
    for name in QUALITIES[language]:
        if "sim" in name.lower() or "WS" in name:
            judged = similarities(vectors, files[name])
            found[name], coverage = round(100 * judged.spearman, 2), judged.coverage
        else:
            answered = analogies(vectors, files[name]).total
            found[name], coverage = round(100 * answered.accuracy, 2), answered.coverage
        found[f"{name} coverage"] = round(100 * coverage, 1)
    return found


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    epochs = 3 if quick else 10
    for seed in range(1 if quick else 3):
        for language in ("english", "chinese"):
            for tool in ("inlay", "C fast"):
                job = {"what": "run", "text": language, "dim": 100, "epochs": epochs, "seed": seed}
                yield language, {**job, "judge": language, "tool": tool}
    job = {"what": "run", "text": "english", "epochs": 2, "seed": 0}
    yield "flags", {**job, "dim": 100}
    for tool in ("inlay", "C fast"):
        yield "wide", {**job, "dim": 300, "tool": tool}
    for seed in range(1 if quick else 3):
        for threads in (1, 2):
            yield "threads", {**job, "dim": 100, "epochs": epochs, "seed": seed, "threads": threads, "tool": "inlay"}


def rows() -> Iterator[Row]:
    stages = {"vocabulary": "words", "count": "counting", "train": "training", "total": "all"}
    for part, where in (("english", "English"), ("chinese", "Chinese"), ("flags", "2 epochs"), ("wide", "D=300")):
        for key, stage in stages.items():
            yield Row(name=f"{where}, {stage}, CPU s", part=part, key=f"{key}_cpu_s")
    yield Row(name="English, peak memory, MB", part="english", key="peak_mb")
    for part, names in QUALITIES.items():
        for name in ("loss", *names):
            yield Row(name=f"{part}, {name}" + ("" if name == "loss" else ", %"), part=part, key=name, cost=False)
    for threads in (1, 2):
        name = f"training, {threads} thread{'s' * (threads > 1)}, wall s"
        yield Row(name=name, part="threads", key="train_wall_s", where={"threads": threads})


if __name__ == "__main__":
    main(
        Comparison(
            script=__file__,
            tools=TOOLS,
            parts=PARTS,
            jobs={"run": run},
            plan=plan,
            rows=list(rows()),
            texts={
                "english": lambda path, quick: english(path, 10_000 if quick else 50_000),
                "chinese": lambda path, quick: chinese(path, 20_000 if quick else 120_000),
            },
            warm_up=[{"what": "run", "tool": "inlay", "text": "english", "dim": 100, "epochs": 1, "seed": 0}],
            settings={**SETTINGS, "baseline": {name: " ".join(["gcc", *flags]) for name, flags in FLAGS.items()}},
            packages=("numpy", "numba", "llvmlite"),
        ),
        __doc__,
    )
