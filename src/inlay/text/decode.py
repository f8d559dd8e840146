"""Bytes on disk to text in bounded memory: decompression, encodings and size limits, with every fault placed.

Memory is a few blocks of 256 kB and at most one line or document of `max_document_mb`, whatever the file holds.
"""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from inlay.errors import InputError
from inlay.text.document import CorpusConfig
from inlay.text.guess import encoding_hint, looks_binary

COMPRESSIONS = (".gz", ".xz", ".zst", ".bz2")

_BLOCK = 1 << 18
_BOMB_BYTES, _BOMB_RATIO = 64_000_000, 500  # gzip cannot pass 1032, texts stay far below 100
_XZ_MEMORY = 256_000_000  # xz -9 needs 65 MB; a header may ask for gigabytes
_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to read: where it lies, what its documents and its faults are called, and its suffixes."""

    path: Path
    name: str
    """Begins the ids of its documents."""
    where: str
    """Names it in messages."""
    kind: str
    """The format as a suffix: `.txt`, `.jsonl`, ..."""
    compression: str = ""
    """One of COMPRESSIONS, or empty."""


def blocks(file: File) -> Iterator[bytes]:
    """The decompressed bytes in blocks of at most 256 kB.

    InputError for a file that cannot be opened, is damaged or truncated, or that unpacks to more than 500 times its
    size after 64 MB.
    """
    try:
        with open(file.path, "rb") as raw, _decompressed(raw, file.compression) as stream:
            size = 0
            while block := stream.read(_BLOCK):
                size += len(block)
                if file.compression:
                    refuse_bomb(file.where, size, raw.tell())
                yield block
    except EOFError:
        raise InputError(
            f"{file.where}: truncated, its compressed data ends early; copy or download it again"
        ) from None
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{file.where}: {_reason(error, file.compression)}") from None


def refuse_bomb(where: str, size: int, packed: int) -> None:
    """InputError where `size` bytes came out of `packed` ones and no honest text packs so well."""
    if size > _BOMB_BYTES and size > _BOMB_RATIO * packed:
        raise InputError(
            f"{where}: unpacks to more than {_BOMB_RATIO} times its size, like a decompression bomb; "
            "if you trust it, unpack it yourself and give the unpacked file"
        )


def texts(file: File, config: CorpusConfig) -> Iterator[str]:
    """The decoded text in pieces, every line end turned into a line feed.

    InputError with line and column (in characters, from 1) of the first byte that is not in the encoding, with a guess
    of the right one; and for what looks binary.
    """
    source = blocks(file)
    head = next(source, b"")
    codec = _codec(head, file, config.encoding)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(codec)("strict"), translate=True)
    line, column = 1, 1
    block: bytes | None = head
    while block is not None:
        following = next(source, None)
        try:
            text = decoder.decode(block, final=following is None)
        except UnicodeDecodeError as error:
            raise _misfit(error, file, codec, line, column) from None
        except UnicodeError as error:  # UTF-16 and others without a position
            raise InputError(
                f"{file.where}: not {config.encoding or codec} ({error}); try another --encoding"
            ) from None
        if block is head:
            text = text.removeprefix("\ufeff")  # a named encoding such as utf-16-le leaves the mark in
        if text:
            line += (breaks := text.count("\n"))
            column = len(text) - text.rfind("\n") if breaks else column + len(text)
            yield text
        block = following


def lines(file: File, config: CorpusConfig) -> Iterator[str]:
    """The lines without their ends, split at line ends only (never at U+2028 and its like).

    InputError for a line longer than `max_document_mb`, before more than that is held.
    """
    parts: list[str] = []
    held, number = 0, 0
    for text in texts(file, config):
        first, *rest = text.split("\n")
        parts.append(first)
        held += utf8_size(first)
        if held > config.max_bytes:
            raise too_long(f"{file.where} line {number + 1}", config)
        if not rest:
            continue
        number += 1
        yield "".join(parts)
        for line in rest[:-1]:
            number += 1
            if oversize(line, config):
                raise too_long(f"{file.where} line {number}", config)
            yield line
        parts = [rest[-1]]
        held = utf8_size(rest[-1])
    if last := "".join(parts):
        if held > config.max_bytes:
            raise too_long(f"{file.where} line {number + 1}", config)
        yield last


def whole(file: File, config: CorpusConfig) -> str:
    """The whole text; InputError where it is longer than `max_document_mb`, before more than that is held."""
    parts = []
    held = 0
    for text in texts(file, config):
        parts.append(text)
        held += utf8_size(text)
        if held > config.max_bytes:
            raise too_long(file.where, config, way_out="--unit line makes each line a document, or ")
    return "".join(parts)


def utf8_size(text: str) -> int:
    """Bytes of the text in UTF-8; a lone surrogate counts as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def oversize(text: str, config: CorpusConfig) -> bool:
    """The text is longer than `max_document_mb`; for most texts their length in characters tells."""
    return len(text) * 4 > config.max_bytes and utf8_size(text) > config.max_bytes


