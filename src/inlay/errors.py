"""InputError: what the user gave is wrong, and the message says where, the rule and the way out."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input is at fault; the command line prints it as one `error:` line and exits with 1.

    Everything else that escapes is a fault of ours and exits with 3.
    """


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`; did you mean 'x'?` when one option is close to the word, else the list of options."""
    names = [str(option) for option in options]
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; choose from {', '.join(names)}"


def missing_extra(what: str, package: str, extra: str) -> InputError:
    """The error for a package that an optional feature needs and that is not installed."""
    return InputError(f"{what} needs {package}: pip install 'inlay[{extra}]'")
