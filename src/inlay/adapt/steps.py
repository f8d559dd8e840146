"""The steps of an adaptation, each a stage that is there whole or not at all.

words of the text as tokens → learn from the text → pairs with hard negatives → learn from the pairs → points between
base and tuned weights measured, and the gate.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inlay.adapt.config import AdaptConfig
from inlay.adapt.gate import Examiner, Verdict, best
from inlay.adapt.interpolate import between
from inlay.adapt.negatives import with_hard
from inlay.adapt.pairs import Pairs, answered, apart_from, mined, split_alike, split_answered, with_labelled
from inlay.adapt.tuning import forget, learn_pairs, learn_text, place_of, prompts_of
from inlay.embed.context import ContextEmbedder
from inlay.embed.folder import Parts, tokenizer_of
from inlay.embed.folder_save import save_embedder
from inlay.errors import InputError
from inlay.evaluate.heldout import HeldOut
from inlay.files import read_json, write_json, write_text
from inlay.live import say
from inlay.stages import Run
from inlay.text.document import Document
from inlay.text.labelled import Alike, Answered

if TYPE_CHECKING:
    from inlay.model.model import Model
    from inlay.tokenize.tokenizer import Tokenizer

MODEL, _BROKEN = "model", "broken.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What is to be done, to what, and by what it is judged."""

    parts: Parts
    """The base."""
    documents: Sequence[Document]
    held: HeldOut
    lang: str
    config: AdaptConfig
    seed: int
    given: Sequence[Answered] | Sequence[Alike] = ()
    judged: Sequence[Alike] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Done:
    """What came of it; `share` and `model` are None where the base is kept."""

    share: float | None
    model: Path | None
    why: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    figures: tuple[dict[str, Any], ...]
    learnt: dict[str, int]


