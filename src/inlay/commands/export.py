"""`inlay export DIR --onnx FILE`: a model for other runtimes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json


def export(
    folder: Annotated[str, typer.Argument(metavar="DIR", show_default=False, help="The folder of an encoder.")],
    *,
    onnx: Annotated[Path, typer.Option(metavar="FILE.onnx", show_default=False, help="The file to write.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Write an encoder as ONNX.

    The graph is inlay's own: token ids and attention mask go in, of any number and length, and what comes out is
    token_embeddings and sentence_embedding, pooled and brought to length 1 as the folder says. Padding changes nothing.
    It is written only when the checker of onnx has passed it and, where onnxruntime is installed, its numbers are those
    of the model to 1e-5. The tokenizer is DIR/tokenizer.json; prompts go before the text.

    Examples:
    inlay export model --onnx model.onnx
    inlay export sentence-transformers/all-MiniLM-L6-v2 --onnx minilm.onnx --json
    """
    from inlay.embed.export import export_onnx

    told = export_onnx(folder, onnx, force=force)
    if json:
        show.tree({**asdict(told), "file": str(told.file)})
        return
    checked = "not compared: onnxruntime is missing" if told.difference is None else f"{told.difference:.1e}"
    show.facts(
        {
            "file": told.file,
            "MB": f"{told.megabytes:.2f}",
            "opset": told.opset,
            "inputs": ", ".join(told.inputs),
            "outputs": ", ".join(told.outputs),
            "dimensions": told.dim,
            "most tokens": told.max_length,
            "largest difference": checked,
        }
    )
