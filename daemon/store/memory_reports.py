"""Named reports of the in-memory store: the same rows as store/sql/<name>.sql gives on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from daemon.calls.records import Agent, Campaign, Client, Record
from daemon.compliance.zones import zone
from daemon.store import memory_day, memory_dear, memory_law, memory_lines, memory_minutes
from daemon.store.memory_search import attempt_row
from daemon.store.memory_tables import AttemptRow, IntervalRow, MemoryTables
from daemon.store.reports import load
from daemon.store.tables import LEAD_ROW

Rows = list[dict[str, Any]]
Given = Mapping[str, Any]


def run(tables: MemoryTables, name: str, parameters: Given) -> Rows:
    """The report's rows. Raises KeyError for an unknown name, ValueError for an unknown parameter."""
    report = load(name)
    report.arguments(parameters)
    return _REPORTS[name](tables, {key: parameters.get(key) for key in report.parameters})


def _within(at: datetime, given: Given) -> bool:
    start, end = given.get("start"), given.get("end")
    return (start is None or at >= start) and (end is None or at < end)


def _is(value: Any, wanted: Any) -> bool:
    return wanted is None or value == wanted


def _group_of(tables: MemoryTables, kind: type[Record], id: int) -> int | None:
    return getattr(tables.config[kind].get(id), "group_id", None)


def _in_group(tables: MemoryTables, kind: type[Record], id: int, given: Given) -> bool:
    """As an inner join: a row whose parent is gone is in no group."""
    group_id = _group_of(tables, kind, id)
    return group_id is not None and _is(group_id, given.get("group_id"))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _day(at: datetime, given: Given) -> str:
    return str(at.astimezone(zone(given.get("zone") or "Europe/Paris")).date())


# -- calls -------------------------------------------------------------------------------------------------------------


def _calls(tables: MemoryTables, given: Given) -> list[AttemptRow]:
    columns = ("group_id", "campaign_id", "agent_id", "line_id")
    rows = (row for row in tables.attempts.values() if _within(row.at, given))
    return [row for row in rows if all(_is(getattr(row, name), given.get(name)) for name in columns)]


def _figures(rows: list[AttemptRow]) -> dict[str, Any]:
    attempts = sum(row.outcome != "not_placed" for row in rows)
    answered = sum(row.answered_at is not None for row in rows)
    return {
        "attempts": attempts,
        "in_progress": sum(row.outcome is None for row in rows),
        "answered": answered,
        "live": sum(row.live for row in rows),
        "connected": sum(row.outcome == "connected" for row in rows),
        "abandoned": sum(row.outcome == "abandoned" for row in rows),
        "machines": sum(row.outcome == "machine" for row in rows),
        "sales": sum(row.sale for row in rows),
        "refusals": sum(row.refused for row in rows),
        "talk_s": float(sum(row.talk_s for row in rows)),
        "talk_mean_s": _mean(row.talk_s for row in rows if row.outcome == "connected"),
        "ring_mean_s": _mean(row.ring_s for row in rows),
        "wait_mean_s": _mean(row.wait_s for row in rows),
        "answer_rate": answered / attempts if attempts else None,
    }


def _by(column: str, key: Callable[[AttemptRow, Given], Any]) -> Callable[[MemoryTables, Given], Rows]:
    def report(tables: MemoryTables, given: Given) -> Rows:
        parts: dict[Any, list[AttemptRow]] = {}
        for row in _calls(tables, given):
            parts.setdefault(key(row, given), []).append(row)
        ordered = sorted(parts, key=lambda value: (value is None, value if value is not None else 0))
        return [{column: value, **_figures(parts[value])} for value in ordered]

    return report


def _totals(tables: MemoryTables, given: Given) -> Rows:
    return [_figures(_calls(tables, given))]


def _attempts(tables: MemoryTables, given: Given) -> Rows:
    return [attempt_row(row) for row in sorted(_calls(tables, given), key=lambda row: row.number)]


def _abandonment(tables: MemoryTables, given: Given) -> Rows:
    sums: dict[tuple[int, datetime], list[float]] = {}
    for (campaign_id, hour, _), figures in tables.ledger.items():
        wanted = _is(campaign_id, given["campaign_id"]) and _within(hour, given)
        if wanted and _in_group(tables, Campaign, campaign_id, given):
            known = sums.setdefault((campaign_id, hour), [0, 0, 0, 0.0])
            known[:] = [a + b for a, b in zip(known, figures, strict=True)]
    return [
        {
            "campaign_id": campaign_id,
            "hour": hour,
            "answered_live": live,
            "abandoned": abandoned,
            "connected": connected,
            "false_positives": false_positives,
            "rate": abandoned / live if live else None,
        }
        for (campaign_id, hour), (live, abandoned, connected, false_positives) in sorted(sums.items())
    ]


# -- agents ------------------------------------------------------------------------------------------------------------


