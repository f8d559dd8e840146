"""The model's borders: what it refuses, and how texts, targets and sources find each other."""

import re
from collections import Counter
from dataclasses import replace

import pytest
import torch

from inlay.batch import Batch
from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.model.heads import Inner, LanguageHead, PairHead, Pooler, TextHead, TokenHead, pick
from inlay.model.input import Concat, Input, Table
from inlay.model.inspect import attention, states
from inlay.model.mask import Documents
from inlay.model.model import ModelConfig, Queries
from inlay.model.norm import LayerNorm, RMSNorm
from inlay.model.packed import Layout
from inlay.model.position import Learned, Sinusoidal
from inlay.model.prune import prune
from inlay.model.relative import Alibi, Rotary, Shaw, T5Buckets, XLRelative
from inlay.model.sight import self_groups, view
from inlay.model.stack import Dropout, Local, Stack

STACK = Stack(n_layers=2, d_model=16, n_heads=4, d_ffn=24)
ENCODER = ModelConfig(input=Input(vocab_size=50, position=Learned(max_len=12), n_segments=2), encoder=STACK)
DECODER = ModelConfig(input=Input(vocab_size=50), decoder=replace(STACK, causal=True, relative=T5Buckets()))
BOTH = ModelConfig(
    input=Input(vocab_size=50, position=Sinusoidal()),
    encoder=STACK,
    decoder=replace(STACK, causal=True, cross=True),
    heads=(LanguageHead(),),
)
TEXTS = Batch.of([[5, 6, 7], [8], [9, 10, 11, 12, 13], [1, 2, 3]])


