"""The tables of the README and the handbook, written from benchmarks/results: documents quote nothing else.

    python benchmarks/tables.py         rewrite what stands between `<!-- table: NAME -->` and `<!-- end -->`

The tests check that the documents are what this writes.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from figures import beside, extent, mean, number, read
from tables_encoders import ENCODERS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")]
_PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.S)

_METHODS = {
    "bm25": "BM25",
    "bm25 over words alone": "BM25, words alone",
    "vectors-sif": "vectors-sif",
    "lsa": "lsa",
    "lsa-grams": "lsa-grams",
    "tuned-random": "tuned-random",
    "tuned-vectors": "tuned-vectors",
    "tuned-lsa": "tuned-lsa",
    "all-MiniLM-L6-v2": "all-MiniLM-L6-v2",
    "shipped dense alone": "**shipped, dense alone**",
    "shipped": "**shipped**",
}


def retrieval() -> str:
    """nDCG@10 on true judgements: a row a method, a column a set."""
    found = read("fit_retrieval")
    sets = found["sets"]
    short = {name: "drcd (zh)" if name.startswith("zh") else name for name in sets}
    lines = ["| nDCG@10 | " + " | ".join(short.values()) + " |", "| --- |" + " ---: |" * len(sets)]
    for method, label in _METHODS.items():
        cells = [sets[name]["methods"].get(method, {}).get("ndcg@10") for name in sets]
        if any(cell is not None for cell in cells):
            lines.append(f"| {label} | " + " | ".join("–" if cell is None else f"{cell:.3f}" for cell in cells) + " |")
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("documents", lambda s: f"{s['documents']:,}"),
        ("judged queries", lambda s: f"{s['queries']:,}"),
        ("Spearman, held-out against true", lambda s: f"{mean(s['spearman of mined and true over methods']):.2f}"),
        ("fit, s (CPU s)", lambda s: f"{mean(s['fit wall s']):.0f} ({mean(s['fit cpu s']):.0f})"),
        ("ms a query", lambda s: f"{mean(s['ms a query']):.1f}"),
    ]
    for label, cell in rows:
        lines.append(f"| {label} | " + " | ".join(cell(sets[name]) for name in sets) + " |")
    return "\n".join(lines)


def summary() -> str:
    """The means over the English sets."""
    means = read("fit_retrieval")["summary"]["mean of the English sets"]
    names = {
        "bm25": "BM25",
        "all-MiniLM-L6-v2": "all-MiniLM-L6-v2",
        "shipped dense alone": "inlay, dense alone",
        "shipped": "**inlay**",
    }
    known = [name for name in names if name in means]
    head = "| | " + " | ".join(names[name] for name in known) + " |\n| --- |" + " ---: |" * len(known)
    return head + "\n| nDCG@10 | " + " | ".join(f"{means[name]:.3f}" for name in known) + " |"


def word2vec() -> str:
    """Speed as a ratio, quality beside it: the usual way to train, for the README."""
    rows = {
        "D=100, CPU s": "skip-gram, 3 epochs, CPU s",
        "CBOW D=100, CPU s": "CBOW, 3 epochs, CPU s",
        "hierarchical D=100, CPU s": "skip-gram with hierarchical softmax, 1 epoch, CPU s",
        "count and encode, CPU s": "count and encode the text, CPU s",
        "load text vectors, CPU s": "load 100,000 × 300 from text, CPU s",
        "peak memory, MB": "peak memory, MB",
        "analogies, 1 thread, %": "skip-gram: analogies, %",
        "ws353, 1 thread, %": "skip-gram: WS-353, Spearman × 100",
        "simlex, 1 thread, %": "skip-gram: SimLex-999, Spearman × 100",
    }
    return beside("word2vec_vs_gensim", {"inlay": "inlay", "gensim": "gensim"}, rows)


def word2vec_costs() -> str:
    """Every way to train word2vec: CPU seconds."""
    rows = {
        "D=100, CPU s": "skip-gram, D=100, 3 epochs",
        "D=300 on a part, CPU s": "skip-gram, D=300, 1 epoch of a part",
        "CBOW D=100, CPU s": "CBOW, D=100, 3 epochs",
        "CBOW D=300 on a part, CPU s": "CBOW, D=300, 1 epoch of a part",
        "hierarchical D=100, CPU s": "skip-gram, hierarchical, D=100, 1 epoch",
        "hierarchical D=300 on a part, CPU s": "skip-gram, hierarchical, D=300, 1 epoch of a part",
        "CBOW hierarchical on a part, CPU s": "CBOW, hierarchical, D=100, 3 epochs of a part",
        "noise per pair D=100, CPU s": "skip-gram, noise for each pair, D=100, 3 epochs",
        "Chinese D=100, CPU s": "Chinese, skip-gram, D=100, 3 epochs",
        "Chinese CBOW D=100, CPU s": "Chinese, CBOW, D=100, 3 epochs",
    }
    return beside("word2vec_vs_gensim", {"inlay": "inlay", "gensim": "gensim"}, rows)


def word2vec_quality() -> str:
    """Every way to train word2vec: ranges over the seeds."""
    english = {"analogies": "analogies", "ws353": "WS-353", "simlex": "SimLex-999"}
    chinese = {"morphological": "CA8 morphological", "semantic": "CA8 semantic", "wordsim240": "wordsim-240"}
    ways = {
        "1 thread": "skip-gram",
        "2 threads": "skip-gram, 2 threads",
        "CBOW": "CBOW",
        "hierarchical": "hierarchical",
    }
    rows = {f"{key}, {way}, %": f"{name}: {label}" for way, name in ways.items() for key, label in english.items()}
    ways = {"Chinese": "Chinese skip-gram", "Chinese CBOW": "Chinese CBOW"}
    rows |= {f"{key}, {way}, %": f"{name}: {label}" for way, name in ways.items() for key, label in chinese.items()}
    return beside("word2vec_vs_gensim", {"inlay": "inlay", "gensim": "gensim"}, rows)


def fasttext() -> str:
    """fastText's vectors beside the program itself and gensim."""
    rows = {
        "skip-gram, CPU s": "skip-gram, D=100, CPU s",
        "chinese, CPU s": "Chinese, skip-gram, D=100, CPU s",
        "cbow, CPU s": "CBOW, D=100, CPU s",
        "tree, CPU s": "skip-gram, hierarchical, D=100, CPU s",
        "wide, CPU s": "skip-gram, D=300, CPU s",
        "skip-gram, peak memory, MB": "skip-gram, peak memory, MB",
        "skip-gram, google-analogies, %": "skip-gram: analogies, %",
        "skip-gram, WS-353, %": "skip-gram: WS-353, Spearman × 100",
        "skip-gram, WS-353 from n-grams, %": "the same from n-grams alone",
        "skip-gram, SimLex-999, %": "skip-gram: SimLex-999, Spearman × 100",
        "chinese, CA8 morphological, %": "Chinese: CA8 morphological, %",
        "chinese, CA8 semantic, %": "Chinese: CA8 semantic, %",
        "chinese, wordsim-240, %": "Chinese: wordsim-240, Spearman × 100",
        "chinese, wordsim-240 from n-grams, %": "the same from n-grams alone",
    }
    return beside("fasttext_speed", {"inlay": "inlay", "fasttext": "fastText", "gensim": "gensim"}, rows)


