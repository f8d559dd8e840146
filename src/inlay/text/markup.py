"""Markdown and HTML to the text that a reader sees, in sections. Each pass is linear in the length of the input."""

import re
from dataclasses import dataclass
from html import unescape


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading, empty before the first one, and the text under it up to the next heading of any level."""

    heading: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page's title and its sections in order."""

    title: str
    sections: tuple[Section, ...]

    @property
    def text(self) -> str:
        """Headings and texts, one blank line between them."""
        return "\n\n".join(part for section in self.sections for part in (section.heading, section.text) if part)


def _page(title: str, sections: list[tuple[str, list[str]]], joint: str) -> Page:
    """The page of the sections that hold anything, each given as its heading and the pieces of its text."""
    filled = [Section(heading=heading, text=joint.join(pieces).strip()) for heading, pieces in sections]
    return Page(title=title, sections=tuple(section for section in filled if section.heading or section.text))


# Markdown ------------------------------------------------------------------------------------------------------------

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)  # ```this``` is a span
_ATX = re.compile(r" {0,3}#{1,6}(?:[ \t]+(.*))?$")
_SETEXT = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*$")
_DEFINITION = re.compile(r" {0,3}\[[^\]\n]{1,200}\]:[ \t]+\S")
_QUOTE = re.compile(r"(?: {0,3}> ?)+")
_PLAIN = re.compile(r"(?![ \t]*(?:[-*+>|]|\d+[.)]|$))")  # a line that may be the heading above a setext underline
_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\n")
_FRONT_MATTER_END = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)

# Code goes first, since `<!--` in it begins no comment.
_CODE_OR_COMMENT = re.compile(
    rf"^{_FENCE.pattern}.*?(?:\n {{0,3}}\1[`~ \t]*$|\Z)|(?<!`)`+[^`\n]+`+(?!`)|<!--.*?(?:-->|\Z)",
    re.DOTALL | re.MULTILINE,
)
_CODE_SPAN = re.compile(r"(?<!`)`+([^`\n]+)`+(?!`)")
# Bounded repeats keep unclosed brackets linear.
_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,500})\](?:\([^()\n]{0,1000}(?:\([^()\n]{0,200}\)[^()\n]{0,500})?\)|\[[^\[\]\n]{0,200}\])"
)
_AUTOLINK = re.compile(r"<(https?://[^<>\s]{1,1000})>")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,500}>")
_STRONG = re.compile(r"(?<![\\*])\*{1,3}(?=[^\s*])|(?<=[^\s*\\])\*{1,3}(?!\*)")
_UNDERLINE = re.compile(r"(?<![\w\\])_{1,3}(?=[^\W_])|(?<=[^\W_])_{1,3}(?!\w)")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def markdown(text: str) -> Page:
    """The page of a Markdown text; its title is the first heading.

    Front matter, comments, tags and link targets go; links, images and emphasis keep their words, code its lines.
    """
    sections: list[tuple[str, list[str]]] = [("", [])]
    fence = ""
    for line in _CODE_OR_COMMENT.sub(_code, _without_front_matter(text)).split("\n"):
        body = sections[-1][1]
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip(" \t`~"):
                fence = ""
            else:
                body.append(line)
        elif mark:
            fence = mark[1]
        elif heading := _ATX.match(line):
            sections.append((_inline(re.sub(r"(?:^|[ \t])#+[ \t]*$", "", (heading[1] or "").strip())).strip(), []))
        elif _SETEXT.match(line) and body and _PLAIN.match(body[-1]) and (len(body) == 1 or not body[-2].strip()):
            sections.append((body.pop().strip(), []))
        elif not _DEFINITION.match(line):
            body.append(_inline(_QUOTE.sub("", line, count=1) if line.lstrip().startswith(">") else line))
    return _page(next((heading for heading, _ in sections if heading), ""), sections, "\n")


def _without_front_matter(text: str) -> str:
    if start := _FRONT_MATTER.match(text):
        end = _FRONT_MATTER_END.search(text, start.end())
        return text[end.end() :] if end else text
    return text


def _code(found: re.Match[str]) -> str:
    return "" if found[0].startswith("<!--") else found[0]


def _inline(line: str) -> str:
    """The line without its marks; code spans keep every sign."""
    pieces = _CODE_SPAN.split(line)  # text and code by turns
    return "".join(piece if index % 2 else _words(piece) for index, piece in enumerate(pieces))


