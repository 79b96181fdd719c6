"""Which web origins may use a group's click-to-call (features C2C-08, D9). CORS is no authentication: the token is."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def allowed(origin: str, entries: Sequence[str]) -> bool:
    """Whether `origin` (an Origin header) is listed. Empty list = every origin; a sub-domain is never implied.

    An entry is a host (`exemple.com`: any scheme, its default port), a host with port, or a whole origin.
    """
    if not entries:
        return True
    try:
        asked = urlsplit(origin)
        asked_port = asked.port or DEFAULT_PORTS.get(asked.scheme, 0)
    except ValueError:
        return False
    if asked.scheme not in DEFAULT_PORTS or not asked.hostname:
        return False
    return any(_matches(asked.scheme, asked.hostname.lower(), asked_port, entry.strip().lower()) for entry in entries)


def _matches(scheme: str, host: str, port: int, entry: str) -> bool:
    if not entry:
        return False
    try:
        listed = urlsplit(entry if "://" in entry else f"//{entry}")
        listed_port = listed.port
    except ValueError:
        return False
    if listed.hostname != host or (listed.scheme and listed.scheme != scheme):
        return False
    return port == (listed_port or DEFAULT_PORTS[scheme])
