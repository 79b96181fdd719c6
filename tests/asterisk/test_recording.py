"""What a real Asterisk's recording holds: each party's tone, found by its energy; silence where it was muted."""

from __future__ import annotations

import asyncio
import math
import time
import wave
from pathlib import Path
from typing import Any

import pytest

from daemon.calls import events as ev
from daemon.calls.actions import Connect, MuteRecording, Park, StartRecording
from tests.ami.ground import Ground, Site, clean, site  # noqa: F401 - fixtures
from tests.asterisk import campaign as lab_campaign
from tests.asterisk.bed import SECRET, wait_until
from tests.asterisk.cadran import Cadran
from tests.asterisk.conftest import Lab
from tests.asterisk.sounds import HIGH_HZ, LOW_HZ

WINDOW_S = 0.1
TALK_S, MUTED_S, HELD_S = 10.0, 4.0, 10.0
LATE_S = 2.0
"""What is asked for begins, and ends, so much later at most on a busy machine."""


@pytest.fixture(params=["asyncagi", "dialplan"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ground(lab: Lab) -> Ground:
    return Ground(
        tcp_port=lab.bed.ports.ami, secret=SECRET, users={name: f"cadran-{name}" for name in ("asyncagi", "dialplan")},
        trunk="line-a", numbers={"low": "061200001801"}, phones={"high": "1006"}, route="route",
    )  # fmt: skip


def energy(samples: list[int], frequency_hz: float) -> float:
    """Amplitude of one frequency in the samples (Goertzel)."""
    turn = 2 * math.cos(2 * math.pi * frequency_hz / 8000)
    one = two = 0.0
    for sample in samples:
        one, two = sample + turn * one - two, one
    return 2 * math.sqrt(max(0.0, one * one + two * two - turn * one * two)) / len(samples)


def heard(path: Path) -> list[tuple[bool, bool]]:
    """For each tenth of a second: whether the customer's tone, the agent's tone is in it."""
    with wave.open(str(path), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        raw = file.readframes(file.getnframes())
    samples = [int.from_bytes(raw[n : n + 2], "little", signed=True) for n in range(0, len(raw) - 1, 2)]
    size = int(8000 * WINDOW_S)
    windows = [samples[n : n + size] for n in range(0, len(samples) - size, size)]
    return [(energy(w, LOW_HZ) > 1500, energy(w, HIGH_HZ) > 1500) for w in windows]


def spoken(found: list[tuple[bool, bool]]) -> list[int]:
    """Where anybody is heard; each party in most of it. (On a busy machine the far ends' sound comes in gusts.)"""
    where = [n for n, tones in enumerate(found) if any(tones)]
    for party in (0, 1):
        assert sum(found[n][party] for n in where) >= 0.6 * len(where), found
    return where


def closed(path: Path) -> bool:
    """Whether Asterisk has finished this file: its head tells the length only then, and may not be there before."""
    if not path.exists() or path.stat().st_size <= 44:
        return False
    try:
        with wave.open(str(path), "rb") as file:
            return 44 + 2 * file.getnframes() == path.stat().st_size
    except (wave.Error, EOFError):
        return False


@pytest.mark.feature("RECD-01", clause="a real Asterisk's recording holds both parties, from the first second on")
@pytest.mark.feature("RECD-02", clause="the muted span is silent for both sides, and only that")
async def test_both_are_heard_and_the_muted_span_is_not(site: Site, mode: str, ground: Ground, lab: Lab) -> None:  # noqa: F811
    file = f"/tmp/cadran-tones-{mode}.wav"
    path = lab.bed.root.outside(file)
    path.unlink(missing_ok=True)
    agent = await site.parked_agent(ground.phones["high"])
    customer = await site.parked_customer(ground.numbers["low"], record=file)
    if mode == "asyncagi":
        site.driver.perform(StartRecording(leg=customer, file=file))
    await site.seen(ev.RecordingStarted, leg=customer)
    site.driver.perform(Connect(leg=agent, customer=customer))
    await site.seen(ev.LegBridged, leg=agent)
    began = time.monotonic()
    await asyncio.sleep(TALK_S - MUTED_S)
    muted = time.monotonic()
    site.driver.perform(MuteRecording(leg=customer, on=True))
    await asyncio.sleep(MUTED_S)
    silent_s = time.monotonic() - muted
    site.driver.perform(MuteRecording(leg=customer, on=False))
    await asyncio.sleep(LATE_S + 1.0)
    talk_s = time.monotonic() - began
    since = len(site.events)
    site.driver.perform(Park(leg=customer))
    await site.seen(ev.LegParked, leg=agent, since=since)
    await asyncio.sleep(HELD_S)  # nothing is added
    await site.end(customer, agent)
    await asyncio.to_thread(wait_until, f"{path} is closed", lambda: closed(path), 60)
    found = heard(path)
    path.unlink()
    talk = spoken(found)
    silent = [n for n, tones in enumerate(found) if tones == (False, False)]
    assert len(talk) * WINDOW_S == pytest.approx(talk_s - silent_s, abs=LATE_S), found
    assert len(silent) * WINDOW_S == pytest.approx(silent_s, abs=LATE_S), found
    assert min(talk) < min(silent) and max(silent) < max(talk), "talk, muted, talk"
    assert len(found) * WINDOW_S < talk_s + HELD_S / 2, "the wait on hold is not in it"


def keeps_recordings(cadran: Cadran, lab: Lab) -> Path:
    """The site records into a folder that Asterisk and the daemon both see; what is kept stays WAV. The folder."""
    inside = f"{lab.bed.inside}/spool/monitor"
    folder = lab.bed.root.outside(inside)
    text = cadran.settings_file.read_text("utf-8")
    table = f'name = "Test bed"\nrecordings_dir = "{folder}"\nrecordings_pbx_dir = "{inside}"'
    text = text.replace('name = "Test bed"', table).replace("[[sites]]", "[recordings]\nmp3 = false\n\n[[sites]]")
    cadran.settings_file.write_text(text, "utf-8")
    return folder


@pytest.mark.timeout(900)
@pytest.mark.feature("RECD-01", clause="a campaign on a real Asterisk: indexed, opened by its link, both parties in it")
@pytest.mark.feature("RECD-02", clause="muted on the agent's desk, real Asterisk: that span is logged, and silent")
@pytest.mark.feature("RECD-03", clause="two conversations on a real Asterisk: a file each, of that conversation alone")
async def test_what_a_campaign_records(fresh_lab: Lab, mode: str, tmp_path: Path) -> None:
    cadran = Cadran(mode, fresh_lab.bed.ports.ami, ("1006",))
    keeps_recordings(cadran, fresh_lab)
    async with cadran:
        campaign = await lab_campaign.set_up(cadran, extensions=("1006",), on_demand=(), recording=True)
        file = tmp_path / "leads.csv"
        lab_campaign.write_numbers(file, ["0199001801", "0199001802"])
        await cadran.command("import", str(file), "--list", str(campaign.list_id))
        await lab_campaign.begin(cadran, campaign)
        talked_s = dict([await converse(cadran, campaign.agents[0]) for _ in range(2)])
        await lab_campaign.release(cadran, campaign, fresh_lab)
        rows = {row["attempt_id"]: row for row in await kept(cadran, 2)}
        assert sorted(rows) == sorted(talked_s), "a recording each"
        for id, seconds in talked_s.items():
            ((start, end),) = rows[id]["muted"]
            sound = tmp_path / f"{id}.wav"
            link = (await cadran.post(f"/api/v1/recordings/{rows[id]['id']}/link"))["url"]
            sound.write_bytes(await cadran.download(link))
            found = heard(sound)
            talk = spoken(found)
            silent = [n for n, tones in enumerate(found) if tones == (False, False)]
            assert len(silent) * WINDOW_S == pytest.approx(end - start, abs=LATE_S), found
            assert len(talk) * WINDOW_S == pytest.approx(seconds - (end - start), abs=LATE_S), found
            assert min(talk) < min(silent) and max(silent) < max(talk), "talk, muted, talk"


async def converse(cadran: Cadran, agent: int) -> tuple[str, float]:
    """A conversation of TALK_S, MUTED_S of it muted, ended by the agent: the attempt's id, and how long it was."""
    async with asyncio.timeout(120):
        while True:
            calls = (await cadran.get("/api/v1/snapshot"))["calls"].values()
            talking = [call["id"] for call in calls if call["stage"] == "talking"]
            if talking:
                break
            await asyncio.sleep(0.1)
    began = time.monotonic()
    await asyncio.sleep(LATE_S + 1.0)
    await cadran.post(f"/api/v1/agents/{agent}/record/mute", {"on": True})
    await asyncio.sleep(MUTED_S)
    await cadran.post(f"/api/v1/agents/{agent}/record/mute", {"on": False})
    await asyncio.sleep(TALK_S - MUTED_S - LATE_S - 1.0)
    seconds = time.monotonic() - began
    await cadran.post(f"/api/v1/agents/{agent}/hang-up")
    async with asyncio.timeout(60):
        while talking[0] in (await cadran.get("/api/v1/snapshot"))["calls"]:  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.1)
    return str(talking[0]), seconds


async def kept(cadran: Cadran, count: int) -> list[dict[str, Any]]:
    """The recordings, once they are all taken in."""
    async with asyncio.timeout(150):
        while True:
            rows: list[dict[str, Any]] = (await cadran.get("/api/v1/recordings"))["rows"]
            if len(rows) == count and all(row["state"] == "kept" for row in rows):
                return rows
            await asyncio.sleep(0.5)
