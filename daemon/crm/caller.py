"""Runs a template's requests: renders them, sends them, reads their outputs. One `Caller` an integration.

Never more than MaxConcurrentRequest in flight (YPT-03). Decisions: D20 (ContactsId and ContactId are one), D21
(records, not columns), D22 and D30 (escaping by place).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from daemon.clock import Clock
from daemon.crm.auth import Authenticator
from daemon.crm.gjson import Document, PathError, TooDeep
from daemon.crm.gotemplate import Scalar, TemplateError, escaping
from daemon.crm.model import Request
from daemon.crm.template import CHAIN_MAX
from daemon.crm.wire import CrmError, Exchange, Http, checked_body, document_of, retry_after_s, send

ROWS_MAX = 2000
"""Records taken from one answer: users of a CRM; contacts that match a number are a handful."""
CHAINED_MAX = 20
"""Records for which a further request is made: each costs a round trip."""
BIG_ANSWER = 100_000
"""Characters from which paths are followed in a thread, so that the daemon's loop goes on meanwhile."""
ERROR = "Error"
"""Our addition: an output of this name that is not empty says that the request failed, whatever the status was."""
_ALIASES = {"ContactsId": "ContactId", "ContactId": "ContactsId"}

Row = dict[str, str]


@dataclass(slots=True)
class Reply:
    """What a request gave: its records, each name to text. `exchange` None: the URL was empty, nothing was sent."""

    rows: list[Row] = field(default_factory=list)
    exchange: Exchange | None = None

    @property
    def first(self) -> Row:
        """The first record, empty if there is none."""
        return self.rows[0] if self.rows else {}


