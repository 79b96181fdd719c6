"""What the pacing policy is told, and what it is asked with: plain frozen records, no behaviour.

The engine (or a simulator through an adapter) calls `PacingPolicy.observe` with the events in about the order they
happened, and `decide` with a `PacingSnapshot`. `at` is monotonic seconds; `call` and `agent` are opaque ids.
"""

from __future__ import annotations

import msgspec


class CallPlaced(msgspec.Struct, frozen=True, gc=False):
    """A customer leg was originated (told at once, not when the PBX confirms it)."""

    call: str
    at: float


class CallRinging(msgspec.Struct, frozen=True, gc=False):
    """The far end rings. Odds go by the age since `CallPlaced`; how long a phone has rung decides whether the call may
    be hung up when nobody is left for it."""

    call: str
    at: float


class CallAnswered(msgspec.Struct, frozen=True, gc=False):
    """Picked up: by a person, or by whatever the answering-machine detection is about to judge."""

    call: str
    at: float


class AmdVerdict(msgspec.Struct, frozen=True, gc=False):
    """The detection spoke: `human` is True for a person or when unsure."""

    call: str
    at: float
    human: bool


class NeedAgent(msgspec.Struct, frozen=True, gc=False):
    """The instant from which the rule set counts the wait for an agent. Without detection: the answer."""

    call: str
    at: float


class Connected(msgspec.Struct, frozen=True, gc=False):
    """A person and an agent hear each other; `wait_s` since `NeedAgent`. Makes the agent talking."""

    call: str
    agent: str
    at: float
    wait_s: float = 0.0


class Abandoned(msgspec.Struct, frozen=True, gc=False):
    """A live person got no agent within the connect deadline, or hung up before."""

    call: str
    at: float


class CallHungUp(msgspec.Struct, frozen=True, gc=False):
    """We have asked for the end of a call that nobody had answered (`PacingPolicy.surplus`). Its end is told besides,
    or that the person was quicker and counts as abandoned."""

    call: str
    at: float


class CallEnded(msgspec.Struct, frozen=True, gc=False):
    """The call is over, for whatever reason (`no_answer`, `busy`, `failed`, `machine`, `completed`, `not_placed`…)."""

    call: str
    at: float
    outcome: str = ""


class AmdFalsePositive(msgspec.Struct, frozen=True, gc=False):
    """A person taken for a machine came to light (call-back, sample check). Counted apart from abandoned calls."""

    call: str
    at: float


class MachineReported(msgspec.Struct, frozen=True, gc=False):
    """An agent was connected to a machine (its status says so): no live answer, so the ledger takes it back."""

    call: str
    at: float


class AgentReady(msgspec.Struct, frozen=True, gc=False):
    """The agent can take a call now."""

    agent: str
    at: float


class AgentTalking(msgspec.Struct, frozen=True, gc=False):
    """The agent is busy with a call of any kind (this campaign's calls say so by `Connected` already)."""

    agent: str
    at: float


class AgentWrapUp(msgspec.Struct, frozen=True, gc=False):
    """Conversation over, the agent finishes the record."""

    agent: str
    at: float


class AgentLeft(msgspec.Struct, frozen=True, gc=False):
    """Paused, logged out or taken by another campaign for good."""

    agent: str
    at: float


class AgentLeaving(msgspec.Struct, frozen=True, gc=False):
    """A busy agent has asked for a pause, or to sign out, when done: will not be free again. `leaving` False: thought
    better of it."""

    agent: str
    at: float
    leaving: bool = True


PacingEvent = (
    CallPlaced
    | CallRinging
    | CallAnswered
    | AmdVerdict
    | NeedAgent
    | Connected
    | Abandoned
    | CallHungUp
    | CallEnded
    | AmdFalsePositive
    | MachineReported
    | AgentReady
    | AgentTalking
    | AgentWrapUp
    | AgentLeft
    | AgentLeaving
)


class PacingSnapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is true at the instant of a decision and does not follow from the events alone.

    `hour` is `ledger.hour_key()` of the campaign's zone; `hour_left_s` is how much calling is left of that clock hour
    and `day_left_s` how much of today: both stop when the law or the campaign's own hours close. `cps_tokens` is how
    many originates the call-rate limit lets pass right now.
    """

    ready: int
    """Agents ready for this campaign now."""
    leads: int = 1_000_000
    """Leads that may be called right now."""
    lines_free: int = 1_000_000
    cps_tokens: float = 1_000_000.0
    waiting: int = 0
    """Live persons of this campaign who wait for an agent now."""
    inbound_waiting: int = 0
    """Callers in the queues that the same agents serve."""
    reserved: int = 0
    """Ready agents promised elsewhere: callbacks due, re-calls of abandoned persons, previews."""
    others_expected: float = 0.0
    """Answers that other campaigns on the same agents expect within this campaign's horizon (`Figures.expected`)."""
    others_in_flight: int = 0
    """Calls of those campaigns that may still need one of these agents: where one call an agent is the rule, they count
    like one's own."""
    leads_left: int = 1_000_000_000
    """Leads that may still be called, those at hand included: room that their answers would bring ends with them."""
    hour: str = ""
    hour_left_s: float = 3600.0
    day_left_s: float = 14400.0
