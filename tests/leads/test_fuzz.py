"""Any bytes brought as a file of leads: they are read, or refused by name; nothing else comes out."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.leads.errors import ImportFailed
from daemon.leads.reading import COLUMNS_MAX, rows, sniff
from tests.leads.workbooks import write_xls, write_xlsx

FOLDER_IS_SHARED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CELLS = st.text(st.characters(codec="utf-8"), max_size=12)


def _read(path: Path) -> int | None:
    """How many rows were read; None if the file was refused."""
    try:
        found = [cells for _, cells in rows(path, sniff(path))]
    except ImportFailed:
        return None
    assert all(len(cells) <= COLUMNS_MAX for cells in found)
    return len(found)


@given(st.binary(max_size=400))
@example(b"")
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf")
@example(b"PK\x03\x04")
@example(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
@example(b'a;"b\n')
@example(b"a\x00b;c\n" * 3)
@FOLDER_IS_SHARED
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    _read(path)


@given(
    st.lists(st.lists(CELLS, min_size=1, max_size=6), min_size=1, max_size=8),
    st.sampled_from([";", ",", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
@FOLDER_IS_SHARED
def test_any_table_in_any_encoding(
    tmp_path: Path, table: list[list[str]], separator: str, encoding: str, end: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(end.join(separator.join(row) for row in table).encode(encoding, "replace"))
    _read(path)


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The same small table as .xlsx and as .xls."""
    folder = tmp_path_factory.mktemp("workbooks")
    table = {"Feuille": [["Nom", "Téléphone"], ["Durand", "0199000001"], ["Petit", 199000002]]}
    paths = [write_xlsx(folder / "leads.xlsx", table), write_xls(folder / "leads.xls", table)]
    assert [_read(path) for path in paths] == [3, 3]
    return [path.read_bytes() for path in paths]


@given(st.integers(0, 2**32), st.integers(1, 30))
@FOLDER_IS_SHARED
def test_a_workbook_with_damage(tmp_path: Path, workbooks: list[bytes], seed: int, count: int) -> None:
    """Bytes of the file itself, or of one of an .xlsx file's parts, are others than they were."""
    rng = random.Random(seed)
    path = tmp_path / "file"
    zipped, old = workbooks
    struck = rng.choice((_part_damaged(zipped, rng, count), _damaged(zipped, rng, count), _damaged(old, rng, count)))
    path.write_bytes(struck)
    _read(path)


def _damaged(data: bytes, rng: random.Random, count: int) -> bytes:
    found = bytearray(data)
    for _ in range(count):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found[: rng.randrange(1, len(found))]) if rng.random() < 0.2 else bytes(found)


def _part_damaged(data: bytes, rng: random.Random, count: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as whole, zipfile.ZipFile(made, "w") as parts:
        names = whole.namelist()
        struck = rng.choice(names)
        for name in names:
            content = whole.read(name)
            parts.writestr(name, _damaged(content, rng, count) if name == struck and content else content)
    return made.getvalue()
