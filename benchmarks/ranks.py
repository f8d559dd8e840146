"""One process and two: tokens a second, and memory of a process, by ddp and by fsdp over gloo on this machine's cores.

    python benchmarks/ranks.py [--quick]

Each row is a run of its own: alone, or two processes by torchrun, each with one thread. The speed is that of the
fastest step, and tokens for each second of all processes' CPU time: other work on the machine moves the first more than
the second. Memory is what a process holds of weights, gradients and moments, in bytes for each weight of the model, and
the most that the system saw it hold beyond what it had before the model was made. Written to results/ranks.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from side_by_side import RESULTS, machine

SIZES = {"speed": (6, 256, 4, 1024), "memory": (8, 512, 8, 2048)}
"""Layers, width, heads and inner width."""
VOCABULARY, LENGTH = 8000, 128
ROWS = {"speed": 8, "memory": 1}
"""Texts of a micro-batch; a step has two of them."""
WAYS = ("alone", "ddp", "fsdp")


class Texts:
    """Rows of tokens drawn at random; the batch of a number is the same forever."""

    per_epoch = 1 << 20
    identity: dict[str, Any] = {"drawn": True}

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def batch(self, number: int) -> Any:
        import numpy as np

        from inlay.batch import Batch

        ids = np.random.default_rng(number).integers(0, VOCABULARY, (self.rows, LENGTH))
        return Batch.of(ids.tolist())


def work(part: str, how: str, steps: int, out: Path) -> None:
    """What one process does; the first one writes the row."""
    import torch
    import torch._dynamo  # what fsdp loads of torch is no memory of the model
    import torch.distributed.fsdp

    from inlay.model.presets import preset, resize
    from inlay.objective.causal import CausalObjective
    from inlay.stages import peak_mb
    from inlay.train.shares import of_share
    from inlay.train.trainer import TrainConfig, Trainer
    from inlay.train.world import join

    torch.set_num_threads(1)
    with join() as world:
        before = peak_mb()
        model = resize(preset("gpt2"), *SIZES[part], vocab_size=VOCABULARY).build()
        size = sum(weight.numel() for weight in model.parameters())
        config = TrainConfig(steps=steps, accumulate=2, parallel="fsdp" if how == "fsdp" else "ddp")
        trainer = Trainer(model, CausalObjective(), Texts(ROWS[part]), config, world=world)
        seen, cpu = [], []
        for step in trainer:
            cpu.append(world.sum([time.process_time()])[0])
            seen.append((step.tokens, step.seconds, step.figures["loss"]))
        weights = list(trainer.learner.parameters())
        moments = [
            value
            for optimizer in trainer.optimizers
            for state in optimizer.state.values()
            for value in state.values()
            if value.ndim
        ]
        held = sum(of_share(tensor.detach()).nbytes for tensor in (*weights, *weights, *moments))  # a gradient each
        row = {
            "part": part,
            "how": how,
            "processes": world.size,
            "parameters": size,
            "tokens_per_s": max(tokens / seconds for tokens, seconds, _ in seen),
            "tokens_per_cpu_s": sum(tokens for tokens, _, _ in seen[1:]) / (cpu[-1] - cpu[0]),
            "loss": seen[-1][2],
            "bytes_per_parameter": held / size,
            "peak_mb_beyond_start": peak_mb() - before,
        }
        if world.first:
            out.write_text(json.dumps(row))


def measured(part: str, how: str, steps: int) -> dict[str, Any]:
    """The row of a run in processes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        given = [__file__, "--work", part, how, str(steps), str(out)]
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if how != "alone" else []
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
        if part == "memory":  # glibc would keep what is freed, and the peak would be of what it keeps
            environment |= dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), "131072")
        subprocess.run([sys.executable, *torchrun, *given], check=True, env=environment)
        return json.loads(out.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of few steps")
    parser.add_argument("--work", nargs=4, metavar=("PART", "HOW", "STEPS", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        part, how, steps, out = given.work
        return work(part, how, int(steps), Path(out))
    rounds, steps = (1, 3) if given.quick else (2, 6)
    rows = [measured("speed", how, steps) | {"round": n} for n in range(rounds) for how in WAYS]
    rows += [measured("memory", how, 2) | {"round": 0} for how in WAYS]
    best = {
        key: {how: max(row[key] for row in rows if (row["part"], row["how"]) == ("speed", how)) for how in WAYS}
        for key in ("tokens_per_s", "tokens_per_cpu_s")
    }
    print(json.dumps(best, indent=2))
    found = {"machine": machine(["torch", "inlay"]), **best, "runs": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ranks.json").write_text(json.dumps(found, indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
