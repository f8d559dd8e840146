"""Text classification beside fastText: accuracy, CPU time and size of the files, on six data sets, three seeds.

Both learn with the same settings from the same lines and are measured on the same held-out ones; each job is a process
of its own. Its time is reading, counting and learning; `start` is what comes before, once a process: imports, and
kernels from the cache. fastText 0.9 with one thread initialises a tenth of its table and leaves the rest as the system
gives it, mostly zero.

    INLAY_DATA=... python benchmarks/classifier_vs_fasttext.py [--quick] [--only PART ...] [--out FILE]
"""

import csv
import json
import lzma
import random
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from side_by_side import DATA, Comparison, Job, Row, clock, main, peak_mb

SETTINGS: dict[str, dict[str, Any]] = {
    "sst2": {"epochs": 10, "alpha": 0.5, "word_ngrams": 2, "buckets": 200_000},
    "trec": {"epochs": 25, "alpha": 0.5},
    "trec50": {"epochs": 25, "alpha": 0.5, "word_ngrams": 2, "buckets": 200_000},
    "chnsenticorp": {"epochs": 10, "alpha": 0.5, "word_ngrams": 2, "buckets": 200_000},
    "waimai": {"epochs": 5, "alpha": 0.5, "min_n": 1, "max_n": 3, "buckets": 200_000},
    "thucnews": {"epochs": 10, "alpha": 0.5},
    "fudan": {"epochs": 5, "alpha": 0.5},
}
"""Of each data set; dim is 100."""
_COMPARED = ("sst2", "trec", "chnsenticorp", "waimai", "thucnews", "fudan")
_SHRUNK = {"sst2": 4, "thucnews": 8}
"""How many dimensions share a byte: with n-grams, and with words alone, where the dictionary is a large part."""
LOSSES = {"softmax": "Softmax", "hs": "Hierarchical", "ns": "Noise", "ova": "OneVsAll"}
_NAMES = {
    "epochs": "epoch",
    "alpha": "lr",
    "word_ngrams": "wordNgrams",
    "buckets": "bucket",
    "min_n": "minn",
    "max_n": "maxn",
}


def classify(tool: str, text: str, data: str, loss: str, seed: int) -> Job:
    """Train on the data set, and measure on its test lines."""
    start = _start(tool, data, loss)
    with clock() as took:
        model = _train(tool, Path(text), data, loss, seed)
    return {**took, "start_s": start, "accuracy": 100 * _accuracy(tool, model, text), "peak_mb": peak_mb()}


def shrink(tool: str, text: str, data: str, seed: int, size: int) -> Job:
    """Train, quantise with `size` dimensions a byte, and measure size and accuracy before and after."""
    with tempfile.TemporaryDirectory() as folder:
        model = _train(tool, Path(text), data, "softmax", seed)
        before = _saved(model, Path(folder) / "model.bin"), 100 * _accuracy(tool, model, text)
        with clock() as took:
            if tool == "inlay":
                from inlay.vectors.quantize import Quantization, quantize

                model = quantize(model, Quantization(part=size, seed=seed))
            else:
                model.quantize(text, qnorm=True, dsub=size)
        after = _saved(model, Path(folder) / "model.ftz"), 100 * _accuracy(tool, model, text)
    return {
        "quantize_s": took["cpu_s"],
        "mb": before[0] / 1e6,
        "small_mb": after[0] / 1e6,
        "times_smaller": before[0] / after[0],
        "accuracy": before[1],
        "accuracy_lost": before[1] - after[1],
    }


def _train(tool: str, path: Path, data: str, loss: str, seed: int) -> Any:
    settings = SETTINGS[data]
    if tool == "inlay":
        from inlay.vectors import supervised

        config = supervised.Supervised(output=getattr(supervised, LOSSES[loss])(), seed=seed, **settings)
        return supervised.train(path, config)
    import fasttext

    theirs = {_NAMES[name]: value for name, value in settings.items()}
    return fasttext.train_supervised(str(path), loss=loss, thread=1, verbose=0, seed=seed, **theirs)


def _start(tool: str, data: str, loss: str) -> float:
    """CPU seconds until a tool is ready: what it imports, and what it compiled once and finds in its cache."""
    with tempfile.TemporaryDirectory() as folder, clock() as took:
        if tool == "inlay":
            (tiny := Path(folder) / "tiny.txt").write_text("__label__a one two\n__label__b three four\n" * 40)
            _train(tool, tiny, data, loss, 0)
        else:
            import fasttext  # noqa: F401 - all that it needs; on a tiny text, its table as found may hold NaN
    return took["cpu_s"]


def _accuracy(tool: str, model: Any, text: str) -> float:
    """Share of the test lines, which stand beside the training lines, that get their label."""
    test = Path(text).with_suffix(".test")
    return model.test(test).total.precision if tool == "inlay" else model.test(str(test))[1]


def _saved(model: Any, path: Path) -> int:
    """Bytes of the file."""
    (model.save if hasattr(model, "save") else model.save_model)(str(path))
    return path.stat().st_size


def write(data: str) -> Callable[[Path, bool], int]:
    """A function that writes a data set to a path and beside it (.test), words between spaces, and counts its words.

    What stands in both halves is measured on, not learned from.
    """

    def prepare(path: Path, quick: bool) -> int:
        train, test = _SETS[data]()
        held = {text for _, text in test}
        train = [pair for pair in train if pair[1] not in held]
        for target, pairs in ((path, train), (path.with_suffix(".test"), test)):
            lines = (f"__label__{label} {text}\n" for label, text in pairs)
            target.write_text("".join(lines), encoding="utf-8")
        return sum(len(text.split()) for _, text in train)

    return prepare


