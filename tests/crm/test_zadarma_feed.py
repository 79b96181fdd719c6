"""Our calls as Zadarma's notifications: what software written for it receives, signed, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from daemon.calls.causes import Outcome
from daemon.crm.http import Outgoing
from daemon.crm.zadarma_feed import TRIES, ZadarmaFeed
from daemon.engine.views import CallView
from daemon.settings import OutgoingTable
from daemon.works import Works
from tests.api.fakes import START, FakeDoor
from tests.crm.zadarma_office import PARTS, Linked, make_linked, signed


@dataclass
class Receiver:
    """Software that expects Zadarma. `broken`: how many requests it answers with 500."""

    got: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0
    broken: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.broken:
            self.broken -= 1
            return web.Response(status=500)
        fields = {name: str(value) for name, value in (await request.post()).items()}
        right = signed("".join(fields.get(name, "") for name in PARTS[fields["event"]]))
        assert request.headers["Signature"] == right
        self.got.append(fields)
        return web.Response(text="ok")


@dataclass
class Fed:
    linked: Linked
    receiver: Receiver
    feed: ZadarmaFeed
    door: FakeDoor

    def show(self, id: Any, kind: str, agent: int, stage: str) -> None:
        self.door.publish({"calls": {str(id): self.view(id, kind, agent, stage)}})

    def view(self, id: Any, kind: str, agent: int, stage: str) -> CallView:
        return CallView(
            id=str(id), number=1, kind=kind, group_id=self.linked.office.world.group.id, campaign_id=1, lead_id=0,
            agent_id=agent, line_id=0, site="s1", stage=stage, since=START, started=START,
        )  # fmt: skip

    async def settle(self, events: int) -> list[dict[str, str]]:
        async with asyncio.timeout(30):
            while self.feed.sent + self.feed.dropped < events:  # noqa: ASYNC110 - counters, not events
                await asyncio.sleep(0.005)
        return self.receiver.got


@asynccontextmanager
async def make_fed() -> AsyncIterator[Fed]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/zadarma", receiver.answer)
    server = TestServer(app)
    await server.start_server()
    outgoing = Outgoing(OutgoingTable(allow_networks=("127.0.0.0/8",)))
    async with make_linked() as linked:
        await linked.link(feed_url=str(server.make_url("/zadarma")))
        door = FakeDoor(linked.office.clock)  # type: ignore[arg-type]
        office, works = linked.office, Works(linked.office.clock)
        feed = ZadarmaFeed(office.world.store, outgoing, linked.service.secret, works, sleep=lambda _: asyncio.sleep(0))
        feed.door = door
        await feed.staff()
        work = asyncio.create_task(feed.run())
        try:
            yield Fed(linked, receiver, feed, door)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await outgoing.close()
            await server.close()


async def test_an_outgoing_call_is_told_in_zadarmas_shape() -> None:
    async with make_fed() as fed:
        agent = fed.linked.office.agents[0].id
        id = await fed.linked.office.call("+33612345678", agent=agent, talk_s=42.0)
        fed.show(id, "campaign", 0, "dialling")
        fed.show(id, "campaign", 0, "ringing")
        fed.show(id, "campaign", agent, "talking")
        fed.door.publish({"calls": {str(id): None}})
        start, answer, end = await fed.settle(3)
        assert [each["event"] for each in (start, answer, end)] == [
            "NOTIFY_OUT_START",
            "NOTIFY_ANSWER",
            "NOTIFY_OUT_END",
        ]
        assert start["destination"] == answer["destination"] == end["destination"] == "33612345678"
        assert len({each["pbx_call_id"] for each in (start, answer, end)}) == 1
        assert start["pbx_call_id"].startswith("out_")
        assert (end["internal"], end["duration"], end["disposition"]) == ("1001", "42", "answered")


async def test_a_missed_inbound_call_is_told_and_our_own_door_understands_it() -> None:
    async with make_fed() as fed:
        one, two = (agent.id for agent in fed.linked.office.agents[:2])
        id = await fed.linked.office.call("+33612345678", kind="inbound", outcome=Outcome.MISSED)
        fed.show(id, "inbound", 0, "waiting")
        fed.show(id, "inbound", one, "agent_ringing")
        fed.show(id, "inbound", two, "agent_ringing")
        fed.door.publish({"calls": {str(id): None}})
        got = await fed.settle(4)
        assert [(each["event"], each.get("internal", "")) for each in got][:3] == [
            ("NOTIFY_START", ""), ("NOTIFY_INTERNAL", "1001"), ("NOTIFY_INTERNAL", "1002"),
        ]  # fmt: skip
        assert (got[3]["event"], got[3]["disposition"]) == ("NOTIFY_END", "no answer")
        for each in got:
            await fed.linked.tell(each["event"], **{name: each[name] for name in each if name != "event"})  # type: ignore[arg-type]
        (task,) = await fed.linked.calls(task="open")
        assert (task["e164"], task["direction"]) == ("+33612345678", "in")


async def test_a_receiver_that_fails_is_tried_again_and_then_left() -> None:
    async with make_fed() as fed:
        id = await fed.linked.office.call("+33612345678")
        fed.receiver.broken = TRIES - 1
        fed.show(id, "campaign", 0, "dialling")
        assert [each["event"] for each in await fed.settle(1)] == ["NOTIFY_OUT_START"]
        fed.receiver.broken = TRIES
        fed.door.publish({"calls": {str(id): None}})
        await fed.settle(2)
        assert (fed.feed.dropped, fed.receiver.asked) == (1, 2 * TRIES)


async def test_nobody_is_listened_to_once_nobody_wants_to_hear() -> None:
    async with make_fed() as fed:
        assert fed.door.listeners
        await fed.linked.ask("PATCH", "/link", json={"feed_url": ""})
        await fed.feed.staff()
        assert not fed.door.listeners and not fed.feed.receivers
