"""One shift twice: under the bare policy in the simulated call centre, and in the whole daemon beside a fake PBX.

The people are the same in both: the n-th person called answers after the same time, has the same patience, talks and
makes wrap up equally long, whoever calls. What then differs is the daemon: its reaction times, what it learns late or
not at all, its caps. Called by benchmarks/fidelity.py and by the tests.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, CampaignMode
from daemon.engine import commands as c
from daemon.engine.views import AgentView, Changes
from daemon.errors import CommandError
from daemon.settings import Settings
from fake_asterisk.config import Behaviour
from fake_asterisk.people import People
from simulation.centre import CONNECT_DEADLINE_S, CallCentre, Dialer
from simulation.checkers import ABANDONED, CUSTOMER
from simulation.loop import VirtualLoop
from simulation.open_rules import RULES
from simulation.shift import REFUSAL_TALK, REFUSAL_WRAP, REFUSALS, TALK_SIGMA, WRAP_SIGMA, Agent, Scenario
from simulation.world import World, pbx

FAILS_SIP = 486
REACTION_S = 0.1
"""From an agent's being free to the bridge: network and PBX. A person connected in the last instant is not late."""
PARIS = ZoneInfo("Europe/Paris")
SETTLE_S = 90.0
"""After the end of the shift: calls under way are heard out."""


@dataclass(frozen=True, slots=True)
class Person:
    """What one person does when called. `luck` decides, with the answer rate of that instant, whether they answer; if
    so after `answers_s`, and wait for `patience_s`; if not, and `fails_s` is set, the call fails after that."""

    luck: float
    answers_s: float
    fails_s: float | None
    patience_s: float
    talk_s: float
    wrap_s: float


def person(scenario: Scenario, seed: int, number: int) -> Person:
    """The `number`-th person called in this shift."""
    chance = random.Random(f"{scenario.name}/{seed}/person {number}")
    answers = scenario.ring_timeout_s
    while answers > scenario.ring_timeout_s - 0.5:
        answers = 0.8 + min(6.0, chance.expovariate(1.0)) + 7.5 * math.exp(chance.gauss(0, 0.5))
    refusal = chance.random() < REFUSALS
    talk = scenario.talk_s * (REFUSAL_TALK if refusal else 2 - REFUSAL_TALK)
    wrap = scenario.wrap_s * (REFUSAL_WRAP if refusal else 2 - REFUSAL_WRAP)
    return Person(
        luck=chance.random(),
        answers_s=answers,
        fails_s=1.0 + chance.uniform(0.2, 3.0) if chance.random() < scenario.quick_share else None,
        patience_s=0.2 + chance.expovariate(1 / 15.0),
        talk_s=max(3.0, talk * math.exp(chance.gauss(-(TALK_SIGMA**2) / 2, TALK_SIGMA))),
        wrap_s=max(1.0, wrap * math.exp(chance.gauss(-(WRAP_SIGMA**2) / 2, WRAP_SIGMA))),
    )


def starts(scenario: Scenario, seed: int) -> list[float]:
    """When each agent sits down, seconds into the shift."""
    chance = random.Random(f"{scenario.name}/{seed}/starts")
    return [chance.uniform(0.0, 60.0) for _ in range(scenario.agents)]


@dataclass(frozen=True, slots=True)
class Shift:
    """What a shift came to. `hours`: (connected, abandoned) by clock hour. `occupancy` 0..1."""

    placed: int
    connected: int
    abandoned: int
    occupancy: float
    hours: tuple[tuple[int, int], ...]
    seen_abandoned: int = 0
    """As the PBX itself saw it: persons who answered, stayed, and met no agent within 2 s (whole daemon only)."""

    @property
    def seen_abandonment(self) -> float:
        """The same, of all who answered, 0..1."""
        return self.seen_abandoned / max(1, self.connected + self.abandoned)

    @property
    def abandonment(self) -> float:
        """Abandoned of live answers, 0..1."""
        return self.abandoned / max(1, self.connected + self.abandoned)

    @property
    def hour_excess(self) -> float:
        """Calls over 3 % in the worst clock hour; lawful up to 1."""
        return max((a - 0.03 * (c + a) for c, a in self.hours), default=0.0)


# ---- the bare policy -------------------------------------------------------------------------------------------------


