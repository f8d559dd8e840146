"""BERT and its kin against transformers: the same numbers and gradients from its folders, and from ours in it."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inlay.batch import Batch
from inlay.convert import load_model, save_model
from inlay.convert.families import FAMILIES
from inlay.convert.unread import HEADS
from inlay.errors import InputError
from inlay.model.model import Model

transformers = pytest.importorskip("transformers")

# B texts, T tokens of the longest, N in all, L layers, D model

BERT = {
    "vocab_size": 37,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 19,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "type_vocab_size": 2,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT | {"layer_norm_eps": 1e-5},
    "camembert": BERT,
    "albert": BERT
    | {"embedding_size": 8, "num_hidden_groups": 2, "num_hidden_layers": 5, "classifier_dropout_prob": 0.0},
    "electra": BERT | {"embedding_size": 8, "hidden_act": "silu"},
    "distilbert": {
        "vocab_size": 37,
        "dim": 16,
        "n_layers": 3,
        "n_heads": 4,
        "hidden_dim": 24,
        "max_position_embeddings": 19,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0,
        "qa_dropout": 0.0,
    },
}
CASES = [
    (family, name)
    for family in CONFIGS
    for name in FAMILIES[family].classes
    # What is RoBERTa under another name need not be held against all of its classes.
    if family not in ("xlm-roberta", "camembert") or name.endswith(("ForMaskedLM", "ForSequenceClassification"))
]
EVERY = pytest.mark.parametrize(("family", "name"), CASES, ids=[name for _, name in CASES])
ANSWERS = {"language": ("prediction_logits",), "pair": ("seq_relationship_logits", "sop_logits")}
UNTIED = [(family, name) for family, name in CASES if "language" in FAMILIES[family].classes[name]]


def theirs(family: str, name: str, **more: Any) -> Any:
    """A model of theirs whose every weight is drawn, biases and gains too."""
    cls = getattr(transformers, name)
    labels = {"num_labels": 5} if "Classification" in name else {}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = cls(cls.config_class(**CONFIGS[family] | labels | more))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn(parameter.shape) * 0.1
    return model.eval()


@cache
def saved(family: str, name: str) -> tuple[Any, Path]:
    """A model of theirs and a folder with it."""
    model, folder = theirs(family, name), Path(tempfile.mkdtemp(prefix=name))
    atexit.register(shutil.rmtree, folder)
    model.save_pretrained(folder)
    return model, folder


@pytest.fixture
def pair(family: str, name: str) -> tuple[Any, Model]:
    """A model of theirs, and ours from its folder."""
    model, folder = saved(family, name)
    model.zero_grad()
    return model.eval(), load_model(folder)


def texts(family: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids (B, T), where there is a token, and segments: texts of several lengths."""
    rng = np.random.default_rng(5)
    ids = rng.integers(2, 37, (4, 11))
    keep = np.arange(11) < np.array([11, 4, 9, 4])[:, None]
    segments = (np.arange(11) >= np.array([5, 2, 9, 1])[:, None]) & keep
    pad = 1 if "roberta" in family or family == "camembert" else 0
    return torch.tensor(np.where(keep, ids, pad)), torch.tensor(keep), torch.tensor(segments.astype(int))


def ask_theirs(family: str, model: Any) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """The rows of every layer (L+1 times (N, D)), and what the heads say, by the names of our heads."""
    ids, keep, segments = texts(family)
    more = {} if family == "distilbert" else {"token_type_ids": segments}
    said = model(input_ids=ids, attention_mask=keep.long(), output_hidden_states=True, **more)
    heads = FAMILIES[family].classes[type(model).__name__]
    answers = {}
    for head in heads:
        if head == "span":
            answers[head] = torch.stack([said.start_logits, said.end_logits], -1)[keep]
        elif head == "pooler":
            if "pooler_output" in said:
                answers[head] = said.pooler_output
        else:
            key = next(key for key in (*ANSWERS.get(head, ()), "logits") if key in said)
            answers[head] = said[key] if head in ("text", "pair") else said[key][keep]
    return [state[keep] for state in said.hidden_states], answers


def ask_ours(family: str, model: Model) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    ids, keep, segments = (one.numpy() for one in texts(family))
    batch = Batch.from_padded(ids, keep, segments if family != "distilbert" else None)
    packed, states = model.pack(batch), []
    rows = model(packed, states=states)
    return states, {name: model.read(name, rows, packed.layout) for name in model.heads}


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@EVERY
@torch.no_grad()
def test_every_layer_and_every_head_say_the_same(family: str, name: str, pair: tuple) -> None:
    model, ours = pair
    (states, answers), (our_states, our_answers) = ask_theirs(family, model), ask_ours(family, ours)
    assert set(ours.heads) == FAMILIES[family].classes[name]
    for state, our_state in zip(states, our_states, strict=True):
        close(our_state, state)
    assert answers or name.endswith("Model")
    for head, answer in answers.items():
        close(our_answers[head], answer)


@EVERY
def test_every_weight_gets_the_same_gradient(family: str, name: str, pair: tuple) -> None:
    model, ours = pair
    for one, ask in ((model, ask_theirs), (ours, ask_ours)):
        states, answers = ask(family, one.train())
        rng = torch.Generator().manual_seed(7)
        heard = [states[-1], *(answers[head] for head in sorted(answers) if head != "pooler" or len(answers) == 1)]
        loss = sum((torch.randn(x.shape, generator=rng) * x).mean() for x in heard)
        loss.backward()
    table = FAMILIES[family].names(ours.config)
    found = table.theirs({n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in ours.named_parameters()})
    wanted = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
    for canonical, key in FAMILIES[family].canonical(wanted).items():
        close(found.pop(table.copies.get(canonical, canonical)), wanted[key])
    assert not found
    assert sum(bool(one.any()) for one in wanted.values()) > len(wanted) - 3  # a pooler that nobody heard


