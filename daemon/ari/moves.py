"""What is done with a leg in a call besides connecting it: parking, rooms, muting, digits, supervision, recording.

A supervisor hears an agent through a snoop channel `sn-<leg>` in the supervisor's own bridge; a recording is made on a
snoop channel `rec-<leg>`, so that it follows the leg through holds and transfers. Facts: FIELD-NOTES 9.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from daemon.ari.client import Query
from daemon.ari.legs import ROOM, SNOOP, TAP, Leg, Legs
from daemon.calls import actions as act
from daemon.calls.actions import Hangup
from daemon.calls.dialling import NAME, checked
from daemon.errors import PbxError, PbxInDoubt, PbxRejected, PbxUnavailable

WHISPER: Final[Mapping[str, str]] = {"listen": "none", "whisper": "out", "barge": "both"}
"""Supervisor's mode → which direction of the target's channel hears the supervisor: `out` is the target itself."""
SILENCE_MS: Final = 1500
SILENCE_WAIT_S: Final = 20.0
"""A person who talks that long is spoken over."""
_DIGITS: Final = re.compile(r"[0-9A-Da-d*#]{1,64}")
_FILE: Final = re.compile(r"/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
MUTED: Final = {True: "POST", False: "DELETE"}


class Asker(Protocol):
    """The performer, as far as moves need it."""

    async def ask(
        self, method: str, path: str, query: Query | None = None, body: dict[str, Any] | None = None
    ) -> Any: ...
    async def follow_up(self, method: str, path: str, query: Query | None = None) -> None: ...
    async def make_bridge(self, bridge: str) -> None: ...
    async def go_home(self, leg: Leg) -> None: ...
    async def hang_up(self, action: Hangup) -> None: ...
    async def limit(self, leg: str, seconds: float) -> None: ...
    def waits(self, leg: Leg) -> None: ...
    def picked_up(self, leg: Leg) -> None: ...
    def gone(self, leg: Leg) -> None: ...
    def doubt(self, leg: str, action: str) -> None: ...
    def refused(self, leg: str, action: str, why: str) -> None: ...
    def note(self, error: PbxError, what: str) -> None: ...


class Moves:
    """See the module's first lines."""

    def __init__(self, site: str, app: str, legs: Legs, asker: Asker) -> None:
        self._site, self._app, self._legs, self._asker = site, app, legs, asker
        self._ears: dict[str, tuple[int, str]] = {}
        """How often a supervisor's leg was given an ear, and in which mode the last."""
        self._talking: dict[str, tuple[asyncio.Event, asyncio.Event]] = {}

    async def perform(self, action: act.AnyAction) -> None:
        """One action to its answer; what the PBX refuses becomes ActionRefused."""
        name = type(action).__name__.lower()
        try:
            leg = self._legs.by_id.get(action.leg)
            if leg is None or leg.closing:
                raise PbxRejected("no such leg" if leg is None else "the leg is being hung up")
            await self._do(action, leg)
        except (PbxInDoubt, PbxUnavailable):
            self._asker.doubt(action.leg, name)
        except PbxError as error:
            self._asker.note(error, name)
            self._asker.refused(action.leg, name, str(error))

    async def _do(self, action: act.AnyAction, leg: Leg) -> None:
        ask, channel = self._asker.ask, f"/channels/{leg.channel}"
        match action:
            case act.Park():
                await self._park(action, leg)
            case act.Join():
                room = f"{ROOM}{self._site}-{checked('room', action.room, NAME)}"
                await self._asker.make_bridge(room)
                await ask("POST", f"/bridges/{room}/addChannel", {"channel": leg.channel})
                await self._asker.follow_up("DELETE", f"{channel}/moh")
            case act.Mute():
                await ask(MUTED[action.on], f"{channel}/mute", {"direction": "in"})
            case act.SendDigits():
                await ask("POST", f"{channel}/dtmf", {"dtmf": checked("digits", action.digits, _DIGITS)})
            case act.SetSpyMode():
                leg.spy_mode = self._mode(action.mode)
                await self._asker.follow_up("DELETE", f"/channels/{self._ear(leg)}")  # its end brings the next
            case act.StartRecording():
                checked("file", action.file, _FILE)
                leg.recording = name_of_file(action.file)
                await ask("POST", f"{channel}/snoop", self._snoop_query(TAP + leg.id, "none"))
            case act.StopRecording():
                await ask("POST", f"/recordings/live/{quote(leg.recording, safe='')}/stop")
            case act.MuteRecording():
                await ask(MUTED[action.on], f"/recordings/live/{quote(leg.recording, safe='')}/mute")
            case act.Release():
                await self._release(action, leg)
            case _:
                raise PbxRejected(f"driver ari has no {type(action).__name__}")

    async def _park(self, action: act.Park, leg: Leg) -> None:
        """Out of whatever bridge it is in. Of two who talk the one who was connected leaves the other's bridge, and
        both wait."""
        if leg.parked:
            return
        if leg.spies_on:
            leg.spies_on = ""
            await self._asker.follow_up("DELETE", f"/channels/{self._ear(leg)}")
            self._asker.waits(leg)
            return
        goes = leg.peer if leg.peer is not None and leg.bridge == leg.own_bridge else leg
        if not goes.bridge:
            raise PbxRejected("the leg is in no bridge")
        before, goes.parking_s = goes.parking_s, action.limit_s
        try:
            await self._asker.ask("POST", f"/bridges/{goes.bridge}/removeChannel", {"channel": goes.channel})
        except PbxError:
            goes.parking_s = min(goes.parking_s, before)  # an earlier Park may still be on its way, or over
            raise

    async def _release(self, action: act.Release, leg: Leg) -> None:
        context, extension = checked("context", action.context, NAME), checked("extension", action.extension, NAME)
        # Outside the application its events would end.
        await self._asker.ask(
            "POST", f"/applications/{self._app}/subscription", {"eventSource": f"channel:{leg.channel}"}
        )
        query = {"context": context, "extension": extension, "priority": "1"}
        leg.parked = leg.in_stasis = False
        await self._asker.limit(leg.id, act.RELEASED_MAX_S)  # the wait's end is not that of what follows it
        await self._asker.ask("POST", f"/channels/{leg.channel}/continue", query)

    # -- listening ------------------------------------------------------------------------------------------------
    def _mode(self, mode: str) -> str:
        if mode not in WHISPER:
            raise PbxRejected(f"mode: {mode!r} is none of {', '.join(WHISPER)}")
        return mode

    def _snoop_query(self, snoop: str, whisper: str) -> dict[str, str]:
        return {"spy": "both", "whisper": whisper, "app": self._app, "appArgs": "snoop", "snoopId": snoop}

    async def spy(self, leg: Leg) -> None:
        """The supervisor's phone was answered: a place to hear in, and then the ear."""
        try:
            await self._asker.go_home(leg)
            await self._listen(leg)
        except (PbxInDoubt, PbxUnavailable):
            self._asker.doubt(leg.id, "spy")
        except PbxError as error:
            self._asker.note(error, "spy")
            self._asker.refused(leg.id, "spy", str(error))
            await self._asker.hang_up(Hangup(leg=leg.id))

    def _ear(self, leg: Leg) -> str:
        """Id of the channel that listens for a supervisor now; a new one each time, since an old one lingers."""
        return f"{SNOOP}{leg.id}.{self._ears.get(leg.id, (0, ''))[0]}"

    async def _listen(self, leg: Leg) -> None:
        mode = self._mode(leg.spy_mode)
        self._ears[leg.id] = (self._ears.get(leg.id, (0, ""))[0] + 1, mode)
        query = self._snoop_query(self._ear(leg), WHISPER[mode])
        target = self._legs.channel_of(leg.spies_on)
        await self._asker.ask("POST", f"/channels/{target}/snoop", query)

    async def snoop(self, leg: Leg, kind: str, *, ready: bool) -> None:
        """A listening channel of `leg` takes commands, or is gone."""
        try:
            if kind == "rec":
                if ready and leg.recording:
                    query = {"name": leg.recording, "format": "wav", "ifExists": "overwrite"}
                    await self._asker.ask("POST", f"/channels/{TAP}{leg.id}/record", query)
            elif not leg.spies_on:
                return  # it has taken the call over
            elif ready and self._ears[leg.id][1] != leg.spy_mode:
                await self._asker.follow_up("DELETE", f"/channels/{self._ear(leg)}")  # changed again meanwhile
            elif ready:
                query = {"channel": self._ear(leg)}
                await self._asker.ask("POST", f"/bridges/{leg.own_bridge}/addChannel", query)
            elif leg.spies_on in self._legs.by_id and not leg.closing:
                await self._listen(leg)  # the mode was changed
            else:
                await self._asker.hang_up(Hangup(leg=leg.id))  # whom it listened to is gone
        except PbxError as error:
            self._asker.refused(leg.id, "startrecording" if kind == "rec" else "spy", str(error))
            if kind != "rec":
                await self._asker.hang_up(Hangup(leg=leg.id))

    async def clean_up(self, leg: Leg) -> None:
        """What was there for a leg that is gone."""
        self._talking.pop(leg.id, None)
        if leg.spies_on:
            await self._asker.follow_up("DELETE", f"/channels/{self._ear(leg)}")
        self._ears.pop(leg.id, None)
        if leg.recording:
            await self._asker.follow_up("POST", f"/recordings/live/{quote(leg.recording, safe='')}/stop")

    # -- silence --------------------------------------------------------------------------------------------------
    async def silence(self, leg: Leg) -> None:
        """Until the far end has been silent for SILENCE_MS; SILENCE_WAIT_S at most."""
        started, finished = self._talking[leg.id] = (asyncio.Event(), asyncio.Event())
        query = {"variable": "TALK_DETECT(set)", "value": str(SILENCE_MS)}
        await self._asker.ask("POST", f"/channels/{leg.channel}/variable", query)
        try:
            async with asyncio.timeout(SILENCE_MS / 1000):
                await started.wait()
            async with asyncio.timeout(SILENCE_WAIT_S):
                await finished.wait()
        except TimeoutError:
            return  # silent from the start, or too long a talker
        finally:
            self._talking.pop(leg.id, None)

    def talks(self, leg: Leg, detail: str) -> None:
        """The far end began or ceased to talk."""
        if (both := self._talking.get(leg.id)) is not None:
            both[detail == "finished"].set()


def name_of_file(file: str) -> str:
    """A recording's name in ARI, whose files are all below the PBX's own folder `recording` and get their ending there:
    the path without its first stroke and without `.wav`."""
    return file.removeprefix("/").removesuffix(".wav")
