"""May an agent call a number through Zadarma: the same law as every other door's, and this door's own calls counted.

Zadarma's PBX places the call, so the engine never asks `may_call` for it: it is asked here. Each campaign that knows
the number weighs (its hours, limits, silence, consent), and the one that the request names; where no campaign does, the
rule set that the group gave to click-to-call. A person who called in vain asked to be called back: that stands for
consent, as with every number an agent types (features ZAD-17, D26); hours and limits hold all the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from daemon.api import scope
from daemon.api.checks import check_typed_number
from daemon.api.guard import REQUEST_ID
from daemon.api.numbers import refuse_red_listed
from daemon.api.routes import Ask
from daemon.calls.records import Campaign, Group
from daemon.calls.zadarma_records import ASKED, ZadarmaCall, ZadarmaLink
from daemon.ports import Store

TOLD_WITHIN: Final = timedelta(minutes=5)
"""A notification by then is of the call that was asked for: both rows are one attempt."""
LEADS_MAX: Final = 20


async def refuse_unlawful(ask: Ask, link: ZadarmaLink, e164: str, campaign_id: int) -> None:
    """Raises call_forbidden with the rule, its clause and until when; not_found for another group's campaign."""
    store = ask.deps.store
    await refuse_red_listed(store, link.group_id, e164)
    weighing = await _weighing(ask, link.group_id, e164)
    if campaign_id:
        named = await scope.get(ask, Campaign, campaign_id)
        weighing.setdefault(named.id, (named, 0))
    if not weighing:
        group = await store.get(Group, link.group_id)
        rules = group.click2call_rules if group is not None else ""
        weighing[0] = (Campaign(group_id=link.group_id, client_id=0, name="", site="", rule_set=rules), 0)
    past = await attempts(store, link.group_id, e164)
    called_in = any(row.task == "open" for row in await store.find(ZadarmaCall, group_id=link.group_id, e164=e164))
    for campaign, lead_id in weighing.values():
        await check_typed_number(ask, campaign, e164, 0 if called_in else lead_id, also=past)


async def _weighing(ask: Ask, group_id: int, e164: str) -> dict[int, tuple[Campaign, int]]:
    """Campaigns with a lead of the number, and that lead."""
    leads = (await ask.deps.store.search_leads(group_id, {"phone": e164}, LEADS_MAX, None)).rows
    found: dict[int, tuple[Campaign, int]] = {}
    for campaign in await ask.deps.store.find(Campaign, group_id=group_id) if leads else ():
        for lead in leads:
            if lead["list_id"] in campaign.list_ids:
                found.setdefault(campaign.id, (campaign, int(lead["id"]) if lead["e164"] == e164 else 0))
    return found


async def attempts(store: Store, group_id: int, e164: str) -> list[datetime]:
    """When the number was called through Zadarma, as asked for here or told by notifications, each call once."""
    rows = await store.find(ZadarmaCall, group_id=group_id, e164=e164)
    told = [row.at for row in rows if row.direction == "out"]
    asked = [row.at for row in rows if row.direction == ASKED]
    return sorted(told + [at for at in asked if not any(at <= other <= at + TOLD_WITHIN for other in told)])


async def note_attempt(ask: Ask, link: ZadarmaLink, e164: str, extension: str) -> None:
    """Keep that the call was asked for: the next one is weighed with it, told of by notifications or not."""
    now = ask.deps.clock.utcnow()
    id = f"asked_{now.timestamp():.6f}_{ask.request[REQUEST_ID][:40]}"
    await ask.deps.store.create(
        ZadarmaCall(
            group_id=link.group_id, link_id=link.id, pbx_call_id=id, at=now, day=f"{now:%Y-%m-%d}", direction=ASKED,
            e164=e164, extension=extension, agent_id=ask.who.agent_id,
        )
    )  # fmt: skip
