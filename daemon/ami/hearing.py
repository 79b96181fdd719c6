"""Whether the PBX tells this user of its calls: AMI says what one may do (ListCommands), never what one may read.

A user whose `read` in manager.conf lacks a class, or whose `eventfilter` drops it, logs in, originates, and hears
nothing. So as a link begins an originate is asked for that can come to nothing, by a technology that no PBX has: no
channel, no row of CEL or CDR, one line in Asterisk's log. Its OriginateResponse is of class `call` (FIELD-NOTES 2.3);
any other event of the class proves as much, so a quiet PBX is never taken for a silent one. Classes `agi` and `user`
have no such event, and what boxes before Asterisk 12 say to it nobody has seen: there a leg of ours must be listed
twice, as it waits, with nothing of that class told on the whole link.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from daemon.ami.channels import Leg
from daemon.ami.client import AmiClient
from daemon.ami.codec import Message
from daemon.errors import PbxError, PbxRejected, PbxUnavailable
from daemon.ports.errands import Errands

log = structlog.get_logger(__name__)

CLASSES: Final = frozenset({"call", "agi", "user"})
QUESTION: Final = {
    "Action": "Originate",
    "Channel": "Cadran/are-calls-heard",
    "Application": "Wait",
    "Data": "1",
    "Async": "true",
    "Timeout": "1000",
}
ANSWER_WAITS_S: Final = (2.5, 2.5)
"""Asked twice: Asterisk answers within milliseconds, a very busy one was seen a second late."""
LOOK_AFTER_S: Final = 2.0
ASK_AGAIN_S: Final = 30.0
"""Rights are those of the login: whether they were mended since, another login beside this one finds out."""
DENIED: Final = "permission denied: read "
_BY_NAME: Final = {"Newchannel": "call", "Hangup": "call", "OriginateResponse": "call", "UserEvent": "user"}
"""Where an event names no class."""


class Ears:
    """What one login has heard. `untold`: classes of which nothing came yet."""

    def __init__(self) -> None:
        self.untold = set(CLASSES)
        self._called = asyncio.Event()

    def heard(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.untold -= _classes(message)
        if "call" not in self.untold:
            self._called.set()

    async def asked(self, client: AmiClient) -> bool | None:
        """Whether the question, or anything else, brings an event of class `call`; None if the PBX refuses it."""
        for wait_s in ANSWER_WAITS_S:
            if self._called.is_set():
                return True
            try:
                await client.send(QUESTION)
            except PbxRejected:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._called.wait()
        return self._called.is_set()


class Hearing:
    """One a driver: `begin` at each login, `end` as the link ends, `heard` with events, `expects` with originates."""

    def __init__(
        self,
        client: AmiClient,
        rng: random.Random,
        listed: Callable[[], Awaitable[Sequence[Leg]]],
        errands: Errands,
    ) -> None:
        """`listed`: our legs on the PBX now."""
        self.lacking = ""
        """The class that this link is without; "" if none is known."""
        self._client, self._rng, self._listed, self._errands = client, rng, listed, errands
        self._ears = Ears()
        self._reads: Sequence[str] = ()
        self._found = ""
        """The class found lacking on the link before, which was dropped to say so."""
        self._placed: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def begin(self, reads: Sequence[str], *, asks: bool) -> str:
        """What `missing` says of a new link, "" if nothing. `reads`: the classes its control mode lives by; `asks`: its
        PBX is known to answer the question. Raises what actions raise, but for a refusal."""
        self._reads = reads
        lacking, self._found = self._found, ""
        if asks and await self._ears.asked(self._client) is False:
            lacking = "call"
        self._ears.untold &= set(reads)
        self.lacking = lacking if lacking in self._ears.untold else ""
        if not self.lacking:
            return ""
        if self.lacking == "call":
            self._task = self._errands.spawn(self._ask_again())
        return f"{DENIED}{self._words(self.lacking)}"

    def end(self) -> None:
        """The link is over: the rights of the next may be others."""
        self.lacking, self._ears, self._placed = "", Ears(), set()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def heard(self, messages: Sequence[Message]) -> None:
        """Events came; free once nothing is left to prove."""
        ears = self._ears
        if ears.untold:
            ears.heard(messages)
        if self.lacking and (self.lacking not in ears.untold or any(m.event == "Reload" for m in messages)):
            self._again()

    def expects(self, leg: str) -> None:
        """This leg was asked for: something will be told of it."""
        if self._ears.untold and not self.lacking:
            self._placed.add(leg)
            if self._task is None or self._task.done():
                self._task = self._errands.spawn(self._look())

    def _words(self, lacking: str) -> str:
        """For who keeps manager.conf."""
        user, line = self._client.options.username, f"read = system,{','.join(self._reads)}"
        return (
            f"{lacking}: the PBX tells user {user} no event of class {lacking}; in manager.conf, [{user}] needs {line} "
            "and no eventfilter that drops them"
        )

    def _again(self) -> None:
        self._client.drop(PbxUnavailable("the user's rights may be others by now: once more", "reloaded"))

    async def _look(self) -> None:
        """Until all is proven or nothing placed is left: what the PBX lists twice, and has told nothing of."""
        before: set[tuple[str, str]] = set()
        while self._placed:
            await asyncio.sleep(LOOK_AFTER_S)
            if not self._ears.untold:
                return
            try:
                legs = [leg for leg in await self._listed() if leg.id in self._placed]
            except PbxError as error:
                log.info("ami.no_look", host=self._client.options.host, reason=str(error))
                return
            self._placed &= {leg.id for leg in legs}
            now = {(name, leg.id) for leg in legs for name in self._ears.untold if name == "call" or leg.parked}
            if lasting := now & before:
                self._found = "call" if "call" in self._ears.untold else min(lasting)[0]
                self._client.drop(PbxUnavailable(self._words(self._found), "no_events"))
                return
            before = now

    async def _ask_again(self) -> None:
        """As long as this link is without class `call`."""
        heard = False
        while not heard:
            await asyncio.sleep(ASK_AGAIN_S)
            heard = await self._heard_beside()
        self._again()

    async def _heard_beside(self) -> bool:
        """Whether a login made now hears of calls."""
        ears, done = Ears(), asyncio.Event()
        beside = AmiClient(self._client.options, rng=self._rng, on_messages=ears.heard, on_down=lambda *_: None)

        async def ask() -> None:
            await ears.asked(beside)
            done.set()

        login = asyncio.get_running_loop().create_task(beside.run(ask))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_AGAIN_S):
                    await done.wait()
        finally:
            login.cancel()
            await asyncio.gather(login, return_exceptions=True)
        return "call" not in ears.untold


def _classes(message: Message) -> set[str]:
    """Of an event: those it names in Privilege, or the one it is of by its name."""
    privilege = message.get("Privilege")
    if privilege:
        return set(privilege.lower().split(","))
    name = message.event
    return {"agi" if name.startswith("AsyncAGI") else _BY_NAME.get(name, "")}
