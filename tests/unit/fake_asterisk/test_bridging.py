"""Every way to bring an agent and a customer together, and what is left when one of them goes."""

from urllib.parse import unquote

import pytest


def pair(rig, client, *, number="100"):
    rig.parked(client, "a", "PJSIP/1001")
    rig.parked(client, "c", f"PJSIP/{number}@trunk")


@pytest.mark.parametrize("ended", ["c", "a"])
def test_exec_bridge_on_the_agents_channel(rig, ended):
    client = rig.login()
    pair(rig, client)
    rig.agi(client, "a", "EXEC Bridge c", "b")
    assert sorted(e["Uniqueid"] for e in client.events("BridgeEnter")) == ["a", "c"]
    client.send("Hangup", Channel=ended, wait=0.1)
    assert client.events("Hangup", Uniqueid="c")
    assert bool(client.events("Hangup", Uniqueid="a")) is (ended == "a")
    if ended == "c":
        assert rig.agi(client, "a", "GET VARIABLE BRIDGERESULT") == "200 result=1 (SUCCESS)"


def test_exec_bridge_to_nobody(rig):
    client = rig.login()
    pair(rig, client)
    assert rig.agi(client, "a", "EXEC Bridge gone") == "200 result=0"
    assert rig.agi(client, "a", "GET VARIABLE BRIDGERESULT", "k2") == "200 result=1 (NONEXISTENT)"
    assert not client.events("BridgeEnter")


def test_ami_bridge_without_dialplan_ends_both(rig):
    client = rig.login()
    pair(rig, client)
    assert client.ask("Bridge", Channel1="c", Channel2="a")["Message"] == "Channels have been bridged"
    client.send("Hangup", Channel="c", wait=0.1)
    assert client.events("Hangup", Uniqueid="a") and client.events("Hangup", Uniqueid="c")


def test_ami_bridge_with_the_include_lets_each_go_on(rig):
    client = rig.login()
    place = {"Exten": "s", "Priority": "1"}
    rig.originate(client, "a", "PJSIP/1001", ("Variable", "__DIALER_AGENT=1001"), Context="cadran-agent", **place)
    rig.originate(client, "c", "PJSIP/100@trunk", ("Variable", "__DIALER_CALL=7"), Context="cadran-customer", **place)
    rig.run(1)
    assert client.events("UserEvent", UserEvent="DialerAnswered")[0]["Call"] == "7"
    client.send("Setvar", Channel="c", Variable="DIALER_BRIDGED", Value="1")
    client.send("Bridge", Channel1="c", Channel2="a", wait=1)
    client.send("Hangup", Channel="c", wait=0.1)
    assert len(client.events("UserEvent", UserEvent="DialerAgentReady")) == 2
    assert not client.events("UserEvent", UserEvent="DialerAbandoned")
    assert client.events("UserEvent", UserEvent="DialerHangup")[0]["Cause"] == "16"
    assert not client.events("Hangup", Uniqueid="a")


def test_hold_limit_is_kept_without_any_client(rig):
    client = rig.login()
    hold = ("Variable", "DIALER_HOLD=5")
    rig.originate(client, "c", "PJSIP/100@trunk", hold, Context="cadran-customer", Exten="s", Priority="1")
    rig.run(1)
    rig.fake.faults.cut()
    after = rig.login()
    rig.run(4.3)
    assert not after.events("Hangup")
    rig.run(0.5)
    assert after.events("UserEvent", UserEvent="DialerAbandoned") and after.events("Hangup", Uniqueid="c")


def test_take_over_frees_the_first_agent(rig):
    client = rig.login()
    pair(rig, client)
    rig.parked(client, "b", "PJSIP/1002")
    rig.agi(client, "a", "EXEC Bridge c", "first")
    rig.agi(client, "b", "EXEC Bridge c", "second")
    assert client.events("AsyncAGIExec", CommandId="first") and not client.events("Hangup")
    assert rig.fake.channel("c").bridge is rig.fake.channel("b").bridge


@pytest.mark.parametrize("action", ["BridgeKick", "BridgeDestroy"])
def test_kick_frees_the_agent_and_ends_the_customer(rig, action):
    client = rig.login()
    pair(rig, client)
    rig.agi(client, "a", "EXEC Bridge c", "b")
    bridge = rig.fake.channel("a").bridge.uniqueid
    headers = {"Channel": "a"} if action == "BridgeKick" else {"BridgeUniqueid": bridge}
    client.send(action, **headers)
    rig.run(0.1)
    assert client.events("AsyncAGIExec", CommandId="b") and client.events("Hangup", Uniqueid="c")
    assert client.events("BridgeDestroy") and not client.events("Hangup", Uniqueid="a")