def _intervals(tables: MemoryTables, given: Given) -> list[IntervalRow]:
    start, end, group_id = given.get("start"), given.get("end"), given.get("group_id")
    return [
        row
        for agent_id, history in sorted(tables.intervals.items())
        if _is(agent_id, given["agent_id"]) and (group_id is None or _group_of(tables, Agent, agent_id) == group_id)
        for row in history
        if (start is None or row.ended_at is None or row.ended_at > start) and (end is None or row.started_at < end)
    ]


def _agent_states(tables: MemoryTables, given: Given) -> Rows:
    names = ("agent_id", "started_at", "ended_at", "state", "code", "campaign_id", "attempt_id", "by")
    return [{name: getattr(row, name) for name in names} for row in _intervals(tables, given)]


def _agent_durations(tables: MemoryTables, given: Given) -> Rows:
    start, end = given["start"], given["end"]
    if start is None or end is None:
        return []
    sums: dict[tuple[int, str, str], list[float]] = {}
    for row in _intervals(tables, given):
        known = sums.setdefault((row.agent_id, row.state, row.code), [0, 0.0])
        known[0] += 1
        known[1] += (min(row.ended_at or end, end) - max(row.started_at, start)).total_seconds()
    return [
        {"agent_id": agent_id, "state": state, "code": code, "times": int(times), "seconds": seconds}
        for (agent_id, state, code), (times, seconds) in sorted(sums.items())
    ]


# -- the law, click-to-call, the rest ----------------------------------------------------------------------------------


def _refusals_by_day(tables: MemoryTables, given: Given) -> Rows:
    counts: dict[tuple[str, int, str, str], int] = {}
    for row in tables.refusals:
        wanted = _is(row["campaign_id"], given["campaign_id"]) and _within(row["at"], given)
        if wanted and _in_group(tables, Campaign, row["campaign_id"], given):
            key = (_day(row["at"], given), row["campaign_id"], row["rule_set"], row["rule"])
            counts[key] = counts.get(key, 0) + 1
    names = ("day", "campaign_id", "rule_set", "rule")
    return [{**dict(zip(names, key, strict=True)), "refusals": n} for key, n in sorted(counts.items())]


def _refused_by_rule(tables: MemoryTables, given: Given) -> Rows:
    people: dict[tuple[str, str], list[int]] = {}
    for row in tables.refusals:
        wanted = _is(row["campaign_id"], given["campaign_id"]) and _within(row["at"], given)
        if wanted and _in_group(tables, Campaign, row["campaign_id"], given):
            people.setdefault((row["rule_set"], row["rule"]), []).append(row["lead_id"])
    return [
        {"rule_set": rule_set, "rule": rule, "refusals": len(ids), "people": len(set(ids))}
        for (rule_set, rule), ids in sorted(people.items())
    ]


def _calls_by_rule_set(tables: MemoryTables, given: Given) -> Rows:
    parts: dict[str, list[AttemptRow]] = {}
    for row in _calls(tables, given):
        if row.outcome != "not_placed" and row.kind != "inbound":
            parts.setdefault(row.rule_set, []).append(row)
    return [
        {
            "rule_set": rule_set,
            "calls": len(rows),
            "people": len({row.e164 for row in rows}),
            "counted": sum(bool(row.counted) for row in rows),
            "live": sum(row.live for row in rows),
            "abandoned": sum(row.outcome == "abandoned" for row in rows),
        }
        for rule_set, rows in sorted(parts.items())
    ]


def _requests(tables: MemoryTables, given: Given) -> Rows:
    rows = (row for row in tables.api_call_logs if _is(row["group_id"], given["group_id"]))
    return [row for row in rows if _within(row["created_at"], given)]


def _api_calls(tables: MemoryTables, given: Given) -> Rows:
    rows = _requests(tables, given)
    succeeded = sum(row["success"] for row in rows)
    return [
        {
            "calls": len(rows),
            "succeeded": succeeded,
            "response_ms": float(sum(row["response_time_ms"] for row in rows)),
            "response_mean_ms": _mean(row["response_time_ms"] for row in rows),
            "success_rate": succeeded / len(rows) if rows else None,
        }
    ]


def _api_calls_by_line(tables: MemoryTables, given: Given) -> Rows:
    parts: dict[str, Rows] = {}
    for row in _requests(tables, given):
        parts.setdefault(row["phone_line_used"], []).append(row)
    return [
        {
            "phone_line_used": line,
            "calls": len(rows),
            "succeeded": sum(row["success"] for row in rows),
            "last_at": max(row["created_at"] for row in rows),
            "response_mean_ms": _mean(row["response_time_ms"] for row in rows),
        }
        for line, rows in sorted(parts.items())
    ]


