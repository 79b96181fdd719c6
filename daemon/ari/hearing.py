"""Whether what happens still comes by the WebSocket.

Asterisk keeps at most one listener of an application, by its name. As a WebSocket ends, its application is taken off
the air by that name, whoever listens by then; and a newcomer that registers in that very instant is not put in its
place. Either way the new WebSocket stays open, answers pings, and hears nothing (seen on 22.10: 24 times in 600 when
the old one was reset within half a millisecond of the new one's handshake). The client avoids it after a link that
ended badly (`AriClient._clear_the_way`); should it come about all the same, three things show it while a link is up:

- an originate that the PBX accepted is followed by an event about it; if nothing at all came for `EVENT_WAIT_S`, the
  WebSocket is deaf;
- the application, every ping interval: if our subscription to device states is gone from it, a predecessor that ended
  late has taken it off the air;
- after an interval without any event, the channels that the PBX lists: they must be those that we know.

Whoever is deaf drops the link; what happened meanwhile is found by the resync. An event of our own, sent to be heard
again, is not used: beside it Asterisk's HTTP server stopped answering once.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NoReturn

from daemon.ari.client import AriClient, AriRefused
from daemon.ari.legs import Legs
from daemon.calls.ids import is_ours
from daemon.errors import PbxError, PbxUnavailable

EVENT_WAIT_S: Final = 3.0
"""Asterisk tells of a channel within milliseconds of making it; a very busy one was seen a second late."""
NOT_FOUND: Final = 404


class Hearing:
    """One per driver. `begin` and `end` with each link, `watch` as long as it is up."""

    def __init__(self, client: AriClient, legs: Legs) -> None:
        self._client, self._legs = client, legs
        self._subscribed = False
        self._timer: asyncio.TimerHandle | None = None
        self._expected = 0

    def begin(self, subscribed: bool) -> None:
        """A new link. `subscribed`: the application hears of device states, and says so."""
        self._subscribed = subscribed
        self.end()

    def end(self) -> None:
        """The link is over: nothing that was expected of it matters any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expects(self, heard_before: int, after: str) -> None:
        """An event must come by itself, or have come since `heard_before` messages; `after` names what it follows."""
        if self._client.messages_in > heard_before:
            return
        if self._timer is not None:
            if self._expected == heard_before:
                return  # since longer
            self._timer.cancel()
        self._expected = heard_before
        self._timer = asyncio.get_running_loop().call_later(EVENT_WAIT_S, self._judge, after)

    def _judge(self, after: str) -> None:
        self._timer = None
        if self._client.messages_in == self._expected:
            self._deaf(f"no event within {EVENT_WAIT_S:g} s of {after}")

    async def watch(self) -> NoReturn:
        """Look every interval, until cancelled. Trouble with the requests themselves is the client's to judge."""
        while True:
            heard = self._client.messages_in
            await asyncio.sleep(self._client.options.ping_interval_s)
            try:
                await self._look_at_application()
                if self._client.messages_in == heard:
                    await self._look_at_channels(heard)
            except PbxError:
                continue

    async def _look_at_application(self) -> None:
        try:
            shown = await self._client.ask("GET", f"/applications/{self._client.options.app}")
        except AriRefused as error:
            if error.status == NOT_FOUND:
                self._deaf("the PBX has no such application any more")
            return
        if self._subscribed and not shows_devices(shown):
            self._deaf("the application was taken off the air by the end of an older WebSocket")

    async def _look_at_channels(self, heard: int) -> None:
        """Nothing has been told for a whole interval: then nothing may have happened either."""
        before = {leg.channel for leg in self._legs.by_id.values() if leg.created}
        listed = {channel["id"] for channel in await self._client.ask("GET", "/channels")}
        now = {leg.channel for leg in self._legs.by_id.values()}
        gone = (before & now) - listed
        new = {channel for channel in listed if is_ours(channel, self._legs.site)} - now
        if gone or new:
            self.expects(heard, f"{len(gone)} channels that ended, {len(new)} that began")

    def _deaf(self, why: str) -> None:
        self._client.drop(PbxUnavailable(f"the WebSocket is open and deaf: {why}", "deaf"))


def shows_devices(shown: Any) -> bool:
    """Whether an application, as the PBX shows it, hears of device states."""
    return isinstance(shown, dict) and bool(shown.get("device_names"))
