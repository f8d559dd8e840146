"""The recipe of a pretraining: everything that decides what a run becomes, as one tree of frozen dataclasses."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from inlay.config import to_tree
from inlay.convert import read_config
from inlay.errors import InputError
from inlay.model.model import ModelConfig
from inlay.model.wordstart import FromWords, Pieces
from inlay.objective.causal import CausalLM
from inlay.objective.contrastive import Contrastive, Dropout
from inlay.objective.denoise import Denoise
from inlay.objective.masked import MaskedLM
from inlay.objective.masks import Geometric, Harmonic, Spans, WholeWord
from inlay.objective.permuted import PermutedLM
from inlay.objective.replaced import ReplacedToken
from inlay.objective.sentence_pairs import NextSentence, SentenceOrder
from inlay.objective.spans import SpanCorruption
from inlay.objective.tsdae import TSDAE
from inlay.text.document import CorpusConfig
from inlay.text.pack import Packing, Rows, SentencePairs, Sentences
from inlay.text.shardfile import TOKENIZER
from inlay.tokenize.kinds import BPE, ByteBPE, Bytes, Characters, Unigram, WordPiece, Words
from inlay.train.architecture import Architecture
from inlay.train.run import FREE, RunConfig
from inlay.vectors.word2vec import Word2Vec

Objective = (
    MaskedLM
    | NextSentence
    | SentenceOrder
    | ReplacedToken
    | PermutedLM
    | SpanCorruption
    | Denoise
    | CausalLM
    | Contrastive
    | TSDAE
)

_PAPERS: dict[str, Objective] = {
    "bert": NextSentence(),
    "roberta": MaskedLM(),
    "distilbert": MaskedLM(),
    "modernbert": MaskedLM(p=0.3),
    "albert": SentenceOrder(),
    "electra": ReplacedToken(),
    "xlnet": PermutedLM(),
    "t5": SpanCorruption(),
    "bart": Denoise(),
    "gpt2": CausalLM(),
}
"""What each family was trained with, as its paper says it."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A tokenizer that is there already."""

    path: Path
    """A tokenizer or model folder, or a tokenizer.json."""


Tokenizer = WordPiece | BPE | Unigram | ByteBPE | Bytes | Characters | Words | Given


@dataclass(frozen=True, kw_only=True)
class Data(CorpusConfig):
    """What is read, and how it is cut into batches; beside what says how files become documents."""

    source: str | tuple[str, ...] | None = None
    """Files, folders, globs, names of data sets, or '-'."""
    shards: Path | None = None
    """A folder that `inlay shards` made, in place of a source; it needs the tokenizer that it was made with."""
    packing: Packing | None = None
    """How texts come together in batches; null: as the objective wants them, rows and pairs in 128 tokens."""
    held_out: float = 0.05
    """Share of the documents that is kept back to measure on."""
    batch: int = 16
    """Texts (rows, pairs, sentences) of a micro-batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is not None and self.shards is not None:
            raise InputError("source and shards are two ways to give the text; leave one out")
        if self.batch < 1:
            raise InputError(f"batch={self.batch} must be at least 1")
        if not 0 <= self.held_out < 1:
            raise InputError(f"held_out={self.held_out} must be at least 0 and below 1; 0.05 is usual")

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, one or several."""
        return (self.source,) if isinstance(self.source, str) else self.source or ()

    @property
    def corpus(self) -> CorpusConfig:
        """How files become documents."""
        return CorpusConfig(**{one.name: getattr(self, one.name) for one in fields(CorpusConfig)})


