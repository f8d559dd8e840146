"""Documents to token shards on disk: streamed, shard by shard whole or not at all, gone on with where a run was killed.

What a shard holds is decided by the source, the tokenizer and the settings alone: a run that was killed and given again
leaves the same bytes as one that was not. `shardfile` says what lies where.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from inlay.config import from_tree, to_tree
from inlay.errors import InputError, did_you_mean
from inlay.files import CHECKSUMS, atomic_folder, atomic_path, claim_output, lock, read_json, sha256, write_json
from inlay.live import Live, say
from inlay.stages import Run, clear
from inlay.text.blocks import Block, blocks, border, read
from inlay.text.corpus import Corpus, Part
from inlay.text.marks import marker
from inlay.text.shardfile import (
    COUNTS,
    FORMAT,
    PARTS,
    RUN,
    SHARDS,
    SPLITS,
    TOKENIZER,
    Amount,
    Documents,
    Facts,
    Shards,
    Stored,
    begun,
    entropy,
    files_of,
    vocabulary_hash,
)
from inlay.text.words import LANGUAGES, language
from inlay.text.workers import KEPT, Cutting, shareable, shared

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

_STATE = "shard.json"


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """How text becomes token shards."""

    words: bool = False
    """Keep where words begin, for whole-word masks; Chinese words are the segmenter's."""
    sentences: bool = False
    """Keep where sentences begin; each is tokenized by itself. BERT's and ALBERT's pairs need it."""
    lang: str = "auto"
    """The language whose words are marked; auto looks at the first documents."""
    held_out: float = 0.01
    """The share of documents that are not learnt from; chosen by their text, so that equal ones stay together."""
    seed: int = 0
    """Another seed holds out other documents."""
    shard_tokens: int = 1 << 26
    """Tokens of a shard, after which it ends with the document; what a run that is killed may lose."""

    def __post_init__(self) -> None:
        if self.lang not in (known := ("auto", *LANGUAGES, "chars")):
            raise InputError(f"language {self.lang!r} is not known{did_you_mean(self.lang, known)}")
        if self.lang != "auto" and not self.words:
            raise InputError(f"lang={self.lang!r} says how words are marked, and none are; add --words (words=True)")
        if self.seed < 0:
            raise InputError(f"seed={self.seed} must be at least 0")
        if not 0 <= self.held_out < 1:
            raise InputError(f"held_out={self.held_out:g} must be a share, from 0 to below 1; the default is 0.01")
        if not 1 <= self.shard_tokens <= 1 << 31:
            raise InputError(f"shard_tokens={self.shard_tokens} must be 1 to {1 << 31}; the default is {1 << 26}")


@dataclass(frozen=True, kw_only=True)
class _State:
    """A finished shard, and where the source goes on after it."""

    stored: Stored
    below: str
    """The key below which documents are held out; of 64 bits, which not every reader of JSON takes as a number."""
    part: int
    number: int
    without_tokens: int
    sums: dict[str, str]


_DEFAULT = ShardsConfig()


def write_shards(
    corpus: Corpus,
    tokenizer: "Tokenizer",
    out: str | Path,
    config: ShardsConfig = _DEFAULT,
    *,
    force: bool = False,
    workers: int = 1,
) -> Shards:
    """The corpus as token shards in `out`; what an earlier run of the same settings finished is kept, or all of it.

    One pass over the text, of which a few megabytes are in memory. More `workers` share its files among processes, and
    leave the same bytes; on two cores they gain nothing, since the tokenizer takes both with one alone. Raises
    InputError for a folder of other settings, unless `force` makes it anew; where there is no text; and where one of
    the two splits would be empty.
    """
    out = Path(out)
    if workers < 1:
        raise InputError(f"workers={workers} must be at least 1")
    if workers > 1:
        shareable(corpus)
    new, ours = not out.exists(), begun(out)
    if out.is_file():
        raise InputError(f"{out} is a file, and shards are a folder; give another --out")
    if not ours and out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir()):
        raise InputError(f"{out} is a folder that is not empty and holds no shards; give another --out")
    claim_output(out, force=True)  # hidden entries are a run's own, killed before it began
    begins = force or not ours
    with lock(out):
        try:
            if ours and force:
                clear(out)
            if config.words and config.lang == "auto":
                config = replace(config, lang=language(corpus.texts()))
            Run(out, _identity(corpus, tokenizer, config), resume=True)
            if (out / CHECKSUMS).is_file():
                say(f"{'shards':<24}  done before")
            else:
                tokenizer.save(out / TOKENIZER)
                _write(corpus, tokenizer, out, config, workers)
        except BaseException:
            if begins and not any((out / PARTS).glob("[!.]*")):  # nothing is finished that could be gone on from
                clear(out)
                if new:
                    shutil.rmtree(out, ignore_errors=True)
            raise
    return Shards.open(out, tokenizer)


