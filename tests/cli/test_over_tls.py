"""Commands that speak to a daemon with a certificate of its own, by address or IPv6; and its renewal on SIGHUP."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from daemon.app import CLI_TOKEN_FILE
from daemon.cli.remote import Remote
from daemon.resources import tls_of
from daemon.serving import Serving
from daemon.settings import DaemonTable, HttpTable, Settings


async def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for that name, signed by nobody, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    new = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {key} -out {made}"
    process = await asyncio.create_subprocess_exec(
        openssl, *new.split(), "-subj", f"/CN={name}", stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    return made, key


async def answering(http: HttpTable) -> tuple[web.AppRunner, int, ssl.SSLContext | None]:
    """A door that says where it was asked."""

    async def status(request: web.Request) -> web.Response:
        return web.json_response({"scheme": request.scheme})

    app = web.Application()
    app.router.add_get("/api/v1/status", status)
    runner = web.AppRunner(app)
    await runner.setup()
    tls = tls_of(http)
    site = web.TCPSite(runner, http.host, 0, ssl_context=tls)
    await site.start()
    return runner, int(runner.addresses[0][1]), tls


def settings_of(folder: Path, http: HttpTable) -> Settings:
    (folder / CLI_TOKEN_FILE).write_text("127.0.0.1 token\n")
    return Settings(daemon=DaemonTable(data_dir=str(folder)), http=http)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_status_of_a_daemon_with_its_own_certificate(tmp_path: Path, host: str) -> None:
    """It is for the name that browsers use, and perhaps signed by an authority of the house."""
    made, key = await certificate(tmp_path, "cadran.example")
    http = HttpTable(host=host, tls_certificate_file=str(made), tls_key_file=str(key))
    runner, port, _ = await answering(http)
    settings = settings_of(tmp_path, msgspec.structs.replace(http, tcp_port=port))
    try:
        async with Remote(settings) as remote:
            assert remote.base == f"https://127.0.0.1:{port}"
            assert await remote.ask("GET", "/api/v1/status") == {"scheme": "https"}
    finally:
        await runner.cleanup()


def test_an_ipv6_address_is_one_in_a_url(tmp_path: Path) -> None:
    assert Remote(settings_of(tmp_path, HttpTable(host="::1"))).base == "http://[::1]:8098"


async def test_another_certificate_is_not_taken_for_the_daemon_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, key = await certificate(tmp_path, "cadran.example")
    other, other_key = await certificate(tmp_path, "other.example")
    http = HttpTable(tls_certificate_file=str(made), tls_key_file=str(key))
    runner, port, _ = await answering(http)
    named = msgspec.structs.replace(http, tcp_port=port, tls_certificate_file=str(other), tls_key_file=str(other_key))
    try:
        async with Remote(settings_of(tmp_path, named)) as remote:
            with pytest.raises(SystemExit) as left:
                await remote.ask("GET", "/api/v1/status")
    finally:
        await runner.cleanup()
    assert left.value.code == 4
    assert "certificate" in capsys.readouterr().err


@pytest.mark.feature(
    "RELY-06", clause="a renewed certificate is taken up without a restart; one that does not fit is not"
)
async def test_a_certificate_is_renewed(tmp_path: Path) -> None:
    first, first_key = await certificate(tmp_path, "first.example")
    second, second_key = await certificate(tmp_path, "second.example")
    used, used_key = tmp_path / "used.pem", tmp_path / "used.key"
    shutil.copy(first, used)
    shutil.copy(first_key, used_key)
    http = HttpTable(tls_certificate_file=str(used), tls_key_file=str(used_key))
    runner, port, tls = await answering(http)
    serving: Any = Serving.__new__(Serving)
    serving.settings, serving._tls = settings_of(tmp_path, http), tls

    async def served() -> str:
        return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))

    try:
        assert (await served()).split() == first.read_text().split()
        shutil.copy(second, used)  # the key is still the old one: half of a renewal
        assert serving.renew_certificate().startswith("refused")
        assert (await served()).split() == first.read_text().split()
        shutil.copy(second_key, used_key)
        assert serving.renew_certificate() == "renewed"
        assert (await served()).split() == second.read_text().split()
    finally:
        await runner.cleanup()
