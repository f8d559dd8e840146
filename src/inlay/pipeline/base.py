"""Rungs of a base encoder: as it is, and a token table fitted to its vectors of the documents."""

# N documents searched, Q questions, V tokens, D dimensions

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder, EncodeReport, load, total
from inlay.embed.fitted import fit_table, side_by_side
from inlay.embed.static import StaticEmbedder
from inlay.evaluate.choice import Bench, Member, encoder_fusion
from inlay.files import read_json, write_json
from inlay.live import Live, say
from inlay.pipeline.config import Base, FitConfig
from inlay.pipeline.ground import Ground
from inlay.pipeline.measured import TABLE, Measured, note, rung_table
from inlay.stages import Run

Array = NDArray[np.float32]

BASE, FITTED = "base", "fitted"
_ENCODED_A_SECOND = 50
"""Documents that an encoder reads, as the cost model has it; machines differ, results must not."""
_FEWEST = 1_000
"""Documents that are searched for the answers, however little time there is."""
_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The encoder to go on with, and what tuning measured, where it was asked for."""

    folder: Path
    rows: tuple[dict[str, Any], ...] = ()
    why: tuple[str, ...] = ()
    kept: bool = False
    """It is the tuned one."""


def place(config: Base) -> Path:
    """Where the base lies: the folder or file that was named, or the model of that name from the hub."""
    from inlay.convert.hub import locate

    return Path(config.folder) if Path(config.folder).exists() else locate(config.folder).folder


def searched(config: FitConfig) -> int:
    """Documents that held-out questions are asked among: fewer where an encoder must read them all."""
    most = 10_000
    return most if config.base is None else min(most, max(_FEWEST, int(config.seconds(0.5) * _ENCODED_A_SECOND)))


def shipped(config: FitConfig) -> str | None:
    """The rung that must be shipped, where that was said."""
    return {"base": BASE, "table": FITTED, "auto": None}[config.base.ship] if config.base else None


def tuned(run: Run, ground: Ground) -> Tuned:
    """The encoder to go on with: the one that was given, or that one tuned to the text, where a gate lets it pass."""
    config = ground.config.base
    assert config is not None
    if config.tune is None:
        return Tuned(folder=place(config))
    from inlay.adapt.adapt import adapt
    from inlay.text.labelled import read_pairs

    given = read_pairs(config.pairs) if config.pairs is not None else ()
    report = adapt(
        place(config),
        ground.distinct,
        ground.held,
        ground.lang,
        config.tune,
        run.folder / "adapt",
        seed=ground.config.seed,
        given=given,
    )
    run.costs.extend(report.stages)
    # The untuned encoder is measured there too; where it is the one to go on with, it has a line already.
    rows = [{**row, "name": "base, untuned"} if row["name"] == BASE else row for row in report.rows]
    rows = rows if report.kept else [row for row in rows if row["name"] != "base, untuned"]
    return Tuned(folder=report.model, rows=tuple(rows), why=report.why, kept=report.kept)


def measure(run: Run, ground: Ground, bench: Bench, found: Measured, tuned: Tuned) -> list[Member]:
    """The base encoder and the table that is fitted to it, both measured; the encoder first, which is the default."""
    vectors = run.stage("base vectors", lambda part: _encode(ground, tuned.folder, part))
    fusion = encoder_fusion(ground.lang)
    encoder = Member.of_vectors(BASE, np.load(vectors / "documents.npy"), _answers(ground, vectors), fusion)
    about = read_json(vectors / "about.json")
    found.add(
        BASE,
        f"the base encoder {'tuned to the text' if tuned.kept else 'as it is'}, {about['name']}"
        + (f"; {about['cut']}" if about["cut"] else ""),
        run.stage(f"rung {BASE}", lambda part: note(bench, encoder, [], part)),
        run,
        stages=2,
    )

    def fit(part: Path) -> None:
        table = _table(ground, ground.held.texts, np.load(vectors / "documents.npy"), rung_table(run, "lsa-grams"))
        np.save(part / TABLE, table, allow_pickle=False)
        note(bench, _static(ground, bench, table), [], part)

    what = "a token table fitted to the vectors of base and LSA, no encoder at search"
    found.add(FITTED, what, run.stage(f"rung {FITTED}", fit), run)
    return [encoder, _static(ground, bench, rung_table(run, FITTED))]


def fitted_to_all(ground: Ground, folder: Path) -> StaticEmbedder:
    """The table again, now fitted to whole documents, the held-out ones too."""
    config = ground.config
    most = max(_FEWEST, int(config.seconds(0.5) * _ENCODED_A_SECOND))
    positions: Sequence[int] = range(len(ground.distinct))
    if len(positions) > most:
        say(f"note: the table is fitted to {most:,} of {len(positions):,} documents; more --minutes take more")
        rng = np.random.default_rng([config.seed, 6])
        positions = sorted(rng.choice(len(positions), most, replace=False).tolist())
    texts = [ground.distinct[at].full for at in positions]
    vectors, _ = _read(load(folder), texts, "document", "read documents")
    lsa = ground.material(range(len(ground.distinct))).lsa_grams
    return StaticEmbedder(ground.tokenizer, _table(ground, texts, vectors, lsa))


def _encode(ground: Ground, folder: Path, part: Path) -> None:
    """The vectors of what is searched and of what is asked."""
    embedder = load(folder)
    documents, report = _read(embedder, ground.held.texts, "document", "read documents")
    np.save(part / "documents.npy", documents)
    for kind, queries in ground.held.queries.items():
        np.save(part / f"{kind}.npy", _read(embedder, queries, "query", f"read {kind}s")[0])
    assert ground.config.base is not None
    cut = report.dropped / max(report.tokens + report.dropped, 1)
    told = f"the base encoder reads only the beginning of long texts: {cut:.1%} of the tokens are cut off"
    if cut:
        say(f"note: {told}")
    about = {"name": _name(ground.config.base.folder), "dim": embedder.dim, "cut": told if cut else None}
    write_json(part / "about.json", about)


def _name(base: str) -> str:
    """The folder's own name, and the one above it where that says nothing; of a model of the hub its name there."""
    if not Path(base).exists():
        return base
    folder = Path(base).resolve()
    return f"{folder.parent.name}/{folder.name}" if folder.name in ("model", "snapshot", "final") else folder.name


