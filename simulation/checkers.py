"""What must be true whatever fails, judged from outside: the fake PBX's own ledger and the store's rows.

Written apart from the code under test and sharing nothing with it but the shape of ids. Each finding is one sentence.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.store.memory_tables import MemoryTables
from fake_asterisk import Ledger, Leg

CUSTOMER = re.compile(r"^[a-z0-9]+-([0-9a-f]{32})$")
AGENT = re.compile(r"^[a-z0-9]+-ag-(\d+)-[0-9a-f]{16}$")
ABANDONED, CONNECTED = 1, 2
"""Places of the abandoned and the connected in the store's sums of an hour."""
SEEN_WITHIN_S = 0.3
"""Without faults an end is known this soon: the network's latency, and the PBX's own disorder of events."""
EDGE_S = 0.02
"""Two stays that touch within this are one after the other (events of one instant)."""
TALK_WITHIN_S = 1.0
"""Sums of talk of one number agree this well; a Local channel's first hundredths of a second are nobody's."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise. `rule`: RELY id or a short name; `text`: what, with ids."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


def _customers(ledger: Ledger) -> list[Leg]:
    return [leg for leg in ledger.legs.values() if CUSTOMER.match(leg.uniqueid)]


def one_originate_an_attempt(ledger: Ledger) -> Iterable[Violation]:
    """RELY-01: the PBX never sees an attempt's originate twice."""
    seen = Counter(o.uniqueid for o in ledger.originates if CUSTOMER.match(o.uniqueid))
    for id, count in seen.items():
        if count > 1:
            yield Violation("RELY-01", f"{count} originates of {id}")


def one_live_attempt_a_person(ledger: Ledger) -> Iterable[Violation]:
    """RELY-01: no number has two customer legs at one time."""
    by_number: dict[str, list[Leg]] = defaultdict(list)
    for leg in _customers(ledger):
        by_number[leg.number].append(leg)
    for number, legs in by_number.items():
        legs.sort(key=lambda leg: leg.made_at)
        for one, other in itertools.pairwise(legs):
            if one.ended_at is None or one.ended_at > other.made_at + EDGE_S:
                yield Violation("RELY-01", f"two live legs to {number}: {one.uniqueid} and {other.uniqueid}")


def every_originate_has_its_row(ledger: Ledger, tables: MemoryTables) -> Iterable[Violation]:
    """RELY-01: intent before originate: nothing was dialled that the store does not know."""
    known = {id.hex for id in tables.attempts}
    for originate in ledger.originates:
        match = CUSTOMER.match(originate.uniqueid)
        if match and match[1] not in known:
            yield Violation("RELY-01", f"originate without a row: {originate.uniqueid}")


def one_outcome_each(tables: MemoryTables) -> Iterable[Violation]:
    """RELY-02: after settling, no attempt is open."""
    for id, row in tables.attempts.items():
        if row.outcome is None:
            yield Violation("RELY-02", f"attempt {id} has no outcome")


def outcomes_true(ledger: Ledger, tables: MemoryTables) -> Iterable[Violation]:
    """An attempt said to have talked did; one that was never dialled is said so; an answered one is not `no answer`."""
    talked = _talked(ledger)
    dialled = {o.uniqueid.rsplit("-", 1)[-1] for o in ledger.originates if CUSTOMER.match(o.uniqueid)}
    for id, row in tables.attempts.items():
        if row.outcome == "connected" and id.hex not in talked:
            yield Violation("outcome", f"{id} is connected, but was in no bridge with an agent")
        if row.outcome in ("no_answer", "busy", "unallocated", "rejected", "congestion") and id.hex in talked:
            yield Violation("outcome", f"{id} is {row.outcome}, but talked")
        if row.outcome in ("connected", "abandoned") and row.answered_at is None:
            yield Violation("outcome", f"{id} is {row.outcome}, but was never answered")
        if row.outcome == "not_placed" and id.hex in dialled:
            yield Violation("outcome", f"{id} is not_placed, but the PBX was asked")


