"""The service as the daemon runs it: workers by itself, changes taken up while it works, tokens kept over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from daemon.calls.crm_records import Integration
from daemon.crm import service as module
from daemon.crm.door import Door
from daemon.crm.shipped import shipped_templates
from tests.crm.office import Office, make_office


@asynccontextmanager
async def at_work(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    monkeypatch.setattr(module, "POLL_S", 0.02)
    async with make_office() as office:
        task = asyncio.create_task(office.service.run())
        try:
            yield office
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for raises no event
            await asyncio.sleep(0.01)


async def test_switched_on_and_off_while_calls_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_work(monkeypatch) as office:
        row = await office.integrate("generic-rest", enabled=False, default_user="71")
        door = Door(office.service, office.world.store)
        row = await door.change(row, {"enabled": True}, None)
        await until(lambda: row.id in office.service.running)
        await office.call("+33612345678")
        await until(lambda: len(office.crm.calls) == 1)
        assert office.service.status(row)["state"] == "connected"
        row = await door.change(row, {"enabled": False}, None)
        await until(lambda: row.id not in office.service.running)
        await office.call("+33612345679", told=False)
        await asyncio.sleep(0.1)
        assert len(office.crm.calls) == 1
        assert office.service.status(row) == {"state": "off"}


@pytest.mark.feature("YPT-01", clause="a template applied to a running integration is taken up whole")
async def test_a_new_template_is_taken_up_between_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_work(monkeypatch) as office:
        row = await office.integrate("generic-rest", default_user="71")
        office.service.changed()
        await office.call("+33612345678")
        await until(lambda: len(office.crm.calls) == 1)
        source = shipped_templates()["generic-rest"].replace(b"Extension Call", b"Phone call").decode()
        await office.world.store.update(Integration, row.id, {"source": source}, None)
        office.service.changed()
        await until(lambda: "Phone call" in office.service.running[row.id].row.source)
        await office.call("+33612345679")
        await until(lambda: len(office.crm.calls) == 2)
        assert [call["raw"]["subject"] for call in office.crm.calls] == ["Extension Call", "Phone call"]


@pytest.mark.feature("YPA-03", clause="tokens are kept encrypted, and serve after a restart")
async def test_tokens_survive_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_work(monkeypatch) as office:
        row = await office.integrate("zoho-like", default_user="71")
        await office.authorize(row)
        await office.call("+33612345678")
        await until(lambda: len(office.crm.calls) == 1)
        stored = await office.world.store.get(Integration, row.id)
        assert stored is not None
        assert "token-1" not in stored.sealed
        assert "refresh-1" not in stored.sealed
        again = await office.service.build(stored)
        assert again.caller.auth.tokens.access == "token-1"
        assert office.crm.tokens_given == 1


async def test_what_the_daemon_before_was_sending_is_settled_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row left `sending` by a killed daemon: the CRM has it, or has not; either way it is there once."""
    async with make_office() as office:
        monkeypatch.setattr(module, "POLL_S", 0.02)
        row = await office.integrate("generic-rest", default_user="71")
        had, lacks = await office.call("+33612345678"), await office.call("+33612345679")
        office.crm.add_call(str(had), user="71")
        for id in (had, lacks):
            key = (row.id, id, 0)
            await office.world.store.crm_mark(key, ("pending",), "sending", office.clock.utcnow())  # type: ignore[attr-defined]
        task = asyncio.create_task(office.service.run())
        await until(lambda: len(office.crm.calls) == 2)
        figures: dict[str, object] = {}
        async with asyncio.timeout(30):
            while set(figures) != {"done"}:
                figures = (await office.world.store.crm_figures([row.id]))[row.id]  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        assert sorted(call["external"] for call in office.crm.calls) == sorted(map(str, (had, lacks)))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
