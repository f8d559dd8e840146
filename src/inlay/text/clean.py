"""Text without what is invisible or accidental: one form per character, single spaces, no controls.

Traditional and simplified characters, letter case and punctuation are left alone. Bidirectional marks go: they steer
the order on a screen, not the content, and would make equal words differ. A lone surrogate, which no encoding can
write, becomes U+FFFD. Joiners (ZWJ, ZWNJ) stay only where they change what is read: in emoji, Indic and Arabic scripts.
"""

import re
import unicodedata

_BREAKS = "\r\x0b\x0c\x85\u2028\u2029"
_INVISIBLES = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls
    "\u00ad\u180e\u200b\u2060-\u2065\ufeff\ufff9-\ufffb"  # soft hyphen, zero width, byte-order mark, annotations
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction
)
_BREAK = re.compile(f"\r\n|[{_BREAKS}]")
_INVISIBLE = re.compile(f"[{_INVISIBLES}]")
_EITHER = re.compile(f"[{_BREAKS}{_INVISIBLES}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRAY_JOINER = re.compile(
    "(?<![\u0600-\u1aff\u20e3\u2190-\u2bff\ua800-\uabff\ufb50-\ufdff\ufe0e\ufe0f\ufe70-\ufefe\U0001f000-\U0001faff])[\u200c\u200d]"
)
_ODD_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]")  # the ideographic space is left to `half_width`
_SPACE_RUN = re.compile(" {2,}")
# The lookbehind makes a match start only where the run starts, so a long run costs linear time.
_LINE_END = re.compile("(?<![ \t\u3000])[ \t\u3000]+\n")
_BLANK_LINES = re.compile("\n{3,}")

_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


def clean(text: str, *, half_width: bool = False) -> str:
    """The text in NFC, with LF line ends, single spaces, at most one blank line in a row and nothing invisible.

    Tabs and line breaks are kept; form feeds and Unicode line separators become line breaks. With `half_width`,
    full-width ASCII and the ideographic space become ASCII. Cleaning twice is cleaning once.
    """
    # Most texts have little to mend, and a search, above all a plain one, is far faster than a replacement.
    if _EITHER.search(text):
        text = _INVISIBLE.sub("", _BREAK.sub("\n", text))
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
        if "\u200c" in text or "\u200d" in text:
            text = _STRAY_JOINER.sub("", text)
        if half_width:
            text = text.translate(_HALF_WIDTH)
        text = _ODD_SPACE.sub(" ", unicodedata.normalize("NFC", text))
    if "  " in text:
        text = _SPACE_RUN.sub(" ", text)
    if " \n" in text or "\t\n" in text or "\u3000\n" in text:
        text = _LINE_END.sub("\n", text)
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip()


def clean_line(text: str, *, half_width: bool = False) -> str:
    """The text cleaned and on one line, for titles and ids."""
    return " ".join(clean(text, half_width=half_width).split())
