"""What kind of file this is: workbook or text, its encoding, its delimiter, whether its first row names the columns.

In: a path. Out: `Form`, every part of which the operator may override. Text is read once, in pieces, to be sure of the
encoding: a file whose only accent is in row 800,000 is still read right.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from daemon.leads.errors import ImportFailed
from daemon.leads.mapping import field_named

PIECE_BYTES = 1 << 20
HEAD_BYTES = 64 * 1024
"""Enough for fifty rows of any width we accept."""

DELIMITERS = (";", ",", "\t", "|")
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf-8-sig": "utf-8-sig",
    "utf-16": "utf-16",
    "iso8859-1": "latin-1",
    "cp1252": "cp1252",
}
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How to read a file. `kind`: "text" or "workbook"; `sheet`: a name, "" for the first. `first_row`: where the rows
    begin (2 after Excel's `sep=` line). `header`: the first row names the columns. `loaded`: the sheet itself, once
    `reading.load` has unpacked it; held only while a step of the import needs it."""

    kind: str
    encoding: str = "utf-8"
    delimiter: str = ","
    header: bool = True
    sheet: str = ""
    sheets: tuple[str, ...] = ()
    first_row: int = 1
    loaded: Any = field(default=None, compare=False, repr=False)

    def unloaded(self) -> Form:
        """The same without the sheet."""
        return replace(self, loaded=None)

    def overridden(
        self, *, encoding: str = "", delimiter: str = "", header: bool | None = None, sheet: str = ""
    ) -> Form:
        """With the operator's choices. Raises ImportFailed on an encoding we don't read or a sheet that isn't there."""
        changes: dict[str, Any] = {}
        if encoding:
            changes["encoding"] = known_encoding(encoding)
        if delimiter:
            if delimiter in '"\r\n' or len(delimiter) != 1:
                raise ImportFailed("the delimiter must be one character other than a quote or a line end")
            changes["delimiter"] = delimiter
        if header is not None:
            changes["header"] = header
        if sheet:
            if self.kind != "workbook" or sheet not in self.sheets:
                raise ImportFailed(f'no sheet "{sheet}"; there are: {", ".join(self.sheets) or "none"}')
            changes |= {"sheet": sheet, "loaded": None}
        return replace(self, **changes)


def known_encoding(name: str) -> str:
    """Our name of an encoding. Raises ImportFailed if it is none of UTF-8, UTF-16, ISO-8859-1, Windows-1252."""
    try:
        found = _ENCODINGS.get(codecs.lookup(name).name)
    except (LookupError, ValueError):
        found = None
    if found is None:
        raise ImportFailed(f'encoding "{name}": UTF-8, UTF-16, ISO-8859-1 or Windows-1252')
    return found


def kind_of(path: Path) -> str:
    """ "workbook" or "text", by the first bytes, never by the name. Raises ImportFailed on an empty file."""
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise ImportFailed("the file is empty")
    return "workbook" if head.startswith((_ZIP, _OLE)) else "text"


def encoding_steps(path: Path) -> Iterator[str]:
    """The encoding of a text file; yields "" after each piece read, and at last the answer.

    BOM first; else UTF-8 if every byte is; else Windows-1252, or ISO-8859-1 where it has bytes the former lacks. A file
    that is UTF-8 in more places than not, and broken in one, is called UTF-8: reading it will name the row.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    control, undefined, multibyte, failed = False, False, 0, False
    with path.open("rb") as file:
        first = True
        while piece := file.read(PIECE_BYTES):
            if first:
                first = False
                if bom := _by_bom(piece):
                    yield bom
                    return
            control = control or any(byte in piece for byte in _C1)
            undefined = undefined or any(byte in piece for byte in _NOT_IN_CP1252)
            if not failed:
                try:
                    multibyte += len(piece) - len(decoder.decode(piece))
                except UnicodeDecodeError as error:
                    failed = True
                    multibyte += error.start - len(piece[: error.start].decode("utf-8", "ignore"))
            yield ""
    if not failed:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            failed = True
    if not failed or (multibyte > 0 and _mostly_utf8(path)):
        yield "utf-8"
    else:
        yield "cp1252" if control and not undefined else "latin-1"


_C1 = tuple(bytes([value]) for value in range(0x80, 0xA0))
_NOT_IN_CP1252 = tuple(bytes([value]) for value in (0x81, 0x8D, 0x8F, 0x90, 0x9D))


def _by_bom(head: bytes) -> str:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return ""


def _mostly_utf8(path: Path) -> bool:
    """Whether, of the bytes above 127 around the first faults, most form UTF-8 sequences."""
    with path.open("rb") as file:
        data = file.read(PIECE_BYTES)
    bad = data.decode("utf-8", "replace").count("\ufffd")
    high = sum(byte > 0x7F for byte in data)
    return high > 0 and bad * 4 <= high


def text_form(path: Path, encoding: str, name: str = "") -> Form:
    """Delimiter and header of a text file, by its first rows. `name`: its file name, for the `.tsv` hint only."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    text = head.decode(encoding, "ignore")
    lines = text.splitlines()
    first_row = 1
    if lines and (named := re.fullmatch(r'"?sep=(.)"?', lines[0].strip("\ufeff"))):
        delimiter, first_row, text = named[1], 2, text.partition("\n")[2]
    else:
        delimiter = _delimiter(text, cut=len(head) == HEAD_BYTES, tab=name.lower().endswith((".tsv", ".tab")))
    rows = _head_rows(text, delimiter, cut=len(head) == HEAD_BYTES)
    return Form(
        kind="text", encoding=encoding, delimiter=delimiter, header=looks_like_header(rows), first_row=first_row
    )


def _head_rows(text: str, delimiter: str, *, cut: bool) -> list[list[str]]:
    """Up to fifty rows of the head; the last is left out when the head was cut in its middle."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter):
            if any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) == 51:
                break
    except csv.Error:
        pass
    return rows[:-1] if cut and 1 < len(rows) < 51 else rows[:50]


def _delimiter(text: str, *, cut: bool, tab: bool) -> str:
    """The candidate that cuts most rows into one number of columns; more columns win a tie, then the usual order."""
    best, best_score = "\t" if tab else ",", (0.0, 1)
    for candidate in DELIMITERS:
        rows = _head_rows(text, candidate, cut=cut)
        widths = [len(row) for row in rows]
        if not widths:
            continue
        usual = max(set(widths), key=widths.count)
        score = (round(widths.count(usual) / len(widths), 2) if usual > 1 else 0.0, usual)
        if score > best_score:
            best, best_score = candidate, score
    return best


def looks_like_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: it has a word we know as a column's name, or no digit where others do."""
    if not rows:
        return True
    first = [cell.strip() for cell in rows[0]]
    if any(field_named(cell) for cell in first):
        return True
    if any(sum(c.isdigit() for c in cell) >= 6 or "@" in cell for cell in first):
        return False
    return any(sum(c.isdigit() for c in cell) >= 6 for row in rows[1:] for cell in row)
