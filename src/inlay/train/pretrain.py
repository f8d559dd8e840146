"""Pretraining: raw text in, a trained model out, in one run folder that can be killed at any moment and gone on with.

tokenizer → word vectors, where the table begins with them → shards → model → the steps → model/ and metrics.json.
Each stage is a folder that is there whole or not at all.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inlay.convert import save_model
from inlay.live import say
from inlay.model.heads import Place
from inlay.model.model import Model, ModelConfig
from inlay.model.neighbours import look_at_neighbours, need_neighbours
from inlay.objective.contrastive import Contrastive
from inlay.objective.objective import Objective
from inlay.text.blocks import border, read
from inlay.text.corpus import Corpus
from inlay.text.pack import Batches, pack
from inlay.text.pairs import sentences
from inlay.text.shardfile import SHARDS as FACTS
from inlay.text.shardfile import Shards, Split, entropy
from inlay.text.shards import ShardsConfig, write_shards
from inlay.text.words import language, segmenter
from inlay.tokenize.kinds import Bytes
from inlay.tokenize.tokenizer import Tokenizer
from inlay.tokenize.training import learn
from inlay.train.architecture import check_savable
from inlay.train.begin import for_vectors, from_frequencies, from_model, from_vectors, need_bias
from inlay.train.folder import SHARDS, Folder, opened
from inlay.train.recipe import Given, Pretrain
from inlay.train.run import Run
from inlay.train.trainer import Trainer
from inlay.train.world import World, check, join
from inlay.vectors.word2vec import Word2Vec
from inlay.vectors.word2vec import train as train_vectors
from inlay.vectors.wordvectors import WordVectors

VECTORS = "vectors.safetensors"


def pretrain(config: Pretrain, *, resume: str | Path | None = None, force: bool = False) -> dict[str, Any]:
    """Train the model and give what is in its metrics.json; the folder is `config.out`.

    `resume` goes on with a run that broke off: `auto` from its newest sound checkpoint, or from the first step where
    there is none; or from the checkpoint that is named. A resumed run ends as an unbroken one, bit for bit. Raises
    InputError for a folder that holds something, unless `resume` or `force` (begin anew) is given, for one that is of
    another recipe, and before anything is written for all that does not go together.
    """
    with join(config.train.place()) as world:
        config = config.resolved()
        check(world, config.train.accumulate)
        work = Work(config, _source(config, resume) if world.first else None)

        def identity() -> dict[str, Any]:
            _check(config)
            return {"config": config.identity()}

        with opened(config, world, resume=resume, force=force, check=identity) as folder:
            return _trained(config, work, folder)


def _source(config: Pretrain, resume: str | Path | None) -> Corpus | None:
    """The text; None where all that is made of it is there."""
    out = config.out or Path()
    made = [out / "tokenizer", (config.data.shards or out / SHARDS) / FACTS]
    made += [out / "vectors"] if config.trains_vectors else []
    done = resume is not None and all(path.exists() for path in made)
    return None if done or not config.data.sources else Corpus(*config.data.sources, config=config.data.corpus)


def _trained(config: Pretrain, work: "Work", folder: Folder) -> dict[str, Any]:
    """The stages, the steps and what is left of them."""
    tokenizer = Tokenizer.load(folder.stage("tokenizer", work.tokenizer))
    vectors = None
    if config.init.token is not None:
        vectors = WordVectors.load(config.init.token.path or folder.stage("vectors", work.vectors(tokenizer)) / VECTORS)
    shards = folder.shards(work.shards, tokenizer, config.data.shards)
    model = model_of(config, tokenizer, vectors).build(seed=config.seed)
    if folder.begin is None:
        _first_weights(model, config, shards, vectors)
    trainer = trainer_of(config, model.to(folder.world.device), tokenizer, shards, folder.world)
    held = work.packed(shards, "heldout") if shards.facts.heldout.documents else None
    run = Run(folder.path, trainer, config.train, held, begin=folder.begin, label="pretrain")
    for _ in run:
        pass
    # All others tell tokens, and can be held against their frequencies.
    tells = not isinstance(config.objective, Contrastive)
    return run.finish(
        tokenizer,
        save=_save_vectors(config.objective.pool) if isinstance(config.objective, Contrastive) else save_model,
        unigram_entropy=heldout_entropy(shards) if tells else None,
    )


def _save_vectors(pool: Place) -> Callable[..., None]:
    """How a model is saved that was trained to give vectors: its folder says from which rows they are read.

    No folder can say that they are the pooler's: such a model is saved as any other.
    """
    from inlay.embed.context import ContextEmbedder, EmbedConfig
    from inlay.embed.folder_save import save_embedder
    from inlay.embed.pool import CLS, Last, Mean, Pool
    from inlay.embed.torch_backend import TorchBackend

    pools: dict[Place, Pool] = {"first": CLS(), "last": Last(), "mean": Mean()}
    if pool not in pools:
        return save_model

    def save(model: Model, place: Path, *, tokenizer: Tokenizer, force: bool) -> None:
        training = model.training
        embedder = ContextEmbedder(tokenizer, TorchBackend(model), EmbedConfig(pools=(pools[pool],)))
        save_embedder(embedder, place, force=force)
        model.train(training)

    return save


class Work:
    """The stages before the model, each a function that fills a folder."""

    def __init__(self, config: Pretrain, corpus: Corpus | None) -> None:
        self.config, self.corpus = config, corpus

    def texts(self) -> Iterator[str]:
        """The texts that are learnt from: not those that are held out, of which nothing is to be known."""
        assert self.corpus is not None, "a stage that is not done yet reads the source"
        below, documents = border(read(self.corpus, self.config.seed), self.config.data.held_out)
        return (document.text for document in documents if document.key >= below)

    def tokenizer(self, part: Path) -> None:
        """Train the tokenizer, or take over the one that is given."""
        config = self.config.tokenizer
        assert config is not None
        found = Tokenizer.load(config.path) if isinstance(config, Given) else Tokenizer.train(self.texts(), config)
        found.save(part)

    def vectors(self, tokenizer: Tokenizer) -> Callable[[Path], None]:
        """Train word vectors as wide as the token table."""
        init = self.config.init.token
        assert init is not None

        def make(part: Path) -> None:
            dim = self.config.model.fitted(self.config.architecture(), tokenizer, self.config.length).d_embed
            segment = segmenter(language(self.texts()))
            words = (segment(sentence) for text in self.texts() for sentence in sentences(text))
            asked = {**vars(init.vectors), "dim": dim, "seed": self.config.seed}
            train_vectors(words, Word2Vec(**asked)).save(part / VECTORS)

        return make

    def shards(self, tokenizer: Tokenizer, folder: Path) -> Shards:
        """The token shards, made unless they are there."""
        if self.corpus is None:
            return Shards.open(folder, tokenizer)
        config = self.config
        asked = ShardsConfig(
            words=config.wants_words, sentences=config.wants_sentences, held_out=config.data.held_out, seed=config.seed
        )
        return write_shards(self.corpus, tokenizer, folder, asked)

    def packed(self, shards: Shards, split: Split) -> Batches:
        """The batches of a split."""
        data = self.config.data
        assert data.packing is not None
        return pack(shards, data.packing, split=split, per_batch=data.batch, seed=self.config.seed)


def model_of(config: Pretrain, tokenizer: Tokenizer, vectors: WordVectors | None) -> ModelConfig:
    """The architecture for this tokenizer, these texts and these vectors; one that can be saved."""
    found = config.model.fitted(config.architecture(), tokenizer, config.length)
    if config.init.token is not None and vectors is not None:
        found = for_vectors(found, vectors.dim, config.init.token.freeze, str(config.init.token.path))
    check_savable(found)
    return found


def objective_of(config: Pretrain, model: ModelConfig, tokenizer: Tokenizer) -> Objective:
    """The objective's module; InputError where it does not fit."""
    assert config.objective is not None
    objective = config.objective.build(model, tokenizer, seed=config.seed)
    if config.init.frequencies:
        need_bias(objective.teller.config if objective.teller else model)
    if config.init.neighbours:
        for one in (model, *([objective.teller.config] if objective.teller else [])):
            need_neighbours(one)
    return objective


