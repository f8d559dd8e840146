"""Borders: where a text may be cut so that a tokenizer, asked about each piece alone, says what it says of the text.

Decided from its tokenizer.json alone, and only where it can be shown; a tokenizer that is not known here has none.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MARK = "!-/:-@\\[-`{-~"
_HAN = "\u4e00-\u9fff\u3400-\u4dbf"
_MOST_ADDED = 100
"""Added tokens that are looked for in every text; a tokenizer with more is left to its engine."""

_ALONE = re.compile(rf"[A-Za-z0-9]+|[{_MARK}]")
_RUNS = re.compile(rf"[A-Za-z0-9_]+|(?:(?!_)[{_MARK}])+")
_OURS = re.compile(rf"[A-Za-z0-9_]+|[{_MARK}]")
_CHUNKS = re.compile("[!-~]+")
_EVERYTHING = re.compile(".+", re.DOTALL)
_BY_HAN = re.compile(f"[{_HAN}]|[^{_HAN}]+")

_CHARACTER_WISE = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
"""What these make of a character does not depend on what stands beyond a blank: no blank is part of a composition."""
_BY_WORD = {"WordPiece", "WordLevel", "BPE", "Unigram"}
_INSIDE = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits"}
_RANGE = r"\\x\{[0-9a-f]+\}(?:-\\x\{[0-9a-f]+\})?"
_GIVEN = re.compile(rf"(?:(?:\[(?:{_RANGE})+\](?:\{{1,\d+\}})?)\|)*\[\^\\W_(?:{_RANGE})*\]\+")
"""The patterns of `tokenize.given`: runs of listed characters, listed marks, and unknown letters."""


@dataclass(frozen=True, kw_only=True)
class Borders:
    """How texts are cut: `plain` finds the keys of what is printable ASCII, `odd` those of a chunk that is not."""

    plain: re.Pattern[str]
    odd: re.Pattern[str]
    lower: bool
    """The tokenizer lowers case, so that `plain` keys may be lowered before they are looked up."""
    direct: bool
    """A `plain` key comes to the tokenizer's model as it is: nothing is normalised or cut before."""
    added: tuple[str, ...]
    """In lower case; a text that holds one of these goes to the engine whole."""


def borders(tree: dict[str, Any]) -> Borders | None:
    """The borders of the tokenizer whose tokenizer.json is `tree`; None where there are none that can be relied on."""
    normalizers, cutters = list(_steps(tree.get("normalizer"))), list(_steps(tree.get("pre_tokenizer")))
    model, added = tree.get("model") or {}, [str(token["content"]) for token in tree.get("added_tokens") or ()]
    kinds = [step.get("type") for step in cutters]
    if not {step.get("type") for step in normalizers} <= _CHARACTER_WISE:
        return None
    if model.get("type") not in _BY_WORD or model.get("dropout"):
        return None
    # What is not ASCII may come to be an added token by being normalised, across a border.
    if len(added) > _MOST_ADDED or not all(re.fullmatch("[!-~]+", content) for content in added):
        return None
    lower = any(step["type"] == "Lowercase" or bool(step.get("lowercase")) for step in normalizers)
    if kinds == ["Split"]:
        plain, whole = (_OURS, False) if _is_given(cutters[0]) else (None, False)
    elif not kinds or not set(kinds) <= _INSIDE:
        plain, whole = None, False
    elif "BertPreTokenizer" in kinds:
        plain, whole = _ALONE, len(kinds) == 1
    elif kinds == ["Whitespace"]:
        plain, whole = _RUNS, True
    else:
        # Marks may stay with their neighbours: only blanks part, and only where the first step is to cut at them.
        plain, whole = (
            (_CHUNKS if kinds[0] in ("Whitespace", "WhitespaceSplit") else None),
            kinds == ["WhitespaceSplit"],
        )
    if plain is None:
        return None
    contents = tuple(dict.fromkeys(content.lower() for content in added))
    apart = plain is _ALONE and any(bool(step.get("handle_chinese_chars")) for step in normalizers[:1])
    return Borders(
        plain=plain,
        odd=_BY_HAN if apart else _EVERYTHING,
        lower=lower,
        direct=whole and not any(plain.fullmatch(content) for content in contents),
        added=contents,
    )


def _steps(step: Any) -> Iterator[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, sequences of sequences unrolled."""
    if not isinstance(step, dict):
        return
    if step.get("type") == "Sequence":
        for inner in step.get("normalizers") or step.get("pretokenizers") or ():
            yield from _steps(inner)
    else:
        yield step


def _is_given(step: dict[str, Any]) -> bool:
    """Whether a Split keeps runs of letters apart from marks and never takes in a blank."""
    pattern = (step.get("pattern") or {}).get("Regex")
    if step.get("behavior") != "Removed" or step.get("invert") is not True or not isinstance(pattern, str):
        return False
    if not _GIVEN.fullmatch(pattern):
        return False
    *listed, _ = pattern.split("|")
    runs = [_ranges(part) for part in listed if part.endswith("}")]
    marks = [_ranges(part) for part in listed if not part.endswith("}")]
    holds = [{chr(code) for a, b in part for code in range(32, 127) if a <= code <= b} for part in runs]
    # A run must not take in a mark of ASCII, and none of both a blank.
    return all(all(c.isalnum() or c == "_" for c in characters) for characters in holds) and not any(
        a <= ord(blank) <= b for part in (*runs, *marks) for a, b in part for blank in " \t\n\r"
    )


def _ranges(part: str) -> list[tuple[int, int]]:
    found = re.findall(r"\\x\{([0-9a-f]+)\}(?:-\\x\{([0-9a-f]+)\})?", part)
    return [(int(a, 16), int(b or a, 16)) for a, b in found]
