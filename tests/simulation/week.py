"""A week of a campaign on simulated time, and what the fake PBX's ledger must show of it.

The checker shares nothing with the daemon: it reads the ledger's originates, what the agents of this test said in their
calls, and the second opinion of tests/unit/compliance/oracle.py. It knows four promises: nobody is dialled outside the
rules, nobody due is forgotten, nobody comes back who should not, and new leads are dialled in the campaign's order.
"""

from __future__ import annotations

import asyncio
import random
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import LeadOrder, RecyclingRule
from daemon.compliance import LeadFacts, dial_string, tz_group
from daemon.compliance.rules import RULES_DIRECTORY
from daemon.engine import commands as c
from daemon.settings import Settings
from fake_asterisk import people
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop
from simulation.world import World, pbx
from tests.unit.compliance import oracle

PARIS, MARTINIQUE, REUNION = "Europe/Paris", "America/Martinique", "Indian/Reunion"
RULES = tomllib.loads((RULES_DIRECTORY / "fr-b2c-2026.toml").read_text("utf-8"))
WISHES: dict[str, Any] = {
    "zone": PARIS, "hours": [], "attempts_max": 4, "gap_min_s": 14_400.0, "running_contract": False,
    "business": False, "agent_reserved": True, "special_allowed": False,
}  # fmt: skip
RETURNS = {"no_answer": (86_400.0, 2), "busy": (14_400.0, 3)}
"""Outcome → delay, most returns; the status INJOIGN comes back after six hours, twice."""
AGAIN_S, AGAIN_MAX = 21_600.0, 2
LATE = timedelta(minutes=20)
"""What is due is dialled this soon after the first minute in which it may be: two agents work off a morning's queue."""


@dataclass
class Person:
    """One lead of the week; `facts` as the oracle takes them, filled from what happens."""

    e164: str
    places: tuple[tuple[str, str], ...]
    priority: int = 5
    consent_at: datetime | None = None
    refused_at: datetime | None = None
    dnc: bool = False
    said: dict[str, tuple[datetime, str, datetime | None]] = field(default_factory=dict)  # channel → status, callback


def crowd(begin: datetime, scale: int) -> list[Person]:
    """Consumers on three clocks; some never agreed, some objected, some agreed or refused long ago."""
    agreed = begin - timedelta(days=70)
    paris, antilles, reunion = ((PARIS, ""),), ((MARTINIQUE, "972"),), ((REUNION, "974"),)
    found = [
        *(Person(f"+33612340{n:03d}", paris, priority=4 + n % 3, consent_at=agreed) for n in range(14 * scale)),
        *(Person(f"+596696120{n:03d}", antilles, consent_at=agreed) for n in range(4 * scale)),
        *(Person(f"+262692120{n:03d}", reunion, consent_at=agreed) for n in range(4 * scale)),
        *(Person(f"+33612350{n:03d}", paris) for n in range(2 * scale)),
        *(Person(f"+33612360{n:03d}", paris, consent_at=agreed, dnc=True) for n in range(2 * scale)),
    ]
    soon = begin + timedelta(days=3, hours=5)
    found.append(Person("+33612370001", paris, consent_at=soon - timedelta(days=365)))  # their year ends in the week
    found.append(Person("+33612370002", paris, consent_at=agreed, refused_at=soon - timedelta(days=61)))
    return found


def _calm(settings: Settings) -> Settings:
    """Timers that only matter to seconds run seldom: of a week, most is night."""
    dialer = msgspec.structs.replace(settings.dialer, tick_s=240.0)
    journal = msgspec.structs.replace(settings.journal, sync_interval_s=600.0)
    lease = msgspec.structs.replace(settings.lease, ttl_s=7200.0, renew_s=1800.0)
    sites = [msgspec.structs.replace(site, ping_interval_s=1800.0) for site in settings.sites]
    return msgspec.structs.replace(settings, dialer=dialer, journal=journal, lease=lease, sites=sites)


