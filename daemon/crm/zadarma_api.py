"""Zadarma's dialect: how notifications and requests are signed, and its API behind the guarded way out.

A signature is the base64 of the hexadecimal text of an HMAC-SHA1, not of the digest's bytes.
Source: zadarma/user-api-v1 and zadarma/user-api-py-v1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from daemon.crm.http import OutgoingError
from daemon.crm.wire import Http
from daemon.errors import CommandError

_INBOUND = ("caller_id", "called_did", "call_start")
_OUTBOUND = ("internal", "destination", "call_start")
SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    "NOTIFY_START": _INBOUND,
    "NOTIFY_INTERNAL": _INBOUND,
    "NOTIFY_ANSWER": ("caller_id", "destination", "call_start"),
    "NOTIFY_END": _INBOUND,
    "NOTIFY_OUT_START": _OUTBOUND,
    "NOTIFY_OUT_END": _OUTBOUND,
    "NOTIFY_RECORD": ("pbx_call_id", "call_id_with_rec"),
    "NOTIFY_IVR": _INBOUND,
}
"""Event → the fields whose values, one behind the other, are signed."""
TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 1 << 20


def sign(secret: str, text: str) -> str:
    """The signature of a text."""
    digest = hmac.new(secret.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha1)
    return base64.b64encode(digest.hexdigest().encode()).decode()


def signature_of(secret: str, fields: Mapping[str, str]) -> str:
    """Of a notification whose event is one of SIGNED; a field that is missing counts as empty."""
    return sign(secret, "".join(fields.get(name, "") for name in SIGNED[fields["event"]]))


def same(given: str, right: str) -> bool:
    """Compared in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), right.encode())


def query(params: Mapping[str, str]) -> str:
    """Sorted by name and encoded as PHP's RFC 1738 way has it: a space is `+`, and `~` is `%7E` (Python leaves it)."""
    pairs = (f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(params.items()))
    return "&".join(pairs).replace("~", "%7E")


def authorization(key: str, secret: str, method: str, encoded: str) -> str:
    """The header of a request: `method` is the path, `encoded` its parameters."""
    summed = hashlib.md5(encoded.encode(), usedforsecurity=False).hexdigest()
    return f"{key}:{sign(secret, method + encoded + summed)}"


class ZadarmaClient:
    """Requests to one account."""

    def __init__(self, http: Http, api_url: str, key: str, secret: str) -> None:
        self._http, self._url, self._key, self._secret = http, api_url.rstrip("/"), key, secret

    async def get(self, method: str, **params: str) -> dict[str, Any]:
        """The answer of a method such as `/v1/info/balance/`. Raises CommandError zadarma_failed with the reason."""
        encoded = query({**params, "format": "json"})
        headers = {"Authorization": authorization(self._key, self._secret, method, encoded)}
        try:
            answer = await self._http.request(
                "GET", f"{self._url}{method}?{encoded}", headers=headers, timeout_s=TIMEOUT_S,
                bytes_max=ANSWER_BYTES_MAX, redirects_max=0,
            )  # fmt: skip
        except OutgoingError as error:
            raise CommandError("zadarma_failed", {"reason": str(error)[:200]}) from error
        if answer.status == 429:
            raise CommandError("zadarma_failed", {"reason": "429: its limit of requests is reached"})
        try:
            body = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            body = None
        if not isinstance(body, dict):
            raise CommandError("zadarma_failed", {"reason": f"{answer.status}: the answer is no JSON object"})
        if answer.status >= 300 or body.get("status") == "error":
            said = str(body.get("message", ""))[:200].replace(self._secret, "•••")
            raise CommandError("zadarma_failed", {"reason": f"{answer.status}: {said}"})
        return body

    async def callback(self, start: str, to: str, *, sip: str = "", predicted: bool = False) -> dict[str, Any]:
        """Ring `start`, then `to`; with `predicted`, `to` first (ZAD-11). Both are digits only."""
        more = {"sip": sip} if sip else {}
        more |= {"predicted": "1"} if predicted else {}
        return await self.get("/v1/request/callback/", **{"from": start, "to": to}, **more)

    async def extensions(self) -> list[str]:
        """The account's extensions (ZAD-07)."""
        numbers = (await self.get("/v1/pbx/internal/")).get("numbers", [])
        return [str(each) for each in numbers if isinstance(each, str | int)] if isinstance(numbers, list) else []

    async def balance(self) -> dict[str, Any]:
        """`balance` and `currency` (ZAD-10)."""
        body = await self.get("/v1/info/balance/")
        try:
            return {"balance": float(body["balance"]), "currency": str(body.get("currency", ""))[:10]}
        except (KeyError, TypeError, ValueError) as error:
            raise CommandError("zadarma_failed", {"reason": "no balance in the answer"}) from error

    async def recording(self, call_id: str) -> tuple[str, str]:
        """A recording's link, and until when it holds (ZAD-13)."""
        body = await self.get("/v1/pbx/record/request/", call_id=call_id)
        link = body.get("link")
        if not isinstance(link, str) or not link.startswith("https://"):
            raise CommandError("zadarma_failed", {"reason": "no link in the answer"})
        return link[:2000], str(body.get("lifetime_till", ""))[:40]
