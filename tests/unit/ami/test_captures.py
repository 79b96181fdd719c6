"""Recorded sessions of a real Asterisk through codec and translator: what happened to each leg is told, once."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from daemon.ami.channels import Channels
from daemon.ami.codec import AmiCodec
from daemon.ami.translate import ModernTranslator
from daemon.calls import events as ev

CAPTURES = Path(__file__).resolve().parents[3].parent / "shared" / "asterisk" / "captures"
NAMES = sorted(path.stem for path in CAPTURES.glob("*.ami")) or ["none"]


def legs_of(name: str, *, seed: int) -> tuple[dict[str, list[ev.LegEvent]], dict[str, str]]:
    """Events by leg, and our ids by the recorded ones. The recording's ids are put into our shape first."""
    path = CAPTURES / f"{name}.ami"
    if not path.exists():
        pytest.skip("no recordings beside this checkout")
    data = path.read_bytes()
    ours: dict[str, str] = {}
    for number, found in enumerate(sorted(set(re.findall(rb"\b(?:call|agent|c2c|sup)-\d+\.\d+\b", data)))):
        is_agent = found.startswith((b"agent", b"sup"))
        ours[found.decode()] = f"par-ag-{number}-{number:016x}" if is_agent else f"par-{number:032x}"
    for recorded, leg in sorted(ours.items(), key=lambda pair: -len(pair[0])):
        data = data.replace(recorded.encode() + b"b\r\n", b"b-" + leg.encode() + b"\r\n")
        data = re.sub(re.escape(recorded.encode()) + rb"(?!\d)", leg.encode(), data)
    told: list[ev.PbxEvent] = []
    channels = Channels("par")
    translator = ModernTranslator(
        channels, deliver=told.append, react=lambda *_: None, device=lambda *_: None, parks_on_music=False
    )
    for leg in ours.values():
        channels.add(leg)
    codec, rng, at = AmiCodec(), random.Random(seed), 0
    while at < len(data):
        size = rng.choice((1, 7, 100, 1500, 4096))
        for message in codec.receive_data(data[at : at + size]):
            if message.event:
                translator.handle(message, 1.0)
        at += size
    translator.on_deadline(100.0)
    events: dict[str, list[ev.LegEvent]] = {}
    for event in told:
        if isinstance(event, ev.LegEvent):
            events.setdefault(event.leg, []).append(event)
    return events, ours


def names(events: list[ev.LegEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_however_cut_tells_each_step_of_a_leg_once(name: str) -> None:
    events, _ = legs_of(name, seed=1)
    for leg_events in events.values():
        kinds = names(leg_events)
        for once in ("LegCreated", "LegRinging", "LegAnswered", "LegHungUp", "LegFailed"):
            assert kinds.count(once) <= 1, kinds
        if "LegHungUp" in kinds:
            assert set(kinds[kinds.index("LegHungUp") + 1 :]) <= {"LegUnbridged"}, kinds
    assert events == legs_of(name, seed=2)[0]


@pytest.mark.parametrize(
    ("name", "cause", "sip"),
    [
        ("originate_busy_486", 17, 486),
        ("originate_unallocated_404", 1, 404),
        ("originate_congestion_503", 34, 503),
        ("originate_ring_timeout", 19, 480),
    ],
)
def test_refusals_carry_their_cause(name: str, cause: int, sip: int) -> None:
    events, _ = legs_of(name, seed=3)
    (ended,) = [event for leg in events.values() for event in leg if isinstance(event, ev.LegHungUp)]
    assert (ended.cause, ended.tech_cause, ended.was_up) == (cause, sip, False)


def test_originates_that_made_no_channel_fail() -> None:
    events, _ = legs_of("originate_unreachable_kinds", seed=3)
    assert sum(names(leg) == ["LegFailed"] for leg in events.values()) >= 3


def test_a_nailed_agent_waits_before_between_and_after_two_customers() -> None:
    events, ours = legs_of("dialplan_include_bridge", seed=3)
    agent = next(events[leg] for recorded, leg in ours.items() if recorded.startswith("agent"))
    assert names(agent) == [
        "LegCreated", "LegRinging", "LegAnswered", "LegParked", "LegBridged", "LegUnbridged", "LegParked", "LegHungUp"
    ]  # fmt: skip


def test_the_optimised_call_goes_on_until_its_trunk_hangs_up() -> None:
    events, ours = legs_of("local_optimization", seed=3)
    customer = next(events[leg] for recorded, leg in ours.items() if recorded.startswith("call"))
    agent = next(events[leg] for recorded, leg in ours.items() if recorded.startswith("agent"))
    assert names(customer) == ["LegCreated", "LegRinging", "LegAnswered", "LegParked", "LegHungUp"]
    assert names(agent).count("LegBridged") == names(agent).count("LegUnbridged") == 1
