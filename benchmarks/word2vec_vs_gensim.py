"""Skip-gram side by side with gensim, in one run: speed, quality and memory, on the same text with the same settings.

    INLAY_DATA=... python benchmarks/word2vec_vs_gensim.py [--quick]

Each training has a process of its own, the two tools take turns, and times are CPU seconds of the process, because
other work on the machine moves wall time more. gensim reads its fastest input (`corpus_file`) and runs its compiled
loops. Words per second count every word of the text, also those too rare for the vocabulary.
"""

import argparse
import json
import lzma
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("INLAY_DATA", ""))
RESULTS = Path(__file__).parent / "results" / "word2vec_vs_gensim.json"
SETTINGS: dict[str, Any] = {"window": 5, "negative": 5, "sample": 1e-3, "alpha": 0.025, "min_alpha": 1e-4}
MIN_COUNT = 5
TOOLS = ("inlay", "gensim")


def main() -> None:
    """Run everything, or one job of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of the text, one seed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job = json.loads(arguments.job)
        print(json.dumps({"train": train, "load": load}[job.pop("what")](**job)))
    else:
        compare(quick=arguments.quick, out=arguments.out)


def compare(*, quick: bool, out: Path) -> None:
    """All measurements; the file is written anew after each, so that a run that is cut leaves what it has."""
    os.environ["OMP_NUM_THREADS"] = "1"
    runs: list[dict[str, Any]] = []
    result = {"machine": machine(), "settings": {**SETTINGS, "min_count": MIN_COUNT}, "runs": runs}
    with tempfile.TemporaryDirectory() as folder:
        text, part = Path(folder) / "text.txt", Path(folder) / "part.txt"
        result["words"] = prepare(text, 20_000 if quick else None)
        result["words_part"] = head(text, part, 10_000 if quick else 70_000)
        run(what="train", tool="inlay", text=str(part), dim=100, epochs=1, seed=0, threads=1)  # compiles, uncounted
        seeds = range(1) if quick else range(3)
        plans = [
            *({"text": str(text), "dim": 100, "epochs": 3, "seed": seed, "threads": 1} for seed in seeds),
            *({"text": str(part), "dim": 300, "epochs": 1, "seed": seed, "threads": 1} for seed in seeds),
            *({"text": str(text), "dim": 100, "epochs": 3, "seed": seed, "threads": 2} for seed in seeds),
        ]
        for plan in plans:
            for tool in TOOLS:
                runs.append(run(what="train", tool=tool, **plan))
                print(json.dumps(runs[-1]), flush=True)
                finish(result, out)
        vectors = Path(folder) / "vectors.txt"
        write_random(vectors, *((10_000, 100) if quick else (100_000, 300)))
        for _ in range(1 if quick else 2):
            for tool in TOOLS:
                runs.append(run(what="load", tool=tool, file=str(vectors)))
                finish(result, out)
    print(table(result))


def run(**job: Any) -> dict[str, Any]:
    """The result of one job in a fresh process."""
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, stderr=subprocess.DEVNULL)
    job["text"] = Path(job.get("text", "")).stem
    return {**job, **json.loads(done.stdout.splitlines()[-1])}


def train(tool: str, text: str, dim: int, epochs: int, seed: int, threads: int) -> dict[str, Any]:
    """Train with one tool; CPU seconds of reading and training, peak memory, and quality."""
    train_one = train_inlay if tool == "inlay" else train_gensim
    begin = time.process_time()
    words, matrix, read_cpu, train_cpu, wall = train_one(text, dim, epochs, seed, threads)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "read_cpu_s": read_cpu,
        "train_cpu_s": train_cpu,
        "all_cpu_s": time.process_time() - begin,
        "train_wall_s": wall,
        "peak_mb": peak,
        "vocabulary": len(words),
        **quality(words, matrix),
    }


def train_inlay(text: str, dim: int, epochs: int, seed: int, threads: int) -> tuple:
    from inlay.vectors import byte_kernels, kernels  # noqa: F401  (gensim's import is not counted either)
    from inlay.vectors.vocabulary import LineFiles, read
    from inlay.vectors.word2vec import Word2Vec, train

    begin = time.process_time()
    corpus = read(LineFiles(text), min_count=MIN_COUNT)
    middle, start = time.process_time(), time.perf_counter()
    config = Word2Vec(dim=dim, epochs=epochs, seed=seed, threads=threads, min_count=MIN_COUNT, **SETTINGS)
    vectors = train(corpus, config)
    end, stop = time.process_time(), time.perf_counter()
    return vectors.words, vectors.matrix, middle - begin, end - middle, stop - start


def train_gensim(text: str, dim: int, epochs: int, seed: int, threads: int) -> tuple:
    from gensim.models import word2vec

    assert word2vec.FAST_VERSION > -1, "gensim runs without its compiled loops"
    model = word2vec.Word2Vec(
        vector_size=dim, sg=1, seed=seed + 1, workers=threads, min_count=MIN_COUNT, epochs=epochs, **SETTINGS
    )
    begin = time.process_time()
    model.build_vocab(corpus_file=text)
    middle, start = time.process_time(), time.perf_counter()
    model.train(
        corpus_file=text, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=epochs
    )
    end, stop = time.process_time(), time.perf_counter()
    return model.wv.index_to_key, model.wv.vectors, middle - begin, end - middle, stop - start


def quality(words: list[str], matrix: np.ndarray) -> dict[str, float]:
    """Analogies answered and rank correlations with people, in per cent; one judge for both tools."""
    from inlay.evaluate.words import analogies, similarities
    from inlay.vectors.wordvectors import WordVectors

    vectors = WordVectors(words, matrix)
    answers = analogies(vectors, DATA / "google-analogies" / "questions-words.txt")
    parts = {
        "analogies": answers.total,
        "semantic": answers.part(lambda name: not name.startswith("gram")),
        "syntactic": answers.part(lambda name: name.startswith("gram")),
    }
    judged = {
        "ws353": similarities(vectors, DATA / "wordsim-en" / "EN-WS-353-ALL.txt"),
        "simlex": similarities(vectors, DATA / "wordsim-en" / "EN-SIMLEX-999.txt"),
    }
    return {
        **{name: round(100 * answers.accuracy, 2) for name, answers in parts.items()},
        "analogies_known": answers.total.known,
        **{name: round(100 * scores.spearman, 2) for name, scores in judged.items()},
    }


def load(tool: str, file: str) -> dict[str, Any]:
    """CPU seconds to read a text file of vectors."""
    if tool == "inlay":
        from inlay.vectors import byte_kernels  # noqa: F401
        from inlay.vectors.formats import load as read

        begin = time.process_time()
        matrix = read(file).matrix
    else:
        from gensim.models import KeyedVectors

        begin = time.process_time()
        matrix = KeyedVectors.load_word2vec_format(file).vectors
    seconds = time.process_time() - begin
    return {"load_cpu_s": seconds, "shape": list(matrix.shape), "sum": float(matrix.sum(dtype=np.float64))}


def prepare(path: Path, lines: int | None) -> int:
    """Write the corpus as lower-case words, a paragraph a line; returns how many words."""
    words = 0
    packed = DATA / "enwiki-2014-sample" / "enwiki_sample.txt.xz"
    with lzma.open(packed, "rt", encoding="utf-8") as source, open(path, "w", encoding="utf-8") as target:
        for number, line in enumerate(source):
            if number == lines:
                break
            if len(found := re.findall(r"[a-z0-9]+", line.lower())) > 1:
                words += len(found)
                target.write(" ".join(found) + "\n")
    return words


def head(source: Path, target: Path, lines: int) -> int:
    """Copy the first lines; returns how many words they hold."""
    words = 0
    with open(source, encoding="utf-8") as file, open(target, "w", encoding="utf-8") as out:
        for _, line in zip(range(lines), file, strict=False):
            words += len(line.split())
            out.write(line)
    return words


def write_random(path: Path, n_words: int, dim: int) -> None:
    """A text file of random vectors, written by gensim."""
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(dim)
    matrix = np.random.default_rng(0).standard_normal((n_words, dim)).astype(np.float32)
    vectors.add_vectors([f"word{number}" for number in range(n_words)], matrix)
    vectors.save_word2vec_format(str(path))


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    packages = ("numpy", "numba", "llvmlite", "scipy", "gensim")
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "load_average_at_start": round(os.getloadavg()[0], 2),
    }


def finish(result: dict[str, Any], out: Path) -> None:
    """Add the summary and write the file."""
    result["summary"] = summary(result)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Medians of each tool and their ratios (above 1: inlay is faster, or smaller)."""
    rows: dict[str, Any] = {}

    def compare_on(name: str, chosen: list[dict[str, Any]], key: str, *, ratio: bool = True) -> None:
        values = {tool: [run[key] for run in chosen if run["tool"] == tool] for tool in TOOLS}
        if all(values.values()):
            inlay, gensim = (statistics.median(values[tool]) for tool in TOOLS)
            rows[name] = {**values, "median_inlay": inlay, "median_gensim": gensim}
            if ratio:
                rows[name]["ratio"] = gensim / inlay

    def trainings(dim: int, threads: int) -> list[dict[str, Any]]:
        return [run for run in result["runs"] if run.get("dim") == dim and run["threads"] == threads]

    one, two, wide = trainings(100, 1), trainings(100, 2), trainings(300, 1)
    compare_on("train D=100, CPU s", one, "train_cpu_s")
    compare_on("train D=300 on a part, CPU s", wide, "train_cpu_s")
    compare_on("count and encode the text, CPU s", one, "read_cpu_s")
    compare_on("load text vectors, CPU s", [run for run in result["runs"] if run["what"] == "load"], "load_cpu_s")
    compare_on("peak memory, 1 thread, MB", one, "peak_mb")
    compare_on("peak memory, 2 threads, MB", two, "peak_mb")
    compare_on("train 1 thread, wall s", one, "train_wall_s")
    compare_on("train 2 threads, wall s", two, "train_wall_s")
    compare_on("train 2 threads, CPU s", two, "train_cpu_s")
    for key in ("analogies", "semantic", "syntactic", "ws353", "simlex"):
        compare_on(f"{key}, 1 thread, %", one, key, ratio=False)
        compare_on(f"{key}, 2 threads, %", two, key, ratio=False)
    for tool in TOOLS:
        walls = [
            rows[f"train {n}, wall s"][f"median_{tool}"]
            for n in ("1 thread", "2 threads")
            if f"train {n}, wall s" in rows
        ]
        if len(walls) == 2:
            rows[f"{tool}: 2 threads against 1, wall"] = {"ratio": walls[0] / walls[1]}
    return rows


def table(result: dict[str, Any]) -> str:
    """The summary, to be read."""
    lines = [f"{'':44}{'inlay':>26}{'gensim':>26}{'ratio':>8}"]
    for name, row in result["summary"].items():
        cells = [" ".join(f"{value:.1f}" for value in row.get(tool, [])) for tool in TOOLS]
        lines.append(f"{name:44}{cells[0]:>26}{cells[1]:>26}" + (f"{row['ratio']:8.2f}" if "ratio" in row else ""))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
