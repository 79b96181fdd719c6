"""The journal and its writer: what was written survives, in order, once; what is full says so; nothing is lost."""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.facts import AnyFact, NumberedFact
from daemon.calls.ids import uuid7
from daemon.errors import SettingsError, StoreConflict, StoreUnavailable
from daemon.store.journal import Journal
from daemon.store.journal_files import Folder, MemoryFiles
from daemon.store.writer import BACKOFF_MAX_S, GATHER_S, FactWriter, backoff_s, keep_synced
from tests.store.world import SITE, START, FixedClock, until

ATTEMPT = uuid7(START, random.Random(1))


def note(text: str) -> f.AuditFact:
    return f.AuditFact(at=START, by="anna", what=text)


def step(kind: str = "ringing") -> f.CallEventFact:
    return f.CallEventFact(at=START, attempt_id=ATTEMPT, campaign_id=1, kind=kind, detail={"x": "y" * 40})


def ended() -> f.AttemptEnded:
    return f.AttemptEnded(at=START, attempt_id=ATTEMPT, campaign_id=1, outcome=Outcome.BUSY)


def names(facts: Sequence[NumberedFact]) -> list[str]:
    return [fact.fact.what for fact in facts if isinstance(fact.fact, f.AuditFact)]


def test_facts_get_the_sites_fence_and_rising_numbers() -> None:
    journal = Journal.open(MemoryFiles(), SITE)
    journal.begin(fence=7, last_n=3)
    taken = journal.append([note("a"), ended()])
    assert [(fact.site, fact.fence, fact.n) for fact in taken] == [(SITE, 7, 4), (SITE, 7, 5)]
    assert list(journal.pending()) == taken


def test_what_was_written_is_there_after_a_crash_in_order_and_equal(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, SITE)
    journal.begin(1)
    facts: list[AnyFact] = [
        ended(),
        step(),
        f.DispositionSet(at=START, attempt_id=ATTEMPT, campaign_id=1, lead_id=2, client_id=3, agent_id=4, code="VENTE"),
        f.LedgerAdded(at=START, campaign_id=1, hour=START, false_positives=0.1),
        f.AgentStateSet(at=START, agent_id=4, state="ready", campaign_ids=(1, 2)),
    ]
    before = journal.append(facts)
    again = Journal.open(tmp_path, SITE)  # the first one is dead: it was never closed
    assert list(again.pending()) == before
    again.begin(2)
    assert [fact.n for fact in again.append([note("b")])] == [1]
    assert [(fact.fence, fact.n) for fact in Journal.open(tmp_path, SITE).pending()] == [
        (1, n) for n in range(1, 6)
    ] + [(2, 1)]


def test_applied_facts_are_trimmed_and_a_clean_end_leaves_no_file(tmp_path: Path) -> None:
    journal = Journal(Folder(tmp_path), SITE, segment_bytes=1024)
    journal.begin(1)
    taken = journal.append([note(f"{i:03d}") for i in range(200)])
    assert len(list(tmp_path.glob("*.seg"))) > 5
    journal.mark_applied(taken[149])
    assert names(journal.pending()) == [f"{i:03d}" for i in range(150, 200)]
    left = [fact.n for fact in Journal.open(_files(tmp_path), SITE).pending()]
    assert left[-1] == 200
    assert len(left) < 80, "segments that hold applied facts alone are gone"
    journal.mark_applied(taken[-1])
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == ["applied.json"], "only how far the store had confirmed"


def _files(path: Path) -> MemoryFiles:
    files = MemoryFiles()
    for entry in path.iterdir():
        files.data[entry.name] = bytearray(entry.read_bytes())
    return files


@given(st.data())
def test_any_cut_keeps_a_prefix(data: st.DataObject) -> None:
    files = MemoryFiles()
    journal = Journal(files, SITE)
    journal.begin(1)
    taken = journal.append([note(str(i)) for i in range(5)])
    [name] = files.names()
    cut = data.draw(st.integers(0, len(files.data[name])))
    del files.data[name][cut:]
    again = Journal(files, SITE)
    left = list(again.pending())
    assert left == taken[: len(left)]
    again.begin(2)
    more = again.append([note("after")])
    assert list(Journal(files, SITE).pending()) == left + more, "what follows a torn tail is readable"


