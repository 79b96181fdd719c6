"""Imports into both stores: all at once or not at all, duplicates as asked, what the dialler knows is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import LeadList
from daemon.errors import StoreConflict
from daemon.ports import ImportCounts, ImportTarget, StagedLead
from tests.store.world import World


def staged(
    row: int, e164: str, root: int | None = None, *, email_key: str = "", name_key: str = "", **fields: Any
) -> StagedLead:
    draft = LeadDraft(e164=e164, **fields)
    return StagedLead(row=row, root=root or row, draft=draft, email_key=email_key, name_key=name_key)


async def import_rows(world: World, *rows: StagedLead, **target: Any) -> tuple[list[tuple[int, int]], ImportCounts]:
    values = {"list_id": world.listed.id, "group_id": world.group.id} | target
    staging = await world.store.open_staging(ImportTarget(**values))  # type: ignore[attr-defined]
    await staging.stage(rows)
    matches = [match async for match in staging.matches()]
    return matches, await staging.finish(world.clock.utcnow())


async def leads(world: World) -> list[dict[str, Any]]:
    return (await world.store.search_leads(world.group.id, {}, 100, None)).rows[::-1]


async def test_new_people_become_leads_in_the_files_order(world: World) -> None:
    rows = [staged(2, "+33612345678", first_name="Zoé", fields={"k": [1]}), staged(3, "+33698765432", priority=9)]
    matches, counts = await import_rows(world, *rows)
    assert (matches, counts) == ([], ImportCounts(inserted=2))
    found = await leads(world)
    assert [(row["e164"], row["first_name"], row["fields"]) for row in found] == [
        ("+33612345678", "Zoé", {"k": [1]}),
        ("+33698765432", "", {}),
    ]
    assert [lead.e164 for lead in await world.claim()] == ["+33698765432", "+33612345678"], "hot ones first"


async def test_skipping_leaves_the_old_lead_as_it_is(world: World) -> None:
    [old] = await world.leads("+33612345678", last_name="Old")
    matches, counts = await import_rows(world, staged(1, "+33612345678", last_name="New"), staged(2, "+33611111111"))
    assert (matches, counts) == ([(1, old)], ImportCounts(inserted=1, skipped=1))
    assert [row["last_name"] for row in await leads(world)] == ["Old", ""]


async def test_replacing_takes_empty_values_too_but_keeps_what_the_dialler_knows(world: World) -> None:
    consent_at = world.clock.utcnow() - timedelta(days=3)
    [old] = await world.leads("+33612345678", last_name="Old", city="Aix", consent_at=consent_at, consent_source="form")
    attempt = await world.place(lead_id=old)
    await world.apply(
        world.ended(attempt, Outcome.CONNECTED, old), world.disposed(attempt, old, "REFUS", lead_blocked_by="refusal")
    )
    await world.store.set_dnc(world.client.id, "+33698765432", True, "a", "b")
    _, counts = await import_rows(
        world, staged(1, "+33612345678", last_name="New"), staged(2, "+33698765432"), duplicates="replace"
    )
    assert counts == ImportCounts(inserted=1, updated=1)
    first, second = await leads(world)
    assert (first["id"], first["last_name"], first["city"]) == (old, "New", "")
    assert (first["attempts"], first["status"], first["blocked_by"]) == (1, "REFUS", "refusal")
    assert (first["consent_at"], first["consent_source"]) == (consent_at, "form")
    assert second["blocked_by"] == "dnc"
    assert await world.claim() == []


async def test_merging_never_erases_a_filled_field_with_an_empty_one(world: World) -> None:
    await world.leads("+33612345678", last_name="Old", city="Aix", fields={"a": 1, "b": 2}, running_contract=True)
    await import_rows(world, staged(1, "+33612345678", last_name="New", fields={"b": 3}), duplicates="merge")
    [row] = await leads(world)
    assert (row["last_name"], row["city"], row["fields"], row["running_contract"]) == (
        "New",
        "Aix",
        {"a": 1, "b": 3},
        True,
    )


@pytest.mark.parametrize(
    ("policy", "expected"), [("merge", ("B", "Aix", {"a": 1, "b": 2})), ("replace", ("B", "", {"b": 2}))]
)
async def test_rows_of_one_person_become_one_lead(world: World, policy: str, expected: tuple[object, ...]) -> None:
    rows = [
        staged(1, "+33612345678", last_name="A", city="Aix", fields={"a": 1}),
        staged(5, "+33612345678", root=1, last_name="B", fields={"b": 2}),
    ]
    _, counts = await import_rows(world, *rows, duplicates=policy)
    [row] = await leads(world)
    assert counts == ImportCounts(inserted=1)
    assert (row["last_name"], row["city"], row["fields"]) == expected


async def test_duplicates_are_found_by_e_mail_and_by_name_without_accents_or_case(world: World) -> None:
    by_mail, by_name = await world.store.add_leads(
        world.listed.id,
        [
            LeadDraft(e164="+33611111111", email="Zoe@Example.org"),
            LeadDraft(e164="+33622222222", last_name="GARÇON", first_name="Élodie"),
        ],
    )
    rows = [
        staged(1, "+33633333333", email_key="zoe@example.org"),
        staged(2, "+33644444444", name_key="garcon elodie"),
        staged(3, "+33655555555"),
    ]
    matches, counts = await import_rows(world, *rows, keys=("phone", "email", "name"))
    assert matches == [(1, by_mail), (2, by_name)]
    assert counts == ImportCounts(inserted=1, skipped=2)


async def test_the_scope_may_be_the_list_alone(world: World) -> None:
    await world.leads("+33612345678")
    other = await world.store.create(LeadList(group_id=world.group.id, name="Other"))
    matches, counts = await import_rows(world, staged(1, "+33612345678"), list_id=other.id, scope="list")
    assert (matches, counts) == ([], ImportCounts(inserted=1))
    matches, counts = await import_rows(world, staged(1, "+33612345678"), keys=())
    assert (matches, counts) == ([], ImportCounts(inserted=1))


async def test_a_failed_import_leaves_nothing(world: World) -> None:
    with pytest.raises(StoreConflict):
        await import_rows(world, staged(1, "+33612345678"), list_id=999)
    assert await leads(world) == []
    staging = await world.store.open_staging(ImportTarget(list_id=world.listed.id, group_id=world.group.id))  # type: ignore[attr-defined]
    await staging.stage([staged(1, "+33612345678")])
    await staging.discard()
    await staging.discard()
    assert await leads(world) == []
