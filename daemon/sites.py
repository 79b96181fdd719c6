"""The sites of a daemon: each with its engine, its journal and its way into the store, kept up for ever.

Built by the composition root. A lost lease stands by, a broken engine table starts anew from what the store knows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from daemon.bounds import Bound
from daemon.calls.facts import AnyFact, NumberedFact
from daemon.calls.lead_records import Lease
from daemon.clock import Clock
from daemon.compliance import RuleSet
from daemon.engine.core import EngineCore
from daemon.engine.hub import Hub
from daemon.engine.lease import LeaseLost
from daemon.engine.rules import SiteLaw
from daemon.engine.runner import Left, SiteRunner
from daemon.errors import DaemonError, FactsLost, StoreConflict, StoreError, StoreUnavailable
from daemon.ports import Pbx, Store
from daemon.settings import Settings, SiteTable
from daemon.store import mark
from daemon.store.journal import Journal
from daemon.store.journal_files import Files, Folder, MemoryFiles
from daemon.store.writer import FactWriter, backoff_s, keep_synced
from daemon.works import Works

log = structlog.get_logger(__name__)

RESTARTS_MAX = 3
RESTARTS_WINDOW_S = 600.0
DRAIN_GRACE_S = 5.0
"""As the daemon stops, so much longer than its bound an engine is waited for (it may be in the middle of a batch); and
so long the database, lest the service manager's patience ends before the log says what is left."""

PbxFactory = Callable[[SiteTable], Pbx]
Sync = Coroutine[Any, Any, None]


