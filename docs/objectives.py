"""The pictures of docs/pretraining*.md: one text as each objective shows it to a model, drawn by the objective itself.

    python docs/objectives.py        draw objectives.png and objectives-zh.png anew (a minute; needs inlay[viz,zh])

Nothing is arranged by hand: a tokenizer trained on examples/ cuts the text, shards keep it, and each objective's own
`draw` says what is seen and asked. Of the seeds, the first is taken that shows what there is to be seen. What is said
in Chinese is in objectives.zh.json, by the English words.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from panels import Panel, Row, draw

from inlay import Corpus, CorpusConfig, Tokenizer
from inlay.batch import Batch
from inlay.model import mask
from inlay.model.model import Model, ModelConfig
from inlay.model.packed import Packed
from inlay.model.presets import preset, resize
from inlay.objective.causal import CausalLM
from inlay.objective.contrastive import Contrastive, Dropout
from inlay.objective.corruptions import Deletion, Infilling, Masking, Rotation, SentencePermutation
from inlay.objective.denoise import Denoise
from inlay.objective.distill import Distill
from inlay.objective.masked import MaskedLM
from inlay.objective.masks import Spans, WholeWord
from inlay.objective.objective import Objective
from inlay.objective.permuted import PermutedLM
from inlay.objective.replaced import ReplacedObjective, ReplacedToken, sample
from inlay.objective.sentence_pairs import NextSentence, SentenceOrder
from inlay.objective.spans import SpanCorruption
from inlay.objective.teacher import Teacher
from inlay.objective.tsdae import TSDAE
from inlay.text.pack import Rows, SentencePairs, pack
from inlay.text.shards import Shards, ShardsConfig, write_shards
from inlay.tokenize.kinds import WordPiece
from inlay.train.optim import AdamW
from inlay.train.trainer import TrainConfig, Trainer

HERE = Path(__file__).parent
TEXTS = {
    "en": (
        "kitchen",
        "Let the dough rest in a bowl until it has doubled. Then bake it in an iron pot.",
        "Boil the egg for ten minutes.",
    ),
    "zh": ("tea", "绿茶要用温水冲泡，时间不要太长。红茶可以用开水。", "茶叶怕潮，也怕光。"),
}
"""Where the tokenizer learns, the text that all panels show, and another document."""
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"<extra_id_{number}>" for number in range(8)))
TITLE = "What a model sees, and what it is asked"
NOTES = (
    "dark: hidden · orange: another token · yellow: as it was, and asked · light blue: to be told",
    "violet: of the second segment, or of the teacher · squares: a row sees a column; brown ones are the encoder's",
)
SEEDS = 20_000
"""That are looked through."""
STEPS = 800
"""That the generator and the teacher learn for."""

Words = Callable[[str], str]
"""English to the language of the picture."""


class Scene:
    """One text in one language, and all that objectives draw of it."""

    def __init__(self, language: str, folder: Path) -> None:
        source, text, other = TEXTS[language]
        self.zh = language == "zh"
        corpus = Corpus(HERE.parent / "examples" / source, config=CorpusConfig(unit="section"))
        self.tokenizer = Tokenizer.train(corpus.texts(), WordPiece(size=900, specials=SPECIALS))
        self.names = {number: token for token, number in self.tokenizer.vocabulary.items()}
        self.batch = pack(self._shards([text], folder / "one"), Rows(length=64, across=False), per_batch=1).batch(0)
        self.pair = self._shards([text, other], folder / "pairs")
        self.corpus = pack(
            write_shards(corpus, self.tokenizer, folder / "all", ShardsConfig(held_out=0.0)),
            Rows(length=64),
            per_batch=8,
        )

    def _shards(self, texts: list[str], folder: Path) -> Shards:
        path = folder.with_suffix(".jsonl")
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        config = ShardsConfig(words=True, sentences=True, held_out=0.0, lang="zh" if self.zh else "en")
        return write_shards(Corpus(path), self.tokenizer, folder, config)

    def pairs(self, other: str, seed: int) -> Batch:
        """A pair of both documents, with another B of that kind in every second one."""
        return pack(self.pair, SentencePairs(length=40, other=other, short=0.0), per_batch=1, seed=seed).batch(0)

    @cached_property
    def electra(self) -> ReplacedObjective:
        """ELECTRA's objective after some steps on the examples, so that its generator has learned a little."""
        config = self.model("electra-tiny")
        objective = ReplacedToken().build(config, self.tokenizer)
        self._learn(config.build(seed=0), objective)
        objective.generator.eval()
        return objective

    @cached_property
    def teacher(self) -> Teacher:
        """A model that has learned masked tokens of the examples."""
        config = self.model("bert-tiny")
        model = config.build(seed=0)
        self._learn(model, MaskedLM(p=0.3).build(config, self.tokenizer))
        return Teacher(model, self.tokenizer)

    def _learn(self, model: Model, objective: Objective) -> None:
        for _ in Trainer(model, objective, self.corpus, TrainConfig(steps=STEPS, optimizer=AdamW(lr=4e-3))):
            pass

    def model(self, name: str) -> ModelConfig:
        """A tiny preset with this vocabulary."""
        return resize(preset(name), 2, 64, 2, 128, vocab_size=self.tokenizer.size)

    def words(self, ids: Sequence[int]) -> list[str]:
        return [self.names[int(number)] for number in ids]

    def cells(self, ids: Sequence[int], kinds: dict[int, str] | None = None) -> tuple[tuple[str, str], ...]:
        """Tokens with their kinds: special tokens are known by their names, others by `kinds`."""
        found = []
        for place, token in enumerate(self.words(ids)):
            plain = "special" if token in SPECIALS[:4] else "mask" if token in SPECIALS else "text"
            found.append((token, (kinds or {}).get(place, plain)))
        return tuple(found)

    def seek(self, objective: Any, batch: Any, good: Callable[[Any], bool]) -> Any:
        """The draw of the first seed that is good."""
        for seed in range(SEEDS):
            drawn = objective.draw(batch, np.random.default_rng(seed))
            if good(drawn):
                return drawn
        raise AssertionError(f"no seed below {SEEDS} shows what {type(objective).__name__} does")

    def fates(self, example: Any) -> dict[int, str]:
        """The chosen places of a masked example: hidden, another token, or as they were."""
        seen = example.batch.ids[example.at]
        hidden = self.tokenizer.id("[MASK]")
        kinds = np.where(seen == hidden, "mask", np.where(seen == example.labels, "kept", "other"))
        return dict(zip(example.at.tolist(), kinds.tolist(), strict=True))


