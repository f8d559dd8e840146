"""Which encoding a file may be in: a guess that words an error message, and never decides how a file is read."""

import codecs

# The commonest characters of running Chinese, simplified and traditional: about a third of any text.
_HAN = frozenset(
    "的一是不了在人有我他这这個们們中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于於着下自之年过過"
    "发發后後作里用道行所然家种種事成方多经經么麼去法学學如都同现現当當没沒动動面起看定天分还還进進好小部其些主样樣理心"
    "本前开開但因只从從想实實，。、：；「」《》"
)
_LATIN = frozenset("éèêëàâäáãåçíîïìñóôöòõøúûüùýßæœÉÈÀÂÄÁÇÍÎÑÓÔÖØÚÛÜß’‘“”–—…€£°«»·")
_CONTROLS = frozenset(range(32)) - set(b"\t\n\f\r\x1b")
_CHINESE = ("gb18030", "big5", "utf-16-le", "utf-16-be")
_NAMES = {"gb18030": "GB18030", "big5": "Big5", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "Windows-1252"}


def encoding_hint(sample: bytes) -> str:
    """`it may be GB18030: try --encoding gb18030`, the likeliest of a few encodings; general advice where none fits."""
    scores = {name: _share(sample, name, _HAN) for name in _CHINESE}
    scores["cp1252"] = _share(sample, "cp1252", _LATIN)
    name = max(scores, key=lambda candidate: scores[candidate])
    if scores[name] < 0.1:
        return "give its encoding with --encoding NAME, or convert it to UTF-8"
    return f"it may be {_NAMES[name]}: try --encoding {name}"


def looks_binary(sample: bytes) -> bool:
    """More than one byte in fifty is a control character that texts do not use."""
    return sum(byte in _CONTROLS for byte in sample) * 50 > len(sample)


def _share(sample: bytes, encoding: str, common: frozenset[str]) -> float:
    """Share of the characters beyond ASCII that are among the `common` ones; 0 where the bytes do not decode."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)  # the end may cut a character in two
    except UnicodeDecodeError:
        return 0.0
    beyond = [character for character in text if character > "\x7f"]
    return sum(character in common for character in beyond) / len(beyond) if beyond else 0.0
