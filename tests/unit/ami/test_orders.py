"""Whatever order the PBX's threads publish in, each step is told once (FIELD-NOTES 1.4): within a channel the order is
kept, between channels it is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.ami.codec import Message
from daemon.calls import events as ev
from tests.unit.ami import wire
from tests.unit.ami.test_translate import Heard
from tests.unit.ami.wire import AGENT, CUSTOMER, FAR_HALF, TRUNK

Threads = list[list[Message]]


def dialled(leg: str) -> Threads:
    """What tells of one answered leg: its channel, the dialling, the originate."""
    return [
        [wire.newchannel(leg), wire.newstate(leg, 5), wire.newstate(leg, 6), wire.agi_start(leg)],
        [wire.dial_state(leg, "RINGING"), wire.dial_end(leg, "ANSWER")],
        [wire.originate_response(leg, "Success", 4)],
    ]


BEGIN = wire.message("LocalOptimizationBegin", LocalOneUniqueid=CUSTOMER, SourceUniqueid=TRUNK)
END = wire.message("LocalOptimizationEnd", LocalOneUniqueid=CUSTOMER)

DIRECT: list[Threads] = [
    dialled(CUSTOMER) + dialled(AGENT),
    [[wire.enter(CUSTOMER, "b1")], [wire.enter(AGENT, "b1")]],
    [
        [wire.leave(CUSTOMER, "b1"), wire.hangup(CUSTOMER, 16, 6)],
        [wire.leave(AGENT, "b1"), wire.agi_exec(AGENT, f"bridge.{CUSTOMER}.1")],
    ],
    [[wire.hangup(AGENT, 16, 6)]],
]
ROUTED: list[Threads] = [
    [[wire.newchannel(CUSTOMER), wire.newchannel(FAR_HALF, CUSTOMER), wire.newchannel(TRUNK, CUSTOMER)]],
    dialled(AGENT) + [thread[1:] if thread[0].event == "Newchannel" else thread for thread in dialled(CUSTOMER)],
    [[wire.enter(CUSTOMER, "b1")], [wire.enter(AGENT, "b1")], [wire.enter(TRUNK, "b0")], [wire.enter(FAR_HALF, "b0")]],
    [[BEGIN]],
    [
        [wire.leave(TRUNK, "b0"), wire.enter(TRUNK, "b1", CUSTOMER)],
        [wire.leave(CUSTOMER, "b1"), wire.hangup(CUSTOMER, 16, 6)],
        [wire.leave(FAR_HALF, "b0"), wire.hangup(FAR_HALF, 16, 6)],
        [END],
    ],
    [
        [wire.leave(TRUNK, "b1"), wire.hangup(TRUNK, 16, 6)],
        [wire.leave(AGENT, "b1"), wire.agi_exec(AGENT, f"bridge.{CUSTOMER}.1")],
    ],
    [[wire.hangup(AGENT, 16, 6)]],
]

BEGIN_REVERSED = wire.message("LocalOptimizationBegin", LocalOneUniqueid=CUSTOMER, SourceUniqueid=AGENT)
REVERSED: list[Threads] = [
    *ROUTED[:3],
    [[BEGIN_REVERSED]],
    [
        [wire.leave(AGENT, "b1"), wire.enter(AGENT, "b0", FAR_HALF)],
        [wire.leave(CUSTOMER, "b1"), wire.hangup(CUSTOMER, 16, 6)],
        [wire.leave(FAR_HALF, "b0"), wire.hangup(FAR_HALF, 16, 6)],
        [END],
    ],
    [
        [wire.leave(TRUNK, "b0"), wire.hangup(TRUNK, 16, 6)],
        [wire.leave(AGENT, "b0"), wire.agi_exec(AGENT, f"bridge.{CUSTOMER}.1")],
    ],
    [[wire.hangup(AGENT, 16, 6)]],
]


@st.composite
def orders(draw: st.DrawFn, story: list[Threads]) -> list[Message]:
    """Each phase's threads, interleaved."""
    told: list[Message] = []
    for phase in story:
        threads = [list(thread) for thread in phase]
        while any(threads):
            open_threads = [thread for thread in threads if thread]
            told.append(draw(st.sampled_from(open_threads)).pop(0))
    return told


def check(messages: list[Message]) -> None:
    heard = Heard()
    for leg in (CUSTOMER, AGENT):
        heard.channels.add(leg)
    heard.say(*messages)
    by_leg = {
        leg: [type(e).__name__ for e in heard.events if isinstance(e, ev.LegEvent) and e.leg == leg]
        for leg in (CUSTOMER, AGENT)
    }
    for kinds in by_leg.values():
        assert kinds.count("LegAnswered") == kinds.count("LegHungUp") == 1
        assert kinds.count("LegCreated") <= 1
        assert kinds.count("LegRinging") <= 1
        assert kinds[-1] == "LegHungUp"
    assert by_leg[CUSTOMER].count("LegParked") == 1
    assert by_leg[AGENT].count("LegParked") == 2
    assert by_leg[AGENT].count("LegBridged") == by_leg[AGENT].count("LegUnbridged") == 1
    assert "ConnectFailed" not in by_leg[AGENT]
    channels = heard.channels
    assert not (channels.legs or channels.by_channel or channels.children or channels.bridges or channels.bridge_of)


@given(orders(DIRECT))
def test_a_direct_call_in_any_order(messages: list[Message]) -> None:
    check(messages)


@given(orders(ROUTED))
def test_a_routed_call_that_is_optimised_in_any_order(messages: list[Message]) -> None:
    check(messages)


@given(orders(REVERSED))
def test_a_routed_call_whose_agent_goes_over_to_the_trunk_in_any_order(messages: list[Message]) -> None:
    check(messages)
