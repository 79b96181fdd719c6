"""The comparison itself: a stream equals itself and every reordering a real server shows; anything else breaks it."""

import random
from collections.abc import Callable
from functools import cache

import pytest

from fake_asterisk.replay.compare import Run, compare
from fake_asterisk.replay.folder import Recording
from fake_asterisk.replay.roles import Roles
from fake_asterisk.replay.wire import parse_stream
from tests.recordings import breaking
from tests.recordings.breaking import BREAKS, Blocks
from tests.recordings.material import BY_NAME, RECORDINGS, need_recordings

pytestmark = pytest.mark.usefixtures("recordings_needed")


@pytest.fixture
def recordings_needed() -> None:
    need_recordings()


def recorded_again(recording: Recording, data: bytes) -> Run:
    return Run(data, recording.scenario.recorded_roles(), booted=recording.scenario.boots)


@cache
def original(name: str) -> Run:
    return BY_NAME[name].run()


def differs(recording: Recording, data: bytes) -> bool:
    return bool(compare(original(recording.scenario.name), recorded_again(recording, data)))


@pytest.mark.parametrize("name", BY_NAME)
def test_a_recording_equals_itself_also_when_its_ids_are_only_learned(name: str) -> None:
    recording = BY_NAME[name]
    chosen = {r: e["uniqueid"] for r, e in recording.scenario.ids.items() if e["chosen_by"] == "client"}
    learned = Roles(chosen)
    replayed = Run(recording.data, learned, booted=recording.scenario.boots)
    assert compare(original(name), replayed) == []
    assert learned.ids == {role: entry["uniqueid"] for role, entry in recording.scenario.ids.items()}
    named = {role: entry["channel"] for role, entry in recording.scenario.ids.items() if "channel" in entry}
    assert learned.channels == named
    assert learned.bridges == recording.scenario.bridges
    assert Blocks(recording).data() == recording.data  # so that the tests below break what they mean to break


@pytest.mark.parametrize("name", BY_NAME)
def test_what_differs_from_run_to_run_keeps_it_equal(name: str) -> None:
    """Fresh ids, channel counters, bridge ids and times; another order across channels; events that do not count."""
    recording, rng = BY_NAME[name], random.Random(name)
    data, chosen = breaking.renamed(Blocks(recording), rng)
    assert compare(original(name), Run(data, Roles(chosen), booted=recording.scenario.boots)) == []
    assert not differs(recording, breaking.shuffled(Blocks(recording), rng))
    blocks = Blocks(recording)
    for event in (
        [b"Event: RTCPSent", b"Privilege: reporting,all", b"Channel: PJSIP/x-0000abcd", b"SSRC: 0x1"],
        [b"Event: ContactStatus", b"Privilege: system,all", b"ContactStatus: Reachable"],
        [b"Event: DeviceStateChange", b"Privilege: call,all", b"Device: CBAnn/ag9", b"State: INUSE"],
        [b"Event: Newchannel", b"Channel: PJSIP/9-0000abcd", b"Uniqueid: 1700000000.1", b"Linkedid: 1700000000.1"],
        [b"Event: BridgeCreate", b"BridgeUniqueid: 00000000-1111-2222-3333-444444444444"],
        [b"Event: BridgeEnter", b"BridgeUniqueid: 00000000-1111-2222-3333-444444444444", b"Uniqueid: 1700000000.1"],
    ):
        blocks.blocks.insert(rng.randrange(len(blocks.blocks) + 1), event)
    assert not differs(recording, blocks.data())


def every_third(offset: int) -> list[Recording]:
    """Some forty recordings broken each way say as much as all; each is broken in a third of the ways."""
    return RECORDINGS[offset % 3 :: 3]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", BREAKS)
def test_breaking_the_stream_breaks_equality(name: str) -> None:
    broken = 0
    for recording in every_third(list(BREAKS).index(name)):
        blocks = Blocks(recording)
        if BREAKS[name](blocks, random.Random(recording.scenario.name)):
            assert blocks.data() != recording.data
            assert differs(recording, blocks.data()), f"not noticed in {recording.scenario.name}"
            broken += 1
    assert broken > 0, "possible in no recording"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("damage", [breaking.bare_lf, breaking.cut_short])
def test_damaged_bytes_break_equality(damage: Callable[[bytes, random.Random], bytes]) -> None:
    for recording in every_third(0):
        data = damage(recording.data, random.Random(recording.scenario.name))
        assert differs(recording, data), f"not noticed in {recording.scenario.name}"


def test_nothing_received_is_not_equal() -> None:
    for recording in RECORDINGS:
        assert differs(recording, b"")
        assert differs(recording, recording.data.partition(b"\r\n")[0] + b"\r\n")


def test_faults_of_framing_are_named() -> None:
    greeting = b"Asterisk Call Manager/11.0.0\r\n"
    assert parse_stream(greeting + b"Response: Success\r\n\r\n").faults == ()
    assert parse_stream(greeting + b"A: 1\nB: 2\r\n\r\n").faults == ("a line ends with a bare LF",)
    assert parse_stream(greeting + b"A: 1\r\n\r\n\r\n\r\nB: 2\r\n\r\n").faults == ("an empty message",)
    assert parse_stream(greeting + b"A: 1\r\n").faults == ("the stream ends inside a message",)
