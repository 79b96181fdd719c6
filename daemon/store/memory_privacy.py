"""A person's rights in the in-memory store: what privacy.py says in SQL, said in Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from daemon.calls.records import Client
from daemon.calls.zadarma_records import ZadarmaCall
from daemon.errors import StoreConflict
from daemon.ports import Pseudonyms
from daemon.store.memory_search import attempt_row
from daemon.store.memory_tables import LeadRow, MemoryTables
from daemon.store.privacy import written
from daemon.store.tables import LEAD_ROW

_GONE = [
    "first_name",
    "last_name",
    "company",
    "email",
    "alt_phone",
    "address1",
    "address2",
    "address3",
    "city",
    "postal_code",
    "state",
    "comments",
    "vendor_lead_code",
    "consent_source",
    "consent_text_version",
]
_CONSENT = ("at", "until", "revoked_at", "source", "text_version", "proof", "ip", "out_of_hours", "automated")
_CALLBACK = ("lead_id", "campaign_id", "client_id", "agent_id", "due_at", "created_at", "done_at", "notes")


def _clients(t: MemoryTables, group_id: int) -> list[int]:
    return [id for id, row in sorted(t.config[Client].items()) if getattr(row, "group_id", 0) == group_id]


def _leads(t: MemoryTables, group_id: int, e164: str) -> list[LeadRow]:
    ids = sorted(t.leads_of_number.get(e164, ()))
    return [t.leads[id] for id in ids if t.leads[id].group_id == group_id]


def _is(text: str, forms: Sequence[str]) -> bool:
    return re.sub(r"[^0-9+]", "", text) in forms


def person(t: MemoryTables, pseudonyms: Pseudonyms | None, group_id: int, e164: str) -> dict[str, Any]:
    """All rows that name the number."""
    leads, forms = _leads(t, group_id, e164), written(e164)
    attempts = [row for row in t.attempts.values() if row.e164 == e164 and row.group_id == group_id]
    refusals = [row for lead in leads for row in t.refusals_of_lead.get(lead.id, ())]
    callbacks = [t.callbacks[id] for lead in leads for id in t.callbacks_of_lead.get(lead.id, ())]
    clients = _clients(t, group_id)
    found: dict[str, Any] = {
        "leads": [{name: getattr(row, name) for name in LEAD_ROW} for row in leads],
        "attempts": [attempt_row(row) for row in sorted(attempts, key=lambda row: row.number)],
        "refused_calls": sorted((dict(row) for row in refusals), key=lambda row: row["at"]),
        "callbacks": [
            {name: getattr(row, name) for name in _CALLBACK}
            for row in sorted(callbacks, key=lambda row: row.created_at)
        ],
        "red_list": [{"client_id": id, **t.dnc[id, e164]} for id in clients if (id, e164) in t.dnc],
        "consents": [
            {"client_id": id, **{name: getattr(row, name) for name in _CONSENT}}
            for id in clients
            for row in t.consents.get((id, e164), ())
        ],
        "recordings": [
            {name: row[name] for name in ("attempt_id", "started_at", "duration_s", "purged_at")}
            for row in t.recordings.values()
            if row["attempt_id"] in {each.id for each in attempts}
        ],
        "click_to_call": [
            {name: row[name] for name in ("created_at", "number_called", "success")}
            for row in t.api_call_logs
            if row["group_id"] == group_id and _is(row["number_called"], forms)
        ],
        "erased": None,
    }
    if pseudonyms is not None and (at := t.erased.get((group_id, pseudonyms.of(e164)))) is not None:
        pseudonym = pseudonyms.of(e164)
        found["erased"] = {
            "at": at,
            "attempts": sum(row.e164 == pseudonym and row.group_id == group_id for row in t.attempts.values()),
            "red_lists": sum((id, pseudonym) in t.dnc for id in clients),
        }
    return found


def number_history(
    t: MemoryTables, pseudonyms: Pseudonyms | None, group_id: int, e164: str
) -> dict[str, list[dict[str, Any]]]:
    """What the law asks of a number, under its own name and its pseudonym."""
    names = [e164, pseudonyms.of(e164)] if pseudonyms is not None else [e164]
    found = [person(t, None, group_id, name) for name in names]
    return {name: [row for each in found for row in each[name]] for name in ("attempts", "consents", "red_list")}


def erase(t: MemoryTables, pseudonyms: Pseudonyms | None, group_id: int, e164: str, now: datetime) -> dict[str, Any]:
    """Put the pseudonym in the number's place; names, notes and own fields go."""
    if pseudonyms is None:
        raise StoreConflict("no key for erased numbers", "pseudonym_key")
    attempts = [row for row in t.attempts.values() if row.e164 == e164 and row.group_id == group_id]
    if any(row.outcome is None for row in attempts):
        raise StoreConflict("a call to this number is in progress", "open")
    pseudonym, leads, counts = pseudonyms.of(e164), _leads(t, group_id, e164), {"recordings": 0, "callbacks": 0}
    for lead in leads:
        for id in t.callbacks_of_lead.get(lead.id, ()):
            counts["callbacks"] += 1
            t.callbacks[id].notes, t.callbacks[id].done_at = "", t.callbacks[id].done_at or now
        _forget(t, lead, pseudonym)
    ids = {row.id for row in attempts}
    tapes = [row for row in t.recordings.values() if row["attempt_id"] in ids]
    files = [row["path"] for row in tapes if row["path"]]
    for row in tapes:
        row["purged_at"] = row["purged_at"] or now
        row["state"] = "waiting" if row["state"] == "kept" else row["state"]
    counts["recordings"] = len(tapes)
    drafts = [agent_id for agent_id, row in t.drafts.items() if row["attempt_id"] in ids]
    for agent_id in drafts:
        del t.drafts[agent_id]
    counts |= {"drafts": len(drafts), "attempts": len(attempts), "leads": len(leads)}
    clients = _clients(t, group_id)
    counts["red_list"] = _rename_dnc(t, clients, e164, pseudonym, forget=True)
    counts["consents"] = 0
    for consent in (each for id in clients for each in t.consents.get((id, e164), ())):
        consent.proof = consent.ip = consent.source = ""
        counts["consents"] += 1
    for attempt in attempts:
        attempt.notes = ""
    _rename(t, group_id, clients, e164, pseudonym)
    counts |= _elsewhere(t, group_id, written(e164))
    t.erased[group_id, pseudonym] = now
    return {"counts": counts, "files": files, "pseudonym": pseudonym}


