"""bench-connect: from the customer's answer to our connect action, at the fake PBX's socket.

The daemon (PostgreSQL, pacing and journal running) serves 20 answered calls a second; the fake PBX runs in a process of
its own and notes, on its side of the socket, when it wrote the answer and when it read the action that connects it.
Last line: `bench-connect: p99 X ms (goal ≤ 10 ms at 20/s)`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import statistics
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.rig import ConnectWaits, daemon_beside, database, serve_tapped, told
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Campaign, CampaignState, Client, Group, LeadList, Line
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.settings import OutgoingTable
from daemon.store.postgres import PostgresStore
from fake_asterisk import Behaviour, FakeAsterisk, people
from simulation.world import pbx

RATE = 20.0
AGENTS = 120
SECONDS = 30.0
Furnish = Callable[[PostgresStore, Group, list[Agent]], Awaitable[None]]


def serve(pipe: Any) -> None:
    """The fake PBX's process: everybody answers after half a second and talks for two."""

    async def main() -> None:
        crowd = people.People(
            fixed={"0": Behaviour(ring_after_s=0.1, answer_after_s=0.5, hangup_after_s=2.0, media_s=3.0)}
        )
        fake = FakeAsterisk(pbx(AGENTS, crowd), rng=random.Random(1))
        waits = ConnectWaits()
        server = await serve_tapped(fake, pipe, waits.written, waits.read)
        await told(pipe)
        pipe.send(waits.seconds)
        server.close()

    asyncio.run(main())


async def measure(ami_port: int, seconds: float, furnish: Furnish | None = None) -> None:
    """The daemon's side: a progressive campaign held to 20 originates a second. `furnish` adds rows beforehand, and may
    then have addresses of this machine asked."""

    async def all_rows(store: PostgresStore) -> tuple[Campaign, list[Agent]]:
        group = await store.create(Group(code="B", name="B"))
        client = await store.create(Client(group_id=group.id, name="B"))
        line = await store.create(Line(group_id=group.id, site="bench", name="T", endpoint="trunk", capacity=500))
        agents = [
            await store.create(Agent(group_id=group.id, site="bench", login=str(n), name=str(n), extension=str(n)))
            for n in range(1001, 1001 + AGENTS)
        ]
        leads = await store.create(LeadList(group_id=group.id, name="L"))
        await store.add_leads(leads.id, [LeadDraft(e164=f"+33199{n:06d}") for n in range(int(RATE * (seconds + 20)))])
        campaign = await store.create(
            Campaign(
                group_id=group.id, client_id=client.id, name="B", site="bench", state=CampaignState.RUNNING,
                rule_set="open", list_ids=[leads.id], line_ids=[line.id], calls_per_second=RATE, wrap_up_max_s=0.5,
            )
        )  # fmt: skip
        if furnish is not None:
            await furnish(store, group, agents)
        return campaign, agents

    outgoing = OutgoingTable(allow_networks=("127.0.0.0/8",) if furnish else (), plain_http=bool(furnish))
    async with (
        database() as (folder, server),
        daemon_beside(ami_port, folder, server, all_rows, outgoing=outgoing) as (app, (campaign, agents)),
    ):
        for agent in agents:
            try:
                await app.hub.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
            except CommandError as error:
                sys.exit(str(error))
        await asyncio.sleep(seconds)


def waits_of(seconds: float, furnish: Furnish | None = None) -> list[float]:
    """Answer to connect action, in seconds, of each call of one run, shortest first."""
    import uvloop

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    port = here.recv()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(port, seconds + 8.0, furnish))
    here.send("stop")
    waits = sorted(here.recv())
    process.join(10)
    return waits


def main() -> int:
    """Run and print."""
    waits = waits_of(SECONDS)
    if len(waits) < 200:
        sys.exit(f"only {len(waits)} answered calls were measured")
    p50, p99 = statistics.median(waits) * 1000, waits[int(len(waits) * 0.99)] * 1000
    print(f"answered calls {len(waits)}, p50 {p50:.2f} ms, p95 {waits[int(len(waits) * 0.95)] * 1000:.2f} ms, "
          f"max {waits[-1] * 1000:.1f} ms, about {len(waits) / SECONDS:.0f} a second")  # fmt: skip
    print(f"bench-connect: p99 {p99:.2f} ms (goal ≤ 10 ms at 20/s)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
