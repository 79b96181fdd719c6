"""Bounds and counts on /metrics: every queue, buffer and wait with its use and its limit (RELY-09)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from daemon.api.app import build_app
from daemon.calls.events import LinkUp
from daemon.engine import commands as c
from daemon.engine import runner as runner_module
from daemon.errors import InvariantViolated
from daemon.settings import HttpTable
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.api.conftest import RULES
from tests.api.fakes import World as Rows


def _value(text: str, name: str, **labels: str) -> float:
    wanted = "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"
    lines = [line for line in text.splitlines() if line.startswith(name + wanted)]
    assert len(lines) == 1, (name, wanted, text)
    return float(lines[0].split()[-1])


@pytest.mark.feature("RELY-09", clause="HTTP requests and streams: use and bound on /metrics")
async def test_the_doors_bounds(client: TestClient[Any, Any]) -> None:
    async with client.get("/metrics") as response:
        text = await response.text()
    assert _value(text, "cadran_bound_used", bound="http_requests", site="") == 1
    assert _value(text, "cadran_bound_limit", bound="http_requests", site="") == HttpTable().requests_max
    assert _value(text, "cadran_bound_limit", bound="streams", site="") > 0
    assert _value(text, "cadran_bound_used", bound="stream_behind_bytes", site="") == 0


@pytest.mark.feature("RELY-09", clause="inbox, intents, claims, lines, lease, journal, PBX: use and bound on /metrics")
async def test_a_working_site_s_bounds(world: Rows) -> None:
    """A simulated site at work, then its hub behind the doors."""
    kept: list[Any] = []

    async def main(loop: VirtualLoop) -> None:
        simulated = World(loop, seed=3, pbx_config=pbx(3))
        campaign = await simulated.furnish(agents=3, leads=30, lines=(4,))
        await simulated.start()
        await simulated.staff(campaign)
        await simulated.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(30.0)
        hub = simulated.app.hub
        joined = sum(call.connected_at is not None for call in simulated.live.calls.values())
        joined += sum(one.outcomes["connected"] for one in simulated.live.campaigns.values())
        kept.append((list(hub.bounds()), list(hub.counts()), list(hub.times()), joined))
        await simulated.stop()

    await asyncio.to_thread(run, main, seed=3)
    [(bounds, counts, times, joined)] = kept

    class Door:
        view = world.door.view
        listen = world.door.listen
        submit = world.door.submit

        def bounds(self) -> Any:
            return bounds

        def counts(self) -> Any:
            return counts

        def times(self) -> Any:
            return times

    app = build_app(Door(), world.store, HttpTable(), world.clock, random.Random(3), site_ids=("main",),
                    rule_sets=RULES)  # fmt: skip
    async with TestClient(TestServer(app)) as served, served.get("/metrics") as response:
        text = await response.text()
    names = ("engine_inbox", "intents_waiting", "claims_waiting", "line_channels", "lease_age_s", "journal_bytes",
             "pbx_actions_waiting", "pbx_buffer_bytes")  # fmt: skip
    for name in names:
        used = _value(text, "cadran_bound_used", bound=name, site="main")
        assert 0 <= used <= _value(text, "cadran_bound_limit", bound=name, site="main"), name
    assert _value(text, "cadran_bound_limit", bound="line_channels", site="main") == 4
    assert _value(text, "cadran_engine_count", site="main", what="originates") > 0
    assert _value(text, "cadran_engine_count", site="main", what="batches") > 0
    for span in ("cadran_agent_wait_seconds", "cadran_connect_seconds"):
        assert _value(text, f"{span}_count", site="main") == joined > 0, "each conversation once"
        assert _value(text, f"{span}_bucket", site="main", le="0.5") == joined, "an agent was kept for each call"


@pytest.mark.feature("RELY-09", clause="the engine's inbox at its bound: the link is dropped, and comes back")
def test_a_full_inbox_drops_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=3, pbx_config=pbx(2))
        await world.furnish(agents=2, leads=10)
        await world.start()
        monkeypatch.setattr(runner_module, "INBOX_MAX", 3)
        event = LinkUp(at=loop.time(), mode="asyncagi", version="", capabilities=frozenset(), missing=())
        with pytest.raises(InvariantViolated, match="holds 3"):
            for _ in range(5):
                world.runner.deliver(event)
        monkeypatch.setattr(runner_module, "INBOX_MAX", 100_000)
        await asyncio.sleep(30.0)
        assert world.live.link.up
        await world.stop()

    run(main, seed=3)


def test_a_slow_batch_names_its_culprit(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(runner_module.log, "warning", lambda event, **words: told.append({"event": event} | words))

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=3, pbx_config=pbx(2))
        campaign = await world.furnish(agents=2, leads=10)
        await world.start()
        command = world.runner.core.command

        def slow(asked: Any) -> Any:
            loop._virtual_s += 0.2  # simulated time passes while the engine works
            return command(asked)

        monkeypatch.setattr(world.runner.core, "command", slow)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.stop()

    run(main, seed=3)
    [line] = [words for words in told if words["event"] == "engine.slow_batch"]
    assert line["culprit"] == "StartCampaign"
    assert 0.19 < line["culprit_s"] <= line["spent_s"]
