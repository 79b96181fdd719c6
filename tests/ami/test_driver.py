"""The driver against a scripted PBX: doubts, restarts and refusals that a well-behaved PBX does not give on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.ami import hearing, perform
from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup, ProbeParked
from tests.ami.ground import Ground, Site, site_on
from tests.ami.link import until
from tests.ami.scripted import Action, ScriptedAmi, Session, asked, healthy, silent

NUMBERS = {"talks": "0612345678"}


@pytest.fixture
async def pbx() -> AsyncIterator[ScriptedAmi]:
    async with ScriptedAmi() as server:
        yield server


def ground(pbx: ScriptedAmi) -> Ground:
    users = {"asyncagi": "u"}
    return Ground(
        tcp_port=pbx.tcp_port, secret=pbx.secret, users=users, trunk="t", numbers=NUMBERS, phones={"talker": "1001"}
    )


def channel(uid: str, **more: str) -> Mapping[str, str]:
    return {"Channel": "PJSIP/t-1", "ChannelState": "6", "Uniqueid": uid, "Application": "AGI", "BridgeID": "", **more}


def lists(pbx: ScriptedAmi, *channels: Mapping[str, str]) -> None:
    """What Status tells from now on."""

    async def status(session: Session, action: Action) -> None:
        session.listing(action, "Status", list(channels))

    pbx.answers["status"] = status


def parked(session: Session, *legs: str) -> None:
    for leg in legs:
        session.event("Newchannel", Uniqueid=leg, Linkedid=leg)
        session.event("AsyncAGIStart", Uniqueid=leg)


async def cut(session: Session, action: Action) -> None:
    session.cut()


async def test_an_originate_in_doubt_is_looked_for_twice_and_never_sent_again(pbx: ScriptedAmi) -> None:
    pbx.answers["originate"] = cut
    async with site_on(ground(pbx), "asyncagi") as site:
        leg = site.customer(NUMBERS["talks"])
        await site.seen(ev.ActionInDoubt, leg=leg, action="originate")
        since = len(site.events)
        statuses = len(pbx.actions("status"))
        snapshot = await site.seen(ev.PbxSnapshot, since=since)
        assert snapshot.legs == ()
        assert len(pbx.actions("status")) == statuses + 2
    assert len(pbx.actions("originate")) == 1


async def test_an_originate_in_doubt_that_runs_is_found(pbx: ScriptedAmi) -> None:
    pbx.answers["originate"] = cut
    async with site_on(ground(pbx), "asyncagi") as site:
        leg = site.customer(NUMBERS["talks"])
        lists(pbx, channel(leg, ChannelState="5", Application="AppDial2"))
        await site.seen(ev.ActionInDoubt, leg=leg)
        (seen,) = (await site.seen(ev.PbxSnapshot, since=len(site.events))).legs
        assert (seen.leg, seen.ringing, seen.up, seen.parked) == (leg, True, False, False)


@pytest.mark.parametrize("joined", [False, True])
async def test_a_probe_never_ends_a_conversation(
    pbx: ScriptedAmi, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Connect of before the cut runs late, and the probe waits behind it; a leg that does nothing is hung up."""
    monkeypatch.setattr(perform, "PROBE_DEADLINE_S", 1.0)
    agent = "par-ag-7-01a2013e08a01958"
    async with site_on(ground(pbx), "asyncagi") as site:
        leg = site.customer(NUMBERS["talks"])
        await until(lambda: pbx.actions("originate"))
        parked(pbx.sessions[-1], leg, agent)
        await site.seen(ev.LegParked, leg=agent)

        async def join(session: Session, action: Action) -> None:
            for who in (agent, leg):
                session.event("BridgeEnter", BridgeUniqueid="b1", Uniqueid=who)
            session.respond(action)

        if joined:
            pbx.answers["agi"] = join
        site.driver.perform(ProbeParked(leg=agent))
        if joined:
            await site.seen(ev.LegBridged, leg=agent)
        else:
            await until(lambda: pbx.actions("hangup"))
        await asyncio.sleep(1.3)
        assert len(pbx.actions("hangup")) == (0 if joined else 1)