def test_a_damaged_record_costs_what_follows_it_in_its_segment_only() -> None:
    files = MemoryFiles()
    journal = Journal(files, SITE, segment_bytes=1024)
    journal.begin(1)
    for i in range(60):
        journal.append([note(f"{i:03d}")])
    files.data[files.names()[1]][200] ^= 0xFF
    again = Journal(files, SITE)
    left = names(again.pending())
    assert again.corrupt == 1
    assert left == sorted(left)
    assert left[0] == "000"
    assert left[-1] == "059"


def test_what_another_version_wrote_costs_that_record_alone(tmp_path: Path) -> None:
    """As after a return to the release before: a kind of fact it does not know stands among those it does."""
    journal = Journal.open(tmp_path, SITE)
    journal.begin(4)
    journal.append([note("a")])
    [path] = tmp_path.rglob("*.seg")
    body = msgspec.msgpack.encode([4, 2, {"fact": "OfNextYear", "at": START, "colour": "blue"}])
    with path.open("ab") as file:
        file.write(struct.pack(">II", len(body), zlib.crc32(body)) + body)
    journal.begin(4, 2)
    journal.append([note("c")])
    whole = path.read_bytes()
    for _ in range(2):
        again = Journal.open(tmp_path, SITE)
        assert names(again.pending()) == ["a", "c"]
        assert [fact.n for fact in again.pending()] == [1, 3]
        assert (again.unread, again.torn, again.corrupt) == (1, 0, 0)
    again.begin(5)
    again.append([note("d")])
    assert names(Journal.open(tmp_path, SITE).pending()) == ["a", "c", "d"]
    again.mark_applied(again.pending()[-1])
    again.close()
    [kept] = tmp_path.rglob("*.unread")
    assert kept.read_bytes().startswith(whole), "the release that knows it, or a person, can still read it"


class NoRoom(MemoryFiles):
    """A disk on which nothing can be set aside until there is room."""

    full = True

    def replace(self, name: str, data: bytes) -> None:
        if self.full and name.endswith(".unread"):
            raise OSError(28, "no space left")
        super().replace(name, data)


@pytest.mark.parametrize("known", [(), ("a",)])
def test_what_another_version_wrote_is_not_deleted_while_it_cannot_be_set_aside(known: tuple[str, ...]) -> None:
    """The disk is full, as it is when facts pile up: the only copy was deleted, with the facts known or without any."""
    files = NoRoom()
    journal = Journal(files, SITE)
    journal.begin(4)
    journal.append([note(text) for text in ("a", *known)])
    [name] = files.names()
    body = msgspec.msgpack.encode([4, 2, {"fact": "OfNextYear", "at": START, "colour": "blue"}])
    strange = struct.pack(">II", len(body), zlib.crc32(body)) + body
    if not known:
        del files.data[name][8:]  # but for the segment's own mark
    files.data[name] += strange
    for _ in range(2):
        again = Journal(files, SITE)
        assert again.unread == 1
        again.begin(again.fence + 5)
        again.append([note("d")])
        again.mark_applied(again.pending()[-1])
        again.close()
        assert any(strange in bytes(data) for data in files.data.values())
    files.full = False
    again = Journal(files, SITE)
    for fact in again.pending():
        again.mark_applied(fact)
    again.close()
    assert files.names() == [] and sum(strange in kept for kept in files.whole.values()) == 1


def test_zeros_at_the_end_are_cut_off_like_any_torn_record() -> None:
    """A machine's death may leave a file longer than what was written into it."""
    files = MemoryFiles()
    journal = Journal(files, SITE)
    journal.begin(1)
    journal.append([note("a")])
    [name] = files.names()
    files.data[name] += bytes(64)
    again = Journal(files, SITE)
    assert (names(again.pending()), again.torn, again.unread) == (["a"], 64, 0)
    again.begin(2)
    again.append([note("b")])
    assert names(Journal(files, SITE).pending()) == ["a", "b"]


