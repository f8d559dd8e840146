"""`inlay static`: an encoder in, a table of its tokens' vectors out, that needs no encoder any more."""

from pathlib import Path
from typing import Annotated

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Seed, reads_corpus
from inlay.errors import InputError
from inlay.text.document import CorpusConfig


@reads_corpus
def static(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", show_default=False, help="An encoder's folder, or a name on the hub.")
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="The folder to write.")],
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", show_default=False, help="Your text: how often words stand in it. Repeatable."),
    ] = None,
    dim: Annotated[
        int | None, typer.Option(metavar="N", min=1, show_default="256", help="Dimensions that are kept.")
    ] = None,
    words: Annotated[
        int, typer.Option(metavar="N", min=0, help="Make the most frequent words of your text whole tokens.")
    ] = 0,
    tuned: Annotated[bool, typer.Option("--tune", help="Tune the table on pairs mined from your text.")] = False,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Make a static model of an encoder.

    The encoder reads each token alone; the strongest dimensions are kept, and common tokens held back. What comes out
    encodes thousands of texts a second, and model2vec and sentence-transformers read it too. Where you have text of
    your own, `inlay fit SOURCE --base DIR` makes and measures a table that is fitted to it.

    Examples:
    inlay static sentence-transformers/all-MiniLM-L6-v2 --out fast
    inlay static minilm --on articles.jsonl --words 5000 --tune --out fast
    """
    import numpy as np

    from inlay.embed.context import ContextEmbedder
    from inlay.embed.distilled import Distil, distil_static
    from inlay.embed.embedder import load
    from inlay.embed.tune import Tune
    from inlay.files import atomic_folder, claim_output, write_checksums
    from inlay.text.corpus import Corpus
    from inlay.text.pairs import mine_all

    if not on and (words or tuned):
        raise InputError(f"{'--tune' if tuned else '--words'} needs your text; give it with --on SOURCE")
    claim_output(out, force=force, whole=True)
    encoder = load(folder)
    if not isinstance(encoder, ContextEmbedder):
        raise InputError(f"{folder}: is no encoder ({encoder!r}); a static model is made of one")
    documents = [document for document in Corpus(*(on or ()), config=corpus) if document.text] if on else []
    settings = Tune()
    rng = np.random.default_rng([seed, 4])
    limit = settings.steps * settings.batch
    made = distil_static(
        encoder,
        Distil(dim=dim, tune=settings if tuned else None, seed=seed),
        words=_frequent([document.full for document in documents], words),
        texts=[document.full for document in documents],
        pairs=mine_all(documents, range(len(documents)), rng, limit=limit) if tuned else (),
    )
    with atomic_folder(out) as part:
        made.save(part)
        write_checksums(part)
    megabytes = (out / "model.safetensors").stat().st_size / 1e6
    if json:
        show.tree({"out": str(out), "tokens": len(made.table), "dim": made.dim, "megabytes": megabytes})
    else:
        show.line(f"{len(made.table):,} tokens of {made.dim} dimensions in {out}, {megabytes:,.1f} MB")


def _frequent(texts: list[str], most: int) -> list[str]:
    """The most frequent words of the texts, each at least twice there."""
    from collections import Counter

    from inlay.text.words import language, segmenter

    if not most:
        return []
    segment = segmenter(language(texts))
    counts = Counter(word for text in texts for word in segment(text))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, count in ranked[:most] if count > 1]