def rows(batch: Batch, x: torch.Tensor, text: int) -> torch.Tensor:
    start = batch.starts[text]
    return x[start : start + batch.lengths[text]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_heads": 5}, "d_model=16 is not a multiple of n_heads=5; set d_head, or try n_heads=4"),
        ({"n_layers": 0}, "n_layers=0 must be at least 1"),
        ({"n_unique": 3}, "n_unique=3 must be at most n_layers=2"),
        ({"activation": "gellu"}, "did you mean 'gelu'"),
        ({"pruned": ((0, 1, 2, 3), ())}, "must be some, not all, of heads 0 to 3"),
        ({"pruned": ((4,), ())}, "heads 0 to 3"),
        ({"dropout": {"hidden": 1.5}}, "dropout hidden=1.5 must be at least 0 and below 1"),
        ({"relative": {"kind": "Rotery"}}, "did you mean 'Rotary'"),
        ({"n_layer": 2}, "did you mean 'n_layers'"),
        ({"bare_start": True}, "needs norm_first=true and n_unique=0"),
        ({"bare_start": True, "norm_first": True, "n_unique": 1}, "needs norm_first=true and n_unique=0"),
        ({"norm": {"kind": "LayerNorm", "eps": -1.0}}, "norm eps=-1.0 must be at least 0 and below 1"),
        ({"norm": {"kind": "RMSNorm", "eps": -1.0}}, "norm eps=-1.0 must be at least 0 and below 1"),
    ],
)
def test_a_stack_that_cannot_be_is_refused_by_its_value_and_a_way_out(change: dict, message: str) -> None:
    tree = {"n_layers": 2, "d_model": 16, "n_heads": 4, "d_ffn": 24} | change
    with pytest.raises(InputError, match=re.escape(message)):
        from_tree(Stack, tree)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelConfig(input=Input(vocab_size=5)), "needs an encoder, a decoder, or both"),
        (lambda: replace(BOTH, decoder=STACK), "set decoder.cross=true"),
        (lambda: replace(DECODER, decoder=replace(STACK, cross=True)), "needs an encoder to read"),
        (lambda: replace(ENCODER, heads=(PairHead(),)), "add a Pooler"),
        (lambda: replace(ENCODER, heads=(TextHead(labels=("a", "b")),)), "add a Pooler"),
        (lambda: replace(ENCODER, heads=(Pooler(), Pooler())), "must be different kinds"),
        (lambda: replace(BOTH, encoder=replace(STACK, d_model=32)), "must be equal"),
        (lambda: replace(ENCODER, input=replace(ENCODER.input, twin=True)), "there is one stack; set it to false"),
        (lambda: replace(ENCODER, encoder=replace(STACK, cross=True)), "encoder.cross=true has nobody to read"),
        (lambda: Input(vocab_size=5, frozen=-1), "frozen=-1"),
        (lambda: Input(vocab_size=5, frozen="nver"), "frozen=nver must be never, always"),
        (lambda: Concat(d_position=0), "d_position=0"),
        (lambda: Pooler(at="firsst"), "did you mean 'first'"),
        (lambda: TextHead(labels=("a",), at="meen"), "did you mean 'mean'"),
        (lambda: replace(ENCODER, heads=(Pooler(activation="gellu"),)).build(), "did you mean 'gelu'"),
        (lambda: replace(ENCODER, heads=(LanguageHead(inner=Inner(activation="x")),)).build(), "'x' is unknown"),
        (lambda: Input(vocab_size=5, token=Table(padding=5)).build(8), "padding=5 is no id"),
        (lambda: TextHead(labels=("a", "a")), "must be different names"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_an_id_without_a_row_is_named_with_its_place() -> None:
    model = ENCODER.build()
    with pytest.raises(InputError, match=r"token id 50 \(place 3 of the batch\) has no row: they run from 0 to 49"):
        model(Batch.of([[1, 2], [3, 50]]))
    with pytest.raises(InputError, match=r"token id -1 \(place 0"):
        model(Batch.of([[-1]]))
    with pytest.raises(InputError, match=r"segment 2 \(place 1"):
        model(Batch.of([[4, 4]], segments=[[0, 2]]))


def test_a_text_beyond_the_position_table_is_told_how_long_it_may_be() -> None:
    with pytest.raises(InputError, match="13") as error:
        ENCODER.build()(Batch.of([list(range(13))]))
    assert "12" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_call_that_does_not_fit_the_model_says_what_does() -> None:
    with pytest.raises(InputError, match="give the target's batch too"):
        BOTH.build()(TEXTS)
    with pytest.raises(InputError, match="leave the target out"):
        ENCODER.build()(TEXTS, TEXTS)
    with pytest.raises(InputError, match="no decoder"):
        ENCODER.build().decode(TEXTS)
    with pytest.raises(InputError, match="no encoder"):
        DECODER.build().encode(TEXTS)
    with pytest.raises(InputError, match=r"give memory=model\.encode"):
        BOTH.build().decode(TEXTS)
    with pytest.raises(InputError, match="4 texts to write, but 1 to read"):
        BOTH.build()(Batch.of([[1, 2]]), TEXTS)
    with pytest.raises(InputError, match="reads no encoder; leave memory out"):
        DECODER.build().decode(TEXTS, BOTH.build().encode(TEXTS))
    with pytest.raises(InputError, match="rule and queries are for models of one stack"):
        BOTH.build()(TEXTS, TEXTS, rule=Documents(torch.zeros(12)))
    with pytest.raises(InputError, match=r"a model reads a Batch, not a list; make one by Batch\.of"):
        ENCODER.build()([[1, 2]])
    with pytest.raises(InputError, match=r"head_mask is \(4,\); it must be \(layers, heads\), here \(2, 4\)"):
        ENCODER.build()(TEXTS, head_mask=torch.ones(4))
    model = ENCODER.build()
    with pytest.raises(InputError, match="no head 'language'"):
        model.read("language", model(TEXTS), model.pack(TEXTS).layout)


@pytest.mark.parametrize(
    ("lengths", "position", "rows", "message"),
    [
        ([1, 1, 0], [0, 0], 2, "queries of 3 texts, but there are 4"),
        ([1, 1, 0, 0], [0], 2, "sum to 2 have 1 positions and 2 rows"),
        ([1, 1, 0, 0], [0, 0], 3, "sum to 2 have 2 positions and 3 rows"),
        ([1, 1, 0, 0], [0, 1], 2, "place 1 of text 1, which has 1 tokens"),
        ([1, 0, 0, 0], [-1], 1, "place -1 of text 0"),
    ],
)
def test_a_second_stream_that_does_not_fit_its_texts_is_refused(
    lengths: list[int], position: list[int], rows: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ENCODER.build()(TEXTS, queries=Queries(torch.zeros(rows, 16), lengths, position))


def test_each_target_reads_its_own_source_in_whatever_order_lengths_come() -> None:
    model = BOTH.build().eval()
    target = Batch.of([[1, 2, 3, 4], [5, 6], [7], [8, 9, 10]])
    together = model(TEXTS, target)
    for text in range(4):
        one = lambda batch: Batch.of([batch.ids[batch.rows == text].tolist()])  # noqa: B023, E731
        alone = model(one(TEXTS), one(target))
        assert torch.allclose(rows(target, together, text), alone, atol=1e-6)


def test_texts_of_a_memory_can_be_taken_in_another_order_and_twice() -> None:
    model = BOTH.build().eval()
    memory = model.encode(TEXTS)
    chosen = memory.select([2, 0, 2])
    assert chosen.layout.lengths == (5, 3, 5)
    assert torch.equal(chosen.rows, torch.cat([rows(TEXTS, memory.rows, text) for text in (2, 0, 2)]))


def test_concat_puts_parts_side_by_side_and_projects_them() -> None:
    config = replace(
        ENCODER,
        input=Input(
            vocab_size=50,
            d_embed=10,
            position=Sinusoidal(),
            n_segments=2,
            combine=Concat(d_position=6, d_segment=3),
            dropout=0,
        ),
    )
    layer = config.build().eval().input
    assert layer.project.in_features == 19
    packed = config.build().pack(Batch.of([[4, 5]], segments=[[0, 1]]))
    side_by_side = torch.cat(
        [layer.token.weight[[4, 5]], layer.position(torch.arange(2)), layer.segment.weight[[0, 1]]], -1
    )
    assert torch.allclose(layer(packed), layer.project(side_by_side), atol=1e-6)


def test_sum_adds_token_position_and_segment() -> None:
    layer = ENCODER.build().eval().input
    packed = ENCODER.build().pack(Batch.of([[4, 5]], segments=[[0, 1]]))
    total = layer.token.weight[[4, 5]] + layer.position.table.weight[[0, 1]] + layer.segment.weight[[0, 1]]
    assert torch.allclose(layer(packed), total, atol=1e-6)


@pytest.mark.parametrize(
    ("frozen", "learns"), [("never", [True] * 3), ("always", [False] * 3), (2, [False, False, True])]
)
def test_the_token_table_learns_when_the_config_says(frozen: str | int, learns: list[bool]) -> None:
    model = replace(ENCODER, input=replace(ENCODER.input, frozen=frozen)).build()
    assert model.input.token.weight.requires_grad == learns[0]
    for step, free in enumerate(learns):
        assert model.input.at_step(step) == free
        model(TEXTS).sum().backward()
        assert (model.input.token.weight.grad is not None) == any(learns[: step + 1])


def test_the_row_of_the_padding_stays_zero_and_learns_nothing() -> None:
    model = replace(ENCODER, input=replace(ENCODER.input, token=Table(padding=6))).build()
    model(TEXTS).square().sum().backward()  # which holds a 6
    for row in (model.input.token.weight[6], model.input.token.weight.grad[6]):
        assert not row.any()


RELATIVES = [None, Rotary(), T5Buckets(), XLRelative(), Shaw(max_distance=4), Alibi()]


@pytest.mark.parametrize("relative", RELATIVES, ids=lambda scheme: type(scheme).__name__)
@pytest.mark.parametrize("norm", [LayerNorm(), RMSNorm()], ids=["layer", "rms"])
def test_heads_cut_out_say_nothing_and_the_others_say_the_same(relative, norm) -> None:
    stack = replace(STACK, relative=relative, local=Local(reach=1, every=2, relative=relative), norm=norm, n_layers=3)
    model = ModelConfig(input=Input(vocab_size=50), encoder=stack).build(seed=3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    mask = torch.ones(3, 4)
    mask[0, [1, 3]] = mask[2, 0] = 0
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    smaller = prune(model, {0: [1, 3], 2: [0]})
    assert torch.allclose(smaller(TEXTS), model(TEXTS, head_mask=mask), atol=1e-5)
    assert smaller.config.encoder.pruned == ((1, 3), (), (0,))
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert torch.allclose(smaller(TEXTS, head_mask=mask), smaller(TEXTS)), "a mask counts the heads cut before"
    mask[0, 0] = 0
    assert torch.allclose(prune(smaller, {0: [0]})(TEXTS), model(TEXTS, head_mask=mask), atol=1e-5)


@torch.no_grad()
def test_a_pruned_model_and_a_head_mask_are_of_the_models_dtype() -> None:
    model = ENCODER.build().bfloat16().eval()
    smaller = prune(model, {1: [2]})
    assert {p.dtype for p in smaller.parameters()} == {torch.bfloat16}
    mask = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 1]])
    torch.testing.assert_close(smaller(TEXTS), model(TEXTS, head_mask=mask), atol=0.02, rtol=0)


