"""The engine of one site at work: one task reads the inbox in batches; the store and the PBX are awaited beside it.

In: events of the driver, commands of the doors, answers of the store. Out, in this order for each batch: facts to the
journal, actions to the PBX, intents and claims to the store, views to the listeners. Nothing here decides.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from daemon.bounds import Bound, Bounded, Spread
from daemon.calls.events import LegSeen, LinkDown, PbxEvent
from daemon.calls.lead_records import Lease
from daemon.clock import Clock
from daemon.engine import line_use, own_numbers
from daemon.engine.commands import AnyCommand, ConfigChanged, DatabaseReconciled, Drain
from daemon.engine.configuration import TABLES, Configuration
from daemon.engine.core import EngineCore
from daemon.engine.earlier import Earlier
from daemon.engine.fact_log import FactLog
from daemon.engine.following import Following
from daemon.engine.inbox import INBOX_MAX, TIMER_GRAIN_S, Inbox
from daemon.engine.lease import SiteLease
from daemon.engine.live import Call
from daemon.engine.store_work import StoreWork
from daemon.engine.views import TABLES as VIEWS
from daemon.engine.views import Changes
from daemon.engine.watchdog import Watchdog
from daemon.errors import CommandError, InvariantViolated, StoreUnavailable
from daemon.ports import Pbx, Store
from daemon.settings import LeaseTable
from daemon.works import Works

log = structlog.get_logger(__name__)

AUDIT_INTERVAL_S = 20.0
SLOW_BATCH_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What an engine has open at this instant; what it leaves behind, if it ends now."""

    talking: int
    """Conversations: they go on in the PBX, and the next daemon adopts them."""
    being_set_up: int
    """Calls that nobody has been connected to yet."""
    facts: int
    """Not yet in the store: the journal has them, and the next daemon applies them first."""


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
        works: Works,
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
        self._works = works
        self._open_log = open_log
        self._publish = publish
        self._beat = beat
        self._followed = followed
        self._inbox = Inbox(clock)
        self._lease = SiteLease(core.live, store, clock, lease_settings, holder, fence_floor)
        self._store_work = StoreWork(core, store, clock, self._lease, self._inbox.put, self._verify)
        self._configuration = Configuration(core, store, clock, self._inbox.put, self._saved_n)
        self._earlier = Earlier(core.live, store, self._inbox.put)
        core.loading.on_new = self._earlier.appeared
        self._following = Following(core, store, self._configuration, self._inbox.put)
        self._watchdog = Watchdog(core.live, core.calls, core.desks)
        self._log: FactLog | None = None
        self.leading = False
        self._taken_at = clock.utcnow()
        self.batches = 0
        self.slow_batches = 0

    @property
    def site(self) -> str:
        return self.core.live.site.id

    @property
    def lease(self) -> Lease | None:
        """What lets this daemon act on the site, once it has it."""
        return self._lease.held

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
                group.create_task(self._lease.keep(), name=f"lease {self.site}")
                group.create_task(self._store_work.commit_intents(), name=f"intents {self.site}")
                group.create_task(self._store_work.claim_leads(), name=f"claims {self.site}")
                group.create_task(self._configuration.run(), name=f"rows {self.site}")
                beside = {
                    "counts": self._store_work.count_leads,
                    "audit": self._audit,
                    "day": self._earlier.run,
                    "changes": self._following.run,
                }
                for name, work in beside.items():
                    group.create_task(self._works.keep(f"{name} {self.site}", work), name=f"{name} {self.site}")
                past = line_use.recall(self.core.live, self._store, self._taken_at, self._inbox.put)
                group.create_task(self._works.attempt(f"line use {self.site}", past), name=f"line use {self.site}")
        finally:
            self.leading = False

    async def _lead(self) -> None:
        """Take the lease (standby waits here), open the journal under its fence, load and adopt."""
        lease = await self._lease.acquire()
        self._log = await self._open_log(lease)
        self.leading = True
        self._taken_at = self._clock.utcnow()
        await self._load_all(lease.fence)
        log.info("site.leading", site=self.site, fence=lease.fence)

    async def _load_all(self, fence: int) -> None:
        """Everything the store knows of this site, retried until it answers."""
        while True:
            try:
                await self._following.begin()
                rows = await self._configuration.read(dict.fromkeys(TABLES, ()))
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
        self._earlier.begin(fence, attempts, agents)
        self._close_batch()

    # ---- the inbox ---------------------------------------------------------------------------------------------

    def deliver(self, event: PbxEvent) -> None:
        """An event of the driver; never blocks. InvariantViolated for one too many: the driver drops its link then."""
        if len(self._inbox.items) >= INBOX_MAX and not isinstance(event, LinkDown):  # the link's end makes room
            raise InvariantViolated(f"the engine's inbox holds {INBOX_MAX} items")
        self._inbox.put(lambda: self._guard(event))

    async def submit(self, command: AnyCommand) -> dict[str, Any]:
        """Apply a command in the engine's own time. Raises CommandError."""
        if not self.leading:
            raise CommandError("standby", {"site": self.site})
        if isinstance(command, ConfigChanged):
            await self._configuration.reload(command)
            if command.table == "Campaign":
                await self._store_work.count(command.ids)
            return {}
        if isinstance(command, DatabaseReconciled):
            self._reconciled()
        done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._ask(_Asked(command, done))
        try:
            return await done
        finally:
            del done  # a refusal's traceback holds this frame: with the future in it, which holds the refusal, a ring

    def _ask(self, asked: _Asked) -> None:
        self._inbox.put(lambda: self._command(asked))

    def _reconciled(self) -> None:
        assert self._log is not None
        try:
            self._log.reconciled()
        except OSError as error:
            raise CommandError("journal_full", {"reason": str(error)}) from error

    def _command(self, asked: _Asked) -> None:
        if asked.done.done():
            return
        self._inbox.doing = type(asked.command).__name__
        try:
            asked.done.set_result(self.core.command(asked.command))
        except CommandError as error:
            asked.done.set_exception(error.with_traceback(None))  # as above
        except Exception as error:
            log.exception("command.failed", command=type(asked.command).__name__)
            asked.done.set_exception(error)

    def _guard(self, event: PbxEvent) -> None:
        """One event; a broken invariant closes that call and suspends its campaign, everything else goes on."""
        self._inbox.doing = type(event).__name__
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
        inbox, clock_now = self._inbox, self._clock.now
        while True:
            started = clock_now()
            if not inbox.items and deadline - started > TIMER_GRAIN_S:
                await inbox.rest(deadline)
                started = clock_now()
            near = 0.0 < deadline - started <= TIMER_GRAIN_S
            self._open_batch(deadline if near else started)
            slowest = inbox.take(started)
            took_at = clock_now()
            self.core.finish()
            finished_at = clock_now()
            self._close_batch()
            self._beat()
            self.batches += 1
            ended_at = clock_now()
            if ended_at - started > SLOW_BATCH_S:
                self._tell_slow(ended_at - started, slowest, (finished_at - took_at, ended_at - finished_at))
            deadline = self.core.next_deadline()
            if inbox.items or deadline <= ended_at:
                await asyncio.sleep(0)  # a busy engine still lets its readers and writers run
                deadline = self.core.next_deadline()

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
        live = self.core.live
        lines = live.pool.lines.values()
        room = sum(line.record.capacity for line in lines)
        yield Bound("engine_inbox", len(self._inbox.items), INBOX_MAX)
        yield Bound("intents_waiting", len(self._store_work.intents), room)
        yield Bound("claims_waiting", len(self._store_work.claims), len(live.campaigns))
        yield Bound("line_channels", sum(line.in_use for line in lines), room)
        if self.leading:
            acts_s = self._lease.acts_s
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

    def times(self) -> Iterable[tuple[str, str, Spread]]:
        """See daemon.bounds."""
        calls = self.core.calls
        yield self.site, "agent_wait", calls.for_agent
        yield self.site, "connect", calls.to_connect

    def _open_batch(self, now: float | None = None) -> None:
        self.core.batch(self._clock.now() if now is None else now, self._clock.utcnow())
        if self._log is not None:
            live = self.core.live
            live.journal_full = self._log.full
            if live.database_older is not (older := self._log.older):
                live.database_older = older
                self.core.link.all_dirty()

    def _close_batch(self) -> None:
        """Facts first, then their effects."""
        out = self.core.live.out
        if out.facts:
            assert self._log is not None
            self._log.append(out.facts)
            self.core.live.unsaved.note(out.facts, self._log.last_n)
            out.facts = []
        for action in out.actions:
            self.pbx.perform(action)
        out.actions.clear()
        if out.intents:
            self._store_work.commit(out.intents)
            out.intents.clear()
        if out.claims:
            self._store_work.claim(out.claims)
            out.claims.clear()
        changes = self.core.publisher.take(self._followed())
        if changes:
            self._publish(changes)

    def _saved_n(self) -> int:
        return self._log.saved_n if self._log is not None else 0

    # ---- beside it ---------------------------------------------------------------------------------------------

    async def _verify(self) -> None:
        if self._log is not None:
            await self._log.verify()

    async def _audit(self) -> None:
        """Every so often the PBX is asked what there is, in case an event was lost on a link that is up."""
        while True:
            await asyncio.sleep(AUDIT_INTERVAL_S)
            if not self.core.live.link.synced:
                continue
            asked_at = self._clock.now()
            legs = await self.pbx.audit()
            if legs is not None:
                self._inbox.put(lambda legs=legs, at=asked_at: self._audited(legs, at))  # type: ignore[misc]

    def _audited(self, legs: tuple[LegSeen, ...], asked_at: float) -> None:
        if self.core.live.link.synced:
            self.core.recovery.audited(legs, asked_at)
            self._watchdog.look()

    # ---- the end -----------------------------------------------------------------------------------------------

    async def drain(self, bound_s: float) -> bool:
        """No new calls; True when those being set up are over or talking and the store has every fact, False if the
        bound comes first (`left` says what is open then). Conversations live on in the PBX."""
        if not self.leading:
            return True
        await self.submit(Drain(bound_s=bound_s))
        deadline = self._clock.now() + bound_s
        while self._clock.now() < deadline:
            left = self.left()
            claiming = any(campaign.claiming for campaign in self.core.live.campaigns.values())
            if not left.being_set_up and not left.facts and not claiming:
                return True
            await asyncio.sleep(0.1)
        return False

    def left(self) -> Left:
        """See Left."""
        connected = [call.connected_at is not None for call in self.core.live.calls.values()]
        return Left(talking=sum(connected), being_set_up=connected.count(False), facts=self.pending)

    @property
    def pending(self) -> int:
        """Facts not yet in the store."""
        return self._log.pending_count if self._log is not None else 0
