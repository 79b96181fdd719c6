"""Small workbooks made by hand: .xlsx (a zip of XML) and .xls (BIFF8 records in a compound file), for the fixtures."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

Value = str | int | float | None
Rows = Sequence[Sequence[Value]]


def write_xlsx(path: Path, sheets: dict[str, Rows]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        kinds = "".join(
            f'<Override PartName="/xl/worksheets/sheet{i}.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        archive.writestr(
            "[Content_Types].xml",
            '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Override PartName="/xl/workbook.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
            f"{kinds}</Types>",
        )
        office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
        package = "http://schemas.openxmlformats.org/package/2006/relationships"
        main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        archive.writestr(
            "_rels/.rels",
            f'<?xml version="1.0"?><Relationships xmlns="{package}"><Relationship Id="r1" '
            f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        names = "".join(f'<sheet name="{escape(name)}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1))
        archive.writestr(
            "xl/workbook.xml",
            f'<?xml version="1.0"?><workbook xmlns="{main}" xmlns:r="{office}"><sheets>{names}</sheets></workbook>',
        )
        links = "".join(
            f'<Relationship Id="r{i}" Type="{office}/worksheet" Target="worksheets/sheet{i}.xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<?xml version="1.0"?><Relationships xmlns="{package}">{links}</Relationships>',
        )
        for i, rows in enumerate(sheets.values(), 1):
            body = "".join(f'<row r="{n}">{"".join(map(_xlsx_cell, row))}</row>' for n, row in enumerate(rows, 1))
            archive.writestr(
                f"xl/worksheets/sheet{i}.xml",
                f'<?xml version="1.0"?><worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
            )
    return path


def _xlsx_cell(value: Value) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    return f"<c><v>{value!r}</v></c>"


def write_xls(path: Path, sheets: dict[str, Rows]) -> Path:
    path.write_bytes(_compound_file(_workbook_stream(sheets)))
    return path


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def _begin(kind: int) -> bytes:
    return _record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0x0DBB, 0x07CC, 0, 6))


def _workbook_stream(sheets: dict[str, Rows]) -> bytes:
    bodies = [_sheet_stream(rows) for rows in sheets.values()]
    head = _begin(0x0005) + _record(0x0042, struct.pack("<H", 1200))
    end = _record(0x000A, b"")
    size = len(head) + len(end) + sum(4 + 8 + 2 * len(name) for name in sheets)
    bound = b""
    for name, body in zip(sheets, bodies, strict=True):
        bound += _record(0x0085, struct.pack("<IBBBB", size, 0, 0, len(name), 1) + name.encode("utf-16-le"))
        size += len(body)
    return head + bound + end + b"".join(bodies)


def _sheet_stream(rows: Rows) -> bytes:
    body = _begin(0x0010)
    body += _record(0x0200, struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows)), 0))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            if isinstance(value, str):
                text = value.encode("utf-16-le")
                body += _record(0x0204, struct.pack("<HHHHB", r, c, 0, len(value), 1) + text)
            elif value is not None:
                body += _record(0x0203, struct.pack("<HHHd", r, c, 0, float(value)))
    return body + _record(0x000A, b"")


def _compound_file(stream: bytes) -> bytes:
    """One stream, "Workbook", of at least 4096 bytes (smaller ones would need a second allocation table)."""
    stream = stream.ljust(max(4096, -(-len(stream) // 512) * 512), b"\0")
    count = len(stream) // 512
    fat_count = 1
    while (count + 1 + fat_count) > fat_count * 128:
        fat_count += 1
    free, end, fat_mark = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    table = [i + 1 for i in range(count)]
    table[-1] = end
    table += [end] + [fat_mark] * fat_count  # the directory, then the tables themselves
    table += [free] * (fat_count * 128 - len(table))
    difat = [count + 1 + i for i in range(fat_count)] + [free] * (109 - fat_count)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, fat_count, count, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", *difat)
    directory = _entry("Root Entry", 5, end, 0, child=1) + _entry("Workbook", 2, 0, len(stream))
    directory += _entry("", 0, 0, 0) * 2
    return header + stream + directory + struct.pack(f"<{len(table)}I", *table)


def _entry(name: str, kind: int, start: int, size: int, child: int = 0xFFFFFFFF) -> bytes:
    text = (name + "\0").encode("utf-16-le") if name else b""
    none = 0xFFFFFFFF
    return (
        text.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(text), kind, 1, none, none, child)
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )
