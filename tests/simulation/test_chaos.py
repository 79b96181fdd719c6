"""Seeds of chaos, the same bytes from the same seed, and mutants that the checkers must catch."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from daemon.calls.causes import Outcome
from daemon.calls.facts import AttemptEnded
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.live import Call
from daemon.pool.lines import LinePool
from fake_asterisk import people
from simulation.chaos import run_seed, too_little
from simulation.checkers import after_settling
from simulation.loop import VirtualLoop, run
from simulation.seeds import Seed, kept_seeds, one
from simulation.shapes import PACED, SHAPES
from simulation.world import World, pbx

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.feature("RELY-01", clause="at most one originate an attempt and one live attempt a person, over faults")
@pytest.mark.feature("RELY-02", clause="no attempt is open once faults have ended")
@pytest.mark.feature("STAT-04", clause="every attempt ends with exactly one system outcome, whatever goes wrong")
@pytest.mark.feature("RELY-03", clause="leases and reservations equal live calls after faults")
@pytest.mark.feature("RELY-04", clause="dialling resumes by itself after cuts, half-open links, restarts")
@pytest.mark.feature("RELY-05", clause="facts survive the daemon's and the database's death")
@pytest.mark.feature("RELY-06", clause="calls are adopted by id after a restart")
@pytest.mark.feature("RELY-08", clause="no customer is ever moved by a stale command")
@pytest.mark.parametrize(
    "seed", [Seed(11), Seed(17), Seed(21), *kept_seeds()], ids=lambda seed: f"{seed.number}-{seed.shape}"
)
def test_seed_of_chaos(seed: Seed) -> None:
    verdict = run_seed(seed.number, shape=SHAPES[seed.shape])
    assert [str(violation) for violation in verdict.violations] == [], "\n".join(verdict.timeline)
    assert too_little(verdict) == []
    assert verdict.attempts >= 100
    assert sum(verdict.faults.values()) >= 3


def test_a_seed_that_holds_too_little_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign for which nobody answers in time for enough calls: the run fails, though no rule is broken."""
    starved = replace(PACED, name="starved", attempts_a_minute=0.0, longest_minutes=10.0)
    monkeypatch.setitem(SHAPES, starved.name, starved)
    found = one(Seed(11, starved.name))["violations"]
    assert [text.startswith("scenario: ") and text.endswith("attempts, of at least 100") for text in found] == [True]


_DIGEST = """
import asyncio, hashlib, logging, sys
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import run
from simulation.world import World, pbx

async def main(loop):
    digest = hashlib.sha256()
    loop.network.to_server.append(lambda data: digest.update(b">" + data))
    loop.network.to_client.append(lambda data: digest.update(b"<" + data))
    world = World(loop, seed=9, pbx_config=pbx(5, people.People(answer_chance=0.5, talk_mean_s=15.0)))
    campaign = await world.furnish(agents=5, leads=60, lines=(8,), nailed=3)
    await world.start()
    await world.staff(campaign)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await asyncio.sleep(240.0)
    for files in world.journals.values():
        for name in sorted(files.names()):
            digest.update(files.read(name))
    rows = sorted((str(id), row.outcome, row.talk_s) for id, row in world.store.tables.attempts.items())
    digest.update(repr(rows).encode())
    await world.stop()
    return digest.hexdigest(), len(rows)

print(*run(main, seed=9))
"""


def test_same_seed_same_bytes_under_two_hash_seeds() -> None:
    """AMI bytes both ways, the journal and the outcomes depend on the seed alone, not on set or dict order by hash."""
    answers = []
    for hash_seed in ("1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", _DIGEST],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        answers.append(done.stdout.split())
    assert answers[0] == answers[1]
    assert int(answers[0][1]) >= 20
    assert len(answers[0][0]) == hashlib.sha256().digest_size * 2


# ---- mutants: each is a bug somebody could write; the checkers must see it -------------------------------------------


def _originate_before_commit(patch: pytest.MonkeyPatch) -> None:
    """Dialled without waiting for the intent, whose commit then fails."""
    original = CallFlow.open

    def open_(self: CallFlow, **fields: Any) -> Call:
        call = original(self, **fields)
        self._live.out.intents.clear()
        self.dial(call)
        return call

    patch.setattr(CallFlow, "open", open_)


def _lease_freed_twice(patch: pytest.MonkeyPatch) -> None:
    """Giving back a line's lease counts down twice, so lines are over-used."""
    original = LinePool.give_back

    def give_back(self: LinePool, line_id: int, lease: object) -> None:
        original(self, line_id, lease)
        line = self.lines.get(line_id)
        if line is not None:
            line.in_use = max(0, line.in_use - 1)

    patch.setattr(LinePool, "give_back", give_back)


def _lease_kept(patch: pytest.MonkeyPatch) -> None:
    """A lease is never given back."""
    patch.setattr(LinePool, "give_back", lambda self, line_id, lease: None)


def _outcome_lost(patch: pytest.MonkeyPatch) -> None:
    """Busy ends are not written."""
    original = CallFlow.end

    def end(self: CallFlow, call: Call, cause: int = 0, tech_cause: int | None = None) -> None:
        original(self, call, cause, tech_cause)
        facts = self._live.out.facts
        facts[:] = [f for f in facts if not (isinstance(f, AttemptEnded) and f.outcome is Outcome.BUSY)]

    patch.setattr(CallFlow, "end", end)


def _talk_called_no_answer(patch: pytest.MonkeyPatch) -> None:
    """A conversation is booked as no answer."""
    patch.setattr(CallFlow, "_outcome", lambda self, call, hung, channel: Outcome.NO_ANSWER)


MUTANTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    _originate_before_commit,
    _lease_freed_twice,
    _lease_kept,
    _outcome_lost,
    _talk_called_no_answer,
]


async def _short_campaign(loop: VirtualLoop) -> list[str]:
    """A crowded campaign of a few minutes: more agents than lines, so that leases matter."""
    crowd = people.People(answer_chance=0.5, talk_mean_s=15.0, ring_mean_s=3.0, machine_share=0.0)
    world = World(loop, seed=8, pbx_config=pbx(8, crowd))
    campaign = await world.furnish(agents=8, leads=120, lines=(3, 2), nailed=8, ring_timeout_s=15.0)
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await asyncio.sleep(240.0)
    await world.submit(c.StopCampaign(campaign_id=campaign.id))
    await asyncio.sleep(200.0)
    assert world.store is not None
    in_use = {line.record.name: line.in_use for line in world.live.pool.lines.values()}
    found = [str(v) for v in after_settling(world.fake.ledger, world.store.tables, 5, in_use)]
    await world.stop()
    return found


def test_no_mutant_no_violation() -> None:
    assert run(_short_campaign, seed=8) == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__.strip("_"))
def test_mutant_is_caught(mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    assert run(_short_campaign, seed=8) != []


def test_every_attempt_id_is_a_uuid7() -> None:
    """Ids sort by time and are ours: version 7, never a second one of the same value."""
    seen: set[UUID] = set()

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=2, pbx_config=pbx(2))
        campaign = await world.furnish(agents=2, leads=10)
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(120.0)
        assert world.store is not None
        seen.update(world.store.tables.attempts)
        assert len(seen) >= 3
        assert all(id.version == 7 for id in seen)
        await world.stop()

    run(main, seed=2)
