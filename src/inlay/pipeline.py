"""The stages of `fit`, in order; each reads what the ones before left on disk."""

# N documents, V tokens

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inlay.config import from_tree, to_tree
from inlay.embed.rungs import RUNGS, Material, rung
from inlay.embed.static import StaticEmbedder
from inlay.embed.tune import Tune
from inlay.errors import InputError
from inlay.evaluate import choice as choosing
from inlay.evaluate.card import card
from inlay.evaluate.heldout import hold_out
from inlay.evaluate.report import html
from inlay.evaluate.retrieval import Scores
from inlay.files import atomic_folder, read_json, sha256, write_checksums, write_json, write_text
from inlay.live import Live, say
from inlay.search.searcher import Searcher
from inlay.stages import COST, Run
from inlay.text.check import check
from inlay.text.corpus import Corpus
from inlay.text.dedup import dedup
from inlay.text.document import Document
from inlay.text.pairs import Pair, mine_all
from inlay.text.words import LANGUAGES, is_unspaced, segmenter
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.vocabulary import Encoded, Vocabulary
from inlay.vectors.word2vec import Negative, Word2Vec, train
from inlay.vectors.wordvectors import WordVectors

_WORDS_A_SECOND = 400_000
"""Of skip-gram training, as the cost model has it; machines differ, results must not."""
_DOCUMENTS_A_SECOND = 700
"""Of everything that a rung does with a document, likewise."""
_FEWEST_WORDS = 5_000
"""Words of text below which word vectors are noise."""
_MAP = 1_000
_SHOWN = 5


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


