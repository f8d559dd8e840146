"""`inlay evaluate lm`: how well a language model tells a text."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Json, reads_corpus
from inlay.errors import InputError
from inlay.live import say
from inlay.text.document import CorpusConfig


@reads_corpus
def lm(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR", show_default=False, help="A model's folder, a run's folder, or a name on the hub."
        ),
    ],
    *,
    on: Annotated[
        list[str],
        typer.Option(
            metavar="SOURCE", show_default=False, help="The text: a file, a folder, a data set's name. Repeatable."
        ),
    ],
    length: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default="the run's; else the model's, to 1024, or 256 if masked",
            help="Tokens of a window.",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="half of it", help="Tokens that count in a window of a long document."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", min=1, show_default="all", help="Measure the first N tokens alone.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto takes a GPU where there is one.")
    ] = "auto",
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Measure how well a language model tells a text.

    Prints the perplexity, exp of the mean loss per token, and the bits per byte, by which models with different
    tokenizers compare. Of a masked model it is the pseudo-perplexity: each token is hidden in turn, and the time grows
    with the window. A long document is read in windows that overlap: every token counts once, and is told from length -
    stride others of its document at least, but near its beginning (a masked model: near both ends).

    Examples:
    inlay evaluate lm runs/gpt2/model --on heldout.txt
    inlay evaluate lm bert --on reviews.jsonl --max-tokens 20000 --json
    """
    import torch

    from inlay.convert import load_pair
    from inlay.evaluate.language import evaluate
    from inlay.text.corpus import Corpus

    texts = Corpus(*on, config=corpus).texts()
    place = model_of(folder)
    model, tokenizer = load_pair(place)
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda, but torch finds no GPU; take --device cpu")
    model.to("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    score = evaluate(
        model, tokenizer, texts, length=_trained(place) if length is None else length, stride=stride, most=max_tokens
    )
    if score.unknown:
        say(f"note: {score.unknown:,} of {score.tokens:,} tokens are unknown: what they stand for is not measured")
    if json:
        show.tree(score.tree())
        return
    name = "perplexity" if score.kind == "causal" else "pseudo-perplexity"
    show.facts(
        {
            name: f"{score.perplexity:,.2f}" if score.perplexity < 1e6 else f"{score.perplexity:.3g}",
            "bits per byte": f"{score.bits_per_byte:.4f}",
            "loss": f"{score.loss:.4f} nats per token",
            "text": f"{score.documents:,} documents, {score.tokens:,} tokens, {score.bytes:,} bytes",
            "unknown": f"{score.unknown:,} tokens ({score.unknown / score.tokens:.2%})",
            "exact": f"{score.exact:,} of {score.documents:,} documents come back from their tokens as they were",
            "windows": f"{score.length:,} tokens, of which {score.stride:,} count in a long document",
        }
    )


def model_of(folder: str) -> str:
    """The model in a run's folder; other names as they are."""
    path = Path(folder)
    inside = path / "model"
    return str(inside) if not (path / "config.json").is_file() and (inside / "config.json").is_file() else folder


def _trained(model: str) -> int | None:
    """Tokens of the texts that a run trained its model on: it may have places for more, of which it knows nothing."""
    from inlay.config import load_yaml

    recipe = Path(model).parent / "config.yaml"
    if not Path(model).is_dir() or not recipe.is_file():
        return None
    found: Any = load_yaml(dict[str, Any], recipe)
    for key in ("data", "packing", "length"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, int) else None
