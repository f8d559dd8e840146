"""Greedy writing, penalties and ends against the reference library, and what holds of every way of writing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

import reference_models as reference
from reference_models import V, theirs_writes

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.generate.config import Beam, GenerationConfig, Greedy, Sample, Strategy
from inlay.generate.write import generate_ids
from inlay.model.model import Model
from inlay.model.presets import PRESETS, preset

Pair = tuple[Any, Model, dict[str, int]]
PROMPTS = [[5, 17, 40], [8, 3, 66, 20, 91, 4, 33, 12], [70], [50, 51, 52, 53, 54, 55, 56, 57], [9, 9, 1]]


@pytest.fixture(scope="module", params=["gpt2-0", "gpt2-1", "t5-3", "t5-4", "bart-3"])
def pair(request: pytest.FixtureRequest) -> Pair:
    family, seed = request.param.split("-")
    theirs, ours = getattr(reference, family)(int(seed))
    return theirs, ours, {"start": reference.STARTS[family]} if family in reference.STARTS else {}


def writes(model: Model, prompts: list[list[int]], **settings: Any) -> list[list[int]]:
    return [list(one.ids) for one in generate_ids(model, prompts, GenerationConfig(**settings))]


def test_greedy_writes_the_reference_librarys_tokens(pair: Pair) -> None:
    theirs, ours, start = pair
    expected = theirs_writes(theirs, PROMPTS, max_new_tokens=24)
    assert writes(ours, PROMPTS, max_new_tokens=24, **start) == expected
    assert len(set(map(tuple, expected))) == len(PROMPTS)
    eos = expected[1][9]
    expected = theirs_writes(theirs, PROMPTS, max_new_tokens=24, eos_token_id=eos)
    assert writes(ours, PROMPTS, max_new_tokens=24, eos=(eos,), **start) == expected
    assert len({len(one) for one in expected}) > 1


@pytest.mark.parametrize(
    ("mine", "their"),
    [
        ({"repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
        ({"repetition_penalty": 0.7}, {"repetition_penalty": 0.7}),
        ({"no_repeat_ngram": 1}, {"no_repeat_ngram_size": 1}),
        ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
        ({"repetition_penalty": 1.2, "no_repeat_ngram": 3}, {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3}),
    ],
)
def test_penalties_lead_to_the_reference_librarys_tokens(
    pair: Pair, mine: dict[str, Any], their: dict[str, Any]
) -> None:
    theirs, ours, start = pair
    ids = writes(ours, PROMPTS, max_new_tokens=24, **mine, **start)
    assert ids == theirs_writes(theirs, PROMPTS, max_new_tokens=24, **their)
    assert ids != writes(ours, PROMPTS, max_new_tokens=24, **start)


def test_no_end_token_comes_before_the_least_number(pair: Pair) -> None:
    theirs, ours, start = pair
    eos = [2, *range(10, 60)]
    settings: dict[str, Any] = {"max_new_tokens": 20, "min_new_tokens": 6}
    ids = writes(ours, PROMPTS, eos=tuple(eos), **settings, **start)
    assert ids == theirs_writes(theirs, PROMPTS, eos_token_id=eos, **settings)
    assert min(map(len, ids)) >= 7
    assert min(map(len, writes(ours, PROMPTS, eos=tuple(eos), max_new_tokens=20, **start))) < 6


STRATEGIES: list[Strategy] = [Greedy(), Beam(n_beams=3), Beam(n_beams=2, length_penalty=0, early_stopping=True)]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_text_is_the_same_in_any_company(pair: Pair, strategy: Strategy) -> None:
    _, ours, start = pair
    settings: dict[str, Any] = {"strategy": strategy, "max_new_tokens": 12, "eos": (30, 31, 32, 33), **start}
    settings |= {"repetition_penalty": 1.1, "no_repeat_ngram": 4}
    together = generate_ids(ours, PROMPTS, GenerationConfig(**settings))
    for number, prompt in enumerate(PROMPTS):
        (alone,) = generate_ids(ours, [prompt], GenerationConfig(**settings))
        assert (alone.ids, alone.ended) == (together[number].ids, together[number].ended)
        assert alone.log_probability == pytest.approx(together[number].log_probability, abs=1e-4)


@pytest.mark.parametrize("strategy", [*STRATEGIES, Sample(temperature=2.0, top_k=40)], ids=str)
def test_the_cache_changes_nothing_and_log_probabilities_are_the_models_own(pair: Pair, strategy: Strategy) -> None:
    _, ours, start = pair
    config = GenerationConfig(strategy=strategy, max_new_tokens=10, repetition_penalty=1.3, **start)
    for prompt, text in zip(
        PROMPTS, generate_ids(ours, PROMPTS, config, rng=torch.Generator().manual_seed(0)), strict=True
    ):
        before = [*start.values()] if start else prompt
        batch = Batch.of([[*before, *text.ids[:-1]]])
        with torch.no_grad():
            rows = ours(Batch.of([prompt]), batch) if start else ours(batch)
            logits = ours.read("language", rows, ours.pack(batch).layout)[len(before) - 1 :]
        likely = logits.log_softmax(1)
        mean = likely[torch.arange(len(text.ids)), torch.tensor(text.ids)].mean()
        assert text.log_probability == pytest.approx(float(mean), abs=1e-4)


@pytest.mark.parametrize("name", [n for n in PRESETS if n.endswith("-tiny") and PRESETS[n].decoder])
def test_every_preset_that_writes_writes_what_it_writes_without_a_cache(name: str) -> None:
    config = preset(name)
    model = config.build(seed=3).eval()
    for weight in model.parameters():
        weight.data *= 3 if weight.ndim == 2 else 1
    prompts = [[1, 2, 3, 4, 5], [9, 8], [400]]
    ids = writes(model, prompts, max_new_tokens=6, start=0)
    for prompt, new in zip(prompts, ids, strict=True):
        text = [0] if config.encoder else list(prompt)
        for token in new:
            batch = Batch.of([text])
            with torch.no_grad():
                rows = model(Batch.of([prompt]), batch) if config.encoder else model(batch)
                logits = model.read("language", rows[-1:], model.pack(batch).layout)
            assert float(logits[0, token]) == pytest.approx(float(logits.max()), abs=1e-3)
            text.append(token)


def test_bfloat16_writes() -> None:
    _, ours = reference.gpt2(0)
    ours = ours.to(torch.bfloat16)
    for strategy in (Greedy(), Beam(n_beams=2)):
        for text in generate_ids(ours, PROMPTS, GenerationConfig(strategy=strategy, max_new_tokens=5)):
            assert len(text.ids) == 5
            assert -10 < text.log_probability < 0


def test_the_model_is_left_as_it_was() -> None:
    _, ours = reference.gpt2(0)
    before = {name: weight.clone() for name, weight in ours.state_dict().items()}
    ours.train()
    ours.decoder.blocks[0].eval()  # type: ignore[union-attr]
    modes = [part.training for part in ours.modules()]
    first = writes(ours, PROMPTS, max_new_tokens=8)
    assert [part.training for part in ours.modules()] == modes
    assert first == writes(ours.eval(), PROMPTS, max_new_tokens=8)  # dropout was off
    assert all(torch.equal(before[name], weight) for name, weight in ours.state_dict().items())
    loss = ours(Batch.of([[1, 2, 3]])).sum()
    loss.backward()


def test_the_seed_alone_decides_a_drawn_text() -> None:
    _, ours = reference.gpt2(1)
    config = GenerationConfig(strategy=Sample(temperature=1.5), max_new_tokens=8)

    def drawn(seed: int) -> list[tuple[int, ...]]:
        torch.manual_seed(seed + 100)
        rng = torch.Generator().manual_seed(seed)
        return [text.ids for text in generate_ids(ours, PROMPTS, config, rng=rng)]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    _, ours = reference.gpt2(2)
    sample = Sample(temperature=1.5, top_k=12, top_p=0.95, min_p=0.02)
    n = 4000
    config = GenerationConfig(strategy=sample, max_new_tokens=1)
    rng = torch.Generator().manual_seed(0)
    texts = generate_ids(ours, [[5, 6, 7]] * n, config, rng=rng)
    count = torch.bincount(torch.tensor([text.ids[0] for text in texts]), minlength=V).double()
    batch = Batch.of([[5, 6, 7]])
    with torch.no_grad():
        logits = ours.read("language", ours(batch)[-1:], ours.pack(batch).layout)[0].double()
    p = (logits / 1.5).softmax(0)
    p[p < p.topk(12).values[-1]] = 0
    p /= p.sum()
    order = p.argsort(descending=True)
    p[order[p[order].cumsum(0) - p[order] >= 0.95]] = 0
    p /= p.sum()
    p[p < 0.02 * p.max()] = 0
    p /= p.sum()
    kept = p > 0
    assert 4 <= int(kept.sum()) <= 12
    assert not count[~kept].any()
    chi_square = float(((count - n * p)[kept] ** 2 / (n * p[kept])).sum())
    assert chi_square < 31.3  # one in a thousand, for 11 degrees of freedom


def refusal(do: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as told:
        do()
    assert "\n" not in str(told.value)
    return str(told.value)


def test_what_does_not_fit_is_refused_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ours = reference.gpt2(0, positions=16)
    assert len(writes(ours, [[1] * 12], max_new_tokens=5)[0]) == 5
    assert len(writes(ours, [[1] * 16], max_new_tokens=1)[0]) == 1
    monkeypatch.setattr(Model, "decode", None)
    told = refusal(lambda: writes(ours, [[1], [1] * 12], max_new_tokens=6))
    assert told == (
        "prompt 1 of 12 tokens and max_new_tokens=6 do not fit into the model's 16 positions; "
        "set max_new_tokens=5 at most, or cut the prompt"
    )
    assert "cut it to 12 tokens" in refusal(lambda: writes(ours, [[1] * 17], max_new_tokens=5))
    assert "cut it, and max_new_tokens=20 too" in refusal(lambda: writes(ours, [[1] * 17], max_new_tokens=20))
    assert "set max_new_tokens=16" in refusal(lambda: writes(ours, [[1]], max_new_tokens=90))
    assert "prompt 1 is empty" in refusal(lambda: writes(ours, [[1], []], max_new_tokens=5))
    assert "no prompt" in refusal(lambda: writes(ours, [], max_new_tokens=5))
    assert "needs a tokenizer" in refusal(lambda: writes(ours, [[1]], stop=("x",), max_new_tokens=5))
    assert "eos=[97]" in refusal(lambda: writes(ours, [[1]], eos=(97,), max_new_tokens=5))
    assert "rng=" in refusal(lambda: writes(ours, [[1]], strategy=Sample(), max_new_tokens=5))


def test_ids_and_beams_beyond_the_vocabulary_are_refused() -> None:
    _, ours = reference.gpt2(0, vocab=20)
    assert "20" in refusal(lambda: writes(ours, [[1, 20]], max_new_tokens=5))
    told = refusal(lambda: writes(ours, [[1]], max_new_tokens=5, strategy=Beam(n_beams=11)))
    assert "try 10" in told
    assert "forbids every token" in refusal(lambda: writes(ours, [[1]], max_new_tokens=25, no_repeat_ngram=1))
    every: dict[str, Any] = {"max_new_tokens": 5, "eos": (0, *range(20))}
    assert len(writes(ours, [[1]], **every)[0]) == 1
    for strategy in (Greedy(), Sample(), Beam(n_beams=2)):
        config = GenerationConfig(strategy=strategy, min_new_tokens=2, **every)
        told = refusal(partial(generate_ids, ours, [[1]], config, rng=torch.Generator()))
        assert "min_new_tokens=2 forbids every token" in told


@pytest.mark.parametrize("prompts", [["abc"], [1, 2], [[1.5]], [[None]]])
def test_what_is_no_list_of_ids_is_told(prompts: Any) -> None:
    _, ours = reference.gpt2(0, vocab=20)
    assert "prompt 0 is" in refusal(lambda: writes(ours, prompts, max_new_tokens=2))


def test_ids_come_from_arrays_and_tensors_too() -> None:
    _, ours = reference.gpt2(0, vocab=20)
    lists = [[1, 2], [3, 4]]
    for prompts in (torch.tensor(lists), [(1, 2), torch.tensor([3, 4]).numpy()]):
        assert writes(ours, prompts, max_new_tokens=3) == writes(ours, lists, max_new_tokens=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bert-tiny", "electra-tiny", "modernbert-tiny"])
def test_a_model_that_cannot_write_says_which_can(name: str) -> None:
    told = refusal(lambda: writes(preset(name).build(), [[1]], max_new_tokens=5))
    assert "no decoder" in told
    assert {"gpt2", "t5"} <= set(told.rpartition(": ")[2].split(", "))


def test_broken_weights_are_told() -> None:
    for strategy in (Greedy(), Sample(top_p=0.9), Beam(n_beams=2)):
        _, ours = reference.gpt2(0)
        ours.decoder.final_norm.weight.data[3] = float("nan")  # type: ignore[union-attr]
        config = GenerationConfig(strategy=strategy, max_new_tokens=3)
        assert "not numbers" in refusal(lambda: generate_ids(ours, [[1]], config, rng=torch.Generator()))  # noqa: B023


def test_the_caches_room_is_no_limit() -> None:
    theirs, ours = reference.gpt2(4)
    prompts = [list(range(2, 2 + n)) for n in (1, 5, 30)]
    assert writes(ours, prompts, max_new_tokens=34) == theirs_writes(theirs, prompts, max_new_tokens=34)
