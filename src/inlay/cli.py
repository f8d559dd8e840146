"""The command line: verb -> function, one voice for errors, and an exit code for each kind of end.

0 done, 1 the user's input is wrong, 2 wrong usage, 3 a fault of ours, 130 interrupted.
"""

import errno
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
import typer.core

from inlay import __version__
from inlay.commands import (
    adapt,
    architecture,
    check,
    classify,
    compress,
    convert,
    data,
    distill,
    embed,
    evaluate,
    export,
    extend,
    fit,
    generate,
    info,
    language,
    model,
    pretrain,
    rerank,
    runs,
    sentences,
    shards,
    static,
    texts_map,
    tokenizer,
    vectors,
    vectors_align,
    vectors_convert,
    vectors_map,
    vectors_train,
    verify,
)
from inlay.commands.options import Interrupted
from inlay.errors import InputError
from inlay.live import Live

Verb = Callable[..., None]

Verbs = Mapping[str, "Verb | Verbs"]

VERBS: Verbs = {
    "fit": fit.fit,
    "adapt": adapt.adapt,
    "search": model.search,
    "embed": embed.embed,
    "compress": compress.compress,
    "export": export.export,
    "map": texts_map.draw_map,
    "evaluate": {
        "sentences": sentences.sentences,
        "retrieval": evaluate.retrieval,
        "vectors": evaluate.vectors,
        "lm": language.lm,
    },
    "generate": generate.generate,
    "pretrain": pretrain.pretrain,
    "distill": distill.distill,
    "static": static.static,
    "runs": runs.runs,
    "shards": shards.shards,
    "info": info.info,
    "verify": verify.verify,
    "show": architecture.show,
    "convert": convert.convert,
    "check-data": check.check_data,
    "reranker": {"train": rerank.train, "score": rerank.score},
    "tokenizer": {"train": tokenizer.train, "encode": tokenizer.encode, "extend": extend.extend},
    "vectors": {
        "train": vectors_train.train,
        "neighbours": vectors.neighbours,
        "analogy": vectors.analogy,
        "similarity": vectors.similarity,
        "odd": vectors.odd,
        "convert": vectors_convert.convert,
        "align": vectors_align.align,
        "map": vectors_map.draw_map,
        "classify": {
            "train": classify.train,
            "predict": classify.predict,
            "test": classify.measure,
            "quantize": classify.quantize,
        },
    },
    "data": {"list": data.list_sets, "pull": data.pull, "path": data.path, "verify": data.verify},
}


