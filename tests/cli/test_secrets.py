"""A whole run of the daemon as a process, with every secret in use: none is in a log, an answer or an argument."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from daemon.api.app import all_routes
from daemon.store.embedded import EmbeddedPostgres
from fake_asterisk import FakeAsterisk, ManagerUser, people
from tests.asterisk.bed import free_ports
from tests.crm.test_alerts import MailServer

SETTINGS = """\
[daemon]
data_dir = "{folder}/data"
log_level = "debug"
log_format = "json"
drain_s = 0.0
[database]
dsn = "{dsn}"
password_file = "{folder}/database"
[http]
tcp_port = {http_port}
[outgoing]
allow_networks = ["127.0.0.0/8"]
[webhooks]
poll_s = 0.1
[alerts]
mail_to = ["chef@exemple.fr"]
mail_from = "cadran@exemple.fr"
smtp_host = "127.0.0.1"
smtp_port = {smtp_port}
smtp_security = "none"
smtp_user = "mailer"
smtp_password_file = "{folder}/smtp"
[[sites]]
id = "main"
tcp_port = {ami_port}
username = "dialer"
secret_file = "{folder}/ami"
backoff_max_s = 0.5
"""


class Run:
    """The daemon at work, and what it must keep to itself."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.secrets = {name: f"{name}-{secrets.token_hex(12)}" for name in ("ami", "database", "smtp")}
        for name, secret in self.secrets.items():
            (folder / name).write_text(secret + "\n")
            (folder / name).chmod(0o600)
        (self.port,) = free_ports(1, socket.SOCK_STREAM)
        self.answers: list[str] = []
        self.arguments: list[str] = []

    async def ask(self, session: ClientSession, method: str, path: str, **more: Any) -> Any:
        """One request; its answer is kept, but for the ones that show a secret once."""
        async with session.request(method, f"http://127.0.0.1:{self.port}{path}", **more) as response:
            text = await response.text()
            shown_once = method == "POST" and path.split("/")[3] in ("tokens", "webhooks") and response.status < 300
            self.answers.append(str(dict(response.headers)) + ("" if shown_once else text))
            return await response.json() if response.content_type.endswith("json") else text


@asynccontextmanager
async def daemon_at_work(
    run: Run, ami_port: int, dsn: str, smtp_port: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    settings = run.folder / "cadran.toml"
    words = {"folder": run.folder, "dsn": dsn, "http_port": run.port, "ami_port": ami_port, "smtp_port": smtp_port}
    settings.write_text(SETTINGS.format(**words))
    with run.log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon.cli.main", "run", "--config", str(settings), stdout=out, stderr=out
        )
    try:
        async with asyncio.timeout(120):
            while "http.serving" not in run.log.read_text("utf-8", "replace"):
                assert process.returncode is None, run.log.read_text()
                await asyncio.sleep(0.1)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def seen(what: Any) -> None:
    """Until a condition holds."""
    async with asyncio.timeout(90):
        while not what():  # noqa: ASYNC110 - what is waited for raises no event
            await asyncio.sleep(0.05)


