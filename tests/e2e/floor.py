"""A floor of agents, an agent's own world and pictures: what page tests of many subjects stand on."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page

from daemon.api.checks import SEED_PAUSES, SEED_STATUSES
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import PauseCode, Status
from tests.api.fakes import FakeDoor, agent_view
from tests.e2e import pictures
from tests.e2e.site import Site

ATTEMPT = "01999999-0000-7000-8000-000000000001"


async def shot(page: Page, name: str) -> None:
    """A picture for docs/screenshots, on demand: it is the same page that the test has just checked."""
    if os.environ.get("CADRAN_SCREENSHOTS"):
        await pictures.write(page, name)


async def hold_the_clock(page: Page) -> None:
    """The page's clock stands still: how long the machine takes between two steps does not count, nor does a beat that
    comes late to it disable its buttons."""
    await page.evaluate("() => { const at = Date.now(); Date.now = () => at; }")


def people(site: Site, count: int = 40) -> None:
    """A floor of agents in all states."""
    now, group = datetime.now(UTC), site.world.rows["group"].id
    states = ["on_call"] * 6 + ["ready", "wrap_up", "paused", "reserved"]
    views = []
    for number in range(100, 100 + count):
        state = states[number % len(states)]
        views.append(
            agent_view(
                number, group, f"Agent {number}", str(1000 + number), state=state, over_run=number % 20 == 8,
                code="REPAS" if state == "paused" else "", since=now - timedelta(seconds=number * 3), campaign_ids=(1,),
                today={"calls": 31, "sales": 4, "talk_s": 5400.0, "ready_s": 600.0, "handling_s": 3200.0},
            )
        )  # fmt: skip
    site.world.door.show(*views)


async def desk_world(site: Site) -> FakeDoor:
    world, group = site.world, site.world.rows["group"].id
    for seed in (*SEED_STATUSES, *SEED_PAUSES):
        kind = Status if isinstance(seed, Status) else PauseCode
        await world.store.create(kind(**{**{f: getattr(seed, f) for f in seed.__struct_fields__}, "group_id": group}))
    draft = LeadDraft(e164="+33199001234", first_name="Jean", last_name="DUPONT", city="Toulouse")
    (lead_id,) = await world.store.add_leads(world.rows["list"].id, [draft])
    world.rows["lead_id"] = lead_id
    world.door.change("agents", world.rows["agent"].id, state="signed_out", since=datetime.now(UTC))
    return world.door
