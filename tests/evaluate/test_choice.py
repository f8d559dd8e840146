"""The choice: what is shipped on made-up results, and the bench that measures every method alike."""

import numpy as np
import pytest

from inlay.embed.rungs import DEFAULT, UNTUNED
from inlay.embed.static import StaticEmbedder
from inlay.evaluate import choice
from inlay.evaluate.choice import (
    Bench,
    Choice,
    Member,
    Result,
    choose_dense,
    choose_member,
    choose_search,
    default_fusion,
    encoder_fusion,
    weaker,
)
from inlay.evaluate.heldout import hold_out
from inlay.evaluate.retrieval import Scores
from inlay.search.hybrid import Feedback, Fusion, ReciprocalRank, ZSum
from inlay.text.document import Document
from inlay.tokenize.tokenizer import Tokenizer


def result(n: int = 100, seed: int = 0, **means: float) -> Result:
    """Scores of n questions a kind around the given means."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.05, n)
    noise -= noise.mean()
    return {
        kind: Scores(
            queries=[str(at) for at in range(n)],
            values={metric: mean + noise for metric in choice.METRICS},
        )
        for kind, mean in means.items()
    }


# --- the dense rung


def test_the_default_is_kept_unless_another_is_better_beyond_doubt() -> None:
    default = result(title=0.5, sentence=0.4)
    better = result(title=0.6, sentence=0.5)
    assert choose_dense({DEFAULT: default, "lsa": better})[0] == "lsa"
    name, why = choose_dense({"lsa": result(seed=1, title=0.503, sentence=0.402), DEFAULT: default})
    assert name == DEFAULT
    assert "not certainly better" in why
    name, why = choose_dense({"lsa": result(title=0.3, sentence=0.4), DEFAULT: default})
    assert name == DEFAULT
    assert "best dense rung: nDCG@10 0.450" in why


def test_a_gain_is_told_with_its_interval() -> None:
    _, why = choose_dense({DEFAULT: result(title=0.5, sentence=0.4), "lsa": result(title=0.6, sentence=0.5)})
    assert why.startswith(f"lsa beats {DEFAULT} by 0.100 [")


def test_both_kinds_weigh_the_same_however_many_questions_they_have() -> None:
    few, many = result(10, title=0.9), result(190, sentence=0.1)
    assert choice.mean({**few, **many}) == pytest.approx(0.5)
    change = choice.difference({**few, **many}, {**result(10, title=0.5), **result(190, sentence=0.1)})
    assert change.mean == pytest.approx(0.2)


def test_too_few_questions_compare_nothing() -> None:
    for few in (result(9, title=0.1, sentence=0.1), {}):
        name, why = choose_dense({DEFAULT: few, "lsa": result(9, title=0.9, sentence=0.9) if few else {}})
        assert name == DEFAULT
        assert "too few" in why


def test_where_nothing_could_be_tuned_the_untuned_rung_is_taken() -> None:
    name, why = choose_dense({UNTUNED: result(title=0.5), "lsa": result(title=0.9)})
    assert name == UNTUNED
    assert "too few pairs" in why


# --- the search


FUSIONS = weaker(default_fusion("en"))
LEXICAL = result(title=0.6, sentence=0.5)


def test_the_strongest_fusion_that_drops_nothing_is_taken() -> None:
    good, bad = result(title=0.62, sentence=0.52), result(title=0.7, sentence=0.48)
    assert choose_search(LEXICAL, [good, good, good], FUSIONS)[:2] == ("hybrid", FUSIONS[0])
    mode, fusion, why = choose_search(LEXICAL, [bad, good, good], FUSIONS)
    assert (mode, fusion) == ("hybrid", FUSIONS[1])
    assert why == ("BM25 + 0.375 × dense drops on no kind of question against BM25 (title +0.020, sentence +0.020)")
    assert choose_search(LEXICAL, [bad, bad, good], FUSIONS)[1] == FUSIONS[2]


def test_bm25_alone_answers_where_every_fusion_drops_on_some_kind() -> None:
    mode, _, why = choose_search(LEXICAL, [result(title=0.9, sentence=0.49)] * 3, FUSIONS)
    assert mode == "lexical"
    assert "every fusion drops" in why


def test_a_fall_is_a_drop_where_it_is_hardly_chance() -> None:
    before = result(title=0.5)["title"]
    noise = np.random.default_rng(1).normal(0, 0.1, 100)
    noise -= noise.mean()

    def after(fall: float, spread: float) -> Scores:
        return Scores(queries=before.queries, values={"ndcg@10": before.values["ndcg@10"] - fall + spread * noise})

    assert choice.drops(after(0.003, 0.0), before)
    assert not choice.drops(after(0.003, 1.0), before)
    assert choice.drops(after(0.03, 1.0), before)
    assert not choice.drops(after(-0.03, 1.0), before)
    assert not choice.drops(before, before)


def test_too_few_questions_leave_the_default_fusion() -> None:
    few = result(5, title=0.1, sentence=0.1)
    for lexical in (few, {}):
        assert choose_search(lexical, [few] * 3, FUSIONS)[:2] == ("hybrid", FUSIONS[0])


def test_chinese_takes_little_of_the_dense_ranking_and_no_feedback() -> None:
    zh, en = default_fusion("zh"), default_fusion("en")
    assert zh.feedback.strength == 0
    assert isinstance(zh.rule, ZSum)
    assert zh.rule.weight <= 0.25
    assert en.feedback.strength == 1
    assert [fusion.rule for fusion in weaker(en)] == [ZSum(weight=0.75), ZSum(weight=0.375), ZSum(weight=0.1875)]
    assert all(fusion.feedback == en.feedback for fusion in weaker(en))


def test_a_choice_is_a_plain_tree() -> None:
    fusion = Fusion(rule=ZSum(weight=0.5), feedback=Feedback(strength=0.25))
    made = Choice(dense="lsa", mode="hybrid", fusion=fusion, why=("so",)).tree()
    assert made == {"dense": "lsa", "mode": "hybrid", "weight": 0.5, "feedback": 0.25, "why": ["so"]}
    ranks = Choice(dense="lsa", mode="hybrid", fusion=Fusion(rule=ReciprocalRank()), why=())
    assert ranks.tree()["weight"] is None


def test_a_row_of_the_ladder_has_its_intervals() -> None:
    row = choice.row("lsa", "dense", "what it is", result(title=0.5, sentence=0.4), seconds=1.23456, shipped=True)
    assert {key: row[key] for key in ("name", "kind", "what", "seconds", "shipped")} == {
        "name": "lsa",
        "kind": "dense",
        "what": "what it is",
        "seconds": 1.235,
        "shipped": True,
    }
    assert row["mean"] == pytest.approx(0.45)
    title = row["scores"]["title"]
    assert title["low"] < title["ndcg@10"] < title["high"]
    assert title["ndcg@10"] == pytest.approx(0.5)
    assert set(title) == {*choice.METRICS, "low", "high"}
    assert choice.row("x", "dense", "", {})["scores"] == {}


# --- the member


def test_the_default_member_stays_unless_another_is_better_beyond_doubt() -> None:
    base = result(title=0.6, sentence=0.5)
    close, far = result(seed=1, title=0.603, sentence=0.502), result(title=0.7, sentence=0.6)
    name, (why,) = choose_member({"base": base, "fitted": close}, "base")
    assert name == "base"
    assert why == (
        "BM25 + base (0.550) did best on other corpora, and beside BM25 no other is certainly better (fitted 0.552)"
    )
    name, (why,) = choose_member({"base": base, "fitted": close, "tuned-lsa": far}, "base")
    assert name == "tuned-lsa"
    assert why.startswith("BM25 + tuned-lsa beats BM25 + base by 0.100 [")
    assert choose_member({"base": base}, "base") == ("base", [])


def test_what_was_asked_for_is_shipped_whatever_is_measured() -> None:
    name, (why,) = choose_member({"base": result(title=0.9), "fitted": result(title=0.1)}, "base", "fitted")
    assert name == "fitted"
    assert why == "fitted is shipped because that was asked for; beside BM25 it reaches 0.100"


def test_too_few_questions_leave_the_default_member() -> None:
    few = {"base": result(9, title=0.1), "fitted": result(9, title=0.9)}
    assert choose_member(few, "base")[0] == "base"
    assert choose_member({"base": {}, "fitted": {}}, "base")[0] == "base"


def test_an_encoder_weighs_more_than_a_table_and_in_chinese_as_little() -> None:
    assert encoder_fusion("en") == Fusion(rule=ZSum(weight=2), feedback=Feedback(strength=1))
    zh = encoder_fusion("zh")
    assert isinstance(zh.rule, ZSum)
    assert zh.rule.weight <= 0.25
    assert zh.feedback.strength == 0


# --- the bench


@pytest.fixture(scope="module")
def bench() -> Bench:
    documents = [
        Document(
            id=str(at),
            title=f"key{at}",
            text=f"This is about key{at}. Here part{at} of key{at} is. See more{at} of key{at}.",
        )
        for at in range(60)
    ]
    return Bench(hold_out(documents, seed=0), "en")


def test_bm25_finds_what_its_words_name(bench: Bench) -> None:
    found = bench.lexical_only()
    assert found["title"]["ndcg@10"] == pytest.approx(1)
    assert len(found["title"].queries) == 20


def test_every_method_is_measured_on_the_same_questions(bench: Bench) -> None:
    words = sorted({word.strip(".").lower() for text in bench.held.texts for word in text.split()})
    tokenizer = Tokenizer.from_vocabulary(words)
    table = np.random.default_rng(0).standard_normal((tokenizer.size, 32), np.float32)
    embedder = StaticEmbedder(tokenizer, table)
    member = bench.member("lsa", embedder)
    dense, lexical = bench.dense(member), bench.lexical_only()
    alone = Fusion(rule=ZSum(weight=0), feedback=Feedback(strength=0))
    nearly = Fusion(rule=ZSum(weight=100), feedback=Feedback(strength=0))
    by_words, by_vectors = bench.fused(member, [alone, nearly])
    for kind in ("title", "sentence"):
        assert np.array_equal(by_words[kind].values["ndcg@10"], lexical[kind].values["ndcg@10"])
        assert by_vectors[kind]["ndcg@10"] == pytest.approx(dense[kind]["ndcg@10"], abs=0.05)
        assert dense[kind].queries == lexical[kind].queries


def test_vectors_that_were_made_before_answer_as_their_embedder(bench: Bench) -> None:
    words = sorted({word.strip(".").lower() for text in bench.held.texts for word in text.split()})
    tokenizer = Tokenizer.from_vocabulary(words)
    embedder = StaticEmbedder(tokenizer, np.random.default_rng(0).standard_normal((tokenizer.size, 8), np.float32))
    member = bench.member("x", embedder)
    queries = [query for kind in bench.held.queries.values() for query in kind]
    answers = dict(zip(queries, embedder.encode(queries), strict=True))
    before = Member.of_vectors("x", embedder.encode(bench.held.texts), answers, member.fusion)
    for kind, scores in bench.dense(member).items():
        assert np.array_equal(bench.dense(before)[kind].values["ndcg@10"], scores.values["ndcg@10"])


def test_every_member_has_its_line_and_the_chosen_one_is_shipped(bench: Bench) -> None:
    tokenizer = Tokenizer.from_vocabulary(["key1", "part1"])
    rng = np.random.default_rng(0)
    tables = [rng.standard_normal((tokenizer.size, 4), np.float32) for _ in range(2)]
    base, table = (
        bench.member(name, StaticEmbedder(tokenizer, one), label=label)
        for name, label, one in zip(("base", "tuned-lsa"), ("base", "dense"), tables, strict=True)
    )
    rows, made = choice.decide(bench, [base, table], ["because"], ship="base")
    assert made.dense == "base"
    names = [row["name"] for row in rows]
    assert names[:3] == ["bm25", "bm25 + 0.75 dense", "bm25 rrf base"]
    assert len(set(names)) == len(names)
    assert sum(row["shipped"] for row in rows) == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_decision_ships_one_line_of_the_ladder(bench: Bench, lang: str) -> None:
    bench = Bench(bench.held, lang)
    tokenizer = Tokenizer.from_vocabulary(["key1", "part1"])
    noise = StaticEmbedder(tokenizer, np.random.default_rng(0).standard_normal((tokenizer.size, 4), np.float32))
    rows, made = choice.decide(bench, [bench.member("lsa", noise)], ["because"])
    assert rows[0]["name"] == "bm25"
    assert [row["name"] for row in rows if row["shipped"]] == (
        ["bm25"] if made.mode == "lexical" else [rows[-1]["name"]] if lang == "en" else ["bm25 + 0.2 dense"]
    )
    assert made.dense == "lsa"
    assert made.why[0] == "because"
    assert len({row["name"] for row in rows}) == len(rows)
