"""Rows over HTTP: validation that names the field, ETags, references, the law's bounds, keyset pages, OpenAPI."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient

from daemon.api.errors import ERRORS, markdown
from daemon.calls.records import Campaign, PauseCode, Status
from daemon.engine import commands as c
from daemon.errors import CommandError, StoreBusy
from tests.api.fakes import World

Client = TestClient[Any, Any]
ROOT_TYPE = "urn:cadran:error:"


def campaign_body(world: World, **more: Any) -> dict[str, Any]:
    return {"name": "Nouvelle", "site": "main", "list_ids": [world.rows["list"].id], **more}


@pytest.mark.feature("CAMP-01", clause="save; duplicate name 409")
async def test_a_campaign_is_created_with_seeds_and_told_to_the_engine(client: Client, world: World) -> None:
    headers = world.auth("manager")
    async with client.post("/api/v1/campaigns", headers=headers, json=campaign_body(world)) as response:
        assert response.status == 201
        row = await response.json()
        assert response.headers["ETag"] == '"1"' and response.headers["Location"].endswith(f"/{row['id']}")
    assert row["client_id"] == world.rows["client"].id and row["state"] == "stopped"
    assert c.ConfigChanged(table="Campaign", ids=(row["id"],), by="manager") in world.door.commands
    async with client.post("/api/v1/campaigns", headers=headers, json=campaign_body(world)) as response:
        assert response.status == 409
        assert (await response.json())["details"]["field"] == "name"


async def test_a_campaign_is_every_sites_as_its_page_offers(client: Client, world: World) -> None:
    headers, path = world.auth("manager"), f"/api/v1/campaigns/{world.rows['campaign'].id}"
    for site, expected in (("", 200), ("main", 200), ("nowhere", 400), ("Main!", 400)):
        async with client.patch(path, headers={**headers, "If-Match": "*"}, json={"site": site}) as response:
            assert response.status == expected, (site, await response.text())
    async with client.post("/api/v1/campaigns", headers=headers, json=campaign_body(world, site="")) as response:
        assert response.status == 201 and (await response.json())["site"] == ""


@pytest.mark.feature("STAT-03", clause="seeded set created for a new campaign")
@pytest.mark.feature("PAUS-02", clause="seeded with expected durations")
async def test_a_first_campaign_seeds_statuses_and_pause_codes(client: Client, world: World) -> None:
    async with client.post("/api/v1/campaigns", headers=world.auth("manager"), json=campaign_body(world)) as response:
        assert response.status == 201
    statuses = await world.store.find(Status, group_id=world.rows["group"].id)
    assert [s.code for s in statuses] == ["VENTE", "RAPPEL", "REFUS", "REPONDEUR", "INJOIGN"]
    pauses = await world.store.find(PauseCode, group_id=world.rows["group"].id)
    assert {p.code: p.expected_s for p in pauses}["REPAS"] == 3600.0
    second = campaign_body(world, name="Autre")
    async with client.post("/api/v1/campaigns", headers=world.auth("manager"), json=second) as response:
        assert response.status == 201
    assert len(await world.store.find(Status, group_id=world.rows["group"].id)) == 5


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"speed": 11}, "speed", "11"),
        ({"level": 0}, "level", "0"),
        ({"speeed": 1}, "speeed", "1"),
        ({"name": ""}, "name", ""),
        ({"zone": "Europe/Atlantis"}, "zone", "Europe/Atlantis"),
        ({"site": "lyon"}, "site", "lyon"),
        ({"list_ids": [2]}, "list_ids", "[2]"),
        ({"ring_timeout_s": 5}, "ring_timeout_s", "5"),
        ({"hours": [{"days": [8], "start": "08:00", "end": "20:00"}]}, "hours[0].days[0]", "8"),
        ({"hours": [{"days": [1], "start": "20:00", "end": "08:00"}]}, "hours[0].end", "08:00"),
        ({"recycling": [{"on": "busy", "delay_s": 3600, "max_count": 11}]}, "recycling[0].max_count", "11"),
        ({"safe_message": "a\r\nb"}, "safe_message", "…U+000D…"),
        ({"script": "a\x00b"}, "script", "…U+0000…"),
        ({"rule_set": "none"}, "rule_set", "none"),
        ({"abandonment_rate_max": 0.05}, "abandonment_rate_max", "0.05"),
    ],
)
@pytest.mark.feature("CAMP-07", clause="speed out of range 400")
async def test_a_bad_field_is_named_with_its_value(
    client: Client, world: World, body: dict[str, Any], field: str, value: str
) -> None:
    sent = {"name": "X", "site": "main", **body}
    async with client.post("/api/v1/campaigns", headers=world.auth("manager"), json=sent) as response:
        assert response.status == 400
        problem = await response.json()
    assert problem["details"]["field"] == field
    assert value in str(problem["details"]["value"]) and problem["details"]["allowed"]
    assert problem["type"].startswith(ROOT_TYPE) and field in problem["detail"]
    assert not await world.store.find(Campaign, name="X")


@pytest.mark.feature("LEGL-01", clause="LimiteNum > 4 refused for b2c")
async def test_more_attempts_than_the_law_are_refused(client: Client, world: World) -> None:
    body = campaign_body(world, attempts_max=6)
    headers = {**world.auth("manager"), "Accept-Language": "en"}
    async with client.post("/api/v1/campaigns", headers=headers, json=body) as response:
        problem = await response.json()
    assert response.status == 400 and problem["code"] == "attempts_over_legal"
    assert problem["detail"] == (
        "LimiteNum 6 is over the law: 4 attempts in 30 days (fr-b2c-2026). Nothing is saved: set 4 or fewer."
    )


async def test_missing_fields_and_bad_json_are_told_apart(client: Client, world: World) -> None:
    headers = {**world.auth("manager"), "Content-Type": "application/json"}
    for data, code in (('{"site":"main"}', "field_missing"), ("{", "json_invalid"), ("[]", "field_invalid")):
        async with client.post("/api/v1/campaigns", headers=headers, data=data) as response:
            assert response.status == 400 and (await response.json())["code"] == code
    form = {**world.auth("manager"), "Content-Type": "application/x-www-form-urlencoded"}
    async with client.post("/api/v1/campaigns", headers=form, data="name=x") as response:
        assert response.status == 415


async def test_writes_need_the_version_that_was_read(client: Client, world: World) -> None:
    path, headers = f"/api/v1/campaigns/{world.rows['campaign'].id}", world.auth("manager")
    async with client.patch(path, headers=headers, json={"priority": 6}) as response:
        assert response.status == 428
    async with client.get(path, headers=headers) as response:
        etag = response.headers["ETag"]
    async with client.patch(path, headers={**headers, "If-Match": etag}, json={"priority": 6}) as response:
        assert response.status == 200 and response.headers["ETag"] != etag
    async with client.patch(path, headers={**headers, "If-Match": etag}, json={"priority": 7}) as response:
        assert response.status == 412
        problem = await response.json()
    assert problem["details"]["current"]["priority"] == 6
    row = await world.store.get(Campaign, world.rows["campaign"].id)
    assert row is not None and row.priority == 6


async def test_live_values_change_by_command_only(client: Client, world: World) -> None:
    path, headers = f"/api/v1/campaigns/{world.rows['campaign'].id}", {**world.auth("manager"), "If-Match": "*"}
    for body in ({"speed": 3}, {"state": "running"}, {"group_id": 2}, {"id": 9}):
        async with client.patch(path, headers=headers, json=body) as response:
            assert response.status == 400, body
    async with client.post(path + "/tune", headers=headers, json={"speed": 7, "from_speed": 6}) as response:
        assert response.status == 202
    assert world.door.of(c.TuneCampaign)[0].speed == 7
    async with client.post(path + "/tune", headers=headers, json={"speed": 8, "from_speed": 6}) as response:
        assert response.status == 409 and (await response.json())["code"] == "speed_moved"


async def test_rows_in_use_are_not_deleted(client: Client, world: World) -> None:
    headers = {**world.auth("administrator"), "If-Match": "*"}
    async with client.delete(f"/api/v1/lines/{world.rows['line'].id}", headers=headers) as response:
        assert response.status == 409
        assert (await response.json())["details"]["used_by"] == ["Assurance Auto 31"]
    async with client.delete(f"/api/v1/lines/{world.rows['phones'][0].id}", headers=headers) as response:
        assert response.status == 204


@pytest.mark.feature("S100-06", clause="an agent's login must be a known extension; the error lists them")
async def test_an_agent_needs_a_known_extension(client: Client, world: World) -> None:
    headers = world.auth("manager")
    body = {"login": "1003", "name": "L. Moreau", "site": "main"}
    async with client.post("/api/v1/agents", headers=headers, json=body) as response:
        assert response.status == 201 and (await response.json())["extension"] == "1003"
    async with client.post("/api/v1/agents", headers=headers, json={**body, "login": "2001"}) as response:
        assert response.status == 400
        assert (await response.json())["details"]["allowed"] == ["1001", "1002", "1003"]
    explicit = {**body, "login": "moreau", "extension": "1002"}
    async with client.post("/api/v1/agents", headers=headers, json=explicit) as response:
        assert response.status == 201


async def test_lists_come_in_keyset_pages(client: Client, world: World) -> None:
    headers = world.auth("manager")
    for number in range(5):
        async with client.post("/api/v1/lists", headers=headers, json={"name": f"L{number}"}) as response:
            assert response.status == 201
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        async with client.get(f"/api/v1/lists?limit=2&after={after}", headers=headers) as response:
            page = await response.json()
        seen += [row["name"] for row in page["rows"]]
        after = page["next_after"]
    assert seen == ["NEW", "L0", "L1", "L2", "L3", "L4"]
    async with client.get("/api/v1/lists?limmit=2", headers=headers) as response:
        assert response.status == 400 and (await response.json())["details"]["field"] == "limmit"


@pytest.mark.feature("IMPT-14", clause="a list switched off is told to the dialler at once")
async def test_switching_a_list_off_drops_its_queued_leads(client: Client, world: World) -> None:
    path = f"/api/v1/lists/{world.rows['list'].id}"
    headers = {**world.auth("manager"), "If-Match": "*"}
    async with client.patch(path, headers=headers, json={"active": False}) as response:
        assert response.status == 200
    assert world.door.of(c.LeadsChanged)[0].list_ids == (world.rows["list"].id,)


@pytest.mark.feature("S100-07", clause="ready with an unreachable phone: 409 extension_unregistered")
async def test_the_engines_refusals_reach_the_client(client: Client, world: World) -> None:
    world.door.refuse["SetReady"] = CommandError("extension_unregistered", {"extension": "1001"})
    world.door.refuse["SetPaused"] = CommandError("pause_code_required")
    agent = f"/api/v1/agents/{world.rows['agent'].id}"
    async with client.post(agent + "/ready", headers=world.auth("agent")) as response:
        assert response.status == 409
        assert "1001" in (await response.json())["detail"]
    async with client.post(agent + "/pause", headers=world.auth("agent"), json={}) as response:
        assert response.status == 400 and (await response.json())["code"] == "pause_code_required"


async def test_too_many_reports_at_once_are_no_lost_database(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked for one too many was told that the database does not answer and that no calls are made."""

    async def full(name: str, **given: Any) -> list[dict[str, Any]]:
        raise StoreBusy("store_readers: all 4 are in use")

    monkeypatch.setattr(world.store, "report", full)
    async with client.get("/api/v1/reports/totals", headers=world.auth("manager")) as response:
        assert (response.status, (await response.json())["code"]) == (503, "too_busy")
        assert response.headers["Retry-After"]


