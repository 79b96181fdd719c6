"""Lines on simulated time, judged on the PBX's ledger: capacity, congestion, rest; click-to-call, phone by phone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest

from daemon.calls.records import Group, Line, LineKind, Strategy
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import Behaviour, FakeConfig, people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import customers, dialled, most_at_once

ANSWERS = people.People(fixed={"0": Behaviour(ring_after_s=0.2, answer_after_s=3.0, hangup_after_s=30.0, media_s=60.0)})


def two_trunks(agents: int, congested: dict[str, float]) -> FakeConfig:
    """Trunks `trunk` and `spare`; `congested`: trunk → until when (virtual seconds) it answers 503."""
    config = pbx(agents, ANSWERS)
    config.endpoints["spare"] = replace(config.endpoints["trunk"], name="spare")
    before = config.behaviour_of

    def behaviour_of(endpoint: str, number: str, rng: Random) -> Behaviour:
        if endpoint in congested:
            return Behaviour(rings=None, answer_after_s=None, fail_sip=503, fail_after_s=0.05)
        return before("trunk" if endpoint == "spare" else endpoint, number, rng)

    config.behaviour_of = behaviour_of
    return config


def trunk_of(name: str) -> str:
    """The trunk in a channel's name, PJSIP/trunk-00000001."""
    return name.split("/")[1].split("-")[0]


async def office(loop: VirtualLoop, config: FakeConfig, *, agents: int = 2, leads: int = 12, **fields: Any) -> World:
    world = World(loop, seed=3, mode="dialplan", pbx_config=config)
    await world.furnish(agents=agents, leads=leads, **fields)
    assert world.store is not None
    lines = await world.store.find(Line)
    if len(lines) > 1:
        await world.store.update(Line, lines[1].id, {"endpoint": "spare"}, None)
    await world.start()
    return world


async def at_work(world: World) -> Any:
    """The campaign begins with its agents."""
    assert world.store is not None
    campaign = next(iter(world.live.campaigns.values()))
    await world.staff(campaign.record)
    await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    return campaign


@pytest.mark.feature("TELC-11", clause="congestion on line A: the call goes out on line B at once, counted once")
def test_a_congested_line_hands_over_to_the_next() -> None:
    async def main(loop: VirtualLoop) -> None:
        congested = {"trunk": 0.0}
        world = await office(loop, two_trunks(2, congested), leads=2, lines=(10, 10))
        assert world.store is not None
        await at_work(world)
        await asyncio.sleep(60.0)
        legs = customers(world)
        tried = {number: [trunk_of(leg.name) for leg in legs if leg.number == number] for number in dialled(world)}
        over = {number: trunks for number, trunks in tried.items() if "trunk" in trunks}
        assert len(over) == 2 and all(trunks == ["trunk", "spare"] for trunks in over.values()), tried
        for number in over:
            first, second = [leg for leg in legs if leg.number == number]
            assert second.made_at - first.made_at < 4.0
            rows = [row for row in world.store.tables.attempts.values() if row.e164 == f"+33{number[1:]}"]
            assert sum(row.counted for row in rows if row.outcome) <= 1 < len(rows)
            assert rows[0].outcome == "congestion" and not rows[0].counted
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("TELC-11", clause="a line that fails rests by itself, with the reason, and comes back")
def test_a_failing_line_rests_and_wakes() -> None:
    async def main(loop: VirtualLoop) -> None:
        congested = {"trunk": 0.0}
        world = await office(loop, two_trunks(2, congested), lines=(10,))
        await at_work(world)
        await world.until(lambda: next(iter(world.live.pool.lines.values())).state(world.live.now) == "resting", 60.0)
        began = loop.time()
        view = next(iter(world.app.hub.view()["lines"].values()))
        assert (view.state, view.reason) == ("resting", "congestion")  # type: ignore[union-attr]
        placed = len(customers(world))
        congested.clear()
        await asyncio.sleep(200.0)
        assert len(customers(world)) == placed, "nothing is dialled while it rests"
        await world.until(lambda: len(customers(world)) > placed, 400.0)
        assert 295.0 < loop.time() - began < 310.0, "as long as the settings say"
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("TELC-09", clause="a line's channel limit holds on the PBX, calls being set up included")
def test_channel_limits_hold() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, two_trunks(6, {}), agents=6, lines=(2, 1))
        await at_work(world)
        began = loop.time()
        await asyncio.sleep(120.0)
        legs = customers(world)
        assert most_at_once(world, began, loop.time()) == 3
        for trunk, limit in (("trunk", 2), ("spare", 1)):
            mine = [leg for leg in legs if trunk_of(leg.name) == trunk]
            moments = [leg.made_at for leg in mine]
            at_once = [sum(leg.made_at <= at < (leg.ended_at or loop.time()) for leg in mine) for at in moments]
            assert max(at_once) == limit, trunk
        await world.stop()

    run(main, seed=3)


