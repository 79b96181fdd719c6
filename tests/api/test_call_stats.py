"""Call statistics and exports on a fixed set of calls: each filter, all pairs of filters, the figures, the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.api import app as api
from daemon.api.csv_download import cells
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.calls.rates import parse_rates
from tests.api.conftest import Serve
from tests.api.fakes import World
from tests.store.world import World as Facts

Client = TestClient[Any, Any]
NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)  # a Tuesday, 14:00 in Paris


@dataclass(frozen=True)
class Made:
    """A call of the set. `talk_s` None = never answered."""

    days_ago: float
    e164: str
    outcome: Outcome
    talk_s: float | None = None
    agent_id: int = 0
    kind: str = "campaign"
    postal_code: str = ""


CALLS = (
    Made(0, "+33561000001", Outcome.CONNECTED, 61.0, 1, postal_code="31000"),
    Made(0.1, "+33561000002", Outcome.BUSY, postal_code="31500"),
    Made(0.6, "+33612000003", Outcome.CONNECTED, 5.0, 2),
    Made(1, "+33612000003", Outcome.NO_ANSWER),
    Made(2, "+33199000004", Outcome.CONNECTED, 600.0, 2, postal_code="20167"),
    Made(6, "+33199000004", Outcome.FAILED, kind="click2call"),
    Made(6.8, "+33561000001", Outcome.CONNECTED, 30.0, 1, "inbound"),
    Made(20, "+262262000005", Outcome.MACHINE, 0.0, postal_code="97400"),
    Made(29, "+33612000003", Outcome.CONNECTED, 8.0, 1, "internal"),
    Made(40, "+33561000002", Outcome.CANCELLED),
)


@pytest.fixture
async def made(world: World) -> list[dict[str, Any]]:
    """The set, as rows to judge answers by."""
    world.clock.utc = NOW
    rows, found = world.rows, []
    for call in CALLS:
        draft = LeadDraft(e164=call.e164, last_name="X", postal_code=call.postal_code)
        [lead_id] = await world.store.add_leads(rows["list"].id, [draft])
        at = NOW - timedelta(days=call.days_ago)
        world.clock.utc = at
        lease = await world.store.acquire_lease("main", "test", 4.0)
        assert lease is not None
        facts = Facts(world.store, world.clock, rows["group"], rows["client"], rows["list"], rows["campaign"], lease)  # type: ignore[arg-type]
        line = rows["line"].id if call.agent_id != 2 else 77
        campaign = rows["campaign"].id if call.kind in ("campaign", "inbound") else 0
        attempt = await facts.place(
            call.e164, lead_id, site="main", attempts_max=0, kind=call.kind, line_id=line, campaign_id=campaign,
            caller_id="+33162000000" if call.agent_id else "+33162000001",
        )  # fmt: skip
        answered = at if call.talk_s is not None else None
        world.clock.utc = at + timedelta(seconds=call.talk_s or 0)
        await facts.apply(
            facts.ended(attempt, call.outcome, lead_id, talk_s=call.talk_s or 0.0, answered_at=answered,
                        agent_id=call.agent_id)
        )  # fmt: skip
        number = len(found) + 1
        found.append({"call": call, "at": at, "campaign_id": campaign, "line_id": line, "number": number})
    world.clock.utc = NOW
    return found


def status(call: Made) -> str:
    if call.talk_s is not None:
        return "answered"
    return {Outcome.BUSY: "busy", Outcome.NO_ANSWER: "no_answer", Outcome.CANCELLED: "no_answer"}.get(
        call.outcome, "failed"
    )


Test = Callable[[dict[str, Any]], bool]
FILTERS: dict[str, tuple[dict[str, str], Test]] = {
    "today": ({"period": "today"}, lambda r: r["at"] >= datetime(2026, 11, 23, 23, tzinfo=UTC)),
    "7d": ({"period": "7d"}, lambda r: r["at"] >= datetime(2026, 11, 17, 23, tzinfo=UTC)),
    "30d": ({"period": "30d"}, lambda r: r["at"] >= datetime(2026, 10, 25, 23, tzinfo=UTC)),
    "custom": (
        {"start": "2026-11-18T00:00:00Z", "end": "2026-11-23T13:00:00Z"},
        lambda r: datetime(2026, 11, 18, tzinfo=UTC) <= r["at"] < datetime(2026, 11, 23, 13, tzinfo=UTC),
    ),
    "in": ({"direction": "in"}, lambda r: r["call"].kind == "inbound"),
    "internal": ({"direction": "internal"}, lambda r: r["call"].kind == "internal"),
    "out": ({"direction": "out"}, lambda r: r["call"].kind not in ("inbound", "internal")),
    "campaign": ({"campaign_id": "1"}, lambda r: r["campaign_id"] == 1),
    "agent": ({"agent_id": "2"}, lambda r: r["call"].agent_id == 2),
    "line": ({"line_id": "77"}, lambda r: r["line_id"] == 77),
    "number": ({"number": "06 12 00 00 03"}, lambda r: r["call"].e164 == "+33612000003"),
    "numbers": (
        {"numbers": "0561000001,+33561000002"},
        lambda r: r["call"].e164 in ("+33561000001", "+33561000002"),
    ),
    "caller_id": ({"caller_id": "+33162000000"}, lambda r: r["call"].agent_id != 0),
    "min": ({"duration_min": "8"}, lambda r: (r["call"].talk_s or 0) >= 8),
    "max": ({"duration_max": "61"}, lambda r: (r["call"].talk_s or 0) <= 61),
    **{
        f"status {name}": ({"status": name}, lambda r, name=name: status(r["call"]) == name)
        for name in ("answered", "no_answer", "busy", "failed")
    },
}


async def stats(client: Client, world: World, expect: int = 200, **query: str) -> Any:
    path = "/api/v1/stats/calls"
    async with client.get(path, headers=world.auth("manager"), params=query) as response:
        assert response.status == expect, await response.text()
        return await response.json()


def expected(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures, worked out from the rows alone."""
    talks = [row["call"].talk_s for row in rows if row["call"].talk_s]
    words = [status(row["call"]) for row in rows]
    return {
        "calls": len(rows), "answered": words.count("answered"), "no_answer": words.count("no_answer"),
        "busy": words.count("busy"), "failed": words.count("failed"), "in_progress": 0, "cost": None, "key": "",
        "answer_rate": pytest.approx(words.count("answered") / len(rows)) if rows else None,
        "duration_s": pytest.approx(sum(talks)),
        "duration_mean_s": pytest.approx(sum(talks) / len(talks)) if talks else None,
    }  # fmt: skip


