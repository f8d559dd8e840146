"""Files of word vectors: ours, which keeps everything, and those of word2vec, GloVe and fastText, both ways.

    .safetensors       everything; memory-mapped, checked by checksums, numbers in float32, half precision or int8
    .txt .vec          words and matrix as text: word2vec's, fastText's .vec, and (format="glove") GloVe's
    .bin               words and matrix in word2vec's binary; vectors with n-grams in fastText's, with the n-grams

What is read is told apart by content; text and word2vec's binary also compressed (.gz, .xz, .zst, .bz2). Whatever a
file claims is held against its size before memory is taken for it, and nothing is ever unpickled.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inlay.errors import InputError
from inlay.files import atomic_path, claim_output
from inlay.vectors import binary_file, tensors, text_file
from inlay.vectors.gather import broken_promise, refuse_infinite_vectors
from inlay.vectors.pieces import LONGEST, Pieces

if TYPE_CHECKING:
    from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions

_PICKLES = (".kv", ".model", ".pt", ".pth", ".pkl", ".pickle", ".npy", ".npz")
_MARKS = (b"\x80", b"PK\x03\x04", b"PK\x05\x06")
"""How pickles and archives begin."""
_TEXT = (".txt", ".vec")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_LONGEST_HEADER = 64
_FIRST_LINES = 1 << 18
_FIRST_ENTRY = 1 << 22


def load(path: str | Path, *, verify: bool = True) -> "WordVectors":
    """The word vectors in a file of any of the formats.

    A .safetensors file is memory-mapped and read once for its checksums; `verify=False` leaves that out, and then
    opens a file of any size in milliseconds, its words and numbers unread until they are asked for. Other formats are
    always read whole. Raises InputError, naming the line or the entry, for a file that is cut, does not hold what its
    header promises, has a word twice, a word that is not UTF-8, or a number that is not finite; and for any pickle.
    """
    from inlay.vectors import fasttext_file

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {_no_file(path)}")
    with open(path, "rb") as file:
        beginning = file.read(_LONGEST_HEADER)
    header_fits = int.from_bytes(beginning[:8], "little") < path.stat().st_size
    if path.suffix == ".safetensors" or (beginning[8:10] == b'{"' and header_fits):
        return tensors.read(path, verify=verify)
    if path.suffix == ".zip":
        raise InputError(f"{path}: an archive; unpack it, and give the file in it")
    if path.suffix in _PICKLES or beginning.startswith(_MARKS):
        raise InputError(
            f"{path}: a pickle or archive can run code when read, so it is refused; "
            "write the vectors with gensim's save_word2vec_format or as .safetensors"
        )
    if fasttext_file.is_fasttext(beginning):
        return fasttext_file.to_vectors(fasttext_file.read(path))
    return _load_rows(path)


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "is a folder; name the file of vectors in it (gensim's own files are pickles, which are refused)"
    return "no such file of word vectors"


def _load_rows(path: Path) -> "WordVectors":
    """Text or word2vec's binary, compressed or not."""
    from inlay.vectors import fasttext_file

    pieces = Pieces(path)
    line, newline, _ = pieces.beginning(_LONGEST_HEADER).partition(b"\n")
    if pieces.compression and fasttext_file.is_fasttext(line):
        raise InputError(f"{path}: a compressed fastText model; unpack it first")
    fields = line.split()
    if not newline or len(fields) != 2 or not all(field.removeprefix(b"-").isdigit() for field in fields):
        return text_file.read(pieces, text_file.dimensions(path, pieces.beginning(_FIRST_LINES)), None, 0)
    n_words, dim = int(fields[0]), int(fields[1])
    if n_words < 1 or dim < 1:
        raise InputError(f"{path} line 1: {n_words} words of {dim} dimensions; both must be at least 1")
    begin, size = len(line) + 1, pieces.size
    if size is not None and n_words * (2 + 2 * dim - 1) > size - begin + 1:  # a letter, a space, digits with spaces
        raise broken_promise(path, n_words, dim, size)
    if size is None and 2 * dim > LONGEST:
        raise InputError(f"{path} line 1: {dim} dimensions; no line of a compressed file may be as long")
    name = path.with_suffix("") if pieces.compression else path
    first = pieces.beginning(min(begin + 64 * dim + 4096, _FIRST_ENTRY))[begin:]
    if name.suffix in _TEXT or _is_text(first, dim):
        return text_file.read(pieces, dim, n_words, begin)
    if size is not None and n_words * (2 + 4 * dim) > size - begin:
        raise broken_promise(path, n_words, dim, size)
    return binary_file.read(pieces, dim, n_words, begin)


