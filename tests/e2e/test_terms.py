"""Each term of the pacing's sentence opens its definition: by the mouse, by keys, for a screen reader, on paper."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from daemon.dialer.explain import sentence
from daemon.dialer.pacing import Decision, Figures
from tests.e2e.floor import shot
from tests.e2e.site import open_site
from tests.e2e.test_accessible import serious

FIGURES = Figures(2, 2.3, 9, 1.2, 0.31, 0.021, 0.034, 18, 21, "day", 2)
TERMS = {
    "fr": "Appels lancés, Prêts, Attendus, Réponse, Risque, Abandons permis, Raccrochés en sonnerie, Ce qui limite",
    "en": "Placing, Ready, Expected free, Answer, Risk, Abandoned and allowed, Hung up while ringing, What limits",
}


def told() -> dict[str, str]:
    """What the engine's view would carry of such a decision."""
    decision = Decision(7, "risk", FIGURES)
    return {"why": sentence(decision, "en"), "why_fr": sentence(decision, "fr")}


@pytest.mark.parametrize(("theme", "language"), [("light", "fr"), ("dark", "en")])
async def test_each_term_of_the_pacing_opens_its_definition(browser: Browser, theme: str, language: str) -> None:
    async with open_site(
        browser, color_scheme=theme, locale=f"{language}-{'FR' if language == 'fr' else 'GB'}"
    ) as site:
        words = told()
        site.world.door.change("campaigns", 1, **words)
        page = await site.open("/")
        line = page.locator("[data-terms='1']")
        await expect(line.locator(".term")).to_have_count(8)
        said = (await line.inner_text()).replace("\u202f", " ").replace("\u00a0", " ")
        assert said == (words["why_fr"] if language == "fr" else words["why"]).replace("'", "’")
        await page.get_by_role("link", name="Assurance Auto 31").first.focus()
        await line.locator(".term").first.focus()
        for _ in range(4):
            await page.keyboard.press("ArrowRight")
        risk = line.locator(".term").nth(4)
        await expect(risk).to_be_focused()
        assert "2,1" in await risk.inner_text() or "2.1" in await risk.inner_text()
        assert len(await risk.get_attribute("title") or "") > 40, "a screen reader hears it without opening anything"
        site.world.door.change(
            "campaigns", 1, why=words["why"].replace("7", "5"), why_fr=words["why_fr"].replace("7", "5")
        )
        await page.keyboard.press("Enter")
        drawer = page.locator(".drawer")
        await expect(drawer.locator("dt")).to_have_text(TERMS[language].split(", "))
        await expect(drawer.locator(".asked-for")).to_have_text(TERMS[language].split(", ")[4])
        await expect(drawer.locator("h2")).to_be_focused()
        assert await serious(page) == []
        await shot(page, f"direct-terms-{language}-{theme}")
        await page.keyboard.press("Escape")
        await expect(drawer).to_have_count(0)
        await expect(risk).to_be_focused()
        await page.goto(site.url("/#/campagnes/1"))
        await expect(page.locator("p > [data-terms='1']")).to_contain_text("5")
        await page.locator("p > [data-terms] .term").last.click()
        await expect(drawer.locator(".asked-for")).to_have_text(TERMS[language].split(", ")[-1])
        await page.emulate_media(media="print")
        await expect(page.locator("p > [data-terms] .term").first).to_be_visible()
        assert not site.troubles, site.troubles


async def test_what_is_no_sentence_of_the_pacing_stays_plain(browser: Browser) -> None:
    """One call per agent has terms too; a silent campaign's cause has none, and takes the sentence's place."""
    async with open_site(browser) as site:
        decision = Decision(0, "one_to_one", Figures(1, 0.0, 3, 0.0, 0.0, 0.0, 0.0, 0, 0, ""))
        site.world.door.change("campaigns", 1, why_fr=sentence(decision, "fr"), mode="progressive")
        page = await site.open("/")
        terms = page.locator("[data-terms='1'] .term")
        await expect(terms).to_have_text(["0 appel lancé\u00a0:", "1 prêt", "3 en cours", "(un appel par agent prêt)"])
        site.world.door.change("campaigns", 1, why_fr="Ne compose pas : aucun agent connecté")
        await expect(page.locator("tr.why").first).to_contain_text("Ne compose pas")
        await expect(terms).to_have_count(0)
        assert not site.troubles, site.troubles