def panels(scene: Scene, say: Words) -> list[Panel]:
    """All objectives, in the order of the page."""
    return [
        *_masked(scene, say),
        *_pairs(scene, say),
        _causal(scene, say),
        _permuted(scene, say),
        _spans(scene, say),
        _denoise(scene, say),
        _replaced(scene, say),
        _contrastive(scene, say),
        _tsdae(scene, say),
        _distilled(scene, say),
    ]


def _masked(scene: Scene, say: Words) -> list[Panel]:
    grids: tuple[tuple[str, Any], ...] = ((say("sees"), np.ones((8, 8), bool)),)
    ways = (
        (MaskedLM(), "MaskedLM", "15 % of the tokens: 80 % of them hidden, 10 % another token, 10 % as they are", 3),
        (MaskedLM(masks=WholeWord()), "MaskedLM, WholeWord", "a word is chosen with all its pieces", 1),
        (MaskedLM(masks=Spans(), p=0.3), "MaskedLM, Spans", "runs of words, one fate for all of a run; here p=0.3", 1),
    )
    found = []
    for config, name, note, fates in ways:
        objective = config.build(scene.model("bert-tiny"), scene.tokenizer)
        drawn = scene.seek(objective, scene.batch, lambda one, fates=fates, name=name: _shows(scene, one, name, fates))
        found.append(Panel(name, say(note), _asked(scene, drawn, say), grids))
        grids = ()  # the others see the same
    return found


def _shows(scene: Scene, drawn: Any, name: str, fates: int) -> bool:
    """Whether a draw has so many fates; with words, all are hidden, in two places; with spans, a run of three."""
    runs = np.split(drawn.at, np.flatnonzero(np.diff(drawn.at) != 1) + 1)
    longest = max(map(len, runs))
    hidden = list(scene.fates(drawn).values()).count("mask")
    enough = len(set(scene.fates(drawn).values())) >= fates and hidden >= 1
    if "Spans" in name:
        return enough and longest >= 4 and len(runs) > 1 and hidden * 2 > len(drawn.at)
    if "Whole" in name:
        pieces = np.array([scene.zh or token.startswith("##") for token in scene.words(drawn.labels)])
        inside = np.diff(drawn.at, prepend=-2) == 1
        return hidden == len(drawn.at) and len(runs) <= 2 and min(map(len, runs)) >= 2 and pieces[inside].all()
    return enough and longest == 1 and len(drawn.at) >= 3


def _asked(scene: Scene, drawn: Any, say: Words, *kinds: str) -> tuple[Row, ...]:
    """What a masked example shows, and under the chosen places what stood there."""
    batch = drawn.batch
    seen = scene.cells(batch.ids, scene.fates(drawn))
    if batch.segments is not None:
        second = zip(seen, batch.segments.tolist(), strict=True)
        seen = tuple((token, "second" if part and kind == "text" else kind) for (token, kind), part in second)
    told = tuple((token, "asked") for token in scene.words(drawn.labels))
    return Row(say("sees"), seen), Row(say("tells"), told, tuple(drawn.at.tolist()))


