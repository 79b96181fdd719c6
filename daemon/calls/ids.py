"""Ids are ours, so that every event can be matched before the PBX has said anything.

Attempt and fact ids are UUIDv7 (RFC 9562 §5.7) from the injected clock and RNG. Leg ids are `<site>-<attempt hex>` for
customers (`b-` before it for the far half of a Local channel), `<site>-ag-<agent>-<n>` for agents,
`<site>-th-<attempt hex>-<n>` for third parties of a call, `<site>-sv-<agent>-<n>` for who supervises an agent; the
prefix names the site, never the process, so that a restarted daemon knows its own.
"""

from __future__ import annotations

import random
import re
from datetime import datetime
from uuid import UUID

# A site id is part of each leg id: short, and without the `-` that separates its parts.
_CUSTOMER = re.compile(r"(?P<site>[a-z][a-z0-9]{0,15})-(?P<attempt>[0-9a-f]{32})")
_AGENT = re.compile(r"(?P<site>[a-z][a-z0-9]{0,15})-ag-(?P<agent>[0-9]{1,9})-(?P<n>[0-9a-f]{16})")
_THIRD = re.compile(r"(?P<site>[a-z][a-z0-9]{0,15})-th-(?P<attempt>[0-9a-f]{32})-(?P<n>[0-9a-f]{8})")
_SUPERVISOR = re.compile(r"(?P<site>[a-z][a-z0-9]{0,15})-sv-(?P<agent>[0-9]{1,9})-(?P<n>[0-9a-f]{16})")


def uuid7(utc: datetime, rng: random.Random) -> UUID:
    """A UUIDv7: 48 bits of milliseconds, version, 74 random bits. Sorts by time to the millisecond."""
    milliseconds = int(utc.timestamp() * 1000) & ((1 << 48) - 1)
    value = milliseconds << 80 | 0x7 << 76 | rng.getrandbits(12) << 64 | 0b10 << 62 | rng.getrandbits(62)
    return UUID(int=value)


def customer_leg(site: str, attempt: UUID) -> str:
    """The channel id of an attempt's customer leg."""
    return f"{site}-{attempt.hex}"


def agent_leg(site: str, agent_id: int, utc: datetime, rng: random.Random) -> str:
    """A fresh channel id for an agent's leg; unique across restarts by its milliseconds and 16 random bits."""
    milliseconds = int(utc.timestamp() * 1000) & ((1 << 48) - 1)
    return f"{site}-ag-{agent_id}-{milliseconds:012x}{rng.getrandbits(16):04x}"


def third_leg(site: str, attempt: UUID, rng: random.Random) -> str:
    """A fresh channel id for a third party of an attempt."""
    return f"{site}-th-{attempt.hex}-{rng.getrandbits(32):08x}"


def supervisor_leg(site: str, agent_id: int, utc: datetime, rng: random.Random) -> str:
    """A fresh channel id for the phone of somebody who supervises an agent."""
    return agent_leg(site, agent_id, utc, rng).replace("-ag-", "-sv-", 1)


def third_of(leg: str) -> UUID | None:
    """The attempt a third party's leg belongs to; None if `leg` is not one."""
    match = _THIRD.fullmatch(leg)
    return UUID(hex=match["attempt"]) if match else None


def is_supervisor(leg: str) -> bool:
    """Whether `leg` is of the shape of a supervisor's."""
    return _SUPERVISOR.fullmatch(leg) is not None


def rank_of(leg: str) -> int:
    """Who does the connecting of two legs: the lower. Agent, third party, supervisor, customer."""
    if _CUSTOMER.fullmatch(leg):  # most are
        return 3
    if _AGENT.fullmatch(leg):
        return 0
    if _THIRD.fullmatch(leg):
        return 1
    return 2 if _SUPERVISOR.fullmatch(leg) else 3


def attempt_of(leg: str) -> UUID | None:
    """The attempt a customer leg belongs to; None if `leg` is not a customer leg of ours."""
    match = _CUSTOMER.fullmatch(leg)
    return UUID(hex=match["attempt"]) if match else None


def agent_of(leg: str) -> int | None:
    """The agent an agent leg belongs to; None if `leg` is not an agent leg of ours."""
    match = _AGENT.fullmatch(leg)
    return int(match["agent"]) if match else None


def site_of(leg: str) -> str:
    """The site whose leg it is, perhaps another daemon's; "" if it has none of our shapes."""
    match = _CUSTOMER.fullmatch(leg) or _AGENT.fullmatch(leg) or _THIRD.fullmatch(leg) or _SUPERVISOR.fullmatch(leg)
    return match["site"] if match is not None else ""


def is_ours(leg: str, site: str) -> bool:
    """Whether `leg` carries `site`'s prefix in one of our shapes."""
    return site_of(leg) == site
