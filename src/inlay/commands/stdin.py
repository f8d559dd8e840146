"""Lines from stdin, as a command reads its questions from a pipe."""

import sys
from collections.abc import Iterator

from inlay.errors import InputError


def lines(what: str) -> Iterator[str]:
    """The lines without the spaces around them, as they come; `what` they are is said where stdin is closed.

    Raises InputError with line and byte for what is not UTF-8.
    """
    if sys.stdin is None:
        raise InputError(f"stdin is closed; pipe {what} into it, or give one")
    for number, data in enumerate(sys.stdin.buffer, 1):
        try:
            yield data.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            byte, column = data[error.start], error.start + 1
            raise InputError(
                f"stdin line {number}: not UTF-8 (byte 0x{byte:02X} at byte {column}); convert it"
            ) from None
