"""Integrations at work: loaded from the store, one worker each, and what the doors may ask of them.

One a daemon, run by the composition root. It tells CRMs only of calls of the sites this daemon leads, so that of
several daemons one alone does. Nothing of the engine waits for it; without it calls go on the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from daemon.calls.crm_records import CrmTemplateFile, CrmUser, Integration
from daemon.calls.records import Agent
from daemon.clock import Clock
from daemon.crm import scenarios, trial
from daemon.crm.auth import Authenticator, CodeFlow, Tokens
from daemon.crm.caller import Caller
from daemon.crm.contacts import Contacts
from daemon.crm.journal import JournalWriter, Running
from daemon.crm.model import CrmTemplate, Refused
from daemon.crm.options import Options, read_options
from daemon.crm.pops import Pop, Pops
from daemon.crm.template import load
from daemon.crm.vault import Vault, VaultError
from daemon.crm.wire import CrmError, Http
from daemon.engine.views import EngineDoor
from daemon.errors import CommandError, StoreConflict, StoreError
from daemon.ports import CrmStore, Store
from daemon.works import Works

log = structlog.get_logger("cadran.crm")

POLL_S: Final = 1.0
RELOAD_S: Final = 5.0
"""Another daemon's changes are seen within this time; our own at once."""
GLOBALS_RETRY_S: Final = 60.0
TRIM_S: Final = 3600.0
KEPT_DAYS: Final = 90
FLOW_S: Final = 600.0
FLOWS_MAX: Final = 100
TEMPLATES_MAX: Final = 10


