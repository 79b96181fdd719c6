"""An import from end to end: same leads from every form of a file, reasons for each row, all or nothing."""

from __future__ import annotations

import csv
import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.errors import CommandError, StoreUnavailable
from daemon.leads.checking import Choices
from daemon.leads.errors import ImportFailed
from daemon.leads.report import ImportReport, safe_cell
from daemon.leads.running import Plan, recognise, run_import
from tests.leads.sink import Base
from tests.leads.workbooks import write_xls, write_xlsx

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


class StillClock:
    def now(self) -> float:
        return 0.0

    def utcnow(self) -> datetime:
        return NOW


async def imported(path: Path, base: Base, *, form: dict[str, Any] | None = None, **options: Any) -> ImportReport:
    """Import a file; `form`: overrides of what was recognised."""
    run = {key: options.pop(key) for key in ("dry_run", "report_path", "progress") if key in options}
    found = (await recognise(path)).overridden(**(form or {}))
    return await run_import(path, found, Plan(list_id=7, group_id=1, **options), base, StillClock(), **run)


def csv_file(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding)
    return path


HEADER = ["Téléphone", "Prénom", "Nom", "Société", "E-mail", "Code postal", "Ville"]
TABLE = [
    ["0612345678", "Hélène", "Lefèvre", "", "helene@exemple.fr", "01000", "Bourg"],
    ["0692123456", "Zoé", "Cœur", "Crêperie", "", "97400", "Saint-Denis"],
    ["0388123456", "", "", "Brasserie Müller", "contact@muller.fr", "67000", "Strasbourg"],
]
BY_PLACE = dict(
    zip("0123456", ["phone", "first_name", "last_name", "company", "email", "postal_code", "city"], strict=True)
)
EXPECTED = [
    LeadDraft(e164="+33612345678", tz_group="Europe/Paris", first_name="Hélène", last_name="Lefèvre",
              email="helene@exemple.fr", postal_code="01000", city="Bourg"),
    LeadDraft(e164="+262692123456", tz_group="Indian/Reunion+974", first_name="Zoé", last_name="Cœur",
              company="Crêperie", postal_code="97400", city="Saint-Denis"),
    LeadDraft(e164="+33388123456", tz_group="Europe/Paris+57", company="Brasserie Müller", email="contact@muller.fr",
              postal_code="67000", city="Strasbourg"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("delimiter", "encoding", "header"),
    list(itertools.product([",", ";", "\t"], ["utf-8", "utf-8-sig", "cp1252"], [True, False])),
)
async def test_every_form_of_a_text_file_gives_the_same_leads(
    tmp_path: Path, delimiter: str, encoding: str, header: bool
) -> None:
    lines = [delimiter.join(row) for row in ([HEADER] if header else []) + TABLE]
    base = Base()
    path = csv_file(tmp_path / "a.csv", *lines, encoding=encoding)
    report = await imported(path, base, told={} if header else BY_PLACE)
    assert base.drafts() == EXPECTED
    assert (report.rows, report.good, report.inserted, report.rejected) == (3, 3, 3, 0)


@pytest.mark.parametrize("writer", [write_xlsx, write_xls])
async def test_workbooks_with_floats_and_lost_zeros_give_the_same_leads(tmp_path: Path, writer: Any) -> None:
    table: list[list[Any]] = [list(row) for row in TABLE]
    table[0][0], table[0][5] = 612345678.0, 1000.0
    table[1][0], table[1][5] = 692123456.0, 97400.0
    base = Base()
    report = await imported(writer(tmp_path / "a.x", {"Feuille": [HEADER, *table], "Autre": [["rien"]]}), base)
    assert base.drafts() == EXPECTED
    assert report.cleaned == 2


async def test_a_pipe_delimited_latin_1_file_imports_right(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "a.txt", "Nom|Tel", "Lefèvre|06.12.34.56.78", encoding="latin-1")
    base = Base()
    report = await imported(path, base)
    assert base.drafts() == [LeadDraft(e164="+33612345678", last_name="Lefèvre")]
    assert report.cleaned == 1


async def test_every_row_that_is_refused_has_its_own_reason(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "a.csv", "tel;nom;societe",
        "0612345678;Bon;", ";Sans numéro;", "0612345679;;", "112;Secours;", "3949;Court;", "0800123456;Vert;",
        "0890123456;Cher;", "abc;Texte;", "06123456;Trop court;", "590123456;Douteux;", ";;", ";;;;",
        "0612345670;A;B;C",
        f"0612345671;{'x' * 201};", "٠٦١٢٣٤٥٦٧٨;Chiffres;", "3,36123E+10;Arrondi;",
    )  # fmt: skip
    base = Base()
    report = await imported(path, base, report_path=tmp_path / "report.csv")
    assert report.by_reason == {
        "no_phone": 1, "no_name": 1, "phone_emergency": 1, "phone_short": 1, "phone_special": 1, "phone_premium": 1,
        "phone_not_a_number": 1, "phone_invalid": 1, "phone_doubtful": 1, "too_many_columns": 1,
        "too_long_last_name": 1, "phone_foreign_digits": 1, "phone_rounded": 1,
    }  # fmt: skip
    assert (report.rows, report.blank, report.good, report.rejected) == (16, 2, 1, 13)
    assert [draft.last_name for draft in base.drafts()] == ["Bon"]
    rows = list(csv.DictReader((tmp_path / "report.csv").read_text("utf-8-sig").splitlines(), delimiter=";"))
    assert [(row["row"], row["reason"]) for row in rows][:2] == [("3", "no_phone"), ("4", "no_name")]
    assert len(rows) == 13


async def test_special_numbers_when_the_import_allows_them(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "a.csv", "tel;nom", "0800123456;Vert", "0890123456;Cher")
    base = Base()
    report = await imported(path, base, choices=Choices(allow_special=True))
    assert [draft.e164 for draft in base.drafts()] == ["+33800123456"]
    assert report.by_reason == {"phone_premium": 1}


async def test_a_good_second_number_stands_in_for_a_bad_first(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "a.csv", "nom;tel;fixe", "A;12;0143000000", "B;0612345678;0143000000", "C;0612345679;zz", "D;;zz"
    )
    base = Base()
    report = await imported(path, base)
    assert [(d.e164, d.alt_phone) for d in base.drafts()] == [
        ("+33143000000", ""), ("+33612345678", "+33143000000"), ("+33612345679", ""),
    ]  # fmt: skip
    assert report.warnings == {"phone_from_alt": 1, "alt_phone_left_out": 1}


async def test_what_spoils_only_a_part_of_a_lead_is_left_out_and_told(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "a.csv",
        "tel;nom;email;priorite;pays;date consentement;consentement automate;contrat en cours;note",
        "0612345678;A;pas un mail;99;Atlantide;demain;non;oui;=2+2",
        "0612345679;B;b@exemple.fr;8;be;01/09/2026 10:30;oui;non;",
        "0612345670;C;;;;2027-01-01;;;",
    )
    base = Base()
    report = await imported(path, base)
    first, second, third = base.drafts()
    assert report.warnings == {
        "email_left_out": 1, "priority_left_out": 1, "country_code_left_out": 1, "consent_at_left_out": 2,
    }  # fmt: skip
    assert (first.email, first.priority, first.country_code, first.consent_at) == ("", 5, "FR", None)
    assert first.running_contract and not first.consent_automated and first.comments == "=2+2"
    assert (second.priority, second.country_code) == (8, "BE")
    assert second.consent_at == datetime(2026, 9, 1, 8, 30, tzinfo=UTC) and second.consent_automated
    assert third.consent_at is None  # a consent of the future is none


async def test_own_columns_and_a_mapping_told(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "a.csv", "Col A;Col B;Couleur;Nom", "0612345678;Durand;bleu;pas lui")
    base = Base()
    told = {"Col A": "phone", "Col B": "last_name", "couleur": "field:Couleur", "Nom": ""}
    await imported(path, base, told=told)
    assert base.drafts() == [LeadDraft(e164="+33612345678", last_name="Durand", fields={"Couleur": "bleu"})]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"Col Z": "phone"}, "no column"), ({"9": "phone"}, "no column"), ({"Col A": "telefone"}, "no field"),
        ({"Col A": "phone", "Nom": "phone"}, "two columns"), ({"Col A": "field: "}, "no field"),
    ],
)  # fmt: skip
async def test_a_mapping_that_fits_nothing_is_refused(tmp_path: Path, told: dict[str, str], words: str) -> None:
    path = csv_file(tmp_path / "a.csv", "Col A;Nom", "0612345678;Durand")
    with pytest.raises(ImportFailed, match=words):
        await imported(path, Base(), told=told)


