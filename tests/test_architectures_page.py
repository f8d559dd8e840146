"""The page of architectures: what it says of a preset comes from the preset, in both languages."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from inlay.model.papers import PAPERS
from inlay.model.presets import PRESETS

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["architectures.md", "architectures.zh-CN.md"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(DOCS))
    try:
        import architectures
    finally:
        sys.path.remove(str(DOCS))
    return architectures


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_what_the_presets_say(page: str, script: ModuleType) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert script.written(text, script.words(DOCS / page)) == text, "run: python docs/architectures.py"


@pytest.mark.parametrize("page", PAGES)
def test_every_paper_has_a_section_and_every_preset_a_row(page: str, script: ModuleType) -> None:
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    sections = [line.split()[2] for line in lines if line.startswith("<!-- presets: ")]
    assert sections == ["glance", *script.HEADINGS]
    assert set(script.HEADINGS) == set(PAPERS)
    assert [name for name in PRESETS if sum(line.startswith(f"| `{name}` | ") for line in lines) != 1] == []


def test_a_changed_preset_changes_the_page(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = script.section("albert", str)
    monkeypatch.setitem(PRESETS, "albert-base", PRESETS["bert-base"])
    after = script.section("albert", str)
    assert "n_unique=1" in before
    assert "n_unique=1" not in after
    assert "| `encoder.n_unique` |" in before
    assert "| `encoder.n_unique` |" not in after


def test_every_translation_is_used(script: ModuleType) -> None:
    asked: set[str] = set()

    def say(english: str) -> str:
        asked.add(english)
        return english

    script.glance(say)
    for family in script.HEADINGS:
        script.section(family, say)
    assert set(json.loads((DOCS / "architectures.zh.json").read_text(encoding="utf-8"))) == asked
