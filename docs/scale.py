"""The tables of docs/scale*.md: arithmetic on sizes of models, and what benchmarks/ranks.py measured.

    python docs/scale.py        rewrite what stands between `<!-- scale: NAME -->` and `<!-- end -->`

Every figure is a few multiplications of the constants below; the tests check that the documents are what this writes.
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENTS = [HERE / "scale.md", HERE / "scale.zh-CN.md"]
_PLACE = re.compile(r"(<!-- scale: (\S+) -->\n).*?(<!-- end -->)", re.S)

SIZES = {"100 M": 100e6, "350 M": 350e6, "1 B": 1e9, "3 B": 3e9, "7 B": 7e9}
"""Weights of a model."""
GPUS = (1, 8, 64)
PEAK, SHARE = 989e12, 0.4
"""Operations a second of one GPU in bfloat16 as its maker states them (H100 SXM, dense); the share that is reached."""
PER_WEIGHT = {"weights": 4, "gradients": 4, "moments": 8}
"""Bytes of training in fp32 with AdamW; activations come on top."""
PER_TOKEN = 6
"""Operations for each weight and token, forward and backward."""
BUDGET = 20
"""Tokens for each weight that spend a budget of operations best. Hoffmann et al. 2022, arXiv:2203.15556."""
STEP = 500_000
"""Tokens of a step."""
BYTES_OF_TEXT = 4
"""Of English, for a token of a vocabulary of some ten thousands."""
BYTES_OF_TOKEN, MADE = 2, 4e5
"""In a shard, of a vocabulary of up to 65,536; tokens a second of two busy cores that cut text, as
benchmarks/shards.py measured it at best."""
DAY = 86_400


def memory() -> list[list[str]]:
    """Bytes of weights, gradients and moments on each GPU."""
    per = sum(PER_WEIGHT.values())
    head = ["weights", "ddp, any number", *(f"fsdp, {n}" for n in GPUS[1:]), "checkpoint"]
    body = [[name, gb(per * n), *(gb(per * n / m) for m in GPUS[1:]), gb((per - 4) * n)] for name, n in SIZES.items()]
    return [head, *body]


def bandwidth() -> list[list[str]]:
    """Bytes that each GPU sends in a step, and a second where they are to take no longer than the step itself.

    A ring sends every number twice for a sum (ddp), and once for bringing together or for summing into shares (fsdp:
    weights forward, weights backward, gradients); of n processes (n - 1)/n of it, which is taken as all.
    """
    head = ["weights", "ddp, a step", "fsdp, a step", *(f"step of {n} GPU" for n in GPUS[1:])]
    head += [f"fsdp, {n} GPU" for n in GPUS[1:]]
    body = []
    for name, n in SIZES.items():
        seconds = [STEP / rate(n, m) for m in GPUS[1:]]
        needed = [f"{3 * 4 * n / second / 1e9:.3g} GB/s" for second in seconds]
        body.append([name, gb(2 * 4 * n), gb(3 * 4 * n), *(f"{second:.3g} s" for second in seconds), *needed])
    return [head, *body]


def time() -> list[list[str]]:
    """Tokens a day, and days for a Chinchilla-like budget."""
    head = ["weights", "tokens for it", "text", *(f"tokens a day, {n}" for n in GPUS), *(f"days, {n}" for n in GPUS)]
    body = []
    for name, n in SIZES.items():
        tokens = BUDGET * n
        days = [tokens / (rate(n, m) * DAY) for m in GPUS]
        body.append(
            [
                name,
                count(tokens),
                gb(tokens * BYTES_OF_TEXT),
                *(count(rate(n, m) * DAY) for m in GPUS),
                *(f"{day:.2g}" if day < 100 else f"{day:,.0f}" for day in days),
            ]
        )
    return [head, *body]


def disk() -> list[list[str]]:
    """What a text takes as shards, how long one machine takes to make them, and how fast their tokens are read."""
    head = ["weights", "shards", "made at 0.4 M tokens/s", *(f"read by {n} GPU" for n in GPUS)]
    body = []
    for name, n in SIZES.items():
        reads = [f"{BYTES_OF_TOKEN * rate(n, m) / 1e6:.2g} MB/s" for m in GPUS]
        body.append([name, gb(BUDGET * n * BYTES_OF_TOKEN), f"{BUDGET * n / MADE / 3600:.2g} h", *reads])
    return [head, *body]


def measured() -> list[list[str]]:
    """What the cores of one machine did."""
    found = json.loads((HERE.parent / "benchmarks" / "results" / "ranks.json").read_text(encoding="utf-8"))
    head = ["run", "tokens/s", "times alone", "tokens a CPU second", "bytes a weight", "peak MB"]
    speed, cost, body = found["tokens_per_s"], found["tokens_per_cpu_s"], []
    for row in found["runs"]:
        if row["part"] == "memory":
            how = row["how"]
            times = f"{speed[how] / speed['alone']:.2f}"
            held = [f"{row['bytes_per_parameter']:.1f}", f"{row['peak_mb_beyond_start']:,.0f}"]
            body.append([how, f"{speed[how]:,.0f}", times, f"{cost[how]:,.0f}", *held])
    return [head, *body]


def rate(weights: float, gpus: int) -> float:
    """Tokens a second."""
    return gpus * PEAK * SHARE / (PER_TOKEN * weights)


def gb(size: float) -> str:
    """Bytes as they are said."""
    return f"{size / 1e12:.3g} TB" if size >= 1e12 else f"{size / 1e9:.3g} GB"


def count(number: float) -> str:
    """Tokens as they are said."""
    return f"{number / 1e12:.3g} T" if number >= 1e12 else f"{number / 1e9:.3g} B"


def table(rows: list[list[str]], say: dict[str, str]) -> str:
    """As Markdown, its head in the language of the document."""
    head = [_said(cell, say) for cell in rows[0]]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _said(cell: str, say: dict[str, str]) -> str:
    for english, other in say.items():
        cell = cell.replace(english, other)
    return cell


TABLES = {"memory": memory, "bandwidth": bandwidth, "time": time, "disk": disk, "measured": measured}
CHINESE = {
    "step of ": "每步时间，",
    "made at 0.4 M tokens/s": "以每秒 40 万词元制作",
    "read by ": "读取，",
    "shards": "分片",
    " GPU": " 块 GPU",
    "tokens for it": "所需词元",
    "tokens a day": "每天词元",
    "tokens a CPU second": "每 CPU 秒词元",
    "bytes a weight": "每个权重的字节",
    "tokens/s": "词元/秒",
    "times alone": "与单进程之比",
    "peak MB": "峰值 MB",
    ", any number": "，任意块数",
    ", a step": "，每步",
    "weights": "权重",
    "checkpoint": "检查点",
    "text": "文本",
    "days": "天数",
    "run": "运行",
    ", ": "，",
}
"""What heads say in Chinese, longer words first."""


def written(text: str, say: dict[str, str]) -> str:
    """The document with its tables made anew."""
    return _PLACE.sub(lambda place: f"{place[1]}{table(TABLES[place[2]](), say)}\n{place[3]}", text)


def words(document: Path) -> dict[str, str]:
    """What its heads say."""
    return CHINESE if document.name.endswith(".zh-CN.md") else {}


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(written(path.read_text(encoding="utf-8"), words(path)), encoding="utf-8")
