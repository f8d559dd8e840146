"""fit with a base encoder: rungs of it, the choice among them, folders that search, and an encoder from scratch."""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.adapt import adapt as adapting
from inlay.adapt.adapt import AdaptReport
from inlay.adapt.config import AdaptConfig
from inlay.embed.context import ContextEmbedder, EmbedConfig
from inlay.embed.embedder import load
from inlay.embed.folder_save import save_embedder
from inlay.embed.static import StaticEmbedder
from inlay.embed.torch_backend import TorchBackend
from inlay.embed.tune import Tune
from inlay.errors import InputError
from inlay.files import read_json, verify_checksums
from inlay.fit import Base, FitConfig, Fitted, Scratch, fit
from inlay.model.presets import preset, resize
from inlay.pipeline import encoder
from inlay.pipeline.encoder import steps, with_specials
from inlay.search.searcher import Searcher
from inlay.stages import Run
from inlay.text import pydocs
from inlay.text.document import Document
from inlay.text.words import segmenter
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.trainer import NotFinite
from inlay.vectors.word2vec import Word2Vec

SMALL = FitConfig(
    dim=32, minutes=0.05, vectors=Word2Vec(dim=16, min_count=2, epochs=1), tune=Tune(steps=3, batch=16), encoder=None
)
TINY = Scratch(least=0, share=0.01, n_layers=1, d_model=64, batch=16, steps=2, max_length=32, threads=1)
PROMPTS = {"query": "question: ", "document": "text: "}


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [replace(document, text=document.text[:400]) for document in pydocs.documents(limit=80, packages=False)]


