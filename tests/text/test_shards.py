"""Writing shards: every document comes back, equal runs give equal bytes, and a killed one goes on."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.files import atomic_folder
from inlay.live import Live
from inlay.text.blocks import Read, border
from inlay.text.corpus import Corpus
from inlay.text.shardfile import SENTENCE, Shards
from inlay.text.shards import ShardsConfig, write_shards
from inlay.tokenize.kinds import Characters
from inlay.tokenize.tokenizer import Tokenizer

KINDS = ("wordpiece", "bpe", "unigram", "bytebpe", "bytes", "characters", "words")
Kinds = Callable[[str], Tokenizer]


def every_document(shards: Shards) -> list[tuple[int, ...]]:
    """The ids of all documents, of both splits, sorted."""
    splits = [shards.documents("train"), shards.documents("heldout")]
    return sorted(tuple(split.document(n).tolist()) for split in splits for n in range(split.amount.documents))


def sums(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_document_is_stored_once_as_the_tokenizer_cuts_it(
    kind: str, sharded: Callable[..., Shards], texts: list[str]
) -> None:
    shards = sharded(kind, sentences=False)
    expected = sorted(tuple(shards.tokenizer.encode([text]).ids.tolist()) for text in texts)
    assert every_document(shards) == expected
    assert len(shards.facts.shards) > 1
    total = shards.facts.train + shards.facts.heldout
    assert (total.documents, total.tokens) == (len(texts), sum(map(len, expected)))
    assert total.characters == sum(map(len, texts))
    assert total.bytes == sum(len(text.encode()) for text in texts)


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_are_marked_and_say_the_whole_text(
    kind: str, sharded: Callable[..., Shards], texts: list[str]
) -> None:
    from inlay.text.pairs import sentences

    shards = sharded(kind)
    found = []
    for split in ("train", "heldout"):
        for part in shards.documents(split):
            assert part.flags is not None
            borders = np.append(np.flatnonzero(part.flags & SENTENCE), len(part.tokens))
            assert set(part.ends.tolist()) <= set(borders.tolist())
            found += [shards.tokenizer.decode(part.tokens[a:b]) for a, b in zip(borders, borders[1:], strict=False)]
    expected = [sentence for text in texts for sentence in sentences(text)]
    assert len(found) == len(expected)
    if kind in ("bytebpe", "bytes"):  # they lose nothing, the space before a sentence included
        assert sorted(map(str.strip, found)) == sorted(expected)
        assert sum(sentence.startswith(" ") for sentence in found) == len(expected) - len(texts)


def test_the_counts_and_the_entropy_are_those_of_the_training_text(sharded: Callable[..., Shards]) -> None:
    shards = sharded()
    tokens = np.concatenate([part.tokens for part in shards.documents("train")])
    counts = np.bincount(tokens, minlength=shards.tokenizer.size)
    assert np.array_equal(shards.counts(), counts)
    p = counts[counts > 0] / len(tokens)
    assert shards.facts.entropy == pytest.approx(-(p * np.log(p)).sum())


def test_equal_documents_lie_on_one_side(tmp_path: Path, tokenizers: Kinds, texts: list[str]) -> None:
    doubled = [text for text in texts for _ in range(3)]
    shards = write_shards(Corpus(doubled), tokenizers("words"), tmp_path / "s", ShardsConfig(held_out=0.3))
    sides = [
        {tuple(split.document(n).tolist()) for n in range(split.amount.documents)}
        for split in (shards.documents("train"), shards.documents("heldout"))
    ]
    assert not sides[0] & sides[1]
    assert 0.1 < shards.facts.heldout.documents / len(doubled) < 0.5


def test_another_seed_holds_out_other_documents(sharded: Callable[..., Shards]) -> None:
    held = [
        {tuple(split.document(n).tolist()) for n in range(split.amount.documents)}
        for split in (sharded(seed=seed).documents("heldout") for seed in (0, 1))
    ]
    assert held[0] != held[1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.floats(1e-6, 0.999))
def test_both_sides_have_a_document_unless_all_are_equal(keys: list[int], share: float) -> None:
    read = [Read(text="t", size=1, key=key, part=0, number=n) for n, key in enumerate(keys, 1)]
    if len(set(keys)) == 1:
        with pytest.raises(InputError, match="held-out: 0"):
            border(iter(read), share)
        return
    below, documents = border(iter(read), share)
    assert list(documents) == read
    assert 0 < sum(key < below for key in keys) < len(keys)
    wanted = int(share * 2**64)
    if min(keys) < wanted <= max(keys):
        assert below == wanted


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    letters = [chr(code) for code in (*range(0x20000, 0x2A000), *range(0xF0000, 0xF6400))]
    text = ["".join(letters[start : start + 1000]) for start in range(0, len(letters), 1000)]
    tokenizer = Tokenizer.train(text, Characters(min_count=1, size=70_000, form=None))
    shards = write_shards(Corpus(text), tokenizer, tmp_path / "s", ShardsConfig(held_out=0.1))
    assert shards.facts.dtype == "uint32"
    assert every_document(shards) == sorted(tuple(tokenizer.encode([one]).ids.tolist()) for one in text)


def test_documents_without_a_token_are_counted(tmp_path: Path, tokenizers: Kinds, texts: list[str]) -> None:
    class Odd(Tokenizer):
        def encode(self, texts, pairs=None, **options):  # type: ignore[no-untyped-def]
            return super().encode(["" if text == "!" else text for text in texts], pairs, **options)

    tokenizer = Odd(tokenizers("words")._engine)
    shards = write_shards(Corpus(["!", *texts, "!"]), tokenizer, tmp_path / "s", ShardsConfig(held_out=0.2))
    assert shards.facts.without_tokens == 2
    assert shards.facts.train.documents + shards.facts.heldout.documents == len(texts)


def written(tmp_path: Path, texts: list[str], name: str = "corpus.txt") -> Path:
    file = tmp_path / name
    file.write_text("\n\n".join(texts), encoding="utf-8")
    return file


def corpus_of(file: Path) -> Corpus:
    from inlay.text.corpus import CorpusConfig

    return Corpus(file, config=CorpusConfig(unit="paragraph"))


def test_a_run_that_breaks_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, tokenizers: Kinds, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ShardsConfig(words=True, sentences=True, shard_tokens=500, held_out=0.1)
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(4):
        written(folder, texts[number * 20 : number * 20 + 20], f"{number}.txt")
    tokenizer = tokenizers("bytebpe")
    whole = write_shards(corpus_of(folder), tokenizer, tmp_path / "whole", config)
    assert len(whole.facts.shards) > 6
    for breaks_at in (0, 3, len(whole.facts.shards)):
        out, left = tmp_path / f"broken{breaks_at}", iter(range(breaks_at))

        def breaking(path: Path, left: Iterator[int] = left) -> AbstractContextManager[Path]:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return atomic_folder(path)

        with monkeypatch.context() as patched:
            patched.setattr("inlay.text.shards.atomic_folder", breaking)
            patched.setattr("inlay.text.shards.atomic_path", breaking)  # of what is written after the shards
            with pytest.raises(KeyboardInterrupt):
                write_shards(corpus_of(folder), tokenizer, out, config)
        assert out.exists() == (breaks_at > 0)
        if breaks_at:
            with pytest.raises(InputError, match="not finished"):
                Shards.open(out)
        stamps = {file: file.stat().st_mtime_ns for file in (out / "shards").glob("*/*")}
        assert len(stamps) == breaks_at * 7
        write_shards(corpus_of(folder), tokenizer, out, config)
        assert sums(out) == sums(tmp_path / "whole")
        assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())


def test_a_killed_process_is_gone_on_with(tmp_path: Path, tokenizers: Kinds, texts: list[str]) -> None:
    file = written(tmp_path, texts * 80)
    tokenizers("bytes").save(tmp_path / "tokenizer")
    script = (
        "import sys\n"
        "from inlay.text.corpus import Corpus, CorpusConfig\n"
        "from inlay.text.shards import ShardsConfig, write_shards\n"
        "from inlay.tokenize.tokenizer import Tokenizer\n"
        "source, tokenizer, out = sys.argv[1:]\n"
        "write_shards(Corpus(source, config=CorpusConfig(unit='paragraph')), Tokenizer.load(tokenizer), out,\n"
        "             ShardsConfig(shard_tokens=100_000))\n"
    )

    out, config = tmp_path / "killed", ShardsConfig(shard_tokens=100_000)
    process = subprocess.Popen([sys.executable, "-c", script, str(file), str(tmp_path / "tokenizer"), str(out)])
    until = time.monotonic() + 60
    while not (out / "shards" / "00003").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "checksums.json").exists()
    for folder in (out, tmp_path / "whole"):
        write_shards(corpus_of(file), tokenizers("bytes"), folder, config)
    assert sums(out) == sums(tmp_path / "whole")
    assert not list(out.rglob("*.part"))


def test_finished_shards_are_left_as_they_are(
    tmp_path: Path,
    tokenizers: Kinds,
    texts: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Live, "enabled", True)  # a command before may have been given --quiet
    out = tmp_path / "s"
    write_shards(Corpus(texts), tokenizers("words"), out, ShardsConfig(held_out=0.1))
    stamps = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    write_shards(Corpus(texts), tokenizers("words"), out, ShardsConfig(held_out=0.1))
    assert "done before" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == stamps


@pytest.mark.parametrize("change", ["texts", "tokenizer", "seed", "words", "file"])
def test_a_folder_of_another_run_is_refused_unless_forced(
    change: str, tmp_path: Path, tokenizers: Kinds, texts: list[str]
) -> None:
    out, file = tmp_path / "s", written(tmp_path, texts)
    source = corpus_of(file) if change == "file" else Corpus(texts)
    write_shards(source, tokenizers("words"), out, ShardsConfig(held_out=0.1))
    before = sums(out)
    tokenizer, config = tokenizers("words"), ShardsConfig(held_out=0.1)
    if change == "texts":
        source = Corpus(texts[1:])
    elif change == "file":
        written(tmp_path, texts[1:])
        source = corpus_of(file)
    elif change == "tokenizer":
        tokenizer = tokenizers("bytes")
    elif change == "seed":
        config = ShardsConfig(held_out=0.1, seed=1)
    else:
        config = ShardsConfig(held_out=0.1, words=True)
    with pytest.raises(InputError, match="cannot resume .* was .* and is .* now; .*--force"):
        write_shards(source, tokenizer, out, config)
    assert sums(out) == before
    write_shards(source, tokenizer, out, config, force=True)
    assert sums(out) != before


@pytest.mark.parametrize("file", ["thesis.txt", "run.json"])
def test_a_folder_of_something_else_is_never_touched(
    file: str, tmp_path: Path, tokenizers: Kinds, texts: list[str]
) -> None:
    (tmp_path / file).write_text('{"config": "of a fit, years of work"}')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("years of work")
    before = sums(tmp_path)
    for force in (False, True):
        with pytest.raises(InputError, match="holds no shards; give another --out"):
            write_shards(Corpus(texts), tokenizers("words"), tmp_path, force=force)
    assert sums(tmp_path) == before


def test_a_file_is_no_folder(tmp_path: Path, tokenizers: Kinds, texts: list[str]) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(InputError, match="s is a file, and shards are a folder"):
        write_shards(Corpus(texts), tokenizers("words"), tmp_path / "s", force=True)


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_a_finished_shard_that_was_damaged_is_not_gone_on_from(
    change: str, tmp_path: Path, tokenizers: Kinds, texts: list[str]
) -> None:
    out, config = tmp_path / "s", ShardsConfig(held_out=0.1)
    write_shards(Corpus(texts), tokenizers("words"), out, config)
    (out / "checksums.json").unlink()
    file = out / "shards" / "00000" / "train.ends"
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(InputError, match=r"00000/train\.ends: gone or changed.*--force"):
        write_shards(Corpus(texts), tokenizers("words"), out, config)


def test_a_run_that_finished_nothing_is_left_to_who_began_it(
    tmp_path: Path, tokenizers: Kinds, texts: list[str]
) -> None:
    out = tmp_path / "s"
    write_shards(Corpus(texts), tokenizers("words"), out, ShardsConfig(held_out=0.1))
    for entry in out.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "run.json":
            entry.unlink()
    with pytest.raises(InputError, match="cannot resume"):
        write_shards(Corpus(texts), tokenizers("words"), out, ShardsConfig(held_out=0.2))
    assert (out / "run.json").is_file()
    write_shards(Corpus(texts), tokenizers("words"), out, ShardsConfig(held_out=0.1))


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (["one alone"], {}, "one document.*held-out: 0"),
        (["again", "again"], {}, "again and again"),
        ([], {}, "no token to learn from"),
        (["a", "b"], {"held_out": 1.0}, "held_out=1 must be a share"),
        (["a", "b"], {"shard_tokens": 0}, "shard_tokens=0 must be"),
        (["a", "b"], {"seed": -1}, "seed=-1 must be at least 0"),
        (["a", "b"], {"words": True, "lang": "klingon"}, "language 'klingon' is not known"),
        (["a", "b"], {"lang": "zh"}, "lang='zh' says how words are marked, and none are; add --words"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(
    source: list[str], settings: dict[str, object], message: str, tmp_path: Path, tokenizers: Kinds
) -> None:
    with pytest.raises(InputError, match=message):
        write_shards(Corpus(source), tokenizers("bytes"), tmp_path / "s", ShardsConfig(**settings))  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("share", [1e-6, 0.5, 0.999])
def test_of_two_documents_one_is_held_out_whatever_the_share(share: float, tmp_path: Path, tokenizers: Kinds) -> None:
    shards = write_shards(Corpus(["one", "two"]), tokenizers("bytes"), tmp_path / "s", ShardsConfig(held_out=share))
    assert (shards.facts.train.documents, shards.facts.heldout.documents) == (1, 1)


def test_nothing_is_held_out_where_that_is_asked_for(tmp_path: Path, tokenizers: Kinds) -> None:
    shards = write_shards(Corpus(["one alone"]), tokenizers("bytes"), tmp_path / "s", ShardsConfig(held_out=0))
    assert (shards.facts.train.documents, shards.facts.heldout.documents) == (1, 0)


def test_the_folder_tells_what_it_is_in_plain_json(sharded: Callable[..., Shards]) -> None:
    tree = json.loads((sharded().folder / "shards.json").read_text())
    assert {"format", "dtype", "vocabulary", "size", "held_out", "seed", "train", "heldout", "entropy"} <= set(tree)
