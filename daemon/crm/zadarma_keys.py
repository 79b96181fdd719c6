"""Key and secret of a Zadarma account (ZAD-01): from files that the settings name for a group, and then from nowhere
else; for other groups those that were entered, the secret sealed under a key that is a file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.calls.records import Group
from daemon.calls.zadarma_records import ZadarmaLink
from daemon.crm.vault import Vault, VaultError
from daemon.errors import CommandError, SettingsError
from daemon.ports import Store
from daemon.settings import ZadarmaAccountTable
from daemon.settings_file import read_secret


class ZadarmaKeys:
    """`read`: a settings key and a file to its secret. Files are read when needed: a mended one serves at once."""

    def __init__(
        self, store: Store, vault: Vault, accounts: Sequence[ZadarmaAccountTable] = (),
        read: Callable[[str, str], str] = read_secret,
    ) -> None:  # fmt: skip
        self._store, self._vault, self._read = store, vault, read
        self._accounts = {account.group: account for account in accounts}

    def seal(self, group_id: int, secret: str) -> str:
        """The secret as it is kept."""
        return self._vault.seal({"secret": secret}, f"zadarma of group {group_id}")

    async def account(self, group_id: int) -> ZadarmaAccountTable | None:
        """The files of a group, if the settings name any."""
        group = await self._store.get(Group, group_id) if self._accounts else None
        return self._accounts.get(group.code) if group is not None else None

    async def of(self, link: ZadarmaLink) -> tuple[str, str]:
        """Key and secret, "" for what was never entered. Raises CommandError not_available."""
        account = await self.account(link.group_id)
        if account is not None:
            try:
                key = self._read("zadarma.accounts.key_file", account.key_file)
                return key, self._read("zadarma.accounts.secret_file", account.secret_file)
            except SettingsError as error:
                raise CommandError("not_available", {"what": str(error)}) from error
        try:
            found = self._vault.open(link.sealed, f"zadarma of group {link.group_id}")
        except VaultError as error:
            raise CommandError("not_available", {"what": "the Zadarma secret: enter it again"}) from error
        return link.key, str(found.get("secret", ""))
