"""What the tensors of each family are called, and the table of the families that `Lean` reads."""

from collections.abc import Mapping

from inlay.embed import lean_families as read
from inlay.embed.lean_families import Family, Names


def _block(theirs: str, names: Mapping[str, str | tuple[str, ...]]) -> Names:
    """The names in a block, of which `theirs` is the beginning."""
    parts = {ours: (one,) if isinstance(one, str) else one for ours, one in names.items()}
    return {f"blocks.{{i}}.{ours}": tuple(f"{theirs}.{one}" for one in several) for ours, several in parts.items()}


def _of(names: tuple[str, ...], ending: str = ".{w}") -> tuple[str, ...]:
    return tuple(name + ending for name in names)


def _embeddings(base: str) -> Names:
    return {
        "input.token.weight": (f"{base}embeddings.word_embeddings.weight",),
        "input.position.table.weight": (f"{base}embeddings.position_embeddings.weight",),
        "input.segment.weight": (f"{base}embeddings.token_type_embeddings.weight",),
        "input.norm.{w}": (f"{base}embeddings.LayerNorm.{{w}}",),
    }


_BERT_BLOCK: dict[str, str | tuple[str, ...]] = {
    "attention.qkv.{w}": _of(("attention.self.query", "attention.self.key", "attention.self.value")),
    "attention.out.{w}": "attention.output.dense.{w}",
    "attention_norm.{w}": "attention.output.LayerNorm.{w}",
    "ffn.up.{w}": "intermediate.dense.{w}",
    "ffn.down.{w}": "output.dense.{w}",
    "ffn_norm.{w}": "output.LayerNorm.{w}",
}
_BUFFERS = (r".*\.position_ids", r".*\.token_type_ids")
_POOLER = (r".*\.pooler\..*",)


def _kin(base: str, more: Names | None = None, beside: tuple[str, ...] = ()) -> tuple[Names, tuple[str, ...]]:
    names = {**_embeddings(base), **_block(base + "encoder.layer.{i}", _BERT_BLOCK), **(more or {})}
    return names, (*_BUFFERS, *beside)


_bert, _beside = _kin("bert.", beside=_POOLER)
_roberta, _ = _kin("roberta.")
_electra, _ = _kin("electra.", {"input.project.{w}": ("electra.embeddings_project.{w}",)})

_ALBERT = {
    **_embeddings("albert."),
    "input.project.{w}": ("albert.encoder.embedding_hidden_mapping_in.{w}",),
    **_block(
        "albert.encoder.albert_layer_groups.{i}.albert_layers.0",
        {
            "attention.qkv.{w}": _of(("attention.query", "attention.key", "attention.value")),
            "attention.out.{w}": "attention.dense.{w}",
            "attention_norm.{w}": "attention.LayerNorm.{w}",
            "ffn.up.{w}": "ffn.{w}",
            "ffn.down.{w}": "ffn_output.{w}",
            "ffn_norm.{w}": "full_layer_layer_norm.{w}",
        },
    ),
}
_DISTILBERT = {
    **_embeddings("distilbert."),
    **_block(
        "distilbert.transformer.layer.{i}",
        {
            "attention.qkv.{w}": _of(("attention.q_lin", "attention.k_lin", "attention.v_lin")),
            "attention.out.{w}": "attention.out_lin.{w}",
            "attention_norm.{w}": "sa_layer_norm.{w}",
            "ffn.up.{w}": "ffn.lin1.{w}",
            "ffn.down.{w}": "ffn.lin2.{w}",
            "ffn_norm.{w}": "output_layer_norm.{w}",
        },
    ),
}
_MODERNBERT = {
    "input.token.weight": ("model.embeddings.tok_embeddings.weight",),
    "input.norm.{w}": ("model.embeddings.norm.{w}",),
    **_block(
        "model.layers.{i}",
        {
            "attention.qkv.{w}": "attn.Wqkv.{w}",
            "attention.out.{w}": "attn.Wo.{w}",
            "attention_norm.{w}": "attn_norm.{w}",
            "ffn.up.{w}": "mlp.Wi.{w}",
            "ffn.down.{w}": "mlp.Wo.{w}",
            "ffn_norm.{w}": "mlp_norm.{w}",
        },
    ),
    "final_norm.{w}": ("model.final_norm.{w}",),
}
_XL = "transformer.layer.{i}.rel_attn."
_XLNET = {
    "input.token.weight": ("transformer.word_embedding.weight",),
    **_block(
        "transformer.layer.{i}",
        {
            "attention.qkv.weight": ("rel_attn.q", "rel_attn.k", "rel_attn.v"),
            "attention.out.weight": "rel_attn.o",
            "attention_norm.{w}": "rel_attn.layer_norm.{w}",
            "ffn.up.{w}": "ff.layer_1.{w}",
            "ffn.down.{w}": "ff.layer_2.{w}",
            "ffn_norm.{w}": "ff.layer_norm.{w}",
        },
    ),
    "relatives.{i}.r.weight": (_XL + "r",),
    "relatives.{i}.u": (_XL + "r_w_bias",),
    "relatives.{i}.v": (_XL + "r_r_bias",),
    "relatives.{i}.s": (_XL + "r_s_bias",),
    "relatives.{i}.segment": (_XL + "seg_embed",),
}


