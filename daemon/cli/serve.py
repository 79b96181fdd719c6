"""Commands that are the daemon, or prepare it: run, check, migrate, doctor, db run, demo, simulate."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from daemon.app import build
from daemon.cli.config import DEFAULT, ConfigPath
from daemon.cli.doctor import examine
from daemon.cli.output import fail
from daemon.clock import SystemClock
from daemon.drivers import address_of, pbx_driver, secret_of
from daemon.errors import SettingsError
from daemon.resources import open_database, rates_of, rule_sets_of, tls_of
from daemon.service import set_up_logs, tell_crashes
from daemon.settings import Settings
from daemon.settings_file import load, read_secret
from daemon.store.embedded import EmbeddedPostgres


def _check_writable(settings: Settings) -> None:
    folder = Path(settings.daemon.data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError("daemon.data_dir", str(folder), f"can't be written: {error.strerror}") from error


def stop_on_signals(stop: asyncio.Event, reload: Callable[[], None] = lambda: None) -> None:
    """SIGTERM and SIGINT set `stop`; a second one ends at once. SIGHUP calls `reload`; of a terminal that was closed it
    is the end, as SIGTERM."""
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    loop.add_signal_handler(signal.SIGHUP, asked if sys.stdin is not None and sys.stdin.isatty() else reload)


def run_loop(main: Callable[[], Awaitable[None]]) -> None:
    """Run on uvloop where it is there, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(_awaited(main))
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_awaited(main))


async def _awaited(main: Callable[[], Awaitable[None]]) -> None:
    await main()


def run(config: ConfigPath = DEFAULT) -> None:
    """Run the daemon until SIGTERM: no new calls then, calls being set up finish, conversations go on in the PBX."""
    settings = load(config)
    _check_writable(settings)
    clock = SystemClock()
    set_up_logs(settings.daemon.log_level, settings.daemon.log_format, clock)
    tell_crashes()

    async def main() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        async with AsyncExitStack() as stack:
            store = await open_database(settings, clock, stack)
            application = build(settings, clock=clock, rng=random.SystemRandom(), store=store)
            stop_on_signals(stop, application.reload)
            await application.run(stop)

    run_loop(main)


def check(config: ConfigPath = DEFAULT) -> None:
    """Read the settings, rule sets and secrets; print what they say, or the first thing that is wrong."""
    settings = load(config)
    for site in settings.sites:
        read_secret(*secret_of(site))
        pbx_driver(site, SystemClock(), random.Random(0), beside=True)
    rules = rule_sets_of(settings)
    rates_of(settings)
    scheme = "https" if tls_of(settings.http) else "http"
    typer.echo(f"{config}: fine")
    for site in settings.sites:
        typer.echo(f"  site {site.id}: {site.driver} {address_of(site)}")
    typer.echo(f"  rule sets: {', '.join(sorted(rules))}")
    host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
    typer.echo(f"  page: {scheme}://{host}:{settings.http.tcp_port}/")


def migrate(config: ConfigPath = DEFAULT) -> None:
    """Bring the database's schema up to date (the daemon does it at start as well)."""
    settings = load(config)
    clock = SystemClock()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            store = await open_database(settings, clock, stack)
            await store.open()
            await store.close()

    asyncio.run(main())
    typer.echo("the schema is up to date")


def doctor(config: ConfigPath = DEFAULT) -> None:
    """Look at everything the daemon needs: settings, secrets, PBX, rights, sounds, database. Exit 1 if one is amiss."""
    settings = load(config)
    set_up_logs("error", "console", SystemClock())
    findings = asyncio.run(examine(settings, SystemClock()))
    for finding in findings:
        typer.echo(f"{'ok   ' if finding.fine else 'AMISS'}  {finding.what}: {finding.text}")
    if not all(finding.fine for finding in findings):
        raise typer.Exit(1)


def demo(
    port: Annotated[int, typer.Option(help="Port of the page; 0 = any free one.")] = 8098,
    agents: Annotated[int, typer.Option(help="Agents at work.", min=1, max=1000)] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the people called.")] = 1,
    seconds: Annotated[float, typer.Option(help="Stop after so long; 0 = until Ctrl-C.")] = 0.0,
) -> None:
    """A live campaign on a fake PBX with its own database: nobody is called. Prints the page's address."""
    from simulation.demo import run_demo

    async def main() -> None:
        await run_demo(port=port, agents=agents, seed=seed, seconds=seconds, say=typer.echo)

    run_loop(main)


def simulate(
    plan: Annotated[Path, typer.Argument(help="A plan (docs/simulate.md).")],
    report: Annotated[Path | None, typer.Option(help="Write an HTML report with plots here.")] = None,
    from_history: Annotated[
        int, typer.Option(help="Take answer rates and talk time from this campaign (its id); reads the database.")
    ] = 0,
    config: ConfigPath = DEFAULT,
) -> None:
    """What would this campaign do? Compares modes and speeds on simulated time; nobody is called."""
    try:
        from simulation.whatif import run_plan
    except ImportError as error:
        fail(f"the simulation is not installed: {error}", 2)
    history = asyncio.run(_history(config, from_history)) if from_history else None
    run_plan(plan, report, say=typer.echo, history=history)


async def _history(config: Path, campaign_id: int) -> list[dict[str, Any]]:
    """A campaign's calls by hour."""
    async with AsyncExitStack() as stack:
        store = await open_database(load(config), SystemClock(), stack)
        await store.open()
        try:
            return await store.report("by_hour", campaign_id=campaign_id)
        finally:
            await store.close()


db = typer.Typer(help="The embedded PostgreSQL.", no_args_is_help=True)


@db.command("run")
def db_run(config: ConfigPath = DEFAULT) -> None:
    """Run the embedded PostgreSQL in the foreground (its own systemd unit, so that it outlives the daemon)."""
    settings = load(config)
    _check_writable(settings)

    async def main() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        server = EmbeddedPostgres(
            Path(settings.daemon.data_dir) / "postgres", start_timeout_s=settings.database.start_timeout_s
        )
        await server.start()
        from daemon.service import notify

        notify("READY=1")
        typer.echo("PostgreSQL is ready")
        ended = asyncio.create_task(server.wait())
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if stop.is_set():
            await server.stop()
        await ended

    asyncio.run(main())


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (run, check, migrate, doctor, demo, simulate):
        app.command()(command)
    app.add_typer(db, name="db")
