"""bench-load: one daemon in real time against the fake PBX, with its pages watched; loop lag, connect time, memory.

Daemon (PostgreSQL, pacing, journal, HTTP) here; the fake PBX and the readers of the event stream in processes of their
own. AGENTS (200), RATE originates a second (20), SECONDS (60) and READERS (20) are environment variables; the goal's
load is AGENTS=1000 RATE=100 SECONDS=1800. Every customer who answers has an agent kept for them (progressive), so the
time from answer to connect is the daemon's own. Last line: `bench-load: ...`.
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
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.rig import ConnectWaits, daemon_beside, database, serve_tapped, told
from daemon.app import Application
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Campaign, CampaignState, Client, Group, LeadList, Line
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.store.postgres import PostgresStore
from fake_asterisk import FakeAsterisk, people
from simulation.world import pbx

AGENTS = int(os.environ.get("AGENTS", "200"))
RATE = float(os.environ.get("RATE", "20"))
SECONDS = float(os.environ.get("SECONDS", "60"))
READERS = int(os.environ.get("READERS", "20"))
WARM_UP_S = 10.0
PROBE_S = 0.01
SAMPLES = 120
LAG_GOAL_MS = CONNECT_GOAL_MS = 50.0
MEMORY_GOAL_MB = 400.0


def percentile(values: list[float], share: float) -> float:
    """Of sorted values; 0 of none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def serve(pipe: Any) -> None:
    """The fake PBX's process: half of the people answer within two seconds and talk for twelve, half are busy."""

    async def main() -> None:
        crowd = people.People(
            answer_chance=0.5, machine_share=0.0, busy_share=1.0, ring_mean_s=0.7, ring_spread=0.3, talk_mean_s=10.0
        )
        fake = FakeAsterisk(pbx(AGENTS, crowd), rng=random.Random(1))
        waits = ConnectWaits()
        server = await serve_tapped(fake, pipe, waits.written, waits.read)
        begun = 0
        await told(pipe)
        if pipe.recv() == "measure":
            waits.seconds.clear()
            begun = len(fake.ledger.originates)
        await told(pipe)
        pipe.send((waits.seconds, len(fake.ledger.originates) - begun, len(fake.channels)))
        server.close()

    asyncio.run(main())


def read(address: str, token: str, pipe: Any) -> None:
    """The readers' process: each keeps a stream of events open and counts what comes."""

    async def one(session: aiohttp.ClientSession) -> int:
        count = 0
        with suppress(TimeoutError, aiohttp.ClientError):
            async with session.get(f"{address}/api/v1/stream") as answer:
                answer.raise_for_status()
                async for chunk in answer.content.iter_any():  # a first snapshot may be one very long line
                    count += chunk.count(b"data: ")
        return count

    async def main() -> None:
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        headers = {"Authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            pipe.send(await asyncio.gather(*(one(session) for _ in range(READERS))))

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
            rule_set="open", list_ids=[leads.id], line_ids=[line.id], calls_per_second=RATE, wrap_up_max_s=0.5,
        )
    )  # fmt: skip
    return campaign, agents


async def _lag(values: list[float]) -> None:
    """How much later than asked the loop wakes, a hundred times a second."""
    while True:
        asked = time.perf_counter() + PROBE_S
        await asyncio.sleep(PROBE_S)
        values.append(max(0.0, time.perf_counter() - asked))


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
    lags: list[float] = []
    lag = asyncio.create_task(_lag(lags))
    pbx_pipe.send("measure")
    cpu, most = time.process_time(), 0
    held = [_held(live)]
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < SECONDS:
        await asyncio.sleep(0.5)
        most = max(most, len(live.calls))
        if spent > len(held) * SECONDS / SAMPLES:
            held.append(_held(live))
    cpu = time.process_time() - cpu
    pbx_pipe.send("stop")
    lag.cancel()
    await asyncio.gather(lag, return_exceptions=True)
    waits, originates, _ = await asyncio.to_thread(pbx_pipe.recv)
    read_counts = await asyncio.to_thread(here.recv)
    return {"lags": sorted(lags), "waits": sorted(waits), "originates": originates, "cpu": cpu, "most": most,
            "read": read_counts, "slow": app.hub.runners["bench"].slow_batches, "held": held}  # fmt: skip


def _held(live: Any) -> tuple[float, int, int, int]:
    """What the daemon holds now: memory in MB, tasks, open files, line leases that no call has."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    spare = sum(line.in_use for line in live.pool.lines.values()) - len(live.calls)
    memory = pages * resource.getpagesize() / (1 << 20)
    return memory, len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), spare


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
    lags, waits = found["lags"], found["waits"]
    if not waits:
        sys.exit("nobody answered: nothing was measured")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    quarter = max(1, len(found["held"]) // 4)
    early, late = found["held"][:quarter], found["held"][-quarter:]
    changes = [
        f"{name} {statistics.median(one[n] for one in early):.0f} to {statistics.median(one[n] for one in late):.0f}"
        for n, name in enumerate(("MB", "tasks", "files", "leases without a call"))
    ]
    print(f"first to last quarter: {', '.join(changes)} (goal: memory + 5 % at most)")
    lag_p99, wait_p99 = percentile(lags, 0.99) * 1000, percentile(waits, 0.99) * 1000
    rate = found["originates"] / SECONDS
    print(
        f"{AGENTS} agents, {rate:.1f} originates/s of {RATE:g} asked, at most {found['most']} calls, "
        f"{len(waits)} connected, {READERS} readers: {min(found['read'])}..{max(found['read'])} events"
    )
    print(f"loop lag p50 {statistics.median(lags) * 1000:.1f} ms, max {lags[-1] * 1000:.0f} ms; answer to connect p50 "
          f"{statistics.median(waits) * 1000:.1f} ms, max {waits[-1] * 1000:.0f} ms; {found['slow']} slow batches; "
          f"{found['cpu'] / SECONDS * 100:.0f} % of a core, "
          f"{found['cpu'] / max(1, found['originates']) * 1000:.1f} ms of CPU a call")  # fmt: skip
    print(f"bench-load: lag p99 {lag_p99:.1f} ms (goal ≤ {LAG_GOAL_MS:g}), answer to connect p99 {wait_p99:.1f} ms "
          f"(goal ≤ {CONNECT_GOAL_MS:g}), {memory:.0f} MB (goal ≤ {MEMORY_GOAL_MB:g}) at {AGENTS} agents, "
          f"{rate:.0f}/s (goal 1000, 100/s)")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
