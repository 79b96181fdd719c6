"""Damaged files at the door: the row and the reason are told, and nothing of the file is left (features IMPT-05)."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.leads.test_imports_api import Door
from tests.leads.test_imports_api import door as door  # the fixture
from tests.leads.workbooks import write_xls, write_xlsx

GOOD = [f"06{n:08d};Durand" for n in range(9000)]
ROWS = [["tel", "nom"], *([f"06{n:08d}", "Durand"] for n in range(50))]


def text(*last: str, good: int = 9000, encoding: str = "utf-8") -> bytes:
    """A file whose first rows are right: more than two batches of them, so that the fault comes after a COPY."""
    return "\n".join(["tel;nom", *GOOD[:good], *last, ""]).encode(encoding, "surrogateescape")


TEXTS = {
    "a quote that never closes": (text('0700000000;"A', "0700000001;B"), 9002, "never closed"),
    "text after a closing quote": (text('0700000000;"A"x'), 9002, "quote closes in the middle"),
    "a byte that is no UTF-8": (
        text("0700000000;Élodie Zoé Chloé", "0700000001;B\udce9", "0700000002;C"), 9003, "0xE9 is not UTF-8",
    ),
    "half a letter of UTF-16": (
        "\n".join(["\ufefftel;nom", *GOOD, ""]).encode("utf-16-le") + b"0\x00\x00\xd8\n\x00", None, "UTF-16",
    ),
    "a row of six hundred columns": (text(";".join("x" * 600)), 9002, "500 columns"),
    "a row without an end": (text("x" * 150_000), 9002, "100000 characters"),
}  # fmt: skip


async def refused(door: Door, content: bytes, name: str) -> dict[str, Any]:
    """What the door says of the file: at the upload, or as the end of an import that nobody tried before."""
    before = await door.leads()
    headers, query = door.world.auth("manager"), {"list_id": str(door.list_id), "file_name": name}
    async with door.client.post("/api/v1/imports", params=query, data=io.BytesIO(content), headers=headers) as reply:
        body: dict[str, Any] = await reply.json()
        if reply.status == 400:
            said = {"reason": body["detail"], **body.get("details", {})}
        else:
            assert reply.status == 201, body
            said = (await door.finished(body["id"]))["error"]
    assert await door.leads() == before == []
    assert door.told == [], "nobody is told of leads that are none"
    return said


@pytest.mark.feature("IMPT-05", clause="a text file broken in any row leaves nothing behind and names row and reason")
@pytest.mark.parametrize("case", TEXTS)
async def test_a_broken_text_file(door: Door, case: str) -> None:
    content, row, reason = TEXTS[case]
    said = await refused(door, content, "leads.csv")
    assert reason in said["reason"]
    assert said.get("row") == row and (row is None or f"row {row}" in said["reason"])


def parts_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezipped(path: Path, parts: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path.read_bytes()


def cut(path: Path) -> bytes:
    return write_xlsx(path, {"S": ROWS}).read_bytes()[:-300]


def struck(path: Path) -> bytes:
    """A byte of the sheet's packed data is another."""
    data = bytearray(write_xlsx(path, {"S": ROWS}).read_bytes())
    with zipfile.ZipFile(path) as archive:
        sheet = archive.getinfo("xl/worksheets/sheet1.xml")
    data[sheet.header_offset + 30 + len(sheet.filename) + sheet.compress_size // 2] ^= 0x55
    return bytes(data)


def lying(path: Path) -> bytes:
    """The sheet says that it unpacks to 200 bytes."""
    data = bytearray(write_xlsx(path, {"S": ROWS}).read_bytes())
    with zipfile.ZipFile(path) as archive:
        sheet = archive.getinfo("xl/worksheets/sheet1.xml")
    struct.pack_into("<I", data, sheet.header_offset + 22, 200)
    central = data.index(b"PK\x01\x02", data.rindex(b"</") if b"</" in data else 0)
    while data[central + 46 : central + 46 + len(sheet.filename)] != sheet.filename.encode():
        central = data.index(b"PK\x01\x02", central + 4)
    struct.pack_into("<I", data, central + 24, 200)
    return bytes(data)


def bomb(path: Path) -> bytes:
    """Some 300 kB that unpack to 300 MB."""
    parts = parts_of(write_xlsx(path, {"S": ROWS}))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        with archive.open("xl/theme.xml", "w") as part:
            for _ in range(300):
                part.write(b" " * (1 << 20))
    return path.read_bytes()


def far(path: Path) -> bytes:
    """One cell at the far corner of the sheet: as a full table, half a terabyte."""
    parts = parts_of(write_xlsx(path, {"S": ROWS}))
    sheet = "xl/worksheets/sheet1.xml"
    corner = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    parts[sheet] = parts[sheet].replace(b"</sheetData>", corner)
    return rezipped(path, parts)


def other_office(path: Path) -> bytes:
    return rezipped(path, {"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "content.xml": b"<x/>"})


WORKBOOKS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "an .xlsx cut short": (cut, "the workbook can't be read"),
    "an .xlsx with another byte in its sheet": (struck, "damaged in xl/worksheets/sheet1.xml"),
    "an .xlsx whose sheet is larger than it says": (lying, "damaged in xl/worksheets/sheet1.xml"),
    "an .xlsx that unpacks to 300 MB": (bomb, "unpacks to 300 MB"),
    "an .xlsx with a cell at the far corner": (far, "reaches to row 1048576 and column 16384"),
    "a workbook of another kind": (other_office, "no workbook of the kinds"),
    "an .xls cut short": (lambda path: write_xls(path, {"S": ROWS}).read_bytes()[:1500], "workbook"),
    "an empty file": (lambda path: b"", "empty"),
}


@pytest.mark.feature(
    "IMPT-05", clause="a damaged workbook, or one that would fill the memory, is refused with its reason"
)
@pytest.mark.parametrize("case", WORKBOOKS)
async def test_a_broken_workbook(door: Door, tmp_path: Path, case: str) -> None:
    write, reason = WORKBOOKS[case]
    said = await refused(door, write(tmp_path / "a"), "leads.xlsx")
    assert reason in said["reason"]


@pytest.mark.feature("IMPT-05", clause="ragged rows and another separator half-way: each such row with its own reason")
async def test_rows_that_do_not_fit_the_others(door: Door) -> None:
    rows = ["tel;nom;ville", "0612345678;Un;Lyon", "0612345679;Deux", "0612345670;Trois;Nice;de trop",
            "0612345671,Quatre,Lyon", "0612345672;Cinq;Paris"]  # fmt: skip
    state = await door.imported("\n".join(rows).encode())
    assert [(lead["e164"], lead["last_name"], lead["city"]) for lead in await door.leads()] == [
        ("+33612345678", "Un", "Lyon"), ("+33612345679", "Deux", ""), ("+33612345672", "Cinq", "Paris"),
    ]  # fmt: skip
    file = await door.ask("GET", f"/imports/{state['id']}/report")
    assert [line.split(";")[:3] for line in file.lstrip("\ufeff").splitlines()[1:]] == [
        ["4", "rejected", "too_many_columns"], ["5", "rejected", "phone_not_a_number"], ["5", "rejected", "no_name"],
    ]  # fmt: skip
