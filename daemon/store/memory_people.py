"""Leads and history of the in-memory store: what people.py says in SQL, said in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from daemon.calls.lead_records import Lead, LeadDraft
from daemon.calls.records import Campaign, LeadList
from daemon.errors import StoreConflict
from daemon.ports import ConsentRules
from daemon.store.entry import RULE, Entry, entry_of
from daemon.store.memory_facts import block_for_dnc, touched
from daemon.store.memory_search import attempt_row
from daemon.store.memory_tables import AttemptRow, ConsentRow, LeadRow, MemoryTables
from daemon.store.tables import (
    EVENT_ROW,
    LEAD_EDITABLE,
    TURN_CALLBACK,
    TURN_NORMAL,
    consent_reason,
    first_turn,
)

_REFUSAL_SHOWN = ("at", "campaign_id", "rule", "clause", "rule_set", "until")
_CALLBACK_SHOWN = ("attempt_id", "created_at", "due_at", "agent_id", "done_at")


def latest(*instants: datetime | None) -> datetime | None:
    """The latest of those known."""
    return max((instant for instant in instants if instant is not None), default=None)


def campaign_of(tables: MemoryTables, lead: LeadRow) -> Campaign | None:
    """The campaign that holds it, or the first that works its list."""
    for _, campaign in sorted(tables.config[Campaign].items()):
        assert isinstance(campaign, Campaign)
        if lead.claimed_by is None and lead.list_id in campaign.list_ids:
            return campaign
        if lead.claimed_by is not None and campaign.id == lead.claimed_campaign_id:
            return campaign
    return None


def lead_of(tables: MemoryTables, row: LeadRow, campaign_id: int, client_id: int, since: datetime) -> Lead:
    """The lead with what is known of the person: of two consents the later counts."""
    person = (client_id, row.e164)
    attempts = [tables.attempts[id] for id in tables.attempts_of_person.get(person, ())]
    outgoing = [each for each in attempts if each.kind != "inbound"]
    consents = tables.consents.get(person, [])
    given = max((each for each in reversed(consents) if each.at), key=lambda each: each.at or since, default=None)
    by_person = given is not None and given.at is not None and (row.consent_at is None or given.at >= row.consent_at)
    consent = given if by_person and given is not None else None
    return Lead(
        id=row.id,
        list_id=row.list_id,
        campaign_id=campaign_id,
        group_id=row.group_id,
        client_id=client_id,
        e164=row.e164,
        tz_group=row.tz_group,
        postal_code=row.postal_code,
        city=row.city,
        state=row.state,
        first_name=row.first_name,
        last_name=row.last_name,
        company=row.company,
        email=row.email,
        priority=row.priority,
        attempts=row.attempts,
        failures=row.failures,
        recycled=row.recycled,
        attempt_times=sorted(each.at for each in outgoing if each.counted is not False and each.at > since),
        technical_times=sorted(each.at for each in outgoing if _technical(each) and each.at > since),
        last_attempt_at=latest(row.last_attempt_at, *(each.at for each in outgoing)),
        refused_at=latest(row.refused_at, *(each.disposition_at for each in attempts if each.refused)),
        consent_at=consent.at if consent else row.consent_at,
        consent_until=consent.until if consent else None,
        consent_revoked_at=latest(*(each.revoked_at for each in consents)),
        consent_out_of_hours=consent.out_of_hours if consent else row.consent_out_of_hours,
        consent_automated=consent.automated if consent else row.consent_automated,
        running_contract=row.running_contract,
        dnc=person in tables.dnc or row.blocked_by == "dnc",
        callback_at=row.callback_at,
        callback_agent_id=row.callback_agent_id,
        abandoned_at=latest(row.abandoned_at, *(each.ended_at for each in attempts if each.outcome == "abandoned")),
        fields=dict(row.fields),
    )


def _technical(attempt: AttemptRow) -> bool:
    """Left for the person's number and failed on our side."""
    return attempt.counted is False and attempt.outcome not in ("not_placed", "agent_no_answer")


def held_by(lead: LeadRow, list_active: bool, now: datetime) -> str:
    """What holds it, or `due`."""
    if lead.claimed_by is not None:
        return "in_progress"
    if lead.eligible_at is None and lead.blocked_by:  # for good; not by its property: each lead is asked every 5 s
        return lead.blocked_by
    if not list_active:
        return "list_off"
    if lead.eligible_at is None or lead.eligible_at <= now:
        return "due"
    return lead.blocked_by or "waiting"


