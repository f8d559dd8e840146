"""Every objective on real text: how held-out loss falls, and that the same seed gives the same curve.

    INLAY_DATA=... python benchmarks/pretrain.py [--quick] [--only objectives start neighbours] [--names bert gpt2 ...]

`objectives` runs `inlay pretrain` with each file of examples/configs on Wikipedia articles (BERT and GPT on Chinese
documents too), one thread each, two runs side by side. The loss of telling tokens is compared with the unigram
entropy of the same held-out text: what it would cost to know nothing but how often each token comes. For each run the
first steps are then done once more with the same seed, and all figures must be the same to the last bit.
`start` trains one model from a random token table and from word vectors of the same text, three seeds of both.
`neighbours` trains models of learned positions with all weights drawn by chance and with first heads that look at
neighbours (init.neighbours), two seeds of both.

Results and a plot of all curves lie in results/, as pretrain.json and pretrain.png.
"""

import argparse
import json
import lzma
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from side_by_side import DATA, RESULTS, machine

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "examples" / "configs"
TOKEN_TERMS = ("mlm", "nll")
"""What objectives call the mean error of telling tokens."""
AGAIN = 30
"""Steps that are done a second time."""

STEPS = 4500
"""Of 1,024 tokens each: about ten minutes on a quiet machine."""
COSTLY = 3000
"""Where a step costs more, or says more: two stacks, two segments, two streams."""

RUNS: dict[str, tuple[str, str, int, list[str]]] = {
    "bert": ("bert", "english", COSTLY, []),
    "roberta": ("roberta", "english", COSTLY, []),
    "albert": ("albert", "english", COSTLY, []),
    "electra": ("electra", "english", COSTLY, []),
    "distilbert": ("distilbert", "english", COSTLY, []),
    "modern": ("modern", "english", STEPS, []),
    "xlnet": ("xlnet", "english", COSTLY, []),
    "gpt2": ("gpt2", "english", STEPS, []),
    "t5": ("t5", "english", COSTLY, []),
    "bart": ("bart", "english", COSTLY, []),
    "transformer": ("transformer", "english", COSTLY, []),
    "bert, Chinese": ("bert", "chinese", COSTLY, ["objective.masked.masks={kind: WholeWord}"]),
    "gpt2, Chinese": ("gpt2", "chinese", COSTLY, []),
}
"""The config, the text, the steps, and what else is set."""

START = ["train.evaluate_every=100", "train.checkpoint_every=100000", "tokenizer=null"]
SEEDS = (0, 1, 2)
START_STEPS = 1500

NEIGHBOURS = {"as drawn": "init.neighbours=false", "neighbours": "init.neighbours=true"}
NEIGHBOUR_CONFIGS = ("bert", "roberta", "distilbert")
NEIGHBOUR_STEPS = 1000


def write_text(name: str, path: Path, quick: bool) -> int:
    """Write documents as JSON lines; returns how many characters."""
    written = 0
    with open(path, "w", encoding="utf-8") as out:
        for text in _documents(name, 300 if quick else 8000):
            written += len(text)
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return written