@pytest.mark.feature("TELC-06", clause="each filter and the AND of any two, on a fixed set of calls")
async def test_filters_and_their_pairs(client: Client, world: World, made: list[dict[str, Any]]) -> None:
    single = [[name] for name in FILTERS]
    pairs = [list(pair) for pair in combinations(FILTERS, 2)]
    narrowed = 0
    for names in single + pairs:
        query: dict[str, str] = {}
        for name in names:
            if set(query) & set(FILTERS[name][0]) or ({"period", "start"} <= {*query, *FILTERS[name][0]}):
                break
            query |= FILTERS[name][0]
        else:
            wanted = [row for row in made if all(FILTERS[name][1](row) for name in names)]
            found = await stats(client, world, **query)
            assert found["total"] == expected(wanted), names
            narrowed += 0 < len(wanted) < len(made)
            if "period" not in query:
                async with client.get("/api/v1/calls", headers=world.auth("manager"), params=query) as response:
                    listed = [row["number"] for row in (await response.json())["rows"]]
                assert listed == [row["number"] for row in sorted(wanted, key=lambda row: -row["number"])], names
    assert narrowed > 80, "most of them say something"


@pytest.mark.feature("TELC-07", clause="volume by hour, day and week; geography by prefix and department")
async def test_cuts_of_the_set(client: Client, world: World, made: list[dict[str, Any]]) -> None:
    async def by(name: str) -> dict[str, int]:
        found = await stats(client, world, by=name)
        assert sum(row["calls"] for row in found["rows"]) == len(CALLS) == found["total"]["calls"]
        return {row["key"]: row["calls"] for row in found["rows"]}

    assert await by("department") == {"": 6, "2A": 1, "31": 2, "974": 1}
    assert await by("prefix") == {"+331": 2, "+335": 4, "+336": 3, "+262": 1}
    days = await by("day")
    assert days["2026-11-24"] == 2 and days["2026-11-23"] == 2 and days["2026-10-26"] == 1
    assert (await by("week"))["2026-11-23"] == 4, "weeks begin on Monday"
    assert (await by("hour"))["2026-11-24T14:00"] == 1
    assert (await by("hour_of_day"))["14"] >= 5
    assert await by("status") == {"answered": 6, "busy": 1, "failed": 1, "no_answer": 2}
    assert (await by("agent"))["2"] == 2


