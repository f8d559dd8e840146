"""inlay: from raw text to embeddings of that text. The public names, resolved when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Corpus": "inlay.text.corpus",
    "CorpusConfig": "inlay.text.corpus",
    "Document": "inlay.text.corpus",
    "Tokenizer": "inlay.tokenize.tokenizer",
    "WordVectors": "inlay.vectors.wordvectors",
    "Classifier": "inlay.vectors.classifier",
    "Index": "inlay.search.index",
    "Searcher": "inlay.search.searcher",
    "fit": "inlay.fit",
    "load": "inlay.embed.embedder",
    "InputError": "inlay.errors",
}

__all__ = [
    "Classifier",
    "Corpus",
    "CorpusConfig",
    "Document",
    "Index",
    "InputError",
    "Searcher",
    "Tokenizer",
    "WordVectors",
    "__version__",
    "fit",
    "load",
]

if TYPE_CHECKING:
    from inlay.embed.embedder import load
    from inlay.errors import InputError
    from inlay.fit import fit
    from inlay.search.index import Index
    from inlay.search.searcher import Searcher
    from inlay.text.corpus import Corpus, CorpusConfig, Document
    from inlay.tokenize.tokenizer import Tokenizer
    from inlay.vectors.wordvectors import WordVectors


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inlay' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
