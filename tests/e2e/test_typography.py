"""French as it is set on the page: its spaces, quotation marks, apostrophes and capitals; English without them."""

from __future__ import annotations

import json
import re

from playwright.async_api import Browser, Page, expect

from tests.api.test_words import PAGES
from tests.e2e.site import open_site

NARROW, FIXED = "\u202f", "\u00a0"
SET = """async ([language, keys, values]) => {
  const words = await import('/static/lib/i18n.js');
  await words.load(language);
  return keys.map((key) => words.t(key, values));
}"""
FAULTS = {
    "a narrow space before ; ? ! %": rf"[^{NARROW}(][;?!%]",
    "a fixed space before : and »": rf"[^{FIXED}](?::(?!\d|//)|»)",
    "a fixed space after «": rf"«[^{FIXED}]",
    "one sign for what is left out": r"\.\.\.",
    "no straight quotation mark or apostrophe": r"[\"']",
    "accents on capitals": r"\b(?:Etat|Ecout|Even|Evén|Etap|Echec|Ecran|Equip|Editi|Elev|Etein|Ete|Eté)|^A [a-zéè]",
    "thousands held together": r"\d \d{3}\b",
    "a figure and its unit held together": r"(?:\d|\?) (?:s|h|min|ms|€)\b",
}


async def words(page: Page, language: str) -> dict[str, str]:
    """Every text of the catalogue as the page sets it, an 8 for whatever it is told."""
    catalogue = json.loads((PAGES / "words" / f"{language}.json").read_text("utf-8"))
    values = {name: "8" for text in catalogue.values() for name in re.findall(r"\{(\w+)\}", text)}
    keys = list(catalogue)
    return dict(zip(keys, await page.evaluate(SET, [language, keys, values]), strict=True))


async def test_french_is_set_as_french(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/")
        await expect(page.locator("tr.campaign").first).to_be_visible()
        french = await words(page, "fr")
        assert len(french) > 900
        found = [
            (key, fault, text)
            for key, text in french.items()
            for fault, pattern in FAULTS.items()
            if re.search(pattern, text)
        ]
        assert found == []
        reason = "'Ne compose pas : 0 fiche due ; prochain rappel à 15:10, 12 480 fiches'"
        told = await page.evaluate(f"import('/static/lib/i18n.js').then((words) => words.typeset({reason}))")
        assert told == (
            f"Ne compose pas{FIXED}: 0 fiche due{NARROW}; prochain rappel à 15:10, 12{NARROW}480 fiches"
        )  # what the engine says is set by the same rules
        row = page.locator("tr.campaign", has_text="Assurance Auto 31")
        await expect(row).to_contain_text(f"31{NARROW}%")
        await expect(row).to_contain_text(f"3{NARROW}114")
        assert not site.troubles, site.troubles


async def test_english_is_set_as_english(browser: Browser) -> None:
    async with open_site(browser, locale="en-GB") as site:
        page = await site.open("/")
        await expect(page.locator("tr.campaign").first).to_be_visible()
        english = await words(page, "en")
        wrong = {key: text for key, text in english.items() if re.search(r"\s[;:!]|\w\s[?%]|[«»]|\.\.\.", text)}
        assert wrong == {}
        row = page.locator("tr.campaign", has_text="Assurance Auto 31")
        await expect(row).to_contain_text("31%")
        await expect(row).to_contain_text("3,114")