@pytest.mark.feature("TELC-07", clause="durations, answer rate; cost by the longest prefix of a local table")
async def test_costs_follow_the_rate_table(serve: Serve, world: World, made: list[dict[str, Any]]) -> None:
    client = await serve()
    deps = client.server.app[api.DEPS]  # type: ignore[union-attr]
    assert (await stats(client, world))["total"]["cost"] is None
    deps.rates = parse_rates("prefix;per_minute;per_call;increment_s\n33;0,06;0,01;1\n+336;0,12;0;60\n262;1;0;30\n")
    found = {row["key"]: row["cost"] for row in (await stats(client, world, by="prefix"))["rows"]}
    assert found["+335"] == pytest.approx(2 * 0.01 + 91 / 60 * 0.06), "by the second"
    assert found["+336"] == pytest.approx(2 * 0.12), "each started minute"
    assert found["+331"] == pytest.approx(0.01 + 600 / 60 * 0.06)
    assert found["+262"] == 0
    total = (await stats(client, world))["total"]
    assert total["cost"] == pytest.approx(sum(found.values()))
    deps.rates = parse_rates("prefix,per_minute\n33,0.06\n")
    assert (await stats(client, world, status="answered"))["total"]["cost"] is None, "a prefix has no rate: no figure"


@pytest.mark.parametrize("text", ["", "a;b\n", "prefix;per_minute\nx;1\n", "prefix;per_minute\n33;free\n",
                                  "prefix;per_minute;increment_s\n33;1;0\n"])  # fmt: skip
def test_a_broken_rate_table_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"line \d"):
        parse_rates(text)


@pytest.mark.feature("TELC-08", clause="CSV with the columns chosen, filters kept, no formula")
async def test_an_export_has_the_columns_chosen(client: Client, world: World, made: list[dict[str, Any]]) -> None:
    async def export(status: int = 200, **query: str) -> list[list[str]]:
        path = "/api/v1/exports/calls"
        async with client.get(path, headers=world.auth("manager"), params=query) as response:
            assert response.status == status, await response.text()
            assert status != 200 or response.content_type == "text/csv"
            return list(csv.reader(io.StringIO((await response.text()).lstrip("\ufeff")), delimiter=";"))

    rows = await export(columns="talk_s,e164,outcome", agent_id="2")
    assert rows == [
        ["talk_s", "e164", "outcome"], ["600", "'+33199000004", "connected"], ["5", "'+33612000003", "connected"],
    ]  # fmt: skip
    assert len(await export()) == 1 + len(CALLS)
    problem = await export(400, columns="talk_s,password")
    assert "columns" in str(problem)
    async with client.get(
        "/api/v1/reports/leads", headers=world.auth("manager"), params={"format": "csv", "columns": "e164,id"}
    ) as response:
        assert (await response.text()).lstrip("\ufeff").splitlines()[0] == "e164;id"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234567.8, "1234567,8"),
        (98765432.0, "98765432"),
        (0.00001234, "0,000012"),
        (0.3333333, "0,333333"),
        (12.5, "12,5"),
    ],
)
def test_a_months_seconds_are_no_power_of_ten(value: float, shown: str) -> None:
    assert cells({"talk_s": value}, ["talk_s"], True) == [shown]


async def test_a_set_of_another_group_is_not_counted(client: Client, world: World, made: list[dict[str, Any]]) -> None:
    async with client.get("/api/v1/stats/calls", headers=world.auth("other_admin")) as response:
        assert (await response.json())["total"]["calls"] == 0
    await stats(client, world, 403, group_id=str(world.rows["other_group"].id))
    await stats(client, world, 400, period="7d", start="2026-11-18T00:00:00Z")
    await stats(client, world, 400, zone="Europe/Atlantis")