class Steps:
    """The stages, in order; each reads what the ones before left on disk."""

    run: Run

    def __init__(self, task: Task) -> None:
        self.task, self.config = task, task.config
        secret = set(task.held.positions)
        self.rest = [at for at in range(len(task.documents)) if at not in secret]
        held = task.held
        self.pairs: Pairs | None = None
        self.alike: list[Alike] = []
        out: list[Alike] = []
        if task.config.tuning is None:
            pass
        elif not task.given:
            self.pairs = mined(task.documents, held, task.config.pairs, seed=task.seed)
        elif isinstance(task.given[0], Alike):
            self.alike, out = split_alike(
                [one for one in task.given if isinstance(one, Alike)], held.secret, seed=task.seed
            )
        else:
            whole = answered([one for one in task.given if isinstance(one, Answered)])
            learnt, asked = split_answered(whole, seed=task.seed)
            held = with_labelled(held, asked)
            self.pairs = apart_from(learnt, held.secret)
        self.examiner = Examiner(held, task.lang, task.config.gate, judged=task.judged, alike=out)

    def make(self, run: Run) -> Done:
        """All stages, in the run's folder; nothing is trained where nothing could be shown of it."""
        self.run = run
        if short := self.examiner.enough:
            return self._told({"why": [f"the base is kept: {short}"], "rows": [], "figures": [], "share": None}, None)
        chosen = self._last()
        return self._told(read_json(chosen / "report.json"), chosen / MODEL)

    def _last(self) -> Path:
        run, config = self.run, self.config
        start = run.stage("vocabulary", self._grow) if config.vocabulary is not None else None
        text = run.stage("text", lambda part: self._learn_text(start, part)) if config.text is not None else start
        tuned = text
        if config.tuning is not None:
            pairs = run.stage("pairs", self._pairs)
            tuned = run.stage("tuned", lambda part: self._learn_pairs(start, text, pairs, part))
        assert tuned is not None, "a config without steps is refused"
        return run.stage("chosen", lambda part: self._choose(start, tuned, part))

    # -- stages --------------------------------------------------------------------------------------------------------

    def _grow(self, part: Path) -> None:
        """The base with tokens for words of the text; its vectors of texts without them are as before."""
        from inlay.model.grow import grow
        from inlay.tokenize.extend import extend

        assert self.config.vocabulary is not None
        model, tokenizer = self._load(None)
        extension = extend(tokenizer, (self.task.documents[at].full for at in self.rest), self.config.vocabulary)
        model, _ = grow(model, extension, seed=self.task.seed)
        self._save(model, extension.tokenizer, part)
        write_json(part / "learnt.json", {"words": len(extension.words)})

    def _learn_text(self, start: Path | None, part: Path) -> None:
        assert self.config.text is not None
        model, tokenizer = self._load(start)
        work = self.run.folder / "text.run"
        documents = [self.task.documents[at] for at in self.rest]
        with _broken(part):
            model = learn_text(
                model,
                tokenizer,
                documents,
                self.task.held.reduced,
                self.config.text,
                work,
                place=place_of(self.task.parts),
                max_length=self.config.max_length,
                threads=self.config.threads,
                seed=self.task.seed,
            )
            self._save(model, tokenizer, part)
        forget(work)

    def _pairs(self, part: Path) -> None:
        """What is learnt from, with the hard negatives that the base model finds."""
        tuning = self.config.tuning
        assert tuning is not None
        if self.pairs is None:
            write_json(part / "pairs.json", None)
            return
        pairs = self.pairs
        if tuning.negatives is not None:
            pairs = with_hard(
                pairs,
                self.task.documents,
                self.rest,
                self._embedder(*self._load(None)),
                self.task.lang,
                tuning.negatives,
                labelled=bool(self.task.given),
                seed=self.task.seed,
            )
        rows = zip(pairs.queries, pairs.positives, pairs.negatives, pairs.groups.tolist(), strict=True)
        write_text(part / "pairs.json", json.dumps(list(rows)))
        write_json(part / "learnt.json", {"negatives": sum(map(len, pairs.negatives))})

    def _learn_pairs(self, start: Path | None, text: Path | None, pairs: Path, part: Path) -> None:
        tuning = self.config.tuning
        assert tuning is not None
        if text is not None and (text / _BROKEN).is_file():
            write_json(part / _BROKEN, read_json(text / _BROKEN))
            return
        found = read_json(pairs / "pairs.json")
        if found is not None:
            queries, positives, negatives, groups = (list(column) for column in zip(*found, strict=True))
            learnt = Pairs(queries, positives, [tuple(one) for one in negatives], np.array(groups, np.int64))
        model, tokenizer = self._load(text)
        anchor = self._load(start)[0] if tuning.anchor else None
        work = self.run.folder / "tuned.run"
        with _broken(part):
            model = learn_pairs(
                model,
                anchor,
                tokenizer,
                self.alike if found is None else learnt,
                tuning,
                work,
                place=place_of(self.task.parts),
                prompts=prompts_of(self.task.parts),
                max_length=self.config.max_length,
                threads=self.config.threads,
                seed=self.task.seed,
            )
            self._save(model, tokenizer, part)
        forget(work)

    def _choose(self, start: Path | None, tuned: Path, part: Path) -> None:
        """Measure base and the points on the way to the tuned weights; the best that passes is written down."""
        if (tuned / _BROKEN).is_file():
            reason = read_json(tuned / _BROKEN)
            why = [f"the base is kept: the training broke off ({reason})"]
            write_json(part / "report.json", {"why": why, "rows": [], "figures": [], "share": None})
            return
        examiner, config = self.examiner, self.config
        base = examiner.look("base", self._embedder(*self._load(None)))
        (model, tokenizer), (other, _) = self._load(start), self._load(tuned)
        before, after = model.state_dict(), other.state_dict()
        shares = config.shares if config.text or config.tuning else (1.0,)
        before = {name: value.clone() for name, value in before.items()}
        rows = [examiner.row("base", "the base encoder as it is", base)]
        verdicts: list[Verdict] = []
        for share in shares:
            model.load_state_dict(between(before, after, share))
            try:
                shown = examiner.look(f"tuned {share:g}", self._embedder(model, tokenizer))
            except InputError as error:  # weights that are numbers may still give what is none
                verdicts.append(Verdict.refused(share, str(error)))
            else:
                verdicts.append(examiner.judge(base, shown, share, tries=len(shares)))
                rows.append(examiner.row(f"tuned {share:g}", f"{share:g} of the way to the tuned weights", shown))
            say(verdicts[-1].line())
        found = best(verdicts)
        if found is not None:
            model.load_state_dict(between(before, after, found.share))
            save_embedder(self._embedder(model, tokenizer), part / MODEL)
        head = "the base is kept: no point on the way to the tuned weights passes"
        if found is not None:
            head = f"the tuned model is kept at {found.share:g} of the way, which of those that pass gains most"
        write_json(
            part / "report.json",
            {
                "why": [head, *(verdict.line() for verdict in verdicts)],
                "rows": rows,
                "figures": [
                    {"share": one.share, "passes": one.passes, "faults": list(one.faults), **one.figures}
                    for one in verdicts
                ],
                "share": found.share if found else None,
            },
        )

    # -- models --------------------------------------------------------------------------------------------------------

    def _load(self, stage: Path | None) -> "tuple[Model, Tokenizer]":
        """The model that a stage left, or the base, in eval mode."""
        from inlay.convert import load_model
        from inlay.tokenize.tokenizer import Tokenizer

        if stage is None:
            return load_model(self.task.parts.inner), tokenizer_of(self.task.parts)
        return load_model(stage / MODEL), Tokenizer.load(stage / MODEL)

    def _save(self, model: "Model", tokenizer: "Tokenizer", part: Path) -> None:
        """Weights and tokenizer, for the stages that follow: how vectors are made of them, the base says."""
        from inlay.convert import save_model

        save_model(model, part / MODEL, tokenizer=tokenizer)

    def _embedder(self, model: "Model", tokenizer: "Tokenizer") -> ContextEmbedder:
        from inlay.embed.torch_backend import TorchBackend

        return ContextEmbedder(tokenizer, TorchBackend(model), self.task.parts.config)

    def _told(self, report: dict[str, Any], model: Path | None) -> Done:
        learnt = {"pairs": len(self.pairs or self.alike)}
        for file in sorted(self.run.folder.glob("*/learnt.json")):
            learnt |= read_json(file)
        return Done(
            share=report["share"],
            model=model if report["share"] is not None else None,
            why=tuple(report["why"]),
            rows=tuple(report["rows"]),
            figures=tuple(report["figures"]),
            learnt=learnt,
        )


@contextmanager
def _broken(part: Path) -> Iterator[None]:
    """Within it, a loss that is no number ends the stage, and what it says is written down instead of a model."""
    from inlay.train.trainer import NotFinite

    try:
        yield
    except NotFinite as error:
        write_json(part / _BROKEN, str(error))
