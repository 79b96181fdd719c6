"""The rows of the in-memory store, and the queues that make its claims cheap.

Same columns, same meaning as migrations/0001_core.sql; `MemoryTables.touch` keeps a lead's place in the queues, as the
partial indexes do there.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import LeadList, LeadOrder, Record
from daemon.store.memory_tally import Tally
from daemon.store.tables import FOLLOWED, TABLES, TURNS, order_key

Person = tuple[int, str]
"""(client_id, e164)."""


class LeadRow(LeadDraft, kw_only=True):
    """A row of `leads`. Ready: not claimed, no reason, no instant to wait for."""

    id: int
    list_id: int
    group_id: int
    created_at: datetime
    turn: int
    eligible_at: datetime | None = None
    blocked_by: str = ""
    claimed_by: str | None = None
    claimed_fence: int = 0
    claimed_campaign_id: int = 0
    callback_at: datetime | None = None
    callback_agent_id: int = 0
    attempts: int = 0
    failures: int = 0
    recycled: int = 0
    last_attempt_at: datetime | None = None
    last_outcome: str = ""
    last_agent_id: int = 0
    abandoned_at: datetime | None = None
    refused_at: datetime | None = None

    @property
    def ready(self) -> bool:
        """Claimable now, hours and zones apart."""
        return self.claimed_by is None and not self.blocked_by and self.eligible_at is None

    @property
    def blocked_for_good(self) -> bool:
        """Held by a reason that no instant lifts."""
        return bool(self.blocked_by) and self.eligible_at is None

    def hold(self, until: datetime | None, reason: str, at: datetime) -> None:
        """The state a fact of `at` gives it; a past instant holds nothing."""
        if until is not None and until <= at:
            until, reason = None, ""
        self.eligible_at, self.blocked_by = until, reason


class AttemptRow(msgspec.Struct, kw_only=True):
    """A row of `attempts`."""

    id: UUID
    number: int
    site: str
    fence: int
    kind: str
    group_id: int
    campaign_id: int
    client_id: int
    lead_id: int
    line_id: int
    agent_id: int
    e164: str
    caller_id: str
    rule_set: str
    at: datetime
    placed_at: datetime | None = None
    answered_at: datetime | None = None
    connected_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    outcome_fence: int | None = None
    cause: int = 0
    tech_cause: int | None = None
    ended_by: str = ""
    ring_s: float | None = None
    wait_s: float | None = None
    talk_s: float = 0.0
    amd: str = ""
    counted: bool | None = None
    live: bool = False
    disposition: str | None = None
    disposition_at: datetime | None = None
    disposition_by_default: bool = False
    notes: str = ""
    sale: bool = False
    refused: bool = False
    final: bool = False
    booked: int = 0

    @property
    def person(self) -> Person:
        """Whom it is for, as the law counts."""
        return (self.client_id, self.e164)

    @property
    def live_key(self) -> tuple[int, str, int] | None:
        """What at most one open attempt may have; None for an inbound call."""
        return None if self.kind == "inbound" else (self.client_id, self.e164, self.group_id)


class IntervalRow(msgspec.Struct, kw_only=True):
    """A row of `agent_states`."""

    agent_id: int
    site: str
    fence: int
    n: int
    state: str
    code: str
    campaign_id: int
    attempt_id: UUID | None
    leg: str
    campaign_ids: tuple[int, ...]
    by: str
    started_at: datetime
    ended_at: datetime | None = None


class ConsentRow(msgspec.Struct, kw_only=True):
    """A row of `consents`; a revocation alone has no `at`."""

    at: datetime | None = None
    until: datetime | None = None
    revoked_at: datetime | None = None
    source: str = ""
    text_version: str = ""
    proof: str = ""
    ip: str = ""
    out_of_hours: bool = False
    automated: bool = False


class CallbackRow(msgspec.Struct, kw_only=True):
    """A row of `callbacks`."""

    attempt_id: UUID
    lead_id: int
    campaign_id: int
    client_id: int
    agent_id: int
    due_at: datetime
    created_at: datetime
    created_by: int = 0
    done_at: datetime | None = None
    notes: str = ""


class MemoryTables:
    """All rows. One instance may be shared by several MemoryStores, as a database is by several daemons."""

    def __init__(self) -> None:
        self.config: dict[type[Record], dict[int, Record]] = {kind: {} for kind in TABLES}
        self.last_id: dict[type[Record], int] = dict.fromkeys(TABLES, 0)
        self.told: dict[tuple[type[Record], int], int] = {}
        self.told_n = 0
        self.resting: dict[int, datetime | None] = {}
        self.leases: dict[str, tuple[str, int, float]] = {}
        self.marks: dict[tuple[str, int], int] = defaultdict(int)
        self.leads: dict[int, LeadRow] = {}
        self.tally = Tally(self.leads)
        self.leads_of_list: dict[int, list[int]] = defaultdict(list)
        self.leads_of_number: dict[str, list[int]] = defaultdict(list)
        self.attempts: dict[UUID, AttemptRow] = {}
        self.attempt_of_number: dict[int, UUID] = {}
        self.attempts_of_person: dict[Person, list[UUID]] = defaultdict(list)
        self.attempts_of_lead: dict[int, list[UUID]] = defaultdict(list)
        self.open: dict[UUID, AttemptRow] = {}
        self.live: dict[tuple[int, str, int], UUID] = {}
        self.voids: set[UUID] = set()
        self.events: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
        self.intervals: dict[int, list[IntervalRow]] = defaultdict(list)
        self.callbacks: dict[UUID, CallbackRow] = {}
        self.callbacks_of_lead: dict[int, list[UUID]] = defaultdict(list)
        self.dnc: dict[Person, dict[str, Any]] = {}
        self.consents: dict[Person, list[ConsentRow]] = defaultdict(list)
        self.erased: dict[tuple[int, str], datetime] = {}
        self.list_reviews: dict[int, int] = {}
        self.missed: dict[UUID, dict[str, Any]] = {}
        self.recordings: dict[int, dict[str, Any]] = {}
        self.refusals: list[dict[str, Any]] = []
        self.refusals_of_lead: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.ledger: dict[tuple[int, datetime, str], list[float]] = {}
        self.pacing: list[dict[str, Any]] = []
        self.sites: dict[str, dict[str, Any]] = {}
        self.link_changes: list[dict[str, Any]] = []
        self.drafts: dict[int, dict[str, Any]] = {}
        self.audit: list[dict[str, Any]] = []
        self.api_call_logs: list[dict[str, Any]] = []
        self.crm_journal: dict[tuple[int, UUID, int], dict[str, Any]] = {}
        self.outbox: dict[tuple[int, str, int, int], dict[str, Any]] = {}
        self._ready: dict[tuple[int, str, int, LeadOrder], list[tuple[tuple[int, int], int]]] = {}
        self._orders: dict[int, set[LeadOrder]] = defaultdict(set)
        self._waiting: dict[tuple[int, int], list[tuple[datetime, int]]] = defaultdict(list)

    # -- queues --------------------------------------------------------------------------------------------------------

    def tell(self, kind: type[Record], id: int) -> None:
        """A row of configuration was created, changed or deleted."""
        if kind in FOLLOWED:
            self.told_n += 1
            self.told[kind, id] = self.told_n

    def touch(self, lead: LeadRow) -> None:
        """Put the lead where its state belongs; to be called after whatever changes that. Old entries stay and are
        passed over when they come up."""
        self.tally.moved(lead)
        if lead.ready:
            for order in LeadOrder:
                if order in self._orders[lead.list_id]:
                    self._push_ready(lead, order)
        elif lead.claimed_by is None and lead.eligible_at is not None:
            heapq.heappush(self._waiting[lead.list_id, lead.turn], (lead.eligible_at, lead.id))

    def _push_ready(self, lead: LeadRow, order: LeadOrder) -> None:
        heap = self._ready.setdefault((lead.list_id, lead.tz_group, lead.turn, order), [])
        heapq.heappush(heap, (order_key(order, 0, lead.id, lead.priority, lead.attempts), lead.id))

    def promote(self, list_id: int, now: datetime, limit: int) -> None:
        """Make ready what has waited long enough: the longest first, `limit` a turn at most."""
        for turn in TURNS:
            waiting = self._waiting[list_id, turn]
            done = 0
            while waiting and waiting[0][0] <= now and done < limit:
                eligible_at, lead_id = heapq.heappop(waiting)
                lead = self.leads[lead_id]
                current = lead.claimed_by is None and lead.eligible_at == eligible_at
                if current and (lead.list_id, lead.turn) == (list_id, turn):
                    lead.eligible_at, lead.blocked_by = None, ""
                    self.touch(lead)
                    done += 1

    def take(self, lists: Iterable[LeadList], zones: Iterable[str], order: LeadOrder, count: int) -> list[LeadRow]:
        """The first `count` ready leads of these lists and zones, by turn and order; they leave the queues."""
        zones, taken = list(zones), list[LeadRow]()
        lists = list(lists)
        for each in lists:
            if order not in self._orders[each.id]:
                self._orders[each.id].add(order)
                for lead_id in self.leads_of_list[each.id]:
                    if self.leads[lead_id].ready:
                        self._push_ready(self.leads[lead_id], order)
        for turn in TURNS:
            heads: list[tuple[tuple[int, int], int, int, str]] = []
            for each in lists:
                for zone in zones:
                    self._offer(heads, each, zone, turn, order)
            while heads and len(taken) < count:
                _, lead_id, place, zone = heapq.heappop(heads)
                each = next(candidate for candidate in lists if candidate.id == place)
                heapq.heappop(self._ready[place, zone, turn, order])
                taken.append(self.leads[lead_id])
                taken[-1].claimed_by = ""  # so that a second entry of it is passed over; the claim names the site
                self.tally.moved(taken[-1])
                self._offer(heads, each, zone, turn, order)
        return taken

    def _offer(
        self, heads: list[tuple[tuple[int, int], int, int, str]], each: LeadList, zone: str, turn: int, order: LeadOrder
    ) -> None:
        heap = self._ready.get((each.id, zone, turn, order))
        while heap:
            key, lead_id = heap[0]
            lead = self.leads[lead_id]
            here = (lead.list_id, lead.tz_group, lead.turn) == (each.id, zone, turn)
            if lead.ready and here and key == order_key(order, 0, lead_id, lead.priority, lead.attempts):
                rank = order_key(order, each.rank, lead_id, lead.priority, lead.attempts)
                heapq.heappush(heads, (rank, lead_id, each.id, zone))
                return
            heapq.heappop(heap)
