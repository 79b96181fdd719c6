"""A site's lease as its engine holds it: taken before anything else, renewed, given up by our own clock before its end.

`live.acts_until_at` is the outcome: the instant (monotonic) until which this daemon may act on the site's PBX.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from daemon.calls.lead_records import Lease
from daemon.clock import Clock
from daemon.engine.live import Live
from daemon.errors import StoreUnavailable
from daemon.ports import Store
from daemon.settings import LeaseTable

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Another daemon leads this site now: this runner stops at once and stands by."""


class SiteLease:
    """One an engine. `fence_floor`: the highest fence that this machine's journal knows; a new one is above it."""

    def __init__(
        self,
        live: Live,
        store: Store,
        clock: Clock,
        settings: LeaseTable,
        holder: str,
        fence_floor: Callable[[], int],
    ) -> None:
        self._live, self._store, self._clock = live, store, clock
        self._settings = settings
        self._holder = holder
        self._fence_floor = fence_floor
        self.held: Lease | None = None

    @property
    def acts_s(self) -> float:
        """For how long a lease just renewed lets us act."""
        return self._settings.ttl_s - self._settings.margin_s

    async def acquire(self) -> Lease:
        """Take the lease; a standby waits here."""
        site = self._live.site.id
        while True:
            try:
                started = self._clock.now()
                lease = await self._store.acquire_lease(site, self._holder, self._settings.ttl_s, self._fence_floor())
                if lease is not None:
                    break
            except StoreUnavailable as error:
                log.warning("lease.store_unavailable", site=site, error=str(error))
            await asyncio.sleep(self._settings.renew_s)
        self.held = lease
        self._live.acts_until_at = started + lease.ttl_s - self._settings.margin_s
        self._live.former_seen_at = started - lease.silent_s
        return lease

    async def keep(self) -> None:
        """Renew each second; by our own clock we stop acting a margin before the lease could end.

        Alone on its site, a daemon without its database still serves the calls there are. Where a standby may have
        taken the site, it must not: two daemons would give one customer to two agents (seen in simulation).
        """
        settings = self._settings
        assert self.held is not None
        while True:
            started = self._clock.now()
            left_s = self._live.acts_until_at - started
            if settings.standby and left_s <= 0:
                log.error("lease.ran_out", site=self._live.site.id, fence=self.held.fence)
                raise LeaseLost(self._live.site.id)
            bound_s = min(settings.ttl_s, left_s) if settings.standby else settings.ttl_s
            try:
                async with asyncio.timeout(bound_s):
                    kept = await self._store.renew_lease(self.held)
                if not kept:
                    log.error("lease.lost", site=self._live.site.id, fence=self.held.fence)
                    raise LeaseLost(self._live.site.id)
                self._live.acts_until_at = started + self.held.ttl_s - settings.margin_s
            except (StoreUnavailable, TimeoutError) as error:
                log.warning("lease.not_renewed", site=self._live.site.id, error=str(error))
            left_s = self._live.acts_until_at - self._clock.now()
            await asyncio.sleep(max(0.0, min(settings.renew_s, left_s)) if settings.standby else settings.renew_s)