class TwinCentre(CallCentre):
    """The simulated call centre with these people."""

    def __init__(self, scenario: Scenario, seed: int, dialer: Dialer, shift_s: float) -> None:
        super().__init__(scenario, seed, dialer, shift_s)
        self.heap.clear()
        for agent, at in enumerate(starts(scenario, seed)):
            self.push(at, "ready", -1, agent)
        self.people: dict[int, Person] = {}
        self.seed = seed

    def _dial(self, call: int) -> None:
        one = self.people[call] = person(self.scenario, self.seed, call)
        if one.luck < self.scenario.answer_rate(self.now):
            self.push(self.now + one.answers_s, "answered", call, -1)
        else:
            self.push(self.now + (one.fails_s or self.scenario.ring_timeout_s), "ended", call, -1)

    def _patience_s(self, call: int) -> float:
        return self.people[call].patience_s

    def _work_s(self, agent: Agent, call: int) -> tuple[float, float]:
        return self.people[call].talk_s, self.people[call].wrap_s


def bare(scenario: Scenario, seed: int, dialer: Dialer, shift_s: float) -> Shift:
    """The shift under `dialer`."""
    centre = TwinCentre(scenario, seed, dialer, shift_s)
    result = centre.run()
    busy, staffed = sum(a.busy_s for a in centre.agents), sum(a.staffed_s for a in centre.agents)
    hours = tuple((connected, abandoned) for connected, abandoned in result.hours)
    connected = sum(each for each, _ in hours)
    return Shift(result.placed, connected, sum(each for _, each in hours), busy / staffed, hours)


# ---- the whole daemon ------------------------------------------------------------------------------------------------


class _Crowd(People):
    """These people as the fake PBX meets them, in the order they are called."""

    def __init__(self, scenario: Scenario, seed: int, now: Callable[[], float]) -> None:
        super().__init__()
        self._scenario, self._seed, self._now = scenario, seed, now
        self._called = 0
        self.by_number: dict[str, Person] = {}

    def behaviour(self, number: str, rng: random.Random) -> Behaviour:
        one = self.by_number[number] = person(self._scenario, self._seed, self._called)
        self._called += 1
        if one.luck < self._scenario.answer_rate(self._now()):
            return Behaviour(
                ring_after_s=0.3, answer_after_s=one.answers_s, patience_s=one.patience_s, talk_s=one.talk_s
            )
        if one.fails_s is not None:
            return Behaviour(ring_after_s=0.3, answer_after_s=None, fail_sip=FAILS_SIP, fail_after_s=one.fails_s)
        return Behaviour(ring_after_s=0.3, answer_after_s=None)


Disturb = Callable[[World], Awaitable[None]]


LATE_S, LOST_SHARE = 1.0, 0.005


def late_and_lost(seed: int) -> Disturb:
    """Events of the PBX up to a second late, and one in 200 lost."""

    async def disturb(world: World) -> None:
        world.fake.faults.late_events(LATE_S, LOST_SHARE, random.Random(seed))

    return disturb


