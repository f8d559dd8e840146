"""A model that was trained to give vectors is saved as one: its folder says from which rows they are read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from inlay.config import from_tree
from inlay.convert import load_pair
from inlay.embed.context import ContextEmbedder
from inlay.embed.embedder import load
from inlay.embed.pool import CLS, Mean, Pool
from inlay.model.heads import pick
from inlay.train.pretrain import pretrain
from inlay.train.recipe import Pretrain


@pytest.mark.parametrize(("place", "pool"), [("first", CLS()), ("mean", Mean())])
def test_the_folder_of_a_contrastive_run_reads_the_rows_that_were_trained(
    place: str, pool: Pool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    words = [f"{a}{b}" for a in "bdfgkm" for b in "aeiou"]
    texts = [" ".join(rng.choice(words, 6)) + "." for _ in range(30)]
    (tmp_path / "text.txt").write_text("\n".join(texts))
    recipe = {
        "data": {"source": str(tmp_path / "text.txt"), "unit": "line", "batch": 5, "packing": None},
        "tokenizer": {"kind": "WordPiece", "size": 80, "min_count": 1},
        "model": {"preset": "bert-tiny", "n_layers": 1},
        "objective": {"kind": "Contrastive", "positives": {"kind": "Dropout"}, "pool": place},
        "train": {"steps": 2, "threads": 1, "schedule": {"kind": "Constant", "warmup": 0}},
        "out": str(tmp_path / "run"),
    }
    pretrain(from_tree(Pretrain, recipe))
    embedder = load(tmp_path / "run")
    assert isinstance(embedder, ContextEmbedder)
    assert embedder.config.pools == (pool,)
    model, tokenizer = load_pair(tmp_path / "run" / "model")
    batch = tokenizer.encode(texts, specials=True)
    with torch.no_grad():
        rows = pick(model(batch), model.pack(batch).layout, place)  # type: ignore[arg-type]
    expected = torch.nn.functional.normalize(rows).numpy()
    np.testing.assert_allclose(embedder.encode(texts), expected, atol=2e-6)
