"""One HTTP exchange with a CRM: sent through the guarded client, judged, kept for showing with its secrets masked.

What can't be known is said: `CrmError.in_doubt` is true when the request may have arrived though no usable answer came.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

import aiohttp

from daemon.crm.gjson import Document, NotJson
from daemon.crm.http import Answer, OutgoingError
from daemon.errors import DaemonError

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 2 << 20
"""Both from the source of YPS-17."""
SHOWN_CHARS_MAX = 20_000
MASK = "•••"
HIDDEN_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})


class Http(Protocol):
    """The outgoing client (daemon.crm.http.Outgoing)."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
        bytes_max: int | None = None,
        redirects_max: int | None = None,
    ) -> Answer: ...


class CrmError(DaemonError):
    """A request to a CRM that did not do what it was for.

    `code`: the client's codes (timeout, unreachable, …), or status, not_json, token_invalid, rejected, template, body.
    `in_doubt`: it may have been carried out. `ours`: the template or the settings are wrong, so a retry can't help.
    `down`: the CRM as a whole seems to be away. `retry_after_s`: it asked for patience.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        in_doubt: bool = False,
        ours: bool = False,
        down: bool = False,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.code, self.in_doubt, self.ours, self.down = code, in_doubt, ours, down
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Exchange:
    """A request and what came of it, as the step-by-step test shows it."""

    name: str
    method: str
    url: str
    headers: dict[str, str]
    body: str = ""
    status: int = 0
    answer: str = ""
    error: str = ""
    took_s: float = 0.0
    outputs: list[dict[str, str]] = field(default_factory=list)

    def masked(self, secrets: Iterable[str]) -> Exchange:
        """The same without secrets: neither as they are nor URL-, JSON- or Base64-encoded."""
        hide = Mask(secrets)
        headers = {name: MASK if name.lower() in HIDDEN_HEADERS else hide(text) for name, text in self.headers.items()}
        outputs = [{name: hide(text) for name, text in row.items()} for row in self.outputs]
        return Exchange(
            self.name, self.method, hide(self.url), headers, hide(self.body), self.status,
            hide(self.answer)[:SHOWN_CHARS_MAX], hide(self.error), self.took_s, outputs,
        )  # fmt: skip


class Mask:
    """Replaces secrets in texts. Those of one or two characters can't be hidden without hiding everything."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= 3:
                raw = secret.encode("utf-8", "replace")
                forms |= {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], base64.b64encode(raw).decode()}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


async def send(http: Http, exchange: Exchange) -> Answer:
    """Send it. Raises CrmError, with the exchange's `error` set. Only a GET follows redirects: a body with a person's
    data goes to the address that the template names and to no other."""
    try:
        answer = await http.request(
            exchange.method,
            exchange.url,
            headers=exchange.headers,
            body=exchange.body.encode(),
            timeout_s=TIMEOUT_S,
            bytes_max=ANSWER_BYTES_MAX,
            redirects_max=3 if exchange.method == "GET" else 0,
        )
    except OutgoingError as error:
        exchange.error = f"{error.code}: {error}"
        sent = not error.refused and error.code != "name_unknown" and not _never_left(error)
        down = error.code in ("timeout", "unreachable", "name_unknown", "tls")
        raise CrmError(error.code, str(error), in_doubt=sent, ours=error.refused, down=down) from error
    exchange.status, exchange.answer = answer.status, answer.text()
    return answer


def _never_left(error: OutgoingError) -> bool:
    """Whether no connection was made at all, so that nothing can have been carried out."""
    cause: BaseException | None = error.__cause__
    return error.code == "tls" or isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def checked_body(text: str) -> str:
    """A body that is meant to be JSON. Raises CrmError if it is not, before anything is sent."""
    try:
        Document(text)
    except NotJson as error:
        raise CrmError("body", f"the request's body is not JSON once its values are in: {error}", ours=True) from error
    return text


def document_of(answer: Answer, exchange: Exchange) -> Document | None:
    """The JSON of a good answer; None if it has no content. Raises CrmError (YPS-17)."""
    text = exchange.answer.strip()
    if not text:
        return None
    try:
        return Document(text)
    except NotJson as error:
        kind = answer.headers.get("Content-Type", "no content type").partition(";")[0][:60]
        exchange.error = f"the answer is not JSON but {kind}"
        raise CrmError("not_json", exchange.error, in_doubt=True) from error


def retry_after_s(answer: Answer) -> float:
    """Seconds of a Retry-After header, 0 without one; dates are not used by the CRMs we know."""
    text = answer.headers.get("Retry-After", "").strip()
    return min(3600.0, float(text)) if re.fullmatch(r"[0-9]{1,6}", text) else 0.0
