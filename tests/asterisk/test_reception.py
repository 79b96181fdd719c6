"""Fifty people call in within five seconds, ten agents answer, an outbound campaign has the same agents: who is served
when, by Asterisk's own event log and by what crossed the link."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.asterisk import campaign as lab_campaign
from tests.asterisk import witness
from tests.asterisk.cadran import SITE, Cadran, port_of
from tests.asterisk.callers import Callers
from tests.asterisk.conftest import Lab
from tests.asterisk.proxy import Proxy

CALLS, PER_S = 50, 10.0
TALK_S = 2.0
EXTENSIONS = [str(1101 + n) for n in range(10)]
WAYS_IN = {"asyncagi": "0199000001", "dialplan": "0199000002", "ari": "0199000003"}
CALLER = re.compile(rb"PJSIP/callers-[0-9a-f]+")
INTO_BRIDGE = re.compile(rb"/addChannel\?channel=([0-9]+\.[0-9]+) ")
"""ARI names callers by the id that Asterisk gave them."""
REACTION_S = 1.5
"""How long after the first caller waits an originate that was under way may still show on a busy machine."""
WAIT_TOLERANCE_S = 1.0
JITTER_S = 0.5
"""Calls that come within this of each other may be told by Asterisk in another order than their channels were made in:
each runs in a thread of its own (seen on a busy machine: neighbours changed places)."""


@dataclass
class Offers:
    """Whom the daemon told Asterisk to connect, in order: the first Connect of each caller."""

    channels: list[str] = field(default_factory=list)
    _rest: bytes = b""

    def tap(self, data: bytes) -> None:
        *actions, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for action in actions:
            joins = b"\r\nAction: Bridge\r\n" in b"\r\n" + action or b"EXEC Bridge " in action
            match = INTO_BRIDGE.search(action) or (CALLER.search(action) if joins else None)
            if match and (name := match[match.re.groups].decode()) not in self.channels:
                self.channels.append(name)


@dataclass(frozen=True)
class Served:
    """One caller as Asterisk saw the call: epoch seconds; `met` is None for who never met an agent."""

    number: str
    channel: str
    uniqueid: str
    came: float
    met: float | None


def served(rows: list[witness.Row]) -> list[Served]:
    """Every caller, in the order of their coming."""
    came = {row.uniqueid: row for row in rows if row.event == "CHAN_START" and row.channel.startswith("PJSIP/callers-")}
    number = {row.uniqueid: row.userfield for row in rows if row.uniqueid in came and row.userfield}
    met: dict[str, float] = {}
    inside: dict[str, list[str]] = {}
    for row in rows:
        if row.event not in ("BRIDGE_ENTER", "BRIDGE_EXIT"):
            continue
        members = inside.setdefault(row.extra["bridge_id"], [])
        if row.event == "BRIDGE_EXIT":
            members.remove(row.uniqueid)
            continue
        members.append(row.uniqueid)
        if any(witness.AGENT_LEG.fullmatch(member) for member in members):
            for member in members:
                if member in came:
                    met.setdefault(member, row.at)
    return [Served(number.get(id, ""), row.channel, id, row.at, met.get(id)) for id, row in came.items()]


async def a_reception(cadran: Cadran, mode: str, agents: list[int]) -> int:
    """A campaign for who calls the number of this way in; its id."""
    return await cadran.create(
        "campaigns",
        client_id=await cadran.create("clients", name="Caller's own"),
        name="Réception",
        site=SITE,
        mode="inbound",
        rule_set="lab-anytime",
        wrap_up_max_s=1.0,
        inbound={"dids": ["+33" + WAYS_IN[mode][1:]], "wait_max_s": 120.0},
        agent_ids=agents,
    )


async def furnish(cadran: Cadran, mode: str, folder: Path) -> tuple[lab_campaign.Campaign, int]:
    """An outbound campaign at work, and a reception for the same ten agents: campaign, id of the reception."""
    outbound = await lab_campaign.set_up(cadran, extensions=EXTENSIONS, on_demand=(), capacity=20, calls_per_second=4.0)
    reception = await a_reception(cadran, mode, outbound.agents)
    file = folder / "leads.csv"
    lab_campaign.write_numbers(file, [f"019900{habit}{n:02}" for habit in ("11", "14") for n in range(100)])
    await cadran.command("import", str(file), "--list", str(outbound.list_id))
    for agent_id in outbound.agents:
        ids = [outbound.id, reception]
        await cadran.post(f"/api/v1/agents/{agent_id}/sign-in", {"campaign_ids": ids, "ready": True})
    for id in (reception, outbound.id):
        await cadran.post(f"/api/v1/campaigns/{id}/start")
    return outbound, reception


async def dialling(cadran: Cadran, outbound: lab_campaign.Campaign) -> None:
    """Until the outbound campaign has its agents at work. TimeoutError says what keeps it."""
    why: Any = None
    try:
        async with asyncio.timeout(150):
            while len(await cadran.attempts(outbound.id)) < len(EXTENSIONS):
                why = await cadran.get(f"/api/v1/campaigns/{outbound.id}/why")
                await asyncio.sleep(0.2)
    except TimeoutError:
        agents = (await cadran.get("/api/v1/snapshot"))["agents"]
        raise TimeoutError(f"{why}\n{agents}\n{cadran.last_words()}") from None


async def answer(cadran: Cadran, reception: int, outbound: int, calls: int = CALLS) -> set[str]:
    """Agents end each caller's conversation after TALK_S, until every caller has been served. What the API said keeps
    the outbound campaign from dialling meanwhile."""
    why: set[str] = set()
    since: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    while True:
        view = await cadran.get("/api/v1/snapshot")
        inbound = {id: call for id, call in view["calls"].items() if call["campaign_id"] == reception}
        talking = {id: call for id, call in inbound.items() if call["stage"] == "talking"}
        for id in talking:
            if loop.time() - since.setdefault(id, loop.time()) >= TALK_S:
                since[id] = float("inf")
                await cadran.post(f"/api/v1/calls/{id}/hang-up")
        if any(call["stage"] == "waiting" for call in inbound.values()):
            causes = (await cadran.get(f"/api/v1/campaigns/{outbound}/why"))["causes"]
            why |= {cause["code"] for cause in causes if cause["name"] == "agents"}
        rows = await cadran.attempts(reception)
        if len(rows) >= calls and all(row["outcome"] for row in rows):
            return why
        await asyncio.sleep(0.1)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(WAYS_IN))
@pytest.mark.feature("CAMP-05", clause="50 calls in 5 s over SIP on a real Asterisk: each meets an agent")
@pytest.mark.feature(
    "CAMP-12", clause="on a real Asterisk: order kept, waits as Asterisk's own log has them, outbound stops meanwhile"
)
async def test_fifty_calls_in_five_seconds(fresh_lab: Lab, sipp: str, tmp_path: Path, mode: str) -> None:
    offers = Offers()
    numbers = [f"06120001{n:02d}" for n in range(CALLS)]
    async with (
        Proxy(port_of(fresh_lab.bed, mode), actions=offers.tap) as proxy,
        Cadran(mode, proxy.port, EXTENSIONS) as cadran,
    ):
        outbound, reception = await furnish(cadran, mode, tmp_path)
        await dialling(cadran, outbound)
        callers = Callers(sipp, tmp_path / "callers", fresh_lab.bed.ports.sip, WAYS_IN[mode], numbers, PER_S)
        await asyncio.to_thread(callers.start)
        try:
            async with asyncio.timeout(300):
                why = await answer(cadran, reception, outbound.id)
        finally:
            callers.close()
        await cadran.post(f"/api/v1/campaigns/{reception}/stop")
        await lab_campaign.release(cadran, outbound, fresh_lab)
        attempts = await cadran.attempts(reception)
        log = await asyncio.to_thread(witness.rows_when_over, fresh_lab.bed.cel_file)
    people = served(log)
    print(story(people, attempts))
    assert sorted(person.number for person in people) == numbers, "each called once"
    assert {row["outcome"] for row in attempts} == {"connected"} and len(attempts) == CALLS, "none is lost"
    came = {person.uniqueid if mode == "ari" else person.channel: person.came for person in people}
    assert sorted(offers.channels) == sorted(came)
    assert overtaken([came[name] for name in offers.channels]) <= JITTER_S, "served in the order of their coming"
    compare_waits(people, {national(row["e164"]): row for row in attempts})
    assert "inbound_waiting" in why
    assert placed_while_waiting(people, log) == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(WAYS_IN))
@pytest.mark.feature(
    "CAMP-05", clause="on a real Asterisk: two agents whose phones ring call by call serve five callers"
)
async def test_phones_that_ring_for_each_caller(fresh_lab: Lab, sipp: str, tmp_path: Path, mode: str) -> None:
    numbers = [f"061200020{n}" for n in range(5)]
    async with Cadran(mode, port_of(fresh_lab.bed, mode), EXTENSIONS) as cadran:
        outbound = await lab_campaign.set_up(cadran, extensions=EXTENSIONS[:2], on_demand=EXTENSIONS[:2])
        reception = await a_reception(cadran, mode, outbound.agents)
        for agent_id in outbound.agents:
            await cadran.post(f"/api/v1/agents/{agent_id}/sign-in", {"campaign_ids": [reception], "ready": True})
        await cadran.post(f"/api/v1/campaigns/{reception}/start")
        await lab_campaign.until_running(cadran, reception)
        callers = Callers(sipp, tmp_path / "callers", fresh_lab.bed.ports.sip, WAYS_IN[mode], numbers, PER_S)
        await asyncio.to_thread(callers.start)
        try:
            async with asyncio.timeout(150):
                await answer(cadran, reception, outbound.id, len(numbers))
        finally:
            callers.close()
        await cadran.post(f"/api/v1/campaigns/{reception}/stop")
        await lab_campaign.release(cadran, outbound, fresh_lab)
        attempts = await cadran.attempts(reception)
        log = await asyncio.to_thread(witness.rows_when_over, fresh_lab.bed.cel_file)
    people = served(log)
    assert sorted(person.number for person in people if person.met) == numbers, "each met an agent's phone"
    assert [row["outcome"] for row in attempts] == ["connected"] * len(numbers)
    rung = [row for row in log if row.event == "CHAN_START" and witness.AGENT_LEG.fullmatch(row.uniqueid)]
    picked_up = [row for row in log if row.event == "ANSWER" and witness.AGENT_LEG.fullmatch(row.uniqueid)]
    assert len(rung) == len(picked_up) == len(numbers), "a phone is rung once for each caller"


def overtaken(came: list[float]) -> float:
    """By how many seconds somebody who came later was served before somebody who came sooner, at most."""
    return max((sooner - later for n, sooner in enumerate(came) for later in came[n + 1 :]), default=0.0)


def national(e164: str) -> str:
    return lab_campaign.national(e164)


def compare_waits(people: list[Served], rows: dict[str, dict[str, Any]]) -> None:
    """The wait each row tells is the time from the caller's channel to the bridge with an agent."""
    for person in people:
        assert person.met is not None, person
        assert rows[person.number]["wait_s"] == pytest.approx(person.met - person.came, abs=WAIT_TOLERANCE_S), person
    assert max(person.met - person.came for person in people if person.met) > 5.0, "most of them had to wait"


