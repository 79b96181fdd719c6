"""Answers that are not of ARI's form, and an engine that takes no more: the link is made anew, the engine goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import daemon.engine.runner as runner_module
from daemon.ari.driver import AriDriver
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

EAGER = people.People(answer_chance=1.0, talk_mean_s=10.0, ring_mean_s=1.0, machine_share=0.0)


async def up(loop: VirtualLoop) -> World:
    world = World(loop, seed=4, mode="ari", pbx_config=pbx(2, EAGER))
    await world.furnish(agents=2, leads=10)
    await world.start()
    return world


@pytest.mark.feature(
    "PBX-05", clause="an answer that is not ARI's (a proxy's page of its own) ends the link, not the engine"
)
@pytest.mark.parametrize("path", ["/asterisk/info", "/channels", "/endpoints/PJSIP"])
def test_an_answer_of_another_form(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await up(loop)
        driver, runner = world.runner.pbx, world.runner
        assert isinstance(driver, AriDriver)
        ask, odd = driver._client.ask, [True]

        async def asked(method: str, where: str, *more: Any, **named: Any) -> Any:
            return {"status": "ok"} if odd[0] and where == path else await ask(method, where, *more, **named)

        monkeypatch.setattr(driver._client, "ask", asked)
        await asyncio.sleep(30.0)  # an audit, and the devices
        world.fake.faults.cut()
        await asyncio.sleep(5.0)
        assert not world.live.link.up and world.live.link.code == "protocol"
        odd[0] = False
        await world.until(lambda: world.live.link.synced, 60.0)
        assert world.runner is runner, "the engine was made anew"
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("RELY-09", clause="the engine's inbox at its bound, by ARI: the link is dropped, and comes back")
@pytest.mark.parametrize("mode", ["ari", "asyncagi"])
def test_an_engine_that_takes_no_more(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=4, mode=mode, pbx_config=pbx(2, EAGER))
        campaign = await world.furnish(agents=2, leads=10)
        await world.start()
        runner = world.runner
        monkeypatch.setattr(runner_module, "INBOX_MAX", 0)
        await world.staff(campaign)  # phones ring: events
        await world.until(lambda: not world.live.link.up, 30.0)
        assert world.live.link.code == "overrun"
        monkeypatch.setattr(runner_module, "INBOX_MAX", 100_000)
        await world.until(lambda: world.live.link.synced, 60.0)
        assert world.runner is runner, "the engine was made anew"
        await world.stop()

    run(main, seed=4)
