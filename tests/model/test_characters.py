"""Token vectors from characters: one vector for a token in any company, however it is asked for, in every script."""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.characters import CharacterCNN, CharacterMean, CharacterTable, Highway
from inlay.model.init import Init, Normal, Scaled, Xavier, initialise
from inlay.model.input import Input
from inlay.model.presets import preset
from inlay.model.spelling import FIRST_SPECIAL, MARK, NO_TOKEN
from inlay.tokenize.kinds import ByteBPE, Unigram, WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = ["the baker bakes bread , breaded and baked 😀 👩‍👩‍👧", "机器 学习 是 机器 的 事 。", "no one on noon"] * 4
D = 12
CONFIGS = {
    "mean": CharacterMean(d_character=8),
    "cnn": CharacterCNN(d_character=8, filters=3),
    "relu": CharacterCNN(d_character=8, widths=(3, 1), filters=4, activation="relu", highway=2),
    "plain": CharacterCNN(d_character=8, filters=2, highway=0, max_characters=3),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, WordPiece(size=200, min_count=1))


def built(config: CharacterCNN | CharacterMean, tokenizer: Tokenizer, vocab_size: int = 0) -> CharacterTable:
    torch.manual_seed(0)
    table = config.build(vocab_size or tokenizer.size, D)
    table.spell(tokenizer)
    return table


def by_hand(table: CharacterTable, units: list[list[int]]) -> Tensor:
    """(D,) the vector of one token, window by window."""
    x = torch.stack([table.character.weight[rows].sum(dim=0) for rows in units])  # (L, C)
    if isinstance(table.config, CharacterMean):
        return table.project(x.mean(dim=0))
    answers = []
    for conv, width in zip(table.filters, table.config.widths, strict=True):
        blank = torch.zeros(width - 1, x.shape[1])
        padded = torch.cat([blank, x, blank])
        windows = torch.stack([padded[at : at + width].T for at in range(len(x) + width - 1)])  # (windows, C, W)
        seen = torch.einsum("tcw,fcw->tf", windows, conv.weight) + conv.bias
        answers.append((seen.tanh() if table.config.activation == "tanh" else seen.relu()).max(dim=0).values)
    features = torch.cat(answers)
    for layer in table.highway:
        share = 1 / (1 + torch.exp(-(layer.gate.weight @ features + layer.gate.bias)))
        features = share * (layer.change.weight @ features + layer.change.bias).relu() + (1 - share) * features
    return table.project(features)


@every_config
def test_a_token_is_computed_as_the_formula_says(config: CharacterCNN | CharacterMean, tokenizer: Tokenizer) -> None:
    table = built(config, tokenizer)
    for token, number in tokenizer.vocabulary.items():
        units = [rows for rows in table.spelling[number].tolist() if any(rows)]
        np.testing.assert_allclose(
            table(torch.tensor([number])).detach()[0], by_hand(table, units).detach(), atol=1e-5, err_msg=token
        )


