"""What is known of our numbers after a restart: how often each was answered and shown today, and which one rests."""

from __future__ import annotations

from datetime import datetime, timedelta

from daemon.calls.causes import Outcome
from daemon.calls.lead_records import NumbersShown
from daemon.engine.live import Live

ANSWERED_OR_NOT = frozenset({Outcome.CONNECTED, Outcome.ABANDONED, Outcome.MACHINE, Outcome.NO_ANSWER, Outcome.BUSY})
"""Ends that tell how people take to the number shown."""

CALLS_MAX = 20_000
"""Attempts looked at: more than the answer rates of a hundred numbers are made of."""


def since(live: Live, now: datetime) -> datetime:
    """From when on the past has a bearing: today's calls, and a rest that may not be over."""
    return now - timedelta(seconds=max(172_800.0, live.caller_ids.health.rest_s))


def recall(live: Live, past: NumbersShown) -> None:
    """Take up what `past` tells, in place of all that was known."""
    numbers = live.caller_ids
    numbers.forget()
    states = {state.record.e164: state for state in numbers.numbers.values()}
    rests = {rest.caller_id_id: rest for rest in past.rests}
    rested = {numbers.numbers[id].record.e164: rest.at for id, rest in rests.items() if id in numbers.numbers}
    for call in past.calls:
        if (known := states.get(call.caller_id)) is None:
            continue
        told = call.outcome is not None and Outcome(call.outcome) in ANSWERED_OR_NOT
        before_rest = call.caller_id in rested and call.at <= rested[call.caller_id]
        known.recall(call.at.date(), call.answered if told and not before_rest else None)
    for id, rest in rests.items():
        left_s = (rest.until - live.utc).total_seconds()
        if left_s > 0 and (state := numbers.numbers.get(id)) is not None:
            state.rests_until_at = live.now + left_s
            live.alerts[f"caller ID {state.record.e164}"] = "caller_id_resting"
            live.timers.set(("caller_id", id), state.rests_until_at)
