"""Following a path through JSON text. Pure; every step answers with a raw value, so steps compose by text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from daemon.crm.gjson.path import Query, Step, array_step, object_step, refuse_unsupported, split_pipe
from daemon.crm.gjson.text import elements, members, skip_space, unquoted

NESTING_MAX = 200
"""Steps in steps (queries, pipes, levels): a path has a few."""


class TooDeep(ValueError):
    """A path or a document nested beyond use."""


def find(text: str, path: str, depth: int = 0) -> str | None:
    """The raw value at `path`; None if there is none. Raises PathError (unsupported) and TooDeep."""
    if depth > NESTING_MAX:
        raise TooDeep(f"more than {NESTING_MAX} levels")
    if len(path) > 1:
        refuse_unsupported(path)
    if path.startswith(".."):
        return _in_array(f"[{text}]", path[2:], depth + 1)
    return _in_value(text, path, depth + 1)


def _in_value(text: str, path: str, depth: int) -> str | None:
    if depth > NESTING_MAX:
        raise TooDeep(f"more than {NESTING_MAX} levels")
    first = text[skip_space(text, 0) : skip_space(text, 0) + 1]
    if first == "{":
        return _in_object(text, path, depth)
    return _in_array(text, path, depth) if first == "[" else None


def _piped(found: str | None, step: Step, depth: int) -> str | None:
    return find(found, step.pipe, depth + 1) if step.piped and found is not None else found


def _in_object(text: str, path: str, depth: int) -> str | None:
    step = object_step(path)
    for key, raw in members(text):
        if not (matches(key, step.pattern) if step.wild else key == step.part):
            continue
        if not step.more:
            return _piped(raw, step, depth)
        found = _in_value(raw, step.rest, depth + 1)
        if found is not None:  # otherwise a later key may match, and have it
            return found
    return None


def _in_array(text: str, path: str, depth: int) -> str | None:
    step = array_step(path)
    if step.query is not None:
        return _queried(text, step, step.query, depth)
    if step.hashed:
        return _hashed(text, step, depth) if step.part == "#" else None
    index = int(step.part) if re.fullmatch(r"[0-9]{1,15}", step.part) else -1
    for place, raw in enumerate(elements(text)):
        if place == index:
            return _in_value(raw, step.rest, depth + 1) if step.more else _piped(raw, step, depth)
    return None


def _hashed(text: str, step: Step, depth: int) -> str | None:
    """`#`: how many; `#.rest`: what each has at `rest`, those without left out."""
    if not step.more:
        return _piped(str(sum(1 for _ in elements(text))), step, depth)
    inner, pipe = split_pipe(step.rest)
    found = [value for raw in elements(text) if (value := find(raw, inner, depth + 1)) is not None]
    listed = "[" + ",".join(found) + "]"
    return listed if pipe is None else find(listed, pipe, depth + 1)


def _queried(text: str, step: Step, query: Query, depth: int) -> str | None:
    """`#(…)` and `#(…)#`. A pipe behind further steps (`#(…)#.a|0`) takes effect only if something matched; one right
    behind the query always."""
    inner, pipe = split_pipe(step.rest) if step.more else ("", step.pipe if step.piped else None)
    matching = _matching(text, query, depth)
    if not query.all:
        first = next(matching, None)
        found = find(first, inner, depth + 1) if first is not None and step.more else first
        return found if pipe is None or found is None else find(found, pipe, depth + 1)
    hits = list(matching)
    values = [find(raw, inner, depth + 1) for raw in hits] if step.more else hits
    listed = "[" + ",".join(value for value in values if value is not None) + "]"
    return listed if pipe is None or (step.more and not hits) else find(listed, pipe, depth + 1)


def _matching(text: str, query: Query, depth: int) -> Iterator[str]:
    for raw in elements(text):
        if raw[0] in "{[":
            left = find(raw, query.path, depth + 1)
        elif query.path:
            continue
        else:
            left = raw
        if _holds(left, query):
            yield raw


def _holds(left: str | None, query: Query) -> bool:
    """Whether the query's comparison is true of a raw value. null and containers compare with nothing (D39)."""
    right = query.value
    if right.startswith("~"):
        left, right = ("true" if _truth(left) else "false"), right[1:]
    if left is None:
        return False
    if not query.op:
        return True
    if left[0] == '"':
        return _strings(unquoted(left), query.op, right)
    if left in ("true", "false"):
        return _booleans(left == "true", query.op, right)
    return left[0] in "-0123456789" and _compared(float(left), query.op, _number(right))


def _truth(left: str | None) -> bool:
    """What `~` makes of a value: true, "true", "t", "1" (any case) and numbers but 0 are true; all else is not, a
    missing one included (D39)."""
    if left is None or left in ("null", "false"):
        return False
    if left[0] == '"':
        return unquoted(left).lower() in ("1", "t", "true")
    return left == "true" or (left[0] in "-0123456789" and float(left) != 0)


def _number(text: str) -> float:
    """What is no number counts as 0."""
    try:
        return float(text) if text.isascii() and text == text.strip() and "_" not in text else 0.0
    except ValueError:
        return 0.0


def _strings(left: str, op: str, right: str) -> bool:
    if op in ("%", "!%"):
        return matches(left, right) is (op == "%")
    return _compared(left.encode(), op, right.encode())


def _booleans(left: bool, op: str, right: str) -> bool:
    other = {"true": True, "false": False}.get(right)
    if op == "=":
        return other is left
    if op == "!=":
        return other is not left
    if left:
        return op == ">=" or (op == ">" and other is False)
    return op == "<=" or (op == "<" and other is True)


def _compared(left: bytes | float, op: str, right: bytes | float) -> bool:
    match op:
        case "=":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right  # type: ignore[operator]
        case "<=":
            return left <= right  # type: ignore[operator]
        case ">":
            return left > right  # type: ignore[operator]
        case ">=":
            return left >= right  # type: ignore[operator]
    return False


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> tuple[str, ...]:
    """The pattern in pieces: literal characters as "=c", and the signs "?" and "*" (several stars are one)."""
    pieces: list[str] = []
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            at += 1
            if at < len(pattern):
                pieces.append("=" + pattern[at])
        elif sign != "*" or pieces[-1:] != ["*"]:
            pieces.append(sign if sign in "*?" else "=" + sign)
        at += 1
    return tuple(pieces)


def matches(text: str, pattern: str) -> bool:
    """Wildcards: `*` any run, `?` any one character, `\\` takes the next literally. Time: length × length at most."""
    pieces = _pattern(pattern)
    at = place = 0
    star, resume = -1, 0
    while at < len(text):
        piece = pieces[place] if place < len(pieces) else ""
        if piece == "*":
            star, resume = place, at
            place += 1
        elif piece == "?" or piece == "=" + text[at]:
            place += 1
            at += 1
        elif star >= 0:
            resume += 1
            at, place = resume, star + 1
        else:
            return False
    return all(piece == "*" for piece in pieces[place:])
