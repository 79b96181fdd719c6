"""The test bed can be believed: calls placed by a bare AMI client are seen alike by AMI, CEL and the far ends."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.asterisk import witness
from tests.asterisk.ami import AmiClient
from tests.asterisk.bed import wait_until
from tests.asterisk.conftest import Lab
from tests.asterisk.proxy import Proxy

CLOCK_S = 0.005
"""Instants of two programs on one machine may differ by this much in what each writes of its clock."""
LATE_S = 5.0
"""How late a program may note what another one did: on a busy machine it may have to wait for its turn."""


def leg(n: int) -> str:
    """A customer's channel id of the shape the daemon uses."""
    return f"bed-{n:032x}"


def told_of(lab: Lab, channel_id: str) -> set[str]:
    """The kinds of rows that Asterisk has written of a channel."""
    return {row.event for row in witness.rows(lab.bed.cel_file) if row.uniqueid == channel_id}


async def originate(ami: AmiClient, channel_id: str, number: str, line: str = "line-a", **headers: str) -> None:
    said = await ami.action(
        "Originate",
        **{
            "ActionID": channel_id,
            "Channel": f"PJSIP/{number}@{line}",
            "Application": "AGI",
            "Data": "agi:async",
            "Async": "true",
            "ChannelId": channel_id,
            "Timeout": "3000",
            "Variable": f"CHANNEL(userfield)={number}",
            **headers,
        },
    )
    assert said["Response"] == "Success", said


@pytest.mark.parametrize(
    ("digits", "cause", "far_end_saw"),
    [
        ("20", 17, "refused"),
        ("21", 1, "refused"),
        ("22", 21, "refused"),
        ("23", 34, "refused"),
        ("30", 19, "cancelled"),
    ],
)
async def test_unanswered_calls_end_with_the_cause_of_their_far_end(
    lab: Lab, digits: str, cause: int, far_end_saw: str
) -> None:
    number, channel_id = f"019900{digits}01", leg(int(digits))
    async with AmiClient(lab.bed.ports.ami) as ami:
        await originate(ami, channel_id, number)
        await ami.event("Hangup", Uniqueid=channel_id)
    call = witness.calls(witness.rows_when_over(lab.bed.cel_file, channel_id))[channel_id]
    assert (call.answered, call.cause, call.line) == (None, cause, "line-a")
    wait_until(
        f"the far end noted {far_end_saw}",
        lambda: far_end_saw in {line.what for line in lab.line_a.seen() if line.number == number},
        60,
    )
    assert lab.line_a.invited()[number] == 1
    wait_until("no channel left", lambda: lab.bed.channels() == [], 60)


async def test_a_conversation_is_measured_alike_by_asterisk_and_the_far_end(lab: Lab) -> None:
    """Nailed agent in AsyncAGI, customer who leaves after 3 s: the agent is parked again."""
    customer, agent = leg(1), "bed-ag-7-000000000001abcd"
    async with AmiClient(lab.bed.ports.ami, "cadran-asyncagi") as ami:
        await ami.action(
            "Originate", Channel="PJSIP/1001", Application="AGI", Data="agi:async", Async="true", ChannelId=agent
        )
        await ami.event("AsyncAGIStart", Uniqueid=agent)
        await originate(ami, customer, "0199001001", "line-b")
        await ami.event("AsyncAGIStart", Uniqueid=customer)
        await ami.action("AGI", Channel=agent, Command=f"EXEC Bridge {customer}", CommandID="c1")
        await ami.event("Hangup", Uniqueid=customer)
        await ami.event("AsyncAGIExec", CommandId="c1")
        await ami.action("Hangup", Channel=agent)
        await ami.event("Hangup", Uniqueid=agent)
    seen = witness.calls(witness.rows_when_over(lab.bed.cel_file, customer, agent))
    (conversation,) = seen[customer].conversations
    assert (conversation.agent_id, seen[customer].line) == (7, "line-b")
    far = {line.what: line.at for line in lab.line_b.seen() if line.number == "0199001001"}
    answered, ended = seen[customer].answered, conversation.ended
    assert answered is not None and ended is not None
    assert far["lifts"] <= answered <= far["answered"] + CLOCK_S, "200, Asterisk's note, ACK"
    assert answered <= conversation.began <= far["leaves"] <= ended, "they met, then the customer said goodbye"
    assert answered - far["lifts"] < LATE_S and ended - far["leaves"] < LATE_S
    assert conversation.seconds == pytest.approx(far["leaves"] - far["lifts"], abs=LATE_S)


async def test_voices_are_heard(lab: Lab) -> None:
    """RTP really flows: Asterisk's detector tells a person's hello from an answering machine's greeting."""
    async with AmiClient(lab.bed.ports.ami) as ami:
        verdicts = {}
        for n, digits in enumerate(("40", "41"), start=100):
            await originate(ami, leg(n), f"019900{digits}02", Application="AMD", Data="")
            status = await ami.event("VarSet", Uniqueid=leg(n), Variable="AMDSTATUS", timeout_s=60)
            verdicts[digits] = status["Value"]
    assert verdicts == {"40": "HUMAN", "41": "MACHINE"}


async def test_the_shipped_sounds_are_there(lab: Lab) -> None:
    assert {"cadran-safe-harbour.wav", "cadran-beep.wav"} <= {path.name for path in lab.bed.sounds_folder.iterdir()}


async def test_an_extension_without_a_phone_makes_no_channel(lab: Lab) -> None:
    async with AmiClient(lab.bed.ports.ami) as ami:
        await originate(ami, leg(200), "x", Channel="PJSIP/1009")
        failure = await ami.event("OriginateResponse", Uniqueid=leg(200))
    assert failure["Response"] == "Failure"
    assert leg(200) not in witness.calls(witness.rows(lab.bed.cel_file))


async def test_a_killed_asterisk_comes_back_without_calls(fresh_lab: Lab) -> None:
    async with AmiClient(fresh_lab.bed.ports.ami) as ami:
        await originate(ami, leg(300), "0199001201")
        await ami.event("AsyncAGIStart", Uniqueid=leg(300))
    wait_until("the answer is written", lambda: "ANSWER" in told_of(fresh_lab, leg(300)), 60)
    fresh_lab.bed.kill()
    fresh_lab.bed.start()
    assert fresh_lab.bed.channels() == []
    call = witness.calls(witness.rows(fresh_lab.bed.cel_file))[leg(300)]
    assert call.answered
    assert call.ended is None


async def test_a_cut_link_leaves_the_call_alone(lab: Lab) -> None:
    async with Proxy(lab.bed.ports.ami) as proxy:
        async with AmiClient(proxy.port) as ami:
            await originate(ami, leg(400), "0199001202")
            await ami.event("AsyncAGIStart", Uniqueid=leg(400))
            proxy.cut()
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(ami.action("Ping"), 1)
        async with AmiClient(proxy.port) as ami:
            wait_until("only this call is left", lambda: len(lab.bed.channels()) == 1, 60)
            await ami.action("Hangup", Channel=leg(400))
        assert proxy.connections_count == 2
    wait_until("no channel left", lambda: lab.bed.channels() == [], 60)
