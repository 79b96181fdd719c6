"""Zadarma's notifications: who may send them, what they say of a call, what is answered while the phone rings.

In: the fields of a notification. Out: the PBX's instructions (a redirect, a name, nothing), a row a call, one task for
a missed one. Several notifications of a call may come at once and be repeated: each effect happens once a call.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Blocked, MissedOwner
from daemon.calls.zadarma_records import ZadarmaCall, ZadarmaLink, ZadarmaUser
from daemon.clock import Clock
from daemon.crm.wire import Http
from daemon.crm.zadarma_api import SIGNED, ZadarmaClient, same, signature_of
from daemon.crm.zadarma_keys import ZadarmaKeys
from daemon.engine.inbound import to_e164
from daemon.errors import CommandError, StoreConflict, StoreError
from daemon.ports import Store

Tell = Callable[[int, dict[str, Any]], None]
"""(agent, what is to be shown)."""
log = structlog.get_logger("cadran.zadarma")

ANSWER_S: Final = 0.8
"""Zadarma waits a second for what to do with a call; without an answer it does what its own settings say."""
RETURN_S: Final = 15
RECORD_DELAY_S: Final = 40.0
RECORD_RETRY_S: Final = 120.0
RECORD_TRIES: Final = 5
BALANCE_S: Final = 60.0
EXTENSIONS_S: Final = 600.0
KEPT_DAYS: Final = 90
POLL_S: Final = 5.0
SWEEP_S: Final = 3600.0
FIELDS_MAX, VALUE_CHARS_MAX, EVENTS_MAX, UNKNOWN_A_DAY_MAX = 40, 300, 60, 500


def fields_of(body: bytes) -> dict[str, str]:
    """A form's fields, bounded and without control characters. Raises CommandError field_invalid."""
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        allowed = f"a form of at most {FIELDS_MAX} fields"
        raise CommandError("field_invalid", {"field": "body", "value": "", "allowed": allowed}) from error
    return {_clean(name)[:60]: _clean(value)[:VALUE_CHARS_MAX] for name, value in pairs}


def _clean(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable())


def number(text: str) -> str:
    """A number as Zadarma writes it (international, often without its +), in E.164; "" for an extension or none."""
    digits = text.lstrip("+")
    if not digits.isascii() or not digits.isdigit() or len(digits) < 6:
        return ""
    return to_e164(text if digits.startswith("0") else f"+{digits}", "FR")


@dataclass(slots=True)
class _Cached:
    """`at`: monotonic. A failure is kept as long as a success: it asks no more often."""

    at: float
    value: Any = None
    error: CommandError | None = None


