"""`inlay shards`: text to token shards, which pretraining reads."""

import time
from pathlib import Path
from typing import Annotated

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Lang, Seed, Sources, reads_corpus, resumable
from inlay.text.document import CorpusConfig


@reads_corpus
def shards(
    sources: Sources,
    *,
    tokenizer: Annotated[
        Path, typer.Option(metavar="DIR", show_default=False, help="A tokenizer or model folder, or a tokenizer.json.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="Folder of the shards.")],
    sentences: Annotated[
        bool, typer.Option("--sentences", help="Keep where sentences begin; BERT's and ALBERT's pairs need it.")
    ] = False,
    words: Annotated[
        bool, typer.Option("--words", help="Keep where words begin, for whole-word masks of Chinese words.")
    ] = False,
    lang: Lang = "auto",
    held_out: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of documents that are not learnt from, but measured on.")
    ] = 0.01,
    seed: Seed = 0,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Processes that share the files; for many cores, since two are busy anyway."
        ),
    ] = 1,
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Cut text into token ids once, and keep them on disk.

    The text may be larger than memory. Equal documents are all learnt from or all held out. A command that broke off
    goes on where it was when it is given again, and ends with the same bytes.

    Examples:
    inlay shards docs/ --tokenizer tokenizer --out shards
    inlay shards fudan-zh-test --tokenizer tokenizer --out shards --sentences --words --lang zh
    """
    from inlay.files import CHECKSUMS
    from inlay.text.corpus import Corpus
    from inlay.text.shards import ShardsConfig, write_shards
    from inlay.tokenize.tokenizer import Tokenizer

    config = ShardsConfig(words=words, sentences=sentences, lang=lang, held_out=held_out, seed=seed)
    begin, before = time.monotonic(), (out / CHECKSUMS).is_file() and not force
    with resumable("give the same command again to go on; the running shard alone is lost"):
        cutter = Tokenizer.load(tokenizer)
        made = write_shards(Corpus(*sources, config=corpus), cutter, out, config, force=force, workers=workers)
    facts, seconds = made.facts, time.monotonic() - begin
    counts = made.counts()
    unknown = made.tokenizer.roles.get("unk")
    tree = {
        "out": str(out),
        "shards": len(facts.shards),
        "train": vars(facts.train),
        "heldout": vars(facts.heldout),
        "without_tokens": facts.without_tokens,
        "unknown": float(counts[made.tokenizer.id(unknown)] / counts.sum()) if unknown else 0.0,
        "entropy": facts.entropy,
        "seconds": round(seconds, 3),
        "tokens_per_s": None if before else round((facts.train.tokens + facts.heldout.tokens) / seconds),
    }
    if json:
        show.tree(tree)
        return
    rows = [
        (name, f"{part.documents:,}", f"{part.tokens:,}", f"{part.characters:,}", f"{part.bytes:,}")
        for name, part in (("train", facts.train), ("held out", facts.heldout))
    ]
    show.table(("", "documents", "tokens", "characters", "bytes"), rows)
    show.line()
    if not before:
        show.line(f"{tree['tokens_per_s']:,} tokens/s, {seconds:.1f} s")
    show.line(f"unigram entropy {facts.entropy:.3f} nats a token")
    if facts.without_tokens:
        show.line(f"{facts.without_tokens:,} documents have no token, and are in no shard")
    if tree["unknown"]:
        show.line(f"{tree['unknown']:.2%} of the training tokens are {unknown}, unknown to the tokenizer")
    show.line(f"{len(facts.shards):,} shards in {out}")
