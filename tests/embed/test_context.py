"""ContextEmbedder: sentence-transformers' vectors, prompts, dense layers, and units that lie where they say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_embedders import SPECIALS, WORDS, bert_folder, mixing, tokenizer

from inlay.embed.context import ContextEmbedder, EmbedConfig
from inlay.embed.dense import ACTIVATIONS, Dense
from inlay.embed.embedder import prompt_of
from inlay.embed.layers import At, Concat
from inlay.embed.long import LateChunks, Truncate, Windows
from inlay.embed.pool import CLS, Last, Max, Mean, MeanSqrt, Weighted
from inlay.embed.reading import Reader
from inlay.errors import InputError

TEXTS = ["The river is cold.", "", "fire 火 water", "a stone, a stone and the rain falls on it", "☃ zzz"]
LONG = " ".join(WORDS[at % 21] for at in range(37))
PROMPTS = {"query": "query : ", "passage": "the "}


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def dense(inside: int, out: int, activation: Any = "tanh", *, bias: bool = True) -> Dense:
    rng = np.random.default_rng(out)
    weight = rng.standard_normal((out, inside)).astype(np.float32)
    return Dense(
        weight=weight, bias=rng.standard_normal(out).astype(np.float32) if bias else None, activation=activation
    )


# --- prompts


def test_a_prompt_goes_before_every_text() -> None:
    model = mixing(EmbedConfig(prompts=PROMPTS))
    plain = mixing()
    short = ["river", "", "cold rain"]
    assert np.array_equal(model.encode(short, prompt="query"), plain.encode([f"query : {text}" for text in short]))
    assert np.array_equal(model.encode(short, prompt="document"), plain.encode([f"the {text}" for text in short]))
    assert np.array_equal(model.encode(short), plain.encode(short))
    assert np.array_equal(plain.encode(short, prompt="query"), plain.encode(short))


def test_the_default_prompt_stands_where_none_is_asked_for() -> None:
    model = mixing(EmbedConfig(prompts={"query": "query : ", "other": "rain "}, default_prompt="other"))
    plain = mixing()
    assert np.array_equal(model.encode(["cold"]), plain.encode(["rain cold"]))
    assert np.array_equal(model.encode(["cold"], prompt="document"), plain.encode(["rain cold"]))
    assert np.array_equal(model.encode(["cold"], prompt="query"), plain.encode(["query : cold"]))


def test_an_unknown_prompt_is_an_input_error() -> None:
    with pytest.raises(InputError, match="prompt='querry' is unknown; did you mean 'query'"):
        mixing(EmbedConfig(prompts=PROMPTS)).encode(["a"], prompt="querry")
    with pytest.raises(InputError, match="default_prompt='x' is no prompt"):
        EmbedConfig(default_prompt="x")
    assert prompt_of({"corpus": "c"}, "document") == "c"
    assert prompt_of({}, "document") == prompt_of({}, None) == ""


@pytest.mark.parametrize("keep", ["head", "tail", "both"])
def test_a_prompt_stays_when_the_text_is_cut_and_is_no_token_of_it(keep: Any) -> None:
    model = mixing(EmbedConfig(prompts=PROMPTS, long=Truncate(keep=keep)))
    words = LONG.split()
    left = {"head": words[:8], "tail": words[-8:], "both": words[:4] + words[-4:]}[keep]
    found, report = model.encode([LONG], prompt="query", report=True)
    assert np.array_equal(found, mixing().encode(["query : " + " ".join(left)]))
    assert (report.tokens, report.dropped) == (8, 29)


def test_every_window_begins_with_the_prompt() -> None:
    model = mixing(EmbedConfig(prompts=PROMPTS, long=Windows()))
    words = LONG.split()
    starts = [0, 8, 16, 24, 29]
    alone = mixing().encode(["query : " + " ".join(words[at : at + 8]) for at in starts])
    np.testing.assert_allclose(model.encode([LONG], prompt="query")[0], unit(alone.mean(0)), atol=1e-6)


@pytest.mark.parametrize("how", [CLS(), Mean(), Max(), MeanSqrt(), Weighted(), Last()], ids=str)
def test_the_rows_of_a_prompt_can_be_left_out_as_sentence_transformers_does(how: Any, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    mode = {"CLS": "cls", "Mean": "mean", "Max": "max", "MeanSqrt": "mean_sqrt_len_tokens", "Last": "lasttoken"}
    folder = bert_folder(tmp_path / "bert")
    pooling = Pooling(32, pooling_mode=mode.get(type(how).__name__, "weightedmean"), include_prompt=False)  # type: ignore[arg-type]
    theirs = SentenceTransformer(modules=[Transformer(str(folder)), pooling], device="cpu", prompts=PROMPTS)
    ours = ContextEmbedder.load(folder)
    config = EmbedConfig(pools=(how,), pool_prompt=False, prompts=PROMPTS, normalize=False)
    model = ContextEmbedder(ours.tokenizer, ours.backend, config)
    wanted = theirs.encode(TEXTS, prompt_name="query")
    np.testing.assert_allclose(model.encode(TEXTS, prompt="query"), wanted, atol=5e-6)
    np.testing.assert_allclose(model.encode(TEXTS), theirs.encode(TEXTS), atol=5e-6)


# --- dimensions


def test_pools_stand_side_by_side_and_layers_too() -> None:
    both = mixing(EmbedConfig(pools=(Mean(), Max()), layer=Concat(layers=(-1, 1)), normalize=False))
    assert both.dim == 24
    found = both.encode(TEXTS)
    for at, how in enumerate((Mean(), Max())):
        for layer, number in enumerate((-1, 1)):
            one = mixing(EmbedConfig(pools=(how,), layer=At(layer=number), normalize=False)).encode(TEXTS)
            start = 12 * at + 6 * layer
            np.testing.assert_allclose(found[:, start : start + 6], one, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_dense_layer_is_that_of_sentence_transformers(activation: Any) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.base.modules.dense import Dense as Theirs

    ours = dense(6, 4, activation)
    made = {"identity": torch.nn.Identity(), "tanh": torch.nn.Tanh(), "relu": torch.nn.ReLU(), "gelu": torch.nn.GELU()}
    theirs = Theirs(6, 4, True, made[activation], torch.tensor(ours.weight), torch.tensor(ours.bias))
    rows = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    with torch.inference_mode():
        wanted = theirs({"sentence_embedding": torch.tensor(rows)})["sentence_embedding"].numpy()
    np.testing.assert_allclose(ours(rows), wanted, atol=1e-6)
    np.testing.assert_allclose(ours(rows, exact=True), wanted, atol=1e-6)


def test_dense_layers_stand_between_pool_and_length() -> None:
    layers = [dense(6, 9, "relu"), dense(9, 4, "identity", bias=False)]
    model = mixing(dense=layers)
    plain = mixing(EmbedConfig(normalize=False)).encode(TEXTS)
    wanted = np.maximum(plain @ layers[0].weight.T + layers[0].bias, 0) @ layers[1].weight.T
    assert model.dim == 4
    np.testing.assert_allclose(model.encode(TEXTS), unit(wanted), atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 6])
def test_fewer_dimensions_are_the_first_ones_brought_to_length_one(size: int) -> None:
    whole = mixing().encode(TEXTS)
    np.testing.assert_allclose(mixing().encode(TEXTS, dim=size), unit(whole[:, :size]), atol=1e-6)
    saved = mixing(EmbedConfig(dim=size))
    assert saved.dim == size
    assert np.array_equal(saved.encode(TEXTS), mixing().encode(TEXTS, dim=size))
    raw = mixing(EmbedConfig(normalize=False))
    assert np.array_equal(raw.encode(TEXTS, dim=size), raw.encode(TEXTS)[:, :size])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixing(dense=[dense(5, 4)]), "dense layer 0 takes 5 numbers, and is given 6"),
        (lambda: mixing(EmbedConfig(dim=7)), "dim=7 must lie between 1 and 6"),
        (lambda: mixing(EmbedConfig(layer=At(layer=4))), "layer 4 is none of this encoder's"),
        (lambda: EmbedConfig(pools=()), "pools is empty"),
        (lambda: EmbedConfig(max_length=0), "max_length=0 must be at least 1"),
        (lambda: mixing(EmbedConfig(max_length=2)).encode(["a"]), "max_length=2 leaves no room.*try 3 or more"),
        (lambda: mixing(EmbedConfig(prompts={"query": LONG})).encode(["a"], prompt="query"), "and the prompt; try 40"),
        (lambda: dense(3, 2, "tahn"), "activation='tahn' is unknown; did you mean 'tanh'"),
        (lambda: Dense(weight=np.zeros(3, np.float32)), r"weight is float32 \(out, in\), not float32 \(3,\)"),
        (lambda: Dense(weight=np.full((2, 2), np.nan, np.float32)), "the weight of a dense layer is not finite"),
        (lambda: Dense(weight=np.ones((2, 3), np.float32), bias=np.ones(3, np.float32)), r"bias is float32 \(2,\)"),
    ],
)
def test_what_does_not_fit_together_is_an_input_error(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_an_encoder_is_read_otherwise_without_loading_it_again() -> None:
    model = mixing()
    model.source = Path("somewhere")
    other = model.changed(long=Windows(), normalize=False)
    assert (other.backend, other.source, other.config.long) == (model.backend, model.source, Windows())
    assert model.config == EmbedConfig()
    with pytest.raises(InputError, match="'pool' is no field of EmbedConfig; did you mean 'pools'"):
        model.changed(pool=Mean())


def test_special_tokens_stand_around_each_piece_as_the_tokenizer_puts_them() -> None:
    for specials in (SPECIALS, ("[PAD]", "[UNK]")):
        made = tokenizer(specials)
        reader = Reader(made, 20)
        model = ContextEmbedder(made, mixing().backend)
        content = reader.read(TEXTS)
        batch = reader.batch(content, model.pieces(reader, content))
        wanted = made.encode(TEXTS, specials=True)
        assert np.array_equal(batch.ids, wanted.ids)
        assert np.array_equal(batch.lengths, wanted.lengths)
    found, report = model.encode(["", "river"], report=True)
    assert not found[0].any()
    assert report.empty == 1


# --- units


def test_a_token_has_its_row_its_name_and_its_place() -> None:
    model = mixing(most_tokens=None)
    found = model.tokens(TEXTS)
    batch = tokenizer().encode(TEXTS, specials=True)
    (rows,) = model.backend.states(batch, [3])
    inside = ~np.isin(batch.ids, [tokenizer().id("[CLS]"), tokenizer().id("[SEP]")])
    np.testing.assert_allclose(found.vectors, rows[inside], atol=1e-6)
    assert found.lengths.tolist() == [len(tokenizer().tokens(text)) for text in TEXTS]
    for number, text in enumerate(TEXTS):
        mine = found.of(number)
        assert list(mine.parts) == tokenizer().tokens(text)
        assert [tuple(span) for span in mine.offsets.tolist()] == tokenizer().offsets(text)
    with pytest.raises(InputError, match="text 5 is none of these 5"):
        found.of(5)


@pytest.mark.parametrize("by", ["first", "mean", "last"])
def test_a_word_is_made_of_its_tokens(by: Any) -> None:
    text = "Rains of the waterfalls, 模型 is 石火"
    found = mixing(most_tokens=None).words([text, "", "..."], by=by)
    assert found.parts == ("Rains", "of", "the", "waterfalls", "模型", "is", *found.parts[6:])
    assert "".join(found.parts[6:]) == "石火"
    assert found.lengths.tolist() == [len(found.parts), 0, 0]
    tokens = mixing(most_tokens=None).tokens([text])
    for part, (start, stop), vector in zip(found.parts, found.offsets.tolist(), found.vectors, strict=True):
        assert text[start:stop] == part
        mine = tokens.vectors[(tokens.offsets[:, 0] < stop) & (tokens.offsets[:, 1] > start)]
        wanted = {"first": mine[0], "last": mine[-1], "mean": mine.mean(0)}[by]
        np.testing.assert_allclose(vector, wanted, atol=1e-6)


def test_words_keep_their_place_beside_letters_that_grow_when_small() -> None:
    text = "İstanbul is İ cold ΣΑΣ is"
    found = mixing(most_tokens=None).words([text], by="first", lang="en")
    assert [text[a:b] for a, b in found.offsets.tolist()] == list(found.parts)
    assert [part for part in found.parts if part in ("is", "cold")] == ["is", "cold", "is"]
    with pytest.raises(InputError, match="by='frist' is unknown; did you mean 'first'"):
        mixing().words([text], by="frist")  # type: ignore[arg-type]


@pytest.mark.parametrize("long", [Windows(), Windows(stride=10), LateChunks(stride=4)], ids=str)
def test_tokens_of_a_long_text_have_rows_as_if_it_were_read_whole(long: Any) -> None:
    texts = [LONG, "", LONG * 2, "water"]
    found = mixing(EmbedConfig(long=long), most_tokens=32).tokens(texts)
    np.testing.assert_allclose(found.vectors, mixing(most_tokens=None).tokens(texts).vectors, atol=1e-6)
    cut = mixing().tokens(texts)
    assert cut.lengths.tolist() == [10, 0, 10, 1]
    assert cut.report.dropped == 27 + 66


def test_chunks_cover_a_text_in_order_and_see_all_of_it() -> None:
    texts = [LONG, "", "water"]
    model = mixing(EmbedConfig(long=LateChunks(stride=4)), most_tokens=24)
    found = model.chunks(texts, 8)
    assert found.lengths.tolist() == [5, 0, 1]
    assert " ".join(found.of(0).parts) == LONG
    tokens = mixing(most_tokens=None).tokens(texts)
    at = 0
    for vector, size in zip(found.vectors, [8, 8, 8, 8, 5, 1], strict=True):
        np.testing.assert_allclose(vector, unit(tokens.vectors[at : at + size].mean(0)), atol=1e-6)
        at += size
    assert model.chunks(texts, 8, dim=2).vectors.shape == (6, 2)
    assert model.chunks([], 8).vectors.shape == (0, 6)


def test_a_chunk_does_not_cut_a_word() -> None:
    text = "waterfalls rains waterfalls fires"
    assert len(tokenizer().tokens(text)) > 8
    for size in (6, 7, 12):
        assert all(part in text.split() or " " in part for part in mixing(most_tokens=None).chunks([text], size).parts)
    with pytest.raises(InputError, match="size=0 must be at least 1"):
        mixing().chunks([text], 0)
    with pytest.raises(InputError, match="first or last row"):
        mixing(EmbedConfig(pools=(CLS(),))).chunks([text], 4)


def test_a_tokenizer_whose_special_tokens_stand_inside_a_text_is_refused() -> None:
    tree = tokenizer().tree()
    content = {"Sequence": {"id": "A", "type_id": 0}}
    special = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    ids = {"[SEP]": {"id": "[SEP]", "ids": [tokenizer().id("[SEP]")], "tokens": ["[SEP]"]}}
    single = [content, special, content]
    tree["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": [content], "special_tokens": ids}
    with pytest.raises(InputError, match="special tokens stand inside of 'a', not around it"):
        Reader(tokenizer().rebuilt(tree), 20)