def placed_while_waiting(people: list[Served], log: list[witness.Row]) -> list[str]:
    """Customers dialled while somebody who called in had been waiting for REACTION_S or longer."""
    spans = [(one.came + REACTION_S, one.met) for one in people if one.met and one.met - one.came > REACTION_S]
    dialled = [row for row in log if row.event == "CHAN_START" and witness.CUSTOMER_LEG.fullmatch(row.uniqueid)]
    assert dialled and spans
    return [f"{row.uniqueid} at {row.at:.2f}" for row in dialled if any(a < row.at < b for a, b in spans)]


def story(people: list[Served], attempts: list[dict[str, Any]]) -> str:
    waits = [one.met - one.came for one in people if one.met]
    spread = people[-1].came - people[0].came
    return (
        f"{len(people)} callers in {spread:.1f} s, waits {min(waits):.2f} to {max(waits):.2f} s, {len(attempts)} rows"
    )


BLACKLISTED, LATE = "0612000301", "0612000302"
NEVER = [{"days": [(datetime.now(UTC).isoweekday() + 2) % 7 + 1], "start": "00:00", "end": "00:01"}]
"""Three days from now."""


async def ended(cadran: Cadran, campaign: int, count: int) -> list[dict[str, Any]]:
    """The campaign's calls, once so many are over."""
    async with asyncio.timeout(120):
        while True:
            rows = await cadran.attempts(campaign)
            if len(rows) == count and all(row["outcome"] for row in rows):
                return rows
            await asyncio.sleep(0.2)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(WAYS_IN))