def _read(embedder: Embedder, texts: Sequence[str], prompt: str, label: str) -> tuple[Array, EncodeReport]:
    vectors = np.zeros((len(texts), embedder.dim), np.float32)
    reports = []
    # Texts of one length stand together, so that a block is done in few steps.
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    with Live(label, len(texts), "texts") as live:
        for start in range(0, len(texts), _BLOCK):
            block = order[start : start + _BLOCK]
            vectors[block], report = embedder.encode([texts[at] for at in block], prompt=prompt, report=True)
            reports.append(report)
            live.advance(len(block))
    return vectors, total(reports)


def _answers(ground: Ground, vectors: Path) -> dict[str, Array]:
    """The vector of each question."""
    return {
        query: vector
        for kind, queries in ground.held.queries.items()
        for query, vector in zip(queries, np.load(vectors / f"{kind}.npy"), strict=True)
    }


def _table(ground: Ground, texts: Sequence[str], vectors: Array, lsa: Array) -> Array:
    """(V, D) fitted to the encoder's and LSA's vectors of the texts, side by side."""
    assert ground.config.base is not None
    counts = ground.counted(texts)
    targets = side_by_side(vectors, np.asarray(counts @ lsa, np.float32))
    return np.ascontiguousarray(fit_table(counts, targets, features=ground.features, ridge=ground.config.base.ridge))


def _static(ground: Ground, bench: Bench, table: Array) -> Member:
    return bench.member(
        FITTED, StaticEmbedder(ground.tokenizer, table), fusion=encoder_fusion(ground.lang), label=FITTED
    )
