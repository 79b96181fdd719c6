"""From the journal to the store: facts in order, in batches, for as long as it takes; and the journal's sync.

Two tasks of the daemon. Nothing is lost: a fact leaves the journal only after the store has confirmed it, or after it
has been set aside as one that the store can never take (`rejected`, and the callback given).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from daemon.calls.facts import NumberedFact
from daemon.clock import Clock
from daemon.errors import StoreConflict, StoreUnavailable
from daemon.store.journal import MARK_EVERY, Journal

BATCH_MAX = 500
GATHER_S = 0.025
"""Commits begin at least so far apart: a lone fact goes at once, under load those of a moment go together. A commit
each cost the database more than the calls' own rows (seen at 100 click-to-calls a second)."""
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0


class FactStore(Protocol):
    """The one method of the Store this needs."""

    async def apply_facts(self, facts: Sequence[NumberedFact]) -> None: ...


def backoff_s(attempt: int, rng: random.Random) -> float:
    """Wait before try `attempt` + 1: doubling to a bound, half of it jitter, so that daemons don't march in step."""
    full = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(attempt, 16))
    return full / 2 + rng.random() * full / 2


class FactWriter:
    """Applies what the journal holds. `wake()` after each append; `run()` until cancelled; `flush()` at a clean end.

    `store_ok` is False from the first failure to the next success. `on_change(store_ok)` is told of each change;
    `on_return` is awaited before the first try after a failure: it may not be the same database that comes back.
    """

    def __init__(
        self,
        journal: Journal,
        store: FactStore,
        clock: Clock,
        rng: random.Random,
        *,
        batch_max: int = BATCH_MAX,
        on_change: Callable[[bool], None] | None = None,
        on_rejected: Callable[[NumberedFact, StoreConflict], None] | None = None,
        on_return: Callable[[], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.store_ok = True
        self.applied = self.batches = self.failures = self.rejected = 0
        self.error = ""
        self._journal, self._store, self._clock, self._rng = journal, store, clock, rng
        self._batch_max, self._on_change, self._on_rejected = batch_max, on_change, on_rejected
        self._on_return = on_return
        self._sleep = sleep
        self._wanted = asyncio.Event()
        self._busy = asyncio.Lock()

    def wake(self) -> None:
        """There is something to apply."""
        self._wanted.set()

    @property
    def lag_s(self) -> float:
        """Age of the oldest fact the store lacks; 0 if it has them all."""
        oldest = self._journal.pending(1)
        if not oldest:
            return 0.0
        return max(0.0, (self._clock.utcnow() - oldest[0].fact.at).total_seconds())

    async def run(self) -> None:
        """Apply what comes, for ever; StoreUnavailable is waited out."""
        attempt, next_at = 0, 0.0
        if self._journal.pending_count:
            self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._journal.pending_count:
                if (early_s := next_at - self._clock.now()) > 0 and self._journal.pending_count < self._batch_max:
                    await self._sleep(early_s)
                next_at = self._clock.now() + GATHER_S
                try:
                    await self.flush_once()
                    attempt = 0
                except StoreUnavailable:
                    await self._sleep(backoff_s(attempt, self._rng))
                    attempt, next_at = attempt + 1, 0.0

    async def flush(self) -> None:
        """Apply everything pending now. Raises StoreUnavailable at the first failure; the journal keeps the rest."""
        while self._journal.pending_count:
            await self.flush_once()

    async def flush_once(self) -> None:
        """One batch. Raises StoreUnavailable, after noting it."""
        async with self._busy:
            batch = self._journal.pending(self._batch_max)
            if not batch:
                return
            try:
                if not self.store_ok and self._on_return is not None:
                    await self._on_return()
                await self._apply(batch)
            except StoreUnavailable as error:
                self.failures += 1
                self._now(False, str(error))
                raise
            self.batches += 1
            self._now(True, "")

    async def _apply(self, batch: Sequence[NumberedFact]) -> None:
        try:
            await self._store.apply_facts(batch)
        except StoreConflict as error:
            if len(batch) == 1:
                self._reject(batch[0], error)
                return
            # One of them can't be taken: find it by halves, so that it alone is set aside.
            half = len(batch) // 2
            await self._apply(batch[:half])
            await self._apply(batch[half:])
            return
        self.applied += len(batch)
        self._journal.mark_applied(batch[-1])

    def _reject(self, fact: NumberedFact, error: StoreConflict) -> None:
        self.rejected += 1
        if self._on_rejected is not None:
            self._on_rejected(fact, error)
        self._journal.mark_applied(fact, confirmed=False)

    def _now(self, ok: bool, error: str) -> None:
        self.error = error
        if ok != self.store_ok:
            self.store_ok = ok
            if self._on_change is not None:
                self._on_change(ok)


async def keep_synced(
    journal: Journal,
    interval_s: float,
    *,
    in_thread: bool = True,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Sync the journal `interval_s` after a write, until cancelled, and once more then; a journal at rest asks for
    nothing. `in_thread` keeps a slow disk from stopping the loop; simulated time allows no threads."""
    if not in_thread and sleep is asyncio.sleep:
        await _synced_by_timers(journal, interval_s)
        return
    news = asyncio.Event()
    journal.on_unsynced = news.set
    late: asyncio.TimerHandle | None = None  # when a mark that no sync has taken along is saved by itself
    loop = asyncio.get_running_loop()
    try:
        while True:
            while not journal.unsynced:
                if late is not None and late.when() <= loop.time():
                    break
                if journal.mark.due and late is None:
                    late = loop.call_later(interval_s * MARK_EVERY, news.set)
                news.clear()
                await news.wait()
            else:
                await sleep(interval_s)
            overdue = late is not None and late.when() <= loop.time()
            calls = journal.begin_sync(with_mark=overdue)
            late = None if overdue else late
            if in_thread and calls:
                errors = await asyncio.to_thread(_sync_all, calls)
            else:
                errors = _sync_all(calls)
            journal.note_sync(errors)
    finally:
        if late is not None:
            late.cancel()
        with contextlib.suppress(OSError):
            journal.sync()


async def _synced_by_timers(journal: Journal, interval_s: float) -> None:
    """The same for a medium that never keeps anybody waiting: timers, as a task woken twice for each sync costs more
    than the sync itself."""
    loop = asyncio.get_running_loop()
    broken: asyncio.Future[None] = loop.create_future()
    timer: asyncio.TimerHandle | None = None
    late: asyncio.TimerHandle | None = None

    def noticed() -> None:
        nonlocal timer, late
        if journal.unsynced:
            if timer is None:
                timer = loop.call_later(interval_s, work)
        elif journal.mark.due and late is None:
            late = loop.call_later(interval_s * MARK_EVERY, overdue)

    def overdue() -> None:
        if timer is None:  # else the sync to come takes the mark along
            work()

    def work() -> None:
        nonlocal timer, late
        timer = None
        with_mark = late is not None and late.when() <= loop.time()
        late = None if with_mark else late
        try:
            journal.note_sync(_sync_all(journal.begin_sync(with_mark=with_mark)))
        except Exception as error:
            if not broken.done():
                broken.set_exception(error)
            return
        noticed()

    journal.on_unsynced = noticed
    noticed()
    try:
        await broken
    finally:
        for handle in (timer, late):
            if handle is not None:
                handle.cancel()
        journal.on_unsynced = lambda: None
        with contextlib.suppress(OSError):
            journal.sync()


def _sync_all(calls: Sequence[Callable[[], None]]) -> list[str]:
    return [Journal.synced_by(call) for call in calls]
