"""The parts of docs/architectures*.md that come from the presets: the table of differences, and each paper's section.

    python docs/architectures.py        rewrite what stands between `<!-- presets: NAME -->` and `<!-- end -->`

What is said in Chinese is in architectures.zh.json, by the English words, so that words that change here or in
`inlay.model.papers` are missed there. The tests check that the documents are what this writes.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from inlay.model.budget import count
from inlay.model.heads import LanguageHead
from inlay.model.literal import differences, literal
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.papers import PAPERS, paper
from inlay.model.position import Learned, Sinusoidal
from inlay.model.presets import PRESETS, preset
from inlay.model.relative import Rotary, T5Buckets, XLRelative
from inlay.model.stack import Stack

HERE = Path(__file__).parent
DOCUMENTS = [HERE / "architectures.md", HERE / "architectures.zh-CN.md"]
_PLACE = re.compile(r"(<!-- presets: (\S+) -->\n).*?(<!-- end -->)", re.S)

HEADINGS = {
    "transformer": "Transformer",
    "gpt2": "GPT-2",
    "bert": "BERT",
    "roberta": "RoBERTa",
    "distilbert": "DistilBERT",
    "albert": "ALBERT",
    "electra": "ELECTRA",
    "xlnet": "XLNet",
    "t5": "T5",
    "t5-v1.1": "T5 v1.1",
    "bart": "BART",
    "modernbert": "ModernBERT",
    "modern": "modern",
}
"""The families in the order of the page; a heading is the same in all languages, and so is the link to it."""

BEFORE = {
    "gpt2": "transformer",
    "bert": "transformer",
    "roberta": "bert",
    "distilbert": "bert",
    "albert": "bert",
    "electra": "bert",
    "xlnet": "bert",
    "t5": "transformer",
    "t5-v1.1": "t5",
    "bart": "transformer",
    "modernbert": "bert",
    "modern": "modernbert",
}
"""What each is compared with: the architecture that its paper starts from."""

_TWINS = {"encoder": "decoder", "decoder": "encoder"}

Words = Callable[[str], str]
"""English to the language of the document."""


def glance(say: Words) -> str:
    """A row for each family at its usual size, a column for each choice."""
    columns = ("stack", "positions", "norm", "attention", "feed-forward", "tables, blocks", "heads", "parameters")
    lines = [_row(["", *map(say, columns)]), "| --- |" + " --- |" * 7 + " ---: |"]
    for family, heading in HEADINGS.items():
        config = preset(family)
        cells = (
            f"[{heading}](#{_anchor(heading)})",
            _stacks(config, say),
            _positions(config, say),
            _norm(config, say),
            _attention(config, say),
            _ffn(config, say),
            _tables(config, say),
            ", ".join(head.name for head in config.heads),
            f"{_parameters(family):,}",
        )
        lines.append(_row(cells))
    return "\n".join(lines)


def section(family: str, say: Words) -> str:
    """Where it comes from, its formula, its literal, what it changed, and its sizes."""
    name, source = HEADINGS[family], PAPERS[family]
    title = f"[{source.title}](https://arxiv.org/abs/{source.arxiv})" if source.arxiv else source.title
    reference = f"{source.authors} {source.year}, {title}." if source.authors else say(source.title + ".")
    constant = re.sub(r"\W", "_", family).upper()
    parts = [
        f"### {name}",
        f"{reference} {say(source.changed)}",
        "\n".join(f"    {line}" for line in source.formula.split(";  ")),
        "\n".join(
            [
                "```python",
                f"{constant} = {_literal(preset(family))}",
                f'print({constant} == preset("{family}"))  # True',
                "```",
            ]
        ),
    ]
    if family in BEFORE:
        parts.append(_changes(family, BEFORE[family], say))
    parts.append(_sizes(family, say))
    return "\n\n".join(parts)


def _changes(family: str, before: str, say: Words) -> str:
    """The fields in which it differs from what it started from; of two stacks with the same change, one row."""
    rows: dict[str, tuple[str, str]] = {}
    for place, mine, theirs in differences(preset(family), preset(before)):
        inside = "-" in (mine, theirs) and any(place.startswith(f"{known}.") for known in rows)
        if not inside and place != "family":  # a part that one lacks is named once, not field by field
            rows[place] = mine, theirs
    lines = [_row([say("field"), f"`{family}`", f"`{before}`"]), "| --- | --- | --- |"]
    for place, values in rows.items():
        stack, _, field = place.partition(".")
        both = stack in _TWINS and rows.get(f"{_TWINS[stack]}.{field}") == values
        if not (both and stack == "decoder"):
            label = f"`encoder.{field}`, `decoder.{field}`" if both else f"`{place}`"
            lines.append(_row([label, *map(_short, values)]))
    return "\n".join(lines)


def _sizes(family: str, say: Words) -> str:
    lines = [_row([say("size"), "L", "D", "H", "K", "F", "E", "V", say("parameters")]), "| --- |" + " ---: |" * 8]
    for name, config in PRESETS.items():
        if paper(name) is PAPERS[family]:
            layers = " + ".join(str(stack.n_layers) for stack in (config.encoder, config.decoder) if stack)
            stack = _stack(config)
            sizes = (stack.d_model, stack.n_heads, stack.d_key, stack.d_ffn, config.d_embed, config.vocab_size)
            lines.append(_row([f"`{name}`", layers, *(f"{size:,}" for size in sizes), f"{_parameters(name):,}"]))
    return "\n".join(lines)


def _stacks(config: ModelConfig, say: Words) -> str:
    found = [("encoder", config.encoder), ("decoder", config.decoder)]
    return " + ".join(f"{say(name)} {stack.n_layers}" for name, stack in found if stack)


def _positions(config: ModelConfig, say: Words) -> str:
    match config.input.position, _stack(config).relative:
        case Sinusoidal(), _:
            return say("sines, added")
        case Learned() as learned, _:
            return say("learned, {n} rows").format(n=learned.max_len)
        case _, XLRelative():
            return say("terms of the score, by layer")
        case _, T5Buckets() as t5:
            return say("a number for each of {n} buckets of distance").format(n=t5.n_buckets)
        case _, Rotary():
            return say("queries and keys turned")
    raise AssertionError(f"no words for {config.input.position} and {_stack(config).relative}")


def _norm(config: ModelConfig, say: Words) -> str:
    stack = _stack(config)
    bare = say(", no shift") if isinstance(stack.norm, LayerNorm) and not stack.norm.bias else ""
    return say(", ").join([type(stack.norm).__name__ + bare, say("before" if stack.norm_first else "after")])


def _attention(config: ModelConfig, say: Words) -> str:
    stack = _stack(config)
    said = [say("both ways; decoder causal, and across" if stack.cross else "causal" if stack.causal else "both ways")]
    if near := stack.local:
        places = say("{n} of {every} layers within ±{reach}")
        said.append(places.format(n=near.every - 1, every=near.every, reach=near.reach))
    if not stack.scale_scores:
        said.append(say("scores not divided"))
    return say(", ").join(said + [say("no biases")] * (not stack.attention_bias))


def _ffn(config: ModelConfig, say: Words) -> str:
    stack = _stack(config)
    said = [stack.activation, *[say("gated")] * stack.gated, *[say("no biases")] * (not stack.bias)]
    return say(", ").join(said)


def _tables(config: ModelConfig, say: Words) -> str:
    stack, said = _stack(config), []
    if stack.n_unique:
        said.append(say("{n} block for {layers} layers").format(n=stack.n_unique, layers=stack.n_layers))
    if config.d_embed != config.d_model:
        said.append(say("tokens of {n} numbers").format(n=config.d_embed))
    tied = [head.tied for head in config.heads if isinstance(head, LanguageHead)]
    said.append(say("no output table" if not tied else "output = token table" if tied[0] else "own output table"))
    return say(", ").join(said)


def _stack(config: ModelConfig) -> Stack:
    stack = config.decoder or config.encoder
    assert stack is not None
    return stack


def _short(value: str) -> str:
    """As `differences` has it, but long floats rounded, and a dash for a part that is not there."""
    if value in ("-", "none"):
        return "–"
    return f"{float(value):.6g}" if re.fullmatch(r"\d+\.\d{6,}", value) else value


def _literal(config: ModelConfig) -> str:
    """As ruff would write it."""
    text = literal(config).replace("'", '"')
    return re.sub(r"\(\n +(.*),\n +\)", r"(\1,)", text)  # a tuple of one


@cache
def _parameters(name: str) -> int:
    return count(preset(name))


def _anchor(heading: str) -> str:
    """As the usual renderers make it of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _row(cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"  # type: ignore[call-overload]


def written(text: str, say: Words) -> str:
    """The document with what comes from the presets made anew."""

    def made(place: re.Match[str]) -> str:
        return f"{place[1]}{glance(say) if place[2] == 'glance' else section(place[2], say)}\n{place[3]}"

    return _PLACE.sub(made, text)


def words(document: Path) -> Words:
    """What turns English into the language of this document; words without a translation are a KeyError."""
    if not document.name.endswith(".zh-CN.md"):
        return str
    return json.loads((HERE / "architectures.zh.json").read_text(encoding="utf-8")).__getitem__


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(written(path.read_text(encoding="utf-8"), words(path)), encoding="utf-8")
