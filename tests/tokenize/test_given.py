"""A tokenizer around given words: the words stay whole, and nothing made of known characters is unknown."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.tokenize.tokenizer import Tokenizer

WORDS = ["hello", "world", "python", "3", "é", "机器", "学习", "机器学习", "喜欢", "我", "c++"]
LETTERS = "".join(sorted(set("".join(WORDS)) - {"+"}))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(WORDS, ["##ing", "?"])


def test_words_have_the_ids_of_their_places_and_are_whole(tokenizer: Tokenizer) -> None:
    for place, word in enumerate(WORDS):
        assert tokenizer.id(word) == 2 + place
        if word != "c++":
            assert tokenizer.encode([word]).ids.tolist() == [2 + place]


@given(st.lists(st.text(LETTERS, min_size=1, max_size=250), max_size=4).map(" ".join))
def test_known_characters_are_never_unknown(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.tokens(text)
    assert "[UNK]" not in tokens
    assert "".join(token.removeprefix("##") for token in tokens) == re.sub(r"\s", "", text)


def test_the_longest_known_piece_is_taken(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens("Helloing") == ["hello", "##ing"]
    assert tokenizer.tokens("我喜欢机器学习") == ["我", "##喜欢", "##机器学习"]
    assert tokenizer.tokens("学习python学习") == ["学习", "python", "学习"]
    assert tokenizer.tokens("hello" * 60)[0] == "hello"
    assert len(tokenizer.tokens("机器" * 1000)) == 1000


def test_unknown_letters_leave_their_neighbours_alone(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens("我龘喜欢") == ["我", "[UNK]", "喜欢"]
    assert tokenizer.tokens("hello привет world") == ["hello", "[UNK]", "world"]


def test_unknown_punctuation_is_a_border_and_known_punctuation_a_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens("hello, (world)_python!") == ["hello", "world", "python"]
    assert tokenizer.tokens("hello?") == ["hello", "?"]
    assert tokenizer.tokens("c++") == ["c", "+", "+"]
    assert tokenizer.tokens(" 😀\u200d\ufffd ") == []


def test_signs_that_mean_something_in_a_pattern_are_plain_here() -> None:
    signs = list("[]^-\\&&|.{}()$*+?#~:"[:6]) + list("|.{}()$*+?#~:")
    tokenizer = Tokenizer.from_vocabulary(["word", "字", *signs])
    for sign in signs:
        assert tokenizer.tokens(f"word{sign}字") == ["word", sign, "字"]


def test_case_and_accents_follow_the_options() -> None:
    assert Tokenizer.from_vocabulary(["Hello"], lowercase=False).tokens("Hello") == ["Hello"]
    assert Tokenizer.from_vocabulary(["cafe"], strip_accents=True).tokens("CAFÉ") == ["cafe"]
    assert Tokenizer.from_vocabulary(["café"]).tokens("cafe\u0301") == ["café"]
    framed = Tokenizer.from_vocabulary(["a"], specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]"))
    assert framed.encode(["a"], specials=True).ids.tolist() == [2, 4, 3]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "this one has none"),
        ("word", "this one has none"),
        (["a", "a"], "word 1 of the vocabulary, 'a', is there twice"),
        (["[UNK]"], "is there twice"),
        (["a b"], "has a space in it"),
        ([""], "is empty"),
    ],
)
def test_a_list_that_is_no_vocabulary_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tokenizer.from_vocabulary(words)
    with pytest.raises(InputError, match="must hold"):
        Tokenizer.from_vocabulary(["a"], specials=("[PAD]",))


def test_the_file_loads_elsewhere_with_equal_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["truncation"] is None
    texts = ["Hello worlds, 我喜欢机器学习龘!", "", "x" * 150, "c++ пр"]
    expected = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)(texts)["input_ids"]
    batch = tokenizer.encode(texts)
    assert batch.ids.tolist() == [number for row in expected for number in row]
    assert np.array_equal(Tokenizer.load(tmp_path).encode(texts).ids, batch.ids)


def test_a_static_model_of_other_tools_takes_it(tokenizer: Tokenizer, tmp_path: Path) -> None:
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    tokenizer.save(tmp_path)
    from tokenizers import Tokenizer as Engine

    table = np.random.default_rng(0).normal(size=(tokenizer.size, 8)).astype(np.float32)
    model = modules.StaticEmbedding(Engine.from_file(str(tmp_path / "tokenizer.json")), embedding_weights=table)
    text = "Hello worlds, 我喜欢机器学习!"
    theirs = model(model.preprocess([text]))["sentence_embedding"].detach().numpy()[0]
    assert np.allclose(theirs, table[tokenizer.encode([text]).ids].mean(axis=0), atol=1e-6)


def test_a_large_vocabulary_is_built_fast() -> None:
    import time

    words = [f"word{number}" for number in range(50_000)] + [chr(code) for code in range(0x4E00, 0x6E00)]
    start = time.process_time()
    tokenizer = Tokenizer.from_vocabulary(words)
    assert time.process_time() - start < 5
    assert tokenizer.tokens("word49999") == ["word49999"]
