"""Each count of held leads opens those leads with their instant of release; compliance counts open what they count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from playwright.async_api import Browser, expect

from daemon.calls import facts as f
from daemon.calls.lead_records import LeadDraft
from daemon.cli.remote import Remote, show_status
from daemon.engine.views import CampaignView, CauseView
from daemon.engine.why_words import in_words
from daemon.settings import DaemonTable, HttpTable, Settings
from tests.e2e.site import Site, open_site
from tests.e2e.test_accessible import serious
from tests.store.world import World as Facts

AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)


async def crowd(site: Site, count: int = 60) -> list[int]:
    """Leads of the world's list: most wait for their recycling, one is held for want of consent, the rest are due."""
    world = site.world
    numbers = [f"+336123{n:05}" for n in range(count + 3)]
    where: dict[str, Any] = {"city": "Brest", "postal_code": "29200", "consent_at": AGREED}
    drafts = [LeadDraft(e164=e164, last_name=f"Durand {e164[-3:]}", **where) for e164 in numbers]
    ids = await world.store.add_leads(world.rows["list"].id, drafts)
    now = datetime.now(UTC)
    for place, id in enumerate(ids[:count]):
        changes = {"blocked_by": "recycling", "eligible_at": now + timedelta(hours=1, minutes=place)}
        await world.store.update_lead(id, changes)
    await world.store.update_lead(ids[count], {"blocked_by": "consent"})
    return ids


def counted(site: Site, **leads: int) -> None:
    """What the engine tells of the campaign's leads."""
    site.world.door.show(msgspec.structs.replace(shown(site), leads=dict(leads)))


def shown(site: Site) -> CampaignView:
    view = site.world.door.view()["campaigns"][str(site.world.rows["campaign"].id)]
    assert isinstance(view, CampaignView)
    return view


async def test_each_count_of_a_list_opens_those_leads(browser: Browser) -> None:
    async with open_site(browser) as site:
        ids = await crowd(site)
        page = await site.open("/#/listes")
        row = page.locator("tbody tr", has_text=site.world.rows["list"].name)
        await expect(row.locator("[data-total]")).to_have_text("63")
        await expect(row.locator("[data-reason=due]")).to_have_text("2")
        await expect(row).to_contain_text("61 : recyclage 60 · sans consentement 1")
        await row.locator("[data-reason=recycling]").click()
        await expect(page.locator("tbody tr")).to_have_count(50)
        await expect(page.locator("tbody tr").first).to_contain_text("Brest (29)")
        await page.get_by_role("button", name="Suite").click()
        await expect(page.locator("tbody tr")).to_have_count(60)
        assert await page.locator("tbody tr th").all_text_contents() == [f"Durand {n:03}" for n in range(60)]
        await page.get_by_label("Motif").select_option("consent")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody tr")).to_contain_text("par un consentement")
        await page.locator("tbody th a").click()
        drawer = page.locator(".drawer")
        await expect(drawer.locator("[data-place]")).to_have_text("Brest (29)")
        await expect(drawer).to_contain_text("sans consentement")
        assert len(ids) == 63 and not site.troubles and await serious(page) == []


async def test_the_counts_of_a_silent_campaign_open_its_leads_and_add_up(browser: Browser) -> None:
    async with open_site(browser, locale="en-GB") as site:
        await crowd(site, 5)
        counted(site, due=2, recycling=5, consent=1)
        page = await site.open(f"/#/campagnes/{site.world.rows['campaign'].id}")
        cause = page.locator(".causes li").nth(3)
        await expect(cause).to_contain_text("2 due, 6 held of 8: recycling 5 · no consent 1")
        await cause.locator("[data-reason=recycling]").click()
        await expect(page.locator("tbody tr")).to_have_count(5)
        await expect(page.locator("h1")).to_have_text(f"{site.world.rows['campaign'].name}: recycling")
        assert not site.troubles


