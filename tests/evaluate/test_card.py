"""The model card is front matter that hubs read, and Markdown that shows the tree's text as text."""

import re
from typing import Any

import pytest
import yaml
from fitted_tree import changed, fitted, places

from inlay.evaluate.card import card

NAN = float("nan")


def front(written: str) -> dict[str, Any]:
    _, head, _ = written.split("---\n", 2)
    found = yaml.safe_load(head)
    assert isinstance(found, dict)
    return found


def test_front_matter_tells_a_hub_what_it_is() -> None:
    found = front(card(fitted()))
    assert found["library_name"] == "sentence-transformers"
    assert found["pipeline_tag"] == "sentence-similarity"
    assert found["language"] == ["en"]
    assert {"sentence-transformers", "sentence-similarity", "feature-extraction"} <= set(found["tags"])


@pytest.mark.parametrize("lang", ["", None, "en\nlicense: mit", "[x]", "English"])
def test_a_language_without_a_code_is_not_told(lang: Any) -> None:
    found = front(card(changed(("lang",), lang)))
    assert set(found) == {"library_name", "pipeline_tag", "tags"}


def test_it_says_how_to_use_it_how_good_it_is_and_its_limits() -> None:
    written = card(fitted())
    for expected in (
        'inlay.load("path/to/this/folder")',
        "inlay search path/to/this/folder",
        'SentenceTransformer("path/to/this/folder")',
        "| **both** (shipped) | 0.721 (0.691 – 0.751) | 0.737 (0.707 – 0.767) | 0.729 |",
        "reaches 0.729 on average, and BM25 0.685",
        "- Documents kept: 1,000",
        "256 dimensions, 31,204 tokens, 31.9 MB",
        "## Limits",
    ):
        assert expected in written


def test_its_python_can_be_compiled() -> None:
    blocks = re.findall(r"```python\n(.*?)```", card(fitted()), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "README.md", "exec")


@pytest.mark.parametrize("value", [..., None, [], {}, NAN, "?", -1], ids=repr)
def test_a_part_that_is_missing_or_odd_stops_nothing(value: Any) -> None:
    for path in places(fitted()):
        written = card(changed(path, value))
        front(written)
        assert not re.search(r"\b(nan|None|inf)\b", written), path
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in written.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, path


def test_an_empty_tree_is_a_card_without_results() -> None:
    written = card({})
    assert "## Use" in written
    assert "## Results" not in written
    assert "## Data" not in written


MARKUP = ["<script>x</script>", "a | b", "a\n## b", "[a](javascript:b)", "![a](b)", "`code`\n---", "\ud800 \x00 &lt;"]


@pytest.mark.parametrize("text", MARKUP, ids=ascii)
def test_text_from_the_data_stays_text(text: str) -> None:
    tree = fitted()
    tree["data"]["sources"], tree["choice"]["why"] = [text], [text]
    tree["ladder"][1]["name"] = text
    written = card(tree)
    written.encode("utf-8")
    plain = card(fitted())
    for mark in (r"<", r"\[", r"`", r"!", r"&", r"\|"):
        assert len(re.findall(rf"(?<!\\){mark}", written)) == len(re.findall(rf"(?<!\\){mark}", plain)), mark
    blocks = re.compile(r"^(?:#|---|```).*", re.MULTILINE)
    assert blocks.findall(written) == blocks.findall(plain)
