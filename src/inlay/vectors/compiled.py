"""How every kernel is compiled: once, without the interpreter lock, kept on disk where there is a place for it."""

from collections.abc import Callable
from functools import partial
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
        return njit(cache=True, fastmath=fastmath, **_OPTIONS)(function)
    except RuntimeError:  # numba found no folder that it may write
        return njit(fastmath=fastmath, **_OPTIONS)(function)


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
