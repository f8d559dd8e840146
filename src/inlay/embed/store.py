"""A corpus embedded into a file: streamed, one row per document in their order, resumed after any break.

Finished shards and their ledger lie in a hidden folder beside the output, which appears whole at the very end.
"""

# N documents, D dimensions

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from inlay.config import from_tree
from inlay.embed.embedder import Embedder, EncodeReport, total
from inlay.errors import InputError
from inlay.files import atomic_path, claim_output, disk_errors, fsync_folder, lock, read_json, sha256, write_json
from inlay.live import Live
from inlay.text.document import Document

SUFFIXES = (".npy", ".parquet", ".jsonl")

_SHARD_FLOATS = 1 << 22
"""A shard's vectors take 16 MB: what is held in memory, and the most that a break loses."""
_BATCH_CHARACTERS = 4_000_000
_PROBES = 64
"""Texts of each finished shard that are encoded again on resuming: another model cannot go on with this one's work."""
_ROUNDING = 1e-5
_LEDGER = "ledger.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shard:
    """A finished shard: its rows, the sums of its two files, of all input up to its end, and what was encoded."""

    rows: int
    ids: str
    vectors: str
    input: str
    report: EncodeReport


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ledger:
    """What is finished, and for what it holds."""

    format: str = "inlay-embed-1"
    dim: int
    shard_rows: int
    shards: tuple[_Shard, ...] = ()


