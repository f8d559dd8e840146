"""Where each architecture comes from: the paper, what it changed, and the formula that says it.

In formulas x is a text's rows (T, D), Q, K, V are its queries, keys and values (T, K) of a head, i and j are positions.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Paper:
    """One architecture's source."""

    title: str
    """As it was published."""
    authors: str
    """The first of them."""
    year: int
    """Of the first version."""
    arxiv: str
    """Its number there; empty where it never was."""
    changed: str
    """What it did otherwise than those before it, in a sentence."""
    formula: str
    """The one that tells it apart."""


PAPERS: dict[str, Paper] = {
    "transformer": Paper(
        title="Attention Is All You Need",
        authors="Vaswani et al.",
        year=2017,
        arxiv="1706.03762",
        changed="Attention alone, without recurrence, in an encoder and a decoder; positions are added as sines.",
        formula="x ← norm(x + softmax(QKᵀ / √K) V W);  p(i, 2j) = sin(i / 10000^(2j/D)), p(i, 2j+1) = cos(the same)",
    ),
    "gpt2": Paper(
        title="Language Models are Unsupervised Multitask Learners",
        authors="Radford et al.",
        year=2019,
        arxiv="",
        changed="The decoder alone, each token told from those before it; norms stand before the branches.",
        formula="x ← x + f(norm(x));  P(text) = ∏ P(tᵢ | t₁ … tᵢ₋₁)",
    ),
    "bert": Paper(
        title="BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        authors="Devlin et al.",
        year=2018,
        arxiv="1810.04805",
        changed="The encoder alone, reading both ways: it tells hidden tokens, and if two segments are neighbours.",
        formula="x = norm(token + position + segment);  logits = norm(gelu(x W + b)) Eᵀ + c",
    ),
    "roberta": Paper(
        title="RoBERTa: A Robustly Optimized BERT Pretraining Approach",
        authors="Liu et al.",
        year=2019,
        arxiv="1907.11692",
        changed="BERT with byte-level tokens and without the neighbour task or segments, trained longer on more text.",
        formula="x = norm(token + position), hidden tokens drawn anew each time a text is read",
    ),
    "distilbert": Paper(
        title="DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter",
        authors="Sanh et al.",
        year=2019,
        arxiv="1910.01108",
        changed="Half of BERT's layers, without segments or pooler, taught by BERT itself.",
        formula="loss = CE(student, teacher's softmax at temperature 2) + CE(student, tokens) + 1 - cos(rows of both)",
    ),
    "albert": Paper(
        title="ALBERT: A Lite BERT for Self-supervised Learning of Language Representations",
        authors="Lan et al.",
        year=2019,
        arxiv="1909.11942",
        changed="One block used by all layers, token vectors narrower than rows, and segments told swapped or not.",
        formula="token table (V, D) → (V, E)(E, D), E ≪ D;  block₁ = block₂ = … = block_L",
    ),
    "electra": Paper(
        title="ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators",
        authors="Clark et al.",
        year=2020,
        arxiv="2003.10555",
        changed="BERT's stack, trained to say of every token whether a small generator has put it there.",
        formula="loss = MLM(generator) + 50 · BCE(σ(w·gelu(x W + b)), token was replaced)",
    ),
    "xlnet": Paper(
        title="XLNet: Generalized Autoregressive Pretraining for Language Understanding",
        authors="Yang et al.",
        year=2019,
        arxiv="1906.08237",
        changed="Tokens told in a random order by a second stream, with Transformer-XL's relative positions.",
        formula="score(i, j) = ((q + u)·k + (q + v)·R(i - j) + (q + s)·[same segment or not]) / √K",
    ),
    "t5": Paper(
        title="Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        authors="Raffel et al.",
        year=2019,
        arxiv="1910.10683",
        changed="Every task is text to text; norms only scale, nothing has a bias, positions a number per distance.",
        formula="score(i, j) = q·k + b[bucket(j - i)];  norm(x) = g · x / √mean(x²)",
    ),
    "t5-v1.1": Paper(
        title="GLU Variants Improve Transformer",
        authors="Shazeer",
        year=2020,
        arxiv="2002.05202",
        changed="T5 with a gated feed-forward layer and an output table of its own; pretrained without dropout.",
        formula="ffn(x) = (gelu(x G) ⊙ x U) W",
    ),
    "bart": Paper(
        title="BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation, Translation, and "
        "Comprehension",
        authors="Lewis et al.",
        year=2019,
        arxiv="1910.13461",
        changed="BERT's encoder and GPT's decoder: the first reads a spoilt text, the second writes it as it was.",
        formula="P(text | spoilt text) = ∏ P(tᵢ | t₁ … tᵢ₋₁, spoilt text)",
    ),
    "modernbert": Paper(
        title="Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for Fast, Memory Efficient, and Long "
        "Context Finetuning and Inference",
        authors="Warner et al.",
        year=2024,
        arxiv="2412.13663",
        changed="BERT with rotary positions, gates, norms first, no biases, and two local layers per global one.",
        formula="score(i, j) = (R(i)q)·(R(j)k) / √K;  local layers: |i - j| ≤ 64",
    ),
    "modern": Paper(
        title="inlay's own encoder, after ModernBERT",
        authors="",
        year=2026,
        arxiv="2412.13663",
        changed="ModernBERT's plan with RMSNorm and SwiGLU, at sizes that a text of one's own can fill.",
        formula="norm(x) = g · x / √mean(x²);  ffn(x) = (silu(x G) ⊙ x U) W",
    ),
}
"""By family, as the names of the presets begin."""


def paper(name: str) -> Paper:
    """The paper of a preset: that of the longest family that its name begins with."""
    return PAPERS[max((family for family in PAPERS if f"{name}-".startswith(f"{family}-")), key=len)]