@pytest.mark.feature("TELC-05", clause="real Asterisk, out of hours: on to the PBX's own voicemail; a missed call")
@pytest.mark.feature("ZAD-18", clause="real Asterisk: who is blacklisted hears busy, and is never let in")
@pytest.mark.feature(
    "ZAD-08", clause="real Asterisk: a caller who met nobody is one missed-call task; the refused is none"
)
async def test_who_is_not_let_in(fresh_lab: Lab, sipp: str, tmp_path: Path, mode: str) -> None:
    async with Cadran(mode, port_of(fresh_lab.bed, mode), EXTENSIONS) as cadran:
        settings = {"dids": ["+33" + WAYS_IN[mode][1:]], "open": NEVER, "overflow": "box@voicemail"}
        await cadran.create("blacklist", e164="+33" + BLACKLISTED[1:])
        client = await cadran.create("clients", name="Someone")
        id = await cadran.create(
            "campaigns", client_id=client, name="Réception", site=SITE, mode="inbound", rule_set="lab-anytime",
            inbound=settings,
        )  # fmt: skip
        await cadran.post(f"/api/v1/campaigns/{id}/start")
        await lab_campaign.until_running(cadran, id)
        folder, numbers = tmp_path / "callers", [BLACKLISTED, LATE]
        callers = Callers(sipp, folder, fresh_lab.bed.ports.sip, WAYS_IN[mode], numbers, per_s=2.0)
        await asyncio.to_thread(callers.start)
        try:
            async with asyncio.timeout(120):
                while sum(seen.what == "over" for seen in callers.seen()) < 2:  # noqa: ASYNC110 - a file is read
                    await asyncio.sleep(0.2)
        finally:
            callers.close()
        heard = {number: [seen.what for seen in callers.seen() if seen.number == number] for number in numbers}
        rows = await ended(cadran, id, 2)

        async def task_made() -> bool:
            return bool((await cadran.get("/api/v1/missed-calls"))["rows"])

        await lab_campaign.until(cadran, "a missed call to return", task_made)
        missed = (await cadran.get("/api/v1/missed-calls"))["rows"]
    assert heard == {BLACKLISTED: ["over"], LATE: ["answered", "hungup", "over"]}
    assert {national(row["e164"]): row["outcome"] for row in rows} == {BLACKLISTED: "rejected", LATE: "missed"}
    log = await asyncio.to_thread(witness.rows_when_over, fresh_lab.bed.cel_file)
    played = [row.userfield for row in log if row.event == "APP_START" and row.application == "Playback"]
    assert played == [LATE], "the voicemail's beep"
    assert [national(row["e164"]) for row in missed] == [LATE]
