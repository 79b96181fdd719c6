"""Facts sorted for PostgreSQL: each as the statement that applies it, in the lane whose order it must keep."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from daemon.calls import facts as f
from daemon.calls.facts import NumberedFact
from daemon.store import tapes
from daemon.store.database import to_json
from daemon.store.tables import BOOKED, TAKEN_BACK, TOPICS, TURN_OF_RECYCLING

Row = tuple[Any, ...]

# A lead's next state: "held until, for a reason" if both are given; callable at once if neither or if it is past.
_HELD = """
    eligible_at = CASE WHEN blocked_by IN ('dnc', 'erased') THEN eligible_at WHEN {until} <= {at} THEN NULL
        ELSE {until} END,
    blocked_by = CASE WHEN blocked_by IN ('dnc', 'erased') THEN blocked_by WHEN {until} <= {at} THEN ''
        ELSE {reason} END"""

_ENDED = """
WITH before AS (
    SELECT id, outcome, counted, lead_id, at, disposition IS NOT NULL AND NOT disposition_by_default AS decided
    FROM attempts WHERE id = $1 AND (outcome IS NULL OR (outcome = 'unknown' AND $2 <> 'unknown')) FOR UPDATE),
done AS (
    UPDATE attempts a SET outcome = $2, outcome_fence = $3, ended_at = $4::timestamptz, cause = $5, tech_cause = $6,
        ended_by = $7, agent_id = CASE WHEN $8::bigint = 0 THEN a.agent_id ELSE $8 END, ring_s = $9, answered_at = $10,
        connected_at = $11, wait_s = $12, talk_s = $13, amd = $14, counted = $15::boolean, live = $16
    FROM before b WHERE a.id = b.id),
kept AS (
    UPDATE callbacks c SET done_at = $4 FROM before b
    WHERE $2 = 'connected' AND b.outcome IS NULL AND b.lead_id <> 0 AND c.lead_id = b.lead_id AND c.done_at IS NULL
        AND c.due_at <= b.at),
counters AS (
    UPDATE leads l SET attempts = l.attempts + $15::integer - coalesce(b.counted::integer, 0) FROM before b
    WHERE l.id = b.lead_id AND b.lead_id <> 0 AND b.outcome IS NOT NULL)
UPDATE leads l SET claimed_by = NULL,
    attempts = l.attempts + $15::integer, failures = CASE WHEN $15 THEN 0
        WHEN $2 IN ('not_placed', 'agent_no_answer') THEN l.failures ELSE l.failures + 1 END,
    recycled = l.recycled + $19::integer, last_attempt_at = b.at, last_outcome = $2,
    status = CASE WHEN b.decided THEN l.status ELSE $2 END,
    last_agent_id = CASE WHEN $8 = 0 THEN l.last_agent_id ELSE $8 END,
    abandoned_at = CASE WHEN $2 = 'abandoned' THEN $4 ELSE l.abandoned_at END,
    callback_agent_id = CASE WHEN $2 = 'connected' AND l.callback_at <= b.at THEN 0 ELSE l.callback_agent_id END,
    callback_at = CASE WHEN $2 = 'connected' AND l.callback_at <= b.at THEN NULL ELSE l.callback_at END,
    turn = CASE WHEN l.turn = 0 THEN CASE WHEN $2 = 'connected' AND l.callback_at <= b.at THEN 3 ELSE 0 END
        WHEN $20::integer IS NOT NULL THEN $20 WHEN l.turn = 1 AND $15 THEN 3 ELSE l.turn END,
    eligible_at = CASE WHEN l.blocked_by IN ('dnc', 'erased') OR b.decided THEN l.eligible_at
        WHEN $17::timestamptz <= $4 THEN NULL ELSE $17 END,
    blocked_by = CASE WHEN l.blocked_by IN ('dnc', 'erased') OR b.decided THEN l.blocked_by
        WHEN $17::timestamptz <= $4 THEN '' ELSE $18 END
