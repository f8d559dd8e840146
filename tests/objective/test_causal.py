"""CausalLM: every token but the first from those before it, against transformers and by hand."""

import numpy as np
import pytest
import torch
from made_texts import V, texts, tokenizer
from reference import both, padded, same_gradients

from inlay.batch import Batch
from inlay.config import override
from inlay.errors import InputError
from inlay.model.presets import preset
from inlay.objective.causal import CausalLM

RNG = np.random.default_rng(0)


def test_loss_and_gradients_are_those_of_the_reference_library() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": V, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    theirs, ours = both(transformers.GPT2LMHeadModel, **sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    batch = texts([30, 4, 1, 17, 2])
    inputs = padded(batch)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    wanted = theirs(**inputs, labels=labels).loss
    objective = CausalLM().build(ours.config, tokenizer())
    found = objective(ours, batch, RNG)["loss"]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    wanted.backward()
    found.backward()
    same_gradients(theirs, ours)


def test_every_token_but_the_first_of_its_text_is_told_by_the_row_before_it() -> None:
    batch = Batch.of([[7, 8, 9], [], [10], [11, 12]])
    example = CausalLM().build(preset("gpt2-tiny"), tokenizer()).draw(batch, RNG)
    assert example.at.tolist() == [0, 1, 4]
    assert example.labels.tolist() == [8, 9, 12]
    assert example.counts == {"nll": 3}


def test_an_untrained_model_is_as_unsure_as_the_vocabulary_is_large() -> None:
    model = preset("gpt2-tiny").build().eval()
    loss = CausalLM().build(model.config, tokenizer())(model, texts([60] * 4), RNG)["loss"]
    assert loss.item() == pytest.approx(np.log(V), abs=0.1)


def test_texts_of_one_token_have_nothing_to_tell() -> None:
    model = preset("gpt2-tiny").build().eval()
    found = CausalLM().build(model.config, tokenizer())(model, Batch.of([[5], [6]]), RNG)
    assert found["loss"].item() == 0


@pytest.mark.parametrize("name", ["bert-tiny", "xlnet-tiny", "t5-tiny", "transformer-tiny", "modern-tiny"])
def test_a_model_that_sees_the_next_token_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="predicts the next token, which .* sees; take MaskedLM for an encoder"):
        CausalLM().build(preset(name), tokenizer())


def test_a_decoder_that_sees_everything_or_has_no_head_is_refused() -> None:
    with pytest.raises(InputError, match="predicts the next token, which gpt2 sees"):
        CausalLM().build(override(preset("gpt2-tiny"), {"decoder.causal": False}), tokenizer())
    with pytest.raises(InputError, match="CausalLM reads the language head, which this architecture lacks"):
        CausalLM().build(override(preset("gpt2-tiny"), {"heads": []}), tokenizer())
