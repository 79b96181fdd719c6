"""The store in memory: the same contract as PostgreSQL's, for tests and simulated time.

Each operation happens at one instant, between `faults.before(op)` and `faults.after(op)`: what `before` raises means
nothing was done, what `after` raises means it was done and the answer was lost. Those are the crash points before and
after each commit. Several stores may share one `MemoryTables`, as daemons share a database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import LeadList
from daemon.clock import Clock
from daemon.errors import StoreConflict, StoreUnavailable
from daemon.ports import ConsentRules, ImportTarget, Page, Pseudonyms
from daemon.store import memory_figures, memory_privacy, memory_reports, memory_retention
from daemon.store import memory_people as people
from daemon.store import memory_search as search
from daemon.store.changes import MemoryChanges
from daemon.store.freeing import MemoryFreeing
from daemon.store.memory_crm import MemoryCrm
from daemon.store.memory_dialling import MemoryDialling
from daemon.store.memory_drafts import MemoryDrafts
from daemon.store.memory_facts import FactApplier
from daemon.store.memory_holding import MemoryHolding
from daemon.store.memory_outbox import MemoryOutbox
from daemon.store.memory_rows import MemoryRows
from daemon.store.memory_staging import MemoryStaging
from daemon.store.memory_tables import MemoryTables
from daemon.store.memory_tapes import MemoryTapes
from daemon.store.numbers import MemoryNumbers
from daemon.store.tables import (
    CALL_LOG_COLUMNS,
)


class Faults(Protocol):
    """Where a test makes the store slow, absent or amnesiac. `op` is the method's name."""

    async def before(self, op: str) -> None: ...
    async def after(self, op: str) -> None: ...


class NoFaults:
    """Nothing goes wrong."""

    async def before(self, op: str) -> None:
        return

    async def after(self, op: str) -> None:
        return


