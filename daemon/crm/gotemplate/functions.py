"""What templates may call: Go's and, or, not, eq, ne, and the source's four. Values: texts, numbers, truth, None.

Decision D23: a missing value is an empty text, and a function of a missing value is empty.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from urllib.parse import quote

from daemon.crm.gjson import plain_number

Scalar = str | int | float | bool | None

ARITY: Final[dict[str, tuple[int, int]]] = {
    "and": (1, 1000),
    "or": (1, 1000),
    "not": (1, 1),
    "eq": (2, 1000),
    "ne": (2, 2),
    "Capitalize": (1, 1),
    "UrlEncode": (1, 1),
    "ToMillis": (1, 1),
    "TimeFormat": (2, 3),
}
"""How many arguments each takes, the piped one included."""

_TIME = re.compile(r"yyyy|MM|dd|HH|mm|ss|\.000|[Zz]+")
FLOAT_PLAIN_MAX = 1e6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown(value: Scalar) -> str:
    """As Go prints it, but for the missing one, which is empty here (D23)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _float(value) if isinstance(value, float) else str(value)


def _float(value: float) -> str:
    """Go's %v: the shortest digits; with an exponent, of two digits at least, below 1e-4 and from 1e6."""
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    if 1e-4 <= abs(value) < FLOAT_PLAIN_MAX:
        return plain_number(value)
    return next(text for digits in range(18) if float(text := f"{value:.{digits}e}") == value)


def truth(value: Scalar) -> bool:
    """What `if` asks: false are the missing, "", 0 and false."""
    return bool(value)


def equal(one: Scalar, other: Scalar) -> bool:
    """Numbers by value; otherwise as printed, so that 1 equals "1" (Go would stop with an error)."""
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers and isinstance(one, bool) == isinstance(other, bool):
        return one == other
    return shown(one) == shown(other)


def capitalize(text: str) -> str:
    """The first letter in upper case; letters whose upper case is two stay."""
    first = text[:1].upper()
    return first + text[1:] if len(first) == 1 else text


def url_encode(text: str) -> str:
    """Percent-encoding of all but letters, digits and -._~ (so a space is %20, never +)."""
    return quote(text.encode("utf-8", "replace"), safe="")


def seconds(value: Scalar) -> float | int | None:
    """A timestamp given as a number or its text; None for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = shown(value).strip()
    if re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,18}\.[0-9]{1,9}", text) else None


def to_millis(value: Scalar) -> int | None:
    """Seconds to milliseconds."""
    found = seconds(value)
    return None if found is None else round(found * 1000)


def time_format(value: Scalar, form: str, utc: bool, zone: tzinfo) -> str | None:
    """A timestamp by tokens yyyy MM dd HH mm ss .000 and Z (z, Zz: the offset, "Z" in UTC); all else stays as it is.

    The source shows 1672531199 with flag "1" as 2023-01-01T00:59:59.000Z, an hour off: UTC is 2022-12-31T23:59:59.000Z
    (D15).
    """
    found = seconds(value)
    if found is None:
        return None
    try:
        at = (_EPOCH + timedelta(seconds=found)).astimezone(UTC if utc else zone)
    except OverflowError:
        return None
    offset = at.strftime("%z")
    parts = {
        "yyyy": f"{at.year:04d}",
        "MM": f"{at.month:02d}",
        "dd": f"{at.day:02d}",
        "HH": f"{at.hour:02d}",
        "mm": f"{at.minute:02d}",
        "ss": f"{at.second:02d}",
        ".000": f".{at.microsecond // 1000:03d}",
    }
    named = "Z" if utc else f"{offset[:3]}:{offset[3:5]}"
    return _TIME.sub(lambda token: parts.get(token[0], named), form)
