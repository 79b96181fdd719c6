"""The page that opens with a call, by fields between stars, as OVH's CTI guide has it (OVH-05, 07, 10; D12, D13).

https://crm.example/index.php?action=UnifiedSearch&query_string=*CALLING*
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from daemon.crm.variables import spelled

FIELDS = ("CALLING", "CALLED", "DIALED", "EVENT")
_FIELD = re.compile(r"\*([A-Z]+)\*")


def international(number: str) -> str:
    """Only a leading 00 is an international prefix: 0612003400 has another one inside (D13)."""
    return "+" + number[2:] if re.fullmatch(r"00[1-9][0-9]+", number) else number


def written(number: str, form: str) -> str:
    """A number, as it came, in the hook's format: 00, e164 or national."""
    return spelled(international(number), form)


def hook_url(template: str, values: Mapping[str, str], form: str = "00") -> str:
    """The URL with every field filled, each time it occurs, and encoded. Unknown fields stay as they are; a number's
    field is written in `form`. EVENT is the envelope's."""

    def one(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            return found[0]
        text = values[name] if name not in FIELDS[:3] else written(values[name], form)
        return quote(text, safe="")

    return _FIELD.sub(one, template)
