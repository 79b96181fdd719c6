"""The template subset: Go's vectors, the source's functions, decisions D15, D22, D23, D30, D31, refusals."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.crm.gotemplate import Template, TemplateError, escaping

KNOWN: dict[str, Any] = {
    "a": "x", "b": "", "n": 7, "z": 0, "name": 'Zoé "Z" \\ Bon', "ts": 1672531199, "s": "hello world!",
    "url": "https://crm.example/base", "phone": "+33 6&7",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.a}} {{ .a }}", "x x"),
        ("{{.missing}}|{{Capitalize .missing}}|{{if .missing}}y{{else}}n{{end}}", "||n"),
        ("{{if .b}}1{{else if .z}}2{{else if .n}}3{{else}}4{{end}}", "3"),
        ("{{.a | Capitalize}}{{UrlEncode (Capitalize .s)}}", "XHello%20world%21"),
        ('{{if eq .a "y" "x"}}yes{{end}}{{if ne .a "x"}}no{{end}}', "yes"),
        ('{{if and .a (not .b)}}ok{{end}}{{or .b "else"}}', "okelse"),
        ("a {{- .a -}} b", "axb"),
        ("a {{- /* gone */ -}} b", "ab"),
        ("{{`raw \"text\"`}}{{\"q\\\"\\n\"}}", 'raw "text"q"\n'),
        ('{{if eq .n "7"}}same{{end}}', "same"),
        ("}} { {{.n}}", "}} { 7"),
    ],
)  # fmt: skip
def test_vectors(text: str, expected: str) -> None:
    assert Template(text).render(KNOWN) == expected


@pytest.mark.parametrize(
    ("form", "flag", "expected"),
    [
        # The source prints 2023-01-01T00:59:59.000Z here, an hour off (D15).
        ("yyyy-MM-ddTHH:mm:ss.000Zz", "1", "2022-12-31T23:59:59.000Z"),
        ("yyyy-MM-ddTHH:mm:ssZ", "0", "2023-01-01T00:59:59+01:00"),
        ("yyyy-MM-dd HH:mm:ss +0000", "1", "2022-12-31 23:59:59 +0000"),
        ("dd/MM/yyyy", "0", "01/01/2023"),
    ],
)
def test_time_format(form: str, flag: str, expected: str) -> None:
    template = Template(f'{{{{TimeFormat .ts "{form}" "{flag}"}}}}')
    assert template.render(KNOWN, zone=ZoneInfo("Europe/Paris")) == expected
    assert template.render(KNOWN | {"ts": "1672531199"}, zone=ZoneInfo("Europe/Paris")) == expected


@pytest.mark.parametrize("given", [1672531199, "1672531199"])
def test_to_millis(given: object) -> None:
    assert Template("{{ToMillis .ts}}").render({"ts": given}) == "1672531199000"  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("given", "expected"), [("hello world", "Hello world"), ("élan", "Élan"), ("", ""), ("ß", "ß")]
)
def test_capitalize(given: str, expected: str) -> None:
    assert Template("{{Capitalize .v}}").render({"v": given}) == expected


def test_url_encode() -> None:
    assert Template("{{UrlEncode .s}}").render(KNOWN) == "hello%20world%21"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"n":"{{.name}}"}', '{"n":"Zoé \\"Z\\" \\\\ Bon"}'),
        ('{"d":{{.n}},"e":{{.missing}},"f":{{.a}}}', '{"d":7,"e":null,"f":"x"}'),
        ('{"t":"one\ntwo{{.a}}"}', '{"t":"one\\ntwox"}'),
        ('{"k":{{if .a}}"{{.a}}"{{else}}null{{end}}}', '{"k":"x"}'),
        ('{{"{"}}"a":1}', '{"a":1}'),
    ],
)
def test_values_in_json(text: str, expected: str) -> None:
    assert Template(text).render(KNOWN, escaping.Json()) == expected


def test_no_value_breaks_out_of_json() -> None:
    import json

    nasty = '"},{"admin":true,"x":"\\\n\t\x00\ud800'
    for text in ('{"a":"{{.v}}"}', '{"a":{{.v}}}'):
        found = json.loads(Template(text).render({"v": nasty}, escaping.Json()))
        assert list(found) == ["a"]
        assert isinstance(found["a"], str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.url}}/c/{{.a}}?q={{.phone}}", "https://crm.example/base/c/x?q=%2B33%206%267"),
        ("https://crm.example/{{.phone}}", "https://crm.example/%2B33%206%267"),
        ("https://crm.example/?q={{UrlEncode .phone}}", "https://crm.example/?q=%2B33%206%267"),
        ("https://{{.a}}.example/", "https://x.example/"),
        ("{{if .missing}}https://crm.example/{{end}}", ""),
    ],
)
def test_values_in_urls(text: str, expected: str) -> None:
    assert Template(text).render(KNOWN, escaping.Url()) == expected


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("{{.v}}/x", "javascript:alert(1)//", "http"),
        ("{{.v}}", "/etc/passwd", "http"),
        ("https://{{.v}}.example/", "evil.example/", "host"),
        ("https://crm.example/{{.v}}/x", "..", "path step"),
        ("https://crm.example/?a=\nb", "", "control"),
    ],
)
def test_urls_that_would_lead_elsewhere_are_refused(text: str, value: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        Template(text).render({"v": value}, escaping.Url())


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\x00"])
def test_line_breaks_in_headers_are_refused(value: str) -> None:
    with pytest.raises(TemplateError, match="line breaks"):
        Template("{{.v}}").render({"v": value}, escaping.Header())


def test_a_value_in_a_path_is_no_path() -> None:
    sink = escaping.Path()
    assert Template('a.#(x=="{{.v}}").b').render({"v": '1")|@this#("'}, sink) == 'a.#(x=="1\\")|@this#(\\"").b'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a\n{{range .x}}{{end}}", 2, "range is not supported"),
        ("{{$x := 1}}", 1, "variables"),
        ("{{printf .a}}", 1, "unknown function printf"),
        ("{{.a", 1, "not closed"),
        ("\n\n{{if .a}}", 3, "without {{end}}"),
        ("{{end}}", 1, "unexpected {{end}}"),
        ("{{}}", 1, "nothing between"),
        ("{{Capitalize}}", 1, "takes 1 argument"),
        ("{{.a .b}}", 1, "only a function"),
        ("{{define \"x\"}}{{end}}", 1, "define is not supported"),
        ("{{.}}", 1, "bare dot"),
        ("{{template \"x\"}}", 1, "template is not supported"),
        ("{{if .a}}" * 60, 1, "levels"),
        ("{{" + "(" * 60 + "}}", 1, "parentheses"),
    ],
)  # fmt: skip
def test_refusals(text: str, line: int, words: str) -> None:
    with pytest.raises(TemplateError) as refused:
        Template(text)
    assert refused.value.line == line
    assert words in str(refused.value)


def test_nothing_grows_without_bound() -> None:
    with pytest.raises(TemplateError, match="longer than"):
        Template("{{.v}}" * 200).render({"v": "x" * 10_000})
