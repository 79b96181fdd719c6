"""AMI framing: any split of the bytes gives the same messages; nothing that would be misread leaves."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ami.codec import LINE_BYTES_MAX, MESSAGE_BYTES_MAX, AmiCodec, FieldRefused, Message, check_action
from daemon.errors import PbxProtocolError, PbxRejected

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
STREAM = (
    BANNER
    + b"Response: Success\r\nActionID: a1\r\nMessage: Authentication accepted\r\n\r\n"
    + "Event: NewCallerid\r\nCallerIDName: Zoé Œuvré ☎\r\nUniqueid: par-1\r\nEmpty: \r\n\r\n".encode()
    + b"Event: NewCallerid\r\nCallerIDName: caf\xe9 \xff\xc3\r\nUniqueid: par-2\r\n\r\n"
    + b"Response: Follows\r\nPrivilege: Command\r\nActionID: c1\r\n"
    + b"first line\nKey: value\n\na\r\n\r\n\r\nb\r\n--END COMMAND--\r\n\r\n"
    + b"Response: Success\r\nActionID: c2\r\nMessage: Command output follows\r\nOutput: one\r\nOutput: two\r\n\r\n"
    + b"\r\nEvent: Hangup\r\nUniqueid: par-1\r\nno colon here\r\nCause: 17\r\n\r\n"
)


def decode(*chunks: bytes) -> list[Message]:
    codec = AmiCodec()
    return [message for chunk in chunks for message in codec.receive_data(chunk)]


def test_one_stream_as_a_whole() -> None:
    messages = decode(STREAM)
    assert [(m.event, m.response) for m in messages] == [
        ("", "Success"),
        ("NewCallerid", ""),
        ("NewCallerid", ""),
        ("", "Success"),
        ("", "Success"),
        ("Hangup", ""),
    ]
    assert messages[1].get("CallerIDName") == "Zoé Œuvré ☎"
    assert messages[1].get("Empty", "absent") == ""
    assert messages[1].get("Nothing", "absent") == "absent"
    assert messages[2].get("CallerIDName") == "caf� ��"
    assert messages[5].get("Cause") == "17"


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_gives_the_same_messages(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert decode(*(STREAM[a:b] for a, b in itertools.pairwise(places))) == decode(STREAM)


def test_byte_by_byte() -> None:
    assert decode(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == decode(STREAM)


def test_the_first_occurrence_of_a_header_wins() -> None:
    forged = b"Event: UserEvent\r\nUniqueid: par-1\r\nCall: x\r\nUniqueid: par-2\r\nEvent: Hangup\r\n\r\n"
    (message,) = decode(BANNER + forged)
    assert message.event == "UserEvent"
    assert message.get("Uniqueid") == "par-1"
    assert message.headers()["Uniqueid"] == "par-1"


def test_repeated_output_and_the_free_text_of_old_boxes_read_alike() -> None:
    new = decode(STREAM)[4]
    old = decode(STREAM)[3]
    assert new.values("Output") == ["one", "two"]
    assert old.values("Output") == ["first line", "Key: value", "", "a", "", "", "b"]
    assert (old.response, old.get("ActionID")) == ("Success", "c1")


def test_old_output_may_contain_empty_lines() -> None:
    block = b"Response: Follows\r\nActionID: c\r\nabove\r\n\r\nbelow\r\n--END COMMAND--\r\n\r\nEvent: Next\r\n\r\n"
    output, event = decode(BANNER + block)
    assert output.values("Output") == ["above", "", "below"]
    assert event.event == "Next"


def test_a_header_name_is_matched_whole() -> None:
    (message,) = decode(BANNER + b"Event: DialEnd\r\nDestUniqueid: par-9\r\nDestChannel: PJSIP/x\r\n\r\n")
    assert message.get("Uniqueid") == ""
    assert message.get("DestUniqueid") == "par-9"


def test_event_name_is_found_wherever_it_stands() -> None:
    (message,) = decode(BANNER + b"Privilege: call,all\r\nEvent: Hangup\r\nCause: 16\r\n\r\n")
    assert (message.event, message.get("Privilege"), message.get("Cause")) == ("Hangup", "call,all", "16")


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"x" * 600, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_something_else_on_the_port_is_named(greeting: bytes) -> None:
    with pytest.raises(PbxProtocolError, match="not an Asterisk manager port"):
        decode(greeting)


def test_a_message_without_an_end_is_refused_in_one_piece_or_in_many() -> None:
    endless = b"Event: X\r\nA: " + b"a" * MESSAGE_BYTES_MAX
    for chunks in ([BANNER + endless], [BANNER, *(endless[i : i + 65536] for i in range(0, len(endless), 65536))]):
        with pytest.raises(PbxProtocolError, match="bytes"):
            decode(*chunks)
    with pytest.raises(PbxProtocolError, match="bytes"):
        decode(BANNER + endless + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("action", "field", "said"),
    [
        ({"Action": "Originate", "CallerID": "x\r\nAction: Command"}, "CallerID", "carriage return"),
        ({"Action": "Originate", "CallerID": "x\nCommand: core stop now"}, "CallerID", "line feed"),
        ({"Action": "Originate", "Variable": ["a=1", "b=\0"]}, "Variable", "NUL"),
        ({"Action": "Ping", "X\r\nY": "1"}, "'X\\r\\nY'", "not a header name"),
        ({"Action": "Ping", "X:": "1"}, "'X:'", "not a header name"),
        ({"Action": "Hangup", "Channel": "/^PJSIP/.*/"}, "Channel", "regular expression"),
        ({"Action": "Bridge", "Channel1": "par-1", "Channel2": "/x/"}, "Channel2", "regular expression"),
        ({"Action": "Setvar", "Value": "é" * 600}, "Value", "1207 bytes"),
        ({"Action": "Setvar", "Value": "\udc80"}, "Value", "Unicode"),
        ({"Action": "Originate", "Variable": ["a=b"] * 128}, "Originate", "129 header lines"),
        ({"Channel": "PJSIP/1001"}, "Action", "name"),
    ],
)
def test_actions_that_would_be_misread_are_refused_by_name(action: dict[str, str], field: str, said: str) -> None:
    with pytest.raises(FieldRefused, match=said) as refused:
        check_action(action)
    assert refused.value.field == field
    assert isinstance(refused.value, PbxRejected)


def test_what_asterisk_takes_is_let_through() -> None:
    check_action({"Action": "MixMonitor", "Channel": "par-1", "File": "/var/spool/x.wav"})
    check_action({"Action": "Setvar", "Value": "v" * (LINE_BYTES_MAX - len("Value: "))})
    check_action({"Action": "Originate", "Variable": ["a=b"] * 127})