def test_bridge_right_after_a_hangup(rig):
    client = rig.login()
    pair(rig, client)
    client.send_raw(
        b"Action: Hangup\r\nChannel: c\r\n\r\nAction: Bridge\r\nActionID: late\r\nChannel1: c\r\nChannel2: a\r\n\r\n"
    )
    assert client.response("late")["Message"].startswith("Unable to add Channel1 to bridge: PJSIP/trunk-")
    assert not rig.fake.channel("a").hung


def test_redirect_of_one_bridged_leg_drops_the_other(rig):
    client = rig.login()
    pair(rig, client)
    client.send("Bridge", Channel1="c", Channel2="a", wait=0.2)
    client.send("Redirect", Channel="c", Context="cadran-agent", Exten="s", Priority="1", wait=0.2)
    assert client.events("Hangup", Uniqueid="a") and client.events(
        "UserEvent", UserEvent="DialerAgentReady", Uniqueid="c"
    )


def test_dual_redirect_moves_both(rig):
    client = rig.login()
    pair(rig, client)
    client.send("Bridge", Channel1="c", Channel2="a", wait=0.2)
    place = {"Context": "cadran-agent", "Exten": "s", "Priority": "1"}
    extra = {f"Extra{name}": value for name, value in place.items()}
    client.send("Redirect", Channel="c", ExtraChannel="a", wait=0.2, **place, **extra)
    ready = [e["Uniqueid"] for e in client.events("UserEvent", UserEvent="DialerAgentReady")]
    assert sorted(ready) == ["a", "c"] and not client.events("Hangup")


def test_redirect_out_of_asyncagi_has_no_end_event(rig):
    client = rig.login()
    pair(rig, client)
    client.send("Redirect", Channel="c", Context="cadran-agent", Exten="s", Priority="1", wait=0.2)
    assert client.events("UserEvent", Uniqueid="c") and not client.events("AsyncAGIEnd")


def test_redirect_of_an_agent_inside_exec_bridge_hangs_it_up(rig):
    client = rig.login()
    pair(rig, client)
    rig.agi(client, "a", "EXEC Bridge c", "b")
    client.send("Redirect", Channel="a", Context="cadran-agent", Exten="s", Priority="1", wait=0.2)
    assert client.events("Hangup", Uniqueid="a") and not client.events("UserEvent")


def test_blind_transfer_sends_the_customer_and_frees_the_agent(rig):
    client = rig.login()
    pair(rig, client)
    rig.agi(client, "a", "EXEC Bridge c", "b")
    client.send("BlindTransfer", Channel="a", Context="from-agent", Exten="1002", wait=1)
    assert client.events("BlindTransfer")[0]["TransfereeUniqueid"] == "c"
    assert client.events("AsyncAGIExec", CommandId="b")
    assert {c.device for c in rig.fake.channel("c").bridge.channels} == {"PJSIP/trunk", "PJSIP/1002"}


@pytest.mark.parametrize(("options", "result"), [("20,gm", "200 result=0"), ("20", "200 result=-1")])
def test_dial_on_demand_leaves_the_customer_parked(rig, options, result):
    client = rig.login()
    rig.parked(client, "c", "PJSIP/100@trunk")
    rig.agi(client, "c", f"EXEC Dial PJSIP/1001,{options}", "d", wait=1)
    (agent,) = [c for c in rig.fake.channels.values() if c.uniqueid != "c"]
    client.send("Hangup", Channel=agent.name, wait=0.3)
    assert unquote(client.events("AsyncAGIExec", CommandId="d")[0]["Result"]).strip() == result
    assert rig.agi(client, "c", "NOOP", "still parked") == "200 result=0"


@pytest.mark.parametrize(
    ("device", "status"), [("PJSIP/1008", "BUSY"), ("PJSIP/1009", "CHANUNAVAIL"), ("PJSIP/1006", "NOANSWER")]
)
def test_dial_status(rig, device, status):
    client = rig.login()
    rig.parked(client, "c", "PJSIP/100@trunk")
    rig.agi(client, "c", f"EXEC Dial {device},2,g", "d", wait=3)
    assert rig.agi(client, "c", "GET VARIABLE DIALSTATUS") == f"200 result=1 ({status})"


def test_dial_several_takes_the_first_to_answer(rig):
    client = rig.login()
    rig.parked(client, "c", "PJSIP/100@trunk")
    rig.agi(client, "c", "EXEC Dial PJSIP/1006&PJSIP/1002,20,g", "d", wait=1)
    assert {c.device for c in rig.fake.channels.values()} == {"PJSIP/trunk", "PJSIP/1002"}
    assert [e["DialStatus"] for e in client.events("DialEnd", Uniqueid="c")] == ["CANCEL", "ANSWER"]


