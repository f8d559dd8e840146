"""Folders that cannot be read and models that cannot be written: one line names what is wrong, where, and a way out."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from inlay.convert import load_model, load_pair, save_model
from inlay.convert import weights as files
from inlay.errors import InputError
from inlay.files import CHECKSUMS, read_json, write_json
from inlay.model.heads import PairHead, Pooler, TextHead, TokenHead
from inlay.model.input import Input, Table
from inlay.model.model import Model, ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.position import Learned
from inlay.model.relative import Rotary
from inlay.model.stack import Dropout, Stack
from inlay.tokenize.tokenizer import Tokenizer

LN = LayerNorm(eps=1e-12)
BERT = ModelConfig(
    input=Input(vocab_size=40, token=Table(padding=0), position=Learned(max_len=16), n_segments=2, norm=LN),
    encoder=Stack(n_layers=2, d_model=8, n_heads=2, d_ffn=12, norm=LN),
    heads=(Pooler(), PairHead()),
    family="bert",
)
STACK = BERT.encoder
assert STACK is not None
QUERY = "bert.encoder.layer.1.attention.self.query.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def bert() -> Model:
    return BERT.build(seed=4)


@pytest.fixture
def folder(bert: Model, tmp_path: Path) -> Path:
    save_model(bert, tmp_path / "bert")
    (tmp_path / "bert" / CHECKSUMS).unlink()
    return tmp_path / "bert"


def changed(folder: Path, change: Callable[[Tensors], object]) -> Path:
    tensors = {name: tensor.clone() for name, tensor in files.read(folder).items()}
    change(tensors)
    files.write(tensors, folder, force=True)
    return folder


def said(folder: Path, **settings: Any) -> Path:
    """The folder with other settings in its config.json."""
    write_json(folder / "config.json", read_json(folder / "config.json") | settings)
    return folder


def refused(folder: Path, *parts: str, **options: Any) -> None:
    with pytest.raises(InputError) as error:
        load_model(folder, **options)
    for part in parts:
        assert part in str(error.value), str(error.value)
    assert "\n" not in str(error.value)


def test_every_tensor_without_a_place_is_named_with_its_shape(folder: Path) -> None:
    extra = {"classifier.weight": torch.ones(1, 8), "classifier.bias": torch.ones(1), "bert.odd": torch.ones(2, 3)}
    changed(folder, lambda tensors: tensors.update(extra))
    said(folder, architectures=["BertForMultipleChoice"])
    refused(
        folder,
        "holds 3 tensors without a place",
        "bert.odd (2, 3), classifier.bias (1), classifier.weight (1, 8)",
        "written by 'BertForMultipleChoice'; heads read: pooler + pair",
        "ignore=(",
    )
    model = load_model(folder, ignore=("classifier.*", "bert.odd"))
    assert model.source is not None
    assert model.source["left_out"] == ["bert.odd", "classifier.bias", "classifier.weight"]


def test_a_classifier_of_nobody_knows_what_is_told_so(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({"classifier.weight": torch.ones(2, 8)}))
    settings = read_json(folder / "config.json")
    del settings["architectures"]
    write_json(folder / "config.json", settings)
    refused(folder, "classifier.weight (2, 8)", "config.json names no class in architectures")


def test_names_that_would_break_a_line_are_shown_safely(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({"x\n\x1b[31m": torch.ones(1), "y" * 5000: torch.ones(1)}))
    with pytest.raises(InputError) as error:
        load_model(folder)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_a_long_list_ends_with_a_count(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({f"x.{i:03}": torch.ones(1) for i in range(200)}))
    refused(folder, "holds 200 tensors", "x.000 (1), ", " and 188 more", "ignore=('x.*',)")


def test_every_tensor_that_is_missing_is_named(folder: Path) -> None:
    changed(folder, lambda tensors: [tensors.pop(QUERY), tensors.pop("cls.seq_relationship.bias")])
    refused(folder, "lacks 2 tensors of this model", f"{QUERY} (8, 8)", "cls.seq_relationship.bias (2)")


def test_a_layer_too_many_and_a_layer_too_few_are_told(folder: Path) -> None:
    refused(said(folder, num_hidden_layers=1), "holds 16 tensors without a place", "bert.encoder.layer.1.")
    refused(said(folder, num_hidden_layers=3), "lacks 16 tensors", "bert.encoder.layer.2.", "from one folder")


def test_a_wrong_shape_names_the_tensor_and_both_shapes(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({QUERY: torch.ones(8, 6)}))
    refused(
        folder, f"{QUERY} is (8, 6) where config.json makes it (8, 8)", "take config.json and weights from one folder"
    )
    changed(folder, lambda tensors: tensors.update({QUERY: torch.ones(8, 8)}))
    refused(said(folder, vocab_size=41), "word_embeddings.weight is (40, 8) where config.json makes it (41, 8)")


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.float8_e4m3fn, torch.int64, torch.complex64], ids=str)
def test_weights_that_are_no_plain_numbers_are_refused(dtype: torch.dtype, folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({QUERY: torch.ones(8, 8).to(dtype)}))
    refused(folder, f"{QUERY} is {str(dtype).removeprefix('torch.')}", "get it as it was before")


def test_double_precision_is_kept_or_rounded_as_one_says(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({QUERY: tensors[QUERY].double() + 1e-12}))
    refused(folder, f"{QUERY} is float64", "dtype='float32'")
    assert load_model(folder, dtype="float32").input.token.weight.dtype is torch.float32
    assert load_model(folder, dtype="same").input.token.weight.dtype is torch.float64
    refused(folder, "dtype='float23' is none of a model's; did you mean 'float", dtype="float23")


def test_numbers_that_float16_cannot_hold_are_said(folder: Path) -> None:
    changed(folder, lambda tensors: tensors[QUERY].mul_(0).add_(1e6))
    refused(folder, "qkv.weight", "beyond the range of float16", dtype="float16")


@pytest.mark.parametrize(("number", "shown"), [(float("nan"), "nan"), (float("-inf"), "-inf")])
def test_a_number_that_is_none_is_found_and_named(number: float, shown: str, folder: Path) -> None:
    def spoil(tensors: Tensors) -> None:
        tensors[QUERY][3, 5] = number

    refused(changed(folder, spoil), QUERY, f"is {shown} at [3, 5]")


def test_a_copy_that_is_none_is_refused(folder: Path, bert: Model) -> None:
    table = bert.state_dict()["input.token.weight"]
    changed(folder, lambda tensors: tensors.update({"cls.predictions.decoder.weight": table + 1}))
    refused(folder, "cls.predictions.decoder.weight must equal bert.embeddings.word_embeddings.weight")


def test_positions_that_do_not_count_up_are_refused(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({"bert.embeddings.position_ids": torch.arange(16).flip(0)}))
    refused(folder, "bert.embeddings.position_ids", "0, 1, 2")


def test_two_spellings_of_one_name_are_refused(folder: Path) -> None:
    name = "bert.embeddings.LayerNorm.gamma"
    changed(folder, lambda tensors: tensors.update({name: torch.ones(8)}))
    refused(folder, name, "bert.embeddings.LayerNorm.weight", "which are one")


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"model_type": "brt"}, ["'brt'", "did you mean 'bert'?"]),
        ({"model_type": "llama"}, ["'llama'", "choose from", "roberta"]),
        ({"auto_map": {"AutoModel": "code.Model"}}, ["auto_map", "never done"]),
        ({"position_embedding_type": "relative_key"}, ["position_embedding_type='relative_key'"]),
        ({"is_decoder": True}, ["is_decoder"]),
        ({"rope_scaling": 2}, ["rope_scaling=2", "not known"]),
        ({"hidden_act": "gulu"}, ["hidden_act='gulu'", "did you mean 'gelu'?"]),
        ({"num_attention_heads": 3}, ["config.json: d_model=8 is not a multiple of n_heads=3"]),
        ({"hidden_dropout_prob": 1}, ["config.json: dropout=1.0"]),
        ({"pad_token_id": 40}, ["config.json: padding=40"]),
        ({"num_attention_heads": 2**31 - 1}, ["is not a multiple of n_heads=2147483647"]),
        ({"max_position_embeddings": 2**31 - 1}, ["config.json makes it (2147483647, 8)"]),
        ({"type_vocab_size": 2**31 - 1}, ["a size of 2147483647, beyond all models"]),
        ({"id2label": {"1": "a", "2": "b"}, "architectures": ["BertForSequenceClassification"]}, []),
    ],
    ids=str,
)
def test_settings_that_are_not_understood_are_named(settings: dict[str, Any], parts: list[str], folder: Path) -> None:
    if not parts:
        changed(folder, lambda tensors: tensors.update({"classifier.weight": torch.ones(2, 8)}))
        parts = ["id2label", "from 0, 1, 2"]
    refused(said(folder, **settings), *parts)


def test_a_damaged_file_a_pickle_and_no_folder_are_told(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused(folder, "model.safetensors")
    weights.write_bytes(b"\xff" * 64)
    refused(folder, "model.safetensors")
    weights.unlink()
    (folder / "pytorch_model.bin").write_bytes(whole)
    refused(folder, "pytorch_model.bin: a pickle", "safetensors")
    refused(tmp_path / "nothing", "no such folder")


def test_absurd_sizes_are_refused_before_anything_is_built(folder: Path) -> None:
    settings = read_json(folder / "config.json")
    refused(said(folder, num_hidden_layers=2**31), "has 2147483648 layers, but there are")
    write_json(folder / "config.json", settings)
    refused(said(folder, hidden_size=2**31, num_attention_heads=2), "a size of 2147483648, beyond all models")
    write_json(folder / "config.json", settings)
    refused(said(folder, vocab_size=2**31), "a size of 2147483648")


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("input.d_embed", -1, "d_embed=-1"),
        ("input.n_segments", -1, "n_segments=-1"),
        ("input.n_segments", 2**62, "a size of"),
        ("encoder.d_head", -1, "d_head=-1"),
        ("encoder.norm", {"kind": "os:system"}, "'model.encoder.norm.kind' is 'os:system'"),
        ("encoder.layers", 3, "unknown key 'model.encoder.layers'"),
    ],
    ids=str,
)
def test_our_own_layout_is_read_as_strictly(path: str, value: Any, part: str, tmp_path: Path) -> None:
    save_model(replace(BERT, family="").build(), tmp_path / "x")
    (tmp_path / "x" / CHECKSUMS).unlink()
    tree = read_json(tmp_path / "x" / "config.json")
    *parents, leaf = path.split(".")
    node = tree["model"]
    for parent in parents:
        node = node[parent]
    node[leaf] = value
    write_json(tmp_path / "x" / "config.json", tree)
    refused(tmp_path / "x", part)


def test_a_pattern_that_fits_nothing_is_refused(folder: Path) -> None:
    refused(folder, "ignore='bert.poler.*' fits no tensor; did you mean 'bert.pooler.*'?", ignore=("bert.poler.*",))
    refused(folder, "'zzz' fits no tensor; they are bert.embeddings.*, bert.encoder.*, bert.pooler.*", ignore=("zzz",))
    model = load_model(folder, ignore=("bert.pooler.*", "cls.*"))
    assert not model.heads
    refused(
        folder, "lacks 1 tensor of this model: bert.embeddings.word_embeddings.weight (40, 8)", ignore=("*.word_*",)
    )


def test_one_name_where_a_list_belongs_and_a_dtype_of_torch_are_refused(folder: Path) -> None:
    refused(folder, "ignore='cls.*' must be a list; write ignore=['cls.*']", ignore="cls.*")
    refused(folder, "heads='pooler' must be a list", heads="pooler")
    refused(folder, "dtype=torch.float16 is none", "did you mean 'float16'", dtype=torch.float16)


@pytest.mark.parametrize("name", ["config.json", "inlay.json", "checksums.json", "modules.json"])
def test_a_huge_table_is_not_even_read(name: str, folder: Path) -> None:
    with open(folder / name, "wb") as file:
        file.truncate(1 << 40)
    refused(folder, f"{name}: 1099511627776 bytes, where at most")


def test_a_folder_where_a_table_belongs_is_refused(folder: Path) -> None:
    (folder / CHECKSUMS).mkdir()
    refused(folder, f"{CHECKSUMS}: is a folder")


def test_a_family_that_is_not_said_is_asked_for(folder: Path) -> None:
    tree = read_json(folder / "config.json")
    write_json(folder / "config.json", {key: tree[key] for key in tree if key not in ("model_type", "architectures")})
    refused(folder, "config.json: lacks 'model_type'", "one of bert, roberta")


def test_an_empty_list_of_classes_is_none(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({"classifier.weight": torch.ones(2, 8)}))
    refused(said(folder, architectures=[]), "config.json names no class in architectures")


def test_a_head_that_is_not_there_is_refused(folder: Path) -> None:
    refused(folder, "has no head 'pear'; did you mean 'pair'?", heads=("pear",))


def test_a_tokenizer_with_more_ids_than_the_table_has_rows_is_refused(bert: Model, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_vocabulary([f"word{n}" for n in range(60)])
    with pytest.raises(InputError, match="the tokenizer has ids up to .*, the token table 40 rows"):
        save_model(bert, tmp_path / "x", tokenizer=tokenizer)
    assert not (tmp_path / "x").exists()
    save_model(bert, tmp_path / "x")
    tokenizer.save(tmp_path / "x")
    with pytest.raises(InputError, match="the tokenizer has ids up to"):
        load_pair(tmp_path / "x")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (replace(BERT, encoder=replace(STACK, norm_first=True)), "encoder.norm_first=True"),
        (replace(BERT, encoder=replace(STACK, relative=Rotary())), "encoder.relative"),
        (replace(BERT, encoder=replace(STACK, n_unique=1)), "encoder.n_unique=1"),
        (replace(BERT, encoder=replace(STACK, bias=False)), "encoder.bias=False"),
        (replace(BERT, encoder=replace(STACK, norm=LayerNorm(eps=1e-5))), "norm.eps"),
        (replace(BERT, encoder=replace(STACK, dropout=Dropout(ffn=0.2))), "encoder.dropout.ffn=0.2"),
        (replace(BERT, encoder=replace(STACK, d_head=8)), "encoder.d_head=8"),
        (replace(BERT, encoder=None, decoder=STACK), "an encoder alone"),
        (replace(BERT, input=replace(BERT.input, scale=2.0)), "input.scale=2.0"),
        (replace(BERT, input=replace(BERT.input, position=None)), "input.position"),
        (replace(BERT, input=replace(BERT.input, n_segments=0)), "type_vocab_size"),
        (replace(BERT, heads=(Pooler(), TextHead(labels=("a",), at="mean"))), "at=mean"),
        (replace(BERT, heads=(TokenHead(labels=("a",)), PairHead(), Pooler())), "pair + pooler + tokens"),
        (replace(BERT, family="roberta", heads=()), "roberta cannot hold input.position.offset=0"),
        (replace(BERT, family="brt"), "did you mean 'bert'?"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_model_that_a_family_cannot_hold_is_refused_by_its_first_field(
    config: ModelConfig, field: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(field)) as error:
        save_model(config.build(), tmp_path / "x")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()
    save_model(replace(config, family="").build(), tmp_path / "x")
    assert replace(load_model(tmp_path / "x").config, family=config.family) == config


def test_other_first_weights_and_a_frozen_table_do_not_hinder(tmp_path: Path) -> None:
    config = replace(BERT, input=replace(BERT.input, frozen="always", d_embed=8), encoder=replace(STACK, n_unique=2))
    save_model(config.build(), tmp_path / "x")
    assert load_model(tmp_path / "x").config == BERT