async def test_without_a_telephone_column_nothing_is_imported(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "a.csv", "Nom;Ville", "Durand;Paris")
    base = Base()
    with pytest.raises(CommandError) as caught:
        await imported(path, base)
    assert caught.value.code == "import_no_phone" and base.open == 0


DOUBLES = [
    "tel;nom;prenom;email;ville",
    "0612345678;Durand;Anne;;Paris",
    "+33 6 12 34 56 78;Durand;Anne;anne@exemple.fr;",
    "0612345679;Martin;Luc;LUC@exemple.fr;Lyon",
    "0612345670;Martín;LUC;luc@exemple.fr;",
]


@pytest.mark.parametrize(
    ("policy", "keys", "leads", "doubles"),
    [
        ("skip", ("phone",), [("Anne", "", "Paris"), ("Luc", "LUC@exemple.fr", "Lyon"),
                              ("LUC", "luc@exemple.fr", "")], 1),
        ("replace", ("phone",), [("Anne", "anne@exemple.fr", ""), ("Luc", "LUC@exemple.fr", "Lyon"),
                                 ("LUC", "luc@exemple.fr", "")], 1),
        ("merge", ("phone",), [("Anne", "anne@exemple.fr", "Paris"), ("Luc", "LUC@exemple.fr", "Lyon"),
                               ("LUC", "luc@exemple.fr", "")], 1),
        ("skip", ("phone", "email"), [("Anne", "", "Paris"), ("Luc", "LUC@exemple.fr", "Lyon")], 2),
        ("skip", ("name",), [("Anne", "", "Paris"), ("Luc", "LUC@exemple.fr", "Lyon")], 2),
        ("skip", (), [("Anne", "", "Paris"), ("Anne", "anne@exemple.fr", ""), ("Luc", "LUC@exemple.fr", "Lyon"),
                      ("LUC", "luc@exemple.fr", "")], 0),
    ],
)  # fmt: skip
async def test_doubles_in_the_file(
    tmp_path: Path, policy: str, keys: tuple[str, ...], leads: list[tuple[str, str, str]], doubles: int
) -> None:
    base = Base()
    report = await imported(csv_file(tmp_path / "a.csv", *DOUBLES), base, duplicates=policy, duplicate_keys=keys)
    assert [(d.first_name, d.email, d.city) for d in base.drafts()] == leads
    assert report.duplicates_in_file == doubles
    assert report.inserted == len(leads)


