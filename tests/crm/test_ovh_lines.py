"""Lines at OVHcloud and our own feed, through the API: pages, silent requests, the list of events, the long poll."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from daemon.api import ovh_api
from daemon.api.app import build_app
from daemon.api.auth import hash_of
from daemon.calls.records import ApiToken, Group, Role
from daemon.crm.http import Outgoing
from daemon.crm.ovh import EventStream, OvhEvent, ReadyToken
from daemon.crm.ovh_door import OvhService
from daemon.crm.ovh_feed import OvhFeed
from daemon.crm.ovh_lines import OvhLines
from daemon.engine.views import CallView
from daemon.errors import SettingsError
from daemon.settings import HttpTable, OutgoingTable, OvhFeedTable, OvhLineTable, OvhTable
from daemon.settings_file import parse
from tests.api.fakes import FakeDoor
from tests.crm.fake_ovh import LINE, TOKEN, FakeOvh, event
from tests.crm.office import Office, make_office

HOOK = "https://crm.example/index.php?action=UnifiedSearch&query_string=*CALLING*&on=*CALLED*&why=*EVENT*"
FEED_TOKEN = "feed-of-ada"
SECRETS = {"line": TOKEN, "feed": FEED_TOKEN}


@dataclass
class Desk:
    """The office with its OVHcloud line, the API, and a web page that silent requests go to (`hooks`: what it got;
    `hook_status`: what it answers next)."""

    office: Office
    ovh: FakeOvh
    http: Outgoing
    client: TestClient[Any, Any]
    service: OvhService
    door: FakeDoor
    hooks: list[str]
    hook_status: list[int]
    pauses: list[float] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def post(self, path: str, token: str = "admin", status: int = 200) -> Any:
        async with self.client.post(path, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def get(self, path: str, token: str = "agent", status: int = 200) -> Any:
        async with self.client.get(path, headers={"Authorization": f"Bearer {token}"} if token else {}) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def pops(self, wait_s: float = 20.0, after: int = 0, token: str = "agent") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.get(f"/api/v1/ovh/pops?wait_s={wait_s}&after={after}", token))["rows"]
        return rows

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not done():  # noqa: ASYNC110 - what is waited for raises no event
                await asyncio.sleep(0.005)

    def call(self, id: UUID, stage: str, kind: str = "inbound") -> None:
        now = self.office.clock.utcnow()
        self.door.show(
            CallView(id=str(id), number=1, kind=kind, group_id=self.office.world.group.id, campaign_id=0, lead_id=0,
                     agent_id=self.office.agents[0].id, line_id=0, site="s1", stage=stage, since=now, started=now)
        )  # fmt: skip


@asynccontextmanager
async def make_desk(**line: Any) -> AsyncIterator[Desk]:
    async with make_office() as office:
        store, group = office.world.store, office.world.group
        ovh = FakeOvh()
        await ovh.server.start_server()
        hooks: list[str] = []
        hook_status: list[int] = []
        pauses: list[float] = []

        async def hook(request: web.Request) -> web.Response:
            hooks.append(request.path_qs)
            return web.Response(status=hook_status.pop(0) if hook_status else 200)

        go = asyncio.Event()
        go.set()

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)
            await go.wait()

        page = web.Application()
        page.router.add_get("/hook", hook)
        crm = TestServer(page)
        await crm.start_server()
        known = {"service": LINE, "group": group.code, "agent": office.agents[0].login, "token_file": "line"}
        given = {"hook_url": HOOK, **line}
        if given.get("display") == "silent":
            given["hook_url"] = f"{crm.make_url('/hook')}?q=*CALLING*"
        table = OvhTable(
            events_url=ovh.url, poll_s=20.0, lines=[OvhLineTable(**known, **given)],
            feeds=[OvhFeedTable(group=group.code, agent=office.agents[0].login, token_file="feed")],
        )  # fmt: skip
        http = Outgoing(OutgoingTable(allow_networks=("127.0.0.0/8",), timeout_s=20.0))

        def secret(key: str, path: str) -> str:
            return SECRETS[path]

        lines = OvhLines(store, http, http, office.clock, random.Random(2), table, secret, sleep=sleep)
        service = OvhService(lines, OvhFeed(store, office.clock, table.feeds, secret, "e1", sleep=sleep))
        other = await store.create(Group(code="AUTRE", name="Autre"))
        ada, bob = office.agents[:2]
        people = [("agent", Role.AGENT, ada.id, group.id), ("bob", Role.AGENT, bob.id, group.id),
                  ("supervisor", Role.SUPERVISOR, 0, group.id), ("admin", Role.ADMINISTRATOR, 0, group.id),
                  ("stranger", Role.ADMINISTRATOR, 0, other.id)]  # fmt: skip
        for token, role, agent, of in people:
            await store.create(ApiToken(group_id=of, name=token, role=role, agent_id=agent, sha256=hash_of(token)))
        door = FakeDoor(office.clock)  # type: ignore[arg-type]
        door.listen(service.feed.on_change)
        limits = HttpTable(bad_requests_per_minute=100_000)
        app = build_app(door, store, limits, office.clock, random.Random(3), ovh=service)
        client: TestClient[Any, Any] = TestClient(TestServer(app))
        await client.start_server()
        work = asyncio.create_task(service.run())
        try:
            yield Desk(office, ovh, http, client, service, door, hooks, hook_status, pauses, go)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await client.close()
            await http.close()
            await crm.close()
            await ovh.server.close()


async def connected(desk: Desk) -> None:
    """The first poll begins at what has happened, as OVHcloud's does; wait until it is there."""
    await desk.until(lambda: bool(desk.ovh.polls))


