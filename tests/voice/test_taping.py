"""When a conversation is recorded, on simulated time: what the PBX is asked, in which order, and what the rows say."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from daemon.calls import actions as act
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.settings import Settings
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.voice.test_handling import far_end_leaves

TALKS = people.People(answer_chance=1.0, talk_mean_s=9e6, ring_mean_s=1.0, machine_share=0.0)


def with_folder(settings: Settings) -> Settings:
    site = msgspec.structs.replace(
        settings.sites[0], recordings_dir="/srv/tapes", recordings_pbx_dir="/var/spool/tapes"
    )
    return msgspec.structs.replace(settings, sites=[site])


async def at_work(
    loop: VirtualLoop, mode: str, *, folder: bool = True, **campaign: Any
) -> tuple[World, Any, list[Any]]:
    """A world whose one agent talks; the actions sent so far."""
    world = World(loop, seed=4, mode=mode, pbx_config=pbx(2, TALKS))
    world.settings_changes = with_folder if folder else None
    made = await world.furnish(agents=1, leads=1, **campaign)
    await world.start()
    sent: list[Any] = []
    perform = world.runner.pbx.perform

    def note(action: Any) -> None:
        sent.append(action)
        perform(action)

    world.runner.pbx.perform = note
    await world.submit(c.SignIn(agent_id=world.agents[0].id, campaign_ids=(made.id,), ready=True))
    await world.submit(c.StartCampaign(campaign_id=made.id))
    desk = next(iter(world.live.desks.values()))
    await world.until(lambda: desk.state == "on_call", 60.0)
    return world, desk, sent


def tapes(world: World) -> list[dict[str, Any]]:
    assert world.store is not None
    return list(world.store.tables.recordings.values())


@pytest.mark.feature("RECD-03", clause="one file a conversation, named by the call's id, begun before the bridge")
@pytest.mark.feature("RECD-02", clause="muted by the agent: both directions, and the span is logged")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
def test_one_file_a_conversation(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, sent = await at_work(loop, mode, recording=True)
        call = desk.call
        file = f"/var/spool/tapes/{call.attempt_id.hex}-1.wav"
        names = [type(action).__name__ for action in sent]
        if mode == "asyncagi":
            assert names.index("StartRecording") < names.index("Connect")
            assert next(a for a in sent if isinstance(a, act.StartRecording)).file == file
        else:
            assert next(a for a in sent if isinstance(a, act.OriginateCustomer)).record == file
        assert list(world.fake.channels[call.leg].recordings.values()) == [file]
        await asyncio.sleep(5.0)
        await world.submit(c.MuteRecordedCall(agent_id=desk.id, on=True))
        await asyncio.sleep(3.0)
        await world.submit(c.MuteRecordedCall(agent_id=desk.id, on=False))
        await world.submit(c.HoldCall(agent_id=desk.id))
        await asyncio.sleep(2.0)
        await world.submit(c.ResumeCall(agent_id=desk.id))
        await asyncio.sleep(2.0)
        far_end_leaves(world, call.leg)
        await asyncio.sleep(3.0)
        (row,) = tapes(world)
        assert (row["file"], row["state"], row["started_by"]) == (file.rpartition("/")[2], "waiting", "campaign")
        ((start, end),) = row["muted"]
        assert end - start == pytest.approx(3.0, abs=0.2) and row["duration_s"] > 11.0
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("RECD-01", clause="on demand by the agent; audited")
def test_on_demand() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, _ = await at_work(loop, "asyncagi")
        leg = desk.call.leg
        assert tapes(world) == [] and not world.fake.channels[leg].recordings
        await world.submit(c.RecordCall(agent_id=desk.id, on=True, by="Anne"))
        await asyncio.sleep(2.0)
        await world.submit(c.RecordCall(agent_id=desk.id, on=False, by="Anne"))
        await world.submit(c.RecordCall(agent_id=desk.id, on=True, by="Anne"))
        await asyncio.sleep(1.0)
        assert [(row["number"], row["state"]) for row in tapes(world)] == [(1, "waiting"), (2, "recording")]
        assert world.store is not None
        said = [row["what"] for row in world.store.tables.audit if row["what"].startswith("recording")]
        assert said == ["recording.start", "recording.stop", "recording.start"]
        await world.stop()

    run(main, seed=4)


@pytest.mark.parametrize(("mode", "folder"), [("asyncagi", False), ("basic", True)])
def test_where_nothing_is_recorded_it_is_said(mode: str, folder: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        nailed = {"nailed": 0} if mode == "basic" else {}
        world, desk, sent = await at_work(loop, mode, folder=folder, recording=True, **nailed)
        assert desk.state == "on_call", "the call goes on all the same"
        with pytest.raises(CommandError) as caught:
            await world.submit(c.RecordCall(agent_id=desk.id, on=True))
        assert caught.value.code == "recording_off" and tapes(world) == []
        assert not any(isinstance(action, act.StartRecording) for action in sent)
        await world.stop()

    run(main, seed=4)
