"""Every architecture is a literal: read the difference between two of them to learn the difference between two papers.

`inlay.model.presets` makes the sizes of each family from these, `inlay.model.papers` says where they come from.
"""

from dataclasses import replace

from inlay.model.heads import Inner, LanguageHead, PairHead, Pooler, ReplacedHead
from inlay.model.init import Normal, Scaled, Xavier
from inlay.model.input import Input, Table
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm, RMSNorm
from inlay.model.position import Learned, Sinusoidal
from inlay.model.relative import Rotary, T5Buckets, XLRelative
from inlay.model.stack import Dropout, Local, Stack

_NONE = Dropout(hidden=0.0, attention=0.0)

_ORIGINAL = Stack(
    n_layers=6,
    d_model=512,
    n_heads=8,
    d_ffn=2048,
    norm=LayerNorm(eps=1e-6),
    activation="relu",
    attention_bias=False,
    dropout=Dropout(hidden=0.1, attention=0.0),
)
TRANSFORMER = ModelConfig(
    # One table for the source, the target and what is written; times √d, since its entries start at d^-½.
    input=Input(vocab_size=37_000, position=Sinusoidal(), scale=512**0.5),
    encoder=_ORIGINAL,
    decoder=replace(_ORIGINAL, causal=True, cross=True),
    heads=(LanguageHead(bias=False),),
    init=Xavier(),
    family="transformer",
)

_LN = LayerNorm(eps=1e-12)
_BERT = Stack(n_layers=12, d_model=768, n_heads=12, d_ffn=3072, norm=_LN)
BERT = ModelConfig(
    input=Input(vocab_size=30_522, position=Learned(max_len=512), n_segments=2, norm=_LN),
    encoder=_BERT,
    heads=(Pooler(), LanguageHead(inner=Inner(norm=_LN)), PairHead()),
    init=Normal(std=0.02),
    family="bert",
)

_LN5 = LayerNorm(eps=1e-5)
ROBERTA = replace(
    BERT,
    # Rows 0 and 1 of the positions are never read: the paper's code counts from the padding id plus one.
    input=replace(
        BERT.input,
        vocab_size=50_265,
        token=Table(padding=1),
        position=Learned(max_len=514, offset=2),
        n_segments=1,
        norm=_LN5,
    ),
    encoder=replace(_BERT, norm=_LN5),
    heads=(LanguageHead(inner=Inner(norm=_LN5)),),
    family="roberta",
)

DISTILBERT = replace(
    BERT,
    input=replace(BERT.input, n_segments=0),
    encoder=replace(_BERT, n_layers=6),
    heads=(LanguageHead(inner=Inner(norm=_LN)),),
    family="distilbert",
)

ALBERT = replace(
    BERT,
    # Version 2 learns without dropout: a model that shares its layers is too small to learn a corpus by heart.
    input=replace(BERT.input, vocab_size=30_000, d_embed=128, dropout=0.0),
    encoder=replace(_BERT, n_unique=1, activation="gelu_tanh", dropout=_NONE),
    heads=(Pooler(), LanguageHead(inner=Inner(activation="gelu_tanh", norm=_LN)), PairHead()),
    family="albert",
)

ELECTRA = replace(BERT, heads=(ReplacedHead(),), family="electra")
ELECTRA_GENERATOR = replace(ELECTRA, heads=(LanguageHead(inner=Inner(norm=_LN)),))

XLNET = replace(
    BERT,
    input=Input(vocab_size=32_000, query=True),
    encoder=replace(
        _BERT,
        relative=XLRelative(),
        attention_bias=False,
        dropout=Dropout(hidden=0.1, attention=0.1, ffn=0.1),
    ),
    heads=(LanguageHead(),),
    family="xlnet",
)

_T5 = Stack(
    n_layers=12,
    d_model=768,
    n_heads=12,
    d_ffn=3072,
    norm=RMSNorm(eps=1e-6),
    norm_first=True,
    relative=T5Buckets(n_buckets=32, max_distance=128),
    activation="relu",
    bias=False,
    attention_bias=False,
    scale_scores=False,
    dropout=Dropout(hidden=0.1, attention=0.1, ffn=0.1),
)
T5 = ModelConfig(
    input=Input(vocab_size=32_128),
    encoder=_T5,
    decoder=replace(_T5, causal=True, cross=True),
    heads=(LanguageHead(bias=False, scaled=True),),
    init=Scaled(),
    family="t5",
)

# Version 1.1 was pretrained without dropout; its authors turn it on again for a task.
_T5_V1_1 = replace(_T5, d_ffn=2048, activation="gelu_tanh", gated=True, dropout=_NONE)
T5_V1_1 = replace(
    T5,
    input=replace(T5.input, dropout=0.0),
    encoder=_T5_V1_1,
    decoder=replace(_T5_V1_1, causal=True, cross=True),
    heads=(LanguageHead(bias=False, tied=False),),
)

_BART = Stack(
    n_layers=6,
    d_model=768,
    n_heads=12,
    d_ffn=3072,
    norm=_LN5,
    dropout=Dropout(hidden=0.1, attention=0.1, ffn=0.1),
)
BART = ModelConfig(
    # Rows 0 and 1 of the positions are never read, as in RoBERTa.
    input=Input(
        vocab_size=50_265,
        token=Table(padding=1),
        position=Learned(max_len=1026, offset=2),
        twin=True,
        norm=_LN5,
    ),
    encoder=_BART,
    decoder=replace(_BART, causal=True, cross=True),
    heads=(LanguageHead(bias=False),),
    init=Normal(std=0.02),
    family="bart",
)

GPT2 = ModelConfig(
    input=Input(vocab_size=50_257, position=Learned(max_len=1024)),
    decoder=Stack(
        n_layers=12,
        d_model=768,
        n_heads=12,
        d_ffn=3072,
        norm=LayerNorm(eps=1e-5),
        norm_first=True,
        causal=True,
        activation="gelu_tanh",
    ),
    heads=(LanguageHead(bias=False),),
    init=Normal(std=0.02, residual=True),
    family="gpt2",
)

_BARE = LayerNorm(eps=1e-5, bias=False)
_MODERNBERT = Stack(
    n_layers=22,
    d_model=768,
    n_heads=12,
    d_ffn=1152,
    norm=_BARE,
    norm_first=True,
    bare_start=True,
    relative=Rotary(theta=160_000.0),
    local=Local(reach=64, every=3, relative=Rotary(theta=10_000.0)),
    gated=True,
    bias=False,
    attention_bias=False,
    dropout=_NONE,
)
MODERNBERT = ModelConfig(
    input=Input(vocab_size=50_368, norm=_BARE, dropout=0.0),
    encoder=_MODERNBERT,
    heads=(LanguageHead(inner=Inner(bias=False, norm=_BARE)),),
    init=Normal(std=0.02, residual=True, cut=2.0),
    family="modernbert",
)

# inlay's own: ModernBERT's plan with the norm and the gate of today's decoders.
_RMS = RMSNorm(eps=1e-6)
MODERN = replace(
    MODERNBERT,
    input=replace(MODERNBERT.input, vocab_size=32_000, norm=_RMS),
    encoder=replace(_MODERNBERT, n_layers=12, d_ffn=2048, norm=_RMS, activation="silu"),
    heads=(LanguageHead(inner=Inner(activation="silu", bias=False, norm=_RMS)),),
    family="",
)
