"""Writing: a model's own text after a prompt, or in answer to a source."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Beam": "inlay.generate.config",
    "Generated": "inlay.generate.pieces",
    "GenerationConfig": "inlay.generate.config",
    "Greedy": "inlay.generate.config",
    "Sample": "inlay.generate.config",
    "from_folder": "inlay.generate.folder",
    "generate": "inlay.generate.write",
    "generate_ids": "inlay.generate.write",
    "stream": "inlay.generate.write",
}

__all__ = [
    "Beam",
    "Generated",
    "GenerationConfig",
    "Greedy",
    "Sample",
    "from_folder",
    "generate",
    "generate_ids",
    "stream",
]

if TYPE_CHECKING:
    from inlay.generate.config import Beam, GenerationConfig, Greedy, Sample
    from inlay.generate.folder import from_folder
    from inlay.generate.pieces import Generated
    from inlay.generate.write import generate, generate_ids, stream


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inlay.generate' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