@pytest.mark.parametrize(
    ("number", "options", "optimised"), [("120", "", True), ("120", "/n", False), ("123", "", False)]
)
def test_local_pair_optimises_itself_away_only_with_sound_and_without_n(rig, number, options, optimised):
    client = rig.login()
    rig.parked(client, "a", "PJSIP/1001")
    rig.parked(client, "l", f"Local/{number}@route{options}")
    rig.agi(client, "a", "EXEC Bridge l", "b", wait=1)
    assert bool(client.events("LocalOptimizationEnd")) is optimised
    assert bool(client.events("Hangup", Uniqueid="l")) is optimised
    assert not client.events("Hangup", Uniqueid="a") and len(rig.fake.channel("a").bridge.channels) == 2


def test_linkedid_follows_the_elder(rig):
    client = rig.login()
    pair(rig, client)
    rig.agi(client, "a", "EXEC Bridge c", "b")
    assert rig.fake.channel("c").linkedid == "a"


def test_absolute_timeout_ends_a_parked_and_a_bridged_channel(rig):
    client = rig.login()
    pair(rig, client)
    rig.parked(client, "p", "PJSIP/100@trunk")
    rig.agi(client, "a", "EXEC Bridge c", "b")
    assert client.ask("AbsoluteTimeout", Channel="c", Timeout="0")["Response"] == "Error"
    for name in ("c", "p"):
        assert client.ask("AbsoluteTimeout", Channel=name, Timeout="2")["Message"] == "Timeout Set"
    rig.run(1.9)
    assert not client.events("Hangup")
    rig.run(0.2)
    assert {e["Uniqueid"] for e in client.events("Hangup")} == {"c", "p"}


def test_conference_music_for_whoever_is_alone(rig):
    client = rig.login()
    music = [("Variable", "CONFBRIDGE(user,music_on_hold_when_empty)=yes")]
    rig.originate(client, "a", "PJSIP/1001", *music, Application="ConfBridge", Data="room")
    rig.run(1)
    rig.originate(client, "c", "PJSIP/110@trunk", Application="ConfBridge", Data="room")
    rig.run(1)
    assert len(client.list("ConfbridgeList", Conference="room")) == 2
    rig.run(2)
    assert [n for n in client.names("a") if n.startswith("Music")] == [
        "MusicOnHoldStart",
        "MusicOnHoldStop",
        "MusicOnHoldStart",
    ]
    assert client.events("ConfbridgeLeave", Uniqueid="c")


def test_spy_leaves_with_whom_it_hears(rig):
    client = rig.login()
    pair(rig, client, number="121")
    rig.agi(client, "a", "EXEC Bridge c", "b")
    rig.originate(client, "s", "PJSIP/1003", Application="ChanSpy", Data=f"{rig.fake.channel('a').name},qE")
    rig.run(1)
    assert client.events("ChanSpyStart", SpyeeUniqueid="a")
    client.send("Hangup", Channel="a", wait=0.5)
    assert client.events("ChanSpyStop") and client.events("Hangup", Uniqueid="s")


def test_recording_and_muting(rig):
    client = rig.login()
    pair(rig, client)
    answer = client.ask("MixMonitor", Channel="c", File="x.wav", Options="i(ID)")
    assert answer["MixMonitorID"] == client.ask("Getvar", Channel="c", Variable="ID")["Value"]
    assert client.ask("MixMonitorMute", Channel="c", State="1")["Message"].startswith("No direction specified")
    assert client.ask("StopMixMonitor", Channel="c")["Response"] == "Success"
    assert client.events("MixMonitorStart") and client.events("MixMonitorStop")


def test_status_tells_what_each_channel_does(rig):
    client = rig.login()
    pair(rig, client)
    rig.parked(client, "p", "PJSIP/100@trunk", Variable="__DIALER_CALL=9")
    rig.agi(client, "a", "EXEC Bridge c", "b")
    status = {e["Uniqueid"]: e for e in client.list("Status", Variables="DIALER_CALL")}
    assert [status[u]["Application"] for u in "acp"] == ["Bridge", "(null)", "AGI"]
    assert status["a"]["BridgeID"] == status["c"]["BridgeID"] != "" == status["p"]["BridgeID"]
    assert status["p"]["Variable"] == "DIALER_CALL=9" and status["a"]["Variable"] == "DIALER_CALL=(null)"


def test_device_states(rig):
    client = rig.login()
    read = lambda: client.ask("Getvar", Variable="DEVICE_STATE(PJSIP/1001)")["Value"]  # noqa: E731
    assert read() == "NOT_INUSE"
    rig.originate(client, "a", "PJSIP/1001")
    rig.run(0.1)
    assert read() == "RINGING"
    rig.run(1)
    assert read() == "INUSE"
    states = {e["Device"]: e["State"] for e in client.list("DeviceStateList")}
    assert states["PJSIP/1001"] == "INUSE" and states["PJSIP/1009"] == "UNAVAILABLE"
