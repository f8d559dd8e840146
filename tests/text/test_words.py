"""Words: the language told, every letter kept, and the terms that retrieval counts."""

import itertools
import marshal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from Stemmer import Stemmer

from inlay.errors import InputError
from inlay.text import words
from inlay.text.words import LANGUAGES, analyzer, is_unspaced, language, segmenter, stemmer, stop_words, word_spans

SAMPLES = {
    "en": "The cat sat on the mat, and it was as happy as a cat can be in the sun.",
    "de": "Die Katze saß auf der Matte und war so zufrieden, wie es eine Katze in der Sonne nur sein kann.",
    "fr": "Le chat était assis sur le tapis, et il était aussi heureux que peut l'être un chat dans le soleil.",
    "es": "El gato se sentó en la alfombra y era tan feliz como puede ser un gato en los días de sol.",
    "it": "Il gatto era seduto sul tappeto ed era felice come può essere un gatto che non ha da fare con la pioggia.",
    "pt": "O gato sentou-se em um tapete e era feliz como pode ser um gato que não tem o que fazer com a chuva.",
    "nl": "De kat zat op de mat en het was zo gelukkig als een kat in de zon maar kan zijn met een bal.",
    "sv": "Katten satt på mattan och var så glad som en katt kan vara i solen, och det är inte lite.",
    "ru": "Кот сидел на коврике и был так же счастлив, как и все коты, что греются на солнце, а не под дождём.",
}
SIMPLIFIED = "机器学习是人工智能的一个分支，它研究计算机怎样从数据中学习。"
TRADITIONAL = "機器學習是人工智慧的一個分支，它研究電腦怎樣從資料中學習。"
ANY_TEXT = st.text(st.one_of(st.characters(), st.sampled_from("一的國国々〇ーァあがｱ_a9é ß。，豈𠀀゙́・")), max_size=60)


@pytest.mark.parametrize("lang", SAMPLES)
def test_a_spaced_language_is_told_by_its_function_words(lang: str) -> None:
    assert language([SAMPLES[lang]]) == lang
    assert language([SAMPLES[lang].upper()]) == lang


@pytest.mark.parametrize(
    ("sample", "lang"),
    [
        ([SIMPLIFIED], "zh"),
        ([TRADITIONAL], "zh"),
        (["用 Python 的 pandas 读取 CSV 文件，然后用 numpy 计算每一列的平均值和标准差。"], "zh"),
        (["The word 嵌入 means to inlay, and it is the name of the tool that this is about."], "en"),
        ([SAMPLES["de"]] * 9 + [SAMPLES["en"]], "de"),
        (["Kissa istui matolla."], "en"),
        (["12345 67890"], "en"),
        ([""], "en"),
        ([], "en"),
    ],
    ids=[
        "simplified",
        "traditional",
        "mixed, mostly Han",
        "mixed, mostly Latin",
        "two",
        "unknown",
        "digits",
        "",
        "none",
    ],
)
def test_the_language_of_a_corpus_is_told(sample: list[str], lang: str) -> None:
    assert language(sample) == lang


def test_only_the_first_texts_are_looked_at() -> None:
    def endless():
        while True:
            yield SAMPLES["fr"]

    assert language(endless(), limit=50) == "fr"