async def click(world: World, number: int, extension: str, e164: str = "+33199000123") -> UUID:
    assert world.group is not None
    id = UUID(int=number)
    command = c.CallExtension(attempt_id=id, site="main", group_id=world.group.id, extension=extension, e164=e164)
    await world.submit(command)
    return id


def phone_legs(world: World, extension: str) -> list[Any]:
    return [leg for leg in world.fake.ledger.legs.values() if trunk_of(leg.name) == extension]


@pytest.mark.feature("C2C-02", clause="the agent's phone rings, the person is dialled when it is answered")
def test_the_phone_rings_first_and_the_number_is_dialled_on_its_answer() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, two_trunks(2, {}), lines=(10,))
        await click(world, 1, "1001")
        await asyncio.sleep(20.0)
        (phone,), (person,) = phone_legs(world, "1001"), customers(world)
        assert phone.answered_at is not None and person.made_at >= phone.answered_at
        assert person.number == "0199000123" and world.fake.ledger.talks
        await asyncio.sleep(60.0)
        assert phone.ended_at is not None and person.ended_at is not None and not world.live.passing
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("C2C-02", clause="nobody picks up at the agent's: the person is not dialled")
@pytest.mark.feature(
    "C2C-06", clause="a busy or unregistered phone is skipped: the engine refuses it, so the pool goes on"
)
def test_phones_that_cannot_be_rung() -> None:
    async def main(loop: VirtualLoop) -> None:
        config = two_trunks(4, {})
        before = config.behaviour_of

        def behaviour_of(endpoint: str, number: str, rng: Random) -> Behaviour:
            if endpoint == "1002":
                return Behaviour(answer_after_s=None)
            return before(endpoint, number, rng)

        config.behaviour_of = behaviour_of
        config.endpoints["1003"] = replace(config.endpoints["1003"], registered=False)
        world = await office(loop, config, agents=4, lines=(10,))
        await click(world, 1, "1001")
        for extension, code in (("1001", "extension_busy"), ("1003", "extension_unregistered")):
            with pytest.raises(CommandError) as refused:
                await click(world, 2, extension)
            assert refused.value.code == code
        await asyncio.sleep(10.0)
        with pytest.raises(CommandError) as refused:
            await click(world, 2, "1001", "+33199000124")
        assert refused.value.code == "extension_busy", "the PBX says it is in use"
        await click(world, 3, "1002", "+33199000125")
        await asyncio.sleep(60.0)
        assert phone_legs(world, "1002") and dialled(world) == ["0199000123"]
        await click(world, 4, "1001", "+33199000126")
        await asyncio.sleep(10.0)
        assert dialled(world) == ["0199000123", "0199000126"], "free again after its call"
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("C2C-06", clause="no phone is rung twice at a time, also by a daemon that takes over")
def test_a_daemon_that_takes_over_knows_which_phones_are_taken() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, two_trunks(2, {}), lines=(10,))
        await world.stand_by()
        await asyncio.sleep(1.0)
        with pytest.raises(CommandError) as refused:
            await world.standby_runner.submit(c.LeadsChanged())
        assert refused.value.code == "standby"
        await click(world, 1, "1001")
        await asyncio.sleep(6.0)
        runner = world.standby_runner
        world.kill()
        await world.until(lambda: runner.leading and runner.core.live.link.synced, 30.0)
        world.take_over()
        with pytest.raises(CommandError) as refused:
            await click(world, 2, "1001", "+33199000124")
        assert refused.value.code == "extension_busy"
        await click(world, 3, "1002", "+33199000125")
        await asyncio.sleep(10.0)
        assert sorted(dialled(world)) == ["0199000123", "0199000125"]
        (phone,) = phone_legs(world, "1001")
        await asyncio.sleep(60.0)
        assert phone.ended_at - phone.answered_at > 30.0, "the conversation outlived the daemon that began it"
        assert world.store is not None
        first = world.store.tables.attempts[UUID(int=1)]
        assert first.outcome == "connected" and first.talk_s is not None and 25.0 < first.talk_s < 35.0
        assert not world.live.passing and not world.live.calls
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature(
    "C2C-06", clause="the least used trunk is still known to a daemon that was killed and started anew"
)
def test_the_least_used_trunk_outlives_a_restart() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, two_trunks(2, {}), lines=(10, 10))
        assert world.store is not None and world.group is not None
        await world.store.update(Group, world.group.id, {"c2c_strategy": Strategy.LEAST_USED}, None)
        await world.submit(c.ConfigChanged(table="Group", ids=(world.group.id,)))
        first = next(line for line in await world.store.find(Line) if line.endpoint == "trunk")

        async def call(number: int, line_id: int = 0) -> None:
            command = c.CallExtension(
                attempt_id=UUID(int=number), site="main", group_id=first.group_id, extension="1001",
                e164=f"+3319900012{number}", line_id=line_id,
            )  # fmt: skip
            await world.submit(command)
            await asyncio.sleep(60.0)

        for number in (1, 2):
            await call(number, first.id)
        shown = world.app.hub.view()["lines"][str(first.id)]
        assert (shown.calls, shown.succeeded) == (2, 2)
        world.kill()
        await world.start()
        await asyncio.sleep(1.0)
        again = world.app.hub.view()["lines"][str(first.id)]
        assert (again.calls, again.succeeded) == (2, 2), "the share of calls that it carried is what it was"
        for number in (3, 4, 5, 6):
            await call(number)
        trunks = [trunk_of(leg.name) for leg in sorted(customers(world), key=lambda leg: leg.made_at)]
        assert trunks == ["trunk", "trunk", "spare", "spare", "trunk", "spare"]
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("C2C-05", clause="a removed line in use finishes its call")
def test_a_line_taken_away_finishes_its_call() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, two_trunks(2, {}), lines=(10,))
        assert world.store is not None and world.group is not None
        phone = await world.store.create(
            Line(group_id=world.group.id, site="main", name="P", endpoint="1001", kind=LineKind.EXTENSION)
        )
        await world.submit(c.ConfigChanged(table="Line", ids=(phone.id,)))
        await click(world, 1, "1001")
        await asyncio.sleep(8.0)
        trunk = next(line for line in await world.store.find(Line) if line.endpoint == "trunk")
        for line in (phone, trunk):
            await world.store.delete(Line, line.id, None)
            await world.submit(c.ConfigChanged(table="Line", ids=(line.id,)))
        await asyncio.sleep(60.0)
        (person,) = customers(world)
        assert person.ended_at is not None and person.ended_at - (person.answered_at or 0.0) > 25.0
        (row,) = world.store.tables.attempts.values()
        assert row.outcome == "connected" and row.talk_s is not None and row.talk_s > 25.0
        await world.stop()

    run(main, seed=3)
