"""Files as people have them: every delimiter, encoding and heading gives the same rows; a broken one names its row."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.leads.errors import ImportFailed
from daemon.leads.mapping import field_named, guessed
from daemon.leads.reading import rows, sniff
from tests.leads.workbooks import write_xls, write_xlsx

HEADER = ["Téléphone", "Prénom", "Nom", "Société", "Commentaire"]
PEOPLE = [
    ["0612345678", "Hélène", "Lefèvre", "Crêperie d'Ys", "prix : 5 €, « œuvre »"],
    ["+33692123456", "Zoé", "N'Guyen", 'Dit "Le Grand"', "a;b,c\td|e"],
    ["0596 12 34 56", "Jean-Noël", "Müller", "", "deux\nlignes"],
]


def written(path: Path, delimiter: str, encoding: str, header: bool) -> Path:
    lines = [HEADER, *PEOPLE] if header else PEOPLE
    out = []
    for line in lines:
        cells = [f'"{c.replace(chr(34), chr(34) * 2)}"' if any(x in c for x in ',;\t|"\n') else c for c in line]
        out.append(delimiter.join(cells))
    path.write_bytes(("\r\n".join(out) + "\r\n").encode(encoding))
    return path


MATRIX = list(itertools.product([",", ";", "\t", "|"], ["utf-8", "utf-8-sig", "cp1252", "utf-16"], [True, False]))


@pytest.mark.parametrize(("delimiter", "encoding", "header"), MATRIX)
def test_the_matrix_reads_alike(tmp_path: Path, delimiter: str, encoding: str, header: bool) -> None:
    path = written(tmp_path / "leads.csv", delimiter, encoding, header)
    form = sniff(path)
    assert (form.delimiter, form.encoding, form.header) == (delimiter, encoding, header)
    found = [[str(cell).replace("\r\n", "\n") for cell in row] for _, row in rows(path, form)]
    assert found == ([HEADER, *PEOPLE] if header else PEOPLE)


def test_latin_1_reads_its_own_letters_and_windows_its_euro(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("nom;tel\nLefèvre;0612345678\n".encode("latin-1"))
    assert sniff(path).encoding == "latin-1"
    assert list(rows(path, sniff(path)))[1][1][0] == "Lefèvre"
    path.write_bytes("nom;tel\nL’œuvre à 5 €;0612345678\n".encode("cp1252"))
    assert sniff(path).encoding == "cp1252"
    assert list(rows(path, sniff(path)))[1][1][0] == "L’œuvre à 5 €"


def test_the_only_accent_may_be_at_the_end_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"nom;tel\n" + b"Durand;0612345678\n" * 150_000 + "Lefèvre;0612345678\n".encode("cp1252"))
    form = sniff(path)
    assert form.encoding == "latin-1"
    *_, (number, last) = rows(path, form)
    assert (number, last[0]) == (150_002, "Lefèvre")


def test_excel_names_its_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sep=|\nnom|tel\nDurand|0612345678\n", "utf-8")
    form = sniff(path)
    assert (form.delimiter, form.first_row, form.header) == ("|", 2, True)
    assert list(rows(path, form)) == [(2, ["nom", "tel"]), (3, ["Durand", "0612345678"])]


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("0612345678\n0612345679\n", False), ("téléphone\n0612345678\n", True), ("zzz;yyy\n0612345678;a\n", True),
        ("Durand;0612345678\nMartin;0612345679\n", False), ("nom\n", True), ("a@b.fr;x\nc@d.fr;y\n", False),
    ],
)  # fmt: skip
def test_header_or_not(tmp_path: Path, content: str, header: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content, "utf-8")
    assert sniff(path).header is header


@pytest.mark.parametrize("writer", [write_xlsx, write_xls])
def test_workbooks(tmp_path: Path, writer: object) -> None:
    table = [["Nom", "Tél"], ["Lefèvre", 612345678.0], ["Œuvre", "0692123456"]]
    path = writer(tmp_path / "a.bin", {"Mars": table, "Avril": table[:2]})  # type: ignore[operator]
    form = sniff(path)
    assert (form.kind, form.sheets, form.sheet, form.header) == ("workbook", ("Mars", "Avril"), "Mars", True)
    assert list(rows(path, form)) == [(1, table[0]), (2, table[1]), (3, table[2])]
    assert len(list(rows(path, form.overridden(sheet="Avril")))) == 2
    with pytest.raises(ImportFailed, match='no sheet "Mai"'):
        form.overridden(sheet="Mai")


@pytest.mark.parametrize(
    ("content", "row", "reason"),
    [
        (b'nom;tel\nA;0612345678\nB;"0612345679\nC;0612345680\n', 3, "never closed"),
        (b'nom;tel\nA;0612345678\n"B"x;0612345679\n', 3, "quote closes in the middle"),
        ("nom;tel\nÉlodie é;0612345678\nZoé;0612345679\n".encode() + b"B\xe9;0612345680\nD;0612345681\n", 4, "0xE9"),
        (b"nom;tel\n" + b"A;" * 600 + b"1\n", 2, "500 columns"),
        (b"nom;tel\nA;0612345678\n" + b"x" * 150_000 + b"\n", 3, "100000 characters"),
    ],
)  # fmt: skip
def test_a_broken_file_names_its_row(tmp_path: Path, content: bytes, row: int, reason: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFailed) as caught:
        list(rows(path, sniff(path)))
    assert caught.value.row == row
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 not a zip", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, b"PK\x03\x04" * 400]
)
def test_a_damaged_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(ImportFailed):
        sniff(path)


def test_a_workbook_cut_in_two_is_refused(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", {"S": [["tel"], ["0612345678"]] * 50})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImportFailed):
        sniff(path)


@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_bytes(content)
    with contextlib.suppress(ImportFailed):
        for number, cells in rows(path, sniff(path)):
            assert number >= 1 and all(isinstance(cell, str | float | int | bool) for cell in cells)


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("Téléphone", "phone"), ("N° Tel", "phone"), ("PORTABLE", "phone"), ("Phone number", "phone"),
        ("Prénom", "first_name"), ("NOM", "last_name"), ("Raison Sociale", "company"), ("E-mail", "email"),
        ("Code postal", "postal_code"), ("CP", "postal_code"), ("Ville", "city"), ("Nom et prénom", "full_name"),
        ("Date consentement", "consent_at"), ("Couleur", ""), ("", ""),
    ],
)  # fmt: skip
def test_headings_in_two_languages(heading: str, field: str) -> None:
    assert field_named(heading) == field


def test_two_telephones_are_the_first_and_the_other() -> None:
    assert guessed(["Nom", "Mobile", "Téléphone fixe", "Tel"]) == ["last_name", "phone", "alt_phone", ""]
    assert guessed(["Fixe", "Nom complet", "Nom"]) == ["phone", "", "last_name"]


def test_overrides_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("nom#tel\nDurand#0612345678\n", "latin-1")
    form = sniff(path).overridden(delimiter="#", encoding="iso-8859-1", header=True)
    assert list(rows(path, form))[1][1] == ["Durand", "0612345678"]
    for wrong in ({"encoding": "ebcdic"}, {"encoding": "utf-7"}, {"delimiter": '"'}, {"delimiter": "ab"}):
        with pytest.raises(ImportFailed):
            form.overridden(**wrong)
