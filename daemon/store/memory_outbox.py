"""The outbox in memory: the same answers as `outbox` gives on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from daemon.calls.records import Webhook
from daemon.ports import OutboxKey
from daemon.store.memory_tables import MemoryTables

_SHOWN = ("at", "topic", "attempt_id", "payload", "tries", "error")


def wanted_by(tables: MemoryTables, group_id: int, topic: str, only: int = 0) -> list[int]:
    """Ids of the group's webhooks that are told of a topic."""
    hooks = [each for _, each in sorted(tables.config[Webhook].items()) if isinstance(each, Webhook)]
    mine = [each for each in hooks if each.group_id == group_id]
    if only:
        return [each.id for each in mine if each.id == only]
    return [each.id for each in mine if each.enabled and (not each.topics or topic in each.topics)]


def _expiry(row: Mapping[str, Any]) -> datetime:
    given: datetime | None = row["expires_at"]
    at: datetime = row["at"]
    return given or at + timedelta(days=1)


def _key_fields(key: OutboxKey) -> dict[str, Any]:
    return dict(zip(("webhook_id", "site", "fence", "n"), key, strict=True))


class MemoryOutbox:
    """Part of MemoryStore: webhooks. Implements daemon.ports.WebhookStore."""

    tables: MemoryTables
    _do: Callable[..., Any]

    async def outbox_due(
        self, webhook_id: int, sites: Sequence[str], now: datetime, limit: int
    ) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            mine = [(key, row) for key, row in self.tables.outbox.items() if key[0] == webhook_id]
            open_ = [(key, row) for key, row in mine if row["dead_at"] is None]
            first: dict[Any, tuple[int, int]] = {}
            for (_, _, fence, n), row in open_:
                call = row["attempt_id"]
                first[call] = min(first.get(call, (fence, n)), (fence, n))
            due = []
            for key, row in open_:
                turn = row["attempt_id"] is None or first[row["attempt_id"]] == key[2:]
                if turn and row["next_at"] <= now and key[1] in sites:
                    shown = {name: row[name] for name in _SHOWN} | {"expires_at": _expiry(row)}
                    due.append((row["next_at"], key[2], key[3], _key_fields(key) | shown))
            due.sort(key=lambda each: each[:3])
            return [each[3] for each in due[:limit]]

        rows: list[dict[str, Any]] = await self._do("outbox_due", work)
        return rows

    async def outbox_done(self, keys: Sequence[OutboxKey]) -> None:
        await self._do("outbox_done", lambda: [self.tables.outbox.pop(key, None) for key in keys])

    async def outbox_failed(self, key: OutboxKey, next_at: datetime | None, error: str, now: datetime) -> None:
        def work() -> None:
            if (row := self.tables.outbox.get(key)) is not None:
                row["tries"] += 1
                row["error"], row["next_at"] = error, next_at or row["next_at"]
                row["dead_at"] = now if next_at is None else None

        await self._do("outbox_failed", work)

    async def outbox_add(
        self,
        group_id: int,
        topic: str,
        payload: Mapping[str, Any],
        at: datetime,
        key: tuple[str, int, int],
        only: int = 0,
    ) -> int:
        def work() -> int:
            hooks = [id for id in wanted_by(self.tables, group_id, topic, only) if (id, *key) not in self.tables.outbox]
            for id in hooks:
                self.tables.outbox[id, *key] = new_row(at, topic, None, dict(payload))
            return len(hooks)

        added: int = await self._do("outbox_add", work)
        return added

    async def outbox_dead(
        self, webhook_id: int, after: tuple[datetime, int, int] | None, limit: int
    ) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            dead = [
                (row["at"], key[2], key[3], _key_fields(key) | {name: row[name] for name in (*_SHOWN, "dead_at")})
                for key, row in self.tables.outbox.items()
                if key[0] == webhook_id and row["dead_at"] is not None
            ]
            dead.sort(key=lambda each: each[:3])
            return [each[3] for each in dead if after is None or each[:3] > after][:limit]

        rows: list[dict[str, Any]] = await self._do("outbox_dead", work)
        return rows

    async def outbox_replay(
        self, webhook_id: int, ids: Sequence[str] | None, now: datetime, expires_at: datetime
    ) -> int:
        def work() -> int:
            count = 0
            for key, row in self.tables.outbox.items():
                named = ids is None or "-".join(str(part) for part in key[1:]) in ids
                if key[0] == webhook_id and row["dead_at"] is not None and named:
                    row.update(dead_at=None, tries=0, next_at=now, expires_at=expires_at)
                    count += 1
            return count

        replayed: int = await self._do("outbox_replay", work)
        return replayed

    async def outbox_figures(self, webhook_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        def work() -> dict[int, dict[str, Any]]:
            figures: dict[int, dict[str, Any]] = {}
            for key, row in self.tables.outbox.items():
                if key[0] not in webhook_ids:
                    continue
                mine = figures.setdefault(key[0], {"pending": 0, "dead": 0, "oldest_at": None})
                if row["dead_at"] is not None:
                    mine["dead"] += 1
                    continue
                mine["pending"] += 1
                mine["oldest_at"] = min(mine["oldest_at"] or row["at"], row["at"])
            return figures

        found: dict[int, dict[str, Any]] = await self._do("outbox_figures", work)
        return found

    async def outbox_sweep(self, now: datetime, dead_before: datetime) -> int:
        def work() -> int:
            count = 0
            for key, row in list(self.tables.outbox.items()):
                if row["dead_at"] is None and _expiry(row) <= now:
                    row["dead_at"], row["error"] = now, row["error"] or "not delivered within its time"
                    count += 1
                elif row["dead_at"] is not None and row["dead_at"] < dead_before:
                    del self.tables.outbox[key]
            return count

        expired: int = await self._do("outbox_sweep", work)
        return expired


def new_row(at: datetime, topic: str, attempt_id: Any, payload: dict[str, Any]) -> dict[str, Any]:
    """A row that nobody tried yet."""
    row = {"at": at, "topic": topic, "attempt_id": attempt_id, "payload": payload, "tries": 0, "next_at": at}
    return row | {"error": "", "dead_at": None, "expires_at": None}
