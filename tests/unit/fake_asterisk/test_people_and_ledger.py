"""People by seed, and the fake's own record of what happened."""

import random

import pytest

from fake_asterisk import Behaviour, people
from fake_asterisk.people import People


def day(make_rig, seed):
    crowd = People(answer_chance=0.5, ring_mean_s=4.0, talk_mean_s=8.0)
    rig = make_rig(people.config(agents=3, people=crowd), seed=seed)
    client = rig.login()
    for n in range(3):
        rig.originate(client, f"a{n}", f"PJSIP/{1001 + n}")
    rig.run(4)
    for n in range(40):
        rig.originate(client, f"c{n}", f"PJSIP/06{n:08d}@trunk", Timeout="20000")
        rig.run(0.5)
        parked = [c for c in rig.fake.channels.values() if c.application == "AGI"]
        idle = next((c for c in parked if c.uniqueid.startswith("a")), None)
        waiting = next((c for c in parked if c.uniqueid.startswith("c")), None)
        if idle and waiting:
            client.send("AGI", Channel=idle.name, Command=f"EXEC Bridge {waiting.uniqueid}", CommandID="b")
    rig.run(300)
    return rig, client


def test_one_seed_is_one_run(make_rig):
    (_, one), (_, same), (_, other) = (day(make_rig, seed) for seed in (5, 5, 6))
    assert one.raw == same.raw
    assert one.raw != other.raw


def test_the_ledger_agrees_with_what_the_client_saw(make_rig):
    rig, client = day(make_rig, 9)
    ledger = rig.fake.ledger
    customers = {u: leg for u, leg in ledger.legs.items() if u.startswith("c")}
    assert len(customers) == 40 == len({e["Uniqueid"] for e in client.events("Newchannel") if e["Uniqueid"][0] == "c"})
    for uniqueid, leg in customers.items():
        (end,) = client.events("Hangup", Uniqueid=uniqueid)
        assert str(leg.cause) == end["Cause"]
        assert (leg.answered_at is not None) is bool(client.events("Newstate", Uniqueid=uniqueid, ChannelState="6"))
    results = {e["Uniqueid"]: e["Response"] for e in client.events("OriginateResponse")}
    assert {o.uniqueid: o.result for o in ledger.originates} == results
    talks = [t for t in ledger.talks() if {t.one[0], t.other[0]} == {"a", "c"}]
    assert talks and all(t.to_at is not None and t.to_at > t.from_at for t in talks)
    assert {leg.uniqueid for leg in ledger.live()} == {"a0", "a1", "a2"}


def test_shares_of_what_people_do():
    crowd = People(answer_chance=0.4, machine_share=0.25, busy_share=0.3)
    rng = random.Random(1)
    drawn = [crowd.behaviour("0612345678", rng) for _ in range(4000)]
    answered = [b for b in drawn if b.answer_after_s is not None]
    assert abs(len(answered) / 4000 - 0.4) < 0.03
    assert abs(sum(b.voice == "machine" for b in answered) / len(answered) - 0.25) < 0.03
    silent = [b for b in drawn if b.answer_after_s is None]
    assert abs(sum(b.fail_sip == 486 for b in silent) / len(silent) - 0.3) < 0.03


def test_some_numbers_can_be_given_a_behaviour():
    crowd = People(answer_chance=0.0, fixed={"0600": Behaviour(answer_after_s=1.0)})
    assert crowd.behaviour("0600000001", random.Random(1)).answer_after_s == 1.0


@pytest.mark.parametrize("trunk", ["PJSIP/{}@trunk", "Local/{}@Sortant_General/n"])
def test_who_waits_loses_patience_and_who_talks_does_not(make_rig, trunk):
    crowd = People(fixed={"06": Behaviour(answer_after_s=0.2, patience_s=3.0, talk_s=10.0)})
    rig = make_rig(people.config(people=crowd))
    client = rig.login()
    rig.originate(client, "a", "PJSIP/1001")
    rig.run(3)
    for uniqueid in ("talks", "waits"):
        rig.originate(client, uniqueid, trunk.format("0612345678"))
    rig.run(1)
    rig.agi(client, "a", f"EXEC Bridge {rig.fake.channel('talks').name}", "b")
    rig.run(3)
    assert client.events("Hangup", Uniqueid="waits") and not client.events("Hangup", Uniqueid="talks")
    rig.run(10)
    assert client.events("Hangup", Uniqueid="talks") and client.events("AsyncAGIExec", CommandId="b")


def test_configuration_from_toml():
    found = people.from_toml(
        'users = [{name = "x", secret = "y", read = "call", write = "originate"}]\n'
        "[pbx]\nagents = 2\nagi_tick_s = 0.05\npermit = ['127.0.0.1']\n"
        "[people]\nanswer_chance = 1.0\n[sounds]\nhello = 4\n"
    )
    assert set(found.users) == {"x"} and {"1001", "1002", "trunk"} == set(found.endpoints)
    assert (found.agi_tick_s, found.permit, found.sounds["hello"]) == (0.05, ("127.0.0.1",), 4)
    for wrong in ("[pbx]\nspeed = 1\n", "[people]\ncharm = 1\n", "[weather]\n"):
        with pytest.raises(ValueError):
            people.from_toml(wrong)


def test_a_long_run_may_forget_what_is_over(rig):
    client = rig.login()
    rig.parked(client, "old", "PJSIP/110@trunk")
    rig.parked(client, "stays", "PJSIP/100@trunk")
    rig.run(5)
    assert rig.fake.ledger.forget(rig.loop.time()) == 1
    assert set(rig.fake.ledger.legs) == {"stays"} and rig.fake.ledger.originates == []
