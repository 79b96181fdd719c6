"""Zadarma's notifications at the public door: who may send them, what they become, what is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Blocked, LeadList
from daemon.calls.zadarma_records import ZadarmaLink
from daemon.crm.zadarma_api import authorization, query, sign, signature_of
from daemon.errors import StoreUnavailable
from tests.crm.zadarma_office import CALLER, DID, SECRET, TIME, Linked, make_linked

VECTORS = [
    ({"event": "NOTIFY_START", "caller_id": CALLER, "called_did": DID, "call_start": TIME},
     "NTA5ZDQzMjIwOGVhN2RiYjBlNTYzZWNhODYyZDEwYmFmMTU5NzMzNQ=="),
    ({"event": "NOTIFY_OUT_START", "internal": "101", "destination": "33612345678", "call_start": TIME},
     "ODdjMzA5ZWQ3NjYzMWRmNDhiMzkyZWM5YTdmNWUwYzAzZWFmOTQ3MA=="),
    ({"event": "NOTIFY_RECORD", "pbx_call_id": "in_abc", "call_id_with_rec": "1710.22"},
     "YmY5MmY5MjUwYTlmODQ1NGM3ZDRmZWU3ZjUxODc1YzliYzljOWY1NQ=="),
]  # fmt: skip
NUMBER = "+33612345678"


@pytest.mark.feature("ZAD-05", clause="test vectors; wrong or missing is refused with 403 and audited")
@pytest.mark.parametrize(("fields", "signature"), VECTORS)
async def test_the_known_signatures_and_no_other_are_accepted(fields: dict[str, str], signature: str) -> None:
    async with make_linked() as linked:
        await linked.link()
        assert signature_of(SECRET, fields) == signature
        given: dict[str, Any] = {"pbx_call_id": "in_abc", **fields}
        await linked.tell(given.pop("event"), signature=signature, **given)
        assert len((await linked.calls())[0]["events"]) == 1
        for wrong in ("", f"x{signature}", signature.lower(), "é"):
            await linked.tell(fields["event"], 403, signature=wrong, **{**given, "pbx_call_id": "other"})
        audited = [row for row in linked.audit() if row["what"] == "zadarma.signature_wrong"]
        assert len(audited) == 4
        assert len(await linked.calls()) == 1


def test_requests_are_signed_as_php_encodes_them() -> None:
    encoded = query({"to": "33612345678", "from": "101", "format": "json"})
    assert encoded == "format=json&from=101&to=33612345678"
    header = authorization("k", SECRET, "/v1/request/callback/", encoded)
    assert header == "k:MWExNzhiYTY0NGQ5YzFmYmI2NzRiZWY2OTYwMTExZDNiM2YxMjM0Mw=="
    assert query({"a": "b~c d"}) == "a=b%7Ec+d"
    assert sign(SECRET, "x") != sign("other", "x")


@pytest.mark.feature("ZAD-02", clause="the echo is the value, byte by byte, as text/plain; anything else is 400")
async def test_the_echo_check() -> None:
    async with make_linked() as linked:
        await linked.link()
        url = f"/api/v1/zadarma{linked.path}"
        for value in ("1234567", "A" * 64, "a-b_C"):
            async with linked.client.get(url, params={"zd_echo": value}) as answer:
                assert (answer.status, await answer.read()) == (200, value.encode())
                assert answer.content_type == "text/plain"
        for value in ("", "A" * 65, "<b>x</b>", "a b", "1234567\n"):
            async with linked.client.get(url, params={"zd_echo": value}) as answer:
                assert answer.status == 400
                assert "<b>" not in await answer.text() or answer.content_type == "application/problem+json"
        async with linked.client.get("/api/v1/zadarma/notify/999", params={"zd_echo": "1"}) as answer:
            assert answer.status == 404


@pytest.mark.feature(
    "ZAD-04", clause="another source is refused; the list can be changed; only a trusted proxy is heard"
)
async def test_only_zadarmas_addresses_notify() -> None:
    forged = {"X-Forwarded-For": "185.45.152.42"}
    async with make_linked() as linked:
        row = await linked.link(addresses=["185.45.152.42"])
        await linked.tell("NOTIFY_START", 403)
        await linked.ask("POST", linked.path, 403, data={"event": "NOTIFY_X"}, headers=forged)
        await linked.ask("PATCH", "/link", json={"addresses": ["185.45.152.40/29", "127.0.0.0/8"]})
        await linked.tell("NOTIFY_START")
        assert row["addresses"] == ["185.45.152.42"]
        await linked.ask("PATCH", "/link", 400, json={"addresses": ["everybody"]})
    async with make_linked(behind_proxy=True, trusted_proxies=("127.0.0.0/8",)) as linked:
        await linked.link(addresses=["185.45.152.42"])
        await linked.tell("NOTIFY_START", 403)
        await linked.ask("POST", linked.path, data={"event": "NOTIFY_X"}, headers=forged)
        await linked.ask("POST", linked.path, 403, data={"event": "NOTIFY_X"},
                         headers={"X-Forwarded-For": "185.45.152.42, 203.0.113.9"})  # fmt: skip


@pytest.mark.feature("ZAD-03", clause="all eight events become one call's row; unknown ones are kept, with 200")
async def test_the_events_of_calls() -> None:
    async with make_linked() as linked:
        await linked.link()
        agents = linked.office.agents
        await linked.ask("POST", "/users", 201, json={"agent_id": agents[0].id, "extension": "101"})
        await linked.tell("NOTIFY_START")
        await linked.tell("NOTIFY_IVR", ivr_saydigits="COMPLETE")
        await linked.tell("NOTIFY_INTERNAL", internal="101")
        await linked.tell("NOTIFY_ANSWER", destination="101", internal="101")
        end: dict[str, Any] = {"internal": "101", "duration": "42", "disposition": "answered", "is_recorded": "1"}
        await linked.tell("NOTIFY_END", **end)
        await linked.tell("NOTIFY_END", **end)
        out: dict[str, Any] = {"pbx_call_id": "out_1", "internal": "101", "destination": "33698765432"}
        await linked.tell("NOTIFY_OUT_START", **out)
        await linked.tell("NOTIFY_OUT_END", **out, caller_id=DID, duration="7", disposition="no answer")
        await linked.tell("NOTIFY_RECORD", pbx_call_id="out_1", call_id_with_rec="1.2")
        await linked.tell("SPEECH_RECOGNITION", signature="", caller_id=CALLER)
        await linked.tell("SPEECH_RECOGNITION", signature="", caller_id=CALLER)
        inbound, outbound, unknown = await linked.calls()
        assert len(inbound["events"]) == 5 and len(outbound["events"]) == 3
        assert (inbound["state"], inbound["direction"], inbound["e164"]) == ("ended", "in", NUMBER)
        assert (inbound["agent_id"], inbound["duration_s"], inbound["disposition"]) == (agents[0].id, 42, "answered")
        assert (outbound["state"], outbound["direction"], outbound["e164"]) == ("ended", "out", "+33698765432")
        assert outbound["task"] == inbound["task"] == ""
        assert unknown["direction"] == "unknown" and unknown["events"][0]["event"] == "SPEECH_RECOGNITION"
        await linked.tell("NOTIFY_START", 400, pbx_call_id="")


async def known(linked: Linked, agent: int = 0, **fields: Any) -> tuple[LeadList, int]:
    """A lead of the caller's, whose responsible is the agent."""
    store, group = linked.office.world.store, linked.office.world.group.id
    place = await store.create(LeadList(group_id=group, name="callers"))
    ids = await store.add_leads(place.id, [LeadDraft(e164=NUMBER, first_name="Zoé", last_name="Lune")]) if agent else []
    if ids:
        await store.update_lead(ids[0], {"callback_agent_id": agent, **fields})
    return place, ids[0] if ids else 0


