"""What an engine needs of the journal of its site; the composition root has it (daemon.sites)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from daemon.calls.facts import AnyFact


class FactLog(Protocol):
    """The journal as the engine sees it (daemon.store.journal)."""

    def append(self, facts: Sequence[AnyFact]) -> None:
        """Take facts for good, in order; their effect may be shown after this returns."""
        ...

    @property
    def full(self) -> bool:
        """No room for new attempts; outcomes are still taken."""
        ...

    @property
    def pending_count(self) -> int:
        """Facts not yet in the store."""
        ...

    @property
    def last_n(self) -> int:
        """The number of the last fact taken."""
        ...

    @property
    def saved_n(self) -> int:
        """Up to this number the store has every fact, but for those that it can never take."""
        ...

    @property
    def older(self) -> bool:
        """The store lacks facts that it had confirmed, and no operator has said yet that this is seen to."""
        ...

    async def verify(self) -> None:
        """Ask the store whether it still has what it had confirmed. Raises StoreUnavailable."""
        ...

    def reconciled(self) -> None:
        """An operator has seen to it. Raises OSError if that can't be kept."""
        ...

    async def run(self) -> None:
        """Apply and sync until cancelled."""
        ...
