"""What is older than the limits in the in-memory store: what retention.py says in SQL, said in Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from daemon.calls.records import Client
from daemon.store.memory_tables import LeadRow, MemoryTables
from daemon.store.pseudonyms import MARK
from daemon.store.retention import CONSENT_DAYS


def _heard(lead: LeadRow) -> datetime:
    agreed = lead.consent_at + timedelta(days=CONSENT_DAYS) if lead.consent_at is not None else None
    known = (lead.created_at, lead.last_attempt_at, lead.callback_at, lead.refused_at, agreed)
    return max(at for at in known if at is not None)


def _consents_end(tables: MemoryTables, group_id: int, e164: str) -> list[datetime]:
    clients = [id for id, row in tables.config[Client].items() if getattr(row, "group_id", 0) == group_id]
    ends = []
    for row in (row for client in clients for row in tables.consents.get((client, e164), ())):
        agreed = row.until or (row.at + timedelta(days=CONSENT_DAYS) if row.at is not None else None)
        ends += [at for at in (agreed, row.revoked_at) if at is not None]
    return ends


def stale_people(
    tables: MemoryTables, before: datetime, after: int, limit: int, proof_before: datetime
) -> tuple[list[tuple[int, str]], int | None]:
    """Those not heard of since `before`, nor with a consent that ended later than `proof_before`, among the next."""
    ids = [id for id in sorted(tables.leads) if id > after][:limit]
    found: dict[tuple[int, str], None] = {}
    for lead in (tables.leads[id] for id in ids):
        same = [tables.leads[id] for id in tables.leads_of_number[lead.e164]]
        heard = [_heard(each) for each in same if each.group_id == lead.group_id]
        heard += [row.at for row in tables.attempts.values() if (row.group_id, row.e164) == (lead.group_id, lead.e164)]
        agreed = _consents_end(tables, lead.group_id, lead.e164)
        agreed += [
            e.consent_at + timedelta(days=CONSENT_DAYS) for e in same if e.consent_at and e.group_id == lead.group_id
        ]
        told = max(heard) < before and all(at < proof_before for at in agreed)
        if not lead.e164.startswith(MARK) and lead.claimed_by is None and told:
            found[lead.group_id, lead.e164] = None
    return list(found), ids[-1] if len(ids) == limit else None


def purge_steps(tables: MemoryTables, before: datetime) -> dict[str, int]:
    """Drop steps by whole UTC days, the rest by its instant."""
    first = datetime.combine(before.astimezone(UTC).date(), datetime.min.time(), UTC)
    days = {row["at"].astimezone(UTC).date() for rows in tables.events.values() for row in rows if row["at"] < first}
    for id, rows in list(tables.events.items()):
        tables.events[id] = [row for row in rows if row["at"] >= first]
    kept_pacing = [row for row in tables.pacing if row["at"] >= before]
    kept_calls = [row for row in tables.api_call_logs if row["created_at"] >= before]
    counts = {"days_of_steps": len(days), "pacing_decisions": len(tables.pacing) - len(kept_pacing)}
    counts["api_calls"] = len(tables.api_call_logs) - len(kept_calls)
    tables.pacing[:], tables.api_call_logs[:] = kept_pacing, kept_calls
    return counts
