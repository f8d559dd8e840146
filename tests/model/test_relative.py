"""Every scheme of relative positions: against loops over pairs, at any place, a query at a time, in any dtype."""

import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.model.relative import Alibi, At, Relative, RelativeScheme, Rotary, Shaw, T5Buckets, XLRelative
from inlay.model.scheme import skew, toeplitz


@dataclass(frozen=True)
class Sizes:
    """As much of a stack as a scheme asks for."""

    d_model: int = 24
    n_heads: int = 3
    d_key: int = 8
    causal: bool = False
    scale_scores: bool = True


ALL = [
    Rotary(),
    Rotary(fraction=0.5),
    T5Buckets(n_buckets=8, max_distance=9),
    XLRelative(),
    Shaw(max_distance=4),
    Alibi(),
]
BIASES = [scheme for scheme in ALL if not isinstance(scheme, Rotary)]
EVERY = pytest.mark.parametrize("scheme", ALL, ids=str)
EVERY_BIAS = pytest.mark.parametrize("scheme", BIASES, ids=lambda scheme: type(scheme).__name__)


def build(scheme: RelativeScheme, stack: Sizes | None = None) -> Relative:
    """The scheme's module with random weights."""
    assert scheme is not None
    module, generator = scheme.build(stack or Sizes()), torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return module


def heads(t: int, seed: int = 0, b: int = 2, sizes: Sizes | None = None) -> Tensor:
    """(b, H, t, K)."""
    sizes = sizes or Sizes()
    return torch.randn(b, sizes.n_heads, t, sizes.d_key, generator=torch.Generator().manual_seed(seed))


def segments(t: int, seed: int) -> Tensor:
    return torch.randint(0, 2, (2, t), generator=torch.Generator().manual_seed(seed))


def scores(module: Relative, q: Tensor, k: Tensor, at: At) -> Tensor:
    """(b, H, T, S): what attention makes of one group, softmax aside."""
    sizes, b = Sizes(), len(q)

    def turned(x: Tensor, position: Tensor) -> Tensor:
        rows = x.transpose(1, 2).flatten(0, 1)  # (b, H, T, K) -> (N, H, K)
        place = position.expand(b, -1).flatten()
        return module.rotate(rows, place).unflatten(0, (b, -1)).transpose(1, 2)

    q, k = turned(q, at.q), turned(k, at.k)
    bias = module.bias(q, k, at) if module.content else module.bias(None, None, at)
    plain = q @ k.transpose(-1, -2) * sizes.d_key**-0.5
    return plain if bias is None else plain + bias


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-5)


# What each scheme adds for one query, one key (each (K,)) of one head, `far` = key minus query.


def t5_pair(module: Relative, head: int, q: Tensor, k: Tensor, far: int) -> Tensor:
    bucket = 0 if far == 0 else 1 if abs(far) == 1 else 2 if abs(far) < 2 * (9 / 2) ** 0.5 else 3
    return module.table.weight[bucket + (4 if far > 0 else 0), head]  # type: ignore[union-attr]


def shaw_pair(module: Relative, head: int, q: Tensor, k: Tensor, far: int) -> Tensor:
    return q @ module.table.weight[max(-4, min(4, far)) + 4] / 8**0.5  # type: ignore[union-attr]


def alibi_pair(module: Relative, head: int, q: Tensor, k: Tensor, far: int) -> Tensor:
    return torch.tensor(-abs(far) * [2**-4, 2**-8, 2**-2][head])


def xl_pair(module: Relative, head: int, q: Tensor, k: Tensor, far: int) -> Tensor:
    waves = [-far / 10_000 ** (2 * j / 24) for j in range(12)]
    wave = torch.tensor([math.sin(x) for x in waves] + [math.cos(x) for x in waves])
    r = (module.r.weight @ wave).view(3, 8)[head]  # type: ignore[operator, union-attr]
    return (module.u[head] @ k + (q + module.v[head]) @ r) / 8**0.5  # type: ignore[index]


PAIR: dict[type, Callable[[Relative, int, Tensor, Tensor, int], Tensor]] = {
    T5Buckets: t5_pair,
    Shaw: shaw_pair,
    Alibi: alibi_pair,
    XLRelative: xl_pair,
}


@EVERY_BIAS
def test_a_bias_is_that_of_each_pair_by_itself(scheme: RelativeScheme) -> None:
    module, q, k, t = build(scheme), heads(13), heads(13, 1), 13
    expected = torch.stack(
        [
            torch.stack(
                [
                    torch.stack(
                        [
                            PAIR[type(scheme)](module, h, q[n, h, i], k[n, h, j], j - i)
                            for i in range(t)
                            for j in range(t)
                        ]
                    )
                    for h in range(3)
                ]
            )
            for n in range(2)
        ]
    ).view(2, 3, t, t)
    place = torch.arange(t)
    close(module.bias(q, k, At(place, place)).expand_as(expected), expected)  # type: ignore[union-attr]


