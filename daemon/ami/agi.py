"""Reading what AsyncAGI and AMD() answer. Facts: FIELD-NOTES 3."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from daemon.calls.events import Amd

_VERDICTS: Final = {
    "HUMAN": Amd.HUMAN,
    "MACHINE": Amd.MACHINE,
    "NOTSURE": Amd.NOTSURE,
    "HANGUP": Amd.HANGUP,
    "FAX": Amd.FAX,
}


def verdict_of(status: str) -> Amd:
    """AMDSTATUS in our words; NOTSURE for anything else, such as no AMD() on the PBX."""
    return _VERDICTS.get(status, Amd.NOTSURE)


def whole(text: str) -> int:
    """The number in a header; 0 for an empty, absent or odd one."""
    return int(text) if text.lstrip("-").isdecimal() else 0


def agi_result(result: str) -> tuple[int, str]:
    """`200%20result%3D1%20(HUMAN)%0A` → (1, "HUMAN"). A reply that is no 200 gives (-2, its text)."""
    text = unquote(result).strip()
    if not text.startswith("200 result="):
        return -2, text
    code, _, value = text[11:].partition(" ")
    return whole(code), value[1:-1] if value.startswith("(") and value.endswith(")") else value


def greeting_silence_s(cause: str) -> float:
    """Seconds between the end of a human greeting and the decision: AMDCAUSE is HUMAN-<silence ms>-<limit ms>."""
    parts = cause.split("-")
    return int(parts[1]) / 1000 if len(parts) >= 2 and parts[0] == "HUMAN" and parts[1].isdecimal() else 0.0
