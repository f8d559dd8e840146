"""Folders of encoders: equal vectors with the libraries that wrote them, and one line for what is not read."""

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inlay.convert import save_model
from inlay.embed.embedder import load
from inlay.embed.folder import open_encoder, read_folder
from inlay.embed.folder_modules import CLASSIC, POOLS
from inlay.errors import InputError
from inlay.model.presets import preset
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = [
    "The river is cold.",
    "water",
    "",
    "fire in the rain, a stone on a stone on a stone",
    "水和石头",
    "Warm air of the river " * 30,
    "   spaces \n around  ",
]
DIM = 64
CLOSE = 2e-6

Edit = Callable[[Path], None]


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT as transformers has it: no module of sentence-transformers."""
    tokenizer = Tokenizer.train(TEXTS, WordPiece(size=120, lowercase=False))
    bert = preset("bert-tiny")
    encoder = replace(bert.encoder, d_model=DIM, n_heads=2, d_ffn=96, n_layers=3)
    config = replace(bert, input=replace(bert.input, vocab_size=tokenizer.size), encoder=encoder, heads=())
    place = tmp_path_factory.mktemp("plain") / "bert"
    save_model(config.build(seed=1), place, tokenizer=tokenizer)
    return place


def theirs(place: Path, **options: Any) -> Any:
    """The folder as sentence-transformers opens it."""
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SentenceTransformer(str(place), device="cpu", **options)


def written(plain: Path, place: Path, pooling: dict[str, Any], *after: Any, **options: Any) -> Any:
    """A model of sentence-transformers around the small BERT, saved at `place`."""
    st = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = Transformer(str(plain), max_seq_length=20)
        model = st.SentenceTransformer(modules=[reading, Pooling(DIM, **pooling), *after], device="cpu", **options)
        model.save(str(place))
    return model


def classic(plain: Path, place: Path, *modes: str, normalize: bool = False, **pooling: Any) -> Path:
    """The same in the classic layout, as files of versions before 6."""
    shutil.copytree(plain, place)
    listed = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalize else [])]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(listed)
    ]
    put(place / "modules.json", modules)
    settings = {key: mode in modes for key, mode in CLASSIC.items()}
    put(place / "1_Pooling" / "config.json", {"word_embedding_dimension": DIM} | settings | pooling)
    put(place / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    return place


def put(file: Path, tree: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(tree), encoding="utf-8")


def same(ours: Any, model: Any, **prompt: Any) -> None:
    names = {"prompt": prompt["prompt_name"]} if "prompt_name" in prompt else {}
    expected = model.encode(TEXTS, show_progress_bar=False, **prompt)
    np.testing.assert_allclose(ours.encode(TEXTS, **names), expected, atol=CLOSE * max(1, np.abs(expected).max()))


def test_each_pooling_of_both_layouts_gives_its_vectors(plain: Path, tmp_path: Path) -> None:
    model = written(plain, tmp_path / "v6", {})
    from sentence_transformers.sentence_transformer.modules import Pooling

    for mode in POOLS:
        model[1] = Pooling(DIM, pooling_mode=mode)
        model[1].save(str(tmp_path / "v6" / "1_Pooling"))
        ours = load(tmp_path / "v6")
        same(ours, model)
        place = classic(plain, tmp_path / mode, mode)
        model[1] = Pooling.load(str(place), subfolder="1_Pooling")
        same(load(place), model)
    assert ours.encode(TEXTS, report=True)[1].dropped > 0, "a text is longer than max_seq_length"


def test_several_pools_stand_side_by_side_in_the_same_order(plain: Path, tmp_path: Path) -> None:
    model = written(plain, tmp_path / "v6", {"pooling_mode": ("mean", "cls", "max")})
    same(load(tmp_path / "v6"), model)
    place = classic(plain, tmp_path / "classic", "mean", "cls", "lasttoken")
    same(load(place), theirs(place))
    assert load(place).dim == 3 * DIM


def test_dense_layers_and_their_activations_give_the_same(plain: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Dense, Dropout, Normalize

    torch.manual_seed(0)
    last = Dense(24, 10, activation_function=torch.nn.Identity())
    model = written(plain, tmp_path / "v6", {}, Dropout(0.1), Dense(DIM, 24), last, Normalize())
    assert load(tmp_path / "v6").dim == 10
    for activation in ("Tanh", "Identity", "ReLU", "GELU"):
        model[3] = Dense(DIM, 24, activation_function=getattr(torch.nn, activation)(), bias=activation != "ReLU")
        model[3].save(str(tmp_path / "v6" / "3_Dense"))
        same(load(tmp_path / "v6"), model)


def test_prompts_and_the_default_one_go_before_the_text(plain: Path, tmp_path: Path) -> None:
    prompts = {"query": "water is ", "other": "a stone "}
    model = written(plain, tmp_path / "v6", {}, prompts=prompts, default_prompt_name="other")
    ours = load(tmp_path / "v6")
    same(ours, model)
    same(ours, model, prompt_name="query")
    with pytest.raises(InputError, match="prompt='oter' is unknown; did you mean 'other'"):
        ours.encode(TEXTS, prompt="oter")  # type: ignore[call-arg]


def test_a_prompt_that_is_not_pooled_is_left_out(plain: Path, tmp_path: Path) -> None:
    model = written(plain, tmp_path / "v6", {}, prompts={"query": "water is "}, default_prompt_name="query")
    from sentence_transformers.sentence_transformer.modules import Pooling

    for mode in POOLS:
        model[1] = Pooling(DIM, pooling_mode=mode, include_prompt=False)
        model[1].save(str(tmp_path / "v6" / "1_Pooling"))
        expected = model.encode(TEXTS[:2], show_progress_bar=False)
        np.testing.assert_allclose(load(tmp_path / "v6").encode(TEXTS[:2]), expected, atol=2 * CLOSE)


def test_lower_case_that_the_folder_asks_for_is_done(plain: Path, tmp_path: Path) -> None:
    place = classic(plain, tmp_path / "classic", "mean")
    before = load(place).encode(["RIVER", "Water"])
    put(place / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": True})
    same(load(place), theirs(place))
    assert not np.array_equal(load(place).encode(["RIVER", "Water"]), before)


def test_the_length_of_the_folder_goes_before_the_tokenizers(plain: Path, tmp_path: Path) -> None:
    place = classic(plain, tmp_path / "classic", "mean")
    (place / "checksums.json").unlink()
    settings = json.loads((place / "tokenizer_config.json").read_text())
    put(place / "tokenizer_config.json", settings | {"model_max_length": 12})
    same(load(place), theirs(place))
    (place / "sentence_bert_config.json").unlink()
    same(load(place), theirs(place))
    assert load(place).max_length == 12


def test_a_folder_of_transformers_is_the_mean_of_rows_of_length_one(plain: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = transformers.AutoModel.from_pretrained(plain).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(plain)
    expected = []
    for text in TEXTS:
        given = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
        with torch.no_grad():
            mean = model(**given).last_hidden_state[0].mean(0)
        expected.append(torch.nn.functional.normalize(mean, dim=0).numpy())
    np.testing.assert_allclose(load(plain).encode(TEXTS), np.stack(expected), atol=CLOSE)
    assert read_folder(plain).layout == "transformers"


def test_a_runs_folder_is_opened_as_its_model(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "run" / "model")
    assert np.array_equal(load(tmp_path / "run").encode(TEXTS), load(plain).encode(TEXTS))


def test_an_older_folder_keeps_its_transformer_in_a_part(plain: Path, tmp_path: Path) -> None:
    place = classic(plain, tmp_path / "classic", "mean")
    inner = place / "0_Transformer"
    inner.mkdir()
    for file in [one for one in place.iterdir() if one.is_file() and one.name != "modules.json"]:
        file.rename(inner / file.name)
    modules = json.loads((place / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    put(place / "modules.json", modules)
    same(load(place), theirs(place))


# --- what is refused


def said(file: str, **settings: Any) -> Edit:
    def edit(place: Path) -> None:
        tree = json.loads((place / file).read_text()) if (place / file).exists() else {}
        put(place / file, {key: value for key, value in (tree | settings).items() if value != "gone"})

    return edit


def module(number: int, **settings: Any) -> Edit:
    def edit(place: Path) -> None:
        tree = json.loads((place / "modules.json").read_text())
        tree[number] |= settings
        put(place / "modules.json", tree)

    return edit


def not_finite(place: Path) -> None:
    tensors = load_file(place / "model.safetensors")
    name = next(name for name in tensors if tensors[name].ndim == 2)
    tensors[name][0, 0] = np.nan
    save_file(tensors, place / "model.safetensors")


def cut(file: str, size: int) -> Edit:
    return lambda place: (place / file).write_bytes((place / file).read_bytes()[:size]) and None


def removed(*names: str) -> Edit:
    return lambda place: [(place / name).unlink(missing_ok=True) for name in names] and None


POOLING, READING = "1_Pooling/config.json", "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"
BASE = "sentence_transformers.models"
REFUSED: dict[str, tuple[Edit, str]] = {
    "unknown module": (module(1, type=f"{BASE}.WeightedLayerPooling"), "names the module .*WeightedLayerPooling"),
    "code of the folder": (module(1, type="modeling_x.Pooling"), "names the module 'modeling_x.Pooling', which is not"),
    "a name like ours": (module(1, type="sentence_transformersx.Pooling"), "names the module"),
    "a class of others": (module(0, type="os.system"), "names the module 'os.system'"),
    "outside": (module(1, path="../.."), "leads out of"),
    "absolute": (module(1, path="/etc"), "leads out of"),
    "no pooling": (module(1, type=f"{BASE}.Normalize"), "lists Transformer, Normalize, Normalize; what is read"),
    "pooling first": (module(0, type=f"{BASE}.Pooling"), "lists Pooling, Pooling, Normalize; what is read"),
    "no type": (module(0, type=3), "must have a type and a path"),
    "no list": (lambda place: put(place / "modules.json", {}), "must be a list of modules"),
    "rows of another size": (
        said(POOLING, word_embedding_dimension=32),
        "rows of 32 numbers, the Transf.* gives 64",
    ),
    "no size": (said(POOLING, word_embedding_dimension="gone"), "word_embedding_dimension is None"),
    "no mode": (said(POOLING, pooling_mode_mean_tokens=False), "pooling_mode is \\[\\], and must be of cls, max"),
    "a mode of its own": (said(POOLING, pooling_mode="median"), "pooling_mode is \\['median'\\]"),
    "no boolean": (said(POOLING, pooling_mode_cls_token="no"), "must be true or false"),
    "a setting unknown": (said(POOLING, temperature=2), "has the setting 'temperature', which is not known"),
    "another task": (said(READING, transformer_task="fill-mask"), "transformer_task must be feature-extraction"),
    "a length of none": (said(READING, max_seq_length=0), "max_seq_length is 0"),
    "a setting of rows": (
        said(READING, config_kwargs={"n_layer": 3}),
        "config_kwargs has 'n_layer', which is not",
    ),
    "a default of none": (said(PROMPTS, default_prompt_name="q"), "default_prompt_name is 'q', and no prompt has"),
    "a cross-encoder": (said(PROMPTS, model_type="CrossEncoder"), "model_type is 'CrossEncoder'"),
    "no tokenizer": (removed("tokenizer.json", "vocab.txt"), r"tokenizer\.json"),
    "no pooling's file": (removed(POOLING), r"1_Pooling/config\.json: no such file"),
    "no weights": (removed("model.safetensors"), "holds no weights"),
    "unknown family": (said("config.json", model_type="mamba"), "mamba"),
    "not finite": (not_finite, "not finite|is nan at|not all finite"),
    "weights cut": (cut("model.safetensors", 4000), "safetensors"),
    "settings cut": (cut("config.json", 30), "config.json: not JSON"),
    "modules cut": (cut("modules.json", 30), "modules.json: not JSON"),
    "modules of nothing": (lambda place: put(place / "modules.json", []), "must be a list of modules"),
    "a module too long": (module(1, type="x" * 5000), "names the module"),
    "deep": (lambda place: (place / "modules.json").write_text("[" * 9999) and None, "not JSON"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_one_line_that_names_it(what: str, plain: Path, tmp_path: Path) -> None:
    edit, message = REFUSED[what]
    place = classic(plain, tmp_path / "classic", "mean", normalize=True)
    (place / "checksums.json").unlink()
    load(place)
    edit(place)
    with pytest.raises(InputError, match=message) as caught:
        load(place).encode(TEXTS)
    assert len(str(caught.value).splitlines()) == 1


def test_one_changed_bit_is_found_by_the_sums(plain: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(plain, place)
    whole = bytearray((place / "model.safetensors").read_bytes())
    whole[-9] ^= 2
    (place / "model.safetensors").write_bytes(whole)
    with pytest.raises(InputError, match="its bytes changed since it was written"):
        load(place)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation_function": "os.system"}, "activation_function is 'os.system'; those that are read are Identity"),
        ({"activation_function": "torch.nn.modules.activation.Mish"}, "activation_function is"),
        ({"module_input_name": "token_embeddings"}, "module_input_name must be sentence_embedding"),
        ({"use_residual": True}, "use_residual is not read"),
        ({"out_features": 9}, "names the sizes"),
        ({"bias": False}, "which is no Dense layer"),
        ({"in_features": 9, "wrong": 1}, "has the setting 'wrong'"),
    ],
)
def test_a_dense_layer_of_another_kind_is_refused(
    settings: dict[str, Any], message: str, plain: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Dense

    written(plain, tmp_path / "v6", {}, Dense(DIM, 8))
    said("2_Dense/config.json", **settings)(tmp_path / "v6")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "v6")


def test_a_static_model_is_no_encoder(tmp_path: Path) -> None:
    put(tmp_path / "modules.json", [{"type": f"{BASE}.StaticEmbedding", "path": ""}])
    assert read_folder(tmp_path).kind == "static"
    with pytest.raises(InputError, match="is a static model"):
        open_encoder(tmp_path)


@pytest.mark.parametrize("modules", [True, False])
def test_a_folder_of_model2vec_gives_its_vectors(modules: bool, tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = Tokenizer.train(TEXTS, WordPiece(size=120))
    rng = np.random.default_rng(0)
    rows, size = 40, tokenizer.size
    model = model2vec.StaticModel(
        vectors=rng.standard_normal((rows, 12)).astype(np.float32),
        tokenizer=tokenizers.Tokenizer.from_str(json.dumps(tokenizer.tree())),
        weights=rng.uniform(0.5, 2, size).astype(np.float32),
        token_mapping=rng.integers(0, rows, size),
        normalize=True,
        config={"model_type": "model2vec", "architectures": ["StaticModel"]},
    )
    model.save_pretrained(tmp_path / "m2v")
    if not modules:
        (tmp_path / "m2v" / "modules.json").unlink()
    texts = [text for text in TEXTS if text.strip()]
    np.testing.assert_allclose(load(tmp_path / "m2v").encode(texts), model.encode(texts), atol=1e-5)
    assert read_folder(tmp_path / "m2v").kind == "static"


def test_no_changed_byte_of_the_settings_is_more_than_an_input_error(plain: Path, tmp_path: Path) -> None:
    place = classic(plain, tmp_path / "classic", "mean", normalize=True)
    put(place / PROMPTS, {"prompts": {"query": "q"}, "default_prompt_name": "query"})
    rng = np.random.default_rng(0)
    for name in ("modules.json", POOLING, READING, PROMPTS):
        whole = (place / name).read_bytes()
        for _ in range(150):
            changed = bytearray(whole)
            changed[rng.integers(len(whole))] = rng.integers(256)
            (place / name).write_bytes(changed[: len(whole) if rng.integers(2) else rng.integers(len(whole))])
            with contextlib.suppress(InputError):
                read_folder(place)
        (place / name).write_bytes(whole)
