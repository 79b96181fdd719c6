"""The dialplan subset: patterns, labels, expressions, and the include this project ships."""

import pytest

from fake_asterisk.dialplan import Dialplan, expression, matches, substitute


@pytest.mark.parametrize(
    ("pattern", "number", "fits"),
    [
        ("_0.", "0612345678", True),
        ("_0.", "0", False),
        ("_0.", "+33612345678", False),
        ("_X!", "1", True),
        ("_X!", "+1", False),
        ("_10XX", "1001", True),
        ("_10XX", "10011", False),
        ("_[1-3]Z", "21", True),
        ("_[1-3]Z", "20", False),
        ("_NXX-XXXX", "2123456", True),
        ("s", "s", True),
    ],
)
def test_patterns(pattern, number, fits):
    assert matches(pattern, number) is fits


def test_the_more_exact_pattern_wins_and_includes_come_last():
    plan = Dialplan(
        "[a]\ninclude => b\nexten => _X!,1,NoOp(any)\nexten => _10XX,1,NoOp(ten)\nexten => 1001,1,NoOp(one)\n"
        "[b]\nexten => s,1,NoOp(included)\n"
    )
    found = {number: plan.find("a", number, 1) for number in ("1001", "1002", "2", "s", "x")}
    assert [step.data if step else None for step in found.values()] == ["one", "ten", "any", "included", None]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"1" = "1"', "1"),
        ('"" = "1"', "0"),
        ("10 > 9", "1"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ('"a" = "a" & "b" != "a"', "1"),
        ("0 | 5", "5"),
    ],
)
def test_expressions(text, value):
    assert expression(text) == value


def test_substitution_from_inside_out():
    values = {"A": "B", "B": "inner", "N": "0612345678", "IF(1?x:y)": "x"}
    assert substitute("${${A}} ${N:1} ${N:0:2} ${N:-2} $[1+1] ${NONE}.", values.get) == "inner 612345678 06 78 2 ."


def test_a_line_of_no_known_form_is_named():
    with pytest.raises(ValueError, match="line 2"):
        Dialplan("[a]\nwhatever\n")


def test_the_shipped_include_runs(make_rig):
    rig = make_rig()
    rig.fake.config.other_sounds_s = 2.0
    client = rig.login("basic")
    place = {"Exten": "s", "Priority": "1"}
    variables = [
        ("Variable", f"{k}={v}") for k, v in {"DIALER_CALL": 7, "DIALER_HOLD": 3, "DIALER_MESSAGE": "sorry"}.items()
    ]
    rig.originate(client, "a", "PJSIP/1001", ("Variable", "DIALER_AGENT=1001"), Context="cadran-agent", **place)
    rig.originate(client, "c", "PJSIP/100@trunk", *variables, Context="cadran-customer", **place)
    rig.run(1)
    assert client.events("UserEvent", UserEvent="DialerAgentReady")[0]["Agent"] == "1001"
    rig.run(5.5)
    told = [e["UserEvent"] for e in client.events("UserEvent", Uniqueid="c")]
    assert told == ["DialerAnswered", "DialerAbandoned", "DialerMessage", "DialerHangup"]
    rig.originate(client, "d", "PJSIP/100@trunk", *variables, Context="cadran-customer", **place)
    rig.run(1)
    client.send("Setvar", Channel="d", Variable="DIALER_BRIDGED", Value="1")
    client.send("Bridge", Channel1="d", Channel2="a", wait=2)
    client.send("Hangup", Channel="d", wait=0.1)
    assert len(client.events("UserEvent", UserEvent="DialerAgentReady")) == 2
    assert "DialerAbandoned" not in [e["UserEvent"] for e in client.events("UserEvent", Uniqueid="d")]
