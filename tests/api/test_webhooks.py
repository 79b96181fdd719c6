"""Webhooks through the API and over real HTTP: who is told what, signed how, how often, and what happens if not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from daemon.crm import webhooks
from tests.api.fakes import World
from tests.api.hooks import PATH, Calls, Client, add, drain, get, receiver, sender


class Far:
    """A receiver that answers as told, and keeps what came."""

    def __init__(self) -> None:
        self.status = 204
        self.only: dict[str, int] = {}
        self.came = asyncio.Event()
        self.seen: list[tuple[dict[str, str], bytes]] = []
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self.server = TestServer(app)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append((dict(request.headers), body))
        self.came.set()
        status = self.only.get(str(json.loads(body)["data"].get("attempt_id")), self.status)
        return web.Response(status=status, headers={"Location": "http://169.254.169.254/"} if status == 307 else {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/hook"

    def told(self) -> list[tuple[str, str]]:
        """(attempt, topic) in the order of arrival."""
        bodies = [json.loads(body) for _, body in self.seen]
        return [(body["data"].get("attempt_id", ""), body["type"]) for body in bodies]


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    await far.server.start_server()
    yield far
    await far.server.close()


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver checks it, written from the documentation alone."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return wanted in headers["webhook-signature"].split()


STEPS = ["call.ringing", "call.answered", "call.connected", "call.ended"]


@pytest.mark.feature("CRMI-03", clause="signed (HMAC-SHA256) POST with a timestamp, in order for each call")
async def test_each_step_of_a_call_is_told_signed_and_in_order(client: Client, world: World, far: Far) -> None:
    made = await add(client, world, far.url)
    calls = Calls(world)
    first, second = await calls.whole(1), await calls.whole(2)
    await drain(client, world, made)
    assert [topic for attempt, topic in far.told() if attempt == first] == STEPS
    assert [topic for attempt, topic in far.told() if attempt == second] == STEPS
    for headers, body in far.seen:
        assert is_signed(made["secret"], headers, body) and not is_signed(made["secret"], headers, body + b" ")
        assert abs(int(headers["webhook-timestamp"]) - world.clock.utcnow().timestamp()) < 1
        assert json.loads(body)["id"] == headers["webhook-id"]
        assert b"361234" not in body, "ids only: a number is asked for at the API, by who may see it"
    assert len({headers["webhook-id"] for headers, _ in far.seen}) == 8
    view = await get(client, world, f"{PATH}/{made['id']}")
    assert (view["pending"], view["dead"], view["delivered"], view["last_error"]) == (0, 0, 8, "")


@pytest.mark.feature("CRMI-03", clause="retry with backoff up to 24 h, then a dead letter")
async def test_a_receiver_that_is_down_is_tried_for_a_day(client: Client, world: World, far: Far) -> None:
    made = await add(client, world, far.url, topics=["call.ended"])
    await Calls(world).whole()
    far.status = 503
    known = await receiver(client, world, made)
    started, tried = world.clock.now(), []
    while not world.alerts:
        if await sender(client).look(known):
            tried.append(world.clock.now() - started)
        world.clock.advance(5.0 if world.clock.now() - started < 600 else 60.0)
    pauses = [after - before for before, after in pairwise(tried)]
    assert pauses[0] < 15 and pauses[3] > pauses[0] and max(pauses) < 4600
    assert 86_400 <= tried[-1] < 86_400 + 4600 and len(far.seen) == len(tried) > 20
    assert len({headers["webhook-id"] for headers, _ in far.seen}) == 1
    dead = (await get(client, world, f"{PATH}/{made['id']}/dead-letters"))["rows"]
    assert [(letter["topic"], letter["error"], letter["tries"]) for letter in dead] == [
        ("call.ended", "HTTP 503", len(tried))
    ]
    assert [topic for topic, _ in world.alerts] == ["webhook.dead"]


@pytest.mark.feature("CRMI-03", clause="dead letters are listed and replayed")
async def test_dead_letters_are_replayed(client: Client, world: World, far: Far) -> None:
    made = await add(client, world, far.url)
    await Calls(world).whole()
    world.clock.advance(86_401)
    await sender(client).sweep()
    path, admin = f"{PATH}/{made['id']}", world.auth("administrator")
    page = await get(client, world, f"{path}/dead-letters?limit=3")
    rest = await get(client, world, f"{path}/dead-letters?after={page['next_after']}")
    letters = page["rows"] + rest["rows"]
    assert [letter["topic"] for letter in letters] == STEPS and rest["next_after"] is None
    async with client.post(f"{path}/replay", json={"ids": [letters[3]["id"]]}, headers=admin) as response:
        assert await response.json() == {"replayed": 1}
    await drain(client, world, made)
    assert [topic for _, topic in far.told()] == ["call.ended"]
    async with client.post(f"{path}/replay", json={}, headers=admin) as response:
        assert await response.json() == {"replayed": 3}
    await drain(client, world, made)
    assert [topic for _, topic in far.told()][1:] == STEPS[:3]
    assert (await get(client, world, path))["dead"] == 0


@pytest.mark.feature("CRMI-03", clause="a call whose step is refused waits, others go on")
async def test_one_refused_call_holds_up_no_other(client: Client, world: World, far: Far) -> None:
    made = await add(client, world, far.url)
    calls = Calls(world)
    bad, good = await calls.whole(1), await calls.whole(2)
    far.only = {bad: 400}
    await drain(client, world, made)
    assert [topic for attempt, topic in far.told() if attempt == good] == STEPS
    assert [topic for attempt, topic in far.told() if attempt == bad] == ["call.ringing"]
    far.only = {}
    world.clock.advance(60)
    await drain(client, world, made)
    assert [topic for attempt, topic in far.told() if attempt == bad] == ["call.ringing", *STEPS]


@pytest.mark.feature("CRMI-03", clause="a message that can't even be made holds up no other")
async def test_an_odd_row_holds_up_no_other(
    client: Client, world: World, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await add(client, world, far.url)
    calls = Calls(world)
    bad, good = await calls.whole(1), await calls.whole(2)
    message_of = webhooks.message_of

    def odd(row: Any) -> tuple[str, bytes]:
        if row["payload"]["attempt_id"] == bad:
            raise TypeError("an odd row")
        return message_of(row)

    monkeypatch.setattr(webhooks, "message_of", odd)
    await drain(client, world, made)
    assert [topic for attempt, topic in far.told() if attempt == good] == STEPS
    view = await get(client, world, f"{PATH}/{made['id']}")
    assert view["pending"] == len(STEPS) and "unexpected" in view["last_error"]


async def test_a_receiver_that_is_down_is_asked_with_one_row_and_then_gets_all(
    client: Client, world: World, far: Far
) -> None:
    made = await add(client, world, far.url, topics=["call.ended"])
    calls = Calls(world)
    for number in range(1, 31):
        await calls.whole(number)
    far.status = 500
    known = await receiver(client, world, made)
    for _ in range(720):
        await sender(client).look(known)
        world.clock.advance(5)
    assert len(far.seen) < 40, "an hour of being down costs it few requests"
    assert (await get(client, world, f"{PATH}/{made['id']}"))["resting"] is True
    far.status, before = 200, len(far.seen)
    for _ in range(100):
        await sender(client).look(known)
        world.clock.advance(60)
    assert {attempt for attempt, _ in far.told()[before:]} == {str(UUID(int=n)) for n in range(1, 31)}
    assert (await get(client, world, f"{PATH}/{made['id']}"))["pending"] == 0


@pytest.mark.feature("CRMI-03", clause="a secret is shown once, and rotated without loss: two sign for a day")
async def test_rotation_loses_nothing(client: Client, world: World, far: Far) -> None:
    made = await add(client, world, far.url)
    for path in (PATH, f"{PATH}/{made['id']}"):
        assert made["secret"] not in json.dumps(await get(client, world, path))
    admin, calls = world.auth("administrator"), Calls(world)
    async with client.post(f"{PATH}/{made['id']}/rotate", headers=admin) as response:
        fresh = await response.json()
    assert fresh["secret"] != made["secret"]
    await calls.whole(1)
    await drain(client, world, made)
    assert all(is_signed(secret, *far.seen[-1]) for secret in (made["secret"], fresh["secret"]))
    world.clock.advance(86_401)
    await calls.whole(2)
    await drain(client, world, made)
    assert is_signed(fresh["secret"], *far.seen[-1]) and not is_signed(made["secret"], *far.seen[-1])


@pytest.mark.feature("CRMI-03", clause="no private address unless settings allow it; no redirect is followed")
async def test_nobody_is_sent_to_private_addresses(client: Client, world: World, far: Far) -> None:
    admin = world.auth("administrator")
    for url in (
        "http://10.0.0.1/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "ftp://crm.example/",
        "https://u:p@x/",
    ):
        async with client.post(PATH, json={"name": "x", "url": url}, headers=admin) as response:
            body = await response.json()
            assert response.status == 400 and body["details"]["field"] == "url", url
    made = await add(client, world, far.url)
    await Calls(world).whole()
    far.status = 307
    await sender(client).look(await receiver(client, world, made))
    assert "redirects" in (await get(client, world, f"{PATH}/{made['id']}"))["last_error"]


async def test_a_test_message_an_alert_and_another_tenants_hook(client: Client, world: World, far: Far) -> None:
    made = await add(client, world, far.url, topics=["alert"])
    admin, stranger = world.auth("administrator"), world.auth("other_admin")
    async with client.post(f"{PATH}/{made['id']}/test", headers=admin) as response:
        assert (response.status, await response.json()) == (202, {"queued": True})
    await sender(client).alert("click2call.quota", {"group": "OUEST", "used": 9, "limit": 10})
    await sender(client).alert("click2call.quota", {"group": "EST", "used": 9, "limit": 10})
    await Calls(world).whole()
    await drain(client, world, made)
    assert [json.loads(body)["data"] for _, body in far.seen] == [
        {"webhook_id": made["id"], "name": "CRM"},
        {"alert": "click2call.quota", "group": "OUEST", "used": 9, "limit": 10},
    ]
    for path in (PATH, f"{PATH}/{made['id']}/dead-letters"):
        async with client.get(path, headers=stranger) as response:
            assert response.status == 404 or (await response.json())["rows"] == []


async def test_a_changed_webhook_sends_what_waits_to_its_new_address(client: Client, world: World, far: Far) -> None:
    made = await add(client, world, "http://127.0.0.1:1/")
    await Calls(world).whole()
    await drain(client, world, made)
    view = await get(client, world, f"{PATH}/{made['id']}")
    assert view["pending"] == 4 and view["last_error"].startswith("unreachable")
    headers = {**world.auth("administrator"), "If-Match": f'"{view["version"]}"'}
    async with client.patch(f"{PATH}/{made['id']}", json={"url": far.url}, headers=headers) as response:
        assert response.status == 200, await response.text()
    sender(client).receivers.clear()
    world.clock.advance(60)
    await drain(client, world, made)
    assert [topic for _, topic in far.told()] == STEPS


async def test_the_sender_at_work_by_itself(client: Client, world: World, far: Far) -> None:
    working = asyncio.create_task(sender(client).run())
    try:
        made = await add(client, world, far.url)
        async with client.post(f"{PATH}/{made['id']}/test", headers=world.auth("administrator")):
            pass
        async with asyncio.timeout(30):
            await far.came.wait()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
