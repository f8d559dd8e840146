"""inlay show: the list of architectures, one of them, two compared, and what it refuses."""

import json

import pytest

from inlay.cli import run
from inlay.model.presets import PRESETS


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["show", *arguments]) == 0
    return capsys.readouterr().out


def test_all_architectures_are_listed_with_their_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    listed = shown(capsys)
    assert all(name in listed for name in PRESETS)
    assert "110,106,428" in listed
    assert json.loads(shown(capsys, "--json"))["gpt2-small"]["parameters"] == 124_439_808


def test_one_is_shown_with_paper_literal_parts_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "t5-tiny", "--batch", "2", "--length", "16")
    for piece in ("arXiv:1910.10683", "relative=T5Buckets()", "decoder.blocks.{i}.cross.qkv.weight", "278,016"):
        assert piece in text
    assert "2 texts of 16 tokens" in text
    tree = json.loads(shown(capsys, "t5-tiny", "--json"))
    assert tree["parameters"] == 278_016 == sum(_numbers(part) for part in tree["parts"])
    assert tree["memory"]["training"] > tree["memory"]["inference"] > tree["memory"]["weights"]


def test_each_cites_its_own_paper(capsys: pytest.CaptureFixture[str]) -> None:
    for name, number in (("t5-tiny", "1910.10683"), ("t5-v1.1-tiny", "2002.05202"), ("T5_v1.1_TINY", "2002.05202")):
        assert f"arXiv:{number}" in shown(capsys, name)
    rows = shown(capsys).splitlines()
    assert next(row for row in rows if row.startswith("t5-v1.1-base ")).endswith("Shazeer 2020")


def _numbers(part: dict) -> int:
    total = part["count"]
    for size in part["shape"]:
        total *= size
    return total


def test_two_are_compared_by_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "BERT", "ALBERT")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    assert rows["encoder.n_unique"] == ["0", "1"]
    assert rows["input.d_embed"] == ["0", "128"]
    assert rows["parameters"] == ["110,106,428", "11,813,810"]
    assert "encoder.n_layers" not in rows
    tree = json.loads(shown(capsys, "BERT", "ALBERT", "--json"))
    assert {"field": "encoder.n_unique", "BERT": "0", "ALBERT": "1"} in tree["differences"]


def test_an_architecture_does_not_differ_from_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "bert", "BERT-base").splitlines()[-1] == "no difference"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["brt"], "no architecture is called 'brt'; did you mean 'bert'?"),
        (["no/such"], "no/such: no such folder"),
        (["bert", "gpt2", "t5"], "leave t5 out"),
        (["bert-tiny", "--length", "600"], "512"),
        (["bert-tiny", "--batch", "0"], "must be at least 1"),
        (["bert-tiny", "--batch", "1000000000"], "too many to count; give at most 16,777,216 in all"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["show", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
