"""Two hours over a lunch break with people on four clocks: what the PBX was asked to dial, held against the oracle."""

from __future__ import annotations

import asyncio
import tomllib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import CallerIdNumber, Group, RecyclingRule
from daemon.compliance import LeadFacts, dial_string, tz_group
from daemon.compliance.rules import RULES_DIRECTORY
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import Leg, people
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.unit.compliance import oracle

pytestmark = pytest.mark.timeout(400)

START = datetime(2026, 11, 23, 11, 52, tzinfo=UTC)  # Monday, 12:52 in Paris
END = datetime(2026, 11, 23, 14, 12, tzinfo=UTC)
AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)
LUNCH, BACK = START.replace(hour=12, minute=0), START.replace(hour=13, minute=0)
MARTINIQUE_OPENS = START.replace(hour=14, minute=0)
KINDS = {  # how a number begins → how many, its places for the oracle
    "+3361234": (40, (("Europe/Paris", ""),)),
    "+59669612": (8, (("America/Martinique", "972"),)),
    "+26269212": (8, (("Indian/Reunion", "974"),)),
    "+3361999": (5, (("Europe/Paris", ""),)),  # never agreed
    "+3361888": (4, (("Europe/Paris", ""),)),  # on the red list
}


def number(prefix: str, n: int) -> str:
    return f"{prefix}{n:0{(12 if prefix.startswith('+33') else 13) - len(prefix)}d}"


