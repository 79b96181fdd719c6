"""Opposition lists: a file of numbers that must not be called for a client (features LEGL-06).

In: any file the import reads; the column of telephone numbers is found by its heading or its content. Out: the numbers
go on the client's red list in batches. The whole file is read once before the first one does, so that a file broken in
its middle changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from daemon.compliance.numbers import NumberRefusal, normalise
from daemon.errors import CommandError
from daemon.leads.mapping import guessed_by_content
from daemon.leads.reading import Row, head, rows
from daemon.leads.running import SLICE_ROWS, columns_of, recognise
from daemon.leads.sniff import Form
from daemon.ports import Store

BATCH_NUMBERS = 5000

Held = Callable[[tuple[str, ...], str], Awaitable[object]]
"""Told (numbers, by whom) after each batch, so that what is queued of them is dropped at once."""


class OppositionReport(msgspec.Struct, kw_only=True):
    """`numbers`: read and on the red list now; `added`: of them, not there before; `leads`: leads that are held for it.
    `sample`: the first rows that are no number, with the reason."""

    rows: int = 0
    numbers: int = 0
    added: int = 0
    leads: int = 0
    rejected: int = 0
    by_reason: dict[str, int] = {}
    sample: list[dict[str, int | str]] = []


async def add_opposition(
    path: Path, store: Store, client_id: int, *, by: str, source: str, region: str = "FR", held: Held | None = None
) -> OppositionReport:
    """Put every number of the file on the client's red list. Raises ImportFailed, CommandError("import_no_phone"),
    StoreError; a store that fails midway leaves the numbers added so far on the list: too many is the safe side."""
    form = await recognise(path, source)
    place = _column(path, form, source)
    async for _ in _slices(path, form):
        pass
    report = OppositionReport()
    batch: dict[str, None] = {}
    header = form.header
    async for part in _slices(path, form):
        for number, cells in part:
            cell = cells[place] if place < len(cells) else ""
            if header:
                header = False
                continue
            found = _read(number, cell, region, report)
            if found:
                batch[found] = None
        if len(batch) >= BATCH_NUMBERS:
            await _add(store, client_id, tuple(batch), by, source, report, held)
            batch = {}
    if batch:
        await _add(store, client_id, tuple(batch), by, source, report, held)
    return report


def _column(path: Path, form: Form, name: str) -> int:
    """Where the numbers are: the heading we know, else the column that looks most like it."""
    columns = columns_of(path, form, {})
    for field in ("phone", "alt_phone"):
        if field in columns.fields:
            return columns.fields.index(field)
    guess = guessed_by_content([row for row in head(path, form, 20)[1:] if any(row)])
    if "phone" not in guess:
        raise CommandError("import_no_phone", {"file": name})
    return guess.index("phone")


async def _slices(path: Path, form: Form) -> AsyncIterator[list[tuple[int, Row]]]:
    """The rows in slices, the loop looked at between them."""
    source: Iterator[tuple[int, Row]] = rows(path, form)
    while part := list(islice(source, SLICE_ROWS)):
        yield part
        await asyncio.sleep(0)


def _read(row: int, cell: object, region: str, report: OppositionReport) -> str:
    """The number of a row in E.164; "" for an empty row or what is no number. Toll numbers count too."""
    found = normalise(cell, region=region, allow_special=True)
    if found.refused is NumberRefusal.EMPTY:
        return ""
    report.rows += 1
    if found.refused:
        report.rejected += 1
        report.by_reason[found.refused] = report.by_reason.get(found.refused, 0) + 1
        if len(report.sample) < 200:
            report.sample.append({"row": row, "reason": str(found.refused)})
        return ""
    report.numbers += 1
    return found.e164


async def _add(
    store: Store,
    client_id: int,
    numbers: tuple[str, ...],
    by: str,
    source: str,
    report: OppositionReport,
    held: Held | None,
) -> None:
    added, leads = await store.add_dnc(client_id, numbers, by, source)
    report.added += added
    report.leads += leads
    if held is not None:
        await held(numbers, by)