Pairs = list[tuple[str, str]]


def _sst2() -> tuple[Pairs, Pairs]:
    return tuple(  # type: ignore[return-value]
        [(label, text) for text, label in _tabs(DATA / "sst2-sentences" / f"{part}.tsv")] for part in ("train", "test")
    )


def _trec(fine: bool) -> tuple[Pairs, Pairs]:
    def pairs(part: str) -> Iterator[tuple[str, str]]:
        with zipfile.ZipFile(DATA / "trec-question-types" / "qc.zip") as archive:
            for line in archive.read(f"qc/{part}.txt").decode("latin-1").splitlines():
                label, text = line.split(None, 1)
                yield label if fine else label.split(":")[0], text.lower()

    return list(pairs("train")), list(pairs("test"))


def _chnsenticorp() -> tuple[Pairs, Pairs]:
    cut = _chinese()
    return tuple(  # type: ignore[return-value]
        [(label, cut(text)) for label, text in list(_tabs(DATA / "chnsenticorp" / f"{part}.tsv"))[1:]]
        for part in ("train", "test")
    )


def _waimai() -> tuple[Pairs, Pairs]:
    cut = _chinese()
    with open(DATA / "waimai-10k" / "waimai_10k.csv", encoding="utf-8", newline="") as file:
        rows = [(label, cut(text)) for label, text in list(csv.reader(file))[1:]]
    random.Random(0).shuffle(rows)
    return rows[2000:], rows[:2000]


def _thucnews() -> tuple[Pairs, Pairs]:
    cut, folder = _chinese(), DATA / "thucnews-titles-dev-test"
    return tuple(  # type: ignore[return-value]
        [(label, cut(text)) for text, label in _tabs(folder / f"{part}.txt")] for part in ("dev", "test")
    )


def _fudan() -> tuple[Pairs, Pairs]:
    """The first 3,000 documents, each once, whole; every fifth is held out."""
    cut, pairs = _chinese(), []
    with lzma.open(DATA / "fudan-zh-test" / "fudan_test.jsonl.xz", "rt", encoding="utf-8") as source:
        for record in map(json.loads, source):
            if not record["dup"]:
                pairs.append(("_".join(record["label"].split()), cut(record["text"])))
            if len(pairs) == 3000:
                break
    random.Random(0).shuffle(pairs)
    return [pair for at, pair in enumerate(pairs) if at % 5], pairs[::5]


def _tabs(path: Path) -> Iterator[list[str]]:
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")


def _chinese() -> Callable[[str], str]:
    from inlay.text.words import segmenter

    segment = segmenter("zh")
    return lambda text: " ".join(segment(text))


_SETS: dict[str, Callable[[], tuple[Pairs, Pairs]]] = {
    "sst2": _sst2,
    "trec": lambda: _trec(fine=False),
    "trec50": lambda: _trec(fine=True),
    "chnsenticorp": _chnsenticorp,
    "waimai": _waimai,
    "thucnews": _thucnews,
    "fudan": _fudan,
}


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    seeds = range(1 if quick else 3)
    for seed in seeds:
        for data in _COMPARED:
            yield "sets", {"what": "classify", "text": data, "data": data, "loss": "softmax", "seed": seed}
        for loss in LOSSES:
            yield "losses", {"what": "classify", "text": "trec50", "data": "trec50", "loss": loss, "seed": seed}
    for data, size in _SHRUNK.items():
        yield "sizes", {"what": "shrink", "text": data, "data": data, "seed": 0, "size": size}


def rows() -> Iterator[Row]:
    for data in _COMPARED:
        yield Row(name=f"{data}, CPU s", part="sets", key="cpu_s", where={"data": data})
        yield Row(name=f"{data}, accuracy %", part="sets", key="accuracy", where={"data": data}, cost=False)
    yield Row(name="start, CPU s", part="sets", key="start_s")
    for loss in LOSSES:
        yield Row(name=f"trec50 {loss}, CPU s", part="losses", key="cpu_s", where={"loss": loss})
        yield Row(name=f"trec50 {loss}, accuracy %", part="losses", key="accuracy", where={"loss": loss}, cost=False)
    for data, size in _SHRUNK.items():
        for key in ("mb", "small_mb", "times_smaller", "accuracy", "accuracy_lost", "quantize_s"):
            name = f"{data} by {size}, {key.replace('_', ' ')}"
            yield Row(name=name, part="sizes", key=key, where={"data": data}, cost=key == "quantize_s")


COMPARISON = Comparison(
    script=__file__,
    tools=("inlay", "fasttext"),
    parts={
        "sets": "six data sets, softmax",
        "losses": "fifty labels of questions, four ways to tell them apart",
        "sizes": "quantised, some dimensions a byte, the length by itself",
    },
    jobs={"classify": classify, "shrink": shrink},
    plan=plan,
    texts={data: write(data) for data in SETTINGS},
    rows=list(rows()),
    warm_up=[
        {"what": "classify", "text": "trec50", "data": "trec50", "loss": "hs", "seed": 0, "tool": "inlay"},
        {"what": "shrink", "text": "sst2", "data": "sst2", "seed": 0, "size": 4, "tool": "inlay"},
    ],
    settings={"dim": 100, "threads": 1, **SETTINGS},
    packages=("numpy", "numba", "llvmlite", "fasttext-numpy2-wheel", "fasttext"),
)

if __name__ == "__main__":
    main(COMPARISON, __doc__)
