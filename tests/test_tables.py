"""The tables of the README and the handbook: what they quote is what was measured, and nothing else."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
try:
    import tables
finally:
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("document", tables.DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_documents_quote_the_results(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert tables.written(text) == text, "run: python benchmarks/tables.py"


def test_every_table_stands_in_both_languages() -> None:
    for name in tables.TABLES:
        found = [path.name for path in tables.DOCUMENTS if f"<!-- table: {name} -->" in path.read_text("utf-8")]
        english = {name for name in found if not name.endswith(".zh-CN.md")}
        assert english, name
        assert {f"{Path(name).stem}.zh-CN.md" for name in english} == set(found) - english
