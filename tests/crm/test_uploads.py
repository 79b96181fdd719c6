"""What a template may hold, as its author meets it: uploaded over the API, taken with warnings or refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from daemon.crm.shipped import shipped_templates
from tests.crm.test_crm_api import ask, make_api
from tests.crm.test_template import AUTH, BOMBS, HEAD, REQUEST, chain, fields

HOUSE = '<?xml version="{}"?><Information Key="own" Name="Zoé" Extra="kept" MaxConcurrentRequest="7"/>'


def whole(scenarios: str = "", attributes: str = "") -> bytes:
    return HEAD.format(attributes=attributes, scenarios=scenarios).encode()


def header(n: int, value: str = "x") -> str:
    return f'<Parameter Father="PopulateTemplateString" Type="Header" Name="H{n}" Value="{value}"/>'


def journal(more: str) -> str:
    return REQUEST.format(more)


async def upload(data: bytes, status: int = 201) -> Any:
    async with make_api() as (_, client):
        return await ask(client, "POST", "/templates", status, data=data)


async def refused(data: bytes, *parts: str) -> None:
    """422 with these words, in a message that somebody reads; nothing is kept."""
    async with make_api() as (_, client):
        said = await ask(client, "POST", "/templates", 422, data=data)
        assert all(part in said["detail"] for part in parts), said["detail"]
        assert len(said["detail"]) < 700 and said["code"] == "crm_template_refused"
        assert [row for row in (await ask(client, "GET", "/templates"))["rows"] if row["id"]] == []


@pytest.mark.feature("YPT-08", clause="both declarations parse")
@pytest.mark.feature("YPT-07", clause="known attributes are read, unknown ones kept")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_both_declarations(version: str) -> None:
    async with make_api() as (_, client):
        kept = await ask(client, "POST", "/templates", 201, data=HOUSE.format(version).encode())
        assert (kept["name"], kept["requests_max"], kept["warnings"]) == ("Zoé", 7, [])
        assert 'Extra="kept"' in await ask(client, "GET", "/templates/own/file")


@pytest.mark.feature("YPT-08", clause="DTD and entities are refused, bombs and external ones too")
@pytest.mark.parametrize("text", BOMBS)
async def test_bombs_and_external_entities(text: str) -> None:
    await refused(text.encode(), "document types and entities")


@pytest.mark.feature("YPT-08", clause="bare quotes and ampersands are mended, with the lines")
async def test_what_the_source_itself_prints_is_mended() -> None:
    text = """<Information Key="own">
<Scenarios><Scenario Id="Common" Type="REST"><Requests>
<Request Name="GetIdentities" Method="GET" URLFormat="https://x.example/a?b={{.B}}&c={{.C}}">
<Parameters><Parameter Name="Data" Type="Body" Value="{"departmentId":"{{ .D}}"}" /></Parameters>
</Request></Requests></Scenario></Scenarios></Information>"""
    assert [warning["line"] for warning in (await upload(text.encode()))["warnings"]] == [3, 4]


@pytest.mark.feature("YPT-01", clause="1 048 576 bytes are refused, one more too; one less is taken")
async def test_sizes() -> None:
    text = b'<Information Key="k"/>'
    async with make_api() as (_, client):
        await ask(client, "POST", "/templates", 201, data=BytesIO(text.ljust(1_048_575)))
        for size in (1_048_576, 1_048_577):
            said = await ask(client, "POST", "/templates", 413, data=BytesIO(text.ljust(size)))
            assert "1048575" in said["detail"]


@pytest.mark.feature("YPT-07", clause="a missing Key is an error")
async def test_a_key_is_needed() -> None:
    await refused(b'<Information Name="x"/>', "Key")


@pytest.mark.feature("YPT-04", clause="the sixth field of none and basic, the eleventh of bearer")
@pytest.mark.parametrize(("method", "most"), [("none", 5), ("basic", 5), ("bearertoken", 10)])
async def test_field_limits(method: str, most: int) -> None:
    assert len((await upload(whole(fields(most, method))))["fields"]) == most
    await refused(whole(fields(most + 1, method)), f"at most {most}")


@pytest.mark.feature("YPT-04", clause="string, password and list; a list's options by commas; no other type")
async def test_field_types() -> None:
    kinds = ("string", "password", "list")
    given = "".join(
        f'<Parameter Father="CustomFieldList" Name="{kind}" Editor="{kind}" Value="one, two"/>' for kind in kinds
    )
    shown = (await upload(whole(AUTH.format(given))))["fields"]
    assert [(each["editor"], each["options"]) for each in shown] == [
        ("string", []), ("password", []), ("list", ["one", "two"]),
    ]  # fmt: skip
    other = AUTH.format('<Parameter Father="CustomFieldList" Name="a" Editor="color"/>')
    await refused(whole(other), "string, password and list")


@pytest.mark.feature("YPT-05", clause="the twenty-first header; CR and LF in a value")
async def test_header_limits() -> None:
    await upload(whole(AUTH.format("".join(map(header, range(20))))))
    await refused(whole(AUTH.format("".join(map(header, range(21))))), "21 headers")
    for sign in ("&#13;", "&#10;", "&#13;&#10;"):
        await refused(whole(AUTH.format(header(1, f"a{sign}X-Evil: 1"))), "line breaks")


@pytest.mark.feature("YPS-03", clause="no number enabled and mapped is an error")
async def test_contacts_need_a_number() -> None:
    source = shipped_templates()["generic-rest"]
    nothing = source.replace(b"BusinessNumberEnable", b"X").replace(b"MobileNumberEnable", b"Y")
    await refused(nothing, "at least one number")


@pytest.mark.feature("YPS-15", clause="chains of five; longer ones, circles and names of nothing are refused")
async def test_chains() -> None:
    await upload(whole(chain(*((f"r{n}", f"r{n + 1}" if n < 5 else "") for n in range(1, 6)))))
    long = chain(*((f"r{n}", f"r{n + 1}" if n < 7 else "") for n in range(1, 8)))
    await refused(whole(long), "more than 5")
    for circle in (chain(("r1", "r1")), chain(("r1", "r2"), ("r2", "r1"))):
        await refused(whole(circle), "circle")
    await refused(whole(chain(("other", ""))), "no such request")


@pytest.mark.feature("YPL-06", clause="a path of 100,000 characters is refused with a clear message")
async def test_a_path_without_end() -> None:
    path = 'URLFormat=""><Outputs><Output Name="A" Path="{}"/></Outputs></Request>'
    await refused(whole(journal(path.format("a" * 100_000))), "output A", "longer than")


async def test_a_method_that_is_none() -> None:
    await refused(whole(journal('Method="TRACE" URLFormat="https://x.example"/>')), "TRACE")
