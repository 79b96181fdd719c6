"""An import from end to end: rows are read, checked, staged in batches, and become leads all at once.

Runs on the daemon's own loop in slices of about a millisecond, so that calls are never kept waiting by a file; the
command line uses the same code. Whatever fails, the staging is dropped and nothing of the file is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from daemon.clock import Clock
from daemon.leads.checking import Checker, Choices, email_key, keys_of, name_key
from daemon.leads.duplicates import SeenKeys
from daemon.leads.errors import ImportFailed
from daemon.leads.mapping import Columns, guessed, guessed_by_content, mapped, require_phone
from daemon.leads.reading import Row, head, load, rows, sniff_steps, workbook_form
from daemon.leads.report import ImportReport, ReportFile
from daemon.leads.sniff import Form, kind_of
from daemon.ports import ImportTarget, LeadSink, LeadStaging, StagedLead

SLICE_ROWS = 25
"""Rows between two looks at the loop: about a millisecond."""

BATCH_ROWS = 4000
"""Rows a COPY takes at once: large enough to be cheap, small enough to bound memory."""

ROWS_MAX = 5_000_000
DUPLICATE_KEYS = ("phone", "email", "name")
POLICIES = ("skip", "replace", "merge")

Progress = Callable[[int, float], None]
"""Told (rows read, part of the file read 0..1) after each batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything decided about an import. `told`: heading or column number → field, on top of the guess."""

    list_id: int
    group_id: int
    told: dict[str, str] = field(default_factory=dict)
    duplicates: str = "skip"
    duplicate_keys: tuple[str, ...] = ("phone",)
    scope: str = "group"
    choices: Choices = field(default_factory=Choices)

    def target(self) -> ImportTarget:
        """What the store needs to know. Raises ImportFailed on a policy or key there is none of."""
        if self.duplicates not in POLICIES:
            raise ImportFailed(f'duplicates "{self.duplicates}": {", ".join(POLICIES)}')
        if bad := [key for key in self.duplicate_keys if key not in DUPLICATE_KEYS]:
            raise ImportFailed(f'duplicate key "{bad[0]}": {", ".join(DUPLICATE_KEYS)}')
        if self.scope not in ("group", "list"):
            raise ImportFailed(f'scope "{self.scope}": group, list')
        if not self.list_id:
            raise ImportFailed("no list to import into")
        return ImportTarget(
            list_id=self.list_id,
            group_id=self.group_id,
            duplicates=self.duplicates,
            keys=self.duplicate_keys,
            scope=self.scope,
        )


async def recognise(path: Path, name: str = "") -> Form:
    """The form of a file, in slices. Raises ImportFailed."""
    if kind_of(path) == "workbook":
        return await asyncio.to_thread(workbook_form, path)
    form: Form | None = None
    for form in sniff_steps(path, name):  # noqa: B007 - the last one is the answer
        await asyncio.sleep(0)
    if form is None:
        raise ImportFailed("the file can't be recognised")
    return form


async def loaded(path: Path, form: Form) -> Form:
    """The form, a workbook's sheet unpacked in a thread; a text file's at once."""
    if form.kind != "workbook" or form.loaded is not None:
        return form
    return await asyncio.to_thread(load, path, form)


def columns_of(path: Path, form: Form, told: dict[str, str]) -> Columns:
    """The field of each column: guessed, then corrected by what was told. Raises ImportFailed."""
    first = [row for row in head(path, form, 20) if any(cell not in ("", None) for cell in row)]
    if not first:
        raise ImportFailed("the file has no row")
    if form.header:
        headings = [str(cell).strip() for cell in first[0]]
        return mapped(headings, guessed(headings), told)
    return mapped([""] * max(map(len, first)), guessed_by_content(first), told)


async def run_import(
    path: Path,
    form: Form,
    plan: Plan,
    sink: LeadSink,
    clock: Clock,
    *,
    name: str = "",
    dry_run: bool = False,
    report_path: Path | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Import the file, or with `dry_run` only find out what would become of it (features IMPT-10).

    Raises ImportFailed (a fault of the file; its row is named), CommandError("import_no_phone"), StoreError. In every
    case but success nothing is left in the store. Cancelling is safe at any time.
    """
    form = await loaded(path, form)
    columns = columns_of(path, form, plan.told)
    require_phone(columns, name or path.name)
    report = ReportFile(ImportReport(dry_run=dry_run), report_path)
    try:
        staging = await sink.open_staging(plan.target())
        try:
            await _fill(path, form, plan, columns, staging, clock, report, progress)
            await _compare(staging, report)
            report.flush()
            if not dry_run:
                counts = await staging.finish(clock.utcnow())
                made = report.report
                made.inserted, made.updated, made.skipped = counts.inserted, counts.updated, counts.skipped
        finally:
            await staging.discard()
    finally:
        report.close()
    return report.report


