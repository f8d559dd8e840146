"""Words: what language a text is in, where its words end, and the terms that retrieval counts."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice
from pathlib import Path

from inlay.errors import InputError, did_you_mean, missing_extra

Segmenter = Callable[[str], list[str]]

# Letters and digits of any script; an underscore ends a word, so that snake_case is found by its parts.
_WORD = re.compile(r"[^\W_]+")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_HAN_RUN = re.compile(f"{_HAN.pattern}+")
# Half of a character, which is no text and which rjieba cannot take.
_SURROGATE = re.compile("[\ud800-\udfff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_SPACED = re.compile(r"[^\W\d_]+")

# The commonest function words tell the spaced languages apart; Snowball has a stemmer for each of them.
_FUNCTION_WORDS = {
    "en": "the of and to in is that for it with as are this be by on from or",
    "de": "der die das und ist nicht ein eine zu den mit von auf für sich dem im auch",
    "fr": "le la les et est des une un que dans pour qui sur pas au avec par ce",
    "es": "el la los las y es en que de un una por con para se no del como",
    "it": "il la che di e è un una per non sono con del della le gli si da",
    "pt": "o a os as e é que de um uma em não para com se do da por",
    "nl": "de het een en van is dat niet op te zijn voor met die aan er ook als",
    "sv": "och att det i en är som på för av med den till inte har om ett",
    "ru": "и в не на что с по это как он из к но у за от же так",
}
_SNOWBALL = {"en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pt": "portuguese"}
_SNOWBALL |= {"nl": "dutch", "sv": "swedish", "ru": "russian"}
LANGUAGES = ("zh", *_FUNCTION_WORDS)

# Chinese particles and pronouns that stand in nearly every paragraph and tell nothing about its subject.
_CHINESE_STOP_WORDS = frozenset([*"的了在是和與与及或也就都而着著被把於于之其這这那有", "一個", "一个"])


def language(sample: Iterable[str], *, limit: int = 1000) -> str:
    """The language of the first `limit` texts: `zh` where Han is common, else the one whose function words are.

    Texts in a spaced script that no list knows are treated as English.
    """
    text = "\n".join(piece[:2000] for piece in islice(sample, limit))
    words = _SPACED.findall(text.lower())
    han = len(_HAN.findall(text))
    # A Han character carries about as much as a word of three letters.
    if han and 3 * han > 0.3 * sum(map(len, words)):
        return "zh"
    counts = Counter(words)
    scores = {name: sum(counts[word] for word in listed.split()) for name, listed in _FUNCTION_WORDS.items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > scores["en"] else "en"


def segmenter(lang: str, *, user_dictionary: str | Path | None = None) -> Segmenter:
    """A function from a text to its words, in order, in lower case.

    Spaced scripts are cut by a regular expression; Chinese by rjieba, or by jieba where a user dictionary adds words
    (one a line, as jieba reads it). `chars` gives every Han character, every kana and every other word.
    """
    if lang == "zh":
        return _chinese(str(user_dictionary) if user_dictionary else None)
    if lang == "chars":
        alone = f"{_HAN.pattern}|{_KANA.pattern}"
        characters = re.compile(rf"(?=[^\W_])(?:{alone})|(?:(?!{alone})[^\W_])+")
        return lambda text: characters.findall(text.lower())
    if lang not in LANGUAGES:
        raise InputError(f"language {lang!r} is not known{did_you_mean(lang, (*LANGUAGES, 'chars'))}")
    return lambda text: _WORD.findall(text.lower())


def word_spans(text: str, lang: str | None = None) -> list[tuple[int, int]]:
    """Where each word of a text lies, `text[start:stop]`, in order; words are the segmenter's of that language.

    Without a language, a run of letters and digits is a word, and one with Han characters is cut as Chinese.
    """
    # A character whose small letter is two would move all places behind it.
    small = text.lower() if text.isascii() else "".join(char.lower()[0] for char in text)
    if lang is not None:
        return _places(small, segmenter(lang)(small))
    spans = []
    for run in _WORD.finditer(small):
        start, stop = run.span()
        chinese = _HAN.search(small, start, stop) is not None
        inside = _places(run[0], segmenter("zh")(run[0])) if chinese else [(0, stop - start)]
        spans += [(start + first, start + last) for first, last in inside]
    return spans


def _places(text: str, words: Iterable[str]) -> list[tuple[int, int]]:
    spans, at = [], 0
    for word in words:
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    return spans


def analyzer(lang: str, *, user_dictionary: str | Path | None = None) -> Segmenter:
    """A function from a text to the terms that BM25 counts: words stemmed, stop words left out.

    A Chinese text gives its characters, the pairs of neighbouring characters, and its words of three or more: where
    words end is often a matter of taste, and a query that cuts otherwise than the document must still find it.
    """
    segment = segmenter(lang, user_dictionary=user_dictionary)
    stem, stop = stemmer(lang), stop_words(lang)
    if lang != "zh":
        return lambda text: [stem(word) for word in segment(text) if word not in stop]

    def chinese(text: str) -> list[str]:
        terms = [word if _HAN.match(word) else stem(word) for word in segment(text) if _is_long(word)]
        for run in _HAN_RUN.findall(text):
            terms += [*run, *(run[at : at + 2] for at in range(len(run) - 1))]
        return [term for term in terms if term not in stop]

    return chinese


def stop_words(lang: str) -> frozenset[str]:
    """Words that stand in nearly every text and tell nothing about its subject."""
    return _CHINESE_STOP_WORDS if lang == "zh" else frozenset(_FUNCTION_WORDS.get(lang, "").split())


def is_unspaced(word: str) -> bool:
    """Whether the word begins with a Han character or a kana: a script that puts no spaces between words."""
    return bool(_HAN.match(word) or _KANA.match(word))


def stemmer(lang: str) -> Callable[[str], str]:
    """A cached function from a word to its stem, by Snowball; Latin words inside Chinese are stemmed as English."""
    if lang == "chars":
        return lambda word: word
    try:
        from Stemmer import Stemmer
    except ImportError:
        raise missing_extra("stemming", "PyStemmer", "search") from None
    snowball = Stemmer(_SNOWBALL.get(lang, "english"), 0)
    return lru_cache(maxsize=1 << 18)(snowball.stemWord)


@lru_cache(maxsize=4)
def _chinese(user_dictionary: str | None) -> Segmenter:
    if user_dictionary is None:
        try:
            import rjieba
        except ImportError:
            raise missing_extra("Chinese word segmentation", "rjieba", "zh") from None
        cut: Callable[[str], Iterable[str]] = rjieba.cut
    else:
        cut = _jieba(user_dictionary)
    return lambda text: [word for piece in cut(_SURROGATE.sub(" ", text.lower())) for word in _WORD.findall(piece)]


def _jieba(user_dictionary: str) -> Callable[[str], Iterable[str]]:
    try:
        import jieba
    except ImportError:
        raise missing_extra("a user dictionary", "jieba", "zh") from None
    import logging

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    # Left to itself it unmarshals jieba.cache from the temporary folder, where anybody may have put one.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    try:
        tokenizer.load_userdict(user_dictionary)
    except (OSError, ValueError) as error:
        raise InputError(f"{user_dictionary}: no user dictionary of jieba's ({error}); one word a line") from None
    return tokenizer.cut


def _is_long(word: str) -> bool:
    return len(word) > 2 or not _HAN.match(word)
