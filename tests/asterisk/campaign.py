"""A campaign on the lab: leads whose numbers say how they behave, lines, agents; and what must hold when it is over."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.asterisk import witness
from tests.asterisk.bed import wait_until
from tests.asterisk.cadran import EXTENSIONS, SITE, Cadran
from tests.asterisk.conftest import Lab

LEADS = {"11": 70, "10": 50, "14": 40, "13": 20, "32": 10, "20": 30, "21": 20, "22": 20, "23": 15, "24": 15, "30": 10}
"""How many leads of each habit (far_ends.CUSTOMER_HABITS); 300 in all. 10, 11, 14 and 32 answer and talk, 13 hangs up
as it answers, 2x are refused in various ways, 30 rings until given up."""
OUTCOMES = {
    "20": {"busy"},
    "21": {"unallocated"},
    "22": {"rejected"},
    "23": {"congestion"},
    "24": {"no_answer"},
    "30": {"no_answer"},
    "10": {"connected", "abandoned"},
    "11": {"connected", "abandoned"},
    "14": {"connected", "abandoned"},
    "17": {"connected", "abandoned"},
    "32": {"connected", "abandoned"},
    "13": {"connected", "abandoned", "no_answer", "cancelled", "failed"},
}
"""What may become of a lead when nothing is cut or killed. Abandoned: the person left before the agent was there."""
NO_CHANNEL = {"not_placed", "unknown", "pbx_lost", "failed", "congestion", "agent_no_answer", "cancelled"}
"""Outcomes under which Asterisk need not have made a channel."""
NOT_DIALLED = {"agent_no_answer", "not_placed"}
"""Outcomes that say the customer's phone was never called."""
IN_DOUBT = {"unknown", "pbx_lost"}
"""Outcomes that say the end was not seen."""
TALK_TOLERANCE_S = 1.0
IN_FLIGHT_S = 0.25
"""What happened this shortly before the link was cut may have been on its way to the daemon still, unread in a socket,
and is lost with the connection: for the daemon it is as what happened during the outage."""
RELEASE_TIMEOUT_S = 120.0


def national(e164: str) -> str:
    """A French number as the lab's site dials it."""
    return "0" + e164.removeprefix("+33")


def habit_of(number: str) -> str:
    return number[-4:-2]


def write_leads(file: Path, counts: dict[str, int] = LEADS) -> int:
    """The CSV an operator would bring; habits interleaved, the same each time. Their number."""
    numbers = [f"0199 00 {habit} {n:02}" for habit, count in counts.items() for n in range(count)]
    numbers.sort(key=lambda number: (number[-2:], number))
    write_numbers(file, numbers)
    return len(numbers)


def write_numbers(file: Path, numbers: Sequence[str]) -> None:
    """A CSV of people with these numbers."""
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, delimiter=";")
        rows.writerow(["Nom", "Prénom", "Téléphone"])
        rows.writerows([f"Personne {n}", "Éloïse", number] for n, number in enumerate(numbers))


@dataclass
class Campaign:
    """What `set_up` made: ids, and each line's capacity by its name."""

    id: int
    list_id: int
    agents: list[int]
    lines: dict[str, int]


async def set_up(
    cadran: Cadran,
    *,
    extensions: Sequence[str] = EXTENSIONS,
    on_demand: Sequence[str] = EXTENSIONS[3:],
    capacity: int = 0,
    wrap_up_max_s: float = 1.0,
    **fields: Any,
) -> Campaign:
    """Two lines of different capacity (both of `capacity`, if given), an agent an extension, an empty list, a campaign
    that is not started. `fields` of the campaign replace those of here."""
    capacities = {"line-a": capacity or 2, "line-b": capacity or 5}
    client_id = await cadran.create("clients", name="Someone")
    list_id = await cadran.create("lists", name="Lab list")
    line_ids = []
    for priority, (name, most) in zip((10, 5), capacities.items(), strict=True):
        line = {"name": name, "site": SITE, "endpoint": name, "capacity": most, "priority": priority}
        line_ids.append(await cadran.create("lines", **line))
    caller_id = await cadran.create("caller-ids", e164="+33162000001")
    agents = []
    for name in extensions:
        agent = {
            "site": SITE,
            "login": name,
            "name": f"Agent {name}",
            "extension": name,
            "nailed": name not in on_demand,
        }
        agents.append(await cadran.create("agents", **agent))
    settings = {
        "mode": "progressive",
        "rule_set": "lab-anytime",
        "ring_timeout_s": 15.0,
        "wrap_up_max_s": wrap_up_max_s,
        "calls_per_second": 50.0,
        "safe_message": "cadran-safe-harbour",
    } | fields
    campaign_id = await cadran.create(
        "campaigns",
        client_id=client_id,
        name="Lab",
        site=SITE,
        list_ids=[list_id],
        line_ids=line_ids,
        caller_id_ids=[caller_id],
        agent_ids=agents,
        **settings,
    )
    return Campaign(campaign_id, list_id, agents, capacities)