@pytest.mark.parametrize(
    ("policy", "after", "counts"),
    [
        ("skip", ("Anne", "old@exemple.fr", "Paris"), (1, 0, 1)),
        ("replace", ("Annie", "", "Nice"), (1, 1, 0)),
        ("merge", ("Annie", "old@exemple.fr", "Nice"), (1, 1, 0)),
    ],
)
async def test_doubles_of_leads_in_the_base(
    tmp_path: Path, policy: str, after: tuple[str, str, str], counts: tuple[int, int, int]
) -> None:
    old = LeadDraft(e164="+33612345678", last_name="Durand", first_name="Anne", email="old@exemple.fr", city="Paris")
    base = Base({1: (7, old)})
    path = csv_file(
        tmp_path / "a.csv", "tel;nom;prenom;email;ville", "0612345678;Durand;Annie;;Nice", "0612345679;M;;;"
    )
    report = await imported(path, base, duplicates=policy)
    found = base.leads[1][1]
    assert (found.first_name, found.email, found.city) == after
    assert (report.inserted, report.updated, report.skipped) == counts
    assert report.duplicates_in_base == 1
    assert report.sample == [{"row": 2, "result": "duplicate", "reason": "duplicate_in_base", "lead_id": 1}]


async def test_a_dry_run_says_it_all_and_changes_nothing(tmp_path: Path) -> None:
    base = Base({1: (7, LeadDraft(e164="+33612345678", last_name="Durand"))})
    path = csv_file(tmp_path / "a.csv", "tel;nom", "0612345678;Durand", "0612345679;Martin", "112;X", "0612345679;Y")
    report = await imported(path, base, dry_run=True)
    assert (report.good, report.rejected, report.duplicates_in_file, report.duplicates_in_base) == (2, 1, 1, 1)
    assert len(base.leads) == 1 and base.open == 0
    assert (report.inserted, report.dry_run) == (0, True)


