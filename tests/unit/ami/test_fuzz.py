"""Whatever bytes come: the codec gives messages or PbxProtocolError, keeps its framing, and the translator bears it."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.ami.channels import Channels
from daemon.ami.codec import AmiCodec, FieldRefused, Message, check_action
from daemon.ami.translate import ModernTranslator
from daemon.calls import events as ev
from daemon.calls.devices import Devices
from daemon.errors import PbxProtocolError
from tests.unit.ami.wire import AGENT, CUSTOMER, CUSTOMER_2, TRUNK

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
PROBE = b"Event: FullyBooted\r\nUptime: 7\r\n\r\n"
NASTY = st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b"\r", b"\n", b": ", b"Event: ", b"Response: ", b"Response: Follows\r\n", b"\xff\xfe", b"\0",
     b"--END COMMAND--", b"Event: Hangup\r\nUniqueid: x\r\n\r\n", "Élodie".encode(), b"ActionID: 1\r\n"]
)  # fmt: skip
STREAM = st.lists(st.one_of(NASTY, st.binary(max_size=12)), max_size=25).map(b"".join)


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


def _read(pieces: list[bytes]) -> tuple[list[Message], str]:
    """Messages, and the protocol's error if it came to one."""
    codec, found = AmiCodec(), []
    try:
        for piece in pieces:
            found += codec.receive_data(piece)
    except PbxProtocolError as error:
        return found, type(error).__name__
    return found, ""


@settings(max_examples=400)
@given(STREAM, st.lists(st.integers(0, 400), max_size=6))
def test_any_split_gives_the_same_messages(data: bytes, cuts: list[int]) -> None:
    assert _read(_pieces(BANNER + data, cuts)) == _read([BANNER + data])


@settings(max_examples=300)
@given(STREAM)
@example(b"Event: A\r\n\r\n\r\n")
@example(b"\r\n")
def test_what_comes_behind_rubbish_is_read(data: bytes) -> None:
    """Once the stream is at a boundary again, the next event is seen whole, unless old command output is still open."""
    codec = AmiCodec()
    codec.receive_data(BANNER)
    before = codec.receive_data(data + b"\r\n\r\n")
    after = codec.receive_data(b"--END COMMAND--\r\n\r\n") + codec.receive_data(PROBE)
    assert [message.get("Uptime") for message in (before + after) if message.event == "FullyBooted"] == ["7"]


@settings(max_examples=200)
@given(st.binary(max_size=600))
def test_a_greeting_of_any_kind(data: bytes) -> None:
    codec = AmiCodec()
    try:
        messages = codec.receive_data(data)
    except PbxProtocolError:
        return
    assert not messages or codec.banner is not None


EVENTS = (
    "Newchannel", "Newstate", "DialState", "DialEnd", "OriginateResponse", "Hangup", "BridgeEnter", "BridgeLeave",
    "AsyncAGIStart", "AsyncAGIExec", "AsyncAGIEnd", "UserEvent", "MusicOnHoldStart", "LocalOptimizationBegin",
    "LocalOptimizationEnd", "DeviceStateChange", "Shutdown",
)  # fmt: skip
IDS = st.sampled_from([CUSTOMER, CUSTOMER_2, AGENT, TRUNK, "par-", "par-ag-x-1", "1.1", "", "\ufffd"])
WORDS = st.one_of(
    IDS,
    st.sampled_from(["6", "5", "ANSWER", "RINGING", "Success", "Failure", "DialerAnswered", "HUMAN", "-1", "9" * 30]),
    st.text(st.characters(exclude_characters="\r\n"), max_size=8),
)
NAMES = (
    "Uniqueid", "Linkedid", "DestUniqueid", "ChannelState", "DialStatus", "Response", "ActionID", "Reason", "Cause",
    "TechCause", "BridgeUniqueid", "BridgeNumChannels", "UserEvent", "Call", "AMD", "Agent", "CommandId", "CommandID",
    "Result", "Device", "State", "LocalOneUniqueid", "LocalTwoUniqueid", "SourceUniqueid", "DestUniqueId", "Channel",
    "Restart", "Env",
)  # fmt: skip
MESSAGES = st.builds(
    lambda event, headers: Message(
        event, "", "\r\n".join([f"Event: {event}", *(f"{name}: {value}" for name, value in headers.items())])
    ),
    st.sampled_from(EVENTS),
    st.dictionaries(st.sampled_from(NAMES), WORDS, max_size=8),
)


@settings(max_examples=500)
@given(st.lists(MESSAGES, max_size=25))
def test_no_message_breaks_the_translator(messages: list[Message]) -> None:
    """And each leg is said to have ended at most once for each time it was made."""
    heard: list[ev.PbxEvent] = []
    channels = Channels("par")
    translator = ModernTranslator(
        channels,
        deliver=heard.append,
        react=lambda leg, step, detail: None,
        device=Devices("PJSIP/{extension}", ()).changed,
    )
    for number, message in enumerate(messages):
        translator.handle(message, 100.0 + number)
        deadline = translator.next_deadline()
        if deadline is not None:
            translator.on_deadline(deadline)
    for leg in (CUSTOMER, CUSTOMER_2, AGENT):
        said = [type(event).__name__ for event in heard if isinstance(event, ev.LegEvent) and event.leg == leg]
        for one, other in itertools.pairwise(said):
            assert not (one == other == "LegHungUp"), said


@settings(max_examples=300)
@given(st.dictionaries(st.text(max_size=6), st.one_of(st.text(max_size=30), st.lists(st.text(max_size=6), max_size=3))))
def test_an_action_is_refused_or_stays_one_action(headers: dict[str, Any]) -> None:
    action = {"Action": "Ping", **headers}
    try:
        check_action(action)
    except FieldRefused:
        return
    for name, value in action.items():
        for text in (value,) if isinstance(value, str) else value:
            assert not set("\r\n\0") & set(f"{name}{text}")
