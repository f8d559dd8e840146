"""Every kind of tokenizer: what goes in comes back, the same texts give the same tokenizer, and other tools agree."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.tokenize.kinds import BPE, KINDS, ByteBPE, Bytes, Characters, TokenizerConfig, Unigram, WordPiece, Words
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = [
    "The cat sat on the mat, and the other cats were sitting on other mats.",
    "Sitting still is what cats do; walking is what dogs do all day long!",
    "Embeddings turn words into numbers: near words, near numbers (usually).",
    "A tokenizer cuts words into pieces, and pieces into bytes; nothing is lost.",
    "我喜欢机器学习，因为机器学习很有意思。",
    "深度学习是机器学习的一种方法，用很多层的网络。",
    "Das Café in der Straße öffnet um acht Uhr; Zoë trinkt Tee.",
    "Smile 😀 and the world smiles 👩‍👩‍👧 with you.",
    "x = [i**2 for i in range(10)]  # two  spaces\n\tand a tab",
] * 4

SMALL: dict[str, TokenizerConfig] = {
    "WordPiece": WordPiece(size=400),
    "BPE": BPE(size=400),
    "Unigram": Unigram(size=400),
    "ByteBPE": ByteBPE(size=400),
    "Bytes": Bytes(),
    "Characters": Characters(size=400),
    "Words": Words(size=400),
}
LOSSLESS = ["BPE", "Unigram", "ByteBPE", "Bytes", "Characters"]
every_kind = pytest.mark.parametrize("kind", SMALL)


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    return {kind: Tokenizer.train(iter(TEXTS), config) for kind, config in SMALL.items()}


def test_every_kind_is_tried_here() -> None:
    assert list(SMALL) == list(KINDS)


@every_kind
def test_a_config_is_told_by_its_kind(kind: str) -> None:
    tree = to_tree(SMALL[kind], TokenizerConfig)
    assert tree["kind"] == kind
    assert from_tree(TokenizerConfig, tree) == SMALL[kind]


@every_kind
def test_size_is_a_limit_and_specials_come_first(trained: dict[str, Tokenizer], kind: str) -> None:
    tokenizer, config = trained[kind], SMALL[kind]
    assert list(tokenizer.vocabulary)[: len(config.specials)] == list(config.specials)
    assert list(tokenizer.vocabulary.values()) == list(range(tokenizer.size))
    assert tokenizer.size <= getattr(config, "size", 256 + len(config.specials))
    assert len(tokenizer) == tokenizer.size


@pytest.mark.parametrize("kind", LOSSLESS)
def test_decoding_gives_the_text_back(trained: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = trained[kind]
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode([text]).ids) == text


@pytest.mark.parametrize("kind", ["ByteBPE", "Bytes"])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_give_every_text_back(trained: dict[str, Tokenizer], kind: str, text: str) -> None:
    tokenizer = trained[kind]
    if not any(special in text for special in SMALL[kind].specials):
        assert tokenizer.decode(tokenizer.encode([text]).ids) == text


def test_bytes_are_numbered_by_their_value(trained: dict[str, Tokenizer]) -> None:
    text = "aé中😀\n\0"
    first = len(Bytes().specials)
    assert (trained["Bytes"].encode([text]).ids - first).tolist() == list(text.encode())


def test_wordpiece_and_words_lose_no_more_than_case_and_spaces(trained: dict[str, Tokenizer]) -> None:
    for kind in ("WordPiece", "Words"):
        tokenizer = trained[kind]
        for text in TEXTS[:4]:
            again = tokenizer.decode(tokenizer.encode([text]).ids)
            assert again.replace(" ", "") == text.lower().replace(" ", "")


def test_wordpiece_takes_chinese_by_character_and_english_in_pieces(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["WordPiece"]
    assert tokenizer.tokens("机器学习") == list("机器学习")
    assert tokenizer.tokens("The CATS") == ["the", "cats"]
    assert all(token.startswith("##") for token in tokenizer.tokens("wordsy")[1:])
    assert tokenizer.tokens("龘") == ["[UNK]"]
    assert not [token for token in tokenizer.vocabulary if token.startswith("##") and token[2] in ",.;机学"]


def test_words_of_chinese_are_those_that_spaces_show() -> None:
    tokenizer = Tokenizer.train(["我 喜欢 机器 学习"] * 2, Words())
    assert tokenizer.tokens("喜欢 学习") == ["喜欢", "学习"]
    assert tokenizer.tokens("喜欢学习") == ["[UNK]"]


def test_normal_forms_are_chosen() -> None:
    wide, accented = "ＡＢＣ", "cafe\u0301"
    texts = ["ABC café cafe", wide, accented] * 3
    assert Tokenizer.train(texts, Characters(form="NFKC")).tokens(wide) == list("ABC")
    assert Tokenizer.train(texts, Characters(form="NFC")).tokens(accented) == list("café")
    assert Tokenizer.train(texts, Characters(form=None)).tokens(accented) == list(accented)
    assert (
        Tokenizer.train(texts, BPE(strip_accents=True, lowercase=True)).decode(
            Tokenizer.train(texts, BPE(strip_accents=True, lowercase=True)).encode(["CAFÉ"]).ids
        )
        == "cafe"
    )
    assert Tokenizer.train(texts, WordPiece(strip_accents=True)).tokens("CAFÉ") == ["cafe"]
    assert Tokenizer.train(texts, WordPiece()).tokens("CAFÉ") == ["café"]


@every_kind
def test_saved_and_loaded_is_the_same(trained: dict[str, Tokenizer], kind: str, tmp_path: Path) -> None:
    trained[kind].save(tmp_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for path in (tmp_path, str(tmp_path), tmp_path / "tokenizer.json"):
        again = Tokenizer.load(path)
        assert again.vocabulary == trained[kind].vocabulary
        assert again.roles == trained[kind].roles
        assert np.array_equal(again.encode(TEXTS).ids, trained[kind].encode(TEXTS).ids)


@every_kind
def test_transformers_gives_the_same_ids(trained: dict[str, Tokenizer], kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    trained[kind].save(tmp_path)
    texts = [*TEXTS[:9], "", "unseen wörds 龘 \u200d 🤖", "a" * 300]
    for reader in (transformers.AutoTokenizer, transformers.PreTrainedTokenizerFast):
        other = reader.from_pretrained(tmp_path)
        for specials in (False, True):
            batch = trained[kind].encode(texts, specials=specials)
            expected = other(texts, add_special_tokens=specials)["input_ids"]
            assert batch.lengths.tolist() == [len(ids) for ids in expected]
            assert batch.ids.tolist() == [number for ids in expected for number in ids]
        assert other.pad_token == "[PAD]"
        assert other.mask_token == "[MASK]"


@every_kind
def test_a_length_limit_cuts_the_end_and_says_how_much(trained: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = trained[kind]
    texts = ["", "cat", *TEXTS[:6]]
    whole, short = tokenizer.encode(texts), tokenizer.encode(texts, max_length=3)
    assert whole.cut.sum() == 0
    assert np.array_equal(short.cut, whole.lengths - short.lengths)
    assert np.array_equal(short.lengths, np.minimum(whole.lengths, 3))
    for b in range(len(texts)):
        start, length = whole.starts[b], short.lengths[b]
        assert np.array_equal(short.ids[short.rows == b], whole.ids[start : start + length])


@every_kind
def test_specials_around_a_text_survive_a_length_limit(trained: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = trained[kind]
    cls, sep = tokenizer.id("[CLS]"), tokenizer.id("[SEP]")
    texts = ["", "cat", TEXTS[0]]
    bare, batch = tokenizer.encode(texts, max_length=5), tokenizer.encode(texts, max_length=7, specials=True)
    assert np.array_equal(bare.cut, batch.cut)
    assert np.array_equal(bare.lengths + 2, batch.lengths)
    for b in range(len(texts)):
        row = batch.ids[batch.rows == b]
        assert row.tolist() == [cls, *bare.ids[bare.rows == b].tolist(), sep]


@every_kind
def test_a_batch_is_its_texts_one_by_one(
    trained: dict[str, Tokenizer], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = trained[kind]
    whole = tokenizer.encode(TEXTS)
    single = [tokenizer.encode([text]).ids for text in TEXTS]
    assert np.array_equal(whole.ids, np.concatenate(single))
    assert whole.ids.dtype == np.int32
    monkeypatch.setattr("inlay.tokenize.tokenizer._BLOCK_TEXTS", 2)
    blocks = tokenizer.encode(TEXTS)
    assert np.array_equal(whole.ids, blocks.ids)
    assert np.array_equal(whole.lengths, blocks.lengths)
    assert len(tokenizer.encode([])) == 0


@every_kind
def test_lone_surrogates_are_read_as_the_replacement_sign(trained: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = trained[kind]
    assert np.array_equal(tokenizer.encode(["cat \ud800 x"]).ids, tokenizer.encode(["cat \ufffd x"]).ids)
    assert tokenizer.tokens("\udfff") == tokenizer.tokens("\ufffd")
    assert Tokenizer.train([*TEXTS, "\ud800"], SMALL[kind]).size == tokenizer.size or kind != "Bytes"


@every_kind
def test_offsets_point_at_the_text(trained: dict[str, Tokenizer], kind: str) -> None:
    tokenizer, text = trained[kind], "The cat 喜欢 mats."
    offsets = tokenizer.offsets(text)
    assert len(offsets) == len(tokenizer.tokens(text))
    assert all(0 <= start <= stop <= len(text) for start, stop in offsets)
    covered = {place for start, stop in offsets for place in range(start, stop)}
    assert covered >= {place for place, sign in enumerate(text) if not sign.isspace()}


@every_kind
def test_the_same_texts_give_the_same_tokenizer_in_another_process(tmp_path: Path, kind: str) -> None:
    body = f"""
