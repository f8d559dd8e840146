"""Maps of words: components against scikit-learn's, labels that keep apart, pictures that say what they cannot show."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.explore import picture
from inlay.explore.labels import fit, place, width
from inlay.explore.map import PointMap, draw, lay_out
from inlay.explore.page import page
from inlay.explore.plane import Pca, Tsne, Umap, components
from inlay.live import Live
from inlay.vectors.wordvectors import WordVectors

METHODS = pytest.mark.parametrize("method", [Pca(), Tsne(perplexity=4)], ids=lambda method: method.name)


def made(n: int = 40, prefix: str = "word", seed: int = 0) -> WordVectors:
    matrix = np.random.default_rng(seed).normal(size=(n, 12)).astype(np.float32)
    return WordVectors([f"{prefix}{place}" for place in range(n)], matrix)


def test_components_are_those_of_scikit_learn_but_for_their_sign() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    rows = np.random.default_rng(1).normal(size=(50, 9)) * np.arange(1, 10)
    ours, theirs = components(rows, 3), decomposition.PCA(3).fit_transform(rows)
    assert np.abs(np.abs(ours) - np.abs(theirs)).max() < 1e-9


def test_there_are_always_two_components() -> None:
    assert components(np.arange(5.0)[:, None], 2).shape == (5, 2)
    assert (components(np.ones((4, 3)), 2) == 0).all()


@METHODS
def test_a_map_is_the_same_each_time_and_length_plays_no_part(method: Pca | Tsne) -> None:
    if isinstance(method, Tsne):
        pytest.importorskip("sklearn")
    vectors = made()
    longer = WordVectors(vectors.words, vectors.matrix * 4)  # a power of two: the directions stay to the bit
    first, again = lay_out(vectors, top=20, method=method), lay_out(longer, top=20, method=method)
    assert first.names == vectors.words[:20]
    assert first.points.shape == (20, 2)
    assert (first.points == again.points).all()
    assert first.title == f"the 20 most frequent words, by {method.name}"


@METHODS
@pytest.mark.parametrize(
    "matrix", [np.ones((6, 3)), np.zeros((6, 3)), np.arange(6.0)[:, None]], ids=["ones", "zeros", "line"]
)
def test_vectors_that_hardly_differ_have_places_too(method: Pca | Tsne, matrix: np.ndarray, tmp_path: Path) -> None:
    if isinstance(method, Tsne):
        pytest.importorskip("sklearn")
    shown = lay_out(WordVectors(list("abcdef"), matrix.astype(np.float32)), method=method)
    assert shown.points.shape == (6, 2)
    assert np.isfinite(shown.points).all()
    assert draw(shown, tmp_path / "x.html") >= 1


def test_alike_words_stand_together() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2, 12))
    matrix = (centres[np.arange(20) % 2] + 0.1 * rng.normal(size=(20, 12))).astype(np.float32)
    x = lay_out(WordVectors([str(n) for n in range(20)], matrix)).points[:, 0]
    assert len({bool(value > 0) for value in x[::2]}) == 1
    assert (x[0] > 0) != (x[1] > 0)


@pytest.mark.parametrize(
    ("words", "top", "message"),
    [
        (["word1", "word2"], 300, "from 3 to 5000 words, not 2"),
        (None, 2, "from 3 to 5000 words, not 2"),
        (None, -1, "from 3 to 5000 words, not -1"),
        (["word1", "word2", "word1"], 300, "'word1' stands twice"),
        (["word1", "word2", "wort3"], 300, "'wort3' is not among the 40 words"),
    ],
)
def test_a_map_of_what_it_cannot_show_is_refused(words: list[str] | None, top: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lay_out(made(), words, top=top)


@pytest.mark.parametrize(
    "make", [lambda: Tsne(perplexity=0), lambda: Tsne(seed=-1), lambda: Tsne(seed=2**32), lambda: Umap(neighbours=1)]
)
def test_a_value_out_of_range_is_named(make: Callable[[], Tsne]) -> None:
    with pytest.raises(InputError, match="(perplexity|seed|neighbours)=.* must lie between"):
        make()


# Labels


def boxes(corners: np.ndarray, sizes: np.ndarray) -> list[tuple[float, ...]]:
    return [(*corner, *(corner + size)) for corner, size in zip(corners, sizes, strict=True) if not np.isnan(corner[0])]


@pytest.mark.parametrize("seed", range(3))
def test_labels_cover_neither_each_other_nor_a_point_and_stay_in_the_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = fit(rng.normal(size=(120, 2)), 600, 400, 20)
    sizes = np.column_stack([rng.uniform(15, 70, 120), np.full(120, 12.0)])
    placed = boxes(place(points, sizes, (600, 400), gap=6, all_of_them=False), sizes)
    assert 30 < len(placed) < 120
    for at, (left, top, right, bottom) in enumerate(placed):
        assert 0 <= left < right <= 600
        assert 0 <= top < bottom <= 400
        assert not ((points > (left, top)) & (points < (right, bottom))).all(axis=1).any()
        for other in placed[at + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_words_that_were_asked_for_all_have_a_label_inside_the_frame() -> None:
    points, sizes = np.full((12, 2), 5.0), np.full((12, 2), (60.0, 12.0))
    corners = place(points, sizes, (200, 100), gap=6, all_of_them=True)
    assert (corners >= 0).all()
    assert (corners + sizes <= (200, 100)).all()


def test_points_fill_the_frame_with_one_scale_and_y_growing_downwards() -> None:
    placed = fit(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0]]), 100, 100, 10)
    assert np.allclose(placed, [[10, 60], [90, 60], [10, 40]])
    assert np.allclose(fit(np.zeros((3, 2)), 100, 80, 10), [50, 40])


@pytest.mark.parametrize("character", ["猫", "m", "W"])
def test_a_wide_character_counts_for_more(character: str) -> None:
    assert width(character) == 1 > width("c")


# Pictures


@pytest.mark.parametrize("suffix", [".png", ".html"])
@pytest.mark.parametrize("prefix", ["word", "词"])
def test_a_picture_is_the_same_bytes_each_time(suffix: str, prefix: str, tmp_path: Path) -> None:
    if suffix == ".png":
        pytest.importorskip("matplotlib")
        if prefix == "词" and picture.fonts({"词"})[1]:
            pytest.skip("no font here has Chinese characters")
    shown = lay_out(made(prefix=prefix), [f"{prefix}{n}" for n in range(9)])
    paths = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    assert [draw(shown, path) for path in paths] == [9, 9]
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith(b"\x89PNG" if suffix == ".png" else b"<!DOCTYPE html>")


def test_the_page_tells_every_word_loads_nothing_and_lets_nothing_in() -> None:
    words = ["<script>alert(1)</script>", 'a"b', "猫", "&amp;", "x\x00y"]
    shown = PointMap(names=words, points=np.random.default_rng(0).normal(size=(5, 2)), title="a <b>", chosen=True)
    text, labels = page(shown)
    assert labels == 5
    told = [html.unescape(word) for word in re.findall(r"<title>(.*?)</title></circle>", text)]
    assert told == [*words[:4], "x\ufffdy"]
    assert text.count("<script") == 1
    assert "alert(1)</script>" not in text
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert "default-src 'none'" in text


def test_a_label_keeps_its_distance_however_wide_its_letters_are() -> None:
    text, _ = page(lay_out(made(200)))
    tied = re.findall(r'<text x="([-\d.]+)"(?: text-anchor="(\w+)")?', text)
    signs = {(anchor or "start", np.sign(float(x))) for x, anchor in tied}
    assert signs == {("start", 1), ("middle", 0), ("end", -1)}


@pytest.mark.parametrize(
    ("name", "message"), [("x.pdf", "a map is written as .png or .html"), ("old.html", "exists; give another --out")]
)
def test_an_output_that_cannot_be_is_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("old")
    with pytest.raises(InputError, match=message):
        draw(lay_out(made()), tmp_path / name)
    assert (tmp_path / "old.html").read_text() == "old"


def test_characters_that_no_font_has_are_never_drawn_as_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(Live, "enabled", True)
    monkeypatch.setattr(picture, "_characters", lambda path: set("word0123456789"))
    words = [*(f"word{n}" for n in range(5)), "猫"]
    matrix = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    assert draw(lay_out(WordVectors(words, matrix)), tmp_path / "some.png") == 5
    assert capsys.readouterr().err.startswith("note: 1 of 6 words have no label: no installed font has '猫'; install")
    with pytest.raises(InputError, match="no installed font has .*; install one .* or write .html"):
        draw(lay_out(made(prefix="猫"), [f"猫{n}" for n in range(4)]), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.filterwarnings("error")
def test_a_word_of_several_lines_or_with_control_characters_has_a_label_of_one_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    words = ["a\nb", "tab\there", "\x1b[31mred", "plain"]
    vectors = WordVectors(words, np.eye(4, dtype=np.float32))
    assert draw(lay_out(vectors, words), tmp_path / "x.png") == 4


def test_the_last_resort_font_does_not_count() -> None:
    pytest.importorskip("matplotlib")
    families, missing = picture.fonts({"a", "\U000f1234"})
    assert families == ["DejaVu Sans"]
    assert missing == {"\U000f1234"}