class Caller:
    """Requests of one integration."""

    def __init__(self, auth: Authenticator, http: Http, clock: Clock, zone: tzinfo = UTC) -> None:
        self.auth, self.template = auth, auth.template
        self.zone = zone
        self.globals: dict[str, str] = {}
        self.in_flight = 0
        self.in_flight_max = 0
        self._http, self._clock = http, clock
        self._room = asyncio.Semaphore(self.template.requests_max)

    async def run(
        self,
        request: Request,
        variables: Mapping[str, Scalar],
        trace: list[Exchange] | None = None,
        key: str = "",
        depth: int = 0,
    ) -> Reply:
        """One request with its chain. `key`: sent as Idempotency-Key. Raises CrmError.

        An empty URL means that the template skips the request here.
        """
        exchange = self._rendered(request, variables, key)
        if not exchange.url:
            return Reply()
        document = await self._exchange(request, variables, exchange, trace, key)
        if document is None:
            return Reply([], exchange)
        if len(exchange.answer) > BIG_ANSWER:
            rows = await asyncio.to_thread(self._rows, request, document, variables)
        else:
            rows = self._rows(request, document, variables)
        exchange.outputs = rows[:CHAINED_MAX]
        if said := self._refusal(request, document, variables):
            exchange.error = f"the CRM refused: {said[:300]}"
            raise CrmError("rejected", exchange.error)
        if request.next and depth < CHAIN_MAX:
            for row in rows[:CHAINED_MAX]:
                await self._chain(request, row, variables, trace, depth)
        return Reply(rows, exchange)

    async def _chain(
        self, request: Request, row: Row, variables: Mapping[str, Scalar], trace: list[Exchange] | None, depth: int
    ) -> None:
        """YPS-15: the Common request, with this record's variables; only what is empty is filled."""
        following = self.template.scenario("Common").request(request.next)
        if following is not None:
            reply = await self.run(following, {**variables, **row}, trace, depth=depth + 1)
            for name, text in reply.first.items():
                if not row.get(name):
                    row[name] = text

    def known(self, variables: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Everything a text may name: global information, credentials' fields, what this call brings."""
        return {**self.globals, **self.auth.variables, **variables}

    def _rendered(self, request: Request, variables: Mapping[str, Scalar], key: str) -> Exchange:
        known = self.known(variables)
        try:
            url = request.url.render(known, escaping.Url(), self.zone)
            exchange = Exchange(request.name, request.method, url, {})
            for name, text in (*self.template.headers, *request.headers):
                exchange.headers[name] = text.render(known, escaping.Header(), self.zone)
            if key:
                exchange.headers.setdefault("Idempotency-Key", key)
            given = {name.lower(): text for name, text in exchange.headers.items()}
            if "accept" not in given:
                exchange.headers["Accept"] = "application/json"
            if request.body is None or not url:
                return exchange
            kind = given.get("content-type", "")
            form = request.form or "urlencoded" in kind
            if not kind:
                exchange.headers["Content-Type"] = _FORM if form else "application/json"
            as_json = not form and ("json" in kind or not kind)
            sink = escaping.Json() if as_json else escaping.Query() if form else escaping.Plain()
            body = request.body.render(known, sink, self.zone)
        except TemplateError as error:
            raise CrmError("template", f"{request.name}: {error}", ours=True) from error
        exchange.body = checked_body(body) if as_json and body.strip() else body
        return exchange

    async def _exchange(
        self,
        request: Request,
        variables: Mapping[str, Scalar],
        exchange: Exchange,
        trace: list[Exchange] | None,
        key: str,
    ) -> Document | None:
        """Send; once more with a new token if the CRM says that the old one is no longer valid (YPA-05)."""
        await self.auth.ready()
        for attempt in (1, 2):
            token = self.auth.tokens.access
            if attempt == 2:
                renewed = self._rendered(request, variables, key)
                exchange.url, exchange.headers, exchange.body = renewed.url, renewed.headers, renewed.body
            elif token:  # the token may have been asked for only now
                exchange.headers |= self._rendered(request, variables, key).headers
            if self.auth.header and not any(name.lower() == "authorization" for name in exchange.headers):
                exchange.headers["Authorization"] = self.auth.header
            try:
                return await self._once(exchange, trace)
            except CrmError as error:
                if error.code != "token_invalid" or attempt == 2 or not await self.auth.refused(token):
                    raise
                exchange.headers = {}
        return None

    async def _once(self, exchange: Exchange, trace: list[Exchange] | None) -> Document | None:
        if trace is not None and exchange not in trace:
            trace.append(exchange)
        async with self._room:
            self.in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self.in_flight)
            began = self._clock.now()
            try:
                answer = await send(self._http, exchange)
            finally:
                self.in_flight -= 1
                exchange.took_s = self._clock.now() - began
        if answer.status >= 300:
            exchange.error = f"status {answer.status}"
            if self._token_invalid(answer.status, exchange.answer):
                raise CrmError("token_invalid", f"status {answer.status}: the access is no longer valid")
            away = answer.status >= 500 or answer.status == 429
            raise CrmError("status", f"{exchange.name}: status {answer.status}", down=away,
                           retry_after_s=retry_after_s(answer))  # fmt: skip
        exchange.error = ""
        return document_of(answer, exchange)

    def _token_invalid(self, status: int, body: str) -> bool:
        """The template says what marks it; without a word from it, 401 does where there is a token to renew."""
        if self.template.token_invalid:
            return any(marker in body for marker in self.template.token_invalid)
        return status == 401 and self.template.auth in ("oauth2", "bearertoken")

    def _refusal(self, request: Request, document: Document, variables: Mapping[str, Scalar]) -> str:
        """What the outputs named Error hold, asked of the whole answer: one without records can be an error too."""
        known = self.known(variables)
        paths = [path for output in request.outputs if output.name == ERROR for path in output.paths]
        try:
            found = (document.get(path.render(known, escaping.Path(), self.zone)).text for path in paths)
            return next((text for text in found if text), "")
        except (PathError, TooDeep, TemplateError) as error:
            raise CrmError("template", f"{request.name}: {error}", ours=True) from error

    def _rows(self, request: Request, document: Document, variables: Mapping[str, Scalar]) -> list[Row]:
        """Records by their outputs: for each output the first of its paths that gives something (YPS-04)."""
        known = self.known(variables)
        try:
            names, paths = [], []
            for output in request.outputs:
                for path in output.paths if output.name != ERROR else ():
                    names.append(output.name)
                    paths.append(path.render(known, escaping.Path(), self.zone))
            found = document.rows(paths)[:ROWS_MAX] if paths else []
        except (PathError, TooDeep, TemplateError) as error:
            raise CrmError("template", f"{request.name}: {error}", ours=True) from error
        rows = []
        for values in found:
            row: Row = {}
            for name, value in zip(names, values, strict=True):
                row[name] = row.get(name) or value.text
            rows.append(with_aliases(row))
        return rows


def with_aliases(row: Row) -> Row:
    """D20: the source calls one value ContactsId here and ContactId there; both are set."""
    for name, other in _ALIASES.items():
        if row.get(name) and not row.get(other):
            row[other] = row[name]
    return row


def first_of(rows: Sequence[Row], name: str) -> Row | None:
    """The first record that has `name`."""
    return next((row for row in rows if row.get(name)), None)


_FORM = "application/x-www-form-urlencoded"
