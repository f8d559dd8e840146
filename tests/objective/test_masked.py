"""MaskedLM: what becomes of the chosen tokens, and the error of telling them, against transformers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_texts import CLS, MASK, SEP, V, texts, tokenizer
from reference import SIZES, both, labels, padded, same_gradients

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.presets import preset
from inlay.objective.masked import MaskedExample, MaskedLM, MaskedObjective
from inlay.objective.masks import Static

BERT = preset("bert-tiny")


def objective(**settings: object) -> MaskedObjective:
    return MaskedLM(**settings).build(replace(BERT, input=replace(BERT.input, vocab_size=V)), tokenizer())  # type: ignore[arg-type]


def many(made: MaskedObjective, batch: Batch, times: int) -> tuple[np.ndarray, np.ndarray]:
    """What stood at the chosen places of many draws, and what stands there now."""
    drawn = [made.draw(batch, np.random.default_rng(seed)) for seed in range(times)]
    return np.concatenate([one.labels for one in drawn]), np.concatenate([one.batch.ids[one.at] for one in drawn])


@pytest.mark.parametrize(("mask", "random"), [(0.8, 0.1), (1.0, 0.0), (0.0, 0.5), (0.85, 0.0)])
def test_the_chosen_become_the_mask_or_a_random_token_or_stay(mask: float, random: float) -> None:
    was, became = many(objective(mask=mask, random=random), texts([130] * 8), 200)
    n = len(was)
    masked, kept = (became == MASK).mean(), (became == was).mean()
    for found, share in ((masked, mask), (kept, 1 - mask - random), (1 - masked - kept, random)):
        assert abs(found - share) <= 5 * (share * (1 - share) / n) ** 0.5 + 1e-3, (found, share)


def test_random_tokens_are_any_but_specials_each_as_often() -> None:
    was, became = many(objective(mask=0.0, random=1.0), texts([130] * 8), 300)
    counts = np.bincount(became, minlength=V)
    assert not counts[:5].any()
    expected = len(became) / (V - 5)
    chi_square = ((counts[5:] - expected) ** 2 / expected).sum()
    freedom = V - 6
    assert abs(chi_square - freedom) < 5 * (2 * freedom) ** 0.5
    assert abs(np.corrcoef(was, became)[0, 1]) < 0.03


def test_labels_are_what_stood_there_and_nothing_else_changes() -> None:
    batch = texts([50, 1, 0, 20])
    batch.ids[3] = SEP
    before = batch.ids.copy()
    example = objective().draw(batch, np.random.default_rng(0))
    assert np.array_equal(batch.ids, before)
    assert np.array_equal(example.labels, before[example.at])
    others = np.setdiff1d(np.arange(len(before)), example.at)
    assert np.array_equal(example.batch.ids[others], before[others])
    assert example.counts == {"mlm": len(example.at)}


def test_a_static_text_is_corrupted_alike_each_time() -> None:
    batch = texts([130])
    drawn = {
        tuple(objective(masks=Static(copies=3)).draw(batch, np.random.default_rng(seed)).batch.ids)
        for seed in range(40)
    }
    assert len(drawn) == 3


def test_static_masks_follow_the_seed_of_the_objective() -> None:
    model = replace(BERT, input=replace(BERT.input, vocab_size=V))
    made = [MaskedLM(masks=Static(copies=1)).build(model, tokenizer(), seed=seed) for seed in (1, 1, 2)]
    one, same, other = (tuple(m.draw(texts([130]), np.random.default_rng(0)).at) for m in made)
    assert one == same
    assert one != other


def test_the_loss_is_the_mean_over_the_chosen_by_hand() -> None:
    model = replace(BERT, input=replace(BERT.input, vocab_size=V)).build().eval()
    batch = Batch.of([[CLS, 10, 11, 12, SEP], [CLS, 13, SEP]])
    holes = replace(batch, ids=batch.ids.copy())
    holes.ids[[2, 6]] = MASK
    example = MaskedExample(holes, np.array([2, 6]), batch.ids[[2, 6]])
    logits = model.read("language", model(holes), model.pack(holes).layout)
    wanted = [-logits[row].log_softmax(-1)[token].item() for row, token in ((2, 11), (6, 13))]
    found = objective()(model, example)
    assert found["loss"].item() == pytest.approx(sum(wanted) / 2, rel=1e-6)
    assert found["loss"].item() == found["mlm"].item()


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert", "Albert", "Electra"])
def test_loss_and_gradients_are_those_of_the_reference_library(family: str) -> None:
    transformers = pytest.importorskip("transformers")
    more = {"embedding_size": 16} if family in ("Albert", "Electra") else {}
    if family == "DistilBert":
        names = ("dim", "n_layers", "n_heads", "hidden_dim", "dropout", "attention_dropout")
        settings = dict(zip(names, (32, 2, 4, 48, 0.0, 0.0), strict=True)) | {"vocab_size": V}
    else:
        settings = SIZES | more
    theirs, ours = both(getattr(transformers, f"{family}ForMaskedLM"), **settings)
    example = MaskedLM().build(ours.config, tokenizer()).draw(texts([30, 4, 17, 3]), np.random.default_rng(1))
    wanted = theirs(**padded(example.batch), labels=labels(example.batch, example.at, example.labels)).loss
    found = objective()(ours, example)["loss"]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    wanted.backward()
    found.backward()
    same_gradients(theirs, ours)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpt2-tiny", "MaskedLM reads a text both ways, and gpt2 looks back only; take CausalLM"),
        ("t5-tiny", "MaskedLM is for an encoder alone, and t5 has a decoder; take SpanCorruption or Denoise"),
        ("electra-tiny", "MaskedLM reads the language head, which this architecture lacks \\(it has replaced\\)"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_what_to_take(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MaskedLM().build(preset(name), tokenizer())


def test_an_encoder_that_looks_back_only_is_refused() -> None:
    config = preset("roberta-tiny")
    assert config.encoder is not None
    with pytest.raises(InputError, match="set encoder.causal=false"):
        MaskedLM().build(replace(config, encoder=replace(config.encoder, causal=True)), tokenizer())


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    with pytest.raises(InputError, match=r"needs a mask token, and .* are \[PAD\], \[UNK\]; train one with '\[MASK\]'"):
        MaskedLM().build(preset("roberta-tiny"), tokenizer(("[PAD]", "[UNK]")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"p": 0.0}, "p=0.0 must be above 0"),
        ({"p": 1.5}, "p=1.5 must be above 0"),
        ({"mask": 0.8, "random": 0.3}, "mask=0.8 and random=0.3 must be shares of one whole"),
        ({"mask": -0.1}, "mask=-0.1"),
        ({"mask": float("nan")}, "mask=nan"),
        ({"random": float("nan")}, "random=nan"),
    ],
)
def test_shares_that_are_none_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MaskedLM(**settings)  # type: ignore[arg-type]