def _talked(ledger: Ledger) -> dict[str, float]:
    """Seconds each attempt shared a bridge with an agent's leg."""
    seconds: dict[str, float] = {}
    for talk in ledger.talks():
        one, other = CUSTOMER.match(talk.one), CUSTOMER.match(talk.other)
        agent = AGENT.match(talk.other) if one else AGENT.match(talk.one)
        if (one or other) and agent:
            match = one or other
            assert match is not None
            seconds[match[1]] = seconds.get(match[1], 0.0) + max(0.0, (talk.to_at or talk.from_at) - talk.from_at)
    return seconds


def one_customer_an_agent(ledger: Ledger) -> Iterable[Violation]:
    """No agent's leg shares a bridge with two customers at one time, and no customer with two agents (RELY-08)."""
    spans: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for talk in ledger.talks():
        for one, other in ((talk.one, talk.other), (talk.other, talk.one)):
            spans[one].append((talk.from_at, talk.to_at if talk.to_at is not None else float("inf"), other))
    for leg, stays in spans.items():
        if not (AGENT.match(leg) or CUSTOMER.match(leg)):
            continue
        stays.sort()
        for (_, end, one), (start, _, other) in itertools.pairwise(stays):
            if one != other and start < end - EDGE_S:
                yield Violation("RELY-08", f"{leg} was with {one} and {other} at once")


def no_customer_stolen(ledger: Ledger) -> Iterable[Violation]:
    """RELY-08: no customer is moved from one agent to another without a transfer."""
    agents_of: dict[str, set[str]] = defaultdict(set)
    for talk in ledger.talks():
        for one, other in ((talk.one, talk.other), (talk.other, talk.one)):
            if CUSTOMER.match(one) and AGENT.match(other):
                agents_of[one].add(other)
    for customer, agents in agents_of.items():
        if len(agents) > 1:
            yield Violation("RELY-08", f"{customer} talked with {len(agents)} agents: {sorted(agents)}")


def lines_within(ledger: Ledger, capacity: int) -> Iterable[Violation]:
    """RELY-03: customer legs at one time never exceed the capacity of all lines together."""
    moves = []
    for leg in _customers(ledger):
        moves.append((leg.made_at, 1))
        moves.append((leg.ended_at if leg.ended_at is not None else float("inf"), -1))
    moves.sort(key=lambda move: (move[0], move[1]))
    used = most = 0
    for _, step in moves:
        used += step
        most = max(most, used)
    if most > capacity:
        yield Violation("RELY-03", f"{most} customer legs at once on lines of {capacity}")


def nothing_left(ledger: Ledger, in_use: Mapping[str, int]) -> Iterable[Violation]:
    """RELY-03: after settling, no customer leg lives on, no lease is held."""
    for leg in _customers(ledger):
        if leg.ended_at is None:
            yield Violation("RELY-03", f"orphan customer leg {leg.uniqueid}")
    for line, count in in_use.items():
        if count:
            yield Violation("RELY-03", f"line {line} still counts {count} in use")


def intervals_contiguous(tables: MemoryTables) -> Iterable[Violation]:
    """PAUS-03: an agent's intervals follow each other without gap or overlap; at most one is open."""
    by_agent: dict[int, list[tuple[datetime, datetime | None, str]]] = defaultdict(list)
    for agent, intervals in tables.intervals.items():
        by_agent[agent] = [(row.started_at, row.ended_at, row.state) for row in intervals]
    for agent, rows in by_agent.items():
        for (_, end, state), (start, _, following) in itertools.pairwise(rows):
            if end is None or abs(end - start) > timedelta(milliseconds=1):
                yield Violation("PAUS-03", f"agent {agent}: {state} ends {end}, {following} begins {start}")


