"""Each control mode on one real Asterisk in one run: messages a call, processor a call, answer → both in the bridge.

Four lanes a mode: an agent waits (in `basic` is rung anew), a customer is dialled, answers, is connected, is hung up.
The driver alone is measured, without engine and store: its process's CPU, and Asterisk's from /proc. Far ends are SIPp
on the same machine; figures of one run stand beside each other, not beside other runs'. Root, SIPp and an Asterisk
are needed (docs/installation.md).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from daemon.calls import events as ev
from daemon.calls.actions import Connect
from tests.ami.ground import ALL_MODES, NAILED, Ground, Site, site_on
from tests.asterisk.bed import SECRET
from tests.asterisk.conftest import Lab, make_lab
from tests.asterisk.root import find_root, find_sipp

LANES = 4
TALKS = "061200001201"
TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Figures:
    """What one mode took."""

    mode: str
    calls: int
    messages: float = 0.0
    requests: float = 0.0
    driver_ms: float = 0.0
    asterisk_ms: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def row(self) -> str:
        times = sorted(self.latencies)
        p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
        requests = f"{self.requests:.1f}" if self.requests else "not counted"
        return (
            f"| {self.mode} | {self.messages:.1f} | {requests} | {self.driver_ms:.1f} | {self.asterisk_ms:.1f}"
            f" | {statistics.median(times):.1f} | {p95:.1f} |"
        )


def ground_of(lab: Lab) -> Ground:
    users = {name: "ari" if name == "ari" else f"cadran-{name}" for name in ALL_MODES}
    return Ground(
        tcp_port=lab.bed.ports.ami,
        http_port=lab.bed.ports.http,
        secret=SECRET,
        users=users,
        trunk="line-a",
        numbers={"talks": TALKS},
        phones={},
    )


def asterisk_s(lab: Lab) -> float:
    """Processor seconds of the lab's Asterisk so far."""
    process = lab.bed._process
    assert process is not None
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


async def lane(site: Site, mode: str, extension: str, agent_id: int, calls: int, figures: Figures) -> None:
    """So many calls, one after the other."""
    agent = ""
    for _ in range(calls):
        since = len(site.events)
        if not agent:
            agent = await site.parked_agent(extension, agent_id)
        customer = site.customer(TALKS)
        await site.seen(ev.LegParked, leg=customer, since=since)
        site.driver.perform(Connect(leg=agent, customer=customer))
        bridged = await site.seen(ev.LegBridged, leg=agent, peer=customer, since=since)
        answered = await site.seen(ev.LegAnswered, leg=customer, since=since)
        figures.latencies.append(1000 * (bridged.at - answered.at))
        await asyncio.sleep(0.2)
        behind = len(site.events)
        await site.end(customer)
        if mode in NAILED:
            await site.seen(ev.LegParked, leg=agent, since=behind, within_s=20.0)
        else:
            await site.seen(ev.LegHungUp, leg=agent, since=behind)
            agent = ""
    if agent:
        await site.end(agent)


async def measure(lab: Lab, mode: str, calls: int) -> Figures:
    """One mode, after a call a lane that is not counted."""
    figures = Figures(mode, calls * LANES)
    async with site_on(ground_of(lab), mode) as site:
        await run_lanes(site, mode, 1, Figures(mode, 0))
        before = dict(site.driver.status().figures)
        asterisk, driver = asterisk_s(lab), time.process_time()
        await run_lanes(site, mode, calls, figures)
        figures.driver_ms = 1000 * (time.process_time() - driver) / figures.calls
        figures.asterisk_ms = 1000 * (asterisk_s(lab) - asterisk) / figures.calls
        after = site.driver.status().figures
        figures.messages = (after["messages_in"] - before["messages_in"]) / figures.calls
        figures.requests = (after.get("requests_out", 0) - before.get("requests_out", 0)) / figures.calls
    return figures


async def run_lanes(site: Site, mode: str, calls: int, figures: Figures) -> None:
    async with asyncio.TaskGroup() as group:
        for n, extension in enumerate(("1001", "1002", "1003", "1004")[:LANES]):
            group.create_task(lane(site, mode, extension, 7 + n, calls, figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=15, help="calls a lane and mode")
    options = parser.parse_args()
    root, sipp = find_root(), find_sipp()
    if isinstance(root, str) or sipp is None:
        raise SystemExit(f"modes: {root if isinstance(root, str) else 'SIPp is not installed'}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="cadran-bench-") as folder:
        lab = make_lab(root, sipp, Path(folder) / "far-ends")
        try:
            lab.start()
            rows = [asyncio.run(measure(lab, mode, options.calls)).row() for mode in ALL_MODES]
        finally:
            lab.close()
    print(f"{root.version}; {options.calls * LANES} calls a mode, {LANES} at once")
    print("| mode | messages in | requests out | driver CPU ms | Asterisk CPU ms | answer → bridge p50 ms | p95 ms |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
