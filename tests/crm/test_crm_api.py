"""Integrations over the API: add, try, authorize, enable, remove; secrets go in and never come out."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from daemon.api.app import build_app
from daemon.api.auth import hash_of
from daemon.calls.crm_records import Integration
from daemon.calls.records import ApiToken, Role
from daemon.crm.door import Door
from daemon.crm.shipped import shipped_templates
from daemon.settings import HttpTable
from tests.api.fakes import FakeDoor, campaign_view
from tests.crm.office import SECRETS, Office, fields_of, make_office

ADMIN = "clicsipx_ACME_admin"


@asynccontextmanager
async def make_api() -> AsyncIterator[tuple[Office, TestClient[Any, Any]]]:
    async with make_office() as office:
        store, door = office.world.store, FakeDoor(office.clock)  # type: ignore[arg-type]
        door.show(campaign_view(office.world.campaign.id, office.world.group.id, "Auto"))
        for token, role, agent in ((ADMIN, Role.ADMINISTRATOR, 0), ("agent", Role.AGENT, office.agents[0].id)):
            await store.create(
                ApiToken(group_id=office.world.group.id, name=token, role=role, agent_id=agent, sha256=hash_of(token))
            )
        app = build_app(
            door, store, HttpTable(bad_requests_per_minute=100_000), office.clock,
            random.Random(3), crm=Door(office.service, store),
        )  # fmt: skip
        client: TestClient[Any, Any] = TestClient(TestServer(app))
        await client.start_server()
        client.session.headers["Authorization"] = f"Bearer {ADMIN}"
        try:
            yield office, client
        finally:
            await client.close()


async def ask(client: TestClient[Any, Any], method: str, path: str, status: int = 200, **more: Any) -> Any:
    async with client.request(method, f"/api/v1/crm{path}", **more) as answer:
        text = await answer.text()
        assert answer.status == status, f"{answer.status}: {text}"
        return await answer.json() if text and answer.content_type.endswith("json") else text


async def add(office: Office, client: TestClient[Any, Any], key: str = "generic-rest", **more: Any) -> Any:
    fields = fields_of(key, office.crm.url) | SECRETS[key]
    return await ask(
        client, "POST", "/integrations", 201, json={"name": key, "template": key, "fields": fields, **more}
    )


@pytest.mark.feature("CRMI-02", clause="add, test step by step and enable an integration over the API")
async def test_add_try_and_enable() -> None:
    async with make_api() as (office, client):
        office.crm.add_contact(first="Zoé", phone="+33612345678")
        row = await add(office, client, options={"default_user": "71"})
        assert row["enabled"] is False
        assert row["status"] == {"state": "off"}
        path = f"/integrations/{row['id']}"
        steps = (await ask(client, "GET", f"{path}/steps"))["steps"]
        assert steps == ["connect", "users", "contact", "create_contact", "journal"]
        for step in steps:
            tried = await ask(client, "POST", f"{path}/try", json={"step": step, "phone": "+33612345678"})
            assert tried["ok"], tried
            for exchange in tried["exchanges"]:
                assert exchange["status"] in (200, 201)
                assert exchange["url"].startswith(office.crm.url)
        assert [call["raw"]["subject"] for call in office.crm.calls] == ["Extension Call"]
        on = await ask(client, "PATCH", path, json={"enabled": True}, headers={"If-Match": "*"})
        assert on["enabled"] is True
        await ask(client, "DELETE", path, 204, headers={"If-Match": "*"})
        assert (await ask(client, "GET", "/integrations"))["rows"] == []


@pytest.mark.feature("YPA-07", clause="secrets are kept encrypted and never returned")
@pytest.mark.parametrize("key", sorted(SECRETS))
async def test_no_answer_ever_holds_a_secret(key: str) -> None:
    async with make_api() as (office, client):
        row = await add(office, client, key)
        path = f"/integrations/{row['id']}"
        secret = next(iter(SECRETS[key].values()))
        shown = [row, await ask(client, "GET", path), await ask(client, "GET", "/integrations")]
        if key == "zoho-like":
            url = (await ask(client, "POST", f"{path}/authorize"))["url"]
            async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
                back = answer.headers["Location"]
            async with client.get(back.partition("/api/v1")[1] + back.partition("/api/v1")[2]) as landed:
                assert landed.status == 200, await landed.text()
            assert office.crm.tokens
        for step in (await ask(client, "GET", f"{path}/steps"))["steps"]:
            shown.append(await ask(client, "POST", f"{path}/try", json={"step": step, "user": "71"}))
            assert shown[-1]["ok"], shown[-1]
        stale = await ask(client, "PATCH", path, 412, json={"name": "x"}, headers={"If-Match": '"1000"'})
        shown += [stale, await ask(client, "GET", path)]
        told = str(shown)
        assert secret not in told
        for token in (*office.crm.tokens, *office.crm.refresh):
            assert token not in told
        assert "sealed" not in told
        assert list(SECRETS[key]) == shown[-1]["secrets_set"]
        assert secret not in str(await office.world.store.find(Integration))


@pytest.mark.feature("YPT-01", clause="ten templates, below 1 MB; upload, download, delete several")
async def test_templates_are_uploaded_downloaded_replaced_and_bounded() -> None:
    source = shipped_templates()["generic-rest"]

    def named(n: int) -> bytes:
        return source.replace(b'Key="generic-rest"', f'Key="own-{n}"'.encode())

    async with make_api() as (_, client):
        ids = [(await ask(client, "POST", "/templates", 201, data=named(n)))["id"] for n in range(10)]
        eleventh = await ask(client, "POST", "/templates", 409, data=named(10))
        assert "10" in eleventh["detail"]
        await ask(client, "POST", "/templates", 201, data=named(3).replace(b'Version="1.0.0"', b'Version="2.0.0"'))
        assert b'Version="2.0.0"' in (await ask(client, "GET", "/templates/own-3/file")).encode()
        assert (await ask(client, "GET", "/templates/own-4/file")).encode() == named(4)
        await ask(client, "POST", "/templates", 413, data=b"x" * 1_048_576)
        assert (await ask(client, "POST", "/templates/remove", json={"ids": ids[:2]})) == {"count": 2}
        own = [row["key"] for row in (await ask(client, "GET", "/templates"))["rows"] if row["id"]]
        assert own == [f"own-{n}" for n in range(2, 10)]


def png(side: int, size: int = 0) -> bytes:
    """A grey square, with a comment to reach a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress((b"\0" + b"\x80" * side) * side)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), chunk(b"IDAT", rows)]
    begin, end = b"\x89PNG\r\n\x1a\n" + b"".join(parts), chunk(b"IEND", b"")
    return begin + (chunk(b"tEXt", b"c" * (size - len(begin) - len(end) - 12)) if size else b"") + end


JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b\x08\0\x96\0\x96\x01\x01\x11\0\xff\xd9"


@pytest.mark.feature("YPT-02", clause="a PNG or JPEG below 500 KB and no other, shown to administrators alone")
async def test_a_templates_logo_is_checked_by_type_and_size() -> None:
    source = shipped_templates()["generic-rest"].replace(b'Key="generic-rest"', b'Key="own"')
    async with make_api() as (_, client):
        await ask(client, "POST", "/templates", 201, data=source)
        path, largest = "/templates/own/logo", png(150, 500 * 1024 - 1)
        await ask(client, "GET", path, 404)
        svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
        for data in (b"GIF89a\x96\0\x96\0", svg, JPEG[:8], png(1025), b"\x89PNG\r\n\x1a\nIHDR"):
            assert (await ask(client, "PUT", path, 422, data=data))["code"] == "crm_logo_refused"
        await ask(client, "PUT", path, 413, data=largest + b"\0")
        taken = [(largest, "image/png", True), (png(64), "image/png", False), (JPEG, "image/jpeg", True)]
        for data, media, suggested in taken:
            kept = await ask(client, "PUT", path, data=data)
            assert (kept["media"], kept["suggested_size"]) == (media, suggested)
            async with client.get(f"/api/v1/crm{path}") as shown:
                assert (shown.status, shown.content_type, await shown.read()) == (200, media, data)
        for method in ("GET", "PUT"):
            async with client.request(
                method, f"/api/v1/crm{path}", headers={"Authorization": "Bearer agent"}
            ) as answer:
                assert answer.status == 403
        await ask(client, "POST", "/templates", 201, data=source.replace(b'Version="1.0.0"', b'Version="2.0.0"'))
        rows = {row["key"]: row["logo"] for row in (await ask(client, "GET", "/templates"))["rows"]}
        assert rows["own"] and not rows["zoho-like"]
        await ask(client, "PUT", path, data=b"")
        await ask(client, "GET", path, 404)
        await ask(client, "PUT", "/templates/zoho-like/logo", 404, data=JPEG)


