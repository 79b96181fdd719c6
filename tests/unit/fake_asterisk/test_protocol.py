"""The AMI session: login, rights, masks, limits of requests, order of answers."""

import hashlib

import pytest

from fake_asterisk import lab


def test_greeting_is_one_line(rig):
    assert rig.connect().raw == b"Asterisk Call Manager/11.0.0\r\n"


def test_md5_login(rig):
    client = rig.connect()
    challenge = client.ask("Challenge", AuthType="MD5")["Challenge"]
    key = hashlib.md5((challenge + lab.SECRET).encode()).hexdigest()
    answer = client.ask("Login", AuthType="MD5", Username="dialer", Key=key)
    assert answer["Message"] == "Authentication accepted"


def test_md5_key_of_another_challenge_is_refused(rig):
    client = rig.connect()
    client.ask("Challenge", AuthType="MD5")
    key = hashlib.md5(("1" + lab.SECRET).encode()).hexdigest()
    action_id = client.send("Login", AuthType="MD5", Username="dialer", Key=key, wait=2.0)
    assert client.response(action_id)["Message"] == "Authentication failed"


def test_wrong_secret_is_answered_after_a_second_and_closed(rig):
    client = rig.connect()
    action_id = client.send("Login", Username="dialer", Secret="wrong", wait=0.9)
    assert client.messages == []
    rig.run(0.2)
    assert client.response(action_id)["Response"] == "Error"
    assert client.transport.state == "closed"


def test_before_login_actions_are_refused_without_closing(rig):
    client = rig.connect()
    assert client.ask("Ping")["Message"] == "Permission denied"
    assert client.transport.state == "open"


def test_fully_booted_follows_for_readers_of_system_only(rig):
    assert rig.login("dialer").events("FullyBooted")
    assert not rig.login("limited").events("FullyBooted")
    assert not rig.login("dialer", Events="call").events("FullyBooted")


@pytest.mark.parametrize(("mask", "state"), [("on", "On"), ("off", "Off"), ("call,user", "On"), ("nosuchclass", "Off")])
def test_event_mask(rig, mask, state):
    assert rig.login().ask("Events", EventMask=mask)["Events"] == state


def test_masked_classes_are_not_sent(rig):
    everything, calls = rig.login(), rig.login(Events="call")
    rig.parked(everything, "x", "PJSIP/100@trunk")
    assert everything.events("AsyncAGIStart") and everything.events("Newexten")
    assert calls.events("Newstate") and not calls.events("AsyncAGIStart") and not calls.events("Newexten")


def test_user_filters_leave_out_events(rig):
    plain, filtered = rig.login("dialer"), rig.login("filtered")
    rig.originate(plain, "x", "PJSIP/100@trunk", ("Variable", "A=1"))
    rig.run(1)
    assert plain.events("VarSet", Variable="A")
    assert not filtered.events("VarSet") and not filtered.events("Newexten") and filtered.events("Newstate")


def test_filter_added_at_run_time(rig):
    client = rig.login()
    assert client.ask("Filter", Operation="Add", Filter="!Event: UserEvent")["Response"] == "Success"
    client.ask("UserEvent", UserEvent="Hidden")
    assert not client.events("UserEvent")


def test_list_commands_shows_only_what_the_user_may_run(rig):
    few, all_ = rig.login("basic").ask("ListCommands"), rig.login("dialer").ask("ListCommands")
    assert all_["AGI"].endswith("(Priv: agi,all)") and "MixMonitor" in all_
    assert "AGI" not in few and "MixMonitor" not in few and "Originate" in few and "Bridge" in few


@pytest.mark.parametrize(("content", "errors"), [(1022, 0), (1023, 2), (1024, 1), (3000, 1)])
def test_line_limit(rig, content, errors):
    client = rig.login()
    client.forget()
    line = "L: " + "x" * (content - 3)
    client.send_raw(f"Action: Ping\r\nActionID: p\r\n{line}\r\n\r\n".encode())
    refused = [m for m in client.messages if ("Response", "Error") in m]
    assert len(refused) == errors
    assert ("Ping", "Pong") in client.messages[-1] if not errors else ("ActionID", "p") in refused[0]


def test_line_limit_does_not_depend_on_how_the_bytes_arrive(rig):
    client = rig.login()
    client.forget()
    for byte in b"Action: Ping\r\nActionID: p\r\nL: " + b"x" * 2000 + b"\r\n\r\n":
        client.send_raw(bytes([byte]))
    assert [dict(m).get("Message") for m in client.messages] == ["Failed to parse message: line too long"]


