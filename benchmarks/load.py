"""bench-load: one daemon in real time against the fake PBX, with its pages watched; loop lag, connect time, memory.

Daemon (PostgreSQL, pacing, journal, HTTP) here; the fake PBX and the readers of the event stream in processes of their
own. AGENTS (200), RATE originates a second (20), SECONDS (60), READERS (20), CALLS (0) and WARM_UP (seconds; follows
from the crowd) are environment variables.

Without CALLS phones are answered, or busy, within a second or two, and a progressive campaign keeps an agent for each
call: there are at most as many calls as agents. With CALLS so many are at once in the mean: one person in five answers,
the others ring for long and in vain, nine agents in ten talk, and the campaign is predictive, as no other has more
calls than agents (benchmarks/_crowd.py). RATE is the campaign's own limit, so agents are not all taken. The goal's
load: AGENTS=1000 RATE=100 CALLS=4000 SECONDS=1800.

Who answers waits for an agent to be free, which is a matter of pacing and chance, and then for the daemon to connect
them. Both are measured at the PBX's side of the socket (benchmarks/_waits.py) and told apart: the goal of 50 ms is for
the daemon's part.

A table by quarters of the run (memory, tasks, open files, leases, calls, lag, connect) comes before the figures; exit 1
if memory has grown by more than 5 % from the first quarter to the last, or if tasks, files or leases were left over.
Last line: `bench-load: ...`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import resource
import statistics
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import _crowd
from benchmarks._held import GROWTH_MAX, Held, Lag, growth, held, leaked, percentile, table
from benchmarks._waits import Waits
from benchmarks.rig import daemon_beside, database, serve_tapped, told
from daemon.app import Application, spare_collector
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Campaign, CampaignState, Client, Group, LeadList, Line
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.store.postgres import PostgresStore
from fake_asterisk import FakeAsterisk
from simulation.world import pbx

AGENTS = int(os.environ.get("AGENTS", "200"))
RATE = float(os.environ.get("RATE", "20"))
SECONDS = float(os.environ.get("SECONDS", "60"))
READERS = int(os.environ.get("READERS", "20"))
CALLS = int(os.environ.get("CALLS", "0"))
CROWD = _crowd.long(AGENTS, RATE, CALLS) if CALLS else _crowd.short()
WARM_UP_S = float(os.environ.get("WARM_UP", CROWD.warm_up_s))
SAMPLE_S = 1.0
OTHERS_S = 120.0
"""Room for what else the fake PBX's life is made of: the daemon's start, people who sign in."""
WRAP_UP_S = 0.5
LAG_GOAL_MS = CONNECT_GOAL_MS = 50.0
MEMORY_GOAL_MB = 400.0


def serve(pipe: Any) -> None:
    """The fake PBX's process."""

    async def main() -> None:
        fake = FakeAsterisk(pbx(AGENTS, CROWD.people), rng=random.Random(1))
        waits = Waits(WRAP_UP_S)
        server = await serve_tapped(fake, pipe, waits.written, waits.read)
        lag = Lag(SECONDS + WARM_UP_S + OTHERS_S)
        probe = asyncio.create_task(lag.run())
        begun = since = 0
        await told(pipe)
        if pipe.recv() == "measure":
            spare_collector()  # a pause of the fake PBX would be in every wait
            waits.clear()
            begun, since = len(fake.ledger.originates), len(lag.values)
        await told(pipe)
        spans = {"whole": waits.whole, "agent": waits.for_agent, "daemon": waits.for_daemon}
        pipe.send((spans, waits.untold, waits.missed, len(fake.ledger.originates) - begun, lag.values[since:]))
        probe.cancel()
        server.close()

    asyncio.run(main())


def read(address: str, token: str, pipe: Any) -> None:
    """The readers' process: each keeps a stream of events open until told; told are that all are, and what came."""
    counts, opened = [0] * READERS, [False] * READERS

    async def one(session: aiohttp.ClientSession, n: int) -> None:
        async with session.get(f"{address}/api/v1/stream") as answer:
            answer.raise_for_status()
            opened[n] = True
            with suppress(aiohttp.ClientError):
                async for chunk in answer.content.iter_any():  # a first snapshot may be one very long line
                    counts[n] += chunk.count(b"data: ")

    async def main() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        options: dict[str, Any] = {"timeout": aiohttp.ClientTimeout(), "connector": aiohttp.TCPConnector(limit=0)}
        async with aiohttp.ClientSession(headers=headers, **options) as session:
            tasks = [asyncio.create_task(one(session, n)) for n in range(READERS)]
            while not all(opened) and not any(task.done() for task in tasks):
                await asyncio.sleep(0.1)
            pipe.send(all(opened))
            await asyncio.to_thread(pipe.recv)
            for task in tasks:
                task.cancel()
            pipe.send(counts)

    asyncio.run(main())


async def _furnish(store: PostgresStore) -> tuple[Campaign, list[Agent]]:
    group = await store.create(Group(code="B", name="B"))
    client = await store.create(Client(group_id=group.id, name="B"))
    line = await store.create(Line(group_id=group.id, site="bench", name="T", endpoint="trunk", capacity=10_000))
    agents = [
        await store.create(Agent(group_id=group.id, site="bench", login=str(n), name=str(n), extension=str(n)))
        for n in range(1001, 1001 + AGENTS)
    ]
    leads = await store.create(LeadList(group_id=group.id, name="L"))
    count = int(RATE * (SECONDS + WARM_UP_S + 30.0))
    for start in range(0, count, 5000):
        drafts = [LeadDraft(e164=f"+33199{n:06d}") for n in range(start, min(count, start + 5000))]
        await store.add_leads(leads.id, drafts)
    campaign = await store.create(
        Campaign(
            group_id=group.id, client_id=client.id, name="B", site="bench", state=CampaignState.RUNNING,
            rule_set="open", list_ids=[leads.id], line_ids=[line.id], calls_per_second=RATE, wrap_up_max_s=WRAP_UP_S,
            mode=CROWD.mode, level=3, speed=10, ring_timeout_s=CROWD.ring_timeout_s,
        )
    )  # fmt: skip
    return campaign, agents


