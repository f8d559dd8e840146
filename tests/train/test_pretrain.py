"""Pretraining from raw text: one folder holds all of a run, the same recipe gives the same run, and any run goes on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inlay.config import from_tree, load_yaml, to_tree
from inlay.convert import load_model, load_pair, save_model
from inlay.errors import InputError
from inlay.model.presets import PRESETS, preset
from inlay.objective.replaced import ReplacedToken
from inlay.text.corpus import Corpus
from inlay.text.shardfile import Shards
from inlay.text.shards import ShardsConfig, write_shards
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train import checkpoint
from inlay.train.log import TIMES, read_log
from inlay.train.pretrain import pretrain
from inlay.train.recipe import Pretrain, of_paper
from inlay.vectors.wordvectors import WordVectors

TINY: dict[str, Any] = {
    "data": {"batch": 4, "held_out": 0.1, "packing": {"kind": "Rows", "length": 32}},
    "tokenizer": {"kind": "WordPiece", "size": 300},
    "model": {"preset": "modern-tiny", "n_layers": 2},
    "train": {"steps": 6, "checkpoint_every": 3, "threads": 1},
}


def recipe(corpus: Path | None, out: Path, **changes: Any) -> Pretrain:
    """The tiny recipe; a change is a part of its tree."""
    tree = json.loads(json.dumps(TINY))
    if corpus is not None:
        tree["data"]["source"] = str(corpus)
    for name, part in changes.items():
        merges = isinstance(part, dict) and isinstance(tree.get(name), dict) and "kind" not in part
        tree[name] = {**tree[name], **part} if merges else part
    return from_tree(Pretrain, tree | {"out": str(out)})


def rows(out: Path) -> list[dict[str, Any]]:
    """The log without what two runs of a seed do not share."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_log(out / "log.jsonl")]


