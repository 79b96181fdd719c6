"""The port to a PBX: what each driver (AMI in three modes, ARI) can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from daemon.calls.actions import AnyAction
from daemon.calls.devices import FoundDevice
from daemon.calls.events import LegSeen, PbxEvent


class PbxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the status endpoint and `cadran doctor` say of a link. Never contains a secret."""

    site: str
    driver: str
    up: bool
    since: datetime | None = None
    mode: str = ""
    mode_reason: str = ""
    version: str = ""
    capabilities: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    error_code: str = ""
    error: str = ""
    next_try_in_s: float | None = None
    extensions: tuple[str, ...] = ()
    devices: tuple[FoundDevice, ...] = ()
    figures: Mapping[str, float] = {}


class Pbx(Protocol):
    """A PBX behind one of the control modes. One instance a site."""

    site: str

    async def run(self, deliver: Callable[[PbxEvent], None]) -> None:
        """Keep the link up for ever (connect, log in, probe, resync, read), until cancelled.

        `deliver` takes each event at once, in order, and never blocks. After each login: LinkUp, then the
        ExtensionChanged/TrunkChanged it knows, then one PbxSnapshot; after each loss: LinkDown.
        """
        ...

    def perform(self, action: AnyAction) -> None:
        """Send an action; returns at once. What becomes of it arrives as events (LegFailed, ConnectFailed,
        ActionInDoubt, …). With the link down: LegFailed for originates, ActionInDoubt for the rest."""
        ...

    def status(self) -> PbxStatus:
        """The link as it is now."""
        ...

    async def audit(self) -> tuple[LegSeen, ...] | None:
        """Our legs as they are now, asked beside the events; None if the link or the rights can't tell."""
        ...

    async def probe_sound(self, sound: str) -> bool | None:
        """Whether the PBX has this sound file; None if these rights can't tell."""
        ...
