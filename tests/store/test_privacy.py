"""A person's rights in both stores: what is found, what an erasure leaves, and what binds when the number is back."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.errors import SettingsError, StoreConflict
from daemon.ports import ImportTarget, LeadSink, StagedLead, Store, TapeStore
from daemon.store import PostgresStore
from daemon.store.pseudonyms import KEY_FILE, Pseudonyms, load_or_make_key
from tests.store.world import SITE, FixedClock, World

NUMBER, OTHER = "+33612345678", "+33612345679"
KEY = Pseudonyms(b"k" * 32)


async def a_past(world: World) -> int:
    """A lead with everything: two calls, one with a note and a refusal, a callback, consent, red list, a request."""
    await world.store.use_pseudonyms(KEY)
    details: dict[str, Any] = {"last_name": "Durand", "email": "d@x.fr", "comments": "chien", "fields": {"age": "44"}}
    [lead_id] = await world.leads(NUMBER, alt_phone="01 99 00 01 23", vendor_lead_code="V1", **details)
    await world.leads(OTHER, last_name="Martin", alt_phone="06.12.34.56.78")
    for notes in ("", "rappeler sa fille"):
        attempt = await world.place(NUMBER, lead_id)
        await world.apply(world.ended(attempt, Outcome.CONNECTED, lead_id, talk_s=30.0))
        due = world.clock.utcnow() + timedelta(days=1)
        await world.apply(world.disposed(attempt, lead_id, "REFUS", notes=notes, refused=True, callback_at=due))
        await world.later(3600)
    store = world.store
    await store.add_consent(world.client.id, NUMBER, {"at": world.clock.utcnow(), "proof": "192.0.2.1", "source": "w"})
    await store.revoke_consent(world.client.id, NUMBER, world.clock.utcnow())
    await store.set_dnc(world.client.id, NUMBER, True, "anna", "Mme Durand, par téléphone")
    row = {"created_at": world.clock.utcnow(), "group_id": world.group.id, "number_called": "06 12 34 56 78"}
    await store.log_api_call(row)
    return lead_id


async def test_all_that_names_the_number_is_found_and_nothing_of_others(world: World) -> None:
    await a_past(world)
    found = await world.store.person(world.group.id, NUMBER)
    counts = {name: len(rows) for name, rows in found.items() if isinstance(rows, list)}
    assert counts == {
        "leads": 1, "attempts": 2, "refused_calls": 0, "callbacks": 2, "red_list": 1, "consents": 1, "recordings": 0,
        "click_to_call": 1,
    }  # fmt: skip
    assert found["leads"][0]["fields"] == {"age": "44"} and found["erased"] is None
    assert found["consents"][0]["proof"] == "192.0.2.1"
    elsewhere = await world.store.person(world.group.id + 1, NUMBER)
    assert not any(elsewhere.values())


async def test_an_erasure_leaves_no_name_note_or_number(world: World, request: pytest.FixtureRequest) -> None:
    lead_id = await a_past(world)
    [past, *_] = (await world.store.person(world.group.id, NUMBER))["attempts"]
    await world.store.keep_draft(7, past["id"], {"notes": "sa fille s'appelle 612345678"}, world.clock.utcnow())
    done = await world.store.erase_person(world.group.id, NUMBER)
    assert done["counts"] == {
        "drafts": 1, "recordings": 0, "callbacks": 2, "attempts": 2, "leads": 1, "red_list": 1, "consents": 1,
        "alt_phones": 1, "click_to_call": 1, "zadarma_calls": 0,
    }  # fmt: skip
    held = await world.store.person(world.group.id, NUMBER)
    assert held.pop("erased") == {"at": world.clock.utcnow(), "attempts": 2, "red_lists": 1}
    assert not any(held.values())
    everything = [await world.store.lead_history(lead_id), await world.store.report("leads")]
    everything += [await world.store.report("attempts"), await world.store.report("dnc")]
    text = str(everything)
    for trace in (NUMBER, NUMBER[1:], "612345678", "06.12", "Durand", "d@x.fr", "chien", "44'", "fille", "V1", "anna"):
        assert trace not in text, trace
    assert "Martin" in text, "others stay"
    assert (await world.store.callable_counts(world.campaign.id, world.clock.utcnow()))["erased"] == 1
    if isinstance(world.store, PostgresStore):
        dump = await whole_database(request.getfixturevalue("database"))
        for trace in ("612345678", "Durand", "fille", "192.0.2.1", "anna"):
            assert trace not in dump, trace


async def whole_database(dsn: str) -> str:
    """Every row of every table, as text."""
    import asyncpg

    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    text = [str(await connection.fetch(f'SELECT t::text FROM "{row["tablename"]}" t')) for row in rows]
    await connection.close()
    return "\n".join(text)


async def come_back(world: World, way: str, number: str = NUMBER) -> int:
    """The number handed in again, by the API's way or by an import's; the new lead's id."""
    if way == "api":
        [lead_id] = await world.leads(number)
        return lead_id
    assert isinstance(world.store, LeadSink)
    staging = await world.store.open_staging(ImportTarget(list_id=world.listed.id, group_id=world.group.id))
    await staging.stage([StagedLead(row=1, root=1, draft=LeadDraft(e164=number))])
    counts = await staging.finish(world.clock.utcnow())
    assert counts.inserted == 1
    return max(row["id"] for row in (await world.store.search_leads(world.group.id, {"phone": number}, 9, None)).rows)