def _api_errors(tables: MemoryTables, given: Given) -> Rows:
    parts: dict[str, Rows] = {}
    for row in _requests(tables, given):
        if not row["success"]:
            parts.setdefault(row["error"], []).append(row)
    found = [
        {"error": error, "calls": len(rows), "last_at": max(row["created_at"] for row in rows)}
        for error, rows in parts.items()
    ]
    return sorted(found, key=lambda row: (-int(row["calls"]), row["error"]))


def _audit(tables: MemoryTables, given: Given) -> Rows:
    names = ("id", "at", "site", "by", "what", "target", "detail")
    rows = [{name: row[name] for name in names} for row in reversed(tables.audit) if _within(row["at"], given)]
    return rows[: given["limit"] or 1000]


def _journal(tables: MemoryTables, given: Given) -> Rows:
    names = ("id", "at", "site", "by", "what", "detail")
    before = given["before"]
    rows = [
        {name: row[name] for name in names}
        for row in reversed(tables.audit)
        if row["target"] == given["target"]
        and row["what"].startswith(f"{given['kind']}.")
        and (before is None or row["id"] < before)
    ]
    return rows[: given["limit"] or 100]


def _callbacks(tables: MemoryTables, given: Given) -> Rows:
    names = (
        "attempt_id",
        "lead_id",
        "campaign_id",
        "client_id",
        "agent_id",
        "due_at",
        "created_at",
        "created_by",
        "notes",
    )
    open_ones = [row for row in tables.callbacks.values() if row.done_at is None and _within(row.due_at, given)]
    wanted = [
        row
        for row in open_ones
        if _is(row.campaign_id, given["campaign_id"])
        and _is(row.agent_id, given["agent_id"])
        and _in_group(tables, Campaign, row.campaign_id, given)
    ]
    wanted.sort(key=lambda row: (row.due_at, row.attempt_id))
    return [{name: getattr(row, name) for name in names} for row in wanted]


def _pacing(tables: MemoryTables, given: Given) -> Rows:
    names = ("at", "site", "campaign_id", "count", "limit", "figures")
    rows = [
        {name: row[name] for name in names}
        for row in tables.pacing
        if _is(row["campaign_id"], given["campaign_id"])
        and _within(row["at"], given)
        and _in_group(tables, Campaign, row["campaign_id"], given)
    ]
    return sorted(rows, key=lambda row: (row["at"], row["site"]))


def _dnc(tables: MemoryTables, given: Given) -> Rows:
    return [
        {"client_id": client_id, "e164": e164, **entry}
        for (client_id, e164), entry in sorted(tables.dnc.items(), key=lambda item: item[0])
        if _is(client_id, given["client_id"]) and _in_group(tables, Client, client_id, given)
    ]


def _leads(tables: MemoryTables, given: Given) -> Rows:
    campaign = tables.config[Campaign].get(given["campaign_id"] or 0)
    lists = campaign.list_ids if isinstance(campaign, Campaign) else []
    rows = (
        row
        for _, row in sorted(tables.leads.items())
        if _is(row.group_id, given["group_id"]) and _is(row.list_id, given["list_id"])
    )
    return [
        {name: getattr(row, name) for name in LEAD_ROW}
        for row in rows
        if given["campaign_id"] is None or row.list_id in lists
    ]


_REPORTS: dict[str, Callable[[MemoryTables, Given], Rows]] = {
    "day_agents": memory_day.day_agents,
    "day_calls": memory_day.day_calls,
    "dear_calls": memory_dear.dear_calls,
    "totals": _totals,
    "by_hour": _by("hour", lambda row, given: row.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)),
    "by_day": _by("day", lambda row, given: _day(row.at, given)),
    "by_campaign": _by("campaign_id", lambda row, given: row.campaign_id),
    "by_agent": _by("agent_id", lambda row, given: row.agent_id),
    "by_line": _by("line_id", lambda row, given: row.line_id),
    "line_use": memory_lines.line_use,
    "by_outcome": _by("outcome", lambda row, given: row.outcome),
    "by_status": _by("disposition", lambda row, given: row.disposition),
    "attempts": _attempts,
    "abandonment": _abandonment,
    "agent_states": _agent_states,
    "agent_durations": _agent_durations,
    "refusals_by_day": _refusals_by_day,
    "refused_by_rule": _refused_by_rule,
    "refused": memory_law.refused,
    "consents_by_state": memory_law.consents_by_state,
    "red_list_by_client": memory_law.red_list_by_client,
    "calls_by_rule_set": _calls_by_rule_set,
    "api_calls": _api_calls,
    "api_calls_by_line": _api_calls_by_line,
    "api_errors": _api_errors,
    "audit": _audit,
    "journal": _journal,
    "callbacks": _callbacks,
    "pacing": _pacing,
    "dnc": _dnc,
    "leads": _leads,
    "calls_by_minute": memory_minutes.calls_by_minute,
    "agents_by_minute": memory_minutes.agents_by_minute,
    "changes": memory_minutes.changes,
}
