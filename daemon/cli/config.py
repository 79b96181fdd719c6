"""Where the settings are: `--config`, else $CADRAN_CONFIG, else /etc/cadran/cadran.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="CADRAN_CONFIG", help="The settings file.", show_default=True),
]
DEFAULT = Path("/etc/cadran/cadran.toml")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
