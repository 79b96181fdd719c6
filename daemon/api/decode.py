"""Bodies and queries into their declared types; every refusal names the field, the value and what is allowed.

In: raw bytes or a query string. Out: the struct. Control characters are refused here, for every string of every
endpoint, so that nothing behind the doors has to think of them (NUL breaks PostgreSQL text, CR/LF would break AMI).
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from daemon.errors import CommandError

BODY_TIMEOUT_S = 30.0
"""A client that sends its body more slowly than this holds a request slot for nothing."""
MULTILINE = frozenset({"notes", "comments", "script"})
"""Fields where a line break is part of the text."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029\ud800-\udfff]")
_CONTROL_MULTILINE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")
VALUE_CHARS_MAX = 80


async def read_json(request: web.Request, kind: Any, bytes_max: int) -> Any:
    """The body as `kind`. Raises content_type, body_too_large, json_invalid, field_missing, field_invalid."""
    if request.content_type != "application/json":
        raise CommandError("content_type", {"value": request.content_type[:80], "allowed": "application/json"})
    raw = await read_bytes(request, bytes_max)
    try:
        parsed = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError("json_invalid", {"reason": str(error)[:120]}) from error
    return convert(parsed, kind)


async def read_bytes(request: web.Request, bytes_max: int) -> bytes:
    """The body, bounded in size and time."""
    if (request.content_length or 0) > bytes_max:
        raise CommandError("body_too_large", {"allowed": bytes_max})
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise CommandError("json_invalid", {"reason": f"not complete within {BODY_TIMEOUT_S:.0f} s"}) from error


def convert(parsed: Any, kind: Any, *, strict: bool = True) -> Any:
    """`parsed` as `kind`, after refusing control characters in any string, and times that no database knows."""
    check_text(parsed)
    try:
        made = msgspec.convert(parsed, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _named(error, parsed) from error
    _check_times(made)
    return made


def _check_times(value: Any, path: str = "") -> None:
    """Refuse a time whose offset puts it before the first year of the calendar, or after the last."""
    if isinstance(value, msgspec.Struct):
        for name, shown in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            _check_times(getattr(value, name), f"{path}.{shown}" if path else shown)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_times(item, f"{path}[{index}]")
    elif isinstance(value, datetime) and value.tzinfo is not None:
        try:
            value.astimezone(UTC)
        except OverflowError as error:
            details = {"field": path, "value": value.isoformat(), "allowed": "years 1 to 9999 in UTC"}
            raise CommandError("field_invalid", details) from error


def query_of(request: web.Request, kind: Any) -> Any:
    """The query string as `kind`; a repeated name is refused rather than half-read."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise CommandError("field_invalid", {"field": name[:80], "value": _short(value), "allowed": "given once"})
        values[name] = value
    return convert(values, kind, strict=False)


def check_text(value: Any, path: str = "", name: str = "") -> None:
    """Refuse control characters and lone surrogates, naming the field."""
    if isinstance(value, str):
        pattern = _CONTROL_MULTILINE if name in MULTILINE else _CONTROL
        if found := pattern.search(value):
            details = {"field": path or "body", "value": _short(value), "allowed": "no control characters"}
            details["value"] = f"…U+{ord(found.group()):04X}…"
            raise CommandError("field_invalid", details)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(key, f"{path}.{_printable(key)}" if path else _printable(key))
            check_text(item, f"{path}.{key}" if path else key, key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_text(item, f"{path}[{index}]", name)


def _printable(key: str) -> str:
    return _CONTROL.sub("?", key)[:VALUE_CHARS_MAX]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"


def _named(error: msgspec.ValidationError, parsed: Any) -> CommandError:
    """msgspec's message, "reason - at `$.path`", as field, value and what is allowed."""
    reason, _, where = str(error).partition(" - at `")
    path = where.rstrip("`").removeprefix("key in `").removeprefix("$").lstrip(".")
    if missing := _MISSING.search(reason):
        return CommandError("field_missing", {"field": f"{path}.{missing[1]}" if path else missing[1]})
    if unknown := _UNKNOWN.search(reason):
        name = unknown[1]
        field = f"{path}.{name}" if path else name
        value = parsed.get(name) if isinstance(parsed, dict) else None
        return CommandError("field_invalid", {"field": field, "value": _short(value), "allowed": "no such field"})
    allowed = reason.replace("Expected ", "").replace("`", "")
    return CommandError(
        "field_invalid", {"field": path or "body", "value": _short(_at(parsed, path)), "allowed": allowed}
    )


def _at(value: Any, path: str) -> Any:
    """The value at msgspec's path ("hours[0].days"); the whole if there is none."""
    for part in path.replace("[", ".[").split("."):
        try:
            value = value[int(part[1:-1])] if part.startswith("[") else (value[part] if part else value)
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value
