"""GradCache: the loss and gradients of a pass over all at once, dropout and all, in the memory of a chunk."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from made_texts import V, texts, tokenizer, without_dropout
from torch import Tensor

from inlay.batch import Batch, Columns
from inlay.config import override
from inlay.model.model import Model
from inlay.model.packed import Packed
from inlay.model.presets import preset
from inlay.objective import gradcache
from inlay.objective.contrastive import Contrastive, Dropout
from inlay.objective.gradcache import GradCache, Whole, chunks
from inlay.objective.similar import InfoNCE, Triplet
from inlay.objective.temperature import Learned

RNG = np.random.default_rng(0)
LENGTHS = [3, 40, 1, 7, 7, 22, 5, 13]


def model(name: str = "bert-tiny") -> Model:
    return override(preset(name), {"input.vocab_size": V}).build(seed=1).train()


def columns() -> Columns:
    return Columns(*(texts(np.roll(LENGTHS, i).tolist(), seed=i) for i in range(2)), (texts(LENGTHS[::-1], seed=9),))


def learnt(of: Model, config: Contrastive, batch: Any, seed: int = 3) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradients of the model and of the objective."""
    objective = config.build(of.config, tokenizer())
    of.zero_grad()
    torch.manual_seed(seed)
    loss = objective(of, batch, RNG)["loss"]
    loss.backward()
    parts = torch.nn.ModuleDict({"model": of, "objective": objective})
    return loss.detach(), {name: p.grad.clone() for name, p in parts.named_parameters() if p.grad is not None}


def same(one: tuple[Tensor, dict[str, Tensor]], other: tuple[Tensor, dict[str, Tensor]]) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=1e-6, atol=1e-6)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        scale = max(1.0, gradient.abs().max().item())
        torch.testing.assert_close(other[1][name], gradient, rtol=0, atol=1e-6 * scale, msg=name)


@contextmanager
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chunks without a second pass: what leads to vectors is kept."""
    with monkeypatch.context() as patch:
        patch.setattr(gradcache, "checkpoint", lambda run, *arguments, **_: run(*arguments))
        yield


CONFIGS = {
    "pairs": Contrastive(),
    "learned": Contrastive(loss=InfoNCE(temperature=Learned(), asks="both"), dims=(16,), pool="first"),
    "triplet": Contrastive(loss=Triplet()),
}


def with_encoding(config: Contrastive, encoding: Whole | GradCache) -> Contrastive:
    return replace(config, encoding=encoding)


@pytest.mark.parametrize("tokens", [1, 20, 45, 10_000])
@pytest.mark.parametrize("config", CONFIGS)
def test_loss_and_gradients_are_those_of_all_at_once(config: str, tokens: int) -> None:
    of = without_dropout(model().config).build(seed=1).train()
    whole = learnt(of, with_encoding(CONFIGS[config], Whole()), columns())
    same(whole, learnt(of, with_encoding(CONFIGS[config], GradCache(tokens=tokens)), columns()))


@pytest.mark.parametrize("name", ["bert-tiny", "xlnet-tiny", "t5-tiny", "gpt2-tiny", "bart-tiny"])
def test_dropout_draws_the_same_in_both_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of, config = model(name), Contrastive(pool="last", encoding=GradCache(tokens=30))
    with kept(monkeypatch):
        direct = learnt(of, config, columns())
        other = learnt(of, config, columns(), seed=4)
    cached = learnt(of, config, columns())
    same(direct, cached)
    after = torch.rand(3)
    assert not torch.allclose(direct[0], other[0])  # there is dropout
    with kept(monkeypatch):
        learnt(of, config, columns())
    assert torch.equal(torch.rand(3), after)  # the second pass leaves the generator where it was


def test_a_text_read_twice_in_chunks_differs_by_dropout() -> None:
    of, batch = model(), texts(LENGTHS)
    objective = Contrastive(positives=Dropout(), encoding=GradCache(tokens=16)).build(of.config, tokenizer())
    with torch.no_grad():
        vectors = objective.vectors(of, objective.draw(batch, RNG).batch)
    assert ((vectors[: len(batch)] - vectors[len(batch) :]).abs().amax(-1) > 1e-3).all()


def test_chunks_hold_as_many_texts_as_fit_and_a_longer_one_stands_alone() -> None:
    batch = texts([3, 4, 9, 1, 1, 5])
    found = list(chunks(Packed.of(batch), 7))
    assert [chunk.layout.lengths for chunk in found] == [(3, 4), (9,), (1, 1, 5)]
    assert torch.equal(torch.cat([chunk.ids for chunk in found]), torch.from_numpy(batch.ids.astype(np.int64)))


def test_segments_go_with_their_texts() -> None:
    ids = [texts([n]).ids.tolist() for n in (9, 4, 6)]
    segments = [[int(i > 2) for i in range(len(one))] for one in ids]
    batch, of = Batch.of(ids, segments), model().eval()
    whole, cached = (Contrastive(encoding=e).build(of.config, tokenizer()) for e in (Whole(), GradCache(tokens=5)))
    with torch.no_grad():
        wanted = whole.vectors(of, batch)
        torch.testing.assert_close(cached.vectors(of, batch), wanted)
        assert not torch.allclose(whole.vectors(of, Batch.of(ids)), wanted)


def test_every_text_is_read_twice_and_no_chunk_is_longer_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    of, seen = model(), []
    run = Model.encode

    def spy(self: Model, packed: Packed, **named: Any) -> Any:
        seen.append(packed.layout.lengths)
        return run(self, packed, **named)

    monkeypatch.setattr(Model, "encode", spy)
    learnt(of, Contrastive(encoding=GradCache(tokens=45)), columns())
    assert all(sum(lengths) <= 45 for lengths in seen)
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert sorted(n for lengths in first for n in lengths) == sorted([*LENGTHS] * 3)
    assert second == first[::-1]  # the last chunk's graph is used and let go before the one before it is made


MEMORY = """
import re, sys
from pathlib import Path
import numpy as np, torch
from inlay.batch import Batch, Columns
from inlay.config import override
from inlay.model.presets import preset
from inlay.objective.contrastive import Contrastive
from inlay.objective.gradcache import GradCache, Whole

torch.set_num_threads(1)

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

model = override(preset("bert-tiny"), {"input.vocab_size": 1000}).build(seed=1).train()
rng = np.random.default_rng(0)
pairs = Columns(*(Batch.of(rng.integers(5, 1000, (128, 40)).tolist()) for _ in range(2)))
few = Columns(*(Batch.of(rng.integers(5, 1000, (4, 40)).tolist()) for _ in range(2)))
config = Contrastive(encoding=GradCache(tokens=640) if sys.argv[1] == "cached" else Whole())
objective = config.build(model.config, None)
objective(model, few, rng)["loss"].backward()  # what every step needs
before = peak()
objective(model, pairs, rng)["loss"].backward()
print(peak() - before)
"""


def test_a_batch_sixteen_times_a_chunk_takes_less_than_a_third_of_the_memory() -> None:
    took = {}
    for kind in ("whole", "cached"):
        done = subprocess.run([sys.executable, "-c", MEMORY, kind], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        took[kind] = float(done.stdout)
    assert took["whole"] > 50
    assert took["cached"] < took["whole"] / 3, took
