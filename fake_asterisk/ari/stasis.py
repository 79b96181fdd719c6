"""The application Stasis: a channel that does what REST says, and its playbacks."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fake_asterisk.apps.registry import END, application
from fake_asterisk.ari import shapes
from fake_asterisk.channel import Channel, Diverted, Hungup

if TYPE_CHECKING:
    from fake_asterisk.ari.face import App

CONTINUE = "continue"


class Control:
    """What REST holds of one channel in an application."""

    def __init__(self, app: "App", channel: Channel) -> None:
        self.app, self.channel = app, channel
        self.playbacks: list[dict[str, Any]] = []
        self._media: dict[str, list[str]] = {}
        self.idle = asyncio.Event()
        self.idle.set()
        self.muted = False
        self.snoops: list[Channel] = []
        self._timer: asyncio.TimerHandle | None = None

    def play(self, playback: dict[str, Any], media: Sequence[str] = ()) -> None:
        """Play behind what plays already. `media`: several sounds are one playback, begun for each and over once."""
        self.playbacks.append(playback)
        self._media[playback["id"]] = list(media) or [playback["media_uri"]]
        if len(self.playbacks) == 1:
            self._begin()

    def stop(self, playback_id: str) -> bool:
        """End this playback now; False if it is not played here."""
        if not self.playbacks or self.playbacks[0]["id"] != playback_id:
            return False
        self._media[playback_id].clear()
        self.end("done")
        return True

    def _begin(self) -> None:
        self.idle.clear()
        pbx, playback = self.channel.pbx, self.playbacks[0]
        self.channel.stop_music()
        playback["media_uri"] = self._media[playback["id"]].pop(0)
        playback["state"] = "playing"
        pbx.ari.tell(self.app, "PlaybackStarted", {}, at_end={"playback": dict(playback)})
        sound = playback["media_uri"].removeprefix("sound:")
        length = pbx.config.sounds.get(sound, pbx.config.other_sounds_s)
        if length is None:
            self.end("failed")
        else:
            self._timer = pbx.loop.call_later(length, self.end, "done")

    def end(self, state: str) -> None:
        """The sound is over; the next begins, of this playback or of the one behind it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ari = self.channel.pbx.ari
        if self.playbacks and state == "done" and self._media[self.playbacks[0]["id"]]:
            playback = self.playbacks[0]
            playback["state"] = "continuing"
            ari.tell(self.app, "PlaybackContinuing", {}, at_end={"playback": dict(playback)})
            self._begin()
            return
        if self.playbacks:
            playback = self.playbacks.pop(0)
            del self._media[playback["id"]]
            playback["state"] = state
            ari.tell(self.app, "PlaybackFinished", {}, at_end={"playback": playback})
        if state == "failed" and self.channel.hung:
            self.playbacks.clear()
        if self.playbacks:
            self._begin()
        else:
            self.idle.set()

    def close(self) -> None:
        """The channel leaves the application."""
        ari = self.channel.pbx.ari
        while self.playbacks:
            self.end("failed")
        for name, target in list(ari.recordings.items()):
            if target == f"channel:{self.channel.uniqueid}":
                end_recording(self.app, self.channel, name)
        for snoop in self.snoops:
            snoop.soft_hangup()


def end_recording(app: "App", channel: Channel, name: str) -> None:
    """A live recording is over."""
    ari = channel.pbx.ari
    target = ari.recordings.pop(name)
    what = {"name": name, "format": "wav", "state": "done", "target_uri": target, "duration": 0}
    ari.tell(app, "RecordingFinished", {}, at_end={"recording": what})


@application("Stasis")
async def stasis(channel: Channel, data: str) -> int:
    """Wait for REST until the channel ends or is sent on into the dialplan. Without a listener the dialplan goes on
    (seen on 22.10, whether the application was never there or is deaf); who has no dialplan is hung up."""
    pbx = channel.pbx
    name, *args = data.split(",")
    app = pbx.ari.apps.get(name)
    if app is None or not app.active:
        channel.set_variable("STASISSTATUS", "FAILED")
        return 0
    control = pbx.ari.controls[channel.uniqueid] = Control(app, channel)
    only_here = channel.uniqueid not in app.ids  # else subscribed by its originate too, until its end
    channel.set_variable("STASISSTATUS", "")
    app.ids.add(channel.uniqueid)
    app.channels.add(channel.uniqueid)
    both = {"args": args, "channel": shapes.channel(channel)}
    pbx.ari.tell(app, "StasisStart", {}, at_end=both)
    goes_on = False
    try:
        while not goes_on:
            goes_on = await channel.pause() == CONTINUE
    except Hungup:
        raise
    except Diverted:
        goes_on = True
    finally:
        pbx.ari.controls.pop(channel.uniqueid, None)
        control.close()
        if channel.bridge is not None:
            channel.bridge.remove(channel)
        pbx.ari.tell(app, "StasisEnd", {}, at_end={"channel": shapes.channel(channel)})
        if only_here and channel.uniqueid not in app.followed:
            app.ids.discard(channel.uniqueid)
        channel.set_variable("STASISSTATUS", "SUCCESS")
        channel.run(*channel.outermost)
    channel.run("", "")
    await pbx.dialplan_run(channel)
    return END
