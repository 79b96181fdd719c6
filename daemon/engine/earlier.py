"""What today held before this life of the engine, or elsewhere: the store's part of the figures of the day.

Asked beside the engine's work, as nobody's first call may wait for it, and added to what was counted meanwhile. No call
counts twice, none is left out: facts of earlier lives are in the store before this one begins, bear a lower fence, and
of the calls and intervals that were open then it is known which they are. What those had come to is counted here, what
became of them by the engine as it happens.

Also asked for a campaign or an agent that comes later (from another site, or back): all that was before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from daemon.agents.states import HANDLING, TALKING
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import AgentStateRow, OpenAttempt
from daemon.engine.day import began, zone_of
from daemon.engine.live import CampaignLive, Desk, Live
from daemon.errors import StoreUnavailable
from daemon.ports import Store

log = structlog.get_logger(__name__)

RETRY_S, TRIES = 5.0, 24
"""A store that was lost is back by then; what it can't count in its time, it can't count at the last try either."""

SETTLED_S = 2.0
"""What another site did for a campaign or an agent that has come from it is in the store by then."""

ANY_FENCE = 1 << 62
_NOBODY_CALLED_BACK = frozenset({"blacklisted", "unknown_number"})
_TURNED_AWAY = ("blacklisted", "closed", "full", "overflow")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cut:
    """What an engine leaves to the store: its site's rows below `fence`, begun before `until` (None = any). Of the
    attempts that were `open`, those whose disposition was to come (`forms`) and the intervals that agents were in
    (`since`) only what was before."""

    fence: int
    until: datetime | None = None
    open: tuple[UUID, ...] = ()
    forms: tuple[UUID, ...] = ()
    since: tuple[tuple[int, datetime], ...] = ()


class Earlier:
    """See the module's first lines. One an engine; `put`: into its inbox."""

    def __init__(self, live: Live, store: Store, put: Callable[[Callable[[], None]], None]) -> None:
        self._live, self._store, self._put = live, store, put
        self._cut: Cut | None = None
        self._new: list[tuple[CampaignLive | Desk, Cut | None]] = []
        self._news = asyncio.Event()

    def appeared(self, who: CampaignLive | Desk) -> None:
        """A campaign or an agent is new to the engine: its day so far is to be read."""
        live = self._live
        zone = who.record.zone if isinstance(who, CampaignLive) else zone_of(who, live)
        who.today_from_at = live.now - (live.utc - began(live.utc, zone)).total_seconds()
        self._new.append((who, None if self._cut is None else Cut(ANY_FENCE, until=live.utc)))
        self._news.set()

    def begin(self, fence: int, attempts: Iterable[OpenAttempt], agents: Iterable[AgentStateRow]) -> None:
        """What was found open is adopted: the line is drawn, and what those calls had come to today is counted."""
        live, attempts, agents = self._live, tuple(attempts), tuple(agents)
        self._cut = Cut(
            fence,
            open=tuple(row.attempt_id for row in attempts),
            forms=tuple(row.undisposed.attempt_id for row in agents if row.undisposed is not None),
            since=tuple((row.agent_id, row.since) for row in agents),
        )
        for row in attempts:
            if (campaign := live.campaigns.get(row.campaign_id)) is None:
                continue
            start = began(live.utc, campaign.record.zone)
            if row.kind == "inbound":
                if row.connected_at is not None and row.connected_at >= start:
                    campaign.callers["answered"] += 1
            elif row.answered_at is not None and row.answered_at >= start:
                campaign.answered += 1
        for desk in live.desks.values():  # whose campaigns, and so whose clock, are known only now
            desk.today_from_at = live.now - (live.utc - began(live.utc, zone_of(desk, live))).total_seconds()

    async def run(self) -> None:
        """Read what is wanted as it appears, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            wanted, self._new = self._new, []
            if any(cut is not None for _, cut in wanted):
                await asyncio.sleep(SETTLED_S)
            parts: dict[tuple[str, Cut], list[CampaignLive | Desk]] = {}
            assert self._cut is not None
            for who, cut in wanted:
                zone = who.record.zone if isinstance(who, CampaignLive) else zone_of(who, self._live)
                parts.setdefault((zone, cut or self._cut), []).append(who)
            for (zone, cut), those in parts.items():
                await self._read(zone, cut, those)

    async def _read(self, zone: str, cut: Cut, those: Sequence[CampaignLive | Desk]) -> None:
        start = began(self._live.utc, zone)
        given = {"site": self._live.site.id, "fence": cut.fence, "start": start, "until": cut.until}
        campaigns = {who.id: who for who in those if isinstance(who, CampaignLive)}
        desks = {who.id: who for who in those if isinstance(who, Desk)}
        if cut.until is None:
            calls = await self._ask("day_calls", open=list(cut.open), forms=list(cut.forms), **given)
            ids, since = [id for id, _ in cut.since], [at for _, at in cut.since]
            intervals = await self._ask("day_agents", agent_ids=ids, since=since, **given)
        else:
            calls, intervals = await self._of_late_comers(campaigns, desks, given)
        if calls or intervals:
            self._put(_adding(_Day(self._live, zone, start, campaigns, desks), calls, intervals))

    async def _of_late_comers(
        self, campaigns: Iterable[int], desks: Iterable[int], given: Mapping[str, Any]
    ) -> tuple[Sequence[Row], Sequence[Row]]:
        """Most of them are just made, and have no rows: what names none of them is read only if they have."""
        named, intervals = {*campaigns}, await self._ask("day_agents", only=[*desks], **given)
        worked_for = named | {row["campaign_id"] for row in intervals}
        calls = await self._ask("day_calls", only=sorted(worked_for), **given)
        if any(row["campaign_id"] in named for row in calls):
            intervals = await self._ask("day_agents", **given)
        return calls, intervals

    async def _ask(self, name: str, **given: Any) -> Sequence[Row]:
        for tries in range(TRIES):
            try:
                return await self._store.report(name, **given)
            except StoreUnavailable as error:
                if tries == 0:
                    log.warning("figures of the day wait for the store", site=self._live.site.id, error=str(error))
                await asyncio.sleep(RETRY_S)
        log.warning("figures of the day not whole", site=self._live.site.id, what=name)
        return []


@dataclass(frozen=True, slots=True)
class _Day:
    """For whom rows were read, and of which day: one that is over is not added to the next."""

    live: Live
    zone: str
    start: datetime
    campaigns: Mapping[int, CampaignLive]
    desks: Mapping[int, Desk]

    def add(self, calls: Iterable[Row], intervals: Iterable[Row]) -> None:
        """On top of what has been counted since."""
        if began(self.live.utc, self.zone) != self.start:
            return
        for row in calls:
            if row["campaign_id"] is None:
                if (desk := self.desks.get(row["agent_id"])) is not None:
                    _add(desk.today, "sales", row["sales"])
            elif (campaign := self._campaign(row["campaign_id"], row)) is not None:
                (_callers if row["inbound"] else _placed)(campaign, row)
        for row in intervals:
            self._interval(row)
        for id in self.campaigns:
            self.live.touch("campaigns", id)
        for id in self.desks:
            self.live.touch("agents", id)

    def _campaign(self, id: int, row: Row) -> CampaignLive | None:
        """The campaign, if the row counts here: what another site did for one of every site's, that site tells."""
        campaign = self.campaigns.get(id)
        return campaign if campaign is not None and (row["own"] or campaign.record.site) else None

    def _interval(self, row: Row) -> None:
        works, seconds = row["state"] in HANDLING, row["seconds"]
        if (desk := self.desks.get(row["agent_id"])) is not None:
            _add(desk.today, "calls", row["calls"])
            _add(desk.today, "handling_s" if works else "ready_s", int(seconds * 1000))
            if row["state"] in TALKING:
                _add(desk.today, "talk_s", int(seconds * 1000))
        for id in row["campaign_ids"]:
            if (campaign := self._campaign(id, row)) is None:
                continue
            if not works:
                campaign.ready_s += seconds
            elif id == row["campaign_id"]:
                campaign.handling_s += seconds


def _adding(day: _Day, calls: Sequence[Row], intervals: Sequence[Row]) -> Callable[[], None]:
    def add_figures_of_the_day() -> None:
        day.add(calls, intervals)

    return add_figures_of_the_day


def _placed(campaign: CampaignLive, row: Row) -> None:
    campaign.placed += row["placed"]
    campaign.answered += row["answered"]
    if row["outcome"] is not None:
        _add(campaign.outcomes, Outcome(row["outcome"]), row["ended"])


def _callers(campaign: CampaignLive, row: Row) -> None:
    callers, ended_by = campaign.callers, row["ended_by"]
    _add(callers, "arrived", row["began"])
    _add(callers, "answered", row["connected"])
    if row["outcome"] != Outcome.CONNECTED and ended_by not in _NOBODY_CALLED_BACK:
        _add(callers, "missed", row["ended"])
    if ended_by in _TURNED_AWAY:
        _add(callers, ended_by, row["ended"])


def _add(counts: dict[str, int], name: str, more: int) -> None:
    if more:
        counts[name] = counts.get(name, 0) + more
