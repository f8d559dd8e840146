"""Opening a million word vectors and finding neighbours among them, side by side with gensim, in one run.

    python benchmarks/lookup.py [--quick] [--only open top ...]

The vectors are random: what is measured does not depend on their values. gensim opens its own format, mapped
(`mmap="r"`), which is its fastest; inlay opens .safetensors without verifying it (`open`) and after reading it for its
checksums (`verified`). Imports are done before the clock starts. A neighbour's time is the median over 20 words, after
the first one, in CPU milliseconds on one thread (wall time is in the file too). Half precision and int8 are inlay's
alone.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from side_by_side import Comparison, Job, Row, clock, main

DIMS = (100, 300)
PRECISIONS = ("float32", "half", "int8")
REPEATS = 3


def prepare(path: Path, quick: bool, dim: int) -> int:
    """Write the same random vectors as each tool's own file beside `path`; returns how many words."""
    from gensim.models import KeyedVectors

    from inlay.vectors.wordvectors import WordVectors

    words = [f"word{number}" for number in range(100_000 if quick else 1_000_000)]
    vectors = WordVectors(words, np.random.default_rng(0).standard_normal((len(words), dim), dtype=np.float32))
    for precision in PRECISIONS:
        packed = vectors if precision == "float32" else vectors.packed(precision)
        packed.save(_ours(path, precision))
    theirs = KeyedVectors(dim)
    theirs.add_vectors(words, vectors.matrix)
    theirs.save(str(path), sep_limit=0)
    return len(words)


def prepare_text(path: Path, quick: bool) -> int:
    """Write random vectors of 300 dimensions as word2vec text; returns how many words."""
    from inlay.vectors.wordvectors import WordVectors

    n = 10_000 if quick else 100_000
    matrix = np.random.default_rng(0).standard_normal((n, 300), dtype=np.float32)
    WordVectors([f"word{number}" for number in range(n)], matrix).save(path)
    return n


def _ours(path: Path, precision: str) -> Path:
    return Path(f"{path}.{precision}.safetensors")


def open_file(tool: str, text: str, repeat: int, verify: bool = False) -> Job:
    """Open the mapped file; seconds, and the memory that this takes, in MB."""
    if tool == "inlay":
        from inlay.vectors import fasttext_file, formats, tensors  # noqa: F401 - what an opening imports

        tensors.read(_tiny(Path(text)), verify=False)
        before = _resident_mb()
        with clock() as took:
            vectors = formats.load(_ours(Path(text), "float32"), verify=verify)
    else:
        from gensim.models import KeyedVectors

        before = _resident_mb()
        with clock() as took:
            vectors = KeyedVectors.load(text, mmap="r")
    return {
        **took,
        "cpu_ms": took["cpu_s"] * 1e3,
        "wall_ms": took["wall_s"] * 1e3,
        "grown_mb": _resident_mb() - before,
        "words": len(vectors),
    }


def _tiny(path: Path) -> Path:
    """A small file, by which everything that reads one is imported."""
    from inlay.vectors.wordvectors import WordVectors

    tiny = path.with_name("tiny.safetensors")
    WordVectors(["word"], np.ones((1, 2), np.float32)).save(tiny, force=True)
    return tiny


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def top(tool: str, text: str, repeat: int, dim: int, precision: str = "float32") -> Job:
    """The ten nearest words: milliseconds of one search, and of the first, which reads the file."""
    if tool == "inlay":
        from inlay.vectors.wordvectors import WordVectors

        WordVectors.load(_tiny(Path(text))).most_similar("word")
        vectors = WordVectors.load(_ours(Path(text), precision), verify=False)
        _ = vectors.index
        search = vectors.most_similar
        top_n = {"k": 10}
    else:
        from gensim.models import KeyedVectors

        vectors = KeyedVectors.load(text, mmap="r")
        search = vectors.most_similar
        top_n = {"topn": 10}
    times = []
    for number in range(21):
        with clock() as took:
            search(f"word{number * 37}", **top_n)
        times.append(took)
    first, *others = times
    middle = {name: statistics.median(took[f"{name}_s"] for took in others) * 1e3 for name in ("cpu", "wall")}
    return {"first_ms": first["wall_s"] * 1e3, "cpu_ms": middle["cpu"], "wall_ms": middle["wall"]}


def load_text(tool: str, text: str, repeat: int) -> Job:
    """Read word2vec text: CPU seconds."""
    if tool == "inlay":
        from inlay.vectors.formats import load

        small = Path(text).with_name("tiny.txt")
        small.write_text("2 2\na 1 2\nb 3 4\n")
        load(small)
        with clock() as took:
            load(text)
    else:
        from gensim.models import KeyedVectors

        with clock() as took:
            KeyedVectors.load_word2vec_format(text)
    return took


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """Every part, repeated; what gensim cannot do is asked of inlay alone."""
    for repeat in range(1 if quick else REPEATS):
        yield "open", {"what": "open", "text": "d300", "repeat": repeat}
        yield "verified", {"what": "open", "text": "d300", "repeat": repeat, "verify": True, "tool": "inlay"}
        for dim in DIMS:
            yield "top", {"what": "top", "text": f"d{dim}", "repeat": repeat, "dim": dim}
            for precision in PRECISIONS[1:]:
                job = {"text": f"d{dim}", "repeat": repeat, "dim": dim, "precision": precision, "tool": "inlay"}
                yield "packed", {"what": "top", **job}
        yield "text", {"what": "text", "text": "words", "repeat": repeat}


COMPARISON = Comparison(
    script=__file__,
    tools=("inlay", "gensim"),
    parts={
        "open": "open 1,000,000 x 300 mapped vectors, unverified",
        "verified": "open them, every byte checked",
        "top": "the 10 nearest of 1,000,000 words",
        "packed": "the same over half precision and int8",
        "text": "load 100,000 x 300 vectors from text",
    },
    jobs={"open": open_file, "top": top, "text": load_text},
    plan=plan,
    rows=[
        Row(name="open 1M x 300, ms", part="open", key="cpu_ms"),
        Row(name="open 1M x 300, MB", part="open", key="grown_mb"),
        Row(name="open 1M x 300 verified, ms", part="verified", key="cpu_ms"),
        *(Row(name=f"top 10 of 1M x {dim}, ms", part="top", key="cpu_ms", where={"dim": dim}) for dim in DIMS),
        *(
            Row(
                name=f"top 10 of 1M x {dim} {precision}, ms",
                part="packed",
                key="cpu_ms",
                where={"dim": dim, "precision": precision},
            )
            for dim in DIMS
            for precision in PRECISIONS[1:]
        ),
        Row(name="load 100k x 300 text, CPU s", part="text", key="cpu_s"),
    ],
    texts={
        **{f"d{dim}": lambda path, quick, dim=dim: prepare(path, quick, dim) for dim in DIMS},
        "words": prepare_text,
    },
)


if __name__ == "__main__":
    main(COMPARISON, __doc__)
