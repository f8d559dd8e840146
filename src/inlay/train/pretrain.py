"""Pretraining: raw text in, a trained model out, in one run folder that can be killed at any moment and gone on with.

tokenizer → word vectors, where the table begins with them → shards → model → the steps → model/ and metrics.json.
Each stage is a folder that is there whole or not at all.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inlay.config import to_tree
from inlay.errors import InputError
from inlay.files import claim_output, lock, write_text
from inlay.live import say
from inlay.model.model import Model, ModelConfig
from inlay.objective.objective import Objective
from inlay.stages import Run as Stages
from inlay.stages import clear
from inlay.text.blocks import border, read
from inlay.text.corpus import Corpus
from inlay.text.pack import Batches, pack
from inlay.text.pairs import sentences
from inlay.text.shardfile import SHARDS, Shards, Split
from inlay.text.shards import ShardsConfig, entropy, write_shards
from inlay.text.words import language, segmenter
from inlay.tokenize.kinds import Bytes
from inlay.tokenize.tokenizer import Tokenizer
from inlay.tokenize.training import learn
from inlay.train.architecture import check_savable
from inlay.train.begin import for_vectors, from_frequencies, from_model, from_vectors, need_bias
from inlay.train.checkpoint import sweep
from inlay.train.recipe import Given, Pretrain
from inlay.train.run import CHECKPOINTS, Run, find
from inlay.train.trainer import Trainer
from inlay.vectors.word2vec import Word2Vec
from inlay.vectors.word2vec import train as train_vectors
from inlay.vectors.wordvectors import WordVectors

CONFIG, VECTORS = "config.yaml", "vectors.safetensors"
_RUN = "run.json"


def pretrain(config: Pretrain, *, resume: str | Path | None = None, force: bool = False) -> dict[str, Any]:
    """Train the model and give what is in its metrics.json; the folder is `config.out`.

    `resume` goes on with a run that broke off: `auto` from its newest sound checkpoint, or from the first step where
    there is none; or from the checkpoint that is named. A resumed run ends as an unbroken one, bit for bit. Raises
    InputError for a folder that holds something, unless `resume` or `force` (begin anew) is given, for one that is of
    another recipe, and before anything is written for all that does not go together.
    """
    config = config.resolved()
    out = claimed(config.out, resume is not None, force)
    device = config.train.place()
    shards = config.data.shards or out / "shards"
    made = [out / "tokenizer", shards / SHARDS, *([out / "vectors"] if config.trains_vectors else [])]
    done = resume is not None and all(path.exists() for path in made)
    corpus = None if done or not config.data.sources else Corpus(*config.data.sources, config=config.data.corpus)
    _check(config)
    named = find(out, resume) if resume != "auto" else None
    with lock(out), nothing_left(out):
        if force:
            clear(out)
        sweep(out)
        sweep(out / CHECKPOINTS)
        stages = Stages(out, {"inlay": _version(), "config": config.identity()}, resume=resume is not None)
        begin = named or find(out, resume)
        if begin is not None:
            begin.check(config.train)
        write_yaml(out / CONFIG, to_tree(config))
        work = Work(config, corpus)
        tokenizer = Tokenizer.load(stages.stage("tokenizer", work.tokenizer))
        vectors = None
        if config.init.token is not None:
            vectors = WordVectors.load(
                config.init.token.path or stages.stage("vectors", work.vectors(tokenizer)) / VECTORS
            )
        held = work.shards(tokenizer, shards)
        model_config = model_of(config, tokenizer, vectors)
        model = model_config.build(seed=config.seed)
        if begin is None:
            _first_weights(model, config, held, vectors)
        trainer = trainer_of(config, model.to(device), tokenizer, held)
        run = Run(
            out,
            trainer,
            config.train,
            work.packed(held, "heldout") if held.facts.heldout.documents else None,
            begin=begin,
            label="pretrain",
        )
        for _ in run:
            pass
        return run.finish(tokenizer, unigram_entropy=heldout_entropy(held))


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
    if config.init.frequencies:
        need_bias(found)
    check_savable(found)
    return found


def objective_of(config: Pretrain, model: ModelConfig, tokenizer: Tokenizer) -> Objective:
    """The objective's module; InputError where it does not fit."""
    assert config.objective is not None
    return config.objective.build(model, tokenizer, seed=config.seed)


def trainer_of(config: Pretrain, model: Model, tokenizer: Tokenizer, shards: Shards) -> Trainer:
    """The trainer of the model on the shards' training text."""
    batches = Work(config, None).packed(shards, "train")
    objective = objective_of(config, model.config, tokenizer)
    return Trainer(model, objective, batches, config.train, seed=config.seed)


def heldout_entropy(shards: Shards) -> float | None:
    """Of the unigram distribution of the held-out tokens, in nats: what knowing frequencies alone would cost."""
    counts = np.zeros(shards.facts.size, np.int64)
    for part in shards.documents("heldout"):
        counts += np.bincount(part.tokens, minlength=len(counts))
    return entropy(counts) if counts.any() else None


def write_yaml(path: Path, tree: Any) -> None:
    """The tree as YAML, its keys in order."""
    import yaml

    write_text(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120))


def claimed(out: Path | None, resume: bool, force: bool) -> Path:
    """The run folder, once it is certain that the run may be written there; InputError for one that holds another."""
    if out is None:
        raise InputError("out is missing; name the run folder: out=DIR")
    if not (out / _RUN).is_file():
        if out.is_dir() and not any(entry for entry in out.iterdir() if not entry.name.startswith(".")):
            return out  # killed before it began
        return claim_output(out, force=False)
    if not resume and not force:
        raise InputError(f"{out} is a run that was begun; --resume auto goes on with it, --force begins anew")
    return claim_output(out, force=True)


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
    if config.init.frequencies:
        from_frequencies(model, shards.counts())
    if config.train.ema:
        say("note: model/ will hold the average of the weights")


@contextlib.contextmanager
def nothing_left(out: Path) -> Iterator[None]:
    """Within it, a run that ends before its first stage is done leaves no folder behind."""
    try:
        yield
    except BaseException:
        if not any(entry.is_dir() for entry in out.iterdir()):
            shutil.rmtree(out, ignore_errors=True)
        raise


def _version() -> str:
    from inlay import __version__

    return __version__
