"""Folders that cannot be read: each is refused with one line that names the file, the value and the rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inlay.errors import InputError
from inlay.tokenize import engine
from inlay.tokenize.tokenizer import Tokenizer

Write = Callable[[Path, dict[str, Any]], Path]

VOCAB = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n"
LETTERS = {"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4}
MERGES = "#version: 0.2\na b\n"
BERT = {"vocab.txt": VOCAB}
BPE = {"vocab.json": LETTERS, "merges.txt": MERGES}

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, r"tokenizer.json: no such file; a tokenizer is a folder with a tokenizer.json, a vocab.txt"),
    "half of BPE": ({"vocab.json": LETTERS}, "tokenizer.json: no such file"),
    "BERT without its file": ({"config.json": {"model_type": "bert"}}, "vocab.txt: no such file, and a BERT tokenizer"),
    "RoBERTa without merges": (
        {"vocab.json": LETTERS, "config.json": {"model_type": "roberta"}},
        "merges.txt: no such file, and a RoBERTa tokenizer needs it",
    ),
    "T5 without pieces": ({"tokenizer_config.json": {"tokenizer_class": "T5Tokenizer"}}, "spiece.model: no such file"),
    "pieces of no family": ({"spiece.model": b""}, "nothing says of which family; name its tokenizer_class"),
    # vocab.txt
    "a token twice": ({"vocab.txt": VOCAB + "the\n"}, r"vocab.txt line 8: 'the' is on line 6 too"),
    "another encoding": (
        {"vocab.txt": VOCAB.encode() + "café\n".encode("latin-1")},
        r"vocab.txt: not UTF-8 \(byte 42\)",
    ),
    "another encoding from the start": ({"vocab.txt": VOCAB.encode("utf-16")}, r"vocab.txt: not UTF-8 \(byte 0\)"),
    "no tokens": ({"vocab.txt": ""}, "vocab.txt: has no tokens"),
    "no unknown token": ({"vocab.txt": "a\nb\nc\n"}, r"vocab.txt: has no '\[UNK\]'"),
    "another unknown token": (
        {**BERT, "special_tokens_map.json": {"unk_token": "<unk>"}},
        r"vocab.txt: has no '<unk>', the token of what is unknown",
    ),
    # vocab.json
    "a hole": (
        {**BPE, "vocab.json": LETTERS | {"</s>": 5}},
        "vocab.json: '</s>' has id 5, but 5 tokens have the whole",
    ),
    "a negative id": ({**BPE, "vocab.json": LETTERS | {"</s>": -1}}, "vocab.json: '</s>' has id -1"),
    "a huge id": ({**BPE, "vocab.json": LETTERS | {"</s>": 1 << 40}}, "vocab.json: '</s>' has id 1099511627776"),
    "an id beyond every number": ({**BPE, "vocab.json": '{"a": 1e999}'}, "vocab.json: not JSON .*too large a number"),
    "an id with 5,000 digits": ({**BPE, "vocab.json": '{"a": ' + "9" * 5000 + "}"}, "vocab.json: not JSON"),
    "an id that is a text": ({**BPE, "vocab.json": LETTERS | {"</s>": "4"}}, "vocab.json: '</s>' has id 4, but"),
    "an id that is a truth": ({**BPE, "vocab.json": LETTERS | {"b": True}}, "vocab.json: 'b' has id True"),
    "one id for two": ({**BPE, "vocab.json": LETTERS | {"</s>": 3}}, "vocab.json: two tokens have one id"),
    "a key twice": ({**BPE, "vocab.json": '{"a": 0, "a": 1}'}, "vocab.json: not JSON .*'a' stands twice"),
    "a surrogate": ({**BPE, "vocab.json": r'{"\ud800": 0}'}, "vocab.json: not JSON .*surrogates"),
    "a list": ({**BPE, "vocab.json": ["a"]}, "vocab.json: must be a table, and is a list"),
    "no JSON": ({**BPE, "vocab.json": "{"}, "vocab.json: not JSON"),
    "deep nesting": ({**BPE, "vocab.json": "[" * 100_000}, "vocab.json: not JSON"),
    "an empty table": ({**BPE, "vocab.json": {}}, "vocab.json: two tokens have one id, or there are none"),
    # merges.txt
    "a merge of one": ({**BPE, "merges.txt": "#version: 0.2\na b\nab\n"}, "merges.txt line 3: 'ab' must be two tokens"),
    "a merge of three": ({**BPE, "merges.txt": "a b\na b c\n"}, "merges.txt line 2: 'a b c' must be two tokens"),
    "a blank line": ({**BPE, "merges.txt": "a b\n\na b\n"}, "merges.txt line 2: '' must be two tokens"),
    "a merge of strangers": ({**BPE, "merges.txt": "a z\n"}, "merges.txt line 1: 'z' is no token of vocab.json"),
    "a merge to a stranger": ({**BPE, "merges.txt": "b a\n"}, "merges.txt line 1: 'ba' is no token of vocab.json"),
    "merges of another encoding": ({**BPE, "merges.txt": b"\xff\xfea"}, "merges.txt: not UTF-8"),
    # the settings
    "code in a list": ({**BERT, "tokenizer_config.json": {"auto_map": ["x.Tok", None]}}, "auto_map asks for code"),
    "code in a table": (
        {**BERT, "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["x.Tok", None]}}},
        "tokenizer_config.json: auto_map asks for code of the folder's own, and none is run",
    ),
    "an unknown class": (
        {**BERT, "tokenizer_config.json": {"tokenizer_class": "BrtTokenizerFast"}},
        "a tokenizer of class 'BrtTokenizer' needs a tokenizer.json to be read; did you mean 'BertTokenizer'",
    ),
    "a class of all": (
        {**BERT, "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}},
        "'PreTrainedTokenizer' needs a tokenizer.json",
    ),
    "an unknown model": ({**BERT, "config.json": {"model_type": "llama"}}, "of a model of type 'llama' needs a"),
    "a class that is a number": ({**BERT, "tokenizer_config.json": {"tokenizer_class": 3}}, "tokenizer_class is '3'"),
    "a config that is a list": ({**BERT, "tokenizer_config.json": []}, "tokenizer_config.json: must be a table"),
    "a config that is cut": ({**BERT, "tokenizer_config.json": "{"}, "tokenizer_config.json: not JSON"),
    "a truth that is a text": (
        {**BERT, "tokenizer_config.json": {"do_lower_case": "no"}},
        "do_lower_case is 'no', and must be true or false",
    ),
    "a length that is a text": (
        {**BERT, "tokenizer_config.json": {"model_max_length": "9"}},
        "model_max_length is '9'",
    ),
    "a length of nothing": ({**BERT, "tokenizer_config.json": {"model_max_length": 0}}, "model_max_length is '0'"),
    "a length that is no number": (
        {**BERT, "tokenizer_config.json": '{"model_max_length": NaN}'},
        "tokenizer_config.json: not JSON .*NaN is no number",
    ),
    "inputs that are a text": (
        {**BERT, "tokenizer_config.json": {"model_input_names": "ids"}},
        "must be a list of names",
    ),
    "a role that is a number": ({**BERT, "tokenizer_config.json": {"sep_token": 7}}, "sep_token is '7'"),
    "a role without content": ({**BERT, "special_tokens_map.json": {"sep_token": {}}}, "sep_token is '{}'"),
    "a role that is empty": (
        {**BERT, "special_tokens_map.json": {"sep_token": ""}},
        "must be a token that is not empty",
    ),
    "a role that is a surrogate": (
        {**BERT, "special_tokens_map.json": r'{"sep_token": "\udc00"}'},
        "not JSON .*surrogates",
    ),
    "no sep at all": ({**BERT, "tokenizer_config.json": {"sep_token": None}}, "a BERT tokenizer needs a sep token"),
    "a flag that is a number": (
        {**BERT, "special_tokens_map.json": {"sep_token": {"content": "x", "lstrip": 1}}},
        "lstrip of 'x' is '1', and must be true or false",
    ),
    "extra tokens in a text": ({**BERT, "tokenizer_config.json": {"extra_special_tokens": "ab"}}, "must be a list of"),
    "a million extra ids": (
        {"tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 10**9}, "spiece.model": b""},
        "extra_ids is 1000000000, and must be from 0 to 10000",
    ),
    "an added token elsewhere": (
        {**BERT, "added_tokens.json": {"new": 99}},
        "give 'new' the id 99, and the vocabulary 7",
    ),
    "an added token on another": (
        {**BERT, "added_tokens.json": {"new": 5}},
        "give 'new' the id 5, and the vocabulary 7",
    ),
    "an added token of nothing": ({**BERT, "added_tokens.json": {"\0": 7, "a b": 8}}, r"nothing is left of the added"),
    "an added id that is none": (
        {**BERT, "added_tokens.json": {"new": "7"}},
        "added_tokens.json: 'new' has id 7, and must",
    ),
    "two added with one id": ({**BERT, "added_tokens.json": {"new": 7, "old": 7}}, "'old' has id 7, and must be"),
    "added tokens in a list": (
        {**BERT, "tokenizer_config.json": {"added_tokens_decoder": []}},
        "must be a table of ids",
    ),
    "an added token without id": (
        {**BERT, "tokenizer_config.json": {"added_tokens_decoder": {"x": {"content": "a"}}}},
        "added_tokens_decoder has 'x'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_refused_in_one_quiet_line(
    name: str, tmp_path: Path, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    files, message = BROKEN[name]
    with pytest.raises(InputError, match=message) as caught:
        Tokenizer.load(write(tmp_path, files))
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("files", [BERT, BPE], ids=["wordpiece", "byte pairs"])
def test_the_sound_ones_beside_them_are_read(files: dict[str, Any], tmp_path: Path, write: Write) -> None:
    assert Tokenizer.load(write(tmp_path, files)).size >= 5


@pytest.mark.parametrize("name", ["vocab.txt", "vocab.json", "tokenizer_config.json"])
def test_a_huge_file_is_refused_unread(name: str, tmp_path: Path, write: Write) -> None:
    write(tmp_path, BPE if name == "vocab.json" else BERT)
    with open(tmp_path / name, "wb") as file:
        file.truncate((engine.MAX_FILE_MB + 1) << 20)
    with pytest.raises(InputError, match=f"{name}: 101 MB"):
        Tokenizer.load(tmp_path)


def test_code_that_a_folder_brings_is_never_imported(tmp_path: Path, write: Write) -> None:
    write(tmp_path, {**BERT, "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["own.Tok", None]}}})
    (tmp_path / "own.py").write_text("raise SystemExit('imported')")
    Tokenizer.from_vocabulary(["cat"]).save(tmp_path / "sound")
    (tmp_path / "tokenizer.json").write_bytes((tmp_path / "sound" / "tokenizer.json").read_bytes())
    with pytest.raises(InputError, match="take that key out"):
        Tokenizer.load(tmp_path)
    assert Tokenizer.load(tmp_path / "tokenizer.json").tokens("cat") == ["cat"]


def test_a_map_of_model_code_says_nothing_of_the_tokenizer(tmp_path: Path, write: Write) -> None:
    write(tmp_path, {**BERT, "tokenizer_config.json": {"auto_map": {"AutoModel": "own.Model"}}})
    assert Tokenizer.load(tmp_path).tokens("the cat") == ["the", "cat"]


def test_blank_lines_of_a_vocabulary_keep_their_numbers(tmp_path: Path, write: Write) -> None:
    tokenizer = Tokenizer.load(write(tmp_path, {"vocab.txt": VOCAB.replace("the", "\u3000") + "mat\r\n"}))
    assert tokenizer.id("mat") == 7
    assert tokenizer.tokens("mat the") == ["mat", "[UNK]"]


def test_an_added_token_on_the_id_of_another_is_refused(tmp_path: Path, write: Write) -> None:
    holes = {"vocab.txt": "\n\n" + VOCAB}
    assert Tokenizer.load(write(tmp_path, holes)).id("cat") == 8
    with pytest.raises(InputError, match="an added token has the id of another"):
        Tokenizer.load(write(tmp_path, {**holes, "tokenizer_config.json": {"bos_token": "[NEW]"}}))


def test_the_folder_of_another_tool_keeps_what_it_says(folder_of: Callable[..., Path], tmp_path: Path) -> None:
    settings = {"model_max_length": 77, "model_input_names": ["input_ids"], "padding_side": "left"}
    folder = folder_of("wordpiece", {"tokenizer_config.json": settings})
    Tokenizer.load(folder).save(tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert settings.items() <= saved.items()
