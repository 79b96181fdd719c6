"""The import through its public door: HTTP in front, the memory store behind (features IMPT-01…10)."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from daemon.api.app import build_app
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import LeadList
from daemon.compliance.rules import load_rule_sets
from daemon.leads.service import ImportService
from daemon.settings import HttpTable
from tests.api.fakes import World, make_world
from tests.leads.test_running import BY_PLACE, EXPECTED, HEADER, TABLE
from tests.leads.workbooks import write_xls, write_xlsx
from tests.store.world import World as Facts


class Door:
    """A manager at the door of one world."""

    def __init__(self, world: World, client: TestClient[Any, Any]) -> None:
        self.world, self.client, self.told, self.held = world, client, [], []
        self.list_id = world.rows["list"].id

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        headers = self.world.auth("manager")
        async with self.client.request(method, f"/api/v1{path}", headers=headers, **more) as response:
            body = await (response.json() if "json" in response.content_type else response.text())
            assert response.status == status, body
            return body

    async def upload(self, content: bytes, name: str = "leads.csv", status: int = 201) -> Any:
        query = {"list_id": str(self.list_id), "file_name": name}
        return await self.ask("POST", "/imports", status, params=query, data=content)

    async def imported(self, content: bytes, name: str = "leads.csv", **options: Any) -> dict[str, Any]:
        """Upload, set the options, run, and wait for the end."""
        key = (await self.upload(content, name))["id"]
        await self.ask("POST", f"/imports/{key}/check", json=options)
        return await self.finished(key)

    async def finished(self, key: str) -> dict[str, Any]:
        """Run an import to its end; its last state."""
        await self.ask("POST", f"/imports/{key}/run", 202)
        async with asyncio.timeout(60):
            while True:
                state: dict[str, Any] = await self.ask("GET", f"/imports/{key}")
                if state["state"] != "running":
                    return state
                await asyncio.sleep(0.001)

    async def leads(self) -> list[dict[str, Any]]:
        """What the store has now, in the shape of drafts."""
        page = await self.world.store.search_leads(self.world.rows["group"].id, {}, 500, None)
        names = LeadDraft.__struct_fields__
        rows = sorted(page.rows, key=lambda row: row["id"])
        return [{name: row[name] for name in names if name in row} for row in rows]


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    world = await make_world()
    told: list[str] = []

    async def imported(by: str) -> None:
        told.append(by)

    dropped: list[tuple[tuple[str, ...], str]] = []

    async def held(numbers: tuple[str, ...], by: str) -> None:
        dropped.append((numbers, by))

    service = ImportService(
        world.store, world.store, world.clock, random.Random(1), tmp_path / "imports", imported=imported, held=held
    )
    app = build_app(
        world.door, world.store, HttpTable(bad_requests_per_minute=100_000), world.clock, random.Random(3),
        site_ids=("main",), rule_sets=load_rule_sets(), importer=service, token_bytes=random.Random(5).randbytes,
    )  # fmt: skip
    client = TestClient(TestServer(app))
    await client.start_server()
    found = Door(world, client)
    found.told, found.held = told, dropped
    yield found
    await client.close()
    await service.close()


def as_rows(drafts: list[LeadDraft]) -> list[dict[str, Any]]:
    return [{name: getattr(draft, name) for name in LeadDraft.__struct_fields__} for draft in drafts]


def same(found: list[dict[str, Any]], wanted: list[LeadDraft]) -> bool:
    return [{name: row[name] for name in found[0]} for row in as_rows(wanted)] == found


FORMS = list(itertools.product([",", ";", "\t"], ["utf-8", "utf-8-sig", "iso-8859-1", "cp1252"], [True, False]))
LATIN = [[cell.replace("œ", "oe") for cell in row] for row in TABLE]
"""What every encoding of the matrix can write: ISO-8859-1 has no œ."""
ALIKE = [msgspec.structs.replace(draft, last_name=draft.last_name.replace("œ", "oe")) for draft in EXPECTED]


@pytest.mark.feature(
    "IMPT-01", clause="3 separators, with and without header, 3 encodings and a BOM: imported identically"
)
@pytest.mark.parametrize(("delimiter", "encoding", "header"), FORMS)
async def test_csv(door: Door, delimiter: str, encoding: str, header: bool) -> None:
    lines = [delimiter.join(row) for row in ([HEADER] if header else []) + LATIN]
    state = await door.imported("\n".join(lines).encode(encoding), columns={} if header else BY_PLACE)
    assert (state["file"]["delimiter"], state["file"]["header"]) == (delimiter, header)
    assert same(await door.leads(), ALIKE)
    assert door.told == ["manager"]


@pytest.mark.feature("IMPT-01", clause="€ and œ right in cp1252")
async def test_the_euro_sign_and_the_ligature(door: Door) -> None:
    await door.imported("tel;nom;note\n0612345678;Sœur;5 €\n".encode("cp1252"))
    [lead] = await door.leads()
    assert (lead["last_name"], lead["comments"]) == ("Sœur", "5 €")


@pytest.mark.feature("IMPT-02", clause="xlsx and xls, first or chosen sheet; floats and lost zeros: the same leads")
@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("writer", [write_xlsx, write_xls])
async def test_workbooks(door: Door, tmp_path: Path, writer: Any, chosen: bool) -> None:
    table: list[list[Any]] = [HEADER, *map(list, LATIN)]
    table[1][0], table[1][5], table[2][0] = 612345678.0, 1000.0, 692123456.0
    sheets = {"Mars": [["rien"]], "Avril": table} if chosen else {"Mars": table, "Avril": [["rien"]]}
    content = writer(tmp_path / "a", sheets).read_bytes()
    key = (await door.upload(content, "leads.xlsx"))["id"]
    state = await door.ask("GET", f"/imports/{key}")
    assert state["file"]["sheets"] == ["Mars", "Avril"]
    await door.imported(content, "leads.xlsx", **({"sheet": "Avril", "header": True} if chosen else {}))
    assert same(await door.leads(), ALIKE)


@pytest.mark.feature("IMPT-03", clause="a pipe-delimited latin-1 file: the same leads")
async def test_a_text_file_with_pipes(door: Door) -> None:
    content = "\n".join("|".join(row) for row in [HEADER, *LATIN]).encode("latin-1")
    state = await door.imported(content, "leads.txt")
    assert state["file"]["delimiter"] == "|"
    assert same(await door.leads(), ALIKE)


@pytest.mark.feature("IMPT-03", clause="custom delimiter and encoding")
async def test_text_with_any_delimiter(door: Door) -> None:
    content = "Nom#Tel\nLefèvre#0612345678\n".encode("latin-1")
    await door.imported(content, "a.txt", delimiter="#", encoding="ISO-8859-1")
    assert same(await door.leads(), [LeadDraft(e164="+33612345678", last_name="Lefèvre")])


@pytest.mark.feature("IMPT-04", clause="guessed by headings in French and English, saved as a profile")
async def test_mapping_guessed_and_saved(door: Door) -> None:
    content = b"Phone number;Surname;Couleur\n0612345678;Durand;bleu\n"
    state = await door.upload(content)
    assert state["file"]["columns"] == {"0": "phone", "1": "last_name", "2": ""}
    options = {"columns": {"2": "field:Couleur"}, "profile": "maison"}
    await door.ask("POST", f"/imports/{state['id']}/check", json=options)
    state = await door.imported(content, profile="maison")
    assert state["profiles"] == ["maison"]
    rows = (await door.world.store.search_leads(door.world.rows["group"].id, {}, 5, None)).rows
    lead = await door.world.store.lead_facts(rows[0]["id"])
    assert lead is not None and lead.fields == {"Couleur": "bleu"}


@pytest.mark.feature("IMPT-05", clause="counts, a reason per row, nothing half-imported")
async def test_reasons_by_row_and_nothing_half_done(door: Door) -> None:
    content = b"tel;nom\n0612345678;Bon\n112;Secours\n0612345678;Double\n=1+1;Formule\n"
    state = await door.imported(content)
    report = state["report"]
    assert (report["rows"], report["inserted"], report["rejected"], report["duplicates_in_file"]) == (4, 1, 2, 1)
    file = await door.ask("GET", f"/imports/{state['id']}/report")
    assert [line.split(";")[:3] for line in file.lstrip("\ufeff").splitlines()[1:]] == [
        ["3", "rejected", "phone_emergency"], ["4", "duplicate", "duplicate_in_file"],
        ["5", "rejected", "phone_not_a_number"],
    ]  # fmt: skip
    before = await door.leads()
    broken = b"tel;nom\n" + b"".join(b"06%08d;Nom\n" % n for n in range(5000)) + b'0700000000;"A\n'
    key = (await door.upload(broken))["id"]
    problem = await door.ask("POST", f"/imports/{key}/check", 400, json={})
    assert "row 5002" in problem["detail"]
    assert await door.leads() == before


@pytest.mark.feature("IMPT-06", clause="phone, name or company, list: each missing one its own reason")
async def test_what_is_required(door: Door) -> None:
    state = await door.imported(b"tel;nom;societe\n;Durand;\n0612345678;;\n0612345679;;SARL\n")
    assert state["report"]["by_reason"] == {"no_phone": 1, "no_name": 1}
    assert [lead["company"] for lead in await door.leads()] == ["SARL"]
    key = (await door.upload(b"nom;ville\nDurand;Paris\n"))["id"]
    problem = await door.ask("POST", f"/imports/{key}/check", 400, json={})
    assert problem["code"] == "import_no_phone"
    door.list_id = 999
    assert (await door.upload(b"tel;nom\n0612345678;A\n", status=404))["code"] == "not_found"


OLD = b"tel;nom;prenom;email;ville\n0612345678;Durand;Anne;anne@exemple.fr;Paris\n"
NEW = b"tel;nom;prenom;email;ville\n0612345678;Durand;Annie;;Nice\n"


@pytest.mark.feature("IMPT-07", clause="skip, replace, merge; consent, red list and attempts kept")
@pytest.mark.parametrize(
    ("policy", "after"),
    [
        ("skip", ("Anne", "anne@exemple.fr")),
        ("replace", ("Annie", "")),
        ("merge", ("Annie", "anne@exemple.fr")),
    ],
)
async def test_duplicates(door: Door, policy: str, after: tuple[str, str]) -> None:
    store, client_id = door.world.store, door.world.rows["client"].id
    await door.imported(OLD)
    now = door.world.clock.utcnow()
    await store.add_consent(client_id, "+33612345678", {"at": now, "source": "web"})
    await store.set_dnc(client_id, "+33612345678", True, "anne", "phone")
    lease = await store.acquire_lease("main", "test", 4.0)
    assert lease is not None
    rows = door.world.rows
    past = Facts(store, door.world.clock, rows["group"], rows["client"], rows["list"], rows["campaign"], lease)  # type: ignore[arg-type]
    attempt = await past.place("+33612345678", 1, site="main", attempts_max=0)
    await past.apply(past.ended(attempt, Outcome.NO_ANSWER, 1))
    await door.imported(NEW, duplicates=policy)
    [lead] = await door.leads()
    assert (lead["first_name"], lead["email"]) == after
    facts = await store.lead_facts(1)
    assert facts is not None and facts.dnc and facts.consent_at == now
    assert len(facts.attempt_times) == 1, "what was tried before still counts"
    assert [row["outcome"] for row in await door.ask("GET", "/leads/1/history")] == ["no_answer"]


@pytest.mark.feature("IMPT-08", clause="phone, e-mail, name; accents and case folded")
@pytest.mark.parametrize(
    ("keys", "row"),
    [
        (["phone"], "+33 6 12 34 56 78;X;Y;;"), (["email"], "0612345670;X;Y;ANNE@exemple.fr;"),
        (["name"], "0612345670;DÜRAND;ANNE;;"),
    ],
)  # fmt: skip
async def test_what_makes_a_duplicate(door: Door, keys: list[str], row: str) -> None:
    await door.imported(OLD)
    content = f"tel;nom;prenom;email;ville\n{row}\n".encode()
    other = {"phone": "email", "email": "name", "name": "phone"}[keys[0]]
    state = await door.imported(content, duplicate_keys=keys)
    assert (state["report"]["duplicates_in_base"], state["report"]["inserted"]) == (1, 0)
    state = await door.imported(content, duplicate_keys=[other])
    assert (state["report"]["duplicates_in_base"], state["report"]["inserted"]) == (0, 1)


@pytest.mark.feature("IMPT-09", clause="formats of the table; overseas to their own code; short and special rejected")
async def test_numbers(door: Door) -> None:
    numbers = ["+33612345670", "0612345671", "33612345672", "06.12.34.56.73", "0033612345674", "612345675",
               "0590123456", "0692123456", "0696123456", "3949", "0800123456", "0899123456"]  # fmt: skip
    state = await door.imported(("tel;nom\n" + "".join(f"{n};A\n" for n in numbers)).encode())
    assert [lead["e164"] for lead in await door.leads()] == [
        "+33612345670", "+33612345671", "+33612345672", "+33612345673", "+33612345674", "+33612345675",
        "+590590123456", "+262692123456", "+596696123456",
    ]  # fmt: skip
    assert state["report"]["by_reason"] == {"phone_short": 1, "phone_special": 1, "phone_premium": 1}
    assert state["report"]["cleaned"] == 2


@pytest.mark.feature("IMPT-10", clause="a trial changes nothing")
async def test_a_trial(door: Door) -> None:
    key = (await door.upload(OLD))["id"]
    state = await door.ask("POST", f"/imports/{key}/check", json={})
    assert (state["report"]["dry_run"], state["report"]["good"]) == (True, 1)
    assert await door.leads() == []
    assert door.told == []


async def test_another_group_sees_nothing_of_an_import(door: Door) -> None:
    key = (await door.upload(OLD))["id"]
    headers = door.world.auth("other_admin")
    for method, path in (("GET", ""), ("POST", "/check"), ("POST", "/run"), ("GET", "/report")):
        more = {"json": {}} if path == "/check" else {}
        async with door.client.request(method, f"/api/v1/imports/{key}{path}", headers=headers, **more) as response:
            assert response.status == 404
    assert await door.world.store.get(LeadList, door.list_id) is not None


@pytest.mark.feature("LEGL-06", clause="an imported opposition list holds leads at import and at dialling")
async def test_an_opposition_list_holds_those_there_and_those_to_come(door: Door) -> None:
    store, client = door.world.store, door.world.rows["client"]
    await door.imported(b"tel;nom\n0612345678;Durand\n0612345679;Martin\n")
    query = {"client_id": str(client.id), "file_name": "opposition.txt"}
    content = b"Abonnes\n0612345678\n06 12 34 56 70\n\npas un numero\n"
    report = await door.ask("POST", "/imports/opposition", params=query, data=content)
    assert (report["numbers"], report["added"], report["leads"], report["by_reason"]) == (2, 2, 1, {"not_a_number": 1})
    assert report["sample"] == [{"row": 5, "reason": "not_a_number"}]
    await door.imported(b"tel;nom\n0612345670;Petit\n")
    campaign_id = door.world.rows["campaign"].id
    for number, allowed in (("0612345678", False), ("0612345670", False), ("0612345679", True)):
        body = {"campaign_id": campaign_id, "number": number}
        verdict = await door.ask("POST", "/compliance/check", json=body)
        assert (verdict["rule"] != "dnc") is allowed
    rows = (await store.search_leads(door.world.rows["group"].id, {}, 10, None)).rows
    assert {row["e164"]: row["blocked_by"] for row in rows} == {
        "+33612345678": "dnc", "+33612345679": "", "+33612345670": "dnc",
    }  # fmt: skip
    assert door.held == [(("+33612345678", "+33612345670"), "manager")]


async def test_an_opposition_list_that_is_broken_changes_nothing(door: Door) -> None:
    query = {"client_id": str(door.world.rows["client"].id), "file_name": "opposition.csv"}
    broken = b"tel\n" + b"".join(b"06%08d\n" % n for n in range(6000)) + b'"0612345678\n'
    problem = await door.ask("POST", "/imports/opposition", 400, params=query, data=broken)
    assert "row 6002" in problem["detail"] and door.held == []
    problem = await door.ask("POST", "/imports/opposition", 400, params=query, data=b"nom\nDurand\n")
    assert problem["code"] == "import_no_phone"
    query["client_id"] = str(door.world.rows["other_client"].id)
    await door.ask("POST", "/imports/opposition", 404, params=query, data=b"tel\n0612345678\n")