@pytest.mark.feature("ZAD-19", clause="five options, off by default, each switched by itself")
@pytest.mark.feature("ZAD-15", clause="a known contact's call is redirected to the responsible, in an answer in time")
@pytest.mark.feature("ZAD-16", clause="the answer carries caller_name")
async def test_redirect_and_name_by_option() -> None:
    async with make_linked() as linked:
        row = await linked.link()
        options = ("create_lead", "redirect", "show_name", "call_back", "blacklist")
        assert [row[name] for name in options] == [False] * 5
        agent = linked.office.agents[0].id
        await known(linked, agent)
        await linked.ask("POST", "/users", 201, json={"agent_id": agent, "extension": "101"})
        redirect, name = {"redirect": "101", "return_timeout": 15}, {"caller_name": "Zoé Lune"}
        assert await linked.tell("NOTIFY_START") == {}
        await linked.link(redirect=True)
        assert await linked.tell("NOTIFY_START") == redirect
        await linked.link(redirect=False, show_name=True)
        assert await linked.tell("NOTIFY_START") == name
        await linked.link(redirect=True)
        assert await linked.tell("NOTIFY_IVR") == redirect | name
        assert await linked.tell("NOTIFY_START", caller_id="+33700000000", pbx_call_id="in_2") == {}
        assert await linked.tell("NOTIFY_START", caller_id="anonymous", pbx_call_id="in_3") == {}