def _words(text: str) -> str:
    if "[" in text:
        text = _LINK.sub(r"\1", _LINK.sub(r"\1", text))  # twice: an image inside a link
    if "<" in text:
        text = _TAG.sub("", _AUTOLINK.sub(r"\1", text))
    if "*" in text:
        text = _STRONG.sub("", text)
    if "_" in text:
        text = _UNDERLINE.sub("", text)
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


# HTML ----------------------------------------------------------------------------------------------------------------

# What no browser shows goes before parsing, comments and scripts together, since either may hold the other's marks.
# An unclosed one takes the rest of the page, as in browsers; this also keeps the search linear. Only a drawing may end
# in its own tag.
_UNSEEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))|<(script|style|template|noscript|(?:svg|math)(?![^<>]*/>))\b.*?(?:</\1\b[^<>]{0,100}>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
# A tag with its quoted attributes. `html.parser` takes quadratic time on tags that do not end; here a match that fails
# has looked no further than the next `<`, or 300 characters into a quoted value that holds one.
_TOKEN = re.compile(
    r"""<(/?)([A-Za-z][\w:-]*)(?:(?:[^<>"']|"(?:[^"<]*|[^"]{0,300})"|'(?:[^'<]*|[^']{0,300})')*+|[^<>]*)>|<[!?][^<>]*>"""
)
_HUGE_REFERENCE = re.compile(r"&#[0-9]{8,};?")  # more digits than any character has, and than `int` may take
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BREAK = frozenset({"br", "li", "tr", "dt", "dd", "option", "caption", "figcaption"})
_BLOCK = frozenset(
    {"p", "div", "section", "article", "main", "header", "footer", "nav", "aside", "ul", "ol", "dl", "table", "pre"}
    | {"blockquote", "figure", "form", "fieldset", "details", "summary", "address", "hr", "body"}
)
_CELL = frozenset({"td", "th"})
_WHITE = re.compile(r"[ \t\n\r\f]+")


def html(text: str) -> Page:
    """The page of an HTML text: what a browser shows, without scripts and styles.

    The title is that of `<title>`, else the first heading; h1 to h6 begin sections.
    """
    visible = _Visible()
    text = _UNSEEN.sub("", text)
    end = 0
    for token in _TOKEN.finditer(text):
        visible.words(_unescape(text[end : token.start()]))
        end = token.end()
        if name := token[2]:
            visible.tag(name.lower(), closes=bool(token[1]))
    visible.words(_unescape(text[end:]))
    visible.end_heading()
    title = " ".join("".join(visible.title).split())
    return _page(title or next((heading for heading, _ in visible.sections if heading), ""), visible.sections, "")


def _unescape(text: str) -> str:
    return unescape(_HUGE_REFERENCE.sub("\ufffd", text)) if "&" in text else text


class _Visible:
    """Gathers words into sections as the tags go by."""

    def __init__(self) -> None:
        self.title: list[str] = []
        self.sections: list[tuple[str, list[str]]] = [("", [])]
        self._heading: list[str] | None = None
        self._in_title = False
        self._pre = False

    def tag(self, name: str, *, closes: bool) -> None:
        """Take the space, or the new section, that the tag makes."""
        if name == "title":
            self._in_title = not closes
        elif name in _HEADINGS:
            self.end_heading()
            if not closes:
                self._heading = []
        elif name in _BLOCK:
            self.end_heading()  # a heading holds no block: its end tag is missing
            self._body.append("\n\n")
            if name == "pre":
                self._pre = not closes
        elif name in _BREAK:
            (self._body if self._heading is None else self._heading).append("\n")
        elif name in _CELL:
            self.words(" ")

    def words(self, text: str) -> None:
        """Add text; outside `<pre>` white space is one space, and none after a space or a line break."""
        if self._in_title:
            self.title.append(text)
        elif self._heading is not None:
            self._heading.append(text)
        elif self._pre:
            self._body.append(text)
        else:
            text = _WHITE.sub(" ", text)
            if text.startswith(" ") and (not self._body or self._body[-1].endswith((" ", "\n"))):
                text = text[1:]
            if text:
                self._body.append(text)

    def end_heading(self) -> None:
        """Turn the words gathered since the heading's tag into the start of a section."""
        if self._heading is not None:
            self.sections.append((" ".join("".join(self._heading).split()), []))
            self._heading = None

    @property
    def _body(self) -> list[str]:
        return self.sections[-1][1]
