"""Calls coming in, on simulated time: whose they are, when open, who answers, who waits, what becomes of the missed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import daemon.calls.records as rec
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Blocked, Campaign, CampaignMode, Inbound, MissedOwner
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import Behaviour, people
from fake_asterisk.config import Endpoint
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

pytestmark = pytest.mark.timeout(120)
DID, DIALLED = "+33199000001", "0199000001"
MODES = ("asyncagi", "dialplan", "ari")
WAY_IN = """
[in-asyncagi]
exten => _X.,1,AGI(agi:async)
[in-dialplan]
exten => _X.,1,Goto(cadran-inbound,${EXTEN},1)
[in-ari]
exten => _X.,1,Stasis(cadran-main,${EXTEN})
 same => n,Goto(voicemail,box,1)
[voicemail]
exten => box,1,Answer()
 same => n,Wait(5)
 same => n,Hangup()
"""
ANSWERS = people.People(answer_chance=1.0, talk_mean_s=20.0, ring_mean_s=1.0, machine_share=0.0)


class Reception:
    """A world whose trunk `in` brings callers; what became of each."""

    def __init__(self, loop: VirtualLoop, mode: str, agents: int, crowd: people.People = ANSWERS) -> None:
        config = pbx(agents, crowd)
        config.endpoints["in"] = Endpoint("in", f"in-{mode}")
        config.dialplan += WAY_IN
        self.world = World(loop, seed=7, mode=mode, pbx_config=replace(config))
        self.loop = loop

    async def open(self, campaign_hours: Sequence[rec.HoursWindow] = (), **inbound: Any) -> Campaign:
        world = self.world
        settings = Inbound(dids=[DID], **inbound)
        self.campaign = await world.furnish(
            agents=len([e for e in world.fake.config.endpoints if e.isdigit()]), leads=0, mode=CampaignMode.INBOUND,
            inbound=settings, wrap_up_max_s=5.0, hours=list(campaign_hours),
        )  # fmt: skip
        await world.start()
        return self.campaign

    async def staff(self, *campaigns: Campaign) -> None:
        world = self.world
        ids = tuple(campaign.id for campaign in campaigns or (self.campaign,))
        for agent in world.agents:
            await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=ids, ready=True))
        await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
        for id in ids:
            await world.submit(c.StartCampaign(campaign_id=id))

    def caller(self, number: str = "0612000001", **behaviour: Any) -> Any:
        return self.world.fake.call_in("in", DIALLED, number, Behaviour(media_s=1e9, **behaviour))

    def rows(self) -> list[Any]:
        assert self.world.store is not None
        rows = [row for row in self.world.store.tables.attempts.values() if row.kind == "inbound"]
        return sorted(rows, key=lambda row: row.at)

    @property
    def missed(self) -> list[dict[str, Any]]:
        assert self.world.store is not None
        return list(self.world.store.tables.missed.values())


def dialled(world: World) -> list[str]:
    """Numbers that the PBX was asked to dial, phones apart."""
    legs = sorted(world.fake.ledger.legs.values(), key=lambda leg: leg.made_at)
    return [leg.number for leg in legs if CUSTOMER.match(leg.uniqueid) and leg.number.startswith("06")]


@pytest.mark.feature("CAMP-05", clause="inbound only: no outbound; calls go to READY agents")
@pytest.mark.parametrize("mode", MODES)
def test_a_caller_meets_the_ready_agent(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 2)
        await desk.open()
        await desk.staff()
        channel = desk.caller(talk_s=10.0)
        await desk.world.until(lambda: channel.bridge is not None, 5.0)
        assert len(channel.bridge.channels) == 2 and channel.answered_at is not None
        await asyncio.sleep(30.0)
        (row,) = desk.rows()
        assert (row.outcome, row.e164, row.caller_id) == ("connected", "+33612000001", DID)
        assert 9.0 < row.talk_s < 11.5 and row.counted is False
        assert [o for o in desk.world.fake.ledger.originates if "trunk" in str(o)] == []
        assert all(d.state == "ready" for d in desk.world.live.desks.values())
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature(
    "CAMP-12", clause="abandoned inbound counted apart; the ledger of outbound calls knows nothing of it"
)
@pytest.mark.feature("ZAD-08", clause="rung in vain: exactly one missed-call task, the default user's")
@pytest.mark.feature("ZAD-17", clause="with the option on, a missed call is a task that is due at once")
@pytest.mark.parametrize("mode", MODES)
def test_a_caller_who_leaves_is_one_missed_call(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 5)
        await desk.open(missed_call_owner=MissedOwner.DEFAULT_USER, default_agent_id=3, call_back=True)
        desk.caller(hangup_after_s=20.0)
        await asyncio.sleep(40.0)
        (row,) = desk.rows()
        assert row.outcome == "missed" and not row.counted
        (task,) = desk.missed
        assert (task["owner_agent_id"], task["attempt_id"]) == (3, row.id) and task["due_at"] is not None
        live = desk.world.live.campaigns[desk.campaign.id]
        assert live.callers["missed"] == 1 and live.outcomes["abandoned"] == 0
        assert desk.world.store is not None and not desk.world.store.tables.ledger
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature("ZAD-17", clause="its owner calls back from the task; out of the campaign's hours that is refused")
@pytest.mark.parametrize("mode", MODES)
def test_a_missed_call_is_called_back_within_the_hours(mode: str) -> None:
    """It is 10:30 in Paris, and the campaign may call from 11:00 on."""

    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 2)
        world = desk.world
        later = [rec.HoursWindow(days=[1, 2, 3, 4, 5, 6, 7], start="11:00", end="19:00")]
        await desk.open(
            campaign_hours=later, missed_call_owner=MissedOwner.DEFAULT_USER, default_agent_id=1, call_back=True
        )
        desk.caller(hangup_after_s=10.0)
        await asyncio.sleep(20.0)
        (task,) = desk.missed
        owner = next(agent for agent in world.agents if agent.id == task["owner_agent_id"])
        assert world.store is not None
        e164 = world.store.tables.attempts[task["attempt_id"]].e164
        await world.submit(c.SignIn(agent_id=owner.id, campaign_ids=(desk.campaign.id,), ready=False))
        await world.until(lambda: world.live.desks[owner.id].leg_state == "parked", 30.0)
        call_back = c.DialNumber(agent_id=owner.id, campaign_id=desk.campaign.id, e164=e164)
        with pytest.raises(CommandError) as caught:
            await world.submit(call_back)
        assert caught.value.code == "call_forbidden" and caught.value.details["until"] is not None
        await asyncio.sleep(1.0)
        assert dialled(world) == []
        await asyncio.sleep(1900.0)
        await world.submit(call_back)
        await world.until(lambda: world.live.desks[owner.id].state == "on_call", 60.0)
        assert dialled(world) == ["0612000001"], "once"
        await asyncio.sleep(300.0)
        (row,) = [row for row in world.store.tables.attempts.values() if row.kind == "manual"]
        assert (row.e164, row.outcome) == ("+33612000001", "connected")
        assert dialled(world) == ["0612000001"], "nothing calls it again by itself"
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("ZAD-09", clause="missed_call_owner = pool: nobody's in particular")
def test_the_pool_owns_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "asyncagi", 1)
        await desk.open(missed_call_owner=MissedOwner.POOL, default_agent_id=3)
        desk.caller(hangup_after_s=5.0)
        desk.caller("", hangup_after_s=5.0)
        await asyncio.sleep(20.0)
        assert [row.outcome for row in desk.rows()] == ["missed", "missed"]
        (task,) = desk.missed
        assert task["owner_agent_id"] == 0, "and who hides the number makes no task: it can't be called back"
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature("TELC-05", clause="out of hours: the configured action; in hours: the campaign's queue")
@pytest.mark.parametrize(
    ("how", "outcome"), [("busy", "missed"), ("message", "missed"), ("voicemail@voicemail", "missed")]
)
@pytest.mark.parametrize("mode", MODES)
def test_out_of_hours(mode: str, how: str, outcome: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 1)
        shut = [rec.HoursWindow(days=[1, 2, 3, 4, 5, 6, 7], start="00:00", end="00:01")]
        more = {"message": {"closed_message": "ferme", "closed_message_s": 4.0}, "busy": {}}.get(
            how, {"overflow": "box@voicemail"}
        )
        await desk.open(open=shut, **more)
        await desk.staff()
        channel = desk.caller()
        await asyncio.sleep(2.0)
        assert (channel.answered_at is None) == (how == "busy")
        assert channel.dead == (how == "busy") and (how != "busy" or channel.cause == 17)
        if "voicemail" in how:
            assert channel.context == "voicemail"
        await asyncio.sleep(15.0)
        assert channel.dead
        (row,) = desk.rows()
        assert row.outcome == "missed" and row.ended_by == "closed"
        assert all(d.today["calls"] == 0 for d in desk.world.live.desks.values())
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature("ZAD-18", clause="blacklisted: rejected busy at the PBX, and never dialled")
@pytest.mark.parametrize("mode", MODES)
def test_blacklisted(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 1)
        await desk.open()
        world = desk.world
        assert world.store is not None and world.group is not None
        row = await world.store.create(Blocked(group_id=world.group.id, e164="+33612000001"))
        await world.submit(c.ConfigChanged(table="Blocked", ids=(row.id,)))
        await desk.staff()
        channel = desk.caller()
        await asyncio.sleep(2.0)
        assert channel.dead and channel.answered_at is None and channel.cause == 17
        assert desk.rows()[0].outcome == "rejected" and desk.missed == []
        agent = world.agents[0]
        with pytest.raises(CommandError) as refused:
            await world.submit(c.DialNumber(agent_id=agent.id, campaign_id=desk.campaign.id, e164="+33612000001"))
        assert refused.value.details["rule"] == "blacklist"
        await asyncio.sleep(5.0)
        dialled = [leg.number for leg in world.fake.ledger.legs.values() if leg.uniqueid.startswith("main-0")]
        assert "0612000001" not in dialled
        await world.stop()

    run(main, seed=7)


def test_the_most_skilled_then_the_longest_ready() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "asyncagi", 3)
        await desk.open(skill="devis")
        world = desk.world
        assert world.store is not None
        for agent, level in zip(world.agents, (0, 2, 5), strict=True):
            skills = {"devis": level} if level else {}
            await world.store.update(Agent, agent.id, {"skills": skills}, None)
            await world.submit(c.ConfigChanged(table="Agent", ids=(agent.id,)))
        await desk.staff()
        for number in ("0612000001", "0612000002", "0612000003"):
            desk.caller(number, talk_s=60.0)
            await asyncio.sleep(1.0)
        talking = {d.id: d.call.e164[-1] for d in world.live.desks.values() if d.call}
        assert talking == {world.agents[2].id: "1", world.agents[1].id: "2"}, "the third waits: nobody else knows"
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature(
    "CAMP-12", clause="50 calls in 5 s on 10 agents: order kept, waits true, none lost, outbound stops"
)
@pytest.mark.parametrize("mode", MODES)
def test_a_burst_of_fifty(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 10)
        await desk.open(wait_max_s=900.0)
        world = desk.world
        assert world.store is not None and world.group is not None and world.client is not None
        lines = [line.id for line in await world.store.find(rec.Line)]
        await world.store.add_leads(
            world.list.id, [LeadDraft(e164=f"+3319900{n:04d}", last_name=f"P{n}") for n in range(200)]
        )
        outbound = await world.store.create(
            Campaign(
                group_id=world.group.id, client_id=world.client.id, name="Sortant", site="main", rule_set="open",
                mode=CampaignMode.PROGRESSIVE, list_ids=[world.list.id], line_ids=lines, wrap_up_max_s=5.0,
                gap_min_s=0.0, calls_per_second=20.0,
            )
        )  # fmt: skip
        await world.submit(c.ConfigChanged(table="Campaign", ids=(outbound.id,)))
        world.habits.wrap_up_s = 2.0
        await desk.staff(desk.campaign, outbound)
        world._tasks.append(asyncio.create_task(world._work(), name="agents"))
        await asyncio.sleep(30.0)
        began, channels = loop.time(), []
        for n in range(50):
            channels.append(desk.caller(f"06120001{n:02d}", talk_s=20.0))
            await asyncio.sleep(0.1)

        def waits() -> bool:
            return any(call.state == "waiting" for call in world.live.campaigns[desk.campaign.id].calls.values())

        assert waits()
        placed = []
        while waits():
            before = world.live.campaigns[outbound.id].placed
            await asyncio.sleep(0.25)
            placed.append(world.live.campaigns[outbound.id].placed - before)
        assert sum(placed[2:]) == 0, "nothing is placed while callers wait"
        spent = loop.time() - began
        await asyncio.sleep(60.0)
        rows = desk.rows()
        assert [row.outcome for row in rows] == ["connected"] * 50, "none lost"
        connected = [row.connected_at for row in rows]
        assert connected == sorted(connected), "order kept"
        for row, channel in zip(rows, channels, strict=True):
            waited = world.fake.ledger.legs[channel.uniqueid].stays[0].entered_at - channel.created_at
            assert abs(row.wait_s - waited) < 0.1, "the wait told is the wait the PBX saw"
        assert spent > 40.0 and max(row.wait_s for row in rows) > 30.0
        assert world.live.campaigns[outbound.id].placed > 10 and desk.missed == []
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("TELC-05", clause="who was given to the voicemail stays there though our link to the PBX is cut")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
def test_a_cut_link_leaves_the_voicemail_alone(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 1)
        shut = [rec.HoursWindow(days=[1, 2, 3, 4, 5, 6, 7], start="00:00", end="00:01")]
        await desk.open(open=shut, overflow="box@voicemail")
        await desk.staff()
        channel = desk.caller()
        await asyncio.sleep(1.0)
        assert channel.context == "voicemail"
        desk.world.fake.faults.cut()
        await asyncio.sleep(0.1)
        await desk.world.until(lambda: desk.world.live.link.synced, 3.0)
        await asyncio.sleep(0.5)
        assert not channel.dead, "five seconds for the message"
        await asyncio.sleep(10.0)
        assert channel.dead
        (row,) = desk.rows()
        assert row.outcome == "missed" and len(desk.missed) == 1
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature("DASH-01", clause="callers in progress: each is counted where they are, and nowhere once gone")
def test_the_stages_of_a_reception_add_up() -> None:
    """After twelve callers its page said that minus twelve were being dialled."""

    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "asyncagi", 1)
        await desk.open(wait_max_s=60.0)
        await desk.staff()

        def stages() -> dict[str, int]:
            view: Any = desk.world.app.hub.view()["campaigns"][str(desk.campaign.id)]
            return dict(view.stages)

        for n in range(3):
            desk.caller(f"061200000{n}", talk_s=10.0)
        await desk.world.until(lambda: stages() == {"talking": 1, "waiting": 2}, 20.0)
        await desk.world.until(lambda: stages() == {}, 120.0)
        await desk.world.stop()

    run(main, seed=7)
