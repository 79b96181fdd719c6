"""An office linked with a Zadarma of our own: the API over a real socket, notifications signed as Zadarma does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from daemon.api.app import build_app
from daemon.api.auth import hash_of
from daemon.calls.records import ApiToken, Role
from daemon.compliance.rules import load_rule_sets
from daemon.crm.http import Outgoing
from daemon.crm.vault import Vault
from daemon.crm.zadarma import ZadarmaService
from daemon.crm.zadarma_keys import ZadarmaKeys
from daemon.settings import HttpTable, OutgoingTable, ZadarmaAccountTable
from daemon.store import MemoryStore
from tests.api.fakes import FakeDoor
from tests.crm.office import Office, make_office

RULES = load_rule_sets()
KEY, SECRET = "zkey", "s3cret"
TIME = "2026-11-20 10:15:00"
CALLER, DID = "+33612345678", "33187654321"
PARTS = {
    "NOTIFY_START": ("caller_id", "called_did", "call_start"),
    "NOTIFY_INTERNAL": ("caller_id", "called_did", "call_start"),
    "NOTIFY_ANSWER": ("caller_id", "destination", "call_start"),
    "NOTIFY_END": ("caller_id", "called_did", "call_start"),
    "NOTIFY_OUT_START": ("internal", "destination", "call_start"),
    "NOTIFY_OUT_END": ("internal", "destination", "call_start"),
    "NOTIFY_RECORD": ("pbx_call_id", "call_id_with_rec"),
    "NOTIFY_IVR": ("caller_id", "called_did", "call_start"),
}


def signed(text: str) -> str:
    """Written separately from the daemon's: base64 of the hexadecimal text."""
    return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hashlib.sha1).hexdigest().encode()).decode()


@dataclass
class FakeZadarma:
    """Its API. `asked`: path and parameters of each request whose signature was right; `broken`: answers an error."""

    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refused: int = 0
    broken: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        encoded = request.query_string.replace("~", "%7E")
        summed = hashlib.md5(encoded.encode()).hexdigest()
        if request.headers.get("Authorization") != f"{KEY}:{signed(request.path + encoded + summed)}":
            self.refused += 1
            return web.json_response({"status": "error", "message": "Not authorized"}, status=401)
        self.asked.append((request.path, dict(parse_qsl(encoded, keep_blank_values=True))))
        if self.broken:
            return web.json_response({"status": "error", "message": f"out of order {SECRET}"}, status=500)
        return web.json_response(
            {
                "status": "success", "pbx_id": 1234, "numbers": [100, 101, "102"], "balance": 10.34, "currency": "EUR",
                "link": "https://records.example/1710.22.mp3", "lifetime_till": "2026-11-20 10:45:00",
            }
        )  # fmt: skip

    def times(self, path: str) -> int:
        return sum(1 for asked, _ in self.asked if asked == path)


@dataclass
class Linked:
    office: Office
    client: TestClient[Any, Any]
    service: ZadarmaService
    zadarma: FakeZadarma
    api_url: str
    path: str = ""

    async def ask(self, method: str, path: str, status: int = 200, token: str = "admin", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        async with self.client.request(method, f"/api/v1/zadarma{path}", headers=headers, **more) as answer:
            text = await answer.text()
            assert answer.status == status, f"{answer.status}: {text}"
            return await answer.json(content_type=None) if text else None

    async def link(self, **settings: Any) -> Any:
        given = {"key": KEY, "secret": SECRET, "api_url": self.api_url, "enabled": True, **settings}
        row = await self.ask("PATCH", "/link", json={"addresses": ["127.0.0.1"], **given})
        self.path = row["notify_path"].removeprefix("/api/v1/zadarma")
        return row

    async def tell(self, event: str, status: int = 200, signature: str | None = None, **more: str) -> Any:
        """A notification as Zadarma sends it."""
        fields = {"event": event, "call_start": TIME, "pbx_call_id": "in_abc", **more}
        if event in PARTS and "OUT" not in event:
            fields = {"caller_id": CALLER, "called_did": DID, **fields}
        proof = signed("".join(fields.get(name, "") for name in PARTS.get(event, ())))
        headers = {"Signature": proof if signature is None else signature}
        return await self.ask("POST", self.path, status, data=fields, headers=headers)

    def audit(self) -> list[dict[str, Any]]:
        store = self.office.world.store
        assert isinstance(store, MemoryStore)
        return store.tables.audit

    async def calls(self, **query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.ask("GET", "/calls", params=query))["rows"]
        return rows


@asynccontextmanager
async def make_linked(
    answer_s: float = 60.0, accounts: tuple[ZadarmaAccountTable, ...] = (), **http: Any
) -> AsyncIterator[Linked]:
    zadarma = FakeZadarma()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", zadarma.answer)
    server = TestServer(app)
    await server.start_server()
    async with make_office() as office:
        store, outgoing = office.world.store, Outgoing(OutgoingTable(allow_networks=("127.0.0.0/8",)))
        for token, role, agent in (
            ("admin", Role.ADMINISTRATOR, 0), ("manager", Role.MANAGER, 0), ("boss", Role.MANAGER, office.agents[0].id),
            ("ada", Role.AGENT, office.agents[0].id), ("bob", Role.AGENT, office.agents[1].id),
        ):  # fmt: skip
            await store.create(
                ApiToken(group_id=office.world.group.id, name=token, role=role, agent_id=agent, sha256=hash_of(token))
            )
        sealing = Vault(bytes(32), random.Random(5).randbytes)
        keys = ZadarmaKeys(store, sealing, accounts)
        service = ZadarmaService(store, outgoing, keys, office.clock, answer_s=answer_s)
        api = build_app(
            FakeDoor(office.clock), store, HttpTable(bad_requests_per_minute=100_000, **http), office.clock,  # type: ignore[arg-type]
            random.Random(3), zadarma=service, rule_sets=RULES,
        )  # fmt: skip
        client: TestClient[Any, Any] = TestClient(TestServer(api))
        await client.start_server()
        try:
            yield Linked(office, client, service, zadarma, str(server.make_url("")).rstrip("/"))
        finally:
            await client.close()
            await outgoing.close()
            await server.close()
