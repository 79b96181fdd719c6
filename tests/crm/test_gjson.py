"""GJSON paths: vectors made with Go's gjson 1.14.4, decisions D17, D21, D39, refusals, and a fuzz against the model."""

from __future__ import annotations

import pytest

from daemon.crm.gjson import Document, NotJson, PathError, check_path
from daemon.crm.template import split_paths
from tests.crm import fuzzing, reference_gjson

DATA = Document(
    '{"users":[{"id":1,"Email":"x@y"},{"id":2},{"id":3,"Email":"z@y"}],'
    '"identities":[{"type":"email"},{"type":"phone_number","value":"1"},{"type":"phone_number","value":"2"},'
    '{"type":"phone_number","value":"3"}],'
    '"data":[{"portalName":"","phone":"0601","street":"S0"},{"portalName":"P","mobile":"0601","street":"S1"},'
    '{"portalName":null,"id":9007199254740993}],'
    '"num":[{"phone":601,"s":"found"}],"vals":[{"a":1,"b":false},{"a":2,"b":true},{"a":3}],'
    '"friends":[{"first":"Dale","last":"Murphy","age":44,"nets":["ig","fb","tw"]},'
    '{"first":"Roger","last":"Craig","age":68,"nets":["fb","tw"]},'
    '{"first":"Jane","last":"Murphy","age":47,"nets":["ig","tw"]}],'
    '"flag":true,"price":1.50,"nothing":null,"deep":{"a.b":{"c":5}}}'
)

VECTORS = [
    ("users.#.id", "[1,2,3]"),
    ("users.#.Email", '["x@y","z@y"]'),
    ("users.#", "3"),
    ('identities.#(type=="phone_number").value', "1"),
    ('identities.#(type=="phone_number")#.value', '["1","2","3"]'),
    ('identities.#(type=="phone_number")#|1.value', "2"),
    ('identities.#(type=="phone_number")#|8.value', None),
    ('data.#(portalName!="").portalName', "P"),
    ('data.#(portalName!="")#.portalName', '["P"]'),
    ('data.#(phone=="0601")#.street', '["S0"]'),
    ('data.#(phone=="0601")#-.street', '["S0"]'),
    (".data.#.k", None),
    ('users.#(id=="2").id', "2"),
    ('num.#(phone=="0601").s', "found"),
    ('num.#(phone=="601").s', "found"),
    ("num.#(phone==601).s", "found"),
    ("data.2.id", "9007199254740993"),
    ('friends.#(nets.#(=="fb"))#.first', '["Dale","Roger"]'),
    ('friends.#(last="Murphy")#|first', None),
    ('friends.#(last="Murphy")#.0', "[]"),
    ('friends.#(last="Murphy")#|#', "2"),
    ("users.#(Email)#.id", "[1,3]"),
    ("vals.#(b==~true)#.a", "[2]"),
    ("vals.#(b==~false)#.a", "[1,3]"),
    ("nosuch", None),
    ("nothing", ""),
    ("flag", "true"),
    ("price", "1.5"),
    ("deep.a\\.b.c", "5"),
    ("fr*.1.f?rst", "Roger"),
    ('friends.#(first%"J*").age', "47"),
    ("friends.#(age>45)#.last", '["Craig","Murphy"]'),
    ('friends.#(first!%"J*")#.first', '["Dale","Roger"]'),
]


@pytest.mark.parametrize(("path", "expected"), VECTORS)
def test_vectors(path: str, expected: str | None) -> None:
    found = DATA.get(path)
    assert found.exists is (expected is not None)
    assert found.text == (expected or "")


def test_the_object_itself_can_be_picked() -> None:
    assert '"first":"Dale"' in DATA.get('friends.#(last="Murphy")#|0').text


def test_rows_never_shift() -> None:
    """D21: the second user has no address, and nobody gets another's."""
    rows = DATA.rows(["users.#.id", "users.#.Email", "price"])
    assert [[value.text for value in row] for row in rows] == [
        ["1", "x@y", "1.5"],
        ["2", "", "1.5"],
        ["3", "z@y", "1.5"],
    ]


def test_rows_of_queries_and_of_picked_items() -> None:
    rows = DATA.rows(["data.#.street", 'data.#(mobile=="0601")#.street', 'identities.#(type=="phone_number")#|1.value'])
    assert [[value.text for value in row] for row in rows] == [["S0", "", "2"], ["S1", "S1", "2"], ["", "", "2"]]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a, b.c ,d", ["a", "b.c", "d"]),
        ('x.#(a=="1,2").b, y', ['x.#(a=="1,2").b', "y"]),
        ('data.#(phone=="{{.Phone}}")#-.street, data.#(mobile=="{{.Phone}}")#.street',
         ['data.#(phone=="{{.Phone}}")#-.street', 'data.#(mobile=="{{.Phone}}")#.street']),
        ("", []),
    ],
)  # fmt: skip
def test_several_paths(text: str, parts: list[str]) -> None:
    assert split_paths(text) == parts


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a" * 100_000, "longer than"),
        ("users.#(id==2.x", "not closed"),
        ("users|@reverse", "@reverse"),
        ("{a,b}", "multipaths"),
        ("a.[b]", "multipaths"),
        ('!"x"', "literals"),
    ],
)
def test_what_the_subset_refuses_is_said_with_its_place(path: str, words: str) -> None:
    with pytest.raises(PathError, match=r"character [0-9]+") as refused:
        check_path(path)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("text", ["", "<html>", "{} {}", '{"a":NaN}', '{"a":1,}', "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        Document(text)


def test_deep_answers_and_paths_end() -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400
    with pytest.raises(ValueError, match="levels"):
        Document(deep).get(".".join(["a"] * 400))


def test_the_model_agrees() -> None:
    assert fuzzing.run(1500, 7) == []


@pytest.mark.parametrize(("path", "text"), [("a", '{"a":1.5}'), ("#.a", '[{"a":1},{"a":"x"}]')])
def test_the_model_can_tell(path: str, text: str) -> None:
    """The model is not our code in disguise: another answer is seen as a difference."""
    exists, shown = reference_gjson.get(text, path)
    assert (exists, shown) == (True, Document(text).get(path).text)
    assert reference_gjson.get(text, path + ".nosuch") != (exists, shown)