def every_letter(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


@pytest.mark.parametrize("lang", [*LANGUAGES, "chars"])
@given(text=ANY_TEXT)
@example(text="naïve_café's 3.14 ÅNGSTRÖM")
@example(text="雜a誌豈b𠀀カメラがあ・ー")
@settings(max_examples=60, deadline=None)
def test_segmentation_keeps_every_letter_and_digit_in_order(lang: str, text: str) -> None:
    pieces = segmenter(lang)(text)
    assert "".join(pieces) == every_letter(text)
    assert all(pieces)


def test_an_underscore_ends_a_word_and_a_case_does_not() -> None:
    assert segmenter("en")("read_CSV(sepChar) café 3D") == ["read", "csv", "sepchar", "café", "3d"]


def test_chinese_is_cut_into_words() -> None:
    assert segmenter("zh")("我们在北京大学学习Python编程。") == ["我们", "在", "北京大学", "学习", "python", "编程"]


def test_chars_are_every_character_of_an_unspaced_script_and_whole_other_words() -> None:
    assert segmenter("chars")("我愛NLP 2024年 カナ豈x") == [*"我愛", "nlp", "2024", *"年カナ豈", "x"]


def test_a_chinese_text_gives_characters_neighbours_and_long_words() -> None:
    terms = analyzer("zh")("我们在北京大学学习 running dogs")
    runs = "我们在北京大学学习"
    expected = [*runs, *(runs[i : i + 2] for i in range(len(runs) - 1)), "北京大学", "run", "dog"]
    assert sorted(terms) == sorted(term for term in expected if term not in stop_words("zh"))
    assert "北京大学" in terms
    assert "京大" in terms
    assert "在" not in terms


@given(text=ANY_TEXT, lang=st.sampled_from(LANGUAGES))
@settings(max_examples=60, deadline=None)
def test_no_term_is_a_stop_word_before_stemming(text: str, lang: str) -> None:
    segment, stem, stop = segmenter(lang), stemmer(lang), stop_words(lang)
    terms = analyzer(lang)(text)
    if lang == "zh":
        assert not stop & set(terms)
    else:
        assert terms == [stem(word) for word in segment(text) if word not in stop]


def test_a_user_dictionary_is_honoured_and_stays_with_its_segmenter(tmp_path: Path) -> None:
    pytest.importorskip("jieba")
    file = tmp_path / "words.txt"
    file.write_text("嵌入層模型 100000\n", encoding="utf-8")
    text = "我用嵌入層模型"
    assert "嵌入層模型" in segmenter("zh", user_dictionary=file)(text)
    assert "嵌入層模型" in analyzer("zh", user_dictionary=file)(text)
    assert "嵌入層模型" not in segmenter("zh")(text)
    with pytest.raises(InputError, match="no user dictionary of jieba's"):
        segmenter("zh", user_dictionary=tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match=r"binary\.txt: no user dictionary"):
        segmenter("zh", user_dictionary=tmp_path / "binary.txt")


def test_no_cache_that_another_user_may_have_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jieba")
    file = tmp_path / "words.txt"
    file.write_text("嵌入層模型 100000\n", encoding="utf-8")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "jieba.cache").write_bytes(marshal.dumps(({"我們在": 10**9, "我們": 0, "我": 0}, 10**9)))
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    assert segmenter("zh", user_dictionary=file)("我們在嵌入層模型") == ["我們", "在", "嵌入層模型"]
    assert [path.name for path in shared.iterdir()] == ["jieba.cache"]


@pytest.mark.parametrize("lang", SAMPLES)
def test_stems_are_those_of_snowball_and_come_from_a_cache(lang: str) -> None:
    name = {"en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian"}
    name |= {"pt": "portuguese", "nl": "dutch", "sv": "swedish", "ru": "russian"}
    stem, oracle = stemmer(lang), Stemmer(name[lang])
    tokens = segmenter(lang)(SAMPLES[lang]) * 2
    assert [stem(word) for word in tokens] == oracle.stemWords(tokens)
    assert stem.cache_info().hits >= len(tokens) // 2  # type: ignore[attr-defined]


def test_every_spaced_language_has_stop_words_and_a_stemmer() -> None:
    assert set(LANGUAGES) == {"zh", *SAMPLES}
    for lang in LANGUAGES:
        assert stop_words(lang)
        assert stemmer(lang)("x") == "x"
    assert stemmer("chars")("running") == "running"


def test_scripts_without_spaces_are_known() -> None:
    assert is_unspaced("嵌入")
    assert is_unspaced("カナ")
    assert not is_unspaced("inlay")
    assert not is_unspaced("")


def test_an_unknown_language_is_told_with_a_way_out() -> None:
    with pytest.raises(InputError, match="language 'eng' is not known; did you mean 'en'"):
        segmenter("eng")


@pytest.mark.parametrize("package", ["rjieba", "Stemmer"])
def test_a_missing_package_is_named_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    words._chinese.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'inlay\[(zh|search)\]'"):
        analyzer("zh")
    words._chinese.cache_clear()


@pytest.mark.parametrize("character", [*"a 的1_。", "\n", "𠀀", "ー", "́"])
@pytest.mark.parametrize("make", [lambda: segmenter("en"), lambda: segmenter("chars"), lambda: analyzer("zh")])
def test_a_megabyte_of_one_character_takes_linear_time(make: Callable[[], words.Segmenter], character: str) -> None:
    split = make()
    split("的 a")
    begin = time.process_time()
    split(character * 1_000_000)
    assert time.process_time() - begin < 8


@given(st.text(max_size=60))
@example("İstanbul is İ cold ΣΑΣ ΟΔΟΣ. is")
@example("_snake_case 我们学习机器学习模型 \ud800 I")
@settings(max_examples=100, deadline=None)
def test_spans_are_those_of_the_segmenters_words(text: str) -> None:
    for lang in ("en", "zh", "chars", None):
        found = word_spans(text, lang)
        assert all(0 <= start < stop <= len(text) for start, stop in found)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
        if lang and "İ" not in text and "Σ" not in text:  # small letters of these depend on more than the letter
            assert [text[start:stop].lower() for start, stop in found] == segmenter(lang)(text)


def test_chinese_in_a_text_leaves_the_words_of_other_scripts_whole() -> None:
    text = "A naïve café: 机器学习很有趣, 3d"
    words_found = [text[start:stop] for start, stop in word_spans(text)]
    assert words_found == ["A", "naïve", "café", "机器", "学习", "很", "有趣", "3d"]
