"""A PBX that would place every call and tell nothing of them: the campaign stands still, says why, and goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.calls.records import Campaign
from daemon.engine import commands as c
from fake_asterisk import people, rights
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx


def _dialled(world: World) -> int:
    return sum(bool(CUSTOMER.match(o.uniqueid)) for o in world.fake.ledger.originates)


def _shown(world: World, campaign: Campaign) -> Any:
    return world.app.hub.view()["campaigns"][str(campaign.id)]


async def _at_work(loop: VirtualLoop, mode: str, lacking: int) -> tuple[World, Campaign, rights.ManagerUser]:
    """A campaign at work, and its PBX's user, who may not read `lacking` any more from the next login on."""
    world = World(loop, seed=8, mode=mode, pbx_config=pbx(3, people.People(answer_chance=0.5, talk_mean_s=10.0)))
    campaign = await world.furnish(agents=3, leads=900, lines=(4,), ring_timeout_s=15.0)
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await asyncio.sleep(30.0)
    assert _dialled(world)
    user = world.fake.config.users["dialer" if mode == "asyncagi" else "basic"]
    user.read &= ~lacking
    world.fake.faults.cut()
    await world.until(lambda: not world.live.link.up, 10.0)
    return world, campaign, user


@pytest.mark.feature(
    "S100-04", clause="a campaign whose link hears no calls stands still, says why, and goes on once mended"
)
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan", "basic"])
def test_a_campaign_does_not_dial_into_a_link_that_hears_no_calls(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign, user = await _at_work(loop, mode, rights.CALL)
        before = _dialled(world)
        await world.until(lambda: world.live.link.synced, 30.0)
        await asyncio.sleep(120.0)
        assert _dialled(world) == before
        view = _shown(world, campaign)
        assert view.causes[0].code == "read_missing"
        assert view.why == "Not dialling: the PBX tells Cadran nothing of its calls; add call to read in manager.conf"
        assert view.why_fr == (
            "Ne compose pas : le PBX ne dit rien des appels à Cadran ; ajoutez call à read dans manager.conf"
        )
        link: Any = world.app.hub.view()["links"]["main"]
        assert link.up
        assert any("manager.conf" in entry and "class call" in entry for entry in link.missing)
        assert list(world.app.sites.alerts()) == ["read_missing: PBX main"]
        user.read |= rights.CALL
        await world.until(lambda: _dialled(world) > before, 60.0)
        assert list(world.app.sites.alerts()) == []
        await world.stop()

    run(main, seed=8)


@pytest.mark.feature(
    "S100-04", clause="without the class that tells that a leg waits, no more than one round is dialled"
)
@pytest.mark.parametrize(
    ("mode", "lacking", "name"), [("asyncagi", rights.AGI, "agi"), ("dialplan", rights.USER, "user")]
)
def test_a_link_that_never_hears_that_a_leg_waits(mode: str, lacking: int, name: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign, user = await _at_work(loop, mode, lacking)
        before = _dialled(world)
        await world.until(lambda: world.live.link.unheard == name, 120.0)
        assert _dialled(world) - before <= 4
        before = _dialled(world)
        await asyncio.sleep(300.0)
        assert _dialled(world) == before
        assert f"add {name} to read in manager.conf" in _shown(world, campaign).why
        user.read |= lacking
        world.fake.emit(rights.SYSTEM, "Reload", "Module: manager\r\nStatus: 0\r\n")  # `manager reload`
        await world.until(lambda: _dialled(world) > before, 120.0)
        assert list(world.app.sites.alerts()) == []
        await world.stop()

    run(main, seed=8)


@pytest.mark.feature("S100-04", clause="a quiet PBX is never taken for one that tells nothing")
def test_a_quiet_night_is_no_deafness() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=9, pbx_config=pbx(3))
        await world.furnish(agents=3, leads=0)
        await world.start()
        for _ in range(10):
            await asyncio.sleep(3600.0)
            assert (world.live.link.up, world.live.link.unheard) == (True, "")
            assert "originate" in world.live.link.capabilities
            world.fake.faults.cut()
            await world.until(lambda: world.live.link.synced, 30.0)
        await world.stop()

    run(main, seed=9)
