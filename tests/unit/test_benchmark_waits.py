"""bench-load's account of a wait: what is put down to the want of an agent, and what to the daemon; and of lateness."""

from __future__ import annotations

import pytest

from benchmarks._held import PROBE_S, Lag
from benchmarks._waits import Waits

WRAP_UP_S = 0.5


class _Pbx:
    """Writes what a PBX would, at the instants given, and reads what a daemon would."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits = Waits(WRAP_UP_S, lambda: self.now)

    def _event(self, at: float, name: str, unique_id: str, more: str = "") -> None:
        self.now = at
        text = f"Event: {name}\r\nChannel: PJSIP/{unique_id}\r\n{more}Uniqueid: {unique_id}\r\n\r\n"
        self.waits.written(text.encode())

    def answers(self, at: float, person: str) -> None:
        self._event(at, "Newstate", person, "ChannelState: 6\r\nChannelStateDesc: Up\r\n")

    def hangs_up(self, at: float, who: str) -> None:
        self._event(at, "Hangup", who)

    def agent_there(self, at: float, agent: str) -> None:
        self._event(at, "AsyncAGIStart", agent)

    def talk_over(self, at: float, agent: str) -> None:
        self._event(at, "AsyncAGIExec", agent)

    def connect(self, at: float, agent: str, person: str, *, talks: bool = True) -> None:
        self.now = at
        self.waits.read(f"Action: AGI\r\nChannel: PJSIP/{agent}\r\nCommand: EXEC Bridge {person}\r\n\r\n".encode())
        if talks:
            self._event(at, "BridgeEnter", agent)

    @property
    def told(self) -> list[tuple[float, float]]:
        """For the agent, for the daemon."""
        return [(round(a, 6), round(b, 6)) for a, b in zip(self.waits.for_agent, self.waits.for_daemon, strict=True)]


@pytest.fixture
def pbx() -> _Pbx:
    return _Pbx()


def test_with_an_agent_free_all_of_it_is_the_daemons(pbx: _Pbx) -> None:
    pbx.agent_there(0.0, "s-ag-1-a")
    pbx.answers(10.0, "p1")
    pbx.connect(10.2, "s-ag-1-a", "p1")
    assert pbx.told == [(0.0, 0.2)]


def test_until_the_wrap_up_should_end_it_is_the_agents(pbx: _Pbx) -> None:
    """The daemon that ends a wrap-up late is late by its own doing."""
    pbx.agent_there(0.0, "s-ag-1-a")
    pbx.answers(10.0, "p1")
    pbx.connect(10.0, "s-ag-1-a", "p1")
    pbx.answers(29.0, "p2")
    pbx.talk_over(30.0, "s-ag-1-a")
    pbx.connect(30.8, "s-ag-1-a", "p2")
    assert pbx.told[1] == (1.5, 0.3)
    assert pbx.waits.whole[1] == pytest.approx(1.8)


def test_a_free_agent_left_idle_is_not_hidden_by_another(pbx: _Pbx) -> None:
    """One agent would have been there at once; that the person got a later one is not for want of agents."""
    pbx.agent_there(0.0, "s-ag-1-a")
    pbx.answers(10.0, "p1")
    pbx.agent_there(12.0, "s-ag-2-b")
    pbx.connect(12.0, "s-ag-2-b", "p1")
    assert pbx.told == [(0.0, 2.0)]


def test_who_answered_first_comes_first(pbx: _Pbx) -> None:
    """Two wait for one agent: the second's wait for theirs goes on until another is free, or the first gives up."""
    pbx.answers(1.0, "p1")
    pbx.answers(2.0, "p2")
    pbx.answers(3.0, "p3")
    pbx.agent_there(5.0, "s-ag-1-a")
    pbx.hangs_up(6.0, "p1")
    pbx.connect(6.1, "s-ag-1-a", "p2")
    pbx.agent_there(8.0, "s-ag-2-b")
    pbx.connect(8.2, "s-ag-2-b", "p3")
    assert pbx.told == [(4.0, 0.1), (5.0, 0.2)]
    assert pbx.waits.missed == 1, "the first gave up a second after an agent was there"


def test_an_agent_who_is_gone_is_not_free(pbx: _Pbx) -> None:
    pbx.agent_there(0.0, "s-ag-1-a")
    pbx.hangs_up(1.0, "s-ag-1-a")
    pbx.answers(2.0, "p1")
    pbx.agent_there(4.0, "s-ag-1-c")
    pbx.connect(4.5, "s-ag-1-c", "p1")
    assert pbx.told == [(2.0, 0.5)]


def test_a_connect_to_nobody_needs_no_wrap_up(pbx: _Pbx) -> None:
    pbx.agent_there(0.0, "s-ag-1-a")
    pbx.answers(1.0, "p1")
    pbx.connect(1.1, "s-ag-1-a", "p1", talks=False)
    pbx.talk_over(1.2, "s-ag-1-a")
    pbx.answers(1.3, "p2")
    pbx.connect(1.4, "s-ag-1-a", "p2")
    assert pbx.told[1] == (0.0, 0.1)
    assert pbx.waits.untold == 0


def test_a_pause_counts_for_as_long_as_it_is() -> None:
    """Nine wakes in time and one 0.9 s late: nine tenths of that second were late, not a tenth."""
    lag = Lag(10.0)
    for late_s in (*[0.0] * 9, 90.5 * PROBE_S):
        lag.add(late_s)
    assert len(lag.values) == 100
    assert sum(late > 0.0 for late in lag.values) == 91
    assert max(lag.values) == pytest.approx(90.5 * PROBE_S)
