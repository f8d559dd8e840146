"""The report is one well-formed page, complete in itself, whatever the tree holds or lacks."""

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from fitted_tree import changed, fitted, places
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.evaluate import style
from inlay.evaluate.report import html
from inlay.evaluate.shown import megabytes, number, seconds, text
from inlay.evaluate.svg import Axis, curve

NAN = float("nan")
SECTIONS = ["choice", "quality", "examples", "data", "lengths", "map", "training", "cost", "config"]


def page(tree: dict[str, Any]) -> ElementTree.Element:
    """The page as a strict reader of XML takes it, held against what must be so of every page."""
    written = html(tree)
    root = ElementTree.fromstring(written.encode("utf-8"))
    for element in root.iter():
        element.tag = element.tag.rsplit("}")[-1]
    assert not re.search(r"\b(nan|inf|infinity|None)\b", seen(root), re.IGNORECASE)
    numbers = [value for element in root.iter() for key, value in element.items() if key in NUMERIC]
    assert not [value for value in numbers if re.search(r"nan|inf", value)]
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    links = [link.get("href", "").removeprefix("#") for link in root.iter("a")]
    assert set(links) <= set(ids)
    for element in root.iter():
        assert set((element.get("aria-labelledby") or "").split()) <= set(ids)
        # The other direction of "nothing is left half": no list or table stands empty.
        if element.tag in {"ul", "ol", "dl", "tbody", "section"}:
            assert len(element), element.tag
    return root


NUMERIC = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "d", "width", "height", "viewBox"}


def seen(root: ElementTree.Element) -> str:
    """All text of the page but its style."""
    return " ".join(element.text or "" for element in root.iter() if element.tag != "style") + " ".join(
        element.tail or "" for element in root.iter()
    )


def sections(root: ElementTree.Element) -> list[str | None]:
    return [section.get("id") for section in root.iter("section")]


