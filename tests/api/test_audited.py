"""What the audit log holds of access and of consents: who gave whom which token, who entered a person's word."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.api.fakes import World

Client = TestClient[Any, Any]


async def audit(client: Client, world: World, *beginnings: str) -> list[dict[str, Any]]:
    """Rows of these kinds, oldest first."""
    async with client.get("/api/v1/audit", headers=world.auth("root")) as response:
        assert response.status == 200
        return [row for row in reversed(await response.json()) if row["what"].startswith(beginnings)]


@pytest.mark.feature(
    "ROLE-03", clause="access audit: each token made, renewed and ended, by whom, and never its secret"
)
async def test_tokens_are_in_the_audit_log(client: Client, world: World) -> None:
    admin = world.auth("administrator")
    body = {"name": "Site web", "kind": "click2call"}
    async with client.post("/api/v1/tokens", headers=admin, json=body) as response:
        made = await response.json()
    async with client.post(f"/api/v1/tokens/{made['id']}/rotate", headers=admin) as response:
        renewed = await response.json()
    for _ in range(2):
        async with client.delete(f"/api/v1/tokens/{made['id']}", headers=admin) as response:
            assert response.status == 204
    rows = await audit(client, world, "token.")
    assert [(row["what"], row["by"], row["target"]) for row in rows] == [
        (f"token.{done}", "administrator", str(made["id"])) for done in ("created", "rotated", "revoked")
    ]
    told = {"name": "Site web", "kind": "click2call", "role": "supervisor", "ends_with": made["tail"]}
    assert rows[0]["detail"] == {**told, "group_id": world.rows["group"].id, "all_groups": False}
    assert rows[1]["detail"]["ends_with"] == renewed["tail"]
    assert made["token"] not in str(rows) and renewed["token"] not in str(rows)


@pytest.mark.feature(
    "LEGL-08", clause="who entered a consent or its withdrawal is in the audit log, without the number"
)
async def test_consents_are_in_the_audit_log(client: Client, world: World) -> None:
    person = {"client_id": world.rows["client"].id, "number": "0199000123"}
    given = {"collected_at": "2026-11-01T10:00:00Z", "source": "site web", "text_version": "v2"}
    for path, body in (("/consents", {**person, "consent": given}), ("/consents/revoke", person)):
        async with client.post(f"/api/v1{path}", headers=world.auth("manager"), json=body) as response:
            assert response.status == 200, await response.text()
    rows = await audit(client, world, "consent.")
    assert [(row["what"], row["by"]) for row in rows] == [
        ("consent.given", "manager"), ("consent.withdrawn", "manager")
    ]  # fmt: skip
    assert rows[0]["detail"]["source"] == "site web" and "99000123" not in str(rows)
