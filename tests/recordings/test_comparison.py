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

TRIES = 2  # of each way and recording; with some fifty recordings that is a hundred places broken each way


def recorded_again(recording: Recording, data: bytes) -> Run:
    return Run(data, recording.scenario.recorded_roles(), booted=recording.scenario.boots)


@cache
def original(name: str) -> Run:
    return BY_NAME[name].run()


def differs(recording: Recording, data: bytes) -> bool:
    return bool(compare(original(recording.scenario.name), recorded_again(recording, data)))


@pytest.fixture(params=RECORDINGS or [None], ids=lambda recording: recording.scenario.name if recording else "none")
def recording(request: pytest.FixtureRequest) -> Recording:
    need_recordings()
    return request.param


def test_a_recording_equals_itself_also_when_its_ids_are_only_learned(recording: Recording) -> None:
    chosen = {r: e["uniqueid"] for r, e in recording.scenario.ids.items() if e["chosen_by"] == "client"}
    learned = Roles(chosen)
    replayed = Run(recording.data, learned, booted=recording.scenario.boots)
    assert compare(original(recording.scenario.name), replayed) == []
    assert learned.ids == {role: entry["uniqueid"] for role, entry in recording.scenario.ids.items()}
    named = {role: entry["channel"] for role, entry in recording.scenario.ids.items() if "channel" in entry}
    assert learned.channels == named
    assert learned.bridges == recording.scenario.bridges


def test_blocks_put_together_again_are_the_recording(recording: Recording) -> None:
    assert Blocks(recording).data() == recording.data


def test_fresh_ids_counters_bridges_and_times_keep_it_equal(recording: Recording) -> None:
    for seed in range(TRIES):
        data, chosen = breaking.renamed(Blocks(recording), random.Random(seed))
        replayed = Run(data, Roles(chosen), booted=recording.scenario.boots)
        assert compare(original(recording.scenario.name), replayed) == []


def test_another_order_across_channels_keeps_it_equal(recording: Recording) -> None:
    for seed in range(TRIES):
        data = breaking.shuffled(Blocks(recording), random.Random(seed))
        assert compare(original(recording.scenario.name), recorded_again(recording, data)) == []


def test_events_that_do_not_count_keep_it_equal(recording: Recording) -> None:
    blocks = Blocks(recording)
    for event in (
        [b"Event: RTCPSent", b"Privilege: reporting,all", b"Channel: PJSIP/x-0000abcd", b"SSRC: 0x1"],
        [b"Event: ContactStatus", b"Privilege: system,all", b"ContactStatus: Reachable"],
        [b"Event: DeviceStateChange", b"Privilege: call,all", b"Device: CBAnn/ag9", b"State: INUSE"],
        [b"Event: Newchannel", b"Channel: PJSIP/9-0000abcd", b"Uniqueid: 1700000000.1", b"Linkedid: 1700000000.1"],
        [b"Event: BridgeCreate", b"BridgeUniqueid: 00000000-1111-2222-3333-444444444444"],
        [b"Event: BridgeEnter", b"BridgeUniqueid: 00000000-1111-2222-3333-444444444444", b"Uniqueid: 1700000000.1"],
    ):
        blocks.blocks.append(event)
    assert not differs(recording, blocks.data())


@pytest.mark.parametrize("name", BREAKS)
def test_breaking_the_stream_breaks_equality(recording: Recording, name: str) -> None:
    applied = 0
    for seed in range(TRIES):
        blocks = Blocks(recording)
        if BREAKS[name](blocks, random.Random(f"{recording.scenario.name} {seed}")):
            assert blocks.data() != recording.data
            assert differs(recording, blocks.data()), f"seed {seed}: not noticed"
            applied += 1
    if not applied:
        assert name not in {"drop_header", "rename_header", "add_header", "drop_message", "double_message"}


@pytest.mark.parametrize("damage", [breaking.bare_lf, breaking.cut_short])
def test_damaged_bytes_break_equality(recording: Recording, damage: Callable[[bytes, random.Random], bytes]) -> None:
    for seed in range(TRIES):
        assert differs(recording, damage(recording.data, random.Random(seed)))


def test_nothing_received_is_not_equal(recording: Recording) -> None:
    assert differs(recording, b"")
    assert differs(recording, recording.data.partition(b"\r\n")[0] + b"\r\n")


def test_every_kind_of_break_was_possible_somewhere() -> None:
    need_recordings()
    for name, change in BREAKS.items():
        assert any(change(Blocks(recording), random.Random(7)) for recording in RECORDINGS), name


def test_faults_of_framing_are_named() -> None:
    greeting = b"Asterisk Call Manager/11.0.0\r\n"
    assert parse_stream(greeting + b"Response: Success\r\n\r\n").faults == ()
    assert parse_stream(greeting + b"A: 1\nB: 2\r\n\r\n").faults == ("a line ends with a bare LF",)
    assert parse_stream(greeting + b"A: 1\r\n\r\n\r\n\r\nB: 2\r\n\r\n").faults == ("an empty message",)
    assert parse_stream(greeting + b"A: 1\r\n").faults == ("the stream ends inside a message",)