def test_pruning_what_is_not_there_is_an_error() -> None:
    model = ENCODER.build()
    for heads, message in [({2: [0]}, "blocks 0 to 1"), ({0: [4]}, "heads 0 to 3"), ({0: [0, 1, 2, 3]}, "not all")]:
        with pytest.raises(InputError, match=message):
            prune(model, heads)


@pytest.mark.parametrize("relative", RELATIVES, ids=lambda scheme: type(scheme).__name__)
def test_attention_weights_are_a_distribution_over_what_is_seen(relative) -> None:
    config = replace(DECODER, decoder=replace(STACK, causal=True, relative=relative))
    model = config.build()
    for text, weights in enumerate(attention(model, TEXTS)):
        t = int(TEXTS.lengths[text])
        assert weights.shape == (2, 4, t, t)
        assert torch.allclose(weights.sum(-1), torch.ones(2, 4, t), atol=1e-6)
        assert torch.equal(weights, weights.tril())
    assert model.training


def test_weights_of_a_look_at_the_source_have_its_length() -> None:
    target = Batch.of([[1, 2], [3], [4, 5, 6], [7]])
    model = BOTH.build()
    for text, weights in enumerate(attention(model, target, source=TEXTS, cross=True)):
        assert weights.shape == (2, 4, target.lengths[text], TEXTS.lengths[text])
        assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:-1]), atol=1e-6)
    with pytest.raises(InputError, match="no cross-attention"):
        attention(ENCODER.build(), TEXTS, cross=True)
    with pytest.raises(InputError, match="needs source="):
        attention(model, TEXTS, cross=True)
    with pytest.raises(InputError, match="leave source out"):
        attention(ENCODER.build(), TEXTS, source=TEXTS)


