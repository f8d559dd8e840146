"""Skip-gram side by side with gensim, in one run: speed, quality and memory, on the same text with the same settings.

    INLAY_DATA=... python benchmarks/word2vec_vs_gensim.py [--quick] [--only speed wide ...]

Each training has a process of its own, the two tools take turns, and times are CPU seconds of the process, because
other work on the machine moves wall time more. gensim reads its fastest input (`corpus_file`) and runs its compiled
loops. What each loads to begin with (gensim's modules, inlay's compiled code) is not counted in the times, but in the
memory. With --only, the other parts stay in the file of results as they were.
"""

import argparse
import io
import json
import lzma
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("INLAY_DATA", ""))
RESULTS = Path(__file__).parent / "results" / "word2vec_vs_gensim.json"
SETTINGS: dict[str, Any] = {"window": 5, "negative": 5, "sample": 1e-3, "alpha": 0.025, "min_alpha": 1e-4}
MIN_COUNT = 5
TOOLS = ("inlay", "gensim")
PARTS = {
    "speed": "train D=100 on the whole text, 3 epochs, 1 thread",
    "wide": "train D=300 on a part, 1 epoch, 1 thread",
    "threads": "train D=100 on a part, 1 epoch, 1 and 2 threads",
    "two": "train D=100 on the whole text, 3 epochs, 2 threads",
    "memory": "train D=100 on the whole text, 1 epoch, 1 thread",
    "read": "count and encode the whole text",
    "load": "load 100,000 x 300 vectors from text",
}


def main() -> None:
    """Run everything, or one job of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of the text, one seed")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure (default: all)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job = json.loads(arguments.job)
        print(json.dumps({"train": train, "read": read, "load": load}[job.pop("what")](**job)))
    else:
        compare(arguments.only, quick=arguments.quick, out=arguments.out)


def compare(only: list[str], *, quick: bool, out: Path) -> None:
    """Measure the parts; the file is written anew after each job, so that a run that is cut leaves what it has."""
    os.environ["OMP_NUM_THREADS"] = "1"
    kept = json.loads(out.read_text())["runs"] if out.exists() and set(only) < set(PARTS) else []
    runs: list[dict[str, Any]] = [run for run in kept if run["part"] not in only]
    result = {"machine": machine(), "settings": {**SETTINGS, "min_count": MIN_COUNT}, "parts": PARTS, "runs": runs}
    with tempfile.TemporaryDirectory() as folder:
        text, part, vectors = (Path(folder) / name for name in ("text.txt", "part.txt", "vectors.txt"))
        result["words"] = prepare(text, 20_000 if quick else None)
        result["words_of_part"] = head(text, part, 10_000 if quick else 70_000)
        if "load" in only:
            write_random(vectors, *((10_000, 100) if quick else (100_000, 300)))
        run_one(what="train", tool="inlay", text=str(part), dim=100, epochs=1, seed=0, threads=1)  # compiles, uncounted
        for name, job in plan(text, part, vectors, range(1) if quick else range(3)):
            if name in only:
                for tool in TOOLS:
                    runs.append({"part": name, **run_one(tool=tool, **job)})
                    result["summary"] = summary(runs)
                    out.parent.mkdir(parents=True, exist_ok=True)
                    out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def plan(text: Path, part: Path, vectors: Path, seeds: range) -> Iterator[tuple[str, dict[str, Any]]]:
    """The jobs of every part, each to be done by both tools."""
    whole = {"what": "train", "text": str(text), "dim": 100}
    small = {"what": "train", "text": str(part), "dim": 100, "epochs": 1}
    for seed in seeds:
        yield "speed", {**whole, "epochs": 3, "seed": seed, "threads": 1}
    for seed in seeds:
        yield "wide", {**small, "dim": 300, "seed": seed, "threads": 1}
    for seed in seeds:
        for threads in (1, 2):
            yield "threads", {**small, "seed": seed, "threads": threads}
    for seed in seeds:
        yield "two", {**whole, "epochs": 3, "seed": seed, "threads": 2}
    yield "memory", {**whole, "epochs": 1, "seed": 0, "threads": 1}
    for _ in seeds:
        yield "read", {"what": "read", "text": str(text)}
        yield "load", {"what": "load", "file": str(vectors)}


def run_one(**job: Any) -> dict[str, Any]:
    """The result of one job in a fresh process."""
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, stderr=subprocess.DEVNULL)
    names = {key: Path(job.pop(key)).name for key in ("text", "file") if key in job}
    return {**job, **names, **json.loads(done.stdout.splitlines()[-1])}


def train(tool: str, text: str, dim: int, epochs: int, seed: int, threads: int) -> dict[str, Any]:
    """Train with one tool; CPU and wall seconds of training without reading, peak memory of all, and quality."""
    train_one = train_inlay if tool == "inlay" else train_gensim
    words, matrix, cpu, wall = train_one(text, dim, epochs, seed, threads)
    return {
        "train_cpu_s": cpu,
        "train_wall_s": wall,
        "peak_mb": peak_mb(),
        "vocabulary": len(words),
        **quality(words, matrix),
    }


def train_inlay(text: str, dim: int, epochs: int, seed: int, threads: int) -> tuple:
    from inlay.vectors.vocabulary import LineFiles, read
    from inlay.vectors.word2vec import Word2Vec, train

    train([["load", "the", "compiled", "code"]], Word2Vec(dim=8, negative=1, epochs=1, min_count=1))
    corpus = read(LineFiles(text), min_count=MIN_COUNT)
    begin, start = time.process_time(), time.perf_counter()
    config = Word2Vec(dim=dim, epochs=epochs, seed=seed, threads=threads, min_count=MIN_COUNT, **SETTINGS)
    vectors = train(corpus, config)
    return vectors.words, vectors.matrix, time.process_time() - begin, time.perf_counter() - start


def train_gensim(text: str, dim: int, epochs: int, seed: int, threads: int) -> tuple:
    from gensim.models import word2vec

    assert word2vec.FAST_VERSION > -1, "gensim runs without its compiled loops"
    model = word2vec.Word2Vec(
        vector_size=dim, sg=1, seed=seed + 1, workers=threads, min_count=MIN_COUNT, epochs=epochs, **SETTINGS
    )
    model.build_vocab(corpus_file=text)
    begin, start = time.process_time(), time.perf_counter()
    model.train(
        corpus_file=text, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=epochs
    )
    return model.wv.index_to_key, model.wv.vectors, time.process_time() - begin, time.perf_counter() - start


def peak_mb() -> float:
    """The most memory that this process has held; getrusage would count its parent's from before the start too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024  # type: ignore[index]


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


