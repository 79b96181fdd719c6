"""The law's account of the in-memory store: the rows of store/sql/refused.sql, consents_by_state.sql and
red_list_by_client.sql. Called by daemon.store.memory_reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from daemon.calls.records import Campaign, Client
from daemon.store.memory_tables import MemoryTables

Rows = list[dict[str, Any]]
Given = Mapping[str, Any]

_REFUSED = ("at", "site", "fence", "n", "lead_id", "campaign_id", "rule", "rule_set", "clause", "until")
_OF_LEAD = ("list_id", "e164", "first_name", "last_name", "company")


def _within(at: datetime, given: Given) -> bool:
    return (given["start"] is None or at >= given["start"]) and (given["end"] is None or at < given["end"])


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["at"], row["site"], row["fence"], row["n"]


def refused(tables: MemoryTables, given: Given) -> Rows:
    """Calls held back one by one, newest first."""
    before = tuple(given[f"before_{name}"] for name in ("at", "site", "fence", "n"))
    found = []
    for row in sorted(tables.refusals, key=_place, reverse=True):
        campaign = tables.config[Campaign].get(row["campaign_id"])
        if not isinstance(campaign, Campaign) or given["group_id"] not in (None, campaign.group_id):
            continue
        asked = all(given[name] in (None, row[name]) for name in ("campaign_id", "rule", "rule_set"))
        if asked and _within(row["at"], given) and (before[0] is None or _place(row) < before):
            lead = tables.leads.get(row["lead_id"])
            found.append({name: row[name] for name in _REFUSED} | {n: getattr(lead, n, None) for n in _OF_LEAD})
    return found[: given["limit"]]


def consents_by_state(tables: MemoryTables, given: Given) -> Rows:
    """Consents at an instant: valid, expired, withdrawn; of the register and of leads."""
    at, days = given["at"], given["valid_days"] or 0
    counts = {kind: {"valid": 0, "expired": 0, "withdrawn": 0} for kind in ("leads", "register")}
    for kind, agreed, revoked, until in _known(tables, given) if at is not None else ():
        if revoked is not None and revoked <= at and (agreed is None or agreed <= revoked):
            state = "withdrawn"
        else:
            fresh = agreed is not None and agreed <= at and (days == 0 or agreed + timedelta(days=days) > at)
            state = "valid" if fresh and (until is None or until > at) else "expired"
        counts[kind][state] += 1
    return [{"kind": kind, **counts[kind]} for kind in sorted(counts)]


def _known(
    tables: MemoryTables, given: Given
) -> Iterator[tuple[str, datetime | None, datetime | None, datetime | None]]:
    """(kind, given, last withdrawn, its own end) of each person of the register and each lead with a consent."""
    withdrawn: dict[tuple[int, str], datetime] = {}
    for (client_id, e164), rows in tables.consents.items():
        client = tables.config[Client].get(client_id)
        if not isinstance(client, Client) or not rows:
            continue
        revoked = max((row.revoked_at for row in rows if row.revoked_at), default=None)
        if revoked is not None:
            place = (client.group_id, e164)
            withdrawn[place] = max(withdrawn.get(place, revoked), revoked)
        if given["group_id"] in (None, client.group_id):
            dated = [(row.at, place, row.until) for place, row in enumerate(rows) if row.at is not None]
            agreed, _, until = max(dated, key=lambda each: each[:2], default=(None, 0, None))
            yield "register", agreed, revoked, until
    for lead in tables.leads.values():
        if lead.consent_at is not None and given["group_id"] in (None, lead.group_id):
            yield "leads", lead.consent_at, withdrawn.get((lead.group_id, lead.e164)), None


def red_list_by_client(tables: MemoryTables, given: Given) -> Rows:
    """How many numbers, how many of them new, how often one was taken off."""
    clients = [each for _, each in sorted(tables.config[Client].items()) if isinstance(each, Client)]
    taken = [row for row in tables.audit if row["what"] == "red_list.off" and _within(row["at"], given)]
    found = []
    for client in clients:
        if given["group_id"] in (None, client.group_id):
            numbers = [entry for (client_id, _), entry in tables.dnc.items() if client_id == client.id]
            added = sum(_within(entry["at"], given) for entry in numbers)
            removed = sum(row["target"] == f"client:{client.id}" for row in taken)
            found.append({"client_id": client.id, "size": len(numbers), "added": added, "removed": removed})
    return found