def test_without_a_source_it_is_the_encoder_that_is_looked_into() -> None:
    alone = ModelConfig(input=BOTH.input, encoder=BOTH.encoder).build()
    both = BOTH.build()
    alone.load_state_dict({name: both.state_dict()[name] for name in alone.state_dict()})
    for one, other in zip(attention(both, TEXTS), attention(alone, TEXTS), strict=True):
        assert torch.equal(one, other)


def test_looking_inside_leaves_every_part_in_its_mode_whatever_happens() -> None:
    model = BOTH.build().train()
    model.encoder.blocks[0].eval()
    before = [part.training for part in model.modules()]
    attention(model, TEXTS, source=TEXTS)
    with pytest.raises(InputError, match="has no row"):
        attention(model, TEXTS, source=Batch.of([[99]] * 4))
    assert [part.training for part in model.modules()] == before


def test_states_are_the_input_and_every_layer_and_end_in_what_the_model_answers() -> None:
    model = ENCODER.build().eval()
    found = states(model, TEXTS)
    assert len(found) == 3
    assert torch.equal(found[-1], model(TEXTS))
    assert torch.allclose(found[0], model.input(model.pack(TEXTS)), atol=1e-6)
    both = [*found]
    model(Batch.of([[1, 2, 3, 4], [5]]), states=both)
    assert all(one is other for one, other in zip(both[:3], found, strict=True)), "what was collected before stays"
    assert [len(rows) for rows in both] == [12, 12, 12, 5, 5, 5]


def test_the_mean_of_a_texts_rows_is_summed_in_single_precision_at_least() -> None:
    rows = torch.ones(3000, 2, dtype=torch.float16) * 60  # whose sum is beyond what half precision can hold
    assert torch.equal(pick(rows, Layout([2900, 100]), "mean"), rows[:2])