async def test_what_ended_during_the_resync_ends_with_its_cause(pbx: ScriptedAmi) -> None:
    async with site_on(ground(pbx), "asyncagi") as site:
        leg = site.customer(NUMBERS["talks"])
        await until(lambda: pbx.actions("originate"))
        parked(pbx.sessions[-1], leg)
        await site.seen(ev.LegParked, leg=leg)

        async def late(session: Session, action: Action) -> None:
            session.event("Hangup", Uniqueid=leg, Cause="16", ChannelState="6")
            session.listing(action, "Status", [])

        pbx.answers["status"] = late
        since = len(site.events)
        pbx.sessions[-1].cut()
        await site.seen(ev.PbxSnapshot, since=since)
        kinds = [type(event) for event in site.events[since:]]
        assert kinds.index(ev.LinkUp) < kinds.index(ev.LegHungUp) < kinds.index(ev.PbxSnapshot)
        assert (await site.seen(ev.LegHungUp, leg=leg)).cause == 16


async def test_what_happened_between_listing_and_snapshot_is_told_after_it(pbx: ScriptedAmi) -> None:
    async with site_on(ground(pbx), "asyncagi") as site:
        leg = site.customer(NUMBERS["talks"])
        await until(lambda: pbx.actions("originate"))

        async def listed_then_gone(session: Session, action: Action) -> None:
            session.listing(action, "Status", [channel(leg)])
            session.event("Hangup", Uniqueid=leg, Cause="17", ChannelState="6")

        pbx.answers["status"] = listed_then_gone
        since = len(site.events)
        pbx.sessions[-1].cut()
        assert [seen.leg for seen in (await site.seen(ev.PbxSnapshot, since=since)).legs] == [leg]
        assert (await site.seen(ev.LegHungUp, leg=leg)).cause == 17
        assert isinstance(site.events[-1], ev.LegHungUp)


async def test_a_restart_of_the_pbx_is_told(pbx: ScriptedAmi) -> None:
    uptime = ["600"]

    async def login(session: Session, action: Action) -> None:
        session.respond(action, Message="Authentication accepted")
        session.event("FullyBooted", Uptime=uptime[0])

    pbx.answers["login"] = login
    async with site_on(ground(pbx), "asyncagi") as site:
        for told, restarted in (("600", False), ("0", True), ("1", False)):
            uptime[0] = told
            since = len(site.events)
            pbx.sessions[-1].cut()
            assert (await site.seen(ev.LinkUp, since=since)).restarted is restarted


async def test_a_bridged_pair_and_a_channel_that_was_optimised_away_are_listed(pbx: ScriptedAmi) -> None:
    async with site_on(ground(pbx), "asyncagi") as site:
        agent, customer = site.agent("1001"), site.customer(NUMBERS["talks"])
        await until(lambda: len(pbx.actions("originate")) == 2)
        lists(
            pbx,
            channel(agent, BridgeID="b1", Application="Bridge"),
            channel("1795.7", BridgeID="b1", Application="(null)", Variable=f"DIALER_CALL={customer}"),
            channel("1795.9", Variable="DIALER_CALL=(null)"),
        )

        since = len(site.events)
        pbx.sessions[-1].cut()
        legs = {seen.leg: seen for seen in (await site.seen(ev.PbxSnapshot, since=since)).legs}
        assert (legs[agent].bridged_with, legs[customer].bridged_with) == (customer, agent)
        site.driver.perform(Hangup(leg=customer))
        await until(lambda: pbx.actions("hangup"))
        assert pbx.actions("hangup")[0]["channel"] == ["1795.7"]


async def test_a_conversation_that_ends_right_behind_the_listing_was_one(pbx: ScriptedAmi) -> None:
    """Its bridge is gone before anybody could ask for bridges; the two were together all the same."""
    async with site_on(ground(pbx), "asyncagi") as site:
        agent, customer = site.agent("1001"), site.customer(NUMBERS["talks"])
        await until(lambda: len(pbx.actions("originate")) == 2)

        async def listed_then_over(session: Session, action: Action) -> None:
            legs = [channel(agent, BridgeID="b1", Application="Bridge"), channel(customer, BridgeID="b1")]
            session.listing(action, "Status", legs)
            for leg in (customer, agent):
                session.event("BridgeLeave", Uniqueid=leg, BridgeUniqueid="b1", BridgeNumChannels="0")
            session.event("Hangup", Uniqueid=customer, Cause="16", ChannelState="6")

        pbx.answers["status"] = listed_then_over
        since = len(site.events)
        pbx.sessions[-1].cut()
        legs = {seen.leg: seen for seen in (await site.seen(ev.PbxSnapshot, since=since)).legs}
        assert legs[customer].bridged_with == agent
        await site.seen(ev.LegUnbridged, leg=agent, peer=customer, since=since)
        assert (await site.seen(ev.LegHungUp, leg=customer, since=since)).cause == 16


