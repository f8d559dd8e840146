import json

import pytest

from inlay.text.check import check
from inlay.text.corpus import Corpus, CorpusConfig, Document


def words(n: int, seed: int) -> str:
    return " ".join(f"w{seed}x{i}" for i in range(n))


def test_counts_are_those_of_the_corpus():
    texts = [words(10, 1), words(20, 2), "", words(20, 2).upper(), "Кот и 猫猫 ß"]
    result = check(Corpus(texts), lang="en")
    assert (result.documents, result.empty, result.duplicates) == (5, 1, 1)
    assert result.words == 10 + 20 + 20 + 4
    assert result.characters == sum(map(len, texts))
    assert result.bytes == sum(len(text.encode()) for text in texts)
    assert (result.lengths.min, result.lengths.max, result.lengths.median) == (0, 20, 10)
    assert sum(count for _, _, count in result.lengths.bins) == 5
    assert all(low <= high for low, high, _ in result.lengths.bins)


def test_each_length_falls_into_its_bin():
    result = check(Corpus([words(n, n) for n in (1, 2, 3, 4, 7, 8)]), lang="en")
    assert result.lengths.bins == [(1, 1, 1), (2, 3, 2), (4, 7, 2), (8, 15, 1)]


def test_scripts_are_shares_of_the_letters():
    result = check(Corpus(["abc 猫狗, кот! ねこ 한글 ａ 123"]), lang="en")
    assert sum(result.scripts.values()) == pytest.approx(1)
    assert {script: round(share * 13) for script, share in result.scripts.items()} == {
        "Latin": 4,
        "Cyrillic": 3,
        "Han": 2,
        "Hiragana": 2,
        "Hangul": 2,
    }


def test_near_duplicates_are_counted_apart_from_exact_ones():
    base = words(300, 1)
    result = check(Corpus([base, base, base + " more", words(300, 2)]), lang="en")
    assert (result.duplicates, result.near_duplicates, result.near_checked) == (1, 1, 4)


def test_ids_are_compared_as_they_are():
    documents = [Document(id=name, text=words(9, n)) for n, name in enumerate(["a", "A", "a", "b", "a"])]
    assert check(Corpus(documents), lang="en").duplicate_ids == 2


def test_a_faulty_file_is_listed_and_the_others_are_read(tmp_path):
    (tmp_path / "a.txt").write_bytes("中文的文本".encode("gb18030"))
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n{"text": 2}\n{"text": "three"}\n')
    (tmp_path / "c.txt").write_text("fine", encoding="utf-8")
    (tmp_path / "d.txt").write_text("")
    result = check(Corpus(tmp_path))
    assert result.documents == 2
    assert len(result.faults) == 2
    assert "a.txt line 1: not UTF-8" in result.faults[0]
    assert "b.jsonl line 2" in result.faults[1]
    assert any("d.txt" in problem for problem in result.problems)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([words(2000, 1)], "1 document left of 1"),
        ([words(2000, 1), words(2000, 1)], "1 document left of 2"),
        ([words(10, 1), words(10, 2)], "20 words in all; training needs at least 500"),
        ([], "0 documents left of 0"),
        (["", ""], "0 words in all"),
    ],
)
def test_too_little_text_cannot_be_trained_on_and_the_rule_is_said(texts, reason):
    result = check(Corpus(texts))
    assert not result.trainable
    assert any(reason in problem for problem in result.problems)


def test_enough_text_can_be_trained_on():
    result = check(Corpus([words(600, 1), words(600, 2)]))
    assert result.trainable
    assert result.problems == []


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("First one. Second one.", "First one."),
        ("版本3.5很好。第二句。", "版本3.5很好。"),
        ("heading\nbody", "heading"),
        ("x" * 400, "x" * 159 + "…"),
    ],
)
def test_an_example_is_a_first_sentence(text, example):
    assert check(Corpus([text]), lang="en").examples == [example]


def test_batches_change_nothing():
    texts = [words(5, n) for n in range(3000)]
    assert check(Corpus(texts), lang="en").documents == 3000
    assert check(Corpus(texts), lang="en").near_checked == 3000


def test_the_result_is_plain_json(tmp_path):
    result = check(Corpus([words(5, 1)], config=CorpusConfig(unit="line")))
    assert json.loads(json.dumps(result.to_tree()))["documents"] == 1


def test_chinese_is_told_and_segmented(data):
    result = check(Corpus(data / "zh-retrieval-derived-drcd-test"))
    assert (result.language, next(iter(result.scripts)), result.trainable) == ("zh", "Han", True)
    assert result.documents == 1000
    assert result.duplicate_ids == 0
