"""Facts on both stores: each once, one outcome an attempt, agents' states without gaps, figures that add up."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.records import Campaign, CampaignState, Line, LineKind
from tests.store.world import SITE, World


async def outcome_of(world: World, attempt: UUID) -> str | None:
    row = await world.store.attempt(attempt)
    assert row is not None
    outcome: str | None = row["outcome"]
    return outcome


async def test_replayed_facts_are_applied_once(world: World) -> None:
    hour = world.clock.utcnow()
    rows = world.numbered(*[f.LedgerAdded(at=hour, campaign_id=1, hour=hour, answered_live=2, abandoned=1)] * 3)
    await world.store.apply_facts(rows[:2])
    await world.store.apply_facts(rows)
    await world.store.apply_facts(rows)
    [row] = await world.store.ledger_rows(1, hour)
    assert (row["answered_live"], row["abandoned"], row["site"], row["hour"]) == (6, 3, SITE, hour)
    assert await world.store.last_n(SITE, world.lease.fence) == rows[-1].n


async def test_an_attempt_keeps_its_first_outcome(world: World) -> None:
    attempt = await world.place()
    await world.apply(world.ended(attempt, Outcome.BUSY, cause=17))
    await world.apply(world.ended(attempt, Outcome.CONNECTED))
    await world.apply(world.ended(attempt, Outcome.NO_ANSWER), fence=world.lease.fence + 1)
    assert await outcome_of(world, attempt) == "busy"


async def test_unknown_is_upgraded_even_by_a_lower_fence_but_only_once(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    [lead] = await world.claim()
    attempt = await world.place(lead.e164, lead_id)
    await world.apply(world.ended(attempt, Outcome.UNKNOWN, lead_id), fence=world.lease.fence + 1)
    assert await world.claim() != []  # the lead is in another call's hands by now
    await world.apply(world.ended(attempt, Outcome.BUSY, lead_id))
    assert await outcome_of(world, attempt) == "busy"
    assert await world.claim() == [], "the late word must not free a lead that is claimed anew"
    await world.apply(f.AttemptOutcomeKnown(at=world.clock.utcnow(), attempt_id=attempt, outcome=Outcome.CONNECTED))
    assert await outcome_of(world, attempt) == "busy"
    [row] = (await world.store.search_leads(world.group.id, {}, 10, None)).rows
    assert row["attempts"] == 1


async def test_late_knowledge_upgrades_unknown(world: World) -> None:
    attempt = await world.place()
    await world.apply(world.ended(attempt, Outcome.UNKNOWN))
    await world.apply(f.AttemptOutcomeKnown(at=world.clock.utcnow(), attempt_id=attempt, outcome=Outcome.MACHINE))
    assert await outcome_of(world, attempt) == "machine"


async def test_an_attempt_tells_its_whole_story(world: World) -> None:
    attempt = await world.place()
    at = world.clock.utcnow()
    await world.apply(
        f.AttemptPlaced(at=at, attempt_id=attempt, campaign_id=1),
        f.CallEventFact(at=at, attempt_id=attempt, campaign_id=1, kind="ringing", detail={"route": "a", "n": 2}),
        f.CallEventFact(at=at + timedelta(days=400), attempt_id=attempt, campaign_id=1, kind="answered", agent_id=4),
        world.ended(
            attempt,
            Outcome.CONNECTED,
            cause=16,
            agent_id=4,
            ring_s=3.5,
            wait_s=0.2,
            talk_s=61.0,
            amd="human",
            live=True,
        ),
    )
    row = await world.store.attempt(attempt)
    assert row is not None
    assert row["placed_at"] == at
    assert (row["outcome"], row["cause"], row["agent_id"], row["live"]) == ("connected", 16, 4, True)
    assert (row["ring_s"], row["wait_s"], row["talk_s"], row["amd"]) == (3.5, 0.2, 61.0, "human")
    assert [(event["kind"], event["detail"]) for event in row["events"]] == [
        ("ringing", {"route": "a", "n": 2}),
        ("answered", {}),
    ]
    assert await world.store.attempt(row["number"]) == row
    assert await world.store.attempt(10**9) is None


async def test_the_end_of_an_attempt_frees_its_lead_as_told(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    [lead] = await world.claim()
    attempt = await world.place(lead.e164, lead_id)
    later = world.clock.utcnow() + timedelta(hours=4)
    await world.apply(world.ended(attempt, Outcome.BUSY, lead_id, lead_eligible_at=later, lead_recycled=True))
    assert await world.claim() == []
    assert (await world.store.callable_counts(world.campaign.id, world.clock.utcnow()))["waiting"] == 1
    world.clock.forward(4 * 3600)
    [again] = await world.claim()
    assert (again.attempts, again.recycled, again.last_attempt_at) == (
        1,
        1,
        lead.last_attempt_at or again.last_attempt_at,
    )
    assert len(again.attempt_times) == 1


async def test_a_technical_failure_is_no_attempt_of_the_lead(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    [lead] = await world.claim()
    attempt = await world.place(lead.e164, lead_id)
    await world.apply(world.ended(attempt, Outcome.CONGESTION, lead_id, counted=False))
    [again] = await world.claim()
    assert (again.attempts, again.failures, again.attempt_times) == (0, 1, [])


async def test_a_disposition_decides_over_the_end_of_the_call(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    [lead] = await world.claim()
    attempt = await world.place(lead.e164, lead_id)
    await world.apply(
        world.disposed(attempt, lead_id, "VENTE", sale=True, final=True, lead_blocked_by="final", notes="ok"),
        world.ended(attempt, Outcome.CONNECTED, lead_id, agent_id=4),
    )
    assert await world.claim() == []
    assert (await world.store.callable_counts(world.campaign.id, world.clock.utcnow()))["final"] == 1
    row = await world.store.attempt(attempt)
    assert row is not None
    assert (row["disposition"], row["sale"], row["final"], row["notes"]) == ("VENTE", True, True, "ok")
    [lead_row] = (await world.store.search_leads(world.group.id, {"status": "VENTE"}, 10, None)).rows
    assert (lead_row["id"], lead_row["last_outcome"], lead_row["last_agent_id"]) == (lead_id, "connected", 4)


async def test_a_status_may_send_the_lead_round_again_in_its_place(world: World) -> None:
    ids = await world.leads("+33612345678", "+33698765432")
    [lead] = await world.claim(1)
    attempt = await world.place(lead.e164, lead.id)
    soon = world.clock.utcnow() + timedelta(minutes=1)
    disposed = world.disposed(
        attempt, lead.id, "ABS", lead_eligible_at=soon, lead_recycled=True, lead_recycle_priority="low"
    )
    await world.apply(world.ended(attempt, Outcome.CONNECTED, lead.id, lead_blocked_by="disposition"), disposed)
    world.clock.forward(61)
    claimed = await world.claim()
    assert [each.id for each in claimed] == ids[::-1]
    assert claimed[1].recycled == 1


async def test_an_agents_code_replaces_the_default_one_but_not_the_reverse(world: World) -> None:
    attempt = await world.place()
    await world.apply(
        world.ended(attempt, Outcome.CONNECTED),
        world.disposed(attempt, 0, "INJOIGN", by_default=True),
        world.disposed(attempt, 0, "REFUS"),
        world.disposed(attempt, 0, "INJOIGN", by_default=True),
    )
    row = await world.store.attempt(attempt)
    assert row is not None
    assert (row["disposition"], row["disposition_by_default"]) == ("REFUS", False)


async def test_a_refusal_is_known_for_the_person_in_every_list(world: World) -> None:
    first, second = await world.leads("+33612345678", "+33612345678")
    attempt = await world.place(lead_id=first)
    await world.apply(
        world.ended(attempt, Outcome.CONNECTED, first), world.disposed(attempt, first, "REFUS", refused=True)
    )
    facts = await world.store.lead_facts(second)
    assert facts is not None
    assert facts.refused_at == world.clock.utcnow()
    assert facts.attempt_times == [world.clock.utcnow()]


async def test_an_abandoned_call_is_remembered(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    attempt = await world.place(lead_id=lead_id)
    await world.apply(world.ended(attempt, Outcome.ABANDONED, lead_id, live=True))
    facts = await world.store.lead_facts(lead_id)
    assert facts is not None
    assert facts.abandoned_at == world.clock.utcnow()


async def test_a_kept_callback_is_done(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    attempt = await world.place(lead_id=lead_id)
    due = world.clock.utcnow() + timedelta(minutes=5)
    await world.apply(
        world.ended(attempt, Outcome.CONNECTED, lead_id),
        world.disposed(attempt, lead_id, "RAPPEL", callback_at=due, callback_agent_id=4, lead_eligible_at=due),
    )
    await world.later(300)
    [lead] = await world.claim()
    assert lead.callback_agent_id == 4
    second = await world.place(lead_id=lead_id, attempts_max=0)
    await world.apply(world.ended(second, Outcome.NO_ANSWER, lead_id))
    facts = await world.store.lead_facts(lead_id)
    assert facts is not None
    assert facts.callback_at == due, "nobody picked up: it is still owed"
    await world.later(60)
    third = await world.place(lead_id=lead_id, attempts_max=0)
    await world.apply(world.ended(third, Outcome.CONNECTED, lead_id))
    facts = await world.store.lead_facts(lead_id)
    assert facts is not None
    assert (facts.callback_at, facts.callback_agent_id) == (None, 0)
    [callback] = [each for each in await world.store.lead_history(lead_id) if each["type"] == "callback"]
    assert callback["done_at"] == world.clock.utcnow()


async def test_a_person_who_asks_is_red_listed_at_once_in_all_lists_of_the_client(world: World) -> None:
    ids = await world.leads("+33612345678", "+33612345678", "+33698765432")
    attempt = await world.place(lead_id=ids[0])
    await world.apply(
        f.DncAdded(at=world.clock.utcnow(), client_id=world.client.id, lead_id=ids[0], attempt_id=attempt, by="a4"),
        world.ended(attempt, Outcome.CONNECTED, ids[0]),
    )
    assert [lead.id for lead in await world.claim()] == [ids[2]]
    facts = await world.store.lead_facts(ids[1])
    assert facts is not None
    assert facts.dnc


async def test_refused_calls_are_recorded_and_hold_the_lead(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    await world.claim()
    until = world.clock.utcnow() + timedelta(hours=1)
    await world.apply(
        f.RefusalFact(
            at=world.clock.utcnow(),
            lead_id=lead_id,
            campaign_id=world.campaign.id,
            client_id=world.client.id,
            rule="hours",
            clause="13:00-14:00",
            rule_set="fr-b2c-2026",
            until=until,
        )
    )
    assert await world.claim() == []
    [entry] = await world.store.lead_history(lead_id)
    assert (entry["type"], entry["rule"], entry["until"]) == ("refusal", "hours", until)
    world.clock.forward(3600)
    assert len(await world.claim()) == 1


async def test_an_agents_states_have_no_gap(world: World) -> None:
    def state(name: str, **fields: object) -> f.AgentStateSet:
        return f.AgentStateSet(at=world.clock.utcnow(), agent_id=4, state=name, **fields)  # type: ignore[arg-type]

    since = world.clock.utcnow()
    await world.apply(state("ready", campaign_ids=(1, 2), leg="s1-ag-4-0"))
    world.clock.forward(60)
    await world.apply(state("paused", code="REPAS"))
    world.clock.forward(-5)  # the wall clock was put back
    await world.apply(state("ready", campaign_ids=(1, 2)), fence=world.lease.fence + 1)
    await world.apply(state("paused", code="late word of the old daemon"))
    [now] = await world.store.agent_states(SITE)
    assert (now.agent_id, now.state, now.campaign_ids) == (4, "ready", (1, 2))
    assert now.since == since + timedelta(seconds=60)
    assert await world.store.agent_states("s2") == []
    rows = await world.store.report("agent_states", agent_id=4)
    assert [row["started_at"] for row in rows[1:]] == [row["ended_at"] for row in rows[:-1]]
    assert [row["state"] for row in rows] == ["ready", "paused", "ready"]


async def test_live_values_of_campaigns_and_lines_follow_their_facts(world: World) -> None:
    line = await world.store.create(
        Line(group_id=world.group.id, site=SITE, name="t1", kind=LineKind.TRUNK, endpoint="op-a")
    )
    at = world.clock.utcnow()
    await world.apply(
        f.CampaignSet(at=at, campaign_id=world.campaign.id, state="running", speed=7, by="anna", reason="start"),
        f.LineSet(at=at, line_id=line.id, enabled=False, by="anna"),
        f.LinkChanged(at=at, up=False, code="refused", message="no"),
        f.AuditFact(at=at, by="anna", what="token.created", target="token:3", detail={"role": "agent"}),
    )
    campaign = await world.store.get(Campaign, world.campaign.id)
    assert campaign is not None
    assert (campaign.state, campaign.speed, campaign.level) == (CampaignState.RUNNING, 7, world.campaign.level)
    assert campaign.version == world.campaign.version + 1
    changed = await world.store.get(Line, line.id)
    assert changed is not None
    assert not changed.enabled
    entries = await world.store.report("audit", limit=10)
    assert [(entry["by"], entry["what"]) for entry in reversed(entries)] == [
        ("anna", "campaign.set"),
        ("anna", "line.set"),
        ("anna", "token.created"),
    ]


async def test_ledger_rows_are_sums_by_hour_and_site(world: World) -> None:
    hour = world.clock.utcnow()
    await world.apply(
        f.LedgerAdded(at=hour, campaign_id=1, hour=hour, answered_live=3, connected=2, false_positives=0.5),
        f.LedgerAdded(at=hour, campaign_id=1, hour=hour, abandoned=1, false_positives=0.25),
        f.LedgerAdded(at=hour, campaign_id=2, hour=hour, abandoned=9),
        f.LedgerAdded(at=hour, campaign_id=1, hour=hour - timedelta(hours=2), abandoned=7),
    )
    [row] = await world.store.ledger_rows(1, hour - timedelta(hours=1))
    figures = (row["answered_live"], row["abandoned"], row["connected"], row["false_positives"])
    assert figures == (3, 1, 2, 0.75)


async def test_a_live_answer_is_counted_once_whichever_daemons_tell_of_it(world: World) -> None:
    """The leader died with its booking in its journal; the standby judged the same call; the journal came later."""
    hour = world.clock.utcnow()
    attempt, other = await world.place(), world.intent().attempt_id

    def told(attempt_id: UUID, answered_live: int, *, abandoned: int = 0, connected: int = 0) -> f.LedgerAdded:
        return f.LedgerAdded(
            at=hour,
            campaign_id=1,
            hour=hour,
            attempt_id=attempt_id,
            answered_live=answered_live,
            abandoned=abandoned,
            connected=connected,
        )

    async def figures() -> tuple[int, ...]:
        [row] = await world.store.ledger_rows(1, hour)
        return tuple(row[name] for name in ("answered_live", "abandoned", "connected"))

    await world.apply(told(attempt, 1, connected=1), fence=world.lease.fence + 1)
    await world.apply(told(attempt, 1, abandoned=1))
    assert await figures() == (1, 0, 1)
    await world.apply(told(attempt, -1, connected=-1), told(other, 1, abandoned=1))
    assert await figures() == (1, 1, 0), "taken back; of an attempt that the store does not know, it is counted"
    await world.apply(told(attempt, -1, connected=-1), told(attempt, 1, connected=1))
    assert await figures() == (1, 1, 0), "taken back once, and for good"


async def test_facts_about_what_is_not_there_change_nothing(world: World) -> None:
    ghost = world.intent().attempt_id
    await world.apply(
        world.ended(ghost, Outcome.BUSY, 12345),
        f.AttemptPlaced(at=world.clock.utcnow(), attempt_id=ghost, campaign_id=1),
        world.disposed(ghost, 12345, "VENTE"),
        f.DncAdded(at=world.clock.utcnow(), client_id=1, lead_id=12345),
        f.LeadReleased(at=world.clock.utcnow(), lead_id=12345, campaign_id=1),
        f.CampaignSet(at=world.clock.utcnow(), campaign_id=999, state="running"),
    )
    assert await world.store.attempt(ghost) is None
    assert (await world.store.search_attempts(None, {}, 10, None)).rows == []
