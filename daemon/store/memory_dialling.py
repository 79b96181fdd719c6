"""Lease, recovery and the dialler's path in memory: what dialling.py says in SQL, said in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from daemon.calls.facts import NumberedFact
from daemon.calls.lead_records import AgentStateRow, Intent, Lead, Lease, OpenAttempt
from daemon.calls.records import Campaign, LeadList
from daemon.clock import Clock
from daemon.store import memory_people as people
from daemon.store.memory_facts import FactApplier
from daemon.store.memory_tables import AttemptRow, IntervalRow, MemoryTables
from daemon.store.tables import ATTEMPT_HISTORY_DAYS, PROMOTED_MAX

LEASE_LEFT_MIN_S = 1.0


class MemoryDialling:
    """Part of MemoryStore. The lease lives by `clock.now()`."""

    tables: MemoryTables
    _do: Callable[..., Any]
    _clock: Clock
    _facts: FactApplier
    _doubtful: dict[tuple[str, int], list[int]]
    """Claimed by (site, fence), and not known to have been heard."""

    # -- lease and recovery --------------------------------------------------------------------------------------------

    async def acquire_lease(self, site: str, holder: str, ttl_s: float, above: int = 0) -> Lease | None:
        def work() -> Lease | None:
            now = self._clock.now()
            held_by, fence, until = self.tables.leases.get(site, (holder, 0, now))
            if until > now and held_by != holder:
                return None
            fence = max(fence, above) + 1
            silent_s = max(0.0, now - until + ttl_s) if site in self.tables.leases else 0.0
            self.tables.leases[site] = (holder, fence, now + ttl_s)
            return Lease(site=site, holder=holder, fence=fence, ttl_s=ttl_s, silent_s=silent_s)

        lease: Lease | None = await self._do("acquire_lease", work)
        return lease

    def _holds(self, lease: Lease) -> bool:
        held_by, fence, _ = self.tables.leases.get(lease.site, ("", 0, 0.0))
        return (held_by, fence) == (lease.holder, lease.fence)

    async def renew_lease(self, lease: Lease) -> bool:
        def work() -> bool:
            if not self._holds(lease):
                return False
            self.tables.leases[lease.site] = (lease.holder, lease.fence, self._clock.now() + lease.ttl_s)
            return True

        return bool(await self._do("renew_lease", work))

    async def release_lease(self, lease: Lease) -> None:
        def work() -> None:
            if self._holds(lease):
                self.tables.leases[lease.site] = (lease.holder, lease.fence, self._clock.now())

        await self._do("release_lease", work)

    async def last_n(self, site: str, fence: int) -> int:
        return int(await self._do("last_n", lambda: self.tables.marks.get((site, fence), 0)))

    async def open_attempts(self, site: str) -> list[OpenAttempt]:
        def work() -> list[OpenAttempt]:
            mine = sorted((row for row in self.tables.open.values() if row.site == site), key=lambda row: row.number)
            return [_open_attempt(row, self.tables.events.get(row.id, ())) for row in mine]

        rows: list[OpenAttempt] = await self._do("open_attempts", work)
        return rows

    async def agent_states(self, site: str) -> list[AgentStateRow]:
        def work() -> list[AgentStateRow]:
            last = [history[-1] for _, history in sorted(self.tables.intervals.items()) if history]
            return [
                AgentStateRow(
                    agent_id=row.agent_id,
                    state=row.state,
                    code=row.code,
                    since=row.started_at,
                    attempt_id=row.attempt_id,
                    leg=row.leg,
                    campaign_ids=row.campaign_ids,
                    undisposed=self._undisposed(row),
                )
                for row in last
                if row.ended_at is None and row.site == site
            ]

        rows: list[AgentStateRow] = await self._do("agent_states", work)
        return rows

    def _undisposed(self, interval: IntervalRow) -> OpenAttempt | None:
        """The attempt that an agent in wrap-up has not yet disposed of."""
        if interval.state != "wrap_up" or interval.attempt_id is None:
            return None
        row = self.tables.attempts.get(interval.attempt_id)
        return None if row is None or row.disposition is not None else _open_attempt(row)

    async def release_claims(self, site: str) -> int:
        def work() -> int:
            busy = {row.lead_id for row in self.tables.open.values()}
            count = 0
            for lead in self.tables.leads.values():
                if lead.claimed_by == site and lead.id not in busy:
                    lead.claimed_by = None
                    self.tables.touch(lead)
                    count += 1
            return count

        return int(await self._do("release_claims", work))

    async def lost_sites(self, silent_s: float) -> list[str]:
        def work() -> list[str]:
            holding = {lead.claimed_by for lead in self.tables.leads.values()}
            holding |= {row.site for row in self.tables.open.values()}
            until = self._clock.now() - silent_s
            return sorted(site for site, lease in self.tables.leases.items() if site in holding and lease[2] < until)

        sites: list[str] = await self._do("lost_sites", work)
        return sites

    # -- the dialler's path --------------------------------------------------------------------------------------------

    async def claim_leads(
        self, campaign_id: int, count: int, now: datetime, open_tz_groups: Sequence[str], site: str, fence: int
    ) -> list[Lead]:
        def work() -> list[Lead]:
            campaign = self.tables.config[Campaign].get(campaign_id)
            if not isinstance(campaign, Campaign) or count <= 0 or not open_tz_groups:
                return []
            self._unclaim(self._doubtful.pop((site, fence), []), site, fence)
            lists = [each for each in self._lists(campaign) if each.active]
            for each in lists:
                self.tables.promote(each.id, now, max(PROMOTED_MAX, 4 * count))
            taken = self.tables.take(lists, dict.fromkeys(open_tz_groups), campaign.order, count)
            for lead in taken:
                lead.claimed_by, lead.claimed_fence, lead.claimed_campaign_id = site, fence, campaign_id
            self._doubtful[site, fence] = [lead.id for lead in taken]
            since = self._history_since()
            return [people.lead_of(self.tables, lead, campaign_id, campaign.client_id, since) for lead in taken]

        # Should the answer be lost, nobody would ever call these: the next claim gives them back.
        leads: list[Lead] = await self._do("claim_leads", work)
        self._doubtful.pop((site, fence), None)
        return leads

    def _unclaim(self, lead_ids: Sequence[int], site: str, fence: int) -> None:
        busy = {row.lead_id for row in self.tables.open.values()}
        for lead_id in lead_ids:
            lead = self.tables.leads[lead_id]
            if (lead.claimed_by, lead.claimed_fence) == (site, fence) and lead_id not in busy:
                lead.claimed_by = None
                self.tables.touch(lead)

    def _history_since(self) -> datetime:
        return self._clock.utcnow() - timedelta(days=ATTEMPT_HISTORY_DAYS)

    def _lists(self, campaign: Campaign) -> list[LeadList]:
        rows = [self.tables.config[LeadList].get(list_id) for list_id in dict.fromkeys(campaign.list_ids)]
        return [row for row in rows if isinstance(row, LeadList)]

    async def lead_facts(self, lead_id: int) -> Lead | None:
        def work() -> Lead | None:
            row = self.tables.leads.get(lead_id)
            if row is None:
                return None
            campaign = people.campaign_of(self.tables, row)
            campaign_id, client_id = (campaign.id, campaign.client_id) if campaign is not None else (0, 0)
            return people.lead_of(self.tables, row, campaign_id, client_id, self._history_since())

        lead: Lead | None = await self._do("lead_facts", work)
        return lead

    async def callable_counts(self, campaign_id: int, now: datetime) -> dict[str, int]:
        def work() -> dict[str, int]:
            counts, leads = {"due": 0}, self.tables.leads
            campaign = self.tables.config[Campaign].get(campaign_id)
            for each in self._lists(campaign) if isinstance(campaign, Campaign) else ():
                for lead_id in self.tables.leads_of_list[each.id]:
                    lead = leads[lead_id]
                    fresh = each.active and lead.claimed_by is None and not lead.blocked_by
                    reason = "due" if fresh and lead.eligible_at is None else people.held_by(lead, each.active, now)
                    counts[reason] = counts.get(reason, 0) + 1
            return counts

        counts: dict[str, int] = await self._do("callable_counts", work)
        return counts

    async def tz_groups(self, campaign_id: int) -> list[str]:
        def work() -> list[str]:
            campaign = self.tables.config[Campaign].get(campaign_id)
            lists = self._lists(campaign) if isinstance(campaign, Campaign) else []
            return self.tables.tally.groups(each.id for each in lists)

        groups: list[str] = await self._do("tz_groups", work)
        return groups

    async def commit_intents(self, intents: Sequence[Intent], lease: Lease) -> dict[UUID, int]:
        def work() -> dict[UUID, int]:
            _, fence, until = self.tables.leases.get(lease.site, ("", 0, 0.0))
            if fence != lease.fence or until < self._clock.now() + LEASE_LEFT_MIN_S:
                return {}
            # One statement in SQL: the legal count sees the rows of before, the rule of one live attempt sees all.
            allowed = [intent for intent in intents if self._within_law(intent) and not self._overlooks(intent)]
            return {
                intent.attempt_id: number for intent in allowed if (number := self._insert(intent, lease)) is not None
            }

        numbers: dict[UUID, int] = await self._do("commit_intents", work)
        return numbers

    def _within_law(self, intent: Intent) -> bool:
        if intent.attempts_max == 0 or intent.attempts_days == 0:
            return True
        since = intent.at - timedelta(days=intent.attempts_days)
        ids = self.tables.attempts_of_person.get((intent.client_id, intent.e164), ())
        rows = (self.tables.attempts[id] for id in ids)
        counted = sum(1 for row in rows if row.at > since and row.counted is not False and row.kind != "inbound")
        return counted < intent.attempts_max

    def _overlooks(self, intent: Intent) -> bool:
        """Whether the person was called, refused or was red-listed since what is known of them was read."""
        known, person = intent.known_at, (intent.client_id, intent.e164)
        if known is None:
            return False
        since = max(known, intent.at - timedelta(days=ATTEMPT_HISTORY_DAYS))
        return person in self.tables.dnc or any(
            (row.refused and row.disposition_at is not None and row.disposition_at > known)
            or (row.kind != "inbound" and row.counted is not False and row.at > since)
            for row in map(self.tables.attempts.__getitem__, self.tables.attempts_of_person.get(person, ()))
        )

    def _insert(self, intent: Intent, lease: Lease) -> int | None:
        t = self.tables
        row = AttemptRow(
            id=intent.attempt_id,
            number=len(t.attempts) + 1,
            site=lease.site,
            fence=lease.fence,
            kind=intent.kind,
            group_id=intent.group_id,
            campaign_id=intent.campaign_id,
            client_id=intent.client_id,
            lead_id=intent.lead_id,
            line_id=intent.line_id,
            agent_id=intent.agent_id,
            e164=intent.e164,
            caller_id=intent.caller_id,
            rule_set=intent.rule_set,
            at=intent.at,
        )
        key = row.live_key
        if row.id in t.attempts or row.id in t.voids or (key is not None and key in t.live):
            return None
        if key is not None:
            t.live[key] = row.id
        t.attempts[row.id] = t.open[row.id] = row
        t.attempt_of_number[row.number] = row.id
        t.attempts_of_person[row.person].append(row.id)
        if row.lead_id:
            t.attempts_of_lead[row.lead_id].append(row.id)
        return row.number

    async def apply_facts(self, facts: Sequence[NumberedFact]) -> None:
        await self._do("apply_facts", lambda: self._facts.apply(facts))


def _open_attempt(row: AttemptRow, events: Iterable[Mapping[str, Any]] = ()) -> OpenAttempt:
    first: dict[str, datetime] = {}
    for event in events:
        first[event["kind"]] = min(first.get(event["kind"], event["at"]), event["at"])
    return OpenAttempt(
        attempt_id=row.id,
        site=row.site,
        kind=row.kind,
        group_id=row.group_id,
        campaign_id=row.campaign_id,
        client_id=row.client_id,
        lead_id=row.lead_id,
        e164=row.e164,
        line_id=row.line_id,
        caller_id=row.caller_id,
        agent_id=row.agent_id,
        at=row.at,
        number=row.number,
        answered_at=first.get("answered"),
        connected_at=first.get("connected"),
        abandoned_at=first.get("abandoned"),
    )