def test_a_full_tree_fills_every_section() -> None:
    root = page(fitted())
    assert sections(root) == SECTIONS
    told = seen(root)
    for expected in ("1,000", "61,234", "Hybrid", "0.729", "BM25 0.685 (+0.044)", "both is the best.", "長江", "99.1"):
        assert expected in told
    assert "json.dumps Serialize" not in told  # the title is not told twice


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    root = page(fitted())
    forbidden = {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for element in root.iter():
        assert element.tag not in forbidden
        for name, value in element.items():
            assert not name.startswith("on")
            assert name not in {"src", "srcset", "action"}
            assert name != "href" or value.startswith("#")
    assert not re.search(r"url\(|@import|@font-face", style.STYLE)


def test_headings_captions_and_drawings_can_be_read_aloud() -> None:
    root = page(fitted())
    assert [heading.tag for heading in root.iter() if re.fullmatch("h[12]", heading.tag)] == ["h1"] + ["h2"] * 9
    assert all(table.find("caption") is not None for table in root.iter("table"))
    assert all(head.get("scope") for head in root.iter("th"))
    drawings = [svg for svg in root.iter("svg") if svg.get("role") == "img"]
    assert len(drawings) > 8
    for svg in drawings:
        assert svg.find("title") is not None
        assert svg.get("aria-label") or svg.find("desc") is not None


def test_one_rung_is_marked_as_shipped_and_rungs_keep_their_order() -> None:
    root = page(fitted())
    table = next(table for table in root.iter("table") if table.get("class") == "ladder")
    rows = list(table.find("tbody") or [])
    assert ["".join(row[0].itertext()) for row in rows] == [
        "bm25what bm25 is",
        "lsawhat lsa is",
        "bothshippedwhat both is",
    ]
    assert [row.get("class") for row in rows] == [None, None, "shipped"]


def test_whiskers_stand_where_the_numbers_say() -> None:
    root = page(fitted())
    whiskers = [svg for svg in root.iter("svg") if svg.get("class") == "whisker"]
    dots = [float(circle.get("cx", "").rstrip("%")) for svg in whiskers for circle in svg.iter("circle")]
    values = [0.668, 0.702, 0.571, 0.633, 0.721, 0.737]
    assert np.corrcoef(dots, values)[0, 1] == pytest.approx(1, abs=1e-5)
    assert all(0 <= dot <= 100 for dot in dots)


@pytest.mark.parametrize("value", [..., None, [], {}, NAN, "?", -1], ids=repr)
@pytest.mark.parametrize("path", places(fitted()), ids=lambda path: ".".join(map(str, path)))
def test_a_part_that_is_missing_or_odd_stops_nothing(path: tuple[Any, ...], value: Any) -> None:
    page(changed(path, value))


@pytest.mark.parametrize(
    ("key", "gone"),
    [("ladder", "quality"), ("examples", "examples"), ("map", "map"), ("losses", "training"), ("stages", "cost")]
    + [("config", "config")],
)
def test_what_is_not_there_has_no_section(key: str, gone: str) -> None:
    assert sections(page(changed((key,), ...))) == [name for name in SECTIONS if name != gone]


def test_an_empty_tree_is_a_page_without_sections() -> None:
    assert sections(page({})) == []


def test_one_rung_without_intervals_is_drawn() -> None:
    tree = fitted()
    tree["ladder"] = [{"name": "bm25", "scores": {"title": {"ndcg@10": 0.5}}, "mean": 0.5, "shipped": True}]
    told = seen(page(tree))
    assert "BM25 itself" in told
    assert "Whiskers" not in told


def test_a_mean_over_no_queries_is_not_told() -> None:
    tree = fitted()
    tree["ladder"] = [rung | {"scores": {}, "mean": 0.0} for rung in tree["ladder"]]
    assert "0.000" not in seen(page(tree))


HOSTILE = [
    "<script>alert(1)</script>",
    "</style></title></svg><img src=x onerror=alert(1)>",
    "\"'><b a=\"'",
    "]]> <!-- --> &amp; &#0; <?x ?>",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
    "nul \x00 bell \x07 escape \x1b c1 \x85",
    "lone \ud800 surrogates \udfff",
    "not a character \ufffe\uffff",
    "long " * 20_000,
    "長" * 50_000,
    "a\nb\r\nc\u2028d",
    "🜁 e\u0301",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_text_from_the_data_stays_text(text: str) -> None:
    def poison(part: Any) -> Any:
        if isinstance(part, dict):
            named = {key: poison(value) for key, value in part.items()}
            return named | ({text: 0.5} if part and all(isinstance(value, float) for value in part.values()) else {})
        if isinstance(part, list | tuple):
            return [poison(value) for value in part]
        return text if isinstance(part, str) else part

    tree = poison(fitted())
    tree["losses"][text] = [2.0, 1.0]
    tree["config"][text] = text
    plain, root = page(fitted()), page(tree)
    allowed = {element.tag for element in plain.iter()}
    assert {element.tag for element in root.iter()} <= allowed
    attributes = {name for element in plain.iter() for name in element.attrib}
    assert {name for element in root.iter() for name in element.attrib} <= attributes
    assert len(html(tree)) < 150_000


def test_every_other_reader_sees_the_same_text() -> None:
    """A browser reads HTML, not XML: both readers must see the same."""
    tree = changed(("examples", 0, "query"), HOSTILE[1])

    class Reader(HTMLParser):
        found = ""

        def handle_data(self, data: str) -> None:
            self.found += data

    reader = Reader()
    reader.feed(html(tree))
    expected = "".join(ElementTree.fromstring(html(tree).encode()).itertext())
    assert "".join(reader.found.split()) == "".join(expected.split())


def test_a_thousand_points_with_long_titles_make_a_small_file() -> None:
    tree = fitted()
    tree["map"] = {"x": list(range(1000)), "y": list(range(1000)), "titles": ["長江" * 100] * 1000, "groups": None}
    assert len(html(tree).encode()) < 300_000
    assert len([dot for dot in page(tree).iter("circle") if dot.get("class") == "g0"]) == 1000


def test_a_larger_map_says_that_it_is_a_sample() -> None:
    tree = fitted()
    line = list(range(5001))
    tree["map"] = {"x": line, "y": line, "groups": [str(place % 20) for place in line]}
    root = page(tree)
    assert len(list(root.iter("circle"))) < 1100
    assert "of 5,001 documents" in seen(root)
    assert "other" in seen(root)


@given(
    st.lists(st.floats(), max_size=8),
    st.lists(st.floats(), max_size=8),
    st.lists(st.one_of(st.floats(), st.integers(), st.none(), st.text("ab")), max_size=200),
)
@settings(max_examples=150, deadline=None)
def test_any_numbers_can_be_drawn(x: list[float], y: list[float], losses: list[Any]) -> None:
    tree = fitted()
    tree["map"], tree["losses"] = {"x": x, "y": y, "groups": losses}, {"any": losses}
    tree["ladder"][0]["scores"]["title"] = {"ndcg@10": x[0] if x else None, "low": y[0] if y else None, "high": 1}
    tree["data"]["lengths"]["bins"] = [list(triple) for triple in zip(x, y, losses, strict=False)]
    tree["stages"] = [{"name": "any", "seconds": value, "cpu_s": value, "peak_mb": value} for value in losses]
    page(tree)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e90, max_value=1e90), min_size=1))