@pytest.mark.parametrize("way", ["api", "import"])
async def test_limits_and_red_list_bind_again_when_the_number_is_back(world: World, way: str) -> None:
    await a_past(world)
    before = (await world.store.person(world.group.id, NUMBER))["attempts"]
    await world.store.erase_person(world.group.id, NUMBER)
    lead_id = await come_back(world, way)
    facts = await world.store.lead_facts(lead_id)
    assert facts is not None and facts.dnc and facts.refused_at is not None
    assert facts.attempt_times == [row["at"] for row in before]
    assert facts.consent_revoked_at is not None
    assert NUMBER not in [lead.e164 for lead in await world.claim()], "red-listed as it was"
    history = await world.store.lead_history(lead_id)
    assert history == [], "the person's old notes and names do not come back"
    for _ in range(2):
        attempt = await world.place(NUMBER, lead_id)
        await world.apply(world.ended(attempt, Outcome.NO_ANSWER, lead_id))
    fifth = world.intent(NUMBER, lead_id)
    assert await world.store.commit_intents([fifth], world.lease) == {}, "two before the erasure, two after"
    await world.store.erase_person(world.group.id, NUMBER)
    assert (await world.store.person(world.group.id, NUMBER))["erased"]["attempts"] == 4


async def test_other_numbers_are_not_taken_for_an_erased_one(world: World) -> None:
    await a_past(world)
    await world.store.erase_person(world.group.id, NUMBER)
    facts = await world.store.lead_facts(await come_back(world, "import", "+33612000000"))
    assert facts is not None and not facts.dnc and facts.attempt_times == []
    assert (await world.store.person(world.group.id, NUMBER))["erased"] is not None


async def test_a_red_listed_number_can_be_freed_after_its_erasure(world: World) -> None:
    await a_past(world)
    await world.store.erase_person(world.group.id, NUMBER)
    await world.store.set_dnc(world.client.id, NUMBER, False, "anna", "asked in writing")
    facts = await world.store.lead_facts(await come_back(world, "api"))
    assert facts is not None and not facts.dnc


async def test_nobody_is_erased_in_the_middle_of_a_call(world: World) -> None:
    await a_past(world)
    attempt = await world.place(NUMBER)
    with pytest.raises(StoreConflict) as refusal:
        await world.store.erase_person(world.group.id, NUMBER)
    assert refusal.value.field == "open"
    assert (await world.store.person(world.group.id, NUMBER))["leads"][0]["last_name"] == "Durand"
    await world.apply(world.ended(attempt, Outcome.NO_ANSWER))
    await world.store.erase_person(world.group.id, NUMBER)


async def test_without_a_key_nothing_is_erased(store: Store, world: World) -> None:
    with pytest.raises(StoreConflict):
        await store.erase_person(world.group.id, NUMBER)


async def test_another_key_is_refused_once_numbers_were_erased(database: str) -> None:
    store = PostgresStore(database, FixedClock())
    await store.open()
    await store.use_pseudonyms(Pseudonyms(b"a" * 32))
    await store.use_pseudonyms(KEY)
    await store.erase_person(1, NUMBER)
    with pytest.raises(SettingsError, match="bring that file back"):
        await store.use_pseudonyms(Pseudonyms(b"a" * 32))
    await store.use_pseudonyms(KEY)
    await store.close()


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = load_or_make_key(folder, lambda n: bytes(range(n)))
    again = load_or_make_key(folder, lambda n: b"x" * n)
    assert first.of(NUMBER) == again.of(NUMBER) != Pseudonyms(b"x" * 32).of(NUMBER)
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    (folder / KEY_FILE).write_text("oops")
    with pytest.raises(SettingsError, match="not a key"):
        load_or_make_key(folder, bytes)


async def test_a_number_keeps_its_history_under_either_name(world: World) -> None:
    await a_past(world)
    before = await world.store.number_history(world.group.id, NUMBER)
    assert [len(before[name]) for name in ("attempts", "consents", "red_list")] == [2, 1, 1]
    await world.store.erase_person(world.group.id, NUMBER)
    after = await world.store.number_history(world.group.id, NUMBER)
    assert [row["at"] for row in after["attempts"]] == [row["at"] for row in before["attempts"]]
    assert [len(after[name]) for name in ("attempts", "consents", "red_list")] == [2, 1, 1]