async def test_the_database_gone_is_503_with_its_reason(client: Client, world: World) -> None:
    await world.store.close()
    async with client.get("/api/v1/lists", headers=world.auth("manager")) as response:
        assert response.status == 503 and (await response.json())["code"] == "store_unavailable"
    async with client.get("/readyz") as response:
        assert response.status == 503 and (await response.json())["store"] is False
    async with client.get("/healthz") as response:
        assert response.status == 200


async def test_openapi_covers_every_route_and_resolves(client: Client) -> None:
    async with client.get("/api/v1/openapi.json") as response:
        document = msgspec.json.decode(await response.read())
    assert document["openapi"] == "3.1.0"
    text = msgspec.json.encode(document).decode()
    schemas = document["components"]["schemas"]
    for part in text.split('"$ref":"')[1:]:
        assert part.partition('"')[0].removeprefix("#/components/schemas/") in schemas
    tune = document["paths"]["/api/v1/campaigns/{id}/tune"]["post"]
    assert tune["x-permission"] == "steer" and "202" in tune["responses"]
    ids = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(ids) == len(set(ids))


def test_every_error_has_both_languages_and_the_page_is_current() -> None:
    for code, row in ERRORS.items():
        assert row.fr and row.en and 400 <= row.status < 600, code
    from pathlib import Path

    page = Path(__file__).resolve().parents[2] / "docs" / "api-errors.md"
    assert page.read_text("utf-8") == markdown(), "python -m daemon.api.errors > docs/api-errors.md"
