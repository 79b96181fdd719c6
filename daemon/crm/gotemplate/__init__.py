"""Go's text/template, the subset that the source's templates use, with values escaped for where they stand.

`Template(text).render(variables, sink)`. Supported: `{{.name}}`, if / else if / else / end, pipes, parentheses, texts,
raw texts, numbers, true and false, and or not eq ne, Capitalize UrlEncode TimeFormat ToMillis, trim markers, comments.
Anything else is an error with line and column when the template is loaded. Nothing is ever evaluated as Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import partial

from daemon.crm.gotemplate import escaping, functions
from daemon.crm.gotemplate.functions import Scalar, shown, truth
from daemon.crm.gotemplate.lexer import TemplateError
from daemon.crm.gotemplate.parser import Action, Call, Field, If, Literal, Node, Operand, Pipe, Text, parse

__all__ = ["Scalar", "Template", "TemplateError", "escaping", "shown"]

OUTPUT_CHARS_MAX = 1 << 20
"""A body of a megabyte is already absurd; it bounds what a long value can be multiplied to."""


class Template:
    """A loaded template. Raises TemplateError for what the subset refuses."""

    def __init__(self, text: str) -> None:
        self.source = text
        self._nodes = parse(text)

    def render(self, variables: Mapping[str, Scalar], sink: escaping.Plain | None = None, zone: tzinfo = UTC) -> str:
        """The text with its values. `zone`: of TimeFormat without its UTC flag. Raises TemplateError."""
        into = sink if sink is not None else escaping.Plain()
        _Run(variables, into, zone).nodes(self._nodes)
        return into.result()

    @property
    def fields(self) -> list[str]:
        """Names of the variables it uses, in their order, each once."""
        return list(dict.fromkeys(_fields(self._nodes)))

    @property
    def literal(self) -> bool:
        """Whether it has no actions at all."""
        return all(isinstance(node, Text) for node in self._nodes)


class _Run:
    """One rendering."""

    def __init__(self, variables: Mapping[str, Scalar], sink: escaping.Plain, zone: tzinfo) -> None:
        self._variables, self._sink, self._zone = variables, sink, zone
        self._size = 0

    def nodes(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            match node:
                case Text():
                    self._sized(node.text)
                    self._sink.text(node.text)
                case Action():
                    self._action(node)
                case If():
                    taken = (body for test, body in node.branches if test is None or truth(self._pipe(test)))
                    self.nodes(next(taken, ()))

    def _action(self, node: Action) -> None:
        value = self._sized(shown(self._pipe(node.pipe)))
        if _trusted(node.pipe) or (_encoded(node.pipe) and isinstance(self._sink, escaping.Url | escaping.Query)):
            self._sink.text(value)
        else:
            self._sink.value(value)

    def _sized(self, text: str) -> str:
        self._size += len(text)
        if self._size > OUTPUT_CHARS_MAX:
            raise TemplateError(f"the result is longer than {OUTPUT_CHARS_MAX} characters")
        return text

    def _pipe(self, pipe: Pipe) -> Scalar:
        value: Scalar = None
        for place, command in enumerate(pipe.commands):
            value = self._command(command, [partial(_same, value)] if place else [])
        return value

    def _command(self, command: Sequence[Operand], last: Sequence[Callable[[], Scalar]]) -> Scalar:
        first = command[0]
        if not isinstance(first, Call):
            return self._operand(first)
        given = [partial(self._operand, operand) for operand in command[1:]]
        return self._call(first.name, [*given, *last])

    def _operand(self, operand: Operand) -> Scalar:
        match operand:
            case Field():
                return self._variables.get(operand.names[0]) if len(operand.names) == 1 else None
            case Literal():
                return operand.value
            case Pipe():
                return self._pipe(operand)
            case Call():
                return self._call(operand.name, [])

    def _call(self, name: str, arguments: Sequence[Callable[[], Scalar]]) -> Scalar:
        """and and or stop at the first argument that settles them."""
        if name in ("and", "or"):
            value: Scalar = None
            for argument in arguments:
                value = argument()
                if truth(value) is (name == "or"):
                    break
            return value
        values = [argument() for argument in arguments]
        if name == "not":
            return not truth(values[0])
        if name == "eq":
            return any(functions.equal(values[0], other) for other in values[1:])
        if name == "ne":
            return not functions.equal(values[0], values[1])
        return self._of_text(name, values)

    def _of_text(self, name: str, values: Sequence[Scalar]) -> Scalar:
        if values[0] is None:
            return None
        match name:
            case "Capitalize":
                return functions.capitalize(shown(values[0]))
            case "UrlEncode":
                return functions.url_encode(shown(values[0]))
            case "ToMillis":
                return functions.to_millis(values[0])
        utc = len(values) > 2 and shown(values[2]) == "1"
        return functions.time_format(values[0], shown(values[1]), utc, self._zone)


def _same(value: Scalar) -> Scalar:
    return value


def _trusted(pipe: Pipe) -> bool:
    """A text of the template's author alone."""
    return len(pipe.commands) == 1 and isinstance(pipe.commands[0][0], Literal)


def _encoded(pipe: Pipe) -> bool:
    """Whether the pipeline ends in UrlEncode, whose result is never encoded again (D30)."""
    first = pipe.commands[-1][0]
    if isinstance(first, Pipe):
        return _encoded(first)
    return isinstance(first, Call) and first.name == "UrlEncode"


def _fields(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        match node:
            case Action():
                yield from _of_pipe(node.pipe)
            case If():
                for test, body in node.branches:
                    if test is not None:
                        yield from _of_pipe(test)
                    yield from _fields(body)


def _of_pipe(pipe: Pipe) -> Iterator[str]:
    for command in pipe.commands:
        for operand in command:
            if isinstance(operand, Field):
                yield operand.names[0]
            elif isinstance(operand, Pipe):
                yield from _of_pipe(operand)
