"""Configs: trees and dataclasses are the same thing, and everything that does not fit is said in one line."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.config import from_tree, load_yaml, override, parse_assignments, to_tree
from inlay.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Rotary:
    base: float = 10000.0


@dataclass(frozen=True, kw_only=True)
class T5Buckets:
    n_buckets: int = 32
    max_distance: int = 128


@dataclass(frozen=True, kw_only=True)
class Shaw:
    reach: int


@dataclass(frozen=True, kw_only=True)
class Stack:
    n_layers: int = 12
    dropout: float = 0.1
    norm: Literal["pre", "post"] = "pre"
    relative: Rotary | T5Buckets | Shaw | None = None
    tied: bool = False

    def __post_init__(self) -> None:
        if self.n_layers < 0:
            raise ValueError(f"n_layers={self.n_layers} must not be negative; try 1")


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str
    out: Path = Path("out")
    encoder: Stack = field(default_factory=Stack)
    heads: tuple[Rotary | T5Buckets, ...] = ()
    span: tuple[int, float] = (1, 2.0)
    weights: dict[str, float] = field(default_factory=dict)
    limit: int | None = None
    lr: float | Literal["auto"] | str = "auto"
    extra: Any = None


Relative = Rotary | T5Buckets | Shaw

floats = st.floats(allow_nan=False)
words = st.text(max_size=12)
rotary = st.builds(Rotary, base=floats)
buckets = st.builds(T5Buckets, n_buckets=st.integers(), max_distance=st.integers())
stacks = st.builds(
    Stack,
    n_layers=st.integers(min_value=0),
    dropout=floats,
    norm=st.sampled_from(["pre", "post"]),
    relative=st.none() | rotary | buckets | st.builds(Shaw, reach=st.integers()),
    tied=st.booleans(),
)
runs = st.builds(
    Run,
    name=words,
    out=st.text("abc./", max_size=8).map(Path),
    encoder=stacks,
    heads=st.lists(rotary | buckets, max_size=3).map(tuple),
    span=st.tuples(st.integers(), floats),
    weights=st.dictionaries(words, floats, max_size=3),
    limit=st.none() | st.integers(),
    lr=st.just("auto") | words | st.just("5e-4") | floats,
    extra=st.none() | st.booleans() | st.lists(st.integers(), max_size=3) | st.dictionaries(words, st.integers()),
)


@given(runs)
def test_tree_and_back_is_the_same_config(run: Run) -> None:
    again = from_tree(Run, to_tree(run))
    assert again == run
    assert type(again.lr) is type(run.lr)
    assert to_tree(again) == to_tree(run)


@given(runs)
def test_yaml_and_back_is_the_same_config(tmp_path_factory: pytest.TempPathFactory, run: Run) -> None:
    yaml = pytest.importorskip("yaml")
    path = tmp_path_factory.getbasetemp() / "run.yaml"
    # Escaped: written raw, PyYAML's own line separators (U+0085, U+2028, U+2029) come back as line breaks.
    path.write_text(yaml.safe_dump(to_tree(run)), encoding="utf-8")
    assert load_yaml(Run, path) == run


def test_yaml_is_read_in_every_script(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("name: 嵌入 für Ёлка\n", encoding="utf-8")
    assert load_yaml(Run, tmp_path / "run.yaml").name == "嵌入 für Ёлка"


@given(runs)
def test_overriding_with_nothing_changes_nothing(run: Run) -> None:
    assert override(run, {}) == run


@given(st.builds(Shaw, reach=st.integers()) | rotary | buckets)
def test_a_union_at_the_top_keeps_its_kind(part: Relative) -> None:
    tree = to_tree(part, Relative)
    assert tree["kind"] == type(part).__name__
    assert from_tree(Relative, tree) == part
    assert override(part, {"kind": "Shaw", "reach": 3}, Relative) == Shaw(reach=3)


REFUSED = {
    "unknown key 'encoder.n_layer' for Stack; did you mean 'n_layers'?": {"name": "x", "encoder": {"n_layer": 3}},
    "Run needs 'name', which has no default": {},
    "Shaw needs 'encoder.relative.reach'": {"name": "x", "encoder": {"relative": {"kind": "Shaw"}}},
    "'encoder.relative.kind' is 'Rotry'; did you mean 'Rotary'?": {
        "name": "x",
        "encoder": {"relative": {"kind": "Rotry"}},
    },
    "'encoder.relative.kind' is missing; choose from Rotary, T5Buckets, Shaw": {
        "name": "x",
        "encoder": {"relative": {"base": 1}},
    },
    "'encoder.kind' is 'Stak'": {"name": "x", "encoder": {"kind": "Stak"}},
    "encoder.n_layers=True must be a whole number": {"name": "x", "encoder": {"n_layers": True}},
    "encoder.n_layers=3.0 must be a whole number": {"name": "x", "encoder": {"n_layers": 3.0}},
    "encoder.n_layers='3' must be a whole number": {"name": "x", "encoder": {"n_layers": "3"}},
    "encoder.n_layers=None must be a whole number": {"name": "x", "encoder": {"n_layers": None}},
    "encoder: n_layers=-1 must not be negative": {"name": "x", "encoder": {"n_layers": -1}},
    "encoder.tied=1 must be true or false": {"name": "x", "encoder": {"tied": 1}},
    "encoder.dropout='lots' must be a number": {"name": "x", "encoder": {"dropout": "lots"}},
    "encoder.dropout='nan' must be a number": {"name": "x", "encoder": {"dropout": "nan"}},
    "encoder.dropout='' must be a number": {"name": "x", "encoder": {"dropout": ""}},
    "encoder.dropout=False must be a number": {"name": "x", "encoder": {"dropout": False}},
    "encoder.dropout=nan must be a number, and NaN is none": {"name": "x", "encoder": {"dropout": math.nan}},
    "must be a number below": {"name": "x", "encoder": {"dropout": 10**400}},
    "encoder.norm='pst' is not a choice; did you mean 'post'?": {"name": "x", "encoder": {"norm": "pst"}},
    "encoder=3 must be a table for Stack": {"name": "x", "encoder": 3},
    "heads={} must be a list": {"name": "x", "heads": {}},
    "heads[1]=3 must be a table for Rotary or a table for T5Buckets": {"name": "x", "heads": [{"kind": "Rotary"}, 3]},
    "'heads[0].kind' is missing": {"name": "x", "heads": [{}]},
    "span=[1] must be a list of 2": {"name": "x", "span": [1]},
    "span[1]='x' must be a number": {"name": "x", "span": [1, "x"]},
    "weights.a='b' must be a number": {"name": "x", "weights": {"a": "b"}},
    "a key of weights=1 must be text": {"name": "x", "weights": {1: 2}},
    "limit='x' must be a whole number": {"name": "x", "limit": "x"},
    "lr=None must be a number or one of 'auto' or text": {"name": "x", "lr": None},
    "name=3 must be text (in YAML, put it in quotes)": {"name": 3},
    "out=3 must be a path": {"name": "x", "out": 3},
    "unknown key '1' for Run": {1: 2},
    "the config=[] must be a table for Run": [],
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_tree_that_does_not_fit_is_refused_with_place_value_and_rule(message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_tree(Run, REFUSED[message])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_yaml_reads_as_text_are_numbers_where_a_number_is_wanted() -> None:
    assert from_tree(Stack, {"dropout": "5e-4"}).dropout == 5e-4
    assert from_tree(Stack, {"dropout": "-1E3"}).dropout == -1000
    whole = from_tree(Stack, {"dropout": 1}).dropout
    assert whole == 1
    assert isinstance(whole, float)


def test_overrides_reach_every_depth_and_leave_the_original_alone() -> None:
    run = Run(name="a", encoder=Stack(relative=Rotary(base=5.0)), weights={"x": 1.0})
    new = override(
        run, {"encoder.n_layers": 6, "encoder.relative.base": 7, "weights.y": 2, "weights": {"z": 3}, "out": "o"}
    )
    assert new.encoder == Stack(n_layers=6, relative=Rotary(base=7.0))
    assert new.weights == {"x": 1.0, "y": 2.0, "z": 3.0}
    assert new.out == Path("o")
    assert run == Run(name="a", encoder=Stack(relative=Rotary(base=5.0)), weights={"x": 1.0})


@pytest.mark.parametrize(
    "assignments",
    [
        {"relative.kind": "T5Buckets", "relative.n_buckets": 8},
        {"relative.n_buckets": 8, "relative.kind": "T5Buckets"},
        {"relative": {"kind": "T5Buckets", "n_buckets": 8}},
        {"relative": {"kind": "T5Buckets"}, "relative.n_buckets": 8},
        {"relative": T5Buckets(n_buckets=8)},
    ],
)
@pytest.mark.parametrize("before", [None, Rotary(base=3.0), T5Buckets(n_buckets=9), Shaw(reach=1)], ids=repr)
def test_a_union_member_can_change_its_kind(before: Relative | None, assignments: dict[str, Any]) -> None:
    assert override(Stack(relative=before), assignments) == Stack(relative=T5Buckets(n_buckets=8))


def test_a_new_kind_starts_from_its_own_defaults_and_the_same_kind_keeps_its_values() -> None:
    stack = Stack(relative=T5Buckets(n_buckets=9, max_distance=7))
    assert override(stack, {"relative.kind": "Rotary"}).relative == Rotary()
    assert override(stack, {"relative.kind": "T5Buckets"}) == stack
    assert override(stack, {"relative": None}).relative is None


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ({"relative.reach": 3}, "'relative.kind' is missing"),
        ({"n_layer": 3}, "did you mean 'n_layers'?"),
        ({"n_layers.x": 3}, "n_layers={'x': 3} must be a whole number"),
        ({"n_layers": 3, "n_layers.x": 3}, "is also set as a whole"),
        ({"": 3}, "unknown key ''"),
        ({"relative": {"kind:Rotary": None}}, "'relative.kind' is missing"),
        ({"kind:Rotary": None}, "write a space after the colon: kind: Rotary"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(assignments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        override(Stack(), assignments)
    assert message in str(caught.value)


def test_assignments_are_read_as_yaml() -> None:
    given = ["a.b=3", "c=5e-4", "d=[x, 1]", "e=", "f=a=b", " g =true", "h={kind: Rotary}", "i=中文", "j=-"]
    assert parse_assignments(given) == {
        "a.b": 3,
        "c": "5e-4",
        "d": ["x", 1],
        "e": None,
        "f": "a=b",
        "g": True,
        "h": {"kind": "Rotary"},
        "i": "中文",
        "j": "-",
    }


@pytest.mark.parametrize(
    "text", ["a", "=3", "a..b=3", ".=1", "a=[1", "a={x: 1, x: 2}", "a=!!python/object:os.system {}"]
)
def test_an_assignment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_assignments([text])


def test_the_same_key_twice_is_refused() -> None:
    with pytest.raises(InputError, match="set twice"):
        parse_assignments(["a=1", "a=2"])


NESTED = ", ".join(["&a0 [x, x]"] + [f"&a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)])  # 2**60 words in all


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [%s]\n" % NESTED.encode(), "must be text"),
        (b"name: x\nencoder: {norm: [%s]}\n" % NESTED.encode(), "is not a choice; choose from pre, post"),
        (b"name: x\nencoder: {relative: {kind: [%s]}}\n" % NESTED.encode(), "'encoder.relative.kind' is [["),
        (b"name: x\nname: y\n", "line 1: the key 'name' is written twice"),
        (b"name: [x\n", "not YAML"),
        (b"name: \xb0\n", "not UTF-8 (byte 6)"),
        (b"name: 2020-13-45\n", "not YAML"),
        (b"", "Run needs 'name'"),
        (b"- 1\n", "the config=[1] must be a table for Run"),
        (b"[]\n", "the config=[] must be a table for Run"),
        (b"false\n", "the config=False must be a table for Run"),
        (b"name: " + b"[" * 5000, "not YAML"),
        (b"a: &a [x,x]\nb: &b [*a,*a]\nname: [*b,*b]\n", "unknown key 'a'"),
        (b"name: !!python/name:os.system\n", "not YAML"),
    ],
)
def test_a_yaml_file_that_is_wrong_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_yaml(Run, tmp_path / "run.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_yaml_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_yaml(Run, tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder"):
        load_yaml(Run, tmp_path)
