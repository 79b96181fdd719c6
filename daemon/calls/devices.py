"""Device states of the PBX → extensions and trunks in our words; each state once.

The template of the site (`PJSIP/{extension}`) tells an extension's device; other devices of the same technology are
trunks. Facts: AMI DeviceStateChange.State, FIELD-NOTES 8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from daemon.calls.events import DeviceState, ExtensionChanged, PbxEvent, TrunkChanged

_STATES: Final = {
    "NOT_INUSE": DeviceState.IDLE,
    "INUSE": DeviceState.IN_USE,
    "BUSY": DeviceState.IN_USE,
    "ONHOLD": DeviceState.IN_USE,
    "RINGING": DeviceState.RINGING,
    "RINGINUSE": DeviceState.IN_USE,
    "UNAVAILABLE": DeviceState.UNAVAILABLE,
    "INVALID": DeviceState.UNAVAILABLE,
}


class FoundDevice(msgspec.Struct, frozen=True):
    """A phone (`kind` extension) or trunk that the PBX has; `state`: a DeviceState."""

    kind: str
    name: str
    state: str


class Devices:
    """What is known of phones and trunks. `extensions`: numbers the settings declare; [] = those the PBX lists."""

    def __init__(self, template: str, extensions: Sequence[str]) -> None:
        head, _, tail = template.partition("{extension}")
        self._extension = re.compile(re.escape(head) + r"([0-9*#]+)" + re.escape(tail) + r"\Z")
        self._technology = head.partition("/")[0] + "/"
        self._declared = tuple(extensions)
        self._known: dict[str, str] = {}

    def extensions(self) -> tuple[str, ...]:
        """Numbers of all known extensions: the declared ones, else those seen on the PBX."""
        if self._declared:
            return self._declared
        return tuple(sorted(match[1] for name in self._known if (match := self._extension.match(name))))

    def found(self) -> tuple[FoundDevice, ...]:
        """All that is known, phones by number and then trunks by name; of phones only declared ones, if any are."""
        phones = dict.fromkeys(self._declared, "unknown")
        trunks = {}
        for device, told in self._known.items():
            state = str(_STATES.get(told, DeviceState.UNKNOWN))
            match = self._extension.match(device)
            if match is None:
                trunks[device[len(self._technology) :]] = state
            elif not self._declared or match[1] in phones:
                phones[match[1]] = state
        rows = [FoundDevice("extension", name, phones[name]) for name in sorted(phones)]
        return (*rows, *(FoundDevice("trunk", name, trunks[name]) for name in sorted(trunks)))

    def changed(self, device: str, state: str, at: float) -> PbxEvent | None:
        """The event of a device's state; None if it is no phone or trunk, or nothing new."""
        if self._known.get(device) == state:
            return None
        if match := self._extension.match(device):
            self._known[device] = state
            return ExtensionChanged(at=at, extension=match[1], state=_STATES.get(state, DeviceState.UNKNOWN))
        if device.startswith(self._technology) and not device.endswith("/"):
            self._known[device] = state
            trunk = device[len(self._technology) :]
            return TrunkChanged(at=at, trunk=trunk, state=_STATES.get(state, DeviceState.UNKNOWN))
        return None

    def listed(self, states: Sequence[tuple[str, str]], at: float) -> list[PbxEvent]:
        """All of a DeviceStateList, anew: the engine may have forgotten what we still know."""
        self._known.clear()
        events = (self.changed(device, state, at) for device, state in states)
        return [event for event in events if event is not None]
