"""fastText's model files, .bin and .ftz: word vectors and text classifiers, read and written byte for byte.

Whatever a file claims is held against its size before memory is taken for it. Matrices are mapped, not read.
"""

import math
import mmap
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.files import atomic_path, claim_output
from inlay.vectors.fasttext_model import Args, FastTextFile, Loss, Model, check
from inlay.vectors.product import CENTROIDS, Quantized

if TYPE_CHECKING:
    from inlay.vectors.wordvectors import WordVectors

# V words, L labels, B buckets of n-grams, D dimensions

_MAGIC, _VERSION = 793712314, 12
_ARGS, _SIZES, _DENSE, _QUANTIZED, _PARTS = "<12id", "<3i2q", "<2q", "<2qi", "<4i"
_ENTRY = np.dtype([("end", "u1"), ("count", "<i8"), ("kind", "u1")])
NOTE = b"\ninlay segmenter "
_ROWS = 1 << 14


def is_fasttext(beginning: bytes) -> bool:
    """Whether a file that begins so is a fastText model."""
    return beginning[:4] == _MAGIC.to_bytes(4, "little")


def read(path: str | Path) -> FastTextFile:
    """The model in a .bin or .ftz file of version 11 or 12.

    Raises InputError, naming the byte or the entry, for a file that is cut, promises more than it holds, or has
    settings, counts, words or numbers that cannot be.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder; name the file in it' if path.is_dir() else 'no such fastText model'}")
    if path.stat().st_size < 8:
        raise InputError(f"{path}: {path.stat().st_size} bytes are no fastText model")
    with open(path, "rb") as file:
        at = _Reader(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    magic, version = at.take("<2i", "the mark of fastText")
    if magic != _MAGIC:
        raise InputError(f"{path}: does not begin with the mark of a fastText model")
    if version not in (11, 12):
        raise InputError(f"{path}: version {version} of fastText's format is not known; 11 and 12 are")
    args = _args(at, version)
    words, labels, counts, tokens, n_pruned = _dictionary(at)
    pruned = at.array("<i4", (n_pruned, 2), "the pruned n-grams") if n_pruned >= 0 else None
    quantized = at.flag("whether the input is quantised")
    inputs = _quantized(at, "input") if quantized else _dense(at, "input")
    outputs_too = at.flag("whether the output is quantised")
    if outputs_too and not quantized:
        raise at.error("a quantised output beside an input that is not")
    outputs = _quantized(at, "output") if outputs_too else _dense(at, "output")
    model = FastTextFile(
        args=args, words=words, labels=labels, counts=counts, tokens=tokens,
        pruned=pruned, inputs=inputs, outputs=outputs, segmenter=_note(at),
    )  # fmt: skip
    check(model, path)
    return model


def write(model: FastTextFile, path: str | Path, *, force: bool = False) -> None:
    """Write the model atomically, in version 12; parts of a table that are zero take no room on the disk.

    Raises InputError for a file that exists (without `force`), words and counts that the format cannot hold, and
    numbers that are not finite.
    """
    path = claim_output(path, force=force)
    entries = [_spell(word, path) for word in (*model.words, *model.labels)]
    if len(model.counts) != len(entries):
        raise InputError(f"{path}: {len(entries)} words and labels need as many counts, not {len(model.counts)}")
    if min(model.tokens, int(model.counts.min(initial=0))) < 0:
        raise InputError(f"{path}: a count or the sum of all is negative, or above {2**63 - 1}; leave the counts out")
    check(model, path)
    n_pruned = -1 if model.pruned is None else len(model.pruned)
    args = [int(value) for value in list(vars(model.args).values())[:-1]]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<2i", _MAGIC, _VERSION) + struct.pack(_ARGS, *args, model.args.sample))
        file.write(struct.pack(_SIZES, len(entries), len(model.words), len(model.labels), model.tokens, n_pruned))
        for number, (entry, count) in enumerate(zip(entries, model.counts.tolist(), strict=True)):
            file.write(entry + b"\0" + struct.pack("<qb", count, number >= len(model.words)))
        if model.pruned is not None:
            file.write(np.ascontiguousarray(model.pruned, "<i4").tobytes())
        for matrix in (model.inputs, model.outputs):
            file.write(struct.pack("<?", isinstance(matrix, Quantized)))
            if isinstance(matrix, Quantized):
                _write_quantized(file, matrix)
            else:
                _write_dense(file, matrix)
        if model.segmenter:
            file.write(NOTE + model.segmenter.encode() + b"\n")
        file.truncate()


class _Reader:
    """A place in a mapped file, that moves on; nothing is taken beyond its end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0

    def error(self, what: str) -> InputError:
        return InputError(f"{self.path} byte {self.at}: {what}; the file is damaged or no fastText model")

    def need(self, size: int, what: str) -> int:
        """Move on by `size` bytes, which must be there, and return where they begin."""
        if not 0 <= size <= len(self.data) - self.at:
            left = len(self.data) - self.at
            raise InputError(f"{self.path} byte {self.at}: {what}: {size} bytes, but {left} are left; the file is cut")
        self.at += size
        return self.at - size

    def take(self, form: str, what: str) -> tuple:
        return struct.unpack_from(form, self.data, self.need(struct.calcsize(form), what))

    def flag(self, what: str) -> bool:
        (value,) = self.take("<B", what)
        if value > 1:
            raise self.error(f"{what} is {value}, not 0 or 1")
        return bool(value)

    def array(self, dtype: str, shape: tuple[int, ...], what: str) -> NDArray:
        """The array that begins here, mapped; a negative shape is an error."""
        if min(shape) < 0:
            raise self.error(f"{what} cannot have the shape {shape}")
        begin = self.need(math.prod(shape) * np.dtype(dtype).itemsize, what)
        return np.frombuffer(self.data, dtype, math.prod(shape), begin).reshape(shape)


