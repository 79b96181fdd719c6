"""The recording's link that a CRM is given with a call: it plays, and is gone when its time is over."""

from __future__ import annotations

import os
import random
import wave
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from daemon.api.app import build_app
from daemon.calls.causes import Outcome
from daemon.calls.facts import AttemptPlaced, RecordingEnded, RecordingStarted
from daemon.settings import HttpTable, RecordingsTable
from daemon.tapes import Tapes
from tests.api.fakes import FakeDoor
from tests.crm.office import Office, make_office
from tests.store.world import SITE

DAY = 86_400.0
NUMBER = "+33612345678"


async def recorded(office: Office, pbx: Path) -> None:
    """A call that was recorded, its file left by the PBX, and told to the CRM once it is over."""
    world, now = office.world, office.clock.utcnow()
    id = await world.place(NUMBER)
    name = f"{id.hex}-1.wav"
    with wave.open(str(pbx / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    os.utime(pbx / name, (now.timestamp() - 60, now.timestamp() - 60))
    begun = RecordingStarted(
        at=now, site=SITE, attempt_id=id, group_id=world.group.id, number=1, file=name, by="campaign"
    )
    over = RecordingEnded(at=now, site=SITE, attempt_id=id, number=1, duration_s=0.5, muted=[])
    placed = AttemptPlaced(at=now, attempt_id=id, campaign_id=world.campaign.id)
    await world.apply(placed, begun, over, world.ended(id, Outcome.CONNECTED, talk_s=5.0))


@pytest.mark.feature("YPS-13", clause="RecordPath plays for whoever has it; expired it answers 410, altered 403")
async def test_a_crm_plays_the_recording_until_the_link_expires(tmp_path: Path) -> None:
    pbx = tmp_path / "pbx"
    pbx.mkdir()
    async with make_office() as office:
        store = office.world.store
        tapes = Tapes(
            store, {SITE: str(pbx)}, RecordingsTable(mp3=False, free_bytes_min=0, keep_days=365), tmp_path,  # type: ignore[arg-type]
            office.clock, b"k" * 32, lambda topic, details: None,
        )  # fmt: skip
        app = build_app(
            FakeDoor(office.clock), store, HttpTable(bad_requests_per_minute=1000), office.clock,  # type: ignore[arg-type]
            random.Random(3), tapes=tapes,
        )  # fmt: skip
        async with TestClient(TestServer(app)) as client:
            base = str(client.make_url("")).rstrip("/")
            office.service.writer.recording_url = lambda id, group: tapes.public_link(base, id, group, 90 * DAY)
            row = await office.integrate("generic-rest", default_user="71", play_recordings=True)
            running = await office.running(row)
            await recorded(office, pbx)
            office.clock.forward(20)
            assert await tapes.take_in() == 1
            await office.settle(running)
            url = str(office.crm.calls[0]["raw"]["recording"])
            assert url.startswith(f"{base}/api/v1/recordings/")
            async with client.session.get(url) as answer:
                assert (answer.status, answer.content_type) == (200, "audio/wav")
            async with client.session.get(url[:-1] + ("0" if url[-1] != "0" else "1")) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "link_invalid")
            longer = url.replace("expires=", "expires=9")
            async with client.session.get(longer) as answer:
                assert answer.status == 403, "a later end is another link"
            office.clock.forward(90 * DAY - 60)
            async with client.session.get(url) as answer:
                assert answer.status == 200
            office.clock.forward(61)
            async with client.session.get(url) as answer:
                assert (answer.status, (await answer.json())["code"]) == (410, "link_expired")
