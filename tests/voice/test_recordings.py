"""Recordings' files: taken in, closed to others, opened by links and ranges, muted spans kept, purged, disk full."""

from __future__ import annotations

import asyncio
import math
import os
import random
import shutil
import wave
from array import array
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from daemon.api.app import build_app
from daemon.calls.causes import Outcome
from daemon.calls.facts import AnyFact, AttemptEnded, NumberedFact, RecordingEnded, RecordingStarted
from daemon.calls.lead_records import Intent
from daemon.settings import HttpTable, RecordingsTable
from daemon.tapes import Tapes, load_or_make_links_key
from tests.api.fakes import World

Client = TestClient[Any, Any]
ATTEMPT = UUID("01999999-0000-7000-8000-0000000000aa")


class Desk:
    """A world with one call that was recorded: its files, the service, the API."""

    def __init__(self, world: World, tmp_path: Path, **settings: Any) -> None:
        self.world, self.home, self.pbx = world, tmp_path / "home", tmp_path / "pbx"
        self.pbx.mkdir()
        self.alerts: list[str] = []
        self.on: list[bool] = []
        self.tapes = Tapes(
            world.store, {"main": str(self.pbx)}, RecordingsTable(**({"mp3": False, "free_bytes_min": 0} | settings)),
            self.home, world.clock, load_or_make_links_key(self.home, random.Random(1).randbytes),
            lambda topic, details: self.alerts.append(topic), self.on.append,
        )  # fmt: skip

    async def call(self) -> None:
        rows, world = self.world.rows, self.world
        lease = await world.store.acquire_lease("main", "test", 60.0)
        assert lease is not None
        at = world.clock.utcnow()
        intent = Intent(
            attempt_id=ATTEMPT, site="main", kind="campaign", group_id=rows["group"].id,
            campaign_id=rows["campaign"].id, client_id=rows["client"].id, lead_id=0, e164="+33199001234",
            line_id=rows["line"].id, caller_id="", agent_id=rows["agent"].id, rule_set="", attempts_max=0,
            attempts_days=0, at=at,
        )  # fmt: skip
        assert await world.store.commit_intents([intent], lease)
        await self.tell(lease.fence, *self.facts(at))
        world.clock.advance(20.0)

    def facts(self, at: datetime) -> list[AnyFact]:
        group, campaign = self.world.rows["group"].id, self.world.rows["campaign"].id
        file = f"{ATTEMPT.hex}-1.wav"
        return [
            RecordingStarted(
                at=at, site="main", attempt_id=ATTEMPT, group_id=group, number=1, file=file, by="campaign"
            ),
            RecordingEnded(at=at, site="main", attempt_id=ATTEMPT, number=1, duration_s=12.0, muted=[(3.0, 5.5)]),
            AttemptEnded(at=at, site="main", attempt_id=ATTEMPT, campaign_id=campaign, outcome=Outcome.CONNECTED),
        ]

    async def tell(self, fence: int, *facts: AnyFact) -> None:
        numbered = [NumberedFact(site="main", fence=fence, n=n, fact=fact) for n, fact in enumerate(facts, 1)]
        await self.world.store.apply_facts(numbered)

    def record(self, seconds: float = 1.0) -> Path:
        """The file as the PBX leaves it: readable by all, some seconds old."""
        path = self.pbx / f"{ATTEMPT.hex}-1.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(range(250)) * int(64 * seconds))
        path.chmod(0o644)
        old = self.world.clock.utcnow().timestamp() - 60
        os.utime(path, (old, old))
        return path

    async def row(self) -> dict[str, Any]:
        (row,) = (await self.world.store.search_recordings(None, {}, 10, None)).rows
        return dict(row)


Serve = Callable[[Desk], Awaitable[Client]]


@pytest.fixture
async def open_door(world: World) -> Any:
    opened: list[Client] = []

    async def start(desk: Desk) -> Client:
        app = build_app(
            world.door, world.store, HttpTable(bad_requests_per_minute=100_000), world.clock, random.Random(3),
            site_ids=("main",), tapes=desk.tapes,
        )  # fmt: skip
        client = TestClient(TestServer(app))
        await client.start_server()
        opened.append(client)
        return client

    yield start
    for client in opened:
        await client.close()


