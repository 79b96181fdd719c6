"""AMI events → typed events: each said once, whoever comes first; the leg is followed wherever its call goes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from daemon.ami.channels import Channels, Leg
from daemon.ami.codec import Message
from daemon.ami.steps import Step
from daemon.ami.translate import FINALITY_WAIT_S, ModernTranslator
from daemon.calls import events as ev
from daemon.calls.devices import Devices
from daemon.calls.events import Amd, DeviceState
from tests.unit.ami import wire
from tests.unit.ami.wire import AGENT, AGENT_2, CUSTOMER, CUSTOMER_2, FAR_HALF, TRUNK


class Heard:
    """A translator with what it delivered and what it asked the mode to do."""

    def __init__(self, *, parks_on_music: bool = False) -> None:
        self.events: list[ev.PbxEvent] = []
        self.steps: list[tuple[str, Step, str]] = []
        self.channels = Channels("par")
        self.translator = ModernTranslator(
            self.channels,
            deliver=self.events.append,
            react=self._react,
            device=Devices("PJSIP/{extension}", ()).changed,
            parks_on_music=parks_on_music,
        )
        self.now = 100.0

    def _react(self, leg: Leg, step: Step, detail: str) -> None:
        self.steps.append((leg.id, step, detail))

    def say(self, *messages: Message) -> list[str]:
        """Take the messages; the names of the events they gave."""
        before = len(self.events)
        for message in messages:
            self.translator.handle(message, self.now)
        return [type(event).__name__ for event in self.events[before:]]

    def last(self, kind: type[Any]) -> Any:
        return [event for event in self.events if isinstance(event, kind)][-1]

    def park(self, *legs: str) -> None:
        for leg in legs:
            self.channels.add(leg)
            self.say(wire.newchannel(leg), wire.newstate(leg, 6), wire.agi_start(leg))


ANSWERED = [
    wire.newstate(CUSTOMER, 5),
    wire.dial_state(CUSTOMER, "RINGING"),
    wire.newstate(CUSTOMER, 6),
    wire.dial_end(CUSTOMER, "ANSWER"),
    wire.originate_response(CUSTOMER, "Success", 4),
]


def test_an_answered_call_says_each_thing_once() -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER)
    names = heard.say(wire.newchannel(CUSTOMER), *ANSWERED, wire.agi_start(CUSTOMER))
    assert names == ["LegCreated", "LegRinging", "LegAnswered", "LegParked"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5)))[::7])
def test_in_any_order_the_answer_is_told_once_and_ringing_never_after_it(order: tuple[int, ...]) -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER)
    names = heard.say(*(ANSWERED[place] for place in order))
    assert names.count("LegAnswered") == 1
    assert names.count("LegRinging") <= 1
    assert names[-1] == "LegAnswered" or "LegRinging" not in names


def test_a_hangup_carries_sip_status_cause_and_dial_status() -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER)
    heard.say(wire.newchannel(CUSTOMER), wire.dial_end(CUSTOMER, "BUSY"))
    heard.say(wire.originate_response(CUSTOMER, "Failure", 0), wire.hangup(CUSTOMER, 17, 0, 486, "User busy"))
    assert heard.events[1:] == [
        ev.LegHungUp(
            at=100.0, leg=CUSTOMER, cause=17, cause_text="User busy", tech_cause=486, dial_status="BUSY", was_up=False
        )
    ]
    heard.translator.on_deadline(heard.now + 60)
    assert len(heard.events) == 2
    assert CUSTOMER not in heard.channels.legs


def test_finality_an_originate_without_a_channel_fails_after_a_second() -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER)
    assert heard.say(wire.originate_response(CUSTOMER, "Failure", 0)) == []
    deadline = heard.translator.next_deadline()
    assert deadline == heard.now + FINALITY_WAIT_S
    heard.translator.on_deadline(deadline - 0.01)
    assert heard.events == []
    heard.translator.on_deadline(deadline)
    assert [type(event) for event in heard.events] == [ev.LegFailed]
    assert heard.translator.next_deadline() is None


def test_finality_a_late_hangup_carries_the_cause() -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER)
    heard.say(wire.originate_response(CUSTOMER, "Failure", 0))
    assert heard.say(wire.hangup(CUSTOMER, 17, 0, 486)) == ["LegHungUp"]
    heard.translator.on_deadline(heard.now + 5)
    assert [type(event) for event in heard.events] == [ev.LegHungUp]


def test_finality_a_late_channel_means_the_call_lives() -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER)
    heard.say(wire.originate_response(CUSTOMER, "Failure", 0), wire.newchannel(CUSTOMER))
    heard.translator.on_deadline(heard.now + 5)
    assert [type(event) for event in heard.events] == [ev.LegCreated]


@pytest.mark.parametrize("first", [CUSTOMER, AGENT])
def test_bridged_once_for_the_agents_leg_whoever_enters_first(first: str) -> None:
    heard = Heard()
    heard.park(CUSTOMER, AGENT)
    second = AGENT if first == CUSTOMER else CUSTOMER
    assert heard.say(wire.enter(first, "b1"), wire.enter(second, "b1")) == ["LegBridged"]
    bridged = heard.last(ev.LegBridged)
    assert (bridged.leg, bridged.peer) == (AGENT, CUSTOMER)
    names = heard.say(wire.leave(CUSTOMER, "b1"), wire.hangup(CUSTOMER, 16, 6), wire.leave(AGENT, "b1"))
    assert names == ["LegUnbridged", "LegHungUp"]
    assert heard.say(wire.agi_exec(AGENT, f"bridge.{CUSTOMER}.1")) == ["LegParked"]


def test_a_bridge_that_never_formed_is_a_failed_connect_and_the_agent_waits_again() -> None:
    heard = Heard()
    heard.park(CUSTOMER, AGENT)
    agent = heard.channels.legs[AGENT]
    agent.parked, agent.connecting = False, CUSTOMER
    names = heard.say(wire.hangup(CUSTOMER, 0, 6), wire.agi_exec(AGENT, f"bridge.{CUSTOMER}.1"))
    assert names == ["LegHungUp", "ConnectFailed"]
    assert heard.last(ev.ConnectFailed).peer == CUSTOMER
    assert agent.parked


def test_an_agent_who_hung_up_during_the_bridge_is_not_parked_by_its_result() -> None:
    heard = Heard()
    heard.park(CUSTOMER, AGENT)
    heard.say(wire.enter(CUSTOMER, "b1"), wire.enter(AGENT, "b1"), wire.leave(AGENT, "b1"))
    assert heard.say(wire.agi_exec(AGENT, f"bridge.{CUSTOMER}.1", "200%20result%3D-1%0A")) == []


def test_a_customer_taken_over_leaves_the_first_agent() -> None:
    """EXEC Bridge of a second agent takes the customer away: no Hangup, only another bridge (FIELD-NOTES 4)."""
    heard = Heard()
    heard.park(CUSTOMER, AGENT, AGENT_2)
    heard.say(wire.enter(CUSTOMER, "b1"), wire.enter(AGENT, "b1"))
    names = heard.say(wire.enter(AGENT_2, "b2"), wire.enter(CUSTOMER, "b2"))
    assert names == ["LegUnbridged", "LegBridged"]
    assert heard.last(ev.LegUnbridged).leg == AGENT
    assert heard.last(ev.LegBridged).leg == AGENT_2


def local_call(heard: Heard) -> None:
    """A customer through a PBX route: two halves of a Local channel and the trunk's, answered and with an agent."""
    heard.park(AGENT)
    heard.channels.add(CUSTOMER)
    heard.say(wire.newchannel(CUSTOMER), wire.newchannel(FAR_HALF, CUSTOMER), wire.newchannel(TRUNK, CUSTOMER))
    heard.say(wire.newstate(TRUNK, 6), wire.newstate(CUSTOMER, 6), wire.agi_start(CUSTOMER))
    heard.say(wire.enter(TRUNK, "b0"), wire.enter(FAR_HALF, "b0"))
    heard.say(wire.enter(CUSTOMER, "b1"), wire.enter(AGENT, "b1"))


