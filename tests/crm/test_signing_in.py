"""The four ways a template signs in, and what it makes of answers: set up and tried over the API, read off what a CRM
was sent over real HTTP."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from daemon.settings import OutgoingTable
from tests.crm.office import Office
from tests.crm.test_crm_api import ask, make_api

TEMPLATE = """<Information Key="own" CallJournal="1" UserAssociation="1"><Scenarios>
<Scenario Id="AuthMethod"><Parameters><Parameter Name="AuthMethod" Value="{method}"/>{parameters}</Parameters>
</Scenario>
<Scenario Id="UserAssociation"><Requests><Request Name="UserAssociation" URLFormat="{{{{.url}}}}/users"><Outputs>
<Output Name="UserUniqueId" Path="users.#.id"/></Outputs></Request></Requests></Scenario>
<Scenario Id="CallJournal"><Requests><Request Name="CallJournal" Method="{verb}"
URLFormat="{{{{.url}}}}/{{{{.word}}}}/calls?q={{{{.word}}}}"><Parameters>
<Parameter Name="Data" Type="Body" Value="{{&quot;w&quot;:&quot;{{{{.word}}}}&quot;}}"/></Parameters><Outputs>
<Output Name="JournalId" Path="id"/></Outputs></Request></Requests></Scenario></Scenarios></Information>"""
FIELDS = ("url", "word", "user", "pass")
BEARER = '<Parameter Name="TokenEndPoint" Value="{{.url}}/token"/>'
HEADER = '<Parameter Father="PopulateTemplateString" Type="Header" Name="X-Copy" Value="{{.word}}{{.basic_string}}"/>'


@dataclass
class Crm:
    """`seen`: method, path, headers, body. `answers`: what journals get next; then a good one."""

    office: Office
    client: TestClient[Any, Any]
    url: str = ""
    seen: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    token_status: int = 200
    tokens: int = 0
    row: dict[str, Any] = field(default_factory=dict)
    waits: Callable[[web.Request], Awaitable[web.Response]] | None = None

    async def answer(self, request: web.Request) -> web.Response:
        if self.waits is not None:
            return await self.waits(request)
        self.seen.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        if request.path == "/token":
            self.tokens += self.token_status == 200
            body = {"access_token": f"t{self.tokens}"} if self.token_status == 200 else {}
            return web.json_response(body, status=self.token_status)
        if request.path == "/users":
            return web.json_response({"users": [{"id": "1"}]})
        status, text = self.answers.pop(0) if self.answers else (200, '{"id":"J1"}')
        return web.Response(status=status, text=text, content_type="application/json")

    async def set_up(self, method: str, parameters: str = "", verb: str = "POST") -> None:
        names = "".join(f'<Parameter Father="CustomFieldList" Name="{name}"/>' for name in FIELDS)
        text = TEMPLATE.format(method=method, parameters=names + parameters, verb=verb)
        await ask(self.client, "POST", "/templates", 201, data=text.encode())
        given = {"url": self.url, "word": "mot", "user": "zoé", "pass": "pä:ss"}
        body = {"name": "x", "template": "own", "fields": given}
        self.row = await ask(self.client, "POST", "/integrations", 201, json=body)

    async def tried(self, step: str = "journal") -> Any:
        return await ask(self.client, "POST", f"/integrations/{self.row['id']}/try", json={"step": step})

    def sent(self, name: str) -> list[str | None]:
        return [headers.get(name) for _, _, headers, _ in self.seen]

    def paths(self) -> list[str]:
        return [path.partition("?")[0] for _, path, _, _ in self.seen]


@asynccontextmanager
async def far() -> AsyncIterator[Crm]:
    async with make_api() as (office, client):
        crm = Crm(office, client)
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", crm.answer)
        async with TestServer(app) as server:
            crm.url = str(server.make_url("")).rstrip("/")
            yield crm


@pytest.mark.feature("YPA-01", clause="requests carry no Authorization; connected at once")
async def test_none() -> None:
    async with far() as crm:
        await crm.set_up("none")
        assert (await crm.tried("connect"))["ok"] and crm.seen == []
        assert (await crm.tried())["ok"]
        assert crm.sent("Authorization") == [None]


@pytest.mark.feature("YPA-02", clause="base64 of the rendered string in UTF-8; basic_string is a variable")
@pytest.mark.parametrize(("credential", "plain"), [("{{.user}}:{{.pass}}", "zoé:pä:ss"), ("{{.pass}}", "pä:ss")])
async def test_basic(credential: str, plain: str) -> None:
    async with far() as crm:
        await crm.set_up("basic", f'<Parameter Name="Base64EncodedCredential" Value="{credential}"/>' + HEADER)
        assert (await crm.tried())["ok"]
        expected = base64.b64encode(plain.encode()).decode()
        assert (crm.sent("Authorization"), crm.sent("X-Copy")) == ([f"Basic {expected}"], [f"mot{expected}"])


@pytest.mark.feature("YPA-04", clause="a bearer token is renewed at 25:00 when blank, at its minutes, never with 0")
@pytest.mark.parametrize(("minutes", "renewed_s"), [("", 1500), ("10", 600), ("0", 0)])
async def test_bearer_token_is_renewed(minutes: str, renewed_s: int) -> None:
    async with far() as crm:
        await crm.set_up("bearertoken", BEARER + f'<Parameter Name="TokenRefreshInterval" Value="{minutes}"/>')
        assert (await crm.tried())["ok"]
        crm.office.clock.forward((renewed_s or 86_400) - 1)
        assert (await crm.tried())["ok"] and crm.tokens == 1
        crm.office.clock.forward(1)
        assert (await crm.tried())["ok"]
        assert crm.sent("Authorization")[-1] == ("Bearer t2" if renewed_s else "Bearer t1")


@pytest.mark.feature("YPA-04", clause="a failed renewal keeps the old token until it is refused")
async def test_a_failed_renewal_keeps_the_old_token() -> None:
    async with far() as crm:
        await crm.set_up("bearertoken", BEARER)
        assert (await crm.tried())["ok"]
        crm.office.clock.forward(1500)
        crm.token_status = 500
        assert (await crm.tried())["ok"]
        assert crm.paths()[-2:] == ["/token", "/mot/calls"] and crm.sent("Authorization")[-1] == "Bearer t1"


@pytest.mark.feature("YPA-05", clause="401 with the mark: one renewal, one more try; 200 with it, 500 without: neither")
async def test_token_invalid() -> None:
    mark = '<Parameter Father="TokenErrorMap" Name="TokenInvalid" Value="invalid_token"/>'
    async with far() as crm:
        await crm.set_up("bearertoken", BEARER + mark)
        for answers, ok, asked, tokens in (
            ([], True, ["/token", "/mot/calls"], 1),
            ([(401, "invalid_token")], True, ["/mot/calls", "/token", "/mot/calls"], 2),
            ([(401, "invalid_token")] * 2, False, ["/mot/calls", "/token", "/mot/calls"], 3),
            ([(200, '{"id":"1","note":"invalid_token"}')], True, ["/mot/calls"], 3),
            ([(500, "broken")], False, ["/mot/calls"], 3),
            ([(401, "go away")], False, ["/mot/calls"], 3),
        ):
            crm.seen.clear()
            crm.answers = list(answers)
            assert (await crm.tried())["ok"] is ok
            assert (crm.paths(), crm.tokens) == (asked, tokens)


@pytest.mark.feature("YPA-06", clause="on every scenario's requests, not on the token's unless asked for")
@pytest.mark.parametrize("asked", ["", "1"])
async def test_headers_of_the_template(asked: str) -> None:
    async with far() as crm:
        await crm.set_up("bearertoken", BEARER + HEADER + f'<Parameter Name="TokenRequestHeaders" Value="{asked}"/>')
        for step in ("users", "journal"):
            assert (await crm.tried(step))["ok"]
        assert crm.paths() == ["/token", "/users", "/mot/calls"]
        assert crm.sent("X-Copy") == ["mot" if asked else None, "mot", "mot"]


@pytest.mark.feature("YPA-07", clause="a field's value in a URL's path and query, in the body and in a header")
@pytest.mark.feature("YPS-16", clause="GET, POST, PUT, PATCH and DELETE arrive as such")
@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_fields_and_methods(verb: str) -> None:
    async with far() as crm:
        await crm.set_up("none", HEADER, verb)
        assert (await crm.tried())["ok"]
        method, path, headers, body = crm.seen[0]
        assert (method, path, headers["X-Copy"]) == (verb, "/mot/calls?q=mot", "mot")
        assert body == '{"w":"mot"}'


@pytest.mark.feature("YPS-17", clause="no JSON, and more than 2 MB: an error that is told")
@pytest.mark.parametrize(("text", "said"), [("<html>", "JSON"), ('{"id":"' + "x" * 2_100_000 + '"}', "2097152 bytes")])
async def test_answers_that_are_of_no_use(text: str, said: str) -> None:
    async with far() as crm:
        await crm.set_up("none")
        crm.answers = [(200, text)]
        found = await crm.tried()
        assert not found["ok"] and said in found["error"], found["error"]


@pytest.mark.feature("YPS-17", clause="a CRM that says nothing for ten seconds: an error that is told, no sooner")
async def test_a_crm_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OutgoingTable().timeout_s == 10.0
    loop, silence, told = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    async with far() as crm:
        await crm.set_up("none")

        async def answer(request: web.Request) -> web.Response:
            told.set()
            await silence.wait()
            return web.json_response({"id": "J1"})

        monkeypatch.setattr(crm, "waits", answer)
        now = loop.time()
        with monkeypatch.context() as stopped:
            stopped.setattr(loop, "time", lambda: now)  # time passes as we say, whatever the machine is doing
            trial = loop.create_task(crm.tried())
            await told.wait()
            now += 9.9
            for _ in range(200):
                await asyncio.sleep(0)
            assert not trial.done()
            now += 0.2
            found = await trial
        silence.set()
        assert not found["ok"] and "no answer within 10 s" in found["error"]
        crm.waits = None
        assert (await crm.tried())["ok"]


@pytest.mark.feature("YPS-17", clause="a redirect to another host carries no credentials")
async def test_credentials_stay_at_home() -> None:
    async with far() as crm:
        moved: list[dict[str, str]] = []

        async def take(request: web.Request) -> web.Response:
            moved.append(dict(request.headers))
            return web.json_response({"users": [{"id": "1"}]})

        elsewhere = web.Application()
        elsewhere.router.add_get("/users", take)
        async with TestServer(elsewhere) as other:

            async def away(request: web.Request) -> web.Response:
                raise web.HTTPFound(str(other.make_url("/users")))

            home = web.Application()
            home.router.add_get("/users", away)
            async with TestServer(home) as server:
                crm.url = str(server.make_url("")).rstrip("/")
                given = '<Parameter Name="Base64EncodedCredential" Value="{{.user}}:{{.pass}}"/>' + HEADER
                await crm.set_up("basic", given)
                assert (await crm.tried("users"))["ok"]
        assert len(moved) == 1 and not {"Authorization", "X-Copy"} & set(moved[0])