def _forget(t: MemoryTables, lead: LeadRow, pseudonym: str) -> None:
    t.leads_of_number[lead.e164].remove(lead.id)
    for name in _GONE:
        setattr(lead, name, "")
    lead.e164, lead.fields = pseudonym, {}
    lead.callback_at, lead.callback_agent_id = None, 0
    lead.eligible_at, lead.blocked_by = None, "erased"
    t.leads_of_number[pseudonym].append(lead.id)
    t.touch(lead)


def _elsewhere(t: MemoryTables, group_id: int, forms: Sequence[str]) -> dict[str, int]:
    counts = {"alt_phones": 0, "click_to_call": 0}
    for lead in t.leads.values():
        if lead.group_id == group_id and _is(lead.alt_phone, forms):
            lead.alt_phone = ""
            counts["alt_phones"] += 1
    for row in t.api_call_logs:
        if row["group_id"] == group_id and _is(row["number_called"], forms):
            row["number_called"] = ""
            counts["click_to_call"] += 1
    calls = [row for row in t.config[ZadarmaCall].values() if isinstance(row, ZadarmaCall)]
    gone = [row.id for row in calls if row.group_id == group_id and row.e164 in forms]
    for id in gone:
        del t.config[ZadarmaCall][id]
    return counts | {"zadarma_calls": len(gone)}


def _rename_dnc(t: MemoryTables, clients: Sequence[int], old: str, new: str, *, forget: bool) -> int:
    count = 0
    for id in clients:
        entry = t.dnc.pop((id, old), None)
        if entry is not None:
            count += 1
            t.dnc.setdefault((id, new), {"at": entry["at"], "by": "", "source": "erased"} if forget else entry)
    return count


def _rename(t: MemoryTables, group_id: int, clients: Sequence[int], old: str, new: str) -> None:
    """Attempts and consents under another name."""
    for row in t.attempts.values():
        if row.e164 == old and row.group_id == group_id:
            t.attempts_of_person[row.person].remove(row.id)
            row.e164 = new
            t.attempts_of_person[row.person].append(row.id)
    for id in clients:
        if rows := t.consents.pop((id, old), None):
            t.consents[id, new].extend(rows)


def take_back(t: MemoryTables, pseudonyms: Pseudonyms | None, group_id: int, e164s: Sequence[str]) -> int:
    """Numbers about to be written that were erased get their history back. How many."""
    if pseudonyms is None or not t.erased:
        return 0
    count = 0
    for e164 in dict.fromkeys(e164s):
        pseudonym = pseudonyms.of(e164)
        if t.erased.pop((group_id, pseudonym), None) is not None:
            clients = _clients(t, group_id)
            _rename(t, group_id, clients, pseudonym, e164)
            _rename_dnc(t, clients, pseudonym, e164, forget=False)
            count += 1
    return count