def test_local_optimisation_moves_the_leg_and_ends_nothing() -> None:
    heard = Heard()
    local_call(heard)
    begin = wire.message(
        "LocalOptimizationBegin", LocalOneUniqueid=CUSTOMER, LocalTwoUniqueid=FAR_HALF, SourceUniqueid=TRUNK
    )
    end = wire.message("LocalOptimizationEnd", LocalOneUniqueid=CUSTOMER, LocalTwoUniqueid=FAR_HALF)
    names = heard.say(begin, wire.leave(TRUNK, "b0"), wire.leave(CUSTOMER, "b1"), wire.enter(TRUNK, "b1", CUSTOMER))
    names += heard.say(end, wire.hangup(CUSTOMER, 16, 6), wire.hangup(FAR_HALF, 16, 6))
    assert names == []
    assert heard.channels.channel_of(CUSTOMER) == TRUNK
    assert heard.channels.legs[CUSTOMER].bridge_name == "PJSIP/x-1"
    assert heard.say(wire.leave(TRUNK, "b1"), wire.hangup(TRUNK, 16, 6)) == ["LegUnbridged", "LegHungUp"]
    assert heard.last(ev.LegHungUp).leg == CUSTOMER


def test_local_optimisation_the_other_way_round_moves_the_agent_into_the_trunks_bridge() -> None:
    heard = Heard()
    local_call(heard)
    begin = wire.message(
        "LocalOptimizationBegin", LocalOneUniqueid=CUSTOMER, LocalTwoUniqueid=FAR_HALF, SourceUniqueid=AGENT
    )
    end = wire.message("LocalOptimizationEnd", LocalOneUniqueid=CUSTOMER, LocalTwoUniqueid=FAR_HALF)
    names = heard.say(begin, wire.leave(AGENT, "b1"), wire.leave(FAR_HALF, "b0"), wire.enter(AGENT, "b0", FAR_HALF))
    names += heard.say(end, wire.leave(CUSTOMER, "b1"), wire.hangup(FAR_HALF, 16, 6), wire.hangup(CUSTOMER, 16, 6))
    assert names == []
    assert heard.channels.channel_of(CUSTOMER) == TRUNK
    assert heard.say(wire.leave(TRUNK, "b0"), wire.hangup(TRUNK, 16, 6)) == ["LegUnbridged", "LegHungUp"]


