"""Rerankers against the CrossEncoder of sentence-transformers, both ways, and against themselves in other company."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tiny_embedders import WORDS, tokenizer

from inlay.embed.reranker import Reranker
from inlay.errors import InputError
from inlay.model.heads import Inner, Pooler, TextHead
from inlay.model.init import Normal
from inlay.model.model import ModelConfig
from inlay.model.presets import preset, resize

ONE = ("relevance",)
HEADS = {
    "bert-tiny": (Pooler(), TextHead(labels=ONE)),
    "roberta-tiny": (TextHead(labels=ONE, at="first", inner=Inner(activation="tanh", dropout=0.1)),),
    "electra-tiny": (TextHead(labels=ONE, at="first", inner=Inner(dropout=0.1)),),
    "distilbert-tiny": (TextHead(labels=ONE, at="first", inner=Inner(activation="relu")),),
    "albert-tiny": (Pooler(), TextHead(labels=ONE)),
    "modernbert-tiny": (),
}
QUERIES = ["cold water", "fire", "warm stone in the river", "rain", "air : query", "水 火"]
TEXTS = [
    "water is cold in the river",
    "stone",
    "the fire was warm on the stone in the air of rain falls in hot water in the river of cold stone",
    "",
    "air",
    "模型 石 火 水",
]


def config(name: str) -> ModelConfig:
    layers = 4 if name == "modernbert-tiny" else 2  # so that some of its layers see near tokens alone
    made = resize(preset(name), layers, 16, 2, 32, vocab_size=tokenizer().size)
    heads = HEADS[name]
    if name == "modernbert-tiny":
        assert made.encoder is not None
        inner = Inner(bias=False, norm=made.encoder.norm)
        heads = (TextHead(labels=ONE, at="mean", inner=inner),)
    return replace(made, heads=heads)


def reranker(name: str = "bert-tiny", **settings: object) -> Reranker:
    model = replace(config(name), init=Normal(std=0.4)).build(seed=1)  # by smaller weights all scores are nearly one
    return Reranker.of_model(model, tokenizer(), **({"max_length": 24} | settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reranker") / "bert"
    reranker().save(place)
    return place


@pytest.mark.parametrize("name", HEADS)
def test_what_is_saved_opens_with_equal_scores_lean_torch_and_elsewhere(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    theirs = pytest.importorskip("sentence_transformers")
    ours = reranker(name)
    expected = ours.score_pairs(QUERIES, TEXTS)
    assert expected.dtype == np.float32
    assert expected.std() > 0.01
    ours.save(tmp_path / "saved")
    for backend in ("torch", "auto"):
        opened = Reranker.load(tmp_path / "saved", backend)  # type: ignore[arg-type]
        assert opened.max_length == 24
        assert opened.score_pairs(QUERIES, TEXTS) == pytest.approx(expected, abs=2e-6)
    assert opened.backend.name == ("torch" if name == "modernbert-tiny" else "lean")
    cross = theirs.CrossEncoder(str(tmp_path / "saved"), device="cpu")
    pairs = list(zip(QUERIES, TEXTS, strict=True))
    assert cross.predict(pairs, show_progress_bar=False) == pytest.approx(expected, abs=2e-6)
    # What they make of it in the layout of their own version is opened too, and what it puts on the number is kept.
    again = theirs.CrossEncoder(str(tmp_path / "saved"), device="cpu", activation_fn=__import__("torch").nn.Identity())
    again.save_pretrained(str(tmp_path / "theirs"))
    assert (tmp_path / "theirs" / "modules.json").is_file()
    opened = Reranker.load(tmp_path / "theirs")
    assert opened.activation == "identity"
    plain = again.predict(pairs, show_progress_bar=False)
    assert opened.score_pairs(QUERIES, TEXTS) == pytest.approx(plain, abs=1e-5)
    assert opened.logits(QUERIES, TEXTS) == pytest.approx(np.log(expected / (1 - expected)), abs=1e-3)


def test_a_class_of_transformers_is_read_as_it_stands_with_the_sigmoid_that_others_put_on_it(tmp_path: Path) -> None:
    theirs = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    made = theirs.BertConfig(
        vocab_size=tokenizer().size, max_position_embeddings=30, num_labels=1, initializer_range=0.4, **sizes
    )
    theirs.BertForSequenceClassification(made).eval().save_pretrained(tmp_path)
    tokenizer().save(tmp_path, segments=True)
    cross = pytest.importorskip("sentence_transformers").CrossEncoder(str(tmp_path), device="cpu")
    expected = cross.predict(list(zip(QUERIES, TEXTS, strict=True)), show_progress_bar=False)
    opened = Reranker.load(tmp_path)
    assert opened.max_length == 30
    assert opened.score_pairs(QUERIES, TEXTS) == pytest.approx(expected, abs=2e-6)


def test_an_architecture_of_no_other_library_comes_back_from_its_own_layout(tmp_path: Path) -> None:
    ours = replace(config("bert-tiny"), family="", heads=(TextHead(labels=ONE, at="mean"),)).build(seed=2)
    made = Reranker.of_model(ours, tokenizer(), activation="identity", max_length=20)
    made.save(tmp_path / "own")
    opened = Reranker.load(tmp_path / "own")
    assert (opened.activation, opened.max_length, opened.backend.name) == ("identity", 20, "torch")
    assert np.array_equal(opened.score_pairs(QUERIES, TEXTS), made.score_pairs(QUERIES, TEXTS))


@pytest.mark.parametrize("backend", ["lean", "torch"])
def test_order_and_company_change_nothing(backend: str, folder: Path) -> None:
    opened = Reranker.load(folder, backend)  # type: ignore[arg-type]
    together = opened.score_pairs(QUERIES, TEXTS)
    alone = [opened.scores(query, [text])[0] for query, text in zip(QUERIES, TEXTS, strict=True)]
    assert together == pytest.approx(alone, abs=1e-6)
    back = opened.score_pairs(QUERIES[::-1], TEXTS[::-1])
    assert back[::-1] == pytest.approx(together, abs=1e-6)
    exact = opened.score_pairs(QUERIES, TEXTS, exact=True)
    assert np.array_equal(exact[::-1], opened.score_pairs(QUERIES[::-1], TEXTS[::-1], exact=True))
    assert np.array_equal(exact[2:3], opened.scores(QUERIES[2], [TEXTS[2]], exact=True))


def test_what_a_long_pair_loses_is_counted_and_taken_from_its_longer_side(folder: Path) -> None:
    opened = Reranker.load(folder)
    opened.max_length = 12
    short, long = "cold water", " ".join(["rain", "stone"] * 20)
    found, report = opened.scores(short, [long, "fire"], report=True)
    assert (report.texts, report.shortened, report.empty) == (2, 1, 0)
    assert report.dropped == 2 + 40 + 3 - 12
    assert report.tokens == 12 + 6
    kept = " ".join(long.split()[: 12 - 3 - 2])
    assert opened.scores(short, [kept])[0] == pytest.approx(found[0], abs=1e-6)
    flipped = opened.score_pairs([long], [short])[0]
    assert opened.score_pairs([kept], [short])[0] == pytest.approx(flipped, abs=1e-6)


@dataclass(frozen=True)
class Found:
    id: str
    title: str
    text: str
    reranked: float | None = None


def test_the_best_hits_come_first_with_the_score_of_their_title_and_text(folder: Path) -> None:
    opened = Reranker.load(folder)
    hits = [Found(str(at), title, text) for at, (title, text) in enumerate(zip(QUERIES, TEXTS, strict=True))]
    scores = opened.scores("hot rain", [f"{hit.title}\n{hit.text}" for hit in hits])
    best = opened.rerank("hot rain", hits, 3)
    order = np.argsort(-scores)[:3]
    assert [hit.id for hit in best] == [str(at) for at in order]
    assert [hit.reranked for hit in best] == pytest.approx(scores[order])
    assert opened.rerank("hot rain", []) == []
    assert len(opened.rerank("hot rain", hits)) == len(hits)
    assert opened.scores("fire", []).shape == (0,)


def test_scores_that_a_sigmoid_rounds_to_one_are_still_in_order() -> None:
    made = reranker()
    for parameter in made.head.model.heads["text"].parameters():  # type: ignore[attr-defined]
        parameter.data.abs_().mul_(400).add_(20)
    logits = made.logits(["fire"] * len(WORDS), WORDS)
    best = made.order("fire", WORDS)
    assert [at for at, _ in best] == np.argsort(-logits, kind="stable").tolist()


def refuse(folder: Path, expected: str, **options: object) -> None:
    with pytest.raises(InputError, match=expected) as error:
        Reranker.load(folder, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def changed(folder: Path, to: Path, file: str = "config.json", **settings: object) -> Path:
    shutil.copytree(folder, to)
    (to / "checksums.json").unlink(missing_ok=True)
    tree = json.loads((to / file).read_text()) if (to / file).is_file() else {}
    (to / file).write_text(json.dumps(tree | settings))
    return to


def test_what_is_no_reranker_is_refused_in_a_line(folder: Path, tmp_path: Path) -> None:
    labels = {"id2label": {"0": "no", "1": "maybe", "2": "yes"}}
    refuse(changed(folder, tmp_path / "three", **labels), "gives 3 numbers for a pair, and a reranker gives one")
    refuse(changed(folder, tmp_path / "class", architectures=["BertForMaskedLM"]), "is of BertForMaskedLM, and")
    refuse(changed(folder, tmp_path / "none", architectures=None), "is of no class, and a reranker")
    activation = {"sentence_transformers": {"activation_fn": "evil.run"}}
    refuse(changed(folder, tmp_path / "evil", **activation), "puts 'evil.run' on its scores; those that are read")
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": ""} for kind in ("Transformer", "Pooling")]
    listed = changed(folder, tmp_path / "embedder")
    (listed / "modules.json").write_text(json.dumps(modules))
    refuse(listed, "lists Transformer, Pooling, and a reranker is a Transformer alone; this is an embedder")
    prompts = {"model_type": "CrossEncoder", "prompts": {"q": "query: "}, "default_prompt_name": "q"}
    refuse(changed(folder, tmp_path / "prompt", "config_sentence_transformers.json", **prompts), "puts the prompt 'q'")
    kind = {"model_type": "SentenceTransformer"}
    refuse(changed(folder, tmp_path / "kind", "config_sentence_transformers.json", **kind), "no CrossEncoder")
    refuse(tmp_path / "nowhere", "nowhere")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", "is no reranker")
    weights = changed(folder, tmp_path / "bytes")
    shutil.copy(folder / "checksums.json", weights)
    refuse(weights, "config.json")
    refuse(folder, "did you mean 'lean'", backend="leen")
    refuse(folder, "device='nowhere' cannot be used", device="nowhere")


def test_a_head_that_was_never_trained_is_none(tmp_path: Path) -> None:
    from inlay.convert import save_model

    save_model(replace(config("bert-tiny"), heads=()).build(seed=0), tmp_path / "bare", tokenizer=tokenizer())
    bare = changed(tmp_path / "bare", tmp_path / "said", architectures=["BertForSequenceClassification"], num_labels=1)
    refuse(bare, "lacks bert.pooler.dense.weight, which answers for a pair")


@pytest.mark.parametrize(
    ("queries", "texts", "expected"),
    [
        (["fire", " "], ["a", "b"], "query 1 is empty"),
        (["fire"], ["a", "b"], "1 queries and 2 texts"),
        ("fire", ["a"], "is one text; put it in a list"),
        (["fire"], "a", "is one text; put it in a list"),
    ],
)
def test_pairs_that_ask_nothing_are_refused(queries: list[str], texts: list[str], expected: str, folder: Path) -> None:
    with pytest.raises(InputError, match=expected):
        Reranker.load(folder).score_pairs(queries, texts)


def test_a_reranker_has_one_label_and_room(folder: Path) -> None:
    model = replace(config("bert-tiny"), heads=(Pooler(), TextHead(labels=("a", "b")))).build(seed=0)
    with pytest.raises(InputError, match="with one label, and this one has 2"):
        Reranker.of_model(model, tokenizer())
    with pytest.raises(InputError, match="max_length=4 leaves no room"):
        reranker(max_length=4)
    with pytest.raises(InputError, match="did you mean 'sigmoid'"):
        reranker(activation="sigmoit")
    with pytest.raises(InputError, match="k=0 must be at least 1"):
        Reranker.load(folder).order("fire", ["a"], 0)


def test_what_stands_in_the_way_is_not_written_over(folder: Path, tmp_path: Path) -> None:
    opened = Reranker.load(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        opened.save(tmp_path / "mine")
    with pytest.raises(InputError, match="is no model"):
        opened.save(tmp_path / "mine", force=True)
    opened.save(tmp_path / "new")
    opened.save(tmp_path / "new", force=True)
    assert Reranker.load(tmp_path / "new").scores("fire", TEXTS) == pytest.approx(opened.scores("fire", TEXTS))
