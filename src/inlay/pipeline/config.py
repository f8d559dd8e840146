"""FitConfig: how a model is fitted, and the fixed cost model that turns minutes into amounts of work."""

from dataclasses import dataclass
from typing import Literal

from inlay.adapt.config import AdaptConfig
from inlay.embed.fitted import RIDGE
from inlay.embed.tune import Tune
from inlay.errors import InputError, did_you_mean
from inlay.text.words import LANGUAGES
from inlay.vectors.word2vec import Word2Vec


@dataclass(frozen=True, kw_only=True)
class Base:
    """An encoder that knows much already, and what is shipped of it."""

    folder: str
    """Folder of the encoder, or of any other model that inlay opens; or a model's name on the hub."""
    ship: Literal["auto", "base", "table"] = "auto"
    """The encoder itself; a token table fitted to it, which needs no Transformer at search; or what measures best."""
    ridge: float = RIDGE
    """How much the rows of the fitted table are held back."""
    tune: AdaptConfig | None = None
    """How the encoder is tuned to the text before all else, guarded by a gate; null: not at all."""
    pairs: str | None = None
    """File of labelled pairs to tune on; null: pairs are mined from the text."""

    def __post_init__(self) -> None:
        if self.ship not in ("auto", "base", "table"):
            raise InputError(
                f"base.ship={self.ship!r} is no choice{did_you_mean(self.ship, ('auto', 'base', 'table'))}"
            )
        if not 0 < self.ridge < float("inf"):
            raise InputError(f"base.ridge={self.ridge} must be above 0; {RIDGE:g} is usual")
        if self.pairs is not None and self.tune is None:
            raise InputError(f"base.pairs={self.pairs!r} is what tuning learns from; add --tune (base.tune: {{}})")


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A small Transformer that learns from the text alone, beginning from the best token table."""

    least: float = 20
    """Minutes of the fit below which there is no time for it; 0: always."""
    share: float = 0.5
    """Of the minutes, how much it takes."""
    n_layers: int = 2
    """Blocks that a row goes through."""
    d_model: int = 256
    """Numbers of a row, a multiple of 64."""
    batch: int = 64
    """Texts a step, and pairs."""
    steps: int = 400
    """Updates from pairs at most; more overfit a small corpus."""
    lr: float = 5e-4
    """The largest step size."""
    p: float = 0.3
    """Share of the tokens to predict."""
    max_length: int = 128
    """Tokens of a text that are learnt from at most."""
    threads: int | None = None
    """Threads of torch; null: as many as it takes by itself. The same number gives the same bits."""

    def __post_init__(self) -> None:
        rules = [
            ("least", self.least, self.least >= 0, "must not be negative; 20 is usual"),
            ("share", self.share, 0 < self.share < 1, "must lie between 0 and 1; 0.5 is usual"),
            ("n_layers", self.n_layers, self.n_layers >= 1, "must be at least 1"),
            ("d_model", self.d_model, self.d_model >= 64 and not self.d_model % 64, "must be a multiple of 64"),
            ("max_length", self.max_length, self.max_length >= 8, "must be at least 8; 128 is usual"),
            ("batch", self.batch, self.batch >= 2, "must be at least 2; 64 is usual"),
            ("steps", self.steps, self.steps >= 1, "must be at least 1; 400 is usual"),
            ("lr", self.lr, 0 < self.lr < 1, "must lie between 0 and 1; 5e-4 is usual"),
            ("p", self.p, 0 < self.p <= 1, "must be above 0 and at most 1; 0.3 is usual"),
            ("threads", self.threads, self.threads is None or self.threads >= 1, "must be at least 1"),
        ]
        for name, value, holds, rule in rules:
            if not holds:
                raise InputError(f"encoder.{name}={value!r} {rule}")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a model is fitted; the defaults were found on other corpora and suit most."""

    lang: str = "auto"
    """Language of the text: en, de, fr, es, it, pt, nl, sv, ru or zh; auto looks at the text."""
    minutes: float = 3
    """About how long to take on two cores; a fixed cost model turns it into amounts of work, so results repeat."""
    seed: int = 0
    """Of everything that is drawn by chance."""
    dim: int = 256
    """Length of a text's vector; shorter where there are fewer documents."""
    words: int = 60_000
    """Words that the tokenizer keeps whole, the most frequent ones; all others fall into pieces."""
    held_out: int = 400
    """Documents at most that are kept back to ask questions about; a fifth where there are fewer."""
    vectors: Word2Vec = Word2Vec(dim=128, min_count=2, epochs=20)
    """The skip-gram rungs; `epochs` is the most, fewer where `minutes` asks for it."""
    tune: Tune = Tune()
    """The contrastive rungs."""
    base: Base | None = None
    """An encoder to begin with; null: everything is learned from the text alone."""
    encoder: Scratch | None = Scratch()
    """The rung of a Transformer from scratch; null: never."""

    def __post_init__(self) -> None:
        rules = [
            ("lang", self.lang, self.lang in ("auto", *LANGUAGES), f"must be auto or one of {', '.join(LANGUAGES)}"),
            ("minutes", self.minutes, 0.01 <= self.minutes <= 10_000, "must be above 0, 0.01 at least; 3 is usual"),
            ("seed", self.seed, self.seed >= 0, "must not be negative"),
            ("dim", self.dim, 2 <= self.dim <= 4096, "must lie between 2 and 4096; 256 is usual"),
            ("words", self.words, self.words >= 100, "must be at least 100; 60000 is usual"),
            ("held_out", self.held_out, self.held_out >= 1, "must be at least 1; 400 is usual"),
        ]
        for name, value, holds, rule in rules:
            if not holds:
                raise InputError(f"{name}={value!r} {rule}")

    def seconds(self, share: float) -> float:
        """What a share of the minutes comes to."""
        return self.minutes * 60 * share
