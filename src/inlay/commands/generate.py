"""inlay generate: what a language model writes after a prompt."""

import sys
from collections.abc import Generator, Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from inlay.commands import show
from inlay.commands.options import Json, Seed, as_utf8
from inlay.commands.stdin import lines
from inlay.errors import InputError
from inlay.live import say

if TYPE_CHECKING:
    from inlay.generate.config import Strategy
    from inlay.generate.pieces import Generated

_AT_ONCE = 16
"""Prompts from stdin that are continued side by side."""


def generate(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", show_default=False, help="A model's folder, or a name on the hub: owner/model."),
    ],
    *,
    prompt: Annotated[
        str,
        typer.Option(metavar="TEXT", show_default=False, help="The text to go on from; '-': one a line from stdin."),
    ],
    max_new: Annotated[int, typer.Option(metavar="N", min=1, help="Tokens to write at most.")] = 64,
    temperature: Annotated[
        float | None, typer.Option(metavar="X", show_default=False, help="Draw tokens; below 1 likely ones more often.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(metavar="K", show_default=False, help="Draw among the K likeliest tokens.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="P", show_default=False, help="Draw among the likeliest that sum to P.")
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(metavar="P", show_default=False, help="Draw among those at least P times as likely as the first."),
    ] = None,
    beams: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Keep the N likeliest texts, show the best.")
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option(metavar="X", show_default="1", help="Of beams: larger favours longer texts.")
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option(metavar="X", help="Above 1, tokens that are there already become less likely.")
    ] = 1.0,
    no_repeat: Annotated[
        int, typer.Option(metavar="N", help="No N tokens in a row come twice; 0 forbids nothing.")
    ] = 0,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", show_default=False, help="End where this comes up, can be repeated; not shown."),
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Write what a language model says after a prompt.

    A model that reads a source, such as T5, answers it instead. The likeliest token is taken at every step, unless an
    option asks for drawing, or for beams. The text of one prompt appears as it is written; from stdin, each prompt is
    shown before its text. With --json there is one line of JSON for each prompt: text, tokens, why it ended (eos, stop
    or length), and the mean log-probability of a token.

    Examples:
    inlay generate gpt2 --prompt "The sea was" --temperature 0.8 --top-p 0.9
    inlay generate model --prompt - --beams 4 --stop "." --json < prompts.txt
    """
    import torch

    from inlay.convert import load_pair
    from inlay.convert.hub import locate
    from inlay.generate.config import Beam, GenerationConfig
    from inlay.generate.folder import from_folder
    from inlay.generate.write import generate as written
    from inlay.generate.write import stream

    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    config = GenerationConfig(
        strategy=_strategy({k: v for k, v in drawing.items() if v is not None}, beams, length_penalty),
        max_new_tokens=max_new,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram=no_repeat,
        stop=tuple(as_utf8(one) for one in stop or ()),
    )
    found = locate(folder)
    model, tokenizer = load_pair(found)
    config = from_folder(config, found.folder, model.config)
    rng = torch.Generator().manual_seed(seed)
    cut = 0
    if prompt != "-" and not json and not isinstance(config.strategy, Beam):
        cut = _stream(stream(model, tokenizer, as_utf8(prompt), config, rng=rng))
    else:
        prompts = lines("prompts") if prompt == "-" else iter([as_utf8(prompt)])
        while some := list(islice(prompts, _AT_ONCE)):
            texts = written(model, tokenizer, some, config, rng=rng)
            cut += _show(zip(some, texts, strict=True), json=json, named=prompt == "-")
    if cut and not json:
        say(f"note: {cut:,} ended at {max_new:,} tokens, before the text was at its end; see --max-new")


def _strategy(drawing: dict[str, float], beams: int | None, length_penalty: float | None) -> "Strategy":
    from inlay.config import from_tree
    from inlay.generate.config import Beam, Greedy, Sample

    if beams is not None:
        if drawing:
            flag = next(iter(drawing)).replace("_", "-")
            raise InputError(f"--beams {beams} draws nothing, so --{flag} has no use; leave out one of them")
        return Beam(n_beams=beams, length_penalty=1.0 if length_penalty is None else length_penalty)
    if length_penalty is not None:
        raise InputError(f"--length-penalty {length_penalty} is about beams; add --beams 4, or leave it out")
    return from_tree(Sample, drawing) if drawing else Greedy()


def _stream(pieces: "Generator[str, None, Generated]") -> int:
    """Write the pieces as they come; returns 1 where they were cut at the most tokens."""
    while True:
        try:
            sys.stdout.write(show.running(next(pieces)))
        except StopIteration as end:
            show.line()
            return int(end.value.ended == "length")
        sys.stdout.flush()


def _show(texts: "Iterator[tuple[str, Generated]]", *, json: bool, named: bool) -> int:
    cut = 0
    for prompt, text in texts:
        cut += text.ended == "length"
        if json:
            show.tree({"prompt": prompt} | asdict(text), compact=True)
        else:
            if named:
                show.line(f"> {prompt}")
            show.line(show.running(text.text or ""))
    sys.stdout.flush()
    return cut
