"""Texts in, texts out: stop strings, pieces as they come, and where a text begins."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from inlay.errors import InputError
from inlay.generate.config import Beam, GenerationConfig, Greedy, Sample
from inlay.generate.pieces import Growing
from inlay.generate.prompt import from_ids
from inlay.generate.write import generate, generate_ids, stream
from inlay.model.model import Model
from inlay.model.presets import preset
from inlay.tokenize.kinds import BPE, ByteBPE, Bytes, Characters, TokenizerConfig, Unigram, WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = [
    "The baker bakes bread, and the sailor sails.",
    "面包师烤面包，水手航行。",
    "Ça va? Naïve café: 👩‍🚀🎉 it's $5!",
    "def f(x):\n    return x + 1\n",
]
KINDS: list[TokenizerConfig] = [
    WordPiece(size=300),
    BPE(size=300),
    Unigram(size=120),
    ByteBPE(size=300),
    Bytes(),
    Characters(),
]


@pytest.fixture(scope="module")
def byte_level() -> Tokenizer:
    return Tokenizer.train(TEXTS * 3, ByteBPE(size=300))


def growing(tokenizer: Tokenizer, prompt: str, config: GenerationConfig) -> Growing:
    model = preset("gpt2-tiny").build()
    ids = tokenizer.encode([prompt]).ids.tolist()
    return Growing(from_ids(model, [ids], config, tokenizer), 0)


def pieces(text: Growing, ids: Sequence[int]) -> list[str]:
    found = []
    for one in ids:
        ended = text.add(one, -1.0)
        found.append(text.take())
        if ended:
            break
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text_whatever_the_tokenizer(kind: TokenizerConfig, text: str) -> None:
    tokenizer = Tokenizer.train(TEXTS * 3, kind)
    prompt, rest = text[: len(text) // 2], text[len(text) // 2 :]
    ids = tokenizer.encode([rest]).ids.tolist()
    one = growing(tokenizer, prompt, GenerationConfig(max_new_tokens=len(ids)))
    found = pieces(one, ids)
    assert "".join(found) == one.result().text
    assert one.ended == "length"
    assert not any("\ufffd" in piece for piece in found)
    if not isinstance(kind, WordPiece | BPE):
        before = tokenizer.encode([prompt]).ids.tolist()
        assert tokenizer.decode(before) + "".join(found) == tokenizer.decode([*before, *ids])


@pytest.mark.parametrize("text", ["猫🎉", "👩‍🚀", "naïve"])
def test_half_characters_wait_for_their_other_half(text: str) -> None:
    tokenizer = Tokenizer.train(TEXTS, Bytes())
    ids = tokenizer.encode([text]).ids.tolist()
    assert len(ids) == len(text.encode())
    one = growing(tokenizer, "a", GenerationConfig(max_new_tokens=len(ids)))
    found = pieces(one, ids)
    assert [piece for piece in found if piece] == list(text)
    one = growing(tokenizer, "a", GenerationConfig(max_new_tokens=2))
    found = pieces(one, tokenizer.encode(["猫"]).ids.tolist())
    assert found[0] == ""
    assert "".join(found) == one.result().text == "\ufffd" * len("".join(found))


@pytest.mark.parametrize(
    ("stops", "shown"),
    [
        (("return",), "def f(x):\n    "),
        (("\n    re", "x):"), "def f("),
        (("+ 1\n",), "def f(x):\n    return x "),
        (("returned", "):\n    return x + 2"), None),
    ],
)
def test_a_stop_string_across_tokens_is_cut_out_and_never_shown(stops: tuple[str, ...], shown: str | None) -> None:
    tokenizer = Tokenizer.train(TEXTS, Bytes())
    text = TEXTS[3]
    ids = tokenizer.encode([text]).ids.tolist()
    one = growing(tokenizer, "", GenerationConfig(max_new_tokens=len(ids), stop=stops, start=1))
    found = pieces(one, ids)
    assert "".join(found) == one.result().text == (text if shown is None else shown)
    assert one.ended == ("length" if shown is None else "stop")
    for before, _ in pairwise(["".join(found[:n]) for n in range(len(found) + 1)]):
        assert (shown or text).startswith(before)


@pytest.fixture(scope="module")
def writer(byte_level: Tokenizer) -> Model:
    config = preset("gpt2-tiny")
    model = replace(config, input=replace(config.input, vocab_size=byte_level.size)).build(seed=5).eval()
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "token" not in name:
            weight.data *= 12
    return model


def test_a_stream_is_the_text(writer: Model, byte_level: Tokenizer) -> None:
    for seed in range(5):
        config = GenerationConfig(strategy=Sample(temperature=1.5), max_new_tokens=40)
        (whole,) = generate(writer, byte_level, ["The baker"], config, rng=torch.Generator().manual_seed(seed))
        parts = list(stream(writer, byte_level, "The baker", config, rng=torch.Generator().manual_seed(seed)))
        assert whole.text == "".join(parts)
        assert len(parts) > 5
        stop = (whole.text or "")[10:13]
        config = replace(config, stop=(stop,))
        (cut,) = generate(writer, byte_level, ["The baker"], config, rng=torch.Generator().manual_seed(seed))
        parts = list(stream(writer, byte_level, "The baker", config, rng=torch.Generator().manual_seed(seed)))
        assert cut.ended == "stop"
        assert "".join(parts) == cut.text == (whole.text or "").partition(stop)[0]


def test_texts_and_ids_agree_and_prompts_of_all_lengths_keep_their_order(writer: Model, byte_level: Tokenizer) -> None:
    prompts = ["The sailor sails and bakes", "面", "", "a b c"]
    texts = generate(writer, byte_level, prompts, GenerationConfig(max_new_tokens=6))
    start, end = byte_level.id("[CLS]"), byte_level.id("[SEP]")
    lists = [[start, *byte_level.encode([prompt]).ids.tolist()] for prompt in prompts]
    ids = generate_ids(writer, lists, GenerationConfig(max_new_tokens=6, eos=(end,)))
    assert [one.ids for one in texts] == [one.ids for one in ids]
    assert {one.text for one in ids} == {None}


def test_an_end_token_ends_the_text_and_is_none_of_it(writer: Model, byte_level: Tokenizer) -> None:
    (free,) = generate(writer, byte_level, ["The"], GenerationConfig(max_new_tokens=9))
    at = next(n for n, one in enumerate(free.ids) if n > 2 and one not in free.ids[:n])
    for strategy in (Greedy(), Beam(n_beams=1)):
        config = GenerationConfig(strategy=strategy, max_new_tokens=9, eos=(free.ids[at],))
        (ended,) = generate(writer, byte_level, ["The"], config)
        assert (ended.ended, ended.ids) == ("eos", free.ids[: at + 1])
        assert ended.text == byte_level.decode(free.ids[:at])


def test_a_beam_stops_at_a_stop_string(writer: Model, byte_level: Tokenizer) -> None:
    config = GenerationConfig(strategy=Beam(n_beams=3), max_new_tokens=12)
    (free,) = generate(writer, byte_level, ["The"], config)
    assert free.text
    (cut,) = generate(writer, byte_level, ["The"], replace(config, stop=tuple(set(free.text))))
    assert (cut.ended, cut.text) == ("stop", "")


def test_what_a_tokenizer_puts_after_a_text_does_not_end_a_prompt() -> None:
    tokenizer = Tokenizer.train(TEXTS, WordPiece(size=300))
    model = preset("gpt2-tiny").build(seed=1).eval()
    around = tokenizer.encode(["the baker"], specials=True).ids.tolist()
    (one,) = generate(model, tokenizer, ["the baker"], GenerationConfig(max_new_tokens=4))
    (by_hand,) = generate_ids(model, [around[:-1]], GenerationConfig(max_new_tokens=4))
    assert tokenizer.decode(around[-1:], specials=True) == "[SEP]"
    assert one.ids == by_hand.ids


def test_a_source_is_answered_from_the_padding_token(byte_level: Tokenizer) -> None:
    model = preset("t5-tiny").build(seed=1).eval()
    tokenizer = Tokenizer.train(TEXTS, WordPiece(size=300))
    config = GenerationConfig(max_new_tokens=5)
    (one,) = generate(model, tokenizer, ["the baker"], config)
    ids = tokenizer.encode(["the baker"], specials=True).ids.tolist()
    pad = tokenizer.id(tokenizer.roles["pad"])
    assert one.ids == generate_ids(model, [ids], replace(config, start=pad))[0].ids
    with pytest.raises(InputError, match="set start to its id"):
        generate_ids(model, [ids], config)
    with pytest.raises(InputError, match="source 0 has no tokens"):
        generate_ids(model, [[]], replace(config, start=0))


def test_streams_say_at_once_what_they_cannot(writer: Model, byte_level: Tokenizer) -> None:
    with pytest.raises(InputError, match="cannot be streamed"):
        stream(writer, byte_level, "a", GenerationConfig(strategy=Beam()))
    with pytest.raises(InputError, match="max_new_tokens=1,02"):
        stream(writer, byte_level, "a", GenerationConfig(max_new_tokens=2000))
    with pytest.raises(InputError, match="rng="):
        stream(writer, byte_level, "a", GenerationConfig(strategy=Sample()))


def test_a_stream_left_early_leaves_the_model_in_its_mode(writer: Model, byte_level: Tokenizer) -> None:
    writer.train()
    parts = stream(writer, byte_level, "The", GenerationConfig(max_new_tokens=30))
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert writer.training
    assert not torch.is_inference_mode_enabled()
    writer.eval()


def test_every_public_name_is_found() -> None:
    import inlay.generate

    for name in inlay.generate.__all__:
        assert getattr(inlay.generate, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'genrate'"):
        inlay.generate.genrate  # noqa: B018
