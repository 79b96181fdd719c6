"""Whether a workbook may be unpacked: its parts whole, of their declared size, and its cells not too far apart.

In: the path of a .xlsx file. Out: nothing, or ImportFailed. Called before the reader of workbooks sees the file, since
that one holds a sheet as a full rectangle in memory: one cell at the far corner of a sheet would ask for half a
terabyte, and end the daemon. Blocks: call it in a thread.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path

from daemon.leads.errors import ImportFailed

UNPACKED_BYTES_MAX = 256 << 20
"""A workbook unpacks in memory; a larger one must come as CSV."""

CELLS_MAX = 10_000_000
"""Cells of a sheet's rectangle, empty ones too: some 300 MB, and more than the bytes above can fill."""

_PIECE_BYTES = 64 * 1024
"""Small enough that other threads get their turn between two pieces."""

_TAIL_BYTES = 64
"""Of a piece looked at once more with the next: a reference may be cut in two."""

_REFERENCE = re.compile(rb"""\sr\s*=\s*["']([A-Za-z]{0,3})([0-9]{1,10})["']""")
_BROKEN = (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, OSError, EOFError, struct.error)
"""RuntimeError: a part that is encrypted, or packed in a way the standard library does not know."""


def check_workbook(path: Path) -> None:
    """Raises ImportFailed on a damaged part, one that is larger than it says, a file of another kind, or a sheet whose
    cells are too far apart."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if not any(part.filename == "xl/workbook.xml" for part in parts):
                raise ImportFailed("this is no workbook of the kinds .xlsx or .xls")
            if (unpacked := sum(part.file_size for part in parts)) > UNPACKED_BYTES_MAX:
                raise ImportFailed(f"the workbook unpacks to {unpacked >> 20} MB; save it as CSV")
            for part in parts:
                try:
                    _check_part(archive, part)
                except _BROKEN as error:
                    raise ImportFailed(f"the workbook is damaged in {part.filename}: {error}") from error
    except _BROKEN as error:
        raise ImportFailed("the workbook is damaged") from error


def _check_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """Read a part to its end: no further than its declared size, whose checksum must then be right."""
    rows_max, columns, tail = 0, 0, b""
    with archive.open(part) as content:
        while piece := content.read(_PIECE_BYTES):
            if not part.filename.startswith("xl/worksheets/"):
                continue
            found = _REFERENCE.findall(tail + piece)
            tail = piece[-_TAIL_BYTES:]
            rows_max = max(rows_max, max((int(row) for _, row in found), default=0))
            columns = max(columns, max(map(_column, {letters for letters, _ in found}), default=0))
            if rows_max * columns > CELLS_MAX:
                raise ImportFailed(
                    f"the sheet reaches to row {rows_max} and column {columns}: more than {CELLS_MAX} cells, empty ones"
                    " too; delete what stands far from the rest, or save it as CSV"
                )


def _column(letters: bytes) -> int:
    """A is 1, AA is 27; nothing is 0."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number
