"""A slow second reading of GJSON paths, on parsed Python values instead of text; shares no line with daemon.crm.gjson.

Objects are lists of pairs, so that a key given twice is seen. The answer is (exists, text as Go prints it).
"""

from __future__ import annotations

import fnmatch
import json
import re
from decimal import Decimal
from typing import Any


class Obj(list):  # type: ignore[type-arg]
    """An object: its pairs in order."""


class Num(str):
    """A number, as written."""


MISSING = object()


def parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=Obj, parse_int=Num, parse_float=Num)


def get(text: str, path: str) -> tuple[bool, str]:
    found = follow(parse(text), path)
    return found is not MISSING, "" if found is MISSING else printed(found)


def follow(value: Any, path: str) -> Any:
    if path.startswith(".."):
        return in_list([value], path[2:])
    if isinstance(value, Obj):
        return in_object(value, path)
    return in_list(value, path) if isinstance(value, list) else MISSING


def cut(path: str, stops: str) -> tuple[str, str, str]:
    """Up to the first stop that no backslash hides: (before, the stop, after)."""
    found = re.match(rf"((?:\\.|[^{stops}\\]|\\$)*)([{stops}]?)", path, re.DOTALL)
    assert found is not None
    return found[1], found[2], path[found.end() :]


def in_object(value: Obj, path: str) -> Any:
    part, stop, rest = cut(path, ".|")
    wild = re.search(r"(?<!\\)(?:\\\\)*[*?]", part) is not None
    for key, member in value:
        if wild:
            pattern = re.sub(
                r"\\(.)|(.)", lambda m: quoted(m[1]) if m[1] else quoted(m[2]) if m[2] in "[" else m[2], part
            )
            if not fnmatch.fnmatchcase(key, pattern):
                continue
        elif key != re.sub(r"\\(.?)", r"\1", part):
            continue
        if stop != ".":
            return follow(member, rest) if stop else member
        found = follow(member, rest)
        if found is not MISSING:
            return found
    return MISSING


def quoted(sign: str) -> str:
    return f"[{sign}]" if sign in "*?[" else sign


def in_list(values: list[Any], path: str) -> Any:
    if re.match(r"#[(\[]", path):
        return asked(values, path)
    found = re.match(r"([^.|]*)([.|]?)", path)
    assert found is not None
    part, stop, rest = found[1], found[2], path[found.end() :]
    if "#" in part:
        if part != "#":
            return MISSING
        if stop == ".":
            inner, pipe = split(rest)
            listed = [each for value in values if (each := follow(value, inner)) is not MISSING]
            return listed if pipe is None else follow(listed, pipe)
        return follow(Num(len(values)), rest) if stop else Num(len(values))
    if not re.fullmatch("[0-9]+", part) or int(part) >= len(values):
        return MISSING
    value = values[int(part)]
    return follow(value, rest) if stop else value


def split(path: str) -> tuple[str, str | None]:
    """A list's pipe: outside of `.#(…)`, and not right behind `.#`."""
    at = 0
    while at < len(path):
        if path[at] == "\\":
            at += 2
        elif path.startswith((".#(", ".#["), at):
            at = closing(path, at + 2) + 1
        elif path.startswith(".#", at):
            at += 3
        elif path[at] == "|":
            return path[:at], path[at + 1 :]
        else:
            at += 1
    return path, None


def closing(path: str, at: int) -> int:
    """Where the bracket that opens at `at` closes."""
    depth = 0
    for piece in re.finditer(r'\\.|"(?:\\.|[^"\\])*"|[(\[\])]', path[at:], re.DOTALL):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(piece[0], 0)
        if depth == 0 and piece[0] in ")]":
            return at + piece.start()
    return len(path)


def asked(values: list[Any], path: str) -> Any:
    end = closing(path, 1)
    left, op, right = comparison(path[2:end])
    tail = path[end + 1 :]
    every = tail.startswith("#")
    found = re.match(r"[^.|]*([.|]?)", tail)
    assert found is not None
    stop, rest = found[1], tail[found.end() :]
    hits = [value for value in values if holds(value, left, op, right)]
    inner, pipe = split(rest) if stop == "." else ("", rest if stop else None)
    taken = [follow(hit, inner) for hit in hits] if stop == "." else hits
    if every:
        listed = [each for each in taken if each is not MISSING]
        return listed if pipe is None or (stop == "." and not hits) else follow(listed, pipe)
    if not taken or taken[0] is MISSING:
        return MISSING
    return taken[0] if pipe is None else follow(taken[0], pipe)


def comparison(text: str) -> tuple[str, str, str]:
    at = 0
    while at < len(text) and text[at] not in "!=<>%":
        if text[at] == "\\":
            at += 2
        elif text[at] in "([":
            at = closing(text, at) + 1
        elif text[at] == '"':
            found = re.match(r'"(?:\\.|[^"\\])*"', text[at:], re.DOTALL)
            at += found.end() if found else len(text)
        else:
            at += 1
    left, rest = text[:at].strip(), text[at:].strip()
    found = re.match(r"!=|!%|<=|>=|==|[=<>%!]", rest)
    if not found:
        return left, "", ""
    right = rest[found.end() :].strip()
    if len(right) >= 2 and right[0] == right[-1] == '"':
        right = re.sub(r"\\(.)", r"\1", right[1:-1], flags=re.DOTALL)
    return left, "=" if found[0] == "==" else found[0], right


def truthy(value: Any) -> bool:
    if isinstance(value, Num):
        return float(value) != 0
    return value is True or (isinstance(value, str) and value.lower() in ("1", "t", "true"))


def holds(value: Any, left: str, op: str, right: str) -> bool:
    if isinstance(value, list):
        value = follow(value, left)
    elif left:
        return False
    if right.startswith("~"):
        value, right = truthy(value), right[1:]
    if value is MISSING:
        return False
    if not op:
        return True
    if isinstance(value, bool):
        order = {"false": 0, "true": 1}
        if right not in order:
            return op in ("!=", ">=" if value else "<=")
        return compare(int(value), op, order[right]) if (op, value) not in ((">=", False), ("<=", True)) else (
            op == ">=" if value else op == "<=") and False  # fmt: skip
    if isinstance(value, Num):
        try:
            number = float(right) if re.fullmatch(r"\S+", right) and "_" not in right and right.isascii() else 0.0
        except ValueError:
            number = 0.0
        return compare(float(value), op, number)
    if isinstance(value, str):
        if op in ("%", "!%"):
            pattern = re.sub(r"\\(.)|(\[)", lambda m: quoted(m[1] or m[2]), right, flags=re.DOTALL)
            return fnmatch.fnmatchcase(value, pattern) is (op == "%")
        return compare(value.encode(), op, right.encode())
    return False


def compare(one: Any, op: str, other: Any) -> bool:
    order = (one > other) - (one < other)
    return order in {"=": (0,), "!=": (-1, 1), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}.get(op, ())


def printed(value: Any) -> str:
    """Containers as compact JSON, so only equal to ours where the text was compact."""
    if isinstance(value, Num):
        if re.fullmatch("-?[0-9]+", value):
            return str(value)
        text = format(Decimal(repr(float(value))), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return raw(value) if isinstance(value, list) else str(value)


def raw(value: Any) -> str:
    if isinstance(value, Obj):
        return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{raw(member)}" for key, member in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(raw, value)) + "]"
    return str(value) if isinstance(value, Num) else json.dumps(value, ensure_ascii=False)
