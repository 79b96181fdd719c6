"""bench-crm: does a dead CRM delay calls? bench-connect's measurement without a CRM and with one that takes connections
and never answers, in turn in one run; with it, each call asks for a page as it rings and is to be told when it ends.

Last line: `bench-crm: p99 with a dead CRM X ms, without Y ms (goal: equal)`.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from collections.abc import Callable

from benchmarks.connect import waits_of
from daemon.calls.crm_records import CrmUser, Integration
from daemon.calls.records import Agent, Group
from daemon.crm.shipped import shipped_templates
from daemon.store.postgres import PostgresStore

SECONDS = 15.0
TURNS = 2


class DeadCrm:
    """Takes connections, reads, says nothing. `connections`: how many there were."""

    def __init__(self) -> None:
        self.connections = 0
        self._server: asyncio.Server | None = None

    async def furnish(self, store: PostgresStore, group: Group, agents: list[Agent]) -> None:
        """An integration with the dead CRM, and a user there for each agent."""
        self._server = await asyncio.start_server(self._silence, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        source = shipped_templates()["generic-rest"].decode().replace('Editor="password"', 'Editor="string"')
        row = await store.create(
            Integration(
                group_id=group.id, name="dead", key="generic-rest", source=source, enabled=True, journal=True,
                fields={"crm_url": f"http://127.0.0.1:{port}", "api_key": "k"}, options={"popup_calls": "all"},
            )
        )  # fmt: skip
        for agent in agents:
            await store.create(
                CrmUser(group_id=group.id, integration_id=row.id, crm_id=f"u{agent.id}", agent_id=agent.id)
            )

    async def _silence(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await reader.read(65_536):
            pass
        writer.close()


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(values)[int(len(values) * share)] * 1000


def apart(one: list[float], other: list[float], rounds: int = 400) -> tuple[float, float]:
    """95 % of the differences of the two p99 in milliseconds when the calls are drawn anew, so often."""
    rng = random.Random(1)

    def drawn(values: list[float]) -> float:
        return percentile(rng.choices(values, k=len(values)), 0.99)

    found = sorted(drawn(one) - drawn(other) for _ in range(rounds))
    return found[int(rounds * 0.025)], found[int(rounds * 0.975)]


def main() -> int:
    """Run and print."""
    dead = DeadCrm()
    legs: dict[str, list[float]] = {"without": [], "dead": []}
    for _ in range(TURNS):
        for name, furnish in (("without", None), ("dead", dead.furnish)):
            waits = waits_of(SECONDS, furnish)
            legs[name] += waits
            print(f"{name}: {len(waits)} answered calls, p50 {statistics.median(waits) * 1000:.2f} ms, "
                  f"p99 {percentile(waits, 0.99):.2f} ms", flush=True)  # fmt: skip
    if min(map(len, legs.values())) < 200 or not dead.connections:
        sys.exit(f"too few calls were measured, or the CRM was never asked ({dead.connections} connections)")
    low, high = apart(legs["dead"], legs["without"])
    shown: Callable[[str, float], str] = lambda name, share: f"{percentile(legs[name], share):.2f}"  # noqa: E731
    print(f"{dead.connections} connections to the dead CRM; p50 {shown('dead', 0.5)} ms with it, "
          f"{shown('without', 0.5)} ms without; p99 apart by {low:+.2f} to {high:+.2f} ms (95 %)")  # fmt: skip
    print(f"bench-crm: p99 with a dead CRM {shown('dead', 0.99)} ms, without {shown('without', 0.99)} ms (goal: equal)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
