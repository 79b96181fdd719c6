"""Faults on demand, and the server as a process: what a client sees of each."""

import json

import pytest

from fake_asterisk.control import Control


def test_cut_resets_every_session_and_leaves_the_calls(rig):
    one, two = rig.login(), rig.login()
    rig.parked(one, "x", "PJSIP/100@trunk")
    assert rig.fake.faults.cut() == 2
    assert (one.transport.state, two.transport.state) == ("reset", "reset")
    assert rig.login().list("Status")[0]["Uniqueid"] == "x"


def test_originate_response_of_a_dead_session_comes_to_whoever_is_there(rig):
    client = rig.login()
    rig.originate(client, "x", "PJSIP/124@trunk", ActionID="from the dead")
    rig.run(1)
    rig.fake.faults.cut()
    after = rig.login()
    rig.run(6)
    assert after.events("OriginateResponse", Uniqueid="x")[0]["ActionID"] == "from the dead"


def test_half_open_neither_reads_nor_writes(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/110@trunk")
    client.forget()
    rig.fake.faults.half_open()
    client.send("Ping", wait=5)
    assert client.messages == [] and client.transport.state == "open"
    rig.fake.faults.half_open(False)
    rig.run(0)
    assert client.events("Hangup", Uniqueid="x") and not [m for m in client.messages if m[0][0] == "Response"]


def test_slow_delays_and_keeps_the_order(rig):
    client = rig.login()
    rig.fake.faults.slow(delay_s=0.5, bytes_per_s=10_000)
    first, second = client.send("Ping"), client.send("Ping")
    rig.run(0.9)
    assert not [m for m in client.messages if ("ActionID", first) in m]
    rig.run(0.3)
    order = [value for m in client.messages for name, value in m if name == "ActionID" and value in (first, second)]
    assert order == [first, second]


def test_a_lost_action_does_nothing_and_a_lost_response_is_still_done(rig):
    client = rig.login()
    rig.fake.faults.lose_next_action()
    rig.originate(client, "lost", "PJSIP/100@trunk")
    rig.fake.faults.lose_next_response()
    rig.originate(client, "done", "PJSIP/100@trunk")
    rig.run(1)
    assert not client.events(Uniqueid="lost") and client.events("AsyncAGIStart", Uniqueid="done")
    assert [m for m in client.messages if m[0][0] == "Response"][1:] == []
    assert rig.fake.faults.counts["actions lost"] == rig.fake.faults.counts["responses lost"] == 1


@pytest.mark.parametrize("kind", ["lose_every", "duplicate_every", "reorder_every"])
def test_disturbed_events(rig, make_rig, kind):
    def names(disturbance):
        rig = make_rig()
        client = rig.login()
        client.forget()
        rig.fake.faults.disturb_events(**disturbance)
        rig.parked(client, "x", "PJSIP/100@trunk")
        return [e["Event"] for e in client.events()]

    plain, disturbed = names({}), names({kind: 3})
    if kind == "lose_every":
        assert disturbed == [n for i, n in enumerate(plain, 1) if i % 3]
    elif kind == "duplicate_every":
        assert disturbed == [n for i, n in enumerate(plain, 1) for n in [n] * (1 + (i % 3 == 0))]
    else:
        assert disturbed != plain and disturbed[:2] == plain[:2] and disturbed[2:4] == [plain[3], plain[2]]


def test_an_event_kept_back_comes_after_the_next_though_the_fault_is_over(rig):
    """It was kept until the next disturbance, perhaps for ever."""
    client = rig.login()
    client.forget()
    for name, every in (("first", 1), ("second", 0), ("third", 0)):
        rig.fake.faults.disturb_events(reorder_every=every)
        client.ask("UserEvent", UserEvent=name)
    assert [event["UserEvent"] for event in client.events("UserEvent")] == ["second", "first", "third"]


def test_characters_are_cut_across_segments(rig):
    client = rig.login()
    rig.fake.faults.split_utf8 = True
    client.pieces.clear()
    client.ask("UserEvent", UserEvent="Ünï")
    assert client.events("UserEvent", UserEvent="Ünï")
    assert any(piece.endswith(b"\xc3") for piece in client.pieces)


def test_stop_now_hangs_up_tells_and_closes(rig):
    client = rig.login()
    rig.parked(client, "a", "PJSIP/1001")
    rig.parked(client, "c", "PJSIP/100@trunk")
    rig.agi(client, "a", "EXEC Bridge c", "b")
    rig.fake.power.command("core stop now")
    rig.run(0.1)
    assert {e["Uniqueid"] for e in client.events("Hangup")} == {"a", "c"}
    assert client.events("SoftHangupRequest")[0]["Cause"] == "4"
    rig.run(1.5)
    assert client.events("Shutdown")[0]["Restart"] == "False"
    assert client.transport.state == "closed" and not rig.connect().raw


def test_restart_comes_back_with_new_counters(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    rig.fake.power.command("core restart now")
    rig.run(1.3)
    assert client.events("Shutdown")[0]["Restart"] == "True"
    rig.run(0.6)
    after = rig.login()
    assert not after.events("FullyBooted")
    rig.run(0.6)
    assert after.events("FullyBooted")[0]["Uptime"] == "1"
    rig.parked(after, "y", "PJSIP/100@trunk")
    assert rig.fake.channel("y").name == "PJSIP/trunk-00000000"


def test_graceful_stop_refuses_actions_until_aborted(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    rig.fake.power.command("core stop gracefully")
    assert client.ask("Ping")["Message"] == "Asterisk is shutting down"
    rig.fake.power.command("core abort shutdown")
    assert client.ask("Ping")["Ping"] == "Pong"
    rig.fake.power.command("core stop gracefully")
    rig.fake.channel("x").far_end.say_goodbye()
    rig.run(3)
    assert client.events("Shutdown") and client.transport.state == "closed"


def test_kill_loses_everything_without_a_word(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    client.forget()
    rig.fake.power.command("kill")
    rig.run(1)
    assert client.messages == [] and client.transport.state == "reset" and not rig.fake.channels
    assert rig.fake.ledger.legs["x"].ended_at is not None


def test_boot_opens_the_port_before_it_is_ready(rig):
    rig.fake.power.command("boot")
    assert not rig.connect().raw
    rig.run(0.6)
    client = rig.login()
    assert not client.events("FullyBooted")
    rig.run(0.5)
    assert client.events("FullyBooted") and client.events("PeerStatus", Peer="PJSIP/1001")


def test_control_lines(rig):
    control, client = Control(rig.fake), rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    assert control.answer('{"do": "counts"}')["live"] == 1
    assert control.answer('{"do": "ledger"}')["originates"][0]["number"] == "100"
    assert control.answer('{"do": "hangup", "channel": "x"}') == {"ok": True}
    rig.run(0.1)
    assert client.events("Hangup", Uniqueid="x")
    for line in ("nonsense", '{"do": "fly"}', '{"do": "slow", "what": 1}', "{}"):
        assert control.answer(line)["ok"] is False
    assert control.answer('{"do": "cut"}') == {"ok": True, "sessions": 1}
    json.dumps(control.answer('{"do": "ledger"}'))
