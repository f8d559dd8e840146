"""A WordPiece engine around a given list of words: the words whole, everything else in the longest known pieces."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from inlay.errors import InputError
from inlay.tokenize.training import bert_normalizer, frame

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

LONGEST = 100
"""Characters after which a run is cut: the engine makes longer ones one [UNK], in time that grows with their square."""


def build(
    words: Sequence[str],
    pieces: Iterable[str] = (),
    *,
    lowercase: bool = True,
    strip_accents: bool = False,
    specials: tuple[str, ...] = ("[PAD]", "[UNK]"),
) -> "Engine":
    """The engine whose token `len(specials) + i` is `words[i]`, then the pieces, then all their single characters.

    Chinese and Japanese words also get a `##` twin, as no space shows where they begin: the longest known word is taken
    from left to right. A run of unknown letters is one [UNK] and leaves what is beside it alone; punctuation that is in
    no word or piece is a border and no token.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    _check(words, specials)
    pieces = list(pieces)
    characters = sorted(set("".join(words)) | set("".join(piece.removeprefix("##") for piece in pieces)))
    unspaced = [c for c in characters if _is_unspaced(c)]
    spaced = [c for c in characters if not _is_unspaced(c) and _is_inside(c)]
    twins = [f"##{word}" for word in words if len(word) > 1 and all(map(_is_unspaced, word))]
    insides = [f"##{c}" for c in (*spaced, *unspaced)]
    tokens = dict.fromkeys([*specials, *words, *pieces, *twins, *characters, *insides])

    engine = Tokenizer(
        models.WordPiece(
            vocab={token: i for i, token in enumerate(tokens)}, unk_token="[UNK]", max_input_chars_per_word=LONGEST
        )
    )
    engine.normalizer = bert_normalizer(
        lowercase=lowercase, strip_accents=strip_accents, form="NFC", isolate_chinese=False
    )
    runs = [f"[{_class(group)}]{{1,{LONGEST}}}" for group in (spaced, unspaced) if group]
    marks = [f"[{_class(alone)}]"] if (alone := [c for c in characters if c not in {*spaced, *unspaced}]) else []
    pattern = "|".join([*runs, *marks, rf"[^\W_{_class(characters)}]+"])
    engine.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    engine.decoder = decoders.WordPiece(prefix="##")
    engine.add_special_tokens(list(specials))
    frame(engine, specials)
    return engine


def _check(words: Sequence[str], specials: tuple[str, ...]) -> None:
    if isinstance(words, str) or not words:
        raise InputError("a vocabulary needs a list of words, and this one has none")
    if "[UNK]" not in specials:
        raise InputError(f"specials={list(specials)} must hold '[UNK]', the token of what is unknown")
    seen = set(specials)
    for place, word in enumerate(words):
        if word in seen or not word or any(c.isspace() for c in word):
            rule = "is there twice" if word in seen else "is empty or has a space in it"
            raise InputError(f"word {place} of the vocabulary, {word!r}, {rule}; leave it out")
        seen.add(word)


def _is_unspaced(character: str) -> bool:
    return unicodedata.name(character, "").startswith(("CJK UNIFIED", "CJK COMPAT", "HIRAGANA", "KATAKANA"))


def _is_inside(character: str) -> bool:
    return character == "_" or unicodedata.category(character)[0] in "LMN"


def _class(characters: Iterable[str]) -> str:
    # Ranges keep the pattern short where thousands of characters are known.
    parts: list[list[int]] = []
    for code in map(ord, characters):
        if parts and code == parts[-1][1] + 1:
            parts[-1][1] = code
        else:
            parts.append([code, code])
    return "".join(f"\\x{{{a:x}}}" if a == b else f"\\x{{{a:x}}}-\\x{{{b:x}}}" for a, b in parts)
