"""Models of other libraries: their weights, settings and folders, read strictly and written so that they can read them.

Nothing is unpickled, and nothing that a file names is run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["load_model", "load_pair", "read_config", "save_model"]

if TYPE_CHECKING:
    from inlay.convert.convert import load_model, load_pair, read_config, save_model


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'inlay.convert' has no attribute {name!r}")
    return getattr(import_module("inlay.convert.convert"), name)