def test_local_optimisation_is_understood_even_if_its_end_is_late() -> None:
    heard = Heard()
    local_call(heard)
    begin = wire.message("LocalOptimizationBegin", LocalOneUniqueid=CUSTOMER, SourceUniqueid=TRUNK)
    assert heard.say(begin, wire.leave(CUSTOMER, "b1"), wire.hangup(CUSTOMER, 16, 6)) == []
    assert heard.say(wire.enter(TRUNK, "b1", CUSTOMER)) == []
    assert heard.say(wire.hangup(TRUNK, 16, 6)) == ["LegUnbridged", "LegHungUp"]


def test_the_sip_status_of_a_routed_call_is_on_the_trunks_channel() -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER)
    heard.say(wire.newchannel(CUSTOMER), wire.newchannel(FAR_HALF, CUSTOMER), wire.newchannel(TRUNK, CUSTOMER))
    assert heard.say(wire.hangup(TRUNK, 17, 0, 486), wire.hangup(CUSTOMER, 17, 0)) == ["LegHungUp"]
    assert heard.last(ev.LegHungUp).tech_cause == 486


def test_machine_detection_by_commands() -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER).amd = True
    assert heard.say(wire.newchannel(CUSTOMER), wire.agi_start(CUSTOMER)) == ["LegCreated", "LegAnswered"]
    assert heard.steps[-1] == (CUSTOMER, Step.AGI_STARTED, "")
    heard.say(wire.agi_exec(CUSTOMER, "amd.1"))
    heard.now += 0.2
    heard.say(wire.agi_exec(CUSTOMER, "amdcause.2", "200%20result%3D1%20(HUMAN-800-800)%0A"))
    names = heard.say(wire.agi_exec(CUSTOMER, "amdstatus.3", "200%20result%3D1%20(HUMAN)%0A"))
    assert names == ["AmdVerdict", "LegParked"]
    verdict = heard.last(ev.AmdVerdict)
    assert (verdict.verdict, verdict.cause) == (Amd.HUMAN, "HUMAN-800-800")
    assert verdict.greeting_end_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("status", "verdict"), [("MACHINE", Amd.MACHINE), ("NOTSURE", Amd.NOTSURE), ("", Amd.NOTSURE), ("?", Amd.NOTSURE)]
)
def test_machine_detection_in_the_dialplan(status: str, verdict: Amd) -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER).amd = True
    names = heard.say(wire.user_event(CUSTOMER, "DialerAnswered", Call="x", AMD=status, AMDCause="MAXWORDS-3-2"))
    assert names == ["LegAnswered", "AmdVerdict", "LegParked"]
    assert heard.last(ev.AmdVerdict).verdict is verdict


def test_a_customer_without_detection_gets_no_verdict_and_agents_wait_after_each_call() -> None:
    heard = Heard()
    heard.channels.add(CUSTOMER)
    heard.channels.add(AGENT)
    assert heard.say(wire.user_event(CUSTOMER, "DialerAnswered", AMD="")) == ["LegAnswered", "LegParked"]
    assert heard.say(wire.user_event(AGENT, "DialerAgentReady", Agent="7")) == ["LegAnswered", "LegParked"]
    assert heard.say(wire.enter(CUSTOMER, "b1"), wire.enter(AGENT, "b1")) == ["LegBridged"]
    # The next wait may be announced before the bridge's end: the conversation is over all the same.
    assert heard.say(wire.user_event(AGENT, "DialerAgentReady")) == ["LegUnbridged", "LegParked"]
    assert heard.say(wire.leave(AGENT, "b1"), wire.leave(CUSTOMER, "b1")) == []