@pytest.mark.feature("ZAD-15", clause="else empty: what can't be known in time is not waited for")
async def test_a_slow_or_absent_store_answers_nothing_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_linked(answer_s=0.05) as linked:
        await linked.link(show_name=True)
        store = linked.office.world.store

        async def slow(*_: Any) -> Any:
            await asyncio.Event().wait()

        async def away(*_: Any) -> Any:
            raise StoreUnavailable("away")

        for broken in (slow, away):
            monkeypatch.setattr(store, "search_leads", broken)
            assert await linked.tell("NOTIFY_START") == {}
        monkeypatch.undo()
        assert [row["state"] for row in await linked.calls()] == ["begun"]


@pytest.mark.feature("ZAD-18", clause="blacklisted caller: redirect to the blacklist, with the option")
async def test_the_blacklist_option() -> None:
    async with make_linked() as linked:
        await linked.link()
        store, group = linked.office.world.store, linked.office.world.group.id
        await store.create(Blocked(group_id=group, e164=NUMBER))
        assert await linked.tell("NOTIFY_START") == {}
        place, _ = await known(linked)
        await linked.link(blacklist=True, create_lead=True, call_back=True, list_id=place.id)
        assert await linked.tell("NOTIFY_START", pbx_call_id="in_2") == {"redirect": "blacklist"}
        await linked.tell("NOTIFY_END", pbx_call_id="in_2", disposition="cancel")
        assert (await store.search_leads(group, {"phone": NUMBER}, 5, None)).rows == []
        assert await linked.calls(task="open") == []


@pytest.mark.feature("ZAD-14", clause="off: no lead; on: one an unknown number, however often it is told")
async def test_a_lead_for_a_new_caller_once() -> None:
    async with make_linked() as linked:
        place, _ = await known(linked)
        store, group = linked.office.world.store, linked.office.world.group.id
        await linked.link()
        await linked.tell("NOTIFY_START", pbx_call_id="in_0")
        assert (await store.search_leads(group, {"phone": NUMBER}, 5, None)).rows == []
        await linked.ask("PATCH", "/link", 400, json={"create_lead": True})
        await linked.link(create_lead=True, list_id=place.id)
        told = [
            linked.tell("NOTIFY_START"),
            linked.tell("NOTIFY_START"),
            linked.tell("NOTIFY_INTERNAL", internal="101"),
        ]
        await asyncio.gather(*told, linked.tell("NOTIFY_START", pbx_call_id="in_2"))
        leads = (await store.search_leads(group, {"phone": NUMBER}, 5, None)).rows
        assert len(leads) == 1
        assert [row["lead_id"] for row in await linked.calls()] == [0, leads[0]["id"], leads[0]["id"]]


@pytest.mark.feature("ZAD-08", clause="Zadarma: rung on five extensions in vain is one task, the default user's")
@pytest.mark.feature("ZAD-17", clause="Zadarma: with the option a missed call is one due callback; without it none")
async def test_a_missed_call_is_one_task_and_one_callback() -> None:
    async with make_linked() as linked:
        agent = linked.office.agents[1].id
        place, _ = await known(linked)
        await linked.link(missed_call_owner="default_user", default_agent_id=agent)

        async def missed(id: str) -> None:
            await linked.tell("NOTIFY_START", pbx_call_id=id)
            for extension in range(101, 106):
                await linked.tell("NOTIFY_INTERNAL", pbx_call_id=id, internal=str(extension))
            end: dict[str, Any] = {"pbx_call_id": id, "disposition": "no answer"}
            await asyncio.gather(*(linked.tell("NOTIFY_END", **end, status_code=code) for code in ("16", "19", "19")))

        await missed("in_1")
        (task,) = await linked.calls(task="open")
        assert (task["owner_agent_id"], task["due_at"], task["lead_id"]) == (agent, None, 0)
        assert (await linked.ask("GET", "/calls", params={"task": "open"}, token="ada"))["rows"] == []
        await linked.ask("POST", f"/calls/{task['id']}/done", 404, token="ada")
        await linked.ask("POST", f"/calls/{task['id']}/done", token="bob")
        assert await linked.calls(task="open") == []
        await linked.link(create_lead=True, list_id=place.id, call_back=True)
        await missed("in_2")
        (task,) = await linked.calls(task="open")
        assert task["due_at"] and task["lead_id"]
        store = linked.office.world.store
        (lead,) = (await store.search_leads(linked.office.world.group.id, {"phone": NUMBER}, 5, None)).rows
        assert (lead["callback_agent_id"], lead["callback_at"]) == (agent, linked.office.clock.utcnow())


