"""The store in memory: the same contract as PostgreSQL's, for tests and simulated time.

Each operation happens at one instant, between `faults.before(op)` and `faults.after(op)`: what `before` raises means
nothing was done, what `after` raises means it was done and the answer was lost. Those are the crash points before and
after each commit. Several stores may share one `MemoryTables`, as daemons share a database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from daemon.calls.crm_records import Integration
from daemon.calls.facts import NumberedFact
from daemon.calls.records import (
    AgentStateRow,
    Campaign,
    Intent,
    Lead,
    LeadDraft,
    LeadList,
    Lease,
    OpenAttempt,
    Record,
    Webhook,
)
from daemon.clock import Clock
from daemon.errors import StoreConflict, StoreUnavailable
from daemon.ports import ConsentRules, ImportTarget, Page, Pseudonyms
from daemon.store import memory_figures, memory_privacy, memory_reports, memory_retention
from daemon.store import memory_people as people
from daemon.store.entry import reviewed
from daemon.store.memory_crm import MemoryCrm
from daemon.store.memory_drafts import MemoryDrafts
from daemon.store.memory_facts import FactApplier
from daemon.store.memory_outbox import MemoryOutbox
from daemon.store.memory_staging import MemoryStaging
from daemon.store.memory_tables import AttemptRow, IntervalRow, MemoryTables
from daemon.store.memory_tapes import MemoryTapes
from daemon.store.numbers import MemoryNumbers
from daemon.store.tables import (
    CALL_LOG_COLUMNS,
    PARENTS,
    PROMOTED_MAX,
    TABLES,
    UNIQUE,
    R,
    check_changes,
    columns_of,
    plain,
)

LEASE_LEFT_MIN_S = 1.0


class Faults(Protocol):
    """Where a test makes the store slow, absent or amnesiac. `op` is the method's name."""

    async def before(self, op: str) -> None: ...
    async def after(self, op: str) -> None: ...


class NoFaults:
    """Nothing goes wrong."""

    async def before(self, op: str) -> None:
        return

    async def after(self, op: str) -> None:
        return


