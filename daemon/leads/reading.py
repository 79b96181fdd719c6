"""Rows of a file, one after the other, with their numbers, whatever the file is.

In: a path and its `Form`. Out: (row number, cells). A fault of the file as a whole raises ImportFailed with the row.
Text is read in a bounded amount of memory; a workbook is opened whole, so its unpacked size is bounded instead.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from python_calamine import CalamineError, CalamineWorkbook

from daemon.leads.errors import ImportFailed
from daemon.leads.sniff import Form, encoding_steps, kind_of, looks_like_header, text_form
from daemon.leads.unpacking import check_workbook

Cell = object
Row = list[Cell]

ROW_CHARS_MAX = 100_000
"""A row longer than this is a file with a quote that never closes, not a lead."""

COLUMNS_MAX = 500


def sniff_steps(path: Path, name: str = "") -> Iterator[Form | None]:
    """The form of a file; yields None after each piece of work, and at last the answer. Raises ImportFailed."""
    if kind_of(path) == "workbook":
        yield None
        yield workbook_form(path)
        return
    encoding = ""
    for found in encoding_steps(path):
        encoding = found
        yield None
    yield text_form(path, encoding or "utf-8", name)


def sniff(path: Path, name: str = "") -> Form:
    """As `sniff_steps`, at once."""
    *_, form = sniff_steps(path, name)
    assert form is not None
    return form


def rows(path: Path, form: Form) -> Iterator[tuple[int, Row]]:
    """Every row from the first on, its header included. Row 1 is the first of the file or sheet."""
    return _workbook_rows(path, form) if form.kind == "workbook" else _text_rows(path, form)


def head(path: Path, form: Form, count: int = 20) -> list[Row]:
    """The first rows, for guesses and the mapping page."""
    return [row for _, row in islice(rows(path, form), count)]


def _lines(path: Path, encoding: str, errors: str = "strict") -> Iterator[str]:
    """Decoded lines with their ends; a NUL, which no database keeps, is dropped."""
    with path.open("r", encoding=encoding, errors=errors, newline="") as file:
        while line := file.readline(ROW_CHARS_MAX):
            if len(line) == ROW_CHARS_MAX:
                raise _TooLong
            yield line.replace("\0", "") if "\0" in line else line


class _TooLong(Exception):
    pass


def _text_rows(path: Path, form: Form, errors: str = "strict") -> Iterator[tuple[int, Row]]:
    number = 0
    reader = csv.reader(_lines(path, form.encoding, errors), delimiter=form.delimiter, strict=True)
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            raise _undecodable(path, form, error) from error
        except _TooLong as error:
            raise ImportFailed(f"more than {ROW_CHARS_MAX} characters in a line", number) from error
        except csv.Error as error:
            raise ImportFailed(_quoting(str(error)), number) from error
        if len(cells) > COLUMNS_MAX:
            raise ImportFailed(f"more than {COLUMNS_MAX} columns", number)
        if number >= form.first_row:
            yield number, list(cells)


def _undecodable(path: Path, form: Form, error: UnicodeDecodeError) -> ImportFailed:
    """Which row: found by reading again with the faulty bytes let through, since text is decoded some rows ahead."""
    name = form.encoding.removesuffix("-sig").upper()
    reason = f"byte 0x{error.object[error.start]:02X} is not {name}"
    if form.encoding.startswith("utf-8"):
        for number, cells in _text_rows(path, form, "surrogateescape"):
            if any("\udc80" <= c <= "\udcff" for cell in cells for c in str(cell)):
                return ImportFailed(reason, number)
    return ImportFailed(reason)


def _quoting(text: str) -> str:
    """The csv module's message in the words of someone looking at the file."""
    if "field larger than field limit" in text:
        return "a cell of more than 131072 characters: a quote opens here and is not closed"
    if "unexpected end of data" in text:
        return "a quote opens here and is never closed"
    if "expected after" in text:
        return "a quote closes in the middle of a cell; inside quotes a quote is written twice"
    return text


@contextmanager
def _readable() -> Iterator[None]:
    """What the workbook reader says of a damaged file, as ImportFailed. Some damage makes it panic, which reaches us as
    a BaseException of a class that it does not export; uncaught, it would end the daemon."""
    try:
        yield
    except (CalamineError, OSError, ValueError, NotImplementedError) as error:
        raise ImportFailed(f"the workbook can't be read: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ImportFailed("the workbook is damaged") from error


def _opened(path: Path) -> CalamineWorkbook:
    """Raises ImportFailed on what is no workbook, or is protected."""
    with _readable():
        return CalamineWorkbook.from_path(str(path))


def workbook_form(path: Path) -> Form:
    """The form of a workbook, its first sheet loaded. Blocks: see `load`."""
    if zipfile.is_zipfile(path):
        check_workbook(path)
    with _opened(path) as book:
        sheets = tuple(book.sheet_names)
    if not sheets:
        raise ImportFailed("the workbook has no sheet")
    form = load(path, Form(kind="workbook", sheets=sheets, sheet=sheets[0]))
    first = [[str(cell) for cell in row] for row in head(path, form, 50)]
    return replace(form, header=looks_like_header(first))


def load(path: Path, form: Form) -> Form:
    """The form with its sheet unpacked; a text file's as it is. Takes seconds for a large workbook, without holding the
    interpreter: call it in a thread."""
    if form.kind != "workbook" or form.loaded is not None:
        return form
    with _opened(path) as book, _readable():
        return replace(form, loaded=book.get_sheet_by_name(form.sheet or book.sheet_names[0]))


def _workbook_rows(path: Path, form: Form) -> Iterator[tuple[int, Row]]:
    sheet = load(path, form).loaded
    first = (sheet.start or (0, 0))[0] + 1
    with _readable():
        for number, cells in enumerate(sheet.iter_rows(), first):
            if len(cells) > COLUMNS_MAX:
                raise ImportFailed(f"more than {COLUMNS_MAX} columns", number)
            yield number, list(cells)
