"""Commands that speak to the running daemon (status, call): by HTTP on this machine, with the token it left there."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from daemon.app import CLI_TOKEN_FILE
from daemon.cli.config import DEFAULT, AsJson, ConfigPath
from daemon.cli.output import as_json, fail, table
from daemon.settings import Settings
from daemon.settings_file import load

OLDER = "database_older: site "
"""How the status names a site whose database lacks facts that it had confirmed."""


def french() -> bool:
    """Whether this terminal speaks French: sentences of the daemon are shown as its pages show them."""
    return os.environ.get("LANG", "").startswith("fr")


class Refused(Exception):
    """The daemon said no: status and its problem document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or status))
        self.status, self.problem = status, problem


class Remote:
    """The daemon's API as one asynchronous context."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        http = settings.http
        scheme = "https" if http.tls_certificate_file else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(http.host, http.host)
        self.base = f"{scheme}://{f'[{host}]' if ':' in host else host}:{http.tcp_port}"

    def _token(self) -> str:
        path = Path(self._settings.daemon.data_dir) / CLI_TOKEN_FILE
        try:
            return path.read_text().split()[1]
        except (OSError, IndexError):
            fail(f"{path} can't be read: is the daemon running, and are you its user (or root)?", 4)

    async def __aenter__(self) -> Remote:
        language = "fr" if french() else "en"
        headers = {"Authorization": f"Bearer {self._token()}", "Accept-Language": language}
        connector = aiohttp.TCPConnector(ssl=self._trust())
        timeout = aiohttp.ClientTimeout(total=600)
        self._session = aiohttp.ClientSession(self.base, headers=headers, timeout=timeout, connector=connector)
        return self

    def _trust(self) -> ssl.SSLContext | bool:
        """The daemon's own certificate, whatever name it is for and whoever signed it: this is its machine."""
        file = self._settings.http.tls_certificate_file
        if not file:
            return True
        try:
            context = ssl.create_default_context(cafile=file)
        except OSError as error:  # ssl.SSLError is one
            fail(f"http.tls_certificate_file = {file!r} can't be read: {error.strerror or error}", 4)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, method: str, path: str, body: Any = None, data: Any = None, **query: str) -> Any:
        """One request; the decoded answer. Raises Refused."""
        try:
            async with self._session.request(method, path, json=body, data=data, params=query) as answer:
                content: Any = None
                if answer.content_type.endswith("json"):
                    content = await answer.json()
                if answer.status >= 400:
                    raise Refused(answer.status, content or {"title": answer.reason})
                return content
        except aiohttp.ClientSSLError:
            fail(f"{self.base} answers with a certificate that is not in tls_certificate_file: reload the daemon", 4)
        except aiohttp.ClientConnectionError:
            fail(f"no daemon answers on {self.base}: is it running? (systemctl status cadran)", 4)


async def show_status(settings: Settings, json: bool) -> None:
    """Links, campaigns with the reason why they do not dial, agents by state, lines."""
    async with Remote(settings) as remote:
        views = await remote.ask("GET", "/api/v1/snapshot")
    if json:
        as_json(views)
        return
    table(
        "Links",
        ("site", "state", "mode", "version", "remark"),
        (
            (v["site"], "up" if v["up"] else "DOWN", v["mode"], v["version"], v["message"] or ", ".join(v["missing"]))
            for v in views.get("links", {}).values()
        ),
    )
    table(
        "Campaigns",
        ("id", "name", "state", "mode", "in progress", "agents", "why"),
        (
            (
                v["id"],
                v["name"],
                v["state"],
                v["mode"] + (f" {v['level']} speed {v['speed']}" if v["mode"] == "predictive" else ""),
                " ".join(f"{k}={n}" for k, n in v["stages"].items()) or "-",
                " ".join(f"{k}={n}" for k, n in v["agents"].items()) or "-",
                v["why_fr"] if french() else v["why"],
            )
            for v in views.get("campaigns", {}).values()
        ),
    )
    table(
        "Lines",
        ("id", "name", "state", "in use", "calls", "succeeded"),
        (
            (v["id"], v["name"], v["state"], f"{v['in_use']}/{v['capacity']}", v["calls"], v["succeeded"])
            for v in views.get("lines", {}).values()
        ),
    )


def status(config: ConfigPath = DEFAULT, json: AsJson = False) -> None:
    """How it stands: links, campaigns and why they do not dial, lines."""
    _guarded(lambda: show_status(load(config), json))


async def follow_call(settings: Settings, site: str, extension: str, number: str) -> bool:
    """Ring the extension, then the number; print each step with its time. True if they talked."""
    async with Remote(settings) as remote:
        started = time.monotonic()

        def step(text: str) -> None:
            typer.echo(f"{time.monotonic() - started:7.3f} s  {text}")

        body = {"site": site, "extension": extension, "number": number}
        call = await remote.ask("POST", "/api/v1/calls", body)
        key = call["result"]["attempt_id"]
        step(f"accepted, call {key}")
        shown = 0
        while True:
            try:
                found = await remote.ask("GET", f"/api/v1/calls/{key}")
            except Refused as refused:
                if refused.status != 404:
                    raise
                found = {"events": []}
            events = found.get("events", [])
            for event in events[shown:]:
                detail = " ".join(f"{k}={v}" for k, v in (event.get("detail") or {}).items())
                step(f"{event['kind']} {detail}".rstrip())
            shown = max(shown, len(events))
            if found.get("outcome"):
                step(f"outcome: {found['outcome']}, talked {found.get('talk_s') or 0} s")
                return bool(found["outcome"] == "connected")
            await asyncio.sleep(0.1)


def call(
    site: Annotated[str, typer.Argument(help="Site id of the settings.")],
    extension: Annotated[str, typer.Argument(help="The phone that rings first.")],
    number: Annotated[str, typer.Argument(help="Dialled when it answers.")],
    config: ConfigPath = DEFAULT,
) -> None:
    """Test the whole chain: ring EXTENSION, then dial NUMBER, then connect; prints each step with timings."""
    talked: list[bool] = []

    async def main() -> None:
        talked.append(await follow_call(load(config), site, extension, number))

    _guarded(main)
    if not talked[0]:
        raise typer.Exit(1)


async def confirm_reconciled(settings: Settings, site: str) -> None:
    """Say it for one site, or for each whose alert asks for it."""
    async with Remote(settings) as remote:
        status = await remote.ask("GET", "/api/v1/status")
        alerts = (status["system"] or {}).get("alerts", [])
        asked = [alert.removeprefix(OLDER) for alert in alerts if alert.startswith(OLDER)]
        for name in [site] if site else asked:
            await remote.ask("POST", f"/api/v1/sites/{name}/reconciled")
            typer.echo(f"site {name}: dials again")
        if not site and not asked:
            typer.echo("no site's database is known to be older than its journal")


def reconciled(
    site: Annotated[str, typer.Option(help="Site id; all that wait for it by default.")] = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """After a restore: say that the people called since the backup are known again (docs/reliability.md)."""
    _guarded(lambda: confirm_reconciled(load(config), site))


def _guarded(main: Any) -> None:
    try:
        asyncio.run(main())
    except Refused as refused:
        fail(f"refused: {refused}", 1)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, call):
        app.command()(command)
