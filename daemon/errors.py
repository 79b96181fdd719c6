"""Every error the daemon raises on purpose. Third-party exceptions are mapped to these once, at the edge.

A busy line or an unanswered one is a result of a call and raises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DaemonError(Exception):
    """Base of all errors of ours."""


class SettingsError(DaemonError):
    """Settings that can't be used, so the daemon does not start; says which key has which value, and what may stand.
    Of a table its keys alone are told: what stands in one that nobody asked for may be a secret."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        if isinstance(value, dict):
            value = f"a table of {', '.join(map(str, value))}"
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            value = "a list of tables or lists"
        super().__init__(f"{key} = {value!r}: {allowed}")
        self.key, self.value, self.allowed = key, value, allowed


class PbxError(DaemonError):
    """Base of what can go wrong with a PBX."""


class PbxUnavailable(PbxError):
    """No link at present; retry later. `code` is stable (`refused`, `not_permitted`, `timeout`, `lost`, …)."""

    def __init__(self, message: str, code: str = "unreachable") -> None:
        super().__init__(message)
        self.code = code


class PbxRejected(PbxError):
    """The PBX refused one action (its Message is the text). The link is fine."""


class FieldRefused(PbxRejected):
    """An action that must not be written to the PBX; nothing was sent. `field` names the header at fault."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class PbxInDoubt(PbxError):
    """An action was written, and the link went before its answer came: it may or may not have been executed."""


class PbxProtocolError(PbxError):
    """The peer does not speak the protocol: drop the link."""


class StoreError(DaemonError):
    """Base of what can go wrong with the store."""


class StoreUnavailable(StoreError):
    """No database at present; retry later. Facts are safe in the journal."""


class StoreBusy(StoreUnavailable):
    """Others use all there is room for; the database itself answers."""


class FactsLost(StoreError):
    """The daemon ends and can't keep what the store lacks: the journal's disk took no more. Told by exit code 1."""


class StoreConflict(StoreError):
    """The row changed since it was read, or a uniqueness rule refused it. `field` names it where known."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CommandError(DaemonError):
    """The operator asked for something that can't be done. `code` is stable and is a row of daemon.api.errors."""

    def __init__(self, code: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code} {dict(details or {})}" if details else code)
        self.code, self.details = code, dict(details or {})


class InvariantViolated(DaemonError):
    """Ours: close that call, suspend its campaign, alert; everything else goes on."""
