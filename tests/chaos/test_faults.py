"""Real faults on real processes: a campaign of 500 leads, and what the PBX's own ledger says of it afterwards.

`make test-chaos`; CADRAN_CHAOS_ROUNDS says how many faults strike (6 by default), CADRAN_CHAOS_SEED which and when,
CADRAN_CHAOS_MODE=ari by which driver (the fake has no include for mode `dialplan`: others are asyncagi here).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.asterisk import campaign as lab_campaign
from tests.asterisk.cadran import Cadran
from tests.asterisk.proxy import Proxy
from tests.asterisk.test_campaign import tried
from tests.chaos.machine import AGENTS, FakeMachine, FakePbx, Machine, Outage

ROUNDS = int(os.environ.get("CADRAN_CHAOS_ROUNDS", "6"))
MODE = os.environ.get("CADRAN_CHAOS_MODE", "asyncagi")
SEED = int(os.environ.get("CADRAN_CHAOS_SEED", "1"))
LEADS = 500
CUSTOMER = re.compile(r"^lab-([0-9a-f]{32})$")
AGENT = re.compile(r"^lab-ag-\d+-")
TALK_TOLERANCE_S = 1.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.feature("RELY-01", clause="kill -9 of daemon, database and PBX, and cuts, on real processes")
@pytest.mark.feature("RELY-05", clause="kill -9 of daemon and database on real processes: each attempt has its row")
async def test_real_faults(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    extensions = [str(1001 + n) for n in range(AGENTS)]
    with closing(FakePbx(tmp_path)) as pbx:
        await _rounds(pbx, extensions, rng, tmp_path)


async def _rounds(pbx: FakePbx, extensions: list[str], rng: random.Random, tmp_path: Path) -> None:
    ari = MODE == "ari"
    async with (
        Proxy(pbx.ari_port if ari else pbx.ami_port) as proxy,
        Cadran("ari" if ari else "asyncagi", proxy.port, extensions) as cadran,
    ):
        machine = FakeMachine(pbx, proxy, cadran)
        campaign = await lab_campaign.set_up(cadran, extensions=extensions, on_demand=(), capacity=15)
        await _import(cadran, campaign, tmp_path)
        await lab_campaign.begin(cadran, campaign)
        struck = await shake(machine, campaign, rng)
        await until_over(cadran, campaign)
        await cadran.post(f"/api/v1/campaigns/{campaign.id}/stop")
        await asyncio.sleep(3.0)
        attempts = await cadran.attempts(campaign.id)
        ledger = await pbx.tell("ledger")
        snapshot = await cadran.get("/api/v1/snapshot")
        problems = judge(attempts, ledger, machine.outages)
        print(f"{dict(struck)}; {len(attempts)} attempts {dict(Counter(row['outcome'] for row in attempts))}")
        assert problems == []
        assert snapshot["calls"] == {}
        assert {line["in_use"] for line in snapshot["lines"].values()} == {0}


async def shake(machine: Machine, campaign: lab_campaign.Campaign, rng: random.Random) -> Counter[str]:
    """ROUNDS faults, each once before any comes again, at random moments spread over the campaign."""
    kinds = list(machine.faults)
    struck: Counter[str] = Counter()
    for number in range(ROUNDS):
        await tried(machine.cadran, campaign, (number + 1) * LEADS // (ROUNDS + 2))
        await asyncio.sleep(rng.random())
        fault = kinds[number % len(kinds)] if number < len(kinds) else rng.choice(kinds)
        struck[fault] += 1
        await machine.strike(fault)
        await _back_to_work(machine.cadran, campaign)
    return struck


async def _import(cadran: Cadran, campaign: lab_campaign.Campaign, folder: Path) -> None:
    file = folder / "leads.csv"
    lab_campaign.write_numbers(file, [f"019900{n:04d}" for n in range(LEADS)])
    await cadran.command("import", str(file), "--list", str(campaign.list_id))


async def _back_to_work(cadran: Cadran, campaign: lab_campaign.Campaign) -> None:
    """A supervisor starts again what a fault has stopped, and agents who were put on pause go on."""
    snapshot = await cadran.get("/api/v1/snapshot")
    if snapshot["campaigns"][str(campaign.id)]["state"] != "running":
        await cadran.post(f"/api/v1/campaigns/{campaign.id}/start")
    for id, agent in snapshot["agents"].items():
        if agent["state"] == "paused":
            await cadran.post(f"/api/v1/agents/{id}/ready")


async def until_over(cadran: Cadran, campaign: lab_campaign.Campaign) -> None:
    """As `until_over`, with a supervisor who looks in from time to time."""
    async with asyncio.timeout(900):
        while True:
            rows = await cadran.attempts(campaign.id)
            done = {row["lead_id"] for row in rows if row["outcome"] != "not_placed"}
            if len(done) >= LEADS and all(row["outcome"] for row in rows):
                return
            await _back_to_work(cadran, campaign)
            await asyncio.sleep(2.0)


def judge(attempts: list[dict[str, Any]], ledger: dict[str, Any], outages: list[Outage]) -> list[str]:
    """Every disagreement between the rows and the PBX's ledger."""
    found = []
    rows = {str(row["id"]).replace("-", ""): row for row in attempts}
    originated: Counter[str] = Counter()
    for entry in ledger["originates"]:
        if match := CUSTOMER.match(entry["uniqueid"]):
            originated[match[1]] += 1
    found += [f"{count} originates of {id}" for id, count in originated.items() if count > 1]
    found += [f"originate without a row: {id}" for id in originated if id not in rows]
    legs = {match[1]: leg for leg in ledger["legs"] if (match := CUSTOMER.match(leg["uniqueid"]))}
    agents_in = {
        stay["bridge"]: stay for leg in ledger["legs"] if AGENT.match(leg["uniqueid"]) for stay in leg["stays"]
    }
    by_number: dict[str, list[dict[str, Any]]] = {}
    for id, row in rows.items():
        leg = legs.get(id)
        if not row["outcome"]:
            found.append(f"{id} has no outcome")
        if leg is None:
            if row["outcome"] not in lab_campaign.NO_CHANNEL:
                found.append(f"{id} is {row['outcome']}, but the PBX made no channel")
            continue
        by_number.setdefault(leg["number"], []).append(leg)
        found += _outcome(id, row, leg, agents_in, outages)
    for number, theirs in by_number.items():
        theirs.sort(key=lambda leg: float(leg["made_at"]))
        for one, other in itertools.pairwise(theirs):
            if one["ended_at"] is None or one["ended_at"] > other["made_at"]:
                found.append(f"two live calls to {number}")
    return found


