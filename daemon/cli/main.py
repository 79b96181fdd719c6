"""`cadran`: one Typer application; each group of commands lives in its own module, heavy parts are loaded when used."""

from __future__ import annotations

import sys

import typer

from daemon import __version__
from daemon.cli import crm, leads, people, remote, serve, tokens
from daemon.cli.output import fail
from daemon.errors import DaemonError, SettingsError, StoreUnavailable

app = typer.Typer(
    name="cadran",
    help="An outbound-calling engine that runs beside an Asterisk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _top(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(f"cadran {__version__}")
        raise typer.Exit


serve.register(app)
remote.register(app)
serve.db.command("reconciled")(remote.reconciled)
leads.register(app)
app.add_typer(tokens.app, name="token")
app.add_typer(crm.app, name="crm")
app.add_typer(people.app, name="person")


def main() -> None:
    """Entry point: every error of ours is one line on standard error and an exit code of the table."""
    try:
        app()
    except SettingsError as error:
        fail(str(error), 3)
    except StoreUnavailable as error:
        fail(f"the database does not answer: {error}", 4)
    except DaemonError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