class CrmService:
    """See the module's first lines."""

    def __init__(
        self,
        store: Store,
        http: Http,
        vault: Vault,
        clock: Clock,
        rng: random.Random,
        *,
        sites: Callable[[], Sequence[str]],
        random_bytes: Callable[[int], bytes],
        works: Works | None = None,
    ) -> None:
        assert isinstance(store, CrmStore)
        self._store, self._journal, self._http, self._vault = store, store, http, vault
        self._clock, self._rng, self._sites, self._bytes = clock, rng, sites, random_bytes
        self._works = works or Works(clock)
        self.running: dict[int, Running] = {}
        self.broken: dict[int, str] = {}
        self.writer = JournalWriter(store, clock, rng)
        self.pops = Pops(store, http, clock, lambda: list(self.running.values()), self.writer, self._works)
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._flows: dict[str, tuple[int, float, CodeFlow]] = {}
        self._mine: set[str] = set()
        self._changed = asyncio.Event()

    # -- work --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        popping = asyncio.create_task(self._works.keep("crm pops", self.pops.run), name="crm pops")
        trimmed = self._clock.now()
        try:
            while True:
                self._changed.clear()
                try:
                    await self._staff()
                    if self._clock.now() - trimmed >= TRIM_S:
                        trimmed = self._clock.now()
                        await self._journal.crm_trim(self._clock.utcnow() - timedelta(days=KEPT_DAYS))
                except StoreError as error:
                    log.warning("crm.waits_for_store", error=type(error).__name__)
                with suppress(TimeoutError):
                    async with asyncio.timeout(RELOAD_S):
                        await self._changed.wait()
        finally:
            for task in (popping, *self._workers.values()):
                task.cancel()
            await asyncio.gather(popping, *self._workers.values(), return_exceptions=True)
            self._workers.clear()

    def listen(self, door: EngineDoor) -> Callable[[], None]:
        """Hear of calls as they go; returns what ends it."""
        return door.listen(self.pops.on_change)

    def changed(self) -> None:
        """Rows were written here: look at them now."""
        self._changed.set()

    async def _staff(self) -> None:
        """One worker for each integration that is on; a changed row is taken up whole, between two looks."""
        rows = {row.id: row for row in await self._store.find(Integration, enabled=True)}
        for id in [id for id in self._workers if id not in rows or self._workers[id].done()]:
            self._workers.pop(id).cancel()
            self.running.pop(id, None)
        for id in [id for id in self.broken if id not in rows]:
            del self.broken[id]
        for id, row in rows.items():
            known = self.running.get(id)
            if known is None or known.row.version != row.version:
                try:
                    self.running[id] = await self.build(row)
                    self.broken.pop(id, None)
                except (Refused, VaultError, msgspec.ValidationError) as error:
                    self.broken[id] = str(error)
                    continue
            else:
                known.users = await self._users(id)
            if id not in self._workers:
                name, serve = f"integration {id}", partial(self._serve, id)
                self._workers[id] = asyncio.create_task(self._works.keep(name, serve), name=name)

    async def build(self, row: Integration) -> Running:
        """An integration ready to be asked. Raises Refused, VaultError, ValidationError."""
        template, options = load(row.source.encode()), read_options(row.options)
        sealed = self._vault.open(row.sealed, what_of(row.id))
        fields = {**row.fields, **sealed.get("fields", {})}
        tokens = msgspec.convert(sealed.get("tokens", {}), Tokens)

        async def keep(new: Tokens) -> None:
            await self._keep_tokens(row.id, new)

        auth = Authenticator(template, fields, self._http, self._clock, tokens=tokens, on_change=keep)
        caller = Caller(auth, self._http, self._clock, options.tz)
        contacts = Contacts(caller, options, self._clock)
        return Running(row, caller, options, contacts, await self._users(row.id))

    async def _users(self, id: int) -> dict[int, CrmUser]:
        found = await self._store.find(CrmUser, integration_id=id)
        return {user.agent_id: user for user in found if user.agent_id}

    async def _keep_tokens(self, id: int, tokens: Tokens) -> None:
        row = await self._store.get(Integration, id)
        if row is None:
            return
        content = self._vault.open(row.sealed, what_of(id)) | {"tokens": msgspec.to_builtins(tokens)}
        after = await self._store.update(Integration, id, {"sealed": self._vault.seal(content, what_of(id))}, None)
        known = self.running.get(id)
        if known is not None and known.row.version == row.version:
            known.row = after  # the change is our own: nothing to take up

    async def _serve(self, id: int) -> None:
        while True:
            looked = 0
            running = self.running.get(id)
            try:
                if running is not None and running.caller.auth.connected:
                    looked = await self._look(running)
            except StoreError as error:
                log.warning("crm.waits_for_store", integration=id, error=type(error).__name__)
            if not looked:
                await asyncio.sleep(POLL_S)

    async def _look(self, running: Running) -> int:
        sites = list(self._sites())
        new = [site for site in sites if site not in self._mine]
        if new:  # first of all: what whoever led them before was sending
            await self._journal.crm_lost(new, self._clock.utcnow())
        self._mine = set(sites)
        await self._globals(running)
        return await self.writer.look(running, sites) if sites else 0

    async def _globals(self, running: Running) -> None:
        """YPS-14: at the start; again each minute until it succeeds."""
        if self._clock.now() < running.globals_due:
            return
        running.globals_due = float("inf")
        try:
            await scenarios.global_info(running.caller)
        except CrmError as error:
            running.globals_due = self._clock.now() + GLOBALS_RETRY_S
            self.writer.note(running, error)

    # -- what the doors ask ------------------------------------------------------------------------------------------

    def status(self, row: Integration) -> dict[str, Any]:
        """How an integration fares since this daemon started.

        `state`: off, starting, broken, unauthorized, degraded, connected.
        """
        if not row.enabled:
            return {"state": "off"}
        running = self.running.get(row.id)
        if running is None:
            return {
                "state": "broken" if row.id in self.broken else "starting",
                "last_error": self.broken.get(row.id, ""),
            }
        authorized = running.caller.auth.connected
        degraded = running.failures > 0 or running.globals_due not in (0.0, float("inf"))
        return {
            "state": "unauthorized" if not authorized else "degraded" if degraded else "connected",
            "sent": running.sent,
            "failed": running.refused,
            "last_error": running.last_error,
            "last_error_at": running.last_error_at,
            "last_sent_at": running.last_sent_at,
            "in_flight": running.caller.in_flight,
            "looked_up": running.contacts.queries,
            "from_memory": running.contacts.hits,
            "contacts_created": running.contacts.created,
        }

    def sealed_with(self, row: Integration, secrets: Mapping[str, str]) -> str:
        """The row's secrets with these in place of the old; "" takes one away."""
        content = self._vault.open(row.sealed, what_of(row.id))
        fields = {name: text for name, text in {**content.get("fields", {}), **secrets}.items() if text}
        return self._vault.seal(content | {"fields": fields}, what_of(row.id))

    def secret_names(self, row: Integration) -> list[str]:
        """Which secret fields have a value."""
        try:
            return sorted(self._vault.open(row.sealed, what_of(row.id)).get("fields", {}))
        except VaultError:
            return []

    async def try_step(self, row: Integration, step: str, phone: str, user: str) -> trial.Trial:
        """One step of a test, on an integration that may be off. Raises CommandError."""
        running = self.running.get(row.id) if row.enabled else None
        running = running or await self._built(row)
        if step not in ("connect", "globals") and not running.caller.globals:
            with suppress(CrmError):
                await scenarios.global_info(running.caller)
        return await trial.run_step(running.caller, step, phone, running.options, self._clock.utcnow(), user)

    async def _built(self, row: Integration) -> Running:
        try:
            return await self.build(row)
        except (Refused, VaultError, msgspec.ValidationError) as error:
            raise CommandError("crm_template_refused", {"reason": str(error)}) from error

    async def read_users(self, row: Integration) -> list[CrmUser]:
        """Fetch the CRM's people (YPS-01); who has gone goes, associations stay. Raises CommandError."""
        running = await self._built(row)
        try:
            await scenarios.global_info(running.caller)
            found = await scenarios.users(running.caller)
        except CrmError as error:
            raise CommandError("crm_failed", {"reason": f"{error.code}: {error}"}) from error
        known = {user.crm_id: user for user in await self._store.find(CrmUser, integration_id=row.id)}
        fresh = {user.id: user for user in found}
        for crm_id, old in known.items():
            if crm_id not in fresh:
                await self._store.delete(CrmUser, old.id, None)
        for crm_id, user in fresh.items():
            values = {"first_name": user.first_name, "last_name": user.last_name, "email": user.email}
            if crm_id in known:
                await self._store.update(CrmUser, known[crm_id].id, values, None)
            else:
                made = CrmUser(group_id=row.group_id, integration_id=row.id, crm_id=crm_id)
                made = msgspec.structs.replace(made, **values)
                with suppress(StoreConflict):
                    await self._store.create(made)
        self.changed()
        return await self._store.find(CrmUser, integration_id=row.id)

    async def associate(self, row: Integration) -> tuple[int, list[str]]:
        """By e-mail: an agent whose login is a user's address, whatever the case. How many, and addresses that two
        users share: those are left to a person."""
        users = await self._store.find(CrmUser, integration_id=row.id)
        agents = {agent.login.lower(): agent for agent in await self._store.find(Agent, group_id=row.group_id)}
        emails = [user.email.lower() for user in users if user.email]
        twice = sorted({email for email in emails if emails.count(email) > 1})
        taken = {user.agent_id for user in users if user.agent_id}
        count = 0
        for user in users:
            agent = agents.get(user.email.lower())
            if user.agent_id or agent is None or user.email.lower() in twice or agent.id in taken:
                continue
            await self._store.update(CrmUser, user.id, {"agent_id": agent.id}, None)
            taken.add(agent.id)
            count += 1
        self.changed()
        return count, twice

    async def begin_authorization(self, row: Integration, redirect_uri: str) -> str:
        """The URL to send the browser to (YPA-03). Raises CommandError."""
        running = await self._built(row)
        if running.caller.template.auth != "oauth2":
            raise CommandError("crm_failed", {"reason": "this template does not use OAuth2"})
        try:
            flow = running.caller.auth.begin(redirect_uri, self._bytes)
        except CrmError as error:
            raise CommandError("crm_failed", {"reason": str(error)}) from error
        now = self._clock.now()
        self._flows = {state: kept for state, kept in self._flows.items() if now - kept[1] < FLOW_S}
        if len(self._flows) >= FLOWS_MAX:
            raise CommandError("crm_failed", {"reason": "too many authorizations under way; try again in 10 minutes"})
        self._flows[flow.state] = (row.id, now, flow)
        return flow.url

    async def finish_authorization(self, state: str, code: str, error: str) -> None:
        """What the CRM's page sent back with the browser. Raises CommandError; a state is good once, for 10 minutes."""
        id, at, flow = self._flows.pop(state, (0, 0.0, None))
        row = await self._store.get(Integration, id) if id else None
        if flow is None or row is None or self._clock.now() - at > FLOW_S:
            raise CommandError("crm_failed", {"reason": "this authorization is not one that was begun here"})
        if error or not code:
            raise CommandError("crm_failed", {"reason": f"the CRM did not grant access: {error[:100] or 'no code'}"})
        running = await self._built(row)
        try:
            await running.caller.auth.finish(flow, code)
        except CrmError as failed:
            raise CommandError("crm_failed", {"reason": f"{failed.code}: {failed}"}) from failed
        self.running.pop(id, None)
        self.changed()

    async def pop(self, attempt_id: str, agent_id: int, wait_s: float) -> Pop | None:
        """The page of an agent's call."""
        return await self.pops.of(attempt_id, agent_id, wait_s)


