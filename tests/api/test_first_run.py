"""The first run: what a PBX was found to have becomes agents and lines; people to try a campaign on."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from daemon.api.app import build_app
from daemon.calls.devices import Devices, FoundDevice
from daemon.calls.records import Agent, Line
from daemon.compliance.rules import load_rule_sets
from daemon.engine import commands as c
from daemon.ports import PbxStatus
from daemon.settings import HttpTable
from tests.api.fakes import World

RULES = load_rule_sets()
HAS = (
    *(FoundDevice("extension", str(number), "idle") for number in range(1001, 1005)),
    FoundDevice("trunk", "ovh", "idle"),
    FoundDevice("trunk", "tr1", "unavailable"),
)


@asynccontextmanager
async def site_of(world: World) -> AsyncIterator[TestClient[Any, Any]]:
    status = PbxStatus(
        site="main", driver="ami", up=True, mode="dialplan", mode_reason="the include is there", devices=HAS
    )
    app = build_app(
        world.door, world.store, HttpTable(), world.clock, random.Random(3), site_ids=("main",), rule_sets=RULES,
        extensions=lambda _: [x.name for x in HAS if x.kind == "extension"], pbx=lambda _: status,
    )  # fmt: skip
    async with TestClient(TestServer(app)) as client:
        yield client


async def ask(client: Any, world: World, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with client.request(method, f"/api/v1{path}", headers=world.auth(who), json=body) as response:
        return response.status, await response.json()


@pytest.mark.feature("S100-06", clause="agents are made of the phones that the PBX was found to have")
async def test_phones_and_trunks_found_become_agents_and_lines(world: World) -> None:
    await world.store.update(Agent, world.rows["agent2"].id, {"group_id": world.rows["other_group"].id}, None)
    async with site_of(world) as client:
        _, answer = await ask(client, world, "manager", "GET", "/found")
        (site,) = answer["rows"]
        assert (site["up"], site["mode"], site["mode_reason"]) == (True, "dialplan", "the include is there")
        assert [(x["extension"], x["agent_id"]) for x in site["phones"]] == [
            ("1001", world.rows["agent"].id), ("1003", 0), ("1004", 0)
        ], "another tenant's phone is not told"  # fmt: skip
        assert [(x["endpoint"], x["line_id"]) for x in site["trunks"]] == [("ovh", 0), ("tr1", world.rows["line"].id)]
        wanted = {"site": "main", "extensions": ["1001", "1003", "1004", "1003"]}
        status, made = await ask(client, world, "manager", "POST", "/found/agents", wanted)
        assert (status, len(made["ids"])) == (201, 2), "who is there already is passed over"
        assert (await ask(client, world, "manager", "POST", "/found/agents", wanted))[1] == {"ids": []}
        row = await world.store.get(Agent, made["ids"][0])
        assert row is not None and (row.extension, row.login, row.group_id) == ("1003", "1003", world.rows["group"].id)
        assert world.door.of(c.ConfigChanged)[-1].ids == tuple(made["ids"])
        lines = {"site": "main", "endpoints": ["ovh", "tr1"], "capacity": 12}
        status, made = await ask(client, world, "administrator", "POST", "/found/lines", lines)
        (line,) = [await world.store.get(Line, id) for id in made["ids"]]
        assert line is not None and (line.endpoint, line.capacity, line.enabled) == ("ovh", 12, True)


async def test_what_the_pbx_does_not_have_is_refused_and_lines_are_the_administrators(world: World) -> None:
    async with site_of(world) as client:
        absent = {"site": "main", "extensions": ["1003", "1999"]}
        status, answer = await ask(client, world, "manager", "POST", "/found/agents", absent)
        assert status == 400 and (answer["code"], answer["details"]["value"]) == ("extension_unknown", "1999")
        assert not await world.store.find(Agent, extension="1003"), "all or none"
        lines = {"site": "main", "endpoints": ["ovh"]}
        assert (await ask(client, world, "manager", "POST", "/found/lines", lines))[0] == 403
        lines["endpoints"] = ["sfr"]
        assert (await ask(client, world, "administrator", "POST", "/found/lines", lines))[1]["code"] == "field_invalid"


async def test_one_that_is_refused_takes_nothing_back_of_those_before_it(world: World) -> None:
    """1004 is somebody's login on another phone. The agent of 1003 is made, and the engine has heard of it."""
    taken = Agent(group_id=world.rows["group"].id, site="main", login="1004", name="Zoé", extension="1777")
    await world.store.create(taken)
    async with site_of(world) as client:
        both = {"site": "main", "extensions": ["1003", "1004"]}
        status, answer = await ask(client, world, "manager", "POST", "/found/agents", both)
        assert (status, answer["code"]) == (409, "conflict")
        (made,) = await world.store.find(Agent, extension="1003")
        assert [x.ids for x in world.door.of(c.ConfigChanged)] == [(made.id,)]


async def test_twenty_people_on_numbers_of_fiction_once(world: World) -> None:
    async with site_of(world) as client:
        path = f"/lists/{world.rows['list'].id}/test-leads"
        status, made = await ask(client, world, "manager", "POST", path)
        assert (status, len(made["ids"])) == (201, 20)
        assert (await ask(client, world, "manager", "POST", path))[1] == {"ids": []}
        page = await world.store.search_leads(world.rows["group"].id, {"list_id": world.rows["list"].id}, 50, None)
        assert {lead["e164"][:8] for lead in page.rows} == {"+3319900"} and len(page.rows) == 20
        counts = await world.store.callable_counts(world.rows["campaign"].id, world.clock.utcnow())
        assert counts["due"] == 20, "the trial's consent lets the French rules call them"


def test_declared_phones_alone_are_found_where_some_are_declared() -> None:
    devices = Devices("PJSIP/{extension}", ["1001", "1002"])
    devices.listed([("PJSIP/1001", "NOT_INUSE"), ("PJSIP/1003", "INUSE"), ("PJSIP/ovh", "UNAVAILABLE")], 0.0)
    assert [(x.kind, x.name, x.state) for x in devices.found()] == [
        ("extension", "1001", "idle"), ("extension", "1002", "unknown"), ("trunk", "ovh", "unavailable")
    ]  # fmt: skip
