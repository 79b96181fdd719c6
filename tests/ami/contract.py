"""What every control mode must do on every PBX: one suite, run on the fake and on a real Asterisk.

A module that wants it imports everything from here, and the fixtures `clean` and `site` from tests.ami.ground; it gives
two of its own: `ground` (a running PBX, see Ground) and `mode`. Nothing in it knows which PBX it talks to. Legs end by
themselves or are hung up before a test is over; `clean` checks that none is left.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup, PlayMessage, ProbeParked
from daemon.calls.causes import Outcome, outcome_unanswered
from daemon.calls.dialling import SiteTemplates
from daemon.calls.ids import agent_leg
from daemon.clock import SystemClock
from tests.ami.ground import NAILED, SITE, Ground, Site, hang_up_unseen, site_on
from tests.asterisk.proxy import Proxy


# -- the link -----------------------------------------------------------------------------------------------------
@pytest.mark.feature("PBX-01", clause="each control mode comes up and says what it can do")
async def test_up_with_mode_capabilities_and_extensions(site: Site, mode: str, ground: Ground) -> None:
    kinds = [type(event) for event in site.events]
    assert kinds[0] is ev.LinkUp
    assert kinds.index(ev.PbxSnapshot) > max((i for i, k in enumerate(kinds) if k is ev.ExtensionChanged), default=0)
    status = site.driver.status()
    assert status.up
    assert (status.mode, status.driver) == (mode, "ari" if mode == "ari" else "ami")
    assert ("Asterisk " if mode == "ari" else "Asterisk Call Manager/") in status.version
    assert {"originate", "hangup", "connect"} <= set(status.capabilities)
    assert ("play_message" in status.capabilities) == (mode in NAILED)
    assert any(entry.startswith("play_message:") for entry in status.missing) == (mode == "basic")
    assert ground.phones["talker"] in status.extensions
    assert ground.secret not in repr(status)


async def test_auto_finds_the_mode_that_the_rights_allow(ground: Ground, mode: str) -> None:
    async with site_on(ground, mode, wanted_mode="auto") as site:
        status = site.driver.status()
        assert status.mode == (mode if mode in ("asyncagi", "ari") else "dialplan")  # the include is there
        assert status.mode_reason


@pytest.mark.feature("S100-04", clause="a login without the right to originate: named in the status, link stays up")
@pytest.mark.feature("PBX-02", clause="rights probed, what is missing is named")
async def test_a_user_who_may_not_originate(ground: Ground, mode: str) -> None:
    changes: dict[str, Any] = {"driver": "ari", "tcp_port": ground.http_port} if mode == "ari" else {}
    async with site_on(ground, "nocalls", wanted_mode=mode, **changes) as site:
        status = site.driver.status()
        assert "permission denied: originate" in status.missing
        assert "originate" not in status.capabilities
        leg = site.customer(ground.numbers["talks"])
        failed = await site.seen(ev.LegFailed, leg=leg)
        assert failed.message == "Permission denied"
        assert failed.sent
        assert site.driver.status().up


@pytest.mark.feature("S100-04", clause="with the right to originate and no other, an agent-first call still connects")
async def test_a_user_who_may_only_originate(ground: Ground) -> None:
    async with site_on(ground, "onlyoriginate", wanted_mode="basic") as site:
        status = site.driver.status()
        assert {"permission denied: bridge", "permission denied: hangup"} <= set(status.missing)
        agent = await site.parked_agent(ground.phones["talker"])
        customer = site.customer(ground.numbers["leaves"], agent_leg=agent)
        await site.seen(ev.LegBridged, leg=agent, peer=customer)
        assert not site.count(ev.LegParked, customer)
        await site.seen(ev.LegHungUp, leg=customer)
        await site.seen(ev.LegHungUp, leg=agent)


@pytest.mark.feature("S100-04", clause="a user who may not read class call: named at the login, nothing is dialled")
@pytest.mark.feature("PBX-02", clause="a right to read that is missing is named, with the line that mends it")
@pytest.mark.parametrize(
    ("user", "mode"),
    [("deaf", "asyncagi"), ("deaf", "dialplan"), ("deaf", "basic"), ("deaf-all", "basic"), ("deaf-filter", "asyncagi")],
)
async def test_a_user_who_hears_nothing_of_calls(ground: Ground, user: str, mode: str) -> None:
    async with site_on(ground, user, wanted_mode=mode) as site:
        status = site.driver.status()
        assert status.up
        (named,) = [entry for entry in status.missing if entry.startswith("permission denied: read call: ")]
        assert "manager.conf" in named
        assert f"[{ground.users[user]}] needs read = system,call" in named
        assert status.capabilities == ("hangup",)
        leg = site.customer(ground.numbers["talks"])
        failed = await site.seen(ev.LegFailed, leg=leg)
        assert not failed.sent
        assert await site.driver.audit() == ()


@pytest.mark.feature("S100-04", clause="a user who may not read what tells that a leg waits: named at the first leg")
@pytest.mark.parametrize(("mode", "lacking"), [("asyncagi", "agi"), ("dialplan", "user")])
async def test_a_user_who_never_hears_that_a_leg_waits(ground: Ground, mode: str, lacking: str) -> None:
    """The phone of the agent who signs on shows it; no customer is dialled."""
    async with site_on(ground, "deaf-waits", wanted_mode=mode) as site:
        assert "originate" in site.driver.status().capabilities
        agent = site.agent(ground.phones["talker"])
        down = await site.seen(ev.LinkDown)
        assert (down.code, f"no event of class {lacking}" in down.message) == ("no_events", True)
        snapshot = await site.seen(ev.PbxSnapshot, since=site.events.index(down))
        assert [leg.leg for leg in snapshot.legs] == [agent]
        status = site.driver.status()
        assert any(entry.startswith(f"permission denied: read {lacking}: ") for entry in status.missing)
        assert "originate" not in status.capabilities
        failed = await site.seen(ev.LegFailed, leg=site.customer(ground.numbers["talks"]))
        assert not failed.sent
        await site.end(agent)


async def test_a_wrong_secret_mended_later(ground: Ground, mode: str) -> None:
    secret = ["wrong"]
    async with site_on(ground, mode, up=False, secret=lambda: secret[0]) as site:
        assert (await site.seen(ev.LinkDown)).code == "auth_failed"
        leg = site.customer(ground.numbers["talks"])
        failed = await site.seen(ev.LegFailed, leg=leg)
        assert "no link" in failed.message
        assert not failed.sent
        secret[0] = ground.secret
        await site.seen(ev.PbxSnapshot)


# -- one call -----------------------------------------------------------------------------------------------------
async def test_from_originate_to_hang_up(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    names = site.names(customer)
    assert names.count("LegCreated") == names.count("LegRinging") == names.count("LegAnswered") == 1
    assert names.index("LegRinging") < names.index("LegAnswered") < names.index("LegParked")
    since = len(site.events)
    site.driver.perform(Hangup(leg=customer))
    assert (await site.seen(ev.LegHungUp, leg=customer)).was_up
    await site.seen(ev.LegUnbridged, leg=agent, peer=customer)
    if mode in NAILED:
        await site.seen(ev.LegParked, since=since, leg=agent)
        await site.end(agent)
    else:
        await site.seen(ev.LegHungUp, leg=agent)
    assert site.count(ev.LegHungUp, customer) == site.count(ev.LegHungUp, agent) == 1


async def test_a_nailed_agent_takes_one_customer_after_the_other(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["leaves"], ground.phones["talker"])
    talking = len(site.events)
    await site.seen(ev.LegHungUp, leg=customer)
    if mode not in NAILED:
        await site.seen(ev.LegHungUp, leg=agent)
        return
    second = await site.parked_customer(ground.numbers["talks"])
    await site.seen(ev.LegParked, since=talking, leg=agent)  # the include waits a second after a very short stay
    assert site.count(ev.LegParked, agent) == 2
    site.driver.perform(Connect(leg=agent, customer=second))
    await site.seen(ev.LegBridged, leg=agent, peer=second)
    await site.end(second, agent)


async def test_the_agent_hangs_up_and_the_conversation_ends(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    site.driver.perform(Hangup(leg=agent))
    await site.seen(ev.LegHungUp, leg=agent)
    await site.seen(ev.LegUnbridged, leg=agent, peer=customer)
    await site.end(customer)


@pytest.mark.parametrize(
    ("what", "causes", "sip"),
    [("busy", {17}, 486), ("unallocated", {1}, 404), ("declined", {21}, 603), ("congestion", {34}, 503)],
)
async def test_who_does_not_answer_says_why(
    site: Site, mode: str, ground: Ground, what: str, causes: set[int], sip: int
) -> None:
    leg = site.customer(ground.numbers[what])
    ended = await site.seen(ev.LegHungUp, leg=leg)
    assert ended.cause in causes
    assert ended.tech_cause in (sip, None)
    assert not ended.was_up
    if what == "busy":  # the failed OriginateResponse that came too must not fail it again
        await asyncio.sleep(1.2)
        assert not site.count(ev.LegFailed, leg)


async def test_ringing_ends_with_our_timeout(site: Site, mode: str, ground: Ground) -> None:
    leg = site.customer(ground.numbers["rings"], ring_timeout_s=1.5)
    await site.seen(ev.LegRinging, leg=leg)
    ended = await site.seen(ev.LegHungUp, leg=leg)
    assert ended.cause in (19, 0)  # Asterisk 16 names no cause for its own timeout
    assert not ended.was_up
    assert outcome_unanswered(ended.cause, ended.tech_cause, ended.dial_status, rang=True) is Outcome.NO_ANSWER


async def test_a_hang_up_while_ringing(site: Site, mode: str, ground: Ground) -> None:
    leg = site.customer(ground.numbers["rings"], ring_timeout_s=60.0)
    await site.seen(ev.LegRinging, leg=leg)
    site.driver.perform(Hangup(leg=leg))
    assert not (await site.seen(ev.LegHungUp, leg=leg)).was_up


async def test_a_hang_up_behind_its_own_originate(site: Site, mode: str, ground: Ground) -> None:
    leg = site.customer(ground.numbers["rings"], ring_timeout_s=60.0)
    site.driver.perform(Hangup(leg=leg))
    await site.seen(ev.LegHungUp, leg=leg)


async def test_a_phone_that_is_not_registered(site: Site, mode: str, ground: Ground) -> None:
    """The PBX makes no channel at all: the failed originate alone has to tell (FIELD-NOTES 2.3)."""
    leg = site.agent(ground.phones["unregistered"])
    failed = await site.seen(ev.LegFailed, leg=leg)
    assert failed.reason == 0
    assert site.names(leg) == ["LegFailed"]


@pytest.mark.parametrize("field", ["number", "trunk", "caller_id"])
async def test_a_value_that_means_more_is_refused_by_name(site: Site, mode: str, ground: Ground, field: str) -> None:
    since = len(site.events)
    leg = site.customer(**{"number": ground.numbers["talks"], field: "1\r\nAction: Hangup\r\nChannel: /.*/"})
    failed = await site.seen(ev.LegFailed, since=since, leg=leg)
    assert failed.message.startswith(f"{field}: ")
    assert site.names(leg) == ["LegFailed"]


# -- connecting ---------------------------------------------------------------------------------------------------
@pytest.mark.feature("RELY-08", clause="a second Connect for an agent who is not waiting is never sent")
async def test_a_second_connect_is_refused(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    other = await site.parked_customer(ground.numbers["talks"])
    site.driver.perform(Connect(leg=agent, customer=other))
    refused = await site.seen(ev.ConnectFailed, leg=agent, peer=other)
    assert "not waiting" in refused.message
    site.driver.perform(Hangup(leg=customer))
    await site.seen(ev.LegHungUp, leg=customer)
    await asyncio.sleep(0.5)
    assert site.count(ev.LegBridged, agent) == 1  # nothing was left behind that would take the other customer
    assert not site.count(ev.LegHungUp, other)
    await site.end(other, agent)


@pytest.mark.feature("RELY-08", clause="a customer who is gone frees the agent, who can take the next")
async def test_a_connect_to_a_customer_who_just_left(site: Site, mode: str, ground: Ground) -> None:
    agent = await site.parked_agent(ground.phones["talker"])
    gone = await site.parked_customer(ground.numbers["talks"])
    site.driver.perform(Hangup(leg=gone))
    site.driver.perform(Connect(leg=agent, customer=gone))
    await site.seen(ev.ConnectFailed, leg=agent, peer=gone)
    await site.seen(ev.LegHungUp, leg=gone)
    customer = await site.parked_customer(ground.numbers["talks"])
    site.driver.perform(Connect(leg=agent, customer=customer))
    await site.seen(ev.LegBridged, leg=agent, peer=customer)
    await site.end(customer, agent)


async def test_a_message_to_a_waiting_customer(site: Site, mode: str, ground: Ground) -> None:
    customer = await site.parked_customer(ground.numbers["talks"])
    site.driver.perform(PlayMessage(leg=customer, sound=ground.sound))
    played = await site.seen(ev.MessagePlayed, leg=customer)
    await site.seen(ev.LegHungUp, leg=customer)
    assert played.heard == (mode in NAILED)  # basic has no message: it says so, and ends the call
    names = site.names(customer)
    assert names.index("MessagePlayed") < names.index("LegHungUp")


async def test_a_message_that_nobody_hears_to_its_end(site: Site, mode: str, ground: Ground) -> None:
    customer = await site.parked_customer(ground.numbers["talks"])
    site.driver.perform(PlayMessage(leg=customer, sound=ground.sound))
    await asyncio.sleep(0.5)
    site.driver.perform(Hangup(leg=customer))
    await site.seen(ev.LegHungUp, leg=customer)
    assert not (await site.seen(ev.MessagePlayed, leg=customer)).heard
    assert site.count(ev.MessagePlayed, customer) == 1


async def test_the_pbx_itself_ends_a_customer_nobody_takes(site: Site, mode: str, ground: Ground) -> None:
    """Nobody commands anything after the originate: what happens would also happen with the daemon gone."""
    customer = await site.parked_customer(ground.numbers["talks"], hold_s=1.0, safe_message=ground.sound)
    await site.seen(ev.LegHungUp, leg=customer, within_s=60)
    if mode == "dialplan":
        assert (await site.seen(ev.MessagePlayed, leg=customer)).heard


async def test_a_conversation_outlives_the_waiting_limit(site: Site, mode: str, ground: Ground) -> None:
    agent = await site.parked_agent(ground.phones["talker"])
    customer = await site.parked_customer(ground.numbers["talks"], hold_s=4.0)
    site.driver.perform(Connect(leg=agent, customer=customer))
    await site.seen(ev.LegBridged, leg=agent)
    await asyncio.sleep(5.0)
    assert not site.count(ev.LegHungUp, customer)
    await site.end(customer, agent)


async def test_a_person_is_told_from_a_machine(site: Site, mode: str, ground: Ground) -> None:
    if mode in ("basic", "ari"):
        assert "amd" not in site.driver.status().capabilities
        assert any(entry.startswith("amd:") for entry in site.driver.status().missing)
        return
    if "human" not in ground.numbers:
        pytest.skip("this PBX has no voices")
    customer = site.customer(ground.numbers["human"], amd=True)
    verdict = await site.seen(ev.AmdVerdict, leg=customer)
    await site.seen(ev.LegParked, leg=customer)
    assert verdict.verdict is ev.Amd.HUMAN
    assert 0 < verdict.greeting_end_s < 3
    names = site.names(customer)
    assert names.index("LegAnswered") < names.index("AmdVerdict") < names.index("LegParked")
    await site.end(customer)


@pytest.mark.feature("AMD-03", clause="a fax tone is heard where the mode can, and said to be impossible where not")
async def test_a_fax_tone_is_heard(site: Site, mode: str, ground: Ground) -> None:
    if mode in ("basic", "ari"):
        assert "fax" not in site.driver.status().capabilities
        assert any(entry.startswith("fax:") for entry in site.driver.status().missing)
        return
    assert "fax" in site.driver.status().capabilities
    customer = site.customer(ground.numbers["fax"], amd=True)
    verdict = await site.seen(ev.AmdVerdict, leg=customer)
    assert verdict.verdict is ev.Amd.FAX
    await site.end(customer)
    assert site.count(ev.AmdVerdict, customer) == 1


async def test_a_call_through_a_route_of_the_pbx(ground: Ground, mode: str, clean: None) -> None:
    """Without /n Asterisk takes the Local channel away in mid-call: the leg must go on."""
    if not ground.route:
        pytest.skip("this PBX has no route")
    templates = SiteTemplates(
        customer_channel=f"Local/{{number}}@{ground.route}",
        customer_context=ground.templates.customer_context,
        agent_context=ground.templates.agent_context,
    )
    async with site_on(ground, mode, templates=templates) as routed:
        agent, customer = await routed.conversation(ground.numbers["talks"], ground.phones["talker"])
        await asyncio.sleep(0.8)
        assert not routed.count(ev.LegHungUp, customer)
        assert not routed.count(ev.LegUnbridged, agent)
        await routed.end(customer)
        assert routed.count(ev.LegHungUp, customer) == 1
        await routed.seen(ev.LegUnbridged, leg=agent)
        await routed.end(agent)


# -- cuts ---------------------------------------------------------------------------------------------------------
@pytest.mark.feature("RELY-04", clause="after a cut every leg is found again as it is")
async def test_a_cut_and_what_the_snapshot_finds(ground: Ground, mode: str, clean: None) -> None:
    async with Proxy(ground.port_of(mode)) as cord, site_on(ground, mode, tcp_port=cord.port) as cut:
        agent, customer = await cut.conversation(ground.numbers["talks"], ground.phones["talker"])
        waiting = await cut.parked_agent(ground.phones["second"], 8)
        ringing = cut.customer(ground.numbers["rings"], ring_timeout_s=60.0)
        doomed = await cut.parked_customer(ground.numbers["talks"])
        await cut.seen(ev.LegRinging, leg=ringing)
        since = len(cut.events)
        cord.refusing = True
        cord.cut()
        await cut.seen(ev.LinkDown, since=since)
        lost = cut.customer(ground.numbers["talks"])
        assert (await cut.seen(ev.LegFailed, leg=lost)).message.startswith("no link")
        cut.driver.perform(Hangup(leg=doomed))
        await cut.seen(ev.ActionInDoubt, leg=doomed, action="hangup")
        await hang_up_unseen(ground, mode, doomed)
        cord.refusing = False
        up = await cut.seen(ev.LinkUp, since=since)
        assert not up.restarted
        legs = {leg.leg: leg for leg in (await cut.seen(ev.PbxSnapshot, since=since)).legs}
        assert legs.keys() == {agent, customer, waiting, ringing}
        assert (legs[agent].bridged_with, legs[customer].bridged_with) == (customer, agent)
        assert (legs[ringing].ringing, legs[ringing].up) == (True, False)
        assert (legs[waiting].parked, legs[waiting].up) == (True, True)

        since = len(cut.events)
        cut.driver.perform(ProbeParked(leg=waiting))
        await cut.seen(ev.LegParked, since=since, leg=waiting)
        cut.driver.perform(Hangup(leg=customer))
        await cut.seen(ev.LegUnbridged, since=since, leg=agent, peer=customer)
        if mode in NAILED:
            await cut.seen(ev.LegParked, since=since, leg=agent)
        fresh = await cut.parked_customer(ground.numbers["talks"])
        cut.driver.perform(Connect(leg=waiting, customer=fresh))
        await cut.seen(ev.LegBridged, since=since, leg=waiting, peer=fresh)
        await cut.end(fresh, ringing, agent, waiting)


async def test_a_probe_of_a_leg_that_is_not_there(site: Site, mode: str, ground: Ground) -> None:
    ghost = agent_leg(SITE, 9, SystemClock().utcnow(), site.rng)
    site.driver.perform(ProbeParked(leg=ghost))
    await site.seen(ev.LegHungUp, leg=ghost)