def what_of(id: int) -> str:
    """The name that an integration's secrets are sealed under."""
    return f"integration {id}"


def checked(data: bytes) -> CrmTemplate:
    """A template as uploaded. Raises CommandError with its first problem and all of them."""
    try:
        return load(data)
    except Refused as refused:
        problems = [{"line": each.line, "message": each.message, "error": each.error} for each in refused.problems[:50]]
        raise CommandError("crm_template_refused", {"reason": str(refused), "problems": problems}) from refused


async def keep_template(store: Store, group_id: int, data: bytes) -> CrmTemplateFile:
    """Add an uploaded template, or replace the group's one of the same Key. Raises CommandError (YPT-01)."""
    template = checked(data)
    known = await store.find(CrmTemplateFile, group_id=group_id)
    same = next((each for each in known if each.key == template.key), None)
    values = {"name": template.name, "source": data.decode("utf-8-sig")}
    if same is not None:
        return await store.update(CrmTemplateFile, same.id, values, None)
    if len(known) >= TEMPLATES_MAX:
        raise CommandError("crm_templates_full", {"allowed": TEMPLATES_MAX})
    made = CrmTemplateFile(group_id=group_id, key=template.key, name=values["name"], source=values["source"])
    return await store.create(made)


def options_of(given: Mapping[str, Any]) -> Options:
    """Options as given by a person. Raises CommandError."""
    try:
        return read_options(given)
    except msgspec.ValidationError as error:
        raise CommandError("field_invalid", {"field": "options", "value": "…", "allowed": str(error)}) from error
