"""Tiny GPT-2 and T5 of the reference library with random weights, and the same as ours."""

from typing import Any

import torch
from torch import Tensor

from inlay.model.model import Model, ModelConfig
from inlay.model.presets import preset, resize

V = 97


def gpt2(seed: int = 0, *, vocab: int = V, positions: int = 64) -> tuple[Any, Model]:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=vocab, n_positions=positions, n_embd=32, n_layer=2, n_head=4)
    theirs = GPT2LMHeadModel(config).eval()
    _stir(theirs, "wte", 15.0)
    theirs.generation_config.eos_token_id = theirs.generation_config.bos_token_id = None
    literal = resize(preset("gpt2"), 2, 32, 4, 128, vocab_size=vocab)
    return theirs, filled(_positions(literal, positions), gpt2_weights(theirs.state_dict()))


def t5(seed: int = 0, *, vocab: int = V) -> tuple[Any, Model]:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    config = T5Config(vocab_size=vocab, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, eos_token_id=None)
    config.decoder_start_token_id = config.pad_token_id = 0
    theirs = T5ForConditionalGeneration(config).eval()
    _stir(theirs, "shared", 3.0)
    theirs.shared.weight.data *= 0.1
    theirs.generation_config.eos_token_id = None
    literal = resize(preset("t5"), 2, 32, 4, 64, vocab_size=vocab)
    return theirs, filled(literal, t5_weights(theirs.state_dict()))


def _stir(model: Any, table: str, factor: float) -> None:
    """Make all but the token table large: fresh weights repeat one token, since a row hardly changes on its way."""
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and table not in name:
            weight.data *= factor


def _positions(config: ModelConfig, n: int) -> ModelConfig:
    from dataclasses import replace

    assert config.input.position is not None
    return replace(config, input=replace(config.input, position=replace(config.input.position, max_len=n)))


def filled(config: ModelConfig, weights: dict[str, Tensor]) -> Model:
    model = config.build().eval()
    model.load_state_dict(weights)
    return model


def gpt2_weights(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {
        "input.token.weight": theirs["transformer.wte.weight"],
        "input.position.table.weight": theirs["transformer.wpe.weight"],
    }
    names = {
        "ln_1": "attention_norm",
        "attn.c_attn": "attention.qkv",
        "attn.c_proj": "attention.out",
        "ln_2": "ffn_norm",
        "mlp.c_fc": "ffn.up",
        "mlp.c_proj": "ffn.down",
    }
    for name, weight in theirs.items():
        part = name.removeprefix("transformer.")
        if part.startswith("ln_f."):
            found[part.replace("ln_f", "decoder.final_norm")] = weight
        elif part.startswith("h."):
            _, layer, rest = part.split(".", 2)
            inside, kind = rest.rsplit(".", 1)
            if inside in names:
                turned = weight.T if weight.ndim == 2 else weight
                found[f"decoder.blocks.{layer}.{names[inside]}.{kind}"] = turned
    return found


def t5_weights(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {"input.token.weight": theirs["shared.weight"]}
    for side in ("encoder", "decoder"):
        found[f"{side}.final_norm.weight"] = theirs[f"{side}.final_layer_norm.weight"]
        first = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        found[f"{side}.relatives.0.table.weight"] = theirs[first]
        for layer in range(2):
            old, new = f"{side}.block.{layer}.layer", f"{side}.blocks.{layer}"
            parts = [("0.SelfAttention", "0", "attention")]
            parts += [("1.EncDecAttention", "1", "cross")] if side == "decoder" else []
            for attention, place, ours in parts:
                three = [theirs[f"{old}.{attention}.{letter}.weight"] for letter in "qkv"]
                found[f"{new}.{ours}.qkv.weight"] = torch.cat(three)
                found[f"{new}.{ours}.out.weight"] = theirs[f"{old}.{attention}.o.weight"]
                found[f"{new}.{ours}_norm.weight"] = theirs[f"{old}.{place}.layer_norm.weight"]
            last = len(parts)
            found[f"{new}.ffn.up.weight"] = theirs[f"{old}.{last}.DenseReluDense.wi.weight"]
            found[f"{new}.ffn.down.weight"] = theirs[f"{old}.{last}.DenseReluDense.wo.weight"]
            found[f"{new}.ffn_norm.weight"] = theirs[f"{old}.{last}.layer_norm.weight"]
    return found


def theirs_writes(model: Any, prompts: list[list[int]], **settings: Any) -> list[list[int]]:
    """The new tokens by the reference library: prompts padded at their left, or sources at their right."""
    longest = max(map(len, prompts))
    source = model.config.is_encoder_decoder
    rows = [p + [0] * (longest - len(p)) if source else [0] * (longest - len(p)) + p for p in prompts]
    keep = [[1] * len(p) + [0] * (longest - len(p)) for p in prompts]
    keep = keep if source else [row[::-1] for row in keep]
    with torch.inference_mode():
        out = model.generate(
            torch.tensor(rows), attention_mask=torch.tensor(keep), pad_token_id=0, do_sample=False, **settings
        )
    found = out[:, 1 if source else longest :].tolist()
    eos = settings.get("eos_token_id")
    return [ended(one, eos) for one in found]


def ended(ids: list[int], eos: Any) -> list[int]:
    """Up to the first end token; what comes after it is padding."""
    ends = [] if eos is None else eos if isinstance(eos, list) else [eos]
    at = next((n for n, one in enumerate(ids) if one in ends), len(ids) - 1)
    return ids[: at + 1]
