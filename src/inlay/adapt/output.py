"""From sources to a folder: documents read, questions held out, the base adapted, one folder to use in the end."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inlay.adapt.adapt import AdaptReport, adapt, tunable
from inlay.adapt.config import AdaptConfig
from inlay.errors import InputError
from inlay.evaluate.heldout import hold_out
from inlay.files import atomic_folder, claim_output, lock, write_checksums, write_json
from inlay.live import Live
from inlay.stages import clear, unfinished
from inlay.text.corpus import Corpus
from inlay.text.dedup import dedup
from inlay.text.document import Document
from inlay.text.labelled import Alike, read_pairs
from inlay.text.words import LANGUAGES, language

REPORT = "adapt.json"
_SEARCHED = 2_000
"""Documents at most that questions are asked among: an encoder reads them once for each point that is measured."""


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """The folder that is to be used, and what was measured."""

    folder: Path
    report: AdaptReport
    tree: dict[str, Any]
    """What is in its adapt.json."""


def adapted(
    base: str | Path,
    corpus: Corpus,
    out: Path,
    config: AdaptConfig,
    *,
    lang: str = "auto",
    seed: int = 0,
    pairs: Path | None = None,
    sts: Path | None = None,
    resume: bool = False,
    force: bool = False,
) -> Adapted:
    """Adapt `base` to the corpus; `out` holds the tuned model if it passed, else a copy of the base; and adapt.json.

    `pairs` is a file of labelled pairs, `sts` one of pairs with judgements. Until all is done the work stands in
    `OUT.part`, where `resume` goes on after a break. Raises InputError for all that `adapt` refuses, for an `out` that
    is taken, and for an unfinished run that is neither resumed nor thrown away (`force`).
    """
    part, begun = claimed(out, REPORT, "inlay adapt", resume=resume, force=force)
    tunable(base)  # before the text is read, which may take long
    given = read_pairs(pairs) if pairs is not None else []
    judged = _judged(sts) if sts is not None else []
    if begun and not resume:
        with lock(part):
            clear(part)
    documents, found = read_all(corpus, lang)
    held = hold_out(documents, seed=seed, searched=_SEARCHED)
    report = adapt(base, documents, held, found, config, part, seed=seed, given=given, judged=judged)
    tree = report.tree() | {
        "base": str(base),
        "model": str(out),
        "lang": found,
        "documents": len(documents),
        "questions": {kind: len(queries) for kind, queries in held.queries.items()},
    }
    with atomic_folder(out) as made:
        shutil.copytree(report.model, made, dirs_exist_ok=True)
        write_json(made / REPORT, tree)
        if (made / "checksums.json").exists():
            write_checksums(made)
    shutil.rmtree(part, ignore_errors=True)
    return Adapted(folder=out, report=report, tree=tree)


def claimed(out: Path, report: str, by: str, *, resume: bool, force: bool) -> tuple[Path, bool]:
    """(where the work stands until it is done, whether it was begun); InputError where `out` may not be written."""
    if out.name in ("", ".."):
        raise InputError(f"{out} is no name for a folder that is made new; give another --out, such as tuned")
    part = out.with_name(out.name + ".part")
    begun = unfinished(part)
    if begun and not resume and not force:
        raise InputError(f"{part} is an unfinished run; --resume goes on with it, --force begins anew")
    claim_output(out, force=force or (resume and begun), whole=True)
    if out.exists() and any(out.iterdir()) and not (out / report).is_file():
        raise InputError(f"{out} was not made by {by} (it has no {report}), and is left alone; give another --out")
    return part, begun


def read_all(corpus: Corpus, lang: str) -> tuple[list[Document], str]:
    """The documents that have text, each once, and their language; InputError where there are none."""
    if lang != "auto" and lang not in LANGUAGES:
        raise InputError(f"lang={lang!r} must be auto or one of {', '.join(LANGUAGES)}")
    with Live("read", unit="documents") as live:
        documents = [document for document in dedup(live.over(corpus)) if document.text]
    if not documents:
        raise InputError("there is no text in the source; name files that hold some")
    return documents, language(document.text for document in documents) if lang == "auto" else lang


def _judged(path: Path) -> list[Alike]:
    found = read_pairs(path)
    alike = [one for one in found if isinstance(one, Alike)]
    if len(alike) < len(found):
        raise InputError(f"{path}: holds queries with answers, and judgements are text1, text2, score on each line")
    return alike