def abandonment_counted(tables: MemoryTables) -> Iterable[Violation]:
    """The ledger's sums are those of the attempts' outcomes.

    One more only where a leader told of an abandonment, and another daemon, which had taken the site before that
    leader's journal reached the database, had ended the call otherwise: outcome and abandonment both stand.
    """
    abandoned = sum(1 for row in tables.attempts.values() if row.outcome == "abandoned")
    booked = int(sum(sums[ABANDONED] for sums in tables.ledger.values()))
    otherwise = 0
    for id, events in tables.events.items():
        row = tables.attempts.get(id)
        if row is not None and row.outcome != "abandoned" and len({event["fence"] for event in events}) > 1:
            otherwise += any(event["kind"] == "abandoned" for event in events)
    if not abandoned <= booked <= abandoned + otherwise:
        yield Violation("CAMP-09", f"{abandoned} abandoned attempts, {booked} in the ledger")


def connections_counted(tables: MemoryTables, *, calm: bool) -> Iterable[Violation]:
    """No conversation is missing from the ledger; without faults there is none too many either."""
    talked = sum(1 for row in tables.attempts.values() if row.outcome == "connected" and row.campaign_id)
    booked = int(sum(sums[CONNECTED] for sums in tables.ledger.values()))
    if booked < talked or (calm and booked != talked):
        yield Violation("CAMP-09", f"{talked} connected attempts, {booked} in the ledger")


def facts_once_in_order(tables: MemoryTables) -> Iterable[Violation]:
    """RELY-05: the facts of an attempt were applied once each, in the order they were numbered."""
    for id, events in tables.events.items():
        for fence in dict.fromkeys(row["fence"] for row in events):
            # A daemon that comes back after another has led adds what its own journal still held.
            for one, other in itertools.pairwise(row["n"] for row in events if row["fence"] == fence):
                if one >= other:
                    yield Violation("RELY-05", f"attempt {id}: fact {other} of fence {fence} was applied after {one}")


def fences_rise(tables: MemoryTables) -> Iterable[Violation]:
    """RELY-07: once a daemon has placed calls under its fence, none is committed under an older one."""
    highest: dict[str, int] = {}
    for id, row in tables.attempts.items():
        if row.fence < highest.get(row.site, 0):
            yield Violation("RELY-07", f"{id} was committed under fence {row.fence}, after {highest[row.site]}")
        highest[row.site] = max(row.fence, highest.get(row.site, 0))


def nobody_forbidden(ledger: Ledger, forbidden: Mapping[str, float]) -> Iterable[Violation]:
    """LEGL-07: no number (its last nine digits) is dialled after the instant at which it was forbidden."""
    for originate in ledger.originates:
        at = forbidden.get(originate.number[-9:])
        if at is not None and originate.at > at:
            yield Violation("LEGL-07", f"{originate.number} dialled {originate.at - at:.3f} s after it was forbidden")


def callbacks_kept(ledger: Ledger, promised: Mapping[str, float], within_s: float) -> Iterable[Violation]:
    """CALB-01: each number (its last nine digits) is dialled after the instant promised, and soon; not again before."""
    for number, at in promised.items():
        dialled = [originate.at for originate in ledger.originates if originate.number[-9:] == number]
        early = [when for when in dialled[1:] if when < at - 1.0]
        if early:
            yield Violation("CALB-01", f"{number} was dialled again {at - early[0]:.0f} s before the time promised")
        if not any(at - 1.0 <= when <= at + within_s for when in dialled):
            yield Violation("CALB-01", f"{number} was promised a call at {at:.0f} s; dialled at {dialled}")


def talks_on_call(ledger: Ledger, tables: MemoryTables, utc: Callable[[float], datetime]) -> Iterable[Violation]:
    """Without faults: an agent whose leg shares a bridge with somebody's is on a call (a customer who came through a
    Local channel goes on under an id of the PBX's own)."""
    for talk in ledger.talks():
        for leg, other in ((talk.one, talk.other), (talk.other, talk.one)):
            match = AGENT.match(leg)
            if not match or AGENT.match(other) or talk.to_at is None or talk.to_at - talk.from_at < 1.0:
                continue
            for at in (talk.from_at + 0.5, talk.to_at - 0.5):
                states = _states(tables, int(match[1]), utc(at))
                if not states & {"on_call", "on_hold"}:
                    yield Violation("RELY-03", f"{leg} talks with {other} while its agent is {sorted(states)}")