def _args(at: _Reader, version: int) -> Args:
    values = at.take(_ARGS, "the settings")
    try:
        names = dict(zip(Args.__dataclass_fields__, values, strict=True))
        args = Args(**names | {"loss": Loss(names["loss"]), "model": Model(names["model"])})
    except ValueError as error:  # an InputError is one
        raise at.error(str(error)) from None
    # Classifiers of version 11 were trained without character n-grams, whatever they say.
    return replace(args, max_n=0) if version == 11 and args.model == Model.SUPERVISED else args


def _dictionary(at: _Reader) -> tuple[list[str], list[str], NDArray[np.int64], int, int]:
    """Words, labels, their counts, how many tokens there were, and how many n-grams are left (-1: all)."""
    size, n_words, n_labels, tokens, n_pruned = at.take(_SIZES, "the sizes of the dictionary")
    if min(n_words, n_labels, tokens) < 0 or n_pruned < -1 or size != n_words + n_labels:
        raise at.error(f"{size} entries, {n_words} words, {n_labels} labels, {tokens} tokens, {n_pruned} n-grams left")
    if size * (1 + _ENTRY.itemsize) + max(n_pruned, 0) * 8 > len(at.data) - at.at:
        left = len(at.data) - at.at
        raise at.error(f"{size} words and labels and {max(n_pruned, 0)} n-grams cannot stand in {left} bytes")
    data, begin, entries, ends = at.data, at.at, [], np.empty(size, np.int64)
    for number in range(size):
        end = data.find(b"\0", begin)
        if end == begin or end < 0 or end + _ENTRY.itemsize > len(data):
            at.at = begin
            raise at.error(f"entry {number + 1} of the dictionary's {size} is {'cut' if end != begin else 'empty'}")
        entries.append(data[begin:end].decode("utf-8", "surrogateescape"))
        ends[number] = end
        begin = end + _ENTRY.itemsize
    at.at = begin
    tails = np.frombuffer(data, np.uint8)[ends[:, None] + np.arange(_ENTRY.itemsize)].view(_ENTRY)[:, 0]
    for wrong, what in (
        (tails["count"] < 0, "a negative count"),
        (
            tails["kind"] != (np.arange(size) >= n_words),
            f"not the kind (word or label) that {n_words} words first give",
        ),
    ):
        if wrong.any():
            number = int(wrong.argmax())
            raise InputError(
                f"{at.path} entry {number + 1} of the dictionary, {entries[number]!r}: {what}; it is damaged"
            )
    if len(set(entries)) < size:
        seen: dict[str, int] = {}
        number = next(number for number, word in enumerate(entries) if seen.setdefault(word, number) != number)
        raise InputError(f"{at.path} entry {number + 1} of the dictionary: {entries[number]!r} stands there already")
    return entries[:n_words], entries[n_words:], tails["count"].astype(np.int64), tokens, n_pruned