async def two_parked(site: Site, pbx: ScriptedAmi) -> tuple[str, str]:
    agent, customer = site.agent("1001"), site.customer(NUMBERS["talks"])
    await until(lambda: len(pbx.actions("originate")) == 2)
    parked(pbx.sessions[-1], agent, customer)
    await site.seen(ev.LegParked, leg=agent)
    await site.seen(ev.LegParked, leg=customer)
    return agent, customer


@pytest.mark.feature("RELY-08", clause="at most one EXEC is outstanding on an agent's channel")
async def test_two_connects_in_one_breath_write_one_command(pbx: ScriptedAmi) -> None:
    async with site_on(ground(pbx), "asyncagi") as site:
        agent, customer = await two_parked(site, pbx)
        other = site.customer(NUMBERS["talks"])
        await until(lambda: len(pbx.actions("originate")) == 3)
        parked(pbx.sessions[-1], other)
        await site.seen(ev.LegParked, leg=other)
        site.driver.perform(Connect(leg=agent, customer=customer))
        site.driver.perform(Connect(leg=agent, customer=other))
        failed = await site.seen(ev.ConnectFailed, leg=agent, peer=other)
        assert customer in failed.message
        await until(lambda: [a for a in pbx.actions("agi") if "EXEC Bridge" in a["command"][0]])
        await asyncio.sleep(0.05)
        commands = [a["command"][0] for a in pbx.actions("agi") if "EXEC Bridge" in a["command"][0]]
        assert commands == [f"EXEC Bridge {customer}"]


async def test_a_connect_in_doubt_says_so_and_the_agent_is_not_used_before_he_answers(pbx: ScriptedAmi) -> None:
    async with site_on(ground(pbx), "asyncagi") as site:
        agent, customer = await two_parked(site, pbx)
        pbx.answers["agi"] = cut
        site.driver.perform(Connect(leg=agent, customer=customer))
        await site.seen(ev.ActionInDoubt, leg=agent, action="connect")


async def test_a_pbx_that_stops_gracefully_refuses_and_is_said_to_stop(pbx: ScriptedAmi) -> None:
    async def refuse(session: Session, action: Action) -> None:
        session.respond(action, "Error", Message="Asterisk is shutting down")

    async with site_on(ground(pbx), "asyncagi") as site:
        pbx.answers["originate"] = refuse
        leg = site.customer(NUMBERS["talks"])
        assert "shutting down" in (await site.seen(ev.LegFailed, leg=leg)).message
        await site.seen(ev.PbxStopping)
        site.customer(NUMBERS["talks"])
        await asyncio.sleep(0.05)
        assert len([event for event in site.events if isinstance(event, ev.PbxStopping)]) == 1
        assert site.driver.status().up


async def test_a_user_who_may_not_list_keeps_what_was_known(pbx: ScriptedAmi) -> None:
    async def denied(session: Session, action: Action) -> None:
        session.respond(action, "Error", Message="Permission denied")

    pbx.answers |= {"status": denied, "devicestatelist": denied, "getvar": denied}
    async with site_on(ground(pbx), "asyncagi") as site:
        agent, customer = await two_parked(site, pbx)
        since = len(site.events)
        pbx.sessions[-1].cut()
        legs = (await site.seen(ev.PbxSnapshot, since=since)).legs
        assert {seen.leg for seen in legs} == {agent, customer}


