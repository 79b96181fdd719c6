"""Typed actions → AMI actions, and the choice of a mode by what the user may do."""

from __future__ import annotations

import pytest

from daemon.ami.channels import Leg
from daemon.ami.codec import FieldRefused, check_action
from daemon.ami.dialects import MODERN, dialect_for
from daemon.ami.modes import (
    MODES,
    AsyncAgiMode,
    BasicMode,
    DialplanMode,
    Mode,
    SiteTemplates,
    choose_mode,
)
from daemon.ami.steps import Step
from daemon.calls.actions import Connect, OriginateAgent, OriginateCustomer, PlayMessage
from tests.unit.ami.wire import AGENT, CUSTOMER

ALL = ("Originate", "AGI", "Hangup", "Status", "AbsoluteTimeout", "MixMonitor", "Bridge", "Setvar", "Redirect")
LIMITED = ("Originate", "Hangup", "Status", "AbsoluteTimeout", "Bridge", "Setvar", "Redirect")
DIAL = OriginateCustomer(
    leg=CUSTOMER, number="0612345678", trunk="line-a", caller_id="0155510000", ring_timeout_s=24.6, hold_s=9.2,
    account="c7", amd=True, safe_message="cadran-safe-harbour",
)  # fmt: skip


def mode(kind: type[Mode], **templates: str) -> Mode:
    return kind(SiteTemplates(**templates), ALL)


@pytest.mark.parametrize("kind", MODES.values())
def test_every_mode_dials_under_our_ids_and_names_the_number(kind: type[Mode]) -> None:
    action = mode(kind).originate_customer(DIAL)
    check_action(action)
    assert action["Channel"] == "PJSIP/0612345678@line-a"
    assert action["ChannelId"] == action["ActionID"] == CUSTOMER
    assert (action["Async"], action["Timeout"], action["Account"]) == ("true", "24600", "c7")
    assert action["CallerID"] == "<0155510000>"
    assert {f"__DIALER_CALL={CUSTOMER}", "CHANNEL(userfield)=0612345678"} <= set(action["Variable"])
    assert "OtherChannelId" not in action
    agent = mode(kind).originate_agent(OriginateAgent(leg=AGENT, agent_id=7, extension="1001", ring_timeout_s=20))
    check_action(agent)
    assert (agent["Channel"], agent["CallerID"]) == ("PJSIP/1001", '"Cadran" <1001>')
    assert "__DIALER_AGENT=7" in agent["Variable"]


def test_where_the_legs_wait() -> None:
    assert mode(AsyncAgiMode).originate_customer(DIAL)["Data"] == "agi:async"
    assert mode(BasicMode).originate_customer(DIAL)["Application"] == "MusicOnHold"
    dialplan = mode(DialplanMode, customer_context="my-customers").originate_customer(DIAL)
    assert (dialplan["Context"], dialplan["Exten"]) == ("my-customers", "s")
    assert {"DIALER_HOLD=10", "DIALER_AMD=1", "DIALER_MESSAGE=cadran-safe-harbour"} <= set(dialplan["Variable"])


@pytest.mark.parametrize("kind", MODES.values())
def test_both_halves_of_a_local_channel_have_ids_and_neither_begins_with_the_other(kind: type[Mode]) -> None:
    action = mode(kind, customer_channel="Local/{number}@{trunk}/n").originate_customer(DIAL)
    assert action["Channel"] == "Local/0612345678@line-a/n"
    assert CUSTOMER in action["OtherChannelId"]
    assert not str(action["OtherChannelId"]).startswith(CUSTOMER)


@pytest.mark.parametrize(
    ("field", "value"),
    [("number", "06&PJSIP/0899"), ("number", "06,30,G(x)"), ("number", ""), ("trunk", "a/b"), ("caller_id", "1>,<2")],
)
def test_a_number_can_not_become_a_dial_string(field: str, value: str) -> None:
    action = OriginateCustomer(
        **{
            "leg": CUSTOMER,
            "number": "06",
            "trunk": "t",
            "caller_id": "1",
            "ring_timeout_s": 1,
            "hold_s": 1,
            field: value,
        }
    )
    with pytest.raises(FieldRefused) as refused:
        mode(AsyncAgiMode).originate_customer(action)
    assert refused.value.field == field


def test_a_sound_can_not_bring_an_application_of_its_own() -> None:
    with pytest.raises(FieldRefused, match="sound"):
        mode(AsyncAgiMode).play(PlayMessage(leg=CUSTOMER, sound="x,\nEXEC System"), CUSTOMER)
    with pytest.raises(FieldRefused, match="sound"):
        mode(DialplanMode).play(PlayMessage(leg=CUSTOMER, sound="${SHELL(x)}"), CUSTOMER)
    assert not mode(BasicMode).play(PlayMessage(leg=CUSTOMER, sound="x"), CUSTOMER)