def test_an_axis_holds_its_values_between_few_round_ticks(values: list[float]) -> None:
    axis = Axis.around(values)
    low, high = axis.first * axis.step, axis.last * axis.step
    slack = 1e-6 * (high - low) + 1e-9 * max(map(abs, values))
    assert low - slack <= min(values)
    assert max(values) <= high + slack
    assert 2 <= len(axis.ticks()) <= 8
    assert all(0 <= axis.share(value) <= 1 for value in values)


def test_a_gap_in_the_losses_is_a_gap_in_the_line() -> None:
    drawn = curve([3.0, 2.0, None, 1.0], "name", "title", "description")
    assert re.search(r'd="M0 [\d.]+h.01L1 [\d.]+M3 [\d.]+h.01"', drawn)


@pytest.mark.parametrize("scheme", ["_LIGHT", "_DARK"])
def test_colours_can_be_told_from_the_paper(scheme: str) -> None:
    """WCAG 2: 4.5 to 1 for text, 3 to 1 for marks."""
    colours = dict(re.findall(r"--(\w+): (#\w{6})", getattr(style, scheme)))

    def light(name: str) -> float:
        parts = [int(colours[name][at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for paper in ("paper", "panel"):
        for name in colours.keys() - {"paper", "panel", "line"}:
            dark, bright = sorted((light(name), light(paper)))
            assert (bright + 0.05) / (dark + 0.05) >= (3 if name.startswith("g") else 4.5), (name, paper)


def test_numbers_are_told_in_units_that_fit() -> None:
    assert [seconds(value) for value in (0.4, 12.34, 59.97, 125, 12000)] == [
        "0.40 s",
        "12.3 s",
        "1 min 00 s",
        "2 min 05 s",
        "3 h 20 min",
    ]
    assert [megabytes(value) for value in (0, 0.0002, 0.0081, 0.0994)] == ["0.0 MB", "1 kB", "8 kB", "99 kB"]
    assert [megabytes(value) for value in (0.42, 99.97, 310, 1234)] == ["0.4 MB", "100 MB", "310 MB", "1.2 GB"]
    assert [number(value) for value in (np.float32(0.5), True, "1", 10**400, NAN)] == [0.5, None, None, None, None]
    assert text("one two three four", 12) == "one two t…"
    assert text("one two three four five", 22) == "one two three four…"
