"""Each shipped template's whole story on a fake CRM, over real HTTP: at the end the CRM has each call once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from daemon.calls.causes import Outcome
from daemon.crm.shipped import shipped_templates
from tests.crm.office import Office, make_office

KEYS = sorted(shipped_templates())
KNOWN, UNKNOWN = "+33612345678", "+33698765432"


def once_each(office: Office) -> None:
    """The CRM's own record: every call, none twice."""
    told = Counter(call["external"] for call in office.crm.calls)
    assert set(told) == {str(id) for id in office.calls}
    assert set(told.values()) == {1}, told.most_common(3)


@pytest.mark.feature("CRMI-01", clause="shipped templates tested on fakes")
@pytest.mark.feature("YPS-11", clause="one journal a call and associated user, whatever becomes of the CRM")
@pytest.mark.parametrize("key", KEYS)
async def test_the_whole_story(key: str) -> None:
    async with make_office(1.5) as office:
        crm = office.crm
        contact = crm.add_contact(first='Zoé "Z"', last="Bon\\ami", phone=KNOWN)
        row = await office.integrate(key, create_contact="both", default_user="71", popup_calls="all")
        if key == "zoho-like":
            await office.authorize(row)
        assert await office.associate(row) == 2
        running = await office.running(row)
        ada, bob, carl = (agent.id for agent in office.agents)

        await office.call(KNOWN, ada)
        await office.call(KNOWN, bob, kind="inbound", talk_s=7)
        await office.settle(running)
        assert [call["user"] for call in crm.calls] == ["71", "72"]
        assert [call["talk_s"] for call in crm.calls] == [42, 7]
        if key != "zendesk-like":
            assert {call["contact"] for call in crm.calls} == {contact}

        # An unknown number rings twice: one contact is made, and both calls are written to it.
        await office.call(UNKNOWN, ada)
        await office.call(UNKNOWN, bob, Outcome.BUSY)
        await office.settle(running)
        made = [each for each in crm.contacts if each["phone"] == UNKNOWN]
        assert len(made) == 1
        if key != "zendesk-like":
            assert [call["contact"] for call in crm.calls[-2:]] == [made[0]["id"]] * 2

        # Nobody's call goes to the default user; an agent whom the CRM does not know has no journal.
        await office.call(KNOWN, 0, Outcome.NO_ANSWER)
        await office.call(KNOWN, carl, told=False)
        await office.settle(running)
        assert crm.calls[-1]["user"] == "71"
        once_each(office)

        # The token ends: one renewal, and the call is told.
        given = crm.tokens_given
        crm.expire()
        await office.call(KNOWN, ada)
        await office.settle(running)
        assert crm.tokens_given == given + (1 if key in ("zoho-like", "sugarcrm") else 0)

        # Away for an hour: nothing is lost, and it was not besieged.
        await crm.stop()
        errors = running.refused
        for n in range(6):
            await office.call(f"+3361234000{n}", ada)
        for _ in range(60):
            await office.look(running)
            await office.world.later(60)
        assert running.refused - errors < 40
        await crm.start()
        await office.settle(running)

        # Answers that never come, come too late, or are a page for people.
        for fault in ("slow", "lost", "html", "html_recorded", "500"):
            crm.fault = fault
            await office.call(KNOWN, bob)
            for _ in range(3):
                await office.look(running)
                await office.world.later(5)
            crm.fault = ""
            await office.settle(running)
        once_each(office)
        if key == "zendesk-like":
            assert len(crm.tickets) == len(office.calls)
            assert all(len(ticket["updates"]) == 1 for ticket in crm.tickets.values())


@pytest.mark.feature("YPT-03", clause="the CRM never has more than N requests of ours at once")
async def test_never_more_requests_at_once_than_the_template_says() -> None:
    async with make_office() as office:
        office.crm.latency_s = 0.02
        row = await office.integrate("zendesk-like", default_user="71")
        running = await office.running(row)
        for n in range(12):
            await office.call(f"+3361234{n:04d}", 0)
        await office.settle(running)
        assert 2 <= office.crm.in_flight_max <= 3
        once_each(office)


async def test_two_daemons_that_look_at_once_tell_a_call_once() -> None:
    async with make_office() as office:
        row = await office.integrate("generic-rest", default_user="71")
        first, second = await office.running(row), await office.running(row)
        for n in range(8):
            await office.call(f"+3361234{n:04d}", 0)
        await asyncio.gather(office.look(first), office.look(second))
        await office.settle(first)
        once_each(office)