def _states(tables: MemoryTables, agent: int, at: datetime) -> set[str]:
    rows = tables.intervals.get(agent, ())
    return {row.state for row in rows if row.started_at <= at and (row.ended_at is None or at <= row.ended_at)}


def talks_booked(ledger: Ledger, tables: MemoryTables) -> Iterable[Violation]:
    """Without faults: the seconds booked for a number are those its calls shared with agents' legs."""
    booked: defaultdict[str, float] = defaultdict(float)
    seen: defaultdict[str, float] = defaultdict(float)
    for row in tables.attempts.values():
        booked[row.e164[-9:]] += row.talk_s
    for talk in ledger.talks():
        for leg, other in ((talk.one, talk.other), (talk.other, talk.one)):
            number = ledger.legs[leg].number[-9:]
            if AGENT.match(other) and number and talk.to_at is not None and not AGENT.match(leg):
                seen[number] += talk.to_at - talk.from_at
    for number in sorted({*booked, *seen}):
        if abs(booked[number] - seen[number]) > TALK_WITHIN_S:
            yield Violation("RELY-02", f"{number}: {booked[number]:.1f} s of talk booked, {seen[number]:.1f} s seen")


def ends_as_seen(ledger: Ledger, tables: MemoryTables, utc: Callable[[float], datetime]) -> Iterable[Violation]:
    """Without faults: nothing is unknown, and each attempt ends when its leg does."""
    legs = {match[1]: leg for leg in _customers(ledger) if (match := CUSTOMER.match(leg.uniqueid))}
    for id, row in tables.attempts.items():
        if row.outcome in ("unknown", "pbx_lost"):
            yield Violation("RELY-02", f"attempt {id} is {row.outcome} though nothing failed")
        leg = legs.get(id.hex)
        if leg is None or leg.ended_at is None or row.ended_at is None:
            continue
        late_s = (row.ended_at - utc(leg.ended_at)).total_seconds()
        if abs(late_s) > SEEN_WITHIN_S:
            yield Violation("RELY-02", f"attempt {id} ended {late_s:+.3f} s from its leg's end")


def in_calm(ledger: Ledger, tables: MemoryTables, utc: Callable[[float], datetime]) -> list[Violation]:
    """What holds besides when nothing has failed."""
    return [
        *connections_counted(tables, calm=True),
        *talks_on_call(ledger, tables, utc),
        *talks_booked(ledger, tables),
        *ends_as_seen(ledger, tables, utc),
    ]


def nothing_mended(tables: MemoryTables) -> Iterable[Violation]:
    """The engine's tables never contradicted themselves, and no event was too much for it: what its watchdog mends, or
    a campaign is suspended for, is a bug, survived or not."""
    for row in tables.audit:
        if row["by"] == "watchdog" or row["detail"].get("reason") == "invariant":
            yield Violation("RELY-03", f"{row['what']} {row['target']}: {row['detail']['reason']}")


def after_settling(ledger: Ledger, tables: MemoryTables, capacity: int, in_use: Mapping[str, int]) -> list[Violation]:
    """Everything that must hold once faults are off and all has come to rest."""
    return [
        *one_originate_an_attempt(ledger),
        *one_live_attempt_a_person(ledger),
        *every_originate_has_its_row(ledger, tables),
        *one_outcome_each(tables),
        *outcomes_true(ledger, tables),
        *one_customer_an_agent(ledger),
        *no_customer_stolen(ledger),
        *lines_within(ledger, capacity),
        *nothing_left(ledger, in_use),
        *intervals_contiguous(tables),
        *abandonment_counted(tables),
        *connections_counted(tables, calm=False),
        *facts_once_in_order(tables),
        *fences_rise(tables),
        *nothing_mended(tables),
    ]