@EVERY
@pytest.mark.parametrize("t", [1, 2, 9])
def test_one_place_for_all_texts_or_each_its_own_or_known_to_count_up_are_the_same(
    scheme: RelativeScheme, t: int
) -> None:
    module, q, k = build(scheme), heads(t), heads(9, 1)
    k_place = torch.arange(9)
    q_place = k_place[9 - t :]
    for parts in ((None, None), (segments(t, 2), segments(9, 3))):
        reference = scores(module, q, k, At(q_place, k_place, *parts))
        close(scores(module, q, k, At(q_place.expand(2, -1), k_place.expand(2, -1), *parts)), reference)
        close(scores(module, q, k, At(q_place.expand(2, -1), k_place, *parts)), reference)
        close(scores(module, q, k, At(q_place, k_place, *parts, consecutive=True)), reference)


@EVERY
def test_only_distances_count(scheme: RelativeScheme) -> None:
    module, q, k, place = build(scheme), heads(7), heads(7, 1), torch.arange(7)
    reference = scores(module, q, k, At(place, place))
    close(scores(module, q, k, At(place + 400, place + 400)), reference)
    mine = place + torch.tensor([[0], [30]])
    close(scores(module, q, k, At(mine, mine)), reference)
    moved = scores(module, q, k, At(place + 1, place))
    assert not torch.allclose(moved, reference, atol=1e-3)


@EVERY
@pytest.mark.parametrize("consecutive", [False, True])
def test_a_query_by_itself_has_its_row_of_the_whole(scheme: RelativeScheme, consecutive: bool) -> None:
    module, q, k, place = build(scheme), heads(11), heads(11, 1), torch.arange(11)
    whole = scores(module, q, k, At(place, place))
    for p in range(11):
        at = At(place[p : p + 1], place[: p + 1], consecutive=consecutive)
        close(scores(module, q[:, :, p : p + 1], k[:, :, : p + 1], at), whole[:, :, p : p + 1, : p + 1])
    uneven = At(torch.tensor([[4], [9]]), place)  # two texts, of which one has come further
    rows = scores(module, torch.stack([q[0, :, 4:5], q[1, :, 9:10]]), k, uneven)
    close(rows, torch.stack([whole[0, :, 4:5], whole[1, :, 9:10]]))


@EVERY
def test_places_may_lie_anywhere(scheme: RelativeScheme) -> None:
    module, q, k, place = build(scheme), heads(30), heads(30, 1), torch.arange(30)
    whole = scores(module, q, k, At(place, place))
    q_place, k_place = torch.tensor([29, 3, 3, 17]), torch.tensor([8, 28, 0, 1, 5])
    some = scores(module, q[:, :, q_place], k[:, :, k_place], At(q_place, k_place))
    close(some, whole[:, :, q_place][..., k_place])


@EVERY
@pytest.mark.parametrize("consecutive", [False, True])
def test_every_parameter_learns_the_same_by_either_way(scheme: RelativeScheme, consecutive: bool) -> None:
    place, weight = torch.arange(6), heads(6, 5)[..., :6]
    gradients = []
    for promise in (False, consecutive):
        module, q, k = build(scheme), heads(6).requires_grad_(), heads(6, 1).requires_grad_()
        at = At(place, place, segments(6, 2), segments(6, 2), consecutive=promise)
        (scores(module, q, k, at) * weight).sum().backward()
        gradients.append([x.grad for x in (q, k, *module.parameters())])
    for a, b in zip(*gradients, strict=True):
        assert a is not None
        assert a.abs().sum() > 0
        close(a, b)


@EVERY
def test_a_module_is_built_without_memory(scheme: RelativeScheme) -> None:
    assert scheme is not None
    with torch.device("meta"):
        module = scheme.build(Sizes())
        q, place = torch.empty(2, 3, 5, 8), torch.arange(5)
        for consecutive in (False, True):
            if consecutive or not isinstance(scheme, XLRelative):  # which asks how far apart the places lie
                assert scores(module, q, q, At(place, place, consecutive=consecutive)).shape == (2, 3, 5, 5)
    assert all(parameter.is_meta for parameter in module.parameters())
    assert not list(module.buffers())


