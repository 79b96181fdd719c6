"""Which of our numbers people see, as the PBX is asked to show them: near, least used, capped, rested (features D8)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import CallerIdNumber
from daemon.engine import commands as c
from daemon.pool.caller_ids import Health
from fake_asterisk import people
from fake_asterisk.config import Behaviour
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import open_office

pytestmark = pytest.mark.timeout(300)

SILENT = Behaviour(ring_after_s=0.1, answer_after_s=None)
BUSY = Behaviour(rings=None, answer_after_s=None, fail_sip=486, fail_after_s=0.2)
PARIS, PARIS_TOO, LYON = "+33162000001", "+33162000002", "+33424000001"


async def _office(loop: VirtualLoop, numbers: dict[str, dict[str, Any]], leads: list[str], **fields: Any) -> World:
    """A campaign that shows the pool "sales"; it is started when the numbers and leads are there."""
    world, campaign = await open_office(
        loop, fields.pop("crowd"), agents=fields.pop("agents", 1), leads=0, at_work=False, **fields
    )
    assert world.store is not None
    for e164, more in numbers.items():
        await world.store.create(
            CallerIdNumber(**{"group_id": campaign.group_id, "e164": e164, "pool": "sales", **more})
        )
    await world.store.update(type(campaign), campaign.id, {"caller_id_pool": "sales"}, None)
    await world.store.add_leads(world.list.id, [LeadDraft(e164=e164) for e164 in leads])
    await world.submit(c.ConfigChanged(table="CallerIdNumber"))
    await world.submit(c.ConfigChanged(table="Campaign", ids=(campaign.id,)))
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    return world


async def _office_unheard_in_paris(loop: VirtualLoop, numbers: dict[str, dict[str, Any]]) -> World:
    """Who lives near Paris sees the Paris number and never answers; Lyon answers."""
    talks = Behaviour(ring_after_s=0.1, answer_after_s=0.5, hangup_after_s=2.0, media_s=1e9, voice="human")
    crowd = people.People(fixed={"0162": BUSY, "0424": talks})
    leads = [e164 for n in range(40) for e164 in (f"+331621100{n:02d}", f"+334241100{n:02d}")]
    world = await _office(loop, numbers, leads, crowd=crowd, agents=2)
    world.habits.wrap_up_s = 1.0
    return world


def _shown(world: World) -> list[tuple[str, str]]:
    """(number called, number shown) of each call the PBX was asked for."""
    return [
        (o.number, "".join(filter(str.isdigit, o.caller_id)))
        for o in world.fake.ledger.originates
        if CUSTOMER.match(o.uniqueid)
    ]


@pytest.mark.feature("LEGL-10", clause="of a pool: the number nearest to the callee, then the least used")
def test_the_nearest_number_then_the_least_used() -> None:
    async def main(loop: VirtualLoop) -> None:
        leads = [f"+3316211000{n}" for n in range(4)] + [f"+3342411000{n}" for n in range(2)]
        numbers: dict[str, dict[str, Any]] = {PARIS: {}, PARIS_TOO: {}, LYON: {}, "+33949000001": {"pool": "other"}}
        world = await _office(loop, numbers, leads, crowd=people.People(fixed={"0": BUSY}))
        await world.until(lambda: len(_shown(world)) >= 6, 120.0)
        shown = _shown(world)
        assert Counter(own for to, own in shown if to.startswith("0162")) == {PARIS[1:]: 2, PARIS_TOO[1:]: 2}
        assert {own for to, own in shown if to.startswith("0424")} == {LYON[1:]}
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature(
    "LEGL-10", clause="a number at its daily cap is not shown again that day; without one nothing is dialled"
)
def test_daily_caps() -> None:
    async def main(loop: VirtualLoop) -> None:
        leads = [f"+3316211000{n}" for n in range(8)]
        world = await _office(
            loop, {PARIS: {"daily_cap": 2}, LYON: {"daily_cap": 3}}, leads, crowd=people.People(fixed={"0": BUSY})
        )
        await asyncio.sleep(120.0)
        assert Counter(own for _, own in _shown(world)) == {PARIS[1:]: 2, LYON[1:]: 3}
        (campaign,) = world.live.campaigns.values()
        assert campaign.limit == "caller_ids", "and the pages say so"
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("LEGL-10", clause="a number that is answered half as often as the others rests, and comes back")
def test_a_number_nobody_answers_rests() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await _office_unheard_in_paris(loop, {PARIS: {}, LYON: {}})
        live = world.live
        live.caller_ids.health = Health(calls_min=10, ratio_min=0.5, rest_s=600.0)
        await world.until(lambda: any(key.startswith("caller ID") for key in live.alerts), 400.0)
        assert live.alerts == {f"caller ID {PARIS}": "caller_id_resting"}
        asked = len(_shown(world))
        await asyncio.sleep(30.0)
        later = _shown(world)[asked + 1 :]
        assert later and {own for _, own in later} == {LYON[1:]}, "the other number is shown to all"
        await asyncio.sleep(620.0)
        assert not live.alerts
        assert world.store is not None
        audit = [row for row in world.store.tables.audit if row["what"] == "caller_id.rest"]
        assert [row["detail"]["number"] for row in audit] == [PARIS]
        await world.store.add_leads(world.list.id, [LeadDraft(e164="+33162119999")])
        await world.submit(c.LeadsChanged(list_ids=(world.list.id,)))
        await world.until(lambda: _shown(world)[-1] == ("0162119999", PARIS[1:]), 60.0)
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("LEGL-10", clause="a restart forgets neither the calls of the day nor a number's rest")
def test_a_restart_forgets_neither_caps_nor_rests() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await _office_unheard_in_paris(loop, {PARIS: {}, LYON: {"daily_cap": 30}})
        world.live.caller_ids.health = health = Health(calls_min=10, ratio_min=0.5, rest_s=900.0)
        await world.until(lambda: bool(world.live.alerts), 400.0)
        before = {state.record.e164: state for state in world.live.caller_ids.numbers.values()}
        used, rate = before[LYON].used_today, before[LYON].answer_rate()
        assert 10 <= used < 30 and rate
        world.kill()
        asked = len(_shown(world)) + 1  # one may have been on its way
        await world.start()
        world.live.caller_ids.health = health
        await world.until(lambda: world.live.link.synced, 60.0)
        after = {state.record.e164: state for state in world.live.caller_ids.numbers.values()}
        assert world.live.alerts.get(f"caller ID {PARIS}") == "caller_id_resting"
        assert abs(after[LYON].used_today - used) <= 2 and abs((after[LYON].answer_rate() or 0.0) - rate) < 0.1
        await world.staff(next(live.record for live in world.live.campaigns.values()))
        await asyncio.sleep(300.0)
        own = [number for _, number in _shown(world)]
        assert set(own[asked:]) == {LYON[1:]}, "the one that rests is not shown"
        assert own.count(LYON[1:]) == 30, "and the other no more often than its cap allows, over both lives"
        await world.until(lambda: not world.live.alerts, 900.0)
        await world.stop()

    run(main, seed=3)
