"""What a call that ends is called: who left while an agent was being given to them, in time or not."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from daemon.calls import events as ev
from daemon.calls.causes import Outcome
from daemon.calls.records import Agent
from daemon.calls.states import CallState
from daemon.engine.core import EngineCore
from daemon.engine.live import Call, Desk
from daemon.settings import DialerTable, SiteTable

NOON = datetime(2026, 11, 24, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("waited_s", "outcome"), [(0.5, Outcome.CANCELLED), (1.9, Outcome.CANCELLED), (2.5, Outcome.ABANDONED)]
)
def test_nobody_was_there_in_time_though_somebody_was_on_the_way(waited_s: float, outcome: Outcome) -> None:
    """Two seconds from the answer; the agent's phone takes its time to be joined, and the person hangs up."""
    law: Any = None
    core = EngineCore(SiteTable(id="main"), DialerTable(), law, random.Random(1))
    core.live.now = 100.0 + waited_s
    call = Call(UUID(int=1), "main-x", "campaign", 1, 1, "+33199000001", 90.0, NOON)
    call.answered_at = call.need_at = 100.0
    call.state = CallState.CONNECTING
    call.desk = Desk(Agent(group_id=1, site="main", login="1001", name="A", extension="1001"))
    hung = ev.LegHungUp(at=core.live.now, leg=call.leg, cause=16, was_up=True)
    assert core.calls._outcome(call, hung, channel=True) is outcome