FROM before b WHERE l.id = b.lead_id AND b.lead_id <> 0 AND b.outcome IS NULL"""

_KNOWN = """
WITH done AS (
    UPDATE attempts SET outcome = $2, cause = $3 WHERE id = $1 AND outcome = 'unknown' AND $2 <> 'unknown'
    RETURNING lead_id)
UPDATE leads SET last_outcome = $2 FROM done WHERE leads.id = done.lead_id AND done.lead_id <> 0"""

RELEASED = (
    "UPDATE leads SET claimed_by = NULL,"
    + _HELD.format(until="$5::timestamptz", at="$4::timestamptz", reason="$6::text")
    + " WHERE id = $1 AND (claimed_by IS NULL OR (claimed_by = $2 AND claimed_fence <= $3))"
)

_REFUSED = """
INSERT INTO refusals (site, fence, n, at, lead_id, campaign_id, client_id, rule, clause, rule_set, until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING"""

_DISPOSED = (
    """
WITH done AS (
    UPDATE attempts SET disposition = $2, disposition_at = $3::timestamptz, disposition_by_default = $4::boolean,
        notes = CASE WHEN starts_with(e164, '~') THEN '' ELSE $5::text END, sale = $6, refused = $7::boolean, final = $8
    WHERE id = $1 AND (disposition IS NULL OR ((disposition_by_default OR NOT $4) AND disposition_at <= $3))
    RETURNING id, lead_id, campaign_id, client_id, notes),
called_back AS (
    INSERT INTO callbacks (attempt_id, lead_id, campaign_id, client_id, agent_id, due_at, created_at, created_by, notes)
    SELECT id, lead_id, campaign_id, client_id, $10, $9, $3, $13, notes FROM done WHERE $9::timestamptz IS NOT NULL
    ON CONFLICT (attempt_id) DO UPDATE SET due_at = EXCLUDED.due_at, agent_id = EXCLUDED.agent_id, done_at = NULL)
UPDATE leads SET status = $2, last_agent_id = CASE WHEN $13::bigint = 0 THEN last_agent_id ELSE $13 END,
    refused_at = CASE WHEN $7 THEN $3 ELSE refused_at END,
    callback_at = coalesce($9, callback_at),
    callback_agent_id = CASE WHEN $9 IS NULL THEN callback_agent_id ELSE $10::bigint END,
    recycled = recycled + $14::integer,
    turn = CASE WHEN $9 IS NOT NULL OR turn = 0 THEN 0 ELSE coalesce($15::smallint, turn) END,"""
    + _HELD.format(until="$11::timestamptz", at="$3", reason="$12::text")
    + " FROM done WHERE leads.id = done.lead_id AND done.lead_id <> 0"
)

_DNC = """
WITH person AS (
    SELECT e164 FROM leads WHERE id = $2 UNION ALL SELECT e164 FROM attempts WHERE id = $3 LIMIT 1),
listed AS (
    INSERT INTO dnc (client_id, e164, at, by, source) SELECT $1, e164, $4, $5, $6 FROM person ON CONFLICT DO NOTHING)
UPDATE leads SET blocked_by = 'dnc', eligible_at = NULL
WHERE e164 = (SELECT e164 FROM person) AND (blocked_by = '' OR eligible_at IS NOT NULL)
    AND (id = $2 OR list_id IN (SELECT unnest(list_ids) FROM campaigns WHERE client_id = $1))"""

AGENT = """
WITH open AS (
    SELECT CASE WHEN site = $3 THEN fence > $4 ELSE started_at > $2 END AS later
    FROM agent_states WHERE agent_id = $1 AND ended_at IS NULL FOR UPDATE),
closed AS (
    UPDATE agent_states SET ended_at = greatest($2::timestamptz, started_at)
    WHERE agent_id = $1 AND ended_at IS NULL AND NOT (SELECT later FROM open) RETURNING ended_at)
INSERT INTO agent_states (agent_id, started_at, site, fence, n, state, code, campaign_id, attempt_id, leg,
    campaign_ids, by)
SELECT $1, coalesce((SELECT ended_at FROM closed), $2), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
WHERE NOT EXISTS (SELECT FROM open WHERE later)"""
"""Fences of one site tell which of its lives is the later; of two sites that an agent has moved between, time does."""

_CAMPAIGN = """
UPDATE campaigns SET state = coalesce($2, state), mode = coalesce($3, mode), level = coalesce($4, level),
    speed = coalesce($5, speed), version = version + 1 WHERE id = $1"""

_LINE = """
UPDATE lines SET enabled = coalesce($2, enabled),
    resting_until = CASE WHEN $2 THEN $3 ELSE coalesce($3, resting_until) END,
    version = version + ($2 IS NOT NULL)::integer WHERE id = $1"""

_LINK = """
INSERT INTO sites (site, up, code, message, mode, changed_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (site) DO UPDATE SET up = EXCLUDED.up, code = EXCLUDED.code, message = EXCLUDED.message,
    mode = CASE WHEN EXCLUDED.mode = '' THEN sites.mode ELSE EXCLUDED.mode END, changed_at = EXCLUDED.changed_at
    WHERE sites.changed_at <= EXCLUDED.changed_at"""

_LINK_CHANGE = """
INSERT INTO link_changes (site, fence, n, at, up, code, message, mode) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING"""

PLACED = "UPDATE attempts SET placed_at = $2 WHERE id = $1 AND placed_at IS NULL"


class Batch:
    """Facts sorted into lanes: what commutes goes in bulk, what does not keeps its order within its lane."""

    def __init__(self) -> None:
        self.events: list[Row] = []
        self.placed: list[Row] = []
        self.people: list[tuple[str, Row]] = []
        self.agents: list[Row] = []
        self.settings: list[tuple[str, Row]] = []
        self.ledger: dict[tuple[int, str, datetime], list[float]] = {}
        self.booked: dict[int, list[Row]] = {BOOKED: [], TAKEN_BACK: []}
        self.pacing: list[Row] = []
        self.audit: list[Row] = []
        self.outbox: list[Row] = []
        self.crm: list[Row] = []
        self.ended: list[f.AttemptEnded] = []

    def add(self, numbered: NumberedFact) -> None:
        fact, site, fence = numbered.fact, numbered.site, numbered.fence
        row: Row
        key = (site, fence, numbered.n, fact.at)
        match fact:
            case f.CallEventFact():
                detail = to_json(fact.detail)
                self.events.append((*key, fact.attempt_id, fact.campaign_id, fact.agent_id, fact.kind, detail))
                if topic := TOPICS.get(fact.kind):
                    self.outbox.append((*key, topic, fact.attempt_id, {"at": fact.at, "agent_id": fact.agent_id}))
            case f.AttemptPlaced():
                self.placed.append((fact.attempt_id, fact.at))
            case f.AttemptEnded():
                self._ended(key, fact)
            case f.AttemptOutcomeKnown():
                self.people.append((_KNOWN, (fact.attempt_id, fact.outcome.value, fact.cause)))
            case f.LeadReleased():
                row = (fact.lead_id, site, fence, fact.at, fact.eligible_at, fact.blocked_by)
                self.people.append((RELEASED, row))
            case f.DispositionSet():
                self._disposed(key, fact)
            case f.RefusalFact():
                refusal = (*key, fact.lead_id, fact.campaign_id, fact.client_id, fact.rule, fact.clause, fact.rule_set)
                self.people.append((_REFUSED, (*refusal, fact.until)))
                self.people.append((RELEASED, (fact.lead_id, site, fence, fact.at, fact.until, fact.rule)))
            case f.DncAdded():
                row = (fact.client_id, fact.lead_id, fact.attempt_id, fact.at, fact.by, fact.source)
                self.people.append((_DNC, row))
            case f.AgentStateSet():
                row = (fact.agent_id, fact.at, site, fence, numbered.n, fact.state, fact.code, fact.campaign_id)
                self.agents.append((*row, fact.attempt_id, fact.leg, list(fact.campaign_ids), fact.by))
            case f.LedgerAdded():
                added = (fact.answered_live, fact.abandoned, fact.connected, fact.false_positives)
                if fact.attempt_id is not None:
                    step = BOOKED if fact.answered_live > 0 else TAKEN_BACK
                    self.booked[step].append((fact.attempt_id, fact.campaign_id, site, fact.hour, *added))
                else:
                    sums = self.ledger.setdefault((fact.campaign_id, site, fact.hour), [0, 0, 0, 0.0])
                    sums[:] = [a + b for a, b in zip(sums, added, strict=True)]
            case f.PacingDecided():
                self.pacing.append((*key, fact.campaign_id, fact.count, fact.limit, fact.figures))
            case f.AuditFact():
                self.audit.append((*key, fact.by, fact.what, fact.target, fact.detail))
            case _:
                self._setting(key, fact)

    def _ended(self, key: Row, fact: f.AttemptEnded) -> None:
        self.ended.append(fact)
        self.crm.append((fact.attempt_id, key[1], fact.at))
        row: Row = (fact.attempt_id, fact.outcome.value, key[1], fact.at, fact.cause, fact.tech_cause, fact.ended_by)
        row += (fact.agent_id, fact.ring_s, fact.answered_at, fact.connected_at, fact.wait_s, fact.talk_s, fact.amd)
        row += (fact.counted, fact.live, fact.lead_eligible_at, fact.lead_blocked_by, fact.lead_recycled)
        self.people.append((_ENDED, (*row, TURN_OF_RECYCLING.get(fact.lead_recycle_priority))))
        payload = {
            "at": fact.at,
            "outcome": fact.outcome.value,
            "agent_id": fact.agent_id,
            "ring_s": fact.ring_s,
            "wait_s": fact.wait_s,
            "talk_s": fact.talk_s,
        }
        self.outbox.append((*key, "call.ended", fact.attempt_id, payload))

    def _disposed(self, key: Row, fact: f.DispositionSet) -> None:
        row: Row = (
            fact.attempt_id,
            fact.code,
            fact.at,
            fact.by_default,
            fact.notes,
            fact.sale,
            fact.refused,
            fact.final,
        )
        row += (fact.callback_at, fact.callback_agent_id, fact.lead_eligible_at, fact.lead_blocked_by, fact.agent_id)
        row += (fact.lead_recycled, TURN_OF_RECYCLING.get(fact.lead_recycle_priority))
        self.people.append((_DISPOSED, row))
        payload = {
            "at": fact.at,
            "code": fact.code,
            "agent_id": fact.agent_id,
            "sale": fact.sale,
            "callback_at": fact.callback_at,
        }
        self.outbox.append((*key, "call.disposition", fact.attempt_id, payload))

    def _setting(self, key: Row, fact: f.AnyFact) -> None:
        match fact:
            case f.CampaignSet():
                row: Row = (fact.campaign_id, fact.state, fact.mode, fact.level, fact.speed)
                self.settings.append((_CAMPAIGN, row))
                named = {"state": fact.state, "mode": fact.mode, "level": fact.level, "speed": fact.speed}
                self._note(key, fact.by, "campaign.set", f"campaign:{fact.campaign_id}", named, fact.reason)
            case f.LineSet():
                self.settings.append((_LINE, (fact.line_id, fact.enabled, fact.resting_until)))
                if fact.enabled is not None:
                    named = {"enabled": fact.enabled}
                    self._note(key, fact.by, "line.set", f"line:{fact.line_id}", named, fact.reason)
            case f.MissedCall():
                self.settings.append((tapes.MISSED, tapes.missed(fact)))
            case f.RecordingStarted():
                self.settings.append((tapes.BEGUN, tapes.begun(fact)))
            case f.RecordingEnded():
                self.settings.append((tapes.OVER, tapes.over(fact)))
            case f.LinkChanged():
                row = (fact.up, fact.code, fact.message, fact.mode)
                self.settings.append((_LINK, (key[0], *row, fact.at)))
                self.settings.append((_LINK_CHANGE, (*key, *row)))

    def _note(self, key: Row, by: str, what: str, target: str, named: dict[str, Any], reason: str) -> None:
        detail = {name: value for name, value in named.items() if value is not None}
        self.audit.append((*key, by, what, target, detail | ({"reason": reason} if reason else {})))
