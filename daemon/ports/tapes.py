"""Recordings and missed calls, a part of a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from daemon.ports.store import Page


@runtime_checkable
class TapeStore(Protocol):
    """Recordings' rows (facts make them): `state` is recording, waiting (its file is to be taken in), kept, purged,
    missing or failed; `file` its name in the PBX's folder, `path` where it is kept. One that waits with `purged_at` set
    is an erased person's: what there is of it must be deleted."""

    async def search_recordings(
        self, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
    ) -> Page:
        """Newest first. Filters: start, end, campaign_id, agent_id, lead_id, number (E.164), attempt_id, disposition,
        state, duration_min."""
        ...

    async def missed_calls(
        self,
        group_id: int | None,
        *,
        done: bool,
        limit: int,
        owner: int | None = None,
        campaign_ids: Collection[int] = (),
        attempt_id: UUID | None = None,
    ) -> list[dict[str, Any]]:
        """Callers whom nobody talked with, oldest first, those done last done first; with their number (`e164`) and
        whom they dialled (`did`). `owner`: that agent's and everybody's; `campaign_ids`: of these, if any are named;
        `attempt_id`: that one alone."""
        ...

    async def missed_call_done(self, attempt_id: UUID, at: datetime, by: str) -> bool:
        """Tick a task off; False if it was, or there is none."""
        ...

    async def recording(self, id: int) -> dict[str, Any] | None: ...
    async def set_recording(self, id: int, changes: Mapping[str, Any]) -> None:
        """Change path, bytes, state, purged_at."""
        ...

    async def recordings_in(
        self, states: Sequence[str], before: datetime, limit: int, sites: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Rows in one of these states that began before that, oldest first; `sites`: of these alone."""
        ...