async def test_the_red_list_answers_for_a_number_and_its_pseudonym(world: World) -> None:
    await a_past(world)
    for number, listed in ((NUMBER, True), (OTHER, False)):
        assert await world.store.on_red_list(world.client.id, number) is listed
    await world.store.erase_person(world.group.id, NUMBER)
    assert await world.store.on_red_list(world.client.id, NUMBER)
    assert not await world.store.on_red_list(world.client.id + 1, NUMBER)


async def test_notes_written_after_an_erasure_are_not_kept(world: World) -> None:
    """The agent was still in wrap-up when the person was erased."""
    lead_id = await a_past(world)
    attempt = await world.place(NUMBER, lead_id)
    await world.apply(world.ended(attempt, Outcome.CONNECTED, lead_id))
    await world.store.erase_person(world.group.id, NUMBER)
    due = world.clock.utcnow() + timedelta(days=1)
    await world.apply(world.disposed(attempt, lead_id, "RAPPEL", notes="Mme Durand rappellera", callback_at=due))
    history = await world.store.lead_history(lead_id)
    assert "Durand" not in str(history) and "Durand" not in str(await world.store.report("callbacks"))
    assert any(row.get("disposition") == "RAPPEL" for row in history), "its status is"
    assert await world.claim() == [] or NUMBER not in str(await world.claim())


async def test_who_is_erased_while_an_import_runs_comes_back_as_the_erased_do(world: World) -> None:
    await a_past(world)
    assert isinstance(world.store, LeadSink)
    staging = await world.store.open_staging(ImportTarget(list_id=world.listed.id, group_id=world.group.id))
    await staging.stage([StagedLead(row=1, root=1, draft=LeadDraft(e164=NUMBER))])
    await world.store.erase_person(world.group.id, NUMBER)
    assert (await staging.finish(world.clock.utcnow())).inserted == 1
    [lead] = (await world.store.search_leads(world.group.id, {"phone": NUMBER}, 9, None)).rows
    facts = await world.store.lead_facts(lead["id"])
    assert facts is not None and facts.dnc, "the red list binds, whenever the erasure came"
    assert lead["blocked_by"] == "dnc" and len(facts.attempt_times) == 2


@pytest.mark.parametrize("duplicates", ["skip", "merge", "replace"])
async def test_who_is_erased_after_the_file_was_compared_is_in_the_list_all_the_same(
    world: World, duplicates: str
) -> None:
    """The row was taken for the lead that is nobody's any more: it was counted as written, and was nowhere."""
    await a_past(world)
    assert isinstance(world.store, LeadSink)
    target = ImportTarget(list_id=world.listed.id, group_id=world.group.id, duplicates=duplicates)
    staging = await world.store.open_staging(target)
    await staging.stage([StagedLead(row=1, root=1, draft=LeadDraft(e164=NUMBER, last_name="Durand"))])
    assert [row async for row, _ in staging.matches()] == [1]
    await world.store.erase_person(world.group.id, NUMBER)
    counts = await staging.finish(world.clock.utcnow())
    assert (counts.inserted, counts.updated, counts.skipped) == (1, 0, 0)
    [lead] = (await world.store.search_leads(world.group.id, {"phone": NUMBER}, 9, None)).rows
    assert (lead["last_name"], lead["blocked_by"]) == ("Durand", "dnc")


async def test_recordings_of_the_erased_are_to_be_deleted_wherever_they_are(world: World) -> None:
    """Kept, or still waiting on the PBX to be taken in: none is kept from then on."""
    await world.store.use_pseudonyms(KEY)
    store, at = world.store, world.clock.utcnow()
    assert isinstance(store, TapeStore)
    attempt = await world.place(NUMBER)
    for number in (1, 2, 3):
        begun = f.RecordingStarted(
            at=at, site=SITE, attempt_id=attempt, group_id=world.group.id, number=number, file=f"x-{number}.wav"
        )
        over = f.RecordingEnded(at=at, site=SITE, attempt_id=attempt, number=number, duration_s=9.0)
        await world.apply(begun, *((over,) if number < 3 else ()))
    await world.apply(world.ended(attempt, Outcome.CONNECTED))
    kept, *_ = await store.recordings_in(("waiting",), at + timedelta(1), 9)
    await store.set_recording(kept["id"], {"state": "kept", "path": "/kept/x-1.wav"})
    done = await store.erase_person(world.group.id, NUMBER)
    assert (done["files"], done["counts"]["recordings"]) == (["/kept/x-1.wav"], 3)
    late = f.RecordingEnded(at=at, site=SITE, attempt_id=attempt, number=3, duration_s=9.0)
    await world.apply(late)
    rows = await store.recordings_in(("waiting",), at + timedelta(1), 9, (SITE,))
    assert sorted(row["file"] for row in rows) == ["x-1.wav", "x-2.wav", "x-3.wav"]
    assert all(row["purged_at"] == at for row in rows)
    assert [row["path"] for row in rows if row["file"] == "x-1.wav"] == ["/kept/x-1.wav"], "until it is deleted"
    assert await store.recordings_in(("waiting",), at + timedelta(1), 9, ("elsewhere",)) == []