@pytest.mark.feature("LEGL-05", clause="what was refused, by rule and article, each count opening those refused")
async def test_what_was_refused_today_opens_by_rule(browser: Browser) -> None:
    async with open_site(browser) as site:
        world, rows = site.world, site.world.rows
        ids = await crowd(site, 2)
        lease = await world.store.acquire_lease("main", "test", 60.0)
        assert lease is not None
        facts = Facts(world.store, world.clock, rows["group"], rows["client"], rows["list"], rows["campaign"], lease)  # type: ignore[arg-type]
        for number, lead_id in enumerate((ids[0], ids[0], ids[1])):
            at = world.clock.utcnow() - timedelta(milliseconds=number)
            held: dict[str, Any] = {"campaign_id": rows["campaign"].id, "client_id": rows["client"].id, "clause": ""}
            held |= {"rule": "attempts", "rule_set": "fr-b2c-2026"}
            await facts.apply(f.RefusalFact(at=at, lead_id=lead_id, **held))
        page = await site.open("/#/conformite")
        row = page.locator("[data-rule=attempts]")
        await expect(row).to_contain_text("C. conso. D. 223-9")
        assert (await row.locator("td.n").all_text_contents()) == ["3", "2"]
        await expect(page.locator("[data-hours] [data-zone='Europe/Paris']")).to_contain_text("Paris")
        await expect(page.locator("[data-consents] tbody tr").first).to_contain_text("5")
        await row.get_by_role("link").click()
        await expect(page.locator("tbody tr")).to_have_count(3)
        await expect(page.locator("tbody tr").first).to_contain_text("Durand 000")
        await expect(page.locator(".toolbar")).to_contain_text("3 sur 3")
        assert not site.troubles and await serious(page) == []


async def test_the_desk_shows_where_the_person_is(browser: Browser) -> None:
    async with open_site(browser, demo="agent") as site:
        world = site.world
        draft = LeadDraft(e164="+33199001234", last_name="DUPONT", city="Toulouse", postal_code="31000")
        [lead_id] = await world.store.add_leads(world.rows["list"].id, [draft])
        now = datetime.now(UTC)
        world.door.change("agents", world.rows["agent"].id, state="reserved", since=now, lead_id=lead_id,
                          campaign_id=world.rows["campaign"].id)  # fmt: skip
        page = await site.open("/desk")
        await expect(page.locator("[data-place]")).to_have_text("Toulouse (31)")


async def test_the_same_words_say_why_a_campaign_is_silent_everywhere(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Direct, on the campaign's page, in the API's answer and in `cadran status` (pages.md 7.3)."""
    english = "Not dialling: 0 leads due of 1,217; held: recycling 1,214, closed 3; next lead due at 15:10"
    french = (
        "Ne compose pas : 0 fiche due sur 1\u202f217 ; retenues : recyclage 1\u202f214, terminées 3 ;"
        " prochaine fiche due à 15:10"
    )
    async with open_site(browser, locale="en-GB") as site:
        world = site.world
        campaign = world.rows["campaign"].id
        held = CauseView(name="leads", ok=False, code="none_due", figures={
            "due": 0, "recycling": 1214, "final": 3, "total": 1217, "until": "15:10", "until_day": ""})  # fmt: skip
        assert (in_words(held, "en"), in_words(held, "fr")) == (english, french)
        causes = [held if cause.name == "leads" else cause for cause in shown(site).causes]
        leads = {"due": 0, "recycling": 1214, "final": 3}
        told = {"why": in_words(held, "en"), "why_fr": in_words(held, "fr"), "binding": "leads", "pacing": {}}
        world.door.show(msgspec.structs.replace(shown(site), causes=tuple(causes), leads=leads, **told))
        page = await site.open("/#/direct")
        await expect(page.get_by_text(english).first).to_be_visible()
        await page.goto(site.url(f"/#/campagnes/{campaign}"))
        await expect(page.locator(".causes li.binding")).to_contain_text(english)
        asked = site.url(f"/api/v1/campaigns/{campaign}/why")
        async with ClientSession(headers=world.auth("supervisor")) as session, session.get(asked) as response:
            answer = await response.json()
        assert (answer["why"], answer["why_fr"]) == (english, french)
        monkeypatch.setattr(Remote, "_token", lambda self: world.tokens["supervisor"])
        port = int(site.url("/").rsplit(":", 1)[1].strip("/"))
        settings = Settings(daemon=DaemonTable(data_dir=str(tmp_path)), http=HttpTable(tcp_port=port), sites=[])
        for language, sentence in (("en_GB.UTF-8", english), ("fr_FR.UTF-8", french)):
            monkeypatch.setenv("LANG", language)
            monkeypatch.setenv("COLUMNS", "400")
            await show_status(settings, json=False)
            printed = "".join(capsys.readouterr().out.split())
            assert "".join(sentence.split()) in printed