import sys, hashlib
from pathlib import Path
from inlay.config import from_tree
from inlay.tokenize.kinds import TokenizerConfig
from inlay.tokenize.tokenizer import Tokenizer
texts = Path(sys.argv[1]).read_text(encoding="utf-8").split("\\0")
Tokenizer.train(texts, from_tree(TokenizerConfig, {to_tree(SMALL[kind], TokenizerConfig)!r})).save(sys.argv[2])
"""
    (tmp_path / "texts").write_text("\0".join(TEXTS), encoding="utf-8", newline="\n")
    digests = set()
    for run in ("1", "2"):
        out = tmp_path / run
        subprocess.run([sys.executable, "-c", body, str(tmp_path / "texts"), str(out)], check=True, capture_output=True)
        digests.add(hashlib.sha256((out / "tokenizer.json").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_texts_are_read_as_a_stream() -> None:
    alive, most = 0, 0

    class Counted(str):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def stream() -> Iterator[str]:
        nonlocal alive, most
        for number in range(20000):
            alive += 1
            most = max(most, alive)
            yield Counted(f"the cat number {number % 50} sat")

    Tokenizer.train(stream(), WordPiece(size=200))
    assert most < 5000


@pytest.mark.parametrize("kind", [name for name in SMALL if name != "Bytes"])
@pytest.mark.parametrize("texts", [[], ["", " \n"]], ids=["none", "blank"])
def test_no_text_is_refused(kind: str, texts: list[str]) -> None:
    with pytest.raises(InputError, match="no text to train"):
        Tokenizer.train(texts, SMALL[kind])


def test_the_readers_own_errors_pass() -> None:
    def broken() -> Iterator[str]:
        yield "a cat"
        raise InputError("part-03.jsonl line 7: not JSON")

    def interrupted() -> Iterator[str]:
        yield "a cat"
        raise KeyboardInterrupt

    with pytest.raises(InputError, match="line 7"):
        Tokenizer.train(broken(), WordPiece())
    with pytest.raises(KeyboardInterrupt):
        Tokenizer.train(interrupted(), WordPiece())


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"kind": "WordPiece", "size": 3}, "size=3 leaves no room"),
        ({"kind": "ByteBPE", "size": 200}, "size=200 must hold 256 bytes"),
        ({"kind": "BPE", "min_count": 0}, "min_count=0 must be at least 1"),
        ({"kind": "Words", "specials": ["[PAD]"]}, "must hold '[UNK]'"),
        ({"kind": "Bytes", "specials": ["a", "a"]}, "must be different"),
        ({"kind": "Bytes", "size": 300}, "unknown key 'size' for Bytes"),
        ({"kind": "Wordpiece"}, "did you mean 'WordPiece'?"),
    ],
)
def test_a_config_that_cannot_be_is_refused(tree: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_tree(TokenizerConfig, tree)
    assert message in str(caught.value)


def test_wrong_arguments_are_refused_with_the_way_out(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["WordPiece"]
    with pytest.raises(InputError, match="put it in a list"):
        tokenizer.encode("a text")
    with pytest.raises(InputError, match="put it in a list"):
        Tokenizer.train("a text")
    with pytest.raises(InputError, match="max_length=0"):
        tokenizer.encode(["a"], max_length=0)
    with pytest.raises(InputError, match="max_length=2 leaves no room for text; try 3"):
        tokenizer.encode(["a"], max_length=2, specials=True)
    with pytest.raises(InputError, match="id 99999 is none"):
        tokenizer.decode([99999])
    with pytest.raises(InputError, match="id -1 is none"):
        tokenizer.decode([-1])
    with pytest.raises(InputError, match="'zzz' is none"):
        tokenizer.id("zzz")
    with pytest.raises(InputError, match="too small: Unigram"):
        Tokenizer.train(["".join(map(chr, range(0x4E00, 0x4E00 + 500)))], Unigram(size=100))


def test_real_chinese_and_english_stay_within_size(data: Path) -> None:
    english = (data / "cranfield" / "cran.all.1400").read_text(encoding="utf-8").splitlines()
    chinese = (data / "waimai-10k" / "waimai_10k.csv").read_text(encoding="utf-8").splitlines()
    texts = english[:3000] + chinese[:3000]
    for config in (WordPiece(size=3000), BPE(size=3000), Words(size=3000), ByteBPE(size=1000)):
        tokenizer = Tokenizer.train(texts, config)
        assert tokenizer.size <= config.size
        assert tokenizer.encode(texts[:200]).lengths.sum() > 0
