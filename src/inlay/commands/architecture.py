"""inlay show: what an architecture is, what it costs, and what tells two papers apart."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inlay.commands import show as out
from inlay.commands.options import Json
from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.model.model import ModelConfig
    from inlay.model.papers import Paper

_MB = 1 << 20


def show(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|DIR",
            show_default=False,
            help="An architecture (bert-base) or a model folder; two to compare.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Texts of a batch, for the memory.")] = 8,
    length: Annotated[int, typer.Option(metavar="N", help="Tokens of a text, for the memory.")] = 128,
    json: Json = False,
) -> None:
    """Show an architecture, or what tells two apart.

    Of one: the literal that builds it, its parts, parameters and memory. Without a name, all that have one are listed.

    Examples:
    inlay show bert-base
    inlay show BERT ALBERT
    """
    if not names:
        return _all(json)
    if len(names) > 2:
        raise InputError(f"{len(names)} names, but one can be shown, or two compared; leave {', '.join(names[2:])} out")
    configs = [_find(name) for name in names]
    if len(configs) == 2:
        return _compare(names, configs, json)
    return _one(names[0], configs[0], batch, length, json)


def _find(name: str) -> "ModelConfig":
    from inlay.model.presets import preset

    if Path(name).is_dir():
        from inlay.convert import read_config

        return read_config(name)
    if "/" in name:
        raise InputError(f"{name}: no such folder; `inlay show` alone lists the architectures that have a name")
    return preset(name)


def _all(json: bool) -> None:
    from inlay.model.budget import count
    from inlay.model.papers import paper
    from inlay.model.presets import PRESETS

    if json:
        return out.tree({name: {"parameters": count(config)} for name, config in PRESETS.items()})
    rows = []
    for name, config in PRESETS.items():
        stacks = [stack for stack in (config.encoder, config.decoder) if stack]
        layers, stack = " + ".join(str(stack.n_layers) for stack in stacks), stacks[-1]
        source = paper(name)
        cited = f"{source.authors} {source.year}" if source.authors else ""
        rows.append([name, count(config), layers, stack.d_model, stack.n_heads, cited])
    return out.table(["name", "parameters", "layers", "d_model", "heads", "paper"], rows)


def _one(name: str, config: "ModelConfig", batch: int, length: int, json: bool) -> None:
    from inlay.config import to_tree
    from inlay.model.budget import budget, parts
    from inlay.model.literal import literal

    model = config.build(device="meta")
    cost = budget(config, texts=batch, length=length)
    found = parts(model)
    total = sum(part.numbers for part in found)
    if json:
        return out.tree(
            {
                "name": name,
                "config": to_tree(config),
                "parameters": total,
                "parts": [{"name": part.name, "shape": list(part.shape), "count": part.count} for part in found],
                "memory": {"texts": batch, "length": length, **_bytes(cost)},
            }
        )
    for line in _source(name, config):
        out.line(line)
    out.line()
    out.line(literal(config))
    out.line()
    rows = [[part.name, " x ".join(map(str, part.shape)), part.count, part.numbers] for part in found]
    out.table(["part", "shape", "times", "parameters"], [*rows, ["all", "", "", total]])
    out.line()
    out.facts(
        {
            "weights": f"{cost.weights / _MB:,.0f} MB in float32",
            "training": f"{cost.training / _MB:,.0f} MB for {batch} texts of {length} tokens, with AdamW",
            "inference": f"{cost.inference / _MB:,.0f} MB for the same",
        }
    )
    return None


def _source(name: str, config: "ModelConfig") -> list[str]:
    found = _paper(name, config)
    if found is None:
        return [name]
    number = f", arXiv:{found.arxiv}" if found.arxiv else ""
    cited = f" {found.authors} {found.year}{number}." if found.authors else ""
    return [f"{name}: {found.title}.{cited}", found.changed, found.formula]


def _paper(name: str, config: "ModelConfig") -> "Paper | None":
    """That of a preset by its name, since families of checkpoints are fewer than papers; of a folder by its family."""
    from inlay.model.papers import PAPERS, paper
    from inlay.model.presets import PRESETS

    known = next((preset for preset, one in PRESETS.items() if one is config), None)
    return paper(known) if known else PAPERS.get(config.family)


def _compare(names: list[str], configs: list["ModelConfig"], json: bool) -> None:
    from inlay.model.budget import count
    from inlay.model.literal import differences

    rows: list[list[Any]] = [list(row) for row in differences(*configs)]
    counts = [count(config) for config in configs]
    if json:
        return out.tree(
            {
                "parameters": dict(zip(names, counts, strict=True)),
                "differences": [{"field": field, names[0]: one, names[1]: other} for field, one, other in rows],
            }
        )
    for name, config in zip(names, configs, strict=True):
        out.line(" ".join(_source(name, config)[:2]))
    out.line()
    if not rows:
        return out.line("no difference")
    out.table(["field", *names], [*rows, ["parameters", f"{counts[0]:,}", f"{counts[1]:,}"]])
    return None


def _bytes(cost: Any) -> dict[str, int]:
    return {"weights": cost.weights, "training": cost.training, "inference": cost.inference}