class Twin:
    """The whole daemon's shift. `disturb(world)` is awaited once all is set up, before the first agent sits down."""

    def __init__(self, loop: VirtualLoop, scenario: Scenario, seed: int, shift_s: float) -> None:
        self._loop, self._scenario, self._seed, self._shift_s = loop, scenario, seed, shift_s
        self._began = math.inf
        self._crowd = _Crowd(scenario, seed, lambda: loop.time() - self._began)
        self.world = World(loop, seed, mode="dialplan", pbx_config=pbx(scenario.agents, self._crowd))
        self.world.settings_changes = self._settings
        local = self.world.clock.utcnow().astimezone(PARIS)
        self._opens: datetime = local.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        self._disposed: set[str] = set()

    def _settings(self, settings: Settings) -> Settings:
        """Calling hours are the shift's; lines do not rest, since people who are busy say nothing about lines."""
        ends = self._opens + timedelta(seconds=self._shift_s)
        hours = RULES.replace('"00:00"', f'"{self._opens:%H:%M}"').replace('"24:00"', f'"{ends:%H:%M}"')
        (Path(settings.daemon.rules_dir) / "shift.toml").write_text(hours.replace('id = "open"', 'id = "shift"'))
        return msgspec.structs.replace(
            settings, dialer=msgspec.structs.replace(settings.dialer, line_failures_rest=1000)
        )

    async def run(self, disturb: Disturb | None = None) -> Shift:
        """The shift, from the full hour on."""
        world, scenario = self.world, self._scenario
        campaign = await world.furnish(
            agents=scenario.agents, leads=0, lines=(min(scenario.lines, 9999),), rule_set="shift",
            mode=CampaignMode.PREDICTIVE, level=3, speed=10, ring_timeout_s=scenario.ring_timeout_s,
            wrap_up_max_s=3600.0, calls_per_second=min(scenario.cps, 500.0),
        )  # fmt: skip
        await self._fill_list()
        await world.start()
        if disturb is not None:
            await disturb(world)
        world.app.hub.listen(self._heard)
        left = (self._opens - world.clock.utcnow()).total_seconds()
        await asyncio.sleep(left - 30.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep((self._opens - world.clock.utcnow()).total_seconds())
        self._began = self._loop.time()
        for agent, at in zip(world.agents, starts(scenario, self._seed), strict=True):
            self._loop.call_at(
                self._began + at, self._send, c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True)
            )
        await asyncio.sleep(self._shift_s)
        live = world.live.campaigns[campaign.id]
        ready, handling = self._spent(campaign)
        await asyncio.sleep(SETTLE_S)
        found = Shift(
            live.placed, *self._booked(), handling / (handling + ready), self._hours(), self._seen_abandoned()
        )
        await world.stop()
        return found

    async def _fill_list(self) -> None:
        """More people than can be called."""
        scenario, store = self._scenario, self.world.store
        assert store is not None
        rate = min(share for _, share in scenario.answer)
        talks = self._shift_s * scenario.agents / (scenario.talk_s + scenario.wrap_s)
        count = min(99_999, int(1.3 * talks / rate) + 500)
        drafts = [LeadDraft(e164=f"+331990{n:05d}", last_name=f"P{n}") for n in range(count)]
        for start in range(0, count, 5000):
            await store.add_leads(self.world.list.id, drafts[start : start + 5000])

    def _send(self, command: c.AnyCommand) -> None:
        task = asyncio.ensure_future(self._try(command))
        self.world._tasks.append(task)

    async def _try(self, command: c.AnyCommand) -> None:
        try:
            await self.world.submit(command)
        except CommandError:
            return  # the call was taken from this agent by what disturbs the world

    def _heard(self, changes: Changes) -> None:
        """An agent in wrap-up is done when this person's wrap-up is over."""
        for view in changes.get("agents", {}).values():
            if not isinstance(view, AgentView) or view.state != "wrap_up" or view.last_attempt_id in self._disposed:
                continue
            self._disposed.add(view.last_attempt_id)
            call = self.world.live.desks[view.id].last_call
            one = self._crowd.by_number["0" + call.e164.removeprefix("+33")]
            done = c.Dispose(agent_id=view.id, attempt_id=UUID(view.last_attempt_id), code="REFUS")
            self._loop.call_later(one.wrap_s, self._send, done)

    # ---- what it came to ----------------------------------------------------------------------------------------

    def _spent(self, campaign: Campaign) -> tuple[float, float]:
        """Agents' seconds ready and handling so far, states that still last included."""
        live, now = self.world.live, self._loop.time()
        ready, handling = live.campaigns[campaign.id].ready_s, live.campaigns[campaign.id].handling_s
        for desk in live.desks.values():
            spent = now - desk.since_at
            ready += spent if desk.state == "ready" else 0.0
            handling += spent if desk.state in ("on_call", "wrap_up") else 0.0
        return ready, handling

    def _rows(self) -> dict[datetime, list[float]]:
        assert self.world.store is not None
        rows: dict[datetime, list[float]] = {}
        for (_, hour, _), sums in self.world.store.tables.ledger.items():
            rows.setdefault(hour, [0.0, 0.0])
            rows[hour][0] += sums[0] - sums[ABANDONED]
            rows[hour][1] += sums[ABANDONED]
        return rows

    def _booked(self) -> tuple[int, int]:
        rows = self._rows().values()
        return int(sum(row[0] for row in rows)), int(sum(row[1] for row in rows))

    def _seen_abandoned(self) -> int:
        """By the fake PBX's own ledger: answered, still there at the deadline, and in no bridge by then."""
        count = 0
        for leg in self.world.fake.ledger.legs.values():
            if CUSTOMER.match(leg.uniqueid) and leg.answered_at is not None:
                deadline = leg.answered_at + CONNECT_DEADLINE_S + REACTION_S
                met_at = min((stay.entered_at for stay in leg.stays), default=math.inf)
                count += min(met_at, leg.ended_at or math.inf) > deadline
        return count

    def _hours(self) -> tuple[tuple[int, int], ...]:
        return tuple((int(row[0]), int(row[1])) for _, row in sorted(self._rows().items()))


async def whole(
    loop: VirtualLoop, scenario: Scenario, seed: int, shift_s: float, disturb: Disturb | None = None
) -> Shift:
    """The shift in the whole daemon."""
    return await Twin(loop, scenario, seed, shift_s).run(disturb)
