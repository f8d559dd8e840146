"""`inlay reranker train` and `inlay search --rerank`: a folder or nothing, both scores, and every mistake a line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import inlay
from inlay.cli import run
from inlay.convert import save_model
from inlay.embed.reranker import Reranker
from inlay.files import verify_checksums
from inlay.model.heads import Pooler, TextHead
from inlay.model.init import Normal
from inlay.model.presets import preset, resize
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.trainer import Trainer

Capture = pytest.CaptureFixture[str]
Refused = Callable[[list[str], str], None]
SHORT = {"threads": "1", "steps": "30", "batch": "8", "lr": "5e-3", "max_length": "24", "candidates": "6"}
SHORT |= {"bar.questions": "15", "negatives.per_pair": "2", "negatives.ranks": "5"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that repeat what is asked, answers that say it once, and a small encoder that knows nothing."""
    place, rng = tmp_path_factory.mktemp("rerank"), np.random.default_rng(3)

    def some(size: int) -> str:
        return " ".join(f"word{at}" for at in rng.integers(0, 20, size))

    documents, pairs = [], []
    for number in range(80):
        thing = f"thing{number % 30} name{number // 2}"
        documents += [{"_id": f"{number}-{at}", "text": f"{thing} {thing} {some(3)}"} for at in range(3)]
        pairs.append({"query": thing, "positive": f"the {thing} is {some(4)}"})
    for name, rows in (("text.jsonl", documents), ("pairs.jsonl", pairs)):
        (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [
        *(f"thing{at}" for at in range(30)),
        *(f"name{at}" for at in range(40)),
        *(f"word{at}" for at in range(20)),
    ]
    tokenizer = Tokenizer.from_vocabulary(
        [*words, "the", "is"], specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    )
    model = resize(preset("bert-tiny"), 2, 32, 2, 64, vocab_size=tokenizer.size)
    save_model(model.build(seed=3), place / "base", tokenizer=tokenizer)
    return place


@pytest.fixture(scope="module")
def reranker(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights at random over the words of the shared corpus."""
    place = tmp_path_factory.mktemp("made") / "reranker"
    tokenizer = Tokenizer.train(inlay.Corpus(corpus).texts(), WordPiece(size=300))
    config = resize(preset("bert-tiny"), 1, 16, 2, 32, vocab_size=tokenizer.size)
    heads = (Pooler(), TextHead(labels=("relevance",)))
    made = type(config)(**{**vars(config), "heads": heads, "init": Normal(std=0.4)})
    Reranker.of_model(made.build(seed=0), tokenizer).save(place)
    return place


def train(home: Path, out: Path, *more: str, **changed: str) -> int:
    settings = [part for name, value in (SHORT | changed).items() for part in ("--set", f"{name}={value}")]
    good = ["-q", "reranker", "train", str(home / "base"), str(home / "text.jsonl"), "--out", str(out)]
    return run([*good, "--pairs", str(home / "pairs.jsonl"), "--lang", "en", *settings, *more])


def test_what_is_kept_is_a_folder_with_its_figures_and_says_what_comes_next(
    home: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "made"
    assert train(home, out) == 0
    told = capsys.readouterr().out
    assert "the reranker is kept: nDCG@10 +0." in told
    assert f'inlay search MODEL "a question" --rerank {out}' in told
    assert verify_checksums(out)
    tree = json.loads((out / "rerank.json").read_text())
    assert tree["kept"] is True
    assert tree["model"] == str(out)
    assert tree["documents"] == 240
    assert not out.with_name("made.part").exists()
    assert Reranker.load(out).max_length == 24
    assert train(home, out) == 1
    assert "is a folder that is not empty" in capsys.readouterr().err


def test_what_is_no_better_leaves_nothing_says_why_and_ends_with_1(home: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "made"
    assert train(home, out, "--json", steps="1", lr="1e-9") == 1
    told, err = capsys.readouterr()
    tree = json.loads(told)
    assert tree["kept"] is False
    assert tree["model"] is None
    assert err.startswith("error: none is kept: nDCG@10 ")
    assert "is below 0.01" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_was_interrupted_goes_on(
    home: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    update: Callable = Trainer._update

    def broken(self: Trainer, *given: object) -> object:
        if self.step == 1:
            raise KeyboardInterrupt
        return update(self, *given)

    out = tmp_path / "made"
    monkeypatch.setattr(Trainer, "_update", broken)
    assert train(home, out) == 130
    assert "give the same command with --resume to go on" in capsys.readouterr().err
    monkeypatch.setattr(Trainer, "_update", update)
    assert train(home, out) == 1
    assert "is an unfinished run; --resume goes on with it, --force begins anew" in capsys.readouterr().err
    assert train(home, out, "--resume") == 0
    assert (out / "rerank.json").is_file()


def test_mistakes_in_training_are_one_line_and_leave_nothing(
    home: Path, tmp_path: Path, model: Path, refused: Refused
) -> None:
    good = ["reranker", "train", str(home / "base"), str(home / "text.jsonl"), "--out", str(tmp_path / "made")]
    pairs = ["--pairs", str(home / "pairs.jsonl")]
    (tmp_path / "scores.jsonl").write_text('{"text1": "a", "text2": "b", "score": 1}\n' * 2)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    refused([*good[:2], str(model), *good[3:]], "is a static model, and a reranker is made of an encoder")
    refused([*good[:2], str(tmp_path / "none"), *good[3:], *pairs], "none")
    refused([*good, "--pairs", str(tmp_path / "scores.jsonl")], "pairs with scores name no query and no answer")
    refused([*good, *pairs], "none is kept: 16 held-out questions are fewer than 40, too few to show a gain")
    refused([*good, "--set", "step=3"], "did you mean 'steps'")
    refused([*good, "--set", "candidates=0"], "candidates=0 must be at least 2")
    refused([*good, "--lang", "xx"], "lang='xx' must be auto or one of")
    refused([*good[:-1], str(tmp_path / "taken")], "is a folder that is not empty")
    refused([*good[:-1], str(tmp_path / "taken"), "--force"], "was not made by inlay reranker train")


def found(model: Path, capsys: Capture, *more: str) -> list[dict]:
    assert run(["search", str(model), "sailor in the storm", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)["hits"]


def test_search_orders_its_best_hits_by_the_reranker_and_shows_both_scores(
    model: Path, reranker: Path, capsys: Capture
) -> None:
    plain = found(model, capsys, "-k", "8")
    assert all("reranked" not in hit for hit in plain)
    again = found(model, capsys, "-k", "3", "--rerank", str(reranker), "--candidates", "8")
    opened = Reranker.load(reranker)
    texts = [document.full for document in inlay_documents(plain)]
    scores = opened.scores("sailor in the storm", texts)
    best = np.argsort(-scores, kind="stable")[:3]
    assert [hit["id"] for hit in again] == [plain[at]["id"] for at in best]
    assert [hit["reranked"] for hit in again] == pytest.approx(scores[best].tolist(), abs=1e-6)
    assert [hit["score"] for hit in again] == pytest.approx([plain[at]["score"] for at in best])
    assert run(["search", str(model), "sailor in the storm", "-k", "3", "--rerank", str(reranker)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") == 6
    assert " 1. " in shown


def inlay_documents(hits: list[dict]) -> list[inlay.Document]:
    return [inlay.Document(id=hit["id"], title=hit["title"], text=hit["text"]) for hit in hits]


def test_mistakes_in_search_are_one_line(model: Path, reranker: Path, refused: Refused) -> None:
    asked = ["search", str(model), "sailor"]
    with_it = [*asked, "--rerank", str(reranker)]
    refused([*asked, "--rerank", str(model)], "and a reranker is a Transformer alone")
    refused([*asked, "--rerank", str(model / "nowhere")], "nowhere")
    refused([*with_it, "--candidates", "0"], "--candidates 0 are fewer than the 10 hits that are wanted")
    refused([*with_it, "--candidates", "5"], "--candidates 5 are fewer than the 10 hits that are wanted; give 10")
    refused([*asked, "--candidates", "20"], "--candidates 20 is for a reranker to read; name one with --rerank DIR")
    refused(["search", str(model), " ", "--rerank", str(reranker)], "the query is empty")


def test_a_notebook_shows_the_second_score_where_there_is_one(model: Path, reranker: Path) -> None:
    searcher = inlay.Searcher.load(model)
    assert "reranked" not in searcher.search("sailor", 3)._repr_html_()
    opened = Reranker.load(reranker)
    assert "reranked" in searcher.search("sailor", 3, reranker=opened)._repr_html_()
    with pytest.raises(inlay.InputError, match="candidates=2 are fewer than the k=3 hits"):
        searcher.search("sailor", 3, reranker=opened, candidates=2)


def test_texts_are_scored_best_first_and_what_was_cut_is_said(
    reranker: Path, tmp_path: Path, capsys: Capture, piped: Callable[[bytes], None]
) -> None:
    texts = ["the baker saw bread", "a pilot on the runway", "the sailor saw a storm by the anchor"]
    assert run(["reranker", "score", str(reranker), "sailor", *texts]) == 0
    scores = Reranker.load(reranker).scores("sailor", texts)
    order = np.argsort(-scores, kind="stable")
    told = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=2)[2] for line in told] == [texts[at] for at in order]
    piped(("\n".join([*texts, "storm " * 600]) + "\n").encode())
    assert run(["reranker", "score", str(reranker), "sailor", "-", "--json"]) == 0
    out, err = capsys.readouterr()
    tree = json.loads(out)
    assert len(tree["texts"]) == 4
    assert tree["shortened"] == 1
    assert "1 of 4 pairs were too long and lost " in err


def test_nothing_to_score_is_a_line(reranker: Path, piped: Callable[[bytes], None], refused: Refused) -> None:
    refused(["reranker", "score", str(reranker), " ", "text"], "the query is empty")
    refused(["reranker", "score", str(reranker / "no"), "query", "text"], "no")
    piped(b"")
    refused(["reranker", "score", str(reranker), "query", "-"], "there is no text to score")
