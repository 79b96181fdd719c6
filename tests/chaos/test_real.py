"""Real faults beside a real Asterisk: 500 leads, and what its event log and the far ends say of them afterwards.

`make test-chaos`; CADRAN_CHAOS_ROUNDS and CADRAN_CHAOS_SEED as in test_faults.py; CADRAN_CHAOS_MODE: the control mode,
asyncagi unless told; `ari` takes the other driver.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.asterisk import campaign as lab_campaign
from tests.asterisk.cadran import SITE, Cadran, port_of
from tests.asterisk.conftest import Lab, asterisk_root, fresh_lab, sipp  # noqa: F401 - fixtures
from tests.chaos.machine import Disk, Outage, RealMachine, Valve
from tests.chaos.test_faults import LEADS, MODE, SEED, shake, until_over

HABITS = {"10": 100, "11": 100, "14": 60, "15": 60, "17": 60, "13": 20, "20": 40, "21": 20, "22": 20, "24": 20}
"""Leads by what they do when called (far_ends.CUSTOMER_HABITS)."""
EXTENSIONS = [str(1101 + n) for n in range(20)]
CAPACITY = 12
EDGE_S = 0.4
"""An end this near to the edge of an outage may have been seen or not."""
LISTED_S = 0.6
"""So long after its login, at most, the daemon has the PBX's list of calls."""
GONE_BY = {"daemon_down", "link_down", "pbx"}
"""What the rows say of an end that nobody saw."""


@pytest.mark.slow
@pytest.mark.asterisk
@pytest.mark.timeout(3000)
@pytest.mark.feature("RELY-01", clause="kill -9 of daemon, database, real Asterisk; cuts, a full disk; 500 leads")
@pytest.mark.feature("RELY-02", clause="after real faults each attempt's outcome is what Asterisk saw, or says unknown")
@pytest.mark.feature("RELY-03", clause="after real faults nothing is left on a real Asterisk, no line was over-used")
async def test_real_faults_beside_asterisk(fresh_lab: Lab, tmp_path: Path) -> None:  # noqa: F811
    async with Valve(port_of(fresh_lab.bed, MODE)) as proxy:
        cadran = Cadran(MODE, proxy.port, EXTENSIONS)
        disk = Disk(cadran.folder / "data" / "journal")
        try:
            async with cadran:
                await _campaign(fresh_lab, proxy, cadran, disk, tmp_path)
        finally:
            disk.close()


async def _campaign(lab: Lab, proxy: Valve, cadran: Cadran, disk: Disk, folder: Path) -> None:
    machine = RealMachine(lab, proxy, cadran, disk)
    campaign = await lab_campaign.set_up(cadran, extensions=EXTENSIONS, on_demand=(), capacity=CAPACITY)
    file = folder / "leads.csv"
    numbers = [f"019900{habit}{n:02}" for habit, count in HABITS.items() for n in range(count)]
    random.Random(SEED).shuffle(numbers)
    assert len(numbers) == LEADS
    lab_campaign.write_numbers(file, numbers)
    await cadran.command("import", str(file), "--list", str(campaign.list_id))
    await lab_campaign.begin(cadran, campaign)
    struck = await shake(machine, campaign, random.Random(SEED))
    await until_over(cadran, campaign)
    await lab_campaign.release(cadran, campaign, lab)
    spans = [(outage.down, outage.up) for outage in machine.outages] + proxy.stalls()
    evidence = await lab_campaign.gather(cadran, campaign, lab, spans)
    tally = Tally(evidence, *await _rows(cadran), machine.outages)
    print(f"{sum(struck.values())} rounds {dict(struck)}; {evidence.summary()}\n{tally.summary()}")
    if found := [*evidence.problems(), *tally.problems()]:
        (folder / "heard").write_text("\n".join(proxy.about(*tally.legs(found))), "utf-8")
        raise AssertionError("\n".join([f"{len(found)} disagreements:", *found, *tally.stories(found)]))
    snapshot = await cadran.get("/api/v1/snapshot")
    assert snapshot["calls"] == {}
    assert {line["in_use"] for line in snapshot["lines"].values()} == {0}


async def _rows(cadran: Cadran) -> tuple[dict[str, str], dict[str, list[str]]]:
    """By channel id: who or what ended each attempt, as its row says; and the steps of its history."""
    socket = cadran.folder / "data" / "postgres" / "socket"
    connection = await asyncpg.connect(f"postgresql:///cadran?host={socket}&user=cadran")
    try:
        rows = await connection.fetch("SELECT id, ended_by FROM attempts")
        events = await connection.fetch("SELECT attempt_id, at, kind, agent_id FROM call_event ORDER BY fence, n")
    finally:
        await connection.close()
    steps: dict[str, list[str]] = {}
    for row in events:
        step = f"{row['at'].timestamp():.3f} {row['kind']} agent {row['agent_id']}"
        steps.setdefault(f"{SITE}-{row['attempt_id'].hex}", []).append(step)
    return {f"{SITE}-{row['id'].hex}": row["ended_by"] for row in rows}, steps


