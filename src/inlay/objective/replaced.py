"""Replaced tokens: a small model fills holes, the model tells which tokens are not the text's. Clark et al. 2020.

N packed tokens, M chosen ones, D model, E embedding, V vocabulary.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inlay.batch import Batch
from inlay.convert.families import FAMILIES
from inlay.errors import InputError
from inlay.model.heads import Inner, LanguageHead
from inlay.model.input import Input
from inlay.model.model import Model, ModelConfig
from inlay.model.packed import Layout, Packed
from inlay.objective.language import need_head, on, token_nll
from inlay.objective.masked import MaskedExample, MaskedLM, MaskedObjective, need_both_ways
from inlay.objective.objective import Objective

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

_LENT = ("token", "position", "segment", "norm")
"""What a generator borrows of the model's input layer: everything that knows a token; the projection is its own."""
_BLOCK = 512
"""Rows whose logits are held at once while tokens are drawn."""


@dataclass(frozen=True, kw_only=True)
class GeneratorSize:
    """The model's encoder with fewer heads of the same width, and a feed-forward layer as much narrower."""

    fraction: float = 0.25
    """How much of the model's width; the paper finds 1/4 to 1/2 best."""

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise InputError(f"fraction={self.fraction} must be above 0 and at most 1; 0.25 is usual")

    def of(self, model: ModelConfig) -> ModelConfig:
        """The generator's architecture beside that model."""
        encoder = model.encoder
        assert encoder is not None
        n_heads = max(1, round(encoder.n_heads * self.fraction))
        small = replace(
            encoder,
            n_heads=n_heads,
            d_model=n_heads * encoder.d_key if not encoder.d_head else max(1, round(encoder.d_model * self.fraction)),
            d_ffn=max(1, round(encoder.d_ffn * self.fraction)),
            pruned=(),
        )
        head = LanguageHead(inner=Inner(activation=encoder.activation, norm=encoder.norm))
        return replace(model, input=_input(model), encoder=small, heads=(head,))


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The generator reads by the model's token, position and segment tables and their norm; both teach them."""


@dataclass(frozen=True, kw_only=True)
class Own:
    """The generator has tables of its own."""


@dataclass(frozen=True, kw_only=True)
class ReplacedToken:
    """MLM of a generator + weight · the mean binary error of telling for every token if it was replaced.

    Clark et al. 2020, arXiv:2003.10555 (ELECTRA). The generator's tokens are drawn from what it says, without a
    gradient; a drawn token that is the text's own counts as the text's. Every token is asked about, specials too.
    """

    texts: ClassVar[Literal["rows"]] = "rows"

    generator: GeneratorSize | ModelConfig = field(default_factory=GeneratorSize)
    """What fills the holes: a part of the model's size, or an architecture."""
    embeddings: Shared | Own = field(default_factory=Shared)
    """Where the generator's token vectors come from."""
    masked: MaskedLM = field(default_factory=lambda: MaskedLM(mask=1.0, random=0.0))
    """Where the holes are; the paper makes every one a mask, and takes p=0.25 for its largest model."""
    weight: float = 50.0
    """What the error of telling is multiplied by; it is far smaller than the generator's."""

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise InputError(f"weight={self.weight} must be above 0 and finite; 50 is usual")

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "ReplacedObjective":
        """The module with its generator; InputError for a model that cannot be asked, or a generator beside it."""
        need_both_ways(model, "ReplacedToken")
        need_head(model, "replaced", "ReplacedToken")
        sized = isinstance(self.generator, GeneratorSize)
        generator = self.generator.of(model) if isinstance(self.generator, GeneratorSize) else self.generator
        if not sized:
            _check(generator, model, self.embeddings)
        masked = self.masked.build(generator, tokenizer, seed=seed)
        # Another seed than the model's, which would start the generator's tables as twins of its own.
        made = generator.build(seed=seed + 1)
        if isinstance(self.embeddings, Shared):
            for name in _LENT:
                delattr(made.input, name)
        return ReplacedObjective(self, masked, made)


@dataclass(frozen=True, eq=False)
class ReplacedExample:
    """Texts, the same with holes, and the seed of what is drawn to fill them."""

    batch: Batch
    masked: MaskedExample
    seed: int

    @property
    def counts(self) -> dict[str, int]:
        tokens = len(self.batch.ids)
        return {**self.masked.counts, "rtd": tokens, "rtd_accuracy": tokens}