@every_config
def test_a_token_has_one_vector_in_any_company(config: CharacterCNN | CharacterMean, tokenizer: Tokenizer) -> None:
    table = built(config, tokenizer)
    ids = torch.randint(0, tokenizer.size, (300,), generator=torch.Generator().manual_seed(1))
    together = table(ids)
    assert together.shape == (300, D)
    alone = torch.cat([table(ids[at : at + 1]) for at in range(300)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(table.table()[ids], together, atol=1e-6, rtol=0)
    assert table(ids[:0]).shape == (0, D)


def test_a_longer_table_of_characters_changes_no_short_token(tokenizer: Tokenizer) -> None:
    short, long = built(CharacterCNN(max_characters=16), tokenizer), built(CharacterCNN(max_characters=40), tokenizer)
    long.load_state_dict({k: v for k, v in short.state_dict().items() if k != "spelling"}, strict=False)
    torch.testing.assert_close(short.table(), long.table(), atol=1e-6, rtol=0)


@every_config
def test_a_table_keeps_for_its_gradient_no_more_than_its_tokens(
    config: CharacterCNN | CharacterMean, tokenizer: Tokenizer
) -> None:
    table, kept = built(config, tokenizer), {}

    def keep(x: Tensor) -> Tensor:
        kept[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        table.table()
    assert sum(kept.values()) <= tokenizer.size


@every_config
def test_every_parameter_learns_from_tokens_and_from_the_table(
    config: CharacterCNN | CharacterMean, tokenizer: Tokenizer
) -> None:
    gradients = []
    for ask in (lambda table: table(torch.arange(tokenizer.size)), lambda table: table.table()):
        table = built(config, tokenizer)
        (ask(table) ** 2).sum().backward()
        gradients.append({name: weight.grad for name, weight in table.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        assert gradient.any(), name
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-4, rtol=1e-4)


@every_config
def test_weights_carry_the_spelling(config: CharacterCNN | CharacterMean, tokenizer: Tokenizer) -> None:
    table = built(config, tokenizer)
    weights = load(save(table.state_dict()))
    torch.manual_seed(9)
    again = config.build(tokenizer.size, D)
    again.load_state_dict(weights)
    torch.testing.assert_close(again.table(), table.table())
    with torch.device("meta"):
        bare = config.build(tokenizer.size, D)
    assert all(weight.is_meta for weight in bare.state_dict().values())
    assert bare(torch.zeros(7, dtype=torch.long, device="meta")).shape == (7, D)
    bare.load_state_dict(weights, assign=True)
    torch.testing.assert_close(bare(torch.arange(5)), table(torch.arange(5)))
    torch.testing.assert_close(copy.deepcopy(table).table(), table.table())


def test_parameters_do_not_grow_with_the_vocabulary() -> None:
    def count(module: nn.Module) -> int:
        return sum(weight.numel() for weight in module.parameters())

    for config in CONFIGS.values():
        assert count(config.build(10, D)) == count(config.build(50_000, D))
    cnn = CharacterCNN()  # 375 features: 25 filters of width 1, 50 of width 2, …
    filters = sum(25 * w * (16 * w + 1) for w in range(1, 6))
    assert count(cnn.build(10, 128)) == (3 + 128 + 2048) * 16 + filters + 2 * (375 * 375 + 375) + 375 * 128 + 128


def test_a_mark_and_a_special_are_characters_of_their_own(tokenizer: Tokenizer) -> None:
    table = built(CharacterCNN(), tokenizer, tokenizer.size + 2)
    first = {token: table.spelling[number, 0] for token, number in tokenizer.vocabulary.items()}
    for place, special in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")):
        assert (first[special] == FIRST_SPECIAL + place).all()
    pieces = [token for token in tokenizer.vocabulary if token.startswith("##") and len(token) > 2]
    assert len(pieces) > 5
    for token in pieces:
        assert (first[token] == MARK).all()
        if (whole := token.removeprefix("##")) in first:
            inside = table.spelling[tokenizer.id(token)]
            assert torch.equal(inside[1], table.spelling[tokenizer.id(whole), 0])
    assert (table.spelling[tokenizer.size :, 0] == NO_TOKEN).all()
    marked = Tokenizer.train(TEXTS, Unigram(size=120))
    rows = built(CharacterCNN(), marked).spelling
    word = next(token for token in marked.vocabulary if token.startswith("▁"))
    assert (rows[marked.id(word), 0] == MARK).all()


@pytest.mark.parametrize("kind", [WordPiece(size=300, min_count=1), Unigram(size=150), ByteBPE(size=400)])
def test_no_two_tokens_are_alike_to_the_filters(kind: WordPiece | Unigram | ByteBPE) -> None:
    tokenizer = Tokenizer.train(TEXTS, kind)
    table = CharacterCNN(filters=8).build(tokenizer.size, 32)
    report = table.spell(tokenizer)
    assert (report.cut, report.alike) == (0, 0)
    vectors = table.table().detach()
    nearest = torch.cdist(vectors, vectors).fill_diagonal_(1)
    assert nearest.min() > 1e-4


def test_chinese_characters_are_told_apart_by_few_rows() -> None:
    characters = [chr(number) for number in range(0x4E00, 0x9FA6, 4)]
    tokenizer = Tokenizer.from_vocabulary(characters)
    report = CharacterCNN(buckets=2048).build(tokenizer.size, 8).spell(tokenizer)
    assert len(characters) == 5226
    assert report.alike == 0
    few = CharacterCNN(buckets=20).build(tokenizer.size, 8).spell(tokenizer)
    assert few.alike > 5000


def test_a_byte_that_is_no_character_is_not_the_letter_that_it_is_written_as() -> None:
    tokenizer = Tokenizer.train(["Ã"] * 9, ByteBPE(size=300))
    byte, letter = tokenizer.id("Ã"), tokenizer.id("Ãĥ")  # half of an Ã, and the whole
    table = CharacterCNN().build(tokenizer.size, D)
    assert table.spell(tokenizer).alike == 0
    assert tokenizer.writing.read("Ã").text is None
    assert not set(table.spelling[byte, 0].tolist()) <= set(table.spelling[letter].flatten().tolist())


def test_what_characters_cannot_tell_is_counted() -> None:
    tokenizer = Tokenizer.from_vocabulary(["breadth", "breads", "bread", "no", "on", "noon"])
    short = CharacterCNN(max_characters=5).build(tokenizer.size, D).spell(tokenizer)
    assert (short.cut, short.alike) == (2, 3)
    blind = CharacterMean().build(tokenizer.size, D)
    assert blind.spell(tokenizer).alike == 3
    ids = [tokenizer.id(word) for word in ("no", "on", "noon")]
    for one, other in pairwise(blind(torch.tensor(ids))):
        torch.testing.assert_close(one, other)
    assert CharacterCNN().build(tokenizer.size, D).spell(tokenizer).alike == 0


@every_config
def test_a_table_that_was_never_spelt_is_refused(config: CharacterCNN | CharacterMean, tokenizer: Tokenizer) -> None:
    table = config.build(tokenizer.size, D)
    for ask in (table.table, lambda: table(torch.tensor([1]))):
        with pytest.raises(InputError, match=r"has not seen its tokens' characters; call spell\(tokenizer\)"):
            ask()
    table.spell(tokenizer)
    assert table.table().isfinite().all()


def test_a_model_is_built_with_a_table_that_was_never_spelt() -> None:
    _ = [torch.full((300, 16, 3), 7, dtype=torch.int32) for _ in range(20)]  # memory that is used again
    del _
    config = preset("bert-tiny")
    layer = replace(config.input, vocab_size=300, token=CharacterMean())
    model = replace(config, input=layer, heads=(), family="").build()
    with pytest.raises(InputError, match="has not seen its tokens' characters"):
        model(Batch.of([[1, 2]]))


def test_what_does_not_fit_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=f"the tokenizer has {tokenizer.size} tokens, the table 9; build it with"):
        CharacterCNN().build(9, D).spell(tokenizer)
    with pytest.raises(InputError, match="specials=2 is too few: the tokenizer has 5 special tokens"):
        CharacterCNN(specials=2).build(tokenizer.size, D).spell(tokenizer)
    for wrong in ({"widths": ()}, {"widths": (0, 1)}, {"widths": (2, 2)}, {"filters": 0}, {"highway": -1}):
        with pytest.raises(InputError, match="widths=|filters="):
            CharacterCNN(**wrong)
    with pytest.raises(InputError, match="activation='tahn' is unknown; did you mean 'tanh'"):
        CharacterCNN(activation="tahn")  # type: ignore[arg-type]
    for name in ("d_character", "max_characters", "buckets"):
        with pytest.raises(InputError, match=f"{name}=0 must be at least"):
            CharacterMean(**{name: 0})
    small, large = CharacterMean(buckets=10).build(50, D), CharacterMean().build(50, D)
    large.spelling.fill_(0)
    large.spelling[3, 0] = 1000
    small.spelling.copy_(large.spelling)
    with pytest.raises(InputError, match="spelling has a row 1000, but there are 141 rows of characters"):
        small(torch.tensor([3]))


@every_config
@pytest.mark.parametrize("std", [0.02, 1.0])
def test_drawn_vectors_are_as_large_as_a_tables_and_come_from_the_seed(
    config: CharacterCNN | CharacterMean, std: float
) -> None:
    tokenizer = Tokenizer.from_vocabulary(
        ["the", "cat", "sat", "on", "a", "mat", "and", "other", "embeddings", "are", "near"]
    )
    tables = []
    for seed in (1, 1, 2):
        table = built(config, tokenizer)
        for weight in table.parameters():
            nn.init.constant_(weight, 7)
        table.draw(std, torch.Generator().manual_seed(seed))
        tables.append(table.table().detach())
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])
    assert std / 2 < tables[0].square().mean().sqrt() < std * 2
    if isinstance(config, CharacterCNN):
        assert all((layer.gate.bias == -2).all() for layer in table.highway)


@every_config
@pytest.mark.parametrize(("init", "std"), [(Normal(), 0.02), (Scaled(), 1.0), (Xavier(), D**-0.5)])
def test_a_familys_first_weights_give_characters_the_size_of_its_tables(
    config: CharacterCNN | CharacterMean, init: Init, std: float, tokenizer: Tokenizer
) -> None:
    layer = Input(vocab_size=tokenizer.size, token=config).build(D)
    initialise(layer, init, torch.Generator().manual_seed(0))
    layer.token.spell(tokenizer)
    assert std / 2.5 < layer.table().detach().square().mean().sqrt() < std * 2.5


def test_a_highway_begins_by_passing_on() -> None:
    torch.manual_seed(0)
    layer = Highway(6)
    x = torch.randn(5, 6)
    torch.testing.assert_close(layer(x), x, atol=0.5, rtol=0.3)
    layer.gate.bias.data.fill_(-100)
    torch.testing.assert_close(layer(x), x)
