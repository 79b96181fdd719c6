"""Differential fuzz of the two subsets against their reference models: `python -m tests.crm.fuzzing CASES [SEED]`."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

from daemon.crm.gjson import Document, PathError
from daemon.crm.gotemplate import Template, TemplateError
from tests.crm import reference_gjson, reference_template

KEYS = ["a", "b", "c", "id", "name", "x y", "a.b", "é", "0", "1", "*b", "true"]
STRINGS = ["", "a", "b", "0601", "601", "2", "x", "é", "true", "false", "t", 'a"b', "a\\b", "null", "abc", " "]
NUMBERS = [0, 1, 2, -3, 601, 1.5, -0.25, 9007199254740993]
OPERATORS = ["==", "=", "!=", "<", "<=", ">", ">=", "%", "!%"]
RIGHT = ['"a"', '"0601"', '"2"', '"x"', '""', '"a*"', '"?"', '"a)b"', '"a\\"b"', "2", "601", "1.5", "true", "false",
         "null", "abc", "~true", "~false"]  # fmt: skip
VALUES: dict[str, Any] = {"a": "x", "b": "", "n": 7, "z": 0, "t": True, "f": False, "name": "hello wörld!", "q": 'a"b',
                          "s": "7"}  # fmt: skip


def some_json(rng: random.Random, depth: int) -> Any:
    draw = rng.random()
    if depth <= 0 or draw < 0.45:
        return rng.choice([None, True, False, rng.choice(STRINGS), rng.choice(STRINGS), rng.choice(NUMBERS)])
    if draw < 0.7:
        return [some_json(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    if draw < 0.85:
        keys = rng.sample(KEYS[:5], rng.randint(1, 3))
        return [
            {key: some_json(rng, depth - 2) for key in keys if rng.random() < 0.8} for _ in range(rng.randint(0, 4))
        ]
    return {rng.choice(KEYS): some_json(rng, depth - 1) for _ in range(rng.randint(0, 4))}


def some_path(rng: random.Random, depth: int = 2) -> str:
    steps = [some_step(rng, depth) for _ in range(rng.choice([1, 1, 2, 2, 3, 4]))]
    path = steps[0]
    for step in steps[1:]:
        path += rng.choice("...|") + step
    return path


def some_step(rng: random.Random, depth: int) -> str:
    draw = rng.random()
    if draw < 0.5 or depth <= 0:
        plain = ["*", "a*", "?", "n?me", "\\*b", "a\\.b", "x y", "0", "1", "2", "9"]
        return rng.choice(KEYS[:5]) if draw < 0.35 else rng.choice(plain)
    if draw < 0.68:
        return "#"
    inner = "" if rng.random() < 0.2 else some_path(rng, depth - 1)
    ask = "" if rng.random() < 0.25 else rng.choice(OPERATORS) + rng.choice(RIGHT)
    return f"#({inner}{ask})" + rng.choice(["", "#", "#", "#-"])


def some_operand(rng: random.Random, depth: int) -> str:
    draw = rng.random()
    if draw < 0.55:
        return "." + rng.choice([*VALUES, "missing"])
    if draw < 0.7:
        return rng.choice(['"x"', '""', '"a\\"b"', "`raw`", '"7"', '"}}"', '"{{"'])
    if draw < 0.85:
        return rng.choice(["1", "0", "-3", "7", "true", "false"])
    return f"({some_pipe(rng, depth - 1)})" if depth > 0 else ".a.b"


def some_pipe(rng: random.Random, depth: int) -> str:
    name = rng.choice(["", "", "and", "or", "not", "eq", "ne", "Capitalize", "UrlEncode", "nope"])
    many = {"": 1, "not": 1, "eq": 2, "ne": 2, "and": rng.randint(1, 3), "or": 2}.get(name, 1)
    many += rng.random() < 0.04
    pipe = " ".join([name, *(some_operand(rng, depth) for _ in range(many))]).strip()
    while rng.random() < 0.25:
        pipe += rng.choice(["|", " | "]) + rng.choice(["Capitalize", "UrlEncode", "not", 'eq "x"', "and .t", "or .a"])
    return pipe


def some_template(rng: random.Random, depth: int = 2) -> str:
    out = ""
    for _ in range(rng.randint(0, 3)):
        draw = rng.random()
        if draw < 0.4:
            out += rng.choice([" ", "a ", " b", "\n x \n", "}}", "{", '"', "é"])
        elif draw < 0.75 or depth <= 0:
            out += rng.choice(["{{", "{{- "]) + some_pipe(rng, 2) + rng.choice(["}}", " -}}"])
        else:
            out += "{{if " + some_pipe(rng, 1) + rng.choice(["}}", " -}}"]) + some_template(rng, depth - 1)
            if rng.random() < 0.3:
                out += "{{else if " + some_pipe(rng, 1) + "}}" + some_template(rng, depth - 1)
            if rng.random() < 0.5:
                out += "{{else}}" + some_template(rng, depth - 1)
            out += "{{end}}" if rng.random() < 0.97 else rng.choice(["", "{{else}}"])
    return out


def path_difference(rng: random.Random) -> str:
    """What differs in one case; "" if nothing does."""
    value = some_json(rng, 4)
    text = json.dumps(value if isinstance(value, dict | list) else [value], ensure_ascii=False, separators=(",", ":"))
    path = some_path(rng)
    try:
        found = Document(text).get(path)
        ours = (found.exists, found.text)
    except PathError:
        return ""
    theirs = reference_gjson.get(text, path)
    return "" if ours == theirs else f"{path!r} of {text}: {ours} here, {theirs} in the model"


def template_difference(rng: random.Random) -> str:
    text = some_template(rng)
    try:
        ours = Template(text).render(VALUES)
    except TemplateError as error:
        ours = f"refused {type(error).__name__}"
    try:
        theirs = reference_template.render(text, VALUES)
    except reference_template.Bad:
        theirs = "refused TemplateError"
    return "" if ours == theirs else f"{text!r}: {ours!r} here, {theirs!r} in the model"


def run(cases: int, seed: int) -> list[str]:
    """Differences in so many cases, half of each kind."""
    rng = random.Random(seed)
    drawn = ((path_difference if case % 2 else template_difference)(rng) for case in range(cases))
    return [difference for difference in drawn if difference]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    differences = run(count, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for each in differences[:20]:
        print(each)
    print(f"fuzz-crm: {count} cases, {len(differences)} differences")
    sys.exit(bool(differences))