class ReplacedObjective(Objective):
    """Two models that learn side by side; `generator` has no table of its own where the model lends its."""

    def __init__(self, config: ReplacedToken, masked: MaskedObjective, generator: Model) -> None:
        super().__init__()
        self.config, self.masked, self.generator = config, masked, generator
        self.weights: Mapping[str, float] = {"rtd": config.weight, "rtd_accuracy": 0.0}

    @property
    def teller(self) -> Model:
        """The generator."""
        return self.generator

    def bind(self, model: Model) -> None:
        """Let the generator read by the model's tables, which stay the model's: no parameter of this module."""
        if isinstance(self.config.embeddings, Shared):
            for name in _LENT:
                object.__setattr__(self.generator.input, name, getattr(model.input, name))

    def models(self, model: Model) -> dict[str, Model]:
        """The generator with the tables that it borrows; its family is '' where the model's has no room for it."""
        self.bind(model)
        whole = copy.deepcopy(self.generator).eval()
        for name in _LENT if isinstance(self.config.embeddings, Shared) else ():
            setattr(whole.input, name, vars(whole.input).pop(name))
        if not _is_held(whole):
            whole.config = replace(whole.config, family="")
        return {"generator": whole}

    def draw(self, batch: Batch, rng: np.random.Generator) -> ReplacedExample:
        return ReplacedExample(batch, self.masked.draw(batch, rng), int(rng.integers(2**63)))

    def terms(self, model: Model, example: ReplacedExample) -> dict[str, Tensor]:  # type: ignore[override]
        masked, generator = example.masked, self.generator
        self.bind(model)
        text = model.pack(example.batch)
        at, was = on(model, masked.at), on(model, masked.labels)
        rows = generator(Packed(on(model, masked.batch.ids), text.layout, text.segments))[at]  # (M, D)
        drawn = sample(generator, rows.detach(), text.layout, example.seed)
        replaced = torch.zeros_like(text.ids, dtype=torch.bool).index_copy(0, at, drawn != was)
        told = Packed(text.ids.index_copy(0, at, drawn), text.layout, text.segments)
        answers = model.read("replaced", model(told), text.layout).float()  # (N,)
        return {
            "mlm": token_nll(generator, rows, was),
            "rtd": F.binary_cross_entropy_with_logits(answers, replaced.float(), reduction="sum"),
            "rtd_accuracy": ((answers.detach() > 0) == replaced).sum().float(),
        }


@torch.no_grad()
def sample(model: Model, rows: Tensor, layout: Layout, seed: int) -> Tensor:
    """(M, D) -> (M,) a token for each row, drawn from what the language head says; the same for the same seed."""
    rng = torch.Generator(rows.device).manual_seed(seed)
    drawn = [rows.new_zeros(0, dtype=torch.int64)]
    for part in rows.split(_BLOCK):
        chances = model.read("language", part, layout).float().softmax(-1)
        # The first of exponential arrivals: torch.multinomial's way, without its error where weights are not finite,
        # which on a GPU is the process's end. Here the loss is what says so.
        drawn.append((chances / torch.empty_like(chances).exponential_(generator=rng)).argmax(-1))
    return torch.cat(drawn)


def _is_held(model: Model) -> bool:
    """Whether the layout of its family has room for all that it is."""
    family = FAMILIES.get(model.config.family)
    try:
        if family is not None:
            family.settings(model.config, model.state_dict())
    except InputError:
        return False
    return True


def _input(model: ModelConfig) -> Input:
    """The model's input layer as that of a generator: the same tables, then a projection to another width."""
    return replace(model.input, d_embed=model.d_embed, query=False, frozen="never")


def _check(generator: ModelConfig, model: ModelConfig, embeddings: Shared | Own) -> None:
    """InputError where an architecture that was named as a generator does not fit beside the model."""
    need_both_ways(generator, "the generator of ReplacedToken")
    need_head(generator, "language", "the generator of ReplacedToken")
    if generator.vocab_size != model.vocab_size:
        raise InputError(
            f"the generator has {generator.vocab_size} tokens, the model {model.vocab_size}; "
            f"set generator.input.vocab_size={model.vocab_size}"
        )
    wanted, found = _input(model), _input(generator)
    if isinstance(embeddings, Shared) and replace(found, dropout=model.input.dropout) != wanted:
        raise InputError(
            f"the generator's input layer (d_embed={generator.d_embed}) is not the model's (d_embed={model.d_embed}), "
            "and cannot share its tables; make them alike, or take embeddings: {kind: Own}"
        )