@pytest.mark.feature("OVH-04", clause="start_ringing on our line opens the page; a call that the line makes does not")
@pytest.mark.feature("OVH-10", clause="the search page of SugarCRM as the hook of a line")
async def test_only_who_calls_the_line_opens_a_page() -> None:
    async with make_desk() as desk:
        await connected(desk)
        desk.ovh.happen(
            event("registered", 1),
            event("start_calling", 2, Calling=LINE, Called="0033699999999"),
            event("start_ringing", 3, Calling=LINE, Called="0033699999999"),
            {**event("start_ringing", 4), "Service": "0033184889999"},
            event("start_ringing", 5),
            {**event("start_ringing", 6), "Data": event("start_ringing", 5)["Data"]},
            event("end_ringing", 5),
            event("member-queue-start", 7, Calling="0033698765432"),
        )
        await desk.until(lambda: len(desk.service.heard("", 500)) == 8)
        found = await desk.pops()
        page = "https://crm.example/index.php?action=UnifiedSearch&query_string="
        assert [pop["url"] for pop in found] == [
            f"{page}0033612345678&on={LINE}&why=start_ringing",
            f"{page}0033698765432&on={LINE}&why=member-queue-start",
        ]
        assert await desk.pops(0, after=found[-1]["number"]) == []
        assert await desk.pops(0, token="bob") == [], "another agent's page"


@pytest.mark.feature("OVH-07", clause="0033… becomes %2B33… or national in a line's page; a 00 inside stays")
@pytest.mark.parametrize(
    ("form", "calling", "shown"),
    [("e164", "0033612345678", "%2B33612345678"), ("national", "0033612345678", "0612345678"),
     ("e164", "0612003400", "0612003400"), ("00", "+33612345678", "0033612345678"),
     ("e164", "anonymous x", "anonymous%20x")],
)  # fmt: skip
async def test_numbers_are_written_as_the_line_wants(form: str, calling: str, shown: str) -> None:
    async with make_desk(number_format=form) as desk:
        desk.ovh.happen(event("start_ringing", 1, Calling=calling))
        assert f"query_string={shown}&" in (await desk.pops())[0]["url"]


