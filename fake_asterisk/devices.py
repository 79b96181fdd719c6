"""Device states: PJSIP devices are told when they change, Local ones at every change of a half (not cached)."""

from typing import TYPE_CHECKING

from fake_asterisk import rights

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk

_RINGING, _UP = 5, 6
_LOCAL_DELAY_S = 0.001  # both halves of a pair have changed by then


class Devices:
    """Counts the channels of each device, so that no event needs a look at all channels."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self._pbx = pbx
        self._ringing: dict[str, int] = {}
        self._up: dict[str, int] = {}
        self._local: dict[str, int] = {}
        self.told: dict[str, str] = {}

    def state(self, device: str) -> str:
        """DEVICE_STATE() of a device."""
        tech, _, rest = device.partition("/")
        if tech == "Local":
            if self._local.get(device):
                return "INUSE"
            exten, _, context = rest.partition("@")
            return "NOT_INUSE" if self._pbx.dialplan.find(context.partition("/")[0], exten, 1) else "INVALID"
        if tech == "PJSIP":
            endpoint = self._pbx.config.endpoints.get(rest)
            if endpoint is None:
                return "INVALID"
            if not endpoint.registered:
                return "UNAVAILABLE"
            ringing, up = self._ringing.get(device, 0), self._up.get(device, 0)
            return ("RINGINUSE" if up else "RINGING") if ringing else "INUSE" if up else "NOT_INUSE"
        return self.told.get(device, "UNKNOWN")

    def channel_changed(self, tech: str, device: str, before: int, after: int) -> None:
        """A channel's state moved."""
        for count, state in ((self._ringing, _RINGING), (self._up, _UP)):
            if before == state:
                count[device] = count.get(device, 0) - 1
            if after == state:
                count[device] = count.get(device, 0) + 1
        self.refresh(tech, device)

    def channel_gone(self, tech: str, device: str, state: int) -> None:
        """A channel ended."""
        self.channel_changed(tech, device, state, 0)

    def local_pair(self, device: str, change: int) -> None:
        """A Local pair to this device came or went."""
        self._local[device] = self._local.get(device, 0) + change

    def refresh(self, tech: str, device: str) -> None:
        """Tell the state if it is news. Local's is not cached: it is told each time, a moment later."""
        if tech == "Local":
            self._pbx.loop.call_later(_LOCAL_DELAY_S, lambda: self.set(device, self.state(device)))
            return
        state = self.state(device)
        if self.told.get(device, "NOT_INUSE") != state:
            self.set(device, state)

    def set(self, device: str, state: str) -> None:
        """Tell a state."""
        self.told[device] = state
        if self._pbx.ari.apps:
            self._pbx.ari.device(device, state)
        if self._pbx.wanted & rights.CALL:
            self._pbx.emit(rights.CALL, "DeviceStateChange", f"Device: {device}\r\nState: {state}\r\n")
