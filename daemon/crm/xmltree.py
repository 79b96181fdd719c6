"""Template files into a tree with line numbers. Strict XML first, then a repair pass whose changes are warnings.

No document type, no entities of its own, no external ones: without these there are no bombs, and nothing is fetched.
Size, depth and count are bounded. Decision D18: bare `&`, and bare quotes inside attribute values, are mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

BYTES_MAX = (1 << 20) - 1
"""The source allows files below 1 MB."""
DEPTH_MAX = 20
ELEMENTS_MAX = 20_000

_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)")
_TAG = re.compile(r"<[A-Za-z_][\w:.-]*")
_SKIPPED = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>", re.DOTALL)
_ATTRIBUTE = re.compile(r"\s*([A-Za-z_:][\w:.-]*)\s*=\s*\"")
_AFTER_VALUE = re.compile(r'"(?=\s*/?>|\s+[A-Za-z_:][\w:.-]*\s*=\s*")')


class XmlRefused(ValueError):
    """The file can't be read. `line` counts from 1, 0 if it is about the whole. `final`: no
    repair can lift it."""

    def __init__(self, message: str, line: int = 0, *, final: bool = False) -> None:
        super().__init__(message)
        self.line, self.final = line, final


@dataclass(slots=True)
class Element:
    """A tag with its attributes and children; text between tags means nothing in templates."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Element]:
        """Its children of that name."""
        return (child for child in self.children if child.tag == tag)

    def inner(self, group: str, tag: str) -> Iterator[Element]:
        """Children `tag` of its children `group` (`Parameters` / `Parameter`)."""
        return (child for holder in self.all(group) for child in holder.all(tag))


def read_tree(data: bytes) -> tuple[Element, list[tuple[int, str]]]:
    """The root and what had to be mended, as (line, what). Raises XmlRefused."""
    if len(data) > BYTES_MAX:
        raise XmlRefused(f"the file has {len(data)} bytes; at most {BYTES_MAX} are allowed")
    try:
        return _parse(data), []
    except XmlRefused as refused:
        if refused.final:
            raise
        text, mended = _mend(_decoded(data))
        if not mended:
            raise
        return _parse(text.encode()), mended


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise XmlRefused(f"the file is not UTF-8: byte {error.start}") from error


def _parse(data: bytes) -> Element:
    """Strictly. Raises XmlRefused."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    root: list[Element] = []
    stack: list[Element] = []
    count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        line = parser.CurrentLineNumber
        if len(stack) >= DEPTH_MAX:
            raise _final(f"more than {DEPTH_MAX} levels of elements", line)
        if count > ELEMENTS_MAX:
            raise _final(f"more than {ELEMENTS_MAX} elements", line)
        element = Element(tag, attributes, line)
        (stack[-1].children if stack else root).append(element)
        stack.append(element)

    def refuse(*_: object) -> int:
        raise _final("document types and entities (<!DOCTYPE>, <!ENTITY>) are not allowed", parser.CurrentLineNumber)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise XmlRefused(f"not well-formed XML: {expat.ErrorString(error.code)}", error.lineno) from error
    return root[0]


def _final(message: str, line: int) -> XmlRefused:
    """A refusal that no repair can lift."""
    return XmlRefused(message, line, final=True)


def _mend(text: str) -> tuple[str, list[tuple[int, str]]]:
    """The text with bare & and bare quotes escaped inside attribute values; comments and the like are left alone."""
    out: list[str] = []
    mended: list[tuple[int, str]] = []
    at = 0
    while at < len(text):
        begin = text.find("<", at)
        if begin < 0:
            break
        out.append(text[at:begin])
        if skipped := _SKIPPED.match(text, begin):
            out.append(skipped[0])
            at = skipped.end()
            continue
        tag = _TAG.match(text, begin)
        if tag is None:
            out.append("<")
            at = begin + 1
            continue
        out.append(tag[0])
        at = _mend_tag(text, tag.end(), out, mended)
    out.append(text[at:])
    return "".join(out), mended


def _mend_tag(text: str, at: int, out: list[str], mended: list[tuple[int, str]]) -> int:
    """One tag's attributes, from behind its name; where the text goes on."""
    while found := _ATTRIBUTE.match(text, at):
        end = _AFTER_VALUE.search(text, found.end())
        if end is None:
            return at
        value = text[found.end() : end.start()]
        line = text.count("\n", 0, found.end()) + 1
        plain = _BARE_AMPERSAND.sub("&amp;", value)
        if plain != value:
            mended.append((line, f"a bare & in {found[1]} was read as &amp;"))
        if '"' in plain or "<" in plain:
            plain = plain.replace('"', "&quot;").replace("<", "&lt;")
            mended.append((line, f'bare " or < in {found[1]} were read as &quot; and &lt;'))
        out.append(text[at : found.end()] + plain + '"')
        at = end.end()
    return at
