"""Telling a CRM of finished calls: each once, whatever becomes of the CRM, the network or this daemon.

A row is marked `sending` before its request leaves. An answer settles it; no answer leaves a doubt, which is settled by
asking the CRM (FindCallJournal), by sending again where that does no harm, or else by a person: `held`. A CRM that is
away is asked more and more rarely, with one row; the others wait untouched. Nothing here is ever waited for by a call.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from daemon.calls.crm_records import CrmTicket, CrmUser, Integration
from daemon.clock import Clock
from daemon.crm import scenarios
from daemon.crm.caller import Caller
from daemon.crm.contacts import Contacts
from daemon.crm.gotemplate import Scalar
from daemon.crm.options import Options
from daemon.crm.variables import call_variables
from daemon.crm.wire import CrmError
from daemon.errors import StoreConflict
from daemon.ports import CrmKey, CrmStore, Store

log = structlog.get_logger("cadran.crm")

REST_FIRST_S: Final = 5.0
REST_MAX_S: Final = 300.0
RETRY_FIRST_S: Final = 30.0
RETRY_MAX_S: Final = 3600.0
TRIES_MAX: Final = 8
"""Refusals of one row while others pass: about two hours of tries."""
DAYS_MAX: Final = 7
"""A CRM away for longer: what is older is given up, and listed."""
DOUBT_S: Final = 20.0
"""Before a CRM is asked whether it has a record: it may still be working on it."""


@dataclass(slots=True)
class Running:
    """An integration at work, and how it fares since this daemon started."""

    row: Integration
    caller: Caller
    options: Options
    contacts: Contacts
    users: dict[int, CrmUser] = field(default_factory=dict)
    failures: int = 0
    rests_until: float = 0.0
    sent: int = 0
    refused: int = 0
    last_error: str = ""
    last_error_at: datetime | None = None
    last_sent_at: datetime | None = None
    globals_due: float = 0.0

    @property
    def id(self) -> int:
        return self.row.id


class JournalWriter:
    """Works on the rows of any integration given to it."""

    def __init__(self, store: Store, clock: Clock, rng: random.Random) -> None:
        assert isinstance(store, CrmStore)
        self._store, self._journal = store, store
        self._clock, self._rng = clock, rng
        self.recording_url: Callable[[UUID, int], Awaitable[str]] | None = None
        """Attempt and group → a link to its recording, "" without one; given by the composition root."""

    async def look(self, running: Running, sites: list[str]) -> int:
        """Tell what is due, several calls at once. How many rows were looked at."""
        if self._clock.now() < running.rests_until:
            return 0
        limit = 1 if running.failures else running.caller.template.requests_max * 2
        rows = await self._journal.crm_due(running.id, sites, self._clock.utcnow(), limit)
        await asyncio.gather(*(self._tell(running, row) for row in rows))
        return len(rows)

    async def _tell(self, running: Running, row: Mapping[str, Any]) -> None:
        key: CrmKey = (row["integration_id"], row["id"], row["agent_id"])
        now = self._clock.utcnow()
        if now - row["queued_at"] > timedelta(days=DAYS_MAX):
            await self._journal.crm_mark(key, _OPEN, "dead", now, error=f"not delivered in {DAYS_MAX} days")
            return
        user = self._user(running, row)
        if user is None:
            reason = "no user of the CRM is associated with the agent" if row["agent_id"] else "no default user"
            await self._journal.crm_mark(key, _OPEN, "skipped", now, error=reason)
            return
        if row["e164"].startswith("~"):
            await self._journal.crm_mark(key, _OPEN, "skipped", now, error="the number was erased")
            return
        try:
            known = await self._prepared(running, row, user)
            if row["state"] == "doubt" and not await self._may_send(running, key, known):
                return
        except CrmError as error:
            await self._not_told(running, key, row, error, sent=False)
            return
        await self._send(running, key, row, known)

    @staticmethod
    def _user(running: Running, row: Mapping[str, Any]) -> Mapping[str, str] | None:
        """Whom it is told for; None: nobody, so it is not told (YPS-01, YPS-11)."""
        if not running.caller.template.on("UserAssociation"):
            return {}
        user = running.users.get(row["agent_id"]) if row["agent_id"] else None
        if user is not None:
            return {"crm_id": user.crm_id, "crm_first_name": user.first_name, "crm_last_name": user.last_name,
                    "crm_email": user.email}  # fmt: skip
        fallback = running.options.default_user
        return {"crm_id": fallback} if fallback and not row["agent_id"] else None

    async def _prepared(self, running: Running, row: Mapping[str, Any], user: Mapping[str, str]) -> dict[str, Scalar]:
        """The call's variables with its contact and ticket. Raises CrmError."""
        known = call_variables({**row, **user}, running.options.number_format, running.options.tz)
        if running.options.play_recordings and self.recording_url is not None:
            known["RecordPath"] = url = await self.recording_url(row["id"], row["group_id"])
            known["EnableCallRecording"] = 1 if url else 0
        inbound = row["kind"] == "inbound"
        contact = await running.contacts.of(
            row["e164"], inbound=inbound, create=True, first=row["lead_first_name"], last=row["lead_last_name"]
        )
        if contact is not None:
            known |= contact.variables | {"ContactNumber": known["ContactNumber"]}
            with_name("Callee" if not inbound else "Caller", known, contact.name)
        ticket = await self.ticket(running, str(row["id"]), known, ended=True)
        return known | ({"TicketId": ticket} if ticket else {})

    async def ticket(self, running: Running, attempt_id: str, known: Mapping[str, Scalar], *, ended: bool) -> str:
        """The call's ticket, made at most once; updated at the call's end if it was made. "" without one."""
        template = running.caller.template
        if not (template.on("CreateNewTicket") and running.options.tickets):
            return ""
        found = await self._store.find(CrmTicket, integration_id=running.id, attempt_id=attempt_id)
        ticket = found[0] if found else None
        if ticket is None or ticket.state == "failed":
            ticket = await self._make_ticket(running, attempt_id, known, ticket)
        if ended and ticket is not None and ticket.state == "made" and ticket.ticket_id:
            told = {**known, "TicketId": ticket.ticket_id}
            await scenarios.update_ticket(running.caller, told, running.options.texts)
            await self._store.update(CrmTicket, ticket.id, {"state": "updated"}, None)
        return ticket.ticket_id if ticket is not None else ""

    async def _make_ticket(
        self, running: Running, attempt_id: str, known: Mapping[str, Scalar], old: CrmTicket | None
    ) -> CrmTicket | None:
        try:
            if old is None:
                made = CrmTicket(group_id=running.row.group_id, integration_id=running.id, attempt_id=attempt_id)
                ticket = await self._store.create(made)
            else:
                ticket = await self._store.update(CrmTicket, old.id, {"state": "sending"}, old.version)
        except StoreConflict:
            return None  # another is at it
        try:
            id = await scenarios.create_ticket(running.caller, known, running.options.texts)
        except CrmError as error:
            if not error.in_doubt:  # in doubt it stays `sending` for good: a second ticket would be worse than none
                await self._store.update(CrmTicket, ticket.id, {"state": "failed"}, None)
            raise
        return await self._store.update(CrmTicket, ticket.id, {"state": "made", "ticket_id": id}, None)

    async def _may_send(self, running: Running, key: CrmKey, known: Mapping[str, Scalar]) -> bool:
        """A row in doubt: whether it is to be sent again. Otherwise it is settled here."""
        if scenarios.journal_is_idempotent(running.caller):
            return True
        found = await scenarios.find_journal(running.caller, known)
        if found is None:
            error = "it may have arrived, and the template can't ask: decide whether to send it again"
            await self._journal.crm_mark(key, ("doubt",), "held", self._clock.utcnow(), error=error)
            return False
        if found:
            await self._journal.crm_mark(key, ("doubt",), "done", self._clock.utcnow(), journal_id=found)
            self._well(running)
            return False
        return True

    async def _send(self, running: Running, key: CrmKey, row: Mapping[str, Any], known: Mapping[str, Scalar]) -> None:
        if not await self._journal.crm_mark(key, _OPEN, "sending", self._clock.utcnow()):
            return
        told = f"cadran-{key[0]}-{key[1]}-{key[2]}"
        try:
            reply = await scenarios.write_journal(running.caller, known, running.options.texts, told)
        except CrmError as error:
            await self._not_told(running, key, row, error, sent=True)
            return
        id = reply.first.get("JournalId", "")
        await self._journal.crm_mark(key, ("sending",), "done", self._clock.utcnow(), tried=True, journal_id=id)
        self._well(running)

    def _well(self, running: Running) -> None:
        running.failures, running.rests_until = 0, 0.0
        running.sent += 1
        running.last_sent_at = self._clock.utcnow()

    async def _not_told(
        self, running: Running, key: CrmKey, row: Mapping[str, Any], error: CrmError, *, sent: bool
    ) -> None:
        now = self._clock.utcnow()
        self.note(running, error)
        doubt = error.in_doubt if sent else row["state"] == "doubt"
        state, pause, tried = ("doubt" if doubt else "pending"), DOUBT_S if doubt else 0.0, False
        if error.ours:
            state = "dead"
        elif not error.down:
            tried = True
            pause = max(pause, min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** row["tries"]) * self._rng.uniform(0.75, 1.25))
            if row["tries"] + 1 >= TRIES_MAX:
                state = "dead"
        await self._journal.crm_mark(
            key, (*_OPEN, "sending"), state, now, tried=tried, next_at=now + timedelta(seconds=pause),
            error=f"{error.code}: {error}"[:300],
        )  # fmt: skip

    def note(self, running: Running, error: CrmError) -> None:
        """Remember an error; a CRM that is away rests, longer each time."""
        running.refused += 1
        running.last_error, running.last_error_at = f"{error.code}: {error}"[:300], self._clock.utcnow()
        log.warning("crm.failed", integration=running.id, code=error.code, error=str(error)[:300])
        if error.down or error.code == "token_invalid":
            rest = min(REST_MAX_S, REST_FIRST_S * 2.0 ** min(10, running.failures)) * self._rng.uniform(0.75, 1.25)
            running.failures += 1
            running.rests_until = max(running.rests_until, self._clock.now() + max(rest, error.retry_after_s))


def with_name(role: str, known: dict[str, Scalar], name: str) -> None:
    """The CRM's name of a person takes the place of ours, which may be none."""
    number = known[f"{role}Number"]
    side = "Call_From" if role == "Caller" else "Call_To"
    if name:
        known[f"{role}Name"] = known["DisplayName"] = name
        known[side] = f"{name} <{number}>"


_OPEN = ("pending", "doubt")