@dataclass
class Tally:
    """Originates and ends, counted on three sides: rows, Asterisk's event log, the far ends' own logs."""

    evidence: lab_campaign.Evidence
    ended_by: dict[str, str]
    steps: dict[str, list[str]]
    outages: list[Outage]

    def problems(self) -> list[str]:
        """Every disagreement; empty when all is well."""
        return [*self._originates(), *self._ends_seen(), *self._ends_unseen()]

    def _number(self, leg: str) -> str:
        """Whom a channel called: the user field, or the row's number if Asterisk was killed before it wrote that."""
        if number := self.evidence.calls[leg].number:
            return number
        rows = (a for a in self.evidence.attempts if self.evidence.leg(a) == leg)
        return next((lab_campaign.national(row["e164"]) for row in rows), leg)

    def _channels(self) -> Counter[str]:
        return Counter(self._number(leg) for leg in self.evidence.customers())

    def _originates(self) -> Iterable[str]:
        """A number is invited as often as Asterisk made a channel for it; only a channel that was being made as
        Asterisk was killed, or as the link went, may lack its invitation."""
        for number, made in sorted(self._channels().items()):
            invited = self.evidence.invited[number]
            calls = [call for leg, call in self.evidence.customers().items() if self._number(leg) == number]
            doubtful = sum(1 for call in calls if call.made is not None and self._near(call.made))
            if not made - doubtful <= invited <= made:
                yield f"{number}: {made} channels, invited {invited} times"
            rows = sum(1 for a in self.evidence.attempts if lab_campaign.national(a["e164"]) == number)
            if made > rows:
                yield f"{number}: {made} channels, {rows} attempts"

    def _near(self, at: float) -> bool:
        return any(outage.down - EDGE_S < at < outage.up + EDGE_S for outage in self.outages)

    def _place(self, at: float) -> str:
        """Whether an instant lies inside an outage that blinded the daemon, at the edge of one, or outside all."""
        blind = [outage for outage in self.outages if outage.blinds]
        if any(outage.down + EDGE_S < at < outage.linked for outage in blind):
            return "inside"
        return "edge" if any(outage.down - EDGE_S <= at <= outage.linked + LISTED_S for outage in blind) else "outside"

    def _ended(self) -> list[tuple[dict[str, Any], str, str]]:
        """Each attempt that had a channel, the place of its end, and what its row says ended it."""
        found = []
        for attempt in self.evidence.attempts:
            leg = self.evidence.leg(attempt)
            call = self.evidence.calls.get(leg)
            if call is not None and call.made is not None and call.ended is not None:
                found.append((attempt, self._place(call.ended), self.ended_by.get(leg, "no row")))
        return found

    def _ends_seen(self) -> Iterable[str]:
        for attempt, place, by in self._ended():
            if place == "outside" and (by in GONE_BY or attempt["outcome"] in lab_campaign.IN_DOUBT):
                yield f"{attempt['e164']}: ended while the link was up, but is {attempt['outcome']}, ended by {by}"

    def _ends_unseen(self) -> Iterable[str]:
        """As many rows say that nobody saw the end as Asterisk wrote ends in the gaps, those at the edges aside."""
        inside = sum(1 for _, place, _ in self._ended() if place == "inside")
        edges = sum(1 for _, place, _ in self._ended() if place == "edge")
        said = sum(1 for _, _, by in self._ended() if by in GONE_BY)
        if not inside <= said <= inside + edges:
            yield f"{said} rows say that nobody saw the end; {inside} ends in the gaps, {edges} at their edges"

    def stories(self, found: list[str]) -> Iterable[str]:
        """What is known of the numbers that the disagreements name, and when what was away."""
        for outage in self.outages:
            yield f"{outage.kind}: {outage.down:.3f} to {outage.up:.3f}, linked {outage.linked:.3f}"
        for attempt in sorted(self.evidence.attempts, key=lambda row: row["number"]):
            number = lab_campaign.national(attempt["e164"])
            if any(number in text or attempt["e164"] in text for text in found):
                leg = self.evidence.leg(attempt)
                row = f"{attempt['outcome']}, ended by {self.ended_by.get(leg)} at {attempt['ended_at']}"
                yield f"{number} attempt {attempt['number']} {leg} at {attempt['at']}: {row}; {self.steps.get(leg)}"
                yield f"  Asterisk: {self.evidence.calls.get(leg)}"

    def legs(self, found: list[str]) -> list[str]:
        """Channels of the attempts that the disagreements name, and of the agents whom they met."""
        named = []
        for attempt in self.evidence.attempts:
            if any(text in problem for problem in found for text in (attempt["e164"], f"attempt {attempt['number']} ")):
                leg = self.evidence.leg(attempt)
                call = self.evidence.calls.get(leg)
                named += [leg, *(one.agent_leg for one in (call.conversations if call else ()))]
        return named

    def summary(self) -> str:
        ends = Counter(place for _, place, _ in self._ended())
        said = sum(1 for _, _, by in self._ended() if by in GONE_BY)
        channels, invited = sum(self._channels().values()), sum(self.evidence.invited.values())
        return (
            f"{len(self.evidence.attempts)} rows, {channels} channels, {invited} invitations; ends: {dict(ends)}, "
            f"{said} rows say nobody saw theirs; away for {sum(o.up - o.down for o in self.outages):.0f} s"
        )