class SiteLog:
    """A site's journal and its way into the store, as the engine sees them (daemon.engine.fact_log)."""

    def __init__(self, journal: Journal, store: Store, clock: Clock, rng: random.Random, sync: Sync) -> None:
        self.journal, self._store, self._clock, self._sync = journal, store, clock, sync
        self.writer = FactWriter(journal, store, clock, rng, on_rejected=_rejected, on_return=self.verify)

    def append(self, facts: Sequence[AnyFact]) -> None:
        """Take facts for good, in order."""
        self.journal.append(facts)
        self.writer.wake()

    @property
    def full(self) -> bool:
        """No room for new attempts."""
        return self.journal.full

    @property
    def pending_count(self) -> int:
        """Facts not yet in the store."""
        return self.journal.pending_count

    @property
    def last_n(self) -> int:
        """The number of the last fact taken."""
        return self.journal.last_n

    @property
    def saved_n(self) -> int:
        """Up to this number the store has every fact, but for those that it can never take."""
        oldest = self.journal.pending(1)
        return oldest[0].n - 1 if oldest else self.journal.last_n

    @property
    def older(self) -> bool:
        """The store lacks facts that it had confirmed."""
        return self.journal.mark.older is not None

    def bounds(self) -> Iterator[Bound]:
        """See daemon.bounds."""
        yield Bound("journal_bytes", self.journal.size, self.journal.bytes_max)

    async def verify(self) -> None:
        """Compare the store with what it had confirmed: a restored database, or another, knows less."""
        known = self.journal.mark
        if known.older is not None or not known.fence:
            return
        fence, n = known.fence, known.n
        found = await self._store.last_n(self.journal.site, fence)
        if found >= n:
            return
        log.error("database.older", site=self.journal.site, fence=fence, confirmed=n, found=found, until=str(known.at))
        try:
            known.found_older(found, self._clock.utcnow())
        except OSError as error:
            log.error("database.older_not_kept", site=self.journal.site, error=str(error))

    def reconciled(self) -> None:
        """An operator has seen to what the store lacks."""
        self.journal.mark.reconciled()

    async def run(self) -> None:
        """Apply and sync until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.writer.run(), name="facts to store")
            group.create_task(self._sync, name="journal sync")

    def close(self) -> None:
        """Let go of the journal, also when the lease was lost before `run`."""
        self._sync.close()
        self.journal.close()


def _rejected(fact: NumberedFact, error: StoreConflict) -> None:
    log.error("fact.rejected", site=fact.site, n=fact.n, fact=type(fact.fact).__name__, error=str(error))


class Sites:
    """All sites of one daemon. `rng` is the daemon's: engines, drivers and writers draw their own from it."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        rng: random.Random,
        store: Store,
        pbx_factory: PbxFactory,
        rule_sets: Mapping[str, RuleSet],
        hub: Hub,
        works: Works,
        holder: str,
        journal_in_memory: bool,
    ) -> None:
        self._settings, self._clock, self._rng, self._store = settings, clock, rng, store
        self._pbx_factory, self._rule_sets = pbx_factory, rule_sets
        self._hub, self._works, self._holder = hub, works, holder
        self._journal_in_memory = journal_in_memory
        self.logs: dict[str, SiteLog] = {}
        self.memory_files: dict[str, MemoryFiles] = {}
        self._restarts: dict[str, list[float]] = {}
        self._originating_off: set[str] = set()
        self._beats: dict[str, float] = {}

    async def keep(self, site: SiteTable) -> None:
        """A site's runner for ever: a lost lease stands by, a broken engine table starts anew from the stores."""
        while True:
            runner = self._runner(site)
            if site.id in self._originating_off:
                runner.core.live.draining = True
                runner.core.live.alerts[f"site {site.id}"] = "originating_off"
            # A task of its own: a task group that fails while it is cancelled tells only of the failure, and our own
            # count of cancellations must say that the end was asked for all the same.
            working = asyncio.create_task(runner.run(), name=f"runner {site.id}")
            try:
                await working
            except* LeaseLost:
                log.warning("site.standby", site=site.id)
            except* Exception:
                log.exception("site.failed", site=site.id)
                if self._too_many_restarts(site.id):
                    log.error("site.originating_off", site=site.id)
                    self._originating_off.add(site.id)
            self._close(site.id)
            if (this := asyncio.current_task()) is not None and this.cancelling():
                raise asyncio.CancelledError
            await asyncio.sleep(1.0)

    def _too_many_restarts(self, site: str) -> bool:
        """Three ends in ten minutes: come up again, but place nothing (DESIGN 3, blast radius)."""
        now = self._clock.now()
        ends = [at for at in self._restarts.get(site, []) if now - at < RESTARTS_WINDOW_S] + [now]
        self._restarts[site] = ends
        return len(ends) >= RESTARTS_MAX

    def _runner(self, site: SiteTable) -> SiteRunner:
        core = EngineCore(site, self._settings.dialer, SiteLaw(site, self._rule_sets), self._child_rng())
        runner = SiteRunner(
            core,
            self._pbx_factory(site),
            self._store,
            clock=self._clock,
            rng=self._child_rng(),
            lease_settings=self._settings.lease,
            works=self._works,
            holder=self._holder,
            open_log=lambda lease: self._open_log(site.id, lease),
            publish=self._hub.publish,
            beat=lambda: self._beat(site.id),
            followed=lambda: self._hub.followed,
            fence_floor=lambda: mark.read(self._files(site.id)).fence,
        )
        self._beats.pop(
            site.id, None
        )  # the watchdog waits for this one's first tick, however long its rows take to read
        self._hub.add(runner)
        return runner

    def _child_rng(self) -> random.Random:
        return random.Random(self._rng.getrandbits(64))

    def _beat(self, site: str) -> None:
        self._beats[site] = self._clock.now()

    async def _open_log(self, site: str, lease: Lease) -> SiteLog:
        """The site's journal under the lease's fence; what an earlier life left in it is applied first."""
        journal = Journal.open(self._files(site), site, bytes_max=self._settings.journal.bytes_max)
        sync = keep_synced(journal, self._settings.journal.sync_interval_s, in_thread=not self._journal_in_memory)
        found = self.logs[site] = SiteLog(journal, self._store, self._clock, self._child_rng(), sync)
        if journal.torn or journal.unread:
            said = {"torn_bytes": journal.torn, "segments_damaged": journal.corrupt, "records_unread": journal.unread}
            log.warning("journal.not_whole", site=site, **said)
        attempt = 0
        while True:
            try:
                await found.verify()
                await found.writer.flush()
                last_n = await self._store.last_n(site, lease.fence)
                break
            except StoreUnavailable as error:
                log.warning("journal.replay_waits", site=site, pending=journal.pending_count, error=str(error))
                await asyncio.sleep(backoff_s(attempt, self._rng))
                attempt += 1
        journal.begin(lease.fence, last_n)
        return found

    def _files(self, site: str) -> Files:
        """Where a site's journal is kept."""
        if self._journal_in_memory:
            return self.memory_files.setdefault(site, MemoryFiles())
        return Folder(Path(self._settings.daemon.data_dir) / "journal" / site / site)

    def leading(self) -> list[str]:
        """The sites that this daemon leads now."""
        return [site for site, runner in self._hub.runners.items() if runner.leading]

    def ticking(self, within_s: float) -> bool:
        """Every engine that leads has ticked within the last `within_s` seconds."""
        now = self._clock.now()
        return all(now - self._beats.get(site, now) < within_s for site in self.leading())

    def alerts(self) -> Iterator[str]:
        """What is wrong now, each as "code: what"."""
        for site, found in self.logs.items():
            if found.older:
                yield f"database_older: site {site}"
        for runner in self._hub.runners.values():
            for what, code in runner.core.live.alerts.items():
                yield f"{code}: {what}"

    async def drain(self) -> None:
        """No new calls; calls being set up finish within the bound; conversations live on in the PBX."""
        bound = self._settings.daemon.drain_s
        runners = [runner for runner in self._hub.runners.values() if runner.leading]
        await asyncio.gather(*(self._drain(runner, bound) for runner in runners))
        for runner in runners:
            if runner.lease is not None:
                try:
                    await asyncio.wait_for(self._store.release_lease(runner.lease), DRAIN_GRACE_S)
                except (StoreError, TimeoutError) as error:
                    log.warning("lease.not_released", site=runner.site, error=str(error) or "no answer in time")

    async def _drain(self, runner: SiteRunner, bound_s: float) -> None:
        """One site's; what is still open as the bound is reached is told."""
        try:
            if await asyncio.wait_for(runner.drain(bound_s), bound_s + DRAIN_GRACE_S):
                return
            reason = "bound reached"
        except TimeoutError:
            reason = "the engine does not answer"
        except DaemonError as error:
            reason = str(error)
        log.warning("drain.incomplete", site=runner.site, reason=reason, bound_s=bound_s, **_open(runner.left()))

    def close(self) -> str:
        """Let go of the journals; the log has what each site leaves behind, and so has the line returned.

        Raises FactsLost if a journal could not be written: what was to go there is nowhere else.
        """
        told, lost = [], []
        for site, found in list(self.logs.items()):
            left = self._hub.runners[site].left()
            self._close(site)
            unwritten = found.journal.unwritten_count
            counts = _open(left) | {"facts_kept_in_journal": left.facts - unwritten, "facts_lost": unwritten}
            say = log.warning if left.facts or left.being_set_up else log.info
            say("site.stopped", site=site, **counts)
            told.append(f"site {site}: " + ", ".join(f"{what} {count}" for what, count in counts.items()))
            if unwritten:
                lost.append(f"site {site}: {unwritten} facts could not be kept: {found.journal.error}")
        if lost:
            raise FactsLost("; ".join(lost))
        return "; ".join(told)

    def _close(self, site: str) -> None:
        found = self.logs.pop(site, None)
        if found is not None:
            found.close()


def _open(left: Left) -> dict[str, int]:
    """What a site has open, as the log names it."""
    return {"conversations": left.talking, "calls_being_set_up": left.being_set_up, "facts_waiting": left.facts}
