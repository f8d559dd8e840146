"""Packing: every token where it belongs, batches known by their number, and errors that say what to set."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from inlay.batch import Batch
from inlay.config import from_tree
from inlay.errors import InputError
from inlay.text.corpus import Corpus
from inlay.text.frame import frame_of
from inlay.text.pack import Packing, Rows, SentencePairs, Sentences, pack
from inlay.text.shardfile import SENTENCE, WORD, Part, Shards
from inlay.text.shards import ShardsConfig, write_shards
from inlay.tokenize.kinds import Words
from inlay.tokenize.tokenizer import Tokenizer

Sharded = Callable[..., Shards]
KINDS = pytest.mark.parametrize("kind", ["wordpiece", "bytebpe", "words"])
PACKINGS: list[Packing] = [
    Rows(length=24),
    Rows(length=24, across=False),
    Rows(length=24, across=False, specials=False),
    Rows(length=500, specials=False),
    SentencePairs(length=40),
    SentencePairs(length=24, other="swapped", short=0.4),
    Sentences(length=12),
    Sentences(length=30, specials=False),
]
EVERY_PACKING = pytest.mark.parametrize("packing", PACKINGS, ids=str)


def texts_of(batch: Batch) -> list[list[int]]:
    return [batch.ids[start : start + n].tolist() for start, n in zip(batch.starts, batch.lengths, strict=True)]


def epoch(shards: Shards, packing: Packing, split: str = "train", per_batch: int = 4, number: int = 0) -> list[Batch]:
    batches = pack(shards, packing, split=split, per_batch=per_batch, seed=5)  # type: ignore[arg-type]
    return [batches.batch(number * batches.per_epoch + place) for place in range(batches.per_epoch)]


def documents_of(shards: Shards, split: str = "train") -> list[list[int]]:
    split_ = shards.documents(split)  # type: ignore[arg-type]
    return [split_.document(number).tolist() for number in range(split_.amount.documents)]


@KINDS
@EVERY_PACKING
def test_a_batch_is_the_same_whenever_it_is_asked_for(kind: str, packing: Packing, sharded: Sharded) -> None:
    shards = sharded(kind)
    first = pack(shards, packing, per_batch=3, seed=1)
    again = pack(Shards.open(shards.folder), packing, per_batch=3, seed=1)
    numbers = [0, 7, 2 * first.per_epoch + 1, 3]
    for number, back in zip(numbers, reversed(numbers), strict=True):
        again.batch(back)
        a, b = first.batch(number), again.batch(number)
        for name in ("ids", "lengths", "cut", "segments", "labels", "words"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert again.identity == first.identity == json.loads(json.dumps(first.identity))
    other = pack(shards, packing, per_batch=3, seed=2)
    assert not np.array_equal(other.batch(0).ids, first.batch(0).ids)
    assert not np.array_equal(first.batch(first.per_epoch).ids, first.batch(0).ids)


@KINDS
@EVERY_PACKING
def test_texts_fit_their_length_and_are_framed_as_the_tokenizer_does(
    kind: str, packing: Packing, sharded: Sharded
) -> None:
    shards = sharded(kind)
    pairs = isinstance(packing, SentencePairs)
    frame = frame_of(shards.tokenizer, 2 if pairs else 1, specials=getattr(packing, "specials", True))
    assert frame.size == (3 if pairs else 2 * packing.specials if not isinstance(packing, SentencePairs) else 0)
    for batch in epoch(shards, packing):
        assert batch.lengths.max() <= packing.length
        assert batch.lengths.min() > frame.size
        for text in texts_of(batch):
            assert text[: len(frame.ids[0])] == frame.ids[0].tolist()
            assert text[len(text) - len(frame.ids[-1]) :] == frame.ids[-1].tolist()
        if isinstance(packing, Rows):
            assert len(batch.ids) <= 4 * packing.length


@KINDS
@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("specials", [True, False])
def test_rows_across_documents_are_the_stream_cut_every_so_many_tokens(
    kind: str, split: str, specials: bool, sharded: Sharded
) -> None:
    shards = sharded(kind)
    sep = shards.tokenizer.id("[SEP]")
    stream = [token for document in documents_of(shards, split) for token in (*document, sep)]
    width = 24 - 2 * specials
    expected = [stream[start : start + width] for start in range(0, len(stream), width)]
    texts = [text for batch in epoch(shards, Rows(length=24, specials=specials), split) for text in texts_of(batch)]
    found = [text[1:-1] if specials else text for text in texts]
    if split == "heldout":
        assert found == expected
    else:
        assert sorted(found) == sorted(expected)
        assert [len(row) for row in sorted(found, key=len)[1:]] == [width] * (len(found) - 1)


@KINDS
@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize(("length", "specials"), [(24, True), (5, True), (24, False), (1, False), (3000, True)])
def test_rows_within_documents_have_every_token_once_and_no_document_twice_in_a_text(
    kind: str, split: str, length: int, specials: bool, sharded: Sharded
) -> None:
    shards = sharded(kind)
    packing = Rows(length=length, across=False, specials=specials)
    batches = pack(shards, packing, split="heldout", per_batch=1)
    texts = [text for number in range(batches.per_epoch) for text in texts_of(batches.batch(number))]
    pieces: Iterator[list[int]] = iter([text[1:-1] if specials else text for text in texts])
    for document in documents_of(shards, "heldout"):  # the pieces tile each document, in order
        while document:
            piece = next(pieces)
            assert document[: len(piece)] == piece
            document = document[len(piece) :]
    assert next(pieces, None) is None
    if split == "train" and length > 1:
        found = Counter(
            token for batch in epoch(shards, packing, per_batch=2) for text in texts_of(batch)
            for token in (text[1:-1] if specials else text)
        )  # fmt: skip
        assert found == Counter(token for document in documents_of(shards) for token in document)


@KINDS
def test_sentences_come_one_by_one_and_what_is_cut_is_counted(kind: str, sharded: Sharded) -> None:
    shards = sharded(kind)
    sentences = []
    for part in shards.documents("heldout"):
        assert part.flags is not None
        edges = np.append(np.flatnonzero(part.flags & SENTENCE), len(part.tokens))
        sentences += [part.tokens[a:b].tolist() for a, b in pairwise(edges)]
    batches = epoch(shards, Sentences(length=12), "heldout")
    found = [text[1:-1] for batch in batches for text in texts_of(batch)]
    assert found == [sentence[:10] for sentence in sentences]
    assert [cut for batch in batches for cut in batch.cut] == [max(0, len(sentence) - 10) for sentence in sentences]


def parted(batch: Batch) -> Iterator[tuple[list[int], list[int], int]]:
    """A, B and the label of each pair, cut out by the segments."""
    assert batch.segments is not None
    assert batch.labels is not None
    for start, length, label in zip(batch.starts, batch.lengths, batch.labels, strict=True):
        ids, segments = batch.ids[start : start + length], batch.segments[start : start + length]
        assert np.array_equal(segments, np.sort(segments))
        yield ids[segments == 0][1:-1].tolist(), ids[segments == 1][:-1].tolist(), int(label)


def within(piece: list[int], documents: list[list[int]]) -> set[int]:
    """The documents that the piece stands in."""
    text = f",{','.join(map(str, piece))},"
    return {n for n, document in enumerate(documents) if text in f",{','.join(map(str, document))},"}


@KINDS
def test_pairs_follow_each_other_in_one_document_or_come_from_two(kind: str, sharded: Sharded) -> None:
    shards = sharded(kind)
    documents, seen = documents_of(shards), Counter[int]()
    for batch in [*epoch(shards, SentencePairs(length=60)), *epoch(shards, SentencePairs(length=60), number=1)]:
        for first, second, label in parted(batch):
            seen[label] += 1
            together = within(first + second, documents)
            if label == 0:
                assert together
            else:
                assert within(second, documents)
                assert within(first, documents) != within(second, documents) or len(within(first, documents)) > 1
    assert seen[0] / seen.total() == pytest.approx(0.5, abs=4 * 0.5 / seen.total() ** 0.5)


@KINDS
def test_swapped_pairs_are_those_that_follow_the_other_way_round(kind: str, sharded: Sharded) -> None:
    shards = sharded(kind)
    documents = documents_of(shards)
    labels = []
    for batch in epoch(shards, SentencePairs(length=60, other="swapped", share=0.3)):
        for first, second, label in parted(batch):
            assert within(second + first if label else first + second, documents)
            labels.append(label)
    assert np.mean(labels) == pytest.approx(0.3, abs=0.15)


@pytest.mark.parametrize(("share", "expected"), [(0.0, {0}), (1.0, {1})])
def test_the_share_of_unlike_pairs_is_what_is_asked_for(share: float, expected: set[int], sharded: Sharded) -> None:
    for other in ("document", "swapped"):
        batches = epoch(sharded(), SentencePairs(length=60, other=other, share=share))
        assert {label for batch in batches for _, _, label in parted(batch)} == expected


def test_without_short_ones_like_pairs_tile_the_documents(sharded: Sharded) -> None:
    shards = sharded()
    batches = epoch(shards, SentencePairs(length=60, short=0, share=0), "heldout")
    found = [token for batch in batches for first, second, _ in parted(batch) for token in first + second]
    assert found == [token for document in documents_of(shards, "heldout") if len(document) > 1 for token in document]
    short = epoch(shards, SentencePairs(length=60, short=1.0, share=0), "heldout")
    assert sum(len(batch.ids) for batch in short) < 0.8 * sum(len(batch.ids) for batch in batches)


def test_both_halves_of_a_pair_begin_with_sentences_wherever_there_are_two(sharded: Sharded) -> None:
    shards = sharded()
    openings = {int(part.tokens[at]) for part in shards.documents("train") for at in np.flatnonzero(sentences_of(part))}
    pairs = [pair for batch in epoch(shards, SentencePairs(length=80)) for pair in parted(batch)]
    assert np.mean([float(second[0] in openings) for _, second, _ in pairs]) > 0.8


def sentences_of(part: Part) -> np.ndarray:
    assert part.flags is not None
    return (part.flags & SENTENCE).astype(bool)


@KINDS
@EVERY_PACKING
def test_a_word_begins_with_each_special_token_and_after_it(kind: str, packing: Packing, sharded: Sharded) -> None:
    shards = sharded(kind)
    for batch in epoch(shards, packing):
        assert batch.words is not None
        assert batch.words[batch.starts].all()
        specials = np.isin(batch.ids, [shards.tokenizer.id(token) for token in ("[CLS]", "[SEP]")])
        assert batch.words[specials].all()
        assert batch.words[1:][specials[:-1]].all()


@KINDS
def test_the_words_of_a_batch_are_those_that_the_shards_tell(kind: str, sharded: Sharded) -> None:
    shards = sharded(kind)
    flags = [part.flags for part in shards.documents("heldout") if part.flags is not None]
    told = (np.concatenate(flags) & WORD).astype(bool)
    assert told.mean() > 0
    batches = epoch(shards, Rows(length=24, across=False, specials=False), "heldout")
    begins = np.concatenate([batch.words for batch in batches if batch.words is not None])
    texts = np.concatenate([[0], np.cumsum(np.concatenate([batch.lengths for batch in batches]))[:-1]])
    told[texts] = True  # where a row begins inside a word
    assert np.array_equal(begins, told)


def test_no_words_and_no_sentences_without_flags(sharded: Sharded) -> None:
    shards = sharded(words=False, sentences=False)
    assert pack(shards, Rows(length=24), per_batch=2).batch(0).words is None
    for packing in (SentencePairs(), Sentences()):
        with pytest.raises(InputError, match=f"{type(packing).__name__} needs .* --sentences"):
            pack(shards, packing, per_batch=2)


def test_a_text_that_is_smaller_than_a_batch_says_what_to_set(sharded: Sharded) -> None:
    shards = sharded()
    rows = len(epoch(shards, Rows(length=64), per_batch=1))
    with pytest.raises(InputError, match=f"gives {rows} texts .* set the batch to {rows} or less"):
        pack(shards, Rows(length=64), per_batch=rows + 1)
    assert pack(shards, Rows(length=64), per_batch=rows).per_epoch == 1
    assert pack(shards, Rows(length=64), split="heldout", per_batch=10**6).per_epoch == 1


def test_what_does_not_fit_is_told(sharded: Sharded, tmp_path: Path, texts: list[str]) -> None:
    shards = sharded()
    for packing, message in [
        (Rows(length=2), "length=2 leaves no room for text; it must be at least 3"),
        (Rows(length=4, across=False), "must be at least 5"),
        (SentencePairs(length=4), "leaves no room for a pair"),
        (Sentences(length=2), "leaves no room"),
    ]:
        with pytest.raises(InputError, match=message):
            pack(shards, packing, per_batch=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="split='test' is unknown"):
        pack(shards, Rows(), split="test", per_batch=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="per_batch=0"):
        pack(shards, Rows(), per_batch=0)
    with pytest.raises(InputError, match="seed=-1 must"):
        pack(shards, Rows(), per_batch=1, seed=-1)
    with pytest.raises(InputError, match="other='swap' is unknown; did you mean 'swapped'"):
        SentencePairs(other="swap")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"share=1.5 must be a share"):
        from_tree(Packing, {"kind": "SentencePairs", "share": 1.5})  # type: ignore[arg-type]
    plain = Tokenizer.train(texts, Words(specials=("[UNK]",)))
    bare = write_shards(Corpus(texts), plain, tmp_path / "bare", ShardsConfig(sentences=True, held_out=0))
    with pytest.raises(InputError, match="across=False"):
        pack(bare, Rows(), per_batch=1)
    with pytest.raises(InputError, match=r"nothing between two texts; train one with \[CLS\] and \[SEP\]"):
        pack(bare, SentencePairs(), per_batch=1)
    with pytest.raises(InputError, match="holds nothing out"):
        pack(bare, Rows(across=False), split="heldout", per_batch=1)
    assert pack(bare, Rows(across=False), per_batch=1).batch(0).lengths.sum() == 128


def test_the_other_document_needs_another_document(tokenizers: Callable[[str], Tokenizer], tmp_path: Path) -> None:
    shards = write_shards(
        Corpus(["the fox. a dog. the lazy jugs."]),
        tokenizers("words"),
        tmp_path / "s",
        ShardsConfig(sentences=True, held_out=0),
    )
    with pytest.raises(InputError, match="train has one alone"):
        pack(shards, SentencePairs(), per_batch=1)
    assert len(pack(shards, SentencePairs(other="swapped"), per_batch=1).batch(0)) == 1


def test_a_long_document_goes_over_many_rows_and_shards_are_no_borders(
    tokenizers: Callable[[str], Tokenizer], tmp_path: Path
) -> None:
    texts = ["the fox " * 5000, "a dog", "lazy jugs " * 30]
    tokenizer = tokenizers("words")
    shards = write_shards(Corpus(texts), tokenizer, tmp_path / "s", ShardsConfig(held_out=0, shard_tokens=1))
    assert len(shards.facts.shards) == 3
    rows = [text for batch in epoch(shards, Rows(length=100, specials=False), per_batch=1) for text in texts_of(batch)]
    assert sorted(len(row) for row in rows)[1:] == [100] * (len(rows) - 1)
    assert sum(map(len, rows)) == 10_000 + 2 + 60 + 3
