"""Unigram on real text, whose rarest characters are all equally rare."""

from itertools import islice
from pathlib import Path

from inlay.text.corpus import Corpus
from inlay.tokenize.kinds import Unigram
from inlay.tokenize.tokenizer import Tokenizer


def test_the_rarest_characters_of_a_text_do_not_tell_one_run_from_another(data: Path) -> None:
    texts = [document.full[:1500] for document in islice(Corpus("enwiki-2014-sample"), 100)]
    trees = [Tokenizer.train(texts, Unigram(size=1000)).tree() for _ in range(4)]
    assert all(tree == trees[0] for tree in trees)
