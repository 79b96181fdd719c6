"""The smallest AMI client that can ask and listen: the suite's own, so the daemon doesn't vouch for itself."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Self

from tests.asterisk.bed import SECRET

Message = dict[str, str]
ANSWER_TIMEOUT_S = 60.0


class AmiClient:
    """A logged-in session: `async with AmiClient(port) as ami`. Every message received is kept in `messages`."""

    def __init__(self, port: int, user: str = "witness", secret: str = SECRET) -> None:
        self._port, self._user, self._secret = port, user, secret
        self._ids = itertools.count(1)
        self.messages: list[Message] = []
        self._arrived = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self._reader.readline()
        self._task = asyncio.create_task(self._read())
        said = await self.action("Login", Username=self._user, Secret=self._secret)
        if said["Response"] != "Success":
            raise ConnectionError(said["Message"])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        if self._task:
            self._task.cancel()

    async def _read(self) -> None:
        message: Message = {}
        while line := await self._reader.readline():
            text = line.decode(errors="replace").rstrip("\r\n")
            if text:
                name, _, value = text.partition(":")
                message.setdefault(name, value.removeprefix(" "))
                continue
            async with self._arrived:
                self.messages.append(message)
                self._arrived.notify_all()
            message = {}

    async def wait(
        self, what: Callable[[Message], bool], timeout_s: float = ANSWER_TIMEOUT_S, since: int = 0
    ) -> Message:
        """The first message from the `since`-th on for which `what` holds; TimeoutError after `timeout_s`."""
        async with asyncio.timeout(timeout_s), self._arrived:
            while True:
                for message in self.messages[since:]:
                    if what(message):
                        return message
                since = len(self.messages)
                await self._arrived.wait()

    async def event(self, name: str, timeout_s: float = ANSWER_TIMEOUT_S, since: int = 0, **headers: str) -> Message:
        """The first event of this name that carries these header values."""
        wanted = {"Event": name, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return await self.wait(lambda message: wanted.items() <= message.items(), timeout_s, since)

    async def action(self, name: str, **headers: str) -> Message:
        """Send an action and return its response (list events are in `messages`)."""
        action_id = headers.pop("ActionID", f"bed-{next(self._ids)}")
        lines = [f"Action: {name}", f"ActionID: {action_id}", *(f"{key}: {value}" for key, value in headers.items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return await self.wait(lambda message: "Response" in message and message.get("ActionID") == action_id)