@EVERY
def test_half_precision_is_near_the_full_one(scheme: RelativeScheme) -> None:
    module, q, k, place = build(scheme), heads(20), heads(20, 1), torch.arange(300, 320)
    at = At(place, place, segments(20, 2), segments(20, 2))
    full = scores(module, q, k, at)
    half = scores(copy.deepcopy(module).bfloat16(), q.bfloat16(), k.bfloat16(), at)
    torch.testing.assert_close(half.float(), full, atol=0.15, rtol=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = scores(module, q, k, at)
    torch.testing.assert_close(mixed.float(), full, atol=0.15, rtol=0.05)


@EVERY
def test_a_compiled_scheme_is_the_same(scheme: RelativeScheme) -> None:
    module, q, k, place = build(scheme), heads(6), heads(6, 1), torch.arange(6)
    run = torch.compile(lambda q, k, at: scores(module, q, k, at), backend="eager")
    at = At(place, place, consecutive=True)
    close(run(q, k, at), scores(module, q, k, at))


@EVERY
def test_a_scheme_survives_yaml(scheme: RelativeScheme) -> None:
    assert from_tree(RelativeScheme, to_tree(scheme, RelativeScheme)) == scheme  # type: ignore[arg-type]


def test_a_scheme_that_does_nothing_does_nothing() -> None:
    x, place = torch.randn(5, 3, 8), torch.arange(5)
    assert Relative().rotate(x, place) is x
    assert Relative().bias(None, None, At(place, place)) is None


@pytest.mark.parametrize(("t", "s"), [(1, 1), (1, 6), (4, 4), (3, 8), (5, 2)])
def test_skewing_puts_each_distance_at_its_key_without_a_copy(t: int, s: int) -> None:
    by_distance = torch.randn(2, t, 3, t + s - 1).transpose(1, 2)
    skewed = skew(by_distance)
    expected = torch.stack([by_distance[:, :, i, t - 1 - i : t - 1 - i + s] for i in range(t)], 2)
    assert torch.equal(skewed, expected)
    assert skewed.untyped_storage().data_ptr() == by_distance.untyped_storage().data_ptr()
    assert torch.equal(toeplitz(by_distance[:, :, 0], t), skew(by_distance[:, :, :1].repeat(1, 1, t, 1)))


def test_skewing_one_row_is_nothing_however_it_lies() -> None:
    row = torch.randn(6).as_strided((2, 1, 6), (0, 0, 1))
    assert torch.equal(skew(row), row)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n_buckets", "max_distance"), [(32, 128), (8, 20), (64, 256), (4, 3)])
def test_buckets_are_those_of_t5(causal: bool, n_buckets: int, max_distance: int) -> None:
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    module = T5Buckets(n_buckets=n_buckets, max_distance=max_distance).build(Sizes(causal=causal))
    far = torch.arange(-300, 301)
    expected = t5.T5Attention._relative_position_bucket(far, not causal, n_buckets, max_distance)
    assert torch.equal(module.bucket(far), expected)


def test_beyond_the_longest_distance_all_fall_into_one_bucket() -> None:
    module = build(T5Buckets())
    place = torch.arange(1000)
    bias = module.bias(None, None, At(place, place))
    assert bias is not None
    assert len(bias[0, 0, 0, 128:].unique()) == 1
    assert len(bias[0, 0, -1, :871].unique()) == 1


def test_a_causal_t5_sees_all_of_its_buckets_in_the_past() -> None:
    module = T5Buckets().build(Sizes(causal=True))
    assert set(module.bucket(torch.arange(-200, 1)).tolist()) == set(range(32))


@pytest.mark.parametrize("n_heads", [1, 2, 3, 8, 12, 16, 20, 40])
def test_slopes_are_those_of_bloom(n_heads: int) -> None:
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    slopes = Alibi().build(Sizes(n_heads=n_heads)).slopes()
    torch.testing.assert_close(slopes, bloom._get_alibi_slopes(n_heads, torch.device("cpu")))


def test_eight_heads_have_the_slopes_of_the_paper() -> None:
    assert Alibi().build(Sizes(n_heads=8)).slopes().tolist() == [2**-n for n in range(1, 9)]


@pytest.mark.parametrize("n_heads", [8, 12])
def test_past_weights_are_those_of_mpt(n_heads: int) -> None:
    mpt = pytest.importorskip("transformers.models.mpt.modeling_mpt")
    place = torch.arange(9)
    ours = Alibi().build(Sizes(n_heads=n_heads, causal=True)).bias(None, None, At(place, place))[0]
    theirs = mpt.build_mpt_alibi_tensor(n_heads, 9).expand(-1, 9, -1)
    past = torch.ones(9, 9).tril().log()  # 0, or -inf for the future
    torch.testing.assert_close((ours + past).softmax(-1), (theirs + past).softmax(-1))


def test_without_scaled_scores_the_terms_of_the_score_are_not_scaled_either() -> None:
    place, q, k = torch.arange(5), heads(5), heads(5, 1)
    for scheme in (XLRelative(), Shaw()):
        scaled, plain = build(scheme), build(scheme, Sizes(scale_scores=False))
        at = At(place, place, segments(5, 2), segments(5, 2))
        close(scaled.bias(q, k, at) * 8**0.5, plain.bias(q, k, at))  # type: ignore[operator, arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T5Buckets(n_buckets=30), "n_buckets=30 must be a multiple of 4"),
        (lambda: T5Buckets(max_distance=16), "max_distance=16 must be above n_buckets/2=16"),
        (lambda: Shaw(max_distance=0), "max_distance=0 must be at least 1"),
        (lambda: Rotary(theta=1.0), "theta=1.0 must be above 1"),
        (lambda: Rotary(fraction=0.0), "fraction=0.0 must lie above 0"),
        (lambda: Rotary(fraction=0.4).build(Sizes()), "fraction=0.4 of d_head=8 is 3 coordinates"),
    ],
)
def test_a_scheme_that_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()
