"""Tokens into a tree. Refused here, with line and column: unknown functions, range, with, define, template, block,
variables, method-like arguments; so that a template that loads can be run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.crm.gotemplate.functions import ARITY
from daemon.crm.gotemplate.lexer import Source, TemplateError, Token, tokens

NESTING_MAX = 50
REFUSED = frozenset({"nil", "range", "with", "define", "template", "block", "break", "continue"})


@dataclass(slots=True)
class Pipe:
    """Commands; the value of each is the last argument of the next."""

    commands: list[list[Operand]]
    at: int


@dataclass(slots=True)
class Field:
    """`.name`, or `.name.more`, which on our flat values finds nothing."""

    names: list[str]
    at: int


@dataclass(slots=True)
class Literal:
    """A text, a number, true or false."""

    value: str | int | float | bool
    at: int


@dataclass(slots=True)
class Call:
    """A function's name, first in its command."""

    name: str
    at: int


Operand = Pipe | Field | Literal | Call


@dataclass(slots=True)
class Text:
    """Characters that stand for themselves."""

    text: str


@dataclass(slots=True)
class Action:
    """`{{pipeline}}`."""

    pipe: Pipe


@dataclass(slots=True)
class If:
    """Conditions with what each shows; the last condition is None for `else`."""

    branches: list[tuple[Pipe | None, list[Node]]] = field(default_factory=list)


Node = Text | Action | If


def parse(text: str) -> list[Node]:
    """The tree. Raises TemplateError."""
    source = Source(text)
    parser = _Parser(source, list(tokens(source)))
    nodes, ended_by = parser.block(0)
    if ended_by is not None:
        raise source.error(f"unexpected {{{{{ended_by.text}}}}}", ended_by.at)
    return nodes


class _Parser:
    def __init__(self, source: Source, found: list[Token]) -> None:
        self._source, self._tokens, self._place = source, found, 0

    def _peek(self) -> Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _next(self) -> Token:
        token = self._peek()
        if token is None:
            raise self._error("the template ends too early", len(self._source.text))
        self._place += 1
        return token

    def _next_but_space(self) -> Token:
        token = self._next()
        return self._next() if token.kind == "space" else token

    def _error(self, message: str, at: int) -> TemplateError:
        return self._source.error(message, at)

    def block(self, depth: int) -> tuple[list[Node], Token | None]:
        """Nodes up to `else`, `end` (the token returned; what follows it is yet to be read) or the end of the text."""
        nodes: list[Node] = []
        while self._peek() is not None:
            token = self._next()
            if token.kind == "text":
                nodes.append(Text(token.text))
                continue
            if depth > NESTING_MAX:
                raise self._error(f"more than {NESTING_MAX} levels of if", token.at)
            first = self._next_but_space()
            if first.kind == "word" and first.text in ("else", "end"):
                return nodes, first
            if first.kind == "word" and first.text == "if":
                nodes.append(self._if(first, depth))
                continue
            if first.kind == "word" and first.text in REFUSED:
                raise self._error(f"{first.text} is not supported", first.at)
            self._place -= 1
            nodes.append(Action(self._pipeline("close", first.at, 0)))
        return nodes, None

    def _if(self, token: Token, depth: int) -> If:
        node = If()
        condition: Pipe | None = self._pipeline("close", token.at, 0)
        while True:
            nodes, ended_by = self.block(depth + 1)
            node.branches.append((condition, nodes))
            if ended_by is None:
                raise self._error("{{if}} without {{end}}", token.at)
            after = self._next_but_space()
            if ended_by.text == "end":
                self._want_close(after)
                return node
            if condition is None:
                raise self._error("a second {{else}}", ended_by.at)
            if after.kind == "word" and after.text == "if":
                condition = self._pipeline("close", after.at, 0)
            else:
                self._want_close(after)
                condition = None

    def _want_close(self, token: Token) -> None:
        if token.kind != "close":
            raise self._error(f"unexpected {token.text!r}", token.at)

    def _pipeline(self, end: str, at: int, depth: int) -> Pipe:
        """Commands up to `}}` or `)`."""
        if depth > NESTING_MAX:
            raise self._error(f"more than {NESTING_MAX} parentheses", at)
        pipe = Pipe([], at)
        while True:
            token = self._next_but_space()
            if token.kind == end:
                break
            if token.kind not in ("word", "field", "string", "number", "("):
                raise self._error(f"unexpected {token.text!r}", token.at)
            self._place -= 1
            pipe.commands.append(self._command(depth, bool(pipe.commands)))
        if not pipe.commands:
            raise self._error("nothing between the brackets", at)
        return pipe

    def _command(self, depth: int, piped: bool) -> list[Operand]:
        operands: list[Operand] = []
        start = self._tokens[self._place].at
        while True:
            token = self._peek()
            if token is not None and token.kind == "space":
                self._place += 1
            if (operand := self._operand(depth)) is not None:
                operands.append(operand)
            token = self._next()
            if token.kind == "space":
                continue
            if token.kind in ("close", ")"):
                self._place -= 1
            elif token.kind != "|":
                raise self._error(f"unexpected {token.text!r}", token.at)
            break
        self._check(operands, start, piped)
        return operands

    def _operand(self, depth: int) -> Operand | None:
        token = self._next()
        operand: Operand
        match token.kind:
            case "field":
                names = [str(token.value)]
                while (more := self._peek()) is not None and more.kind == "field":
                    names.append(str(self._next().value))
                return Field(names, token.at)
            case "string" | "number":
                operand = Literal(token.value if token.value is not None else "", token.at)
            case "(":
                operand = self._pipeline(")", token.at, depth + 1)
            case "word" if token.text in ("true", "false"):
                operand = Literal(token.text == "true", token.at)
            case "word" if token.text in ARITY:
                return Call(token.text, token.at)
            case "word" if token.text in REFUSED:
                raise self._error(f"{token.text} is not supported", token.at)
            case "word":
                raise self._error(f"unknown function {token.text}; known: {', '.join(sorted(ARITY))}", token.at)
            case _:
                self._place -= 1
                return None
        after = self._peek()
        if after is not None and after.kind == "field":
            raise self._error(f"unexpected {after.text} after {token.text}", after.at)
        return operand

    def _check(self, operands: list[Operand], at: int, piped: bool) -> None:
        """What Go says only when it runs a template is said here: a wrong number of arguments."""
        if not operands:
            raise self._error("an empty command", at)
        first = operands[0]
        if not isinstance(first, Call):
            if len(operands) > 1 or piped:
                raise self._error("only a function takes arguments", first.at)
            return
        least, most = ARITY[first.name]
        given = len(operands) - 1 + piped
        if not least <= given <= most:
            wanted = f"{least}" if least == most else f"at least {least}" if most > 99 else f"{least} to {most}"
            raise self._error(f"{first.name} takes {wanted} argument(s), {given} given", first.at)
        for other in operands[1:]:
            if isinstance(other, Call) and ARITY[other.name][0] > 0:
                raise self._error(f"{other.name} as an argument needs parentheses", other.at)
