"""A model that grows with its tokenizer: old texts give the same, and new rows are what was asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.characters import CharacterMean
from inlay.model.grow import FromMean, FromPieces, FromVectors, Start, grow
from inlay.model.heads import LanguageHead
from inlay.model.model import Model
from inlay.model.presets import PRESETS, preset
from inlay.tokenize.extend import Extend, extend
from inlay.tokenize.fertility import Extension
from inlay.tokenize.kinds import ByteBPE, TokenizerConfig, Unigram, WordPiece, Words
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.wordvectors import WordVectors

GENERAL = [
    "The cat sat on the mat; other cats were sitting on other mats, day after day, in every house of the town."
] * 4
MEDICAL = ["lymphocytes and the myocardium; lymphocytes in the myocardium after infarction of the myocardium"] * 4
KINDS: list[TokenizerConfig] = [WordPiece(size=90), ByteBPE(size=300), Unigram(size=60), Words(size=40)]
TINY = [name for name in PRESETS if name.endswith("tiny")]
STARTS: list[Start] = [FromPieces(), FromMean()]


@pytest.fixture(scope="module")
def extensions() -> dict[str, Extension]:
    made = {}
    for kind in KINDS:
        old = Tokenizer.train(GENERAL, kind)
        made[type(kind).__name__] = extend(old, MEDICAL, Extend(words=3, min_count=2, heldout=0))
    return made


@pytest.fixture(scope="module")
def extension(extensions: dict[str, Extension]) -> Extension:
    return extensions["WordPiece"]


def model_for(name: str, extension: Extension, **more: object) -> Model:
    config = preset(name)
    model = replace(config, input=replace(config.input, vocab_size=extension.old.size, **more)).build(seed=1).eval()  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    return model


def rows(model: Model, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return model(batch, batch) if model.config.encoder and model.config.decoder else model(batch)


def logits(model: Model, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return model.read("language", rows(model, batch), model.pack(batch).layout)


def table(model: Model) -> torch.Tensor:
    return model.input.table().detach()


@pytest.mark.parametrize("name", TINY)
def test_a_text_without_new_words_gives_the_same(name: str, extension: Extension) -> None:
    model = model_for(name, extension)
    grown, growth = grow(model, extension)
    old, new = (tokenizer.encode(GENERAL[:2], specials=True) for tokenizer in (extension.old, extension.tokenizer))
    assert (old.ids == new.ids).all()
    torch.testing.assert_close(rows(grown, new), rows(model, old), rtol=0, atol=0)
    for head in model.heads:
        before, after = (one.read(head, rows(one, old), one.pack(old).layout) for one in (model, grown))
        wanted = after[:, : extension.old.size] if head == "language" else after
        torch.testing.assert_close(wanted, before, rtol=0, atol=1e-5)
    assert grown.config.vocab_size == growth.rows == extension.tokenizer.size
    assert model.config.vocab_size == extension.old.size


@pytest.mark.parametrize("name", TINY)
def test_a_grown_model_reads_and_tells_new_words(name: str, extension: Extension) -> None:
    grown, _ = grow(model_for(name, extension), extension)
    batch = extension.tokenizer.encode(MEDICAL[:1])
    assert batch.ids.max() >= extension.old.size
    assert torch.isfinite(rows(grown, batch)).all()
    if "language" in grown.heads:
        assert logits(grown, batch).shape[1] == extension.tokenizer.size


@pytest.mark.parametrize("kind", ["WordPiece", "ByteBPE", "Unigram"])
def test_a_new_row_is_the_mean_of_the_words_old_pieces(extensions: dict[str, Extension], kind: str) -> None:
    extension = extensions[kind]
    model = model_for("bert-tiny", extension)
    grown, growth = grow(model, extension, FromPieces())
    for one in extension.words:
        text = one.word if kind == "WordPiece" else f" {one.word}"
        ids = extension.old.encode([text]).ids.tolist()
        if extension.old.roles.get("unk") in extension.old.tokens(text):
            continue
        wanted = table(model)[ids].mean(dim=0)
        torch.testing.assert_close(table(grown)[one.id], wanted)
        bias, old = (one_.heads["language"].bias for one_ in (grown, model))
        assert isinstance(bias, torch.Tensor)
        assert isinstance(old, torch.Tensor)
        torch.testing.assert_close(bias[one.id], old[ids].mean())
    assert sum(growth.started.values()) == len(extension.pieces) == len(table(grown)) - len(table(model))


def test_a_word_that_was_unknown_starts_near_the_mean(extensions: dict[str, Extension]) -> None:
    extension = extensions["Words"]
    model = model_for("bert-tiny", extension)
    grown, growth = grow(model, extension)
    assert growth.started == {"mean": 3}
    new = table(grown)[extension.old.size :]
    assert (new - table(model).mean(dim=0)).abs().max() < 0.6 * table(model).std()
    assert not torch.equal(new[0], new[1])


def test_noise_around_the_mean_follows_the_seed(extension: Extension) -> None:
    model = model_for("bert-tiny", extension)
    one, two, other = (table(grow(model, extension, FromMean(), seed=seed)[0]) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    still = table(grow(model, extension, FromMean(noise=0))[0])[extension.old.size :]
    torch.testing.assert_close(still, table(model).mean(dim=0).expand_as(still))
    with pytest.raises(InputError, match="noise=-1"):
        FromMean(noise=-1)


@pytest.mark.parametrize("start", STARTS)
def test_an_untied_head_grows_by_its_own_table(extension: Extension, start: Start) -> None:
    config = preset("gpt2-tiny")
    heads = (LanguageHead(bias=True, tied=False),)
    config = replace(config, heads=heads, input=replace(config.input, vocab_size=extension.old.size))
    model = config.build(seed=3).eval()
    grown, _ = grow(model, extension, start)
    before, after = (one.state_dict()["heads.language.own.weight"] for one in (model, grown))
    assert torch.equal(after[: len(before)], before)
    if start == FromPieces():
        for new, ids in extension.pieces.items():
            torch.testing.assert_close(after[new], before[list(ids)].mean(dim=0))
    assert after.shape == (extension.tokenizer.size, config.d_model)


def test_rows_to_spare_are_used_before_new_ones_are_made(extension: Extension) -> None:
    spare = extension.tokenizer.size + 5
    config = preset("bert-tiny")
    model = replace(config, input=replace(config.input, vocab_size=spare)).build(seed=1)
    grown, growth = grow(model, extension)
    assert growth.rows == grown.config.vocab_size == spare
    first = extension.old.size
    assert torch.equal(table(grown)[spare - 5 :], table(model)[spare - 5 :])
    assert torch.equal(table(grown)[:first], table(model)[:first])
    assert not torch.equal(table(grown)[first : spare - 5], table(model)[first : spare - 5])


def test_the_old_model_is_left_as_it_was(extension: Extension) -> None:
    model = model_for("albert-tiny", extension)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    grown, _ = grow(model, extension)
    with torch.no_grad():
        for parameter in grown.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_dtype_and_the_mode_stay(extension: Extension, dtype: torch.dtype) -> None:
    model = model_for("bert-tiny", extension).to(dtype).train()
    grown, _ = grow(model, extension)
    assert {parameter.dtype for parameter in grown.parameters()} == {dtype}
    assert grown.training
    assert all(parameter.requires_grad for parameter in grown.parameters())


def test_a_table_of_characters_reads_the_new_words(extension: Extension) -> None:
    model = model_for("bert-tiny", extension, token=CharacterMean())
    model.input.spell(extension.old)
    grown, growth = grow(model, extension)
    assert growth.started == {"characters": len(extension.pieces)}
    torch.testing.assert_close(table(grown)[: extension.old.size], table(model))
    assert torch.isfinite(table(grown)).all()
    assert not torch.equal(table(grown)[-1], table(grown)[-2])


def test_word_vectors_come_into_the_table_by_the_map_of_common_words(tmp_path: Path) -> None:
    words = [f"{a}{b}" for a in ("cat", "dog", "mat", "sun", "sky") for b in "abcdefghijklmnop"]
    old = Tokenizer.train([" ".join(words)] * 3, WordPiece(size=400))
    extension = extend(old, MEDICAL, Extend(words=3, min_count=2, heldout=0))
    rng = np.random.default_rng(0)
    model = model_for("albert-tiny", extension)
    to_rows = rng.standard_normal((8, model.config.d_embed))
    names = [token for token in old.vocabulary if old.writing.read(token).whole]
    small = rng.standard_normal((len(names) + 2, 8)).astype(np.float32)
    with torch.no_grad():
        known = torch.from_numpy(small[:-2] @ to_rows + 0.25).float()
        model.input.table()[[old.vocabulary[name] for name in names]] = known
    path = tmp_path / "words.safetensors"
    lymphocytes, the, myocardium = extension.words
    WordVectors([*names, lymphocytes.word, myocardium.word], small).save(path)
    grown, growth = grow(model, extension, FromVectors(path))
    wanted = torch.from_numpy(small[-2:] @ to_rows + 0.25).float()
    torch.testing.assert_close(table(grown)[[lymphocytes.id, myocardium.id]], wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(table(grown)[the.id], table(model)[list(extension.pieces[the.id])].mean(dim=0))
    assert growth.started == {"vectors": 2, "pieces": 1}
    assert growth.explained == pytest.approx(1, abs=1e-6)
    assert "100% of known rows' variance" in str(growth)


def test_word_vectors_that_say_too_little_are_refused(extension: Extension, tmp_path: Path) -> None:
    model = model_for("bert-tiny", extension)
    path, rng = tmp_path / "words.safetensors", np.random.default_rng(0)
    WordVectors(["cat", "the", "on"], rng.standard_normal((3, 8)).astype(np.float32)).save(path)
    with pytest.raises(InputError, match="none of the 3 new words has a vector"):
        grow(model, extension, FromVectors(path))
    path = tmp_path / "more.safetensors"
    words = ["cat", "the", extension.words[0].word]
    WordVectors(words, rng.standard_normal((3, 8)).astype(np.float32)).save(path)
    with pytest.raises(InputError, match="2 words in common, and a map of 8 numbers needs 18"):
        grow(model, extension, FromVectors(path))


def test_the_tokenizer_of_another_model_is_refused(extension: Extension) -> None:
    config = preset("bert-tiny")
    small = replace(config, input=replace(config.input, vocab_size=20)).build()
    with pytest.raises(InputError, match="the token table 20 rows"):
        grow(small, extension)
