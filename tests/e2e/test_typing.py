"""Typed text and focus outlive every change of the page around them: cards that come and go, rows that are added."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.async_api import Browser, expect

from tests.api.fakes import campaign_view
from tests.e2e.floor import desk_world
from tests.e2e.site import open_site
from tests.e2e.test_voice_pages import ALL, in_call


async def test_notes_typed_in_a_call_stay_under_the_hands_when_it_ends(browser: Browser) -> None:
    """The card with hold and transfer goes at the end of the call; the notes stand behind it."""
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent = site.world.rows["agent"].id
        door.change("links", "main", capabilities=ALL)
        await in_call(site)
        page = await site.open("/desk")
        notes = page.locator("[name=notes]")
        await expect(notes).to_be_visible()
        await page.keyboard.press("n")
        await expect(notes).to_be_focused()
        await page.keyboard.type("Rappeler ")
        await notes.evaluate("(el) => { el.mark = 'the same'; el.setSelectionRange(3, 3); }")
        door.change("agents", agent, state="on_hold")
        await expect(page.locator("[data-line] [aria-keyshortcuts=H]")).to_contain_text("Reprendre")
        wrap = datetime.now(UTC) + timedelta(seconds=45)
        door.change("agents", agent, state="wrap_up", wrap_until=wrap, muted=False)
        await expect(page.locator("[data-line]")).to_have_count(0)
        await expect(notes).to_be_focused()
        await page.keyboard.type("XY")
        await expect(notes).to_have_value("RapXYpeler ")
        assert await notes.evaluate("(el) => el.mark") == "the same"
        assert not site.troubles


async def test_a_line_being_added_is_not_lost_to_what_changes_above_it(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/lignes")
        await page.locator("form [name=endpoint]").fill("tr9")
        await page.locator("form [name=name]").first.focus()
        await page.keyboard.type("TR-")
        for line in site.world.rows["phones"]:
            site.world.door.gone("lines", str(line.id))
        site.world.door.show(campaign_view(50, site.world.rows["group"].id, "Neuve"))
        site.world.door.change("links", "main", up=False, since=datetime.now(UTC))
        await expect(page.locator(".band.watch")).to_be_visible()
        site.world.door.gone("lines", str(site.world.rows["line"].id))
        await expect(page.get_by_text("Aucune ligne")).to_be_visible()
        await page.keyboard.type("9")
        await expect(page.locator("form [name=name]").first).to_have_value("TR-9")
        await expect(page.locator("form [name=endpoint]")).to_have_value("tr9")


async def test_kids_keep_their_elements_whatever_comes_before_them(browser: Browser) -> None:
    """The renderer by itself: what is absent keeps its place, a list may grow, a field never takes another's text."""
    async with open_site(browser) as site:
        page = await site.open("/")
        found = await page.evaluate(
            """async () => {
                const { h, mount } = await import('/static/lib/dom.js');
                const root = document.createElement('div');
                document.body.append(root);
                const tree = (band, rows, extra) => [band && h('p', null, 'band'), rows.map((r) => h('p', null, r)),
                    extra && h('input', { name: 'extra' }), h('input', { name: 'kept' }), h('section', null, 'end')];
                mount(root, tree(false, ['a'], false));
                const [kept, end] = [root.querySelector('[name=kept]'), root.querySelector('section')];
                kept.value = 'typed';
                const same = () => kept.isConnected && end.isConnected && kept.value === 'typed'
                    && root.querySelector('[name=kept]') === kept;
                const seen = [];
                for (const [band, rows, extra] of [[true, ['a'], false], [true, ['a', 'b', 'c'], true],
                    [false, [], true], [false, ['z'], false]]) {
                    mount(root, tree(band, rows, extra));
                    seen.push([same(), root.textContent, [...root.querySelectorAll('input')].map((x) => x.value)]);
                }
                root.remove();
                return seen;
            }"""
        )
        assert found == [
            [True, "bandaend", ["typed"]],
            [True, "bandabcend", ["", "typed"]],
            [True, "end", ["", "typed"]],
            [True, "zend", ["typed"]],
        ]
