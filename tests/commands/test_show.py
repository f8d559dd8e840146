"""Tables, facts and short texts line up, in every script."""

from collections.abc import Callable

import pytest

from inlay.commands import show

Capture = pytest.CaptureFixture[str]


def written(show_it: Callable[[], None], capsys: Capture) -> list[str]:
    show_it()
    return capsys.readouterr().out.splitlines()


def test_a_table_aligns_numbers_right_and_chinese_by_its_width(capsys: Capture) -> None:
    lines = written(lambda: show.table(["word", "n", "note"], [["猫", 5, "x"], ["cats", 12345, ""]]), capsys)
    assert lines == ["word       n  note", "猫         5  x", "cats  12,345"]


def test_a_cell_neither_breaks_its_line_nor_steers_the_terminal(capsys: Capture) -> None:
    rows = [["a\nb", 1], ["\x1b[31mred", 2], ["c\x9b\u2028d", 3], ["\u0646\u0645\u06cc\u200c\u062f", 4]]
    lines = written(lambda: show.table(["word", "n"], rows), capsys)
    assert [line.split()[0] for line in lines[1:]] == ["a\\nb", "\\x1b[31mred", "c\\x9b\\u2028d", rows[3][0]]


@pytest.mark.parametrize("text", ["", "short", "猫" * 50, "a  b\nc " * 40, "word " * 300])
def test_a_shortened_text_keeps_to_its_width_and_says_so(text: str) -> None:
    short = show.shorten(text, 20)
    assert show._width(short) <= 20
    assert short.endswith("…") == (show._width(" ".join(text.split())) > 20)
