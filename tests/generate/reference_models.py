"""Tiny GPT-2, T5 and BART of the reference library with random weights, and the same as ours."""

import tempfile
from typing import Any

import torch

from inlay.convert import load_model
from inlay.model.model import Model

V = 97
STARTS = {"t5": 0, "bart": 2}
"""What a decoder beside an encoder begins with."""


def gpt2(seed: int = 0, *, vocab: int = V, positions: int = 64) -> tuple[Any, Model]:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=vocab, n_positions=positions, n_embd=32, n_layer=2, n_head=4)
    theirs = GPT2LMHeadModel(config).eval()
    _stir(theirs, "wte", 15.0)
    theirs.generation_config.eos_token_id = theirs.generation_config.bos_token_id = None
    return theirs, ours(theirs)


def t5(seed: int = 0, *, vocab: int = V) -> tuple[Any, Model]:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    config = T5Config(vocab_size=vocab, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, eos_token_id=None)
    config.decoder_start_token_id = config.pad_token_id = 0
    theirs = T5ForConditionalGeneration(config).eval()
    _stir(theirs, "shared", 3.0)
    theirs.shared.weight.data *= 0.1
    theirs.generation_config.eos_token_id = None
    return theirs, ours(theirs)


def bart(seed: int = 0, *, vocab: int = V, positions: int = 64) -> tuple[Any, Model]:
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(seed)
    sizes = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}
    sides = {f"{side}_{key}": n for side in ("encoder", "decoder") for key, n in sizes.items()}
    config = BartConfig(vocab_size=vocab, d_model=32, max_position_embeddings=positions, pad_token_id=0, **sides)
    config.decoder_start_token_id = STARTS["bart"]
    config.eos_token_id = config.bos_token_id = config.forced_eos_token_id = None
    theirs = BartForConditionalGeneration(config).eval()
    _stir(theirs, "shared", 40.0)
    theirs.model.shared.weight.data *= 6
    theirs.generation_config.eos_token_id = theirs.generation_config.forced_eos_token_id = None
    return theirs, ours(theirs)


def _stir(model: Any, table: str, factor: float) -> None:
    """Make all but the token table large: fresh weights repeat one token, since a row hardly changes on its way."""
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and table not in name:
            weight.data *= factor


def ours(theirs: Any) -> Model:
    """The same model, by way of the folder that the reference library writes."""
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return load_model(folder)


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
