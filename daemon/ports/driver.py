"""What both drivers of a PBX do the same way: the options of a site, how their link stands, and whom they tell.

A driver derives from `Driver` and adds its protocol: connecting and the resync after it, actions, translation.
"""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from daemon.calls import events as ev
from daemon.calls.actions import ORIGINATES, AnyAction, PlayMessage, ProbeParked
from daemon.calls.devices import Devices
from daemon.calls.dialling import SiteTemplates
from daemon.calls.events import LegSeen, PbxEvent
from daemon.clock import Clock
from daemon.errors import PbxUnavailable
from daemon.ports.pbx import PbxStatus

HELD_MAX: Final = 50_000
"""Events held back during a resync; past it the link is dropped and taken up anew."""
IN_DOUBT_WAIT_S: Final = 1.0
"""An originate in doubt and not listed is looked for once more after this (FIELD-NOTES 8.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """A site as any driver needs it. `extensions`: numbers the settings declare; [] = those the PBX lists."""

    site: str
    templates: SiteTemplates = field(default_factory=SiteTemplates)
    device: str = "PJSIP/{extension}"
    extensions: Sequence[str] = ()


class Performing(Protocol):
    """The actions of one link; `denied`: what the PBX refused for want of rights."""

    denied: set[str]

    @property
    def in_flight(self) -> int: ...

    def perform(self, action: AnyAction) -> None: ...

    def close(self) -> None: ...


class ListedLeg(Protocol):
    """A leg as a resync found it; both drivers' legs have these."""

    id: str
    answered: bool
    ringing: bool
    parked: bool
    seconds: float

    @property
    def peer(self) -> ListedLeg | None: ...


class Driver:
    """The part of `daemon.ports.Pbx` that depends on no protocol."""

    name: str
    _performer: Performing | None

    def __init__(self, options: SiteOptions, clock: Clock) -> None:
        self.site = options.site
        self._clock = clock
        self._devices = Devices(options.device, options.extensions)
        self._deliver: Callable[[PbxEvent], None] = _nobody
        self._performer = None
        self._version = ""
        self._up = False
        self._since: datetime | None = None
        self._error: tuple[str, str] = ("", "")
        self._next_try_in_s: float | None = None
        self._delivered = 0

    def perform(self, action: AnyAction) -> None:
        if self._ready and self._performer is not None:
            self._performer.perform(action)
            return
        now = self._clock.now()
        if isinstance(action, ORIGINATES):
            why = f"no link to the PBX: {self._error[0] or 'not up yet'}"
            self._emit(ev.LegFailed(at=now, leg=action.leg, message=why, sent=False))
        else:
            self._emit(ev.ActionInDoubt(at=now, leg=action.leg, action=name_of(action)))

    @property
    def _ready(self) -> bool:
        """Whether actions can be sent."""
        return self._up

    def _status(
        self,
        *,
        mode: str,
        mode_reason: str,
        capabilities: Iterable[str],
        missing: tuple[str, ...],
        figures: Mapping[str, float],
    ) -> PbxStatus:
        performer = self._performer
        return PbxStatus(
            site=self.site,
            driver=self.name,
            up=self._up,
            since=self._since,
            mode=mode,
            mode_reason=mode_reason,
            version=self._version,
            capabilities=tuple(sorted(capabilities)),
            missing=missing,
            error_code=self._error[0],
            error=self._error[1],
            next_try_in_s=self._next_try_in_s,
            extensions=self._devices.extensions(),
            devices=self._devices.found(),
            figures={
                **figures,
                "events_out": self._delivered,
                "actions_in_flight": performer.in_flight if performer else 0,
            },
        )

    def _denied(self) -> set[str]:
        """What the PBX refused for want of rights so far."""
        return set(self._performer.denied) if self._performer is not None else set()

    def _stopped(self) -> None:
        """`run` has ended."""
        self._up = False
        if self._performer is not None:
            self._performer.close()

    def _went_down(self, why: PbxUnavailable, next_try_in_s: float) -> None:
        self._up = False
        self._error, self._next_try_in_s = (why.code, str(why)), next_try_in_s
        down = ev.LinkDown(at=self._clock.now(), code=why.code, message=str(why), next_try_in_s=next_try_in_s)
        self._emit(down)

    def _went_up(self, link_up: ev.LinkUp, devices: Iterable[PbxEvent]) -> None:
        """The resync is done: LinkUp and the devices are told; the snapshot is the next thing to tell."""
        self._up, self._since = True, self._clock.utcnow()
        self._error, self._next_try_in_s = ("", ""), None
        self._emit(link_up)
        for event in devices:
            self._emit(event)

    def _emit(self, event: PbxEvent) -> None:
        self._delivered += 1
        self._deliver(event)


def name_of(action: AnyAction) -> str:
    """The action's name in ActionInDoubt."""
    return {PlayMessage: "play", ProbeParked: "probe"}.get(type(action), type(action).__name__.lower())


def denials(names: Iterable[str]) -> tuple[str, ...]:
    """What the PBX refused, as entries of `PbxStatus.missing`."""
    return tuple(f"permission denied: {name}" for name in sorted(names))


def seen(leg: ListedLeg) -> LegSeen:
    """The leg in a snapshot."""
    return LegSeen(
        leg=leg.id,
        up=leg.answered,
        ringing=leg.ringing,
        parked=leg.parked,
        bridged_with=leg.peer.id if leg.peer else None,
        seconds=leg.seconds,
    )


class Backoff:
    """How long to wait before the next try: doubling from `first_s` to `max_s`, each cut by up to half at random lest
    many daemons knock together. `reset` after a good login."""

    def __init__(self, rng: random.Random, first_s: float, max_s: float) -> None:
        self._rng, self._first_s, self._max_s = rng, first_s, max_s
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def next_s(self, *, longest: bool = False) -> float:
        """The wait after one more failure; `longest`: as if there had been many."""
        wait_s = self._max_s if longest else min(self._max_s, self._first_s * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return wait_s * (1 - self._rng.random() / 2)


def code_of(error: BaseException) -> str:
    """The stable code of why a connection could not be made."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, socket.gaierror):
        return "unknown_host"
    if isinstance(error, ssl.SSLError):
        return "tls"
    return "unreachable"


def _nobody(_: PbxEvent) -> None:
    """Before `run` nobody listens."""
