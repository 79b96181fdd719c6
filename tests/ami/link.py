"""Our link under test, with what it delivered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from daemon.ami.client import AmiClient, AmiOptions
from daemon.ami.codec import Message
from daemon.errors import PbxUnavailable
from tests.ami.scripted import ScriptedAmi

QUICK: dict[str, Any] = {
    "host": "127.0.0.1",
    "username": "u",
    "secret": lambda: "s3cret",
    "retry_first_s": 0.02,
    "boot_wait_s": 0.05,
    "connect_deadline_s": 10.0,
}


class Ours:
    """Our link with what it delivered."""

    def __init__(self, pbx: ScriptedAmi, **options: Any) -> None:
        self.events: list[Message] = []
        self.downs: list[PbxUnavailable] = []
        self.waits: list[float] = []
        """How long until the next try, by loss."""
        self.up = asyncio.Event()
        self.client = AmiClient(
            AmiOptions(**{**QUICK, "tcp_port": pbx.tcp_port, **options}),
            rng=random.Random(7),
            on_messages=self.events.extend,
            on_down=self._down,
        )

    def _down(self, why: PbxUnavailable, wait_s: float) -> None:
        self.up.clear()
        self.waits.append(wait_s)
        self.downs.append(why)

    async def _logged_in(self) -> None:
        self.up.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AmiClient]:
        task = asyncio.create_task(self.client.run(self._logged_in))
        try:
            async with asyncio.timeout(60):
                await self.up.wait()
            yield self.client
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(true: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)
