"""What the dialler asks of PostgreSQL all day reads indexes: the plans of the store's own statements, as executed.

A modest, analysed database with sequential scans allowed: PostgreSQL itself must prefer the index. The server tells
each plan (auto_explain) on the connection that ran the statement.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.records import Campaign, LeadOrder
from daemon.store import PostgresStore
from daemon.store.pseudonyms import Pseudonyms
from tests.store.world import FixedClock, World, make_world

pytestmark = pytest.mark.filterwarnings("ignore:.*active log listener")  # it is set anew at each use

LARGE = ("leads", "attempts", "call_event", "dnc", "consents", "callbacks", "refusals", "agent_states",
         "outbox", "ledger", "api_call_logs", "pacing_decisions")  # fmt: skip
"""Tables that grow with the work; reading one whole would grow with it too."""

_LEADS = """
INSERT INTO leads (list_id, group_id, created_at, e164, tz_group, consent_at, eligible_at, blocked_by, turn, priority)
SELECT $1::bigint + i % 3, $2, $3::timestamptz, '+336' || lpad(i::text, 8, '0'),
    (ARRAY['Europe/Paris', 'Indian/Reunion+974', 'America/Martinique+972'])[1 + i % 3], $3,
    CASE WHEN i % 5 = 0 THEN $3 + interval '1 hour' END,
    CASE WHEN i % 5 < 3 THEN (ARRAY['recycling', 'consent', 'dnc'])[1 + i % 5] ELSE '' END, i % 5, i % 10
FROM generate_series(1, 6000) AS i"""

_ATTEMPTS = """
INSERT INTO attempts (id, site, fence, kind, group_id, campaign_id, client_id, lead_id, line_id, agent_id, e164,
    caller_id, rule_set, at, ended_at, outcome, counted)
SELECT gen_random_uuid(), 's1', 1, 'campaign', $1, $2, $3, id, 1, 0, e164, '', 'open', $4::timestamptz - interval '9 d',
    $4::timestamptz - interval '9 d', 'no_answer', true
FROM leads"""

_EVENTS = """
INSERT INTO call_event (site, fence, n, at, attempt_id, campaign_id, kind)
SELECT 's1', 1, number, $1::timestamptz + (number % 9) * interval '1 d', id, campaign_id, 'answered' FROM attempts"""

_BESIDE = (
    "INSERT INTO refusals (site, fence, n, at, lead_id, campaign_id, client_id, rule, clause, rule_set)"
    " SELECT 's1', 1, id, $1::timestamptz, id, 1, 1, 'hours', '', '' FROM leads",
    "INSERT INTO callbacks (attempt_id, lead_id, campaign_id, client_id, due_at, created_at, done_at)"
    " SELECT id, lead_id, campaign_id, client_id, $1::timestamptz, $1, CASE WHEN number % 4 > 0 THEN $1 END"
    " FROM attempts",
    "INSERT INTO agent_states (agent_id, site, fence, n, state, started_at, ended_at)"
    " SELECT id % 50, 's1', 1, id, 'ready', $1::timestamptz - id * interval '1 s', $1 FROM leads",
    "INSERT INTO ledger (campaign_id, site, hour)"
    " SELECT id % 20, 's1', $1::timestamptz - id * interval '1 h' FROM leads",
    'INSERT INTO pacing_decisions (site, fence, n, at, campaign_id, count, "limit")'
    " SELECT 's1', 1, id, $1::timestamptz - id * interval '1 m', id % 20, 1, 'risk' FROM leads",
    "INSERT INTO api_call_logs (created_at, group_id, number_called)"
    " SELECT $1::timestamptz - id * interval '1 m', group_id, '06' || lpad(id::text, 8, '0') FROM leads",
    "UPDATE leads SET alt_phone = '07 ' || lpad(id::text, 8, '0') WHERE id % 3 = 0 AND $1::timestamptz IS NOT NULL",
)


@dataclass
class Seen:
    """Plans as they come in."""

    plans: list[str] = field(default_factory=list)

    def listen(self, connection: Any, message: asyncpg.PostgresLogMessage) -> None:
        text = message.as_dict().get("message") or ""
        if text.startswith("duration:"):
            self.plans.append(text)

    def whole(self) -> list[str]:
        """Sequential scans of large tables among them, with the statement."""
        return [
            f"{table}: {plan}"
            for plan in self.plans
            for table in re.findall(r"Seq Scan on (\w+)", plan)
            if table in LARGE or table.startswith("call_event_")
        ]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Every connection of a store opened from here on tells its plans."""
    seen = Seen()
    original = asyncpg.create_pool

    def create_pool(dsn: str, **more: Any) -> Any:
        async def setup(connection: asyncpg.Connection) -> None:  # the pool takes listeners away at each return
            connection.add_log_listener(seen.listen)

        more["server_settings"] |= {"session_preload_libraries": "auto_explain", "auto_explain.log_level": "notice"}
        more["server_settings"] |= {"auto_explain.log_min_duration": "0", "client_min_messages": "notice"}
        return original(dsn, setup=setup, **more)

    monkeypatch.setattr(asyncpg, "create_pool", create_pool)
    return seen


