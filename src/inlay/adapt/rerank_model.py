"""An encoder that gets a head for pairs, and what it learns from: lists of a query's answer and what is none."""

# L queries of a batch, B pairs, N tokens

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inlay.adapt.pairs import Pairs
from inlay.adapt.rerank_config import RerankConfig
from inlay.adapt.tuning import forget, run
from inlay.batch import Candidates
from inlay.embed.folder import Parts, tokenizer_of
from inlay.embed.reranker import Reranker
from inlay.embed.reranker_head import TextHead
from inlay.errors import InputError
from inlay.text.shuffle import shuffled

if TYPE_CHECKING:
    from inlay.model.heads import Head
    from inlay.model.model import Model, ModelConfig

_LABEL = "relevance"


class Lists:
    """Queries with their candidates by number, in an order that every epoch draws anew; the answer is relevant alone.

    What is left over of an epoch is not read in it.
    """

    def __init__(self, pairs: Pairs, reranker: Reranker, *, per_batch: int, seed: int) -> None:
        self._pairs, self._reranker, self._seed = pairs, reranker, seed
        self._per_batch = min(per_batch, len(pairs))

    @property
    def per_epoch(self) -> int:
        return len(self._pairs) // self._per_batch

    @property
    def identity(self) -> dict[str, Any]:
        pairs = self._pairs
        texts = json.dumps([pairs.queries, pairs.positives, pairs.negatives]).encode("ascii")
        what = {"lists": hashlib.sha256(texts).hexdigest(), "max_length": self._reranker.max_length}
        return {**what, "per_batch": self._per_batch, "seed": self._seed}

    def batch(self, number: int) -> Candidates:
        """L queries: for each the pair with its answer, then those with its negatives."""
        epoch, at = divmod(number, self.per_epoch)
        places = np.arange(at * self._per_batch, (at + 1) * self._per_batch)
        found = self._pairs.select(shuffled(places, len(self._pairs), (self._seed, epoch)).tolist())
        texts = [[answer, *others] for answer, others in zip(found.positives, found.negatives, strict=True)]
        sizes = [len(one) for one in texts]
        queries = [query for query, size in zip(found.queries, sizes, strict=True) for _ in range(size)]
        return Candidates(
            self._reranker.batch(queries, [text for one in texts for text in one]),
            lists=np.repeat(np.arange(len(sizes)), sizes),
            relevance=np.concatenate([np.eye(1, size)[0] for size in sizes]),
        )


def untrained(parts: Parts, config: RerankConfig, *, seed: int) -> Reranker:
    """The base with a head that gives one number, drawn by the seed where it has none yet."""
    from inlay.convert import load_model

    model = with_head(load_model(parts.inner), seed=seed)
    return Reranker.of_model(model, tokenizer_of(parts), max_length=config.max_length)


def learn(reranker: Reranker, pairs: Pairs, config: RerankConfig, work: Path, *, seed: int) -> None:
    """Move the reranker's weights, in place; `work` holds the checkpoints that a broken run goes on from.

    Raises NotFinite where a loss or a gradient is no number.
    """
    from inlay.objective.relevance import Listwise, Pointwise, Relevance

    loss = Listwise() if config.loss == "listwise" else Pointwise()
    assert isinstance(reranker.head, TextHead)
    model = reranker.head.model
    objective = Relevance(loss=loss).build(model.config, reranker.tokenizer, seed=seed)
    batches: Any = Lists(pairs, reranker, per_batch=config.batch, seed=seed)
    run(model, objective, batches, work, steps=config.steps, lr=config.lr, threads=config.threads, seed=seed)
    forget(work)


def with_head(model: "Model", *, seed: int) -> "Model":
    """The model with a head `text` of one label, in the shape that its family has for it, and no other head.

    One that it has is kept, with its weights. InputError for a model that is no encoder alone, and for families whose
    layout has no place for such a head.
    """
    config = replace(model.config, heads=_heads(model.config))
    grown = config.build(seed=seed)
    there, own = grown.state_dict(), model.state_dict()
    kept = {name: value for name, value in own.items() if name in there and there[name].shape == value.shape}
    missing = [name for name in there if name not in kept]
    assert all(name.startswith("heads.") for name in missing), missing
    grown.load_state_dict(kept, strict=False)
    grown.source = model.source
    return grown


def _heads(config: "ModelConfig") -> "tuple[Head, ...]":
    """What stands on the encoder in the cross-encoders of its family."""
    from inlay.model.heads import Inner, Pooler, TextHead

    if config.encoder is None or config.decoder is not None:
        raise InputError(
            "a reranker reads query and text both ways, and this base writes; take an encoder, such as BERT"
        )
    own = next((head for head in config.heads if head.name == "text"), None)
    if isinstance(own, TextHead) and len(own.labels) == 1:
        return tuple(head for head in config.heads if head.name in ("pooler", "text"))
    p, labels = config.encoder.dropout.hidden, (_LABEL,)
    match config.family:
        case "bert" | "albert":
            pooler = next((head for head in config.heads if isinstance(head, Pooler)), Pooler())
            return (pooler, TextHead(labels=labels, dropout=p))
        case "roberta" | "xlm-roberta" | "camembert":
            inner = Inner(activation="tanh", dropout=p)
        case "electra":
            inner = Inner(dropout=p)
        case "distilbert":
            inner = Inner(activation="relu")
        case "modernbert":
            inner = Inner(bias=False, norm=config.encoder.norm)
        case "" | "transformer":
            return (TextHead(labels=labels, at="mean", dropout=p),)
        case other:
            raise InputError(
                f"a base of the family {other} has no head for pairs; take one of BERT, RoBERTa or their kin"
            )
    return (TextHead(labels=labels, at="first", inner=inner, dropout=p),)
