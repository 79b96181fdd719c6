"""Whether what happens still comes by the WebSocket.

Asterisk keeps at most one listener of an application, by its name. As a WebSocket ends, its application is taken off
the air by that name, whoever listens by then; and a newcomer that registers in that very instant is not put in its
place. Either way the new WebSocket stays open, answers pings, and hears nothing (seen on 22.10: 24 times in 600 when
the old one was reset within half a millisecond of the new one's handshake). The client avoids it after a link that
ended badly (`AriClient._clear_the_way`). Should it come about all the same, an event of our own does not come back,
asked for as the link begins and after each interval without any event; or an originate is accepted and nothing is told
of it. Whoever is deaf drops the link; what happened meanwhile is found by the resync.
"""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn

from daemon.ari.client import FORBIDDEN, AriClient, AriRefused
from daemon.errors import PbxError, PbxUnavailable

ECHO: Final = "CadranEcho"
DEAF: Final = "deaf"
ECHO_KIND: Final = "ChannelUserevent"
EVENT_WAIT_S: Final = 3.0
"""Asterisk tells of what it does within milliseconds; a very busy one was seen a second late."""


class Hearing:
    """One per driver. `begin` and `end` with each link, `watch` as long as it is up, `heard` at each event."""

    def __init__(self, client: AriClient) -> None:
        self._client = client
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._expected = 0
        self._may_ask = True

    async def begin(self) -> bool:
        """A new link hears. False: nobody can tell, as the user may only read. Raises PbxUnavailable `deaf`, and what
        requests raise."""
        self.end()
        self._may_ask = True
        try:
            await self._prove()
        except AriRefused as error:
            if error.status != FORBIDDEN:
                raise _deaf(f"no event can be sent to the application ({error})") from error
            self._may_ask = False
        return self._may_ask

    def end(self) -> None:
        """The link is over: nothing that was expected of it matters any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self) -> None:
        """An event came."""
        self._news.set()

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
            self._client.drop(_deaf(f"no event within {EVENT_WAIT_S:g} s of {after}"))

    async def watch(self) -> NoReturn:
        """Ask after each interval without any event, until cancelled. Requests that fail are the client's to judge."""
        while True:
            before = self._client.messages_in
            await asyncio.sleep(self._client.options.ping_interval_s)
            if self._client.messages_in > before or not self._may_ask:
                continue
            try:
                await self._prove()
            except AriRefused as error:
                self._client.drop(_deaf(f"no event can be sent to the application ({error})"))
            except PbxUnavailable as error:
                if error.code == DEAF:
                    self._client.drop(error)
            except PbxError:
                continue

    async def _prove(self) -> None:
        """An event of our own is sent and comes back, or any other comes. Raises PbxUnavailable `deaf` if not."""
        self._news.clear()
        await self._client.ask("POST", f"/events/user/{ECHO}", {"application": self._client.options.app})
        try:
            async with asyncio.timeout(EVENT_WAIT_S):
                await self._news.wait()
        except TimeoutError as error:
            raise _deaf(f"no event within {EVENT_WAIT_S:g} s, not even one of our own") from error


def _deaf(why: str) -> PbxUnavailable:
    return PbxUnavailable(f"the WebSocket is open and deaf: {why}", DEAF)
