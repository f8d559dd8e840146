"""Architectures as text: the literal builds the same config, and differences name all that differs."""

from dataclasses import replace

import pytest

from inlay.config import override
from inlay.model import characters, heads, init, input, model, norm, position, relative, rotary, stack, xlrelative
from inlay.model.literal import differences, literal
from inlay.model.presets import PRESETS

HOMES = (model, input, stack, norm, position, relative, rotary, xlrelative, heads, init, characters)
NAMES = {name: value for home in HOMES for name, value in vars(home).items() if isinstance(value, type)}


@pytest.mark.parametrize("name", PRESETS)
def test_a_literal_is_python_that_builds_the_same_config(name: str) -> None:
    text = literal(PRESETS[name])
    built = eval(text, dict(NAMES))  # the text is our own
    assert built == PRESETS[name]
    assert max(map(len, text.splitlines())) <= 110
    assert ("d_head=" in text) == (name in ("t5-tiny", "t5-3b", "t5-11b", "t5-v1.1-tiny", "t5-v1.1-small"))


def test_differences_are_what_was_changed_and_nothing_else() -> None:
    bert = PRESETS["bert-tiny"]
    assert differences(bert, bert) == []
    other = override(bert, {"encoder.n_layers": 3, "input.dropout": 0.2})
    assert differences(bert, other) == [("input.dropout", "0.1", "0.2"), ("encoder.n_layers", "2", "3")]
    rotary_one = replace(bert, encoder=replace(bert.encoder, relative=relative.Rotary()))
    places = {place: (one, two) for place, one, two in differences(bert, rotary_one)}
    assert places["encoder.relative"] == ("none", "Rotary")
    assert places["encoder.relative.theta"][0] == "-"
