"""The toll-fraud cap: calls and minutes a day, by group and class of destination, at every door that rings outside
numbers on request. What the store knows of calls is put there as the engine would."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import Intent, Lease
from daemon.engine import commands as c
from daemon.errors import CommandError
from tests.api.fakes import World
from tests.api.test_click2call import until

Client = TestClient[Any, Any]
LONDON, REUNION, HOME = "+442012345679", "+262692123456", "0199000123"
INTERNATIONAL = {"success": False, "error": "Appel interdit : plafond international"}
OVERSEAS = {"success": False, "error": "Appel interdit : plafond outre-mer"}


class Books:
    """What the engine has written down of calls."""

    def __init__(self, world: World) -> None:
        self._world, self._n = world, 0
        self._lease: Lease | None = None

    async def begun(self, e164: str, *, kind: str = "click2call", group: str = "group") -> UUID:
        world = self._world
        self._lease = self._lease or await world.store.acquire_lease("main", "test", 1e6)
        assert self._lease is not None
        self._n += 1
        intent = Intent(
            attempt_id=UUID(int=self._n), site="main", kind=kind, group_id=world.rows[group].id, campaign_id=0,
            client_id=0, lead_id=0, e164=e164, line_id=world.rows["line"].id, caller_id="", agent_id=0, rule_set="",
            attempts_max=0, attempts_days=0, at=world.clock.utcnow(),
        )  # fmt: skip
        assert await world.store.commit_intents([intent], self._lease)
        return intent.attempt_id

    async def _write(self, fact: Any) -> None:
        assert self._lease is not None
        self._n += 1
        await self._world.store.apply_facts(
            [f.NumberedFact(site="main", fence=self._lease.fence, n=self._n, fact=fact)]
        )

    async def talked(self, attempt: UUID, minutes: float) -> None:
        """It was answered at once, and is over now."""
        began = self._world.clock.utcnow()
        self._world.clock.advance(minutes * 60)
        at = self._world.clock.utcnow()
        await self._write(
            f.AttemptEnded(
                at=at, site="main", attempt_id=attempt, campaign_id=0, outcome=Outcome.CONNECTED, answered_at=began,
                connected_at=began, talk_s=minutes * 60, counted=True, live=True,
            )
        )  # fmt: skip

    async def third_rung(self, attempt: UUID, where: str) -> None:
        await self._write(
            f.CallEventFact(
                at=self._world.clock.utcnow(), site="main", attempt_id=attempt, campaign_id=0, kind="transfer",
                agent_id=0, detail={"to": "number", "destination": where},
            )
        )  # fmt: skip


async def click(client: Client, world: World, number: str) -> tuple[int, dict[str, Any]]:
    headers = world.auth("c2c")
    async with client.post("/api/public/click2call", json={"number_to_call": number}, headers=headers) as response:
        return response.status, await response.json()


def hang_up(world: World) -> None:
    for id in list(world.door.views["calls"]):
        world.door.gone("calls", id)


async def test_minutes_of_ended_calls_use_the_cap_up(serve: Any, world: World) -> None:
    client, books = await serve(foreign_minutes_per_day=30), Books(world)
    await books.talked(await books.begun("+442012345671"), 20)
    assert (await click(client, world, LONDON))[0] == 200
    hang_up(world)
    await books.talked(await books.begun("+442012345672"), 10)
    assert await click(client, world, LONDON) == (403, INTERNATIONAL)
    assert (await click(client, world, HOME))[0] == 200
    hang_up(world)
    world.clock.advance(86_400)
    assert (await click(client, world, LONDON))[0] == 200


async def test_a_conversation_that_goes_on_counts_while_it_lasts(serve: Any, world: World) -> None:
    client, books = await serve(foreign_minutes_per_day=30), Books(world)
    await books.begun("+442012345671")
    world.clock.advance(29 * 60)
    assert (await click(client, world, LONDON))[0] == 200
    hang_up(world)
    world.clock.advance(2 * 60)
    assert await click(client, world, LONDON) == (403, INTERNATIONAL)


async def test_each_class_of_destination_has_its_own_bound(serve: Any, world: World) -> None:
    client, books = await serve(foreign_calls_per_day=1, overseas_calls_per_day=2), Books(world)
    await books.begun("+442012345671")
    assert await click(client, world, LONDON) == (403, INTERNATIONAL)
    for _ in range(2):
        assert (await click(client, world, REUNION))[0] == 200
        await books.begun(REUNION)
        hang_up(world)
        await books.talked(UUID(int=books._n), 0.1)
    assert await click(client, world, REUNION) == (403, OVERSEAS)
    assert await click(client, world, "+33199000123") != (403, OVERSEAS)


async def test_overseas_minutes_have_their_bound_too(serve: Any, world: World) -> None:
    client, books = await serve(overseas_minutes_per_day=5), Books(world)
    await books.talked(await books.begun(REUNION), 5)
    assert await click(client, world, REUNION) == (403, OVERSEAS)
    assert (await click(client, world, LONDON))[0] == 200


async def test_one_group_does_not_spend_anothers_cap(serve: Any, world: World) -> None:
    client, books = await serve(foreign_calls_per_day=1), Books(world)
    await books.begun("+442012345671", group="other_group")
    assert (await click(client, world, LONDON))[0] == 200


async def test_a_burst_finds_no_gap(serve: Any, world: World) -> None:
    """All ask at once, before any of them has a row: the cap holds all the same."""
    client = await serve(foreign_calls_per_day=2)
    world.door.silent = True  # the PBX lets all of them wait: none has its answer before the last has asked
    asked = [asyncio.create_task(click(client, world, LONDON)) for _ in range(3)]
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [(403, INTERNATIONAL)]
    await until(lambda: len(world.door.of(c.CallExtension)) >= 2)  # the first call reads which phones were used
    assert len(world.door.of(c.CallExtension)) == 2
    for command in world.door.of(c.CallExtension):
        world.door.silent = False
        world.door._CallExtension(command)
    assert sorted([(await task)[0] for task in asked]) == [200, 200, 403]


async def test_test_calls_stand_under_the_cap_and_so_do_personal_numbers_abroad(serve: Any, world: World) -> None:
    client, books = await serve(foreign_calls_per_day=1), Books(world)
    await books.begun("+442012345671")
    for number in (LONDON, "+447012345678"):
        body = {"extension": "1001", "number": number}
        async with client.post("/api/v1/calls", json=body, headers=world.auth("root")) as response:
            assert (response.status, (await response.json())["code"]) == (403, "fraud_cap"), number


@pytest.mark.parametrize("step", ["consult", "transfer"])
async def test_third_parties_abroad_stand_under_the_cap(serve: Any, world: World, step: str) -> None:
    """A call from nowhere abroad, given to somebody abroad, is a call abroad."""
    client, books = await serve(foreign_calls_per_day=1), Books(world)
    agent = world.rows["agent"]

    async def ask(number: str) -> tuple[int, str]:
        url = f"/api/v1/agents/{agent.id}/{step}"
        async with client.post(url, json={"number": number}, headers=world.auth("root")) as response:
            return response.status, (await response.json()).get("code", "")

    assert await ask(LONDON) == (202, "")
    assert await ask(LONDON) == (403, "fraud_cap"), "before the store has its row"
    world.clock.advance(60.0)
    assert await ask(HOME) == (202, "")
    world.clock.advance(86_400)
    attempt = await books.begun("+33199000123", kind="campaign")
    await books.third_rung(attempt, "foreign")
    assert await ask(LONDON) == (403, "fraud_cap"), "what the store knows counts, also after a restart"
    assert await ask(REUNION) == (202, "")
    assert await click(client, world, LONDON) == (403, INTERNATIONAL)


async def test_minutes_of_third_parties_count_to_the_end_of_their_call(serve: Any, world: World) -> None:
    client, books = await serve(foreign_minutes_per_day=30), Books(world)
    attempt = await books.begun("+33199000123", kind="campaign")
    await books.third_rung(attempt, "foreign")
    world.clock.advance(29 * 60)
    assert (await click(client, world, LONDON))[0] == 200
    hang_up(world)
    world.clock.advance(timedelta(minutes=2).total_seconds())
    assert await click(client, world, LONDON) == (403, INTERNATIONAL)


async def test_a_refusal_of_the_engine_gives_the_call_back(serve: Any, world: World) -> None:
    client = await serve(foreign_calls_per_day=1)
    world.door.silent = True
    body = {"extension": "1001", "number": LONDON}
    world.door.refuse["CallExtension"] = CommandError("extension_busy", {"extension": "1001"})
    async with client.post("/api/v1/calls", json=body, headers=world.auth("root")) as response:
        assert response.status == 409
    world.door.refuse.clear()
    async with client.post("/api/v1/calls", json=body, headers=world.auth("root")) as response:
        assert response.status == 202
