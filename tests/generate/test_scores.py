"""Penalties and filters against the reference library's, on random logits, and by hand."""

import pytest
import torch
from torch import Tensor

from inlay.errors import InputError
from inlay.generate import scores
from inlay.generate.config import GenerationConfig, Sample

V = 700


@pytest.fixture(params=range(3))
def logits(request: pytest.FixtureRequest) -> Tensor:
    rng = torch.Generator().manual_seed(request.param)
    spread = torch.tensor([0.05, 1.0, 3.0, 10.0])[:, None]
    return torch.randn(4, V, generator=rng) * spread


@pytest.fixture
def history() -> Tensor:
    rng = torch.Generator().manual_seed(9)
    ids = torch.randint(0, 6, (4, 30), generator=rng)
    ids[2, :20] = V
    ids[3, :28] = V
    return ids


def processors() -> object:
    pytest.importorskip("transformers")
    from transformers.generation import logits_process

    return logits_process


def same(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine.softmax(1), theirs.softmax(1), atol=1e-7, rtol=1e-5)
    assert torch.equal(mine == -torch.inf, theirs == -torch.inf)


@pytest.mark.parametrize("k", [1, 5, V, V + 1])
def test_top_k_leaves_what_the_reference_library_leaves(logits: Tensor, k: int) -> None:
    same(scores.top_k(logits, k), processors().TopKLogitsWarper(k)(None, logits))  # type: ignore[attr-defined]


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9, 0.999])
def test_top_p_leaves_what_the_reference_library_leaves(logits: Tensor, p: float) -> None:
    same(scores.top_p(logits, p), processors().TopPLogitsWarper(p)(None, logits))  # type: ignore[attr-defined]


@pytest.mark.parametrize("p", [1e-6, 0.05, 0.5, 1.0])
def test_min_p_leaves_what_the_reference_library_leaves(logits: Tensor, p: float) -> None:
    same(scores.min_p(logits, p), processors().MinPLogitsWarper(p)(None, logits))  # type: ignore[attr-defined]


def test_the_filters_apply_in_the_reference_librarys_order(logits: Tensor) -> None:
    theirs = processors()
    expected = theirs.TemperatureLogitsWarper(1.7)(None, logits)  # type: ignore[attr-defined]
    expected = theirs.TopKLogitsWarper(50)(None, expected)  # type: ignore[attr-defined]
    expected = theirs.TopPLogitsWarper(0.9)(None, expected)  # type: ignore[attr-defined]
    expected = theirs.MinPLogitsWarper(0.2)(None, expected)  # type: ignore[attr-defined]
    same(scores.filtered(logits, Sample(temperature=1.7, top_k=50, top_p=0.9, min_p=0.2)), expected)


@pytest.mark.parametrize("temperature", [1e-6, 1e6])
def test_the_last_temperatures_leave_numbers(logits: Tensor, temperature: float) -> None:
    banned = (logits * 30).index_fill(1, torch.tensor([3]), -torch.inf)
    found = scores.filtered(banned, Sample(temperature=temperature)).softmax(1)
    assert (found[:, 3] == 0).all()
    most = 1.0 if temperature < 1 else 1 / (V - 1)
    torch.testing.assert_close(found.amax(1), torch.full((4,), most), atol=1e-4, rtol=0)


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3])
def test_the_penalty_is_the_reference_librarys(logits: Tensor, history: Tensor, penalty: float) -> None:
    padding = (history == V).sum(1)
    theirs = processors().RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=padding)  # type: ignore[attr-defined]
    torch.testing.assert_close(scores.penalised(logits, history, penalty), theirs(history % V, logits))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 40])
def test_what_would_come_twice_is_what_the_reference_library_bans(logits: Tensor, history: Tensor, n: int) -> None:
    mine = scores.without_repeats(logits, history, n)
    for row, ids in enumerate(history.tolist()):
        own = torch.tensor([[one for one in ids if one < V]])
        theirs = processors().NoRepeatNGramLogitsProcessor(n)(own, logits[row : row + 1])  # type: ignore[attr-defined]
        assert torch.equal(mine[row : row + 1], theirs)


