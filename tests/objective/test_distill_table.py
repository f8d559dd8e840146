"""Distillation into a table of token vectors, and that an embedder saves what was learned."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from inlay.batch import Batch
from inlay.embed.static import StaticEmbedder
from inlay.model.presets import preset, resize
from inlay.objective.distill_table import Table, TokenTable, around
from inlay.objective.teacher import Teacher
from inlay.tokenize.kinds import Words
from inlay.tokenize.tokenizer import Tokenizer

WORDS = [f"word{number}" for number in range(40)]
TOKENIZER = Tokenizer.train([" ".join(WORDS)] * 2, Words(size=60))
CLS, SEP = TOKENIZER.id("[CLS]"), TOKENIZER.id("[SEP]")


def teacher(seed: int = 0) -> Teacher:
    model = resize(preset("bert-tiny"), 2, 16, 2, 32, vocab_size=TOKENIZER.size).build(seed=seed).eval()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=rng)
    return Teacher(model, TOKENIZER)


def texts(n: int = 64, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch.of([[CLS, *rng.integers(5, TOKENIZER.size, rng.integers(1, 9)).tolist(), SEP] for _ in range(n)])


def test_the_table_starts_from_what_the_teacher_makes_of_each_token_alone() -> None:
    of = teacher()
    rows = TokenTable(pool="mean").table(of).rows()
    number = TOKENIZER.id("word7")
    alone = of.model(Batch.of([[CLS, number, SEP]])).detach().mean(0).numpy()
    np.testing.assert_allclose(rows[number], alone, rtol=1e-5, atol=1e-6)
    assert not rows[around(TOKENIZER)].any()
    assert rows[TOKENIZER.id("[UNK]")].any()


@pytest.mark.parametrize("measure", ["mse", "cosine"])
@pytest.mark.parametrize("pool", ["first", "last", "mean"])
def test_the_error_is_of_means_over_the_words_alone(measure: str, pool: str) -> None:
    of, config = teacher(), TokenTable(measure=measure, pool=pool)  # type: ignore[arg-type]
    table, batch = config.table(of), texts(5)
    found = config.build(of)(table, batch, np.random.default_rng(0))  # type: ignore[arg-type]
    rows = torch.from_numpy(table.rows())
    ours, theirs = [], []
    for one in np.split(batch.ids, batch.starts[1:]):
        ours.append(rows[one[1:-1]].mean(0))
        states = of.model(Batch.of([one.tolist()])).detach()
        theirs.append({"first": states[0], "last": states[-1], "mean": states.mean(0)}[pool])
    mine, wanted = torch.stack(ours), torch.stack(theirs)
    by_hand = F.mse_loss(mine, wanted) if measure == "mse" else (1 - F.cosine_similarity(mine, wanted)).mean()
    torch.testing.assert_close(found["loss"], by_hand, rtol=1e-4, atol=1e-5)


def test_texts_without_words_are_left_out_and_parts_add_up() -> None:
    of, config = teacher(), TokenTable()
    table, objective = config.table(of), config.build(of)
    rng = np.random.default_rng(0)
    bare, one, two = [CLS, SEP], [CLS, 9, 12, SEP], [CLS, 7, SEP]
    whole = objective.draw(Batch.of([bare, one, [], two]), rng)
    assert whole.counts == {"vectors": 2}
    parts = [objective(table, Batch.of([text]), rng, over=whole.counts)["loss"] for text in (one, two)]  # type: ignore[arg-type]
    torch.testing.assert_close(sum(parts), objective(table, whole)["loss"])  # type: ignore[arg-type]
    assert objective(table, Batch.of([bare]), rng)["loss"].item() == 0  # type: ignore[arg-type]


def test_a_table_comes_closer_to_texts_it_has_not_seen_and_is_saved_as_an_embedder(tmp_path: Path) -> None:
    of, config = teacher(), TokenTable()
    table, objective = config.table(of), config.build(of)
    held, rng = texts(200, seed=9), np.random.default_rng(0)

    def error(model: Table) -> float:
        return objective(model, held, rng)["loss"].item()  # type: ignore[arg-type]

    before = error(table)
    optimizer = torch.optim.Adam(table.parameters(), 0.01)
    for step in range(60):
        optimizer.zero_grad()
        objective(table, texts(64, seed=100 + step), rng)["loss"].backward()  # type: ignore[arg-type]
        optimizer.step()
    assert error(table) < 0.8 * before
    StaticEmbedder(TOKENIZER, table.rows()).save(tmp_path / "static")
    found = StaticEmbedder.load(tmp_path / "static").encode(["word3 word9"])
    mean = table.rows()[[TOKENIZER.id("word3"), TOKENIZER.id("word9")]].mean(0)
    np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-6)
    assert all(weight.grad is None for weight in of.model.parameters())
