"""Who tells tokens begins with how often each comes: the model, or the generator beside it."""

import json
from pathlib import Path

import pytest
import torch

from inlay.config import load_yaml, override
from inlay.convert import load_model
from inlay.text.shardfile import Shards
from inlay.train.pretrain import pretrain
from inlay.train.recipe import Pretrain

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"


@pytest.mark.parametrize(("name", "teller"), [("bert", "model"), ("electra", "generator")])
def test_the_teller_of_tokens_knows_their_frequencies_before_the_first_step(
    name: str, teller: str, corpus: Path, tmp_path: Path
) -> None:
    config = override(
        load_yaml(Pretrain, CONFIGS / f"{name}.yaml"),
        {
            "data.source": str(corpus),
            "data.held_out": 0.4,
            "tokenizer.size": 300,
            "out": str(tmp_path / "run"),
            "train.steps": 1,
            "train.optimizer": {"kind": "AdamW", "lr": 1e-9},
            "train.threads": 1,
        },
    )
    metrics = pretrain(config)
    held = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()][-1]
    assert held["heldout_mlm"] == pytest.approx(metrics["unigram_entropy"], abs=0.4)
    bias = load_model(tmp_path / "run" / teller).state_dict()["heads.language.bias"]
    counts = Shards.open(tmp_path / "run" / "shards").counts()
    assert torch.exp(bias).sum() == pytest.approx(1, abs=1e-4)
    assert int(bias.argmax()) == int(counts.argmax())
