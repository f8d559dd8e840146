"""Judged texts in files of one's own, and the named tasks: what is read, and errors that name file and line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.evaluate import suite
from inlay.evaluate.beir import Beir
from inlay.evaluate.given import read
from inlay.evaluate.judged import Candidates, Halves, JudgedPairs, Labelled, ScoredPairs
from inlay.evaluate.named import NAMES, TASKS
from inlay.evaluate.sentences import texts_of
from inlay.text import data as sets


def written(tmp_path: Path, text: str, name: str = "a.csv") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_every_kind_of_file_is_read(tmp_path: Path) -> None:
    scored = read(written(tmp_path, "sentence1,sentence2,score\na,b,1\nc,d,0.5\n猫,狗,0\n"), "sts")
    assert isinstance(scored, ScoredPairs)
    assert scored.second == ["b", "d", "狗"]
    assert scored.scores.tolist() == [1.0, 0.5, 0.0]
    judged = read(written(tmp_path, "text1,text2,label\n" + "a,b,1\nc,d,false\n" * 2), "pairs")
    assert isinstance(judged, JudgedPairs)
    assert judged.alike.tolist() == [True, False] * 2
    labelled = read(written(tmp_path, "text,label\na,x\nb,y\nc,x\n"), "clusters")
    assert isinstance(labelled, Labelled)
    assert labelled.labels == ["x", "y", "x"]
    lists = '{"query": "q", "positive": "p", "negative": ["n", "m"]}\n'
    candidates = read(written(tmp_path, lists, "a.jsonl"), "rerank")
    assert isinstance(candidates, Candidates)
    assert candidates.texts == [["p", "n", "m"]]
    assert candidates.relevant == [[True, False, False]]


def test_a_probe_learns_from_the_train_file_or_from_four_fifths(tmp_path: Path) -> None:
    path = written(tmp_path, "text,label\n" + "".join(f"t{at},{at % 2}\n" for at in range(50)))
    other = written(tmp_path, "text,label\nnew,0\nolder,1\n", "train.csv")
    split = read(path, "probe")
    assert isinstance(split, Halves)
    assert len(split.test.texts) == 10
    assert {*split.train.texts, *split.test.texts} == {f"t{at}" for at in range(50)}
    assert read(path, "probe", seed=1).test.texts != split.test.texts  # type: ignore[union-attr]
    given = read(path, "probe", train=other)
    assert isinstance(given, Halves)
    assert given.train.texts == ["new", "older"]
    assert len(given.test.texts) == 50


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("sts", "text1,text2\na,b\n", r"a.csv line 2: no field 'score' \(or .*\); there are 'text1', 'text2'"),
        ("sts", "text1,text2,score\na,b,1\nc,,2\n", "a.csv line 3: field 'text2' is empty"),
        ("sts", "text1,text2,score\na,b,1\nc,d,much\n", "a.csv line 3: field 'score' must be a number, not 'much'"),
        ("sts", "text1,text2,score\n" + "a,b,3\n" * 4, "a.csv: all 4 pairs have the score 3"),
        ("sts", "text1,text2,score\n", "a.csv: there are 0 pairs"),
        ("pairs", "text1,text2,label\na,b,maybe\n", r"a.csv line 2: label 'maybe' must be 1 \(alike\) or 0"),
        ("pairs", "text1,text2,label\n" + "a,b,1\n" * 4, "a.csv: all 4 pairs are alike"),
        ("clusters", "text,label\na,x\nb,x\n", "a.csv: all 2 texts have the label 'x'"),
        ("probe", "text,label\na,x\n", "a.csv: all 1 texts have the label 'x'"),
        ("rerank", "query,positive\nq,p\n", "a.csv line 2: no field 'negative'"),
        ("rerank", "query,positive,negative\nq,p,p\n", "a.csv line 2: 'p' is both positive and negative"),
        ("rank", "query\nq\n", "kind 'rank' is unknown; did you mean 'rerank'"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_its_line(kind: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(written(tmp_path, text), kind)


def test_what_learns_nothing_takes_no_file_to_learn_from(tmp_path: Path) -> None:
    path = written(tmp_path, "text1,text2,score\na,b,1\n")
    with pytest.raises(InputError, match="sts learns nothing from"):
        read(path, "sts", train=path)


def test_every_named_task_is_read_whole_and_always_the_same(data: Path) -> None:
    kinds = {"sts": ScoredPairs, "pairs": JudgedPairs, "clusters": Labelled, "probe": Halves, "rerank": Candidates}
    for task in TASKS:
        if not (data / task.data_set).is_dir():
            continue
        found, again = (task.read(data / task.data_set) for _ in range(2))
        assert isinstance(found, kinds.get(task.kind, Beir)), task
        assert texts_of(found) == texts_of(again) > 500, task
        if isinstance(found, Labelled) and isinstance(again, Labelled):
            assert list(found.texts) == list(again.texts)
        if isinstance(found, JudgedPairs):
            assert found.dev is not None
            assert 0.1 < found.alike.mean() < 0.9


def test_suites_and_names_are_chosen_and_unknown_ones_named() -> None:
    assert {task.lang for task in suite.chosen("small-zh")} == {"zh"}
    assert len(suite.chosen("small-en")) + len(suite.chosen("small-zh")) == len(suite.chosen("small"))
    assert [task.kind for task in suite.chosen(["xquad-en"])] == ["clusters", "rerank", "retrieval"]
    assert {task.data_set for task in TASKS} <= set(sets.NAMES)
    for asked, message in (("smal", "did you mean 'small'"), (["sts-z"], "did you mean 'sts-zh'"), ([], "choose from")):
        with pytest.raises(InputError, match=message):
            suite.chosen(asked)
    assert "xquad-zh" in NAMES


def test_a_damaged_data_set_names_its_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inlay.embed.static import StaticEmbedder
    from inlay.vectors.wordvectors import WordVectors

    monkeypatch.delenv("INLAY_DATA", raising=False)
    (tmp_path / "sts-zh").mkdir()
    embedder = StaticEmbedder.from_vectors(WordVectors(["a", "b"], np.eye(2, dtype=np.float32)))

    def refused(text: str | None, names: Sequence[str] = ("sts-zh",)) -> str:
        if text is not None:
            (tmp_path / "sts-zh" / "sts-b-test.txt").write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as error:
            suite.run(embedder, list(names), folder=tmp_path)
        return str(error.value)

    assert "sts-b-test.txt: no such file; the data set is not whole" in refused(None)
    assert "sts-b-test.txt line 2: 2 cells, but 3 are needed" in refused("a\tb\t1\na\tb\n")
    assert "sts-b-test.txt line 1: 'x' must be a number" in refused("a\tb\tx\n")
    for name, file, text in (
        ("trec-question-types", "qc.zip", "no zip"),
        ("xquad-en", "xquad.en.json", "[]"),
        ("waimai-10k", "waimai_10k.csv", "a,b\n1,2\n"),
    ):
        folder = tmp_path / name.removesuffix("-en")
        folder.mkdir()
        (folder / file).write_text(text, encoding="utf-8")
        assert f"cannot be read for {name}" in refused(None, [name])
