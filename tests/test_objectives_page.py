"""The pictures of what models see: drawn by the objectives, of every objective, in both languages."""

import json
import sys
import types
from pathlib import Path
from typing import Any, get_args

import pytest

from inlay.objective.distill import Distill
from inlay.train.recipe import Objective

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def script() -> Any:
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(DOCS))
    try:
        import objectives
    finally:
        sys.path.remove(str(DOCS))
    return objectives


@pytest.fixture(scope="module")
def asked() -> set[str]:
    return set()


@pytest.fixture(scope="module")
def shown(script: types.ModuleType, asked: set[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The panels by name, drawn after two steps of training, which show as much."""

    def say(english: str) -> str:
        asked.add(english)
        return english

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "STEPS", 2)
        panels = script.panels(script.Scene("zh", tmp_path_factory.mktemp("scene")), say)
    return {panel.name: panel for panel in panels}


def test_every_objective_has_a_panel(shown: dict[str, Any]) -> None:
    wanted = {one.__name__ for one in (*get_args(Objective), Distill)}
    assert {name.split(",")[0] for name in shown} == wanted


def test_every_translation_is_used(script: types.ModuleType, shown: dict[str, Any], asked: set[str]) -> None:
    known = set(json.loads((DOCS / "objectives.zh.json").read_text(encoding="utf-8")))
    assert known == asked | {script.TITLE, *script.NOTES}


def test_hidden_tokens_are_told_and_told_ones_were_hidden(shown: dict[str, Any]) -> None:
    text = script_text(shown["CausalLM"])
    for name in ("MaskedLM", "MaskedLM, WholeWord", "MaskedLM, Spans"):
        seen, told = shown[name].rows
        places = {place for place, (_, kind) in enumerate(seen.cells) if kind not in ("text", "special")}
        assert places == set(told.under)
        filled = [word for word, _ in seen.cells]
        for place, (word, _) in zip(told.under, told.cells, strict=True):
            filled[place] = word
        assert filled == text


def test_a_chinese_word_is_hidden_whole(shown: dict[str, Any]) -> None:
    _, told = shown["MaskedLM, WholeWord"].rows
    words = {"绿茶", "温水", "冲泡", "时间", "不要", "红茶", "可以", "开水"}
    letters = [word for word, _ in told.cells]
    assert {"".join(pair) for pair in zip(letters[::2], letters[1::2], strict=True)} <= words


def test_what_is_written_and_read_makes_the_text(shown: dict[str, Any]) -> None:
    text = script_text(shown["CausalLM"])
    read, write = ([word for word, _ in row.cells] for row in shown["SpanCorruption"].rows)
    runs: dict[str, list[str]] = {}
    for word in write[:-1]:
        if word.startswith("<extra_id_"):
            runs[word] = []
        else:
            runs[list(runs)[-1]].append(word)
    assert [piece for word in read for piece in runs.get(word, [word])] == text
    assert [word for word, _ in shown["Denoise"].rows[-1].cells] == text


def script_text(causal: Any) -> list[str]:
    """The text that all panels show, from the one that hides nothing."""
    return [word for word, _ in causal.rows[0].cells]