@pytest.mark.feature("YPT-01", clause="applied to a running integration, whole or not at all")
async def test_a_template_is_applied_again_whole_or_not_at_all() -> None:
    source = shipped_templates()["generic-rest"].replace(b'Key="generic-rest"', b'Key="own"')
    async with make_api() as (_, client):
        await ask(client, "POST", "/templates", 201, data=source)
        row = await ask(client, "POST", "/integrations", 201, json={"name": "x", "template": "own"})
        await ask(
            client,
            "POST",
            "/templates",
            201,
            data=source.replace(b'MaxConcurrentRequest="5"', b'MaxConcurrentRequest="9"'),
        )
        path, any_version = f"/integrations/{row['id']}", {"If-Match": "*"}
        assert (await ask(client, "GET", path))["template"]["requests_max"] == 5
        after = await ask(client, "PATCH", path, json={"template": "own"}, headers=any_version)
        assert after["template"]["requests_max"] == 9
        broken = await ask(client, "POST", "/templates", 422, data=source.replace(b"{{.Subject}}", b"{{.Subject"))
        assert "body of CallJournal" in broken["detail"]
        assert (await ask(client, "GET", path))["template"]["requests_max"] == 9


@pytest.mark.feature("YPS-01", clause="by e-mail whatever the case; two users of one address are left to a person")
async def test_users_are_associated_by_mail_or_by_hand() -> None:
    async with make_api() as (office, client):
        office.crm.users += [{"id": "74", "first": "A", "last": "", "email": "carl"},
                             {"id": "75", "first": "B", "last": "", "email": "Carl"}]  # fmt: skip
        row = await add(office, client)
        path = f"/integrations/{row['id']}/users"
        assert len((await ask(client, "POST", f"{path}/refresh"))["rows"]) == 5
        assert await ask(client, "POST", f"{path}/associate") == {"associated": 2, "ambiguous": ["carl"]}
        users = {user["crm_id"]: user for user in (await ask(client, "GET", path))["rows"]}
        assert [users[id]["agent_id"] for id in ("71", "72", "74", "75")] == [1, 2, 0, 0]
        await ask(client, "POST", f"{path}/{users['74']['id']}", json={"agent_id": 3})
        await ask(client, "POST", f"{path}/{users['75']['id']}", 409, json={"agent_id": 3})


async def test_an_authorization_that_was_not_begun_here_is_refused() -> None:
    async with make_api() as (office, client):
        row = await add(office, client, "zoho-like")
        url = (await ask(client, "POST", f"/integrations/{row['id']}/authorize"))["url"]
        state = aiohttp.client.URL(url).query["state"]
        for query in ("state=wrong&code=x", f"state={state}&error=access_denied", f"state={state}&code=again"):
            page = await ask(client, "GET", f"/oauth/callback?{query}")
            assert "Access not granted" in page
        page = await ask(client, "GET", "/oauth/callback?state=x&error=<script>")
        assert "<script>" not in page


async def test_held_calls_are_shown_and_sent_again_when_somebody_says_so() -> None:
    source = shipped_templates()["generic-rest"].replace(b'Name="FindCallJournal"', b'Name="Unused"')
    async with make_api() as (office, client):
        row = await office.integrate("generic-rest", source, default_user="71")
        running = await office.running(row)
        office.crm.fault = "lost"
        await office.call("+33612345678")
        await office.settle(running)
        office.crm.fault = ""
        path = f"/integrations/{row.id}/journal"
        (held,) = (await ask(client, "GET", f"{path}?state=held"))["rows"]
        assert "may have arrived" in held["error"]
        assert len(office.crm.calls) == 1, "it was sent twice although nobody knew"
        assert await ask(client, "POST", f"{path}/replay", json={"states": ["held"]}) == {"count": 1}
        await office.settle(running)
        assert (await ask(client, "GET", path))["rows"][0]["state"] == "done"


async def test_an_agent_may_not_see_integrations() -> None:
    async with make_api() as (_, client):
        headers = {"Authorization": "Bearer agent"}
        for path in ("/integrations", "/templates"):
            await ask(client, "GET", path, 403, headers=headers)


@pytest.mark.feature("CRMI-02", clause="an integration in trouble is named in a campaign's why, with what waits for it")
async def test_trouble_is_named_in_why() -> None:
    async with make_api() as (office, client):
        campaign = office.world.campaign

        async def troubles() -> Any:
            async with client.get(f"/api/v1/campaigns/{campaign.id}/why") as answer:
                assert answer.status == 200, await answer.text()
                return (await answer.json())["integrations"]

        row = await office.integrate("odoo-jsonrpc", default_user="71")
        assert await troubles() == []
        office.crm.fault = "500"
        await office.running(row)
        await office.call("+33612345678")
        [trouble] = await troubles()
        assert (trouble["id"], trouble["name"]) == (row.id, row.name)
        assert (trouble["state"], trouble["waiting"]) == ("degraded", 1)
