"""What agents are typing, in memory: the same answers as `drafts` gives on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from typing import Any
from uuid import UUID

from daemon.store.drafts import DRAFT_KEPT
from daemon.store.memory_tables import MemoryTables


class MemoryDrafts:
    """Part of MemoryStore: desk drafts."""

    tables: MemoryTables
    _do: Callable[..., Any]

    async def keep_draft(self, agent_id: int, attempt_id: UUID, body: dict[str, Any], now: datetime) -> None:
        def work() -> None:
            drafts = self.tables.drafts
            for id in [id for id, row in drafts.items() if row["saved_at"] < now - DRAFT_KEPT]:
                del drafts[id]
            drafts[agent_id] = {**deepcopy(body), "attempt_id": attempt_id, "saved_at": now}

        await self._do("keep_draft", work)

    async def draft_of(self, agent_id: int) -> dict[str, Any] | None:
        row: dict[str, Any] | None = await self._do("draft_of", lambda: deepcopy(self.tables.drafts.get(agent_id)))
        return row

    async def drop_draft(self, agent_id: int, attempt_id: UUID | None = None) -> None:
        def work() -> None:
            row = self.tables.drafts.get(agent_id)
            if row is not None and attempt_id in (None, row["attempt_id"]):
                del self.tables.drafts[agent_id]

        await self._do("drop_draft", work)
