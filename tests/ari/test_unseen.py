"""What a driver does where nobody awaits it: what fails is told, and what the engine could not take comes again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

import daemon.engine.runner as runner_module
from daemon.calls.actions import OriginateAgent
from daemon.calls.ids import agent_leg
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

EAGER = people.People(answer_chance=1.0, talk_mean_s=10.0, ring_mean_s=1.0, machine_share=0.0)


async def up(loop: VirtualLoop, mode: str) -> World:
    world = World(loop, seed=4, mode=mode, pbx_config=pbx(2, EAGER))
    await world.furnish(agents=2, leads=10)
    await world.start()
    await world.until(lambda: world.live.link.synced, 10.0)
    return world


async def overrun_and_back(world: World, runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.until(lambda: not world.live.link.up, 30.0)
    assert world.live.link.code == "overrun"
    monkeypatch.setattr(runner_module, "INBOX_MAX", 100_000)
    await world.until(lambda: world.live.link.synced, 60.0)
    assert world.runner is runner, "the engine was made anew"


@pytest.mark.feature("RELY-09", clause="the engine's inbox at its bound as a telephone's state changes, by ARI")
def test_a_telephone_that_goes_while_the_engine_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await up(loop, "ari")
        runner = world.runner
        monkeypatch.setattr(runner_module, "INBOX_MAX", 0)
        world.fake.config.endpoints["1001"].registered = False
        await overrun_and_back(world, runner, monkeypatch)
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("RELY-09", clause="the engine's inbox at its bound as an action is refused: it is not forgotten")
@pytest.mark.parametrize("mode", ["ari", "asyncagi"])
@pytest.mark.parametrize("extension", ["9999", "10 01"])
def test_an_originate_that_fails_while_the_engine_takes_no_more(
    mode: str, extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, since it can't be written, or as the PBX says so: nobody of that number is there."""

    async def main(loop: VirtualLoop) -> None:
        world = await up(loop, mode)
        runner = world.runner
        leg = agent_leg("main", 1, world.clock.utcnow(), world.rng)
        monkeypatch.setattr(runner_module, "INBOX_MAX", 0)
        runner.pbx.perform(OriginateAgent(leg=leg, agent_id=1, extension=extension, ring_timeout_s=15.0))
        await overrun_and_back(world, runner, monkeypatch)
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("RELY-09", clause="what fails unexpectedly in a driver, beside its link, is in the log")
@pytest.mark.parametrize("mode", ["ari", "asyncagi"])
def test_a_task_of_a_driver_that_fails_is_told(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await up(loop, mode)
        driver: Any = world.runner.pbx

        async def broken(*_: Any, **__: Any) -> None:
            raise TypeError("an answer that nobody foresaw")

        leg = agent_leg("main", 1, world.clock.utcnow(), world.rng)
        with capture_logs() as logs, monkeypatch.context() as odd:
            odd.setattr(driver._client, "ask" if mode == "ari" else "send", broken)
            driver.perform(OriginateAgent(leg=leg, agent_id=1, extension="1001", ring_timeout_s=15.0))
            await asyncio.sleep(0.5)
        (told,) = [entry for entry in logs if entry["event"] == "pbx.task_failed"]
        assert (told["site"], told["log_level"]) == ("main", "error")
        assert "an answer that nobody foresaw" in repr(told["exc_info"])
        assert world.live.link.up
        await world.stop()

    run(main, seed=4)
