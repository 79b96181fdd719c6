"""The Salesforce example, as far as it goes without Salesforce.

What the Apex class would send is read from its source, sent as those bytes, and its reading of the answer is done on
what comes back; the Lightning component runs in node with stand-ins for the platform's modules.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import xml.etree.ElementTree as Xml
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.engine import commands as c
from tests.api.fakes import World

Client = TestClient[Any, Any]
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples" / "salesforce"
APEX = (FOLDER / "CadranCall.cls").read_text("utf-8")


def arguments(method: str) -> list[list[str]]:
    """The text arguments of each call of a method of `request`."""
    return [re.findall(r"'([^']*)'", each) for each in re.findall(rf"request\.{method}\((.*)\);", APEX)]


async def send(client: Client, token: str, phone: str) -> str:
    """The class's request, by hand, with the Named Credential's header; what `call` returns or throws."""
    [[endpoint]] = arguments("setEndpoint")
    [[method]] = arguments("setMethod")
    [[field]] = arguments("setBody")
    path = endpoint.removeprefix("callout:Cadran")
    body = json.dumps({field: phone}, ensure_ascii=False, separators=(",", ":")).encode()
    host = f"{client.host}:{client.port}"
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {token}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in arguments("setHeader")] + [f"Content-Length: {len(body)}"]
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    head, _, answer = (await asyncio.wait_for(reader.read(), 60)).partition(b"\r\n\r\n")
    writer.close()
    assert b"application/json" in head and b"chunked" not in head.lower()
    result = json.loads(answer)
    good, error, id = re.findall(r"result\.get\('(\w+)'\)", APEX)
    return f"error: {result[error]}" if result[good] is not True else str(result[id])


@pytest.mark.feature(
    "C2C-14", clause="Salesforce: what the Apex class sends and reads is what the daemon takes and gives"
)
async def test_the_apex_class_speaks_to_the_daemon(client: Client, world: World) -> None:
    token = world.tokens["c2c"]
    assert await send(client, token, "0199 00 01 23") == "12345"
    [command] = world.door.of(c.CallExtension)
    assert command.e164 == "+33199000123"
    assert await send(client, token, "112") == "error: Appel interdit : urgence"
    assert await send(client, "wrong", "0199000123") == "error: API Token invalide"


def test_the_apex_class_is_well_formed() -> None:
    code = re.sub(r"//[^\n]*|'(?:[^'\\]|\\.)*'", "", APEX)
    open_: list[str] = []
    for sign in code:
        if sign in "({[":
            open_.append(sign)
        elif sign in ")}]":
            assert open_.pop() + sign in ("()", "{}", "[]")
    assert not open_ and "'" not in code
    for line in code.splitlines():
        assert not line.strip() or line.strip()[-1] in "{};" or line.strip().startswith("@"), line
    [timeout] = re.findall(r"setTimeout\((\d+)\)", APEX)
    assert 5000 < int(timeout) <= 120_000, "longer than the daemon's own deadline, as Salesforce allows"


COMPONENT = r"""
const fs = require('fs');
const source = fs.readFileSync(process.argv[1], 'utf8')
  .replace(/^import .*;$/gm, '').replace(/@api |@wire\(.*\) /g, '').replace('export default class', 'return class');
class LightningElement { dispatchEvent(event) { toasts.push(event); } }
class ShowToastEvent { constructor(fields) { Object.assign(this, fields); } }
const toasts = [], asked = [];
let next;
const call = (given) => { asked.push(given); return next; };
const make = new Function('LightningElement', 'ShowToastEvent', 'getFieldValue', 'call', 'PHONE', source);
const Button = make(LightningElement, ShowToastEvent, (data, field) => data && data[field], call, 'Phone');
(async () => {
  const button = new Button();
  button.record = { data: undefined };
  const empty = button.blocked;
  await button.dial();
  button.record = { data: { Phone: '0199000123' } };
  next = Promise.resolve('12345');
  await Promise.all([button.dial(), button.dial()]);
  next = Promise.reject({ body: { message: 'Aucune ligne disponible' } });
  await button.dial();
  console.log(JSON.stringify({ empty, asked, toasts, busy: button.busy }));
})();
"""


@pytest.mark.feature(
    "C2C-14", clause="Salesforce: the button calls the record's number, once a click, and shows what came of it"
)
async def test_the_lightning_component() -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not on this machine")
    process = await asyncio.create_subprocess_exec(
        "node", "-e", COMPONENT, str(FOLDER / "cadranCall.js"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    assert json.loads(out) == {
        "empty": True,
        "asked": [{"phone": "0199000123"}] * 2,
        "toasts": [
            {"title": "Appel 12345", "message": "0199000123", "variant": "success"},
            {"title": "Cadran", "message": "Aucune ligne disponible", "variant": "error"},
        ],
        "busy": False,
    }


def test_the_bundle_can_be_deployed() -> None:
    """Each part has its description, and the page's names are the component's."""
    script = (FOLDER / "cadranCall.js").read_text("utf-8")
    page = (FOLDER / "cadranCall.html").read_text("utf-8")
    for name in re.findall(r"\{(\w+)\}", page):
        assert re.search(rf"^  (async |get )?{name}\(\)", script, re.M), name
    Xml.fromstring(re.sub(r"=\{(\w+)\}", r'="\1"', page))
    for name in ("cadranCall.js-meta.xml", "CadranCall.cls-meta.xml"):
        assert "http://soap.sforce.com/2006/04/metadata" in Xml.parse(FOLDER / name).getroot().tag
    assert "'@salesforce/apex/CadranCall.call'" in script and re.search(
        r"@AuraEnabled\s+public static String call\(", APEX
    )
    [taken] = re.findall(r"String call\(([^)]*)\)", APEX)
    [given] = re.findall(r"await call\(\{ ([^}]*) \}\)", script)
    assert [each.split()[-1] for each in taken.split(",")] == [each.split(":")[0] for each in given.split(", ")]