@dataclass(frozen=True, kw_only=True)
class FromVectors:
    """The token table starts from word vectors: of a file, or trained on the same text before the model is."""

    path: Path | None = None
    """A file of vectors of any format; null: train some, as `vectors` says."""
    freeze: int = 500
    """Steps before the table learns too."""
    pieces: Pieces = FromWords()
    """What a token starts from that is no word of the vectors."""
    scale: float | None = 0.02
    """The root mean square that the table's numbers are brought to; null: as they are."""
    center: bool = False
    """Take the rows' mean away first."""
    vectors: Word2Vec = Word2Vec(min_count=2)
    """How they are trained where no path is given; `dim` and `seed` follow the model and the run."""

    def __post_init__(self) -> None:
        if self.freeze < 0:
            raise InputError(f"freeze={self.freeze} must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Init:
    """What the first weights are, where they are not drawn."""

    token: FromVectors | None = None
    """The token table's."""
    frequencies: bool = False
    """The language head's bias starts from how often each token comes, so that no step is spent on learning that."""
    neighbours: bool = False
    """A model of learned positions sees from the first step which tokens stand beside a token: its positions start as
    waves, and the heads of its first block look at neighbours. See inlay.model.neighbours."""
    model: Path | None = None
    """A model folder whose weights are taken over; heads that it lacks are drawn. It needs its own tokenizer."""


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """A pretraining from raw text."""

    data: Data = field(default_factory=Data)
    """The text."""
    tokenizer: Tokenizer | None = None
    """What cuts it into tokens: a kind to be trained on it, or one that is Given. null: that of data.shards or of
    init.model, else WordPiece with 8000 tokens."""
    model: Architecture = field(default_factory=Architecture)
    """The architecture."""
    objective: Objective | None = None
    """What is learned; null: what the architecture's paper trained it with."""
    init: Init = field(default_factory=Init)
    """What the first weights are."""
    train: RunConfig = field(default_factory=RunConfig)
    """How long and how hard it learns."""
    out: Path | None = None
    """The run folder."""
    seed: int = 0
    """Of everything that is drawn by chance."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed={self.seed} must be at least 0 and below 2^63")
        drawn = {"token": self.init.token, "frequencies": self.init.frequencies, "neighbours": self.init.neighbours}
        if self.init.model is not None and (other := next((name for name, asked in drawn.items() if asked), None)):
            raise InputError(f"init.{other} and init.model are two ways to begin; leave one out")

    def architecture(self) -> ModelConfig:
        """The literal of the model, before it is fitted to the tokenizer."""
        return self.model.build(read_config(self.init.model) if self.init.model is not None else None)

    @property
    def length(self) -> int:
        """Tokens of a text at most."""
        return (self.data.packing or Rows()).length

    def resolved(self) -> "Pretrain":
        """The same with all that is left open decided: the objective, the packing, the tokenizer.

        InputError where something is missing, or two things do not go together.
        """
        if not self.data.sources and self.data.shards is None:
            raise InputError("data.source is missing; name a file, a folder or a data set, or shards: data.shards=DIR")
        if self.trains_vectors and not self.data.sources:
            raise InputError("init.token trains word vectors on data.source, which is missing; give init.token.path")
        objective = self.objective or of_paper(self.architecture())
        packing = self.data.packing or wanted(objective)
        _check_packing(objective, packing, self.data.batch)
        tokenizer = self._tokenizer()
        if not isinstance(tokenizer, Given):
            asked = objective.specials(packing.length) if isinstance(objective, SpanCorruption) else ()
            missing = tuple(token for token in asked if token not in tokenizer.specials)
            tokenizer = replace(tokenizer, specials=tokenizer.specials + missing)
        return replace(self, objective=objective, tokenizer=tokenizer, data=replace(self.data, packing=packing))

    def _tokenizer(self) -> Tokenizer:
        owners = {"data.shards": self.data.shards and self.data.shards / TOKENIZER, "init.model": self.init.model}
        for name, place in owners.items():
            if place is not None and self.tokenizer is None:
                return Given(path=place)
            if place is not None and not isinstance(self.tokenizer, Given):
                raise InputError(
                    f"{name} has a tokenizer of its own, and another is to be trained; leave tokenizer out, "
                    f"which takes {place}"
                )
        return self.tokenizer or WordPiece(size=8000)

    @property
    def trains_vectors(self) -> bool:
        """Whether word vectors are trained before the model."""
        return self.init.token is not None and self.init.token.path is None

    @property
    def wants_words(self) -> bool:
        """Whether the objective asks where words begin."""
        return any(isinstance(part, WholeWord | Spans | Harmonic | Geometric) for part in _parts(self.objective))

    @property
    def wants_sentences(self) -> bool:
        """Whether the packing asks where sentences begin."""
        return isinstance(self.data.packing, SentencePairs | Sentences)

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be gone on with: all but how long, where, and what is kept."""
        tree = to_tree(self)
        tree["train"] = {key: value for key, value in tree["train"].items() if key not in FREE}
        del tree["out"]
        return tree


def of_paper(model: ModelConfig) -> Objective:
    """The objective of the family's paper; for a family without one, that of its kind of model."""
    if model.family in _PAPERS:
        return _PAPERS[model.family]
    if model.decoder is None:
        return MaskedLM()
    return CausalLM() if model.encoder is None else Denoise()


def _parts(config: Any) -> Iterator[Any]:
    """The config and every config in it."""
    if is_dataclass(config):
        yield config
        for one in fields(config):
            yield from _parts(getattr(config, one.name))


def wanted(objective: Objective) -> Packing:
    """How an objective wants its texts."""
    if isinstance(objective, NextSentence | SentenceOrder):
        return SentencePairs(other=objective.other)
    return Sentences() if objective.texts == "sentences" else Rows()


def _check_packing(objective: Objective, packing: Packing, batch: int) -> None:
    """InputError for texts, and so many of them together, that are not what an objective asks about."""
    if isinstance(objective, NextSentence | SentenceOrder):
        found = packing.other if isinstance(packing, SentencePairs) else "no pairs"
        if found != objective.other:
            raise InputError(
                f"{type(objective).__name__} asks about pairs (other: {objective.other}), and the packing gives "
                f"{found}; set data.packing={{kind: SentencePairs, other: {objective.other}}}, or leave it out"
            )
    if isinstance(objective, Contrastive) and not isinstance(objective.positives, Dropout):
        raise InputError(
            "Contrastive is given pairs, which raw text has none of; set objective.positives={kind: Dropout}, "
            "which takes each text for its own pair"
        )
    if isinstance(objective, Contrastive) and batch == 1:
        raise InputError("Contrastive tells each text from the others of its batch; set data.batch to 2 or more")
    if isinstance(objective, TSDAE) and objective.pool == "cls" and not getattr(packing, "specials", True):
        raise InputError(
            "TSDAE reads the row of a text's cls token, and data.packing.specials=false leaves it out; take "
            "objective.pool=mean, or specials"
        )
