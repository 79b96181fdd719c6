"""What the API shows and changes of integrations, in plain values; secrets go in and never come out.

Given to the API by the composition root (daemon.api.crm_api.CrmDoor); the two are strangers otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from daemon.calls.crm_records import CrmTemplateFile, CrmTicket, CrmUser, Integration
from daemon.crm import logo, trial
from daemon.crm.model import CrmTemplate, Refused
from daemon.crm.pops import Pop
from daemon.crm.service import CrmService, checked, keep_template, options_of
from daemon.crm.shipped import shipped_templates
from daemon.crm.template import load
from daemon.errors import CommandError, StoreConflict
from daemon.ports import CrmStore, Store


def described(template: CrmTemplate) -> dict[str, Any]:
    """A template in a list."""
    features = ("UserAssociation", "CallJournal", "CreateNewContact", "CreateNewTicket")
    return {
        "key": template.key,
        "name": template.name,
        "provider": template.provider,
        "auth": template.auth,
        "remark": template.information.get("Remark", ""),
        "template_version": template.information.get("Version", ""),
        "features": [name for name in features if template.on(name)],
        "requests_max": template.requests_max,
        "contact_types": [request.name for request in template.scenario("SyncContactAuto").requests],
        "fields": [msgspec.to_builtins(field) for field in map(_field, template.fields)],
        "warnings": [{"line": each.line, "message": each.message} for each in template.warnings],
    }


def _field(field: Any) -> dict[str, Any]:
    return {"name": field.name, "editor": field.editor, "title": field.title, "options": list(field.options)}


class Door:
    """See the module's first lines."""

    def __init__(self, service: CrmService, store: Store) -> None:
        assert isinstance(store, CrmStore)
        self._service, self._store, self._journal = service, store, store

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """For /metrics (daemon.bounds.Counted): no site, what, how often since the start."""
        for id, running in sorted(self._service.running.items()):
            yield "", f"integration {id} told", running.sent
            yield "", f"integration {id} failed", running.refused
            yield "", f"integration {id} looked up", running.contacts.queries
        pops = self._service.pops
        yield from (("", f"crm pages {what}", n) for what, n in (("shown", pops.made), ("late", pops.late),
                                                               ("dropped", pops.dropped)))  # fmt: skip

    # -- templates ---------------------------------------------------------------------------------------------------

    async def templates(self, group_id: int) -> list[dict[str, Any]]:
        """Shipped ones first, then the group's."""
        rows = [described(load(data)) | {"id": 0, "logo": ""} for data in shipped_templates().values()]
        files = await self._store.find(CrmTemplateFile, group_id=group_id)
        return rows + [
            described(load(file.source.encode())) | {"id": file.id, "logo": f"{file.version}" if file.logo else ""}
            for file in files
        ]

    async def upload(self, group_id: int, data: bytes) -> dict[str, Any]:
        """Keep a template; its description and id. Raises CommandError."""
        kept = await keep_template(self._store, group_id, data)
        return described(load(kept.source.encode())) | {"id": kept.id}

    async def source(self, group_id: int, key: str) -> str:
        """A template's XML by its Key, the group's own before a shipped one. Raises CommandError not_found."""
        for file in await self._store.find(CrmTemplateFile, group_id=group_id, key=key):
            return file.source
        for data in shipped_templates().values():
            if load(data).key == key:
                return data.decode()
        raise CommandError("not_found", {"what": f"template {key}"})

    async def set_logo(self, group_id: int, key: str, data: bytes) -> dict[str, Any]:
        """Keep the logo of an uploaded template; no bytes take it away. Raises CommandError."""
        file = await self._file(group_id, key)
        try:
            found = logo.look_at(data) if data else None
        except logo.LogoRefused as error:
            raise CommandError("crm_logo_refused", {"reason": str(error)}) from error
        await self._store.update(CrmTemplateFile, file.id, {"logo": logo.kept(data, found) if found else ""}, None)
        shown = {"media": found.media, "width": found.width, "height": found.height} if found else {}
        return {"key": key, "suggested_size": bool(found and found.suggested), **shown}

    async def logo(self, group_id: int, key: str) -> tuple[str, bytes]:
        """Its type and bytes. Raises CommandError not_found."""
        file = await self._file(group_id, key)
        if not file.logo:
            raise CommandError("not_found", {"what": f"logo {key}"})
        return logo.opened(file.logo)

    async def _file(self, group_id: int, key: str) -> CrmTemplateFile:
        for file in await self._store.find(CrmTemplateFile, group_id=group_id, key=key):
            return file
        raise CommandError("not_found", {"what": f"template {key}"})

    # -- integrations ------------------------------------------------------------------------------------------------

    async def troubles(self, group_id: int) -> list[dict[str, Any]]:
        """Switched-on integrations that are not well, and how many calls wait to be told to each. No text of the CRM's:
        that is for administrators."""
        found = []
        for row in await self._store.find(Integration, group_id=group_id, enabled=True):
            status = self._service.status(row)
            if status["state"] in ("broken", "unauthorized", "degraded"):
                found.append(
                    {"id": row.id, "name": row.name, "state": status["state"], "failed": status.get("failed", 0)}
                )
        figures = await self._journal.crm_figures([row["id"] for row in found]) if found else {}
        for trouble in found:
            states = figures[trouble["id"]]
            trouble["waiting"] = sum(states[name]["count"] for name in ("pending", "sending", "held") if name in states)
        return found

    async def view(self, row: Integration) -> dict[str, Any]:
        """An integration as shown: no secret, only which ones are set."""
        figures = (await self._journal.crm_figures([row.id]))[row.id]
        try:
            template: dict[str, Any] | None = described(load(row.source.encode()))
        except Refused:
            template = None
        return {
            "id": row.id,
            "version": row.version,
            "group_id": row.group_id,
            "name": row.name,
            "enabled": row.enabled,
            "template": template,
            "fields": row.fields,
            "secrets_set": self._service.secret_names(row),
            "options": msgspec.to_builtins(options_of(row.options)),
            "journal": figures,
            "status": self._service.status(row),
        }

    async def add(self, group_id: int, name: str, key: str, given: Mapping[str, Any]) -> Integration:
        """A new integration, off. `given`: fields, options. Raises CommandError."""
        source = await self.source(group_id, key)
        row = await self._store.create(Integration(group_id=group_id, name=name, key=key, source=source))
        try:
            return await self.change(row, given, None)
        except CommandError:
            await self._store.delete(Integration, row.id, None)
            raise

    async def change(self, row: Integration, given: Mapping[str, Any], if_version: int | None) -> Integration:
        """`given`: any of name, fields, options, enabled, template (a Key: its text is taken anew). Raises
        CommandError."""
        changes: dict[str, Any] = {name: given[name] for name in ("name", "enabled") if name in given}
        source = row.source
        if "template" in given:
            source = changes["source"] = await self.source(row.group_id, given["template"])
            changes["key"] = given["template"]
        template = checked(source.encode())
        if "fields" in given:
            changes |= self._fields(row, template, given["fields"])
        if "options" in given:
            options = options_of({**row.options, **given["options"]})
            changes["options"] = msgspec.to_builtins(options)
        changes["journal"] = template.on("CallJournal")
        after = await self._store.update(Integration, row.id, changes, if_version)
        self._service.changed()
        return after

    def _fields(self, row: Integration, template: CrmTemplate, given: Mapping[str, str]) -> dict[str, Any]:
        known = {field.name: field for field in template.fields}
        for name, text in given.items():
            field = known.get(name)
            if field is None:
                raise CommandError("field_invalid", {"field": f"fields.{name}", "value": "…",
                                                     "allowed": ", ".join(sorted(known)) or "none"})  # fmt: skip
            if field.options and text and text not in field.options:
                raise CommandError("field_invalid", {"field": f"fields.{name}", "value": text[:80],
                                                     "allowed": ", ".join(field.options)})  # fmt: skip
        secrets = {name: text for name, text in given.items() if known[name].editor == "password"}
        plain = {name: text for name, text in given.items() if known[name].editor != "password"}
        changes: dict[str, Any] = {"fields": {name: text for name, text in {**row.fields, **plain}.items() if text}}
        if secrets:
            changes["sealed"] = self._service.sealed_with(row, secrets)
        return changes

    async def remove(self, row: Integration, if_version: int | None) -> None:
        """With its users, tickets and journal; the CRM keeps what it has."""
        await self._store.update(Integration, row.id, {"enabled": False}, if_version)
        for kind in (CrmUser, CrmTicket):
            for child in await self._store.find(kind, integration_id=row.id):
                await self._store.delete(kind, child.id, None)
        await self._store.delete(Integration, row.id, None)
        self._service.changed()

    # -- trying, authorizing -----------------------------------------------------------------------------------------

    async def steps(self, row: Integration) -> list[str]:
        """What can be tried."""
        return trial.steps_of((await self._service.build(row)).caller)

    async def try_step(self, row: Integration, step: str, phone: str, user: str) -> dict[str, Any]:
        """One step with its exchanges, secrets masked."""
        found: dict[str, Any] = msgspec.to_builtins(await self._service.try_step(row, step, phone, user))
        return found

    async def authorize(self, row: Integration, redirect_uri: str) -> str:
        """Where to send the browser."""
        return await self._service.begin_authorization(row, redirect_uri)

    async def authorized(self, state: str, code: str, error: str) -> None:
        """What came back with it. Raises CommandError."""
        await self._service.finish_authorization(state, code, error)

    # -- users, journal, pages ---------------------------------------------------------------------------------------

    async def users(self, row: Integration, refresh: bool) -> list[CrmUser]:
        """The CRM's people; fetched anew if asked."""
        return await (self._service.read_users(row) if refresh else self._store.find(CrmUser, integration_id=row.id))

    async def associate(self, row: Integration) -> dict[str, Any]:
        """By e-mail."""
        count, twice = await self._service.associate(row)
        return {"associated": count, "ambiguous": twice}

    async def assign(self, row: Integration, user_id: int, agent_id: int) -> CrmUser:
        """By hand; an agent has one user. Raises CommandError."""
        users = {user.id: user for user in await self._store.find(CrmUser, integration_id=row.id)}
        if user_id not in users:
            raise CommandError("not_found", {"what": f"CrmUser {user_id}"})
        if agent_id and any(user.agent_id == agent_id and user.id != user_id for user in users.values()):
            raise CommandError("conflict", {"field": "agent_id", "value": agent_id})
        try:
            user = await self._store.update(CrmUser, user_id, {"agent_id": agent_id}, None)
        except StoreConflict as error:
            raise CommandError("not_found", {"what": f"CrmUser {user_id}"}) from error
        self._service.changed()
        return user

    async def journal(self, row: Integration, state: str, before: int, limit: int) -> list[dict[str, Any]]:
        """Calls and how they were told."""
        return await self._journal.crm_rows(row.id, state, before, limit)

    async def replay(self, row: Integration, states: Sequence[str], attempt_ids: Any, now: Any) -> int:
        """Send again what a person decided on."""
        count = await self._journal.crm_replay(row.id, states, attempt_ids, now)
        self._service.changed()
        return count

    async def pop(self, attempt_id: str, agent_id: int, wait_s: float) -> dict[str, Any] | None:
        """The page of an agent's call."""
        found: Pop | None = await self._service.pop(attempt_id, agent_id, wait_s)
        return None if found is None else msgspec.to_builtins(found)