@pytest.fixture
async def work(database: str, clock: FixedClock, seen: Seen) -> AsyncIterator[World]:
    """A campaign on three lists of 6,000 people who were all called once, and nothing seen of making them."""
    store = PostgresStore(database, clock, pool_size=3)
    await store.open()
    world = await make_world(store, clock)
    await store.update(Campaign, world.campaign.id, {"list_ids": [world.listed.id + n for n in range(3)]}, None)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("INSERT INTO lists (group_id, name) SELECT $1, n::text FROM generate_series(1, 2) n",
                                 world.group.id)  # fmt: skip
        await connection.execute(_LEADS, world.listed.id, world.group.id, clock.utc)
        await connection.execute(_ATTEMPTS, world.group.id, world.campaign.id, world.client.id, clock.utc)
        await connection.execute(
            "INSERT INTO dnc (client_id, e164, at) SELECT $1, e164, $2 FROM leads WHERE blocked_by = 'dnc'",
            world.client.id, clock.utc,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO consents (client_id, e164, at) SELECT $1, e164, $2 FROM leads", world.client.id, clock.utc
        )
        await connection.execute(_EVENTS, clock.utc - timedelta(days=1))
        for statement in _BESIDE:
            await connection.execute(statement, clock.utc)
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()
    seen.plans.clear()
    yield world
    await store.close()


async def _day(world: World) -> None:
    """What a dialler asks while it works. Not here: a search by a part of a name, which reads the group's leads, as an
    index of letters would be written at each claim; and reports, which people ask for."""
    store, clock, campaign = world.store, world.clock, world.campaign
    zones = ("Europe/Paris", "Indian/Reunion+974")
    leads = await world.claim(20, zones)
    assert len(leads) == 20
    attempt = await world.place(leads[0].e164, leads[0].id)
    await store.open_attempts("s1")
    await store.lead_facts(leads[1].id)
    await store.callable_counts(campaign.id, clock.utc)
    await store.tz_groups(campaign.id)
    await store.lead_counts(campaign.id, clock.utc)
    await store.list_counts(world.group.id, clock.utc)
    for reason in ("due", "recycling", "consent", "waiting", "list_off", "in_progress"):
        page = await store.held_leads([world.listed.id, world.listed.id + 1], reason, clock.utc, 50, None)
        await store.held_leads([world.listed.id], reason, clock.utc, 50, page.next_after)
    await world.apply(world.ended(attempt, Outcome.CONNECTED, leads[0].id, counted=True))
    await world.apply(world.disposed(attempt, leads[0].id, "RAPPEL", callback_at=clock.utc + timedelta(hours=2)))
    await store.attempt(attempt)
    await store.lead_history(leads[0].id)
    await store.search_leads(world.group.id, {"phone": leads[2].e164}, 50, None)
    await store.search_attempts(world.group.id, {"number": leads[2].e164}, 50, None)
    await store.set_dnc(world.client.id, leads[3].e164, True, "me", "test")
    await store.on_red_list(world.client.id, leads[3].e164)
    await store.free_leads(world.group.id, leads[3].e164, "blacklist")
    await store.add_consent(world.client.id, leads[4].e164, {"at": clock.utc})
    await store.revoke_consent(world.client.id, leads[4].e164, clock.utc)
    await store.ledger_rows(campaign.id, clock.utc - timedelta(days=30))
    await store.agent_states("s1")
    await world.leads("+33699999999")
    await _facts_of_a_day(world, leads[5].id, leads[6].id, leads[6].e164)
    await store.add_dnc(world.client.id, [leads[7].e164], "me", "a file")
    await store.number_history(world.group.id, leads[8].e164)
    await store.search_leads(world.group.id, {"status": "no_answer", "list_id": world.listed.id}, 50, None)
    await store.numbers_shown("s1", clock.utc - timedelta(days=2), 20_000)
    await store.review_consent(5000)
    await store.release_claims("s1")
    await world.later(7200)  # what waited has fallen due
    assert await world.claim(20, zones)


