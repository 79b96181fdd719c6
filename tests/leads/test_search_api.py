"""Search, export and history of leads through the API (features IMPT-11, IMPT-12)."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from daemon.calls.causes import Outcome
from daemon.calls.records import LeadList
from tests.leads.test_imports_api import Door, door
from tests.store.world import World as Facts

__all__ = ["door"]  # the fixture

FILE = """tel;nom;prenom;societe;statut
0612345678;Durand;Anne;;NEW
0612345679;Durand;Luc;Crêperie d'Ys;HOT
0612345670;Martin;Anne;=HYPERLINK("x");NEW
0692123456;Payet;Zoé;;HOT
"""


async def _called(door: Door, lead_id: int, e164: str, outcome: Outcome) -> None:
    """A call of the campaign that ended so, with a note."""
    rows = door.world.rows
    lease = await door.world.store.acquire_lease("main", "test", 4.0)
    assert lease is not None
    facts = Facts(
        door.world.store,
        door.world.clock,  # type: ignore[arg-type]
        rows["group"],
        rows["client"],
        rows["list"],
        rows["campaign"],
        lease,
    )
    attempt = await facts.place(e164, lead_id, site="main", attempts_max=0)
    await facts.apply(facts.ended(attempt, outcome, lead_id, talk_s=42.0))
    await facts.apply(facts.disposed(attempt, lead_id, "RAPPEL", notes="demain matin"))


@pytest.mark.feature("IMPT-11", clause="filters combine")
async def test_filters_combine(door: Door) -> None:
    await door.imported(FILE.encode())
    other = await door.world.store.create(LeadList(group_id=door.world.rows["group"].id, name="Autre"))
    first, door.list_id = door.list_id, other.id
    await door.imported(b"tel;nom\n0743123456;Durand\n")

    async def found(**query: str) -> list[str]:
        page = await door.ask("GET", "/leads", params=query)
        return sorted(row["e164"] for row in page["rows"])

    assert await found(q="durand") == ["+33612345678", "+33612345679", "+33743123456"]
    assert await found(q="durand", list_id=str(first)) == ["+33612345678", "+33612345679"]
    assert await found(q="durand", list_id=str(first), status="HOT") == ["+33612345679"]
    assert await found(phone="06 92 12 34 56") == ["+262692123456"]
    assert await found(phone="06 92 12 34 56", status="NEW") == []
    assert await found(q="creperie") == [] or await found(q="crêperie") == ["+33612345679"]
    await _called(door, 1, "+33612345678", Outcome.CONNECTED)
    since = (door.world.clock.utcnow() - timedelta(minutes=1)).isoformat()
    assert await found(last_attempt_from=since) == ["+33612345678"]
    assert await found(last_attempt_from=since, q="martin") == []


@pytest.mark.feature("IMPT-11", clause="an export can't smuggle formulas")
async def test_an_export_has_every_lead_and_no_formula(door: Door) -> None:
    await door.imported(FILE.encode())
    body = await door.ask("GET", "/reports/leads", params={"format": "csv", "language": "fr"})
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(body.lstrip("\ufeff")), delimiter=";"))
    found = [row["e164"].lstrip("'") for row in rows]
    assert found == [
        "+33612345678",
        "+33612345679",
        "+33612345670",
        "+262692123456",
    ]
    assert rows[2]["company"] == '\'=HYPERLINK("x")' and rows[1]["company"] == "Crêperie d'Ys"


@pytest.mark.feature("IMPT-12", clause="dates, statuses and notes of every attempt, newest first; own fields")
async def test_the_history_of_a_contact(door: Door) -> None:
    await door.imported(b"tel;nom;couleur\n0612345678;Durand;bleu\n", columns={"couleur": "field:Couleur"})
    await _called(door, 1, "+33612345678", Outcome.NO_ANSWER)
    door.world.clock.advance(86_400)
    await _called(door, 1, "+33612345678", Outcome.CONNECTED)
    history = await door.ask("GET", "/leads/1/history")
    assert [row["outcome"] for row in history] == ["connected", "no_answer"]
    assert history[0]["disposition"] == "RAPPEL" and history[0]["notes"] == "demain matin"
    assert history[0]["at"] > history[1]["at"]
    lead = await door.ask("GET", "/leads/1")
    assert (lead["fields"], len(lead["attempt_times"])) == ({"Couleur": "bleu"}, 2)