class ZadarmaService:
    """One a daemon. What the API's routes ask (daemon.api.zadarma_api.ZadarmaDoor), and the work behind them."""

    def __init__(
        self, store: Store, http: Http, keys: ZadarmaKeys, clock: Clock, *, answer_s: float = ANSWER_S
    ) -> None:  # fmt: skip
        self._store, self._http, self._keys, self._clock = store, http, keys, clock
        self._answer_s = answer_s
        self._cache: dict[tuple[int, int, str], _Cached] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn, self._asking = asyncio.Lock(), asyncio.Lock()
        self._swept = clock.now() - SWEEP_S

    # -- settings ----------------------------------------------------------------------------------------------------

    def seal(self, link_group: int, secret: str) -> str:
        """The secret as it is kept."""
        return self._keys.seal(link_group, secret)

    async def from_files(self, group_id: int) -> bool:
        """Whether the group's key and secret are files of the settings, and can't be entered."""
        return await self._keys.account(group_id) is not None

    async def secret(self, link: ZadarmaLink) -> str:
        """Raises CommandError not_available if a file can't be read, or the vault's key is another."""
        return (await self._keys.of(link))[1]

    async def client(self, link: ZadarmaLink) -> ZadarmaClient:
        """Raises not_available without key and secret."""
        key, secret = await self._keys.of(link)
        if not (key and secret):
            raise CommandError("not_available", {"what": "Zadarma without key and secret"})
        return ZadarmaClient(self._http, link.api_url, key, secret)

    async def extensions(self, link: ZadarmaLink) -> list[str]:
        """Of the account; asked for at most once in ten minutes."""
        found: list[str] = await self._remembered(link, "extensions", EXTENSIONS_S)
        return found

    async def balance(self, link: ZadarmaLink) -> dict[str, Any]:
        """At most one request a minute, whoever asks."""
        found: dict[str, Any] = await self._remembered(link, "balance", BALANCE_S)
        return found

    async def _remembered(self, link: ZadarmaLink, what: str, for_s: float) -> Any:
        async with self._asking:
            place = (link.id, link.version, what)
            known = self._cache.get(place)
            if known is None or self._clock.now() - known.at >= for_s:
                client = await self.client(link)
                known = _Cached(self._clock.now())
                for old in [each for each in self._cache if each[0] == link.id and each[2] == what]:
                    del self._cache[old]
                self._cache[place] = known
                try:
                    known.value = await (client.balance() if what == "balance" else client.extensions())
                except CommandError as error:
                    known.error = error
        if known.error is not None:
            raise known.error
        return known.value or []

    async def callback(self, link: ZadarmaLink, start: str, to: str, sip: str, predicted: bool) -> None:
        """Ring an extension, then a number (or the number first). Blocked numbers and refusals bind here too."""
        if await self._store.find(Blocked, group_id=link.group_id, e164=to):
            raise CommandError("zadarma_blocked", {"number": to})
        for lead in await self._leads(link, to):
            if lead["blocked_by"] and lead["eligible_at"] is None:
                raise CommandError("zadarma_blocked", {"number": to})
        await (await self.client(link)).callback(start, to.lstrip("+"), sip=sip, predicted=predicted)

    # -- notifications -----------------------------------------------------------------------------------------------

    async def notified(self, link: ZadarmaLink, peer: str, signature: str, body: bytes, tell: Tell) -> dict[str, Any]:
        """Check, keep and answer one; `tell` hears of it for the agent whose extension it names.

        Raises zadarma_address, zadarma_signature, field_missing, field_invalid, not_available.
        """
        if not _listed(peer, link.addresses):
            raise CommandError("zadarma_address", {"address": peer})
        fields = fields_of(body)
        event = fields.get("event", "")
        if event not in SIGNED:
            await self._keep_unknown(link, fields, body)
            return {}
        if not (secret := await self.secret(link)) or not same(signature, signature_of(secret, fields)):
            await self._store.note("zadarma", "zadarma.signature_wrong", f"zadarma:{link.id}",
                                   {"group_id": link.group_id, "event": event, "address": peer})  # fmt: skip
            raise CommandError("zadarma_signature")
        if not 0 < len(fields.get("pbx_call_id", "")) <= 100:
            raise CommandError("field_missing", {"field": "pbx_call_id"})
        kept = asyncio.create_task(self._kept(link, fields, tell), name=f"zadarma {event}")
        self._tasks.add(kept)
        kept.add_done_callback(self._tasks.discard)
        if event not in ("NOTIFY_START", "NOTIFY_IVR"):
            await asyncio.shield(kept)
            return {}
        answer: dict[str, Any] = {}
        try:
            async with asyncio.timeout(self._answer_s):
                answer = await self.instructions(link, fields)
                await asyncio.shield(kept)
        except (TimeoutError, StoreError) as error:
            log.warning("zadarma.answered_late", event_name=event, error=type(error).__name__)
            kept.add_done_callback(_read_error)
        return answer

    async def instructions(self, link: ZadarmaLink, fields: Mapping[str, str]) -> dict[str, Any]:
        """What the PBX is to do with a call that comes in, from what is known here; {}: as its own settings say."""
        e164 = number(fields.get("caller_id", ""))
        if not e164:
            return {}
        if link.blacklist and await self._blocked(link, e164):
            return {"redirect": "blacklist"}
        if not (link.redirect or link.show_name):
            return {}
        answer: dict[str, Any] = {}
        for lead in await self._leads(link, e164):
            if link.show_name and "caller_name" not in answer and (name := _name(lead)):
                answer["caller_name"] = name
            if link.redirect and "redirect" not in answer and (agent := await self._responsible(lead)):
                extension = await self._extension(link, agent)
                answer |= {"redirect": extension, "return_timeout": RETURN_S} if extension else {}
        return answer

    async def _kept(self, link: ZadarmaLink, fields: Mapping[str, str], tell: Tell) -> None:
        """Note it in the call's row, then do what the end of a call brings. One at a time: each effect once."""
        async with self._turn:
            row = await self._noted(link, fields)
            await self._shown(link, row, fields, tell)
            if link.create_lead and row.direction == "in" and row.e164 and not row.lead_id:
                row = await self._with_lead(link, row)
            if row.state == "ended" and row.direction == "in" and row.disposition != "answered" and not row.task:
                await self._missed(link, row)

    async def _noted(self, link: ZadarmaLink, fields: Mapping[str, str]) -> ZadarmaCall:
        """The call's row with this notification in it, once however often it comes. Another daemon may write, too."""
        for _ in range(10):
            known = await self._store.find(ZadarmaCall, link_id=link.id, pbx_call_id=fields["pbx_call_id"])
            row = known[0] if known else self._new(link, fields)
            if dict(fields) in row.events:
                return row
            changes = await self._changes(link, row, fields)
            with suppress(StoreConflict):
                if known:
                    return await self._store.update(ZadarmaCall, row.id, changes, row.version)
                for name, value in changes.items():
                    setattr(row, name, value)
                return await self._store.create(row)
        raise CommandError("too_busy")

    def _new(self, link: ZadarmaLink, fields: Mapping[str, str]) -> ZadarmaCall:
        now, id = self._clock.utcnow(), fields["pbx_call_id"]
        out = fields["event"].startswith("NOTIFY_OUT") or id.startswith("out_")
        return ZadarmaCall(
            group_id=link.group_id, link_id=link.id, pbx_call_id=id, at=now, day=f"{now:%Y-%m-%d}",
            direction="out" if out else "in",
        )  # fmt: skip

    async def _changes(self, link: ZadarmaLink, row: ZadarmaCall, fields: Mapping[str, str]) -> dict[str, Any]:
        event = fields["event"]
        changes: dict[str, Any] = {"events": [*row.events, dict(fields)][-EVENTS_MAX:]}
        if event == "NOTIFY_RECORD":
            due = self._clock.utcnow() + timedelta(seconds=RECORD_DELAY_S)
            id = fields.get("call_id_with_rec", "")
            return changes | {"recording_id": id, "recording_state": "due" if id else "", "fetch_at": due}
        person = number(fields.get("destination" if row.direction == "out" else "caller_id", ""))
        if person and not row.e164:
            changes["e164"] = person
        if (extension := fields.get("internal", "")) and event != "NOTIFY_INTERNAL":
            users = await self._store.find(ZadarmaUser, link_id=link.id, extension=extension)
            changes |= {"extension": extension, "agent_id": users[0].agent_id if users else 0}
        if event == "NOTIFY_ANSWER" and row.state == "begun":
            changes["state"] = "answered"
        if event in ("NOTIFY_END", "NOTIFY_OUT_END"):
            length = fields.get("duration", "0")
            changes |= {"state": "ended", "disposition": fields.get("disposition", "")}
            changes["duration_s"] = int(length) if length.isascii() and length.isdigit() and len(length) < 7 else 0
        return changes

    async def _keep_unknown(self, link: ZadarmaLink, fields: Mapping[str, str], body: bytes) -> None:
        """An event of a kind we do not know can't be verified: it is kept for looking at, and nothing follows."""
        now = self._clock.utcnow()
        day, id = f"{now:%Y-%m-%d}", f"unknown-{hashlib.sha256(body).hexdigest()[:32]}"
        kept = await self._store.find(ZadarmaCall, link_id=link.id, day=day, direction="unknown")
        if len(kept) >= UNKNOWN_A_DAY_MAX:
            return
        row = ZadarmaCall(
            group_id=link.group_id, link_id=link.id, pbx_call_id=id, at=now, day=day, direction="unknown",
            e164=number(fields.get("caller_id", "")), events=[dict(fields)],
        )  # fmt: skip
        with suppress(StoreConflict):  # a repetition
            await self._store.create(row)

    async def _shown(self, link: ZadarmaLink, row: ZadarmaCall, fields: Mapping[str, str], tell: Tell) -> None:
        """What the agent's own desk is told of the call on the agent's phone (ZAD-12)."""
        extension = fields.get("internal", "")
        users = await self._store.find(ZadarmaUser, link_id=link.id, extension=extension) if extension else []
        for user in users:
            lead = next(iter(await self._leads(link, row.e164)), None) if row.e164 else None
            tell(
                user.agent_id,
                {
                    "event": fields["event"], "call": row.id, "direction": row.direction, "state": row.state,
                    "e164": row.e164, "name": _name(lead) if lead else "", "lead_id": int(lead["id"]) if lead else 0,
                },
            )  # fmt: skip

    # -- what follows ------------------------------------------------------------------------------------------------

    async def _with_lead(self, link: ZadarmaLink, row: ZadarmaCall) -> ZadarmaCall:
        """Whose call it is: a lead that is there, or a new one for a caller whom nobody knows."""
        if link.blacklist and await self._blocked(link, row.e164):
            return row
        leads = await self._leads(link, row.e164)
        if leads:
            ids = [int(leads[0]["id"])]
        else:
            ids = await self._store.add_leads(link.list_id, [LeadDraft(e164=row.e164)]) if link.list_id else []
        if not ids:
            return row
        return await self._store.update(ZadarmaCall, row.id, {"lead_id": ids[0]}, None)

    async def _missed(self, link: ZadarmaLink, row: ZadarmaCall) -> None:
        """One task, for who is responsible for the caller, else for whom the settings name (ZAD-08, ZAD-09)."""
        if not row.e164 or await self._blocked(link, row.e164):
            return
        lead = next(iter(await self._leads(link, row.e164)), None)
        owner = await self._responsible(lead) if lead else 0
        if not owner and link.missed_call_owner is MissedOwner.DEFAULT_USER:
            owner = link.default_agent_id
        now = self._clock.utcnow()
        changes = {"task": "open", "owner_agent_id": owner, "due_at": now if link.call_back else None}
        try:
            await self._store.update(ZadarmaCall, row.id, changes, row.version)
        except StoreConflict:
            return  # another daemon was told of it, too
        if link.call_back and lead and not (lead["blocked_by"] and lead["eligible_at"] is None):
            due = {"callback_at": now, "callback_agent_id": owner, "eligible_at": now, "blocked_by": "callback"}
            await self._store.update_lead(int(lead["id"]), due)

    async def _leads(self, link: ZadarmaLink, e164: str) -> list[dict[str, Any]]:
        return list((await self._store.search_leads(link.group_id, {"phone": e164}, 5, None)).rows)

    async def _blocked(self, link: ZadarmaLink, e164: str) -> bool:
        return bool(await self._store.find(Blocked, group_id=link.group_id, e164=e164))

    async def _responsible(self, lead: Mapping[str, Any]) -> int:
        """The agent a callback was promised by, else who talked last; 0 if that one is gone."""
        id = int(lead["callback_agent_id"] or lead["last_agent_id"] or 0)
        agent = await self._store.get(Agent, id) if id else None
        return id if agent is not None and agent.enabled and agent.group_id == lead["group_id"] else 0

    async def _extension(self, link: ZadarmaLink, agent_id: int) -> str:
        users = await self._store.find(ZadarmaUser, link_id=link.id, agent_id=agent_id)
        return users[0].extension if users else ""

    # -- work --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask for recordings once they are ready, and forget what is old. Until cancelled."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("zadarma.waits_for_store", error=type(error).__name__)
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """What is due now."""
        now, sweep = self._clock.utcnow(), self._clock.now() - self._swept >= SWEEP_S
        for link in await self._store.find(ZadarmaLink, enabled=True):
            for row in await self._store.find(ZadarmaCall, link_id=link.id, recording_state="due"):
                if row.fetch_at is not None and row.fetch_at <= now:
                    await self._fetch(link, row)
        if sweep:
            self._swept = self._clock.now()
            for age in range(KEPT_DAYS + 1, KEPT_DAYS + 31):
                for row in await self._store.find(ZadarmaCall, day=f"{now - timedelta(days=age):%Y-%m-%d}"):
                    await self._store.delete(ZadarmaCall, row.id, None)

    async def _fetch(self, link: ZadarmaLink, row: ZadarmaCall) -> None:
        """Taken first, so that of several daemons one asks."""
        later = self._clock.utcnow() + timedelta(seconds=RECORD_RETRY_S)
        try:
            row = await self._store.update(
                ZadarmaCall, row.id, {"fetch_at": later, "fetch_tries": row.fetch_tries + 1}, row.version
            )
        except StoreConflict:
            return
        changes: dict[str, Any]
        try:
            url, until = await (await self.client(link)).recording(row.recording_id)
            changes = {"recording_state": "done", "recording_url": url, "recording_until": until}
        except CommandError as error:
            log.warning("zadarma.recording_not_there", call=row.id, reason=error.details.get("reason", error.code))
            changes = {"recording_state": "failed" if row.fetch_tries >= RECORD_TRIES else "due"}
        await self._store.update(ZadarmaCall, row.id, changes, None)


def _read_error(task: asyncio.Task[None]) -> None:
    """So that a failure nobody waits for is in the log and not in the interpreter's complaints."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("zadarma.not_kept", error=type(error).__name__)


def _listed(peer: str, addresses: list[str]) -> bool:
    try:
        ip = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return any(mapped in ipaddress.ip_network(each, strict=False) for each in addresses)


def _name(lead: Mapping[str, Any]) -> str:
    return (" ".join(f"{lead['first_name']} {lead['last_name']}".split()) or str(lead["company"]))[:60]