def too_long(place: str, config: CorpusConfig, way_out: str = "") -> InputError:
    """The error for a line or document over the limit."""
    return InputError(f"{place}: longer than {config.max_document_mb:g} MB; {way_out}raise --max-document-mb")


def _decompressed(raw: IO[bytes], compression: str) -> IO[bytes]:
    if compression == ".gz":
        return gzip.open(raw, "rb")  # type: ignore[return-value]
    if compression == ".bz2":
        return bz2.open(raw, "rb")
    if compression == ".xz":
        return io.BufferedReader(_Xz(raw), _BLOCK)
    if compression == ".zst":
        import pyarrow

        stream: Any = pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd")
        return stream
    return raw


class _Xz(io.RawIOBase):
    """The bytes of .xz streams, one after the other, of which none may take more than `_XZ_MEMORY` to unpack."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            taken = b""
            if self._stream.eof:
                taken = self._stream.unused_data
                while not (taken := taken.lstrip(b"\0")):  # zeros may stand between streams
                    if not (taken := self._packed.read(_BLOCK)):
                        return 0
                self._stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            elif self._stream.needs_input and not (taken := self._packed.read(_BLOCK)):
                raise EOFError
            data = self._stream.decompress(taken, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _reason(error: Exception, compression: str) -> str:
    """What a failed read says to the user."""
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read ({error.strerror}); check the path and its permissions"
    if "truncated" in str(error).lower():
        return "truncated, its compressed data ends early; copy or download it again"
    if "emory usage" in str(error):
        return "needs more than 256 MB to unpack, like a decompression bomb; unpack it yourself if you trust it"
    return f"damaged, or not {compression} data ({error}); copy or download it again"


def _codec(head: bytes, file: File, encoding: str | None) -> str:
    """The codec to read with: the one asked for, else that of the byte-order mark, else UTF-8."""
    codec = (
        codecs.lookup(encoding).name if encoding else next((c for mark, c in _MARKS if head.startswith(mark)), "utf-8")
    )
    zeros = head.count(0)
    if not codec.startswith(("utf-16", "utf-32")) and zeros > 3 and zeros * 100 > len(head):
        hint = encoding_hint(head)
        wide = f", or {hint}" if "UTF-16" in hint else ""
        raise InputError(
            f"{file.where}: looks binary ({zeros:,} NUL bytes in its first {len(head):,}){wide}; give a text file"
        )
    return "utf-8-sig" if codec == "utf-8" else codec


def _misfit(error: UnicodeDecodeError, file: File, codec: str, line: int, column: int) -> InputError:
    """The error for a byte outside the encoding; `line` and `column` are where the decoder's input begins."""
    data = bytes(error.object)
    # The decoder may have kept bytes of the piece before; they hold no whole character, so no line end either.
    before = data[: error.start].decode(codec, "replace").replace("\r\n", "\n").replace("\r", "\n")
    line += before.count("\n")
    column = len(before) - before.rfind("\n") if "\n" in before else column + len(before)
    start = data.rfind(b"\n", 0, error.start) + 1
    sample = data[start : start + (1 << 16)]
    if looks_binary(sample):
        return InputError(
            f"{file.where}: looks binary (byte 0x{data[error.start]:02X} in line {line}); give a text file"
        )
    name = "UTF-8" if codec.startswith("utf-8") else codec.upper()
    hint = encoding_hint(sample) if name == "UTF-8" else "give another --encoding, or none for UTF-8"
    return InputError(
        f"{file.where} line {line}: not {name} (byte 0x{data[error.start]:02X} at column {column}); {hint}"
    )
