"""How every kernel is compiled: once, without the interpreter lock, kept on disk where there is a place for it."""

import re
import sys
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from typing import Any

from numba import njit
from numba.core import event

from inlay.live import say

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def compiled(function: Callable, *, fastmath: bool = True) -> Callable:
    """The function as machine code, made on its first call and cached beside the source or in the user's cache folder.

    Where neither can be written (a read-only container), it is compiled anew in each process. `fastmath` lets the
    compiler reorder and approximate arithmetic.
    """
    try:
        made = njit(cache=True, fastmath=fastmath, **_OPTIONS)(function)
    except RuntimeError:  # numba found no folder that it may write
        return njit(fastmath=fastmath, **_OPTIONS)(function)
    if function.__module__.startswith("inlay."):
        made._cache._cache_file._source_stamp = _stamp(function.__module__)
    return made


@cache
def _stamp(module: str) -> bytes:
    """A hash of the module's source and of the kernels' that it imports: numba, which compiles theirs into its own,
    looks at its own file alone, and would run what they were before an update."""
    source: Any = sys.modules[module]
    text = source.__spec__.loader.get_data(source.__file__)
    digest = sha256(text)
    for name in re.findall(rb"^from (inlay\.vectors\.\w+) import", text, re.MULTILINE):
        digest.update(_stamp(name.decode()))
    return digest.digest()


exact = partial(compiled, fastmath=False)
"""As `compiled`, and every operation rounds as it is written."""


class _Announce(event.Listener):
    """Say why the first run takes seconds longer; silent when the machine code comes from the cache."""

    said = False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__
        if module.startswith("inlay.") and not self.said:
            self.said = True
            say("compiling kernels, once ...")

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announce())