@pytest.mark.feature("ZAD-17", clause="Zadarma: who refused for good is not to be called back")
async def test_a_refusal_outlives_a_missed_call() -> None:
    async with make_linked() as linked:
        _, lead_id = await known(linked, linked.office.agents[0].id, blocked_by="dnc", eligible_at=None)
        await linked.link(call_back=True)
        await linked.tell("NOTIFY_END", disposition="cancel")
        lead = (await linked.office.world.store.search_leads(1, {"phone": NUMBER}, 5, None)).rows[0]
        assert (lead["id"], lead["blocked_by"], lead["callback_at"]) == (lead_id, "dnc", None)
        assert len(await linked.calls(task="open")) == 1


@pytest.mark.feature("ZAD-09", clause="Zadarma: missed_call_owner = pool is nobody's in particular")
async def test_missed_for_the_pool() -> None:
    async with make_linked() as linked:
        await linked.link()
        await linked.tell("NOTIFY_END", disposition="busy")
        for token in ("ada", "bob"):
            (task,) = (await linked.ask("GET", "/calls", params={"task": "open"}, token=token))["rows"]
            assert task["owner_agent_id"] == 0


@pytest.mark.feature("ZAD-13", clause="call and recording are linked, and it is asked for 40 s later at the earliest")
async def test_a_recording_is_fetched_when_it_is_ready() -> None:
    async with make_linked() as linked:
        await linked.link()
        await linked.tell("NOTIFY_RECORD", call_id_with_rec="1710.22")
        linked.office.clock.forward(39.9)
        await linked.service.look()
        assert linked.zadarma.asked == []
        linked.office.clock.forward(0.1)
        linked.zadarma.broken = True
        await linked.service.look()
        await linked.service.look()
        assert linked.zadarma.times("/v1/pbx/record/request/") == 1
        linked.zadarma.broken = False
        linked.office.clock.forward(120)
        await linked.service.look()
        (row,) = await linked.calls()
        assert (row["recording_state"], row["recording_id"]) == ("done", "1710.22")
        assert row["recording_url"].startswith("https://records.example/")
        assert linked.zadarma.asked[-1][1] == {"call_id": "1710.22", "format": "json"}


async def test_calls_are_forgotten_after_ninety_days() -> None:
    async with make_linked() as linked:
        await linked.link()
        await linked.tell("NOTIFY_START")
        day = (await linked.calls())[0]["at"][:10]
        for days, left in ((89, 1), (2, 0)):
            linked.office.clock.forward(days * 86_400.0)
            await linked.service.look()
            assert len(await linked.calls(day=day)) == left
        assert await linked.office.world.store.find(ZadarmaLink)


@pytest.mark.feature("ZAD-12", clause="an event on the live stream of the mapped agent, and of nobody else")
async def test_the_call_shows_on_the_stream_of_whose_phone_rings() -> None:
    async with make_linked() as linked:
        ada = linked.office.agents[0].id
        _, lead_id = await known(linked, ada)
        await linked.link()
        await linked.ask("POST", "/users", 201, json={"agent_id": ada, "extension": "101"})

        @asynccontextmanager
        async def stream(token: str) -> AsyncIterator[Any]:
            headers = {"Authorization": f"Bearer {token}"}
            async with linked.client.get("/api/v1/stream", headers=headers) as answer:
                await answer.content.readuntil(b"event: beat")
                yield answer.content

        bob = linked.office.agents[1].id
        await linked.ask("POST", "/users", 201, json={"agent_id": bob, "extension": "102"})
        async with stream("ada") as hers, stream("bob") as his, asyncio.timeout(30):
            await linked.tell("NOTIFY_INTERNAL", internal="101")
            await linked.tell("NOTIFY_INTERNAL", internal="102", pbx_call_id="in_2", caller_id="+33700000000")
            shown = []
            for each in (hers, his):
                await each.readuntil(b"event: phone\ndata: ")
                shown.append(json.loads(await each.readuntil(b"\n\n")))
            assert [each["e164"] for each in shown] == [NUMBER, "+33700000000"]
            assert (shown[0]["name"], shown[0]["lead_id"], shown[0]["direction"]) == ("Zoé Lune", lead_id, "in")
            assert (shown[1]["name"], shown[1]["lead_id"]) == ("", 0)
