"""Calls coming in: a channel that the dialplan sent into our application becomes a leg, is answered, hears things.

The dialplan says `Stasis(cadran-<site>,${EXTEN})`, StasisStart tells of it (translate), the engine adopts it. The PBX
keeps whose it is in the channel's variable DIALER_CALL, which the next listing reads. Requests that go through a
channel's own thread wait behind what is played to it (FIELD-NOTES 9), so its limit is set before, and whoever
connects it ends the playback first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from daemon.ari.legs import Leg, Legs
from daemon.ari.moves import Asker
from daemon.calls import actions as act
from daemon.calls.dialling import SOUND, checked
from daemon.errors import PbxError, PbxInDoubt, PbxRejected, PbxUnavailable

VARIABLE: Final = "DIALER_CALL"


class Reception:
    """See the module's first lines."""

    def __init__(self, app: str, legs: Legs, asker: Asker) -> None:
        self._app, self._legs, self._asker = app, legs, asker
        self._said = 0

    def adopt(self, action: act.AdoptInbound) -> Leg | None:
        """The channel is the leg's from now on; None if it has gone. `note` is still to be awaited."""
        leg = self._legs.adopt(action.leg, action.channel)
        if leg is not None:
            leg.hold_s = action.hold_s
        return leg

    async def note(self, leg: Leg) -> None:
        """Have the PBX remember whose the channel is, for a listing after a restart of ours, and hear of its end: a
        channel that we did not originate tells of itself while it is in the application, and no longer (seen)."""
        try:
            await self.follow(leg)
        except PbxRejected:
            self._asker.gone(leg)  # it ended before, and nothing will tell
            return
        except (PbxInDoubt, PbxUnavailable):
            return  # the next listing tells
        query = {"variable": f"__{VARIABLE}", "value": leg.id}
        await self._asker.follow_up("POST", f"/channels/{leg.channel}/variable", query)

    async def follow(self, leg: Leg) -> None:
        """Hear of the channel wherever it goes. Raises PbxRejected if it is gone."""
        path = f"/applications/{self._app}/subscription"
        await self._asker.ask("POST", path, {"eventSource": f"channel:{leg.channel}"})

    async def perform(self, action: act.Answer | act.Announce) -> None:
        """One action to its answer; what the PBX refuses becomes ActionRefused."""
        name = type(action).__name__.lower()
        try:
            leg = self._legs.by_id.get(action.leg)
            if leg is None or leg.closing:
                raise PbxRejected("no such leg" if leg is None else "the leg is being hung up")
            if isinstance(action, act.Answer):
                await self._answer(leg, action.sound)
            else:
                await self._say(leg, action.sounds)
        except (PbxInDoubt, PbxUnavailable):
            self._asker.doubt(action.leg, name)
        except PbxError as error:
            self._asker.note(error, name)
            self._asker.refused(action.leg, name, str(error))

    async def _answer(self, leg: Leg, sound: str) -> None:
        if sound:
            checked("sound", sound, SOUND)
        await self._asker.ask("POST", f"/channels/{leg.channel}/answer")
        await self._asker.limit(leg.id, leg.hold_s)
        leg.parked = False
        if sound:
            await self._say(leg, (sound,))
        self._asker.picked_up(leg)

    async def _say(self, leg: Leg, sounds: Sequence[str]) -> None:
        """Music ends with it, and begins again behind it."""
        media = ",".join(f"sound:{checked('sound', sound, SOUND)}" for sound in sounds)
        self._said += 1
        leg.announcing = f"{leg.id}.a{self._said}"
        try:
            await self._asker.ask("POST", f"/channels/{leg.channel}/play/{leg.announcing}", {"media": media})
        except PbxError:
            leg.announcing = ""
            raise

    async def hush(self, leg: Leg) -> None:
        """What is played to it ends now."""
        if leg.announcing:
            playback, leg.announcing = leg.announcing, ""
            await self._asker.follow_up("DELETE", f"/playbacks/{playback}")
