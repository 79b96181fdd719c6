"""Customer answered → connect action, on a real Asterisk: the daemon's own reaction, agents waiting, store running.

A relay between Asterisk and the daemon notes when it passes on the event after which a customer can be connected (the
leg waits: AsyncAGIStart, or the include's DialerAnswered) and when the daemon's action to bridge that customer comes.
60 nailed agents, customers who answer at once and stay 3 s. Asterisk, SIPp, PostgreSQL and the daemon share the
machine, so the figure holds whatever they take from each other. Root, SIPp and an Asterisk are needed
(docs/installation.md); the same on the fake PBX is `make bench-connect`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from pathlib import Path

from tests.asterisk import campaign as lab_campaign
from tests.asterisk import witness
from tests.asterisk.bed import CROWD
from tests.asterisk.cadran import SITE, Cadran
from tests.asterisk.conftest import Lab, make_lab
from tests.asterisk.proxy import Proxy
from tests.asterisk.root import find_root, find_sipp

GOAL_MS = 10.0
PASSED_OVER_S = 5.0
"""The first seconds: agents sign in, caches are cold, and pacing learns."""
WAITS = re.compile(rb"\r\nEvent: AsyncAGIStart\r\n|\r\nUserEvent: DialerAnswered\r\n")
LEG = re.compile(rb"\r\nUniqueid: (" + SITE.encode() + rb"-[0-9a-f]{32})\r\n")
BRIDGES = re.compile(rb"(?:EXEC Bridge |Channel1: )(" + SITE.encode() + rb"-[0-9a-f]{32})")


class Stopwatch:
    """Times of the two messages by leg, read from the bytes that pass."""

    def __init__(self) -> None:
        self.waits: dict[bytes, float] = {}
        self.bridged: dict[bytes, float] = {}
        self._rest = b""

    def events(self, data: bytes) -> None:
        now = time.perf_counter()
        *blocks, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for block in blocks:
            block = b"\r\n" + block + b"\r\n"
            if WAITS.search(block) and (leg := LEG.search(block)):
                self.waits.setdefault(leg[1], now)

    def actions(self, data: bytes) -> None:
        now = time.perf_counter()
        for leg in BRIDGES.findall(data):
            self.bridged.setdefault(leg, now)

    def milliseconds(self) -> list[float]:
        """Sorted reaction times, without the first seconds."""
        begin = min(self.waits.values(), default=0.0) + PASSED_OVER_S
        return sorted(
            1000 * (self.bridged[leg] - at) for leg, at in self.waits.items() if leg in self.bridged and at >= begin
        )


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


async def measure(lab: Lab, mode: str, leads: int) -> tuple[Stopwatch, float, list[float]]:
    """Run a campaign over `leads` customers; the times, calls a second, and Asterisk's own answer-to-bridge in ms."""
    watch = Stopwatch()
    async with (
        Proxy(lab.bed.ports.ami, watch.events, watch.actions) as proxy,
        Cadran(mode, proxy.port, extensions=CROWD) as cadran,
    ):
        campaign = await lab_campaign.set_up(cadran, extensions=CROWD, on_demand=(), capacity=100, wrap_up_max_s=0.2)
        file = cadran.folder / "leads.csv"
        areas, each = ("0199", "0261", "0353"), leads // 3
        numbers = [f"{area}{n // 100:02}16{n % 100:02}" for area in areas for n in range(each)]
        lab_campaign.write_numbers(file, numbers)
        await cadran.command("import", str(file), "--list", str(campaign.list_id))
        began = time.monotonic()
        await lab_campaign.begin(cadran, campaign)
        await lab_campaign.until_over(cadran, campaign, len(numbers), timeout_s=300)
        rate = len(numbers) / (time.monotonic() - began)
        await lab_campaign.release(cadran, campaign, lab)
    seen = witness.calls(witness.rows(lab.bed.cel_file), SITE)
    bridged = sorted(
        1000 * (call.conversations[0].began - call.answered)
        for call in seen.values()
        if call.conversations and call.answered
    )
    return watch, rate, bridged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", default="dialplan", choices=["asyncagi", "dialplan"])
    parser.add_argument("--leads", type=int, default=600)
    options = parser.parse_args()
    root, sipp = find_root(), find_sipp()
    if isinstance(root, str) or sipp is None:
        raise SystemExit(f"connect-asterisk: {root if isinstance(root, str) else 'SIPp is not installed'}")
    with tempfile.TemporaryDirectory(prefix="cadran-bench-") as folder:
        lab = make_lab(root, sipp, Path(folder) / "far-ends")
        try:
            lab.start()
            watch, rate, bridged = asyncio.run(measure(lab, options.mode, options.leads))
        finally:
            lab.close()
    times = watch.milliseconds()
    print(f"{root.version}, mode {options.mode}: {len(times)} customers connected at {rate:.1f} calls/s")
    print(f"reaction p50 {statistics.median(times):.2f} ms, p90 {percentile(times, 0.9):.2f}, max {times[-1]:.2f} ms")
    whole = f"p50 {statistics.median(bridged):.1f} ms, p99 {percentile(bridged, 0.99):.1f} ms"
    print(f"answer to both in the bridge, by Asterisk's own log: {whole}")
    print(
        f"connect-asterisk: {percentile(times, 0.99):.2f} ms (goal <= {GOAL_MS:g} ms p99, {options.mode}, {rate:.0f}/s)"
    )


if __name__ == "__main__":
    main()