def lacking(tables: MemoryTables, lead: LeadRow, entry: Entry) -> bool:
    """The lead has nothing that a consent could be read from."""
    if lead.consent_at is not None or (entry.contract and lead.running_contract):
        return False
    given = [row for client in entry.clients for row in tables.consents.get((client, lead.e164), ())]
    return not any(row.at is not None and row.revoked_at is None for row in given)


def review(tables: MemoryTables, rules: ConsentRules) -> list[int]:
    """All leads of the list that has waited longest; hold or lift."""
    if not tables.list_reviews:
        return []
    list_id = next(iter(tables.list_reviews))
    del tables.list_reviews[list_id]
    campaigns = [each for each in tables.config[Campaign].values() if isinstance(each, Campaign)]
    entry = entry_of([each for each in campaigns if list_id in each.list_ids], rules)
    for id in list(tables.leads_of_list.get(list_id, ())):
        lead = tables.leads[id]
        held = entry.hold and lacking(tables, lead, entry)
        if lead.eligible_at is not None or (lead.blocked_by == "" and lead.claimed_by is not None):
            continue
        if lead.blocked_by in ("", RULE):
            lead.blocked_by = RULE if held else ""
            tables.touch(lead)
    return [list_id]


def free_of_consent(lead: LeadRow, changes: Mapping[str, Any]) -> None:
    """A consent or a contract that came lifts what was held for want of it."""
    if RULE in lead.blocked_by and (changes.get("consent_at") is not None or changes.get("running_contract")):
        lead.blocked_by, lead.eligible_at = changes.get("blocked_by", ""), changes.get("eligible_at")


def add(
    tables: MemoryTables,
    list_id: int,
    drafts: Sequence[LeadDraft],
    now: datetime,
    consent_rules: ConsentRules = ConsentRules(),
) -> list[int]:
    """Insert; a draft whose vendor code the list has already gives that lead's id."""
    listed = tables.config[LeadList].get(list_id)
    if not drafts:
        return []
    if not isinstance(listed, LeadList):
        raise StoreConflict(f"no list {list_id}", "list_id")
    campaigns = [each for each in tables.config[Campaign].values() if isinstance(each, Campaign)]
    working = [each for each in campaigns if list_id in each.list_ids]
    clients, entry = {each.client_id for each in working}, entry_of(working, consent_rules)
    codes = {tables.leads[id].vendor_lead_code: id for id in tables.leads_of_list[list_id]}
    ids = []
    for draft in drafts:
        if draft.vendor_lead_code and draft.vendor_lead_code in codes:
            ids.append(codes[draft.vendor_lead_code])
            continue
        lead = LeadRow(
            id=len(tables.leads) + 1,
            list_id=list_id,
            group_id=listed.group_id,
            created_at=now,
            turn=first_turn(draft.priority),
            **msgspec.structs.asdict(draft),
        )
        if any((client, draft.e164) in tables.dnc for client in clients):
            lead.blocked_by = "dnc"
        elif entry.hold and lacking(tables, lead, entry):
            lead.blocked_by = RULE
        insert(tables, lead)
        codes[lead.vendor_lead_code] = lead.id
        ids.append(lead.id)
    return ids


def insert(tables: MemoryTables, lead: LeadRow) -> None:
    """A new row with its places in the look-ups."""
    tables.leads[lead.id] = lead
    tables.leads_of_list[lead.list_id].append(lead.id)
    tables.leads_of_number[lead.e164].append(lead.id)
    tables.touch(lead)


def update(tables: MemoryTables, lead_id: int, changes: Mapping[str, Any]) -> bool:
    """Change columns; the queues follow."""
    if unknown := sorted(set(changes) - LEAD_EDITABLE):
        raise StoreConflict(f"a lead's {unknown[0]} can't be changed", unknown[0])
    lead = tables.leads.get(lead_id)
    if lead is None:
        return False
    tables.leads_of_list[lead.list_id].remove(lead_id)
    tables.leads_of_number[lead.e164].remove(lead_id)
    free_of_consent(lead, changes)
    for name, value in changes.items():
        setattr(lead, name, value)
    tables.leads_of_list[lead.list_id].append(lead_id)
    tables.leads_of_number[lead.e164].append(lead_id)
    if "callback_agent_id" in changes:
        for row in (tables.callbacks[id] for id in tables.callbacks_of_lead[lead_id]):
            if row.done_at is None:
                row.agent_id, row.due_at = changes["callback_agent_id"], changes.get("callback_at") or row.due_at
    if "callback_at" in changes:
        fallen = TURN_NORMAL if lead.turn == TURN_CALLBACK else lead.turn
        lead.turn = TURN_CALLBACK if changes["callback_at"] is not None else fallen
    elif "priority" in changes and lead.attempts == 0 and lead.turn != TURN_CALLBACK:
        lead.turn = first_turn(lead.priority)
    tables.touch(lead)
    return True


