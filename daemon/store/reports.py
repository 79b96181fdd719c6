"""Named reports: `store/sql/<name>.sql`, with `:name` parameters. Read by the API, exports and pages.

What several have in common stands once, in `sql/_<part>.sql`, and is named `{part}` where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PART = re.compile(r"\{([a-z_]+)\}")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Report:
    """A statement with positional parameters, and their names in that order."""

    sql: str
    parameters: tuple[str, ...]

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """The values in order; a parameter not given is NULL, which each report reads as "no filter"."""
        if unknown := sorted(set(given) - set(self.parameters)):
            raise ValueError(f"unknown parameter {unknown[0]!r}; known are {', '.join(self.parameters)}")
        return [given.get(name) for name in self.parameters]


@cache
def load(name: str) -> Report:
    """A report by its name. Raises KeyError if there is none."""
    if not _NAME.fullmatch(name):
        raise KeyError(name)
    parameters: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        return f"${parameters.setdefault(match[1], len(parameters) + 1)}"

    text = _PART.sub(lambda match: _text(f"_{match[1]}"), _text(name))
    return Report(_PARAMETER.sub(place, text), tuple(parameters))


def _text(name: str) -> str:
    """A file's SQL without its comments. Raises KeyError if there is none."""
    file = files("daemon.store").joinpath("sql", f"{name}.sql")
    if not file.is_file():
        raise KeyError(name)
    lines = file.read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--")).strip()


def names() -> list[str]:
    """All reports there are."""
    return sorted(
        entry.name.removesuffix(".sql")
        for entry in files("daemon.store").joinpath("sql").iterdir()
        if entry.name.endswith(".sql") and not entry.name.startswith("_")
    )
