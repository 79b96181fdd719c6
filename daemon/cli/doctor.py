"""`cadran doctor`: looks at everything the daemon needs, each finding in one line that says how to mend it."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from daemon.calls.events import LinkDown, PbxEvent, PbxSnapshot
from daemon.clock import Clock
from daemon.drivers import address_of, pbx_driver, secret_of
from daemon.errors import DaemonError, SettingsError
from daemon.resources import open_database, rule_sets_of
from daemon.settings import Settings, SiteTable
from daemon.settings_file import read_secret

LOGIN_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    fine: bool
    text: str


async def examine(settings: Settings, clock: Clock) -> list[Finding]:
    """All findings, in the order a newcomer would mend them."""
    findings = [_rules(settings), _data_dir(settings)]
    findings.append(await _database(settings, clock))
    for site in settings.sites:
        findings.extend(await _site(site, settings, clock))
    if not settings.sites:
        findings.append(Finding("sites", False, "none: add a [[sites]] table, or nothing can be dialled"))
    return findings


def _rules(settings: Settings) -> Finding:
    try:
        return Finding("rule sets", True, ", ".join(sorted(rule_sets_of(settings))))
    except SettingsError as error:
        return Finding("rule sets", False, str(error))


def _data_dir(settings: Settings) -> Finding:
    folder = Path(settings.daemon.data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding("data folder", False, f"{folder} can't be written: {error.strerror}")
    return Finding("data folder", True, str(folder))


async def _database(settings: Settings, clock: Clock) -> Finding:
    kind = "your PostgreSQL" if settings.database.dsn else "embedded PostgreSQL"
    try:
        async with AsyncExitStack() as stack:
            store = await open_database(settings, clock, stack)
            await store.open()
            await store.ping()
            await store.close()
    except DaemonError as error:
        return Finding("database", False, f"{kind}: {error}")
    return Finding("database", True, f"{kind} answers, its schema is up to date")


def _rights(what: str, missing: tuple[str, ...]) -> Finding:
    """What no control mode gives is told; only what a right or the include would mend is amiss."""
    amiss = [text for text in missing if "not in mode" not in text]
    return Finding(what, not amiss, ", ".join(amiss or missing) or "all that this mode needs")


async def _site(site: SiteTable, settings: Settings, clock: Clock) -> list[Finding]:
    what = f"site {site.id}"
    try:
        read_secret(*secret_of(site))
    except SettingsError as error:
        return [Finding(what, False, str(error))]
    driver = pbx_driver(site, clock, random.Random(clock.now()), beside=True)
    known = asyncio.Event()
    down: list[LinkDown] = []

    def deliver(event: PbxEvent) -> None:
        if isinstance(event, LinkDown):
            down.append(event)
        if isinstance(event, PbxSnapshot | LinkDown):
            known.set()

    task = asyncio.create_task(driver.run(deliver))
    try:
        async with asyncio.timeout(LOGIN_WAIT_S):
            await known.wait()
        status = driver.status()
        if not status.up:
            last = down[-1] if down else None
            return [Finding(what, False, f"{address_of(site)}: {last.message if last else 'no answer'}")]
        findings = [
            Finding(what, True, f"logged in, {status.version}, mode {status.mode} ({status.mode_reason})"),
            _rights(f"{what} rights", status.missing),
        ]
        sound = settings.dialer.safe_message
        there = await driver.probe_sound(sound)
        if there is not None:
            findings.append(Finding(f"{what} sound", there, f"{sound}" if there else f"{sound} is not on the PBX"))
        if status.mode == "asyncagi":
            findings.append(
                Finding(
                    f"{what} safety",
                    True,
                    "this mode's class `system` may run commands on the PBX: see docs/security.md",
                )
            )
        return findings
    except TimeoutError:
        return [Finding(what, False, f"{address_of(site)}: no answer")]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
