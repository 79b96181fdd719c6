"""Machine detection measured on a real Asterisk: spoken greetings and hellos over RTP, the verdicts in a table.

`make test-amd` runs the 200 calls and prints the table of docs/voice.md; the suite runs a few of each.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter

import pytest

from daemon.calls import events as ev
from daemon.calls.actions import Hangup
from tests.ami.ground import Ground, Site, clean, site  # noqa: F401 - fixtures
from tests.asterisk.bed import SECRET
from tests.asterisk.conftest import Lab

EACH = int(os.environ.get("CADRAN_AMD_CALLS", "0")) // 10 or 1
"""Calls to each of five voices of either kind."""
AT_ONCE = 10


@pytest.fixture(params=["asyncagi"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ground(lab: Lab) -> Ground:
    return Ground(
        tcp_port=lab.bed.ports.ami, secret=SECRET, users={name: f"cadran-{name}" for name in ("asyncagi", "dialplan")},
        trunk="line-a", numbers={"answering fax": "061200004301"},
        phones={}, route="route",
    )  # fmt: skip


@pytest.mark.feature("AMD-01", clause="verdicts of a real Asterisk on spoken hellos and greetings")
@pytest.mark.skipif(shutil.which("espeak-ng") is None or shutil.which("sox") is None, reason="espeak-ng and sox speak")
async def test_verdicts_on_spoken_answers(site: Site, ground: Ground) -> None:  # noqa: F811
    table: Counter[tuple[str, str]] = Counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def call(kind: str, voice: int, n: int) -> None:
        async with gate:
            leg = site.customer(f"06120000{5 if kind == 'person' else 6}{voice}{n:02d}", amd=True)
            verdict = await site.seen(ev.AmdVerdict, leg=leg, within_s=60.0)
            table[kind, str(verdict.verdict)] += 1
            site.driver.perform(Hangup(leg=leg))
            await site.seen(ev.LegHungUp, leg=leg)

    wanted = [(kind, voice, n) for n in range(EACH) for kind in ("person", "machine") for voice in range(5)]
    await asyncio.gather(*(call(*one) for one in wanted))
    for kind in ("person", "machine"):
        print(kind, {verdict: count for (k, verdict), count in sorted(table.items()) if k == kind})
    assert sum(table.values()) == 10 * EACH, "every call has one verdict"
    assert table["person", "human"] + table["person", "notsure"] >= 0.8 * 5 * EACH, table
    assert table["machine", "machine"] >= 0.6 * 5 * EACH, table


@pytest.mark.feature("CAMP-13", clause="real Asterisk: a fax that answers is taken for a machine, no agent hears it")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"], indirect=True)
async def test_a_fax_that_answers(site: Site, ground: Ground) -> None:  # noqa: F811
    leg = site.customer(ground.numbers["answering fax"], amd=True)
    verdict = await site.seen(ev.AmdVerdict, leg=leg, within_s=60.0)
    print(verdict)
    assert str(verdict.verdict) in ("machine", "fax")
    await site.end(leg)
