"""Whole folders: what is saved comes back, what is not asked for is left out and told, an old one outlives a fault."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inlay.batch import Batch
from inlay.convert import load_model, load_pair, read_config, save_model
from inlay.convert import weights as files
from inlay.convert.families import FAMILIES, UNSHARED
from inlay.convert.hub import Fetched
from inlay.errors import InputError
from inlay.files import CHECKSUMS, read_json, write_json
from inlay.model.characters import CharacterCNN, CharacterMean
from inlay.model.heads import LanguageHead, TextHead
from inlay.model.model import Model, ModelConfig
from inlay.model.presets import PRESETS, preset
from inlay.model.relative import Rotary
from inlay.tokenize.kinds import Bytes
from inlay.tokenize.tokenizer import Tokenizer

TINY = {
    name: config
    for name, config in PRESETS.items()
    if "-tiny" in name and (config.family in FAMILIES or config.family in UNSHARED)
}
BERT = preset("bert-tiny")
BERT = replace(BERT, input=replace(BERT.input, vocab_size=500))


@pytest.fixture(scope="module")
def bert() -> Model:
    return BERT.build(seed=4)


@pytest.fixture
def folder(bert: Model, tmp_path: Path) -> Path:
    save_model(bert, tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(["water", "stone"], lowercase=True)


def equal(one: Model, other: Model) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name


def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """The folder with other tensors in it."""
    tensors = {name: tensor.clone() for name, tensor in files.read(folder).items()}
    change(tensors)
    files.write(tensors, folder, force=True)
    (folder / CHECKSUMS).unlink(missing_ok=True)
    return folder


@pytest.mark.parametrize("name", TINY)
def test_every_preset_comes_back_from_disk_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = TINY[name].build(seed=1)
    save_model(model, tmp_path / "x")
    again = load_model(tmp_path / "x")
    equal(again, model)
    assert replace(again.config, init=model.config.init) == model.config
    assert read_config(tmp_path / "x") == again.config
    assert not again.training


def test_an_architecture_of_one_s_own_is_kept_in_our_layout_to_the_last_setting(tmp_path: Path) -> None:
    assert BERT.encoder is not None
    config = replace(
        BERT,
        input=replace(BERT.input, position=None, frozen=100),
        encoder=replace(BERT.encoder, relative=Rotary(), norm_first=True, n_unique=1),
        heads=(TextHead(labels=("好", "坏"), at="mean"),),
        family="",
    )
    model = config.build(seed=2)
    save_model(model, tmp_path / "x")
    again = load_model(tmp_path / "x")
    assert again.config == config
    equal(again, model)
    assert not again.input.token.weight.requires_grad
    assert read_json(tmp_path / "x" / "config.json")["model_type"] == "inlay"


@pytest.mark.parametrize("name", [name for name in TINY if TINY[name].family in {*FAMILIES} - {"t5", "bart"}])
def test_a_language_head_with_a_table_of_its_own_comes_back(name: str, tmp_path: Path) -> None:
    heads = tuple(replace(head, tied=False) if isinstance(head, LanguageHead) else head for head in TINY[name].heads)
    model = replace(TINY[name], heads=heads).build(seed=5)
    for number, parameter in enumerate(model.parameters()):
        torch.nn.init.constant_(parameter, number)  # zero biases would be taken for one another
    save_model(model, tmp_path / "x")
    equal(load_model(tmp_path / "x"), model)


@pytest.mark.parametrize("token", [CharacterMean(), CharacterCNN(filters=2)], ids=lambda token: type(token).__name__)
def test_a_table_read_from_characters_is_kept_with_their_spelling(
    token: CharacterMean | CharacterCNN, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = replace(BERT, input=replace(BERT.input, token=token), heads=(), family="").build().eval()
    model.input.token.spell(tokenizer)  # type: ignore[operator]
    save_model(model, tmp_path / "x")
    again = load_model(tmp_path / "x")
    equal(again, model)
    batch = tokenizer.encode(["stone water"])
    with torch.no_grad():
        assert torch.equal(again(batch), model(batch))


def test_an_untied_head_that_is_not_asked_for_is_no_copy(tmp_path: Path) -> None:
    heads = tuple(replace(head, tied=False) if isinstance(head, LanguageHead) else head for head in BERT.heads)
    save_model(replace(BERT, heads=heads).build(), tmp_path / "x")
    assert not load_model(tmp_path / "x", heads=()).heads


def test_heads_that_are_not_asked_for_are_left_out_and_told(folder: Path, bert: Model) -> None:
    alone = load_model(folder, heads=())
    assert not alone.heads
    assert alone.source is not None
    assert "cls.seq_relationship.weight" in alone.source["left_out"]
    assert all(name.startswith(("cls.", "bert.pooler.")) for name in alone.source["left_out"])
    some = load_model(folder, heads=("language",))
    assert list(some.heads) == ["language"]
    batch = Batch.of([[3, 4, 5], [6]])
    with torch.no_grad():
        assert torch.equal(some(batch), bert.eval()(batch))


def test_what_is_ignored_is_left_out_and_told(folder: Path) -> None:
    more = {"visual.proj.weight": torch.ones(2, 2), "visual.bias": torch.ones(2)}
    changed(folder, lambda tensors: tensors.update(more))
    model = load_model(folder, ignore=("visual.*",))
    assert model.source is not None
    assert model.source["left_out"] == ["visual.bias", "visual.proj.weight"]


def test_shards_are_one_model(folder: Path, bert: Model) -> None:
    files.write(dict(files.read(folder)), folder, shard_mb=0.3, force=True)
    (folder / CHECKSUMS).unlink()
    assert len(list(folder.glob("*.safetensors"))) > 2
    equal(load_model(folder), bert)


def test_the_oldest_names_and_stored_positions_are_read(folder: Path, bert: Model) -> None:
    def older(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "LayerNorm." in name]:
            tensors[name.replace(".weight", ".gamma").replace(".bias", ".beta")] = tensors.pop(name)
        tensors["bert.embeddings.position_ids"] = torch.arange(512)[None]

    equal(load_model(changed(folder, older)), bert)


def test_a_tied_table_may_be_stored_twice_or_under_its_other_name(folder: Path, bert: Model) -> None:
    table, other = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"
    equal(load_model(changed(folder, lambda tensors: tensors.update({other: tensors[table].clone()}))), bert)
    equal(load_model(changed(folder, lambda tensors: tensors.pop(table))), bert)


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32"])
def test_halves_become_float32_unless_another_dtype_is_named(stored: str, folder: Path, bert: Model) -> None:
    dtype = getattr(torch, stored)
    changed(folder, lambda tensors: tensors.update({name: one.to(dtype) for name, one in tensors.items()}))
    whole = load_model(folder)
    assert {parameter.dtype for parameter in whole.parameters()} == {torch.float32}
    half = load_model(folder, dtype="bfloat16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    same = load_model(folder, dtype="same")
    assert {parameter.dtype for parameter in same.parameters()} == {dtype}
    for name, tensor in bert.state_dict().items():
        assert torch.equal(whole.state_dict()[name], tensor.to(dtype).float())
        assert torch.equal(same.state_dict()[name], tensor.to(dtype))


def test_the_dtype_is_kept_when_saved(folder: Path, tmp_path: Path) -> None:
    half = load_model(folder, dtype="bfloat16")
    save_model(half, tmp_path / "half")
    assert read_json(tmp_path / "half" / "config.json")["dtype"] == "bfloat16"
    equal(load_model(tmp_path / "half", dtype="same"), half)


def test_where_a_model_came_from_is_not_lost_when_it_is_saved(folder: Path, tmp_path: Path) -> None:
    os.remove(folder / "inlay.json")
    os.remove(folder / CHECKSUMS)
    model = load_model(folder)
    assert model.source == {"name": str(folder), "revision": None, "family": "bert"}
    save_model(model, tmp_path / "b")
    again = load_model(tmp_path / "b")
    assert again.source == model.source
    about = read_json(tmp_path / "b" / "inlay.json")
    assert about["source"] == model.source
    assert about["config"]["encoder"]["n_layers"] == 2


def test_the_revision_of_a_model_of_the_hub_is_pinned(folder: Path, tmp_path: Path) -> None:
    os.remove(folder / "inlay.json")
    os.remove(folder / CHECKSUMS)
    save_model(load_model(Fetched(folder, "owner/name", "a" * 40), heads=("language",)), tmp_path / "b")
    source = load_model(tmp_path / "b", heads=()).source
    assert source is not None
    assert (source["name"], source["revision"]) == ("owner/name", "a" * 40)
    assert {"cls.seq_relationship.bias", "cls.predictions.bias"} <= set(source["left_out"])


def test_a_source_that_is_no_source_is_not_believed(folder: Path) -> None:
    os.remove(folder / CHECKSUMS)
    write_json(folder / "inlay.json", {"source": {"name": "x", "revision": 3, "left_out": [1, "a"], "beside": 7}})
    assert load_model(folder).source == {"name": "x", "revision": None, "family": None, "left_out": ["a"]}


def test_a_pooler_that_nobody_reads_is_kept_as_in_published_checkpoints(bert: Model, tmp_path: Path) -> None:
    model = replace(BERT, heads=BERT.heads[:2]).build()
    assert set(model.heads) == {"pooler", "language"}
    save_model(model, tmp_path / "x")
    assert read_json(tmp_path / "x" / "config.json")["architectures"] == ["BertForMaskedLM"]
    equal(load_model(tmp_path / "x"), model)


def test_a_changed_byte_is_noticed(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="its bytes changed"):
        load_model(folder)


def test_reading_draws_nothing_and_saving_changes_nothing(folder: Path, bert: Model, tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in bert.state_dict().items()}
    load_model(folder)
    save_model(bert, tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in bert.state_dict().items())


def test_the_same_model_is_saved_as_the_same_bytes(folder: Path, bert: Model, tmp_path: Path) -> None:
    save_model(bert, tmp_path / "again")
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_model_is_replaced_only_with_force_and_a_folder_that_is_none_never(folder: Path, bert: Model) -> None:
    with pytest.raises(InputError, match="not empty"):
        save_model(bert, folder)
    save_model(load_model(folder, heads=()), folder, force=True)
    assert load_model(folder).config.heads == ()
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="is no model"):
        save_model(bert, folder, force=True)


def test_the_old_model_is_whole_where_saving_fails(
    folder: Path, bert: Model, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("power")

    monkeypatch.setattr(Tokenizer, "save", fail)
    with pytest.raises(RuntimeError, match="power"):
        save_model(bert, folder, tokenizer=tokenizer, force=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_model_and_its_tokenizer_are_kept_together(bert: Model, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(bert, tmp_path / "x", tokenizer=tokenizer)
    model, again = load_pair(tmp_path / "x")
    equal(model, bert)
    assert again.vocabulary == tokenizer.vocabulary


@pytest.mark.parametrize("name", ["gpt2-tiny", "t5-tiny"])
@pytest.mark.parametrize("specials", [("<pad>", "<s>", "</s>"), ("[PAD]", "[CLS]", "[SEP]")], ids=" ".join)
def test_what_begins_and_ends_a_written_text_is_told_to_other_libraries(
    name: str, specials: tuple[str, ...], tmp_path: Path
) -> None:
    tokenizer = Tokenizer.train([], Bytes(specials=specials))
    config = replace(preset(name), input=replace(preset(name).input, vocab_size=tokenizer.size))
    save_model(config.build(), tmp_path / "x", tokenizer=tokenizer)
    tree = read_json(tmp_path / "x" / "config.json")
    ids = tuple(tree[f"{role}_token_id"] for role in ("pad", "bos", "eos"))
    assert ids == tuple(tokenizer.id(token) for token in specials)
    assert load_pair(tmp_path / "x")[0].config == config


def test_how_text_was_to_be_written_is_told_as_left_out(folder: Path) -> None:
    write_json(folder / "generation_config.json", {"num_beams": 4})
    assert load_model(folder).source["beside"] == ["generation_config.json"]


# Folders of sentence-transformers


def of_sentences(folder: Path, out: Path, path: str, kind: str) -> Path:
    out.mkdir()
    shutil.copytree(folder, out / path, dirs_exist_ok=True)
    parts = [{"idx": 0, "path": path, "type": kind}, {"idx": 1, "path": "1_Pooling", "type": "x.models.Pooling"}]
    (out / "modules.json").write_text(json.dumps(parts))
    return out


@pytest.mark.parametrize("path", ["", "0_Transformer"])
@pytest.mark.parametrize(
    "kind", ["sentence_transformers.models.Transformer", "sentence_transformers.base.modules.transformer.Transformer"]
)
def test_the_transformer_in_a_folder_of_sentence_transformers_is_found(
    path: str, kind: str, folder: Path, bert: Model, tmp_path: Path
) -> None:
    equal(load_model(of_sentences(folder, tmp_path / "st", path, kind)), bert)


@pytest.mark.parametrize("path", ["", "0_Transformer"])
def test_a_snapshot_in_the_hub_s_cache_is_read_through_its_links(
    path: str, folder: Path, bert: Model, tmp_path: Path
) -> None:
    (folder / "inlay.json").unlink()
    whole = of_sentences(folder, tmp_path / "st", path, "x.Transformer")
    home = tmp_path / "models--owner--name"
    (home / "blobs").mkdir(parents=True)
    for number, file in enumerate(path for path in whole.rglob("*") if path.is_file()):
        (home / "blobs" / str(number)).write_bytes(file.read_bytes())
        link = home / "snapshots" / "abc" / file.relative_to(whole)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(home / "blobs" / str(number))
    equal(load_model(home / "snapshots" / "abc"), bert)


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        (
            "x.models.StaticEmbedding",
            "",
            "names StaticEmbedding, Pooling, but it is one Transformer with a path that is",
        ),
        ("x.models.Transformer", "../bert", "leads out of"),
        ("x.models.Transformer", 3, "names Transformer, Pooling"),
        ("x.Two\nlines", "", r"names 'Two.{1,2}nlines', Pooling"),
    ],
)
def test_other_folders_of_sentence_transformers_are_refused(
    kind: str, path: object, said: str, folder: Path, tmp_path: Path
) -> None:
    out = of_sentences(folder, tmp_path / "st", "", kind)
    write_json(out / "modules.json", [{"path": path, "type": kind}, {"path": "1_Pooling", "type": "x.Pooling"}])
    with pytest.raises(InputError, match=said):
        load_model(out)


def test_a_folder_that_is_named_by_a_config_alone_is_told_from_a_model(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    with pytest.raises(InputError, match="holds no weights"):
        read_config(tmp_path)


def test_a_config_is_read_without_the_weights_being_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.Weights, "__getitem__", lambda *_: pytest.fail("a weight was read"))
    monkeypatch.setattr("inlay.convert.convert.verify_checksums", lambda *_: pytest.fail("all bytes were read"))
    assert isinstance(read_config(folder), ModelConfig)


@pytest.mark.parametrize("name", [name for name in TINY if TINY[name].family in FAMILIES])
def test_the_class_tells_the_family_where_the_oldest_files_do_not(name: str, tmp_path: Path) -> None:
    save_model(TINY[name].build(), tmp_path / "m")
    tree, before = read_json(tmp_path / "m" / "config.json"), read_config(tmp_path / "m")
    write_json(tmp_path / "m" / "config.json", {key: tree[key] for key in tree if key != "model_type"})
    assert read_config(tmp_path / "m") == before


@pytest.mark.parametrize("name", ["bert-tiny", "roberta-tiny", "gpt2-tiny", "xlnet-tiny"])
def test_a_tie_of_which_there_is_but_one_end_is_none(name: str, tmp_path: Path) -> None:
    save_model(replace(preset(name), heads=()).build(), tmp_path / "m")
    tree, before = read_json(tmp_path / "m" / "config.json"), read_config(tmp_path / "m")
    write_json(tmp_path / "m" / "config.json", {**tree, "tie_word_embeddings": False})
    assert read_config(tmp_path / "m") == before


def test_the_home_folder_is_found_when_saving_as_when_loading(
    bert: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_model(bert, "~/m")
    assert (tmp_path / "m" / "config.json").is_file()
    equal(load_model("~/m"), bert)
    with pytest.raises(InputError, match="no such folder"):
        load_model("~nobody-of-that-name/m")