async def _facts_of_a_day(world: World, one: int, other: int, e164: str) -> None:
    """Leads given back, refused by a rule, called and ended without an agent, put on the red list in a call."""
    at, site, campaign = world.clock.utc, "s1", world.campaign
    await world.apply(
        f.LeadReleased(at=at, site=site, lead_id=one, campaign_id=campaign.id),
        f.RefusalFact(at=at, site=site, lead_id=one, campaign_id=campaign.id, client_id=world.client.id, rule="hours",
                      clause="", rule_set="open", until=at + timedelta(hours=1)),
        f.LedgerAdded(at=at, site=site, campaign_id=campaign.id, hour=at.replace(minute=0, second=0), answered_live=1),
        f.AgentStateSet(at=at, site=site, agent_id=3, state="paused"),
    )  # fmt: skip
    attempt = await world.place(e164, other)
    await world.apply(
        f.AttemptPlaced(at=at, site=site, attempt_id=attempt, campaign_id=campaign.id),
        f.CallEventFact(at=at, site=site, attempt_id=attempt, campaign_id=campaign.id, kind="answered"),
        world.ended(attempt, Outcome.NO_ANSWER, other, counted=True, lead_eligible_at=at + timedelta(hours=4)),
        f.DncAdded(at=at, site=site, client_id=world.client.id, lead_id=other, attempt_id=attempt, by="agent:1"),
    )


async def test_every_statement_of_the_dialler_reads_an_index(work: World, seen: Seen) -> None:
    await _day(work)
    assert len(seen.plans) > 30, "the server tells its plans"
    assert not seen.whole(), "\n\n".join(seen.whole())


async def test_a_claim_in_any_order_reads_along_its_index(work: World, seen: Seen) -> None:
    for order in LeadOrder:
        await work.store.update(Campaign, work.campaign.id, {"order": order}, None)
        seen.plans.clear()
        assert len(await work.claim(20)) == 20
        (claim,) = (plan for plan in seen.plans if "picked" in plan)
        assert not seen.whole() and claim.count("using leads_ready_by_") == 3, claim
        picked = claim[: claim.index("CTE locked")]
        sorts = re.findall(r"Sort Key: (.*)", picked)
        assert len(sorts) <= 3 and "Incremental" not in picked, f"leads of a queue come in order, unsorted: {claim}"


async def test_figures_of_the_day_read_indexes(work: World, seen: Seen) -> None:
    """An engine that begins at noon reads the day's calls and intervals, not those of the years before. Of the rows
    here two minutes are in what it looks back to, four hours from the day's start."""
    start = work.clock.utc + timedelta(hours=3, minutes=58)
    given: dict[str, Any] = {"site": "s1", "fence": 9, "start": start}
    for only in (None, [7]):
        await work.store.report("day_calls", only=only, open=[], forms=[], **given)
        await work.store.report("day_agents", only=only, agent_ids=[1, 2], since=[work.clock.utc] * 2, **given)
    assert sum("AS own" in plan for plan in seen.plans) == 4 and not seen.whole(), "\n\n".join(seen.whole())


async def test_what_the_night_does_reads_indexes(work: World, seen: Seen) -> None:
    """Thousands are forgotten in a night: whatever of it reads a table whole is more than the night has."""
    store, clock = work.store, work.clock
    await store.use_pseudonyms(Pseudonyms(b"k" * 32))
    [lead] = await work.claim(1)
    held = await store.person(work.group.id, lead.e164)
    assert held["click_to_call"]
    assert (await store.erase_person(work.group.id, lead.e164))["counts"]["click_to_call"] == 1
    assert (await store.erase_person(work.group.id, "+33700000600"))["counts"]["alt_phones"] == 1
    await store.stale_people(clock.utc - timedelta(days=1), 0, 200)
    purged = await store.purge_steps(clock.utc - timedelta(minutes=5990))
    assert (purged["pacing_decisions"], purged["api_calls"]) == (10, 10)
    assert not seen.whole(), "\n\n".join(seen.whole())