async def _fill(
    path: Path,
    form: Form,
    plan: Plan,
    columns: Columns,
    staging: LeadStaging,
    clock: Clock,
    report: ReportFile,
    progress: Progress | None,
) -> None:
    """Read, check and stage every row."""
    checker = Checker(columns, plan.choices, clock.utcnow())
    expected = _expected_rows(path, form)
    seen = SeenKeys(1 << max(12, (2 * expected).bit_length())) if plan.duplicate_keys else None
    source = rows(path, form)
    header = form.header
    batch: list[StagedLead] = []
    while slice_ := list(islice(source, SLICE_ROWS)):
        for number, cells in slice_:
            if header and _filled(cells):
                header = False
                continue
            staged = _one(number, cells, checker, seen, plan, report)
            if staged is not None:
                batch.append(staged)
        if slice_[-1][0] > ROWS_MAX:
            raise ImportFailed(f"more than {ROWS_MAX} rows", slice_[-1][0])
        if len(batch) >= BATCH_ROWS:
            await staging.stage(batch)
            batch = []
            if progress:
                progress(slice_[-1][0], min(1.0, slice_[-1][0] / max(1, expected)))
        await asyncio.sleep(0)
    if batch:
        await staging.stage(batch)
    if progress:
        progress(report.report.rows, 1.0)


def _filled(cells: Row) -> bool:
    first = cells[0] if cells else ""
    if isinstance(first, str) and first and not first.isspace():
        return True
    return any(cell not in ("", None) and str(cell).strip() for cell in cells)


def _one(
    number: int, cells: Row, checker: Checker, seen: SeenKeys | None, plan: Plan, report: ReportFile
) -> StagedLead | None:
    """What becomes of one row; None if it goes no further."""
    counts = report.report
    counts.rows += 1
    if not _filled(cells):
        counts.blank += 1
        return None
    checked = checker.check(cells)
    counts.cleaned += checked.cleaned
    if checked.draft is None:
        report.rejected(number, checked.reasons)
        return None
    if checked.warnings:
        report.warned(number, checked.warnings)
    root = number
    if seen is not None:
        keys = keys_of(checked.draft, plan.duplicate_keys)
        root = seen.find(keys) or number
        if root != number:
            report.duplicate_in_file(number, root)
            if plan.duplicates == "skip":
                return None
        seen.add(keys, root)
    counts.good += 1
    return StagedLead(
        row=number,
        root=root,
        draft=checked.draft,
        email_key=email_key(checked.draft) if "email" in plan.duplicate_keys else "",
        name_key=name_key(checked.draft) if "name" in plan.duplicate_keys else "",
    )


async def _compare(staging: LeadStaging, report: ReportFile) -> None:
    """Note every row that is a lead already."""
    count = 0
    async for row, lead_id in staging.matches():
        report.duplicate_in_base(row, lead_id)
        count += 1
        if count % SLICE_ROWS == 0:
            await asyncio.sleep(0)


def _expected_rows(path: Path, form: Form) -> int:
    """A guess from the length of the first rows, for the size of tables and the progress bar."""
    size = path.stat().st_size
    if form.kind == "workbook":
        return min(1_048_576, size // 20 + 1)
    with path.open("rb") as file:
        begin = file.read(64 * 1024)
    lines = max(1, begin.count(b"\n"))
    return min(ROWS_MAX, max(1, int(size / (len(begin) / lines) * 1.05)))


def preview(path: Path, form: Form, told: dict[str, str], count: int = 10) -> dict[str, object]:
    """What the mapping page shows: form, headings, the guess, and the first leads as text."""
    columns = columns_of(path, form, told)
    filled = (row for _, row in rows(path, form) if _filled(row))
    shown: Iterator[Sequence[object]] = islice(filled, int(form.header), count + int(form.header))
    return {
        "kind": form.kind,
        "encoding": form.encoding,
        "delimiter": form.delimiter,
        "header": form.header,
        "sheet": form.sheet,
        "sheets": list(form.sheets),
        "headings": list(columns.headings),
        "columns": {str(place): field for place, field in enumerate(columns.fields)},
        "rows": [["" if cell is None else str(cell)[:200] for cell in row] for row in shown],
    }
