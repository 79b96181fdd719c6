"""What others have still to be told of calls: the webhooks' outbox and the CRM journals, parts of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

OutboxKey = tuple[int, str, int, int]
"""(webhook id, site, fence, n): the fact a row tells of, to whom."""


@runtime_checkable
class WebhookStore(Protocol):
    """What webhooks have still to be told (CRMI-03). Rows of calls are put in by `apply_facts`."""

    async def outbox_due(
        self, webhook_id: int, sites: Sequence[str], now: datetime, limit: int
    ) -> list[dict[str, Any]]:
        """Undelivered rows whose time has come, oldest first, at most one a call, so that a call's steps arrive in
        order; only those of `sites`, so that of several daemons one alone sends them."""
        ...

    async def outbox_done(self, keys: Sequence[OutboxKey]) -> None:
        """Delivered."""
        ...

    async def outbox_failed(self, key: OutboxKey, next_at: datetime | None, error: str, now: datetime) -> None:
        """Try again at `next_at`; None puts it among the dead letters."""
        ...

    async def outbox_add(
        self,
        group_id: int,
        topic: str,
        payload: Mapping[str, Any],
        at: datetime,
        key: tuple[str, int, int],
        only: int = 0,
    ) -> int:
        """Tell the group's webhooks of what is no step of a call; `only` names one, whatever its topics. How many."""
        ...

    async def outbox_dead(
        self, webhook_id: int, after: tuple[datetime, int, int] | None, limit: int
    ) -> list[dict[str, Any]]:
        """Dead letters by (at, fence, n)."""
        ...

    async def outbox_replay(
        self, webhook_id: int, ids: Sequence[str] | None, now: datetime, expires_at: datetime
    ) -> int:
        """Make dead letters due again: those of the ids `site-fence-n`, None = all. How many."""
        ...

    async def outbox_figures(self, webhook_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """`pending`, `dead`, `oldest_at` (of what is pending) by webhook; those with no row are left out."""
        ...

    async def outbox_sweep(self, now: datetime, dead_before: datetime) -> int:
        """What nobody could deliver in its time becomes a dead letter (how many); old dead letters go."""
        ...


CrmKey = tuple[int, UUID, int]
"""(integration, attempt, agent): one journal a call and user."""


@runtime_checkable
class CrmStore(Protocol):
    """Finished calls that integrations are to be told of (YPS-11). Rows are put in by `apply_facts`; `state`: pending,
    sending, done, doubt (it may have arrived), dead, skipped (nobody to tell it for)."""

    async def crm_due(
        self, integration_id: int, sites: Sequence[str], now: datetime, limit: int
    ) -> list[dict[str, Any]]:
        """Pending and doubtful rows whose time has come, with the attempt, its agent and its lead; oldest first."""
        ...

    async def crm_mark(
        self,
        key: CrmKey,
        expected: Sequence[str],
        state: str,
        now: datetime,
        *,
        tried: bool = False,
        next_at: datetime | None = None,
        error: str = "",
        journal_id: str = "",
    ) -> bool:
        """Change a row's state if it is one of `expected`; False otherwise, and nothing is changed."""
        ...

    async def crm_lost(self, sites: Sequence[str], now: datetime) -> int:
        """What an ended daemon was sending is in doubt now. Count."""
        ...

    async def crm_replay(
        self, integration_id: int, states: Sequence[str], attempt_ids: Sequence[UUID] | None, now: datetime
    ) -> int:
        """Back to pending, as someone decided; all of these states if `attempt_ids` is None. Count."""
        ...

    async def crm_figures(self, integration_ids: Sequence[int]) -> dict[int, dict[str, dict[str, Any]]]:
        """By integration and state: `count`, `oldest_at`."""
        ...

    async def crm_rows(self, integration_id: int, state: str, before: int, limit: int) -> list[dict[str, Any]]:
        """Rows, newest call first, with numbers below `before` (0: all); `state` "" = any."""
        ...

    async def crm_trim(self, before: datetime) -> int:
        """Forget what was settled before. Count."""
        ...