def read(tool: str, text: str) -> dict[str, Any]:
    """CPU seconds to count the words of a text; inlay's time holds their encoding too, gensim's does not."""
    if tool == "inlay":
        from inlay.vectors.vocabulary import LineFiles
        from inlay.vectors.vocabulary import read as count

        count(LineFiles(io.BytesIO(b"load the compiled code")), min_count=1)
        begin = time.process_time()
        words = count(LineFiles(text), min_count=MIN_COUNT).vocabulary.words
    else:
        from gensim.models import Word2Vec

        model = Word2Vec(min_count=MIN_COUNT)
        begin = time.process_time()
        model.build_vocab(corpus_file=text)
        words = model.wv.index_to_key
    return {"read_cpu_s": time.process_time() - begin, "vocabulary": len(words)}


def load(tool: str, file: str) -> dict[str, Any]:
    """CPU seconds to read a text file of vectors."""
    if tool == "inlay":
        from inlay.vectors.formats import load as load_vectors

        with tempfile.NamedTemporaryFile(suffix=".txt") as small:
            small.write(b"1 1\nword 1\n")  # loads the compiled code
            small.flush()
            load_vectors(small.name)
        begin = time.process_time()
        matrix = load_vectors(file).matrix
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


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What each tool reached in each part, the medians, and their ratios (above 1: inlay takes less)."""
    rows: dict[str, Any] = {}

    def row(name: str, part: str, key: str, threads: int | None = None) -> None:
        chosen = [run for run in runs if run["part"] == part and (threads is None or run["threads"] == threads)]
        values = {tool: [run[key] for run in chosen if run["tool"] == tool] for tool in TOOLS}
        if all(values.values()):
            medians = {f"median_{tool}": statistics.median(values[tool]) for tool in TOOLS}
            rows[name] = {**values, **medians}
            if not name.endswith("%"):
                rows[name]["ratio"] = medians["median_gensim"] / medians["median_inlay"]

    row("D=100, CPU s", "speed", "train_cpu_s")
    row("D=300 on a part, CPU s", "wide", "train_cpu_s")
    row("count and encode, CPU s", "read", "read_cpu_s")
    row("load text vectors, CPU s", "load", "load_cpu_s")
    row("peak memory, MB", "memory", "peak_mb")
    row("part, 1 thread, wall s", "threads", "train_wall_s", 1)
    row("part, 2 threads, wall s", "threads", "train_wall_s", 2)
    row("part, 1 thread, CPU s", "threads", "train_cpu_s", 1)
    row("part, 2 threads, CPU s", "threads", "train_cpu_s", 2)
    for part, threads in (("speed", "1 thread"), ("two", "2 threads")):
        for key in ("analogies", "semantic", "syntactic", "ws353", "simlex"):
            row(f"{key}, {threads}, %", part, key)
    if "part, 2 threads, wall s" in rows:
        for tool in TOOLS:
            one, two = (rows[f"part, {n}, wall s"][f"median_{tool}"] for n in ("1 thread", "2 threads"))
            rows[f"{tool}: 2 threads against 1"] = {"ratio": one / two}
    return rows


def table(result: dict[str, Any]) -> str:
    """The summary, to be read."""
    lines = [f"{'':28}{'inlay':>26}{'gensim':>26}{'ratio':>8}"]
    for name, row in result["summary"].items():
        cells = [" ".join(f"{value:.1f}" for value in row.get(tool, [])) for tool in TOOLS]
        lines.append(f"{name:28}{cells[0]:>26}{cells[1]:>26}" + (f"{row['ratio']:8.2f}" if "ratio" in row else ""))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
