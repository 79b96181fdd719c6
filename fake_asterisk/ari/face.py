"""Applications and their subscriptions: which events of the PBX become messages to whom.

The rest of the fake calls the methods named after what happened; with no application connected each costs one look.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fake_asterisk import rights
from fake_asterisk.ari import shapes

if TYPE_CHECKING:
    from fake_asterisk.ari.server import Server
    from fake_asterisk.ari.stasis import Control
    from fake_asterisk.bridge import Bridge
    from fake_asterisk.channel import Channel
    from fake_asterisk.pbx import FakeAsterisk

Message = dict[str, Any]
ALL_DEVICES = "__AST_DEVICE_STATE_ALL_TOPIC"


class App:
    """One Stasis application: a connection (None: it went away; the application stays, deaf) and what it hears of."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.send: Callable[[Message], None] | None = None
        self.ids: set[str] = set()
        """Channels and bridges; one id of both kinds is one subscription, which is why a bridge must not have the id of
        a channel (seen: its events are then lost)."""
        self.channels: set[str] = set()
        self.followed: set[str] = set()
        """Channels subscribed to by name: heard of outside the application too."""
        self.devices = False
        self.allowed: list[str] = []
        self.disallowed: list[str] = []

    @property
    def active(self) -> bool:
        """Whether somebody listens."""
        return self.send is not None

    def hears(self, kind: str) -> bool:
        """Whether somebody listens who is told events of this kind."""
        return self.send is not None and self.wants(kind)

    def wants(self, kind: str) -> bool:
        """Whether its filter lets events of this kind through."""
        return kind not in self.disallowed and (not self.allowed or kind in self.allowed)

    def shown(self) -> Message:
        """As GET /applications has it."""
        channels = sorted(self.channels & self.ids)
        return {
            "name": self.name,
            "channel_ids": channels,
            "bridge_ids": sorted(self.ids - self.channels),
            "endpoint_ids": [],
            "device_names": [ALL_DEVICES] if self.devices else [],
            "events_allowed": [{"type": kind} for kind in self.allowed],
            "events_disallowed": [{"type": kind} for kind in self.disallowed],
        }


