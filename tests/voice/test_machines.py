"""Machines and faxes, on simulated time: where a verdict leads, the message for machines, a campaign's thresholds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from daemon.calls.records import AmdSettings, Status
from daemon.engine import commands as c
from fake_asterisk import Behaviour, fax, people
from fake_asterisk.control import Control
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

MODES = ("asyncagi", "dialplan")


def answers(voice: str, media_s: float = 8.0) -> people.People:
    return people.People(fixed={"": Behaviour(answer_after_s=0.5, media_s=media_s, voice=voice)})


async def campaign_of_one(loop: VirtualLoop, mode: str, crowd: people.People, **fields: Any) -> World:
    world = World(loop, seed=9, mode=mode, pbx_config=pbx(2, crowd))
    campaign = await world.furnish(agents=1, leads=1, amd=True, **fields)
    await world.start()
    await world.submit(c.SignIn(agent_id=world.agents[0].id, campaign_ids=(campaign.id,), ready=True))
    await world.until(lambda: next(iter(world.live.desks.values())).state == "ready", 30.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await world.until(lambda: world.live.calls, 30.0)
    return world


def attempt(world: World) -> Any:
    assert world.store is not None
    return next(iter(world.store.tables.attempts.values()), None)


@pytest.mark.feature("AMD-01", clause="machine: hung up; human and not sure: an agent; not sure hung up where so set")
@pytest.mark.feature("CAMP-13", clause="machines never reach an agent")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("voice", "strict", "outcome", "verdict"),
    [
        ("human", False, "connected", "human"),
        ("machine", False, "machine", "machine"),
        ("silent", False, "connected", "notsure"),
        ("silent", True, "machine", "notsure"),
    ],
)
def test_where_a_verdict_leads(mode: str, voice: str, strict: bool, outcome: str, verdict: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        settings = AmdSettings(notsure_hangs_up=strict)
        world = await campaign_of_one(loop, mode, answers(voice), amd_settings=settings)
        desk = next(iter(world.live.desks.values()))
        await asyncio.sleep(12.0)
        met = desk.state == "on_call"
        assert met == (outcome == "connected")
        for channel in list(world.fake.channels.values()):
            if met and channel.uniqueid != desk.leg and channel.far_end is not None:
                channel.far_end.say_goodbye()
        await asyncio.sleep(5.0)
        assert (attempt(world).outcome, attempt(world).amd) == (outcome, verdict)
        await world.stop()

    run(main, seed=9)


@pytest.mark.feature("AMD-01", clause="a verdict given while the link was cut is asked for when it is back")
@pytest.mark.parametrize(("voice", "outcome"), [("human", "connected"), ("machine", "machine")])
def test_a_verdict_given_during_a_cut(voice: str, outcome: str) -> None:
    """Unheard, it would be "not sure": where that is hung up, a person would be; elsewhere an agent hears a machine."""

    async def main(loop: VirtualLoop) -> None:
        settings = AmdSettings(notsure_hangs_up=voice == "human")
        world = await campaign_of_one(loop, "asyncagi", answers(voice), amd_settings=settings)
        desk = next(iter(world.live.desks.values()))
        (call,) = world.live.calls.values()
        await world.until(lambda: call.answered_at is not None, 30.0)
        customer = world.fake.channels[call.leg]
        while not customer.get_variable("AMDSTATUS"):
            world.fake.faults.cut()
            await asyncio.sleep(0.02)
        assert not world.live.link.synced and not call.verdict
        await world.until(lambda: world.live.link.synced, 10.0)
        await asyncio.sleep(1.5)
        assert (desk.state == "on_call") == (outcome == "connected")
        if customer.far_end is not None:
            customer.far_end.say_goodbye()
        await asyncio.sleep(5.0)
        assert (attempt(world).outcome, attempt(world).amd) == (outcome, voice)
        await world.stop()

    run(main, seed=9)


@pytest.mark.feature(
    "AMD-02", clause="played to a machine after its greeting, only to who consented to automated calls"
)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("consented", [True, False])
def test_the_message_for_machines(mode: str, consented: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=9, mode=mode, pbx_config=pbx(2, answers("machine", media_s=4.0)))
        world.fake.config.sounds["bonjour"] = 3.0
        campaign = await world.furnish(agents=1, leads=1, amd=True, voicemail_message="bonjour")
        assert world.store is not None
        for lead in world.store.tables.leads.values():
            lead.consent_automated = consented
            lead.consent_at = world.clock.utcnow() if consented else None
        await world.start()
        await world.submit(c.SignIn(agent_id=world.agents[0].id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: attempt(world).outcome is not None, 60.0)
        row = attempt(world)
        kinds = [event["kind"] for event in world.store.tables.events[row.id]]
        assert row.outcome == "machine" and ("message" in kinds) == consented
        leg = next(leg for leg in world.fake.ledger.legs.values() if leg.number.startswith("019900"))
        assert leg.answered_at is not None and leg.ended_at is not None
        heard = leg.ended_at - leg.answered_at
        assert heard > 7.0 if consented else heard < 3.0, "greeting of 4 s, silence, message of 3 s"
        await world.stop()

    run(main, seed=9)


@pytest.mark.feature("AMD-02", clause="an agreement to automated calls that has expired, or was revoked, is none")
@pytest.mark.parametrize("ended", ["expired", "revoked"])
def test_no_message_for_who_agreed_once(ended: str) -> None:
    """Companies may be called without an agreement (fr-b2b); a machine may not speak to them without."""

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=9, mode="dialplan", pbx_config=pbx(2, answers("machine", media_s=4.0)))
        world.fake.config.sounds["bonjour"] = 3.0
        campaign = await world.furnish(agents=1, leads=1, amd=True, voicemail_message="bonjour", rule_set="fr-b2b")
        assert world.store is not None and world.client is not None
        (lead,) = world.store.tables.leads.values()
        given = world.clock.utcnow() - timedelta(days=100)
        until = given + timedelta(days=50) if ended == "expired" else None
        consent = {"at": given, "until": until, "source": "form", "text_version": "1", "proof": "", "automated": True}
        await world.store.add_consent(world.client.id, lead.e164, consent | {"out_of_hours": False})
        if ended == "revoked":
            await world.store.revoke_consent(world.client.id, lead.e164, given + timedelta(days=1))
            lead.blocked_by = ""
        await world.start()
        await world.submit(c.SignIn(agent_id=world.agents[0].id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: attempt(world).outcome is not None, 60.0)
        kinds = [event["kind"] for event in world.store.tables.events[attempt(world).id]]
        assert attempt(world).outcome == "machine" and "message" not in kinds
        await world.stop()

    run(main, seed=9)


@pytest.mark.parametrize("mode", MODES)
def test_whose_agent_is_lost_while_a_machine_is_listened_for_meets_another(mode: str) -> None:
    """The person has answered; the agent kept for the call drops the phone before the verdict. Another is free."""

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=9, mode=mode, pbx_config=pbx(2, answers("human", media_s=1e9)))
        campaign = await world.furnish(agents=2, leads=1, amd=True)
        await world.start()
        for agent in world.agents:
            await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        desks = world.live.desks
        await world.until(lambda: all(desk.state == "ready" for desk in desks.values()), 30.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: any(call.state == "answered" for call in world.live.calls.values()), 30.0, 0.01)
        (call,) = world.live.calls.values()
        first = call.desk
        Control(world.fake).do("hangup", channel=first.leg)
        await world.until(lambda: call.state == "talking", 15.0)
        assert call.desk is not first
        await world.stop()

    run(main, seed=9)


@pytest.mark.feature("AMD-03", clause="a fax tone ends the attempt as fax; the lead is not workable")
@pytest.mark.parametrize("mode", MODES)
def test_a_fax_is_heard_while_machines_are_detected(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await campaign_of_one(loop, mode, answers("fax"))
        await world.until(lambda: attempt(world) is not None and attempt(world).outcome is not None, 30.0)
        assert (attempt(world).outcome, attempt(world).amd) == ("fax", "fax")
        assert world.store is not None
        (lead,) = world.store.tables.leads.values()
        assert lead.blocked_by == "final" or lead.eligible_at is None, lead
        assert next(iter(world.live.desks.values())).state == "ready", "no agent heard it"
        await world.stop()

    run(main, seed=9)


@pytest.mark.parametrize("mode", MODES)
def test_a_tone_in_a_conversation_does_not_end_it(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await campaign_of_one(loop, mode, answers("human"))
        desk = next(iter(world.live.desks.values()))
        await world.until(lambda: desk.state == "on_call", 30.0)
        customer = world.fake.channels[desk.call.leg]
        assert customer.functions[fax.FAXDETECT] == "no", "nobody listens for it any more"
        await world.stop()

    run(main, seed=9)


@pytest.mark.feature("AMD-03", clause="a trunk that listens by itself (fax_detect = yes), with the dialplan include")
def test_a_fax() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await campaign_of_one(loop, "dialplan", answers("silent"))
        call = next(iter(world.live.calls.values()))
        await world.until(lambda: call.answered_at is not None, 20.0)
        await asyncio.sleep(0.5)
        world.fake.channels[call.leg].divert("cadran-customer", "fax", 1)  # what chan_pjsip does with fax_detect
        await asyncio.sleep(3.0)
        assert (attempt(world).outcome, attempt(world).amd) == ("fax", "fax")
        assert world.store is not None
        (lead,) = world.store.tables.leads.values()
        assert lead.blocked_by == "final" or lead.eligible_at is None, lead
        await world.stop()

    run(main, seed=9)


@pytest.mark.feature("AMD-01", clause="thresholds of the campaign reach the PBX; others stay the PBX's own")
@pytest.mark.parametrize("mode", MODES)
def test_thresholds(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        settings = AmdSettings(initial_silence=2000, after_greeting_silence=600, maximum_words=4)
        world = World(loop, seed=9, mode=mode, pbx_config=pbx(2, answers("human")))
        asked: list[str] = []
        original = world.fake.channel_event

        def note(mask: int, name: str, channel: Any, extra: str = "") -> None:
            if name in ("AGIExecStart", "Newexten") and "AMD" in extra:
                asked.append(extra)
            original(mask, name, channel, extra)

        world.fake.channel_event = note  # type: ignore[method-assign]
        campaign = await world.furnish(agents=1, leads=1, amd=True, amd_settings=settings)
        await world.start()
        await world.submit(c.SignIn(agent_id=world.agents[0].id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: any("2000,,600,,,,4" in text for text in asked), 30.0)
        await world.stop()

    run(main, seed=9)


@pytest.mark.feature(
    "AMD-04", clause="reports: machines filtered, machines that agents met and said so, people lost by estimate"
)
def test_the_figures_of_detection() -> None:
    """Six machines, four that detection can't tell, which the agent says were machines, and five people."""

    async def main(loop: VirtualLoop) -> None:
        voices = ["machine"] * 6 + ["silent"] * 4 + ["human"] * 5
        heard = {
            f"019900{n:04d}": Behaviour(answer_after_s=0.5, media_s=6.0, hangup_after_s=12.0, voice=voice)
            for n, voice in enumerate(voices)
        }
        world = World(loop, seed=9, pbx_config=pbx(2, people.People(fixed=heard)))
        campaign = await world.furnish(agents=1, leads=len(voices), amd=True)
        assert world.store is not None and world.group is not None
        await world.store.create(Status(group_id=world.group.id, code="REPONDEUR", name="Répondeur", machine=True))
        await world.start()
        await world.submit(c.SignIn(agent_id=world.agents[0].id, campaign_ids=(campaign.id,), ready=True))
        await world.until(lambda: next(iter(world.live.desks.values())).state == "ready", 30.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        desk, rows = next(iter(world.live.desks.values())), world.store.tables.attempts
        while len(rows) < len(voices) or world.live.calls or desk.state == "wrap_up":
            assert loop.time() < 3600.0
            await asyncio.sleep(1.0)
            if desk.state == "wrap_up" and not desk.disposed:
                row = rows[desk.last_call.attempt_id]
                code = "REPONDEUR" if heard[f"0{row.e164[3:]}"].voice == "silent" else "VENTE"
                await world.submit(c.Dispose(agent_id=desk.id, attempt_id=row.id, code=code))
        await asyncio.sleep(5.0)
        (totals,) = await world.store.report("totals")
        said = {row["disposition"]: row["connected"] for row in await world.store.report("by_status")}
        lost = sum(row["false_positives"] for row in await world.store.report("abandonment"))
        assert (totals["machines"], said["REPONDEUR"], said["VENTE"]) == (6, 4, 5)
        assert lost == pytest.approx(9 * 0.03 / 0.97), "for each of the nine let through"
        await world.stop()

    run(main, seed=9)
