"""Folders of tokenizers as checkpoints have them, made here: trained on a few lines of English and Chinese."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inlay.tokenize.kinds import ByteBPE, WordPiece
from inlay.tokenize.tokenizer import Tokenizer

LINES = [
    "The cat sat on the mat, and the other cats were sitting on other mats (usually).",
    "Café, naïve, Straße and Zoë: accents are kept or dropped; 3.14 and 1,000 stay numbers.",
    "我喜欢机器学习，因为机器学习很有意思。深度学习是机器学习的一种方法。",
    "He said ``quotes'' and \"quotes\"; e-mail me at a.b@c.org, 10,000 times!",
    "Smile 😀 and the world smiles 👩‍👩‍👧 with you. שלום مرحبا Привет ＡＢＣ ① ﬁn",
    "walking talking sitting walked talked sat walks talks sits mask sep cls",
] * 6

Files = dict[str, Any]
"""What is in each file of a folder: a table for JSON, else text or bytes."""


def _write(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, bytes | str) else json.dumps(content)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def _wordpieces() -> str:
    config = WordPiece(size=300, min_count=1, lowercase=False, specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    both = LINES + [line.lower() for line in LINES] + ["cafe naive zoe"] * 3
    return "\n".join(Tokenizer.train(both, config).vocabulary) + "\n"


def _byte_pairs(specials: tuple[str, ...]) -> Files:
    tokenizer = Tokenizer.train(LINES, ByteBPE(size=400, specials=specials))
    model = json.loads(tokenizer._engine.to_str())["model"]
    merges = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    return {"vocab.json": model["vocab"], "merges.txt": "\n".join(merges) + "\n"}


def _pieces(folder: Path, **options: Any) -> bytes:
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_prefix=str(folder / "m"),
        vocab_size=260,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    return (folder / "m.model").read_bytes()


@pytest.fixture(scope="session")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], Files]]:
    """The vocabulary files of each family, made when they are first asked for."""
    made: dict[str, Files] = {}
    makers: dict[str, Callable[[Path], Files]] = {
        "wordpiece": lambda _: {"vocab.txt": _wordpieces()},
        "roberta": lambda _: _byte_pairs(("<s>", "<pad>", "</s>", "<unk>", "<mask>")),
        "gpt2": lambda _: _byte_pairs(("<|endoftext|>",)),
        "t5": lambda at: {"spiece.model": _pieces(at, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)},
        "albert": lambda at: {
            "spiece.model": _pieces(
                at, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"]
            )
        },
        "xlnet": lambda at: {
            "spiece.model": _pieces(
                at,
                unk_id=0,
                bos_id=1,
                eos_id=2,
                control_symbols=["<cls>", "<sep>", "<pad>", "<mask>"],
                user_defined_symbols=["<eop>", "<eod>"],
            )
        },
    }

    def make(name: str) -> Files:
        if name not in made:
            made[name] = makers[name](tmp_path_factory.mktemp(name))
        return made[name]

    return {name: lambda name=name: make(name) for name in makers}  # type: ignore[misc]


@pytest.fixture(scope="session")
def write() -> Callable[[Path, Files], Path]:
    """`write(folder, files)` makes the folder of these files."""
    return _write


@pytest.fixture
def folder_of(vocabularies: dict[str, Callable[[], Files]], tmp_path: Path) -> Callable[..., Path]:
    """`folder_of("t5", {"config.json": {…}})`: a folder with that vocabulary and those files."""
    return lambda name, files=None: _write(tmp_path / "folder", vocabularies[name]() | (files or {}))
