"""AsyncAGI: the tick, the queue, what ends it, and the command that cannot be withdrawn."""


def test_a_command_waits_for_the_tick_of_a_silent_line(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    rig.run(0.033)
    client.send("AGI", Channel="x", Command="NOOP", CommandID="k")
    asked_at = rig.loop.time()
    while not client.events("AsyncAGIExec"):
        rig.run(0.005)
        assert rig.loop.time() - asked_at < 0.11
    assert rig.loop.time() - asked_at > 0.02


def test_sound_makes_the_tick_short(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/121@trunk")
    rig.run(0.013)
    client.send("AGI", Channel="x", Command="NOOP", CommandID="k")
    rig.run(0.021)
    assert client.events("AsyncAGIExec", CommandId="k")


def test_commands_run_in_order_one_behind_the_other(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    for name in ("first", "second", "third"):
        client.send("AGI", Channel="x", Command="EXEC Playback dialer-1s", CommandID=name)
    rig.run(1.5)
    assert [e["CommandId"] for e in client.events("AsyncAGIExec")] == ["first"]
    rig.run(2)
    assert [e["CommandId"] for e in client.events("AsyncAGIExec")] == ["first", "second", "third"]


def test_results(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk", Variable="NAME=value")
    results = {
        "GET VARIABLE NAME": "200 result=1 (value)",
        "GET VARIABLE NONE": "200 result=0",
        "EXEC NoSuchApp": "200 result=-2",
        "BOGUS": "510 Invalid or unknown command",
        "SET VARIABLE A b": "200 result=1",
        "EXEC Set C=${NAME}": "200 result=0",
        "GET VARIABLE C": "200 result=1 (${NAME})",
        "EXEC Playback nosuchfile": "200 result=0",
        "GET VARIABLE PLAYBACKSTATUS": "200 result=1 (FAILED)",
    }
    for n, (command, result) in enumerate(results.items()):
        assert rig.agi(client, "x", command, f"k{n}") == result, command


def test_hangup_during_a_message_says_minus_one_although_the_status_is_success(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    rig.agi(client, "x", "EXEC Playback dialer-3s", "p")
    client.send("Hangup", Channel="x", wait=0.1)
    assert client.events("AsyncAGIExec", CommandId="p")[0]["Result"] == "200%20result%3D-1%0A"
    assert client.events("VarSet", Variable="PLAYBACKSTATUS")[0]["Value"] == "SUCCESS"
    assert client.names("x")[-1] == "Hangup" and client.events("AsyncAGIEnd", Uniqueid="x")


def test_break_ends_a_channel_that_has_nothing_else(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    assert rig.agi(client, "x", "ASYNCAGI BREAK") == "200 result=0"
    assert client.events("VarSet", Variable="AGISTATUS")[0]["Value"] == "SUCCESS"
    assert client.events("Hangup", Uniqueid="x")


def test_answering_machine_detection(rig):
    client = rig.login()
    for uniqueid, number, status in (("h", "120", "HUMAN"), ("m", "121", "MACHINE"), ("s", "123", "NOTSURE")):
        rig.originate(client, uniqueid, f"PJSIP/{number}@trunk")
        rig.run(0.4)
        rig.agi(client, uniqueid, "EXEC AMD", "amd", wait=6)
        assert client.events("VarSet", Uniqueid=uniqueid, Variable="AMDSTATUS")[0]["Value"] == status


def test_music_stops_when_a_message_begins(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    rig.agi(client, "x", "SET MUSIC ON default", "m")
    rig.agi(client, "x", "EXEC Playback dialer-1s", "p")
    names = client.names("x")
    assert names.index("MusicOnHoldStart") < names.index("MusicOnHoldStop")


def test_a_channel_taken_by_ami_bridge_accepts_commands_and_never_runs_them(rig):
    client = rig.login()
    rig.parked(client, "a", "PJSIP/1001")
    rig.parked(client, "c", "PJSIP/100@trunk")
    client.send("Bridge", Channel1="c", Channel2="a", wait=0.1)
    answer = client.ask("AGI", Channel="c", Command="NOOP", CommandID="never")
    rig.run(5)
    assert answer["Message"] == "Added AGI command to queue"
    assert not client.events("AsyncAGIExec") and not client.events("AsyncAGIEnd")


def test_a_stale_bridge_command_takes_the_customer_out_of_a_conversation(rig):
    client = rig.login()
    for uniqueid, channel in (
        ("a1", "PJSIP/1001"),
        ("a2", "PJSIP/1002"),
        ("c1", "PJSIP/100@trunk"),
        ("c2", "PJSIP/100@trunk"),
    ):
        rig.parked(client, uniqueid, channel)
    rig.agi(client, "a1", "EXEC Bridge c1", "b1")
    rig.agi(client, "a1", "EXEC Bridge c2", "stale")
    rig.agi(client, "a2", "EXEC Bridge c2", "b2")
    rig.agi(client, "a1", "ASYNCAGI BREAK", "too late")
    assert {c.uniqueid for c in rig.fake.channel("c2").bridge.channels} == {"a2", "c2"}
    client.send("Hangup", Channel="c1", wait=0.1)
    assert {c.uniqueid for c in rig.fake.channel("c2").bridge.channels} == {"a1", "c2"}
    assert client.events("AsyncAGIExec", CommandId="b2") and not client.events("Hangup", Uniqueid="c2")


def test_the_end_of_the_agents_channel_drops_its_queue(rig):
    client = rig.login()
    for uniqueid, channel in (("a", "PJSIP/1001"), ("c1", "PJSIP/100@trunk"), ("c2", "PJSIP/100@trunk")):
        rig.parked(client, uniqueid, channel)
    rig.agi(client, "a", "EXEC Bridge c1", "b1")
    rig.agi(client, "a", "EXEC Bridge c2", "stale")
    client.send("Hangup", Channel="a", wait=1)
    assert client.events("Hangup", Uniqueid="a") and client.events("Hangup", Uniqueid="c1")
    assert rig.fake.channel("c2").application == "AGI"
    assert rig.agi(client, "c2", "NOOP", "still there") == "200 result=0"


def test_queue_survives_the_connection(rig):
    client = rig.login()
    rig.parked(client, "x", "PJSIP/100@trunk")
    client.send("AGI", Channel="x", Command="EXEC Playback dialer-1s", CommandID="k1")
    client.send("AGI", Channel="x", Command="NOOP", CommandID="k2")
    rig.fake.faults.cut()
    after = rig.login()
    rig.run(2)
    assert [e["CommandId"] for e in after.events("AsyncAGIExec")] == ["k1", "k2"]