async def _afternoon(loop: VirtualLoop) -> World:
    crowd = people.People(answer_chance=0.5, talk_mean_s=60.0, ring_mean_s=6.0, machine_share=0.0)
    world = World(loop, seed=11, pbx_config=pbx(3, crowd))
    world.clock._start = START
    campaign = await world.furnish(
        agents=3, leads=0, rule_set="fr-b2c-2026", gap_min_s=3600.0, attempts_max=4,
        recycling=[RecyclingRule(on=on, delay_s=3600.0) for on in ("no_answer", "busy")],
    )  # fmt: skip
    assert world.store is not None and world.client is not None
    for prefix, (count, _) in KINDS.items():
        numbers = [number(prefix, n) for n in range(count)]
        consent_at = None if prefix == "+3361999" else AGREED
        drafts = [
            LeadDraft(e164=e164, last_name="P", tz_group=tz_group(e164), consent_at=consent_at) for e164 in numbers
        ]
        await world.store.add_leads(world.list.id, drafts)
        if prefix == "+3361888":
            await world.store.add_dnc(world.client.id, numbers, "test", "file")
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(2.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await asyncio.sleep((END - START).total_seconds())
    return world


def _dialled(world: World) -> dict[str, list[tuple[datetime, Leg]]]:
    """(instant, leg) of each customer leg, by E.164 number, in order of time."""
    known = {
        dial_string(e164): e164
        for prefix, (count, _) in KINDS.items()
        for e164 in (number(prefix, n) for n in range(count))
    }
    found: dict[str, list[tuple[datetime, Leg]]] = defaultdict(list)
    for leg in sorted(world.fake.ledger.legs.values(), key=lambda leg: leg.made_at):
        if CUSTOMER.match(leg.uniqueid):
            at = world.clock._start + timedelta(seconds=leg.made_at - world.clock._at)
            found[known[leg.number]].append((at, leg))
    return found


@pytest.mark.feature("LEGL-03", clause="nothing is dialled outside the hours of the person's own zone; calls go on")
@pytest.mark.feature("LEGL-08", clause="without consent a consumer is not dialled")
@pytest.mark.feature("LEGL-06", clause="a number on an opposition list is never dialled")
@pytest.mark.feature("LEGL-02", clause="the least gap between attempts holds")
@pytest.mark.feature("LEGL-05", clause="a blocked attempt is kept with its rule, and the day's report counts it")
def test_an_afternoon_within_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tomllib.loads((RULES_DIRECTORY / "fr-b2c-2026.toml").read_text("utf-8"))
    wishes: dict[str, Any] = {
        "zone": "Europe/Paris", "hours": [], "attempts_max": 4, "gap_min_s": 3600.0, "running_contract": False,
        "business": False, "agent_reserved": True, "special_allowed": False,
    }  # fmt: skip

    async def main(loop: VirtualLoop) -> None:
        world = await _afternoon(loop)
        dialled = _dialled(world)
        for prefix, (count, places) in KINDS.items():
            for n in range(count):
                monkeypatch.setitem(oracle.WHEREABOUTS, number(prefix, n), places)
        for e164, made in dialled.items():
            for place, (at, _) in enumerate(made):
                before = tuple(earlier for earlier, _ in made[:place])
                facts = LeadFacts(e164=e164, consent_at=AGREED, attempt_times=before, attempts=len(before))
                assert oracle.verdict(raw, wishes, facts, at) == "allowed", (e164, at, before)
        by_kind = {p: [x for e164, made in dialled.items() if e164.startswith(p) for x in made] for p in KINDS}
        assert not by_kind["+3361999"] and not by_kind["+3361888"]
        paris, reunion, martinique = (
            sorted(by_kind[p], key=lambda x: x[0]) for p in list(KINDS)[:1] + list(KINDS)[2:0:-1]
        )
        assert [at for at, _ in paris if at < LUNCH] and [at for at, _ in paris if at >= BACK]
        assert not [at for at, _ in paris if LUNCH <= at < BACK]
        assert min(at for at, _ in paris if at >= BACK) - BACK < timedelta(seconds=5)
        assert [at for at, _ in reunion if at < BACK], "15:52 in Réunion is open, whatever Paris does"
        first = min(at for at, _ in martinique)
        assert timedelta(0) <= first - MARTINIQUE_OPENS < timedelta(minutes=2)
        lunch_at = world.clock._at + (LUNCH - START).total_seconds()
        talking = [leg for _, leg in paris if leg.answered_at and leg.answered_at < lunch_at < (leg.ended_at or 1e9)]
        assert talking and max(leg.ended_at or 1e9 for leg in talking) > lunch_at + 5, "calls begun before go on"
        again = [made for made in dialled.values() if len(made) > 1]
        assert again, "some did not answer and were tried again after the gap"
        assert world.store is not None
        report = await world.store.report("refusals_by_day", group_id=world.list.group_id)
        assert {(row["day"], row["rule"]) for row in report} >= {("2026-11-23", "consent")}
        await world.stop()

    run(main, seed=11)


@pytest.mark.feature("LEGL-10", clause="a campaign showing a mobile number, or one not owned, can't be started")
def test_a_campaign_shows_only_numbers_it_may() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=12, pbx_config=pbx(1))
        plain = await world.furnish(agents=1, leads=0, rule_set="fr-b2c-2026")
        store = world.store
        assert store is not None
        other = await store.create(Group(code="OTHER"))
        numbers = {
            "mobile": CallerIdNumber(group_id=plain.group_id, e164="+33612000000"),
            "ordinary": CallerIdNumber(group_id=plain.group_id, e164="+33143000000"),
            "not owned": CallerIdNumber(group_id=other.id, e164="+33162000001"),
            "canvassing": CallerIdNumber(group_id=plain.group_id, e164="+33162000000"),
        }
        campaigns = {}
        for name, number_ in numbers.items():
            shown = await store.create(number_)
            row = msgspec.structs.replace(plain, id=0, version=0, name=name, caller_id_ids=[shown.id])
            campaigns[name] = await store.create(row)
        await world.start()
        for name, campaign in campaigns.items():
            start = c.StartCampaign(campaign_id=campaign.id)
            if name == "canvassing":
                await world.submit(start)
                continue
            with pytest.raises(CommandError) as caught:
                await world.submit(start)
            assert caught.value.code == "caller_id_forbidden", name
            assert world.live.campaigns[campaign.id].record.state == "stopped"
        await world.stop()

    run(main, seed=12)
