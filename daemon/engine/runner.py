"""The engine of one site at work: one task reads the inbox in batches; the store and the PBX are awaited beside it.

In: events of the driver, commands of the doors, answers of the store. Out, in this order for each batch: facts to the
journal, actions to the PBX, intents and claims to the store, views to the listeners. Nothing here decides.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import structlog

from daemon.bounds import Bound, Bounded
from daemon.calls import records as rec
from daemon.calls.events import LegSeen, PbxEvent
from daemon.calls.facts import AnyFact
from daemon.calls.records import CampaignState, Intent, Lease
from daemon.clock import Clock
from daemon.dialer.ledger import LedgerRow, hour_key
from daemon.engine import own_numbers
from daemon.engine.commands import AnyCommand, ConfigChanged, DatabaseReconciled, Drain
from daemon.engine.core import BATCH_MAX, EngineCore, Rows
from daemon.engine.live import Call, Claim
from daemon.engine.views import TABLES as VIEWS
from daemon.engine.views import Changes
from daemon.engine.watchdog import Watchdog
from daemon.errors import CommandError, InvariantViolated, StoreError, StoreUnavailable
from daemon.ports import Pbx, Store
from daemon.settings import LeaseTable

log = structlog.get_logger(__name__)

INBOX_MAX = 100_000
"""Items waiting for the engine; past it the link is dropped and resynced rather than memory filled."""

COUNTS_INTERVAL_S = 5.0
AUDIT_INTERVAL_S = 20.0
LEDGER_DAYS = 32
SLOW_BATCH_S = 0.05
TIMER_GRAIN_S = 1e-6
"""A loop may fire a timer a hair early; a deadline this near has come, or the engine would spin on it."""
TABLES: Mapping[str, type[rec.Record]] = {
    kind.__name__: kind
    for kind in (
        rec.Group,
        rec.Status,
        rec.PauseCode,
        rec.CallerIdNumber,
        rec.Line,
        rec.Campaign,
        rec.Agent,
        rec.Blocked,
    )
}


class FactLog(Protocol):
    """The journal as the engine sees it (daemon.store.journal)."""

    def append(self, facts: Sequence[AnyFact]) -> None:
        """Take facts for good, in order; their effect may be shown after this returns."""
        ...

    @property
    def full(self) -> bool:
        """No room for new attempts; outcomes are still taken."""
        ...

    @property
    def pending_count(self) -> int:
        """Facts not yet in the store."""
        ...

    @property
    def older(self) -> bool:
        """The store lacks facts that it had confirmed, and no operator has said yet that this is seen to."""
        ...

    async def verify(self) -> None:
        """Ask the store whether it still has what it had confirmed. Raises StoreUnavailable."""
        ...

    def reconciled(self) -> None:
        """An operator has seen to it. Raises OSError if that can't be kept."""
        ...

    async def run(self) -> None:
        """Apply and sync until cancelled."""
        ...


@dataclass(slots=True)
class _Asked:
    """A command and whoever waits for its result."""

    command: AnyCommand
    done: asyncio.Future[dict[str, Any]]