def _documents(name: str, most: int) -> Iterator[str]:
    if name == "english":
        from inlay.text.corpus import Corpus

        for document, _ in zip(Corpus("enwiki-2014-sample"), range(most), strict=False):
            yield document.full
        return
    with lzma.open(DATA / "fudan-zh-test" / "fudan_test.jsonl.xz", "rt", encoding="utf-8") as source:
        kept = (record["text"] for record in map(json.loads, source) if not record["dup"])
        for text, _ in zip(kept, range(most // 4), strict=False):
            yield text


def command(config: str, source: Path | None, out: Path, steps: int, more: list[str]) -> list[str]:
    """`inlay pretrain` as a user would type it."""
    return [
        *(sys.executable, "-m", "inlay", "--quiet", "pretrain", str(CONFIGS / f"{config}.yaml")),
        *([] if source is None else [f"data.source={source}"]),
        *(f"out={out}", f"train.steps={steps}", "train.threads=1"),
        *more,
    ]


def run(config: str, source: Path | None, out: Path, steps: int, more: list[str]) -> dict[str, Any]:
    """One run: its curve, its metrics and what it cost."""
    begin = time.perf_counter()
    looks = ["train.evaluate_every=100", "train.checkpoint_every=100000"]
    looks = [look for look in looks if not any(one.split("=")[0] == look.split("=")[0] for one in more)]
    _call(command(config, source, out, steps, [*looks, *more]))
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    metrics = json.loads((out / "metrics.json").read_text())
    learnt = [row for row in rows if "loss" in row]
    term = next(name for name in TOKEN_TERMS if name in learnt[0])
    held = [row for row in rows if "heldout_loss" in row]
    tokens = {row["step"]: row["tokens"] for row in learnt}
    return {
        "config": config,
        "settings": more,
        "term": term,
        "steps": metrics["steps"],
        "tokens": metrics["tokens"],
        "parameters": metrics["parameters"],
        "seconds": metrics["seconds"],
        "wall_s": time.perf_counter() - begin,
        "tokens_per_s": metrics["tokens"] / metrics["seconds"],
        "unigram_entropy": metrics["unigram_entropy"],
        "heldout": {key: round(value, 4) for key, value in held[-1].items() if key.startswith("heldout_")},
        "below_unigram": metrics["unigram_entropy"] - held[-1][f"heldout_{term}"],
        "heldout_curve": [[row["step"], tokens[row["step"]], round(row[f"heldout_{term}"], 4)] for row in held],
        "train_curve": [
            [some[-1]["step"], round(statistics.fmean(row[term] for row in some), 4)]
            for some in (learnt[at : at + 50] for at in range(0, len(learnt), 50))
        ],
        "first": [row["loss"] for row in learnt[:AGAIN]],
    }


def again(config: str, source: Path, out: Path, steps: int, more: list[str]) -> list[float]:
    """The losses of the first steps of the same run; it is killed when it has them."""
    log = out / "log.jsonl"
    process = subprocess.Popen(command(config, source, out, steps, more), env=_environment())
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") <= AGAIN):
        time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rows = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [row["loss"] for row in rows if "loss" in row][:AGAIN]


def objectives(names: list[str], folder: Path, quick: bool) -> dict[str, Any]:
    """Every objective once, and its beginning a second time."""

    def one(name: str) -> tuple[str, dict[str, Any]]:
        config, text, steps, more = RUNS[name]
        place = folder / name.replace(", ", "-")
        steps = 60 if quick else steps
        found = run(config, folder / f"{text}.jsonl", place, steps, more)
        found["same_again"] = found["first"] == again(
            config, folder / f"{text}.jsonl", place.with_name(f"{place.name}-again"), steps, more
        )
        print(
            f"{name:16} {found['steps']:5} steps  {found['tokens_per_s']:6.0f} tokens/s  {found['seconds']:5.0f} s  "
            f"held-out {found['term']} {found['heldout']['heldout_' + found['term']]:.3f}, "
            f"unigram {found['unigram_entropy']:.3f}  same again: {found['same_again']}",
            flush=True,
        )
        return name, found

    with ThreadPoolExecutor(2) as two:
        return dict(two.map(one, names))


def start(folder: Path, quick: bool) -> dict[str, Any]:
    """Random tables against word vectors of the same text: held-out loss, and the steps to a given one."""
    # One step makes tokenizer, shards and word vectors for all runs, from the text that is not held out.
    base = folder / "start-base"
    _call(command("roberta", folder / "english.jsonl", base, 1, ["init.token={kind: FromVectors}"]))
    shards, words = base / "shards", base / "vectors" / "vectors.safetensors"
    ways = {
        "random": [],
        "vectors": [f"init.token={{kind: FromVectors, path: {words}, freeze: 0}}"],
        "vectors, frozen 200 steps": [f"init.token={{kind: FromVectors, path: {words}, freeze: 200}}"],
    }

    def one(job: tuple[str, int]) -> tuple[str, int, dict[str, Any]]:
        way, seed = job
        place = folder / f"start-{way.replace(' ', '-').replace(',', '')}-{seed}"
        settings = [*START, *ways[way], f"seed={seed}", f"data.shards={shards}"]
        found = run("roberta", None, place, 60 if quick else START_STEPS, settings)
        print(f"{way:26} seed {seed}: held-out mlm {found['heldout']['heldout_mlm']:.4f}", flush=True)
        return way, seed, found

    jobs = [(way, seed) for seed in SEEDS[: 1 if quick else 3] for way in ways]
    with ThreadPoolExecutor(2) as two:
        done = list(two.map(one, jobs))
    runs: dict[str, Any] = {way: [found for name, _, found in done if name == way] for way in ways}
    last = [found["heldout"]["heldout_mlm"] for found in runs["random"]]
    goal = max(last)
    return {
        "seeds": list(SEEDS),
        "goal": goal,
        "summary": {
            way: {
                "heldout_mlm": [found["heldout"]["heldout_mlm"] for found in found_runs],
                "steps_to_goal": [
                    next((step for step, _, loss in found["heldout_curve"] if loss <= goal), None)
                    for found in found_runs
                ],
            }
            for way, found_runs in runs.items()
        },
        "runs": runs,
    }


def neighbours(folder: Path, quick: bool) -> dict[str, Any]:
    """Positions and first heads drawn by chance against those that know what stands beside a token."""

    def one(job: tuple[str, str, int]) -> tuple[str, str, dict[str, Any]]:
        config, way, seed = job
        place = folder / f"neighbours-{config}-{way.replace(' ', '-')}-{seed}"
        steps = 60 if quick else NEIGHBOUR_STEPS
        found = run(config, folder / "english.jsonl", place, steps, [NEIGHBOURS[way], f"seed={seed}"])
        print(f"{config}, {way}, seed {seed}: held-out mlm {found['heldout']['heldout_mlm']:.4f}", flush=True)
        return config, way, found

    jobs = [(config, way, seed) for config in NEIGHBOUR_CONFIGS for seed in SEEDS[:2] for way in NEIGHBOURS]
    with ThreadPoolExecutor(2) as two:
        done = list(two.map(one, jobs[:2] if quick else jobs))
    return {
        config: {way: [found for *names, found in done if names == [config, way]] for way in NEIGHBOURS}
        for config in dict.fromkeys(config for config, _, _ in done)
    }


def plot(result: dict[str, Any], path: Path) -> None:
    """All curves of held-out loss below their unigram entropy, in one picture."""
    import matplotlib.pyplot as plt

    figure, (left, right, third) = plt.subplots(1, 3, figsize=(18, 5.2))
    for number, (name, found) in enumerate(result.get("objectives", {}).items()):
        curve = found["heldout_curve"]
        left.plot(
            [tokens / 1e6 for _, tokens, _ in curve],
            [loss - found["unigram_entropy"] for _, _, loss in curve],
            label=name,
            linestyle=("-", "--", ":")[number // 10],
        )
    left.axhline(0, color="black", linewidth=0.8, label="unigram entropy")
    left.set_xlabel("million tokens read")
    left.set_ylabel("held-out loss of telling tokens, less the unigram entropy (nats)")
    left.set_title("every objective")
    colours = dict(zip(result.get("start", {}).get("runs", {}), ("C0", "C1", "C2"), strict=False))
    for way, found_runs in result.get("start", {}).get("runs", {}).items():
        for number, found in enumerate(found_runs):
            curve = found["heldout_curve"]
            right.plot(
                [step for step, _, _ in curve],
                [loss for _, _, loss in curve],
                color=colours[way],
                label=None if number else way,
            )
    right.set_xlabel("step")
    right.set_ylabel("held-out loss of masked tokens (nats)")
    right.set_title("where the token table starts, three seeds")
    for number, (config, ways) in enumerate(result.get("neighbours", {}).items()):
        for way, found_runs in ways.items():
            for once, found in enumerate(found_runs):
                curve = found["heldout_curve"]
                third.plot(
                    [tokens / 1e6 for _, tokens, _ in curve],
                    [loss - found["unigram_entropy"] for _, _, loss in curve],
                    color=f"C{number}",
                    linestyle="-" if way == "neighbours" else ":",
                    label=None if once else f"{config}, {way}",
                )
    third.axhline(0, color="black", linewidth=0.8, label="unigram entropy")
    third.set_xlabel("million tokens read")
    third.set_ylabel("held-out loss, less the unigram entropy (nats)")
    third.set_title("what the first heads look at, two seeds")
    for axis in figure.axes:
        if axis.lines:
            axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _call(arguments: list[str]) -> None:
    done = subprocess.run(arguments, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Run what is asked for; the other parts of the results stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little text, few steps")
    parts = ["objectives", "start", "neighbours"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--names", nargs="+", choices=list(RUNS), default=list(RUNS), help="runs of `objectives`")
    parser.add_argument("--out", type=Path, default=RESULTS / "pretrain.json")
    given = parser.parse_args()
    result: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    result |= {"machine": machine(("numpy", "torch", "tokenizers")), "quick": given.quick}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result["characters"] = {
            text: write_text(text, folder / f"{text}.jsonl", given.quick) for text in ("english", "chinese")
        }
        if "objectives" in given.only:
            result["objectives"] = result.get("objectives", {}) | objectives(given.names, folder, given.quick)
        if "start" in given.only:
            result["start"] = start(folder, given.quick)
        if "neighbours" in given.only:
            result["neighbours"] = neighbours(folder, given.quick)
    given.out.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    plot(result, given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
