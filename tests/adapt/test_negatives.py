"""Hard negatives: they look like the answer, and are never of its document, nor the answer, nor nearly as near."""

from typing import Any

import numpy as np
import pytest
from made_base import documents, held

from inlay.adapt.config import Hard, Mined
from inlay.adapt.negatives import with_hard
from inlay.adapt.pairs import Pairs, answered, mined
from inlay.embed.static import unit
from inlay.text.labelled import Answered
from inlay.text.pairs import body_of

DOCUMENTS = documents()
REST = [at for at in range(len(DOCUMENTS)) if at not in set(held().positions)]


class Words:
    """A text's vector is the sum of fixed random vectors of its words."""

    dim = 24

    def encode(self, texts: Any, **_: Any) -> Any:
        found = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word in text.replace(".", "").lower().split():
                found[row] += np.random.default_rng(sum(map(ord, word)) * 31 + len(word)).standard_normal(self.dim)
        return unit(found)


def hard(pairs: Pairs, config: Hard, *, labelled: bool = False, seed: int = 0) -> Pairs:
    return with_hard(pairs, DOCUMENTS, REST, Words(), "en", config, labelled=labelled, seed=seed)


PAIRS = mined(DOCUMENTS, held(), Mined(limit=150), seed=0)


@pytest.mark.parametrize("config", [Hard(), Hard(per_pair=3, ranks=5), Hard(per_pair=2, below=0.2)])
def test_a_negative_is_never_of_the_document_that_is_asked_for_nor_held_out(config: Hard) -> None:
    found = hard(PAIRS, config)
    place = {body_of(DOCUMENTS[at]): at for at in range(len(DOCUMENTS))}
    secret = set(held().positions)
    for negatives, group in zip(found.negatives, found.groups.tolist(), strict=True):
        assert len(set(negatives)) == len(negatives) == config.per_pair
        assert all(place[text] != group and place[text] not in secret for text in negatives)


def test_hard_negatives_are_nearer_than_chance_and_further_than_the_answer() -> None:
    embedder, pairs = Words(), mined(DOCUMENTS, held(), Mined(kinds=("sentence",)), seed=0)
    found = hard(pairs, Hard(ranks=10, below=0.9))
    queries, positives = embedder.encode(pairs.queries), embedder.encode(pairs.positives)
    answers = np.einsum("pd,pd->p", queries, positives)
    near = np.einsum("pd,pd->p", queries, embedder.encode([one[0] for one in found.negatives]))
    chance = np.einsum("pd,pd->p", queries, np.roll(positives, 7, axis=0))
    assert near.mean() > chance.mean() + 0.1
    assert (near < 0.9 * answers).mean() > 0.9  # where none is far enough, one by chance stands in


def test_the_same_seed_finds_the_same() -> None:
    one, same, other = (hard(PAIRS, Hard(), seed=seed).negatives for seed in (0, 0, 1))
    assert one == same != other


def test_given_negatives_stay_and_come_first_and_no_document_that_holds_an_answer_is_one() -> None:
    bodies = [body_of(DOCUMENTS[at]) for at in REST[:30]]
    given = [
        Answered(query=DOCUMENTS[at].title, positive=body.split(". ")[0], negatives=("given one",) * (at % 3))
        for at, body in zip(REST, bodies, strict=False)
    ]
    found = hard(answered(given), Hard(per_pair=2), labelled=True)
    for pair, negatives in zip(given, found.negatives, strict=True):
        assert negatives[: len(pair.negatives)] == pair.negatives[:2]
        assert len(negatives) == 2
        assert all(pair.positive not in text for text in negatives)


def test_a_corpus_of_one_document_has_no_negatives_to_give() -> None:
    at = REST[0]
    pairs = Pairs(["name1"], [body_of(DOCUMENTS[at])], [()], np.array([at]))
    assert with_hard(pairs, DOCUMENTS, [at], Words(), "en", Hard(), labelled=False, seed=0).negatives == [()]