class Ari:
    """The interface's state. `server` is made when somebody serves it."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self.pbx = pbx
        self.apps: dict[str, App] = {}
        self.controls: dict[str, Control] = {}
        self.recordings: dict[str, str] = {}  # live: name -> channel or bridge it records
        self._strays: list[Callable[[Message], None]] = []
        self.server: Server | None = None

    def forget(self) -> None:
        """The process ended."""
        self.apps.clear()
        self.controls.clear()
        self.recordings.clear()
        self._strays.clear()

    def reset(self) -> int:
        """Every connection is cut; how many."""
        return self.server.abort() if self.server is not None else 0

    def wanted(self) -> int:
        """Event classes that must be put together for applications, whoever else reads them."""
        active = [app for app in self.apps.values() if app.active]
        if not active:
            return 0
        return rights.CALL | (rights.DIALPLAN if any(app.wants("ChannelVarset") for app in active) else 0)

    # ---- telling

    def tell(self, app: App, kind: str, fields: Message, *, at_end: Message | None = None) -> None:
        """One message to one application."""
        if app.send is not None and app.hears(kind):
            head = {"type": kind, "timestamp": shapes.stamp(self.pbx.wall())}
            tail = {"asterisk_id": shapes.ENTITY_ID, "application": app.name}
            app.send({**fields, **head, **(at_end or {}), **tail})

    def _about(self, channel: "Channel", kind: str, fields: Message) -> None:
        for app in self.apps.values():
            if channel.uniqueid in app.ids and app.hears(kind):
                self.tell(app, kind, fields, at_end={"channel": shapes.channel(channel)})

    def channel_event(self, name: str, channel: "Channel", extra: str) -> None:
        """An AMI event about a channel: those that ARI has too."""
        if name == "Newstate":
            self._about(channel, "ChannelStateChange", {})
        elif name == "VarSet":
            values = _fields(extra)
            fields = {"variable": values["Variable"].lstrip("_"), "value": values["Value"]}
            self._about(channel, "ChannelVarset", fields)
        elif name == "NewConnectedLine":
            self._about(channel, "ChannelConnectedLine", {})
        elif name == "HangupRequest":
            self._about(channel, "ChannelHangupRequest", _causes(_fields(extra)))
        elif name == "SoftHangupRequest":
            self._about(channel, "ChannelHangupRequest", {**_causes(_fields(extra)), "soft": True})
        elif name == "Hangup":
            values = _fields(extra)
            cause = {"cause": int(values["Cause"]), "cause_txt": values["Cause-txt"]}
            tech = {"tech_cause": int(values["TechCause"])} if "TechCause" in values else {}
            self._about(channel, "ChannelDestroyed", {**cause, **tech})
            for app in self.apps.values():
                app.ids.discard(channel.uniqueid)
                app.followed.discard(channel.uniqueid)

    def dial_event(self, name: str, dialled: "Channel", extra: str) -> None:
        """DialBegin, DialState or DialEnd of an originate."""
        values = _fields(extra)
        status = "" if name == "DialBegin" else values.get("DialStatus", "")
        if name == "DialBegin":
            dialled.functions["dialstring"] = values.get("DialString", "")
        fields = {"dialstatus": status, "forward": "", "dialstring": dialled.functions.get("dialstring", "")}
        for app in self.apps.values():
            if dialled.uniqueid in app.ids and app.hears("Dial"):
                self.tell(app, "Dial", fields, at_end={"peer": shapes.channel(dialled)})

    def moved(self, kind: str, bridge: "Bridge", channel: "Channel") -> None:
        """ChannelEnteredBridge or ChannelLeftBridge."""
        for app in self.apps.values():
            if bridge.uniqueid in app.ids and bridge.uniqueid not in app.channels and app.hears(kind):
                both = {"bridge": shapes.bridge(bridge), "channel": shapes.channel(channel)}
                self.tell(app, kind, {}, at_end=both)

    def bridge_gone(self, bridge: "Bridge") -> None:
        """BridgeDestroyed."""
        for app in self.apps.values():
            if bridge.uniqueid in app.ids and bridge.uniqueid not in app.channels:
                self.tell(app, "BridgeDestroyed", {}, at_end={"bridge": shapes.bridge(bridge)})
                app.ids.discard(bridge.uniqueid)

    def device(self, name: str, state: str) -> None:
        """DeviceStateChanged."""
        for app in self.apps.values():
            if app.devices:
                self.tell(app, "DeviceStateChanged", {}, at_end={"device_state": {"name": name, "state": state}})

    # ---- connections

    def connected(self, name: str, send: Callable[[Message], None]) -> App:
        """A WebSocket for an application; one that had it before is told that it is replaced. By a fault it
        stays deaf, as on 22.10 when the end of the one before it falls into the same instant."""
        app = self.apps.setdefault(name, App(name))
        if app.send is not None:
            self.tell(app, "ApplicationReplaced", {})
        if self.pbx.faults.deafens():
            app.send, app.devices = None, False
            self._strays.append(send)
        else:
            app.send = send
        self.pbx.refresh_wanted()
        return app

    def disconnected(self, app: App, send: Callable[[Message], None]) -> None:
        """Its WebSocket is gone, unless another has taken its place. One that was deaf takes off the air whoever
        listens by then (as on 22.10)."""
        if send in self._strays:
            self._strays.remove(send)
        elif app.send is not send:
            return
        self._off_the_air(app.name)

    def deafen(self) -> None:
        """Every application is off the air, with its WebSocket open."""
        for app in list(self.apps.values()):
            if app.send is not None:
                self._strays.append(app.send)
                self._off_the_air(app.name)

    def _off_the_air(self, name: str) -> None:
        """Nobody listens; its subscriptions to devices are gone, and it too if it hears of nothing else."""
        app = self.apps.get(name)
        if app is not None:
            app.send, app.devices = None, False
            if not app.ids:
                del self.apps[name]
            self.pbx.refresh_wanted()


def _fields(text: str) -> dict[str, str]:
    """The lines of an event; a value may be empty."""
    return {name: value.removeprefix(" ") for name, _, value in (line.partition(":") for line in text.splitlines())}


def _causes(values: dict[str, str]) -> Message:
    names = {"Cause": "cause", "TechCause": "tech_cause"}
    return {names[key]: int(value) for key, value in values.items() if key in names}
