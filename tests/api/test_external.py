"""The documented leads API, and the shipped example clients run with the interpreters people use."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.engine import commands as c
from daemon.store.memory import MemoryStore
from tests.api.fakes import World

Client = TestClient[Any, Any]
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def key(world: World, which: str = "leads") -> dict[str, str]:
    return {"X-API-Key": world.tokens[which]}


def lead(world: World, **more: Any) -> dict[str, Any]:
    return {
        "user_aff": "OUEST", "user_group": "OUEST", "status": "NEW", "first_name": "Jean", "last_name": "Dupont",
        "phone_number": "0199000123", "list_id": world.rows["list"].id, **more,
    }  # fmt: skip


async def leads_of(store: MemoryStore, group_id: int) -> list[Any]:
    return (await store.search_leads(group_id, {}, 500, None)).rows


@pytest.mark.feature("LEAD-01", clause="200 or 401; another user_group 403; a level 10 key may name any")
async def test_keys_and_groups(client: Client, world: World) -> None:
    async with client.get("/api/external/validate", headers=key(world)) as response:
        body = await response.json()
        assert response.status == 200 and body["success"] is True and body["data"]["group"] == "OUEST"
    async with client.get("/api/external/validate", headers={"X-API-Key": "clicsipx_OUEST_no"}) as response:
        assert response.status == 401 and (await response.json())["success"] is False
    async with client.get("/api/external/validate", headers=key(world, "c2c")) as response:
        assert response.status == 401
    other = lead(world, user_group="EST", list_id=world.rows["other_list"].id)
    async with client.post("/api/external/leads", headers=key(world), json=other) as response:
        assert response.status == 403
    await world.token("leads10", world.rows["group"].id, kind="leads", all_groups=True)
    async with client.post("/api/external/leads", headers=key(world, "leads10"), json=other) as response:
        assert response.status == 201


@pytest.mark.feature("LEAD-04", clause="golden JSON")
@pytest.mark.feature("LEAD-03", clause="defaults applied; vendor_lead_code EXT-<ms>-<8 hex>")
async def test_the_documented_answer(client: Client, world: World) -> None:
    async with client.post("/api/external/leads", headers=key(world), json=lead(world)) as response:
        body = await response.json()
        assert response.status == 201
    code = body["data"].pop("vendor_lead_code")
    assert re.fullmatch(r"EXT-\d{13}-[0-9a-f]{8}", code)
    id = body["data"]["lead_id"]
    assert body == {
        "success": True,
        "message": "Lead créé avec succès",
        "data": {
            "lead_id": id, "affectation_id": id, "list_id": world.rows["list"].id, "list_name": "NEW",
            "campaign_id": str(world.rows["campaign"].id), "user_aff": "OUEST", "status": "NEW",
        },
    }  # fmt: skip
    stored = await world.store.lead_facts(id)
    assert stored is not None and stored.e164 == "+33199000123"
    assert world.door.of(c.LeadsChanged), "the dialler looks for new leads at once"


@pytest.mark.feature("LEAD-02", clause="each missing field named in 400")
async def test_each_missing_field_is_named(client: Client, world: World) -> None:
    for name in ("user_group", "user_aff", "status", "first_name", "last_name", "phone_number", "list_id"):
        body = lead(world)
        del body[name]
        async with client.post("/api/external/leads", headers=key(world), json=body) as response:
            assert response.status == 400
            assert (await response.json()) == {"success": False, "error": f"Champ obligatoire manquant : {name}"}
    assert await leads_of(world.store, world.rows["group"].id) == []


@pytest.mark.feature("LEAD-07", clause="consent stored with its proof")
async def test_consent_comes_with_the_lead(client: Client, world: World) -> None:
    consent = {"collected_at": "2026-11-20T10:00:00Z", "source": "web", "text_version": "v3", "ip": "192.0.2.1"}
    async with client.post("/api/external/leads", headers=key(world), json=lead(world, consent=consent)) as response:
        id = (await response.json())["data"]["lead_id"]
    stored = await world.store.lead_facts(id)
    assert stored is not None and stored.consent_at is not None and stored.consent_at.isoformat()[:10] == "2026-11-20"


@pytest.mark.feature("LEAD-05", clause="101 → 400; partial failures per index; idempotent by vendor_lead_code")
async def test_batches(client: Client, world: World) -> None:
    rows = [
        lead(world, vendor_lead_code="A1"),
        lead(world, phone_number="12"),
        lead(world, phone_number="0199000124", vendor_lead_code="A2"),
        {"status": "NEW"},
    ]
    for body in ({"leads": rows}, rows):
        async with client.post("/api/external/leads/batch", headers=key(world), json=body) as response:
            data = (await response.json())["data"]
            assert response.status == 200 and (data["created"], data["failed"]) == (2, 2)
    assert [r["success"] for r in data["results"]] == [True, False, True, False]
    assert "Numéro invalide" in data["results"][1]["error"] and "user_group" in data["results"][3]["error"]
    assert len(await leads_of(world.store, world.rows["group"].id)) == 2
    for many in ([lead(world)] * 101, []):
        async with client.post("/api/external/leads/batch", headers=key(world), json=many) as response:
            assert response.status == 400


@pytest.mark.feature("LEAD-08", clause="CORS disabled on this API")
async def test_browsers_get_no_permission_here(client: Client, world: World) -> None:
    headers = {**key(world), "Origin": "https://exemple.com"}
    async with client.get("/api/external/validate", headers=headers) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
    async with client.options("/api/external/leads", headers=headers) as response:
        assert response.status in (404, 405)


async def run(*command: str, **env: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **env}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, out.decode()


@pytest.mark.feature("C2C-14", clause="the shipped JavaScript, PHP and Python clients run against the daemon")
@pytest.mark.parametrize(
    ("program", "script"), [("node", "click2call.js"), ("php", "click2call.php"), (sys.executable, "click2call.py")]
)
async def test_the_shipped_clients(client: Client, world: World, program: str, script: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    url = str(client.make_url("")).rstrip("/")
    env = {"CADRAN_URL": url, "CADRAN_TOKEN": world.tokens["c2c"]}
    status, out = await run(program, str(EXAMPLES / script), "0199000123", **env)
    assert status == 0, out
    assert json.loads(out)["call_id"] == 12345 and world.door.of(c.CallExtension)[0].e164 == "+33199000123"
    status, out = await run(program, str(EXAMPLES / script), "112", **env)
    assert status == 1 and "Appel interdit" in out


async def test_the_shipped_leads_client(client: Client, world: World) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not on this machine")
    url = str(client.make_url("")).rstrip("/")
    env = {"CADRAN_URL": url, "CADRAN_KEY": world.tokens["leads"]}
    status, out = await run(
        "node", str(EXAMPLES / "leads.js"), "OUEST", str(world.rows["list"].id), "0199000123", **env
    )
    assert status == 0 and json.loads(out)["list_name"] == "NEW", out


async def test_the_hubspot_action_calls_once_however_often_it_is_retried(client: Client, world: World) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not on this machine")
    code = (
        f"const {{ main }} = require({json.dumps(str(EXAMPLES / 'hubspot-workflow.js'))});"
        "const event = { callbackId: 'x1', inputFields: { phone: '0199000123' } };"
        "main(event, () => main(event, (r) => console.log(JSON.stringify(r.outputFields))));"
    )
    env = {"CADRAN_URL": str(client.make_url("")).rstrip("/"), "CADRAN_TOKEN": world.tokens["c2c"]}
    status, out = await run("node", "-e", code, **env)
    assert status == 0 and json.loads(out) == {"success": True, "call_id": 12345, "error": None}
    assert len(world.door.of(c.CallExtension)) == 1


@pytest.mark.feature("LEAD-03", clause="every optional field is stored as sent; France unless another country is named")
async def test_every_optional_field_is_kept(client: Client, world: World) -> None:
    given = {
        "email": "jean@exemple.fr", "alt_phone": "0199000199", "address1": "1 rue A", "address2": "Bât. B",
        "address3": "Porte C", "city": "Lyon", "state": "ARA", "postal_code": "69001", "comments": "le soir",
        "vendor_lead_code": "V-1",
    }  # fmt: skip
    for more, country, state in (
        ({}, "FR", "ARA"),
        ({"country_code": "BE", "state": "", "province": "Namur"}, "BE", "Namur"),
    ):
        sent = lead(world, **{**given, **more, "vendor_lead_code": f"V-{country}"})
        async with client.post("/api/external/leads", headers=key(world), json=sent) as response:
            assert response.status == 201, await response.text()
            id = (await response.json())["data"]["lead_id"]
        asked = {"number": sent["phone_number"]}
        async with client.post("/api/v1/people/access", headers=world.auth("manager"), json=asked) as response:
            (kept,) = (each for each in (await response.json())["leads"] if each["id"] == id)
        assert {name: kept[name] for name in given if name not in ("state", "vendor_lead_code")} == {
            name: value for name, value in given.items() if name not in ("state", "vendor_lead_code")
        }
        assert (kept["country_code"], kept["state"], kept["vendor_lead_code"]) == (country, state, f"V-{country}")
        assert (kept["first_name"], kept["last_name"], kept["status"]) == ("Jean", "Dupont", "NEW")


@pytest.mark.feature("LEAD-07", clause="the proof is kept with the lead; without it a consumer is not dialled")
async def test_who_sent_no_consent_is_not_dialled(client: Client, world: World) -> None:
    world.clock.utc = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)  # half past eleven in Paris
    consent = {"collected_at": "2026-11-20T10:00:00Z", "source": "web", "text_version": "v3", "ip": "192.0.2.1"}
    verdicts = {}
    for number, more in (("0612345678", {"consent": consent}), ("0612345679", {})):
        sent = lead(world, phone_number=number, **more)
        async with client.post("/api/external/leads", headers=key(world), json=sent) as response:
            id = (await response.json())["data"]["lead_id"]
        body = {"campaign_id": world.rows["campaign"].id, "lead_id": id}
        async with client.post("/api/v1/compliance/check", headers=world.auth("supervisor"), json=body) as response:
            verdicts[number] = (await response.json())["rule"]
        if more:
            async with client.post(
                "/api/v1/people/access", headers=world.auth("manager"), json={"number": number}
            ) as response:
                told = await response.text()
            for proof in ("2026-11-20T10:00:00", "web", "v3", "192.0.2.1"):
                assert proof in told, proof
    assert verdicts == {"0612345678": "allowed", "0612345679": "consent"}
