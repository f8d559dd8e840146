"""What is kept of Markdown, and how long the worst pages take."""

import time

import pytest

from inlay.text.markup import html, markdown


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Write `<!--` first.\nThen `-->`.\n", "Write <!-- first.\nThen -->."),
        ("```html\n<!-- kept -->\n<!--\n```\nrest<!-- no\nmore -->.", "<!-- kept -->\n<!--\nrest."),
        ("a<!-- ```\nno\n-->b `c` <!-- never closed", "ab c"),
        ("~~~\n<!-- never closed", "<!-- never closed"),
        ("```span``` and *words*\n\n# Heading\n", "span and words\n\nHeading"),
    ],
)
def test_markdown_keeps_its_code_and_drops_its_comments(source, text):
    assert markdown(source).text == text


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "<",
        "*",
        "`",
        "_a",
        "![a](",
        "# ",
        "<!--",
        "<!",
        "<?",
        "<![",
        "</",
        "<a ",
        "<a b='",
        '<a b="',
        "<a b='c' ",
        "&",
        "&#",
        "<script>",
        "<svg ",
        "<pre>",
        "<h1>",
        "[a][",
        "\\",
        "> ",
        "- ",
        "a\n-\n",
    ],
)
@pytest.mark.parametrize("parse", [markdown, html])
def test_markup_takes_linear_time(piece, parse):
    text = "x " + piece * (100_000 // len(piece))
    start = time.process_time()
    assert parse(text).text
    assert time.process_time() - start < 2
