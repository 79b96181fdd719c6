"""`cadran person`: a person's rights from the command line of the daemon's machine (docs/data-protection.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from daemon.cli.config import DEFAULT, ConfigPath
from daemon.cli.output import as_json, fail
from daemon.cli.remote import Refused, Remote
from daemon.settings_file import load

app = typer.Typer(help="A person's rights: access, rectify, erase, export, object.", no_args_is_help=True)
NumberArgument = Annotated[str, typer.Argument(help="The person's number, as people write it.")]
GroupOption = Annotated[int, typer.Option("--group", help="Id of the group; 0 = the first one.")]


def _ask(config: Any, right: str, body: Mapping[str, Any]) -> None:
    async def main() -> Any:
        async with Remote(load(config)) as remote:
            return await remote.ask("POST", f"/api/v1/people/{right}", dict(body))

    try:
        as_json(asyncio.run(main()))
    except Refused as refused:
        fail(f"refused: {refused}", 1)


@app.command()
def access(number: NumberArgument, group: GroupOption = 0, config: ConfigPath = DEFAULT) -> None:
    """All that is held of this number, as JSON."""
    _ask(config, "access", {"number": number, "group_id": group})


@app.command("export")
def take_along(number: NumberArgument, group: GroupOption = 0, config: ConfigPath = DEFAULT) -> None:
    """What the person gave us, as JSON to take along."""
    _ask(config, "export", {"number": number, "group_id": group})


@app.command()
def rectify(
    number: NumberArgument,
    changes: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE...", help="For instance last_name=Durand.")],
    group: GroupOption = 0,
    config: ConfigPath = DEFAULT,
) -> None:
    """Put right what is held, in every list."""
    wrong = [each for each in changes if "=" not in each]
    if wrong:
        fail(f"{wrong[0]}: write FIELD=VALUE, for instance last_name=Durand", 2)
    pairs = dict(each.split("=", 1) for each in changes)
    _ask(config, "rectify", {"number": number, "group_id": group, "changes": pairs})


@app.command()
def erase(
    number: NumberArgument,
    reason: Annotated[str, typer.Option(help="For the audit log; no names or numbers.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    group: GroupOption = 0,
    config: ConfigPath = DEFAULT,
) -> None:
    """Forget the person. Can't be undone."""
    if not yes:
        typer.confirm("Erase all names, notes and this number for good?", abort=True)
    _ask(config, "erase", {"number": number, "group_id": group, "reason": reason})


@app.command("object")
def object_to_calls(
    number: NumberArgument,
    client: Annotated[int, typer.Option(help="Id of the client; 0 = all of the group.")] = 0,
    reason: Annotated[str, typer.Option(help="For the audit log.")] = "",
    group: GroupOption = 0,
    config: ConfigPath = DEFAULT,
) -> None:
    """Never call this number again."""
    _ask(config, "object", {"number": number, "group_id": group, "client_id": client, "reason": reason})