class MemoryStore(
    MemoryDialling,
    MemoryHolding,
    MemoryRows,
    MemoryOutbox,
    MemoryCrm,
    MemoryTapes,
    MemoryDrafts,
    MemoryNumbers,
    MemoryFreeing,
    MemoryChanges,
):
    """Implements daemon.ports.Store, LeadSink, WebhookStore and CrmStore. The lease lives by `clock.now()`."""

    def __init__(self, clock: Clock, *, tables: MemoryTables | None = None, faults: Faults | None = None) -> None:
        self.tables = tables if tables is not None else MemoryTables()
        self.faults: Faults = faults if faults is not None else NoFaults()
        self._clock = clock
        self._facts = FactApplier(self.tables)
        self._open = False
        self._pseudonyms: Pseudonyms | None = None
        self._consent_rules = ConsentRules()
        self._doubtful: dict[tuple[str, int], list[int]] = {}

    async def _do(self, op: str, work: Callable[[], Any]) -> Any:
        if not self._open:
            raise StoreUnavailable("the store is not open")
        await self.faults.before(op)
        result = work()
        await self.faults.after(op)
        return result

    async def open(self) -> None:
        await self.faults.before("open")
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def ping(self) -> None:
        await self._do("ping", lambda: None)

    # -- leads and history -------------------------------------------------------------------------------------------

    def use_consent_rules(self, rules: ConsentRules) -> None:
        self._consent_rules = rules

    async def review_consent(self, limit: int) -> list[int]:
        found: list[int] = await self._do("review_consent", lambda: people.review(self.tables, self._consent_rules))
        return found

    async def add_leads(self, list_id: int, drafts: Sequence[LeadDraft]) -> list[int]:
        now = self._clock.utcnow()

        def work() -> list[int]:
            listed = self.tables.config[LeadList].get(list_id)
            if isinstance(listed, LeadList):
                numbers = [draft.e164 for draft in drafts]
                memory_privacy.take_back(self.tables, self._pseudonyms, listed.group_id, numbers)
            return people.add(self.tables, list_id, drafts, now, self._consent_rules)

        ids: list[int] = await self._do("add_leads", work)
        return ids

    async def open_staging(self, target: ImportTarget) -> MemoryStaging:
        staging: MemoryStaging = await self._do(
            "open_staging", lambda: MemoryStaging(self.tables, target, self._do, self._pseudonyms, self._consent_rules)
        )
        return staging

    async def finish_merges(self) -> int:
        return 0  # all of an import is done at once here

    async def update_lead(self, lead_id: int, changes: Mapping[str, Any]) -> bool:
        return bool(await self._do("update_lead", lambda: people.update(self.tables, lead_id, changes)))

    async def search_leads(self, group_id: int, filters: Mapping[str, Any], limit: int, after: str | None) -> Page:
        page: Page = await self._do(
            "search_leads", lambda: search.search_leads(self.tables, group_id, filters, limit, after)
        )
        return page

    async def lead_history(self, lead_id: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._do("lead_history", lambda: people.history(self.tables, lead_id))
        return rows

    async def search_attempts(
        self, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
    ) -> Page:
        page: Page = await self._do(
            "search_attempts", lambda: search.search_attempts(self.tables, group_id, filters, limit, after)
        )
        return page

    async def attempt(self, key: UUID | int) -> dict[str, Any] | None:
        row: dict[str, Any] | None = await self._do("attempt", lambda: people.attempt(self.tables, key))
        return row

    async def set_dnc(self, client_id: int, e164: str, on: bool, by: str, source: str) -> list[int]:
        now = self._clock.utcnow()

        def work() -> list[int]:
            if not on and self._pseudonyms is not None:
                self.tables.dnc.pop((client_id, self._pseudonyms.of(e164)), None)
            return people.set_dnc(self.tables, client_id, e164, on, {"at": now, "by": by, "source": source})

        ids: list[int] = await self._do("set_dnc", work)
        return ids

    async def add_dnc(self, client_id: int, e164s: Sequence[str], by: str, source: str) -> tuple[int, int]:
        entry = {"at": self._clock.utcnow(), "by": by, "source": source}
        found: tuple[int, int] = await self._do("add_dnc", lambda: people.add_dnc(self.tables, client_id, e164s, entry))
        return found

    async def add_consent(self, client_id: int, e164: str, consent: Mapping[str, Any]) -> list[int]:
        ids: list[int] = await self._do(
            "add_consent", lambda: people.add_consent(self.tables, client_id, e164, consent)
        )
        return ids

    async def revoke_consent(self, client_id: int, e164: str, at: datetime) -> list[int]:
        ids: list[int] = await self._do(
            "revoke_consent", lambda: people.revoke_consent(self.tables, client_id, e164, at)
        )
        return ids

    async def call_sums(
        self,
        group_id: int | None,
        filters: Mapping[str, Any],
        by: str,
        zone: str,
        digits: int,
        increments: Sequence[int],
    ) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            return memory_figures.call_sums(self.tables, group_id, filters, by, zone, digits, increments)

        rows: list[dict[str, Any]] = await self._do("call_sums", work)
        return rows

    async def stream_attempts(self, group_id: int | None, filters: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        after: str | None = None
        while True:
            page = await self.search_attempts(group_id, filters, 1000, after)
            for row in page.rows:
                yield row
            if (after := page.next_after) is None:
                return

    # -- a person's rights -------------------------------------------------------------------------------------------

    async def use_pseudonyms(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms

    async def person(self, group_id: int, e164: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._do(
            "person", lambda: memory_privacy.person(self.tables, self._pseudonyms, group_id, e164)
        )
        return found

    async def number_history(self, group_id: int, e164: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = await self._do(
            "number_history", lambda: memory_privacy.number_history(self.tables, self._pseudonyms, group_id, e164)
        )
        return found

    async def on_red_list(self, client_id: int, e164: str) -> bool:
        names = [e164] + ([self._pseudonyms.of(e164)] if self._pseudonyms is not None else [])
        return bool(await self._do("on_red_list", lambda: any((client_id, name) in self.tables.dnc for name in names)))

    async def erase_person(self, group_id: int, e164: str) -> dict[str, Any]:
        now = self._clock.utcnow()
        done: dict[str, Any] = await self._do(
            "erase_person", lambda: memory_privacy.erase(self.tables, self._pseudonyms, group_id, e164, now)
        )
        return done

    async def stale_people(
        self, before: datetime, after: int, limit: int, proof_before: datetime | None = None
    ) -> tuple[list[tuple[int, str]], int | None]:
        proof = min(before, proof_before or before)
        found: tuple[list[tuple[int, str]], int | None] = await self._do(
            "stale_people", lambda: memory_retention.stale_people(self.tables, before, after, limit, proof)
        )
        return found

    async def purge_steps(self, before: datetime) -> dict[str, int]:
        counts: dict[str, int] = await self._do(
            "purge_steps", lambda: memory_retention.purge_steps(self.tables, before)
        )
        return counts

    async def note(self, by: str, what: str, target: str, detail: dict[str, Any]) -> None:
        row = {"site": "", "at": self._clock.utcnow(), "by": by, "what": what, "target": target, "detail": detail}
        await self._do("note", lambda: self.tables.audit.append(row | {"id": len(self.tables.audit) + 1}))

    async def ledger_rows(self, campaign_id: int, since: datetime) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._do(
            "ledger_rows", lambda: people.ledger_rows(self.tables, campaign_id, since)
        )
        return rows

    async def report(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._do("report", lambda: memory_reports.run(self.tables, name, parameters))
        return rows

    async def stream(self, name: str, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        for row in await self.report(name, **parameters):
            yield row

    async def log_api_call(self, row: Mapping[str, Any]) -> None:
        await self.log_api_calls([row])

    async def log_api_calls(self, rows: Sequence[Mapping[str, Any]]) -> None:
        def work() -> None:
            defaults = {"group_id": 0, "token_id": 0, "endpoint": "", "number_called": "", "phone_line_used": ""}
            defaults |= {"call_id": None, "success": False, "status": 0, "error": "", "ip_address": ""}
            if unknown := sorted({name for row in rows for name in row} - set(CALL_LOG_COLUMNS)):
                raise StoreConflict(f"api_call_logs has no {unknown[0]}", unknown[0])
            logs = self.tables.api_call_logs
            for row in rows:
                logs.append({"id": len(logs) + 1} | defaults | {"response_time_ms": 0.0} | dict(row))

        await self._do("log_api_call", work)
