"""`cadran crm lint | try | upload`: templates checked on this machine, tried against a CRM, sent to the daemon."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from daemon.cli.config import DEFAULT, AsJson, ConfigPath
from daemon.cli.output import as_json, fail, table
from daemon.cli.remote import Refused as Denied
from daemon.cli.remote import Remote
from daemon.clock import SystemClock
from daemon.crm import trial
from daemon.crm.auth import Authenticator
from daemon.crm.caller import Caller
from daemon.crm.http import Outgoing
from daemon.crm.model import CrmTemplate, Refused
from daemon.crm.options import read_options
from daemon.crm.template import load as load_template
from daemon.settings import OutgoingTable, Settings
from daemon.settings_file import load

app = typer.Typer(help="CRM templates: check, try, upload.", no_args_is_help=True)

TemplatePath = Annotated[Path, typer.Argument(help="The template's XML file.", exists=True, dir_okay=False)]


def _read(path: Path) -> tuple[CrmTemplate | None, list[dict[str, Any]]]:
    """The template, None if it is refused, and its problems."""
    try:
        template = load_template(path.read_bytes())
    except Refused as refused:
        return None, [msgspec.to_builtins(_problem(each)) for each in refused.problems]
    return template, [_problem(each) for each in template.warnings]


def _problem(problem: Any) -> dict[str, Any]:
    return {"line": problem.line, "kind": "error" if problem.error else "warning", "message": problem.message}


@app.command()
def lint(template: TemplatePath, json: AsJson = False) -> None:
    """Check a template: every problem with its line. Exit code 1 if it can't be used; warnings alone are 0."""
    loaded, problems = _read(template)
    if json:
        as_json({"ok": loaded is not None, "key": loaded.key if loaded else "", "problems": problems})
    else:
        for each in problems:
            typer.echo(f"{template}:{each['line']}: {each['kind']}: {each['message']}")
        if loaded is not None:
            names = ", ".join(each.name for each in loaded.fields) or "no fields"
            typer.echo(f"{loaded.name} ({loaded.key}), authentication {loaded.auth}, asks for: {names}")
    if loaded is None:
        raise typer.Exit(1)


@app.command("try")
def try_(
    template: TemplatePath,
    fields: Annotated[Path, typer.Option("--fields", help="TOML file: name = value for each field, [options] beside.")],
    phone: Annotated[str, typer.Option(help="The number of the made-up call.")] = "+33123456789",
    user: Annotated[str, typer.Option(help="The CRM's user it is booked to.")] = "",
    steps: Annotated[str, typer.Option(help="Only these steps, with commas between.")] = "",
    config: ConfigPath = DEFAULT,
    json: AsJson = False,
) -> None:
    """Try a template step by step against a CRM, without the daemon. Requests and answers are shown, secrets masked.

    The steps create_contact, ticket and journal leave a test record in the CRM.
    """
    loaded, problems = _read(template)
    if loaded is None:
        fail(next(each["message"] for each in problems if each["kind"] == "error"), 1)
    settings = load(config) if config.exists() else Settings()
    given = tomllib.loads(fields.read_text("utf-8"))
    trials = asyncio.run(_tried(loaded, given, fields.name, phone, user, steps, settings.outgoing))
    if json:
        as_json(trials)
    else:
        for each in trials:
            _show(each)
    if not all(each.ok for each in trials):
        raise typer.Exit(1)


async def _tried(
    template: CrmTemplate, given: dict[str, Any], name: str, phone: str, user: str, steps: str, table_: OutgoingTable
) -> list[trial.Trial]:
    try:
        options = read_options(given.pop("options", {}))
    except msgspec.ValidationError as error:
        fail(f"{name}: options: {error}", 1)
    known = {name: str(value) for name, value in given.items()}
    clock, outgoing = SystemClock(), Outgoing(table_)
    caller = Caller(Authenticator(template, known, outgoing, clock), outgoing, clock, options.tz)
    wanted = [step.strip() for step in steps.split(",") if step.strip()] or trial.steps_of(caller)
    if "globals" in trial.steps_of(caller) and "globals" not in wanted:
        wanted.insert(0, "globals")
    done = []
    try:
        for step in wanted:
            done.append(await trial.run_step(caller, step, phone, options, clock.utcnow(), user))
            if not done[-1].ok:
                break
    finally:
        await outgoing.close()
    return done


def _show(each: trial.Trial) -> None:
    found = ", ".join(f"{name}: {text}" for name, text in each.found.items() if text)
    typer.echo(f"{'ok  ' if each.ok else 'FAIL'}  {each.step}  {found if each.ok else each.error}")
    for exchange in each.exchanges:
        typer.echo(f"      {exchange.method} {exchange.url}")
        for name, text in exchange.headers.items():
            typer.echo(f"        {name}: {text}")
        for mark, text in (("      > ", exchange.body), ("      < ", f"{exchange.status} {exchange.answer[:2000]}")):
            if text:
                typer.echo(mark + text)


@app.command()
def upload(template: TemplatePath, config: ConfigPath = DEFAULT) -> None:
    """Send a template to the daemon; one of the same Key is replaced. It does nothing until an integration uses it."""

    async def main() -> None:
        async with Remote(load(config)) as remote:
            kept = await remote.ask("POST", "/api/v1/crm/templates", data=template.read_bytes())
            table("Template", ("id", "key", "name", "authentication"),
                  [(kept["id"], kept["key"], kept["name"], kept["auth"])])  # fmt: skip

    loaded, problems = _read(template)
    if loaded is None:
        fail(next(each["message"] for each in problems if each["kind"] == "error"), 1)
    try:
        asyncio.run(main())
    except Denied as denied:
        fail(f"refused: {denied}", 1)