def test_connecting() -> None:
    connect, agent, customer = Connect(leg=AGENT, customer=CUSTOMER), Leg(AGENT), Leg(CUSTOMER)
    (command,) = mode(AsyncAgiMode).connect(connect, agent, customer)
    assert (command["Channel"], command["Command"]) == (AGENT, f"EXEC Bridge {CUSTOMER}")
    assert str(command["CommandID"]).startswith(f"bridge.{CUSTOMER}.")
    mark, bridge = mode(DialplanMode).connect(connect, agent, customer)
    assert (mark["Action"], mark["Variable"], mark["Value"]) == ("Setvar", "DIALER_BRIDGED", "1")
    assert (bridge["Action"], bridge["Channel1"], bridge["Channel2"]) == ("Bridge", CUSTOMER, AGENT)
    assert mode(DialplanMode).connect_refused("c")[0]["Value"] == "0"
    assert [action["Action"] for action in mode(BasicMode).connect(connect, agent, customer)] == ["Bridge"]


def test_a_channel_with_an_id_of_the_servers_is_bridged_by_its_name() -> None:
    """Bridge takes the first channel whose id begins so, and 1795302905.5 begins 1795302905.51 too."""
    agent, customer = Leg(AGENT), Leg(CUSTOMER)
    customer.channel, customer.name = "1795302905.5", "PJSIP/trunk-00000001"
    (command,) = mode(AsyncAgiMode).connect(Connect(leg=AGENT, customer=CUSTOMER), agent, customer)
    assert command["Command"] == "EXEC Bridge PJSIP/trunk-00000001"
    (bridge,) = mode(BasicMode).connect(Connect(leg=AGENT, customer=CUSTOMER), agent, customer)
    assert bridge["Channel1"] == "PJSIP/trunk-00000001"


def test_asyncagi_guards_waiting_customers_and_lets_conversations_run() -> None:
    customer, agent = Leg(CUSTOMER), Leg(AGENT)
    customer.hold_s = 9.2
    asyncagi = mode(AsyncAgiMode)
    (guard,) = asyncagi.react(customer, Step.PARKED, "")
    assert (guard["Action"], guard["Channel"], guard["Timeout"]) == ("AbsoluteTimeout", CUSTOMER, "10")
    (music,) = asyncagi.react(agent, Step.PARKED, "")
    assert music["Command"] == "SET MUSIC ON default"
    agent.peer, customer.peer = customer, agent
    (lifted,) = asyncagi.react(agent, Step.BRIDGED, CUSTOMER)
    assert (lifted["Channel"], lifted["Timeout"]) == (CUSTOMER, "14400")
    detection = asyncagi.react(customer, Step.AGI_STARTED, "")
    assert [action.get("Command") for action in detection] == [
        None,
        "EXEC AMD",
        "GET VARIABLE AMDCAUSE",
        "GET VARIABLE AMDSTATUS",
    ]
    (ended,) = asyncagi.react(customer, Step.COMMAND_DONE, "play")
    assert ended["Action"] == "Hangup"


@pytest.mark.parametrize(
    ("wanted", "commands", "include", "chosen"),
    [
        ("auto", ALL, None, "asyncagi"),
        ("auto", ALL, True, "asyncagi"),
        ("auto", LIMITED, True, "dialplan"),
        ("auto", LIMITED, False, "basic"),
        ("auto", LIMITED, None, "basic"),
        ("auto", (), None, "asyncagi"),
        ("dialplan", ALL, None, "dialplan"),
        ("asyncagi", LIMITED, True, "asyncagi"),
    ],
)
def test_the_choice_of_a_mode(wanted: str, commands: tuple[str, ...], include: bool | None, chosen: str) -> None:
    choice = choose_mode(wanted, SiteTemplates(), commands, include)
    assert choice.mode.name == chosen
    assert choice.reason


def test_what_is_missing_is_named_and_not_offered() -> None:
    choice = choose_mode("asyncagi", SiteTemplates(), LIMITED, None)
    assert {"permission denied: agi", "permission denied: mixmonitor"} <= set(choice.missing)
    assert choice.capabilities == {"hangup"}
    choice = choose_mode("dialplan", SiteTemplates(), LIMITED, False)
    assert any("cadran-customer" in entry for entry in choice.missing)
    assert "originate" not in choice.capabilities
    choice = choose_mode("auto", SiteTemplates(), ("Originate",), None)
    assert choice.mode.name == "basic"
    assert choice.capabilities == {"originate", "spy"}
    choice = choose_mode("auto", SiteTemplates(), ALL, None)
    assert (choice.missing, "play_message" in choice.capabilities) == ((), True)


def test_a_dialect_for_every_version() -> None:
    assert dialect_for((11, 0, 0)) is dialect_for((2, 8)) is dialect_for(()) is MODERN
    assert dialect_for((1, 1)).name == "legacy"
    assert list(dialect_for((1, 1)).modes) == ["basic"]