class BadDisk(MemoryFiles):
    """A disk that takes half of what it is given, and then neither gives it back nor takes more, until it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.bad = False

    def append(self, name: str, data: bytes) -> None:
        if self.bad:
            super().append(name, data[: len(data) // 2])
            raise OSError(5, "input/output error")
        super().append(name, data)

    def truncate(self, name: str, size: int) -> None:
        if self.bad:
            raise OSError(5, "input/output error")
        super().truncate(name, size)


def test_a_part_of_a_record_that_cannot_be_cut_off_hides_nothing_behind_it() -> None:
    files = BadDisk()
    journal = Journal(files, SITE)
    journal.begin(1)
    journal.append([note("a")])
    files.bad = True
    for text in ("b", "c"):
        journal.append([note(text)])
    assert journal.full and journal.unwritten_count == 2
    files.bad = False
    journal.append([note("d")])
    assert not journal.full
    again = Journal(files, SITE)
    assert sorted(set(names(again.pending()))) == ["a", "b", "c", "d"]
    journal.mark_applied(journal.pending()[-1])
    journal.append([note("e")])
    journal.mark_applied(journal.pending()[-1])
    journal.close()
    assert files.names() == []


def test_unsynced_bytes_may_be_lost_with_the_machine_but_synced_ones_not() -> None:
    files = MemoryFiles()
    journal = Journal(files, SITE)
    journal.begin(1)
    journal.append([note("a")])
    journal.sync()
    journal.append([note("b")])
    files.lose_unsynced(keep=11)
    assert names(Journal(files, SITE).pending()) == ["a"]


def test_a_full_journal_drops_telemetry_first_then_steps_and_keeps_outcomes() -> None:
    journal = Journal(MemoryFiles(), SITE, bytes_max=20_000)
    journal.begin(1)
    pacing = f.PacingDecided(at=START, campaign_id=1, count=1, limit="risk", figures={"risk": 0.1})
    while not journal.full:
        journal.append([step()])
    assert journal.append([pacing]) == []
    assert len(journal.append([step(), ended()])) == 2
    while len(journal.append([step()])):
        pass
    assert len(journal.append([ended()])) == 1
    assert journal.dropped == 2
    assert journal.size <= 20_000
    journal.mark_applied(journal.pending()[-1])
    journal.append([note("x")] * 40)  # a new segment: the old ones go
    journal.mark_applied(journal.pending()[-1])
    assert not journal.full


def test_the_bound_holds_even_for_outcomes() -> None:
    journal = Journal(MemoryFiles(), SITE, bytes_max=10_000)
    journal.begin(1)
    for _ in range(400):
        journal.append([ended()])
    assert journal.size < 10_000 + 400
    assert journal.dropped > 0


def test_a_full_disk_is_told_and_mended_without_loss_or_disorder() -> None:
    files = MemoryFiles(room=400)
    journal = Journal(files, SITE)
    journal.begin(1)
    journal.append([note(f"{i:03d}") for i in range(2)])
    for i in range(2, 30):
        journal.append([note(f"{i:03d}")])
    assert journal.full
    assert "space" in journal.error
    assert journal.failed_writes > 0
    assert names(journal.pending()) == [f"{i:03d}" for i in range(30)]
    files.room = 1 << 20
    journal.sync()
    assert not journal.full
    assert names(Journal(files, SITE).pending()) == [f"{i:03d}" for i in range(30)]


def test_an_unwritable_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="writable folder"):
        Journal.open(tmp_path / "file", SITE)


class FakeStore:
    """Takes facts unless told not to; `poison` is a fact it can never take."""

    def __init__(self) -> None:
        self.taken: list[NumberedFact] = []
        self.failing = 0
        self.lost_answers = 0
        self.poison = ""
        self.calls = 0

    async def apply_facts(self, facts: Sequence[NumberedFact]) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.failing:
            self.failing -= 1
            raise StoreUnavailable("gone")
        if self.poison and self.poison in names(facts):
            raise StoreConflict("can't be")
        known = {(fact.fence, fact.n) for fact in self.taken}
        self.taken += [fact for fact in facts if (fact.fence, fact.n) not in known]
        if self.lost_answers:
            self.lost_answers -= 1
            raise StoreUnavailable("answer lost")


def make_writer(store: FakeStore, waits: list[float]) -> tuple[Journal, FactWriter, list[bool]]:
    journal = Journal(MemoryFiles(), SITE)
    journal.begin(1)
    changes: list[bool] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    writer = FactWriter(
        journal, store, FixedClock(), random.Random(3), batch_max=4, on_change=changes.append, sleep=sleep
    )
    return journal, writer, changes


async def until_empty(journal: Journal, writer: FactWriter) -> None:
    task = asyncio.create_task(writer.run())
    writer.wake()
    await until(lambda: not journal.pending_count)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_writer_outlives_an_outage_and_applies_each_fact_once_in_order() -> None:
    store, waits = FakeStore(), list[float]()
    journal, writer, changes = make_writer(store, waits)
    store.failing, store.lost_answers = 5, 1
    journal.append([note(f"{i:03d}") for i in range(10)])
    await until_empty(journal, writer)
    assert names(store.taken) == [f"{i:03d}" for i in range(10)]
    assert changes == [False, True]
    assert writer.failures == 6
    waits = [wait for wait in waits if wait > GATHER_S]  # what comes in the same moment is gathered: that is no retry
    assert len(waits) == 6
    assert waits == sorted(waits[:5]) + waits[5:] or max(waits) <= BACKOFF_MAX_S


def test_waits_grow_to_a_bound_and_differ() -> None:
    rng = random.Random(5)
    waits = [backoff_s(attempt, rng) for attempt in range(40)]
    assert waits[0] <= 0.1
    assert max(waits) <= BACKOFF_MAX_S
    assert min(waits[10:]) >= BACKOFF_MAX_S / 2
    assert len(set(waits)) == len(waits)


async def test_a_fact_the_store_can_never_take_is_set_aside_alone() -> None:
    store, waits = FakeStore(), list[float]()
    journal, writer, _ = make_writer(store, waits)
    rejected: list[str] = []
    writer._on_rejected = lambda fact, error: rejected.extend(names([fact]))
    store.poison = "005"
    journal.append([note(f"{i:03d}") for i in range(10)])
    await until_empty(journal, writer)
    assert names(store.taken) == [f"{i:03d}" for i in range(10) if i != 5]
    assert (rejected, writer.rejected) == (["005"], 1)


async def test_the_writer_says_how_far_behind_the_store_is() -> None:
    store = FakeStore()
    journal, writer, _ = make_writer(store, [])
    assert writer.lag_s == 0
    journal.append([note("a")])
    writer._clock.forward(12)  # type: ignore[attr-defined]
    assert writer.lag_s == 12
    await writer.flush()
    assert writer.lag_s == 0
    store.failing = 1
    journal.append([note("b")])
    with pytest.raises(StoreUnavailable):
        await writer.flush()
    assert not writer.store_ok


@pytest.mark.parametrize("in_thread", [True, False])
async def test_the_journal_is_synced_by_itself(tmp_path: Path, in_thread: bool) -> None:
    journal = Journal.open(tmp_path, SITE)
    journal.begin(1)
    ticks = asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == timedelta(milliseconds=50).total_seconds()
        ticks.set()
        await asyncio.sleep(0.001)

    journal.append([note("a")])
    task = asyncio.create_task(keep_synced(journal, 0.05, in_thread=in_thread, sleep=sleep))
    await ticks.wait()
    await until(lambda: not journal._dirty)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert journal.error == ""
