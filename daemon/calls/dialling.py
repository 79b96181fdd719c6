"""How a site's PBX is dialled: channel templates, and what may stand in them. Used by every driver.

Pure. In a dial string `&`, `,`, `(` and line ends mean more than a destination, so each value is wholly of its pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from daemon.errors import FieldRefused

NUMBER: Final = re.compile(r"[0-9A-D*#+]{1,40}")
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,80}")
SOUND: Final = re.compile(r"[A-Za-z0-9_./-]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTemplates:
    """How this PBX is dialled; the names are those of the site's settings."""

    agent_channel: str = "PJSIP/{extension}"
    customer_channel: str = "PJSIP/{number}@{trunk}"
    customer_context: str = "cadran-customer"
    agent_context: str = "cadran-agent"

    def customer(self, number: str, trunk: str) -> str:
        """The dial string to a customer. Raises FieldRefused for a value that means more than a destination."""
        number, trunk = checked("number", number, NUMBER), checked("trunk", trunk, NAME)
        return self.customer_channel.format(number=number, trunk=trunk)

    def agent(self, extension: str) -> str:
        """The dial string to an agent's phone. Raises FieldRefused."""
        return self.agent_channel.format(extension=checked("extension", extension, NAME))


def caller_of(number: str) -> str:
    """The caller shown to a customer, as both protocols write it; empty for none. Raises FieldRefused."""
    return f"<{checked('caller_id', number, NUMBER)}>" if number else ""


def agents_caller(name: str, number: str) -> str:
    """The caller shown on an agent's phone; `name` tells why it rings. Raises FieldRefused."""
    return f'"{display(name)}" <{checked("caller_id", number, NUMBER)}>'


def checked(field: str, value: str, pattern: re.Pattern[str]) -> str:
    """`value` if it is wholly of `pattern`. Raises FieldRefused: in a dial string, `&`, `,` and `(` have a meaning."""
    if not pattern.fullmatch(value):
        raise FieldRefused(field, f"{value!r} has characters that have a meaning in a dial string, or none at all")
    return value


def display(name: str) -> str:
    """A caller's name as it may stand between quotes."""
    return re.sub(r'["<>\\]', "", name)
