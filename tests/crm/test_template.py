"""Template files: what loads, what is mended with a warning, what is refused and how clearly."""

from __future__ import annotations

import pytest

from daemon.crm.model import CrmTemplate, Refused
from daemon.crm.shipped import shipped_templates
from daemon.crm.template import load
from daemon.crm.xmltree import BYTES_MAX

HEAD = '<?xml version="1.1"?><Information Key="k" {attributes}><Scenarios>{scenarios}</Scenarios></Information>'
AUTH = '<Scenario Id="AuthMethod" Type="AUTH"><Parameters>{}</Parameters></Scenario>'
REQUEST = '<Scenario Id="CallJournal"><Requests><Request Name="CallJournal" {}</Requests></Scenario>'
BOMBS = [
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><Information Key="&b;"/>',
    '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><Information Key="k"/>',
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Information Key="&e;"/>',
    '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/p">%p;]><Information Key="k"/>',
]
"""Document types and entities that must not be read, whichever way a template comes."""


def made(*scenarios: str, attributes: str = "") -> CrmTemplate:
    return load(HEAD.format(attributes=attributes, scenarios="".join(scenarios)).encode())


def problems(data: bytes) -> list[str]:
    with pytest.raises(Refused) as refused:
        load(data)
    assert len(str(refused.value)) < 500, "a message that nobody reads"
    return [f"{each.line}: {each.message}" for each in refused.value.problems if each.error]


@pytest.mark.parametrize(
    "declaration", ['<?xml version="1.0"?>', '<?xml version="1.1" encoding="UTF-8"?>', "", "\ufeff"]
)
def test_declarations(declaration: str) -> None:
    assert load(f'{declaration}<Information Key="k" Name="Zoé" Extra="kept"/>'.encode()).information["Extra"] == "kept"


@pytest.mark.parametrize("text", BOMBS)
def test_bombs_and_external_entities(text: str) -> None:
    (problem,) = problems(text.encode())
    assert "document types and entities" in problem


def test_sizes() -> None:
    whole = b'<Information Key="k"/>'
    assert load(whole + b" " * (BYTES_MAX - len(whole))).key == "k"
    assert "1048576 bytes" in problems(whole + b" " * (BYTES_MAX + 1 - len(whole)))[0]
    assert "1048577 bytes" in problems(b"x" * 1_048_577)[0]
    assert "levels of elements" in problems(b"<Information>" * 100)[0]
    assert "more than 20000 elements" in problems(b'<Information Key="k">' + b"<a/>" * 30_000 + b"</Information>")[0]


def test_what_the_source_itself_prints_is_mended() -> None:
    text = """<Information Key="k">
<Scenarios><Scenario Id="Common" Type="REST"><Requests>
<Request Name="GetIdentities" Method="GET" URLFormat="https://x.example/a?b={{.B}}&c={{.C}}">
<Parameters><Parameter Name="Data" Type="Body" Value="{"departmentId":"{{ .D}}","n":"{{.N}}"}" /></Parameters>
<Outputs><Output Name="BusinessNumber2" Path="identities.#(type=="phone_number")#|1.value"></Output></Outputs>
</Request></Requests></Scenario></Scenarios></Information>"""
    template = load(text.encode())
    (request,) = template.scenario("Common").requests
    assert request.url.source == "https://x.example/a?b={{.B}}&c={{.C}}"
    assert request.body is not None
    assert request.body.source == '{"departmentId":"{{ .D}}","n":"{{.N}}"}'
    assert request.outputs[0].paths[0].source == 'identities.#(type=="phone_number")#|1.value'
    assert [each.line for each in template.warnings] == [3, 4, 5]


def test_what_can_not_be_mended_is_refused_with_its_line() -> None:
    assert problems(b'<Information Key="k">\n<a>\n</Information>')[0].startswith("3: not well-formed XML")
    assert "no header name" in problems(HEAD.format(attributes="", scenarios=AUTH.format(
        '<Parameter Father="PopulateTemplateString" Type="Header" Name="a b" Value="x"/>')).encode())[0]  # fmt: skip
    assert "not UTF-8" in problems(b'<Information Key="\xff"/>')[0]


def test_information() -> None:
    assert "Key" in problems(b"<Information/>")[0]
    assert "Provider" in problems(b'<Information Key="k" Provider="shop"/>')[0]
    template = made(attributes='MaxConcurrentRequest="7" CallJournal="1" NeedSyncContact="1"')
    assert (template.requests_max, template.on("CallJournal"), template.on("CreateNewTicket")) == (7, True, False)


def fields(count: int, method: str) -> str:
    more = {"bearertoken": "TokenEndPoint", "basic": "Base64EncodedCredential"}.get(method, "AuthEndPoint")
    return AUTH.format(
        f'<Parameter Name="AuthMethod" Value="{method}"/><Parameter Name="{more}" Value="https://x.example"/>'
        + '<Parameter Name="TokenEndPoint" Value="https://x.example"/>' * (method == "oauth2")
        + "".join(f'<Parameter Father="CustomFieldList" Name="f{n}"/>' for n in range(count))
    )


