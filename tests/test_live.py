"""The live line: on stderr only, seldom off a terminal, one line on it, and silent when asked."""

import io
import sys

import pytest

from inlay import live
from inlay.live import Live, duration, human, say


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


def test_off_a_terminal_there_are_few_plain_lines(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Live("reading", total=1000, unit="texts") as line:
        for _ in range(1000):
            clock.now += 0.025
            line.advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    assert len(err.splitlines()) == 3
    assert err.splitlines()[0].split() == ["reading", "40%", "400", "texts", "40/s", "15", "s", "left"]
    assert err.splitlines()[-1].split() == ["reading", "1k", "texts", "40/s", "25.0", "s"]


def test_on_a_terminal_one_line_is_drawn_ten_times_a_second(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Live("reading", total=100) as line:
        for number in range(100):
            clock.now += 0.01
            line.at(number + 1, note=f"loss {number}")
    drawn = terminal.getvalue()
    assert 9 <= drawn.count("\r") <= 12
    assert drawn.count("\n") == 1
    assert drawn.endswith("loss 99\n")


def test_an_error_ends_the_line_without_a_summary(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def interrupted() -> None:
        with Live("reading") as line:
            clock.now += 1
            line.advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue().endswith("\n")
    assert terminal.getvalue().count("reading") == 1


def test_items_pass_through_and_are_counted(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Live("reading", unit="texts") as line:
        clock.now += 2
        assert list(line.over("abcd")) == list("abcd")
    assert capsys.readouterr().err.split() == ["reading", "4", "texts", "2/s", "2.0", "s"]


def test_resumed_work_tells_its_own_rate_and_what_is_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Live("pretrain", unit="steps", done=900) as line:
        clock.now += 20
        line.total = 2000
        line.at(1000, "loss 2.5")
        clock.now += 70
        line.at(1100)
    shown = [" ".join(text.split()) for text in capsys.readouterr().err.splitlines()]
    assert shown[0] == "pretrain 50% 1k steps 5/s 3 min 20 s left loss 2.5"
    assert shown[1] == "pretrain 55% 1.1k steps 2.2/s 6 min 45 s left loss 2.5"
    assert shown[2] == "pretrain 1.1k steps 2.2/s 1 min 30 s loss 2.5"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "3 s"), (3.14, "3.1 s"), (59.9, "59.9 s"), (59.96, "1 min 00 s"), (60, "1 min 00 s"), (3599.6, "1 h 00 min")]
    + [(125, "2 min 05 s"), (12_000, "3 h 20 min")],
)
def test_times_are_said(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Live, "enabled", False)
    with Live("reading", quiet_s=0) as line:
        line.advance()
        say("done")
    assert capsys.readouterr() == ("", "")


def test_a_message_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("done")
    assert capsys.readouterr() == ("", "done\n")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.25, "0.25"), (9, "9"), (950.4, "950"), (12_345, "12.3k"), (4_560_000, "4.56M"), (1e9, "1G")]
    + [(999.4, "999"), (999.6, "1k"), (999_400, "999k"), (999_700, "1M"), (999_999_999, "1G")],
)
def test_counts_are_short(number: float, text: str) -> None:
    assert human(number) == text