class Pipeline:
    """From documents to the finished folder, a stage at a time."""

    def __init__(self, run: Run, config: FitConfig, sources: Sequence[str] = ()) -> None:
        self.run, self.config, self.sources = run, config, list(sources)

    def make(self, corpus: Corpus, background: Corpus | None, out: Path) -> dict[str, Any]:
        """Run the stages that are not yet done, put the model folder at `out`, and return its inlay.json."""
        read = self.run.stage("read", lambda part: self._read(corpus, part))
        data = read_json(read / "check.json")
        self.lang = data["language"]
        everything = list(_stored(read / "documents.jsonl"))
        distinct = [everything[at] for at in read_json(read / "distinct.json")]
        self.held = hold_out(distinct, seed=self.config.seed, most=self.config.held_out)
        self.distinct = distinct

        words = self.run.stage("tokenizer", lambda part: self._tokenizer(background, part))
        self.tokenizer = Tokenizer.load(words)
        vectors = self.run.stage("word vectors", lambda part: self._vectors(background, part)) / _VECTORS
        self.vectors = WordVectors.load(vectors) if vectors.exists() else None

        bench = choosing.Bench(self.held, self.lang)
        rows, (dense, why), losses = self._dense_rungs(bench)
        fusion = read_json(self.run.stage("fusion", lambda part: self._fusion(bench, dense, why, part)) / "result.json")
        choice = from_tree(choosing.Choice, fusion["choice"])
        bm25, *fused = fusion["rows"]

        model = self.run.stage("model", lambda part: self._model(choice.dense, part))
        index = self.run.stage("index", lambda part: self._index(model, everything, choice, part))
        tree = {
            "inlay": _version(),
            "lang": self.lang,
            "config": to_tree(self.config),
            "data": data | {"kept": len(distinct), "sha256": sha256(read / "documents.jsonl")},
            "held_out": {
                "documents": len(self.held.positions),
                "index": len(self.held.texts),
                "queries": {kind: len(queries) for kind, queries in self.held.queries.items()},
            },
            "ladder": [bm25, *rows, *fused],
            "choice": choice.tree(),
            "losses": losses,
            "stages": self.run.costs,
            **read_json(index / "shown.json"),
        }
        self._assemble(model, index, tree, out)
        return tree

    # -- text ----------------------------------------------------------------------------------------------------------

    def _read(self, corpus: Corpus, part: Path) -> None:
        with Live("read", unit="documents") as live:
            documents = list(live.over(corpus))
        lang = None if self.config.lang == "auto" else self.config.lang
        found = check(Corpus(documents), lang=lang, report=True)
        if not found.trainable:
            raise InputError(f"this text cannot be trained on: {found.problems[0]}")
        for problem in found.problems:
            say(f"note: {problem}")
        place = {id(document): at for at, document in enumerate(documents)}
        filled = [document for document in documents if document.text]
        write_json(part / "distinct.json", [place[id(document)] for document in dedup(filled)])
        with open(part / "documents.jsonl", "w", encoding="ascii", newline="\n") as file:
            for document in documents:
                file.write(json.dumps([document.id, document.title, document.text]) + "\n")
        write_json(part / "check.json", {"sources": self.sources, **found.to_tree()})

    def _tokenizer(self, background: Corpus | None, part: Path) -> None:
        """Words of the text are whole tokens, the most frequent ones first; then those of the background."""
        segment = segmenter(self.lang)
        own: Counter[str] = Counter()
        with Live("count words", len(self.distinct), "documents") as live:
            for document in live.over(self.distinct):
                own.update(segment(document.full))
        words = [word for word, _ in sorted(own.items(), key=lambda item: (-item[1], item[0]))][: self.config.words]
        if background is not None:
            general: Counter[str] = Counter()
            with Live("count background", unit="documents") as live:
                for text in live.over(background.texts()):
                    general.update(segment(text))
            most = sorted(general.items(), key=lambda item: (-item[1], item[0]))
            words += [word for word, count in most if count > 4 and word not in own][: self.config.words - len(words)]
        Tokenizer.from_vocabulary(words).save(part)

    def _vectors(self, background: Corpus | None, part: Path) -> None:
        secret = set(self.held.positions)
        texts = [document.full for at, document in enumerate(self.distinct) if at not in secret]
        encoded = self._encoded(texts, background)
        n_words = int(encoded.vocabulary.counts.sum())
        config = self.config.vectors
        noise = config.output.words if isinstance(config.output, Negative) else 1
        if n_words < _FEWEST_WORDS or len(encoded.vocabulary) <= 2 * noise:
            say(f"word vectors are left out: {n_words:,} words are too few")
            return
        affordable = int(self._seconds(0.25) * _WORDS_A_SECOND / n_words)
        config = replace(config, epochs=max(1, min(config.epochs, affordable)), seed=self.config.seed)
        train(encoded, config).save(part / _VECTORS)

    def _encoded(self, texts: Sequence[str], background: Corpus | None) -> Encoded:
        """The texts as numbers of words, a document a sentence; words rarer than `min_count` are left out."""
        tokens = [
            token.removeprefix("##") if is_unspaced(token.removeprefix("##")) else token
            for token in self.tokenizer.vocabulary
        ]
        # A Chinese word inside a run has a number of its own; here it is the word again.
        number = {token: at for at, token in reversed(list(enumerate(tokens)))}
        same = np.array([number[token] for token in tokens], np.int32)
        words = np.array([token.isalnum() for token in tokens])
        parts = []
        for block in _blocks(texts, background):
            batch = self.tokenizer.encode(block)
            ids = np.where(words[batch.ids], same[batch.ids], -2)
            parts.append(np.insert(ids, np.cumsum(batch.lengths), -1))
        ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        counts = np.bincount(ids[ids >= 0], minlength=len(tokens))
        kept = np.flatnonzero(counts >= self.config.vectors.min_count)
        kept = kept[np.argsort(-counts[kept], kind="stable")]
        renumber = np.full(len(tokens) + 2, -2, np.int32)
        renumber[kept] = np.arange(len(kept))
        renumber[-1] = -1
        ids = renumber[ids]
        vocabulary = Vocabulary(words=[tokens[at] for at in kept], counts=counts[kept])
        return Encoded(vocabulary=vocabulary, tokens=ids[ids > -2])

    # -- ladder --------------------------------------------------------------------------------------------------------

    def _dense_rungs(
        self, bench: choosing.Bench
    ) -> tuple[list[dict[str, Any]], tuple[str, str], dict[str, list[float]]]:
        """Every rung made and measured; the best one's name and why it is taken; the losses."""
        secret = set(self.held.positions)
        rest = [at for at in range(len(self.distinct)) if at not in secret]
        material = self._material(rest, beside=self.held.reduced, avoid=self.held.secret)
        rows: list[dict[str, Any]] = []
        losses: dict[str, list[float]] = {}
        results: dict[str, choosing.Result] = {}
        for step in RUNGS:
            if step.needs_vectors and self.vectors is None:
                continue
            if step.needs_pairs and len(material.documents) < 2:
                continue

            def make(part: Path, step: Any = step) -> None:
                table, loss = step.build(material)
                np.save(part / "table.npy", table, allow_pickle=False)
                result = bench.dense(StaticEmbedder(self.tokenizer, table))
                write_json(part / "result.json", {"losses": loss, "scores": _dump(result)})

            made = self.run.stage(f"rung {step.name}", make)
            found = read_json(made / "result.json")
            results[step.name] = _restore(found["scores"])
            if found["losses"]:
                losses[step.name] = found["losses"]
            seconds = self.run.costs[-1]["seconds"]
            rows.append(choosing.row(step.name, "dense", step.what, results[step.name], seconds=seconds))
        return rows, choosing.choose_dense(results), losses

    def _material(self, positions: Sequence[int], *, beside: Sequence[str] = (), avoid: Sequence[str] = ()) -> Material:
        most = int(self._seconds(0.25) * _DOCUMENTS_A_SECOND)
        rng = np.random.default_rng([self.config.seed, 4])
        if len(positions) > most:
            say(f"note: tables are fitted to {most:,} of {len(positions):,} documents; more --minutes take more")
            positions = sorted(rng.choice(np.array(positions), most, replace=False).tolist())
        limit = self.config.tune.steps * self.config.tune.batch
        pairs: list[Pair] = mine_all(self.distinct, positions, rng, limit=limit, avoid=avoid)
        texts = [*(self.distinct[at].full for at in positions), *beside]
        config = self.config
        return Material(
            self.tokenizer, self.lang, texts, pairs, self.vectors, dim=config.dim, tune=config.tune, seed=config.seed
        )

    def _fusion(self, bench: choosing.Bench, dense: str, why: str, part: Path) -> None:
        table = np.load(self.run.folder / f"rung {dense}" / "table.npy", allow_pickle=False)
        rows, choice = choosing.decide(bench, StaticEmbedder(self.tokenizer, table), dense, why, self.lang)
        write_json(part / "result.json", {"rows": rows, "choice": to_tree(choice)})

    # -- result --------------------------------------------------------------------------------------------------------

    def _model(self, dense: str, part: Path) -> None:
        """The chosen rung again, now from all documents, the held-out ones too."""
        table, _ = rung(dense).build(self._material(range(len(self.distinct))))
        StaticEmbedder(self.tokenizer, np.ascontiguousarray(table)).save(part)

    def _index(self, model: Path, documents: list[Document], choice: choosing.Choice, part: Path) -> None:
        """All documents with text, duplicates too: they may all be looked for."""
        embedder = StaticEmbedder.load(model)
        filled = [document for document in documents if document.text]
        searcher = Searcher.build(filled, embedder, lang=self.lang, fusion=choice.fusion, mode=choice.mode)
        searcher.save(part)
        queries = [query for kind in self.held.queries.values() for query in kind[:_SHOWN]]
        examples = [
            {"query": query, "hits": [{"title": h.title, "text": h.text[:300], "score": h.score} for h in hits]}
            for query, hits in zip(queries, searcher.search_all(queries, 3), strict=True)
        ]
        weights = (model / "model.safetensors").stat().st_size
        about = {"dim": embedder.dim, "tokens": len(embedder.table), "megabytes": round(weights / 1e6, 1)}
        write_json(part / "shown.json", {"examples": examples, "map": self._map(filled, embedder), "model": about})

    def _map(self, documents: list[Document], embedder: StaticEmbedder) -> dict[str, Any]:
        """The two directions in which a sample of the documents differs most."""
        rng = np.random.default_rng([self.config.seed, 5])
        chosen = sorted(rng.permutation(len(documents))[:_MAP].tolist())
        vectors = embedder.encode([documents[at].full for at in chosen])
        centred = vectors - vectors.mean(axis=0)
        directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))[1][:, ::-1][:, :2]
        flat = np.zeros((len(chosen), 2))  # a model of one dimension has no second direction
        flat[:, : directions.shape[1]] = centred @ directions
        x, y = flat.T.round(4).tolist()
        titles = [documents[at].title or documents[at].text[:60] for at in chosen]
        return {"x": x, "y": y, "titles": titles, "groups": None}

    def _assemble(self, model: Path, index: Path, tree: dict[str, Any], out: Path) -> None:
        with atomic_folder(out) as part:
            skip = shutil.ignore_patterns(COST, "checksums.json")
            shutil.copytree(model, part, dirs_exist_ok=True, ignore=skip)
            write_json(part / "inlay.json", tree)
            write_checksums(part)
            shutil.copytree(index / "search", part / "search")
            write_text(part / "README.md", card(tree))
            write_text(part / "report.html", html(tree))

    def _seconds(self, share: float) -> float:
        return self.config.minutes * 60 * share


_VECTORS = "vectors.safetensors"


def _stored(file: Path) -> Iterator[Document]:
    with open(file, encoding="ascii") as lines:
        for line in lines:
            id, title, text = json.loads(line)
            yield Document(id=id, title=title, text=text)


def _blocks(texts: Sequence[str], background: Corpus | None, size: int = 2048) -> Iterator[list[str]]:
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])
    block: list[str] = []
    for text in background.texts() if background is not None else ():
        block.append(text)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _dump(result: choosing.Result) -> dict[str, Any]:
    return {kind: {name: values.tolist() for name, values in scores.values.items()} for kind, scores in result.items()}


def _restore(tree: dict[str, Any]) -> choosing.Result:
    return {
        kind: Scores(
            queries=[str(at) for at in range(len(values["ndcg@10"]))],
            values={k: np.array(v) for k, v in values.items()},
        )
        for kind, values in tree.items()
    }


def _version() -> str:
    from inlay import __version__

    return __version__
