"""How an integration proves who it is: none, basic, OAuth2 with its code flow, or a bearer token it asks for itself.

Tokens live here and, sealed, in the store (`on_change`). Times are UTC seconds of the given clock. No token is ever in
a log or an answer of the API.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from daemon.clock import Clock
from daemon.crm.gjson import Document, NotJson
from daemon.crm.gotemplate import Scalar, Template, TemplateError, escaping
from daemon.crm.model import CrmTemplate
from daemon.crm.template import TOKEN_REFRESH_MIN
from daemon.crm.wire import CrmError, Exchange, Http, send

EARLY_S = 60.0
"""OAuth2 tokens are renewed this long before they end, so that no request carries one that ends on its way."""
_TOKEN_PATHS = ("access_token", "accessToken", "token", "data.access_token", "data.token", "result.access_token")


class Tokens(msgspec.Struct, kw_only=True):
    """What a CRM has given. `expires_at` 0: it did not say."""

    access: str = ""
    refresh: str = ""
    got_at: float = 0.0
    expires_at: float = 0.0


@dataclass(slots=True)
class CodeFlow:
    """An authorization under way: what the browser must bring back, and what then proves that it is ours."""

    state: str
    verifier: str
    redirect_uri: str
    url: str


class Authenticator:
    """One integration's credentials. `variables` are at hand in every text of the template."""

    def __init__(
        self,
        template: CrmTemplate,
        fields: Mapping[str, str],
        http: Http,
        clock: Clock,
        *,
        tokens: Tokens | None = None,
        on_change: Callable[[Tokens], Awaitable[None]] | None = None,
    ) -> None:
        self.template, self.tokens = template, tokens or Tokens()
        self.fields = dict(fields)
        self.exchanges: list[Exchange] = []
        self._http, self._clock, self._on_change = http, clock, on_change
        self._parameters = template.auth_parameters
        self._lock = asyncio.Lock()

    # -- what requests carry -----------------------------------------------------------------------------------------

    @property
    def variables(self) -> dict[str, Scalar]:
        """Custom fields, `basic_string`, `AccessToken`."""
        known: dict[str, Scalar] = dict(self.fields)
        if self.template.auth == "basic":
            known["basic_string"] = self.basic_string
        if self.tokens.access:
            known["AccessToken"] = self.tokens.access
        return known

    @property
    def basic_string(self) -> str:
        """Base64 of the credential as the template puts it together, in UTF-8 (YPA-02)."""
        text = Template(self._parameters.get("Base64EncodedCredential", "")).render(self.fields)
        return base64.b64encode(text.encode()).decode()

    @property
    def header(self) -> str:
        """The Authorization header's value, "" for none."""
        if self.template.auth == "basic":
            return f"Basic {self.basic_string}"
        if self.template.auth in ("oauth2", "bearertoken") and self.tokens.access:
            return f"{self._parameters.get('TokenType', '').strip() or 'Bearer'} {self.tokens.access}"
        return ""

    @property
    def secrets(self) -> list[str]:
        """What must never be shown."""
        hidden = [self.fields.get(each.name, "") for each in self.template.fields if each.editor == "password"]
        basic = [self.basic_string] if self.template.auth == "basic" else []
        return [text for text in (*hidden, *basic, self.tokens.access, self.tokens.refresh) if text]

    @property
    def connected(self) -> bool:
        """Whether requests can be made without a person's help."""
        if any(each.name not in self.fields for each in self.template.fields):
            return False
        return self.template.auth != "oauth2" or bool(self.tokens.access)

    # -- tokens ------------------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """A token that will do for the next request. A renewal that fails keeps the old one until the CRM refuses it
        (YPA-04). Raises CrmError if there is none at all."""
        if self.template.auth not in ("oauth2", "bearertoken"):
            return
        async with self._lock:
            if not self._due():
                return
            try:
                await self._renew()
            except CrmError:
                if not self.tokens.access:
                    raise

    async def refused(self, token: str) -> bool:
        """The CRM says that `token` is no longer valid: get another, once for all who were told so. False if the
        method has none to give."""
        if self.template.auth not in ("oauth2", "bearertoken"):
            return False
        async with self._lock:
            if self.tokens.access == token:
                await self._renew()
            return True

    def _due(self) -> bool:
        now = self._clock.utcnow().timestamp()
        if not self.tokens.access:
            return True
        ending = self.tokens.expires_at and now >= self.tokens.expires_at - EARLY_S
        if self.template.auth == "oauth2":
            return bool(ending and self.tokens.refresh)
        minutes = self._parameters.get("TokenRefreshInterval", "").strip()
        interval = (int(minutes) if minutes else TOKEN_REFRESH_MIN) * 60
        return bool(interval and (ending or now - self.tokens.got_at >= interval))

    async def _renew(self) -> None:
        if self.template.auth == "oauth2":
            if not self.tokens.refresh:
                raise CrmError("token_invalid", "no access yet, or it has ended: authorize the integration again")
            await self._post({"grant_type": "refresh_token", "refresh_token": self.tokens.refresh})
            return
        request = self.template.scenario("AuthMethod").request("GetToken")
        if request is None:
            await self._post({})
            return
        url = request.url.render(self.fields, escaping.Url())
        headers = {name: text.render(self.fields, escaping.Header()) for name, text in request.headers}
        body = ""
        if request.body is not None:
            sink = escaping.Query() if request.form else escaping.Json()
            body = request.body.render(self.fields, sink)
            headers.setdefault("Content-Type", _FORM if request.form else "application/json")
        found = await self._ask(Exchange("GetToken", request.method, url, headers, body))
        paths = {output.name: [path.render(self.fields) for path in output.paths] for output in request.outputs}
        await self._keep(found, paths.get("AccessToken") or list(_TOKEN_PATHS))

    async def _post(self, form: Mapping[str, str]) -> None:
        """Ask the token endpoint. What its URL already says is not said again in the form."""
        known = {**self.fields, "redirect_uri": form.get("redirect_uri", "")}
        url = self._rendered("TokenEndPoint", known)
        named = url.partition("?")[2]
        credentials: dict[str, str] = {
            name: self.fields[name] for name in ("client_id", "client_secret") if name in self.fields
        }
        asked: dict[str, str] = {**form, **credentials} if form else {}
        body = urlencode({name: text for name, text in asked.items() if f"{name}=" not in f"&{named}"})
        headers: dict[str, str] = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = _FORM
        if self._parameters.get("TokenRequestHeaders", "").strip() == "1":
            for name, text in self.template.headers:
                headers[name] = text.render(self.fields, escaping.Header())
        found = await self._ask(Exchange("Token", "POST", url, headers, body))
        await self._keep(found, list(_TOKEN_PATHS))

    def _rendered(self, parameter: str, known: Mapping[str, str]) -> str:
        try:
            return Template(self._parameters.get(parameter, "").strip()).render(known, escaping.Url())
        except TemplateError as error:
            raise CrmError("template", f"{parameter}: {error}", ours=True) from error

    async def _ask(self, exchange: Exchange) -> Document:
        self.exchanges.append(exchange)
        del self.exchanges[:-10]
        began = self._clock.now()
        try:
            answer = await send(self._http, exchange)
        finally:
            exchange.took_s = self._clock.now() - began
        if not 200 <= answer.status < 300:
            exchange.error = f"the token was refused with status {answer.status}"
            raise CrmError("token_invalid", exchange.error, down=answer.status >= 500 or answer.status == 429)
        try:
            return Document(exchange.answer)
        except NotJson as error:
            exchange.error = "the token's answer is not JSON"
            raise CrmError("not_json", exchange.error) from error

    async def _keep(self, found: Document, paths: list[str]) -> None:
        access = next((text for path in paths if (text := found.get(path).text)), "")
        if not access:
            raise CrmError("token_invalid", "the answer holds no access token")
        now = self._clock.utcnow().timestamp()
        lasts = found.get("expires_in").text
        self.tokens = Tokens(
            access=access,
            refresh=found.get("refresh_token").text or self.tokens.refresh,
            got_at=now,
            expires_at=now + float(lasts) if lasts.replace(".", "", 1).isdecimal() else 0.0,
        )
        if self._on_change is not None:
            await self._on_change(self.tokens)

    # -- OAuth2's code flow (RFC 6749 §4.1, RFC 7636) ---------------------------------------------------------------

    def begin(self, redirect_uri: str, token_bytes: Callable[[int], bytes]) -> CodeFlow:
        """Where to send the browser. PKCE if the template asks for it (parameter PKCE = 1)."""
        state, verifier = token_bytes(24).hex(), token_bytes(32).hex()
        known = self.fields | {"redirect_uri": redirect_uri, "state": state}
        url = self._rendered("AuthEndPoint", known)
        extra = Template(self._parameters.get("AdditionalQueryString", "").strip()).render(known, escaping.Query())
        asked = {"response_type": "code", "client_id": self.fields.get("client_id", ""), "redirect_uri": redirect_uri}
        asked |= {"scope": self._parameters.get("Scope", "").strip(), "state": state}
        if self._parameters.get("PKCE", "").strip() == "1":
            digest = hashlib.sha256(verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        said = f"&{url.partition('?')[2]}&{extra}"
        added = urlencode({name: text for name, text in asked.items() if text and f"&{name}=" not in said})
        query = "&".join(part for part in (extra, added) if part)
        url = f"{url}{'&' if '?' in url else '?'}{query}" if query else url
        return CodeFlow(state, verifier, redirect_uri, url)

    async def finish(self, flow: CodeFlow, code: str) -> None:
        """Exchange the code that came back. Raises CrmError."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": flow.redirect_uri}
        if self._parameters.get("PKCE", "").strip() == "1":
            form["code_verifier"] = flow.verifier
        async with self._lock:
            await self._post(form)


_FORM = "application/x-www-form-urlencoded"
