"""`inlay generate`: prompts in, texts out, in a shell."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inlay.cli import run
from inlay.commands import show
from inlay.convert import load_pair, save_model
from inlay.generate.config import Beam, GenerationConfig, Sample
from inlay.generate.write import generate
from inlay.model.presets import preset
from inlay.tokenize.kinds import ByteBPE
from inlay.tokenize.tokenizer import Tokenizer

Refused = Callable[[list[str], str], None]
Capture = pytest.CaptureFixture[str]
TEXTS = ["The baker bakes bread, and the sailor sails.", "面包师烤面包，水手航行。", "It's 5 o'clock\n\tsomewhere!"] * 3


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer.train(TEXTS, ByteBPE(size=300))
    config = preset("gpt2-tiny")
    model = replace(config, input=replace(config.input, vocab_size=tokenizer.size)).build(seed=5).eval()
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "token" not in name:
            weight.data *= 12
    folder = tmp_path_factory.mktemp("writer") / "model"
    save_model(model, folder, tokenizer=tokenizer)
    return folder


@pytest.fixture
def said(capsys: Capture) -> Callable[..., tuple[str, str]]:
    def one(*arguments: str | Path) -> tuple[str, str]:
        capsys.readouterr()
        code = run(["generate", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out, err

    return one


def test_one_prompt_is_streamed_and_its_end_is_told(writer: Path, said: Callable[..., tuple[str, str]]) -> None:
    (text,) = generate(*load_pair(writer), ["The baker"], GenerationConfig(max_new_tokens=20))
    out, err = said(writer, "--prompt", "The baker", "--max-new", "20")
    assert text.ended == "length"
    assert out == show.running(text.text or "") + "\n"
    assert err == "note: 1 ended at 20 tokens, before the text was at its end; see --max-new\n"


def test_a_text_cannot_steer_the_terminal() -> None:
    assert show.running("a\n\tb\x1b[31m\r\u2028面") == "a\n\tb\\x1b[31m\\r\\u2028面"


def test_the_options_are_the_librarys(writer: Path, said: Callable[..., tuple[str, str]]) -> None:
    pair = load_pair(writer)
    sample = GenerationConfig(
        strategy=Sample(temperature=1.5, top_k=40, top_p=0.9, min_p=0.01),
        max_new_tokens=12,
        repetition_penalty=1.2,
        no_repeat_ngram=3,
        stop=("e", "面"),
    )
    (text,) = generate(*pair, ["The"], sample, rng=torch.Generator().manual_seed(7))
    flags = "--max-new 12 --temperature 1.5 --top-k 40 --top-p 0.9 --min-p 0.01 --repetition-penalty 1.2 --no-repeat 3"
    out, _ = said(writer, "--prompt", "The", *flags.split(), "--stop", "e", "--stop", "面", "--seed", "7", "--json")
    told = json.loads(out)
    assert told == {
        "prompt": "The",
        "ids": list(text.ids),
        "text": text.text,
        "ended": text.ended,
        "log_probability": text.log_probability,
    }
    beam = GenerationConfig(strategy=Beam(n_beams=3, length_penalty=0.5), max_new_tokens=12)
    (text,) = generate(*pair, ["The"], beam)
    out, _ = said(writer, "--prompt", "The", "--beams", "3", "--length-penalty", "0.5", "--max-new", "12", "--json")
    assert json.loads(out)["ids"] == list(text.ids)


def test_prompts_from_stdin_are_answered_in_their_order(
    writer: Path, said: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [f"The sailor{' sails' * (n % 5)}" for n in range(20)] + ["面包"]

    def piped() -> None:
        data = "".join(prompt + "\n" for prompt in prompts).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    piped()
    out, err = said(writer, "--prompt", "-", "--max-new", "3", "--json")
    assert err == ""
    told = [json.loads(line) for line in out.splitlines()]
    assert [one["prompt"] for one in told] == prompts
    pair = load_pair(writer)
    for one in told[::7]:
        (alone,) = generate(*pair, [one["prompt"]], GenerationConfig(max_new_tokens=3))
        assert one["ids"] == list(alone.ids)
    piped()
    out, err = said(writer, "--prompt", "-", "--max-new", "3")
    assert [line for line in out.splitlines() if line.startswith("> ")] == [f"> {prompt}" for prompt in prompts]
    assert err.startswith("note: ")


def test_the_folder_says_which_tokens_end_a_text(
    writer: Path, tmp_path: Path, said: Callable[..., tuple[str, str]], refused: Refused
) -> None:
    (free,) = generate(*load_pair(writer), ["The"], GenerationConfig(max_new_tokens=12))
    assert free.ended == "length"
    folder, told = tmp_path / "told", {"eos_token_id": free.ids[4], "do_sample": True, "temperature": 9.0}
    shutil.copytree(writer, folder)
    (folder / "generation_config.json").write_text(json.dumps(told))
    out, _ = said(folder, "--prompt", "The", "--max-new", "12", "--json")
    found = json.loads(out)
    assert (found["ended"], tuple(found["ids"])) == ("eos", free.ids[: free.ids.index(free.ids[4]) + 1])
    (folder / "generation_config.json").write_text('{"eos_token_id": "the"}')
    refused(["generate", str(folder), "--prompt", "The"], "generation_config.json: eos_token_id must be an id")


MISTAKES = {
    "no folder": (["absent", "--prompt", "x"], "absent"),
    "too long": (["M", "--prompt", "x", "--max-new", "5000"], "set max_new_tokens=1,02"),
    "temperature 0": (["M", "--prompt", "x", "--temperature", "0"], "temperature=0.0 must be from 1e-6"),
    "top-p 2": (["M", "--prompt", "x", "--top-p", "2"], "top_p=2.0 must be"),
    "beams that draw": (["M", "--prompt", "x", "--beams", "2", "--top-k", "3"], "--beams 2 .* --top-k has no use"),
    "no beams": (["M", "--prompt", "x", "--length-penalty", "2"], "--length-penalty 2.0 is about beams"),
    "empty stop": (["M", "--prompt", "x", "--stop", ""], "stop has an empty text"),
    "no repeats": (["M", "--prompt", "x", "--no-repeat", "-1"], "no_repeat_ngram=-1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, writer: Path, refused: Refused) -> None:
    arguments, expected = MISTAKES[mistake]
    refused(["generate", *(str(writer) if word == "M" else word for word in arguments)], expected)


def test_a_seed_that_no_generator_takes_is_wrong_usage(writer: Path, capsys: Capture) -> None:
    for seed in ("-1", str(2**63)):
        assert run(["generate", str(writer), "--prompt", "x", "--seed", seed]) == 2
        assert "'--seed'" in capsys.readouterr().err


def test_a_model_that_only_reads_says_so(tmp_path: Path, refused: Refused) -> None:
    tokenizer = Tokenizer.train(TEXTS, ByteBPE(size=300))
    config = preset("bert-tiny")
    model = replace(config, input=replace(config.input, vocab_size=tokenizer.size)).build()
    save_model(model, tmp_path / "bert", tokenizer=tokenizer)
    refused(["generate", str(tmp_path / "bert"), "--prompt", "x"], "no decoder, so it cannot write; .*gpt2.*t5")