@pytest.fixture(scope="module")
def done(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; for reading only."""
    out = tmp_path_factory.mktemp("pretrained") / "run"
    pretrain(recipe(corpus, out))
    return out


def test_a_run_folder_holds_all_that_a_run_was(done: Path) -> None:
    names = {path.name for path in done.iterdir()} - {".lock", "run.json"}
    assert names == {"checkpoints", "config.yaml", "log.jsonl", "metrics.json", "model", "shards", "tokenizer"}
    assert [path.name for _, path in checkpoint.steps(done / "checkpoints")] == ["step-3", "step-6"]
    log = rows(done)
    assert [row["step"] for row in log if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in log if "heldout_loss" in row] == [3, 6]
    assert {"loss", "mlm", "lr", "norm", "tokens"} <= log[0].keys()
    metrics = json.loads((done / "metrics.json").read_text())
    last = log[-1]
    assert metrics["heldout_loss"] == last["heldout_loss"] == metrics["heldout_mlm"]
    assert (metrics["steps"], metrics["seed"], metrics["tokens"]) == (6, 0, log[-2]["tokens"])
    assert metrics["best"]["heldout_loss"] == min(row["heldout_loss"] for row in log if "heldout_loss" in row)


def test_a_generator_that_learnt_beside_the_model_is_left_as_a_model_too(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(recipe(corpus, out, model={"preset": "electra-tiny"}, train={"steps": 2, "ema": 0.5}))
    model, (generator, tokenizer) = load_model(out / "model"), load_pair(out / "generator")
    assert torch.equal(generator.input.token.weight, model.input.token.weight)
    weights, _ = checkpoint.read(checkpoint.steps(out / "checkpoints")[-1][1])
    averages = weights["average"]
    for name, weight in generator.state_dict().items():
        learnt = averages.get(f"objective.generator.{name}", averages.get(f"model.{name}"))
        assert learnt is not None, name
        assert torch.equal(weight, learnt), name
    assert generator(tokenizer.encode(["the same text"])).isfinite().all()


def test_the_model_folder_holds_the_last_weights_and_the_tokenizer(done: Path) -> None:
    model, tokenizer = load_pair(done / "model")
    parts, state = checkpoint.read(done / "checkpoints" / "step-6")
    for name, value in model.state_dict().items():
        assert torch.equal(value, parts["model"][f"model.{name}"])
    assert state["step"] == 6
    assert tokenizer.vocabulary == Tokenizer.load(done / "tokenizer").vocabulary
    assert model.config.vocab_size == tokenizer.size
    assert json.loads((done / "metrics.json").read_text())["parameters"] == sum(w.numel() for w in model.parameters())


def test_the_unigram_entropy_is_that_of_the_held_out_tokens(done: Path) -> None:
    ids = np.concatenate([part.tokens for part in Shards.open(done / "shards").documents("heldout")])
    shares = np.unique(ids, return_counts=True)[1] / len(ids)
    metrics = json.loads((done / "metrics.json").read_text())
    assert metrics["unigram_entropy"] == pytest.approx(-(shares * np.log(shares)).sum())


def test_the_resolved_config_runs_again_to_the_same_bytes(done: Path, tmp_path: Path) -> None:
    again = load_yaml(Pretrain, done / "config.yaml")
    assert again.objective is not None
    assert again.resolved() == again
    out = tmp_path / "again"
    pretrain(replace(again, out=out))
    assert (out / "model" / "model.safetensors").read_bytes() == (done / "model" / "model.safetensors").read_bytes()
    assert rows(out) == rows(done)


def test_another_seed_is_another_run(corpus: Path, done: Path, tmp_path: Path) -> None:
    pretrain(recipe(corpus, tmp_path / "run", seed=1))
    assert rows(tmp_path / "run")[0]["loss"] != rows(done)[0]["loss"]


def test_a_finished_run_goes_on_to_more_steps_and_then_says_what_it_says(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    constant = {"schedule": {"kind": "Constant"}, "threads": 1}
    pretrain(recipe(corpus, out, train={"steps": 3, **constant}))
    metrics = pretrain(recipe(corpus, out, train={"steps": 6, **constant}), resume="auto")
    whole = pretrain(recipe(corpus, tmp_path / "whole", train={"steps": 6, **constant}))
    same = {key for key in metrics if key not in ("seconds", "best")}
    assert {key: metrics[key] for key in same} == {key: whole[key] for key in same}
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (out, tmp_path / "whole")]
    assert weights[0] == weights[1]
    assert pretrain(recipe(corpus, out, train={"steps": 6, **constant}), resume="auto") == metrics


def test_a_damaged_checkpoint_is_passed_over_with_a_line(
    corpus: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    pretrain(recipe(corpus, out))
    weights = out / "checkpoints" / "step-6" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (out / "metrics.json").unlink()
    capsys.readouterr()
    pretrain(recipe(corpus, out), resume="auto")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "step-6" in line]
    assert "its bytes changed" in line
    assert "going on from the checkpoint before it" in line
    assert rows(out) == rows(done)
    assert (out / "model" / "model.safetensors").read_bytes() == (done / "model" / "model.safetensors").read_bytes()


def test_one_may_go_back_to_a_checkpoint_and_the_later_ones_are_gone(corpus: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(recipe(corpus, out, train={"steps": 6, "checkpoint_every": 2, "keep": 9, "threads": 1}))
    pretrain(
        recipe(corpus, out, train={"steps": 3, "checkpoint_every": 9, "threads": 1}),
        resume=out / "checkpoints" / "step-2",
    )
    assert [step for step, _ in checkpoint.steps(out / "checkpoints")] == [2, 3]
    assert [row["step"] for row in rows(out) if "loss" in row] == [1, 2, 3]


def test_the_best_checkpoint_is_kept_beside_the_newest(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    diverging = {"optimizer": {"kind": "AdamW", "lr": 0.3}, "schedule": {"kind": "Linear", "warmup": 0.9}}
    pretrain(recipe(corpus, out, train={"steps": 8, "checkpoint_every": 1, "keep": 2, "threads": 1, **diverging}))
    losses = {row["step"]: row["heldout_loss"] for row in rows(out) if "heldout_loss" in row}
    best = min(losses, key=lambda step: losses[step])
    assert best < 7
    assert [step for step, _ in checkpoint.steps(out / "checkpoints")] == [best, 7, 8]
    assert json.loads((out / "metrics.json").read_text())["best"] == {"step": best, "heldout_loss": losses[best]}


def test_the_model_is_the_average_of_the_weights_where_one_is_kept(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    metrics = pretrain(recipe(corpus, out, train={"steps": 4, "checkpoint_every": 2, "ema": 0.9, "threads": 1}))
    parts, _ = checkpoint.read(out / "checkpoints" / "step-4")
    for name, value in load_model(out / "model").state_dict().items():
        assert torch.equal(value, parts["average"][f"model.{name}"])
    assert not torch.equal(parts["average"]["model.input.token.weight"], parts["model"]["model.input.token.weight"])
    assert metrics["heldout_loss"] == rows(out)[-1]["heldout_loss"]


def test_a_token_table_starts_from_vectors_of_the_training_text_alone(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    init = {"token": {"kind": "FromVectors", "freeze": 2, "vectors": {"min_count": 1, "epochs": 1}}}
    pretrain(recipe(corpus, out, init=init, train={"steps": 4, "checkpoint_every": 2, "keep": 9, "threads": 1}))
    vectors = WordVectors.load(out / "vectors" / "vectors.safetensors")
    tokenizer = Tokenizer.load(out / "tokenizer")
    saved = [checkpoint.read(out / "checkpoints" / f"step-{n}")[0]["model"] for n in (2, 4)]
    tables = [weights["model.input.token.weight"] for weights in saved]
    assert vectors.dim == tables[0].shape[1]
    row, word = tables[0][tokenizer.id("the")].numpy(), np.asarray(vectors["the"])
    assert row @ word / np.linalg.norm(row) / np.linalg.norm(word) == pytest.approx(1, abs=1e-5)  # frozen: as it began
    assert not torch.equal(*tables)  # two steps later it learns
    facts = Shards.open(out / "shards").facts
    assert vectors.counts is not None
    read = sum(document.full.lower().count("the ") for document in Corpus(str(corpus)))
    assert vectors.counts[vectors.index["the"]] < read
    assert facts.heldout.documents > 0


def test_vectors_of_another_width_are_projected_or_refused_with_the_way_out(corpus: Path, tmp_path: Path) -> None:
    words = ["the", "saw", "number", "bread"]
    WordVectors(words, np.random.default_rng(0).normal(size=(4, 24)).astype(np.float32)).save(tmp_path / "w.txt")
    init = {"token": {"kind": "FromVectors", "path": str(tmp_path / "w.txt"), "freeze": 0}}
    pretrain(recipe(corpus, tmp_path / "run", init=init, train={"steps": 1, "threads": 1}))
    assert load_model(tmp_path / "run" / "model").config.d_embed == 24
    with pytest.raises(InputError, match=r"vectors of 24 numbers.*roberta.* 64; set model.d_model=24, or model.family"):
        pretrain(recipe(corpus, tmp_path / "no", init=init, model={"preset": "roberta-tiny"}))
    assert not (tmp_path / "no").exists()


def test_a_model_is_taken_over_with_its_tokenizer_and_architecture(corpus: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    taken = recipe(
        corpus,
        out,
        tokenizer=None,
        model={"preset": None, "n_layers": None},
        init={"model": str(done / "model")},
        train={"steps": 1, "threads": 1, "optimizer": {"kind": "AdamW", "lr": 1e-9}},
    )
    pretrain(taken)
    before, after = load_model(done / "model"), load_model(out / "model")
    assert before.config == after.config
    for name, value in before.state_dict().items():
        assert torch.allclose(value, after.state_dict()[name], atol=1e-6)


def test_shards_that_are_there_are_read_with_their_tokenizer(corpus: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(Corpus(str(corpus)).texts(), WordPiece(size=250))
    write_shards(Corpus(str(corpus)), tokenizer, tmp_path / "shards", ShardsConfig(held_out=0.1))
    data = {**TINY["data"], "shards": str(tmp_path / "shards")}
    pretrain(recipe(None, tmp_path / "run", data=data, tokenizer=None, train={"steps": 1, "threads": 1}))
    assert Tokenizer.load(tmp_path / "run" / "model").vocabulary == tokenizer.vocabulary
    assert not (tmp_path / "run" / "shards").exists()


def test_without_held_out_text_nothing_is_measured_on_it(corpus: Path, tmp_path: Path) -> None:
    metrics = pretrain(recipe(corpus, tmp_path / "run", data={"held_out": 0.0}, train={"steps": 2, "threads": 1}))
    assert (metrics["heldout_loss"], metrics["unigram_entropy"], metrics["best"]) == (None, None, None)
    assert len(rows(tmp_path / "run")) == 2


@pytest.mark.parametrize("name", sorted({name for name in PRESETS if name.endswith("-tiny")}))
def test_every_family_has_an_objective_that_fits_it(name: str) -> None:
    specials = (*WordPiece().specials, "<extra_id_0>", "<extra_id_1>")
    tokenizer = Tokenizer.train(["a b."], WordPiece(size=30, min_count=1, specials=specials))
    config = preset(name)
    config = replace(config, input=replace(config.input, vocab_size=tokenizer.size))
    of_paper(config).build(config, tokenizer)


def test_a_recipe_is_a_tree_and_back() -> None:
    config = from_tree(Pretrain, {"objective": {"kind": "ReplacedToken", "weight": 20}, "data": {"source": ["a", "b"]}})
    assert isinstance(config.objective, ReplacedToken)
    assert config.data.sources == ("a", "b")
    assert from_tree(Pretrain, to_tree(config)) == config


def test_a_saved_model_of_another_shape_is_refused(corpus: Path, done: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(done / "tokenizer")
    config = preset("roberta-tiny")
    config = replace(config, input=replace(config.input, vocab_size=tokenizer.size))
    save_model(config.build(), tmp_path / "m", tokenizer=tokenizer)
    with pytest.raises(InputError, match=r"init\.model=.*leave model\.preset out"):
        pretrain(recipe(corpus, tmp_path / "run", tokenizer=None, init={"model": str(tmp_path / "m")}))


def test_held_out_text_is_told_to_nobody(tmp_path: Path) -> None:
    texts = [f"{'abcdefghij'[n % 10] * 5}{'klmnopqrst'[n // 10] * 5} walks." for n in range(100)]
    (tmp_path / "text.txt").write_text("\n".join(texts))
    data = {**TINY["data"], "source": str(tmp_path / "text.txt"), "unit": "line", "held_out": 0.3, "batch": 2}
    tokenizer = {"kind": "Words", "size": 200, "min_count": 1}
    pretrain(recipe(None, tmp_path / "run", data=data, tokenizer=tokenizer, train={"steps": 1, "threads": 1}))
    shards, known = Shards.open(tmp_path / "run" / "shards"), Tokenizer.load(tmp_path / "run" / "tokenizer")
    unknown = known.id("[UNK]")
    assert shards.counts()[unknown] == 0
    assert sum(int((part.tokens == unknown).sum()) for part in shards.documents("heldout")) > 10


def test_whole_words_are_the_segmenters_in_chinese(tmp_path: Path) -> None:
    pytest.importorskip("rjieba")
    lines = [
        "中国人民银行决定调整存款利率。",
        "研究人员发现计算机可以学习语言。",
        "今天的天气非常好，我们去公园。",
    ] * 20
    (tmp_path / "text.txt").write_text("\n".join(f"{number}{line}" for number, line in enumerate(lines)))
    data = {**TINY["data"], "source": str(tmp_path / "text.txt"), "unit": "line"}
    objective = {"kind": "MaskedLM", "masks": {"kind": "WholeWord"}}
    tokenizer = {"kind": "Characters", "size": 200, "min_count": 1}
    made = recipe(
        None, tmp_path / "run", data=data, tokenizer=tokenizer, objective=objective, train={"steps": 1, "threads": 1}
    )
    pretrain(made)
    facts = Shards.open(tmp_path / "run" / "shards").facts
    assert (facts.words, facts.lang, facts.sentences) == (True, "zh", False)


def test_what_the_objective_asks_is_asked_of_the_text() -> None:
    def asked(objective: dict[str, Any] | None, preset: str) -> tuple[bool, bool, str]:
        tree = {"data": {"source": "x"}, "objective": objective, "model": {"preset": preset}}
        found = from_tree(Pretrain, tree).resolved()
        return found.wants_words, found.wants_sentences, type(found.data.packing).__name__

    assert asked(None, "bert-tiny") == (False, True, "SentencePairs")
    assert asked(None, "albert-tiny") == (True, True, "SentencePairs")
    assert asked(None, "roberta-tiny") == (False, False, "Rows")
    assert asked(None, "xlnet-tiny") == (True, False, "Rows")
    assert asked({"kind": "TSDAE"}, "bert-tiny") == (False, True, "Sentences")


def test_sentinels_are_added_to_the_tokenizer_that_span_corruption_trains(corpus: Path, tmp_path: Path) -> None:
    model = {"preset": "t5-tiny", "n_layers": 1}
    pretrain(recipe(corpus, tmp_path / "run", model=model, train={"steps": 1, "threads": 1}))
    vocabulary = Tokenizer.load(tmp_path / "run" / "tokenizer").vocabulary
    assert {"<extra_id_0>", "<extra_id_1>"} <= vocabulary.keys()


def test_the_log_goes_to_tensorboard_too(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train = {"steps": 2, "checkpoint_every": 1, "threads": 1, "tensorboard": True}
    pretrain(recipe(corpus, tmp_path / "run", train=train))
    pretrain(recipe(corpus, tmp_path / "run", train={**train, "steps": 3}), resume="auto")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"board", "log.jsonl", "model"}
    assert len(list((tmp_path / "run" / "board").glob("events.*"))) >= 2  # at least one for each of the two


def test_a_bias_of_frequencies_knows_them_before_the_first_step(corpus: Path, tmp_path: Path) -> None:
    train = {"steps": 1, "threads": 1, "optimizer": {"kind": "AdamW", "lr": 1e-9}}
    init = {"frequencies": True}
    heads = [{"kind": "LanguageHead", "bias": False}]
    with pytest.raises(InputError, match="fills the bias of the language head, which this model has none of"):
        pretrain(recipe(corpus, tmp_path / "no", init=init, model={"heads": heads}))
    assert not (tmp_path / "no").exists()
    data = {"held_out": 0.4}  # so that there is much to be told
    metrics = pretrain(recipe(corpus, tmp_path / "run", data=data, init=init, train=train))
    assert metrics["heldout_loss"] == pytest.approx(metrics["unigram_entropy"], abs=0.3)
    drawn = pretrain(recipe(corpus, tmp_path / "drawn", data=data, train=train))
    assert drawn["heldout_loss"] > metrics["heldout_loss"] + 1
    bias = load_model(tmp_path / "run" / "model").state_dict()["heads.language.bias"]
    counts = Shards.open(tmp_path / "run" / "shards").counts()
    assert torch.exp(bias).sum() == pytest.approx(1, abs=1e-4)
    assert int(bias.argmax()) == int(counts.argmax())


def test_where_no_checkpoint_is_sound_the_run_says_so_and_touches_nothing(
    corpus: Path, done: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(done, out)
    for _, path in checkpoint.steps(out / "checkpoints"):
        (path / "state.json").write_text("{}")
    before = sorted((path, path.stat().st_mtime_ns) for path in (out / "checkpoints").rglob("*"))
    with pytest.raises(InputError, match=r"step-3/state\.json: its bytes changed .*no other checkpoint is sound"):
        pretrain(recipe(corpus, out), resume="auto")
    assert sorted((path, path.stat().st_mtime_ns) for path in (out / "checkpoints").rglob("*")) == before
    assert rows(out) == rows(done)


SENTENCE_OBJECTIVES: dict[str, dict[str, Any]] = {
    "tsdae": {"kind": "TSDAE"},
    "simcse": {
        "kind": "Contrastive",
        "positives": {"kind": "Dropout"},
        "loss": {"kind": "InfoNCE", "temperature": {"kind": "Learned", "start": 0.05}},
    },
}


@pytest.mark.parametrize("name", SENTENCE_OBJECTIVES)
def test_sentences_teach_an_encoder_and_what_the_objective_learns_goes_on_too(name: str, tmp_path: Path) -> None:
    words = [f"{a}{b}" for a in "bdfgkm" for b in "aeiou"]
    lines = [" ".join(np.random.default_rng(n).choice(words, 6)) + "." for n in range(60)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    made: dict[str, Any] = {
        "data": {"source": str(tmp_path / "text.txt"), "unit": "line", "batch": 5, "packing": None},
        "tokenizer": {"kind": "WordPiece", "size": 80, "min_count": 1},
        "model": {"preset": "bert-tiny", "n_layers": 1},
        "objective": SENTENCE_OBJECTIVES[name],
    }
    train = {"checkpoint_every": 4, "threads": 1, "schedule": {"kind": "Constant", "warmup": 0}}
    metrics = pretrain(recipe(None, tmp_path / "whole", **made, train={**train, "steps": 18}))
    shards = Shards.open(tmp_path / "whole" / "shards").facts
    assert shards.train.documents % 5 == 1  # the last batch of an epoch is one sentence alone
    pretrain(recipe(None, tmp_path / "parts", **made, train={**train, "steps": 10}))
    assert pretrain(recipe(None, tmp_path / "parts", **made, train={**train, "steps": 18}), resume="auto").keys()
    assert rows(tmp_path / "parts")[-2:] == rows(tmp_path / "whole")[-2:]
    saved = [checkpoint.read(tmp_path / run / "checkpoints" / "step-18")[0]["model"] for run in ("whole", "parts")]
    own = [key for key in saved[0] if key.startswith("objective.")]
    assert own
    assert all(torch.equal(saved[0][key], saved[1][key]) for key in saved[0])
    first = checkpoint.read(tmp_path / "whole" / "checkpoints" / "step-16")[0]["model"]
    assert not torch.equal(first[own[0]], saved[0][own[0]])
    assert metrics["heldout_loss"] < rows(tmp_path / "whole")[0]["loss"]
    assert (metrics["unigram_entropy"] is None) == (name == "simcse")  # which tells no tokens
    assert not any(key.startswith("decoder") for key in load_model(tmp_path / "whole" / "model").state_dict())