def _identity(corpus: Corpus, tokenizer: "Tokenizer", config: ShardsConfig) -> dict[str, Any]:
    """What must be equal for shards to be gone on with."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        cut = sha256(Path(folder) / "tokenizer.json")
    parts = list(corpus.parts())
    source = hashlib.sha256("\n".join(map(_mark, parts)).encode("utf-8", "surrogateescape")).hexdigest()
    return {
        "format": FORMAT,
        "tokenizer": cut,
        "config": to_tree(config),
        "corpus": to_tree(corpus.config),
        "source": {"parts": len(parts), "names, sizes and dates": source},
    }


def _mark(part: Part) -> str:
    """What changes with the text of a part: size and date of a file, and of what is none its content."""
    from inlay.text import data

    if part.size is not None:
        return f"{part.name} {part.size} {Path(part.name).stat().st_mtime_ns}"
    if part.name in data.NAMES:
        return part.name  # pinned by its sha256
    digest = hashlib.sha256()
    for document in part.read():
        digest.update(f"{len(document.full)} {document.full}".encode("utf-8", "replace"))
    return f"{part.name} {digest.hexdigest()}"


def _write(corpus: Corpus, tokenizer: "Tokenizer", out: Path, config: ShardsConfig, workers: int) -> None:
    states = _finished(out, tokenizer, config)
    last = states[-1] if states else None
    begin = (last.part, last.number) if last else (0, 0)
    documents = read(corpus, config.seed, *begin)
    below, documents = (int(last.below, 16), documents) if last else border(documents, config.held_out)
    lang, sentences = config.lang if config.words else None, config.sentences
    if workers == 1:
        mark = marker(tokenizer, lang)
        stream = blocks(documents, mark, below, sentences=sentences, spaced=tokenizer.writing.bytes)
    else:
        cutting = Cutting(
            tokenizer=out / TOKENIZER,
            lang=lang,
            sentences=sentences,
            below=below,
            seed=config.seed,
            corpus=corpus.config,
        )
        stream = shared(corpus, cutting, workers, out, *begin)
    with closing(stream), Live("shards", unit="tokens") as live:
        waiting = next(stream, None)
        while waiting is not None:
            name = f"{len(states):05d}"
            with atomic_folder(out / PARTS / name) as folder, _Shard(folder, tokenizer.size, config) as shard:
                waiting = shard.fill(waiting, stream, live)
                state = _State(
                    stored=Stored(name=name, train=shard.amounts["train"], heldout=shard.amounts["heldout"]),
                    below=f"{below:x}",
                    part=shard.place[0],
                    number=shard.place[1],
                    without_tokens=shard.without_tokens,
                    sums={f"{PARTS}/{name}/{file}": digest for file, digest in shard.finish().items()},
                )
                write_json(folder / _STATE, to_tree(state))
            states.append(state)
            live.advance(0, f"{len(states)} shards")
    _finish(out, tokenizer, config, states)


def _finished(out: Path, tokenizer: "Tokenizer", config: ShardsConfig) -> list[_State]:
    """The shards that an earlier run left whole, in order; what it left half done is removed."""
    (out / PARTS).mkdir(exist_ok=True)
    for half in (*(out / PARTS).glob(".*.part"), *out.glob(f"{KEPT}*")):
        shutil.rmtree(half, ignore_errors=True)
    states: list[_State] = []
    while (place := out / PARTS / f"{len(states):05d}").is_dir():
        state = from_tree(_State, read_json(place / _STATE), str(place / _STATE))
        for file, digest in state.sums.items():
            if not (out / file).is_file() or sha256(out / file) != digest:
                raise InputError(f"{out / file}: gone or changed since it was written; make the shards anew: --force")
        states.append(state)
    return states


class _Shard:
    """A shard that is being written: its files are open, their sums run along."""

    def __init__(self, folder: Path, size: int, config: ShardsConfig) -> None:
        self._itemsize, self._config = itemsize(size), config
        self._flagged = config.words or config.sentences
        self._stack = ExitStack()
        names = [name for split in SPLITS for name in files_of(self._flagged, Amount(), split, 1)]
        self._files: dict[str, BinaryIO] = {
            name: self._stack.enter_context((folder / name).open("wb")) for name in names
        }
        self._sums = {name: hashlib.sha256() for name in names}
        self.amounts = dict.fromkeys(SPLITS, Amount())
        self.without_tokens = 0
        self.place = (0, 0)
        """The part and number of its last document."""

    def __enter__(self) -> "_Shard":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def fill(self, block: Block, stream: Iterator[Block], live: Live) -> Block | None:
        """Write `block` and what follows until the shard is full; the rest of the last block, None at the end."""
        following: Block | None = block
        while following is not None:
            room = self._config.shard_tokens - sum(amount.tokens for amount in self.amounts.values())
            whole = int(np.searchsorted(np.cumsum(following.lengths), room)) + 1  # with the one that makes it full
            first, rest = following.split(whole)
            self._add(first)
            live.advance(len(first.ids))
            if len(rest.lengths):
                return rest
            following = next(stream, None)
            if whole == len(first.lengths):  # it is full, and the block ended with it
                break
        return following

    def finish(self) -> dict[str, str]:
        """Close the files; their sha256."""
        self._stack.close()
        return {name: digest.hexdigest() for name, digest in self._sums.items()}

    def _add(self, block: Block) -> None:
        self.place = (int(block.places[-1, 0]), int(block.places[-1, 1]))
        filled = block.lengths > 0
        self.without_tokens += int((~filled).sum())
        of = np.repeat(block.held, block.lengths)
        for split, chosen, tokens in (
            ("train", filled & ~block.held, ~of),
            ("heldout", filled & block.held, of),
        ):
            before = self.amounts[split]
            ends = before.tokens + np.cumsum(block.lengths[chosen])
            self.amounts[split] = before + Amount(
                documents=int(chosen.sum()),
                tokens=int(tokens.sum()),
                characters=int(block.characters[chosen].sum()),
                bytes=int(block.bytes[chosen].sum()),
            )
            self._put(f"{split}.tokens", block.ids[tokens].astype(f"<u{self._itemsize}"))
            self._put(f"{split}.ends", ends.astype("<u8"))
            if self._flagged:
                self._put(f"{split}.flags", block.flags[tokens])

    def _put(self, name: str, array: NDArray[Any]) -> None:
        raw = np.ascontiguousarray(array).view(np.uint8).data
        self._files[name].write(raw)
        self._sums[name].update(raw)


def itemsize(size: int) -> int:
    """Bytes of a token id in a vocabulary of that many."""
    return 2 if size <= 1 << 16 else 4


def _finish(out: Path, tokenizer: "Tokenizer", config: ShardsConfig, states: list[_State]) -> None:
    """Write counts.bin, shards.json and, last of all, checksums.json."""
    amounts = {split: sum((getattr(state.stored, split) for state in states), Amount()) for split in SPLITS}
    _check_sides(states, amounts, config)
    facts = Facts(
        format=FORMAT,
        dtype="uint16" if itemsize(tokenizer.size) == 2 else "uint32",
        vocabulary=vocabulary_hash(tokenizer),
        size=tokenizer.size,
        words=config.words,
        sentences=config.sentences,
        lang=config.lang if config.words else "",
        held_out=config.held_out,
        seed=config.seed,
        train=amounts["train"],
        heldout=amounts["heldout"],
        without_tokens=sum(state.without_tokens for state in states),
        entropy=0.0,
        shards=tuple(state.stored for state in states),
    )
    counts = Documents(out, facts, "train").counts()
    with atomic_path(out / COUNTS) as temporary:
        counts.astype("<u8").tofile(temporary)
    write_json(out / SHARDS, to_tree(replace(facts, entropy=entropy(counts))))
    sums = {name: digest for state in states for name, digest in state.sums.items()}
    others = [out / RUN, out / SHARDS, out / COUNTS, *(out / TOKENIZER).iterdir()]
    others += [out / PARTS / state.stored.name / _STATE for state in states]
    sums |= {file.relative_to(out).as_posix(): sha256(file) for file in others}
    write_json(out / CHECKSUMS, dict(sorted(sums.items())))


def _check_sides(states: list[_State], amounts: dict[str, Amount], config: ShardsConfig) -> None:
    empty = sum(state.without_tokens for state in states)
    if not amounts["train"].documents:
        raise InputError(f"the source has no token to learn from, in {empty:,} documents; check it")
    if config.held_out and not amounts["heldout"].documents:
        raise InputError(
            f"no document with a token is held out, of {amounts['train'].documents:,}; "
            "raise --held-out, take another --seed, or hold nothing out with --held-out 0"
        )
