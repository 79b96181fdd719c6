"""The link's settings over the API, and what is asked of Zadarma for them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Blocked, Campaign, Client, Group
from daemon.calls.zadarma_records import ZadarmaLink
from daemon.settings import ZadarmaAccountTable
from tests.crm.zadarma_office import KEY, SECRET, Linked, make_linked


@pytest.mark.feature(
    "ZAD-01", clause="a group whose account is files: read from those alone, what is entered is refused"
)
async def test_key_and_secret_are_files(tmp_path: Path) -> None:
    files = [tmp_path / "key", tmp_path / "secret"]
    files[0].write_text(f"{KEY}\n")
    account = ZadarmaAccountTable(group="acme", key_file=str(files[0]), secret_file=str(files[1]))
    async with make_linked(accounts=(account,)) as linked:
        rows = [await linked.link(key="", secret=""), (await linked.ask("GET", "/links"))["rows"][0]]
        assert all(row["from_files"] and row["secret_set"] for row in rows)
        missing = await linked.ask("GET", "/balance", 501)
        assert str(files[1]) in str(missing)
        files[1].write_text(f"{SECRET}\n")
        linked.office.clock.forward(60)
        assert (await linked.ask("GET", "/balance"))["balance"] == 10.34
        await linked.tell("NOTIFY_START")
        for entered in ({"secret": "another"}, {"key": "another"}):
            await linked.ask("PATCH", "/link", 400, json=entered)
        kept = (await linked.office.world.store.find(ZadarmaLink))[0]
        assert (kept.key, kept.sealed) == ("", "")
        assert SECRET not in str([*rows, missing, *linked.audit()]) and KEY not in str([*rows, *linked.audit()])


@pytest.mark.feature("ZAD-01", clause="entered ones: no answer holds key or secret, the secret is kept encrypted")
async def test_the_secret_goes_in_and_never_comes_out() -> None:
    async with make_linked() as linked:
        await linked.ask("GET", "/link", 404)
        await linked.ask("PATCH", "/link", 400, json={"enabled": True})
        shown = [await linked.link(), await linked.ask("GET", "/link"), await linked.ask("GET", "/users")]
        linked.zadarma.broken = True
        shown.append(await linked.ask("GET", "/balance", 502))
        told = str([*shown, *linked.audit()])
        assert SECRET not in told and KEY not in told and "sealed" not in told
        assert shown[1]["secret_set"] is True
        assert SECRET not in str(await linked.office.world.store.find(ZadarmaLink))
        await linked.ask("PATCH", "/link", json={"secret": "", "show_name": True})
        linked.zadarma.broken = False
        linked.office.clock.forward(60)
        assert (await linked.ask("GET", "/balance"))["balance"] == 10.34


@pytest.mark.feature("ZAD-06", clause="one to one: a taken extension is 409, and not offered again")
@pytest.mark.feature("ZAD-07", clause="extensions come with a signed request, are cached, errors are said")
async def test_whose_extension_is_whose() -> None:
    async with make_linked() as linked:
        await linked.link()
        ada, bob, carl = (agent.id for agent in linked.office.agents)
        linked.zadarma.broken = True
        error = await linked.ask("GET", "/extensions", 502)
        assert "out of order" in str(error)
        linked.zadarma.broken = False
        linked.office.clock.forward(600)
        assert await linked.ask("GET", "/extensions") == {"all": ["100", "101", "102"], "free": ["100", "101", "102"]}
        user = await linked.ask("POST", "/users", 201, json={"agent_id": ada, "extension": "101"})
        await linked.ask("POST", "/users", 409, json={"agent_id": bob, "extension": "101"})
        await linked.ask("POST", "/users", 409, json={"agent_id": ada, "extension": "102"})
        assert (await linked.ask("GET", "/extensions"))["free"] == ["100", "102"]
        assert (await linked.ask("GET", "/users"))["free_agents"] == [bob, carl]
        assert linked.zadarma.times("/v1/pbx/internal/") == 2 and linked.zadarma.refused == 0
        await linked.ask("DELETE", f"/users/{user['id']}", 204)
        await linked.ask("POST", "/users", 201, json={"agent_id": bob, "extension": "101"})


@pytest.mark.feature("ZAD-10", clause="the balance, asked for once a minute at most; non-admins 403")
async def test_the_balance() -> None:
    async with make_linked() as linked:
        await linked.link()
        answers = await asyncio.gather(*(linked.ask("GET", "/balance") for _ in range(5)))
        assert answers[0] == {"balance": 10.34, "currency": "EUR"}
        linked.office.clock.forward(59)
        await linked.ask("GET", "/balance")
        assert linked.zadarma.times("/v1/info/balance/") == 1
        linked.office.clock.forward(1)
        await linked.ask("GET", "/balance")
        assert linked.zadarma.times("/v1/info/balance/") == 2
        for token in ("manager", "ada"):
            await linked.ask("GET", "/balance", 403, token=token)
            await linked.ask("GET", "/link", 403, token=token)
            await linked.ask("PATCH", "/link", 403, token=token, json={})


@pytest.mark.feature("ZAD-11", clause="calls from the agent's own extension, predicted too")
@pytest.mark.feature("ZAD-18", clause="a blacklisted number is never dialled through Zadarma")
async def test_calling_out() -> None:
    async with make_linked() as linked:
        await linked.link()
        ada = linked.office.agents[0].id
        await linked.ask("POST", "/call", 404, token="ada", json={"to": "+33612345678"})
        await linked.ask("POST", "/users", 201, json={"agent_id": ada, "extension": "101"})
        await linked.ask("POST", "/call", 202, token="ada", json={"to": "+33612345678", "sip": "200"})
        path, asked = linked.zadarma.asked[-1]
        assert path == "/v1/request/callback/"
        assert asked == {"from": "101", "to": "33612345678", "sip": "200", "format": "json"}
        await linked.ask("POST", "/call", 403, token="ada", json={"to": "+33612345678", "predicted": True})
        await linked.ask("POST", "/call", 202, token="boss", json={"to": "+33612345678", "predicted": True})
        assert linked.zadarma.asked[-1][1]["predicted"] == "1"
        clients = await linked.office.world.store.find(Client, group_id=linked.office.world.group.id)
        await linked.office.world.store.set_dnc(clients[0].id, "+33612345679", True, "ada", "test")
        refused = await linked.ask("POST", "/call", 403, token="ada", json={"to": "+33612345679"})
        assert refused["details"]["rule"] == "red_list"
        await linked.office.world.store.create(Blocked(group_id=linked.office.world.group.id, e164="+33612345678"))
        await linked.ask("POST", "/call", 409, token="ada", json={"to": "+33612345678"})
        assert len(linked.zadarma.asked) == 2


async def at(linked: Linked, when: datetime) -> None:
    linked.office.clock.forward((when - linked.office.clock.utcnow()).total_seconds())


@pytest.mark.feature("ZAD-11", clause="within the law of who knows the number: its hours, its attempts, its consent")
async def test_the_law_is_asked_as_at_every_other_door() -> None:
    async with make_linked() as linked:
        await linked.link()
        world, ada = linked.office.world, linked.office.agents[0].id
        await linked.ask("POST", "/users", 201, json={"agent_id": ada, "extension": "101"})
        monday = datetime(2027, 1, 4, 9, 30, tzinfo=UTC)  # half past ten in Paris
        draft = LeadDraft(e164="+33612345678", consent_at=monday - timedelta(days=20))
        stranger = LeadDraft(e164="+33612345670")
        await world.store.add_leads(world.listed.id, [draft, stranger])
        await world.store.update(
            Campaign, world.campaign.id, {"rule_set": "fr-b2c-2026", "list_ids": [world.listed.id]}, None
        )

        async def call(status: int, to: str = "+33612345678", **more: Any) -> Any:
            answer = await linked.ask("POST", "/call", status, token="ada", json={"to": to, **more})
            return answer.get("details", {}).get("rule") if status == 403 else None

        await at(linked, monday - timedelta(hours=2))
        assert await call(403) == "hours"
        await at(linked, monday)
        assert await call(403, stranger.e164) == "consent"
        for _ in range(4):
            await call(202)
            linked.office.clock.forward(86_400)
        await at(linked, monday + timedelta(days=7))
        assert await call(403) == "attempts"
        assert linked.zadarma.times("/v1/request/callback/") == 4
        assert await linked.calls() == [], "what was asked for is no call until Zadarma tells of it"


@pytest.mark.feature("ZAD-17", clause="Zadarma: who called in vain is called back without other consent, in hours only")
async def test_who_called_in_vain_may_be_called_back() -> None:
    async with make_linked() as linked:
        await linked.link(call_back=True)
        world, ada = linked.office.world, linked.office.agents[0].id
        await linked.ask("POST", "/users", 201, json={"agent_id": ada, "extension": "101"})
        await world.store.add_leads(world.listed.id, [LeadDraft(e164="+33612345678")])
        await world.store.update(
            Campaign, world.campaign.id, {"rule_set": "fr-b2c-2026", "list_ids": [world.listed.id]}, None
        )
        await at(linked, datetime(2027, 1, 4, 18, 30, tzinfo=UTC))
        await linked.tell("NOTIFY_START")
        await linked.tell("NOTIFY_END", disposition="no answer")
        body = {"to": "+33612345678"}
        await at(linked, datetime(2027, 1, 4, 19, 30, tzinfo=UTC))
        refused = await linked.ask("POST", "/call", 403, token="ada", json=body)
        assert refused["details"]["rule"] == "hours"
        await at(linked, datetime(2027, 1, 5, 9, 30, tzinfo=UTC))
        await linked.ask("POST", "/call", 202, token="ada", json=body)


async def test_without_a_campaign_the_groups_rules_for_clicked_calls_hold() -> None:
    async with make_linked() as linked:
        await linked.link()
        ada, group = linked.office.agents[0].id, linked.office.world.group
        await linked.ask("POST", "/users", 201, json={"agent_id": ada, "extension": "101"})
        await at(linked, datetime(2027, 1, 3, 9, 30, tzinfo=UTC))  # a Sunday
        await linked.ask("POST", "/call", 202, token="ada", json={"to": "+33612345678"})
        await linked.office.world.store.update(Group, group.id, {"click2call_rules": "fr-b2c-2026"}, None)
        refused = await linked.ask("POST", "/call", 403, token="ada", json={"to": "+33612345678"})
        assert refused["details"]["rule"] in ("hours", "holiday")