@pytest.mark.feature("RECD-01", clause="indexed, searched, downloaded by range through a signed link; access audited")
async def test_found_opened_and_played_by_range(world: World, tmp_path: Path, open_door: Serve) -> None:
    desk = Desk(world, tmp_path)
    await desk.call()
    sound = desk.record().read_bytes()
    assert await desk.tapes.take_in() == 1
    client, headers = await open_door(desk), world.auth("supervisor")
    async with client.get("/api/v1/recordings?number=0199001234", headers=headers) as response:
        (row,) = (await response.json())["rows"]
    assert (row["state"], row["bytes"], row["muted"], row["call_number"]) == ("kept", len(sound), [[3.0, 5.5]], 1)
    assert "path" not in row
    async with client.get("/api/v1/recordings?number=0199009999", headers=headers) as response:
        assert (await response.json())["rows"] == []
    async with client.post(f"/api/v1/recordings/{row['id']}/link", headers=world.auth("agent")) as response:
        assert response.status == 403
    async with client.post(f"/api/v1/recordings/{row['id']}/link", headers=headers) as response:
        link = (await response.json())["url"]
    async with client.get(link) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "audio/wav")
        assert await response.read() == sound
    async with client.get(link, headers={"Range": "bytes=100-199"}) as response:
        assert response.status == 206 and await response.read() == sound[100:200]
    for other in (link[:-1] + ("0" if link[-1] != "0" else "1"), link[:-1] + "é"):
        async with client.get(other) as response:
            assert (response.status, (await response.json())["code"]) == (403, "link_invalid")
    world.clock.advance(301.0)
    async with client.get(link) as response:
        assert (response.status, (await response.json())["code"]) == (410, "link_expired")
    said = [row["what"] for row in world.store.tables.audit if row["what"].startswith("recording.")]
    assert said == ["recording.link", "recording.played"]


@pytest.mark.feature("RECD-01", clause="files 0600, out of the PBX's folder")
async def test_files_are_the_daemon_s_alone(world: World, tmp_path: Path) -> None:
    desk = Desk(world, tmp_path)
    await desk.call()
    left = desk.record()
    await desk.tapes.take_in()
    kept = (await desk.row())["path"]
    for path in (kept, desk.home / "recording-links-key"):
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert list(desk.pbx.iterdir()) == [], left
    assert [str(x) for x in desk.home.rglob("*.new")] == []