def main() -> None:
    """Run the command line of this process."""
    # What is opened later would get the number of a closed stream, and be written into by who means that stream.
    if sys.stdout is None or sys.stderr is None:
        if sys.stderr is not None:
            sys.stderr.write("error: stdout is closed; send it to a file, or to /dev/null\n")
        sys.exit(1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; every error is one line on stderr."""
    try:
        done = app(arguments, prog_name="inlay", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else 0
        if os.environ.get("INLAY_DEBUG"):
            traceback.print_exception(error)
        code, message = _judge(error)
        _close_stdout()
    else:
        code, message = (130, "interrupted") if done == 130 else (done or 0, "")
    finally:
        Live.enabled = True  # -q is of this command, not of the process
    if message and _speaks():
        sys.stderr.write(f"error: {' '.join(message.splitlines())}\n")
    return code


def _speaks() -> bool:
    """Whether this process says why the command ended: of those that torchrun started, the first that failed."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    from inlay.train.voice import speaks

    return speaks()


def _judge(error: BaseException) -> tuple[int, str]:
    """The exit code and the message of what ended a command; no message where nobody reads any more."""
    if isinstance(error, InputError):
        return 1, str(error)
    if isinstance(error, Interrupted):
        return 130, f"interrupted; {error}"
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    if isinstance(error, typer.TyperException):
        return 2, _usage(error)
    if isinstance(error, BrokenPipeError):
        return 1, ""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return 1, f"{error.filename or 'stdout'}: the disk is full; free some space"
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return 1, f"{error.filename or 'a file'} grows larger than this account may write; see ulimit -f"
    if isinstance(error, OSError) and error.filename is not None:
        return 1, f"{os.fsdecode(error.filename)}: {(error.strerror or str(error)).lower()}"
    if isinstance(error, MemoryError):
        return 1, "out of memory; give less text at a time, or free some memory"
    what = str(error).splitlines()[:1]
    return 3, (
        f"this is a fault of inlay: {': '.join([type(error).__name__, *what])}; "
        "run again with INLAY_DEBUG=1 for the traceback"
    )


def _usage(error: typer.TyperException) -> str:
    # What typer passes on from the check of a choice says twice that the value is wrong.
    message = error.format_message().strip().rstrip(".").replace(": Value error, ", ": ")
    if callable(errors := getattr(error.__cause__, "errors", None)):  # the check of a number does not say which
        message = message.replace("Input should", f"{errors()[0]['input']!r} should").partition(", unable to")[0]
    context = getattr(error, "ctx", None)
    return f"{message[:1].lower()}{message[1:]}; see {context.command_path if context else 'inlay'} --help"


def _close_stdout() -> None:
    """Drop what could not be written, so that the interpreter does not try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _root(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages but errors.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """From raw text to a measured, searchable embedding model of that text.

    A SOURCE is a file (.txt .md .html .jsonl .csv .tsv .parquet, plain or compressed), a folder, a glob, '-' for
    stdin, or the name of a data set; python-docs, the documentation of the running Python, is always at hand.
    Results go to stdout, progress and messages to stderr.

    Exit codes: 0 done, 1 wrong input, 2 wrong usage, 3 a fault of inlay, 130 interrupted.

    Examples:
    inlay fit python-docs --out model
    inlay search model "how do I read a file line by line"
    """
    Live.enabled = not quiet
    if version:
        typer.echo(f"inlay {__version__}")
    elif context.invoked_subcommand is None:
        _group(context)


def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


class _Evaluate(typer.core.TyperGroup):
    """What is no verb after `inlay evaluate` is the model to measure: `--on` asks for retrieval, else it is a suite."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, evaluating(args, [*self.commands, *ctx.help_option_names]))


def evaluating(words: list[str], known: Sequence[str]) -> list[str]:
    """The words after `inlay evaluate` with a verb before them, if there was none."""
    if not words or words[0] in known:
        return words
    options = {word.partition("=")[0] for word in words}
    searched = "--on" in options and not options & {"--suite", "--task", "--train", "--data"}
    return ["retrieval" if searched else "sentences", *words]


_CLASSES: dict[str, type[typer.core.TyperGroup]] = {"evaluate": _Evaluate}
_GROUPS = {
    "evaluate": """Measure models, word vectors and language models.

    Without a verb, `inlay evaluate DIR` measures the embedder on a suite (sentences), and with --on FOLDER its search
    on judged queries (retrieval); a folder that is named like a verb is given as ./vectors.

    Examples:
    inlay evaluate model --suite small
    inlay evaluate vectors vectors.safetensors --on google-analogies --on wordsim-en
    """,
    "reranker": """Train models that order what a search finds.

    A reranker reads a query and a text together, and says by a number how well the text answers.

    Examples:
    inlay reranker train minilm docs/ --out reranker
    inlay search model "a question" --rerank reranker
    """,
    "tokenizer": """Train tokenizers and try them.

    Examples:
    inlay tokenizer train docs/ --out tokenizer
    inlay tokenizer encode tokenizer "Where do words end?"
    """,
    "vectors": """Train word vectors and ask them.

    Examples:
    inlay vectors train docs/ --out vectors.safetensors
    inlay vectors neighbours vectors.safetensors king
    """,
    "classify": """Train text classifiers and ask them.

    Examples:
    inlay vectors classify train reviews.csv --label-field stars --out reviews.bin
    inlay vectors classify predict reviews.bin new.txt
    """,
    "data": """Get public data sets by name.

    Examples:
    inlay data list
    inlay data pull cranfield
    """,
}


def _described(text: str | None) -> tuple[str, str]:
    """Help and epilog, from a docstring that ends with `Examples:` and a command a line."""
    help, _, examples = inspect.cleandoc(text or "").partition("Examples:\n")
    return help.strip(), "\b\nExamples:" + "".join(f"\n  {line}" for line in examples.splitlines())


def _app(verbs: Verbs, callback: Verb, text: str | None, *, name: str = "", completion: bool = False) -> typer.Typer:
    group = typer.Typer(
        cls=_CLASSES.get(name, typer.core.TyperGroup),
        rich_markup_mode=None,  # rich takes longer to load than most commands to run
        pretty_exceptions_enable=False,
        add_completion=completion,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    help, epilog = _described(text)
    group.callback(invoke_without_command=True, help=help, epilog=epilog)(callback)
    for name, verb in verbs.items():
        if isinstance(verb, Mapping):
            group.add_typer(_app(verb, _group, _GROUPS[name], name=name), name=name)
        else:
            help, epilog = _described(verb.__doc__)
            group.command(name, help=help, epilog=epilog)(verb)
    return group


app = _app(VERBS, _root, _root.__doc__, completion=True)
