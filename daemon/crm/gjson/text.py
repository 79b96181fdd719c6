"""JSON text by position: where a value ends, what a container holds. Only ever given text that `Document` has checked.

Values stay slices of the text: integers of any size keep every digit, and an object can be shown as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_PLAIN = re.compile(r"[^,\]}\s]+")
_LONE = re.compile("[\ud800-\udfff]")


class NotJson(ValueError):
    """The text is no JSON document; says where."""


def check(text: str) -> None:
    """Raises NotJson for anything but one JSON document (RFC 8259): no NaN, no trailing text, no endless nesting."""
    try:
        json.loads(text, parse_int=_nothing, parse_float=_nothing, parse_constant=_refuse)
    except RecursionError as error:
        raise NotJson("nested too deeply") from error
    except ValueError as error:
        raise NotJson(str(error)) from error


def _nothing(_: str) -> int:
    """Numbers are read from the text when asked for; here their form alone counts."""
    return 0


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def skip_space(text: str, at: int) -> int:
    """The first position that is no white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def value_end(text: str, at: int) -> int:
    """Where the value that begins at `at` ends."""
    first = text[at]
    if first == '"':
        found = _STRING.match(text, at)
        return found.end() if found else len(text)
    if first not in "{[":
        found = _PLAIN.match(text, at)
        return found.end() if found else len(text)
    depth = 0
    for piece in _NESTING.finditer(text, at):
        sign = piece[0]
        if sign in "{[":
            depth += 1
        elif sign in "}]":
            depth -= 1
            if not depth:
                return piece.end()
    return len(text)


def members(text: str) -> Iterator[tuple[str, str]]:
    """Keys, unescaped, and raw values of an object, in their order; a key given twice comes twice."""
    at = skip_space(text, skip_space(text, 0) + 1)
    while at < len(text) and text[at] == '"':
        key_end = value_end(text, at)
        start = skip_space(text, skip_space(text, key_end) + 1)
        end = value_end(text, start)
        yield unquoted(text[at:key_end]), text[start:end]
        at = skip_space(text, skip_space(text, end) + 1)


def elements(text: str) -> Iterator[str]:
    """Raw values of an array."""
    at = skip_space(text, skip_space(text, 0) + 1)
    while at < len(text) and text[at] != "]":
        end = value_end(text, at)
        yield text[at:end]
        at = skip_space(text, skip_space(text, end) + 1)


def unquoted(raw: str) -> str:
    """The characters of a JSON string; half a surrogate pair becomes U+FFFD, as Go has it."""
    if "\\" not in raw:
        return raw[1:-1]
    return _LONE.sub("�", str(json.loads(raw, strict=False)))
