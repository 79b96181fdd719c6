"""Numbers typed or sent by people: E.164, or an error that names the field, the value and the reason."""

from __future__ import annotations

from daemon.calls.records import Client
from daemon.compliance.numbers import normalise
from daemon.errors import CommandError
from daemon.ports import Store


def e164_of(raw: str, field: str, *, postal_code: str = "", allow_special: bool = False) -> str:
    """The E.164 of `raw`. Raises number_invalid; premium, short and emergency numbers are always refused."""
    number = normalise(raw, postal_code=postal_code, allow_special=allow_special)
    if number.refused is not None:
        raise CommandError("number_invalid", {"field": field, "value": raw[:40], "reason": number.refused.value})
    return number.e164


async def refuse_red_listed(store: Store, group_id: int, e164: str) -> None:
    """Who asked any client of the group not to be called is not called by another way either. Raises call_forbidden."""
    for client in await store.find(Client, group_id=group_id):
        if await store.on_red_list(client.id, e164):
            raise CommandError("call_forbidden", {"rule": "red_list", "clause": "red list", "until": None})
