"""What several verbs share: their arguments, the flags of a corpus, and what Ctrl-C says."""

import contextlib
import functools
import inspect
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from inlay.live import Live
from inlay.text.document import CorpusConfig, Unit

Function = TypeVar("Function", bound=Callable[..., Any])

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        show_default=False,
        help="Files, folders, globs, '-' for stdin, or names of data sets (see: inlay data list).",
    ),
]
Base = Annotated[
    str, typer.Argument(metavar="BASE", show_default=False, help="An encoder's folder, or its name on the hub.")
]
Model = Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="A folder that inlay fit made.")]
Vectors = Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="A file of word vectors.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that broke off.")]
ResumeFrom = Annotated[
    str | None,
    typer.Option(
        metavar="auto|PATH",
        show_default=False,
        help="Go on with a run that broke off: from its newest sound checkpoint, or from the one that is named.",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="A tenth of the steps, for a try.")]
Recipe = Annotated[
    Path | None, typer.Option(metavar="FILE", show_default=False, help="YAML with settings of the recipe.")
]
Assign = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="One setting, as in the examples. Repeatable.")
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Of everything that is drawn by chance.")]
Lang = Annotated[
    str,
    typer.Option(metavar="LANG", help="Language: en, de, fr, es, it, pt, nl, sv, ru or zh; auto looks at the text."),
]
K = Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many to show.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_CORPUS: dict[str, tuple[Any, Any]] = {
    "unit": (
        Annotated[Unit, typer.Option(help="What is one document in .txt, .md and .html.")],
        "file",
    ),
    "encoding": (
        Annotated[
            str | None, typer.Option(metavar="NAME", help="Such as gb18030; by default UTF-8, or UTF-16 with its mark.")
        ],
        None,
    ),
    "text_field": (
        Annotated[
            str | None,
            typer.Option(metavar="NAME", help="Field or column with the text; by default text, content, body, ..."),
        ],
        None,
    ),
    "title_field": (
        Annotated[
            str | None,
            typer.Option(metavar="NAME", help="Field or column with the title; by default title, heading, ..."),
        ],
        None,
    ),
    "id_field": (
        Annotated[
            str | None,
            typer.Option(metavar="NAME", help="Field or column with the id; by default _id, id, doc_id, ..."),
        ],
        None,
    ),
    "half_width": (
        Annotated[bool, typer.Option("--half-width", help="Turn full-width letters and digits into ASCII.")],
        False,
    ),
    "max_document_mb": (
        Annotated[float, typer.Option(metavar="MB", help="Longest line or document taken; a longer one is an error.")],
        16.0,
    ),
}


class Interrupted(Exception):
    """Ctrl-C in work that can be resumed; the message says how."""


def reads_corpus(function: Function) -> Function:
    """Give a verb the flags of CorpusConfig in place of its parameter `corpus`, which it gets built from them."""

    @functools.wraps(function)
    def verb(**values: Any) -> Any:
        corpus = CorpusConfig(**{name: values.pop(name) for name in _CORPUS})
        return function(**values, corpus=corpus)

    signature = inspect.signature(function)
    own = [parameter for name, parameter in signature.parameters.items() if name != "corpus"]
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _CORPUS.items()
    ]
    verb.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
    verb.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *flags]}
    return verb  # type: ignore[return-value]


def one_voice(function: Function) -> Function:
    """Of the processes that torchrun starts for a verb, let the first one talk alone; why they fail, `cli.run` says."""

    @functools.wraps(function)
    def verb(*given: Any, **named: Any) -> Any:
        if os.environ.get("WORLD_SIZE", "1") == "1":
            return function(*given, **named)
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch is imported; what it warns of is known
        if is_first():
            return function(*given, **named)
        Live.enabled = False
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*given, **named)

    return verb  # type: ignore[return-value]


def is_first() -> bool:
    """Whether this is the only process of a command, or the first of those that torchrun started."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK") == "0"


@contextlib.contextmanager
def resumable(way_out: str) -> Iterator[None]:
    """Let Ctrl-C end the command with a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(way_out) from None


def as_utf8(word: str) -> str:
    """A word of the command line as its bytes say it in UTF-8, where the locale could not read them."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def language_of(lang: str, texts: Callable[[], Iterator[str]]) -> str:
    """The language given, or that of the texts where it is `auto`."""
    from inlay.text.words import language

    return language(texts()) if lang == "auto" else lang
