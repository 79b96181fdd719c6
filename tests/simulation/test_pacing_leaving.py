"""Agents who leave together while phones ring: the PBX is asked to stop what rings for nobody, as the rule set lets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.records import Campaign, CampaignMode
from daemon.dialer.explain import sentence_of
from daemon.engine import commands as c
from daemon.settings import Settings
from fake_asterisk import Leg, people
from simulation.checkers import ABANDONED
from simulation.loop import VirtualLoop, run
from simulation.open_rules import RULES
from simulation.world import World, pbx
from tests.simulation.office import customers

pytestmark = pytest.mark.timeout(300)

TEAM, GAP_S, RING_S = 12, 600.0, 15
CROWD = people.People(
    answer_chance=0.5, talk_mean_s=40.0, ring_mean_s=9.0, machine_share=0.0, patience_mean_s=60.0, busy_share=0.0,
    unallocated_share=0.0, congestion_share=0.0, speaks=False,
)  # fmt: skip


async def at_full_speed(
    loop: VirtualLoop, seed: int, ring_min_s: int = RING_S, warm_s: float = 240.0
) -> tuple[World, Campaign]:
    """A predictive campaign that has learned its odds, many phones ringing."""
    world = World(loop, seed=seed, mode="dialplan", pbx_config=pbx(TEAM, CROWD))

    def rules(settings: Settings) -> Settings:
        text = RULES.replace("ring_time_s_min = 15", f"ring_time_s_min = {ring_min_s}")
        (Path(settings.daemon.rules_dir) / "mine.toml").write_text(text.replace('id = "open"', 'id = "mine"'))
        return settings

    world.settings_changes = rules
    campaign = await world.furnish(
        agents=TEAM, leads=900, lines=(60,), mode=CampaignMode.PREDICTIVE, level=3, speed=10, ring_timeout_s=25.0,
        rule_set="mine", gap_min_s=GAP_S,
    )  # fmt: skip
    await world.start()
    world.habits.wrap_up_s = 5.0
    await world.staff(campaign)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await asyncio.sleep(warm_s)
    await world.until(lambda: len(ringing(world)) >= 4, 300.0)
    return world, campaign


def ringing(world: World) -> list[Leg]:
    return [leg for leg in customers(world) if leg.answered_at is None and leg.ended_at is None]


async def everybody(world: World, command: Callable[..., c.AnyCommand], **rest: Any) -> None:
    for agent in world.agents:
        await world.submit(command(agent_id=agent.id, **rest))


def attempts(world: World, outcome: str) -> list[Any]:
    assert world.store is not None
    return [row for row in world.store.tables.attempts.values() if row.outcome == outcome]


def booked(world: World) -> int:
    """Abandoned by the ledger; the attempts say the same."""
    assert world.store is not None
    sums = list(world.store.tables.ledger.values())
    assert all(live == abandoned + connected for live, abandoned, connected, _ in sums)
    count = int(sum(row[ABANDONED] for row in sums))
    assert count == len(attempts(world, "abandoned"))
    return count


@pytest.mark.feature("CAMP-09", clause="agents who leave together while phones ring: what rings for nobody is hung up")
@pytest.mark.parametrize("how", ["sign out", "pause", "campaign paused first"])
def test_what_rings_for_nobody_is_hung_up(how: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await at_full_speed(loop, 1, ring_min_s=0)
        rang, lost, left = ringing(world), booked(world), loop.time()
        if how == "campaign paused first":
            await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await (everybody(world, c.SetPaused, code="PAUSE") if how == "pause" else everybody(world, c.SignOut))
        await asyncio.sleep(2.0)
        assert all(leg.ended_at is not None and leg.answered_at is None for leg in rang), "the PBX was asked to stop"
        assert ringing(world) == [], "nothing is placed"
        hung_up = attempts(world, "cancelled")
        assert {row.e164[-9:] for row in hung_up} == {leg.number[-9:] for leg in rang}
        assert all(row.ended_by == "engine" and row.counted for row in hung_up)
        await asyncio.sleep(60.0)
        assert customers(world, left) == []
        assert booked(world) == lost, "the hour ends as it stood"
        assert world.store is not None
        told = [row for row in world.store.tables.pacing if row["figures"].get("hung_up")]
        assert told and told[-1]["figures"]["hung_up"] == len(rang)
        said = sentence_of(0, told[-1]["limit"], told[-1]["figures"])
        assert f"hung up {len(rang)} ringing calls: nobody is left for them" in said
        for row in hung_up:
            lead = world.store.tables.leads[row.lead_id]
            gap = timedelta(seconds=GAP_S - 0.001)  # the two instants are rounded to microseconds each
            assert lead.eligible_at >= row.ended_at + gap, "their phones rang: not at once again"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-09", clause="a phone rings for as long as the rule set asks, whoever has left")
def test_a_phone_rings_for_as_long_as_the_rule_set_asks() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, _ = await at_full_speed(loop, 1, ring_min_s=RING_S)
        rang, lost, left = ringing(world), booked(world), loop.time()
        await everybody(world, c.SignOut)
        await asyncio.sleep(60.0)
        hung_up = attempts(world, "cancelled")
        assert hung_up, "what had rung for long enough, and what came to it"
        assert all(row.ring_s is None or row.ring_s >= RING_S for row in hung_up)
        silent = [leg for leg in rang if leg.answered_at is None and leg.ended_at is not None]
        assert silent
        for leg in silent:
            assert leg.ended_at is not None
            assert leg.ended_at <= max(left, leg.made_at + RING_S) + 3.0, "none rings to the end of its time"
        answered = [leg for leg in rang if leg.answered_at is not None]
        assert booked(world) - lost <= len(answered)
        assert len(silent) + len(answered) == len(rang) and customers(world, left) == []
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature(
    "CAMP-09", clause="a campaign paused with its agents there: phones ring on, who answers is connected"
)
def test_a_paused_campaign_whose_agents_stay_answers_what_rings() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await at_full_speed(loop, 2)
        rang, since = ringing(world), loop.time()
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(60.0)
        assert customers(world, since + 0.5) == [], "nothing more is placed"
        assert attempts(world, "cancelled") == []
        answered = [leg for leg in rang if leg.answered_at is not None]
        assert answered
        met = sum(any(stay.entered_at - (leg.answered_at or 0.0) <= 2.1 for stay in leg.stays) for leg in answered)
        assert met >= len(answered) - 1
        await world.stop()

    run(main, seed=2)


@pytest.mark.feature("CAMP-09", clause="who asks for a pause during a conversation is not counted on any more")
def test_agents_who_ask_for_a_pause_in_a_conversation_are_not_counted_on() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await at_full_speed(loop, 1)
        policy, desks = world.live.campaigns[campaign.id].policy, world.live.desks
        asked = [agent for agent in world.agents if desks[agent.id].state == "on_call"][:4]
        assert len(asked) == 4
        staying, others = policy.traffic.staying, policy.traffic.stay_now(loop.time())
        for agent in asked:
            await world.submit(c.SetPaused(agent_id=agent.id, code="PAUSE"))
        assert {str(desks[agent.id].state) for agent in asked} == {"on_call"}, "their conversations go on"
        assert policy.traffic.staying == staying - len(asked)
        assert policy.traffic.stay_now(loop.time()) < 0.7 * others, "four at once: the others may follow"
        await world.until(lambda: all(desks[agent.id].state == "paused" for agent in asked), 300.0)
        await world.stop()

    run(main, seed=1)
