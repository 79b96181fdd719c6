"""Recordings whose way is blocked: a folder that is away, a database that goes in between, another daemon's site."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.facts import RecordingEnded, RecordingStarted
from daemon.errors import CommandError, StoreUnavailable
from daemon.tapes import MISSING_AFTER, PUT_OFF_S, load_or_make_links_key
from tests.api.fakes import World
from tests.voice.test_recordings import ATTEMPT, Desk

LONG_S = MISSING_AFTER.total_seconds() + 60.0


@pytest.mark.feature("RECD-01", clause="a folder that is away: an alert, and all is taken in once it is back")
async def test_a_folder_that_is_away(world: World, tmp_path: Path) -> None:
    desk = Desk(world, tmp_path)
    await desk.call()
    desk.record()
    away = desk.pbx.rename(tmp_path / "unmounted")
    for _ in range(3):
        world.clock.advance(LONG_S)
        assert await desk.tapes.take_in() == 0
    assert (desk.alerts, desk.on) == (["recordings.disk_full"], [True]), "told once"
    assert (await desk.row())["state"] == "waiting"
    away.rename(desk.pbx)
    assert await desk.tapes.take_in() == 1
    assert (await desk.row())["state"] == "kept" and desk.on == [True, False]


@pytest.mark.feature(
    "RECD-01", clause="a folder that was empty for a while (not mounted): what was in it is found again"
)
async def test_a_folder_that_was_empty_for_a_while(world: World, tmp_path: Path) -> None:
    desk = Desk(world, tmp_path)
    await desk.call()
    hidden = desk.record().rename(tmp_path / "hidden.wav")
    world.clock.advance(LONG_S)
    await desk.tapes.take_in()
    assert (await desk.row())["state"] == "missing"
    hidden.rename(desk.pbx / f"{ATTEMPT.hex}-1.wav")
    world.clock.advance(3600.0)
    await desk.tapes.purge()
    row = await desk.row()
    assert row["state"] == "kept" and Path(row["path"]).is_file()  # noqa: ASYNC240


@pytest.mark.feature(
    "RECD-01", clause="the database, or the daemon, gone between the file and its row: nothing is lost"
)
async def test_the_database_goes_between_the_file_and_its_row(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(world, tmp_path)
    await desk.call()
    sound = desk.record().read_bytes()
    really = world.store.set_recording

    async def away(*_: Any) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(world.store, "set_recording", away)
    with pytest.raises(StoreUnavailable):
        await desk.tapes.take_in()
    assert not list(desk.pbx.iterdir()) and (await desk.row())["state"] == "waiting"
    monkeypatch.setattr(world.store, "set_recording", really)
    world.clock.advance(LONG_S)
    assert await desk.tapes.take_in() == 1
    row = await desk.row()
    assert (row["state"], row["bytes"]) == ("kept", len(sound))
    assert Path(row["path"]).read_bytes() == sound  # noqa: ASYNC240


async def second_recording(desk: Desk) -> Path:
    """The same call has another, whose file is fine."""
    world, group = desk.world, desk.world.rows["group"].id
    at, file = world.clock.utcnow(), f"{ATTEMPT.hex}-2.wav"
    lease = await world.store.acquire_lease("main", "test", 60.0)
    assert lease is not None
    begun = RecordingStarted(at=at, site="main", attempt_id=ATTEMPT, group_id=group, number=2, file=file, by="agent")
    over = RecordingEnded(at=at, site="main", attempt_id=ATTEMPT, number=2, duration_s=3.0)
    await desk.tell(lease.fence + 1, begun, over)
    first = desk.record()
    path = desk.pbx / file
    path.write_bytes(first.read_bytes())
    os.utime(path, (first.stat().st_mtime,) * 2)
    world.clock.advance(20.0)
    return path


async def states(desk: Desk) -> list[str]:
    rows = (await desk.world.store.search_recordings(None, {}, 10, None)).rows
    return [row["state"] for row in sorted(rows, key=lambda row: row["number"])]


async def test_one_that_cannot_be_read_does_not_hold_up_those_behind_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.tapes.BATCH", 1)
    desk = Desk(world, tmp_path)
    await desk.call()
    await second_recording(desk)
    really = desk.tapes._take

    def refused(row: dict[str, Any]) -> Any:
        if row["number"] == 1:
            raise PermissionError(13, "Permission denied")
        return really(row)

    monkeypatch.setattr(desk.tapes, "_take", refused)
    assert await desk.tapes.take_in() == 0
    assert await desk.tapes.take_in() == 1
    assert await states(desk) == ["waiting", "kept"] and desk.on == [True]
    monkeypatch.setattr(desk.tapes, "_take", really)
    world.clock.advance(PUT_OFF_S + 1.0)
    assert await desk.tapes.take_in() == 1
    assert await states(desk) == ["kept", "kept"]
    assert await desk.tapes.take_in() == 0 and desk.on == [True, False]


@pytest.mark.feature("RELY-07", clause="a standby leaves the recordings to the daemon that leads")
async def test_a_standby_takes_nothing_in(world: World, tmp_path: Path) -> None:
    led: list[str] = []

    def leads() -> Collection[str]:
        return led

    desk = Desk(world, tmp_path)
    desk.tapes._leads = leads
    await desk.call()
    left = desk.record()
    world.clock.advance(LONG_S)
    assert await desk.tapes.take_in() == 0
    assert left.exists() and (await desk.row())["state"] == "waiting"
    led.append("main")
    assert await desk.tapes.take_in() == 1


@pytest.mark.feature("RECD-04", clause="what another daemon's rows call purged is deleted where it is kept, too")
async def test_what_this_machine_keeps_ends_whatever_its_row_says(world: World, tmp_path: Path) -> None:
    desk = Desk(world, tmp_path, keep_days=30)
    await desk.call()
    desk.record()
    await desk.tapes.take_in()
    kept = Path((await desk.row())["path"])
    await world.store.set_recording((await desk.row())["id"], {"state": "purged", "path": ""})
    world.clock.advance(30 * 86_400.0)
    await desk.tapes.purge()
    assert kept.exists()  # noqa: ASYNC240
    world.clock.advance(3 * 86_400.0)
    await desk.tapes.purge()
    assert not kept.exists() and not kept.parent.exists()  # noqa: ASYNC240


@pytest.mark.feature("RECD-01", clause="a signed link opens the recording it was made for, and no other")
async def test_a_link_opens_no_other_recording(world: World, tmp_path: Path) -> None:
    tapes = Desk(world, tmp_path).tapes
    path, _ = tapes.link(1)
    query = dict(word.split("=") for word in path.partition("?")[2].split("&"))
    tapes.check(1, int(query["expires"]), query["signature"])
    with pytest.raises(CommandError, match="link_invalid"):
        tapes.check(2, int(query["expires"]), query["signature"])
    with pytest.raises(CommandError, match="link_invalid"):
        tapes.check(1, int(query["expires"]) + 1, query["signature"])


def test_a_key_that_was_never_written_is_no_key(tmp_path: Path) -> None:
    """A crash between making the file and filling it: with an empty key anybody could sign links."""
    (tmp_path / "recording-links-key").touch()
    key = load_or_make_links_key(tmp_path, lambda count: bytes(range(count)))
    assert key == bytes(range(32)) == load_or_make_links_key(tmp_path, lambda count: b"x" * count)
    assert os.stat(tmp_path / "recording-links-key").st_mode & 0o777 == 0o600