async def _sign_in(app: Application, agents: list[Agent], campaign: Campaign) -> None:
    for agent in agents:
        try:
            await app.hub.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        except CommandError as error:
            sys.exit(str(error))


async def measure(ami_port: int, pbx_pipe: Any) -> dict[str, Any]:
    """The daemon's side."""
    async with (
        database() as (folder, server),
        daemon_beside(ami_port, folder, server, _furnish) as (app, (campaign, agents)),
    ):
        await _sign_in(app, agents, campaign)
        await asyncio.sleep(WARM_UP_S)
        return await _watch(app, folder, pbx_pipe)


async def _watch(app: Application, folder: Path, pbx_pipe: Any) -> dict[str, Any]:
    live = app.hub.runners["bench"].core.live
    here, there = multiprocessing.Pipe()
    token = (folder / "data" / "cli-token").read_text("utf-8").split()[1]
    readers = multiprocessing.get_context("spawn").Process(
        target=read, args=(app.http_address, token, there), daemon=True
    )
    readers.start()
    if not await asyncio.to_thread(here.recv):
        sys.exit("the readers' streams did not open")
    lag = Lag(SECONDS)
    probe = asyncio.create_task(lag.run())
    pbx_pipe.send("measure")
    cpu, before = time.process_time(), _outcomes(live)
    rows, began = [held(live)], time.perf_counter()
    while (spent := time.perf_counter() - began) < SECONDS:
        await asyncio.sleep(min(SAMPLE_S, SECONDS - spent))
        rows.append(held(live))
    cpu = time.process_time() - cpu
    pbx_pipe.send("stop")
    here.send("stop")
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    waits, untold, missed, originates, pbx_lags = await asyncio.to_thread(pbx_pipe.recv)
    read_counts = await asyncio.to_thread(here.recv)
    return {"lags": lag.values, "pbx_lags": pbx_lags, "waits": waits, "untold": untold, "missed": missed,
            "originates": originates, "cpu": cpu, "held": rows, "read": read_counts,
            "slow": app.hub.runners["bench"].slow_batches, "outcomes": _outcomes(live) - before}  # fmt: skip


def _outcomes(live: Any) -> Counter[str]:
    """Of all calls that have ended since the daemon started."""
    return sum((campaign.outcomes for campaign in live.campaigns.values()), Counter())


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    shares = ((f"p{share * 100:.0f}", percentile(ordered, share)) for share in (0.5, 0.95, 0.99))
    told = ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in (*shares, ("longest", ordered[-1])))
    return f"{told}; {sum(value > 0.001 for value in ordered) / len(ordered):.1%} longer than a millisecond"


def main() -> int:
    """Run and print."""
    import uvloop

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    port = here.recv()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(port, here))
    process.join(10)
    rows: list[Held] = found["held"]
    waits: dict[str, list[float]] = found["waits"]
    if not waits["whole"]:
        sys.exit("nobody answered: nothing was measured")
    for line in table(rows, found["lags"], waits["daemon"]):
        print(line)
    grown, left = growth(rows), leaked(rows)
    print(f"memory, first to last quarter: {grown:+.1%} (goal ≤ {GROWTH_MAX:.0%}); left over: {left or 'nothing'}")
    lags = sorted(found["lags"])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    lag_p99, wait_p99 = percentile(lags, 0.99) * 1000, percentile(sorted(waits["daemon"]), 0.99) * 1000
    rate = found["originates"] / SECONDS
    print(
        f"{AGENTS} agents, {rate:.1f} originates/s of {RATE:g} asked, at most {max(row.calls for row in rows)} calls, "
        f"in the mean {statistics.fmean(row.calls for row in rows):.0f} of which "
        f"{statistics.fmean(row.talking for row in rows):.0f} talk, {len(waits['whole'])} connected, "
        f"{found['outcomes']['abandoned']} abandoned, {found['missed']} ended though an agent was there for them; "
        f"{READERS} readers: {min(found['read'])}..{max(found['read'])} events"
    )
    for name, span in (("answer to agent free", "agent"), ("agent free to connect", "daemon"), ("in all", "whole")):
        print(f"{name + ':':<22} {_spread(waits[span])}")
    if found["untold"]:
        print(f"{found['untold']} connected though nobody seemed free: their whole wait is put down to the daemon")
    print(f"loop lag p50 {statistics.median(lags) * 1000:.1f} ms, max {lags[-1] * 1000:.0f} ms; the fake PBX's own p99 "
          f"{percentile(sorted(found['pbx_lags']), 0.99) * 1000:.1f} ms, which is in the waits; "
          f"{found['slow']} slow batches; {found['cpu'] / SECONDS * 100:.0f} % of a core, "
          f"{found['cpu'] / max(1, found['originates']) * 1000:.1f} ms of CPU a call")  # fmt: skip
    print(f"bench-load: lag p99 {lag_p99:.1f} ms (goal ≤ {LAG_GOAL_MS:g}), agent free to connect p99 {wait_p99:.1f} ms "
          f"(goal ≤ {CONNECT_GOAL_MS:g}), {memory:.0f} MB (goal ≤ {MEMORY_GOAL_MB:g}) at {AGENTS} agents, "
          f"{rate:.0f}/s (goal 1000, 100/s)")  # fmt: skip
    return 1 if grown > GROWTH_MAX or left else 0


if __name__ == "__main__":
    raise SystemExit(main())
