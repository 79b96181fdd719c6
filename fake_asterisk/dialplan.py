"""Dialplan: a subset of extensions.conf, its patterns, and the substitution of `${...}` and `$[...]`.

Understood: `[context]`, `exten => pattern,priority(label),App(data)`, `same => n(label),App(data)`, `include =>`,
`[globals]`, comments; priorities by number, `n` and `hint`. Patterns: `_` with X Z N [..] `.` `!` and `-` ignored.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from fake_asterisk.conf import without_comment

FOUND_MAX = 4096
"""Numbers whose extension is remembered."""


@dataclass(slots=True)
class Step:
    """One priority of an extension."""

    application: str
    data: str


@dataclass(slots=True)
class Extension:
    """A pattern with its steps and labels."""

    pattern: str
    steps: dict[int, Step] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Context:
    """Extensions in the order of the file, and the contexts included."""

    extensions: dict[str, Extension] = field(default_factory=dict)
    includes: list[str] = field(default_factory=list)


class Dialplan:
    """All contexts."""

    def __init__(self, text: str = "") -> None:
        self.contexts: dict[str, Context] = {}
        self.globals: dict[str, str] = {}
        self._found: dict[tuple[str, str], Extension | None] = {}
        self._set: dict[tuple[str, str, int], None] = {}
        if text:
            self.add(text)

    def add(self, text: str) -> None:
        """Read more of extensions.conf. Raises ValueError for a line of no known form."""
        self._found.clear()
        context: Context | None = None
        extension: Extension | None = None
        section, last = "", 0
        for number, raw in enumerate(text.splitlines(), 1):
            line = without_comment(raw).strip()
            if not line:
                continue
            if line.startswith("["):
                section = line[1 : line.index("]")]
                context = None if section in ("general", "globals") else self.contexts.setdefault(section, Context())
                continue
            key, _, value = line.partition("=")
            key, value = key.strip().lower(), value.lstrip(">").strip()
            if section == "globals":
                self.globals[line.partition("=")[0].strip()] = value
            elif context is None:
                continue
            elif key == "include":
                context.includes.append(value.split(",")[0].strip())
            elif key in ("exten", "same"):
                if key == "exten":
                    pattern, _, value = value.partition(",")
                    extension = context.extensions.setdefault(pattern.strip(), Extension(pattern.strip()))
                if extension is None:
                    raise ValueError(f"line {number}: same => before any exten =>")
                last = _add_step(extension, value, last, number)
            else:
                raise ValueError(f"line {number}: {raw.strip()!r} is not understood")

    def set_step(self, context: str, exten: str, priority: int, app: str, data: str, *, replace: bool) -> bool:
        """Add one step while running; False if there is one and `replace` is not asked for."""
        self._found.clear()
        extensions = self.contexts.setdefault(context, Context()).extensions
        extension = extensions.setdefault(exten, Extension(exten))
        if priority in extension.steps and not replace:
            return False
        extension.steps[priority] = Step(app, data)
        self._set[context, exten, priority] = None
        return True

    def reload(self) -> None:
        """`dialplan reload`: what was added while running is gone, the files alone count."""
        self._found.clear()
        for context, exten, priority in self._set:
            extensions = self.contexts[context].extensions
            extensions[exten].steps.pop(priority, None)
            if not extensions[exten].steps:
                del extensions[exten]
            if not extensions:
                del self.contexts[context]
        self._set.clear()

    def find(self, context: str, exten: str, priority: int) -> Step | None:
        """The step at a place, or None."""
        extension = self.extension(context, exten)
        return None if extension is None else extension.steps.get(priority)

    def label(self, context: str, exten: str, label: str) -> int | None:
        """A priority given by number or by label."""
        if label.isdigit():
            return int(label)
        extension = self.extension(context, exten)
        return None if extension is None else extension.labels.get(label)

    def extension(self, context: str, exten: str) -> Extension | None:
        """The best match for a number in a context and what it includes. Remembered: each step of each call asks."""
        key = (context, exten)
        if key not in self._found:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            self._found[key] = self._match(context, exten, 0)
        return self._found[key]

    def _match(self, context: str, exten: str, depth: int) -> Extension | None:
        found = self.contexts.get(context)
        if found is None or depth > 10:
            return None
        if exten in found.extensions and not exten.startswith("_"):
            return found.extensions[exten]
        matching = [p for p in found.extensions if p.startswith("_") and matches(p, exten)]
        if matching:
            return found.extensions[min(matching, key=_vagueness)]
        for name in found.includes:
            if (included := self._match(name, exten, depth + 1)) is not None:
                return included
        return None


def _add_step(extension: Extension, value: str, last: int, number: int) -> int:
    head, comma, call = value.partition(",")
    match = re.fullmatch(r"\s*(\d+|n|s|hint)(?:\+\d+)?\s*(?:\(([^)]*)\))?\s*", head)
    if not match or not comma:
        raise ValueError(f"line {number}: {value!r} is not priority,application")
    if match[1] == "hint":
        return last
    priority = int(match[1]) if match[1].isdigit() else last + (match[1] == "n")
    name, parenthesis, data = call.strip().partition("(")
    if parenthesis:
        data = data.rstrip()
        data = data[:-1] if data.endswith(")") else data
    extension.steps[priority] = Step(name.strip(), data)
    if match[2]:
        extension.labels[match[2]] = priority
    return priority


@lru_cache(4096)
def _regex(pattern: str) -> re.Pattern[str]:
    out, n = [], 1
    while n < len(pattern):
        character = pattern[n]
        if character == "[":
            end = pattern.index("]", n)
            out.append(pattern[n : end + 1])
            n = end
        elif character == ".":
            out.append(".+")
        elif character == "!":
            out.append(".*")
        elif character != "-":
            out.append({"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]"}.get(character.upper(), re.escape(character)))
        n += 1
    return re.compile("".join(out))


def matches(pattern: str, exten: str) -> bool:
    """Whether a number matches an extension pattern; `_0.` refuses `+33...`: a plus is no digit."""
    if not pattern.startswith("_"):
        return pattern == exten
    return _regex(pattern).fullmatch(exten) is not None


def _vagueness(pattern: str) -> tuple[int, int]:
    """Asterisk prefers the more exact pattern: wildcards last, longer first."""
    return (2 if "." in pattern else 3 if "!" in pattern else 0, -len(pattern))


# ---- substitution


def substitute(text: str, variable: Callable[[str], str | None]) -> str:
    """`${NAME}`, `${NAME:offset:length}`, `${FUNC(args)}` and `$[expression]` replaced, inner ones first."""
    if "$" not in text:
        return text
    out = []
    for kind, piece in _pieces(text):
        if not kind:
            out.append(piece)
            continue
        inner = substitute(piece, variable)
        out.append(_value(inner, variable) if kind == "${" else expression(inner))
    return "".join(out)


@lru_cache(4096)
def _pieces(text: str) -> tuple[tuple[str, str], ...]:
    """What a text is made of, in order: ("", plain), ("${", inside) and ("$[", inside)."""
    out, plain, n = [], 0, text.find("$")
    while n >= 0:
        opening = text[n : n + 2]
        if opening not in ("${", "$["):
            n = text.find("$", n + 1)
            continue
        end = _closing(text, n + 1)
        if plain < n:
            out.append(("", text[plain:n]))
        out.append((opening, text[n + 2 : end]))
        plain = end + 1
        n = text.find("$", plain)
    if plain < len(text):
        out.append(("", text[plain:]))
    return tuple(out)


def _closing(text: str, start: int) -> int:
    opening = text[start]
    closing = "}" if opening == "{" else "]"
    depth = 0
    for n in range(start, len(text)):
        if text[n] == opening:
            depth += 1
        elif text[n] == closing:
            depth -= 1
            if depth == 0:
                return n
    return len(text)


def _value(inner: str, variable: Callable[[str], str | None]) -> str:
    name, *slices = inner.split(":") if "(" not in inner else [inner]
    value = variable(name) or ""
    if slices:
        offset = int(slices[0] or 0)
        value = value[offset:] if offset >= 0 else value[max(0, len(value) + offset) :]
        if len(slices) > 1 and slices[1]:
            length = int(slices[1])
            value = value[:length]
    return value


_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|<=|>=|!=|[()|&=<>+\-*/%!]|[^\s()|&=<>+\-*/%!"]+)')
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("|",),
    ("&",),
    ("=", "!=", "<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)


@lru_cache(4096)
def expression(text: str) -> str:
    """Value of a `$[...]` expression after substitution: comparisons give 1 or 0."""
    tokens = _TOKEN.findall(text)
    if not tokens:
        return "0"
    value, _ = _level(tokens, 0, 0)
    return value


def _level(tokens: list[str], n: int, level: int) -> tuple[str, int]:
    if level == len(_LEVELS):
        if n >= len(tokens):
            return "", n
        if tokens[n] == "(":
            value, n = _level(tokens, n + 1, 0)
            return value, n + 1
        if tokens[n] == "!":
            value, n = _level(tokens, n + 1, level)
            return ("0" if _true(value) else "1"), n
        if tokens[n] in ("=", "!=", "<", ">", "<=", ">=", "|", "&", ")"):
            return "", n
        return tokens[n].strip('"') if tokens[n].startswith('"') else tokens[n], n + 1
    left, n = _level(tokens, n, level + 1)
    while n < len(tokens) and tokens[n] in _LEVELS[level]:
        operator = tokens[n]
        right, n = _level(tokens, n + 1, level + 1)
        left = _apply(operator, left, right)
    return left, n


def _true(value: str) -> bool:
    return value not in ("", "0")


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


_COMPARED: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "!=": ne, "<": lt, ">": gt, "<=": le, ">=": ge}


def _apply(operator: str, left: str, right: str) -> str:
    if operator == "|":
        return left if _true(left) else right
    if operator == "&":
        return left if _true(left) and _true(right) else "0"
    a, b = _number(left), _number(right)
    if operator in ("=", "!=", "<", ">", "<=", ">="):
        x, y = (a, b) if a is not None and b is not None else (left, right)
        return "1" if _COMPARED[operator](x, y) else "0"
    if a is None or b is None or (operator in "/%" and b == 0):
        return "0"
    result = {"+": a + b, "-": a - b, "*": a * b}.get(operator)
    if result is None:
        result = a / b if operator == "/" else a % b
    return str(int(result)) if result == int(result) else str(result)


def truth(condition: str) -> bool:
    """Whether GotoIf and ExecIf take the first way."""
    return _true(condition.strip())
