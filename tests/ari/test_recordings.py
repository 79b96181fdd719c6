"""The recorded ARI streams: the translator understands them, and the fake PBX says the same when asked the same."""

from __future__ import annotations

import asyncio
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from daemon.ari.legs import Leg, Legs
from daemon.ari.translate import Step, Translator
from daemon.calls import events as ev
from fake_asterisk import FakeAsterisk, lab
from fake_asterisk.ari import rest
from simulation.loop import VirtualClock, VirtualLoop, run

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "asterisk" / "captures"
BRIDGED, FAILURES = "ari_call_bridge", "ari_originate_failures"
AGENT, CUSTOMER = "par-ag-7-0123456789abcdef", "par-0123456789abcdef0123456789abcdef"
RECORDER = re.compile(r"RTPAUDIO|BRIDGEPEER|BRIDGEPVTCALLID")
"""Variables that tell of media and of the recorder's own channels, which the fake has not; so for ConnectedLine."""

needs_recordings = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recordings in {SHARED}")


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SHARED / f"{name}.jsonl").read_text("utf-8").splitlines()]


def translated(name: str, **names: str) -> tuple[list[ev.PbxEvent], list[tuple[str, Step]]]:
    """The typed events of a recording whose ids are replaced by ones of our shape, and what was to be reacted to."""
    text = json.dumps(recorded(name))
    for theirs, ours in names.items():
        text = text.replace(theirs.replace("_", "-", 1).replace("_", "."), ours)
    told: list[ev.PbxEvent] = []
    steps: list[tuple[str, Step]] = []

    def react(leg: Leg, step: Step, detail: str) -> None:
        steps.append((leg.id, step))

    translator = Translator(Legs("par"), deliver=told.append, react=react)
    for at, event in enumerate(json.loads(text)):
        translator.handle(event, float(at))
    return told, steps


@needs_recordings
def test_a_recorded_conversation() -> None:
    told, steps = translated(BRIDGED, agent_1795294620_2=AGENT, call_1795294620_1=CUSTOMER)
    names = [(type(event).__name__, getattr(event, "leg", "")) for event in told]
    begins = ["LegCreated", "LegRinging", "LegAnswered"]
    assert names[:3] == [(name, AGENT) for name in begins]
    assert names[3:7] == [(name, CUSTOMER) for name in [*begins, "LegParked"]]
    assert names[7:] == [
        ("LegBridged", AGENT),
        ("LegUnbridged", AGENT),
        ("LegHungUp", CUSTOMER),
        ("LegHungUp", AGENT),
    ]
    customer = next(event for event in told if isinstance(event, ev.LegHungUp) and event.leg == CUSTOMER)
    assert (customer.cause, customer.was_up, customer.cause_text) == (16, True, "Normal Clearing")
    assert steps.count((AGENT, Step.ENTERED)) == 1
    assert (AGENT, Step.BRIDGED) in steps and (CUSTOMER, Step.PARKED) in steps


@needs_recordings
def test_recorded_failures() -> None:
    ids = {f"call-17952946{tail}": f"par-{n:032x}" for n, tail in enumerate(("23.5", "23.6", "24.7", "25.10", "27.11"))}
    told, _ = translated(FAILURES, **{theirs.replace("-", "_").replace(".", "_"): ours for theirs, ours in ids.items()})
    ends = [event for event in told if isinstance(event, ev.LegHungUp)]
    assert [(end.cause, end.tech_cause, end.dial_status) for end in ends] == [
        (17, 486, "BUSY"),
        (1, 404, "NOANSWER"),
        (34, 503, "CONGESTION"),
        (19, 480, None),
        (16, None, "NOANSWER"),
    ]
    assert not any(end.was_up for end in ends)


@needs_recordings
def test_an_answer_that_nobody_heard_is_told_by_the_end() -> None:
    """As when the link is taken up anew between ringing and the end: busy and answered are not the same."""
    told: list[ev.PbxEvent] = []
    translator = Translator(Legs("par"), deliver=told.append, react=lambda *_: None)
    text = json.dumps(recorded(BRIDGED)).replace("call-1795294620.1", CUSTOMER)
    for at, event in enumerate(json.loads(text)):
        channel = event.get("channel") or event.get("peer") or {}
        if channel.get("id") == CUSTOMER and (channel["state"] != "Up" or event["type"] == "ChannelDestroyed"):
            translator.handle(event, float(at))
    assert [type(event).__name__ for event in told] == ["LegCreated", "LegRinging", "LegHungUp"]
    assert isinstance(told[-1], ev.LegHungUp) and told[-1].was_up


# -- the fake, held to the same recordings ----------------------------------------------------------------------------


def originate(channel: str, resource: str, role: str, timeout: str = "5") -> tuple[str, str, dict[str, Any]]:
    body = {
        "endpoint": resource,
        "app": "dialer",
        "appArgs": role,
        "channelId": channel,
        "timeout": timeout,
        "callerId": "Campaign 1 <5551000>",
        "variables": {"DIALER_CALL": "41"},
    }
    return "POST", "/channels", body


