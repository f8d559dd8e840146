"""How fast text becomes token shards, beside the tokenizer's own speed on the same text in lists.

    INLAY_DATA=... python benchmarks/shards.py [--quick] [--only speed growth marks]

`inlay` is all of `inlay shards`: reading, cleaning, cutting, splitting, hashing, and writing to disk with fsync.
`engine` is `encode_batch_fast` of the tokenizers library, given lists of texts that are read and cleaned already, a
thousand at a time, its ids thrown away. Both may take all cores. A ratio of 0.8 says that shards are made at 80 % of
the engine's speed.
"""

import json
import lzma
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inlay.live import Live
from inlay.text.clean import clean_line
from inlay.text.corpus import Corpus, CorpusConfig
from inlay.text.shards import ShardsConfig, write_shards
from inlay.tokenize.kinds import ByteBPE, WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from side_by_side import DATA, Comparison, Job, Row, clock, main, peak_mb

KINDS = {"wordpiece": WordPiece(size=16_000), "bytebpe": ByteBPE(size=16_000)}
MARKS = ("", "sentences", "sentences words")
LINES = CorpusConfig(unit="line")
PARTS = {
    "speed": "20 MB of English, wordpiece and byte BPE of 16,000 tokens, three times each",
    "growth": "10, 20 and 40 MB of English: what memory it takes",
    "marks": "the same with sentences and words marked, English by the vocabulary, Chinese by the segmenter",
}


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """The jobs of every part."""
    size = 2 if quick else 20
    for _ in range(1 if quick else 3):
        for kind in KINDS:
            yield "speed", {"what": "make", "text": "english", "megabytes": size, "kind": kind}
    for megabytes in (size / 2, size, 2 * size):
        yield (
            "growth",
            {"what": "make", "tool": "inlay", "text": "english", "megabytes": megabytes, "kind": "wordpiece"},
        )
    for text in ("english", "chinese"):
        for marks in MARKS:
            job = {"what": "make", "text": text, "megabytes": size / 2, "kind": "wordpiece", "marks": marks}
            yield "marks", {**job, "tool": "inlay"}


def make(tool: str, text: str, megabytes: float, kind: str, marks: str = "") -> dict[str, Any]:
    """CPU and wall seconds, tokens and peak memory of one run over the first megabytes of the text."""
    Live.enabled = False
    path = Path(f"{text}.{megabytes:g}.txt")
    if not path.exists():
        with open(text, encoding="utf-8") as source:  # line by line: what this took would count as the peak
            _written(path, source, megabytes * 1e6)
    folder = Path(f"{text}.{kind}")
    if not folder.exists():
        sample = Corpus(text, config=LINES).texts()
        Tokenizer.train((line for _, line in zip(range(2000), sample, strict=False)), KINDS[kind]).save(folder)
    tokenizer = Tokenizer.load(folder)
    tokenizer.encode(["load the compiled code and start the threads"] * 1000)
    if tool == "engine":
        engine = tokenizer._engine
        texts = list(Corpus(path, config=LINES).texts())
        tokens = 0
        with clock() as took:
            for start in range(0, len(texts), 1000):
                tokens += sum(map(len, engine.encode_batch_fast(texts[start : start + 1000], add_special_tokens=False)))
    else:
        with tempfile.TemporaryDirectory() as out:
            config = ShardsConfig(**dict.fromkeys(marks.split(), True))
            with clock() as took:
                facts = write_shards(Corpus(path, config=LINES), tokenizer, Path(out) / "shards", config).facts
            tokens = facts.train.tokens + facts.heldout.tokens
    return {**took, "tokens": tokens, "peak_mb": peak_mb(), "tokens_per_s": tokens / took["wall_s"]}


def english(path: Path, quick: bool) -> int:
    """Write the Wikipedia sample, an article a line; returns how many."""
    return _written(path, (document.full for document in Corpus("enwiki-2014-sample")), 10e6 if quick else 45e6)


def chinese(path: Path, quick: bool) -> int:
    """Write the Fudan documents, each once, a document a line; returns how many."""
    with lzma.open(DATA / "fudan-zh-test" / "fudan_test.jsonl.xz", "rt", encoding="utf-8") as source:
        return _written(path, (one["text"] for one in map(json.loads, source) if not one["dup"]), 25e6)


def _written(path: Path, texts: Iterator[str], size: float) -> int:
    count = 0
    with open(path, "w", encoding="utf-8") as target:
        for text in texts:
            if target.tell() > size:
                break
            if line := clean_line(text):
                target.write(line + "\n")
                count += 1
    return count


ROWS = [
    *(
        Row(name=f"{kind} {what}", part="speed", key=key, where={"kind": kind})
        for kind in KINDS
        for what, key in (("CPU s", "cpu_s"), ("wall s", "wall_s"))
    ),
    *(
        Row(name=f"{size} MB of text, peak MB", part="growth", key="peak_mb", where={"megabytes": size})
        for size in (10, 20, 40)
    ),
    *(
        Row(
            name=f"{text}, {marks or 'no marks'}, CPU s",
            part="marks",
            key="cpu_s",
            where={"text": text, "marks": marks},
        )
        for text in ("english", "chinese")
        for marks in MARKS
    ),
]


if __name__ == "__main__":
    main(
        Comparison(
            script=__file__,
            tools=("inlay", "engine"),
            parts=PARTS,
            jobs={"make": make},
            plan=plan,
            rows=ROWS,
            texts={"english": english, "chinese": chinese},
            packages=("numpy", "tokenizers", "rjieba"),
        ),
        __doc__,
    )
