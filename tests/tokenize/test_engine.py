"""Crafted tokenizer.json files: each is refused with one line, or works; the process lives, and stderr stays clean."""

import contextlib
import copy
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from inlay.errors import InputError
from inlay.tokenize import engine
from inlay.tokenize.tokenizer import Tokenizer

WORD_LEVEL = {"type": "WordLevel", "vocab": {"a": 0, "u": 1}, "unk_token": "u"}


def added(number: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": "zz", "special": True, **flags}


def charsmap(text: str) -> dict[str, Any]:
    return {"model": WORD_LEVEL, "normalizer": {"type": "Precompiled", "precompiled_charsmap": text}}


CRAFTED: dict[str, dict[str, Any]] = {
    "merge of unknown tokens": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}},
    "merge shorter than its prefix": {
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, "ab": 2},
            "merges": [["a", "b"]],
            "continuing_subword_prefix": "####",
        }
    },
    "id beyond 32 bits": {"model": {"type": "WordLevel", "vocab": {"a": 1 << 32}, "unk_token": "a"}},
    "id beyond every table": {"model": {"type": "WordLevel", "vocab": {"a": (1 << 32) - 1}, "unk_token": "a"}},
    "merge to an id beyond every table": {
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 4294967295}, "merges": [["a", "b"]]}
    },
    "words of length 0": {"model": WORD_LEVEL, "pre_tokenizer": {"type": "FixedLength", "length": 0}},
    "charsmap empty": charsmap("AAAA"),
    "charsmap of all ones": charsmap("/////w=="),
    "charsmap that points outside": charsmap("BAAAAP////8="),
    "unknown token unknown": {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "u"}},
    "unigram without unknown": {"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": None}},
    "unigram with unknown outside": {"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 5}},
    "unigram empty": {"model": {"type": "Unigram", "vocab": [], "unk_id": None}},
    "no tokens": {"model": {"type": "BPE", "vocab": {}, "merges": []}},
    "pattern that explodes": {
        "model": WORD_LEVEL,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
    },
    "pattern that is none": {
        "model": WORD_LEVEL,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False},
    },
    "template of unknown tokens": {
        "model": WORD_LEVEL,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "X", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        },
    },
    "template with an id beyond": {
        "model": WORD_LEVEL,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "X", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"X": {"id": "X", "ids": [77], "tokens": ["X"]}},
        },
    },
    "added token of which nothing is left": {
        "model": WORD_LEVEL,
        "normalizer": {"type": "Replace", "pattern": {"String": "z"}, "content": ""},
        "added_tokens": [added(1) | {"normalized": True}, added(2) | {"content": "a b", "normalized": True}],
    },
    "drop-out of 7": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 7.0}},
    "model of no kind": {"model": {"type": "Os", "vocab": {}}},
}
HARMLESS: dict[str, dict[str, Any]] = {
    "padding to 10 GB": {
        "model": WORD_LEVEL,
        "padding": {
            "strategy": {"Fixed": 10**10},
            "direction": "Right",
            "pad_to_multiple_of": 0,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "a",
        },
    },
    "truncation with a stride beyond it": {
        "model": WORD_LEVEL,
        "truncation": {"max_length": 1, "stride": 5, "strategy": "LongestFirst", "direction": "Right"},
    },
    "added token far off": {"model": WORD_LEVEL, "added_tokens": [added(4_000_000_000)]},
}


def write(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"version": "1.0", **tree}), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_is_refused_in_one_quiet_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "tokenizer.json", CRAFTED[name])
    with pytest.raises(InputError) as caught:
        Tokenizer.load(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", HARMLESS)
def test_what_a_file_asks_for_beyond_its_tokens_is_left_out(name: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write(tmp_path / "tokenizer.json", HARMLESS[name]))
    assert tokenizer.size < 10
    assert tokenizer.encode(["a", "a"]).lengths.tolist() == [1, 1]


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    depth = 50_000
    nested = '{"type":"Sequence","normalizers":[' * depth + "]}" * depth
    (tmp_path / "tokenizer.json").write_text(f'{{"model":{json.dumps(WORD_LEVEL)},"normalizer":{nested}}}')
    with pytest.raises(InputError, match="refuses it"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"[1]", b"null", b"\x80\x04\x95", b"\xff\xfe{\x00", b"{}", b'{"model":'], ids=repr
)
def test_what_is_no_tokenizer_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(InputError, match="tokenizer.json: "):
        Tokenizer.load(tmp_path)


def test_a_file_that_is_missing_or_huge_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Tokenizer.load(tmp_path)
    with open(tmp_path / "tokenizer.json", "wb") as file:
        file.truncate((engine.MAX_FILE_MB + 1) << 20)
    with pytest.raises(InputError, match="101 MB, but"):
        Tokenizer.load(tmp_path)


def test_a_panic_at_encode_is_an_error_and_the_process_lives(tmp_path: Path) -> None:
    explode = CRAFTED["pattern that explodes"]
    tree = copy.deepcopy(explode)
    tree["pre_tokenizer"]["pattern"]["Regex"] = "(z+)+$"  # not met by the texts that loading tries
    tokenizer = Tokenizer.load(write(tmp_path / "tokenizer.json", tree))
    for call in (tokenizer.tokens, tokenizer.offsets, lambda text: tokenizer.encode([text])):
        with pytest.raises(InputError, match="refuses it"):
            call("z" * 60 + "y")
    assert tokenizer.tokens("a") == ["a"]


def test_flipped_bytes_never_do_more_than_an_error(tmp_path: Path) -> None:
    Tokenizer.from_vocabulary(["hello", "world", "机器"]).save(tmp_path)
    whole = (tmp_path / "tokenizer.json").read_bytes()
    rng = random.Random(0)
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (tmp_path / "tokenizer.json").write_bytes(broken)
        with contextlib.suppress(InputError):
            Tokenizer.load(tmp_path).encode(["hello world 机器", "x" * 200])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, OSError, RecursionError])
def test_other_errors_pass_the_border(error: type[BaseException]) -> None:
    with pytest.raises(error), engine.guarded("here"):
        raise error


def test_stderr_is_there_again_after_loads_in_many_threads(tmp_path: Path) -> None:
    path = write(tmp_path / "tokenizer.json", CRAFTED["words of length 0"])
    body = f"""
import os, threading
from inlay.errors import InputError
from inlay.tokenize.tokenizer import Tokenizer
def load():
    for _ in range(10):
        try: Tokenizer.load({str(path)!r})
        except InputError: pass
threads = [threading.Thread(target=load) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
os.write(2, b"still here")
"""
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, check=True)
    assert done.stderr == b"still here"
    assert threading.active_count() < 50


def test_loading_works_without_a_stderr(tmp_path: Path) -> None:
    write(tmp_path / "tokenizer.json", {"model": WORD_LEVEL})
    body = f"import os; os.close(2); from inlay.tokenize.tokenizer import Tokenizer; Tokenizer.load({str(tmp_path)!r})"
    assert subprocess.run([sys.executable, "-c", body], env=dict(os.environ), check=False).returncode == 0
