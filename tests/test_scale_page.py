"""The page of scale: its tables are what docs/scale.py writes, and its arithmetic is what it says it is."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["scale.md", "scale.zh-CN.md"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(DOCS))
    try:
        import scale
    finally:
        sys.path.remove(str(DOCS))
    return scale


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_are_what_the_script_writes(page: str, script: ModuleType) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert script.written(text, script.words(DOCS / page)) == text, "run: python docs/scale.py"
    assert [name for name in script.TABLES if f"<!-- scale: {name} -->" not in text] == []


def test_heads_are_all_in_the_language_of_the_page(script: ModuleType) -> None:
    for make in script.TABLES.values():
        head = script.table(make(), script.CHINESE).splitlines()[0]
        words = {word for word in head.replace("|", " ").split() if word.isascii() and word.isalpha()}
        assert words <= {"ddp", "fsdp", "CPU", "GPU", "MB"}


def test_the_arithmetic_is_that_of_the_page(script: ModuleType) -> None:
    """Worked out by hand for a billion weights: 16 GB; 989e12 · 0.4 / 6e9 = 65,933 tokens a second of a GPU."""
    row = {
        name: dict(zip(make()[0], make()[3], strict=True)) for name, make in script.TABLES.items() if name != "measured"
    }
    assert row["memory"] == {
        "weights": "1 B", "ddp, any number": "16 GB", "fsdp, 8": "2 GB", "fsdp, 64": "0.25 GB", "checkpoint": "12 GB",
    }  # fmt: skip
    assert script.rate(1e9, 1) == pytest.approx(65_933, rel=1e-4)
    assert row["time"]["tokens a day, 1"] == "5.7 B"
    assert row["time"]["days, 8"] == "0.44"
    assert row["bandwidth"]["fsdp, a step"] == "12 GB"
    assert row["bandwidth"]["fsdp, 8 GPU"] == "12.7 GB/s"
    assert row["disk"]["shards"] == "40 GB"
    assert row["disk"]["made at 0.4 M tokens/s"] == "14 h"


@pytest.mark.parametrize("page", PAGES)
def test_the_models_that_were_measured_are_of_the_sizes_that_the_page_says(page: str, script: ModuleType) -> None:
    found = json.loads((DOCS.parent / "benchmarks" / "results" / "ranks.json").read_text(encoding="utf-8"))
    text = (DOCS / page).read_text(encoding="utf-8")
    for row in found["runs"]:
        millions = row["parameters"] / 1e6
        said = f"{round(10 * millions) * 10} 万权重" if script.words(DOCS / page) else f"of {millions:.1f} million"
        assert said in text