def history(tables: MemoryTables, lead_id: int) -> list[dict[str, Any]]:
    """Attempts, refusals and callbacks of a lead, by time."""
    ids = tables.attempts_of_lead.get(lead_id, ())
    entries: list[dict[str, Any]] = [{"type": "attempt", **attempt_row(tables.attempts[id])} for id in ids]
    entries += [
        {"type": "refusal", **{name: refusal[name] for name in _REFUSAL_SHOWN}}
        for refusal in tables.refusals_of_lead.get(lead_id, ())
    ]
    for id in tables.callbacks_of_lead.get(lead_id, ()):
        callback = tables.callbacks[id]
        shown = {name: getattr(callback, name) for name in _CALLBACK_SHOWN}
        entries.append({"type": "callback", "at": callback.created_at, **shown})
    return sorted(entries, key=lambda entry: (entry["at"], entry["type"]))


def attempt(tables: MemoryTables, key: UUID | int) -> dict[str, Any] | None:
    """One attempt with its steps."""
    id = key if isinstance(key, UUID) else tables.attempt_of_number.get(key)
    row = tables.attempts.get(id) if id is not None else None
    if row is None:
        return None
    events = sorted(tables.events.get(row.id, ()), key=lambda event: (event["fence"], event["n"]))
    return attempt_row(row) | {"events": [{name: event[name] for name in EVENT_ROW} for event in events]}


def set_dnc(tables: MemoryTables, client_id: int, e164: str, on: bool, entry: dict[str, Any]) -> list[int]:
    """Add to or take from the red list; ids of the leads it touches."""
    ids = touched(tables, client_id, e164)
    if on:
        tables.dnc.setdefault((client_id, e164), entry)
        block_for_dnc(tables, ids)
        return ids
    tables.dnc.pop((client_id, e164), None)
    for id in ids:
        if tables.leads[id].blocked_by == "dnc":
            tables.leads[id].blocked_by = ""
            tables.touch(tables.leads[id])
    return ids


def add_dnc(tables: MemoryTables, client_id: int, e164s: Sequence[str], entry: dict[str, Any]) -> tuple[int, int]:
    """Add many numbers: (not there before, leads held for it)."""
    added = held = 0
    for e164 in dict.fromkeys(e164s):
        added += (client_id, e164) not in tables.dnc
        ids = touched(tables, client_id, e164)
        free = [id for id in ids if not tables.leads[id].blocked_by or tables.leads[id].eligible_at is not None]
        held += len(free)
        set_dnc(tables, client_id, e164, True, dict(entry))
    return added, held


def add_consent(tables: MemoryTables, client_id: int, e164: str, consent: Mapping[str, Any]) -> list[int]:
    """Record a consent; leads held for want of one come back."""
    names = ("until", "source", "text_version", "proof", "ip", "out_of_hours", "automated")
    given = {name: consent[name] for name in names if name in consent}
    tables.consents[client_id, e164].append(ConsentRow(at=consent["at"], **given))
    ids = touched(tables, client_id, e164)
    for id in ids:
        lead = tables.leads[id]
        if consent_reason(lead.blocked_by):
            lead.blocked_by, lead.eligible_at = "", None
            tables.touch(lead)
    return ids


def revoke_consent(tables: MemoryTables, client_id: int, e164: str, at: datetime) -> list[int]:
    """Revoke all consents in force; one that came with the lead is revoked by a row of its own."""
    in_force = [each for each in tables.consents[client_id, e164] if each.revoked_at is None]
    for each in in_force:
        each.revoked_at = at
    if not in_force:
        tables.consents[client_id, e164].append(ConsentRow(revoked_at=at))
    return touched(tables, client_id, e164)


def ledger_rows(tables: MemoryTables, campaign_id: int, since: datetime) -> list[dict[str, Any]]:
    """By hour and site."""
    names = ("answered_live", "abandoned", "connected", "false_positives")
    return [
        {"campaign_id": campaign_id, "site": site, "hour": hour, **dict(zip(names, sums, strict=True))}
        for (campaign, hour, site), sums in sorted(tables.ledger.items())
        if campaign == campaign_id and hour >= since
    ]