def _dense(at: _Reader, name: str) -> NDArray[np.float32]:
    shape = at.take(_DENSE, f"the size of the {name} matrix")
    return at.array("<f4", shape, f"the {name} matrix")


def _quantized(at: _Reader, name: str) -> Quantized:
    by_norm = at.flag(f"whether the {name} matrix has lengths")
    n_rows, dim, size = at.take(_QUANTIZED, f"the size of the {name} matrix")
    begin = at.at
    at.need(size, f"the codes of the {name} matrix")
    parts, part, centroids = _quantizer(at, name, dim)
    if n_rows < 0 or n_rows * parts != size:
        raise at.error(f"{n_rows} rows of {parts} codes in the {name} matrix, which has {size}")
    codes = np.frombuffer(at.data, np.uint8, size, begin).reshape(n_rows, parts)
    if not by_norm:
        return Quantized(dim=dim, part=part, codes=codes, centroids=centroids)
    norm_codes = at.array("u1", (n_rows,), f"the lengths of the {name} matrix")
    norms = _quantizer(at, f"lengths of the {name}", 1)[2]
    return Quantized(dim=dim, part=part, codes=codes, centroids=centroids, norm_codes=norm_codes, norms=norms)


def _quantizer(at: _Reader, name: str, dim: int) -> tuple[int, int, NDArray[np.float32]]:
    """Parts of a row, dimensions of a part, centroids."""
    found = at.take(_PARTS, f"the quantiser of the {name} matrix")
    part = found[2]
    parts = -(-dim // part) if part > 0 and dim > 0 else 0
    if not parts or found != (dim, parts, part, dim - (parts - 1) * part):
        raise at.error(f"a quantiser of (dimensions, parts, of a part, of the last) {found} for {dim} of the {name}")
    return parts, part, at.array("<f4", (CENTROIDS * dim,), f"the centroids of the {name} matrix")


def _note(at: _Reader) -> str:
    """The segmenter's mark at the end, or nothing; other bytes there are an error."""
    rest = bytes(at.data[at.at : at.at + 100])
    name = rest.removeprefix(NOTE).removesuffix(b"\n")
    if rest and (NOTE + name + b"\n" != rest or not name.isalpha() or len(at.data) - at.at > len(rest)):
        raise at.error(f"{len(at.data) - at.at} bytes after the output matrix")
    return name.decode()


def _spell(word: str, path: Path) -> bytes:
    try:
        entry = word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InputError(f"{path}: {word!r} holds half a character, which UTF-8 cannot write") from None
    if not entry or b"\0" in entry:
        raise InputError(f"{path}: {word!r} is empty or holds a NUL, which ends a word in fastText's format")
    return entry


def _write_dense(file: BinaryIO, matrix: NDArray[np.float32]) -> None:
    file.write(struct.pack(_DENSE, *matrix.shape))
    for first in range(0, len(matrix), _ROWS):
        block = np.ascontiguousarray(matrix[first : first + _ROWS], "<f4")
        if block.any():
            file.write(block.tobytes())
        else:
            file.seek(block.nbytes, 1)


def _write_quantized(file: BinaryIO, matrix: Quantized) -> None:
    (n_rows, dim), parts = matrix.shape, matrix.codes.shape[1]
    file.write(struct.pack("<?", matrix.norm_codes is not None) + struct.pack(_QUANTIZED, n_rows, dim, n_rows * parts))
    file.write(np.ascontiguousarray(matrix.codes).tobytes())
    file.write(struct.pack(_PARTS, dim, parts, matrix.part, dim - (parts - 1) * matrix.part))
    file.write(np.ascontiguousarray(matrix.centroids, "<f4").tobytes())
    if matrix.norm_codes is not None and matrix.norms is not None:
        file.write(np.ascontiguousarray(matrix.norm_codes).tobytes())
        file.write(struct.pack(_PARTS, 1, 1, 1, 1))
        file.write(np.ascontiguousarray(matrix.norms, "<f4").tobytes())


def to_vectors(model: FastTextFile) -> "WordVectors":
    """The word vectors of a model, as fastText's get_word_vector gives them; with the n-grams where all are there.

    The context table comes along from vectors trained with negative sampling, where it has a row for each word.
    """
    from inlay.vectors.subwords import Subwords
    from inlay.vectors.wordvectors import WordVectors

    args, n_words = model.args, len(model.words)
    if not n_words:
        raise InputError("this fastText model holds no words, only n-grams")
    table = model.inputs.rows() if isinstance(model.inputs, Quantized) else model.inputs
    subwords = None
    if args.max_n == 0:
        matrix = table[:n_words]
    elif model.pruned is None:
        subwords = Subwords(min_n=args.min_n, max_n=args.max_n, buckets=args.buckets, inputs=table)
        matrix = subwords.compose(model.words)
    else:
        matrix = _compose_pruned(model, table)
    context = None
    if args.model != Model.SUPERVISED and args.loss == Loss.NEGATIVE and not isinstance(model.outputs, Quantized):
        context = model.outputs
    return WordVectors(model.words, matrix, counts=model.counts[:n_words], context=context, subwords=subwords)


def from_vectors(vectors: "WordVectors") -> FastTextFile:
    """The model that holds the vectors: with their n-grams, or without any; unknown counts are written as 1 each."""
    subwords, n_words = vectors.subwords, len(vectors)
    counts = np.ones(n_words, np.int64) if vectors.counts is None else vectors.counts
    args = Args(dim=vectors.dim, min_count=1, min_n=0, max_n=0, buckets=0)
    if subwords is not None:
        args = replace(args, min_n=subwords.min_n, max_n=subwords.max_n, buckets=subwords.buckets)
    context = np.zeros((n_words, vectors.dim), np.float32) if vectors.context is None else vectors.context
    inputs = vectors.matrix if subwords is None else subwords.dense().inputs
    return FastTextFile(
        args=args, words=list(vectors.words), labels=[], counts=counts,
        tokens=int(counts.sum()), inputs=inputs, outputs=context,
    )  # fmt: skip


def _compose_pruned(model: FastTextFile, table: NDArray[np.float32]) -> NDArray[np.float32]:
    """(V, D) the mean of each word's own row and those of its n-grams that are left."""
    from inlay.vectors.subwords import ngram_rows

    n_words, args = len(model.words), model.args
    starts, buckets = ngram_rows(model.words, args.min_n, args.max_n, args.buckets)
    rows, owners = model.rows_of(buckets), np.repeat(np.arange(n_words), np.diff(starts))
    left = rows >= 0
    matrix = table[:n_words].copy()
    np.add.at(matrix, owners[left], table[rows[left]])
    return matrix / (1 + np.bincount(owners[left], minlength=n_words)).astype(np.float32)[:, None]
