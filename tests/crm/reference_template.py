"""A slow second reading of the template subset: the text is turned into a list of marks by one regular expression, and
walked recursively while it is printed. Shares no line with daemon.crm.gotemplate. `Bad` for what must be refused."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

ACTION = re.compile(r"\{\{(-(?=\s))?(.*?)((?<=\s)-)?\}\}", re.DOTALL)
WORDS = re.compile(r'\s*("(?:\\.|[^"\\\n])*"|`[^`]*`|\.\w+(?:\.\w+)*|[+-]?\d+(?:\.\d+)?|\w+|[()|])')
NEEDED = {"not": (1, 1), "eq": (2, 99), "ne": (2, 2), "and": (1, 99), "or": (1, 99), "Capitalize": (1, 1),
          "UrlEncode": (1, 1)}  # fmt: skip


class Bad(Exception):
    """Refused."""


def render(text: str, known: dict[str, Any]) -> str:
    marks = list(pieces(text))
    out, rest = walk(marks, known, True)
    if rest:
        raise Bad("else or end without if")
    return out


def pieces(text: str) -> Any:
    """("text", …) and ("do", inside), spaces trimmed where a mark says so."""
    at, trim = 0, False
    while True:
        start = text.find("{{", at)
        if start < 0:
            yield "text", text[at:].lstrip() if trim else text[at:]
            return
        found, end = action(text, start)
        piece = text[at:start]
        piece = piece.lstrip() if trim else piece
        yield "text", piece.rstrip() if found[0] else piece
        yield "do", found[1]
        at, trim = end, found[2]


def action(text: str, start: int) -> tuple[tuple[bool, str, bool], int]:
    """One action's (trimmed before, inside, trimmed after) and its end; quotes may hold braces."""
    at = start + 2
    before = re.match(r"-\s", text[at:]) is not None
    at += before
    begin = at
    while at < len(text):
        if found := re.match(r'"(?:\\.|[^"\\\n])*"|`[^`]*`', text[at:]):
            at += found.end()
        elif re.match(r"\s-\}\}", text[at:]):
            return (before, text[begin:at], True), at + 4
        elif text.startswith("}}", at):
            return (before, text[begin:at], False), at + 2
        else:
            at += 1
    raise Bad("not closed")


def walk(marks: list[Any], known: dict[str, Any], shown: bool) -> tuple[str, list[Any]]:
    """Print until else or end, which stay in what is left."""
    out = ""
    while marks:
        kind, inside = marks[0]
        words = lexed(inside) if kind == "do" else []
        if words and words[0] in ("else", "end"):
            return out, marks
        marks = marks[1:]
        if kind == "text":
            out += inside if shown else ""
        elif words and words[0] == "if":
            text, marks = branch(words[1:], marks, known, shown)
            out += text
        else:
            value = pipeline(words, known)
            out += text_of(value) if shown else ""
    return out, []


def branch(test: list[str] | None, marks: list[Any], known: dict[str, Any], shown: bool) -> tuple[str, list[Any]]:
    taken = shown and (test is None or bool(pipeline(test, known)))
    if test is not None and not shown:
        pipeline(test, known)
    out, marks = walk(marks, known, taken)
    if not marks:
        raise Bad("if without end")
    words = lexed(marks[0][1])
    if words == ["end"]:
        return out, marks[1:]
    if test is None or words[0] != "else":
        raise Bad("misplaced")
    following = None if len(words) == 1 else words[2:] if words[1] == "if" else [")"]
    more, marks = branch(following, marks[1:], known, shown and not taken)
    return out + more, marks


def lexed(inside: str) -> list[str]:
    words, at = [], 0
    while inside[at:].strip():
        found = WORDS.match(inside, at)
        if not found:
            raise Bad(inside)
        words.append(found[1])
        at = found.end()
    return words


def pipeline(words: list[str], known: dict[str, Any]) -> Any:
    value, rest = piped(words, known)
    if rest:
        raise Bad("left over")
    return value


def piped(words: list[str], known: dict[str, Any]) -> tuple[Any, list[str]]:
    """Commands up to a closing parenthesis or the end."""
    given: list[Any] = []
    while True:
        value, words = command(words, known, given)
        if not words or words[0] != "|":
            return value, words
        words, given = words[1:], [value]


def command(words: list[str], known: dict[str, Any], given: list[Any]) -> tuple[Any, list[str]]:
    if not words:
        raise Bad("nothing")
    name = words[0] if re.fullmatch(r"[A-Za-z_]\w*", words[0]) and words[0] not in ("true", "false") else ""
    values, rest = [], words[1:] if name else words
    while rest and rest[0] not in ("|", ")"):
        value, rest = operand(rest, known)
        values.append(value)
    if not name:
        if len(values) != 1 or given:
            raise Bad("only functions take arguments")
        return values[0], rest
    if name not in NEEDED or not NEEDED[name][0] <= len(values) + len(given) <= NEEDED[name][1]:
        raise Bad(name)
    return call(name, values + given), rest


def operand(words: list[str], known: dict[str, Any]) -> tuple[Any, list[str]]:
    word = words[0]
    if word == "(":
        value, rest = piped(words[1:], known)
        if not rest or rest[0] != ")":
            raise Bad("not closed")
        return value, rest[1:]
    if word.startswith("."):
        return (known.get(word[1:]) if "." not in word[1:] else None), words[1:]
    if word[0] == '"':
        return json.loads(word), words[1:]
    if word[0] == "`":
        return word[1:-1], words[1:]
    if word in ("true", "false"):
        return word == "true", words[1:]
    if re.fullmatch(r"[+-]?\d+", word):
        return int(word), words[1:]
    raise Bad(word)


def call(name: str, values: list[Any]) -> Any:
    if name in ("and", "or"):
        return next((value for value in values if bool(value) is (name == "or")), values[-1])
    if name == "not":
        return not values[0]
    if name == "eq":
        return any(text_of(values[0]) == text_of(other) for other in values[1:])
    if name == "ne":
        return text_of(values[0]) != text_of(values[1])
    if values[0] is None:
        return None
    text = text_of(values[0])
    return quote(text, safe="") if name == "UrlEncode" else text[:1].upper() + text[1:]


def text_of(value: Any) -> str:
    if value is None:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
