"""What became of each row: counts, a sample for the page, and a file with every reason, safe in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

SAMPLE_MAX = 200
"""Rows with a reason kept for the page; the file has them all."""

REPORT_HEADINGS = ("row", "result", "reason", "other_row", "lead_id")
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")


def safe_cell(value: object) -> str:
    """A cell that no spreadsheet will run: what could begin a formula gets an apostrophe in front.

    Numbers stay as they are, telephone numbers in E.164 included.
    """
    text = "" if value is None else str(value)
    if text.startswith(_DANGEROUS) and not _PLAIN_NUMBER.fullmatch(text):
        return "'" + text
    return text


class ImportReport(msgspec.Struct, kw_only=True):
    """Counts in rows but for the last three, in leads. `rows` = imported + rejected + duplicates + blank.

    `rejected`: rows with at least one reason; `by_reason` counts reasons. `duplicates_in_file`, `duplicates_in_base`:
    rows that are someone already there; with replace and merge they count among `updated` or go into one lead.
    `cleaned`: numbers tidied (features D7). `warnings`: parts of good rows that were left out.
    """

    dry_run: bool = False
    rows: int = 0
    blank: int = 0
    good: int = 0
    rejected: int = 0
    cleaned: int = 0
    duplicates_in_file: int = 0
    duplicates_in_base: int = 0
    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    by_reason: dict[str, int] = {}
    warnings: dict[str, int] = {}
    sample: list[dict[str, Any]] = []


class ReportFile:
    """Writes reasons as they come. `path` None: counts and sample only."""

    def __init__(self, report: ImportReport, path: Path | None) -> None:
        self.report = report
        self._file: TextIO | None = path.open("w", encoding="utf-8-sig", newline="") if path else None
        self._writer = csv.writer(self._file, delimiter=";", lineterminator="\r\n") if self._file else None
        if self._writer:
            self._writer.writerow(REPORT_HEADINGS)

    def rejected(self, row: int, reasons: Sequence[str]) -> None:
        """A row that can't be a lead."""
        self.report.rejected += 1
        for reason in reasons:
            self.report.by_reason[reason] = self.report.by_reason.get(reason, 0) + 1
            self._note(row, "rejected", reason)

    def duplicate_in_file(self, row: int, first: int) -> None:
        """A row that is the same person as an earlier one."""
        self.report.duplicates_in_file += 1
        self._note(row, "duplicate", "duplicate_in_file", other_row=first)

    def duplicate_in_base(self, row: int, lead_id: int) -> None:
        """A row that is a lead already."""
        self.report.duplicates_in_base += 1
        self._note(row, "duplicate", "duplicate_in_base", lead_id=lead_id)

    def warned(self, row: int, warnings: Sequence[str]) -> None:
        """A good row of which something was left out."""
        for warning in warnings:
            self.report.warnings[warning] = self.report.warnings.get(warning, 0) + 1
            self._note(row, "warning", warning)

    def _note(self, row: int, result: str, reason: str, other_row: int = 0, lead_id: int = 0) -> None:
        if len(self.report.sample) < SAMPLE_MAX:
            note: dict[str, Any] = {"row": row, "result": result, "reason": reason}
            if other_row:
                note["other_row"] = other_row
            if lead_id:
                note["lead_id"] = lead_id
            self.report.sample.append(note)
        if self._writer:
            self._writer.writerow((row, result, safe_cell(reason), other_row or "", lead_id or ""))

    def flush(self) -> None:
        """What was noted is in the file. Raises OSError: asked before leads are made, which it can still stop."""
        if self._file:
            self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        if self._file:
            self._file.close()
            self._file, self._writer = None, None
