"""Beam search against the reference library, token for token, and what its settings mean."""

from typing import Any

import pytest

pytest.importorskip("transformers")

import reference_models as reference
from reference_models import theirs_writes

from inlay.errors import InputError
from inlay.generate.config import Beam, GenerationConfig, Greedy
from inlay.generate.write import generate_ids
from inlay.model.model import Model

PROMPTS = [[5, 17, 40], [8, 3, 66, 20, 91, 4, 33, 12], [70], [50, 51, 52, 53, 54, 55, 56, 57], [9, 9, 1]]
Pair = tuple[Any, Model, dict[str, int]]


@pytest.fixture(scope="module", params=["gpt2-0", "gpt2-3", "t5-3", "t5-4", "bart-3"])
def pair(request: pytest.FixtureRequest) -> Pair:
    family, seed = request.param.split("-")
    theirs, ours = getattr(reference, family)(int(seed))
    return theirs, ours, {"start": reference.STARTS[family]} if family in reference.STARTS else {}


def writes(model: Model, beam: Beam, **settings: Any) -> list[list[int]]:
    return [list(one.ids) for one in generate_ids(model, PROMPTS, GenerationConfig(strategy=beam, **settings))]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("length_penalty", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n_beams", [2, 4])
def test_beams_write_the_reference_librarys_tokens(
    pair: Pair, n_beams: int, length_penalty: float, early: bool
) -> None:
    theirs, ours, start = pair
    for eos in ([37, 72, 2, 46], [51]):
        expected = theirs_writes(
            theirs,
            PROMPTS,
            num_beams=n_beams,
            length_penalty=length_penalty,
            early_stopping=early,
            max_new_tokens=12,
            eos_token_id=eos,
        )
        beam = Beam(n_beams=n_beams, length_penalty=length_penalty, early_stopping=early)
        assert writes(ours, beam, max_new_tokens=12, eos=tuple(eos), **start) == expected


def test_penalties_and_beams_together_write_the_reference_librarys_tokens(pair: Pair) -> None:
    theirs, ours, start = pair
    eos = [37, 72, 2, 46]
    settings: dict[str, Any] = {"max_new_tokens": 12, "repetition_penalty": 1.4, "min_new_tokens": 4}
    expected = theirs_writes(theirs, PROMPTS, num_beams=3, no_repeat_ngram_size=2, eos_token_id=eos, **settings)
    assert writes(ours, Beam(n_beams=3), no_repeat_ngram=2, eos=tuple(eos), **settings, **start) == expected


def test_these_settings_make_a_difference(pair: Pair) -> None:
    _, ours, start = pair
    settings: dict[str, Any] = {"max_new_tokens": 12, "eos": (37, 72, 2, 46), **start}
    ways = [Beam(n_beams=4, length_penalty=penalty, early_stopping=True) for penalty in (-2, 6)]
    short, long = (sum(map(len, writes(ours, way, **settings))) for way in ways)
    assert short < long


def test_one_beam_is_greedy(pair: Pair) -> None:
    _, ours, start = pair
    settings: dict[str, Any] = {"max_new_tokens": 15, **start}
    greedy = generate_ids(ours, PROMPTS, GenerationConfig(strategy=Greedy(), **settings))
    beam = generate_ids(ours, PROMPTS, GenerationConfig(strategy=Beam(n_beams=1), **settings))
    assert [one.ids for one in beam] == [one.ids for one in greedy]
    assert [one.log_probability for one in beam] == pytest.approx([one.log_probability for one in greedy], abs=1e-5)


def test_more_beams_find_likelier_texts(pair: Pair) -> None:
    _, ours, start = pair
    means = []
    for k in (1, 2, 8):
        config = GenerationConfig(strategy=Beam(n_beams=k), max_new_tokens=10, **start)
        means.append(sum(one.log_probability for one in generate_ids(ours, PROMPTS, config)))
    assert means[0] < means[1] < means[2]


def test_the_best_of_all_texts_is_found_where_beams_hold_them_all() -> None:
    """A vocabulary of 8 and 4 beams of 2 tokens: the second step looks at 32 of 64 texts, by hand."""
    _, ours = reference.gpt2(1, vocab=8)
    config = GenerationConfig(strategy=Beam(n_beams=4), max_new_tokens=2)
    (found,) = generate_ids(ours, [[1, 2, 3]], config)
    first = {}
    for token in range(8):
        one = GenerationConfig(max_new_tokens=1, eos=())
        (after,) = generate_ids(ours, [[1, 2, 3, token]], one)
        first[token] = after
    import torch

    from inlay.batch import Batch

    with torch.no_grad():
        batch = Batch.of([[1, 2, 3]])
        start = ours.read("language", ours(batch)[-1:], ours.pack(batch).layout)[0].log_softmax(0)
    kept = start.topk(4).indices.tolist()
    scores = {token: float(start[token]) + first[token].log_probability for token in kept}
    best = max(scores, key=scores.__getitem__)
    assert found.ids == (best, first[best].ids[0])
    assert found.log_probability == pytest.approx(scores[best] / 2, abs=1e-5)


def test_settings_of_beams_are_checked() -> None:
    with pytest.raises(InputError, match="n_beams=0 must be at least 1"):
        Beam(n_beams=0)
    for penalty in (float("nan"), 1e6, -11):
        with pytest.raises(InputError, match=f"length_penalty={penalty} must be from -10 to 10"):
            Beam(length_penalty=penalty)