DROPS: dict[str, dict] = {
    "nothing": {},
    "hidden": {"encoder.dropout.hidden": 0.5},
    "attention": {"encoder.dropout.attention": 0.5},
    "ffn": {"encoder.dropout.ffn": 0.5},
    "path": {"encoder.dropout.path": 0.5},
    "input": {"input.dropout": 0.5},
    "pooler": {"heads.1.dropout": 0.5},
    "inner": {"heads.2.inner.dropout": 0.5},
    "tokens": {"heads.2.dropout": 0.5},
    "pair": {"heads.3.dropout": 0.5},
}


@torch.no_grad()
@pytest.mark.parametrize("place", DROPS)
def test_each_dropout_acts_in_its_own_place_and_in_training_alone(place: str) -> None:
    """Each place, by what of (rows, text, tokens, pair, a second stream's start) it changes."""
    texts = TextHead(labels=("a", "b"), dropout=0)
    heads = (Pooler(), texts, TokenHead(labels=("a",), inner=Inner(), dropout=0), PairHead())
    encoder = replace(STACK, dropout=Dropout(hidden=0, attention=0))
    config = replace(ENCODER, encoder=encoder, input=replace(ENCODER.input, dropout=0, query=True), heads=heads)
    model = from_tree(ModelConfig, _changed(to_tree(config), DROPS[place])).build(seed=1)
    torch.nn.init.ones_(model.input.query)

    def answers() -> list[torch.Tensor]:
        rows, layout = model(TEXTS), model.pack(TEXTS).layout
        read = [model.read(name, rows, layout) for name in ("text", "tokens", "pair")]
        return [rows, *read, model.input.queries(9)]

    still = model.eval() and answers()
    assert all(torch.equal(one, other) for one, other in zip(answers(), still, strict=True))
    torch.manual_seed(0)
    moved = model.train() and answers()
    heads_alone = {"pooler": [1], "inner": [2], "tokens": [2], "pair": [3], "nothing": []}
    expected = heads_alone.get(place, [0, 1, 2, 3, 4] if place == "input" else [0, 1, 2, 3])
    assert [i for i, (one, other) in enumerate(zip(moved, still, strict=True)) if not torch.equal(one, other)] == (
        expected
    )


def _changed(tree: dict, change: dict) -> dict:
    for key, value in change.items():
        *path, last = key.split(".")
        part = tree
        for name in path:
            part = part[int(name)] if name.isdigit() else part[name]
        part[last] = value
    return tree


def test_whole_branches_are_dropped_by_text_and_made_up_for() -> None:
    config = replace(ENCODER, encoder=replace(STACK, dropout=Dropout(hidden=0, attention=0, path=0.5), n_layers=1))
    model = replace(config, input=replace(config.input, dropout=0)).build().train()
    torch.manual_seed(0)
    same = Batch.of([[3, 4, 5]] * 400)
    found = model(same).detach().reshape(400, 3, 16)
    kinds = Counter(tuple(x.flatten().tolist()) for x in found.round(decimals=4))
    assert len(kinds) == 4  # two branches, each there or not, for a text as a whole
    assert all(70 <= n <= 130 for n in kinds.values())


@torch.no_grad()
def test_a_branch_that_stays_counts_for_those_that_are_dropped() -> None:
    stack = replace(STACK, n_layers=1, norm_first=True, dropout=Dropout(hidden=0, attention=0, path=0.75))
    block, layout = stack.build().double().block(0), Layout([1] * 50)
    torch.manual_seed(0)
    torch.nn.init.zeros_(block.ffn.down.weight), torch.nn.init.zeros_(block.ffn.down.bias)
    x, seen = torch.linspace(-1, 2, 16).double().expand(50, 16), view(layout, layout, self_groups(layout))
    branch = block.eval()(x, seen) - x
    share = (block.train()(x, seen) - x) / branch
    whole = share.mean(1).round(decimals=2)
    assert set(whole.tolist()) == {0.0, 4.0}


def test_neighbouring_layers_share_a_block() -> None:
    stack = replace(STACK, n_layers=5, n_unique=2).build()
    assert [list(stack.blocks).index(block) for _, block, _, _ in stack.layers()] == [0, 0, 0, 1, 1]
