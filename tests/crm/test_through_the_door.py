"""The template language as an author meets it: uploaded over the API, tried, and read off what the CRM was sent."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import quoteattr

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from daemon.calls.crm_records import Integration
from tests.crm.test_crm_api import ask, make_api
from tests.crm.test_gjson import DATA, VECTORS

HEAD = """<?xml version="1.1"?><Information Key="own" CallJournal="1"><Scenarios>
<Scenario Id="AuthMethod"><Parameters><Parameter Father="CustomFieldList" Name="url"/>
<Parameter Father="CustomFieldList" Name="word"/></Parameters></Scenario>
<Scenario Id="CallJournal"><Requests><Request Name="CallJournal" Method="POST" URLFormat="{{{{.url}}}}/in?{query}">
<Parameters><Parameter Name="Data" Type="Body" Value={body}/></Parameters><Outputs>{outputs}</Outputs>
</Request></Requests></Scenario></Scenarios></Information>"""


async def tried(
    body: str, word: str = "élan vital!", query: str = "", outputs: str = "", answer: str = "{}"
) -> tuple[str, str, dict[str, str]]:
    """What arrived at the CRM (URL's query, body), and the outputs that the API shows of its answer."""
    seen: list[tuple[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append((request.url.raw_query_string, await request.text()))
        return web.Response(text=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/in", take)
    async with TestServer(app) as crm, make_api() as (office, client):
        xml = HEAD.format(body=quoteattr(body, {"\n": "&#10;"}), query=query, outputs=outputs)
        await ask(client, "POST", "/templates", 201, data=xml.encode())
        fields = {"url": str(crm.make_url("")).rstrip("/"), "word": word}
        row = await ask(client, "POST", "/integrations", 201, json={"name": "x", "template": "own", "fields": fields})
        found = await ask(client, "POST", f"/integrations/{row['id']}/try", json={"step": "journal"})
        assert found["ok"], found
        assert len(await office.world.store.find(Integration)) == 1
        return (*seen[0], found["exchanges"][-1]["outputs"][0] if found["exchanges"][-1]["outputs"] else {})


EXPRESSIONS: dict[str, tuple[str, Any]] = {
    "field": ("{{.word}}", "élan vital!"),
    "branches": ("{{if .nothing}}1{{else if eq .word `x`}}2{{else}}3{{end}}", "3"),
    "pipes": ("{{.word | Capitalize}}{{- /* gone */ -}} {{not (and .word .nothing)}}", "Élan vital!true"),
    "time": ('{{TimeFormat 1672531199 "yyyy-MM-ddTHH:mm:ss.000Zz" "1"}}', "2022-12-31T23:59:59.000Z"),
    "local": ('{{TimeFormat "1672531199" "yyyy-MM-dd HH:mm:ss +0000" "0"}}', "2023-01-01 00:59:59 +0000"),
    "millis": ("{{ToMillis 1672531199}} {{ToMillis `1672531199`}}", "1672531199000 1672531199000"),
    "capital": ("{{Capitalize .word}}{{Capitalize `hello world`}}", "Élan vital!Hello world"),
    "encoded": ("{{UrlEncode `hello world!`}}", "hello%20world%21"),
    "lines": ("one\ntwo", "one\ntwo"),
}


@pytest.mark.feature(
    "YPL-01", clause="fields, branches, pipes, parentheses, trim marks and comments arrive as Go prints them"
)
@pytest.mark.feature("YPL-02", clause="TimeFormat's tokens, its UTC flag, literals kept")
@pytest.mark.feature("YPL-03", clause="ToMillis of a number and of its text")
@pytest.mark.feature("YPL-04", clause="Capitalize, accents too")
@pytest.mark.feature("YPL-05", clause="UrlEncode writes %20")
@pytest.mark.feature("YPL-07", clause="line breaks and quotes of the XML arrive in the JSON")
async def test_the_language() -> None:
    body = "{" + ",".join(f'"{name}":"{text}"' for name, (text, _) in EXPRESSIONS.items()) + "}"
    _, arrived, _ = await tried(body)
    assert json.loads(arrived) == {name: expected for name, (_, expected) in EXPRESSIONS.items()}


@pytest.mark.feature("YPL-07", clause="a name with quotes breaks neither JSON nor URL")
async def test_a_nasty_name_stays_in_its_place() -> None:
    nasty = 'Zoé "Z" \\ &x=1#y/../'
    query, arrived, _ = await tried('{"a":"{{.word}}","b":{{.word}}}', nasty, query="q={{.word}}&amp;r=1")
    assert json.loads(arrived) == {"a": nasty, "b": nasty}
    assert parse_qs(query) == {"q": [nasty], "r": ["1"]}


@pytest.mark.feature("YPL-01", clause="what is not supported is refused at the upload with its place")
@pytest.mark.parametrize("text", ["{{range .x}}{{end}}", "{{printf .a}}", "{{.a", "{{$x := 1}}"])
async def test_refusals_at_the_upload(text: str) -> None:
    async with make_api() as (_, client):
        xml = HEAD.format(body=quoteattr(text), query="", outputs="")
        said = await ask(client, "POST", "/templates", 422, data=xml.encode())
        assert "line 5: body of CallJournal: line 1, column" in said["detail"]


@pytest.mark.feature("YPL-06", clause="vectors, read off a CRM's answer")
@pytest.mark.feature("YPS-04", clause="the first path that gives something; commas in queries do not split")
async def test_paths() -> None:
    """Paths that list records are read record by record (D21), so those are compared in test_gjson; here, the rest."""
    single = [(path, expected) for path, expected in VECTORS if "#." not in path and not path.startswith(".")]
    single = [(path, expected) for path, expected in single if "#(" not in path or "|" in path]
    outputs = "".join(f"<Output Name='V{n}' Path={quoteattr(path)}/>" for n, (path, _) in enumerate(single))
    outputs += "<Output Name='Several' Path='nosuch, price, flag'/>"
    outputs += f"<Output Name='Query' Path={quoteattr('nosuch, price')}/>"
    _, _, found = await tried("{}", outputs=outputs, answer=DATA._text)
    assert [found[f"V{n}"] for n in range(len(single))] == [expected or "" for _, expected in single]
    assert len(single) > 10
    assert found["Several"] == "1.5"


@pytest.mark.feature("YPS-04", clause="a query with a comma is one path")
@pytest.mark.feature("YPL-06", clause="queries answer for the record they match")
async def test_queries_by_record() -> None:
    outputs = (
        "<Output Name='Street' Path='data.#(phone==\"{{.PhoneNational}}\")#-.street,"
        " data.#(mobile==\"{{.PhoneNational}}\")#.street'/><Output Name='Id' Path='data.#.id'/>"
    )
    answer = (
        '{"data":[{"id":1,"mobile":"0123456789","street":"rue, Basse"},{"id":2,"phone":"0123456789","street":"B"}]}'
    )
    _, _, found = await tried("{}", outputs=outputs, answer=answer)
    assert found == {"Street": "rue, Basse", "Id": "1"}