@pytest.mark.parametrize("fail_at", ["stage", "matches", "finish"])
async def test_a_store_that_fails_leaves_nothing_behind(tmp_path: Path, fail_at: str) -> None:
    base = Base(fail_at=fail_at)
    path = csv_file(tmp_path / "a.csv", "tel;nom", "0612345678;Durand")
    with pytest.raises(StoreUnavailable):
        await imported(path, base)
    assert base.leads == {} and base.open == 0


async def test_a_file_broken_at_its_end_leaves_nothing_and_names_the_row(tmp_path: Path) -> None:
    lines = ["tel;nom", *(f"06{n:08d};Nom {n}" for n in range(10_000)), '0612345678;"jamais fermé']
    base = Base()
    with pytest.raises(ImportFailed) as caught:
        await imported(csv_file(tmp_path / "a.csv", *lines), base)
    assert caught.value.row == 10_002 and "never closed" in caught.value.reason
    assert base.leads == {} and base.open == 0


async def test_progress_rises_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []
    path = csv_file(tmp_path / "a.csv", "tel;nom", *(f"06{n:08d};Nom {n}" for n in range(9_000)))
    report = await imported(path, Base(), dry_run=True, progress=lambda rows, part: told.append((rows, part)))
    assert [rows for rows, _ in told] == sorted(rows for rows, _ in told) and len(told) >= 3
    assert told[-1] == (9_000, 1.0) and report.rows == 9_000


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("-2+3", "'-2+3"), ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"), ("\r=1", "'\r=1"), ("+33612345678", "+33612345678"), ("-12,5", "-12,5"),
        ("Durand", "Durand"),
        (None, ""), (12, "12"),
    ],
)  # fmt: skip
def test_no_cell_of_ours_is_a_formula(value: object, safe: str) -> None:
    assert safe_cell(value) == safe


@pytest.mark.parametrize("wrong", [{"duplicates": "both"}, {"duplicate_keys": ("fax",)}, {"scope": "world"}])
async def test_choices_that_are_none_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = csv_file(tmp_path / "a.csv", "tel;nom", "0612345678;Durand")
    with pytest.raises(ImportFailed):
        await imported(path, Base(), **wrong)


async def test_a_row_that_is_like_two_earlier_ones_is_told_as_the_first_of_them(tmp_path: Path) -> None:
    rows = ("tel;nom;mail", "0612345678;Durand;a@x.fr", "0612345679;Martin;b@x.fr", "0612345679;Durand;a@x.fr")
    file = tmp_path / "a.csv"
    file.write_text("\n".join(rows))
    base = Base()
    keys = ("phone", "email")
    for duplicates in ("skip", "merge"):
        plan = Plan(list_id=7, group_id=1, duplicates=duplicates, duplicate_keys=keys)
        report = await run_import(file, await recognise(file), plan, base, StillClock(), dry_run=True)
        assert report.sample == [{"row": 4, "result": "duplicate", "reason": "duplicate_in_file", "other_row": 2}]
