"""The four ways to prove who we are, on a fake that answers as it is told to; time moves by hand."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from daemon.crm.auth import Authenticator, Tokens
from daemon.crm.caller import Caller
from daemon.crm.http import Answer, OutgoingError
from daemon.crm.template import load
from daemon.crm.wire import CrmError
from tests.store.world import FixedClock


class Wire:
    """An outgoing client: remembers requests, answers from a list (the last again and again)."""

    def __init__(self, *answers: tuple[int, Any] | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, dict[str, str], str]] = []

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", **_: Any
    ) -> Answer:
        self.sent.append((method, url, dict(headers or {}), body.decode()))
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        status, content = found
        return Answer(status, {}, (content if isinstance(content, str) else json.dumps(content)).encode())


def template(method: str, *parameters: tuple[str, str], more: str = "", attributes: str = "") -> Any:
    given = "".join(f'<Parameter Name="{name}" Value="{value}"/>' for name, value in parameters)
    fields = "".join(f'<Parameter Father="CustomFieldList" Name="{name}" Editor="password"/>'
                     for name in ("client_id", "client_secret", "user", "pass"))  # fmt: skip
    return load(
        f'<Information Key="k" {attributes}><Scenarios><Scenario Id="AuthMethod"><Parameters>'
        f'<Parameter Name="AuthMethod" Value="{method}"/>{given}{fields}{more}</Parameters></Scenario>'
        '<Scenario Id="CallJournal"><Requests><Request Name="CallJournal" Method="POST" '
        'URLFormat="https://crm.example/calls"><Outputs><Output Name="JournalId" Path="id"/></Outputs></Request>'
        "</Requests></Scenario></Scenarios></Information>".encode()
    )


FIELDS = {"client_id": "cid", "client_secret": "sec ret", "user": "zoé", "pass": "pä:ss"}
BEARER = (("TokenEndPoint", "https://crm.example/token?client_id={{.client_id}}&amp;client_secret={{.client_secret}}"),)
OAUTH = (
    ("AuthEndPoint", "https://crm.example/auth?x=1"),
    ("TokenEndPoint", "https://crm.example/token"),
    ("Scope", "a.read,b.write"),
)


def caller(wire: Wire, clock: FixedClock, made: Any, tokens: Tokens | None = None) -> Caller:
    return Caller(Authenticator(made, FIELDS, wire, clock, tokens=tokens), wire, clock)


async def journal(of: Caller) -> Any:
    request = of.template.scenario("CallJournal").requests[0]
    return await of.run(request, {})


async def test_none() -> None:
    wire = Wire((200, {"id": "1"}))
    of = caller(wire, FixedClock(), template("none"))
    assert of.auth.connected
    await journal(of)
    assert "Authorization" not in wire.sent[0][2]


async def test_basic() -> None:
    wire = Wire((200, {"id": "1"}))
    more = '<Parameter Father="PopulateTemplateString" Type="Header" Name="X-Copy" Value="{{.basic_string}}"/>'
    of = caller(wire, FixedClock(), template("basic", ("Base64EncodedCredential", "{{.user}}:{{.pass}}"), more=more))
    await journal(of)
    expected = base64.b64encode("zoé:pä:ss".encode()).decode()
    assert wire.sent[0][2]["Authorization"] == f"Basic {expected}"
    assert wire.sent[0][2]["X-Copy"] == expected


async def test_bearer_token_is_renewed_at_25_minutes() -> None:
    wire, clock = Wire((200, {"access_token": "t1", "id": "1"})), FixedClock()
    of = caller(wire, clock, template("bearertoken", *BEARER))
    await journal(of)
    assert [sent[1] for sent in wire.sent] == [
        "https://crm.example/token?client_id=cid&client_secret=sec%20ret", "https://crm.example/calls",
    ]  # fmt: skip
    assert wire.sent[1][2]["Authorization"] == "Bearer t1"
    clock.forward(25 * 60 - 1)
    await journal(of)
    assert len(wire.sent) == 3
    clock.forward(1)
    wire.answers = [(500, "no"), (200, {"id": "1"})]
    await journal(of)
    assert wire.sent[-1][2]["Authorization"] == "Bearer t1"
    never = caller(
        Wire((200, {"access_token": "t1"})), clock, template("bearertoken", *BEARER, ("TokenRefreshInterval", "0"))
    )
    await never.auth.ready()
    clock.forward(86_400)
    await never.auth.ready()
    assert len(never._http.sent) == 1  # type: ignore[attr-defined]


async def test_token_invalid() -> None:
    more = '<Parameter Father="TokenErrorMap" Type="TokenInvalid" Name="TokenInvalid" Value="invalid_token"/>'
    made = template("bearertoken", *BEARER, more=more)
    held = Tokens(access="old", got_at=FixedClock().utcnow().timestamp())
    wire = Wire((401, "invalid_token"), (200, {"access_token": "new"}), (200, {"id": "7"}))
    assert (await journal(caller(wire, FixedClock(), made, held))).first["JournalId"] == "7"
    assert [sent[2].get("Authorization") for sent in wire.sent] == ["Bearer old", None, "Bearer new"]
    wire = Wire((401, "invalid_token"), (200, {"access_token": "new"}), (401, "invalid_token"))
    with pytest.raises(CrmError) as refused:
        await journal(caller(wire, FixedClock(), made, held))
    assert (refused.value.code, len(wire.sent)) == ("token_invalid", 3)
    wire = Wire((200, {"id": "1", "note": "invalid_token"}))
    await journal(caller(wire, FixedClock(), made, held))
    assert len(wire.sent) == 1
    wire = Wire((500, "broken"))
    with pytest.raises(CrmError) as refused:
        await journal(caller(wire, FixedClock(), made, held))
    assert (refused.value.code, refused.value.down, len(wire.sent)) == ("status", True, 1)


@pytest.mark.feature("YPA-03", clause="code flow with state; renewal before the end")
@pytest.mark.parametrize("pkce", [False, True])
async def test_oauth2_code_flow(pkce: bool) -> None:
    wire, clock = Wire((200, {"access_token": "a1", "refresh_token": "r1", "expires_in": 3600})), FixedClock()
    kept: list[Tokens] = []

    async def keep(tokens: Tokens) -> None:
        kept.append(tokens)

    made = template(
        "oauth2", *OAUTH, *([("PKCE", "1")] if pkce else []), ("AdditionalQueryString", "access_type=offline")
    )
    auth = Authenticator(made, FIELDS, wire, clock, on_change=keep)
    assert not auth.connected
    flow = auth.begin("https://us.example/back", lambda n: b"\x07" * n)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(flow.url).query).items()}
    assert (asked["x"], asked["access_type"], asked["scope"]) == ("1", "offline", "a.read,b.write")
    assert (asked["client_id"], asked["redirect_uri"], asked["state"]) == ("cid", "https://us.example/back", flow.state)
    await auth.finish(flow, "the-code")
    form = {name: values[0] for name, values in parse_qs(wire.sent[0][3]).items()}
    assert (form["grant_type"], form["code"], form["client_secret"]) == ("authorization_code", "the-code", "sec ret")
    if pkce:
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    else:
        assert not {"code_challenge"} & set(asked)
    assert kept[-1].refresh == "r1"
    clock.forward(3600 - 61)
    await auth.ready()
    assert len(wire.sent) == 1
    clock.forward(1)
    await auth.ready()
    assert parse_qs(wire.sent[1][3])["grant_type"] == ["refresh_token"]


async def test_headers_of_the_template() -> None:
    more = '<Parameter Father="PopulateTemplateString" Type="Header" Name="X-Client" Value="{{.client_id}}"/>'
    for asked in ("", "1"):
        wire = Wire((200, {"access_token": "t", "id": "1"}))
        await journal(
            caller(wire, FixedClock(), template("bearertoken", *BEARER, ("TokenRequestHeaders", asked), more=more))
        )
        assert [sent[2].get("X-Client") for sent in wire.sent] == ["cid" if asked else None, "cid"]


@pytest.mark.parametrize(
    ("answer", "code", "in_doubt"),
    [
        ((200, "<html>"), "not_json", True),
        ((503, "<html>"), "status", False),
        ((404, ""), "status", False),
        (OutgoingError("timeout", "no answer"), "timeout", True),
        (OutgoingError("too_large", "an answer of more than 2097152 bytes"), "too_large", True),
        (OutgoingError("address_forbidden", "10.0.0.1 is not a public address"), "address_forbidden", False),
    ],
)
async def test_failures(answer: Any, code: str, in_doubt: bool) -> None:
    with pytest.raises(CrmError) as failed:
        await journal(caller(Wire(answer), FixedClock(), template("none")))
    assert (failed.value.code, failed.value.in_doubt) == (code, in_doubt)


async def test_secrets_are_masked_in_what_is_shown() -> None:
    wire = Wire((200, {"id": "1", "echo": "sec ret", "url": "a?s=sec%20ret"}))
    more = '<Parameter Father="PopulateTemplateString" Type="Header" Name="X-Key" Value="{{.client_secret}}"/>'
    of = caller(wire, FixedClock(), template("basic", ("Base64EncodedCredential", "{{.user}}:{{.pass}}"), more=more))
    trace: list[Any] = []
    await of.run(of.template.scenario("CallJournal").requests[0], {}, trace)
    shown = str(trace[0].masked(of.auth.secrets))
    for secret in ("sec ret", "sec%20ret", "pä:ss", of.auth.basic_string):
        assert secret not in shown
    assert "•••" in shown