def glove() -> str:
    """GloVe beside the classic algorithm in C."""
    rows = {
        "English, counting, CPU s": "counting, CPU s",
        "English, training, CPU s": "training, D=100, CPU s",
        "English, all, CPU s": "all, CPU s",
        "D=300, all, CPU s": "all, D=300, CPU s",
        "Chinese, all, CPU s": "Chinese, all, CPU s",
        "English, peak memory, MB": "peak memory, MB",
        "english, google-analogies, %": "analogies, %",
        "english, EN-WS-353-ALL, %": "WS-353, Spearman × 100",
        "english, EN-SIMLEX-999, %": "SimLex-999, Spearman × 100",
        "chinese, morphological, %": "Chinese: CA8 morphological, %",
        "chinese, semantic, %": "Chinese: CA8 semantic, %",
        "chinese, wordsim-240, %": "Chinese: wordsim-240, Spearman × 100",
    }
    return beside("glove_vs_c", {"inlay": "inlay", "C fast": "C"}, rows)


def classifier() -> str:
    """The classifier beside fastText: a row a set."""
    found = read("classifier_vs_fasttext")["summary"]
    lines = ["| | inlay, CPU s | fastText, CPU s | | inlay, accuracy % | fastText, accuracy % |"]
    lines.append("| --- |" + " ---: |" * 5)
    for name in ("sst2", "trec", "chnsenticorp", "waimai", "thucnews", "fudan"):
        cost, right = found[f"{name}, CPU s"], found[f"{name}, accuracy %"]
        cells = [number(cost["median_inlay"]), number(cost["median_fasttext"]), f"{cost['ratio']:.1f}×"]
        lines.append(f"| {name} | " + " | ".join([*cells, extent(right["inlay"]), extent(right["fasttext"])]) + " |")
    return "\n".join(lines)