def embed_file(
    embedder: Embedder,
    corpus: Iterable[Document],
    out: str | Path,
    *,
    batch_size: int = 1024,
    dim: int | None = None,
    prompt: str | None = None,
    on_drop: Literal["report", "error"] = "report",
    exact: bool = False,
    resume: bool = False,
    force: bool = False,
) -> EncodeReport:
    """Write one row per document, in order: id and vector to .parquet and .jsonl; vectors alone to .npy, whose ids
    go to `NAME.ids.jsonl` beside it, a JSON string a line. Returns what became of the texts.

    `dim`, `prompt`, `on_drop` and `exact` are those of `encode`; a static model drops nothing and is always exact.
    `resume` goes on after the last finished shard of an earlier run, once it is certain that input and model are the
    same; with the same batch size the result is the same, byte for byte. `force` replaces `out` and drops an unfinished
    run. Memory is one shard and one batch. Raises InputError for another suffix, an output that exists, an unfinished
    run (without `resume` or `force`), a changed input or model, a vector that is not finite, a text that does not fit
    (with `on_drop="error"`), a full disk, and what the corpus finds wrong.
    """
    encoder = _Encoder(embedder, batch_size=batch_size, dim=dim, prompt=prompt, on_drop=on_drop, exact=exact)
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise InputError(f"{out}: the suffix must be one of {', '.join(SUFFIXES)}, which names the format")
    parts = out.with_name(f".{out.name}.parts")
    with _kept(parts, out):
        finished = _finished(parts)
        if finished and not resume and not force:
            rows = sum(shard.rows for shard in finished.shards)
            raise InputError(
                f"{out}: a run that broke off after {rows:,} rows is kept in {parts}; "
                "go on with --resume, or give --force to start anew"
            )
        if not finished or not resume:
            for path in (out, *_beside(out)):
                _claim(path, force)
            (parts / _LEDGER).unlink(missing_ok=True)
            finished = _Ledger(dim=encoder.dim, shard_rows=max(_SHARD_FLOATS // encoder.dim, 256))
        ledger = _encode(encoder, corpus, parts, finished)
        _assemble(parts, ledger, out)
    return total(shard.report for shard in ledger.shards)


class _Encoder:
    """An embedder with what is asked of it."""

    def __init__(self, embedder: Embedder, *, batch_size: int, dim: int | None, **asked: Any) -> None:
        from inlay.embed.context import ContextEmbedder

        self._embedder = embedder
        self.dim, self.batch_size = embedder.dim if dim is None else dim, batch_size
        self._asked: dict[str, Any] = {"batch_size": batch_size}
        self._asked |= {} if dim is None else {"dim": dim}
        self._asked |= asked if isinstance(embedder, ContextEmbedder) else {}
        self._asked |= {} if asked["prompt"] is None else {"prompt": asked["prompt"]}
        if len(self._asked) > 1:
            embedder.encode([], **self._asked)  # what cannot be asked is said before anything is read

    def __call__(self, documents: Sequence[Document]) -> tuple[NDArray[np.float32], EncodeReport]:
        """The documents' vectors (n, D), and what became of their tokens."""
        try:
            vectors, report = self._embedder.encode([one.full for one in documents], **self._asked, report=True)
        except InputError:
            self._name(documents)
            raise
        if not np.isfinite(vectors).all():
            row = int((~np.isfinite(vectors).all(axis=1)).argmax())
            raise InputError(
                f"document {documents[row].id!r}: its vector is not finite (NaN or infinity); mend the model"
            )
        return np.ascontiguousarray(vectors, "<f4"), report

    def _name(self, documents: Sequence[Document]) -> None:
        """InputError with the document's id, where one of them alone is refused; the longest is asked first."""
        if self._asked.get("on_drop") != "error":
            return
        for document in sorted(documents, key=lambda one: -len(one.full)):
            try:
                self._embedder.encode([document.full], **self._asked)
            except InputError as error:
                said = str(error)
                said = said.removeprefix("text 0") if said.startswith("text 0 has") else f": {said}"
                raise InputError(f"document {document.id!r}{said}") from None


def _encode(encoder: _Encoder, corpus: Iterable[Document], parts: Path, ledger: _Ledger) -> _Ledger:
    """Write the shards that the ledger lacks, each entered in it when it is safe on disk."""
    digest = hashlib.sha256()
    documents = iter(corpus)
    with Live("embed", unit="texts") as live:
        for number, shard in enumerate(ledger.shards):
            _check_files(parts, number, shard)
            _skip(encoder, documents, digest, parts, ledger, number)
            live.advance(shard.rows, note="done before")
        while True:
            ids, vectors, report = _rows(encoder, documents, digest, ledger.shard_rows, live)
            if not ids:
                return ledger
            if ledger.shards and ledger.shards[-1].rows < ledger.shard_rows:
                raise _changed("the input has more documents than it had")
            number = len(ledger.shards)
            names, floats = _files(parts, number)
            _write(names, ["".join(json.dumps(id) + "\n" for id in ids).encode("ascii")])
            _write(floats, (block.tobytes() for block in vectors))
            fsync_folder(parts)
            shard = _Shard(
                rows=len(ids), ids=sha256(names), vectors=sha256(floats), input=digest.hexdigest(), report=report
            )
            ledger = _Ledger(dim=ledger.dim, shard_rows=ledger.shard_rows, shards=(*ledger.shards, shard))
            write_json(parts / _LEDGER, asdict(ledger))


def _rows(
    encoder: _Encoder, documents: Iterator[Document], digest: Any, limit: int, live: Live
) -> tuple[list[str], list[NDArray[np.float32]], EncodeReport]:
    """The ids, the vectors in blocks (n, D) and the report of the next `limit` documents, or of what is left."""
    ids: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    reports: list[EncodeReport] = []
    for batch in _batches(islice(documents, limit), encoder.batch_size):
        vectors, report = encoder(batch)
        for document in batch:
            _feed(digest, document)
        ids += [document.id for document in batch]
        blocks.append(vectors)
        reports.append(report)
        live.advance(len(batch), note="")
    return ids, blocks, total(reports)


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """The documents in lists of at most `size`, ended early where their texts are long."""
    batch: list[Document] = []
    held = 0
    for document in documents:
        batch.append(document)
        held += len(document.text)
        if len(batch) >= size or held >= _BATCH_CHARACTERS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _feed(digest: Any, document: Document) -> None:
    for text in (document.id, document.full):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)


def _skip(
    encoder: _Encoder, documents: Iterator[Document], digest: Any, parts: Path, ledger: _Ledger, number: int
) -> None:
    """Read past the documents of a finished shard, holding them and the model against what it was made from."""
    shard = ledger.shards[number]
    probes: list[Document] = []
    read = held = 0
    for document in islice(documents, shard.rows):
        _feed(digest, document)
        if len(probes) < _PROBES and held < _BATCH_CHARACTERS:
            probes.append(document)
            held += len(document.text)
        read += 1
    if read < shard.rows:
        raise _changed("the input has fewer documents than it had")
    if digest.hexdigest() != shard.input:
        raise _changed(
            f"the input changed within its first {sum(s.rows for s in ledger.shards[: number + 1]):,} documents"
        )
    if encoder.dim != ledger.dim:
        raise _changed(f"vectors have {encoder.dim} dimensions now, and had {ledger.dim}")
    before = np.fromfile(_files(parts, number)[1], "<f4", len(probes) * ledger.dim).reshape(-1, ledger.dim)
    # In other company an encoder may round otherwise; another model, or another prompt, is far from that.
    room = _ROUNDING * max(1.0, float(np.abs(before).max(initial=0)))
    if not np.allclose(encoder(probes)[0], before, rtol=0, atol=room):
        raise _changed("the model gives other vectors than it gave")


def _changed(what: str) -> InputError:
    return InputError(f"cannot resume: {what} when the run broke off; give back what it was, or --force to start anew")


def _assemble(parts: Path, ledger: _Ledger, out: Path) -> None:
    """Write the output from the shards, streaming; the vectors appear last."""
    for path in _beside(out):
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            for number in range(len(ledger.shards)):
                with open(_files(parts, number)[0], "rb") as ids:
                    shutil.copyfileobj(ids, file)
    write = {".npy": _write_npy, ".parquet": _write_parquet, ".jsonl": _write_jsonl}[out.suffix]
    with atomic_path(out) as temporary, open(temporary, "wb") as file, Live(f"write {out.name}", unit="rows") as live:
        write(parts, ledger, file, live)


def _write_npy(parts: Path, ledger: _Ledger, file: IO[bytes], live: Live) -> None:
    shape = (sum(shard.rows for shard in ledger.shards), ledger.dim)
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for number, shard in enumerate(ledger.shards):
        with open(_files(parts, number)[1], "rb") as vectors:
            shutil.copyfileobj(vectors, file)
        live.advance(shard.rows)


def _write_parquet(parts: Path, ledger: _Ledger, file: IO[bytes], live: Live) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32(), ledger.dim))])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for ids, vectors in _stored(parts, ledger):
            columns = [pa.array(ids, pa.string()), pa.FixedSizeListArray.from_arrays(vectors.ravel(), ledger.dim)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(ids))
            live.advance(len(ids))