async def use_everything(run: Run, mail: MailServer) -> None:
    """Sign in, make tokens and webhooks, be refused, deliver and fail to deliver, mail an alert."""
    hooks: list[int] = []

    async def receive(request: web.Request) -> web.Response:
        hooks.append(1)
        return web.Response(status=500 if len(hooks) < 3 else 204)

    app = web.Application()
    app.router.add_post("/", receive)
    receiver = TestServer(app)
    await receiver.start_server()
    run.secrets["cli token"] = (run.folder / "data" / "cli-token").read_text().split()[1]
    root = {"Authorization": f"Bearer {run.secrets['cli token']}"}
    async with ClientSession() as session:
        async with asyncio.timeout(90):
            links: dict[str, Any] = {}
            while not links.get("main", {}).get("up"):
                await asyncio.sleep(0.1)
                links = (await run.ask(session, "GET", "/api/v1/snapshot", headers=root))["links"]
        for kind in ("operator", "click2call", "leads"):
            made = await run.ask(session, "POST", "/api/v1/tokens", json={"name": kind, "kind": kind}, headers=root)
            run.secrets[f"token {kind}"] = made["token"]
        hook = {"name": "crm", "url": f"http://127.0.0.1:{receiver.port}/"}
        made = await run.ask(session, "POST", "/api/v1/webhooks", json=hook, headers=root)
        run.secrets["webhook"] = made["secret"].removeprefix("whsec_")
        path = f"/api/v1/webhooks/{made['id']}"
        made = await run.ask(session, "POST", f"{path}/rotate", headers=root)
        run.secrets["webhook, rotated"] = made["secret"].removeprefix("whsec_")
        for _ in range(3):
            await run.ask(session, "POST", f"{path}/test", headers=root)
        operator = {"token": run.secrets["token operator"]}
        signed_in = await run.ask(session, "POST", "/api/v1/session", json=operator)
        run.secrets["csrf"] = signed_in["csrf"]
        run.answers.clear()  # the cookie is the token, and the page must know its own CSRF value
        number, c2c = {"number_to_call": "0199000123"}, run.secrets["token click2call"]
        for token in (c2c, c2c + "x", run.secrets["token leads"]):
            auth = {"Authorization": f"Bearer {token}"}
            await run.ask(session, "POST", "/api/public/click2call", json=number, headers=auth)
        wrong = {"token": run.secrets["token operator"] + "\r\n"}
        await run.ask(session, "POST", "/api/v1/session", json=wrong)
        for route in all_routes():
            if route.method == "GET" and "{" not in route.path and not route.path.endswith(("/stream", "/events")):
                headers = root if not route.path.startswith("/api/v1/session") else {}
                if headers or "session" not in route.path:
                    await run.ask(session, "GET", route.path, headers=headers)
        await seen(lambda: len(hooks) >= 3)
        await seen(lambda: bool(mail.mails))
    await receiver.close()


def arguments_of(pid: int) -> str:
    """The command line and those of its children, as any user of the machine may read them."""
    text = ""
    with suppress(FileNotFoundError, ProcessLookupError):  # a child may have ended meanwhile
        text = Path(f"/proc/{pid}/cmdline").read_text()
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            text += arguments_of(int(child))
    return text


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the database's user, who may not be ours, can pass through."""
    with tempfile.TemporaryDirectory(prefix="cadran-secrets-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.timeout(600)
@pytest.mark.feature("C2C-13", clause="no secret in logs, answers or process arguments, in a whole run")
@pytest.mark.feature("RGPD-02", clause="neither logs, answers nor process arguments show a secret, in a whole run")
async def test_no_secret_leaves_the_daemon(folder: Path) -> None:
    run, mail = Run(folder), MailServer()
    serving = threading.Thread(target=mail.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    user = ManagerUser("dialer", run.secrets["ami"])
    fake = FakeAsterisk(people.config(agents=2, users=(user,)), rng=random.Random(1))
    ami = await asyncio.get_running_loop().create_server(fake.protocol_factory, "127.0.0.1", 0)
    server = EmbeddedPostgres(folder / "postgres", durable=False, tied=True)
    await server.start()
    try:
        ami_port = int(ami.sockets[0].getsockname()[1])
        async with daemon_at_work(run, ami_port, server.dsn(), int(mail.server_address[1])) as process:
            await use_everything(run, mail)
            run.arguments.append(arguments_of(process.pid))
    finally:
        await server.stop()
        ami.close()
        mail.shutdown()
        serving.join()
        mail.server_close()
    key = bytes.fromhex((folder / "data" / "webhook.key").read_text().strip()).hex()
    places = {"log": run.log.read_text(), "answers": "\n".join(run.answers), "arguments": "\n".join(run.arguments)}
    assert mail.signed_in and run.secrets["smtp"] in mail.signed_in[0], "it was in use"
    assert len(places["log"]) > 500 and len(run.answers) > 20 and "cadran.toml" in places["arguments"]
    for place, text in places.items():
        for secret_name, secret in {**run.secrets, "webhook key": key}.items():
            assert secret not in text, f"{secret_name} is in the {place}"
    assert (folder / "data" / "cli-token").stat().st_mode & 0o077 == 0
    assert (folder / "data" / "webhook.key").stat().st_mode & 0o077 == 0
    assert os.stat(folder / "data").st_mode & 0o002 == 0
