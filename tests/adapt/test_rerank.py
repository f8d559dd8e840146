"""Rerankers trained from end to end: what passes, what is refused, what is learnt from, breaks and repeats."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_base import CONCEPTS, FILLERS, base, documents, held

from inlay.adapt.config import Hard
from inlay.adapt.negatives import with_hard
from inlay.adapt.pairs import Pairs, answered
from inlay.adapt.rerank import RerankReport, compared, ordered_anew, train_reranker
from inlay.adapt.rerank_config import Bar, RerankConfig
from inlay.adapt.rerank_model import Lists, untrained, with_head
from inlay.embed.folder import read_folder
from inlay.embed.reranker import Reranker
from inlay.errors import InputError
from inlay.evaluate.heldout import HeldOut, hold_out
from inlay.model.presets import preset, resize
from inlay.text.document import Document
from inlay.text.labelled import Alike, Answered
from inlay.text.pairs import body_of
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.trainer import Trainer

QUICK = RerankConfig(
    negatives=Hard(per_pair=2),
    steps=40,
    batch=12,
    lr=5e-3,
    max_length=32,
    candidates=10,
    bar=Bar(questions=20),
    threads=1,
)


@cache
def marked() -> tuple[list[Document], list[Answered]]:
    """Texts that repeat what is asked, for which BM25 takes them; the answers say it once, and that they are one."""
    rng = np.random.default_rng(3)
    texts, pairs = [], []
    for number in range(120):
        thing, name = f"thing{number % CONCEPTS}", f"name{number // 3}"
        words = [f"word{at}" for at in rng.integers(0, FILLERS, 4)]
        for _ in range(3):
            more = " ".join(f"word{at}" for at in rng.integers(0, FILLERS, 3))
            texts.append(Document(id=str(len(texts)), text=f"{thing} {thing} {name} {thing} {name} {more}"))
        pairs.append(Answered(query=f"{thing} {name}", positive=f"the {thing} {' '.join(words)} {name} is by a man"))
    return texts, pairs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base(tmp_path_factory.mktemp("base"))


def trained(place: Path, folder: Path, config: RerankConfig = QUICK, **more: Any) -> RerankReport:
    texts, pairs = marked()
    asked = hold_out(texts, seed=0)
    assert not asked.positions
    return train_reranker(place, texts, asked, "en", config, folder / "work", seed=0, **({"given": pairs} | more))


@pytest.fixture(scope="module")
def learnt(place: Path, tmp_path_factory: pytest.TempPathFactory) -> RerankReport:
    return trained(place, tmp_path_factory.mktemp("learnt"))


def test_what_can_be_learnt_orders_held_out_questions_better_and_is_kept(learnt: RerankReport) -> None:
    before, after = learnt.rows
    assert learnt.kept, learnt.why
    assert after["scores"]["labelled"]["ndcg@10"] > before["scores"]["labelled"]["ndcg@10"] + 0.3
    assert learnt.why[0].startswith("the reranker is kept: nDCG@10 +0.")
    assert learnt.model is not None
    assert learnt.learnt == {"pairs": 96, "negatives": 192}
    tree = json.loads(json.dumps(learnt.tree(), allow_nan=False))
    assert tree["model"] == str(learnt.model)
    assert [stage["name"] for stage in tree["stages"]] == ["pairs", "tuned", "judged"]


def test_what_is_kept_opens_and_tells_answers_from_what_looks_like_one(learnt: RerankReport) -> None:
    assert learnt.model is not None
    opened = Reranker.load(learnt.model)
    assert opened.max_length == 32
    texts, pairs = marked()
    right = [pair.positive for pair in pairs[:30]]
    alike = [texts[3 * at].text for at in range(30)]
    queries = [pair.query for pair in pairs[:30]]
    assert (opened.score_pairs(queries, right) > opened.score_pairs(queries, alike)).mean() > 0.9


def test_what_makes_the_measure_worse_is_refused_and_said(place: Path, tmp_path: Path) -> None:
    report = trained(place, tmp_path, replace(QUICK, steps=1, lr=1e-9))
    assert not report.kept
    assert report.model is None
    assert report.why[0].startswith("none is kept: nDCG@10 ")
    assert any("is below 0.01" in reason for reason in report.why)


def test_a_training_that_breaks_off_keeps_nothing(place: Path, tmp_path: Path) -> None:
    report = trained(place, tmp_path, replace(QUICK, steps=4, lr=1e30))
    assert not report.kept
    assert "none is kept" in report.why[0]


def test_too_few_questions_train_nothing(place: Path, tmp_path: Path) -> None:
    report = trained(place, tmp_path, replace(QUICK, bar=Bar(questions=1000)))
    assert report.why == ("none is kept: 24 held-out questions are fewer than 1000, too few to show a gain",)
    assert not (tmp_path / "work").exists()


def test_a_broken_run_goes_on_and_ends_with_the_same_weights(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(QUICK, steps=3, batch=4)
    whole = trained(place, tmp_path / "whole", config)
    update: Callable = Trainer._update

    def broken(self: Trainer, *given: object) -> object:
        if self.step == 1:
            raise KeyboardInterrupt
        return update(self, *given)

    monkeypatch.setattr(Trainer, "_update", broken)
    with pytest.raises(KeyboardInterrupt):
        trained(place, tmp_path / "broken", config)
    monkeypatch.setattr(Trainer, "_update", update)
    again = trained(place, tmp_path / "broken", config)
    weights = [
        (tmp_path / name / "work" / "tuned" / "model" / "model.safetensors").read_bytes()
        for name in ("whole", "broken")
    ]
    assert weights[0] == weights[1]
    assert again.figures == whole.figures
    with pytest.raises(InputError, match="cannot resume .*config.steps was 3 and is 4 now"):
        trained(place, tmp_path / "broken", replace(config, steps=4))


def test_mined_pairs_and_an_embedder_serve_where_nothing_is_labelled(place: Path, tmp_path: Path) -> None:
    import inlay

    config = replace(QUICK, steps=2, batch=4, candidates=3, pairs=replace(QUICK.pairs, limit=40))
    embedder = inlay.load(place)
    report = train_reranker(place, documents(), held(), "en", config, tmp_path / "work", seed=0, embedder=embedder)
    assert report.learnt["pairs"] == 40
    assert set(report.figures["by_kind"]) == {"title", "sentence"}
    with pytest.raises(InputError, match="cannot resume .*embedder"):  # other negatives are hard for another embedder
        train_reranker(place, documents(), held(), "en", config, tmp_path / "work", seed=0)


@pytest.mark.parametrize("loss", ["listwise", "pointwise"])
def test_lists_hold_each_query_with_its_answer_first_and_in_every_epoch_once(loss: str, place: Path) -> None:
    config = replace(QUICK, loss=loss)
    reranker = untrained(read_folder(place), config, seed=0)
    queries = [f"name{at}" for at in range(7)]
    pairs = Pairs(
        queries, [f"thing{at}" for at in range(7)], [("word1", "word2")[: at % 2 + 1] for at in range(7)], np.arange(7)
    )  # noqa: E501
    lists = Lists(pairs, reranker, per_batch=3, seed=1)
    assert lists.per_epoch == 2
    for epoch in range(2):
        seen = []
        for number in range(2 * epoch, 2 * epoch + 2):
            batch = lists.batch(number)
            assert batch.relevance.sum() == 3
            for name in range(3):
                places = np.flatnonzero(batch.lists == name)
                assert batch.relevance[places].tolist() == [1] + [0] * (len(places) - 1)
            starts = batch.pairs.starts[batch.relevance == 1]
            seen += batch.pairs.ids[starts + 1].tolist()
        assert len(set(seen)) == 6
    assert lists.batch(0).pairs.ids.tolist() == lists.batch(0).pairs.ids.tolist()
    assert lists.batch(0).pairs.ids.tolist() != lists.batch(2).pairs.ids.tolist()


FAMILIES = ["bert-tiny", "roberta-tiny", "electra-tiny", "distilbert-tiny", "albert-tiny", "modernbert-tiny"]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gets_the_head_of_its_own_cross_encoders_and_keeps_its_weights(name: str, tmp_path: Path) -> None:
    import torch

    tokenizer = Tokenizer.from_vocabulary(["a", "b"], specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    layers = 4 if name == "modernbert-tiny" else 2
    model = resize(preset(name), layers, 16, 2, 32, vocab_size=tokenizer.size).build(seed=2)
    grown = with_head(model, seed=0)
    assert [head.name for head in grown.config.heads][-1] == "text"
    own = model.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in grown.state_dict().items() if not key.startswith("heads"))
    Reranker.of_model(grown, tokenizer, max_length=20).save(tmp_path / "saved")  # in the family's own layout
    assert Reranker.load(tmp_path / "saved").scores("a", ["b"]).shape == (1,)
    again = with_head(grown, seed=5)
    assert all(torch.equal(value, grown.state_dict()[key]) for key, value in again.state_dict().items())


def test_without_an_embedder_bm25_alone_says_what_is_hard() -> None:
    found = documents()[:60]
    bodies = [body_of(one) for one in found]
    pairs = Pairs([bodies[4].split(".")[0]], [bodies[4]], [()], np.array([4]))
    (negatives,) = with_hard(
        pairs, found, range(60), None, "en", Hard(per_pair=3, ranks=4), labelled=False, seed=0
    ).negatives
    assert len(negatives) == 3
    assert bodies[4] not in negatives
    words = set(bodies[4].split(".")[0].split())
    assert all(words & set(text.replace(".", " ").split()) for text in negatives)


def test_only_the_candidates_are_ordered_anew() -> None:
    class Backwards:
        def order(self, query: str, texts: list[str]) -> list[tuple[int, float]]:
            return [(at, float(at)) for at in reversed(range(len(texts)))]

    texts = ("one two three", "one two", "one", "four")
    asked = HeldOut(positions=(), reduced=(), texts=texts, queries={"title": ["one two three"]}, answers={"title": [1]})
    before, after = ordered_anew(asked, "en", Backwards(), 2)  # type: ignore[arg-type]
    assert before["title"]["mrr@10"] == 0.5
    assert after["title"]["mrr@10"] == 1.0
    _, same = ordered_anew(asked, "en", Backwards(), 3)  # type: ignore[arg-type]
    assert same["title"]["mrr@10"] == 0.5


def test_labelled_questions_decide_where_there_are_enough() -> None:
    import dataclasses

    from inlay.evaluate.retrieval import measure

    def scores(rank: int, n: int) -> Any:
        ranking = [f"x{at}" for at in range(rank)] + ["right"]
        return measure({str(at): ranking for at in range(n)}, {str(at): {"right": 1} for at in range(n)})

    before = {"title": scores(1, 30), "labelled": scores(3, 30)}
    up = {"title": scores(1, 30), "labelled": scores(0, 30)}
    faults, figures = compared(before, up, Bar(questions=20))
    assert not faults
    assert figures["gain"] == pytest.approx(up["labelled"]["ndcg@10"] - before["labelled"]["ndcg@10"], abs=1e-6)
    down = {"title": scores(4, 30), "labelled": scores(0, 30)}
    assert compared(before, down, Bar(questions=20))[0][0].startswith("title questions fall by 0.")
    bar = dataclasses.replace(Bar(), questions=31)
    assert compared(before, up, bar)[1]["gain"] < figures["gain"]


def test_what_no_reranker_is_made_of_is_refused(place: Path, tmp_path: Path) -> None:
    alike = [Alike(left="a", right="b", score=1.0), Alike(left="c", right="d", score=2.0)]
    with pytest.raises(InputError, match="pairs with scores name no query"):
        trained(place, tmp_path, given=alike)
    with pytest.raises(InputError, match="and this base writes"):
        with_head(resize(preset("gpt2-tiny"), 1, 16, 2, 32).build(seed=0), seed=0)
    assert not (tmp_path / "work").exists()
    for field, value in {"loss": "pair", "steps": 0, "batch": 0, "lr": 0, "max_length": 4, "candidates": 1}.items():
        with pytest.raises(InputError, match=f"{field}={value!r} must be"):
            replace(QUICK, **{field: value})
    with pytest.raises(InputError, match="gain=1 must be"):
        Bar(gain=1)
    assert QUICK.quick().steps == 4
    assert len(answered(marked()[1])) == 120