def peers() -> str:
    """fastText, GloVe and the classifier beside the programs in C and C++, for the README."""
    rows = {
        "fastText skip-gram, beside fastText in C++": ("fasttext_speed", "skip-gram, CPU s", "fasttext"),
        "fastText skip-gram, Chinese": ("fasttext_speed", "chinese, CPU s", "fasttext"),
        "GloVe, counted and trained, beside its algorithm in C": ("glove_vs_c", "English, all, CPU s", "C fast"),
        "GloVe, Chinese": ("glove_vs_c", "Chinese, all, CPU s", "C fast"),
        "classifier, sentences of films, beside fastText in C++": ("classifier_vs_fasttext", "sst2, CPU s", "fasttext"),
        "classifier, Chinese documents": ("classifier_vs_fasttext", "fudan, CPU s", "fasttext"),
    }
    lines = ["| CPU s | inlay | the other | |", "| --- | ---: | ---: | ---: |"]
    for label, (name, key, tool) in rows.items():
        row = read(name)["summary"][key]
        cells = [number(row["median_inlay"]), number(row[f"median_{tool}"]), f"{row['ratios'][tool]:.1f}×"]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def lookup() -> str:
    """A million words on disk and in memory, beside gensim."""
    rows = {
        "open 1M x 300, ms": "open 1,000,000 × 300, mapped, ms",
        "open 1M x 300, MB": "memory that opening takes, MB",
        "open 1M x 300 verified, ms": "open, every byte checked, ms",
        "top 10 of 1M x 100, ms": "10 nearest of 1,000,000 × 100, ms",
        "top 10 of 1M x 300, ms": "10 nearest of 1,000,000 × 300, ms",
        "top 10 of 1M x 300 half, ms": "the same in half precision, ms",
        "top 10 of 1M x 300 int8, ms": "the same in int8, ms",
    }
    return beside("lookup", {"inlay": "inlay", "gensim": "gensim"}, rows)


def forward() -> str:
    """The encoder's forward pass and generation, beside transformers."""
    rows = {}
    for part, name in (("sorted", "by length"), ("mixed", "as they come"), ("long", "128 tokens and more")):
        rows[f"{part}: CPU s"] = f"MiniLM, texts {name}, CPU s"
        rows[f"{part}: padding"] = "– padding, share of all rows"
        rows[f"{part}: peak_mb"] = "– peak memory, MB"
    rows["base: CPU s"] = "BERT-base's size, texts as they come, CPU s"
    for size, label in (("tiny", "4 × 128"), ("small", "4 × 256")):
        for prompts, some in ((1, "one prompt"), (8, "8 prompts")):
            rows[f"generate: {size}, {prompts} texts, ms a token"] = f"GPT-2 {label}, {some}, ms a token"
        rows[f"beam: {size}, 4 texts, ms a token"] = f"GPT-2 {label}, 4 prompts, 4 beams, ms a token"
    return beside("forward", {"inlay": "inlay", "transformers": "transformers"}, rows)