def _outcome(
    id: str, row: dict[str, Any], leg: dict[str, Any], agents_in: dict[str, Any], outages: list[Outage]
) -> list[str]:
    """Whether the row says of a call what the PBX says. Unknown is right only for an end inside an outage."""
    if leg["ended_at"] is None:
        return [f"{id} lives on in the PBX"]
    together = [stay for stay in leg["stays"] if stay["bridge"] in agents_in]
    # A PBX that is killed notes no leaving: the stay ended with the leg.
    talked = sum((stay["left_at"] or leg["ended_at"]) - stay["entered_at"] for stay in together)
    shaken = any(leg["made_at"] - 1 < o.up and o.down < leg["ended_at"] + 1 for o in outages)
    outcome, found = row["outcome"], []
    if outcome in lab_campaign.NOT_DIALLED:
        found.append(f"{id} is {outcome}, but the PBX made a channel")
    if outcome in lab_campaign.IN_DOUBT and not shaken:
        found.append(f"{id} is {outcome}, but nothing failed while it lived")
    if outcome in ("busy", "no_answer", "unallocated", "congestion") and leg["answered_at"] is not None:
        found.append(f"{id} is {outcome}, but was answered")
    if outcome == "connected" and not talked:
        found.append(f"{id} is connected, but talked with no agent")
    booked = row["talk_s"] or 0.0
    if not shaken and abs(booked - talked) > TALK_TOLERANCE_S:
        found.append(f"{id}: {booked:.1f} s of talk, by the PBX {talked:.1f} s")
    return found
