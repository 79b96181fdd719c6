"""Template text into tokens, as Go's text/template cuts it: `{{`, `}}`, trim markers, comments, operands.

In: the template. Out: `Token`s with positions. Raises TemplateError for what no template may contain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SPACE = " \t\r\n"
_TRIM_LEFT = re.compile(r"-[ \t\r\n]")
_TRIM_RIGHT = re.compile(r"[ \t\r\n]-\}\}")
_WORD = re.compile(r"[^\W\d]\w*")
_FIELD = re.compile(r"\.(\w+)")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_RAW = re.compile(r"`[^`]*`")
_ESCAPE = re.compile(r'\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))', re.S)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


class TemplateError(ValueError):
    """A template that can't be used, or a value it can't take. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message)
        self.line, self.column = line, column


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: text, open, close, space, word, field, string, number, or the sign itself: ( ) |"""

    kind: str
    text: str
    at: int
    value: str | int | float | None = None


class Source:
    """A template's text and the places in it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def error(self, message: str, at: int) -> TemplateError:
        """The error with its line and column."""
        line = self.text.count("\n", 0, at) + 1
        return TemplateError(message, line, at - (self.text.rfind("\n", 0, at) + 1) + 1)


def tokens(source: Source) -> Iterator[Token]:
    """All tokens of the template, in order."""
    text, at, trim = source.text, 0, False
    while at < len(text):
        start = text.find("{{", at)
        piece = text[at : start if start >= 0 else len(text)]
        inside = start + 2
        marked = start >= 0 and _TRIM_LEFT.match(text, inside) is not None
        shown = piece.lstrip(SPACE) if trim else piece
        shown = shown.rstrip(SPACE) if marked else shown
        if shown:
            yield Token("text", shown, at)
        if start < 0:
            return
        inside += 1 if marked else 0
        comment = inside + (1 if marked else 0)
        if text.startswith("/*", comment):
            at, trim = _comment(source, comment)
            continue
        yield Token("open", "{{", start)
        for token in _action(source, inside):
            yield token
            at, trim = token.at + len(token.text), token.kind == "close" and token.value == 1


def _comment(source: Source, at: int) -> tuple[int, bool]:
    """Where the text goes on after a comment, and whether it is trimmed there."""
    end = source.text.find("*/", at)
    if end < 0:
        raise source.error("the comment is not closed", at)
    end += 2
    if source.text.startswith("}}", end):
        return end + 2, False
    if _TRIM_RIGHT.match(source.text, end):
        return end + 4, True
    raise source.error("a comment must fill its {{ }} alone", at)


def _action(source: Source, at: int) -> Iterator[Token]:
    """Tokens of one action, up to and with its `}}`."""
    text = source.text
    while True:
        if _TRIM_RIGHT.match(text, at):
            yield Token("close", text[at : at + 4], at, 1)
            return
        if text.startswith("}}", at):
            yield Token("close", "}}", at, 0)
            return
        if at >= len(text):
            raise source.error("{{ is not closed", at)
        token = _operand(source, at)
        at += len(token.text)
        if token.kind in ("word", "field") and text[at : at + 1] and not _ends_operand(text, at):
            raise source.error(f"unexpected character {text[at]!r} after {token.text}", at)
        yield token


def _ends_operand(text: str, at: int) -> bool:
    return text[at] in SPACE + ".,|:()" or text.startswith("}}", at)


def _operand(source: Source, at: int) -> Token:
    text = source.text
    sign = text[at]
    if sign in SPACE:
        end = at
        while end < len(text) and text[end] in SPACE and not _TRIM_RIGHT.match(text, end):
            end += 1
        return Token("space", text[at:end], at)
    if sign in "()|":
        return Token(sign, sign, at)
    if found := _RAW.match(text, at):
        return Token("string", found[0], at, found[0][1:-1].replace("\r", ""))
    if found := _STRING.match(text, at):
        return Token("string", found[0], at, _unquoted(source, found[0][1:-1], at))
    if found := _NUMBER.match(text, at):
        return _number(source, found[0], at)
    if found := _FIELD.match(text, at):
        return Token("field", found[0], at, found[1])
    if found := _WORD.match(text, at):
        return Token("word", found[0], at)
    if sign in "\"`'":
        raise source.error(
            "a text in quotes is not closed" if sign != "'" else "characters in ' ' are not supported", at
        )
    if sign == "$":
        raise source.error("variables ($x) are not supported", at)
    if sign == ".":
        raise source.error("the bare dot is not supported: name a variable, {{.name}}", at)
    raise source.error(f"unexpected character {sign!r}", at)


def _number(source: Source, text: str, at: int) -> Token:
    after = source.text[at + len(text) : at + len(text) + 1]
    if after and (after.isalnum() or after in "_."):
        raise source.error(f"number {text + after}… is not supported: decimal digits only", at)
    digits = text.lstrip("+-")
    if re.fullmatch(r"\d+", digits):
        if len(digits) > 1 and digits[0] == "0":
            raise source.error(f"numbers with a leading 0 are not supported: {text}", at)
        value = int(text)
        if not -(1 << 63) <= value < 1 << 63:
            raise source.error(f"{text} has more than 64 bits", at)
        return Token("number", text, at, value)
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise source.error(f"{text} is too large", at)
    return Token("number", text, at, number)


def _unquoted(source: Source, text: str, at: int) -> str:
    """A Go string's characters. Bytes over 7F (\\x, octal) and bad escapes are refused."""

    def one(found: re.Match[str]) -> str:
        simple, *codes, other = found.groups()
        if simple:
            return _SIMPLE[simple]
        if other is not None:
            raise source.error(f"unknown escape \\{other} in a text", at)
        code = next(int(digits, 8 if place == 1 else 16) for place, digits in enumerate(codes) if digits)
        if (code > 0x7F and (codes[0] or codes[1])) or code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise source.error(f"{found[0]} is no character", at)
        return chr(code)

    return _ESCAPE.sub(one, text)