@pytest.mark.feature("RECD-01", clause="MP3 by an encoder of the machine if there is one; WAV if it fails")
async def test_encoded_where_an_encoder_is(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    lame = tools / "lame"
    lame.write_text('#!/bin/sh\nshift 5\ndd if="$1" of="$2" bs=100 count=10 2>/dev/null\n')
    lame.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    desk = Desk(world, tmp_path, mp3=True)
    await desk.call()
    desk.record()
    await desk.tapes.take_in()
    row = await desk.row()
    assert row["path"].endswith(".mp3") and row["bytes"] == 1000
    lame.write_text("#!/bin/sh\nexit 3\n")
    await desk.world.store.set_recording(row["id"], {"state": "waiting"})
    desk.record()
    await desk.tapes.take_in()
    assert (await desk.row())["path"].endswith(".wav")


def noise(path: Path, seconds: int) -> None:
    """The PBX's file again, louder: tones that come and go over noise, so that an encoder can't save on silence."""
    rng, old = random.Random(11), path.stat().st_mtime
    samples = array("h")
    for n in range(8000 * seconds):
        tone = math.sin(n * (0.05 + 0.04 * (n // 4000 % 5))) * (6000 if n // 2000 % 3 else 500)
        samples.append(round(tone + rng.gauss(0.0, 400.0)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    os.utime(path, (old, old))


@pytest.mark.feature("RECD-01", clause="MP3 by a real encoder: about 120 kB a minute")
@pytest.mark.parametrize("encoder", [name for name in ("lame", "ffmpeg") if shutil.which(name)] or ["none"])
async def test_about_120_kb_a_minute(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    there = shutil.which(encoder)
    if there is None:
        pytest.skip("neither lame nor ffmpeg is installed: nothing here can encode MP3")
    tools = tmp_path / "bin"  # so that one encoder alone is found
    tools.mkdir()
    (tools / Path(there).name).symlink_to(there)
    monkeypatch.setenv("PATH", str(tools))
    desk = Desk(world, tmp_path, mp3=True)
    await desk.call()
    noise(desk.record(), seconds=30)
    assert await desk.tapes.take_in() == 1
    row = await desk.row()
    made = Path(row["path"])
    sound = made.read_bytes()  # noqa: ASYNC240
    print(f"{made.name} by {Path(there).name}: {len(sound) / 500:.1f} kB a minute")
    assert made.suffix == ".mp3" and row["bytes"] == len(sound)
    assert 110_000 < len(sound) * 2 < 135_000, "thirty seconds are half of it"
    assert sound[:3] == b"ID3" or (sound[0], sound[1] & 0xE0) == (0xFF, 0xE0), "no MP3"
    assert made.stat().st_mode & 0o777 == 0o600  # noqa: ASYNC240


@pytest.mark.feature("RECD-04", clause="deleted after its days; the row says so, and the link is gone")
async def test_purged_after_its_days(world: World, tmp_path: Path, open_door: Serve) -> None:
    desk = Desk(world, tmp_path, keep_days=30)
    await desk.call()
    desk.record()
    await desk.tapes.take_in()
    kept = (await desk.row())["path"]
    world.clock.advance(timedelta(days=29).total_seconds())
    assert await desk.tapes.purge() == 0 and os.path.exists(kept)  # noqa: ASYNC240
    world.clock.advance(timedelta(days=1, hours=1).total_seconds())
    assert await desk.tapes.purge() == 1
    row = await desk.row()
    assert not os.path.exists(kept)  # noqa: ASYNC240
    assert (row["state"], row["path"]) == ("purged", "") and row["purged_at"] is not None
    client = await open_door(desk)
    async with client.post(f"/api/v1/recordings/{row['id']}/link", headers=world.auth("supervisor")) as response:
        assert (response.status, (await response.json())["code"]) == (410, "recording_gone")


@pytest.mark.feature("RECD-01", clause="disk full: an alert, the file stays on the PBX, and is taken in later")
async def test_disk_full(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(world, tmp_path)
    await desk.call()
    left = desk.record()
    full = Tapes.__dict__["_take"]

    def no_room(self: Tapes, row: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tapes, "_take", no_room)
    for _ in range(2):
        assert await desk.tapes.take_in() == 0
    assert (desk.alerts, desk.on) == (["recordings.disk_full"], [True]), "told once"
    assert left.exists() and (await desk.row())["state"] == "waiting"
    monkeypatch.setattr(Tapes, "_take", full)
    desk.tapes._settings = RecordingsTable(mp3=False, free_bytes_min=0)
    assert await desk.tapes.take_in() == 1
    assert desk.on == [True, False]


@pytest.mark.feature("RECD-04", clause="by the daemon's own job; a file that can't be deleted ends nothing")
async def test_a_file_that_cannot_be_deleted(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk ended the job, and the daemon with it, again after each restart."""
    desk = Desk(world, tmp_path, keep_days=30)
    await desk.call()
    desk.record()
    await desk.tapes.take_in()
    kept = Path((await desk.row())["path"])
    world.clock.advance(timedelta(days=31).total_seconds())
    monkeypatch.setattr("daemon.tapes.LOOK_S", 0.01)
    really = Path.unlink

    def read_only(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    with capture_logs() as logs:
        job = asyncio.create_task(desk.tapes.run())
        async with asyncio.timeout(30):
            while not logs:  # noqa: ASYNC110 - a log line raises no event
                await asyncio.sleep(0.01)
        assert {line["event"] for line in logs} == {"recordings.not_deleted"} and not job.done()
        assert (await desk.row())["state"] == "kept" and kept.exists()  # noqa: ASYNC240
        monkeypatch.setattr(Path, "unlink", really)
        world.clock.advance(3600.0)
        async with asyncio.timeout(30):
            while (await desk.row())["state"] != "purged":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert not kept.exists() and not job.done()  # noqa: ASYNC240
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)


@pytest.mark.parametrize("taken_in", [True, False])
async def test_a_recording_of_whom_was_erased_is_kept_nowhere(world: World, tmp_path: Path, taken_in: bool) -> None:
    """One still waiting on the PBX was taken in, and kept for its days, after its person was forgotten; one whose
    deletion a killed daemon never came to stayed for good."""
    desk = Desk(world, tmp_path)
    await desk.call()
    left = desk.record()
    if taken_in:
        await desk.tapes.take_in()
    done = await world.store.erase_person(world.rows["group"].id, "+33199001234")
    assert len(done["files"]) == taken_in and len([*desk.home.rglob("*.wav"), *desk.pbx.iterdir()]) == 1
    assert await desk.tapes.take_in() == 0
    row = await desk.row()
    assert (row["state"], row["path"]) == ("purged", "") and row["purged_at"] is not None
    assert not left.exists() and not [*desk.home.rglob("*.wav")]


async def test_who_is_erased_as_the_file_is_taken_in(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(world, tmp_path)
    await desk.call()
    desk.record()
    set_recording = world.store.set_recording

    async def meanwhile(id: int, changes: Any) -> None:
        monkeypatch.setattr(world.store, "set_recording", set_recording)
        await world.store.erase_person(world.rows["group"].id, "+33199001234")
        await set_recording(id, changes)

    monkeypatch.setattr(world.store, "set_recording", meanwhile)
    await desk.tapes.take_in()
    assert (await desk.row())["state"] == "purged" and not [*desk.home.rglob("*.wav"), *desk.pbx.iterdir()]


def test_a_key_cut_short_signs_nothing(tmp_path: Path) -> None:
    """A full disk at the first start left an empty file: what signs with nothing, anybody can sign."""
    key = load_or_make_links_key(tmp_path, lambda n: b"a" * n)
    assert load_or_make_links_key(tmp_path, lambda n: b"b" * n) == key
    (tmp_path / "recording-links-key").write_bytes(b"")
    assert load_or_make_links_key(tmp_path, lambda n: b"b" * n) == b"b" * 32
    assert [path.name for path in tmp_path.iterdir()] == ["recording-links-key"]


async def test_a_recording_is_on_the_disk_before_the_pbx_s_own_goes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told in the order it is done: content, name, and only then the deletion."""
    desk = Desk(world, tmp_path)
    await desk.call()
    left = desk.record()
    done: list[str] = []
    fsync, unlink = os.fsync, Path.unlink

    def synced(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        if self == left:
            done.append("deleted")
        unlink(self, missing_ok)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    assert await desk.tapes.take_in() == 1
    assert done == ["file", "folder", "deleted"]
