"""Rows as a CSV download: as they come from the store, in the language and with the columns that were asked for."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import structlog
from aiohttp import web
from msgspec import Meta

from daemon.api.leads_api import shown
from daemon.api.routes import Ask
from daemon.errors import CommandError, StoreError

log = structlog.get_logger("cadran.api")

ROWS_A_WRITE = 200
STALL_S = 60.0
"""A download of which nobody takes a byte for so long is ended: it holds one of the database's connections."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""

Columns = Annotated[str, Meta(max_length=2000)]
"""Names of columns in the order wanted, by comma; left out = all."""


async def stream_csv(
    ask: Ask, name: str, first: dict[str, Any] | None, rows: AsyncIterator[dict[str, Any]]
) -> web.StreamResponse:
    """A download of `first` and the rows after it, with the columns and in the language the query names."""
    try:
        return await _sent(ask, name, first, rows)
    finally:
        if isinstance(rows, AsyncGenerator):
            await rows.aclose()  # gives the connection back now, not when somebody collects it


async def _sent(
    ask: Ask, name: str, first: dict[str, Any] | None, rows: AsyncIterator[dict[str, Any]]
) -> web.StreamResponse:
    columns = columns_asked(ask.query.columns, first)
    response = web.StreamResponse(
        headers={"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": f'attachment; filename="{name}.csv"'}
    )
    ask.deps.guard.add_headers(ask.request, response)
    await response.prepare(ask.request)
    try:
        await _write_rows(ask, response, columns, first, rows)
    except StoreError as error:
        log.warning("download.broken_off", file=name, error=str(error))
        raise _cut(ask, "its rows broke off") from error
    return response


async def _write_rows(
    ask: Ask,
    response: web.StreamResponse,
    columns: list[str],
    first: dict[str, Any] | None,
    rows: AsyncIterator[dict[str, Any]],
) -> None:
    french = ask.query.language == "fr"
    await _write(ask, response, b"\xef\xbb\xbf")
    if first is None:
        return
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=";" if french else ",")
    writer.writerow(columns)
    writer.writerow(cells(shown(ask, first), columns, french))
    count = 1
    async for row in rows:
        writer.writerow(cells(shown(ask, row), columns, french))
        count += 1
        if count % ROWS_A_WRITE == 0:
            await _write(ask, response, buffer.getvalue().encode())
            buffer.seek(0)
            buffer.truncate()
    await _write(ask, response, buffer.getvalue().encode())


async def _write(ask: Ask, response: web.StreamResponse, data: bytes) -> None:
    """Raises ConnectionAbortedError when nobody reads on."""
    try:
        async with asyncio.timeout(STALL_S):
            await response.write(data)
    except TimeoutError as error:
        raise _cut(ask, "nobody reads this download") from error


def _cut(ask: Ask, why: str) -> ConnectionAbortedError:
    """The connection is ended: an answer that has begun can't become an error, and must not look like a whole file."""
    if ask.request.transport is not None:
        ask.request.transport.abort()
    return ConnectionAbortedError(why)


def columns_asked(names: str | None, first: dict[str, Any] | None) -> list[str]:
    """The columns to show, in the order asked. Raises field_invalid for one that the rows lack."""
    known = list(first or ())
    wanted = [name.strip() for name in names.split(",") if name.strip()] if names else known
    for name in wanted:
        if first is not None and name not in known:
            raise CommandError("field_invalid", {"field": "columns", "value": name[:40], "allowed": ", ".join(known)})
    return wanted


def cells(row: dict[str, Any], columns: list[str], french: bool) -> list[str]:
    """A row's cells: decimals of the language, times RFC 3339, text that a spreadsheet would run made harmless."""
    out = []
    for name in columns:
        value = row.get(name)
        if value is None:
            out.append("")
        elif isinstance(value, float):
            text = _decimal(value)
            out.append(text.replace(".", ",") if french else text)
        elif isinstance(value, datetime):
            out.append(value.isoformat())
        elif isinstance(value, (int, bool)):
            out.append(str(value))
        else:
            text = str(value)
            out.append(f"'{text}" if text.startswith(FORMULA) else text)
    return out


def _decimal(value: float) -> str:
    """Six significant digits, and more where fewer would need an exponent: a month's seconds of talk are no 1.2e+06."""
    text = f"{value:.6g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text
