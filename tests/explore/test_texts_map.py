"""Maps of texts and heat maps: who is shown, in which colours, and pages that load nothing and let nothing in."""

import html
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inlay.cli import run
from inlay.embed.embedder import Embedder
from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.explore.heat import draw_heat, similarities
from inlay.explore.heat_page import page as heat_page
from inlay.explore.heat_page import table
from inlay.explore.map import draw
from inlay.explore.page import page
from inlay.explore.plane import Umap, flat
from inlay.explore.texts import lay_out_texts, sample, shades
from inlay.text.document import Document
from inlay.vectors.wordvectors import WordVectors

WORDS = ["king", "queen", "man", "woman", "猫", "狗"]
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    matrix = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    return StaticEmbedder.from_vectors(WordVectors(WORDS, matrix))


def documents(n: int = 12) -> list[Document]:
    return [Document(id=str(at), text=f"{WORDS[at % 6]} {WORDS[at % 5]}", title=f"t{at}") for at in range(n)]


# Who is shown


def test_every_document_is_as_likely_to_be_drawn_and_they_keep_their_order() -> None:
    pairs = [(document, "") for document in documents(10)]
    drawn = np.zeros(10)
    for seed in range(400):
        kept = [int(document.id) for document, _ in sample(iter(pairs), 4, seed)]
        assert kept == sorted(set(kept))
        assert len(kept) == 4
        drawn[kept] += 1
    assert np.abs(drawn / 400 - 0.4).max() < 0.1
    assert sample(iter(pairs), 20) == pairs


@pytest.mark.parametrize("most", [2, 5001])
def test_a_map_of_too_few_or_too_many_is_refused(most: int, embedder: Embedder) -> None:
    with pytest.raises(InputError, match="from 3 to 5,000 texts"):
        sample(iter([]), most)
    with pytest.raises(InputError, match="there are 2; give others"):
        lay_out_texts(embedder, documents(2))


# Colours


def test_up_to_eight_groups_have_a_colour_each_the_largest_first() -> None:
    groups = [name for at, name in enumerate("abcdefgh") for _ in range(8 - at)]
    coloured, order = shades(groups)
    assert coloured == groups
    assert order == list("abcdefgh")


def test_of_more_groups_the_smallest_are_grey_together() -> None:
    groups = [name for at, name in enumerate("abcdefghij") for _ in range(10 - at)]
    coloured, order = shades(groups)
    assert order == [*"abcdefg", "3 others"]
    assert [one for one in coloured if one == "3 others"] == ["3 others"] * (3 + 2 + 1)


def test_numbers_are_cut_into_ranges_of_about_as_many() -> None:
    coloured, order = shades([*map(str, range(120)), ""])
    assert order[-1] == "" == coloured[-1]
    assert len(order) == 7
    assert all(15 <= coloured.count(name) <= 25 for name in order[:-1])
    assert coloured[0] == order[0] == "0 to 19"
    skewed, _ = shades([*(["5"] * 50), *map(str, range(10))])
    assert len(skewed) == 60


# Pictures


def test_the_page_tells_every_text_and_its_group_and_lets_nothing_in(embedder: Embedder) -> None:
    shown = lay_out_texts(embedder, documents()[:-1] + [Document(id="x", text="king", title=EVIL)], [EVIL] * 12)
    text, _ = page(shown)
    told = [html.unescape(one) for one in re.findall(r"<title>(.*?)</title></circle>", text)]
    assert told == [*(f"t{at} · {EVIL}" for at in range(11)), f"{EVIL} · {EVIL}"]
    assert text.count("<script") == 1
    assert EVIL not in text
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert text.count('<circle class="g0"') == 12 + 1  # and one in the legend


@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_a_map_is_the_same_bytes_each_time(suffix: str, embedder: Embedder, tmp_path: Path) -> None:
    if suffix == ".png":
        pytest.importorskip("matplotlib")
    for name in "ab":
        draw(lay_out_texts(embedder, documents(), [str(at % 3) for at in range(12)]), tmp_path / (name + suffix))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_umap_is_asked_with_the_seed_and_no_more_neighbours_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def made(**named: object) -> SimpleNamespace:
        asked.update(named)
        return SimpleNamespace(fit_transform=lambda rows: rows[:, :2])

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=made))
    places = flat(np.random.default_rng(0).normal(size=(6, 4)), Umap(seed=7))
    assert places.shape == (6, 2)
    assert asked == {"n_neighbors": 5, "init": "random", "random_state": 7, "n_jobs": 1}
    assert (flat(np.ones((6, 4)), Umap()) == 0).all()


def test_without_its_package_umap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"UMAP needs umap-learn: pip install 'inlay\[viz\]'"):
        flat(np.eye(4), Umap())


# Heat maps


def test_a_heat_map_holds_the_cosines(embedder: Embedder) -> None:
    texts = ["king", "king king", "queen", "unheard"]
    shown = similarities(embedder, texts)
    units = embedder.encode(texts)
    np.testing.assert_allclose(shown.values, units @ units.T, atol=1e-6)
    assert shown.values[0, 1] == pytest.approx(1)
    assert (shown.values[3] == 0).all()


def test_the_page_of_a_heat_map_names_both_texts_of_a_cell_and_lets_nothing_in(embedder: Embedder) -> None:
    shown = similarities(embedder, ["king", "queen", EVIL])
    text = heat_page(shown)
    assert f'title="king · queen: {shown.values[0, 1]:.3f}"' in text
    assert "<script" not in text
    assert "script-src" not in text
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert shown._repr_html_() == table(shown)
    assert table(shown).count("<td") == 9


@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_a_heat_map_is_written_and_never_over_another(suffix: str, embedder: Embedder, tmp_path: Path) -> None:
    if suffix == ".png":
        pytest.importorskip("matplotlib")
    path = tmp_path / f"heat{suffix}"
    draw_heat(similarities(embedder, ["king", "queen"] * 20), path)
    assert path.stat().st_size > 1000
    with pytest.raises(InputError, match="exists"):
        draw_heat(similarities(embedder, ["king", "queen"]), path)


@pytest.mark.parametrize(
    ("texts", "message"),
    [("king", "one text .* put it in a list"), (["king"], "not 1; give others"), (["king"] * 121, "not 121")],
)
def test_a_heat_map_of_what_it_cannot_show_is_refused(texts: object, message: str, embedder: Embedder) -> None:
    with pytest.raises(InputError, match=message):
        similarities(embedder, texts)  # type: ignore[arg-type]


# The command


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    path = tmp_path / "articles.jsonl"
    rows = [{"text": document.text, "title": document.title, "topic": f"x{at % 2}"}
            for at, document in enumerate(documents())]  # fmt: skip
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_command_colours_by_a_column(
    vectors: Path, articles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "map.html"
    assert run(["-q", "map", str(vectors), str(articles), "--colour", "topic", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == ["x0", "x1"]
    assert "t3 · x1" in out.read_text("utf-8")
    assert run(["-q", "map", str(vectors), str(articles), "--heat", "--out", str(tmp_path / "heat.html")]) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--colour", "topik"], "no field 'topik' for --colour; did you mean 'topic'"),
        (["--heat", "--colour", "topic"], "--colour topic is of a map"),
        (["--top", "2"], "from 3 to 5,000 texts, not 2"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    options: list[str], expected: str, vectors: Path, articles: Path, refused: Callable[[list[str], str], None]
) -> None:
    refused(["map", str(vectors), str(articles), "--out", str(articles.with_name("x.html")), *options], expected)
