"""A box that speaks AMI 1.1 (Asterisk 1.8 to 11, MyPBX, Yeastar S): the contract in its one mode, and what differs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from daemon.ami.client import AmiClient, AmiOptions
from daemon.ami.legacy import tag_of
from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup
from daemon.settings_file import YEASTAR_S, parse
from fake_asterisk.config import Endpoint, FakeConfig
from fake_asterisk.pbx import FakeAsterisk
from tests.ami.contract import (  # noqa: F401 - the parts of the suite that need no ids of our own on the PBX
    test_a_connect_to_a_customer_who_just_left,
    test_a_conversation_outlives_the_waiting_limit,
    test_a_hang_up_behind_its_own_originate,
    test_a_hang_up_while_ringing,
    test_a_nailed_agent_takes_one_customer_after_the_other,
    test_a_phone_that_is_not_registered,
    test_a_probe_of_a_leg_that_is_not_there,
    test_a_second_connect_is_refused,
    test_a_user_who_may_not_originate,
    test_a_value_that_means_more_is_refused_by_name,
    test_a_wrong_secret_mended_later,
    test_from_originate_to_hang_up,
    test_ringing_ends_with_our_timeout,
    test_the_agent_hangs_up_and_the_conversation_ends,
    test_who_does_not_answer_says_why,
)
from tests.ami.ground import WITHIN_S, Ground, clean, site, site_on  # noqa: F401 - fixtures
from tests.ami.test_contract import NUMBERS, ROUTE, SECRET, behaviour_of, shipped_users
from tests.asterisk.proxy import Proxy


@pytest.fixture
def mode() -> str:
    return "basic"


@pytest.fixture
async def pbx() -> AsyncIterator[FakeAsterisk]:
    phones = [Endpoint(str(number), "route", registered=number != 1009) for number in (1001, 1002, 1009)]
    config = FakeConfig(
        users=shipped_users(),
        endpoints={endpoint.name: endpoint for endpoint in [*phones, Endpoint("trunk", "route")]},
        behaviour_of=behaviour_of,
        dialplan=ROUTE,
        ami_version="1.1",
        version="1.8.32",
        login_delay_s=0.05,
    )
    fake = FakeAsterisk(config, rng=random.Random(3))
    yield fake
    await fake.close()


@pytest.fixture
async def ground(pbx: FakeAsterisk) -> Ground:
    return Ground(
        tcp_port=await pbx.listen(0),
        secret=SECRET,
        users={"nocalls": "nocalls", "basic": "cadran-basic", "deaf": "deaf"},
        trunk="trunk",
        numbers={what: f"{number}00000" for what, number in NUMBERS.items()},
        phones={"talker": "1001", "second": "1002", "unregistered": "1009"},
        route="route",
    )


@pytest.mark.feature("PBX-03", clause="AMI 1.1: the dialect is found by the greeting; what is weaker is in the status")
async def test_the_status_says_what_is_weaker(ground: Ground, mode: str) -> None:
    async with site_on(ground, mode) as box:
        status = box.driver.status()
    assert (status.up, status.mode) == (True, "basic")
    assert status.version.startswith("Asterisk Call Manager/1.1")
    assert "AMI 1.x" in status.mode_reason
    assert any(entry.startswith("channel ids of our own: ") and "ActionID" in entry for entry in status.missing)
    assert "nailed_agents" not in status.capabilities


@pytest.mark.feature(
    "PBX-03", clause="AMI 1.1: ids are the server's; a call is found by the caller's name and variable"
)
async def test_ids_are_the_servers(pbx: FakeAsterisk, ground: Ground, mode: str) -> None:
    async with site_on(ground, mode) as box:
        leg = box.customer(ground.numbers["rings"])
        await box.seen(ev.LegRinging, leg=leg)
        (channel,) = pbx.channels.values()
        assert channel.uniqueid != leg
        assert channel.caller == ("0155510000", tag_of(leg))
        assert channel.get_variable("DIALER_CALL") == leg
        await box.end(leg)
        assert not pbx.channels


@pytest.mark.feature("PBX-03", clause="AMI 1.1: after a cut each leg is found again, by Status and its variable")
@pytest.mark.usefixtures("clean")
async def test_a_cut_and_what_the_snapshot_finds(ground: Ground, mode: str) -> None:
    async with Proxy(ground.tcp_port) as cord, site_on(ground, mode, tcp_port=cord.port) as cut:
        agent, customer = await cut.conversation(ground.numbers["talks"], ground.phones["talker"])
        waiting = await cut.parked_agent(ground.phones["second"], 8)
        ringing = cut.customer(ground.numbers["rings"])
        await cut.seen(ev.LegRinging, leg=ringing)
        since = len(cut.events)
        cord.cut()
        await cut.seen(ev.LinkDown, since=since)
        legs = {leg.leg: leg for leg in (await cut.seen(ev.PbxSnapshot, since=since)).legs}
        assert legs.keys() == {agent, customer, waiting, ringing}
        assert (legs[agent].bridged_with, legs[customer].bridged_with) == (customer, agent)
        assert (legs[ringing].ringing, legs[ringing].up) == (True, False)
        assert (legs[waiting].parked, legs[waiting].up) == (True, True)
        since = len(cut.events)
        cut.driver.perform(Hangup(leg=customer))
        await cut.seen(ev.LegUnbridged, since=since, leg=agent, peer=customer)
        fresh = await cut.parked_customer(ground.numbers["talks"])
        cut.driver.perform(Connect(leg=waiting, customer=fresh))
        await cut.seen(ev.LegBridged, since=since, leg=waiting, peer=fresh)
        await cut.end(fresh, ringing, agent, waiting)


@pytest.mark.feature(
    "PBX-03", clause="AMI 1.1: console output ends with --END COMMAND--, and the link reads on behind it"
)
async def test_console_output_with_an_end_of_its_own(ground: Ground, pbx: FakeAsterisk) -> None:
    pbx.config.users["boss"] = type(pbx.config.users["nocalls"]).of("boss", SECRET, "all", "all")
    answers = []
    done = asyncio.Event()
    options = AmiOptions(host="127.0.0.1", tcp_port=ground.tcp_port, username="boss", secret=lambda: SECRET)
    client = AmiClient(options, rng=random.Random(1), on_messages=lambda _: None, on_down=lambda *_: None)

    async def ask() -> None:
        answers.append(await client.send({"Action": "Command", "Command": "core show version"}))
        answers.append(await client.send({"Action": "Ping"}))
        done.set()

    task = asyncio.create_task(client.run(ask))
    await asyncio.wait_for(done.wait(), WITHIN_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert any("Asterisk 1.8.32" in line for line in answers[0].values("Output"))
    assert answers[1].response == "Success"


@pytest.mark.feature("PBX-03", clause="the preset yeastar-s fills the templates of that family")
def test_the_preset_fills_the_templates() -> None:
    (found,) = parse({"sites": [{"id": "box", "preset": "yeastar-s"}]}).sites
    assert {key: getattr(found, key) for key in YEASTAR_S} == YEASTAR_S
    assert found.mode == "basic"


@pytest.mark.feature("S100-04", clause="a user of an old box who may not read class call: named at the first leg")
async def test_a_user_of_an_old_box_who_hears_nothing_of_calls(ground: Ground, mode: str) -> None:
    """Nobody knows what each of these boxes says to an originate that can come to nothing: none is judged by it."""
    async with site_on(ground, "deaf", wanted_mode=mode) as box:
        assert "originate" in box.driver.status().capabilities
        leg = box.agent(ground.phones["talker"])
        down = await box.seen(ev.LinkDown)
        assert (down.code, "no event of class call" in down.message) == ("no_events", True)
        await box.seen(ev.PbxSnapshot, since=box.events.index(down))
        assert any(entry.startswith("permission denied: read call: ") for entry in box.driver.status().missing)
        failed = await box.seen(ev.LegFailed, leg=box.customer(ground.numbers["talks"]))
        assert not failed.sent
        box.driver.perform(Hangup(leg=leg))
        async with asyncio.timeout(WITHIN_S):
            while await box.driver.audit() != ():  # noqa: ASYNC110 - no event tells this user of the end
                await asyncio.sleep(0.05)