async def begin(cadran: Cadran, campaign: Campaign) -> None:
    """Sign the agents in, ready, and start."""
    await cadran.wait_for_link()  # on a starved machine a ping may have been late meanwhile: it is up again in a second
    for agent_id in campaign.agents:
        await cadran.post(f"/api/v1/agents/{agent_id}/sign-in", {"campaign_ids": [campaign.id], "ready": True})
    await cadran.post(f"/api/v1/campaigns/{campaign.id}/start")


async def until(cadran: Cadran, what: str, holds: Callable[[], Awaitable[bool]], timeout_s: float = 150.0) -> None:
    """Until `holds()`. TimeoutError names `what`, and tells what the daemon shows and its last words."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await holds():  # noqa: ASYNC110 - it is asked over HTTP, of Asterisk's console or of a file
                await asyncio.sleep(0.2)
    except TimeoutError:
        view = await cadran.get("/api/v1/snapshot")
        shown = {name: view[name] for name in ("calls", "agents", "campaigns")}
        raise TimeoutError(f"not within {timeout_s:g} s: {what}; {shown}\n{cadran.last_words()}") from None


async def until_running(cadran: Cadran, campaign_id: int) -> None:
    """Until the campaign is at work: a command is answered before it is done."""

    async def runs() -> bool:
        campaigns = (await cadran.get("/api/v1/snapshot"))["campaigns"]
        return bool(campaigns.get(str(campaign_id), {}).get("state") == "running")

    await until(cadran, f"campaign {campaign_id} runs", runs)


async def until_over(cadran: Cadran, campaign: Campaign, count: int, timeout_s: float) -> None:
    """Until every lead has been tried and no call is open. TimeoutError tells why it does not go on."""
    why: Any = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                rows = await cadran.attempts(campaign.id)
                tried = {row["lead_id"] for row in rows if row["outcome"] != "not_placed"}
                if len(tried) >= count and all(row["outcome"] for row in rows):
                    return
                why = await cadran.get(f"/api/v1/campaigns/{campaign.id}/why")
                await asyncio.sleep(1.0)
    except TimeoutError:
        raise TimeoutError(f"not over after {timeout_s:g} s; why: {why}\n{cadran.last_words()}") from None


async def release(cadran: Cadran, campaign: Campaign, lab: Lab) -> None:
    """Stop, sign everybody out, and wait until Asterisk has no channel and no bridge left."""
    await cadran.post(f"/api/v1/campaigns/{campaign.id}/stop")
    for agent_id in campaign.agents:
        await cadran.post(f"/api/v1/agents/{agent_id}/sign-out")
    try:
        await asyncio.to_thread(
            wait_until, "release", lambda: not lab.bed.channels() and not lab.bed.bridges(), RELEASE_TIMEOUT_S, 0.3
        )
    except TimeoutError:
        left = lab.bed.cli("core show channels concise") + lab.bed.cli("bridge show all")
        raise TimeoutError(f"not released after {RELEASE_TIMEOUT_S:g} s:\n{left}\n{cadran.last_words()}") from None


def leg_of(attempt: dict[str, Any]) -> str:
    """The channel id of the customer whom this attempt called."""
    return f"{SITE}-{attempt['id'].replace('-', '')}"


@dataclass
class Evidence:
    """The daemon's record beside what Asterisk and the far ends wrote."""

    attempts: list[dict[str, Any]]
    calls: dict[str, witness.CallSeen]
    invited: Counter[str]
    lines: dict[str, int]
    outages: list[tuple[float, float]]
    """When the daemon had no link (epoch seconds): what ended then, it could only see afterwards."""
    outcomes: Mapping[str, set[str]] = field(default_factory=lambda: OUTCOMES)
    """What may become of each habit."""

    def leg(self, attempt: dict[str, Any]) -> str:
        return leg_of(attempt)

    def problems(self) -> list[str]:
        """Everything that does not agree, one line each; empty when all is well."""
        found = [problem for attempt in self.attempts for problem in self._of_attempt(attempt)]
        found += self._strangers()
        found += self._originated_twice()
        found += self._over_capacity()
        return found

    def check(self) -> None:
        """AssertionError naming every disagreement."""
        if found := self.problems():
            raise AssertionError("\n".join([f"{len(found)} disagreements:", *found]))

    def _of_attempt(self, attempt: dict[str, Any]) -> list[str]:
        name = f"attempt {attempt['number']} to {attempt['e164']} ({attempt['outcome']})"
        if not attempt["outcome"]:
            return [f"{name}: no outcome"]
        call = self.calls.get(self.leg(attempt))
        if call is None or call.made is None:
            return [] if attempt["outcome"] in NO_CHANNEL else [f"{name}: Asterisk never saw it"]
        found = []
        if attempt["outcome"] in NOT_DIALLED:
            found.append(f"{name}: the customer was dialled all the same")
        if call.number and call.number != national(attempt["e164"]):
            found.append(f"{name}: Asterisk dialled {call.number}")
        doubtful = attempt["outcome"] in IN_DOUBT
        if not doubtful and bool(attempt["answered_at"]) != bool(call.answered):
            found.append(f"{name}: answered_at {attempt['answered_at']}, by Asterisk {call.answered}")
        late_s, unseen_s = self._seen_late_s(call), self._unseen_s(call)
        wrong_s = attempt["talk_s"] - call.talked_s
        if not doubtful and not -TALK_TOLERANCE_S - unseen_s <= wrong_s <= TALK_TOLERANCE_S + late_s:
            found.append(f"{name}: talked {attempt['talk_s']:.2f} s, by Asterisk {call.talked_s:.2f} s")
        if call.conversations and not doubtful:
            agents = {conversation.agent_id for conversation in call.conversations}
            if agents != {attempt["agent_id"]}:
                found.append(f"{name}: agent {attempt['agent_id']}, by Asterisk {sorted(agents)}")
        if not self.outages and attempt["outcome"] not in self.outcomes[habit_of(attempt["e164"])]:
            found.append(f"{name}: expected one of {sorted(self.outcomes[habit_of(attempt['e164'])])}")
        return found

    def _unseen_s(self, call: witness.CallSeen) -> float:
        """How much of the call's conversation was over when the daemon could first see it."""
        return max((self._hidden_s(conversation.began) for conversation in call.conversations), default=0.0)

    def _seen_late_s(self, call: witness.CallSeen) -> float:
        """How much later than it happened the daemon could see the end of the call's conversation."""
        ends = [conversation.ended for conversation in call.conversations if conversation.ended is not None]
        return max((self._hidden_s(end) for end in ends), default=0.0)

    def _hidden_s(self, at: float) -> float:
        """How long after this instant the daemon could first see what happened then; 0 while it had its link."""
        return max((up - at for down, up in self.outages if down - IN_FLIGHT_S <= at <= up), default=0.0)

    def _strangers(self) -> list[str]:
        known = {self.leg(attempt) for attempt in self.attempts}
        return [f"channel {leg}: no attempt has this id" for leg in self.customers() if leg not in known]

    def _originated_twice(self) -> list[str]:
        """No more invitations at the far ends than attempts placed, and one live attempt a person at any time."""
        found = []
        placed = Counter(national(a["e164"]) for a in self.attempts if a["outcome"] != "not_placed")
        for number, count in sorted(self.invited.items()):
            if count > placed[number]:
                found.append(f"{number}: invited {count} times, {placed[number]} attempts")
            if count > 1 and habit_of(number) != "23":  # our own congestion may be tried again
                found.append(f"{number}: invited {count} times within the gap")
        return found

    def _over_capacity(self) -> list[str]:
        found = []
        for line, capacity in self.lines.items():
            most = witness.most_at_once(self.customers().values(), line)
            if most > capacity:
                found.append(f"{line}: {most} calls at once, capacity {capacity}")
        return found

    def customers(self) -> dict[str, witness.CallSeen]:
        return {leg: call for leg, call in self.calls.items() if witness.CUSTOMER_LEG.fullmatch(leg)}

    def summary(self) -> str:
        outcomes = Counter(attempt["outcome"] for attempt in self.attempts)
        talked = sum(call.talked_s for call in self.customers().values())
        return f"{len(self.attempts)} attempts {dict(sorted(outcomes.items()))}, {talked:.0f} s talked"


async def gather(cadran: Cadran, campaign: Campaign, lab: Lab, outages: Sequence[tuple[float, float]] = ()) -> Evidence:
    """All evidence; the calls must be over."""
    attempts = await cadran.attempts(campaign.id)
    dialled = {leg_of(attempt) for attempt in attempts if attempt["outcome"] not in NO_CHANNEL}
    killed = lab.bed.killed_at
    log = await asyncio.to_thread(witness.rows_when_over, lab.bed.cel_file, killed_at=killed, told_of=dialled)
    calls = witness.calls(log, SITE, killed)
    invited: Counter[str] = Counter()
    for far_end in (lab.line_a, lab.line_b):
        invited.update(far_end.invited())
    return Evidence(attempts, calls, invited, campaign.lines, list(outages))
