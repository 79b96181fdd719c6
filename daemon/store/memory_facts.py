"""Facts into the in-memory store: what applying.py says in SQL, said in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from daemon.calls import facts as f
from daemon.calls.facts import NumberedFact
from daemon.calls.records import Campaign, CampaignMode, CampaignState, Line
from daemon.store import memory_tapes
from daemon.store.memory_crm import queue
from daemon.store.memory_outbox import new_row, wanted_by
from daemon.store.memory_tables import AttemptRow, CallbackRow, IntervalRow, LeadRow, MemoryTables
from daemon.store.pseudonyms import MARK
from daemon.store.tables import (
    BOOKED,
    STICKY,
    TAKEN_BACK,
    TOPICS,
    TURN_CALLBACK,
    TURN_HOT,
    TURN_NORMAL,
    TURN_OF_RECYCLING,
)

_CONNECTED = "connected"
_NOT_DIALLED = ("not_placed", "agent_no_answer")
_UNKNOWN = "unknown"


class FactApplier:
    """Applies facts to `tables`, in order, each once. Never raises for a fact about a row that isn't there."""

    def __init__(self, tables: MemoryTables) -> None:
        self._t = tables
        self._handlers: dict[type, Callable[[NumberedFact, Any], None]] = {
            f.CallEventFact: self._event,
            f.AttemptPlaced: self._placed,
            f.AttemptEnded: self._ended,
            f.AttemptOutcomeKnown: self._known,
            f.LeadReleased: self._given_back,
            f.DispositionSet: self._disposed,
            f.RefusalFact: self._refused,
            f.DncAdded: self._dnc,
            f.AgentStateSet: self._agent,
        }
        """Those of every call, found by their type; the others are rare."""

    def apply(self, facts: Sequence[NumberedFact]) -> None:
        """Facts at or below their (site, fence)'s mark are passed over."""
        for numbered in facts:
            key = (numbered.site, numbered.fence)
            if numbered.n > self._t.marks[key]:
                self._t.marks[key] = numbered.n
                self._one(numbered)

    def _one(self, numbered: NumberedFact) -> None:
        fact = numbered.fact
        handler = self._handlers.get(type(fact))
        if handler is not None:
            handler(numbered, fact)
        else:
            self._other(numbered, fact)

    def _placed(self, numbered: NumberedFact, fact: f.AttemptPlaced) -> None:
        attempt = self._t.attempts.get(fact.attempt_id)
        if attempt is not None and attempt.placed_at is None:
            attempt.placed_at = fact.at

    def _given_back(self, numbered: NumberedFact, fact: f.LeadReleased) -> None:
        self._released(numbered, fact.lead_id, fact.eligible_at, fact.blocked_by)

    # -- calls and leads ---------------------------------------------------------------------------------------------

    def _event(self, numbered: NumberedFact, fact: f.CallEventFact) -> None:
        row = {
            "site": numbered.site,
            "fence": numbered.fence,
            "n": numbered.n,
            "at": fact.at,
            "kind": fact.kind,
            "agent_id": fact.agent_id,
            "campaign_id": fact.campaign_id,
            "detail": dict(fact.detail),
        }
        self._t.events[fact.attempt_id].append(row)
        if topic := TOPICS.get(fact.kind):
            self._tell(numbered, topic, fact.attempt_id, {"agent_id": fact.agent_id})

    def _ended(self, numbered: NumberedFact, fact: f.AttemptEnded) -> None:
        attempt = self._t.attempts.get(fact.attempt_id)
        if attempt is None:  # its intent was never committed here; nothing was dialled, the lead comes back
            self._t.voids.add(fact.attempt_id)
            self._released(numbered, fact.lead_id, fact.lead_eligible_at, fact.lead_blocked_by, anyone=True)
            return
        first = attempt.outcome is None
        if not first and (attempt.outcome != _UNKNOWN or fact.outcome == _UNKNOWN):
            return
        counted_before = bool(attempt.counted)
        self._complete(numbered, fact, attempt)
        lead = self._t.leads.get(attempt.lead_id)
        if first and attempt.lead_id and fact.outcome == _CONNECTED:
            for id in self._t.callbacks_of_lead.get(attempt.lead_id, ()):
                callback = self._t.callbacks[id]
                if callback.done_at is None and callback.due_at <= attempt.at:
                    callback.done_at = fact.at
        if lead is not None and not first:
            lead.attempts += int(fact.counted) - int(counted_before)
        elif lead is not None:
            self._after_attempt(fact, attempt, lead)
        payload = {
            "outcome": fact.outcome.value,
            "agent_id": fact.agent_id,
            "ring_s": fact.ring_s,
            "wait_s": fact.wait_s,
            "talk_s": fact.talk_s,
        }
        self._tell(numbered, "call.ended", attempt.id, payload)
        queue(self._t, attempt)

    def _complete(self, numbered: NumberedFact, fact: f.AttemptEnded, attempt: AttemptRow) -> None:
        self._t.open.pop(attempt.id, None)
        if (key := attempt.live_key) is not None and self._t.live.get(key) == attempt.id:
            del self._t.live[key]
        attempt.outcome, attempt.outcome_fence, attempt.ended_at = fact.outcome.value, numbered.fence, fact.at
        attempt.cause, attempt.tech_cause, attempt.ended_by = fact.cause, fact.tech_cause, fact.ended_by
        attempt.agent_id = fact.agent_id or attempt.agent_id
        attempt.ring_s, attempt.wait_s, attempt.talk_s = fact.ring_s, fact.wait_s, fact.talk_s
        attempt.answered_at, attempt.connected_at = fact.answered_at, fact.connected_at
        attempt.amd, attempt.counted, attempt.live = fact.amd, fact.counted, fact.live

    def _after_attempt(self, fact: f.AttemptEnded, attempt: AttemptRow, lead: LeadRow) -> None:
        decided = attempt.disposition is not None and not attempt.disposition_by_default
        kept = fact.outcome == _CONNECTED and lead.callback_at is not None and lead.callback_at <= attempt.at
        lead.claimed_by = None
        lead.attempts += int(fact.counted)
        if fact.counted or fact.outcome not in _NOT_DIALLED:
            lead.failures = 0 if fact.counted else lead.failures + 1
        lead.recycled += int(fact.lead_recycled)
        lead.last_attempt_at, lead.last_outcome = attempt.at, fact.outcome.value
        lead.status = lead.status if decided else fact.outcome.value
        lead.last_agent_id = fact.agent_id or lead.last_agent_id
        if fact.outcome == "abandoned":
            lead.abandoned_at = fact.at
        lead.turn = self._next_turn(fact, lead, kept)
        if kept:
            lead.callback_at, lead.callback_agent_id = None, 0
        if lead.blocked_by not in STICKY and not decided:
            lead.hold(fact.lead_eligible_at, fact.lead_blocked_by, fact.at)
        self._t.touch(lead)

    @staticmethod
    def _next_turn(fact: f.AttemptEnded, lead: LeadRow, kept: bool) -> int:
        if lead.turn == TURN_CALLBACK:
            return TURN_NORMAL if kept else TURN_CALLBACK
        if (turn := TURN_OF_RECYCLING.get(fact.lead_recycle_priority)) is not None:
            return turn
        return TURN_NORMAL if lead.turn == TURN_HOT and fact.counted else lead.turn

    def _known(self, numbered: NumberedFact, fact: f.AttemptOutcomeKnown) -> None:
        attempt = self._t.attempts.get(fact.attempt_id)
        if attempt is None or attempt.outcome != _UNKNOWN or fact.outcome == _UNKNOWN:
            return
        attempt.outcome, attempt.cause = fact.outcome.value, fact.cause
        if (lead := self._t.leads.get(attempt.lead_id)) is not None:
            lead.last_outcome = fact.outcome.value

    def _released(self, numbered: NumberedFact, lead_id: int, until: Any, reason: str, *, anyone: bool = False) -> None:
        lead = self._t.leads.get(lead_id)
        if lead is None:
            return
        ours = lead.claimed_by == numbered.site and (anyone or lead.claimed_fence <= numbered.fence)
        if lead.claimed_by is not None and not ours:
            return
        lead.claimed_by = None
        if lead.blocked_by not in STICKY:
            lead.hold(until, reason, numbered.fact.at)
        self._t.touch(lead)

    def _disposed(self, numbered: NumberedFact, fact: f.DispositionSet) -> None:
        attempt = self._t.attempts.get(fact.attempt_id)
        if attempt is None:
            return
        told = {
            "code": fact.code,
            "agent_id": fact.agent_id,
            "sale": fact.sale,
            "callback_at": fact.callback_at.isoformat().replace("+00:00", "Z") if fact.callback_at else None,
        }
        self._tell(numbered, "call.disposition", attempt.id, told)
        if attempt.disposition is not None and attempt.disposition_at is not None:
            replaceable = attempt.disposition_by_default or not fact.by_default
            if not replaceable or attempt.disposition_at > fact.at:
                return
        attempt.disposition, attempt.disposition_at = fact.code, fact.at
        attempt.disposition_by_default = fact.by_default
        attempt.notes = "" if attempt.e164.startswith(MARK) else fact.notes  # erased meanwhile: no new notes
        attempt.sale, attempt.refused, attempt.final = fact.sale, fact.refused, fact.final
        if fact.callback_at is not None:
            self._callback(fact, attempt)
        if (lead := self._t.leads.get(attempt.lead_id)) is not None:
            self._after_disposition(fact, lead)

    def _callback(self, fact: f.DispositionSet, attempt: AttemptRow) -> None:
        assert fact.callback_at is not None
        if (known := self._t.callbacks.get(attempt.id)) is not None:
            known.due_at, known.agent_id, known.done_at = fact.callback_at, fact.callback_agent_id, None
            return
        self._t.callbacks_of_lead[attempt.lead_id].append(attempt.id)
        self._t.callbacks[attempt.id] = CallbackRow(
            attempt_id=attempt.id,
            lead_id=attempt.lead_id,
            campaign_id=attempt.campaign_id,
            client_id=attempt.client_id,
            agent_id=fact.callback_agent_id,
            due_at=fact.callback_at,
            created_at=fact.at,
            created_by=fact.agent_id,
            notes=attempt.notes,
        )

    def _after_disposition(self, fact: f.DispositionSet, lead: LeadRow) -> None:
        lead.status = fact.code
        lead.last_agent_id = fact.agent_id or lead.last_agent_id
        if fact.refused:
            lead.refused_at = fact.at
        if fact.callback_at is not None:
            lead.callback_at, lead.callback_agent_id = fact.callback_at, fact.callback_agent_id
            lead.turn = TURN_CALLBACK
        elif lead.turn != TURN_CALLBACK:
            lead.turn = TURN_OF_RECYCLING.get(fact.lead_recycle_priority, lead.turn)
        lead.recycled += int(fact.lead_recycled)
        if lead.blocked_by not in STICKY:
            lead.hold(fact.lead_eligible_at, fact.lead_blocked_by, fact.at)
        self._t.touch(lead)

    def _refused(self, numbered: NumberedFact, fact: f.RefusalFact) -> None:
        row = {
            "site": numbered.site,
            "fence": numbered.fence,
            "n": numbered.n,
            "at": fact.at,
            "lead_id": fact.lead_id,
            "campaign_id": fact.campaign_id,
            "client_id": fact.client_id,
            "rule": fact.rule,
            "clause": fact.clause,
            "rule_set": fact.rule_set,
            "until": fact.until,
        }
        self._t.refusals.append(row)
        self._t.refusals_of_lead[fact.lead_id].append(row)
        self._released(numbered, fact.lead_id, fact.until, fact.rule)

    def _dnc(self, numbered: NumberedFact, fact: f.DncAdded) -> None:
        lead = self._t.leads.get(fact.lead_id)
        attempt = self._t.attempts.get(fact.attempt_id) if fact.attempt_id is not None else None
        e164 = lead.e164 if lead is not None else attempt.e164 if attempt is not None else None
        if e164 is None:
            return
        self._t.dnc.setdefault((fact.client_id, e164), {"at": fact.at, "by": fact.by, "source": fact.source})
        ids = dict.fromkeys(touched(self._t, fact.client_id, e164) + ([lead.id] if lead is not None else []))
        block_for_dnc(self._t, list(ids))

    # -- agents, settings, figures -----------------------------------------------------------------------------------

    def _agent(self, numbered: NumberedFact, fact: f.AgentStateSet) -> None:
        history = self._t.intervals[fact.agent_id]
        started_at = fact.at
        if history and history[-1].ended_at is None:
            last = history[-1]
            if last.fence > numbered.fence if last.site == numbered.site else last.started_at > fact.at:
                return
            started_at = last.ended_at = max(fact.at, last.started_at)
        history.append(
            IntervalRow(
                agent_id=fact.agent_id, site=numbered.site, fence=numbered.fence, n=numbered.n, state=fact.state,
                code=fact.code, campaign_id=fact.campaign_id, attempt_id=fact.attempt_id, leg=fact.leg,
                campaign_ids=fact.campaign_ids, by=fact.by, started_at=started_at,
            )
        )  # fmt: skip

    def _booked(self, numbered: NumberedFact, fact: f.LedgerAdded) -> None:
        row = self._t.attempts.get(fact.attempt_id) if fact.attempt_id is not None else None
        if row is not None:
            step = BOOKED if fact.answered_live > 0 else TAKEN_BACK
            if row.booked >= step:
                return  # another daemon told of it
            row.booked = step
        sums = self._t.ledger.setdefault((fact.campaign_id, fact.hour, numbered.site), [0, 0, 0, 0.0])
        added = (fact.answered_live, fact.abandoned, fact.connected, fact.false_positives)
        sums[:] = [a + b for a, b in zip(sums, added, strict=True)]

    def _other(self, numbered: NumberedFact, fact: f.AnyFact) -> None:
        match fact:
            case f.CampaignSet():
                self._campaign(numbered, fact)
            case f.LineSet():
                self._line(numbered, fact)
            case f.LedgerAdded():
                self._booked(numbered, fact)
            case f.PacingDecided():
                row = {"at": fact.at, "site": numbered.site, "campaign_id": fact.campaign_id, "count": fact.count}
                self._t.pacing.append(row | {"limit": fact.limit, "figures": dict(fact.figures)})
            case f.LinkChanged():
                self._link(numbered, fact)
            case f.MissedCall():
                memory_tapes.missed(self._t, fact)
            case f.RecordingStarted():
                memory_tapes.begun(self._t, fact)
            case f.RecordingEnded():
                memory_tapes.over(self._t, fact)
            case f.AuditFact():
                self._note(numbered, fact.by, fact.what, fact.target, dict(fact.detail))

    def _campaign(self, numbered: NumberedFact, fact: f.CampaignSet) -> None:
        named = {"state": fact.state, "mode": fact.mode, "level": fact.level, "speed": fact.speed}
        given = {name: value for name, value in named.items() if value is not None}
        campaign = self._t.config[Campaign].get(fact.campaign_id)
        if isinstance(campaign, Campaign):
            campaign.state = CampaignState(fact.state) if fact.state is not None else campaign.state
            campaign.mode = CampaignMode(fact.mode) if fact.mode is not None else campaign.mode
            campaign.level = fact.level if fact.level is not None else campaign.level
            campaign.speed = fact.speed if fact.speed is not None else campaign.speed
            campaign.version += 1
            self._t.tell(Campaign, campaign.id)
        reason = {"reason": fact.reason} if fact.reason else {}
        self._note(numbered, fact.by, "campaign.set", f"campaign:{fact.campaign_id}", given | reason)

    def _line(self, numbered: NumberedFact, fact: f.LineSet) -> None:
        line = self._t.config[Line].get(fact.line_id)
        if isinstance(line, Line):
            if fact.resting_until is not None or fact.enabled:
                self._t.resting[fact.line_id] = fact.resting_until
            if fact.enabled is not None:
                line.enabled = fact.enabled
                line.version += 1
            self._t.tell(Line, line.id)
        if fact.enabled is not None:
            reason = {"reason": fact.reason} if fact.reason else {}
            detail = {"enabled": fact.enabled} | reason
            self._note(numbered, fact.by, "line.set", f"line:{fact.line_id}", detail)

    def _link(self, numbered: NumberedFact, fact: f.LinkChanged) -> None:
        row = {"up": fact.up, "code": fact.code, "message": fact.message, "mode": fact.mode}
        self._t.link_changes.append({"site": numbered.site, "at": fact.at} | row)
        known = self._t.sites.get(numbered.site)
        if known is None or known["changed_at"] <= fact.at:
            mode = fact.mode or (known["mode"] if known else "")
            self._t.sites[numbered.site] = row | {"mode": mode, "changed_at": fact.at}

    def _note(self, numbered: NumberedFact, by: str, what: str, target: str, detail: dict[str, Any]) -> None:
        row = {"site": numbered.site, "at": numbered.fact.at, "by": by, "what": what, "target": target}
        self._t.audit.append(row | {"id": len(self._t.audit) + 1, "detail": detail})

    def _tell(self, numbered: NumberedFact, topic: str, attempt_id: Any, payload: dict[str, Any]) -> None:
        attempt = self._t.attempts.get(attempt_id)
        if attempt is None:
            return
        for webhook_id in wanted_by(self._t, attempt.group_id, topic):
            body = {
                "at": numbered.fact.at.isoformat().replace("+00:00", "Z"),
                **payload,
                "call_id": attempt.number,
                "attempt_id": str(attempt.id),
                "kind": attempt.kind,
                "campaign_id": attempt.campaign_id,
                "lead_id": attempt.lead_id,
                "line_id": attempt.line_id,
            }
            key = (webhook_id, numbered.site, numbered.fence, numbered.n)
            self._t.outbox.setdefault(key, new_row(numbered.fact.at, topic, attempt.id, body))


def touched(tables: MemoryTables, client_id: int, e164: str) -> list[int]:
    """Leads of this number in lists that a campaign of the client works; by id."""
    lists = {
        list_id
        for campaign in tables.config[Campaign].values()
        if isinstance(campaign, Campaign) and campaign.client_id == client_id
        for list_id in campaign.list_ids
    }
    return sorted(id for id in tables.leads_of_number.get(e164, ()) if tables.leads[id].list_id in lists)


def block_for_dnc(tables: MemoryTables, lead_ids: Sequence[int]) -> None:
    """Red-listed, unless another reason holds them for good already."""
    for lead_id in lead_ids:
        lead = tables.leads[lead_id]
        if not lead.blocked_for_good:
            lead.blocked_by, lead.eligible_at = "dnc", None
            tables.touch(lead)
