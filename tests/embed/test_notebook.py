"""How models, reports and hits look in a notebook: tables that hold the figures, and nothing that is not escaped."""

import html
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from inlay.embed.context import ContextEmbedder
from inlay.embed.notebook import shorten
from inlay.embed.static import StaticEmbedder
from inlay.fit import Fitted
from inlay.search.searcher import Hit, Hits, Searcher
from inlay.vectors.wordvectors import WordVectors

EVIL = "<script>alert(1)</script>"


def cells(table: str) -> list[str]:
    return [html.unescape(cell.split("</t")[0]) for cell in table.replace("<th>", "<td>").split("<td>")[1:]]


def test_a_static_model_and_its_report_show_their_figures() -> None:
    embedder = StaticEmbedder.from_vectors(WordVectors(["king", "queen"], np.ones((2, 4), np.float32)))
    shown = cells(embedder._repr_html_())
    assert shown[:2] == ["dimensions", "4"]
    assert shown[shown.index("known tokens") + 1] == "2"
    _, report = embedder.encode(["king unheard"], report=True)
    shown = cells(report._repr_html_())
    assert shown[shown.index("texts") + 1] == "1"
    assert {"tokens", "dropped", "unknown", "empty"} <= set(shown)


def test_an_encoder_shows_how_its_vectors_are_made(tmp_path: Path) -> None:
    from inlay.convert import save_model
    from inlay.model.presets import preset
    from inlay.tokenize.kinds import WordPiece
    from inlay.tokenize.tokenizer import Tokenizer

    tokenizer = Tokenizer.train(["the king saw the queen"] * 3, WordPiece(size=60))
    bert = preset("bert-tiny")
    config = replace(bert, input=replace(bert.input, vocab_size=tokenizer.size), heads=())
    save_model(config.build(seed=0), tmp_path / "bert", tokenizer=tokenizer)
    shown = cells(ContextEmbedder.load(tmp_path / "bert")._repr_html_())
    assert shown[shown.index("layers") + 1].isdigit()
    assert "Mean" in shown[shown.index("pools") + 1]


def test_hits_are_a_list_and_a_table_in_which_everything_is_escaped() -> None:
    hits = Hits([Hit(id="a", score=0.5, title=EVIL, text="x" * 500)])
    table = hits._repr_html_()
    assert hits == list(hits)
    assert EVIL not in table
    assert cells(table)[5:] == ["1", "0.500", "a", EVIL, "x" * 119 + "…"]


def test_a_search_and_a_fit_show_themselves(model: Path) -> None:
    hits = Searcher.load(model).search("sailor storm", 3)
    assert hits._repr_html_().count("<tr>") == 4
    tree = json.loads((model / "inlay.json").read_text())
    table = Fitted(folder=model, tree=tree)._repr_html_()
    assert table.count("<tr>") == 1 + len(tree["ladder"])
    assert "shipped" in cells(table)


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    assert shorten("a  b\nc", 5) == "a b c"
    assert shorten("abcdef", 5) == "abcd…"