def _write_jsonl(parts: Path, ledger: _Ledger, file: IO[bytes], live: Live) -> None:
    numbers = ", ".join(["%.9g"] * ledger.dim)  # nine digits bring back the same float
    for ids, vectors in _stored(parts, ledger):
        for id, row in zip(ids, vectors, strict=True):
            line = f'{{"id": {json.dumps(id, ensure_ascii=False)}, "vector": [{numbers % tuple(row.tolist())}]}}\n'
            file.write(line.encode())
        live.advance(len(ids))


def _stored(parts: Path, ledger: _Ledger) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Ids and vectors (n, D) of each shard."""
    for number in range(len(ledger.shards)):
        names, floats = _files(parts, number)
        ids = [json.loads(line) for line in names.read_text("ascii").splitlines()]
        yield ids, np.fromfile(floats, "<f4").reshape(len(ids), ledger.dim)


def _claim(path: Path, force: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file to write")
    claim_output(path, force=force)


def _files(parts: Path, number: int) -> tuple[Path, Path]:
    return parts / f"{number:06}.ids.jsonl", parts / f"{number:06}.f32"


def _beside(out: Path) -> list[Path]:
    """What is written beside the output: the ids, where the format has no room for them."""
    return [out.with_suffix(".ids.jsonl")] if out.suffix == ".npy" else []


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _check_files(parts: Path, number: int, shard: _Shard) -> None:
    for path, digest in zip(_files(parts, number), (shard.ids, shard.vectors), strict=True):
        if not path.is_file() or sha256(path) != digest:
            raise InputError(f"{path}: missing or changed since it was written; --force starts anew")


def _finished(parts: Path) -> _Ledger | None:
    """The ledger of an earlier run that has a finished shard."""
    if not (parts / _LEDGER).is_file():
        return None
    try:
        ledger = from_tree(_Ledger, read_json(parts / _LEDGER))
    except InputError as error:
        raise InputError(f"{error}; remove {parts} to start anew") from None
    return ledger if ledger.shards else None


@contextlib.contextmanager
def _kept(parts: Path, out: Path) -> Iterator[None]:
    """Hold the folder of parts for one writer; it goes when the work is done, or when it broke before any was."""
    with disk_errors(out), lock(parts):
        try:
            yield
        except BaseException:
            if not _finished(parts):
                shutil.rmtree(parts, ignore_errors=True)
            raise
        shutil.rmtree(parts)