def _pairs(scene: Scene, say: Words) -> list[Panel]:
    found = []
    notes = (
        (NextSentence(), "document", "does B follow A? every second B is of another document: here", "does not follow"),
        (SentenceOrder(), "swapped", "are A and B in order? every second pair is swapped: here", "swapped"),
    )
    for config, other, note, answer in notes:
        batch = next(one for seed in range(SEEDS) if (one := scene.pairs(other, seed)).labels[0] == 1)
        objective = config.build(scene.model("bert-tiny"), scene.tokenizer)
        drawn = scene.seek(objective, batch, lambda one: list(scene.fates(one.masked).values()).count("mask") >= 2)
        seen, told = _asked(scene, drawn.masked, say)
        told = Row(told.label, ((f"1: {say(answer)}", "asked"), *told.cells), (0, *told.under))
        found.append(Panel(type(config).__name__, say(note), (seen, told)))
    return found


def _causal(scene: Scene, say: Words) -> Panel:
    drawn = CausalLM().build(scene.model("gpt2-tiny"), scene.tokenizer).draw(scene.batch, np.random.default_rng(0))
    told = tuple((token, "asked") for token in scene.words(drawn.labels))
    rows = Row(say("sees"), scene.cells(drawn.batch.ids)), Row(say("tells"), told, tuple(drawn.at.tolist()))
    return Panel("CausalLM", say("each place tells the token after it"), rows, ((say("sees"), mask.causal(8).numpy()),))


def _permuted(scene: Scene, say: Words) -> Panel:
    objective = PermutedLM().build(scene.model("xlnet-tiny"), scene.tokenizer)
    drawn = scene.seek(objective, scene.batch, lambda one: len(one.at) >= 4)
    ranks = tuple((str(rank), "asked" if rank else "no") for rank in drawn.rank.tolist())
    kinds = dict.fromkeys(drawn.at.tolist(), "kept")
    rows = (
        Row(say("text"), scene.cells(drawn.batch.ids, kinds)),
        Row(say("order"), ranks, tuple(range(len(ranks)))),
    )
    at = drawn.at
    near = sorted({*at.tolist(), *(at - 1).tolist()})[:8]
    rank = torch.from_numpy(drawn.rank[near])
    grids = [(say(name), mask.permutation(rank, own=own).numpy()) for name, own in (("rows", True), ("asked", False))]
    note = "a sixth is told, in a drawn order: each from all of order 0 and from those told before it"
    return Panel("PermutedLM", say(note), rows, tuple(grids))


def _spans(scene: Scene, say: Words) -> Panel:
    config = SpanCorruption(share=0.25)
    objective = config.build(scene.model("t5-v1.1-tiny"), scene.tokenizer)
    drawn = scene.seek(objective, scene.batch, lambda one: len(one.labels) > 8)
    rows = Row(say("reads"), scene.cells(drawn.source.ids)), Row(say("writes"), _written(scene, drawn.labels))
    note = "each hidden run gives way to one sentinel, and is written after it; here share=0.25"
    return Panel("SpanCorruption", say(note), rows, ((say("reads | writes"), _crossing()),))


def _written(scene: Scene, labels: Any) -> tuple[tuple[str, str], ...]:
    return tuple((token, "asked" if kind == "text" else kind) for token, kind in scene.cells(labels))


def _crossing(memory: int = 5, rows: int = 5) -> Any:
    """What a decoder's rows see: the whole memory, and themselves up to each."""
    return np.concatenate([np.full((rows, memory), 2), mask.causal(rows).numpy()], 1)


def _denoise(scene: Scene, say: Words) -> Panel:
    model = scene.model("bart-tiny")
    rows = []
    for corruption in (Masking(), Deletion(), Infilling(), SentencePermutation(), Rotation()):
        objective = Denoise(corruptions=(corruption,)).build(model, scene.tokenizer)
        text = scene.batch.ids.tolist()
        drawn = scene.seek(objective, scene.batch, lambda one, text=text: one.source.ids.tolist() != text)
        name = type(corruption).__name__
        rows.append(Row(name, scene.cells(drawn.source.ids)))
    rows.append(Row(say("writes"), _written(scene, drawn.labels)))
    return Panel("Denoise", say("five ways to spoil a text; always the whole of it is written"), tuple(rows))