class MemoryStore(MemoryOutbox, MemoryCrm, MemoryTapes, MemoryDrafts, MemoryNumbers):
    """Implements daemon.ports.Store, LeadSink, WebhookStore and CrmStore. The lease lives by `clock.now()`."""

    def __init__(self, clock: Clock, *, tables: MemoryTables | None = None, faults: Faults | None = None) -> None:
        self.tables = tables if tables is not None else MemoryTables()
        self.faults: Faults = faults if faults is not None else NoFaults()
        self._clock = clock
        self._facts = FactApplier(self.tables)
        self._open = False
        self._pseudonyms: Pseudonyms | None = None
        self._consent_rules = ConsentRules()
        self._doubtful: dict[tuple[str, int], list[int]] = {}

    async def _do(self, op: str, work: Callable[[], Any]) -> Any:
        if not self._open:
            raise StoreUnavailable("the store is not open")
        await self.faults.before(op)
        result = work()
        await self.faults.after(op)
        return result

    async def open(self) -> None:
        await self.faults.before("open")
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def ping(self) -> None:
        await self._do("ping", lambda: None)

    # -- lease and recovery ------------------------------------------------------------------------------------------

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

    # -- the dialler's path ------------------------------------------------------------------------------------------

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
        return self._clock.utcnow() - timedelta(days=people.ATTEMPT_HISTORY_DAYS)

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
            return sorted(
                {self.tables.leads[id].tz_group for each in lists for id in self.tables.leads_of_list[each.id]}
            )

        groups: list[str] = await self._do("tz_groups", work)
        return groups

    async def commit_intents(self, intents: Sequence[Intent], lease: Lease) -> dict[UUID, int]:
        def work() -> dict[UUID, int]:
            _, fence, until = self.tables.leases.get(lease.site, ("", 0, 0.0))
            if fence != lease.fence or until < self._clock.now() + LEASE_LEFT_MIN_S:
                return {}
            # One statement in SQL: the legal count sees the rows of before, the rule of one live attempt sees all.
            allowed = [intent for intent in intents if self._within_law(intent)]
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

    # -- configuration -----------------------------------------------------------------------------------------------

    def _check(self, record: Record, id: int) -> None:
        kind = type(record)
        for field, parent in PARENTS.get(kind, ()):
            if getattr(record, field) not in self.tables.config[parent]:
                raise StoreConflict(f"no {parent.__name__} {getattr(record, field)}", field)
        for fields in UNIQUE[kind]:
            value = tuple(getattr(record, field) for field in fields)
            if value == ("",):
                continue
            for other in self.tables.config[kind].values():
                if other.id != id and tuple(getattr(other, field) for field in fields) == value:
                    raise StoreConflict(f"{kind.__name__} {value} exists", fields[-1])

    async def create(self, record: R) -> R:
        kind = type(record)

        def work() -> R:
            row = check_changes(kind, record, {})
            self._check(row, 0)
            self.tables.last_id[kind] += 1
            row.id, row.version = self.tables.last_id[kind], 1
            self.tables.config[kind][row.id] = row
            if isinstance(row, Campaign):
                self.tables.list_reviews |= dict.fromkeys(reviewed(None, row), 0)
            return check_changes(kind, row, {})

        created: R = await self._do("create", work)
        return created

    async def get(self, kind: type[R], id: int) -> R | None:
        def work() -> R | None:
            row = self.tables.config[kind].get(id)
            return None if row is None else check_changes(kind, row, {})

        row: R | None = await self._do("get", work)
        return row

    async def find(self, kind: type[R], **equals: Any) -> list[R]:
        known = {"id", "version", *columns_of(kind)}
        if unknown := sorted(set(equals) - known):
            raise StoreConflict(f"{kind.__name__} has no {unknown[0]}", unknown[0])
        wanted = {name: plain(value) for name, value in equals.items()}

        def work() -> list[R]:
            rows = sorted(self.tables.config[kind].items())
            return [
                check_changes(kind, row, {})
                for _, row in rows
                if all(plain(getattr(row, name)) == value for name, value in wanted.items())
            ]

        found: list[R] = await self._do("find", work)
        return found

    def _current(self, kind: type[R], id: int, if_version: int | None) -> R:
        row = self.tables.config[kind].get(id)
        if row is None:
            raise StoreConflict(f"no {kind.__name__} {id}", "id")
        if if_version is not None and row.version != if_version:
            raise StoreConflict(f"{kind.__name__} {id} is at version {row.version}, not {if_version}", "version")
        return row  # type: ignore[return-value]

    async def update(self, kind: type[R], id: int, changes: Mapping[str, Any], if_version: int | None) -> R:
        def work() -> R:
            current = self._current(kind, id, if_version)
            try:
                row = check_changes(kind, current, changes)
            except msgspec.ValidationError as error:
                raise StoreConflict(str(error)) from error
            self._check(row, id)
            row.id, row.version = id, current.version + 1
            self.tables.config[kind][id] = row
            if isinstance(current, Campaign) and isinstance(row, Campaign):
                self.tables.list_reviews |= dict.fromkeys(reviewed(current, row), 0)
            return check_changes(kind, row, {})

        row: R = await self._do("update", work)
        return row

    async def delete(self, kind: type[R], id: int, if_version: int | None) -> None:
        def work() -> None:
            self._current(kind, id, if_version)
            if kind is LeadList and self.tables.leads_of_list.get(id):
                raise StoreConflict(f"list {id} has leads", "leads")
            for child, parents in PARENTS.items():
                for field, parent in parents:
                    used = any(getattr(row, field) == id for row in self.tables.config[child].values())
                    if parent is kind and used:
                        raise StoreConflict(f"{kind.__name__} {id} is used by {TABLES[child]}", field)
            del self.tables.config[kind][id]
            if kind is Webhook:
                for key in [key for key in self.tables.outbox if key[0] == id]:
                    del self.tables.outbox[key]
            if kind is Integration:
                for row in [row for row in self.tables.crm_journal if row[0] == id]:
                    del self.tables.crm_journal[row]

        await self._do("delete", work)

    # -- leads and history -------------------------------------------------------------------------------------------

    def use_consent_rules(self, rules: ConsentRules) -> None:
        self._consent_rules = rules

    async def review_consent(self, limit: int) -> list[int]:
        found: list[int] = await self._do("review_consent", lambda: people.review(self.tables, self._consent_rules))
        return found

    async def add_leads(self, list_id: int, drafts: Sequence[LeadDraft]) -> list[int]:
        now = self._clock.utcnow()

        def work() -> list[int]:
            listed = self.tables.config[LeadList].get(list_id)
            if isinstance(listed, LeadList):
                numbers = [draft.e164 for draft in drafts]
                memory_privacy.take_back(self.tables, self._pseudonyms, listed.group_id, numbers)
            return people.add(self.tables, list_id, drafts, now, self._consent_rules)

        ids: list[int] = await self._do("add_leads", work)
        return ids

    async def open_staging(self, target: ImportTarget) -> MemoryStaging:
        staging: MemoryStaging = await self._do(
            "open_staging", lambda: MemoryStaging(self.tables, target, self._do, self._pseudonyms, self._consent_rules)
        )
        return staging

    async def update_lead(self, lead_id: int, changes: Mapping[str, Any]) -> bool:
        return bool(await self._do("update_lead", lambda: people.update(self.tables, lead_id, changes)))

    async def search_leads(self, group_id: int, filters: Mapping[str, Any], limit: int, after: str | None) -> Page:
        page: Page = await self._do(
            "search_leads", lambda: people.search_leads(self.tables, group_id, filters, limit, after)
        )
        return page

    async def lead_history(self, lead_id: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._do("lead_history", lambda: people.history(self.tables, lead_id))
        return rows

    async def search_attempts(
        self, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
    ) -> Page:
        page: Page = await self._do(
            "search_attempts", lambda: people.search_attempts(self.tables, group_id, filters, limit, after)
        )
        return page

    async def attempt(self, key: UUID | int) -> dict[str, Any] | None:
        row: dict[str, Any] | None = await self._do("attempt", lambda: people.attempt(self.tables, key))
        return row

    async def set_dnc(self, client_id: int, e164: str, on: bool, by: str, source: str) -> list[int]:
        now = self._clock.utcnow()

        def work() -> list[int]:
            if not on and self._pseudonyms is not None:
                self.tables.dnc.pop((client_id, self._pseudonyms.of(e164)), None)
            return people.set_dnc(self.tables, client_id, e164, on, {"at": now, "by": by, "source": source})

        ids: list[int] = await self._do("set_dnc", work)
        return ids

    async def add_dnc(self, client_id: int, e164s: Sequence[str], by: str, source: str) -> tuple[int, int]:
        entry = {"at": self._clock.utcnow(), "by": by, "source": source}
        found: tuple[int, int] = await self._do("add_dnc", lambda: people.add_dnc(self.tables, client_id, e164s, entry))
        return found

    async def add_consent(self, client_id: int, e164: str, consent: Mapping[str, Any]) -> list[int]:
        ids: list[int] = await self._do(
            "add_consent", lambda: people.add_consent(self.tables, client_id, e164, consent)
        )
        return ids

    async def revoke_consent(self, client_id: int, e164: str, at: datetime) -> list[int]:
        ids: list[int] = await self._do(
            "revoke_consent", lambda: people.revoke_consent(self.tables, client_id, e164, at)
        )
        return ids

    async def call_sums(
        self,
        group_id: int | None,
        filters: Mapping[str, Any],
        by: str,
        zone: str,
        digits: int,
        increments: Sequence[int],
    ) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            return memory_figures.call_sums(self.tables, group_id, filters, by, zone, digits, increments)

        rows: list[dict[str, Any]] = await self._do("call_sums", work)
        return rows

    async def stream_attempts(self, group_id: int | None, filters: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        after: str | None = None
        while True:
            page = await self.search_attempts(group_id, filters, 1000, after)
            for row in page.rows:
                yield row
            if (after := page.next_after) is None:
                return

    # -- a person's rights -------------------------------------------------------------------------------------------

    async def use_pseudonyms(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms

    async def person(self, group_id: int, e164: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._do(
            "person", lambda: memory_privacy.person(self.tables, self._pseudonyms, group_id, e164)
        )
        return found

    async def number_history(self, group_id: int, e164: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = await self._do(
            "number_history", lambda: memory_privacy.number_history(self.tables, self._pseudonyms, group_id, e164)
        )
        return found

    async def on_red_list(self, client_id: int, e164: str) -> bool:
        names = [e164] + ([self._pseudonyms.of(e164)] if self._pseudonyms is not None else [])
        return bool(await self._do("on_red_list", lambda: any((client_id, name) in self.tables.dnc for name in names)))

    async def erase_person(self, group_id: int, e164: str) -> dict[str, Any]:
        now = self._clock.utcnow()
        done: dict[str, Any] = await self._do(
            "erase_person", lambda: memory_privacy.erase(self.tables, self._pseudonyms, group_id, e164, now)
        )
        return done

    async def stale_people(self, before: datetime, after: int, limit: int) -> tuple[list[tuple[int, str]], int | None]:
        found: tuple[list[tuple[int, str]], int | None] = await self._do(
            "stale_people", lambda: memory_retention.stale_people(self.tables, before, after, limit)
        )
        return found

    async def purge_steps(self, before: datetime) -> dict[str, int]:
        counts: dict[str, int] = await self._do(
            "purge_steps", lambda: memory_retention.purge_steps(self.tables, before)
        )
        return counts

    async def note(self, by: str, what: str, target: str, detail: dict[str, Any]) -> None:
        row = {"site": "", "at": self._clock.utcnow(), "by": by, "what": what, "target": target, "detail": detail}
        await self._do("note", lambda: self.tables.audit.append(row | {"id": len(self.tables.audit) + 1}))

    async def ledger_rows(self, campaign_id: int, since: datetime) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._do(
            "ledger_rows", lambda: people.ledger_rows(self.tables, campaign_id, since)
        )
        return rows

    async def report(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._do("report", lambda: memory_reports.run(self.tables, name, parameters))
        return rows

    async def stream(self, name: str, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        for row in await self.report(name, **parameters):
            yield row

    async def log_api_call(self, row: Mapping[str, Any]) -> None:
        await self.log_api_calls([row])

    async def log_api_calls(self, rows: Sequence[Mapping[str, Any]]) -> None:
        def work() -> None:
            defaults = {"group_id": 0, "token_id": 0, "endpoint": "", "number_called": "", "phone_line_used": ""}
            defaults |= {"call_id": None, "success": False, "status": 0, "error": "", "ip_address": ""}
            if unknown := sorted({name for row in rows for name in row} - set(CALL_LOG_COLUMNS)):
                raise StoreConflict(f"api_call_logs has no {unknown[0]}", unknown[0])
            logs = self.tables.api_call_logs
            for row in rows:
                logs.append({"id": len(logs) + 1} | defaults | {"response_time_ms": 0.0} | dict(row))

        await self._do("log_api_call", work)


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
