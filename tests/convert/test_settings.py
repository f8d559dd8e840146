"""config.json: strict JSON, typed getters, and no key passed over in silence: held against the reference library."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from inlay.convert.settings import Settings, read_settings
from inlay.convert.unread import ANY, HEADS, UNREAD
from inlay.errors import InputError


def put(folder: Path, content: bytes | dict, name: str = "config.json") -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


BROKEN = {
    "empty": (b"", "not JSON"),
    "cut": (b'{"a": ', "not JSON"),
    "a list": (b"[1]", "must be a table of settings, not .1."),
    "a text": (b'"a"', "must be a table of settings"),
    "not UTF-8": (b'{"a": "\xb0"}', "not JSON .*utf-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not JSON .*utf-8"),
    "a key twice": (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
    "a key twice below": (b'{"a": {"b": 1, "b": 1}}', "the key 'b' stands twice"),
    "NaN": (b'{"a": NaN}', "NaN is no number"),
    "infinity": (b'{"a": -Infinity}', "-Infinity is no number"),
    "a number beyond all": (b'{"a": 1e999}', "'1e999' is too large a number"),
    "a whole number beyond all": (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
    "deep": (b'{"a":' * 100 + b"1" + b"}" * 100, "more than 64 levels deep"),
    "deeper than the stack": (b"[" * 1_000_000, "not JSON"),
    "half a character": (b'{"a": "\\uD800"}', "surrogates not allowed"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "not JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_sound_table_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    with pytest.raises(InputError, match=message) as error:
        read_settings(put(tmp_path, content))
    assert str(tmp_path / "config.json") in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_file_that_is_missing_huge_or_elsewhere_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="config.json: no such file"):
            read_settings(folder)
    put(tmp_path, {"secret": 1}, "outside.json")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").symlink_to("../outside.json")
    with pytest.raises(InputError, match="leads out of"):
        read_settings(model)
    with open(model / "huge.json", "wb") as file:
        os.truncate(file.fileno(), 1 << 40)
    with pytest.raises(InputError, match="1099511627776 bytes, where at most"):
        read_settings(model, "huge.json")


def test_values_come_back_by_type() -> None:
    found = Settings({"n": 3, "x": 2, "y": 0.5, "on": True, "act": "gelu", "sizes": [1, 2], "none": None}, "c")
    assert found.integer("n") == 3
    assert (found.number("x"), found.number("y")) == (2.0, 0.5)
    assert found.flag("on") is True
    assert found.text("act", ["gelu", "relu"]) == "gelu"
    assert found.listing("sizes", int) == [1, 2]
    assert not found.has("none")
    assert not found.has("absent")
    found.finish()
    assert found.integer("absent", 7) == 7
    assert found.flag("absent", False) is False


@pytest.mark.parametrize(
    ("tree", "ask", "message"),
    [
        ({"n": True}, lambda s: s.integer("n"), "c: n must be a whole number from 1 to .*, not true"),
        ({"n": 3.0}, lambda s: s.integer("n"), "not 3.0"),
        ({"n": "3"}, lambda s: s.integer("n"), "not '3'"),
        ({"n": None}, lambda s: s.integer("n", 5), "not null"),
        ({"n": 0}, lambda s: s.integer("n"), "from 1 to"),
        ({"n": 1 << 40}, lambda s: s.integer("n"), "from 1 to"),
        ({"n": True}, lambda s: s.number("n"), "n must be a number from 0, not true"),
        ({"n": -1}, lambda s: s.number("n"), "not -1"),
        ({"n": 1.5}, lambda s: s.number("n", most=1), "from 0 to 1, not 1.5"),
        ({"n": 1}, lambda s: s.flag("n"), "must be true or false, not 1"),
        ({"n": 1}, lambda s: s.text("n", ["a", "b"]), "must be one of a, b, not 1"),
        ({"n": "gelo"}, lambda s: s.text("n", ["gelu", "relu"]), "n='gelo' is not known; did you mean 'gelu'"),
        ({"n": [1, "a"]}, lambda s: s.listing("n", int), "a list, each part of type int"),
        ({"n": [1]}, lambda s: s.table("n"), "must be a table"),
        ({"n": {"m": 1}}, lambda s: s.table("n").flag("m"), "c: n: m must be true or false"),
        ({"hiden_size": 1}, lambda s: s.integer("hidden_size"), "lacks 'hidden_size'; did you mean 'hiden_size'"),
        ({}, lambda s: s.integer("hidden_size"), "c: lacks 'hidden_size'$"),
        ({"n": "x" * 10_000}, lambda s: s.integer("n"), r"not 'x+\.\.\.x+'$"),
    ],
    ids=range(18),
)
def test_values_of_another_type_or_out_of_range_are_refused(tree: dict, ask, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(Settings(tree, "c"))


def test_every_key_that_nobody_read_is_named() -> None:
    settings = Settings({"a": 1, "b": 2, "use_cache": True, "zeta\n": [1], "is_decoder": False}, "c")
    assert settings.integer("a") == 1
    with pytest.raises(InputError, match=r"c: b=2, 'zeta\\n'=\[1\] is not known"):
        settings.finish()
    settings.finish(ignored=["b", "zeta\n"])
    settings.finish(neutral={"b": [2], "zeta\n": [[1], None]})
    with pytest.raises(InputError, match=r"c: b=2 \(built in: 3\) changes what the model computes"):
        settings.finish(ignored=["zeta\n"], neutral={"b": [3]})
    assert len(str(pytest.raises(InputError, Settings({f"k{n}": n for n in range(999)}, "c").finish).value)) < 500


@pytest.mark.parametrize("key", ["auto_map", "trust_remote_code"])
def test_a_model_that_brings_code_is_refused(key: str) -> None:
    with pytest.raises(InputError, match=f"c: {key}=.* asks to run Python"):
        Settings({key: {"AutoModel": "modeling.Evil"}}, "c")
    Settings({key: {}}, "c").finish()


# What a reader of the body must read, for each family: everything else is left to UNREAD.
SHAPE = "hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
SHAPE += "attention_probs_dropout_prob max_position_embeddings type_vocab_size layer_norm_eps vocab_size"
TINY = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 20}
MODERN = (
    "layer_types rope_parameters local_attention norm_eps norm_bias mlp_bias mlp_dropout attention_bias decoder_bias "
)
MODERN += "attention_dropout embedding_dropout hidden_activation hidden_size num_hidden_layers num_attention_heads "
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("Bert", SHAPE, TINY),
    "roberta": ("Roberta", SHAPE + " pad_token_id", TINY),
    "xlm-roberta": ("XLMRoberta", SHAPE + " pad_token_id", TINY),
    "albert": ("Albert", SHAPE + " embedding_size num_hidden_groups", TINY | {"embedding_size": 6}),
    "electra": ("Electra", SHAPE + " embedding_size", TINY | {"embedding_size": 6}),
    "distilbert": (
        "DistilBert",
        "activation attention_dropout dim dropout hidden_dim max_position_embeddings n_heads n_layers vocab_size",
        {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12, "vocab_size": 20},
    ),
    "xlnet": (
        "XLNet",
        "d_head d_inner d_model dropout ff_activation layer_norm_eps n_head n_layer vocab_size",
        {"d_model": 8, "n_layer": 2, "n_head": 2, "d_inner": 12, "vocab_size": 20},
    ),
    "t5": (
        "T5Encoder",
        "d_ff d_kv d_model dense_act_fn dropout_rate feed_forward_proj is_encoder_decoder is_gated_act num_heads "
        "layer_norm_epsilon num_decoder_layers num_layers relative_attention_max_distance scale_decoder_outputs "
        "relative_attention_num_buckets tie_word_embeddings vocab_size",
        {"d_model": 8, "num_layers": 2, "num_heads": 2, "d_kv": 4, "d_ff": 12, "vocab_size": 20},
    ),
    "bart": (
        "Bart",
        "activation_dropout activation_function attention_dropout d_model decoder_attention_heads decoder_ffn_dim "
        "decoder_layers dropout encoder_attention_heads encoder_ffn_dim encoder_layers is_encoder_decoder init_std "
        "max_position_embeddings pad_token_id scale_embedding vocab_size",
        {"d_model": 8, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 12}
        | {"decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 12, "vocab_size": 20},
    ),
    "gpt2": (
        "GPT2",
        "activation_function attn_pdrop embd_pdrop layer_norm_epsilon n_embd n_head n_inner n_layer n_positions "
        "resid_pdrop vocab_size",
        {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_inner": 12, "vocab_size": 20},
    ),
    "modernbert": ("ModernBert", MODERN + "intermediate_size max_position_embeddings vocab_size", TINY),
}


def test_no_family_is_left_out() -> None:
    assert FAMILIES.keys() == UNREAD.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_library_writes_is_all_read_or_known(family: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    name, keys, _ = FAMILIES[family]
    config = getattr(transformers, name.replace("Encoder", "") + "Config")(num_labels=3, dtype="float32")
    config.architectures = [f"{name}Model"]
    config.save_pretrained(tmp_path)
    settings = Settings.of(tmp_path)
    for key in keys.split():
        assert key in settings
        settings.has(key)
    settings.finish(UNREAD[family], ignored=HEADS)
    with pytest.raises(InputError, match="is not known"):
        Settings.of(tmp_path).finish(UNREAD[family])
    for key in keys.split():
        assert key not in UNREAD[family].ignored, key
        assert key not in UNREAD[family].neutral, key


OTHER: dict[str, Any] = {
    "id2label": {"0": "a", "1": "b", "2": "c"},
    "label2id": {"a": 0, "b": 1, "c": 2},
    "architectures": ["Other"],
    "problem_type": "regression",
    "initializer_range": 0.7,
    "initializer_factor": 3.0,
    "initializer_cutoff_factor": 1.0,
    "torch_dtype": "float32",
    "dtype": "float32",
    "mem_len": 3,
    "reuse_len": 2,
    "sparse_pred_ignore_index": -1,
    "layer_norm_eps": 0.5,
    "eos_token_id": 4,
    "n_ctx": 5,
    "n_positions": 6,
    "suppress_tokens": [1],
    "task_specific_params": {"a": {}},
}
OF_LIBRARY = {"max_position_embeddings"}  # XLNet's class does not let it be set
LEFT = {"model_type", "num_labels", "_num_labels", "name_or_path", "return_dict", "use_return_dict"}


def hidden(transformers: Any, family: str, tree: dict[str, Any], weights: dict | None = None) -> tuple[Any, dict]:
    name = FAMILIES[family][0]
    config = getattr(transformers, name.replace("Encoder", "") + "Config").from_dict(tree)
    torch.manual_seed(1)
    model = getattr(transformers, f"{name}Model")(config).eval()
    if weights is None:
        weights = {
            key: torch.randn_like(value) if value.dtype.is_floating_point else value
            for key, value in model.state_dict().items()
        }
    model.load_state_dict(weights)
    with torch.no_grad():
        ids = torch.tensor([[5, 6, 7, 8, 9, 3, 2], [4, 5, 4, 6, 3, 2, 7]])
        target = {"decoder_input_ids": ids} if family == "bart" else {}
        return model(input_ids=ids, attention_mask=torch.ones_like(ids), **target)[0], weights


@pytest.mark.parametrize("family", FAMILIES)
def test_an_ignored_key_changes_no_number_in_the_library(family: str) -> None:
    transformers = pytest.importorskip("transformers")
    tree = {"pad_token_id": 1} | FAMILIES[family][2]
    expected, weights = hidden(transformers, family, tree)
    changed = dict(tree)
    for key in UNREAD[family].ignored - LEFT - (OF_LIBRARY if family == "xlnet" else set()):
        if key == "pad_token_id":
            changed[key] = 2
        elif key in OTHER:
            changed[key] = OTHER[key]
        elif "_implementation" in key:
            changed[key] = "eager"
        elif key.endswith("_token_id"):
            changed[key] = 3
        elif key.startswith(("use_", "output_", "sinusoidal", "sparse_pred", "reorder", "deterministic")):
            changed[key] = not key.startswith("use_cache")
        else:
            changed[key] = 1
    found, _ = hidden(transformers, family, changed, weights)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5)


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("bert", "is_decoder", True),
        ("gpt2", "scale_attn_weights", False),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("albert", "inner_group_num", 2),
        ("xlnet", "clamp_len", 1),
        ("xlnet", "attn_type", "uni"),
        ("roberta", "pad_token_id", 3),
        ("t5", "feed_forward_proj", "gated-gelu"),
        ("bart", "scale_embedding", True),
    ],
)
def test_a_key_that_changes_the_numbers_is_never_ignored(family: str, key: str, value: Any) -> None:
    transformers = pytest.importorskip("transformers")
    tree = {"pad_token_id": 1} | FAMILIES[family][2]
    expected, weights = hidden(transformers, family, tree)
    try:
        found, _ = hidden(transformers, family, tree | {key: value}, weights)
    except RuntimeError:  # other weights are needed
        found = expected + 1
    assert (found - expected).abs().max() > 1e-3
    with pytest.raises(InputError, match=f"{key}="):
        Settings({key: value}, "c").finish(UNREAD[family], ignored=HEADS)


@pytest.mark.parametrize("key", ["quantization_config", "pruned_heads", "position_embedding_type", "per_layer_config"])
def test_what_the_library_would_do_besides_is_refused_for_every_family(key: str) -> None:
    for family, unread in UNREAD.items():
        with pytest.raises(InputError, match=rf"{key}=.* \(built in: .* changes what the model computes"):
            Settings({key: {"0": [1]}}, family).finish(unread)
        Settings({key: unread.neutral[key][0]}, family).finish(unread)
    assert not ANY.ignored & HEADS


PUBLISHED = {
    "bert": {"directionality": "bidi", "pooler_fc_size": 768, "pooler_num_fc_layers": 3, "pooler_type": "first_token"},
    "albert": {"net_structure_type": 0, "gap_size": 0, "num_memory_blocks": 0, "down_scale_factor": 1},
    "distilbert": {"tie_weights_": True, "output_past": True, "sinusoidal_pos_embds": False},
    "xlnet": {"untie_r": True, "mem_len": None, "torchscript": False, "use_bfloat16": False, "pruned_heads": {}},
    "gpt2": {"n_ctx": 1024, "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}},
    "t5": {"n_positions": 512, "output_past": True, "task_specific_params": {"summarization": {"num_beams": 4}}},
    "bart": {"normalize_before": False, "extra_pos_embeddings": 2, "force_bos_token_to_be_generated": False},
    "modernbert": {"layer_norm_eps": 1e-5, "gradient_checkpointing": False, "position_embedding_type": "absolute"},
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_keys_of_old_checkpoints_that_nothing_reads_are_known(family: str) -> None:
    Settings(PUBLISHED[family], family).finish(UNREAD[family])
