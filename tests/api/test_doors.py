"""What else stands before the doors: safe defaults, figures that are the log's own, quotas across a restart, TLS."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientConnectionError, ClientSession, web
from aiohttp.test_utils import TestClient

from daemon.api.app import DEPS
from daemon.api.c2c_stats import ADVICE
from daemon.calls.records import Group, Role, TokenKind
from daemon.errors import SettingsError
from daemon.resources import tls_of
from daemon.settings import HttpTable
from daemon.settings_file import parse
from tests.api.conftest import Serve
from tests.api.fakes import World
from tests.api.test_click2call import call, end_calls

Client = TestClient[Any, Any]


@pytest.mark.feature("C2C-13", clause="binds loopback by default, refuses a public address without TLS or proxy flag")
def test_a_public_address_needs_tls_or_a_declared_proxy() -> None:
    assert HttpTable().host == "127.0.0.1"
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(SettingsError, match=r"http\.host"):
            parse({"http": {"host": host}})
        parse({"http": {"host": host, "behind_proxy": True}})
        parse({"http": {"host": host, "tls_certificate_file": "c", "tls_key_file": "k"}})
    with pytest.raises(SettingsError, match="go together"):
        parse({"http": {"host": "0.0.0.0", "tls_certificate_file": "c"}})


@pytest.mark.feature("C2C-11", clause="24 h totals, success rate, mean ms; per line; top errors with advice; = the log")
async def test_click_to_call_in_figures(client: Client, world: World) -> None:
    for number in ("0199000123", "0199000124", "112", "abc", "112"):
        await call(client, world, {"number_to_call": number})
    await client.app[DEPS].quotas.close()
    world.clock.advance(1)
    rows = [r if isinstance(r, dict) else msgspec.structs.asdict(r) for r in world.store.tables.api_call_logs]
    async with client.get("/api/v1/stats/click2call", headers=world.auth("supervisor")) as response:
        stats = await response.json()
    assert (stats["calls"], stats["succeeded"], stats["failed"], stats["success_rate"]) == (5, 2, 3, 0.4)
    assert stats["response_mean_ms"] == pytest.approx(sum(row["response_time_ms"] for row in rows) / 5)
    assert {line["line"]: (line["calls"], line["succeeded"]) for line in stats["lines"]} == {
        "8001": (1, 1), "8002": (1, 1), "": (3, 0),
    }  # fmt: skip
    assert [(each["error"], each["calls"]) for each in stats["errors"]] == [
        ("Appel interdit : urgence", 2), ("Numéro invalide : abc", 1),
    ]  # fmt: skip
    assert all(each["advice_fr"] and each["advice_en"] for each in stats["errors"])
    group = world.rows["group"]
    [quota] = stats["quotas"]
    assert (quota["group_id"], quota["used"], quota["limit"]) == (group.id, 2, group.c2c_per_hour)
    assert quota["reset_at"] == "2026-11-24T14:00:00Z"
    async with client.get("/api/v1/stats/click2call", headers=world.auth("other_admin")) as response:
        other = await response.json()
    assert other["calls"] == 0 and [x["used"] for x in other["quotas"]] == [0]
    world.clock.advance(timedelta(hours=25).total_seconds())
    async with client.get("/api/v1/stats/click2call", headers=world.auth("supervisor")) as response:
        later = await response.json()
    assert later["calls"] == 0 and later["quotas"][0]["used"] == 0


def test_each_documented_error_has_advice() -> None:
    from daemon.api.errors import ERRORS

    told = {row.clicsipx for row in ERRORS.values()}
    assert all(any(text.startswith(begin) for text in told) for begin in ADVICE)


@pytest.mark.feature("C2C-07", clause="the count of the clock hour survives a restart")
async def test_the_quota_survives_a_restart(serve: Serve, world: World) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_per_hour": 2}, None)
    before = await serve()
    for _ in range(2):
        assert (await call(before, world))[0] == 200
    end_calls(world)
    await before.app[DEPS].quotas.close()  # type: ignore[union-attr]
    after = await serve()
    assert (await call(after, world))[0] == 429
    async with after.get("/api/public/status", headers=world.auth("c2c")) as response:
        assert (await response.json())["data"]["rate_limit"]["remaining"] == 0


@pytest.mark.feature("C2C-04", clause="own group only; an all-groups administrator may make tokens of any")
async def test_whose_tokens_an_administrator_makes(client: Client, world: World) -> None:
    other = world.rows["other_group"].id
    body = {"name": "web", "kind": "click2call", "group_id": other}
    async with client.post("/api/v1/tokens", json=body, headers=world.auth("administrator")) as response:
        assert response.status == 403
    async with client.post("/api/v1/tokens", json=body, headers=world.auth("root")) as response:
        made = await response.json()
        assert response.status == 201 and made["token"].startswith("clicsipx_EST_")


@pytest.mark.feature("ROLE-02", clause="operators authenticate by hashed tokens: the secret is nowhere in the store")
async def test_tokens_are_kept_as_hashes(client: Client, world: World) -> None:
    body = {"name": "web", "kind": "leads"}
    async with client.post("/api/v1/tokens", json=body, headers=world.auth("administrator")) as response:
        token = (await response.json())["token"]
    assert token not in str(world.store.tables.config) and token not in str(world.store.tables.audit)


@pytest.mark.feature("LEAD-08", clause="keys are stored hashed")
async def test_a_leads_key_is_a_hash_in_the_store(client: Client, world: World) -> None:
    await world.token("k", world.rows["group"].id, kind=TokenKind.LEADS, role=Role.AGENT)
    assert world.tokens["k"] not in str(world.store.tables.config)
    async with client.get("/api/external/validate", headers={"X-API-Key": world.tokens["k"]}) as response:
        assert response.status == 200


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.mark.feature("C2C-13", clause="HTTPS: the daemon serves TLS with the certificate of its settings")
async def test_tls(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The very context the composition root makes, over a real socket; nothing older than TLS 1.2."""
    certificate, key = pair
    http = HttpTable(tls_certificate_file=str(certificate), tls_key_file=str(key))
    context = tls_of(http)
    assert context is not None
    app = web.Application()
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with ClientSession() as session:
        async with session.get(f"https://127.0.0.1:{port}/", ssl=trusting) as response:
            assert response.status == 404
        with pytest.raises(ClientConnectionError):
            await session.get(f"http://127.0.0.1:{port}/")
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    await runner.cleanup()
    with pytest.raises(SettingsError, match="tls_certificate_file"):
        tls_of(HttpTable(tls_certificate_file=str(tmp_path / "none"), tls_key_file=str(key)))