def _t5(gated: bool) -> Names:
    up = ("wi_0", "wi_1") if gated else ("wi",)
    return {
        "input.token.weight": ("shared.weight",),
        **_block(
            "encoder.block.{i}.layer",
            {
                "attention.qkv.weight": tuple(f"0.SelfAttention.{one}.weight" for one in "qkv"),
                "attention.out.weight": "0.SelfAttention.o.weight",
                "attention_norm.weight": "0.layer_norm.weight",
                "ffn.up.weight": tuple(f"1.DenseReluDense.{one}.weight" for one in up),
                "ffn.down.weight": "1.DenseReluDense.wo.weight",
                "ffn_norm.weight": "1.layer_norm.weight",
            },
        ),
        "relatives.{i}.table.weight": ("encoder.block.{i}.layer.0.SelfAttention.relative_attention_bias.weight",),
        "final_norm.weight": ("encoder.final_layer_norm.weight",),
    }


_GPT2 = {
    "input.token.weight": ("transformer.wte.weight",),
    "input.position.table.weight": ("transformer.wpe.weight",),
    **_block(
        "transformer.h.{i}",
        {
            "attention_norm.{w}": "ln_1.{w}",
            "attention.qkv.{w}": "attn.c_attn.{w}",
            "attention.out.{w}": "attn.c_proj.{w}",
            "ffn_norm.{w}": "ln_2.{w}",
            "ffn.up.{w}": "mlp.c_fc.{w}",
            "ffn.down.{w}": "mlp.c_proj.{w}",
        },
    ),
    "final_norm.{w}": ("transformer.ln_f.{w}",),
}
_BART = {
    "input.token.weight": ("model.shared.weight",),
    "input.position.table.weight": ("model.encoder.embed_positions.weight",),
    "input.norm.{w}": ("model.encoder.layernorm_embedding.{w}",),
    **_block(
        "model.encoder.layers.{i}",
        {
            "attention.qkv.{w}": _of(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            "attention.out.{w}": "self_attn.out_proj.{w}",
            "attention_norm.{w}": "self_attn_layer_norm.{w}",
            "ffn.up.{w}": "fc1.{w}",
            "ffn.down.{w}": "fc2.{w}",
            "ffn_norm.{w}": "final_layer_norm.{w}",
        },
    ),
}

_ROBERTA = Family(base="roberta.", read=read.roberta, names=_roberta, beside=_beside)

FAMILIES: Mapping[str, Family] = {
    "bert": Family(base="bert.", read=read.bert, names=_bert, beside=_beside),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "albert": Family(base="albert.", read=read.albert, names=_ALBERT, beside=_beside),
    "electra": Family(base="electra.", read=read.electra, names=_electra, beside=_BUFFERS),
    "distilbert": Family(base="distilbert.", read=read.distilbert, names=_DISTILBERT, beside=_BUFFERS),
    "modernbert": Family(base="model.", read=read.modernbert, names=_MODERNBERT),
    "xlnet": Family(
        base="transformer.", read=read.xlnet, names=_XLNET, beside=(r"transformer\.mask_emb",), by_head=True
    ),
    "t5": Family(
        base="",
        read=read.t5,
        names=_t5(False),
        gated=_t5(True),
        beside=(r"decoder\..*", r"lm_head\.weight", r"encoder\.embed_tokens\.weight"),
        other={"shared.weight": "encoder.embed_tokens.weight"},
    ),
    "gpt2": Family(
        base="transformer.",
        read=read.gpt2,
        names=_GPT2,
        beside=(r"transformer\.h\.\d+\.attn\.(masked_)?bias",),
        transposed=True,
    ),
    "bart": Family(
        base="model.",
        read=read.bart,
        names=_BART,
        beside=(r"model\.decoder\..*", r"model\.encoder\.(embed_tokens\.weight|version)"),
        other={"model.shared.weight": "model.encoder.embed_tokens.weight"},
    ),
}
"""The families that are read, by the `model_type` in their config.json."""