def pretraining() -> str:
    """Every objective on real text: a row a run."""
    lines = ["| | objective's term | parameters | steps | minutes | held-out loss | unigram entropy | same again |"]
    lines.append("| --- | --- |" + " ---: |" * 6)
    for name, run in read("pretrain", "objectives").items():
        cells = [
            run["term"],
            f"{run['parameters'] / 1e6:.1f} M",
            f"{run['steps']:,}",
            f"{run['seconds'] / 60:.1f}",
            f"{run['heldout']['heldout_' + run['term']]:.2f}",
            f"{run['unigram_entropy']:.2f}",
            "yes" if run["same_again"] else "no",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def word_start() -> str:
    """Where the token table starts: a row a way, ranges over the seeds."""
    found = read("pretrain", "start")
    lines = [f"| the table starts from | held-out loss | steps to {found['goal']:.2f} |", "| --- | ---: | ---: |"]
    for way, row in found["summary"].items():
        losses, steps = row["heldout_mlm"], row["steps_to_goal"]
        reached = ", ".join("never" if one is None else f"{one:,}" for one in steps)
        lines.append(f"| {way} | {min(losses):.2f} – {max(losses):.2f} | {reached} |")
    return "\n".join(lines)


def neighbours() -> str:
    """Heads drawn by chance and heads that look at neighbours: a row a recipe, ranges over the seeds."""
    lines = ["| held-out loss | as drawn | `init.neighbours` | unigram entropy | steps |", "| --- |" + " ---: |" * 4]
    for config, ways in read("pretrain", "neighbours").items():
        ends = [[run["heldout"]["heldout_mlm"] for run in runs] for runs in ways.values()]
        first = ways["neighbours"][0]
        cells = [f"{min(end):.2f} – {max(end):.2f}" for end in ends]
        cells += [f"{first['unigram_entropy']:.2f}", f"{first['steps']:,}"]
        lines.append(f"| {config} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def train_speed() -> str:
    """Pretraining beside the Trainer of transformers."""
    parts = {"masked": "MLM, full rows", "mixed": "MLM, texts of mixed length", "causal": "causal LM, full rows"}
    rows = {}
    for part, label in parts.items():
        rows[f"{part}, CPU s a million tokens"] = f"{label}: CPU s a million tokens"
        rows[f"{part}, peak MB"] = "– peak memory, MB"
        rows[f"{part}, padding"] = "– padding, share of all places"
        rows[f"{part}, loss"] = "– loss of the same batch before the first step"
    return beside("train_speed", {"inlay": "inlay", "transformers": "transformers"}, rows)


def training() -> str:
    """The same in three lines, for the README."""
    rows = {
        "masked, CPU s a million tokens": "masked language modelling, full rows",
        "mixed, CPU s a million tokens": "the same, texts of mixed length",
        "causal, CPU s a million tokens": "causal language modelling, full rows",
    }
    return beside("train_speed", {"inlay": "inlay", "transformers": "transformers' Trainer"}, rows)


def contrastive() -> str:
    """Contrastive tuning beside the trainer of sentence-transformers."""
    rows = {}
    for part, label in (("plain", "all of a batch at once"), ("cached", "cached, in chunks")):
        rows[f"{part}: CPU s"] = f"{label}: CPU s"
        rows[f"{part}: peak MB"] = "– peak memory, MB"
        rows[f"{part}: padding"] = "– padding, share of all places"
    return beside("contrastive", {"inlay": "inlay", "sentence-transformers": "sentence-transformers"}, rows)


def distillation() -> str:
    """A student taught and the same student alone: a row a start."""
    found = dict(read("distill")["summary"])
    teacher = found.pop("teacher")
    lines = ["| student begins | alone | distilled | better by, seed by seed | CPU of a step | teacher |"]
    lines.append("| --- |" + " ---: |" * 5)
    for start, row in found.items():
        better = ", ".join(f"{one:.3f}" for one in row["better by, seed by seed"])
        cost = f"{row['CPU s of a step, distilled to alone']:.1f}×"
        cells = [f"{row['alone']:.3f}", f"{row['distilled']:.3f}", better, cost, f"{teacher:.3f}"]
        lines.append(f"| {start} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shards() -> str:
    """Shards beside the tokenizer's own speed, and the memory by the size of the text."""
    rows = {
        "wordpiece CPU s": "WordPiece, CPU s",
        "wordpiece wall s": "WordPiece, s",
        "bytebpe CPU s": "byte-level BPE, CPU s",
        "bytebpe wall s": "byte-level BPE, s",
        "10 MB of text, peak MB": "peak memory for 10 MB of text, MB",
        "20 MB of text, peak MB": "for 20 MB",
        "40 MB of text, peak MB": "for 40 MB",
    }
    return beside("shards", {"inlay": "all of inlay shards", "engine": "the tokenizer alone"}, rows)


def extension() -> str:
    """Words added to a tokenizer, beside the tokenizer as it was and words added beside the model."""
    rows = {}
    for name, label in (("minilm", "MiniLM's WordPiece"), ("bytebpe", "byte-level BPE")):
        for words in (500, 2000):
            key = f"{name} + {words} words"
            rows[f"{key}, tokens"] = f"{label}, {words:,} words: tokens of other texts"
            rows[f"{key}, inside words"] = "– inside words"
            rows[f"{key}, speed, % of before"] = "– speed, % of before"
    tools = {"inlay": "in the model, inlay", "add_tokens": "beside it", "before": "as it was"}
    return beside("extend", tools, rows)


TABLES: dict[str, Callable[[], str]] = {
    table.__name__: table
    for table in (
        retrieval, summary, word2vec, word2vec_costs, word2vec_quality, fasttext, glove, classifier, peers, lookup,
        forward, pretraining, word_start, neighbours, train_speed, training, contrastive, distillation, shards,
        extension,
    )
} | ENCODERS  # fmt: skip


_UNMEASURED = "*not measured yet · 尚未测量*"


def written(text: str) -> str:
    """The document with its tables made anew; one whose benchmark has not been run says so."""

    def table(place: re.Match[str]) -> str:
        try:
            return f"{place[1]}{TABLES[place[2]]()}\n{place[3]}"
        except FileNotFoundError:
            return f"{place[1]}{_UNMEASURED}\n{place[3]}"

    return _PLACE.sub(table, text)


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(written(document.read_text(encoding="utf-8")), encoding="utf-8")