@pytest.mark.parametrize(("method", "most"), [("none", 5), ("basic", 5), ("bearertoken", 10)])
def test_field_limits(method: str, most: int) -> None:
    assert len(made(fields(most, method)).fields) == most
    assert f"at most {most}" in problems(HEAD.format(attributes="", scenarios=fields(most + 1, method)).encode())[0]


def test_field_types() -> None:
    template = made(AUTH.format('<Parameter Father="CustomFieldList" Name="a" Editor="list" Value="one, two"/>'))
    assert template.fields[0].options == ("one", "two")
    refused = AUTH.format('<Parameter Father="CustomFieldList" Name="a" Editor="color"/>')
    assert "string, password and list" in problems(HEAD.format(attributes="", scenarios=refused).encode())[0]


def test_header_limits() -> None:
    def header(n: int, value: str = "x") -> str:
        return f'<Parameter Father="PopulateTemplateString" Type="Header" Name="H{n}" Value="{value}"/>'

    assert len(made(AUTH.format("".join(map(header, range(20))))).headers) == 20
    many = AUTH.format("".join(map(header, range(21))))
    assert "21 headers" in problems(HEAD.format(attributes="", scenarios=many).encode())[0]
    broken = AUTH.format(header(1, "a&#13;&#10;X-Evil: 1"))
    assert "line breaks" in problems(HEAD.format(attributes="", scenarios=broken).encode())[0]


def test_d16_the_parameter_wins_over_the_attribute() -> None:
    scenario = AUTH.format('<Parameter Name="AuthMethod" Value="bearertoken"/>'
                           '<Parameter Name="TokenEndPoint" Value="https://x.example"/>')  # fmt: skip
    assert made(scenario, attributes='AuthType="basic"').auth == "bearertoken"
    assert made(attributes='AuthType="none"').auth == "none"
    assert "oauth2 needs" in problems(HEAD.format(attributes='AuthType="oauth2"', scenarios="").encode())[0]


def test_d17_a_leading_dot_is_left_out_with_a_warning() -> None:
    template = made(
        REQUEST.format('URLFormat="https://x.example"><Outputs><Output Name="A" Path=".data.#.b"/></Outputs></Request>')
    )
    assert template.scenario("CallJournal").requests[0].outputs[0].paths[0].source == "data.#.b"
    assert "the dot" in template.warnings[0].message


@pytest.mark.parametrize("path", ["a" * 100_000, "a.#(b==", "a|@reverse", "{{.x"])
def test_paths_that_can_not_be_used(path: str) -> None:
    scenario = REQUEST.format(f'URLFormat=""><Outputs><Output Name="A" Path="{path}"/></Outputs></Request>')
    assert problems(HEAD.format(attributes="", scenarios=scenario).encode())


def test_methods() -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert (
            made(REQUEST.format(f'Method="{method}" URLFormat=""/>')).scenario("CallJournal").requests[0].method
            == method
        )
    assert made(REQUEST.format('URLFormat=""/>')).scenario("CallJournal").requests[0].method == "GET"
    assert "TRACE" in problems(HEAD.format(attributes="", scenarios=REQUEST.format('Method="TRACE"/>')).encode())[0]


def chain(*links: tuple[str, str]) -> str:
    common = "".join(
        f'<Request Name="{name}" URLFormat=""><Outputs Next="{after}"/></Request>' for name, after in links
    )
    return f'<Scenario Id="Common"><Requests>{common}</Requests></Scenario>' + REQUEST.format(
        'URLFormat=""><Outputs Next="r1"/></Request>'
    )


def test_chains() -> None:
    made(chain(*((f"r{n}", f"r{n + 1}" if n < 5 else "") for n in range(1, 6))))
    long = chain(*((f"r{n}", f"r{n + 1}" if n < 7 else "") for n in range(1, 8)))
    assert "more than 5" in problems(HEAD.format(attributes="", scenarios=long).encode())[0]
    for circle in (chain(("r1", "r1")), chain(("r1", "r2"), ("r2", "r1"))):
        assert "circle" in problems(HEAD.format(attributes="", scenarios=circle).encode())[0]
    assert "no such request" in problems(HEAD.format(attributes="", scenarios=chain(("other", ""))).encode())[0]


def test_contacts_need_a_number() -> None:
    source = shipped_templates()["generic-rest"]
    nothing = source.replace(b"BusinessNumberEnable", b"X").replace(b"MobileNumberEnable", b"Y")
    assert "at least one number" in problems(nothing)[0]


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        b'<Information Key="">\n<Scenarios>\n<Scenario Id="CallJournal"><Requests>\n'
        b'<Request Name="a" Method="X" URLFormat="{{.a">\n<Outputs><Output Name="b c" Path="d.#("/></Outputs>\n'
        b"</Request></Requests></Scenario></Scenarios></Information>"
    )
    assert [problem.partition(":")[0] for problem in found] == ["1", "4", "4", "5", "5"]