@EVERY
def test_what_we_save_is_loaded_by_transformers_without_a_word(
    family: str, name: str, pair: tuple, tmp_path: Path
) -> None:
    model, ours = pair
    save_model(ours, tmp_path / "ours")
    again, info = getattr(transformers, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    for key, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    for key in CONFIGS[family].keys() - HEADS:
        assert getattr(again.config, key) == getattr(model.config, key), key
    assert again.config.architectures == [name]
    assert load_model(tmp_path / "ours").config == ours.config


@pytest.mark.parametrize(("family", "name"), UNTIED, ids=[name for _, name in UNTIED])
@torch.no_grad()
def test_a_table_of_the_head_s_own_is_read_and_written(family: str, name: str, tmp_path: Path) -> None:
    model = theirs(family, name, tie_word_embeddings=False)
    model.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    close(ask_ours(family, ours)[1]["language"], ask_theirs(family, model)[1]["language"])
    save_model(ours, tmp_path / "ours")
    again, info = getattr(transformers, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    close(ask_theirs(family, again)[1]["language"], ask_theirs(family, model)[1]["language"])


@pytest.mark.parametrize("family", CONFIGS)
@torch.no_grad()
def test_auto_model_takes_the_encoder_out_of_what_we_save(family: str, tmp_path: Path) -> None:
    name = next(name for name in FAMILIES[family].classes if name.endswith("ForMaskedLM"))
    model = theirs(family, name)
    model.save_pretrained(tmp_path / "theirs")
    save_model(load_model(tmp_path / "theirs", heads=()), tmp_path / "ours")
    again = transformers.AutoModel.from_pretrained(tmp_path / "ours").eval()
    assert type(again).__name__ == next(iter(FAMILIES[family].classes))
    for state, other in zip(ask_theirs(family, again)[0], ask_theirs(family, model)[0], strict=True):
        assert torch.equal(state, other)


DROPOUTS: dict[str, dict[str, float]] = {
    "bert": {"hidden_dropout_prob": 0.31, "attention_probs_dropout_prob": 0.21, "classifier_dropout": 0.41},
    "albert": {"hidden_dropout_prob": 0.31, "attention_probs_dropout_prob": 0.21, "classifier_dropout_prob": 0.41},
    "distilbert": {"dropout": 0.31, "attention_dropout": 0.21, "seq_classif_dropout": 0.41},
}


@pytest.mark.parametrize("family", CONFIGS)
def test_what_training_leaves_out_is_read_and_written(family: str, tmp_path: Path) -> None:
    name = next(name for name in FAMILIES[family].classes if name.endswith("ForSequenceClassification"))
    shares = DROPOUTS.get(family, DROPOUTS["bert"])
    theirs(family, name, **shares).save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    assert ours.config.encoder is not None
    dropout, head = ours.config.encoder.dropout, next(one for one in ours.config.heads if one.name == "text")
    assert (ours.config.input.dropout, dropout.hidden, dropout.attention, dropout.ffn) == (0.31, 0.31, 0.21, 0.0)
    assert head.dropout == 0.41  # type: ignore[union-attr]
    assert head.labels == tuple(f"LABEL_{i}" for i in range(5))  # type: ignore[union-attr]
    save_model(ours, tmp_path / "ours")
    said = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    assert {key: getattr(said, key) for key in shares} == shares


@torch.no_grad()
def test_electra_is_not_projected_where_nothing_is_to_be_projected(tmp_path: Path) -> None:
    model = theirs("electra", "ElectraForMaskedLM", embedding_size=16)
    model.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    assert not any("project" in name for name in ours.state_dict())
    close(ask_ours("electra", ours)[1]["language"], ask_theirs("electra", model)[1]["language"])
    save_model(ours, tmp_path / "ours")
    assert transformers.ElectraForMaskedLM.from_pretrained(tmp_path / "ours").config.embedding_size == 16


CHOICES = {
    "BertForMultipleChoice": ("classifier.*",),
    "RobertaForMultipleChoice": ("classifier.*",),
    "AlbertForMultipleChoice": ("classifier.*",),
    "ElectraForMultipleChoice": ("classifier.*", "sequence_summary.*"),
    "DistilBertForMultipleChoice": ("classifier.*", "pre_classifier.*"),
}


@pytest.mark.parametrize("name", CHOICES)
@torch.no_grad()
def test_a_head_that_we_have_not_is_named_and_can_be_ignored(name: str, tmp_path: Path) -> None:
    family = next(family for family in CONFIGS if family == name.removesuffix("ForMultipleChoice").lower())
    model = theirs(family, name)
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"classifier.weight .1, 16.*written by '{name}'"):
        load_model(tmp_path)
    ours = load_model(tmp_path, ignore=CHOICES[name])
    ids, keep, _ = texts(family)
    rows = getattr(model, family)(input_ids=ids, attention_mask=keep.long()).last_hidden_state[keep]
    close(ours(Batch.from_padded(ids.numpy(), keep.numpy())), rows)