def trainer_of(
    config: Pretrain, model: Model, tokenizer: Tokenizer, shards: Shards, world: World | None = None
) -> Trainer:
    """The trainer of the model on the shards' training text; the model and who tells tokens begin as `init` says."""
    batches = Work(config, None).packed(shards, "train")
    objective = objective_of(config, model.config, tokenizer)
    if config.init.neighbours:
        objective.to(model.device).bind(model)
        for one in (model, objective.teller):
            if one is not None:
                look_at_neighbours(one)
    if config.init.frequencies:
        from_frequencies(objective.teller or model, shards.counts())
    return Trainer(model, objective, batches, config.train, seed=config.seed, world=world)


def heldout_entropy(shards: Shards) -> float | None:
    """Of the unigram distribution of the held-out tokens, in nats: what knowing frequencies alone would cost."""
    counts = shards.documents("heldout").counts()
    return entropy(counts) if counts.any() else None


def _check(config: Pretrain) -> None:
    """InputError where model, objective and tokenizer do not fit, found before a tokenizer is trained.

    A tokenizer of bytes with the same special tokens stands in for one that is yet to be.
    """
    kind = config.tokenizer
    assert kind is not None
    stand_in = (
        Tokenizer.load(kind.path)
        if isinstance(kind, Given)
        else Tokenizer(learn(iter(["a"]), Bytes(specials=kind.specials)))
    )
    vectors = WordVectors.load(config.init.token.path) if config.init.token and config.init.token.path else None
    model = model_of(config, stand_in, vectors)
    objective_of(config, model, stand_in)


def _first_weights(model: Model, config: Pretrain, shards: Shards, vectors: WordVectors | None) -> None:
    if config.init.model is not None:
        from_model(model, config.init.model)
    if config.init.token is not None and vectors is not None:
        from_vectors(model, vectors, shards.tokenizer, config.init.token, config.seed)
    if config.train.ema:
        say("note: model/ will hold the average of the weights")