class SiteRunner:
    """See the module's first lines. One instance a site; sites share nothing but the store."""

    def __init__(
        self,
        core: EngineCore,
        pbx: Pbx,
        store: Store,
        *,
        clock: Clock,
        rng: random.Random,
        lease_settings: LeaseTable,
        holder: str,
        open_log: Callable[[Lease], Awaitable[FactLog]],
        publish: Callable[[Changes], None],
        beat: Callable[[], None] = lambda: None,
        followed: Callable[[], Collection[str]] = lambda: VIEWS,
        fence_floor: Callable[[], int] = lambda: 0,
    ) -> None:
        self.core = core
        self.pbx = pbx
        self._store = store
        self._clock = clock
        self._rng = rng
        self._lease_settings = lease_settings
        self._holder = holder
        self._open_log = open_log
        self._publish = publish
        self._beat = beat
        self._followed = followed
        self._fence_floor = fence_floor
        self._inbox: deque[Callable[[], None]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._log: FactLog | None = None
        self.lease: Lease | None = None
        self._intents: deque[Intent] = deque()
        self._claims: deque[Claim] = deque()
        self._intents_wake = asyncio.Event()
        self._claims_wake = asyncio.Event()
        self._reload: deque[ConfigChanged] = deque()
        self._reload_wake = asyncio.Event()
        self.leading = False
        self.slow_batches = 0
        self._doing = ""
        self._watchdog = Watchdog(core.live, core.calls, core.desks)
        self.batches = 0

    @property
    def site(self) -> str:
        return self.core.live.site.id

    # ---- life --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Wait for the site's lease, adopt what is open, then work until cancelled."""
        await self._lead()
        assert self._log is not None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._log.run(), name=f"facts {self.site}")
                group.create_task(self._work(), name=f"engine {self.site}")
                group.create_task(self.pbx.run(self.deliver), name=f"pbx {self.site}")
                group.create_task(self._keep_lease(), name=f"lease {self.site}")
                group.create_task(self._commit_intents(), name=f"intents {self.site}")
                group.create_task(self._claim_leads(), name=f"claims {self.site}")
                group.create_task(self._count_leads(), name=f"counts {self.site}")
                group.create_task(self._reload_rows(), name=f"rows {self.site}")
                group.create_task(self._audit(), name=f"audit {self.site}")
        finally:
            self.leading = False

    async def _lead(self) -> None:
        """Take the lease (standby waits here), open the journal under its fence, load and adopt."""
        while True:
            try:
                started = self._clock.now()
                lease = await self._store.acquire_lease(
                    self.site, self._holder, self._lease_settings.ttl_s, self._fence_floor()
                )
                if lease is not None:
                    break
            except StoreUnavailable as error:
                log.warning("lease.store_unavailable", site=self.site, error=str(error))
            await asyncio.sleep(self._lease_settings.renew_s)
        self.lease = lease
        live = self.core.live
        live.acts_until_at = started + lease.ttl_s - self._lease_settings.margin_s
        live.former_seen_at = started - lease.silent_s
        self._log = await self._open_log(lease)
        self.leading = True
        await self._load_all()
        log.info("site.leading", site=self.site, fence=lease.fence)

    async def _load_all(self) -> None:
        """Everything the store knows of this site, retried until it answers."""
        while True:
            try:
                rows = await self._read_rows(dict.fromkeys(TABLES, ()))
                await self._store.release_claims(self.site)
                attempts = await self._store.open_attempts(self.site)
                agents = await self._store.agent_states(self.site)
                since = own_numbers.since(self.core.live, self._clock.utcnow())
                shown = await self._store.numbers_shown(self.site, since, own_numbers.CALLS_MAX)
                break
            except StoreUnavailable as error:
                log.warning("load.store_unavailable", site=self.site, error=str(error))
                await asyncio.sleep(1.0)
        self._open_batch()
        self.core.live.store_ok = True
        self.core.load(rows)
        own_numbers.recall(self.core.live, shown)
        self.core.adopt(attempts, agents)
        self._close_batch()

    # ---- the inbox ---------------------------------------------------------------------------------------------

    def _put(self, item: Callable[[], None]) -> None:
        self._inbox.append(item)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def deliver(self, event: PbxEvent) -> None:
        """An event of the driver; never blocks."""
        if len(self._inbox) >= INBOX_MAX:
            raise InvariantViolated(f"the engine's inbox holds {INBOX_MAX} items")
        self._put(lambda: self._guard(event))

    async def submit(self, command: AnyCommand) -> dict[str, Any]:
        """Apply a command in the engine's own time. Raises CommandError."""
        if not self.leading:
            raise CommandError("standby", {"site": self.site})
        if isinstance(command, ConfigChanged):
            await self._reload_now(command)
            return {}
        if isinstance(command, DatabaseReconciled):
            self._reconciled()
        asked = _Asked(command, asyncio.get_running_loop().create_future())
        self._put(lambda: self._command(asked))
        return await asked.done

    def _reconciled(self) -> None:
        assert self._log is not None
        try:
            self._log.reconciled()
        except OSError as error:
            raise CommandError("journal_full", {"reason": str(error)}) from error

    def _command(self, asked: _Asked) -> None:
        if asked.done.done():
            return
        self._doing = type(asked.command).__name__
        try:
            asked.done.set_result(self.core.command(asked.command))
        except CommandError as error:
            asked.done.set_exception(error)
        except Exception as error:
            log.exception("command.failed", command=type(asked.command).__name__)
            asked.done.set_exception(error)

    def _guard(self, event: PbxEvent) -> None:
        """One event; a broken invariant closes that call and suspends its campaign, everything else goes on."""
        self._doing = type(event).__name__
        try:
            self.core.handle(event)
        except Exception:
            log.exception("event.failed", pbx_event=type(event).__name__)
            self.core.live.counters["invariants_broken"] += 1
            leg = getattr(event, "leg", None)
            call = self.core.live.legs.get(leg) if leg else None
            if isinstance(call, Call):
                self.core.calls.hang_up(call, by="engine")
                if call.campaign is not None:
                    self.core.operations.suspend(call.campaign, "invariant")

    async def _work(self) -> None:
        """The loop: a batch whenever something is in the inbox or a deadline has come."""
        deadline = self.core.next_deadline()
        while True:
            wait = deadline - self._clock.now()
            if not self._inbox and wait > TIMER_GRAIN_S:
                await self._rest(wait)
            started = self._clock.now()
            near = 0.0 < deadline - started <= TIMER_GRAIN_S
            self._open_batch(deadline if near else started)
            slowest = self._take(started)
            took_at = self._clock.now()
            self.core.finish()
            finished_at = self._clock.now()
            self._close_batch()
            self._beat()
            self.batches += 1
            ended_at = self._clock.now()
            if ended_at - started > SLOW_BATCH_S:
                self._tell_slow(ended_at - started, slowest, (finished_at - took_at, ended_at - finished_at))
            deadline = self.core.next_deadline()
            if self._inbox or deadline <= ended_at:
                await asyncio.sleep(0)  # a busy engine still lets its readers and writers run
                deadline = self.core.next_deadline()

    async def _rest(self, seconds: float) -> None:
        """Until something is put into the inbox, or so long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._inbox and loop.time() < until - TIMER_GRAIN_S:
            if self._alarm is None or self._alarm.when() > until:  # one that rings too early costs less than a new one
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm = loop.call_at(until, self._ring)
            self._waiting = loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _take(self, at: float) -> tuple[float, str]:
        """What lies in the inbox, up to a batch; how long the slowest took, and what it was."""
        slowest, culprit = 0.0, ""
        for _ in range(min(BATCH_MAX, len(self._inbox))):
            item = self._inbox.popleft()
            self._doing = item.__qualname__
            item()
            now = self._clock.now()
            if now - at > slowest:
                slowest, culprit = now - at, self._doing
            at = now
        return slowest, culprit

    def _tell_slow(self, spent_s: float, slowest: tuple[float, str], stages: tuple[float, float]) -> None:
        """A batch that held everything up, and what in it took longest."""
        self.slow_batches += 1
        decided_s, published_s = stages
        took_s, culprit = max(slowest, (decided_s, "timers and pacing"), (published_s, "journal and views"))
        log.warning(
            "engine.slow_batch",
            site=self.site,
            spent_s=round(spent_s, 3),
            culprit=culprit,
            culprit_s=round(took_s, 3),
        )

    def bounds(self) -> Iterable[Bound]:
        """See daemon.bounds."""
        live, lease = self.core.live, self._lease_settings
        lines = live.pool.lines.values()
        room = sum(line.record.capacity for line in lines)
        yield Bound("engine_inbox", len(self._inbox), INBOX_MAX)
        yield Bound("intents_waiting", len(self._intents), room)
        yield Bound("claims_waiting", len(self._claims), len(live.campaigns))
        yield Bound("line_channels", sum(line.in_use for line in lines), room)
        acts_s = lease.ttl_s - lease.margin_s
        if self.leading:
            yield Bound("lease_age_s", max(0.0, self._clock.now() + acts_s - live.acts_until_at), acts_s)
        parts: tuple[object, ...] = (self._log, self.pbx)
        for part in parts:
            if isinstance(part, Bounded):
                yield from part.bounds()

    def counts(self) -> Iterable[tuple[str, str, int]]:
        """See daemon.bounds."""
        found = {"batches": self.batches, "slow_batches": self.slow_batches, **self.core.live.counters}
        for what, count in found.items():
            yield self.site, what, count

    def _open_batch(self, now: float | None = None) -> None:
        self.core.batch(self._clock.now() if now is None else now, self._clock.utcnow())
        if self._log is not None:
            self.core.live.journal_full = self._log.full
            if self.core.live.database_older is not self._log.older:
                self.core.live.database_older = self._log.older
                self._all_dirty()

    def _close_batch(self) -> None:
        """Facts first, then their effects."""
        out = self.core.live.out
        if out.facts:
            assert self._log is not None
            self._log.append(out.facts)
            out.facts = []
        for action in out.actions:
            self.pbx.perform(action)
        out.actions.clear()
        if out.intents:
            self._intents.extend(out.intents)
            out.intents.clear()
            self._intents_wake.set()
        if out.claims:
            self._claims.extend(out.claims)
            out.claims.clear()
            self._claims_wake.set()
        changes = self.core.publisher.take(self._followed())
        if changes:
            self._publish(changes)

    # ---- the store beside it -----------------------------------------------------------------------------------

    async def _commit_intents(self) -> None:
        """One writer, group commit: everything that has come since the last commit goes in one transaction."""
        while True:
            await self._intents_wake.wait()
            self._intents_wake.clear()
            while self._intents:
                batch = [self._intents.popleft() for _ in range(min(200, len(self._intents)))]
                asked = tuple(intent.attempt_id for intent in batch)
                try:
                    assert self.lease is not None
                    granted = await self._store.commit_intents(batch, self.lease)
                except StoreError as error:
                    log.warning("intents.store_failed", site=self.site, count=len(batch), error=str(error))
                    self._put(lambda asked=asked: self._intents_failed(asked))  # type: ignore[misc]
                    continue
                committed_at = self._clock.now()
                self._put(
                    lambda granted=granted, asked=asked, at=committed_at: self.core.intents_done(granted, asked, at)  # type: ignore[misc]
                )

    def _intents_failed(self, asked: tuple[Any, ...]) -> None:
        self._store_state(ok=False)
        self.core.intents_failed(asked)

    async def _claim_leads(self) -> None:
        while True:
            await self._claims_wake.wait()
            self._claims_wake.clear()
            while self._claims:
                claim = self._claims.popleft()
                leads: list[rec.Lead] | None
                try:
                    assert self.lease is not None
                    leads = await self._store.claim_leads(
                        claim.campaign_id,
                        claim.count,
                        self._clock.utcnow(),
                        claim.open_zones,
                        self.site,
                        self.lease.fence,
                    )
                except StoreError as error:
                    log.warning("claim.store_failed", site=self.site, error=str(error))
                    leads = None
                self._put(lambda claim=claim, leads=leads: self.core.claimed(claim, leads))  # type: ignore[misc]

    async def _count_leads(self) -> None:
        """Due and held leads of the campaigns at work, every few seconds; also tells whether the store answers."""
        while True:
            await self._count_once()
            await asyncio.sleep(COUNTS_INTERVAL_S if self.core.live.store_ok else 1.0)

    async def _count_once(self, only: Iterable[int] | None = None) -> None:
        live = self.core.live
        ids = (
            list(only)
            if only is not None
            else [c.id for c in live.campaigns.values() if c.state is not CampaignState.STOPPED or not c.lead_counts]
        )
        try:
            await self._store.ping()
            if not live.store_ok and self._log is not None:
                await self._log.verify()  # before a call is placed: it may not be the same database that is back
            for id in ids:
                counts = await self._store.callable_counts(id, self._clock.utcnow())
                zones = await self._store.tz_groups(id)
                self._put(lambda id=id, counts=counts, zones=zones: self.core.counted(id, counts, zones))  # type: ignore[misc]
            ok = True
        except StoreError as error:
            log.warning("store.unavailable", site=self.site, error=str(error))
            ok = False
        self._put(lambda: self._store_state(ok=ok))

    def _store_state(self, *, ok: bool) -> None:
        live = self.core.live
        if live.store_ok is not ok:
            live.store_ok = ok
            self._all_dirty()

    def _all_dirty(self) -> None:
        for campaign in self.core.live.campaigns.values():
            campaign.dirty = True
            self.core.live.touch("campaigns", campaign.id)

    async def _audit(self) -> None:
        """Every so often the PBX is asked what there is, in case an event was lost on a link that is up."""
        while True:
            await asyncio.sleep(AUDIT_INTERVAL_S)
            if not self.core.live.link.synced:
                continue
            asked_at = self._clock.now()
            legs = await self.pbx.audit()
            if legs is not None:
                self._put(lambda legs=legs, at=asked_at: self._audited(legs, at))  # type: ignore[misc]

    def _audited(self, legs: tuple[LegSeen, ...], asked_at: float) -> None:
        if self.core.live.link.synced:
            self.core.recovery.audited(legs, asked_at)
            self._watchdog.look()

    async def _keep_lease(self) -> None:
        """Renew each second; by our own clock we stop acting a margin before the lease could end.

        Alone on its site, a daemon without its database still serves the calls there are. Where a standby may have
        taken the site, it must not: two daemons would give one customer to two agents (seen in simulation).
        """
        settings = self._lease_settings
        assert self.lease is not None
        while True:
            started = self._clock.now()
            left_s = self.core.live.acts_until_at - started
            if settings.standby and left_s <= 0:
                log.error("lease.ran_out", site=self.site, fence=self.lease.fence)
                raise LeaseLost(self.site)
            bound_s = min(settings.ttl_s, left_s) if settings.standby else settings.ttl_s
            try:
                async with asyncio.timeout(bound_s):
                    kept = await self._store.renew_lease(self.lease)
                if not kept:
                    log.error("lease.lost", site=self.site, fence=self.lease.fence)
                    raise LeaseLost(self.site)
                self.core.live.acts_until_at = started + self.lease.ttl_s - settings.margin_s
            except (StoreUnavailable, TimeoutError) as error:
                log.warning("lease.not_renewed", site=self.site, error=str(error))
            left_s = self.core.live.acts_until_at - self._clock.now()
            await asyncio.sleep(max(0.0, min(settings.renew_s, left_s)) if settings.standby else settings.renew_s)

    # ---- configuration -----------------------------------------------------------------------------------------

    async def _reload_now(self, change: ConfigChanged) -> None:
        """Read the changed rows and hand them to the engine; returns when it has them."""
        if change.table not in TABLES:
            if change.table == "LeadList":
                done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
                self._put(lambda: self._lists_changed(change.ids, done))
                await done
            return
        try:
            rows = await self._read_rows({change.table: change.ids})
        except StoreUnavailable as error:
            self._reload.append(change)
            self._reload_wake.set()
            raise CommandError("store_unavailable", {"reason": str(error)}) from error
        applied: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._put(lambda: self._apply_rows(rows, applied))
        await applied
        if change.table == "Campaign":
            await self._count_once(change.ids)

    def _lists_changed(self, ids: tuple[int, ...], done: asyncio.Future[dict[str, Any]]) -> None:
        for campaign in self.core.live.campaigns.values():
            if not ids or set(ids) & set(campaign.record.list_ids):
                self.core.placing.drop_leads(campaign, frozenset(), frozenset(), frozenset(ids))
        done.set_result({})

    def _apply_rows(self, rows: Rows, done: asyncio.Future[dict[str, Any]] | None) -> None:
        try:
            self.core.load(rows)
        except CommandError as error:
            if done is not None and not done.done():
                done.set_exception(error)
            return
        if done is not None and not done.done():
            done.set_result({})

    async def _reload_rows(self) -> None:
        """Changes that could not be read while the store was away."""
        while True:
            await self._reload_wake.wait()
            await asyncio.sleep(1.0)
            change = self._reload[0]
            try:
                rows = await self._read_rows({change.table: change.ids})
            except StoreUnavailable:
                continue
            self._reload.popleft()
            self._put(lambda rows=rows: self._apply_rows(rows, None))  # type: ignore[misc]
            if not self._reload:
                self._reload_wake.clear()

    async def _read_rows(self, wanted: Mapping[str, tuple[int, ...]]) -> Rows:
        """Rows by record class name; an empty tuple = all of them."""
        records: list[rec.Record] = []
        gone: dict[str, tuple[int, ...]] = {}
        for name, ids in wanted.items():
            kind = TABLES[name]
            if not ids:
                records.extend(await self._store.find(kind))
                continue
            missing = []
            for id in ids:
                record = await self._store.get(kind, id)
                if record is None:
                    missing.append(id)
                else:
                    records.append(record)
            gone[name] = tuple(missing)
        ledgers: dict[int, tuple[LedgerRow, ...]] = {}
        zones: dict[int, tuple[str, ...]] = {}
        for record in records:
            if isinstance(record, rec.Campaign) and record.site in ("", self.site):
                zones[record.id] = tuple(await self._store.tz_groups(record.id))
                if record.id not in self.core.live.campaigns:
                    ledgers[record.id] = await self._ledger(record)
        return Rows(records, gone, ledgers, zones)

    async def _ledger(self, campaign: rec.Campaign) -> tuple[LedgerRow, ...]:
        """The ledger's rows as pacing keys them: by clock hour in the campaign's zone."""
        since = self._clock.utcnow() - timedelta(days=LEDGER_DAYS)
        rows = await self._store.ledger_rows(campaign.id, since)
        return tuple(
            LedgerRow(
                campaign=str(campaign.id),
                site=str(row["site"]),
                hour=hour_key(row["hour"], campaign.zone),
                connected=int(row["connected"]),
                abandoned=int(row["abandoned"]),
            )
            for row in rows
        )

    # ---- the end -----------------------------------------------------------------------------------------------

    async def drain(self, bound_s: float) -> bool:
        """No new calls; True when those being set up are over or talking. Conversations live on in the PBX."""
        if not self.leading:
            return True
        await self.submit(Drain(bound_s=bound_s))
        deadline = self._clock.now() + bound_s
        while self._clock.now() < deadline:
            open_calls = [c for c in self.core.live.calls.values() if c.connected_at is None]
            if not open_calls and self.pending == 0:
                return True
            await asyncio.sleep(0.1)
        return False

    @property
    def pending(self) -> int:
        """Facts not yet in the store."""
        return self._log.pending_count if self._log is not None else 0


class LeaseLost(Exception):
    """Another daemon leads this site now: this runner stops at once and stands by."""