def _replaced(scene: Scene, say: Words) -> Panel:
    objective = scene.electra
    generator = objective.generator
    for seed in range(SEEDS):
        drawn = objective.draw(scene.batch, np.random.default_rng(seed))
        text = Packed.of(drawn.batch, torch.device("cpu"))
        ids = torch.from_numpy(drawn.masked.batch.ids.astype(np.int64))
        rows = generator(Packed(ids, text.layout, text.segments))[drawn.masked.at]
        filled = sample(generator, rows.detach(), text.layout, drawn.seed).numpy()
        wrong = filled != drawn.masked.labels
        if len(wrong) >= 4 and 0 < wrong.sum() < len(wrong):
            break
    told = drawn.batch.ids.copy()
    told[drawn.masked.at] = filled
    kinds = {
        place: "other" if is_wrong else "kept" for place, is_wrong in zip(drawn.masked.at.tolist(), wrong, strict=True)
    }
    answers = tuple(("1", "other") if kinds.get(place) == "other" else ("0", "no") for place in range(len(told)))
    rows = (
        Row(say("generator"), scene.cells(drawn.masked.batch.ids, scene.fates(drawn.masked))),
        Row(say("sees"), scene.cells(told, kinds), tuple(range(len(told)))),
        Row(say("replaced?"), answers, tuple(range(len(told)))),
    )
    note = "a small model fills the holes; the model tells of every token if it was replaced. A right guess counts as 0"
    return Panel("ReplacedToken", say(note), rows)


def _contrastive(scene: Scene, say: Words) -> Panel:
    ids = scene.batch.ids[1:-1].tolist()
    ends = [place + 1 for place, token in enumerate(scene.words(ids)) if token in ",.，。"]
    texts = [part for part in np.split(np.array(ids), ends) if len(part)]
    batch = scene.tokenizer.encode([scene.tokenizer.decode(part.tolist()) for part in texts], specials=True)
    objective = Contrastive(positives=Dropout()).build(scene.model("bert-tiny"), scene.tokenizer)
    drawn = objective.draw(batch, np.random.default_rng(0))
    own = np.eye(drawn.pairs, dtype=int) * 2
    rows = tuple(
        Row(f"{letter}, {letter}′", scene.cells(batch.ids[start : start + size]))
        for letter, start, size in zip("abcdefgh", batch.starts, batch.lengths, strict=False)
    )
    note = "each text is read twice, with other dropout; of all the second readings each must find its own"
    return Panel("Contrastive, Dropout", say(note), rows, ((say("finds"), own),))


def _tsdae(scene: Scene, say: Words) -> Panel:
    objective = TSDAE().build(scene.model("bert-tiny"), scene.tokenizer)
    drawn = scene.seek(objective, scene.batch, lambda one: True)
    rows = (
        Row(say("reads"), scene.cells(drawn.source.ids, {0: "vector"})),
        Row(say("writes"), _written(scene, drawn.labels)),
    )
    note = "of every five tokens three are left out; one vector of the rest is all that the writer knows"
    return Panel("TSDAE", say(note), rows, ((say("vector | writes"), _crossing(1, 7)),))


def _distilled(scene: Scene, say: Words) -> Panel:
    hidden = scene.tokenizer.id("[MASK]")
    teacher = scene.teacher
    objective = Distill(task=MaskedLM()).build(teacher.model.config, scene.tokenizer, teacher=teacher)
    drawn = scene.seek(objective, scene.batch, lambda one: (one.batch.ids[one.at] == hidden).all())
    reading = teacher.read(drawn.batch, Packed.of(drawn.batch, torch.device("cpu")), states=False)
    logits = teacher.model.read("language", reading.rows[drawn.at], reading.packed.layout).float()
    rows = [
        Row(say("sees"), scene.cells(drawn.batch.ids, dict.fromkeys(drawn.at.tolist(), "mask"))),
        Row(
            say("text's"),
            tuple((f"{token} 1", "asked") for token in scene.words(drawn.labels)),
            tuple(drawn.at.tolist()),
        ),
    ]
    for number, place in enumerate(drawn.at[:2].tolist()):
        for temperature in (1.0, 2.0):
            shares, tokens = (one.tolist() for one in (logits[number] / temperature).softmax(-1).topk(3))
            said = "  ".join(f"{token} {share:.0%}" for token, share in zip(scene.words(tokens), shares, strict=True))
            rows.append(Row(say("teacher's") + f" T={temperature:g}", ((f"{said} …", "second"),), (place,)))
    return Panel(
        "Distill", say("not the text's token alone is to be told, but all that the teacher holds likely"), tuple(rows)
    )


def main() -> None:
    """Draw both pictures."""
    chinese = json.loads((HERE / "objectives.zh.json").read_text(encoding="utf-8"))
    for language, name, say in (("en", "objectives", str), ("zh", "objectives-zh", chinese.__getitem__)):
        with tempfile.TemporaryDirectory() as folder:
            shown = panels(Scene(language, Path(folder)), say)
        draw(shown, HERE / f"{name}.png", say(TITLE), list(map(say, NOTES)))


if __name__ == "__main__":
    main()
