"""What calls cost by the operator's own rate table: the longest prefix wins, as carriers bill. No table, no cost.

In: a CSV text `prefix;per_minute;per_call;increment_s` (header needed; comma or semicolon; decimals with point or
comma; the last two columns may be left out). Out: `Rates`. Prefixes are E.164 with or without the plus. Pure.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass

ROWS_MAX = 200_000
PREFIX_DIGITS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Price of an answered call: `per_call` and, for each started step of `increment_s` seconds, its part of
    `per_minute`; in the table's own currency."""

    prefix: str
    per_minute: float
    per_call: float = 0.0
    increment_s: int = 60


class Rates:
    """A rate table."""

    def __init__(self, rates: list[Rate]) -> None:
        self._by_prefix = {rate.prefix: rate for rate in rates}
        self.digits = max((len(rate.prefix) for rate in rates), default=0)
        self.increments = tuple(sorted({rate.increment_s for rate in rates}))

    def of(self, number: str) -> Rate | None:
        """The rate of a number (E.164), or of as much of its beginning as any prefix is long."""
        for length in range(min(len(number), self.digits), 1, -1):
            if (rate := self._by_prefix.get(number[:length])) is not None:
                return rate
        return None


def billed_s(seconds: float, increment_s: int) -> int:
    """Seconds as billed: each started step counts whole."""
    return math.ceil(seconds / increment_s) * increment_s


def parse_rates(text: str) -> Rates:
    """Raises ValueError with the line and what is wrong with it."""
    lines = text.lstrip("\ufeff").splitlines()
    separator = ";" if lines and ";" in lines[0] else ","
    rows = csv.DictReader(lines, delimiter=separator)
    if rows.fieldnames is None or not {"prefix", "per_minute"} <= set(rows.fieldnames):
        raise ValueError("line 1: needs a header with prefix and per_minute")
    found = [_rate(number, row) for number, row in enumerate(rows, start=2)]
    if len(found) > ROWS_MAX:
        raise ValueError(f"{len(found)} rows; at most {ROWS_MAX}")
    return Rates(found)


def _rate(line: int, row: dict[str, str | None]) -> Rate:
    digits = (row["prefix"] or "").strip().lstrip("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= PREFIX_DIGITS_MAX):
        raise ValueError(f"line {line}: prefix {row['prefix']!r} is not 1 to {PREFIX_DIGITS_MAX} digits")
    values = {name: (row.get(name) or "").strip().replace(",", ".") for name in ("per_minute", "per_call")}
    try:
        per_minute, per_call = float(values["per_minute"]), float(values["per_call"] or 0)
        increment = int(row.get("increment_s") or 60)
    except ValueError as error:
        raise ValueError(f"line {line}: prices are numbers, increment_s whole seconds") from error
    if not (0 <= per_minute < math.inf and 0 <= per_call < math.inf and 1 <= increment <= 3600):
        raise ValueError(f"line {line}: prices from 0, increment_s from 1 to 3600")
    return Rate(prefix=f"+{digits}", per_minute=per_minute, per_call=per_call, increment_s=increment)
