"""Originate: every way it can end, and what it carries."""

import pytest

from fake_asterisk import people

FAILURES = [  # number, DialStatus, cause, SIP status
    ("103", "BUSY", "17", "486"),
    ("119", "BUSY", "17", "600"),
    ("107", "CONGESTION", "34", "503"),
    ("104", "NOANSWER", "1", "404"),
    ("105", "NOANSWER", "21", "403"),
    ("108", "NOANSWER", "21", "603"),
    ("106", "NOANSWER", "19", "480"),
    ("113", "NOANSWER", "28", "484"),
    ("117", "NOANSWER", "22", "410"),
    ("112", "NOANSWER", "58", "488"),
    ("114", "NOANSWER", "18", "408"),
    ("115", "NOANSWER", "38", "500"),
    ("118", "NOANSWER", "27", "502"),
    ("111", "NOANSWER", "1", "404"),
]


@pytest.mark.parametrize(("number", "status", "cause", "sip"), FAILURES)
def test_refused_by_the_far_end(rig, number, status, cause, sip):
    client = rig.login()
    rig.originate(client, "x", f"PJSIP/{number}@trunk")
    rig.run(3)
    assert [e["DialStatus"] for e in client.events("DialEnd", DestUniqueid="x")] == [status]
    (end,) = client.events("Hangup", Uniqueid="x")
    assert (end["Cause"], end["TechCause"]) == (cause, sip)
    (told,) = client.events("OriginateResponse", Uniqueid="x")
    assert (told["Response"], told["Reason"]) == ("Failure", "0")
    assert not rig.fake.channels


@pytest.mark.parametrize(("number", "state"), [("102", "5"), ("116", "0")])
def test_our_timeout_has_no_dial_end(rig, number, state):
    client = rig.login()
    rig.originate(client, "x", f"PJSIP/{number}@trunk", Timeout="3000")
    rig.run(4)
    assert not client.events("DialEnd")
    assert client.events("OriginateResponse", Uniqueid="x")[0]["Reason"] == "3"
    (end,) = client.events("Hangup", Uniqueid="x")
    assert (end["Cause"], end["TechCause"], end["ChannelState"]) == ("19", "480", state)


def test_silence_outlasting_the_sip_timer_is_408(rig):
    client = rig.login()
    rig.originate(client, "x", "PJSIP/116@trunk", Timeout="60000")
    rig.run(31.9)
    assert not client.events("Hangup")
    rig.run(0.3)
    assert client.events("Hangup", Uniqueid="x")[0]["Cause"] == "18"


@pytest.mark.parametrize("channel", ["PJSIP/1009", "PJSIP/nobody", "NoTech/1", "PJSIP/1001&PJSIP/1002"])
def test_without_a_channel_there_is_only_the_response(rig, channel):
    client = rig.login()
    client.forget()
    rig.originate(client, "x", channel)
    rig.run(1)
    assert [e["Event"] for e in client.events()] == ["OriginateResponse"]
    told = client.events()[0]
    assert (told["Response"], told["Reason"], told["Uniqueid"]) == ("Failure", "0", "x")
    assert told["Channel"] == channel


def test_a_live_id_cannot_be_used_twice(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    rig.originate(client, "x", "PJSIP/101@trunk")
    rig.run(1)
    assert [e["Response"] for e in client.events("OriginateResponse", Uniqueid="x")] == ["Success", "Failure"]
    assert len(client.events("Newchannel", Uniqueid="x")) == 1


def test_answered_in_the_order_of_asterisk(rig):
    client = rig.login()
    client.forget()
    rig.originate(client, "x", "PJSIP/100@trunk", ("Variable", "A=1"), ("Variable", "__B=2"))
    rig.run(1)
    names = [n for n in client.names("x") if n != "DeviceStateChange"]
    assert names[:7] == ["Newchannel", "Newexten", "VarSet", "VarSet", "NewCallerid", "NewConnectedLine", "DialBegin"]
    assert set(names[-4:]) == {"Newstate", "DialEnd", "OriginateResponse", "AsyncAGIStart"}


def test_hangup_while_it_rings_carries_our_cause(rig):
    client = rig.login()
    rig.originate(client, "x", "PJSIP/102@trunk")
    rig.originate(client, "y", "PJSIP/102@trunk")
    rig.run(1)
    client.send("Hangup", Channel="x")
    client.send("Hangup", Channel="y", Cause="17", wait=0.1)
    assert client.events("Hangup", Uniqueid="x")[0]["Cause"] == "0"
    assert client.events("DialEnd", DestUniqueid="x")[0]["DialStatus"] == "NOANSWER"
    assert client.events("Hangup", Uniqueid="y")[0]["Cause"] == "17"
    assert client.events("DialEnd", DestUniqueid="y")[0]["DialStatus"] == "BUSY"


def test_goodbye_while_parked_has_cause_0_and_while_bridged_16(rig):
    client = rig.login()
    rig.parked(client, "a", "PJSIP/1001")
    rig.parked(client, "c", "PJSIP/110@trunk")
    rig.parked(client, "d", "PJSIP/110@trunk")
    rig.agi(client, "a", "EXEC Bridge d")
    rig.run(3)
    assert client.events("Hangup", Uniqueid="c")[0]["Cause"] == "0"
    assert client.events("Hangup", Uniqueid="d")[0]["Cause"] == "16"


def test_unknown_application_is_dialled_answered_and_hung_up(rig):
    client = rig.login()
    rig.originate(client, "x", "PJSIP/101@trunk", Application="NoSuch", Data="1")
    rig.run(1)
    assert client.events("OriginateResponse", Uniqueid="x")[0]["Response"] == "Success"
    assert client.events("Hangup", Uniqueid="x")[0]["Cause"] == "0"


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Application": "AGI", "Data": "agi:async"}, "Originate Access Forbidden: app or data blacklisted"),
        ({"Application": "TryExec", "Data": "x"}, "Originate Access Forbidden: app or data blacklisted"),
        ({"Application": "Wait", "Data": "SHELL(ls)"}, "Originate Access Forbidden: app or data blacklisted"),
        ({"Application": "Wait", "Data": "1"}, "Originate successfully queued"),
        ({"Context": "nosuch", "Exten": "s", "Priority": "1"}, "Extension does not exist."),
        ({"Application": "Wait", "Timeout": "abc"}, "Invalid timeout"),
        ({"Application": "Wait", "ChannelId": "x" * 150}, "Uniqueid length exceeds maximum of 149"),
    ],
)
def test_what_a_user_without_system_may_originate(rig, headers, text):
    answer = rig.login("basic").ask("Originate", Channel="PJSIP/101@trunk", Async="true", **headers)
    assert answer["Message"] == text


