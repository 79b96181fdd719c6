"""The parts of a GJSON path: what one step says depends on whether it meets an object or an array.

Supported: keys, `*` and `?`, `\\` escapes, indexes, `#`, queries `#(…)` and `#(…)#` with == = != < <= > >= % !% and ~,
nested, `.` and `|`. Modifiers (`@reverse`), multipaths (`{…}`, `[…]`) and literals (`!"…"`) raise PathError: a template
that needs one is refused when it is loaded. Source: vectors of gjson 1.14.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MODIFIERS = frozenset(
    "pretty ugly reverse this valid flatten join keys values tostr fromstr group".split()  # noqa: SIM905
)
PATH_CHARS_MAX = 4096
"""Paths are typed by people; the source's longest has 40 characters."""
_NAME = re.compile(r"@([^.|:\[\]{}()]*)")


class PathError(ValueError):
    """A path that can't be used. `at`: the character, from 0."""

    def __init__(self, path: str, at: int, what: str) -> None:
        shown = path if len(path) <= 80 else path[:77] + "..."
        super().__init__(f"path {shown!r}, character {at + 1}: {what}")
        self.at = at


@dataclass(slots=True)
class Query:
    """`#(path op value)`; `op` "" asks whether the path exists. `all`: `#(…)#`."""

    path: str = ""
    op: str = ""
    value: str = ""
    all: bool = False


@dataclass(slots=True)
class Step:
    """A path's first step: `part`, then `rest` if `more`, or `pipe` if `piped`."""

    part: str = ""
    rest: str = ""
    pipe: str = ""
    more: bool = False
    piped: bool = False
    wild: bool = False
    pattern: str = ""
    hashed: bool = False
    query: Query | None = None


def check_path(path: str) -> None:
    """Raises PathError for what this subset refuses, and for parentheses that don't close."""
    if len(path) > PATH_CHARS_MAX:
        raise PathError(path, PATH_CHARS_MAX, f"longer than {PATH_CHARS_MAX} characters")
    depth, at, begins = 0, 0, True
    while at < len(path):
        sign = path[at]
        if begins:
            refuse_unsupported(path, at)
        begins = sign in ".|" or (sign in "([" and at > 0 and path[at - 1] == "#")
        if sign == "\\":
            at += 1
        elif sign == '"' and depth:
            at = _string_end(path, at)
        elif sign in "([":
            depth += 1
        elif sign in ")]":
            depth = max(0, depth - 1)
        at += 1
    if depth:
        raise PathError(path, len(path), "a parenthesis is not closed")


def refuse_unsupported(path: str, at: int = 0) -> None:
    """Raises PathError if a modifier, a multipath or a literal begins at `at`."""
    sign = path[at : at + 1]
    if sign and sign in "{[":
        raise PathError(path, at, "multipaths are not supported")
    if sign == "!" and path[at : at + 2] != "!=" and path[at : at + 2] != "!%":
        raise PathError(path, at, "literals are not supported")
    if sign == "@" and (found := _NAME.match(path, at)) and found[1] in MODIFIERS:
        raise PathError(path, at, f"the modifier @{found[1]} is not supported")


def _string_end(path: str, at: int) -> int:
    """The closing quote of the string that opens at `at`."""
    at += 1
    while at < len(path) and path[at] != '"':
        at += 2 if path[at] == "\\" else 1
    return at


def object_step(path: str) -> Step:
    """The first step as an object sees it."""
    step, part, pattern = Step(), [], []
    at = 0
    while at < len(path):
        sign = path[at]
        if sign == "|":
            step.pipe, step.piped = path[at + 1 :], True
            break
        if sign == ".":
            step.rest, step.more = path[at + 1 :], True
            break
        if sign == "\\":
            at += 1
            part.append(path[at : at + 1])
            pattern.append("\\" + path[at : at + 1] if at < len(path) else "")
        else:
            step.wild = step.wild or sign in "*?"
            part.append(sign)
            pattern.append(sign)
        at += 1
    step.part, step.pattern = "".join(part), "".join(pattern)
    if step.more and step.rest:
        refuse_unsupported(step.rest)
    return step


def array_step(path: str) -> Step:
    """The first step as an array sees it."""
    step = Step()
    at = 0
    while at < len(path):
        sign = path[at]
        if sign == "|":
            step.part, step.pipe, step.piped = path[:at], path[at + 1 :], True
            return step
        if sign == ".":
            step.part, step.rest, step.more = path[:at], path[at + 1 :], True
            if not step.hashed and step.rest:
                refuse_unsupported(step.rest)
            return step
        if sign == "#":
            step.hashed = True
            if at == 0 and path[1:2] and path[1] in "([":
                step.query, end = parse_query(path)
                if step.query is None:
                    raise PathError(path, end, "the query can't be read")
                step.query.all = path[end : end + 1] == "#"
                at = end - 1
        at += 1
    step.part = path
    return step


def parse_query(path: str) -> tuple[Query | None, int]:
    """The query that `path` begins with and where it ends; None if it can't be read."""
    at, depth, op_at = 2, 1, 0
    while at < len(path):
        sign = path[at]
        if depth == 1 and not op_at and sign in "!=<>%":
            op_at = at
        elif sign == "\\":
            at += 1
        elif sign in "([":
            depth += 1
        elif sign in ")]":
            depth -= 1
            if not depth:
                break
        elif sign == '"':
            at = _string_end(path, at)
        at += 1
    if depth:
        return None, len(path)
    if not op_at:
        return Query(path=path[2:at].strip()), at + 1
    compared = path[op_at:at].strip()
    op = compared[:2] if compared[:2] in ("!=", "!%", "<=", ">=", "==") else compared[:1]
    if op == "!":
        return (Query(path=path[2:op_at].strip(), op="!") if len(compared) == 1 else None), at + 1
    value = _value(compared[len(op) :].strip())
    return Query(path=path[2:op_at].strip(), op="=" if op == "==" else op, value=value), at + 1


def _value(text: str) -> str:
    """A query's right side without its quotes; inside them a backslash keeps the next character."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
        return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text
    return text


def split_pipe(path: str) -> tuple[str, str | None]:
    """`left|right` at the first pipe that belongs to the whole list; right is None without one.

    As Go's gjson has it: a query's inside is passed over if a dot is before its `#`, and the sign behind `.#` never
    splits, so that `a.#|0` is asked of each record.
    """
    at = 0
    while at < len(path):
        sign = path[at]
        if sign == "\\":
            at += 1
        elif sign == "." and path[at + 1 : at + 2] == "#":
            at += 2
            if path[at : at + 1] in ("[", "("):
                at = _query_end(path, at)
        elif sign == "|":
            return path[:at], path[at + 1 :]
        at += 1
    return path, None


def _query_end(path: str, at: int) -> int:
    """The parenthesis that closes the one at `at`; the path's end if none does."""
    depth = 0
    while at < len(path):
        sign = path[at]
        if sign == "\\":
            at += 1
        elif sign == '"':
            at = _string_end(path, at)
        elif sign in "([":
            depth += 1
        elif sign in ")]":
            depth -= 1
            if not depth:
                return at
        at += 1
    return at