def test_the_filters_by_hand() -> None:
    p = torch.tensor([[0.4, 0.1, 0.3, 0.2]])
    left = lambda x: (x > -torch.inf)[0].tolist()  # noqa: E731
    assert left(scores.top_k(p.log(), 2)) == [True, False, True, False]
    assert left(scores.top_p(p.log(), 0.6)) == [True, False, True, False]
    assert left(scores.top_p(p.log(), 0.75)) == [True, False, True, True]
    assert left(scores.min_p(p.log(), 0.45)) == [True, False, True, True]
    assert scores.penalised(torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[0, 1, 0]]), 2.0).tolist() == [[1, -4, 1]]
    assert left(scores.without_repeats(p, torch.tensor([[0, 1, 2, 0, 3, 0]]), 2)) == [True, False, True, False]


def test_a_nucleus_wider_than_the_first_look_is_whole() -> None:
    logits = torch.zeros(1, 5000) + torch.linspace(0, 1e-3, 5000)
    kept = scores.top_p(logits, 0.5) > -torch.inf
    assert abs(int(kept.sum()) - 2500) < 5
    assert not kept[0, :2000].any()


def test_nothing_given_is_written_into(logits: Tensor, history: Tensor) -> None:
    before, told = logits.clone(), history.clone()
    scores.penalised(logits, history, 2.0)
    scores.without_repeats(logits, history, 2)
    scores.without(logits, [1])
    scores.filtered(logits, Sample(temperature=2.0, top_k=9, top_p=0.5, min_p=0.1))
    scores.drawn(logits, torch.Generator())
    assert torch.equal(before, logits)
    assert torch.equal(told, history)


def test_draws_have_the_frequencies_of_the_softmax() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -torch.inf])
    n = 20_000
    tokens = scores.drawn(logits.expand(n, 5), torch.Generator().manual_seed(4))
    expected = logits.softmax(0) * n
    count = torch.bincount(tokens, minlength=5)
    assert count[4] == 0
    assert float(((count - expected)[:4] ** 2 / expected[:4]).sum()) < 16.3  # one in a thousand, 3 degrees of freedom


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 0.0}, "Greedy"),
        ({"temperature": 1e-7}, "temperature=1e-07 must be from 1e-6 to 1e6"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.1}, "top_p=1.1"),
        ({"min_p": 2.0}, "min_p=2.0"),
    ],
)
def test_settings_of_sampling_are_checked(settings: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Sample(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"max_new_tokens": 3, "min_new_tokens": 4}, "min_new_tokens=4 must be from 0 to max_new_tokens=3"),
        ({"repetition_penalty": 0.0}, "repetition_penalty=0.0"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram=-1"),
        ({"stop": ("a", "")}, "empty"),
        ({"stop": "end"}, "write stop=\\('end',\\)"),
        ({"eos": 3}, "write eos=\\(3,\\)"),
        ({"eos": (3, -1)}, "eos"),
        ({"start": -1}, "start"),
    ],
)
def test_settings_of_writing_are_checked(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        GenerationConfig(**settings)  # type: ignore[arg-type]


def test_a_config_goes_to_a_tree_and_back() -> None:
    from inlay.config import from_tree, override, to_tree

    config = GenerationConfig(strategy=Sample(temperature=0.7, top_p=0.9), stop=("\n", "。"), eos=(3,), start=0)
    assert from_tree(GenerationConfig, to_tree(config)) == config
    beams = override(config, {"strategy.kind": "Beam", "strategy.n_beams": 3})
    assert type(beams.strategy).__name__ == "Beam"
    with pytest.raises(InputError, match="did you mean 'top_k'"):
        override(config, {"strategy.topk": 3})
