"""What the API's doors may ask of OVHcloud's lines and of our own feed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from daemon.crm.ovh_feed import OvhFeed
from daemon.crm.ovh_lines import Heard, LinePop, OvhLines


class OvhService:
    """Both ways, run as one work."""

    def __init__(self, lines: OvhLines, feed: OvhFeed) -> None:
        self.lines, self.feed = lines, feed

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.lines.run(), name="ovh lines")
            group.create_task(self.feed.run(), name="ovh feed")

    async def poll(self, token: str, session: str, wait_s: float) -> dict[str, Any] | None:
        return await self.feed.poll(token, session, wait_s)

    async def pops(self, agent_id: int, after: int, wait_s: float) -> tuple[int, list[LinePop]]:
        return await self.lines.pops(agent_id, after, wait_s)

    def heard(self, group: str, limit: int) -> Sequence[Heard]:
        return self.lines.heard(group, limit)

    def status(self, group: str) -> list[dict[str, Any]]:
        return self.lines.status(group)

    async def try_line(self, group: str, service: str) -> dict[str, Any] | None:
        return await self.lines.try_line(group, service)

    def feeds(self, group: str) -> list[dict[str, str]]:
        return self.feed.listed(group)

    async def close(self) -> None:
        """Let go of who waits, so that the server can stop."""
        await self.lines.close()
        await self.feed.close()