def test_in_basic_mode_music_is_the_waiting() -> None:
    heard = Heard(parks_on_music=True)
    heard.channels.add(AGENT)
    assert heard.say(wire.newchannel(AGENT), wire.message("MusicOnHoldStart", Uniqueid=AGENT)) == [
        "LegCreated",
        "LegAnswered",
        "LegParked",
    ]
    assert heard.say(wire.originate_response(AGENT, "Success", 4)) == []


def test_a_message_is_heard_to_its_end_or_not() -> None:
    heard = Heard()
    heard.park(CUSTOMER, CUSTOMER_2)
    for leg in (CUSTOMER, CUSTOMER_2):
        heard.channels.legs[leg].playing = True
    assert heard.say(wire.agi_exec(CUSTOMER, "play.1")) == ["MessagePlayed"]
    assert heard.last(ev.MessagePlayed).heard
    assert heard.steps[-1] == (CUSTOMER, Step.COMMAND_DONE, "play")
    assert heard.say(wire.hangup(CUSTOMER_2, 0, 6)) == ["MessagePlayed", "LegHungUp"]
    assert not heard.last(ev.MessagePlayed).heard


def test_a_forged_user_event_can_only_speak_of_its_own_channel() -> None:
    heard = Heard()
    heard.park(CUSTOMER, AGENT)
    forged = wire.user_event(TRUNK, "DialerAgentReady", Agent="7\r\nUniqueid: " + AGENT)
    assert heard.say(forged) == []


def test_devices_extensions_and_trunks_each_state_once() -> None:
    heard = Heard()
    assert heard.say(wire.message("DeviceStateChange", Device="PJSIP/1001", State="UNAVAILABLE")) == [
        "ExtensionChanged"
    ]
    assert heard.last(ev.ExtensionChanged).state is DeviceState.UNAVAILABLE
    assert heard.say(wire.message("DeviceStateChange", Device="PJSIP/1001", State="UNAVAILABLE")) == []
    assert heard.say(wire.message("DeviceStateChange", Device="PJSIP/trunk", State="INUSE")) == ["TrunkChanged"]
    assert heard.say(wire.message("DeviceStateChange", Device="Queue:sales", State="INUSE")) == []


def test_shutdown_and_foreign_channels() -> None:
    heard = Heard()
    assert heard.say(wire.message("Shutdown", Shutdown="Cleanly", Restart="True")) == ["PbxStopping"]
    assert heard.last(ev.PbxStopping).restart
    foreign = "lyo-" + "c" * 32
    assert heard.say(wire.newchannel(foreign), wire.newstate(foreign, 6), wire.hangup(foreign, 16, 6)) == []


def test_nothing_is_kept_of_legs_that_ended() -> None:
    heard = Heard()
    local_call(heard)
    heard.say(*(wire.hangup(uid, 16, 6) for uid in (TRUNK, FAR_HALF, CUSTOMER, AGENT)))
    channels = heard.channels
    assert not (channels.legs or channels.by_channel or channels.children or channels.names or channels.bridges)
    assert heard.say(wire.dial_end(CUSTOMER, "ANSWER"), wire.originate_response(CUSTOMER, "Failure", 0)) == []


def test_the_late_end_of_an_earlier_connect_leaves_the_conversation_alone() -> None:
    heard = Heard()
    heard.park(AGENT, CUSTOMER_2)
    agent = heard.channels.legs[AGENT]
    agent.parked, agent.connecting = False, CUSTOMER_2
    assert heard.say(wire.agi_exec(AGENT, f"bridge.{CUSTOMER}.1")) == []
    assert agent.connecting == CUSTOMER_2
    assert heard.say(wire.enter(AGENT, "b2"), wire.enter(CUSTOMER_2, "b2")) == ["LegBridged"]
    assert heard.say(wire.agi_exec(AGENT, f"bridge.{CUSTOMER}.1")) == []
    assert heard.say(wire.agi_exec(AGENT, f"bridge.{CUSTOMER_2}.2")) == ["LegUnbridged", "LegParked"]


@pytest.mark.parametrize("joined", [False, True])
def test_a_probe_answered_after_a_connect_does_not_say_that_the_agent_waits(joined: bool) -> None:
    """It stood behind the conversation before, whose end freed the leg already."""
    heard = Heard()
    heard.park(AGENT, CUSTOMER)
    agent = heard.channels.legs[AGENT]
    agent.parked, agent.connecting, agent.probing = False, CUSTOMER, True
    if joined:
        heard.say(wire.enter(AGENT, "b1"), wire.enter(CUSTOMER, "b1"))
    assert heard.say(wire.agi_exec(AGENT, "noop.1")) == []
    assert not agent.probing