REQUESTS: dict[str, list[tuple[float, str, str, dict[str, Any]]]] = {
    BRIDGED: [
        (0.0, *originate("agent", "PJSIP/1001", "agent")),
        (0.62, *originate("call", "PJSIP/100@trunk", "call")),
        (1.232, "POST", "/bridges", {"type": "mixing", "bridgeId": "br"}),
        (1.236, "POST", "/bridges/br/addChannel", {"channel": "call,agent"}),
        (1.541, "POST", "/bridges/br/record", {"name": "call-41", "format": "wav", "ifExists": "overwrite"}),
        (1.842, "POST", "/recordings/live/call-41/mute", {}),
        (1.842, "DELETE", "/recordings/live/call-41/mute", {}),
        (
            1.844,
            "POST",
            "/channels/call/snoop",
            {"spy": "both", "whisper": "out", "app": "dialer", "appArgs": "snoop", "snoopId": "snoop"},
        ),
        (2.148, "DELETE", "/channels/call", {"reason_code": "16"}),
        (2.55, "GET", "/bridges/br", {}),
        (2.551, "POST", "/channels/agent/moh", {}),
        (2.554, "DELETE", "/channels/agent", {}),
        (2.554, "DELETE", "/bridges/br", {}),
        (2.956, "GET", "/channels", {}),
    ],
    FAILURES: [
        (0.0, *originate("5", "PJSIP/103@trunk", "call")),
        (0.413, *originate("6", "PJSIP/104@trunk", "call")),
        (0.816, *originate("7", "PJSIP/107@trunk", "call")),
        (1.219, *originate("8", "PJSIP/1009", "call")),
        (1.62, *originate("9", "NoTech/1", "call")),
        (2.023, *originate("10", "PJSIP/102@trunk", "call", "2")),
        (4.627, *originate("11", "PJSIP/102@trunk", "call")),
        (4.929, *originate("11", "PJSIP/101@trunk", "call")),
        (4.93, "DELETE", "/channels/11", {}),
        (5.332, "GET", "/channels/11", {}),
    ],
}
STATUSES = {
    BRIDGED: [200, 200, 200, 204, 201, 204, 204, 200, 204, 200, 204, 204, 204, 200],
    FAILURES: [200, 200, 200, 500, 500, 200, 200, 409, 204, 404],
}


def asked_of_the_fake(name: str) -> tuple[list[int], list[dict[str, Any]]]:
    """Statuses and WebSocket messages of the recorded requests, at their recorded times."""

    async def main(loop: VirtualLoop) -> tuple[list[int], list[dict[str, Any]]]:
        clock = VirtualClock(loop)
        fake = FakeAsterisk(lab.config(lab.recorded()), loop=loop, rng=random.Random(1), wall=clock.epoch)
        told: list[dict[str, Any]] = []
        fake.ari.connected("dialer", told.append)
        began, statuses = loop.time(), []
        for at, method, path, body in REQUESTS[name]:
            await asyncio.sleep(max(0.0, began + at - loop.time()))
            status, _ = await rest.dispatch(fake, method, path, body)
            statuses.append(status)
        await asyncio.sleep(1.0)
        await fake.close()
        return statuses, told

    return run(main, seed=1)


def by_channel(name: str, messages: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """What is told of each channel, in order, ids and instants left out. Order among messages of one millisecond is no
    promise of Asterisk's: those are compared as they are sorted here, by the kind of news."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for message in messages:
        channel = message.get("channel") or message.get("peer")
        if channel is None or message["type"] == "ChannelConnectedLine" or RECORDER.match(message.get("variable", "")):
            continue
        theirs = re.fullmatch(r"(call|agent|snoop)-\d+\.(\d+)", channel["id"])
        who = channel["id"] if theirs is None else theirs[2 if name == FAILURES else 1]
        about = {
            key: value
            for key, value in message.items()
            if key not in ("timestamp", "asterisk_id", "channel", "peer", "bridge")
        }
        shape = (channel["state"], channel["dialplan"]["app_name"], tuple(sorted(channel)), tuple(sorted(message)))
        found.setdefault(who, []).append((message["type"], json.dumps(about, sort_keys=True), *shape))
    return found


@needs_recordings
@pytest.mark.parametrize("name", [BRIDGED, FAILURES])
def test_the_fake_says_what_asterisk_said(name: str) -> None:
    statuses, told = asked_of_the_fake(name)
    assert statuses == STATUSES[name]
    theirs, ours = by_channel(name, recorded(name)), by_channel(name, told)
    for who in theirs:
        assert sorted(ours[who]) == sorted(theirs[who]), who
        steps = [kind for kind, *_ in theirs[who] if kind not in ("Dial", "ChannelStateChange")]
        assert [kind for kind, *_ in ours[who] if kind in set(steps)] == steps