def _is_text(beginning: bytes, dim: int) -> bool:
    """Whether the first entry is a line of numbers."""
    try:
        return len([float(field) for field in beginning.split(b"\n")[0].split()[-dim:]]) == dim
    except ValueError:
        return False


def save(vectors: "WordVectors", path: str | Path, *, format: str | None = None, force: bool = False) -> None:
    """Write the vectors atomically; the suffix names the format: .txt or .vec, .bin, .safetensors.

    `format` ("word2vec", "glove", "fasttext" or "safetensors") says which one where a suffix has several. Raises
    InputError for another suffix, a file that exists (without `force`), vectors that are not finite, and words that
    the format cannot hold.
    """
    path = claim(path, force=force)
    format = format or _usual(path, vectors)
    if (format, path.suffix) not in _WRITERS:
        suffixes = [suffix for name, suffix in _WRITERS if name == format]
        known = ", ".join(dict.fromkeys(name for name, _ in _WRITERS))
        way_out = f"its suffix is {' or '.join(suffixes)}" if suffixes else f"the formats are {known}"
        raise InputError(f"{path}: format={format!r} does not fit; {way_out}")
    writer = _WRITERS[format, path.suffix]
    if 0 in vectors.table.shape:
        raise InputError(f"{path}: {vectors!r}; a file holds a word and a number at least")
    if path.suffix != ".safetensors":
        for word in vectors.words:
            if not word or word.split() != [word]:
                raise InputError(f"{path}: {word!r} is empty or holds white space; only .safetensors can keep it")
            if writer is not _save_fasttext and _HALF_CHARACTER.search(word):
                raise InputError(f"{path}: {word!r} holds half a character, which UTF-8 cannot write; leave it out")
    refuse_infinite_vectors(path, vectors)
    with atomic_path(path) as temporary:
        writer(vectors, temporary)


def claim(path: str | Path, *, force: bool) -> Path:
    """The path, once it is certain that `save` can write there: a suffix that names a format, nothing to overwrite."""
    path = Path(path)
    suffixes = dict.fromkeys(suffix for _, suffix in _WRITERS)
    if path.suffix not in suffixes:
        raise InputError(f"{path}: the suffix must be one of {', '.join(suffixes)}, which names the format")
    return claim_output(path, force=force)


def _usual(path: Path, vectors: "WordVectors") -> str:
    """The format of a suffix when none is named."""
    if path.suffix == ".safetensors":
        return "safetensors"
    return "fasttext" if path.suffix == ".bin" and vectors.subwords is not None else "word2vec"


def _save_fasttext(vectors: "WordVectors", path: Path) -> None:
    from inlay.vectors import fasttext_file

    fasttext_file.write(fasttext_file.from_vectors(vectors), path, force=True)


_WRITERS: dict[tuple[str, str], Callable[["WordVectors", Path], None]] = {
    ("word2vec", ".txt"): partial(text_file.write, header=True),
    ("word2vec", ".vec"): partial(text_file.write, header=True),
    ("word2vec", ".bin"): binary_file.write,
    ("glove", ".txt"): partial(text_file.write, header=False),
    ("fasttext", ".vec"): partial(text_file.write, header=True),
    ("fasttext", ".bin"): _save_fasttext,
    ("safetensors", ".safetensors"): tensors.write,
}
