"""What may be saved of codes, orders, recycling and limits, and what is said when a line's minutes run out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.api import app as api
from daemon.calls.causes import Outcome
from daemon.calls.records import Campaign, LeadOrder, Line
from tests.api.conftest import Serve
from tests.api.fakes import World
from tests.store.world import World as Facts

Client = TestClient[Any, Any]


async def post(client: Client, world: World, path: str, body: dict[str, Any], key: str = "manager") -> tuple[int, Any]:
    async with client.post(f"/api/v1{path}", headers=world.auth(key), json=body) as response:
        return response.status, {**await response.json(), "warning": response.headers.get("Cadran-Warning", "")}


def campaign(**more: Any) -> dict[str, Any]:
    return {"name": "Essai", "site": "main", **more}


@pytest.mark.feature("STAT-01", clause="2 to 12 capitals or digits; longer than 3 with a warning; others refused")
async def test_status_codes(client: Client, world: World) -> None:
    for code, warned in (("OK", False), ("R24", False), ("VENT", True), ("INJOIGNABLE1", True)):
        status, row = await post(client, world, "/statuses", {"code": code, "name": "X", "category": "Technique"})
        assert (status, row["category"]) == (201, "Technique")
        assert (code in row["warning"]) is warned, code
    for code in ("A", "", "vente", "A-B", "INJOIGNABLE12", "É1", "A B"):
        status, problem = await post(client, world, "/statuses", {"code": code, "name": "X"})
        assert (status, problem["details"]["field"]) == (400, "code"), code
    status, problem = await post(client, world, "/statuses", {"code": "OK", "name": "X"})
    assert (status, problem["details"]["field"]) == (409, "code")


@pytest.mark.feature("RECY-03", clause="0 and 11 returns refused, 1 to 10 accepted")
async def test_how_often_a_lead_may_come_back(client: Client, world: World) -> None:
    for count, expected in ((0, 400), (1, 201), (10, 201), (11, 400)):
        rule = {"on": "no_answer", "delay_s": 3600, "max_count": count}
        status, answer = await post(client, world, "/campaigns", campaign(name=f"R{count}", recycling=[rule]))
        assert status == expected, (count, answer)
        if status == 400:
            assert answer["details"]["field"] == "recycling[0].max_count" and answer["details"]["allowed"]
            assert not await world.store.find(Campaign, name=f"R{count}")


@pytest.mark.feature("CAMP-10", clause="each order can be chosen, others are refused with the list")
async def test_orders_of_calling(client: Client, world: World) -> None:
    for order in LeadOrder:
        status, row = await post(client, world, "/campaigns", campaign(name=f"O {order}", order=order.value))
        assert (status, row["order"]) == (201, order.value)
    status, problem = await post(client, world, "/campaigns", campaign(order="alphabetical"))
    assert (status, problem["details"]["field"]) == (400, "order")


@pytest.mark.feature("CAMP-11", clause="a negative channel limit or an empty line is refused")
@pytest.mark.feature("TELC-02", clause="the channel limit of a line is a number from 1")
async def test_channel_limits(client: Client, world: World) -> None:
    for channels, expected in ((-1, 400), (0, 201), (5, 201)):
        status, answer = await post(client, world, "/campaigns", campaign(name=f"C{channels}", max_channels=channels))
        assert status == expected and (status == 201 or answer["details"]["field"] == "max_channels")
    for capacity, expected in ((0, 400), (-3, 400), (20, 201)):
        line = {"name": f"T{capacity}", "site": "main", "endpoint": "trunk-b", "capacity": capacity}
        status, answer = await post(client, world, "/lines", line, "administrator")
        assert status == expected and (status == 201 or answer["details"]["field"] == "capacity")


async def talk(world: World, minutes: float, line_id: int) -> None:
    rows = world.rows
    lease = await world.store.acquire_lease("main", "test", 4.0)
    assert lease is not None
    facts = Facts(world.store, world.clock, rows["group"], rows["client"], rows["list"], rows["campaign"], lease)  # type: ignore[arg-type]
    attempt = await facts.place(site="main", line_id=line_id, attempts_max=0)
    answered = world.clock.utcnow()
    world.clock.advance(minutes * 60)
    await facts.apply(facts.ended(attempt, Outcome.CONNECTED, answered_at=answered, talk_s=minutes * 60))


@pytest.mark.feature("TELC-02", clause="minutes of the month against the quota; told at 80 and 100 %, once each")
async def test_the_minutes_of_a_line_run_out(serve: Serve, world: World) -> None:
    client = await serve()
    alarms = client.server.app[api.DEPS].minutes  # type: ignore[union-attr]
    line = world.rows["line"]
    world.clock.utc = datetime(2026, 11, 2, 9, tzinfo=UTC)
    await world.store.update(Line, line.id, {"minutes_per_month": 100}, None)
    seen: list[tuple[float, float]] = []
    for minutes in (79, 2, 5, 15, 10):
        await talk(world, minutes, line.id)
        await talk(world, 500, 9)  # another line's
        await alarms.look()
        seen += [(details["used"], details["share"]) for topic, details in world.alerts if topic == "line.minutes"]
        assert all(details["group"] == "OUEST" for _, details in world.alerts), "its webhooks and page are told"
        world.alerts.clear()
    assert seen == [(81.0, 0.8), (101.0, 1.0)]
    async with client.get(f"/api/v1/lines/{line.id}/usage", headers=world.auth("supervisor")) as response:
        usage = await response.json()
    assert (usage["minutes"], usage["limit"], usage["share"]) == (111.0, 100, 1.11)
    world.clock.utc = datetime(2026, 11, 30, 23, tzinfo=UTC) + timedelta(seconds=1)  # December in Paris
    await talk(world, 85, line.id)
    await alarms.look()
    assert [details["used"] for _, details in world.alerts] == [85.0], "a new month, a new quota"


async def test_the_minutes_of_a_busy_month_are_asked_a_day_at_a_time(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sum over the month met the statement's time limit, and was asked again every five minutes: no alarm came."""
    client = await serve()
    line, sums = world.rows["line"], world.store.call_sums
    spans: list[timedelta] = []

    async def watched(group_id: int | None, filters: dict[str, Any], *more: Any) -> Any:
        spans.append(filters["to"] - filters["from"])
        return await sums(group_id, filters, *more)

    monkeypatch.setattr(world.store, "call_sums", watched)
    for day, hour in ((1, 0), (1, 23), (25, 0), (25, 1), (25, 2), (31, 12)):  # the clocks change on the 25th
        world.clock.utc = datetime(2026, 10, day, hour, 30, tzinfo=UTC)
        await talk(world, 10, line.id)
    async with client.get(f"/api/v1/lines/{line.id}/usage", headers=world.auth("supervisor")) as response:
        usage = await response.json()
    assert usage["minutes"] == 60.0
    assert len(spans) >= 31 and max(spans) <= timedelta(days=1)