@pytest.fixture(scope="module")
def place(documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of BERT with random weights, which is a bag of words, and of the prompts that it wants."""
    segment = segmenter("en")
    words = sorted({word for document in documents for word in segment(document.full)} | {"question", "text", ":"})
    tokenizer = Tokenizer.from_vocabulary(words, specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    config = resize(preset("bert-tiny"), 1, 32, 2, 64, vocab_size=tokenizer.size)
    folder = tmp_path_factory.mktemp("base") / "base"
    backend = TorchBackend(config.build(seed=3))
    save_embedder(ContextEmbedder(tokenizer, backend, EmbedConfig(prompts=PROMPTS)), folder)
    return folder


def fitted_by(documents: list[Document], place: Path, out: Path, **of_base: Any) -> Fitted:
    return fit(documents, out=out, config=replace(SMALL, base=Base(folder=str(place), **of_base)))


@pytest.fixture(scope="module")
def shipped_base(documents: list[Document], place: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted_by(documents, place, tmp_path_factory.mktemp("fit") / "model", ship="base")


def row(fitted: Fitted, name: str) -> dict[str, Any]:
    (found,) = [row for row in fitted.tree["ladder"] if row["name"] == name]
    return found


# --- the encoder itself


def test_the_ladder_has_the_base_and_the_table_beside_the_rungs_from_scratch(shipped_base: Fitted) -> None:
    names = [row["name"] for row in shipped_base.tree["ladder"]]
    assert len(set(names)) == len(names)
    assert {"bm25", "lsa", "tuned-lsa", "base", "fitted", "bm25 + 2 base", "bm25 + 2 fitted"} <= set(names)
    (shipped,) = [row["name"] for row in shipped_base.tree["ladder"] if row["shipped"]]
    assert "base" in row(shipped_base, "base")["what"]
    choice = shipped_base.tree["choice"]
    assert choice["dense"] == "base"
    assert shipped == ("bm25" if choice["mode"] == "lexical" else f"bm25 + {choice['weight']:g} base + feedback")
    assert any("asked for" in reason for reason in shipped_base.tree["choice"]["why"])


def test_the_folder_holds_the_base_encoder_and_searches(
    shipped_base: Fitted, place: Path, documents: list[Document]
) -> None:
    model, before = load(shipped_base.folder), load(place)
    assert isinstance(model, ContextEmbedder)
    texts = [document.full for document in documents[:10]]
    np.testing.assert_allclose(
        model.encode(texts, prompt="query"), before.encode(texts, prompt="query"), atol=1e-6, rtol=0
    )
    assert verify_checksums(shipped_base.folder) > 8
    assert shipped_base.tree["model"]["kind"] == "encoder"
    assert shipped_base.tree == read_json(shipped_base.folder / "inlay.json")
    found = Searcher.load(shipped_base.folder).rank([document.title for document in documents[::8]], 5)
    assert np.mean([document.id in ids for document, ids in zip(documents[::8], found, strict=True)]) > 0.6


def test_documents_and_questions_are_read_after_their_own_prompts(
    shipped_base: Fitted, place: Path, documents: list[Document]
) -> None:
    searcher, base = Searcher.load(shipped_base.folder), load(place)
    texts = [document.full for document in documents[:5]]
    as_document, as_query = base.encode(texts, prompt="document"), base.encode(texts, prompt="query")
    np.testing.assert_allclose(searcher.ranker.index.vectors(["0", "1", "2", "3", "4"]), as_document, atol=1e-5)
    assert np.abs(as_document - as_query).max() > 1e-3
    hits = searcher.search(texts[3], 1, "dense")
    assert hits[0].score == pytest.approx(
        float((as_query[3] @ base.encode([hits[0].text], prompt="document").T)[0]), 0.2
    )


def test_sentence_transformers_opens_the_folder_with_equal_vectors(
    shipped_base: Fitted, documents: list[Document]
) -> None:
    theirs = pytest.importorskip("sentence_transformers").SentenceTransformer(str(shipped_base.folder), device="cpu")
    texts = [document.full for document in documents[:10]]
    np.testing.assert_allclose(
        load(shipped_base.folder).encode(texts, prompt="query"), theirs.encode(texts, prompt_name="query"), atol=1e-5
    )


def test_report_and_card_speak_of_an_encoder(shipped_base: Fitted) -> None:
    card = (shipped_base.folder / "README.md").read_text(encoding="utf-8")
    assert "general encoder" in card
    assert "static" not in card.lower()
    assert "vectors of the base encoder" in (shipped_base.folder / "report.html").read_text(encoding="utf-8")


# --- the table


def test_the_fitted_table_is_a_static_model_near_to_the_base(
    documents: list[Document], place: Path, tmp_path: Path
) -> None:
    made = fitted_by(documents, place, tmp_path / "model", ship="table")
    model = load(made.folder)
    assert isinstance(model, StaticEmbedder)
    assert made.tree["choice"]["dense"] == "fitted"
    assert made.tree["model"]["dim"] == model.dim == 32 + 32
    texts = [document.full for document in documents]
    base, table = load(place).encode(texts, prompt="document"), model.encode(texts)
    apart = np.triu_indices(len(texts), 1)
    alike = np.corrcoef((base @ base.T)[apart], (table @ table.T)[apart])[0, 1]
    assert alike > 0.3
    assert "fitted to what a general encoder made" in (made.folder / "README.md").read_text(encoding="utf-8")

    searched = f"""
        import sys
        from inlay.search.searcher import Searcher
        assert Searcher.load({str(made.folder)!r}).search("a function", 3)
        print(sorted({{"torch", "transformers"}} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(searched)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- from scratch


@pytest.fixture(scope="module")
def with_encoder(documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit(documents, out=tmp_path_factory.mktemp("scratch") / "model", config=replace(SMALL, encoder=TINY))


def test_an_encoder_from_scratch_is_measured_and_kept_only_where_it_is_better(with_encoder: Fitted) -> None:
    encoder, static = row(with_encoder, "encoder"), with_encoder.tree["choice"]["dense"]
    assert encoder["scores"]
    assert "from scratch, over the table of" in encoder["what"]
    assert static == "tuned-lsa"  # two steps teach nothing that a bootstrap would believe
    assert isinstance(load(with_encoder.folder), StaticEmbedder)
    assert any("no other is certainly better (encoder" in reason for reason in with_encoder.tree["choice"]["why"])


def test_the_minutes_decide_whether_an_encoder_is_trained_and_for_how_long(with_encoder: Fitted) -> None:
    names = [stage["name"] for stage in with_encoder.tree["stages"]]
    assert "rung encoder" in names
    few, many = steps(Scratch(), 60, 5_000), steps(Scratch(), 600, 5_000)
    assert many[0].steps > 9 * few[0].steps
    assert many[1].steps <= Scratch().steps
    assert steps(Scratch(), 1e-9, 5_000)[0].steps == 1


def test_the_encoders_tokenizer_knows_the_same_words_as_the_tables(documents: list[Document]) -> None:
    plain = Tokenizer.from_vocabulary(["alpha", "beta", "嵌入"], ["##s"])
    grown = with_specials(plain)
    assert set(plain.vocabulary) <= set(grown.vocabulary)
    assert grown.tokens("alphas beta 嵌入") == plain.tokens("alphas beta 嵌入")
    assert set(grown.roles.values()) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


def test_lines_that_ask_for_nothing_and_pair_with_nothing_ship_the_base(place: Path, tmp_path: Path) -> None:
    words = [word for word in Tokenizer.load(place).vocabulary if word.isalpha()]
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(words, 12)) for _ in range(60)]
    made = fit(lines, out=tmp_path / "model", config=replace(SMALL, base=Base(folder=str(place)), encoder=TINY))
    assert made.tree["held_out"]["documents"] == 0
    assert made.tree["choice"]["dense"] == "base"
    assert "encoder" not in [row["name"] for row in made.tree["ladder"]]
    assert Searcher.load(made.folder).search(lines[7], 1)[0].text == lines[7]


def test_a_run_broken_within_each_new_stage_ends_as_the_unbroken_one(
    documents: list[Document], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, base=Base(folder=str(place)), encoder=TINY)
    whole, at = Run.stage, ["rung encoder", "base vectors", "rung base", "rung fitted", "fusion", "model", "index"]
    out = tmp_path / "model"
    for name in at:

        def stage(run: Run, here: str, make: Any, name: str = name) -> Path:
            def work(part: Path) -> None:
                make(part)
                if here == name:
                    raise KeyboardInterrupt

            return whole(run, here, work)

        monkeypatch.setattr(Run, "stage", stage)
        with pytest.raises(KeyboardInterrupt):
            fit(documents, out=out, config=config, resume=True)
        monkeypatch.undo()
    resumed = fit(documents, out=out, config=config, resume=True)
    unbroken = fit(documents, out=tmp_path / "unbroken", config=config)

    def timeless(fitted: Fitted) -> str:
        tree = {key: value for key, value in fitted.tree.items() if key != "stages"}
        return re.sub(r'"seconds": [\d.]+', "", json.dumps(tree))

    assert timeless(resumed) == timeless(unbroken)
    assert (resumed.folder / "model.safetensors").read_bytes() == (unbroken.folder / "model.safetensors").read_bytes()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.endswith(".part")] == []


# --- tuning, and what is refused


def test_tuning_puts_its_lines_and_reasons_into_the_report_and_its_model_into_the_rungs(
    documents: list[Document], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def adapt(base: Any, *given: Any, **more: Any) -> AdaptReport:
        asked.append((base, given, more))
        line = {"name": "tuned 0.5", "kind": "dense", "what": "half way", "scores": {}, "mean": 0.0, "seconds": 1.0}
        return AdaptReport(
            kept=False, why=("the gate says no",), rows=({**line, "shipped": False},), model=place, share=None,
            figures=(), learnt={}, stages=(),
        )  # fmt: skip

    monkeypatch.setattr(adapting, "adapt", adapt)
    made = fitted_by(documents, place, tmp_path / "model", ship="base", tune=AdaptConfig())
    ((base, (distinct, held, lang, config, folder), more),) = asked
    assert (Path(base), lang, config, more["seed"]) == (place, "en", AdaptConfig(), 0)
    assert len(distinct) == made.tree["data"]["kept"]
    assert len(held.positions) == made.tree["held_out"]["documents"]
    assert folder.parent.name == "model.part"
    assert made.tree["choice"]["why"][0] == "the gate says no"
    assert row(made, "tuned 0.5")["what"] == "half way"


def test_a_run_is_not_gone_on_with_after_the_base_has_changed(
    documents: list[Document], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(place, tmp_path / "other"))
    config = replace(SMALL, base=Base(folder=str(other)))
    whole = Run.stage

    def stage(run: Run, name: str, make: Any) -> Path:
        if name == "base vectors":
            raise KeyboardInterrupt
        return whole(run, name, make)

    monkeypatch.setattr(Run, "stage", stage)
    with pytest.raises(KeyboardInterrupt):
        fit(documents, out=tmp_path / "model", config=config)
    monkeypatch.undo()
    model = resize(preset("bert-tiny"), 1, 32, 2, 64, vocab_size=Tokenizer.load(place).size).build(seed=4)
    save_embedder(ContextEmbedder(Tokenizer.load(place), TorchBackend(model)), other, force=True)
    with pytest.raises(InputError, match=r"cannot resume .* base\.model\.safetensors was"):
        fit(documents, out=tmp_path / "model", config=config, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folder": "x", "ship": "tabel"}, "base.ship='tabel' is no choice; did you mean 'table'"),
        ({"folder": "x", "ridge": 0}, "base.ridge=0 must be above 0"),
        ({"folder": "x", "pairs": "p.jsonl"}, "base.pairs='p.jsonl' is what tuning learns from; add --tune"),
    ],
)
def test_a_base_that_cannot_be_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Base(**options)


@pytest.mark.parametrize("options", [{"d_model": 100}, {"share": 1}, {"steps": 0}, {"p": 0}, {"least": -1}])
def test_an_encoder_that_cannot_be_is_told(options: dict[str, Any]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(InputError, match=rf"encoder\.{name}={value} must"):
        Scratch(**options)


def test_a_base_whose_weights_are_no_numbers_is_told_before_anything_is_written(
    documents: list[Document], place: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(place, broken, ignore=shutil.ignore_patterns("checksums.json"))
    weights = {name: values.copy() for name, values in load_file(broken / "model.safetensors").items()}
    next(values for name, values in weights.items() if name.endswith("output.dense.weight"))[3, 3] = np.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"broken: the rows of this text are not all finite numbers"):
        fitted_by(documents, broken, tmp_path / "model")
    assert list(tmp_path.iterdir()) == [broken]


def test_an_encoder_whose_training_breaks_off_costs_its_own_rung_alone(
    documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise NotFinite("step 3: the loss is nan")

    monkeypatch.setattr(encoder, "_train", broken)
    made = fit(documents[:40], out=tmp_path / "model", config=replace(SMALL, encoder=TINY))
    assert "encoder" not in [row["name"] for row in made.tree["ladder"]]
    assert "note: no encoder is trained: step 3: the loss is nan" in capsys.readouterr().err


def test_a_base_that_is_not_there_is_told_before_anything_is_written(documents: list[Document], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        fitted_by(documents, tmp_path / "nowhere", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