async def test_a_message_nobody_foresaw_costs_itself_only(pbx: ScriptedAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site_on(ground(pbx), "asyncagi") as site:

        def broken(*_: Any) -> None:
            raise ValueError("not as documented")

        monkeypatch.setitem(site.driver._translator._handlers, "Odd", broken)  # type: ignore[union-attr]
        pbx.sessions[-1].event("Odd")
        pbx.sessions[-1].event("DeviceStateChange", Device="PJSIP/1001", State="INUSE")
        await site.seen(ev.ExtensionChanged, extension="1001")
        assert site.driver.status().up


async def test_an_action_without_an_answer_leads_to_a_resync(pbx: ScriptedAmi) -> None:
    async with site_on(ground(pbx), "asyncagi", action_deadline_s=1.0) as site:
        pbx.answers["originate"] = silent
        began = len(site.events)
        leg = site.customer(NUMBERS["talks"])
        await site.seen(ev.ActionInDoubt, leg=leg, action="originate")
        since = len(site.events)
        assert (await site.seen(ev.LinkDown, since=began)).code == "half_open"
        pbx.answers["originate"] = healthy
        await site.seen(ev.PbxSnapshot, since=since)


@pytest.mark.feature("S100-03", clause="version in the site's status; an unsupported one is a warning, no crash")
async def test_the_version_is_told_and_an_old_one_is_warned_of(pbx: ScriptedAmi) -> None:
    async def settings(session: Session, action: Action) -> None:
        session.respond(action, AMIversion="11.0.0", AsteriskVersion="22.10.1")

    pbx.answers["coresettings"] = settings
    pbx.commands = [*pbx.commands, "CoreSettings"]
    async with site_on(ground(pbx), "asyncagi") as site:
        assert site.driver.status().version == "Asterisk Call Manager/11.0.0, Asterisk 22.10.1"
    pbx.banner = b"Asterisk Call Manager/1.0\r\n"
    with capture_logs() as logs:
        async with site_on(ground(pbx), "asyncagi") as site:
            assert site.driver.status().up
            assert site.driver.status().version.startswith("Asterisk Call Manager/1.0")
    assert "ami.unsupported_version" in [entry["event"] for entry in logs]


@pytest.mark.feature("S100-10", clause="two sites: two connections, each reconnecting by itself; no secret in any log")
@pytest.mark.feature("PBX-04", clause="one site's trouble never delays another")
async def test_two_sites_do_not_wait_for_each_other(pbx: ScriptedAmi) -> None:
    async with ScriptedAmi(secret="0ther-secret") as second:
        with capture_logs() as logs:
            async with (
                site_on(ground(pbx), "asyncagi") as ours,
                site_on(ground(second), "asyncagi", action_deadline_s=60.0) as theirs,
            ):
                second.answers |= {"challenge": silent, "originate": silent}
                stuck = theirs.customer(NUMBERS["talks"])
                second.sessions[-1].cut()
                await theirs.seen(ev.LinkDown)
                leg = ours.customer(NUMBERS["talks"])
                await until(lambda: pbx.actions("originate"))
                parked(pbx.sessions[-1], leg)
                await ours.seen(ev.LegParked, leg=leg)
                assert not [event for event in ours.events if isinstance(event, ev.LinkDown)]
                await theirs.seen(ev.ActionInDoubt, leg=stuck)
                del second.answers["challenge"]
                second.sessions[-1].cut()  # it waits for the answer that never comes
                await theirs.seen(ev.PbxSnapshot, since=len(theirs.events))
        assert "0ther-secret" not in str(logs) + str(theirs.driver.status())
        assert pbx.secret not in str(logs) + str(ours.driver.status())


@pytest.mark.feature("S100-04", clause="a quiet PBX is never taken for one that tells nothing")
async def test_a_late_answer_or_any_other_event_proves_that_calls_are_heard(pbx: ScriptedAmi) -> None:
    """A PBX that answers the first question only as it is asked again; one that never does, where somebody's phone
    rings; one that takes no such question."""

    async def second_time(session: Session, action: Action) -> None:
        questions.append(action)
        await (asked if len(questions) == 2 else healthy)(session, action)

    async def rings(session: Session, action: Action) -> None:
        session.respond(action, Message="Originate successfully queued")
        session.event("Newstate", Privilege="call,all", Uniqueid="of-somebody", ChannelState="5")

    async def refuses(session: Session, action: Action) -> None:
        session.respond(action, "Error", Message="Invalid channel")

    questions: list[Action] = []
    for answer in (second_time, rings, refuses):
        pbx.answers["cadran"] = answer
        async with site_on(ground(pbx), "asyncagi") as site:
            status = site.driver.status()
            assert status.up
            assert not [entry for entry in status.missing if "read" in entry]
            assert "originate" in status.capabilities
    assert len(questions) == 2


@pytest.mark.feature("S100-04", clause="a user who may not read class call: mended, it is noticed without a restart")
async def test_rights_that_were_mended_are_found_by_another_login(
    pbx: ScriptedAmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "ANSWER_WAITS_S", (0.05, 0.05))
    monkeypatch.setattr(hearing, "ASK_AGAIN_S", 1.0)
    pbx.answers["cadran"] = healthy
    async with site_on(ground(pbx), "asyncagi") as site:
        assert "originate" not in site.driver.status().capabilities
        await until(lambda: len(pbx.sessions) >= 3)
        assert site.driver.status().up
        monkeypatch.setattr(hearing, "ANSWER_WAITS_S", (20.0, 20.0))
        del pbx.answers["cadran"]
        down = await site.seen(ev.LinkDown)
        assert down.code == "reloaded"
        up = await site.seen(ev.LinkUp, since=site.events.index(down))
        assert (up.unheard, "originate" in up.capabilities) == ("", True)
