"""GJSON paths, our own subset (path.py says which). `Document(text).get(path)` → `Value`.

Read by templates' outputs. Decision D21 lives in `Document.rows`: records are walked one by one, columns are never
zipped, because `users.#.email` leaves out users without one and shifts the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from daemon.crm.gjson.find import TooDeep, find
from daemon.crm.gjson.path import PATH_CHARS_MAX, PathError, check_path
from daemon.crm.gjson.text import NotJson, check, elements, skip_space, unquoted

__all__ = ["PATH_CHARS_MAX", "Document", "NotJson", "PathError", "TooDeep", "Value", "check_path"]

_WHOLE = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, slots=True)
class Value:
    """What a path found: `raw` is its JSON text, None if there was nothing."""

    raw: str | None

    @property
    def exists(self) -> bool:
        """Whether there is a value at all; null is one."""
        return self.raw is not None

    @property
    def text(self) -> str:
        """As Go's gjson prints it: strings bare, null and nothing empty, 1.50 → 1.5, whole numbers digit by digit,
        containers as their JSON."""
        raw = self.raw
        if raw is None or raw == "null":
            return ""
        if raw[0] == '"':
            return unquoted(raw)
        if raw[0] in "-0123456789" and not _WHOLE.fullmatch(raw):
            return plain_number(float(raw))
        return raw

    @property
    def items(self) -> list[Value]:
        """An array's elements; [] for anything else."""
        if self.raw is None or self.raw[:1] != "[":
            return []
        return [Value(raw) for raw in elements(self.raw)]


def plain_number(number: float) -> str:
    """The shortest digits that are this float, never with an exponent."""
    if number in (float("inf"), float("-inf")):
        return "+Inf" if number > 0 else "-Inf"
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class Document:
    """One JSON answer. Raises NotJson."""

    def __init__(self, text: str) -> None:
        check(text)
        at = skip_space(text, 0)
        self._text = text[at:].rstrip(" \t\r\n")

    def get(self, path: str) -> Value:
        """The value at `path`. Raises PathError for what the subset refuses, TooDeep for absurd nesting."""
        return Value(find(self._text, path))

    def rows(self, paths: Sequence[str]) -> list[list[Value]]:
        """One row a record, one value a path (D21).

        The first path that has a `#` step says which array holds the records. Paths into the same array are asked of
        each record alone; any other path gives every row the same value. Without such an array there is one row.
        """
        base = next((found for path in paths if (found := record_base(path)) is not None), None)
        if base is None:
            return [[self.get(path) for path in paths]]
        records = self.get(base) if base else Value(self._text)
        same = {path: self._first(path) for path in paths if record_base(path) != base}
        return [[same[path] if path in same else _of_record(record, path, base) for path in paths]
                for record in records.items]  # fmt: skip

    def _first(self, path: str) -> Value:
        """A path's value; of a list of records, the first one's."""
        found = self.get(path)
        if record_base(path) is None or found.raw is None or found.raw[:1] != "[":
            return found
        return next(iter(found.items), Value(None))


def record_base(path: str) -> str | None:
    """The path of the array of records that `path` walks with `#.` or `#(…)`; None if it walks none, or picks from the
    list afterwards (`#(…)#|1.value`), which no single record can answer."""
    found = re.match(r"((?:[^.|#\\]|\\.)+\.)*(?=#[.(\[])", path)
    if found is None or _picks(path[found.end() :]):
        return None
    return found[0][:-1]


def _picks(steps: str) -> bool:
    """Whether a pipe follows outside of queries."""
    depth, at = 0, 0
    while at < len(steps):
        sign = steps[at]
        if sign == "\\":
            at += 1
        elif sign in "([":
            depth += 1
        elif sign in ")]":
            depth -= 1
        elif sign == "|" and depth <= 0:
            return True
        at += 1
    return False


def _of_record(record: Value, path: str, base: str) -> Value:
    """The path asked of an array that holds this record alone."""
    steps = path[len(base) + 1 :] if base else path
    found = find(f"[{record.raw}]", steps)
    if found is not None and (steps.startswith("#.") or ")#" in steps or "]#" in steps) and found[:1] == "[":
        return next(iter(Value(found).items), Value(None))
    return Value(found)