def test_variables_are_inherited_by_what_the_call_makes(rig):
    client = rig.login()
    headers = [("Variable", "__EVERY=1"), ("Variable", "_ONCE=2"), ("Variable", "OWN=3")]
    rig.originate(client, "x", "Local/100@route/n", *headers, OtherChannelId="xb")
    rig.run(1)
    (trunk,) = [c for c in rig.fake.channels.values() if c.uniqueid not in ("x", "xb")]
    assert trunk.linkedid == "x"
    assert trunk.get_variable("EVERY") == "1" and trunk.get_variable("OWN") is None
    assert client.ask("Getvar", Channel="xb", Variable="OWN")["Value"] == "3"


def test_function_and_account_reach_the_channel(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk", Account="camp-7", Variable="CHANNEL(userfield)=0612345678")
    assert client.ask("Getvar", Channel="x", Variable="CHANNEL(userfield)")["Value"] == "0612345678"
    assert client.events("NewAccountCode", Uniqueid="x")[0]["AccountCode"] == "camp-7"
    assert not client.events("VarSet", Variable="CHANNEL(userfield)")


def test_early_media_counts_an_announcement_as_an_answer(rig):
    client = rig.login()
    place = {"Context": "cadran-agent", "Exten": "s", "Priority": "1"}
    rig.originate(client, "x", "PJSIP/111@trunk", EarlyMedia="true", **place)
    rig.originate(client, "y", "PJSIP/111@trunk", **place)
    rig.run(3)
    assert client.events("OriginateResponse", Uniqueid="x")[0]["Response"] == "Success"
    assert client.events("OriginateResponse", Uniqueid="y")[0]["Response"] == "Failure"
    assert not rig.fake.channels


def test_busy_through_a_route_tells_the_cause_on_both_halves(rig):
    client = rig.login()
    rig.originate(client, "x", "Local/103@route", OtherChannelId="xb")
    rig.run(1)
    assert client.events("Hangup", Uniqueid="x")[0]["Cause"] == "17"
    assert "TechCause" not in client.events("Hangup", Uniqueid="x")[0]
    (trunk,) = [e for e in client.events("Hangup") if e["Uniqueid"] not in ("x", "xb")]
    assert trunk["TechCause"] == "486"
    assert client.names("x").index("Hangup") < len(client.names("x")) - 1 - client.names("x")[::-1].index("NewCallerid")


def test_ring_timeout_through_a_route_ends_three_channels_with_19(rig):
    client = rig.login()
    rig.originate(client, "x", "Local/102@route/n", OtherChannelId="xb", Timeout="2000")
    rig.run(3)
    assert [e["Cause"] for e in client.events("Hangup")] == ["19", "19", "19"]
    assert client.events("OriginateResponse", Uniqueid="x")[0]["Reason"] == "3"


@pytest.mark.feature("S100-08", clause="the route's pattern _0. takes national numbers and refuses +33...")
@pytest.mark.parametrize(("number", "dialled"), [("0612345678", True), ("+33612345678", False), ("612345678", False)])
def test_outbound_route_wants_a_leading_zero(make_rig, number, dialled):
    rig = make_rig(people.config(people=people.People(answer_chance=1.0, machine_share=0.0)))
    client = rig.login()
    rig.originate(client, "x", f"Local/{number}@Sortant_General/n", Timeout="60000")
    rig.run(0.5)
    assert [e["Response"] for e in client.events("OriginateResponse", Uniqueid="x")] == ([] if dialled else ["Failure"])
    assert bool(client.events("DialBegin", DialString=f"{number}@trunk")) is dialled