@pytest.mark.feature("OVH-05", clause="every field, each time it occurs, encoded; EVENT is the envelope's, others stay")
@pytest.mark.parametrize(
    ("hook", "query"),
    [("*CALLED*&q=*CALLED*", f"{LINE}&q={LINE}"), ("*DIALED*&e=*EVENT*", "a%20b%2Bc%26d&e=start_ringing"),
     ("*CALLING**CALLING*&x=*OTHER*", "00336123456780033612345678&x=*OTHER*")],
)  # fmt: skip
async def test_fields_of_a_lines_page(hook: str, query: str) -> None:
    async with make_desk(hook_url=f"https://crm.example/?n={hook}") as desk:
        desk.ovh.happen(event("start_ringing", 1, Dialed="a b+c&d", Event="not this one"))
        assert (await desk.pops())[0]["url"] == f"https://crm.example/?n={query}"


@pytest.mark.feature("OVH-06", clause="popup and modal: the event is pushed to the agent with its display")
@pytest.mark.parametrize("display", ["popup", "modal"])
async def test_a_waiting_desk_is_told_at_once(display: str) -> None:
    async with make_desk(display=display) as desk:
        waiting = asyncio.create_task(desk.pops(20.0))
        await connected(desk)
        desk.ovh.happen(event("start_ringing", 1))
        async with asyncio.timeout(20):
            found = await waiting
        assert [(pop["display"], pop["event"], pop["calling"]) for pop in found] == [
            (display, "start_ringing", "0033612345678")
        ]


@pytest.mark.feature("OVH-06", clause="silent: a GET by the server, tried three times, nothing on the desk")
@pytest.mark.parametrize(("answers", "asked"), [([], 1), ([500, 503], 3), ([500, 500, 500], 3), ([404], 1)])
async def test_a_silent_hook_is_tried_three_times(answers: list[int], asked: int) -> None:
    async with make_desk(display="silent") as desk:
        desk.hook_status += answers
        desk.ovh.happen(event("start_ringing", 1))
        await desk.until(lambda: len(desk.hooks) == asked and not desk.service.lines._silent)
        assert desk.hooks == ["/hook?q=0033612345678"] * asked
        assert await desk.pops(0) == []


@pytest.mark.feature("OVH-08", clause="all events of the group's lines, newest first, capped")
async def test_supervisors_read_what_happened() -> None:
    async with make_desk(hook_url="") as desk:
        desk.ovh.happen(*(event("start_ringing", number) for number in range(520)))
        await desk.until(lambda: desk.service.status("")[0]["events"] == 520)
        rows = (await desk.get("/api/v1/ovh/events", "supervisor"))["rows"]
        assert [row["call_id"] for row in rows] == [f"call-{number}" for number in range(519, 19, -1)]
        assert (rows[0]["event"], rows[0]["calling"], rows[0]["line"]) == ("start_ringing", "0033612345678", LINE)
        assert (await desk.get("/api/v1/ovh/events", "stranger"))["rows"] == []
        await desk.get("/api/v1/ovh/events", "agent", 403)


@pytest.mark.feature("OVH-01", clause="the lines' state shows no token")
async def test_administrators_see_how_a_line_fares() -> None:
    async with make_desk() as desk:
        desk.ovh.happen(event("registered", 1))
        await desk.until(lambda: desk.service.status("")[0]["events"] == 1)
        found = await desk.get("/api/v1/ovh/lines", "admin")
        assert (found["rows"][0]["service"], found["rows"][0]["events"], TOKEN in str(found)) == (LINE, 1, False)
        desk.ovh.script += [503] * 100_000
        desk.ovh.happen(event("registered", 2))
        await desk.until(lambda: desk.service.status("")[0]["failures"] > 1)
        found = (await desk.get("/api/v1/ovh/lines", "admin"))["rows"][0]
        assert (found["connected"], found["last_error"]) == (False, "status 503")
        assert (await desk.get("/api/v1/ovh/lines", "stranger"))["rows"] == []


async def test_a_failing_line_is_tried_at_once_when_asked() -> None:
    async with make_desk() as desk:
        desk.go.clear()
        desk.ovh.script.append(503)
        await desk.until(lambda: desk.service.status("")[0]["failures"] == 1)
        desk.ovh.happen(event("registered", 1))
        await desk.post(f"/api/v1/ovh/lines/{LINE}/try", "stranger", 404)
        await desk.post(f"/api/v1/ovh/lines/{LINE}/try", "supervisor", 403)
        found = await desk.post(f"/api/v1/ovh/lines/{LINE}/try")
        assert (found["connected"], found["failures"], found["last_error"]) == (True, 0, "")
        assert len(desk.ovh.polls) >= 2 and desk.pauses == [pytest.approx(1.0, abs=0.3)]