class Week:
    """Furnishes a world, lets it run, keeps what the agents said."""

    def __init__(self, loop: VirtualLoop, begin: datetime, *, agents: int, scale: int, seed: int) -> None:
        self.begin, self.agents, self.seed = begin, agents, seed
        habits = people.People(answer_chance=0.35, talk_mean_s=90.0, machine_share=0.0, unallocated_share=0.0)
        self.world = World(loop, seed=seed, mode="dialplan", pbx_config=pbx(agents, habits))
        self.world.settings_changes = _calm
        self.world.clock._start = begin - timedelta(seconds=loop.time() - self.world.clock._at)
        self.people = {dial_string(person.e164): person for person in crowd(begin, scale)}
        self.rng = random.Random(seed)

    async def run(self, days: float) -> None:
        """The campaign works for so long."""
        world = self.world
        rules = [RecyclingRule(on=on, delay_s=delay, max_count=most) for on, (delay, most) in RETURNS.items()]
        rules.append(RecyclingRule(on="INJOIGN", delay_s=AGAIN_S, max_count=AGAIN_MAX))
        campaign = await world.furnish(
            agents=self.agents, leads=0, rule_set="fr-b2c-2026", gap_min_s=WISHES["gap_min_s"], attempts_max=4,
            order=LeadOrder.PRIORITY, recycling=rules, ring_timeout_s=15.0,
        )  # fmt: skip
        store, client = world.store, world.client
        assert store is not None and client is not None
        for person in self.people.values():
            draft = LeadDraft(
                e164=person.e164, priority=person.priority, consent_at=person.consent_at, tz_group=tz_group(person.e164)
            )
            (lead_id,) = await store.add_leads(world.list.id, [draft])
            if person.refused_at is not None:
                await store.update_lead(lead_id, {"refused_at": person.refused_at})
        objected = [person.e164 for person in self.people.values() if person.dnc]
        await store.add_dnc(client.id, objected, "test", "file")
        await world.start()
        for agent in world.agents:
            await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        world._tasks.append(asyncio.create_task(self._agents(), name="agents"))
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(days * 86_400.0)

    async def _agents(self) -> None:
        """Each call is disposed of 20 s after its end; what was said is kept for the checker."""
        done: set[UUID] = set()
        while True:
            desks = [desk for desk in self.world.live.desks.values() if desk.state == "wrap_up"]
            for desk in desks:
                attempt = desk.last_call.attempt_id
                if attempt not in done and not desk.disposed:
                    done.add(attempt)
                    await self._dispose(desk.id, attempt)
            quiet = all(desk.state == "ready" for desk in self.world.live.desks.values())
            await asyncio.sleep(20.0 if desks or not quiet else 30.0)

    async def _dispose(self, agent_id: int, attempt_id: UUID) -> None:
        now = self.world.clock.utcnow()
        code = self.rng.choice(["VENTE", "REFUS", "RAPPEL", "RAPPEL", "INJOIGN", "INJOIGN"])
        hours = self.rng.choice([5.0, 20.5, 26.0, 43.0])  # some in the night, some on a day that is closed
        callback = now + timedelta(hours=hours) if code == "RAPPEL" else None
        leg = next(leg for leg in self.world.fake.ledger.legs.values() if leg.uniqueid.endswith(attempt_id.hex))
        self.people[leg.number].said[leg.uniqueid] = (now, code, callback)
        await self.world.submit(
            c.Dispose(agent_id=agent_id, attempt_id=attempt_id, code=code, callback_at=callback, callback_mine=False)
        )

    def calls(self) -> dict[str, list[tuple[datetime, Any]]]:
        """(instant, leg) of each customer leg by number, from the PBX's ledger."""
        found: dict[str, list[tuple[datetime, Any]]] = defaultdict(list)
        for leg in sorted(self.world.fake.ledger.legs.values(), key=lambda leg: leg.made_at):
            if CUSTOMER.match(leg.uniqueid):
                found[leg.number].append((self._utc(leg.made_at), leg))
        return found

    def _utc(self, at: float) -> datetime:
        return self.world.clock._start + timedelta(seconds=at - self.world.clock._at)

    # ---- the checker ---------------------------------------------------------------------------------------------

    def known(self) -> None:
        """Tell the oracle where these people are."""
        for person in self.people.values():
            oracle.WHEREABOUTS[person.e164] = person.places

    def facts(self, person: Person, calls: list[tuple[datetime, Any]], at: datetime) -> LeadFacts:
        """What was known of a person at an instant, from the calls made before it."""
        before = [(made, leg) for made, leg in calls if made < at]
        weighing = tuple(made for made, leg in before if leg.tech_cause not in (404, 503))
        said = [person.said[leg.uniqueid] for _, leg in before if leg.uniqueid in person.said]
        refused = [when for when, code, _ in said if code == "REFUS"]
        callback = next((due for _, _, due in reversed(said) if due is not None), None)
        if callback is not None and before[-1][0] >= callback and before[-1][1].uniqueid in person.said:
            callback = None  # it was made
        return LeadFacts(
            e164=person.e164, consent_at=person.consent_at, dnc="red list" if person.dnc else "",
            attempt_times=weighing, attempts=len(weighing), callback_at=callback,
            refused_at=max([*refused, *([person.refused_at] if person.refused_at else [])], default=None),
        )  # fmt: skip

    def unlawful(self) -> list[str]:
        """Calls that the oracle forbids at the instant the PBX was asked for them."""
        found = []
        for number, calls in self.calls().items():
            person = self.people[number]
            for at, _ in calls:
                verdict = oracle.verdict(RULES, WISHES, self.facts(person, calls, at), at)
                if verdict != "allowed":
                    found.append(f"{person.e164} at {at}: {verdict}")
        return found

    def due_after(self, person: Person, calls: list[tuple[datetime, Any]], place: int) -> datetime | None:
        """When the person is due again after their call number `place`, as the campaign is set up; None: not at all."""
        _, leg = calls[place]
        ended = self._utc(leg.ended_at)
        if leg.uniqueid in person.said:
            when, code, callback = person.said[leg.uniqueid]
            if code == "RAPPEL":
                return callback
            if code != "INJOIGN" or self._returns(person, calls[:place]) >= AGAIN_MAX:
                return None
            return when + timedelta(seconds=AGAIN_S)
        if leg.answered_at is not None:
            return None
        on = "busy" if leg.tech_cause == 486 else "no_answer"
        if leg.tech_cause == 503:
            return ended + timedelta(minutes=10)
        delay, most = RETURNS[on]
        if self._returns(person, calls[:place]) >= most:
            return None
        return ended + timedelta(seconds=delay)

    def _returns(self, person: Person, calls: list[tuple[datetime, Any]]) -> int:
        """Returns by rule so far: calls that a rule, not a callback or our own failure, brought back."""
        return sum(
            1
            for place, (_, leg) in enumerate(calls)
            if leg.tech_cause != 503
            and (leg.uniqueid not in person.said or person.said[leg.uniqueid][1] == "INJOIGN")
            and self.due_after(person, calls, place) is not None
        )

    def first_lawful(self, person: Person, calls: list[tuple[datetime, Any]], due: datetime, end: datetime) -> Any:
        """The first five minutes from `due` on in which the oracle allows the call."""
        at = due
        while at < end:
            if oracle.verdict(RULES, WISHES, self.facts(person, calls, at), at) == "allowed":
                return at
            at += timedelta(minutes=5)
        return None

    def forgotten(self, days: float) -> list[str]:
        """Leads due and lawful that were not dialled in time; and calls that nothing had made due."""
        found, end, all_calls = [], self.begin + timedelta(days=days) - LATE, self.calls()
        for number, person in self.people.items():
            calls = all_calls.get(number, [])
            due: datetime | None = self.begin
            for place in range(len(calls) + 1):
                made = calls[place][0] if place < len(calls) else None
                if made is not None and (due is None or made < due):
                    found.append(f"{person.e164} dialled at {made}, due {due}")
                if due is not None:
                    first = self.first_lawful(person, calls[:place], due, end)
                    patience = LATE if place else timedelta(hours=4)  # new leads wait for their turn
                    if first is not None and (made is None or made > first + patience):
                        found.append(f"{person.e164}: call {place + 1} due {due}, lawful {first}, made {made}")
                if place < len(calls):
                    due = self.due_after(person, calls, place)
        return found

    def disorder(self) -> list[str]:
        """New leads of one clock that were dialled before one of a higher priority, or of the same and an older one."""
        firsts = sorted((calls[0][0], number) for number, calls in self.calls().items())
        places = {number: place for place, number in enumerate(self.people)}
        found = []
        by_zone: dict[Any, tuple[int, int]] = {}
        for at, number in firsts:
            person = self.people[number]
            if person.refused_at is not None:
                continue  # due when its silence ends
            key = (-person.priority, places[number])
            if by_zone.get(person.places, key) > key:
                found.append(f"{person.e164} dialled at {at} after {by_zone[person.places]}")
            by_zone[person.places] = key
        return found
