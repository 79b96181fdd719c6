"""The one error of an import: the file as a whole can't be taken."""

from __future__ import annotations

from daemon.errors import CommandError


class ImportFailed(CommandError):
    """The file as a whole can't be imported: nothing of it is. `row` is where, if it is in one row (1 = the first)."""

    def __init__(self, reason: str, row: int | None = None) -> None:
        where = reason if row is None else f"row {row}: {reason}"
        super().__init__("import_failed", {"reason": where, **({"row": row} if row is not None else {})})
        self.reason, self.row = reason, row