async def feed(desk: Desk, session: str = "", token: str = FEED_TOKEN) -> Any:
    more = f"&session={session}" if session else ""
    return await desk.get(f"/api/public/ovh/events?token={token}{more}", "")


@pytest.mark.feature("OVH-09", clause="our own calls in OVHcloud's shape, a token for each line")
async def test_our_feed_tells_of_our_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_desk() as desk:
        monkeypatch.setattr(ovh_api, "FEED_WAIT_S", 0.01)
        begin = await feed(desk)
        assert begin["Events"] == []
        monkeypatch.setattr(ovh_api, "FEED_WAIT_S", 60.0)
        waiting = asyncio.create_task(feed(desk, begin["Session"]))
        inbound = await desk.office.world.place("+33612345678", kind="inbound")
        desk.call(inbound, "ringing")
        first = await waiting
        told = first["Events"][0]
        assert (told["Event"], told["Service"], told["Token"]) == ("start_ringing", "1001", FEED_TOKEN)
        assert (told["Data"]["Calling"], told["Data"]["CallId"]) == ("0033612345678", str(inbound))
        assert told["Timestamp"] // 10**9 == told["Data"]["Ts"]
        desk.call(inbound, "talking")
        desk.door.gone("calls", str(inbound))
        outbound = await desk.office.world.place("+33698765432", kind="campaign")
        desk.call(outbound, "talking", "campaign")
        desk.door.gone("calls", str(outbound))
        found: list[tuple[str, bool]] = []
        session = first["Session"]
        while len(found) < 3:
            answer = await feed(desk, session)
            session = answer["Session"]
            found += [(each["Event"], each["Data"]["Called"] == "0033698765432") for each in answer["Events"]]
        assert found == [("end_ringing", False), ("start_calling", True), ("end_calling", True)]
        await desk.get("/api/public/ovh/events?token=guess", "", 401)


async def closed(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.feature("OVH-03", clause="our client reads our feed: each event once, also over a restart of the feed")
async def test_the_client_reads_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovh_api, "FEED_WAIT_S", 0.05)
    async with make_desk() as desk:
        got: list[OvhEvent] = []
        url = str(desk.client.make_url("/api/public/ovh/events"))

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(0)

        async def take(found: OvhEvent) -> None:
            got.append(found)

        stream = EventStream(desk.http, ReadyToken(FEED_TOKEN), random.Random(1), url=url, poll_s=20.0, sleep=sleep)
        reading = asyncio.create_task(stream.run(take))
        await desk.until(lambda: bool(stream.session))
        id = await desk.office.world.place("+33612345678", kind="inbound")
        desk.call(id, "ringing")
        await desk.until(lambda: len(got) == 1 and stream.session == "e1-1")
        await closed(reading)
        before, desk.service.feed._epoch = stream.session, "e2"  # a session of another run begins with all that is kept
        desk.call(id, "talking")
        reading = asyncio.create_task(stream.run(take))
        await desk.until(lambda: len(got) == 2 and stream.session.startswith("e2"))
        assert [(each.event, each.calling) for each in got] == [
            ("start_ringing", "0033612345678"), ("end_ringing", "0033612345678"),
        ]  # fmt: skip
        assert before == "e1-1" and stream.repeated == 1
        await closed(reading)


@pytest.mark.parametrize(
    ("line", "key"),
    [({}, "ovh.lines[0].token_file"), ({"billing_account": "ab1"}, "ovh.lines[0].token_file"),
     ({"token_file": "x", "display": "loud"}, "ovh.lines[0].display")],
)  # fmt: skip
def test_a_line_that_cannot_work_is_refused_at_start(line: dict[str, str], key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse({"ovh": {"lines": [{"service": LINE, "group": "OUEST", **line}]}})
    assert refused.value.key == key
