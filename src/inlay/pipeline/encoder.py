"""The rung of a small Transformer that knows nothing but the text: token table of a rung before it, MLM, pairs."""

# V tokens, D numbers of a row

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.embed.context import ContextEmbedder
from inlay.embed.embedder import load
from inlay.embed.folder_save import save_embedder
from inlay.errors import InputError
from inlay.evaluate.choice import Bench, Member
from inlay.live import say
from inlay.pipeline.config import FitConfig, Scratch
from inlay.pipeline.ground import Ground
from inlay.pipeline.measured import Measured, note, rung_table
from inlay.stages import Run
from inlay.tokenize.tokenizer import Tokenizer

if TYPE_CHECKING:
    from inlay.adapt.config import MLM, Contrast
    from inlay.adapt.pairs import Pairs
    from inlay.model.model import Model

Array = NDArray[np.float32]

ENCODER = "encoder"
_MODEL = "model"
_FLOPS = 2e10
"""Operations a second of training, as the cost model has it; machines differ, results must not."""
_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def affordable(config: FitConfig) -> Scratch | None:
    """The encoder that the minutes allow, None where they allow none."""
    return config.encoder if config.encoder is not None and config.minutes >= config.encoder.least else None


def measure(run: Run, ground: Ground, bench: Bench, found: Measured, dense: str) -> Member | None:
    """The encoder trained and measured, its table begun from that of a rung; None where there is no time for it."""
    scratch = affordable(ground.config)
    if scratch is None:
        return None
    from inlay.adapt.config import Mined
    from inlay.adapt.pairs import mined
    from inlay.train.trainer import NotFinite

    try:
        pairs = mined(ground.distinct, ground.held, Mined(), seed=ground.config.seed)
    except InputError:
        say("note: no encoder is trained: the text gives too few pairs to learn from")
        return None

    def make(part: Path) -> None:
        save_embedder(_train(run, ground, scratch, pairs, rung_table(run, dense)), part / _MODEL)
        note(bench, _member(ground, bench, part), [], part)

    try:
        made = run.stage(f"rung {ENCODER}", make)
    except NotFinite as error:  # one rung of many: what the others reach is not lost for it
        say(f"note: no encoder is trained: {error}")
        return None
    found.add(ENCODER, f"{scratch.n_layers} layers from scratch, over the table of {dense}", made, run)
    return _member(ground, bench, made)


def _member(ground: Ground, bench: Bench, made: Path) -> Member:
    return bench.member(ENCODER, load(made / _MODEL), label=ENCODER)


def folder(run: Run) -> Path:
    """Where the encoder that was measured stands."""
    return run.folder / f"rung {ENCODER}" / _MODEL


def steps(scratch: Scratch, seconds: float, n_tokens: int) -> "tuple[MLM, Contrast]":
    """What is learnt in so many seconds by a model of the cost model's size, `n_tokens` in its vocabulary.

    Two thirds go to the text. A text costs six operations a weight of the layers and token, and its share of hidden
    tokens as many for the whole table.
    """
    from inlay.adapt.config import MLM, Contrast

    d, length = scratch.d_model, scratch.max_length / 2
    layers = 12 * scratch.n_layers * d * d
    mlm = scratch.batch * length * 6 * (layers + scratch.p * n_tokens * d)
    pairs = 2 * scratch.batch * length * 6 * layers
    return (
        MLM(steps=max(1, int(seconds * 2 / 3 * _FLOPS / mlm)), batch=scratch.batch, lr=scratch.lr, p=scratch.p),
        Contrast(
            steps=max(1, min(scratch.steps, int(seconds / 3 * _FLOPS / pairs))),
            batch=scratch.batch,
            lr=scratch.lr,
            negatives=None,
        ),
    )


def _train(run: Run, ground: Ground, scratch: Scratch, pairs: "Pairs", table: Array) -> ContextEmbedder:
    """The work stands in a folder of the run, where it goes on after a break."""
    from inlay.adapt.tuning import learn_pairs, learn_text
    from inlay.embed.torch_backend import TorchBackend

    config = ground.config
    tokenizer = with_specials(ground.tokenizer)
    mlm, contrast = steps(scratch, config.seconds(scratch.share), tokenizer.size)
    model = _model(scratch, tokenizer, ground.tokenizer, table, seed=config.seed)
    work = run.folder / f"rung {ENCODER}.run"
    documents = [ground.distinct[at] for at in ground.rest]
    model = learn_text(
        model,
        tokenizer,
        documents,
        ground.held.reduced,
        mlm,
        work / "text",
        place="mean",
        max_length=scratch.max_length,
        threads=scratch.threads,
        seed=config.seed,
    )
    model = learn_pairs(
        model,
        None,
        tokenizer,
        pairs,
        contrast,
        work / "pairs",
        place="mean",
        prompts=("", ""),
        max_length=scratch.max_length,
        threads=scratch.threads,
        seed=config.seed,
    )
    return ContextEmbedder(tokenizer, TorchBackend(model))


def with_specials(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer of the same words and pieces, with the tokens that a Transformer needs beside them."""
    known = [token for token in tokenizer.vocabulary if token not in tokenizer.roles.values()]
    words = [token for token in known if not token.startswith("##")]
    return Tokenizer.from_vocabulary(words, [token for token in known if token.startswith("##")], specials=_SPECIALS)


def _model(scratch: Scratch, tokenizer: Tokenizer, before: Tokenizer, table: Array, *, seed: int) -> "Model":
    """First weights drawn by the seed, and a token table that begins as the rung's, at the size of drawn ones."""
    from dataclasses import replace

    import torch

    from inlay.model.presets import preset, resize

    d = scratch.d_model
    shape = resize(preset("modern-mini"), scratch.n_layers, d, d // 64 or 1, 11 * d // 4, vocab_size=tokenizer.size)
    model = replace(shape, heads=()).build(seed=seed)
    rows = model.input.table().detach().numpy().copy()
    width = min(d, table.shape[1])
    scale = np.float32(rows.std() / max(float(np.sqrt(np.mean(np.square(table)))), 1e-12))
    for token, row in tokenizer.vocabulary.items():
        at = before.vocabulary.get(token)
        if at is not None and table[at].any():
            rows[row] = 0
            rows[row, :width] = table[at, :width] * scale
    with torch.no_grad():
        model.input.table().copy_(torch.from_numpy(rows))
    return model