@pytest.mark.parametrize(("headers", "fine"), [(126, True), (127, False)])
def test_header_limit(rig, headers, fine):
    client = rig.login()
    answer = client.ask("Ping", *[(f"H{n}", "x") for n in range(headers)])
    assert (answer["Response"] == "Success") is fine


def test_nul_cuts_a_line_and_the_first_header_counts(rig):
    client = rig.login()
    client.send_raw(b"Action: Ping\0rest\nActionID: one\nActionID: two\n\n")
    assert client.response("one")["Ping"] == "Pong"


def test_trailing_blank_belongs_to_the_action(rig):
    answer = rig.login().ask("ping ")
    assert answer["Message"].startswith("Invalid/unknown command: ping . Use")


def test_line_feed_in_a_value_makes_a_header(rig):
    client = rig.login()
    client.send_raw(b"Action: UserEvent\r\nUserEvent: T\r\nA: 1\nInjected: yes\r\n\r\n")
    assert client.events("UserEvent", Injected="yes")


def test_bytes_that_are_no_utf8_pass_unchanged(rig):
    client = rig.login()
    client.send_raw(b"Action: UserEvent\r\nUserEvent: T\r\nName: caf\xe9 \xe6\x97\xa5\r\n\r\n")
    assert b"Name: caf\xe9 \xe6\x97\xa5\r\n" in client.raw


def test_silent_connection_is_closed_after_the_authentication_timeout(rig):
    client = rig.connect()
    rig.run(29)
    assert client.transport.state == "open"
    rig.run(2)
    assert client.transport.state == "closed"


def test_too_many_unauthenticated_connections_get_no_greeting(rig):
    clients = [rig.connect() for _ in range(51)]
    assert clients[49].raw and not clients[50].raw and clients[50].transport.state == "closed"


def test_synchronous_originate_blocks_the_session_alone(rig):
    client, other = rig.login(), rig.login()
    client.forget()
    slow = client.send("Originate", Channel="PJSIP/100@trunk", Application="Wait", Data="1")
    ping = client.send("Ping")
    rig.run(0.3)
    assert client.messages == [] and other.ask("Ping")["Ping"] == "Pong"
    rig.run(1)
    assert client.messages[0][:2] == [("Response", "Success"), ("ActionID", slow)]
    assert client.response(ping)["Ping"] == "Pong" and client.events("Newchannel")
    assert not client.events("OriginateResponse")


def test_synchronous_originate_that_fails(rig):
    client = rig.login()
    action_id = client.send("Originate", Channel="PJSIP/103@trunk", Application="Wait", Data="1", wait=1)
    assert client.response(action_id)["Message"] == "Originate failed"


def test_logoff(rig):
    client = rig.login()
    assert client.ask("Logoff")["Response"] == "Goodbye"
    assert client.transport.state == "closed" and not rig.fake.sessions


def test_addresses_outside_the_permit_list_are_closed_before_the_greeting(make_rig):
    config = lab.config()
    config.permit = ("192.0.2.1",)
    rig = make_rig(config)
    assert rig.connect("192.0.2.1").raw
    refused = rig.connect("192.0.2.9")
    assert refused.raw == b"" and refused.transport.state == "closed"


def test_empty_lists_begin_and_end(rig):
    client = rig.login()
    for action, end in (("CoreShowChannels", "CoreShowChannelsComplete"), ("QueueStatus", "QueueStatusComplete")):
        assert client.ask(action)["EventList"] == "start"
        assert client.events(end)[-1]["ListItems"] == "0"
    assert client.ask("ConfbridgeListRooms")["Response"] == "Error"


def test_hangup_by_expression(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    rig.parked(client, "y", "PJSIP/1001")
    action_id = client.send("Hangup", Channel="/^PJSIP.trunk/", wait=0.1)
    assert client.response(action_id)["EventList"] == "start"
    assert client.events("Hangup", Uniqueid="x") and not client.events("Hangup", Uniqueid="y")


def test_a_reader_who_stops_reading_is_cut_off(rig):
    client, other = rig.login("dialer"), rig.login("capture")
    for slow in (client, other):
        slow.protocol.pause_writing()
    rig.run(0.2)
    assert (client.transport.state, other.transport.state) == ("open", "reset")
    client.protocol.resume_writing()
    rig.run(10)
    assert client.transport.state == "open"
