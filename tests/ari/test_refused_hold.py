"""A hold that the PBX refused is over: nothing of it happens later, when the customer goes elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.ari.client import AriRefused
from daemon.ari.driver import AriDriver
from daemon.calls import events as ev
from daemon.calls.actions import Join, Park
from tests.ami.ground import Ground, site_on
from tests.ami.test_contract import ground  # noqa: F401 - a fixture


@pytest.mark.feature("PBX-05", clause="ARI: a hold that was refused has no effect later, wherever the customer goes")
async def test_a_hold_that_was_refused_is_over(
    ground: Ground,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the next change of bridge the customer was told of as waiting, and got the hold's time limit."""
    async with site_on(ground, "ari") as site:
        agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
        assert isinstance(site.driver, AriDriver)
        ask = site.driver._client.ask

        async def refuses(method: str, path: str, *more: Any, **named: Any) -> Any:
            if path.endswith("/removeChannel"):
                raise AriRefused(500, "Internal Server Error")
            return await ask(method, path, *more, **named)

        with monkeypatch.context() as odd:
            odd.setattr(site.driver._client, "ask", refuses)
            site.driver.perform(Park(leg=customer, limit_s=30.0))
            await site.seen(ev.ActionRefused, leg=customer, action="park")
        site.driver.perform(Join(leg=customer, room="r1"))
        await site.seen(ev.LegJoined, leg=customer)
        assert site.count(ev.LegParked, customer) == 1, "as it waited for the agent"
        await site.end(customer, agent)
